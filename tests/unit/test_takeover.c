/* A process that was replaced goes on: what it still appends and counts is in no file that anybody reads, wherever it was stopped, and
 * wherever the one that replaces it dies in doing so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/journal_file.h"
#include "store/live.h"
#include "store/takeover.h"
#include "test_store_common.h"

enum { RANKS = 2, RANK = 1, BYTES = 300, ROUNDS = 24, CALLS_MOST = 2000, BUDGET = 64 << 20 };

static char root[256], dir[300];
static bl_store *old, *newer; /* of the process that was replaced, and of the one that replaces it */
static bl_journal *sent, *events;
static bl_live live;
static char data[BYTES], recorded[400];

static int setup(void **state)
{
    bl_error err = { 0, "" };
    (void)state;
    scratch_make(root);
    snprintf(dir, sizeof dir, "%s/belay.d", root);
    memset(data, 'x', sizeof data);
    return bl_store_create(dir, RANKS, "x", BL_STABLE_POWER, &old, &err) || bl_live_create(old, RANK, &live, &err) ||
           bl_journal_create(old, RANK, "sent", BUDGET, &sent, &err) || bl_journal_create(old, RANK, "events", BUDGET, &events, &err);
}

static int teardown(void **state)
{
    (void)state;
    bl_journal_close(sent);
    bl_journal_close(events);
    bl_live_unmap(&live);
    bl_store_close(old);
    bl_store_close(newer);
    newer = NULL;
    scratch_remove(root);
    return 0;
}

static bl_record record_of(uint64_t n)
{
    return (bl_record){ .a = n, .kind = BL_EVENT_SENT, .bytes = sizeof data };
}

static int append(bl_journal *j, uint64_t n)
{
    bl_record r = record_of(n);
    return bl_journal_append(j, &r, data);
}

/* One call of a program that logs: it begins, what it has shown is logged, then what follows from that is sent. */
static int call(uint64_t n)
{
    live.header->calls = n;
    return append(events, n) || append(sent, n);
}

static void begin_next(void)
{
    bl_error err = { 0, "" };
    if (bl_store_open(dir, BL_STABLE_POWER, &newer, &err) || bl_store_next_incarnation(newer, &err)) fail_msg("%s", err.text);
}

static void take_over(void)
{
    bl_error err = { 0, "" };
    if (bl_rank_take_over(newer, RANK, &err)) fail_msg("%s", err.text);
}

/* Records 1, 2, ...; how many. */
static uint64_t count(const char *name)
{
    bl_journal_reader *reader;
    bl_record r;
    const char *payload;
    bl_error err = { 0, "" };
    uint64_t n = 0;
    int more;
    if (bl_journal_read_open(newer, RANK, name, &reader, &err)) fail_msg("%s", err.text);
    while ((more = bl_journal_next(reader, &r, &payload, &err)) > 0) {
        assert_int_equal(r.a, ++n);
        assert_memory_equal(payload, data, sizeof data);
    }
    if (more < 0) fail_msg("%s", err.text);
    bl_journal_read_close(reader);
    return n;
}

static uint64_t calls(void)
{
    bl_live_header h;
    bl_error err = { 0, "" };
    if (bl_live_read_header(newer, RANK, 0, &h, &err)) fail_msg("%s", err.text);
    return h.calls;
}

static void what_it_appends_afterwards_counts_for_nobody(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 100; n++) assert_int_equal(call(n), 0);
    bl_record half = record_of(101);
    char *to = bl_journal_begin(sent, &half); /* stopped in the middle of an append */
    memcpy(to, data, sizeof data);
    begin_next();
    take_over();
    bl_journal_commit(sent, &half, data);
    for (uint64_t n = 102; n <= 200; n++) assert_int_equal(call(n), 0);
    assert_int_equal(count("sent"), 100);
    assert_int_equal(count("events"), 100);
    assert_int_equal(calls(), 100);
}

static void segments_before_the_last_stay(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 3000; n++) assert_int_equal(call(n), 0);
    int files = scratch_count(dir, "journal-0000-sent-");
    assert_true(files > 1);
    begin_next();
    take_over();
    for (uint64_t n = 3001; n <= 3010; n++) (void)call(n);
    assert_int_equal(count("sent"), 3000);
    assert_int_equal(scratch_count(dir, "journal-0000-sent-"), files);
    assert_int_equal(scratch_count(dir, ".tmp-"), 0);
}

