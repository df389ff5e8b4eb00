/* corners - the rare calls and the rare arguments, one way each: the live table against what the program knows it has done,
 * and after each way nothing may be left that a checkpoint would be refused for.
 *
 *     corners WAY...
 */
#include "config.h"

#include <arpa/inet.h>
#include <mpi.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "totals.h"

enum { TIMES = 1000, BIG = 1 << 20, THREADS = 4, TURNS = 25 };

static const char *program;

/* The two halves of the ring face each other: rank r of one and rank r of the other. */
static int half, lower, mate, facing;
static MPI_Comm mine, across;

static void make_halves(void)
{
    half = ranks / 2;
    lower = rank < half;
    mate = lower ? rank : rank - half; /* my rank in my group, and that of whom I face in the other */
    facing = lower ? rank + half : rank - half;
    MPI_Comm_split(MPI_COMM_WORLD, lower, rank, &mine);
    MPI_Intercomm_create(mine, 0, MPI_COMM_WORLD, lower ? half : 0, 77, &across);
}

static void free_halves(void)
{
    MPI_Comm_free(&across);
    MPI_Comm_free(&mine);
}

/* All ranks have found the same id for the communicator of this tag. */
static void same_id(int peer, int tag)
{
    uint64_t own = channel(peer, tag).comm, first = own;
    MPI_Bcast(&first, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    if (!own || own != first) fail("the ranks do not agree on the id of a communicator");
}

/* --- intercommunicators --- */

static void inter(void)
{
    int a = rank, b = -1;
    MPI_Comm merged;
    MPI_Request r;
    MPI_Status status;
    make_halves();
    totals was = read_totals();
    MPI_Irecv(&b, 1, MPI_INT, MPI_ANY_SOURCE, 20, across, &r);
    MPI_Send(&a, 1, MPI_INT, mate, 20, across);
    MPI_Wait(&r, &status);
    MPI_Sendrecv(&a, 1, MPI_INT, mate, 20, &b, 1, MPI_INT, mate, 20, across, MPI_STATUS_IGNORE);
    if (status.MPI_SOURCE != mate || b != facing) fail("it came from somebody else");
    expect(was, 2, 2, 0);
    bl_live_slot met = channel(facing, 20); /* by the rank in MPI_COMM_WORLD, not by the one in the other group */
    if (met.sent != 2 || met.received != 2) fail("counted for another rank");
    same_id(facing, 20);
    MPI_Intercomm_merge(across, lower, &merged);
    int at, size;
    MPI_Comm_rank(merged, &at);
    MPI_Comm_size(merged, &size);
    MPI_Sendrecv(&a, 1, MPI_INT, (at + half) % size, 22, &b, 1, MPI_INT, (at + half) % size, 22, merged, MPI_STATUS_IGNORE);
    same_id(facing, 22);
    MPI_Comm_free(&merged);
    free_halves();
}

/* Root is MPI_ROOT in one rank of one group, MPI_PROC_NULL in its others, a rank in the other group. */
static void inter_collectives(void)
{
    int a = rank, b = 0, all[64];
    MPI_Request r[2];
    make_halves();
    int root = lower ? (rank == 0 ? MPI_ROOT : MPI_PROC_NULL) : 0;
    totals was = read_totals();
    MPI_Bcast(&a, 1, MPI_INT, root, across);
    MPI_Allreduce(&a, &b, 1, MPI_INT, MPI_SUM, across);
    MPI_Allgather(&a, 1, MPI_INT, all, 1, MPI_INT, across);
    MPI_Barrier(across);
    MPI_Ibcast(&a, 1, MPI_INT, root, across, &r[0]);
    MPI_Ibarrier(across, &r[1]);
    MPI_Waitall(2, r, MPI_STATUSES_IGNORE);
    expect(was, 0, 0, 6);
    free_halves();
}

/* The communicator is freed while what is received on it, from anybody, is still under way. */
static void freed(void)
{
    static char out[BIG], in[BIG];
    MPI_Request r[4];
    MPI_Comm copy;
    MPI_Status status[4];
    make_halves();
    MPI_Comm_dup(MPI_COMM_WORLD, &copy);
    totals was = read_totals();
    MPI_Irecv(in, BIG / 2, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, copy, &r[0]);
    MPI_Irecv(in + BIG / 2, BIG / 2, MPI_BYTE, MPI_ANY_SOURCE, 24, across, &r[1]);
    MPI_Isend(out, BIG / 2, MPI_BYTE, next, 23, copy, &r[2]);
    MPI_Isend(out, BIG / 2, MPI_BYTE, mate, 24, across, &r[3]);
    MPI_Comm_free(&copy);
    free_halves();
    MPI_Comm_dup(MPI_COMM_SELF, &copy); /* perhaps with the handle of one of them */
    MPI_Waitall(4, r, status);
    MPI_Comm_free(&copy);
    expect(was, 2, 2, 0);
    if (channel(before, 23).received != 1 || channel(facing, 24).received != 1) fail("counted for another rank");
}

/* --- requests --- */

/* Cancelled too late: it was delivered; in time: nothing was. */
static void cancelled(void)
{
    int a = rank, b, undone;
    MPI_Request r[2];
    MPI_Status status;
    totals was = read_totals();
    MPI_Irecv(&b, 1, MPI_INT, before, 25, MPI_COMM_WORLD, &r[0]);
    MPI_Barrier(MPI_COMM_WORLD);
    for (int tag = 25; tag <= 26; tag++) MPI_Send(&a, 1, MPI_INT, next, tag, MPI_COMM_WORLD);
    MPI_Recv(&b, 1, MPI_INT, before, 26, MPI_COMM_WORLD, MPI_STATUS_IGNORE); /* so the one before is matched */
    MPI_Cancel(&r[0]);
    MPI_Wait(&r[0], &status);
    MPI_Test_cancelled(&status, &undone);
    if (undone) fail("what had arrived was cancelled");
    expect(was, 2, 2, 1);
    MPI_Irecv(&b, 1, MPI_INT, MPI_ANY_SOURCE, 27, MPI_COMM_WORLD, &r[0]);
    MPI_Cancel(&r[0]);
    MPI_Request_free(&r[0]);
    MPI_Irecv(&b, 1, MPI_INT, before, 28, MPI_COMM_WORLD, &r[0]);
    MPI_Irecv(&b, 1, MPI_INT, MPI_ANY_SOURCE, 28, MPI_COMM_WORLD, &r[1]);
    for (int i = 0; i < 2; i++) MPI_Cancel(&r[i]);
    MPI_Waitall(2, r, MPI_STATUSES_IGNORE);
    expect(was, 2, 2, 1);
}

/* Shown complete, in vain and again, then completed in each way. */
static void shown(void)
{
    int a = rank, b[4], flag, index, n, indices[4];
    MPI_Request r[4], p;
    MPI_Status status;
    totals was = read_totals();
    for (int i = 0; i < 4; i++) MPI_Irecv(&b[i], 1, MPI_INT, i % 2 ? before : MPI_ANY_SOURCE, 30 + i, MPI_COMM_WORLD, &r[i]);
    MPI_Request_get_status(r[0], &flag, MPI_STATUS_IGNORE);
    if (flag) fail("nothing was sent yet");
    expect(was, 0, 0, 0);
    MPI_Barrier(MPI_COMM_WORLD);
    for (int i = 0; i < 4; i++) MPI_Send(&a, 1, MPI_INT, next, 30 + i, MPI_COMM_WORLD);
    for (int i = 0; i < 4; i++)
        for (flag = 0; !flag;) MPI_Request_get_status(r[i], &flag, &status);
    MPI_Request_get_status(r[0], &flag, &status);
    expect(was, 4, 4, 1);
    MPI_Wait(&r[0], MPI_STATUS_IGNORE);
    MPI_Test(&r[1], &flag, MPI_STATUS_IGNORE);
    MPI_Waitany(4, r, &index, MPI_STATUS_IGNORE);
    MPI_Testsome(4, r, &n, indices, MPI_STATUSES_IGNORE);
    MPI_Recv_init(b, 1, MPI_INT, MPI_ANY_SOURCE, 34, MPI_COMM_WORLD, &p);
    for (int i = 0; i < 2; i++) { /* shown once is not shown for ever */
        MPI_Start(&p);
        MPI_Send(&a, 1, MPI_INT, next, 34, MPI_COMM_WORLD);
        for (flag = 0; !flag;) MPI_Request_get_status(p, &flag, MPI_STATUS_IGNORE);
        MPI_Wait(&p, MPI_STATUS_IGNORE);
    }
    MPI_Request_get_status(p, &flag, MPI_STATUS_IGNORE); /* inactive: complete, and nothing is delivered */
    MPI_Request_free(&p);
    expect(was, 6, 6, 1);
}

/* A request that is freed while active: its message arrives all the same. */
static void let_go(void)
{
    static char out[BIG], in[BIG];
    MPI_Request r, p;
    totals was = read_totals();
    for (int i = 0; i < 2; i++) {
        int size = i ? BIG : 1;
        MPI_Isend(out, size, MPI_BYTE, next, 35, MPI_COMM_WORLD, &r);
        MPI_Request_free(&r);
        MPI_Send_init(out, size, MPI_BYTE, next, 36, MPI_COMM_WORLD, &p);
        MPI_Start(&p);
        MPI_Request_free(&p);
        for (int tag = 35; tag <= 36; tag++) MPI_Recv(in, size, MPI_BYTE, before, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    expect(was, 4, 4, 2);
}

static void persistent(void)
{
    int a = rank, b, n, indices[2], flag;
    MPI_Request p[2];
    totals was = read_totals();
    MPI_Send_init(&a, 1, MPI_INT, next, 37, MPI_COMM_WORLD, &p[0]);
    MPI_Recv_init(&b, 1, MPI_INT, before, 37, MPI_COMM_WORLD, &p[1]);
    for (int i = 0; i < TIMES; i++) {
        if (i % 2) MPI_Startall(2, p);
        else for (int k = 0; k < 2; k++) MPI_Start(&p[k]);
        switch (i % 4) {
        case 0: MPI_Waitall(2, p, MPI_STATUSES_IGNORE); break;
        case 1: for (int k = 0; k < 2; k++) MPI_Waitany(2, p, &n, MPI_STATUS_IGNORE); break;
        case 2: for (int done = 0; done < 2; done += n) MPI_Waitsome(2, p, &n, indices, MPI_STATUSES_IGNORE); break;
        default: for (flag = 0; !flag;) MPI_Testall(2, p, &flag, MPI_STATUSES_IGNORE);
        }
    }
    expect(was, TIMES, TIMES, 0);
    for (int k = 0; k < 2; k++) MPI_Request_free(&p[k]);
}

/* Null and inactive requests in the arrays of every completion. */
static void empty(void)
{
    int a = rank, b[2], n, flag, index, indices[5];
    MPI_Request p, r[5];
    MPI_Status statuses[5];
    totals was = read_totals();
    MPI_Recv_init(b, 1, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &p);
    for (int how = 0; how < 6; how++) {
        for (int i = 0; i < 5; i++) r[i] = MPI_REQUEST_NULL;
        r[1] = p;
        MPI_Irecv(&b[1], 1, MPI_INT, before, 38, MPI_COMM_WORLD, &r[3]);
        MPI_Send(&a, 1, MPI_INT, next, 38, MPI_COMM_WORLD);
        flag = n = 0;
        if (how == 0) MPI_Waitall(5, r, statuses);
        if (how == 1) MPI_Waitany(5, r, &index, statuses);
        if (how == 2) MPI_Waitsome(5, r, &n, indices, MPI_STATUSES_IGNORE);
        while (how == 3 && !flag) MPI_Testall(5, r, &flag, MPI_STATUSES_IGNORE);
        while (how == 4 && !flag) MPI_Testany(5, r, &index, &flag, statuses);
        while (how == 5 && n == 0) MPI_Testsome(5, r, &n, indices, statuses);
        if (r[3] != MPI_REQUEST_NULL || r[1] != p) fail("the wrong one was completed");
        r[0] = r[1]; /* only inactive and null ones now */
        MPI_Waitany(2, r, &index, MPI_STATUS_IGNORE);
        MPI_Waitsome(2, r, &n, indices, MPI_STATUSES_IGNORE);
        if (index != MPI_UNDEFINED || n != MPI_UNDEFINED) fail("something was completed");
        MPI_Testany(2, r, &index, &flag, MPI_STATUS_IGNORE);
        MPI_Wait(&r[0], MPI_STATUS_IGNORE);
        MPI_Wait(&r[2], MPI_STATUS_IGNORE);
        MPI_Waitall(0, NULL, MPI_STATUSES_IGNORE);
        MPI_Waitsome(0, NULL, &n, indices, MPI_STATUSES_IGNORE);
        expect(was, (uint64_t)how + 1, (uint64_t)how + 1, 0);
    }
    MPI_Request_free(&p);
}

/* A message that is too long is an error, and delivered: its request is complete. */
static void truncated(void)
{
    int a[2] = { rank, rank }, b[4];
    MPI_Request r[2];
    MPI_Comm copy;
    MPI_Status statuses[2];
    MPI_Comm_dup(MPI_COMM_WORLD, &copy);
    MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN);
    totals was = read_totals();
    for (int i = 0; i < 2; i++) MPI_Irecv(&b[i], 1, MPI_INT, i ? MPI_ANY_SOURCE : before, 39 + i, copy, &r[i]);
    for (int i = 0; i < 2; i++) MPI_Send(a, 2 - i, MPI_INT, next, 39 + i, copy);
    if (MPI_Waitall(2, r, statuses) != MPI_ERR_IN_STATUS) fail("the message was not too long");
    for (int i = 0; i < 2; i++) MPI_Wait(&r[i], MPI_STATUS_IGNORE);
    expect(was, 2, 2, 0);
    MPI_Irecv(b, 1, MPI_INT, before, 41, copy, &r[0]);
    for (int i = 0; i < 2; i++) MPI_Send(a, 2, MPI_INT, next, 41, copy);
    if (MPI_Wait(&r[0], MPI_STATUS_IGNORE) == MPI_SUCCESS) fail("the message was not too long");
    if (MPI_Recv(b, 1, MPI_INT, before, 41, copy, MPI_STATUS_IGNORE) == MPI_SUCCESS) fail("the message was not too long");
    expect(was, 4, 4, 0);
    MPI_Comm_free(&copy);
}

/* --- arguments --- */

/* Every call that has a peer, with nobody. */
static void nobody(void)
{
    enum { N = MPI_PROC_NULL };
    int a = 1, b = 2, flag, size;
    char buffer[1000];
    MPI_Comm c = MPI_COMM_WORLD;
    MPI_Request r[9];
    MPI_Status status;
    MPI_Message message;
    totals was = read_totals();
    MPI_Buffer_attach(buffer, sizeof buffer);
    MPI_Send(&a, 1, MPI_INT, N, 1, c);
    MPI_Ssend(&a, 1, MPI_INT, N, 1, c);
    MPI_Bsend(&a, 1, MPI_INT, N, 1, c);
    MPI_Rsend(&a, 1, MPI_INT, N, 1, c);
    MPI_Recv(&b, 1, MPI_INT, N, MPI_ANY_TAG, c, &status);
    MPI_Sendrecv(&a, 1, MPI_INT, N, 1, &b, 1, MPI_INT, N, MPI_ANY_TAG, c, MPI_STATUS_IGNORE);
    MPI_Sendrecv_replace(&a, 1, MPI_INT, N, 1, N, 1, c, MPI_STATUS_IGNORE);
    MPI_Probe(N, 1, c, &status);
    MPI_Iprobe(N, 1, c, &flag, &status);
    MPI_Mprobe(N, 1, c, &message, &status);
    MPI_Imrecv(&b, 1, MPI_INT, &message, &r[0]);
    MPI_Wait(&r[0], &status);
    MPI_Improbe(N, 1, c, &flag, &message, &status);
    MPI_Mrecv(&b, 1, MPI_INT, &message, &status);
    for (int i = 0; i < 3; i++) {
        MPI_Isend(&a, 1, MPI_INT, N, 1, c, &r[0]);
        MPI_Issend(&a, 1, MPI_INT, N, 1, c, &r[1]);
        MPI_Ibsend(&a, 1, MPI_INT, N, 1, c, &r[2]);
        MPI_Irsend(&a, 1, MPI_INT, N, 1, c, &r[3]);
        MPI_Irecv(&b, 1, MPI_INT, N, MPI_ANY_TAG, c, &r[4]);
        if (i == 0) MPI_Waitall(5, r, MPI_STATUSES_IGNORE);
        for (int k = 0; i > 0 && k < 5; k++)
            if (i == 1) MPI_Request_get_status(r[k], &flag, &status), MPI_Request_free(&r[k]);
            else MPI_Cancel(&r[k]), MPI_Waitany(5, r, &flag, &status);
    }
    MPI_Send_init(&a, 1, MPI_INT, N, 1, c, &r[0]);
    MPI_Ssend_init(&a, 1, MPI_INT, N, 1, c, &r[1]);
    MPI_Bsend_init(&a, 1, MPI_INT, N, 1, c, &r[2]);
    MPI_Rsend_init(&a, 1, MPI_INT, N, 1, c, &r[3]);
    MPI_Recv_init(&b, 1, MPI_INT, N, MPI_ANY_TAG, c, &r[4]);
    for (int i = 0; i < 2; i++) {
        MPI_Startall(5, r);
        MPI_Waitall(5, r, MPI_STATUSES_IGNORE);
    }
    for (int i = 0; i < 5; i++) MPI_Request_free(&r[i]);
    MPI_Buffer_detach(&message, &size);
    expect(was, 0, 0, 0);
}

static void in_place(void)
{
    int v[64] = { 1 }, root = 0, counts[64], places[64];
    MPI_Comm c = MPI_COMM_WORLD;
    MPI_Request r[3];
    for (int i = 0; i < ranks; i++) {
        counts[i] = 1;
        places[i] = i;
    }
    totals was = read_totals();
    MPI_Allreduce(MPI_IN_PLACE, v, 1, MPI_INT, MPI_SUM, c);
    MPI_Reduce(rank == root ? MPI_IN_PLACE : v, rank == root ? v : NULL, 1, MPI_INT, MPI_SUM, root, c);
    MPI_Gather(rank == root ? MPI_IN_PLACE : v, 1, MPI_INT, v, 1, MPI_INT, root, c);
    MPI_Scatter(v, 1, MPI_INT, rank == root ? MPI_IN_PLACE : v, 1, MPI_INT, root, c);
    MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, v, 1, MPI_INT, c);
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, v, counts, places, MPI_INT, c);
    MPI_Alltoall(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, v, 1, MPI_INT, c);
    MPI_Reduce_scatter_block(MPI_IN_PLACE, v, 1, MPI_INT, MPI_SUM, c);
    MPI_Scan(MPI_IN_PLACE, v, 1, MPI_INT, MPI_SUM, c);
    MPI_Exscan(MPI_IN_PLACE, v, 1, MPI_INT, MPI_SUM, c);
    MPI_Iallreduce(MPI_IN_PLACE, v, 1, MPI_INT, MPI_SUM, c, &r[0]);
    MPI_Wait(&r[0], MPI_STATUS_IGNORE);
    expect(was, 0, 0, 11);
}

