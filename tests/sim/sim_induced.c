/* sim_induced - communication-induced checkpointing on random traces.
 *
 * Each seed makes a run: ranks that send, receive in any order or in the order sent, and checkpoint when they like.  It is
 * played under every rule.  With a rule no checkpoint may be useless, by the Z-cycle test of src/line, which knows nothing
 * of the rules; without one many are, so the test can tell.  Mistakes made on purpose in driving a rule must show as
 * useless checkpoints.  Then the same program may be saved at safe points only: the retroactive rule.
 * `--seed N` replays one seed, `--count N` sets how many run. */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line/line.h"
#include "protocol/induced.h"

enum { RANKS = 5, EVENTS = 80, SEEDS = 100000, WORDS = RANKS * 2 * RANKS + EVENTS * (1 + 2 * RANKS) + 2 * RANKS };

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

struct run {
    uint32_t ranks, messages;
    size_t events;
    bl_induced_event event[EVENTS];
};

static void random_run(struct run *r)
{
    uint32_t open[EVENTS], opened = 0, fifo = below(2), talk = 2 + below(6);
    *r = (struct run){.ranks = 2 + below(RANKS - 1)};
    for (uint32_t n = 20 + below(EVENTS - 20); r->events < n; ) {
        uint32_t what = below(2 * talk + 2), a = below(r->ranks);
        bl_induced_event *e = &r->event[r->events];
        if (what < talk) {
            *e = (bl_induced_event){BL_INDUCED_SEND, a, (a + 1 + below(r->ranks - 1)) % r->ranks, r->messages};
            open[opened++] = (uint32_t)r->events++;
            r->messages++;
        } else if (what < 2 * talk && opened > 0) {
            uint32_t k = fifo ? 0 : below(opened);
            const bl_induced_event *s = &r->event[open[k]];
            *e = (bl_induced_event){BL_INDUCED_RECEIVE, s->peer, 0, s->message};
            memmove(&open[k], &open[k + 1], (--opened - k) * sizeof open[0]);
            r->events++;
        } else if (what >= 2 * talk) {
            *e = (bl_induced_event){BL_INDUCED_CHECKPOINT, a, 0, 0};
            r->events++;
        }
    }
}

/* --- the graph of a run whose events are dated */

static bl_graph *graph_of(const struct run *r, const uint32_t *interval, const uint32_t *last)
{
    uint32_t from[EVENTS] = {0}, s[EVENTS] = {0};
    bl_graph *graph;
    int bad = bl_graph_new(r->ranks, last, &graph, NULL);
    for (size_t k = 0; k < r->events && !bad; k++) {
        const bl_induced_event *e = &r->event[k];
        if (e->kind == BL_INDUCED_SEND) {
            from[e->message] = e->rank;
            s[e->message] = interval[k];
        } else if (e->kind == BL_INDUCED_RECEIVE) {
            bad = bl_graph_message(graph, from[e->message], s[e->message], e->rank, interval[k], 0, NULL);
        }
    }
    if (bad)
        abort();
    return graph;
}

static uint32_t count_useless(const struct run *r, const uint32_t *interval, const uint32_t *last)
{
    bl_graph *graph = graph_of(r, interval, last);
    uint8_t *useless;
    uint64_t *offset;
    uint32_t count = 0;
    if (bl_line_useless(graph, BL_LINE_CONSISTENT, &useless, &offset, NULL))
        abort();
    for (uint64_t k = 0; k < offset[r->ranks]; k++)
        count += useless[k];
    free(useless);
    free(offset);
    bl_graph_free(graph);
    return count;
}

/* For every n the first checkpoints with index n or more, or what is held in memory, are a line.  index[i][0] is that of
 * the start. */
static int lines_are_consistent(const struct run *r, const uint32_t *interval, const uint32_t *last,
                                uint32_t index[RANKS][EVENTS + 1])
{
    uint32_t from[EVENTS] = {0}, s[EVENTS] = {0}, cut[RANKS];
    for (uint32_t n = 1; n <= EVENTS; n++) {
        for (uint32_t i = 0; i < r->ranks; i++)
            for (cut[i] = 0; cut[i] <= last[i] && index[i][cut[i]] < n; )
                cut[i]++;
        for (size_t k = 0; k < r->events; k++) {
            const bl_induced_event *e = &r->event[k];
            if (e->kind == BL_INDUCED_SEND) {
                from[e->message] = e->rank;
                s[e->message] = interval[k];
            } else if (e->kind == BL_INDUCED_RECEIVE && s[e->message] > cut[from[e->message]] && interval[k] <= cut[e->rank]) {
                return fail("line %u makes message %u an orphan", n, e->message);
            }
        }
    }
    return 0;
}

