/* logging.c - message logging from the first safe point to MPI_Finalize: the journals, the checkpoints that cut them, and what may go.
 *
 * A message may go from its sender's journal when the oldest checkpoint that its receiver keeps holds it as delivered; the
 * receiver says so when it has taken a checkpoint.  With a journal of all messages the line of any failure is the newest
 * checkpoint of each, and the oldest that is kept is before it (PROTOCOLS section 5, log collection).
 */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/carry.h"
#include "mpi/checkpoint.h"
#include "mpi/depend.h"
#include "mpi/injob.h"
#include "mpi/log.h"
#include "mpi/logging.h"
#include "mpi/parcel.h"
#include "util/clock.h"

enum { TAG_DELIVERED, TAG_ASK, TAG_STABLE, STRETCHES = 64, PROLOGUE_MOST = 64 << 20,
       LISTEN_EACH = 8 };    /* safe points */
#define ASK_EACH_S 0.1

struct bl_logging bl_logging;

typedef struct kept {        /* one of our checkpoints that is kept */
    uint32_t checkpoint;
    int here;                /* of this incarnation */
    uint64_t clock;
    uint64_t events_at;      /* where its events begin */
    uint64_t *received;      /* [channel_slots] */
    uint32_t *needs;         /* [ranks] what it depends on; NULL: nothing that is not stable */
} kept;

typedef struct stretch {     /* of the journal "sent", between two checkpoints of ours */
    uint64_t end;            /* position */
    uint64_t *sent;          /* [channel_slots] the last message in it */
} stretch;

static struct state {
    MPI_Comm comm;
    uint32_t began;          /* the incarnation in which this process did; the journals it holds open begin there */
    bl_journal *sent, *events; /* from the first safe point on those of bl_logging */
    uint64_t *crossing;      /* [2][ranks] messages before their first safe point: sent by us; to us, once they have said so */
    uint64_t *crossed;       /* [ranks] those received */
    MPI_Request exchange;    /* of these */
    kept *kept;              /* [kepts] oldest first */
    unsigned kepts, room;
    uint64_t *told;          /* [channel_slots] what we have said is delivered */
    uint64_t *settled;       /* [channel_slots] what our receivers have said */
    uint64_t *before;        /* [channel_slots] the last that is in a journal of an incarnation before; NULL: none is */
    stretch stretch[STRETCHES];
    unsigned stretches;
    int prologue_kept;       /* of this incarnation, whole */
    int older_events_gone;   /* those of incarnations before */
    int forgotten;           /* what incarnations before have logged came to nothing */
    uint64_t ask_again;      /* at this safe point at the earliest, when the journal is still over its limit */
} state;

typedef struct delivered { uint64_t comm, received; int32_t tag, reserved; } delivered;

void bl_log_end_job(const char *format, ...)
{
    bl_error err = { BELAY_ERR_REFUSED, "" };
    va_list args;
    va_start(args, format);
    vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    bl_end_job(&err);
}

void bl_log_unsupported(const char *call)
{
    if (bl_replaying) bl_replay_cannot(call);
    bl_log_end_job("%s: with logging=%s it cannot be repeated after a failure; run without logging", call, bl_logging_name(bl_rt.settings.logging));
}

/* --- the prologue: what is done again at every start, with the others; kept for a replay, which has none --- */

static void lose_prologue(const char *why)
{
    bl_record r = { .a = bl_log_clock(), .kind = BL_EVENT_UNLOGGED, .bytes = strlen(why) };
    if (!bl_logging.sent) return;
    (void)bl_journal_append(bl_logging.sent, &r, why);
    bl_journal_close(bl_logging.sent);
    bl_logging.sent = bl_logging.events = NULL;
}

void bl_log_unlogged(const char *call)
{
    if (!bl_logging.prologue) bl_log_unsupported(call);
    if (bl_rejoining) bl_local_refuse(call);
    lose_prologue(call);
}

void bl_log_prologue_begin(void)
{
    bl_error err = { 0, "" };
    if (!bl_rejoining && bl_journal_create(bl_rt.store, (uint32_t)bl_rt.rank, "prologue", PROLOGUE_MOST, &bl_logging.sent, &err)) bl_end_job(&err);
    bl_logging.events = bl_logging.sent;
    bl_logging.prologue = 1;
    bl_rt.counting = BL_COUNTING_LOGGED;
    bl_under = &bl_logged_calls;
}