/* Nothing in it is a message all the same; and a collective of one rank, or of nothing, may be complete when it is made. */
static void nothing_in_it(void)
{
    int flag;
    MPI_Comm c = MPI_COMM_WORLD;
    MPI_Datatype none;
    MPI_Request r[8];
    totals was = read_totals();
    MPI_Type_contiguous(0, MPI_INT, &none);
    MPI_Type_commit(&none);
    MPI_Sendrecv(NULL, 0, MPI_BYTE, next, 42, NULL, 0, MPI_BYTE, before, 42, c, MPI_STATUS_IGNORE);
    MPI_Irecv(NULL, 3, none, before, 42, c, &r[0]);
    MPI_Isend(NULL, 3, none, next, 42, c, &r[1]);
    MPI_Waitall(2, r, MPI_STATUSES_IGNORE);
    MPI_Bcast(NULL, 0, MPI_INT, 0, c);
    MPI_Allreduce(NULL, NULL, 0, MPI_INT, MPI_SUM, c);
    MPI_Ibcast(NULL, 0, MPI_INT, 0, c, &r[0]);
    MPI_Iallreduce(NULL, NULL, 0, MPI_INT, MPI_SUM, c, &r[1]);
    MPI_Ibarrier(MPI_COMM_SELF, &r[2]);
    MPI_Ibcast(&flag, 1, MPI_INT, 0, MPI_COMM_SELF, &r[3]);
    MPI_Irecv(NULL, 0, MPI_INT, MPI_PROC_NULL, 0, c, &r[4]);
    MPI_Ialltoall(NULL, 0, MPI_INT, NULL, 0, MPI_INT, c, &r[5]);
    MPI_Waitall(6, r, MPI_STATUSES_IGNORE);
    MPI_Type_free(&none);
    expect(was, 2, 2, 7);
}

