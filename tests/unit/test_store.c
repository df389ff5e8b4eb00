/* The job directory: making and opening it, incarnations and their fence, names, live tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/internal.h"
#include "store/live.h"
#include "store/store.h"
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

static bl_store *create(uint32_t ranks)
{
    bl_store *store;
    bl_error err = { .code = 0 };
    int code = bl_store_create(dir, ranks, "./heat2d", BL_STABLE_PROCESS, &store, &err);
    if (code != BELAY_OK)
        fail_msg("%s", err.text);
    return store;
}

static bl_store *reopen(void)
{
    bl_store *store;
    bl_error err = { .code = 0 };
    if (bl_store_open(dir, BL_STABLE_PROCESS, &store, &err) != BELAY_OK)
        fail_msg("%s", err.text);
    return store;
}

static const char *inside(const char *name)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void a_new_job_is_opened_as_it_was_made(void **state)
{
    (void)state;
    bl_store *made = create(5), *opened = reopen();
    const bl_job *a = bl_store_job(made), *b = bl_store_job(opened);
    assert_string_equal(a->id, b->id);
    assert_int_equal(strlen(b->id), 16);
    assert_int_equal(b->ranks, 5);
    assert_int_equal(b->incarnation, 0);
    assert_string_equal(b->program, "./heat2d");
    assert_string_equal(b->state, "running");
    assert_true(b->started_ns == a->started_ns && b->started_ns != 0);
    bl_store_close(made);
    bl_store_close(opened);
}

static void two_jobs_have_different_ids(void **state)
{
    (void)state;
    bl_store *one = create(1);
    char id[17];
    strcpy(id, bl_store_job(one)->id);
    bl_store_close(one);
    scratch_remove(dir);
    bl_store *two = create(1);
    assert_string_not_equal(id, bl_store_job(two)->id);
    bl_store_close(two);
}

static void the_directory_stays_the_same_after_chdir(void **state)
{
    (void)state;
    bl_store *store;
    bl_error err = { .code = 0 };
    char before[1024];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(root), 0);
    assert_int_equal(bl_store_create("belay.d", 1, "x", BL_STABLE_PROCESS, &store, &err), BELAY_OK);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(bl_store_set_state(store, "finished", &err), BELAY_OK);
    assert_int_equal(bl_store_dir(store)[0], '/');
    bl_store_close(store);
    assert_int_equal(chdir(before), 0);
}

static void a_directory_in_use_is_not_taken_over(void **state)
{
    (void)state;
    bl_store *store = create(1), *second;
    bl_error err = { .code = 0 };
    bl_store_close(store);
    assert_int_equal(bl_store_create(dir, 1, "x", BL_STABLE_PROCESS, &second, &err), BELAY_ERR_ARG);
    assert_null(second);
    assert_true(good_sentence(&err, BELAY_ERR_ARG, dir));
    scratch_remove(dir);
    assert_int_equal(mkdir(dir, 0777), 0);
    scratch_write(inside("thesis.tex"), "x", 1);
    assert_int_equal(bl_store_create(dir, 1, "x", BL_STABLE_PROCESS, &second, &err), BELAY_ERR_ARG);
    assert_true(good_sentence(&err, BELAY_ERR_ARG, "not empty"));
    assert_int_equal(scratch_count(dir, ""), 1);
}

static void an_interrupted_creation_does_not_block_the_next(void **state)
{
    (void)state;
    bl_store_close(create(3));
    assert_int_equal(unlink(inside("job.json")), 0);
    bl_store *store;
    bl_error err = { .code = 0 };
    assert_int_equal(bl_store_open(dir, BL_STABLE_PROCESS, &store, &err), BELAY_ERR_NONE);
    store = create(2);
    assert_int_equal(bl_store_job(store)->ranks, 2);
    assert_int_equal(bl_store_set_state(store, "finished", &err), BELAY_OK);
    bl_store_close(store);
}

static void no_directory_is_none_and_a_missing_parent_an_error(void **state)
{
    (void)state;
    bl_store *store;
    bl_error err = { .code = 0 };
    assert_int_equal(bl_store_open(dir, BL_STABLE_PROCESS, &store, &err), BELAY_ERR_NONE);
    assert_true(good_sentence(&err, BELAY_ERR_NONE, dir));
    assert_int_equal(bl_store_create(inside("deeper/job"), 1, "x", BL_STABLE_PROCESS, &store, &err), BELAY_ERR_SYSTEM);
    assert_true(good_sentence(&err, BELAY_ERR_SYSTEM, "No such file"));
    scratch_write(dir, "x", 1);
    assert_int_equal(bl_store_create(dir, 1, "x", BL_STABLE_PROCESS, &store, &err), BELAY_ERR_SYSTEM);
    assert_true(good_sentence(&err, BELAY_ERR_SYSTEM, "in the way"));
    assert_int_equal(bl_store_open(dir, BL_STABLE_PROCESS, &store, &err), BELAY_ERR_NONE);
}

static void every_altered_byte_and_every_truncation_of_job_json_is_noticed(void **state)
{
    (void)state;
    bl_store_close(create(4));
    char *bytes;
    size_t size;
    bl_store *store;
    bl_error err = { .code = 0 };
    scratch_read(inside("job.json"), &bytes, &size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)(bytes[i] ^ (1 << i % 8));
        scratch_write(inside("job.json"), bytes, size);
        bytes[i] = (char)(bytes[i] ^ (1 << i % 8));
        assert_int_equal(bl_store_open(dir, BL_STABLE_PROCESS, &store, &err), BELAY_ERR_DAMAGED);
        assert_true(good_sentence(&err, BELAY_ERR_DAMAGED, "job.json"));
        scratch_write(inside("job.json"), bytes, i);
        assert_int_equal(bl_store_open(dir, BL_STABLE_PROCESS, &store, &err), BELAY_ERR_DAMAGED);
    }
    free(bytes);
}

static void sign_job(char *text)
{
    char hex[BL_HEX + 1], *sum = strstr(text, "\"checksum\": \"") + strlen("\"checksum\": \"");
    memset(sum, '0', BL_HEX);
    bl_digest_text(bl_digest_of(text, strlen(text)), hex);
    memcpy(sum, hex, BL_HEX);
}

static void a_job_of_a_newer_format_is_refused_as_such(void **state)
{
    (void)state;
    bl_store_close(create(4));
    char *bytes;
    size_t size;
    bl_store *store;
    bl_error err = { .code = 0 };
    scratch_read(inside("job.json"), &bytes, &size);
    *(strstr(bytes, "\"format\": 1") + strlen("\"format\": ")) = '2';
    sign_job(bytes);
    scratch_write(inside("job.json"), bytes, size);
    assert_int_equal(bl_store_open(dir, BL_STABLE_PROCESS, &store, &err), BELAY_ERR_FORMAT);
    assert_true(good_sentence(&err, BELAY_ERR_FORMAT, "format 2"));
    free(bytes);
}

static void a_signed_job_with_nonsense_in_it_is_damaged(void **state)
{
    (void)state;
    static const char *const nonsense[][2] = {
        { "\"ranks\": 4", "\"ranks\": 0" }, { "\"ranks\": 4", "\"ranks\":-4" }, { "\"ranks\": 4", "\"manks\": 4" },
        { "\"running\"", "\"run ing\"" }, { "\"format\": 1", "\"format\": 0" }, { "{", "[" }
    };
    char *bytes, *copy;
    size_t size;
    bl_store *store;
    bl_error err = { .code = 0 };
    bl_store_close(create(4));
    scratch_read(inside("job.json"), &bytes, &size);
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        copy = strdup(bytes);
        memcpy(strstr(copy, nonsense[i][0]), nonsense[i][1], strlen(nonsense[i][1]));
        sign_job(copy);
        scratch_write(inside("job.json"), copy, size);
        free(copy);
        assert_int_equal(bl_store_open(dir, BL_STABLE_PROCESS, &store, &err), BELAY_ERR_DAMAGED);
    }
    free(bytes);
}

static void names_that_are_not_utf8_and_quotes_survive(void **state)
{
    (void)state;
    bl_store *store, *opened;
    bl_error err = { .code = 0 };
    assert_int_equal(bl_store_create(dir, 1, "a\"checksum\": \"\xff", BL_STABLE_PROCESS, &store, &err), BELAY_OK);
    opened = reopen();
    assert_string_equal(bl_store_job(opened)->program, "a\"checksum\": \"?");
    bl_store_close(opened);
    bl_store_close(store);
}

/* --- incarnations --- */

