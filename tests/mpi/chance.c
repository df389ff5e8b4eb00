/* chance - a program whose course depends on which message comes first: for message logging.
 *
 *     chance SEED ROUNDS [CALL]     CALL: one that cannot be logged
 *
 * In each round every rank sends messages to ranks that all know, with contents that depend on all it has seen so far, and
 * receives those meant for it in one of many ways; the order in which they came, and how often a test failed, go into what it
 * sends next.  Each channel's messages are hashed at both ends, and in the end both must have seen the same: a rank that after
 * a failure did not repeat what others have seen of it, a message lost, or one delivered twice, shows.
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <belay.h>

enum { RANKS = 16, MOST = 6, BYTES = 70000, TAGS = 3 };

static int rank, ranks, round_;
static uint64_t seed, state, sent_hash[RANKS], received_hash[RANKS];
static MPI_Comm other;
static char out[RANKS * MOST][BYTES], in[RANKS * MOST][BYTES];

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 29;
    x *= 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 32;
}

/* The same on all ranks. */
static unsigned common(unsigned what, unsigned below)
{
    return (unsigned)(mix(seed ^ mix((uint64_t)round_ * 1000003u + what)) % below);
}

static uint64_t hash_of(const char *data, int bytes)
{
    uint64_t h = (uint64_t)bytes;
    for (int i = 0; i < bytes; i++) h = (h ^ (unsigned char)data[i]) * 0x100000001b3u;
    return h;
}

static int many(int from, int to)
{
    return from == to ? 0 : (int)common((unsigned)(from * RANKS + to), MOST / 2 + 1);
}

static int bytes_of(int from, int to, int k)
{
    unsigned r = common((unsigned)(5000 + (from * RANKS + to) * MOST + k), 100);
    return r < 40 ? (int)r : r < 80 ? (int)(r * 50) : r < 97 ? (int)r * 200 : BYTES - (int)r;
}

static MPI_Comm comm_of(void)
{
    return common(1, 3) == 0 ? other : MPI_COMM_WORLD;
}

static void fill(int to, int k, char *data, int bytes)
{
    uint64_t x = mix(state + (uint64_t)(to * MOST + k));
    for (int i = 0; i < bytes; i++) data[i] = (char)(i % 8 == 0 ? (x = mix(x)) : x >> (i % 8 * 8));
    sent_hash[to] += mix(hash_of(data, bytes)); /* in any order: requests complete in another than they match */
}

static void saw(int from, const char *data, int bytes)
{
    received_hash[from] += mix(hash_of(data, bytes));
    state = mix(state * 31 + (uint64_t)from * 7 + hash_of(data, bytes));
}

static void saw_status(const MPI_Status *s, const char *data)
{
    int bytes;
    MPI_Get_count(s, MPI_BYTE, &bytes);
    saw(s->MPI_SOURCE, data, bytes);
}

/* --- ways to receive `count` messages from anybody --- */

static void by_recv(int count, MPI_Comm c)
{
    MPI_Status s;
    for (int i = 0; i < count; i++) {
        MPI_Recv(in[i], BYTES, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, c, &s);
        saw_status(&s, in[i]);
    }
}

static void by_probe(int count, MPI_Comm c, int waits)
{
    for (int i = 0; i < count; i++) {
        MPI_Status s;
        int there = waits, bytes;
        unsigned failed = 0;
        if (waits) MPI_Probe(MPI_ANY_SOURCE, MPI_ANY_TAG, c, &s);
        for (; !there; failed += !there) MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, c, &there, &s);
        MPI_Get_count(&s, MPI_BYTE, &bytes);
        MPI_Recv(in[i], bytes, MPI_BYTE, s.MPI_SOURCE, s.MPI_TAG, c, &s);
        saw_status(&s, in[i]);
        state += failed;
    }
}

static void post(int count, MPI_Comm c, MPI_Request *r)
{
    for (int i = 0; i < count; i++) MPI_Irecv(in[i], BYTES, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, c, &r[i]);
}

static void by_any(int count, MPI_Comm c, int tests)
{
    MPI_Request r[RANKS * MOST];
    post(count, c, r);
    for (int i = 0, at, there = 1; i < count; i += there) {
        MPI_Status s;
        if (tests) MPI_Testany(count, r, &at, &there, &s);
        else MPI_Waitany(count, r, &at, &s);
        if (there) saw_status(&s, in[at]);
        else state++;
    }
}

