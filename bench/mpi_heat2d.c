/* mpi_heat2d - what Belay costs heat2d while nothing is due: blocks of steps with it and without it, by turns, in one
 * process and on the same memory, so that where MPI and the kernel have put things cancels out.
 *
 *     mpi_heat2d NAME SIZE LIMIT PAIRS      prints medians, the median of the ratios of the pairs, and its figure
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

void *heat2d_plate(int size);
void heat2d_steps(void *plate, int steps);
void heat2d_steps_plain(void *plate, int steps);

enum { PAIRS_MAX = 1000 };
#define BLOCK_S 0.05

static double timed(void (*run)(void *, int), void *plate, int steps)
{
    PMPI_Barrier(MPI_COMM_WORLD);
    double began = PMPI_Wtime();
    run(plate, steps);
    PMPI_Barrier(MPI_COMM_WORLD);
    return PMPI_Wtime() - began;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

/* As many steps as take about BLOCK_S, the same on all ranks. */
static int block_of(void *plate)
{
    int steps = 1;
    while (steps < 1 << 24) {
        double seconds = timed(heat2d_steps_plain, plate, steps);
        PMPI_Bcast(&seconds, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        if (seconds >= BLOCK_S) break;
        steps *= 2;
    }
    return steps;
}

int main(int argc, char **argv)
{
    static double with[PAIRS_MAX], without[PAIRS_MAX], ratio[PAIRS_MAX];
    int rank, ranks;
    MPI_Init(&argc, &argv);
    if (argc != 5) MPI_Abort(MPI_COMM_WORLD, 2);
    double limit = atof(argv[3]);
    int pairs = atoi(argv[4]);
    if (pairs < 3 || pairs > PAIRS_MAX) MPI_Abort(MPI_COMM_WORLD, 2);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    void *plate = heat2d_plate(atoi(argv[2]));
    int steps = block_of(plate);
    heat2d_steps(plate, steps); /* warm */
    for (int k = 0; k < pairs; k++) {
        if (k % 2) without[k] = timed(heat2d_steps_plain, plate, steps);
        with[k] = timed(heat2d_steps, plate, steps);
        if (k % 2 == 0) without[k] = timed(heat2d_steps_plain, plate, steps);
        ratio[k] = with[k] / without[k];
    }
    if (rank == 0) {
        double r = median(ratio, pairs), low = ratio[pairs / 4], high = ratio[pairs - 1 - pairs / 4];
        printf("heat2d, %s: %d ranks, %s x %s cells, blocks of %d steps\n", argv[1], ranks, argv[2], argv[2], steps);
        printf("    medians %.6f s with, %.6f s without; ratio %.4f, the middle half of %d pairs %.4f to %.4f\n",
               median(with, pairs), median(without, pairs), r, pairs, low, high);
        printf("figure heat2d-%s %.4f limit %.2f %s\n", argv[1], r, limit, r <= limit ? "ok" : "SHORT");
    }
    MPI_Finalize();
    return 0;
}
