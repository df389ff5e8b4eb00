/* past.h - the independent or induced checkpoints of a job as they lie on disk, and the line it restarts from.
 *
 * Nobody decided about them together: CP[i](n) exists when its file does.  What the files of all ranks count (messages per
 * channel, collectives) gives the dependencies between them, and src/line the greatest line without an orphan or a lost
 * message; of induced ones without an orphan, and with nothing in transit whose contents the late files (store/late.h) do
 * not hold.  All ranks restart, so no volatile state counts.
 */
#ifndef BL_RECOVERY_PAST_H
#define BL_RECOVERY_PAST_H

#include "line/history.h"
#include "store/store.h"

enum { BL_PATH_TRACE = 4200 };

typedef struct bl_past_checkpoint {
    uint32_t number, incarnation;
    uint64_t safe_point;
    int64_t time_ns;
    double compute_s;
    uint32_t index, forced;       /* as in bl_snapshot */
} bl_past_checkpoint;

typedef struct bl_past {
    uint32_t ranks;
    char protocol[16];            /* "independent", "induced", "pessimistic"; "": there is nothing that says it */
    enum bl_line_mode mode;       /* logged of induced ones, else transitless */
    uint32_t *last;               /* [ranks] L_i */
    bl_past_checkpoint **at;      /* [ranks][L_i + 1]; [0] is the start: all zero */
    bl_history *history;
    bl_graph *graph;
    bl_line line;                 /* cut[i] indexes at[i] */
    const bl_transit *transit;    /* [transits] what the line has in transit, all of it kept; belongs to the history */
    size_t transits;
} bl_past;

/* Reads them all and solves.  A file that does not verify is left out with a sentence to `note`, and moved to quarantine
 * when `quarantine` is set; so is a coordinated one left out.  A damaged late file counts up to where it is damaged,
 * with a sentence to `note`.  What is newer than this version, and a late file of another job, is an error, and so is a
 * mixture (BELAY_ERR_REFUSED). */
int bl_past_read(bl_store *store, int quarantine, bl_note *note, void *context, bl_past *past, bl_error *err);
/* Damage of one snapshot is survived by going back further; a file this version or this user cannot read is not damage, and
 * silently losing the work in it would be wrong. */
int bl_past_survivable(int rc);

/* Reads them and leaves it at that: graph and line are empty, and the history takes open intervals. */
int bl_past_counters(bl_store *store, bl_past *past, bl_error *err);
void bl_past_clear(bl_past *past);

/* BELAY_ERR_REFUSED with what to do when the job has been going on with checkpoints of another kind than `protocol`. */
int bl_past_belongs(const bl_past *past, const bl_store *store, const char *protocol, bl_error *err);

/* The checkpoint rank i restarts from. */
const bl_past_checkpoint *bl_past_restart(const bl_past *past, uint32_t rank);

/* Writes DIR/trace-IIII.h5: the same, what the live tables of that incarnation add, and who failed.  For `belay line`;
 * nothing depends on it. */
int bl_past_record(bl_store *store, uint32_t incarnation, bl_error *err);

/* Of the late files of `rank`, what `row` ([rows], as bl_past.transit; those to other ranks are skipped) says is kept for a
 * restart from its checkpoint `checkpoint`, nothing else (bl_late_settle).  BELAY_ERR_DAMAGED when some of it cannot be read
 * any more: read the past again, its line is an older one.  No rank goes on before all have done this. */
int bl_past_settle(bl_store *store, uint32_t rank, uint32_t checkpoint, const bl_transit *row, size_t rows, bl_error *err);

/* Removes the snapshots that are older than the line, and late files of which no later line can have anything in transit.
 * Returns how many snapshots. */
int bl_past_collect(bl_store *store, const bl_past *past, uint32_t *removed, bl_error *err);

#endif