/* --- the rules, and mistakes in driving them */

enum mistake { NONE, NOT_FORCED, NOT_MERGED, NOT_COUNTED, STALE, MISTAKES };
static const char *const mistake_name[MISTAKES] = {"", "what is forced is not taken", "deliveries are not merged",
                                                   "basic checkpoints are not counted", "messages carry what the one before did"};

struct tally {
    uint64_t basic, forced, useless;
    int orphans;                     /* BCS: a line of its indices has some */
};

static struct tally play(const struct run *r, enum bl_induced_rule rule, enum mistake mistake)
{
    static uint32_t words[RANKS][2 * RANKS], message[EVENTS][1 + 2 * RANKS], before[RANKS][1 + 2 * RANKS];
    uint32_t interval[EVENTS], last[RANKS] = {0}, index[RANKS][EVENTS + 1];
    struct tally t = {0};
    bl_induced p[RANKS];
    for (uint32_t i = 0; i < r->ranks; i++) {
        bl_induced_start(&p[i], rule, i, r->ranks, words[i]);
        bl_induced_send(&p[i], (i + 1) % r->ranks, before[i]);
        bl_induced_start(&p[i], rule, i, r->ranks, words[i]);
        index[i][0] = p[i].index;
    }
    for (size_t k = 0; k < r->events; k++) {
        const bl_induced_event *e = &r->event[k];
        uint32_t now = 0;
        if (e->kind == BL_INDUCED_SEND) {
            uint32_t fresh[1 + 2 * RANKS];
            bl_induced_send(&p[e->rank], e->peer, fresh);
            memcpy(message[e->message], mistake == STALE ? before[e->rank] : fresh, sizeof fresh);
            memcpy(before[e->rank], fresh, sizeof fresh);
        } else if (e->kind == BL_INDUCED_RECEIVE && mistake != NOT_MERGED) {
            now = (uint32_t)bl_induced_receive(&p[e->rank], message[e->message]) && mistake != NOT_FORCED;
        } else if (e->kind == BL_INDUCED_CHECKPOINT) {
            t.basic++;
            last[e->rank]++;
            if (mistake != NOT_COUNTED)
                bl_induced_checkpoint(&p[e->rank]);
        }
        t.forced += now;
        last[e->rank] += now;
        interval[k] = last[e->rank] + (e->kind != BL_INDUCED_CHECKPOINT);
        if (now || e->kind == BL_INDUCED_CHECKPOINT)
            index[e->rank][last[e->rank]] = p[e->rank].index;
    }
    t.useless = count_useless(r, interval, last);
    if (rule == BL_INDUCED_BCS && mistake == NONE)
        t.orphans = lines_are_consistent(r, interval, last, index);
    return t;
}

/* The pure what-if gives what the rules give when each rank runs its own. */
static int same_as_what_if(const struct run *r, enum bl_induced_rule rule, const struct tally *t)
{
    static uint32_t words[WORDS];
    uint32_t interval[EVENTS], forced[RANKS], last[RANKS];
    if (bl_induced_run_words(rule, r->ranks, r->messages) > WORDS)
        return fail("more words than there should be");
    uint64_t all = bl_induced_run(rule, r->ranks, r->event, r->events, words, interval, forced, last), sum = 0, taken = 0;
    for (uint32_t i = 0; i < r->ranks; i++) {
        sum += forced[i];
        taken += last[i];
    }
    if (all != t->forced || sum != all || taken != all + t->basic || count_useless(r, interval, last) != t->useless)
        return fail("%s: what-if forces %llu, the ranks %llu", bl_induced_name(rule), (unsigned long long)all,
                    (unsigned long long)t->forced);
    return 0;
}

/* --- safe points only: the retroactive rule of BCS */

enum { STEPS = 4 * EVENTS };

struct points_run {
    struct run r;                    /* what happened, in its order; CHECKPOINT: a safe point */
    uint8_t saved[STEPS];            /* the safe point became a checkpoint, ... */
    uint32_t index[STEPS];           /* ... with this index, or higher than it had: the last one counts */
    uint32_t here[STEPS];            /* the receive has a checkpoint before it, with this index */
    uint32_t start[RANKS];           /* index of the start of the program */
    struct { uint64_t basic, promoted, now, deferred; } count;
};

struct points_rank {
    bl_induced_points p;
    size_t point;                    /* its last safe point (or receive that was one); EVENTS: the start */
    uint32_t held[EVENTS], holds;    /* messages that must wait for its next safe point */
};

