/* The crash test: every system call with which a job changes its directory is recorded, then the power is cut after each of
 * them.  What was not forced by then may be missing: all of it, the names, the data, or any part by seed.  Every disk that
 * can result is laid out and recovered: it has to hold the newest committed checkpoint, or the one being committed.
 * The mutants at the end leave out one kind of forcing each and have to be caught. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/hash.h"
#include "store_io.h"
#include "store_scenario.h"
#include "test_store_common.h"

enum { SECTOR = 512, RANDOMS = 12, STATES_MAX = 1 << 15 };

enum variant { KEEP_ALL, KEEP_FORCED, KEEP_NAMES, KEEP_DATA, KEEP_RANDOM }; /* of what was not forced */

typedef struct content { unsigned char *bytes; uint64_t size, room; } content;
typedef struct entry { char path[96]; int file; } entry; /* file -1: a directory */

typedef struct disk {
    content file[IO_FILES_MAX];
    entry name[IO_FILES_MAX];
    int names;
    scenario_state state;
} disk;

typedef int ignores(const io_event *sync);

static io_record record;
static int forced_by[IO_EVENTS_MAX]; /* the event that makes this one durable; INT_MAX: none */
static uint64_t seen[STATES_MAX];
static char recorded[256], scratch[256]; /* where the job runs, and where its disks are laid out */

/* --- which calls are durable --- */

static int is_data(const io_event *e)
{
    return e->kind == IO_WRITE || e->kind == IO_TRUNCATE;
}

static int same_dir(const io_event *e, const io_event *dir)
{
    const char *path = e->kind == IO_RENAME || e->kind == IO_LINK ? e->to : e->path;
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    return strlen(dir->path) == length && strncmp(dir->path, path, length) == 0;
}

static int forces(const io_event *sync, const io_event *e)
{
    return is_data(e) ? sync->kind == IO_SYNC && sync->file == e->file : sync->kind == IO_DIR_SYNC && same_dir(e, sync);
}

static void find_forcing(ignores *ignored)
{
    for (int i = 0; i < record.count; i++) {
        forced_by[i] = INT_MAX;
        for (int k = i + 1; k < record.count && forced_by[i] == INT_MAX; k++)
            if (forces(&record.event[k], &record.event[i]) && !(ignored && ignored(&record.event[k])))
                forced_by[i] = k;
    }
}

/* --- the disk after a power cut --- */

static uint64_t random_state;

static uint64_t random_bits(void)
{
    random_state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    uint64_t z = random_state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void grow(content *c, uint64_t size)
{
    if (size > c->room) {
        c->room = 2 * size;
        c->bytes = realloc(c->bytes, c->room);
        assert_non_null(c->bytes);
    }
    if (size > c->size) {
        memset(c->bytes + c->size, 0, size - c->size);
        c->size = size;
    }
}

static void put_bytes(content *c, uint64_t offset, const unsigned char *bytes, uint64_t size)
{
    grow(c, offset + size);
    memcpy(c->bytes + offset, bytes, size);
}

static void apply_data(disk *d, const io_event *e, int torn)
{
    content *c = &d->file[e->file];
    if (e->kind == IO_TRUNCATE) {
        grow(c, e->size);
        c->size = e->size;
        return;
    }
    for (uint64_t at = 0, step; at < e->size; at += step) {
        step = SECTOR - (e->offset + at) % SECTOR;
        if (step > e->size - at)
            step = e->size - at;
        if (!torn || random_bits() & 1)
            put_bytes(c, e->offset + at, e->data + at, step);
    }
}

static void set_name(disk *d, const char *path, int file)
{
    int i = 0;
    while (i < d->names && strcmp(d->name[i].path, path) != 0)
        i++;
    assert_true(i < IO_FILES_MAX);
    if (i == d->names)
        d->names++;
    memcpy(d->name[i].path, path, sizeof d->name[i].path);
    d->name[i].file = file;
}

static void drop_name(disk *d, const char *path)
{
    for (int i = 0; i < d->names; i++)
        if (strcmp(d->name[i].path, path) == 0) {
            d->name[i] = d->name[--d->names];
            return;
        }
}

static void apply_name(disk *d, const io_event *e)
{
    switch (e->kind) {
    case IO_CREATE: case IO_MKDIR: set_name(d, e->path, e->file); break;
    case IO_LINK: set_name(d, e->to, e->file); break;
    case IO_RENAME: drop_name(d, e->path), set_name(d, e->to, e->file); break;
    case IO_UNLINK: drop_name(d, e->path); break;
    default: break;
    }
}

static void apply(disk *d, int i, int cut, enum variant v)
{
    const io_event *e = &record.event[i];
    if (e->kind == IO_MARK) {
        memcpy((char *)&d->state + e->offset, &e->size, sizeof e->size);
        return;
    }
    int forced = forced_by[i] < cut;
    if (is_data(e)) {
        if (forced || v == KEEP_ALL || v == KEEP_DATA)
            apply_data(d, e, 0);
        else if (v == KEEP_RANDOM)
            apply_data(d, e, 1);
    } else if (forced || v == KEEP_ALL || v == KEEP_NAMES || (v == KEEP_RANDOM && random_bits() & 1)) {
        apply_name(d, e);
    }
}

static void build(disk *d, int cut, enum variant v)
{
    for (int i = 0; i < IO_FILES_MAX; i++)
        d->file[i].size = 0;
    d->names = 0;
    memset(&d->state, 0, sizeof d->state);
    for (int i = 0; i < cut; i++)
        apply(d, i, cut, v);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->path, ((const entry *)b)->path);
}

