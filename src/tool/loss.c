#include "tool/loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "line/solve.h"

/* Dependencies looked at, at most, for one of the figures: some seconds.  A sample of fewer lines says nothing. */
enum { WORK_MAX = 150000000, SAMPLES_LEAST = 30 };

enum bl_unit bl_loss_unit(const bl_story *story)
{
    if (story->source == BL_STORY_TEXT)
        return BL_UNIT_STEPS;
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        if (story->seen[rank] && !isnan(story->since_s[rank]))
            return BL_UNIT_SECONDS;
    return BL_UNIT_NONE;
}

double bl_loss(const bl_story *story, uint32_t rank, uint32_t cut)
{
    uint64_t points;
    double seconds;
    if (cut > bl_story_last(story, rank))
        return 0;
    if (story->source == BL_STORY_TEXT)
        return (double)(story->table[rank].safe_point_ns - bl_story_point(story, rank, cut)->time_ns);
    bl_story_loss(story, rank, cut, &points, &seconds);
    return seconds < 0 ? NAN : seconds;
}

bl_sum bl_loss_sum(const bl_story *story, const bl_line *line)
{
    bl_sum sum = {.ranks = line->rolled_back};
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        sum.deepest = line->depth[rank] > sum.deepest ? line->depth[rank] : sum.deepest;
        sum.at_start += line->cut[rank] == 0;
        sum.lost += bl_loss(story, rank, line->cut[rank]);
    }
    return sum;
}

/* splitmix64: the same draw for the same seed everywhere. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* How many lines may be solved; 0 for a job so large that there is no time for a sample. */
static uint64_t affordable(const bl_story *story)
{
    uint64_t flows = story->flows * (story->thinned ? story->thinned : 1);
    uint64_t one = story->first[story->ranks] + flows + (story->hubs ? story->hub[story->hubs] : 0) + 1;
    return WORK_MAX / one >= SAMPLES_LEAST ? WORK_MAX / one : 0;
}

/* --- the worst rank --- */

static bool is_worse(const bl_sum *a, const bl_sum *b)
{
    if (!isnan(a->lost) && !isnan(b->lost) && a->lost != b->lost)
        return a->lost > b->lost;
    return a->ranks != b->ranks ? a->ranks > b->ranks : a->deepest > b->deepest;
}

int bl_loss_worst(const bl_story *story, uint64_t seed, bl_worst *worst, bl_error *err)
{
    uint64_t most = affordable(story);
    uint8_t *failed = calloc(story->ranks, 1);
    int rc = failed ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    *worst = (bl_worst){.tried = story->ranks <= most ? story->ranks : (uint32_t)most};
    for (uint32_t k = 0; rc == BELAY_OK && k < worst->tried; k++) {
        uint32_t rank = worst->tried == story->ranks ? k : (uint32_t)(draw(&seed) % story->ranks);
        bl_line line;
        failed[rank] = 1;
        rc = bl_line_solve(story->graph, story->mode, failed, &line, err);
        failed[rank] = 0;
        if (rc != BELAY_OK)
            break;
        bl_sum sum = bl_loss_sum(story, &line);
        bl_line_clear(&line);
        if (k == 0 || is_worse(&sum, &worst->sum)) {
            worst->rank = rank;
            worst->sum = sum;
        }
    }
    free(failed);
    return rc;
}

/* --- the expected loss --- */

typedef struct moments {
    const bl_story *story;
    double begin, end;
    double *when;         /* [count] ascending: the moments at which some rank had taken a checkpoint */
    size_t count;
    uint32_t *top;        /* [ranks] */
} moments;

static double work_at(const bl_story *story, uint32_t rank, uint32_t dense)
{
    const bl_taken *p = bl_story_point(story, rank, dense);
    return story->source == BL_STORY_TEXT ? (double)p->time_ns : p->compute_s;
}

