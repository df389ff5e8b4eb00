/* sim_induced_run - jobs under communication-induced checkpointing at safe points, as checkpoint=induced runs them: ranks take
 * checkpoints when they like, messages and collectives force more (or promote the state of the last safe point), what is
 * received late goes to a log, all ranks die at any moment and restart from the line of counters and logs, with what is in
 * transit sent again from the logs; again and again, with garbage collected in between.
 *
 *     sim_induced_run [JOBS [FIRST-SEED]]
 *
 * The program of each rank is a fixed list of operations, as in sim_independent.  After each failure the line is compared with
 * the greatest of all cuts without orphans on which whatever is lost is in a log; where nothing was refused and no index
 * learnt too late, for every n the first checkpoints with index n or more are a line, and at the end no checkpoint is useless;
 * and in the end every rank has computed what it computes without failures.  Mutants of the rules have to be caught.  A
 * failing seed is printed with what was wrong; run it again with `sim_induced_run 1 SEED`.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line/history.h"
#include "protocol/induced.h"

enum { RANKS = 4, OPS = 160, TAGS = 2, COMMS = 2, SAVED = 48, QUEUE = 256, CUTS = 4000, LOG = 512, HELD = 128, INSTANCES = 64 };
#define NOW UINT32_MAX /* in a cut: what the rank has in memory */

enum mutant { NONE, NOT_SETTLED, STALE_KEPT, PROMOTED_AFTER_SEND, LATE_NOT_LOGGED, HELD_NOT_LOGGED, ONE_BOUND, FREE_COLLECTIVES,
              COLLECTED_BY_NUMBER, NOT_RESENT, MUTANTS };
static const char *const mutant_name[] = {
    "none", "a restart empties the logs", "a restart keeps what it undoes in the logs",
    "a state of the past is promoted although something was sent since", "late messages are not logged",
    "what was delivered since a promoted state is not logged", "what one tag says of its sender is believed of another",
    "collectives force nothing", "log files older than the line go whatever is in them", "what is in transit is not sent again" };

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

typedef struct saved { rank here; uint32_t index, number, forced; } saved;

typedef struct message { uint64_t value; uint32_t index, life; } message; /* life: the incarnation that sent it */

typedef struct late {         /* a record of the log */
    message m;
    uint32_t from;
    int tag;
    uint64_t number;
    uint32_t file;            /* the checkpoint it followed when it was written */
} late;

typedef struct driver {       /* what a rank's library holds in memory */
    bl_induced_points p;
    uint32_t known;           /* the highest index it has heard of and could not follow */
    uint32_t heard[RANKS][TAGS]; /* of the last message of a channel: no later one has a lower index */
    rank shadow;              /* the state of the last safe point ... */
    int taken;                /* ... which is the newest checkpoint (or the start) */
    late held[HELD];          /* delivered since then */
    uint32_t holds, file;
} driver;

typedef struct job {
    uint64_t random, seed;
    uint32_t ranks, life;
    enum mutant mutant;
    op program[RANKS][OPS];
    uint32_t ops[RANKS];
    uint8_t member[COMMS][RANKS];
    rank now[RANKS];
    message queue[RANKS][RANKS][TAGS][QUEUE];
    uint32_t head[RANKS][RANKS][TAGS], tail[RANKS][RANKS][TAGS];
    uint32_t life_of[RANKS][RANKS][TAGS][OPS + 1]; /* the incarnation in which the k-th message was sent last */
    uint32_t highest[COMMS][INSTANCES];            /* index of a collective that somebody has begun; 0: nobody */
    saved kept[RANKS][SAVED];
    uint32_t saves[RANKS], number, start[RANKS];   /* start: index of the start */
    late log[RANKS][LOG];
    uint32_t logs[RANKS];
    driver d[RANKS];
    uint32_t lateness;        /* of 8 messages whose index is learnt only after they were delivered */
    uint32_t order;           /* of 4 receives and collectives: see add_receiving */
    uint32_t basic;           /* of 8 safe points at which a checkpoint is taken */
    uint32_t floor[RANKS];    /* where the ranks stood on the last line: no later one is behind it */
    uint32_t usable;          /* lines of a lower index are gone: garbage, or behind a restart */
    uint32_t old[RANKS];      /* checkpoints older than that */
    int dirty, ever_dirty;    /* refused or learnt late: since the restart, since the start */
    int full;                 /* some table is: the job says nothing any more */
    char wrong[200];
} job;

