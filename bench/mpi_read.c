/* mpi_read FILE... - what a restart cannot avoid: an MPI program starts, and each rank reads its file into memory.
 * Prints when MPI_Init had returned, and when the file was read, on the last rank. */
#include <fcntl.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double real_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void read_all(const char *path)
{
    struct stat about;
    int fd = open(path, O_RDONLY);
    char *data = fd >= 0 && fstat(fd, &about) == 0 ? malloc((size_t)about.st_size) : NULL;
    off_t have = 0;
    while (data && have < about.st_size) {
        ssize_t more = read(fd, data + have, (size_t)(about.st_size - have));
        if (more <= 0)
            break;
        have += more;
    }
    if (!data || have < about.st_size) {
        perror(path);
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    free(data);
    close(fd);
}

int main(int argc, char **argv)
{
    int rank;
    double when[2], last[2];
    MPI_Init(&argc, &argv);
    when[0] = real_time();
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank + 1 >= argc)
        MPI_Abort(MPI_COMM_WORLD, 2);
    read_all(argv[rank + 1]);
    when[1] = real_time();
    MPI_Reduce(when, last, 2, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
    if (rank == 0)
        printf("started %.6f ready %.6f\n", last[0], last[1]);
    MPI_Finalize();
    return 0;
}