/* Its members and its shape: what a program can ask of it that is not the same in a process that is alone. */
void bl_log_comm(const bl_comm *c)
{
    int topology = MPI_UNDEFINED, dims = 0, size = c ? c->size : 0;
    if (!bl_logging.prologue || !bl_logging.sent) return;
    if (c && c->local) {
        bl_log_unlogged("an intercommunicator");
        return;
    }
    if (c) PMPI_Topo_test(c->handle, &topology);
    if (topology == MPI_GRAPH || topology == MPI_DIST_GRAPH) {
        bl_log_unlogged("a graph topology");
        return;
    }
    if (topology == MPI_CART) PMPI_Cartdim_get(c->handle, &dims);
    int *shape = malloc(sizeof *shape * ((size_t)size + 3 * (size_t)dims + 1));
    if (!shape) bl_log_end_job("out of memory for communicators");
    for (int i = 0; i < size; i++) shape[i] = bl_comm_world_rank(c, i);
    if (dims) PMPI_Cart_get(c->handle, dims, shape + size, shape + size + dims, shape + size + 2 * dims);
    bl_outcome_log(BL_EVENT_COMM, bl_log_clock(), size, topology == MPI_CART ? dims : -1, shape, sizeof *shape * ((size_t)size + 2 * (size_t)dims));
    free(shape);
}

static void end_prologue(void)
{
    bl_record r = { .a = bl_log_clock(), .kind = BL_EVENT_BEGUN };
    bl_logging.prologue = 0;
    state.prologue_kept = bl_logging.sent != NULL;
    if (!state.prologue_kept) return;
    bl_log_append(bl_logging.sent, &r, "");
    bl_journal_close(bl_logging.sent);
}

/* A replay needs those of all ranks of one incarnation. */
static void older_prologues_go(void)
{
    bl_error err = { 0, "" };
    if (state.prologue_kept && bl_journal_retire_before(bl_rt.store, (uint32_t)bl_rt.rank, "prologue", state.began, &err)) bl_say("rank %d: %s", bl_rt.rank, err.text);
}

int bl_log_begun(void)
{
    return !bl_logging.prologue;
}

/* --- beginning --- */

int bl_log_init(bl_error *err)
{
    if (bl_rt.settings.logging == BL_LOGGING_NONE) return BELAY_OK;
    if (bl_rt.thread_level == MPI_THREAD_MULTIPLE)
        return bl_fail(err, BELAY_ERR_REFUSED, "message logging with MPI_THREAD_MULTIPLE: in which order threads call MPI is not logged; ask MPI_Init_thread for less, or run without logging");
    if (bl_layout_init())
        return bl_fail(err, BELAY_ERR_REFUSED, "message logging needs an MPI whose MPI_Pack writes bytes as they are in memory");
    if (bl_rejoining) bl_log_moves(bl_local_log_comm());
    else bl_comm_own(bl_rt.world, &state.comm);
    return bl_depend_init(err);
}

static int other_logging(const char *which, bl_error *err)
{
    return bl_fail(err, BELAY_ERR_REFUSED, "%s holds a job with %s: a job keeps its logging; go on with it, or start anew with --fresh", bl_store_dir(bl_rt.store), which);
}

/* Before there is a checkpoint the journal tells: with optimistic and causal logging it says where an incarnation has begun. */
static int same_logging(bl_error *err)
{
    bl_journal_reader *reader;
    bl_record r;
    const char *payload;
    int more, any = 0, begun = 0, rc = bl_journal_read_open(bl_rt.store, (uint32_t)bl_rt.rank, "events", &reader, err);
    if (rc) return rc == BELAY_ERR_NONE ? BELAY_OK : rc;
    while ((more = bl_journal_next(reader, &r, &payload, err)) > 0) {
        any = 1;
        begun |= r.kind == BL_EVENT_BEGUN;
    }
    bl_journal_read_close(reader);
    if (more < 0) return err->code;
    if (!any || begun == (bl_logging.rides != 0)) return BELAY_OK;
    return other_logging(begun ? "logging=optimistic or causal" : "logging=pessimistic", err);
}

