/* line_random - src/line against brute force on random traces.
 *
 * Each seed makes a small run, writes it in the trace notation, has the library parse it, and compares everything the
 * library says with an oracle that tries every cut.  A failing seed prints the trace; `--seed N` replays it alone,
 * `--count N` sets how many seeds run. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line/line.h"
#include "line/trace.h"

enum { RANKS = 5, EVENTS = 64, TEXT = 4096, CUTS = 1024, SEEDS = 100000, MODES = 3 };

static const char *const mode_name[MODES] = {"consistent", "transitless", "logged"};

/* --- random numbers: splitmix64 */

static uint64_t state;

static uint32_t below(uint32_t n)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) % n);
}

/* --- traces */

enum kind { SEND, RECEIVE, CHECKPOINT, COLLECTIVE, LOGGED };

struct event {
    enum kind kind;
    uint32_t a, b;     /* SEND: a to b; CHECKPOINT: a; COLLECTIVE: bit set of members in a */
    uint32_t message;  /* SEND, RECEIVE, LOGGED */
};

struct trace {
    uint32_t ranks, events, messages;
    struct event event[EVENTS + 2];
};

/* The oracle's own view of a trace. */
struct message {
    uint32_t i, s, j, r;
    int undelivered, logged;
};

struct facts {
    uint32_t ranks, messages, collectives;
    uint32_t last[RANKS];
    struct message message[EVENTS];
    uint32_t member[EVENTS][RANKS];       /* interval, 0: not a member */
    uint32_t position[RANKS][EVENTS];     /* event at which CP[i](x) was taken; 0 for x = 0 */
};

static void date(const struct trace *t, struct facts *f)
{
    memset(f, 0, sizeof *f);
    f->ranks = t->ranks;
    for (uint32_t e = 0; e < t->events; e++) {
        struct event v = t->event[e];
        struct message *m = &f->message[v.message];
        switch (v.kind) {
        case SEND:
            *m = (struct message){.i = v.a, .s = f->last[v.a] + 1, .j = v.b, .undelivered = 1};
            f->messages++;
            break;
        case RECEIVE:
            m->undelivered = 0;
            m->r = f->last[m->j] + 1;
            break;
        case LOGGED: m->logged = 1; break;
        case CHECKPOINT: f->position[v.a][++f->last[v.a]] = e + 1; break;
        case COLLECTIVE:
            for (uint32_t k = 0; k < t->ranks; k++)
                if (v.a >> k & 1)
                    f->member[f->collectives][k] = f->last[k] + 1;
            f->collectives++;
            break;
        }
    }
}

static size_t print(const struct trace *t, char *text)
{
    size_t n = 0;
    for (uint32_t e = 0; e < t->events; e++) {
        struct event v = t->event[e];
        n += (size_t)snprintf(text + n, TEXT - n, "%s", e ? " " : "");
        switch (v.kind) {
        case SEND: n += (size_t)snprintf(text + n, TEXT - n, "s%u>%u:m%u", v.a, v.b, v.message); break;
        case RECEIVE: n += (size_t)snprintf(text + n, TEXT - n, "r m%u", v.message); break;
        case LOGGED: n += (size_t)snprintf(text + n, TEXT - n, "l m%u", v.message); break;
        case CHECKPOINT: n += (size_t)snprintf(text + n, TEXT - n, "c%u", v.a); break;
        case COLLECTIVE:
            n += (size_t)snprintf(text + n, TEXT - n, "x");
            for (uint32_t k = 0, comma = 0; k < t->ranks; k++)
                if (v.a >> k & 1)
                    n += (size_t)snprintf(text + n, TEXT - n, "%s%u", comma++ ? "," : "", k);
            n += (size_t)snprintf(text + n, TEXT - n, ":b");
            break;
        }
    }
    return n;
}

/* Makes room for an event at `at`. */
static struct event *insert(struct trace *t, uint32_t at)
{
    memmove(&t->event[at + 1], &t->event[at], (t->events - at) * sizeof t->event[0]);
    t->events++;
    return &t->event[at];
}

