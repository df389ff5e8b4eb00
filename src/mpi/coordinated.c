/* coordinated.c - the coordinated checkpoint: drives protocol/coordinated.h and protocol/commit.h with MPI messages, the
 * store and the clock.  Nothing here waits in a blocking MPI call: a peer that cannot reach its safe point because it
 * waits for us must find us able to give up. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/carry.h"
#include "mpi/checkpoint.h"
#include "mpi/redundancy.h"
#include "protocol/coordinated.h"
#include "util/clock.h"

#define PROBE_S 0.02     /* after so long we look whether they wait for us to receive something */
#define LEFT_S 2.0       /* the same with async: who has aligned leaves the safe point, and what it sends then may come before our part of the exchange */
#define ASK_S 5.0        /* peers have so long to answer QUERY */
#define WARN_S 60.0      /* then a rank says what it is waiting for */
enum { TAG_MASK = 0x7fff, VIOLATIONS_SHOWN = 4, STALE_TAGS = 2 };

typedef struct message {  /* on the private communicator, with the checkpoint's number as tag */
    uint32_t kind, checkpoint, incarnation;
    uint32_t oldest;      /* COMMIT: the oldest checkpoint that stays; ranks remove what is older */
    bl_digest digest;     /* VOTE_YES: of the voter's snapshot */
} message;

typedef struct outgoing { struct outgoing *next; MPI_Request request; message message; } outgoing;

typedef struct bl_drive {
    bl_commit machine;
    bl_report *mine, *theirs;  /* [ranks] */
    uint64_t *received;        /* [ranks] */
    uint8_t *votes;            /* [ranks] */
    bl_digest *digests;        /* [ranks] */
    MPI_Request exchange;
    outgoing *out;
    bl_cut cut;
    uint32_t oldest;
    int64_t began_ns, deadline_ns;
    uint32_t deadline_timer;
    int refused;               /* this rank has said why there is no checkpoint */
    int stages;                /* async: this one is put aside, and written while the program goes on */
    int staged, writing, pending; /* it is put aside; the writer has not been seen to be done; the outcome is not known */
    double held_s;             /* for so long the program was held up */
} bl_drive;

/* --- messages --- */

static void reap_sent(bl_drive *d)
{
    for (outgoing **link = &d->out; *link;) {
        outgoing *o = *link;
        int done;
        PMPI_Test(&o->request, &done, MPI_STATUS_IGNORE);
        if (!done) {
            link = &o->next;
            continue;
        }
        *link = o->next;
        free(o);
    }
}

static void post(bl_drive *d, enum bl_commit_kind kind, int to)
{
    outgoing *o = calloc(1, sizeof *o);
    if (!o) return; /* a lost message can only cost the checkpoint */
    o->message = (message){ (uint32_t)kind, d->machine.checkpoint, d->machine.incarnation, d->oldest, d->cut.digest };
    o->next = d->out;
    d->out = o;
    PMPI_Isend(&o->message, (int)sizeof o->message, MPI_BYTE, to, (int)(d->machine.checkpoint & TAG_MASK),
               bl_rt.private_comm, &o->request);
}

static int receive(uint32_t checkpoint, message *m, int *from)
{
    int there;
    MPI_Status status;
    PMPI_Iprobe(MPI_ANY_SOURCE, (int)(checkpoint & TAG_MASK), bl_rt.private_comm, &there, &status);
    if (!there) return 0;
    *from = status.MPI_SOURCE;
    PMPI_Recv(m, (int)sizeof *m, MPI_BYTE, status.MPI_SOURCE, status.MPI_TAG, bl_rt.private_comm, MPI_STATUS_IGNORE);
    return 1;
}

/* Questions and answers that came after we had left an earlier checkpoint. */
static void drop_stale(uint32_t checkpoint)
{
    message m;
    int from;
    for (uint32_t back = 1; back <= STALE_TAGS && back < checkpoint; back++)
        while (receive(checkpoint - back, &m, &from)) continue;
}

