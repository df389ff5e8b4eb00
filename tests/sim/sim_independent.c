/* sim_independent - jobs whose ranks checkpoint on their own, die all at once at any moment, and restart from the line that
 * the counters in their checkpoints give: again and again, with garbage collected in between.
 *
 *     sim_independent [JOBS [FIRST-SEED]]
 *
 * The program of each rank is a fixed list of sends, receives, collectives and safe points; what it computes depends on every
 * value it receives.  After each restart the line is compared with the greatest of all cuts on which, by the positions in the
 * programs themselves, nothing is lost and nothing an orphan; in the end every rank must have computed what it computes
 * without failures.  Mutants of the rules have to be caught.  A failing seed is printed with what was wrong; run it again
 * with `sim_independent 1 SEED`.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line/history.h"

enum { RANKS = 4, OPS = 120, TAGS = 2, COMMS = 2, SAVED = 24, QUEUE = 256, CUTS = 4000 };

enum mutant { NONE, KEEP_UNDONE, COUNT_FROM_ZERO, COLLECT_THE_LINE, MUTANTS };
static const char *const mutant_name[] = { "none", "undone checkpoints are kept", "a restart counts from zero",
                                           "the line itself is collected" };

enum kind { SEND, RECEIVE, COLLECTIVE, SAFE };
typedef struct op { enum kind kind; uint32_t peer; int tag; unsigned comm; } op;

typedef struct counters {
    uint64_t sent[RANKS][TAGS], received[RANKS][TAGS], started[COMMS];
} counters;

typedef struct rank {
    uint32_t at;              /* next operation */
    uint64_t state;
    counters count;
} rank;

typedef struct saved { rank here; } saved;

typedef struct job {
    uint64_t random, seed;
    uint32_t ranks;
    enum mutant mutant;
    op program[RANKS][OPS];
    uint32_t ops[RANKS];
    uint8_t member[COMMS][RANKS];
    rank now[RANKS];
    uint64_t queue[RANKS][RANKS][TAGS][QUEUE];
    uint32_t head[RANKS][RANKS][TAGS], tail[RANKS][RANKS][TAGS];
    saved kept[RANKS][SAVED];
    uint32_t saves[RANKS];
    uint32_t floor[RANKS];    /* where the ranks stood on the last line: no later one is behind it */
    char wrong[200];
} job;

static uint64_t draw(job *j, uint64_t below)
{
    j->random = j->random * 6364136223846793005u + 1442695040888963407u;
    return (j->random >> 33) % below;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    a = (a ^ b) * 0x9e3779b97f4a7c15u;
    return a ^ (a >> 31);
}

/* --- a program that cannot deadlock: its operations are written down in an order in which they can happen --- */

static void add(job *j, uint32_t r, op o)
{
    if (j->ops[r] < OPS) j->program[r][j->ops[r]++] = o;
}

static int room(const job *j)
{
    for (uint32_t r = 0; r < j->ranks; r++)
        if (j->ops[r] > OPS - 8) return 0;
    return 1;
}

static void write_collective(job *j)
{
    unsigned c = (unsigned)draw(j, COMMS);
    for (uint32_t r = 0; r < j->ranks; r++)
        if (j->member[c][r]) add(j, r, (op){ COLLECTIVE, 0, 0, c });
}

static void write_program(job *j)
{
    uint32_t open[RANKS][RANKS][TAGS] = { 0 };
    for (unsigned c = 0; c < COMMS; c++)
        for (uint32_t r = 0; r < j->ranks; r++) j->member[c][r] = c == 0 || draw(j, 2);
    uint64_t calm = draw(j, 3);
    while (room(j)) {
        uint32_t a = (uint32_t)draw(j, j->ranks), b = (a + 1 + (uint32_t)draw(j, j->ranks - 1)) % j->ranks;
        int tag = (int)draw(j, TAGS);
        uint64_t what = draw(j, 20);
        if (what < 7) {
            add(j, a, (op){ SEND, b, tag, 0 });
            open[a][b][tag]++;
        } else if (what < 14) {
            if (!open[a][b][tag]) continue;
            add(j, b, (op){ RECEIVE, a, tag, 0 });
            open[a][b][tag]--;
        } else if (what < 15 + calm) {
            add(j, a, (op){ SAFE, 0, 0, 0 });
        } else if (what == 19 && draw(j, 3) == 0) {
            write_collective(j);
        }
    }
}

