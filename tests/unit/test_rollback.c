/* The rules of local rollback (protocol/rollback.h), each against what it means, over all small cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/rollback.h"

enum { SENDERS = 2, MESSAGES = 3, RECEIVES = 3, ASKED = 6 };

typedef struct asked { int source, tag; } asked;
static const asked asks[ASKED] = { { -1, -1 }, { -1, 0 }, { 0, -1 }, { 0, 0 }, { 0, 1 }, { 1, 0 } };

typedef struct message { int source, tag, number; } message; /* number: of its channel */

static int suits(const asked *a, const message *m)
{
    return (a->source < 0 || a->source == m->source) && (a->tag < 0 || a->tag == m->tag);
}

/* What MPI does: a message is for the receive posted first that suits and has none.  got: [RECEIVES] 1 + message; 0: open. */
static void match(const asked *receive, const message *arrived, int messages, int *got)
{
    memset(got, 0, RECEIVES * sizeof *got);
    for (int m = 0; m < messages; m++)
        for (int r = 0; r < RECEIVES; r++) {
            if (got[r] || !suits(&receive[r], &arrived[m])) continue;
            got[r] = 1 + m;
            break;
        }
}

static void number(message *m, int messages)
{
    for (int k = 0; k < messages; k++) {
        m[k].number = 1;
        for (int before = 0; before < k; before++) m[k].number += m[before].source == m[k].source && m[before].tag == m[k].tag;
    }
}

static bl_open open_of(const asked *a, int r)
{
    return (bl_open){ .comm = 7, .clock = (uint64_t)r + 1, .source = a->source, .tag = a->tag, .wild = a->source < 0 };
}

/* All programs of three receives, all orders of three messages. */
static void each_case(void (*look)(const asked *receive, const message *arrived, const int *got))
{
    for (int receives = 0; receives < ASKED * ASKED * ASKED; receives++) {
        asked receive[RECEIVES] = { asks[receives % ASKED], asks[receives / ASKED % ASKED], asks[receives / ASKED / ASKED] };
        for (int messages = 0; messages < 4 * 4 * 4; messages++) {
            message arrived[MESSAGES];
            int got[RECEIVES];
            for (int m = 0, rest = messages; m < MESSAGES; m++, rest /= 4) arrived[m] = (message){ rest % 2, rest / 2 % 2, 0 };
            number(arrived, MESSAGES);
            match(receive, arrived, MESSAGES, got);
            look(receive, arrived, got);
        }
    }
}

/* Of the receives that the program has not seen, may one have a message before that of one it has?  The rules may say so too often,
 * never too rarely. */
static void look_at_who_may_stay(const asked *receive, const message *arrived, const int *got)
{
    for (int seen = 0; seen < 1 << RECEIVES; seen++) {
        bl_open o[RECEIVES], *list[RECEIVES];
        uint64_t expected[SENDERS][2] = { { 0 } }, received[SENDERS][2] = { { 0 } };
        int missing = 0, can = 1;
        for (int r = 0; r < RECEIVES; r++) {
            o[r] = open_of(&receive[r], r);
            list[r] = &o[r];
            if (receive[r].source >= 0 && receive[r].tag >= 0) o[r].number = ++expected[receive[r].source][receive[r].tag];
            if ((seen >> r & 1) && !got[r]) return;
        }
        for (int r = 0; r < RECEIVES; r++) {
            if (!(seen >> r & 1)) continue;
            const message *m = &arrived[got[r] - 1];
            bl_open_pass_by(list, RECEIVES, 7, o[r].clock, m->source, m->tag);
            o[r].done = 1;
            received[m->source][m->tag]++;
        }
        for (int r = 0; r < RECEIVES; r++) {
            if (seen >> r & 1 || !got[r]) continue;
            missing |= (uint64_t)arrived[got[r] - 1].number <= received[arrived[got[r] - 1].source][arrived[got[r] - 1].tag];
        }
        for (int r = 0; r < RECEIVES; r++)
            if (!(seen >> r & 1) && o[r].source >= 0 && o[r].tag >= 0) can &= !bl_open_behind(o[r].number, received[o[r].source][o[r].tag]);
        can &= !bl_open_passed(list, RECEIVES);
        assert_false(missing && can);
        if (seen == 0) assert_true(can);
    }
}

static void nobody_stays_who_has_seen_a_message_but_not_one_before_it(void **state)
{
    (void)state;
    each_case(look_at_who_may_stay);
}

