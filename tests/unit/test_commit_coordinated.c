/* test_commit_coordinated.c - what the verification of a cut finds, and what it makes of the commit machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/coordinated.h"

enum { N = 3, SELF = 1, COORDINATOR = 0 };

struct fixture {
    uint64_t received[N];
    bl_report mine[N], theirs[N];
    bl_view view;
    bl_commit m;
    uint8_t seen[N];
    bl_violation violation[8];
    bl_commit_actions out;
    size_t count;
};

/* A transitless cut: 5 messages a channel, the same collectives everywhere. */
static void make(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    f->view = (bl_view){ SELF, N, f->received, f->mine, f->theirs };
    bl_commit_init(&f->m, SELF, N, COORDINATOR, 1, 0, f->seen);
    for (uint32_t peer = 0; peer < N; peer++) {
        f->received[peer] = 5;
        f->theirs[peer].sent = 5;
        f->mine[peer].collectives = f->theirs[peer].collectives = bl_report_mix(1, 7);
    }
}

static void exchanged(struct fixture *f)
{
    assert_int_equal(bl_coordinated_exchanged(&f->m, &f->view, f->violation, 8, &f->count, &f->out, NULL), BELAY_OK);
}

static void expect_one(struct fixture *f, enum bl_violation_kind kind, uint32_t peer, uint64_t count, const char *sentence)
{
    bl_error text;

    assert_int_equal(bl_coordinated_verify(&f->view, f->violation, 8), 1);
    assert_int_equal(f->violation[0].kind, kind);
    assert_int_equal(f->violation[0].peer, peer);
    assert_int_equal(f->violation[0].count, count);
    bl_violation_text(&f->violation[0], SELF, &text);
    assert_string_equal(text.text, sentence);
}

static void equal_counts_are_transitless_and_begin_the_snapshot(void **unused)
{
    struct fixture f;

    (void)unused;
    make(&f);
    exchanged(&f);
    assert_int_equal(f.count, 0);
    assert_int_equal(bl_coordinated_phase(&f.m), BL_PHASE_SNAPSHOT);
    assert_int_equal(f.out.action[f.out.count - 1].type, BL_ACTION_TAKE_SNAPSHOT);
}

static void a_message_not_yet_received_is_in_transit(void **unused)
{
    struct fixture f;

    (void)unused;
    make(&f);
    f.theirs[2].sent = 8;
    expect_one(&f, BL_VIOLATION_IN_TRANSIT, 2, 3, "3 messages from rank 2 to rank 1 in transit");
    f.theirs[2].sent = 6;
    expect_one(&f, BL_VIOLATION_IN_TRANSIT, 2, 1, "1 message from rank 2 to rank 1 in transit");
}

static void a_message_of_a_rank_to_itself_counts(void **unused)
{
    struct fixture f;

    (void)unused;
    make(&f);
    f.received[SELF] = 4;
    expect_one(&f, BL_VIOLATION_IN_TRANSIT, SELF, 1, "1 message from rank 1 to rank 1 in transit");
}

static void a_message_from_after_the_cut_is_an_orphan(void **unused)
{
    struct fixture f;

    (void)unused;
    make(&f);
    f.received[0] = 7;
    expect_one(&f, BL_VIOLATION_ORPHAN, 0, 2, "rank 1 has received 2 messages that rank 0 sent after its safe point");
}

static void obstacles_of_a_peer_and_of_oneself_forbid_the_snapshot(void **unused)
{
    struct fixture f;

    (void)unused;
    make(&f);
    f.theirs[0].obstacles = 1;
    expect_one(&f, BL_VIOLATION_OBSTACLE, 0, 1, "rank 0 has 1 outstanding request");
    f.theirs[0].obstacles = 0;
    f.theirs[SELF].obstacles = 2;
    expect_one(&f, BL_VIOLATION_OBSTACLE, SELF, 2, "rank 1 has 2 outstanding requests");
}

static void different_collectives_are_found_and_their_order_does_not_matter(void **unused)
{
    struct fixture f;

    (void)unused;
    make(&f);
    f.mine[2].collectives = bl_report_mix(1, 7) + bl_report_mix(2, 3);
    f.theirs[2].collectives = bl_report_mix(2, 3) + bl_report_mix(1, 7);
    assert_int_equal(bl_coordinated_verify(&f.view, f.violation, 8), 0);
    f.theirs[2].collectives = bl_report_mix(2, 7) + bl_report_mix(1, 3);
    expect_one(&f, BL_VIOLATION_COLLECTIVE, 2, 0, "rank 1 and rank 2 have not started the same collectives");
}

