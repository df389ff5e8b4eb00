/* ahead - a rank sees a message before one that was sent earlier, and then another rank dies: what it has seen is not to come again, and
 * what it has not is not to be lost.
 *
 *     ahead HOW      channel: two receives of one channel; wildcard: three from anybody; anytag: one with any tag; order: none of these
 *
 * 4 ranks.  Rank 1 sends, rank 0 receives, rank 2 kills itself when rank 0 has. */
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <belay.h>

enum { STEPS = 8, LONG = 100000, MANY = 3 };

static char in[MANY][LONG];

static int first(int rank) { return rank * 1000; }

/* What rank 0 has received, in the order of its receives. */
static int receive(const char *how, int step)
{
    MPI_Request r[MANY];
    MPI_Status s;
    int wild = !strcmp(how, "wildcard"), any = !strcmp(how, "anytag"), word, sum = 0, go = step;
    for (int k = 0; k < MANY; k++)
        MPI_Irecv(in[k], LONG, MPI_BYTE, wild ? MPI_ANY_SOURCE : 1, any && k == 0 ? MPI_ANY_TAG : 5, MPI_COMM_WORLD, &r[k]);
    MPI_Send(&go, 1, MPI_INT, 1, 4, MPI_COMM_WORLD);
    if (strcmp(how, "order")) MPI_Wait(&r[1], &s); /* the second before the first */
    MPI_Send(&go, 1, MPI_INT, 2, 4, MPI_COMM_WORLD);
    MPI_Recv(&word, 1, MPI_INT, 2, 6, MPI_COMM_WORLD, MPI_STATUS_IGNORE); /* here it finds rank 2 dead */
    for (int k = 0; k < MANY; k++) MPI_Wait(&r[k], &s);
    for (int k = 0; k < MANY; k++) {
        int got;
        memcpy(&got, in[k], sizeof got);
        if (got != first(step) + k) {
            printf("ahead: at step %d receive %d has message %d instead of %d\n", step, k, got, first(step) + k);
            MPI_Abort(MPI_COMM_WORLD, 1);
        }
        sum += got * (k + 1);
    }
    return sum + word;
}

static int program(int argc, char **argv)
{
    static char out[LONG];
    int rank, step = 0, sum = 0;
    belay_status status;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    belay_protect("step", &step, 1, MPI_INT);
    belay_protect("sum", &sum, 1, MPI_INT);
    belay_recover(&status);
    for (; step < STEPS; step++) {
        int word = step * 7, go;
        belay_checkpoint(NULL);
        if (rank == 0) sum += receive(argv[1], step);
        if (rank == 1) {
            MPI_Recv(&go, 1, MPI_INT, 0, 4, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            for (int k = 0; k < MANY; k++) {
                int value = first(step) + k;
                memcpy(out, &value, sizeof value);
                MPI_Send(out, k == 0 ? LONG : (int)sizeof value, MPI_BYTE, 0, 5, MPI_COMM_WORLD);
            }
        }
        if (rank == 2) MPI_Recv(&go, 1, MPI_INT, 0, 4, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (rank == 2 && step == 5 && status.ranks && status.incarnation == 0) kill(getpid(), SIGKILL);
        if (rank == 2) MPI_Send(&word, 1, MPI_INT, 0, 6, MPI_COMM_WORLD);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    if (rank == 0) printf("result %016x\n", (unsigned)sum);
    MPI_Finalize();
    return 0;
}

int main(int argc, char **argv)
{
    return belay_main(program, argc, argv);
}
