/* story.h - what the ranks of a job owe each other, and the recovery line that follows, whatever it was read from.
 *
 * Four sources fill a story: the coordinated checkpoints of a job directory (story_coordinated.c), its independent ones
 * (story_independent.c), a trace written as text and a trace file (story_trace.c).  All give the same three things: per
 * rank its checkpoints and how it ended, the messages as edges between intervals, and the graph of src/line.
 *
 * src/line wants checkpoints 0, 1, 2 ... of each rank; numbers on disk have gaps (aborted, collected, undone by a
 * restart).  CP[i](d) is bl_story_point(story, i, d), which knows its number on disk; d = 0 is the start.
 */
#ifndef BL_TOOL_STORY_H
#define BL_TOOL_STORY_H

#include <stdbool.h>
#include <stdint.h>

#include "line/line.h"
#include "tool/view.h"

enum { BL_STORY_NOTES_MAX = 16, BL_STORY_TRACE_BYTES_MAX = 1 << 28 };
enum { BL_STORY_FAILED = 1 << 16 }; /* beyond enum bl_live_state: a trace file says that this rank failed, and no more */

/* All messages of one rank to another in the open interval of a coordinated job. */
typedef struct bl_story_traffic {
    uint32_t from, to;
    int64_t sent, received; /* by the tables of sender and receiver */
} bl_story_traffic;

typedef struct bl_taken {
    uint32_t number;         /* on disk; 0: the start */
    uint64_t safe_point;
    int64_t time_ns;         /* wall clock; 0: not known; of a text trace its step */
    double compute_s;        /* useful work of the job up to here; NaN: not known */
    uint32_t forced;         /* 1: because of a message */
} bl_taken;

/* Messages sent in one interval and received in another.  The intervals are dense; of undelivered ones (received_in is 0)
 * the receiving one does not exist. */
typedef struct bl_flow {
    uint32_t from, sent_in, to, received_in;
    uint64_t messages;       /* 0: some, their number is not recorded */
    uint32_t sent_at, received_at; /* of a text trace: the step of either event; else 0 */
    bool logged;             /* all of them are kept */
} bl_flow;

typedef struct bl_part { uint32_t rank, interval, at; } bl_part; /* in a collective; at: as in bl_flow */

enum bl_story_source { BL_STORY_COORDINATED, BL_STORY_INDEPENDENT, BL_STORY_TEXT, BL_STORY_FILE };

typedef struct bl_story {
    const bl_view *view;               /* NULL: of a trace */
    enum bl_story_source source;
    char from[256];                    /* of a trace: its name */
    uint32_t ranks, incarnation;
    uint64_t *first;                   /* [ranks + 1] into point */
    bl_taken *point;
    char protocol[16];                 /* of the newest checkpoint; "" when there is none */
    bool *seen;                        /* [ranks] how it ended is known: its live table could be read ... */
    bl_live_header *table;             /* ... and began like this; of a trace made up from what it says */
    double *since_s;                   /* [ranks] useful work since the last checkpoint; NaN: not known */
    uint32_t tables;                   /* how many could be read */
    bl_story_traffic *traffic;         /* coordinated: sorted by (from, to), one entry a pair */
    size_t pairs;
    bl_flow *flow;                     /* [flows] */
    size_t flows;
    bl_part *part;                     /* members of collective c: part[hub[c]] .. part[hub[c + 1] - 1] */
    size_t *hub;                       /* [hubs + 1] */
    size_t hubs;
    uint64_t thinned;                  /* only every so many-th message or collective is in flow and part; 0: all are */
    bl_graph *graph;
    enum bl_line_mode mode;            /* transitless; of induced checkpoints and of a trace that logs messages, logged */
    bool crossing;                     /* some message crosses a checkpoint */
    uint8_t *failed;                   /* [ranks] */
    bool assumed;                      /* nobody recorded a death of its own: all ranks are taken as failed */
    bl_line line;                      /* when `failed` lose their memory; has passed bl_line_check */
    bl_line relaunch;                  /* when all do, which is what relaunching means; cut NULL: of a trace too large */
    char note[BL_STORY_NOTES_MAX][512];
    size_t notes, notes_lost;
} bl_story;

/* Reads the story of `incarnation`; UINT32_MAX: of the newest one that left live tables.  bl_story_solve comes next. */
int bl_story_read(const bl_view *view, uint32_t incarnation, bl_story *story, bl_error *err);

/* The same from a trace: text in the grammar of line/trace.h, or a trace file. */
int bl_story_trace(const char *path, bl_story *story, bl_error *err);

/* Computes and checks both lines.  failed: [ranks], or NULL for the ranks whose tables say that they died on their own
 * (killed, aborted, exited, refused), or all when there are none.  Ranks without a live table always count as failed. */
int bl_story_solve(bl_story *story, const uint8_t *failed, bl_error *err);
void bl_story_clear(bl_story *story);

/* Whether this rank ended itself or was ended by an injected fault, and so is a cause and not a casualty. */
bool bl_story_died(const bl_live_header *table);

/* L of a rank, and its checkpoint d <= L. */
static inline uint32_t bl_story_last(const bl_story *story, uint32_t rank)
{
    return (uint32_t)(story->first[rank + 1] - story->first[rank] - 1);
}

static inline const bl_taken *bl_story_point(const bl_story *story, uint32_t rank, uint32_t dense)
{
    return &story->point[story->first[rank] + dense];
}

/* The number on disk of dense checkpoint d; 0 is the start. */
uint32_t bl_story_number(const bl_story *story, uint32_t rank, uint32_t dense);


/* What rank loses by restarting from dense checkpoint `cut`: safe points, and seconds (negative: not known). */
void bl_story_loss(const bl_story *story, uint32_t rank, uint32_t cut, uint64_t *safe_points, double *seconds);

/* What a rollback to story->line does to the messages of a flow.  Both ends may be undone and the sending or the receiving
 * still be part of a state that the rank would else have gone on from: what forces it back. */
enum bl_fate {
    BL_FATE_KEPT,
    BL_FATE_ORPHAN, /* not sent any more, but in the receiver's memory or newest checkpoint */
    BL_FATE_LOST,   /* not received any more, but sent for the sender's memory or newest checkpoint */
    BL_FATE_TRANSIT,/* not received any more, but sent before the line, and kept: sent again */
    BL_FATE_UNDONE  /* after both */
};
enum bl_fate bl_story_fate(const bl_story *story, const bl_flow *flow);

/* Messages of by_rank's undone intervals, from hop->by_interval on, that this hop's interval received (or the other way
 * round when they are lost); 0: their number is not recorded.  counts[k] for hop k. */
void bl_story_count(const bl_story *story, const bl_hop *hop, size_t hops, uint64_t *counts);

#endif