static void random_trace(struct trace *t)
{
    static const uint32_t most[RANKS + 1] = {0, 0, 6, 4, 3, 2}; /* checkpoints a rank: keeps the cuts below CUTS */
    uint32_t open[EVENTS], opened = 0, taken[RANKS] = {0}, fifo = below(2), talk = 1 + below(4);
    uint32_t collectives = below(3) == 0, self = below(4) == 0;
    *t = (struct trace){.ranks = 2 + below(RANKS - 1)};
    for (uint32_t n = 4 + below(36); t->events < n; ) {
        struct event *v = &t->event[t->events];
        uint32_t what = below(talk + 3), a = below(t->ranks);
        if (what < talk) {
            uint32_t b = self && below(4) == 0 ? a : (a + 1 + below(t->ranks - 1)) % t->ranks;
            *v = (struct event){SEND, a, b, t->messages};
            open[opened++] = t->messages++;
            t->events++;
            if (below(4) == 0)
                t->event[t->events++] = (struct event){LOGGED, 0, 0, v->message};
        } else if (what == talk && taken[a] < most[t->ranks]) {
            taken[a]++;
            *v = (struct event){CHECKPOINT, a, 0, 0};
            t->events++;
        } else if (what == talk + 1 && collectives && below(3) == 0) {
            uint32_t members = 1 + below((1u << t->ranks) - 1);
            *v = (struct event){COLLECTIVE, members, 0, 0};
            t->events++;
        } else if (opened > 0) {
            uint32_t k = fifo ? 0 : below(opened);
            *v = (struct event){RECEIVE, 0, 0, open[k]};
            memmove(&open[k], &open[k + 1], (--opened - k) * sizeof open[0]);
            t->events++;
        }
    }
}

/* --- the oracle */

static int feasible(const struct facts *f, enum bl_line_mode mode, const uint32_t *c)
{
    for (uint32_t k = 0; k < f->messages; k++) {
        struct message m = f->message[k];
        int sent = m.s <= c[m.i], received = !m.undelivered && m.r <= c[m.j];
        if (!sent && received)
            return 0;
        int harmless = mode == BL_LINE_CONSISTENT || (mode == BL_LINE_LOGGED && m.logged) ||
                       (m.undelivered && c[m.j] == f->last[m.j] + 1);
        if (sent && !received && !harmless)
            return 0;
    }
    for (uint32_t k = 0; k < f->collectives; k++) {
        int kept = 0, undone = 0;
        for (uint32_t i = 0; i < f->ranks; i++)
            if (f->member[k][i])
                *(f->member[k][i] <= c[i] ? &kept : &undone) = 1;
        if (kept && undone)
            return 0;
    }
    return 1;
}

struct cuts {
    uint32_t count;
    uint32_t cut[CUTS][RANKS];
};

static void all_feasible(const struct facts *f, enum bl_line_mode mode, struct cuts *out)
{
    uint32_t c[RANKS] = {0}, i;
    out->count = 0;
    do {
        if (feasible(f, mode, c))
            memcpy(out->cut[out->count++], c, sizeof c);
        for (i = 0; i < f->ranks && ++c[i] > f->last[i] + 1; i++)
            c[i] = 0;
    } while (i < f->ranks);
}

/* The component-wise greatest (least) of the feasible cuts with low <= c <= high; 0 when there is none. */
static int extreme(const struct facts *f, const struct cuts *all, const uint32_t *low, const uint32_t *high, int greatest,
                   uint32_t *out)
{
    int any = 0;
    for (uint32_t n = 0; n < all->count; n++) {
        const uint32_t *c = all->cut[n];
        uint32_t inside = 0;
        for (uint32_t i = 0; i < f->ranks; i++)
            inside += c[i] >= low[i] && c[i] <= high[i];
        if (inside < f->ranks)
            continue;
        for (uint32_t i = 0; i < f->ranks; i++)
            if (!any || (greatest ? c[i] > out[i] : c[i] < out[i]))
                out[i] = c[i];
        any = 1;
    }
    return any;
}

