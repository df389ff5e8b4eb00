/* sim_rollback - local rollback as the library runs it (src/mpi/local.h), with the rules of src/protocol/rollback.h: after a death
 * only the dead go back, and who has seen a message but not yet one before it; the others take what was under way out of the
 * senders' journals, and repeat nothing.
 *
 *     sim_rollback [PROGRAMS [FIRST-SEED [trace]]]     trace: tells what happens in the first schedule that goes wrong
 *
 * Random programs of 2 to 4 ranks send, post receives ahead, of any source and tag as well, and wait for them in any order and for
 * any of several.  MPI is simulated by its rules of order; a message that is matched may take its time.  Each program runs once
 * without a death, then with deaths of one or more ranks before each step: between a send and its copy in the journal, in the
 * meeting, before a rank that stays has matched its receives again, and while a rank repeats; and with several deaths one soon
 * after another.  What a rank has seen it has to see again, though nobody else were to know; in the end the receives of a
 * channel, in the order posted, have its messages, once and in order, and the program alone, given these, comes to the same state.
 * Contents differ, as a hash of them is told: where a channel has equal ones and several wildcards are open, which of them is not known.
 * Mutants of the rules have to be caught.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/rollback.h"

enum { RANKS = 4, COMMS = 2, TAGS = 2, OPS = 80, SLOTS = 5, BLOCKING = SLOTS, LANE = 40, DEATHS = 4, STEPS = 5000, ANY = -1, NEVER = 0x7fffffff };

enum mutant {
    NONE, TOLD_IN_TURN, TOLD_FORGOTTEN, HASH_LEFT_OUT, HASH_BY_OCCASION, TAG_NOT_TOLD, CHOSEN_UNTOLD, ONLY_WATCHED_PASS, BARS_FORGOTTEN,
    PASSED_STAYS, COUNTERS_TELL, NOBODY_HELD, LATER_OVERTAKES,
    JOURNAL_ALONE, RECEIVER_ALONE, NOT_LOGGED_AGAIN, SKIPPED_LATER, MATCHED_BACKWARDS, KNOWN_FORGOTTEN, HAD_AGAIN, ALL_NEEDED, MUTANTS
};
static const char *const mutant_name[] = {
    "none", "what was told is matched in its turn, not first", "what was told is matched as if it were not",
    "no hash is told",
    "a hash is told only if what is seen might be the earlier one's",
    "any tag is told only if what it was might be the earlier one's",
    "what is taken out of a journal when it is posted is told only of a wildcard", "who was passed by one that is known is not",
    "a receive gets a message behind one that a later receive had",
    "who was passed by stays", "who has seen a later message stays", "an unknown match is not waited for", "a later receive overtakes one that is held",
    "what the receiver has and no journal is sent again", "what the journal has and no receiver is sent again",
    "what only the receiver has does not come into the journal", "a message that was skipped is no sooner taken than others",
    "receives are matched again in another order", "a wildcard that was known is one again", "what the program has had is in the journals again",
    "who cannot go back alone goes back alone" };

enum kind { SEND, POST, RECEIVE, WAIT, WAIT_ANY, SAFE };
typedef struct op { uint8_t kind, slot, comm; int8_t peer, tag; } op;

typedef uint64_t counters[RANKS][COMMS][TAGS];
typedef struct saved { uint32_t at; uint64_t state; counters sent, received; } saved; /* what a checkpoint holds */

enum where { NOWHERE, POSTED, MATCHED, COMPLETE };
typedef struct receive {
    bl_open open;            /* first */
    uint8_t used, watched;
    int8_t asked;            /* tag, before it was known */
    enum where where;        /* in MPI; or its message is there */
    uint32_t order;          /* in which MPI was given it */
    int source, tag;         /* as MPI was given it; once matched, of the message */
    uint64_t value;
} receive;

typedef struct event { uint8_t there, hashed; int a, b; uint64_t hash; } event;
typedef struct message { int tag; uint64_t value; uint32_t from; } message;
typedef struct queue { message m[2 * LANE]; uint32_t head, tail; } queue;
typedef struct line { int tag; uint64_t number, value; } line; /* of a journal */
typedef struct seen { uint8_t there; uint8_t comm; int source, tag; uint64_t value; } seen;

typedef struct process {
    saved now, checkpoint;
    uint8_t entered, copying, stays; /* copying: sent, and not in the journal; stays: has to match its receives again */
    uint32_t begun, known;   /* calls: over all lives, in the mapped table; before the last death */
    receive r[SLOTS + 1];
    counters until, logged, expected;
    bl_lane lane[RANKS][COMMS];
    bl_fed fed[RANKS][COMMS][LANE];
    event matched[OPS], index[OPS];  /* by the call that posted; that waited */
    seen seen[OPS];
    int any[OPS];            /* slot + 1 that it saw */
} process;

static struct world {
    uint32_t ranks, steps, deaths, orders, slow; /* slow: how long a message that is matched takes */
    uint64_t random;
    enum mutant mutant;
    op program[RANKS][OPS];
    uint32_t ops[RANKS];
    process p[RANKS];
    line journal[RANKS][RANKS][COMMS][LANE];
    uint32_t lines[RANKS][RANKS][COMMS];
    uint64_t truth[RANKS][RANKS][COMMS][TAGS][LANE];
    queue wire[RANKS][RANKS][COMMS]; /* under way */
    message early[RANKS][COMMS][2 * LANE]; /* arrived before a receive of it */
    uint32_t earlies[RANKS][COMMS];
    const char *wrong;
    int trace, given_up;
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

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    va_list args;
    if (!w.trace) return;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
}

