/* Journals: what was appended comes back in order, what a death leaves unfinished ends it, what was altered is found, and what
 * is not needed any more goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/journal_file.h"
#include "store/trail.h"
#include "test_store_common.h"

enum { RANKS = 3, LARGE = 3 << 20, KILLS = 200, BUDGET = 64 << 20 };

static char root[256], dir[300];
static bl_store *store;
static unsigned char data[LARGE];

static int setup(void **state)
{
    bl_error err = { .code = 0 };
    (void)state;
    scratch_make(root);
    snprintf(dir, sizeof dir, "%s/belay.d", root);
    for (int i = 0; i < LARGE; i++) data[i] = (unsigned char)(i * 7 + i / 300);
    return bl_store_create(dir, RANKS, "x", BL_STABLE_PROCESS, &store, &err);
}

static int teardown(void **state)
{
    (void)state;
    bl_store_close(store);
    scratch_remove(root);
    return 0;
}

static bl_journal *create(uint64_t budget)
{
    bl_journal *j = NULL;
    bl_error err = { 0, "" };
    if (bl_journal_create(store, 1, "sent", budget, &j, &err)) fail_msg("%s", err.text);
    return j;
}

/* Everything about record n follows from n. */
static bl_record record_of(uint64_t n, uint64_t bytes)
{
    return (bl_record){ .a = n, .b = n * n, .c = (int32_t)n, .d = -(int32_t)n, .kind = 1 + (uint32_t)(n % 5), .bytes = bytes };
}

static int append(bl_journal *j, uint64_t n, uint64_t bytes)
{
    bl_record r = record_of(n, bytes);
    return bl_journal_append(j, &r, data + n % 1000);
}

/* Reads records first, first+1, ... whose sizes are size(n); how many, and in *rc what ended it. */
static uint64_t count_good(uint64_t first, uint64_t (*size)(uint64_t), int *rc, bl_error *err)
{
    bl_journal_reader *reader;
    bl_record r;
    const char *payload;
    uint64_t n = first;
    *rc = bl_journal_read_open(store, 1, "sent", &reader, err);
    if (*rc) return 0;
    while ((*rc = bl_journal_next(reader, &r, &payload, err)) == 1) {
        bl_record want = record_of(n, size(n));
        assert_memory_equal(&r, &want, sizeof r);
        assert_memory_equal(payload, data + n % 1000, r.bytes);
        n++;
    }
    bl_journal_read_close(reader);
    return n - first;
}

static uint64_t mixed(uint64_t n)
{
    return n % 50 == 49 ? 100000 : n % 7 == 0 ? 0 : n * 37 % 3000;
}

static uint64_t small(uint64_t n)
{
    return n % 4 == 3 ? 0 : n % 4 * 9;
}

static void comes_back(void **state)
{
    bl_error err;
    int rc;
    (void)state;
    bl_journal *j = create(BUDGET);
    for (uint64_t n = 0; n < 3000; n++) assert_int_equal(append(j, n, mixed(n)), 0);
    assert_int_equal(count_good(0, mixed, &rc, &err), 3000); /* also while it is being written */
    assert_int_equal(rc, 0);
    bl_journal_close(j);
    assert_int_equal(count_good(0, mixed, &rc, &err), 3000);
    assert_true(scratch_count(dir, "journal-0000-sent-") > 2);
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    j = create(BUDGET);
    for (uint64_t n = 3000; n < 3010; n++) assert_int_equal(append(j, n, mixed(n)), 0);
    bl_journal_close(j);
    assert_int_equal(count_good(0, mixed, &rc, &err), 3010);
    assert_int_equal(bl_journal_retire_before(store, 1, "sent", bl_store_job(store)->incarnation, &err), BELAY_OK);
    assert_int_equal(count_good(3000, mixed, &rc, &err), 10);
}

