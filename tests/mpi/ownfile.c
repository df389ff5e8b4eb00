/* ownfile - each rank writes a line a step into a file of its own, as programs do that have checkpoint or output files of their own.
 *
 *     ownfile STEPS [WAY]     WAY: missing (the file is not there), early (nothing is written before the first checkpoint)
 *
 * Rank 0 prints what the checkpoints have answered when that is an error.
 */
#include <belay.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int rank, step = 0, steps = argc > 1 ? atoi(argv[1]) : 20;
    const char *way = argc > 2 ? argv[2] : "";
    char path[64];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    snprintf(path, sizeof path, "lines-%d", rank);
    belay_protect("step", &step, 1, MPI_INT);
    if (belay_protect_file("lines", path) != BELAY_OK) {
        fprintf(stderr, "%s\n", belay_error_text());
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    if (strcmp(way, "missing")) fclose(fopen(path, "w"));
    belay_recover(NULL);
    for (; step < steps; step++) {
        int rc = belay_checkpoint(NULL);
        if (rc != BELAY_OK && rank == 0) printf("step %d: code %d: %s\n", step, rc, belay_error_text());
        if (!strcmp(way, "missing")) continue;
        FILE *file = fopen(path, "a");
        fprintf(file, "rank %d step %d %*s\n", rank, step, 10 * step + rank, "");
        fclose(file);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    MPI_Finalize();
    return 0;
}