static int deliver(struct points_run *t, struct points_rank *rank, uint32_t i, uint32_t message, uint32_t carried, int here)
{
    size_t k = t->r.events;
    switch (bl_induced_points_receive(&rank->p, carried, here)) {
    case BL_INDUCED_REFUSE: return 0;
    case BL_INDUCED_DELIVER: break;
    case BL_INDUCED_NOW:
        t->here[k] = carried;
        t->count.now++;
        rank->point = k;
        break;
    case BL_INDUCED_PROMOTE:
        t->count.promoted += rank->point < EVENTS && !t->saved[rank->point] && !t->here[rank->point];
        if (rank->point == EVENTS) {
            t->start[i] = carried;
        } else if (t->here[rank->point]) {
            t->here[rank->point] = carried;
        } else {
            t->saved[rank->point] = 1;
            t->index[rank->point] = carried;
        }
        break;
    }
    t->r.event[t->r.events++] = (bl_induced_event){BL_INDUCED_RECEIVE, i, 0, message};
    return 1;
}

static void safe_point(struct points_run *t, struct points_rank *rank, uint32_t i, int basic, const uint32_t *carried)
{
    size_t k = t->r.events++;
    bl_induced_points_safe(&rank->p, basic);
    t->r.event[k] = (bl_induced_event){BL_INDUCED_CHECKPOINT, i, 0, 0};
    t->saved[k] = (uint8_t)basic;
    t->index[k] = rank->p.index;
    t->count.basic += (uint64_t)basic;
    rank->point = k;
    for (uint32_t h = 0; h < rank->holds && t->r.events < EVENTS; h++)
        if (!deliver(t, rank, i, rank->held[h], carried[rank->held[h]], 0))
            abort(); /* nothing has been sent since */
    rank->holds = 0;
}

static void random_points(struct points_run *t)
{
    struct points_rank rank[RANKS];
    uint32_t open[EVENTS], to[EVENTS], carried[EVENTS], opened = 0, talk = 1 + below(5), points = 1 + below(4), declared = below(3);
    memset(t, 0, sizeof *t);
    memset(rank, 0, sizeof rank);
    t->r.ranks = 2 + below(RANKS - 1);
    for (uint32_t i = 0; i < t->r.ranks; i++) {
        bl_induced_points_start(&rank[i].p);
        rank[i].point = EVENTS;
        t->start[i] = rank[i].p.index;
    }
    for (uint32_t n = 4 * EVENTS; n > 0 && t->r.events < EVENTS; n--) {
        uint32_t what = below(2 * talk + points), i = below(t->r.ranks);
        if (what < talk) {
            uint32_t m = t->r.messages++;
            to[m] = (i + 1 + below(t->r.ranks - 1)) % t->r.ranks;
            carried[m] = bl_induced_points_send(&rank[i].p);
            t->r.event[t->r.events++] = (bl_induced_event){BL_INDUCED_SEND, i, to[m], m};
            open[opened++] = m;
        } else if (what < 2 * talk && opened > 0) {
            uint32_t k = below(opened), m = open[k];
            memmove(&open[k], &open[k + 1], (--opened - k) * sizeof open[0]);
            if (!deliver(t, &rank[to[m]], to[m], m, carried[m], below(4) < declared)) {
                rank[to[m]].held[rank[to[m]].holds++] = m;
                t->count.deferred++;
            }
        } else if (what >= 2 * talk) {
            safe_point(t, &rank[i], i, below(3) == 0, carried);
        }
    }
}

/* Numbers what became a checkpoint, and keeps each one's index. */
static void date(const struct points_run *t, uint32_t *interval, uint32_t *last, uint32_t index[RANKS][EVENTS + 1])
{
    for (uint32_t i = 0; i < t->r.ranks; i++)
        index[i][0] = t->start[i];
    for (size_t k = 0; k < t->r.events; k++) {
        const bl_induced_event *e = &t->r.event[k];
        int point = e->kind == BL_INDUCED_CHECKPOINT;
        if (point ? t->saved[k] : t->here[k] > 0)
            index[e->rank][++last[e->rank]] = point ? t->index[k] : t->here[k];
        interval[k] = last[e->rank] + 1;
    }
}

struct points_tally {
    uint64_t basic, promoted, now, deferred, receives, clean;
};