/* Nobody else's checkpoint matters: the newest of ours that can be read.  Those above it are no more. */
int bl_log_choose(uint32_t *checkpoint, bl_error *err)
{
    uint32_t *numbers = NULL;
    size_t count = 0;
    int rc = same_logging(err);
    if (rc == BELAY_OK) rc = bl_depend_recover(bl_rt.private_comm, 0, err);
    if (rc == BELAY_OK) rc = bl_snapshot_list(bl_rt.store, (uint32_t)bl_rt.rank, &numbers, &count, err);
    *checkpoint = 0;
    while (rc == BELAY_OK && count > 0 && *checkpoint == 0) {
        uint32_t number = numbers[--count];
        if (!bl_depend_knows(number)) continue; /* of a state that is undone */
        rc = bl_open_and_verify(number, NULL, err);
        if (rc == BELAY_OK) {
            char which[64];
            snprintf(which, sizeof which, "logging=%.40s", bl_rt.restore->protocol);
            *checkpoint = number;
            if (strcmp(bl_rt.restore->protocol, bl_logging_name(bl_rt.settings.logging))) rc = other_logging(which, err);
        } else if (rc == BELAY_ERR_DAMAGED || rc == BELAY_ERR_NONE) {
            bl_close_reader();
            bl_give_up_snapshot(number, err);
            rc = BELAY_OK;
        }
    }
    free(numbers);
    return rc;
}

static int out_of_memory(bl_error *err)
{
    return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for message logging");
}

static uint64_t *counters(void)
{
    return calloc(bl_rt.live.header->channel_slots, sizeof(uint64_t));
}

static uint64_t *copy_of_counters(int received)
{
    uint64_t *copy = counters();
    for (uint32_t i = 0; copy && i < bl_rt.live.header->channel_slots; i++) {
        const bl_live_slot *s = &bl_rt.live.slot[i];
        if (s->comm) copy[i] = received ? s->received : s->sent;
    }
    return copy;
}

static int keep(uint32_t checkpoint, uint64_t events_at, int here)
{
    if (state.kepts == state.room) {
        unsigned room = state.room ? 2 * state.room : 4;
        kept *bigger = realloc(state.kept, room * sizeof *bigger);
        if (!bigger) return -1;
        state.kept = bigger;
        state.room = room;
    }
    kept k = { checkpoint, here, here ? bl_log_clock() : 0, events_at, copy_of_counters(1), NULL };
    if (!k.received || bl_depend_needs(&k.needs)) return -1;
    state.kept[state.kepts++] = k;
    return 0;
}

static int open_journals(bl_error *err)
{
    uint32_t rank = (uint32_t)bl_rt.rank;
    int rc = bl_journal_create(bl_rt.store, rank, "sent", bl_rt.settings.log_budget, &state.sent, err);
    state.told = counters();
    state.settled = counters();
    if (rc == BELAY_OK && (!state.told || !state.settled)) rc = out_of_memory(err);
    if (rc == BELAY_OK && bl_rt.incarnation > 0) {
        state.before = bl_feed_until();
        if (!state.before) rc = out_of_memory(err);
    }
    /* What comes before the first checkpoint begins at the start, whose events are in the first journal. */
    if (rc == BELAY_OK && keep(bl_rt.checkpoint, 0, bl_rt.incarnation == 0)) rc = out_of_memory(err);
    return rc;
}

/* In an incarnation that we have journals of: those of a false start are gone. */
static int ever_logged(void)
{
    bl_live_header h;
    bl_journal_reader *reader;
    bl_error ignored;
    if (bl_journal_read_open(bl_rt.store, (uint32_t)bl_rt.rank, "events", &reader, &ignored)) return 0;
    uint32_t oldest = bl_journal_read_oldest(reader);
    bl_journal_read_close(reader);
    for (uint32_t i = oldest; i < bl_rt.incarnation; i++)
        if (!bl_live_read_header(bl_rt.store, (uint32_t)bl_rt.rank, i, &h, &ignored) && h.logged) return 1;
    return 0;
}

/* Before all ranks have come to their first safe point there is no checkpoint; those that had not will do again what they did,
 * and with whom: then all do. */
static int forget_a_false_start(bl_error *err)
{
    uint32_t rank = (uint32_t)bl_rt.rank, mine[2] = { bl_rt.checkpoint, (uint32_t)!ever_logged() }, most[2];
    if (bl_rt.incarnation == 0) return BELAY_OK;
    PMPI_Allreduce(mine, most, 2, MPI_UINT32_T, MPI_MAX, bl_rt.private_comm);
    if (most[0] || !most[1]) return BELAY_OK; /* somebody has a checkpoint, so all came there; or they did without */
    state.forgotten = 1;
    int rc = bl_journal_retire_before(bl_rt.store, rank, "sent", state.began, err);
    return rc ? rc : bl_journal_retire_before(bl_rt.store, rank, "events", state.began, err);
}

