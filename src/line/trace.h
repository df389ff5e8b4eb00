/* trace.h - a run written as text, one event after the other, as the golden tests and `belay line` read it.
 *
 *     s 0>1:m      rank 0 sends message m to rank 1
 *     r m          m is delivered
 *     l m          m's payload is logged (may come before or after r)
 *     c 0          rank 0 takes a checkpoint
 *     x 0,1,2:b    ranks 0, 1 and 2 do a collective (b is for the reader)
 *
 * Blanks and line ends separate events and may be left out after the letter ("s0>1:m c0"); '#' starts a comment.
 * Names are 1 to BL_TRACE_MAX_NAME letters, digits and _ . - ; every message has its own. */
#ifndef BL_LINE_TRACE_H
#define BL_LINE_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "line/line.h"

enum { BL_TRACE_MAX_NAME = 63, BL_TRACE_MAX_RANKS = 1 << 20 };

/* The graph of the trace text[0..length).  `ranks` is the number of ranks, or 0: one more than the highest named.  An
 * event that makes no sense is BELAY_ERR_ARG with its line and column. */
int bl_trace_parse(const char *text, size_t length, uint32_t ranks, bl_graph **graph, bl_error *err);

#endif
