/* resend.c - after a restart from a line with messages in transit: their contents lie in late files of the receivers
 * (store/late.h), and the senders send them again, before anything new on the same communicator.
 *
 * Rank 0 tells all which they are, as ranges of numbers per channel.  The counters of a sender hold them already; a receiver
 * counts them as it receives them.  For this the numbers must mean the same at both ends, so what the program does before
 * belay_recover, which it does again at every start, is not counted; nothing of it may be under way when that is called.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/checkpoint.h"
#include "mpi/ride.h"
#include "recovery/past.h"
#include "store/late.h"

typedef struct parcel {      /* one message to send again, in the order of its channel */
    struct parcel *next;
    bl_transit row;          /* whose; first == last == its number */
    MPI_Request request;     /* MPI_REQUEST_NULL before it is sent */
    int sent, bytes;
    char data[];
} parcel;

static struct resend {
    bl_transit *row;         /* [rows] of the line, that we send or receive; ascending by from, to */
    size_t rows;
    uint32_t *restart;       /* [ranks] checkpoints */
    parcel *parcel;
} re;

/* --- which --- */

static void tell_all(const bl_transit *row, size_t rows, bl_error *err)
{
    uint64_t count = rows;
    PMPI_Bcast(&count, 1, MPI_UINT64_T, 0, bl_rt.private_comm);
    bl_transit *all = count < INT32_MAX / sizeof *all ? malloc(((size_t)count + 1) * sizeof *all) : NULL;
    if (!all) {
        bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %" PRIu64 " channels with messages in transit", count);
        bl_end_job(err);
    }
    if (bl_rt.rank == 0 && rows) memcpy(all, row, rows * sizeof *all);
    PMPI_Bcast(all, (int)(count * sizeof *all), MPI_BYTE, 0, bl_rt.private_comm);
    free(re.row);
    re.rows = 0;
    for (uint64_t k = 0; k < count; k++)
        if (all[k].from == (uint32_t)bl_rt.rank || all[k].to == (uint32_t)bl_rt.rank) all[re.rows++] = all[k];
    re.row = all;
}

int bl_resend_plan(const bl_transit *row, size_t rows, const uint32_t *restart, bl_error *err)
{
    tell_all(row, rows, err);
    int worst, rc = bl_past_settle(bl_rt.store, (uint32_t)bl_rt.rank, restart[bl_rt.rank], re.row, re.rows, err);
    int badness = rc == BELAY_OK ? 0 : rc == BELAY_ERR_DAMAGED ? 1 : 2;
    PMPI_Allreduce(&badness, &worst, 1, MPI_INT, MPI_MAX, bl_rt.private_comm);
    if (badness == 1) bl_say("rank %d: %s", bl_rt.rank, err->text);
    if (badness == 2) bl_end_job(err);
    if (worst == 2) PMPI_Barrier(bl_rt.private_comm); /* another rank ends the job */
    free(re.restart);
    re.restart = malloc(sizeof *re.restart * (size_t)bl_rt.ranks);
    if (!re.restart) {
        bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %d ranks", bl_rt.ranks);
        bl_end_job(err);
    }
    memcpy(re.restart, restart, sizeof *re.restart * (size_t)bl_rt.ranks);
    return !worst;
}

/* --- from the late files of those they went to --- */

static int same_channel(const bl_transit *a, const bl_transit *b)
{
    return a->to == b->to && a->comm == b->comm && a->tag == b->tag;
}

/* In the order of its channel, whatever that in the file is. */
static void insert(parcel *p)
{
    parcel **link = &re.parcel;
    while (*link && !(same_channel(&(*link)->row, &p->row) && (*link)->row.first > p->row.first)) link = &(*link)->next;
    p->next = *link;
    *link = p;
}

typedef struct rows { const bl_transit *first, *end; } rows;

static int collect_one(void *context, const bl_late_message *m, bl_error *err)
{
    const rows *all = context;
    const bl_transit *r = all->first;
    while (r < all->end && !(r->from == m->source && r->comm == m->comm && r->tag == m->tag)) r++;
    if (r == all->end || m->number < r->first || m->number > r->last) return BELAY_OK;
    parcel *p = malloc(sizeof *p + (size_t)m->bytes);
    if (!p) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for a message of %" PRIu64 " bytes to send again", m->bytes);
    *p = (parcel){ .row = *r, .request = MPI_REQUEST_NULL, .bytes = (int)m->bytes };
    p->row.first = p->row.last = m->number;
    if (m->bytes) memcpy(p->data, m->data, (size_t)m->bytes);
    insert(p);
    return BELAY_OK;
}

static uint64_t parcels_of(const bl_transit *r)
{
    uint64_t found = 0;
    for (const parcel *p = re.parcel; p; p = p->next)
        found += same_channel(&p->row, r) && p->row.first == r->first + found;
    return found;
}

static int all_there(const rows *all, bl_error *err)
{
    for (const bl_transit *r = all->first; r < all->end; r++)
        if (parcels_of(r) != r->last - r->first + 1)
            return bl_fail(err, BELAY_ERR_DAMAGED, "messages %" PRIu64 " to %" PRIu64 " to rank %u, tag %d, are in transit across the recovery line, but not all of them are in its late file any more",
                           r->first, r->last, r->to, r->tag);
    return BELAY_OK;
}

