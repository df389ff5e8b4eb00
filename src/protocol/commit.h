/* commit.h - two-phase commit of one checkpoint, as one process sees it.
 *
 * Pure: events in, actions out.  The driver (MPI runtime, simulator) performs the actions of one step in order, all of
 * them, before it feeds the next event; what an action brings back (a snapshot forced, a record read) is a later event.
 *
 *     bl_commit_init(&m, self, n, 0, checkpoint, incarnation, seen);
 *     bl_commit_step(&m, &(bl_commit_event){.type = BL_EVENT_BEGIN}, &out, err);
 *     for (unsigned i = 0; i < out.count; i++) perform(&out.action[i]);
 *
 * The rules (Tanenbaum & van Steen 8.5 and 8.6, with a write-once decision in place of the coordinator's log):
 *   - An aligned safe point is the vote request: BEGIN is local.  The process `coordinator` also takes part.
 *   - The snapshot under its final name, forced, is the PREPARED log record.  Only then does a process vote yes.
 *   - The decision record is written once for ever (exclusive link() on the shared store): the first of COMMIT and
 *     ABORT stays.  Only the coordinator ever tries COMMIT, once, holding all votes; it tells nobody before it knows
 *     that it won, and adopts what it finds if it lost.
 *   - Presumed abort: no record means aborted once nobody can write COMMIT any more.  A vote of no and the abort of
 *     a coordinator that has not tried COMMIT write nothing.
 *   - Before its vote a process may abort alone: it refuses, times out, or is asked by somebody who has waited too long.
 *   - After its yes it may not: on timeout it asks everybody (any COMMIT: commit; any ABORT: abort), then reads the
 *     record, and if there is none forces ABORT through it.  So nobody waits for a dead coordinator.
 *   - There are no acknowledgements: who missed the decision reads it.
 *
 * Loss, duplication and reordering of messages are tolerated; timers may fire early.  Both can only cost the checkpoint.
 */
#ifndef BL_PROTOCOL_COMMIT_H
#define BL_PROTOCOL_COMMIT_H

#include <stdint.h>

#include "util/error.h"

enum { BL_COMMIT_ACTIONS_MAX = 4 }; /* of one step */
enum { BL_COMMIT_ROUNDS_MAX = 8 };  /* failed attempts to force ABORT before the process gives up (BL_OUTCOME_LOST) */

enum bl_commit_outcome {
    BL_OUTCOME_NONE,      /* not known (yet) */
    BL_OUTCOME_COMMITTED,
    BL_OUTCOME_ABORTED,
    BL_OUTCOME_LOST       /* the store does not answer and neither do the peers: end the process; recovery reads the record */
};

enum bl_commit_kind {     /* of a message */
    BL_KIND_VOTE_YES,     /* to the coordinator; the driver lets the digest of the snapshot ride on it */
    BL_KIND_VOTE_NO,      /* to the coordinator */
    BL_KIND_COMMIT,
    BL_KIND_ABORT,
    BL_KIND_QUERY,        /* "what do you know?"; answered by COMMIT, ABORT or UNCERTAIN */
    BL_KIND_UNCERTAIN,
    BL_KINDS
};

enum bl_commit_log {      /* what a restarted process finds of its own */
    BL_LOG_NOTHING,       /* no snapshot of this checkpoint under its final name: it never voted yes */
    BL_LOG_PREPARED       /* the snapshot is there and verifies */
};

enum bl_commit_event_type {
    BL_EVENT_BEGIN,         /* aligned safe point reached, nothing outstanding here.  In a final state: repeats OUTCOME */
    BL_EVENT_SNAPSHOT_DONE, /* answer to TAKE_SNAPSHOT: forced under its final name */
    BL_EVENT_REFUSED,       /* votes no: the snapshot failed, a request is outstanding, a message is in transit ...
                             * Before or after BEGIN, never after SNAPSHOT_DONE */
    BL_EVENT_MESSAGE,       /* kind, from, checkpoint, incarnation */
    BL_EVENT_TIMEOUT,       /* timer: the number given by SET_TIMER; others are ignored.  0, before BEGIN: the driver has
                             * waited too long for the aligned safe point */
    BL_EVENT_DECIDED,       /* answer to DECIDE: outcome is what the record says now, whoever wrote it.  BL_OUTCOME_NONE:
                             * this attempt published nothing and never will (no space, no permission); a driver that
                             * cannot tell must end the process instead, which is a crash, and recovery reads the record */
    BL_EVENT_DECISION_READ, /* answer to READ_DECISION: outcome; BL_OUTCOME_NONE when there is no record or it is unreadable */
    BL_EVENT_RECOVER,       /* the first event of a restarted process: log */
    BL_EVENTS
};