/* --- running it --- */

static int collective_ready(const job *j, const rank *me, unsigned c)
{
    for (uint32_t r = 0; r < j->ranks; r++) {
        const rank *other = &j->now[r];
        if (!j->member[c][r] || other->count.started[c] > me->count.started[c]) continue;
        int there = other->at < j->ops[r] && j->program[r][other->at].kind == COLLECTIVE && j->program[r][other->at].comm == c;
        if (!there || other->count.started[c] != me->count.started[c]) return 0;
    }
    return 1;
}

static void save(job *j, uint32_t r)
{
    if (j->saves[r] < SAVED) j->kept[r][j->saves[r]++].here = j->now[r];
}

/* One operation of rank r; 0 when it has to wait. */
static int step(job *j, uint32_t r, int saving)
{
    rank *me = &j->now[r];
    if (me->at == j->ops[r]) return 0;
    op o = j->program[r][me->at];
    if (o.kind == RECEIVE && j->head[o.peer][r][o.tag] == j->tail[o.peer][r][o.tag]) return 0;
    if (o.kind == COLLECTIVE && !collective_ready(j, me, o.comm)) return 0;
    me->at++;
    switch (o.kind) {
    case SEND:
        j->queue[r][o.peer][o.tag][j->tail[r][o.peer][o.tag]++ % QUEUE] = mix(me->state, me->at);
        me->count.sent[o.peer][o.tag]++;
        break;
    case RECEIVE:
        me->state = mix(me->state, j->queue[o.peer][r][o.tag][j->head[o.peer][r][o.tag]++ % QUEUE]);
        me->count.received[o.peer][o.tag]++;
        break;
    case COLLECTIVE:
        me->state = mix(me->state, me->count.started[o.comm]++);
        break;
    case SAFE:
        if (saving && draw(j, 3)) save(j, r);
        break;
    }
    return 1;
}

/* --- the line, by the counters and by the truth --- */

static uint64_t channel_id(int tag) { return 100 + (uint64_t)tag; }

static int record(const job *j, bl_history *h, uint32_t r, const counters *c, bl_error *err)
{
    bl_history_channel channel[RANKS * TAGS];
    bl_history_collective collective[COMMS];
    size_t channels = 0, collectives = 0;
    for (uint32_t p = 0; p < j->ranks; p++)
        for (int t = 0; t < TAGS; t++)
            if (c->sent[p][t] || c->received[p][t])
                channel[channels++] = (bl_history_channel){ channel_id(t), p, t, c->sent[p][t], c->received[p][t] };
    for (unsigned k = 0; k < COMMS; k++) {
        uint32_t size = 0;
        for (uint32_t m = 0; m < j->ranks; m++) size += j->member[k][m];
        if (c->started[k]) collective[collectives++] = (bl_history_collective){ 7 + k, c->started[k], size };
    }
    return bl_history_checkpoint(h, r, channel, channels, collective, collectives, err);
}

static uint32_t position(const job *j, uint32_t r, uint32_t c)
{
    return c ? j->kept[r][c - 1].here.at : 0;
}

static int solve(job *j, uint32_t *cut)
{
    bl_history *h = NULL;
    bl_graph *graph = NULL;
    bl_line line = { 0 };
    bl_error err = { 0, "" };
    int rc = bl_history_new(j->ranks, &h, &err);
    for (uint32_t r = 0; rc == BELAY_OK && r < j->ranks; r++)
        for (uint32_t k = 0; rc == BELAY_OK && k < j->saves[r]; k++) rc = record(j, h, r, &j->kept[r][k].here.count, &err);
    if (rc == BELAY_OK) rc = bl_history_graph(h, &graph, &err);
    if (rc == BELAY_OK) rc = bl_line_solve(graph, BL_LINE_TRANSITLESS, NULL, &line, &err);
    if (rc == BELAY_OK) rc = bl_line_check(graph, BL_LINE_TRANSITLESS, NULL, &line, &err);
    if (rc == BELAY_OK) memcpy(cut, line.cut, sizeof *cut * j->ranks);
    else snprintf(j->wrong, sizeof j->wrong, "no line: %.180s", err.text);
    bl_line_clear(&line);
    if (graph) bl_graph_free(graph);
    bl_history_free(h);
    return rc;
}

