#include "mpi/trees.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { ON_STACK = 4096 };

/* Room for `count` elements of a type, which may begin below its address. */
typedef struct scratch {
    char *at;                /* what MPI is given */
    void *memory;            /* NULL: `small` does */
    _Alignas(16) char small[ON_STACK];
} scratch;

static MPI_Aint extent_of(MPI_Datatype type)
{
    MPI_Aint lower, extent;
    PMPI_Type_get_extent(type, &lower, &extent);
    return extent;
}

static int take(scratch *s, MPI_Count count, MPI_Datatype type)
{
    MPI_Aint lower = 0, size = 0;
    s->memory = NULL;
    s->at = s->small;
    if (count <= 0) return MPI_SUCCESS;
    PMPI_Type_get_true_extent(type, &lower, &size);
    MPI_Aint bytes = size + (MPI_Aint)(count - 1) * extent_of(type);
    if (bytes > ON_STACK && !(s->memory = malloc((size_t)bytes))) return MPI_ERR_NO_MEM;
    s->at = (s->memory ? (char *)s->memory : s->small) - lower;
    return MPI_SUCCESS;
}

static void give(scratch *s)
{
    free(s->memory);
}

/* Elements from one place to another of the same process, whatever their types. */
static int copy(const void *from, int count, MPI_Datatype type, void *to, int tocount, MPI_Datatype totype)
{
    return PMPI_Sendrecv(from, count, type, 0, 0, to, tocount, totype, 0, 0, MPI_COMM_SELF, MPI_STATUS_IGNORE);
}

static int same_copy(const void *from, void *to, int count, MPI_Datatype type)
{
    return from == to ? MPI_SUCCESS : copy(from, count, type, to, count, type);
}

static int bad_root(const bl_tree_link *l, int root)
{
    return root < 0 || root >= l->size;
}

int bl_tree_Barrier(const bl_tree_link *l)
{
    int rc = MPI_SUCCESS;
    for (int step = 1; rc == MPI_SUCCESS && step < l->size; step *= 2)
        rc = l->exchange(l->context, NULL, 0, MPI_BYTE, (l->rank + step) % l->size, NULL, 0, MPI_BYTE,
                         (l->rank - step + l->size) % l->size);
    return rc;
}

/* Binomial: who is a multiple of 2*step away from the root has it, and gives it to who is step further. */
int bl_tree_Bcast(const bl_tree_link *l, void *buffer, int count, MPI_Datatype type, int root)
{
    if (bad_root(l, root)) return MPI_ERR_ROOT;
    int me = (l->rank - root + l->size) % l->size, rc = MPI_SUCCESS, step = 1;
    while (step < l->size) step *= 2;
    for (step /= 2; rc == MPI_SUCCESS && step > 0; step /= 2) {
        if (me % (2 * step) == 0 && me + step < l->size) rc = l->send(l->context, buffer, count, type, (me + step + root) % l->size);
        if (me % (2 * step) == step) rc = l->recv(l->context, buffer, count, type, (me - step + root) % l->size);
    }
    return rc;
}

/* `low` op `high` into `high`, which are of lower and of higher ranks. */
static int combine(const void *low, void *high, int count, MPI_Datatype type, MPI_Op op)
{
    return PMPI_Reduce_local(low, high, count, type, op);
}

/* Each holds what a run of ranks beginning with it has given; two neighbouring runs become one, at rank 0 in the end.
 * *mine points to what we hold, in `own` or in `other`. */
static int to_first(const bl_tree_link *l, char **mine, char **other, int count, MPI_Datatype type, MPI_Op op)
{
    for (int step = 1; step < l->size; step *= 2) {
        if (l->rank % (2 * step) == step) return l->send(l->context, *mine, count, type, l->rank - step);
        if (l->rank + step >= l->size) continue;
        int rc = l->recv(l->context, *other, count, type, l->rank + step);
        if (rc == MPI_SUCCESS) rc = combine(*mine, *other, count, type, op);
        if (rc) return rc;
        char *swapped = *mine;
        *mine = *other;
        *other = swapped;
    }
    return MPI_SUCCESS;
}