static int collect(bl_error *err)
{
    const bl_transit *end = re.row + re.rows;
    int rc = BELAY_OK;
    for (rows all = { re.row, re.row }; rc == BELAY_OK && all.first < end; all.first = all.end) {
        while (all.end < end && all.end->from == all.first->from && all.end->to == all.first->to) all.end++;
        if (all.first->from != (uint32_t)bl_rt.rank) continue;
        rc = bl_late_read(bl_rt.store, all.first->to, 1, collect_one, &all, err);
        if (rc == BELAY_OK) rc = all_there(&all, err);
    }
    return rc;
}

/* --- sending --- */

static int rank_in(const bl_comm *c, int world)
{
    for (int peer = 0; peer < c->peers; peer++)
        if (bl_comm_world_rank(c, peer) == world) return peer;
    return -1;
}

void bl_resend_on(const bl_comm *c)
{
    for (parcel *p = re.parcel; p; p = p->next) {
        if (p->sent || p->row.comm != c->id) continue;
        int peer = rank_in(c, (int)p->row.to);
        if (peer < 0) continue;
        PMPI_Isend(p->data, p->bytes, MPI_PACKED, peer, p->row.tag, c->handle, &p->request);
        p->sent = 1;
    }
}

/* --- in belay_recover --- */

typedef struct crossing { uint64_t sent, received; } crossing;

/* Has all that was sent since MPI_Init been received?  Who sent what is told to whom it concerns. */
int bl_prologue_settled(const char *setting, bl_error *err)
{
    int ranks = bl_rt.ranks, wrong = -1;
    crossing *mine = calloc((size_t)ranks, 2 * sizeof *mine), *theirs = mine ? mine + ranks : NULL;
    if (!mine) {
        bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %d ranks", ranks);
        bl_end_job(err);
    }
    for (uint32_t i = 0; i < bl_rt.live.header->channel_slots; i++) {
        const bl_live_slot *s = &bl_rt.live.slot[i];
        if (!s->comm) continue;
        mine[s->peer].sent += s->sent - s->at_sent;
        mine[s->peer].received += s->received - s->at_received;
    }
    PMPI_Alltoall(mine, 2, MPI_UINT64_T, theirs, 2, MPI_UINT64_T, bl_rt.private_comm);
    for (int r = 0; r < ranks && wrong < 0; r++)
        if (mine[r].sent != theirs[r].received) wrong = r;
    free(mine);
    if (wrong >= 0)
        return bl_fail(err, BELAY_ERR_PENDING, "belay_recover: a message to rank %d has not been received; with %s nothing may be under way at belay_recover", wrong, setting);
    if (bl_rt.active)
        return bl_fail(err, BELAY_ERR_PENDING, "belay_recover: a request is not completed; with %s nothing may be under way at belay_recover", setting);
    return BELAY_OK;
}

void bl_prologue_forget(void)
{
    for (uint32_t i = 0; i < bl_rt.live.header->channel_slots; i++) {
        bl_live_slot *s = &bl_rt.live.slot[i];
        s->sent = s->at_sent;
        s->received = s->at_received;
    }
    for (uint32_t i = 0; i < bl_rt.live.header->collectives; i++)
        bl_rt.live.collective[i].started = bl_rt.live.collective[i].at_started;
}

/* What is sent again was sent before our checkpoint: with a lower index than any. */
static void expect(void)
{
    for (size_t k = 0; k < re.rows; k++) {
        const bl_transit *r = &re.row[k];
        bl_live_slot *slot = r->to == (uint32_t)bl_rt.rank ? bl_comm_slot_by_id(r->comm, (int)r->from, r->tag) : NULL;
        if (!slot) continue;
        bl_ride_note(slot, r->first, (bl_rider){ re.restart[r->from], 0 });
        bl_ride_note(slot, r->last + 1, bl_ride_here());
    }
}

/* Collective; ends the job when what the line needs is not there. */
void bl_resend(bl_error *err)
{
    int rc = bl_prologue_settled("checkpoint=induced", err), all;
    if (rc == BELAY_OK) rc = collect(err);
    int bad = rc != BELAY_OK;
    PMPI_Allreduce(&bad, &all, 1, MPI_INT, MPI_MAX, bl_rt.private_comm);
    if (bad) bl_end_job(err);
    if (all) PMPI_Barrier(bl_rt.private_comm); /* another rank ends the job */
    bl_prologue_forget();
    expect();
    PMPI_Barrier(bl_rt.private_comm); /* before anybody is sent to */
    for (unsigned i = 0; i < bl_rt.comms; i++) bl_resend_on(bl_rt.comm[i]);
}

/* At safe points: lets go of what has been received. */
void bl_resend_reap(void)
{
    for (parcel **link = &re.parcel; *link;) {
        parcel *p = *link;
        int done = 0;
        if (p->sent) PMPI_Test(&p->request, &done, MPI_STATUS_IGNORE);
        if (!done) {
            link = &p->next;
            continue;
        }
        *link = p->next;
        free(p);
    }
}

void bl_resend_free(void)
{
    bl_resend_reap();
    re.parcel = NULL; /* what the program never receives stays MPI's */
    free(re.row);
    free(re.restart);
    re.row = NULL;
    re.restart = NULL;
    re.rows = 0;
}
