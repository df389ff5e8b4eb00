/* test_commit.c - every state with every input, as coordinator and as participant: either what is written here happens,
 * or the machine says that it cannot be and stays as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/commit.h"

enum { N = 3, COORDINATOR = 0, PARTICIPANT = 1, PEER = 2, CHECKPOINT = 12, INCARNATION = 4, TIMER = 5 };

/* --- what is expected: three processes, 0 the coordinator; messages come from process 2 --- */

struct expectation {
    const char *who, *state, *input, *next, *actions;
};

/* Who: C coordinator, P participant, * both.  Next "=": stays.  An input with + comes when it completes something: the
 * last vote, the last answer, the last failure. */
static const struct expectation expectations[] = {
    { "*", "INIT", "BEGIN", "SAVING", "set SAVE, snapshot" },
    { "C", "INIT", "BLANK", "ABORTED", "all ABORT, outcome ABORTED" },
    { "P", "INIT", "BLANK", "ABORTED", "VOTE_NO to 0, outcome ABORTED" },
    { "*", "INIT", "PREPARED", "READING", "read" },
    { "C", "INIT", "REFUSED", "ABORTED", "all ABORT, outcome ABORTED" },
    { "P", "INIT", "REFUSED", "ABORTED", "VOTE_NO to 0, outcome ABORTED" },
    { "C", "INIT", "TIMEOUT", "ABORTED", "all ABORT, outcome ABORTED" },
    { "P", "INIT", "TIMEOUT", "ABORTED", "VOTE_NO to 0, outcome ABORTED" },
    { "C", "INIT", "QUERY", "ABORTED", "ABORT to 2, all ABORT, outcome ABORTED" },
    { "P", "INIT", "QUERY", "ABORTED", "ABORT to 2, VOTE_NO to 0, outcome ABORTED" },
    { "P", "INIT", "ABORT", "ABORTED", "outcome ABORTED" },
    { "C", "INIT", "YES", "=", "" },
    { "C", "INIT", "NO", "ABORTED", "all ABORT, outcome ABORTED" },

    { "C", "SAVING", "SAVED", "WAIT", "set WAIT" },
    { "C", "SAVING", "SAVED+", "DECIDING", "cancel, decide COMMITTED" },
    { "P", "SAVING", "SAVED", "READY", "set READY, VOTE_YES to 0" },
    { "C", "SAVING", "REFUSED", "ABORTED", "cancel, all ABORT, outcome ABORTED" },
    { "P", "SAVING", "REFUSED", "ABORTED", "cancel, VOTE_NO to 0, outcome ABORTED" },
    { "C", "SAVING", "TIMEOUT", "ABORTED", "cancel, all ABORT, outcome ABORTED" },
    { "P", "SAVING", "TIMEOUT", "ABORTED", "cancel, VOTE_NO to 0, outcome ABORTED" },
    { "C", "SAVING", "QUERY", "ABORTED", "cancel, ABORT to 2, all ABORT, outcome ABORTED" },
    { "P", "SAVING", "QUERY", "ABORTED", "cancel, ABORT to 2, VOTE_NO to 0, outcome ABORTED" },
    { "P", "SAVING", "ABORT", "ABORTED", "cancel, outcome ABORTED" },
    { "C", "SAVING", "YES", "=", "" },
    { "C", "SAVING", "NO", "ABORTED", "cancel, all ABORT, outcome ABORTED" },

    { "C", "WAIT", "YES", "=", "" },
    { "C", "WAIT", "YES+", "DECIDING", "cancel, decide COMMITTED" },
    { "C", "WAIT", "NO", "ABORTED", "cancel, all ABORT, outcome ABORTED" },
    { "C", "WAIT", "TIMEOUT", "ABORTED", "cancel, all ABORT, outcome ABORTED" },
    { "C", "WAIT", "QUERY", "=", "UNCERTAIN to 2" },

    { "C", "DECIDING", "FOUND COMMIT", "COMMITTED", "all COMMIT, outcome COMMITTED" },
    { "C", "DECIDING", "FOUND ABORT", "ABORTED", "all ABORT, outcome ABORTED" },
    { "C", "DECIDING", "FOUND NONE", "ABORTED", "all ABORT, outcome ABORTED" },
    { "C", "DECIDING", "YES", "=", "" },
    { "C", "DECIDING", "QUERY", "=", "UNCERTAIN to 2" },
    { "*", "DECIDING", "TIMEOUT", "=", "" },

    { "*", "READY", "TIMEOUT", "ASKING", "set ASK, all QUERY" },
    { "C", "READY", "COMMIT", "COMMITTED", "cancel, all COMMIT, outcome COMMITTED" },
    { "P", "READY", "COMMIT", "COMMITTED", "cancel, outcome COMMITTED" },
    { "C", "READY", "ABORT", "ABORTED", "cancel, all ABORT, outcome ABORTED" },
    { "P", "READY", "ABORT", "ABORTED", "cancel, outcome ABORTED" },
    { "C", "READY", "NO", "ABORTED", "cancel, all ABORT, outcome ABORTED" },
    { "C", "READY", "YES", "=", "" },
    { "*", "READY", "QUERY", "=", "UNCERTAIN to 2" },
    { "*", "READY", "UNCERTAIN", "=", "" },

    { "*", "ASKING", "UNCERTAIN", "=", "" },
    { "*", "ASKING", "UNCERTAIN+", "READING", "cancel, read" },
    { "*", "ASKING", "TIMEOUT", "READING", "cancel, read" },
    { "C", "ASKING", "COMMIT", "COMMITTED", "cancel, all COMMIT, outcome COMMITTED" },
    { "P", "ASKING", "COMMIT", "COMMITTED", "cancel, outcome COMMITTED" },
    { "C", "ASKING", "ABORT", "ABORTED", "cancel, all ABORT, outcome ABORTED" },
    { "P", "ASKING", "ABORT", "ABORTED", "cancel, outcome ABORTED" },
    { "C", "ASKING", "NO", "ABORTED", "cancel, all ABORT, outcome ABORTED" },
    { "C", "ASKING", "YES", "=", "" },
    { "*", "ASKING", "QUERY", "=", "UNCERTAIN to 2" },

    { "C", "READING", "FOUND COMMIT", "COMMITTED", "all COMMIT, outcome COMMITTED" },
    { "P", "READING", "FOUND COMMIT", "COMMITTED", "outcome COMMITTED" },
    { "C", "READING", "FOUND ABORT", "ABORTED", "all ABORT, outcome ABORTED" },
    { "P", "READING", "FOUND ABORT", "ABORTED", "outcome ABORTED" },
    { "*", "READING", "FOUND NONE", "FORCING", "decide ABORTED" },
    { "C", "READING", "COMMIT", "COMMITTED", "all COMMIT, outcome COMMITTED" },
    { "P", "READING", "COMMIT", "COMMITTED", "outcome COMMITTED" },
    { "C", "READING", "ABORT", "ABORTED", "all ABORT, outcome ABORTED" },
    { "P", "READING", "ABORT", "ABORTED", "outcome ABORTED" },
    { "C", "READING", "NO", "ABORTED", "all ABORT, outcome ABORTED" },
    { "C", "READING", "YES", "=", "" },
    { "*", "READING", "QUERY", "=", "UNCERTAIN to 2" },
    { "*", "READING", "UNCERTAIN", "=", "" },
    { "*", "READING", "TIMEOUT", "=", "" },

    { "C", "FORCING", "FOUND COMMIT", "COMMITTED", "all COMMIT, outcome COMMITTED" },
    { "P", "FORCING", "FOUND COMMIT", "COMMITTED", "outcome COMMITTED" },
    { "C", "FORCING", "FOUND ABORT", "ABORTED", "all ABORT, outcome ABORTED" },
    { "P", "FORCING", "FOUND ABORT", "ABORTED", "outcome ABORTED" },
    { "*", "FORCING", "FOUND NONE", "READY", "set READY" },
    { "*", "FORCING", "FOUND NONE+", "LOST", "outcome LOST" },
    { "C", "FORCING", "COMMIT", "COMMITTED", "all COMMIT, outcome COMMITTED" },
    { "P", "FORCING", "COMMIT", "COMMITTED", "outcome COMMITTED" },
    { "C", "FORCING", "ABORT", "ABORTED", "all ABORT, outcome ABORTED" },
    { "P", "FORCING", "ABORT", "ABORTED", "outcome ABORTED" },
    { "C", "FORCING", "NO", "ABORTED", "all ABORT, outcome ABORTED" },
    { "C", "FORCING", "YES", "=", "" },
    { "*", "FORCING", "QUERY", "=", "UNCERTAIN to 2" },
    { "*", "FORCING", "UNCERTAIN", "=", "" },
    { "*", "FORCING", "TIMEOUT", "=", "" },

    { "*", "COMMITTED", "QUERY", "=", "COMMIT to 2" },
    { "*", "COMMITTED", "COMMIT", "=", "" },
    { "*", "COMMITTED", "UNCERTAIN", "=", "" },
    { "*", "COMMITTED", "FOUND COMMIT", "=", "" },
    { "*", "COMMITTED", "FOUND NONE", "=", "" },
    { "C", "COMMITTED", "YES", "=", "" },
    { "*", "COMMITTED", "TIMEOUT", "=", "" },

    { "*", "ABORTED", "BEGIN", "=", "outcome ABORTED" },
    { "*", "ABORTED", "SAVED", "=", "" },
    { "*", "ABORTED", "REFUSED", "=", "" },
    { "*", "ABORTED", "QUERY", "=", "ABORT to 2" },
    { "C", "ABORTED", "YES", "=", "ABORT to 2" },
    { "C", "ABORTED", "NO", "=", "" },
    { "*", "ABORTED", "ABORT", "=", "" },
    { "*", "ABORTED", "UNCERTAIN", "=", "" },
    { "*", "ABORTED", "FOUND ABORT", "=", "" },
    { "*", "ABORTED", "FOUND NONE", "=", "" },
    { "*", "ABORTED", "TIMEOUT", "=", "" },
    /* LOST: everything is ignored; see expected() */
};

