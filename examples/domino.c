/* domino - every rank talks to its neighbours at every step, and saves its state on a schedule of its own.
 *
 *     belay run -n 3 --checkpoint independent --every 4,5,6 --kill 1@step=18 domino
 *     belay run -n 3 --checkpoint coordinated --every 4,5,6 --kill 1@step=18 domino
 *
 * With the first line, no checkpoint of one rank agrees with any of its neighbour: some message between the two was sent
 * after the one and received before the other.  Giving up the one gives up the other, and so back to the start: dominoes.
 * `belay line --html domino.html` shows it.  The second line has one word changed, and loses two steps.  Both print the
 * same `result`.  Option: a number of steps (19).
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <belay.h>

static uint64_t mix(uint64_t a, uint64_t b)
{
    return (a ^ (b + 0x9e3779b97f4a7c15u)) * 0xbf58476d1ce4e5b9u;
}

static int program(int argc, char **argv)
{
    int rank, ranks, step = 0, steps = argc > 1 ? atoi(argv[1]) : 19;
    uint64_t mine, other, all;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    mine = (uint64_t)rank;
    belay_protect("step", &step, 1, MPI_INT);
    belay_protect("mine", &mine, 1, MPI_UINT64_T);
    belay_recover(NULL);
    for (; step < steps; step++) {
        belay_checkpoint(NULL);
        nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL); /* the work of a step */
        for (int to = rank - 1; to <= rank + 1; to += 2) {
            if (to < 0 || to >= ranks) continue;
            MPI_Sendrecv(&mine, 1, MPI_UINT64_T, to, 0, &other, 1, MPI_UINT64_T, to, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            mine = mix(mine, other);
        }
    }
    MPI_Reduce(&mine, &all, 1, MPI_UINT64_T, MPI_BXOR, 0, MPI_COMM_WORLD);
    if (rank == 0) printf("result %016llx\n", (unsigned long long)all);
    MPI_Finalize();
    return 0;
}

int main(int argc, char **argv)
{
    return belay_main(program, argc, argv);
}