static void by_some(int count, MPI_Comm c, int tests)
{
    MPI_Request r[RANKS * MOST];
    MPI_Status s[RANKS * MOST];
    int at[RANKS * MOST], got;
    post(count, c, r);
    for (int i = 0; i < count; i += got) {
        if (tests) MPI_Testsome(count, r, &got, at, s);
        else MPI_Waitsome(count, r, &got, at, s);
        for (int k = 0; k < got; k++) saw_status(&s[k], in[at[k]]);
        state += (uint64_t)got;
    }
}

static void by_all(int count, MPI_Comm c, int tests)
{
    MPI_Request r[RANKS * MOST];
    MPI_Status s[RANKS * MOST];
    int there = !tests;
    post(count, c, r);
    if (!tests) MPI_Waitall(count, r, s);
    while (!there) {
        MPI_Testall(count, r, &there, s);
        state++;
    }
    for (int i = 0; i < count; i++) saw_status(&s[i], in[i]);
}

static void by_test(int count, MPI_Comm c)
{
    MPI_Request r[RANKS * MOST];
    post(count, c, r);
    for (int i = count - 1; i >= 0; i--) {
        MPI_Status s;
        int there = 0;
        for (int k = 0; k < 3 && !there; k++) {
            MPI_Request_get_status(r[i], &there, &s);
            state++;
        }
        for (there = 0; !there; state++) MPI_Test(&r[i], &there, &s);
        saw_status(&s, in[i]);
    }
}

/* From each sender its own, some of them while one from anybody is open. */
static void by_name(MPI_Comm c, int open)
{
    MPI_Request r[RANKS * MOST], wild = MPI_REQUEST_NULL;
    MPI_Status s;
    int posted = 0, left = 0;
    for (int from = 0; from < ranks; from++) left += many(from, rank);
    if (open && left) {
        MPI_Irecv(in[RANKS * MOST - 1], BYTES, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, c, &wild);
        MPI_Wait(&wild, &s);
        saw_status(&s, in[RANKS * MOST - 1]);
    }
    for (int from = 0; from < ranks; from++)
        for (int k = open && left && s.MPI_SOURCE == from; k < many(from, rank); k++)
            MPI_Irecv(in[posted], BYTES, MPI_BYTE, from, MPI_ANY_TAG, c, &r[posted]), posted++;
    for (int i = 0; i < posted; i++) {
        MPI_Wait(&r[i], &s);
        saw_status(&s, in[i]);
    }
}

static void receive(MPI_Comm c)
{
    int count = 0;
    for (int from = 0; from < ranks; from++) count += many(from, rank);
    switch (mix(state) % 12) {
    case 0: by_recv(count, c); break;
    case 1: by_probe(count, c, 1); break;
    case 2: by_probe(count, c, 0); break;
    case 3: by_any(count, c, 0); break;
    case 4: by_any(count, c, 1); break;
    case 5: by_some(count, c, 0); break;
    case 6: by_some(count, c, 1); break;
    case 7: by_all(count, c, 0); break;
    case 8: by_all(count, c, 1); break;
    case 9: by_test(count, c); break;
    case 10: by_name(c, 0); break;
    default: by_name(c, 1); break;
    }
}

static int start_sends(MPI_Comm c, MPI_Request *r)
{
    int n = 0;
    for (int step = 1; step < ranks; step++) {
        int to = (rank + step) % ranks;
        for (int k = 0; k < many(rank, to); k++, n++) {
            int bytes = bytes_of(rank, to, k);
            fill(to, k, out[n], bytes);
            MPI_Isend(out[n], bytes, MPI_BYTE, to, k % TAGS, c, &r[n]);
        }
    }
    return n;
}

/* --- with fixed partners: persistent requests, MPI_Sendrecv, collectives --- */

static MPI_Request ring[2];
static uint64_t ring_out, ring_in;

static void go_round(void)
{
    int next = (rank + 1) % ranks, before = (rank - 1 + ranks) % ranks;
    ring_out = mix(state + 1);
    MPI_Startall(2, ring);
    MPI_Waitall(2, ring, MPI_STATUSES_IGNORE);
    state = mix(state ^ ring_in);
    uint64_t mine = state, theirs;
    MPI_Sendrecv(&mine, 1, MPI_UINT64_T, next, 9, &theirs, 1, MPI_UINT64_T, before, 9, other, MPI_STATUS_IGNORE);
    state = mix(state ^ theirs);
    MPI_Sendrecv_replace(&mine, 1, MPI_UINT64_T, before, 10, next, 10, other, MPI_STATUS_IGNORE);
    state = mix(state ^ mine);
}

