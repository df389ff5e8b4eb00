/* Settings come from people: what is wrong is named with its origin, and nothing wrong is taken for something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "belay_codes.h"
#include "util/settings.h"

static void forget_environment(void)
{
    char variable[64];
    unsetenv("BELAY_SETTINGS");
    for (unsigned i = 0; i < bl_setting_count; i++) {
        bl_setting_variable(bl_setting_table[i].name, variable, sizeof variable);
        unsetenv(variable);
    }
}

static int clean(void **state)
{
    (void)state;
    forget_environment();
    return 0;
}

/* Loads the settings with the file `text`. */
static int load(const char *text, bl_settings *settings, bl_error *err)
{
    char path[] = "/tmp/belay-settings-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    setenv("BELAY_SETTINGS", path, 1);
    err->text[0] = '\0';
    int rc = bl_settings_load(settings, err);
    unlink(path);
    return rc;
}

static void defaults_are_the_tables(void **state)
{
    (void)state;
    bl_settings s;
    bl_error err;
    assert_int_equal(bl_settings_load(&s, &err), BELAY_OK);
    assert_string_equal(s.dir, "belay.d");
    assert_int_equal(s.every[0].kind, BL_EVERY_AUTO);
    assert_true(s.mtbf_s == 86400);
    assert_int_equal(s.stable_power, 1);
    assert_int_equal(s.keep, 2);
    assert_int_equal(s.max_restarts, 10);
    assert_int_equal(s.kills, 0);
    assert_true(s.grace_s == 60);
    assert_true(s.suspect_s == 0);
    assert_true(s.commit_timeout_s == 600);
    assert_int_equal(s.verbose, 1);
    assert_int_equal(s.errors_return, 0);
}

static void good_values(void **state)
{
    (void)state;
    bl_settings s;
    bl_error err;
    assert_int_equal(bl_settings_load(&s, &err), BELAY_OK);
    assert_int_equal(bl_settings_set(&s, "every", "10", "--every", &err), BELAY_OK);
    assert_true(s.every[0].kind == BL_EVERY_POINTS && s.every[0].points == 10);
    assert_int_equal(bl_settings_set(&s, "every", "1.5m", "--every", &err), BELAY_OK);
    assert_true(s.every[0].kind == BL_EVERY_SECONDS && s.every[0].seconds == 90);
    assert_int_equal(bl_settings_set(&s, "every", "250ms", "--every", &err), BELAY_OK);
    assert_true(s.every[0].seconds == 0.25);
    assert_int_equal(bl_settings_set(&s, "every", "3,30s,never", "--every", &err), BELAY_OK);
    assert_true(s.everies == 3 && bl_settings_every(&s, 3).points == 3 && bl_settings_every(&s, 4).seconds == 30 &&
                bl_settings_every(&s, 5).kind == BL_EVERY_NEVER);
    assert_int_equal(bl_settings_set(&s, "checkpoint", "independent", "--checkpoint", &err), BELAY_OK);
    assert_int_equal(bl_settings_set(&s, "jitter", "20%", "--jitter", &err), BELAY_OK);
    assert_true(s.jitter == 0.2);
    assert_int_equal(bl_settings_set(&s, "checkpoint", "coordinated", "--checkpoint", &err), BELAY_OK);
    assert_int_equal(bl_settings_set(&s, "every", "never", "--every", &err), BELAY_OK);
    assert_int_equal(bl_settings_set(&s, "jitter", "0%", "--jitter", &err), BELAY_OK);
    assert_int_equal(s.every[0].kind, BL_EVERY_NEVER);
    assert_int_equal(bl_settings_set(&s, "mtbf", "2h", "--mtbf", &err), BELAY_OK);
    assert_true(s.mtbf_s == 7200);
    assert_int_equal(bl_settings_set(&s, "max-restarts", "0", "--max-restarts", &err), BELAY_OK);
    assert_int_equal(s.max_restarts, 0);
    assert_int_equal(bl_settings_set(&s, "errors", "return", "--errors", &err), BELAY_OK);
    assert_int_equal(s.errors_return, 1);
}