/* A rank that stays where it is while another goes back: the next incarnation has begun, and it writes on. */
static void goes_on_into_the_next_incarnation(void **state)
{
    bl_error err;
    int rc;
    (void)state;
    bl_journal *j = create(BUDGET);
    for (uint64_t n = 0; n < 3000; n++) assert_int_equal(append(j, n, mixed(n)), 0);
    assert_int_equal(bl_journal_retire(j, bl_journal_position(j) * 3 / 4, &err), BELAY_OK); /* some are kept, to be used again */
    uint64_t left = 3000, first = 0;
    assert_true(scratch_count(dir, ".tmp-0000") > 0);
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    char rank[BL_PATH];
    bl_store_path(store, rank, "rank-%05u", 1);
    bl_dir_sweep(store, rank); /* as a checkpoint does: those are gone */
    assert_int_equal(scratch_count(dir, ".tmp-0000"), 0);
    for (; left < 9000; left++) assert_int_equal(append(j, left, mixed(left)), 0);
    assert_true(scratch_count(dir, "journal-0001-sent-") > 0);
    bl_journal_reader *reader;
    bl_record r;
    const char *payload;
    assert_int_equal(bl_journal_read_open(store, 1, "sent", &reader, &err), BELAY_OK);
    assert_int_equal(bl_journal_next(reader, &r, &payload, &err), 1);
    first = r.a;
    bl_journal_read_close(reader);
    assert_true(first > 0 && first < 3000);
    assert_int_equal(count_good(first, mixed, &rc, &err), 9000 - first);
    assert_int_equal(rc, 0);
    /* Those of incarnations before the one in which it began go; its own stay. */
    assert_int_equal(bl_journal_retire_before(store, 1, "sent", 0, &err), BELAY_OK);
    assert_int_equal(count_good(first, mixed, &rc, &err), 9000 - first);
    assert_int_equal(bl_journal_retire(j, bl_journal_position(j), &err), BELAY_OK); /* all but the open one, of both */
    assert_int_equal(scratch_count(dir, "journal-0000-sent-"), 0);
    for (; left < 9010; left++) assert_int_equal(append(j, left, mixed(left)), 0);
    bl_journal_close(j);
}

static uint64_t large(uint64_t n)
{
    (void)n;
    return LARGE - 1000;
}

static void one_longer_than_a_segment(void **state)
{
    bl_error err;
    int rc;
    (void)state;
    bl_journal *j = create(BUDGET);
    for (uint64_t n = 0; n < 3; n++) assert_int_equal(append(j, n, large(n)), 0);
    bl_journal_close(j);
    assert_int_equal(count_good(0, large, &rc, &err), 3);
    assert_int_equal(rc, 0);
}

static const char *first_segment(void)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/rank-00001/journal-0000-sent-000000", dir);
    return path;
}

/* A process killed with its journal open has the same file, with another end. */
static void every_prefix(void **state)
{
    bl_error err;
    int rc;
    char *bytes;
    size_t size, used = sizeof(bl_journal_head);
    (void)state;
    bl_journal *j = create(BUDGET);
    for (uint64_t n = 0; n < 20; n++) {
        assert_int_equal(append(j, n, small(n)), 0);
        used += bl_entry_size(small(n));
    }
    bl_journal_close(j);
    scratch_read(first_segment(), &bytes, &size);
    char *cut = malloc(size);
    uint64_t most = 0;
    for (size_t at = sizeof(bl_journal_head); at <= used; at++) {
        memcpy(cut, bytes, size);
        memset(cut + at, 0, size - at);
        scratch_write(first_segment(), cut, size);
        uint64_t good = count_good(0, small, &rc, &err);
        /* Whole or absent; but the last one's checksum may be there without all of its payload, which is no record either. */
        assert_true(rc == 0);
        assert_true(good >= most);
        most = good;
    }
    assert_int_equal(most, 20);
    for (size_t at = 0; at < 300; at++) { /* and a file that is really shorter */
        scratch_write(first_segment(), bytes, at);
        assert_int_equal(count_good(0, small, &rc, &err), 0);
        assert_true(rc == -1 && err.code == BELAY_ERR_DAMAGED);
    }
    free(cut);
    free(bytes);
}

/* Found; or, in the last record, its end. */
static void every_flip(void **state)
{
    bl_error err;
    int rc;
    char *bytes;
    size_t size, used = sizeof(bl_journal_head), before_last = 0;
    (void)state;
    bl_journal *j = create(BUDGET);
    for (uint64_t n = 0; n < 12; n++) {
        assert_int_equal(append(j, n, small(n)), 0);
        before_last = used;
        used += bl_entry_size(small(n));
    }
    bl_journal_close(j);
    scratch_read(first_segment(), &bytes, &size);
    for (size_t at = 0; at < used; at++) {
        bytes[at] ^= (char)(1 << at % 8);
        scratch_write(first_segment(), bytes, size);
        uint64_t good = count_good(0, small, &rc, &err);
        if (at >= before_last) assert_true(rc == 0 && good >= 11);
        else if (good < 12) assert_true(rc == -1 && good_sentence(&err, err.code, "journal"));
        else assert_int_equal(rc, 0); /* what fills up to a multiple of 8 */
        bytes[at] ^= (char)(1 << at % 8);
    }
    free(bytes);
}