/* The result is at rank 0, in *result; a and b are released by the caller. */
static int reduce_to_first(const bl_tree_link *l, const void *from, scratch *a, scratch *b, char **result, int count, MPI_Datatype type,
                           MPI_Op op)
{
    char *other;
    b->memory = NULL;
    int rc = take(a, count, type);
    if (rc == MPI_SUCCESS) rc = take(b, count, type);
    if (rc == MPI_SUCCESS) rc = same_copy(from, a->at, count, type);
    *result = a->at;
    other = b->at;
    return rc ? rc : to_first(l, result, &other, count, type, op);
}

int bl_tree_Reduce(const bl_tree_link *l, const void *sendbuf, void *recvbuf, int count, MPI_Datatype type, MPI_Op op, int root)
{
    scratch a, b;
    char *result;
    if (bad_root(l, root)) return MPI_ERR_ROOT;
    int rc = reduce_to_first(l, sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf, &a, &b, &result, count, type, op);
    if (rc == MPI_SUCCESS && l->rank == 0 && root != 0) rc = l->send(l->context, result, count, type, root);
    if (rc == MPI_SUCCESS && l->rank == root) rc = root ? l->recv(l->context, recvbuf, count, type, 0) : same_copy(result, recvbuf, count, type);
    give(&a);
    give(&b);
    return rc;
}

/* Neighbouring runs of ranks of the same length exchange what they have: all get the same bits. */
static int doubling(const bl_tree_link *l, void *recvbuf, int count, MPI_Datatype type, MPI_Op op)
{
    scratch s;
    int rc = take(&s, count, type);
    for (int step = 1; rc == MPI_SUCCESS && step < l->size; step *= 2) {
        int other = l->rank ^ step;
        rc = l->exchange(l->context, recvbuf, count, type, other, s.at, count, type, other);
        if (rc) break;
        if (other < l->rank) rc = combine(s.at, recvbuf, count, type, op);
        else {
            rc = combine(recvbuf, s.at, count, type, op);
            if (rc == MPI_SUCCESS) rc = same_copy(s.at, recvbuf, count, type);
        }
    }
    give(&s);
    return rc;
}

int bl_tree_Allreduce(const bl_tree_link *l, const void *sendbuf, void *recvbuf, int count, MPI_Datatype type, MPI_Op op)
{
    int rc = sendbuf == MPI_IN_PLACE ? MPI_SUCCESS : same_copy(sendbuf, recvbuf, count, type);
    if (rc == MPI_SUCCESS && (l->size & (l->size - 1)) == 0) return doubling(l, recvbuf, count, type, op);
    if (rc == MPI_SUCCESS) rc = bl_tree_Reduce(l, l->rank == 0 ? MPI_IN_PLACE : recvbuf, recvbuf, count, type, op, 0);
    return rc ? rc : bl_tree_Bcast(l, recvbuf, count, type, 0);
}

/* Both of these: what is before a rank comes from the rank before it, and goes on with its own. */
int bl_tree_Scan(const bl_tree_link *l, const void *sendbuf, void *recvbuf, int count, MPI_Datatype type, MPI_Op op)
{
    scratch s;
    int rc = take(&s, count, type);
    if (rc == MPI_SUCCESS && sendbuf != MPI_IN_PLACE) rc = same_copy(sendbuf, recvbuf, count, type);
    if (rc == MPI_SUCCESS && l->rank > 0) {
        rc = l->recv(l->context, s.at, count, type, l->rank - 1);
        if (rc == MPI_SUCCESS) rc = combine(s.at, recvbuf, count, type, op);
    }
    if (rc == MPI_SUCCESS && l->rank + 1 < l->size) rc = l->send(l->context, recvbuf, count, type, l->rank + 1);
    give(&s);
    return rc;
}