/* Rounds of applying every rule to the cut of the round before: the length of the longest shortest certificate. */
static uint32_t rounds(const struct facts *f, enum bl_line_mode mode, const uint32_t *top)
{
    uint32_t c[RANKS], next[RANKS], count = 0;
    memcpy(next, top, sizeof next);
    for (;; count++) {
        memcpy(c, next, sizeof c);
        for (uint32_t k = 0; k < f->messages; k++) {
            struct message m = f->message[k];
            if (!m.undelivered && m.s > c[m.i] && next[m.j] >= m.r)
                next[m.j] = m.r - 1;
            int may_be_lost = mode == BL_LINE_CONSISTENT || (mode == BL_LINE_LOGGED && m.logged);
            if (!may_be_lost && (m.undelivered ? f->last[m.j] + 1 : m.r) > c[m.j] && next[m.i] >= m.s)
                next[m.i] = m.s - 1;
        }
        for (uint32_t k = 0; k < f->collectives; k++) {
            int undone = 0;
            for (uint32_t i = 0; i < f->ranks; i++)
                undone |= f->member[k][i] > c[i];
            for (uint32_t i = 0; i < f->ranks && undone; i++)
                if (f->member[k][i] && next[i] >= f->member[k][i])
                    next[i] = f->member[k][i] - 1;
        }
        if (memcmp(c, next, f->ranks * sizeof c[0]) == 0)
            return count;
    }
}

/* --- checking */

static struct trace *current;
static uint64_t current_seed;

static int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int fail(const char *format, ...)
{
    char text[TEXT];
    va_list args;
    print(current, text);
    printf("seed %llu: ", (unsigned long long)current_seed);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n  %u ranks: %s\n  replay: line_random --seed %llu\n", current->ranks, text, (unsigned long long)current_seed);
    return 1;
}

static bl_graph *parse(const struct trace *t)
{
    char text[TEXT];
    bl_error err = {0};
    bl_graph *graph;
    size_t length = print(t, text);
    if (bl_trace_parse(text, length, t->ranks, &graph, &err)) {
        fail("the trace does not parse: %s", err.text);
        exit(1);
    }
    return graph;
}

static void top_of(const struct facts *f, uint32_t failed, uint32_t *top)
{
    for (uint32_t i = 0; i < f->ranks; i++)
        top[i] = f->last[i] + !(failed >> i & 1);
}

static void failed_bytes(uint32_t failed, uint8_t *bytes)
{
    for (uint32_t i = 0; i < RANKS; i++)
        bytes[i] = failed >> i & 1;
}

static int solve(bl_graph *graph, enum bl_line_mode mode, uint32_t failed, bl_line *line)
{
    uint8_t bytes[RANKS];
    bl_error err = {0};
    failed_bytes(failed, bytes);
    return bl_line_solve(graph, mode, bytes, line, &err) ? fail("solve: %s", err.text) : 0;
}

/* As a whole and in two parts, which have to agree. */
static int check(const bl_graph *graph, enum bl_line_mode mode, uint32_t failed, const bl_line *line)
{
    uint8_t bytes[RANKS];
    uint32_t ranks = bl_graph_ranks(graph);
    failed_bytes(failed, bytes);
    int whole = bl_line_check(graph, mode, bytes, line, NULL);
    int parts = bl_line_check_ranks(graph, mode, bytes, line, 0, ranks / 2, NULL);
    if (!parts)
        parts = bl_line_check_ranks(graph, mode, bytes, line, ranks / 2, ranks, NULL);
    return parts == whole ? whole : fail("the checker says %d, in two parts %d", whole, parts);
}

static int check_metrics(const struct facts *f, enum bl_line_mode mode, uint32_t failed, const bl_line *line)
{
    uint32_t top[RANKS] = {0}, rolled_back = 0;
    int total = 0;
    top_of(f, failed, top);
    for (uint32_t i = 0; i < f->ranks; i++) {
        uint32_t depth = line->cut[i] > f->last[i] ? 0 : f->last[i] - line->cut[i];
        if (line->depth[i] != depth)
            return fail("depth of rank %u is %u, not %u", i, line->depth[i], depth);
        rolled_back += line->cut[i] != f->last[i] + 1;
        total |= line->cut[i] == 0 && f->last[i] > 0;
    }
    if (line->rolled_back != rolled_back || line->total_domino != total)
        return fail("rolled back %u (not %u), total domino %d (not %d)", line->rolled_back, rolled_back, line->total_domino, total);
    uint32_t depth = rounds(f, mode, top);
    return line->domino_depth == depth ? 0 : fail("%s: domino depth %u, not %u", mode_name[mode], line->domino_depth, depth);
}

