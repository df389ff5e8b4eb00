/* sim_msglog - processes under pessimistic, optimistic and causal message logging, killed at every point.
 *
 *     sim_msglog [PROGRAMS [FIRST-SEED]]
 *
 * A program is a seed: each process is deterministic between deliveries, what it sends follows from what it has delivered, and
 * the order in which messages of different senders come is chance.  For every program and rule it is run once without a
 * failure, then with a crash at every single step, and a few times with several crashes, of up to f processes at once.
 *
 * After every step what defines the rule is asserted, with DEP known from the runs themselves and not from the protocol:
 *
 *     pessimistic  a delivery that is not stable has at most one dependent: who made it
 *     causal       dependents of a delivery that is not stable hold its determinant, or f + 1 processes do; and when up to f
 *                  die at once, no survivor depends on a delivery that cannot be made again
 *     optimistic   when all is quiet nobody depends on what is gone
 *
 * And in the end, for all: everything sent was delivered once, in the order sent, with the contents that the sender would send
 * again.  Mutants of the rules have to be caught.  A failing seed is printed; run it again with `sim_msglog 1 SEED`.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/msglog.h"

enum { RANKS = 4, DELIVERIES = 96, MESSAGES = 64, COPIES = 256, LIVES = 24, TOKENS = 256, ACKS = 512, CRASHES = 3, STEPS = 4000 };

enum mutant { NONE, SENDS_AT_ONCE, STABLE_WHEN_ASKED, ACCEPTS_ALL, WAITS_FOR_NO_ROLLBACK, ROLLBACK_UNTOLD, END_OF_ONE_LIFE, NO_ROLLBACK, CARRIES_NOTHING,
              HELD_WHEN_SENT, ONE_COPY_LESS, NOTHING_TAKEN_OVER, ORDER_WITHOUT_MESSAGE, MUTANTS };
static const char *const mutant_name[] = {
    "none", "pessimistic: a send waits for nothing", "pessimistic: stable as soon as asked for", "optimistic: messages of orphans are delivered",
    "optimistic: messages are delivered before their rollback is known", "optimistic: a rollback is told to nobody",
    "optimistic: a rollback ends only the last incarnation",
    "optimistic: orphans stay", "causal: nothing rides on messages", "causal: held as soon as it is sent",
    "causal: one copy less", "causal: a restarted process is given only its own",
    "causal: a delivery is made again whose message is not sent again" };

typedef struct message {       /* what a sender keeps */
    uint64_t value;
    uint32_t rsn;              /* deliveries of the sender before it */
    uint32_t truth[RANKS];     /* deliveries of each that it depends on */
    bl_interval vector[RANKS];
    bl_copy carried[COPIES];
    uint32_t carries;
} message;

typedef struct state {         /* what follows from the deliveries alone */
    uint64_t hash;
    uint32_t ssn[RANKS], got[RANKS];
    uint32_t truth[RANKS];
} state;

typedef struct process {
    bl_msglog p;
    bl_interval vector[RANKS];
    uint32_t end[RANKS * LIVES];
    bl_copy copy[COPIES];
    state now;
    uint32_t released[RANKS];  /* of those: on their way */
    bl_hdr done[DELIVERIES + 1]; /* by delivery number */
    uint64_t value[DELIVERIES + 1];
    bl_interval before[DELIVERIES + 1][RANKS]; /* its vector after so many deliveries */
    bl_hdr again[DELIVERIES + 1]; /* to be delivered again, 1 to `repeat` */
    uint32_t repeat;
    bl_hdr durable[DELIVERIES + 1];
    uint32_t durables;
    message sent[RANKS][MESSAGES + 1]; /* last: what is not sent is not looked at, and not cleared */
} process;

typedef struct token { uint32_t to, from; bl_interval at; } token;  /* somebody has gone back */
typedef struct ack { uint32_t to, from; bl_hdr hdr; } ack;

