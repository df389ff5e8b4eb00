/* Failing system calls: each one in the life of a job fails once, with a full disk and with a broken one; then the disk stays
 * full.  The caller gets one sentence, nothing half-made stays, and what was committed is still there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <hdf5.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store_io.h"
#include "store_scenario.h"
#include "test_store_common.h"

static char root[256], dir[300];

static int setup(void **state)
{
    (void)state;
    scratch_make(root);
    snprintf(dir, sizeof dir, "%s/belay.d", root);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_remove(root);
    return 0;
}

/* Twice: the libraries open files of their own when they are first used. */
static int calls_of_a_run(void)
{
    scenario_state state;
    bl_error err = { .code = BELAY_OK };
    int failed, calls = 0;
    for (int i = 0; i < 2; i++) {
        scratch_remove(dir);
        io_fail(0, 0, 0);
        if (scenario_run(dir, BL_STABLE_POWER, 0, &state, &err) != BELAY_OK)
            fail_msg("%s", err.text);
        calls = io_calls(&failed);
    }
    return calls;
}

/* True if the run noticed. */
static int fail_one(int nth, int number, int for_good)
{
    scenario_state state;
    bl_error err = { .code = BELAY_OK };
    int failed;
    scratch_remove(dir);
    io_fail(nth, number, for_good);
    int code = scenario_run(dir, BL_STABLE_POWER, 0, &state, &err);
    (void)io_calls(&failed);
    if (!failed && for_good)
        return 0; /* nothing needed space any more */
    assert_true(failed);
    if (code != BELAY_OK) {
        if (code != BELAY_ERR_SYSTEM && code != BELAY_ERR_DAMAGED)
            fail_msg("call %d, errno %d: code %d: %s", nth, number, code, err.text);
        assert_true(good_sentence(&err, code, strerror(failed)));
        if (failed == ENOSPC)
            assert_true(good_sentence(&err, code, "free some space"));
        if (scratch_count(dir, ".tmp-") != 0)
            fail_msg("call %d, errno %d: a temporary file stayed", nth, number);
    }
    const char *bad = scenario_recover(dir, &state, 1);
    if (bad)
        fail_msg("call %d, errno %d: %s", nth, number, bad);
    assert_int_equal(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
    return code != BELAY_OK;
}

static void each_call_fails_once(void **state)
{
    (void)state;
    static const int numbers[] = { ENOSPC, EIO };
    int calls = calls_of_a_run(), noticed = 0;
    for (int nth = 1; nth <= calls; nth++)
        noticed += fail_one(nth, numbers[nth % 2], 0);
    print_message("%d calls, %d failures noticed\n", calls, noticed);
    assert_true(noticed > calls / 2);
}

static void the_disk_stays_full(void **state)
{
    (void)state;
    int calls = calls_of_a_run();
    for (int nth = 2; nth <= calls; nth += 3)
        (void)fail_one(nth, ENOSPC, 1);
}

/* So many variables that HDF5 writes metadata early and wants it back. */
static void the_disk_fills_up_under_thousands_of_variables(void **state)
{
    (void)state;
    static bl_variable v[BL_VARS_MAX];
    static uint64_t data[BL_VARS_MAX];
    bl_store *store;
    bl_digest digest;
    bl_error err = { .code = BELAY_OK };
    int calls, failed, last = 1, code;
    for (uint32_t i = 0; i < BL_VARS_MAX; i++) {
        v[i] = (bl_variable){ .type = BL_TYPE_U64, .element = 8, .data = &data[i] };
        snprintf(v[i].name, sizeof v[i].name, "variable-with-a-long-name-in-front-of-its-number-%u", i);
    }
    bl_snapshot s = { .ranks = 1, .checkpoint = 1, .variables = v, .nvariables = BL_VARS_MAX };
    assert_int_equal(bl_store_create(dir, 1, "x", BL_STABLE_PROCESS, &store, &err), BELAY_OK);
    for (int nth = 1; last; nth += nth < 20 ? 1 : 1 + nth / 8) {
        io_fail(nth, ENOSPC, 1);
        code = bl_snapshot_write(store, &s, &digest, &err);
        calls = io_calls(&failed);
        last = failed;
        assert_int_equal(code, failed ? BELAY_ERR_SYSTEM : BELAY_OK);
        assert_true(!failed || good_sentence(&err, BELAY_ERR_SYSTEM, "No space left"));
        assert_int_equal(scratch_count(dir, "ckpt"), !failed);
    }
    assert_true(calls > 100);
    bl_store_close(store);
}

static void interrupted_and_short_transfers_are_completed(void **state)
{
    (void)state;
    scenario_state reached;
    bl_error err = { .code = BELAY_OK };
    io_stutter(1);
    int code = scenario_run(dir, BL_STABLE_POWER, 0, &reached, &err);
    const char *bad = scenario_recover(dir, &reached, 1);
    io_stutter(0);
    if (code != BELAY_OK || bad)
        fail_msg("%s", bad ? bad : err.text);
    assert_int_equal(reached.committed, 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_call_fails_once),
        TEST(the_disk_stays_full),
        TEST(the_disk_fills_up_under_thousands_of_variables),
        TEST(interrupted_and_short_transfers_are_completed),
    };
    int failures = cmocka_run_group_tests_name("faults", tests, NULL, NULL);
    fflush(NULL);
    _exit(failures ? 1 : 0); /* HDF5 1.10 loses memory when a read fails, and complains about it at exit */
}