int bl_tree_Exscan(const bl_tree_link *l, const void *sendbuf, void *recvbuf, int count, MPI_Datatype type, MPI_Op op)
{
    scratch mine;
    int rc = take(&mine, count, type);
    if (rc == MPI_SUCCESS) rc = same_copy(sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf, mine.at, count, type);
    if (rc == MPI_SUCCESS && l->rank > 0) {
        rc = l->recv(l->context, recvbuf, count, type, l->rank - 1);
        if (rc == MPI_SUCCESS) rc = combine(recvbuf, mine.at, count, type, op);
    }
    if (rc == MPI_SUCCESS && l->rank + 1 < l->size) rc = l->send(l->context, mine.at, count, type, l->rank + 1);
    give(&mine);
    return rc;
}

/* --- one with all --- */

typedef struct blocks {      /* one of each rank, in a buffer: of equal counts, or given */
    char *base;
    const int *counts, *places;
    int count;
    MPI_Datatype type;
    MPI_Aint extent;
} blocks;

static blocks blocks_of(const void *base, const int *counts, const int *places, int count, MPI_Datatype type)
{
    union { const void *in; char *out; } at = { base };
    return (blocks){ at.out, counts, places, count, type, extent_of(type) };
}

static int count_of(const blocks *b, int rank)
{
    return b->counts ? b->counts[rank] : b->count;
}

static char *place_of(const blocks *b, int rank)
{
    return b->base + b->extent * (b->places ? (MPI_Aint)b->places[rank] : (MPI_Aint)rank * b->count);
}

static int gather(const bl_tree_link *l, const void *sendbuf, int sendcount, MPI_Datatype sendtype, const blocks *to, int root)
{
    int rc = MPI_SUCCESS;
    if (l->rank != root) return l->send(l->context, sendbuf, sendcount, sendtype, root);
    for (int r = 0; rc == MPI_SUCCESS && r < l->size; r++) {
        if (r != root) rc = l->recv(l->context, place_of(to, r), count_of(to, r), to->type, r);
        else if (sendbuf != MPI_IN_PLACE) rc = copy(sendbuf, sendcount, sendtype, place_of(to, r), count_of(to, r), to->type);
    }
    return rc;
}

int bl_tree_Gather(const bl_tree_link *l, const void *sendbuf, int sendcount, MPI_Datatype sendtype, void *recvbuf, int recvcount,
                   MPI_Datatype recvtype, int root)
{
    if (bad_root(l, root)) return MPI_ERR_ROOT;
    blocks to = { 0 };
    if (l->rank == root) to = blocks_of(recvbuf, NULL, NULL, recvcount, recvtype);
    return gather(l, sendbuf, sendcount, sendtype, &to, root);
}

int bl_tree_Gatherv(const bl_tree_link *l, const void *sendbuf, int sendcount, MPI_Datatype sendtype, void *recvbuf, const int recvcounts[],
                    const int displs[], MPI_Datatype recvtype, int root)
{
    if (bad_root(l, root)) return MPI_ERR_ROOT;
    blocks to = { 0 };
    if (l->rank == root) to = blocks_of(recvbuf, recvcounts, displs, 0, recvtype);
    return gather(l, sendbuf, sendcount, sendtype, &to, root);
}

static int scatter(const bl_tree_link *l, const blocks *from, void *recvbuf, int recvcount, MPI_Datatype recvtype, int root)
{
    int rc = MPI_SUCCESS;
    if (l->rank != root) return l->recv(l->context, recvbuf, recvcount, recvtype, root);
    for (int r = 0; rc == MPI_SUCCESS && r < l->size; r++) {
        if (r != root) rc = l->send(l->context, place_of(from, r), count_of(from, r), from->type, r);
        else if (recvbuf != MPI_IN_PLACE) rc = copy(place_of(from, r), count_of(from, r), from->type, recvbuf, recvcount, recvtype);
    }
    return rc;
}

