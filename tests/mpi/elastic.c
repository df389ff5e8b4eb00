/* elastic - three arrays in blocks, of one, two and three dimensions, over any number of ranks: each step changes every element by a
 * rule that depends on its place in the whole and on its neighbour in the first dimension, so that the result is the same bits for any
 * number of ranks, and only if every element was restored in its place.
 *
 *     elastic STEPS [WAY]     WAY: alone (something that differs between ranks and is no part), ghostly (no part is said)
 *
 * Prints "result <16 hex digits>".
 */
#include <belay.h>
#include <inttypes.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARRAYS = 3, DIMS = 3, GHOST = 1 };

typedef struct array {
    const char *name;
    int dims, ghost;
    size_t whole[DIMS], offset[DIMS], count[DIMS], first[DIMS], shape[DIMS];
    uint64_t *data;
} array;

static int rank, ranks;

/* A grid of ranks, and this one's block; ghost cells around those of two dimensions only. */
static void lay_out(array *a)
{
    int grid[DIMS] = { 0 }, place[DIMS], rest = rank;
    size_t elements = 1;
    MPI_Dims_create(ranks, a->dims, grid);
    for (int d = a->dims - 1; d >= 0; d--) {
        place[d] = rest % grid[d];
        rest /= grid[d];
    }
    for (int d = 0; d < a->dims; d++) {
        a->offset[d] = a->whole[d] * (size_t)place[d] / (size_t)grid[d];
        a->count[d] = a->whole[d] * (size_t)(place[d] + 1) / (size_t)grid[d] - a->offset[d];
        a->first[d] = (size_t)a->ghost;
        a->shape[d] = a->count[d] + 2 * (size_t)a->ghost;
        elements *= a->shape[d];
    }
    a->data = malloc((elements + 1) * sizeof *a->data);
    memset(a->data, 0xee, (elements + 1) * sizeof *a->data);
}

/* Calls for every element that is ours: where it is in the whole, and where in memory. */
static void each(array *a, void (*what)(uint64_t place, uint64_t *element, void *context), void *context)
{
    size_t at[DIMS] = { 0 };
    for (int d = 0; d < a->dims; d++)
        if (!a->count[d]) return;
    for (;;) {
        uint64_t place = 0, memory = 0;
        for (int d = 0; d < a->dims; d++) {
            place = place * a->whole[d] + a->offset[d] + at[d];
            memory = memory * a->shape[d] + a->first[d] + at[d];
        }
        what(place, &a->data[memory], context);
        int d = a->dims - 1;
        while (d >= 0 && ++at[d] == a->count[d]) at[d--] = 0;
        if (d < 0) return;
    }
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 31;
    x *= UINT64_C(0x9e3779b97f4a7c15);
    return x ^ x >> 29;
}

static void begin(uint64_t place, uint64_t *element, void *context)
{
    (void)context;
    *element = mix(place + 1);
}

static void change(uint64_t place, uint64_t *element, void *context)
{
    *element = mix(*element + place * 3 + *(uint64_t *)context);
}

static void add(uint64_t place, uint64_t *element, void *context)
{
    *(uint64_t *)context += mix(*element ^ mix(place));
}

int main(int argc, char **argv)
{
    array a[ARRAYS] = { { .name = "line", .dims = 1, .whole = { 1001 } }, { .name = "plane", .dims = 2, .ghost = GHOST, .whole = { 37, 53 } },
                        { .name = "box", .dims = 3, .whole = { 11, 13, 17 } } };
    const char *way = argc > 2 ? argv[2] : "";
    int steps = argc > 1 ? atoi(argv[1]) : 20, step = 0;
    uint64_t carried = 1, mine = 0, all;
    belay_status status;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    belay_protect("step", &step, 1, MPI_INT);
    belay_protect("carried", &carried, 1, MPI_UINT64_T);
    if (!strcmp(way, "alone")) belay_protect("alone", &rank, 1, MPI_INT);
    for (int k = 0; k < ARRAYS; k++) {
        lay_out(&a[k]);
        each(&a[k], begin, NULL);
        belay_protect_array(a[k].name, a[k].data, a[k].dims, a[k].shape, MPI_UINT64_T);
        if (strcmp(way, "ghostly") && belay_part(a[k].name, a[k].whole, a[k].offset, a[k].ghost ? a[k].first : NULL, a[k].ghost ? a[k].count : NULL)) {
            fprintf(stderr, "belay_part: %s\n", belay_error_text());
            MPI_Abort(MPI_COMM_WORLD, 1);
        }
    }
    belay_recover(&status);
    if (rank == 0) printf("begins at step %d, resumed %d, safe point %" PRIu64 "\n", step, status.resumed, status.safe_point);
    for (; step < steps; step++) {
        belay_checkpoint(NULL);
        for (int k = 0; k < ARRAYS; k++) each(&a[k], change, &carried);
        mine = 0;
        for (int k = 0; k < ARRAYS; k++) each(&a[k], add, &mine);
        MPI_Allreduce(&mine, &carried, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    }
    MPI_Allreduce(&mine, &all, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0) printf("result %016" PRIx64 "\n", all);
    for (int k = 0; k < ARRAYS; k++) free(a[k].data);
    MPI_Finalize();
    return 0;
}
