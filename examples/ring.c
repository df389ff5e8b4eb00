/* ring - vectors that travel around a ring of ranks and are changed on the way.  No call of Belay in it:
 *
 *     belay run -n 4 --preload ./ring
 *     belay run -n 4 --preload --kill 1@call=500 ./ring
 *
 * Preloaded, Belay follows its messages and starts it anew when a rank dies; with three calls added it would go on from
 * a checkpoint instead (heat2d).  Both runs print the same `result`.  Option: a number of rounds (400).
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "digest.h"

enum { WORDS = 4096 };

int main(int argc, char **argv)
{
    static uint64_t mine[WORDS], other[WORDS];
    int rank, ranks, rounds = argc > 1 ? atoi(argv[1]) : 400;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    int next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;
    for (int i = 0; i < WORDS; i++) mine[i] = (uint64_t)rank * WORDS + (uint64_t)i;
    for (int round = 0; round < rounds; round++) {
        MPI_Sendrecv(mine, WORDS, MPI_UINT64_T, next, round % 7, other, WORDS, MPI_UINT64_T, before, round % 7, MPI_COMM_WORLD,
                     MPI_STATUS_IGNORE);
        for (int i = 0; i < WORDS; i++)
            for (int k = 0; k < 20; k++) mine[i] = (mine[i] ^ other[(i + k) % WORDS]) * 0x9e3779b97f4a7c15u + (uint64_t)round;
        uint64_t sum = mine[0], all;
        MPI_Allreduce(&sum, &all, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
        mine[round % WORDS] ^= all;
    }
    print_result(digest_add(DIGEST_START, mine, sizeof mine));
    MPI_Finalize();
    return 0;
}
