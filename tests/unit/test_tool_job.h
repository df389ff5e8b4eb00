/* test_tool_job.h - makes job directories as a run would have left them, without running anything. */
#ifndef TEST_TOOL_JOB_H
#define TEST_TOOL_JOB_H

#include "store/live.h"
#include "store/store.h"

/* Messages of one rank to another, counted since the start of the incarnation. */
typedef struct flow { uint32_t from, to; uint64_t sent, received; } flow;

/* A dependency that the snapshot of `to` records: `to` received in interval `received_in` what was sent in `sent_in`. */
typedef struct link { uint32_t from, sent_in, to, received_in; } link_;

typedef struct job_state { /* how a rank's table ends; all zero: it runs, at safe point 0 */
    uint32_t state;
    int32_t code;
    uint64_t safe_point;
} job_state;

/* All ranks save at `safe_point` and the decision is published.  Counters and collectives (on communicator 1) as given;
 * lists end at `count`.  Everything here stops the test when the store refuses. */
typedef struct job_checkpoint {
    uint32_t number, base;
    uint64_t safe_point, collectives;
    enum bl_decision decision;
    const flow *flows;
    size_t nflows;
    const link_ *links;
    size_t nlinks;
} job_checkpoint;

bl_store *job_new(const char *dir, uint32_t ranks);
void job_commit(bl_store *store, const job_checkpoint *checkpoint);

/* The live tables of the store's incarnation: `last` the last checkpoint the ranks learnt of (its counters: at_*), flows
 * and collectives until now; collectives[rank].  host NULL: this one, and process `pid`. */
typedef struct job_tables {
    const job_checkpoint *last;
    uint32_t base;
    const flow *flows;
    size_t nflows;
    const uint64_t *collectives;
    const job_state *states;
    const char *host;
    int32_t pid;
} job_tables;

void job_live(bl_store *store, const job_tables *tables);

/* Many ranks in a chain, 0 <- 1 <- 2 ...: each received from the next one after checkpoint 1, and the last one called
 * MPI_Abort. */
void job_chain(const char *dir, uint32_t ranks);

/* Ready-made ones, by name: see test_tool_job.c.  Returns 0 when there is none of that name. */
int job_scenario(const char *dir, const char *name);

#endif