static const struct input {
    const char *name;
    bl_commit_event event;
} inputs[] = {
    { "BEGIN", { .type = BL_EVENT_BEGIN } },
    { "SAVED", { .type = BL_EVENT_SNAPSHOT_DONE } },
    { "REFUSED", { .type = BL_EVENT_REFUSED } },
    { "TIMEOUT", { .type = BL_EVENT_TIMEOUT, .timer = TIMER } },
    { "YES", { .type = BL_EVENT_MESSAGE, .kind = BL_KIND_VOTE_YES } },
    { "NO", { .type = BL_EVENT_MESSAGE, .kind = BL_KIND_VOTE_NO } },
    { "COMMIT", { .type = BL_EVENT_MESSAGE, .kind = BL_KIND_COMMIT } },
    { "ABORT", { .type = BL_EVENT_MESSAGE, .kind = BL_KIND_ABORT } },
    { "QUERY", { .type = BL_EVENT_MESSAGE, .kind = BL_KIND_QUERY } },
    { "UNCERTAIN", { .type = BL_EVENT_MESSAGE, .kind = BL_KIND_UNCERTAIN } },
    { "FOUND NONE", { .type = BL_EVENT_DECISION_READ, .outcome = BL_OUTCOME_NONE } },
    { "FOUND COMMIT", { .type = BL_EVENT_DECISION_READ, .outcome = BL_OUTCOME_COMMITTED } },
    { "FOUND ABORT", { .type = BL_EVENT_DECISION_READ, .outcome = BL_OUTCOME_ABORTED } },
    { "BLANK", { .type = BL_EVENT_RECOVER, .log = BL_LOG_NOTHING } },
    { "PREPARED", { .type = BL_EVENT_RECOVER, .log = BL_LOG_PREPARED } },
};
enum { INPUTS = sizeof inputs / sizeof inputs[0] };

