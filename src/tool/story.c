#include "tool/story.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/text.h"
#include "util/clock.h"

/* --- growing arrays and notes --- */

/* What is gathered before the graph can be built; numbers are those on disk. */
typedef struct dependency { uint32_t from, sent_in, to, received_in; } dependency;

typedef struct heap { /* an array of any element that grows by doubling */
    void *data;
    size_t count, room, element;
} heap;

typedef struct gathering {
    bl_story *story;
    heap dependencies;   /* dependency */
    heap parts;          /* bl_story_part, `started` since the start of an incarnation, `interval` a number on disk */
    heap traffic;        /* bl_story_traffic, several entries a pair */
    heap open_parts;     /* bl_story_part of the open interval, several entries a (comm, rank) */
} gathering;

static int append(heap *h, const void *element, bl_error *err)
{
    if (h->count == h->room) {
        size_t room = h->room ? 2 * h->room : 256;
        void *grown = realloc(h->data, room * h->element);
        if (!grown)
            return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %zu dependencies", room);
        h->data = grown;
        h->room = room;
    }
    memcpy((char *)h->data + h->element * h->count++, element, h->element);
    return BELAY_OK;
}

/* No sum of counters of this size overflows, and no job reaches it.  Several may be given joined by | . */
static int check_counters(uint32_t rank, uint64_t counters, bl_error *err)
{
    return counters >> 40 ? bl_fail(err, BELAY_ERR_DAMAGED, "rank %u counts an impossible number of messages", rank) : BELAY_OK;
}

