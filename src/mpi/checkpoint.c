/* checkpoint.c - safe points, and the coordinated checkpoint: drives protocol/coordinated.h and protocol/commit.h with
 * MPI messages, the store and the clock.  Nothing here waits in a blocking MPI call: a peer that cannot reach its safe
 * point because it waits for us must find us able to give up. */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mpi/runtime.h"
#include "protocol/coordinated.h"
#include "util/clock.h"

#define ALIGN_S 60.0     /* the others have so long to reach the same safe point */
#define PROBE_S 0.02     /* after so long we look whether they wait for us to receive something */
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
    uint64_t safe_point;
    uint32_t oldest;
    bl_digest digest;
    int64_t began_ns, deadline_ns;
    uint32_t deadline_timer;
    int refused;               /* this rank has said why there is no checkpoint */
    unsigned refusals;
    int64_t taken_ns;          /* realtime of the snapshot */
} bl_drive;

/* --- waiting without using the processor --- */

static void pause_briefly(unsigned turn)
{
    if (turn < 20) {
        sched_yield(); /* the message is often a moment away, and another rank may need this core to send it */
        return;
    }
    long us = turn < 60 ? 20 : turn < 200 ? 100 : 1000;
    nanosleep(&(struct timespec){ .tv_nsec = us * 1000 }, NULL);
}

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
    o->message = (message){ (uint32_t)kind, d->machine.checkpoint, d->machine.incarnation, d->oldest, d->digest };
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

/* --- the snapshot --- */

static size_t gather_channels(bl_channel *channels, size_t room)
{
    size_t count = 0;
    const bl_live_header *h = bl_rt.live.header;
    for (uint32_t i = 0; i < h->channel_slots && count < room; i++) {
        const bl_live_slot *s = &bl_rt.live.slot[i];
        if (s->comm) channels[count++] = (bl_channel){ s->comm, s->peer, s->tag, s->sent, s->received };
    }
    return count;
}

static size_t gather_collectives(bl_collectives *collectives, size_t room)
{
    size_t count = 0;
    for (uint32_t i = 0; i < bl_rt.live.header->collective_slots && count < room; i++) {
        const bl_live_collective *c = &bl_rt.live.collective[i];
        if (c->comm && c->started) collectives[count++] = (bl_collectives){ c->comm, c->started, c->size, 0 };
    }
    return count;
}

/* The cut is verified transitless, so what was received in this interval was sent in the interval of the same number. */
static size_t gather_dependencies(bl_dependency *dependencies, uint32_t checkpoint, uint8_t *seen)
{
    size_t count = 0;
    memset(seen, 0, (size_t)bl_rt.ranks);
    for (uint32_t i = 0; i < bl_rt.live.header->channel_slots; i++) {
        const bl_live_slot *s = &bl_rt.live.slot[i];
        if (!s->comm || s->received == s->at_received || seen[s->peer]) continue;
        seen[s->peer] = 1;
        dependencies[count++] = (bl_dependency){ (uint32_t)s->peer, checkpoint, checkpoint };
    }
    return count;
}

static double useful_seconds(void)
{
    double here = bl_rt.compute_since_ns ? bl_seconds(bl_ticks_ns() - bl_rt.compute_since_ns) - bl_rt.blocked_s : 0;
    return bl_rt.compute_base_s + (here > 0 ? here : 0);
}

