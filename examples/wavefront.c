/* wavefront - a sweep across the ranks: each takes its neighbour's edge, works, and hands its own edge on.
 *
 *     belay run -n 4 --every 10 --kill 2@step=35 wavefront
 *
 * The ranks pass the same safe point at very different times, and that is fine: at safe point k everybody has received k
 * edges and sent k edges.  With a second argument the safe point stands between the receive and the send:
 *
 *     belay run -n 4 --every 10 --align-timeout 2s wavefront 60 unaligned
 *
 * There a coordinated checkpoint cannot be: rank 0 waits at safe point k for rank 1, which waits for the edge that rank 0
 * sends after it.  Belay notices, says so and goes on without that checkpoint.  Both print the same `result`.
 * Options: a number of sweeps (60), the word `unaligned`.
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <belay.h>

#include "digest.h"

enum { WIDTH = 512, HEIGHT = 64 };

static double block[HEIGHT][WIDTH];

/* Each value from its left and upper neighbours: so the edge of the rank to the left comes first. */
static void sweep(double edge[HEIGHT], int number)
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            block[y][x] = 0.5 * block[y][x] + 0.3 * (x ? block[y][x - 1] : edge[y]) + 0.2 * (y ? block[y - 1][x] : (double)number);
    for (int y = 0; y < HEIGHT; y++) edge[y] = block[y][WIDTH - 1];
}

static int program(int argc, char **argv)
{
    int rank, ranks, number = 0, sweeps = argc > 1 ? atoi(argv[1]) : 60;
    int unaligned = argc > 2 && !strcmp(argv[2], "unaligned");
    double edge[HEIGHT];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    belay_protect("number", &number, 1, MPI_INT);
    belay_protect("block", block, HEIGHT * WIDTH, MPI_DOUBLE);
    belay_protect("edge", edge, HEIGHT, MPI_DOUBLE);
    for (int y = 0; y < HEIGHT; y++) edge[y] = 0;
    belay_status status;
    belay_recover(&status);
    int received = unaligned && status.resumed; /* the state of an unaligned safe point holds this sweep's edge */
    for (; number < sweeps; number++) {
        if (!unaligned) belay_checkpoint(NULL);
        if (rank > 0 && !received) MPI_Recv(edge, HEIGHT, MPI_DOUBLE, rank - 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        received = 0;
        if (unaligned) belay_checkpoint(NULL);
        if (rank == 0)
            for (int y = 0; y < HEIGHT; y++) edge[y] = (double)(y % 7);
        sweep(edge, number);
        nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL); /* more work than a demonstration has */
        if (rank < ranks - 1) MPI_Ssend(edge, HEIGHT, MPI_DOUBLE, rank + 1, 0, MPI_COMM_WORLD);
    }
    print_result(digest_add(DIGEST_START, block, sizeof block));
    MPI_Finalize();
    return 0;
}

int main(int argc, char **argv)
{
    return belay_main(program, argc, argv);
}
