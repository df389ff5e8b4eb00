/* Late files: what was appended comes back, what is not whole ends its file, what is not ours is refused, and a restart keeps
 * what it wants and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/late_file.h"
#include "test_store_common.h"

enum { RANKS = 3, MESSAGES = 5, LARGE = 300000, SEEN_MAX = 64 };

static char root[256], dir[300];
static bl_store *store;
static const uint64_t sizes[MESSAGES] = { 10, 0, 4096, 4097, 100 };
static unsigned char large[LARGE];

static int setup(void **state)
{
    bl_error err = { .code = 0 };
    (void)state;
    scratch_make(root);
    snprintf(dir, sizeof dir, "%s/belay.d", root);
    for (int i = 0; i < LARGE; i++)
        large[i] = (unsigned char)(i * 7 + i / 300);
    return bl_store_create(dir, RANKS, "x", BL_STABLE_PROCESS, &store, &err);
}

static int teardown(void **state)
{
    (void)state;
    bl_store_close(store);
    scratch_remove(root);
    return 0;
}

static const char *late_file(uint32_t checkpoint)
{
    static char path[2][400];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[0], "%s/rank-00001/late-%06u", dir, checkpoint);
    return path[turn];
}

static bl_late_message message(uint64_t number, uint64_t bytes)
{
    return (bl_late_message){ .comm = 77, .source = 2, .tag = -5, .number = number, .bytes = bytes, .data = large + number };
}

static void append(uint32_t checkpoint, uint64_t first, uint64_t last)
{
    bl_late *late;
    bl_error err = { .code = 0 };
    if (bl_late_open(store, 1, checkpoint, &late, &err) != BELAY_OK)
        fail_msg("%s", err.text);
    for (uint64_t n = first; n <= last; n++) {
        bl_late_message m = message(n, sizes[(n - 1) % MESSAGES]);
        if (bl_late_append(late, &m, &err) != BELAY_OK)
            fail_msg("%s", err.text);
    }
    bl_late_close(late);
}

/* --- what is read --- */

typedef struct seen {
    uint64_t number[SEEN_MAX];
    size_t count;
    bool with_data, wrong;
    bl_late_file file[8];
    size_t files;
} seen;

static int see(void *context, const bl_late_message *m, bl_error *err)
{
    seen *s = context;
    (void)err;
    if (m->comm != 77 || m->source != 2 || m->tag != -5 || s->count == SEEN_MAX
        || (m->bytes != LARGE - 100 && m->bytes != sizes[(m->number - 1) % MESSAGES])
        || (s->with_data && m->bytes > 0 && memcmp(m->data, large + m->number, (size_t)m->bytes) != 0)
        || (!s->with_data && m->data))
        s->wrong = true;
    else
        s->number[s->count++] = m->number;
    return BELAY_OK;
}

static int see_file(void *context, const bl_late_file *file, bl_error *err)
{
    seen *s = context;
    (void)err;
    s->file[s->files++] = *file;
    return BELAY_OK;
}

static seen look(int with_data)
{
    seen s = { .with_data = with_data };
    bl_error err = { .code = 0 };
    if (bl_late_scan(store, 1, with_data, see, see_file, &s, &err) != BELAY_OK)
        fail_msg("%s", err.text);
    assert_false(s.wrong);
    return s;
}

static int refused(int code, const char *part)
{
    seen s = { .count = 0 };
    bl_error err = { .code = 0 };
    return bl_late_read(store, 1, 0, see, &s, &err) == code && good_sentence(&err, code, part);
}

static void messages_come_back_in_order(void **state)
{
    (void)state;
    assert_int_equal(look(1).files, 0);
    append(12, 3, 4);
    append(0, 1, 2);
    append(12, 5, 5);
    for (int with_data = 0; with_data <= 1; with_data++) {
        seen s = look(with_data);
        assert_int_equal(s.count, MESSAGES);
        for (uint64_t n = 1; n <= MESSAGES; n++)
            assert_int_equal(s.number[n - 1], n);
        assert_int_equal(s.files, 2);
        assert_true(s.file[1].checkpoint == 12 && s.file[1].records == 3 && s.file[1].bytes == 4096 + 4097 + 100
                    && !s.file[1].wrong && s.file[1].good == s.file[1].size);
    }
}

static void no_message_no_file(void **state)
{
    (void)state;
    append(3, 1, 0);
    assert_false(scratch_exists(late_file(3)));
}

