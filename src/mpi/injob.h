/* injob.h - recovery in the job: after a rank has died the others stay, a spare process takes its place, and all go back to the
 * recovery line inside the same mpirun (ULFM; Open MPI 5).
 *
 * The communicators of the dead are revoked, those who live agree on who takes which place, and the program begins again at
 * belay_main, with another communicator behind MPI_COMM_WORLD.  What follows is a restart like any other: a new incarnation, in
 * which every rank goes on from its place on the recovery line; so every way of taking checkpoints and of logging is served by it.
 * With message logging those who live need not go back (local.h): bl_injob_mend.
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
void bl_injob_mend(void);               /* the same; comes back when this rank stays (local.h), and all is as if nobody had died */
int bl_injob_alone(void);               /* this process goes back, or has come, while others stay */
int bl_injob_hurt(MPI_Comm comm);       /* a rank is dead, or this is revoked */
void bl_injob_revoke(MPI_Comm comm);
int bl_injob_agree(MPI_Comm comm, int flag); /* the same on all: everybody has said yes, and nobody has died */
int bl_injob_active(void);              /* a death leads to a recovery in the job */

/* A call of MPI that a death may break, when this rank may stay in it: bl_exposed before, bl_mended behind, which says whether it was
 * broken, and has mended all; then `comm` and handles of requests are to be looked up again. */
static inline void bl_exposed(void)
{
    bl_rt.completing = bl_rt.local;
}

static inline int bl_broken(void)
{
    bl_rt.completing = 0;
    return __builtin_expect(bl_rt.hurt, 0) != 0;
}

static inline int bl_mended(void)
{
    if (!bl_broken()) return 0;
    bl_injob_mend();
    return 1;
}
void bl_injob_end(void);                /* collective: all have come to the end, and nobody goes back any more */

#endif