typedef struct tally {
    uint64_t restarts, compared, starts, collected, promoted, forced, refused, late, resent, lines, clean, checkpoints, files, full;
} tally;

static int wrong(job *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int wrong(job *j, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(j->wrong, sizeof j->wrong, format, args);
    va_end(args);
    return -1;
}

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

static int sent_since_safe(const job *j, uint32_t r)
{
    uint32_t k = j->ops[r];
    while (k > 0 && j->program[r][k - 1].kind == RECEIVE) k--;
    return k > 0 && j->program[r][k - 1].kind != SAFE;
}

/* An orderly program has a safe point between what it sends and what it receives next: nothing need be refused. */
static void add_receiving(job *j, uint32_t r, op o)
{
    if (draw(j, 4) < j->order && sent_since_safe(j, r)) add(j, r, (op){ SAFE, 0, 0, 0 });
    add(j, r, o);
}

static int room(const job *j)
{
    for (uint32_t r = 0; r < j->ranks; r++)
        if (j->ops[r] > OPS - 64) return 0;
    return 1;
}

static void write_collective(job *j)
{
    unsigned c = (unsigned)draw(j, COMMS);
    for (uint32_t r = 0; r < j->ranks; r++)
        if (j->member[c][r]) add_receiving(j, r, (op){ COLLECTIVE, 0, 0, c });
}

enum { MOST_OPEN = 30 }; /* to one rank */

static uint32_t open_to(const job *j, uint32_t open[RANKS][RANKS][TAGS], uint32_t to)
{
    uint32_t all = 0;
    for (uint32_t from = 0; from < j->ranks; from++)
        for (int tag = 0; tag < TAGS; tag++) all += open[from][to][tag];
    return all;
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
            if (open_to(j, open, b) == MOST_OPEN) continue;
            add(j, a, (op){ SEND, b, tag, 0 });
            open[a][b][tag]++;
        } else if (what < 14) {
            if (!open[a][b][tag]) continue;
            add_receiving(j, b, (op){ RECEIVE, a, tag, 0 });
            open[a][b][tag]--;
        } else if (what < 15 + calm) {
            add(j, a, (op){ SAFE, 0, 0, 0 });
        } else if (what == 19 && draw(j, 3) == 0) {
            write_collective(j);
        }
    }
    /* Everything that is sent is received: what never is is lost with the channel. */
    for (uint32_t a = 0; a < j->ranks; a++)
        for (uint32_t b = 0; b < j->ranks; b++)
            for (int tag = 0; tag < TAGS; tag++)
                for (; open[a][b][tag] > 0; open[a][b][tag]--) add_receiving(j, b, (op){ RECEIVE, a, tag, 0 });
}

/* --- checkpoints and logs --- */

static void keep(job *j, uint32_t r, const rank *state, int forced)
{
    driver *d = &j->d[r];
    if (j->saves[r] == SAVED) {
        j->full = 1;
        return;
    }
    d->file = ++j->number;
    j->kept[r][j->saves[r]++] = (saved){ *state, d->p.index, d->file, (uint32_t)forced };
}

static void write_log(job *j, uint32_t r, late l)
{
    l.file = j->d[r].file;
    if (j->logs[r] == LOG) j->full = 1;
    else j->log[r][j->logs[r]++] = l;
}