static void a_large_message_comes_back(void **state)
{
    (void)state;
    bl_late *late;
    bl_error err = { .code = 0 };
    bl_late_message m = message(1, LARGE - 100);
    assert_int_equal(bl_late_open(store, 1, 2, &late, &err), BELAY_OK);
    assert_int_equal(bl_late_append(late, &m, &err), BELAY_OK);
    bl_late_close(late);
    append(2, 2, 3);
    assert_int_equal(look(1).count, 3);
    assert_int_equal(look(0).count, 3);
}

static void what_cannot_be_kept_is_refused(void **state)
{
    (void)state;
    bl_late *late;
    bl_error err = { .code = 0 };
    assert_int_equal(bl_late_open(store, RANKS, 1, &late, &err), BELAY_ERR_ARG);
    assert_int_equal(bl_late_open(store, 1, 1000000000, &late, &err), BELAY_ERR_ARG);
    assert_int_equal(bl_late_open(store, 1, 1, &late, &err), BELAY_OK);
    for (int i = 0; i < 4; i++) {
        bl_late_message m = message(1, 10);
        if (i == 0) m.number = 0;
        if (i == 1) m.source = RANKS;
        if (i == 2) m.bytes = BL_LATE_BYTES_MAX + 1;
        if (i == 3) m.data = NULL;
        assert_int_equal(bl_late_append(late, &m, &err), BELAY_ERR_ARG);
    }
    bl_late_close(late);
    assert_false(scratch_exists(late_file(1)));
}

static uint64_t end_of(uint64_t messages)
{
    uint64_t at = sizeof(bl_late_head);
    for (uint64_t n = 0; n < messages; n++)
        at += sizeof(bl_late_record) + sizes[n];
    return at;
}

/* Every place: what was whole comes back, nothing else, and the next message finds its place. */
static void wherever_it_is_cut_what_was_whole_is_there(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    append(7, 1, MESSAGES);
    scratch_read(late_file(7), &bytes, &size);
    assert_int_equal(size, end_of(MESSAGES));
    for (size_t cut = 0; cut <= size; cut += cut > end_of(2) + 100 && cut + 300 < size ? 97 : 1) {
        uint64_t whole = 0;
        while (whole < MESSAGES && end_of(whole + 1) <= cut)
            whole++;
        scratch_write(late_file(7), bytes, cut);
        seen s = look(1);
        assert_int_equal(s.count, whole);
        assert_true(s.file[0].torn || cut == end_of(whole));
        append(7, whole + 1, whole + 1);
        s = look(1);
        assert_int_equal(s.count, whole + 1);
        assert_null(s.file[0].wrong);
    }
    free(bytes);
}

static void a_file_that_grew_but_was_not_filled_is_torn(void **state)
{
    (void)state;
    append(7, 1, 2);
    assert_int_equal(truncate(late_file(7), (off_t)end_of(2) + 5000), 0);
    seen s = look(1);
    assert_int_equal(s.count, 2);
    assert_true(s.file[0].torn);
    append(7, 3, 3);
    assert_int_equal(look(1).count, 3);
}

static void a_flipped_byte_ends_its_file_only(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    bl_late *late;
    append(7, 1, MESSAGES);
    scratch_read(late_file(7), &bytes, &size);
    append(9, 1, 1);
    for (size_t at = 0; at < size; at += at > end_of(2) + 100 && at + 300 < size ? 61 : 1) {
        bl_error err = { .code = 0 };
        uint64_t whole = 0;
        while (whole < MESSAGES && end_of(whole + 1) <= at)
            whole++;
        if (at < sizeof(bl_late_head))
            whole = 0;
        bytes[at] = (char)(bytes[at] ^ (1 << at % 8));
        scratch_write(late_file(7), bytes, size);
        bytes[at] = (char)(bytes[at] ^ (1 << at % 8));
        seen s = look(1);
        assert_int_equal(s.count, whole + 1);
        assert_true(s.file[0].wrong && !s.file[0].torn && s.file[0].records == whole);
        assert_int_equal(bl_late_open(store, 1, 7, &late, &err), BELAY_ERR_DAMAGED);
        assert_true(good_sentence(&err, BELAY_ERR_DAMAGED, "late-000007"));
    }
    free(bytes);
}

/* Written by hand with a good checksum. */
static void write_head(uint32_t checkpoint, bl_late_head h)
{
    bl_digest sum = bl_digest_of(&h, offsetof(bl_late_head, low));
    h.low = sum.low;
    h.high = sum.high;
    scratch_write(late_file(checkpoint), &h, sizeof h);
}

