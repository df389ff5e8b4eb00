/* breaker - breaks the rule of the safe point in one way after another.
 *
 *     breaker WAY...
 *
 * For each WAY there are two safe points: at the first something is under way, at the second nothing is.  Every rank
 * prints what belay_checkpoint said at each: `WAY rank R broken|clean code C checkpoint N: sentence`.  With every=1
 * the checkpoints of the broken safe points have odd numbers.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <belay.h>

enum { BIG = 1 << 20 };

static int rank, value, step;
static char *big;

static void safe_point(const char *way, const char *what)
{
    belay_status status;
    int code = belay_checkpoint(&status);
    printf("%s rank %d %s code %d checkpoint %d: %s\n", way, rank, what, code, status.checkpoint,
           code ? belay_error_text() : "");
    fflush(stdout);
    step++;
}

static void broken(const char *way)
{
    safe_point(way, "broken");
}

static void eager(const char *way)
{
    if (rank == 1) MPI_Send(&value, 1, MPI_INT, 2, 7, MPI_COMM_WORLD);
    broken(way);
    if (rank == 2) MPI_Recv(&value, 1, MPI_INT, 1, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

/* Rank 1 does not reach the safe point before rank 2 has received, which is after it. */
static void rendezvous(const char *way)
{
    if (rank == 1) MPI_Send(big, BIG, MPI_BYTE, 2, 8, MPI_COMM_WORLD);
    broken(way);
    if (rank == 2) MPI_Recv(big, BIG, MPI_BYTE, 1, 8, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static void synchronous(const char *way)
{
    if (rank == 3) MPI_Ssend(&value, 1, MPI_INT, 0, 18, MPI_COMM_WORLD);
    broken(way);
    if (rank == 0) MPI_Recv(&value, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static void irecv(const char *way)
{
    MPI_Request request;
    if (rank == 2) MPI_Irecv(&value, 1, MPI_INT, 1, 9, MPI_COMM_WORLD, &request);
    broken(way);
    if (rank == 1) MPI_Send(&value, 1, MPI_INT, 2, 9, MPI_COMM_WORLD);
    if (rank == 2) MPI_Wait(&request, MPI_STATUS_IGNORE);
}

static void isend(const char *way)
{
    MPI_Request request;
    if (rank == 1) MPI_Isend(big, BIG, MPI_BYTE, 2, 10, MPI_COMM_WORLD, &request);
    broken(way);
    if (rank == 1) MPI_Wait(&request, MPI_STATUS_IGNORE);
    if (rank == 2) MPI_Recv(big, BIG, MPI_BYTE, 1, 10, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static void persistent(const char *way)
{
    MPI_Request request;
    if (rank == 3) {
        MPI_Recv_init(&value, 1, MPI_INT, 0, 11, MPI_COMM_WORLD, &request);
        MPI_Start(&request);
    }
    broken(way);
    if (rank == 0) MPI_Send(&value, 1, MPI_INT, 3, 11, MPI_COMM_WORLD);
    if (rank == 3) {
        MPI_Wait(&request, MPI_STATUS_IGNORE);
        MPI_Request_free(&request);
    }
}

/* Complete on the other ranks; only rank 0 has not asked. */
static void ibarrier(const char *way)
{
    MPI_Request request;
    MPI_Ibarrier(MPI_COMM_WORLD, &request);
    if (rank != 0) MPI_Wait(&request, MPI_STATUS_IGNORE);
    broken(way);
    if (rank == 0) MPI_Wait(&request, MPI_STATUS_IGNORE);
}

static void ibcast(const char *way)
{
    MPI_Request request;
    MPI_Ibcast(&value, 1, MPI_INT, 3, MPI_COMM_WORLD, &request);
    if (rank != 1) MPI_Wait(&request, MPI_STATUS_IGNORE);
    broken(way);
    if (rank == 1) MPI_Wait(&request, MPI_STATUS_IGNORE);
}

static void mprobe(const char *way)
{
    MPI_Message message;
    if (rank == 1) MPI_Send(&value, 1, MPI_INT, 2, 12, MPI_COMM_WORLD);
    if (rank == 2) MPI_Mprobe(1, 12, MPI_COMM_WORLD, &message, MPI_STATUS_IGNORE);
    broken(way);
    if (rank == 2) MPI_Mrecv(&value, 1, MPI_INT, &message, MPI_STATUS_IGNORE);
}

/* A small broadcast does not hold its root up. */
static void straddling(const char *way)
{
    if (rank == 0) MPI_Bcast(&value, 1, MPI_INT, 0, MPI_COMM_WORLD);
    broken(way);
    if (rank != 0) MPI_Bcast(&value, 1, MPI_INT, 0, MPI_COMM_WORLD);
}

/* The communicator is gone, its last message is not received: neither may the request be forgotten, nor its count. */
static void freed(const char *way)
{
    MPI_Comm comm;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    if (rank == 1) MPI_Irecv(&value, 1, MPI_INT, 3, 13, comm, &request);
    if (rank == 3) MPI_Send(&value, 1, MPI_INT, 1, 13, comm);
    MPI_Comm_free(&comm);
    broken(way);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
}

static void window(const char *way)
{
    MPI_Win win;
    MPI_Win_create(&value, sizeof value, sizeof value, MPI_INFO_NULL, MPI_COMM_WORLD, &win);
    MPI_Win_free(&win);
    broken(way);
}

static const struct { const char *name; void (*go)(const char *); } ways[] = {
    { "eager", eager }, { "rendezvous", rendezvous }, { "synchronous", synchronous }, { "irecv", irecv },
    { "isend", isend }, { "persistent", persistent }, { "ibarrier", ibarrier }, { "ibcast", ibcast },
    { "mprobe", mprobe }, { "straddling", straddling }, { "freed", freed }, { "window", window },
};

static void go(const char *name)
{
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (strcmp(ways[i].name, name)) continue;
        ways[i].go(name);
        MPI_Barrier(MPI_COMM_WORLD);
        safe_point(name, "clean");
    }
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    big = calloc(BIG, 1);
    if (!big) MPI_Abort(MPI_COMM_WORLD, 1);
    belay_protect("step", &step, 1, MPI_INT);
    belay_recover(NULL);
    safe_point(step ? "resumed" : "start", "clean");
    for (int i = 1; i < argc; i++)
        if (step <= 2 * i - 1) go(argv[i]); /* after a restart: what was not done yet */
    free(big);
    MPI_Finalize();
    printf("rank %d is done\n", rank);
    return 0;
}
