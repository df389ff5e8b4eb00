#include "mpi/ride.h"

#include <stdlib.h>
#include <string.h>

#include "mpi/checkpoint.h"

enum { POSTED = 32, OUT = 256 }; /* markers that can arrive, or be on their way, before anybody looks */

typedef struct marker {
    uint64_t comm, from;         /* the message of the channel it takes effect at */
    int32_t tag;
    uint32_t incarnation, index;
    uint32_t interval;           /* never 0: one has arrived where it is not 0 any more */
} marker;

typedef struct mark {            /* what was learned of a channel; lists, the newest first */
    uint64_t from;
    bl_rider rider;
    uint32_t next;
} mark;

typedef struct channel {         /* beside its slot of the live table */
    uint32_t told;               /* the interval our peer has been told of, less the first one of this incarnation */
    uint32_t marks;              /* the newest; 0: none */
} channel;

static struct ride {
    MPI_Comm comm;
    uint32_t first, now;         /* intervals: at the start of this incarnation, on all ranks; now */
    uint32_t index;              /* at the start */
    channel *channel;            /* [channel_slots] */
    mark *mark;                  /* [marks]; [0] is none */
    uint32_t marks, mark_room, free_mark;
    marker in[POSTED], out[OUT];
    MPI_Request arriving[POSTED], leaving[OUT];
    unsigned next_in, next_out;
    int posted;
    uint32_t *newest;            /* [ranks] piggyback=header: the interval last recorded of each */
    bl_dependency *seen;         /* recorded since the last checkpoint; or learned too late for the one before */
    size_t seen_count, seen_room;
    size_t seen_safe;            /* of them before the last safe point */
} ride;

static channel *channel_of(const bl_live_slot *slot)
{
    return &ride.channel[slot - bl_rt.live.slot];
}

static void out_of_memory(void)
{
    bl_rt.refused = "out of memory for what rides on messages";
}

/* --- recording --- */

static void record(uint32_t source, uint32_t source_interval, uint32_t interval)
{
    if (ride.seen_count == ride.seen_room) {
        size_t room = ride.seen_room ? 2 * ride.seen_room : 64;
        bl_dependency *bigger = realloc(ride.seen, room * sizeof *bigger);
        if (!bigger) {
            out_of_memory();
            return;
        }
        ride.seen = bigger;
        ride.seen_room = room;
    }
    ride.seen[ride.seen_count++] = (bl_dependency){ source, source_interval, interval };
}

void bl_ride_came(int world, const bl_rider *rider)
{
    if (ride.newest[world] == rider->interval) return;
    ride.newest[world] = rider->interval;
    record((uint32_t)world, rider->interval, ride.now);
}

/* --- marks --- */

static uint32_t new_mark(void)
{
    uint32_t m = ride.free_mark;
    if (m) {
        ride.free_mark = ride.mark[m].next;
        return m;
    }
    if (ride.marks == ride.mark_room) {
        uint32_t room = ride.mark_room ? 2 * ride.mark_room : 1024;
        mark *bigger = realloc(ride.mark, room * sizeof *bigger);
        if (!bigger) {
            out_of_memory();
            return 0;
        }
        ride.mark = bigger;
        ride.mark_room = room;
        if (!ride.marks) ride.marks = 1;
    }
    return ride.marks++;
}

/* Those behind `m` say nothing any more. */
static void forget_behind(uint32_t m)
{
    uint32_t rest = ride.mark[m].next;
    ride.mark[m].next = 0;
    while (rest) {
        uint32_t next = ride.mark[rest].next;
        ride.mark[rest].next = ride.free_mark;
        ride.free_mark = rest;
        rest = next;
    }
}

void bl_ride_note(const bl_live_slot *slot, uint64_t number, bl_rider rider)
{
    uint32_t m = new_mark();
    if (!m) return;
    uint32_t *link = &channel_of(slot)->marks;
    while (*link && ride.mark[*link].from > number) link = &ride.mark[*link].next;
    ride.mark[m] = (mark){ number, rider, *link };
    *link = m;
}

static const mark *mark_of(const bl_live_slot *slot, uint64_t number)
{
    uint32_t m = channel_of(slot)->marks;
    while (m && ride.mark[m].from > number) m = ride.mark[m].next;
    return m ? &ride.mark[m] : NULL;
}

bl_rider bl_ride_of(const bl_live_slot *slot, uint64_t number)
{
    const mark *m = mark_of(slot, number);
    return m ? m->rider : (bl_rider){ ride.first, ride.index };
}