static int begin(bl_error *err)
{
    state.began = bl_rt.incarnation;
    int rc = forget_a_false_start(err);
    if (rc == BELAY_OK) rc = bl_journal_create(bl_rt.store, (uint32_t)bl_rt.rank, "events", bl_rt.settings.log_budget, &state.events, err);
    if (rc == BELAY_OK && !state.forgotten) rc = bl_depend_adopt(state.events, err);
    PMPI_Barrier(bl_rt.private_comm); /* all read the journals of all */
    if (rc == BELAY_OK) rc = bl_outcome_load(bl_rt.checkpoint, err);
    if (rc == BELAY_OK) rc = bl_feed_load(err);
    if (rc == BELAY_OK) rc = open_journals(err);
    return rc;
}

static void all_or_none(int rc, bl_error *err)
{
    int bad = rc != BELAY_OK, any;
    PMPI_Allreduce(&bad, &any, 1, MPI_INT, MPI_MAX, bl_rt.private_comm);
    if (bad) bl_end_job(err);
    if (any) PMPI_Barrier(bl_rt.private_comm); /* another rank ends the job */
}

/* From here on what is undone of earlier incarnations is undone for good. */
void bl_log_say_begun(bl_error *err)
{
    bl_record r = { .kind = BL_EVENT_BEGUN };
    if (!bl_logging.rides) return;
    bl_log_append(state.events, &r, "");
    if (bl_journal_stable(state.events, err)) bl_end_job(err);
}

void bl_log_begin(bl_error *err)
{
    if (bl_rt.refused) bl_log_unsupported(bl_rt.refused);
    all_or_none(bl_prologue_settled("message logging", err), err);
    bl_prologue_forget();
    all_or_none(begin(err), err);
    all_or_none(bl_feed_agree(bl_rt.private_comm, 1, err), err);
    bl_log_say_begun(err);
    bl_feed_rest();
    bl_outcome_rest();
}

/* --- a rank that goes back while the others stay (local.h) --- */

int bl_log_recoverable(void)
{
    return bl_log_on() && !bl_logging.prologue && !state.crossing;
}

static void close_new(void)
{
    if (state.sent) bl_journal_close(state.sent);
    if (state.events) bl_journal_close(state.events);
    state.sent = state.events = NULL;
}

/* What will be needed from the first safe point on, and then what is needed up to there. */
int bl_log_rejoin(bl_error *err)
{
    uint32_t incarnation;
    state.began = bl_rt.incarnation;
    int rc = bl_journal_create(bl_rt.store, (uint32_t)bl_rt.rank, "events", bl_rt.settings.log_budget, &state.events, err);
    if (rc == BELAY_OK && bl_logging.rides) rc = bl_depend_adopt(state.events, err);
    if (rc == BELAY_OK) rc = bl_outcome_load(bl_rt.checkpoint, err);
    if (rc == BELAY_OK) rc = bl_feed_load(err);
    if (rc == BELAY_OK) rc = open_journals(err);
    if (rc == BELAY_OK) rc = bl_feed_agree(bl_rt.private_comm, 1, err);
    bl_feed_exchange();
    bl_outcome_exchange();
    if (rc == BELAY_OK) rc = bl_outcome_load_prologue(&incarnation, err);
    if (rc == BELAY_OK) rc = bl_feed_load_prologue(incarnation, err);
    if (rc == BELAY_OK) bl_log_say_begun(err);
    return rc;
}

/* The journals of the incarnation that has ended are as they will stay (depend.h), so what comes now is of those of this one; the numbers
 * of messages and calls go on. */
int bl_log_begin_anew(bl_error *err)
{
    if (!bl_logging.rides) return BELAY_OK;
    close_new();
    int rc = bl_journal_create(bl_rt.store, (uint32_t)bl_rt.rank, "events", bl_rt.settings.log_budget, &state.events, err);
    if (rc == BELAY_OK) rc = bl_journal_create(bl_rt.store, (uint32_t)bl_rt.rank, "sent", bl_rt.settings.log_budget, &state.sent, err);
    return rc;
}

/* As after a restart from the checkpoints that are kept. */
static void begins_here(void)
{
    uint64_t *sent = copy_of_counters(0);
    if (!sent) bl_log_end_job("out of memory for message logging");
    for (uint32_t i = 0; state.before && i < bl_rt.live.header->channel_slots; i++)
        if (state.before[i] > sent[i]) sent[i] = state.before[i];
    free(state.before);
    state.before = sent;
    state.began = bl_rt.incarnation;
    state.older_events_gone = 0;
    for (unsigned k = 0; k < state.stretches; k++) free(state.stretch[k].sent);
    state.stretches = 0;
    for (unsigned k = 0; k < state.kepts; k++) {
        free(state.kept[k].needs);
        state.kept[k].needs = NULL;
        state.kept[k].here = 0;
    }
}

