/* test_line - golden traces, and what the calls of src/line promise at their edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line/line.h"
#include "line/solve.h"
#include "line/table.h"
#include "line/trace.h"

enum { MOST = 4, V = -1 /* keeps its volatile state */ };

static bl_graph *graph_of(const char *text)
{
    bl_graph *graph;
    bl_error err = {0};
    if (bl_trace_parse(text, strlen(text), 0, &graph, &err))
        fail_msg("%s: %s", text, err.text);
    return graph;
}

/* `failed` is a rank, or ALL. */
enum { ALL = -1 };

static void assert_line(bl_graph *graph, enum bl_line_mode mode, int failed, const int *want)
{
    uint32_t ranks = bl_graph_ranks(graph);
    uint8_t bytes[MOST] = {0};
    bl_line line;
    bl_error err = {0};
    if (failed != ALL)
        bytes[failed] = 1;
    assert_int_equal(bl_line_solve(graph, mode, failed == ALL ? NULL : bytes, &line, &err), BELAY_OK);
    for (uint32_t i = 0; i < ranks; i++)
        assert_int_equal(line.cut[i], want[i] == V ? bl_graph_last(graph)[i] + 1 : (uint32_t)want[i]);
    if (bl_line_check(graph, mode, failed == ALL ? NULL : bytes, &line, &err))
        fail_msg("%s", err.text);
    bl_line_clear(&line);
}

static void assert_trace(const char *text, enum bl_line_mode mode, int failed, const int *want)
{
    bl_graph *graph = graph_of(text);
    assert_line(graph, mode, failed, want);
    bl_graph_free(graph);
}

#define CUT(...) ((const int[MOST]){__VA_ARGS__})

/* Writes `round` for k = 1, 2, ... with k in the place of each @. */
static void repeat(char *text, const char *round, int times)
{
    for (int k = 1; k <= times; k++)
        for (const char *c = round; *c; c++)
            *text++ = *c == '@' ? (char)('0' + k) : *c;
    *text = 0;
}

static void g1_two_ranks_domino_to_the_start(void **unused)
{
    (void)unused;
    char text[512];
    repeat(text, "s1>0:a@ r a@ c0 s0>1:b@ r b@ c1 ", 4);
    assert_trace(text, BL_LINE_CONSISTENT, 0, CUT(0, 0));
    assert_trace(text, BL_LINE_CONSISTENT, 1, CUT(V, 4));
}

static void g1_domino_is_reported_with_its_length(void **unused)
{
    (void)unused;
    char text[512];
    bl_line line;
    repeat(text, "s1>0:a@ r a@ c0 s0>1:b@ r b@ c1 ", 4);
    bl_graph *graph = graph_of(text);
    assert_int_equal(bl_line_solve(graph, BL_LINE_CONSISTENT, (const uint8_t[]){1, 0}, &line, NULL), BELAY_OK);
    assert_true(line.total_domino);
    assert_int_equal(line.rolled_back, 2);
    assert_int_equal(line.depth[0], 4);
    assert_int_equal(line.depth[1], 4);
    assert_int_equal(line.domino_depth, 8); /* (0,5) (1,4) (0,4) (1,3) (0,3) (1,2) (0,2) (1,1) (0,1) */
    bl_line_clear(&line);
    bl_graph_free(graph);
}

static void g2_a_lost_message_lowers_only_the_transitless_line(void **unused)
{
    (void)unused;
    assert_trace("s0>1:m c0 c1 r m", BL_LINE_CONSISTENT, ALL, CUT(1, 1));
    assert_trace("s0>1:m c0 c1 r m", BL_LINE_TRANSITLESS, ALL, CUT(0, 1));
    assert_trace("s0>1:m c0 c1 r m", BL_LINE_LOGGED, ALL, CUT(0, 1));
    assert_trace("s0>1:m l m c0 c1 r m", BL_LINE_LOGGED, ALL, CUT(1, 1));
}