/* --- the program --- */

typedef struct writer {      /* of a receiver: what comes to it, and what it has posted */
    struct { int source, tag, comm; } sent[OPS], posted[OPS];
    uint32_t sends, posts;
    uint32_t open;           /* bit s: slot s */
} writer;

static int suits(int asked, int is)
{
    return asked == ANY || is == ANY || asked == is;
}

/* Whatever the others take, something is left for it: so no program can wait for ever. */
static int is_enough(const writer *t, int source, int tag, int comm)
{
    uint32_t there = 0, taken = 0;
    for (uint32_t k = 0; k < t->sends; k++) there += t->sent[k].comm == comm && suits(source, t->sent[k].source) && suits(tag, t->sent[k].tag);
    for (uint32_t k = 0; k < t->posts; k++) taken += t->posted[k].comm == comm && suits(source, t->posted[k].source) && suits(tag, t->posted[k].tag);
    return there > taken;
}

static void add(uint32_t r, op o)
{
    if (w.ops[r] < OPS) w.program[r][w.ops[r]++] = o;
}

static void write_wait(uint32_t r, writer *t)
{
    uint32_t slot = chance(SLOTS);
    if (!t->open) return;
    while (!(t->open >> slot & 1)) slot = (slot + 1) % SLOTS;
    t->open &= ~(1u << slot);
    add(r, (op){ .kind = WAIT, .slot = (uint8_t)slot });
}

static void write_any(uint32_t r, writer *t)
{
    if (!t->open) return;
    add(r, (op){ .kind = WAIT_ANY, .slot = (uint8_t)t->open });
    for (; t->open;) write_wait(r, t); /* of what is done already nothing is seen */
}

static void write_receive(uint32_t r, writer *t, uint32_t wild)
{
    const uint32_t k = chance(t->sends);
    int source = chance(8) < wild ? ANY : t->sent[k].source, tag = chance(4) == 0 ? ANY : t->sent[k].tag, comm = t->sent[k].comm;
    uint32_t slot = 0, blocks = chance(5) == 0;
    while (slot < SLOTS && t->open >> slot & 1) slot++;
    if (!is_enough(t, source, tag, comm) || (slot == SLOTS && !blocks) || t->posts == OPS) return;
    t->posted[t->posts].source = source;
    t->posted[t->posts].tag = tag;
    t->posted[t->posts++].comm = comm;
    add(r, (op){ .kind = blocks ? RECEIVE : POST, .slot = (uint8_t)slot, .peer = (int8_t)source, .tag = (int8_t)tag, .comm = (uint8_t)comm });
    if (!blocks) t->open |= 1u << slot;
}

static void write_safe(uint32_t r, writer *t)
{
    while (t->open) write_wait(r, t);
    add(r, (op){ .kind = SAFE });
}

static void write_program(void)
{
    static writer to[RANKS];
    memset(to, 0, sizeof to);
    uint32_t messages = 3 + chance(18), wild = chance(9), comms = 1 + chance(COMMS), tags = 1 + chance(TAGS), one = chance(2) ? chance(w.ranks) : RANKS;
    w.slow = chance(4);
    if (chance(2)) { /* wildcards of one receiver, that take long */
        wild = 6;
        comms = 1;
        tags = TAGS;
        one = 0;
        w.slow = 3;
    }
    for (uint32_t k = 0; k < messages; k++) {
        uint32_t dest = one < RANKS && chance(3) ? one : chance(w.ranks), from = (dest + 1 + chance(w.ranks - 1)) % w.ranks;
        writer *t = &to[dest];
        uint8_t comm = (uint8_t)chance(comms);
        int8_t tag = (int8_t)chance(tags);
        if (w.ops[from] + 2 * SLOTS + 4 > OPS || w.ops[dest] + 2 * SLOTS + 4 > OPS) break;
        add(from, (op){ .kind = SEND, .peer = (int8_t)dest, .tag = tag, .comm = comm });
        t->sent[t->sends].source = (int)from;
        t->sent[t->sends].tag = tag;
        t->sent[t->sends++].comm = comm;
        uint32_t r = chance(2) ? dest : chance(w.ranks);
        for (uint32_t more = chance(4); more > 0; more--)
            if (to[r].sends && w.ops[r] + 2 * SLOTS + 4 < OPS) write_receive(r, &to[r], wild);
        if (chance(3) == 0) write_wait(r, &to[r]);
        if (chance(10) == 0) write_any(r, &to[r]);
        if (chance(12) == 0) write_safe(r, &to[r]);
    }
    for (uint32_t r = 0; r < w.ranks; r++)
        while (to[r].open) write_wait(r, &to[r]);
}

/* --- MPI --- */

static void arrives_at(receive *e, const message *m)
{
    e->where = chance(2 + w.slow) ? MATCHED : COMPLETE;
    e->source = (int)m->from;
    e->tag = m->tag;
    e->value = m->value;
}

