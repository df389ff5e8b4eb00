#include "protocol/msglog.h"

#include <string.h>

static uint64_t bit(uint32_t rank)
{
    return (uint64_t)1 << rank;
}

static uint32_t *end_of(const bl_msglog *p, uint32_t rank, uint32_t incarnation)
{
    return &p->end[rank * p->incarnations + incarnation];
}

void bl_msglog_start(bl_msglog *p, enum bl_msglog_rule rule, uint32_t rank, uint32_t ranks, uint32_t f)
{
    p->rule = rule;
    p->rank = rank;
    p->ranks = ranks;
    p->f = f;
    p->rsn = p->stable = p->copies = 0;
    if (p->vector && rule != BL_MSGLOG_PESSIMISTIC) memset(p->vector, 0, sizeof *p->vector * ranks);
    if (rule != BL_MSGLOG_OPTIMISTIC) return;
    for (uint32_t i = 0; i < ranks * p->incarnations; i++) p->end[i] = UINT32_MAX;
}

int bl_msglog_must_wait(const bl_msglog *p)
{
    return p->rule == BL_MSGLOG_PESSIMISTIC && p->stable < p->rsn;
}

static uint32_t count_of(uint64_t bits)
{
    uint32_t count = 0;
    for (; bits; bits &= bits - 1) count++;
    return count;
}

uint32_t bl_msglog_carry(const bl_msglog *p, uint32_t to, bl_copy *carried)
{
    uint32_t count = 0;
    for (uint32_t i = 0; p->rule == BL_MSGLOG_CAUSAL && i < p->copies; i++)
        if (!(p->copy[i].holders & bit(to)) && count_of(p->copy[i].holders) <= p->f) carried[count++] = p->copy[i];
    return count;
}

enum bl_msglog_answer bl_msglog_accept(const bl_msglog *p, const bl_interval *vector)
{
    if (p->rule != BL_MSGLOG_OPTIMISTIC) return BL_MSGLOG_DELIVER;
    if (bl_msglog_orphan(p, vector)) return BL_MSGLOG_DISCARD;
    for (uint32_t r = 0; r < p->ranks; r++)
        for (uint32_t i = 0; i < vector[r].incarnation; i++)
            if (*end_of(p, r, i) == UINT32_MAX) return BL_MSGLOG_WAIT;
    return BL_MSGLOG_DELIVER;
}

static int later(bl_interval a, bl_interval b)
{
    return a.incarnation != b.incarnation ? a.incarnation > b.incarnation : a.index > b.index;
}

static int same(const bl_hdr *a, const bl_hdr *b)
{
    return a->dest == b->dest && a->rsn == b->rsn;
}

/* 0 on success. */
static int hold(bl_msglog *p, const bl_hdr *hdr, uint64_t holders)
{
    for (uint32_t i = 0; i < p->copies; i++) {
        if (!same(&p->copy[i].hdr, hdr)) continue;
        p->copy[i].holders |= holders;
        return 0;
    }
    if (p->copies == p->room) return -1;
    p->copy[p->copies++] = (bl_copy){ *hdr, holders };
    return 0;
}

static int follows(const bl_msglog *p)
{
    return p->rule != BL_MSGLOG_PESSIMISTIC && p->vector;
}

bl_hdr bl_msglog_decide(bl_msglog *p, uint32_t source, uint32_t ssn, uint32_t sent_in)
{
    bl_hdr hdr = { source, ssn, p->rank, ++p->rsn, sent_in };
    if (follows(p)) p->vector[p->rank].index = p->rsn;
    if (p->rule == BL_MSGLOG_CAUSAL && hold(p, &hdr, bit(p->rank))) hdr.rsn = UINT32_MAX;
    return hdr;
}

int bl_msglog_learn(bl_msglog *p, const bl_interval *vector, const bl_copy *carried, uint32_t count)
{
    int full = 0;
    for (uint32_t r = 0; follows(p) && vector && r < p->ranks; r++)
        if (later(vector[r], p->vector[r])) p->vector[r] = vector[r];
    for (uint32_t i = 0; p->rule == BL_MSGLOG_CAUSAL && i < count; i++)
        full |= hold(p, &carried[i].hdr, carried[i].holders | bit(p->rank));
    return full;
}