int bl_ride_told(const bl_live_slot *slot, uint64_t number, bl_rider *rider)
{
    const mark *m = mark_of(slot, number);
    if (!m || m->from != number) return 0;
    *rider = m->rider;
    if (bl_rt.piggyback == BL_PIGGYBACK_HEADER) forget_behind((uint32_t)(m - ride.mark)); /* each is asked for once, in order */
    return 1;
}

/* --- markers on their way --- */

static void post(unsigned i)
{
    ride.in[i].interval = 0;
    PMPI_Start(&ride.arriving[i]);
}

/* It should have been here before the messages it is about; what was delivered meanwhile was taken for older than it is. */
static void too_late(const bl_live_slot *slot, const marker *m)
{
    if (m->from <= slot->at_received) record((uint32_t)slot->peer, m->interval, bl_rt.live.header->checkpoint);
    bl_induced_late(slot, m->from, m->index);
}

static void learn(const marker *m, int source)
{
    bl_live_slot *slot = m->incarnation == bl_rt.incarnation ? bl_comm_slot_by_id(m->comm, source, m->tag) : NULL;
    if (!slot) return; /* tags are counted together: the counters alone tell */
    bl_ride_note(slot, m->from, (bl_rider){ m->interval, m->index });
    if (m->from <= slot->received && bl_rt.piggyback == BL_PIGGYBACK_MARKER) too_late(slot, m);
    else bl_induced_hear(m->index);
}

/* 1 when there was one. */
static int take(void)
{
    unsigned i = ride.next_in;
    int there = 0;
    MPI_Status status;
    PMPI_Test(&ride.arriving[i], &there, &status);
    if (!there) return 0;
    ride.next_in = (i + 1) % POSTED;
    marker m = ride.in[i];
    post(i);
    learn(&m, status.MPI_SOURCE);
    return 1;
}

void bl_ride_poll(void)
{
    /* MPI is asked before anything is believed: this only saves asking in vain. */
    while (*(volatile uint32_t *)&ride.in[ride.next_in].interval && take()) continue;
}

void bl_ride_drain(void)
{
    while (take()) continue;
}

bl_rider bl_ride_here(void)
{
    return (bl_rider){ ride.now, bl_induced_index() };
}

/* The message it tells of must come next. */
static void tell(const bl_live_slot *slot)
{
    bl_rider rider = bl_ride_here();
    if (slot->peer == bl_rt.rank) { /* to ourselves; the channel is the same at both ends */
        bl_ride_note(slot, slot->sent + 1, rider);
        return;
    }
    unsigned i = ride.next_out;
    ride.next_out = (i + 1) % OUT;
    PMPI_Wait(&ride.leaving[i], MPI_STATUS_IGNORE); /* of OUT markers ago */
    ride.out[i] = (marker){ slot->comm, slot->sent + 1, slot->tag, bl_rt.incarnation, rider.index, rider.interval };
    PMPI_Isend(&ride.out[i], (int)sizeof(marker), MPI_BYTE, slot->peer, 0, ride.comm, &ride.leaving[i]);
}

void bl_ride_first(const bl_live_slot *slot)
{
    channel *c = channel_of(slot);
    if (c->told == ride.now - ride.first) return;
    c->told = ride.now - ride.first;
    tell(slot);
}

void bl_ride_safe_point(void)
{
    ride.seen_safe = ride.seen_count;
    memset(ride.newest, 0, sizeof *ride.newest * (size_t)bl_rt.ranks);
}

void bl_ride_interval(int since_safe_point)
{
    if (bl_rt.piggyback == BL_PIGGYBACK_IMPLICIT) return;
    size_t done = since_safe_point ? ride.seen_safe : ride.seen_count;
    ride.seen_count -= done;
    ride.seen_safe = 0;
    for (size_t k = 0; k < ride.seen_count; k++) {
        ride.seen[k] = ride.seen[k + done];
        if (ride.seen[k].interval == ride.now) ride.seen[k].interval = bl_rt.next_checkpoint;
    }
    if (!since_safe_point) memset(ride.newest, 0, sizeof *ride.newest * (size_t)bl_rt.ranks);
    ride.now = bl_rt.next_checkpoint;
    memset(bl_rt.way[BL_SENT], 0, sizeof bl_rt.way[BL_SENT]); /* the next send on each channel comes to bl_ride_first */
}

/* --- what goes into a checkpoint --- */