static void a_reader_cannot_write(void **state)
{
    (void)state;
    bl_store_close(create(1));
    bl_store *store = reopen();
    bl_error err = { .code = 0 };
    sample s;
    bl_digest digest;
    sample_make(&s, 0, 1, 1, 0);
    assert_int_equal(bl_snapshot_write(store, &s.snapshot, &digest, &err), BELAY_ERR_ARG);
    assert_int_equal(bl_store_set_state(store, "finished", &err), BELAY_ERR_ARG);
    assert_int_equal(bl_commit_remove(store, 1, &err), BELAY_ERR_ARG);
    assert_int_equal(bl_store_join(store, 0, &err), BELAY_OK);
    assert_int_equal(bl_snapshot_write(store, &s.snapshot, &digest, &err), BELAY_OK);
    bl_store_close(store);
}

static void whoever_was_replaced_publishes_nothing(void **state)
{
    (void)state;
    bl_store *old = create(1), *new = reopen();
    bl_error err = { .code = 0 };
    sample s;
    bl_digest digest = { 1, 2 };
    bl_live live;
    enum bl_decision actual;
    bl_commit_record record = { .decision = BL_COMMITTED, .checkpoint = 1, .ranks = 1, .digests = &digest };
    sample_make(&s, 0, 1, 1, 0);
    assert_int_equal(bl_snapshot_write(old, &s.snapshot, &digest, &err), BELAY_OK);
    assert_int_equal(bl_store_next_incarnation(new, &err), BELAY_OK);
    assert_int_equal(bl_store_job(new)->incarnation, 1);
    sample_make(&s, 0, 1, 2, 0);
    assert_int_equal(bl_snapshot_write(old, &s.snapshot, &digest, &err), BELAY_ERR_STALE);
    assert_true(good_sentence(&err, BELAY_ERR_STALE, "incarnation 1"));
    assert_int_equal(bl_commit_decide(old, &record, &actual, &err), BELAY_ERR_STALE);
    assert_int_equal(bl_store_set_state(old, "finished", &err), BELAY_ERR_STALE);
    assert_int_equal(bl_live_create(old, 0, &live, &err), BELAY_ERR_STALE);
    assert_int_equal(bl_snapshot_quarantine(old, 0, 1, NULL, 0, &err), BELAY_ERR_STALE);
    assert_int_equal(bl_snapshot_remove(old, 0, 1, &err), BELAY_ERR_STALE);
    assert_int_equal(bl_commit_repair(old, 1, &err), BELAY_ERR_STALE);
    assert_int_equal(bl_store_join(old, 0, &err), BELAY_ERR_STALE);
    assert_int_equal(scratch_count(dir, "ckpt-000002"), 0);
    assert_int_equal(scratch_count(dir, ".tmp-"), 0);
    assert_int_equal(scratch_count(dir, "live"), 0);
    assert_int_equal(scratch_count(dir, "ckpt-000001.h5"), 1);
    bl_store_close(old);
    bl_store_close(new);
}