void bl_log_go_on(MPI_Comm beside)
{
    if (!bl_logging.rides) return;
    bl_depend_rest();
    bl_journal_close(bl_logging.sent);
    bl_journal_close(bl_logging.events);
    bl_logging.sent = state.sent;
    bl_logging.events = state.events;
    state.sent = state.events = NULL;
    begins_here();
    bl_depend_go_on(beside);
}

void bl_log_moves(MPI_Comm comm)
{
    state.comm = comm;
    bl_comm_owned(comm);
    if (state.told) memset(state.told, 0, sizeof *state.told * bl_rt.live.header->channel_slots);
}

/* What is sent before the first safe point was compared when it was left out. */
static uint32_t between_before(void)
{
    bl_live_header h;
    bl_error ignored;
    for (uint32_t i = bl_rt.incarnation; i-- > 0;)
        if (!bl_live_read_header(bl_rt.store, (uint32_t)bl_rt.rank, i, &h, &ignored) && h.logged) return h.between;
    return 0;
}

static void rejoined(void)
{
    bl_rejoining = 0;
    bl_logging.prologue = 0;
    bl_feed_forget();
    bl_feed_exchange();
    bl_outcome_forget();
    bl_outcome_exchange();
    bl_logging.between = between_before();
}

/* A rank that is at step 50 may not exchange with one at step 40: what is sent here has to be what was sent here before. */
static void check_between(void)
{
    bl_live_header h;
    bl_error ignored;
    if (bl_logging.between_bytes && bl_rt.incarnation == 0 && bl_rt.settings.verbose && bl_rt.rank == 0)
        bl_say("rank 0: what it sends between belay_recover and its first safe point has to be the same after a failure (message logging): nothing there may depend on what was restored");
    if (!bl_rt.checkpoint) return; /* nothing was restored */
    for (uint32_t i = bl_rt.incarnation; i-- > 0;) {
        if (bl_live_read_header(bl_rt.store, (uint32_t)bl_rt.rank, i, &h, &ignored) || !h.logged) continue;
        if (h.between == (uint32_t)bl_logging.between) return;
        bl_log_end_job("what it sends between belay_recover and its first safe point is not what it sent there when it started: with message logging the ranks go on from different steps, so belay_checkpoint has to come at the beginning of the loop, before anything that depends on the restored state is sent");
    }
}

/* Nobody's message may be received on the other side of a first safe point; when all have come to theirs it is known. */
static void count_crossing(void)
{
    size_t ranks = (size_t)bl_rt.ranks;
    state.crossing = calloc(2 * ranks, sizeof *state.crossing);
    state.crossed = calloc(ranks, sizeof *state.crossed);
    if (!state.crossing || !state.crossed) bl_log_end_job("out of memory for message logging");
    for (uint32_t i = 0; i < bl_rt.live.header->channel_slots; i++) {
        const bl_live_slot *s = &bl_rt.live.slot[i];
        if (!s->comm) continue;
        state.crossing[s->peer] += s->sent - s->at_sent;
        state.crossed[s->peer] += s->received - s->at_received;
    }
    PMPI_Ialltoall(state.crossing, 1, MPI_UINT64_T, state.crossing + ranks, 1, MPI_UINT64_T, state.comm, &state.exchange);
}

