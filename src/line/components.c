/* Useless checkpoints.  Nodes are "INT[p](x) undone" for 1 <= x <= L_p+1, and one hub for each collective; edges are
 * (p,x)->(p,x+1) and the dependencies of the mode.  A hub leads to the members whose interval ends with it; these lead on
 * to their next interval and the next hub of the series.  A cut through CP[p](x) undoes (p,x+1) and keeps (p,x), so there is
 * none exactly when (p,x+1) leads to (p,x), that is, when both are in one strongly connected component. */
#include <stdlib.h>

#include "line/graph.h"

enum stage { STEP, SENT, RECEIVED, JOINED, MEMBERS };

struct frame {
    uint32_t node, rank, at; /* a hub has its instance as `rank` and stage MEMBERS */
    enum stage stage;
    uint64_t cursor;
};

#define DONE UINT32_MAX
#define MOST_NODES (UINT32_MAX - 2)

struct walk {
    const bl_graph *graph;
    enum bl_line_mode mode;
    const uint64_t *offset; /* [ranks + 1] node of (p,1) */
    uint32_t *number;       /* order of the first visit from 1; 0: not visited; DONE, the highest: its component is complete */
    uint32_t *low;          /* then: the number of the component's root */
    uint32_t *stack;        /* nodes whose component is not complete */
    uint32_t visited, stacked;
    struct frame *frame;    /* the recursion, by hand: a chain may be as long as the job */
    uint64_t frames, frame_capacity;
};