static int write_snapshot(bl_drive *d, bl_error *err)
{
    const bl_live_header *h = bl_rt.live.header;
    bl_channel *channels = malloc(sizeof *channels * (h->channels + 1u));
    bl_collectives *collectives = malloc(sizeof *collectives * (h->collectives + 1u));
    bl_dependency *dependencies = malloc(sizeof *dependencies * (size_t)bl_rt.ranks);
    uint8_t *seen = malloc((size_t)bl_rt.ranks);
    int rc;
    if (channels && collectives && dependencies && seen) {
        d->taken_ns = bl_now_ns();
        bl_snapshot s = { .rank = (uint32_t)bl_rt.rank, .ranks = (uint32_t)bl_rt.ranks, .checkpoint = d->machine.checkpoint,
                          .incarnation = bl_rt.incarnation, .line_base = h->base, .safe_point = d->safe_point,
                          .time_ns = d->taken_ns, .compute_s = useful_seconds(), .protocol = "coordinated",
                          .variables = bl_rt.variable, .nvariables = bl_rt.variables,
                          .channels = channels, .nchannels = gather_channels(channels, h->channels),
                          .collectives = collectives, .ncollectives = gather_collectives(collectives, h->collectives),
                          .dependencies = dependencies };
        s.ndependencies = gather_dependencies(dependencies, d->machine.checkpoint, seen);
        rc = bl_snapshot_write(bl_rt.store, &s, &d->digest, err);
    } else {
        rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory while taking checkpoint %" PRIu32, d->machine.checkpoint);
    }
    free(channels);
    free(collectives);
    free(dependencies);
    free(seen);
    return rc;
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
                                .ranks = (uint32_t)bl_rt.ranks, .safe_point = d->safe_point, .time_ns = d->taken_ns,
                                .compute_s = useful_seconds(), .digests = wanted == BL_OUTCOME_COMMITTED ? d->digests : NULL };
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
        int rc = write_snapshot(d, err);
        if (rc == BELAY_ERR_STALE) bl_end_job(err);
        if (rc) {
            bl_failed(rc, err);
            d->refused = rc;
        }
        bl_point(BL_POINT_vote);
        answer->type = rc ? BL_EVENT_REFUSED : BL_EVENT_SNAPSHOT_DONE;
        if (!rc && bl_rt.rank == 0) d->digests[0] = d->digest;
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
        PMPI_Get_count(&status, MPI_BYTE, &bytes);
        bl_comm_text(comm, name, sizeof name);
        snprintf(text, size, "a message of %d bytes from rank %d, tag %d on %s, has arrived and is not received", bytes,
                 bl_comm_world_rank(bl_rt.comm[i], status.MPI_SOURCE), status.MPI_TAG, name);
        return 1;
    }
    return 0;
}

static void outstanding_text(char *text, size_t size)
{
    const bl_request *r = bl_request_outstanding();
    if (bl_rt.refused) {
        snprintf(text, size, "the program has used %s, after which this version cannot verify that nothing is in transit",
                 bl_rt.refused);
        return;
    }
    char name[MPI_MAX_OBJECT_NAME] = "no communicator", peer[32] = "any rank";
    if (r && r->comm) bl_comm_text(r->comm->handle, name, sizeof name);
    if (r && r->peer >= 0) snprintf(peer, sizeof peer, "rank %d", r->peer);
    if (!r) snprintf(text, size, "a request is outstanding");
    else if (r->kind == BL_REQ_COLLECTIVE)
        snprintf(text, size, "the %s on %s (MPI call %" PRIu64 ") is not completed", bl_call_name(r->call), name, r->number);
    else
        snprintf(text, size, "the %s %s %s, tag %d on %s (MPI call %" PRIu64 ") is not completed", bl_call_name(r->call),
                 r->kind == BL_REQ_SEND ? "to" : "from", peer, r->tag, name, r->number);
}

/* Says why there is no checkpoint: the 1st, 2nd, 4th, 8th ... time, since a program refused once is refused often. */
static void refuse(bl_drive *d, const char *reason, const char *advice)
{
    if (d->refused) return;
    d->refused = BELAY_ERR_PENDING;
    bl_error err;
    bl_fail(&err, BELAY_ERR_PENDING, "no checkpoint at safe point %" PRIu64 ": %s; %s", d->safe_point, reason, advice);
    d->refusals++;
    if ((d->refusals & (d->refusals - 1)) == 0) bl_say("rank %d: %s", bl_rt.rank, err.text);
    bl_rt.last = err;
}

static const char *const complete_it = "complete it with MPI_Wait or MPI_Test before belay_checkpoint";
static const char *const receive_it = "receive it before belay_checkpoint, or move the safe point to where no message is under way";

static void refuse_outstanding(bl_drive *d)
{
    char text[400];
    outstanding_text(text, sizeof text);
    refuse(d, text, bl_rt.refused ? "run without checkpoints (--every never)" : complete_it);
}

