/* stage.c - async=stage: at the safe point the state is copied, and a thread writes the copy while the program goes on.
 *
 * The copy lies in huge pages that have been touched before: a page fault for each 4 KiB would cost more than the copy.  The thread
 * has a bl_store of its own, and MPI is not called from it: when it is done is found at a later safe point.
 */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mpi/checkpoint.h"

enum { HUGE = 2 << 20 };

static struct stage {
    bl_copy copy;
    bl_moment moment;
    uint64_t *sent, *received, *started; /* of the moment */
    bl_gathered gathered;
    bl_store *store;
    pthread_t thread, toucher;
    int writing, touching;
    int done;                    /* atomically */
    int rc;                      /* the rest: the thread's until it is done */
    bl_error err;
    bl_digest digest;
} st;

/* --- the copy --- */

static size_t bytes_of_variables(void)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < bl_rt.variables; i++) bytes += (size_t)bl_variable_bytes(&bl_rt.variable[i]);
    return bytes;
}

/* Not for a child of the program's: it would be copied page by page. */
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
    (void)madvise(copy->data, size, MADV_DONTFORK);
    return 0;
}

int bl_copy_variables(bl_copy *copy)
{
    if (make_room(copy, bytes_of_variables())) return -1;
    if (bl_rt.variables > copy->room) {
        free(copy->variable);
        copy->variable = malloc(sizeof *copy->variable * bl_rt.variables);
        copy->room = copy->variable ? bl_rt.variables : 0;
        if (!copy->variable) return -1;
    }
    copy->bytes = 0;
    copy->variables = bl_rt.variables;
    for (unsigned i = 0; i < bl_rt.variables; i++) {
        copy->variable[i] = bl_rt.variable[i];
        size_t bytes = (size_t)bl_variable_bytes(&bl_rt.variable[i]);
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

static int copy_counters(void)
{
    const bl_live *live = &bl_rt.live;
    for (uint32_t i = 0; i < live->header->channel_slots; i++) {
        st.sent[i] = live->slot[i].sent;
        st.received[i] = live->slot[i].received;
    }
    for (uint32_t i = 0; i < live->header->collective_slots; i++) st.started[i] = live->collective[i].started;
    return 0;
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

static void *write_it(void *unused)
{
    (void)unused;
    st.rc = bl_snapshot_write(st.store, &st.gathered.snapshot, &st.digest, &st.err);
    __atomic_store_n(&st.done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void touched(void)
{
    if (st.touching) pthread_join(st.toucher, NULL);
    st.touching = 0;
}

/* --- for the checkpoint --- */

int bl_stage_init(bl_error *err)
{
    const bl_live_header *h = bl_rt.live.header;
    if (!bl_rt.settings.async_stage) return BELAY_OK;
    if (!bl_store_threads())
        return bl_fail(err, BELAY_ERR_REFUSED, "async=stage: the HDF5 library here is not made for threads, and one writes while the program may use HDF5 too; use async=off");
    int rc = bl_store_open(bl_rt.settings.dir, bl_rt.settings.stable_power ? BL_STABLE_POWER : BL_STABLE_PROCESS, &st.store, err);
    if (rc == BELAY_OK) rc = bl_store_join(st.store, bl_rt.incarnation, err);
    if (rc) return rc;
    bl_store_rate(st.store, bl_rt.settings.async_rate);
    st.sent = calloc(h->channel_slots, sizeof *st.sent);
    st.received = calloc(h->channel_slots, sizeof *st.received);
    st.started = calloc(h->collective_slots, sizeof *st.started);
    return st.sent && st.received && st.started ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for async=stage");
}

void bl_stage_prepare(void)
{
    if (!bl_rt.settings.async_stage || !bytes_of_variables() || make_room(&st.copy, bytes_of_variables())) return; /* said when it is needed */
    st.touching = !start(&st.toucher, touch);
}

int bl_stage_begin(bl_cut *cut, bl_error *err)
{
    touched();
    int rc = bl_files_map(err);
    if (rc) return rc;
    rc = bl_copy_variables(&st.copy);
    bl_files_unmap();
    if (rc)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for a copy of %zu bytes of state (async=stage)", bytes_of_variables());
    copy_counters();
    st.moment = (bl_moment){ cut->safe_point, bl_useful_seconds(), st.copy.variable, st.copy.variables, st.sent, st.received, st.started };
    cut->moment = &st.moment;
    rc = bl_cut_gather(cut, &st.gathered, err);
    st.done = 0;
    st.err = (bl_error){ 0, "" };
    if (rc == BELAY_OK && start(&st.thread, write_it)) rc = bl_fail(err, BELAY_ERR_SYSTEM, "the thread that writes checkpoints could not be started");
    if (rc) bl_stage_end(cut);
    else st.writing = 1;
    return rc;
}

int bl_stage_done(bl_cut *cut, int *rc, bl_error *err)
{
    if (!st.writing || !__atomic_load_n(&st.done, __ATOMIC_ACQUIRE)) return 0;
    pthread_join(st.thread, NULL);
    st.writing = 0;
    *rc = st.rc;
    *err = st.err;
    cut->digest = st.digest;
    return 1;
}

void bl_stage_end(bl_cut *cut)
{
    bl_cut_release(&st.gathered);
    cut->moment = NULL;
}

void bl_stage_before_rename(void (*hook)(void))
{
    if (st.store) bl_store_before_rename(st.store, hook);
}

void bl_stage_abandon(void)
{
    if (!st.writing) return;
    bl_store_rate(st.store, 0);
    pthread_join(st.thread, NULL);
    bl_cut_release(&st.gathered);
    st.writing = 0;
}

void bl_stage_free(void)
{
    touched();
    bl_copy_free(&st.copy);
    free(st.sent);
    free(st.received);
    free(st.started);
    if (st.store) bl_store_close(st.store);
    memset(&st, 0, sizeof st);
}