/* The state of the last safe point is a checkpoint with the new index, and all that was delivered since is after it. */
static void promote(job *j, uint32_t r, tally *t)
{
    driver *d = &j->d[r];
    if (!d->taken) {
        keep(j, r, &d->shadow, 1);
        t->promoted++;
    } else if (j->saves[r]) {
        j->kept[r][j->saves[r] - 1].index = d->p.index;
    } else {
        j->start[r] = d->p.index;
    }
    d->taken = 1;
    for (uint32_t k = 0; k < d->holds; k++)
        if (bl_induced_points_late(&d->p, d->held[k].m.index) && j->mutant != HELD_NOT_LOGGED) {
            write_log(j, r, d->held[k]);
            t->late++;
        }
}

static void answer(job *j, uint32_t r, enum bl_induced_answer a, uint32_t index, tally *t)
{
    driver *d = &j->d[r];
    if (a == BL_INDUCED_REFUSE) {
        t->refused++;
        j->dirty = j->ever_dirty = 1;
        if (index > d->known) d->known = index;
    } else if (a == BL_INDUCED_PROMOTE) {
        promote(j, r, t);
    }
}

static void safe_point(job *j, uint32_t r, tally *t)
{
    driver *d = &j->d[r];
    int basic = draw(j, 8) < j->basic;
    bl_induced_points_safe(&d->p, basic);
    int forced = bl_induced_points_known(&d->p, d->known) && !basic;
    t->forced += (uint64_t)forced;
    d->shadow = j->now[r];
    d->taken = basic || forced;
    d->holds = 0;
    if (d->taken) keep(j, r, &j->now[r], forced);
}

/* The index of the message is known before it is delivered, or only after: then it is not lower than what the one before on
 * its channel had. */
static void deliver(job *j, uint32_t r, uint32_t from, int tag, message m, tally *t)
{
    driver *d = &j->d[r];
    uint32_t *heard = &d->heard[from][tag];
    int after = draw(j, 8) < j->lateness;
    if (j->mutant == ONE_BOUND && d->heard[from][!tag] > *heard) *heard = d->heard[from][!tag];
    late l = { { m.value, after ? *heard : m.index, m.life }, from, tag, j->now[r].count.received[from][tag], 0 };
    if (!after && j->mutant == PROMOTED_AFTER_SEND) d->p.sent = 0;
    if (!after)
        answer(j, r, bl_induced_points_receive(&d->p, m.index, 0), m.index, t);
    else if (m.index > d->p.index)
        j->dirty = j->ever_dirty = 1;
    if (bl_induced_points_late(&d->p, l.m.index) && j->mutant != LATE_NOT_LOGGED) {
        write_log(j, r, l);
        t->late++;
    }
    if (d->holds == HELD) j->full = 1;
    else d->held[d->holds++] = l;
    if (after && m.index > d->known) d->known = m.index;
    if (m.index > *heard) *heard = m.index;
}

/* Whoever begins it knows the indices of all: they are all there. */
static void join(job *j, uint32_t r, unsigned c, uint64_t instance, tally *t)
{
    uint32_t *highest = &j->highest[c][instance % INSTANCES];
    for (uint32_t m = 0, first = !*highest; first && m < j->ranks; m++)
        if (j->member[c][m] && j->d[m].p.index > *highest) *highest = j->d[m].p.index;
    if (j->mutant != FREE_COLLECTIVES) answer(j, r, bl_induced_points_collective(&j->d[r].p, *highest), *highest, t);
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

/* One operation of rank r; 0 when it has to wait. */
static int step(job *j, uint32_t r, int saving, tally *t)
{
    rank *me = &j->now[r];
    if (me->at == j->ops[r]) return 0;
    op o = j->program[r][me->at];
    if (o.kind == RECEIVE && j->head[o.peer][r][o.tag] == j->tail[o.peer][r][o.tag]) return 0;
    if (o.kind == COLLECTIVE && !collective_ready(j, me, o.comm)) return 0;
    if (o.kind == COLLECTIVE && saving) join(j, r, o.comm, me->count.started[o.comm], t);
    me->at++;
    switch (o.kind) {
    case SEND: {
        uint32_t index = saving ? bl_induced_points_send(&j->d[r].p) : 0;
        j->queue[r][o.peer][o.tag][j->tail[r][o.peer][o.tag]++ % QUEUE] = (message){ mix(me->state, me->at), index, j->life };
        j->life_of[r][o.peer][o.tag][++me->count.sent[o.peer][o.tag]] = j->life;
        break;
    }
    case RECEIVE: {
        message m = j->queue[o.peer][r][o.tag][j->head[o.peer][r][o.tag]++ % QUEUE];
        me->count.received[o.peer][o.tag]++;
        if (saving) deliver(j, r, o.peer, o.tag, m, t);
        me->state = mix(me->state, m.value);
        break;
    }
    case COLLECTIVE:
        me->state = mix(me->state, me->count.started[o.comm]++);
        break;
    case SAFE:
        if (saving) safe_point(j, r, t);
        break;
    }
    return 1;
}

/* --- the line, by the counters and logs --- */

static uint64_t channel_id(int tag) { return 100 + (uint64_t)tag; }

static int record(const job *j, bl_history *h, uint32_t r, const counters *c, int open, bl_error *err)
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
    return (open ? bl_history_open : bl_history_checkpoint)(h, r, channel, channels, collective, collectives, err);
}