static int hop_exists(const struct facts *f, enum bl_line_mode mode, const bl_hop *h)
{
    for (uint32_t k = 0; k < f->messages; k++) {
        struct message m = f->message[k];
        if (h->cause == BL_HOP_ORPHAN && !m.undelivered && m.i == h->by_rank && m.s == h->by_interval && m.j == h->rank &&
            m.r == h->own)
            return 1;
        uint32_t r = m.undelivered ? f->last[m.j] + 2 : m.r;
        if (h->cause == BL_HOP_LOST && m.i == h->rank && m.s == h->own && m.j == h->by_rank && r == h->by_interval)
            if (mode == BL_LINE_TRANSITLESS || (mode == BL_LINE_LOGGED && !m.logged))
                return 1;
    }
    for (uint32_t k = 0; k < f->collectives; k++)
        if (h->cause == BL_HOP_COLLECTIVE && f->member[k][h->rank] == h->own && f->member[k][h->by_rank] == h->by_interval)
            return 1;
    return 0;
}

static int check_chain(const struct facts *f, enum bl_line_mode mode, uint32_t failed, const bl_hop *hop, size_t count)
{
    for (size_t n = 0; n < count; n++) {
        const bl_hop *h = &hop[n];
        if (h->own != h->to + 1)
            return fail("hop %zu lowers to %u because of interval %u", n, h->to, h->own);
        if (n + 1 == count) {
            if (h->cause != BL_HOP_FAILED || !(failed >> h->rank & 1) || h->to != f->last[h->rank])
                return fail("the chain ends at rank %u, which did not fail", h->rank);
            continue;
        }
        if (!hop_exists(f, mode, h))
            return fail("%s: hop %zu rests on a dependency that does not exist", mode_name[mode], n);
        if (hop[n + 1].rank != h->by_rank || hop[n + 1].to >= h->by_interval)
            return fail("hop %zu rests on interval %u of rank %u, which the next hop does not undo", n, h->by_interval, h->by_rank);
    }
    return 0;
}

static int check_certificates(const struct facts *f, const bl_graph *graph, enum bl_line_mode mode, uint32_t failed,
                              const bl_line *line)
{
    size_t longest = 1;
    int bad = 0;
    for (uint32_t j = 0; j < f->ranks && !bad; j++) {
        bl_hop *hop;
        size_t count;
        if (bl_line_why(graph, line, j, &hop, &count, NULL))
            return fail("why(%u) failed", j);
        if ((count == 0) != (line->cut[j] == f->last[j] + 1))
            bad = fail("rank %u is at %u with %zu hops", j, line->cut[j], count);
        else if (count > 0 && (hop[0].rank != j || hop[0].to != line->cut[j]))
            bad = fail("the chain of rank %u starts at rank %u, checkpoint %u", j, hop[0].rank, hop[0].to);
        else if (count > 0)
            bad = check_chain(f, mode, failed, hop, count);
        longest = count > longest ? count : longest;
        free(hop);
    }
    if (!bad && longest != line->domino_depth + 1u)
        bad = fail("the longest chain has %zu hops, domino depth is %u", longest, line->domino_depth);
    return bad;
}

/* The checker must accept the line, and nothing that differs from it. */
static int check_checker(const struct facts *f, const struct cuts *all, const bl_graph *graph, enum bl_line_mode mode,
                         uint32_t failed, bl_line *line)
{
    uint32_t zero[RANKS] = {0}, top[RANKS] = {0}, other[RANKS] = {0}, i = below(f->ranks), was = line->cut[i];
    uint8_t bytes[RANKS];
    bl_error err = {0};
    failed_bytes(failed, bytes);
    if (bl_line_check(graph, mode, bytes, line, &err))
        return fail("%s: the checker rejects the greatest line: %s", mode_name[mode], err.text);
    if (check(graph, mode, failed, line))
        return fail("%s: the checker rejects a part of the greatest line", mode_name[mode]);
    for (uint32_t c = 0; c <= f->last[i] + 2; c++) {
        line->cut[i] = c;
        if (c != was && check(graph, mode, failed, line) != BELAY_ERR_INTERNAL)
            return fail("%s: the checker accepts rank %u at %u instead of %u", mode_name[mode], i, c, was);
    }
    line->cut[i] = was;
    uint32_t wrong = below(1u << f->ranks);
    top_of(f, wrong, top);
    extreme(f, all, zero, top, 1, other);
    if (memcmp(other, line->cut, f->ranks * sizeof other[0]) && check(graph, mode, wrong, line) != BELAY_ERR_INTERNAL)
        return fail("%s: the checker takes the line of failures %#x for that of %#x", mode_name[mode], failed, wrong);
    return 0;
}