/* The first edge of the node's part of a row.  Intervals beyond the open one stand for the open one. */
static uint64_t seek(const struct walk *w, const struct bl_table *t, const struct frame *f)
{
    uint64_t low = t->start[f->rank], high = t->start[f->rank + 1];
    if (f->at > w->graph->last[f->rank])
        return low;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (bl_table_edge(t, middle).at > f->at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The next edge of the node's part of a row; 0 when there is none left. */
static int next_edge(const struct bl_table *t, struct frame *f, struct bl_edge *edge)
{
    if (f->cursor >= t->start[f->rank + 1])
        return 0;
    *edge = bl_table_edge(t, f->cursor);
    if (edge->at < f->at)
        return 0;
    f->cursor++;
    return 1;
}

static void enter(const struct walk *w, struct frame *f, enum stage stage, const struct bl_table *t)
{
    f->stage = stage;
    f->cursor = seek(w, t, f);
}

static struct frame interval_node(const struct walk *w, uint32_t rank, uint32_t at)
{
    return (struct frame){.node = (uint32_t)(w->offset[rank] + at - 1), .rank = rank, .at = at, .stage = STEP};
}

static struct frame hub_node(const struct walk *w, uint32_t instance)
{
    uint64_t node = w->offset[w->graph->ranks] + instance;
    return (struct frame){.node = (uint32_t)node, .rank = instance, .stage = MEMBERS, .cursor = w->graph->left.start[instance]};
}

static int lead(struct frame *to, struct frame node)
{
    *to = node;
    return 1;
}

/* The next node that `f` leads to; 0 when there is none left. */
static int successor(const struct walk *w, struct frame *f, struct frame *to)
{
    const bl_graph *g = w->graph;
    struct bl_edge e;
    switch (f->stage) {
    case STEP:
        enter(w, f, SENT, &g->sent);
        if (f->at <= g->last[f->rank])
            return lead(to, interval_node(w, f->rank, f->at + 1));
        /* fall through */
    case SENT:
        while (next_edge(&g->sent, f, &e))
            if ((e.peer_at & BL_EDGE_INTERVAL) < bl_graph_never(g, e.peer))
                return lead(to, interval_node(w, e.peer, e.peer_at & BL_EDGE_INTERVAL));
        if (w->mode != BL_LINE_CONSISTENT)
            enter(w, f, RECEIVED, &g->received);
        /* fall through */
    case RECEIVED:
        while (f->stage == RECEIVED && next_edge(&g->received, f, &e))
            if (!bl_edge_may_be_lost(e, w->mode))
                return lead(to, interval_node(w, e.peer, e.peer_at & BL_EDGE_INTERVAL));
        enter(w, f, JOINED, &g->joined);
        /* fall through */
    case JOINED:
        if (next_edge(&g->joined, f, &e))
            return lead(to, hub_node(w, e.peer));
        return 0;
    case MEMBERS:
        while (f->cursor < g->left.start[f->rank + 1]) {
            struct bl_edge m = bl_table_edge(&g->left, f->cursor++);
            if (m.peer_at < bl_graph_never(g, m.peer))
                return lead(to, interval_node(w, m.peer, m.peer_at));
        }
        return 0;
    }
    return 0;
}

static int push(struct walk *w, struct frame f, bl_error *err)
{
    if (w->frames == w->frame_capacity) {
        uint64_t capacity = 2 * w->frame_capacity + 1024;
        struct frame *frame = realloc(w->frame, (size_t)capacity * sizeof *frame);
        if (!frame)
            return bl_fail(err, BELAY_ERR_MEMORY, "no memory for a dependency chain of %llu intervals",
                           (unsigned long long)capacity);
        w->frame = frame;
        w->frame_capacity = capacity;
    }
    w->number[f.node] = w->low[f.node] = ++w->visited;
    w->stack[w->stacked++] = f.node;
    w->frame[w->frames++] = f;
    return BELAY_OK;
}

static void pop(struct walk *w)
{
    uint32_t node = w->frame[--w->frames].node, low = w->low[node];
    if (low == w->number[node]) {
        uint32_t member;
        do {
            member = w->stack[--w->stacked];
            w->low[member] = low;
            w->number[member] = DONE;
        } while (member != node);
    } else {
        uint32_t caller = w->frame[w->frames - 1].node;
        if (w->low[caller] > low)
            w->low[caller] = low;
    }
}

static int visit(struct walk *w, struct frame root, bl_error *err)
{
    int rc = push(w, root, err);
    while (!rc && w->frames > 0) {
        struct frame *f = &w->frame[w->frames - 1], to;
        if (!successor(w, f, &to))
            pop(w);
        else if (w->number[to.node] == 0)
            rc = push(w, to, err);
        else if (w->number[to.node] < w->low[f->node]) /* never when DONE */
            w->low[f->node] = w->number[to.node];
    }
    return rc;
}

static int find_components(struct walk *w, bl_error *err)
{
    uint64_t nodes = w->offset[w->graph->ranks] + w->graph->instances;
    if (nodes > MOST_NODES)
        return bl_fail(err, BELAY_ERR_MEMORY, "%llu checkpoints and collectives are more than the limit of %u",
                       (unsigned long long)nodes, (unsigned)MOST_NODES);
    w->number = calloc((size_t)nodes, sizeof *w->number);
    w->low = calloc((size_t)nodes, sizeof *w->low);
    w->stack = malloc((size_t)nodes * sizeof *w->stack);
    if (!w->number || !w->low || !w->stack)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory for %llu checkpoints", (unsigned long long)nodes);
    int rc = BELAY_OK;
    for (uint32_t p = 0; p < w->graph->ranks && !rc; p++)
        for (uint32_t x = 1; x <= w->graph->last[p] + 1 && !rc; x++) {
            struct frame root = interval_node(w, p, x);
            if (w->number[root.node] == 0)
                rc = visit(w, root, err);
        }
    return rc;
}

int bl_line_useless(bl_graph *graph, enum bl_line_mode mode, uint8_t **useless, uint64_t **offsets, bl_error *err)
{
    int rc = bl_graph_checkpoints(graph, useless, offsets, err);
    if (!rc)
        rc = bl_graph_seal(graph, mode != BL_LINE_CONSISTENT, err);
    struct walk w = {.graph = graph, .mode = mode, .offset = *offsets};
    if (!rc)
        rc = find_components(&w, err);
    /* Rank p has L_p+1 checkpoints and L_p+1 intervals, so CP[p](x) and node (p,x+1) have the same place. */
    for (uint32_t p = 0; p < graph->ranks && !rc; p++)
        for (uint64_t n = (*offsets)[p] + 1; n < (*offsets)[p + 1]; n++)
            (*useless)[n] = w.low[n - 1] == w.low[n];
    free(w.number);
    free(w.low);
    free(w.stack);
    free(w.frame);
    if (rc)
        bl_graph_drop_checkpoints(useless, offsets);
    return rc;
}
