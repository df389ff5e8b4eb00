/* Lines that contain given checkpoints: the greatest by the solver, the least by its mirror image.
 *
 * Read backwards, "c_a < x => c_b < y" is "c_b >= y => c_a >= x": start from nothing and raise. */
#include <stdlib.h>

#include "line/graph.h"
#include "line/solve.h"

static int check_fixed(const bl_graph *graph, const uint8_t *set, const uint32_t *fixed, bl_error *err)
{
    for (uint32_t i = 0; i < graph->ranks; i++)
        if (set[i] && fixed[i] > graph->last[i] + 1)
            return bl_fail(err, BELAY_ERR_ARG, "rank %u has checkpoints 0 to %u, not %u", (unsigned)i,
                           (unsigned)graph->last[i], (unsigned)fixed[i]);
    return BELAY_OK;
}

/* A solved line is the answer only if it kept every fixed checkpoint. */
static int keep_if_contains(const uint8_t *set, const uint32_t *fixed, bl_line *line, bl_error *err)
{
    for (uint32_t i = 0; i < line->ranks; i++) {
        if (!set[i] || line->cut[i] == fixed[i])
            continue;
        bl_line_clear(line);
        return bl_fail(err, BELAY_ERR_NONE, "no line contains checkpoint %u of rank %u with the others asked for",
                       (unsigned)fixed[i], (unsigned)i);
    }
    bl_line_forget(line);
    return BELAY_OK;
}

int bl_line_greatest_with(bl_graph *graph, enum bl_line_mode mode, const uint8_t *set, const uint32_t *fixed,
                          bl_line *line, bl_error *err)
{
    *line = (bl_line){0};
    int rc = check_fixed(graph, set, fixed, err);
    if (rc)
        return rc;
    uint32_t *top = malloc((size_t)graph->ranks * sizeof *top);
    if (!top)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory for a line of %u ranks", (unsigned)graph->ranks);
    for (uint32_t i = 0; i < graph->ranks; i++)
        top[i] = set[i] ? fixed[i] : graph->last[i] + 1;
    rc = bl_line_greatest_below(graph, mode, top, line, err);
    free(top);
    return rc ? rc : keep_if_contains(set, fixed, line, err);
}

struct cursor {
    uint64_t sent, received, joined; /* one past the next edge: rows are read from their low end */
};

struct raiser {
    const bl_graph *graph;
    enum bl_line_mode mode;
    uint32_t *cut;
    struct bl_table ends; /* row k: the last instance (peer) that has rank k in interval `at` */
    struct cursor *next;  /* [ranks] */
    uint8_t *touched;     /* [instances] kept already */
    uint32_t *stack;      /* ranks raised since they were last scanned, each once */
    uint32_t depth;
    uint8_t *stacked;     /* [ranks] */
};

static void raise_to(struct raiser *s, uint32_t rank, uint32_t least)
{
    /* Never delivered: it is enough that the receiver does not roll back. */
    uint32_t to = least <= s->graph->last[rank] ? least : s->graph->last[rank] + 1;
    if (s->cut[rank] >= to)
        return;
    s->cut[rank] = to;
    if (!s->stacked[rank]) {
        s->stacked[rank] = 1;
        s->stack[s->depth++] = rank;
    }
}

/* What a kept receive needs: its send kept (no orphan). */
static void raise_senders(struct raiser *s, uint32_t rank)
{
    const struct bl_table *t = &s->graph->received;
    uint64_t p = s->next[rank].received, begin = t->start[rank];
    for (struct bl_edge e; p > begin && (e = bl_table_edge(t, p - 1)).at <= s->cut[rank]; p--)
        raise_to(s, e.peer, e.peer_at & BL_EDGE_INTERVAL);
    s->next[rank].received = p;
}