/* --- files with a shared pointer: those that are ordered are collective --- */

static void shared_files(void)
{
    int v[2] = { rank, rank }, got[1];
    MPI_File file;
    MPI_Request r;
    totals was = read_totals();
    MPI_File_open(MPI_COMM_WORLD, "corners-output", MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL, &file);
    MPI_File_write_ordered(file, v, 2, MPI_INT, MPI_STATUS_IGNORE);
    MPI_File_write_shared(file, v, 1, MPI_INT, MPI_STATUS_IGNORE);
    MPI_File_iwrite_shared(file, v, 1, MPI_INT, &r);
    MPI_Wait(&r, MPI_STATUS_IGNORE);
    expect(was, 0, 0, 2);
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_File_seek_shared(file, 0, MPI_SEEK_SET);
    MPI_File_read_ordered(file, got, 1, MPI_INT, MPI_STATUS_IGNORE);
    if (got[0] != rank / 2) fail("read something else");
    MPI_File_read_ordered_begin(file, got, 1, MPI_INT);
    MPI_File_read_ordered_end(file, got, MPI_STATUS_IGNORE);
    MPI_File_read_shared(file, got, 1, MPI_INT, MPI_STATUS_IGNORE);
    MPI_File_iread_shared(file, got, 1, MPI_INT, &r);
    MPI_Wait(&r, MPI_STATUS_IGNORE);
    MPI_File_close(&file);
    expect(was, 0, 0, 7);
}

