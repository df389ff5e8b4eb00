/* checkpoint.h - what the files about taking checkpoints share.
 *
 *   stage.c         the state put aside, and a thread or a child (fork.h) that writes it
 *   checkpoint.c    safe points: what is due at this one
 *   coordinated.c   one checkpoint of all ranks, decided in two phases
 *   independent.c   a rank's own checkpoint, and the line the job restarts from
 *   induced.c       checkpoints that messages force
 *   resend.c        what is in transit across that line, sent again
 *   snapshot.c      the counters and variables of this rank as a file
 */
#ifndef BL_MPI_CHECKPOINT_H
#define BL_MPI_CHECKPOINT_H

#include "line/history.h"
#include "mpi/runtime.h"

typedef struct bl_moment { /* a rank at a safe point it has left */
    uint64_t safe_point;
    double compute_s;
    const bl_variable *variables;
    unsigned nvariables;
    const uint64_t *sent, *received; /* [channel_slots] as the live table had it */
    const uint64_t *started;         /* [collective_slots] */
} bl_moment;

typedef struct bl_cut {   /* this rank's part of a checkpoint */
    uint32_t checkpoint;
    uint64_t safe_point;
    const char *protocol; /* "coordinated", "independent", "induced", or that of the logging */
    const bl_moment *moment; /* what is saved; NULL: the present state */
    uint32_t index;       /* "induced" */
    int forced;           /* by a message */
    int64_t taken_ns;     /* realtime; set by bl_cut_write */
    bl_digest digest;     /* set by bl_cut_write */
} bl_cut;

/* --- snapshot.c --- */
typedef struct bl_gathered {     /* a snapshot that can be written, by any thread */
    bl_snapshot snapshot;
    bl_channel *channels;
    bl_collectives *collectives;
    bl_dependency *dependencies;
} bl_gathered;
int bl_cut_gather(bl_cut *cut, bl_gathered *gathered, bl_error *err); /* to be released in any case */
void bl_cut_release(bl_gathered *gathered);
int bl_cut_write(bl_cut *cut, bl_error *err);
void bl_cut_stable(const bl_cut *cut);           /* it exists: the next interval begins at its counters */
void bl_cut_tell(const bl_cut *cut, double seconds, double held); /* held: of these, it held up the program */
double bl_useful_seconds(void);                  /* of the job up to here, over all incarnations */

/* Says why there is no checkpoint at `safe_point`, and remembers it for belay_strerror; returns BELAY_ERR_PENDING. */
int bl_cut_refuse(uint64_t safe_point, const char *reason, const char *advice);
int bl_cut_refuse_outstanding(uint64_t safe_point); /* because of what is outstanding here */
static inline int bl_cut_obstructed(void) { return bl_rt.active || bl_rt.refused; }

/* --- stage.c: the state put aside, and written while the program goes on --- */
typedef struct bl_copy {         /* of all variables; its memory stays from one copy to the next */
    bl_variable *variable;
    unsigned variables, room;
    char *data;
    size_t bytes, size;          /* used; there */
    int for_child;               /* one of ours reads it; else no child has it, for which it would be copied again, page by page */
} bl_copy;
struct bl_maps;
int bl_copy_variables(bl_copy *copy, const struct bl_maps *stays); /* 0; -1: out of memory; what lies in `stays` is referred to (NULL: nothing) */
void bl_copy_free(bl_copy *copy);

int bl_stage_init(bl_error *err);                /* in MPI_Init: refuses what it cannot do */
int bl_stage_on(void);
void bl_stage_prepare(void);                     /* memory for the variables that are protected now, touched in a thread */
int bl_stage_begin(bl_cut *cut, bl_error *err);  /* the cut's moment is what was put aside until bl_stage_end */
int bl_stage_done(bl_cut *cut, int *rc, bl_error *err); /* 1: written, or not, as *rc says */
void bl_stage_end(bl_cut *cut);
void bl_stage_before_rename(void (*hook)(void)); /* as bl_store_before_rename, for who writes */
void bl_stage_abandon(void);                     /* of a process that goes back: waits until nothing is written any more */
void bl_stage_free(void);

/* Waiting without using the processor; `turn` counts from 0. */
void bl_pause_briefly(unsigned turn);

/* --- coordinated.c --- */
int bl_coordinated_init(bl_error *err);
void bl_coordinated_free(void);
/* BELAY_OK when committed; or, with async, when it is being written: then each safe point has to call bl_coordinated_go_on. */
int bl_coordinated_take(uint64_t safe_point, int stops);
int bl_coordinated_pending(void);
int bl_coordinated_go_on(void);                  /* 1: at this safe point it has been committed */
void bl_coordinated_settle(void);                /* waits until nothing is pending */

/* --- independent.c --- */
int bl_independent_count_on(bl_error *err);      /* from the counters of the snapshot that is open */
int bl_independent_choose(bl_error *err);        /* in MPI_Init: agree on the line, each rank with its own snapshot open */
int bl_independent_attend(uint64_t safe_point, belay_status *status);
int bl_independent_take(bl_cut *cut);            /* under the next number */
void bl_independent_first(uint64_t safe_point);
void bl_independent_ask(void);                   /* one is wanted at the next safe point */
uint64_t bl_independent_attention(void); /* the next safe point at which to look */

/* --- induced.c --- */
int bl_induced_init(bl_error *err);              /* in MPI_Init; nothing with another protocol */
void bl_induced_free(void);
int bl_induced_attend(uint64_t safe_point, int due, int *taken); /* every safe point */
uint32_t bl_induced_index(void);                 /* what sends tell; 0 with any other protocol */
void bl_induced_sent(void);                      /* before each send */
void bl_induced_hear(uint32_t index);            /* a marker has come: it will be the index of a message not yet delivered */
/* The next message of the channel, told `index`, is about to be shown to the program and is not counted yet: takes the
 * checkpoint it forces.  1: bl_induced_keep has to be given its contents. */
int bl_induced_deliver(bl_live_slot *slot, uint32_t index);
void bl_induced_keep(const bl_live_slot *slot, uint64_t number, const void *data, int count, MPI_Datatype type, MPI_Comm comm);
/* A marker has come that should have come before message `from` of the channel was delivered. */
void bl_induced_late(const bl_live_slot *slot, uint64_t from, uint32_t index);

/* --- resend.c --- */
/* In MPI_Init, collective: what is in transit across the line (`row` counts on rank 0 only), whose ranks restart from
 * restart[0..ranks-1].  1: done; 0: another line has to be found, since a rank could not read what it needs any more. */
int bl_resend_plan(const bl_transit *row, size_t rows, const uint32_t *restart, bl_error *err);
void bl_resend(bl_error *err);                   /* in belay_recover; collective */
/* The same of message logging: nothing may be under way, and the counters are those of the checkpoint again. */
int bl_prologue_settled(const char *setting, bl_error *err);
void bl_prologue_forget(void);
void bl_resend_on(const bl_comm *comm);          /* a communicator has come into being */
void bl_resend_reap(void);
void bl_resend_free(void);

/* --- recover.c --- */
int bl_open_and_verify(uint32_t checkpoint, const bl_digest *digest, bl_error *err); /* into bl_rt.reader, bl_rt.restore */
void bl_give_up_snapshot(uint32_t checkpoint, const bl_error *why);                  /* to quarantine, and says so */
void bl_close_reader(void);

#endif