static int check_line(const struct facts *f, const struct cuts *all, bl_graph *graph, enum bl_line_mode mode, uint32_t failed)
{
    uint32_t zero[RANKS] = {0}, top[RANKS] = {0}, want[RANKS] = {0};
    bl_line line;
    top_of(f, failed, top);
    if (!extreme(f, all, zero, top, 1, want) || !feasible(f, mode, want))
        return fail("oracle: no greatest cut");
    if (solve(graph, mode, failed, &line))
        return 1;
    int bad = 0;
    for (uint32_t i = 0; i < f->ranks && !bad; i++)
        if (line.cut[i] != want[i])
            bad = fail("%s, failures %#x: rank %u is at %u, not %u", mode_name[mode], failed, i, line.cut[i], want[i]);
    bad = bad || check_metrics(f, mode, failed, &line) || check_certificates(f, graph, mode, failed, &line) ||
          check_checker(f, all, graph, mode, failed, &line);
    bl_line_clear(&line);
    return bad;
}

/* Max and min of two feasible cuts are feasible: the reason why a greatest line exists. */
static int check_closure(const struct facts *f, enum bl_line_mode mode, const struct cuts *all)
{
    for (int n = 0; n < 8; n++) {
        const uint32_t *a = all->cut[below(all->count)], *b = all->cut[below(all->count)];
        uint32_t most[RANKS], least[RANKS];
        for (uint32_t i = 0; i < f->ranks; i++) {
            most[i] = a[i] > b[i] ? a[i] : b[i];
            least[i] = a[i] < b[i] ? a[i] : b[i];
        }
        if (!feasible(f, mode, most) || !feasible(f, mode, least))
            return fail("%s: feasible cuts are not closed under max and min", mode_name[mode]);
    }
    return 0;
}

static int check_with(const struct facts *f, const struct cuts *all, bl_graph *graph, enum bl_line_mode mode)
{
    uint8_t set[RANKS];
    uint32_t fixed[RANKS], low[RANKS], high[RANKS], want[RANKS] = {0};
    for (uint32_t i = 0; i < f->ranks; i++) {
        set[i] = (uint8_t)below(2);
        fixed[i] = below(f->last[i] + 2);
        low[i] = set[i] ? fixed[i] : 0;
        high[i] = set[i] ? fixed[i] : f->last[i] + 1;
    }
    for (int greatest = 0; greatest < 2; greatest++) {
        bl_line line;
        int any = extreme(f, all, low, high, greatest, want);
        int rc = (greatest ? bl_line_greatest_with : bl_line_least_with)(graph, mode, set, fixed, &line, NULL);
        if (rc != (any ? BELAY_OK : BELAY_ERR_NONE))
            return fail("%s, %s with a set: code %d, %s", mode_name[mode], greatest ? "greatest" : "least", rc, any ? "one exists" : "none exists");
        int differ = any && memcmp(line.cut, want, f->ranks * sizeof want[0]);
        bl_line_clear(&line);
        if (differ)
            return fail("%s: the %s line with a set is wrong", mode_name[mode], greatest ? "greatest" : "least");
    }
    return 0;
}

/* CP[i](x) is useless when no feasible cut has c_i = x, even if every other rank may keep its volatile state: what is
 * volatile now can become a checkpoint later, so needing it does not make a checkpoint useless. */
static int check_useless(const struct facts *f, const struct cuts *all, bl_graph *graph, enum bl_line_mode mode)
{
    uint8_t *useless, used[RANKS][EVENTS] = {{0}};
    uint64_t *offset;
    int bad = 0;
    for (uint32_t n = 0; n < all->count; n++)
        for (uint32_t i = 0; i < f->ranks; i++)
            used[i][all->cut[n][i]] = 1;
    if (bl_line_useless(graph, mode, &useless, &offset, NULL))
        return fail("useless failed");
    for (uint32_t i = 0; i < f->ranks && !bad; i++)
        for (uint32_t x = 0; x <= f->last[i] && !bad; x++)
            if (useless[offset[i] + x] == used[i][x])
                bad = fail("%s: checkpoint %u of rank %u is %s", mode_name[mode], x, i, used[i][x] ? "not useless" : "useless");
    free(useless);
    free(offset);
    return bad;
}

