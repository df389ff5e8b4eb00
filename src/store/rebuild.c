/* rebuild.c - lost files of a group made again by one process that sees those of all its members. */
#include "store/parity.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"
#include "store/layout.h"

enum { CHUNK = 1 << 20 };

typedef struct work {
    const bl_parity *group;
    bl_symbols *member[BL_ERASURE_MEMBERS];
    const uint8_t *has_snapshot, *has_parity;
    char *from, *to;
} work;

/* Which members have their symbol of the stripe. */
static void look(const work *w, uint32_t stripe, uint8_t *available)
{
    uint32_t index;
    for (uint32_t m = 0; m < w->group->code.members; m++)
        available[m] = bl_erasure_is_parity(&w->group->code, stripe, m, &index) ? w->has_parity[m] : w->has_snapshot[m];
}

static int make_symbol(work *w, uint32_t stripe, const uint8_t *available, uint32_t target, bl_error *err)
{
    const bl_erasure *code = &w->group->code;
    uint32_t source[BL_ERASURE_MEMBERS];
    uint8_t coefficient[BL_ERASURE_MEMBERS];
    int rc = BELAY_OK;
    if (bl_erasure_solve(code, stripe, available, target, source, coefficient))
        return bl_fail(err, BELAY_ERR_DAMAGED, "checkpoint %" PRIu32 ": more is lost in the group of rank %" PRIu32 " than the %" PRIu32 " losses its parity makes up for",
                       w->group->checkpoint, w->group->member[0].rank, code->parity);
    for (uint64_t at = 0; rc == BELAY_OK && at < code->segment; at += CHUNK) {
        size_t bytes = code->segment - at < CHUNK ? (size_t)(code->segment - at) : CHUNK;
        memset(w->to, 0, bytes);
        for (uint32_t i = 0; rc == BELAY_OK && i < code->members - code->parity; i++) {
            rc = bl_symbols_get(w->member[source[i]], stripe, at, w->from, bytes, err);
            if (rc == BELAY_OK) bl_erasure_add(coefficient[i], w->from, w->to, bytes);
        }
        if (rc == BELAY_OK) rc = bl_symbols_put(w->member[target], stripe, at, w->to, bytes, err);
    }
    return rc;
}

static int make_all(work *w, bl_error *err)
{
    uint8_t available[BL_ERASURE_MEMBERS];
    int rc = BELAY_OK;
    for (uint32_t stripe = 0; rc == BELAY_OK && stripe < w->group->code.members; stripe++) {
        look(w, stripe, available);
        for (uint32_t m = 0; rc == BELAY_OK && m < w->group->code.members; m++)
            if (!available[m]) rc = make_symbol(w, stripe, available, m, err);
    }
    return rc;
}

int bl_parity_complete(bl_store *store, const bl_parity *group, const uint8_t *has_snapshot, const uint8_t *has_parity, bl_error *err)
{
    work w = { .group = group, .has_snapshot = has_snapshot, .has_parity = has_parity, .from = malloc(CHUNK), .to = malloc(CHUNK) };
    int rc = w.from && w.to ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "no memory to rebuild");
    for (uint32_t m = 0; rc == BELAY_OK && m < group->code.members; m++) {
        bl_parity one = *group;
        one.me = m;
        rc = bl_symbols_open(store, &one, !has_snapshot[m], !has_parity[m], &w.member[m], err);
    }
    if (rc == BELAY_OK) rc = make_all(&w, err);
    for (uint32_t m = 0; m < group->code.members; m++) {
        if (!w.member[m]) continue;
        if (rc == BELAY_OK) rc = bl_symbols_finish(w.member[m], err);
        else bl_symbols_cancel(w.member[m]);
    }
    free(w.from);
    free(w.to);
    return rc;
}

/* --- all groups of a checkpoint --- */

typedef struct looking { bl_store *store; uint32_t checkpoint; int dry; bl_note *note; void *context; bl_rebuilt *done; } looking;

