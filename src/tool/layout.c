#include "tool/layout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SWEEPS_MAX = 1 << 12, STEPS_MAX = 1 << 28 };

/* Where interval `dense` of a rank begins and ends. */
static double begin_of(const bl_layout *l, uint32_t rank, uint32_t dense)
{
    return l->at[l->story->first[rank] + dense - 1];
}

static double end_of(const bl_layout *l, uint32_t rank, uint32_t dense)
{
    return dense <= bl_story_last(l->story, rank) ? l->at[l->story->first[rank] + dense] : l->end[rank];
}

/* --- clocks --- */

static int64_t began(const bl_story *story, uint32_t rank)
{
    const bl_live_header *t = &story->table[rank];
    if (!story->seen[rank])
        return 0;
    return t->first_step_ns ? t->first_step_ns : t->started_ns;
}

/* The earliest moment anybody knows of; 0 when a checkpoint has no clock. */
static int64_t earliest(const bl_story *story)
{
    int64_t first = INT64_MAX;
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        int64_t from = began(story, rank);
        if (from > 0 && from < first)
            first = from;
        for (uint32_t d = 1; d <= bl_story_last(story, rank); d++) {
            const bl_taken *point = bl_story_point(story, rank, d);
            int64_t at = point->time_ns;
            if (at <= 0)
                return 0;
            if (d == 1 && point->compute_s > 0 && point->compute_s * 1e9 < (double)at) /* so long had it worked by then */
                at -= (int64_t)(point->compute_s * 1e9);
            first = at < first ? at : first;
        }
    }
    return first == INT64_MAX ? 0 : first;
}

static double seconds_from(int64_t ns, int64_t zero)
{
    return (double)(ns / 1000 - zero / 1000) * 1e-6;
}

/* False where the clock of some rank stands still or runs backwards. */
static bool by_clock(bl_layout *l, int64_t zero)
{
    const bl_story *story = l->story;
    double newest = 0;
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        uint32_t last = bl_story_last(story, rank);
        double *at = l->at + story->first[rank];
        int64_t end = story->seen[rank] ? story->table[rank].safe_point_ns : 0;
        at[0] = 0;
        for (uint32_t d = 1; d <= last; d++) {
            at[d] = seconds_from(bl_story_point(story, rank, d)->time_ns, zero);
            if (d > 1 && !(at[d] > at[d - 1]))
                return false;
        }
        l->end[rank] = end > zero ? seconds_from(end, zero) : 0;
        newest = fmax(newest, at[last]);
        l->length = l->end[rank] > l->length ? l->end[rank] : l->length;
    }
    if (l->length < newest * 1.02)
        l->length = newest * 1.02;
    for (uint32_t rank = 0; rank < story->ranks; rank++) /* a table dates the last safe point, and its rank went on from there */
        l->end[rank] = l->length;
    return l->length > 0;
}

/* Does any message or collective need that something begins before something else ends, and the clocks deny it? */
static bool contradicted(const bl_layout *l)
{
    const bl_story *story = l->story;
    for (size_t k = 0; k < story->flows; k++) {
        const bl_flow *f = &story->flow[k];
        if (f->received_in && !(begin_of(l, f->from, f->sent_in) < end_of(l, f->to, f->received_in)))
            return true;
    }
    for (size_t c = 0; c < story->hubs; c++) {
        double begin = 0, end = INFINITY;
        for (size_t m = story->hub[c]; m < story->hub[c + 1]; m++) {
            const bl_part *p = &story->part[m];
            begin = fmax(begin, begin_of(l, p->rank, p->interval));
            end = fmin(end, end_of(l, p->rank, p->interval));
        }
        if (!(begin < end))
            return true;
    }
    return false;
}

/* --- the order of events --- */

static bool push(bl_layout *l, uint32_t rank, uint32_t dense, double least)
{
    double *at = dense <= bl_story_last(l->story, rank) ? &l->at[l->story->first[rank] + dense] : &l->end[rank];
    bool moved = *at < least;
    if (moved)
        *at = least;
    return moved;
}

static bool push_hub(bl_layout *l, size_t c)
{
    const bl_story *story = l->story;
    double begin = 0;
    bool moved = false;
    for (size_t m = story->hub[c]; m < story->hub[c + 1]; m++)
        begin = fmax(begin, begin_of(l, story->part[m].rank, story->part[m].interval));
    for (size_t m = story->hub[c]; m < story->hub[c + 1]; m++)
        moved |= push(l, story->part[m].rank, story->part[m].interval, begin + 1);
    return moved;
}

/* Longest paths: a checkpoint comes one step after the one before it and after the begin of every interval it heard from.
 * Intervals that contradict each other would go round for ever, and large jobs for long; then the last sweep counts. */
