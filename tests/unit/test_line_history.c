/* What counters are refused, what cannot be known, and the shape of what is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "line/history.h"

static bl_history *history(uint32_t ranks)
{
    bl_history *h;
    assert_int_equal(bl_history_new(ranks, &h, NULL), BELAY_OK);
    return h;
}

static void count(bl_history *h, int open, uint32_t rank, bl_history_channel c)
{
    assert_int_equal((open ? bl_history_open : bl_history_checkpoint)(h, rank, &c, 1, NULL, 0, NULL), BELAY_OK);
}

static void started(bl_history *h, int open, uint32_t rank, uint64_t times, uint32_t size)
{
    bl_history_collective c = {5, times, size};
    assert_int_equal((open ? bl_history_open : bl_history_checkpoint)(h, rank, NULL, 0, &c, 1, NULL), BELAY_OK);
}

static void refuse(bl_history *h, const char *part)
{
    bl_graph *graph;
    bl_error err = {0}, again = {0};
    assert_int_equal(bl_history_graph(h, &graph, &err), BELAY_ERR_DAMAGED);
    assert_null(graph);
    assert_non_null(strstr(err.text, part));
    assert_int_equal(bl_history_graph(h, &graph, &again), BELAY_ERR_DAMAGED);
    assert_string_equal(err.text, again.text);
    bl_history_free(h);
}

static void edge_is(const bl_history_edge *e, uint32_t from, uint32_t s, uint32_t to, uint32_t r, uint64_t messages)
{
    assert_int_equal(e->from, from);
    assert_int_equal(e->sent_in, s);
    assert_int_equal(e->to, to);
    assert_int_equal(e->received_in, r);
    assert_int_equal(e->messages, messages);
}

static void messages_are_counted_by_the_intervals_of_both_ends(void **unused)
{
    (void)unused;
    bl_history *h = history(2);
    const bl_history_edge *edge;
    size_t edges;
    uint64_t folded;
    count(h, 0, 0, (bl_history_channel){1, 1, 9, 3, 0});
    count(h, 1, 0, (bl_history_channel){1, 1, 9, 7, 0});
    count(h, 0, 1, (bl_history_channel){1, 0, 9, 0, 2});
    count(h, 0, 1, (bl_history_channel){1, 0, 9, 0, 5});
    count(h, 1, 1, (bl_history_channel){1, 0, 9, 0, 6});
    assert_int_equal(bl_history_edges(h, &edge, &edges, NULL), BELAY_OK);
    assert_int_equal(edges, 5);
    edge_is(&edge[0], 0, 1, 1, 1, 2);
    edge_is(&edge[1], 0, 1, 1, 2, 1);
    edge_is(&edge[2], 0, 2, 1, 2, 2);
    edge_is(&edge[3], 0, 2, 1, 3, 1);
    edge_is(&edge[4], 0, 2, 1, 4, 1); /* on its way */
    assert_int_equal(bl_history_folded(h, &folded, NULL), BELAY_OK);
    assert_int_equal(folded, 0);
    bl_history_free(h);
}

static void what_an_unknown_open_interval_hides_happened_in_it(void **unused)
{
    (void)unused;
    bl_history *h = history(2);
    const bl_history_edge *edge;
    size_t edges;
    count(h, 0, 0, (bl_history_channel){1, 1, 0, 1, 3});
    count(h, 0, 1, (bl_history_channel){1, 0, 0, 2, 0});
    assert_int_equal(bl_history_edges(h, &edge, &edges, NULL), BELAY_OK);
    assert_int_equal(edges, 3);
    edge_is(&edge[0], 0, 1, 1, 2, 1);
    edge_is(&edge[1], 1, 1, 0, 1, 2);
    edge_is(&edge[2], 1, 2, 0, 1, 1);
    bl_history_free(h);
}

static void tags_counted_together_at_one_end_are_one_channel(void **unused)
{
    (void)unused;
    bl_history *h = history(2);
    bl_history_channel tags[] = {{1, 0, 3, 0, 1}, {1, 0, 4, 0, 1}};
    const bl_history_edge *edge;
    size_t edges;
    uint64_t folded;
    count(h, 0, 0, (bl_history_channel){1, 1, BL_HISTORY_FOLDED, 2, 0});
    assert_int_equal(bl_history_open(h, 0, NULL, 0, NULL, 0, NULL), BELAY_OK);
    assert_int_equal(bl_history_checkpoint(h, 1, tags, 2, NULL, 0, NULL), BELAY_OK);
    assert_int_equal(bl_history_edges(h, &edge, &edges, NULL), BELAY_OK);
    assert_int_equal(edges, 1);
    edge_is(&edge[0], 0, 1, 1, 1, 2);
    assert_int_equal(bl_history_folded(h, &folded, NULL), BELAY_OK);
    assert_int_equal(folded, 1);
    bl_history_free(h);
}

