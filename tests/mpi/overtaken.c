/* overtaken - a receive from anybody that was posted earlier is still coming in (a long message, whose sender rests) when one posted
 * later is complete, and only that one is known when rank 0 dies.  Done again, the earlier one must not take its message.
 *
 * Rank 0 dies by --kill at its second safe point of the first start.  Prints "overtaken: right" when both have got theirs.
 */
#include <belay.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LONG = 4 << 20 };

int main(int argc, char **argv)
{
    int rank, step = 0, word = 7;
    static char first[LONG], second[LONG];
    MPI_Request request[2];
    MPI_Status status[2];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    belay_protect("step", &step, 1, MPI_INT);
    belay_recover(NULL);
    belay_checkpoint(NULL);
    if (rank == 0) {
        MPI_Irecv(first, LONG, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &request[0]);
        MPI_Irecv(second, LONG, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &request[1]);
        MPI_Send(&word, 1, MPI_INT, 2, 1, MPI_COMM_WORLD);
        MPI_Wait(&request[1], &status[1]);
        MPI_Send(&word, 1, MPI_INT, 1, 3, MPI_COMM_WORLD); /* what is known is forced */
        belay_checkpoint(NULL);
        MPI_Wait(&request[0], &status[0]);
        if (status[0].MPI_SOURCE == 2 && status[1].MPI_SOURCE == 1 && first[LONG - 1] == 2 && second[0] == 1) printf("overtaken: right\n");
        else printf("overtaken: first from %d, second from %d\n", status[0].MPI_SOURCE, status[1].MPI_SOURCE);
    } else if (rank == 1) {
        char small = 1;
        MPI_Recv(&word, 1, MPI_INT, 2, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        nanosleep(&(struct timespec){ .tv_nsec = 300000000 }, NULL); /* the announcement of the long one comes first */
        MPI_Send(&small, 1, MPI_BYTE, 0, 1, MPI_COMM_WORLD);
        MPI_Recv(&word, 1, MPI_INT, 0, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        belay_checkpoint(NULL);
    } else {
        for (int i = 0; i < LONG; i++) first[i] = 2;
        MPI_Recv(&word, 1, MPI_INT, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Isend(first, LONG, MPI_BYTE, 0, 1, MPI_COMM_WORLD, &request[0]);
        MPI_Send(&word, 1, MPI_INT, 1, 2, MPI_COMM_WORLD);
        nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL); /* and nothing of it is sent */
        MPI_Wait(&request[0], MPI_STATUS_IGNORE);
        belay_checkpoint(NULL);
    }
    MPI_Finalize();
    return 0;
}
