/* Commit records: decided once, kept twice, read by the two-disk rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/internal.h"
#include "store/store.h"
#include "test_store_common.h"

enum { RANKS = 2 };

static char root[256], dir[300];
static bl_store *store;

static int setup(void **state)
{
    bl_error err = { .code = 0 };
    (void)state;
    scratch_make(root);
    snprintf(dir, sizeof dir, "%s/belay.d", root);
    return bl_store_create(dir, RANKS, "x", BL_STABLE_PROCESS, &store, &err);
}

static int teardown(void **state)
{
    (void)state;
    bl_store_close(store);
    scratch_remove(root);
    return 0;
}

static bl_digest some_digests[RANKS] = { { 1, 2 }, { 3, UINT64_MAX } };

static bl_commit_record some_record(uint32_t checkpoint, enum bl_decision decision)
{
    return (bl_commit_record){
        .decision = decision, .checkpoint = checkpoint, .incarnation = 0, .ranks = RANKS, .safe_point = 40, .time_ns = INT64_MIN,
        .compute_s = 0.1, .digests = decision == BL_COMMITTED ? some_digests : NULL
    };
}

static enum bl_decision decide(uint32_t checkpoint, enum bl_decision decision)
{
    enum bl_decision actual = BL_UNDECIDED;
    bl_commit_record record = some_record(checkpoint, decision);
    bl_error err = { .code = 0 };
    if (bl_commit_decide(store, &record, &actual, &err) != BELAY_OK)
        fail_msg("%s", err.text);
    return actual;
}

static const char *record_path(uint32_t checkpoint, char half)
{
    static char path[2][400];
    snprintf(path[half == 'b'], sizeof path[0], "%s/commit/%06u.%c", dir, checkpoint, half);
    return path[half == 'b'];
}

static void a_record_comes_back_exactly(void **state)
{
    (void)state;
    bl_commit_record is;
    bl_error err = { .code = 0 };
    assert_int_equal(decide(12, BL_COMMITTED), BL_COMMITTED);
    assert_int_equal(bl_commit_read(store, 12, &is, &err), BELAY_OK);
    assert_int_equal(is.decision, BL_COMMITTED);
    assert_true(is.checkpoint == 12 && is.incarnation == 0 && is.ranks == RANKS && is.safe_point == 40);
    assert_true(is.time_ns == INT64_MIN && memcmp(&is.compute_s, &(double){ 0.1 }, sizeof is.compute_s) == 0);
    assert_memory_equal(is.digests, some_digests, sizeof some_digests);
    bl_commit_clear(&is);
    assert_int_equal(bl_commit_read(store, 13, &is, &err), BELAY_ERR_NONE);
    assert_int_equal(decide(13, BL_ABORTED), BL_ABORTED);
    assert_int_equal(bl_commit_read(store, 13, &is, &err), BELAY_OK);
    assert_int_equal(is.decision, BL_ABORTED);
    assert_null(is.digests);
    assert_int_equal(scratch_count(dir, ".tmp-"), 0);
}

static void the_first_decision_stands(void **state)
{
    (void)state;
    assert_int_equal(decide(1, BL_ABORTED), BL_ABORTED);
    assert_int_equal(decide(1, BL_COMMITTED), BL_ABORTED);
    assert_int_equal(decide(2, BL_COMMITTED), BL_COMMITTED);
    assert_int_equal(decide(2, BL_ABORTED), BL_COMMITTED);
    assert_int_equal(unlink(record_path(2, 'a')), 0);
    assert_int_equal(decide(2, BL_ABORTED), BL_COMMITTED); /* the mirror alone keeps the word, too */
    assert_true(scratch_exists(record_path(2, 'a')));
}

static void what_cannot_be_stored_is_refused(void **state)
{
    (void)state;
    bl_error err = { .code = 0 };
    enum bl_decision actual;
    for (int i = 0; i < 8; i++) {
        bl_commit_record r = some_record(5, BL_COMMITTED);
        switch (i) {
        case 0: r.decision = BL_UNDECIDED; break;
        case 1: r.checkpoint = 0; break;
        case 2: r.checkpoint = 1000000000; break;
        case 3: r.ranks = RANKS + 1; break;
        case 4: r.digests = NULL; break;
        case 5: r.compute_s = 1e308 * 10; break;
        case 6: r.safe_point = UINT64_MAX; break;
        case 7: r.decision = (enum bl_decision)9; break;
        default: break;
        }
        assert_int_equal(bl_commit_decide(store, &r, &actual, &err), BELAY_ERR_ARG);
    }
    assert_int_equal(scratch_count(dir, "000"), 0);
}

/* --- two disks --- */

