/* trees SEED CASES - the collectives of src/mpi/trees.c against those of MPI, on random arguments: exactly the same for integers and
 * for an operation that is associative but not commutative; for floating point the same bits on all ranks and each time. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/trees.h"

enum { MOST = 40, RANKS = 8, ROOM = RANKS * MOST * 4 * 8 };

static int rank, ranks, wrong;
static uint64_t random_state;
static MPI_Comm comm;
static unsigned char out[ROOM], mine[ROOM], theirs[ROOM];

static unsigned draw(unsigned below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((random_state >> 33) % below);
}

static int link_send(void *c, const void *buf, int count, MPI_Datatype type, int dest)
{
    (void)c;
    return PMPI_Send(buf, count, type, dest, 1, comm);
}

static int link_recv(void *c, void *buf, int count, MPI_Datatype type, int source)
{
    (void)c;
    return PMPI_Recv(buf, count, type, source, 1, comm, MPI_STATUS_IGNORE);
}

static int link_exchange(void *c, const void *sendbuf, int sendcount, MPI_Datatype sendtype, int dest, void *recvbuf, int recvcount,
                         MPI_Datatype recvtype, int source)
{
    (void)c;
    return PMPI_Sendrecv(sendbuf, sendcount, sendtype, dest, 1, recvbuf, recvcount, recvtype, source, 1, comm, MPI_STATUS_IGNORE);
}

static bl_tree_link l = { link_send, link_recv, link_exchange, NULL, 0, 0 };

/* 2 x 2 matrices of small numbers: the order of operands shows. */
static void multiply(void *in, void *inout, int *count, MPI_Datatype *type)
{
    uint32_t *a = in, *b = inout;
    (void)type;
    for (int i = 0; i < *count; i++, a += 4, b += 4) {
        uint32_t c[4] = { a[0] * b[0] + a[1] * b[2], a[0] * b[1] + a[1] * b[3], a[2] * b[0] + a[3] * b[2], a[2] * b[1] + a[3] * b[3] };
        memcpy(b, c, sizeof c);
    }
}

static void fill(unsigned char *at, uint64_t salt)
{
    uint64_t x = salt * 0x9e3779b97f4a7c15u + (uint64_t)rank;
    for (int i = 0; i < ROOM; i++) {
        x = x * 6364136223846793005u + 1;
        at[i] = (unsigned char)(x >> 56 & 15);
    }
}

static void same(const char *what, int seed, int number, int rc)
{
    if (rc == MPI_SUCCESS && memcmp(mine, theirs, ROOM) == 0) return;
    if (wrong++ < 5) printf("trees: rank %d of %d, seed %d, case %d: %s differs from MPI's (%d)\n", rank, ranks, seed, number, what, rc);
}

static void places(int *counts, int *displs, int *total)
{
    *total = 0;
    for (int r = 0; r < ranks; r++) {
        counts[r] = (int)draw(6);
        displs[r] = *total + (int)draw(2);
        *total = displs[r] + counts[r];
    }
}

