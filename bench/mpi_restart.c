/* mpi_restart - a job that is killed after a checkpoint, and comes back.
 *
 *     mpi_restart save MIB      takes one checkpoint of MIB MiB a rank, then every rank kills itself
 *     mpi_restart resume MIB    restores it, prints when the last rank was ready to go on, and is killed again */
#include <belay.h>
#include <mpi.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double real_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static uint64_t word(int rank, size_t i)
{
    return ((uint64_t)rank << 56) ^ i * 0x9e3779b97f4a7c15u;
}

static int save(uint64_t *data, size_t words, int rank)
{
    belay_status status = { 0 };
    for (size_t i = 0; i < words; i++)
        data[i] = word(rank, i);
    for (int point = 0; point < 3 && !status.taken; point++)
        belay_checkpoint(&status);
    return status.taken;
}

static int right(const uint64_t *data, size_t words, int rank)
{
    for (size_t i = 0; i < words; i++)
        if (data[i] != word(rank, i))
            return 0;
    return 1;
}

int main(int argc, char **argv)
{
    int rank, good, all;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    size_t words = argc == 3 ? (size_t)atoi(argv[2]) << 17 : 0;
    uint64_t *data = words ? malloc(words * sizeof *data) : NULL;
    if (!data)
        MPI_Abort(MPI_COMM_WORLD, 2);
    belay_status status = { 0 };
    belay_protect("data", data, words, MPI_UINT64_T);
    belay_recover(&status);
    double ready = real_time(), last;
    MPI_Reduce(&ready, &last, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
    good = strcmp(argv[1], "save") == 0 ? save(data, words, rank) : status.resumed && right(data, words, rank);
    MPI_Allreduce(&good, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (rank == 0 && all)
        printf("ready %.6f\n", last);
    printf("pid %d\n", (int)getpid());
    fflush(stdout);
    MPI_Barrier(MPI_COMM_WORLD);
    raise(SIGKILL); /* the job stays unfinished, so that it can be resumed */
}
