#include "recovery/past.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line/intervals.h"
#include "store/late.h"
#include "store/trail.h"
#include "util/settings.h"

#define IN_TRANSIT_MAX (UINT64_C(1) << 32) /* to one rank: more than any file holds */

typedef struct reading {
    bl_store *store;
    bl_past *past;
    int quarantine;
    bl_note *note;
    void *context;
} reading;

static void tell(const reading *r, const char *sentence)
{
    if (r->note) r->note(r->context, sentence);
}

static void leave_out(const reading *r, uint32_t rank, uint32_t number, const bl_error *why)
{
    char text[sizeof why->text + 128], where[1024] = "";
    bl_error err;
    int moved = r->quarantine && bl_snapshot_quarantine(r->store, rank, number, where, sizeof where, &err) == BELAY_OK;
    snprintf(text, sizeof text, "rank %u: checkpoint %u cannot be used: %s%s%.100s", rank, number, why->text,
             moved ? "; kept as " : "", where);
    tell(r, text);
}

/* With all messages in the journals no rank depends on another's checkpoint. */
static int logged(const bl_past *past)
{
    return bl_is_logging(past->protocol);
}

/* Its counters to the history. */
static int record(const reading *r, uint32_t rank, const bl_snapshot *s, bl_error *err)
{
    bl_history_channel *channel = malloc(sizeof *channel * (s->nchannels + 1));
    bl_history_collective *collective = malloc(sizeof *collective * (s->ncollectives + 1));
    size_t nchannels = logged(r->past) ? 0 : s->nchannels, ncollectives = logged(r->past) ? 0 : s->ncollectives;
    int rc = BELAY_ERR_MEMORY;
    if (channel && collective) {
        for (size_t k = 0; k < nchannels; k++) {
            const bl_channel *c = &s->channels[k];
            channel[k] = (bl_history_channel){ c->comm, (uint32_t)c->peer, c->tag, c->sent, c->received };
        }
        for (size_t k = 0; k < ncollectives; k++) {
            const bl_collectives *c = &s->collectives[k];
            collective[k] = (bl_history_collective){ c->comm, c->started, c->size };
        }
        rc = bl_history_checkpoint(r->past->history, rank, channel, nchannels, collective, ncollectives, err);
    } else {
        bl_fail(err, rc, "out of memory for the counters of rank %u", rank);
    }
    free(channel);
    free(collective);
    return rc;
}

int bl_past_survivable(int rc)
{
    return rc == BELAY_ERR_DAMAGED || rc == BELAY_ERR_NONE || rc == BELAY_ERR_FOREIGN;
}

static int mixture(const reading *r, uint32_t rank, uint32_t number, const char *protocol, bl_error *err)
{
    return bl_fail(err, BELAY_ERR_REFUSED, "%s holds %s checkpoints, but checkpoint %u of rank %u is %s: a job keeps its protocol; "
                   "start anew with --fresh", bl_store_dir(r->store), r->past->protocol, number, rank, protocol);
}

static int read_one(const reading *r, uint32_t rank, uint32_t number, bl_error *err)
{
    bl_reader *reader;
    const bl_snapshot *s;
    bl_error why = { 0, "" };
    int rc = bl_snapshot_open(r->store, rank, number, NULL, &reader, &s, &why);
    if (rc == BELAY_OK && !bl_snapshot_alone(s->protocol)) {
        bl_snapshot_close(reader); /* left behind by a coordinated checkpoint that was never committed */
        return BELAY_OK;
    }
    if (rc == BELAY_OK) {
        bl_past *p = r->past;
        if (!p->protocol[0]) snprintf(p->protocol, sizeof p->protocol, "%s", s->protocol);
        rc = strcmp(s->protocol, p->protocol) ? mixture(r, rank, number, s->protocol, &why) : record(r, rank, s, &why);
        if (rc == BELAY_OK)
            p->at[rank][++p->last[rank]] = (bl_past_checkpoint){ number, s->incarnation, s->safe_point, s->time_ns, s->compute_s,
                                                                 s->index, s->forced };
        bl_snapshot_close(reader);
    }
    if (rc == BELAY_OK) return rc;
    if (!bl_past_survivable(rc)) return bl_fail(err, rc, "%s", why.text);
    leave_out(r, rank, number, &why);
    return BELAY_OK;
}

