#include "tool/story_make.h"

#include <stdlib.h>
#include <string.h>

#include "line/history.h"
#include "store/late.h"
#include "tool/text.h"

/* Independent and induced checkpoints: every file that verifies is one.  Of induced ones the late files say which messages may
 * be in transit across a line.  The counters of an incarnation go on from those of the
 * checkpoint it resumed from, so the files of all incarnations are one history. */

typedef struct builder {
    bl_story *story;
    bl_history *history;
    uint32_t *last;      /* [ranks] */
    bl_heap points;      /* bl_taken, rank after rank, without the starts */
    bl_heap channels, collectives; /* rows of one rank */
    bool closed_only;    /* leave out the open intervals */
    bl_heap flows, parts, hubs;
    bl_series series;
} builder;

/* --- rows --- */

static int add_channel(builder *b, uint32_t rank, uint64_t comm, int32_t peer, int32_t tag, uint64_t sent, uint64_t received,
                       bl_error *err)
{
    if (peer < 0 || (uint32_t)peer >= b->story->ranks)
        return bl_fail(err, BELAY_ERR_DAMAGED, "rank %u counts messages of rank %d in a job of %u ranks", rank, peer,
                       b->story->ranks);
    int rc = bl_story_counters(rank, sent | received, err);
    return rc == BELAY_OK ? bl_heap_add(&b->channels, &(bl_history_channel){comm, (uint32_t)peer, tag, sent, received}, err) : rc;
}

static int add_collective(builder *b, uint32_t rank, uint64_t comm, uint64_t started, uint32_t size, bl_error *err)
{
    int rc = bl_story_counters(rank, started, err);
    return rc == BELAY_OK ? bl_heap_add(&b->collectives, &(bl_history_collective){comm, started, size}, err) : rc;
}

static int rows_of_snapshot(builder *b, const bl_snapshot *s, bl_error *err)
{
    int rc = BELAY_OK;
    b->channels.count = b->collectives.count = 0;
    for (size_t k = 0; rc == BELAY_OK && k < s->nchannels; k++) {
        const bl_channel *c = &s->channels[k];
        rc = add_channel(b, s->rank, c->comm, c->peer, c->tag, c->sent, c->received, err);
    }
    for (size_t k = 0; rc == BELAY_OK && k < s->ncollectives; k++)
        rc = add_collective(b, s->rank, s->collectives[k].comm, s->collectives[k].started, s->collectives[k].size, err);
    return rc;
}

static int rows_of_table(builder *b, uint32_t rank, const bl_live *live, bl_error *err)
{
    int rc = BELAY_OK;
    b->channels.count = b->collectives.count = 0;
    for (uint32_t k = 0; rc == BELAY_OK && k < live->header->channel_slots; k++) {
        const bl_live_slot *s = &live->slot[k];
        if (s->comm)
            rc = add_channel(b, rank, s->comm, s->peer, s->tag, s->sent, s->received, err);
    }
    for (uint32_t k = 0; rc == BELAY_OK && k < live->header->collective_slots; k++) {
        const bl_live_collective *on = &live->collective[k];
        if (on->comm)
            rc = add_collective(b, rank, on->comm, on->started, on->size, err);
    }
    return rc;
}

static int read_tables(bl_story *story, bl_error *err)
{
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        bl_live live;
        bl_error inner = {0, ""};
        int rc = bl_story_table(story, rank, &live, &inner);
        if (rc == BELAY_OK)
            bl_live_free(&live);
        else if (rc == BELAY_ERR_MEMORY)
            return bl_fail(err, rc, "%s", inner.text);
        else
            bl_story_table_lost(story, rank, rc, &inner);
    }
    return BELAY_OK;
}

/* --- checkpoints --- */

static int add_point(builder *b, uint32_t rank, const bl_taken *point, bl_error *err)
{
    b->last[rank]++;
    int rc = bl_heap_add(&b->points, point, err);
    return rc == BELAY_OK ? bl_history_checkpoint(b->history, rank, b->channels.data, b->channels.count, b->collectives.data,
                                                  b->collectives.count, err) : rc;
}