/* --- threads that make communicators of the same ranks at once: MPI tells them apart by tag or by parent --- */

static MPI_Comm local[THREADS], bridge[THREADS]; /* Open MPI 4.1 cannot make two over one bridge at once */

static void pass_on(MPI_Comm comm, int to, int from, int tag)
{
    int out = tag, in = 0;
    MPI_Sendrecv(&out, 1, MPI_INT, to, tag, &in, 1, MPI_INT, from, tag, comm, MPI_STATUS_IGNORE);
    if (in != tag) fail("a message went elsewhere");
}

static void *make(void *argument)
{
    int t = (int)(intptr_t)argument;
    MPI_Comm made;
    MPI_Group all;
    MPI_Comm_group(MPI_COMM_WORLD, &all);
    for (int i = 0; i < TURNS; i++) {
        int tag = 1000 + 2 * (t * TURNS + i);
        usleep((unsigned)((rank * 7 + t * 3 + i) % 5) * 100); /* each rank has another order */
        MPI_Comm_create_group(MPI_COMM_WORLD, all, 100 + t, &made);
        pass_on(made, next, before, tag);
        MPI_Comm_free(&made);
        MPI_Intercomm_create(local[t], 0, bridge[t], lower ? half : 0, 200, &made);
        pass_on(made, mate, mate, tag + 1);
        MPI_Comm_free(&made);
    }
    MPI_Group_free(&all);
    return NULL;
}