static void one(int seed, int number, const MPI_Datatype *type, const MPI_Op *op)
{
    int which = (int)draw(17), count = (int)draw(MOST / 8), root = (int)draw((unsigned)ranks), placed = draw(3) == 0, t = (int)draw(3), total;
    int counts[RANKS], displs[RANKS], others[RANKS], their[RANKS];
    MPI_Datatype moved = type[t], reduced = type[3];
    MPI_Op how = op[draw(2)];
    uint64_t salt = draw(1 << 30);
    fill(out, salt);
    fill(mine, salt + 7);
    fill(theirs, salt + 7);
    places(counts, displs, &total);
    const void *in = placed ? MPI_IN_PLACE : out, *at_root = placed && rank == root ? MPI_IN_PLACE : out;
    int rc = MPI_SUCCESS;
    switch (which) {
    case 0: rc = bl_tree_Barrier(&l); break;
    case 1: rc = bl_tree_Bcast(&l, mine, count, moved, root); PMPI_Bcast(theirs, count, moved, root, comm); break;
    case 2: rc = bl_tree_Reduce(&l, at_root, mine, count, reduced, how, root); PMPI_Reduce(at_root, theirs, count, reduced, how, root, comm); break;
    case 3: rc = bl_tree_Allreduce(&l, in, mine, count, reduced, how); PMPI_Allreduce(in, theirs, count, reduced, how, comm); break;
    case 4: rc = bl_tree_Scan(&l, in, mine, count, reduced, how); PMPI_Scan(in, theirs, count, reduced, how, comm); break;
    case 5: rc = bl_tree_Exscan(&l, in, mine, count, reduced, how); PMPI_Exscan(in, theirs, count, reduced, how, comm);
        if (rank == 0) memcpy(mine, theirs, ROOM); /* undefined there */
        break;
    case 6: rc = bl_tree_Gather(&l, at_root, count, moved, mine, count, moved, root); PMPI_Gather(at_root, count, moved, theirs, count, moved, root, comm); break;
    case 7: rc = bl_tree_Gatherv(&l, at_root, counts[rank], moved, mine, counts, displs, moved, root);
        PMPI_Gatherv(at_root, counts[rank], moved, theirs, counts, displs, moved, root, comm);
        break;
    case 8: rc = bl_tree_Scatter(&l, out, count, moved, placed && rank == root ? MPI_IN_PLACE : mine, count, moved, root);
        PMPI_Scatter(out, count, moved, placed && rank == root ? MPI_IN_PLACE : theirs, count, moved, root, comm);
        break;
    case 9: rc = bl_tree_Scatterv(&l, out, counts, displs, moved, mine, counts[rank], moved, root);
        PMPI_Scatterv(out, counts, displs, moved, theirs, counts[rank], moved, root, comm);
        break;
    case 10: rc = bl_tree_Allgather(&l, in, count, moved, mine, count, moved); PMPI_Allgather(in, count, moved, theirs, count, moved, comm); break;
    case 11: rc = bl_tree_Allgatherv(&l, in, counts[rank], moved, mine, counts, displs, moved);
        PMPI_Allgatherv(in, counts[rank], moved, theirs, counts, displs, moved, comm);
        break;
    case 12: rc = bl_tree_Alltoall(&l, in, count, moved, mine, count, moved); PMPI_Alltoall(in, count, moved, theirs, count, moved, comm); break;
    case 13: /* what i sends to j is as long as what j sends to i */
    case 14:
        total = 0;
        for (int r = 0; r < ranks; r++) {
            counts[r] = (rank * 3 + r * 3 + (int)(salt % 4)) % 5;
            displs[r] = total;
            total += counts[r];
            others[r] = counts[r];
            their[r] = displs[r];
        }
        if (which == 13) {
            rc = bl_tree_Alltoallv(&l, in, counts, displs, moved, mine, others, their, moved);
            PMPI_Alltoallv(in, counts, displs, moved, theirs, others, their, moved, comm);
        } else {
            MPI_Datatype types[RANKS];
            MPI_Aint lower, extent;
            PMPI_Type_get_extent(moved, &lower, &extent);
            for (int r = 0; r < ranks; r++) {
                types[r] = moved;
                displs[r] *= (int)extent;
                their[r] *= (int)extent;
            }
            rc = bl_tree_Alltoallw(&l, in, counts, displs, types, mine, others, their, types);
            PMPI_Alltoallw(in, counts, displs, types, theirs, others, their, types, comm);
        }
        break;
    case 15: rc = bl_tree_Reduce_scatter(&l, out, mine, counts, reduced, how); PMPI_Reduce_scatter(out, theirs, counts, reduced, how, comm); break;
    default: rc = bl_tree_Reduce_scatter_block(&l, out, mine, count, reduced, how); PMPI_Reduce_scatter_block(out, theirs, count, reduced, how, comm); break;
    }
    same(which == 0 ? "Barrier" : which < 6 ? "a reduction" : which < 10 ? "one with all" : which < 15 ? "all with all" : "Reduce_scatter", seed, number, rc);
}

static void floating(int seed)
{
    double in[50], first[50], again[50], root[50];
    for (int i = 0; i < 50; i++) in[i] = 1.0 / (1 + rank * 50 + i) + seed * 1e-3;
    int rc = bl_tree_Allreduce(&l, in, first, 50, MPI_DOUBLE, MPI_SUM);
    if (rc == MPI_SUCCESS) rc = bl_tree_Allreduce(&l, in, again, 50, MPI_DOUBLE, MPI_SUM);
    memcpy(root, first, sizeof root);
    PMPI_Bcast(root, 50, MPI_DOUBLE, 0, comm);
    if ((rc || memcmp(first, again, sizeof first) || memcmp(first, root, sizeof first)) && wrong++ < 5) printf("trees: rank %d: a sum has different bits\n", rank);
    if (bl_tree_Bcast(&l, in, 1, MPI_DOUBLE, ranks) != MPI_ERR_ROOT && wrong++ < 5) printf("trees: a wrong root is not refused\n");
}

int main(int argc, char **argv)
{
    MPI_Datatype type[4];
    MPI_Op op[2];
    MPI_Init(&argc, &argv);
    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &ranks);
    if (argc != 3 || ranks > RANKS) MPI_Abort(MPI_COMM_WORLD, 2);
    l.rank = rank;
    l.size = ranks;
    type[0] = MPI_INT;
    MPI_Type_vector(3, 1, 2, MPI_SHORT, &type[1]);
    MPI_Type_create_resized(MPI_INT, 0, 12, &type[2]);
    MPI_Type_contiguous(4, MPI_UINT32_T, &type[3]);
    for (int t = 1; t < 4; t++) MPI_Type_commit(&type[t]);
    MPI_Op_create(multiply, 0, &op[0]);
    MPI_Op_create(multiply, 0, &op[1]);
    int first = atoi(argv[1]), cases = atoi(argv[2]), all;
    random_state = (uint64_t)first;
    for (int k = 0; k < cases; k++) one(first, k, type, op);
    floating(first);
    PMPI_Allreduce(&wrong, &all, 1, MPI_INT, MPI_SUM, comm);
    if (rank == 0 && !all) printf("trees: %d collectives of %d ranks as MPI's\n", cases, ranks);
    for (int t = 1; t < 4; t++) MPI_Type_free(&type[t]);
    for (int k = 0; k < 2; k++) MPI_Op_free(&op[k]);
    MPI_Comm_free(&comm);
    MPI_Finalize();
    return all != 0;
}