static struct world {
    process p[RANKS];
    uint32_t ranks, f, limit;
    enum bl_msglog_rule rule;
    enum mutant mutant;
    uint64_t random, program;
    int stores;                /* of 8: how eager storage is */
    token token[TOKENS];
    uint32_t tokens;
    ack ack[ACKS];
    uint32_t acks;
    uint32_t steps, crashes;
    const char *wrong;
} w;

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

static uint32_t chance(uint32_t below)
{
    w.random += 0x9e3779b97f4a7c15u;
    return (uint32_t)(mix(w.random) % below);
}

static void wrong(const char *what)
{
    if (!w.wrong) w.wrong = what;
}

/* --- the program --- */

static void release(process *q)
{
    int waits = bl_msglog_must_wait(&q->p) && w.mutant != SENDS_AT_ONCE;
    for (uint32_t to = 0; to < w.ranks && !waits; to++) q->released[to] = q->now.ssn[to];
}

static void send(process *q, uint32_t to, uint64_t value)
{
    if (q->now.ssn[to] == MESSAGES) {
        wrong("more messages than the simulation has room for");
        return;
    }
    message *m = &q->sent[to][++q->now.ssn[to]];
    m->value = value;
    m->rsn = q->p.rsn;
    memcpy(m->truth, q->now.truth, sizeof m->truth);
    if (w.rule == BL_MSGLOG_OPTIMISTIC) memcpy(m->vector, q->vector, sizeof m->vector);
    m->carries = bl_msglog_carry(&q->p, to, m->carried);
    if (w.mutant == CARRIES_NOTHING) m->carries = 0;
    for (uint32_t i = 0; i < m->carries && w.mutant == HELD_WHEN_SENT; i++) bl_msglog_holds(&q->p, &m->carried[i].hdr, to);
}

static void act(process *q)
{
    uint64_t h = mix(q->now.hash ^ w.program);
    uint32_t sends = q->p.rsn == 0 ? 2 : q->p.rsn >= w.limit ? 0 : (uint32_t)(h % 3);
    for (uint32_t k = 0; k < sends; k++) {
        h = mix(h + k);
        send(q, (q->p.rank + 1 + (uint32_t)(h % (w.ranks - 1))) % w.ranks, h);
    }
    release(q);
}

/* --- deliveries --- */

static const message *head(const process *to, uint32_t from)
{
    const process *s = &w.p[from];
    uint32_t next = to->now.got[from] + 1;
    return from != to->p.rank && next <= s->released[to->p.rank] ? &s->sent[to->p.rank][next] : NULL;
}

static int may_deliver(const process *q, uint32_t from)
{
    const message *m = head(q, from);
    if (!m || q->p.rsn == DELIVERIES) return 0;
    if (q->p.rsn < q->repeat) { /* in the order of before */
        const bl_hdr *h = &q->again[q->p.rsn + 1];
        return h->source == from && h->ssn == q->now.got[from] + 1;
    }
    if (w.rule != BL_MSGLOG_OPTIMISTIC || w.mutant == ACCEPTS_ALL) return 1;
    enum bl_msglog_answer answer = bl_msglog_accept(&q->p, m->vector);
    return answer == BL_MSGLOG_DELIVER || (answer == BL_MSGLOG_WAIT && w.mutant == WAITS_FOR_NO_ROLLBACK);
}

static void deliver(process *q, uint32_t from)
{
    const message *m = head(q, from);
    bl_hdr hdr = bl_msglog_deliver(&q->p, from, ++q->now.got[from], m->rsn, m->vector, m->carried, m->carries);
    if (hdr.rsn == UINT32_MAX) {
        wrong("no room for determinants");
        return;
    }
    for (uint32_t i = 0; i < m->carries; i++)
        if (w.acks < ACKS) w.ack[w.acks++] = (ack){ from, q->p.rank, m->carried[i].hdr };
    if (q->p.rsn <= q->durables) bl_msglog_stable(&q->p, q->p.rank, q->p.rsn); /* done again: it is there already */
    for (uint32_t r = 0; r < w.ranks; r++)
        if (m->truth[r] > q->now.truth[r]) q->now.truth[r] = m->truth[r];
    q->now.truth[q->p.rank] = q->p.rsn;
    q->done[q->p.rsn] = hdr;
    q->value[q->p.rsn] = m->value;
    if (w.rule == BL_MSGLOG_OPTIMISTIC) memcpy(q->before[q->p.rsn], q->vector, sizeof q->vector);
    q->now.hash = mix(q->now.hash ^ m->value ^ from);
    if (w.mutant == STABLE_WHEN_ASKED) bl_msglog_stable(&q->p, q->p.rank, q->p.rsn);
    act(q);
}

