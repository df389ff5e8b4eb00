/* sim_logged - jobs with logging=pessimistic as the library runs them (src/mpi/log.h): journals of what was sent and of whom a
 * receive from anybody was matched with, checkpoints of each rank for itself, all ranks relaunched after a death, each from its
 * newest checkpoint (or, when that is damaged, from the one before), and what nobody needs any more collected.
 *
 *     sim_logged [JOBS [FIRST-SEED]]
 *
 * Deaths come at every step, between a send and its copy in the journal too, and while a rank repeats.  After each restart
 * every message that a rank needs has to be in a journal or be sent again; in the end both ends of every channel have to have
 * seen the same messages, once and in order, whatever chance decided.  Mutants of the rules have to be caught.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANKS = 4, OPS = 120, MESSAGES = 64, KEPT = 2, DEATHS = 4, NEWS = 64, ANYBODY = 99 };

enum mutant { NONE, COLLECTS_BY_NEWEST, COLLECTS_AT_ONCE, JOURNAL_ALONE, CHECKPOINT_ALONE, ALL_SENT_AGAIN, MATCH_NOT_LOGGED, EVENTS_FORGOTTEN, ONLY_IN_CHECKPOINT, MUTANTS };
static const char *const mutant_name[] = {
    "none", "what the newest checkpoint holds is collected", "what is received is collected without a checkpoint",
    "a message that only the receiver's checkpoint has is sent again", "a message that only the journal has is sent again",
    "everything is sent again", "whom a receive from anybody was matched with is not logged",
    "a checkpoint taken while a rank repeats hides the events after it",
    "what only the receiver's checkpoint has does not come into the journal" };

enum kind { SEND, RECEIVE, SAFE };
typedef struct op { enum kind kind; uint32_t peer; } op;

typedef struct rank {          /* what a checkpoint holds */
    uint32_t at, number;       /* next operation; of the checkpoint */
    uint64_t state;
    uint32_t sent[RANKS], received[RANKS];
    uint64_t sent_hash[RANKS], received_hash[RANKS];
} rank;

typedef struct journal { uint64_t value[MESSAGES + 1]; uint8_t there[MESSAGES + 1]; uint32_t last; } journal; /* of a channel */
typedef struct news { uint32_t from, to, received; } news; /* `to`, the sender, hears what `from` will not ask for again */

static struct job {
    uint32_t ranks, life;
    enum mutant mutant;
    uint64_t random;
    op program[RANKS][OPS];
    uint32_t ops[RANKS];
    rank now[RANKS], kept[RANKS][KEPT];
    uint32_t kepts[RANKS], numbers[RANKS];
    journal sent[RANKS][RANKS];
    uint32_t matched[RANKS][OPS]; /* event: 1 + source; 0: none */
    uint32_t begun[RANKS];     /* operations begun, over all lives: in the mapped table */
    uint32_t known[RANKS];     /* of a restart: those of the lives before */
    uint32_t until[RANKS][RANKS];
    uint32_t fed[RANKS][RANKS]; /* of a channel: the last that comes from the journal */
    uint64_t queue[RANKS][RANKS][2 * MESSAGES]; /* under way, in the order sent: MPI knows no numbers */
    uint32_t head[RANKS][RANKS], tail[RANKS][RANKS];
    int copy_to[RANKS];        /* sent and not yet in the journal: 1 + to whom; 0: nothing */
    uint64_t copy[RANKS];
    news news[NEWS];
    uint32_t newses;
    const char *wrong;
} j;

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

/* --- one operation --- */

static void copy_now(uint32_t r)
{
    if (!j.copy_to[r]) return;
    journal *to = &j.sent[r][j.copy_to[r] - 1];
    to->last++;
    to->value[to->last] = j.copy[r];
    to->there[to->last] = 1;
    j.copy_to[r] = 0;
}

