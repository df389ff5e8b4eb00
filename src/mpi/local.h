/* local.h - local rollback (message logging, recovery in the job): after a death only the dead rank goes back; the others stay in
 * the call they are in, keep their state, and repeat nothing.
 *
 * Who stays drops what was under way on the revoked communicators and takes it out of the senders' journals instead (feed.c): a
 * message is in its sender's journal before the sender comes to a recovery, and what the program has not seen is matched anew.  Who
 * goes back does its prologue again out of the journals, as a replay does, then what it did since its checkpoint, then goes on
 * with the others: it is told what they have received of it, and leaves that out.
 *
 * Both meet on the new MPI_COMM_WORLD before either goes on: the incarnation, all communicators, what each has received.  All files
 * are read there, while nobody appends.
 *
 * Source: Elnozahy, Alvisi, Wang, Johnson, "A survey of rollback-recovery protocols in message-passing systems", 2002, section 4.1.
 */
#ifndef BL_MPI_LOCAL_H
#define BL_MPI_LOCAL_H

#include "mpi/runtime.h"

extern int bl_rejoining; /* this rank has gone back, and is not at its first safe point yet */

/* All of the new world; 0: another has died, or somebody cannot: once more. */
int bl_local_meet(MPI_Comm world, int stays);
int bl_local_stay(MPI_Comm world);     /* the whole of it, for who stays */
/* When its communicators are revoked: waits until MPI has nothing to do for its requests.  NULL: it may stay; else why not. */
const char *bl_local_cannot_stay(void);
int bl_local_may_go_back(void);        /* alone; else all have to */
void bl_local_adopt(void);             /* by who goes back: what was met on is ours */
void bl_local_rejoin(bl_error *err);   /* its checkpoint is open: reads the journals, and is where the others are */
void bl_local_refuse(const char *why) __attribute__((noreturn)); /* it cannot be done alone: all ranks go back */
MPI_Comm bl_local_comm_of(uint64_t id);
MPI_Comm bl_local_log_comm(void);
MPI_Comm bl_local_side_comm(void);    /* for what goes beside messages (logging=causal) */
int bl_local_comm(const char *call, MPI_Comm *newcomm); /* what a call that makes a communicator has made */
uint32_t bl_local_incarnation(void);
void bl_local_abandon(void);

#endif
