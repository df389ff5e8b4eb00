/* heat2d - heat spreading in a square plate, on a two-dimensional grid of ranks.
 *
 *     belay run -n 4 --every 10 ./heat2d                    100 steps, a checkpoint every 10
 *     belay run -n 4 --every 10 --kill 2@step=40 ./heat2d   the same, and rank 2 is killed on the way
 *
 * Both print the same `result`.  Options: --size N (cells along an edge, 1536), --steps N (100), --quiet.
 * Compiled with -DWITHOUT_BELAY it is the same program without the library: what the benchmarks compare with.
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef WITHOUT_BELAY
#define belay_protect_array(name, data, dims, shape, type) ((void)(shape))
#define belay_protect(name, data, count, type) ((void)0)
#define belay_part(name, whole, offset, first, count) ((void)(whole), (void)(offset), (void)(first), (void)(count))
#define belay_main(program, argc, argv) program(argc, argv)
#define belay_recover(status) ((void)0)
#define belay_checkpoint(status) ((void)0)
#else
#include <belay.h>
#endif

#include "digest.h"

enum { UP, DOWN, LEFT, RIGHT, SIDES };
enum { SWEEPS = 4 }; /* relaxations a step; even, so that after a step the field lies where it was protected */

typedef struct plate {
    MPI_Comm grid;
    int rank, near[SIDES];
    int rows, columns;        /* of this rank, without the halo */
    int row0, column0, size;  /* where they lie in the whole plate of size x size */
    double *now, *next;       /* [rows + 2][columns + 2] */
    MPI_Datatype column;
} plate;

static double *at(const plate *p, double *field, int row, int column)
{
    return &field[(size_t)row * (size_t)(p->columns + 2) + (size_t)column];
}

/* Part `index` of `count` of a line of `size` cells. */
static void share(int size, int count, int index, int *first, int *cells)
{
    *first = (int)((long)size * index / count);
    *cells = (int)((long)size * (index + 1) / count) - *first;
}

static void set_up(plate *p, int size)
{
    int ranks, dims[2] = { 0, 0 }, periods[2] = { 0, 0 }, place[2];
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    MPI_Dims_create(ranks, 2, dims);
    MPI_Cart_create(MPI_COMM_WORLD, 2, dims, periods, 0, &p->grid);
    MPI_Comm_rank(p->grid, &p->rank);
    MPI_Cart_coords(p->grid, p->rank, 2, place);
    MPI_Cart_shift(p->grid, 0, 1, &p->near[UP], &p->near[DOWN]);
    MPI_Cart_shift(p->grid, 1, 1, &p->near[LEFT], &p->near[RIGHT]);
    p->size = size;
    share(size, dims[0], place[0], &p->row0, &p->rows);
    share(size, dims[1], place[1], &p->column0, &p->columns);
    size_t cells = (size_t)(p->rows + 2) * (size_t)(p->columns + 2);
    free(p->now);
    free(p->next);
    p->now = calloc(cells, sizeof(double));
    p->next = calloc(cells, sizeof(double));
    if (!p->now || !p->next) MPI_Abort(MPI_COMM_WORLD, 1);
    MPI_Type_vector(p->rows, 1, p->columns + 2, MPI_DOUBLE, &p->column);
    MPI_Type_commit(&p->column);
}

/* A hot disc off the centre of a cold plate whose rim is kept cold. */
static void ignite(plate *p)
{
    for (int r = 1; r <= p->rows; r++) {
        for (int c = 1; c <= p->columns; c++) {
            double y = (p->row0 + r) / (double)p->size - 0.4, x = (p->column0 + c) / (double)p->size - 0.3;
            *at(p, p->now, r, c) = x * x + y * y < 0.04 ? 100.0 : 0.0;
        }
    }
}

