#include "tool/story.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/story_make.h"
#include "tool/text.h"
#include "util/clock.h"
#include "util/memory.h"

/* --- growing arrays and notes --- */

int bl_heap_add(bl_heap *h, const void *element, bl_error *err)
{
    if (h->count == h->room) {
        size_t room = h->room ? 2 * h->room : 256;
        void *grown = realloc(h->data, room * h->element);
        if (!grown)
            return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %zu dependencies", room);
        bl_memory_large(grown, room * h->element);
        h->data = grown;
        h->room = room;
    }
    memcpy((char *)h->data + h->element * h->count++, element, h->element);
    return BELAY_OK;
}

int bl_story_counters(uint32_t rank, uint64_t counters, bl_error *err)
{
    return counters >> 40 ? bl_fail(err, BELAY_ERR_DAMAGED, "rank %u counts an impossible number of messages", rank) : BELAY_OK;
}

void bl_story_note(bl_story *story, const char *format, ...)
{
    if (story->notes == BL_STORY_NOTES_MAX) {
        story->notes_lost++;
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(story->note[story->notes], sizeof *story->note, format, args);
    va_end(args);
    bl_text_wash(story->note[story->notes++]);
}

/* --- what the sources share --- */

int bl_story_room(bl_story *story, bl_error *err)
{
    story->seen = calloc(story->ranks, sizeof *story->seen);
    story->table = calloc(story->ranks, sizeof *story->table);
    story->since_s = calloc(story->ranks, sizeof *story->since_s);
    story->failed = calloc(story->ranks, sizeof *story->failed);
    if (!story->seen || !story->table || !story->since_s || !story->failed)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        story->since_s[rank] = NAN;
    return BELAY_OK;
}

int bl_story_points(bl_story *story, const uint32_t *last, bl_error *err)
{
    story->first = calloc((size_t)story->ranks + 1, sizeof *story->first);
    for (uint32_t rank = 0; story->first && rank < story->ranks; rank++)
        story->first[rank + 1] = story->first[rank] + last[rank] + 1;
    story->point = story->first ? calloc(story->first[story->ranks], sizeof *story->point) : NULL;
    if (story->point)
        bl_memory_large(story->point, story->first[story->ranks] * sizeof *story->point);
    return story->point ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the checkpoints of %u ranks", story->ranks);
}

static double since(const bl_live_header *table)
{
    int64_t from = table->checkpoint_ns ? table->checkpoint_ns : table->first_step_ns;
    if (from <= 0 || table->safe_point_ns <= 0)
        return NAN;
    return table->safe_point_ns > from ? bl_seconds(table->safe_point_ns) - bl_seconds(from) : 0; /* it is dated now and then */
}

int bl_story_table(bl_story *story, uint32_t rank, bl_live *live, bl_error *err)
{
    int rc = bl_live_read(story->view->store, rank, story->incarnation, live, err);
    if (rc != BELAY_OK)
        return rc;
    story->table[rank] = *live->header;
    story->table[rank].host[sizeof live->header->host - 1] = '\0';
    story->since_s[rank] = since(live->header);
    story->seen[rank] = true;
    story->tables++;
    return BELAY_OK;
}

void bl_story_table_lost(bl_story *story, uint32_t rank, int rc, const bl_error *why)
{
    story->tables -= story->seen[rank];
    story->seen[rank] = false;
    if (rc != BELAY_ERR_NONE)
        bl_story_note(story, "the live table of rank %u is left out: %s", rank, why->text);
}

int bl_series_next(bl_series *series, uint32_t ranks, int begins, uint32_t members, const uint32_t *rank,
                   const uint32_t *interval, bl_heap *parts, bl_heap *hubs, bl_error *err)
{
    size_t first = parts->count;
    if (!series->now) {
        series->now = calloc(ranks, sizeof *series->now);
        series->member = calloc(ranks, sizeof *series->member);
    }
    if (!series->now || !series->member)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", ranks);
    if (begins)
        memcpy(series->member, rank, (series->members = members) * sizeof *rank);
    for (uint32_t k = 0; k < members; k++)
        series->now[rank[k]] = interval[k];
    if (first + series->members > BL_PARTS_MAX)
        return BELAY_OK;
    int rc = bl_heap_add(hubs, &first, err);
    for (uint32_t k = 0; rc == BELAY_OK && k < series->members; k++) {
        uint32_t who = series->member[k];
        if (series->now[who])
            rc = bl_heap_add(parts, &(bl_part){who, series->now[who], 0}, err);
    }
    return rc;
}

void bl_series_clear(bl_series *series)
{
    free(series->now);
    free(series->member);
    *series = (bl_series){0};
}

/* --- the graph --- */

static int add_flows(bl_story *story, bl_error *err)
{
    int rc = bl_graph_reserve(story->graph, story->flows, err);
    for (size_t k = 0; rc == BELAY_OK && k < story->flows; k++) {
        const bl_flow *f = &story->flow[k];
        rc = bl_graph_message(story->graph, f->from, f->sent_in, f->to, f->received_in ? f->received_in : 1,
                              f->received_in ? 0 : BL_MSG_UNDELIVERED, err);
    }
    return rc;
}

static int add_hubs(bl_story *story, bl_error *err)
{
    uint32_t *rank = malloc(2 * story->ranks * sizeof *rank), *interval = rank ? rank + story->ranks : NULL;
    int rc = rank ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    for (size_t c = 0; rc == BELAY_OK && c < story->hubs; c++) {
        size_t first = story->hub[c], members = story->hub[c + 1] - first;
        for (size_t m = 0; m < members; m++) {
            rank[m] = story->part[first + m].rank;
            interval[m] = story->part[first + m].interval;
        }
        rc = bl_graph_collective(story->graph, (uint32_t)members, rank, interval, err);
    }
    free(rank);
    return rc;
}

static int build_graph(bl_story *story, bl_error *err)
{
    uint32_t *last = malloc(story->ranks * sizeof *last);
    if (!last)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        last[rank] = bl_story_last(story, rank);
    int rc = bl_graph_new(story->ranks, last, &story->graph, err);
    free(last);
    if (rc == BELAY_OK)
        bl_graph_hint_large(story->graph, bl_memory_large);
    if (rc == BELAY_OK)
        rc = add_flows(story, err);
    return rc == BELAY_OK ? add_hubs(story, err) : rc;
}

int bl_story_finish(bl_story *story, bl_heap *flows, bl_heap *parts, bl_heap *hubs, bl_error *err)
{
    int rc = bl_heap_add(hubs, &parts->count, err); /* where the last one ends */
    if (rc != BELAY_OK)
        return rc;
    story->flow = flows->data;
    story->flows = flows->count;
    story->part = parts->data;
    story->hub = hubs->data;
    story->hubs = hubs->count - 1;
    flows->data = parts->data = hubs->data = NULL;
    return story->graph ? BELAY_OK : build_graph(story, err);
}

/* --- the calls --- */

int bl_story_read(const bl_view *view, uint32_t incarnation, bl_story *story, bl_error *err)
{
    *story = (bl_story){.view = view, .ranks = view->job->ranks, .incarnation = incarnation,
                        .source = view->independent ? BL_STORY_INDEPENDENT : BL_STORY_COORDINATED,
                        .mode = BL_LINE_TRANSITLESS};
    if (incarnation == UINT32_MAX)
        story->incarnation = view->tables ? view->newest_table : view->job->incarnation;
    int rc = bl_story_room(story, err);
    if (rc == BELAY_OK)
        rc = view->independent ? bl_story_independent(story, err) : bl_story_coordinated(story, err);
    if (rc != BELAY_OK)
        bl_story_clear(story);
    return rc;
}

bool bl_story_died(const bl_live_header *table)
{
    return table->state == BL_LIVE_KILLED || table->state == BL_LIVE_ABORTED || table->state == BL_LIVE_EXITED ||
           table->state == BL_LIVE_REFUSED || table->state == BL_STORY_FAILED;
}

static void choose_failed(bl_story *story, const uint8_t *failed)
{
    bool any = false;
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        bool its_own = failed ? failed[rank] != 0 : story->seen[rank] && bl_story_died(&story->table[rank]);
        story->failed[rank] = its_own || !story->seen[rank];
        any |= its_own || (story->tables && !story->seen[rank]);
    }
    story->assumed = !any;
    if (!any)
        memset(story->failed, 1, story->ranks);
}