/* Only the last is seen: done again, with the others unknown, does it have the same message by what was told of it? */
static void look_at_what_is_told(const asked *receive, const message *arrived, const int *got)
{
    enum { LAST = RECEIVES - 1 };
    bl_open o[RECEIVES], *list[RECEIVES];
    if (!got[LAST]) return;
    const message *m = &arrived[got[LAST] - 1];
    for (int r = 0; r < RECEIVES; r++) {
        o[r] = open_of(&receive[r], r);
        list[r] = &o[r];
    }
    int told = o[LAST].wild || bl_open_unsure(list, LAST, 7, o[LAST].clock, o[LAST].source, o[LAST].tag);
    int hashed = told && bl_open_unsure(list, LAST, 7, o[LAST].clock, m->source, m->tag);
    /* Again, with the first two unknown: those that are no wildcards, and behind none, have what they ask for. */
    message left[MESSAGES];
    int lefts = 0;
    for (int k = 0; k < MESSAGES; k++) left[lefts++] = arrived[k];
    for (int r = 0; r < LAST; r++) {
        if (bl_open_holds(list, (unsigned)r, &o[r], BL_NOTHING, 0)) {
            o[r].held = 1;
            continue;
        }
        for (int k = 0; k < lefts; k++) {
            if (!suits(&receive[r], &left[k])) continue;
            memmove(&left[k], &left[k + 1], (size_t)(--lefts - k) * sizeof *left);
            break;
        }
    }
    if (hashed) return; /* whatever the others take: its contents */
    asked wants = told ? (asked){ m->source, m->tag } : receive[LAST];
    for (int k = 0; k < lefts; k++) {
        if (!suits(&wants, &left[k])) continue;
        assert_int_equal(left[k].source, m->source);
        assert_int_equal(left[k].tag, m->tag);
        assert_int_equal(left[k].number, m->number);
        return;
    }
    fail();
}

static void what_is_told_finds_the_message_again(void **state)
{
    (void)state;
    each_case(look_at_what_is_told);
}

static void a_receive_behind_one_that_is_held_is_held(void **state)
{
    (void)state;
    for (int a = 0; a < ASKED; a++)
        for (int b = 0; b < ASKED; b++) {
            bl_open first = open_of(&asks[a], 0), second = open_of(&asks[b], 1), *list[1] = { &first };
            int meet = 0;
            for (int m = 0; m < 4; m++) meet |= suits(&asks[a], &(message){ m % 2, m / 2, 1 }) && suits(&asks[b], &(message){ m % 2, m / 2, 1 });
            assert_int_equal(bl_open_holds(list, 1, &second, BL_OPEN, 0), 0);
            first.held = 1;
            assert_int_equal(bl_open_holds(list, 1, &second, BL_OPEN, 0), meet);
            assert_int_equal(bl_open_holds(list, 1, &second, BL_KNOWN, 1), 0);
            assert_int_equal(bl_open_holds(list, 0, &second, BL_NOTHING, 0), second.wild);
            assert_int_equal(bl_open_holds(list, 0, &second, BL_OPEN, 1), second.wild);
            second.comm = 8;
            assert_int_equal(bl_open_holds(list, 1, &second, BL_OPEN, 0), 0);
        }
}

/* Who is in the list, whether it was told, with a hash, and seen: all of them. */
static void those_told_with_their_contents_are_matched_first_then_all_in_the_order_posted(void **state)
{
    (void)state;
    for (int kinds = 0; kinds < 4 * 4 * 4; kinds++) {
        bl_open o[RECEIVES], *list[RECEIVES], *again;
        unsigned turn = 0, expected[RECEIVES], many = 0, got = 0;
        for (int r = 0; r < RECEIVES; r++) {
            int kind = kinds >> 2 * r & 3; /* open; told; told with a hash; seen */
            o[r] = open_of(&asks[0], r);
            list[r] = &o[r];
            o[r].told = kind == 1 || kind == 2;
            o[r].hashed = kind == 2;
            o[r].done = kind == 3;
        }
        for (int first = 1; first >= 0; first--)
            for (unsigned r = 0; r < RECEIVES; r++)
                if (!o[r].done && o[r].hashed == first) expected[many++] = r;
        while ((again = bl_open_again(list, RECEIVES, &turn)) != NULL) {
            assert_true(got < many);
            assert_ptr_equal(again, &o[expected[got++]]);
        }
        assert_int_equal(got, many);
    }
}

static uint64_t first_byte(const char *data, size_t bytes)
{
    return bytes ? (uint64_t)(unsigned char)data[0] : 0;
}

