/* sim_coordinated.c - the coordinated checkpoint on random programs: it commits exactly when the cut is transitless.
 *
 *   sim_coordinated [--seeds N] | --seed N
 *
 * Ranks send (to themselves too), receive in any order and start collectives, reach a safe point, take part in the
 * protocol and go on.  The truth is kept apart from the counters that the protocol sees: every message knows in which
 * interval it was sent and received, every rank how many collectives it had started at each cut.  Half of the rounds
 * are made clean on purpose, or almost nothing would commit.  At the end broken drivers are run, and have to be caught.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/coordinated.h"

enum { RANKS = 5, ROUNDS = 4, COMMS = 3, MESSAGES = 512, POOL = 512, STEPS_MAX = 20000, VIOLATIONS = 4 };

enum mutant { CORRECT, SEND_WHILE_WAITING, NO_VERIFICATION, NO_COLLECTIVES, NO_OBSTACLES, MUTANTS };
static const char *const mutant_names[] = { "correct", "send-while-waiting", "no-verification", "no-collectives", "no-obstacles" };

struct message {
    uint32_t from, to, sent_in, received_in; /* intervals; 0: not received yet */
};

enum thing_type { REPORT, CONTROL, STEP };

struct thing {
    enum thing_type type;
    uint32_t to, from, round;
    bl_report report;
    bl_commit_event event;
};

struct rank {
    bl_commit m;
    uint8_t seen[RANKS];
    uint32_t round, actions_left; /* the interval it is in, or waiting at the end of */
    bool waiting, finished;
    uint64_t obstacles;
    uint64_t sent[RANKS], received[RANKS], started[COMMS];
    bl_report mine[RANKS], theirs[ROUNDS + 2][RANKS];
    uint32_t reports[ROUNDS + 2];
};

struct world {
    enum mutant mutant;
    FILE *trace;
    uint64_t random;
    uint32_t n, messages, things;
    bool clean[ROUNDS + 2];
    uint32_t member[COMMS];                         /* bit masks */
    struct rank rank[RANKS];
    struct message message[MESSAGES];
    struct thing pool[POOL];
    enum bl_commit_outcome record[ROUNDS + 2];
    bool obstacle[ROUNDS + 2];
    uint64_t started_at[ROUNDS + 2][RANKS][COMMS];  /* truth: at each cut */
    const char *why;
};

static uint32_t pick(struct world *w, uint32_t below)
{
    uint64_t x = w->random += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return (uint32_t)((x >> 32) * below >> 32);
}

static void put(struct world *w, struct thing thing)
{
    if (w->things == POOL)
        w->why = "too many things under way";
    else
        w->pool[w->things++] = thing;
}

/* --- the program --- */

static void program_sends(struct world *w, uint32_t r)
{
    const uint32_t to = pick(w, w->n);

    if (w->messages == MESSAGES)
        return;
    w->message[w->messages++] = (struct message){ r, to, w->rank[r].round, 0 };
    w->rank[r].sent[to]++;
    if (w->trace)
        fprintf(w->trace, "rank %u sends to %u in interval %u\n", r, to, w->rank[r].round);
}

/* Any of the messages that have arrived: tags let a program receive out of order. */
static bool program_receives(struct world *w, uint32_t r)
{
    const uint32_t first = w->messages ? pick(w, w->messages) : 0;

    for (uint32_t i = 0; i < w->messages; i++) {
        struct message *m = &w->message[(first + i) % w->messages];
        if (m->to != r || m->received_in)
            continue;
        m->received_in = w->rank[r].round;
        w->rank[r].received[m->from]++;
        if (w->trace)
            fprintf(w->trace, "rank %u receives from %u in interval %u\n", r, m->from, m->received_in);
        return true;
    }
    return false;
}

static bool inbox(const struct world *w, uint32_t r)
{
    for (uint32_t i = 0; i < w->messages; i++)
        if (w->message[i].to == r && !w->message[i].received_in)
            return true;
    return false;
}

static void program_starts_collective(struct world *w, uint32_t r)
{
    const uint32_t comm = pick(w, COMMS);

    if (w->member[comm] >> r & 1)
        w->rank[r].started[comm]++;
}