/* What a restart fell behind stays until its rank has removed it; and a story of the past knows nothing newer. */
static bool undone(const bl_story *story, uint32_t rank, const bl_snapshot *s)
{
    return s->incarnation > story->incarnation ||
           (story->seen[rank] && s->incarnation < story->incarnation && s->checkpoint > story->table[rank].base);
}

static int add_snapshot(builder *b, uint32_t rank, uint32_t number, bl_error *err)
{
    bl_reader *reader;
    const bl_snapshot *s;
    bl_error inner = {0, ""};
    int rc = bl_snapshot_open(b->story->view->store, rank, number, NULL, &reader, &s, &inner);
    if (rc != BELAY_OK) {
        bl_story_note(b->story, "checkpoint %u of rank %u is left out: %s", number, rank, inner.text);
        return rc == BELAY_ERR_MEMORY ? bl_fail(err, rc, "%s", inner.text) : BELAY_OK;
    }
    if (!undone(b->story, rank, s)) {
        rc = rows_of_snapshot(b, s, err);
        if (rc == BELAY_OK)
            rc = add_point(b, rank, &(bl_taken){number, s->safe_point, s->time_ns, s->compute_s, s->forced}, err);
        memcpy(b->story->protocol, s->protocol, sizeof b->story->protocol);
    }
    bl_snapshot_close(reader);
    return rc;
}

/* Tables are large, so each is read again when its turn comes. */
static int add_open(builder *b, uint32_t rank, bl_error *err)
{
    bl_live live;
    bl_error inner = {0, ""};
    int rc = bl_live_read(b->story->view->store, rank, b->story->incarnation, &live, &inner);
    if (rc != BELAY_OK) {
        bl_story_table_lost(b->story, rank, rc, &inner);
        return rc == BELAY_ERR_MEMORY ? bl_fail(err, rc, "%s", inner.text) : BELAY_OK;
    }
    rc = rows_of_table(b, rank, &live, err);
    bl_live_free(&live);
    return rc == BELAY_OK ? bl_history_open(b->history, rank, b->channels.data, b->channels.count, b->collectives.data,
                                            b->collectives.count, err) : rc;
}

static int add_rank(builder *b, uint32_t rank, bl_error *err)
{
    const bl_view *view = b->story->view;
    size_t from, end;
    int rc = BELAY_OK;
    bl_view_files(view, rank, &from, &end);
    for (size_t k = from; rc == BELAY_OK && k < end; k++)
        rc = add_snapshot(b, rank, view->file[k].number, err);
    return rc == BELAY_OK && b->story->seen[rank] && !b->closed_only ? add_open(b, rank, err) : rc;
}

/* --- late messages --- */

typedef struct late { builder *b; uint32_t rank; } late;

static int add_late(void *context, const bl_late_message *m, bl_error *err)
{
    const late *l = context;
    int rc = bl_story_counters(l->rank, m->number, err);
    return rc == BELAY_OK ? bl_history_logged(l->b->history, l->rank, m->comm, m->source, m->tag, m->number, m->number, err) : rc;
}

static int note_late(void *context, const bl_late_file *file, bl_error *err)
{
    const late *l = context;
    (void)err;
    if (file->wrong && !file->torn)
        bl_story_note(l->b->story, "late file %u of rank %u is damaged after %s (%s): what follows counts as not kept",
                      file->checkpoint, l->rank, bl_text_count(file->records, "message").s, file->wrong);
    return BELAY_OK;
}

static int add_lates(builder *b, bl_error *err)
{
    int rc = BELAY_OK;
    if (strcmp(b->story->protocol, "induced") != 0)
        return BELAY_OK;
    b->story->mode = BL_LINE_LOGGED;
    for (uint32_t rank = 0; rc == BELAY_OK && rank < b->story->ranks; rank++) {
        late l = {b, rank};
        rc = bl_late_scan(b->story->view->store, rank, 0, add_late, note_late, &l, err);
    }
    return rc;
}

static int add_ranks(builder *b, bl_error *err)
{
    int rc = bl_history_new(b->story->ranks, &b->history, err);
    for (uint32_t rank = 0; rc == BELAY_OK && rank < b->story->ranks; rank++)
        rc = add_rank(b, rank, err);
    if (rc == BELAY_OK)
        rc = add_lates(b, err);
    return rc == BELAY_OK ? bl_history_graph(b->history, &b->story->graph, err) : rc;
}