/* At the end a rank may never have come to a safe point. */
static void look_at_crossing(int at_end)
{
    int done = 0;
    if (!state.crossing) return;
    if (at_end) PMPI_Wait(&state.exchange, MPI_STATUS_IGNORE);
    else if (PMPI_Test(&state.exchange, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) return;
    if (!at_end && !done) return;
    for (int r = 0; !at_end && r < bl_rt.ranks; r++)
        if (state.crossing[bl_rt.ranks + r] != state.crossed[r])
            bl_log_end_job("messages were under way at the first safe points: rank %d sent this rank %" PRIu64 " before its own, and this rank received %" PRIu64 " before its own; with message logging belay_checkpoint has to stand at the beginning of the loop, before what the loop receives",
                           r, state.crossing[bl_rt.ranks + r], state.crossed[r]);
    free(state.crossing);
    free(state.crossed);
    state.crossing = state.crossed = NULL;
    if (!at_end) older_prologues_go();
}

int bl_log_all_begun(void)
{
    look_at_crossing(0);
    return !state.crossing;
}

void bl_log_first_safe_point(void)
{
    bl_live_header *h = bl_rt.live.header;
    bl_error err = { 0, "" };
    if (bl_replaying) {
        bl_replay_first_safe_point(&err);
        return;
    }
    if (bl_rt.refused) bl_log_unsupported(bl_rt.refused);
    if (bl_rt.active) bl_log_end_job("at the first safe point a request is not completed: with message logging nothing may be under way there");
    int rejoins = bl_rejoining;
    if (rejoins) {
        rejoined();
    } else {
        check_between();
        end_prologue();
        count_crossing();
    }
    bl_prologue_forget();
    bl_logging.sent = state.sent;
    bl_logging.events = state.events;
    state.sent = state.events = NULL;
    if (bl_logging.rides) bl_depend_begin();
    if (!rejoins) bl_feed_wake();
    if (!rejoins) bl_outcome_wake();
    h->clock_base = h->calls - bl_outcome_clock();
    h->between = (uint32_t)bl_logging.between;
    h->logged = 1;
    bl_logged_begin();
}

/* --- what may go --- */

/* Left by incarnations before: what was sent to us before our first checkpoint is not asked to be kept. */
static void older_go(void)
{
    uint32_t *numbers = NULL;
    size_t count = 0;
    bl_error err = { 0, "" };
    int rc = bl_snapshot_list(bl_rt.store, (uint32_t)bl_rt.rank, &numbers, &count, &err);
    for (size_t k = 0; rc == BELAY_OK && k < count && numbers[k] < state.kept[0].checkpoint; k++)
        rc = bl_snapshot_remove(bl_rt.store, (uint32_t)bl_rt.rank, numbers[k], &err);
    if (rc) bl_say("rank %d: %s", bl_rt.rank, err.text);
    free(numbers);
}

static void oldest_kept_goes(void)
{
    kept gone = state.kept[0];
    bl_error err = { 0, "" };
    memmove(state.kept, state.kept + 1, --state.kepts * sizeof *state.kept);
    free(gone.received);
    free(gone.needs);
    if (gone.checkpoint && bl_snapshot_remove(bl_rt.store, (uint32_t)bl_rt.rank, gone.checkpoint, &err)) bl_say("rank %d: %s", bl_rt.rank, err.text);
    const kept *oldest = &state.kept[0];
    if (!oldest->here) return;
    int rc = bl_journal_retire(bl_logging.events, oldest->events_at, &err);
    /* A checkpoint taken while what was done before is done again does not have all of that. */
    if (rc == BELAY_OK && !state.older_events_gone && oldest->clock >= bl_outcome_known()) {
        rc = bl_journal_retire_before(bl_rt.store, (uint32_t)bl_rt.rank, "events", state.began, &err);
        state.older_events_gone = 1;
    }
    if (rc) bl_say("rank %d: %s", bl_rt.rank, err.text);
}

/* The newest that are kept, and one before them on which nobody can lose anything any more. */
static void older_than_kept_go(void)
{
    while (state.kepts > bl_rt.settings.keep && bl_depend_settled(state.kept[1].needs)) oldest_kept_goes();
}

static int send_to(int rank, const delivered *list, int count)
{
    bl_room room;
    size_t bytes = sizeof *list * (size_t)count;
    if (bl_room_take(&room, bytes ? bytes : 1)) return -1;
    if (bytes) memcpy(room.at, list, bytes);
    return bl_loose_send(&room, room.at, (int)bytes, MPI_BYTE, rank, count ? TAG_DELIVERED : TAG_ASK, state.comm); /* to a dead rank it is said again */
}

/* To each sender, what the oldest checkpoint we keep holds of it. */
static void tell_senders(void)
{
    const uint64_t *received = state.kept[0].received;
    delivered list[64];
    for (int r = 0; r < bl_rt.ranks; r++) {
        int count = 0;
        for (uint32_t i = 0; i < bl_rt.live.header->channel_slots; i++) {
            const bl_live_slot *s = &bl_rt.live.slot[i];
            if (!s->comm || s->peer != r || received[i] <= state.told[i]) continue;
            state.told[i] = received[i];
            list[count++] = (delivered){ s->comm, received[i], s->tag, 0 };
            if (count == 64) send_to(r, list, count);
            if (count == 64) count = 0;
        }
        if (count) send_to(r, list, count);
    }
}

static void tell_stable(void)
{
    for (int r = 0; bl_logging.rides && r < bl_rt.ranks; r++) {
        bl_room room;
        uint32_t stable = bl_depend_stable();
        if (r == bl_rt.rank || bl_room_take(&room, sizeof stable)) continue;
        memcpy(room.at, &stable, sizeof stable);
        (void)bl_loose_send(&room, room.at, (int)sizeof stable, MPI_BYTE, r, TAG_STABLE, state.comm);
    }
}

static int all_settled(const uint64_t *sent)
{
    for (uint32_t i = 0; i < bl_rt.live.header->channel_slots; i++)
        if (sent[i] > state.settled[i]) return 0;
    return 1;
}

static void retire(void)
{
    bl_error err = { 0, "" };
    int rc = BELAY_OK;
    if (state.before && all_settled(state.before)) {
        rc = bl_journal_retire_before(bl_rt.store, (uint32_t)bl_rt.rank, "sent", state.began, &err);
        free(state.before);
        state.before = NULL;
    }
    unsigned gone = 0;
    while (gone < state.stretches && all_settled(state.stretch[gone].sent)) free(state.stretch[gone++].sent);
    if (rc == BELAY_OK && gone) rc = bl_journal_retire(bl_logging.sent, state.stretch[gone - 1].end, &err);
    state.stretches -= gone;
    memmove(state.stretch, state.stretch + gone, state.stretches * sizeof *state.stretch);
    if (rc) bl_say("rank %d: %s", bl_rt.rank, err.text);
}

static void end_stretch(void)
{
    uint64_t position = bl_journal_position(bl_logging.sent), *sent = copy_of_counters(0);
    if (!sent) return; /* then it goes with the next */
    if (state.stretches == STRETCHES) free(state.stretch[--state.stretches].sent); /* the newest two become one */
    state.stretch[state.stretches++] = (stretch){ position, sent };
}

static void heard(const delivered *list, int count, int from)
{
    for (int k = 0; k < count; k++) {
        const bl_live_slot *slot = bl_comm_slot_by_id(list[k].comm, from, list[k].tag);
        uint64_t *settled = slot ? &state.settled[slot - bl_rt.live.slot] : NULL;
        if (settled && list[k].received > *settled) *settled = list[k].received;
    }
}

int bl_log_poll(void)
{
    delivered list[64];
    MPI_Status s;
    int there = 0, news = 0, bytes;
    if (bl_logging.prologue || bl_replaying) return 0;
    look_at_crossing(0);
    bl_rt.completing = bl_rt.local;
    while (PMPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, state.comm, &there, &s) == MPI_SUCCESS && there) {
        if (PMPI_Recv(list, (int)sizeof list, MPI_BYTE, s.MPI_SOURCE, s.MPI_TAG, state.comm, &s) != MPI_SUCCESS) break;
        PMPI_Get_count(&s, MPI_BYTE, &bytes);
        if (s.MPI_TAG == TAG_STABLE) {
            uint32_t stable;
            memcpy(&stable, list, sizeof stable);
            bl_depend_hear(s.MPI_SOURCE, stable);
            unsigned before = state.kepts;
            older_than_kept_go();
            if (state.kepts < before) tell_senders();
        } else {
            heard(list, bytes / (int)sizeof *list, s.MPI_SOURCE);
        }
        if (s.MPI_TAG == TAG_ASK) bl_independent_ask();
        news = 1;
    }
    bl_rt.completing = 0;
    int hurt = bl_rt.hurt;
    bl_rt.hurt = 0;
    if (news) retire();
    return hurt;
}