static int read_rank(const reading *r, uint32_t rank, bl_error *err)
{
    uint32_t *numbers;
    size_t count;
    int rc = bl_snapshot_list(r->store, rank, &numbers, &count, err);
    if (rc == BELAY_ERR_NONE) count = 0, numbers = NULL, rc = BELAY_OK;
    if (rc) return rc;
    r->past->at[rank] = calloc(count + 1, sizeof **r->past->at);
    if (!r->past->at[rank]) rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %zu checkpoints", count);
    for (size_t k = 0; rc == BELAY_OK && k < count; k++) rc = read_one(r, rank, numbers[k], err);
    free(numbers);
    return rc;
}

/* --- late messages --- */

typedef struct late { const reading *r; uint32_t rank; } late;

static int note_message(void *context, const bl_late_message *m, bl_error *err)
{
    const late *l = context;
    return bl_history_logged(l->r->past->history, l->rank, m->comm, m->source, m->tag, m->number, m->number, err);
}

/* A torn tail is what a death leaves, and nothing was lost by it. */
static int note_file(void *context, const bl_late_file *file, bl_error *err)
{
    const late *l = context;
    char text[512];
    (void)err;
    if (file->wrong && !file->torn) {
        snprintf(text, sizeof text, "rank %u: late-%06u is damaged after %llu messages (%s): what follows counts as not kept", l->rank,
                 file->checkpoint, (unsigned long long)file->records, file->wrong);
        tell(l->r, text);
    }
    if (!l->r->past->protocol[0] && file->records) snprintf(l->r->past->protocol, sizeof l->r->past->protocol, "induced");
    return BELAY_OK;
}

static int read_late(const reading *r, bl_error *err)
{
    int rc = BELAY_OK;
    if (!strcmp(r->past->protocol, "independent") || logged(r->past)) return BELAY_OK;
    for (uint32_t rank = 0; rc == BELAY_OK && rank < r->past->ranks; rank++) {
        late l = { r, rank };
        rc = bl_late_scan(r->store, rank, 0, note_message, note_file, &l, err);
    }
    return rc;
}

/* --- all of it --- */

static int read_all(const reading *r, bl_error *err)
{
    bl_past *past = r->past;
    memset(past, 0, sizeof *past);
    past->ranks = bl_store_job(r->store)->ranks;
    past->last = calloc(past->ranks, sizeof *past->last);
    past->at = calloc(past->ranks, sizeof *past->at);
    int rc = past->last && past->at ? bl_history_new(past->ranks, &past->history, err)
                                    : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", past->ranks);
    for (uint32_t rank = 0; rc == BELAY_OK && rank < past->ranks; rank++) rc = read_rank(r, rank, err);
    if (rc == BELAY_OK) rc = read_late(r, err);
    past->mode = !strcmp(past->protocol, "induced") ? BL_LINE_LOGGED : BL_LINE_TRANSITLESS;
    return rc;
}

/* The line has passed its checker; this is what will be done about it, derived another way. */
static int check_transit(const bl_past *past, bl_error *err)
{
    for (size_t k = 0; k < past->transits; k++) {
        const bl_transit *t = &past->transit[k];
        if (t->logged != t->last - t->first + 1)
            return bl_fail(err, BELAY_ERR_INTERNAL, "the line has messages %llu to %llu from rank %u to rank %u in transit, of which only "
                           "%llu are kept", (unsigned long long)t->first, (unsigned long long)t->last, t->from, t->to,
                           (unsigned long long)t->logged);
    }
    return BELAY_OK;
}