static void what_was_not_counted_as_sent_was_sent_last(void **unused)
{
    (void)unused;
    bl_history *h = history(2);
    count(h, 0, 0, (bl_history_channel){1, 1, 0, 1, 0});
    count(h, 1, 0, (bl_history_channel){1, 1, 0, 1, 0});
    count(h, 1, 1, (bl_history_channel){1, 0, 0, 0, 2});
    const bl_history_edge *edge;
    size_t edges;
    assert_int_equal(bl_history_edges(h, &edge, &edges, NULL), BELAY_OK);
    assert_int_equal(edges, 2);
    edge_is(&edge[0], 0, 1, 1, 1, 1);
    edge_is(&edge[1], 0, 2, 1, 1, 1);
    bl_history_free(h);
}

static void a_counter_that_falls_is_refused(void **unused)
{
    (void)unused;
    bl_history *h = history(2);
    count(h, 0, 0, (bl_history_channel){1, 1, 0, 5, 0});
    count(h, 0, 0, (bl_history_channel){1, 1, 0, 4, 0});
    refuse(h, "counts of messages of rank 0 at the end of its interval 2");
    h = history(2);
    started(h, 0, 1, 5, 2);
    started(h, 0, 1, 4, 2);
    refuse(h, "counts of collectives of rank 1");
}

static void a_counter_given_twice_is_refused(void **unused)
{
    (void)unused;
    bl_history_channel twice[] = {{1, 1, 0, 5, 0}, {1, 1, 0, 6, 0}};
    bl_history *h = history(2);
    assert_int_equal(bl_history_checkpoint(h, 0, twice, 2, NULL, 0, NULL), BELAY_OK);
    refuse(h, "counts of messages of rank 0");
}

static void counts_beyond_counting_are_refused(void **unused)
{
    (void)unused;
    bl_history *h = history(2);
    count(h, 0, 0, (bl_history_channel){1, 1, 0, UINT64_MAX, 0});
    assert_int_equal(bl_history_restart(h, 0, NULL), BELAY_OK);
    count(h, 0, 0, (bl_history_channel){1, 1, 0, 1, 0});
    refuse(h, "counts of messages of rank 0");
}

static void a_peer_that_is_no_rank_is_refused(void **unused)
{
    (void)unused;
    bl_history *h = history(2);
    bl_history_channel c = {1, 2, 0, 1, 0};
    assert_int_equal(bl_history_checkpoint(h, 0, &c, 1, NULL, 0, NULL), BELAY_ERR_DAMAGED);
    bl_history_free(h);
}

static void ranks_that_disagree_on_a_communicator_are_refused(void **unused)
{
    (void)unused;
    bl_history *h = history(3);
    started(h, 0, 0, 1, 2);
    started(h, 0, 1, 1, 3);
    refuse(h, "disagree on the size");
    h = history(3);
    for (uint32_t i = 0; i < 3; i++)
        started(h, 0, i, 1, 2);
    refuse(h, "disagree on the size");
}