static void refuse_violation(bl_drive *d, const bl_violation *v)
{
    char text[400], seen[300];
    if (v->kind == BL_VIOLATION_OBSTACLE && v->peer == (uint32_t)bl_rt.rank) {
        refuse_outstanding(d);
        return;
    }
    bl_violation_text(v, (uint32_t)bl_rt.rank, text, sizeof text);
    if (v->kind == BL_VIOLATION_IN_TRANSIT && unreceived(seen, sizeof seen)) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, " (%s)", seen);
    }
    refuse(d, text,
           v->kind == BL_VIOLATION_IN_TRANSIT   ? receive_it
           : v->kind == BL_VIOLATION_COLLECTIVE ? "all members have to make a collective call before the safe point, or all after it"
           : v->kind == BL_VIOLATION_ORPHAN     ? "the sender has to pass this safe point after the send, as the receiver does"
                                                : complete_it);
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
    int64_t until = bl_ticks_ns() + (int64_t)(ALIGN_S * 1e9);
    for (unsigned turn = 0; d->exchange != MPI_REQUEST_NULL; turn++) {
        PMPI_Test(&d->exchange, &done, MPI_STATUS_IGNORE);
        if (done) break;
        if (bl_ticks_ns() > until) return 0;
        pause_briefly(turn);
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
        if (waited > PROBE_S) look_for_messages(d);
        if (bl_commit_outcome(&d->machine) != BL_OUTCOME_NONE) return;
        if (waited > ALIGN_S) {
            refuse(d, "not all ranks have reached it within 60 s",
                   "every rank has to pass the same safe points, and none may need a message sent after one to reach it");
            feed_simple(d, BL_EVENT_TIMEOUT, 0);
        }
        pause_briefly(turn);
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
        pause_briefly(turn);
    }
}

/* --- one checkpoint --- */

static void committed(bl_drive *d)
{
    bl_live_header *h = bl_rt.live.header;
    bl_point(BL_POINT_publish);
    for (uint32_t i = 0; i < h->channel_slots; i++) {
        bl_live_slot *s = &bl_rt.live.slot[i];
        if (!s->comm) continue;
        s->at_sent = s->sent;
        s->at_received = s->received;
    }
    for (uint32_t i = 0; i < h->collective_slots; i++) bl_rt.live.collective[i].at_started = bl_rt.live.collective[i].started;
    h->checkpoint = bl_rt.checkpoint = d->machine.checkpoint;
    h->checkpoint_safe_point = d->safe_point;
    h->checkpoint_ns = bl_now_ns();
    bl_rt.compute_s = useful_seconds();
    retire_snapshots(d->oldest);
}

static void given_up(bl_drive *d)
{
    bl_error err = { 0, "" };
    bl_snapshot_remove(bl_rt.store, (uint32_t)bl_rt.rank, d->machine.checkpoint, &err);
    if (d->refused) return;
    bl_fail(&err, BELAY_ERR_ABORTED, "checkpoint %" PRIu32 " at safe point %" PRIu64 " was given up: another rank could not take its part",
            d->machine.checkpoint, d->safe_point);
    bl_rt.last = err;
}

static void human_size(double bytes, char *text, size_t size)
{
    static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    int u = 0;
    for (; bytes >= 1024 && u < 4; u++) bytes /= 1024;
    snprintf(text, size, u ? "%.1f %s" : "%.0f %s", bytes, unit[u]);
}

static void tell(const bl_drive *d, double seconds)
{
    double bytes = 0;
    char size[32];
    for (unsigned i = 0; i < bl_rt.variables; i++) bytes += (double)bl_variable_bytes(&bl_rt.variable[i]);
    human_size(bytes, size, sizeof size);
    if (bl_rt.rank == 0 && bl_rt.settings.verbose)
        bl_say("checkpoint %" PRIu32 " at safe point %" PRIu64 ": %s a rank in %.3f s", d->machine.checkpoint,
               d->safe_point, size, seconds);
}