enum copy { ABSENT, GOOD, OTHER, CUT, FLIPPED, EMPTY, NEWER, FOREIGN, DIRECTORY, COPIES };
static char *texts[COPIES];
static size_t sizes[COPIES];

static void set_text(enum copy c, const char *text, size_t size)
{
    texts[c] = malloc(size + 1);
    memcpy(texts[c], text, size);
    sizes[c] = size;
}

/* A record with one character of its body changed and signed again. */
static void set_signed(enum copy c, const char *find, const char *replace, char head_format)
{
    char text[4096], hex[BL_HEX + 1], *body;
    memcpy(text, texts[GOOD], sizes[GOOD]);
    text[sizes[GOOD]] = '\0';
    memcpy(strstr(text, find), replace, strlen(replace));
    body = strchr(text, '\n') + 1;
    bl_digest_text(bl_digest_of(body, strlen(body)), hex);
    memcpy(text + strlen("belay-commit 1 "), hex, BL_HEX);
    text[strlen("belay-commit ")] = head_format;
    set_text(c, text, sizes[GOOD]);
}

static void make_texts(void)
{
    char *text, job[64];
    size_t size;
    assert_int_equal(decide(8, BL_ABORTED), BL_ABORTED);
    assert_int_equal(decide(9, BL_COMMITTED), BL_COMMITTED);
    scratch_read(record_path(9, 'a'), &text, &size);
    set_text(GOOD, text, size);
    set_text(CUT, text, size - 7);
    text[size / 2] = (char)(text[size / 2] ^ 4);
    set_text(FLIPPED, text, size);
    free(text);
    set_signed(OTHER, "\"safe_point\": 40", "\"safe_point\": 41", '1');
    set_signed(NEWER, "\"format\": 1", "\"format\": 2", '2');
    snprintf(job, sizeof job, "\"job\": \"%s\"", bl_store_job(store)->id);
    set_signed(FOREIGN, job, "\"job\": \"0123456789abcdef\"", '1');
    set_text(EMPTY, "", 0);
}

static void put_copy(enum copy c, char half)
{
    scratch_remove(record_path(9, half));
    if (c == DIRECTORY)
        assert_int_equal(mkdir(record_path(9, half), 0777), 0);
    else if (c != ABSENT)
        scratch_write(record_path(9, half), texts[c], sizes[c]);
}

static int code_of(enum copy c)
{
    switch (c) {
    case ABSENT: return BELAY_ERR_NONE;
    case GOOD: case OTHER: return BELAY_OK;
    case NEWER: return BELAY_ERR_FORMAT;
    case FOREIGN: return BELAY_ERR_FOREIGN;
    default: return BELAY_ERR_DAMAGED;
    }
}

static bool counts(enum copy c)
{
    return c == GOOD || c == OTHER || c == NEWER;
}

static void check_pair(enum copy a, enum copy b)
{
    bl_commit_record is;
    bl_error err = { .code = 0 };
    enum copy winner = counts(a) ? a : counts(b) ? b : a != ABSENT ? a : b;
    int want = code_of(winner);
    put_copy(a, 'a');
    put_copy(b, 'b');
    int code = bl_commit_read(store, 9, &is, &err);
    if (code != want)
        fail_msg("copies %d and %d: %d instead of %d: %s", (int)a, (int)b, code, want, err.text);
    if (code == BELAY_OK)
        assert_int_equal(is.safe_point, winner == GOOD ? 40 : 41);
    else
        assert_true(good_sentence(&err, want, "commit/000009."));
    bl_commit_clear(&is);
    if (a == DIRECTORY || b == DIRECTORY)
        return;
    assert_int_equal(bl_commit_repair(store, 9, &err), want);
    if (want == BELAY_OK) {
        char *text[2];
        size_t size[2];
        scratch_read(record_path(9, 'a'), &text[0], &size[0]);
        scratch_read(record_path(9, 'b'), &text[1], &size[1]);
        assert_true(size[0] == sizes[winner] && size[1] == sizes[winner]);
        assert_memory_equal(text[0], texts[winner], sizes[winner]);
        assert_memory_equal(text[1], texts[winner], sizes[winner]);
        free(text[0]);
        free(text[1]);
    } else {
        assert_int_equal(scratch_exists(record_path(9, 'a')), a != ABSENT); /* nothing is invented */
        assert_int_equal(scratch_exists(record_path(9, 'b')), b != ABSENT);
    }
}

static void every_pair_of_copies_follows_the_two_disk_rules(void **state)
{
    (void)state;
    make_texts();
    for (int a = ABSENT; a < COPIES; a++)
        for (int b = ABSENT; b < COPIES; b++)
            check_pair((enum copy)a, (enum copy)b);
    for (int c = 0; c < COPIES; c++)
        free(texts[c]);
    memset(texts, 0, sizeof texts);
}

