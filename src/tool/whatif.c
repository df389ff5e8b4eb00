#include "tool/whatif.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/induced.h"
#include "tool/layout.h"

/* Messages that are replayed one by one, and words that ride on all of them together, at most. */
enum { REPLAY_MAX = 4000000, WORDS_MAX = 1 << 26 };

static uint64_t all_messages(const bl_story *story)
{
    uint64_t total = 0;
    for (size_t k = 0; k < story->flows; k++)
        total += story->flow[k].messages ? story->flow[k].messages : 1;
    return total;
}

static bl_outcome as_recorded(const bl_story *story, uint64_t points)
{
    bl_outcome o = {.known = true, .sum = bl_loss_sum(story, &story->line)};
    for (uint64_t k = 0; k < points; k++)
        o.forced += story->point[k].forced;
    for (size_t k = 0; k < story->flows; k++)
        o.logged += story->flow[k].logged ? story->flow[k].messages : 0;
    return o;
}

/* As many checkpoints as the rank with the fewest took, each by all ranks together, at the mean of the moments at which
 * they took theirs. */
static bl_outcome coordinated(const bl_story *story)
{
    bl_outcome o = {.known = true};
    uint32_t taken = UINT32_MAX;
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        taken = bl_story_last(story, rank) < taken ? bl_story_last(story, rank) : taken;
    for (uint32_t rank = 0; rank < story->ranks; rank++) /* the mean of the losses is the loss from the mean moment */
        o.sum.lost += bl_loss(story, rank, taken);
    o.sum.ranks = story->ranks;
    o.sum.at_start = taken ? 0 : story->ranks;
    return o;
}

/* With every message in a log and the order of deliveries known, a failed rank is brought from its newest checkpoint to
 * where it was, and nobody else goes back. */
static bl_outcome logging(const bl_story *story)
{
    bl_outcome o = {.known = true, .logged = all_messages(story)};
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        if (!story->failed[rank])
            continue;
        o.sum.ranks++;
        o.sum.at_start += bl_story_last(story, rank) == 0;
        o.sum.lost += bl_loss(story, rank, bl_story_last(story, rank));
    }
    return o;
}

/* --- induced checkpoints, replayed over what was recorded --- */

enum kind { SEND, RECEIVE, CHECKPOINT, COLLECTIVE };
typedef struct event { double at; enum kind kind; uint32_t rank; size_t which; } event;

typedef struct replay {
    const bl_story *story;
    bl_layout layout;
    event *event;        /* [events] */
    size_t events;
    bl_induced *state;   /* [ranks] */
    uint32_t *words;     /* of these */
    uint32_t *message;   /* [flows] what rides on each, `ride` words */
    size_t ride;
    uint32_t *passed;    /* [ranks] */
    uint32_t *last;      /* [ranks] checkpoints so far */
    bl_flow *flow;       /* [flows] with the intervals it has now */
    bl_part *part;       /* the same for collectives */
    double *at;          /* [count] when each checkpoint was taken, and ... */
    uint32_t *by;        /* ... by whom */
    size_t count;
    uint64_t forced;
    bl_graph *graph;
} replay;

static int by_time(const void *a, const void *b)
{
    const event *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->which != y->which)
        return x->which < y->which ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static void checkpoint(replay *r, uint32_t rank, double at)
{
    r->last[rank]++;
    r->by[r->count] = rank;
    r->at[r->count++] = at;
}

static void receive(replay *r, uint32_t rank, const uint32_t *message, double at)
{
    if (!bl_induced_receive(&r->state[rank], message))
        return;
    r->forced++;
    checkpoint(r, rank, at);
}

/* BCS: everybody hears the highest index. */
static void collect(replay *r, size_t c, double at)
{
    const bl_story *story = r->story;
    uint32_t most = 0;
    for (size_t m = story->hub[c]; m < story->hub[c + 1]; m++) {
        uint32_t index = r->state[story->part[m].rank].index;
        most = index > most ? index : most;
    }
    for (size_t m = story->hub[c]; m < story->hub[c + 1]; m++) {
        uint32_t rank = story->part[m].rank;
        receive(r, rank, &most, at);
        r->part[m] = (bl_part){rank, r->last[rank] + 1, 0};
    }
}