/* BELAY_OK when committed. */
static int take(uint64_t safe_point)
{
    bl_drive *d = bl_rt.drive;
    int64_t began = bl_ticks_ns();
    bl_commit_init(&d->machine, (uint32_t)bl_rt.rank, (uint32_t)bl_rt.ranks, 0, bl_rt.next_checkpoint++, bl_rt.incarnation,
                   d->votes);
    d->safe_point = safe_point;
    d->oldest = 0;
    d->refused = 0;
    d->deadline_ns = INT64_MAX;
    d->began_ns = began;
    bl_point(BL_POINT_exchange);
    drop_stale(d->machine.checkpoint);
    if (!earlier_exchange_done(d)) {
        refuse(d, "a rank has not reached the safe point of the checkpoint before", "every rank has to pass the same safe points");
        feed_simple(d, BL_EVENT_REFUSED, 0);
    } else {
        fill_reports(d);
        PMPI_Ialltoall(d->mine, 3, MPI_UINT64_T, d->theirs, 3, MPI_UINT64_T, bl_rt.private_comm, &d->exchange);
        if (bl_rt.active || bl_rt.refused) {
            refuse_outstanding(d);
            feed_simple(d, BL_EVENT_REFUSED, 0); /* and leave: somebody may need us to complete it */
        } else {
            align(d);
        }
    }
    await_outcome(d);
    double seconds = bl_seconds(bl_ticks_ns() - began);
    enum bl_commit_outcome outcome = bl_commit_outcome(&d->machine);
    if (outcome == BL_OUTCOME_LOST) {
        bl_error err;
        bl_fail(&err, BELAY_ERR_SYSTEM, "neither the job directory %s nor the other ranks answer: ending, so that a restart can read what was decided",
                bl_rt.settings.dir);
        bl_end_job(&err);
    }
    if (outcome == BL_OUTCOME_COMMITTED) {
        committed(d);
        tell(d, seconds);
    } else {
        given_up(d);
    }
    bl_rt.blocked_s += bl_seconds(bl_ticks_ns() - began);
    return outcome == BL_OUTCOME_COMMITTED ? BELAY_OK : d->refused ? d->refused : BELAY_ERR_ABORTED;
}

/* --- safe points --- */

static void first_safe_point(uint64_t safe_point)
{
    const bl_settings *s = &bl_rt.settings;
    static const enum bl_due_kind kind[] = { BL_DUE_NEVER, BL_DUE_POINTS, BL_DUE_SECONDS, BL_DUE_AUTO };
    bl_due_init(&bl_rt.due, kind[s->every.kind], s->every.points, s->every.seconds, s->mtbf_s, safe_point,
                bl_rt.restore != NULL, bl_ticks_ns());
    bl_rt.compute_since_ns = bl_ticks_ns();
    if (!bl_rt.live.header->checkpoint_ns) bl_rt.live.header->checkpoint_ns = bl_now_ns();
    bl_rt.live.header->first_step_ns = bl_now_ns();
}

/* The round is nearly always complete; if not, a rank has not reached the safe point where it was opened. */
static void close_round(uint64_t safe_point)
{
    int done = 0, warned = 0;
    int64_t began = bl_ticks_ns();
    for (unsigned turn = 0;; turn++) {
        PMPI_Test(&bl_rt.round, &done, MPI_STATUS_IGNORE);
        if (done) return;
        if (!warned && bl_seconds(bl_ticks_ns() - began) > WARN_S) {
            bl_say("rank %d: at safe point %" PRIu64 ", waiting for ranks that have not reached safe point %" PRIu64
                   ": every rank has to pass the same safe points", bl_rt.rank, safe_point, bl_rt.due.round_opened);
            warned = 1;
        }
        pause_briefly(turn);
    }
}

static void stop_cleanly(void)
{
    if (bl_rt.rank == 0 && bl_rt.settings.verbose)
        bl_say("stopping as asked; the job continues from checkpoint %" PRIu32 " when it is started again", bl_rt.checkpoint);
    bl_rt.live.header->state = BL_LIVE_STOPPED;
    PMPI_Barrier(bl_rt.private_comm);
    if (bl_rt.rank == 0) {
        bl_error err = { 0, "" };
        if (bl_store_set_state(bl_rt.store, "stopped", &err)) bl_say("rank 0: %s", err.text);
    }
    PMPI_Barrier(bl_rt.private_comm);
    bl_rt.on = bl_rt.counting = 0;
    PMPI_Finalize();
    exit(0);
}