static void give_to_mpi(uint32_t r, receive *e, int source, int tag)
{
    uint32_t comm = (uint32_t)e->open.comm, *count = &w.earlies[r][comm];
    e->where = POSTED;
    e->order = ++w.orders;
    e->source = source;
    e->tag = tag;
    for (uint32_t k = 0; k < *count; k++) {
        message *m = &w.early[r][comm][k];
        if (!suits(source, (int)m->from) || !suits(tag, m->tag)) continue;
        arrives_at(e, m);
        memmove(m, m + 1, (--*count - k) * sizeof *m);
        return;
    }
}

static void arrive(uint32_t from, uint32_t to, uint32_t comm)
{
    queue *q = &w.wire[from][to][comm];
    const message *m = &q->m[q->head++];
    receive *first = NULL;
    for (uint32_t s = 0; s <= SLOTS; s++) {
        receive *e = &w.p[to].r[s];
        if (e->used && e->where == POSTED && e->open.comm == comm && suits(e->source, (int)from) && suits(e->tag, m->tag) && (!first || e->order < first->order)) first = e;
    }
    say("  a message from %u, comm %u, tag %d arrives at %u%s\n", from, comm, m->tag, to, first ? "" : " early");
    if (first) arrives_at(first, m);
    else w.early[to][comm][w.earlies[to][comm]++] = *m;
}

/* --- the library: the same steps as src/mpi/logged.c --- */

static unsigned watched_of(process *q, bl_open **list)
{
    unsigned count = 0;
    for (uint32_t s = 0; s < SLOTS; s++) {
        receive *e = &q->r[s];
        unsigned at = count;
        if (!e->used || !e->watched) continue;
        for (; at > 0 && list[at - 1]->clock > e->open.clock; at--) list[at] = list[at - 1];
        list[at] = &e->open;
        count++;
    }
    return count;
}

static uint32_t clock_of(const process *q)
{
    return q->now.at + q->entered;
}

static int is_behind(const process *q)
{
    return clock_of(q) < q->known;
}

static enum bl_how outcome(const process *q, const event *e, uint64_t clock)
{
    if (clock > q->known) return BL_OPEN;
    return e->there ? BL_KNOWN : clock < q->known ? BL_NOTHING : BL_OPEN;
}

static void note(event *e, event what)
{
    if (e->there && (e->a != what.a || e->b != what.b)) wrong("an event is told twice, and differently");
    if (!e->there) *e = what;
}

static uint64_t hash_of(const char *data, size_t bytes)
{
    uint64_t value;
    memcpy(&value, data, bytes);
    return mix(value);
}

static void tell(process *q, receive *e, int hashed)
{
    uint64_t hash = mix(e->value);
    if (w.mutant == HASH_LEFT_OUT) hashed = 0;
    note(&q->matched[e->open.clock - 1], (event){ 1, (uint8_t)hashed, e->source, e->tag, hash });
    bl_open_tell(&e->open, e->source, e->tag, hashed ? &hash : NULL);
    say("  told: the receive of call %u had tag %d from %d%s\n", (unsigned)e->open.clock, e->tag, e->source, hashed ? ", with a hash" : "");
}

static int hides(process *q, const receive *e)
{
    bl_open *list[SLOTS];
    unsigned count = watched_of(q, list);
    return bl_open_unsure(list, count, e->open.comm, e->open.clock, e->source, e->tag);
}

static int unsure(process *q, uint64_t comm, uint64_t clock, int source, int tag)
{
    bl_open *list[SLOTS];
    unsigned count = watched_of(q, list);
    for (unsigned i = 0; i < count; i++) {
        receive *e = (receive *)(void *)list[i];
        if (!bl_open_may_have(list[i], comm, clock, source, tag) || e->where != COMPLETE) continue;
        tell(q, e, w.mutant == HASH_BY_OCCASION ? bl_open_unsure(list, i, comm, e->open.clock, source, tag) : hides(q, e));
    }
    return bl_open_unsure(list, count, comm, clock, source, tag);
}

static void tell_if_it_has_to_be(process *q, receive *e)
{
    int by_match = w.mutant == TAG_NOT_TOLD;
    int open = unsure(q, e->open.comm, e->open.clock, by_match ? e->source : e->open.source, by_match ? e->tag : e->open.tag);
    if (e->open.wild || open) tell(q, e, hides(q, e));
}

static void pass_by(process *q, const receive *e)
{
    bl_open *list[SLOTS];
    unsigned count = watched_of(q, list);
    if (w.mutant != PASSED_STAYS) bl_open_pass_by(list, count, e->open.comm, e->open.clock, e->source, e->tag);
}

static uint64_t expect(process *q, const bl_open *o, int source, int tag)
{
    return ++q->expected[source][o->comm][tag];
}

/* The journals' message for it, if they hold one. */
static int feed(process *q, receive *e, int source, int tag, const uint64_t *hash)
{
    bl_fed *found = NULL;
    int whose = 0;
    for (int s = source < 0 ? 0 : source; s < (int)w.ranks; s++) {
        bl_fed *f = bl_lane_first(&q->lane[s][e->open.comm], tag, w.mutant == BARS_FORGOTTEN ? UINT64_MAX : e->open.clock, hash, hash_of);
        if (f && (!found || (bl_fed_before(f, found) && w.mutant != SKIPPED_LATER))) {
            found = f;
            whose = s;
        }
        if (source >= 0) break;
    }
    if (!found) {
        if (hash) bl_lane_take(&q->lane[source][e->open.comm], NULL, e->asked, e->open.clock);
        return 0;
    }
    memcpy(&e->value, found->data, sizeof e->value);
    e->source = whose;
    e->tag = found->tag;
    e->where = COMPLETE;
    bl_lane_take(&q->lane[whose][e->open.comm], found, e->asked, e->open.clock);
    say("  the receive of call %u takes message %u of tag %d from %d out of a journal\n", (unsigned)e->open.clock, (unsigned)found->number, e->tag, whose);
    return 1;
}

