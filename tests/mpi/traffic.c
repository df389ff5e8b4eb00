/* traffic - seeded random traffic through every call that is tracked; everything is received before each safe point, so
 * every checkpoint that is due has to be taken, and the counters in it have to be the truth.
 *
 *     traffic STEPS SEED [TAGS [COMMUNICATORS]]
 *
 * All ranks draw the same numbers, so each knows who sends what to whom, and meets it in the same order: that is also the
 * truth the counters are compared with.  In step 1 TAGS tags are used up, to see that tags are folded, and COMMUNICATORS are
 * made and freed, to see that the table is enough for ever; what was counted on freed ones is then not compared.
 */
#include <inttypes.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <belay.h>

#include "store/store.h"

enum { EVENTS = 60, INTS = 64, PENDING = 64, BUFFER = 1 << 20 };
enum { ALL, COPY, HALF, RING, ACROSS, COMMS };

static int rank, ranks, step;
static MPI_Comm comm[COMMS];
static uint64_t sent[64], received[64], collectives; /* the truth, of this incarnation */
static int forgetful;                                /* rows of freed communicators are used again */
static MPI_Request pending[PENDING];
static int pendings;
static int out[64 * INTS], in[PENDING + 1][64 * INTS];
static uint64_t state;

static void fail(const char *what)
{
    printf("rank %d step %d: WRONG: %s\n", rank, step, what);
    fflush(stdout);
    MPI_Abort(MPI_COMM_WORLD, 9);
}

static int draw(int below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)((state >> 33) % (uint64_t)below);
}

/* --- one message from s to d, in every way there is --- */

static void count(int s, int d)
{
    if (rank == s) sent[d]++;
    if (rank == d) received[s]++;
}

static void send_blocking(int how, int d, int tag, int n, MPI_Comm c)
{
    switch (how) {
    case 0: MPI_Send(out, n, MPI_INT, d, tag, c); return;
    case 1: MPI_Ssend(out, n, MPI_INT, d, tag, c); return;
    default: MPI_Bsend(out, n, MPI_INT, d, tag, c); return;
    }
}

static void receive_blocking(int how, int s, int tag, MPI_Comm c)
{
    MPI_Message message;
    MPI_Status status;
    int flag = 0;
    switch (how) {
    case 0: MPI_Recv(in[0], INTS, MPI_INT, s, tag, c, MPI_STATUS_IGNORE); return;
    case 1: MPI_Recv(in[0], INTS, MPI_INT, MPI_ANY_SOURCE, tag, c, &status); return;
    case 2: MPI_Recv(in[0], INTS, MPI_INT, s, MPI_ANY_TAG, c, &status); return;
    case 3:
        MPI_Probe(s, tag, c, &status);
        MPI_Recv(in[0], INTS, MPI_INT, status.MPI_SOURCE, status.MPI_TAG, c, MPI_STATUS_IGNORE);
        return;
    case 4:
        MPI_Mprobe(s, tag, c, &message, MPI_STATUS_IGNORE);
        MPI_Mrecv(in[0], INTS, MPI_INT, &message, &status);
        return;
    default:
        while (!flag) MPI_Improbe(s, tag, c, &flag, &message, &status);
        MPI_Imrecv(in[PENDING], INTS, MPI_INT, &message, &pending[pendings++]);
        return;
    }
}

static void blocking(int s, int d, int tag, MPI_Comm c)
{
    int send_how = draw(3), receive_how = draw(6), n = draw(INTS);
    if (rank == s) send_blocking(send_how, d, tag, n, c);
    if (rank == d) receive_blocking(receive_how, s, tag, c);
    if (rank == d && receive_how == 5) MPI_Wait(&pending[--pendings], MPI_STATUS_IGNORE);
    count(s, d);
}

static void ready(int s, int d, int tag, MPI_Comm c)
{
    int how = draw(2);
    if (rank == d) {
        MPI_Irecv(in[0], INTS, MPI_INT, s, tag, c, &pending[pendings]);
        MPI_Send(NULL, 0, MPI_BYTE, s, tag, c);
        MPI_Wait(&pending[pendings], MPI_STATUS_IGNORE);
    }
    if (rank == s) {
        MPI_Recv(NULL, 0, MPI_BYTE, d, tag, c, MPI_STATUS_IGNORE);
        if (how) {
            MPI_Rsend(out, 3, MPI_INT, d, tag, c);
        } else {
            MPI_Irsend(out, 3, MPI_INT, d, tag, c, &pending[pendings]);
            MPI_Wait(&pending[pendings], MPI_STATUS_IGNORE);
        }
    }
    count(d, s);
    count(s, d);
}

