#include "tool/report.h"

#include <stdlib.h>
#include <string.h>

/* --- reasons and groups --- */

static bool same_story(const bl_report *r, const bl_group *g, uint32_t rank)
{
    bool keeps = r->why[rank].count == 0;
    uint32_t cut = r->story->line.cut[rank];
    if (r->story->ranks <= BL_RANKS_SHOWN || g->keeps != keeps)
        return false;
    bool failed = r->why[rank].hop.cause == BL_HOP_FAILED;
    return keeps || ((g->cause == BL_HOP_FAILED) == failed && g->depth == r->story->line.depth[rank] && !g->cut == !cut);
}

static void join(bl_report *r, uint32_t rank)
{
    const bl_story *story = r->story;
    uint32_t cut = story->line.cut[rank], number = bl_story_number(story, rank, cut);
    uint64_t points;
    double seconds;
    size_t k = 0;
    while (k < r->groups && !same_story(r, &r->group[k], rank))
        k++;
    if (k == BL_GROUPS_MAX) /* the last one takes what is left; its example is still true */
        k--;
    bl_group *g = &r->group[k];
    bl_story_loss(story, rank, cut, &points, &seconds);
    if (k == r->groups) {
        r->groups++;
        *g = (bl_group){.cut = cut, .example = rank, .low = number, .high = number, .depth = story->line.depth[rank],
                        .cause = r->why[rank].hop.cause, .keeps = r->why[rank].count == 0, .least_points = points,
                        .most_points = points, .least_s = seconds, .most_s = seconds, .member = r->member + k * story->ranks};
    }
    g->member[rank] = 1;
    g->mixed |= g->cause != r->why[rank].hop.cause;
    g->ranks++;
    g->low = number < g->low ? number : g->low;
    g->high = number > g->high ? number : g->high;
    g->least_points = points < g->least_points ? points : g->least_points;
    g->most_points = points > g->most_points ? points : g->most_points;
    g->least_s = seconds < g->least_s ? seconds : g->least_s;
    g->most_s = seconds > g->most_s ? seconds : g->most_s;
    if (r->why[rank].count > r->why[g->example].count)
        g->example = rank;
}

static int explain(bl_report *r, uint32_t rank, bl_error *err)
{
    bl_hop *hops = NULL;
    size_t count;
    int rc = bl_line_why(r->story->graph, &r->story->line, rank, &hops, &count, err);
    if (rc == BELAY_OK && count)
        r->why[rank] = (bl_reason){hops[0], count > 1 ? hops[1].to : 0, (uint32_t)count};
    free(hops);
    uint32_t depth = r->story->line.depth[rank];
    r->deepest = depth > r->deepest ? depth : r->deepest;
    return rc;
}

uint32_t bl_report_longest(const bl_report *r)
{
    uint32_t longest = 0;
    for (uint32_t rank = 1; rank < r->story->ranks; rank++)
        if (r->why[rank].count > r->why[longest].count)
            longest = rank;
    return longest;
}

/* --- what the rollback does to messages --- */

static int by_ends(const void *a, const void *b)
{
    const bl_pair *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return x->to < y->to ? -1 : x->to > y->to;
}

static int by_size(const void *a, const void *b)
{
    const bl_pair *x = a, *y = b;
    uint64_t p = x->orphans + x->lost + x->transit, q = y->orphans + y->lost + y->transit;
    return p != q ? (p > q ? -1 : 1) : by_ends(a, b);
}

/* Flows come ascending by pair from most sources; sorting makes it so for all. */
static int count_pairs(bl_report *r, bl_error *err)
{
    const bl_story *story = r->story;
    size_t broken = 0, kept = 0;
    for (size_t k = 0; k < story->flows; k++) {
        enum bl_fate fate = bl_story_fate(story, &story->flow[k]);
        broken += fate == BL_FATE_ORPHAN || fate == BL_FATE_LOST || fate == BL_FATE_TRANSIT;
    }
    r->pair = malloc((broken + 1) * sizeof *r->pair);
    if (!r->pair)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %zu messages", broken);
    for (size_t k = 0, at = 0; k < story->flows; k++) {
        const bl_flow *f = &story->flow[k];
        enum bl_fate fate = bl_story_fate(story, f);
        uint64_t messages = f->messages ? f->messages : 1;
        if (fate == BL_FATE_ORPHAN || fate == BL_FATE_LOST || fate == BL_FATE_TRANSIT)
            r->pair[at++] = (bl_pair){f->from, f->to, fate == BL_FATE_ORPHAN ? messages : 0, fate == BL_FATE_LOST ? messages : 0,
                                      fate == BL_FATE_TRANSIT ? messages : 0};
    }
    if (broken > 1)
        qsort(r->pair, broken, sizeof *r->pair, by_ends);
    for (size_t k = 0; k < broken; k++) {
        r->orphans += r->pair[k].orphans;
        r->lost += r->pair[k].lost;
        r->transit += r->pair[k].transit;
        if (kept && by_ends(&r->pair[kept - 1], &r->pair[k]) == 0) {
            r->pair[kept - 1].orphans += r->pair[k].orphans;
            r->pair[kept - 1].lost += r->pair[k].lost;
            r->pair[kept - 1].transit += r->pair[k].transit;
        } else {
            r->pair[kept++] = r->pair[k];
        }
    }
    if (kept > 1)
        qsort(r->pair, kept, sizeof *r->pair, by_size);
    r->pairs = kept;
    return BELAY_OK;
}

