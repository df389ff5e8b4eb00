/* takeover.h - a process begins in the place of a rank: whoever had it before may only be stopped, or slow, and go on any time.
 *
 * What it publishes the fence turns away.  What it has mapped into memory it writes without a question: the open segments of its
 * journals, its live table.  No check before a write could help, as it may be stopped between the two.  So these files are replaced by
 * copies of what they hold now: what it still has is a file without a name, which nobody will ever read.
 *
 * On this machine it is ended first, which MPI needs (holder.c); the copies are for the one that cannot be reached.
 */
#ifndef BL_STORE_TAKEOVER_H
#define BL_STORE_TAKEOVER_H

#include "store/store.h"

/* After the store has joined its incarnation, before anybody reads the rank's journals or its live tables, and before this process makes
 * its own.  A death in the middle, and then another, leave no harm. */
int bl_rank_take_over(bl_store *store, uint32_t rank, bl_error *err);

/* Where the records of a segment of a journal end: at the first place where none is. 0: it cannot be told, so all of it counts. */
uint64_t bl_journal_end(const char *base, uint64_t bytes);

#endif
