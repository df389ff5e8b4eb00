/* The past of a job on disk: which line it gives, what of it is in transit, and what a restart keeps of the late files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recovery/past.h"
#include "store/late.h"
#include "store/trace_file.h"
#include "test_store_common.h"

static char root[256], dir[300], noted[1024];
static bl_store *store;

static int setup(void **state)
{
    bl_error err = { .code = 0 };
    (void)state;
    scratch_make(root);
    snprintf(dir, sizeof dir, "%s/belay.d", root);
    noted[0] = '\0';
    return bl_store_create(dir, 2, "x", BL_STABLE_PROCESS, &store, &err);
}

static int teardown(void **state)
{
    (void)state;
    bl_store_close(store);
    scratch_remove(root);
    return 0;
}

static void save(const char *protocol, uint32_t rank, uint32_t number, uint64_t sent, uint64_t received)
{
    bl_error err;
    bl_digest digest;
    const bl_channel channels[] = { { 1, (int32_t)(1 - rank), 7, sent, received } };
    bl_snapshot s = { .rank = rank, .ranks = 2, .checkpoint = number, .channels = channels, .nchannels = 1,
                      .incarnation = bl_store_job(store)->incarnation };
    snprintf(s.protocol, sizeof s.protocol, "%s", protocol);
    if (strcmp(protocol, "induced") == 0) {
        s.index = number;
        s.forced = number % 2;
    }
    if (bl_snapshot_write(store, &s, &digest, &err) != BELAY_OK)
        fail_msg("%s", err.text);
}

/* Rank 1 is delivered these messages of rank 0. */
static void be_late(uint32_t checkpoint, uint64_t first, uint64_t last)
{
    bl_error err;
    bl_late *late;
    assert_int_equal(bl_late_open(store, 1, checkpoint, &late, &err), BELAY_OK);
    for (uint64_t n = first; n <= last; n++)
        assert_int_equal(bl_late_append(late, &(bl_late_message){ 1, 0, 7, n, sizeof n, &n }, &err), BELAY_OK);
    bl_late_close(late);
}

/* Rank 0 sends 5 before CP[0](1), of which rank 1 has received 3 at CP[1](1) and 5 at CP[1](2), two of them late. */
static void two_late(void)
{
    save("induced", 0, 1, 5, 0);
    save("induced", 1, 1, 0, 3);
    be_late(1, 4, 5);
}

static void note(void *context, const char *sentence)
{
    (void)context;
    snprintf(noted + strlen(noted), sizeof noted - strlen(noted), "%s\n", sentence);
}

static bl_past read_past(void)
{
    bl_past past;
    bl_error err = { 0, "" };
    if (bl_past_read(store, 0, note, NULL, &past, &err) != BELAY_OK)
        fail_msg("%s", err.text);
    return past;
}

static void line_is(const bl_past *past, uint32_t c0, uint32_t c1, size_t transits)
{
    assert_int_equal(past->line.cut[0], c0);
    assert_int_equal(past->line.cut[1], c1);
    assert_int_equal(past->transits, transits);
}

static const char *late_path(uint32_t checkpoint)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/rank-00001/late-%06u", dir, checkpoint);
    return path;
}

static int count(void *context, const bl_late_message *m, bl_error *err)
{
    (void)err;
    *(uint64_t *)context = *(uint64_t *)context * 10 + m->number;
    return BELAY_OK;
}

/* Their numbers as the digits of one. */
static uint64_t kept(void)
{
    uint64_t numbers = 0;
    assert_int_equal(bl_late_read(store, 1, 1, count, &numbers, NULL), BELAY_OK);
    return numbers;
}

