/* log.h - message logging: a rank is its snapshot and its journals, so that after a death each goes on from its own newest
 * checkpoint and nobody else's work counts (PROTOCOLS: sender-based payloads, receiver-based determinants).
 *
 *   logged.c    the wrappers of messages: what was sent is appended to the journal "sent" of its sender
 *   outcome.c   what the program could not have foreseen (who a wildcard was matched with, which test succeeded) is appended
 *               to the journal "events" of the rank before the program sees it
 *   feed.c      after a restart: the messages that the journals of all senders hold for us, and those that we have sent
 *   logging.c   beginning, checkpoints, collection, end
 *   depend.c    logging=optimistic and causal: what is seen may be lost, and who depends on it
 *
 * A channel's messages are numbered.  A restarted rank executes again what it has done since its checkpoint; the messages it
 * receives come from the journals as far as these go, then from MPI; those it sends are left out as far as its journal or the
 * receiver's checkpoint goes, and compared with what was sent.  Both ends read the same journal, so they agree without a word.
 *
 * Every call has a clock: its number since the first safe point.  It lives in the mapped live table, so how many calls were made is
 * known after a death: of a call before the last that has no event nothing was seen (a test was false), and no event is
 * needed for that.
 *
 * Logging begins at the first safe point: a restarted program comes from belay_recover to the safe point of its checkpoint.
 * What is before it, the prologue, is done again by all ranks at every start.  Its part after belay_recover may not depend on
 * what was restored, or ranks at different steps would talk to each other; so what is sent there is compared with what was
 * sent there at the start before.  The prologue is kept in a journal of its own, for a replay, which has no other ranks.
 */
#ifndef BL_MPI_LOG_H
#define BL_MPI_LOG_H

#include "mpi/local.h"
#include "mpi/runtime.h"
#include "mpi/trees.h"
#include "store/journal.h"