static void send(uint32_t r, uint32_t to)
{
    rank *n = &j.now[r];
    uint32_t number = ++n->sent[to];
    uint64_t value = mix(n->state + number);
    const journal *was = &j.sent[r][to];
    n->sent_hash[to] = mix(n->sent_hash[to] ^ value);
    if (number <= j.until[r][to]) {
        if (number <= was->last && was->there[number] && was->value[number] != value) wrong("a rank sends something else than it did");
        if (number == was->last + 1 && j.mutant != ONLY_IN_CHECKPOINT) { /* that checkpoint may be damaged one day */
            j.copy_to[r] = 1 + (int)to;
            j.copy[r] = value;
        }
        return;
    }
    if (j.tail[r][to] < 2 * MESSAGES) j.queue[r][to][j.tail[r][to]++] = value;
    if (number <= was->last) return; /* only a mutant: in the journal already */
    if (number != was->last + 1) j.sent[r][to].last = number - 1; /* only a mutant: those between are in a checkpoint */
    j.copy_to[r] = 1 + (int)to;
    j.copy[r] = value;
}

/* The next message from there: out of a journal of lives before, or under way. */
static int is_there(uint32_t r, uint32_t from, uint64_t *value)
{
    uint32_t next = j.now[r].received[from] + 1;
    const journal *s = &j.sent[from][r];
    int under_way = j.head[from][r] < j.tail[from][r];
    if (next <= j.fed[from][r]) *value = s->value[next];
    else *value = under_way ? j.queue[from][r][j.head[from][r]] : 0;
    return next <= j.fed[from][r] || under_way;
}

static int from_whom(uint32_t r, uint32_t peer, uint32_t *from)
{
    uint64_t value;
    uint32_t at = j.now[r].at, first = chance(j.ranks);
    if (peer != ANYBODY) {
        *from = peer;
        return is_there(r, peer, &value);
    }
    if (j.matched[r][at] && at < j.known[r]) {
        *from = j.matched[r][at] - 1;
        return is_there(r, *from, &value);
    }
    for (uint32_t k = 0; k < j.ranks; k++) {
        *from = (first + k) % j.ranks;
        if (*from != r && is_there(r, *from, &value)) return 1;
    }
    return 0;
}

static void receive(uint32_t r, uint32_t from, uint32_t peer)
{
    rank *n = &j.now[r];
    uint64_t value;
    is_there(r, from, &value);
    if (peer == ANYBODY && j.mutant != MATCH_NOT_LOGGED) j.matched[r][n->at] = 1 + from;
    if (++n->received[from] > j.fed[from][r]) j.head[from][r]++;
    n->received_hash[from] = mix(n->received_hash[from] ^ value);
    n->state = mix(n->state ^ value ^ from);
}

static void collect(news n)
{
    journal *s = &j.sent[n.to][n.from];
    for (uint32_t k = 1; k <= n.received && k <= MESSAGES; k++) s->there[k] = 0;
}

static void tell(uint32_t r, const rank *holds)
{
    for (uint32_t from = 0; from < j.ranks; from++)
        if (from != r && j.newses < NEWS) j.news[j.newses++] = (news){ r, from, holds->received[from] };
}

static void checkpoint(uint32_t r)
{
    rank saved = j.now[r];
    saved.number = ++j.numbers[r];
    if (j.kepts[r] == KEPT) {
        memmove(&j.kept[r][0], &j.kept[r][1], sizeof saved * (KEPT - 1));
        j.kepts[r]--;
    }
    j.kept[r][j.kepts[r]++] = saved;
    if (j.mutant == EVENTS_FORGOTTEN)
        for (uint32_t k = saved.at; k < j.known[r]; k++) j.matched[r][k] = 0;
    if (j.kepts[r] == KEPT || j.mutant == COLLECTS_BY_NEWEST) tell(r, j.mutant == COLLECTS_BY_NEWEST ? &saved : &j.kept[r][0]);
}

static int can(uint32_t r)
{
    uint32_t from;
    if (j.copy_to[r]) return 1;
    if (j.now[r].at == j.ops[r]) return 0;
    const op *o = &j.program[r][j.now[r].at];
    return o->kind != RECEIVE || from_whom(r, o->peer, &from);
}

