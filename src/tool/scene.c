#include "tool/scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 64 };

/* --- rows --- */

static void add_rank(bl_scene *s, uint32_t rank)
{
    const bl_story *story = s->report->story;
    bl_lane *row = &s->row[rank / s->each];
    uint32_t cut = story->line.cut[rank], last = bl_story_last(story, rank);
    double begin = s->layout.at[story->first[rank]], end = s->layout.end[rank];
    double at = cut > last ? end : s->layout.at[story->first[rank] + cut];
    if (row->ranks == 0)
        *row = (bl_lane){.first = rank, .begin = begin, .end = end, .cut_low = at, .cut_high = at,
                         .cut_number = bl_story_number(story, rank, cut)};
    row->ranks++;
    row->failed += story->failed[rank] != 0;
    row->keeping += cut > last;
    row->begin = fmin(row->begin, begin);
    row->end = fmax(row->end, end);
    row->cut_low = fmin(row->cut_low, at);
    row->cut_high = fmax(row->cut_high, at);
}

/* --- rounding --- */

/* The middle of the bin that holds x. */
static double rounded(const bl_scene *s, double x, uint32_t bins)
{
    double width = s->layout.length / bins;
    return (floor(x / width) + 0.5) * width;
}

static int by_mark(const void *a, const void *b)
{
    const bl_mark *x = a, *y = b;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    if (x->state != y->state)
        return x->state < y->state ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Of the marks of a row, which begin at `begin`, equal ones become one. */
static void merge_marks(bl_scene *s, size_t begin)
{
    size_t kept = begin;
    qsort(s->mark + begin, s->marks - begin, sizeof *s->mark, by_mark);
    for (size_t k = begin; k < s->marks; k++)
        if (kept > begin && by_mark(&s->mark[kept - 1], &s->mark[k]) == 0)
            s->mark[kept - 1].count++;
        else
            s->mark[kept++] = s->mark[k];
    s->marks = kept;
}

static void add_rank_marks(bl_scene *s, uint32_t rank, uint32_t bins)
{
    const bl_story *story = s->report->story;
    uint32_t cut = story->line.cut[rank];
    for (uint32_t d = 0; d <= bl_story_last(story, rank); d++) {
        double at = s->layout.at[story->first[rank] + d];
        if (s->each > 1)
            at = rounded(s, at, bins);
        s->mark[s->marks++] = (bl_mark){rank / s->each, s->each > 1 ? 0 : bl_story_number(story, rank, d), 1, at,
                                        d < cut ? BL_MARK_KEPT : d == cut ? BL_MARK_LINE : BL_MARK_UNDONE};
    }
}

/* Row after row, so that 10^7 checkpoints need the memory of the marks they become. */
static int add_marks(bl_scene *s, uint32_t bins, bl_error *err)
{
    const bl_story *story = s->report->story;
    size_t room = 0;
    for (uint32_t first = 0; first < story->ranks; first += s->each) {
        uint32_t end = story->ranks - first < s->each ? story->ranks : first + s->each;
        size_t begin = s->marks, most = begin + story->first[end] - story->first[first];
        bl_mark *mark = most > room ? realloc(s->mark, (room = 2 * most) * sizeof *mark) : s->mark;
        if (!mark)
            return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for a picture of %u ranks", story->ranks);
        s->mark = mark;
        for (uint32_t rank = first; rank < end; rank++)
            add_rank_marks(s, rank, bins);
        if (s->each > 1)
            merge_marks(s, begin);
    }
    return BELAY_OK;
}

static int by_arrow(const void *a, const void *b)
{
    const bl_arrow *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    if (x->to != y->to)
        return x->to < y->to ? -1 : 1;
    if (x->sent != y->sent)
        return x->sent < y->sent ? -1 : 1;
    if (x->received != y->received)
        return x->received < y->received ? -1 : 1;
    if (x->fate != y->fate)
        return x->fate < y->fate ? -1 : 1;
    return x->delivered < y->delivered ? -1 : x->delivered > y->delivered;
}

/* Equal neighbours become one. */
static void merge_arrows(bl_scene *s, uint32_t bins)
{
    double bin = s->layout.length / bins;
    size_t kept = 0;
    for (size_t k = 0; k < s->arrows; k++) {
        bl_arrow *a = &s->arrow[k];
        a->sent = fmin(rounded(s, a->sent, bins), s->layout.length - 1.5 * bin);
        a->received = fmin(rounded(s, a->received, bins), s->layout.length - 0.5 * bin);
        if (a->received <= a->sent) /* never straight down, and never backwards */
            a->received = a->sent + bin;
    }
    qsort(s->arrow, s->arrows, sizeof *s->arrow, by_arrow);
    for (size_t k = 0; k < s->arrows; k++)
        if (kept && by_arrow(&s->arrow[kept - 1], &s->arrow[k]) == 0)
            s->arrow[kept - 1].messages += s->arrow[k].messages;
        else
            s->arrow[kept++] = s->arrow[k];
    s->arrows = kept;
}

/* Of traffic too dense to draw, arrows evenly from all rows. */
static void thin_arrows(bl_scene *s, size_t most)
{
    size_t kept = 0, every = (s->arrows + most - 1) / most;
    for (size_t k = 0; k < s->arrows; k++)
        if (k % every == 0)
            s->arrow[kept++] = s->arrow[k];
        else
            s->hidden += s->arrow[k].messages ? s->arrow[k].messages : 1;
    s->arrows = kept;
}

/* The certificate of the rank at the end of the longest chain, failure last; *count 0 when there is nothing to number. */
static int longest_chain(const bl_scene *s, bl_hop **hops, size_t *count, bl_error *err)
{
    *hops = NULL;
    *count = 0;
    if (s->each > 1 || s->report->deepest == 0)
        return BELAY_OK;
    int rc = bl_line_why(s->report->story->graph, &s->report->story->line, bl_report_longest(s->report), hops, count, err);
    if (*count <= STEPS_MAX)
        return rc;
    *count = 0;
    return rc;
}

static uint32_t step_of(const bl_flow *f, const bl_hop *hops, size_t count)
{
    for (size_t k = 0; k + 1 < count; k++) {
        const bl_hop *h = &hops[k];
        bool orphan = h->cause == BL_HOP_ORPHAN && f->from == h->by_rank && f->sent_in == h->by_interval && f->to == h->rank &&
                      f->received_in == h->own;
        bool lost = h->cause == BL_HOP_LOST && f->from == h->rank && f->sent_in == h->own && f->to == h->by_rank &&
                    (f->received_in == h->by_interval || f->received_in == 0);
        if (orphan || lost)
            return (uint32_t)(count - 1 - k);
    }
    return 0;
}

static int add_arrows(bl_scene *s, uint32_t bins, size_t most, bl_error *err)
{
    const bl_story *story = s->report->story;
    s->arrow = malloc((story->flows + 1) * sizeof *s->arrow);
    if (!s->arrow)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for a picture of %zu messages", story->flows);
    bl_hop *hops;
    size_t count;
    int rc = longest_chain(s, &hops, &count, err);
    if (rc != BELAY_OK)
        return rc;
    for (size_t k = 0; k < story->flows; k++) {
        const bl_flow *f = &story->flow[k];
        bl_arrow a = {.from = f->from / s->each, .to = f->to / s->each, .messages = f->messages,
                      .fate = bl_story_fate(story, f) == BL_FATE_TRANSIT ? BL_FATE_KEPT : bl_story_fate(story, f), .delivered = f->received_in != 0};
        if (a.from == a.to) {
            s->hidden += f->messages ? f->messages : 1;
            continue;
        }
        bl_layout_flow(&s->layout, k, &a.sent, &a.received);
        a.step = step_of(f, hops, count);
        s->arrow[s->arrows++] = a;
    }
    free(hops);
    if (s->arrows > most)
        merge_arrows(s, bins);
    if (s->arrows > most)
        thin_arrows(s, most);
    return BELAY_OK;
}

static int by_band(const void *a, const void *b)
{
    const bl_band *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    if (x->last != y->last)
        return x->last < y->last ? -1 : 1;
    return x->undone < y->undone ? -1 : x->undone > y->undone;
}

static int add_bands(bl_scene *s, uint32_t bins, bl_error *err)
{
    const bl_story *story = s->report->story;
    size_t kept = 0;
    s->band = malloc((story->hubs + 1) * sizeof *s->band);
    if (!s->band)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for a picture of %zu collective operations", story->hubs);
    for (size_t c = 0; c < story->hubs; c++) {
        bl_band band = {.at = bl_layout_hub(&s->layout, c), .first = UINT32_MAX};
        for (size_t m = story->hub[c]; m < story->hub[c + 1]; m++) {
            uint32_t row = story->part[m].rank / s->each;
            band.first = row < band.first ? row : band.first;
            band.last = row > band.last ? row : band.last;
            band.undone |= story->part[m].interval > story->line.cut[story->part[m].rank];
        }
        if (story->hubs > bins)
            band.at = rounded(s, band.at, bins);
        s->band[s->bands++] = band;
    }
    if (s->bands > 1)
        qsort(s->band, s->bands, sizeof *s->band, by_band);
    for (size_t k = 0; k < s->bands; k++)
        if (!kept || by_band(&s->band[kept - 1], &s->band[k]) != 0)
            s->band[kept++] = s->band[k];
    s->bands = kept;
    return BELAY_OK;
}

/* --- the calls --- */

int bl_scene_make(const bl_report *report, uint32_t rows, uint32_t bins, size_t most, bl_scene *s, bl_error *err)
{
    uint32_t ranks = report->story->ranks;
    *s = (bl_scene){.report = report, .each = (ranks + rows - 1) / rows};
    int rc = bl_layout_make(report->story, &s->layout, err);
    s->rows = (ranks + s->each - 1) / s->each;
    s->row = calloc(s->rows, sizeof *s->row);
    if (rc == BELAY_OK && !s->row)
        rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory for a picture of %u ranks", ranks);
    for (uint32_t rank = 0; rc == BELAY_OK && rank < ranks; rank++)
        add_rank(s, rank);
    if (rc == BELAY_OK)
        rc = add_marks(s, bins, err);
    if (rc == BELAY_OK)
        rc = add_arrows(s, bins, most, err);
    if (rc == BELAY_OK)
        rc = add_bands(s, bins, err);
    if (rc != BELAY_OK)
        bl_scene_clear(s);
    return rc;
}

void bl_scene_clear(bl_scene *s)
{
    bl_layout_clear(&s->layout);
    free(s->row);
    free(s->mark);
    free(s->arrow);
    free(s->band);
    *s = (bl_scene){0};
}

/* --- words --- */

static bl_text who_fails(const bl_story *story)
{
    bl_text text = {"all ranks fail"};
    uint32_t count = 0;
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        count += story->failed[rank] != 0;
    if (count < story->ranks || story->ranks == 1)
        snprintf(text.s, sizeof text.s, "%.200s %s", bl_text_ranks(story->failed, story->ranks).s, count == 1 ? "fails" : "fail");
    return text;
}

void bl_scene_title(const bl_scene *s, char *text, size_t size)
{
    snprintf(text, size, "The recovery line when %s", who_fails(s->report->story).s);
}

bl_text bl_scene_source(const bl_scene *s)
{
    const bl_story *story = s->report->story;
    bl_text text;
    if (story->view)
        snprintf(text.s, sizeof text.s, "job %.20s, %.100s, %.40s, incarnation %u", story->view->job->id,
                 bl_text_clean(story->view->job->program).s, bl_text_count(story->ranks, "rank").s, story->incarnation);
    else
        snprintf(text.s, sizeof text.s, "%.160s, %.60s", story->from, bl_text_count(story->ranks, "rank").s);
    return text;
}

void bl_scene_caption(const bl_scene *s, char *text, size_t size)
{
    const bl_report *r = s->report;
    const bl_story *story = r->story;
    bl_text who = who_fails(story);
    const char *until = story->mode == BL_LINE_LOGGED ? "until what crosses the recovery line is kept and can be sent again"
                                                      : "until no message crosses the recovery line";
    bool start = true;
    who.s[0] = who.s[0] >= 'a' ? (char)(who.s[0] - 'a' + 'A') : who.s[0];
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        start &= story->line.cut[rank] == 0;
    if (r->deepest == 0)
        snprintf(text, size, "%s and what was in memory is gone. Nobody has to go back further than its newest checkpoint: "
                 "%s.", who.s,
                 story->mode == BL_LINE_LOGGED ? "what crosses the recovery line is kept and can be sent again"
                                               : "no message crosses the recovery line in either direction");
    else if (r->orphans >= r->lost)
        snprintf(text, size, "%s. Going back undoes what a rank has sent since; another that has received it (an orphan, red) "
                 "remembers a message that nobody has sent, so it must go back as well, and undoes what it sent itself. The "
                 "ranks push each other over like dominoes, %s: %s in a chain of %s%s.", who.s,
                 start ? "back to the start" : until,
                 bl_text_count(r->deepest, "checkpoint").s, bl_text_count(story->line.domino_depth, "step").s,
                 s->each == 1 && story->line.domino_depth < STEPS_MAX ? ", numbered" : "");
    else
        snprintf(text, size, "%s. A rank that goes back has not yet received what it received since, and nobody will send it "
                 "again (lost, dashed) unless the sender goes back as well: up to %s, %s.",
                 who.s, bl_text_count(r->deepest, "checkpoint").s, until);
}
