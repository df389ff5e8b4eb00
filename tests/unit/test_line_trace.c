/* test_line_trace - the trace notation: what it means, and that nonsense is refused with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "line/trace.h"

static void assert_refused(const char *text, uint32_t ranks, const char *want)
{
    bl_graph *graph;
    bl_error err = {0};
    assert_int_equal(bl_trace_parse(text, strlen(text), ranks, &graph, &err), BELAY_ERR_ARG);
    assert_null(graph);
    assert_string_equal(err.text, want);
}

static void blanks_lines_and_comments_separate_events(void **unused)
{
    (void)unused;
    bl_graph *graph;
    const char *text = "# two ranks\n\ts 0>1:m.1  # sent\r\nr m.1\n x 1,0:b\nc1#end";
    assert_int_equal(bl_trace_parse(text, strlen(text), 0, &graph, NULL), BELAY_OK);
    assert_int_equal(bl_graph_ranks(graph), 2);
    assert_int_equal(bl_graph_last(graph)[0], 0);
    assert_int_equal(bl_graph_last(graph)[1], 1);
    bl_graph_free(graph);
}

static void the_number_of_ranks_can_be_given(void **unused)
{
    (void)unused;
    bl_graph *graph;
    assert_int_equal(bl_trace_parse("c0", 2, 3, &graph, NULL), BELAY_OK);
    assert_int_equal(bl_graph_ranks(graph), 3);
    bl_graph_free(graph);
    assert_int_equal(bl_trace_parse("", 0, 2, &graph, NULL), BELAY_OK);
    assert_int_equal(bl_graph_ranks(graph), 2);
    bl_graph_free(graph);
    assert_refused("c3", 3, "trace, line 1, column 2: there is no such rank");
    assert_refused("", 0, "the trace names no rank");
    assert_refused("c0", BL_TRACE_MAX_RANKS + 1, "a trace has at most 1048576 ranks, not 1048577");
}

static void nonsense_is_refused_with_its_place(void **unused)
{
    (void)unused;
    assert_refused("c0\n  q1", 0, "trace, line 2, column 3: an event starts with s, r, l, c or x");
    assert_refused("c", 0, "trace, line 1, column 2: a rank is missing");
    assert_refused("c 4000000000", 0, "trace, line 1, column 3: there is no such rank");
    assert_refused("c0c1", 0, "trace, line 1, column 3: a blank is missing between two events");
    assert_refused("s0:1", 0, "trace, line 1, column 3: expected '>' and the receiver");
    assert_refused("s0>1", 0, "trace, line 1, column 5: expected ':' and the message's name");
    assert_refused("s0>1:", 0, "trace, line 1, column 6: a name is missing");
    assert_refused("s0>1:m\ns1>0:m", 0, "trace, line 2, column 1: there is already a message m");
    assert_refused("c0 r m", 0, "trace, line 1, column 4: nobody has sent a message m");
    assert_refused("s0>1:m l k", 0, "trace, line 1, column 8: nobody has sent a message k");
    assert_refused("s0>1:m r m\n\nr m", 0, "trace, line 3, column 1: already delivered is message m");
    assert_refused("x0,1,0:b", 0, "trace, line 1, column 6: this rank takes part twice");
    assert_refused("x0,1", 0, "trace, line 1, column 5: expected ',' and another rank or ':' and a name");
    assert_refused("r m\xff", 0, "trace, line 1, column 1: nobody has sent a message m");
}

static void a_name_has_a_longest_length(void **unused)
{
    (void)unused;
    char text[16 + BL_TRACE_MAX_NAME + 2] = "s0>1:";
    bl_graph *graph;
    memset(text + 5, 'n', BL_TRACE_MAX_NAME);
    assert_int_equal(bl_trace_parse(text, strlen(text), 0, &graph, NULL), BELAY_OK);
    bl_graph_free(graph);
    text[5 + BL_TRACE_MAX_NAME] = 'n';
    assert_refused(text, 0, "trace, line 1, column 6: this name is too long");
}

static void many_messages_keep_their_names_apart(void **unused)
{
    (void)unused;
    enum { MANY = 5000, ROOM = MANY * 32 };
    char *text = malloc(ROOM);
    size_t n = 0;
    bl_graph *graph;
    bl_line line;
    for (int k = 0; k < MANY; k++)
        n += (size_t)snprintf(text + n, ROOM - n, "s0>1:m%d\n", k);
    n += (size_t)snprintf(text + n, ROOM - n, "c0 r m0 c1 s0>1:last r m%d c1 r last", MANY - 1);
    assert_int_equal(bl_trace_parse(text, n, 0, &graph, NULL), BELAY_OK);
    assert_int_equal(bl_line_solve(graph, BL_LINE_CONSISTENT, (const uint8_t[]){1, 0}, &line, NULL), BELAY_OK);
    assert_int_equal(line.cut[0], 1);
    assert_int_equal(line.cut[1], 2);
    bl_line_clear(&line);
    bl_graph_free(graph);
    free(text);
}

/* Whatever the bytes, an answer or an error; the text ends where its length says. */
static void any_bytes_are_parsed_or_refused(void **unused)
{
    (void)unused;
    static const char good[] = "s0>1:m r m l m c0 x0,1:b s1>1:k c1\n";
    static const char alphabet[] = "srlcx012,:>#m \n\xff";
    uint32_t seed = 1, parsed = 0, refused = 0;
    for (int k = 0; k < 20000; k++) {
        size_t length = sizeof good - 1;
        char *text = malloc(length);
        memcpy(text, good, length);
        for (int change = 0; change < 1 + k % 4; change++) {
            seed = seed * 1664525u + 1013904223u;
            text[(seed >> 8) % length] = alphabet[(seed >> 20) % (sizeof alphabet - 1)];
        }
        length -= (seed >> 16) % length / 2;
        text = realloc(text, length);
        bl_graph *graph;
        bl_error err = {0};
        if (bl_trace_parse(text, length, 0, &graph, &err) == BELAY_OK) {
            parsed++;
            bl_graph_free(graph);
        } else {
            assert_int_equal(err.code, BELAY_ERR_ARG);
            assert_null(graph);
            refused++;
        }
        free(text);
    }
    assert_true(parsed > 100);
    assert_true(refused > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blanks_lines_and_comments_separate_events),
        cmocka_unit_test(the_number_of_ranks_can_be_given),
        cmocka_unit_test(nonsense_is_refused_with_its_place),
        cmocka_unit_test(a_name_has_a_longest_length),
        cmocka_unit_test(many_messages_keep_their_names_apart),
        cmocka_unit_test(any_bytes_are_parsed_or_refused),
    };
    return cmocka_run_group_tests_name("line trace", tests, NULL, NULL);
}
