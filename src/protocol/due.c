#include "protocol/due.h"

#include <math.h>
#include <string.h>

double bl_due_optimum(double cost_s, double mtbf_s)
{
    if (cost_s >= 2 * mtbf_s) return mtbf_s;
    double half = cost_s / (2 * mtbf_s);
    double tau = sqrt(2 * cost_s * mtbf_s) * (1 + sqrt(half) / 3 + half / 9) - cost_s;
    return tau > cost_s ? tau : cost_s;
}

static uint64_t next_multiple(uint64_t points, uint64_t after)
{
    return (after / points + 1) * points;
}

void bl_due_init(bl_due *due, enum bl_due_kind kind, uint64_t points, double period_s, double mtbf_s, uint64_t first,
                 int resumed, int64_t now_ns)
{
    memset(due, 0, sizeof *due);
    due->kind = kind;
    due->points = points ? points : 1;
    due->period_s = kind == BL_DUE_AUTO ? BL_DUE_FIRST_S : period_s;
    due->wanted_s = due->period_s;
    due->mtbf_s = mtbf_s;
    due->next = first;
    /* Safe point 0 is the start itself: saving it would save nothing. */
    due->resumed_at = resumed || first == 0 ? first : UINT64_MAX;
    due->opened_ns = due->checkpoint_ns = now_ns;
    due->round_opened = first;
}

int bl_due_closes(const bl_due *due, uint64_t safe_point)
{
    return due->round_open && safe_point == due->round_closes;
}

/* How many safe points the next round spans.  Every rank computes it from the same outcome, so all agree. */
static uint64_t round_length(const bl_ballot *outcome)
{
    if (!outcome || outcome->step_ns <= 0) return 1;
    double points = BL_DUE_ROUND_S * 1e9 / (double)outcome->step_ns;
    if (points < 1) return 1;
    return points > BL_DUE_ROUND_POINTS ? BL_DUE_ROUND_POINTS : (uint64_t)points;
}

static int timed(const bl_due *due)
{
    return due->kind == BL_DUE_SECONDS || due->kind == BL_DUE_AUTO;
}

static void fill_ballot(const bl_due *due, uint64_t safe_point, int64_t now_ns, enum bl_wish asked, bl_ballot *ballot)
{
    uint64_t passed = safe_point - due->round_opened;
    ballot->step_ns = passed ? (now_ns - due->opened_ns) / (int64_t)passed : 0;
    ballot->period_ns = due->kind == BL_DUE_AUTO ? (int64_t)(due->wanted_s * 1e9) : 0;
    ballot->wish = asked;
    /* The round will close about one round later: wish for it now if it will be due by the middle of that. */
    double elapsed_s = (double)(now_ns - due->checkpoint_ns) * 1e-9;
    if (timed(due) && ballot->wish < BL_WISH_CHECKPOINT && elapsed_s + BL_DUE_ROUND_S / 2 >= due->period_s)
        ballot->wish = BL_WISH_CHECKPOINT;
}

enum bl_wish bl_due_at(bl_due *due, uint64_t safe_point, int64_t now_ns, const bl_ballot *outcome, enum bl_wish asked,
                       bl_ballot *ballot)
{
    enum bl_wish here = BL_WISH_NONE;
    if (outcome) {
        here = outcome->wish >= BL_WISH_STOP         ? BL_WISH_STOP
               : outcome->wish == BL_WISH_CHECKPOINT ? BL_WISH_CHECKPOINT
                                                     : BL_WISH_NONE;
        if (due->kind == BL_DUE_AUTO && outcome->period_ns > 0) due->period_s = (double)outcome->period_ns * 1e-9;
        due->round_open = 0;
    }
    if (due->kind == BL_DUE_POINTS && safe_point % due->points == 0 && here == BL_WISH_NONE) here = BL_WISH_CHECKPOINT;
    /* What the checkpoint restored from holds already is not saved again; a request to stop is honoured all the same. */
    if (safe_point == due->resumed_at && here == BL_WISH_CHECKPOINT) here = BL_WISH_NONE;

    ballot->wish = BL_WISH_NONE;
    if (!due->round_open) {
        fill_ballot(due, safe_point, now_ns, asked, ballot);
        due->round_open = 1;
        due->round_closes = safe_point + round_length(outcome);
        due->round_opened = safe_point;
        due->opened_ns = now_ns;
        /* A checkpoint taken here serves the wish that would otherwise be carried into the round opened here. */
        if (here != BL_WISH_NONE && ballot->wish == BL_WISH_CHECKPOINT) ballot->wish = BL_WISH_NONE;
    }
    due->next = due->round_closes;
    if (due->kind == BL_DUE_POINTS) {
        uint64_t multiple = next_multiple(due->points, safe_point);
        if (multiple < due->next) due->next = multiple;
    }
    return here;
}

void bl_due_done(bl_due *due, int64_t now_ns, double held_s, int committed)
{
    due->checkpoint_ns = now_ns;
    due->opened_ns += (int64_t)(held_s * 1e9); /* the time of a step is not the time of a checkpoint */
    if (due->kind == BL_DUE_AUTO && committed) due->wanted_s = bl_due_optimum(held_s, due->mtbf_s);
}