static const struct expectation *lookup(int coordinator, const char *state, const char *input)
{
    for (size_t i = 0; i < sizeof expectations / sizeof expectations[0]; i++) {
        const struct expectation *e = &expectations[i];
        if (strcmp(e->state, state) == 0 && strcmp(e->input, input) == 0 &&
            (e->who[0] == '*' || (e->who[0] == 'C') == coordinator))
            return e;
    }
    return NULL;
}

static const struct expectation *expected(int coordinator, enum bl_commit_state state, const char *input, int completes)
{
    static const struct expectation ignored = { "*", "LOST", "", "=", "" };
    const char *name = bl_commit_state_name(state);
    const struct expectation *e = NULL;
    char last[32];

    if (state == BL_STATE_LOST)
        return &ignored;
    snprintf(last, sizeof last, "%s+", input);
    if (completes)
        e = lookup(coordinator, name, last);
    return e ? e : lookup(coordinator, name, input);
}

/* --- running one step --- */

struct fixture {
    bl_commit m;
    uint8_t seen[N];
    bl_commit_actions out;
    bl_error err;
};

static void begin_in(struct fixture *f, int coordinator, enum bl_commit_state state, int completes)
{
    const uint32_t self = coordinator ? COORDINATOR : PARTICIPANT;

    bl_commit_init(&f->m, self, N, COORDINATOR, CHECKPOINT, INCARNATION, f->seen);
    f->m.state = state;
    f->m.timer = TIMER;
    if (!completes)
        return;
    f->m.rounds = BL_COMMIT_ROUNDS_MAX - 1;
    f->seen[coordinator ? PARTICIPANT : COORDINATOR] = 1;
    f->m.count = 1;
}