/* --- the decision --- */

/* The oldest checkpoint that stays once `newest` is committed; records of older ones are removed here, before anybody
 * hears of the commit and removes the snapshots they name. */
static uint32_t retire_records(uint32_t newest)
{
    uint32_t *numbers, oldest = newest;
    size_t count;
    bl_error err;
    if (bl_commit_list(bl_rt.store, &numbers, &count, &err)) return 0;
    unsigned kept = 0;
    for (size_t i = count; i-- > 0 && kept < bl_rt.settings.keep;) {
        bl_commit_record record = { 0 };
        if (bl_commit_read(bl_rt.store, numbers[i], &record, &err) == BELAY_OK && record.decision == BL_COMMITTED) {
            oldest = numbers[i];
            kept++;
        }
        bl_commit_clear(&record);
    }
    if (oldest > bl_redundancy_oldest()) oldest = bl_redundancy_oldest();
    for (size_t i = 0; i < count && kept == bl_rt.settings.keep && numbers[i] < oldest; i++)
        bl_commit_remove(bl_rt.store, numbers[i], &err);
    free(numbers);
    return kept == bl_rt.settings.keep ? oldest : 0;
}

static void retire_snapshots(uint32_t oldest)
{
    uint32_t *numbers;
    size_t count;
    bl_error err;
    if (!oldest || bl_snapshot_list(bl_rt.store, (uint32_t)bl_rt.rank, &numbers, &count, &err)) return;
    bl_point(BL_POINT_collect);
    for (size_t i = 0; i < count && numbers[i] < oldest; i++)
        bl_snapshot_remove(bl_rt.store, (uint32_t)bl_rt.rank, numbers[i], &err);
    free(numbers);
}

static enum bl_commit_outcome outcome_of(enum bl_decision decision)
{
    return decision == BL_COMMITTED ? BL_OUTCOME_COMMITTED : decision == BL_ABORTED ? BL_OUTCOME_ABORTED : BL_OUTCOME_NONE;
}

static enum bl_commit_outcome decide(bl_drive *d, enum bl_commit_outcome wanted)
{
    bl_error err = { 0, "" };
    enum bl_decision actual = BL_UNDECIDED;
    bl_commit_record record = { .decision = wanted == BL_OUTCOME_COMMITTED ? BL_COMMITTED : BL_ABORTED,
                                .checkpoint = d->machine.checkpoint, .incarnation = bl_rt.incarnation,
                                .ranks = (uint32_t)bl_rt.ranks, .safe_point = d->cut.safe_point, .time_ns = d->cut.taken_ns,
                                .compute_s = d->cut.moment ? d->cut.moment->compute_s : bl_useful_seconds(), .digests = wanted == BL_OUTCOME_COMMITTED ? d->digests : NULL };
    bl_point(BL_POINT_decide);
    int rc = bl_commit_decide(bl_rt.store, &record, &actual, &err);
    if (rc == BELAY_ERR_STALE) bl_end_job(&err);
    if (rc) {
        /* Was the record published before it failed?  Only the store can tell; if it does not, nobody may guess. */
        bl_failed(rc, &err);
        bl_commit_record now = { 0 };
        rc = bl_commit_read(bl_rt.store, d->machine.checkpoint, &now, &err);
        actual = rc == BELAY_OK ? now.decision : BL_UNDECIDED;
        bl_commit_clear(&now);
        if (rc != BELAY_OK && rc != BELAY_ERR_NONE) bl_end_job(&err);
    }
    bl_point(BL_POINT_commit);
    if (actual == BL_COMMITTED) d->oldest = retire_records(d->machine.checkpoint);
    return outcome_of(actual);
}

static enum bl_commit_outcome read_decision(const bl_drive *d)
{
    bl_error err;
    bl_commit_record record = { 0 };
    int rc = bl_commit_read(bl_rt.store, d->machine.checkpoint, &record, &err);
    enum bl_commit_outcome outcome = rc == BELAY_OK ? outcome_of(record.decision) : BL_OUTCOME_NONE;
    bl_commit_clear(&record);
    return outcome;
}

