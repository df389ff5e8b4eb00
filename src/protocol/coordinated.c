/* coordinated.c - is the cut transitless, and what that means for the commit machine. */
#include "protocol/coordinated.h"

#include <inttypes.h>

/* Two rounds of the finalizer of splitmix64, so that equal sums mean equal counts for all practical purposes. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t bl_report_mix(uint64_t comm, uint64_t started)
{
    return mix(mix(comm) ^ started);
}

struct found {
    bl_violation *violation;
    size_t max, count;
};

static void add(struct found *found, enum bl_violation_kind kind, uint32_t peer, uint64_t count)
{
    if (found->count < found->max)
        found->violation[found->count] = (bl_violation){ kind, peer, count };
    found->count++;
}

static void verify_peer(const bl_view *view, uint32_t peer, struct found *found)
{
    const bl_report *theirs = &view->theirs[peer];
    const uint64_t received = view->received[peer];

    if (theirs->obstacles > 0)
        add(found, BL_VIOLATION_OBSTACLE, peer, theirs->obstacles);
    if (theirs->sent > received)
        add(found, BL_VIOLATION_IN_TRANSIT, peer, theirs->sent - received);
    if (theirs->sent < received)
        add(found, BL_VIOLATION_ORPHAN, peer, received - theirs->sent);
    if (theirs->collectives != view->mine[peer].collectives)
        add(found, BL_VIOLATION_COLLECTIVE, peer, 0);
}

size_t bl_coordinated_verify(const bl_view *view, bl_violation *violation, size_t max)
{
    struct found found = { violation, max, 0 };

    for (uint32_t peer = 0; peer < view->n; peer++)
        verify_peer(view, peer, &found);
    return found.count;
}

void bl_violation_text(const bl_violation *violation, uint32_t self, bl_error *text)
{
    const uint64_t count = violation->count;
    const char *plural = count == 1 ? "" : "s";

    switch (violation->kind) {
    case BL_VIOLATION_OBSTACLE:
        bl_fail(text, BELAY_ERR_PENDING, "rank %" PRIu32 " has %" PRIu64 " outstanding request%s", violation->peer, count, plural);
        return;
    case BL_VIOLATION_IN_TRANSIT:
        bl_fail(text, BELAY_ERR_PENDING, "%" PRIu64 " message%s from rank %" PRIu32 " to rank %" PRIu32 " in transit", count, plural,
                 violation->peer, self);
        return;
    case BL_VIOLATION_ORPHAN:
        bl_fail(text, BELAY_ERR_PENDING, "rank %" PRIu32 " has received %" PRIu64 " message%s that rank %" PRIu32
                 " sent after its safe point", self, count, plural, violation->peer);
        return;
    case BL_VIOLATION_COLLECTIVE:
        bl_fail(text, BELAY_ERR_PENDING, "rank %" PRIu32 " and rank %" PRIu32 " have not started the same collectives", self,
                 violation->peer);
        return;
    }
}

int bl_coordinated_exchanged(bl_commit *m, const bl_view *view, bl_violation *violation, size_t max, size_t *violations,
                             bl_commit_actions *out, bl_error *err)
{
    bl_commit_event event = { .type = BL_EVENT_BEGIN };

    out->count = 0;
    *violations = bl_coordinated_verify(view, violation, max);
    if (bl_coordinated_phase(m) == BL_PHASE_DONE)
        return BELAY_OK;
    if (*violations > 0)
        event.type = BL_EVENT_REFUSED;
    return bl_commit_step(m, &event, out, err);
}

int bl_coordinated_in_transit(bl_commit *m, bl_commit_actions *out, bl_error *err)
{
    const enum bl_phase phase = bl_coordinated_phase(m);

    out->count = 0;
    if (phase != BL_PHASE_ALIGN && phase != BL_PHASE_SNAPSHOT)
        return BELAY_OK;
    return bl_commit_step(m, &(bl_commit_event){ .type = BL_EVENT_REFUSED }, out, err);
}

enum bl_phase bl_coordinated_phase(const bl_commit *m)
{
    switch (m->state) {
    case BL_STATE_INIT:      return BL_PHASE_ALIGN;
    case BL_STATE_SAVING:    return BL_PHASE_SNAPSHOT;
    case BL_STATE_COMMITTED:
    case BL_STATE_ABORTED:
    case BL_STATE_LOST:      return BL_PHASE_DONE;
    default:                 return BL_PHASE_VOTING;
    }
}
