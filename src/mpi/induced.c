/* induced.c - checkpoints that messages force (BCS, protocol/induced.h), on top of those a rank takes on its own.
 *
 * Every message tells the index of its sender's last checkpoint, by a marker (ride.h).  One with a higher index than ours
 * must not be delivered before we have a checkpoint of that index.  The program can be saved at safe points only, so:
 *   - at a safe point a checkpoint is taken at once when a higher index is known already;
 *   - else the state of the last safe point, of which a copy was kept, becomes the checkpoint: it is as good, if nothing was
 *     sent since, because whatever we have sent then tells the right index;
 *   - else it cannot be had, and is refused with the reason.  The line is found from the counters, so this makes no line
 *     wrong: it can only make a checkpoint useless.
 * A collective is a message from everybody to everybody: the members agree on the highest index before it.
 *
 * A message with a lower index than ours is in transit across a line.  Its contents are kept (store/late.h), and after a
 * restart its sender sends it again.  For the same reason those that were delivered since the last safe point are
 * remembered, until something is sent: the checkpoint that is made of it afterwards has them in transit.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/checkpoint.h"
#include "mpi/ride.h"
#include "protocol/induced.h"
#include "store/late.h"
#include "util/clock.h"

/* More than the state itself, and more than this, is not remembered of what was received since a safe point. */
#define REMEMBERED_MIN ((size_t)64 << 20)

typedef struct remembered {
    struct remembered *next;
    bl_late_message message;
    char data[];
} remembered;

static struct induced {
    int on;
    bl_induced_points points;
    uint32_t heard;              /* the highest index known */
    bl_late *late;               /* of the interval; NULL: nothing to keep so far */

    const char *no_copy;         /* why the last safe point cannot become a checkpoint; NULL: it can */
    int taken;                   /* a checkpoint was taken at it */
    bl_moment copy;
    bl_copy state;
    uint64_t *sent, *received, *started;
    uint32_t *slot;              /* [slots] of the live table in use */
    uint32_t slots;
    remembered *first, **last;   /* delivered since */
    size_t remembered;

    uint64_t refusals;
} in = { .no_copy = "there was none yet", .last = &in.first };

uint32_t bl_induced_index(void)
{
    return in.on ? in.points.index : 0;
}

/* --- messages that cross a line --- */

static void forget_remembered(void)
{
    while (in.first) {
        remembered *r = in.first;
        in.first = r->next;
        free(r);
    }
    in.last = &in.first;
    in.remembered = 0;
}

/* What is not kept can only cost lines that it crosses. */
static void keep(const bl_late_message *m)
{
    bl_error err = { 0, "" };
    int rc = in.late ? BELAY_OK : bl_late_open(bl_rt.store, (uint32_t)bl_rt.rank, bl_rt.live.header->checkpoint, &in.late, &err);
    if (rc == BELAY_OK) rc = bl_late_append(in.late, m, &err);
    if (rc == BELAY_ERR_STALE) bl_end_job(&err);
    if (rc) bl_failed(rc, &err);
}

static void give_up_copy(const char *why)
{
    in.no_copy = why;
    forget_remembered();
}

static void remember(const bl_late_message *m)
{
    size_t limit = in.state.bytes > REMEMBERED_MIN ? in.state.bytes : REMEMBERED_MIN;
    remembered *r = m->bytes < limit - in.remembered ? malloc(sizeof *r + (size_t)m->bytes) : NULL;
    if (!r) {
        give_up_copy("more has been received since than is remembered");
        return;
    }
    r->next = NULL;
    r->message = *m;
    r->message.data = r->data;
    if (m->bytes) memcpy(r->data, m->data, (size_t)m->bytes);
    *in.last = r;
    in.last = &r->next;
    in.remembered += (size_t)m->bytes;
}

void bl_induced_keep(const bl_live_slot *slot, uint64_t number, const void *data, int count, MPI_Datatype type, MPI_Comm comm)
{
    int room = 0, packed = 0;
    PMPI_Pack_size(count, type, comm, &room);
    char *contents = malloc((size_t)room + 1);
    if (!contents) {
        bl_error err;
        bl_fail(&err, BELAY_ERR_MEMORY, "out of memory for the contents of a message of %d bytes: a line that it crosses cannot be used", room);
        bl_failed(BELAY_ERR_MEMORY, &err);
        give_up_copy("there was no memory for a message received since");
        return;
    }
    PMPI_Pack(data, count, type, contents, room, &packed, comm);
    bl_late_message m = { slot->comm, (uint32_t)slot->peer, slot->tag, number, (uint64_t)packed, contents };
    if (bl_induced_points_late(&in.points, bl_ride_of(slot, number).index)) keep(&m);
    else if (!in.no_copy && !in.points.sent) remember(&m);
    free(contents);
}