static void a_lane_gives_its_messages_in_order_and_skips_only_by_contents(void **state)
{
    (void)state;
    bl_fed m[4] = { { .number = 1, .tag = 5, .bytes = 1, .data = "a" }, { .number = 1, .tag = 6, .bytes = 1, .data = "b" },
                    { .number = 2, .tag = 5, .bytes = 1, .data = "c" }, { .number = 3, .tag = 5, .bytes = 1, .data = "d" } };
    bl_lane l = { .message = m, .count = 4 };
    uint64_t c = 'c';
    assert_ptr_equal(bl_lane_first(&l, -1, 1, NULL, first_byte), &m[0]);
    assert_ptr_equal(bl_lane_first(&l, 6, 1, NULL, first_byte), &m[1]);
    assert_ptr_equal(bl_lane_first(&l, 5, 9, &c, first_byte), &m[2]);
    bl_lane_take(&l, &m[2], 5, 9);
    assert_true(m[0].before == 9 && !m[1].before && !m[3].before);
    assert_true(bl_fed_before(&m[0], &m[1]) && !bl_fed_before(&m[1], &m[0]));
    assert_true(bl_lane_bars(&l, 5, 8) && bl_lane_bars(&l, -1, 8) && !bl_lane_bars(&l, 6, 8) && !bl_lane_bars(&l, 5, 9));
    assert_true(bl_lane_is_wrong(&l)); /* unless one posted earlier takes the first */
    bl_lane_take(&l, &m[0], 5, 2);
    assert_false(bl_lane_is_wrong(&l));
    assert_null(bl_lane_first(&l, 5, 8, NULL, first_byte)); /* the fourth is behind the third, which a later one has */
    assert_ptr_equal(bl_lane_first(&l, 5, 10, NULL, first_byte), &m[3]);
    assert_ptr_equal(bl_lane_first(&l, -1, 8, NULL, first_byte), &m[1]);
}

static void a_message_that_will_be_sent_again_is_behind_those_that_are_there(void **state)
{
    (void)state;
    bl_fed m[2] = { { .number = 1, .tag = 5, .data = "" }, { .number = 1, .tag = 6, .data = "" } };
    bl_lane l = { .message = m, .count = 2 };
    bl_lane_take(&l, NULL, 5, 3);
    assert_true(m[0].before == 3 && !m[0].taken && !m[1].before);
}

static void a_journal_is_read_without_gaps(void **state)
{
    (void)state;
    for (uint64_t received = 0; received < 4; received++)
        for (uint64_t from = 1; from < 6; from++) {
            uint64_t next = received + 1;
            for (uint64_t n = from; n < 6; n++) {
                enum bl_place place = bl_fed_place(n, &next), is = n <= received ? BL_PLACE_HAD : from > received + 1 ? BL_PLACE_GAP : BL_PLACE_NEXT;
                assert_int_equal(place, is);
            }
        }
}

static void a_message_is_sent_again_when_nobody_has_it(void **state)
{
    (void)state;
    for (uint64_t logged = 0; logged < 4; logged++)
        for (uint64_t has = 0; has < 4; has++)
            for (uint64_t n = 1; n < 5; n++) {
                enum bl_again again = bl_send_again(n, bl_send_until(logged, has), logged);
                assert_int_equal(again, n <= logged ? BL_AGAIN_LEAVE : n <= has ? BL_AGAIN_LOG : BL_AGAIN_SEND);
            }
}

static void all_go_back_when_one_cannot_alone_or_nobody_stays(void **state)
{
    (void)state;
    for (int votes = 0; votes < 3 * 3 * 3; votes++) {
        int stays = 0, all = 0, any = 0;
        for (int r = 0, rest = votes; r < 3; r++, rest /= 3) {
            enum bl_vote vote = bl_vote(rest % 3 == 2, rest % 3 == 1);
            assert_int_equal(vote, rest % 3 == 2 ? BL_VOTE_STAYS : rest % 3 == 1 ? BL_VOTE_BACK : BL_VOTE_ALL);
            stays = bl_votes_local(stays, vote);
            all |= vote == BL_VOTE_ALL;
            any |= vote == BL_VOTE_STAYS;
        }
        assert_int_equal(stays > 0, any && !all);
    }
    assert_int_equal(bl_vote(1, 0), BL_VOTE_STAYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_stays_who_has_seen_a_message_but_not_one_before_it),
        cmocka_unit_test(what_is_told_finds_the_message_again),
        cmocka_unit_test(a_receive_behind_one_that_is_held_is_held),
        cmocka_unit_test(those_told_with_their_contents_are_matched_first_then_all_in_the_order_posted),
        cmocka_unit_test(a_lane_gives_its_messages_in_order_and_skips_only_by_contents),
        cmocka_unit_test(a_message_that_will_be_sent_again_is_behind_those_that_are_there),
        cmocka_unit_test(a_journal_is_read_without_gaps),
        cmocka_unit_test(a_message_is_sent_again_when_nobody_has_it),
        cmocka_unit_test(all_go_back_when_one_cannot_alone_or_nobody_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
