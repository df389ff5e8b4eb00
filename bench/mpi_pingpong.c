/* mpi_pingpong - 8 bytes to and fro, and a window of 64 of them; nanoseconds per message.  Built with and without Belay. */
#include <mpi.h>
#include <stdio.h>

enum { PINGS = 200000, WINDOWS = 10000, WINDOW = 64 };

static double ping_pong(int rank)
{
    double word = 0, began = MPI_Wtime();
    for (int i = 0; i < PINGS; i++) {
        if (rank == 0)
            MPI_Send(&word, 1, MPI_DOUBLE, 1, 0, MPI_COMM_WORLD);
        MPI_Recv(&word, 1, MPI_DOUBLE, !rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (rank == 1)
            MPI_Send(&word, 1, MPI_DOUBLE, 0, 0, MPI_COMM_WORLD);
    }
    return (MPI_Wtime() - began) / (2.0 * PINGS) * 1e9;
}

static double stream(int rank)
{
    double words[WINDOW] = { 0 }, began = MPI_Wtime();
    MPI_Request request[WINDOW];
    for (int w = 0; w < WINDOWS; w++) {
        for (int i = 0; i < WINDOW; i++) {
            if (rank == 0)
                MPI_Isend(&words[i], 1, MPI_DOUBLE, 1, 1, MPI_COMM_WORLD, &request[i]);
            else
                MPI_Irecv(&words[i], 1, MPI_DOUBLE, 0, 1, MPI_COMM_WORLD, &request[i]);
        }
        MPI_Waitall(WINDOW, request, MPI_STATUSES_IGNORE);
        if (rank == 0)
            MPI_Recv(words, 1, MPI_DOUBLE, 1, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        else
            MPI_Send(words, 1, MPI_DOUBLE, 0, 2, MPI_COMM_WORLD);
    }
    return (MPI_Wtime() - began) / ((double)WINDOWS * WINDOW) * 1e9;
}

int main(int argc, char **argv)
{
    int rank, ranks;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (ranks != 2)
        MPI_Abort(MPI_COMM_WORLD, 2);
    ping_pong(rank);
    double ping = ping_pong(rank), window = stream(rank);
    if (rank == 0)
        printf("ping %.3f window %.3f\n", ping, window);
    MPI_Finalize();
    return 0;
}