static void nonblocking(int s, int d, int tag, MPI_Comm c)
{
    int how = draw(4), n = draw(INTS), any = draw(2);
    if (rank == s) {
        MPI_Request *r = &pending[pendings++];
        if (how == 0) MPI_Isend(out, n, MPI_INT, d, tag, c, r);
        if (how == 1) MPI_Issend(out, n, MPI_INT, d, tag, c, r);
        if (how == 2) MPI_Ibsend(out, n, MPI_INT, d, tag, c, r);
        if (how == 3) {
            MPI_Isend(out, n, MPI_INT, d, tag, c, r);
            MPI_Request_free(r);
            pendings--;
        }
    }
    if (rank == d) {
        MPI_Irecv(in[pendings], INTS, MPI_INT, any ? MPI_ANY_SOURCE : s, tag, c, &pending[pendings]);
        pendings++;
    }
    count(s, d);
}

static void persistent(int s, int d, int tag, MPI_Comm c)
{
    MPI_Request r[2] = { MPI_REQUEST_NULL, MPI_REQUEST_NULL };
    int n = 0, how = draw(3), times = 1 + draw(3);
    if (rank == s && how == 0) MPI_Send_init(out, 2, MPI_INT, d, tag, c, &r[n++]);
    if (rank == s && how == 1) MPI_Ssend_init(out, 2, MPI_INT, d, tag, c, &r[n++]);
    if (rank == s && how == 2) MPI_Bsend_init(out, 2, MPI_INT, d, tag, c, &r[n++]);
    if (rank == d) MPI_Recv_init(in[0], INTS, MPI_INT, s, tag, c, &r[n++]);
    for (int i = 0; i < times; i++) {
        if (n && i % 2) MPI_Start(&r[0]);
        else MPI_Startall(n, r);
        MPI_Waitall(n, r, i % 2 ? MPI_STATUSES_IGNORE : (MPI_Status[2]){ { 0 } });
        count(s, d);
    }
    while (n) MPI_Request_free(&r[--n]);
}

/* Everybody to the next, at once. */
static void shift(int tag)
{
    int next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;
    if (draw(2)) MPI_Sendrecv(out, 5, MPI_INT, next, tag, in[0], INTS, MPI_INT, before, tag, comm[ALL], MPI_STATUS_IGNORE);
    else MPI_Sendrecv_replace(in[0], 5, MPI_INT, next, tag, before, tag, comm[ALL], MPI_STATUS_IGNORE);
    sent[next]++;
    received[before]++;
}

/* All to one, which takes them as they come. */
static void gather_any(int tag)
{
    int root = draw(ranks);
    MPI_Barrier(comm[ALL]);
    if (rank == root)
        for (int i = 1; i < ranks; i++) MPI_Recv(in[0], INTS, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, comm[ALL], MPI_STATUS_IGNORE);
    else
        MPI_Send(out, 1, MPI_INT, root, tag, comm[ALL]);
    MPI_Barrier(comm[ALL]);
    collectives += 2;
    for (int i = 0; i < ranks; i++)
        if (i != root) count(i, root);
}

/* None of these is a message. */
static void nothing(int tag)
{
    MPI_Request r[3];
    MPI_Status status;
    MPI_Message message;
    int flag;
    MPI_Send(out, 1, MPI_INT, MPI_PROC_NULL, tag, comm[ALL]);
    MPI_Recv(in[0], 1, MPI_INT, MPI_PROC_NULL, tag, comm[ALL], &status);
    MPI_Sendrecv(out, 1, MPI_INT, MPI_PROC_NULL, tag, in[0], 1, MPI_INT, MPI_PROC_NULL, tag, comm[ALL], MPI_STATUS_IGNORE);
    MPI_Isend(out, 1, MPI_INT, MPI_PROC_NULL, tag, comm[ALL], &r[0]);
    MPI_Irecv(in[0], 1, MPI_INT, MPI_PROC_NULL, tag, comm[ALL], &r[1]);
    MPI_Irecv(in[0], 1, MPI_INT, MPI_ANY_SOURCE, 32000, comm[COPY], &r[2]); /* nobody sends it */
    MPI_Cancel(&r[2]);
    MPI_Waitall(3, r, MPI_STATUSES_IGNORE);
    MPI_Mprobe(MPI_PROC_NULL, tag, comm[ALL], &message, &status);
    MPI_Mrecv(in[0], 1, MPI_INT, &message, &status);
    MPI_Send_init(out, 1, MPI_INT, MPI_PROC_NULL, tag, comm[ALL], &r[0]);
    MPI_Start(&r[0]);
    MPI_Wait(&r[0], MPI_STATUS_IGNORE);
    MPI_Request_free(&r[0]);
    MPI_Iprobe(MPI_PROC_NULL, tag, comm[ALL], &flag, &status);
    MPI_Waitall(0, r, MPI_STATUSES_IGNORE);
}