/* --- the machine: performs actions, feeds what they bring back --- */

static double patience(enum bl_commit_timer wait)
{
    switch (wait) {
    case BL_TIMER_ASK: return ASK_S;
    case BL_TIMER_READY: return 2.5 * bl_rt.settings.commit_timeout_s;
    default: return bl_rt.settings.commit_timeout_s;
    }
}

/* Returns 1 and the event that follows when the action has an answer. */
static int perform(bl_drive *d, const bl_commit_action *a, bl_commit_event *answer, bl_error *err)
{
    *answer = (bl_commit_event){ .checkpoint = d->machine.checkpoint, .incarnation = d->machine.incarnation };
    switch (a->type) {
    case BL_ACTION_TAKE_SNAPSHOT: {
        bl_point(BL_POINT_snapshot);
        int rc = d->stages ? bl_stage_begin(&d->cut, err) : bl_cut_write(&d->cut, err);
        if (d->stages && rc == BELAY_OK) {
            d->staged = d->writing = 1;
            return 0; /* the answer comes later */
        }
        if (rc == BELAY_ERR_STALE) bl_end_job(err);
        if (rc) {
            bl_failed(rc, err);
            d->refused = rc;
        }
        bl_point(BL_POINT_vote);
        answer->type = rc ? BL_EVENT_REFUSED : BL_EVENT_SNAPSHOT_DONE;
        if (!rc && bl_rt.rank == 0) d->digests[0] = d->cut.digest;
        return 1;
    }
    case BL_ACTION_SEND: post(d, a->kind, (int)a->to); return 0;
    case BL_ACTION_SEND_ALL:
        for (int r = 0; r < bl_rt.ranks; r++)
            if (r != bl_rt.rank) post(d, a->kind, r);
        return 0;
    case BL_ACTION_DECIDE:
        answer->type = BL_EVENT_DECIDED;
        answer->outcome = decide(d, a->outcome);
        return 1;
    case BL_ACTION_READ_DECISION:
        answer->type = BL_EVENT_DECISION_READ;
        answer->outcome = read_decision(d);
        return 1;
    case BL_ACTION_SET_TIMER:
        d->deadline_timer = a->timer;
        d->deadline_ns = bl_ticks_ns() + (int64_t)(patience(a->wait) * 1e9);
        return 0;
    case BL_ACTION_CANCEL_TIMER: d->deadline_ns = INT64_MAX; return 0;
    case BL_ACTION_OUTCOME: return 0; /* the loop looks at bl_commit_outcome */
    }
    return 0;
}

static void perform_all(bl_drive *d, bl_commit_actions *actions)
{
    bl_error err = { 0, "" };
    for (;;) {
        bl_commit_event answer, next;
        int answered = 0;
        for (unsigned i = 0; i < actions->count; i++) {
            if (!perform(d, &actions->action[i], &answer, &err)) continue;
            next = answer;
            answered = 1;
        }
        if (!answered) return;
        if (bl_commit_step(&d->machine, &next, actions, &err)) bl_end_job(&err);
    }
}

static void feed(bl_drive *d, const bl_commit_event *event)
{
    bl_commit_actions actions;
    bl_error err = { 0, "" };
    if (bl_commit_step(&d->machine, event, &actions, &err)) bl_end_job(&err);
    perform_all(d, &actions);
}

static void feed_simple(bl_drive *d, enum bl_commit_event_type type, uint32_t timer)
{
    feed(d, &(bl_commit_event){ .type = type, .checkpoint = d->machine.checkpoint,
                                .incarnation = d->machine.incarnation, .timer = timer });
}

