/* carried - what must be as without Belay when something rides on messages, one way each; also run without.
 *
 *     carried WAY...      two ranks or more; the first two do it
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <belay.h>

enum { INLINE = 16448, MANY = 300, LARGE = 1 << 20 };
static const int sizes[] = { 0, 1, 8, 100, 3951, 3952, 3953, 5000, INLINE - 17, INLINE - 16, INLINE - 15, INLINE - 1, INLINE, INLINE + 1, 100000, LARGE };
enum { SIZES = sizeof sizes / sizeof *sizes };

static int rank, ranks;
static const char *way;
static char program[4096];
static char out[LARGE + 64], in[LARGE + 64];

static void fail(const char *what, long detail)
{
    printf("%s rank %d: WRONG: %s (%ld)\n", way, rank, what, detail);
    fflush(stdout);
    MPI_Abort(MPI_COMM_WORLD, 9);
    abort();
}

static void check(int good, const char *what, long detail)
{
    if (!good) fail(what, detail);
}

static int class_of(int rc)
{
    int class;
    MPI_Error_class(rc, &class);
    return class;
}

/* The receive is open before anything is sent, and nothing is sent before it is open: who posts it later hangs. */
static void hang(void)
{
    MPI_Request r;
    for (int k = 0; k < 2 * SIZES; k++) {
        int bytes = sizes[k % SIZES], synchronous = k >= SIZES;
        if (rank == 0) MPI_Irecv(in, LARGE, MPI_BYTE, 1, 1, MPI_COMM_WORLD, &r);
        if (rank == 1 && !synchronous) MPI_Send(out, bytes, MPI_BYTE, 0, 1, MPI_COMM_WORLD);
        if (rank == 1 && synchronous) MPI_Ssend(out, bytes, MPI_BYTE, 0, 1, MPI_COMM_WORLD);
        MPI_Barrier(MPI_COMM_WORLD);
        if (rank == 0) MPI_Wait(&r, MPI_STATUS_IGNORE);
    }
}

/* Longer than the buffer, by each way a message can travel; what comes after is as it should be.  Open MPI 4.1.4 writes all of a
 * message that it does not send at once, whatever the receive has said: of those only where that does no harm here. */