/* With journals that may have lost something with a node: whoever depends on that restarts from before it did. */
static int spare_orphans(bl_store *store, bl_past *past, bl_error *err)
{
    bl_trails t;
    uint32_t *number = calloc(3 * (size_t)past->ranks, sizeof *number), *known = number, *good = number + past->ranks, *counts = good + past->ranks;
    const bl_step **steps = calloc(past->ranks, sizeof *steps);
    int rc = bl_trails_read(store, past->ranks, &t, err);
    if (rc == BELAY_OK && !(number && steps)) rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", past->ranks);
    for (uint32_t r = 0; rc == BELAY_OK && t.any && r < past->ranks; r++) {
        steps[r] = t.trail[r].step;
        counts[r] = t.trail[r].steps;
    }
    if (rc == BELAY_OK && t.any) bl_line_intervals(past->ranks, steps, counts, known, good);
    for (uint32_t r = 0, restart; rc == BELAY_OK && t.any && r < past->ranks; r++) {
        rc = bl_trail_restart(store, &t, r, good[r], &restart, err);
        while (rc == BELAY_OK && past->line.cut[r] > 0 && bl_past_restart(past, r)->number > restart) past->line.cut[r]--;
    }
    bl_trails_clear(&t);
    free(steps);
    free(number);
    return rc;
}

int bl_past_read(bl_store *store, int quarantine, bl_note *note, void *context, bl_past *past, bl_error *err)
{
    reading r = { store, past, quarantine, note, context };
    int rc = read_all(&r, err);
    if (rc == BELAY_OK) rc = bl_history_graph(past->history, &past->graph, err);
    if (rc == BELAY_OK) rc = bl_line_solve(past->graph, past->mode, NULL, &past->line, err);
    if (rc == BELAY_OK) rc = bl_line_check(past->graph, past->mode, NULL, &past->line, err);
    if (rc == BELAY_OK && logged(past) && strcmp(past->protocol, "pessimistic") != 0) rc = spare_orphans(store, past, err);
    if (rc == BELAY_OK) rc = bl_history_transit(past->history, past->line.cut, &past->transit, &past->transits, err);
    if (rc == BELAY_OK) rc = check_transit(past, err);
    if (rc != BELAY_OK) bl_past_clear(past);
    return rc;
}

int bl_past_counters(bl_store *store, bl_past *past, bl_error *err)
{
    reading r = { store, past, 0, NULL, NULL };
    int rc = read_all(&r, err);
    if (rc != BELAY_OK) bl_past_clear(past);
    return rc;
}

void bl_past_clear(bl_past *past)
{
    for (uint32_t rank = 0; past->at && rank < past->ranks; rank++) free(past->at[rank]);
    free(past->at);
    free(past->last);
    if (past->history) bl_history_free(past->history);
    if (past->graph) bl_graph_free(past->graph);
    bl_line_clear(&past->line);
    memset(past, 0, sizeof *past);
}

int bl_past_belongs(const bl_past *past, const bl_store *store, const char *protocol, bl_error *err)
{
    if (!past->protocol[0] || !strcmp(past->protocol, protocol)) return BELAY_OK;
    return bl_fail(err, BELAY_ERR_REFUSED, "%s holds a job with %s checkpoints: go on with checkpoint=%s, or start anew with --fresh",
                   bl_store_dir(store), past->protocol, past->protocol);
}

const bl_past_checkpoint *bl_past_restart(const bl_past *past, uint32_t rank)
{
    return &past->at[rank][past->line.cut[rank]];
}

typedef struct collecting { const bl_past *past; uint32_t rank; } collecting;

/* Received after the checkpoint on the line: some line to come may have it in transit. */
static int still_wanted(void *context, const bl_late_message *m)
{
    const collecting *c = context;
    uint32_t cut = c->past->line.cut[c->rank];
    return m->number > bl_history_received(c->past->history, c->rank, cut, m->comm, m->source, m->tag);
}

