/* handles - communicators of every kind, datatypes, operations, groups and persistent requests, made once and used at every step: for a
 * rank that stays where it is when another dies.  The result is the same with and without a death. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>

#include <belay.h>

enum { MANY = 100, STEPS = 8, DIMS = 12 }; /* a grid may have more dimensions than ranks */

static int rank, ranks;
static MPI_Comm dup[MANY], half[MANY], grid[MANY];
static MPI_Datatype type[MANY];
static MPI_Op op[MANY];
static MPI_Request out[MANY], in[MANY];
static uint64_t leaving[MANY], coming[MANY];
static int key, values[MANY];

static void mix(void *a, void *b, int *count, MPI_Datatype *of)
{
    const uint64_t *x = a;
    uint64_t *y = b;
    (void)of;
    for (int i = 0; i < *count; i++) y[i] = y[i] * 31 + x[i];
}

static void make(void)
{
    int dims[DIMS] = { 0 }, periods[DIMS] = { 1 };
    MPI_Dims_create(ranks, DIMS, dims);
    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, MPI_COMM_NULL_DELETE_FN, &key, NULL);
    MPI_Comm_set_attr(MPI_COMM_WORLD, key, &values[0]);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        MPI_Comm_dup(MPI_COMM_WORLD, &dup[i]);
        MPI_Comm_split(MPI_COMM_WORLD, (rank + i) % 2, -rank, &half[i]);
        MPI_Cart_create(MPI_COMM_WORLD, DIMS, dims, periods, 0, &grid[i]);
        snprintf(name, sizeof name, "copy %d", i);
        MPI_Comm_set_name(dup[i], name);
        MPI_Comm_set_attr(grid[i], key, &values[i]);
        MPI_Type_vector(2, 1, i + 1, MPI_UINT64_T, &type[i]);
        MPI_Type_commit(&type[i]);
        MPI_Op_create(mix, 0, &op[i]);
        MPI_Send_init(&leaving[i], 1, MPI_UINT64_T, (rank + 1) % ranks, i, dup[i], &out[i]);
        MPI_Recv_init(&coming[i], 1, MPI_UINT64_T, (rank + ranks - 1) % ranks, i, dup[i], &in[i]);
    }
}

static void wrong(const char *what, int i)
{
    fprintf(stderr, "handles: rank %d: %s %d\n", rank, what, i);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* What can be asked of them is what it was. */
static void ask(int i)
{
    int size, place, at[DIMS], same, length, flag, dims[DIMS], periods[DIMS], cells = 1;
    char name[MPI_MAX_OBJECT_NAME], expected[16];
    MPI_Comm_size(dup[i], &size);
    MPI_Comm_rank(dup[i], &place);
    if (size != ranks || place != rank) wrong("size or rank of copy", i);
    MPI_Comm_size(half[i], &size);
    if (ranks % 2 == 0 && size != ranks / 2) wrong("size of half", i);
    MPI_Cart_get(grid[i], DIMS, dims, periods, at);
    for (int d = 0; d < DIMS; d++) cells *= dims[d];
    MPI_Cart_rank(grid[i], at, &place);
    if (place != rank || cells != ranks || !periods[0] || periods[1]) wrong("place on grid", i);
    MPI_Comm_compare(dup[i], MPI_COMM_WORLD, &same);
    if (same != MPI_CONGRUENT) wrong("comparison of copy", i);
    MPI_Comm_get_name(dup[i], name, &length);
    length = snprintf(expected, sizeof expected, "copy %d", i);
    for (int k = 0; k <= length; k++)
        if (name[k] != expected[k]) wrong("name of copy", i);
    int *there;
    MPI_Comm_get_attr(grid[i], key, &there, &flag);
    if (!flag || there != &values[i]) wrong("attribute of grid", i);
    MPI_Comm_get_attr(MPI_COMM_WORLD, key, &there, &flag);
    if (!flag || there != &values[0]) wrong("attribute of MPI_COMM_WORLD, asked with", i);
    MPI_Comm_test_inter(half[i], &flag);
    MPI_Topo_test(grid[i], &same);
    if (flag || same != MPI_CART) wrong("kind of", i);
}

static uint64_t use(uint64_t state)
{
    for (int i = 0; i < MANY; i++) {
        uint64_t sum, mixed, there[256] = { 0 }, here[256] = { 0 };
        int size, me, up, down;
        ask(i);
        MPI_Allreduce(&state, &sum, 1, MPI_UINT64_T, MPI_SUM, dup[i]);
        MPI_Allreduce(&sum, &mixed, 1, MPI_UINT64_T, op[i], half[i]);
        MPI_Cart_shift(grid[i], 0, 1, &down, &up);
        here[0] = mixed + (uint64_t)rank;
        here[i + 1] = state;
        MPI_Sendrecv(here, 1, type[i], up, 7, there, 1, type[i], down, 7, grid[i], MPI_STATUS_IGNORE);
        MPI_Comm_size(half[i], &size);
        MPI_Comm_rank(half[i], &me);
        leaving[i] = there[0] ^ there[i + 1] * 3;
        MPI_Start(&in[i]);
        MPI_Start(&out[i]);
        MPI_Wait(&in[i], MPI_STATUS_IGNORE);
        MPI_Wait(&out[i], MPI_STATUS_IGNORE);
        state = (state ^ mixed ^ coming[i] ^ (uint64_t)(size * 16 + me)) * 0x9e3779b97f4a7c15u;
    }
    return state;
}

int main(int argc, char **argv)
{
    int step = 0;
    uint64_t state, all;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    state = (uint64_t)rank + 1;
    make();
    belay_protect("step", &step, 1, MPI_INT);
    belay_protect("state", &state, 1, MPI_UINT64_T);
    belay_recover(NULL);
    for (; step < STEPS; step++) {
        belay_checkpoint(NULL);
        state = use(state);
    }
    MPI_Reduce(&state, &all, 1, MPI_UINT64_T, MPI_SUM, 0, MPI_COMM_WORLD);
    if (rank == 0) printf("result %016llx\n", (unsigned long long)all);
    for (int i = 0; i < MANY; i++) {
        MPI_Request_free(&in[i]);
        MPI_Request_free(&out[i]);
        MPI_Type_free(&type[i]);
        MPI_Op_free(&op[i]);
        MPI_Comm_free(&half[i]);
        MPI_Comm_free(&grid[i]);
        MPI_Comm_free(&dup[i]);
    }
    MPI_Finalize();
    return 0;
}
