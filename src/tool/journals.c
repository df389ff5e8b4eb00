#include "tool/journals.h"

#include <stdlib.h>

typedef struct reading {
    bl_journals *all;
    uint32_t rank;
    bl_logged_pair *to;        /* [ranks] */
} reading;

/* Messages to a rank that the job has not are in no pair. */
static void count(reading *r, const bl_record *record)
{
    bl_logged_rank *rank = &r->all->rank[r->rank];
    r->all->records++;
    if (record->kind != BL_EVENT_SENT) {
        rank->events += record->kind < BL_EVENT_CHECKPOINT;
        return;
    }
    rank->messages++;
    rank->bytes += record->bytes;
    if (record->c < 0 || (uint32_t)record->c >= r->all->ranks) return;
    r->to[record->c].messages++;
    r->to[record->c].bytes += record->bytes;
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

void bl_journals_clear(bl_journals *j)
{
    free(j->rank);
    free(j->pair);
    *j = (bl_journals){0};
}
