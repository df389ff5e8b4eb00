/* depend.h - logging=optimistic and logging=causal: nobody waits before a send until what it has seen by chance is stable.
 *
 * A thread forces the events meanwhile.  Each message carries, behind its payload, the trailer: on which decisions of which rank
 * the state of its sender depends (protocol/msglog.h: the vector), and how many of the sender's are stable.  A receiver writes
 * what it depends on from then on into its journal before anything that it decides after that.  With causal logging the
 * determinants that too few ranks hold go beside the message, and into the journal of the receiver.
 *
 * After a failure all ranks read all journals "events", and find the greatest state that can be made again
 * (line/intervals.h).  What is beyond it is taken out of the journals, so that from then on they are as those of
 * pessimistic logging are; all of it is forced, and every number begins again from 0.
 *
 * A message goes out of the journal and comes into memory of ours.  What a probe shows is depended on as well, so the message that
 * it has found is taken out of MPI and kept until it is received; a matched one belongs to MPI, and is refused.
 */
#ifndef BL_MPI_DEPEND_H
#define BL_MPI_DEPEND_H

#include <mpi.h>
#include <stdint.h>

#include "store/journal.h"
#include "util/error.h"

int bl_depend_init(bl_error *err);             /* sets bl_logging.rides */
void bl_depend_begin(void);                    /* at the first safe point: the thread */
void bl_depend_finish(void);                   /* ends it */
void bl_depend_free(void);

/* --- messages: bl_logging.rides bytes --- */
void bl_depend_load(char *trailer, int world); /* of one that goes to `world` next */
void bl_depend_came(int world, const char *trailer);

/* --- decisions: before a record of one is appended, and after that --- */
void bl_depend_decide(bl_record *record, const void *payload);
void bl_depend_appended(void);
void bl_depend_forced(void);                   /* the journal "events" has been, by whoever appends */

/* --- what may go --- */
int bl_depend_needs(uint32_t **needs);         /* [ranks] malloc'ed: what our state depends on; 0 */
int bl_depend_settled(const uint32_t *needs);  /* is all of that stable, as far as we know? */
uint32_t bl_depend_stable(void);               /* of ours */
void bl_depend_hear(int world, uint32_t stable);

/* --- after a failure --- */
/* Collective; what is undone is out of our journals afterwards.  stays: this rank goes on where it is: BELAY_ERR_REFUSED: it is an orphan;
 * BELAY_ERR_ABORTED: another one is, or has died. */
int bl_depend_recover(MPI_Comm comm, int stays, bl_error *err);
void bl_depend_rest(void);                     /* of a rank that stays: ends the thread */
void bl_depend_go_on(MPI_Comm comm);           /* all is stable, and counts from 0 again; the thread begins.  comm: for what goes beside */
int bl_depend_knows(uint32_t checkpoint);      /* it is not undone */
uint32_t bl_depend_number(void);               /* of our last decision */
int bl_depend_adopt(bl_journal *events, bl_error *err); /* what others know of us */

#endif
