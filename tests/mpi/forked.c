/* forked - a program with what async=fork has to bear with.  All of its state is a function of the step, changes in every step, and is
 * compared when it is restored; a step takes 20 ms, so that a slow writer is overtaken.
 *
 *     forked STEPS [WAY]
 *
 * WAY: ignore (SIGCHLD), handle (SIGCHLD), threads (one allocates all the time), dontfork (a variable is kept from children), nochild
 * (fork fails).  Each rank prints what is wrong; rank 0 prints "all is well" at the end.
 */
#include <belay.h>
#include <dlfcn.h>
#include <errno.h>
#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LARGE = 1 << 20, SMALL = 1 << 16 }; /* doubles */

static double still[SMALL];
static int rank, wrong, no_child;
static volatile sig_atomic_t signals;

/* In front of the C library's. */
__attribute__((visibility("default"))) pid_t fork(void)
{
    if (no_child) {
        errno = ENOMEM;
        return -1;
    }
    pid_t (*real)(void);
    *(void **)&real = dlsym(RTLD_NEXT, "fork");
    return real();
}

static void complain(const char *what, int step)
{
    wrong = 1;
    fprintf(stderr, "rank %d, step %d: WRONG: %s\n", rank, step, what);
}

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static void *allocate(void *unused)
{
    for (;;) {
        for (int i = 0; i < 200; i++) free(malloc((size_t)(64 + i)));
        usleep(50);
    }
    return unused;
}

static double *shared_by_all(size_t count)
{
    void *p = mmap(NULL, count * sizeof(double), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) MPI_Abort(MPI_COMM_WORLD, 1);
    return p;
}

static double *private_large(size_t count, int dontfork)
{
    void *p = mmap(NULL, count * sizeof(double), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || (dontfork && madvise(p, count * sizeof(double), MADV_DONTFORK))) MPI_Abort(MPI_COMM_WORLD, 1);
    return p;
}

static void fill(double *p, size_t count, int step)
{
    for (size_t i = 0; i < count; i++) p[i] = 1000.0 * step + rank + (double)(i % 97);
}

static void compare(const char *name, const double *p, size_t count, int step)
{
    for (size_t i = 0; i < count; i++) {
        if (p[i] == 1000.0 * step + rank + (double)(i % 97)) continue;
        complain(name, step);
        return;
    }
}

int main(int argc, char **argv)
{
    int step = 0, steps = argc > 1 ? atoi(argv[1]) : 40, any;
    const char *way = argc > 2 ? argv[2] : "";
    pthread_t thread;
    belay_status status;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (!strcmp(way, "ignore")) signal(SIGCHLD, SIG_IGN);
    if (!strcmp(way, "handle")) signal(SIGCHLD, count_signal);
    if (!strcmp(way, "threads") && pthread_create(&thread, NULL, allocate, NULL)) MPI_Abort(MPI_COMM_WORLD, 1);
    no_child = !strcmp(way, "nochild");
    double *large = private_large(LARGE, !strcmp(way, "dontfork")), *shared = shared_by_all(SMALL), *heap = malloc(SMALL * sizeof *heap);
    struct { double *data; const char *name; size_t count; } variable[] = {
        { large, "large", LARGE }, { shared, "shared", SMALL }, { still, "still", SMALL }, { heap, "heap", SMALL } };
    belay_protect("step", &step, 1, MPI_INT);
    for (int k = 0; k < 4; k++) {
        fill(variable[k].data, variable[k].count, 0);
        belay_protect(variable[k].name, variable[k].data, variable[k].count, MPI_DOUBLE);
    }
    belay_recover(&status);
    if (status.resumed)
        for (int k = 0; k < 4; k++) compare(variable[k].name, variable[k].data, variable[k].count, step);
    for (; step < steps; step++) {
        belay_checkpoint(NULL);
        for (int k = 0; k < 4; k++) fill(variable[k].data, variable[k].count, step + 1); /* before any of it can be written */
        if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD) complain("there is a child", step);
        usleep(20000);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    if (signals) complain("SIGCHLD came", step);
    MPI_Allreduce(&wrong, &any, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    if (rank == 0 && !any) printf("all is well\n");
    MPI_Finalize();
    return wrong;
}