static void bad_values_are_named_with_their_origin(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        { "dir", "" }, { "every", "" }, { "every", "0" }, { "every", "-1" }, { "every", "10x" }, { "every", "s" },
        { "every", "nan" }, { "every", "5," }, { "every", ",5" }, { "jitter", "20" }, { "jitter", "-1%" }, { "jitter", "nan%" }, { "jitter", "91%" }, { "every", "0s" }, { "every", "99999999999999999999" }, { "every", "1e400s" },
        { "every", "Auto" }, { "mtbf", "0" }, { "mtbf", "-5s" }, { "mtbf", "soon" }, { "mtbf", "inf" },
        { "mtbf", "2000000000" }, { "stable", "ram" }, { "stable", "" }, { "stable", "process|power" }, { "keep", "0" },
        { "keep", "1.5" }, { "keep", "99999999" }, { "max-restarts", "-1" }, { "grace", "1x" }, { "suspect", "0" }, { "suspect", "ever" }, { "verbose", "2" },
        { "errors", "ignore" }, { "kill", "2" }, { "kill", "1@step=3,,2@" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bl_settings s;
        bl_error err = { 0, "" };
        assert_int_equal(bl_settings_load(&s, &err), BELAY_OK);
        assert_int_equal(bl_settings_set(&s, bad[i][0], bad[i][1], "--origin", &err), BELAY_ERR_ARG);
        assert_int_equal(strncmp(err.text, "--origin: ", 10), 0);
    }
}

static void what_this_version_lacks_is_refused(void **state)
{
    (void)state;
    static const char *const lacks[][2] = {
        { "stable", "node" }, { "checkpoint", "nonblocking" }, { "logging", "pessimistic,send-deterministic" }, { "piggyback", "rdma" },
    };
    for (size_t i = 0; i < sizeof lacks / sizeof *lacks; i++) {
        bl_settings s;
        bl_error err = { 0, "" };
        assert_int_equal(bl_settings_load(&s, &err), BELAY_OK);
        assert_int_equal(bl_settings_set(&s, lacks[i][0], lacks[i][1], "--x", &err), BELAY_ERR_REFUSED);
        assert_non_null(strstr(err.text, "not in this version"));
    }
}

static void loggings(void **state)
{
    (void)state;
    static const char *const name[] = { "none", "pessimistic", "optimistic", "causal" };
    for (int k = 0; k < 4; k++) {
        bl_settings s;
        bl_error err = { 0, "" };
        assert_int_equal(bl_settings_load(&s, &err), BELAY_OK);
        assert_int_equal(bl_settings_set(&s, "logging", name[k], "--logging", &err), BELAY_OK);
        assert_int_equal((int)s.logging, k);
        assert_string_equal(bl_logging_name(s.logging), name[k]);
        assert_int_equal(bl_is_logging(name[k]), k > 0);
        assert_int_equal(bl_settings_agree(&s, &err), k ? BELAY_ERR_REFUSED : BELAY_OK); /* with coordinated checkpoints */
        assert_int_equal(bl_settings_set(&s, "checkpoint", "independent", "--checkpoint", &err), BELAY_OK);
        assert_int_equal(bl_settings_agree(&s, &err), BELAY_OK);
        assert_int_equal(bl_settings_set(&s, "stable", "process", "--stable", &err), BELAY_OK);
        assert_int_equal(bl_settings_agree(&s, &err), k > 1 ? BELAY_ERR_REFUSED : BELAY_OK);
        if (k > 1) assert_non_null(strstr(err.text, "goes with stable=power"));
        assert_int_equal(bl_settings_set(&s, "log-failures", "0", "--log-failures", &err), BELAY_ERR_ARG);
    }
    assert_false(bl_is_logging("independent"));
}

static void async_where_it_is_possible(void **state)
{
    (void)state;
    static const char *const name[] = { "off", "stage", "fork", "auto" };
    for (int k = 0; k < 4; k++) {
        bl_settings s;
        bl_error err = { 0, "" };
        int asked = k == BL_ASYNC_STAGE || k == BL_ASYNC_FORK; /* auto is off where nothing else is possible */
        assert_int_equal(bl_settings_load(&s, &err), BELAY_OK);
        assert_int_equal(bl_settings_set(&s, "async", name[k], "--async", &err), BELAY_OK);
        assert_int_equal((int)s.async, k);
        assert_string_equal(bl_async_name(s.async), name[k]);
        assert_int_equal(bl_settings_agree(&s, &err), BELAY_OK);
        assert_null(bl_settings_no_async(&s));
        assert_int_equal(bl_settings_set(&s, "redundancy", "partner", "--redundancy", &err), BELAY_OK);
        assert_non_null(bl_settings_no_async(&s));
        assert_int_equal(bl_settings_agree(&s, &err), asked ? BELAY_ERR_REFUSED : BELAY_OK);
        assert_int_equal(bl_settings_set(&s, "async", "child", "--async", &err), BELAY_ERR_ARG);
        assert_int_equal(bl_settings_set(&s, "async-late", k ? "skip" : "wait", "--async-late", &err), BELAY_OK);
        assert_int_equal(s.async_skip, k > 0);
        assert_int_equal(bl_settings_set(&s, "async-late", "later", "--async-late", &err), BELAY_ERR_ARG);
    }
}