/* The library ends the job when nobody knows what it had. */
static void ask_mpi(uint32_t r, receive *e)
{
    for (int s = e->open.source < 0 ? 0 : e->open.source; s < (int)w.ranks; s++) {
        if (w.mutant != BARS_FORGOTTEN && bl_lane_bars(&w.p[r].lane[s][e->open.comm], e->open.tag, e->open.clock)) w.given_up = 1;
        if (e->open.source >= 0) break;
    }
    give_to_mpi(r, e, e->open.source, e->open.tag);
}

static enum bl_how look_up(const process *q, bl_open *o)
{
    const event *known = &q->matched[o->clock - 1];
    enum bl_how how = outcome(q, known, o->clock);
    if (how == BL_KNOWN && w.mutant == KNOWN_FORGOTTEN) how = BL_OPEN;
    if (how == BL_KNOWN) bl_open_known(o, known->a, known->b, known->hashed ? &known->hash : NULL);
    return how;
}

static int any_watched(process *q)
{
    bl_open *list[SLOTS];
    return watched_of(q, list) > 0;
}

static void count_posted(process *q, bl_open *o)
{
    if (o->source >= 0 && o->tag >= 0) o->number = expect(q, o, o->source, o->tag);
}

static void post(uint32_t r, const op *o)
{
    process *q = &w.p[r];
    receive *e = &q->r[o->slot];
    bl_open *list[SLOTS];
    *e = (receive){ .asked = o->tag, .open = { .comm = o->comm, .clock = q->now.at + 1, .source = o->peer, .tag = o->tag, .wild = o->peer == ANY } };
    enum bl_how how = look_up(q, &e->open);
    unsigned count = watched_of(q, list);
    if (w.mutant == LATER_OVERTAKES) count = 0;
    int waits = bl_open_holds(list, count, &e->open, w.mutant == NOBODY_HELD && how == BL_NOTHING ? BL_OPEN : how, 0);
    e->used = 1;
    if (waits) {
        e->open.held = e->watched = 1;
        say("  it is held\n");
        return;
    }
    if (feed(q, e, e->open.source, e->open.tag, e->open.hashed ? &e->open.hash : NULL)) {
        if (how != BL_KNOWN && (e->open.wild || w.mutant != CHOSEN_UNTOLD)) tell_if_it_has_to_be(q, e);
        uint64_t hash = e->open.hash;
        bl_open_known(&e->open, e->source, e->tag, e->open.hashed ? &hash : NULL);
        count_posted(q, &e->open);
        return;
    }
    give_to_mpi(r, e, e->open.source, e->open.tag);
    count_posted(q, &e->open);
    e->watched = how != BL_KNOWN && (e->open.wild || any_watched(q) || e->open.tag == ANY);
}

static void look_whether_it_can_be(const process *q)
{
    for (uint32_t k = 0; k < RANKS * COMMS && w.mutant != SKIPPED_LATER; k++)
        if (bl_lane_is_wrong(&q->lane[k / COMMS][k % COMMS])) w.given_up = 1;
}

static void let_go_of_held(uint32_t r)
{
    process *q = &w.p[r];
    bl_open *list[SLOTS];
    if (is_behind(q) || outcome(q, &q->matched[clock_of(q) - 1], clock_of(q)) == BL_KNOWN) return;
    unsigned count = watched_of(q, list), some = 0;
    for (unsigned i = 0; i < count; i++) {
        receive *e = (receive *)(void *)list[i];
        if (!e->open.held) continue;
        e->open.held = 0;
        count_posted(q, &e->open);
        if (!feed(q, e, e->open.source, e->open.tag, NULL)) ask_mpi(r, e);
        else if (e->open.wild) tell(q, e, hides(q, e));
        some = 1;
    }
    if (some) look_whether_it_can_be(q);
}

/* The program sees the end of a receive. */
static void see(uint32_t r, receive *e, int told_now)
{
    process *q = &w.p[r];
    uint32_t call = (uint32_t)e->open.clock - 1;
    seen *s = &q->seen[call], now = { 1, (uint8_t)e->open.comm, e->source, e->tag, e->value };
    if (told_now && !e->open.told) tell_if_it_has_to_be(q, e);
    if (told_now || w.mutant != ONLY_WATCHED_PASS) pass_by(q, e);
    q->now.received[e->source][e->open.comm][e->tag]++;
    q->now.state = mix(q->now.state ^ e->value ^ (uint64_t)(e->source * TAGS + e->tag));
    if (s->there && (s->source != now.source || s->tag != now.tag || s->value != now.value)) wrong("a rank sees something else than it saw before");
    *s = now;
    say("  it sees %llx with tag %d from %d, in the receive of call %u\n", (unsigned long long)e->value, e->tag, e->source, call + 1);
    e->used = 0;
}

