/* The pointer algorithm, one round per length of certificate: round n+1 reads what round n lowered, so every rank falls
 * in the first round it can, certificates are as short as any, and the result does not depend on the order of ranks. */
#include "line/solve.h"

#include <stdlib.h>
#include <string.h>

#include "line/graph.h"

enum { AHEAD = 32 }; /* records between asking for a row and scanning it */

struct cursor {
    uint64_t sent, received, joined; /* first edge of the row not yet scanned */
};

struct solver {
    const bl_graph *graph;
    enum bl_line_mode mode;
    uint32_t *cut;
    struct bl_line_history *history;
    uint32_t round;       /* index of this round's first record */
    struct cursor *next;  /* [ranks] */
    uint8_t *touched;     /* [instances] undone already, and with it the later ones of its series */
};

void bl_line_forget(bl_line *line)
{
    if (line->history) {
        free(line->history->newest);
        free(line->history->record);
        free(line->history);
    }
    line->history = NULL;
    line->domino_depth = 0;
}

void bl_line_clear(bl_line *line)
{
    bl_line_forget(line);
    free(line->cut);
    free(line->depth);
    *line = (bl_line){0};
}

int bl_line_new(const bl_graph *graph, bl_line *line, bl_error *err)
{
    *line = (bl_line){.ranks = graph->ranks};
    line->cut = malloc((size_t)graph->ranks * sizeof *line->cut);
    line->depth = malloc((size_t)graph->ranks * sizeof *line->depth);
    if (line->cut && line->depth)
        return BELAY_OK;
    bl_line_clear(line);
    return bl_fail(err, BELAY_ERR_MEMORY, "no memory for a recovery line of %u ranks", (unsigned)graph->ranks);
}

void bl_line_measure(const bl_graph *graph, bl_line *line)
{
    line->rolled_back = 0;
    line->total_domino = 0;
    for (uint32_t i = 0; i < graph->ranks; i++) {
        uint32_t last = graph->last[i], cut = line->cut[i];
        line->depth[i] = cut < last ? last - cut : 0;
        line->rolled_back += cut <= last;
        line->total_domino |= cut == 0 && last > 0;
    }
}

static int new_history(uint32_t ranks, struct bl_line_history **history)
{
    struct bl_line_history *h = calloc(1, sizeof *h);
    if (h)
        h->newest = calloc(ranks, sizeof *h->newest);
    *history = h;
    return h && h->newest;
}

/* A round adds at most one record a rank, so room is made once a round and lowering cannot fail. */
static int make_room(struct bl_line_history *history, const bl_graph *graph, bl_error *err)
{
    uint64_t wanted = (uint64_t)history->count + graph->ranks;
    if (wanted <= history->capacity)
        return BELAY_OK;
    uint64_t capacity = 2 * wanted < UINT32_MAX ? 2 * wanted : UINT32_MAX;
    struct bl_lowering *record = NULL;
    if (wanted <= capacity && capacity <= SIZE_MAX / sizeof *record)
        record = realloc(history->record, (size_t)capacity * sizeof *record);
    if (!record)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory for the certificates of %u roll-backs", (unsigned)history->count);
    bl_graph_hint(graph, record, (size_t)capacity * sizeof *record);
    history->record = record;
    history->capacity = (uint32_t)capacity;
    return BELAY_OK;
}

static void lower(struct solver *s, uint32_t rank, uint32_t own, uint32_t by, enum bl_hop_cause cause, uint32_t parent)
{
    if (s->cut[rank] < own)
        return;
    s->cut[rank] = own - 1;
    struct bl_line_history *h = s->history;
    /* Nothing refers to a record of the running round yet: a second lowering of the rank replaces it. */
    if (h->newest[rank] <= s->round)
        h->newest[rank] = ++h->count;
    h->record[h->newest[rank] - 1] = (struct bl_lowering){rank, own, by | (uint32_t)cause << BL_BY_CAUSE_SHIFT, parent};
}

static void scan_sent(struct solver *s, uint32_t rank, uint32_t cut, uint32_t parent)
{
    const struct bl_table *t = &s->graph->sent;
    uint64_t p = s->next[rank].sent, end = t->start[rank + 1];
    for (struct bl_edge e; p < end && (e = bl_table_edge(t, p)).at > cut; p++)
        lower(s, e.peer, e.peer_at & BL_EDGE_INTERVAL, e.at, BL_HOP_ORPHAN, parent);
    s->next[rank].sent = p;
}

static void scan_received(struct solver *s, uint32_t rank, uint32_t cut, uint32_t parent)
{
    const struct bl_table *t = &s->graph->received;
    uint64_t p = s->next[rank].received, end = t->start[rank + 1];
    for (struct bl_edge e; p < end && (e = bl_table_edge(t, p)).at > cut; p++)
        if (!bl_edge_may_be_lost(e, s->mode))
            lower(s, e.peer, e.peer_at & BL_EDGE_INTERVAL, e.at, BL_HOP_LOST, parent);
    s->next[rank].received = p;
}

