/* From what lies on disk to the recovery line: jobs are made through the store, as a run would have left them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tool/story.h"
#include "unit/test_tool_job.h"

typedef struct fixture { char root[64], dir[96]; bl_view view; bl_story story; } fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    if (!f)
        return -1;
    strcpy(f->root, "/tmp/belay-tool-XXXXXX");
    if (!mkdtemp(f->root))
        return -1;
    snprintf(f->dir, sizeof f->dir, "%s/job", f->root);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    char command[128];
    bl_story_clear(&f->story);
    bl_view_free(&f->view);
    snprintf(command, sizeof command, "rm -rf '%s'", f->root);
    int rc = system(command);
    free(f);
    return rc;
}

static void read_story(fixture *f, uint32_t incarnation)
{
    bl_error err = {0, ""};
    if (bl_view_load(f->dir, &f->view, &err) != BELAY_OK || bl_story_read(&f->view, incarnation, &f->story, &err) != BELAY_OK ||
        bl_story_solve(&f->story, NULL, &err) != BELAY_OK)
        fail_msg("%s", err.text);
}

static void solve(fixture *f, const uint8_t *failed)
{
    bl_error err = {0, ""};
    bl_line_clear(&f->story.line);
    bl_line_clear(&f->story.relaunch);
    if (bl_story_solve(&f->story, failed, &err) != BELAY_OK)
        fail_msg("%s", err.text);
}

/* What one rank sent another in the open interval, or NULL. */
static const bl_story_traffic *between(const fixture *f, uint32_t from, uint32_t to)
{
    for (size_t k = 0; k < f->story.pairs; k++)
        if (f->story.traffic[k].from == from && f->story.traffic[k].to == to)
            return &f->story.traffic[k];
    return NULL;
}

/* The checkpoint on disk a rank restarts from; 999: it keeps its memory. */
static uint32_t restart(const fixture *f, uint32_t rank)
{
    uint32_t cut = f->story.line.cut[rank];
    return cut > bl_story_last(&f->story, rank) ? 999 : bl_story_number(&f->story, rank, cut);
}

static void assert_line(const fixture *f, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    const uint32_t want[] = {a, b, c, d};
    for (uint32_t rank = 0; rank < f->story.ranks; rank++)
        if (restart(f, rank) != want[rank])
            fail_msg("rank %u restarts at %u, not at %u", rank, restart(f, rank), want[rank]);
}

/* A job of four ranks with checkpoint 1 at safe point 10, and tables of one incarnation. */
static const job_checkpoint first = {.number = 1, .safe_point = 10, .collectives = 5, .decision = BL_COMMITTED};
static const job_state running[4] = {{BL_LIVE_STARTED, 0, 13}, {BL_LIVE_STARTED, 0, 13}, {BL_LIVE_STARTED, 0, 13},
                                     {BL_LIVE_STARTED, 0, 13}};

static void make(const fixture *f, const flow *flows, size_t count, const uint64_t *collectives)
{
    bl_store *store = job_new(f->dir, 4);
    job_commit(store, &first);
    job_live(store, &(job_tables){.last = &first, .flows = flows, .nflows = count, .collectives = collectives,
                                  .states = running});
    bl_store_close(store);
}

static void dead_rank_is_recognised_and_pulls_its_receivers_back(void **state)
{
    fixture *f = *state;
    assert_int_equal(job_scenario(f->dir, "dead"), 1);
    read_story(f, UINT32_MAX);
    assert_false(f->story.assumed);
    assert_int_equal(f->story.failed[2], 1);
    assert_int_equal(f->story.failed[0] + f->story.failed[1] + f->story.failed[3], 0);
    assert_line(f, 4, 4, 4, 999);
    assert_int_equal(f->story.relaunch.cut[3], bl_story_last(&f->story, 0));
    assert_false(f->story.crossing);
}

