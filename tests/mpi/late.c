/* late - rank 0 asks again and again for a message from anybody that comes late: for message logging, where the request of a
 * receive that was open when the rank died is not MPI's own for a while.
 *
 *     late ROUNDS [MIB]     before the first restart the message of round 4 comes after a long time: rank 0 is to be killed then;
 *                           MIB: rank 1 has sent so much, three times, before it begins
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <belay.h>

static int send_first(int rank, int bytes)
{
    char *data = malloc(3 * (size_t)bytes);
    MPI_Request r[3];
    int wrong = 0;
    for (int k = 0; k < 3; k++) {
        char *part = data + (size_t)k * (size_t)bytes;
        memset(part, rank ? 'a' + k : 0, (size_t)bytes);
        if (rank) MPI_Isend(part, bytes, MPI_BYTE, 0, 5, MPI_COMM_WORLD, &r[k]);
        else MPI_Irecv(part, bytes, MPI_BYTE, 1, 5, MPI_COMM_WORLD, &r[k]);
    }
    if (!rank) usleep(200000);
    MPI_Waitall(3, r, MPI_STATUSES_IGNORE);
    for (size_t i = 0; i < 3 * (size_t)bytes; i++) wrong |= data[i] != (char)('a' + (int)(i / (size_t)bytes));
    free(data);
    return wrong;
}

int main(int argc, char **argv)
{
    int rank, round = 0, wrong = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (argc < 2) MPI_Abort(MPI_COMM_WORLD, 2);
    if (argc > 2) wrong = send_first(rank, atoi(argv[2]) << 20);
    belay_protect("round", &round, 1, MPI_INT);
    belay_status status;
    belay_recover(&status);
    for (int rounds = atoi(argv[1]); round < rounds; round++) {
        int value = -1, there = 0, asked = 0;
        belay_checkpoint(NULL);
        if (rank == 0) {
            MPI_Request r;
            MPI_Status s, seen;
            MPI_Irecv(&value, 1, MPI_INT, MPI_ANY_SOURCE, 3, MPI_COMM_WORLD, &r);
            for (; !there; asked++) MPI_Request_get_status(r, &there, &seen), usleep(5000);
            wrong |= value != round || seen.MPI_SOURCE != 1 || seen.MPI_TAG != 3;
            for (there = 0; !there;) MPI_Test(&r, &there, &s);
            wrong |= s.MPI_SOURCE != 1 || s.MPI_TAG != 3 || r != MPI_REQUEST_NULL;
            MPI_Send(&round, 1, MPI_INT, 1, 4, MPI_COMM_WORLD);
        } else {
            usleep(status.incarnation == 0 && round == 4 ? 5000000 : 50000);
            MPI_Send(&round, 1, MPI_INT, 0, 3, MPI_COMM_WORLD);
            MPI_Recv(&value, 1, MPI_INT, 0, 4, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        }
    }
    if (rank == 0 && !wrong) printf("late: every message as it was sent\n");
    MPI_Finalize();
    return wrong;
}
