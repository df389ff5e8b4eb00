/* history_random - dependencies from counters against the truth.
 *
 * Each seed runs a small job of which every message and every collective is known: channels with tags, communicators of
 * some ranks, checkpoints at any moment, messages never received, messages whose contents are kept, collectives not yet
 * started by all, and restarts from the line.  bl_history sees nothing but the counters; what it says is compared with the truth, its graph with the graph
 * of the single messages, and both with every cut.  `--seed N` replays one seed, `--count N` sets how many run. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line/graph.h"
#include "line/history.h"

enum { RANKS = 4, COMMS = 2, TAGS = 3, LAST = 5, MESSAGES = 64, INSTANCES = 32, RESTARTS = 3, SEEDS = 30000 };
enum { CELLS = COMMS * RANKS * TAGS };

struct message {
    uint32_t i, s, j, r, comm, tag; /* r 0: not received */
    uint32_t logged;
};

struct counters {
    uint64_t sent[COMMS][RANKS][TAGS], received[COMMS][RANKS][TAGS], started[COMMS];
};

struct job {
    uint32_t ranks, members[COMMS];                 /* bit sets */
    uint32_t logs;                                  /* of 4 messages that are received */
    int folds;                                      /* senders cannot tell tags apart; nothing overtakes */
    uint32_t last[RANKS];
    uint32_t messages, instances[COMMS];
    struct message message[MESSAGES];
    uint32_t instance[COMMS][INSTANCES][RANKS];     /* interval; 0: not started */
    struct counters now[RANKS], at[RANKS][LAST + 1];/* since the start of the incarnation */
    uint32_t restarts[RANKS][LAST + 1];             /* with CP[i](x) as the last checkpoint */
};

static uint64_t state, current_seed;

static uint32_t below(uint32_t n)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) % n);
}

static int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("seed %llu: ", (unsigned long long)current_seed);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    return 1;
}

/* --- the job */

static uint32_t random_member(const struct job *t, uint32_t comm)
{
    uint32_t i;
    do
        i = below(t->ranks);
    while (!(t->members[comm] >> i & 1));
    return i;
}

static void send(struct job *t)
{
    uint32_t comm = below(COMMS), tag = below(TAGS);
    uint32_t i = random_member(t, comm), j = random_member(t, comm);
    if (t->messages == MESSAGES)
        return;
    t->message[t->messages++] = (struct message){i, t->last[i] + 1, j, 0, comm, tag, 0};
    t->now[i].sent[comm][j][t->folds ? 0 : tag]++;
}

/* The oldest message of a random channel; of a pair of ranks, when tags are counted together. */
static void receive(struct job *t)
{
    uint32_t open[MESSAGES], n = 0;
    for (uint32_t m = 0; m < t->messages; m++)
        if (t->message[m].r == 0)
            open[n++] = m;
    if (n == 0)
        return;
    struct message like = t->message[open[below(n)]];
    for (uint32_t k = 0; k < n; k++) {
        struct message *m = &t->message[open[k]];
        if (m->i != like.i || m->j != like.j || m->comm != like.comm || (m->tag != like.tag && !t->folds))
            continue;
        m->r = t->last[m->j] + 1;
        m->logged |= below(4) < t->logs;
        t->now[m->j].received[m->comm][m->i][m->tag]++;
        return;
    }
}

static void start_collective(struct job *t)
{
    uint32_t comm = below(COMMS), i = random_member(t, comm), n = 0;
    while (n < t->instances[comm] && t->instance[comm][n][i])
        n++;
    if (n == INSTANCES)
        return;
    if (n == t->instances[comm])
        memset(t->instance[comm][t->instances[comm]++], 0, sizeof t->instance[comm][n]);
    t->instance[comm][n][i] = t->last[i] + 1;
    t->now[i].started[comm]++;
}

static void checkpoint(struct job *t)
{
    uint32_t i = below(t->ranks);
    if (t->last[i] == LAST)
        return;
    t->at[i][++t->last[i]] = t->now[i];
    t->restarts[i][t->last[i]] = 0;
}