static void what_is_kept_is_in_transit_on_the_line(void **state)
{
    (void)state;
    two_late();
    bl_past past = read_past();
    assert_string_equal(past.protocol, "induced");
    line_is(&past, 1, 1, 1);
    const bl_transit *t = past.transit;
    assert_true(t->from == 0 && t->to == 1 && t->comm == 1 && t->tag == 7 && t->first == 4 && t->last == 5);
    assert_true(past.at[0][1].index == 1 && past.at[0][1].forced == 1);
    bl_past_clear(&past);
}

static void what_is_not_kept_is_not(void **state)
{
    (void)state;
    two_late();
    assert_int_equal(unlink(late_path(1)), 0);
    bl_past past = read_past();
    line_is(&past, 0, 0, 0);
    bl_past_clear(&past);
}

static void independent_checkpoints_have_nothing_in_transit(void **state)
{
    (void)state;
    save("independent", 0, 1, 5, 0);
    save("independent", 1, 1, 0, 3);
    be_late(1, 4, 5); /* none of its business */
    bl_past past = read_past();
    assert_string_equal(past.protocol, "independent");
    line_is(&past, 0, 0, 0);
    bl_past_clear(&past);
}

static void a_job_keeps_its_protocol(void **state)
{
    (void)state;
    bl_past past;
    bl_error err = { 0, "" };
    past = read_past();
    assert_string_equal(past.protocol, "");
    assert_int_equal(bl_past_belongs(&past, store, "independent", &err), BELAY_OK);
    bl_past_clear(&past);
    be_late(0, 1, 1); /* before any checkpoint */
    past = read_past();
    assert_string_equal(past.protocol, "induced");
    bl_past_clear(&past);
    two_late();
    past = read_past();
    assert_int_equal(bl_past_belongs(&past, store, "induced", &err), BELAY_OK);
    assert_int_equal(bl_past_belongs(&past, store, "independent", &err), BELAY_ERR_REFUSED);
    assert_true(good_sentence(&err, BELAY_ERR_REFUSED, "checkpoint=induced"));
    bl_past_clear(&past);
    save("independent", 1, 2, 0, 5);
    assert_int_equal(bl_past_read(store, 0, NULL, NULL, &past, &err), BELAY_ERR_REFUSED);
    assert_true(good_sentence(&err, BELAY_ERR_REFUSED, "keeps its protocol"));
}

static void coordinated_ones_that_were_never_committed_are_left_out(void **state)
{
    (void)state;
    two_late();
    save("coordinated", 0, 2, 9, 0);
    bl_past past = read_past();
    line_is(&past, 1, 1, 1);
    bl_past_clear(&past);
}

static void damage_means_an_older_line_and_a_sentence(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    two_late();
    scratch_read(late_path(1), &bytes, &size);
    scratch_write(late_path(1), bytes, size - 1); /* torn: never delivered */
    bl_past past = read_past();
    line_is(&past, 0, 0, 0);
    assert_string_equal(noted, "");
    bl_past_clear(&past);
    bytes[size - 1]++;
    scratch_write(late_path(1), bytes, size);
    past = read_past();
    line_is(&past, 0, 0, 0);
    assert_non_null(strstr(noted, "rank 1: late-000001 is damaged after 1 messages"));
    bl_past_clear(&past);
    free(bytes);
}

static void a_late_file_of_another_rank_ends_it(void **state)
{
    (void)state;
    bl_past past;
    char to[400];
    bl_error err = { 0, "" };
    two_late();
    snprintf(to, sizeof to, "%s/rank-00000/late-000001", dir);
    assert_int_equal(rename(late_path(1), to), 0);
    assert_int_equal(bl_past_read(store, 0, NULL, NULL, &past, &err), BELAY_ERR_FOREIGN);
    assert_true(good_sentence(&err, BELAY_ERR_FOREIGN, "rank-00000/late-000001"));
}