static void all_violations_are_counted_and_the_first_are_listed(void **unused)
{
    struct fixture f;

    (void)unused;
    make(&f);
    for (uint32_t peer = 0; peer < N; peer++)
        f.theirs[peer].sent = 9;
    f.violation[2].count = 77;
    assert_int_equal(bl_coordinated_verify(&f.view, f.violation, 2), 3);
    assert_int_equal(f.violation[1].peer, 1);
    assert_int_equal(f.violation[2].count, 77);
    assert_int_equal(bl_coordinated_verify(&f.view, NULL, 0), 3);
}

static void a_violation_makes_the_rank_vote_no_and_leave(void **unused)
{
    struct fixture f;

    (void)unused;
    make(&f);
    f.theirs[2].sent = 8;
    exchanged(&f);
    assert_int_equal(f.count, 1);
    assert_int_equal(bl_coordinated_phase(&f.m), BL_PHASE_DONE);
    assert_int_equal(f.out.action[0].kind, BL_KIND_VOTE_NO);
    assert_int_equal(bl_commit_outcome(&f.m), BL_OUTCOME_ABORTED);
}

static void an_exchange_that_ends_after_an_abort_changes_nothing(void **unused)
{
    struct fixture f;

    (void)unused;
    make(&f);
    f.m.state = BL_STATE_ABORTED;
    exchanged(&f);
    assert_int_equal(f.out.count, 0);
    assert_int_equal(bl_coordinated_phase(&f.m), BL_PHASE_DONE);
}

static void a_message_seen_while_waiting_refuses_before_the_vote_and_not_after(void **unused)
{
    static const struct { enum bl_commit_state state, next; } cases[] = {
        { BL_STATE_INIT, BL_STATE_ABORTED },   { BL_STATE_SAVING, BL_STATE_ABORTED },
        { BL_STATE_WAIT, BL_STATE_WAIT },      { BL_STATE_DECIDING, BL_STATE_DECIDING },
        { BL_STATE_READY, BL_STATE_READY },    { BL_STATE_ASKING, BL_STATE_ASKING },
        { BL_STATE_READING, BL_STATE_READING },{ BL_STATE_FORCING, BL_STATE_FORCING },
        { BL_STATE_ABORTED, BL_STATE_ABORTED },{ BL_STATE_COMMITTED, BL_STATE_COMMITTED },
    };
    struct fixture f;

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make(&f);
        f.m.state = cases[i].state;
        assert_int_equal(bl_coordinated_in_transit(&f.m, &f.out, NULL), BELAY_OK);
        assert_int_equal(f.m.state, cases[i].next);
        assert_int_equal(f.out.count > 0, cases[i].state != cases[i].next);
    }
}

static void each_state_belongs_to_one_phase(void **unused)
{
    static const enum bl_phase phase[BL_STATES] = {
        [BL_STATE_INIT] = BL_PHASE_ALIGN,      [BL_STATE_SAVING] = BL_PHASE_SNAPSHOT,
        [BL_STATE_WAIT] = BL_PHASE_VOTING,     [BL_STATE_DECIDING] = BL_PHASE_VOTING,
        [BL_STATE_READY] = BL_PHASE_VOTING,    [BL_STATE_ASKING] = BL_PHASE_VOTING,
        [BL_STATE_READING] = BL_PHASE_VOTING,  [BL_STATE_FORCING] = BL_PHASE_VOTING,
        [BL_STATE_COMMITTED] = BL_PHASE_DONE,  [BL_STATE_ABORTED] = BL_PHASE_DONE,
        [BL_STATE_LOST] = BL_PHASE_DONE,
    };
    struct fixture f;

    (void)unused;
    make(&f);
    for (int state = 0; state < BL_STATES; state++) {
        f.m.state = (enum bl_commit_state)state;
        assert_int_equal(bl_coordinated_phase(&f.m), phase[state]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_counts_are_transitless_and_begin_the_snapshot),
        cmocka_unit_test(a_message_not_yet_received_is_in_transit),
        cmocka_unit_test(a_message_of_a_rank_to_itself_counts),
        cmocka_unit_test(a_message_from_after_the_cut_is_an_orphan),
        cmocka_unit_test(obstacles_of_a_peer_and_of_oneself_forbid_the_snapshot),
        cmocka_unit_test(different_collectives_are_found_and_their_order_does_not_matter),
        cmocka_unit_test(all_violations_are_counted_and_the_first_are_listed),
        cmocka_unit_test(a_violation_makes_the_rank_vote_no_and_leave),
        cmocka_unit_test(an_exchange_that_ends_after_an_abort_changes_nothing),
        cmocka_unit_test(a_message_seen_while_waiting_refuses_before_the_vote_and_not_after),
        cmocka_unit_test(each_state_belongs_to_one_phase),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