static void killed_at_any_moment(void **state)
{
    volatile uint64_t *said = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bl_error err;
    uint64_t all = 0;
    (void)state;
    assert_true(said != MAP_FAILED);
    for (int k = 0; k < KILLS; k++) {
        *said = 0;
        pid_t pid = fork();
        if (pid == 0) {
            bl_journal *j = create(BUDGET);
            for (uint64_t n = 0; n < 20000; n++) {
                if (append(j, n, mixed(n))) _exit(1);
                *said = n + 1;
            }
            for (;;) pause();
        }
        nanosleep(&(struct timespec){ .tv_nsec = 20000 + k * 37000 % 9000000 }, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        int rc;
        uint64_t good = count_good(0, mixed, &rc, &err);
        if (*said == 0 && rc == BELAY_ERR_NONE) continue;
        assert_int_equal(rc, 0);
        assert_in_range(good, *said, *said + 1);
        all += good;
        assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
        assert_int_equal(bl_journal_retire_before(store, 1, "sent", bl_store_job(store)->incarnation, &err), BELAY_OK);
    }
    assert_true(all > 0);
    munmap((void *)(uintptr_t)said, 4096);
}

static uint64_t kilobytes(uint64_t n)
{
    (void)n;
    return 30000;
}

static void budget_and_retiring(void **state)
{
    bl_error err = { 0, "" };
    int rc;
    (void)state;
    bl_journal *j = create(16 << 20);
    uint64_t n = 0, first = 0;
    while (append(j, n, kilobytes(n)) == 0) n++;
    assert_int_equal(bl_journal_error(j, &err), BELAY_OK);
    assert_true(bl_journal_over(j) && bl_journal_bytes(j) <= 16 << 20 && n * 30000 > 10 << 20);
    /* One after the other goes as others come, for ever. */
    uint64_t *at = calloc(5000, sizeof *at);
    for (uint64_t k = 0; k < n; k++) at[k] = k * bl_entry_size(30000);
    for (; n < 5000; n++) {
        while (append(j, n, kilobytes(n))) {
            first += 20;
            assert_true(first < n);
            assert_int_equal(bl_journal_retire(j, at[first], &err), BELAY_OK);
        }
        at[n] = bl_journal_position(j) - bl_entry_size(30000);
        assert_true(bl_journal_bytes(j) <= 16 << 20);
    }
    bl_journal_close(j);
    free(at);
    /* What is left begins at or before what was wanted, and goes on to the end. */
    bl_journal_reader *reader;
    bl_record r;
    const char *payload;
    assert_int_equal(bl_journal_read_open(store, 1, "sent", &reader, &err), BELAY_OK);
    uint64_t last = UINT64_MAX, read = 0;
    while ((rc = bl_journal_next(reader, &r, &payload, &err)) == 1) {
        if (!read) assert_true(r.a <= first);
        else assert_int_equal(r.a, last + 1);
        last = r.a;
        read++;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(last, 4999);
    bl_journal_read_close(reader);
}

static void refused(const char *part, int code)
{
    bl_error err = { 0, "" };
    int rc;
    assert_int_equal(count_good(0, small, &rc, &err), 0);
    assert_true(rc == -1 && err.code == code);
    assert_true(good_sentence(&err, code, part));
}

static void what_is_not_ours(void **state)
{
    char *bytes;
    size_t size;
    (void)state;
    bl_journal *j = create(BUDGET);
    assert_int_equal(append(j, 0, small(0)), 0);
    bl_journal_close(j);
    scratch_read(first_segment(), &bytes, &size);
    bl_journal_head head, other;
    memcpy(&head, bytes, sizeof head);
    for (int k = 0; k < 4; k++) {
        other = head;
        if (k == 0) other.job[0] ^= 1;
        if (k == 1) other.rank = 2;
        if (k == 2) other.format = BL_FORMAT + 1;
        if (k == 3) other.incarnation = 5;
        other.sum = XXH3_64bits(&other, offsetof(bl_journal_head, sum));
        memcpy(bytes, &other, sizeof other);
        scratch_write(first_segment(), bytes, size);
        refused(k == 0 ? "another job" : k == 2 ? "newer Belay" : "move it back", k == 2 ? BELAY_ERR_FORMAT : BELAY_ERR_FOREIGN);
    }
    free(bytes);
}

/* A length, or an end, that nothing has written, with marks that are right. */
static void hostile_lengths(void **state)
{
    static const uint64_t lengths[] = { UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 6, (1 << 18) - 100, UINT64_C(1) << 40 };
    bl_error err;
    int rc;
    char *bytes;
    size_t size;
    (void)state;
    bl_journal *j = create(BUDGET);
    for (uint64_t n = 0; n < 3; n++) assert_int_equal(append(j, n, small(n)), 0);
    bl_journal_close(j);
    scratch_read(first_segment(), &bytes, &size);
    size_t second = sizeof(bl_journal_head) + bl_entry_size(small(0));
    for (size_t k = 0; k <= sizeof lengths / sizeof *lengths; k++) {
        char *copy = malloc(size);
        bl_entry_head e;
        memcpy(copy, bytes, size);
        memcpy(&e, copy + second, sizeof e);
        if (k < sizeof lengths / sizeof *lengths) e.record.bytes = lengths[k];
        else e.record.kind = 0;
        memcpy(copy + second, &e, sizeof e);
        scratch_write(first_segment(), copy, size);
        assert_int_equal(count_good(0, small, &rc, &err), 1);
        assert_true(rc == -1 && err.code == BELAY_ERR_DAMAGED);
        free(copy);
    }
    free(bytes);
}

static void replaced_incarnation(void **state)
{
    bl_error err = { 0, "" };
    bl_store *newer;
    (void)state;
    bl_journal *j = create(BUDGET);
    assert_int_equal(bl_store_open(dir, BL_STABLE_PROCESS, &newer, &err), BELAY_OK);
    assert_int_equal(bl_store_next_incarnation(newer, &err), BELAY_OK);
    uint64_t n = 0;
    while (append(j, n, kilobytes(n)) == 0) n++;
    assert_int_equal(bl_journal_error(j, &err), BELAY_ERR_STALE);
    assert_true(n * 30000 < 1 << 18); /* at its next segment */
    bl_journal_close(j);
    bl_store_close(newer);
}

/* --- what the program does between messages --- */

enum { CELLS = 4096, SWEEPS = 400 };

/* Best of some, s. */
static double compute(void)
{
    static double from[CELLS], to[CELLS];
    double best = 1e9;
    for (int turn = 0; turn < 9; turn++) {
        struct timespec began, ended;
        clock_gettime(CLOCK_MONOTONIC, &began);
        for (int sweep = 0; sweep < SWEEPS; sweep++)
            for (int i = 1; i < CELLS - 1; i++) to[i] = 0.25 * (from[i - 1] + from[i] + from[i + 1] + to[i]);
        clock_gettime(CLOCK_MONOTONIC, &ended);
        double seconds = (double)(ended.tv_sec - began.tv_sec) + 1e-9 * (double)(ended.tv_nsec - began.tv_nsec);
        if (seconds < best) best = seconds;
    }
    return best;
}

/* Vector registers that the checksum leaves in use would make everything after it several times slower. */
static void a_checksum_does_not_slow_down_what_follows(void **state)
{
    static char bytes[1 << 20];
    static const size_t sizes[] = { 40, 512, 4096, sizeof bytes };
    XXH3_state_t *hash = XXH3_createState();
    volatile uint64_t sum = 0;
    (void)state;
    double before = compute();
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        sum += XXH3_64bits_withSeed(bytes, sizes[k], 1);
        assert_true(compute() < 3 * before);
        sum += XXH3_64bits(bytes, sizes[k]);
        assert_true(compute() < 3 * before);
        sum += XXH3_128bits(bytes, sizes[k]).low64;
        assert_true(compute() < 3 * before);
        (void)XXH3_128bits_reset(hash);
        (void)XXH3_128bits_update(hash, bytes, sizes[k]);
        assert_true(compute() < 3 * before);
        sum += XXH3_128bits_digest(hash).low64;
        assert_true(compute() < 3 * before);
    }
    XXH3_freeState(hash);
}

/* --- after a failure --- */

/* Cut at any record: what is before it comes back, and nothing else; also where whole segments go. */
static void settled_at_any_record(void **state)
{
    static bl_journal_place place[1200];
    bl_journal_reader *reader;
    bl_record r;
    const char *payload;
    bl_error err;
    int rc;
    (void)state;
    bl_journal *j = create(BUDGET);
    for (uint64_t n = 0; n < 1200; n++) assert_int_equal(append(j, n, mixed(n)), 0);
    bl_journal_close(j);
    assert_int_equal(bl_journal_read_open(store, 1, "sent", &reader, &err), BELAY_OK);
    for (int n = 0; n < 1200; n++) {
        assert_int_equal(bl_journal_next(reader, &r, &payload, &err), 1);
        place[n] = bl_journal_read_place(reader);
    }
    bl_journal_read_close(reader);
    assert_true(place[1199].number > 1);
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    assert_int_equal(bl_journal_settle(store, 1, "sent", 0, NULL, &err), BELAY_OK);
    assert_int_equal(count_good(0, mixed, &rc, &err), 1200);
    for (int n = 1199; n >= 0; n -= n % 13 + 1) {
        assert_int_equal(bl_journal_settle(store, 1, "sent", 0, &place[n], &err), BELAY_OK);
        assert_int_equal(count_good(0, mixed, &rc, &err), n);
        assert_int_equal(rc, 0);
    }
}

static void incarnations_that_came_to_nothing(void **state)
{
    bl_error err;
    int rc;
    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        bl_journal *j = create(BUDGET);
        for (uint64_t n = 10 * i; n < 10 * i + 10; n++) assert_int_equal(append(j, n, small(n)), 0);
        bl_journal_close(j);
        assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    }
    assert_int_equal(count_good(0, small, &rc, &err), 30);
    assert_int_equal(bl_journal_forget_after(store, 1, "sent", 0, &err), BELAY_OK);
    assert_int_equal(count_good(0, small, &rc, &err), 10);
}

