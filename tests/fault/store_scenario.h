/* store_scenario.h - the life of a small job, and what has to be found of it wherever it was cut off. */
#ifndef STORE_SCENARIO_H
#define STORE_SCENARIO_H

#include <stdint.h>

#include "store/store.h"

enum { SCENARIO_RANKS = 2 };

typedef struct scenario_state {  /* also what the marks in a record say: io_mark(offset of the field, value) */
    uint64_t created;            /* bl_store_create had returned */
    uint64_t deciding;           /* a decision to commit this checkpoint had begun */
    uint64_t committed;          /* ... and had returned */
    uint64_t incarnation;        /* bl_store_next_incarnation had returned this */
    uint64_t forgotten;          /* bl_snapshot_forget of this snapshot of rank 0 had returned */
    uint64_t appending, appended; /* bl_late_append of this message of rank 1 had begun; had returned */
    uint64_t dropping;           /* removal of the late files up to this message had begun */
    uint64_t settling, settled;  /* bl_late_settle of the even ones had begun; had returned */
} scenario_state;

/* Two checkpoints, collection of the first, a second incarnation, one checkpoint given up, one more, one
 * snapshot of a rank alone forgotten, collection; and late messages of rank 1 all along.  `wrong`
 * collects the garbage of a committed checkpoint in the wrong order: snapshots before the record. */
int scenario_run(const char *dir, enum bl_stable stable, int wrong, scenario_state *state, bl_error *err);

/* Recovers from what is in `dir` and compares with what is known; NULL, or what is wrong.  `go_on`: also lives on. */
const char *scenario_recover(const char *dir, const scenario_state *state, int go_on);

#endif