static int collect_late(bl_store *store, const bl_past *past, uint32_t rank, bl_error *err)
{
    collecting c = { past, rank };
    uint32_t removed;
    if (past->mode != BL_LINE_LOGGED) return BELAY_OK;
    return bl_late_remove_before(store, rank, bl_past_restart(past, rank)->number, still_wanted, &c, &removed, err);
}

int bl_past_collect(bl_store *store, const bl_past *past, uint32_t *removed, bl_error *err)
{
    *removed = 0;
    if (logged(past)) return BELAY_OK; /* each rank removes its own, with what is in its journal for them */
    for (uint32_t rank = 0; rank < past->ranks; rank++) {
        for (uint32_t x = 1; x < past->line.cut[rank]; x++) {
            int rc = bl_snapshot_remove(store, rank, past->at[rank][x].number, err);
            if (rc) return rc;
            ++*removed;
        }
        int rc = collect_late(store, past, rank, err);
        if (rc) return rc;
    }
    return BELAY_OK;
}

/* --- settling --- */

typedef struct settling {
    const bl_transit *row;    /* of this rank */
    size_t rows;
    uint64_t *before;         /* [rows] messages of the rows before */
    unsigned char *found;     /* [all] */
    uint64_t all, missing;
} settling;

/* Rows come ascending by from, comm and tag. */
static int after(const bl_transit *t, const bl_late_message *m)
{
    if (t->from != m->source) return t->from > m->source;
    if (t->comm != m->comm) return t->comm > m->comm;
    return t->tag > m->tag;
}

static int in_transit(void *context, const bl_late_message *m)
{
    settling *s = context;
    size_t low = 0, high = s->rows;
    while (low < high) { /* the first that is after it */
        size_t middle = low + (high - low) / 2;
        if (after(&s->row[middle], m)) high = middle;
        else low = middle + 1;
    }
    if (!low) return 0;
    const bl_transit *t = &s->row[low - 1];
    if (t->from != m->source || t->comm != m->comm || t->tag != m->tag || m->number < t->first || m->number > t->last) return 0;
    unsigned char *found = &s->found[s->before[low - 1] + (m->number - t->first)];
    s->missing -= !*found;
    return *found = 1;
}

static int settle(bl_store *store, uint32_t rank, uint32_t checkpoint, settling *s, bl_error *err)
{
    s->missing = s->all;
    int rc = bl_late_settle(store, rank, checkpoint, in_transit, s, err);
    if (rc || !s->missing) return rc;
    return bl_fail(err, BELAY_ERR_DAMAGED, "rank %u: %llu of the %llu messages in transit to it cannot be read any more", rank,
                   (unsigned long long)s->missing, (unsigned long long)s->all);
}

int bl_past_settle(bl_store *store, uint32_t rank, uint32_t checkpoint, const bl_transit *row, size_t rows, bl_error *err)
{
    bl_transit *mine = malloc(sizeof *mine * (rows + 1));
    settling s = { .row = mine, .before = malloc(sizeof *s.before * (rows + 1)) };
    for (size_t k = 0; mine && s.before && k < rows; k++) {
        uint64_t count = row[k].last - row[k].first + 1;
        if (row[k].to != rank) continue;
        s.before[s.rows] = s.all;
        mine[s.rows++] = row[k];
        s.all = count && count <= IN_TRANSIT_MAX - s.all ? s.all + count : IN_TRANSIT_MAX;
    }
    if (s.all < IN_TRANSIT_MAX) s.found = calloc(s.all + 1, 1);
    int rc = mine && s.before && s.found ? settle(store, rank, checkpoint, &s, err)
                                         : bl_fail(err, BELAY_ERR_MEMORY, "no memory for the messages in transit to rank %u", rank);
    free(s.found);
    free(s.before);
    free(mine);
    return rc;
}