bl_hdr bl_msglog_deliver(bl_msglog *p, uint32_t source, uint32_t ssn, uint32_t sent_in, const bl_interval *vector,
                         const bl_copy *carried, uint32_t count)
{
    int full = bl_msglog_learn(p, vector, carried, count);
    bl_hdr hdr = bl_msglog_decide(p, source, ssn, sent_in);
    if (full) hdr.rsn = UINT32_MAX;
    return hdr;
}

void bl_msglog_stable(bl_msglog *p, uint32_t rank, uint32_t rsn)
{
    uint32_t kept = 0;
    if (rank == p->rank && rsn > p->stable) p->stable = rsn;
    for (uint32_t i = 0; i < p->copies; i++)
        if (p->copy[i].hdr.dest != rank || p->copy[i].hdr.rsn > rsn) p->copy[kept++] = p->copy[i];
    p->copies = kept;
}

void bl_msglog_holds(bl_msglog *p, const bl_hdr *hdr, uint32_t rank)
{
    for (uint32_t i = 0; i < p->copies; i++)
        if (same(&p->copy[i].hdr, hdr)) p->copy[i].holders |= bit(rank);
}

uint32_t bl_msglog_copies_of(const bl_msglog *p, uint32_t rank, bl_hdr *known)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->copies; i++)
        if (p->copy[i].hdr.dest == rank) known[count++] = p->copy[i].hdr;
    return count;
}

void bl_msglog_died(bl_msglog *p, uint32_t rank)
{
    for (uint32_t i = 0; i < p->copies; i++) p->copy[i].holders &= ~bit(rank);
}

int bl_msglog_take_over(bl_msglog *p, bl_msglog *survivor)
{
    int full = 0;
    for (uint32_t i = 0; i < survivor->copies; i++) {
        full |= hold(p, &survivor->copy[i].hdr, bit(p->rank) | bit(survivor->rank));
        survivor->copy[i].holders |= bit(p->rank);
    }
    return full;
}

static int is_in(uint64_t set, uint32_t rank)
{
    return (set & bit(rank)) != 0;
}

void bl_msglog_possible(uint32_t ranks, uint64_t dead, const bl_hdr *const *order, uint32_t *known)
{
    for (int again = 1; again;) {
        again = 0;
        for (uint32_t r = 0; r < ranks; r++)
            for (uint32_t k = 0; is_in(dead, r) && k < known[r]; k++) {
                const bl_hdr *h = &order[r][k];
                if (!is_in(dead, h->source) || h->sent_in <= known[h->source]) continue;
                known[r] = k;
                again = 1;
            }
    }
}

/* Who goes back further than its incarnation began takes the end of the one before with it, whichever is heard of first. */
void bl_msglog_ended(bl_msglog *p, uint32_t rank, bl_interval at)
{
    uint32_t lowest = at.index;
    for (uint32_t i = at.incarnation + 1; i < p->incarnations; i++)
        if (*end_of(p, rank, i) < lowest) lowest = *end_of(p, rank, i);
    *end_of(p, rank, at.incarnation) = lowest;
    for (uint32_t i = 0; i < at.incarnation; i++) {
        uint32_t *before = end_of(p, rank, i);
        if (*before != UINT32_MAX && *before > lowest) *before = lowest;
    }
}

int bl_msglog_orphan(const bl_msglog *p, const bl_interval *vector)
{
    for (uint32_t r = 0; r < p->ranks; r++) {
        uint32_t end = *end_of(p, r, vector[r].incarnation);
        if (end != UINT32_MAX && vector[r].index > end) return 1;
    }
    return 0;
}

bl_interval bl_msglog_rollback(bl_msglog *p, const bl_interval *vector)
{
    bl_interval at = { p->vector[p->rank].incarnation, vector[p->rank].index };
    memmove(p->vector, vector, sizeof *vector * p->ranks);
    bl_msglog_ended(p, p->rank, at);
    p->vector[p->rank] = (bl_interval){ at.incarnation + 1, at.index };
    p->rsn = at.index;
    if (p->stable > p->rsn) p->stable = p->rsn;
    return at;
}
