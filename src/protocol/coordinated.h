/* coordinated.h - the blocking coordinated checkpoint: is the cut at this aligned safe point transitless, and if so
 * snapshot, vote and decide (commit.h).
 *
 *   ALIGN     every rank has stopped sending, tells every rank what it has sent to it, and hears the same from all
 *   SNAPSHOT  the counts agree: the cut is transitless, and stays so because nobody sends; the snapshot is being forced
 *   VOTING    voted yes; only the decision is missing
 *   DONE      committed or aborted
 *
 * The phase is a view of the commit machine: there is no second state to keep in step with it.  A rank that finds
 * something in transit or outstanding votes no and leaves at once: what it left in ALIGN may still be wanted by a peer
 * that cannot reach its own safe point before we receive (a blocked rendezvous send), so nobody may wait there for all.
 */
#ifndef BL_PROTOCOL_COORDINATED_H
#define BL_PROTOCOL_COORDINATED_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/commit.h"

/* What one rank tells another in ALIGN.  Counts are cumulative since the start of the incarnation. */
typedef struct bl_report {
    uint64_t sent;        /* messages sent to the reader of this report */
    uint64_t collectives; /* sum of bl_report_mix over the communicators that both belong to */
    uint64_t obstacles;   /* the writer's outstanding requests, open epochs ...: what forbids a snapshot there */
} bl_report;

/* The contribution of one communicator: a rank adds it to its report for every member.  A sum, so order is nothing. */
uint64_t bl_report_mix(uint64_t comm, uint64_t started);

typedef struct bl_view {      /* everything rank `self` knows after the exchange; arrays of n, entry self included */
    uint32_t self, n;
    const uint64_t *received; /* [n] messages received from each */
    const bl_report *mine;    /* [n] what self told each */
    const bl_report *theirs;  /* [n] what each told self */
} bl_view;

typedef struct bl_violation {
    enum bl_violation_kind {
        BL_VIOLATION_OBSTACLE,   /* `peer` has `count` outstanding requests */
        BL_VIOLATION_IN_TRANSIT, /* `count` messages of `peer` are not received yet */
        BL_VIOLATION_ORPHAN,     /* `count` messages received which the count of `peer` does not cover */
        BL_VIOLATION_COLLECTIVE  /* `peer` has started another number of collectives on a shared communicator */
    } kind;
    uint32_t peer;
    uint64_t count;
} bl_violation;

/* Fills in the first `max` violations (by peer) and returns how many there are; 0: transitless as far as self can see.
 * The cut as a whole is transitless when every rank finds 0, which is what the votes establish. */
size_t bl_coordinated_verify(const bl_view *view, bl_violation *violation, size_t max);

/* One violation as a sentence without a full stop, as rank `self` tells it. */
void bl_violation_text(const bl_violation *violation, uint32_t self, bl_error *text);

/* The exchange is complete: verify, then BEGIN (*violations == 0) or REFUSED.  No action when m is done already
 * (somebody aborted while we were aligning). */
int bl_coordinated_exchanged(bl_commit *m, const bl_view *view, bl_violation *violation, size_t max, size_t *violations,
                             bl_commit_actions *out, bl_error *err);

/* An application message was seen to arrive while waiting.  In ALIGN and SNAPSHOT: REFUSED.  Later it is no reason:
 * its sender has learned the decision and gone on, so the message belongs after the cut. */
int bl_coordinated_in_transit(bl_commit *m, bl_commit_actions *out, bl_error *err);

enum bl_phase { BL_PHASE_ALIGN, BL_PHASE_SNAPSHOT, BL_PHASE_VOTING, BL_PHASE_DONE };
enum bl_phase bl_coordinated_phase(const bl_commit *m);

#endif
