#include "store/trail.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int out_of_memory(bl_error *err)
{
    return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the events of the journals");
}

/* What came after the newest incarnation that began came to nothing. */
static int find_ended(bl_store *store, bl_trails *t, bl_error *err)
{
    bl_record r;
    const char *payload;
    for (uint32_t rank = 0; rank < t->ranks; rank++) {
        bl_journal_reader *reader;
        int more, rc = bl_journal_read_open(store, rank, "events", &reader, err);
        if (rc == BELAY_ERR_NONE) continue;
        if (rc) return rc;
        while ((more = bl_journal_next(reader, &r, &payload, err)) > 0) {
            if (r.kind != BL_EVENT_BEGUN || (t->any && bl_journal_read_incarnation(reader) <= t->ended)) continue;
            t->any = 1;
            t->ended = bl_journal_read_incarnation(reader);
        }
        bl_journal_read_close(reader);
        if (more < 0) return err->code;
    }
    return BELAY_OK;
}

static int add(bl_trails *trails, uint32_t rank, bl_step step, const bl_record *record, const char *payload, bl_error *err)
{
    bl_trail *t = &trails->trail[rank];
    if (step.rank >= trails->ranks)
        return bl_fail(err, BELAY_ERR_DAMAGED, "the journal of rank %" PRIu32 " names a rank %" PRIu32 " that the job does not have", rank, step.rank);
    if (t->steps == t->room) {
        uint32_t room = t->room ? 2 * t->room : 256;
        bl_step *bigger = realloc(t->step, room * sizeof *bigger);
        if (bigger) t->step = bigger;
        bl_trail_entry *entries = realloc(t->entry, room * sizeof *entries);
        if (entries) t->entry = entries;
        if (!bigger || !entries) return out_of_memory(err);
        t->room = room;
    }
    t->step[t->steps] = step;
    t->entry[t->steps++] = (bl_trail_entry){ bl_journal_read_place(t->reader), *record, payload };
    return BELAY_OK;
}

/* The event of another is in the payload: its record, then its own payload. */
static int add_held(bl_trails *trails, uint32_t rank, const bl_record *r, const char *payload, bl_error *err)
{
    bl_record event = { .bytes = UINT64_MAX };
    if (r->bytes >= sizeof event) memcpy(&event, payload, sizeof event);
    if (event.bytes == r->bytes - sizeof event)
        return add(trails, rank, (bl_step){ BL_STEP_HOLDS, (uint32_t)r->c, (uint32_t)r->b }, &event, payload + sizeof event, err);
    return bl_fail(err, BELAY_ERR_DAMAGED, "the journal of rank %" PRIu32 " holds an event of another that has another length", rank);
}

static int add_record(bl_trails *trails, uint32_t rank, const bl_record *r, const char *payload, bl_error *err)
{
    uint32_t pair[2];
    int rc = BELAY_OK;
    if (r->kind == BL_EVENT_HELD) return add_held(trails, rank, r, payload, err);
    if (r->kind != BL_EVENT_NEEDS) return add(trails, rank, (bl_step){ BL_STEP_DECIDED, rank, r->number }, r, payload, err);
    for (uint64_t at = 0; rc == BELAY_OK && at + sizeof pair <= r->bytes; at += sizeof pair) {
        memcpy(pair, payload + at, sizeof pair);
        rc = add(trails, rank, (bl_step){ BL_STEP_NEEDS, pair[0], pair[1] }, r, payload, err);
    }
    return rc;
}

static int read_one(bl_store *store, bl_trails *trails, uint32_t rank, bl_error *err)
{
    bl_record r;
    const char *payload;
    bl_trail *t = &trails->trail[rank];
    int more = 0, rc = bl_journal_read_open(store, rank, "events", &t->reader, err);
    if (rc == BELAY_ERR_NONE) return BELAY_OK;
    while (rc == BELAY_OK && (more = bl_journal_next(t->reader, &r, &payload, err)) > 0)
        if (bl_journal_read_incarnation(t->reader) == trails->ended) rc = add_record(trails, rank, &r, payload, err);
    return rc ? rc : more < 0 ? err->code : BELAY_OK;
}

int bl_trails_read(bl_store *store, uint32_t ranks, bl_trails *trails, bl_error *err)
{
    *trails = (bl_trails){ .ranks = ranks, .trail = calloc(ranks, sizeof *trails->trail) };
    int rc = trails->trail ? find_ended(store, trails, err) : out_of_memory(err);
    for (uint32_t rank = 0; rc == BELAY_OK && trails->any && rank < ranks; rank++) rc = read_one(store, trails, rank, err);
    return rc;
}

/* Of incarnations before the one that ended nothing is undone any more. */
int bl_trail_restart(bl_store *store, const bl_trails *trails, uint32_t rank, uint32_t good, uint32_t *restart, bl_error *err)
{
    const bl_trail *t = &trails->trail[rank];
    bl_journal_reader *reader;
    bl_record r;
    const char *payload;
    *restart = 0;
    int more, rc = bl_journal_read_open(store, rank, "events", &reader, err);
    if (rc) return rc == BELAY_ERR_NONE ? BELAY_OK : rc;
    while ((more = bl_journal_next(reader, &r, &payload, err)) > 0)
        if (r.kind == BL_EVENT_CHECKPOINT && bl_journal_read_incarnation(reader) < trails->ended) *restart = (uint32_t)r.b;
    bl_journal_read_close(reader);
    for (uint32_t k = 0; k < good; k++)
        if (t->step[k].kind == BL_STEP_DECIDED && t->entry[k].record.kind == BL_EVENT_CHECKPOINT) *restart = (uint32_t)t->entry[k].record.b;
    return more < 0 ? err->code : BELAY_OK;
}

void bl_trails_clear(bl_trails *trails)
{
    for (uint32_t rank = 0; trails->trail && rank < trails->ranks; rank++) {
        if (trails->trail[rank].reader) bl_journal_read_close(trails->trail[rank].reader);
        free(trails->trail[rank].step);
        free(trails->trail[rank].entry);
    }
    free(trails->trail);
    memset(trails, 0, sizeof *trails);
}
