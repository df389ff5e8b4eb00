#include "line/trace.h"
#include "tool/story_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A trace as text.  src/line has read it once and made the graph, so here it is known to be right; what is wanted besides
 * is each event's step: one more than the latest event it depends on, so that time goes to the right in a picture. */
typedef struct message { const char *name; size_t length, flow; } message;

typedef struct reader {
    bl_story *story;
    const char *at, *end;
    uint32_t *step, *taken;  /* [ranks] the step of its last event; its checkpoints so far */
    bl_heap flows, parts, hubs;
    bl_heap names;           /* message, sorted */
} reader;

static char next_event(reader *r)
{
    while (r->at < r->end && (strchr(" \t\r\n", *r->at) || *r->at == '#')) {
        if (*r->at == '#')
            while (r->at < r->end && *r->at != '\n')
                r->at++;
        else
            r->at++;
    }
    if (r->at == r->end)
        return '\0';
    char letter = *r->at++;
    while (strchr(" \t\r\n", *r->at))
        r->at++;
    return letter;
}

static uint32_t take_rank(reader *r)
{
    uint32_t rank = 0;
    while (*r->at >= '0' && *r->at <= '9')
        rank = 10 * rank + (uint32_t)(*r->at++ - '0');
    return rank;
}

static message take_name(reader *r)
{
    message m = {r->at, 0, 0};
    while (r->at < r->end && !strchr(" \t\r\n#", *r->at))
        r->at++;
    m.length = (size_t)(r->at - m.name);
    return m;
}

static int by_name(const void *a, const void *b)
{
    const message *x = a, *y = b;
    size_t length = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->name, y->name, length);
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

static bl_flow *flow_of(reader *r, message name)
{
    const message *m = bsearch(&name, r->names.data, r->names.count, sizeof name, by_name);
    return (bl_flow *)r->flows.data + m->flow;
}

/* First pass: every message by its name. */
static int note_sends(reader *r, bl_error *err)
{
    char letter;
    int rc = BELAY_OK;
    while (rc == BELAY_OK && (letter = next_event(r))) {
        if (letter != 's') {
            take_name(r);
            continue;
        }
        bl_flow flow = {.from = take_rank(r), .messages = 1};
        r->at++;
        flow.to = take_rank(r);
        r->at++;
        message m = take_name(r);
        m.flow = r->flows.count;
        rc = bl_heap_add(&r->flows, &flow, err);
        if (rc == BELAY_OK)
            rc = bl_heap_add(&r->names, &m, err);
    }
    if (r->names.count > 1)
        qsort(r->names.data, r->names.count, sizeof(message), by_name);
    return rc;
}

static int collective(reader *r, bl_error *err)
{
    size_t first = r->parts.count;
    uint32_t step = 0;
    int rc = bl_heap_add(&r->hubs, &first, err);
    for (r->at--; rc == BELAY_OK && *r->at != ':';) {
        r->at++;
        uint32_t rank = take_rank(r);
        step = r->step[rank] > step ? r->step[rank] : step;
        rc = bl_heap_add(&r->parts, &(bl_part){rank, r->taken[rank] + 1, 0}, err);
    }
    for (size_t k = first; k < r->parts.count; k++) {
        bl_part *part = (bl_part *)r->parts.data + k;
        part->at = r->step[part->rank] = step + 1;
    }
    take_name(r);
    return rc;
}

static void receive(reader *r)
{
    bl_flow *flow = flow_of(r, take_name(r));
    uint32_t *step = &r->step[flow->to];
    *step = (*step > flow->sent_at ? *step : flow->sent_at) + 1;
    flow->received_at = *step;
    flow->received_in = r->taken[flow->to] + 1;
    r->story->crossing |= flow->received_in != flow->sent_in;
}

/* Second pass: what happened when.  Sends come in the order of `flows`. */
static int play(reader *r, bl_error *err)
{
    bl_flow *next = r->flows.data;
    bl_story *story = r->story;
    char letter;
    int rc = BELAY_OK;
    while (rc == BELAY_OK && (letter = next_event(r)))
        switch (letter) {
        case 's':
            next->sent_at = ++r->step[next->from];
            next->sent_in = r->taken[next->from] + 1;
            next++;
            take_name(r);
            break;
        case 'r': receive(r); break;
        case 'l':
            flow_of(r, take_name(r))->logged = true;
            story->mode = BL_LINE_LOGGED;
            break;
        case 'c': {
            uint32_t rank = take_rank(r), d = ++r->taken[rank];
            story->point[story->first[rank] + d] = (bl_taken){.number = d, .time_ns = ++r->step[rank]};
            break;
        }
        default: rc = collective(r, err);
        }
    return rc;
}

static int read_events(reader *r, const char *text, size_t length, bl_error *err)
{
    bl_story *story = r->story;
    r->end = text + length;
    r->step = calloc(2 * (size_t)story->ranks, sizeof *r->step);
    if (!r->step)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    r->taken = r->step + story->ranks;
    r->at = text;
    int rc = note_sends(r, err);
    r->at = text;
    if (rc == BELAY_OK)
        rc = play(r, err);
    uint32_t most = 0;
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        most = r->step[rank] > most ? r->step[rank] : most;
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        story->seen[rank] = true;
        story->table[rank] = (bl_live_header){.rank = rank, .state = BL_LIVE_STARTED, .safe_point = UINT64_MAX,
                                              .safe_point_ns = (int64_t)most + 1};
    }
    story->tables = story->ranks;
    return rc == BELAY_OK ? bl_story_finish(story, &r->flows, &r->parts, &r->hubs, err) : rc;
}

int bl_story_text(bl_story *story, const char *text, size_t length, bl_error *err)
{
    reader r = {.story = story,
                .flows = {.element = sizeof(bl_flow)},
                .parts = {.element = sizeof(bl_part)},
                .hubs = {.element = sizeof(size_t)},
                .names = {.element = sizeof(message)}};
    int rc = bl_trace_parse(text, length, 0, &story->graph, err);
    if (rc != BELAY_OK)
        return rc;
    story->ranks = bl_graph_ranks(story->graph);
    rc = bl_story_room(story, err);
    if (rc == BELAY_OK)
        rc = bl_story_points(story, bl_graph_last(story->graph), err);
    if (rc == BELAY_OK)
        rc = read_events(&r, text, length, err);
    free(r.step);
    free(r.flows.data);
    free(r.parts.data);
    free(r.hubs.data);
    free(r.names.data);
    return rc;
}