static int setup_power(void **state)
{
    bl_error err = { .code = 0 };
    (void)state;
    scratch_make(root);
    snprintf(dir, sizeof dir, "%s/belay.d", root);
    for (int i = 0; i < LARGE; i++) data[i] = (unsigned char)(i * 7 + i / 300);
    return bl_store_create(dir, RANKS, "x", BL_STABLE_POWER, &store, &err);
}

/* What was forced, by whichever function, is what is left of an injected loss of power. */
static void what_was_forced_is_left(void **state)
{
    bl_error err;
    int rc;
    (void)state;
    for (uint64_t i = 0, left = 0; i < 6; i++) {
        bl_journal *j = create(BUDGET);
        uint64_t forced = i * 5;
        for (uint64_t n = left; n < left + 40; n++) {
            if (n - left == forced) assert_int_equal(i % 2 ? bl_journal_force(j, &err) : bl_journal_stable(j, &err), BELAY_OK);
            assert_int_equal(append(j, n, small(n)), 0);
        }
        bl_journal_lose(j);
        bl_journal_close(j);
        left += forced;
        assert_int_equal(count_good(0, small, &rc, &err), left);
        assert_int_equal(rc, 0);
        assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    }
}

/* --- who depends on whom --- */

static bl_journal *events(uint32_t rank)
{
    bl_journal *j = NULL;
    bl_error err = { 0, "" };
    if (bl_journal_create(store, rank, "events", BUDGET, &j, &err)) fail_msg("%s", err.text);
    return j;
}