/* --- the copy of the last safe point --- */

/* The slots in use: the table never loses one. */
static int list_slots(void)
{
    const bl_live_header *h = bl_rt.live.header;
    if (in.slots == h->channels) return 0;
    uint32_t *bigger = realloc(in.slot, sizeof *bigger * h->channels);
    if (!bigger) return -1;
    in.slot = bigger;
    in.slots = 0;
    for (uint32_t i = 0; i < h->channel_slots && in.slots < h->channels; i++)
        if (bl_rt.live.slot[i].comm) in.slot[in.slots++] = i;
    return 0;
}

static int copy_counters(void)
{
    const bl_live *live = &bl_rt.live;
    if (list_slots()) return -1;
    for (uint32_t k = 0; k < in.slots; k++) {
        uint32_t i = in.slot[k];
        in.sent[i] = live->slot[i].sent;
        in.received[i] = live->slot[i].received;
    }
    for (uint32_t i = 0; i < live->header->collectives; i++) in.started[i] = live->collective[i].started;
    return 0;
}

static void copy_state(uint64_t safe_point)
{
    in.no_copy = bl_cut_obstructed() || bl_rt.folded ? "at the last safe point no checkpoint was possible either"
                 : copy_counters() || (!in.taken && bl_copy_variables(&in.state, NULL)) ? "there was no memory for a copy of the state"
                                                       : NULL;
    in.copy = (bl_moment){ safe_point, bl_useful_seconds(), in.state.variable, bl_rt.variables, in.sent, in.received, in.started };
}

/* --- what forces --- */

static int take(bl_cut *cut)
{
    cut->protocol = "induced";
    cut->index = in.points.index;
    int rc = bl_independent_take(cut);
    if (rc == BELAY_OK) {
        bl_late_close(in.late);
        in.late = NULL;
    }
    return rc;
}

/* The state of the last safe point becomes the checkpoint; 0 when it is there. */
static int promote(void)
{
    bl_cut cut = { .moment = &in.copy, .safe_point = in.copy.safe_point, .forced = 1 };
    /* If one was taken there, it has our index from here on: nothing was sent that told another. */
    if (!in.taken && take(&cut)) return -1;
    in.taken = 1;
    for (remembered *r = in.first; r; r = r->next) {
        const bl_live_slot *slot = bl_comm_slot_by_id(r->message.comm, (int)r->message.source, r->message.tag);
        if (bl_induced_points_late(&in.points, bl_ride_of(slot, r->message.number).index)) keep(&r->message);
    }
    return 0;
}

static void refuse(const char *from, uint32_t index, const char *why)
{
    uint64_t n = ++in.refusals;
    if (index > in.heard) in.heard = index; /* the checkpoint is taken at the next safe point, too late for this message */
    if ((n & (n - 1)) || !bl_rt.settings.verbose) return;
    bl_say("rank %d: %s asks for a checkpoint before it, and there is none: %s; a checkpoint of the sender may be useless; "
           "receive before you send after a safe point, or use --checkpoint coordinated%s",
           bl_rt.rank, from, why, n > 1 ? " (said the 1st, 2nd, 4th ... time)" : "");
}

/* What tells `index` is about to reach the program. */
static void force(uint32_t index, const char *from)
{
    bl_induced_points before = in.points;
    const char *why = in.no_copy;
    if (before.sent) why = "this rank has sent since its last safe point";
    if (!why && bl_induced_points_receive(&in.points, index, 0) == BL_INDUCED_PROMOTE) {
        if (promote() == 0) return;
        in.points = before;
        why = "it could not be written";
    }
    if (why) refuse(from, index, why);
}

static void text_of(const bl_live_slot *slot, char *text, size_t size)
{
    snprintf(text, size, "the message from rank %d, tag %d,", slot->peer, slot->tag);
}