static void program_acts(struct world *w, uint32_t r)
{
    const uint32_t dice = pick(w, 8);

    w->rank[r].actions_left--;
    if (dice < 3)
        program_sends(w, r);
    else if (dice < 7)
        program_receives(w, r);
    else if (!w->clean[w->rank[r].round])
        program_starts_collective(w, r);
}

/* May the rank enter a safe point that is meant to be clean?  When nobody will send before it any more. */
static bool quiet(const struct world *w, uint32_t round)
{
    for (uint32_t r = 0; r < w->n; r++)
        if (w->rank[r].round < round || (w->rank[r].round == round && (w->rank[r].actions_left || inbox(w, r))))
            return false;
    return true;
}

/* The collectives of a clean round: all that are missing are made up for. */
static void even_out(struct world *w, uint32_t r)
{
    for (uint32_t comm = 0; comm < COMMS; comm++)
        for (uint32_t other = 0; other < w->n; other++)
            if ((w->member[comm] >> r & 1) && w->rank[other].started[comm] > w->rank[r].started[comm])
                w->rank[r].started[comm] = w->rank[other].started[comm];
}

/* --- the driver --- */

static void begin_round(struct world *w, uint32_t r, uint32_t round)
{
    struct rank *rank = &w->rank[r];

    rank->round = round;
    rank->waiting = false;
    rank->finished = round > ROUNDS;
    if (rank->finished)
        return;
    rank->actions_left = pick(w, 6);
    bl_commit_init(&rank->m, r, w->n, 0, round, 0, rank->seen);
}

static void control(struct world *w, uint32_t r, uint32_t to, enum bl_commit_kind kind)
{
    put(w, (struct thing){ .type = CONTROL, .to = to,
                           .event = { .type = BL_EVENT_MESSAGE, .kind = kind, .from = r, .checkpoint = w->rank[r].round } });
}

static void result(struct world *w, uint32_t r, bl_commit_event event)
{
    event.checkpoint = w->rank[r].round;
    put(w, (struct thing){ .type = STEP, .to = r, .event = event });
}

static void decide(struct world *w, uint32_t r, enum bl_commit_outcome outcome)
{
    enum bl_commit_outcome *record = &w->record[w->rank[r].round];

    if (*record == BL_OUTCOME_NONE)
        *record = outcome;
    result(w, r, (bl_commit_event){ .type = BL_EVENT_DECIDED, .outcome = *record });
}

static void act(struct world *w, uint32_t r, const bl_commit_action *a)
{
    switch (a->type) {
    case BL_ACTION_SEND:
        control(w, r, a->to, a->kind);
        break;
    case BL_ACTION_SEND_ALL:
        for (uint32_t to = 0; to < w->n; to++)
            if (to != r)
                control(w, r, to, a->kind);
        break;
    case BL_ACTION_TAKE_SNAPSHOT:
        result(w, r, (bl_commit_event){ .type = BL_EVENT_SNAPSHOT_DONE });
        break;
    case BL_ACTION_DECIDE:
        decide(w, r, a->outcome);
        break;
    case BL_ACTION_READ_DECISION:
        w->why = "the record is read though no timer fires";
        break;
    case BL_ACTION_SET_TIMER:
    case BL_ACTION_CANCEL_TIMER:
    case BL_ACTION_OUTCOME:
        break;
    }
}

static void act_all(struct world *w, uint32_t r, const bl_commit_actions *out)
{
    struct rank *rank = &w->rank[r];

    for (unsigned i = 0; i < out->count; i++)
        act(w, r, &out->action[i]);
    if (rank->waiting && bl_coordinated_phase(&rank->m) == BL_PHASE_DONE) {
        if (w->trace)
            fprintf(w->trace, "rank %u leaves safe point %u: %s\n", r, rank->round,
                    bl_commit_outcome(&rank->m) == BL_OUTCOME_COMMITTED ? "committed" : "aborted");
        begin_round(w, r, rank->round + 1);
    }
}

static void feed(struct world *w, uint32_t r, const bl_commit_event *event)
{
    bl_commit_actions out;

    if (bl_commit_step(&w->rank[r].m, event, &out, NULL) != BELAY_OK)
        w->why = "an event that cannot be";
    else
        act_all(w, r, &out);
}

