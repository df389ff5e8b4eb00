/* mpi_heat2d_steps.c - the time loop of examples/heat2d.c as a function, compiled twice: with Belay (its wrappers, its
 * safe points), and with -DPLAIN as a program has it that was never linked with the library. */
#include <mpi.h>

#ifdef PLAIN
#define WITHOUT_BELAY
#define MPI_Irecv PMPI_Irecv
#define MPI_Isend PMPI_Isend
#define MPI_Waitall PMPI_Waitall
#define MPI_Allreduce PMPI_Allreduce
#define heat2d_steps heat2d_steps_plain
#endif

#ifdef PLAIN
#define main heat2d_main_plain /* the program itself is not wanted here */
#else
#define main heat2d_main
#endif
int main(int argc, char **argv);
#include "../examples/heat2d.c"
#undef main

void *heat2d_plate(int size);
void heat2d_steps(void *plate_of_both, int steps);

#ifndef PLAIN
void *heat2d_plate(int size)
{
    plate *p = calloc(1, sizeof *p);
    if (!p) MPI_Abort(MPI_COMM_WORLD, 1);
    set_up(p, size);
    ignite(p);
    size_t shape[2] = { (size_t)p->rows + 2, (size_t)p->columns + 2 };
    belay_protect_array("temperature", p->now, 2, shape, MPI_DOUBLE);
    belay_recover(NULL);
    return p;
}
#endif

void heat2d_steps(void *plate_of_both, int steps)
{
    plate *p = plate_of_both;
    for (int step = 0; step < steps; step++) {
        belay_checkpoint(NULL);
        advance(p);
    }
}
