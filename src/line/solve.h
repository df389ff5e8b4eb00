/* solve.h - what a solved line remembers: one record for every lowering, oldest first. */
#ifndef BL_LINE_SOLVE_H
#define BL_LINE_SOLVE_H

#include "line/line.h"

struct bl_lowering {
    uint32_t rank, own; /* cut[rank] became own - 1 ... */
    uint32_t by;        /* ... because of this interval of the parent's rank, and the cause in the top two bits */
    uint32_t parent;    /* the earlier record that undid that interval */
};

#define BL_BY_INTERVAL 0x3fffffffu
#define BL_BY_CAUSE_SHIFT 30

struct bl_line_history {
    uint32_t count, capacity;
    uint32_t *newest; /* [ranks] 1 + index of the rank's last record, 0: never lowered */
    struct bl_lowering *record;
};

/* Fresh arrays for a line of `graph`. */
int bl_line_new(const bl_graph *graph, bl_line *line, bl_error *err);

/* The greatest line with cut[i] <= top[i] (at most L_i+1), with its history. */
int bl_line_greatest_below(bl_graph *graph, enum bl_line_mode mode, const uint32_t *top, bl_line *line, bl_error *err);

/* Drops the history. */
void bl_line_forget(bl_line *line);

/* Fills in what follows from the cut. */
void bl_line_measure(const bl_graph *graph, bl_line *line);

#endif