/* What a thread checks of a line, and what it found. */
typedef struct upper_half {
    const bl_story *story;
    const uint8_t *failed;
    const bl_line *line;
    int rc;
    bl_error err;
} upper_half;

static void *check_upper(void *argument)
{
    upper_half *h = argument;
    h->rc = bl_line_check_ranks(h->story->graph, h->story->mode, h->failed, h->line, h->story->ranks / 2, h->story->ranks, &h->err);
    return NULL;
}

/* In two halves where it takes seconds. */
static int check(const bl_story *story, const uint8_t *failed, const bl_line *line, bl_error *err)
{
    upper_half upper = {.story = story, .failed = failed, .line = line};
    pthread_t thread;
    if (!story->thinned || pthread_create(&thread, NULL, check_upper, &upper) != 0)
        return bl_line_check(story->graph, story->mode, failed, line, err);
    int rc = bl_line_check_ranks(story->graph, story->mode, failed, line, 0, story->ranks / 2, err);
    pthread_join(thread, NULL);
    return rc == BELAY_OK && upper.rc != BELAY_OK ? bl_fail(err, upper.rc, "%s", upper.err.text) : rc;
}

static int solve_one(bl_story *story, const uint8_t *failed, bl_line *line, bl_error *err)
{
    int rc = bl_line_solve(story->graph, story->mode, failed, line, err);
    return rc == BELAY_OK ? check(story, failed, line, err) : rc;
}