static bl_history *history(job *j, int open)
{
    bl_history *h = NULL;
    bl_error err = { 0, "" };
    int rc = bl_history_new(j->ranks, &h, &err);
    for (uint32_t r = 0; rc == BELAY_OK && r < j->ranks; r++) {
        for (uint32_t k = 0; rc == BELAY_OK && k < j->saves[r]; k++) rc = record(j, h, r, &j->kept[r][k].here.count, 0, &err);
        if (rc == BELAY_OK && open) rc = record(j, h, r, &j->now[r].count, 1, &err);
        for (uint32_t k = 0; rc == BELAY_OK && k < j->logs[r]; k++) {
            const late *l = &j->log[r][k];
            rc = bl_history_logged(h, r, channel_id(l->tag), l->from, l->tag, l->number, l->number, &err);
        }
    }
    if (rc == BELAY_OK) return h;
    wrong(j, "no history: %.150s", err.text);
    bl_history_free(h);
    return NULL;
}

static int solve(job *j, bl_history *h, uint32_t *cut)
{
    bl_graph *graph = NULL;
    bl_line line = { 0 };
    bl_error err = { 0, "" };
    int rc = bl_history_graph(h, &graph, &err);
    if (rc == BELAY_OK) rc = bl_line_solve(graph, BL_LINE_LOGGED, NULL, &line, &err);
    if (rc == BELAY_OK) rc = bl_line_check(graph, BL_LINE_LOGGED, NULL, &line, &err);
    if (rc == BELAY_OK) memcpy(cut, line.cut, sizeof *cut * j->ranks);
    else wrong(j, "no line: %.150s", err.text);
    bl_line_clear(&line);
    if (graph) bl_graph_free(graph);
    return rc;
}

static uint32_t position(const job *j, uint32_t r, uint32_t c)
{
    return c == NOW ? j->now[r].at : c ? j->kept[r][c - 1].here.at : 0;
}

static int line_of(job *j, bl_history *h, uint32_t *cut)
{
    if (solve(j, h, cut)) return -1;
    for (uint32_t r = 0; r < j->ranks; r++) {
        uint32_t here = position(j, r, cut[r]);
        if (here < j->floor[r])
            return wrong(j, "the line of rank %u has gone back from operation %u to %u", r, j->floor[r], here);
        j->floor[r] = here;
    }
    return 0;
}

/* --- and by the truth, which needs no counters --- */

typedef struct truth {
    uint8_t sent[RANKS][OPS + 1][RANKS][TAGS], received[RANKS][OPS + 1][RANKS][TAGS], started[RANKS][OPS + 1][COMMS];
    uint8_t logged[RANKS][RANKS][TAGS][OPS + 1];
} truth;

