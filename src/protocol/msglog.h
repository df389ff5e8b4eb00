/* msglog.h - message logging: when what a delivery has decided may be depended on, and who is an orphan.
 *
 * A process is deterministic between deliveries (piecewise determinism), so it is its first state and the order of its
 * deliveries.  That order is in the headers of the messages:
 *
 *     HDR    (source, its send number; destination, its delivery number): the determinant of a delivery
 *     DEP    the processes whose state depends on the delivery: that made it, or have delivered something that came of it
 *     COPY   the processes that hold its HDR in memory
 *     stable its HDR cannot be lost
 *     orphan a survivor in DEP of a delivery that is not stable and whose COPY is among the dead
 *
 * No survivor may stay an orphan.  Three ways to that (Alvisi and Marzullo, Message Logging: Pessimistic, Optimistic, Causal,
 * and Optimal, 1998):
 *
 *     pessimistic  not stable: at most one process in DEP.  A send waits until its sender's deliveries are stable.
 *     optimistic   sends wait for nothing; messages carry what they depend on, and after a failure the orphans roll back
 *                  (Strom and Yemini, Optimistic Recovery, 1985): orphans are gone in the end.
 *     causal       DEP within COPY: messages carry the determinants they depend on, until f + 1 processes hold them, so that
 *                  f may die at once.  Nobody waits and nobody rolls back.
 *
 * One bl_msglog is one process.  Pure, and without memory of its own: the arrays are the caller's, who also sends, stores and
 * keeps the contents of messages (sender-based: a restarted process asks for them again).
 */
#ifndef BL_PROTOCOL_MSGLOG_H
#define BL_PROTOCOL_MSGLOG_H

#include <stdint.h>

enum bl_msglog_rule { BL_MSGLOG_PESSIMISTIC, BL_MSGLOG_OPTIMISTIC, BL_MSGLOG_CAUSAL };
enum { BL_MSGLOG_RULES = 3, BL_MSGLOG_RANKS = 64 };

typedef struct bl_hdr {      /* both numbers from 1 */
    uint32_t source, ssn, dest, rsn;
    uint32_t sent_in;        /* deliveries of the source before it was sent: what has to be made again before it is there again */
} bl_hdr;
typedef struct bl_copy { bl_hdr hdr; uint64_t holders; } bl_copy;         /* holders: bit r: rank r holds it, for certain */
typedef struct bl_interval { uint32_t incarnation, index; } bl_interval;  /* index: deliveries before it */

typedef struct bl_msglog {
    enum bl_msglog_rule rule;
    uint32_t rank, ranks, f;
    uint32_t rsn;            /* deliveries so far */
    uint32_t stable;         /* the first so many of them are */
    bl_interval *vector;     /* [ranks] optimistic: what this state depends on; its own entry is where it is; causal: or NULL */
    uint32_t *end;           /* [ranks][incarnations] optimistic, stable: index at which it ended; UINT32_MAX: not that we know */
    uint32_t incarnations;
    bl_copy *copy;           /* [copies] causal: of others and its own, not known to be stable; room for `room` */
    uint32_t copies, room;
} bl_msglog;

/* The rule's arrays have been set and are emptied; the others may be NULL. */
void bl_msglog_start(bl_msglog *p, enum bl_msglog_rule rule, uint32_t rank, uint32_t ranks, uint32_t f);

/* --- a send --- */
/* 1: it has to wait until bl_msglog_stable. */
int bl_msglog_must_wait(const bl_msglog *p);
/* Causal: what a message to `to` carries; the number of them, at most `copies`. */
uint32_t bl_msglog_carry(const bl_msglog *p, uint32_t to, bl_copy *carried);
/* Optimistic: a message carries a copy of p->vector. */

/* --- a delivery --- */
enum bl_msglog_answer { BL_MSGLOG_DELIVER, BL_MSGLOG_WAIT, BL_MSGLOG_DISCARD };
/* Optimistic: may a message with this vector be delivered?  WAIT: not before a rollback is heard of; DISCARD: of an orphan. */
enum bl_msglog_answer bl_msglog_accept(const bl_msglog *p, const bl_interval *vector);
/* It is: `vector` or `carried` is what it carried.  Returns its HDR, to be made stable or kept.  -1 in rsn: no room. */
bl_hdr bl_msglog_deliver(bl_msglog *p, uint32_t source, uint32_t ssn, uint32_t sent_in, const bl_interval *vector,
                         const bl_copy *carried, uint32_t count);
/* The two halves of it, where a message decides nothing (its receiver waited for just this one), and where something else is
 * decided: what the message carried is depended on from here on, and held; 0 on success. */
int bl_msglog_learn(bl_msglog *p, const bl_interval *vector, const bl_copy *carried, uint32_t count);
bl_hdr bl_msglog_decide(bl_msglog *p, uint32_t source, uint32_t ssn, uint32_t sent_in);
/* The deliveries of `rank` up to this one are stable. */
void bl_msglog_stable(bl_msglog *p, uint32_t rank, uint32_t rsn);
/* Causal: `rank` has delivered a message that carried this. */
void bl_msglog_holds(bl_msglog *p, const bl_hdr *hdr, uint32_t rank);

/* --- a failure --- */
/* Causal: what p knows of the deliveries of `rank`, as bl_msglog_carry. */
uint32_t bl_msglog_copies_of(const bl_msglog *p, uint32_t rank, bl_hdr *known);
/* Causal: `rank` has died, and what it held. */
void bl_msglog_died(bl_msglog *p, uint32_t rank);
/* Causal: a restarted p is given what a survivor holds, of all ranks.  0 on success. */
int bl_msglog_take_over(bl_msglog *p, bl_msglog *survivor);
/* Of each of the dead, the deliveries that are known: order[r][0 .. known[r] - 1] are HDRs of rank r.  Lowers `known` to those that
 * can be made again: whose messages are sent by a survivor, or by deliveries that can be made again themselves. */
void bl_msglog_possible(uint32_t ranks, uint64_t dead, const bl_hdr *const *order, uint32_t *known);
/* Optimistic: `rank` has gone back to this index of an incarnation, which has thereby ended. */
void bl_msglog_ended(bl_msglog *p, uint32_t rank, bl_interval at);
/* Optimistic: does a state with this vector depend on anything that is gone? */
int bl_msglog_orphan(const bl_msglog *p, const bl_interval *vector);
/* Optimistic: p itself goes back to a state with this vector, in a new incarnation; returns what the others have to hear. */
bl_interval bl_msglog_rollback(bl_msglog *p, const bl_interval *vector);

#endif