/* --- room --- */

static void ask_the_others(void)
{
    for (int r = 0; r < bl_rt.ranks; r++)
        if (r != bl_rt.rank) send_to(r, NULL, 0);
}

/* One checkpoint of each need not be enough: what counts is the oldest that is kept. */
void bl_log_safe_point(uint64_t safe_point)
{
    if (bl_logging.prologue || bl_replaying) return;
    if (state.crossing) look_at_crossing(0);
    if (safe_point % LISTEN_EACH == 0 && bl_log_poll()) bl_injob_mend();
    if (safe_point < state.ask_again || !(bl_journal_over(bl_logging.sent) || bl_journal_over(bl_logging.events))) return;
    state.ask_again = safe_point + LISTEN_EACH;
    bl_independent_ask();
    ask_the_others();
}

int bl_log_wait_for_room(bl_journal *journal)
{
    bl_error err = { 0, "" };
    if (bl_logging.prologue) lose_prologue("more than 64 MiB of messages");
    if (bl_logging.prologue || !journal) return 0;
    if (bl_journal_error(journal, &err)) bl_end_job(&err);
    int64_t began = bl_ticks_ns(), asked = began;
    ask_the_others();
    bl_say("rank %d: its journal is full (log-budget=%" PRIu64 "M): waiting for checkpoints of those it has sent to", bl_rt.rank,
           bl_rt.settings.log_budget >> 20);
    uint64_t bytes = bl_journal_bytes(journal);
    for (unsigned turn = 0; bl_journal_bytes(journal) >= bytes; turn++) {
        if (bl_log_poll()) bl_injob_go_back(); /* in the middle of a send: nobody could tell whether it was */
        bl_pause_briefly(turn);
        if (bl_seconds(bl_ticks_ns() - asked) > ASK_EACH_S) {
            asked = bl_ticks_ns();
            ask_the_others();
        }
        if (bl_seconds(bl_ticks_ns() - began) > bl_rt.settings.align_timeout_s)
            bl_log_end_job("the journal is full and no checkpoint has come for %.0f s: raise log-budget, or checkpoint more often",
                           bl_rt.settings.align_timeout_s);
    }
    return 1;
}

