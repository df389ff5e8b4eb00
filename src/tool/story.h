/* story.h - what the ranks of a job owe each other, from what lies on disk, and the recovery line that follows.
 *
 * The graph has two sources.  Closed intervals come from the committed checkpoints: each snapshot names the dependencies
 * of the interval that it ends, and its collective counters.  The open interval comes from the live tables that the
 * ranks of one incarnation left: what each had sent and received since its last committed checkpoint.
 *
 * src/line wants checkpoints 0, 1, 2 ... of each rank; numbers on disk have gaps (aborted, collected, abandoned by a
 * restart that fell back further).  number[] maps: dense checkpoint d is number[d] on disk, 0 is the start.
 */
#ifndef BL_TOOL_STORY_H
#define BL_TOOL_STORY_H

#include <stdbool.h>
#include <stdint.h>

#include "line/line.h"
#include "tool/view.h"

enum { BL_STORY_NOTES_MAX = 16 };

/* All messages of one rank to another in the open interval. */
typedef struct bl_story_traffic {
    uint32_t from, to;
    int64_t sent, received; /* by the tables of sender and receiver */
} bl_story_traffic;

/* One rank's part in the collectives of one communicator in one interval. */
typedef struct bl_story_part {
    uint64_t comm;
    uint32_t interval, rank;
    int64_t started;
} bl_story_part;

typedef struct bl_story {
    const bl_view *view;
    uint32_t ranks, incarnation;
    uint32_t last;                     /* dense number of the last usable checkpoint: L of every rank */
    const bl_view_checkpoint **at;     /* [last + 1]; at[0] is NULL: the start */
    char protocol[16];                 /* of checkpoint L; "" when there is none */
    bl_view_checkpoint retired;        /* of an older incarnation: the last one it knew, when that has been removed since */
    bool *seen;                        /* [ranks] its live table could be read ... */
    bl_live_header *table;             /* ... and began like this */
    uint32_t tables;                   /* how many could be read */
    bl_story_traffic *traffic;         /* sorted by (from, to), one entry a pair */
    size_t pairs;
    bl_graph *graph;
    bool crossing;                     /* some message crosses a checkpoint */
    uint8_t *failed;                   /* [ranks] */
    bool assumed;                      /* nobody recorded a death of its own: all ranks are taken as failed */
    bl_line line;                      /* when `failed` lose their memory; has passed bl_line_check */
    bl_line relaunch;                  /* when all do, which is what relaunching means */
    char note[BL_STORY_NOTES_MAX][512];
    size_t notes, notes_lost;
} bl_story;

/* Reads the story of `incarnation`; UINT32_MAX: of the newest one that left live tables.  bl_story_solve comes next. */
int bl_story_read(const bl_view *view, uint32_t incarnation, bl_story *story, bl_error *err);

/* Computes and checks both lines.  failed: [ranks], or NULL for the ranks whose tables say that they died on their own
 * (killed, aborted, exited, refused), or all when there are none.  Ranks without a live table always count as failed. */
int bl_story_solve(bl_story *story, const uint8_t *failed, bl_error *err);
void bl_story_clear(bl_story *story);

/* Whether this rank ended itself or was ended by an injected fault, and so is a cause and not a casualty. */
bool bl_story_died(const bl_live_header *table);

/* The number on disk of dense checkpoint d; 0 is the start. */
uint32_t bl_story_number(const bl_story *story, uint32_t dense);

/* What `from` sent to `to` in the open interval, or NULL. */
const bl_story_traffic *bl_story_between(const bl_story *story, uint32_t from, uint32_t to);

/* What rank loses by restarting from dense checkpoint `cut`: safe points, and seconds (negative: not known). */
void bl_story_loss(const bl_story *story, uint32_t rank, uint32_t cut, uint64_t *safe_points, double *seconds);

#endif
