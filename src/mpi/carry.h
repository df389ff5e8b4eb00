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
void bl_carry_free(void);              /* and out of force */

/* A request of carry.c's is complete (or shown to be, MPI_Request_get_status): puts the message where the program wants it,
 * and makes the status say what the program expects.  `slot`, `number`: of a delivery; NULL for a send. */
void bl_carry_completed(uint64_t key, bl_live_slot *slot, MPI_Status *status);

#endif
