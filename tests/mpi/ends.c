/* ends - a program that ends in the way it is told to.
 *
 *     ends STEPS MILLISECONDS [WAY STEP]     WAY: status (exit status 3 after MPI_Finalize), abort, leave, crash
 *
 * Each step takes so long, without using the processor.  Prints `result <16 hex digits>`, and for
 * scripts `rank R is process P` and at each step `step N`.
 */
#include <mpi.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <belay.h>

static void end_here(const char *way)
{
    if (!strcmp(way, "abort")) MPI_Abort(MPI_COMM_WORLD, 5);
    if (!strcmp(way, "leave")) exit(0);
    if (!strcmp(way, "crash")) raise(SIGKILL);
}

/* A request to stop does not cut it short. */
static void rest(int ms)
{
    struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
    while (nanosleep(&left, &left) != 0) continue;
}

int main(int argc, char **argv)
{
    int rank, step = 0, steps = argc > 1 ? atoi(argv[1]) : 0, wait_ms = argc > 2 ? atoi(argv[2]) : 0;
    const char *way = argc > 4 ? argv[3] : "";
    int way_step = argc > 4 ? atoi(argv[4]) : -1;
    uint64_t sum = 1, all;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    printf("rank %d is process %d\n", rank, (int)getpid());
    belay_protect("step", &step, 1, MPI_INT);
    belay_protect("sum", &sum, 1, MPI_UINT64_T);
    belay_recover(NULL);
    for (; step < steps; step++) {
        belay_checkpoint(NULL);
        if (rank == 0) printf("step %d\n", step);
        fflush(stdout);
        if (rank == 1 && step == way_step) end_here(way);
        rest(wait_ms);
        sum = sum * 6364136223846793005u + (uint64_t)(rank + step);
        MPI_Allreduce(&sum, &all, 1, MPI_UINT64_T, MPI_BXOR, MPI_COMM_WORLD);
        sum ^= all >> 7;
    }
    MPI_Allreduce(&sum, &all, 1, MPI_UINT64_T, MPI_BXOR, MPI_COMM_WORLD);
    if (rank == 0) printf("result %016llx\n", (unsigned long long)all);
    MPI_Finalize();
    return !strcmp(way, "status") ? 3 : 0;
}