/* Parents sort before what is in them.  A name whose directory is missing is out of reach. */
static void lay_out(disk *d)
{
    char path[400];
    scratch_remove(scratch);
    assert_int_equal(mkdir(scratch, 0777), 0);
    for (int i = 0; i < d->names; i++) {
        const entry *e = &d->name[i];
        snprintf(path, sizeof path, "%s/%s", scratch, e->path);
        char *slash = strrchr(path, '/');
        *slash = '\0';
        int reachable = scratch_exists(path);
        *slash = '/';
        if (!reachable)
            continue;
        if (e->file < 0)
            assert_int_equal(mkdir(path, 0777), 0);
        else
            scratch_write(path, d->file[e->file].bytes, d->file[e->file].size);
    }
}

/* Many cuts leave the same disk. */
static int is_new(disk *d)
{
    XXH3_state_t *state = XXH3_createState();
    (void)XXH3_64bits_reset(state);
    qsort(d->name, (size_t)d->names, sizeof *d->name, by_path);
    for (int i = 0; i < d->names; i++) {
        const entry *e = &d->name[i];
        (void)XXH3_64bits_update(state, e->path, strlen(e->path) + 1);
        if (e->file >= 0 && d->file[e->file].size > 0)
            (void)XXH3_64bits_update(state, d->file[e->file].bytes, d->file[e->file].size);
    }
    (void)XXH3_64bits_update(state, &d->state, sizeof d->state);
    uint64_t hash = XXH3_64bits_digest(state) | 1;
    XXH3_freeState(state);
    for (uint64_t i = hash % STATES_MAX;; i = (i + 1) % STATES_MAX) {
        if (seen[i] == hash)
            return 0;
        if (seen[i] == 0) {
            seen[i] = hash;
            return 1;
        }
    }
}

/* --- all cuts --- */

typedef struct result { int disks, violations; } result;

static const char *try_disk(disk *d, result *r)
{
    char dir[300];
    if (!is_new(d))
        return NULL;
    lay_out(d);
    snprintf(dir, sizeof dir, "%s/job", scratch);
    return scenario_recover(dir, &d->state, r->disks++ % 8 == 0);
}

static void note_violation(result *r, const char *bad, int cut, int v, int loud)
{
    if (bad && r->violations++ == 0 && loud)
        print_error("after call %d of %d, variant %d: %s\n", cut, record.count, v, bad);
}

/* `stop`: at the first violation. */
static result try_all(int last_variant, ignores *ignored, int stop)
{
    static disk d;
    result r = { 0, 0 };
    memset(seen, 0, sizeof seen);
    find_forcing(ignored);
    for (int cut = 0; cut <= record.count && !(stop && r.violations); cut++)
        for (int v = 0; v <= last_variant; v++) {
            random_state = (uint64_t)(1000 * cut + v); /* so a report is a seed */
            build(&d, cut, v < KEEP_RANDOM ? (enum variant)v : KEEP_RANDOM);
            note_violation(&r, try_disk(&d, &r), cut, v, !stop);
        }
    return r;
}