static void play(replay *r)
{
    for (size_t k = 0; k < r->events; k++) {
        const event *e = &r->event[k];
        switch (e->kind) {
        case SEND:
            r->flow[e->which].sent_in = r->last[e->rank] + 1;
            bl_induced_send(&r->state[e->rank], r->flow[e->which].to, r->message + e->which * r->ride);
            break;
        case RECEIVE:
            receive(r, e->rank, r->message + e->which * r->ride, e->at);
            r->flow[e->which].received_in = r->last[e->rank] + 1;
            break;
        case CHECKPOINT:
            bl_induced_checkpoint(&r->state[e->rank]);
            checkpoint(r, e->rank, e->at);
            break;
        case COLLECTIVE: collect(r, e->which, e->at); break;
        }
    }
}

static void list_events(replay *r)
{
    const bl_story *story = r->story;
    double from, to;
    for (size_t k = 0; k < story->flows; k++) {
        r->flow[k] = story->flow[k];
        bl_layout_flow(&r->layout, k, &from, &to);
        r->event[r->events++] = (event){from, SEND, story->flow[k].from, k};
        if (story->flow[k].received_in)
            r->event[r->events++] = (event){to, RECEIVE, story->flow[k].to, k};
    }
    for (size_t c = 0; c < story->hubs; c++)
        r->event[r->events++] = (event){bl_layout_hub(&r->layout, c), COLLECTIVE, 0, c};
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        for (uint32_t d = 1; d <= bl_story_last(story, rank); d++)
            r->event[r->events++] = (event){r->layout.at[story->first[rank] + d], CHECKPOINT, rank, d};
    qsort(r->event, r->events, sizeof *r->event, by_time);
}

static int build(replay *r, bl_error *err)
{
    const bl_story *story = r->story;
    uint32_t *pair = malloc(2 * (size_t)story->ranks * sizeof *pair);
    if (!pair)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    int rc = bl_graph_new(story->ranks, r->last, &r->graph, err);
    for (size_t k = 0; rc == BELAY_OK && k < story->flows; k++) {
        const bl_flow *f = &r->flow[k];
        rc = bl_graph_message(r->graph, f->from, f->sent_in, f->to, f->received_in ? f->received_in : 1,
                              f->received_in ? 0 : BL_MSG_UNDELIVERED, err);
    }
    for (size_t c = 0; rc == BELAY_OK && c < story->hubs; c++) {
        uint32_t members = 0;
        for (size_t m = story->hub[c]; m < story->hub[c + 1]; m++) {
            pair[members] = r->part[m].rank;
            pair[story->ranks + members++] = r->part[m].interval;
        }
        rc = bl_graph_collective(r->graph, members, pair, pair + story->ranks, err);
    }
    free(pair);
    return rc;
}

/* Without a clock nothing is known of the time lost. */
static double lost(const replay *r, const bl_line *line)
{
    double sum = 0;
    if (r->layout.axis == BL_AXIS_ORDER)
        return NAN;
    for (uint32_t rank = 0; rank < r->story->ranks; rank++)
        if (line->cut[rank] <= r->last[rank])
            sum += r->layout.end[rank] - (line->cut[rank] ? 0 : r->layout.at[r->story->first[rank]]);
    for (size_t k = 0; k < r->count; k++)
        if (++r->passed[r->by[k]] == line->cut[r->by[k]] && line->cut[r->by[k]] <= r->last[r->by[k]])
            sum -= r->at[k];
    return sum;
}