static void gaps_in_the_numbers_map_to_dense_checkpoints(void **state)
{
    fixture *f = *state;
    assert_int_equal(job_scenario(f->dir, "dead"), 1); /* 1 and 4 committed, 3 aborted, 5 incomplete */
    read_story(f, UINT32_MAX);
    assert_int_equal(bl_story_last(&f->story, 0), 2);
    assert_int_equal(bl_story_number(&f->story, 0, 0), 0);
    assert_int_equal(bl_story_number(&f->story, 0, 1), 1);
    assert_int_equal(bl_story_number(&f->story, 0, 2), 4);
}

static void open_interval_counts_only_what_came_after_the_checkpoint(void **state)
{
    fixture *f = *state;
    assert_int_equal(job_scenario(f->dir, "dead"), 1);
    read_story(f, UINT32_MAX);
    const bl_story_traffic *t = between(f, 2, 1);
    assert_non_null(t);
    assert_int_equal(t->sent, 12);
    assert_int_equal(t->received, 12);
    t = between(f, 0, 1);
    assert_non_null(t);
    assert_int_equal(t->sent, 7);
    assert_int_equal(t->received, 5);
    assert_null(between(f, 3, 0));
    assert_null(between(f, 1, 2));
}

static void loss_is_counted_from_the_checkpoint(void **state)
{
    fixture *f = *state;
    uint64_t points;
    double seconds;
    assert_int_equal(job_scenario(f->dir, "dead"), 1);
    read_story(f, UINT32_MAX);
    bl_story_loss(&f->story, 2, 2, &points, &seconds);
    assert_int_equal(points, 7);
    assert_float_equal(seconds, 3.5, 1e-6);
    bl_story_loss(&f->story, 2, 1, &points, &seconds);
    assert_int_equal(points, 17);
    assert_float_equal(seconds, 8.5, 1e-6);
    bl_story_loss(&f->story, 2, 3, &points, &seconds);
    assert_int_equal(points, 0);
}

static void without_a_recorded_death_all_are_taken_as_failed(void **state)
{
    fixture *f = *state;
    assert_int_equal(job_scenario(f->dir, "silent"), 1);
    read_story(f, UINT32_MAX);
    assert_true(f->story.assumed);
    assert_line(f, 4, 4, 4, 4);
    const uint8_t one[4] = {0, 0, 0, 1};
    solve(f, one);
    assert_line(f, 999, 999, 999, 4);
}

static void message_that_never_arrived_pulls_its_sender_back(void **state)
{
    fixture *f = *state;
    const flow flows[] = {{0, 1, 3, 0}};
    const uint8_t receiver[4] = {0, 1, 0, 0}, sender[4] = {1, 0, 0, 0};
    make(f, flows, 1, NULL);
    read_story(f, UINT32_MAX);
    solve(f, receiver);
    assert_line(f, 1, 1, 999, 999);
    solve(f, sender); /* nobody has received anything */
    assert_line(f, 1, 999, 999, 999);
}

static void receivers_word_suffices_when_the_senders_table_is_gone(void **state)
{
    fixture *f = *state;
    const flow flows[] = {{0, 1, 3, 3}};
    char path[128];
    make(f, flows, 1, NULL);
    snprintf(path, sizeof path, "%s/rank-00000/live-0000", f->dir);
    assert_int_equal(unlink(path), 0);
    read_story(f, UINT32_MAX);
    assert_int_equal(f->story.tables, 3);
    assert_int_equal(f->story.failed[0], 1);
    assert_line(f, 1, 1, 999, 999);
}

/* Whatever stands in a table: it is left out with a note, and its rank counts as failed. */
static void impossible_counters_make_a_table_unreadable(void **state)
{
    fixture *f = *state;
    const flow flows[] = {{0, 1, (uint64_t)1 << 63, 1}, {2, 3, 1, UINT64_MAX}};
    const uint64_t started[4] = {5, 6, 6, 6};
    make(f, flows, 2, started);
    read_story(f, UINT32_MAX);
    assert_int_equal(f->story.tables, 2);
    assert_int_equal(f->story.notes, 2);
    assert_int_equal(f->story.failed[0] + f->story.failed[3], 2);
    assert_line(f, 1, 1, 1, 1);
}

