/* mpi_redundancy - what a checkpoint with redundancy costs beside writing the same bytes to a plain file: the two by turns, new files
 * each time, a turn as long as its slowest rank.  Prints "checkpoint SECONDS plain SECONDS", a line a pair.
 *
 *     mpi_redundancy MIB PAIRS
 */
#include <belay.h>
#include <fcntl.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static double slowest(double began)
{
    double mine = PMPI_Wtime() - began, all;
    PMPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return all;
}

static void plain(const char *path, const char *data, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    for (size_t at = 0; fd >= 0 && at < bytes;) {
        ssize_t n = write(fd, data + at, bytes - at);
        if (n <= 0) break;
        at += (size_t)n;
    }
    if (fd < 0 || close(fd)) {
        perror(path);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
}

int main(int argc, char **argv)
{
    int rank, turn = 0, pairs = argc > 2 ? atoi(argv[2]) : 5;
    size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 64) << 20;
    char path[4096], *data = malloc(bytes);
    belay_status status;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    memset(data, rank + 1, bytes);
    belay_protect("turn", &turn, 1, MPI_INT);
    belay_protect("data", data, bytes, MPI_CHAR);
    belay_recover(NULL);
    snprintf(path, sizeof path, "%s/plain-%d", getenv("BELAY_DIR"), rank);
    for (; turn <= pairs; turn++) {
        double second[2];
        for (int k = 0; k < 2; k++) {
            int takes = (k + turn) % 2;
            PMPI_Barrier(MPI_COMM_WORLD);
            double began = PMPI_Wtime();
            if (takes && (belay_checkpoint(&status) != BELAY_OK || (!status.taken && turn))) MPI_Abort(MPI_COMM_WORLD, 1);
            if (!takes) plain(path, data, bytes);
            second[takes] = slowest(began);
            if (!takes) unlink(path);
        }
        if (rank == 0 && turn) printf("checkpoint %.6f plain %.6f\n", second[1], second[0]);
    }
    free(data);
    MPI_Finalize();
    return 0;
}