static void record_channel(const bl_live_slot *slot, uint64_t received, uint32_t checkpoint)
{
    uint64_t last = received;
    for (uint32_t m = channel_of(slot)->marks; m && last > slot->at_received; m = ride.mark[m].next) {
        if (ride.mark[m].from > last) continue;
        record((uint32_t)slot->peer, ride.mark[m].rider.interval, checkpoint);
        last = ride.mark[m].from - 1;
    }
    if (last > slot->at_received) record((uint32_t)slot->peer, ride.first, checkpoint);
}

static int by_intervals(const void *x, const void *y)
{
    const bl_dependency *a = x, *b = y;
    if (a->source != b->source) return a->source < b->source ? -1 : 1;
    if (a->source_interval != b->source_interval) return a->source_interval < b->source_interval ? -1 : 1;
    return (a->interval > b->interval) - (a->interval < b->interval);
}

static void record_channels(uint32_t checkpoint, const uint64_t *received)
{
    const bl_live *live = &bl_rt.live;
    for (uint32_t i = 0; i < live->header->channel_slots; i++) {
        const bl_live_slot *s = &live->slot[i];
        if (!s->comm) continue;
        record_channel(s, received ? received[i] : s->received, checkpoint);
        const mark *m = mark_of(s, s->at_received + 1);
        if (m) forget_behind((uint32_t)(m - ride.mark));
    }
}

/* What is recorded here stays recorded until the checkpoint exists (bl_ride_interval), but for what the marks tell again. */
int bl_ride_dependencies(uint32_t checkpoint, const uint64_t *received, bl_dependency **list, size_t *count, bl_error *err)
{
    bl_ride_drain();
    size_t before = ride.seen_count, mine = received ? ride.seen_safe : before, room;
    if (bl_rt.piggyback == BL_PIGGYBACK_MARKER) record_channels(checkpoint, received);
    room = mine + ride.seen_count - before;
    bl_dependency *all = realloc(*list, (room + 1) * sizeof *all);
    if (!all) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the dependencies of checkpoint %u", checkpoint);
    *list = all;
    if (mine) memcpy(all, ride.seen, mine * sizeof *all);
    if (room > mine) memcpy(all + mine, ride.seen + before, (room - mine) * sizeof *all);
    ride.seen_count = before;
    for (size_t k = 0; k < mine; k++)
        if (all[k].interval == ride.now) all[k].interval = checkpoint;
    if (room) qsort(all, room, sizeof *all, by_intervals);
    *count = 0;
    for (size_t k = 0; k < room; k++)
        if (!*count || by_intervals(&all[*count - 1], &all[k])) all[(*count)++] = all[k];
    return BELAY_OK;
}

/* --- beginning and end --- */

int bl_ride_init(bl_error *err)
{
    bl_rt.piggyback = bl_settings_piggyback(&bl_rt.settings);
    if (bl_rt.piggyback == BL_PIGGYBACK_IMPLICIT) return BELAY_OK;
    ride.first = ride.now = bl_rt.next_checkpoint;
    ride.index = bl_induced_index();
    ride.channel = calloc(bl_rt.live.header->channel_slots, sizeof *ride.channel);
    ride.newest = calloc((size_t)bl_rt.ranks, sizeof *ride.newest);
    if (!ride.channel || !ride.newest)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for what rides on messages");
    bl_comm_own(bl_rt.world, &ride.comm);
    for (unsigned i = 0; i < POSTED; i++) {
        PMPI_Recv_init(&ride.in[i], (int)sizeof(marker), MPI_BYTE, MPI_ANY_SOURCE, 0, ride.comm, &ride.arriving[i]);
        post(i);
    }
    for (unsigned i = 0; i < OUT; i++) ride.leaving[i] = MPI_REQUEST_NULL;
    ride.posted = 1;
    return BELAY_OK;
}

static void stop(void)
{
    bl_requests_withdraw(POSTED, ride.arriving);
    ride.posted = 0;
    bl_comm_disown(&ride.comm);
}

void bl_ride_finish(void)
{
    if (bl_rt.piggyback == BL_PIGGYBACK_IMPLICIT) return;
    bl_ride_drain();
    PMPI_Waitall(OUT, ride.leaving, MPI_STATUSES_IGNORE);
    PMPI_Barrier(ride.comm); /* what is on its way has been sent, so it arrives before this is over, or MPI drops it */
    bl_ride_drain();
    stop();
}

void bl_ride_abandon(void)
{
    if (!ride.posted) return;
    PMPI_Waitall(OUT, ride.leaving, MPI_STATUSES_IGNORE);
    stop();
}

void bl_ride_free(void)
{
    free(ride.channel);
    free(ride.newest);
    free(ride.mark);
    free(ride.seen);
    memset(&ride, 0, sizeof ride);
}