/* What the cut undoes has not happened; what was received after it is in the channel again. */
static void go_back(struct job *t, const uint32_t *cut)
{
    uint32_t kept = 0;
    for (uint32_t m = 0; m < t->messages; m++)
        if (t->message[m].s <= cut[t->message[m].i])
            t->message[kept++] = t->message[m];
    t->messages = kept;
    for (uint32_t m = 0; m < kept; m++)
        if (t->message[m].r > cut[t->message[m].j])
            t->message[m].r = 0;
    for (uint32_t c = 0; c < COMMS; c++)
        for (uint32_t n = t->instances[c]; n-- > 0; )
            for (uint32_t i = 0; i < t->ranks; i++)
                if (t->instance[c][n][i] > cut[i])
                    t->instances[c] = n;
    for (uint32_t i = 0; i < t->ranks; i++) {
        t->last[i] = cut[i];
        t->restarts[i][cut[i]]++;
        memset(&t->now[i], 0, sizeof t->now[i]);
    }
}

/* --- the truth as a graph, and every cut */

static bl_graph *true_graph(const struct job *t)
{
    bl_graph *graph;
    int bad = bl_graph_new(t->ranks, t->last, &graph, NULL);
    for (uint32_t k = 0; k < t->messages && !bad; k++) {
        const struct message *m = &t->message[k];
        unsigned flags = (m->r ? 0 : BL_MSG_UNDELIVERED) | (m->logged && !t->folds ? BL_MSG_LOGGED : 0);
        bad = bl_graph_message(graph, m->i, m->s, m->j, m->r, flags, NULL);
    }
    for (uint32_t c = 0; c < COMMS; c++)
        for (uint32_t n = 0; n < t->instances[c] && !bad; n++) {
            uint32_t rank[RANKS], interval[RANKS], members = 0;
            for (uint32_t i = 0; i < t->ranks; i++)
                if (t->members[c] >> i & 1) {
                    rank[members] = i;
                    interval[members++] = t->instance[c][n][i];
                }
            bad = bl_graph_collective(graph, members, rank, interval, NULL);
        }
    if (bad)
        abort();
    return graph;
}

static int feasible(const struct job *t, enum bl_line_mode mode, const uint32_t *cut)
{
    for (uint32_t k = 0; k < t->messages; k++) {
        const struct message *m = &t->message[k];
        int sent = m->s <= cut[m->i], received = m->r && m->r <= cut[m->j];
        int in_channel = !m->r && cut[m->j] == t->last[m->j] + 1;
        int harmless = mode == BL_LINE_CONSISTENT || in_channel || (mode == BL_LINE_LOGGED && m->logged && !t->folds);
        if ((!sent && received) || (sent && !received && !harmless))
            return 0;
    }
    for (uint32_t c = 0; c < COMMS; c++)
        for (uint32_t n = 0; n < t->instances[c]; n++) {
            int kept = 0, undone = 0;
            for (uint32_t i = 0; i < t->ranks; i++) {
                uint32_t x = t->instance[c][n][i];
                if (t->members[c] >> i & 1) {
                    kept |= x && x <= cut[i];
                    undone |= x ? x > cut[i] : cut[i] <= t->last[i];
                }
            }
            if (kept && undone)
                return 0;
        }
    return 1;
}

static void greatest_cut(const struct job *t, enum bl_line_mode mode, const uint8_t *failed, uint32_t *greatest)
{
    uint32_t cut[RANKS] = {0}, i;
    memset(greatest, 0, RANKS * sizeof *greatest);
    do {
        if (feasible(t, mode, cut))
            for (i = 0; i < t->ranks; i++)
                greatest[i] = cut[i] > greatest[i] ? cut[i] : greatest[i];
        for (i = 0; i < t->ranks && cut[i] == t->last[i] + !failed[i]; i++)
            cut[i] = 0;
        cut[i < t->ranks ? i : 0] += i < t->ranks;
    } while (i < t->ranks);
}

/* --- what the library sees */