static void made_at_once(void)
{
    pthread_t thread[THREADS];
    make_halves();
    for (int t = 0; t < THREADS; t++) MPI_Comm_dup(mine, &local[t]), MPI_Comm_dup(MPI_COMM_WORLD, &bridge[t]);
    for (int t = 0; t < THREADS; t++) pthread_create(&thread[t], NULL, make, (void *)(intptr_t)t);
    for (int t = 0; t < THREADS; t++) pthread_join(thread[t], NULL);
    for (int tag = 1000; tag < 1000 + 2 * THREADS * TURNS; tag += 2) {
        same_id(next, tag);
        same_id(facing, tag + 1);
    }
    for (int t = 0; t < THREADS; t++) MPI_Comm_free(&local[t]), MPI_Comm_free(&bridge[t]);
    free_halves();
}

/* A thread level of its own on each rank: the ids are the same all the same. */
static void mixed_levels(void)
{
    int level;
    MPI_Query_thread(&level);
    if ((rank == 0) != (level == MPI_THREAD_MULTIPLE)) fail("not the level that was asked for");
    MPI_Comm copy;
    MPI_Comm_dup(MPI_COMM_WORLD, &copy);
    pass_on(copy, next, before, 54);
    same_id(next, 54);
    make_halves();
    pass_on(across, mate, mate, 55);
    same_id(facing, 55);
    free_halves();
    MPI_Comm_free(&copy);
}