static void by_order(bl_layout *l)
{
    const bl_story *story = l->story;
    bool moved = true;
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        for (uint32_t d = 0; d <= bl_story_last(story, rank); d++)
            l->at[story->first[rank] + d] = d;
        l->end[rank] = bl_story_last(story, rank) + 1;
    }
    uint64_t one = story->first[story->ranks] + story->flows + 1, sweeps = STEPS_MAX / one;
    for (uint64_t sweep = 0; moved && sweep <= sweeps && sweep < SWEEPS_MAX; sweep++) {
        moved = false;
        for (uint32_t rank = 0; rank < story->ranks; rank++)
            for (uint32_t d = 1; d <= bl_story_last(story, rank) + 1; d++)
                moved |= push(l, rank, d, begin_of(l, rank, d) + 1);
        for (size_t k = 0; k < story->flows; k++) {
            const bl_flow *f = &story->flow[k];
            if (f->received_in)
                moved |= push(l, f->to, f->received_in, begin_of(l, f->from, f->sent_in) + 1);
        }
        for (size_t c = 0; c < story->hubs; c++)
            moved |= push_hub(l, c);
    }
    l->length = 0;
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        l->length = fmax(l->length, l->end[rank]);
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        l->end[rank] = l->length;
}

static void by_step(bl_layout *l)
{
    const bl_story *story = l->story;
    for (uint64_t k = 0; k < story->first[story->ranks]; k++)
        l->at[k] = (double)story->point[k].time_ns;
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        l->length = l->end[rank] = (double)story->table[rank].safe_point_ns;
}

/* --- the calls --- */

int bl_layout_make(const bl_story *story, bl_layout *l, bl_error *err)
{
    *l = (bl_layout){.story = story};
    l->at = calloc(story->first[story->ranks], sizeof *l->at);
    l->end = calloc(story->ranks, sizeof *l->end);
    if (!l->at || !l->end) {
        bl_layout_clear(l);
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory to lay out %u ranks", story->ranks);
    }
    if (story->source == BL_STORY_TEXT) {
        l->axis = BL_AXIS_STEPS;
        by_step(l);
        return BELAY_OK;
    }
    int64_t zero = earliest(story);
    bool clocks = zero > 0 && by_clock(l, zero);
    l->contradicted = clocks && contradicted(l);
    l->axis = clocks && !l->contradicted ? BL_AXIS_TIME : BL_AXIS_ORDER;
    if (l->axis == BL_AXIS_ORDER)
        by_order(l);
    return BELAY_OK;
}

void bl_layout_clear(bl_layout *l)
{
    free(l->at);
    free(l->end);
    *l = (bl_layout){0};
}

/* Neighbours are spread by the golden ratio, so that arrows of one interval do not lie on each other. */
static double spread(size_t k)
{
    double x = (double)(k % 1000003) * 0.6180339887498949;
    return x - floor(x);
}

void bl_layout_flow(const bl_layout *l, size_t k, double *from, double *to)
{
    const bl_flow *f = &l->story->flow[k];
    if (l->axis == BL_AXIS_STEPS) {
        *from = f->sent_at;
        *to = f->received_in ? f->received_at : f->sent_at + 1.0;
        return;
    }
    double a = begin_of(l, f->from, f->sent_in), b = end_of(l, f->from, f->sent_in);
    if (!f->received_in) {
        *from = a + (b - a) * (0.5 + 0.3 * spread(k));
        *to = *from + 0.02 * l->length;
        return;
    }
    double c = begin_of(l, f->to, f->received_in), d = end_of(l, f->to, f->received_in);
    if (b <= c) {
        *from = b - (b - a) * (0.1 + 0.3 * spread(k));
        *to = c + (d - c) * (0.1 + 0.3 * spread(k));
    } else {
        double low = fmax(a, c), high = fmin(b, d), width = high - low;
        *from = low + width * (0.12 + 0.5 * spread(k));
        *to = *from + width * 0.24;
    }
}

double bl_layout_hub(const bl_layout *l, size_t c)
{
    const bl_story *story = l->story;
    double begin = 0, end = l->length;
    if (l->axis == BL_AXIS_STEPS)
        return story->part[story->hub[c]].at;
    for (size_t m = story->hub[c]; m < story->hub[c + 1]; m++) {
        begin = fmax(begin, begin_of(l, story->part[m].rank, story->part[m].interval));
        end = fmin(end, end_of(l, story->part[m].rank, story->part[m].interval));
    }
    return begin + (end - begin) * (0.25 + 0.5 * spread(c));
}