static void feed_messages(bl_drive *d)
{
    message m;
    int from;
    while (receive(d->machine.checkpoint, &m, &from)) {
        if (bl_commit_when(&d->machine, m.checkpoint, m.incarnation) != BL_WHEN_NOW || m.kind >= BL_KINDS) continue;
        if (m.kind == BL_KIND_VOTE_YES && bl_rt.rank == 0) d->digests[from] = m.digest;
        if (m.kind == BL_KIND_COMMIT) d->oldest = m.oldest;
        feed(d, &(bl_commit_event){ .type = BL_EVENT_MESSAGE, .kind = (enum bl_commit_kind)m.kind, .from = (uint32_t)from,
                                    .checkpoint = m.checkpoint, .incarnation = m.incarnation });
    }
}

/* --- alignment: what each rank tells the others --- */

static void add_communicator(bl_drive *d, const bl_comm *c)
{
    uint64_t started = c->collective ? c->collective->started : 0;
    if (!started) return; /* a rank that has not used it yet may not know it yet */
    uint64_t mixed = bl_report_mix(c->id, started);
    for (int i = 0; i < c->peers; i++) {
        int world = bl_comm_world_rank(c, i);
        if (world >= 0) d->mine[world].collectives += mixed;
    }
    for (int i = 0; c->local && i < c->size; i++)
        if (c->local[i] >= 0) d->mine[c->local[i]].collectives += mixed;
}

static void fill_reports(bl_drive *d)
{
    size_t n = (size_t)bl_rt.ranks;
    memset(d->mine, 0, n * sizeof *d->mine);
    memset(d->received, 0, n * sizeof *d->received);
    for (uint32_t i = 0; i < bl_rt.live.header->channel_slots; i++) {
        const bl_live_slot *s = &bl_rt.live.slot[i];
        if (!s->comm) continue;
        d->mine[s->peer].sent += s->sent;
        d->received[s->peer] += s->received;
    }
    for (unsigned i = 0; i < bl_rt.comms; i++) add_communicator(d, bl_rt.comm[i]);
    for (size_t i = 0; i < n; i++) d->mine[i].obstacles = bl_rt.active + (bl_rt.refused != NULL);
}

/* An arrived message that nobody has received yet, for the sentence; 0 if there is none to see. */
static int unreceived(char *text, size_t size)
{
    for (unsigned i = 0; i < bl_rt.comms; i++) {
        int there = 0, bytes = 0;
        MPI_Status status;
        char name[MPI_MAX_OBJECT_NAME];
        MPI_Comm comm = bl_rt.comm[i]->handle;
        PMPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm, &there, &status);
        if (!there) continue;
        bl_carry_probed(comm, &status);
        PMPI_Get_count(&status, MPI_BYTE, &bytes);
        bl_comm_text(comm, name, sizeof name);
        snprintf(text, size, "a message of %d bytes from rank %d, tag %d on %s, has arrived and is not received", bytes,
                 bl_comm_world_rank(bl_rt.comm[i], status.MPI_SOURCE), status.MPI_TAG, name);
        return 1;
    }
    return 0;
}

static const char *const receive_it = "receive it before belay_checkpoint, or move the safe point to where no message is under way";

static void refuse(bl_drive *d, const char *reason, const char *advice)
{
    if (!d->refused) d->refused = bl_cut_refuse(d->cut.safe_point, reason, advice);
}

static void refuse_outstanding(bl_drive *d)
{
    if (!d->refused) d->refused = bl_cut_refuse_outstanding(d->cut.safe_point);
}

static void refuse_violation(bl_drive *d, const bl_violation *v)
{
    char text[400], seen[300];
    if (v->kind == BL_VIOLATION_OBSTACLE && v->peer == (uint32_t)bl_rt.rank) {
        refuse_outstanding(d);
        return;
    }
    bl_error what;
    bl_violation_text(v, (uint32_t)bl_rt.rank, &what);
    snprintf(text, sizeof text, "%.390s", what.text);
    if (v->kind == BL_VIOLATION_IN_TRANSIT && unreceived(seen, sizeof seen)) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, " (%s)", seen);
    }
    refuse(d, text,
           v->kind == BL_VIOLATION_IN_TRANSIT   ? receive_it
           : v->kind == BL_VIOLATION_COLLECTIVE ? "all members have to make a collective call before the safe point, or all after it"
           : v->kind == BL_VIOLATION_ORPHAN     ? "the sender has to pass this safe point after the send, as the receiver does"
                                                : "complete it with MPI_Wait or MPI_Test before belay_checkpoint");
}

