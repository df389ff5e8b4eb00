/* history.h - from the counters that checkpoints hold to a dependency graph.
 *
 * Every rank counts, per channel (communicator, peer, tag), the messages it has sent and received, and per communicator
 * the collectives it has started.  A channel does not overtake, so its k-th message was sent in the interval where the
 * sender's counter first reaches k and received where the receiver's does; nothing has to ride on the message.  What is
 * kept grows with channels times checkpoints, not with messages.
 *
 *     bl_history_new(ranks, &h, err);
 *     for each rank, its checkpoints in their order: bl_history_checkpoint(h, rank, ...);
 *     then, where it is known, how far it came:      bl_history_open(h, rank, ...);
 *     bl_history_graph(h, &graph, err);
 *
 * A rank that gives no open interval may have done anything in it: whatever else others received from it was sent there,
 * and whatever else was sent to it was received there.
 */
#ifndef BL_LINE_HISTORY_H
#define BL_LINE_HISTORY_H

#include "line/line.h"

/* The tag under which a rank counts what it cannot keep apart.  Where either end of a (communicator, sender, receiver) does
 * so, all its tags are one channel, as if received in the order sent. */
#define BL_HISTORY_FOLDED INT32_MIN

typedef struct bl_history bl_history;

typedef struct bl_history_channel {
    uint64_t comm;
    uint32_t peer;           /* the other end: a rank of the job */
    int32_t tag;
    uint64_t sent, received; /* to and from the peer */
} bl_history_channel;

typedef struct bl_history_collective {
    uint64_t comm, started;
    uint32_t size;           /* members of the communicator */
} bl_history_collective;

int bl_history_new(uint32_t ranks, bl_history **history, bl_error *err);
void bl_history_free(bl_history *history);

/* The counters of `rank` at its next checkpoint (the first call: CP[rank](1)), cumulative; a row that is absent has not
 * changed.  Ranks may come in any order and by turns.  A row that makes no sense is BELAY_ERR_DAMAGED. */
int bl_history_checkpoint(bl_history *history, uint32_t rank, const bl_history_channel *channel, size_t channels,
                          const bl_history_collective *collective, size_t collectives, bl_error *err);

/* The same at the end of the open interval: at most once a rank, then nothing more about it. */
int bl_history_open(bl_history *history, uint32_t rank, const bl_history_channel *channel, size_t channels,
                    const bl_history_collective *collective, size_t collectives, bl_error *err);

/* From here on the counters of `rank` count from zero again: they are added to those of its last checkpoint. */
int bl_history_restart(bl_history *history, uint32_t rank, bl_error *err);

/* The contents of messages first..last of a channel, counted from 1 as the receiver counts, are in stable storage: they may be
 * lost (BL_MSG_LOGGED).  Any ranges in any order, also of messages that no counter knows; before the first question. */
int bl_history_logged(bl_history *history, uint32_t to, uint64_t comm, uint32_t from, int32_t tag, uint64_t first,
                      uint64_t last, bl_error *err);

/* The graph of all that was given, as few dependencies as give every line.  What was received beyond all that its sender
 * counted was sent in the sender's open interval: it died before it could count, or was read a moment earlier. */
int bl_history_graph(bl_history *history, bl_graph **graph, bl_error *err);

/* The dependencies with their message counts, for people and for a trace file: one for each distinct (from, to, sent_in,
 * received_in), ascending in this order.  The array belongs to the history until its next change. */
typedef struct bl_history_edge {
    uint32_t from, sent_in, to, received_in; /* never received: received_in is L+2 of `to` */
    uint64_t messages;
    uint64_t logged;         /* of them; all: the dependency may be lost */
} bl_history_edge;
int bl_history_edges(bl_history *history, const bl_history_edge **edges, size_t *count, bl_error *err);

/* Messages first..last of a channel were sent before a cut and not received before it. */
typedef struct bl_transit {
    uint64_t comm, first, last;
    uint32_t from, to;
    int32_t tag;             /* BL_HISTORY_FOLDED: of tags that could not be kept apart */
    uint64_t logged;         /* how many of them are in stable storage */
} bl_transit;

/* All that is in transit across `cut` ([ranks] checkpoints, or L_i+1 where the open interval was given), ascending by from,
 * to, comm, tag.  The array belongs to the history until the next call. */
int bl_history_transit(bl_history *history, const uint32_t *cut, const bl_transit **rows, size_t *count, bl_error *err);

/* What `to` has received on a channel in its intervals up to `at`; 0 when the history makes no sense, or of folded tags. */
uint64_t bl_history_received(bl_history *history, uint32_t to, uint32_t at, uint64_t comm, uint32_t from, int32_t tag);

/* Channels whose tags could not be kept apart (BL_HISTORY_FOLDED): for those the dependencies are an assumption. */
int bl_history_folded(bl_history *history, uint64_t *channels, bl_error *err);

/* Calls `visit` for every distinct vector of intervals in which the members of a communicator started a collective, oldest
 * first: with `first`, all members; then only those in a later interval than in the call before.  interval[k] 0: rank[k]
 * has not started it.  Stops at the first answer that is not BELAY_OK and returns it. */
typedef int bl_history_visit(void *context, uint64_t comm, int first, uint32_t members, const uint32_t *rank,
                             const uint32_t *interval, bl_error *err);
int bl_history_collectives(bl_history *history, bl_history_visit *visit, void *context, bl_error *err);

#endif
