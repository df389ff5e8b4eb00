/* Message logging, the rules one by one; tests/sim/sim_msglog.c runs them together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "line/intervals.h"
#include "protocol/msglog.h"

enum { RANKS = 3, LIVES = 4, COPIES = 8 };

static bl_interval vector[RANKS];
static uint32_t end[RANKS * LIVES];
static bl_copy copy[COPIES];

static bl_msglog make(enum bl_msglog_rule rule, uint32_t rank, uint32_t f)
{
    bl_msglog p = { .vector = vector, .end = end, .incarnations = LIVES, .copy = copy, .room = COPIES };
    bl_msglog_start(&p, rule, rank, RANKS, f);
    return p;
}

static void pessimistic_sends_wait(void **state)
{
    (void)state;
    bl_msglog p = make(BL_MSGLOG_PESSIMISTIC, 0, 1);
    assert_false(bl_msglog_must_wait(&p));
    bl_hdr h = bl_msglog_deliver(&p, 1, 7, 3, NULL, NULL, 0);
    assert_int_equal(h.source, 1);
    assert_int_equal(h.ssn, 7);
    assert_int_equal(h.dest, 0);
    assert_int_equal(h.rsn, 1);
    assert_int_equal(h.sent_in, 3);
    assert_true(bl_msglog_must_wait(&p));
    bl_msglog_stable(&p, 1, 1); /* another's */
    assert_true(bl_msglog_must_wait(&p));
    bl_msglog_stable(&p, 0, 1);
    assert_false(bl_msglog_must_wait(&p));
}

static void causal_carries_until_enough_hold_it(void **state)
{
    (void)state;
    bl_msglog p = make(BL_MSGLOG_CAUSAL, 0, 1);
    bl_copy carried[COPIES];
    bl_hdr h = bl_msglog_deliver(&p, 1, 1, 0, NULL, NULL, 0);
    assert_int_equal(bl_msglog_carry(&p, 2, carried), 1);
    assert_int_equal(carried[0].hdr.rsn, 1);
    bl_msglog_holds(&p, &h, 2);
    assert_int_equal(bl_msglog_carry(&p, 1, carried), 0); /* two of three hold it: one may die */
    bl_msglog_died(&p, 2);
    assert_int_equal(bl_msglog_carry(&p, 1, carried), 1);
    bl_msglog_stable(&p, 0, 1);
    assert_int_equal(bl_msglog_carry(&p, 1, carried), 0);
    assert_int_equal(p.copies, 0);
}

static void causal_says_when_there_is_no_room(void **state)
{
    (void)state;
    bl_msglog p = make(BL_MSGLOG_CAUSAL, 0, 1);
    for (uint32_t k = 1; k <= COPIES; k++) assert_int_equal(bl_msglog_deliver(&p, 1, k, 0, NULL, NULL, 0).rsn, k);
    assert_int_equal(bl_msglog_deliver(&p, 1, COPIES + 1, 0, NULL, NULL, 0).rsn, UINT32_MAX);
}

static void what_can_be_made_again(void **state)
{
    (void)state;
    const bl_hdr zero[] = { { 2, 1, 0, 1, 0 }, { 1, 1, 0, 2, 2 } };  /* the second needs two deliveries of rank 1 */
    const bl_hdr one[] = { { 2, 1, 1, 1, 5 }, { 0, 1, 1, 2, 1 } };
    const bl_hdr *const order[RANKS] = { zero, one, NULL };
    uint32_t known[RANKS] = { 2, 2, 0 };
    bl_msglog_possible(RANKS, 3, order, known);
    assert_int_equal(known[0], 2);
    assert_int_equal(known[1], 2);
    known[1] = 1; /* the determinant of its second is lost: then rank 0's second has no message */
    bl_msglog_possible(RANKS, 3, order, known);
    assert_int_equal(known[0], 1);
    assert_int_equal(known[1], 1);
}

static void optimistic_orphans(void **state)
{
    (void)state;
    bl_msglog p = make(BL_MSGLOG_OPTIMISTIC, 0, 1);
    const bl_interval sent[RANKS] = { { 0, 0 }, { 0, 5 }, { 0, 0 } }, later[RANKS] = { { 0, 0 }, { 1, 4 }, { 0, 0 } };
    bl_interval before[RANKS];
    memcpy(before, vector, sizeof before);
    assert_int_equal(bl_msglog_accept(&p, sent), BL_MSGLOG_DELIVER);
    bl_msglog_deliver(&p, 1, 1, 5, sent, NULL, 0);
    assert_int_equal(bl_msglog_accept(&p, later), BL_MSGLOG_WAIT); /* how did rank 1's first life end? */
    bl_msglog_ended(&p, 1, (bl_interval){ 0, 3 });
    assert_int_equal(bl_msglog_accept(&p, sent), BL_MSGLOG_DISCARD);
    assert_int_equal(bl_msglog_accept(&p, later), BL_MSGLOG_DELIVER);
    assert_true(bl_msglog_orphan(&p, vector));
    bl_interval gone = bl_msglog_rollback(&p, before);
    assert_int_equal(gone.incarnation, 0);
    assert_int_equal(gone.index, 0);
    assert_int_equal(p.rsn, 0);
    assert_int_equal(vector[0].incarnation, 1);
    assert_false(bl_msglog_orphan(&p, vector));
}