static void it_removes_renames_and_settles_nothing(void **state)
{
    bl_error err = { 0, "" };
    (void)state;
    for (uint64_t n = 1; n <= 3000; n++) assert_int_equal(call(n), 0);
    begin_next();
    take_over();
    char path[400];
    snprintf(path, sizeof path, "%s/file", root);
    scratch_write(path, "x", 1);
    assert_int_equal(bl_journal_retire(sent, bl_journal_position(sent), &err), BELAY_ERR_STALE);
    assert_int_equal(bl_journal_retire_before(old, RANK, "sent", 1, &err), BELAY_ERR_STALE);
    assert_int_equal(bl_journal_forget_after(old, RANK, "sent", 0, &err), BELAY_ERR_STALE);
    assert_int_equal(bl_journal_settle(old, RANK, "sent", 0, &(bl_journal_place){ 0, 0, 128 }, &err), BELAY_ERR_STALE);
    assert_int_equal(bl_store_publish(old, path, dir, &err), BELAY_ERR_STALE);
    assert_int_equal(bl_rank_take_over(old, RANK, &err), BELAY_OK); /* there is none before its own */
    assert_int_equal(bl_store_use_local(old, RANK, root, &err), BELAY_ERR_STALE);
    assert_int_equal(count("sent"), 3000);
}

/* One that was replaced itself while it took over: what the next one has read does not change any more. */
static void a_takeover_of_the_past_replaces_nothing(void **state)
{
    bl_error err = { 0, "" };
    bl_store *between;
    (void)state;
    assert_int_equal(call(1), 0);
    begin_next();
    between = newer;
    begin_next();
    take_over();
    assert_int_equal(call(2), 0);
    assert_int_equal(bl_rank_take_over(between, RANK, &err), BELAY_ERR_STALE);
    assert_int_equal(count("sent"), 1);
    bl_store_close(between);
}

/* 1: the child was killed at this system call of its; 0: it came to its end before. */
static int dies_at(int number)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bl_error err;
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) _exit(77);
        raise(SIGSTOP);
        _exit(bl_rank_take_over(newer, RANK, &err) != BELAY_OK);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) skip();
    for (int n = 0; n < 2 * number && WIFSTOPPED(status); n++) { /* it stops before and after each */
        ptrace(PTRACE_SYSCALL, child, NULL, NULL);
        waitpid(child, &status, 0);
    }
    if (!WIFSTOPPED(status)) {
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        return 0;
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return 1;
}

static void dies_at_every_system_call(void **state)
{
    uint64_t n = 0;
    int number = 1;
    (void)state;
    while (n < 10) assert_int_equal(call(++n), 0);
    live.header->pid = 0; /* of this process, which the child would end */
    begin_next();
    for (; dies_at(number); number++) assert_true(number < CALLS_MOST);
    assert_true(number > 20);
    take_over(); /* the next one finds a file or its copy, of each */
    for (uint64_t k = n + 1; k < n + 5; k++) (void)call(k);
    assert_int_equal(count("sent"), n);
    assert_int_equal(count("events"), n);
    assert_int_equal(calls(), n);
    print_message("%d system calls\n", number);
}

/* It is only slow, and never stops: it is cut off at one place, at which it might have died. */
static void one_that_runs_is_cut_off_at_one_place(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (uint64_t n = 1; !call(n); n++) continue;
            pause();
        }
        nanosleep(&(struct timespec){ .tv_nsec = 100000 + round * 250000 }, NULL);
        begin_next();
        take_over();
        uint64_t messages = count("sent"), shown = count("events"), made = calls();
        nanosleep(&(struct timespec){ .tv_nsec = 3000000 }, NULL);
        int same = messages == count("sent") && shown == count("events") && made == calls();
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        assert_true(same);
        assert_true(messages <= shown);             /* nothing was sent that no event explains */
        assert_true(made == 0 || made - 1 <= shown); /* of all calls before the last it is known what they showed */
        teardown(NULL);
        setup(NULL);
    }
}