static int may_store(const process *q)
{
    return q->durables < q->p.rsn;
}

static void store(process *q)
{
    q->durables++;
    q->durable[q->durables] = q->done[q->durables];
    bl_msglog_stable(&q->p, q->p.rank, q->durables);
    release(q);
    for (uint32_t r = 0; r < w.ranks && w.rule == BL_MSGLOG_CAUSAL && chance(2); r++) bl_msglog_stable(&w.p[r].p, q->p.rank, q->durables);
}

/* --- failures --- */

static void begin(process *q)
{
    memset(&q->now, 0, sizeof q->now);
    memset(q->released, 0, sizeof q->released);
    q->now.hash = mix(w.program + q->p.rank);
}

static void tell(uint32_t from, bl_interval at)
{
    for (uint32_t to = 0; to < w.ranks; to++)
        if (to != from && w.tokens < TOKENS) w.token[w.tokens++] = (token){ to, from, at };
        else if (to != from) wrong("more rollbacks than the simulation has room for");
}

static void go_back(process *q, uint32_t rsn, int died)
{
    bl_interval ended = bl_msglog_rollback(&q->p, q->before[rsn]);
    if (q->vector[q->p.rank].incarnation == LIVES) wrong("more rollbacks than the simulation has room for");
    memcpy(q->before[rsn], q->vector, sizeof q->vector);
    if (q->durables > rsn) q->durables = rsn;
    if (q->repeat > rsn) q->repeat = rsn;
    if (died || w.mutant != ROLLBACK_UNTOLD) tell(q->p.rank, ended);
}

/* Optimistic: state and log of a process after its first `rsn` deliveries, from the values it delivered. */
static void rebuild(process *q, uint32_t rsn)
{
    uint32_t all = rsn;
    bl_msglog kept = q->p;
    bl_interval vector[RANKS];
    memcpy(vector, q->vector, sizeof vector);
    begin(q);
    memcpy(q->vector, q->before[0], sizeof q->vector); /* what it sends again carries the vector of then */
    q->p.rsn = 0;
    act(q);
    for (uint32_t k = 1; k <= all; k++) {
        const bl_hdr *h = &q->done[k];
        q->p.rsn = k;
        memcpy(q->vector, q->before[k], sizeof q->vector);
        q->now.got[h->source] = h->ssn;
        q->now.truth[q->p.rank] = k;
        q->now.hash = mix(q->now.hash ^ q->value[k] ^ h->source);
        act(q);
    }
    q->p = kept;
    memcpy(q->vector, vector, sizeof vector);
    release(q);
}

static uint32_t not_orphaned(const process *q, uint32_t rsn)
{
    while (rsn > 0 && bl_msglog_orphan(&q->p, q->before[rsn])) rsn--;
    return rsn;
}

static void restart_optimistic(process *q)
{
    uint32_t rsn = not_orphaned(q, q->durables);
    q->repeat = 0;
    go_back(q, rsn, 1);
    rebuild(q, rsn);
}

static int among(uint32_t set, uint32_t rank)
{
    return (int)(set >> rank & 1);
}

