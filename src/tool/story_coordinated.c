#include "tool/story_make.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is gathered before the graph can be built; numbers are those on disk. */
typedef struct dependency { uint32_t from, sent_in, to, received_in; } dependency;

/* One rank's part in the collectives of one communicator in one interval. */
typedef struct share {
    uint64_t comm;
    uint32_t interval, rank;
    int64_t started;
} share;

typedef struct gathering {
    bl_story *story;
    uint32_t last;                     /* dense number of the last usable checkpoint: L of every rank */
    const bl_view_checkpoint **at;     /* [last + 1]; at[0] is NULL: the start */
    bl_view_checkpoint retired;        /* of an older incarnation: the last one it knew, when that has been removed since */
    bl_heap dependencies;   /* dependency */
    bl_heap parts;          /* share, `started` since the start of an incarnation, `interval` a number on disk */
    bl_heap traffic;        /* bl_story_traffic, several entries a pair */
    bl_heap open_parts;     /* share of the open interval, several entries a (comm, rank) */
    bl_heap flows, members, hubs; /* what goes into the story */
} gathering;

static int append_part(bl_heap *to, uint64_t comm, uint32_t interval, uint32_t rank, int64_t started, bl_error *err)
{
    return bl_heap_add(to, &(share){comm, interval, rank, started}, err);
}

/* --- which checkpoints lie on the way to this incarnation --- */

static uint32_t number_of(const gathering *g, uint32_t dense)
{
    return dense ? g->at[dense]->number : 0;
}

