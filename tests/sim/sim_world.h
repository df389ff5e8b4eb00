/* sim_world.h - n commit machines, a network and a shared write-once store, all simulated: one run is one plan.
 *
 * The world is the driver that commit.h speaks of, with everything that may go wrong.  Whatever is under way (a message,
 * a store operation, a process on its way to its next safe point) lies in one pool; a run takes one thing after another
 * out of it, by chance, until nothing is left.  There is no time: a slow link is a message that is taken late.  Processes
 * die at boundaries: before and after every single action.  A dead process loses its machine and keeps its snapshots.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "protocol/commit.h"

enum { SIM_PROCESSES = 7, SIM_CHECKPOINTS = 3, SIM_CRASHES = 4, SIM_POOL = 1024, SIM_EARLY = SIM_PROCESSES * BL_KINDS };
enum { SIM_NEVER = 0x7fffffff };

enum sim_order { SIM_ANY_ORDER, SIM_OLDEST_FIRST, SIM_NEWEST_FIRST };
enum sim_restart { SIM_STAY_DEAD, SIM_RESTART_SOON, SIM_RESTART_LATE };

/* Ways to break the protocol without touching it: what a careless driver or a tempting simplification would do. */
enum sim_mutant {
    SIM_CORRECT,
    SIM_COMMIT_BEFORE_DECIDED, /* the coordinator tells COMMIT before the record is its own */
    SIM_COMMIT_ON_TIMEOUT,     /* READY timeout is taken for COMMIT */
    SIM_ABORT_ON_TIMEOUT,      /* READY timeout is taken for ABORT */
    SIM_VOTE_BEFORE_SNAPSHOT,  /* yes is voted while the snapshot is still being written */
    SIM_RECORD_OVERWRITTEN,    /* the last decision wins, not the first */
    SIM_RECORD_NOT_ADOPTED,    /* who lost the record believes to have won */
    SIM_LOG_FORGOTTEN,         /* a restarted process does not look for its snapshot */
    SIM_NO_READY_TIMER,        /* waits for the coordinator for ever */
    SIM_NO_RECORD_MEANS_ABORT, /* aborts without forcing ABORT through the record */
    SIM_UNCERTAIN_MEANS_ABORT, /* "I do not know" is taken for ABORT */
    SIM_NO_IS_YES,             /* refusals are lost on the coordinator */
    SIM_ANY_CHECKPOINT,        /* messages of other checkpoints are taken for this one's */
    SIM_ANY_INCARNATION,       /* messages of the incarnation before are believed */
    SIM_MUTANTS
};

typedef struct sim_plan {
    uint64_t seed;
    uint32_t n, checkpoints, coordinator;
    enum sim_order order;
    enum sim_restart restart;
    enum sim_mutant mutant;
    bool eager;                    /* the next machine is made at once, not at the next safe point */
    bool linger;                   /* a decision under way is still published after its process died */
    uint32_t hasty;                /* of 256: a timer fires though something is under way */
    uint32_t lose, repeat, refuse, store_fails; /* of 256 */
    uint32_t crash;                /* of 1024, at each boundary */
    uint32_t crashes;              /* how many at most */
    uint32_t crash_at[2];          /* boundaries (numbers from 0) where whoever acts dies; SIM_NEVER */
} sim_plan;

typedef struct sim_result {
    bool ok;
    char why[200];
    uint32_t boundaries, steps, crashes;
    uint32_t committed, aborted, undecided;  /* checkpoints, by what the processes came to know */
    uint32_t lost;                           /* processes that gave up */
} sim_result;

const char *sim_mutant_name(enum sim_mutant mutant);
sim_plan sim_plan_of_seed(uint64_t seed);
void sim_plan_print(const sim_plan *plan, FILE *to);

/* Runs the plan; tells what happens to `trace` when there is one. */
sim_result sim_run(const sim_plan *plan, FILE *trace);

#endif