static void find_truth(const job *j, truth *w)
{
    memset(w, 0, sizeof *w);
    for (uint32_t r = 0; r < j->ranks; r++) {
        for (uint32_t k = 0; k < j->ops[r]; k++) {
            const op *o = &j->program[r][k];
            memcpy(w->sent[r][k + 1], w->sent[r][k], sizeof w->sent[r][k]);
            memcpy(w->received[r][k + 1], w->received[r][k], sizeof w->received[r][k]);
            memcpy(w->started[r][k + 1], w->started[r][k], sizeof w->started[r][k]);
            switch (o->kind) {
            case SEND: w->sent[r][k + 1][o->peer][o->tag]++; break;
            case RECEIVE: w->received[r][k + 1][o->peer][o->tag]++; break;
            case COLLECTIVE: w->started[r][k + 1][o->comm]++; break;
            case SAFE: break;
            }
        }
        for (uint32_t k = 0; k < j->logs[r]; k++) {
            const late *l = &j->log[r][k];
            w->logged[l->from][r][l->tag][l->number] = 1;
        }
    }
}

/* `until`: what was not received by then is in the channel; NULL: there is no channel any more. */
static int messages_agree(const job *j, const truth *w, const uint32_t *at, const uint32_t *until)
{
    for (uint32_t a = 0; a < j->ranks; a++)
        for (uint32_t b = 0; b < j->ranks; b++)
            for (int t = 0; t < TAGS && a != b; t++) {
                uint32_t sent = w->sent[a][at[a]][b][t], received = w->received[b][at[b]][a][t];
                uint32_t most = until && w->received[b][until[b]][a][t] < sent ? w->received[b][until[b]][a][t] : sent;
                if (received > sent) return 0;
                for (uint32_t k = received + 1; k <= most; k++)
                    if (!w->logged[a][b][t][k]) return 0;
            }
    return 1;
}

/* now[r]: this rank keeps its memory, and takes part in what others have begun. */
static int collectives_agree(const job *j, const truth *w, const uint32_t *at, const int *now)
{
    for (unsigned c = 0; c < COMMS; c++) {
        int64_t least = INT64_MAX, most = -1;
        for (uint32_t r = 0; r < j->ranks; r++) {
            if (!j->member[c][r]) continue;
            int64_t here = w->started[r][at[r]][c];
            if (here > most) most = here;
            if (!(now && now[r]) && here < least) least = here;
        }
        if (least != INT64_MAX && least < most) return 0;
    }
    return 1;
}

/* 0 when there are too many cuts to try them all. */
static int brute_force(const job *j, const truth *w, uint32_t *best)
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
        if (!messages_agree(j, w, at, NULL) || !collectives_agree(j, w, at, NULL)) continue;
        for (uint32_t r = 0; r < j->ranks; r++)
            if (cut[r] > best[r]) best[r] = cut[r]; /* good cuts are closed under the maximum */
    }
    return 1;
}

/* For every n the first checkpoints with index n or more, or what is held in memory. */
static int check_lines(job *j, const truth *w, tally *t)
{
    uint32_t top = 0, until[RANKS];
    for (uint32_t r = 0; r < j->ranks; r++) {
        until[r] = j->now[r].at;
        if (j->d[r].p.index > top) top = j->d[r].p.index;
    }
    for (uint32_t n = j->usable; n <= top && !j->dirty; n++) {
        uint32_t at[RANKS];
        int now[RANKS];
        for (uint32_t r = 0; r < j->ranks; r++) {
            uint32_t c = j->start[r] < n;
            while (c && c <= j->saves[r] && j->kept[r][c - 1].index < n) c++;
            now[r] = c > j->saves[r];
            at[r] = position(j, r, now[r] ? NOW : c);
        }
        t->lines++;
        if (!messages_agree(j, w, at, until) || !collectives_agree(j, w, at, now))
            return wrong(j, "the checkpoints with index %u, at operations %u %u ..., are no line", n, at[0], at[1]);
    }
    return 0;
}

/* --- a restart --- */