/* Who goes back further than a life began has ended the one before earlier too, in whatever order that is heard. */
static void an_end_reaches_back(void **state)
{
    (void)state;
    const bl_interval six[RANKS] = { { 0, 0 }, { 0, 6 }, { 0, 0 } }, four[RANKS] = { { 0, 0 }, { 0, 4 }, { 0, 0 } };
    for (int order = 0; order < 2; order++) {
        bl_msglog p = make(BL_MSGLOG_OPTIMISTIC, 0, 1);
        const bl_interval first = { 0, 7 }, second = { 1, 4 };
        bl_msglog_ended(&p, 1, order ? second : first);
        bl_msglog_ended(&p, 1, order ? first : second);
        assert_true(bl_msglog_orphan(&p, six));
        assert_false(bl_msglog_orphan(&p, four));
    }
}

/* --- all started again, against all combinations of what may be kept of each --- */

enum { STEPS = 6 };

static uint64_t random_state;

static uint32_t chance(uint32_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % below;
}

static bl_step steps_of[RANKS][STEPS];
static uint32_t count_of[RANKS];

/* What is decided is numbered on, from anything on: what is before it may be collected. */
static void make_steps(void)
{
    for (uint32_t r = 0; r < RANKS; r++) {
        uint32_t number = chance(3);
        count_of[r] = chance(STEPS + 1);
        for (uint32_t i = 0; i < count_of[r]; i++) {
            uint32_t kind = chance(3), other = (r + 1 + chance(RANKS - 1)) % RANKS;
            steps_of[r][i] = kind == 0 ? (bl_step){ BL_STEP_DECIDED, r, ++number }
                                       : (bl_step){ kind == 1 ? BL_STEP_NEEDS : BL_STEP_HOLDS, other, 1 + chance(STEPS) };
        }
    }
}

static int is_held(const uint32_t *kept, uint32_t rank, uint32_t number)
{
    for (uint32_t r = 0; r < RANKS; r++)
        for (uint32_t i = 0; i < kept[r]; i++)
            if (steps_of[r][i].kind == BL_STEP_HOLDS && steps_of[r][i].rank == rank && steps_of[r][i].number == number) return 1;
    return 0;
}

static uint32_t last_known(const uint32_t *kept, uint32_t rank)
{
    uint32_t known = 0;
    for (uint32_t i = 0; i < kept[rank]; i++)
        if (steps_of[rank][i].kind == BL_STEP_DECIDED) known = steps_of[rank][i].number;
    while (kept[rank] == count_of[rank] && is_held(kept, rank, known + 1)) known++;
    return known;
}

static int is_consistent(const uint32_t *kept)
{
    for (uint32_t r = 0; r < RANKS; r++)
        for (uint32_t i = 0; i < kept[r]; i++)
            if (steps_of[r][i].kind == BL_STEP_NEEDS && steps_of[r][i].number > last_known(kept, steps_of[r][i].rank)) return 0;
    return 1;
}

static void the_greatest_that_can_be_made_again(void **state)
{
    const bl_step *steps[RANKS] = { steps_of[0], steps_of[1], steps_of[2] };
    uint32_t undone = 0;
    (void)state;
    for (random_state = 1; random_state < 20001; random_state++) {
        uint64_t seed = random_state;
        uint32_t good[RANKS], known[RANKS], best[RANKS] = { 0, 0, 0 }, kept[RANKS];
        make_steps();
        bl_line_intervals(RANKS, steps, count_of, known, good);
        for (kept[0] = 0; kept[0] <= count_of[0]; kept[0]++)
            for (kept[1] = 0; kept[1] <= count_of[1]; kept[1]++)
                for (kept[2] = 0; kept[2] <= count_of[2]; kept[2]++)
                    for (uint32_t r = 0, is = (uint32_t)is_consistent(kept); is && r < RANKS; r++)
                        if (kept[r] > best[r]) best[r] = kept[r];
        assert_true(is_consistent(good));
        for (uint32_t r = 0; r < RANKS; r++) {
            assert_int_equal(good[r], best[r]);
            assert_int_equal(known[r], last_known(good, r));
            undone += good[r] < count_of[r];
        }
        random_state = seed;
    }
    assert_true(undone > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pessimistic_sends_wait), cmocka_unit_test(causal_carries_until_enough_hold_it),
        cmocka_unit_test(causal_says_when_there_is_no_room), cmocka_unit_test(what_can_be_made_again),
        cmocka_unit_test(optimistic_orphans), cmocka_unit_test(an_end_reaches_back),
        cmocka_unit_test(the_greatest_that_can_be_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