static void settling_keeps_what_is_in_transit_and_nothing_else(void **state)
{
    (void)state;
    bl_error err = { 0, "" };
    two_late();
    be_late(1, 6, 8); /* sent after the line */
    bl_past past = read_past();
    line_is(&past, 1, 1, 1);
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(bl_past_settle(store, 0, 1, past.transit, past.transits, &err), BELAY_OK);
        assert_int_equal(bl_past_settle(store, 1, 1, past.transit, past.transits, &err), BELAY_OK);
        assert_int_equal(kept(), 45);
    }
    bl_past_clear(&past);
    past = read_past();
    line_is(&past, 1, 1, 1);
    assert_int_equal(unlink(late_path(1)), 0);
    assert_int_equal(bl_past_settle(store, 1, 1, past.transit, past.transits, &err), BELAY_ERR_DAMAGED);
    assert_true(good_sentence(&err, BELAY_ERR_DAMAGED, "2 of the 2 messages"));
    bl_past_clear(&past);
}

static void garbage_waits_for_what_may_be_in_transit(void **state)
{
    (void)state;
    uint32_t removed;
    bl_error err = { 0, "" };
    two_late();
    be_late(2, 6, 6);          /* CP[1](2) was promoted after ... */
    save("induced", 0, 2, 9, 0);
    save("induced", 1, 2, 0, 4); /* ... message 5 had been written to late-000001 */
    be_late(2, 7, 9);
    bl_past past = read_past();
    line_is(&past, 2, 2, 1);
    assert_int_equal(bl_past_collect(store, &past, &removed, &err), BELAY_OK);
    assert_int_equal(removed, 2);
    assert_int_equal(kept(), 456789);
    bl_past_clear(&past);
    save("induced", 1, 3, 0, 9);
    past = read_past();
    line_is(&past, 1, 2, 0); /* the first ones are gone */
    assert_int_equal(bl_past_collect(store, &past, &removed, &err), BELAY_OK);
    assert_int_equal(kept(), 0);
    bl_past_clear(&past);
}

static void the_trace_says_what_is_kept(void **state)
{
    (void)state;
    char path[400];
    bl_trace_file *file;
    const bl_trace_header *header;
    const bl_trace_rank *rank;
    bl_trace_dependency d[8];
    bl_trace_checkpoint c[8];
    size_t rows;
    bl_error err = { 0, "" };
    two_late();
    save("induced", 1, 2, 0, 5);
    be_late(2, 6, 6);
    assert_int_equal(bl_past_record(store, 0, &err), BELAY_OK);
    snprintf(path, sizeof path, "%s/trace-0000.h5", dir);
    if (bl_trace_file_open(path, &file, &header, &rank, &err) != BELAY_OK)
        fail_msg("%s", err.text);
    assert_true(header->logs == 1 && strcmp(header->protocol, "induced") == 0);
    assert_int_equal(bl_trace_file_dependencies(file, d, 8, &rows, &err), BELAY_OK);
    assert_int_equal(rows, 2);
    assert_true(d[0].sent_in == 1 && d[0].received_in == 1 && d[0].messages == 3);
    assert_true(d[1].sent_in == 1 && d[1].received_in == (2 | BL_TRACE_LOGGED) && d[1].messages == 2);
    assert_int_equal(bl_trace_file_checkpoints(file, c, 8, &rows, &err), BELAY_OK);
    assert_true(rows == 5 && c[1].forced == 1 && c[4].forced == 0);
    bl_trace_file_close(file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_kept_is_in_transit_on_the_line),
        TEST(what_is_not_kept_is_not),
        TEST(independent_checkpoints_have_nothing_in_transit),
        TEST(a_job_keeps_its_protocol),
        TEST(coordinated_ones_that_were_never_committed_are_left_out),
        TEST(damage_means_an_older_line_and_a_sentence),
        TEST(a_late_file_of_another_rank_ends_it),
        TEST(settling_keeps_what_is_in_transit_and_nothing_else),
        TEST(garbage_waits_for_what_may_be_in_transit),
        TEST(the_trace_says_what_is_kept),
    };
    return cmocka_run_group_tests_name("past", tests, NULL, NULL);
}
