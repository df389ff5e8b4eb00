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
    for (uint32_t i = 0; i < ranks; i++)
        g->highest = last[i] + 2 > g->highest ? last[i] + 2 : g->highest;
    int rc = bl_table_init(&g->sent, ranks, (struct bl_edge){g->highest, ranks - 1, g->highest}, err);
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
    bl_table_clear(&graph->left);
    free(graph->first);
    free(graph->follows);
    free(graph->member);
    free(graph->joiner);
    free(graph->last);
    free(graph);
}

void bl_graph_hint_large(bl_graph *graph, void (*large)(void *array, size_t bytes))
{
    graph->large = graph->sent.large = large;
}

void bl_graph_trim(bl_graph *graph)
{
    bl_table_clear(&graph->received);
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

static int more_instances(bl_graph *graph)
{
    uint64_t capacity = 2 * graph->instance_capacity + 16;
    uint64_t *first = realloc(graph->first, (size_t)capacity * sizeof *first);
    if (!first)
        return 0;
    first[graph->instances] = graph->instances ? first[graph->instances] : 0;
    graph->first = first;
    uint8_t *follows = realloc(graph->follows, (size_t)capacity);
    if (!follows)
        return 0;
    follows[graph->instances] = 0;
    graph->follows = follows;
    graph->instance_capacity = capacity;
    return 1;
}

static int more_members(bl_graph *graph, uint32_t members)
{
    uint64_t capacity = 2 * graph->member_capacity + members;
    struct bl_member *member = realloc(graph->member, (size_t)capacity * sizeof *member);
    if (!member)
        return 0;
    graph->member = member;
    graph->member_capacity = capacity;
    return 1;
}

static int room_for_instance(bl_graph *graph, uint32_t members, bl_error *err)
{
    if (!graph->joiner)
        graph->joiner = calloc(graph->ranks, sizeof *graph->joiner);
    if (graph->joiner && graph->instances < UINT32_MAX - 1 &&
        (graph->instances + 2ull <= graph->instance_capacity || more_instances(graph)) &&
        (graph->first[graph->instances] + members <= graph->member_capacity || more_members(graph, members)))
        return BELAY_OK;
    return bl_fail(err, BELAY_ERR_MEMORY, "no memory for collective %u of %u members", (unsigned)graph->instances + 1,
                   (unsigned)members);
}

static int check_member(const bl_graph *graph, uint32_t rank, uint32_t interval, int begins, bl_error *err)
{
    int rc = in_range(graph, rank, interval ? interval : 1, err);
    if (rc)
        return rc;
    const struct bl_joiner *joiner = &graph->joiner[rank];
    if (joiner->named == graph->instances + 1)
        return bl_fail(err, BELAY_ERR_ARG, "rank %u takes part twice in one collective", (unsigned)rank);
    if (begins)
        return BELAY_OK;
    if (joiner->series != graph->series + 1)
        return bl_fail(err, BELAY_ERR_ARG, "rank %u takes no part in the collective before", (unsigned)rank);
    if (interval && interval <= joiner->interval)
        return bl_fail(err, BELAY_ERR_ARG, "rank %u takes part in the next collective in interval %u, not after %u",
                       (unsigned)rank, (unsigned)interval, (unsigned)joiner->interval);
    return BELAY_OK;
}

static int check_members(bl_graph *graph, uint32_t members, const uint32_t *rank, const uint32_t *interval, int begins,
                         bl_error *err)
{
    for (uint32_t k = 0; k < members; k++) {
        int rc = check_member(graph, rank[k], interval[k], begins, err);
        if (rc) {
            for (uint32_t undo = 0; undo < k; undo++)
                graph->joiner[rank[undo]].named = 0;
            return rc;
        }
        graph->joiner[rank[k]].named = graph->instances + 1;
    }
    return BELAY_OK;
}

static int add_instance(bl_graph *graph, uint32_t members, const uint32_t *rank, const uint32_t *interval, int begins,
                        bl_error *err)
{
    if (members == 0)
        return bl_fail(err, BELAY_ERR_ARG, "a collective needs at least one member");
    int rc = room_for_instance(graph, members, err);
    if (!rc)
        rc = check_members(graph, members, rank, interval, begins, err);
    if (rc)
        return rc;
    if (begins)
        graph->series = graph->instances;
    uint64_t used = graph->first[graph->instances];
    for (uint32_t k = 0; k < members; k++) {
        uint32_t at = interval[k] ? interval[k] : bl_graph_never(graph, rank[k]);
        graph->member[used + k] = (struct bl_member){rank[k], at};
        graph->joiner[rank[k]].series = graph->series + 1;
        graph->joiner[rank[k]].interval = at;
    }
    graph->follows[graph->instances++] = (uint8_t)!begins;
    graph->follows[graph->instances] = 0;
    graph->first[graph->instances] = used + members;
    return BELAY_OK;
}

int bl_graph_collective(bl_graph *graph, uint32_t members, const uint32_t *rank, const uint32_t *interval, bl_error *err)
{
    return add_instance(graph, members, rank, interval, 1, err);
}

int bl_graph_collective_next(bl_graph *graph, uint32_t changed, const uint32_t *rank, const uint32_t *interval, bl_error *err)
{
    if (graph->instances == 0)
        return bl_fail(err, BELAY_ERR_ARG, "there is no collective yet that another could follow");
    return add_instance(graph, changed, rank, interval, 0, err);
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

/* What the members named from instance `from` on were in before ends with the instance before the one that names them
 * again, or with the series. */
static int add_left_series(const bl_graph *graph, uint32_t from, uint32_t end, uint32_t *interval, struct bl_table *table,
                           bl_error *err)
{
    int rc = BELAY_OK;
    for (uint32_t c = from; c < end && !rc; c++)
        for (uint64_t m = graph->first[c]; m < graph->first[c + 1] && !rc; m++) {
            uint32_t rank = graph->member[m].rank;
            if (c > from)
                rc = bl_table_add(table, c - 1, (struct bl_edge){0, rank, interval[rank]}, err);
            interval[rank] = graph->member[m].interval;
        }
    for (uint64_t m = graph->first[from]; m < graph->first[from + 1] && !rc; m++) {
        uint32_t rank = graph->member[m].rank;
        rc = bl_table_add(table, end - 1, (struct bl_edge){0, rank, interval[rank]}, err);
    }
    return rc;
}

static int add_left(const bl_graph *graph, struct bl_table *table, bl_error *err)
{
    uint32_t *interval = malloc((size_t)graph->ranks * sizeof *interval);
    if (!interval)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory for the collectives of %u ranks", (unsigned)graph->ranks);
    int rc = BELAY_OK;
    for (uint32_t from = 0, end; from < graph->instances && !rc; from = end) {
        for (end = from + 1; graph->follows[end]; )
            end++;
        rc = add_left_series(graph, from, end, interval, table, err);
    }
    free(interval);
    return rc;
}

/* Makes a derived table again when the graph has grown since; its source only ever grows, and it with it. */
static int derive(const bl_graph *graph, struct bl_table *table, uint32_t rows, struct bl_edge most,
                  int (*add)(const bl_graph *, struct bl_table *, bl_error *), bl_error *err)
{
    uint64_t members = graph->instances ? graph->first[graph->instances] : 0;
    if (table->start && table->ranks == rows && table->count == members)
        return BELAY_OK;
    bl_table_clear(table);
    int rc = bl_table_init(table, rows, most, err);
    table->large = graph->large;
    if (!rc)
        rc = bl_table_reserve(table, members, err);
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
    int rc = derive(graph, &graph->joined, graph->ranks, (struct bl_edge){graph->highest, UINT32_MAX, 0}, add_joined, err);
    if (!rc)
        rc = derive(graph, &graph->left, graph->instances, (struct bl_edge){0, graph->ranks - 1, graph->highest}, add_left, err);
    if (rc || !with_received || (graph->received.start && graph->received.count == graph->sent.count))
        return rc;
    bl_table_clear(&graph->received);
    return bl_table_mirror(&graph->sent, graph->highest, &graph->received, err);
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
