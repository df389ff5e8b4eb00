/* slow.c SECONDS STEPS: each step computes so long without a call of MPI; then all add up. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "belay.h"

int main(int argc, char **argv)
{
    int rank, steps = argc > 2 ? atoi(argv[2]) : 2, step = 0;
    double state = 1, sum = 0;
    struct timespec pause = { argc > 1 ? atoi(argv[1]) : 1, 0 };
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    belay_protect("step", &step, 1, MPI_INT);
    belay_protect("state", &state, 1, MPI_DOUBLE);
    belay_recover(NULL);
    for (; step < steps; step++) {
        belay_checkpoint(NULL);
        nanosleep(&pause, NULL);
        state = 0.5 * state + rank + step;
        MPI_Allreduce(&state, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        state += sum;
    }
    if (rank == 0) printf("result %.17g\n", sum);
    MPI_Finalize();
    return 0;
}