static void induced_checkpoints_are_told_by_markers(void **state)
{
    (void)state;
    bl_settings s;
    bl_error err = { 0, "" };
    assert_int_equal(bl_settings_load(&s, &err), BELAY_OK);
    assert_false(bl_settings_alone(&s));
    assert_int_equal(bl_settings_piggyback(&s), BL_PIGGYBACK_IMPLICIT);
    assert_int_equal(bl_settings_set(&s, "checkpoint", "induced", "--checkpoint", &err), BELAY_OK);
    assert_true(bl_settings_alone(&s));
    assert_int_equal(bl_settings_piggyback(&s), BL_PIGGYBACK_MARKER);
    assert_int_equal(bl_settings_agree(&s, &err), BELAY_OK);
    assert_int_equal(bl_settings_set(&s, "piggyback", "header", "--piggyback", &err), BELAY_OK);
    assert_int_equal(bl_settings_agree(&s, &err), BELAY_ERR_REFUSED);
    assert_non_null(strstr(err.text, "checkpoint=induced with piggyback=header"));
    assert_int_equal(bl_settings_set(&s, "checkpoint", "independent", "--checkpoint", &err), BELAY_OK);
    assert_int_equal(bl_settings_agree(&s, &err), BELAY_OK);
    assert_int_equal(bl_settings_piggyback(&s), BL_PIGGYBACK_HEADER);
}

static void unknown_setting_is_refused(void **state)
{
    (void)state;
    bl_settings s;
    bl_error err = { 0, "" };
    assert_int_equal(bl_settings_load(&s, &err), BELAY_OK);
    assert_int_equal(bl_settings_set(&s, "evry", "10", "--evry", &err), BELAY_ERR_ARG);
    assert_non_null(strstr(err.text, "evry"));
}

static void variable_wins_over_file_over_default(void **state)
{
    (void)state;
    bl_settings s;
    bl_error err;
    setenv("BELAY_KEEP", "5", 1);
    assert_int_equal(load("# a comment\n\n  keep = 3 \nmax-restarts=7\nevery = 30s\n", &s, &err), BELAY_OK);
    assert_int_equal(s.keep, 5);
    assert_int_equal(s.max_restarts, 7);
    assert_true(s.every[0].kind == BL_EVERY_SECONDS && s.every[0].seconds == 30);
    assert_true(s.grace_s == 60);
}

static void bad_line_is_named(void **state)
{
    (void)state;
    bl_settings s;
    bl_error err;
    assert_int_equal(load("keep = 3\nkeep three\n", &s, &err), BELAY_ERR_ARG);
    assert_non_null(strstr(err.text, " line 2"));
    assert_int_equal(load("keep = 3\n\nstable = ram\n", &s, &err), BELAY_ERR_ARG);
    assert_non_null(strstr(err.text, " line 3"));
    assert_int_equal(load("kep = 3\n", &s, &err), BELAY_ERR_ARG);
    assert_non_null(strstr(err.text, "kep"));
}

static void missing_file_and_bad_variable_are_named(void **state)
{
    (void)state;
    bl_settings s;
    bl_error err = { 0, "" };
    setenv("BELAY_SETTINGS", "/nonexistent/settings", 1);
    assert_int_equal(bl_settings_load(&s, &err), BELAY_ERR_SYSTEM);
    assert_non_null(strstr(err.text, "/nonexistent/settings"));
    unsetenv("BELAY_SETTINGS");
    setenv("BELAY_COMMIT_TIMEOUT", "later", 1);
    err.text[0] = '\0';
    assert_int_equal(bl_settings_load(&s, &err), BELAY_ERR_ARG);
    assert_non_null(strstr(err.text, "BELAY_COMMIT_TIMEOUT"));
}

static void line_longer_than_the_buffer_is_refused(void **state)
{
    (void)state;
    static char text[60000];
    bl_settings s;
    bl_error err;
    memset(text, 'x', sizeof text - 1);
    assert_int_equal(load(text, &s, &err), BELAY_ERR_ARG);
    memcpy(text, "dir = ", 6);
    assert_int_equal(load(text, &s, &err), BELAY_ERR_ARG);
}