static void an_incarnation_that_has_not_begun_cannot_be_joined(void **state)
{
    (void)state;
    bl_store *store = create(1);
    bl_error err = { .code = 0 };
    assert_int_equal(bl_store_join(store, 3, &err), BELAY_ERR_DAMAGED);
    assert_int_equal(bl_store_set_state(store, "finished", &err), BELAY_ERR_ARG);
    bl_store_close(store);
}

/* Every state in which a torn update can leave the two lines; the higher good one counts. */
static void one_damaged_line_of_the_fence_is_tolerated(void **state)
{
    (void)state;
    bl_store *store = create(1);
    bl_error err = { .code = 0 };
    char *bytes;
    size_t size;
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    scratch_read(inside("incarnation"), &bytes, &size);
    assert_int_equal(size, 160);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)(bytes[i] ^ (1 << i % 8));
        scratch_write(inside("incarnation"), bytes, size);
        bytes[i] = (char)(bytes[i] ^ (1 << i % 8));
        assert_int_equal(bl_store_join(store, 1, &err), BELAY_OK);
        assert_int_equal(bl_store_join(store, 0, &err), BELAY_ERR_STALE);
    }
    for (size_t i = 0; i < size; i++) {
        scratch_write(inside("incarnation"), bytes, i);
        assert_int_equal(bl_store_join(store, 1, &err), i < 80 ? BELAY_ERR_DAMAGED : BELAY_OK);
    }
    scratch_write(inside("incarnation"), "", 0);
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    assert_int_equal(bl_store_job(store)->incarnation, 2);
    free(bytes);
    bl_store_close(store);
}