int bl_tree_Scatter(const bl_tree_link *l, const void *sendbuf, int sendcount, MPI_Datatype sendtype, void *recvbuf, int recvcount,
                    MPI_Datatype recvtype, int root)
{
    if (bad_root(l, root)) return MPI_ERR_ROOT;
    blocks from = { 0 };
    if (l->rank == root) from = blocks_of(sendbuf, NULL, NULL, sendcount, sendtype);
    return scatter(l, &from, recvbuf, recvcount, recvtype, root);
}

int bl_tree_Scatterv(const bl_tree_link *l, const void *sendbuf, const int sendcounts[], const int displs[], MPI_Datatype sendtype,
                     void *recvbuf, int recvcount, MPI_Datatype recvtype, int root)
{
    if (bad_root(l, root)) return MPI_ERR_ROOT;
    blocks from = { 0 };
    if (l->rank == root) from = blocks_of(sendbuf, sendcounts, displs, 0, sendtype);
    return scatter(l, &from, recvbuf, recvcount, recvtype, root);
}

/* Reduced at rank 0, and from there each gets its block. */
static int reduce_scatter(const bl_tree_link *l, const void *sendbuf, void *recvbuf, const int *counts, int each, MPI_Datatype type, MPI_Op op)
{
    scratch a, b;
    char *result;
    MPI_Count total = 0;
    int *places = malloc(sizeof *places * (size_t)l->size);
    if (!places) return MPI_ERR_NO_MEM;
    for (int r = 0; r < l->size; r++) {
        places[r] = (int)total;
        total += counts ? counts[r] : each;
        if (total > INT_MAX) break;
    }
    int rc = MPI_ERR_COUNT;
    if (total <= INT_MAX) {
        rc = reduce_to_first(l, sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf, &a, &b, &result, (int)total, type, op);
        blocks from = blocks_of(result, counts, places, each, type);
        if (rc == MPI_SUCCESS) rc = scatter(l, &from, recvbuf, counts ? counts[l->rank] : each, type, 0);
        give(&a);
        give(&b);
    }
    free(places);
    return rc;
}

int bl_tree_Reduce_scatter(const bl_tree_link *l, const void *sendbuf, void *recvbuf, const int recvcounts[], MPI_Datatype type, MPI_Op op)
{
    return reduce_scatter(l, sendbuf, recvbuf, recvcounts, 0, type, op);
}

int bl_tree_Reduce_scatter_block(const bl_tree_link *l, const void *sendbuf, void *recvbuf, int recvcount, MPI_Datatype type, MPI_Op op)
{
    return reduce_scatter(l, sendbuf, recvbuf, NULL, recvcount, type, op);
}

/* --- all with all --- */

/* A ring: in each step the block got last goes on. */
static int ring(const bl_tree_link *l, const void *sendbuf, int sendcount, MPI_Datatype sendtype, const blocks *to)
{
    int n = l->size, rc = MPI_SUCCESS, mine = l->rank;
    if (sendbuf != MPI_IN_PLACE) rc = copy(sendbuf, sendcount, sendtype, place_of(to, mine), count_of(to, mine), to->type);
    for (int step = 1; rc == MPI_SUCCESS && step < n; step++) {
        int out = (mine - step + 1 + n) % n, in = (mine - step + n) % n;
        rc = l->exchange(l->context, place_of(to, out), count_of(to, out), to->type, (mine + 1) % n, place_of(to, in), count_of(to, in), to->type,
                         (mine - 1 + n) % n);
    }
    return rc;
}

int bl_tree_Allgather(const bl_tree_link *l, const void *sendbuf, int sendcount, MPI_Datatype sendtype, void *recvbuf, int recvcount,
                      MPI_Datatype recvtype)
{
    blocks to = blocks_of(recvbuf, NULL, NULL, recvcount, recvtype);
    return ring(l, sendbuf, sendcount, sendtype, &to);
}

int bl_tree_Allgatherv(const bl_tree_link *l, const void *sendbuf, int sendcount, MPI_Datatype sendtype, void *recvbuf,
                       const int recvcounts[], const int displs[], MPI_Datatype recvtype)
{
    blocks to = blocks_of(recvbuf, recvcounts, displs, 0, recvtype);
    return ring(l, sendbuf, sendcount, sendtype, &to);
}