/* The dense interval that holds interval `number` of the disk: it ends at the first usable checkpoint from there on. */
static uint32_t dense_interval(const gathering *g, uint32_t number)
{
    uint32_t low = 1, high = g->last + 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (g->at[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Adds what snapshot (rank, c) says to the gathering; a snapshot that cannot be opened makes the checkpoint unusable. */
static int gather_snapshot(gathering *g, const bl_view_checkpoint *c, uint32_t rank, uint32_t *base, bl_error *err)
{
    bl_story *story = g->story;
    bl_reader *reader;
    const bl_snapshot *snapshot;
    int rc = bl_snapshot_open(story->view->store, rank, c->number, &c->record.digests[rank], &reader, &snapshot, err);
    if (rc != BELAY_OK)
        return rc;
    for (size_t k = 0; rc == BELAY_OK && k < snapshot->ndependencies; k++) {
        const bl_dependency *d = &snapshot->dependencies[k];
        if (d->source >= story->ranks)
            rc = bl_fail(err, BELAY_ERR_DAMAGED, "the snapshot of rank %u depends on rank %u of %u", rank, d->source,
                         story->ranks);
        else
            rc = bl_heap_add(&g->dependencies, &(dependency){d->source, d->source_interval, rank, d->interval}, err);
    }
    for (size_t k = 0; rc == BELAY_OK && k < snapshot->ncollectives; k++) {
        const bl_collectives *on = &snapshot->collectives[k];
        rc = bl_story_counters(rank, on->started, err);
        if (rc == BELAY_OK)
            rc = append_part(&g->parts, on->comm, c->number, rank, (int64_t)on->started, err);
    }
    *base = snapshot->line_base;
    memcpy(story->protocol, snapshot->protocol, sizeof story->protocol);
    bl_snapshot_close(reader);
    return rc;
}

static int gather_checkpoint(gathering *g, const bl_view_checkpoint *c, uint32_t *base, bl_error *err)
{
    size_t dependencies = g->dependencies.count, parts = g->parts.count;
    bl_error inner = {0, ""};
    int rc = BELAY_OK;
    for (uint32_t rank = 0; rc == BELAY_OK && rank < g->story->ranks; rank++)
        rc = gather_snapshot(g, c, rank, base, &inner);
    if (rc == BELAY_OK || rc == BELAY_ERR_MEMORY)
        return rc == BELAY_OK ? rc : bl_fail(err, rc, "%s", inner.text);
    g->dependencies.count = dependencies;
    g->parts.count = parts;
    bl_story_note(g->story, "checkpoint %u is left out: %s", c->number, inner.text);
    return BELAY_ERR_DAMAGED;
}

/* The checkpoints an incarnation stands on, newest first: its own, then from the one it resumed from those of the
 * incarnation that took that one, and so on.  What a restart had fallen behind is not on the way. */
static int gather_chain(gathering *g, uint32_t base, bl_error *err)
{
    bl_story *story = g->story;
    const bl_view *view = story->view;
    uint32_t incarnation = story->incarnation;
    int rc = BELAY_OK;
    for (size_t k = view->count; rc == BELAY_OK && k-- > 0;) {
        const bl_view_checkpoint *c = &view->checkpoint[k];
        bool own = c->state == BL_VIEW_GOOD && c->record.incarnation == incarnation;
        bool resumed = c->state == BL_VIEW_GOOD && c->record.incarnation < incarnation && c->number <= base;
        if (c->state == BL_VIEW_DAMAGED)
            bl_story_note(story, "checkpoint %u is left out: %s", c->number, c->note);
        if (!own && !resumed)
            continue;
        uint32_t its_base = 0;
        rc = gather_checkpoint(g, c, &its_base, err);
        if (rc == BELAY_OK) {
            incarnation = c->record.incarnation;
            base = its_base;
            g->at[++g->last] = c;
        }
        rc = rc == BELAY_ERR_DAMAGED ? BELAY_OK : rc;
    }
    for (uint32_t low = 1, high = g->last; low < high; low++, high--) {
        const bl_view_checkpoint *other = g->at[low];
        g->at[low] = g->at[high];
        g->at[high] = other;
    }
    return rc;
}

/* What an incarnation resumed from (UINT32_MAX: no table tells), and of an older one the table that knew the newest
 * checkpoint. */
static uint32_t resumed_from(const bl_story *story, bl_live_header *furthest)
{
    const bl_view *view = story->view;
    uint32_t base = UINT32_MAX;
    bool newest = story->incarnation == view->job->incarnation;
    *furthest = (bl_live_header){0};
    for (uint32_t rank = 0; rank < view->job->ranks && !(newest && base != UINT32_MAX); rank++) {
        bl_live live;
        bl_error err;
        if (bl_live_read(view->store, rank, story->incarnation, &live, &err) != BELAY_OK)
            continue;
        base = live.header->base;
        if (live.header->checkpoint >= furthest->checkpoint)
            *furthest = *live.header;
        bl_live_free(&live);
    }
    return base;
}

/* A later incarnation removes checkpoints that it has outlived.  What an older one fell back to is then known from its
 * tables only. */
static void add_retired(gathering *g, const bl_live_header *furthest)
{
    bl_story *story = g->story;
    uint32_t number = furthest->checkpoint;
    if (story->incarnation == story->view->job->incarnation || number <= number_of(g, g->last) ||
        bl_view_find(story->view, number))
        return;
    g->retired = (bl_view_checkpoint){.number = number, .state = BL_VIEW_GOOD};
    g->retired.record.incarnation = number == furthest->base ? 0 : story->incarnation;
    g->retired.record.safe_point = furthest->checkpoint_safe_point;
    g->at[++g->last] = &g->retired;
    bl_story_note(story, "checkpoint %u has been removed since", number);
}

/* --- the open interval --- */

/* One rank's word on a peer: what it sent there and what it received from there.  Tags and communicators are not told
 * apart: which messages of a pair are which does not matter, and a table that ran full had to fold them. */
static int append_channel(gathering *g, uint32_t rank, int32_t peer, int64_t sent, int64_t received, bl_error *err)
{
    uint32_t other = (uint32_t)peer;
    if (other >= g->story->ranks)
        return bl_fail(err, BELAY_ERR_DAMAGED, "rank %u counts messages of rank %d in a job of %u ranks", rank, peer,
                       g->story->ranks);
    int rc = sent ? bl_heap_add(&g->traffic, &(bl_story_traffic){rank, other, sent, 0}, err) : BELAY_OK;
    return rc == BELAY_OK && received ? bl_heap_add(&g->traffic, &(bl_story_traffic){other, rank, 0, received}, err) : rc;
}

/* Counters are cumulative; a rank's table also has them as they stood at its last committed checkpoint.  When that is not
 * checkpoint L (it died before it learnt of the commit, or newer checkpoints cannot be used), those of the snapshot are
 * subtracted as entries of their own. */
static int subtract_snapshot(gathering *g, uint32_t rank, bl_error *err)
{
    bl_story *story = g->story;
    const bl_view_checkpoint *c = g->at[g->last];
    bl_reader *reader;
    const bl_snapshot *snapshot;
    int rc = bl_snapshot_open(story->view->store, rank, c->number, &c->record.digests[rank], &reader, &snapshot, err);
    if (rc != BELAY_OK)
        return rc;
    for (size_t k = 0; rc == BELAY_OK && k < snapshot->nchannels; k++) {
        const bl_channel *channel = &snapshot->channels[k];
        rc = bl_story_counters(rank, channel->sent | channel->received, err);
        if (rc == BELAY_OK)
            rc = append_channel(g, rank, channel->peer, -(int64_t)channel->sent, -(int64_t)channel->received, err);
    }
    for (size_t k = 0; rc == BELAY_OK && k < snapshot->ncollectives; k++) {
        const bl_collectives *on = &snapshot->collectives[k];
        rc = bl_story_counters(rank, on->started, err);
        if (rc == BELAY_OK)
            rc = append_part(&g->open_parts, on->comm, 0, rank, -(int64_t)on->started, err);
    }
    bl_snapshot_close(reader);
    return rc;
}

static int gather_slot(gathering *g, uint32_t rank, const bl_live_slot *slot, bool since_checkpoint, bl_error *err)
{
    int rc = bl_story_counters(rank, slot->sent | slot->received | slot->at_sent | slot->at_received, err);
    if (rc != BELAY_OK)
        return rc;
    int64_t sent = (int64_t)slot->sent - (since_checkpoint ? (int64_t)slot->at_sent : 0);
    int64_t received = (int64_t)slot->received - (since_checkpoint ? (int64_t)slot->at_received : 0);
    return append_channel(g, rank, slot->peer, sent, received, err);
}

static int gather_slots(gathering *g, uint32_t rank, const bl_live *live, bool since_checkpoint, bl_error *err)
{
    int rc = BELAY_OK;
    for (uint32_t k = 0; rc == BELAY_OK && k < live->header->channel_slots; k++)
        if (live->slot[k].comm)
            rc = gather_slot(g, rank, &live->slot[k], since_checkpoint, err);
    for (uint32_t k = 0; rc == BELAY_OK && k < live->header->collective_slots; k++) {
        const bl_live_collective *on = &live->collective[k];
        if (!on->comm)
            continue;
        rc = bl_story_counters(rank, on->started | on->at_started, err);
        if (rc == BELAY_OK)
            rc = append_part(&g->open_parts, on->comm, 0, rank,
                             (int64_t)on->started - (since_checkpoint ? (int64_t)on->at_started : 0), err);
    }
    return rc;
}

static int gather_table(gathering *g, uint32_t rank, const bl_live *live, bl_error *err)
{
    bl_story *story = g->story;
    const bl_view_checkpoint *newest = g->last ? g->at[g->last] : NULL;
    bool own = newest && newest->record.incarnation == story->incarnation;
    bool since_checkpoint = own && (live->header->checkpoint == newest->number || newest == &g->retired);
    int rc = gather_slots(g, rank, live, since_checkpoint, err);
    if (rc == BELAY_OK && own && !since_checkpoint)
        rc = subtract_snapshot(g, rank, err);
    return rc;
}

static int gather_tables(gathering *g, bl_error *err)
{
    bl_story *story = g->story;
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        size_t traffic = g->traffic.count, parts = g->open_parts.count;
        bl_error inner = {0, ""};
        bl_live live;
        int rc = bl_story_table(story, rank, &live, &inner);
        if (rc == BELAY_OK) {
            rc = gather_table(g, rank, &live, &inner);
            bl_live_free(&live);
        }
        if (rc == BELAY_OK)
            continue;
        if (rc == BELAY_ERR_MEMORY)
            return bl_fail(err, rc, "%s", inner.text);
        g->traffic.count = traffic;
        g->open_parts.count = parts;
        bl_story_table_lost(story, rank, rc, &inner);
    }
    return BELAY_OK;
}

/* --- from what was gathered to the graph --- */

static int by_pair(const void *a, const void *b)
{
    const bl_story_traffic *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return x->to < y->to ? -1 : x->to > y->to;
}

static int by_part(const void *a, const void *b)
{
    const share *x = a, *y = b;
    if (x->comm != y->comm)
        return x->comm < y->comm ? -1 : 1;
    if (x->interval != y->interval)
        return x->interval < y->interval ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static int by_rank(const void *a, const void *b)
{
    const share *x = a, *y = b;
    if (x->comm != y->comm)
        return x->comm < y->comm ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->interval < y->interval ? -1 : x->interval > y->interval;
}

static void sort(bl_heap *h, int (*order)(const void *, const void *))
{
    if (h->count > 1)
        qsort(h->data, h->count, h->element, order);
}

/* Adds up the entries of a pair and drops pairs without messages. */
static void merge_traffic(gathering *g)
{
    sort(&g->traffic, by_pair);
    bl_story_traffic *all = g->traffic.data;
    size_t kept = 0;
    for (size_t k = 0; k < g->traffic.count; k++) {
        if (kept && by_pair(&all[kept - 1], &all[k]) == 0) {
            all[kept - 1].sent += all[k].sent;
            all[kept - 1].received += all[k].received;
            continue;
        }
        if (kept && all[kept - 1].sent <= 0 && all[kept - 1].received <= 0)
            kept--;
        all[kept++] = all[k];
    }
    if (kept && all[kept - 1].sent <= 0 && all[kept - 1].received <= 0)
        kept--;
    g->story->traffic = all;
    g->story->pairs = kept;
    g->traffic.data = NULL;
}

static int add_messages(gathering *g, bl_error *err)
{
    bl_story *story = g->story;
    const dependency *closed = g->dependencies.data;
    uint32_t open = g->last + 1;
    int rc = BELAY_OK;
    for (size_t k = 0; rc == BELAY_OK && k < g->dependencies.count; k++) {
        uint32_t s = dense_interval(g, closed[k].sent_in), r = dense_interval(g, closed[k].received_in);
        story->crossing |= s != r;
        rc = bl_heap_add(&g->flows, &(bl_flow){closed[k].from, s, closed[k].to, r, 0, 0, 0, false}, err);
    }
    for (size_t k = 0; rc == BELAY_OK && k < story->pairs; k++) {
        const bl_story_traffic *t = &story->traffic[k];
        if (t->from == t->to)
            continue;
        if (t->received > 0) /* the receiver's word suffices: the sender's table may be lost */
            rc = bl_heap_add(&g->flows, &(bl_flow){t->from, open, t->to, open, (uint64_t)t->received, 0, 0, false}, err);
        if (rc == BELAY_OK && t->sent > t->received)
            rc = bl_heap_add(&g->flows, &(bl_flow){t->from, open, t->to, 0, (uint64_t)(t->sent - t->received), 0, 0, false}, err);
    }
    return rc;
}

/* Turns counters since the start of an incarnation into those of one interval, and numbers on disk into dense ones. */
static void close_parts(gathering *g)
{
    sort(&g->parts, by_rank);
    share *all = g->parts.data;
    for (size_t k = g->parts.count; k-- > 0;) {
        uint32_t d = dense_interval(g, all[k].interval);
        bool follows = k && all[k - 1].comm == all[k].comm && all[k - 1].rank == all[k].rank && d > 1 &&
                       g->at[d - 1]->number == all[k - 1].interval &&
                       g->at[d - 1]->record.incarnation == g->at[d]->record.incarnation;
        if (follows)
            all[k].started -= all[k - 1].started;
        all[k].interval = d;
    }
}

static int join_open_parts(gathering *g, bl_error *err)
{
    sort(&g->open_parts, by_part);
    const share *open = g->open_parts.data;
    int rc = BELAY_OK;
    for (size_t k = 0; rc == BELAY_OK && k < g->open_parts.count;) {
        size_t next = k;
        int64_t started = 0;
        while (next < g->open_parts.count && by_part(&open[next], &open[k]) == 0)
            started += open[next++].started;
        rc = append_part(&g->parts, open[k].comm, g->last + 1, open[k].rank, started, err);
        k = next;
    }
    return rc;
}

static bool same_hub(const share *a, const share *b)
{
    return a->comm == b->comm && a->interval == b->interval;
}

/* One hub per communicator and interval joins all ranks that started a collective on it there. */
static int add_collectives(gathering *g, bl_error *err)
{
    close_parts(g);
    int rc = join_open_parts(g, err);
    sort(&g->parts, by_part);
    const share *all = g->parts.data;
    for (size_t k = 0; rc == BELAY_OK && k < g->parts.count;) {
        size_t first = k, begin = g->members.count;
        uint32_t newest = UINT32_MAX;
        for (; rc == BELAY_OK && k < g->parts.count && same_hub(&all[k], &all[first]); k++) {
            if (all[k].started <= 0 || all[k].rank == newest)
                continue;
            newest = all[k].rank;
            rc = bl_heap_add(&g->members, &(bl_part){newest, all[k].interval, 0}, err);
        }
        if (rc == BELAY_OK && g->members.count - begin > 1)
            rc = bl_heap_add(&g->hubs, &begin, err);
        else
            g->members.count = begin;
    }
    return rc;
}

/* --- the call --- */

/* All ranks have the same checkpoints; what a record says of one holds for every rank. */
static int add_points(gathering *g, bl_error *err)
{
    bl_story *story = g->story;
    uint32_t *last = malloc(story->ranks * sizeof *last);
    if (!last)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        last[rank] = g->last;
    int rc = bl_story_points(story, last, err);
    free(last);
    for (uint32_t rank = 0; rc == BELAY_OK && rank < story->ranks; rank++)
        for (uint32_t d = 1; d <= g->last; d++) {
            const bl_commit_record *record = &g->at[d]->record;
            double compute_s = g->at[d] == &g->retired ? NAN : record->compute_s;
            story->point[story->first[rank] + d] = (bl_taken){g->at[d]->number, record->safe_point, record->time_ns, compute_s, 0};
        }
    return rc;
}

static int fill(gathering *g, bl_error *err)
{
    bl_live_header furthest;
    int rc = gather_chain(g, resumed_from(g->story, &furthest), err);
    if (rc == BELAY_OK) {
        add_retired(g, &furthest);
        rc = add_points(g, err);
    }
    if (rc == BELAY_OK)
        rc = gather_tables(g, err);
    if (rc != BELAY_OK)
        return rc;
    merge_traffic(g);
    rc = add_messages(g, err);
    if (rc == BELAY_OK)
        rc = add_collectives(g, err);
    return rc == BELAY_OK ? bl_story_finish(g->story, &g->flows, &g->members, &g->hubs, err) : rc;
}

int bl_story_coordinated(bl_story *story, bl_error *err)
{
    gathering g = {.story = story,
                   .dependencies = {.element = sizeof(dependency)},
                   .parts = {.element = sizeof(share)},
                   .traffic = {.element = sizeof(bl_story_traffic)},
                   .open_parts = {.element = sizeof(share)},
                   .flows = {.element = sizeof(bl_flow)},
                   .members = {.element = sizeof(bl_part)},
                   .hubs = {.element = sizeof(size_t)}};
    g.at = calloc(story->view->count + 2, sizeof *g.at);
    int rc = g.at ? fill(&g, err) : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %zu checkpoints", story->view->count);
    free(g.at);
    free(g.dependencies.data);
    free(g.parts.data);
    free(g.traffic.data);
    free(g.open_parts.data);
    free(g.flows.data);
    free(g.members.data);
    free(g.hubs.data);
    return rc;
}