static void the_history_of_a_rank_ends_with_its_open_interval(void **unused)
{
    (void)unused;
    bl_history *h = history(2);
    assert_int_equal(bl_history_open(h, 0, NULL, 0, NULL, 0, NULL), BELAY_OK);
    assert_int_equal(bl_history_open(h, 0, NULL, 0, NULL, 0, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_history_checkpoint(h, 0, NULL, 0, NULL, 0, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_history_restart(h, 0, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_history_restart(h, 2, NULL), BELAY_ERR_ARG);
    bl_history_free(h);
}

static void a_collective_not_started_by_all_is_undone_with_the_checkpoint_after_it(void **unused)
{
    (void)unused;
    bl_history *h = history(2);
    bl_graph *graph;
    bl_line line;
    started(h, 0, 0, 1, 2);
    started(h, 1, 1, 0, 2);
    assert_int_equal(bl_history_graph(h, &graph, NULL), BELAY_OK);
    assert_int_equal(bl_line_solve(graph, BL_LINE_TRANSITLESS, NULL, &line, NULL), BELAY_OK);
    assert_int_equal(line.cut[0], 0);
    assert_int_equal(bl_line_check(graph, BL_LINE_TRANSITLESS, NULL, &line, NULL), BELAY_OK);
    bl_line_clear(&line);
    bl_graph_free(graph);
    bl_history_free(h);
}

/* Rank 0 sends 5 before CP[0](1); rank 1 receives 3 before CP[1](1), one before CP[1](2). */
static bl_history *five_sent(void)
{
    bl_history *h = history(2);
    count(h, 0, 0, (bl_history_channel){1, 1, 9, 5, 0});
    count(h, 0, 1, (bl_history_channel){1, 0, 9, 0, 3});
    count(h, 0, 1, (bl_history_channel){1, 0, 9, 0, 4});
    return h;
}

static void line_is(bl_history *h, enum bl_line_mode mode, uint32_t c0, uint32_t c1)
{
    bl_graph *graph;
    bl_line line;
    assert_int_equal(bl_history_graph(h, &graph, NULL), BELAY_OK);
    assert_int_equal(bl_line_solve(graph, mode, NULL, &line, NULL), BELAY_OK);
    assert_int_equal(line.cut[0], c0);
    assert_int_equal(line.cut[1], c1);
    bl_line_clear(&line);
    bl_graph_free(graph);
}

static void what_is_kept_may_be_in_transit(void **unused)
{
    (void)unused;
    bl_history *h = five_sent();
    assert_int_equal(bl_history_logged(h, 1, 1, 0, 9, 4, 4, NULL), BELAY_OK);
    line_is(h, BL_LINE_LOGGED, 0, 0); /* the fifth is not kept */
    assert_int_equal(bl_history_logged(h, 1, 1, 0, 9, 5, 5, NULL), BELAY_ERR_ARG);
    bl_history_free(h);
    h = five_sent();
    assert_int_equal(bl_history_logged(h, 1, 1, 0, 9, 5, 90, NULL), BELAY_OK);
    assert_int_equal(bl_history_logged(h, 1, 1, 0, 8, 1, 5, NULL), BELAY_OK); /* another channel */
    line_is(h, BL_LINE_LOGGED, 1, 2);
    line_is(h, BL_LINE_TRANSITLESS, 0, 0);
    bl_history_free(h);
}

static void what_is_in_transit_is_known_by_number(void **unused)
{
    (void)unused;
    const bl_transit *row;
    size_t rows;
    bl_history *h = five_sent();
    assert_int_equal(bl_history_logged(h, 1, 1, 0, 9, 5, 5, NULL), BELAY_OK);
    assert_int_equal(bl_history_transit(h, (uint32_t[]){1, 1}, &row, &rows, NULL), BELAY_OK);
    assert_int_equal(rows, 1);
    assert_true(row->from == 0 && row->to == 1 && row->comm == 1 && row->tag == 9 && row->first == 4 && row->last == 5
                && row->logged == 1);
    assert_int_equal(bl_history_transit(h, (uint32_t[]){0, 2}, &row, &rows, NULL), BELAY_OK);
    assert_int_equal(rows, 0); /* orphans are not in transit */
    assert_int_equal(bl_history_transit(h, (uint32_t[]){1, 0}, &row, &rows, NULL), BELAY_OK);
    assert_true(rows == 1 && row->first == 1 && row->last == 5);
    bl_history_free(h);
}

static void numbers_that_make_no_sense_are_refused(void **unused)
{
    (void)unused;
    bl_history *h = five_sent();
    assert_int_equal(bl_history_logged(h, 2, 1, 0, 9, 1, 1, NULL), BELAY_ERR_DAMAGED);
    assert_int_equal(bl_history_logged(h, 1, 1, 2, 9, 1, 1, NULL), BELAY_ERR_DAMAGED);
    assert_int_equal(bl_history_logged(h, 1, 1, 0, 9, 0, 1, NULL), BELAY_ERR_DAMAGED);
    assert_int_equal(bl_history_logged(h, 1, 1, 0, 9, 3, 2, NULL), BELAY_ERR_DAMAGED);
    bl_history_free(h);
}

static void where_tags_are_counted_together_nothing_counts_as_kept(void **unused)
{
    (void)unused;
    bl_history *h = history(2);
    count(h, 0, 0, (bl_history_channel){1, 1, BL_HISTORY_FOLDED, 2, 0});
    count(h, 0, 1, (bl_history_channel){1, 0, 9, 0, 1});
    assert_int_equal(bl_history_logged(h, 1, 1, 0, 9, 1, 2, NULL), BELAY_OK);
    assert_int_equal(bl_history_logged(h, 1, 1, 0, BL_HISTORY_FOLDED, 1, 2, NULL), BELAY_OK);
    line_is(h, BL_LINE_LOGGED, 0, 0);
    bl_history_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_counted_by_the_intervals_of_both_ends),
        cmocka_unit_test(what_an_unknown_open_interval_hides_happened_in_it),
        cmocka_unit_test(tags_counted_together_at_one_end_are_one_channel),
        cmocka_unit_test(what_was_not_counted_as_sent_was_sent_last),
        cmocka_unit_test(a_counter_that_falls_is_refused),
        cmocka_unit_test(a_counter_given_twice_is_refused),
        cmocka_unit_test(counts_beyond_counting_are_refused),
        cmocka_unit_test(a_peer_that_is_no_rank_is_refused),
        cmocka_unit_test(ranks_that_disagree_on_a_communicator_are_refused),
        cmocka_unit_test(the_history_of_a_rank_ends_with_its_open_interval),
        cmocka_unit_test(a_collective_not_started_by_all_is_undone_with_the_checkpoint_after_it),
        cmocka_unit_test(what_is_kept_may_be_in_transit),
        cmocka_unit_test(what_is_in_transit_is_known_by_number),
        cmocka_unit_test(numbers_that_make_no_sense_are_refused),
        cmocka_unit_test(where_tags_are_counted_together_nothing_counts_as_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