static void complete(uint32_t r, receive *e)
{
    process *q = &w.p[r];
    if (e->open.source < 0 || e->open.tag < 0) expect(q, &e->open, e->source, e->tag);
    see(r, e, e->watched);
}

/* One that waits. */
static int receive_now(uint32_t r, const op *o)
{
    process *q = &w.p[r];
    receive *e = &q->r[BLOCKING];
    if (!e->used) {
        *e = (receive){ .used = 1, .asked = o->tag, .open = { .comm = o->comm, .clock = q->now.at + 1, .source = o->peer, .tag = o->tag, .wild = o->peer == ANY } };
        e->watched = look_up(q, &e->open) != BL_KNOWN; /* to be told */
    }
    if (e->where == NOWHERE && !feed(q, e, e->open.source, e->open.tag, e->open.hashed ? &e->open.hash : NULL))
        give_to_mpi(r, e, e->open.source, e->open.tag);
    if (e->where != COMPLETE) return 0;
    expect(q, &e->open, e->source, e->tag);
    see(r, e, e->watched && (e->open.wild || any_watched(q)));
    return 1;
}

/* --- sends --- */

static void append(uint32_t r, const op *o, uint64_t number, uint64_t value)
{
    uint32_t *lines = &w.lines[r][o->peer][o->comm];
    w.journal[r][o->peer][o->comm][(*lines)++] = (line){ o->tag, number, value };
}

static uint64_t value_of(uint64_t state, uint64_t number)
{
    return mix(state + number);
}

static void finish_send(uint32_t r)
{
    process *q = &w.p[r];
    const op *o = &w.program[r][q->now.at];
    uint64_t number = q->now.sent[o->peer][o->comm][o->tag];
    append(r, o, number, value_of(q->now.state, number));
    q->copying = q->entered = 0;
    q->now.at++;
}

static void send(uint32_t r, const op *o)
{
    process *q = &w.p[r];
    uint64_t number = ++q->now.sent[o->peer][o->comm][o->tag], value = value_of(q->now.state, number), *truth = &w.truth[r][o->peer][o->comm][o->tag][number];
    if (*truth && *truth != value + 1) wrong("a rank sends something else than it did");
    *truth = value + 1 ? value + 1 : 1;
    switch (bl_send_again(number, q->until[o->peer][o->comm][o->tag], q->logged[o->peer][o->comm][o->tag])) {
    case BL_AGAIN_SEND:
        w.wire[r][o->peer][o->comm].m[w.wire[r][o->peer][o->comm].tail++] = (message){ o->tag, value, r };
        q->copying = 1;
        return;
    case BL_AGAIN_LOG:
        if (w.mutant != NOT_LOGGED_AGAIN) append(r, o, number, value);
        break;
    case BL_AGAIN_LEAVE: break;
    }
    q->entered = 0;
    q->now.at++;
}

/* --- one step of a rank --- */

static int wait_for_any(uint32_t r, const op *o)
{
    process *q = &w.p[r];
    uint32_t at = q->now.at, first = chance(SLOTS);
    enum bl_how how = outcome(q, &q->index[at], at + 1);
    for (uint32_t k = 0; k < SLOTS; k++) {
        uint32_t s = (first + k) % SLOTS;
        if (!(o->slot >> s & 1) || !q->r[s].used || q->r[s].where != COMPLETE || (how == BL_KNOWN && q->index[at].a != (int)s)) continue;
        if (how != BL_KNOWN) note(&q->index[at], (event){ .there = 1, .a = (int)s });
        if (q->any[at] && q->any[at] != (int)s + 1) wrong("a rank waits for any, and sees another than before");
        q->any[at] = (int)s + 1;
        complete(r, &q->r[s]);
        return 1;
    }
    return 0;
}

static int wait_for(uint32_t r, const op *o)
{
    receive *e = &w.p[r].r[o->slot];
    if (!e->used) return 1;
    if (e->where != COMPLETE) return 0;
    complete(r, e);
    return 1;
}

static int perform(uint32_t r)
{
    process *q = &w.p[r];
    const op *o = &w.program[r][q->now.at];
    switch ((enum kind)o->kind) {
    case SEND: send(r, o); return 0; /* it goes on itself */
    case POST: post(r, o); return 1;
    case RECEIVE: return receive_now(r, o);
    case WAIT: return wait_for(r, o);
    case WAIT_ANY: return wait_for_any(r, o);
    case SAFE: break;
    }
    if (is_behind(q) || chance(2) == 0) return 1;
    q->checkpoint = q->now;
    q->checkpoint.at++;
    say("  it takes a checkpoint\n");
    return 1;
}

static void match_again(uint32_t r)
{
    process *q = &w.p[r];
    bl_open *list[SLOTS], *o;
    unsigned count = watched_of(q, list), turn = w.mutant == TOLD_IN_TURN ? count : 0;
    if (w.mutant == TOLD_IN_TURN)
        for (unsigned i = 0; i < count; i++) list[i]->hashed = 0;
    if (w.mutant == MATCHED_BACKWARDS)
        for (unsigned i = 0; i < count / 2; i++) {
            bl_open *other = list[i];
            list[i] = list[count - 1 - i];
            list[count - 1 - i] = other;
        }
    while ((o = bl_open_again(list, count, &turn)) != NULL) {
        receive *e = (receive *)(void *)o;
        int told = o->told && w.mutant != TOLD_FORGOTTEN, source = told ? o->from : o->source, tag = told ? o->with : o->tag;
        if (feed(q, e, source, tag, told && o->hashed ? &o->hash : NULL)) continue;
        if (told) give_to_mpi(r, e, source, tag);
        else ask_mpi(r, e);
    }
    look_whether_it_can_be(q);
    q->stays = 0;
}