static void tell(const looking *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void tell(const looking *l, const char *format, ...)
{
    char text[1200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (l->note) l->note(l->context, text);
}

/* 1: it is there, the one that the group has; 0: it is not. */
static int snapshot_is_good(const looking *l, const bl_parity_member *m)
{
    bl_reader *reader;
    const bl_snapshot *ignored;
    bl_error err = { 0, "" }, moved = { 0, "" };
    int rc = bl_snapshot_open(l->store, m->rank, l->checkpoint, &m->digest, &reader, &ignored, &err);
    if (rc == BELAY_OK) {
        rc = bl_snapshot_verify(reader, &err);
        bl_snapshot_close(reader);
    }
    if (rc == BELAY_OK) return 1;
    tell(l, "rank %" PRIu32 ": %s", m->rank, err.text);
    if (!l->dry && rc != BELAY_ERR_NONE && bl_snapshot_quarantine(l->store, m->rank, l->checkpoint, NULL, 0, &moved) != BELAY_OK) tell(l, "%s", moved.text);
    return 0;
}

static int parity_is_good(const looking *l, const bl_parity *group, uint32_t m)
{
    bl_parity own;
    bl_error err = { 0, "" };
    int rc = bl_parity_read(l->store, group->member[m].rank, l->checkpoint, &own, &err);
    if (rc == BELAY_OK && (own.me != m || !bl_parity_agree(&own, group)))
        rc = bl_fail(&err, BELAY_ERR_DAMAGED, "its parity of checkpoint %" PRIu32 " is of another group", l->checkpoint);
    if (rc == BELAY_OK) rc = bl_parity_verify(l->store, group->member[m].rank, l->checkpoint, &err);
    if (rc) tell(l, "rank %" PRIu32 ": %s", group->member[m].rank, err.text);
    return rc == BELAY_OK;
}

static int rebuild_group(const looking *l, const bl_parity *group, bl_error *err)
{
    uint8_t has_snapshot[BL_ERASURE_MEMBERS], has_parity[BL_ERASURE_MEMBERS];
    uint32_t snapshots = 0, parities = 0, members = group->code.members;
    l->done->groups++;
    for (uint32_t m = 0; m < members; m++) {
        snapshots += !(has_snapshot[m] = (uint8_t)snapshot_is_good(l, &group->member[m]));
        parities += !(has_parity[m] = (uint8_t)parity_is_good(l, group, m));
    }
    if (!snapshots && !parities) return BELAY_OK;
    if (l->dry) {
        uint8_t available[BL_ERASURE_MEMBERS], coefficient[BL_ERASURE_MEMBERS];
        uint32_t source[BL_ERASURE_MEMBERS];
        work w = { .group = group, .has_snapshot = has_snapshot, .has_parity = has_parity };
        int lost = 0;
        for (uint32_t stripe = 0; stripe < members; stripe++) {
            look(&w, stripe, available);
            lost |= bl_erasure_solve(&group->code, stripe, available, 0, source, coefficient) != 0;
        }
        l->done->lost += lost != 0;
        if (lost) return BELAY_OK;
    } else {
        int rc = bl_parity_complete(l->store, group, has_snapshot, has_parity, err);
        if (rc == BELAY_ERR_DAMAGED) {
            tell(l, "%s", err->text);
            l->done->lost++;
            return BELAY_OK;
        }
        if (rc) return rc;
    }
    l->done->snapshots += snapshots;
    l->done->parities += parities;
    for (uint32_t m = 0; m < members; m++)
        if (!has_snapshot[m] || !has_parity[m])
            tell(l, "rank %" PRIu32 ": %s of checkpoint %" PRIu32 " %s of the other %" PRIu32 " of its group", group->member[m].rank,
                 has_snapshot[m] ? "the parity" : has_parity[m] ? "the snapshot" : "snapshot and parity", l->checkpoint,
                 l->dry ? "can be rebuilt from those" : "rebuilt from those", members - 1);
    return BELAY_OK;
}

int bl_parity_rebuild(bl_store *store, uint32_t checkpoint, int dry, bl_note *note, void *context, bl_rebuilt *done, bl_error *err)
{
    looking l = { store, checkpoint, dry, note, context, done };
    uint32_t ranks = bl_store_job(store)->ranks;
    uint8_t *seen = calloc(ranks, 1);
    int rc = seen ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "no memory for %" PRIu32 " ranks", ranks);
    memset(done, 0, sizeof *done);
    for (uint32_t r = 0; rc == BELAY_OK && r < ranks; r++) {
        bl_parity group;
        bl_error ignored;
        if (seen[r] || bl_parity_read(store, r, checkpoint, &group, &ignored)) continue;
        for (uint32_t m = 0; m < group.code.members; m++) seen[group.member[m].rank] = 1;
        rc = rebuild_group(&l, &group, err);
    }
    free(seen);
    if (rc == BELAY_OK && !done->groups) return bl_fail(err, BELAY_ERR_NONE, "checkpoint %" PRIu32 " has no parity", checkpoint);
    return rc;
}

/* 1: the rank has its snapshot; that and its parity. */
static int has(const bl_store *store, uint32_t rank, uint32_t checkpoint, int *parity)
{
    bl_parity ignored;
    uint64_t bytes;
    bl_error err;
    *parity = bl_parity_read(store, rank, checkpoint, &ignored, &err) == BELAY_OK;
    return bl_snapshot_size(store, rank, checkpoint, &bytes, &err) == BELAY_OK;
}

static int group_covers(const bl_store *store, const bl_parity *group)
{
    uint32_t lost = 0;
    int parity;
    for (uint32_t m = 0; m < group->code.members; m++) lost += !has(store, group->member[m].rank, group->checkpoint, &parity) || !parity;
    return lost <= group->code.parity;
}

int bl_parity_covers(const bl_store *store, uint32_t checkpoint)
{
    uint32_t ranks = store->job.ranks;
    uint8_t *covered = calloc(ranks, 1);
    int all = covered != NULL, parity;
    for (uint32_t r = 0; all && r < ranks; r++) {
        bl_parity group;
        bl_error err;
        if (covered[r] || bl_parity_read(store, r, checkpoint, &group, &err)) continue;
        for (uint32_t m = 0; m < group.code.members; m++) covered[group.member[m].rank] = 1;
        all = group_covers(store, &group);
    }
    for (uint32_t r = 0; all && r < ranks; r++) all = covered[r] || has(store, r, checkpoint, &parity);
    free(covered);
    return all;
}
