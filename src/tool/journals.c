#include "tool/journals.h"

#include <stdlib.h>

#include "line/intervals.h"
#include "store/trail.h"

typedef struct reading {
    bl_journals *all;
    uint32_t rank;
    bl_logged_pair *to;        /* [ranks] */
} reading;

/* Without what rode behind it. */
static uint64_t payload_bytes(const bl_record *r)
{
    return r->number <= r->bytes ? r->bytes - r->number : 0;
}

/* Messages to a rank that the job has not are in no pair. */
static void count(reading *r, const bl_record *record)
{
    bl_logged_rank *rank = &r->all->rank[r->rank];
    r->all->records++;
    if (record->kind != BL_EVENT_SENT) {
        rank->events += record->kind < BL_EVENT_CHECKPOINT;
        return;
    }
    uint64_t bytes = payload_bytes(record);
    rank->messages++;
    rank->bytes += bytes;
    if (record->c < 0 || (uint32_t)record->c >= r->all->ranks) return;
    r->to[record->c].messages++;
    r->to[record->c].bytes += bytes;
}

static int read_one(reading *r, bl_store *store, const char *name, bl_error *err)
{
    bl_journal_reader *reader = NULL;
    bl_record record;
    const char *payload;
    int counts = name[0] != 'p', more; /* the prologue is done again, with others */
    int rc = bl_journal_read_open(store, r->rank, name, &reader, err);
    if (rc) return rc == BELAY_ERR_NONE ? BELAY_OK : rc;
    while ((more = bl_journal_next(reader, &record, &payload, err)) > 0)
        if (counts) count(r, &record);
        else r->all->records++;
    bl_journal_read_close(reader);
    return more < 0 ? err->code : BELAY_OK;
}

static int keep_pairs(reading *r)
{
    bl_journals *j = r->all;
    size_t more = 0;
    for (uint32_t to = 0; to < j->ranks; to++) more += r->to[to].messages > 0;
    bl_logged_pair *bigger = more ? realloc(j->pair, (j->pairs + more) * sizeof *bigger) : j->pair;
    if (more && !bigger) return -1;
    j->pair = bigger;
    for (uint32_t to = 0; to < j->ranks; to++) {
        if (!r->to[to].messages) continue;
        j->pair[j->pairs] = r->to[to];
        j->pair[j->pairs].from = r->rank;
        j->pair[j->pairs++].to = to;
        r->to[to] = (bl_logged_pair){0};
    }
    return 0;
}

static int by_bytes(const void *x, const void *y)
{
    const bl_logged_pair *a = x, *b = y;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
    if (a->messages != b->messages) return a->messages < b->messages ? 1 : -1;
    if (a->from != b->from) return a->from < b->from ? -1 : 1;
    return (a->to > b->to) - (a->to < b->to);
}

int bl_journals_read(bl_store *store, uint32_t ranks, bl_journals_wrong *wrong, void *context, bl_journals *j, bl_error *err)
{
    static const char *const name[] = {"sent", "events", "prologue"};
    *j = (bl_journals){.ranks = ranks, .rank = calloc(ranks, sizeof *j->rank)};
    reading r = {.all = j, .to = calloc(ranks, sizeof *r.to)};
    int bad = !j->rank || !r.to;
    for (r.rank = 0; !bad && r.rank < ranks; r.rank++) {
        for (size_t k = 0; k < sizeof name / sizeof *name; k++) {
            bl_error why = {0, ""};
            if (read_one(&r, store, name[k], &why)) wrong(context, r.rank, &why);
        }
        bad = keep_pairs(&r);
        j->sum.messages += j->rank[r.rank].messages;
        j->sum.bytes += j->rank[r.rank].bytes;
        j->sum.events += j->rank[r.rank].events;
    }
    free(r.to);
    if (j->pairs) qsort(j->pair, j->pairs, sizeof *j->pair, by_bytes);
    if (!bad) return BELAY_OK;
    bl_journals_clear(j);
    return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the journals of %u ranks", ranks);
}

/* --- what a restart feeds --- */

typedef struct feeding {
    uint32_t ranks;
    bl_reader **reader;        /* [ranks] of the checkpoints */
    const bl_snapshot **at;    /* [ranks] NULL: the start */
    bl_fed_channel *channel;
    size_t channels, room, last;
} feeding;

static uint64_t received(const feeding *f, const bl_record *r, uint32_t from)
{
    const bl_snapshot *s = f->at[r->c];
    for (size_t k = 0; s && k < s->nchannels; k++)
        if (s->channels[k].comm == r->a && s->channels[k].peer == (int32_t)from && s->channels[k].tag == r->d) return s->channels[k].received;
    return 0;
}

static bool is_of(const bl_fed_channel *c, const bl_record *r, uint32_t from)
{
    return c->comm == r->a && c->from == from && c->to == (uint32_t)r->c && c->tag == r->d;
}

/* A journal goes on with the same channels again and again. */
static bl_fed_channel *channel_of(feeding *f, const bl_record *r, uint32_t from)
{
    for (size_t k = 0; k < f->channels; k++) {
        size_t i = (f->last + k) % f->channels;
        if (is_of(&f->channel[i], r, from)) {
            f->last = i;
            return &f->channel[i];
        }
    }
    if (f->channels == f->room) {
        size_t room = f->room ? 2 * f->room : 64;
        bl_fed_channel *bigger = realloc(f->channel, room * sizeof *bigger);
        if (!bigger) return NULL;
        f->channel = bigger;
        f->room = room;
    }
    bl_fed_channel *c = &f->channel[f->last = f->channels++];
    /* `first` holds, until there is a message, what the receiver has already. */
    *c = (bl_fed_channel){.comm = r->a, .from = from, .to = (uint32_t)r->c, .tag = r->d, .first = received(f, r, from)};
    return c;
}

