#include "line/graph.h"

#include <stdlib.h>
#include <string.h>

int bl_graph_new(uint32_t ranks, const uint32_t *last, bl_graph **graph, bl_error *err)
{
    *graph = NULL;
    if (ranks == 0 || ranks == UINT32_MAX)
        return bl_fail(err, BELAY_ERR_ARG, "a dependency graph needs 1 to %u ranks, not %u", UINT32_MAX - 1, (unsigned)ranks);
    for (uint32_t i = 0; i < ranks; i++)
        if (last[i] > BL_LINE_MAX_LAST)
            return bl_fail(err, BELAY_ERR_ARG, "rank %u has checkpoint %u; the limit is %u", (unsigned)i, (unsigned)last[i],
                           (unsigned)BL_LINE_MAX_LAST);
    bl_graph *g = calloc(1, sizeof *g);
    if (!g)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory for a dependency graph");
    g->ranks = ranks;
    int rc = bl_table_init(&g->sent, ranks, err);
    g->last = malloc((size_t)ranks * sizeof *g->last);
    if (!rc && !g->last)
        rc = bl_fail(err, BELAY_ERR_MEMORY, "no memory for a dependency graph of %u ranks", (unsigned)ranks);
    if (rc) {
        bl_graph_free(g);
        return rc;
    }
    memcpy(g->last, last, (size_t)ranks * sizeof *last);
    *graph = g;
    return BELAY_OK;
}

void bl_graph_free(bl_graph *graph)
{
    if (!graph)
        return;
    bl_table_clear(&graph->sent);
    bl_table_clear(&graph->received);
    bl_table_clear(&graph->joined);
    free(graph->first);
    free(graph->member);
    free(graph->seen);
    free(graph->last);
    free(graph);
}

uint32_t bl_graph_ranks(const bl_graph *graph)
{
    return graph->ranks;
}

const uint32_t *bl_graph_last(const bl_graph *graph)
{
    return graph->last;
}

int bl_graph_reserve(bl_graph *graph, uint64_t messages, bl_error *err)
{
    return bl_table_reserve(&graph->sent, messages, err);
}

static int in_range(const bl_graph *graph, uint32_t rank, uint32_t interval, bl_error *err)
{
    if (rank >= graph->ranks)
        return bl_fail(err, BELAY_ERR_ARG, "there is no rank %u among %u ranks", (unsigned)rank, (unsigned)graph->ranks);
    if (interval == 0 || interval > graph->last[rank] + 1)
        return bl_fail(err, BELAY_ERR_ARG, "rank %u has intervals 1 to %u, not %u", (unsigned)rank,
                       (unsigned)graph->last[rank] + 1, (unsigned)interval);
    return BELAY_OK;
}

int bl_graph_message(bl_graph *graph, uint32_t i, uint32_t s, uint32_t j, uint32_t r, unsigned flags, bl_error *err)
{
    int rc = in_range(graph, i, s, err);
    if (!rc)
        rc = in_range(graph, j, flags & BL_MSG_UNDELIVERED ? 1 : r, err);
    if (rc)
        return rc;
    if (flags & ~(unsigned)(BL_MSG_LOGGED | BL_MSG_UNDELIVERED))
        return bl_fail(err, BELAY_ERR_ARG, "unknown message flags %#x", flags);
    struct bl_edge edge = {s, j, flags & BL_MSG_UNDELIVERED ? bl_graph_never(graph, j) : r};
    if (flags & BL_MSG_LOGGED)
        edge.peer_at |= BL_EDGE_LOGGED;
    return bl_table_add(&graph->sent, i, edge, err);
}

static int room_for_instance(bl_graph *graph, uint32_t members, bl_error *err)
{
    if (!graph->seen)
        graph->seen = calloc(graph->ranks, sizeof *graph->seen);
    if (!graph->seen || graph->instances >= UINT32_MAX - 1)
        goto full;
    if (graph->instances + 2ull > graph->instance_capacity) {
        uint64_t capacity = 2 * graph->instance_capacity + 16;
        uint64_t *first = realloc(graph->first, (size_t)capacity * sizeof *first);
        if (!first)
            goto full;
        first[graph->instances] = graph->instances ? first[graph->instances] : 0;
        graph->first = first;
        graph->instance_capacity = capacity;
    }
    uint64_t used = graph->first[graph->instances];
    if (used + members > graph->member_capacity) {
        uint64_t capacity = 2 * graph->member_capacity + members;
        struct bl_member *member = realloc(graph->member, (size_t)capacity * sizeof *member);
        if (!member)
            goto full;
        graph->member = member;
        graph->member_capacity = capacity;
    }
    return BELAY_OK;
full:
    return bl_fail(err, BELAY_ERR_MEMORY, "no memory for collective %u of %u members", (unsigned)graph->instances + 1,
                   (unsigned)members);
}

