/* The independent checker.  It reads the messages as they were loaded and the history as a proof, and decides two things:
 * the line violates no dependency (so it is not too high), and every lowering follows from a failure through dependencies
 * that exist (so it is not too low).  It calls nothing of the solver. */
#include <stdlib.h>

#include "line/graph.h"
#include "line/solve.h"

enum { AHEAD = 64, NEAR = 4 }; /* messages between asking for a record and looking at it; records looked at in turn */

struct checker {
    const bl_graph *graph;
    enum bl_line_mode mode;
    const uint8_t *failed;
    const bl_line *line;
    const struct bl_line_history *history;
    uint32_t first, end; /* the ranks whose records are looked at; for the others there are none in what follows */
    uint32_t count;   /* of these records */
    uint64_t *group;  /* [ranks + 1] the records of rank i are order[group[i]] .. order[group[i+1]-1], oldest first */
    uint32_t *highest; /* [ranks] `own` of the oldest; 0: none */
    uint32_t *order;
    struct lowered {  /* what is looked for in a record, side by side: 10^8 dependencies look */
        uint32_t own, by, by_rank;
    } *lowered;       /* [records] in this order */
    uint8_t *proved;  /* [records] in this order: its dependency was seen */
    bl_error *err;
};

static int wrong_record(const struct checker *c, uint32_t t, const char *what)
{
    return bl_fail(c->err, BELAY_ERR_INTERNAL, "lowering %u of the line's certificates %s", (unsigned)t, what);
}

static int check_shape(const struct checker *c)
{
    if (!c->history || c->line->ranks != c->graph->ranks)
        return bl_fail(c->err, BELAY_ERR_ARG, "this line is not one of bl_line_solve on a graph of %u ranks",
                       (unsigned)c->graph->ranks);
    for (uint32_t i = 0; i < c->graph->ranks; i++) {
        uint32_t most = c->graph->last[i] + (c->failed && !c->failed[i]);
        if (c->line->cut[i] > most)
            return bl_fail(c->err, BELAY_ERR_INTERNAL, "the line puts rank %u at checkpoint %u, beyond %u", (unsigned)i,
                           (unsigned)c->line->cut[i], (unsigned)most);
    }
    return BELAY_OK;
}

static int no_memory(const struct checker *c)
{
    return bl_fail(c->err, BELAY_ERR_MEMORY, "no memory to check %u roll-backs", (unsigned)c->history->count);
}

static int room_for_records(struct checker *c)
{
    c->order = malloc(((size_t)c->count + 1) * sizeof *c->order);
    c->lowered = malloc(((size_t)c->count + 1) * sizeof *c->lowered);
    c->proved = calloc((size_t)c->count + 1, 1);
    if (!c->order || !c->lowered || !c->proved)
        return BELAY_ERR_MEMORY;
    bl_graph_hint(c->graph, c->order, (size_t)c->count * sizeof *c->order);
    bl_graph_hint(c->graph, c->lowered, (size_t)c->count * sizeof *c->lowered);
    return BELAY_OK;
}

static int is_looked_at(const struct checker *c, uint32_t rank)
{
    return rank >= c->first && rank < c->end;
}

/* Groups the records by rank, so that the one for an interval is found by halving. */
static int group_records(struct checker *c)
{
    const struct bl_line_history *h = c->history;
    c->group = calloc((size_t)c->graph->ranks + 2, sizeof *c->group);
    c->highest = calloc(c->graph->ranks, sizeof *c->highest);
    if (!c->group || !c->highest)
        return no_memory(c);
    for (uint32_t t = 0; t < h->count; t++) {
        uint32_t rank = h->record[t].rank;
        if (rank >= c->graph->ranks || h->record[t].own == 0 || h->record[t].own > c->graph->last[rank] + 1)
            return wrong_record(c, t, "names no interval of the graph");
        if (is_looked_at(c, rank))
            c->highest[rank] = c->group[rank + 2]++ ? c->highest[rank] : h->record[t].own;
    }
    for (uint32_t i = 0; i < c->graph->ranks; i++)
        c->group[i + 2] += c->group[i + 1];
    c->count = (uint32_t)c->group[c->graph->ranks + 1];
    if (room_for_records(c))
        return no_memory(c);
    for (uint32_t t = 0; t < h->count; t++)
        if (is_looked_at(c, h->record[t].rank))
            c->order[c->group[h->record[t].rank + 1]++] = t;
    for (uint32_t k = 0; k < c->count; k++) {
        struct bl_lowering r = h->record[c->order[k]];
        uint32_t by_rank = r.parent < c->order[k] ? h->record[r.parent].rank : UINT32_MAX;
        c->lowered[k] = (struct lowered){r.own, r.by, by_rank};
    }
    return BELAY_OK;
}