/* How many of its deliveries can be made again: those that are stable, then those whose determinants a survivor holds. */
static uint32_t find_order(process *q)
{
    bl_hdr known[COPIES];
    uint32_t rsn = q->durables, count = bl_msglog_copies_of(&q->p, q->p.rank, known), found = 1;
    memcpy(q->again, q->durable, sizeof q->again);
    while (found) {
        found = 0;
        for (uint32_t i = 0; i < count && !found; i++)
            if (known[i].rsn == rsn + 1 && rsn < DELIVERIES) {
                q->again[++rsn] = known[i];
                found = 1;
            }
    }
    return rsn;
}

static void restart_others(uint32_t dead)
{
    const bl_hdr *order[RANKS] = { NULL };
    uint32_t known[RANKS] = { 0 };
    for (uint32_t r = 0; r < w.ranks; r++) {
        process *q = &w.p[r];
        if (!among(dead, r)) continue;
        bl_msglog_start(&q->p, w.rule, r, w.ranks, w.f - (w.mutant == ONE_COPY_LESS));
        for (uint32_t s = 0; s < w.ranks && w.rule == BL_MSGLOG_CAUSAL; s++) {
            if (among(dead, s)) continue;
            if (w.mutant != NOTHING_TAKEN_OVER) {
                if (bl_msglog_take_over(&q->p, &w.p[s].p)) wrong("no room for determinants");
                continue;
            }
            bl_hdr own[COPIES];
            uint32_t count = bl_msglog_copies_of(&w.p[s].p, r, own);
            for (uint32_t i = 0; i < count && q->p.copies < COPIES; i++) q->p.copy[q->p.copies++] = (bl_copy){ own[i], (uint64_t)1 << r };
        }
        known[r] = find_order(q);
        order[r] = q->again + 1;
    }
    if (w.mutant != ORDER_WITHOUT_MESSAGE) bl_msglog_possible(w.ranks, dead, order, known);
    for (uint32_t r = 0; r < w.ranks; r++) {
        process *q = &w.p[r];
        if (!among(dead, r)) continue;
        q->repeat = known[r];
        if (q->durables > q->repeat) q->durables = q->repeat;
        q->p.stable = w.rule == BL_MSGLOG_PESSIMISTIC ? q->durables : 0;
        begin(q);
        q->p.rsn = 0;
        act(q);
    }
    for (uint32_t p = 0; p < w.ranks; p++)
        for (uint32_t r = 0; r < w.ranks; r++)
            if (!among(dead, p) && among(dead, r) && w.p[p].now.truth[r] > w.p[r].repeat) wrong("a survivor is an orphan");
}

static void crash(uint32_t dead)
{
    uint32_t kept = 0;
    w.crashes++;
    for (uint32_t i = 0; i < w.acks; i++)
        if (!among(dead, w.ack[i].to) && !among(dead, w.ack[i].from)) w.ack[kept++] = w.ack[i];
    w.acks = kept;
    if (w.rule == BL_MSGLOG_OPTIMISTIC) {
        for (uint32_t r = 0; r < w.ranks; r++)
            if (among(dead, r)) restart_optimistic(&w.p[r]);
        return;
    }
    for (uint32_t p = 0; p < w.ranks; p++)
        for (uint32_t r = 0; r < w.ranks; r++)
            if (among(dead, r) && !among(dead, p)) bl_msglog_died(&w.p[p].p, r);
    restart_others(dead);
}

static void hear(token t)
{
    process *q = &w.p[t.to];
    if (w.mutant == END_OF_ONE_LIFE) q->end[t.from * LIVES + t.at.incarnation] = t.at.index;
    else bl_msglog_ended(&q->p, t.from, t.at);
    uint32_t rsn = not_orphaned(q, q->p.rsn);
    if (rsn == q->p.rsn || w.mutant == NO_ROLLBACK) return;
    go_back(q, rsn, 0);
    rebuild(q, rsn);
}

/* --- what has to hold --- */