static void what_is_not_ours_is_refused_by_name(void **state)
{
    (void)state;
    bl_late *late;
    bl_error err = { .code = 0 };
    append(7, 1, 1);
    bl_late_head ours = bl_late_make_head(store, 1, 7), h = ours;
    memset(h.job, 'a', 16);
    write_head(7, h);
    assert_true(refused(BELAY_ERR_FOREIGN, "late-000007"));
    assert_int_equal(bl_late_open(store, 1, 7, &late, &err), BELAY_ERR_FOREIGN);
    h = ours;
    h.rank = 2;
    write_head(7, h);
    assert_true(refused(BELAY_ERR_FOREIGN, "rank 2"));
    h = ours;
    h.checkpoint = 8;
    write_head(7, h);
    assert_true(refused(BELAY_ERR_FOREIGN, "checkpoint 8"));
    h = ours;
    h.format = BL_FORMAT + 1;
    write_head(7, h);
    assert_true(refused(BELAY_ERR_FORMAT, "newer Belay"));
    memset(h.job, 'x', sizeof h.job);
    h.format = BL_FORMAT;
    write_head(7, h);
    assert_true(refused(BELAY_ERR_FOREIGN, "another job"));
}

static void what_is_no_file_is_damage(void **state)
{
    (void)state;
    append(7, 1, 1);
    assert_int_equal(rename(late_file(7), late_file(8)), 0);
    assert_int_equal(symlink("late-000008", late_file(7)), 0);
    assert_int_equal(mkdir(late_file(9), 0777), 0);
    assert_int_equal(unlink(late_file(8)), 0);
    seen s = look(1);
    assert_int_equal(s.files, 2);
    assert_true(s.file[0].wrong && s.file[1].wrong && s.count == 0);
}

/* The same record elsewhere in the file, or in another file, is none. */
static void a_record_out_of_place_is_none(void **state)
{
    (void)state;
    char *bytes, *other;
    size_t size, other_size;
    append(7, 1, 1);
    append(8, 1, 1);
    scratch_read(late_file(7), &bytes, &size);
    scratch_read(late_file(8), &other, &other_size);
    memcpy(bytes + sizeof(bl_late_head), other + sizeof(bl_late_head), size - sizeof(bl_late_head));
    scratch_write(late_file(7), bytes, size);
    assert_int_equal(look(1).count, 1);
    other = realloc(other, 2 * other_size);
    memcpy(other + other_size, other + sizeof(bl_late_head), other_size - sizeof(bl_late_head));
    scratch_write(late_file(8), other, 2 * other_size - sizeof(bl_late_head));
    assert_int_equal(look(1).count, 1);
    free(bytes);
    free(other);
}

/* --- restarts --- */

static int multiple(void *context, const bl_late_message *m)
{
    return !m->data && m->number % *(uint64_t *)context == 0;
}

static void settle(uint32_t checkpoint, uint64_t of)
{
    bl_error err = { .code = 0 };
    if (bl_late_settle(store, 1, checkpoint, multiple, &of, &err) != BELAY_OK)
        fail_msg("%s", err.text);
}

static void settling_keeps_what_is_wanted_once(void **state)
{
    (void)state;
    append(0, 1, 4);
    append(3, 3, 9);
    append(5, 9, 12);
    settle(4, 3);
    seen s = look(1);
    assert_int_equal(s.files, 1);
    assert_int_equal(s.file[0].checkpoint, 4);
    assert_int_equal(s.count, 4);
    for (uint64_t k = 0; k < 4; k++)
        assert_int_equal(s.number[k], 3 * (k + 1));
    settle(4, 6); /* into the file it comes from */
    append(4, 7, 7);
    s = look(1);
    assert_true(s.count == 3 && s.number[0] == 6 && s.number[1] == 12 && s.number[2] == 7);
    settle(2, 1000);
    assert_int_equal(look(1).files, 0);
    assert_int_equal(scratch_count(dir, "late-"), 0);
}

static void settling_sets_damage_aside(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    for (uint32_t to = 3; to <= 4; to++) {
        append(3, 1, MESSAGES);
        scratch_read(late_file(3), &bytes, &size);
        bytes[end_of(3) + 20]++;
        scratch_write(late_file(3), bytes, size);
        free(bytes);
        settle(to, 1);
        seen s = look(1);
        assert_true(s.files == 1 && s.count == 3 && s.file[0].checkpoint == to && !s.file[0].wrong);
        settle(3, 1000);
    }
    assert_int_equal(scratch_count(dir, "rank-00001-late-000003"), 2);
}