static const late *find_late(const job *j, uint32_t to, uint32_t from, int tag, uint64_t number)
{
    for (uint32_t k = j->logs[to]; k-- > 0; ) /* the last one counts */
        if (j->log[to][k].from == from && j->log[to][k].tag == tag && j->log[to][k].number == number) return &j->log[to][k];
    return NULL;
}

/* What is in transit is all that the logs keep, and is in the channels before anything else. */
static int settle(job *j, const bl_transit *row, size_t rows, tally *t)
{
    static late kept[RANKS][LOG];
    uint32_t keeps[RANKS] = { 0 };
    for (size_t k = 0; k < rows; k++)
        for (uint64_t n = row[k].first; n <= row[k].last; n++) {
            const late *l = find_late(j, row[k].to, row[k].from, row[k].tag, n);
            if (!l) return wrong(j, "message %llu from rank %u to rank %u is in no log", (unsigned long long)n, row[k].from, row[k].to);
            if (l->m.life != j->life_of[row[k].from][row[k].to][row[k].tag][n])
                return wrong(j, "message %llu from rank %u to rank %u is one that was undone", (unsigned long long)n, row[k].from,
                             row[k].to);
            late *to = &kept[row[k].to][keeps[row[k].to]++];
            *to = *l;
            to->file = j->d[row[k].to].file;
            if (j->mutant == NOT_RESENT) continue;
            j->queue[row[k].from][row[k].to][row[k].tag][j->tail[row[k].from][row[k].to][row[k].tag]++] =
                (message){ l->m.value, j->d[row[k].from].p.index, l->m.life };
            t->resent++;
        }
    for (uint32_t r = 0; r < j->ranks && j->mutant != STALE_KEPT; r++) {
        j->logs[r] = j->mutant == NOT_SETTLED ? 0 : keeps[r];
        memcpy(j->log[r], kept[r], sizeof kept[r][0] * keeps[r]);
    }
    return 0;
}

static void go_back(job *j, const uint32_t *cut)
{
    uint32_t index = 0;
    memset(j->head, 0, sizeof j->head);
    memset(j->tail, 0, sizeof j->tail);
    memset(j->highest, 0, sizeof j->highest);
    j->life++;
    for (uint32_t r = 0; r < j->ranks; r++) {
        uint32_t on_line = cut[r] ? j->kept[r][cut[r] - 1].index : j->start[r];
        if (on_line > index) index = on_line;
    }
    for (uint32_t r = 0; r < j->ranks; r++) {
        driver *d = &j->d[r];
        j->now[r] = cut[r] ? j->kept[r][cut[r] - 1].here : (rank){ .state = r + 1 };
        j->saves[r] = j->old[r] = cut[r];
        *d = (driver){ .shadow = j->now[r], .taken = 1, .file = cut[r] ? j->kept[r][cut[r] - 1].number : 0 };
        bl_induced_points_resume(&d->p, index);
        *(cut[r] ? &j->kept[r][cut[r] - 1].index : &j->start[r]) = index;
    }
    j->usable = index;
    j->dirty = 0;
}

static int restart(job *j, tally *t)
{
    static truth w;
    uint32_t cut[RANKS], best[RANKS], zero = 0;
    const bl_transit *row;
    size_t rows;
    bl_history *h = history(j, 0);
    if (!h) return -1;
    find_truth(j, &w);
    int bad = line_of(j, h, cut);
    if (!bad) bad = check_lines(j, &w, t);
    if (!bad && brute_force(j, &w, best)) {
        t->compared++;
        if (memcmp(cut, best, sizeof *cut * j->ranks))
            bad = wrong(j, "the line is %u %u ..., the greatest cut %u %u ...", cut[0], cut[1], best[0], best[1]);
    }
    if (!bad && bl_history_transit(h, cut, &row, &rows, NULL)) bad = wrong(j, "nothing said about what is in transit");
    if (!bad) {
        t->restarts++;
        for (uint32_t r = 0; r < j->ranks; r++) zero += cut[r] == 0;
        t->starts += zero == j->ranks;
        go_back(j, cut);
        bad = settle(j, row, rows, t);
    }
    bl_history_free(h);
    return bad;
}