static void act(uint32_t r)
{
    uint32_t from;
    if (j.copy_to[r]) {
        copy_now(r);
        return;
    }
    const op *o = &j.program[r][j.now[r].at];
    if (o->kind == SEND) send(r, o->peer);
    if (o->kind == RECEIVE) {
        if (!from_whom(r, o->peer, &from)) return;
        receive(r, from, o->peer);
    }
    j.now[r].at++;
    if (j.now[r].at > j.begun[r]) j.begun[r] = j.now[r].at;
    if (o->kind == SAFE && chance(2)) checkpoint(r); /* it goes on behind it */
    if (j.mutant == COLLECTS_AT_ONCE && o->kind == RECEIVE) tell(r, &j.now[r]);
}

/* --- all die --- */

static void restart(void)
{
    memset(j.head, 0, sizeof j.head);
    memset(j.tail, 0, sizeof j.tail);
    memset(j.copy_to, 0, sizeof j.copy_to);
    j.newses = 0;
    for (uint32_t r = 0; r < j.ranks; r++) {
        if (j.kepts[r] == KEPT && chance(6) == 0) j.kepts[r]--; /* damaged */
        j.now[r] = (rank){ .state = mix(r + 1) };
        if (j.kepts[r]) j.now[r] = j.kept[r][j.kepts[r] - 1];
        j.known[r] = j.begun[r];
    }
    for (uint32_t a = 0; a < j.ranks; a++)
        for (uint32_t b = 0; b < j.ranks; b++) {
            const journal *s = &j.sent[a][b];
            uint32_t has = j.now[b].received[a], *until = &j.until[a][b];
            *until = s->last > has ? s->last : has;
            j.fed[a][b] = s->last;
            if (j.mutant == JOURNAL_ALONE) *until = s->last;
            if (j.mutant == CHECKPOINT_ALONE) *until = has;
            if (j.mutant == ALL_SENT_AGAIN) *until = 0;
            for (uint32_t k = has + 1; k <= s->last; k++)
                if (!s->there[k]) wrong("a message was collected that is needed");
            if (j.mutant == NONE && j.now[a].sent[b] > *until) wrong("a message is in no journal and will not be sent again");
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

static uint64_t deaths;

/* 0 when all went well. */
static int run(uint64_t seed, enum mutant mutant)
{
    memset(&j, 0, sizeof j);
    j.random = mix(seed);
    j.mutant = mutant;
    j.ranks = 2 + chance(RANKS - 1);
    write_program();
    uint32_t left = chance(DEATHS + 1), rarely = 10 + chance(120);
    restart();
    for (uint32_t steps = 0; !j.wrong && steps < 20000; steps++) {
        uint32_t able[RANKS], count = 0;
        if (left && chance(rarely) == 0) {
            left--;
            deaths++;
            restart();
            continue;
        }
        if (j.newses && chance(4) == 0) {
            uint32_t k = chance(j.newses);
            collect(j.news[k]);
            j.news[k] = j.news[--j.newses];
        }
        for (uint32_t r = 0; r < j.ranks; r++)
            if (can(r)) able[count++] = r;
        if (!count) break;
        act(able[chance(count)]);
    }
    if (!j.wrong) look_at_end();
    if (j.wrong && mutant == NONE) printf("seed %llu, %u ranks: %s\n", (unsigned long long)seed, j.ranks, j.wrong);
    return j.wrong != NULL;
}

int main(int argc, char **argv)
{
    uint64_t jobs = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000, first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int bad = 0;
    for (uint64_t seed = first; seed < first + jobs && bad < 5; seed++) bad += run(seed, NONE);
    printf("%llu jobs, %llu deaths, %d wrong\n", (unsigned long long)jobs, (unsigned long long)deaths, bad);
    for (int m = NONE + 1; m < MUTANTS && argc <= 2; m++) {
        uint64_t seed = 1;
        while (seed <= 50000 && !run(seed, (enum mutant)m)) seed++;
        printf("mutant: %s: %s%s\n", mutant_name[m], seed <= 50000 ? "caught: " : "NOT CAUGHT", seed <= 50000 ? j.wrong : "");
        bad += seed > 50000;
    }
    return bad != 0;
}
