/* Rows are kept as they come and sorted once.  A row becomes what its counter grew by, which can be added up over restarts
 * and over tags that are counted together; then each channel's sends and receives are paired off in their order. */
#include "line/history.h"

#include <stdlib.h>

enum side { SENT, RECEIVED };

struct step {           /* a channel's counter at the end of an interval of its sender or receiver */
    uint64_t comm, count;
    uint32_t from, to;
    int32_t tag;
    uint32_t at;        /* the interval; of `from` when SENT, of `to` when RECEIVED */
    uint32_t epoch;     /* restarts of the rank before */
    uint32_t side;
};

struct start {          /* the same of the collectives on a communicator */
    uint64_t comm, count;
    uint32_t rank, at, epoch, size;
};

struct range {          /* messages of a channel whose contents are kept */
    uint64_t comm, first, last;
    uint32_t from, to;
    int32_t tag;
};

struct bl_history {
    uint32_t ranks;
    uint32_t *last;     /* [ranks] checkpoints given */
    uint32_t *epoch;    /* [ranks] restarts */
    uint8_t *open;      /* [ranks] its open interval was given */
    struct step *step;
    uint64_t steps, step_capacity;
    struct start *start;
    uint64_t starts, start_capacity;
    struct range *range;
    uint64_t ranges, range_capacity;
    int built;          /* the rows are growth, sorted, and what follows is made of them; or it failed: */
    bl_error wrong;
    bl_history_edge *edge;
    uint64_t edges, edge_capacity, folded;
    bl_transit *transit;
    uint64_t transits, transit_capacity;
};

static int no_memory(bl_error *err)
{
    return bl_fail(err, BELAY_ERR_MEMORY, "no memory for the history of the job's counters");
}

static int grow(void **array, uint64_t *capacity, uint64_t wanted, size_t size, bl_error *err)
{
    if (wanted <= *capacity)
        return BELAY_OK;
    uint64_t more = wanted + *capacity / 2 + 64;
    void *grown = more <= SIZE_MAX / size ? realloc(*array, (size_t)more * size) : NULL;
    if (!grown)
        return no_memory(err);
    *array = grown;
    *capacity = more;
    return BELAY_OK;
}

int bl_history_new(uint32_t ranks, bl_history **history, bl_error *err)
{
    *history = NULL;
    if (ranks == 0 || ranks == UINT32_MAX)
        return bl_fail(err, BELAY_ERR_ARG, "a history needs 1 to %u ranks, not %u", UINT32_MAX - 1, (unsigned)ranks);
    bl_history *h = calloc(1, sizeof *h);
    if (!h)
        return no_memory(err);
    h->ranks = ranks;
    h->last = calloc(ranks, sizeof *h->last);
    h->epoch = calloc(ranks, sizeof *h->epoch);
    h->open = calloc(ranks, 1);
    if (!h->last || !h->epoch || !h->open) {
        bl_history_free(h);
        return no_memory(err);
    }
    *history = h;
    return BELAY_OK;
}

void bl_history_free(bl_history *history)
{
    if (!history)
        return;
    free(history->last);
    free(history->epoch);
    free(history->open);
    free(history->step);
    free(history->start);
    free(history->range);
    free(history->edge);
    free(history->transit);
    free(history);
}

/* --- taking rows --- */

static int add_channel(bl_history *h, uint32_t rank, const bl_history_channel *c, bl_error *err)
{
    if (c->peer >= h->ranks)
        return bl_fail(err, BELAY_ERR_DAMAGED, "rank %u counts messages with rank %u, which is not one of %u", (unsigned)rank,
                       (unsigned)c->peer, (unsigned)h->ranks);
    struct step step = {.comm = c->comm, .tag = c->tag, .at = h->last[rank] + 1, .epoch = h->epoch[rank]};
    if (c->sent > 0) {
        step.count = c->sent;
        step.from = rank;
        step.to = c->peer;
        step.side = SENT;
        h->step[h->steps++] = step;
    }
    if (c->received > 0) {
        step.count = c->received;
        step.from = c->peer;
        step.to = rank;
        step.side = RECEIVED;
        h->step[h->steps++] = step;
    }
    return BELAY_OK;
}

