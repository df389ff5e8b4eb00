/* scene.h - what a picture of a report consists of, in as many rows and arrows as a picture can hold.
 *
 * A row is one rank, or as many neighbouring ranks as it takes to have at most `rows` of them.  Arrows with the same rows,
 * fate and (rounded) ends are one arrow with a count.  Everything is in the units of the layout: 0 .. length. */
#ifndef BL_TOOL_SCENE_H
#define BL_TOOL_SCENE_H

#include "tool/layout.h"
#include "tool/report.h"

typedef struct bl_lane {
    uint32_t first, ranks;
    uint32_t failed, keeping;     /* of these */
    double begin, end;
    double cut_low, cut_high;     /* where its ranks restart; end: they keep their memory */
    uint32_t cut_number;          /* of the first rank's restart checkpoint; 0: the start */
} bl_lane;

enum bl_mark_state { BL_MARK_KEPT, BL_MARK_LINE, BL_MARK_UNDONE };
typedef struct bl_mark { uint32_t row, number, count; double at; enum bl_mark_state state; } bl_mark;

typedef struct bl_arrow {
    uint32_t from, to;            /* rows */
    double sent, received;
    uint64_t messages;            /* 0: some */
    enum bl_fate fate;
    bool delivered;
    uint32_t step;                /* in the longest chain of the domino, from 1; 0: not in it */
} bl_arrow;

typedef struct bl_band { double at; uint32_t first, last; bool undone; } bl_band; /* a collective over rows first to last */

typedef struct bl_scene {
    const bl_report *report;
    bl_layout layout;
    uint32_t each;                /* ranks in a row */
    bl_lane *row;
    uint32_t rows;
    bl_mark *mark;
    size_t marks;
    bl_arrow *arrow;
    size_t arrows;
    bl_band *band;
    size_t bands;
    uint64_t hidden;              /* messages not drawn: between ranks of one row, or among too many others */
} bl_scene;

/* At most so many rows; arrows and marks are rounded to `bins` places along the axis where there are more than `most`. */
int bl_scene_make(const bl_report *report, uint32_t rows, uint32_t bins, size_t most, bl_scene *scene, bl_error *err);
void bl_scene_clear(bl_scene *scene);

/* What the picture shows, in a title and one or two sentences. */
void bl_scene_title(const bl_scene *scene, char *text, size_t size);
void bl_scene_caption(const bl_scene *scene, char *text, size_t size);
bl_text bl_scene_source(const bl_scene *scene);

#endif