static int play_points(struct points_tally *sum)
{
    static struct points_run t;
    uint32_t interval[EVENTS], last[RANKS] = {0}, index[RANKS][EVENTS + 1] = {{0}};
    random_points(&t);
    date(&t, interval, last, index);
    sum->basic += t.count.basic;
    sum->promoted += t.count.promoted;
    sum->now += t.count.now;
    sum->deferred += t.count.deferred;
    sum->clean += t.count.deferred == 0;
    for (size_t k = 0; k < t.r.events; k++)
        sum->receives += t.r.event[k].kind == BL_INDUCED_RECEIVE;
    uint32_t useless = count_useless(&t.r, interval, last);
    return useless ? fail("safe points: %u useless checkpoints", useless) : lines_are_consistent(&t.r, interval, last, index);
}

/* --- the driver */

static void add(struct tally *sum, struct tally t)
{
    sum->basic += t.basic;
    sum->forced += t.forced;
    sum->useless += t.useless;
}

static int run_seed(uint64_t seed, struct tally *sum, struct tally (*wrong)[MISTAKES], struct points_tally *points)
{
    struct run r;
    current_seed = seed;
    state = seed * 0x2545f4914f6cdd1du + 1;
    random_run(&r);
    for (int rule = 0; rule < BL_INDUCED_RULES; rule++) {
        struct tally t = play(&r, (enum bl_induced_rule)rule, NONE);
        add(&sum[rule], t);
        if (rule != BL_INDUCED_NONE && t.useless)
            return fail("%s: %llu useless checkpoints", bl_induced_name((enum bl_induced_rule)rule), (unsigned long long)t.useless);
        if (t.orphans || same_as_what_if(&r, (enum bl_induced_rule)rule, &t))
            return 1;
        if (rule != BL_INDUCED_NONE && seed % 16 == 0)
            for (int mistake = NOT_FORCED; mistake < MISTAKES; mistake++)
                add(&wrong[rule][mistake], play(&r, (enum bl_induced_rule)rule, (enum mistake)mistake));
    }
    return play_points(points);
}

static int report(uint64_t count, const struct tally *sum, struct tally (*wrong)[MISTAKES], const struct points_tally *points)
{
    int bad = 0;
    printf("%llu traces, %llu basic checkpoints\n", (unsigned long long)count, (unsigned long long)sum[0].basic);
    for (int rule = 0; rule < BL_INDUCED_RULES; rule++)
        printf("  %-4s forces %9llu, leaves %7llu useless\n", bl_induced_name((enum bl_induced_rule)rule),
               (unsigned long long)sum[rule].forced, (unsigned long long)sum[rule].useless);
    printf("safe points only: %llu basic checkpoints, %llu promoted, %llu before a declared receive; %llu of %llu receives had "
           "to wait for a safe point (%llu traces without)\n", (unsigned long long)points->basic,
           (unsigned long long)points->promoted, (unsigned long long)points->now, (unsigned long long)points->deferred,
           (unsigned long long)points->receives, (unsigned long long)points->clean);
    if (count < 1000)
        return 0; /* too few to judge by */
    for (int rule = BL_INDUCED_BCS; rule < BL_INDUCED_RULES; rule++)
        for (int mistake = NOT_FORCED; mistake < MISTAKES; mistake++)
            /* FDAS that does not count basic checkpoints takes itself to have sent since the last: it forces the more. */
            if (wrong[rule][mistake].useless == 0 && !(rule == BL_INDUCED_FDAS && mistake == NOT_COUNTED)) {
                printf("%s: not noticed that %s\n", bl_induced_name((enum bl_induced_rule)rule), mistake_name[mistake]);
                bad = 1;
            }
    if (sum[BL_INDUCED_NONE].useless == 0 || sum[BL_INDUCED_HMNR].forced >= sum[BL_INDUCED_BCS].forced ||
        sum[BL_INDUCED_BCS].forced >= sum[BL_INDUCED_FDAS].forced) {
        printf("the rules do not compare as they should\n");
        bad = 1;
    }
    return bad;
}

int main(int argc, char **argv)
{
    static struct tally sum[BL_INDUCED_RULES], wrong[BL_INDUCED_RULES][MISTAKES];
    static struct points_tally points;
    uint64_t first = 1, count = SEEDS, failed = 0;
    for (int k = 1; k + 1 < argc; k += 2) {
        if (strcmp(argv[k], "--seed") == 0) {
            first = strtoull(argv[k + 1], NULL, 10);
            count = 1;
        } else if (strcmp(argv[k], "--count") == 0) {
            count = strtoull(argv[k + 1], NULL, 10);
        }
    }
    for (uint64_t n = 0; n < count && failed < 10; n++)
        failed += (uint64_t)run_seed(first + n, sum, wrong, &points);
    int bad = report(count, sum, wrong, &points);
    printf("%llu failed\n", (unsigned long long)failed);
    return bad || failed != 0;
}