/* Garbage by definition, and by consequence: the trace up to an event collects nothing that any line of the whole
 * trace, for any failures, restarts from. */
static int check_garbage(const struct trace *t, const struct facts *now, const struct cuts *all, enum bl_line_mode mode, int exact)
{
    struct trace prefix = *t;
    struct facts f;
    struct cuts early;
    uint8_t *collect, *whole, want[RANKS][EVENTS];
    uint64_t *offset, *whole_offset;
    uint32_t zero[RANKS] = {0}, top[RANKS] = {0}, cut[RANKS] = {0};
    int bad = 0;
    prefix.events = below(t->events + 1);
    date(&prefix, &f);
    all_feasible(&f, mode, &early);
    memset(want, exact, sizeof want);
    for (uint32_t n = 0; n < (exact ? f.ranks : 1); n++) {
        top_of(&f, exact ? 1u << n : UINT32_MAX, top);
        extreme(&f, &early, zero, top, 1, cut);
        for (uint32_t i = 0; i < f.ranks; i++) {
            if (exact)
                want[i][cut[i]] = 0;
            else
                memset(want[i], 1, cut[i]);
        }
    }
    bl_graph *graph = parse(&prefix);
    if (bl_line_garbage(graph, mode, exact, &collect, &offset, NULL))
        return fail("garbage failed");
    for (uint32_t i = 0; i < f.ranks && !bad; i++)
        for (uint32_t x = 0; x <= f.last[i] && !bad; x++)
            if (collect[offset[i] + x] != want[i][x])
                bad = fail("%s, exact %d, %u events: checkpoint %u of rank %u collectable: %d", mode_name[mode], exact,
                           prefix.events, x, i, collect[offset[i] + x]);
    for (uint32_t failed = 0; failed < 1u << f.ranks && !bad; failed++) {
        top_of(now, failed, top);
        extreme(now, all, zero, top, 1, cut);
        for (uint32_t i = 0; i < f.ranks && !bad; i++)
            if (cut[i] <= f.last[i] && collect[offset[i] + cut[i]])
                bad = fail("%s, exact %d: after %u events checkpoint %u of rank %u is collected, but failures %#x need it",
                           mode_name[mode], exact, prefix.events, cut[i], i, failed);
    }
    if (!bad && exact && bl_line_garbage(graph, BL_LINE_TRANSITLESS, 1, &whole, &whole_offset, NULL) != BELAY_ERR_ARG)
        bad = fail("exact garbage is not refused for transitless lines");
    free(collect);
    free(offset);
    bl_graph_free(graph);
    return bad;
}

/* --- metamorphic rules */

/* Solves `t` as it was and as changed, and has `rule` compare the two lines. */
static int compare(const struct trace *before, const struct trace *after, enum bl_line_mode mode, uint32_t failed,
                   int (*rule)(const struct facts *, const uint32_t *, const struct facts *, const uint32_t *), const char *what)
{
    struct facts f, g;
    bl_line a, b;
    date(before, &f);
    date(after, &g);
    bl_graph *old = parse(before), *new = parse(after);
    int bad = solve(old, mode, failed, &a) || solve(new, mode, failed, &b);
    if (!bad && !rule(&f, a.cut, &g, b.cut))
        bad = fail("%s, failures %#x: %s", mode_name[mode], failed, what);
    bl_line_clear(&a);
    bl_line_clear(&b);
    bl_graph_free(old);
    bl_graph_free(new);
    return bad;
}

static int not_above(const struct facts *f, const uint32_t *a, const struct facts *g, const uint32_t *b)
{
    (void)g;
    for (uint32_t i = 0; i < f->ranks; i++)
        if (b[i] > a[i])
            return 0;
    return 1;
}

static int not_below(const struct facts *f, const uint32_t *a, const struct facts *g, const uint32_t *b)
{
    return not_above(g, b, f, a);
}