/* The lecture's "incremental" checkpoint: the receiver checkpoints alone what the sender may take back. */
static void g3_a_receiver_that_checkpoints_alone_makes_an_orphan(void **unused)
{
    (void)unused;
    assert_trace("s1>0:m r m c0", BL_LINE_CONSISTENT, ALL, CUT(0, 0));
    assert_trace("s0>1:m r m c0", BL_LINE_CONSISTENT, ALL, CUT(1, 0));
    assert_trace("s0>1:m r m c0", BL_LINE_TRANSITLESS, ALL, CUT(0, 0));
}

static void g4_a_checkpoint_on_a_z_cycle_is_useless(void **unused)
{
    (void)unused;
    uint8_t *useless;
    uint64_t *offset;
    bl_graph *graph = graph_of("s1>0:x r x c0 s0>1:y r y c1");
    assert_line(graph, BL_LINE_CONSISTENT, ALL, CUT(0, 0));
    assert_int_equal(bl_line_useless(graph, BL_LINE_CONSISTENT, &useless, &offset, NULL), BELAY_OK);
    assert_memory_equal(useless + offset[0], ((uint8_t[]){0, 1}), 2);
    assert_memory_equal(useless + offset[1], ((uint8_t[]){0, 0}), 2);
    assert_int_equal(offset[2], 4);
    free(useless);
    free(offset);
    bl_graph_free(graph);
}

static void g5_a_ring_falls_unless_the_last_rank_fails(void **unused)
{
    (void)unused;
    char text[512];
    repeat(text, "s2>0:a@ r a@ c0 s0>1:b@ r b@ c1 s1>2:d@ r d@ c2 ", 3);
    assert_trace(text, BL_LINE_CONSISTENT, 0, CUT(0, 0, 0));
    assert_trace(text, BL_LINE_CONSISTENT, 1, CUT(0, 0, 0));
    assert_trace(text, BL_LINE_CONSISTENT, 2, CUT(V, V, 3));
}

static void g6_aligned_checkpoints_lose_one_interval(void **unused)
{
    (void)unused;
    char text[512];
    repeat(text, "s0>1:a@ r a@ s1>0:b@ r b@ c0 c1 ", 4);
    strcat(text, "s0>1:z r z");
    assert_trace(text, BL_LINE_TRANSITLESS, 0, CUT(4, 4));
}

/* P is 0, Q is 1, R is 2.  Q's state up to the delivery of m2 can be recovered, because m1 is stable: that is what c1
 * stands for.  What Q sent after the unstable m2 makes R an orphan. */
static void g7_a_message_sent_after_an_unstable_delivery_rolls_its_receiver_back(void **unused)
{
    (void)unused;
    const char *unstable = "s0>1:m1 r m1 c1 s0>1:m2 r m2 s1>2:m3 r m3";
    assert_trace(unstable, BL_LINE_CONSISTENT, 1, CUT(V, 1, 0));
    assert_trace(unstable, BL_LINE_LOGGED, 1, CUT(0, 0, 0)); /* m2's payload is gone too: P must send it again */
    assert_trace("s0>1:m1 l m1 r m1 c1 s0>1:m2 l m2 r m2 s1>2:m3 r m3", BL_LINE_LOGGED, 1, CUT(V, 1, 0));
    assert_trace("s0>1:m1 r m1 c1 s0>1:m2 r m2 s1>2:m3 r m3 c1", BL_LINE_CONSISTENT, 1, CUT(V, 2, V));
}

/* The lecture has P_i restart at CP(m) and P_j at CP(n) for INT[i](m) -> INT[j](n): one too many. */
static void a_dependency_rolls_the_receiver_back_to_before_its_interval(void **unused)
{
    (void)unused;
    const char *text = "c0 c0 s0>1:m c1 r m c1 c1"; /* INT[0](3) -> INT[1](2) */
    assert_trace(text, BL_LINE_CONSISTENT, 0, CUT(2, 1));
    assert_trace("c0 c0 s0>1:m c0 c1 r m c1 c1", BL_LINE_CONSISTENT, 0, CUT(3, V)); /* CP[0](3) keeps the send */
}