static const char *const kind_name[] = { "send", "post", "receive", "wait", "wait for any", "safe point" };

static int can(uint32_t r)
{
    const process *q = &w.p[r];
    if (q->stays || q->copying) return 1;
    if (q->now.at == w.ops[r]) return 0;
    if (!q->entered) return 1;
    const op *o = &w.program[r][q->now.at];
    if (o->kind == WAIT) return !q->r[o->slot].used || q->r[o->slot].where == COMPLETE;
    if (o->kind == RECEIVE) return !q->r[BLOCKING].used || q->r[BLOCKING].where == COMPLETE || q->r[BLOCKING].where == NOWHERE;
    if (o->kind != WAIT_ANY) return 1;
    const event *e = &q->index[q->now.at];
    for (uint32_t s = 0; s < SLOTS; s++)
        if ((o->slot >> s & 1) && q->r[s].used && q->r[s].where == COMPLETE && (outcome(q, e, q->now.at + 1) != BL_KNOWN || e->a == (int)s)) return 1;
    return 0;
}

static void act(uint32_t r)
{
    process *q = &w.p[r];
    if (q->stays) {
        say("step %u: rank %u matches again\n", w.steps, r);
        match_again(r);
        return;
    }
    if (q->copying) {
        say("step %u: rank %u, call %u: the copy\n", w.steps, r, q->now.at + 1);
        finish_send(r);
        return;
    }
    const op *o = &w.program[r][q->now.at];
    if (!q->entered) {
        say("step %u: rank %u, call %u: %s, peer %d, comm %u, tag %d, slot %u\n", w.steps, r, q->now.at + 1, kind_name[o->kind], o->peer, o->comm, o->tag, o->slot);
        q->entered = 1;
        if (clock_of(q) > q->begun) q->begun = clock_of(q);
        let_go_of_held(r);
        return;
    }
    say("step %u: rank %u, call %u goes on\n", w.steps, r, q->now.at + 1);
    if (!perform(r)) return;
    q->entered = 0;
    q->now.at++;
}

/* --- a death --- */

/* Of a survivor in a send: whoever has not received it takes it out of the journal. */
static void sent_all_the_same(uint32_t r)
{
    process *q = &w.p[r];
    if (q->entered && !q->copying && w.program[r][q->now.at].kind == SEND) send(r, &w.program[r][q->now.at]);
    if (q->copying) finish_send(r);
}

static int can_stay(process *q)
{
    bl_open *list[SLOTS];
    if (is_behind(q)) return 0;
    for (uint32_t s = 0; s < SLOTS; s++) {
        const receive *e = &q->r[s];
        if (!e->used) continue;
        if (e->open.held) return 0;
        if (e->open.source < 0 || e->open.tag < 0) continue;
        if (w.mutant != COUNTERS_TELL && bl_open_behind(e->open.number, q->now.received[e->open.source][e->open.comm][e->open.tag])) return 0;
    }
    return !bl_open_passed(list, watched_of(q, list));
}

/* What the journals of all hold for it. */
static void load(uint32_t r)
{
    process *q = &w.p[r];
    for (uint32_t from = 0; from < w.ranks; from++)
        for (uint32_t comm = 0; comm < COMMS; comm++) {
            uint64_t next[TAGS];
            bl_lane *l = &q->lane[from][comm];
            *l = (bl_lane){ .message = q->fed[from][comm] };
            for (uint32_t tag = 0; tag < TAGS; tag++) next[tag] = w.mutant == HAD_AGAIN ? 1 : q->now.received[from][comm][tag] + 1;
            for (uint32_t k = 0; k < w.lines[from][r][comm]; k++) {
                const line *j = &w.journal[from][r][comm][k];
                enum bl_place place = bl_fed_place(j->number, &next[j->tag]);
                if (place == BL_PLACE_GAP) wrong("a message that is needed is in no journal");
                if (place != BL_PLACE_NEXT) continue;
                l->message[l->count++] = (bl_fed){ .number = j->number, .tag = j->tag, .bytes = sizeof j->value, .data = (const char *)&j->value };
            }
        }
}

/* All of its receivers have said what they have. */
static void agree(uint32_t r)
{
    process *q = &w.p[r];
    memset(q->until, 0, sizeof q->until);
    memset(q->logged, 0, sizeof q->logged);
    for (uint32_t to = 0; to < w.ranks; to++)
        for (uint32_t comm = 0; comm < COMMS; comm++) {
            for (uint32_t k = 0; k < w.lines[r][to][comm]; k++) {
                const line *j = &w.journal[r][to][comm][k];
                q->logged[to][comm][j->tag] = bl_send_until(q->logged[to][comm][j->tag], j->number);
            }
            for (uint32_t tag = 0; tag < TAGS; tag++) {
                uint64_t logged = q->logged[to][comm][tag], has = w.p[to].now.received[r][comm][tag];
                q->until[to][comm][tag] = w.mutant == JOURNAL_ALONE ? logged : w.mutant == RECEIVER_ALONE ? has : bl_send_until(logged, has);
                if (q->until[to][comm][tag] < q->now.sent[to][comm][tag] && w.mutant != RECEIVER_ALONE) wrong("a message is in no journal, and will not be sent again");
            }
        }
}

