/* stage.c - writing while the program goes on: at the safe point the state is put aside, and a thread or a child writes it.
 *
 * async=stage: put aside is a copy, in huge pages that have been touched before: a page fault for each 4 KiB would cost more than the
 * copy.  A thread writes it.  async=fork: the child has the state as it was (fork.c); copied is only what it would not have (maps.c).
 * Both have a bl_store of their own and do not call MPI: when they are done is found at a later safe point.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mpi/checkpoint.h"
#include "mpi/fork.h"
#include "mpi/log.h"
#include "util/clock.h"

enum { HUGE = 2 << 20, END_TURNS = 1000 };

enum writer { NOBODY, THREAD, CHILD, THIS }; /* this: here and now, since no child could be had */

typedef struct outcome {         /* of writing: the writer's until it is done */
    int done;                    /* atomically */
    int rc;
    bl_error err;
    bl_digest digest;
    uint32_t renames;            /* how often this rank has passed that point */
} outcome;

static struct stage {
    enum bl_async how;
    bl_copy copy;
    bl_maps maps;
    bl_moment moment;
    uint64_t *sent, *received, *started; /* of the moment */
    bl_gathered gathered;
    bl_store *store;
    outcome *outcome;            /* in memory that a child shares */
    enum writer writer;
    pthread_t thread, toucher;
    int process;                 /* of the child */
    int64_t began_ns;
    int touching;
    char why[sizeof ((bl_error *)0)->text]; /* auto: what was chosen */
} st;

/* --- the copy --- */

static size_t bytes_of_variables(void)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < bl_rt.variables; i++) bytes += (size_t)bl_variable_bytes(&bl_rt.variable[i]);
    return bytes;
}

static int make_room(bl_copy *copy, size_t bytes)
{
    size_t size = (bytes + HUGE - 1) / HUGE * HUGE;
    if (bytes <= copy->size) return 0;
    if (copy->data) munmap(copy->data, copy->size);
    copy->data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    copy->size = copy->data == MAP_FAILED ? 0 : size;
    if (copy->data == MAP_FAILED) copy->data = NULL;
    if (!copy->data) return -1;
    (void)madvise(copy->data, size, MADV_HUGEPAGE);
    if (!copy->for_child) (void)madvise(copy->data, size, MADV_DONTFORK);
    return 0;
}

static int make_list(bl_copy *copy)
{
    if (bl_rt.variables <= copy->room) return 0;
    free(copy->variable);
    copy->variable = malloc(sizeof *copy->variable * bl_rt.variables);
    copy->room = copy->variable ? bl_rt.variables : 0;
    return copy->variable ? 0 : -1;
}

static size_t bytes_to_copy(const bl_variable *v, const bl_maps *stays)
{
    size_t bytes = (size_t)bl_variable_bytes(v);
    return stays && bl_maps_have(stays, v->data, bytes) ? 0 : bytes;
}

int bl_copy_variables(bl_copy *copy, const bl_maps *stays)
{
    size_t wanted = 0;
    for (unsigned i = 0; i < bl_rt.variables; i++) wanted += bytes_to_copy(&bl_rt.variable[i], stays);
    if (make_room(copy, wanted) || make_list(copy)) return -1;
    copy->bytes = 0;
    copy->variables = bl_rt.variables;
    for (unsigned i = 0; i < bl_rt.variables; i++) {
        copy->variable[i] = bl_rt.variable[i];
        size_t bytes = bytes_to_copy(&bl_rt.variable[i], stays);
        if (!bytes) continue;
        copy->variable[i].data = memcpy(copy->data + copy->bytes, bl_rt.variable[i].data, bytes);
        copy->bytes += bytes;
    }
    return 0;
}

void bl_copy_free(bl_copy *copy)
{
    free(copy->variable);
    if (copy->data) munmap(copy->data, copy->size);
    *copy = (bl_copy){ .data = NULL };
}