static void an_undelivered_message_is_lost_only_when_its_receiver_rolls_back(void **unused)
{
    (void)unused;
    assert_trace("s0>1:m c0 c1", BL_LINE_TRANSITLESS, 0, CUT(1, V));
    assert_trace("s0>1:m c0 c1", BL_LINE_TRANSITLESS, 1, CUT(0, 1));
    assert_trace("s0>1:m c0 c1 l m", BL_LINE_LOGGED, 1, CUT(V, 1));
    assert_trace("s0>1:m c0 c1", BL_LINE_CONSISTENT, 1, CUT(V, 1));
}

static void a_collective_is_undone_for_all_or_for_none(void **unused)
{
    (void)unused;
    const char *text = "c0 c1 c2 x0,1,2:b c1 c2";
    for (int mode = BL_LINE_CONSISTENT; mode <= BL_LINE_LOGGED; mode++) {
        assert_trace(text, (enum bl_line_mode)mode, 0, CUT(1, 1, 1));
        assert_trace(text, (enum bl_line_mode)mode, 1, CUT(V, 2, V));
    }
}

static void why_names_each_dependency_back_to_the_failure(void **unused)
{
    (void)unused;
    bl_line line;
    bl_hop *hop;
    size_t count;
    bl_graph *graph = graph_of("c0 s0>1:m c1 r m s1>2:n r n c2");
    assert_int_equal(bl_line_solve(graph, BL_LINE_CONSISTENT, (const uint8_t[]){1, 0, 0}, &line, NULL), BELAY_OK);
    assert_int_equal(bl_line_why(graph, &line, 2, &hop, &count, NULL), BELAY_OK);
    assert_int_equal(count, 3);
    bl_hop want[] = {{2, 0, BL_HOP_ORPHAN, 1, 1, 2}, {1, 1, BL_HOP_ORPHAN, 2, 0, 2}, {0, 1, BL_HOP_FAILED, 2, 0, 0}};
    assert_memory_equal(hop, want, sizeof want);
    assert_int_equal(line.domino_depth, 2);
    free(hop);
    assert_int_equal(bl_line_why(graph, &line, 3, &hop, &count, NULL), BELAY_ERR_ARG);
    bl_line_clear(&line);
    bl_graph_free(graph);
}

static void why_tells_an_undelivered_message_from_a_delivered_one(void **unused)
{
    (void)unused;
    bl_line line;
    bl_hop *hop;
    size_t count;
    bl_graph *graph = graph_of("s0>1:m c0 c1");
    assert_int_equal(bl_line_solve(graph, BL_LINE_TRANSITLESS, (const uint8_t[]){0, 1}, &line, NULL), BELAY_OK);
    assert_int_equal(bl_line_why(graph, &line, 0, &hop, &count, NULL), BELAY_OK);
    assert_int_equal(count, 2);
    assert_memory_equal(&hop[0], (&(bl_hop){0, 0, BL_HOP_LOST, 1, 1, 3}), sizeof *hop);
    free(hop);
    bl_line_clear(&line);
    bl_graph_free(graph);
}

static void a_rank_that_keeps_its_state_has_no_certificate(void **unused)
{
    (void)unused;
    bl_line line;
    bl_hop *hop;
    size_t count = 7;
    bl_graph *graph = graph_of("c0 c1");
    assert_int_equal(bl_line_solve(graph, BL_LINE_CONSISTENT, (const uint8_t[]){1, 0}, &line, NULL), BELAY_OK);
    assert_int_equal(bl_line_why(graph, &line, 1, &hop, &count, NULL), BELAY_OK);
    assert_int_equal(count, 0);
    assert_null(hop);
    bl_line_clear(&line);
    bl_graph_free(graph);
}