/* The live table is not forced: a call that has shown nothing becomes an event before others can know of it. */
void bl_log_say_clock(void)
{
    if (bl_logging.unsaid && !bl_logging.prologue) bl_outcome_log(BL_EVENT_CLOCK, bl_log_clock(), 0, 0, "", 0);
    bl_logging.unsaid = 0;
}

void bl_log_force(void)
{
    bl_error err;
    if (bl_logging.prologue || bl_replaying) return;
    bl_log_say_clock();
    if (bl_journal_stable(bl_logging.events, &err)) bl_end_job(&err);
}

/* --- checkpoints --- */

int bl_log_checkpoint(uint32_t checkpoint, bl_error *err)
{
    bl_record r = { .a = bl_log_clock(), .b = checkpoint, .kind = BL_EVENT_CHECKPOINT, .number = bl_depend_number() };
    bl_logging.cut_at = bl_journal_position(bl_logging.events);
    bl_log_append(bl_logging.events, &r, "");
    int rc = bl_journal_stable(bl_logging.events, err);
    if (rc == BELAY_OK) bl_depend_forced();
    return rc ? rc : bl_journal_stable(bl_logging.sent, err); /* what is sent before it cannot be sent again after it */
}

void bl_log_kept(uint32_t checkpoint)
{
    if (state.kepts == 1 && !state.kept[0].here) older_go();
    if (keep(checkpoint, bl_logging.cut_at, 1)) return; /* no memory: the older ones stay */
    older_than_kept_go();
    end_stretch();
    tell_stable();
    tell_senders();
    bl_log_poll();
}

/* --- end --- */

void bl_log_lose(void)
{
    if (bl_logging.prologue || bl_rt.settings.logging == BL_LOGGING_NONE) return;
    if (bl_logging.events) bl_journal_lose(bl_logging.events);
    if (bl_logging.sent) bl_journal_lose(bl_logging.sent);
}

void bl_log_finish(void)
{
    if (state.comm == MPI_COMM_NULL || bl_rt.settings.logging == BL_LOGGING_NONE) return;
    for (unsigned turn = 0; bl_loose_pending(); turn++) bl_pause_briefly(turn);
    PMPI_Barrier(state.comm);
    if (bl_logging.prologue && state.settled) count_crossing(); /* others may have come to a safe point */
    if (state.settled) look_at_crossing(1);
    bl_log_poll();
    bl_depend_finish();
    bl_layout_finish();
    bl_comm_disown(&state.comm);
}

void bl_log_abandon(void)
{
    if (bl_rt.settings.logging == BL_LOGGING_NONE) return;
    bl_logged_abandon();
    bl_depend_finish();
    bl_layout_finish();
    if (state.comm) bl_comm_disown(&state.comm);
}

void bl_log_free(void)
{
    close_new();
    if (bl_logging.sent) bl_journal_close(bl_logging.sent);
    if (bl_logging.events && bl_logging.events != bl_logging.sent) bl_journal_close(bl_logging.events);
    for (unsigned k = 0; k < state.kepts; k++) {
        free(state.kept[k].received);
        free(state.kept[k].needs);
    }
    for (unsigned k = 0; k < state.stretches; k++) free(state.stretch[k].sent);
    free(state.kept);
    free(state.told);
    free(state.settled);
    free(state.before);
    memset(&state, 0, sizeof state);
    memset(&bl_logging, 0, sizeof bl_logging);
    bl_depend_free();
    bl_outcome_free();
    bl_logged_free();
    bl_feed_free();
}