static void exchanged(bl_drive *d)
{
    bl_view view = { (uint32_t)bl_rt.rank, (uint32_t)bl_rt.ranks, d->received, d->mine, d->theirs };
    bl_violation violation[VIOLATIONS_SHOWN];
    size_t violations = 0;
    bl_commit_actions actions;
    bl_error err = { 0, "" };
    if (bl_coordinated_exchanged(&d->machine, &view, violation, VIOLATIONS_SHOWN, &violations, &actions, &err)) bl_end_job(&err);
    /* Another rank's outstanding request is that rank's to explain. */
    size_t shown = violations < VIOLATIONS_SHOWN ? violations : VIOLATIONS_SHOWN;
    for (size_t i = 0; i < shown; i++)
        if (violation[i].kind != BL_VIOLATION_OBSTACLE || violation[i].peer == (uint32_t)bl_rt.rank)
            refuse_violation(d, &violation[i]);
    perform_all(d, &actions);
}

/* While we wait for the others to align, one of them may be stuck in a send that we have not received. */
static void look_for_messages(bl_drive *d)
{
    char text[300];
    if (!unreceived(text, sizeof text)) return;
    feed_messages(d); /* has somebody given up meanwhile and gone on?  Then the message is none of this cut's */
    if (bl_commit_outcome(&d->machine) != BL_OUTCOME_NONE) return;
    bl_commit_actions actions;
    bl_error err = { 0, "" };
    refuse(d, text, receive_it);
    if (bl_coordinated_in_transit(&d->machine, &actions, &err)) bl_end_job(&err);
    perform_all(d, &actions);
}

/* 1 when the exchange of the attempt before is complete, so that its buffers are free. */
static int earlier_exchange_done(bl_drive *d)
{
    int done = 0;
    int64_t until = bl_ticks_ns() + (int64_t)(bl_rt.settings.align_timeout_s * 1e9);
    for (unsigned turn = 0; d->exchange != MPI_REQUEST_NULL; turn++) {
        PMPI_Test(&d->exchange, &done, MPI_STATUS_IGNORE);
        if (done) break;
        if (bl_ticks_ns() > until) return 0;
        bl_pause_briefly(turn);
    }
    return 1;
}

static void align(bl_drive *d)
{
    int done = 0;
    double waited;
    for (unsigned turn = 0; !done; turn++) {
        PMPI_Test(&d->exchange, &done, MPI_STATUS_IGNORE);
        if (done) {
            exchanged(d);
            return;
        }
        feed_messages(d);
        if (bl_commit_outcome(&d->machine) != BL_OUTCOME_NONE) return;
        waited = bl_seconds(bl_ticks_ns() - d->began_ns);
        if (waited > (d->stages ? LEFT_S : PROBE_S)) look_for_messages(d);
        if (bl_commit_outcome(&d->machine) != BL_OUTCOME_NONE) return;
        if (waited > bl_rt.settings.align_timeout_s) {
            char text[80];
            snprintf(text, sizeof text, "not all ranks have reached it within %g s (align-timeout)", bl_rt.settings.align_timeout_s);
            refuse(d, text, "every rank has to pass the same safe points, and none may need a message sent after one to reach it; "
                            "or let each rank save on its own (--checkpoint independent)");
            feed_simple(d, BL_EVENT_TIMEOUT, 0);
        }
        bl_pause_briefly(turn);
    }
}

static void await_outcome(bl_drive *d)
{
    for (unsigned turn = 0; bl_commit_outcome(&d->machine) == BL_OUTCOME_NONE; turn++) {
        feed_messages(d);
        reap_sent(d);
        if (bl_commit_outcome(&d->machine) != BL_OUTCOME_NONE) break;
        if (bl_ticks_ns() > d->deadline_ns) {
            uint32_t timer = d->deadline_timer;
            d->deadline_ns = INT64_MAX;
            feed_simple(d, BL_EVENT_TIMEOUT, timer);
        }
        bl_pause_briefly(turn);
    }
}