static void put(bl_journal *j, bl_record r, const void *payload)
{
    assert_int_equal(bl_journal_append(j, &r, payload), 0);
}

static int trails(bl_trails *t, bl_error *err)
{
    return bl_trails_read(store, RANKS, t, err);
}

static void trails_of_what_has_ended(void **state)
{
    const uint32_t needs[4] = { 0, 3, 2, 1 };
    bl_record event = { .a = 8, .kind = BL_EVENT_VALUE, .number = 4, .bytes = 5 };
    char held[sizeof event + 5];
    bl_trails t;
    bl_error err;
    uint32_t restart;
    (void)state;
    memcpy(held, &event, sizeof event);
    memcpy(held + sizeof event, "value", 5);
    assert_int_equal(trails(&t, &err), BELAY_OK);
    assert_int_equal(t.any, 0);
    bl_trails_clear(&t);
    bl_journal *j = events(1);
    put(j, (bl_record){ .kind = BL_EVENT_BEGUN }, "");
    put(j, (bl_record){ .kind = BL_EVENT_CHECKPOINT, .b = 6 }, "");
    bl_journal_close(j);
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    j = events(1);
    put(j, (bl_record){ .a = 1, .kind = BL_EVENT_VALUE }, ""); /* taken over */
    put(j, (bl_record){ .kind = BL_EVENT_BEGUN }, "");
    put(j, (bl_record){ .a = 2, .kind = BL_EVENT_NEEDS, .bytes = sizeof needs }, needs);
    put(j, (bl_record){ .a = 2, .b = 4, .c = 2, .kind = BL_EVENT_HELD, .bytes = sizeof held }, held);
    put(j, (bl_record){ .a = 2, .kind = BL_EVENT_FLAG, .number = 1 }, "");
    put(j, (bl_record){ .a = 3, .b = 7, .kind = BL_EVENT_CHECKPOINT, .number = 1 }, "");
    bl_journal_close(j);
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    bl_journal_close(events(2)); /* one that did not begin */
    assert_int_equal(trails(&t, &err), BELAY_OK);
    assert_true(t.any && t.ended == 1);
    const bl_step want[7] = { { BL_STEP_DECIDED, 1, 0 }, { BL_STEP_DECIDED, 1, 0 }, { BL_STEP_NEEDS, 0, 3 }, { BL_STEP_NEEDS, 2, 1 },
                              { BL_STEP_HOLDS, 2, 4 }, { BL_STEP_DECIDED, 1, 1 }, { BL_STEP_DECIDED, 1, 1 } };
    assert_int_equal(t.trail[1].steps, 7);
    assert_memory_equal(t.trail[1].step, want, sizeof want);
    assert_memory_equal(&t.trail[1].entry[4].record, &event, sizeof event);
    assert_memory_equal(t.trail[1].entry[4].payload, "value", 5);
    assert_int_equal(bl_trail_restart(store, &t, 1, 7, &restart, &err), BELAY_OK);
    assert_int_equal(restart, 7);
    assert_int_equal(bl_trail_restart(store, &t, 1, 6, &restart, &err), BELAY_OK);
    assert_int_equal(restart, 6);
    assert_int_equal(bl_trail_restart(store, &t, 2, 0, &restart, &err), BELAY_OK);
    assert_int_equal(restart, 0);
    bl_trails_clear(&t);
}