static int solve(replay *r, bl_outcome *o, bl_error *err)
{
    bl_line line;
    int rc = bl_line_solve(r->graph, BL_LINE_CONSISTENT, r->story->failed, &line, err);
    if (rc != BELAY_OK)
        return rc;
    *o = (bl_outcome){.known = true, .forced = r->forced, .sum = {.ranks = line.rolled_back, .lost = lost(r, &line)}};
    for (uint32_t rank = 0; rank < r->story->ranks; rank++) {
        o->sum.deepest = line.depth[rank] > o->sum.deepest ? line.depth[rank] : o->sum.deepest;
        o->sum.at_start += line.cut[rank] == 0;
    }
    for (size_t k = 0; k < r->story->flows; k++) {
        const bl_flow *f = &r->flow[k];
        bool arrives = f->received_in ? f->received_in <= line.cut[f->to] : line.cut[f->to] > r->last[f->to];
        if (f->sent_in <= line.cut[f->from] && !arrives)
            o->logged += f->messages ? f->messages : 1;
    }
    bl_line_clear(&line);
    return BELAY_OK;
}

static int induced(const bl_story *story, enum bl_induced_rule rule, bl_outcome *o, bl_error *err)
{
    replay r = {.story = story, .ride = bl_induced_message_words(rule, story->ranks)};
    size_t parts = story->hub[story->hubs], points = story->first[story->ranks], most = points + story->flows + parts;
    size_t state = bl_induced_state_words(rule, story->ranks);
    bool large = most > REPLAY_MAX || (story->flows + 1) * r.ride > WORDS_MAX || story->ranks * state > WORDS_MAX;
    if (large || (story->hubs && rule != BL_INDUCED_BCS)) /* the other rules say nothing of collectives */
        return BELAY_OK;
    int rc = bl_layout_make(story, &r.layout, err);
    r.event = malloc((points + 2 * story->flows + story->hubs) * sizeof *r.event);
    r.state = calloc(story->ranks, sizeof *r.state);
    r.words = calloc(story->ranks * state + 1, sizeof *r.words);
    r.message = calloc((story->flows + 1) * r.ride + 1, sizeof *r.message);
    r.passed = calloc(story->ranks, sizeof *r.passed);
    r.last = calloc(story->ranks, sizeof *r.last);
    r.flow = malloc((story->flows + 1) * sizeof *r.flow);
    r.part = malloc((parts + 1) * sizeof *r.part);
    r.at = malloc(most * sizeof *r.at);
    r.by = malloc(most * sizeof *r.by);
    if (rc == BELAY_OK && !(r.event && r.state && r.words && r.message && r.passed && r.last && r.flow && r.part && r.at && r.by))
        rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory to replay %zu messages", story->flows);
    if (rc == BELAY_OK) {
        for (uint32_t rank = 0; rank < story->ranks; rank++)
            bl_induced_start(&r.state[rank], rule, rank, story->ranks, r.words + rank * state);
        list_events(&r);
        play(&r);
        rc = build(&r, err);
    }
    if (rc == BELAY_OK)
        rc = solve(&r, o, err);
    bl_graph_free(r.graph);
    bl_layout_clear(&r.layout);
    free(r.event);
    free(r.state);
    free(r.words);
    free(r.message);
    free(r.passed);
    free(r.last);
    free(r.flow);
    free(r.part);
    free(r.at);
    free(r.by);
    return rc;
}

int bl_whatif_make(const bl_story *story, bl_whatif *whatif, bl_error *err)
{
    *whatif = (bl_whatif){0};
    whatif->outcome[BL_AS_RECORDED] = as_recorded(story, story->first[story->ranks]);
    whatif->outcome[BL_COORDINATED] = coordinated(story);
    whatif->outcome[BL_LOGGING] = logging(story);
    int rc = induced(story, BL_INDUCED_BCS, &whatif->outcome[BL_BCS], err);
    if (rc == BELAY_OK)
        rc = induced(story, BL_INDUCED_FDAS, &whatif->outcome[BL_FDAS], err);
    return rc == BELAY_OK ? induced(story, BL_INDUCED_HMNR, &whatif->outcome[BL_HMNR], err) : rc;
}
