/* sim_depend - jobs with logging=optimistic and logging=causal as the library runs them (src/mpi/depend.h): whom a receive from anybody
 * was matched with is forced some time later, messages carry what their senders depend on, and when nodes lose power what
 * they had not forced is gone; all ranks are started again from what the journals have left.
 *
 *     sim_depend [JOBS [FIRST-SEED]]
 *
 * Losses come at every step, also while a restart has settled the journals of some ranks and not of others.  In the end both ends
 * of every channel have to have seen the same messages, once and in order; with causal logging and no more losses at once than it
 * was asked for, nobody may have been undone.  Mutants of the rules have to be caught.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line/intervals.h"
#include "protocol/msglog.h"

enum { RANKS = 4, OPS = 120, MESSAGES = 64, KEPT = 2, KEEPS = 40, LOSSES = 5, NEWS = 64, ANYBODY = 99, ENTRIES = 1500, COPIES = 256, FLIGHT = 2 * MESSAGES };

enum mutant { NONE, NOT_LEARNT, NEEDS_NOT_LOGGED, SENT_NOT_UNDONE, CHECKPOINT_NOT_UNDONE, UNSETTLED_IS_COLLECTED, COPIES_NOT_LOGGED, CARRIED_IS_HELD,
              NOT_ADOPTED, MUTANTS };
static const char *const mutant_name[] = {
    "none", "what a message carries is not learnt", "what a state needs is not in the journal", "what an orphan has sent stays in its journal",
    "an orphan's checkpoint is restored", "a checkpoint that may be undone lets older ones go", "copies of determinants are not in the journal",
    "a determinant counts as held when it is sent", "what others hold of a rank is not given back to it" };

enum kind { SEND, RECEIVE, SAFE };
typedef struct op { enum kind kind; uint32_t peer; } op;

typedef struct rank {          /* what a checkpoint holds */
    uint32_t at, number;       /* next operation; of the checkpoint */
    uint64_t state;
    uint32_t sent[RANKS], received[RANKS];
    uint64_t sent_hash[RANKS], received_hash[RANKS];
} rank;
typedef struct keep { rank is; uint32_t begins, needs[RANKS]; } keep; /* begins: entry its events begin at */

enum what { DECIDED, NEEDS, HELD, CHECKPOINT };
typedef struct entry {         /* of the journal "events" */
    enum what what;
    uint32_t rank, number;     /* decided: number; needs, held: of whom */
    uint32_t at, from;         /* of a decision: operation, and whom it was matched with */
    int old, gone;             /* of a life that is settled; collected */
} entry;
typedef struct sent { uint64_t value; uint32_t number, to, vector[RANKS]; int old, there; } sent;
typedef struct message { uint64_t value; uint32_t vector[RANKS], stable, copies; bl_copy copy[COPIES]; entry what[COPIES]; } message;
typedef struct news { uint32_t from, to, received, stable; } news;

static struct job {
    uint32_t ranks, f, life;
    enum bl_msglog_rule rule;
    enum mutant mutant;
    uint64_t random;
    op program[RANKS][OPS];
    uint32_t ops[RANKS];
    rank now[RANKS];
    keep kept[RANKS][KEEPS];
    uint32_t kepts[RANKS], numbers[RANKS];
    entry event[RANKS][ENTRIES];
    uint32_t events[RANKS], forced[RANKS], known[RANKS]; /* known: operations that were done before a restart, and decided */
    sent log[RANKS][ENTRIES];
    uint32_t logs[RANKS], log_forced[RANKS];
    bl_msglog p[RANKS];
    bl_interval vector[RANKS][RANKS];
    bl_copy copy[RANKS][COPIES];
    entry what[RANKS][COPIES]; /* of copy */
    uint32_t stable[RANKS][RANKS];
    uint32_t until[RANKS][RANKS], fed[RANKS][RANKS];
    message flight[RANKS][RANKS][FLIGHT];
    uint32_t head[RANKS][RANKS], tail[RANKS][RANKS];
    news news[NEWS];
    uint32_t newses;
    const char *wrong;
} j;