int bl_induced_deliver(bl_live_slot *slot, uint32_t index)
{
    char from[64];
    if (!in.on) return 0;
    if (index > in.points.index) {
        text_of(slot, from, sizeof from);
        force(index, from);
    }
    return bl_induced_points_late(&in.points, index) || (!in.no_copy && !in.points.sent);
}

void bl_induced_sent(void)
{
    if (!in.on || in.points.sent) return;
    bl_induced_points_send(&in.points);
    forget_remembered();
}

void bl_induced_late(const bl_live_slot *slot, uint64_t from, uint32_t index)
{
    char text[64];
    if (!in.on || index <= in.points.index) return;
    text_of(slot, text, sizeof text);
    int since = !in.no_copy && from > in.received[slot - bl_rt.live.slot]; /* the copy does not hold it */
    if (since) force(index, text);
    else refuse(text, index, "its marker came after a later safe point");
}

/* Both sides of an intercommunicator hear from the other first, then of themselves. */
static uint32_t highest_of(bl_comm *comm, MPI_Comm handle)
{
    uint32_t mine = in.points.index, all = 0;
    PMPI_Allreduce(&mine, &all, 1, MPI_UINT32_T, MPI_MAX, handle);
    if (!comm->local) return all;
    mine = all > mine ? all : mine;
    PMPI_Allreduce(&mine, &all, 1, MPI_UINT32_T, MPI_MAX, handle);
    return all > mine ? all : mine;
}

void bl_induced_collective(bl_comm *comm)
{
    if (!in.on || comm->handle == MPI_COMM_NULL || comm->size + (comm->local ? comm->peers : 0) < 2) return;
    uint32_t highest = highest_of(comm, comm->handle);
    if (highest > in.points.index) force(highest, "a collective operation");
    bl_induced_sent();
}

/* To agree before it would be to wait in a call that must not; to agree beside it comes too late. */
void bl_induced_unseen(const char *call)
{
    static int said;
    if (in.on && !said++ && bl_rt.rank == 0 && bl_rt.settings.verbose)
        bl_say("rank 0: %s: with checkpoint=induced a nonblocking collective forces no checkpoint, so some may be useless; use the blocking one, or --checkpoint coordinated", call);
    bl_induced_sent();
}

/* --- safe points --- */

int bl_induced_attend(uint64_t safe_point, int due, int *taken)
{
    int rc = BELAY_OK;
    *taken = 0;
    bl_ride_drain();
    bl_resend_reap();
    bl_induced_points_safe(&in.points, 0);
    bl_induced_points here = in.points;
    if (due) bl_induced_points_safe(&in.points, 1);
    int forced = bl_induced_points_known(&in.points, in.heard);
    if (due || forced) {
        bl_cut cut = { .safe_point = safe_point, .forced = forced };
        rc = take(&cut);
        *taken = rc == BELAY_OK;
        if (rc) in.points = here;
    }
    forget_remembered();
    in.taken = *taken;
    copy_state(safe_point);
    bl_ride_safe_point();
    return rc;
}

void bl_induced_hear(uint32_t index)
{
    if (in.on && index > in.heard) in.heard = index;
}

int bl_induced_init(bl_error *err)
{
    if (bl_rt.settings.protocol != BL_PROTOCOL_INDUCED) return BELAY_OK;
    if (bl_rt.thread_level == MPI_THREAD_MULTIPLE)
        return bl_fail(err, BELAY_ERR_REFUSED, "checkpoint=induced with MPI_THREAD_MULTIPLE: another thread may be sending while a message forces a checkpoint; use checkpoint=coordinated or independent");
    const bl_live_header *h = bl_rt.live.header;
    in.sent = calloc(h->channel_slots, sizeof *in.sent);
    in.received = calloc(h->channel_slots, sizeof *in.received);
    in.started = calloc(h->collective_slots, sizeof *in.started);
    if (!in.sent || !in.received || !in.started) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the copy of a safe point");
    bl_induced_points_start(&in.points);
    if (bl_rt.line_index) bl_induced_points_resume(&in.points, bl_rt.line_index);
    in.on = 1;
    return BELAY_OK;
}

void bl_induced_free(void)
{
    bl_resend_free();
    forget_remembered();
    bl_late_close(in.late);
    free(in.sent);
    free(in.received);
    free(in.started);
    free(in.slot);
    bl_copy_free(&in.state);
    memset(&in, 0, sizeof in);
    in.last = &in.first;
}