static void nothing_is_decided_over_a_damaged_record(void **state)
{
    (void)state;
    enum bl_decision actual;
    bl_commit_record record = some_record(9, BL_ABORTED);
    bl_error err = { .code = 0 };
    assert_int_equal(decide(9, BL_COMMITTED), BL_COMMITTED);
    assert_int_equal(unlink(record_path(9, 'a')), 0);
    assert_int_equal(truncate(record_path(9, 'b'), 30), 0);
    assert_int_equal(bl_commit_decide(store, &record, &actual, &err), BELAY_ERR_DAMAGED);
    assert_false(scratch_exists(record_path(9, 'a')));
}

static void every_altered_byte_and_every_truncation_is_noticed(void **state)
{
    (void)state;
    char *text;
    size_t size;
    bl_commit_record is;
    bl_error err = { .code = 0 };
    assert_int_equal(decide(9, BL_COMMITTED), BL_COMMITTED);
    scratch_read(record_path(9, 'a'), &text, &size);
    assert_int_equal(unlink(record_path(9, 'b')), 0);
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            text[i] = (char)(text[i] ^ (1 << bit));
            scratch_write(record_path(9, 'a'), text, size);
            text[i] = (char)(text[i] ^ (1 << bit));
            assert_int_equal(bl_commit_read(store, 9, &is, &err), BELAY_ERR_DAMAGED);
        }
    for (size_t i = 0; i < size; i++) {
        scratch_write(record_path(9, 'a'), text, i);
        assert_int_equal(bl_commit_read(store, 9, &is, &err), BELAY_ERR_DAMAGED);
    }
    free(text);
}

static void a_record_under_another_name_is_foreign(void **state)
{
    (void)state;
    bl_commit_record is;
    bl_error err = { .code = 0 };
    assert_int_equal(decide(9, BL_COMMITTED), BL_COMMITTED);
    assert_int_equal(rename(record_path(9, 'a'), record_path(10, 'b')), 0);
    assert_int_equal(bl_commit_read(store, 10, &is, &err), BELAY_ERR_FOREIGN);
    assert_true(good_sentence(&err, BELAY_ERR_FOREIGN, "checkpoint 9"));
}

/* The body is signed and makes no sense. */
static void signed_nonsense_is_damage(void **state)
{
    (void)state;
    static const char *const nonsense[][2] = {
        { "\"committed\"", "\"undecided\"" }, { "\"snapshots\"", "\"snapshits\"" }, { "0.1", "\"a\"" }, { "\"ranks\": 2", "\"ranks\":-2" },
        { "00000000000000010000000000000002", "0000000000000001000000000000000X" }, { "[", "{" },
        { "\"safe_point\": 40", "\"safe_point\":-40" }, { "\"incarnation\": 0", "\"incarnation\":-9" }
    };
    bl_commit_record is;
    bl_error err = { .code = 0 };
    some_digests[0] = (bl_digest){ .low = 2, .high = 1 };
    make_texts();
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        free(texts[OTHER]);
        set_signed(OTHER, nonsense[i][0], nonsense[i][1], '1');
        put_copy(OTHER, 'a');
        put_copy(ABSENT, 'b');
        assert_int_equal(bl_commit_read(store, 9, &is, &err), BELAY_ERR_DAMAGED);
        assert_null(is.digests);
    }
    for (int c = 0; c < COPIES; c++)
        free(texts[c]);
    memset(texts, 0, sizeof texts);
}

/* --- races --- */

static void processes_that_decide_at_the_same_time_agree(void **state)
{
    (void)state;
    enum { ROUNDS = 40, DECIDERS = 4 };
    int both[3] = { 0, 0, 0 };
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        pid_t pids[DECIDERS];
        int go[2];
        assert_int_equal(pipe(go), 0);
        for (int i = 0; i < DECIDERS; i++)
            if ((pids[i] = fork()) == 0) {
                char byte;
                close(go[1]);
                if (read(go[0], &byte, 1) != 0)
                    _exit(99);
                _exit((int)decide(round, i % 2 ? BL_COMMITTED : BL_ABORTED));
            }
        close(go[1]); /* all start */
        bl_commit_record is;
        bl_error err = { .code = 0 };
        int first = -1;
        for (int i = 0; i < DECIDERS; i++) {
            int status;
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_true(WIFEXITED(status));
            assert_true(first < 0 || first == WEXITSTATUS(status));
            first = WEXITSTATUS(status);
        }
        close(go[0]);
        assert_true(first == BL_COMMITTED || first == BL_ABORTED);
        both[first]++;
        assert_int_equal(bl_commit_read(store, round, &is, &err), BELAY_OK);
        assert_int_equal(is.decision, first);
        bl_commit_clear(&is);
        char *text[2];
        size_t size[2];
        scratch_read(record_path(round, 'a'), &text[0], &size[0]);
        scratch_read(record_path(round, 'b'), &text[1], &size[1]);
        assert_int_equal(size[0], size[1]);
        assert_memory_equal(text[0], text[1], size[0]);
        free(text[0]);
        free(text[1]);
    }
    assert_int_equal(scratch_count(dir, ".tmp-"), 0);
    print_message("%d committed, %d aborted\n", both[BL_COMMITTED], both[BL_ABORTED]);
}

