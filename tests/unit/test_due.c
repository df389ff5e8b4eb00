/* Which safe points become checkpoints: the same on all ranks, whatever their clocks and speeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/due.h"

enum { RANKS = 5, POINTS = 4000 };
#define SECOND INT64_C(1000000000)

typedef struct world {
    bl_due due[RANKS];
    bl_ballot opened[RANKS];       /* what each rank put into the round that is open */
    int64_t now[RANKS];            /* every rank has a clock of its own */
    int64_t step[RANKS];           /* ns between its safe points */
    enum bl_wish asked[RANKS];
    enum bl_wish taken[POINTS];    /* what all ranks decided at each safe point */
    uint64_t state;                /* of the random numbers */
} world;

static uint64_t draw(world *w, uint64_t below)
{
    w->state = w->state * 6364136223846793005u + 1442695040888963407u;
    return (w->state >> 33) % below;
}

static bl_ballot reduce(const world *w)
{
    bl_ballot all = w->opened[0];
    for (int r = 1; r < RANKS; r++) {
        const bl_ballot *b = &w->opened[r];
        if (b->wish > all.wish) all.wish = b->wish;
        if (b->step_ns > all.step_ns) all.step_ns = b->step_ns;
        if (b->period_ns > all.period_ns) all.period_ns = b->period_ns;
    }
    return all;
}

static void start(world *w, uint64_t seed, enum bl_due_kind kind, uint64_t points, double period_s, double mtbf_s,
                  uint64_t first, int resumed)
{
    memset(w, 0, sizeof *w);
    w->state = seed;
    for (int r = 0; r < RANKS; r++) {
        w->now[r] = (int64_t)draw(w, 1000) * SECOND;
        w->step[r] = 1000000;
        bl_due_init(&w->due[r], kind, points, period_s, mtbf_s, first, resumed, w->now[r]);
    }
}

/* One safe point on all ranks; a checkpoint there costs `cost_ns`.  Asserts that all decide alike. */
static enum bl_wish pass(world *w, uint64_t at, int64_t cost_ns)
{
    enum bl_wish here[RANKS];
    if (at < w->due[0].next) return BL_WISH_NONE;
    int closes = bl_due_closes(&w->due[0], at);
    if (closes) assert_true(w->due[0].round_opened < at);
    bl_ballot outcome = reduce(w);
    for (int r = 0; r < RANKS; r++) {
        bl_ballot mine;
        assert_int_equal(bl_due_closes(&w->due[r], at), closes);
        here[r] = bl_due_at(&w->due[r], at, w->now[r], closes ? &outcome : NULL, w->asked[r], &mine);
        assert_int_equal(here[r], here[0]);
        if (w->due[r].round_opened == at) w->opened[r] = mine;
        if (here[r] == BL_WISH_NONE) continue;
        w->now[r] += cost_ns;
        bl_due_done(&w->due[r], w->now[r], (double)cost_ns * 1e-9, 1);
    }
    for (int r = 0; r < RANKS; r++) {
        assert_true(w->due[r].next > at);
        assert_true(w->due[r].next == w->due[0].next);
        assert_true(w->due[r].round_closes == w->due[0].round_closes);
        assert_true(w->due[r].round_closes - w->due[r].round_opened <= BL_DUE_ROUND_POINTS);
    }
    return here[0];
}

static unsigned go(world *w, uint64_t from, uint64_t to, int64_t cost_ns, int jitter)
{
    unsigned taken = 0;
    for (uint64_t at = from; at < to; at++) {
        w->taken[at] = pass(w, at, cost_ns);
        taken += w->taken[at] != BL_WISH_NONE;
        for (int r = 0; r < RANKS; r++) w->now[r] += w->step[r] + (jitter ? (int64_t)draw(w, (uint64_t)w->step[r]) : 0);
    }
    return taken;
}

static void optimum_is_dalys(void **state)
{
    (void)state;
    assert_float_equal((float)bl_due_optimum(300, 3600), 1276.5f, 0.1f);
    assert_float_equal((float)bl_due_optimum(1, 86400), 414.7f, 1.0f);
    for (double cost = 1e-4; cost < 1e5; cost *= 1.7) {
        double optimum = bl_due_optimum(cost, 3600);
        assert_true(optimum > 0);
        assert_true(cost >= 7200 ? optimum == 3600 : optimum >= cost);
    }
}

static void every_n_safe_points_and_no_other(void **state)
{
    (void)state;
    static world w;
    start(&w, 1, BL_DUE_POINTS, 7, 0, 0, 0, 0);
    go(&w, 0, POINTS, 0, 1);
    for (uint64_t at = 0; at < POINTS; at++) assert_int_equal(w.taken[at] != BL_WISH_NONE, at > 0 && at % 7 == 0);
}

