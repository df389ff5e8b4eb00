/* graph.h - the inside of bl_graph, for the files of this folder. */
#ifndef BL_LINE_GRAPH_H
#define BL_LINE_GRAPH_H

#include "line/line.h"
#include "line/table.h"

struct bl_member {
    uint32_t rank, interval;
};

struct bl_joiner { /* what the instance added last knows of a rank */
    uint32_t series;   /* 1 + the first instance of the last series it is a member of */
    uint32_t named;    /* 1 + the last instance that named it: finds a rank named twice */
    uint32_t interval;
};

struct bl_graph {
    uint32_t ranks;
    uint32_t highest;         /* an interval that no rank's exceeds */
    uint32_t *last;
    void (*large)(void *array, size_t bytes); /* bl_graph_hint_large's, or NULL */

    struct bl_table sent;     /* row i: what rank i sent; the messages themselves */
    struct bl_table received; /* row j: the same messages by receiver; derived, current when the counts agree */

    /* Collectives, in series of instances with the same members.  Intervals only grow along a series, so an instance
     * undone means the later ones undone, and each lists only what it changes: instance c puts the members
     * member[first[c]] .. member[first[c+1]-1] into new intervals, all of them when it begins a series. */
    uint32_t instances;
    uint64_t instance_capacity, member_capacity;
    uint64_t *first;
    uint8_t *follows;         /* [instances + 1] it is of the same series as the one before; 0 at the end */
    struct bl_member *member;
    uint32_t series;          /* first instance of the last series */
    struct bl_joiner *joiner; /* [ranks] */
    struct bl_table joined;   /* row k: where rank k enters an interval: `at`, and the instance as peer; derived */
    struct bl_table left;     /* row c: the members (peer) whose interval (peer_at) ends with instance c; derived */
};

/* Says that a large array was made, before it is touched. */
static inline void bl_graph_hint(const bl_graph *graph, void *array, size_t bytes)
{
    if (graph->large)
        graph->large(array, bytes);
}

/* Brings the rows of `sent` and `joined` up to date, and those of `received` when asked. */
int bl_graph_seal(bl_graph *graph, int with_received, bl_error *err);

/* One byte for each checkpoint, zero: CP[i](x) is (*flags)[(*offsets)[i] + x]; offsets has ranks+1 entries. */
int bl_graph_checkpoints(const bl_graph *graph, uint8_t **flags, uint64_t **offsets, bl_error *err);
void bl_graph_drop_checkpoints(uint8_t **flags, uint64_t **offsets);

/* A never delivered message, and a collective never started, has this interval: undone as soon as rank j rolls back. */
static inline uint32_t bl_graph_never(const bl_graph *graph, uint32_t j)
{
    return graph->last[j] + 2;
}

/* May `edge` be lost in this mode without harm? */
static inline int bl_edge_may_be_lost(struct bl_edge edge, enum bl_line_mode mode)
{
    return mode == BL_LINE_CONSISTENT || (mode == BL_LINE_LOGGED && (edge.peer_at & BL_EDGE_LOGGED));
}

#endif
