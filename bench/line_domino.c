/* line_domino - one failure that takes a whole job back to its start.
 *
 * A ring of ranks; each talks to the neighbours at distance 1, 3, 5, 7 and 9 on both sides.  What an odd rank sends in
 * interval k is received in interval k; what an even rank sends in interval k+1 is received in interval k.  So when one
 * rank falls, its neighbours fall below it and pull it down in turn, checkpoint by checkpoint, and the fall spreads round
 * the ring.  --shuffled loads the same messages in a scattered order, so that they are sorted in place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "line/line.h"
#include "util/memory.h"

enum { RANKS = 100000, CHECKPOINTS = 100, NEIGHBOURS = 10 };

static const double seconds_limit = 1.0, gib_limit = 2.0;
static const uint64_t messages = (uint64_t)RANKS * CHECKPOINTS * NEIGHBOURS;

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double peak_gib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / (1024.0 * 1024.0);
}

static int done(int rc, const bl_error *err)
{
    if (rc)
        fprintf(stderr, "line_domino: %s\n", err->text);
    return rc == BELAY_OK;
}

/* Message `n` in the order that needs no sorting: by sender, latest interval first. */
static int add(bl_graph *graph, uint64_t n, bl_error *err)
{
    uint32_t i = (uint32_t)(n / (CHECKPOINTS * NEIGHBOURS));
    uint32_t r = CHECKPOINTS - (uint32_t)(n / NEIGHBOURS % CHECKPOINTS);
    uint32_t way = (uint32_t)(n % NEIGHBOURS), distance = way / 2 * 2 + 1;
    uint32_t j = (i + (way % 2 ? distance : RANKS - distance)) % RANKS;
    return bl_graph_message(graph, i, i % 2 ? r : r + 1, j, r, 0, err);
}

static bl_graph *load(int shuffled, bl_error *err)
{
    static uint32_t last[RANKS];
    const uint64_t stride = 61803399; /* no divisor in common with `messages`: visits every message once */
    bl_graph *graph = NULL;
    for (uint32_t i = 0; i < RANKS; i++)
        last[i] = CHECKPOINTS;
    int ok = done(bl_graph_new(RANKS, last, &graph, err), err);
    if (ok)
        bl_graph_hint_large(graph, bl_memory_large);
    ok = ok && done(bl_graph_reserve(graph, messages, err), err);
    for (uint64_t n = 0; n < messages && ok; n++)
        ok = done(add(graph, shuffled ? n * stride % messages : n, err), err);
    if (ok)
        return graph;
    bl_graph_free(graph);
    return NULL;
}

static int is_full_domino(const bl_line *line)
{
    uint32_t at_start = 0;
    for (uint32_t i = 0; i < line->ranks; i++)
        at_start += line->cut[i] == 0 && line->depth[i] == CHECKPOINTS;
    return at_start == RANKS && line->rolled_back == RANKS && line->total_domino;
}

static int figure(const char *name, double value, double limit)
{
    printf("figure %s %.2f limit %.2f %s\n", name, value, limit, value <= limit ? "ok" : "SHORT");
    return value <= limit;
}

int main(int argc, char **argv)
{
    static uint8_t failed[RANKS];
    int shuffled = argc > 1 && strcmp(argv[1], "--shuffled") == 0;
    bl_error err = {0};
    bl_line line;
    double t0 = seconds(CLOCK_MONOTONIC);
    bl_graph *graph = load(shuffled, &err);
    if (!graph)
        return 1;
    /* The one-time sort belongs to loading. */
    if (!done(bl_line_solve(graph, BL_LINE_CONSISTENT, failed, &line, &err), &err))
        return 1;
    int none = line.rolled_back == 0;
    bl_line_clear(&line);

    double t1 = seconds(CLOCK_MONOTONIC), cpu1 = seconds(CLOCK_PROCESS_CPUTIME_ID);
    failed[0] = 1;
    if (!done(bl_line_solve(graph, BL_LINE_CONSISTENT, failed, &line, &err), &err))
        return 1;
    double t2 = seconds(CLOCK_MONOTONIC), cpu2 = seconds(CLOCK_PROCESS_CPUTIME_ID), gib = peak_gib();
    int right = none && is_full_domino(&line);
    printf("%llu dependencies, %d ranks, %d checkpoints each, loaded %s in %.2f s\n", (unsigned long long)messages, RANKS,
           CHECKPOINTS, shuffled ? "in scattered order" : "in order", t1 - t0);
    printf("rank 0 fails: %u ranks roll back, longest certificate %u dependencies, %s\n", line.rolled_back, line.domino_depth,
           right ? "every rank restarts from its start" : "WRONG LINE");
    printf("solved in %.2f s, of which %.2f s on the processor; peak memory %.2f GiB\n", t2 - t1, cpu2 - cpu1, gib);
    int ok = figure("line-domino-seconds", t2 - t1, seconds_limit) & figure("line-domino-gib", gib, gib_limit);
    bl_line_clear(&line);
    bl_graph_free(graph);
    return !(ok && right);
}
