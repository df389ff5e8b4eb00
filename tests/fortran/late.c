/* late LIBRARY - loads Fortran code long after MPI_Init, as Python does; its messages count from the first one on. */
#include <dlfcn.h>
#include <inttypes.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>

#include <belay.h>

int main(int argc, char **argv)
{
    int rank, ranks;
    uint64_t rounds = 0;
    belay_status status;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    belay_recover(NULL);
    belay_checkpoint(NULL);
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
    void (*talk)(void) = library ? (void (*)(void))(uintptr_t)dlsym(library, "talk_") : NULL;
    if (!talk || ranks != 2) {
        fprintf(stderr, "late LIBRARY, on two ranks: %s\n", dlerror());
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    for (; rounds < 3; rounds++) talk(); /* each: a message both ways and a barrier */
    if (!belay_checkpoint(&status) && status.taken)
        printf("truth: rank %d checkpoint %d: %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", rank, status.checkpoint,
               rounds, rank ? rounds : 0, rank ? 0 : rounds, rank ? rounds : 0, rank ? 0 : rounds);
    MPI_Finalize();
    return 0;
}