static uint64_t losses, undone, adopted;

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
    j.random += 0x9e3779b97f4a7c15u;
    return (uint32_t)(mix(j.random) % below);
}

static void wrong(const char *what)
{
    if (!j.wrong) j.wrong = what;
}

/* Sends come before their receives in one order of all, so it cannot deadlock; a rank receives from anybody always or never. */
static void write_program(void)
{
    uint32_t messages = 8 + chance(60), anybody = chance(1u << RANKS);
    for (uint32_t k = 0; k < messages; k++) {
        uint32_t from = chance(j.ranks), to = (from + 1 + chance(j.ranks - 1)) % j.ranks;
        if (j.ops[from] + 2 >= OPS || j.ops[to] + 2 >= OPS) break;
        j.program[from][j.ops[from]++] = (op){ SEND, to };
        j.program[to][j.ops[to]++] = (op){ RECEIVE, anybody >> to & 1 ? ANYBODY : from };
        if (chance(3) == 0) {
            uint32_t r = chance(2) ? from : to;
            j.program[r][j.ops[r]++] = (op){ SAFE, 0 };
        }
    }
}

/* --- the journal and the protocol --- */

static void append(uint32_t r, entry e)
{
    if (j.events[r] == ENTRIES) wrong("the simulation has no room for so many events");
    else j.event[r][j.events[r]++] = e;
}

static void now_stable(uint32_t r, uint32_t of, uint32_t number)
{
    bl_msglog *p = &j.p[r];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->copies; i++)
        if (p->copy[i].hdr.dest != of || p->copy[i].hdr.rsn > number) j.what[r][kept++] = j.what[r][i];
    bl_msglog_stable(p, of, number);
    if (number > j.stable[r][of]) j.stable[r][of] = number;
}

static void force(uint32_t r)
{
    j.forced[r] = j.events[r];
    now_stable(r, r, j.p[r].rsn);
}

static void append_needs(uint32_t r)
{
    for (uint32_t q = 0; q < j.ranks && j.mutant != NEEDS_NOT_LOGGED; q++)
        if (q != r && j.vector[r][q].index > j.stable[r][q]) append(r, (entry){ NEEDS, q, j.vector[r][q].index, 0, 0, 0, 0 });
}

static void decide(uint32_t r, uint32_t from)
{
    entry e = { DECIDED, r, 0, j.now[r].at, from, 0, 0 };
    e.number = bl_msglog_decide(&j.p[r], from, 0, 0).rsn;
    if (j.rule == BL_MSGLOG_CAUSAL) j.what[r][j.p[r].copies - 1] = e;
    append(r, e);
}

static void learn(uint32_t r, uint32_t from, const message *m)
{
    bl_msglog *p = &j.p[r];
    bl_interval vector[RANKS];
    int more = 0;
    if (m->stable > j.stable[r][from]) now_stable(r, from, m->stable);
    for (uint32_t q = 0; q < j.ranks; q++) {
        vector[q] = (bl_interval){ 0, m->vector[q] };
        more |= q != r && m->vector[q] > p->vector[q].index;
    }
    for (uint32_t i = 0; i < p->copies; i++)
        if (p->copy[i].hdr.dest == r && p->copy[i].hdr.rsn <= m->vector[r]) bl_msglog_holds(p, &p->copy[i].hdr, from);
    uint32_t before = p->copies;
    if (j.mutant != NOT_LEARNT && bl_msglog_learn(p, vector, m->copy, m->copies)) wrong("more copies than the simulation has room for");
    if (more) append_needs(r);
    for (uint32_t k = 0; k < m->copies && before < p->copies; k++) {
        if (m->copy[k].hdr.dest != p->copy[before].hdr.dest || m->copy[k].hdr.rsn != p->copy[before].hdr.rsn) continue;
        j.what[r][before++] = m->what[k];
        if (j.mutant == COPIES_NOT_LOGGED) continue;
        append(r, (entry){ HELD, m->what[k].rank, m->what[k].number, m->what[k].at, m->what[k].from, 0, 0 });
    }
}