static void a_line_through_given_checkpoints_carries_no_certificate(void **unused)
{
    (void)unused;
    bl_line line;
    bl_hop *hop;
    size_t count;
    uint32_t fixed[] = {1, 0};
    bl_graph *graph = graph_of("c0 s0>1:m r m c1");
    assert_int_equal(bl_line_greatest_with(graph, BL_LINE_CONSISTENT, (const uint8_t[]){1, 0}, fixed, &line, NULL), BELAY_OK);
    assert_int_equal(line.cut[1], 0);
    assert_int_equal(bl_line_why(graph, &line, 1, &hop, &count, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_line_check(graph, BL_LINE_CONSISTENT, NULL, &line, NULL), BELAY_ERR_ARG);
    bl_line_clear(&line);
    fixed[0] = 3;
    assert_int_equal(bl_line_greatest_with(graph, BL_LINE_CONSISTENT, (const uint8_t[]){1, 0}, fixed, &line, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_line_least_with(graph, BL_LINE_CONSISTENT, (const uint8_t[]){1, 0}, fixed, &line, NULL), BELAY_ERR_ARG);
    bl_graph_free(graph);
}

/* Rank 1's certificates are wrong: found by a check of all ranks and of rank 1's part, not of rank 0's. */
static void assert_rejected(const bl_graph *graph, const bl_line *line, int rank_0)
{
    const uint8_t failed[] = {1, 0};
    assert_int_equal(bl_line_check(graph, BL_LINE_CONSISTENT, failed, line, NULL), BELAY_ERR_INTERNAL);
    assert_int_equal(bl_line_check_ranks(graph, BL_LINE_CONSISTENT, failed, line, 1, 2, NULL), BELAY_ERR_INTERNAL);
    assert_int_equal(bl_line_check_ranks(graph, BL_LINE_CONSISTENT, failed, line, 0, 1, NULL), rank_0);
}

/* A forged history: what each record rests on exists, or was undone, but not both. */
static void the_checker_rejects_a_forged_certificate(void **unused)
{
    (void)unused;
    bl_line line;
    const uint8_t failed[] = {1, 0};
    bl_graph *graph = graph_of("s0>1:early r early c0 s0>1:late r late c1");
    assert_int_equal(bl_line_solve(graph, BL_LINE_CONSISTENT, failed, &line, NULL), BELAY_OK);
    assert_int_equal(line.cut[0], 1);
    assert_int_equal(line.cut[1], 0);
    struct bl_lowering *record = &line.history->record[1], was = *record;
    assert_int_equal(record->rank, 1);

    record->by = 1 | (uint32_t)BL_HOP_ORPHAN << BL_BY_CAUSE_SHIFT; /* `early` exists, but was never undone */
    assert_rejected(graph, &line, BELAY_OK);
    record->by = 3 | (uint32_t)BL_HOP_ORPHAN << BL_BY_CAUSE_SHIFT; /* no such message */
    assert_rejected(graph, &line, BELAY_OK);
    *record = was;
    record->parent = 1; /* rests on itself */
    assert_rejected(graph, &line, BELAY_OK);
    *record = was;
    record->rank = 9; /* it is nobody's part */
    assert_rejected(graph, &line, BELAY_ERR_INTERNAL);
    *record = was;
    record->by = (uint32_t)BL_HOP_FAILED << BL_BY_CAUSE_SHIFT; /* rank 1 did not fail */
    assert_rejected(graph, &line, BELAY_OK);
    *record = was;
    assert_int_equal(bl_line_check(graph, BL_LINE_CONSISTENT, failed, &line, NULL), BELAY_OK);
    bl_line_clear(&line);
    bl_graph_free(graph);
}

static void garbage_is_what_lies_below_the_line_of_all_failing(void **unused)
{
    (void)unused;
    uint8_t *collect;
    uint64_t *offset;
    bl_graph *graph = graph_of("c0 c1 s0>1:m r m c0 c1 c0");
    assert_int_equal(bl_line_garbage(graph, BL_LINE_TRANSITLESS, 0, &collect, &offset, NULL), BELAY_OK);
    assert_memory_equal(collect, ((uint8_t[]){1, 1, 1, 0, 1, 1, 0}), 7);
    free(collect);
    free(offset);
    assert_int_equal(bl_line_garbage(graph, BL_LINE_TRANSITLESS, 1, &collect, &offset, NULL), BELAY_ERR_ARG);
    assert_null(collect);
    bl_graph_free(graph);
}

static void messages_outside_the_intervals_are_refused(void **unused)
{
    (void)unused;
    bl_graph *graph;
    const uint32_t last[] = {1, 0}, twice[] = {0, 0}, ones[] = {1, 1}, far[] = {0, 5}, pair[] = {0, 1};
    assert_int_equal(bl_graph_new(0, last, &graph, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_new(1, &(uint32_t){BL_LINE_MAX_LAST + 1}, &graph, NULL), BELAY_ERR_ARG);
    assert_null(graph);
    assert_int_equal(bl_graph_new(2, last, &graph, NULL), BELAY_OK);
    assert_int_equal(bl_graph_message(graph, 0, 2, 1, 1, 0, NULL), BELAY_OK);
    assert_int_equal(bl_graph_message(graph, 0, 0, 1, 1, 0, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_message(graph, 0, 3, 1, 1, 0, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_message(graph, 0, 1, 1, 0, 0, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_message(graph, 0, 1, 1, 2, 0, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_message(graph, 2, 1, 1, 1, 0, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_message(graph, 0, 1, 2, 1, 0, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_message(graph, 0, 1, 1, 1, 64, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_message(graph, 0, 1, 1, 99, BL_MSG_UNDELIVERED, NULL), BELAY_OK);
    assert_int_equal(bl_graph_collective(graph, 0, pair, ones, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_collective(graph, 2, twice, ones, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_collective(graph, 2, far, ones, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_collective(graph, 2, pair, far, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_collective(graph, 2, pair, ones, NULL), BELAY_OK);
    assert_line(graph, BL_LINE_CONSISTENT, 1, CUT(0, 0));
    bl_graph_free(graph);
}

static void a_graph_without_dependencies_has_a_line(void **unused)
{
    (void)unused;
    bl_graph *graph;
    const uint32_t last[] = {3, 0};
    assert_int_equal(bl_graph_new(2, last, &graph, NULL), BELAY_OK);
    assert_line(graph, BL_LINE_TRANSITLESS, 0, CUT(3, V));
    assert_line(graph, BL_LINE_TRANSITLESS, ALL, CUT(3, 0));
    bl_graph_free(graph);
}

static int by_rank_then_at(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    if (x[0] != y[0])
        return x[0] < y[0] ? -1 : 1;
    return x[1] < y[1] ? 1 : x[1] > y[1] ? -1 : 0;
}

/* Random edges, owners ascending or not, with numbers up to `most`, come out sorted and as they went in. */
static void assert_sorted(uint32_t count, uint32_t ranks, int scattered, struct bl_edge most, unsigned width)
{
    struct bl_table table;
    uint32_t (*want)[4] = malloc(count * sizeof *want), seed = count;
    assert_int_equal(bl_table_init(&table, ranks, most, NULL), BELAY_OK);
    assert_int_equal(table.width, width);
    for (uint32_t k = 0; k < count; k++) {
        seed = seed * 1664525u + 1013904223u;
        want[k][0] = scattered ? (seed >> 8) % ranks : (uint32_t)((uint64_t)k * ranks / count);
        seed = seed * 1664525u + 1013904223u;
        want[k][1] = (uint32_t)((uint64_t)seed * most.at >> 32) + 1;
        want[k][2] = (want[k][0] ^ want[k][1]) % most.peer + 1;
        want[k][3] = (most.peer_at - want[k][1] % most.peer_at) | (want[k][1] & 1 ? BL_EDGE_LOGGED : 0);
        struct bl_edge edge = {want[k][1], want[k][2], want[k][3]};
        assert_int_equal(bl_table_add(&table, want[k][0], edge, NULL), BELAY_OK);
    }
    assert_true(count < 3 || scattered == (table.from != NULL));
    bl_table_seal(&table);
    qsort(want, count, sizeof *want, by_rank_then_at);
    assert_null(table.from);
    assert_int_equal(table.start[ranks], count);
    for (uint32_t rank = 0, k = 0; rank < ranks; rank++)
        for (uint64_t e = table.start[rank]; e < table.start[rank + 1]; e++, k++) {
            struct bl_edge edge = bl_table_edge(&table, e);
            assert_int_equal(e, k);
            assert_int_equal(rank, want[k][0]);
            assert_int_equal(edge.at, want[k][1]);
            assert_int_equal(edge.peer, want[k][2]);
            assert_int_equal(edge.peer_at, want[k][3]);
        }
    bl_table_clear(&table);
    free(want);
}

static void edges_sort_in_place_by_rank_and_falling_interval(void **unused)
{
    (void)unused;
    assert_sorted(2, 3, 1, (struct bl_edge){5, 2, 5}, 4);
    assert_sorted(40000, 1, 0, (struct bl_edge){70000, 70000, 70000}, 7);
    assert_sorted(40000, 1000, 1, (struct bl_edge){9, 1000, 9}, 4);
    assert_sorted(40000, 1000, 0, (struct bl_edge){9, 1000, 9}, 4);
    assert_sorted(40000, 1000, 1, (struct bl_edge){102, 100000, 102}, 4);
    assert_sorted(40000, 100, 0, (struct bl_edge){202, 100000, 202}, 5);
    assert_sorted(40000, 100, 1, (struct bl_edge){1u << 20, 1u << 20, 1u << 20}, 8);
    assert_sorted(40000, 70000, 1, (struct bl_edge){300000000, UINT32_MAX, 300000000}, 12);
    assert_sorted(40000, 70, 0, (struct bl_edge){BL_LINE_MAX_LAST + 2, UINT32_MAX, 1}, 8);
}

static void edges_whose_owners_arrive_in_order_need_no_labels(void **unused)
{
    (void)unused;
    struct bl_table table;
    assert_int_equal(bl_table_init(&table, 4, (struct bl_edge){100, 1, 1}, NULL), BELAY_OK);
    for (uint32_t rank = 0; rank < 4; rank += 2)
        for (uint32_t at = 100; at > 0; at--)
            assert_int_equal(bl_table_add(&table, rank, (struct bl_edge){at, 0, 0}, NULL), BELAY_OK);
    assert_null(table.from);
    assert_false(table.unsorted);
    bl_table_seal(&table);
    assert_int_equal(table.start[1], 100);
    assert_int_equal(table.start[2], 100);
    assert_int_equal(table.start[3], 200);
    assert_int_equal(bl_table_add(&table, 2, (struct bl_edge){2, 0, 0}, NULL), BELAY_OK);
    assert_true(table.unsorted);
    assert_null(table.from);
    assert_int_equal(bl_table_add(&table, 1, (struct bl_edge){7, 0, 0}, NULL), BELAY_OK);
    assert_non_null(table.from);
    bl_table_seal(&table);
    assert_int_equal(bl_table_edge(&table, 100).at, 7);
    assert_int_equal(bl_table_edge(&table, 199).at, 2);
    assert_int_equal(table.start[3], 202);
    bl_table_clear(&table);
}

static void room_for_more_messages_than_memory_is_refused(void **unused)
{
    (void)unused;
    bl_graph *graph = graph_of("c0");
    bl_error err = {0};
    assert_int_equal(bl_graph_reserve(graph, UINT64_MAX / 2, &err), BELAY_ERR_MEMORY);
    assert_int_equal(bl_graph_reserve(graph, 1000, &err), BELAY_OK);
    bl_graph_free(graph);
}

static void a_series_of_collectives_names_only_what_changes(void **unused)
{
    (void)unused;
    const uint32_t last[] = {2, 2, 2}, pair[] = {0, 1}, ones[] = {1, 1}, two[] = {2}, one[] = {1}, never[] = {0}, outsider[] = {2};
    bl_graph *graph;
    bl_line line;
    assert_int_equal(bl_graph_new(3, last, &graph, NULL), BELAY_OK);
    assert_int_equal(bl_graph_collective_next(graph, 1, pair, two, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_collective(graph, 2, pair, ones, NULL), BELAY_OK);
    assert_int_equal(bl_graph_collective_next(graph, 1, outsider, two, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_collective_next(graph, 1, pair, one, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_collective_next(graph, 0, pair, one, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_graph_collective_next(graph, 1, pair, two, NULL), BELAY_OK);       /* (2,1) */
    assert_int_equal(bl_graph_collective_next(graph, 1, pair + 1, never, NULL), BELAY_OK); /* (2,-): rank 1 has not started it */
    assert_int_equal(bl_line_solve(graph, BL_LINE_CONSISTENT, NULL, &line, NULL), BELAY_OK);
    assert_int_equal(line.cut[0], 0);
    assert_int_equal(line.cut[1], 0);
    assert_int_equal(line.cut[2], 2);
    assert_int_equal(bl_line_check(graph, BL_LINE_CONSISTENT, NULL, &line, NULL), BELAY_OK);
    bl_line_clear(&line);
    bl_graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(g1_two_ranks_domino_to_the_start),
        cmocka_unit_test(g1_domino_is_reported_with_its_length),
        cmocka_unit_test(g2_a_lost_message_lowers_only_the_transitless_line),
        cmocka_unit_test(g3_a_receiver_that_checkpoints_alone_makes_an_orphan),
        cmocka_unit_test(g4_a_checkpoint_on_a_z_cycle_is_useless),
        cmocka_unit_test(g5_a_ring_falls_unless_the_last_rank_fails),
        cmocka_unit_test(g6_aligned_checkpoints_lose_one_interval),
        cmocka_unit_test(g7_a_message_sent_after_an_unstable_delivery_rolls_its_receiver_back),
        cmocka_unit_test(a_dependency_rolls_the_receiver_back_to_before_its_interval),
        cmocka_unit_test(an_undelivered_message_is_lost_only_when_its_receiver_rolls_back),
        cmocka_unit_test(a_collective_is_undone_for_all_or_for_none),
        cmocka_unit_test(a_series_of_collectives_names_only_what_changes),
        cmocka_unit_test(why_names_each_dependency_back_to_the_failure),
        cmocka_unit_test(why_tells_an_undelivered_message_from_a_delivered_one),
        cmocka_unit_test(a_rank_that_keeps_its_state_has_no_certificate),
        cmocka_unit_test(a_line_through_given_checkpoints_carries_no_certificate),
        cmocka_unit_test(the_checker_rejects_a_forged_certificate),
        cmocka_unit_test(garbage_is_what_lies_below_the_line_of_all_failing),
        cmocka_unit_test(messages_outside_the_intervals_are_refused),
        cmocka_unit_test(a_graph_without_dependencies_has_a_line),
        cmocka_unit_test(edges_sort_in_place_by_rank_and_falling_interval),
        cmocka_unit_test(edges_whose_owners_arrive_in_order_need_no_labels),
        cmocka_unit_test(room_for_more_messages_than_memory_is_refused),
    };
    return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