/* --- collectives --- */

#define BOTH(name, ...) \
    do { \
        if (now) MPI_##name(__VA_ARGS__); \
        else MPI_I##name##_(__VA_ARGS__, &pending[pendings++]); \
    } while (0)
#define MPI_IBarrier_ MPI_Ibarrier
#define MPI_IBcast_ MPI_Ibcast
#define MPI_IGather_ MPI_Igather
#define MPI_IGatherv_ MPI_Igatherv
#define MPI_IScatter_ MPI_Iscatter
#define MPI_IScatterv_ MPI_Iscatterv
#define MPI_IAllgather_ MPI_Iallgather
#define MPI_IAllgatherv_ MPI_Iallgatherv
#define MPI_IAlltoall_ MPI_Ialltoall
#define MPI_IAlltoallv_ MPI_Ialltoallv
#define MPI_IAlltoallw_ MPI_Ialltoallw
#define MPI_IReduce_ MPI_Ireduce
#define MPI_IAllreduce_ MPI_Iallreduce
#define MPI_IReduce_scatter_ MPI_Ireduce_scatter
#define MPI_IReduce_scatter_block_ MPI_Ireduce_scatter_block
#define MPI_IScan_ MPI_Iscan
#define MPI_IExscan_ MPI_Iexscan
#define MPI_INeighbor_allgather_ MPI_Ineighbor_allgather
#define MPI_INeighbor_allgatherv_ MPI_Ineighbor_allgatherv
#define MPI_INeighbor_alltoall_ MPI_Ineighbor_alltoall
#define MPI_INeighbor_alltoallv_ MPI_Ineighbor_alltoallv
#define MPI_INeighbor_alltoallw_ MPI_Ineighbor_alltoallw

static int ones[64], places[64], bytes[64];
static MPI_Aint far[64];
static MPI_Datatype ints[64];

static void neighbour(int which, int now, MPI_Comm c, int *to)
{
    switch (which) {
    case 0: BOTH(Neighbor_allgather, out, 1, MPI_INT, to, 1, MPI_INT, c); return;
    case 1: BOTH(Neighbor_allgatherv, out, 1, MPI_INT, to, ones, places, MPI_INT, c); return;
    case 2: BOTH(Neighbor_alltoall, out, 1, MPI_INT, to, 1, MPI_INT, c); return;
    case 3: BOTH(Neighbor_alltoallv, out, ones, places, MPI_INT, to, ones, places, MPI_INT, c); return;
    default: BOTH(Neighbor_alltoallw, out, ones, far, ints, to, ones, far, ints, c); return;
    }
}

static void collective(void)
{
    int which = draw(22), where = draw(4), now = draw(2), *to = in[pendings];
    MPI_Comm c = comm[which >= 17 ? RING : where];
    collectives++;
    switch (which) {
    case 0: BOTH(Barrier, c); return;
    case 1: BOTH(Bcast, to, 4, MPI_INT, 0, c); return;
    case 2: BOTH(Gather, out, 1, MPI_INT, to, 1, MPI_INT, 0, c); return;
    case 3: BOTH(Gatherv, out, 1, MPI_INT, to, ones, places, MPI_INT, 0, c); return;
    case 4: BOTH(Scatter, out, 1, MPI_INT, to, 1, MPI_INT, 0, c); return;
    case 5: BOTH(Scatterv, out, ones, places, MPI_INT, to, 1, MPI_INT, 0, c); return;
    case 6: BOTH(Allgather, out, 1, MPI_INT, to, 1, MPI_INT, c); return;
    case 7: BOTH(Allgatherv, out, 1, MPI_INT, to, ones, places, MPI_INT, c); return;
    case 8: BOTH(Alltoall, out, 1, MPI_INT, to, 1, MPI_INT, c); return;
    case 9: BOTH(Alltoallv, out, ones, places, MPI_INT, to, ones, places, MPI_INT, c); return;
    case 10: BOTH(Alltoallw, out, ones, bytes, ints, to, ones, bytes, ints, c); return;
    case 11: BOTH(Reduce, out, to, 2, MPI_INT, MPI_SUM, 0, c); return;
    case 12: BOTH(Allreduce, out, to, 2, MPI_INT, MPI_MAX, c); return;
    case 13: BOTH(Reduce_scatter, out, to, ones, MPI_INT, MPI_SUM, c); return;
    case 14: BOTH(Reduce_scatter_block, out, to, 1, MPI_INT, MPI_SUM, c); return;
    case 15: BOTH(Scan, out, to, 2, MPI_INT, MPI_SUM, c); return;
    case 16: BOTH(Exscan, out, to, 2, MPI_INT, MPI_SUM, c); return;
    default: neighbour(which - 17, now, c, to); return;
    }
}