/* --- garbage --- */

static int wanted(const job *j, uint32_t r, uint32_t file, const counters *at)
{
    for (uint32_t k = 0; k < j->logs[r]; k++) {
        const late *l = &j->log[r][k];
        if (l->file == file && l->number > at->received[l->from][l->tag]) return 1;
    }
    return 0;
}

static void collect_logs(job *j, uint32_t r, const saved *on_line, tally *t)
{
    uint32_t left = 0;
    for (uint32_t k = 0; k < j->logs[r]; k++) {
        const late *l = &j->log[r][k];
        int needed = j->mutant != COLLECTED_BY_NUMBER && wanted(j, r, l->file, &on_line->here.count);
        t->files += l->file < on_line->number && !needed;
        if (l->file >= on_line->number || needed) j->log[r][left++] = *l;
    }
    j->logs[r] = left;
}

static int collect(job *j, tally *t)
{
    uint32_t cut[RANKS];
    bl_history *h = history(j, 0);
    int bad = h ? line_of(j, h, cut) : -1;
    bl_history_free(h);
    for (uint32_t r = 0; !bad && r < j->ranks; r++) {
        if (cut[r] == 0) continue;
        saved on_line = j->kept[r][cut[r] - 1];
        uint32_t drop = cut[r] - 1, gone = drop ? j->kept[r][drop - 1].index : j->start[r];
        if (gone >= j->usable) j->usable = gone + 1;
        collect_logs(j, r, &on_line, t);
        memmove(j->kept[r], j->kept[r] + drop, sizeof *j->kept[r] * (j->saves[r] - drop));
        j->saves[r] -= drop;
        j->old[r] = 1;
        t->collected += drop;
    }
    return bad;
}

/* --- jobs --- */

static int done(const job *j)
{
    for (uint32_t r = 0; r < j->ranks; r++)
        if (j->now[r].at < j->ops[r]) return 0;
    return 1;
}

static int run_on(job *j, int saving, uint64_t steps, tally *t)
{
    for (unsigned idle = 0; steps > 0 && idle < 64 * RANKS; steps--) {
        uint32_t r = (uint32_t)draw(j, j->ranks);
        idle = step(j, r, saving, t) ? 0 : idle + 1;
    }
    return done(j);
}

static void begin(job *j)
{
    memset(j->head, 0, sizeof j->head);
    memset(j->tail, 0, sizeof j->tail);
    for (uint32_t r = 0; r < j->ranks; r++) {
        j->now[r] = (rank){ .state = r + 1 };
        j->d[r] = (driver){ .shadow = j->now[r], .taken = 1 };
        bl_induced_points_start(&j->d[r].p);
        j->start[r] = j->usable = j->d[r].p.index;
    }
}

/* Of what the last restart or collection left. */
static int none_useless(job *j, tally *t)
{
    bl_history *h = history(j, 1);
    bl_graph *graph = NULL;
    uint8_t *useless = NULL;
    uint64_t *first = NULL;
    int bad = !h || bl_history_graph(h, &graph, NULL) || bl_line_useless(graph, BL_LINE_LOGGED, &useless, &first, NULL)
        ? wrong(j, "useless checkpoints cannot be found") : 0;
    for (uint32_t r = 0; !bad && r < j->ranks; r++)
        for (uint32_t x = j->old[r] + 1; !bad && x <= j->saves[r]; x++)
            if (useless[first[r] + x]) bad = wrong(j, "checkpoint %u of rank %u is useless", x, r);
    t->clean += !bad;
    free(useless);
    free(first);
    if (graph) bl_graph_free(graph);
    bl_history_free(h);
    return bad;
}