/* A snapshot completes the votes only when all others are in already. */
static void all_in(struct fixture *f)
{
    for (uint32_t p = 0; p < N; p++)
        f->seen[p] = p != f->m.self;
    f->m.count = N - 1;
}

static const char *outcome_name(enum bl_commit_outcome outcome)
{
    static const char *const name[] = { "NONE", "COMMITTED", "ABORTED", "LOST" };
    return name[outcome];
}

static const char *timer_name(enum bl_commit_timer timer)
{
    static const char *const name[] = { "NONE", "SAVE", "WAIT", "READY", "ASK" };
    return name[timer];
}

static void action_text(const bl_commit_action *a, char *text, size_t size)
{
    switch (a->type) {
    case BL_ACTION_TAKE_SNAPSHOT: snprintf(text, size, "snapshot"); break;
    case BL_ACTION_SEND:          snprintf(text, size, "%s to %u", bl_commit_kind_name(a->kind), (unsigned)a->to); break;
    case BL_ACTION_SEND_ALL:      snprintf(text, size, "all %s", bl_commit_kind_name(a->kind)); break;
    case BL_ACTION_DECIDE:        snprintf(text, size, "decide %s", outcome_name(a->outcome)); break;
    case BL_ACTION_READ_DECISION: snprintf(text, size, "read"); break;
    case BL_ACTION_SET_TIMER:     snprintf(text, size, "set %s", timer_name(a->wait)); break;
    case BL_ACTION_CANCEL_TIMER:  snprintf(text, size, "cancel"); break;
    case BL_ACTION_OUTCOME:       snprintf(text, size, "outcome %s", outcome_name(a->outcome)); break;
    }
}

static void actions_text(const bl_commit_actions *out, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < out->count; i++) {
        char one[64];
        action_text(&out->action[i], one, sizeof one);
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", one);
        assert_true(used < size);
    }
}

static void check_step(int coordinator, enum bl_commit_state state, const struct input *input, int completes)
{
    const struct expectation *want = expected(coordinator, state, input->name, completes);
    bl_commit_event event = input->event;
    const int stays = want && want->next[0] == '=';
    struct fixture f;
    char text[256], got[400], wanted[400];
    int code;

    begin_in(&f, coordinator, state, completes);
    if (completes && event.type == BL_EVENT_SNAPSHOT_DONE)
        all_in(&f);
    event.from = PEER;
    event.checkpoint = CHECKPOINT;
    event.incarnation = INCARNATION;
    code = bl_commit_step(&f.m, &event, &f.out, &f.err);
    actions_text(&f.out, text, sizeof text);
    snprintf(got, sizeof got, "%s %s %s%s: %s; %s", coordinator ? "C" : "P", bl_commit_state_name(state), input->name,
             completes ? "+" : "", code == BELAY_OK ? bl_commit_state_name(f.m.state) : "cannot be", text);
    snprintf(wanted, sizeof wanted, "%s %s %s%s: %s; %s", coordinator ? "C" : "P", bl_commit_state_name(state),
             input->name, completes ? "+" : "", !want ? "cannot be" : stays ? bl_commit_state_name(state) : want->next,
             want ? want->actions : "");
    assert_string_equal(got, wanted);
    if (!want)
        assert_int_equal(f.m.state, state);
}

/* Only the coordinator collects votes. */
static int exists(int coordinator, enum bl_commit_state state)
{
    return coordinator || (state != BL_STATE_WAIT && state != BL_STATE_DECIDING);
}

static void every_state_with_every_input(void **unused)
{
    (void)unused;
    for (int coordinator = 0; coordinator <= 1; coordinator++)
        for (int state = 0; state < BL_STATES; state++)
            for (int i = 0; i < INPUTS; i++)
                for (int completes = 0; completes <= 1 && exists(coordinator, (enum bl_commit_state)state); completes++)
                    check_step(coordinator, (enum bl_commit_state)state, &inputs[i], completes);
}

