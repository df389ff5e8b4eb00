/* line.h - recovery lines of a rollback-dependency graph.
 *
 * Pure: no I/O, no clock, no MPI; everything comes in through the calls below.
 *
 * Rank i has checkpoints CP[i](0) (its start) to CP[i](L_i), the last stable one.  INT[i](x) lies between CP[i](x-1)
 * and CP[i](x); INT[i](L_i+1) is open.  A message sent in INT[i](s) and delivered in INT[j](r) is the dependency
 * (i,s,j,r).  A cut c restarts rank i from CP[i](c_i) and undoes INT[i](x) for every x > c_i; c_i = L_i+1 means
 * "keeps its volatile state" and is possible for survivors only.
 *
 * A message is an orphan of c when s > c_i and r <= c_j, and lost when s <= c_i and r > c_j.  Constraints are all of
 * the form c_a < x => c_b < y, so feasible cuts are closed under component-wise maximum and a unique greatest line
 * exists.  The solver is the pointer algorithm of Wang-style rollback propagation: every edge is scanned once.
 */
#ifndef BL_LINE_LINE_H
#define BL_LINE_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

enum bl_line_mode {
    BL_LINE_CONSISTENT,  /* (a) no orphan messages */
    BL_LINE_TRANSITLESS, /* (b) no orphan and no lost messages */
    BL_LINE_LOGGED       /* (c) no orphans, and only messages marked logged may be lost */
};

enum {
    BL_MSG_LOGGED = 1,     /* payload is recoverable as PROTOCOLS' mode (c) asks */
    BL_MSG_UNDELIVERED = 2 /* never delivered: `r` is ignored and becomes L_j+2, exempt while j keeps its volatile state */
};

/* The highest number a checkpoint may have: two bits of an interval are kept for marks. */
#define BL_LINE_MAX_LAST ((1u << 30) - 3)

typedef struct bl_graph bl_graph;

/* A graph over `ranks` ranks with last[i] = L_i <= BL_LINE_MAX_LAST.  Copies `last`. */
int bl_graph_new(uint32_t ranks, const uint32_t *last, bl_graph **graph, bl_error *err);
void bl_graph_free(bl_graph *graph);
uint32_t bl_graph_ranks(const bl_graph *graph);
const uint32_t *bl_graph_last(const bl_graph *graph); /* [ranks] L_i */

/* `large` hears of each array that may grow with the dependencies, before it is touched, so that the program can ask the
 * system for large pages (bl_memory_large): what is here asks for nothing but memory.  Only the time depends on it. */
void bl_graph_hint_large(bl_graph *graph, void (*large)(void *array, size_t bytes));

/* Room for `messages` more messages at once, so that loading 10^8 of them does not copy as it grows.  A message takes the
 * bytes that its numbers need, 4 to 8 (12 beyond 2^21 ranks or checkpoints), and the modes other than BL_LINE_CONSISTENT
 * take as much again; when messages do not arrive by sender ascending, 4 more until the first solve. */
int bl_graph_reserve(bl_graph *graph, uint64_t messages, bl_error *err);

/* Frees what solving has derived from the messages, up to half of the memory; the next solve makes it again. */
void bl_graph_trim(bl_graph *graph);

/* Adds one message.  Intervals count from 1; s <= L_i+1 and r <= L_j+1, else BELAY_ERR_ARG. */
int bl_graph_message(bl_graph *graph, uint32_t i, uint32_t s, uint32_t j, uint32_t r, unsigned flags, bl_error *err);

/* Adds one collective instance: member k took part in interval[k] of rank[k], or, with 0, has not started it and could
 * only while it keeps its volatile state.  Wholly kept or wholly undone.  A rank named twice, or out of range, is
 * BELAY_ERR_ARG and adds nothing. */
int bl_graph_collective(bl_graph *graph, uint32_t members, const uint32_t *rank, const uint32_t *interval, bl_error *err);

/* The next instance among the members of the one added last: those named here (at least one) took part in the later
 * interval given, or 0, the others in the same as before.  So a series costs what changes, not members times instances. */
int bl_graph_collective_next(bl_graph *graph, uint32_t changed, const uint32_t *rank, const uint32_t *interval, bl_error *err);

