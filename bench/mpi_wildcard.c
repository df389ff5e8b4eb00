/* mpi_wildcard - what the order of receives costs to log: rank 0 sends 16 messages and waits for an answer, and rank 1 receives them
 * from rank 0, and from MPI_ANY_SOURCE, by turns.  Prints medians: ns a message from rank 0, from anybody.
 *
 *     mpi_wildcard BYTES
 */
#include <belay.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { TURNS = 101, ROUNDS = 100, MESSAGES = 16 };

static double block(int rank, char *buffer, int bytes, int source)
{
    MPI_Barrier(MPI_COMM_WORLD);
    double began = PMPI_Wtime();
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < MESSAGES; i++) {
            if (rank == 0) MPI_Send(buffer, bytes, MPI_BYTE, 1, 1, MPI_COMM_WORLD);
            else MPI_Recv(buffer, bytes, MPI_BYTE, source, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        }
        if (rank == 0) MPI_Recv(NULL, 0, MPI_BYTE, 1, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        else MPI_Send(NULL, 0, MPI_BYTE, 0, 2, MPI_COMM_WORLD);
    }
    return (PMPI_Wtime() - began) / (ROUNDS * MESSAGES) * 1e9;
}

static int ascending(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
    int rank, turn = 0, bytes = argc > 1 ? atoi(argv[1]) : 8;
    static double from_rank[TURNS], from_any[TURNS];
    char *buffer = calloc((size_t)bytes + 1, 1);
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    belay_protect("turn", &turn, 1, MPI_INT);
    belay_recover(NULL);
    for (; turn < TURNS; turn++) {
        belay_checkpoint(NULL);
        from_rank[turn] = block(rank, buffer, bytes, 0);
        from_any[turn] = block(rank, buffer, bytes, MPI_ANY_SOURCE);
    }
    qsort(from_rank, TURNS, sizeof *from_rank, ascending);
    qsort(from_any, TURNS, sizeof *from_any, ascending);
    if (rank == 1) printf("rank %.1f any %.1f\n", from_rank[TURNS / 2], from_any[TURNS / 2]);
    free(buffer);
    MPI_Finalize();
    return 0;
}