static void record_scenario(enum bl_stable stable, int wrong)
{
    char dir[300];
    scenario_state state;
    bl_error err = { .code = BELAY_OK };
    snprintf(dir, sizeof dir, "%s/job", recorded);
    io_start(recorded, &record);
    int code = scenario_run(dir, stable, wrong, &state, &err);
    io_stop();
    if (code != BELAY_OK)
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    (void)state;
    scratch_make(recorded);
    scratch_make(scratch);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    io_free(&record);
    scratch_remove(recorded);
    scratch_remove(scratch);
    return 0;
}

static void a_power_cut_anywhere_loses_nothing_committed(void **state)
{
    (void)state;
    record_scenario(BL_STABLE_POWER, 0);
    result r = try_all(KEEP_RANDOM + RANDOMS - 1, NULL, 0);
    print_message("%d calls, %d different disks, %d violations\n", record.count, r.disks, r.violations);
    assert_true(r.disks > record.count);
    assert_int_equal(r.violations, 0);
}

static void a_death_anywhere_loses_nothing_committed(void **state)
{
    (void)state;
    record_scenario(BL_STABLE_PROCESS, 0);
    for (int i = 0; i < record.count; i++)
        assert_true(record.event[i].kind != IO_SYNC && record.event[i].kind != IO_DIR_SYNC); /* stable=process forces nothing */
    result r = try_all(KEEP_ALL, NULL, 0);
    print_message("%d calls, %d different disks, %d violations\n", record.count, r.disks, r.violations);
    assert_true(r.disks > record.count / 2);
    assert_int_equal(r.violations, 0);
}

/* --- mutants --- */

static int any_file(const io_event *sync) { return sync->kind == IO_SYNC; }
static int any_dir(const io_event *sync) { return sync->kind == IO_DIR_SYNC; }
static int a_snapshot(const io_event *sync) { return sync->kind == IO_SYNC && strncmp(sync->path, "job/rank-", 9) == 0; }
static int a_record(const io_event *sync) { return sync->kind == IO_SYNC && strncmp(sync->path, "job/commit/", 11) == 0; }
static int job_json(const io_event *sync) { return sync->kind == IO_SYNC && strncmp(sync->path, "job/job.json", 12) == 0; }
static int the_fence(const io_event *sync) { return sync->kind == IO_SYNC && strcmp(sync->path, "job/incarnation") == 0; }
static int parent_dir(const io_event *sync) { return sync->kind == IO_DIR_SYNC && sync->path[0] == '\0'; }
static int root_dir(const io_event *sync) { return sync->kind == IO_DIR_SYNC && strcmp(sync->path, "job") == 0; }
static int rank_dir(const io_event *sync) { return sync->kind == IO_DIR_SYNC && strncmp(sync->path, "job/rank-", 9) == 0; }
static int a_late_file(const io_event *sync) { return sync->kind == IO_SYNC && strstr(sync->path, "/late-") != NULL; }
static int commit_dir(const io_event *sync) { return sync->kind == IO_DIR_SYNC && strcmp(sync->path, "job/commit") == 0; }

static void every_forgotten_forcing_is_noticed(void **state)
{
    (void)state;
    static const struct { const char *name; ignores *ignored; } mutants[] = {
        { "files", any_file }, { "directories", any_dir }, { "snapshots", a_snapshot }, { "records", a_record },
        { "job.json", job_json }, { "fence", the_fence }, { "parent directory", parent_dir }, { "job directory", root_dir }, { "rank directories", rank_dir },
        { "commit directory", commit_dir }, { "late files", a_late_file }
    };
    record_scenario(BL_STABLE_POWER, 0);
    for (size_t i = 0; i < sizeof mutants / sizeof *mutants; i++)
        if (try_all(KEEP_RANDOM + RANDOMS - 1, mutants[i].ignored, 1).violations == 0)
            fail_msg("nobody noticed that nothing was forced for: %s", mutants[i].name);
}

static void collecting_in_the_wrong_order_is_noticed(void **state)
{
    (void)state;
    record_scenario(BL_STABLE_POWER, 1);
    assert_int_not_equal(try_all(KEEP_RANDOM + RANDOMS - 1, NULL, 1).violations, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_power_cut_anywhere_loses_nothing_committed),
        TEST(a_death_anywhere_loses_nothing_committed),
        TEST(every_forgotten_forcing_is_noticed),
        TEST(collecting_in_the_wrong_order_is_noticed),
    };
    return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