static void load(uint32_t r, uint32_t to, message *m)
{
    bl_msglog *p = &j.p[r];
    m->stable = p->stable;
    for (uint32_t q = 0; q < j.ranks; q++) m->vector[q] = p->vector[q].index;
    m->copies = bl_msglog_carry(p, to, m->copy);
    for (uint32_t k = 0, i = 0; k < m->copies; k++, i++) {
        while (p->copy[i].hdr.dest != m->copy[k].hdr.dest || p->copy[i].hdr.rsn != m->copy[k].hdr.rsn) i++;
        m->what[k] = j.what[r][i];
        if (j.mutant == CARRIED_IS_HELD) bl_msglog_holds(p, &m->copy[k].hdr, to);
    }
}

/* --- one operation --- */

static sent *logged(uint32_t from, uint32_t to, uint32_t number)
{
    for (uint32_t k = 0; k < j.logs[from]; k++)
        if (j.log[from][k].to == to && j.log[from][k].number == number) return &j.log[from][k];
    return NULL;
}

static void log_sent(uint32_t r, const sent *s)
{
    if (j.logs[r] == ENTRIES) wrong("the simulation has no room for so many messages");
    else j.log[r][j.logs[r]++] = *s;
}

static void send(uint32_t r, uint32_t to)
{
    rank *n = &j.now[r];
    uint32_t number = ++n->sent[to];
    uint64_t value = mix(n->state + number);
    n->sent_hash[to] = mix(n->sent_hash[to] ^ value);
    sent s = { .value = value, .number = number, .to = to, .there = 1 };
    if (number <= j.until[r][to]) {
        const sent *was = logged(r, to, number);
        if (was && was->there && was->value != value) wrong("a rank sends something else than it did");
        if (!was) log_sent(r, &s); /* only the receiver's checkpoint has it */
        return;
    }
    if (j.tail[r][to] == FLIGHT) {
        wrong("too much under way");
        return;
    }
    message *m = &j.flight[r][to][j.tail[r][to]++];
    m->value = value;
    load(r, to, m);
    memcpy(s.vector, m->vector, sizeof s.vector);
    log_sent(r, &s);
}

static int is_fed(uint32_t r, uint32_t from)
{
    return j.now[r].received[from] + 1 <= j.fed[from][r];
}

static int is_there(uint32_t r, uint32_t from)
{
    return is_fed(r, from) || j.head[from][r] < j.tail[from][r];
}

static const entry *matched(uint32_t r, uint32_t at)
{
    for (uint32_t k = 0; k < j.events[r]; k++)
        if (!j.event[r][k].gone && j.event[r][k].what == DECIDED && j.event[r][k].at == at) return &j.event[r][k];
    return NULL;
}

static int from_whom(uint32_t r, uint32_t peer, uint32_t *from, int *decided)
{
    const entry *was = peer == ANYBODY ? matched(r, j.now[r].at) : NULL;
    *decided = peer == ANYBODY && !was;
    *from = was ? was->from : peer;
    if (!*decided) return is_there(r, *from);
    uint32_t first = chance(j.ranks);
    for (uint32_t k = 0; k < j.ranks; k++) {
        *from = (first + k) % j.ranks;
        if (*from != r && is_there(r, *from)) return 1;
    }
    return 0;
}

static void receive(uint32_t r, uint32_t from, int decided)
{
    rank *n = &j.now[r];
    uint32_t number = n->received[from] + 1;
    const sent *s = is_fed(r, from) ? logged(from, r, number) : NULL;
    const message *m = s ? NULL : &j.flight[from][r][j.head[from][r]++];
    uint64_t value = s ? s->value : m->value;
    if (m) learn(r, from, m);
    if (decided) decide(r, from);
    n->received[from]++;
    n->received_hash[from] = mix(n->received_hash[from] ^ value);
    n->state = mix(n->state ^ value ^ from);
}

static int settled(uint32_t r, const keep *k)
{
    for (uint32_t q = 0; q < j.ranks && j.mutant != UNSETTLED_IS_COLLECTED; q++)
        if (k->needs[q] > j.stable[r][q]) return 0;
    return 1;
}

