/* farm - a master hands out tasks and takes the answers as they come, from MPI_ANY_SOURCE.
 *
 *     belay run -n 4 --every 2 --kill 2@step=7 farm
 *     belay run -n 4 --every 2 --kill 0@step=7 farm
 *
 * Tasks come in batches; between two batches no answer is outstanding, and there the master and the workers pass a safe
 * point.  Which worker does which task differs from run to run; what comes out does not.  Option: a number of batches (12).
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <belay.h>

enum { TASKS = 40, WORK = 1, DONE = 2, ANSWER = 3 };

static uint64_t solve(uint64_t task)
{
    uint64_t x = task + 1;
    for (int i = 0; i < 20000; i++) x = x * 6364136223846793005u + 1442695040888963407u;
    nanosleep(&(struct timespec){ .tv_nsec = 500000 + (long)(x >> 44) }, NULL); /* 0.5 to 1.5 ms */
    return x;
}

/* One batch: everybody gets a task, who answers gets the next, and in the end everybody the word that it is over. */
static void deal(int batch, int ranks, uint64_t *sum)
{
    int next = 0, busy = 0;
    for (int worker = 1; worker < ranks; worker++) {
        uint64_t task = (uint64_t)batch * TASKS + (uint64_t)next;
        int more = next < TASKS;
        MPI_Send(&task, 1, MPI_UINT64_T, worker, more ? WORK : DONE, MPI_COMM_WORLD);
        next += more;
        busy += more;
    }
    while (busy > 0) {
        uint64_t answer[2], task = (uint64_t)batch * TASKS + (uint64_t)next;
        int more = next < TASKS;
        MPI_Status status;
        MPI_Recv(answer, 2, MPI_UINT64_T, MPI_ANY_SOURCE, ANSWER, MPI_COMM_WORLD, &status);
        *sum += answer[1] ^ answer[0];
        MPI_Send(&task, 1, MPI_UINT64_T, status.MPI_SOURCE, more ? WORK : DONE, MPI_COMM_WORLD);
        next += more;
        busy -= !more;
    }
}

static void work(void)
{
    for (;;) {
        uint64_t task, answer[2];
        MPI_Status status;
        MPI_Recv(&task, 1, MPI_UINT64_T, 0, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
        if (status.MPI_TAG == DONE) return;
        answer[0] = task;
        answer[1] = solve(task);
        MPI_Send(answer, 2, MPI_UINT64_T, 0, ANSWER, MPI_COMM_WORLD);
    }
}

static int program(int argc, char **argv)
{
    int rank, ranks, batch = 0, batches = argc > 1 ? atoi(argv[1]) : 12;
    uint64_t sum = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    belay_protect("batch", &batch, 1, MPI_INT);
    belay_protect("sum", &sum, 1, MPI_UINT64_T);
    belay_recover(NULL);
    for (; batch < batches; batch++) {
        belay_checkpoint(NULL);
        if (rank == 0) deal(batch, ranks, &sum);
        else work();
    }
    if (rank == 0) printf("result %016llx\n", (unsigned long long)sum);
    MPI_Finalize();
    return 0;
}

int main(int argc, char **argv)
{
    return belay_main(program, argc, argv);
}