static void every_expectation_is_of_a_state_and_an_input_that_exist(void **unused)
{
    size_t found = 0;

    (void)unused;
    for (size_t e = 0; e < sizeof expectations / sizeof expectations[0]; e++)
        for (int state = 0; state < BL_STATES; state++)
            for (int i = 0; i < INPUTS; i++)
                found += strcmp(expectations[e].state, bl_commit_state_name((enum bl_commit_state)state)) == 0 &&
                         strncmp(expectations[e].input, inputs[i].name, strcspn(expectations[e].input, "+")) == 0 &&
                         strlen(inputs[i].name) == strcspn(expectations[e].input, "+");
    assert_int_equal(found, sizeof expectations / sizeof expectations[0]);
}

/* --- what a table of single steps does not show --- */

static void step(struct fixture *f, bl_commit_event event)
{
    event.checkpoint = CHECKPOINT;
    event.incarnation = INCARNATION;
    assert_int_equal(bl_commit_step(&f->m, &event, &f->out, &f->err), BELAY_OK);
}

static void hear(struct fixture *f, enum bl_commit_kind kind, uint32_t from)
{
    step(f, (bl_commit_event){ .type = BL_EVENT_MESSAGE, .kind = kind, .from = from });
}

static void a_vote_counts_once_and_may_come_before_the_coordinator_begins(void **unused)
{
    struct fixture f;

    (void)unused;
    begin_in(&f, 1, BL_STATE_INIT, 0);
    hear(&f, BL_KIND_VOTE_YES, 2);
    hear(&f, BL_KIND_VOTE_YES, 2);
    step(&f, (bl_commit_event){ .type = BL_EVENT_BEGIN });
    step(&f, (bl_commit_event){ .type = BL_EVENT_SNAPSHOT_DONE });
    assert_int_equal(f.m.state, BL_STATE_WAIT);
    hear(&f, BL_KIND_VOTE_YES, 2);
    assert_int_equal(f.m.state, BL_STATE_WAIT);
    hear(&f, BL_KIND_VOTE_YES, 1);
    assert_int_equal(f.m.state, BL_STATE_DECIDING);
}

static void each_question_counts_its_own_answers(void **unused)
{
    struct fixture f;

    (void)unused;
    begin_in(&f, 0, BL_STATE_READY, 0);
    step(&f, (bl_commit_event){ .type = BL_EVENT_TIMEOUT, .timer = f.m.timer });
    hear(&f, BL_KIND_UNCERTAIN, 0);
    f.m.state = BL_STATE_READY;
    step(&f, (bl_commit_event){ .type = BL_EVENT_TIMEOUT, .timer = f.m.timer });
    hear(&f, BL_KIND_UNCERTAIN, 2);
    assert_int_equal(f.m.state, BL_STATE_ASKING);
    hear(&f, BL_KIND_UNCERTAIN, 0);
    assert_int_equal(f.m.state, BL_STATE_READING);
}

static void a_timer_that_was_replaced_or_cancelled_does_nothing(void **unused)
{
    struct fixture f;

    (void)unused;
    begin_in(&f, 0, BL_STATE_INIT, 0);
    step(&f, (bl_commit_event){ .type = BL_EVENT_BEGIN });
    const uint32_t save = f.m.timer;
    step(&f, (bl_commit_event){ .type = BL_EVENT_SNAPSHOT_DONE });
    step(&f, (bl_commit_event){ .type = BL_EVENT_TIMEOUT, .timer = save });
    assert_int_equal(f.m.state, BL_STATE_READY);
    assert_int_equal(f.out.count, 0);
    hear(&f, BL_KIND_COMMIT, 0);
    step(&f, (bl_commit_event){ .type = BL_EVENT_TIMEOUT, .timer = f.m.timer });
    assert_int_equal(f.out.count, 0);
}

static void the_store_may_fail_a_limited_number_of_times(void **unused)
{
    struct fixture f;
    unsigned failures = 0;

    (void)unused;
    begin_in(&f, 0, BL_STATE_READY, 0);
    while (f.m.state == BL_STATE_READY) {
        step(&f, (bl_commit_event){ .type = BL_EVENT_TIMEOUT, .timer = f.m.timer });
        step(&f, (bl_commit_event){ .type = BL_EVENT_TIMEOUT, .timer = f.m.timer });
        step(&f, (bl_commit_event){ .type = BL_EVENT_DECISION_READ, .outcome = BL_OUTCOME_NONE });
        step(&f, (bl_commit_event){ .type = BL_EVENT_DECIDED, .outcome = BL_OUTCOME_NONE });
        failures++;
    }
    assert_int_equal(bl_commit_outcome(&f.m), BL_OUTCOME_LOST);
    assert_int_equal(failures, BL_COMMIT_ROUNDS_MAX);
}

