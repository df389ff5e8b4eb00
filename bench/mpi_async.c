/* mpi_async - for how long a checkpoint with async=stage or fork holds the program up, beside memcpy of the same bytes into memory that has
 * been touched, and what it costs the computation until it counts.  With BELAY_EVERY=100: one is due at each 100th safe point.
 * Prints a line a pair: "held SECONDS memcpy SECONDS done SECONDS extra SECONDS step SECONDS", of the slowest rank each.
 *
 *     mpi_async MIB PAIRS
 */
#include <belay.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { EVERY = 100 };

static double slowest(double mine)
{
    double all;
    PMPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return all;
}

static char *touched(size_t bytes)
{
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) MPI_Abort(MPI_COMM_WORLD, 1);
    (void)madvise(p, bytes, MADV_HUGEPAGE);
    memset(p, 1, bytes);
    return p;
}

/* A step: all of the state is read and written. */
static double sweep(double *state, size_t count)
{
    double began = PMPI_Wtime();
    for (size_t i = 0; i < count; i++) state[i] = 0.5 * state[i] + 1;
    return PMPI_Wtime() - began;
}

int main(int argc, char **argv)
{
    int rank, pairs = argc > 2 ? atoi(argv[2]) : 5;
    size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 64) << 20, count = bytes / sizeof(double);
    belay_status status;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    char *other = touched(bytes);
    double *state = (double *)(void *)touched(bytes);
    belay_protect("state", state, count, MPI_DOUBLE);
    belay_recover(NULL);
    belay_checkpoint(&status);
    for (int pair = 0; pair <= pairs; pair++) {
        double idle = sweep(state, count);
        idle = sweep(state, count);
        PMPI_Barrier(MPI_COMM_WORLD);
        double began = PMPI_Wtime();
        memcpy(other, state, bytes);
        double copy = slowest(PMPI_Wtime() - began);
        while ((status.safe_point + 1) % EVERY) belay_checkpoint(&status);
        PMPI_Barrier(MPI_COMM_WORLD);
        began = PMPI_Wtime();
        belay_checkpoint(&status);
        double held = slowest(PMPI_Wtime() - began), extra = 0;
        while (!status.taken) {
            extra += sweep(state, count) - idle;
            belay_checkpoint(&status);
            if (status.safe_point % EVERY == EVERY - 1 && !status.taken) MPI_Abort(MPI_COMM_WORLD, 1);
        }
        double done = slowest(PMPI_Wtime() - began);
        extra = slowest(extra);
        idle = slowest(idle);
        if (rank == 0 && pair) printf("held %.6f memcpy %.6f done %.6f extra %.6f step %.6f\n", held, copy, done, extra, idle);
    }
    MPI_Finalize();
    return 0;
}