static void copy_counters(void)
{
    const bl_live *live = &bl_rt.live;
    for (uint32_t i = 0; i < live->header->channel_slots; i++) {
        st.sent[i] = live->slot[i].sent;
        st.received[i] = live->slot[i].received;
    }
    for (uint32_t i = 0; i < live->header->collective_slots; i++) st.started[i] = live->collective[i].started;
}

/* --- threads; signals are the program's --- */

static int start(pthread_t *thread, void *(*body)(void *))
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(thread, NULL, body, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

static void *touch(void *unused)
{
    (void)unused;
    memset(st.copy.data, 0, st.copy.size);
    return NULL;
}

static void done(int rc)
{
    st.outcome->rc = rc;
    __atomic_store_n(&st.outcome->done, 1, __ATOMIC_RELEASE);
}

static void *write_it(void *unused)
{
    (void)unused;
    done(bl_snapshot_write(st.store, &st.gathered.snapshot, &st.outcome->digest, &st.outcome->err));
    return NULL;
}

static void touched(void)
{
    if (st.touching) pthread_join(st.toucher, NULL);
    st.touching = 0;
}

/* --- the child --- */

static const bl_variable *lost(void)
{
    bl_maps_read(&st.maps, "/proc/self/smaps");
    for (unsigned i = 0; i < st.copy.variables; i++)
        if (!bl_maps_have(&st.maps, st.copy.variable[i].data, (size_t)bl_variable_bytes(&st.copy.variable[i]))) return &st.copy.variable[i];
    return NULL;
}

static void write_in_child(void)
{
    const bl_variable *v = lost();
    if (v)
        done(bl_fail(&st.outcome->err, BELAY_ERR_SYSTEM, "variable '%s' is in memory that a child of the program does not have (madvise): use async=stage", v->name));
    else
        write_it(NULL);
}

/* Of the hook below: the rank hears of it when the child is done. */
static void (*before_rename)(void);

static void rename_is_next(void)
{
    before_rename();
    st.outcome->renames = bl_rt.point_passed[BL_POINT_rename];
}

/* Once it has ended, the last it did is there to be seen. */
static void look_at_child(void)
{
    int ended = bl_fork_ended(st.process);
    if (!ended && bl_seconds(bl_ticks_ns() - st.began_ns) > bl_rt.settings.commit_timeout_s) bl_fork_end(st.process);
    if (!ended || __atomic_load_n(&st.outcome->done, __ATOMIC_ACQUIRE)) return;
    bl_snapshot_drop(st.store, (uint32_t)bl_rt.rank, st.gathered.snapshot.checkpoint);
    done(bl_fail(&st.outcome->err, BELAY_ERR_SYSTEM, "there is no checkpoint %" PRIu32 ": the process that wrote it was killed (memory was short, or commit-timeout has passed)", st.gathered.snapshot.checkpoint));
}

static void leave_writer(void)
{
    if (st.writer == THREAD) pthread_join(st.thread, NULL);
    if (st.writer == CHILD) close(st.process);
    if (st.writer == CHILD) bl_rt.point_passed[BL_POINT_rename] = st.outcome->renames;
    st.writer = NOBODY;
}

/* --- for the checkpoint --- */

static int can_stage(bl_error *err)
{
    return bl_store_threads() ? BELAY_OK : bl_fail(err, BELAY_ERR_REFUSED, "the HDF5 library here is not made for threads, and one writes while the program may use HDF5 too");
}

static int can_fork(bl_error *err)
{
    int rc = bl_transport_forks(err);
    return rc ? rc : bl_fork_init(err);
}

static int refused(bl_error *err)
{
    bl_error why;
    int rc = st.how == BL_ASYNC_STAGE ? can_stage(&why) : st.how == BL_ASYNC_FORK ? can_fork(&why) : BELAY_OK;
    return rc ? bl_fail(err, rc, "async=%s: %s; use async=off, or async=auto", bl_async_name(st.how), why.text) : BELAY_OK;
}

static void auto_is(enum bl_async how, const char *why)
{
    st.how = how;
    snprintf(st.why, sizeof st.why, "%s", why);
}

/* The same on all ranks: one that waits for the commit must not meet one that writes meanwhile and needs its messages. */
static void choose(void)
{
    bl_error no_fork = { 0, "" }, no_stage = { 0, "" };
    const char *never = bl_settings_no_async(&bl_rt.settings);
    if (never) {
        auto_is(BL_ASYNC_OFF, "another async ");
        strncat(st.why, never, sizeof st.why - strlen(st.why) - 1);
        return;
    }
    int can[2] = { can_fork(&no_fork) == BELAY_OK, can_stage(&no_stage) == BELAY_OK };
    PMPI_Allreduce(MPI_IN_PLACE, can, 2, MPI_INT, MPI_MIN, bl_rt.private_comm);
    if (can[0]) auto_is(BL_ASYNC_FORK, "a child of each rank writes");
    else auto_is(can[1] ? BL_ASYNC_STAGE : BL_ASYNC_OFF, no_fork.text[0] ? no_fork.text : "another rank cannot have a child that writes");
}

int bl_stage_init(bl_error *err)
{
    const bl_live_header *h = bl_rt.live.header;
    st.how = bl_rt.settings.async;
    int rc = refused(err);
    if (rc == BELAY_OK && st.how == BL_ASYNC_AUTO) choose();
    if (rc || st.how == BL_ASYNC_OFF) return rc;
    rc = bl_store_open(bl_rt.settings.dir, bl_rt.settings.stable_power ? BL_STABLE_POWER : BL_STABLE_PROCESS, &st.store, err);
    if (rc == BELAY_OK) rc = bl_store_join(st.store, bl_rt.incarnation, err);
    if (rc) return rc;
    bl_store_rate(st.store, bl_rt.settings.async_rate);
    st.copy.for_child = st.how == BL_ASYNC_FORK;
    st.sent = calloc(h->channel_slots, sizeof *st.sent);
    st.received = calloc(h->channel_slots, sizeof *st.received);
    st.started = calloc(h->collective_slots, sizeof *st.started);
    st.outcome = mmap(NULL, sizeof *st.outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (st.outcome == MAP_FAILED) st.outcome = NULL;
    return st.sent && st.received && st.started && st.outcome ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for async=%s", bl_async_name(st.how));
}

int bl_stage_on(void)
{
    return st.how != BL_ASYNC_OFF;
}

static double memory_available(void)
{
    char line[128];
    double kib = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && kib == 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %lf", &kib) != 1) kib = 0;
    if (file) fclose(file);
    return kib * 1024;
}

/* Once more the state of all ranks of a node: what a copy takes, and a child at worst. */
static int memory_for_all(double *wanted)
{
    MPI_Comm node;
    double mine = (double)bytes_of_variables();
    PMPI_Comm_split_type(bl_rt.private_comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    PMPI_Allreduce(&mine, wanted, 1, MPI_DOUBLE, MPI_SUM, node);
    PMPI_Comm_free(&node);
    int enough = *wanted < memory_available();
    PMPI_Allreduce(MPI_IN_PLACE, &enough, 1, MPI_INT, MPI_MIN, bl_rt.private_comm);
    return enough;
}

static void look_at_memory(void)
{
    double wanted = 0;
    if (st.how != BL_ASYNC_OFF && !memory_for_all(&wanted)) {
        auto_is(BL_ASYNC_OFF, "");
        snprintf(st.why, sizeof st.why, "a node does not have memory for the state of its ranks once more (%.0f MiB on the node of rank 0)", wanted / (1 << 20));
    }
    if (bl_rt.rank == 0 && bl_rt.settings.verbose) bl_say("async=auto is %s: %s", bl_async_name(st.how), st.why);
}

void bl_stage_prepare(void)
{
    if (bl_replaying) return;
    if (bl_rt.settings.async == BL_ASYNC_AUTO) look_at_memory();
    if (st.how != BL_ASYNC_STAGE || !bytes_of_variables() || make_room(&st.copy, bytes_of_variables())) return; /* said when it is needed */
    st.touching = !start(&st.toucher, touch);
}

static int put_aside(bl_cut *cut, bl_error *err)
{
    int rc = bl_files_map(err);
    if (rc) return rc;
    if (st.how == BL_ASYNC_FORK) bl_maps_read(&st.maps, "/proc/self/maps");
    rc = bl_copy_variables(&st.copy, st.how == BL_ASYNC_FORK ? &st.maps : NULL);
    bl_files_unmap();
    if (rc)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for a copy of %zu bytes of state (async=%s)", bytes_of_variables(), bl_async_name(st.how));
    copy_counters();
    st.moment = (bl_moment){ cut->safe_point, bl_useful_seconds(), st.copy.variable, st.copy.variables, st.sent, st.received, st.started };
    cut->moment = &st.moment;
    return bl_cut_gather(cut, &st.gathered, err);
}

static int have_it_written(const bl_cut *cut, bl_error *err)
{
    *st.outcome = (outcome){ .renames = bl_rt.point_passed[BL_POINT_rename] };
    st.began_ns = bl_ticks_ns();
    if (st.how == BL_ASYNC_STAGE) {
        if (start(&st.thread, write_it)) return bl_fail(err, BELAY_ERR_SYSTEM, "the thread that writes checkpoints could not be started");
        st.writer = THREAD;
    } else if (!bl_fork(write_in_child, &st.process)) {
        st.writer = CHILD;
    } else {
        bl_say("rank %d: checkpoint %" PRIu32 " is written while the program waits, since there is no child to write it: %s", bl_rt.rank,
               cut->checkpoint, strerror(errno));
        st.writer = THIS;
        write_it(NULL);
    }
    return BELAY_OK;
}

int bl_stage_begin(bl_cut *cut, bl_error *err)
{
    touched();
    int rc = put_aside(cut, err);
    if (rc == BELAY_OK) rc = have_it_written(cut, err);
    if (rc) bl_stage_end(cut);
    return rc;
}

int bl_stage_done(bl_cut *cut, int *rc, bl_error *err)
{
    if (st.writer == NOBODY) return 0;
    if (st.writer == CHILD && !__atomic_load_n(&st.outcome->done, __ATOMIC_ACQUIRE)) look_at_child();
    if (!__atomic_load_n(&st.outcome->done, __ATOMIC_ACQUIRE)) return 0;
    leave_writer();
    *rc = st.outcome->rc;
    *err = st.outcome->err;
    cut->digest = st.outcome->digest;
    return 1;
}

void bl_stage_end(bl_cut *cut)
{
    bl_cut_release(&st.gathered);
    cut->moment = NULL;
}

void bl_stage_before_rename(void (*hook)(void))
{
    before_rename = hook;
    if (st.store) bl_store_before_rename(st.store, rename_is_next);
}

void bl_stage_abandon(void)
{
    if (st.writer == NOBODY) return;
    bl_store_rate(st.store, 0);
    if (st.writer == CHILD) bl_fork_end(st.process);
    for (unsigned turn = 0; st.writer == CHILD && turn < END_TURNS && !bl_fork_ended(st.process); turn++) bl_pause_briefly(turn);
    leave_writer();
    bl_cut_release(&st.gathered);
}

void bl_stage_free(void)
{
    touched();
    bl_copy_free(&st.copy);
    bl_maps_free(&st.maps);
    free(st.sent);
    free(st.received);
    free(st.started);
    if (st.outcome) munmap(st.outcome, sizeof *st.outcome);
    if (st.store) bl_store_close(st.store);
    bl_fork_free();
    memset(&st, 0, sizeof st);
}