static void given_up(bl_drive *d)
{
    bl_error err = { 0, "" };
    bl_snapshot_remove(bl_rt.store, (uint32_t)bl_rt.rank, d->machine.checkpoint, &err);
    if (d->refused) return;
    bl_fail(&err, BELAY_ERR_ABORTED, "checkpoint %" PRIu32 " at safe point %" PRIu64 " was given up: another rank could not take its part",
            d->machine.checkpoint, d->cut.safe_point);
    bl_rt.last = err;
}

static void must_be_known(const bl_drive *d)
{
    bl_error err;
    if (bl_commit_outcome(&d->machine) != BL_OUTCOME_LOST) return;
    bl_fail(&err, BELAY_ERR_SYSTEM, "neither the job directory %s nor the other ranks answer: ending, so that a restart can read what was decided",
            bl_rt.settings.dir);
    bl_end_job(&err);
}

/* The outcome is known, and nobody writes any more.  BELAY_OK when committed. */
static int conclude(bl_drive *d)
{
    int committed = bl_commit_outcome(&d->machine) == BL_OUTCOME_COMMITTED;
    must_be_known(d);
    if (committed) {
        bl_point(BL_POINT_publish);
        bl_cut_stable(&d->cut);
        bl_redundancy_protect(d->machine.checkpoint, d->cut.digest);
        retire_snapshots(d->oldest);
        double seconds = bl_seconds(bl_ticks_ns() - d->began_ns);
        bl_cut_tell(&d->cut, seconds, d->staged ? d->held_s : seconds);
    } else {
        given_up(d);
    }
    if (d->staged) bl_stage_end(&d->cut);
    d->pending = d->staged = 0;
    return committed ? BELAY_OK : d->refused ? d->refused : BELAY_ERR_ABORTED;
}

/* --- with async: after the safe point --- */

int bl_coordinated_pending(void)
{
    return bl_rt.drive && bl_rt.drive->pending;
}

static void look_at_writer(bl_drive *d)
{
    int rc;
    bl_error err = { 0, "" };
    if (!d->writing || !bl_stage_done(&d->cut, &rc, &err)) return;
    d->writing = 0;
    if (rc == BELAY_ERR_STALE) bl_end_job(&err);
    if (rc) {
        bl_failed(rc, &err);
        d->refused = rc;
    }
    if (bl_commit_outcome(&d->machine) != BL_OUTCOME_NONE) return; /* given up by others meanwhile */
    if (!rc && bl_rt.rank == 0) d->digests[0] = d->cut.digest;
    bl_point(BL_POINT_vote);
    feed_simple(d, rc ? BL_EVENT_REFUSED : BL_EVENT_SNAPSHOT_DONE, 0);
}

/* Does not wait.  1: concluded, with *rc. */
static int go_on(bl_drive *d, int *rc)
{
    look_at_writer(d);
    feed_messages(d);
    reap_sent(d);
    if (bl_commit_outcome(&d->machine) == BL_OUTCOME_NONE || d->writing) return 0;
    *rc = conclude(d);
    return 1;
}

int bl_coordinated_go_on(void)
{
    int rc = BELAY_ERR_ABORTED;
    int64_t began = bl_ticks_ns();
    int concluded = go_on(bl_rt.drive, &rc);
    bl_rt.blocked_s += bl_seconds(bl_ticks_ns() - began);
    return concluded && rc == BELAY_OK;
}

/* Everybody comes here, or to a safe point: at the next checkpoint, or at the end. */
void bl_coordinated_settle(void)
{
    bl_drive *d = bl_rt.drive;
    int rc;
    for (unsigned turn = 0; d && d->pending && !go_on(d, &rc); turn++) {
        if (!d->writing && bl_ticks_ns() > d->deadline_ns) {
            uint32_t timer = d->deadline_timer;
            d->deadline_ns = INT64_MAX;
            feed_simple(d, BL_EVENT_TIMEOUT, timer);
        }
        bl_pause_briefly(turn);
    }
}