static void older_go(uint32_t r)
{
    while (j.kepts[r] > KEPT && settled(r, &j.kept[r][1])) {
        memmove(&j.kept[r][0], &j.kept[r][1], sizeof j.kept[r][0] * --j.kepts[r]);
        /* A checkpoint taken while a rank repeats does not have all that was decided before. */
        for (uint32_t k = 0; k < j.kept[r][0].begins; k++)
            if (!j.event[r][k].old || j.kept[r][0].is.at >= j.known[r]) j.event[r][k].gone = 1;
        for (uint32_t from = 0; from < j.ranks; from++)
            if (from != r && j.newses < NEWS) j.news[j.newses++] = (news){ r, from, j.kept[r][0].is.received[from], 0 };
    }
}

static void checkpoint(uint32_t r)
{
    if (j.kepts[r] == KEEPS) return;
    keep *k = &j.kept[r][j.kepts[r]++];
    *k = (keep){ .is = j.now[r], .begins = j.events[r] };
    k->is.number = ++j.numbers[r];
    append(r, (entry){ CHECKPOINT, r, k->is.number, j.p[r].rsn, 0, 0, 0 });
    force(r);
    j.log_forced[r] = j.logs[r];
    for (uint32_t q = 0; q < j.ranks; q++) k->needs[q] = j.vector[r][q].index;
    older_go(r);
    for (uint32_t q = 0; q < j.ranks; q++)
        if (q != r && j.newses < NEWS) j.news[j.newses++] = (news){ r, q, 0, j.p[r].stable };
}

static void hear(news n)
{
    for (uint32_t k = 0; k < j.logs[n.to]; k++)
        if (j.log[n.to][k].to == n.from && j.log[n.to][k].number <= n.received) j.log[n.to][k].there = 0;
    if (!n.stable) return;
    if (n.stable > j.stable[n.to][n.from]) now_stable(n.to, n.from, n.stable);
    older_go(n.to);
}

static int can(uint32_t r)
{
    uint32_t from;
    int decided;
    if (j.now[r].at == j.ops[r]) return 0;
    const op *o = &j.program[r][j.now[r].at];
    return o->kind != RECEIVE || from_whom(r, o->peer, &from, &decided);
}

static void act(uint32_t r)
{
    uint32_t from;
    int decided;
    const op *o = &j.program[r][j.now[r].at];
    if (o->kind == SEND) send(r, o->peer);
    if (o->kind == RECEIVE) {
        if (!from_whom(r, o->peer, &from, &decided)) return;
        receive(r, from, decided);
    }
    j.now[r].at++;
    if (o->kind == SAFE && chance(2)) checkpoint(r);
}

/* --- nodes lose power, and all are started again --- */

static bl_step step[RANKS][ENTRIES];
static uint32_t place[RANKS][ENTRIES]; /* entry of the step */

static void lose(uint32_t r)
{
    j.events[r] = j.forced[r];
    j.logs[r] = j.log_forced[r];
}

static uint32_t read_steps(uint32_t r)
{
    static const enum bl_step_kind kind[] = { BL_STEP_DECIDED, BL_STEP_NEEDS, BL_STEP_HOLDS, BL_STEP_DECIDED };
    uint32_t count = 0;
    for (uint32_t k = 0; k < j.events[r]; k++) {
        const entry *e = &j.event[r][k];
        if (e->old || e->gone) continue;
        place[r][count] = k;
        step[r][count++] = (bl_step){ kind[e->what], e->rank, e->what == CHECKPOINT ? e->at : e->number };
    }
    return count;
}

static void adopt(uint32_t r, uint32_t from, uint32_t to, const uint32_t *good)
{
    for (uint32_t number = from + 1; number <= to && j.mutant != NOT_ADOPTED; number++)
        for (uint32_t q = 0, found = 0; q < j.ranks && !found; q++)
            for (uint32_t i = 0; i < good[q] && !found; i++) {
                if (step[q][i].kind != BL_STEP_HOLDS || step[q][i].rank != r || step[q][i].number != number) continue;
                entry e = j.event[q][place[q][i]];
                append(r, (entry){ DECIDED, r, 0, e.at, e.from, 0, 0 });
                adopted++;
                found = 1;
            }
}

