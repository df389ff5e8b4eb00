/* The rules of communication-induced checkpointing, one message at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/induced.h"

enum { RANKS = 3 };

static void every_rule_forces_the_checkpoint_that_breaks_a_zigzag(void **unused)
{
    (void)unused;
    /* G4: rank 1 sends x, rank 0 receives it, checkpoints, and sends y; with x sent in its interval, rank 1 may not take y. */
    const bl_induced_event event[] = {{BL_INDUCED_SEND, 1, 0, 0}, {BL_INDUCED_RECEIVE, 0, 0, 0}, {BL_INDUCED_CHECKPOINT, 0, 0, 0},
                                      {BL_INDUCED_SEND, 0, 1, 1}, {BL_INDUCED_RECEIVE, 1, 0, 1}, {BL_INDUCED_CHECKPOINT, 1, 0, 0}};
    for (int rule = 0; rule < BL_INDUCED_RULES; rule++) {
        uint32_t words[64], interval[6], forced[2], last[2];
        assert_true(bl_induced_run_words((enum bl_induced_rule)rule, 2, 2) <= 64);
        uint64_t all = bl_induced_run((enum bl_induced_rule)rule, 2, event, 6, words, interval, forced, last);
        int forces = rule != BL_INDUCED_NONE;
        assert_int_equal(all, forces);
        assert_int_equal(forced[1], forces);
        assert_int_equal(last[0], 1);
        assert_int_equal(last[1], 1 + forces);
        assert_int_equal(interval[3], 2);
        assert_int_equal(interval[4], 1 + forces);
        assert_int_equal(interval[5], 1 + forces);
    }
}

static void bcs_forces_for_a_higher_index_and_takes_it(void **unused)
{
    (void)unused;
    bl_induced a, b;
    uint32_t message[1];
    bl_induced_start(&a, BL_INDUCED_BCS, 0, RANKS, NULL);
    bl_induced_start(&b, BL_INDUCED_BCS, 1, RANKS, NULL);
    bl_induced_send(&a, 1, message);
    assert_int_equal(bl_induced_receive(&b, message), 0);
    bl_induced_checkpoint(&a);
    bl_induced_checkpoint(&a);
    bl_induced_send(&a, 1, message);
    assert_int_equal(bl_induced_receive(&b, message), 1);
    assert_int_equal(b.index, a.index);
    assert_int_equal(bl_induced_receive(&b, message), 0);
}

static void fdas_forces_only_after_a_send(void **unused)
{
    (void)unused;
    bl_induced a, b;
    uint32_t of_a[RANKS], of_b[RANKS], message[RANKS], other[RANKS];
    bl_induced_start(&a, BL_INDUCED_FDAS, 0, RANKS, of_a);
    bl_induced_start(&b, BL_INDUCED_FDAS, 1, RANKS, of_b);
    bl_induced_send(&a, 1, message);
    assert_int_equal(bl_induced_receive(&b, message), 0);
    bl_induced_send(&b, 2, other);
    assert_int_equal(bl_induced_receive(&b, message), 0); /* no news */
    bl_induced_checkpoint(&a);
    bl_induced_send(&a, 1, message);
    assert_int_equal(bl_induced_receive(&b, message), 1);
}

static void a_safe_point_can_be_saved_until_something_is_sent(void **unused)
{
    (void)unused;
    bl_induced_points p;
    bl_induced_points_start(&p);
    uint32_t first = bl_induced_points_send(&p);
    assert_int_equal(bl_induced_points_receive(&p, first, 0), BL_INDUCED_DELIVER);
    assert_int_equal(bl_induced_points_receive(&p, first + 1, 0), BL_INDUCED_REFUSE);
    bl_induced_points_safe(&p, 0);
    assert_int_equal(bl_induced_points_receive(&p, first + 1, 0), BL_INDUCED_PROMOTE);
    assert_int_equal(bl_induced_points_receive(&p, first + 1, 0), BL_INDUCED_DELIVER);
    assert_int_equal(bl_induced_points_send(&p), first + 1);
    assert_int_equal(bl_induced_points_receive(&p, first + 2, 1), BL_INDUCED_NOW);
    assert_int_equal(bl_induced_points_receive(&p, first + 3, 0), BL_INDUCED_PROMOTE);
    bl_induced_points_safe(&p, 1);
    assert_int_equal(bl_induced_points_send(&p), first + 4);
}

static void what_was_refused_is_made_up_for_at_the_next_safe_point(void **unused)
{
    (void)unused;
    bl_induced_points p;
    bl_induced_points_start(&p);
    uint32_t first = bl_induced_points_send(&p);
    assert_int_equal(bl_induced_points_receive(&p, first + 2, 0), BL_INDUCED_REFUSE);
    bl_induced_points_safe(&p, 0);
    assert_int_equal(bl_induced_points_known(&p, first + 2), 1);
    assert_int_equal(bl_induced_points_known(&p, first + 2), 0);
    assert_int_equal(bl_induced_points_send(&p), first + 2);
    assert_int_equal(bl_induced_points_receive(&p, first + 4, 0), BL_INDUCED_REFUSE);
    bl_induced_points_safe(&p, 1); /* a basic one, at first + 3: its index rises */
    assert_int_equal(bl_induced_points_known(&p, first + 4), 1);
    assert_int_equal(bl_induced_points_send(&p), first + 4);
}

static void a_collective_is_received_and_sent(void **unused)
{
    (void)unused;
    bl_induced_points p;
    bl_induced_points_start(&p);
    uint32_t first = p.index;
    assert_int_equal(bl_induced_points_collective(&p, first), BL_INDUCED_DELIVER);
    assert_int_equal(bl_induced_points_receive(&p, first + 1, 0), BL_INDUCED_REFUSE);
    bl_induced_points_safe(&p, 0);
    assert_int_equal(bl_induced_points_collective(&p, first + 1), BL_INDUCED_PROMOTE);
    assert_int_equal(bl_induced_points_collective(&p, first + 2), BL_INDUCED_REFUSE);
    assert_int_equal(p.index, first + 1);
}

static void what_crosses_a_line_is_late(void **unused)
{
    (void)unused;
    bl_induced_points p;
    bl_induced_points_resume(&p, 5);
    assert_false(bl_induced_points_late(&p, 5));
    assert_true(bl_induced_points_late(&p, 4));
    assert_int_equal(bl_induced_points_receive(&p, 6, 0), BL_INDUCED_PROMOTE);
    assert_true(bl_induced_points_late(&p, 5)); /* of what was delivered since the promoted state */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_forces_the_checkpoint_that_breaks_a_zigzag),
        cmocka_unit_test(bcs_forces_for_a_higher_index_and_takes_it),
        cmocka_unit_test(fdas_forces_only_after_a_send),
        cmocka_unit_test(a_safe_point_can_be_saved_until_something_is_sent),
        cmocka_unit_test(what_was_refused_is_made_up_for_at_the_next_safe_point),
        cmocka_unit_test(a_collective_is_received_and_sent),
        cmocka_unit_test(what_crosses_a_line_is_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