static void a_start_that_died_half_way_is_counted(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    bl_store *store = create(1);
    bl_error err = { .code = 0 };
    scratch_read(inside("job.json"), &bytes, &size);
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    scratch_write(inside("job.json"), bytes, size); /* the fence says 1, job.json still 0 */
    bl_store_close(store);
    store = reopen();
    assert_int_equal(bl_store_job(store)->incarnation, 1);
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    assert_int_equal(bl_store_job(store)->incarnation, 2);
    free(bytes);
    bl_store_close(store);
}

static void starts_at_the_same_time_get_different_incarnations(void **state)
{
    (void)state;
    enum { STARTS = 8 };
    bl_store_close(create(1));
    pid_t pids[STARTS];
    uint32_t seen = 0;
    for (int i = 0; i < STARTS; i++)
        if ((pids[i] = fork()) == 0) {
            bl_store *store = reopen();
            bl_error err = { .code = 0 };
            _exit(bl_store_next_incarnation(store, &err) == BELAY_OK ? (int)bl_store_job(store)->incarnation : 99);
        }
    for (int i = 0; i < STARTS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) >= 1 && WEXITSTATUS(status) <= STARTS);
        seen |= 1u << WEXITSTATUS(status);
    }
    assert_int_equal(seen, 0x1fe);
}

static void a_publication_in_progress_is_waited_for(void **state)
{
    (void)state;
    bl_store *store = create(1);
    bl_error err = { .code = 0 };
    bl_fence fence;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        bl_store *mine = reopen();
        if (bl_store_join(mine, 0, &err) != BELAY_OK || bl_fence_enter(mine, &fence, &err) != BELAY_OK)
            _exit(1);
        byte = 1;
        if (write(ready[1], &byte, 1) != 1)
            _exit(1);
        nanosleep(&(struct timespec){ 0, 100000000 }, NULL);
        scratch_write(inside("published"), "x", 1);
        _exit(0);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    assert_true(scratch_exists(inside("published"))); /* nothing is published once the next one has begun */
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(ready[0]);
    close(ready[1]);
    bl_store_close(store);
}

static void the_state_is_rewritten_whole(void **state)
{
    (void)state;
    bl_store *store = create(1);
    bl_error err = { .code = 0 };
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    assert_int_equal(bl_store_set_state(store, "failed", &err), BELAY_OK);
    bl_store *opened = reopen();
    assert_string_equal(bl_store_job(opened)->state, "failed");
    assert_int_equal(bl_store_job(opened)->incarnation, 1);
    assert_int_equal(bl_store_set_state(store, "not a state", &err), BELAY_ERR_ARG);
    assert_int_equal(bl_store_set_state(store, "muchtoolongforastate", &err), BELAY_ERR_ARG);
    bl_store_close(opened);
    bl_store_close(store);
}

/* --- names --- */