static void settle(uint32_t r, const uint32_t *counts, const uint32_t *good, const uint32_t *known)
{
    uint32_t own = 0, logs = 0;
    for (uint32_t i = 0; i < good[r]; i++)
        if (step[r][i].kind == BL_STEP_DECIDED && step[r][i].number > own) own = step[r][i].number;
    if (good[r] < counts[r]) {
        j.events[r] = place[r][good[r]];
        undone++;
    }
    for (; logs < j.logs[r]; logs++) {
        int gone = 0;
        for (uint32_t q = 0; q < j.ranks && !j.log[r][logs].old; q++) gone |= j.log[r][logs].vector[q] > known[q];
        if (gone) break;
    }
    if (j.mutant != SENT_NOT_UNDONE) j.logs[r] = logs;
    adopt(r, own, known[r], good);
    j.forced[r] = j.events[r];
    j.log_forced[r] = j.logs[r];
}

/* A rank that has settled and dies before all have: what was adopted came to nothing, what was taken away stays so. */
static void recover(uint32_t lost)
{
    uint32_t counts[RANKS], known[RANKS], good[RANKS], before[RANKS];
    const bl_step *steps[RANKS];
    for (;;) {
        for (uint32_t r = 0; r < j.ranks; r++) {
            counts[r] = read_steps(r);
            steps[r] = step[r];
        }
        bl_line_intervals(j.ranks, steps, counts, known, good);
        for (uint32_t r = 0; r < j.ranks; r++)
            if (j.rule == BL_MSGLOG_CAUSAL && lost <= j.f && good[r] < counts[r]) wrong("somebody was undone though copies were enough");
        if (chance(8) || lost > RANKS) break;
        uint32_t some = chance(j.ranks);
        for (uint32_t r = 0; r < some; r++) {
            settle(r, counts, good, known);
            before[r] = 0;
            while (before[r] < j.events[r] && !(j.event[r][before[r]].what == DECIDED && j.event[r][before[r]].number == 0 && !j.event[r][before[r]].old)) before[r]++;
            j.events[r] = j.forced[r] = before[r]; /* adopted */
        }
        lose(chance(j.ranks));
        lost = RANKS + 1; /* more than was asked for, perhaps */
    }
    for (uint32_t r = 0; r < j.ranks; r++) settle(r, counts, good, known);
}

static void begin(uint32_t r)
{
    j.p[r] = (bl_msglog){ .vector = j.vector[r], .copy = j.copy[r], .room = COPIES };
    bl_msglog_start(&j.p[r], j.rule, r, j.ranks, j.f);
    memset(j.stable[r], 0, sizeof j.stable[r]);
    j.known[r] = 0;
    for (uint32_t k = 0; k < j.events[r]; k++) {
        entry *e = &j.event[r][k];
        e->old = 1;
        if (!e->gone && e->what == DECIDED && e->at + 1 > j.known[r]) j.known[r] = e->at + 1;
    }
    for (uint32_t k = 0; k < j.logs[r]; k++) j.log[r][k].old = 1;
}

static int knows(uint32_t r, uint32_t number)
{
    for (uint32_t k = 0; k < j.events[r]; k++)
        if (j.event[r][k].what == CHECKPOINT && j.event[r][k].number == number) return 1;
    return j.mutant == CHECKPOINT_NOT_UNDONE;
}