/* They fall by one at least, so the record that lowered `rank` below `own` is not further on than this. */
static uint64_t farthest(const struct checker *c, uint32_t rank, uint32_t own)
{
    return c->group[rank] + (c->highest[rank] > own ? c->highest[rank] - own : 0);
}

/* Where in the order the record is that lowered `rank` below `own`; the number of records when there is none. */
static uint64_t find(const struct checker *c, uint32_t rank, uint32_t own)
{
    uint64_t low = c->group[rank], end = c->group[rank + 1];
    if (own <= c->line->cut[rank] || own > c->highest[rank])
        return c->count;
    uint64_t high = farthest(c, rank, own);
    high = high < end ? high : end - 1;
    for (int step = 0; step < NEAR && high > low && c->lowered[high].own < own; step++) /* mostly it is one of these */
        high--;
    if (c->lowered[high].own >= own)
        return c->lowered[high].own == own ? high : c->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (c->lowered[middle].own > own)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && c->lowered[low].own == own ? low : c->count;
}

/* The dependency (by_rank, by) -> (rank, own) exists: marks the record that rests on it. */
static void prove(struct checker *c, uint32_t rank, uint32_t own, enum bl_hop_cause cause, uint32_t by_rank, uint32_t by)
{
    uint64_t k = find(c, rank, own);
    if (k < c->count && c->lowered[k].by_rank == by_rank &&
        c->lowered[k].by == (by | (uint32_t)cause << BL_BY_CAUSE_SHIFT))
        c->proved[k] = 1;
}

static int check_message(struct checker *c, uint32_t i, struct bl_edge m)
{
    const uint32_t *cut = c->line->cut;
    uint32_t s = m.at, j = m.peer, r = m.peer_at & BL_EDGE_INTERVAL;
    int undelivered = r == c->graph->last[j] + 2;
    int may_be_lost = c->mode == BL_LINE_CONSISTENT || (c->mode == BL_LINE_LOGGED && (m.peer_at & BL_EDGE_LOGGED));
    if (s > cut[i] && r <= cut[j])
        return bl_fail(c->err, BELAY_ERR_INTERNAL, "orphan: rank %u sends in its undone interval %u what rank %u received in %u",
                       (unsigned)i, (unsigned)s, (unsigned)j, (unsigned)r);
    if (!may_be_lost && s <= cut[i] && r > cut[j] && !(undelivered && cut[j] == c->graph->last[j] + 1))
        return bl_fail(c->err, BELAY_ERR_INTERNAL, "lost: rank %u sent in interval %u what rank %u received in its undone %u",
                       (unsigned)i, (unsigned)s, (unsigned)j, (unsigned)r);
    if (!undelivered)
        prove(c, j, r, BL_HOP_ORPHAN, i, s);
    if (!may_be_lost)
        prove(c, i, s, BL_HOP_LOST, j, r);
    return BELAY_OK;
}

/* The records that messages rest on are in no order: asks for that of one that will be checked soon. */
static void ask_for(const struct checker *c, struct bl_edge m)
{
    uint64_t k = farthest(c, m.peer, m.peer_at & BL_EDGE_INTERVAL);
    if (k < c->count)
        __builtin_prefetch(&c->lowered[k]);
}

static int check_messages(struct checker *c)
{
    const struct bl_table *t = &c->graph->sent;
    uint32_t rank = 0;
    for (uint64_t e = 0; e < t->count; e++) {
        if (t->count - e > AHEAD)
            ask_for(c, bl_table_edge(t, e + AHEAD));
        while (!t->from && rank < t->open && e >= t->start[rank + 1])
            rank++;
        int rc = check_message(c, t->from ? t->from[e] : rank, bl_table_edge(t, e));
        if (rc)
            return rc;
    }
    return BELAY_OK;
}

/* The members of a series as one instance after the other has them. */
struct series {
    uint32_t *interval;     /* [ranks] 0: no member */
    uint64_t kept, undone;  /* members; one that has not started it and keeps its volatile state counts as neither */
};

static void count_member(const struct checker *c, struct series *s, uint32_t rank, uint64_t one)
{
    uint32_t cut = c->line->cut[rank], last = c->graph->last[rank];
    if (s->interval[rank] <= cut)
        s->kept += one;
    else if (s->interval[rank] <= last + 1 || cut <= last)
        s->undone += one;
}

/* A record of a collective is proved when its parent's rank takes part, with the interval it names, in the last instance
 * that has the member in its own. */
