/* lag - messages that are under way at every safe point: each is received LAG steps after it was sent, and every step receives
 * before it sends.  No line without a message across it exists but the start; with checkpoint=induced there are many, and
 * what is in transit on them is sent again after a restart.
 *
 *     lag STEPS SEED [LAG]
 *
 * All ranks draw the same numbers, so each knows what is sent to it, on which communicator, with which tag, size and datatype,
 * and receives it in one of the ways there are.  What a rank computes depends on every value and on the order in each channel;
 * the result is the same whatever the order in which different channels are served.
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <belay.h>

enum { EACH = 3, COMMS = 4, TAGS = 2, WORDS = 4096, AT_ONCE = 64 };

typedef struct letter { int from, to, comm, tag, words, how, sparse; uint64_t value; } letter;

static int rank, ranks, step, steps, lag = 1;
static uint64_t seed, mine;
static MPI_Comm comm[COMMS];
static MPI_Datatype gaps; /* one word, then a gap of one */

static uint64_t mix(uint64_t a, uint64_t b)
{
    a = (a ^ b) * 0x9e3779b97f4a7c15u;
    return a ^ (a >> 29);
}

static void fail(const char *what, const letter *l)
{
    printf("rank %d step %d: WRONG: %s (from %d, tag %d, communicator %d, %d words, way %d)\n", rank, step, what, l->from, l->tag,
           l->comm, l->words, l->how);
    fflush(stdout);
    MPI_Abort(MPI_COMM_WORLD, 9);
}

/* The k-th letter of rank `from` in step s.  It is to somebody else, on a communicator both are in. */
static letter write_letter(int s, int from, int k)
{
    uint64_t r = mix(mix(seed, (uint64_t)s * 64 + (uint64_t)k), (uint64_t)from + 1);
    letter l = { .from = from, .comm = (int)(r % COMMS), .tag = (int)(r / 7 % TAGS), .how = (int)(r / 31 % 7),
                 .sparse = r / 301 % 3 == 0, .value = r };
    l.to = (from + 1 + (int)(r / 1009 % (uint64_t)(ranks - 1))) % ranks;
    if (l.comm == 2 && (l.to ^ from) & 1) l.comm = 0; /* that one is of the even, or of the odd ranks */
    l.words = (int)(r / 2003 % 5 == 0 ? r / 4001 % WORDS : r / 4001 % 40);
    return l;
}

static int place(int world, int c)
{
    return c == 2 ? world / 2 : c == 3 ? ranks - 1 - world : world;
}

static void fill(const letter *l, uint64_t *word, int stride)
{
    for (int i = 0; i < l->words; i++) word[i * stride] = mix(l->value, (uint64_t)i);
}

static void send(const letter *l, uint64_t own)
{
    static uint64_t word[2 * WORDS];
    int stride = l->sparse ? 2 : 1;
    fill(l, word, stride);
    if (l->words) word[0] ^= own; /* what the sender has become is part of it */
    MPI_Bsend(word, l->words, l->sparse ? gaps : MPI_UINT64_T, place(l->to, l->comm), l->tag, comm[l->comm]);
}

static void check(const letter *l, uint64_t *word, int stride, MPI_Status *status)
{
    int count, words = -1;
    MPI_Get_count(status, stride == 2 ? gaps : MPI_UINT64_T, &words);
    MPI_Get_count(status, MPI_BYTE, &count);
    if (words != l->words) fail("count", l);
    if (status->MPI_SOURCE != place(l->from, l->comm) || status->MPI_TAG != l->tag) fail("status", l);
    for (int i = 1; i < l->words; i++)
        if (word[i * stride] != mix(l->value, (uint64_t)i)) fail("contents", l);
    if (l->words) mine = mix(mine, word[0] + (uint64_t)l->from);
}