static void the_safe_point_resumed_from_is_not_saved_again(void **state)
{
    (void)state;
    static world w;
    start(&w, 2, BL_DUE_POINTS, 10, 0, 0, 40, 1);
    go(&w, 40, 61, 0, 0);
    assert_int_equal(w.taken[40], BL_WISH_NONE);
    assert_int_equal(w.taken[50], BL_WISH_CHECKPOINT);
    assert_int_equal(w.taken[60], BL_WISH_CHECKPOINT);
}

static void never_is_never_unless_asked(void **state)
{
    (void)state;
    static world w;
    start(&w, 3, BL_DUE_NEVER, 0, 0, 0, 0, 0);
    assert_int_equal(go(&w, 0, 2000, 0, 1), 0);
    w.asked[3] = BL_WISH_STOP;
    assert_true(go(&w, 2000, POINTS, 0, 1) > 0);
}

/* One rank is asked; all stop at the same safe point, soon. */
static void a_request_of_one_rank_stops_all(void **state)
{
    (void)state;
    static const enum bl_due_kind kinds[] = { BL_DUE_NEVER, BL_DUE_POINTS, BL_DUE_SECONDS, BL_DUE_AUTO };
    static world w;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        start(&w, 4 + k, kinds[k], 1000000, 1e6, 1e9, 0, 0);
        assert_int_equal(go(&w, 0, 500, 0, 1), 0);
        w.asked[2] = BL_WISH_STOP;
        uint64_t at = 500;
        while (at < POINTS && !go(&w, at, at + 1, 0, 1)) at++;
        assert_true(at < 500 + 2 * BL_DUE_ROUND_POINTS);
        assert_int_equal(w.taken[at], BL_WISH_STOP);
    }
}

/* Safe points of 10 ms, so a round is two of them: a period of a second is kept within a few. */
static void a_period_is_kept(void **state)
{
    (void)state;
    static world w;
    start(&w, 9, BL_DUE_SECONDS, 0, 1.0, 0, 0, 0);
    for (int r = 0; r < RANKS; r++) w.step[r] = 10000000;
    unsigned taken = go(&w, 0, POINTS, 0, 0);
    assert_in_range(taken, 37, 41);
    uint64_t last = 0;
    for (uint64_t at = 0; at < POINTS; at++) {
        if (w.taken[at] == BL_WISH_NONE) continue;
        assert_in_range(at - last, 95, 107);
        last = at;
    }
}

/* After the first checkpoint its cost, 0.5 s here, sets the period: the optimum, not the first period. */
static void auto_goes_to_the_optimum(void **state)
{
    (void)state;
    static world w;
    start(&w, 10, BL_DUE_AUTO, 0, 0, 100, 0, 0);
    for (int r = 0; r < RANKS; r++) w.step[r] = SECOND / 10;
    go(&w, 0, POINTS, SECOND / 2, 0);
    uint64_t first = 0, last = 0;
    for (uint64_t at = 0; at < POINTS; at++) {
        if (w.taken[at] == BL_WISH_NONE) continue;
        if (!first) {
            first = at;
            assert_in_range(at, 590, 610);
        } else {
            double optimum = bl_due_optimum(0.5, 100);
            assert_in_range(at - last, (uint64_t)(optimum * 10) - 12, (uint64_t)(optimum * 10) + 12);
        }
        last = at;
    }
    assert_true(last > first);
}

/* Ranks of very different speeds, whose speeds change, and requests out of the blue: pass() asserts that they agree. */
static void skewed_ranks_agree(void **state)
{
    (void)state;
    static world w;
    for (uint64_t seed = 100; seed < 200; seed++) {
        enum bl_due_kind kind = (enum bl_due_kind)(seed % 4);
        start(&w, seed, kind, 1 + seed % 13, 0.01 * (double)(seed % 29 + 1), 10.0 + (double)seed, 0, 0);
        for (uint64_t at = 0; at < POINTS; at += 100) {
            for (int r = 0; r < RANKS; r++) w.step[r] = 1 + (int64_t)draw(&w, draw(&w, 2) ? 1000 : 100000000);
            if (draw(&w, 20) == 0) w.asked[draw(&w, RANKS)] = BL_WISH_CHECKPOINT;
            go(&w, at, at + 100, (int64_t)draw(&w, SECOND), 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimum_is_dalys),
        cmocka_unit_test(every_n_safe_points_and_no_other),
        cmocka_unit_test(the_safe_point_resumed_from_is_not_saved_again),
        cmocka_unit_test(never_is_never_unless_asked),
        cmocka_unit_test(a_request_of_one_rank_stops_all),
        cmocka_unit_test(a_period_is_kept),
        cmocka_unit_test(auto_goes_to_the_optimum),
        cmocka_unit_test(skewed_ranks_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