int bl_story_solve(bl_story *story, const uint8_t *failed, bl_error *err)
{
    choose_failed(story, failed);
    int rc = solve_one(story, story->failed, &story->line, err);
    return rc == BELAY_OK && !story->thinned ? solve_one(story, NULL, &story->relaunch, err) : rc;
}

void bl_story_clear(bl_story *story)
{
    if (story->line.cut)
        bl_line_clear(&story->line);
    if (story->relaunch.cut)
        bl_line_clear(&story->relaunch);
    bl_graph_free(story->graph);
    free(story->traffic);
    free(story->flow);
    free(story->part);
    free(story->hub);
    free(story->failed);
    free(story->since_s);
    free(story->table);
    free(story->seen);
    free(story->point);
    free(story->first);
    *story = (bl_story){0};
}

uint32_t bl_story_number(const bl_story *story, uint32_t rank, uint32_t dense)
{
    return dense <= bl_story_last(story, rank) ? bl_story_point(story, rank, dense)->number : 0;
}

void bl_story_loss(const bl_story *story, uint32_t rank, uint32_t cut, uint64_t *safe_points, double *seconds)
{
    const bl_live_header *table = &story->table[rank];
    uint32_t last = bl_story_last(story, rank);
    *safe_points = 0;
    *seconds = -1;
    if (!story->seen[rank] || cut > last)
        return;
    const bl_taken *to = bl_story_point(story, rank, cut), *newest = bl_story_point(story, rank, last);
    if (table->safe_point != UINT64_MAX && table->safe_point > to->safe_point)
        *safe_points = table->safe_point - to->safe_point;
    double lost = story->since_s[rank] + (cut < last ? newest->compute_s - to->compute_s : 0);
    if (lost >= 0)
        *seconds = lost;
}

enum bl_fate bl_story_fate(const bl_story *story, const bl_flow *f)
{
    uint32_t from_last = bl_story_last(story, f->from), to_last = bl_story_last(story, f->to);
    uint32_t from_cut = story->line.cut[f->from], to_cut = story->line.cut[f->to];
    bool unsent = f->sent_in > from_cut;
    bool gone = f->received_in ? f->received_in > to_cut : to_cut <= to_last;
    bool in_sender = f->sent_in <= from_last + !story->failed[f->from];
    bool in_receiver = f->received_in && f->received_in <= to_last + !story->failed[f->to];
    if (unsent && in_receiver)
        return BL_FATE_ORPHAN;
    if (gone && in_sender && !f->logged)
        return BL_FATE_LOST;
    if (gone && !unsent && f->logged)
        return BL_FATE_TRANSIT;
    return unsent || gone ? BL_FATE_UNDONE : BL_FATE_KEPT;
}

/* Whether flow f is one of those that hop h speaks of. */
static bool spoken_of(const bl_flow *f, const bl_hop *h)
{
    if (h->cause == BL_HOP_ORPHAN)
        return f->from == h->by_rank && f->to == h->rank && f->received_in == h->own && f->sent_in >= h->by_interval;
    if (h->cause == BL_HOP_LOST)
        return f->to == h->by_rank && f->from == h->rank && f->sent_in == h->own &&
               (f->received_in == 0 || f->received_in >= h->by_interval);
    return false;
}

void bl_story_count(const bl_story *story, const bl_hop *hop, size_t hops, uint64_t *counts)
{
    memset(counts, 0, hops * sizeof *counts);
    for (size_t k = 0; k < story->flows; k++)
        for (size_t h = 0; h < hops; h++)
            if (spoken_of(&story->flow[k], &hop[h]))
                counts[h] += story->flow[k].messages;
}