/* --- other processes --- */

/* The parent's half; the child's is in main. */
static void spawned(void)
{
    int word = rank, answer = 0, codes[2];
    MPI_Comm children;
    MPI_Comm_spawn(program, (char *[]){ "child", NULL }, 2, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &children, codes);
    if (rank == 0) {
        MPI_Send(&word, 1, MPI_INT, 1, 50, children);
        MPI_Recv(&answer, 1, MPI_INT, 1, 50, children, MPI_STATUS_IGNORE);
        if (answer != 51) fail("the child answers something else");
    }
    MPI_Comm_disconnect(&children);
}

static int child(MPI_Comm parent)
{
    int at, word;
    belay_status status;
    MPI_Comm_rank(MPI_COMM_WORLD, &at);
    int code = belay_recover(&status);
    if (at == 1) {
        MPI_Recv(&word, 1, MPI_INT, 0, 50, parent, MPI_STATUS_IGNORE);
        word += 51;
        MPI_Send(&word, 1, MPI_INT, 0, 50, parent);
    }
    printf("child %d: recover %d checkpoint %d\n", at, code, belay_checkpoint(NULL));
    MPI_Comm_disconnect(&parent);
    MPI_Finalize();
    return 0;
}

/* The two halves of the job meet at a port, as strangers do. */
static void port(void)
{
    int word = rank, got = -1;
    char name[MPI_MAX_PORT_NAME] = "";
    MPI_Comm others;
    make_halves();
    if (rank == 0) MPI_Open_port(MPI_INFO_NULL, name);
    MPI_Bcast(name, MPI_MAX_PORT_NAME, MPI_CHAR, 0, MPI_COMM_WORLD);
    if (lower) MPI_Comm_accept(name, MPI_INFO_NULL, 0, mine, &others);
    else MPI_Comm_connect(name, MPI_INFO_NULL, 0, mine, &others);
    MPI_Sendrecv(&word, 1, MPI_INT, mate, 52, &got, 1, MPI_INT, mate, 52, others, MPI_STATUS_IGNORE);
    if (got != facing) fail("somebody else was connected");
    MPI_Comm_disconnect(&others);
    if (rank == 0) MPI_Close_port(name);
    free_halves();
}