/* --- one checkpoint --- */

static void align_or_refuse(bl_drive *d)
{
    if (!earlier_exchange_done(d)) {
        refuse(d, "a rank has not reached the safe point of the checkpoint before", "every rank has to pass the same safe points");
        feed_simple(d, BL_EVENT_REFUSED, 0);
        return;
    }
    fill_reports(d);
    PMPI_Ialltoall(d->mine, 3, MPI_UINT64_T, d->theirs, 3, MPI_UINT64_T, bl_rt.private_comm, &d->exchange);
    if (bl_cut_obstructed()) {
        refuse_outstanding(d);
        feed_simple(d, BL_EVENT_REFUSED, 0); /* and leave: somebody may need us to complete it */
    } else {
        align(d);
    }
}

int bl_coordinated_take(uint64_t safe_point, int stops)
{
    bl_drive *d = bl_rt.drive;
    int rc = BELAY_OK;
    int64_t began = bl_ticks_ns();
    bl_coordinated_settle(); /* one at a time */
    bl_commit_init(&d->machine, (uint32_t)bl_rt.rank, (uint32_t)bl_rt.ranks, 0, bl_rt.next_checkpoint++, bl_rt.incarnation,
                   d->votes);
    d->cut = (bl_cut){ .checkpoint = d->machine.checkpoint, .safe_point = safe_point, .protocol = "coordinated" };
    d->oldest = 0;
    d->refused = 0;
    d->deadline_ns = INT64_MAX;
    d->began_ns = began;
    d->stages = bl_stage_on() && !stops;
    bl_point(BL_POINT_exchange);
    drop_stale(d->machine.checkpoint);
    align_or_refuse(d);
    d->held_s = bl_seconds(bl_ticks_ns() - began);
    if (d->writing) {
        d->pending = 1;
    } else {
        await_outcome(d);
        rc = conclude(d);
    }
    bl_rt.blocked_s += bl_seconds(bl_ticks_ns() - began);
    return rc;
}

int bl_coordinated_init(bl_error *err)
{
    size_t n = (size_t)bl_rt.ranks;
    bl_drive *d = calloc(1, sizeof *d);
    bl_rt.drive = d;
    if (d) {
        d->exchange = MPI_REQUEST_NULL;
        d->mine = calloc(n, sizeof *d->mine);
        d->theirs = calloc(n, sizeof *d->theirs);
        d->received = calloc(n, sizeof *d->received);
        d->votes = calloc(n, 1);
        d->digests = calloc(bl_rt.rank == 0 ? n : 1, sizeof *d->digests);
    }
    if (!d || !d->mine || !d->theirs || !d->received || !d->votes || !d->digests)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %zu ranks", n);
    return BELAY_OK;
}

/* A round that was opened at a safe point some rank never reached cannot be completed, nor taken back. */
static int settled(MPI_Request *request)
{
    int done = 1;
    for (unsigned turn = 0; turn < 1000; turn++) {
        PMPI_Test(request, &done, MPI_STATUS_IGNORE);
        if (done) return 1;
        bl_pause_briefly(turn);
    }
    return 0;
}

void bl_coordinated_free(void)
{
    bl_drive *d = bl_rt.drive;
    int quiet = settled(&bl_rt.round) & settled(&d->exchange);
    for (unsigned turn = 0; turn < 1000 && d->out; turn++) {
        reap_sent(d);
        if (d->out) bl_pause_briefly(turn);
    }
    if (!quiet || d->out) return; /* MPI still refers to our buffers: they stay */
    bl_comm_disown(&bl_rt.private_comm);
    free(d->mine);
    free(d->theirs);
    free(d->received);
    free(d->votes);
    free(d->digests);
    free(d);
}
