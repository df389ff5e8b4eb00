/* redundancy.h - snapshots that survive their node: parity of a committed checkpoint on other nodes, and lost ones made again from it.
 *
 * After a checkpoint is committed the members of a group exchange their files and each keeps parity of the others' (store/parity.h).
 * Until that is done by all, the newest checkpoint that has it stays.  At a restart, when a rank does not find its snapshot whole,
 * its group makes it again before the checkpoint is given up; with local-dir the snapshot may first have to be brought from the node
 * where the rank ran before.
 */
#ifndef BL_MPI_REDUNDANCY_H
#define BL_MPI_REDUNDANCY_H

#include "mpi/runtime.h"

int bl_redundancy_init(bl_error *err);           /* in MPI_Init, collective; refuses a layout that cannot protect what was asked */
void bl_redundancy_free(void);
/* Collective, after the commit: this checkpoint's turn.  A failure is said, and costs only the protection of this one. */
void bl_redundancy_protect(uint32_t checkpoint, bl_digest digest);
/* The oldest checkpoint that has to stay, since it is the newest that has the protection of some level; UINT32_MAX: none. */
uint32_t bl_redundancy_oldest(void);
/* In MPI_Init, collective: brings what this rank needs of the checkpoint to where it runs. */
void bl_redundancy_fetch(uint32_t checkpoint);
/* In MPI_Init, collective: `good`: our snapshot of the checkpoint is whole.  Makes whole what can be; 1 when ours was made. */
int bl_redundancy_mend(uint32_t checkpoint, int good);
/* Had any of the checkpoints that could not be made whole its redundancy?  One that was lost before that was made had not: nothing was
 * promised of it, but some ranks still have it.  What nobody has anything of is on nodes that are all gone. */
int bl_redundancy_promised(void);
/* Collective, in MPI_Init: the job goes on from here.  If it was interrupted before this checkpoint had its redundancy, it gets it. */
void bl_redundancy_restored(uint32_t checkpoint, bl_digest digest);

#endif
