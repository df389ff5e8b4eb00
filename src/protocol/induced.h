/* induced.h - communication-induced checkpointing: what rides on a message says when a checkpoint must come before it.
 *
 * Ranks checkpoint when they like (basic checkpoints); a rule forces as many more as it takes that none is useless, that
 * is, that every checkpoint is on some recovery line.  The rules differ in what they send along and in what they force:
 *
 *     BCS    one index; forces when the message's is higher.  Checkpoints with index n or more are a line for every n.
 *     FDAS   a vector of intervals; forces when it brings news after a send of this interval.
 *     HMNR   an index, a vector and three sets; forces least, sends most.
 *
 * Pure, and without memory of its own: state and piggybacks are words that the caller provides.
 */
#ifndef BL_PROTOCOL_INDUCED_H
#define BL_PROTOCOL_INDUCED_H

#include <stddef.h>
#include <stdint.h>

enum bl_induced_rule { BL_INDUCED_NONE, BL_INDUCED_BCS, BL_INDUCED_FDAS, BL_INDUCED_HMNR };
enum { BL_INDUCED_RULES = 4 };

const char *bl_induced_name(enum bl_induced_rule rule);

typedef struct bl_induced {
    enum bl_induced_rule rule;
    uint32_t rank, ranks;
    uint32_t index;      /* BCS, HMNR: of the checkpoint it is in; never falls */
    int sent;            /* FDAS: since the last checkpoint */
    uint32_t *vector;    /* [ranks] FDAS: newest interval known of each; HMNR: its checkpoints */
    uint32_t *sets;      /* [ranks] HMNR: bits of the three sets, for each rank */
} bl_induced;

/* Words of one rank's state, and of what rides on one message; 0 for BL_INDUCED_NONE. */
size_t bl_induced_state_words(enum bl_induced_rule rule, uint32_t ranks);
size_t bl_induced_message_words(enum bl_induced_rule rule, uint32_t ranks);

/* `words` is the rank's state and stays the caller's. */
void bl_induced_start(bl_induced *p, enum bl_induced_rule rule, uint32_t rank, uint32_t ranks, uint32_t *words);

/* Fills in what rides on a message to rank `to`. */
void bl_induced_send(bl_induced *p, uint32_t to, uint32_t *message);

/* A message is about to be delivered.  1: a checkpoint must be taken before it (and counts as taken); 0: none.  Either way
 * the message counts as delivered. */
int bl_induced_receive(bl_induced *p, const uint32_t *message);

/* A basic checkpoint was taken. */
void bl_induced_checkpoint(bl_induced *p);

/* --- BCS where only safe points can be saved --- */

typedef struct bl_induced_points {
    uint32_t index;      /* what sends carry */
    int sent;            /* since the last safe point */
} bl_induced_points;

enum bl_induced_answer {
    BL_INDUCED_DELIVER,  /* nothing to do */
    BL_INDUCED_NOW,      /* the receive is itself a safe point: checkpoint before it */
    BL_INDUCED_PROMOTE,  /* the state of the last safe point becomes a checkpoint (or, if one was taken there, that counts) */
    BL_INDUCED_REFUSE    /* neither is possible: the message must not be delivered before the next safe point */
};

void bl_induced_points_start(bl_induced_points *p);
/* A safe point; `checkpoint`: a basic checkpoint was taken at it. */
void bl_induced_points_safe(bl_induced_points *p, int checkpoint);
/* The index that rides on the message. */
uint32_t bl_induced_points_send(bl_induced_points *p);
/* A message with this index is about to be delivered; `here`: the program declared that it can be saved right now.  Unless
 * the answer is BL_INDUCED_REFUSE, it counts as delivered and what the answer asks for as done. */
enum bl_induced_answer bl_induced_points_receive(bl_induced_points *p, uint32_t index, int here);

/* At run time a refused message is delivered all the same: its index is remembered, and this is asked at the next safe point,
 * after bl_induced_points_safe.  1: there must be a checkpoint at it (the basic one, if one was taken there). */
int bl_induced_points_known(bl_induced_points *p, uint32_t index);
/* A collective in which the members' highest index is this one: as a message with it that is received by all, and to all
 * sent.  Even when the answer is BL_INDUCED_REFUSE it takes place. */
enum bl_induced_answer bl_induced_points_collective(bl_induced_points *p, uint32_t index);
/* A message with this index, or with no lower one, that is delivered now crosses the lines up to the receiver's index: sent
 * before and received after, so that a restart there needs its contents.  When a state of the past is promoted, what has
 * been delivered since then counts as delivered after it: ask again about those. */
int bl_induced_points_late(const bl_induced_points *p, uint32_t index);
/* All ranks restart from a line, at the highest index of its checkpoints: from then on all of them have this one. */
void bl_induced_points_resume(bl_induced_points *p, uint32_t index);

/* --- what if: a whole run under a rule --- */

enum bl_induced_kind { BL_INDUCED_SEND, BL_INDUCED_RECEIVE, BL_INDUCED_CHECKPOINT };

typedef struct bl_induced_event {
    enum bl_induced_kind kind;
    uint32_t rank;       /* whose event it is */
    uint32_t peer;       /* SEND: to whom */
    uint32_t message;    /* SEND, RECEIVE: 0, 1, ...; each sent once, before it is received */
} bl_induced_event;

/* The words that bl_induced_run needs. */
size_t bl_induced_run_words(enum bl_induced_rule rule, uint32_t ranks, uint32_t messages);

/* Plays the events, in an order in which they can have happened, with the checkpoints among them as the basic ones.
 * interval[k]: of event k's rank at event k, forced checkpoints counted (a checkpoint: its number); forced[i]: forced
 * checkpoints of rank i; last[i]: all its checkpoints.  With these the caller makes the graph of the run as it would have
 * been.  Returns the number of forced checkpoints. */
uint64_t bl_induced_run(enum bl_induced_rule rule, uint32_t ranks, const bl_induced_event *event, size_t events,
                        uint32_t *words, uint32_t *interval, uint32_t *forced, uint32_t *last);

#endif
