/* table.h - edges grouped by rank: a growing list that becomes compressed rows (CSR) when sealed.
 *
 * An edge takes as many bytes as the numbers of its graph need, at least 4: 10^8 of them have to fit twice.  As long as
 * edges arrive rank after rank the rows are built while loading.  The first one out of order adds a label of 4 bytes an
 * edge; sealing sorts in place and drops the labels. */
#ifndef BL_LINE_TABLE_H
#define BL_LINE_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

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
    uint8_t *packed;         /* edges of `width` bytes: at, peer, peer_at, logged from the lowest bit; or struct bl_edge */
    unsigned width, at_bits, peer_bits, peer_at_bits;
    int unsorted;            /* some row is not `at` descending yet */
    uint32_t *from;          /* owner of each edge, only while the owners are out of order */
    uint64_t *start;         /* [ranks + 1] */
    void (*large)(void *array, size_t bytes); /* bl_graph_hint_large's */
};

/* `most` has the highest values that any edge will have (without BL_EDGE_LOGGED). */
int bl_table_init(struct bl_table *table, uint32_t ranks, struct bl_edge most, bl_error *err);
void bl_table_clear(struct bl_table *table);
int bl_table_reserve(struct bl_table *table, uint64_t more, bl_error *err);
int bl_table_add(struct bl_table *table, uint32_t rank, struct bl_edge edge, bl_error *err);

/* Afterwards row i is the edges start[i] .. start[i+1]-1, `at` descending.  More edges may be added later. */
void bl_table_seal(struct bl_table *table);

/* The edges of a sealed table, whose peers are ranks, as their peers see them; sealed. */
int bl_table_mirror(const struct bl_table *table, uint32_t most_at, struct bl_table *mirror, bl_error *err);

static inline struct bl_edge bl_table_edge(const struct bl_table *table, uint64_t n)
{
    const uint8_t *packed = table->packed + n * table->width;
    struct bl_edge edge;
    if (table->width == sizeof edge) {
        memcpy(&edge, packed, sizeof edge);
        return edge;
    }
    uint64_t bits; /* what lies beyond the edge is allocated, and masked off */
    memcpy(&bits, packed, sizeof bits);
    edge.at = (uint32_t)(bits & ((1ull << table->at_bits) - 1));
    bits >>= table->at_bits;
    edge.peer = (uint32_t)(bits & ((1ull << table->peer_bits) - 1));
    bits >>= table->peer_bits;
    edge.peer_at = (uint32_t)(bits & ((1ull << table->peer_at_bits) - 1));
    edge.peer_at |= (uint32_t)(bits >> table->peer_at_bits & 1) << 31;
    return edge;
}

#endif