/* What a kept send needs: its receive kept, unless the message may be lost. */
static void raise_receivers(struct raiser *s, uint32_t rank)
{
    const struct bl_table *t = &s->graph->sent;
    uint64_t p = s->next[rank].sent, begin = t->start[rank];
    for (struct bl_edge e; p > begin && (e = bl_table_edge(t, p - 1)).at <= s->cut[rank]; p--)
        if (!bl_edge_may_be_lost(e, s->mode))
            raise_to(s, e.peer, e.peer_at & BL_EDGE_INTERVAL);
    s->next[rank].sent = p;
}

static void raise_members(struct raiser *s, uint32_t rank)
{
    const bl_graph *g = s->graph;
    uint64_t p = s->next[rank].joined, begin = s->ends.start[rank];
    for (struct bl_edge e; p > begin && (e = bl_table_edge(&s->ends, p - 1)).at <= s->cut[rank]; p--) {
        uint32_t instance = e.peer;
        if (s->touched[instance])
            continue;
        s->touched[instance] = 1;
        /* Whoever changes with this instance was in the one before, until there: so the others follow. */
        for (uint64_t m = g->first[instance]; m < g->first[instance + 1]; m++)
            raise_to(s, g->member[m].rank, g->member[m].interval);
    }
    s->next[rank].joined = p;
}

static void raise_all(struct raiser *s, const uint8_t *set, const uint32_t *fixed)
{
    const bl_graph *g = s->graph;
    for (uint32_t i = 0; i < g->ranks; i++) {
        s->next[i] = (struct cursor){g->sent.start[i + 1], g->received.start[i + 1], s->ends.start[i + 1]};
        s->cut[i] = 0;
    }
    for (uint32_t i = 0; i < g->ranks; i++)
        if (set[i])
            raise_to(s, i, fixed[i]);
    while (s->depth > 0) {
        uint32_t rank = s->stack[--s->depth];
        s->stacked[rank] = 0;
        raise_senders(s, rank);
        raise_receivers(s, rank);
        raise_members(s, rank);
    }
}

static int find_ends(const bl_graph *graph, struct bl_table *ends, bl_error *err)
{
    int rc = bl_table_init(ends, graph->ranks, (struct bl_edge){graph->highest, UINT32_MAX, 0}, err);
    for (uint32_t c = 0; c < graph->instances && !rc; c++)
        for (uint64_t m = graph->left.start[c]; m < graph->left.start[c + 1] && !rc; m++) {
            struct bl_edge e = bl_table_edge(&graph->left, m);
            rc = bl_table_add(ends, e.peer, (struct bl_edge){e.peer_at, c, 0}, err);
        }
    if (!rc)
        bl_table_seal(ends);
    return rc;
}

int bl_line_least_with(bl_graph *graph, enum bl_line_mode mode, const uint8_t *set, const uint32_t *fixed,
                       bl_line *line, bl_error *err)
{
    *line = (bl_line){0};
    int rc = check_fixed(graph, set, fixed, err);
    if (!rc)
        rc = bl_graph_seal(graph, 1, err);
    if (!rc)
        rc = bl_line_new(graph, line, err);
    if (rc)
        return rc;
    struct raiser s = {.graph = graph, .mode = mode, .cut = line->cut};
    rc = find_ends(graph, &s.ends, err);
    s.next = malloc((size_t)graph->ranks * sizeof *s.next);
    s.touched = calloc((size_t)graph->instances + 1, 1);
    s.stack = malloc((size_t)graph->ranks * sizeof *s.stack);
    s.stacked = calloc(graph->ranks, 1);
    if (rc) {
        bl_line_clear(line);
    } else if (s.next && s.touched && s.stack && s.stacked) {
        raise_all(&s, set, fixed);
        bl_line_measure(graph, line);
        rc = keep_if_contains(set, fixed, line, err);
    } else {
        bl_line_clear(line);
        rc = bl_fail(err, BELAY_ERR_MEMORY, "no memory for a line of %u ranks", (unsigned)graph->ranks);
    }
    bl_table_clear(&s.ends);
    free(s.next);
    free(s.touched);
    free(s.stack);
    free(s.stacked);
    return rc;
}