/* One step of a certificate: the line of `rank` was lowered to `to` ... */
typedef struct bl_hop {
    uint32_t rank, to;
    enum bl_hop_cause {
        BL_HOP_FAILED,    /* because it failed: its volatile state is gone */
        BL_HOP_ORPHAN,    /* because it received, in interval `own`, what `by_rank` sent in its undone interval `by_interval` */
        BL_HOP_LOST,      /* because `by_rank`'s undone interval `by_interval` had received what this rank sent in `own` */
        BL_HOP_COLLECTIVE /* because it shares a collective (its interval `own`) with `by_rank`'s undone `by_interval` */
    } cause;
    uint32_t own, by_rank, by_interval; /* to == own - 1; FAILED: own is the open interval, by_rank == rank, by_interval 0;
                                           LOST and by_interval == L+2: `by_rank` rolled back and never received it */
} bl_hop;

typedef struct bl_line {
    uint32_t ranks;
    uint32_t *cut;            /* [ranks] c_i */
    uint32_t *depth;          /* [ranks] checkpoints rolled back: max(0, L_i - c_i) */
    uint32_t rolled_back;     /* ranks with c_i <= L_i */
    uint32_t domino_depth;    /* most dependencies in any certificate; 0 when only failed ranks roll back */
    int total_domino;         /* some c_i = 0 < L_i */
    struct bl_line_history *history; /* opaque; for bl_line_why */
} bl_line;

/* The greatest line when the ranks with failed[i] != 0 lose their volatile state (failed == NULL: all of them).
 * O(ranks + dependencies) after a one-time sort.  Fill-in of *line; free with bl_line_clear. */
int bl_line_solve(bl_graph *graph, enum bl_line_mode mode, const uint8_t *failed, bl_line *line, bl_error *err);
void bl_line_clear(bl_line *line);

/* Why rank j rolls back: hops from j back to a failed rank (hops[0].rank == j, the last has BL_HOP_FAILED); no shorter
 * chain exists.  Returns the number of hops in *count (0: j keeps its volatile state, *hops is NULL).  *hops is malloc'ed;
 * the caller frees it.  Only for lines of bl_line_solve: the others carry no history (BELAY_ERR_ARG). */
int bl_line_why(const bl_graph *graph, const bl_line *line, uint32_t j, bl_hop **hops, size_t *count, bl_error *err);

/* An independent checker, sharing nothing with the solver: is `line` feasible (a scan of all dependencies), and is every
 * lowering certified (so that it is also the greatest)?  BELAY_OK, or BELAY_ERR_INTERNAL with the violated edge.  For
 * lines of bl_line_solve. */
int bl_line_check(const bl_graph *graph, enum bl_line_mode mode, const uint8_t *failed, const bl_line *line, bl_error *err);

/* A part of it, that shares nothing it writes with the others: all dependencies, but only the certificates of ranks first
 * to end-1.  The line is right when the calls whose ranges cover all ranks, in turn or at the same time, say so. */
int bl_line_check_ranks(const bl_graph *graph, enum bl_line_mode mode, const uint8_t *failed, const bl_line *line,
                        uint32_t first, uint32_t end, bl_error *err);

/* The greatest (least) line that contains the checkpoints fixed[i] of the ranks with set[i] != 0; other ranks may
 * keep their volatile state, and fixed[i] == L_i+1 asks that rank i does.  BELAY_ERR_NONE when no line contains them
 * all.  domino_depth is 0. */
int bl_line_greatest_with(bl_graph *graph, enum bl_line_mode mode, const uint8_t *set, const uint32_t *fixed,
                          bl_line *line, bl_error *err);
int bl_line_least_with(bl_graph *graph, enum bl_line_mode mode, const uint8_t *set, const uint32_t *fixed,
                       bl_line *line, bl_error *err);

/* Checkpoints that belong to no line of `mode` whoever fails (on a Z-cycle): CP[p](x) is useless iff (p,x) and (p,x+1)
 * share a strongly connected component (Tarjan).  (*useless)[(*offsets)[i] + x] for 0 <= x <= L_i; offsets has ranks+1
 * entries.  Both arrays are malloc'ed; the caller frees them. */
int bl_line_useless(bl_graph *graph, enum bl_line_mode mode, uint8_t **useless, uint64_t **offsets, bl_error *err);

/* Garbage: collectable[offsets[i]+x] = 1 when CP[i](x) can never again be on a line: x < g_i of the all-fail line, and
 * with `exact` (mode (a) only, else BELAY_ERR_ARG; one line run a rank) every checkpoint that no single failure's line
 * needs.  Arrays as in bl_line_useless. */
int bl_line_garbage(bl_graph *graph, enum bl_line_mode mode, int exact, uint8_t **collectable, uint64_t **offsets, bl_error *err);

#endif