static void receive(const letter *l)
{
    static uint64_t word[2 * WORDS + 2];
    int stride = (l->how + l->tag) % 2 + 1, from = place(l->from, l->comm), flag = 0;
    MPI_Datatype type = stride == 2 ? gaps : MPI_UINT64_T;
    MPI_Comm c = comm[l->comm];
    MPI_Status status;
    MPI_Request request;
    MPI_Message message;
    memset(word, 0xa5, sizeof word);
    switch (l->how) {
    case 0: MPI_Recv(word, WORDS, type, from, l->tag, c, &status); break;
    case 1:
        MPI_Irecv(word, WORDS, type, from, l->tag, c, &request);
        MPI_Wait(&request, &status);
        break;
    case 2:
        MPI_Probe(from, l->tag, c, &status);
        MPI_Recv(word, WORDS, type, status.MPI_SOURCE, status.MPI_TAG, c, &status);
        break;
    case 3:
        MPI_Mprobe(from, l->tag, c, &message, &status);
        MPI_Mrecv(word, WORDS, type, &message, &status);
        break;
    case 4:
        while (!flag) MPI_Improbe(from, l->tag, c, &flag, &message, &status);
        MPI_Imrecv(word, WORDS, type, &message, &request);
        MPI_Waitall(1, &request, &status);
        break;
    case 5:
        MPI_Recv_init(word, WORDS, type, from, l->tag, c, &request);
        MPI_Start(&request);
        MPI_Waitany(1, &request, &flag, &status);
        MPI_Request_free(&request);
        break;
    default:
        MPI_Irecv(word, WORDS, type, from, l->tag, c, &request);
        while (!flag) MPI_Test(&request, &flag, &status);
        break;
    }
    check(l, word, stride, &status);
}

static void receive_all(int s)
{
    for (int from = 0; s >= 0 && from < ranks; from++)
        for (int k = 0; k < EACH; k++) {
            letter l = write_letter(s, from, k);
            if (l.to == rank) receive(&l);
        }
}

static void send_all(int s)
{
    for (int k = 0; k < EACH; k++) {
        letter l = write_letter(s, rank, k);
        send(&l, mine);
    }
}

/* One of them is made only after belay_recover. */
static void make_communicators(int early)
{
    if (!early) {
        MPI_Comm_split(MPI_COMM_WORLD, 0, ranks - rank, &comm[3]);
        return;
    }
    comm[0] = MPI_COMM_WORLD;
    MPI_Comm_dup(MPI_COMM_WORLD, &comm[1]);
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, rank, &comm[2]);
    int token = 0; /* what is done before belay_recover is done again at every start, on channels that are used later too */
    MPI_Sendrecv_replace(&token, 1, MPI_INT, (rank + 1) % ranks, 0, (rank + ranks - 1) % ranks, 0, comm[1], MPI_STATUS_IGNORE);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    steps = argc > 1 ? atoi(argv[1]) : 100;
    seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    lag = argc > 3 ? atoi(argv[3]) : 1;
    mine = mix(seed, (uint64_t)rank);
    size_t room = (size_t)AT_ONCE * (WORDS * sizeof(uint64_t) + MPI_BSEND_OVERHEAD);
    void *buffer = malloc(room);
    MPI_Buffer_attach(buffer, (int)room);
    MPI_Type_create_resized(MPI_UINT64_T, 0, 2 * sizeof(uint64_t), &gaps);
    MPI_Type_commit(&gaps);
    make_communicators(1);
    belay_protect("step", &step, 1, MPI_INT);
    belay_protect("mine", &mine, 1, MPI_UINT64_T);
    belay_recover(NULL);
    make_communicators(0);
    for (; step < steps + lag; step++) {
        belay_checkpoint(NULL);
        receive_all(step - lag);
        nanosleep(&(struct timespec){ .tv_nsec = 200000 + (long)(mix(seed, (uint64_t)(step * ranks + rank)) % 800000) }, NULL);
        if (step < steps) send_all(step);
    }
    uint64_t all;
    MPI_Reduce(&mine, &all, 1, MPI_UINT64_T, MPI_BXOR, 0, MPI_COMM_WORLD);
    if (rank == 0) printf("result %016llx\n", (unsigned long long)all);
    MPI_Buffer_detach(&buffer, &(int){ 0 });
    free(buffer);
    MPI_Finalize();
    return 0;
}
