/* mpi_safepoint - what a safe point costs at which nothing is due, the agreement rounds of the library included. */
#include <belay.h>
#include <mpi.h>
#include <stdio.h>

enum { CALLS = 10000000 };

int main(int argc, char **argv)
{
    int rank;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    belay_recover(NULL);
    belay_checkpoint(NULL);
    MPI_Barrier(MPI_COMM_WORLD);
    double began = MPI_Wtime(), slowest;
    for (int i = 0; i < CALLS; i++)
        belay_checkpoint(NULL);
    double seconds = MPI_Wtime() - began;
    MPI_Reduce(&seconds, &slowest, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
    if (rank == 0)
        printf("ns %.3f\n", slowest / CALLS * 1e9);
    MPI_Finalize();
    return 0;
}