static void collectives_bind_those_that_took_part(void **state)
{
    fixture *f = *state;
    const uint64_t started[4] = {6, 5, 7, 6}; /* 5 each before the checkpoint: rank 1 has not begun another one */
    const uint8_t one[4] = {1, 0, 0, 0};
    make(f, NULL, 0, started);
    read_story(f, UINT32_MAX);
    solve(f, one);
    assert_line(f, 1, 999, 1, 1);
}

/* A rank that died before it learnt of a commit still has the counters of the checkpoint before in its table. */
static void table_that_missed_the_commit_is_corrected_by_the_snapshot(void **state)
{
    fixture *f = *state;
    static const flow at1[] = {{0, 1, 4, 4}}, at2[] = {{0, 1, 9, 9}};
    const job_checkpoint c1 = {.number = 1, .safe_point = 10, .decision = BL_COMMITTED, .flows = at1, .nflows = 1, .collectives = 3},
                         c2 = {.number = 2, .safe_point = 20, .decision = BL_COMMITTED, .flows = at2, .nflows = 1, .collectives = 8};
    const uint64_t started[4] = {8, 8, 8, 8};
    const uint8_t one[4] = {1, 0, 0, 0};
    bl_store *store = job_new(f->dir, 4);
    job_commit(store, &c1);
    job_commit(store, &c2);
    job_live(store, &(job_tables){.last = &c1, .flows = at2, .nflows = 1, .collectives = started, .states = running});
    bl_store_close(store);
    read_story(f, UINT32_MAX);
    assert_int_equal(f->story.pairs, 0);
    solve(f, one);
    assert_line(f, 2, 999, 999, 999);
}

/* Incarnation 0 took 1 and 2; 1 could not use 2, resumed from 1 and took 3.  2 is not on the way. */
static void abandoned_checkpoint_is_not_on_the_way(void **state)
{
    fixture *f = *state;
    bl_error err = {0, ""};
    const job_checkpoint c1 = {.number = 1, .safe_point = 10, .decision = BL_COMMITTED},
                         c2 = {.number = 2, .safe_point = 20, .decision = BL_COMMITTED},
                         c3 = {.number = 3, .base = 1, .safe_point = 15, .decision = BL_COMMITTED};
    bl_store *store = job_new(f->dir, 4);
    job_commit(store, &c1);
    job_commit(store, &c2);
    job_live(store, &(job_tables){.last = &c2, .states = running});
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    job_commit(store, &c3);
    job_live(store, &(job_tables){.last = &c3, .base = 1, .states = running});
    bl_store_close(store);
    read_story(f, UINT32_MAX);
    assert_int_equal(f->story.incarnation, 1);
    assert_int_equal(bl_story_last(&f->story, 0), 2);
    assert_int_equal(bl_story_number(&f->story, 0, 1), 1);
    assert_int_equal(bl_story_number(&f->story, 0, 2), 3);
    bl_story_clear(&f->story);
    bl_view_free(&f->view);
    read_story(f, 0);
    assert_int_equal(bl_story_last(&f->story, 0), 2);
    assert_int_equal(bl_story_number(&f->story, 0, 2), 2);
}

/* The next incarnation has removed what this one fell back to: its tables still tell. */
static void checkpoint_removed_since_is_known_from_the_tables(void **state)
{
    fixture *f = *state;
    bl_error err = {0, ""};
    const flow flows[] = {{2, 3, 2, 2}};
    const job_state dead[4] = {{BL_LIVE_STARTED, 0, 13}, {BL_LIVE_STARTED, 0, 13}, {BL_LIVE_KILLED, 1, 14},
                               {BL_LIVE_STARTED, 0, 13}};
    const job_checkpoint c2 = {.number = 2, .base = 1, .safe_point = 20, .decision = BL_COMMITTED};
    bl_store *store = job_new(f->dir, 4);
    job_commit(store, &first);
    job_live(store, &(job_tables){.last = &first, .flows = flows, .nflows = 1, .states = dead});
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    job_commit(store, &c2);
    job_live(store, &(job_tables){.last = &c2, .base = 1, .states = running});
    assert_int_equal(bl_commit_remove(store, 1, &err), BELAY_OK);
    for (uint32_t rank = 0; rank < 4; rank++)
        assert_int_equal(bl_snapshot_remove(store, rank, 1, &err), BELAY_OK);
    bl_store_close(store);
    read_story(f, 0);
    assert_int_equal(bl_story_last(&f->story, 0), 1);
    assert_line(f, 999, 999, 1, 1);
    uint64_t points;
    double seconds;
    bl_story_loss(&f->story, 2, 1, &points, &seconds);
    assert_int_equal(points, 4);
    assert_float_equal(seconds, 2, 1e-6);
    bl_story_clear(&f->story);
    bl_view_free(&f->view);
    read_story(f, 1); /* the newest one does not believe in what is not there */
    assert_int_equal(bl_story_last(&f->story, 0), 1);
    assert_int_equal(bl_story_number(&f->story, 0, 1), 2);
}