static uint32_t holders_of(uint32_t rank, uint32_t rsn, uint32_t *who)
{
    uint32_t count = 0;
    *who = 0;
    for (uint32_t p = 0; p < w.ranks; p++) {
        int holds = p == rank && rsn <= w.p[p].repeat && w.p[p].p.rsn < rsn;
        for (uint32_t i = 0; i < w.p[p].p.copies && !holds; i++)
            holds = w.p[p].p.copy[i].hdr.dest == rank && w.p[p].p.copy[i].hdr.rsn == rsn;
        count += (uint32_t)holds;
        *who |= (uint32_t)holds << p;
    }
    return count;
}

static void look(void)
{
    for (uint32_t p = 0; p < w.ranks; p++)
        for (uint32_t r = 0; r < w.ranks; r++) {
            uint32_t unstable = w.p[r].durables + 1, depends = w.p[p].now.truth[r], who;
            if (w.rule == BL_MSGLOG_PESSIMISTIC && p != r && depends >= unstable) wrong("two depend on a delivery that is not stable");
            for (uint32_t rsn = unstable; w.rule == BL_MSGLOG_CAUSAL && rsn <= depends; rsn++)
                if (holders_of(r, rsn, &who) <= w.f && !among(who, p)) wrong("DEP is not within COPY");
        }
}

static void look_at_end(void)
{
    for (uint32_t p = 0; p < w.ranks; p++) {
        const process *q = &w.p[p];
        if (w.rule == BL_MSGLOG_OPTIMISTIC && bl_msglog_orphan(&q->p, q->vector)) wrong("an orphan is left");
        for (uint32_t from = 0; from < w.ranks; from++)
            if (from != p && q->now.got[from] != w.p[from].now.ssn[p]) wrong("a message was lost, or is one too many");
        for (uint32_t k = 1; k <= q->p.rsn; k++) {
            const bl_hdr *h = &q->done[k];
            if (h->ssn > w.p[h->source].now.ssn[p] || w.p[h->source].sent[p][h->ssn].value != q->value[k])
                wrong("a message was delivered that its sender does not send");
        }
    }
}

/* --- one run --- */

static void start(uint64_t seed, enum bl_msglog_rule rule, enum mutant mutant)
{
    for (uint32_t r = 0; r < RANKS; r++) memset(&w.p[r], 0, offsetof(process, sent));
    w.tokens = w.acks = w.steps = w.crashes = 0;
    w.wrong = NULL;
    w.rule = rule;
    w.mutant = mutant;
    w.program = mix(seed);
    w.random = w.program;
    w.ranks = 2 + chance(RANKS - 1);
    w.f = w.ranks > 2 ? 1 + chance(2) : 1;
    w.limit = 2 + chance(5);
    w.stores = (int)chance(9);
    for (uint32_t r = 0; r < w.ranks; r++) {
        process *q = &w.p[r];
        q->p = (bl_msglog){ .vector = q->vector, .end = q->end, .incarnations = LIVES, .copy = q->copy, .room = COPIES };
        bl_msglog_start(&q->p, rule, r, w.ranks, w.f - (mutant == ONE_COPY_LESS));
        begin(q);
    }
    for (uint32_t r = 0; r < w.ranks; r++) act(&w.p[r]);
}

/* 0: nothing is left to do. */
static int step(void)
{
    struct { uint8_t kind; uint32_t a, b; } can[RANKS * RANKS + RANKS + 2];
    uint32_t choices = 0;
    for (uint32_t p = 0; p < w.ranks; p++) {
        for (uint32_t from = 0; from < w.ranks; from++)
            if (may_deliver(&w.p[p], from)) can[choices].kind = 0, can[choices].a = p, can[choices++].b = from;
        if (may_store(&w.p[p]) && (int)chance(8) < w.stores) can[choices].kind = 1, can[choices++].a = p;
    }
    if (w.tokens) can[choices].kind = 2, can[choices++].a = chance(w.tokens);
    if (w.acks) can[choices].kind = 3, can[choices++].a = chance(w.acks);
    for (uint32_t p = 0; !choices && p < w.ranks; p++)
        if (may_store(&w.p[p])) can[choices].kind = 1, can[choices++].a = p;
    if (!choices) return 0;
    uint32_t k = chance(choices), a = can[k].a;
    if (can[k].kind == 0) deliver(&w.p[a], can[k].b);
    if (can[k].kind == 1) store(&w.p[a]);
    if (can[k].kind == 2) {
        token t = w.token[a];
        w.token[a] = w.token[--w.tokens];
        hear(t);
    }
    if (can[k].kind == 3) {
        bl_msglog_holds(&w.p[w.ack[a].to].p, &w.ack[a].hdr, w.ack[a].from);
        w.ack[a] = w.ack[--w.acks];
    }
    return 1;
}

