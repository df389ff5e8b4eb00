/* cg - a conjugate-gradient solver for Poisson's equation on a square, in rows of cells.
 *
 *     belay run -n 4 --every 10 ./cg                                       100 iterations
 *     belay run -n 4 --checkpoint independent --logging pessimistic --every 10 --kill 2@step=40 ./cg
 *
 * Every iteration exchanges one row with each neighbour and adds up two numbers over all ranks; what it computes depends on the
 * order of these sums to the last bit.  MPI adds in an order of its own, message logging in another, each always in the same: so
 * with failures and without the `result` is the same, as long as the settings are.
 * Options: --size N (cells along an edge, 512), --steps N (100), --quiet.
 */
#include <math.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <belay.h>

#include "digest.h"

typedef struct problem {
    int rank, ranks, above, below; /* neighbours, or MPI_PROC_NULL */
    int rows, columns;
    double *x, *r, *p, *q;         /* [rows][columns]; p: with a row more at both ends */
} problem;

static double *row(const problem *s, double *field, int i)
{
    return field + (size_t)i * (size_t)s->columns;
}

static void exchange(const problem *s, double *p)
{
    int n = s->columns;
    MPI_Request request[4];
    MPI_Irecv(row(s, p, -1), n, MPI_DOUBLE, s->above, 0, MPI_COMM_WORLD, &request[0]);
    MPI_Irecv(row(s, p, s->rows), n, MPI_DOUBLE, s->below, 1, MPI_COMM_WORLD, &request[1]);
    MPI_Isend(row(s, p, s->rows - 1), n, MPI_DOUBLE, s->below, 0, MPI_COMM_WORLD, &request[2]);
    MPI_Isend(row(s, p, 0), n, MPI_DOUBLE, s->above, 1, MPI_COMM_WORLD, &request[3]);
    MPI_Waitall(4, request, MPI_STATUSES_IGNORE);
}

/* q = A p, with A the five-point Laplacian; beyond the edges of the square everything is 0. */
static void apply(const problem *s, double *p, double *q)
{
    exchange(s, p);
    for (int i = 0; i < s->rows; i++) {
        const double *above = row(s, p, i - 1), *here = row(s, p, i), *below = row(s, p, i + 1);
        double *to = row(s, q, i);
        for (int k = 0; k < s->columns; k++) {
            double left = k > 0 ? here[k - 1] : 0, right = k + 1 < s->columns ? here[k + 1] : 0;
            to[k] = 4 * here[k] - left - right - above[k] - below[k];
        }
    }
}

static double dot(const problem *s, const double *a, const double *b)
{
    double mine = 0, all;
    for (size_t i = 0; i < (size_t)s->rows * (size_t)s->columns; i++) mine += a[i] * b[i];
    MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return all;
}

/* One iteration; the squared norm of the residual. */
static double iterate(problem *s, double rr)
{
    size_t cells = (size_t)s->rows * (size_t)s->columns;
    apply(s, s->p, s->q);
    double step = rr / dot(s, s->p, s->q);
    for (size_t i = 0; i < cells; i++) s->x[i] += step * s->p[i];
    for (size_t i = 0; i < cells; i++) s->r[i] -= step * s->q[i];
    double left = dot(s, s->r, s->r), turn = left / rr;
    for (size_t i = 0; i < cells; i++) s->p[i] = s->r[i] + turn * s->p[i];
    return left;
}

static double *field(const problem *s, int more)
{
    double *f = calloc((size_t)(s->rows + 2 * more) * (size_t)s->columns, sizeof *f);
    if (!f) MPI_Abort(MPI_COMM_WORLD, 3);
    return f + (size_t)more * (size_t)s->columns;
}

static void set_up(problem *s, int size)
{
    MPI_Comm_rank(MPI_COMM_WORLD, &s->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &s->ranks);
    int first = (int)((long)size * s->rank / s->ranks), last = (int)((long)size * (s->rank + 1) / s->ranks);
    s->above = s->rank > 0 ? s->rank - 1 : MPI_PROC_NULL;
    s->below = s->rank + 1 < s->ranks ? s->rank + 1 : MPI_PROC_NULL;
    s->rows = last - first;
    free(s->x);
    free(s->r);
    free(s->q);
    free(s->p ? s->p - s->columns : NULL);
    s->columns = size;
    s->x = field(s, 0);
    s->r = field(s, 0);
    s->q = field(s, 0);
    s->p = field(s, 1);
    for (int i = 0; i < s->rows; i++) /* heat put in at two places */
        for (int k = 0; k < size; k++)
            row(s, s->r, i)[k] = (first + i == size / 3 && k == size / 4) - (first + i == size / 2 && k == size / 5);
    memcpy(s->p, s->r, sizeof *s->p * (size_t)s->rows * (size_t)size);
}

static int program(int argc, char **argv)
{
    static problem s; /* static: after a recovery in the job this is called again, and finds what it had */
    int size = 512, steps = 100, quiet = 0, step = 0;
    MPI_Init(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--size") && i + 1 < argc) size = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--steps") && i + 1 < argc) steps = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--quiet")) quiet = 1;
    }
    MPI_Comm_size(MPI_COMM_WORLD, &s.ranks);
    if (size < s.ranks || size < 8 || steps < 0) {
        fprintf(stderr, "cg: --size has to be at least 8 and the number of ranks, --steps at least 0\n");
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    set_up(&s, size);
    size_t shape[2] = { (size_t)s.rows, (size_t)s.columns };
    double rr = dot(&s, s.r, s.r);
    belay_protect("step", &step, 1, MPI_INT);
    belay_protect("residual2", &rr, 1, MPI_DOUBLE);
    belay_protect_array("x", s.x, 2, shape, MPI_DOUBLE);
    belay_protect_array("r", s.r, 2, shape, MPI_DOUBLE);
    belay_protect_array("p", s.p, 2, shape, MPI_DOUBLE);
    belay_recover(NULL);
    double began = MPI_Wtime();
    int first = step;
    for (; step < steps; step++) {
        belay_checkpoint(NULL);
        rr = iterate(&s, rr);
        if (s.rank == 0 && !quiet && (step + 1) % 20 == 0) printf("cg: iteration %3d, residual %.6e\n", step + 1, sqrt(rr));
    }
    if (s.rank == 0) printf("cg: %d iterations in %.6f s\n", steps - first, MPI_Wtime() - began);
    print_result(digest_add(DIGEST_START, s.x, sizeof *s.x * (size_t)s.rows * (size_t)s.columns));
    MPI_Finalize();
    free(s.x);
    free(s.r);
    free(s.q);
    free(row(&s, s.p, -1));
    return 0;
}

int main(int argc, char **argv)
{
    return belay_main(program, argc, argv);
}
