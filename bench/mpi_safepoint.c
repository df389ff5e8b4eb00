/* mpi_safepoint - what a safe point costs at which nothing is due, the agreement rounds of the library included.
 *
 *     mpi_safepoint [MIB]      with so many MiB protected: beside it, by turns, memcpy of as many into memory of our own
 */
#include <belay.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS = 10000000, TURNS = 31 };

static double slowest(double seconds)
{
    double all;
    MPI_Reduce(&seconds, &all, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
    return all;
}

static void empty(int rank)
{
    belay_checkpoint(NULL);
    MPI_Barrier(MPI_COMM_WORLD);
    double began = MPI_Wtime();
    for (int i = 0; i < CALLS; i++)
        belay_checkpoint(NULL);
    double seconds = slowest(MPI_Wtime() - began);
    if (rank == 0)
        printf("ns %.3f\n", seconds / CALLS * 1e9);
}

static void full(int rank, char *state, size_t bytes)
{
    char *copy = malloc(bytes);
    memset(copy, 0, bytes);
    belay_checkpoint(NULL);
    for (int turn = 0; turn < TURNS; turn++) {
        memset(state, turn, bytes); /* a step changes the state */
        double began = MPI_Wtime();
        belay_checkpoint(NULL);
        double point = slowest(MPI_Wtime() - began);
        memset(state, -turn, bytes);
        began = MPI_Wtime();
        memcpy(copy, state, bytes);
        double plain = slowest(MPI_Wtime() - began);
        if (rank == 0)
            printf("%.9f %.9f\n", point, plain);
    }
    free(copy);
}

int main(int argc, char **argv)
{
    int rank;
    size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : 0;
    char *state = malloc(bytes + 1);
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (bytes)
        belay_protect_bytes("state", state, bytes);
    belay_recover(NULL);
    if (bytes)
        full(rank, state, bytes);
    else
        empty(rank);
    MPI_Finalize();
    free(state);
    return 0;
}