static uint32_t position(const struct facts *f, uint32_t i, uint32_t c)
{
    return c > f->last[i] ? UINT32_MAX : f->position[i][c];
}

static uint32_t inserted; /* the event the changed trace has more */

static int not_earlier(const struct facts *f, const uint32_t *a, const struct facts *g, const uint32_t *b)
{
    for (uint32_t i = 0; i < f->ranks; i++) {
        uint32_t was = position(f, i, a[i]), is = position(g, i, b[i]);
        if (was != UINT32_MAX && was > inserted)
            was++;
        if (is < was)
            return 0;
    }
    return 1;
}

/* The line of a graph must not pass for the line of a graph with more, or with fewer, dependencies. */
static int check_foreign(const struct trace *one, const struct trace *other, enum bl_line_mode mode, uint32_t failed)
{
    bl_graph *graph = parse(one), *foreign = parse(other);
    bl_line line, want;
    int bad = solve(graph, mode, failed, &want) || solve(foreign, mode, failed, &line);
    if (!bad && memcmp(line.cut, want.cut, line.ranks * sizeof line.cut[0]) &&
        check(graph, mode, failed, &line) != BELAY_ERR_INTERNAL)
        bad = fail("%s, failures %#x: the checker takes the line of another graph", mode_name[mode], failed);
    bl_line_clear(&line);
    bl_line_clear(&want);
    bl_graph_free(graph);
    bl_graph_free(foreign);
    return bad;
}

static int check_added_collective(const struct trace *t, enum bl_line_mode mode, uint32_t failed)
{
    struct trace more = *t;
    *insert(&more, below(t->events + 1)) = (struct event){COLLECTIVE, 1 + below((1u << t->ranks) - 1), 0, 0};
    return compare(t, &more, mode, failed, not_above, "an added collective raises the line") ||
           check_foreign(t, &more, mode, failed) || check_foreign(&more, t, mode, failed);
}

static int check_added_message(const struct trace *t, enum bl_line_mode mode, uint32_t failed)
{
    struct trace more = *t;
    uint32_t at = below(t->events + 1), a = below(t->ranks), b = (a + 1 + below(t->ranks - 1)) % t->ranks;
    *insert(&more, at) = (struct event){SEND, a, b, more.messages};
    if (below(4))
        *insert(&more, at + 1 + below(more.events - at)) = (struct event){RECEIVE, 0, 0, more.messages};
    more.messages++;
    return compare(t, &more, mode, failed, not_above, "an added message raises the line") ||
           check_foreign(t, &more, mode, failed) || check_foreign(&more, t, mode, failed);
}

static int check_added_checkpoint(const struct trace *t, enum bl_line_mode mode, uint32_t failed)
{
    struct trace more = *t;
    inserted = below(t->events + 1);
    *insert(&more, inserted) = (struct event){CHECKPOINT, below(t->ranks), 0, 0};
    return compare(t, &more, mode, failed, not_earlier, "an added checkpoint lowers the line");
}

static int check_added_log(const struct trace *t, enum bl_line_mode mode, uint32_t failed)
{
    struct trace more = *t;
    if (t->messages == 0)
        return 0;
    *insert(&more, more.events) = (struct event){LOGGED, 0, 0, below(t->messages)};
    return compare(t, &more, mode, failed, not_below, "marking a message logged lowers the line");
}

static uint32_t place[RANKS]; /* the relabelling */

static int relabelled(const struct facts *f, const uint32_t *a, const struct facts *g, const uint32_t *b)
{
    (void)g;
    for (uint32_t i = 0; i < f->ranks; i++)
        if (b[place[i]] != a[i])
            return 0;
    return 1;
}

static int check_relabelled(const struct trace *t, enum bl_line_mode mode)
{
    struct trace other = *t;
    for (uint32_t i = 0; i < t->ranks; i++) {
        uint32_t k = below(i + 1);
        place[i] = place[k];
        place[k] = i;
    }
    for (uint32_t e = 0; e < t->events; e++) {
        struct event v = t->event[e], *w = &other.event[e];
        w->a = place[v.a % RANKS];
        w->b = place[v.b];
        if (v.kind == COLLECTIVE) {
            w->a = 0;
            for (uint32_t k = 0; k < t->ranks; k++)
                w->a |= (v.a >> k & 1) << place[k];
        }
    }
    return compare(t, &other, mode, UINT32_MAX, relabelled, "relabelling the ranks changes the line");
}