/* A member falls by the last instance that has it in its interval; until then the later ones bring it there. */
static void undo_series(struct solver *s, uint32_t instance, uint32_t by, uint32_t parent)
{
    const struct bl_table *left = &s->graph->left;
    do {
        if (s->touched[instance])
            return;
        s->touched[instance] = 1;
        for (uint64_t m = left->start[instance]; m < left->start[instance + 1]; m++) {
            struct bl_edge e = bl_table_edge(left, m);
            lower(s, e.peer, e.peer_at, by, BL_HOP_COLLECTIVE, parent);
        }
    } while (s->graph->follows[++instance]);
}

static void scan_joined(struct solver *s, uint32_t rank, uint32_t cut, uint32_t parent)
{
    const bl_graph *g = s->graph;
    uint64_t p = s->next[rank].joined, end = g->joined.start[rank + 1];
    for (struct bl_edge e; p < end && (e = bl_table_edge(&g->joined, p)).at > cut; p++)
        undo_series(s, e.peer, e.at, parent);
    s->next[rank].joined = p;
}

/* A round reads a little of a great many rows: asks for those of a record that will be scanned soon. */
static void ask_for(const struct solver *s, uint32_t record)
{
    const struct bl_table *sent = &s->graph->sent, *received = &s->graph->received;
    const struct cursor *next = &s->next[s->history->record[record].rank];
    if (sent->count == 0)
        return;
    __builtin_prefetch(sent->packed + next->sent * sent->width);
    if (s->mode != BL_LINE_CONSISTENT)
        __builtin_prefetch(received->packed + next->received * received->width);
}

static void scan(struct solver *s, uint32_t parent)
{
    struct bl_lowering record = s->history->record[parent];
    scan_sent(s, record.rank, record.own - 1, parent);
    if (s->mode != BL_LINE_CONSISTENT)
        scan_received(s, record.rank, record.own - 1, parent);
    scan_joined(s, record.rank, record.own - 1, parent);
}

/* Carries the seeds, already in the history, to the end; *rounds is the length of the longest certificate. */
static int propagate(struct solver *s, uint32_t *rounds, bl_error *err)
{
    struct bl_line_history *h = s->history;
    *rounds = 0;
    for (uint32_t begin = 0; begin < h->count; ) {
        int rc = make_room(h, s->graph, err);
        if (rc)
            return rc;
        s->round = h->count;
        for (uint32_t record = begin; record < s->round; record++) {
            if (s->round - record > AHEAD)
                ask_for(s, record + AHEAD);
            scan(s, record);
        }
        begin = s->round;
        *rounds += h->count > begin;
    }
    return BELAY_OK;
}

static void rewind_rows(struct solver *s)
{
    const bl_graph *g = s->graph;
    for (uint32_t i = 0; i < g->ranks; i++)
        s->next[i] = (struct cursor){g->sent.start[i], s->mode != BL_LINE_CONSISTENT ? g->received.start[i] : 0,
                                     g->joined.start[i]};
}

int bl_line_greatest_below(bl_graph *graph, enum bl_line_mode mode, const uint32_t *top, bl_line *line, bl_error *err)
{
    *line = (bl_line){0};
    int rc = bl_graph_seal(graph, mode != BL_LINE_CONSISTENT, err);
    if (!rc)
        rc = bl_line_new(graph, line, err);
    if (rc)
        return rc;
    struct solver s = {.graph = graph, .mode = mode, .cut = line->cut};
    s.next = malloc((size_t)graph->ranks * sizeof *s.next);
    s.touched = calloc((size_t)graph->instances + 1, 1);
    if (!new_history(graph->ranks, &line->history) || !s.next || !s.touched)
        rc = bl_fail(err, BELAY_ERR_MEMORY, "no memory to solve a line of %u ranks", (unsigned)graph->ranks);
    s.history = line->history;
    if (!rc)
        rc = make_room(s.history, graph, err);
    if (!rc) {
        rewind_rows(&s);
        for (uint32_t i = 0; i < graph->ranks; i++) {
            line->cut[i] = graph->last[i] + 1;
            lower(&s, i, top[i] + 1, 0, BL_HOP_FAILED, 0);
        }
        rc = propagate(&s, &line->domino_depth, err);
    }
    free(s.next);
    free(s.touched);
    if (rc)
        bl_line_clear(line);
    else
        bl_line_measure(graph, line);
    return rc;
}

int bl_line_solve(bl_graph *graph, enum bl_line_mode mode, const uint8_t *failed, bl_line *line, bl_error *err)
{
    *line = (bl_line){0};
    uint32_t *top = malloc((size_t)graph->ranks * sizeof *top);
    if (!top)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory to solve a line of %u ranks", (unsigned)graph->ranks);
    for (uint32_t i = 0; i < graph->ranks; i++)
        top[i] = graph->last[i] + (failed && !failed[i]);
    int rc = bl_line_greatest_below(graph, mode, top, line, err);
    free(top);
    return rc;
}