static void settling_refuses_what_is_not_ours(void **state)
{
    (void)state;
    uint64_t of = 1;
    bl_error err = { .code = 0 };
    append(3, 1, 2);
    bl_late_head h = bl_late_make_head(store, 1, 7);
    h.format++;
    write_head(7, h);
    assert_int_equal(bl_late_settle(store, 1, 3, multiple, &of, &err), BELAY_ERR_FORMAT);
    assert_true(scratch_exists(late_file(3)) && scratch_exists(late_file(7)));
}

static void an_older_incarnation_adds_and_removes_nothing(void **state)
{
    (void)state;
    bl_store *newer;
    bl_late *late;
    uint64_t of = 1;
    uint32_t removed;
    bl_error err = { .code = 0 };
    bl_late_message m = message(2, sizes[1]);
    append(3, 1, 1);
    assert_int_equal(bl_late_open(store, 1, 3, &late, &err), BELAY_OK);
    assert_int_equal(bl_store_open(dir, BL_STABLE_PROCESS, &newer, &err), BELAY_OK);
    assert_int_equal(bl_store_next_incarnation(newer, &err), BELAY_OK);
    bl_store_close(newer);
    assert_int_equal(bl_late_append(late, &m, &err), BELAY_ERR_STALE);
    assert_int_equal(bl_late_settle(store, 1, 4, multiple, &of, &err), BELAY_ERR_STALE);
    assert_int_equal(bl_late_remove_before(store, 1, 4, multiple, &of, &removed, &err), BELAY_ERR_STALE);
    bl_late_close(late);
    seen s = look(1);
    assert_true(s.count == 1 && s.file[0].checkpoint == 3);
}

static int beyond(void *context, const bl_late_message *m)
{
    return m->number > *(uint64_t *)context;
}

static void garbage_goes_unless_it_is_in_transit(void **state)
{
    (void)state;
    uint64_t received = 4;
    uint32_t removed;
    bl_error err = { .code = 0 };
    append(1, 1, 2);
    append(2, 3, 5); /* the checkpoint after it was taken where 4 had been received */
    append(3, 6, 6);
    assert_int_equal(bl_late_remove_before(store, 1, 3, beyond, &received, &removed, &err), BELAY_OK);
    assert_int_equal(removed, 1);
    seen s = look(0);
    assert_true(s.files == 2 && s.file[0].checkpoint == 2 && s.file[1].checkpoint == 3);
    received = 5;
    assert_int_equal(bl_late_remove_before(store, 1, 3, beyond, &received, &removed, &err), BELAY_OK);
    assert_true(removed == 1 && look(0).files == 1);
}

static int once(void *context, const bl_late_message *m, bl_error *err)
{
    (void)m;
    ++*(int *)context;
    return bl_fail(err, BELAY_ERR_REFUSED, "that is enough of it");
}

static void the_reading_ends_when_it_is_told_to(void **state)
{
    (void)state;
    int calls = 0;
    bl_error err = { .code = 0 };
    append(1, 1, 3);
    assert_int_equal(bl_late_read(store, 1, 1, once, &calls, &err), BELAY_ERR_REFUSED);
    assert_int_equal(calls, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(messages_come_back_in_order),
        TEST(no_message_no_file),
        TEST(a_large_message_comes_back),
        TEST(what_cannot_be_kept_is_refused),
        TEST(wherever_it_is_cut_what_was_whole_is_there),
        TEST(a_file_that_grew_but_was_not_filled_is_torn),
        TEST(a_flipped_byte_ends_its_file_only),
        TEST(what_is_not_ours_is_refused_by_name),
        TEST(what_is_no_file_is_damage),
        TEST(a_record_out_of_place_is_none),
        TEST(settling_keeps_what_is_wanted_once),
        TEST(settling_sets_damage_aside),
        TEST(settling_refuses_what_is_not_ours),
        TEST(an_older_incarnation_adds_and_removes_nothing),
        TEST(garbage_goes_unless_it_is_in_transit),
        TEST(the_reading_ends_when_it_is_told_to),
    };
    return cmocka_run_group_tests_name("late files", tests, NULL, NULL);
}
