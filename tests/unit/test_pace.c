/* When a rank that checkpoints on its own does so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "protocol/pace.h"

#define SECOND INT64_C(1000000000)

typedef struct walk { uint64_t looks, taken, first, last; double mean_s; } walk;

/* Passes `points` safe points, `step_ns` apart, looking only where the pace asks for it. */
static walk pass(bl_pace *p, uint64_t from, uint64_t points, int64_t step_ns, int64_t held_ns)
{
    walk w = { 0, 0, 0, 0, 0 };
    int64_t now = 0, last_ns = 0;
    for (uint64_t s = from; s < from + points; s++, now += step_ns) {
        if (s < p->next) continue;
        w.looks++;
        if (!bl_pace_at(p, s, now, 0)) continue;
        if (!w.taken++) w.first = s;
        w.mean_s += (double)(now - last_ns) * 1e-9;
        w.last = s;
        last_ns = now += held_ns;
        bl_pace_done(p, s, now, (double)held_ns * 1e-9);
    }
    w.mean_s /= w.taken ? (double)w.taken : 1;
    return w;
}

static void every_so_many_points_exactly(void **state)
{
    (void)state;
    const uint64_t firsts[] = { 0, 3, 7, 1000000 };
    for (unsigned i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        bl_pace p;
        uint64_t due = 0;
        bl_pace_init(&p, BL_DUE_POINTS, 7, 0, 1, 0, 1, firsts[i], 0, 0);
        for (uint64_t s = firsts[i]; s < firsts[i] + 5000; s++) {
            int here = s >= p.next && bl_pace_at(&p, s, (int64_t)s * 1000, 0);
            assert_int_equal(here, s > 0 && s % 7 == 0);
            if (here) bl_pace_done(&p, s, (int64_t)s * 1000, 0);
            due += (uint64_t)here;
        }
        assert_in_range(due, 714, 715);
    }
}

static void what_was_restored_is_not_saved_again(void **state)
{
    (void)state;
    bl_pace p;
    bl_pace_init(&p, BL_DUE_POINTS, 10, 0, 1, 0, 1, 30, 1, 0);
    assert_false(bl_pace_at(&p, 30, 0, 0));
    assert_int_equal(pass(&p, 31, 25, 1000, 0).first, 40);
}

static void a_refused_one_stays_due(void **state)
{
    (void)state;
    bl_pace p;
    bl_pace_init(&p, BL_DUE_POINTS, 10, 0, 1, 0, 1, 0, 0, 0);
    for (uint64_t s = 0; s < 10; s++)
        if (s >= p.next) assert_false(bl_pace_at(&p, s, (int64_t)s, 0));
    assert_true(bl_pace_at(&p, 10, 10, 0));
    assert_int_equal(p.next, 11);
    assert_true(bl_pace_at(&p, 11, 11, 0));
    bl_pace_done(&p, 11, 11, 0);
    assert_int_equal(pass(&p, 12, 20, 1, 0).first, 20);
}

static void by_time_with_few_looks(void **state)
{
    (void)state;
    bl_pace p;
    bl_pace_init(&p, BL_DUE_SECONDS, 0, 2.0, 1, 0, 1, 0, 0, 0);
    walk w = pass(&p, 0, 200000, 100000, SECOND / 10); /* 20 s of steps of 0.1 ms */
    assert_in_range(w.taken, 9, 10);
    assert_true(fabs(w.mean_s - 2.0) < 2 * BL_DUE_ROUND_S + 0.1);
    assert_in_range(w.looks, 700, 3000);
    bl_pace_init(&p, BL_DUE_SECONDS, 0, 2.0, 1, 0, 1, 0, 0, 0);
    w = pass(&p, 0, 10, 3 * SECOND, 0); /* slow steps: each is due */
    assert_int_equal(w.taken, 9);
}

static void never_means_only_when_asked(void **state)
{
    (void)state;
    bl_pace p;
    bl_pace_init(&p, BL_DUE_NEVER, 0, 0, 1, 0, 1, 0, 0, 0);
    assert_int_equal(pass(&p, 0, 100000, 1000000, 0).taken, 0);
    assert_true(bl_pace_at(&p, 100000, SECOND, 1));
}

static void jitter_spreads_the_ranks_and_keeps_the_mean(void **state)
{
    (void)state;
    uint64_t firsts = 0, total = 0;
    for (uint64_t seed = 1; seed <= 64; seed++) {
        bl_pace p;
        bl_pace_init(&p, BL_DUE_POINTS, 100, 0, 1, 0.2, seed, 0, 0, 0);
        walk w = pass(&p, 0, 10000, 1000000, 0);
        assert_in_range(w.first, 80, 121);
        firsts |= (uint64_t)1 << (w.first % 64);
        total += w.taken;
    }
    assert_in_range(__builtin_popcountll(firsts), 8, 64);
    assert_in_range(total, 64 * 96, 64 * 104);
    bl_pace a, b;
    bl_pace_init(&a, BL_DUE_SECONDS, 0, 1, 1, 0.5, 9, 0, 0, 0);
    bl_pace_init(&b, BL_DUE_SECONDS, 0, 1, 1, 0.5, 9, 0, 0, 0);
    assert_int_equal(a.due_ns, b.due_ns); /* the seed is all */
    assert_in_range(a.due_ns, SECOND / 2, 3 * SECOND / 2);
}

static void the_optimum_follows_the_measured_cost(void **state)
{
    (void)state;
    bl_pace p;
    bl_pace_init(&p, BL_DUE_AUTO, 0, 0, 86400, 0, 1, 0, 0, 0);
    walk w = pass(&p, 0, 100000, SECOND / 10, SECOND);
    assert_int_equal(w.first, 600); /* the first after BL_DUE_FIRST_S */
    assert_true(fabs(p.period_s - bl_due_optimum(1, 86400)) < 1e-9);
    assert_in_range(w.taken, 20, 28);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_so_many_points_exactly),      cmocka_unit_test(what_was_restored_is_not_saved_again),
        cmocka_unit_test(a_refused_one_stays_due),           cmocka_unit_test(by_time_with_few_looks),
        cmocka_unit_test(never_means_only_when_asked),       cmocka_unit_test(jitter_spreads_the_ranks_and_keeps_the_mean),
        cmocka_unit_test(the_optimum_follows_the_measured_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
