#include "unit/test_tool_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/late.h"
#include "store/trace_file.h"

static const int64_t noon = 1700000000 * (int64_t)1000000000; /* when the first checkpoint was taken */
static const int64_t second = 1000000000;

static void must(int rc, const bl_error *err)
{
    if (rc == BELAY_OK)
        return;
    fprintf(stderr, "test_tool_job: %s\n", err->text);
    exit(99);
}

static int64_t time_of(uint64_t safe_point)
{
    return noon + (int64_t)safe_point * second / 2;
}

bl_store *job_new(const char *dir, uint32_t ranks)
{
    bl_error err;
    bl_store *store;
    must(bl_store_create(dir, ranks, "./heat2d", BL_STABLE_PROCESS, &store, &err), &err);
    return store;
}

static size_t channels_of(uint32_t rank, const flow *flows, size_t count, bl_channel *channel)
{
    size_t used = 0;
    for (size_t k = 0; k < count; k++) {
        if (flows[k].from == rank)
            channel[used++] = (bl_channel){1, (int32_t)flows[k].to, 7, flows[k].sent, 0};
        if (flows[k].to == rank) /* another tag, so that no slot is shared */
            channel[used++] = (bl_channel){1, (int32_t)flows[k].from, 8, 0, flows[k].received};
    }
    return used;
}

static void write_snapshot(bl_store *store, const job_checkpoint *c, uint32_t rank, bl_digest *digest)
{
    bl_error err;
    int32_t step = (int32_t)c->safe_point;
    double grid[6] = {0, 1, 2, 3, 4, rank};
    const bl_variable variables[] = {
        {.name = "grid", .type = BL_TYPE_F64, .element = 8, .dims = 2, .shape = {2, 3}, .data = grid},
        {.name = "step", .type = BL_TYPE_I32, .element = 4, .data = &step},
    };
    bl_channel *channels = calloc(2 * c->nflows + 1, sizeof *channels);
    bl_dependency *dependencies = calloc(c->nlinks + 1, sizeof *dependencies);
    size_t nlinks = 0;
    if (!channels || !dependencies)
        abort();
    for (size_t k = 0; k < c->nlinks; k++)
        if (c->links[k].to == rank)
            dependencies[nlinks++] = (bl_dependency){c->links[k].from, c->links[k].sent_in, c->links[k].received_in};
    const bl_collectives collectives = {1, c->collectives, bl_store_job(store)->ranks, 0};
    bl_snapshot snapshot = {
        .rank = rank, .ranks = bl_store_job(store)->ranks, .checkpoint = c->number,
        .incarnation = bl_store_job(store)->incarnation, .line_base = c->base, .safe_point = c->safe_point,
        .time_ns = time_of(c->safe_point), .compute_s = (double)c->safe_point / 2, .protocol = "coordinated",
        .variables = variables, .nvariables = 2, .channels = channels,
        .nchannels = channels_of(rank, c->flows, c->nflows, channels), .collectives = &collectives,
        .ncollectives = c->collectives ? 1 : 0, .dependencies = dependencies, .ndependencies = nlinks};
    must(bl_snapshot_write(store, &snapshot, digest, &err), &err);
    free(channels);
    free(dependencies);
}

void job_commit(bl_store *store, const job_checkpoint *c)
{
    bl_error err;
    uint32_t ranks = bl_store_job(store)->ranks;
    bl_digest *digests = calloc(ranks, sizeof *digests);
    if (!digests)
        abort();
    for (uint32_t rank = 0; rank < ranks; rank++)
        write_snapshot(store, c, rank, &digests[rank]);
    bl_commit_record record = {.decision = c->decision, .checkpoint = c->number, .ranks = ranks,
                               .incarnation = bl_store_job(store)->incarnation, .safe_point = c->safe_point,
                               .time_ns = time_of(c->safe_point), .compute_s = (double)c->safe_point / 2,
                               .digests = c->decision == BL_COMMITTED ? digests : NULL};
    enum bl_decision actual;
    if (c->decision != BL_UNDECIDED)
        must(bl_commit_decide(store, &record, &actual, &err), &err);
    free(digests);
}

static bl_live_slot *slot_of(bl_live *live, int32_t peer, int32_t tag)
{
    uint32_t mask = live->header->channel_slots - 1, at = bl_live_hash(1, peer, tag) & mask;
    while (live->slot[at].comm && (live->slot[at].peer != peer || live->slot[at].tag != tag))
        at = (at + 1) & mask;
    live->slot[at].comm = 1;
    live->slot[at].peer = peer;
    live->slot[at].tag = tag;
    return &live->slot[at];
}