static void together(void)
{
    uint64_t sum, all[RANKS];
    double d = (double)(state % 1000003) / 7, total;
    MPI_Allreduce(&state, &sum, 1, MPI_UINT64_T, MPI_BXOR, MPI_COMM_WORLD);
    MPI_Allreduce(&d, &total, 1, MPI_DOUBLE, MPI_SUM, other);
    MPI_Allgather(&state, 1, MPI_UINT64_T, all, 1, MPI_UINT64_T, MPI_COMM_WORLD);
    MPI_Bcast(&sum, 1, MPI_UINT64_T, round_ % ranks, other);
    for (int r = 0; r < ranks; r++) sum = mix(sum ^ all[r]);
    state = mix(state ^ sum ^ (uint64_t)total);
    if (round_ % 3 == 0) MPI_Barrier(MPI_COMM_WORLD);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t any = (uint64_t)now.tv_nsec;
    belay_nondeterministic(&any, sizeof any);
    state = mix(state ^ any ^ (uint64_t)(MPI_Wtime() * 1e6));
}

static int compare(void)
{
    uint64_t theirs[RANKS];
    int wrong = 0, all;
    MPI_Alltoall(sent_hash, 1, MPI_UINT64_T, theirs, 1, MPI_UINT64_T, MPI_COMM_WORLD);
    for (int r = 0; r < ranks; r++) {
        if (theirs[r] == received_hash[r]) continue;
        printf("chance: rank %d has not received what rank %d has sent\n", rank, r);
        wrong = 1;
    }
    MPI_Allreduce(&wrong, &all, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    return all;
}

static void forbidden(const char *what)
{
    MPI_Request r;
    MPI_Message m;
    MPI_Comm c;
    MPI_File f;
    int there;
    if (!strcmp(what, "ibarrier")) MPI_Ibarrier(MPI_COMM_WORLD, &r);
    if (!strcmp(what, "cancel")) {
        MPI_Irecv(in[0], 1, MPI_BYTE, 0, 77, MPI_COMM_SELF, &r);
        MPI_Cancel(&r);
    }
    if (!strcmp(what, "mprobe")) MPI_Improbe(MPI_ANY_SOURCE, 0, MPI_COMM_WORLD, &there, &m, MPI_STATUS_IGNORE);
    if (!strcmp(what, "dup")) MPI_Comm_dup(MPI_COMM_WORLD, &c);
    if (!strcmp(what, "file")) MPI_File_open(MPI_COMM_WORLD, "nothing", MPI_MODE_CREATE | MPI_MODE_WRONLY, MPI_INFO_NULL, &f);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (argc < 3 || argc > 4 || ranks > RANKS) MPI_Abort(MPI_COMM_WORLD, 2);
    seed = strtoull(argv[1], NULL, 10);
    MPI_Comm_dup(MPI_COMM_WORLD, &other);
    MPI_Send_init(&ring_out, 1, MPI_UINT64_T, (rank + 1) % ranks, 8, MPI_COMM_WORLD, &ring[0]);
    MPI_Recv_init(&ring_in, 1, MPI_UINT64_T, (rank - 1 + ranks) % ranks, 8, MPI_COMM_WORLD, &ring[1]);
    state = mix(seed + (uint64_t)rank);
    belay_protect("round", &round_, 1, MPI_INT);
    belay_protect("state", &state, 1, MPI_UINT64_T);
    belay_protect("sent", sent_hash, RANKS, MPI_UINT64_T);
    belay_protect("received", received_hash, RANKS, MPI_UINT64_T);
    belay_recover(NULL);
    const char *what = argc == 4 ? argv[3] : "";
    uint64_t all, spoken = strcmp(what, "restored") ? seed : state;
    MPI_Allreduce(&spoken, &all, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD); /* done again at every start */
    double began = MPI_Wtime();
    for (int rounds = atoi(argv[2]); round_ < rounds; round_++) {
        MPI_Request r[RANKS * MOST];
        MPI_Comm c = comm_of();
        if (strcmp(what, "silent") || rank != 0) belay_checkpoint(NULL);
        forbidden(what);
        int sends = start_sends(c, r);
        receive(c);
        MPI_Waitall(sends, r, MPI_STATUSES_IGNORE);
        MPI_Barrier(MPI_COMM_WORLD); /* what is received from anybody is of this round, and none of what follows */
        if (common(2, 2)) go_round();
        if (common(3, 4) == 0) together();
    }
    int wrong = compare() || MPI_Wtime() < began;
    if (rank == 0 && !wrong) printf("chance: nothing lost, nothing twice\n");
    MPI_Request_free(&ring[0]);
    MPI_Request_free(&ring[1]);
    MPI_Comm_free(&other);
    MPI_Finalize();
    return wrong;
}
