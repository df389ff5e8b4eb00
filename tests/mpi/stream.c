/* stream - every rank sends each other one a stream of messages, all the time: for a rank that is stopped anywhere in it.
 *
 *     stream STEPS MILLISECONDS [deaf]     deaf: it ignores SIGCONT
 *
 * What a message holds depends on all that its sender has received.  At the end of each step, which takes so long in addition, the
 * streams are received in order and compared with their lengths and numbers: one that is lost, comes twice, or from a rank that was
 * replaced, shows, at once or in the result.  Prints `result <16 hex digits>`, and for scripts `rank R is process P` at
 * every start, and `step N`.
 */
#include <mpi.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <belay.h>

enum { RANKS = 8, MESSAGES = 40, WORDS = 700 };

static uint64_t out[RANKS][MESSAGES][WORDS], in[WORDS];

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static int length_of(int step, int message)
{
    return 1 + (int)(mix((uint64_t)(step * MESSAGES + message)) % WORDS);
}

static void rest(int ms)
{
    struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
    while (nanosleep(&left, &left) != 0) continue;
}

static void send_all(int rank, int ranks, int step, uint64_t state, MPI_Request *request)
{
    for (int m = 0; m < MESSAGES; m++)
        for (int to = 0, n = 0; to < ranks; to++) {
            if (to == rank) continue;
            int length = length_of(step, m);
            for (int w = 0; w < length; w++) out[to][m][w] = mix(state + (uint64_t)(m * WORDS + w));
            out[to][m][0] = (uint64_t)step * MESSAGES + (uint64_t)m;
            MPI_Isend(out[to][m], length, MPI_UINT64_T, to, 7, MPI_COMM_WORLD, &request[m * (ranks - 1) + n++]);
        }
}

static uint64_t receive_all(int rank, int ranks, int step, uint64_t state)
{
    for (int from = 0; from < ranks; from++)
        for (int m = 0; m < MESSAGES && from != rank; m++) {
            MPI_Status status;
            int words;
            MPI_Recv(in, WORDS, MPI_UINT64_T, from, 7, MPI_COMM_WORLD, &status);
            MPI_Get_count(&status, MPI_UINT64_T, &words);
            if (words != length_of(step, m) || in[0] != (uint64_t)step * MESSAGES + (uint64_t)m) {
                fprintf(stderr, "stream: rank %d, step %d: message %d of rank %d is number %" PRIu64 ", %d words\n", rank, step, m, from, in[0], words);
                MPI_Abort(MPI_COMM_WORLD, 3);
            }
            for (int w = 0; w < words; w++) state = mix(state ^ in[w]);
        }
    return state;
}

static int program(int argc, char **argv)
{
    int rank, ranks, step = 0, steps = argc > 1 ? atoi(argv[1]) : 0, ms = argc > 2 ? atoi(argv[2]) : 0;
    uint64_t state, all;
    MPI_Request request[RANKS * MESSAGES];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    printf("rank %d is process %d\n", rank, (int)getpid());
    fflush(stdout);
    state = (uint64_t)rank + 1;
    belay_protect("step", &step, 1, MPI_INT);
    belay_protect("state", &state, 1, MPI_UINT64_T);
    belay_recover(NULL);
    for (; step < steps; step++) {
        belay_checkpoint(NULL);
        if (rank == 0) {
            printf("step %d\n", step);
            fflush(stdout);
        }
        send_all(rank, ranks, step, state, request);
        state = receive_all(rank, ranks, step, state);
        MPI_Waitall(MESSAGES * (ranks - 1), request, MPI_STATUSES_IGNORE);
        rest(ms);
    }
    MPI_Allreduce(&state, &all, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0) printf("result %016" PRIx64 "\n", all);
    MPI_Finalize();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 3) signal(SIGCONT, SIG_IGN); /* Belay leaves it so */
    return belay_main(program, argc, argv);
}