static void prove_member(struct checker *c, const struct series *s, uint32_t rank)
{
    uint64_t k = find(c, rank, s->interval[rank]);
    uint32_t by_rank = k < c->count ? c->lowered[k].by_rank : UINT32_MAX;
    if (by_rank < c->graph->ranks && s->interval[by_rank])
        prove(c, rank, s->interval[rank], BL_HOP_COLLECTIVE, by_rank, s->interval[by_rank]);
}

static void change_member(struct checker *c, struct series *s, struct bl_member m)
{
    if (s->interval[m.rank])
        count_member(c, s, m.rank, UINT64_MAX); /* one less */
    s->interval[m.rank] = m.interval;
    count_member(c, s, m.rank, 1);
}

static int check_instance(struct checker *c, struct series *s, uint32_t k)
{
    const bl_graph *g = c->graph;
    if (g->follows[k])
        for (uint64_t m = g->first[k]; m < g->first[k + 1]; m++)
            prove_member(c, s, g->member[m].rank);
    for (uint64_t m = g->first[k]; m < g->first[k + 1]; m++)
        change_member(c, s, g->member[m]);
    if (s->kept == 0 || s->undone == 0)
        return BELAY_OK;
    return bl_fail(c->err, BELAY_ERR_INTERNAL, "collective %u is undone for %llu members and kept for %llu", (unsigned)k,
                   (unsigned long long)s->undone, (unsigned long long)s->kept);
}

static int check_collectives(struct checker *c)
{
    const bl_graph *g = c->graph;
    struct series s = {.interval = calloc(g->ranks, sizeof *s.interval)};
    if (!s.interval)
        return bl_fail(c->err, BELAY_ERR_MEMORY, "no memory to check the collectives of %u ranks", (unsigned)g->ranks);
    int rc = BELAY_OK;
    for (uint32_t k = 0, from = 0; k < g->instances && !rc; k++) {
        rc = check_instance(c, &s, k);
        if (rc || g->follows[k + 1])
            continue;
        for (uint64_t m = g->first[from]; m < g->first[from + 1]; m++)
            prove_member(c, &s, g->member[m].rank);
        for (uint64_t m = g->first[from]; m < g->first[from + 1]; m++)
            s.interval[g->member[m].rank] = 0;
        s.kept = s.undone = 0;
        from = k + 1;
    }
    free(s.interval);
    return rc;
}

/* Each record must follow from an older one that undid its cause, and the last of a rank must be where the line is. */
static int check_certificates(const struct checker *c)
{
    const struct bl_line_history *h = c->history;
    for (uint32_t k = 0; k < c->count; k++) {
        uint32_t t = c->order[k];
        struct bl_lowering r = h->record[t];
        if (r.by >> BL_BY_CAUSE_SHIFT == BL_HOP_FAILED) {
            if ((c->failed && !c->failed[r.rank]) || r.own != c->graph->last[r.rank] + 1)
                return wrong_record(c, t, "starts from a rank that did not fail");
        } else if (!c->proved[k]) {
            return wrong_record(c, t, "rests on a dependency that does not exist");
        } else if ((r.by & BL_BY_INTERVAL) < h->record[r.parent].own) {
            return wrong_record(c, t, "rests on an interval that was not undone");
        }
    }
    for (uint32_t i = c->first; i < c->end; i++) {
        uint64_t end = c->group[i + 1];
        uint32_t to = end > c->group[i] ? h->record[c->order[end - 1]].own - 1 : c->graph->last[i] + 1;
        if (to != c->line->cut[i])
            return bl_fail(c->err, BELAY_ERR_INTERNAL, "the line puts rank %u at checkpoint %u, its certificates at %u",
                           (unsigned)i, (unsigned)c->line->cut[i], (unsigned)to);
    }
    return BELAY_OK;
}

int bl_line_check(const bl_graph *graph, enum bl_line_mode mode, const uint8_t *failed, const bl_line *line, bl_error *err)
{
    return bl_line_check_ranks(graph, mode, failed, line, 0, graph->ranks, err);
}

int bl_line_check_ranks(const bl_graph *graph, enum bl_line_mode mode, const uint8_t *failed, const bl_line *line,
                        uint32_t first, uint32_t end, bl_error *err)
{
    struct checker c = {.graph = graph, .mode = mode, .failed = failed, .line = line, .history = line->history,
                        .first = first, .end = end < graph->ranks ? end : graph->ranks, .err = err};
    int rc = check_shape(&c);
    if (!rc)
        rc = group_records(&c);
    if (!rc)
        rc = check_messages(&c);
    if (!rc)
        rc = check_collectives(&c);
    if (!rc)
        rc = check_certificates(&c);
    free(c.group);
    free(c.highest);
    free(c.order);
    free(c.lowered);
    free(c.proved);
    return rc;
}