static void messages_of_other_checkpoints_and_incarnations_change_nothing(void **unused)
{
    static const struct { uint32_t checkpoint, incarnation; enum bl_commit_when when; } cases[] = {
        { CHECKPOINT - 1, INCARNATION, BL_WHEN_STALE }, { CHECKPOINT + 1, INCARNATION, BL_WHEN_LATER },
        { CHECKPOINT, INCARNATION - 1, BL_WHEN_STALE }, { CHECKPOINT + 1, INCARNATION - 1, BL_WHEN_STALE },
        { CHECKPOINT, INCARNATION + 1, BL_WHEN_STALE }, { CHECKPOINT, INCARNATION, BL_WHEN_NOW },
    };
    struct fixture f;

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const bl_commit_event event = { .type = BL_EVENT_MESSAGE, .kind = BL_KIND_ABORT, .from = 2,
                                        .checkpoint = cases[i].checkpoint, .incarnation = cases[i].incarnation };
        begin_in(&f, 0, BL_STATE_READY, 0);
        assert_int_equal(bl_commit_when(&f.m, event.checkpoint, event.incarnation), cases[i].when);
        assert_int_equal(bl_commit_step(&f.m, &event, &f.out, &f.err), BELAY_OK);
        assert_int_equal(f.m.state, cases[i].when == BL_WHEN_NOW ? BL_STATE_ABORTED : BL_STATE_READY);
    }
}

static void a_message_from_nobody_or_of_no_kind_is_refused_with_a_sentence(void **unused)
{
    static const struct { uint32_t from; int kind; } cases[] = { { N, BL_KIND_QUERY }, { PARTICIPANT, BL_KIND_QUERY }, { 2, BL_KINDS } };
    struct fixture f;

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const bl_commit_event event = { .type = BL_EVENT_MESSAGE, .kind = (enum bl_commit_kind)cases[i].kind,
                                        .from = cases[i].from, .checkpoint = CHECKPOINT, .incarnation = INCARNATION };
        begin_in(&f, 0, BL_STATE_READY, 0);
        assert_int_equal(bl_commit_step(&f.m, &event, &f.out, &f.err), BELAY_ERR_INTERNAL);
        assert_non_null(strstr(f.err.text, "checkpoint 12: process 1 in state READY got"));
        assert_int_equal(f.m.state, BL_STATE_READY);
    }
}

static void a_process_alone_commits_by_the_record(void **unused)
{
    struct fixture f;
    uint8_t seen[1];

    (void)unused;
    bl_commit_init(&f.m, 0, 1, 0, CHECKPOINT, INCARNATION, seen);
    step(&f, (bl_commit_event){ .type = BL_EVENT_BEGIN });
    step(&f, (bl_commit_event){ .type = BL_EVENT_SNAPSHOT_DONE });
    assert_int_equal(f.m.state, BL_STATE_DECIDING);
    assert_int_equal(bl_commit_outcome(&f.m), BL_OUTCOME_NONE);
    step(&f, (bl_commit_event){ .type = BL_EVENT_DECIDED, .outcome = BL_OUTCOME_COMMITTED });
    assert_int_equal(bl_commit_outcome(&f.m), BL_OUTCOME_COMMITTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_with_every_input),
        cmocka_unit_test(every_expectation_is_of_a_state_and_an_input_that_exist),
        cmocka_unit_test(a_vote_counts_once_and_may_come_before_the_coordinator_begins),
        cmocka_unit_test(each_question_counts_its_own_answers),
        cmocka_unit_test(a_timer_that_was_replaced_or_cancelled_does_nothing),
        cmocka_unit_test(the_store_may_fail_a_limited_number_of_times),
        cmocka_unit_test(messages_of_other_checkpoints_and_incarnations_change_nothing),
        cmocka_unit_test(a_message_from_nobody_or_of_no_kind_is_refused_with_a_sentence),
        cmocka_unit_test(a_process_alone_commits_by_the_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