/* An incarnation that has not committed anything yet: its counters began at zero when it resumed. */
static void resumed_incarnation_counts_from_its_base(void **state)
{
    fixture *f = *state;
    bl_error err = {0, ""};
    const flow before[] = {{0, 1, 50, 50}}, after[] = {{2, 3, 2, 2}};
    const job_checkpoint c1 = {.number = 1, .safe_point = 10, .decision = BL_COMMITTED, .flows = before, .nflows = 1};
    const uint8_t one[4] = {0, 0, 1, 0};
    bl_store *store = job_new(f->dir, 4);
    job_commit(store, &c1);
    assert_int_equal(bl_store_next_incarnation(store, &err), BELAY_OK);
    job_live(store, &(job_tables){.base = 1, .flows = after, .nflows = 1, .states = running});
    bl_store_close(store);
    read_story(f, UINT32_MAX);
    assert_int_equal(f->story.pairs, 1);
    solve(f, one);
    assert_line(f, 999, 999, 1, 1);
}

/* The newest record is good but a snapshot is gone: what was counted since then belongs to the longer open interval. */
static void unusable_checkpoint_is_left_out_and_its_interval_reopens(void **state)
{
    fixture *f = *state;
    static const flow at1[] = {{0, 1, 4, 4}}, at2[] = {{0, 1, 9, 9}};
    const job_checkpoint c1 = {.number = 1, .safe_point = 10, .decision = BL_COMMITTED, .flows = at1, .nflows = 1},
                         c2 = {.number = 2, .safe_point = 20, .decision = BL_COMMITTED, .flows = at2, .nflows = 1};
    const uint8_t one[4] = {1, 0, 0, 0};
    char path[128];
    bl_store *store = job_new(f->dir, 4);
    job_commit(store, &c1);
    job_commit(store, &c2);
    job_live(store, &(job_tables){.last = &c2, .flows = at2, .nflows = 1, .states = running});
    bl_store_close(store);
    snprintf(path, sizeof path, "%s/rank-00003/ckpt-000002.h5", f->dir);
    assert_int_equal(unlink(path), 0);
    read_story(f, UINT32_MAX);
    assert_int_equal(bl_story_last(&f->story, 0), 1);
    assert_int_equal(f->story.notes, 1);
    assert_int_equal(between(f, 0, 1)->received, 5);
    solve(f, one);
    assert_line(f, 1, 1, 999, 999);
}

/* As an independent protocol could record it: rank 0 received in interval 2 what rank 1 sent in its interval 3. */
static void recorded_dependencies_across_checkpoints_make_a_domino(void **state)
{
    fixture *f = *state;
    static const link_ links[] = {{1, 3, 0, 2}, {0, 2, 1, 1}};
    const job_checkpoint c1 = {.number = 1, .safe_point = 10, .decision = BL_COMMITTED, .links = links, .nlinks = 2},
                         c2 = {.number = 2, .safe_point = 20, .decision = BL_COMMITTED};
    bl_store *store = job_new(f->dir, 4);
    job_commit(store, &c1);
    job_commit(store, &c2);
    bl_store_close(store);
    read_story(f, UINT32_MAX);
    assert_true(f->story.crossing);
    assert_int_equal(f->story.tables, 0);
    assert_line(f, 1, 0, 2, 2); /* interval 3 of rank 1 is gone, so interval 2 of rank 0, so interval 1 of rank 1 */
    assert_true(f->story.line.total_domino);
}