/* --- logging.c --- */
int bl_log_init(bl_error *err);                  /* in MPI_Init: refuses what it cannot do */
int bl_log_choose(uint32_t *checkpoint, bl_error *err); /* our newest checkpoint that can be read, opened; 0: from the start */
void bl_log_begin(bl_error *err);                /* in belay_recover, collective; ends the job when something is missing */
void bl_log_first_safe_point(void);              /* logging begins */
void bl_log_safe_point(uint64_t safe_point);     /* at each, before it is decided whether a checkpoint is due */
int bl_log_begun(void);
int bl_log_all_begun(void);                      /* as far as we know; before, no checkpoint is taken */
int bl_log_checkpoint(uint32_t checkpoint, bl_error *err); /* before its snapshot is written */
void bl_log_kept(uint32_t checkpoint);           /* it exists */
void bl_log_lose(void);                          /* for an injected kill: what is not forced is lost */
void bl_log_finish(void);                        /* when all ranks have come to MPI_Finalize, before it */
void bl_log_abandon(void);                       /* before bl_log_free, in a process that goes back */
void bl_log_free(void);
int bl_log_recoverable(void);                    /* all ranks have come to their first safe points: one can go back alone */
int bl_log_rejoin(bl_error *err);                /* by one that does, at the meeting of local.h: collective; reads all that it needs */
void bl_log_moves(MPI_Comm comm);                /* by one that stays: the communicator of ours, and nobody has heard anything */
int bl_log_begin_anew(bl_error *err);            /* by one that stays, with optimistic and causal logging: journals of this incarnation */
void bl_log_say_begun(bl_error *err);            /* the same, when all have what they need of the one before */
void bl_log_go_on(MPI_Comm beside);              /* they are in force */
void bl_log_end_job(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void bl_log_unsupported(const char *call) __attribute__((noreturn));       /* ends the job: this call cannot be logged */
void bl_log_unlogged(const char *call);          /* the same once logging has begun; before, `belay replay` cannot repeat it */
void bl_log_prologue_begin(void);                /* at the end of MPI_Init */
void bl_log_comm(const bl_comm *comm);           /* a communicator was made; NULL: not for us */
extern const struct bl_under bl_logged_calls;    /* logged.c: in force from bl_log_begin on */

static inline int bl_log_on(void)
{
    return bl_rt.counting == BL_COUNTING_LOGGED;
}

/* Of the call that is being made. */
static inline uint64_t bl_log_clock(void)
{
    return bl_rt.live.header->calls - bl_rt.live.header->clock_base;
}

/* --- feed.c --- */
typedef struct bl_fed {      /* a message out of a journal; or one that a probe has found, and taken out of MPI */
    uint64_t number;
    int tag, taken;
    uint64_t bytes;
    const char *data;
    char *own;               /* to be freed; NULL: in the journal */
} bl_fed;
typedef struct bl_wanted {   /* by a receive: world ranks; MPI_ANY_SOURCE, MPI_ANY_TAG */
    const bl_comm *comm;
    int source, tag;
    int hashed;              /* only one whose contents have this hash */
    uint64_t hash;
} bl_wanted;

int bl_feed_load(bl_error *err);                 /* from all journals "sent"; after the counters are those of the checkpoint */
int bl_feed_load_prologue(uint32_t incarnation, bl_error *err); /* the same of the prologue */
uint64_t *bl_feed_until(void);                   /* [channel_slots] a copy, malloc'ed: the last message in our journal */
void bl_feed_rest(void);                         /* nothing of it until bl_feed_wake */
void bl_feed_wake(void);
/* Collective: what our receivers hold need not be sent again.  sends_again: 0: this rank only says what it holds. */
int bl_feed_agree(MPI_Comm comm, int sends_again, bl_error *err);
int bl_feed_reload(bl_error *err);               /* what the journals of all hold for us that the program has not received: by nobody
                                                    is anything appended meanwhile */
void bl_feed_exchange(void);                     /* what is loaded is put aside, and what was aside is there */
void bl_feed_forget(void);                       /* what is there, but not what is aside */
void bl_feed_free(void);
extern uint64_t bl_feed_left;                    /* messages that are still to be received */
extern uint64_t bl_feed_repeats;                 /* messages that will still be left out */
bl_fed *bl_feed_find(const bl_wanted *wanted, int *source); /* the next of them; NULL: none, ask MPI */
void bl_feed_take(bl_fed *fed);
void bl_feed_stash(const bl_comm *comm, int source, int tag, char *data, uint64_t bytes); /* behind all of this source; frees `data` some day */
int bl_feed_was_sent(const bl_live_slot *slot);  /* the next message on it; then it is left out */
int bl_feed_was_logged(const bl_live_slot *slot, uint64_t number);
const bl_fed *bl_feed_sent(const bl_live_slot *slot, uint64_t number); /* NULL: only its receiver has it */

/* --- outcome.c --- */
enum bl_how { BL_OPEN, BL_NOTHING, BL_KNOWN };   /* not decided yet; the program saw nothing; it saw this */
typedef struct bl_seen {
    int32_t c, d;            /* source, tag; or index; or count */
    const char *payload;
    uint64_t bytes;
} bl_seen;

int bl_outcome_load(uint32_t checkpoint, bl_error *err); /* sets bl_rt's clock to that of the checkpoint */
int bl_outcome_load_prologue(uint32_t *incarnation, bl_error *err); /* of the newest incarnation in which we came to the first safe point */
void bl_outcome_rest(void);                      /* nothing is known until bl_outcome_wake */
void bl_outcome_wake(void);
uint64_t bl_outcome_known(void);                 /* of the last call of which anything is known */
void bl_outcome_free(void);
enum bl_how bl_outcome_of(enum bl_event event, uint64_t clock, bl_seen *seen);
void bl_outcome_log(enum bl_event event, uint64_t clock, int c, int d, const void *payload, size_t bytes);
void bl_outcome_nothing(void);                   /* the call has shown that nothing is there */
int bl_outcome_behind(void);                     /* the call is one that was made before the death */
uint64_t bl_outcome_clock(void);                 /* of the checkpoint */
void bl_outcome_exchange(void);                  /* as bl_feed_exchange */
void bl_outcome_forget(void);

typedef struct bl_log_tally { uint64_t messages, bytes; } bl_log_tally;
extern bl_log_tally bl_log_fed, bl_log_repeated; /* received from journals; sent again and found to be the same */

/* --- logged.c: for the completions of p2p.c and requests.c --- */
void bl_log_entered(void);                       /* every wrapper begins with it */
void bl_log_completed(const bl_request *r, MPI_Status *status, int ends); /* before it is counted; ends: the program lets go of it */
void bl_log_swap(int count, MPI_Request *requests);  /* the handles that MPI knows, for the program from now on */
MPI_Request bl_log_inner(MPI_Request request);       /* the one that MPI knows, for us */
int bl_log_ready(int count, const MPI_Request *requests); /* one that MPI does not know to be complete; -1: none */
void bl_log_request_freed(MPI_Request handle);
void bl_log_persistent(const void *buf, int count, MPI_Datatype type, int peer, int tag, MPI_Comm comm, enum bl_call call, MPI_Request request);
void bl_logged_abandon(void);                    /* MPI has none of our memory any more */
void bl_logged_begin(void);                      /* at the first safe point, when the counters are those of the checkpoint */
const char *bl_logged_cannot_stay(void);         /* local.h: NULL: all that is under way can be had again */
int bl_logged_match_again(void);                 /* 1; 0: another rank has died */
int bl_log_ours(MPI_Request handle);              /* it stands for one that MPI has taken */
int bl_log_taken(MPI_Request handle, MPI_Request *request); /* MPI has, and a rank is dead: 1: the program has to go on with another handle */
void bl_log_type_freed(MPI_Datatype type);       /* it is about to be: receives of it may be under way */
void bl_logged_free(void);
int bl_log_link(MPI_Comm comm, const char *call, bl_tree_link *link); /* for its collectives; 0: it has none, and need not */
int bl_log_held(int count, const MPI_Request *requests); /* of a replay: one will never complete */

/* --- a rank that does something again without the others: in a replay, and when it has gone back alone, up to its first safe point --- */
void bl_log_unknown(void) __attribute__((noreturn)); /* what this call has shown is in no journal */
int bl_log_comm_again(const char *call, MPI_Comm *newcomm);

/* --- replay.c: `belay replay`, one process that is one rank again, without the others --- */
extern int bl_replaying;
void bl_replay_begin(void);                      /* in MPI_Init */
int bl_replay_comm(const char *call, MPI_Comm *newcomm); /* what a call that makes a communicator has made */
int bl_replay_members(MPI_Comm comm, int *size, int **world); /* malloc'ed, NULL: the identity; 0: out of memory */
int bl_replay_rank(const bl_comm *comm);
void bl_replay_choose(bl_error *err);            /* our checkpoint, opened */
void bl_replay_first_safe_point(bl_error *err);         /* at the first safe point, before the program goes on */
void bl_replay_trap(void);                       /* stops a debugger there, once */
void bl_replay_call(void);                       /* the call after the last that is known, or the one to stop at */
void bl_replay_unknown(void) __attribute__((noreturn));              /* what this call has shown is in no journal */
void bl_replay_cannot(const char *call) __attribute__((noreturn));
void bl_replay_differs(const char *text) __attribute__((noreturn));
void bl_replay_finish(void) __attribute__((noreturn));
void bl_replay_failed(const bl_error *err) __attribute__((noreturn));

static inline int bl_log_alone(void)
{
    return bl_replaying | bl_rejoining;
}

#endif