static void truncate_one(int bytes, int room, int how)
{
    MPI_Request r[3];
    MPI_Status s[3];
    int rc, one = 5, got = 0, other = 0;
    if (rank == 1) {
        MPI_Send(&one, 1, MPI_INT, 0, 3, MPI_COMM_WORLD);
        MPI_Send(out, bytes, MPI_BYTE, 0, 4, MPI_COMM_WORLD);
        MPI_Send(&one, 1, MPI_INT, 0, 5, MPI_COMM_WORLD);
    }
    if (rank != 0) return;
    if (how == 0) {
        MPI_Recv(&got, 1, MPI_INT, 1, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        rc = MPI_Recv(in, room, MPI_BYTE, 1, 4, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        check(class_of(rc) == MPI_ERR_TRUNCATE, "MPI_Recv did not say that the message was too long", bytes);
        MPI_Recv(&other, 1, MPI_INT, 1, 5, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    } else {
        MPI_Irecv(&got, 1, MPI_INT, 1, 3, MPI_COMM_WORLD, &r[0]);
        MPI_Irecv(in, room, MPI_BYTE, 1, 4, MPI_COMM_WORLD, &r[1]);
        MPI_Irecv(&other, 1, MPI_INT, 1, 5, MPI_COMM_WORLD, &r[2]);
        if (how == 1) {
            rc = MPI_Wait(&r[1], MPI_STATUS_IGNORE);
            check(class_of(rc) == MPI_ERR_TRUNCATE, "MPI_Wait did not say that the message was too long", bytes);
            check(MPI_Waitall(3, r, s) == MPI_SUCCESS, "MPI_Waitall failed", bytes);
        } else {
            for (int i = 0; i < 3; i++) { /* all have come: then MPI says of each what became of it */
                int flag = 0;
                while (!flag) MPI_Request_get_status(r[i == 1 ? 2 : i], &flag, MPI_STATUS_IGNORE);
            }
            rc = MPI_Waitall(3, r, s);
            check(class_of(rc) == MPI_ERR_IN_STATUS, "MPI_Waitall did not say that it is in a status", class_of(rc));
            check(s[0].MPI_ERROR == MPI_SUCCESS && class_of(s[1].MPI_ERROR) == MPI_ERR_TRUNCATE, "the statuses do not say which", bytes);
        }
    }
    check(got == 5 && other == 5, "what came before or after it was lost", bytes);
}

static void truncated(void)
{
    static const int pairs[][2] = { { 8, 4 }, { 1, 0 }, { 100, 99 }, { 3953, 10 }, { 4000, 3990 }, { INLINE - 16, 16 }, { INLINE - 15, INLINE - 16 },
                                    { INLINE - 10, 3 }, { INLINE, INLINE - 1 }, { INLINE, INLINE - 15 }, { INLINE + 1, INLINE },
                                    { 100000, 50000 } }; /* Open MPI 4.1 writes a long one past what is too short for it */
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (int how = 0; how < 3; how++) {
            if (pairs[i][0] > INLINE + 16 && how == 2) continue; /* MPI may not have looked at it yet */
            truncate_one(pairs[i][0], pairs[i][1], how);
            MPI_Barrier(MPI_COMM_WORLD);
        }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
}

static void arguments(void)
{
    MPI_Request r;
    MPI_Datatype raw;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Type_vector(2, 1, 3, MPI_INT, &raw);
    check(class_of(MPI_Send(out, -1, MPI_BYTE, rank, 0, MPI_COMM_WORLD)) == MPI_ERR_COUNT, "a negative count", 0);
    check(class_of(MPI_Send(out, 1, MPI_DATATYPE_NULL, rank, 0, MPI_COMM_WORLD)) == MPI_ERR_TYPE, "no type", 0);
    check(class_of(MPI_Send(out, 1, MPI_BYTE, ranks, 0, MPI_COMM_WORLD)) == MPI_ERR_RANK, "no such rank", 0);
    check(class_of(MPI_Send(out, 1, MPI_BYTE, (rank + 1) % ranks, -7, MPI_COMM_WORLD)) == MPI_ERR_TAG, "no such tag", 0);
    check(class_of(MPI_Recv(in, -1, MPI_BYTE, rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE)) == MPI_ERR_COUNT, "a negative count to receive", 0);
    check(class_of(MPI_Irecv(in, 1, MPI_BYTE, ranks, 0, MPI_COMM_WORLD, &r)) == MPI_ERR_RANK, "no such rank to receive from", 0);
    check(class_of(MPI_Recv(in, 1, MPI_DATATYPE_NULL, rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE)) == MPI_ERR_TYPE, "no type to receive", 0);
    check(class_of(MPI_Isend(out, 1, raw, (rank + 1) % ranks, 0, MPI_COMM_WORLD, &r)) == MPI_ERR_TYPE, "a type that is not committed", 0);
    MPI_Type_free(&raw);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
}

/* Is not complete before its receive is open, however small. */
static void synchronous(void)
{
    MPI_Request r;
    int flag = 0;
    for (int k = 0; k < SIZES; k++) {
        if (rank == 1) {
            MPI_Issend(out, sizes[k], MPI_BYTE, 0, 6, MPI_COMM_WORLD, &r);
            for (int i = 0; i < 200; i++) {
                MPI_Test(&r, &flag, MPI_STATUS_IGNORE);
                check(!flag, "a synchronous send was complete before its receive", sizes[k]);
                if (i % 20 == 0) usleep(500);
            }
        }
        MPI_Barrier(MPI_COMM_WORLD);
        if (rank == 0) MPI_Recv(in, LARGE, MPI_BYTE, 1, 6, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (rank == 1) MPI_Wait(&r, MPI_STATUS_IGNORE);
    }
}

/* With a buffer of just the size that MPI asks for. */
static void buffered(void)
{
    int packed, total = 0, size;
    void *given;
    for (int k = 0; k < SIZES; k++) {
        MPI_Pack_size(sizes[k], MPI_BYTE, MPI_COMM_WORLD, &packed);
        total += packed + MPI_BSEND_OVERHEAD;
    }
    char *buffer = malloc((size_t)total);
    check(buffer != NULL, "out of memory", total);
    for (int round = 0; round < 3; round++) {
        MPI_Buffer_attach(buffer, total);
        for (int k = 0; k < SIZES && rank == 1; k++) {
            memset(out, k + 1, (size_t)sizes[k]);
            MPI_Bsend(out, sizes[k], MPI_BYTE, 0, 7, MPI_COMM_WORLD);
            memset(out, 0, (size_t)sizes[k]);
        }
        for (int k = 0; k < SIZES && rank == 0; k++) {
            MPI_Recv(in, LARGE, MPI_BYTE, 1, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            for (int i = 0; i < sizes[k]; i++) check(in[i] == k + 1, "what was buffered has changed", sizes[k]);
        }
        MPI_Buffer_detach(&given, &size);
        check(given == buffer && size == total, "another buffer came back", size);
    }
    free(buffer);
}

static void ready(void)
{
    MPI_Request r;
    for (int k = 0; k < SIZES; k++) {
        if (rank == 0) MPI_Irecv(in, LARGE, MPI_BYTE, 1, 8, MPI_COMM_WORLD, &r);
        MPI_Barrier(MPI_COMM_WORLD);
        if (rank == 1 && k % 2) MPI_Rsend(out, sizes[k], MPI_BYTE, 0, 8, MPI_COMM_WORLD);
        if (rank == 1 && k % 2 == 0) {
            MPI_Irsend(out, sizes[k], MPI_BYTE, 0, 8, MPI_COMM_WORLD, &r);
            MPI_Wait(&r, MPI_STATUS_IGNORE);
        }
        if (rank == 0) MPI_Wait(&r, MPI_STATUS_IGNORE);
    }
}

/* A receive whose request is given back is received all the same. */
static void freed(void)
{
    MPI_Request r;
    int flag;
    for (int k = 1; k < SIZES; k++) {
        volatile char *last = &in[sizes[k] - 1];
        *last = 0;
        if (rank == 0) {
            MPI_Irecv(in, sizes[k], MPI_BYTE, 1, 9, MPI_COMM_WORLD, &r);
            MPI_Request_free(&r);
        }
        MPI_Barrier(MPI_COMM_WORLD);
        memset(out, 77, (size_t)sizes[k]);
        if (rank == 1) MPI_Send(out, sizes[k], MPI_BYTE, 0, 9, MPI_COMM_WORLD);
        while (rank == 0 && *last != 77) MPI_Iprobe(0, 99, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
    }
}

static void nobody(void)
{
    MPI_Status s;
    MPI_Message m;
    MPI_Request r;
    int count;
    MPI_Recv(in, 8, MPI_BYTE, MPI_PROC_NULL, 1, MPI_COMM_WORLD, &s);
    MPI_Get_count(&s, MPI_BYTE, &count);
    check(s.MPI_SOURCE == MPI_PROC_NULL && count == 0, "a receive from nobody", count);
    MPI_Irecv(in, 8, MPI_BYTE, MPI_PROC_NULL, 1, MPI_COMM_WORLD, &r);
    MPI_Wait(&r, &s);
    MPI_Get_count(&s, MPI_BYTE, &count);
    check(s.MPI_SOURCE == MPI_PROC_NULL && count == 0, "a receive from nobody, waited for", count);
    MPI_Mprobe(MPI_PROC_NULL, 1, MPI_COMM_WORLD, &m, &s);
    check(m == MPI_MESSAGE_NO_PROC, "a message from nobody", 0);
    MPI_Imrecv(in, 8, MPI_BYTE, &m, &r);
    MPI_Wait(&r, &s);
    check(s.MPI_SOURCE == MPI_PROC_NULL, "a message from nobody, received", s.MPI_SOURCE);
    MPI_Sendrecv(out, 8, MPI_BYTE, MPI_PROC_NULL, 1, in, 8, MPI_BYTE, MPI_PROC_NULL, 1, MPI_COMM_WORLD, &s);
    check(s.MPI_SOURCE == MPI_PROC_NULL, "nobody both ways", s.MPI_SOURCE);
}

/* So many large ones that all places for their trailers are taken, received in the order sent but waited for in another. */
static void many(void)
{
    static MPI_Request r[MANY];
    for (int i = 0; i < MANY; i++) {
        int bytes = INLINE + 1 + i % 50;
        if (rank == 1) MPI_Isend(out, bytes, MPI_BYTE, 0, i % 3, MPI_COMM_WORLD, &r[i]);
    }
    if (rank == 1) MPI_Waitall(MANY, r, MPI_STATUSES_IGNORE);
    if (rank != 0) return;
    for (int t = 2; t >= 0; t--)
        for (int i = t; i < MANY; i += 3) MPI_Irecv(in, LARGE, MPI_BYTE, 1, t, MPI_COMM_WORLD, &r[i]);
    for (int i = MANY; i-- > 0;) MPI_Wait(&r[i], MPI_STATUS_IGNORE);
}

/* A process that is not in MPI_COMM_WORLD, and runs without Belay. */
static void talk_to(MPI_Comm other, int first)
{
    MPI_Status s;
    int count;
    for (int k = 0; k < SIZES; k++) {
        if (first) MPI_Send(out, sizes[k], MPI_BYTE, 0, 3, other);
        MPI_Recv(in, LARGE, MPI_BYTE, MPI_ANY_SOURCE, 3, other, &s);
        MPI_Get_count(&s, MPI_BYTE, &count);
        check(count == sizes[k], "a message from outside has another size", count);
        if (!first) MPI_Send(out, sizes[k], MPI_BYTE, 0, 3, other);
    }
}

static void foreign(void)
{
    MPI_Comm child;
    char *arguments_of_child[] = { (char[]){ "child" }, NULL };
    MPI_Comm_spawn(program, arguments_of_child, 1, MPI_INFO_NULL, 0, MPI_COMM_SELF, &child, MPI_ERRCODES_IGNORE);
    talk_to(child, 1);
    MPI_Comm_disconnect(&child);
}

/* Before it is installed libtool's script beside .libs is what can be started. */
static void find_program(const char *name)
{
    char *libs;
    snprintf(program, sizeof program, "%s", name);
    if ((libs = strstr(program, "/.libs/")) != NULL) memmove(libs + 1, libs + 7, strlen(libs + 7) + 1);
}

static void foreign_one(void)
{
    if (rank == 0) foreign();
}

static int child(int argc, char **argv)
{
    MPI_Comm parent;
    setenv("BELAY_OFF", "1", 1);
    way = "child";
    MPI_Init(&argc, &argv);
    MPI_Comm_get_parent(&parent);
    talk_to(parent, 0);
    MPI_Comm_disconnect(&parent);
    MPI_Finalize();
    return 0;
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(void); } ways[] = {
        { "hang", hang }, { "truncated", truncated }, { "arguments", arguments }, { "synchronous", synchronous }, { "buffered", buffered },
        { "ready", ready }, { "freed", freed }, { "nobody", nobody }, { "many", many }, { "foreign", foreign_one },
    };
    if (argc > 1 && !strcmp(argv[1], "child")) return child(argc, argv);
    int level, threads = argc > 1 && !strcmp(argv[1], "threads");
    find_program(argv[0]);
    MPI_Init_thread(&argc, &argv, threads ? MPI_THREAD_MULTIPLE : MPI_THREAD_SINGLE, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    belay_recover(NULL);
    for (int i = 1; i < argc; i++)
        for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
            if (strcmp(argv[i], ways[k].name)) continue;
            way = ways[k].name;
            ways[k].run();
            MPI_Barrier(MPI_COMM_WORLD);
            printf("%s rank %d: as without\n", way, rank);
        }
    MPI_Finalize();
    return 0;
}