/* Whole records, whose contents nobody wrote that way. */
static void hostile_trails(void **state)
{
    const uint32_t needs[2] = { RANKS, 1 };
    bl_record event = { .kind = BL_EVENT_VALUE, .bytes = 6 };
    char held[sizeof event + 5] = "";
    (void)state;
    memcpy(held, &event, sizeof event);
    for (int k = 0; k < 4; k++) {
        bl_trails t;
        bl_error err = { 0, "" };
        bl_journal *j = events(0);
        put(j, (bl_record){ .kind = BL_EVENT_BEGUN }, "");
        if (k == 0) put(j, (bl_record){ .kind = BL_EVENT_NEEDS, .bytes = sizeof needs }, needs);
        if (k == 1) put(j, (bl_record){ .c = 1, .kind = BL_EVENT_HELD, .bytes = sizeof held }, held);
        if (k == 2) put(j, (bl_record){ .c = 1, .kind = BL_EVENT_HELD, .bytes = 9 }, held);
        if (k == 3) put(j, (bl_record){ .c = -1, .kind = BL_EVENT_HELD, .bytes = sizeof event }, &(bl_record){ .kind = 1 });
        bl_journal_close(j);
        assert_int_equal(trails(&t, &err), BELAY_ERR_DAMAGED);
        assert_non_null(strstr(err.text, "rank 0"));
        bl_trails_clear(&t);
        assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(goes_on_into_the_next_incarnation, setup, teardown),
        cmocka_unit_test_setup_teardown(one_longer_than_a_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(every_prefix, setup, teardown),
        cmocka_unit_test_setup_teardown(every_flip, setup, teardown),
        cmocka_unit_test_setup_teardown(killed_at_any_moment, setup, teardown),
        cmocka_unit_test(a_checksum_does_not_slow_down_what_follows),
        cmocka_unit_test_setup_teardown(budget_and_retiring, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_ours, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_lengths, setup, teardown),
        cmocka_unit_test_setup_teardown(replaced_incarnation, setup, teardown),
        cmocka_unit_test_setup_teardown(settled_at_any_record, setup, teardown),
        cmocka_unit_test_setup_teardown(incarnations_that_came_to_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_forced_is_left, setup_power, teardown),
        cmocka_unit_test_setup_teardown(trails_of_what_has_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_trails, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
