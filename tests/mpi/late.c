/* late - rank 0 asks again and again for a message from anybody that comes late: for message logging, where the request of a
 * receive that was open when the rank died is not MPI's own for a while.
 *
 *     late ROUNDS     before the first restart the message of round 4 comes after a long time: rank 0 is to be killed then
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <belay.h>

int main(int argc, char **argv)
{
    int rank, round = 0, wrong = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (argc != 2) MPI_Abort(MPI_COMM_WORLD, 2);
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
