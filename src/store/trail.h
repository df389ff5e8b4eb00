/* trail.h - what the journals "events" of a job with logging=optimistic or causal say of who depends on whom: for what is left after
 * a failure, of the newest incarnation that began.
 */
#ifndef BL_STORE_TRAIL_H
#define BL_STORE_TRAIL_H

#include "store/journal.h"
#include "util/step.h"

typedef struct bl_trail_entry {   /* beside its step */
    bl_journal_place place;
    bl_record record;            /* needs: of all of them; holds: the event that is held */
    const char *payload;         /* in the journal, until bl_trails_clear */
} bl_trail_entry;

typedef struct bl_trail {        /* of one rank */
    bl_journal_reader *reader;   /* NULL: it has no journal */
    bl_step *step;               /* [steps] in the order of its journal; line/intervals.h says what that makes of it */
    bl_trail_entry *entry;       /* [steps] */
    uint32_t steps, room;
} bl_trail;

typedef struct bl_trails {
    uint32_t ranks, ended;       /* ended: the incarnation */
    int any;                     /* 0: none began */
    bl_trail *trail;             /* [ranks] */
} bl_trails;

/* BELAY_ERR_DAMAGED with the reason when a journal cannot be believed.  To be cleared in any case. */
int bl_trails_read(bl_store *store, uint32_t ranks, bl_trails *trails, bl_error *err);
/* The newest checkpoint of a rank of which the first `good` steps remain; 0: the start. */
int bl_trail_restart(bl_store *store, const bl_trails *trails, uint32_t rank, uint32_t good, uint32_t *restart, bl_error *err);
void bl_trails_clear(bl_trails *trails);

#endif