static void go_back(process *q)
{
    q->now = q->checkpoint;
    q->entered = q->copying = q->stays = 0;
    q->known = q->begun;
    memset(q->r, 0, sizeof q->r);
    memcpy(q->expected, q->now.received, sizeof q->expected);
}

/* Who stays: what MPI had is gone. */
static void stay(process *q)
{
    q->stays = 1;
    for (uint32_t s = 0; s <= SLOTS; s++) {
        q->r[s].where = NOWHERE;
        if (s != BLOCKING) q->r[s].watched = q->r[s].used;
    }
}

static void die(uint32_t dead)
{
    enum bl_vote vote[RANKS];
    int stays = 0, refused = chance(16) == 0;
    w.deaths++;
    memset(w.earlies, 0, sizeof w.earlies);
    for (uint32_t a = 0; a < w.ranks; a++)
        if (!(dead >> a & 1)) sent_all_the_same(a);
    for (uint32_t a = 0; a < w.ranks; a++)
        for (uint32_t b = 0; b < w.ranks; b++)
            for (uint32_t c = 0; c < COMMS; c++) w.wire[a][b][c].head = w.wire[a][b][c].tail = 0;
    for (uint32_t r = 0; r < w.ranks; r++) {
        vote[r] = bl_vote(!(dead >> r & 1) && can_stay(&w.p[r]), !refused || (dead >> r & 1));
        stays = bl_votes_local(stays, vote[r]);
    }
    for (uint32_t r = 0; r < w.ranks; r++) {
        int back = vote[r] != BL_VOTE_STAYS || stays <= 0;
        if (w.mutant == ALL_NEEDED && vote[r] == BL_VOTE_ALL) back = 0;
        say("step %u: rank %u %s\n", w.steps, r, dead >> r & 1 ? "is dead, and goes back" : back ? "goes back" : "stays");
        if (back) go_back(&w.p[r]);
        else stay(&w.p[r]);
    }
    for (uint32_t r = 0; r < w.ranks; r++) {
        load(r);
        if (!w.p[r].stays) agree(r);
    }
}

/* --- what has to hold in the end --- */

static void look_at_channel(uint32_t from, uint32_t to, uint32_t comm, uint32_t tag)
{
    const process *q = &w.p[to];
    uint64_t number = 0;
    for (uint32_t k = 0; k < w.ops[to]; k++) {
        const seen *s = &q->seen[k];
        if (!s->there || s->source != (int)from || s->comm != comm || s->tag != (int)tag) continue;
        say("rank %u, call %u: message %u of tag %u from %u\n", to, k + 1, (unsigned)number + 1, tag, from);
        if (++number > w.p[from].now.sent[to][comm][tag]) wrong("a message was received that was not sent");
        else if (w.truth[from][to][comm][tag][number] != s->value + 1) wrong("the receives of a channel do not have its messages in order");
    }
    if (number != q->now.received[from][comm][tag]) wrong("a message is counted that was not received");
}

/* The program alone, given what it has received. */
static void look_at_state(uint32_t r)
{
    const process *q = &w.p[r];
    uint64_t state = mix(r + 1);
    uint32_t posted[SLOTS] = { 0 };
    for (uint32_t k = 0; k < w.ops[r]; k++) {
        const op *o = &w.program[r][k];
        uint32_t slot = o->kind == WAIT_ANY ? (uint32_t)q->any[k] - 1 : o->slot, call = k + 1;
        if (o->kind == POST) posted[slot] = call;
        if (o->kind == WAIT || o->kind == WAIT_ANY) {
            call = posted[slot];
            posted[slot] = 0;
        }
        if (o->kind == SEND || o->kind == SAFE || o->kind == POST || !call) continue;
        const seen *s = &q->seen[call - 1];
        state = mix(state ^ s->value ^ (uint64_t)(s->source * TAGS + s->tag));
    }
    if (state != q->now.state) wrong("the program alone comes to another state");
}

static void look_at_end(void)
{
    for (uint32_t r = 0; r < w.ranks; r++)
        if (w.p[r].now.at < w.ops[r]) wrong("a rank waits for ever");
    for (uint32_t r = 0; r < w.ranks && !w.wrong; r++) {
        look_at_state(r);
        for (uint32_t from = 0; from < w.ranks; from++)
            for (uint32_t k = 0; k < COMMS * TAGS; k++) look_at_channel(from, r, k / TAGS, k % TAGS);
    }
}

/* --- one run --- */

static void start(uint64_t seed, enum mutant mutant, int trace)
{
    memset(w.ops, 0, sizeof w.ops);
    memset(w.lines, 0, sizeof w.lines);
    memset(w.truth, 0, sizeof w.truth);
    memset(w.earlies, 0, sizeof w.earlies);
    w.steps = w.deaths = w.orders = 0;
    w.random = mix(seed);
    w.mutant = mutant;
    w.trace = trace;
    w.wrong = NULL;
    w.given_up = 0;
    w.ranks = 2 + chance(RANKS - 1);
    write_program();
    for (uint32_t r = 0; r < RANKS; r++) {
        process *q = &w.p[r];
        memset(q, 0, sizeof *q);
        q->now.state = q->checkpoint.state = mix(r + 1);
        for (uint32_t to = 0; to < RANKS; to++)
            for (uint32_t c = 0; c < COMMS; c++) {
                w.wire[r][to][c].head = w.wire[r][to][c].tail = 0;
                q->lane[to][c].message = q->fed[to][c];
            }
    }
}