static void exchange_halo(plate *p)
{
    MPI_Request request[2 * SIDES];
    double *edge[SIDES] = { at(p, p->now, 1, 1), at(p, p->now, p->rows, 1), at(p, p->now, 1, 1), at(p, p->now, 1, p->columns) };
    double *halo[SIDES] = { at(p, p->now, 0, 1), at(p, p->now, p->rows + 1, 1), at(p, p->now, 1, 0),
                            at(p, p->now, 1, p->columns + 1) };
    for (int s = 0; s < SIDES; s++) {
        int count = s < LEFT ? p->columns : 1;
        MPI_Datatype type = s < LEFT ? MPI_DOUBLE : p->column;
        MPI_Irecv(halo[s], count, type, p->near[s], s ^ 1, p->grid, &request[s]);
        MPI_Isend(edge[s], count, type, p->near[s], s, p->grid, &request[SIDES + s]);
    }
    MPI_Waitall(2 * SIDES, request, MPI_STATUSES_IGNORE);
}

/* One explicit step; returns the sum of squared changes on this rank. */
static double relax(plate *p)
{
    double change = 0;
    size_t stride = (size_t)p->columns + 2;
    for (int r = 1; r <= p->rows; r++) {
        const double *restrict t = at(p, p->now, r, 0);
        double *restrict n = at(p, p->next, r, 0);
        double row = 0;
        for (size_t c = 1; c <= (size_t)p->columns; c++) {
            double d = 0.2 * (t[c - 1] + t[c + 1] + *(t + c - stride) + t[c + stride] - 4 * t[c]);
            n[c] = t[c] + d;
            row += d * d;
        }
        change += row;
    }
    double *swap = p->now;
    p->now = p->next;
    p->next = swap;
    return change;
}

/* One step of the time loop: a few relaxations and the residual of the last. */
static double advance(plate *p)
{
    double change = 0, residual;
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        exchange_halo(p);
        change = relax(p);
    }
    MPI_Allreduce(&change, &residual, 1, MPI_DOUBLE, MPI_SUM, p->grid);
    return residual;
}

static uint64_t digest_of(const plate *p, double residual)
{
    uint64_t digest = digest_add(DIGEST_START, &residual, sizeof residual);
    for (int r = 1; r <= p->rows; r++) digest = digest_add(digest, at(p, p->now, r, 1), sizeof(double) * (size_t)p->columns);
    return digest;
}

static void run(plate *p, int steps, int quiet)
{
    int step = 0;
    double residual = 0;
    size_t shape[2] = { (size_t)p->rows + 2, (size_t)p->columns + 2 };
    belay_protect("step", &step, 1, MPI_INT);
    belay_protect("residual", &residual, 1, MPI_DOUBLE);
    belay_protect_array("temperature", p->now, 2, shape, MPI_DOUBLE);
    size_t whole[2] = { (size_t)p->size, (size_t)p->size }, offset[2] = { (size_t)p->row0, (size_t)p->column0 };
    size_t first[2] = { 1, 1 }, count[2] = { (size_t)p->rows, (size_t)p->columns };
    belay_part("temperature", whole, offset, first, count); /* for belay view, and for other numbers of ranks */
    belay_recover(NULL);
    if (step > 0 && p->rank == 0 && !quiet) printf("heat2d: goes on at step %d\n", step);

    double began = MPI_Wtime();
    int since = step;
    for (; step < steps; step++) {
        belay_checkpoint(NULL);
        residual = advance(p);
        if (p->rank == 0 && !quiet && (step + 1) % 20 == 0) {
            printf("heat2d: step %3d, change %.6e\n", step + 1, residual);
            fflush(stdout);
        }
    }
    if (p->rank == 0) printf("heat2d: %d steps in %.6f s\n", steps - since, MPI_Wtime() - began);
    print_result(digest_of(p, residual));
}

static int program(int argc, char **argv)
{
    static plate p; /* static: after a recovery in the job this is called again, and finds what it had */
    int size = 1536, steps = 100, quiet = 0;
    MPI_Init(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--size") && i + 1 < argc) size = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--steps") && i + 1 < argc) steps = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--quiet")) quiet = 1;
    }
    if (size < 8 || steps < 0) {
        fprintf(stderr, "heat2d: --size has to be at least 8, --steps at least 0\n");
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    set_up(&p, size);
    ignite(&p);
    run(&p, steps, quiet);
    MPI_Type_free(&p.column);
    MPI_Comm_free(&p.grid);
    MPI_Finalize(); /* a recovery may be begun in it: nothing that is static is freed before */
    free(p.now);
    free(p.next);
    return 0;
}

int main(int argc, char **argv)
{
    return belay_main(program, argc, argv);
}
