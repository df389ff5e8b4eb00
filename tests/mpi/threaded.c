/* threaded - under MPI_THREAD_MULTIPLE two threads of each rank talk at once; safe points come when they have finished.
 *
 *     threaded [busy]     busy: until step 8 a thread of rank 1 waits in MPI_Recv for what rank 0 sends after its safe points
 *
 * Prints `result <16 hex digits>`.
 */
#include <mpi.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <belay.h>

enum { THREADS = 2, STEPS = 40, MESSAGES = 50 };

static int rank, ranks;
static uint64_t state[THREADS];

static void *talk(void *number)
{
    int t = *(int *)number;
    for (int k = 0; k < MESSAGES; k++) {
        uint64_t other;
        MPI_Sendrecv(&state[t], 1, MPI_UINT64_T, (rank + 1) % ranks, t, &other, 1, MPI_UINT64_T, (rank + ranks - 1) % ranks, t,
                     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        state[t] = (state[t] ^ (other + (uint64_t)(rank + t))) * 6364136223846793005u + 1442695040888963407u;
    }
    return NULL;
}

static void *wait_for_word(void *nothing)
{
    int word;
    MPI_Recv(&word, 1, MPI_INT, 0, 99, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    return nothing;
}

int main(int argc, char **argv)
{
    int step = 0, provided, word = 1, busy = argc > 1 && !strcmp(argv[1], "busy");
    pthread_t waiter, thread[THREADS];
    int number[THREADS];
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (provided < MPI_THREAD_MULTIPLE) MPI_Abort(MPI_COMM_WORLD, 1);
    for (int t = 0; t < THREADS; t++) {
        state[t] = (uint64_t)(rank * THREADS + t);
        number[t] = t;
    }
    belay_protect("step", &step, 1, MPI_INT);
    belay_protect("state", state, THREADS, MPI_UINT64_T);
    belay_recover(NULL);
    if (busy && rank == 1) pthread_create(&waiter, NULL, wait_for_word, NULL);
    for (; step < STEPS; step++) {
        belay_checkpoint(NULL);
        if (busy && step == 8 && rank == 0) MPI_Send(&word, 1, MPI_INT, 1, 99, MPI_COMM_WORLD);
        if (busy && step == 8 && rank == 1) pthread_join(waiter, NULL);
        for (int t = 0; t < THREADS; t++) pthread_create(&thread[t], NULL, talk, &number[t]);
        for (int t = 0; t < THREADS; t++) pthread_join(thread[t], NULL);
    }
    uint64_t mine = state[0] ^ (state[1] << 1), all;
    MPI_Reduce(&mine, &all, 1, MPI_UINT64_T, MPI_BXOR, 0, MPI_COMM_WORLD);
    if (rank == 0) printf("result %016llx\n", (unsigned long long)all);
    MPI_Finalize();
    return 0;
}