static void note(bl_story *story, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(bl_story *story, const char *format, ...)
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

static int append_part(heap *to, uint64_t comm, uint32_t interval, uint32_t rank, int64_t started, bl_error *err)
{
    return append(to, &(bl_story_part){comm, interval, rank, started}, err);
}

/* --- which checkpoints lie on the way to this incarnation --- */

uint32_t bl_story_number(const bl_story *story, uint32_t dense)
{
    return dense && dense <= story->last ? story->at[dense]->number : 0;
}

/* The dense interval that holds interval `number` of the disk: it ends at the first usable checkpoint from there on. */
static uint32_t dense_interval(const bl_story *story, uint32_t number)
{
    uint32_t low = 1, high = story->last + 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (story->at[middle]->number < number)
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
            rc = append(&g->dependencies, &(dependency){d->source, d->source_interval, rank, d->interval}, err);
    }
    for (size_t k = 0; rc == BELAY_OK && k < snapshot->ncollectives; k++) {
        const bl_collectives *on = &snapshot->collectives[k];
        rc = check_counters(rank, on->started, err);
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
    note(g->story, "checkpoint %u is left out: %s", c->number, inner.text);
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
            note(story, "checkpoint %u is left out: %s", c->number, c->note);
        if (!own && !resumed)
            continue;
        uint32_t its_base = 0;
        rc = gather_checkpoint(g, c, &its_base, err);
        if (rc == BELAY_OK) {
            incarnation = c->record.incarnation;
            base = its_base;
            story->at[++story->last] = c;
        }
        rc = rc == BELAY_ERR_DAMAGED ? BELAY_OK : rc;
    }
    for (uint32_t low = 1, high = story->last; low < high; low++, high--) {
        const bl_view_checkpoint *other = story->at[low];
        story->at[low] = story->at[high];
        story->at[high] = other;
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
static void add_retired(bl_story *story, const bl_live_header *furthest)
{
    uint32_t number = furthest->checkpoint;
    if (story->incarnation == story->view->job->incarnation || number <= bl_story_number(story, story->last) ||
        bl_view_find(story->view, number))
        return;
    story->retired = (bl_view_checkpoint){.number = number, .state = BL_VIEW_GOOD};
    story->retired.record.incarnation = number == furthest->base ? 0 : story->incarnation;
    story->retired.record.safe_point = furthest->checkpoint_safe_point;
    story->at[++story->last] = &story->retired;
    note(story, "checkpoint %u has been removed since", number);
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
    int rc = sent ? append(&g->traffic, &(bl_story_traffic){rank, other, sent, 0}, err) : BELAY_OK;
    return rc == BELAY_OK && received ? append(&g->traffic, &(bl_story_traffic){other, rank, 0, received}, err) : rc;
}

/* Counters are cumulative; a rank's table also has them as they stood at its last committed checkpoint.  When that is not
 * checkpoint L (it died before it learnt of the commit, or newer checkpoints cannot be used), those of the snapshot are
 * subtracted as entries of their own. */
static int subtract_snapshot(gathering *g, uint32_t rank, bl_error *err)
{
    bl_story *story = g->story;
    const bl_view_checkpoint *c = story->at[story->last];
    bl_reader *reader;
    const bl_snapshot *snapshot;
    int rc = bl_snapshot_open(story->view->store, rank, c->number, &c->record.digests[rank], &reader, &snapshot, err);
    if (rc != BELAY_OK)
        return rc;
    for (size_t k = 0; rc == BELAY_OK && k < snapshot->nchannels; k++) {
        const bl_channel *channel = &snapshot->channels[k];
        rc = check_counters(rank, channel->sent | channel->received, err);
        if (rc == BELAY_OK)
            rc = append_channel(g, rank, channel->peer, -(int64_t)channel->sent, -(int64_t)channel->received, err);
    }
    for (size_t k = 0; rc == BELAY_OK && k < snapshot->ncollectives; k++) {
        const bl_collectives *on = &snapshot->collectives[k];
        rc = check_counters(rank, on->started, err);
        if (rc == BELAY_OK)
            rc = append_part(&g->open_parts, on->comm, 0, rank, -(int64_t)on->started, err);
    }
    bl_snapshot_close(reader);
    return rc;
}

static int gather_slot(gathering *g, uint32_t rank, const bl_live_slot *slot, bool since_checkpoint, bl_error *err)
{
    int rc = check_counters(rank, slot->sent | slot->received | slot->at_sent | slot->at_received, err);
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
        rc = check_counters(rank, on->started | on->at_started, err);
        if (rc == BELAY_OK)
            rc = append_part(&g->open_parts, on->comm, 0, rank,
                             (int64_t)on->started - (since_checkpoint ? (int64_t)on->at_started : 0), err);
    }
    return rc;
}

static int gather_table(gathering *g, uint32_t rank, const bl_live *live, bl_error *err)
{
    bl_story *story = g->story;
    const bl_view_checkpoint *newest = story->last ? story->at[story->last] : NULL;
    bool own = newest && newest->record.incarnation == story->incarnation;
    bool since_checkpoint = own && (live->header->checkpoint == newest->number || newest == &story->retired);
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
        int rc = bl_live_read(story->view->store, rank, story->incarnation, &live, &inner);
        if (rc == BELAY_OK) {
            rc = gather_table(g, rank, &live, &inner);
            story->table[rank] = *live.header;
            story->table[rank].host[sizeof live.header->host - 1] = '\0';
            story->seen[rank] = rc == BELAY_OK;
            story->tables += rc == BELAY_OK;
            bl_live_free(&live);
        }
        if (rc == BELAY_ERR_MEMORY)
            return bl_fail(err, rc, "%s", inner.text);
        if (rc != BELAY_OK) {
            g->traffic.count = traffic;
            g->open_parts.count = parts;
            if (rc != BELAY_ERR_NONE)
                note(story, "the live table of rank %u is left out: %s", rank, inner.text);
        }
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
    const bl_story_part *x = a, *y = b;
    if (x->comm != y->comm)
        return x->comm < y->comm ? -1 : 1;
    if (x->interval != y->interval)
        return x->interval < y->interval ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static int by_rank(const void *a, const void *b)
{
    const bl_story_part *x = a, *y = b;
    if (x->comm != y->comm)
        return x->comm < y->comm ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->interval < y->interval ? -1 : x->interval > y->interval;
}

static void sort(heap *h, int (*order)(const void *, const void *))
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
    uint32_t open = story->last + 1;
    int rc = bl_graph_reserve(story->graph, g->dependencies.count + 2 * story->pairs, err);
    for (size_t k = 0; rc == BELAY_OK && k < g->dependencies.count; k++) {
        uint32_t s = dense_interval(story, closed[k].sent_in), r = dense_interval(story, closed[k].received_in);
        story->crossing |= s != r;
        rc = bl_graph_message(story->graph, closed[k].from, s, closed[k].to, r, 0, err);
    }
    for (size_t k = 0; rc == BELAY_OK && k < story->pairs; k++) {
        const bl_story_traffic *t = &story->traffic[k];
        if (t->from == t->to)
            continue;
        if (t->received > 0) /* the receiver's word suffices: the sender's table may be lost */
            rc = bl_graph_message(story->graph, t->from, open, t->to, open, 0, err);
        if (rc == BELAY_OK && t->sent > t->received)
            rc = bl_graph_message(story->graph, t->from, open, t->to, open, BL_MSG_UNDELIVERED, err);
    }
    return rc;
}

/* Turns counters since the start of an incarnation into those of one interval, and numbers on disk into dense ones. */
static void close_parts(gathering *g)
{
    const bl_story *story = g->story;
    sort(&g->parts, by_rank);
    bl_story_part *part = g->parts.data;
    for (size_t k = g->parts.count; k-- > 0;) {
        uint32_t d = dense_interval(story, part[k].interval);
        bool follows = k && part[k - 1].comm == part[k].comm && part[k - 1].rank == part[k].rank && d > 1 &&
                       story->at[d - 1]->number == part[k - 1].interval &&
                       story->at[d - 1]->record.incarnation == story->at[d]->record.incarnation;
        if (follows)
            part[k].started -= part[k - 1].started;
        part[k].interval = d;
    }
}

static int join_open_parts(gathering *g, bl_error *err)
{
    sort(&g->open_parts, by_part);
    const bl_story_part *open = g->open_parts.data;
    int rc = BELAY_OK;
    for (size_t k = 0; rc == BELAY_OK && k < g->open_parts.count;) {
        size_t next = k;
        int64_t started = 0;
        while (next < g->open_parts.count && by_part(&open[next], &open[k]) == 0)
            started += open[next++].started;
        rc = append_part(&g->parts, open[k].comm, g->story->last + 1, open[k].rank, started, err);
        k = next;
    }
    return rc;
}

static bool same_hub(const bl_story_part *a, const bl_story_part *b)
{
    return a->comm == b->comm && a->interval == b->interval;
}

/* One hub per communicator and interval joins all ranks that started a collective on it there. */
static int add_collectives(gathering *g, bl_error *err)
{
    close_parts(g);
    int rc = join_open_parts(g, err);
    sort(&g->parts, by_part);
    const bl_story_part *part = g->parts.data;
    uint32_t *rank = malloc(2 * g->story->ranks * sizeof *rank), *interval = rank ? rank + g->story->ranks : NULL;
    if (!rank)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", g->story->ranks);
    for (size_t k = 0; rc == BELAY_OK && k < g->parts.count;) {
        size_t first = k;
        uint32_t members = 0;
        for (; k < g->parts.count && same_hub(&part[k], &part[first]); k++) {
            if (part[k].started <= 0 || (members && rank[members - 1] == part[k].rank))
                continue;
            rank[members] = part[k].rank;
            interval[members++] = part[k].interval;
        }
        if (members > 1)
            rc = bl_graph_collective(g->story->graph, members, rank, interval, err);
    }
    free(rank);
    return rc;
}

static int build_graph(gathering *g, bl_error *err)
{
    bl_story *story = g->story;
    uint32_t *last = malloc(story->ranks * sizeof *last);
    if (!last)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        last[rank] = story->last;
    int rc = bl_graph_new(story->ranks, last, &story->graph, err);
    free(last);
    merge_traffic(g);
    if (rc == BELAY_OK)
        rc = add_messages(g, err);
    if (rc == BELAY_OK)
        rc = add_collectives(g, err);
    return rc;
}

/* --- the calls --- */

static int make_room(bl_story *story, bl_error *err)
{
    story->at = calloc(story->view->count + 2, sizeof *story->at);
    story->seen = calloc(story->ranks, sizeof *story->seen);
    story->table = calloc(story->ranks, sizeof *story->table);
    story->failed = calloc(story->ranks, sizeof *story->failed);
    if (!story->at || !story->seen || !story->table || !story->failed)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    return BELAY_OK;
}

int bl_story_read(const bl_view *view, uint32_t incarnation, bl_story *story, bl_error *err)
{
    *story = (bl_story){.view = view, .ranks = view->job->ranks, .incarnation = incarnation};
    if (incarnation == UINT32_MAX)
        story->incarnation = view->tables ? view->newest_table : view->job->incarnation;
    gathering g = {.story = story,
                   .dependencies = {.element = sizeof(dependency)},
                   .parts = {.element = sizeof(bl_story_part)},
                   .traffic = {.element = sizeof(bl_story_traffic)},
                   .open_parts = {.element = sizeof(bl_story_part)}};
    int rc = make_room(story, err);
    bl_live_header furthest;
    if (rc == BELAY_OK)
        rc = gather_chain(&g, resumed_from(story, &furthest), err);
    if (rc == BELAY_OK)
        add_retired(story, &furthest);
    if (rc == BELAY_OK)
        rc = gather_tables(&g, err);
    if (rc == BELAY_OK)
        rc = build_graph(&g, err);
    free(g.dependencies.data);
    free(g.parts.data);
    free(g.traffic.data);
    free(g.open_parts.data);
    if (rc != BELAY_OK)
        bl_story_clear(story);
    return rc;
}

bool bl_story_died(const bl_live_header *table)
{
    return table->state == BL_LIVE_KILLED || table->state == BL_LIVE_ABORTED || table->state == BL_LIVE_EXITED ||
           table->state == BL_LIVE_REFUSED;
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

static int solve_one(bl_story *story, const uint8_t *failed, bl_line *line, bl_error *err)
{
    int rc = bl_line_solve(story->graph, BL_LINE_TRANSITLESS, failed, line, err);
    return rc == BELAY_OK ? bl_line_check(story->graph, BL_LINE_TRANSITLESS, failed, line, err) : rc;
}

int bl_story_solve(bl_story *story, const uint8_t *failed, bl_error *err)
{
    choose_failed(story, failed);
    int rc = solve_one(story, story->failed, &story->line, err);
    return rc == BELAY_OK ? solve_one(story, NULL, &story->relaunch, err) : rc;
}

void bl_story_clear(bl_story *story)
{
    if (story->line.cut)
        bl_line_clear(&story->line);
    if (story->relaunch.cut)
        bl_line_clear(&story->relaunch);
    bl_graph_free(story->graph);
    free(story->traffic);
    free(story->failed);
    free(story->table);
    free(story->seen);
    free(story->at);
    *story = (bl_story){0};
}

const bl_story_traffic *bl_story_between(const bl_story *story, uint32_t from, uint32_t to)
{
    bl_story_traffic key = {.from = from, .to = to};
    return story->pairs ? bsearch(&key, story->traffic, story->pairs, sizeof key, by_pair) : NULL;
}

void bl_story_loss(const bl_story *story, uint32_t rank, uint32_t cut, uint64_t *safe_points, double *seconds)
{
    const bl_live_header *table = &story->table[rank];
    *safe_points = 0;
    *seconds = -1;
    if (!story->seen[rank] || cut > story->last)
        return;
    uint64_t from = cut ? story->at[cut]->record.safe_point : 0;
    if (table->safe_point != UINT64_MAX && table->safe_point > from)
        *safe_points = table->safe_point - from;
    int64_t since = table->checkpoint_ns ? table->checkpoint_ns : table->first_step_ns;
    if (since > 0 && table->safe_point_ns >= since)
        *seconds = bl_seconds(table->safe_point_ns) - bl_seconds(since);
    if (cut < story->last && story->at[story->last] == &story->retired)
        *seconds = -1;
    else if (*seconds >= 0 && cut < story->last)
        *seconds += story->at[story->last]->record.compute_s - (cut ? story->at[cut]->record.compute_s : 0);
}
