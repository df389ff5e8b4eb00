/* ride.h - how a receiver is told in which interval a message was sent, where counting at both ends is not enough: a protocol
 * that has to know while the job runs.
 *
 *   piggyback=marker  before the first message of an interval on a channel (communicator, peer, tag) goes a marker, on a
 *                     communicator of our own.  MPI does not order it against the message; the number of the message it
 *                     takes effect at does.  The messages stay as they are.
 *   piggyback=header  16 bytes go with each message, or beside it where it is large: parcel.h.  What came is recorded here.
 *
 * Every interval has the number of the checkpoint that is to end it.  What was learned is written into that checkpoint:
 * /belay/dependencies.  Nothing here is on the way of piggyback=implicit.
 */
#ifndef BL_MPI_RIDE_H
#define BL_MPI_RIDE_H

#include "mpi/runtime.h"

typedef struct bl_rider {   /* of the interval a message was sent in */
    uint32_t interval;
    uint32_t index;         /* of the sender's last checkpoint; checkpoint=induced, else 0 */
} bl_rider;

int bl_ride_init(bl_error *err);  /* collective; after the counters have been restored */
void bl_ride_abandon(void);       /* before bl_ride_free, in a process that goes back */
void bl_ride_finish(void);        /* when all ranks have come to MPI_Finalize, before it */
void bl_ride_free(void);

/* --- sender --- */
void bl_ride_first(const bl_live_slot *slot); /* before a message is counted: sends a marker if it is the first here */
bl_rider bl_ride_here(void);                  /* what a message tells that is sent now */

/* --- intervals --- */
void bl_ride_safe_point(void);                /* checkpoint=induced: a state was kept that a later call may turn into a checkpoint */
void bl_ride_interval(int since_safe_point);  /* an interval, of bl_rt.next_checkpoint, has begun: now, or at that safe point */

/* --- receiver --- */
void bl_ride_poll(void);     /* takes what has arrived, as far as a look at memory tells: costs a load */
void bl_ride_drain(void);    /* the same, asking MPI */
/* What was told of the `number`-th message of the channel. */
bl_rider bl_ride_of(const bl_live_slot *slot, uint64_t number);
/* Was something told of this very message?  With piggyback=header it is asked once of each, in their order. */
int bl_ride_told(const bl_live_slot *slot, uint64_t number, bl_rider *rider);
/* piggyback=header: what came with a message from a rank of MPI_COMM_WORLD; to be recorded. */
void bl_ride_came(int world, const bl_rider *rider);
/* Says the same of messages from `number` on as if a marker had come. */
void bl_ride_note(const bl_live_slot *slot, uint64_t number, bl_rider rider);

/* The dependencies of the interval that `checkpoint` ends, sorted, each once: *list is grown with realloc.  `received`: the
 * counters at the last safe point, by slot, when it ends there; NULL: it ends here. */
int bl_ride_dependencies(uint32_t checkpoint, const uint64_t *received, bl_dependency **list, size_t *count, bl_error *err);

#endif
