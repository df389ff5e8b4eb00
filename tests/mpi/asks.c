/* asks - communicators of several kinds, made before the first safe point, and what a program can ask of them; then messages and
 * collectives on them.  Each rank prints its answers and a hash of what it received: a replay of the rank has to print the same.
 *
 *     asks STEPS [graph|group]      the last: what a replay has no answer to
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <belay.h>

static int world_rank;
static uint64_t hash = 0xcbf29ce484222325u;

static void mix(const void *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
}

static void describe(const char *name, MPI_Comm comm)
{
    int rank, size, like, kind, dims = 0, extent[3], period[3], at[3], from, to;
    if (comm == MPI_COMM_NULL) {
        printf("rank %d: %s none\n", world_rank, name);
        return;
    }
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    MPI_Comm_compare(comm, MPI_COMM_WORLD, &like);
    MPI_Topo_test(comm, &kind);
    printf("rank %d: %s %d of %d, like the world %d%d%d, kind %d\n", world_rank, name, rank, size, like == MPI_CONGRUENT,
           like == MPI_SIMILAR, like == MPI_UNEQUAL, kind == MPI_CART);
    if (kind != MPI_CART) return;
    MPI_Cartdim_get(comm, &dims);
    MPI_Cart_get(comm, 3, extent, period, at);
    for (int d = 0; d < dims; d++) {
        MPI_Cart_shift(comm, d, 1, &from, &to);
        printf("rank %d: %s[%d] %d of %d%s, from %d to %d\n", world_rank, name, d, at[d], extent[d], period[d] ? " around" : "",
               from == MPI_PROC_NULL ? -1 : from, to == MPI_PROC_NULL ? -1 : to);
    }
    for (int r = 0; r < size; r++) {
        int back;
        MPI_Cart_coords(comm, r, 3, at);
        MPI_Cart_rank(comm, at, &back);
        printf("rank %d: %s %d is at %d,%d, which is %d\n", world_rank, name, r, at[0], dims > 1 ? at[1] : 0, back);
    }
}

static void talk(MPI_Comm comm, int step)
{
    int rank, size, got = 0, all[64], sum = 0;
    MPI_Status s;
    if (comm == MPI_COMM_NULL) return;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    int mine = step * 1000 + world_rank;
    MPI_Sendrecv(&mine, 1, MPI_INT, (rank + 1) % size, 3, &got, 1, MPI_INT, MPI_ANY_SOURCE, 3, comm, &s);
    MPI_Allgather(&got, 1, MPI_INT, all, 1, MPI_INT, comm);
    MPI_Allreduce(&mine, &sum, 1, MPI_INT, MPI_SUM, comm);
    mix(&got, sizeof got);
    mix(&s.MPI_SOURCE, sizeof s.MPI_SOURCE);
    mix(all, sizeof *all * (size_t)size);
    mix(&sum, sizeof sum);
}

int main(int argc, char **argv)
{
    MPI_Comm comm[6] = { MPI_COMM_WORLD };
    static const char *const name[] = { "world", "copy", "half", "grid", "row", "reversed" };
    int step = 0, ranks, grid[2] = { 0, 0 }, around[2] = { 1, 0 }, keep[2] = { 0, 1 }, params[2] = { 0, 0 };
    const char *odd = argc > 2 ? argv[2] : "";
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (world_rank == 0) params[0] = atoi(argv[1]);
    MPI_Bcast(params, 2, MPI_INT, 0, MPI_COMM_WORLD); /* known from rank 0 alone */
    MPI_Comm_dup(MPI_COMM_WORLD, &comm[1]);
    MPI_Comm_split(MPI_COMM_WORLD, world_rank == 0 ? MPI_UNDEFINED : world_rank % 2, 0, &comm[2]);
    MPI_Dims_create(ranks, 2, grid);
    MPI_Cart_create(MPI_COMM_WORLD, 2, grid, around, 0, &comm[3]);
    MPI_Cart_sub(comm[3], keep, &comm[4]);
    MPI_Comm_split(comm[1], 0, -world_rank, &comm[5]);
    if (!strcmp(odd, "graph")) {
        int index[64], edge[64];
        for (int i = 0; i < ranks; i++) index[i] = i + 1, edge[i] = (i + 1) % ranks;
        MPI_Comm ring;
        MPI_Graph_create(MPI_COMM_WORLD, ranks, index, edge, 0, &ring);
        MPI_Comm_free(&ring);
    }
    for (int c = 0; c < 6; c++) describe(name[c], comm[c]);
    belay_protect("step", &step, 1, MPI_INT);
    belay_protect("hash", &hash, 1, MPI_UINT64_T);
    belay_recover(NULL);
    for (; step < params[0]; step++) {
        belay_checkpoint(NULL);
        if (!strcmp(odd, "group")) {
            MPI_Group g;
            MPI_Comm_group(MPI_COMM_WORLD, &g);
            MPI_Group_free(&g);
        }
        for (int c = 0; c < 6; c++) talk(comm[c], step);
    }
    printf("rank %d: result %016llx\n", world_rank, (unsigned long long)hash);
    for (int c = 1; c < 6; c++)
        if (comm[c] != MPI_COMM_NULL) MPI_Comm_free(&comm[c]);
    MPI_Finalize();
    return 0;
}
