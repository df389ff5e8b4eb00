/* injob.h - recovery in the job: after a rank has died the others stay, a spare process takes its place, and all go back to the
 * recovery line inside the same mpirun (ULFM; Open MPI 5).
 *
 * The communicators of the dead are revoked, those who live agree on who takes which place, and the program begins again at
 * belay_main, with another communicator behind MPI_COMM_WORLD.  What follows is a restart like any other: a new incarnation, in
 * which every rank goes on from its place on the recovery line; so every way of taking checkpoints and of logging is served by it.
 *
 * Source: Bland, Bouteiller, Herault, Bosilca, Dongarra, "Post-failure recovery of MPI communication capability", 2013 (revoke,
 * shrink, agree), which is what MPI's User Level Failure Mitigation is.
 */
#ifndef BL_MPI_INJOB_H
#define BL_MPI_INJOB_H

#include "mpi/runtime.h"

void bl_injob_before(void);             /* before MPI is initialised */
int bl_injob_again(void);               /* the program begins again: MPI is initialised already */
/* After it is: sets bl_rt.world.  A spare process comes back when it has become a rank, or does not come back. */
int bl_injob_open(bl_error *err);
int bl_injob_spawned(void);             /* this process was started in a recovery, to take a place */
unsigned bl_injob_recoveries(void);     /* since mpirun was started */
int bl_injob_first_incarnation(uint32_t *incarnation); /* of this mpirun; 0: this process does not know it */
void bl_injob_began(uint32_t incarnation);
void bl_injob_go_back(void) __attribute__((noreturn)); /* a rank is dead */
void bl_injob_end(void);                /* collective: all have come to the end, and nobody goes back any more */

#endif