static void report_to_all(struct world *w, uint32_t r)
{
    struct rank *rank = &w->rank[r];

    for (uint32_t to = 0; to < w->n; to++) {
        bl_report *report = &rank->mine[to];
        *report = (bl_report){ .sent = rank->sent[to], .obstacles = w->mutant == NO_OBSTACLES ? 0 : rank->obstacles };
        for (uint32_t comm = 0; comm < COMMS && w->mutant != NO_COLLECTIVES; comm++)
            if ((w->member[comm] >> r & 1) && (w->member[comm] >> to & 1))
                report->collectives += bl_report_mix(comm, rank->started[comm]);
        put(w, (struct thing){ .type = REPORT, .to = to, .from = r, .round = rank->round, .report = *report });
    }
}

static void reach_safe_point(struct world *w, uint32_t r)
{
    struct rank *rank = &w->rank[r];

    if (w->clean[rank->round])
        even_out(w, r);
    rank->obstacles = w->clean[rank->round] || pick(w, 16) ? 0 : 1 + pick(w, 3);
    w->obstacle[rank->round] |= rank->obstacles > 0;
    memcpy(w->started_at[rank->round][r], rank->started, sizeof rank->started);
    rank->waiting = true;
    if (w->trace)
        fprintf(w->trace, "rank %u reaches safe point %u\n", r, rank->round);
    report_to_all(w, r);
    act_all(w, r, &(bl_commit_actions){ .count = 0 }); /* it may have been aborted before */
}

static void verify_if_complete(struct world *w, uint32_t r)
{
    struct rank *rank = &w->rank[r];
    const bl_view view = { r, w->n, rank->received, rank->mine, rank->theirs[rank->round] };
    bl_violation violation[VIOLATIONS];
    bl_commit_actions out;
    size_t count;
    bl_error text;

    if (!rank->waiting || bl_coordinated_phase(&rank->m) != BL_PHASE_ALIGN || rank->reports[rank->round] < w->n)
        return;
    if (w->mutant == NO_VERIFICATION) {
        feed(w, r, &(bl_commit_event){ .type = BL_EVENT_BEGIN });
        return;
    }
    if (bl_coordinated_exchanged(&rank->m, &view, violation, VIOLATIONS, &count, &out, NULL) != BELAY_OK)
        w->why = "the exchange was refused";
    for (size_t i = 0; w->trace && i < count && i < VIOLATIONS; i++) {
        bl_violation_text(&violation[i], r, &text);
        fprintf(w->trace, "rank %u: %s\n", r, text.text);
    }
    act_all(w, r, &out);
}

/* A blocked rank looks about for messages, as the runtime does. */
static void wait_a_little(struct world *w, uint32_t r)
{
    bl_commit_actions out;

    if (w->mutant == SEND_WHILE_WAITING && pick(w, 4) == 0)
        program_sends(w, r);
    if (w->mutant == NO_VERIFICATION || pick(w, 4) || !inbox(w, r))
        return;
    if (bl_coordinated_in_transit(&w->rank[r].m, &out, NULL) != BELAY_OK)
        w->why = "a message in transit was refused";
    act_all(w, r, &out);
}

static void move_rank(struct world *w, uint32_t r)
{
    struct rank *rank = &w->rank[r];

    if (rank->finished)
        return;
    if (rank->waiting)
        wait_a_little(w, r);
    else if (rank->actions_left)
        program_acts(w, r);
    else if (!w->clean[rank->round] || quiet(w, rank->round))
        reach_safe_point(w, r);
    else
        program_receives(w, r);
}

static void deliver(struct world *w)
{
    const uint32_t i = pick(w, w->things);
    const struct thing t = w->pool[i];
    struct rank *rank = &w->rank[t.to];

    w->pool[i] = w->pool[--w->things];
    if (t.type == REPORT) {
        rank->theirs[t.round][t.from] = t.report;
        rank->reports[t.round]++;
        verify_if_complete(w, t.to);
    } else if (rank->finished || t.event.checkpoint < rank->round) {
        return;
    } else if (t.event.checkpoint > rank->round) {
        put(w, t); /* kept for later, as commit.h asks */
    } else {
        feed(w, t.to, &t.event);
    }
}

/* --- the truth --- */