static void across(int tag)
{
    int half = ranks / 2, mine = rank < half ? rank : rank - half, n = 0, sum;
    if (draw(2)) {
        MPI_Allreduce(&n, &sum, 1, MPI_INT, MPI_SUM, comm[ACROSS]);
        collectives++;
        return;
    }
    if (mine >= half) return; /* an odd one out */
    if (rank < half) MPI_Send(out, 1, MPI_INT, mine, tag, comm[ACROSS]);
    else MPI_Recv(in[0], 1, MPI_INT, mine, tag, comm[ACROSS], MPI_STATUS_IGNORE);
    count(rank < half ? rank : mine, rank < half ? rank + half : rank);
}

/* --- communicators --- */

static void make_comms(void)
{
    int periodic = 1, half = ranks / 2;
    MPI_Comm_dup(MPI_COMM_WORLD, &comm[COPY]);
    MPI_Comm_split(MPI_COMM_WORLD, rank < half, rank, &comm[HALF]);
    MPI_Cart_create(comm[COPY], 1, &ranks, &periodic, 0, &comm[RING]);
    MPI_Intercomm_create(comm[HALF], 0, MPI_COMM_WORLD, rank < half ? half : 0, 77, &comm[ACROSS]);
}

/* What was counted on a freed communicator still counts. */
static void change_comms(void)
{
    MPI_Comm sub, merged, created;
    MPI_Group group;
    MPI_Request r;
    int remain = 1;
    MPI_Cart_sub(comm[RING], &remain, &sub);
    MPI_Intercomm_merge(comm[ACROSS], rank < ranks / 2, &merged);
    MPI_Comm_group(MPI_COMM_WORLD, &group);
    MPI_Comm_create(MPI_COMM_WORLD, group, &created);
    MPI_Group_free(&group);
    MPI_Barrier(created);
    collectives++;
    MPI_Comm_free(&created);
    MPI_Comm_free(&sub);
    MPI_Comm_free(&merged);
    MPI_Comm_idup(MPI_COMM_WORLD, &created, &r);
    MPI_Wait(&r, MPI_STATUS_IGNORE);
    MPI_Comm_disconnect(&created);
    for (int i = ACROSS; i > ALL; i--) MPI_Comm_free(&comm[i]);
    make_comms();
}

/* More than the live table has rows. */
static void use_comms(int many)
{
    forgetful = many > 0;
    for (int i = 0; i < many; i++) {
        MPI_Comm made;
        MPI_Comm_dup(comm[HALF], &made);
        MPI_Barrier(made);
        MPI_Comm_free(&made);
    }
}

/* --- completion in every way --- */

static void complete_one_way(int way)
{
    int index, flag = 0, some, indices[PENDING];
    MPI_Status status, statuses[PENDING];
    int n = pendings;
    switch (way) {
    case 0: MPI_Waitany(n, pending, &index, &status); return;
    case 1: MPI_Waitsome(n, pending, &some, indices, statuses); return;
    case 2: MPI_Waitsome(n, pending, &some, indices, MPI_STATUSES_IGNORE); return;
    case 3: MPI_Testany(n, pending, &index, &flag, &status); return;
    case 4: MPI_Testsome(n, pending, &some, indices, MPI_STATUSES_IGNORE); return;
    case 5: MPI_Testall(n, pending, &flag, MPI_STATUSES_IGNORE); return;
    case 6: MPI_Wait(&pending[n / 2], MPI_STATUS_IGNORE); return;
    case 7: MPI_Test(&pending[n - 1], &flag, &status); return;
    default: MPI_Waitany(n, pending, &index, MPI_STATUS_IGNORE); return;
    }
}

/* The ways come from a generator of this rank's own: the order of completion is nobody else's business. */
static void complete(void)
{
    static unsigned own = 1;
    for (int i = 0; i < 3 && pendings; i++) {
        own = own * 1103515245u + 12345u + (unsigned)rank;
        complete_one_way((int)(own >> 16) % 9);
    }
    if (own >> 30 & 1) MPI_Waitall(pendings, pending, MPI_STATUSES_IGNORE);
    for (int i = 0; i < pendings; i++) MPI_Wait(&pending[i], MPI_STATUS_IGNORE);
    pendings = 0;
}