static void the_highest_number_counts_everything_there_is(void **state)
{
    (void)state;
    bl_store *store = create(2);
    bl_error err = { .code = 0 };
    uint32_t highest;
    static const struct { const char *name; uint32_t highest; } steps[] = {
        { "commit/000003.b", 3 }, { "rank-00001/ckpt-000007.h5", 7 }, { "rank-00000/ckpt-000009.h5.tmp-0000", 9 },
        { "quarantine/rank-00001-ckpt-000011.h5", 11 }, { "quarantine/rank-00001-ckpt-000012.h5.1", 12 },
        { "commit/000014.tmp-0000-00", 14 }, { "commit/15.a", 14 }, { "commit/0000016.a", 14 }, { "rank-1/ckpt-000017.h5", 14 },
        { "rank-00001/ckpt-4294967295.h5", 14 }, { "rank-00001/ckpt-99999999999999999999.h5", 14 }, { "rank-00001/live-0018", 14 },
        { "rank-00001/ckpt-1234567.h5", 1234567 }
    };
    assert_int_equal(bl_store_highest(store, &highest, &err), BELAY_OK);
    assert_int_equal(highest, 0);
    assert_int_equal(mkdir(inside("rank-00000"), 0777), 0);
    assert_int_equal(mkdir(inside("rank-00001"), 0777), 0);
    assert_int_equal(mkdir(inside("rank-1"), 0777), 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        scratch_write(inside(steps[i].name), "x", 1);
        assert_int_equal(bl_store_highest(store, &highest, &err), BELAY_OK);
        assert_int_equal(highest, steps[i].highest);
    }
    uint32_t *numbers;
    size_t count;
    assert_int_equal(bl_snapshot_list(store, 1, &numbers, &count, &err), BELAY_OK);
    assert_int_equal(count, 2);
    assert_int_equal(numbers[0], 7);
    assert_int_equal(numbers[1], 1234567);
    free(numbers);
    assert_int_equal(bl_snapshot_list(store, 0, &numbers, &count, &err), BELAY_OK);
    assert_int_equal(count, 0);
    free(numbers);
    bl_store_close(store);
}

static void leftovers_of_older_incarnations_go_when_a_rank_writes(void **state)
{
    (void)state;
    bl_store *store = create(1);
    bl_error err = { .code = 0 };
    sample s;
    bl_digest digest;
    assert_int_equal(mkdir(inside("rank-00000"), 0777), 0);
    scratch_write(inside("rank-00000/ckpt-000001.h5.tmp-0000"), "x", 1);
    scratch_write(inside("rank-00000/ckpt-000001.h5.tmp-0002"), "x", 1);
    scratch_write(inside("rank-00000/live-0000"), "x", 1);
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    sample_make(&s, 0, 1, 2, 1);
    assert_int_equal(bl_snapshot_write(store, &s.snapshot, &digest, &err), BELAY_OK);
    assert_false(scratch_exists(inside("rank-00000/ckpt-000001.h5.tmp-0000")));
    assert_true(scratch_exists(inside("rank-00000/ckpt-000001.h5.tmp-0002")));
    assert_true(scratch_exists(inside("rank-00000/live-0000")));
    bl_store_close(store);
}

/* --- permissions --- */

static int try_without_permission(void)
{
    bl_store *store;
    bl_error err = { .code = 0 };
    sample s;
    bl_digest digest;
    sample_make(&s, 0, 1, 1, 0);
    if (bl_store_open(dir, BL_STABLE_PROCESS, &store, &err) != BELAY_OK || bl_store_join(store, 0, &err) != BELAY_OK)
        return 1;
    if (bl_snapshot_write(store, &s.snapshot, &digest, &err) != BELAY_ERR_SYSTEM
        || !good_sentence(&err, BELAY_ERR_SYSTEM, "Permission denied") || !good_sentence(&err, BELAY_ERR_SYSTEM, dir))
        return 2;
    bl_store_close(store);
    return 0;
}