static bool transitless(const struct world *w, uint32_t round)
{
    for (uint32_t i = 0; i < w->messages; i++) {
        const struct message *m = &w->message[i];
        const bool received = m->received_in && m->received_in <= round;
        if ((m->sent_in <= round) != received)
            return false;
    }
    for (uint32_t comm = 0; comm < COMMS; comm++)
        for (uint32_t a = 0; a < w->n; a++)
            for (uint32_t b = 0; b < a; b++)
                if ((w->member[comm] >> a & 1) && (w->member[comm] >> b & 1) &&
                    w->started_at[round][a][comm] != w->started_at[round][b][comm])
                    return false;
    return true;
}

static void check_rounds(struct world *w, uint32_t *committed, uint32_t *aborted)
{
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        const bool commits = w->record[round] == BL_OUTCOME_COMMITTED;
        if (commits != (transitless(w, round) && !w->obstacle[round])) {
            w->why = commits ? "committed and not transitless" : "transitless and not committed";
            if (w->trace)
                fprintf(w->trace, "safe point %u: %s\n", round, w->why);
        }
        *committed += commits;
        *aborted += !commits;
    }
}

/* --- runs --- */

static void start(struct world *w, uint64_t seed, enum mutant mutant, FILE *trace)
{
    memset(w, 0, sizeof *w);
    w->random = seed;
    w->mutant = mutant;
    w->trace = trace;
    w->n = 2 + pick(w, RANKS - 1);
    for (uint32_t comm = 0; comm < COMMS; comm++)
        w->member[comm] = pick(w, 1u << w->n);
    for (uint32_t round = 1; round <= ROUNDS; round++)
        w->clean[round] = pick(w, 2);
    for (uint32_t r = 0; r < w->n; r++)
        begin_round(w, r, 1);
}

static bool all_finished(const struct world *w)
{
    for (uint32_t r = 0; r < w->n; r++)
        if (!w->rank[r].finished)
            return false;
    return true;
}

/* NULL, or what went wrong. */
static const char *run(uint64_t seed, enum mutant mutant, FILE *trace, uint32_t *committed, uint32_t *aborted)
{
    static struct world w;

    start(&w, seed, mutant, trace);
    for (uint32_t steps = 0; !w.why && !all_finished(&w); steps++) {
        if (steps == STEPS_MAX)
            w.why = "no end";
        else if (w.things && pick(&w, 2))
            deliver(&w);
        else
            move_rank(&w, pick(&w, w.n));
    }
    if (!w.why)
        check_rounds(&w, committed, aborted);
    return w.why;
}

static unsigned hunt_mutants(void)
{
    unsigned failed = 0;

    for (int m = CORRECT + 1; m < MUTANTS; m++) {
        uint32_t committed = 0, aborted = 0;
        const char *why = NULL;
        uint64_t seed = 0;
        while (!why && seed < 5000)
            why = run(++seed, (enum mutant)m, NULL, &committed, &aborted);
        printf("%-20s %s", mutant_names[m], why ? "ok  caught by seed " : "NOT OK\n");
        if (why)
            printf("%llu: %s\n", (unsigned long long)seed, why);
        failed += !why;
    }
    return failed;
}

static const char *number(int argc, char **argv, const char *name)
{
    return argc == 3 && strcmp(argv[1], name) == 0 ? argv[2] : NULL;
}

int main(int argc, char **argv)
{
    const char *one = number(argc, argv, "--seed"), *many = number(argc, argv, "--seeds");
    const uint64_t seeds = one ? 1 : many ? strtoull(many, NULL, 10) : 200000;
    uint32_t committed = 0, aborted = 0;
    uint64_t passed = 0, failed = 0;

    for (uint64_t i = 1; i <= seeds && failed == 0; i++) {
        const uint64_t seed = one ? strtoull(one, NULL, 10) : i;
        const char *why = run(seed, CORRECT, one ? stdout : NULL, &committed, &aborted);
        passed += !why;
        failed += why != NULL;
        if (why)
            printf("seed %llu: %s; again: sim_coordinated --seed %llu\n", (unsigned long long)seed, why, (unsigned long long)seed);
    }
    printf("%u checkpoints committed, %u aborted\n", committed, aborted);
    if (!one) {
        const unsigned missed = hunt_mutants();
        passed += MUTANTS - 1 - missed;
        failed += missed + (committed == 0) + (aborted == 0);
    }
    printf("%llu passed, %llu failed\n", (unsigned long long)passed, (unsigned long long)failed);
    return failed != 0;
}
