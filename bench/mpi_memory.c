/* mpi_memory DIR - communicates, takes a checkpoint of 16 MiB (unless built without Belay), and leaves what memory the
 * process has mapped in DIR/smaps.RANK. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef WITHOUT_BELAY
#define belay_protect(name, data, count, type) ((void)0)
#define belay_recover(status) ((void)0)
#define belay_checkpoint(status) ((void)0)
#else
#include <belay.h>
#endif

enum { DOUBLES = 1 << 21, ROUNDS = 200, TAGS = 32 };

static void communicate(int rank, int ranks)
{
    int next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;
    double sum, mine = rank, theirs[TAGS];
    MPI_Request request[2 * TAGS];
    for (int round = 0; round < ROUNDS; round++) {
        for (int tag = 0; tag < TAGS; tag++) {
            MPI_Irecv(&theirs[tag], 1, MPI_DOUBLE, before, tag, MPI_COMM_WORLD, &request[tag]);
            MPI_Isend(&mine, 1, MPI_DOUBLE, next, tag, MPI_COMM_WORLD, &request[TAGS + tag]);
        }
        MPI_Waitall(2 * TAGS, request, MPI_STATUSES_IGNORE);
        MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    }
}

static int copy(const char *from, const char *to)
{
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    int c = 0;
    while (in && out && (c = getc(in)) != EOF)
        putc(c, out);
    int bad = !in || !out || ferror(in);
    if (in)
        fclose(in);
    if (out)
        bad |= fclose(out) != 0;
    return bad;
}

int main(int argc, char **argv)
{
    int rank, ranks;
    char path[4096];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    double *state = malloc(DOUBLES * sizeof *state);
    if (argc < 2 || !state)
        MPI_Abort(MPI_COMM_WORLD, 2);
    for (int i = 0; i < DOUBLES; i++)
        state[i] = i;
    belay_protect("state", state, DOUBLES, MPI_DOUBLE);
    belay_recover(NULL);
    for (int point = 0; point < 3; point++) {
        belay_checkpoint(NULL);
        communicate(rank, ranks);
    }
    snprintf(path, sizeof path, "%s/smaps.%d", argv[1], rank);
    if (copy("/proc/self/smaps", path))
        MPI_Abort(MPI_COMM_WORLD, 2);
    free(state);
    MPI_Finalize();
    return 0;
}