static void restart(uint32_t lost)
{
    memset(j.head, 0, sizeof j.head);
    memset(j.tail, 0, sizeof j.tail);
    j.newses = 0;
    recover(lost);
    for (uint32_t r = 0; r < j.ranks; r++) {
        begin(r);
        while (j.kepts[r] && !knows(r, j.kept[r][j.kepts[r] - 1].is.number)) j.kepts[r]--;
        if (j.kepts[r] >= KEPT && chance(6) == 0) j.kepts[r]--; /* damaged */
        j.now[r] = (rank){ .state = mix(r + 1) };
        if (j.kepts[r]) j.now[r] = j.kept[r][j.kepts[r] - 1].is;
        for (uint32_t k = 0; k < j.kepts[r]; k++) memset(j.kept[r][k].needs, 0, sizeof j.kept[r][k].needs);
    }
    for (uint32_t a = 0; a < j.ranks; a++)
        for (uint32_t b = 0; b < j.ranks; b++) {
            uint32_t has = j.now[b].received[a], last = 0;
            for (uint32_t k = 0; k < j.logs[a]; k++)
                if (j.log[a][k].to == b && j.log[a][k].number > last) last = j.log[a][k].number;
            j.until[a][b] = last > has ? last : has;
            j.fed[a][b] = last;
            for (uint32_t k = has + 1; k <= last; k++) {
                const sent *s = logged(a, b, k);
                if (!s || !s->there) wrong("a message was collected that is needed");
            }
            if (j.mutant == NONE && j.now[a].sent[b] > j.until[a][b]) wrong("a message is in no journal and will not be sent again");
        }
}

static void look_at_end(void)
{
    for (uint32_t a = 0; a < j.ranks; a++) {
        if (j.now[a].at < j.ops[a]) wrong("a rank waits for ever");
        for (uint32_t b = 0; b < j.ranks; b++)
            if (a != b && j.now[a].sent_hash[b] != j.now[b].received_hash[a]) wrong("a channel's ends have seen different messages");
    }
}

/* 0 when all went well. */
static int run(uint64_t seed, enum mutant mutant)
{
    memset(&j, 0, offsetof(struct job, flight));
    memset(j.head, 0, sizeof j - offsetof(struct job, head));
    j.random = mix(seed);
    j.mutant = mutant;
    j.ranks = 2 + chance(RANKS - 1);
    j.f = 1 + chance(2);
    j.rule = chance(2) ? BL_MSGLOG_OPTIMISTIC : BL_MSGLOG_CAUSAL;
    write_program();
    uint32_t left = chance(LOSSES + 1), rarely = 10 + chance(120), lazily = 2 + chance(60);
    restart(0);
    for (uint32_t steps = 0; !j.wrong && steps < 20000; steps++) {
        uint32_t able[RANKS], count = 0;
        if (left && chance(rarely) == 0) {
            uint32_t lost = 0;
            left--;
            for (uint32_t r = 0; r < j.ranks; r++) {
                if (chance(3)) continue;
                lose(r);
                lost++;
            }
            losses += lost;
            restart(lost);
            continue;
        }
        if (chance(lazily) == 0) force(chance(j.ranks));
        if (j.newses && chance(4) == 0) {
            uint32_t k = chance(j.newses);
            news n = j.news[k];
            j.news[k] = j.news[--j.newses];
            hear(n);
        }
        for (uint32_t r = 0; r < j.ranks; r++)
            if (can(r)) able[count++] = r;
        if (!count) break;
        act(able[chance(count)]);
    }
    if (!j.wrong) look_at_end();
    if (j.wrong && mutant == NONE)
        printf("seed %llu, %u ranks, %s, f %u: %s\n", (unsigned long long)seed, j.ranks, j.rule == BL_MSGLOG_CAUSAL ? "causal" : "optimistic", j.f, j.wrong);
    return j.wrong != NULL;
}

int main(int argc, char **argv)
{
    uint64_t jobs = argc > 1 ? strtoull(argv[1], NULL, 10) : 150000, first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int bad = 0;
    for (uint64_t seed = first; seed < first + jobs && bad < 5; seed++) bad += run(seed, NONE);
    printf("%llu jobs, %llu nodes lost power, %llu times a rank was undone, %llu events were given back, %d wrong\n", (unsigned long long)jobs,
           (unsigned long long)losses, (unsigned long long)undone, (unsigned long long)adopted, bad);
    if (!undone || !adopted) bad++;
    for (int m = NONE + 1; m < MUTANTS && argc <= 2; m++) {
        uint64_t seed = 1;
        while (seed <= 50000 && !run(seed, (enum mutant)m)) seed++;
        printf("mutant: %s: %s%s\n", mutant_name[m], seed <= 50000 ? "caught: " : "NOT CAUGHT", seed <= 50000 ? j.wrong : "");
        bad += seed > 50000;
    }
    return bad != 0;
}