static int attend(uint64_t safe_point, belay_status *status)
{
    bl_error err = { 0, "" };
    bl_rt.live.header->safe_point_ns = bl_now_ns();
    bl_inject_step(safe_point);
    if (bl_rt.thread_level == MPI_THREAD_MULTIPLE) {
        bl_fail(&err, BELAY_ERR_REFUSED, "belay_checkpoint: MPI_THREAD_MULTIPLE is not supported in this version: ask MPI_Init_thread for MPI_THREAD_SERIALIZED or less");
        bl_end_job(&err);
    }
    if (!bl_rt.recovered) {
        bl_fail(&err, BELAY_ERR_ARG, "belay_checkpoint: call belay_recover once before the first safe point");
        if (bl_rt.restore) bl_end_job(&err); /* it would go on from the start over the state of an unfinished job */
        return bl_failed(BELAY_ERR_ARG, &err);
    }
    if (!bl_rt.compute_since_ns) first_safe_point(safe_point);

    int rc = BELAY_OK, closes = bl_due_closes(&bl_rt.due, safe_point);
    if (safe_point >= bl_rt.due.next) {
        if (closes) close_round(safe_point);
        enum bl_wish here = bl_due_at(&bl_rt.due, safe_point, bl_ticks_ns(), closes ? &bl_rt.outcome : NULL,
                                      (enum bl_wish)bl_rt.asked, &bl_rt.vote);
        if (here != BL_WISH_NONE) {
            int64_t began = bl_ticks_ns();
            rc = take(safe_point);
            double held = bl_seconds(bl_ticks_ns() - began);
            bl_due_done(&bl_rt.due, bl_ticks_ns(), held, rc == BELAY_OK);
            if (rc == BELAY_OK && here == BL_WISH_STOP) stop_cleanly();
            status->taken = rc == BELAY_OK;
            status->blocked_seconds = held;
        }
        if (bl_rt.due.round_opened == safe_point)
            PMPI_Iallreduce(&bl_rt.vote, &bl_rt.outcome, 3, MPI_INT64_T, MPI_MAX, bl_rt.private_comm, &bl_rt.round);
    }
    bl_rt.attention = bl_rt.due.next;
    if (bl_rt.kill_step > safe_point && bl_rt.kill_step < bl_rt.attention) bl_rt.attention = bl_rt.kill_step;
    return rc;
}

int belay_checkpoint(belay_status *status)
{
    if (__builtin_expect(!bl_rt.on, 0)) {
        if (bl_rt.off) {
            if (status) *status = (belay_status){ 0 };
            return BELAY_OK;
        }
        bl_error err;
        bl_fail(&err, BELAY_ERR_ARG, "belay_checkpoint: call it between MPI_Init and MPI_Finalize");
        return bl_failed(BELAY_ERR_ARG, &err);
    }
    uint64_t safe_point = ++bl_rt.live.header->safe_point;
    belay_status s = { 0 };
    int rc = safe_point < bl_rt.attention ? BELAY_OK : attend(safe_point, &s);
    if (status) {
        s.resumed = bl_rt.restore != NULL;
        s.checkpoint = (int)bl_rt.checkpoint;
        s.ranks = bl_rt.ranks;
        s.incarnation = (int)bl_rt.incarnation;
        s.safe_point = safe_point;
        *status = s;
    }
    return rc;
}

int bl_safe_points_init(bl_error *err)
{
    size_t n = (size_t)bl_rt.ranks;
    bl_drive *d = calloc(1, sizeof *d);
    bl_rt.drive = d;
    bl_rt.round = MPI_REQUEST_NULL;
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
        pause_briefly(turn);
    }
    return 0;
}

void bl_safe_points_free(void)
{
    bl_drive *d = bl_rt.drive;
    int quiet = settled(&bl_rt.round) & settled(&d->exchange);
    for (unsigned turn = 0; turn < 1000 && d->out; turn++) {
        reap_sent(d);
        if (d->out) pause_briefly(turn);
    }
    if (!quiet || d->out) return; /* MPI still refers to our buffers: they stay */
    PMPI_Comm_free(&bl_rt.private_comm);
    free(d->mine);
    free(d->theirs);
    free(d->received);
    free(d->votes);
    free(d->digests);
    free(d);
}