static void fill_slots(bl_live *live, uint32_t rank, const flow *flows, size_t count, int at_checkpoint)
{
    bl_channel *channels = calloc(2 * count + 1, sizeof *channels);
    if (!channels)
        abort();
    size_t used = channels_of(rank, flows, count, channels);
    for (size_t k = 0; k < used; k++) {
        bl_live_slot *slot = slot_of(live, channels[k].peer, channels[k].tag);
        *(at_checkpoint ? &slot->at_sent : &slot->sent) = channels[k].sent;
        *(at_checkpoint ? &slot->at_received : &slot->received) = channels[k].received;
    }
    free(channels);
}

static void fill_header(bl_live_header *h, const job_tables *t, const job_state *state)
{
    if (t->host) {
        memset(h->host, 0, sizeof h->host);
        memcpy(h->host, t->host, strlen(t->host));
    }
    h->pid = t->pid ? t->pid : h->pid;
    h->base = t->base;
    h->code = state->code;
    h->state = state->state ? state->state : BL_LIVE_STARTED;
    h->checkpoint = t->last ? t->last->number : t->base;
    h->checkpoint_safe_point = t->last ? t->last->safe_point : 0;
    h->safe_point = state->safe_point;
    h->first_step_ns = time_of(0);
    h->safe_point_ns = time_of(state->safe_point);
    h->checkpoint_ns = time_of(t->last ? t->last->safe_point : 0);
}

void job_live(bl_store *store, const job_tables *t)
{
    bl_error err;
    for (uint32_t rank = 0; rank < bl_store_job(store)->ranks; rank++) {
        bl_live live;
        must(bl_live_create(store, rank, &live, &err), &err);
        fill_slots(&live, rank, t->flows, t->nflows, 0);
        if (t->last)
            fill_slots(&live, rank, t->last->flows, t->last->nflows, 1);
        if (t->collectives)
            live.collective[0] = (bl_live_collective){.comm = 1, .started = t->collectives[rank],
                .at_started = t->last ? t->last->collectives : 0, .size = bl_store_job(store)->ranks};
        fill_header(live.header, t, &t->states[rank]);
        bl_live_unmap(&live);
    }
}

/* --- ready-made jobs --- */

/* Four ranks; rank 2 was killed at safe point 27, after checkpoint 4 at safe point 20.  0 and 1 talk to each other, 1 to
 * 2; rank 3 to nobody.  Checkpoint 3 was aborted, 5 was under way.  `state` of job.json and the tables' host and process
 * are the caller's. */
static void make_dead(const char *dir, const char *state, const char *host, int32_t pid, const job_state states[4])
{
    static const flow at1[] = {{0, 1, 10, 10}, {2, 1, 10, 10}}, at4[] = {{0, 1, 20, 20}, {2, 1, 20, 20}},
                      now[] = {{0, 1, 27, 25}, {2, 1, 32, 32}, {1, 0, 3, 3}};
    static const link_ links1[] = {{0, 1, 1, 1}, {2, 1, 1, 1}}, links4[] = {{0, 4, 1, 4}, {2, 4, 1, 4}};
    const job_checkpoint
        c1 = {1, 0, 10, 2, BL_COMMITTED, at1, 2, links1, 2}, c3 = {3, 0, 15, 2, BL_ABORTED, at1, 2, NULL, 0},
        c4 = {4, 0, 20, 2, BL_COMMITTED, at4, 2, links4, 2}, c5 = {5, 0, 27, 2, BL_UNDECIDED, at4, 2, NULL, 0};
    bl_error err;
    bl_store *store = job_new(dir, 4);
    job_commit(store, &c1);
    job_commit(store, &c3);
    job_commit(store, &c4);
    job_commit(store, &c5);
    job_live(store, &(job_tables){&c4, 0, now, 3, NULL, states, host, pid});
    must(bl_store_set_state(store, state, &err), &err);
    bl_store_close(store);
}

void job_chain(const char *dir, uint32_t ranks)
{
    flow *flows = calloc(ranks, sizeof *flows);
    job_state *states = calloc(ranks, sizeof *states);
    if (!flows || !states)
        abort();
    for (uint32_t rank = 0; rank < ranks; rank++) {
        states[rank] = (job_state){BL_LIVE_STARTED, 0, 14};
        flows[rank] = (flow){(rank + 1) % ranks, rank, rank + 1 < ranks ? 4 : 0, rank + 1 < ranks ? 4 : 0};
    }
    states[ranks - 1] = (job_state){BL_LIVE_ABORTED, 3, 15};
    const job_checkpoint c1 = {1, 0, 10, 0, BL_COMMITTED, NULL, 0, NULL, 0};
    bl_error err;
    bl_store *store = job_new(dir, ranks);
    job_commit(store, &c1);
    job_live(store, &(job_tables){&c1, 0, flows, ranks, NULL, states, "node7", 4242});
    must(bl_store_set_state(store, "failed", &err), &err);
    bl_store_close(store);
    free(flows);
    free(states);
}