/* A graph that has answered takes more messages: the line is that of a graph which knew them all from the start. */
static int check_grown(const struct facts *f, const struct cuts *all, enum bl_line_mode mode, uint32_t failed)
{
    uint32_t zero[RANKS] = {0}, top[RANKS] = {0}, want[RANKS] = {0}, half = below(f->messages + 1);
    bl_graph *graph;
    bl_line line;
    int bad = bl_graph_new(f->ranks, f->last, &graph, NULL);
    for (uint32_t k = 0; k <= f->messages && !bad; k++) {
        if (k == half && !(bad = solve(graph, mode, failed, &line)))
            bl_line_clear(&line);
        struct message m = f->message[k];
        unsigned flags = (m.logged ? BL_MSG_LOGGED : 0) | (m.undelivered ? BL_MSG_UNDELIVERED : 0);
        bad = bad || (k < f->messages && bl_graph_message(graph, m.i, m.s, m.j, m.r, flags, NULL));
    }
    for (uint32_t k = 0; k < f->collectives && !bad; k++) {
        uint32_t rank[RANKS], interval[RANKS], n = 0;
        for (uint32_t i = 0; i < f->ranks; i++)
            if (f->member[k][i]) {
                rank[n] = i;
                interval[n++] = f->member[k][i];
            }
        bad = bl_graph_collective(graph, n, rank, interval, NULL);
    }
    if (bad || solve(graph, mode, failed, &line))
        return fail("a graph that grows fails");
    top_of(f, failed, top);
    extreme(f, all, zero, top, 1, want);
    if (memcmp(line.cut, want, f->ranks * sizeof want[0]))
        bad = fail("%s: a graph that grew by %u messages gives another line", mode_name[mode], f->messages - half);
    bl_line_clear(&line);
    bl_graph_free(graph);
    return bad;
}

/* --- the driver */

static int run_mode(const struct trace *t, const struct facts *f, bl_graph *graph, enum bl_line_mode mode)
{
    static struct cuts all;
    uint32_t everyone = (1u << t->ranks) - 1, failed = below(everyone + 1);
    all_feasible(f, mode, &all);
    if (check_line(f, &all, graph, mode, failed) || check_line(f, &all, graph, mode, everyone) ||
        check_closure(f, mode, &all) || check_with(f, &all, graph, mode) || check_useless(f, &all, graph, mode))
        return 1;
    switch (below(5)) { /* one of the dearer ones each */
    case 0: return check_garbage(t, f, &all, mode, mode == BL_LINE_CONSISTENT && below(2));
    case 1: return check_grown(f, &all, mode, failed);
    case 2: return check_added_message(t, mode, failed) || check_relabelled(t, mode);
    case 3: return check_added_collective(t, mode, failed);
    default: return check_added_checkpoint(t, mode, failed) || check_added_log(t, mode, failed);
    }
}

static int run_seed(uint64_t seed)
{
    struct trace t;
    struct facts f;
    current = &t;
    current_seed = seed;
    state = seed * 0x2545f4914f6cdd1du + 1;
    random_trace(&t);
    date(&t, &f);
    bl_graph *graph = parse(&t);
    int bad = 0;
    for (int mode = 0; mode < MODES && !bad; mode++)
        bad = run_mode(&t, &f, graph, (enum bl_line_mode)mode);
    bl_graph_free(graph);
    return bad;
}

int main(int argc, char **argv)
{
    uint64_t first = 1, count = SEEDS, passed = 0, failed = 0;
    for (int k = 1; k + 1 < argc; k += 2) {
        if (strcmp(argv[k], "--seed") == 0) {
            first = strtoull(argv[k + 1], NULL, 10);
            count = 1;
        } else if (strcmp(argv[k], "--count") == 0) {
            count = strtoull(argv[k + 1], NULL, 10);
        }
    }
    for (uint64_t n = 0; n < count && failed < 10; n++)
        *(run_seed(first + n) ? &failed : &passed) += 1;
    printf("%llu passed, %llu failed\n", (unsigned long long)passed, (unsigned long long)failed);
    return failed != 0;
}