/* root may write anywhere, so there a child becomes somebody else first. */
static void a_directory_without_permission_is_one_clear_line(void **state)
{
    (void)state;
    bl_store_close(create(1));
    assert_int_equal(chmod(root, 0755), 0);
    assert_int_equal(chmod(inside("incarnation"), 0644), 0);
    assert_int_equal(chmod(dir, 0555), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(getuid() == 0 && setuid(65534) != 0 ? 77 : try_without_permission());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(chmod(dir, 0755), 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static void something_in_the_way_of_a_directory_is_one_clear_line(void **state)
{
    (void)state;
    bl_store *store = create(1);
    bl_error err = { .code = 0 };
    sample s;
    bl_digest digest;
    sample_make(&s, 0, 1, 1, 0);
    scratch_write(inside("rank-00000"), "x", 1);
    assert_int_equal(bl_snapshot_write(store, &s.snapshot, &digest, &err), BELAY_ERR_SYSTEM);
    assert_true(good_sentence(&err, BELAY_ERR_SYSTEM, "rank-00000"));
    bl_store_close(store);
}

/* --- live tables --- */

static void a_live_table_survives_its_process(void **state)
{
    (void)state;
    bl_store *store = create(2);
    bl_error err = { .code = 0 };
    bl_live live;
    pid_t pid = fork();
    if (pid == 0) {
        if (bl_live_create(store, 1, &live, &err) != BELAY_OK)
            _exit(1);
        live.header->calls = 77;
        live.slot[5] = (bl_live_slot){ .comm = 9, .peer = 0, .tag = 3, .sent = 4, .received = 5, .at_sent = 1, .at_received = 2 };
        live.collective[BL_LIVE_COLLECTIVES - 1].started = 6;
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    if (bl_live_read(store, 1, 0, &live, &err) != BELAY_OK)
        fail_msg("%s", err.text);
    assert_int_equal(live.header->calls, 77);
    assert_int_equal(live.header->pid, pid);
    assert_int_equal(live.header->state, BL_LIVE_STARTED);
    assert_int_equal(live.header->safe_point, UINT64_MAX);
    assert_string_equal(live.header->job, bl_store_job(store)->id);
    assert_true(live.header->started_ns >= bl_store_job(store)->started_ns);
    assert_int_equal(live.slot[5].received, 5);
    assert_int_equal(live.slot[5].at_received, 2);
    assert_int_equal(live.collective[BL_LIVE_COLLECTIVES - 1].started, 6);
    bl_live_free(&live);
    assert_int_equal(bl_live_read(store, 0, 0, &live, &err), BELAY_ERR_NONE);
    assert_int_equal(bl_live_create(store, 2, &live, &err), BELAY_ERR_ARG);
    bl_live_free(&live);
    bl_live_unmap(&live);
    bl_store_close(store);
}

static void put32(char *bytes, size_t offset, uint32_t value)
{
    memcpy(bytes + offset, &value, sizeof value);
}

/* Of a rank that stays where it is while another goes back. */
static void a_live_table_goes_on(void **state)
{
    (void)state;
    bl_store *store = create(2);
    bl_error err = { .code = 0 };
    bl_live live, before, after;
    assert_int_equal(bl_live_create(store, 1, &live, &err), BELAY_OK);
    const bl_live_header *at = live.header;
    live.header->calls = 77;
    live.slot[5] = (bl_live_slot){ .comm = 9, .peer = 0, .tag = 3, .sent = 4, .received = 5 };
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    assert_int_equal(bl_live_go_on(store, &live, &err), BELAY_OK);
    assert_ptr_equal(live.header, at);
    live.header->calls = 78;
    live.slot[5].sent = 6;
    assert_int_equal(bl_live_read(store, 1, 0, &before, &err), BELAY_OK);
    assert_int_equal(bl_live_read(store, 1, 1, &after, &err), BELAY_OK);
    assert_int_equal(before.header->calls, 77);
    assert_int_equal(before.slot[5].sent, 4);
    assert_int_equal(after.header->calls, 78);
    assert_int_equal(after.slot[5].sent, 6);
    assert_int_equal(after.header->incarnation, 1);
    assert_true(before.header->started_ns == after.header->started_ns && before.header->pid == after.header->pid);
    bl_live_free(&before);
    bl_live_free(&after);
    /* When another incarnation has been begun since, it may not. */
    bl_store *newer = reopen();
    assert_int_equal(bl_store_next_incarnation(newer, &err), BELAY_OK);
    assert_int_equal(bl_live_go_on(store, &live, &err), BELAY_ERR_STALE);
    bl_live_unmap(&live);
    bl_store_close(newer);
    bl_store_close(store);
}

static void a_damaged_live_table_is_refused_or_harmless(void **state)
{
    (void)state;
    bl_store *store = create(2);
    bl_error err = { .code = 0 };
    bl_live live;
    char *bytes;
    size_t size;
    static const struct { size_t offset; uint32_t value; int code; } cases[] = {
        { 0, 0, BELAY_ERR_DAMAGED }, { offsetof(bl_live_header, format), 2, BELAY_ERR_FORMAT },
        { offsetof(bl_live_header, format), 0, BELAY_ERR_DAMAGED },
        { offsetof(bl_live_header, header_bytes), 8, BELAY_ERR_DAMAGED },
        { offsetof(bl_live_header, header_bytes), UINT32_MAX - 4095, BELAY_ERR_DAMAGED },
        { offsetof(bl_live_header, channel_slots), UINT32_MAX, BELAY_ERR_DAMAGED },
        { offsetof(bl_live_header, channel_slots), 0, BELAY_ERR_DAMAGED },
        { offsetof(bl_live_header, collective_slots), 1u << 31, BELAY_ERR_DAMAGED },
        { offsetof(bl_live_header, rank), 0, BELAY_ERR_FOREIGN }, { offsetof(bl_live_header, ranks), 3, BELAY_ERR_FOREIGN },
        { offsetof(bl_live_header, incarnation), 1, BELAY_ERR_FOREIGN },
        { offsetof(bl_live_header, job), 0x41414141, BELAY_ERR_FOREIGN },
        { 4096 + offsetof(bl_live_slot, peer), 2, BELAY_OK }, { 4096 + offsetof(bl_live_slot, peer), UINT32_MAX, BELAY_OK }
    };
    assert_int_equal(bl_live_create(store, 1, &live, &err), BELAY_OK);
    live.slot[0] = (bl_live_slot){ .comm = 9, .peer = 1 };
    bl_live_unmap(&live);
    scratch_read(inside("rank-00001/live-0000"), &bytes, &size);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *copy = malloc(size);
        memcpy(copy, bytes, size);
        put32(copy, cases[i].offset, cases[i].value);
        scratch_write(inside("rank-00001/live-0000"), copy, size);
        free(copy);
        assert_int_equal(bl_live_read(store, 1, 0, &live, &err), cases[i].code);
        if (cases[i].code == BELAY_OK)
            assert_int_equal(live.slot[0].comm, 0); /* a peer that cannot be is not handed out */
        else
            assert_true(good_sentence(&err, cases[i].code, "live-0000"));
        bl_live_free(&live);
    }
    for (size_t length = 0; length < size; length += 4001) {
        scratch_write(inside("rank-00001/live-0000"), bytes, length);
        assert_int_equal(bl_live_read(store, 1, 0, &live, &err), BELAY_ERR_DAMAGED);
    }
    free(bytes);
    bl_store_close(store);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_new_job_is_opened_as_it_was_made),
        TEST(two_jobs_have_different_ids),
        TEST(the_directory_stays_the_same_after_chdir),
        TEST(a_directory_in_use_is_not_taken_over),
        TEST(an_interrupted_creation_does_not_block_the_next),
        TEST(no_directory_is_none_and_a_missing_parent_an_error),
        TEST(every_altered_byte_and_every_truncation_of_job_json_is_noticed),
        TEST(a_job_of_a_newer_format_is_refused_as_such),
        TEST(a_signed_job_with_nonsense_in_it_is_damaged),
        TEST(names_that_are_not_utf8_and_quotes_survive),
        TEST(a_reader_cannot_write),
        TEST(whoever_was_replaced_publishes_nothing),
        TEST(an_incarnation_that_has_not_begun_cannot_be_joined),
        TEST(one_damaged_line_of_the_fence_is_tolerated),
        TEST(a_start_that_died_half_way_is_counted),
        TEST(starts_at_the_same_time_get_different_incarnations),
        TEST(a_publication_in_progress_is_waited_for),
        TEST(the_state_is_rewritten_whole),
        TEST(the_highest_number_counts_everything_there_is),
        TEST(leftovers_of_older_incarnations_go_when_a_rank_writes),
        TEST(a_directory_without_permission_is_one_clear_line),
        TEST(something_in_the_way_of_a_directory_is_one_clear_line),
        TEST(a_live_table_survives_its_process),
        TEST(a_live_table_goes_on),
        TEST(a_damaged_live_table_is_refused_or_harmless),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
