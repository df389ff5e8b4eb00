/* carry.h - what the wrappers of messages call when they have nothing to do themselves: MPI, or the functions of carry.c,
 * which see to each message's contents.  Those are in force with piggyback=header (16 bytes ride on a message) and with
 * checkpoint=induced (a checkpoint may have to come before the program sees it, and some are kept).
 */
#ifndef BL_MPI_CARRY_H
#define BL_MPI_CARRY_H

#include "mpi/runtime.h"

#define BL_CARRIED(_) \
    _(Send) _(Bsend) _(Ssend) _(Rsend) _(Isend) _(Ibsend) _(Issend) _(Irsend) _(Send_init) _(Bsend_init) _(Ssend_init) \
    _(Rsend_init) _(Recv) _(Irecv) _(Recv_init) _(Sendrecv) _(Sendrecv_replace) _(Probe) _(Iprobe) _(Mprobe) _(Improbe) \
    _(Mrecv) _(Imrecv) _(Start) _(Startall)

typedef struct bl_under {
#define BL_CARRIED_CALL(name) __typeof__(PMPI_##name) *name;
    BL_CARRIED(BL_CARRIED_CALL)
#undef BL_CARRIED_CALL
} bl_under_calls;

extern const bl_under_calls *bl_under; /* PMPI's, until carry.c's are in force */

int bl_carry_init(bl_error *err);      /* puts them in force */
void bl_carry_stop(void);              /* and out of force */
void bl_carry_free(void);              /* after MPI_Finalize */

void bl_carry_abandon(void);           /* before bl_carry_free, in a process that goes back */
void bl_carry_finish(void);            /* when all ranks have come to MPI_Finalize, before it */

/* A request is complete, or shown to be (`ends` 0, MPI_Request_get_status): puts the message where the program wants it, and
 * makes the status say what the program expects.  `delivers`: where the message is counted next, NULL: nowhere; `undone`: it
 * was cancelled.  MPI_SUCCESS, or an error of which the program's handler has been told. */
int bl_carry_completed(uint64_t key, bl_live_slot *delivers, int undone, int ends, MPI_Status *status);
/* These of bl_rt.handles are complete by one call: said of all before the first of them is. */
void bl_carry_several(int count, const int *indices, const MPI_Status *statuses);
void bl_carry_failed(MPI_Request handle, const MPI_Status *status); /* it is over, and MPI has said why */

void bl_carry_probed(MPI_Comm comm, MPI_Status *status); /* by us: makes it say what the program would be shown */
int bl_carry_freed(MPI_Request *request); /* 1: it has taken care of MPI_Request_free */
void bl_carry_type_freed(MPI_Datatype type);
int bl_carry_buffered(void);              /* messages of MPI_Bsend are still under way */

#endif