/* 0: nothing is left to do. */
static int step_of(int slowest)
{
    struct { uint8_t kind, a, b, c; } choice[RANKS * RANKS * COMMS + RANKS + RANKS * (SLOTS + 1)];
    uint32_t choices = 0;
#define CAN(k, x, y, z) (choice[choices].kind = k, choice[choices].a = (uint8_t)(x), choice[choices].b = (uint8_t)(y), choice[choices++].c = (uint8_t)(z))
    for (uint32_t r = 0; r < w.ranks; r++) {
        if (can(r)) CAN(0, r, 0, 0);
        for (uint32_t s = 0; s <= SLOTS; s++)
            if (w.p[r].r[s].used && w.p[r].r[s].where == MATCHED && (slowest || chance(1 + 4 * w.slow) == 0)) CAN(1, r, s, 0);
        for (uint32_t to = 0; to < w.ranks; to++)
            for (uint32_t c = 0; c < COMMS; c++)
                if (w.wire[r][to][c].head < w.wire[r][to][c].tail) CAN(2, r, to, c);
    }
#undef CAN
    if (!choices) return 0;
    uint32_t k = chance(choices);
    if (choice[k].kind == 0) act(choice[k].a);
    if (choice[k].kind == 1) w.p[choice[k].a].r[choice[k].b].where = COMPLETE;
    if (choice[k].kind == 2) arrive(choice[k].a, choice[k].b, choice[k].c);
    return 1;
}

static int step(void)
{
    return step_of(0) || step_of(1);
}

/* By chance; or all that have sent a message which is not in their journals yet. */
static uint32_t victims(void)
{
    uint32_t dead = 0;
    for (uint32_t r = 0; r < w.ranks; r++) dead |= (uint32_t)w.p[r].copying << r;
    if (dead && chance(3) == 0) return dead;
    dead = 0;
    for (uint32_t many = 1 + (chance(3) == 0); many > 0; many--) dead |= 1u << chance(w.ranks);
    return dead;
}

static uint64_t schedules, deaths, given_up;

/* Steps it took.  at: [DEATHS] numbers of steps before which there is a death. */
static uint32_t run(uint64_t seed, enum mutant mutant, const uint32_t *at, uint32_t salt, int trace)
{
    start(seed, mutant, trace);
    w.random = mix(w.random + salt);
    for (; !w.wrong && !w.given_up; w.steps++) {
        for (uint32_t k = 0; k < DEATHS && !w.wrong; k++)
            if (at[k] == w.steps) die(victims());
        if (!step()) break;
        if (w.steps == STEPS) wrong("it does not come to an end");
    }
    if (!w.wrong && !w.given_up) look_at_end();
    given_up += (uint64_t)w.given_up;
    return w.steps;
}

/* 0 when all went well. */
static int all_deaths(uint64_t seed, enum mutant mutant, int trace)
{
    uint32_t at[DEATHS] = { NEVER, NEVER, NEVER, NEVER }, steps = run(seed, mutant, at, 0, 0), k = 0;
    for (; !w.wrong && k < 2 * steps; k++) {
        at[0] = k % steps;
        for (uint32_t d = 1; d < DEATHS; d++) at[d] = k < steps ? NEVER : at[d - 1] + (uint32_t)(mix(seed + 31 * k + d) % (d % 2 ? 8 : steps));
        run(seed, mutant, at, k, 0);
        schedules++;
        deaths += w.deaths;
    }
    if (!w.wrong || mutant != NONE) return w.wrong != NULL;
    printf("seed %llu, %u ranks, deaths before steps %d %d %d %d: %s\n", (unsigned long long)seed, w.ranks, (int)at[0], (int)at[1], (int)at[2], (int)at[3], w.wrong);
    if (trace) run(seed, mutant, at, k ? k - 1 : 0, 1);
    return 1;
}

static int try_mutants(void)
{
    enum { MOST = 1500 };
    int missed = 0;
    for (enum mutant m = NONE + 1; m < MUTANTS; m++) {
        uint64_t seed = 1;
        while (seed <= MOST && !all_deaths(seed, m, 0)) seed++;
        printf("mutant: %s: %s%s, seed %llu\n", mutant_name[m], seed <= MOST ? "caught: " : "NOT CAUGHT", seed <= MOST ? w.wrong : "", (unsigned long long)seed);
        missed += seed > MOST;
    }
    return missed;
}

int main(int argc, char **argv)
{
    uint64_t programs = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000, first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int bad = 0;
    for (uint64_t seed = first; seed < first + programs && bad < 5; seed++) bad += all_deaths(seed, NONE, argc > 3);
    printf("%llu programs: %llu schedules, %llu deaths, %llu given up, %d wrong\n", (unsigned long long)programs, (unsigned long long)schedules,
           (unsigned long long)deaths, (unsigned long long)given_up, bad);
    if (argc <= 2) bad += try_mutants();
    return bad != 0;
}
