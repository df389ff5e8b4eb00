/* trail.h - what the journals "events" of a job with logging=optimistic or causal say of who depends on whom: for what is left after
 * a failure, of the newest incarnation that began.  protocol/msglog.h says what that makes of it.
 */
#ifndef BL_STORE_TRAIL_H
#define BL_STORE_TRAIL_H

#include "store/journal.h"

/* Decided: `rank` is the journal's own, `number` how much it has decided by then.  Needs: from here on it depends on what `rank`
 * has decided as number `number`.  Holds: it knows that; record and payload are the event. */
enum bl_trail_kind { BL_TRAIL_DECIDED, BL_TRAIL_NEEDS, BL_TRAIL_HOLDS };
typedef struct bl_trail_entry {
    enum bl_trail_kind kind;
    uint32_t rank, number;
    bl_journal_place place;
    bl_record record;
    const char *payload;         /* in the journal, until bl_trails_clear */
} bl_trail_entry;

typedef struct bl_trail {        /* of one rank */
    bl_journal_reader *reader;   /* NULL: it has no journal */
    bl_trail_entry *entry;       /* [entries] in the order of its journal */
    uint32_t entries, room;
} bl_trail;

typedef struct bl_trails {
    uint32_t ranks, ended;       /* ended: the incarnation */
    int any;                     /* 0: none began */
    bl_trail *trail;             /* [ranks] */
} bl_trails;

/* BELAY_ERR_DAMAGED with the reason when a journal cannot be believed.  To be cleared in any case. */
int bl_trails_read(bl_store *store, uint32_t ranks, bl_trails *trails, bl_error *err);
void bl_trails_clear(bl_trails *trails);

#endif