/* The killed job, brought back from checkpoint 4 and finished by incarnation 1. */
static void make_recovered(const char *dir, const job_state dead[4], const job_state finished[4])
{
    bl_error err;
    bl_store *store;
    const job_checkpoint c6 = {6, 4, 30, 1, BL_COMMITTED, NULL, 0, NULL, 0};
    make_dead(dir, "running", "node7", 4242, dead);
    must(bl_store_open(dir, BL_STABLE_PROCESS, &store, &err), &err);
    must(bl_store_next_incarnation(store, &err), &err);
    job_commit(store, &c6);
    job_live(store, &(job_tables){&c6, 4, NULL, 0, NULL, finished, "node7", 4343});
    must(bl_store_set_state(store, "finished", &err), &err);
    bl_store_close(store);
}

/* --- independent checkpoints --- */

/* What rank has sent to and received from the other one when it takes its checkpoint `number`. */
static void write_alone(bl_store *store, uint32_t rank, uint32_t number, uint64_t sent, uint64_t received, uint32_t index, uint32_t forced)
{
    bl_error err;
    bl_digest digest;
    int32_t step = (int32_t)(10 * number);
    const bl_variable variables[] = {{.name = "step", .type = BL_TYPE_I32, .element = 4, .data = &step}};
    const bl_channel channels[] = {{1, (int32_t)(1 - rank), 7, sent, received}};
    uint64_t safe_point = 10 * (uint64_t)number + 5 * rank;
    bl_snapshot snapshot = {
        .rank = rank, .ranks = 2, .checkpoint = number, .incarnation = bl_store_job(store)->incarnation,
        .safe_point = safe_point, .time_ns = time_of(safe_point), .compute_s = (double)safe_point / 2, .protocol = "independent",
        .index = index, .forced = forced, .variables = variables, .nvariables = 1, .channels = channels, .nchannels = 1};
    if (index)
        snprintf(snapshot.protocol, sizeof snapshot.protocol, "induced");
    must(bl_snapshot_write(store, &snapshot, &digest, &err), &err);
}

static void write_own(bl_store *store, uint32_t rank, uint32_t number, uint64_t sent, uint64_t received)
{
    write_alone(store, rank, number, sent, received, 0, 0);
}

static void end_own(bl_store *store, uint32_t rank, uint32_t last, uint64_t sent, uint64_t received, job_state state)
{
    bl_error err;
    bl_live live;
    uint64_t safe_point = 10 * (uint64_t)last + 5 * rank;
    must(bl_live_create(store, rank, &live, &err), &err);
    bl_live_slot *slot = slot_of(&live, (int32_t)(1 - rank), 7);
    slot->sent = sent;
    slot->received = received;
    const job_checkpoint c = {.number = last, .safe_point = safe_point};
    fill_header(live.header, &(job_tables){.last = &c, .host = rank ? "node8" : "node7", .pid = 4242}, &state);
    bl_live_unmap(&live);
}

/* The domino of the textbooks: a message to rank 0 before, and one to rank 1 after each checkpoint of rank 0; each
 * checkpoint of rank 1 after that.  With `quiet` no messages at all. */
static void make_domino(const char *dir, int quiet)
{
    bl_error err;
    bl_store *store = job_new(dir, 2);
    for (uint32_t k = 1; k <= 4; k++) {
        write_own(store, 0, k, quiet ? 0 : k - 1, quiet ? 0 : k);
        write_own(store, 1, k, quiet ? 0 : k, quiet ? 0 : k);
    }
    end_own(store, 0, 4, quiet ? 0 : 4, quiet ? 0 : 4, (job_state){BL_LIVE_KILLED, 1, 48});
    end_own(store, 1, 4, quiet ? 0 : 4, quiet ? 0 : 4, (job_state){BL_LIVE_STARTED, 0, 49});
    must(bl_store_set_state(store, "failed", &err), &err);
    bl_store_close(store);
}

/* Rank 1 is delivered these messages of rank 0 late. */
static void write_late(bl_store *store, uint32_t checkpoint, uint64_t first, uint64_t last)
{
    bl_error err;
    bl_late *late;
    must(bl_late_open(store, 1, checkpoint, &late, &err), &err);
    for (uint64_t n = first; n <= last; n++)
        must(bl_late_append(late, &(bl_late_message){1, 0, 7, n, sizeof n, &n}, &err), &err);
    bl_late_close(late);
}