/* --- what the checkpoints were worth --- */

static int count_checkpoints(bl_report *r, bl_error *err)
{
    const bl_story *story = r->story;
    uint8_t *flags = NULL;
    uint64_t *offsets = NULL;
    r->checkpoints = story->first[story->ranks] - story->ranks;
    for (uint64_t k = 0; k < story->first[story->ranks]; k++)
        r->forced += story->point[k].forced;
    if (!story->relaunch.cut)
        return BELAY_OK;
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        r->collectable += story->relaunch.cut[rank] > 1 ? story->relaunch.cut[rank] - 1 : 0;
    int rc = bl_line_useless(story->graph, story->mode, &flags, &offsets, err);
    for (uint32_t rank = 0; rc == BELAY_OK && rank < story->ranks; rank++)
        for (uint32_t d = 1; d <= bl_story_last(story, rank); d++)
            r->useless += flags[offsets[rank] + d] != 0;
    free(flags);
    free(offsets);
    return rc;
}

/* --- the calls --- */

int bl_report_make(bl_story *story, uint64_t seed, bl_report *r, bl_error *err)
{
    *r = (bl_report){.story = story};
    r->why = calloc(story->ranks, sizeof *r->why);
    r->member = calloc((size_t)BL_GROUPS_MAX * story->ranks, 1);
    int rc = r->why && r->member ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    for (uint32_t rank = 0; rc == BELAY_OK && rank < story->ranks; rank++) {
        rc = explain(r, rank, err);
        if (rc == BELAY_OK)
            join(r, rank);
    }
    if (rc == BELAY_OK)
        rc = count_pairs(r, err);
    if (rc == BELAY_OK)
        rc = count_checkpoints(r, err);
    if (rc == BELAY_OK)
        rc = bl_loss_worst(story, seed, &r->worst, err);
    if (rc == BELAY_OK)
        rc = bl_loss_expected(story, seed, &r->expected, err);
    if (rc == BELAY_OK && story->source != BL_STORY_COORDINATED && !story->thinned)
        rc = bl_whatif_make(story, &r->whatif, err);
    if (rc != BELAY_OK)
        bl_report_clear(r);
    return rc;
}

void bl_report_clear(bl_report *r)
{
    free(r->why);
    free(r->member);
    free(r->pair);
    *r = (bl_report){0};
}

/* "--kill number 1": the code of an injected kill says which one it was. */
bl_text bl_report_end(const bl_live_header *table)
{
    bl_text text;
    int code = table->code;
    switch (table->state) {
    case BL_LIVE_STARTED: snprintf(text.s, sizeof text.s, "was running, or died without a word"); break;
    case BL_LIVE_FINALIZING: snprintf(text.s, sizeof text.s, "was in MPI_Finalize"); break;
    case BL_LIVE_FINISHED: snprintf(text.s, sizeof text.s, "finished"); break;
    case BL_LIVE_EXITED: snprintf(text.s, sizeof text.s, "left through exit() without MPI_Finalize"); break;
    case BL_LIVE_ABORTED: snprintf(text.s, sizeof text.s, "called MPI_Abort with code %d", code); break;
    case BL_LIVE_KILLED: snprintf(text.s, sizeof text.s, "was killed by an injected fault (--kill number %d)", code); break;
    case BL_LIVE_STOPPED: snprintf(text.s, sizeof text.s, "stopped because it was asked to"); break;
    case BL_LIVE_REFUSED: snprintf(text.s, sizeof text.s, "was ended by Belay for a reason that it printed"); break;
    case BL_STORY_FAILED: snprintf(text.s, sizeof text.s, "failed"); break;
    default: snprintf(text.s, sizeof text.s, "is in an unknown state (%u)", table->state); break;
    }
    return text;
}

bool bl_report_ended_well(const bl_story *story)
{
    const bl_job *job = story->view ? story->view->job : NULL;
    return job && story->incarnation == job->incarnation &&
           (strcmp(job->state, "finished") == 0 || strcmp(job->state, "stopped") == 0);
}