int bl_graph_collective(bl_graph *graph, uint32_t members, const uint32_t *rank, const uint32_t *interval, bl_error *err)
{
    if (members == 0)
        return bl_fail(err, BELAY_ERR_ARG, "a collective needs at least one member");
    for (uint32_t k = 0; k < members; k++) {
        int rc = in_range(graph, rank[k], interval[k], err);
        if (rc)
            return rc;
    }
    int rc = room_for_instance(graph, members, err);
    if (rc)
        return rc;
    uint64_t used = graph->first[graph->instances];
    for (uint32_t k = 0; k < members; k++) {
        if (graph->seen[rank[k]] == graph->instances + 1) {
            for (uint32_t undo = 0; undo < k; undo++)
                graph->seen[rank[undo]] = 0;
            return bl_fail(err, BELAY_ERR_ARG, "rank %u takes part twice in one collective", (unsigned)rank[k]);
        }
        graph->seen[rank[k]] = graph->instances + 1;
        graph->member[used + k] = (struct bl_member){rank[k], interval[k]};
    }
    graph->first[++graph->instances] = used + members;
    return BELAY_OK;
}

static int add_received(const bl_graph *graph, struct bl_table *table, bl_error *err)
{
    for (uint32_t i = 0; i < graph->ranks; i++)
        for (uint64_t e = graph->sent.start[i]; e < graph->sent.start[i + 1]; e++) {
            struct bl_edge m = graph->sent.edge[e];
            struct bl_edge edge = {m.peer_at & BL_EDGE_INTERVAL, i, m.at | (m.peer_at & BL_EDGE_LOGGED)};
            int rc = bl_table_add(table, m.peer, edge, err);
            if (rc)
                return rc;
        }
    return BELAY_OK;
}

static int add_joined(const bl_graph *graph, struct bl_table *table, bl_error *err)
{
    for (uint32_t c = 0; c < graph->instances; c++)
        for (uint64_t m = graph->first[c]; m < graph->first[c + 1]; m++) {
            struct bl_edge edge = {graph->member[m].interval, c, 0};
            int rc = bl_table_add(table, graph->member[m].rank, edge, err);
            if (rc)
                return rc;
        }
    return BELAY_OK;
}

/* Makes a derived table again when the graph has grown since; both sources only ever grow. */
static int derive(const bl_graph *graph, struct bl_table *table, uint64_t count,
                  int (*add)(const bl_graph *, struct bl_table *, bl_error *), bl_error *err)
{
    if (table->start && table->count == count)
        return BELAY_OK;
    bl_table_clear(table);
    int rc = bl_table_init(table, graph->ranks, err);
    if (!rc)
        rc = bl_table_reserve(table, count, err);
    if (!rc)
        rc = add(graph, table, err);
    if (rc)
        bl_table_clear(table);
    else
        bl_table_seal(table);
    return rc;
}

int bl_graph_seal(bl_graph *graph, int with_received, bl_error *err)
{
    bl_table_seal(&graph->sent);
    int rc = derive(graph, &graph->joined, graph->instances ? graph->first[graph->instances] : 0, add_joined, err);
    if (!rc && with_received)
        rc = derive(graph, &graph->received, graph->sent.count, add_received, err);
    return rc;
}

int bl_graph_checkpoints(const bl_graph *graph, uint8_t **flags, uint64_t **offsets, bl_error *err)
{
    *flags = NULL;
    uint64_t total = 0;
    *offsets = malloc(((size_t)graph->ranks + 1) * sizeof **offsets);
    for (uint32_t i = 0; i < graph->ranks && *offsets; i++) {
        (*offsets)[i] = total;
        total += (uint64_t)graph->last[i] + 1;
    }
    if (*offsets) {
        (*offsets)[graph->ranks] = total;
        *flags = calloc((size_t)total, 1);
    }
    if (*flags)
        return BELAY_OK;
    bl_graph_drop_checkpoints(flags, offsets);
    return bl_fail(err, BELAY_ERR_MEMORY, "no memory for the checkpoints of %u ranks", (unsigned)graph->ranks);
}

void bl_graph_drop_checkpoints(uint8_t **flags, uint64_t **offsets)
{
    free(*flags);
    free(*offsets);
    *flags = NULL;
    *offsets = NULL;
}
