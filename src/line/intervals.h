/* intervals.h - the line over state intervals: after a failure of a job that logs messages optimistically or causally, the greatest
 * state of all ranks that can be made again from what their journals have left.
 *
 * A state interval begins where something is decided that could have been decided otherwise; within one a rank is deterministic
 * (Strom and Yemini, Optimistic Recovery in Distributed Systems, 1985).  An interval can be made again when its decision is in a
 * journal; a state is consistent when all that it needs can be.  The consistent states are a lattice, so there is a
 * greatest one, and whoever is beyond it is an orphan (Johnson and Zwaenepoel, Recovery in Distributed Systems Using Optimistic
 * Message Logging and Checkpointing, 1990).
 */
#ifndef BL_LINE_INTERVALS_H
#define BL_LINE_INTERVALS_H

#include "util/step.h"

/* Of rank r the first good[r] of its counts[r] steps are of states that need nothing that is gone, and of its decisions the first
 * known[r] can be made again: they are in its own journal, or, when it is no orphan itself, held by others.  A journal may have
 * lost its beginning, which is stable.  Time: steps times the rounds it takes, at most one for each rank that is undone, mostly 2. */
void bl_line_intervals(uint32_t ranks, const bl_step *const *steps, const uint32_t *counts, uint32_t *known, uint32_t *good);

#endif
