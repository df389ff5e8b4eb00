/* How the tool writes sizes, times, counts and rank lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tool/text.h"
#include "util/clock.h"

static void sizes_use_the_unit_that_reads_best(void **state)
{
    (void)state;
    assert_string_equal(bl_text_size(0).s, "0 B");
    assert_string_equal(bl_text_size(1023).s, "1023 B");
    assert_string_equal(bl_text_size(1024).s, "1.0 KiB");
    assert_string_equal(bl_text_size(1024 * 1024 - 1).s, "1.0 MiB");
    assert_string_equal(bl_text_size((uint64_t)3 << 29).s, "1.5 GiB");
    assert_string_equal(bl_text_size(UINT64_MAX).s, "16.0 EiB");
}

static void seconds_keep_two_units(void **state)
{
    (void)state;
    assert_string_equal(bl_text_seconds(0.44).s, "0.4 s");
    assert_string_equal(bl_text_seconds(59.97).s, "1 min");
    assert_string_equal(bl_text_seconds(200).s, "3 min 20 s");
    assert_string_equal(bl_text_seconds(7500).s, "2 h 5 min");
    assert_string_equal(bl_text_seconds(187200).s, "2 d 4 h");
    assert_string_equal(bl_text_seconds(-1).s, "?");
    assert_string_equal(bl_text_seconds(1e300).s, "?");
}

static void times_are_local_and_zero_is_unknown(void **state)
{
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    assert_string_equal(bl_text_time(1700000000 * (int64_t)1000000000).s, "2023-11-14 22:13:20");
    assert_string_equal(bl_text_time(0).s, "?");
    assert_string_equal(bl_text_time(-5).s, "?");
    assert_string_equal(bl_text_age(0).s, "?");
    assert_string_equal(bl_text_age(INT64_MAX).s, "in the future");
    assert_non_null(strstr(bl_text_age(bl_now_ns() - (int64_t)90000 * 1000000000).s, "1 d 1 h ago"));
}

static void counts_have_separators_and_the_right_number(void **state)
{
    (void)state;
    assert_string_equal(bl_text_number(999).s, "999");
    assert_string_equal(bl_text_number(10000).s, "10,000");
    assert_string_equal(bl_text_number(UINT64_MAX).s, "18,446,744,073,709,551,615");
    assert_string_equal(bl_text_count(0, "message").s, "no messages");
    assert_string_equal(bl_text_count(1, "message").s, "1 message");
    assert_string_equal(bl_text_count(1234, "message").s, "1,234 messages");
}

static void ranks_are_listed_as_ranges_and_long_lists_are_cut(void **state)
{
    (void)state;
    static uint8_t in[10000];
    assert_string_equal(bl_text_ranks(in, 8).s, "ranks none");
    in[3] = 1;
    assert_string_equal(bl_text_ranks(in, 8).s, "rank 3");
    in[0] = in[4] = in[5] = 1;
    assert_string_equal(bl_text_ranks(in, 8).s, "ranks 0, 3-5");
    for (uint32_t i = 0; i < 10000; i++)
        in[i] = i % 2 == 0;
    assert_string_equal(bl_text_ranks(in, 10000).s, "ranks 0, 2, 4, 6, 8, 10 and 4,994 more");
    memset(in, 1, sizeof in);
    assert_string_equal(bl_text_ranks(in, 10000).s, "ranks 0-9999");
}

static void control_characters_never_reach_the_terminal(void **state)
{
    (void)state;
    char sentence[] = "a\033[2Jb\nc\x7f" "d";
    assert_string_equal(bl_text_clean("./heat\033]0;owned\a\n\xff").s, "./heat?]0;owned???");
    assert_string_equal(bl_text_wash(sentence), "a?[2Jb?c?d");
    char longer[600];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(strlen(bl_text_clean(longer).s), sizeof(bl_text) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_use_the_unit_that_reads_best),
        cmocka_unit_test(seconds_keep_two_units),
        cmocka_unit_test(times_are_local_and_zero_is_unknown),
        cmocka_unit_test(counts_have_separators_and_the_right_number),
        cmocka_unit_test(ranks_are_listed_as_ranges_and_long_lists_are_cut),
        cmocka_unit_test(control_characters_never_reach_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
