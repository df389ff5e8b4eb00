/* rollback.h - local rollback with pessimistic logging: which receives were matched with which messages, told, and told again.
 *
 *     a receive is posted       bl_open_holds: not yet; else the journals' message (bl_lane_first), else MPI
 *     its end is seen           bl_open_may_have: who has to be told with it; bl_open_unsure: is its channel enough to find the
 *                               message again?; bl_open_pass_by: who is behind from now on
 *     a rank has died           bl_open_behind, bl_open_passed: this one cannot stay; bl_vote, bl_votes_local: then who goes back
 *     who stays                 bl_open_again: each open receive is matched anew, in this order, with what was told of it
 *     who has gone back         bl_open_known: as it was told; bl_send_again: what is sent is left out, or is not
 *
 * A channel is a sender, a communicator and a tag; its messages are numbered from 1, and journals have them in order.  The
 * counters say how many of them the program has seen.  That says which only for the first ones, so who has seen one and not yet one
 * before it has to go back.  What a wildcard was matched with is told, and what any receive was while a wildcard posted earlier is
 * open that may have had the same: with its channel, which means the next message of it, and when that one may have had this, with
 * a hash of its contents.
 *
 * Source: Elnozahy, Alvisi, Wang, Johnson, "A survey of rollback-recovery protocols in message-passing systems", 2002, section 4.1.
 */
#ifndef BL_PROTOCOL_ROLLBACK_H
#define BL_PROTOCOL_ROLLBACK_H

#include <stddef.h>
#include <stdint.h>

/* --- receives whose end the program has not seen --- */

typedef struct bl_open {
    uint64_t comm, clock;    /* clock: of the call that posted it; no two have the same, but those that are `done` */
    uint64_t number;         /* of its message on the channel, if no wildcard comes in between; 0: a wildcard */
    uint64_t hash;           /* of the contents, when they were told: `hashed` */
    int source, tag;         /* negative: any */
    int from, with;          /* source and tag that were told: `told` */
    uint8_t wild;            /* any source: its match is an event */
    uint8_t told, hashed;
    uint8_t held;            /* not posted, until what was done before a death is done again */
    uint8_t done;            /* shown to the program */
    uint8_t passed;          /* one posted later was seen, which may have had a later message of the same channel */
} bl_open;

/* All lists are ascending by clock. */

enum bl_how { BL_OPEN, BL_NOTHING, BL_KNOWN };   /* not decided yet; the program saw nothing; it saw this */

/* Its match was told before a death: it is no wildcard any more.  hash: NULL: the next of the channel. */
void bl_open_known(bl_open *e, int from, int with, const uint64_t *hash);
void bl_open_tell(bl_open *e, int from, int with, const uint64_t *hash);
/* May it be posted?  Not before one that is held and might take the same message, nor when it is not known what it took. */
int bl_open_holds(bl_open *const *open, unsigned count, const bl_open *e, enum bl_how how, int alone);
/* Posted before `clock`, may `e` have a message of these, and nobody knows?  A receive is told when that is so of what it asks
 * for, with a hash when it is so of what it has. */
int bl_open_may_have(const bl_open *e, uint64_t comm, uint64_t clock, int source, int tag);
int bl_open_unsure(bl_open *const *open, unsigned count, uint64_t comm, uint64_t clock, int source, int tag);
/* One that was posted at `clock` is seen, with a message of this channel. */
void bl_open_pass_by(bl_open *const *open, unsigned count, uint64_t comm, uint64_t clock, int source, int tag);
/* Of `received` messages of its channel that the program has seen, one may come behind that of the receive with this number. */
int bl_open_behind(uint64_t number, uint64_t received);
int bl_open_passed(bl_open *const *open, unsigned count);
/* The one to match again in this turn, from 0 on; NULL: of those told there are no more (turns < count), or none at all.  What was
 * told with its contents goes first: no other may take it. */
bl_open *bl_open_again(bl_open *const *open, unsigned count, unsigned *turn);

/* --- messages that a journal holds for a receiver --- */

typedef struct bl_fed {      /* a message out of a journal; or one that a probe has found, and taken out of MPI */
    uint64_t number;
    int tag;
    int taken;
    uint64_t before;         /* a receive posted at this clock, that asks for it too, has one behind it: so it is for one posted before; 0: none */
    uint64_t bytes;
    const char *data;
    uint64_t by;             /* clock of the receive that has it */
    char *own;               /* to be freed; NULL: in the journal */
} bl_fed;

typedef struct bl_lane {     /* of one sender on one communicator, in the order sent */
    bl_fed *message;
    size_t count, first;     /* those before `first` are taken */
    uint64_t latest;         /* clock of the receive posted last that has one of them */
} bl_lane;

typedef uint64_t bl_hash_of(const char *data, size_t bytes);

/* The first with this tag (negative: any) and contents (hash: NULL: any) for a receive posted at `clock`; NULL: none.  It gets
 * none behind one that it asks for and a receive posted later has (it had another before), unless nobody could tell the two apart. */
bl_fed *bl_lane_first(bl_lane *l, int tag, uint64_t clock, const uint64_t *hash, bl_hash_of *hash_of);
/* Is there such a one?  Then MPI may not be asked: what comes now is behind it as well. */
int bl_lane_bars(const bl_lane *l, int tag, uint64_t clock);
/* It is the receive's that was posted at `clock`, and asked for this tag; NULL: one that will be sent again is, behind all. */
void bl_lane_take(bl_lane *l, bl_fed *f, int tag, uint64_t clock);
/* When all have what they can have: is there one that was for a receive posted earlier than one that has another?  Then it was given to
 * the wrong one: with several tags open at once that can be, and cannot be told any more. */
int bl_lane_is_wrong(const bl_lane *l);
/* Of two senders' first ones for a receive from anybody: does `f` come before `other`, of a rank below? */
int bl_fed_before(const bl_fed *f, const bl_fed *other);

enum bl_place { BL_PLACE_HAD, BL_PLACE_NEXT, BL_PLACE_GAP };
/* While a journal is read: has the program had it, is it the next for it, or is one missing?  next: of its channel; counted on. */
enum bl_place bl_fed_place(uint64_t number, uint64_t *next);

/* --- what is sent again --- */

enum bl_again { BL_AGAIN_SEND, BL_AGAIN_LEAVE, BL_AGAIN_LOG };
/* until: the last message that a journal or the receiver has, logged: that our journal has.  LOG: is left out, but kept: only the
 * receiver's checkpoint has it, which may be damaged one day. */
enum bl_again bl_send_again(uint64_t number, uint64_t until, uint64_t logged);
uint64_t bl_send_until(uint64_t until, uint64_t has);

/* --- who goes back --- */

enum bl_vote { BL_VOTE_ALL, BL_VOTE_BACK, BL_VOTE_STAYS }; /* who can neither stay nor go back alone takes all with it */
enum bl_vote bl_vote(int can_stay, int may_go_back);
/* Does anybody stay, and can all others go back alone?  `stays` is what was so far, from 0 on; negative: all go back. */
int bl_votes_local(int stays, enum bl_vote vote);

#endif