static int add_rows(bl_history *h, uint32_t rank, const bl_history_channel *channel, size_t channels,
                    const bl_history_collective *collective, size_t collectives, bl_error *err)
{
    if (rank >= h->ranks)
        return bl_fail(err, BELAY_ERR_ARG, "there is no rank %u among %u ranks", (unsigned)rank, (unsigned)h->ranks);
    if (h->built || h->open[rank])
        return bl_fail(err, BELAY_ERR_ARG, "the history of rank %u has ended already", (unsigned)rank);
    if (h->last[rank] == BL_LINE_MAX_LAST)
        return bl_fail(err, BELAY_ERR_ARG, "rank %u has more than %u checkpoints", (unsigned)rank, (unsigned)BL_LINE_MAX_LAST);
    void *step = h->step, *start = h->start;
    int rc = grow(&step, &h->step_capacity, h->steps + 2 * (uint64_t)channels, sizeof *h->step, err);
    h->step = step;
    if (!rc)
        rc = grow(&start, &h->start_capacity, h->starts + collectives, sizeof *h->start, err);
    h->start = start;
    for (size_t k = 0; k < channels && !rc; k++)
        rc = add_channel(h, rank, &channel[k], err);
    for (size_t k = 0; k < collectives && !rc; k++)
        h->start[h->starts++] = (struct start){collective[k].comm, collective[k].started, rank, h->last[rank] + 1,
                                               h->epoch[rank], collective[k].size};
    return rc;
}

int bl_history_checkpoint(bl_history *history, uint32_t rank, const bl_history_channel *channel, size_t channels,
                          const bl_history_collective *collective, size_t collectives, bl_error *err)
{
    int rc = add_rows(history, rank, channel, channels, collective, collectives, err);
    if (!rc)
        history->last[rank]++;
    return rc;
}

int bl_history_open(bl_history *history, uint32_t rank, const bl_history_channel *channel, size_t channels,
                    const bl_history_collective *collective, size_t collectives, bl_error *err)
{
    int rc = add_rows(history, rank, channel, channels, collective, collectives, err);
    if (!rc)
        history->open[rank] = 1;
    return rc;
}

int bl_history_restart(bl_history *history, uint32_t rank, bl_error *err)
{
    int rc = add_rows(history, rank, NULL, 0, NULL, 0, err);
    if (!rc)
        history->epoch[rank]++;
    return rc;
}

int bl_history_logged(bl_history *history, uint32_t to, uint64_t comm, uint32_t from, int32_t tag, uint64_t first,
                      uint64_t last, bl_error *err)
{
    bl_history *h = history;
    if (to >= h->ranks || from >= h->ranks || first == 0 || last < first)
        return bl_fail(err, BELAY_ERR_DAMAGED, "messages %llu to %llu from rank %u to rank %u are said to be kept, which makes no sense",
                       (unsigned long long)first, (unsigned long long)last, (unsigned)from, (unsigned)to);
    if (h->built)
        return bl_fail(err, BELAY_ERR_ARG, "the history of rank %u has ended already", (unsigned)to);
    struct range *before = h->ranges > 0 ? &h->range[h->ranges - 1] : NULL; /* they come one message at a time */
    if (before && before->to == to && before->from == from && before->comm == comm && before->tag == tag
        && before->last == first - 1) {
        before->last = last;
        return BELAY_OK;
    }
    void *array = h->range;
    int rc = grow(&array, &h->range_capacity, h->ranges + 1, sizeof *h->range, err);
    h->range = array;
    if (!rc)
        h->range[h->ranges++] = (struct range){comm, first, last, from, to, tag};
    return rc;
}

/* --- growth --- */