/* Induced checkpoints: two messages are in transit across the line, and two more were across the one before. */
static void make_induced(const char *dir)
{
    bl_error err;
    bl_store *store = job_new(dir, 2);
    write_alone(store, 0, 1, 5, 0, 1, 0);
    write_alone(store, 1, 1, 0, 3, 2, 1);
    write_late(store, 1, 4, 5);
    write_alone(store, 0, 2, 7, 2, 3, 1);
    write_alone(store, 1, 2, 2, 5, 3, 0);
    write_late(store, 2, 6, 7);
    end_own(store, 0, 2, 8, 2, (job_state){BL_LIVE_KILLED, 1, 28});
    end_own(store, 1, 2, 3, 7, (job_state){BL_LIVE_STARTED, 0, 29});
    must(bl_store_set_state(store, "failed", &err), &err);
    bl_store_close(store);
}

/* The same domino as a trace file: what rank 0 sends in interval k + 1 rank 1 receives in its interval k. */
static void write_trace(const char *path)
{
    bl_error err;
    bl_trace_writer *out;
    const bl_trace_header header = {.program = "./heat2d", .protocol = "independent", .ranks = 2, .dependencies = 8};
    bl_trace_rank rank[2] = {{.host = "node7", .checkpoints = 4, .failed = 1}, {.host = "node8", .checkpoints = 4}};
    for (uint32_t r = 0; r < 2; r++) {
        rank[r].safe_point = 48 + r;
        rank[r].time_ns = time_of(rank[r].safe_point);
        rank[r].compute_s = (double)rank[r].safe_point / 2;
    }
    must(bl_trace_file_create(path, false, &header, rank, &out, &err), &err);
    for (uint32_t r = 0; r < 2; r++)
        for (uint32_t k = 0; k <= 4; k++) {
            uint64_t safe_point = k ? 10 * (uint64_t)k + 5 * r : 0;
            const bl_trace_checkpoint row = {safe_point, time_of(safe_point), (double)safe_point / 2, k, 0};
            must(bl_trace_file_add_checkpoints(out, &row, 1, &err), &err);
        }
    for (uint32_t r = 0; r < 2; r++)
        for (uint32_t k = 1; k <= 4; k++) {
            const bl_trace_dependency row = {r, r ? k : k + 1, 1 - r, k, 1};
            must(bl_trace_file_add_dependencies(out, &row, 1, &err), &err);
        }
    must(bl_trace_file_finish(out, &err), &err);
}

int job_scenario(const char *dir, const char *name)
{
    static const job_state dead[4] = {{BL_LIVE_STARTED, 0, 27}, {BL_LIVE_STARTED, 0, 26}, {BL_LIVE_KILLED, 1, 27},
                                      {BL_LIVE_STARTED, 0, 24}};
    static const job_state silent[4] = {{BL_LIVE_STARTED, 0, 27}, {BL_LIVE_STARTED, 0, 26}, {BL_LIVE_STARTED, 0, 27},
                                        {BL_LIVE_STARTED, 0, 24}};
    static const job_state finished[4] = {{BL_LIVE_FINISHED, 0, 33}, {BL_LIVE_FINISHED, 0, 33}, {BL_LIVE_FINISHED, 0, 33},
                                          {BL_LIVE_FINISHED, 0, 33}};
    static const job_state stopped[4] = {{BL_LIVE_STOPPED, 0, 20}, {BL_LIVE_STOPPED, 0, 20}, {BL_LIVE_STOPPED, 0, 20},
                                         {BL_LIVE_STOPPED, 0, 20}};
    if (strcmp(name, "dead") == 0)
        make_dead(dir, "failed", "node7", 4242, dead);
    else if (strcmp(name, "silent") == 0)
        make_dead(dir, "failed", "node7", 4242, silent);
    else if (strcmp(name, "finished") == 0)
        make_dead(dir, "finished", "node7", 4242, finished);
    else if (strcmp(name, "stopped") == 0)
        make_dead(dir, "stopped", "node7", 4242, stopped);
    else if (strcmp(name, "running") == 0) /* by the shell that started us: it is alive when the test looks */
        make_dead(dir, "running", NULL, (int32_t)getppid(), silent);
    else if (strcmp(name, "elsewhere") == 0)
        make_dead(dir, "running", "node7", 4242, silent);
    else if (strcmp(name, "recovered") == 0)
        make_recovered(dir, dead, finished);
    else if (strcmp(name, "chain") == 0)
        job_chain(dir, 40);
    else if (strcmp(name, "domino") == 0)
        make_domino(dir, 0);
    else if (strcmp(name, "induced") == 0)
        make_induced(dir);
    else if (strcmp(name, "quiet") == 0)
        make_domino(dir, 1);
    else if (strcmp(name, "trace") == 0)
        write_trace(dir);
    else
        return 0;
    return 1;
}