static int give(bl_history *h, const struct job *t, uint32_t i, const struct counters *c, int open)
{
    bl_history_channel channel[CELLS];
    bl_history_collective collective[COMMS];
    size_t channels = 0, collectives = 0;
    int all = below(2) == 0; /* or rows of zeros left out */
    for (uint32_t comm = 0; comm < COMMS; comm++) {
        uint32_t size = 0;
        for (uint32_t k = 0; k < t->ranks; k++)
            size += t->members[comm] >> k & 1;
        for (uint32_t j = 0; j < t->ranks; j++)
            for (uint32_t tag = 0; tag < TAGS; tag++)
                if (all || c->sent[comm][j][tag] || c->received[comm][j][tag])
                    channel[channels++] = (bl_history_channel){comm + 7, j, t->folds && tag == 0 ? BL_HISTORY_FOLDED : (int32_t)tag,
                                                               c->sent[comm][j][tag], c->received[comm][j][tag]};
        if (t->members[comm] >> i & 1 && (all || size < t->ranks || c->started[comm]))
            collective[collectives++] = (bl_history_collective){comm + 7, c->started[comm], size};
    }
    return (open ? bl_history_open : bl_history_checkpoint)(h, i, channel, channels, collective, collectives, NULL);
}

/* The number of a message on its channel. */
static uint64_t number_of(const struct job *t, uint32_t m)
{
    const struct message *v = &t->message[m];
    uint64_t number = 0;
    for (uint32_t k = 0; k <= m; k++) {
        const struct message *w = &t->message[k];
        number += w->i == v->i && w->j == v->j && w->comm == v->comm && w->tag == v->tag;
    }
    return number;
}

/* In any order, one by one or together, some twice; and what no counter knows. */
static int give_logged(bl_history *h, const struct job *t)
{
    int bad = 0;
    uint32_t turn = t->messages ? below(t->messages) : 0;
    for (uint32_t k = 0; k < t->messages && !bad; k++) {
        uint32_t m = (k + turn) % t->messages;
        const struct message *v = &t->message[m];
        uint64_t number = number_of(t, m);
        for (uint32_t times = v->logged ? 1 + below(2) : 0; times > 0 && !bad; times--)
            bad = bl_history_logged(h, v->j, v->comm + 7, v->i, (int32_t)v->tag, number, number, NULL);
    }
    if (t->logs && !bad && below(2))
        bad = bl_history_logged(h, 0, 7, 1, 0, MESSAGES + 1, UINT64_MAX, NULL);
    return bad;
}

static bl_history *history_of(const struct job *t, int open)
{
    bl_history *h;
    int bad = bl_history_new(t->ranks, &h, NULL);
    for (uint32_t i = 0; i < t->ranks && !bad; i++) {
        for (uint32_t x = 0; x <= t->last[i] && !bad; x++) {
            if (x > 0)
                bad = give(h, t, i, &t->at[i][x], 0);
            for (uint32_t k = 0; k < t->restarts[i][x] && !bad; k++)
                bad = bl_history_restart(h, i, NULL);
        }
        bad = bad || (open && give(h, t, i, &t->now[i], 1));
    }
    if (bad || give_logged(h, t))
        abort();
    return h;
}

/* --- comparisons */

static int same_edges(const struct job *t, bl_history *h)
{
    const bl_history_edge *edge;
    size_t count;
    uint64_t messages = 0;
    if (bl_history_edges(h, &edge, &count, NULL))
        return fail("no edges");
    for (size_t k = 0; k < count; k++) {
        uint64_t are = 0, logged = 0;
        for (uint32_t m = 0; m < t->messages; m++) {
            const struct message *v = &t->message[m];
            int is = v->i == edge[k].from && v->s == edge[k].sent_in && v->j == edge[k].to &&
                     (v->r ? v->r : t->last[v->j] + 2) == edge[k].received_in;
            are += (uint64_t)is;
            logged += is && v->logged && !t->folds;
        }
        if (logged != edge[k].logged)
            return fail("%u sent in %u, %u received in %u: %llu logged, not %llu", edge[k].from, edge[k].sent_in, edge[k].to,
                        edge[k].received_in, (unsigned long long)edge[k].logged, (unsigned long long)logged);
        if (are != edge[k].messages)
            return fail("%u sent in %u, %u received in %u: %llu messages, not %llu", edge[k].from, edge[k].sent_in, edge[k].to,
                        edge[k].received_in, (unsigned long long)edge[k].messages, (unsigned long long)are);
        messages += are;
    }
    return messages != t->messages && fail("%llu messages of %u", (unsigned long long)messages, t->messages);
}