/* --- all of them --- */

static void note(void *context, const char *sentence)
{
    assert_non_null(strstr(sentence, "000007"));
    ++*(int *)context;
}

static void the_newest_committed_record_is_found_past_others(void **state)
{
    (void)state;
    bl_commit_record is;
    bl_error err = { .code = 0 };
    uint32_t *numbers;
    size_t count;
    int notes = 0;
    assert_int_equal(bl_commit_newest(store, UINT32_MAX, &is, note, &notes, &err), BELAY_ERR_NONE);
    for (uint32_t c = 3; c <= 8; c++)
        decide(c, c % 4 == 0 ? BL_ABORTED : BL_COMMITTED);
    assert_int_equal(truncate(record_path(7, 'a'), 3), 0);
    assert_int_equal(truncate(record_path(7, 'b'), 3), 0);
    assert_int_equal(unlink(record_path(6, 'a')), 0);
    static const uint32_t newest[][2] = { { UINT32_MAX, 6 }, { 7, 6 }, { 6, 5 }, { 5, 3 }, { 3, 0 } };
    for (size_t i = 0; i < sizeof newest / sizeof *newest; i++) {
        int code = bl_commit_newest(store, newest[i][0], &is, note, &notes, &err);
        assert_int_equal(code, newest[i][1] ? BELAY_OK : BELAY_ERR_NONE);
        assert_int_equal(is.checkpoint, newest[i][1]);
        bl_commit_clear(&is);
    }
    assert_int_equal(notes, 1);
    assert_int_equal(bl_commit_list(store, &numbers, &count, &err), BELAY_OK);
    assert_int_equal(count, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(numbers[i], 3 + i);
    free(numbers);
}

static void a_record_of_a_newer_belay_is_not_passed_over(void **state)
{
    (void)state;
    bl_commit_record is;
    bl_error err = { .code = 0 };
    make_texts();
    put_copy(NEWER, 'a');
    put_copy(NEWER, 'b');
    assert_int_equal(bl_commit_newest(store, UINT32_MAX, &is, note, NULL, &err), BELAY_ERR_FORMAT);
    for (int c = 0; c < COPIES; c++)
        free(texts[c]);
    memset(texts, 0, sizeof texts);
}

static void removal_is_complete_and_can_be_repeated(void **state)
{
    (void)state;
    bl_commit_record is;
    bl_error err = { .code = 0 };
    sample s;
    bl_digest digest;
    sample_make(&s, 0, RANKS, 4, 0);
    assert_int_equal(bl_snapshot_write(store, &s.snapshot, &digest, &err), BELAY_OK);
    decide(4, BL_COMMITTED);
    decide(5, BL_COMMITTED);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bl_commit_remove(store, 4, &err), BELAY_OK);
        assert_int_equal(bl_snapshot_remove(store, 0, 4, &err), BELAY_OK);
        assert_int_equal(bl_snapshot_remove(store, 1, 4, &err), BELAY_OK);
    }
    assert_int_equal(bl_commit_read(store, 4, &is, &err), BELAY_ERR_NONE);
    assert_int_equal(scratch_count(dir, "00004"), 0);
    assert_int_equal(bl_commit_read(store, 5, &is, &err), BELAY_OK);
    bl_commit_clear(&is);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_record_comes_back_exactly),
        TEST(the_first_decision_stands),
        TEST(what_cannot_be_stored_is_refused),
        TEST(every_pair_of_copies_follows_the_two_disk_rules),
        TEST(nothing_is_decided_over_a_damaged_record),
        TEST(every_altered_byte_and_every_truncation_is_noticed),
        TEST(a_record_under_another_name_is_foreign),
        TEST(signed_nonsense_is_damage),
        TEST(processes_that_decide_at_the_same_time_agree),
        TEST(the_newest_committed_record_is_found_past_others),
        TEST(a_record_of_a_newer_belay_is_not_passed_over),
        TEST(removal_is_complete_and_can_be_repeated),
    };
    return cmocka_run_group_tests_name("commit", tests, NULL, NULL);
}
