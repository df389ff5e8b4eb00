/* table.h - edges grouped by rank: a growing list that becomes compressed rows (CSR) when sealed.
 *
 * As long as edges arrive in order (rank ascending, `at` descending) the rows are built while loading and an edge costs
 * 12 bytes.  The first one out of order adds a label of 4 bytes an edge; sealing sorts in place and drops the labels. */
#ifndef BL_LINE_TABLE_H
#define BL_LINE_TABLE_H

#include <stdint.h>

#include "util/error.h"

struct bl_edge {
    uint32_t at;      /* interval of the rank that owns the row */
    uint32_t peer;    /* the other rank, or a collective's number */
    uint32_t peer_at; /* its interval, and BL_EDGE_LOGGED */
};

#define BL_EDGE_LOGGED 0x80000000u
#define BL_EDGE_INTERVAL 0x7fffffffu

struct bl_table {
    uint32_t ranks, open;    /* start[] is valid up to `open`, the rank of the last edge, while from == NULL */
    uint64_t count, capacity;
    struct bl_edge *edge;
    uint32_t *from;          /* owner of each edge, only while the edges are out of order */
    uint64_t *start;         /* [ranks + 1] */
};

int bl_table_init(struct bl_table *table, uint32_t ranks, bl_error *err);
void bl_table_clear(struct bl_table *table);
int bl_table_reserve(struct bl_table *table, uint64_t more, bl_error *err);
int bl_table_add(struct bl_table *table, uint32_t rank, struct bl_edge edge, bl_error *err);

/* Afterwards row i is edge[start[i]] .. edge[start[i+1]-1], `at` descending.  More edges may be added later. */
void bl_table_seal(struct bl_table *table);

#endif
