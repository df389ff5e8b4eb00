/* traps - what is hard to count, one way each, and the live table against what the program knows it has done.
 *
 *     traps WAY...
 *
 * Every rank does the same with its neighbours in a ring, so each knows its own counters.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <mpi.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <belay.h>

#include "totals.h"

enum { MANY = 100000, TAGS = 1000000, THREADS = 4, EACH = 5000 };

static volatile uint64_t allocations, locks;

/* --- a hook on what a message must not do --- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static int from_belay(const void *caller)
{
    Dl_info info;
    return dladdr(caller, &info) && strstr(info.dli_fname, "libbelay") != NULL;
}

#define WATCH(counter) \
    do { if (watching && from_belay(__builtin_return_address(0))) (counter)++; } while (0)
static volatile int watching;
#define HOOK __attribute__((visibility("default"))) /* the library has to find it */

HOOK void *malloc(size_t size) { WATCH(allocations); return __libc_malloc(size); }
HOOK void *calloc(size_t count, size_t size) { WATCH(allocations); return __libc_calloc(count, size); }
HOOK void *realloc(void *old, size_t size) { WATCH(allocations); return __libc_realloc(old, size); }

HOOK int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    static int (*real)(pthread_mutex_t *);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "pthread_mutex_lock");
    WATCH(locks);
    return real(mutex);
}

/* --- the ways --- */

static void get_status(void)
{
    int a = rank, b, flag = 0;
    MPI_Request r[2];
    totals was = read_totals();
    MPI_Irecv(&b, 1, MPI_INT, MPI_ANY_SOURCE, 5, MPI_COMM_WORLD, &r[0]);
    MPI_Isend(&a, 1, MPI_INT, next, 5, MPI_COMM_WORLD, &r[1]);
    while (!flag) MPI_Request_get_status(r[0], &flag, MPI_STATUS_IGNORE);
    expect(was, 1, 1, 0); /* the program has seen it */
    MPI_Waitall(2, r, MPI_STATUSES_IGNORE);
    expect(was, 1, 1, 0);
}

static void probe(void)
{
    int a = rank, b, flag = 0;
    MPI_Status status;
    totals was = read_totals();
    MPI_Send(&a, 1, MPI_INT, next, 6, MPI_COMM_WORLD);
    while (!flag) MPI_Iprobe(before, 6, MPI_COMM_WORLD, &flag, &status);
    MPI_Probe(MPI_ANY_SOURCE, 6, MPI_COMM_WORLD, &status);
    expect(was, 1, 0, 0);
    MPI_Recv(&b, 1, MPI_INT, status.MPI_SOURCE, 6, MPI_COMM_WORLD, &status);
    expect(was, 1, 1, 0);
}

static void cancel(void)
{
    int b, undone, a = rank;
    MPI_Request r, p;
    MPI_Status status;
    totals was = read_totals();
    MPI_Irecv(&b, 1, MPI_INT, before, 77, MPI_COMM_WORLD, &r);
    MPI_Cancel(&r);
    MPI_Wait(&r, &status);
    MPI_Test_cancelled(&status, &undone);
    if (!undone) fail("a receive nobody sends to was not cancelled");
    MPI_Recv_init(&b, 1, MPI_INT, before, 7, MPI_COMM_WORLD, &p);
    MPI_Start(&p);
    MPI_Cancel(&p);
    MPI_Wait(&p, MPI_STATUS_IGNORE);
    expect(was, 0, 0, 0);
    MPI_Barrier(MPI_COMM_WORLD); /* nobody has sent yet */
    MPI_Start(&p); /* cancelled once is not cancelled for ever */
    MPI_Send(&a, 1, MPI_INT, next, 7, MPI_COMM_WORLD);
    MPI_Wait(&p, MPI_STATUS_IGNORE);
    MPI_Request_free(&p);
    expect(was, 1, 1, 1);
}