static double work_end(const bl_story *story, uint32_t rank)
{
    if (story->source == BL_STORY_TEXT)
        return (double)story->table[rank].safe_point_ns;
    return work_at(story, rank, bl_story_last(story, rank)) + story->since_s[rank];
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* False: some moment is not known, or the work does not grow from checkpoint to checkpoint. */
static bool find_moments(moments *m)
{
    const bl_story *story = m->story;
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        double end = work_end(story, rank), before = 0;
        uint32_t oldest = bl_story_number(story, rank, 1);
        if (oldest > 1 && work_at(story, rank, 1) > m->begin) /* older ones have been removed: what failures cost then is not known */
            m->begin = work_at(story, rank, 1);
        for (uint32_t d = 1; d <= bl_story_last(story, rank); d++) {
            double at = work_at(story, rank, d);
            if (!(at >= before))
                return false;
            m->when[m->count++] = before = at;
        }
        if (!story->seen[rank] || !(end >= before))
            return false;
        m->end = end > m->end ? end : m->end;
    }
    if (m->count > 1)
        qsort(m->when, m->count, sizeof *m->when, by_value);
    return m->end > m->begin;
}

/* The sum over ranks of what a failure at `t` leaves, that is the work saved by then on the line. */
static int saved_at(moments *m, double t, double *saved, bl_error *err)
{
    const bl_story *story = m->story;
    bl_line line;
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        uint32_t low = 0, high = bl_story_last(story, rank);
        while (low < high) {
            uint32_t middle = low + (high - low + 1) / 2;
            if (work_at(story, rank, middle) <= t)
                low = middle;
            else
                high = middle - 1;
        }
        m->top[rank] = low;
    }
    int rc = bl_line_greatest_below(story->graph, story->mode, m->top, &line, err);
    if (rc != BELAY_OK)
        return rc;
    *saved = 0;
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        *saved += line.cut[rank] ? work_at(story, rank, line.cut[rank]) : 0;
    bl_line_clear(&line);
    return BELAY_OK;
}

/* From one moment to the next the line stays, so the loss is the middle of its two ends. */
static int integrate(moments *m, bl_expected *e, bl_error *err)
{
    double ranks = m->story->ranks, sum = 0, from = m->begin;
    for (size_t k = 0; k <= m->count; k++) {
        double to = k < m->count ? m->when[k] : m->end, saved;
        if (to > m->end)
            to = m->end;
        if (to <= from)
            continue;
        int rc = saved_at(m, from, &saved, err);
        if (rc != BELAY_OK)
            return rc;
        double low = from - saved / ranks, high = to - saved / ranks;
        sum += (to - from) * (low + high) / 2;
        e->most = high > e->most ? high : e->most;
        e->moments++;
        from = to;
    }
    e->mean = sum / (m->end - m->begin);
    e->exact = true;
    return BELAY_OK;
}

static int sample(moments *m, uint32_t samples, uint64_t seed, bl_expected *e, bl_error *err)
{
    double sum = 0, squares = 0;
    for (uint32_t k = 0; k < samples; k++) {
        double t = m->begin + (m->end - m->begin) * (double)(draw(&seed) >> 11) * 0x1p-53, saved;
        int rc = saved_at(m, t, &saved, err);
        if (rc != BELAY_OK)
            return rc;
        double lost = t - saved / m->story->ranks;
        sum += lost;
        squares += lost * lost;
        e->most = lost > e->most ? lost : e->most;
    }
    e->mean = sum / samples;
    double variance = (squares - sum * e->mean) / (samples - 1);
    e->half = 1.96 * sqrt(variance > 0 ? variance / samples : 0);
    e->moments = samples;
    return BELAY_OK;
}

int bl_loss_expected(const bl_story *story, uint64_t seed, bl_expected *expected, bl_error *err)
{
    moments m = {.story = story};
    uint64_t most = affordable(story);
    int rc = BELAY_OK;
    *expected = (bl_expected){0};
    if (most == 0)
        return BELAY_OK;
    m.when = malloc((story->first[story->ranks] + 1) * sizeof *m.when);
    m.top = malloc(story->ranks * sizeof *m.top);
    if (!m.when || !m.top)
        rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    else if (bl_loss_unit(story) != BL_UNIT_NONE && find_moments(&m)) {
        expected->known = true;
        rc = m.count < most ? integrate(&m, expected, err) : sample(&m, (uint32_t)most, seed, expected, err);
    }
    free(m.when);
    free(m.top);
    return rc;
}