static uint32_t victims(void)
{
    uint32_t dead = 0, many = 1 + chance(w.f);
    for (uint32_t k = 0; k < many; k++) dead |= 1u << chance(w.ranks);
    return dead;
}

/* Steps it took.  at: [CRASHES] numbers of steps before which there is a crash. */
static uint32_t run(uint64_t seed, enum bl_msglog_rule rule, enum mutant mutant, const uint32_t *at)
{
    start(seed, rule, mutant);
    for (;; w.steps++) {
        for (uint32_t k = 0; at && k < CRASHES && !w.wrong; k++)
            if (at[k] == w.steps) crash(victims());
        look();
        if (w.wrong || !step()) break;
        if (w.steps == STEPS) wrong("it does not come to an end");
    }
    if (!w.wrong) look_at_end();
    return w.steps;
}

static uint64_t schedules, deaths;

/* 0 when all went well. */
static int all_crashes(uint64_t seed, enum bl_msglog_rule rule, enum mutant mutant)
{
    static const char *const name[] = { "pessimistic", "optimistic", "causal" };
    uint32_t at[CRASHES] = { UINT32_MAX, UINT32_MAX, UINT32_MAX }, steps = run(seed, rule, mutant, NULL), more = 8;
    schedules++;
    for (uint32_t first = 0; !w.wrong && first <= steps + more; first++) {
        for (uint32_t k = 0; k < CRASHES; k++) at[k] = first <= steps ? (k ? UINT32_MAX : first) : (uint32_t)(mix(seed + first * 7 + k) % (steps + 1));
        run(seed, rule, mutant, at);
        schedules++;
        deaths += w.crashes;
    }
    if (w.wrong && mutant == NONE)
        printf("seed %llu, %s, %u ranks, f %u, crashes before steps %d %d %d: %s\n", (unsigned long long)seed, name[rule], w.ranks, w.f,
               (int)at[0], (int)at[1], (int)at[2], w.wrong);
    return w.wrong != NULL;
}

static int try_mutants(void)
{
    int missed = 0;
    for (enum mutant m = NONE + 1; m < MUTANTS; m++) {
        enum bl_msglog_rule rule = m <= STABLE_WHEN_ASKED ? BL_MSGLOG_PESSIMISTIC : m <= NO_ROLLBACK ? BL_MSGLOG_OPTIMISTIC : BL_MSGLOG_CAUSAL;
        uint64_t seed = 1;
        while (seed <= 3000 && !all_crashes(seed, rule, m)) seed++;
        printf("mutant: %s: %s%s\n", mutant_name[m], seed <= 3000 ? "caught: " : "NOT CAUGHT", seed <= 3000 ? w.wrong : "");
        missed += seed > 3000;
    }
    return missed;
}

int main(int argc, char **argv)
{
    uint64_t programs = argc > 1 ? strtoull(argv[1], NULL, 10) : 8000, first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int bad = 0;
    for (uint64_t seed = first; seed < first + programs && bad < 5; seed++)
        for (int rule = 0; rule < BL_MSGLOG_RULES; rule++) bad += all_crashes(seed, (enum bl_msglog_rule)rule, NONE);
    printf("%llu programs under 3 rules: %llu schedules, %llu crashes, %d wrong\n", (unsigned long long)programs,
           (unsigned long long)schedules, (unsigned long long)deaths, bad);
    if (argc <= 2) bad += try_mutants();
    return bad != 0;
}