/* Two copies made at once are told apart by the order of the calls, in whatever order they are used. */
static void idup(void)
{
    int a = rank, b;
    MPI_Comm copy[2];
    MPI_Request r[2];
    for (int i = 0; i < 2; i++) MPI_Comm_idup(MPI_COMM_WORLD, &copy[i], &r[i]);
    MPI_Waitall(2, r, MPI_STATUSES_IGNORE);
    totals was = read_totals();
    for (int k = 0; k < 2; k++) {
        int i = rank % 2 ? k : 1 - k;
        MPI_Sendrecv(&a, 1, MPI_INT, rank, 8 + i, &b, 1, MPI_INT, rank, 8 + i, copy[i], MPI_STATUS_IGNORE);
    }
    expect(was, 2, 2, 0);
    uint64_t mine[2] = { channel(rank, 8).comm, channel(rank, 9).comm }, first[2];
    memcpy(first, mine, sizeof first);
    MPI_Bcast(first, 2, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    if (!mine[0] || mine[0] == mine[1] || memcmp(first, mine, sizeof first)) fail("the copies have not the same ids on all ranks");
    for (int i = 0; i < 2; i++) MPI_Comm_free(&copy[i]);
}

static void overtaking(void)
{
    char value[8];
    int there = 1;
    MPI_Info info, got;
    MPI_Comm copy;
    MPI_Info_create(&info);
    MPI_Info_set(info, "mpi_assert_allow_overtaking", "true");
    MPI_Comm_dup_with_info(MPI_COMM_WORLD, info, &copy);
    MPI_Comm_set_info(copy, info);
    MPI_Comm_get_info(copy, &got);
    MPI_Info_get(got, "mpi_assert_allow_overtaking", 7, value, &there);
    if (there && !strcmp(value, "true")) fail("messages may overtake each other");
    MPI_Info_get(info, "mpi_assert_allow_overtaking", 7, value, &there);
    if (!there) fail("the program's own info object was changed");
    MPI_Info_free(&info);
    MPI_Info_free(&got);
    MPI_Comm_free(&copy);
}

static void windows(void)
{
    int cell = 0, value = rank, from = before, to = next;
    MPI_Win win;
    MPI_Group all, origin, target;
    totals was = read_totals();
    MPI_Win_create(&cell, sizeof cell, sizeof cell, MPI_INFO_NULL, MPI_COMM_WORLD, &win);
    MPI_Win_fence(0, win);
    MPI_Put(&value, 1, MPI_INT, next, 0, 1, MPI_INT, win);
    MPI_Win_fence(0, win);
    if (cell != before) fail("the put did not arrive");
    expect(was, 0, 0, 3);
    MPI_Comm_group(MPI_COMM_WORLD, &all);
    MPI_Group_incl(all, 1, &from, &origin);
    MPI_Group_incl(all, 1, &to, &target);
    MPI_Win_post(origin, 0, win);
    MPI_Win_start(target, 0, win);
    MPI_Put(&value, 1, MPI_INT, next, 0, 1, MPI_INT, win);
    MPI_Win_complete(win);
    MPI_Win_wait(win);
    expect(was, 2, 2, 3);
    MPI_Group_free(&all);
    MPI_Group_free(&origin);
    MPI_Group_free(&target);
    MPI_Win_free(&win);
    expect(was, 2, 2, 4);
}

static void files(void)
{
    int value = rank;
    char name[64];
    MPI_File file;
    MPI_Request r;
    totals was = read_totals();
    snprintf(name, sizeof name, "traps-output");
    MPI_File_open(MPI_COMM_WORLD, name, MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL, &file);
    MPI_File_write_at_all(file, (MPI_Offset)(sizeof value) * rank, &value, 1, MPI_INT, MPI_STATUS_IGNORE);
    MPI_File_iwrite_at(file, (MPI_Offset)(sizeof value) * rank, &value, 1, MPI_INT, &r);
    MPI_Wait(&r, MPI_STATUS_IGNORE);
    MPI_File_sync(file);
    MPI_File_close(&file);
    expect(was, 0, 0, 4);
}

static void tags(void)
{
    int upper = 0, *limit, set, many = TAGS / ranks;
    totals was = read_totals();
    MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &limit, &set);
    if (set) upper = *limit;
    if (upper < TAGS) fail("this MPI has too few tags");
    for (int t = 0; t < many; t++)
        MPI_Sendrecv(NULL, 0, MPI_BYTE, next, t * ranks + rank, NULL, 0, MPI_BYTE, before, t * ranks + before, MPI_COMM_WORLD,
                     MPI_STATUS_IGNORE);
    expect(was, (uint64_t)many, (uint64_t)many, 0);
    totals now = read_totals();
    if (now.bytes > (uint64_t)64 * BL_LIVE_CHANNELS) fail("the table has grown");
    belay_checkpoint(NULL); /* the start: nothing is due */
    printf("tags rank %d: checkpoint code %d\n", rank, belay_checkpoint(NULL));
}