/* What is kept does not grow with the messages. */
static int few_dependencies(const struct job *t, const bl_graph *graph)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < t->ranks; i++)
        for (uint32_t j = 0; j < t->ranks; j++)
            most += t->last[i] + 1 + t->last[j] + 1 + (t->logs ? t->last[i] + 1 : 0);
    return graph->sent.count > most && fail("%llu dependencies, more than %llu", (unsigned long long)graph->sent.count,
                                            (unsigned long long)most);
}

/* Every message that crosses the cut is in some row, and every row has nothing but such. */
static int same_transit(const struct job *t, bl_history *h)
{
    const bl_transit *row;
    size_t count;
    uint32_t cut[RANKS];
    uint64_t rows = 0, crossing = 0;
    for (uint32_t i = 0; i < t->ranks; i++)
        cut[i] = below(t->last[i] + 2);
    if (bl_history_transit(h, cut, &row, &count, NULL))
        return fail("nothing said about what is in transit");
    for (size_t k = 0; k < count; k++)
        rows += row[k].last - row[k].first + 1;
    for (uint32_t m = 0; m < t->messages; m++) {
        const struct message *v = &t->message[m];
        uint64_t number = number_of(t, m), found = 0, logged = 0;
        int crosses = v->s <= cut[v->i] && (v->r == 0 || v->r > cut[v->j]);
        crossing += (uint64_t)crosses;
        for (size_t k = 0; k < count && !t->folds; k++)
            if (row[k].from == v->i && row[k].to == v->j && row[k].comm == v->comm + 7 && row[k].tag == (int32_t)v->tag) {
                found += number >= row[k].first && number <= row[k].last;
                logged = row[k].logged;
            }
        if (!t->folds && found != (uint64_t)crosses)
            return fail("message %llu from %u to %u %s the cut", (unsigned long long)number, v->i, v->j, crosses ? "crosses" : "does not cross");
        if (crosses && v->logged && !t->folds && logged == 0)
            return fail("message %llu from %u to %u is kept", (unsigned long long)number, v->i, v->j);
    }
    return rows != crossing && fail("%llu messages in transit, not %llu", (unsigned long long)crossing, (unsigned long long)rows);
}

static int same_line(const struct job *t, bl_graph *a, bl_graph *b, enum bl_line_mode mode, const uint8_t *failed)
{
    bl_line x, y;
    bl_error err = {0};
    uint32_t want[RANKS];
    if (bl_line_solve(a, mode, failed, &x, &err) || bl_line_solve(b, mode, failed, &y, &err))
        return fail("mode %d: %s", mode, err.text);
    int bad = 0;
    greatest_cut(t, mode, failed, want);
    for (uint32_t i = 0; i < t->ranks && !bad; i++)
        if (x.cut[i] != want[i] || y.cut[i] != want[i])
            bad = fail("mode %d: rank %u at %u by its counters, at %u by its messages, at %u in truth", mode, i, x.cut[i],
                       y.cut[i], want[i]);
    if (!bad && x.domino_depth != y.domino_depth)
        bad = fail("mode %d: domino depth %u by counters, %u by messages", mode, x.domino_depth, y.domino_depth);
    if (!bad && (bl_line_check(a, mode, failed, &x, &err) || bl_line_check(b, mode, failed, &y, &err)))
        bad = fail("mode %d: %s", mode, err.text);
    bl_line_clear(&x);
    bl_line_clear(&y);
    return bad;
}