static int feed_from(feeding *f, bl_store *store, uint32_t from, bl_error *err)
{
    bl_journal_reader *reader = NULL;
    bl_record r;
    const char *payload;
    int more = 0, rc = bl_journal_read_open(store, from, "sent", &reader, err);
    if (rc) return rc == BELAY_ERR_NONE ? BELAY_OK : rc;
    while (rc == BELAY_OK && (more = bl_journal_next(reader, &r, &payload, err)) > 0) {
        if (r.kind != BL_EVENT_SENT || r.c < 0 || (uint32_t)r.c >= f->ranks) continue;
        bl_fed_channel *c = channel_of(f, &r, from);
        if (!c) {
            rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the channels of the journals");
        } else if (r.b > (c->messages ? c->last : c->first)) {
            if (!c->messages) c->first = r.b;
            c->last = r.b;
            c->messages++;
            c->bytes += payload_bytes(&r);
        }
    }
    bl_journal_read_close(reader);
    return rc ? rc : more < 0 ? err->code : BELAY_OK;
}

static int by_channel(const void *x, const void *y)
{
    const bl_fed_channel *a = x, *b = y;
    if (a->to != b->to) return a->to < b->to ? -1 : 1;
    if (a->from != b->from) return a->from < b->from ? -1 : 1;
    if (a->comm != b->comm) return a->comm < b->comm ? -1 : 1;
    return (a->tag > b->tag) - (a->tag < b->tag);
}

int bl_journals_fed(bl_store *store, uint32_t ranks, const uint32_t *restart, bl_fed_channel **channel, size_t *channels, bl_error *err)
{
    feeding f = {.ranks = ranks, .reader = calloc(ranks, sizeof *f.reader), .at = calloc(ranks, sizeof *f.at)};
    int rc = f.reader && f.at ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the checkpoints of %u ranks", ranks);
    for (uint32_t rank = 0; rc == BELAY_OK && rank < ranks; rank++)
        if (restart[rank]) rc = bl_snapshot_open(store, rank, restart[rank], NULL, &f.reader[rank], &f.at[rank], err);
    for (uint32_t rank = 0; rc == BELAY_OK && rank < ranks; rank++) rc = feed_from(&f, store, rank, err);
    for (uint32_t rank = 0; f.reader && rank < ranks; rank++)
        if (f.reader[rank]) bl_snapshot_close(f.reader[rank]);
    free(f.reader);
    free(f.at);
    if (rc) {
        free(f.channel);
        return rc;
    }
    size_t kept = 0;
    for (size_t k = 0; k < f.channels; k++)
        if (f.channel[k].messages) f.channel[kept++] = f.channel[k];
    if (kept) qsort(f.channel, kept, sizeof *f.channel, by_channel);
    *channel = f.channel;
    *channels = kept;
    return BELAY_OK;
}

/* --- who is undone --- */

static uint32_t decided(const bl_trail *t, uint32_t good)
{
    uint32_t most = 0;
    for (uint32_t k = 0; k < good; k++)
        if (t->step[k].kind == BL_STEP_DECIDED && t->step[k].number > most) most = t->step[k].number;
    return most;
}

static int look(bl_store *store, const bl_trails *t, bl_orphan *orphan, bl_error *err)
{
    uint32_t *number = calloc(3 * (size_t)t->ranks, sizeof *number), *known = number, *good = number + t->ranks, *counts = good + t->ranks;
    const bl_step **steps = calloc(t->ranks, sizeof *steps);
    int rc = number && steps ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", t->ranks);
    for (uint32_t r = 0; rc == BELAY_OK && r < t->ranks; r++) {
        steps[r] = t->trail[r].step;
        counts[r] = t->trail[r].steps;
    }
    if (rc == BELAY_OK) bl_line_intervals(t->ranks, steps, counts, known, good);
    for (uint32_t r = 0; rc == BELAY_OK && r < t->ranks; r++) {
        bl_orphan *o = &orphan[r];
        o->is = good[r] < counts[r];
        if (o->is) {
            o->needs_rank = steps[r][good[r]].rank;
            o->needs = steps[r][good[r]].number;
            o->known = known[o->needs_rank];
        } else {
            o->given_back = known[r] - decided(&t->trail[r], good[r]);
        }
        rc = bl_trail_restart(store, t, r, good[r], &o->restart, err);
    }
    free(steps);
    free(number);
    return rc;
}

uint32_t bl_orphan_restart(const bl_story *story, uint32_t rank, const bl_orphan *orphan)
{
    uint32_t d = bl_story_last(story, rank);
    while (orphan && d > 0 && bl_story_number(story, rank, d) > orphan[rank].restart) d--;
    return d;
}

int bl_journals_orphans(bl_store *store, uint32_t ranks, bl_orphan **orphan, bl_error *err)
{
    bl_trails trails;
    *orphan = calloc(ranks, sizeof **orphan);
    if (!*orphan) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", ranks);
    int rc = bl_trails_read(store, ranks, &trails, err);
    if (rc == BELAY_OK && trails.any) rc = look(store, &trails, *orphan, err);
    bl_trails_clear(&trails);
    if (rc) free(*orphan);
    return rc;
}

void bl_journals_clear(bl_journals *j)
{
    free(j->rank);
    free(j->pair);
    *j = (bl_journals){0};
}