static void one_of_each(MPI_Request *persistent)
{
    MPI_Request r[2];
    int a = 1, b, flag, index, n, indices[2];
    MPI_Sendrecv(&a, 1, MPI_INT, next, 1, &b, 1, MPI_INT, before, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    MPI_Irecv(&b, 1, MPI_INT, before, 2, MPI_COMM_WORLD, &r[0]);
    MPI_Isend(&a, 1, MPI_INT, next, 2, MPI_COMM_WORLD, &r[1]);
    MPI_Waitall(2, r, MPI_STATUSES_IGNORE);
    MPI_Irecv(&b, 1, MPI_INT, MPI_ANY_SOURCE, 3, MPI_COMM_WORLD, &r[0]);
    MPI_Send(&a, 1, MPI_INT, next, 3, MPI_COMM_WORLD);
    MPI_Waitany(1, r, &index, MPI_STATUS_IGNORE);
    MPI_Startall(2, persistent);
    MPI_Waitsome(2, persistent, &n, indices, MPI_STATUSES_IGNORE);
    for (flag = 0; !flag;) MPI_Testall(2, persistent, &flag, MPI_STATUSES_IGNORE);
}

/* Per message nothing is allocated or locked; nothing grows with messages. */
static void nothing(void)
{
    int a = 1, b;
    MPI_Request p[2];
    totals was = read_totals();
    MPI_Send_init(&a, 1, MPI_INT, next, 4, MPI_COMM_WORLD, &p[0]);
    MPI_Recv_init(&b, 1, MPI_INT, before, 4, MPI_COMM_WORLD, &p[1]);
    one_of_each(p); /* the tables have their size */
    watching = 1;
    for (int i = 1; i < MANY / 4; i++) one_of_each(p);
    watching = 0;
    MPI_Request_free(&p[0]);
    MPI_Request_free(&p[1]);
    expect(was, MANY, MANY, 0);
    if (allocations || locks) fail("a message has allocated or locked");
}

/* The hook sees the library: making a communicator allocates. */
static void hook(void)
{
    MPI_Comm half;
    watching = 1;
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, rank, &half);
    watching = 0;
    MPI_Comm_free(&half);
    if (!allocations) fail("the hook sees nothing");
    allocations = 0;
}

static void complete(int how, MPI_Request *r)
{
    int flag = 0, index, n, indices[2];
    switch (how) {
    case 0: MPI_Waitall(2, r, MPI_STATUSES_IGNORE); break;
    case 1: while (!flag) MPI_Testall(2, r, &flag, MPI_STATUSES_IGNORE); break;
    case 2: for (int k = 0; k < 2; k++) MPI_Waitany(2, r, &index, MPI_STATUS_IGNORE); break;
    case 3: for (int done = 0; done < 2; done += n) MPI_Waitsome(2, r, &n, indices, MPI_STATUSES_IGNORE); break;
    default: for (int k = 2; k-- > 0;) MPI_Wait(&r[k], MPI_STATUS_IGNORE);
    }
}

static void *talk(void *argument)
{
    int thread = (int)(intptr_t)argument, a = thread, b;
    MPI_Request r[2];
    for (int i = 0; i < EACH; i++) {
        int tag = i % 2 ? 50 : 60 + thread, any = i % 2 == 0 && i % 3 == 0; /* one channel of all threads, and one of its own */
        MPI_Irecv(&b, 1, MPI_INT, any ? MPI_ANY_SOURCE : before, tag, MPI_COMM_WORLD, &r[0]);
        if (i % 7 == 0) {
            MPI_Send(&a, 1, MPI_INT, next, tag, MPI_COMM_WORLD);
            MPI_Wait(&r[0], MPI_STATUS_IGNORE);
        } else {
            MPI_Isend(&a, 1, MPI_INT, next, tag, MPI_COMM_WORLD, &r[1]);
            complete(i % 5, r);
        }
    }
    return NULL;
}

static void threads(void)
{
    int level;
    pthread_t thread[THREADS];
    MPI_Query_thread(&level);
    if (level != MPI_THREAD_MULTIPLE) fail("MPI_THREAD_MULTIPLE was not given");
    totals was = read_totals();
    for (int i = 0; i < THREADS; i++) pthread_create(&thread[i], NULL, talk, (void *)(intptr_t)i);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    expect(was, THREADS * EACH, THREADS * EACH, 0);
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(void); } ways[] = {
        { "get_status", get_status }, { "probe", probe }, { "cancel", cancel }, { "idup", idup }, { "overtaking", overtaking },
        { "files", files }, { "windows", windows }, { "tags", tags }, { "hook", hook }, { "nothing", nothing }, { "threads", threads },
    };
    int level, multiple = argc > 1 && !strcmp(argv[1], "threads");
    MPI_Init_thread(&argc, &argv, multiple ? MPI_THREAD_MULTIPLE : MPI_THREAD_SERIALIZED, &level);
    totals_begin();
    for (int i = 1; i < argc; i++)
        for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
            if (strcmp(argv[i], ways[k].name)) continue;
            way = ways[k].name;
            ways[k].run();
            printf("%s rank %d: the truth\n", way, rank);
        }
    MPI_Finalize();
    return 0;
}