static int order(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_channel(const void *x, const void *y)
{
    const struct step *a = x, *b = y;
    int o = order(a->from, b->from);
    o = o ? o : order(a->to, b->to);
    o = o ? o : order(a->comm, b->comm);
    o = o ? o : (a->tag > b->tag) - (a->tag < b->tag);
    o = o ? o : order(a->side, b->side);
    return o ? o : order(a->at, b->at);
}

static int by_communicator(const void *x, const void *y)
{
    const struct start *a = x, *b = y;
    int o = order(a->comm, b->comm);
    o = o ? o : order(a->rank, b->rank);
    return o ? o : order(a->at, b->at);
}

static int same_pair(const struct step *a, const struct step *b)
{
    return a->from == b->from && a->to == b->to && a->comm == b->comm;
}

static int same_channel(const struct step *a, const struct step *b)
{
    return same_pair(a, b) && a->tag == b->tag;
}

struct counter {
    uint64_t before, total;
    uint32_t epoch, at;
};

/* *count becomes what it grew by since the row before of the same counter; its total must stay countable. */
static int growth(struct counter *c, int same, uint32_t epoch, uint32_t at, uint64_t *count)
{
    uint64_t now = *count;
    if (!same)
        c->total = 0;
    if (same && c->at == at)
        return -1;
    if (same && c->epoch == epoch) {
        if (now < c->before)
            return -1;
        *count = now - c->before;
    }
    c->before = now;
    c->epoch = epoch;
    c->at = at;
    if (*count > UINT64_MAX - c->total)
        return -1;
    c->total += *count;
    return 0;
}

static int bad_count(const char *what, uint32_t rank, uint32_t at, bl_error *err)
{
    return bl_fail(err, BELAY_ERR_DAMAGED, "the counts of %s of rank %u at the end of its interval %u make no sense", what,
                   (unsigned)rank, (unsigned)at);
}

static int find_growth(bl_history *h, bl_error *err)
{
    struct counter c = {0};
    for (uint64_t k = 0; k < h->steps; k++) {
        struct step *s = &h->step[k];
        int same = k > 0 && same_channel(s - 1, s) && s[-1].side == s->side;
        if (growth(&c, same, s->epoch, s->at, &s->count))
            return bad_count("messages", s->side == SENT ? s->from : s->to, s->at, err);
    }
    for (uint64_t k = 0; k < h->starts; k++) {
        struct start *s = &h->start[k];
        int same = k > 0 && s[-1].comm == s->comm && s[-1].rank == s->rank;
        if (growth(&c, same, s->epoch, s->at, &s->count))
            return bad_count("collectives", s->rank, s->at, err);
    }
    return BELAY_OK;
}

/* --- messages whose contents are kept --- */

static int range_channel(const struct range *a, const struct range *b)
{
    int o = order(a->from, b->from);
    o = o ? o : order(a->to, b->to);
    o = o ? o : order(a->comm, b->comm);
    return o ? o : (a->tag > b->tag) - (a->tag < b->tag);
}

static int by_range(const void *x, const void *y)
{
    const struct range *a = x, *b = y;
    int o = range_channel(a, b);
    return o ? o : order(a->first, b->first);
}

/* Ascending, without overlaps. */
static void merge_ranges(bl_history *h)
{
    uint64_t kept = 0;
    if (h->ranges > 1)
        qsort(h->range, (size_t)h->ranges, sizeof *h->range, by_range);
    for (uint64_t k = 0; k < h->ranges; k++) {
        struct range *before = kept > 0 ? &h->range[kept - 1] : NULL, *r = &h->range[k];
        if (!before || range_channel(before, r) != 0 || r->first - 1 > before->last)
            h->range[kept++] = *r;
        else if (r->last > before->last)
            before->last = r->last;
    }
    h->ranges = kept;
}

/* How many of the messages first..last of this step's channel are kept.  Where tags cannot be kept apart, numbers of one
 * tag say nothing. */
static uint64_t logged_among(const bl_history *h, const struct step *s, uint64_t first, uint64_t last)
{
    struct range want = {s->comm, first, last, s->from, s->to, s->tag};
    uint64_t low = 0, high = h->ranges, count = 0;
    if (s->tag == BL_HISTORY_FOLDED)
        return 0;
    while (low < high) { /* the first that ends at `first` or later */
        uint64_t middle = low + (high - low) / 2;
        int o = range_channel(&h->range[middle], &want);
        if (o < 0 || (o == 0 && h->range[middle].last < first))
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < h->ranges && range_channel(&h->range[low], &want) == 0 && h->range[low].first <= last; low++) {
        uint64_t from = h->range[low].first > first ? h->range[low].first : first;
        uint64_t to = h->range[low].last < last ? h->range[low].last : last;
        count += to - from + 1;
    }
    return count;
}

/* --- messages --- */

static int add_edge(bl_history *h, struct bl_history_edge edge, bl_error *err)
{
    void *array = h->edge;
    int rc = grow(&array, &h->edge_capacity, h->edges + 1, sizeof *h->edge, err);
    h->edge = array;
    if (!rc)
        h->edge[h->edges++] = edge;
    return rc;
}

/* The steps [s, r) sent what the steps [r, end) received, first to first. */
static int pair_off(bl_history *h, uint64_t s, uint64_t r, uint64_t end, bl_error *err)
{
    uint64_t middle = r, sent = 0, received = 0, number = 0;
    const struct step *channel = &h->step[s];
    uint32_t from = channel->from, to = channel->to;
    for (;;) {
        while (sent == 0 && s < middle)
            sent = h->step[s++].count;
        while (received == 0 && r < end)
            received = h->step[r++].count;
        if (sent == 0 && received == 0)
            return BELAY_OK;
        struct bl_history_edge e = {from, h->last[from] + 1, to, h->last[to] + 1 + h->open[to], 0, 0};
        if (sent > 0)
            e.sent_in = h->step[s - 1].at;
        if (received > 0)
            e.received_in = h->step[r - 1].at;
        e.messages = sent == 0 ? received : received == 0 || sent < received ? sent : received;
        sent -= sent ? e.messages : 0;
        received -= received ? e.messages : 0;
        e.logged = logged_among(h, channel, number + 1, number + e.messages);
        number += e.messages;
        int rc = add_edge(h, e, err);
        if (rc)
            return rc;
    }
}

static int pair_channels(bl_history *h, uint64_t begin, uint64_t end, bl_error *err)
{
    int rc = BELAY_OK;
    for (uint64_t next; begin < end && !rc; begin = next) {
        uint64_t middle = begin;
        while (middle < end && same_channel(&h->step[begin], &h->step[middle]) && h->step[middle].side == SENT)
            middle++;
        for (next = middle; next < end && same_channel(&h->step[begin], &h->step[next]); )
            next++;
        rc = pair_off(h, begin, middle, next, err);
    }
    return rc;
}

static int find_edges(bl_history *h, bl_error *err)
{
    int rc = BELAY_OK;
    for (uint64_t begin = 0, end; begin < h->steps && !rc; begin = end) {
        /* The folded tag is the lowest. */
        int folded = h->step[begin].tag == BL_HISTORY_FOLDED;
        for (end = begin; end < h->steps && same_pair(&h->step[begin], &h->step[end]); end++)
            if (folded)
                h->step[end].tag = BL_HISTORY_FOLDED;
        if (folded) {
            qsort(&h->step[begin], (size_t)(end - begin), sizeof *h->step, by_channel);
            h->folded++;
        }
        rc = pair_channels(h, begin, end, err);
    }
    return rc;
}

static int by_intervals(const void *x, const void *y)
{
    const bl_history_edge *a = x, *b = y;
    int o = order(a->from, b->from);
    o = o ? o : order(a->to, b->to);
    o = o ? o : order(a->sent_in, b->sent_in);
    return o ? o : order(a->received_in, b->received_in);
}

static int same_intervals(const bl_history_edge *a, const bl_history_edge *b)
{
    return by_intervals(a, b) == 0;
}

static void merge_edges(bl_history *h)
{
    uint64_t kept = 0;
    if (h->edges > 1)
        qsort(h->edge, (size_t)h->edges, sizeof *h->edge, by_intervals);
    for (uint64_t k = 0; k < h->edges; k++) {
        if (kept > 0 && same_intervals(&h->edge[kept - 1], &h->edge[k]))
            h->edge[kept - 1].messages += h->edge[k].messages, h->edge[kept - 1].logged += h->edge[k].logged;
        else
            h->edge[kept++] = h->edge[k];
    }
    h->edges = kept;
}

static int build(bl_history *h, bl_error *err)
{
    if (h->built) {
        if (h->wrong.code && err)
            *err = h->wrong;
        return h->wrong.code;
    }
    h->built = 1;
    if (h->steps > 1)
        qsort(h->step, (size_t)h->steps, sizeof *h->step, by_channel);
    if (h->starts > 1)
        qsort(h->start, (size_t)h->starts, sizeof *h->start, by_communicator);
    merge_ranges(h);
    int rc = find_growth(h, &h->wrong);
    if (!rc)
        rc = find_edges(h, &h->wrong);
    if (!rc)
        merge_edges(h);
    else if (err)
        *err = h->wrong;
    return rc;
}

int bl_history_edges(bl_history *history, const bl_history_edge **edges, size_t *count, bl_error *err)
{
    int rc = build(history, err);
    *edges = rc ? NULL : history->edge;
    *count = rc ? 0 : (size_t)history->edges;
    return rc;
}

int bl_history_folded(bl_history *history, uint64_t *channels, bl_error *err)
{
    int rc = build(history, err);
    *channels = history->folded;
    return rc;
}

/* --- in transit --- */

static int add_transit(bl_history *h, const struct step *s, uint64_t sent, uint64_t received, bl_error *err)
{
    void *array = h->transit;
    int rc = grow(&array, &h->transit_capacity, h->transits + 1, sizeof *h->transit, err);
    h->transit = array;
    if (!rc)
        h->transit[h->transits++] = (bl_transit){s->comm, received + 1, sent, s->from, s->to, s->tag,
                                                 logged_among(h, s, received + 1, sent)};
    return rc;
}

int bl_history_transit(bl_history *history, const uint32_t *cut, const bl_transit **rows, size_t *count, bl_error *err)
{
    bl_history *h = history;
    int rc = build(h, err);
    h->transits = 0;
    for (uint64_t k = 0, next; k < h->steps && !rc; k = next) {
        uint64_t sent = 0, received = 0;
        for (next = k; next < h->steps && same_channel(&h->step[k], &h->step[next]); next++) {
            const struct step *s = &h->step[next];
            if (s->side == SENT)
                sent += s->at <= cut[s->from] ? s->count : 0;
            else
                received += s->at <= cut[s->to] ? s->count : 0;
        }
        if (sent > received)
            rc = add_transit(h, &h->step[k], sent, received, err);
    }
    *rows = rc ? NULL : h->transit;
    *count = rc ? 0 : (size_t)h->transits;
    return rc;
}

uint64_t bl_history_received(bl_history *history, uint32_t to, uint32_t at, uint64_t comm, uint32_t from, int32_t tag)
{
    bl_history *h = history;
    struct step want = {.comm = comm, .from = from, .to = to, .tag = tag, .side = RECEIVED};
    uint64_t low = 0, high = h->steps, count = 0;
    if (build(h, NULL))
        return 0;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (by_channel(&h->step[middle], &want) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < h->steps && same_channel(&h->step[low], &want) && h->step[low].at <= at; low++)
        count += h->step[low].count;
    return count;
}

/* --- collectives --- */

struct move {           /* after the collective of this number, the rank is in this interval */
    uint64_t number;
    uint32_t rank, interval;
};

/* One communicator's collectives. */
struct series {
    uint32_t *rank, *interval; /* [ranks] the members; the first vector, later what changes */
    uint32_t members;
    uint8_t *known;            /* [ranks] it has a row */
    struct move *move;
    uint64_t moves, move_capacity;
};

static int by_number(const void *x, const void *y)
{
    const struct move *a = x, *b = y;
    int o = order(a->number, b->number);
    return o ? o : order(a->rank, b->rank);
}

/* The rows [k, end) are those of one rank: its first interval, and its moves from there. */
static int follow_member(struct series *s, const struct start *row, uint64_t rows, bl_error *err)
{
    uint64_t number = 0;
    void *array = s->move;
    int rc = grow(&array, &s->move_capacity, s->moves + rows, sizeof *s->move, err);
    s->move = array;
    if (rc)
        return rc;
    s->known[row->rank] = 1;
    s->rank[s->members] = row->rank;
    s->interval[s->members] = 0;
    for (uint64_t k = 0; k < rows; k++) {
        if (row[k].count == 0)
            continue;
        if (number == 0)
            s->interval[s->members] = row[k].at;
        else
            s->move[s->moves - 1].interval = row[k].at;
        number += row[k].count;
        s->move[s->moves++] = (struct move){number, row->rank, 0};
    }
    s->members++;
    return BELAY_OK;
}

/* A member without a row has not started any.  Who it is, is known in a communicator of all ranks; else every rank without
 * a row stands for it, which lowers lines at most. */
static int add_silent(const bl_history *h, struct series *s, const struct start *row, uint64_t rows, bl_error *err)
{
    for (uint64_t k = 0; k < rows; k++)
        if (row[k].size != row->size || row->size > h->ranks || s->members > row->size)
            return bl_fail(err, BELAY_ERR_DAMAGED, "ranks %u and %u disagree on the size of communicator %#llx",
                           (unsigned)row->rank, (unsigned)row[k].rank, (unsigned long long)row->comm);
    if (s->members < row->size)
        for (uint32_t i = 0; i < h->ranks; i++)
            if (!s->known[i]) {
                s->rank[s->members] = i;
                s->interval[s->members++] = 0;
            }
    return BELAY_OK;
}

static int visit_series(struct series *s, uint64_t comm, bl_history_visit *visit, void *context, bl_error *err)
{
    if (s->moves == 0 || s->members < 2)
        return BELAY_OK;
    qsort(s->move, (size_t)s->moves, sizeof *s->move, by_number);
    int rc = visit(context, comm, 1, s->members, s->rank, s->interval, err);
    for (uint64_t k = 0; !rc && s->move[k].number < s->move[s->moves - 1].number; ) {
        uint32_t changed = 0;
        for (uint64_t number = s->move[k].number; s->move[k].number == number; k++) {
            s->rank[changed] = s->move[k].rank;
            s->interval[changed++] = s->move[k].interval;
        }
        rc = visit(context, comm, 0, changed, s->rank, s->interval, err);
    }
    return rc;
}

static int walk_communicator(const bl_history *h, struct series *s, uint64_t begin, uint64_t end, bl_history_visit *visit,
                             void *context, bl_error *err)
{
    int rc = BELAY_OK;
    s->members = 0;
    s->moves = 0;
    for (uint64_t k = begin, next; k < end && !rc; k = next) {
        for (next = k; next < end && h->start[next].rank == h->start[k].rank; )
            next++;
        rc = follow_member(s, &h->start[k], next - k, err);
    }
    if (!rc)
        rc = add_silent(h, s, &h->start[begin], end - begin, err);
    for (uint64_t k = begin; k < end; k++)
        s->known[h->start[k].rank] = 0;
    return rc ? rc : visit_series(s, h->start[begin].comm, visit, context, err);
}

int bl_history_collectives(bl_history *history, bl_history_visit *visit, void *context, bl_error *err)
{
    bl_history *h = history;
    int rc = build(h, err);
    if (rc)
        return rc;
    struct series s = {.rank = malloc((size_t)h->ranks * sizeof *s.rank), .known = calloc(h->ranks, 1)};
    s.interval = malloc((size_t)h->ranks * sizeof *s.interval);
    if (!s.rank || !s.interval || !s.known)
        rc = no_memory(err);
    for (uint64_t k = 0, next; k < h->starts && !rc; k = next) {
        for (next = k; next < h->starts && h->start[next].comm == h->start[k].comm; )
            next++;
        rc = walk_communicator(h, &s, k, next, visit, context, err);
    }
    free(s.rank);
    free(s.interval);
    free(s.known);
    free(s.move);
    return rc;
}

/* --- the graph --- */

static int add_instance(void *context, uint64_t comm, int first, uint32_t members, const uint32_t *rank,
                        const uint32_t *interval, bl_error *err)
{
    (void)comm;
    return (first ? bl_graph_collective : bl_graph_collective_next)(context, members, rank, interval, err);
}

static int add_message(const bl_history *h, const bl_history_edge *e, bl_graph *graph, bl_error *err)
{
    unsigned flags = e->received_in > h->last[e->to] + 1 ? BL_MSG_UNDELIVERED : 0;
    if (e->logged == e->messages)
        flags |= BL_MSG_LOGGED;
    return bl_graph_message(graph, e->from, e->sent_in, e->to, e->received_in, flags, err);
}

/* (s,r) says: s undone, then r undone, which a later s with an earlier r says as well. */
static void mark_forward(const bl_history *h, uint64_t begin, uint64_t end, uint8_t *needed)
{
    const bl_history_edge *edge = h->edge;
    uint32_t least = h->last[edge[begin].to] + 2;
    for (uint64_t k = end; k-- > begin; ) {
        needed[k] = edge[k].received_in < least && (k == begin || edge[k - 1].sent_in != edge[k].sent_in);
        if (needed[k])
            least = edge[k].received_in;
    }
}

/* And r undone, then s undone, which a later r with an earlier s says as well; `unlogged`: of the dependencies that say so
 * although what is logged may be lost. */
static void mark_backward(const bl_history *h, uint64_t begin, uint64_t end, int unlogged, uint8_t *needed)
{
    const bl_history_edge *edge = h->edge;
    uint32_t most = 0;
    for (uint64_t k = begin, next; k < end; k = next) {
        uint64_t latest = end; /* of this s, the latest r that counts */
        for (next = k; next < end && edge[next].sent_in == edge[k].sent_in; next++)
            if (!unlogged || edge[next].logged < edge[next].messages)
                latest = next;
        if (latest < end && edge[latest].received_in > most) {
            most = edge[latest].received_in;
            needed[latest] = 1;
        }
    }
}

/* The edges [begin, end) of one pair, ascending.  Only what no other edge says is needed: a staircase for each direction,
 * and one more where some of them are logged. */
static int add_staircases(const bl_history *h, uint64_t begin, uint64_t end, uint8_t *needed, bl_graph *graph, bl_error *err)
{
    mark_forward(h, begin, end, needed);
    mark_backward(h, begin, end, 0, needed);
    if (h->ranges > 0)
        mark_backward(h, begin, end, 1, needed);
    int rc = BELAY_OK;
    for (uint64_t k = begin; k < end && !rc; k++)
        if (needed[k])
            rc = add_message(h, &h->edge[k], graph, err);
    return rc;
}

static int add_messages(const bl_history *h, bl_graph *graph, bl_error *err)
{
    uint8_t *needed = malloc((size_t)h->edges + 1);
    if (!needed)
        return no_memory(err);
    int rc = BELAY_OK;
    for (uint64_t begin = 0, end; begin < h->edges && !rc; begin = end) {
        for (end = begin; end < h->edges && h->edge[end].from == h->edge[begin].from && h->edge[end].to == h->edge[begin].to; )
            end++;
        rc = add_staircases(h, begin, end, needed, graph, err);
    }
    free(needed);
    return rc;
}

int bl_history_graph(bl_history *history, bl_graph **graph, bl_error *err)
{
    *graph = NULL;
    int rc = build(history, err);
    if (!rc)
        rc = bl_graph_new(history->ranks, history->last, graph, err);
    if (!rc)
        rc = add_messages(history, *graph, err);
    if (!rc)
        rc = bl_history_collectives(history, add_instance, *graph, err);
    if (rc) {
        bl_graph_free(*graph);
        *graph = NULL;
    }
    return rc;
}