static int end_well(job *j, const uint64_t *calm, tally *t)
{
    static truth w;
    if (!run_on(j, 1, UINT64_MAX, t)) return wrong(j, "the job does not come to its end");
    if (j->full) return 0;
    for (uint32_t r = 0; r < j->ranks; r++) {
        t->checkpoints += j->saves[r];
        if (j->now[r].state != calm[r]) return wrong(j, "rank %u has computed something else than without failures", r);
    }
    find_truth(j, &w);
    int bad = check_lines(j, &w, t);
    return bad || j->dirty ? bad : none_useless(j, t);
}

/* 0 when all went well. */
static int one_job(uint64_t seed, enum mutant mutant, tally *t, char *text, size_t size)
{
    static job j;
    memset(&j, 0, sizeof j);
    j.random = j.seed = seed;
    j.mutant = mutant;
    j.ranks = 2 + (uint32_t)draw(&j, RANKS - 1);
    j.lateness = draw(&j, 4) ? 0 : 1 + (uint32_t)draw(&j, 4);
    j.order = draw(&j, 2) ? 4 : (uint32_t)draw(&j, 4);
    j.basic = 1 + (uint32_t)draw(&j, 5);
    write_program(&j);
    begin(&j);
    run_on(&j, 0, UINT64_MAX, t);
    uint64_t calm[RANKS];
    for (uint32_t r = 0; r < j.ranks; r++) calm[r] = j.now[r].state;
    begin(&j);
    int bad = 0;
    for (uint64_t failures = draw(&j, 7); failures > 0 && !bad && !j.full; failures--) {
        run_on(&j, 1, 1 + draw(&j, 3 * OPS), t);
        if (!j.full && draw(&j, 2)) bad = collect(&j, t);
        if (!bad && draw(&j, 3)) {
            run_on(&j, 1, draw(&j, OPS), t);
            if (!j.full) bad = restart(&j, t);
        }
    }
    if (!bad) bad = end_well(&j, calm, t);
    t->full += j.full != 0;
    snprintf(text, size, "%s", j.wrong);
    return bad;
}

static void report(uint64_t jobs, const tally *t)
{
    printf("%llu jobs, %llu restarts (%llu back to the start), %llu lines compared with all cuts, %llu lines of an index; "
           "%llu promoted, %llu forced at a safe point, %llu refused; %llu messages logged, %llu sent again; %llu checkpoints and "
           "%llu log entries collected; %llu jobs without a useless checkpoint; %llu too large\n",
           (unsigned long long)jobs, (unsigned long long)t->restarts, (unsigned long long)t->starts, (unsigned long long)t->compared,
           (unsigned long long)t->lines, (unsigned long long)t->promoted, (unsigned long long)t->forced,
           (unsigned long long)t->refused, (unsigned long long)t->late, (unsigned long long)t->resent,
           (unsigned long long)t->collected, (unsigned long long)t->files, (unsigned long long)t->clean,
           (unsigned long long)t->full);
}

int main(int argc, char **argv)
{
    uint64_t jobs = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000, first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    tally t = { 0 };
    char text[200];
    for (uint64_t seed = first; seed < first + jobs; seed++) {
        if (!one_job(seed, NONE, &t, text, sizeof text)) continue;
        printf("seed %llu: %s\n", (unsigned long long)seed, text);
        return 1;
    }
    report(jobs, &t);
    if (argc > 1) return 0;
    if (!t.compared || !t.promoted || !t.forced || !t.refused || !t.resent || !t.files || !t.clean || t.starts == t.restarts || t.full > jobs / 20) {
        printf("the jobs are too much alike to show anything\n");
        return 1;
    }
    for (enum mutant m = NONE + 1; m < MUTANTS; m++) {
        tally ignored = { 0 };
        uint64_t seed = 1;
        while (seed <= 20000 && !one_job(seed, m, &ignored, text, sizeof text)) seed++;
        if (seed > 20000) {
            printf("mutant not caught: %s\n", mutant_name[m]);
            return 1;
        }
        printf("mutant caught at seed %llu: %s (%s)\n", (unsigned long long)seed, mutant_name[m], text);
    }
    return 0;
}
