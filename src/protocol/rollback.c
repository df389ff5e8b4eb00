#include "protocol/rollback.h"

/* --- receives --- */

static int meets(int a, int b)
{
    return a < 0 || b < 0 || a == b;
}

static int overlaps(const bl_open *e, uint64_t comm, int source, int tag)
{
    return e->comm == comm && meets(e->source, source) && meets(e->tag, tag);
}

void bl_open_tell(bl_open *e, int from, int with, const uint64_t *hash)
{
    e->told = 1;
    e->from = from;
    e->with = with;
    e->hashed = hash != NULL;
    e->hash = hash ? *hash : 0;
}

void bl_open_known(bl_open *e, int from, int with, const uint64_t *hash)
{
    bl_open_tell(e, from, with, hash);
    e->told = e->hashed; /* the next of its channel is what any receive gets */
    e->source = from;
    e->tag = with;
    e->wild = 0;
}

int bl_open_holds(bl_open *const *open, unsigned count, const bl_open *e, enum bl_how how, int alone)
{
    if (how == BL_KNOWN) return 0;
    if (e->wild && (how == BL_NOTHING || alone)) return 1;
    for (unsigned i = 0; i < count; i++)
        if (open[i]->held && overlaps(open[i], e->comm, e->source, e->tag)) return 1;
    return 0;
}

int bl_open_may_have(const bl_open *e, uint64_t comm, uint64_t clock, int source, int tag)
{
    return e->clock < clock && (e->wild || e->tag < 0) && !e->done && !e->told && overlaps(e, comm, source, tag);
}

int bl_open_unsure(bl_open *const *open, unsigned count, uint64_t comm, uint64_t clock, int source, int tag)
{
    for (unsigned i = 0; i < count && open[i]->clock < clock; i++)
        if (bl_open_may_have(open[i], comm, clock, source, tag)) return 1;
    return 0;
}

void bl_open_pass_by(bl_open *const *open, unsigned count, uint64_t comm, uint64_t clock, int source, int tag)
{
    for (unsigned i = 0; i < count && open[i]->clock < clock; i++) {
        bl_open *e = open[i];
        int any = e->wild || e->tag < 0;
        if (any && !e->done && overlaps(e, comm, source, tag) && (!e->told || (e->from == source && e->with == tag))) e->passed = 1;
    }
}

int bl_open_behind(uint64_t number, uint64_t received)
{
    return number <= received;
}

int bl_open_passed(bl_open *const *open, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (open[i]->passed && !open[i]->done) return 1;
    return 0;
}

bl_open *bl_open_again(bl_open *const *open, unsigned count, unsigned *turn)
{
    while (*turn < 2 * count) {
        bl_open *e = open[*turn % count];
        int first = *turn < count;
        ++*turn;
        if (!e->done && (e->told && e->hashed) == first) return e;
    }
    return NULL;
}

/* --- messages --- */

static int is_later(const bl_fed *f, int tag, uint64_t clock)
{
    return f->taken && f->by > clock && meets(tag, f->tag);
}

static int is_barred(const bl_lane *l, const bl_fed *f, int tag, uint64_t clock, bl_hash_of *hash_of)
{
    for (const bl_fed *before = l->message; l->latest > clock && before < f; before++)
        if (is_later(before, tag, clock) && (before->tag != f->tag || hash_of(before->data, (size_t)before->bytes) != hash_of(f->data, (size_t)f->bytes)))
            return 1;
    return 0;
}

static int is_what_was_told(const bl_fed *f, uint64_t clock, uint64_t hash, bl_hash_of *hash_of)
{
    return (!f->before || clock < f->before) && hash_of(f->data, (size_t)f->bytes) == hash;
}

bl_fed *bl_lane_first(bl_lane *l, int tag, uint64_t clock, const uint64_t *hash, bl_hash_of *hash_of)
{
    while (l->first < l->count && l->message[l->first].taken) l->first++;
    for (size_t i = l->first; i < l->count; i++) {
        bl_fed *f = &l->message[i];
        if (f->taken || !meets(tag, f->tag)) continue;
        if (hash ? is_what_was_told(f, clock, *hash, hash_of) : !is_barred(l, f, tag, clock, hash_of)) return f;
    }
    return NULL;
}

int bl_lane_bars(const bl_lane *l, int tag, uint64_t clock)
{
    for (size_t i = 0; l->latest > clock && i < l->count; i++)
        if (is_later(&l->message[i], tag, clock)) return 1;
    return 0;
}

void bl_lane_take(bl_lane *l, bl_fed *f, int tag, uint64_t clock)
{
    const bl_fed *end = f ? f : l->message + l->count;
    for (bl_fed *before = l->message + l->first; before < end; before++)
        if (meets(tag, before->tag) && !before->taken && (!before->before || clock < before->before)) before->before = clock;
    if (clock > l->latest) l->latest = clock;
    if (!f) return;
    f->taken = 1;
    f->by = clock;
}

int bl_lane_is_wrong(const bl_lane *l)
{
    for (size_t i = l->first; i < l->count; i++)
        if (!l->message[i].taken && l->message[i].before) return 1;
    return 0;
}

int bl_fed_before(const bl_fed *f, const bl_fed *other)
{
    return f->before && (!other->before || f->before < other->before);
}

enum bl_place bl_fed_place(uint64_t number, uint64_t *next)
{
    if (number < *next) return BL_PLACE_HAD;
    if (number > *next) return BL_PLACE_GAP;
    ++*next;
    return BL_PLACE_NEXT;
}

/* --- what is sent again --- */

uint64_t bl_send_until(uint64_t until, uint64_t has)
{
    return has > until ? has : until;
}

enum bl_again bl_send_again(uint64_t number, uint64_t until, uint64_t logged)
{
    if (number > until) return BL_AGAIN_SEND;
    return number > logged ? BL_AGAIN_LOG : BL_AGAIN_LEAVE;
}

/* --- who goes back --- */

enum bl_vote bl_vote(int can_stay, int may_go_back)
{
    return can_stay ? BL_VOTE_STAYS : may_go_back ? BL_VOTE_BACK : BL_VOTE_ALL;
}

int bl_votes_local(int stays, enum bl_vote vote)
{
    if (vote == BL_VOTE_ALL || stays < 0) return -1;
    return stays | (vote == BL_VOTE_STAYS);
}