static int line_of(job *j, uint32_t *cut)
{
    if (solve(j, cut)) return -1;
    for (uint32_t r = 0; r < j->ranks; r++) {
        uint32_t here = position(j, r, cut[r]);
        if (here < j->floor[r]) {
            snprintf(j->wrong, sizeof j->wrong, "the line of rank %u has gone back from operation %u to %u", r, j->floor[r], here);
            return -1;
        }
        j->floor[r] = here;
    }
    return 0;
}

/* Operations of this kind with this peer and tag before a position: the truth needs no counters. */
static unsigned before(const job *j, uint32_t r, uint32_t at, enum kind kind, uint32_t peer, int tag, unsigned comm)
{
    unsigned count = 0;
    for (uint32_t k = 0; k < at; k++) {
        const op *o = &j->program[r][k];
        count += o->kind == kind && (kind == COLLECTIVE ? o->comm == comm : o->peer == peer && o->tag == tag);
    }
    return count;
}

static int agrees(const job *j, const uint32_t *at)
{
    for (uint32_t a = 0; a < j->ranks; a++)
        for (uint32_t b = 0; b < j->ranks; b++)
            for (int t = 0; t < TAGS && a != b; t++)
                if (before(j, a, at[a], SEND, b, t, 0) != before(j, b, at[b], RECEIVE, a, t, 0)) return 0;
    for (unsigned c = 0; c < COMMS; c++) {
        int64_t seen = -1;
        for (uint32_t r = 0; r < j->ranks; r++) {
            if (!j->member[c][r]) continue;
            int64_t here = before(j, r, at[r], COLLECTIVE, 0, 0, c);
            if (seen >= 0 && here != seen) return 0;
            seen = here;
        }
    }
    return 1;
}

/* 0 when there are too many cuts to try them all. */
static int brute_force(const job *j, uint32_t *best)
{
    uint64_t cuts = 1;
    for (uint32_t r = 0; r < j->ranks; r++) cuts *= j->saves[r] + 1;
    if (cuts > CUTS) return 0;
    memset(best, 0, sizeof *best * j->ranks);
    for (uint64_t n = 0; n < cuts; n++) {
        uint32_t cut[RANKS], at[RANKS];
        uint64_t rest = n;
        for (uint32_t r = 0; r < j->ranks; r++) {
            cut[r] = (uint32_t)(rest % (j->saves[r] + 1));
            rest /= j->saves[r] + 1;
            at[r] = position(j, r, cut[r]);
        }
        if (!agrees(j, at)) continue;
        for (uint32_t r = 0; r < j->ranks; r++)
            if (cut[r] > best[r]) best[r] = cut[r]; /* good cuts are closed under the maximum */
    }
    return 1;
}

typedef struct tally { uint64_t restarts, compared, dominoes, collected; } tally;

static int restart(job *j, tally *t)
{
    uint32_t cut[RANKS], best[RANKS], zero = 0, had = 0;
    if (line_of(j, cut)) return -1;
    if (brute_force(j, best)) {
        t->compared++;
        if (memcmp(cut, best, sizeof *cut * j->ranks)) {
            snprintf(j->wrong, sizeof j->wrong, "the line is %u %u ..., the greatest cut without a crossing message %u %u ...",
                     cut[0], cut[1], best[0], best[1]);
            return -1;
        }
    }
    t->restarts++;
    memset(j->head, 0, sizeof j->head);
    memset(j->tail, 0, sizeof j->tail);
    for (uint32_t r = 0; r < j->ranks; r++) {
        zero += cut[r] == 0;
        had += j->saves[r] > 0;
        j->now[r] = cut[r] ? j->kept[r][cut[r] - 1].here : (rank){ .state = r + 1 };
        if (j->mutant == COUNT_FROM_ZERO) memset(&j->now[r].count, 0, sizeof j->now[r].count);
        if (j->mutant != KEEP_UNDONE) j->saves[r] = cut[r];
    }
    t->dominoes += zero == j->ranks && had == j->ranks;
    return 0;
}