static void kill_grammar(void **state)
{
    (void)state;
    static const char *const good[][2] = {
        { "2@step=40", "2@step=40" }, { "0@step=0", "0@step=0" }, { "1@call=500", "1@call=500" },
        { "3@point=vote", "3@point=vote#1" }, { "3@point=rename#12", "3@point=rename#12" }, { "0@after=1.5m", "0@after=90s" },
        { "1@call=5+power", "1@call=5+power" }, { "1@point=vote+power", "1@point=vote#1+power" }, { "2@step=7+power", "2@step=7+power" }, { "2@step=7+node", "2@step=7+node" },
    };
    static const char *const bad[] = {
        "", "2", "2@", "@step=1", "-1@step=1", "2@step", "2@step=", "2@step=x", "2@step=1x", "2@call=0", "2@point=nowhere",
        "2@point=vote#0", "2@point=vote#", "2@point=vot", "2@after=0", "2@after=-1s", "2@random:", "2@random:1/0",
        "2@random:1/", "4294967295@step=1", "99999999999999999999@step=1", "2@step=99999999999999999999", "2 @step=1",
        "2@after=1s+power", "2@step=1+", "2@step=1+power+power", "2@step=1+power+node", "2@after=1s+node", "+power", "2@+power",
    };
    bl_kill kill;
    bl_error err;
    char text[96];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(bl_kill_parse(good[i][0], &kill, &err), BELAY_OK);
        bl_kill_format(&kill, text, sizeof text);
        assert_string_equal(text, good[i][1]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(bl_kill_parse(bad[i], &kill, &err), BELAY_ERR_ARG);
}

static void every_point_has_a_name_that_parses(void **state)
{
    (void)state;
    for (int p = 0; p < BL_POINTS; p++) {
        char text[96];
        bl_kill kill;
        bl_error err;
        snprintf(text, sizeof text, "1@point=%s", bl_point_name((enum bl_point)p));
        assert_int_equal(bl_kill_parse(text, &kill, &err), BELAY_OK);
        assert_int_equal(kill.point, p);
    }
}

static void a_random_kill_is_its_seed(void **state)
{
    (void)state;
    bl_error err;
    unsigned low = 0;
    for (unsigned seed = 0; seed < 200; seed++) {
        char text[64];
        bl_kill a, b;
        snprintf(text, sizeof text, "1@random:%u/100", seed);
        assert_int_equal(bl_kill_parse(text, &a, &err), BELAY_OK);
        assert_int_equal(bl_kill_parse(text, &b, &err), BELAY_OK);
        assert_int_equal(a.when, BL_KILL_CALL);
        assert_true(a.number == b.number);
        assert_in_range(a.number, 1, 100);
        low += a.number <= 50;
    }
    assert_in_range(low, 60, 140); /* spread over the range */
}

static void kill_list_has_a_limit(void **state)
{
    (void)state;
    char list[BL_KILLS_MAX * 16 + 32] = "";
    bl_settings s;
    bl_error err;
    memset(&s, 0, sizeof s);
    for (unsigned i = 0; i < BL_KILLS_MAX; i++) strcat(list, i ? ",1@step=5" : "1@step=5");
    assert_int_equal(bl_settings_set(&s, "kill", list, "--kill", &err), BELAY_OK);
    assert_int_equal(s.kills, BL_KILLS_MAX);
    strcat(list, ",1@step=5");
    assert_int_equal(bl_settings_set(&s, "kill", list, "--kill", &err), BELAY_ERR_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults_are_the_tables, clean),
        cmocka_unit_test_setup(good_values, clean),
        cmocka_unit_test_setup(bad_values_are_named_with_their_origin, clean),
        cmocka_unit_test_setup(what_this_version_lacks_is_refused, clean),
        cmocka_unit_test_setup(async_where_it_is_possible, clean),
        cmocka_unit_test_setup(induced_checkpoints_are_told_by_markers, clean),
        cmocka_unit_test_setup(loggings, clean),
        cmocka_unit_test_setup(unknown_setting_is_refused, clean),
        cmocka_unit_test_setup(variable_wins_over_file_over_default, clean),
        cmocka_unit_test_setup(bad_line_is_named, clean),
        cmocka_unit_test_setup(missing_file_and_bad_variable_are_named, clean),
        cmocka_unit_test_setup(line_longer_than_the_buffer_is_refused, clean),
        cmocka_unit_test_setup(kill_grammar, clean),
        cmocka_unit_test_setup(every_point_has_a_name_that_parses, clean),
        cmocka_unit_test_setup(a_random_kill_is_its_seed, clean),
        cmocka_unit_test_setup(kill_list_has_a_limit, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