/* Ranks 0 and 1 have a socket. */
static void joined(void)
{
    int word = rank, got = -1, listener = -1, fd = -1;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    MPI_Comm other;
    if (rank < 2) fd = socket(AF_INET, SOCK_STREAM, 0);
    if (rank == 0) {
        listener = fd;
        if (bind(fd, (struct sockaddr *)&at, size) || listen(fd, 1) || getsockname(fd, (struct sockaddr *)&at, &size)) fail("no socket");
    }
    MPI_Bcast(&at, (int)sizeof at, MPI_BYTE, 0, MPI_COMM_WORLD);
    if (rank == 1 && connect(fd, (struct sockaddr *)&at, size)) fail("no connection");
    if (rank == 0) fd = accept(listener, NULL, NULL);
    if (rank < 2) {
        MPI_Comm_join(fd, &other);
        MPI_Sendrecv(&word, 1, MPI_INT, 0, 53, &got, 1, MPI_INT, 0, 53, other, MPI_STATUS_IGNORE);
        if (got != !rank) fail("somebody else has joined");
        MPI_Comm_disconnect(&other);
        close(fd);
    }
    if (rank == 0) close(listener);
    MPI_Barrier(MPI_COMM_WORLD);
}

/* Of MPI 4. */
#ifdef BL_HAVE_MPI4
static void isendrecv(void)
{
    int word = rank, got = -1;
    MPI_Request both;
    MPI_Isendrecv(&word, 1, MPI_INT, (rank + 1) % ranks, 54, &got, 1, MPI_INT, (rank + ranks - 1) % ranks, 54, MPI_COMM_WORLD, &both);
    MPI_Wait(&both, MPI_STATUS_IGNORE);
    if (got != (rank + ranks - 1) % ranks) fail("MPI_Isendrecv has brought something else");
}