static int same_lines_with(const struct job *t, bl_graph *a, bl_graph *b, enum bl_line_mode mode)
{
    uint8_t set[RANKS];
    uint32_t fixed[RANKS];
    for (uint32_t i = 0; i < t->ranks; i++) {
        set[i] = (uint8_t)(below(3) == 0);
        fixed[i] = below(t->last[i] + 2);
    }
    for (int greatest = 0; greatest < 2; greatest++) {
        bl_line x, y;
        int (*solve)(bl_graph *, enum bl_line_mode, const uint8_t *, const uint32_t *, bl_line *, bl_error *) =
            greatest ? bl_line_greatest_with : bl_line_least_with;
        int rc = solve(a, mode, set, fixed, &x, NULL), other = solve(b, mode, set, fixed, &y, NULL);
        int differ = rc != other || (!rc && memcmp(x.cut, y.cut, t->ranks * sizeof *x.cut));
        bl_line_clear(&x);
        bl_line_clear(&y);
        if (differ)
            return fail("mode %d: the %s line with a set is another", mode, greatest ? "greatest" : "least");
    }
    return 0;
}

static int same_useless(const struct job *t, bl_graph *a, bl_graph *b, enum bl_line_mode mode)
{
    uint8_t *x, *y;
    uint64_t *offset, *other;
    if (bl_line_useless(a, mode, &x, &offset, NULL) || bl_line_useless(b, mode, &y, &other, NULL))
        return fail("useless failed");
    int differ = memcmp(x, y, offset[t->ranks]) != 0;
    free(x);
    free(y);
    free(offset);
    free(other);
    return differ && fail("mode %d: other useless checkpoints", mode);
}

static int compare(const struct job *t)
{
    static const uint8_t all[RANKS] = {1, 1, 1, 1};
    uint8_t failed[RANKS];
    bl_history *h = history_of(t, 1), *closed = history_of(t, 0);
    bl_graph *graph, *unknown, *truth = true_graph(t);
    if (bl_history_graph(h, &graph, NULL) || bl_history_graph(closed, &unknown, NULL))
        return fail("no graph");
    int bad = same_edges(t, h) || few_dependencies(t, graph) || same_transit(t, h);
    for (enum bl_line_mode mode = BL_LINE_CONSISTENT; mode <= BL_LINE_LOGGED && !bad; mode++) {
        for (uint32_t i = 0; i < t->ranks; i++)
            failed[i] = (uint8_t)below(2);
        /* When all fail, what happened in the open intervals need not be known. */
        bad = same_line(t, graph, truth, mode, failed) || same_line(t, graph, truth, mode, all) ||
              same_line(t, unknown, truth, mode, all) || same_lines_with(t, graph, truth, mode) ||
              same_useless(t, graph, truth, mode);
    }
    bl_graph_free(graph);
    bl_graph_free(unknown);
    bl_graph_free(truth);
    bl_history_free(h);
    bl_history_free(closed);
    return bad;
}

static void restart(struct job *t)
{
    static const uint8_t all[RANKS] = {1, 1, 1, 1};
    uint32_t cut[RANKS];
    greatest_cut(t, t->logs ? BL_LINE_LOGGED : BL_LINE_TRANSITLESS, all, cut);
    go_back(t, cut);
}

static int run_seed(uint64_t seed)
{
    struct job t = {.ranks = 2 + (uint32_t)(seed % (RANKS - 1))};
    current_seed = seed;
    state = seed * 0x2545f4914f6cdd1du + 1;
    t.folds = below(4) == 0;
    t.logs = below(2) ? 1 + below(4) : 0;
    t.members[0] = (1u << t.ranks) - 1;
    t.members[1] = 1 + below(t.members[0]);
    uint32_t restarts = below(RESTARTS), talk = 2 + below(6), collectives = below(3);
    for (uint32_t n = 20 + below(100); n > 0; n--) {
        uint32_t what = below(2 * talk + 3 + collectives);
        if (what < talk)
            send(&t);
        else if (what < 2 * talk)
            receive(&t);
        else if (what < 2 * talk + 2)
            checkpoint(&t);
        else if (what == 2 * talk + 2) {
            if (restarts > 0 && below(4) == 0) {
                restarts--;
                restart(&t);
            }
        } else {
            start_collective(&t);
        }
    }
    return compare(&t);
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