typedef struct bl_commit_event {
    enum bl_commit_event_type type;
    enum bl_commit_kind kind;
    uint32_t from, checkpoint, incarnation;
    uint32_t timer;
    enum bl_commit_outcome outcome;
    enum bl_commit_log log;
} bl_commit_event;

enum bl_commit_timer {    /* what a wait is for, so that the driver can choose how long */
    BL_TIMER_NONE,
    BL_TIMER_SAVE,        /* own snapshot */
    BL_TIMER_WAIT,        /* coordinator: the votes */
    BL_TIMER_READY,       /* voted yes: the decision.  Longer than SAVE + WAIT, or checkpoints are lost for nothing */
    BL_TIMER_ASK          /* answers to QUERY */
};

enum bl_commit_action_type {
    BL_ACTION_TAKE_SNAPSHOT,  /* force it under its final name; then SNAPSHOT_DONE or REFUSED */
    BL_ACTION_SEND,           /* kind, to */
    BL_ACTION_SEND_ALL,       /* kind, to every other process */
    BL_ACTION_DECIDE,         /* outcome: write once, forced; then DECIDED */
    BL_ACTION_READ_DECISION,  /* then DECISION_READ */
    BL_ACTION_SET_TIMER,      /* timer (its number), wait; replaces the one that runs */
    BL_ACTION_CANCEL_TIMER,
    BL_ACTION_OUTCOME         /* outcome, once for ever (BEGIN in a final state repeats it) */
};

typedef struct bl_commit_action {
    enum bl_commit_action_type type;
    enum bl_commit_kind kind;
    uint32_t to;
    enum bl_commit_outcome outcome;
    enum bl_commit_timer wait;
    uint32_t timer;
} bl_commit_action;

typedef struct bl_commit_actions {
    unsigned count;
    bl_commit_action action[BL_COMMIT_ACTIONS_MAX];
} bl_commit_actions;

enum bl_commit_state {
    BL_STATE_INIT,        /* not begun */
    BL_STATE_SAVING,      /* begun, taking the snapshot: not voted */
    BL_STATE_WAIT,        /* coordinator: snapshot taken, collecting votes */
    BL_STATE_DECIDING,    /* coordinator: all voted yes, publishing COMMIT */
    BL_STATE_READY,       /* voted yes, waiting for the decision */
    BL_STATE_ASKING,      /* the decision is late: asked everybody */
    BL_STATE_READING,     /* nobody knew (or the process was restarted): reading the record */
    BL_STATE_FORCING,     /* there was none: publishing ABORT */
    BL_STATE_COMMITTED,
    BL_STATE_ABORTED,
    BL_STATE_LOST,
    BL_STATES
};

typedef struct bl_commit {
    enum bl_commit_state state;
    uint32_t self, n, coordinator, checkpoint, incarnation;
    uint32_t timer;       /* number of the timer last set */
    uint32_t rounds;      /* failed attempts to force ABORT */
    uint32_t count;       /* entries set in `seen` */
    uint8_t *seen;        /* [n] the driver's: who voted yes, or who answered UNCERTAIN to the present question */
} bl_commit;

/* A fresh machine in INIT.  `seen` is n bytes that stay the machine's until the next init. */
void bl_commit_init(bl_commit *m, uint32_t self, uint32_t n, uint32_t coordinator, uint32_t checkpoint,
                    uint32_t incarnation, uint8_t *seen);

/* One step.  A message of another checkpoint or incarnation changes nothing.  An event that cannot happen (a
 * COMMIT after an ABORT, a message from nobody) is BELAY_ERR_INTERNAL, no action, the state unchanged. */
int bl_commit_step(bl_commit *m, const bl_commit_event *event, bl_commit_actions *out, bl_error *err);

/* What to do with a message before it is fed.  A message of a LATER checkpoint (its sender is done with ours) is kept by
 * the driver until it has made the machine of that checkpoint: at most one of each kind a sender is worth keeping.
 * Dropping it is safe and may cost that checkpoint.  Messages of another incarnation are stale, whichever is newer. */
enum bl_commit_when { BL_WHEN_STALE, BL_WHEN_NOW, BL_WHEN_LATER };
enum bl_commit_when bl_commit_when(const bl_commit *m, uint32_t checkpoint, uint32_t incarnation);

/* BL_OUTCOME_NONE until the machine is in a final state. */
enum bl_commit_outcome bl_commit_outcome(const bl_commit *m);

const char *bl_commit_state_name(enum bl_commit_state state);
const char *bl_commit_kind_name(enum bl_commit_kind kind);

#endif