static void event(int number)
{
    int what = draw(10), s = draw(ranks), d = draw(ranks), where = draw(3) == 0 ? COPY : draw(2) ? RING : ALL;
    int tag = 100 + number;
    if (s == d) d = (d + 1) % ranks;
    switch (what) {
    case 0: case 1: blocking(s, d, tag, comm[where]); return;
    case 2: case 3: nonblocking(s, d, tag, comm[where]); return;
    case 4: persistent(s, d, tag, comm[where]); return;
    case 5: draw(2) ? ready(s, d, tag, comm[where]) : nothing(tag); return;
    case 6: shift(tag); return;
    case 7: across(tag); return;
    default: collective(); return;
    }
}

static void use_tags(int tags)
{
    int next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;
    for (int t = 0; t < tags; t++)
        MPI_Sendrecv(NULL, 0, MPI_BYTE, next, 1000 + t, NULL, 0, MPI_BYTE, before, 1000 + t, comm[ALL], MPI_STATUS_IGNORE);
    sent[next] += (uint64_t)tags;
    received[before] += (uint64_t)tags;
}

/* --- the comparison --- */

static void compare(const bl_snapshot *s)
{
    uint64_t s_sent[64] = { 0 }, s_received[64] = { 0 }, s_collectives = 0;
    for (size_t i = 0; i < s->nchannels; i++) {
        s_sent[s->channels[i].peer] += s->channels[i].sent;
        s_received[s->channels[i].peer] += s->channels[i].received;
    }
    for (size_t i = 0; i < s->ncollectives; i++) s_collectives += s->collectives[i].started;
    for (int r = 0; r < ranks; r++) {
        char text[128];
        snprintf(text, sizeof text, "rank %d: %" PRIu64 "/%" PRIu64 " sent, %" PRIu64 "/%" PRIu64 " received", r, s_sent[r], sent[r],
                 s_received[r], received[r]);
        if (s_sent[r] != sent[r] || s_received[r] != received[r]) fail(text);
    }
    if (s_collectives != collectives && !forgetful) fail("collectives");
}

static void check_snapshot(int checkpoint)
{
    bl_store *store;
    bl_reader *reader;
    const bl_snapshot *snapshot;
    bl_error err = { 0, "" };
    if (bl_store_open(getenv("BELAY_DIR"), BL_STABLE_PROCESS, &store, &err)) fail(err.text);
    if (bl_snapshot_open(store, (uint32_t)rank, (uint32_t)checkpoint, NULL, &reader, &snapshot, &err)) fail(err.text);
    compare(snapshot);
    bl_snapshot_close(reader);
    bl_store_close(store);
}

int main(int argc, char **argv)
{
    static char buffer[BUFFER];
    int steps = argc > 1 ? atoi(argv[1]) : 10, tags = argc > 3 ? atoi(argv[3]) : 0, checked = 0;
    int comms = argc > 4 ? atoi(argv[4]) : 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    void *detached;
    int size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (ranks < 2 || ranks > 64) MPI_Abort(MPI_COMM_WORLD, 2);
    MPI_Buffer_attach(buffer, BUFFER);
    for (int i = 0; i < 64; i++) {
        ones[i] = 1;
        places[i] = i;
        bytes[i] = i * (int)sizeof(int);
        far[i] = bytes[i];
        ints[i] = MPI_INT;
    }
    comm[ALL] = MPI_COMM_WORLD;
    make_comms();
    belay_protect("step", &step, 1, MPI_INT);
    belay_recover(NULL);
    for (int first = step; step < steps; step++) {
        belay_status status;
        if (belay_checkpoint(&status)) fail(belay_error_text());
        if (step > first && !status.taken) fail("no checkpoint was taken");
        if (status.taken) {
            check_snapshot(status.checkpoint);
            checked++;
        }
        state = seed * 1000003u + (uint64_t)step;
        if (step == 1) use_tags(tags);
        if (step == 1) use_comms(comms);
        for (int i = 0; i < EVENTS; i++) event(i);
        complete();
        gather_any(99);
        if (step % 3 == 2) change_comms();
    }
    printf("rank %d: %d checkpoints were the truth\n", rank, checked);
    for (int i = ACROSS; i > ALL; i--) MPI_Comm_free(&comm[i]);
    MPI_Buffer_detach(&detached, &size);
    MPI_Finalize();
    return 0;
}