/* --- for people --- */

static int add_flows(builder *b, bl_error *err)
{
    const bl_history_edge *edge;
    size_t edges;
    int rc = bl_history_edges(b->history, &edge, &edges, err);
    for (size_t k = 0; rc == BELAY_OK && k < edges; k++) {
        bool arrived = edge[k].received_in <= b->last[edge[k].to] + 1;
        bl_flow flow = {.from = edge[k].from, .sent_in = edge[k].sent_in, .to = edge[k].to,
                        .received_in = arrived ? edge[k].received_in : 0, .messages = edge[k].messages - edge[k].logged};
        b->story->crossing |= flow.received_in != flow.sent_in;
        if (flow.messages)
            rc = bl_heap_add(&b->flows, &flow, err);
        flow.messages = edge[k].logged;
        flow.logged = true;
        if (rc == BELAY_OK && flow.messages)
            rc = bl_heap_add(&b->flows, &flow, err);
    }
    return rc;
}

static int add_hub(void *context, uint64_t comm, int first, uint32_t members, const uint32_t *rank, const uint32_t *interval,
                   bl_error *err)
{
    builder *b = context;
    (void)comm;
    return bl_series_next(&b->series, b->story->ranks, first, members, rank, interval, &b->parts, &b->hubs, err);
}

static int tell(builder *b, bl_error *err)
{
    bl_story *story = b->story;
    uint64_t folded = 0;
    int rc = bl_story_points(story, b->last, err);
    const bl_taken *point = b->points.data;
    for (uint32_t rank = 0; rc == BELAY_OK && rank < story->ranks; rank++)
        for (uint32_t d = 1; d <= b->last[rank]; d++)
            story->point[story->first[rank] + d] = *point++;
    if (rc == BELAY_OK)
        rc = add_flows(b, err);
    if (rc == BELAY_OK)
        rc = bl_history_collectives(b->history, add_hub, b, err);
    if (rc == BELAY_OK)
        rc = bl_history_folded(b->history, &folded, err);
    if (rc == BELAY_OK && folded)
        bl_story_note(story, "%llu channels with too many tags: their messages are taken as received in the order sent",
                      (unsigned long long)folded);
    return rc == BELAY_OK ? bl_story_finish(story, &b->flows, &b->parts, &b->hubs, err) : rc;
}

/* The tables of a running job are read one after the other, so that a message may have arrived that was not sent when its
 * sender's was read.  Then what came after the last checkpoints counts as unknown. */
static int build(builder *b, bl_error *err)
{
    if (!b->last)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", b->story->ranks);
    int rc = read_tables(b->story, err);
    if (rc != BELAY_OK)
        return rc;
    bl_error inner = {0, ""};
    rc = add_ranks(b, &inner);
    if (rc == BELAY_ERR_DAMAGED && b->story->tables) {
        bl_story_note(b->story, "what happened since the last checkpoints is taken as unknown: %s", inner.text);
        bl_history_free(b->history);
        b->history = NULL;
        b->closed_only = true;
        b->points.count = 0;
        memset(b->last, 0, b->story->ranks * sizeof *b->last);
        rc = add_ranks(b, &inner);
    }
    return rc == BELAY_OK ? tell(b, err) : bl_fail(err, rc, "%s", inner.text);
}

int bl_story_independent(bl_story *story, bl_error *err)
{
    builder b = {.story = story,
                 .points = {.element = sizeof(bl_taken)},
                 .channels = {.element = sizeof(bl_history_channel)},
                 .collectives = {.element = sizeof(bl_history_collective)},
                 .flows = {.element = sizeof(bl_flow)},
                 .parts = {.element = sizeof(bl_part)},
                 .hubs = {.element = sizeof(size_t)}};
    b.last = calloc(story->ranks, sizeof *b.last);
    int rc = build(&b, err);
    bl_history_free(b.history);
    bl_series_clear(&b.series);
    free(b.last);
    free(b.points.data);
    free(b.channels.data);
    free(b.collectives.data);
    free(b.flows.data);
    free(b.parts.data);
    free(b.hubs.data);
    return rc;
}