/* A record that was altered stays what it is, for the reader to find: it is no end. */
static void damage_is_not_taken_for_the_end(void **state)
{
    bl_journal_reader *reader;
    bl_record r;
    const char *payload;
    bl_error err = { 0, "" };
    char path[400];
    (void)state;
    for (uint64_t n = 1; n <= 10; n++) assert_int_equal(call(n), 0);
    sent->at[-3 * (int)bl_entry_size(BYTES) + 60] ^= 1;
    begin_next();
    take_over();
    assert_int_equal(bl_journal_read_open(newer, RANK, "sent", &reader, &err), BELAY_OK);
    for (int n = 0; n < 7; n++) assert_int_equal(bl_journal_next(reader, &r, &payload, &err), 1);
    assert_int_equal(bl_journal_next(reader, &r, &payload, &err), -1);
    assert_int_equal(err.code, BELAY_ERR_DAMAGED);
    bl_journal_read_close(reader);
    snprintf(path, sizeof path, "%s/rank-00001/live-0000", dir);
    scratch_write(path, "", 0); /* neither is an empty file */
    take_over();
    snprintf(path, sizeof path, "%s/rank-00001/journal-0000-sent-000007", dir);
    scratch_write(path, data, 100);
    take_over();
}

/* --- who was stopped with the lock in its hand --- */

/* Stopped or not, a rank or not: 1 when it was ended. */
static int holder_is_ended(int rank, int stopped)
{
    bl_error err = { 0, "" };
    bl_fence fence, lock;
    int status, ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        bl_live table;
        bl_live_unmap(&live); /* the one of its parent */
        if ((rank && bl_live_create(old, 0, &table, &err)) || bl_fence_enter(old, &fence, &err)) _exit(1);
        if (write(ready[1], &byte, 1) != 1) _exit(1);
        if (stopped) raise(SIGSTOP);
        pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    if (stopped) assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    snprintf(recorded, sizeof recorded, "%s/incarnation", dir);
    lock.fd = open(recorded, O_RDWR | O_CLOEXEC);
    int ended = bl_end_stopped_holder(old, lock.fd);
    close(lock.fd);
    if (!ended) kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ready[0]);
    close(ready[1]);
    return ended;
}

static void only_a_stopped_rank_that_holds_the_lock_is_ended(void **state)
{
    (void)state;
    assert_false(holder_is_ended(0, 1));
    assert_false(holder_is_ended(1, 0));
    if (!holder_is_ended(1, 1)) skip(); /* /proc/locks is not to be read, or has other numbers */
}

/* 1: the process that its live table names is ended. */
static int previous_is_ended(uint32_t rank, int counts)
{
    bl_error err = { 0, "" };
    int status, ready[2];
    bl_live table;
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        bl_live_unmap(&live);
        if (counts && bl_live_create(old, 0, &table, &err)) _exit(1);
        if (write(ready[1], &byte, 1) != 1) _exit(1);
        pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    if (rank == RANK) live.header->pid = child; /* what a file says is no proof */
    if (rank == 0 && !counts) {
        assert_int_equal(bl_live_create(old, 0, &table, &err), BELAY_OK);
        table.header->pid = child;
        bl_live_unmap(&table);
    }
    begin_next();
    assert_int_equal(bl_rank_take_over(newer, rank, &err), BELAY_OK);
    int ended = waitpid(child, &status, WNOHANG) == child;
    if (!ended) {
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
    }
    close(ready[0]);
    close(ready[1]);
    return ended;
}

static void the_process_before_is_ended(void **state)
{
    (void)state;
    assert_true(previous_is_ended(0, 1));
}

static void no_stranger_is_ended(void **state)
{
    (void)state;
    assert_false(previous_is_ended(0, 0));
}

static void no_other_rank_is_ended(void **state)
{
    (void)state;
    assert_false(previous_is_ended(RANK, 1)); /* it counts in the table of rank 0 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_it_appends_afterwards_counts_for_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(segments_before_the_last_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(it_removes_renames_and_settles_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_takeover_of_the_past_replaces_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(dies_at_every_system_call, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_runs_is_cut_off_at_one_place, setup, teardown),
        cmocka_unit_test_setup_teardown(only_a_stopped_rank_that_holds_the_lock_is_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(the_process_before_is_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(no_stranger_is_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(no_other_rank_is_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_not_taken_for_the_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