static void barrier_init(void)
{
    MPI_Request barrier;
    MPI_Barrier_init(MPI_COMM_WORLD, MPI_INFO_NULL, &barrier);
    for (int i = 0; i < 3; i++) {
        MPI_Start(&barrier);
        MPI_Wait(&barrier, MPI_STATUS_IGNORE);
    }
    MPI_Request_free(&barrier);
}
#endif

/* --- */

static void clean(void)
{
    MPI_Barrier(MPI_COMM_WORLD);
    int code = belay_checkpoint(NULL);
    printf("%s rank %d: checkpoint code %d %s\n", way, rank, code, code ? belay_error_text() : "");
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(void); } ways[] = {
        { "inter", inter }, { "inter_collectives", inter_collectives }, { "freed", freed }, { "cancelled", cancelled },
        { "shown", shown }, { "let_go", let_go }, { "persistent", persistent }, { "empty", empty }, { "truncated", truncated },
        { "nobody", nobody }, { "in_place", in_place }, { "nothing_in_it", nothing_in_it }, { "shared_files", shared_files },
        { "made_at_once", made_at_once }, { "mixed_levels", mixed_levels }, { "spawned", spawned }, { "port", port },
        { "joined", joined },
#ifdef BL_HAVE_MPI4
        { "isendrecv", isendrecv }, { "barrier_init", barrier_init },
#endif
    };
    const char *first = argc > 1 ? argv[1] : "", *number = getenv("OMPI_COMM_WORLD_RANK");
    int level, multiple = !strcmp(first, "made_at_once") || (!strcmp(first, "mixed_levels") && number && !strcmp(number, "0"));
    MPI_Comm parent;
    MPI_Init_thread(&argc, &argv, multiple ? MPI_THREAD_MULTIPLE : MPI_THREAD_SINGLE, &level);
    MPI_Comm_get_parent(&parent);
    if (parent != MPI_COMM_NULL) return child(parent);
    program = argv[0];
    totals_begin();
    belay_checkpoint(NULL); /* the start: nothing is due */
    for (int i = 1; i < argc; i++)
        for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
            if (strcmp(argv[i], ways[k].name)) continue;
            way = ways[k].name;
            ways[k].run();
            printf("%s rank %d: the truth\n", way, rank);
            clean();
        }
    MPI_Finalize();
    return 0;
}
