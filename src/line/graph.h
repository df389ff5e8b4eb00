/* graph.h - the inside of bl_graph, for the files of this folder. */
#ifndef BL_LINE_GRAPH_H
#define BL_LINE_GRAPH_H

#include "line/line.h"
#include "line/table.h"

struct bl_member {
    uint32_t rank, interval;
};

struct bl_graph {
    uint32_t ranks;
    uint32_t *last;

    struct bl_table sent;     /* row i: what rank i sent; the messages themselves */
    struct bl_table received; /* row j: the same messages by receiver; derived, current when the counts agree */

    uint32_t instances;       /* collectives; instance c has members member[first[c]] .. member[first[c+1]-1] */
    uint64_t instance_capacity, member_capacity;
    uint64_t *first;
    struct bl_member *member;
    uint32_t *seen;           /* [ranks] 1 + the last instance a rank was named in: finds a rank named twice */
    struct bl_table joined;   /* row k: the instances rank k took part in (peer); derived like `received` */
};

/* Brings the rows of `sent` and `joined` up to date, and those of `received` when asked. */
int bl_graph_seal(bl_graph *graph, int with_received, bl_error *err);

/* One byte for each checkpoint, zero: CP[i](x) is (*flags)[(*offsets)[i] + x]; offsets has ranks+1 entries. */
int bl_graph_checkpoints(const bl_graph *graph, uint8_t **flags, uint64_t **offsets, bl_error *err);
void bl_graph_drop_checkpoints(uint8_t **flags, uint64_t **offsets);

/* A never delivered message has this receive interval: undone as soon as rank j rolls back at all. */
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