/* Counters are cumulative: five collectives before checkpoint 1 are not five more before checkpoint 2. */
static void collectives_of_one_interval_do_not_bind_in_the_next(void **state)
{
    fixture *f = *state;
    static const link_ links[] = {{1, 3, 0, 2}};
    const job_checkpoint c1 = {.number = 1, .safe_point = 10, .decision = BL_COMMITTED, .links = links, .nlinks = 1,
                               .collectives = 5},
                         c2 = {.number = 2, .safe_point = 20, .decision = BL_COMMITTED, .collectives = 5};
    bl_store *store = job_new(f->dir, 4);
    job_commit(store, &c1);
    job_commit(store, &c2);
    bl_store_close(store);
    read_story(f, UINT32_MAX);
    assert_line(f, 1, 2, 2, 2);
}

static void job_without_checkpoints_begins_from_the_start(void **state)
{
    fixture *f = *state;
    bl_store_close(job_new(f->dir, 4));
    read_story(f, UINT32_MAX);
    assert_int_equal(bl_story_last(&f->story, 0), 0);
    assert_line(f, 0, 0, 0, 0);
}

/* --- the view --- */

static void restart_needs_every_snapshot_and_a_good_record(void **state)
{
    fixture *f = *state;
    bl_error err = {0, ""};
    char path[128];
    assert_int_equal(job_scenario(f->dir, "dead"), 1);
    assert_int_equal(bl_view_load(f->dir, &f->view, &err), BELAY_OK);
    assert_int_equal(f->view.count, 4);
    assert_int_equal(bl_view_restart(&f->view)->number, 4);
    assert_int_equal(bl_view_find(&f->view, 3)->state, BL_VIEW_ABORTED);
    assert_int_equal(bl_view_find(&f->view, 5)->state, BL_VIEW_INCOMPLETE);
    bl_view_free(&f->view);
    snprintf(path, sizeof path, "%s/rank-00002/ckpt-000004.h5", f->dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(bl_view_load(f->dir, &f->view, &err), BELAY_OK);
    assert_int_equal(bl_view_restart(&f->view)->number, 1);
}

static void one_missing_copy_of_a_record_is_seen(void **state)
{
    fixture *f = *state;
    bl_error err = {0, ""};
    char path[128];
    assert_int_equal(job_scenario(f->dir, "dead"), 1);
    snprintf(path, sizeof path, "%s/commit/000004.a", f->dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(bl_view_load(f->dir, &f->view, &err), BELAY_OK);
    assert_int_equal(bl_view_find(&f->view, 4)->state, BL_VIEW_GOOD);
    assert_true(bl_view_find(&f->view, 4)->copies_differ);
    assert_false(bl_view_find(&f->view, 1)->copies_differ);
}

static void alive_means_running_and_a_living_process(void **state)
{
    fixture *f = *state;
    bl_error err = {0, ""};
    bl_live_header who;
    bl_store *store = job_new(f->dir, 4);
    job_live(store, &(job_tables){.states = running}); /* tables of this very process */
    bl_store_close(store);
    assert_int_equal(bl_view_load(f->dir, &f->view, &err), BELAY_OK);
    assert_int_equal(bl_view_alive(&f->view, &who), BL_ALIVE_HERE);
    assert_int_equal(who.pid, getpid());
    assert_int_equal(bl_store_join(f->view.store, 0, &err), BELAY_OK);
    assert_int_equal(bl_store_set_state(f->view.store, "finished", &err), BELAY_OK);
    assert_int_equal(bl_view_alive(&f->view, &who), BL_ALIVE_NO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void independent_checkpoints_fall_like_dominoes_to_the_start(void **state)
{
    fixture *f = *state;
    assert_int_equal(job_scenario(f->dir, "domino"), 1);
    read_story(f, UINT32_MAX);
    assert_int_equal(f->story.source, BL_STORY_INDEPENDENT);
    assert_int_equal(bl_story_last(&f->story, 0), 4);
    assert_int_equal(bl_story_last(&f->story, 1), 4);
    assert_int_equal(f->story.failed[0], 1);
    assert_int_equal(f->story.failed[1], 0);
    assert_line(f, 0, 0, 0, 0);
    assert_int_equal(f->story.line.domino_depth, 8);
}

static void the_rank_that_has_sent_nothing_since_falls_alone(void **state)
{
    fixture *f = *state;
    const uint8_t second[] = {0, 1};
    assert_int_equal(job_scenario(f->dir, "domino"), 1);
    read_story(f, UINT32_MAX);
    solve(f, second);
    assert_line(f, 999, 4, 0, 0);
}

/* What messages a hop speaks of: rank 1 goes back because of the one that rank 0 sent after its last checkpoint. */
static void a_hop_knows_how_many_messages_it_speaks_of(void **state)
{
    fixture *f = *state;
    bl_error err;
    bl_hop *hops;
    size_t count;
    uint64_t messages[2];
    assert_int_equal(job_scenario(f->dir, "domino"), 1);
    read_story(f, UINT32_MAX);
    assert_int_equal(bl_line_why(f->story.graph, &f->story.line, 1, &hops, &count, &err), BELAY_OK);
    assert_true(count > 2);
    bl_story_count(&f->story, &hops[count - 2], 1, messages);
    assert_int_equal(hops[count - 2].rank, 1);
    assert_int_equal(messages[0], 1);
    free(hops);
}

static void what_a_rank_loses_is_counted_from_its_own_checkpoint(void **state)
{
    fixture *f = *state;
    uint64_t points;
    double seconds;
    assert_int_equal(job_scenario(f->dir, "domino"), 1);
    read_story(f, UINT32_MAX);
    bl_story_loss(&f->story, 1, 4, &points, &seconds);
    assert_int_equal(points, 4);
    assert_float_equal(seconds, 2, 1e-6);
    bl_story_loss(&f->story, 1, 0, &points, &seconds);
    assert_int_equal(points, 49);
    assert_float_equal(seconds, 24.5, 1e-6);
}

static void no_table_means_that_anything_may_have_been_sent(void **state)
{
    fixture *f = *state;
    char path[160];
    assert_int_equal(job_scenario(f->dir, "domino"), 1);
    snprintf(path, sizeof path, "%s/rank-00000/live-0000", f->dir);
    assert_int_equal(unlink(path), 0);
    read_story(f, UINT32_MAX);
    assert_int_equal(f->story.failed[0], 1);
    assert_line(f, 0, 0, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dead_rank_is_recognised_and_pulls_its_receivers_back),
        TEST(gaps_in_the_numbers_map_to_dense_checkpoints),
        TEST(open_interval_counts_only_what_came_after_the_checkpoint),
        TEST(loss_is_counted_from_the_checkpoint),
        TEST(without_a_recorded_death_all_are_taken_as_failed),
        TEST(message_that_never_arrived_pulls_its_sender_back),
        TEST(receivers_word_suffices_when_the_senders_table_is_gone),
        TEST(impossible_counters_make_a_table_unreadable),
        TEST(collectives_bind_those_that_took_part),
        TEST(table_that_missed_the_commit_is_corrected_by_the_snapshot),
        TEST(abandoned_checkpoint_is_not_on_the_way),
        TEST(checkpoint_removed_since_is_known_from_the_tables),
        TEST(resumed_incarnation_counts_from_its_base),
        TEST(unusable_checkpoint_is_left_out_and_its_interval_reopens),
        TEST(recorded_dependencies_across_checkpoints_make_a_domino),
        TEST(collectives_of_one_interval_do_not_bind_in_the_next),
        TEST(job_without_checkpoints_begins_from_the_start),
        TEST(restart_needs_every_snapshot_and_a_good_record),
        TEST(one_missing_copy_of_a_record_is_seen),
        TEST(alive_means_running_and_a_living_process),
        TEST(independent_checkpoints_fall_like_dominoes_to_the_start),
        TEST(the_rank_that_has_sent_nothing_since_falls_alone),
        TEST(a_hop_knows_how_many_messages_it_speaks_of),
        TEST(what_a_rank_loses_is_counted_from_its_own_checkpoint),
        TEST(no_table_means_that_anything_may_have_been_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