static int collect(job *j, tally *t)
{
    uint32_t cut[RANKS];
    if (line_of(j, cut)) return -1;
    for (uint32_t r = 0; r < j->ranks; r++) {
        uint32_t drop = cut[r] ? cut[r] - 1 : 0;
        if (j->mutant == COLLECT_THE_LINE && cut[r] < j->saves[r]) drop = cut[r];
        memmove(j->kept[r], j->kept[r] + drop, sizeof *j->kept[r] * (j->saves[r] - drop));
        j->saves[r] -= drop;
        t->collected += drop;
    }
    return 0;
}

static int done(const job *j)
{
    for (uint32_t r = 0; r < j->ranks; r++)
        if (j->now[r].at < j->ops[r]) return 0;
    return 1;
}

/* Some receives of the program may have no send (it was cut short), so a rank may rightly wait in the end. */
static int run_on(job *j, int saving, uint64_t steps)
{
    for (unsigned idle = 0; steps > 0 && idle < 64 * RANKS; steps--) {
        uint32_t r = (uint32_t)draw(j, j->ranks);
        idle = step(j, r, saving) ? 0 : idle + 1;
    }
    return done(j);
}

static void begin(job *j)
{
    for (uint32_t r = 0; r < j->ranks; r++) j->now[r] = (rank){ .state = r + 1 };
    memset(j->head, 0, sizeof j->head);
    memset(j->tail, 0, sizeof j->tail);
}

/* 0 when all went well. */
static int one_job(uint64_t seed, enum mutant mutant, tally *t, char *wrong, size_t size)
{
    static job j;
    memset(&j, 0, sizeof j);
    j.random = j.seed = seed;
    j.mutant = mutant;
    j.ranks = 2 + (uint32_t)draw(&j, RANKS - 1);
    write_program(&j);
    begin(&j);
    run_on(&j, 0, UINT64_MAX);
    uint64_t calm[RANKS];
    for (uint32_t r = 0; r < j.ranks; r++) calm[r] = j.now[r].state;
    begin(&j);
    int bad = 0;
    for (int failures = 0; failures < 6 && !bad; failures++) {
        run_on(&j, 1, 1 + draw(&j, 3 * OPS));
        if (draw(&j, 2)) bad = collect(&j, t);
        if (!bad && draw(&j, 3)) {
            run_on(&j, 1, draw(&j, OPS));
            bad = restart(&j, t);
        }
    }
    if (!bad) {
        run_on(&j, 1, UINT64_MAX);
        for (uint32_t r = 0; r < j.ranks; r++) {
            if (j.now[r].state == calm[r]) continue;
            snprintf(j.wrong, sizeof j.wrong, "rank %u has computed something else than without failures", r);
            bad = -1;
        }
    }
    snprintf(wrong, size, "%s", j.wrong);
    return bad;
}

int main(int argc, char **argv)
{
    uint64_t jobs = argc > 1 ? strtoull(argv[1], NULL, 10) : 30000, first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    tally t = { 0 };
    char wrong[200];
    for (uint64_t seed = first; seed < first + jobs; seed++) {
        if (!one_job(seed, NONE, &t, wrong, sizeof wrong)) continue;
        printf("seed %llu: %s\n", (unsigned long long)seed, wrong);
        return 1;
    }
    printf("%llu jobs, %llu restarts (%llu back to the start), %llu lines compared with all cuts, %llu checkpoints collected\n",
           (unsigned long long)jobs, (unsigned long long)t.restarts, (unsigned long long)t.dominoes,
           (unsigned long long)t.compared, (unsigned long long)t.collected);
    if (argc > 1) return 0;
    if (!t.compared || !t.dominoes || !t.collected || t.dominoes == t.restarts) {
        printf("the jobs are too much alike to show anything\n");
        return 1;
    }
    for (enum mutant m = NONE + 1; m < MUTANTS; m++) {
        tally ignored = { 0 };
        uint64_t seed = 1;
        while (seed <= 20000 && !one_job(seed, m, &ignored, wrong, sizeof wrong)) seed++;
        if (seed > 20000) {
            printf("mutant not caught: %s\n", mutant_name[m]);
            return 1;
        }
        printf("mutant caught at seed %llu: %s\n", (unsigned long long)seed, mutant_name[m]);
    }
    return 0;
}