/* In the r-th step each sends to who is r behind it what it has for it.  In place: each pair exchanges through a copy. */
static int pairwise(const bl_tree_link *l, const blocks *from, const blocks *to)
{
    int n = l->size, rc = copy(place_of(from, l->rank), count_of(from, l->rank), from->type, place_of(to, l->rank), count_of(to, l->rank), to->type);
    for (int step = 1; rc == MPI_SUCCESS && step < n; step++) {
        int dest = (l->rank + step) % n, source = (l->rank - step + n) % n;
        rc = l->exchange(l->context, place_of(from, dest), count_of(from, dest), from->type, dest, place_of(to, source), count_of(to, source),
                         to->type, source);
    }
    return rc;
}

static int swap(const bl_tree_link *l, char *at, int count, MPI_Datatype type, int other)
{
    scratch s;
    int rc = take(&s, count, type);
    if (rc == MPI_SUCCESS) rc = same_copy(at, s.at, count, type);
    if (rc == MPI_SUCCESS) rc = l->exchange(l->context, s.at, count, type, other, at, count, type, other);
    give(&s);
    return rc;
}

/* Every rank meets the others in an order in which both come to each other: i and j in round (i + j) mod n. */
static int in_place(const bl_tree_link *l, const blocks *both)
{
    int n = l->size, rc = MPI_SUCCESS;
    for (int round = 0; rc == MPI_SUCCESS && round < n; round++) {
        int other = (round - l->rank + n) % n;
        if (other != l->rank) rc = swap(l, place_of(both, other), count_of(both, other), both->type, other);
    }
    return rc;
}

int bl_tree_Alltoall(const bl_tree_link *l, const void *sendbuf, int sendcount, MPI_Datatype sendtype, void *recvbuf, int recvcount,
                     MPI_Datatype recvtype)
{
    blocks to = blocks_of(recvbuf, NULL, NULL, recvcount, recvtype);
    if (sendbuf == MPI_IN_PLACE) return in_place(l, &to);
    blocks from = blocks_of(sendbuf, NULL, NULL, sendcount, sendtype);
    return pairwise(l, &from, &to);
}

int bl_tree_Alltoallv(const bl_tree_link *l, const void *sendbuf, const int sendcounts[], const int sdispls[], MPI_Datatype sendtype,
                      void *recvbuf, const int recvcounts[], const int rdispls[], MPI_Datatype recvtype)
{
    blocks to = blocks_of(recvbuf, recvcounts, rdispls, 0, recvtype);
    if (sendbuf == MPI_IN_PLACE) return in_place(l, &to);
    blocks from = blocks_of(sendbuf, sendcounts, sdispls, 0, sendtype);
    return pairwise(l, &from, &to);
}

int bl_tree_Alltoallw(const bl_tree_link *l, const void *sendbuf, const int sendcounts[], const int sdispls[], const MPI_Datatype sendtypes[],
                      void *recvbuf, const int recvcounts[], const int rdispls[], const MPI_Datatype recvtypes[])
{
    int n = l->size, rc = MPI_SUCCESS, placed = sendbuf == MPI_IN_PLACE;
    const char *from = sendbuf;
    char *to = recvbuf;
    for (int step = 0; rc == MPI_SUCCESS && step < n; step++) {
        int dest = (l->rank + step) % n, source = (l->rank - step + n) % n, other = (step - l->rank + n) % n;
        if (placed && other != l->rank) rc = swap(l, to + rdispls[other], recvcounts[other], recvtypes[other], other);
        else if (!placed && step == 0) rc = copy(from + sdispls[dest], sendcounts[dest], sendtypes[dest], to + rdispls[source], recvcounts[source], recvtypes[source]);
        else if (!placed)
            rc = l->exchange(l->context, from + sdispls[dest], sendcounts[dest], sendtypes[dest], dest, to + rdispls[source], recvcounts[source],
                             recvtypes[source], source);
    }
    return rc;
}
