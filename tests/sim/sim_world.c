/* sim_world.c - see sim_world.h. */
#include "sim_world.h"

#include <stdarg.h>
#include <string.h>

enum { INCARNATION = 7, STEPS_MAX = 50000 };

enum thing_type { MESSAGE, STORE, RESULT, SAFE_POINT, RESTART };

struct thing {                 /* under way */
    enum thing_type type;
    uint32_t to, life, number;
    bl_commit_action action;   /* STORE: what was asked for */
    bl_commit_event event;     /* MESSAGE, RESULT */
};

struct process {
    bl_commit m;
    uint8_t seen[SIM_PROCESSES];
    bool alive, finished, gave_up;
    uint32_t life, reached;    /* reached: the last safe point */
    uint32_t timer;            /* number of the one that runs; 0: none */
    enum bl_commit_timer wait;
    uint32_t early;
    bl_commit_event queue[SIM_EARLY];
};

struct checkpoint {
    enum bl_commit_outcome record, outcome; /* what is on the store; what any process came to know */
    bool prepared[SIM_PROCESSES], refused[SIM_PROCESSES];
    uint32_t commit_attempts;
};

struct world {
    const sim_plan *plan;
    FILE *trace;
    uint64_t random;
    uint32_t things, numbered;
    bool calm;                 /* no faults any more */
    struct thing pool[SIM_POOL];
    struct process process[SIM_PROCESSES];
    struct checkpoint checkpoint[SIM_CHECKPOINTS + 1];
    sim_result result;
};

static const char *const mutant_names[SIM_MUTANTS] = {
    "correct", "commit-before-decided", "commit-on-timeout", "abort-on-timeout", "vote-before-snapshot",
    "record-overwritten", "record-not-adopted", "log-forgotten", "no-ready-timer", "no-record-means-abort",
    "uncertain-means-abort", "no-is-yes", "any-checkpoint",
    "any-incarnation",
};

static const char *const outcome_names[] = { "NONE", "COMMITTED", "ABORTED", "LOST" };

const char *sim_mutant_name(enum sim_mutant mutant)
{
    return mutant_names[mutant];
}

/* --- chance --- */

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint32_t pick(uint64_t *state, uint32_t below)
{
    return (uint32_t)((next_random(state) >> 32) * below >> 32);
}

static bool chance(struct world *w, uint32_t of_256)
{
    return of_256 && !w->calm && pick(&w->random, 256) < of_256;
}

sim_plan sim_plan_of_seed(uint64_t seed)
{
    uint64_t r = seed * 0x2545f4914f6cdd1du + 1;
    sim_plan p = { .seed = seed, .crash_at = { SIM_NEVER, SIM_NEVER } };

    p.n = 2 + pick(&r, SIM_PROCESSES - 1);
    p.checkpoints = 1 + pick(&r, SIM_CHECKPOINTS);
    p.coordinator = pick(&r, p.n);
    p.restart = (enum sim_restart)pick(&r, 3);
    p.order = pick(&r, 8) ? SIM_ANY_ORDER : (enum sim_order)pick(&r, 3);
    p.eager = pick(&r, 2);
    p.linger = pick(&r, 2);
    if (pick(&r, 8) == 0) /* nothing goes wrong: has to commit */
        return p;
    if (pick(&r, 2))
        p.hasty = 1u << pick(&r, 7);
    if (pick(&r, 4) == 0)
        p.lose = 1u << pick(&r, 6);
    if (pick(&r, 4) == 0)
        p.repeat = 1u << pick(&r, 6);
    if (pick(&r, 4) == 0)
        p.refuse = 1u << pick(&r, 7);
    if (pick(&r, 6) == 0)
        p.store_fails = 1u << (3 + pick(&r, 6));
    if (pick(&r, 4)) {
        p.crash = 1u << (3 + pick(&r, 6));
        p.crashes = 1 + pick(&r, SIM_CRASHES);
    }
    return p;
}

void sim_plan_print(const sim_plan *p, FILE *to)
{
    static const char *const order[] = { "any", "oldest first", "newest first" };
    static const char *const restart[] = { "never", "soon", "late" };

    fprintf(to, "seed %llu: %u processes, coordinator %u, %u checkpoints; order %s, restart %s, mutant %s%s%s\n",
            (unsigned long long)p->seed, p->n, p->coordinator, p->checkpoints, order[p->order], restart[p->restart],
            mutant_names[p->mutant], p->eager ? ", eager" : "", p->linger ? ", lingering decisions" : "");
    fprintf(to, "  of 256: early timers %u, lost %u, repeated %u, refusals %u, store failures %u; crashes %u (%u of 1024)",
            p->hasty, p->lose, p->repeat, p->refuse, p->store_fails, p->crashes, p->crash);
    for (int i = 0; i < 2; i++)
        if (p->crash_at[i] != SIM_NEVER)
            fprintf(to, ", at boundary %u", p->crash_at[i]);
    fputc('\n', to);
}

/* --- telling --- */

__attribute__((format(printf, 2, 3))) static void tell(struct world *w, const char *format, ...)
{
    va_list list;

    if (!w->trace)
        return;
    va_start(list, format);
    vfprintf(w->trace, format, list);
    va_end(list);
    fputc('\n', w->trace);
}

__attribute__((format(printf, 2, 3))) static void violate(struct world *w, const char *format, ...)
{
    va_list list;

    if (!w->result.ok)
        return;
    w->result.ok = false;
    va_start(list, format);
    vsnprintf(w->result.why, sizeof w->result.why, format, list);
    va_end(list);
    tell(w, "  VIOLATION: %s", w->result.why);
}

static void tell_event(struct world *w, uint32_t p, const bl_commit_event *e)
{
    static const char *const name[BL_EVENTS] = { "BEGIN", "SNAPSHOT_DONE", "REFUSED", "", "TIMEOUT", "DECIDED", "DECISION_READ" };
    const char *state = bl_commit_state_name(w->process[p].m.state);

    if (e->type == BL_EVENT_MESSAGE)
        tell(w, "P%u cp%u %-9s <- %s from P%u%s", p, e->checkpoint, state, bl_commit_kind_name(e->kind), e->from,
             e->incarnation == INCARNATION ? "" : " (old incarnation)");
    else if (e->type == BL_EVENT_RECOVER)
        tell(w, "P%u cp%u %-9s <- RECOVER %s", p, w->process[p].m.checkpoint, state,
             e->log == BL_LOG_PREPARED ? "prepared" : "nothing");
    else
        tell(w, "P%u cp%u %-9s <- %s %s", p, w->process[p].m.checkpoint, state, name[e->type],
             e->type == BL_EVENT_DECIDED || e->type == BL_EVENT_DECISION_READ ? outcome_names[e->outcome] : "");
}

/* --- the pool --- */

static void put(struct world *w, struct thing thing)
{
    if (w->things == SIM_POOL) {
        violate(w, "more than %d things under way", SIM_POOL);
        return;
    }
    thing.number = w->numbered++;
    w->pool[w->things++] = thing;
}

static uint32_t choose(struct world *w)
{
    uint32_t best = 0;

    if (w->plan->order == SIM_ANY_ORDER)
        return pick(&w->random, w->things);
    for (uint32_t i = 1; i < w->things; i++)
        if ((w->pool[i].number < w->pool[best].number) == (w->plan->order == SIM_OLDEST_FIRST))
            best = i;
    return best;
}

static struct thing take(struct world *w)
{
    const uint32_t i = choose(w);
    const struct thing thing = w->pool[i];

    w->pool[i] = w->pool[--w->things];
    return thing;
}

/* --- the network --- */

static void post(struct world *w, uint32_t from, uint32_t to, enum bl_commit_kind kind)
{
    struct thing t = { .type = MESSAGE, .to = to,
                       .event = { .type = BL_EVENT_MESSAGE, .kind = kind, .from = from, .incarnation = INCARNATION,
                                  .checkpoint = w->process[from].m.checkpoint } };

    if (w->plan->mutant == SIM_NO_IS_YES && kind == BL_KIND_VOTE_NO)
        t.event.kind = BL_KIND_VOTE_YES;
    if (w->plan->mutant == SIM_UNCERTAIN_MEANS_ABORT && kind == BL_KIND_UNCERTAIN)
        t.event.kind = BL_KIND_ABORT;
    if (!chance(w, w->plan->lose))
        put(w, t);
    else
        tell(w, "  lost: %s from P%u to P%u", bl_commit_kind_name(kind), from, to);
    if (chance(w, w->plan->repeat)) {
        if (pick(&w->random, 2)) { /* a ghost of the incarnation before: anything */
            t.event.kind = (enum bl_commit_kind)pick(&w->random, BL_KINDS);
            t.event.incarnation--;
        }
        put(w, t);
    }
}

static void post_all(struct world *w, uint32_t from, enum bl_commit_kind kind)
{
    for (uint32_t to = 0; to < w->plan->n; to++)
        if (to != from)
            post(w, from, to, kind);
}

/* --- the processes --- */

static void make_machine(struct world *w, uint32_t p, uint32_t checkpoint)
{
    struct process *process = &w->process[p];
    const uint32_t early = process->early;

    bl_commit_init(&process->m, p, w->plan->n, w->plan->coordinator, checkpoint, INCARNATION, process->seen);
    process->timer = 0;
    process->early = 0;
    for (uint32_t i = 0; i < early; i++)
        put(w, (struct thing){ .type = MESSAGE, .to = p, .event = process->queue[i] });
}

static void die(struct world *w, uint32_t p)
{
    struct process *process = &w->process[p];

    tell(w, "  P%u dies", p);
    process->alive = false;
    process->life++;
    process->timer = 0;
    process->early = 0;
    if (w->plan->restart == SIM_RESTART_SOON && !process->gave_up)
        put(w, (struct thing){ .type = RESTART, .to = p });
}

static bool dies_here(struct world *w, uint32_t p)
{
    const sim_plan *plan = w->plan;
    const uint32_t here = w->result.boundaries++;
    const bool planned = here == plan->crash_at[0] || here == plan->crash_at[1];

    if (w->calm || (!planned && (w->result.crashes >= plan->crashes || pick(&w->random, 1024) >= plan->crash)))
        return false;
    w->result.crashes++;
    die(w, p);
    return true;
}

/* All that the protocol promises about outcomes, checked at the moment each becomes known. */
static void learn(struct world *w, uint32_t p, enum bl_commit_outcome outcome)
{
    const uint32_t e = w->process[p].m.checkpoint;
    struct checkpoint *c = &w->checkpoint[e];

    tell(w, "  P%u cp%u: %s", p, e, outcome_names[outcome]);
    if (c->outcome && c->outcome != outcome)
        violate(w, "checkpoint %u is %s for one process and %s for P%u", e, outcome_names[c->outcome], outcome_names[outcome], p);
    if (outcome == BL_OUTCOME_COMMITTED && c->record != BL_OUTCOME_COMMITTED)
        violate(w, "P%u commits checkpoint %u and the record does not", p, e);
    if (outcome == BL_OUTCOME_ABORTED && c->record == BL_OUTCOME_COMMITTED)
        violate(w, "P%u aborts checkpoint %u, which the record commits", p, e);
    c->outcome = outcome;
}

static void end_without_outcome(struct world *w, uint32_t p)
{
    w->process[p].gave_up = true;
    w->result.lost++;
    die(w, p);
}

static void act(struct world *w, uint32_t p, const bl_commit_action *a)
{
    struct process *process = &w->process[p];
    const struct thing ask = { .type = STORE, .to = p, .life = process->life, .action = *a,
                               .event.checkpoint = process->m.checkpoint };

    switch (a->type) {
    case BL_ACTION_SEND:
        tell(w, "  P%u sends %s to P%u", p, bl_commit_kind_name(a->kind), a->to);
        post(w, p, a->to, a->kind);
        break;
    case BL_ACTION_SEND_ALL:
        tell(w, "  P%u sends %s to all", p, bl_commit_kind_name(a->kind));
        post_all(w, p, a->kind);
        break;
    case BL_ACTION_DECIDE:
        tell(w, "  P%u begins to publish %s", p, outcome_names[a->outcome]);
        if (w->plan->mutant == SIM_COMMIT_BEFORE_DECIDED && a->outcome == BL_OUTCOME_COMMITTED)
            post_all(w, p, BL_KIND_COMMIT);
        put(w, ask);
        break;
    case BL_ACTION_TAKE_SNAPSHOT:
        if (w->plan->mutant == SIM_VOTE_BEFORE_SNAPSHOT)
            put(w, (struct thing){ .type = RESULT, .to = p, .life = process->life,
                                   .event = { .type = BL_EVENT_SNAPSHOT_DONE, .checkpoint = process->m.checkpoint } });
        put(w, ask);
        break;
    case BL_ACTION_READ_DECISION:
        put(w, ask);
        break;
    case BL_ACTION_SET_TIMER:
        process->timer = a->timer;
        process->wait = a->wait;
        break;
    case BL_ACTION_CANCEL_TIMER:
        process->timer = 0;
        break;
    case BL_ACTION_OUTCOME:
        if (a->outcome == BL_OUTCOME_LOST)
            end_without_outcome(w, p);
        else
            learn(w, p, a->outcome);
        break;
    }
}

/* On to the next safe point, once the program has reached this one and the outcome is known. */
static void advance(struct world *w, uint32_t p)
{
    struct process *process = &w->process[p];
    const uint32_t e = process->m.checkpoint;

    if (bl_commit_outcome(&process->m) == BL_OUTCOME_NONE || process->reached != e || process->finished)
        return;
    if (e == w->plan->checkpoints) {
        process->finished = true;
        return;
    }
    put(w, (struct thing){ .type = SAFE_POINT, .to = p, .life = process->life, .event.checkpoint = e + 1 });
    process->reached = 0; /* under way */
    if (w->plan->eager)
        make_machine(w, p, e + 1);
}

static void feed(struct world *w, uint32_t p, const bl_commit_event *event)
{
    struct process *process = &w->process[p];
    bl_commit_actions out;
    bl_error err;

    tell_event(w, p, event);
    if (bl_commit_step(&process->m, event, &out, &err) != BELAY_OK) {
        violate(w, "%s", err.text);
        return;
    }
    for (unsigned i = 0; i < out.count; i++) {
        if (dies_here(w, p))
            return;
        act(w, p, &out.action[i]);
        if (!process->alive)
            return;
    }
    if (!dies_here(w, p))
        advance(w, p);
}

/* --- things happen --- */

static void hear(struct world *w, const struct thing *t)
{
    struct process *process = &w->process[t->to];
    bl_commit_event event = t->event;

    if (!process->alive)
        return;
    if (w->plan->mutant == SIM_ANY_CHECKPOINT)
        event.checkpoint = process->m.checkpoint;
    if (w->plan->mutant == SIM_ANY_INCARNATION)
        event.incarnation = INCARNATION;
    if (bl_commit_when(&process->m, event.checkpoint, event.incarnation) != BL_WHEN_LATER)
        feed(w, t->to, &event);
    else if (process->early < SIM_EARLY)
        process->queue[process->early++] = event;
}

static enum bl_commit_outcome publish(struct world *w, const struct thing *t, struct checkpoint *c)
{
    const enum bl_commit_outcome wanted = t->action.outcome;

    if (wanted == BL_OUTCOME_COMMITTED) {
        if (t->to != w->plan->coordinator || c->commit_attempts++ > 0)
            violate(w, "COMMIT is tried twice, or not by the coordinator");
        for (uint32_t p = 0; p < w->plan->n; p++)
            if (!c->prepared[p] || c->refused[p])
                violate(w, "COMMIT is published and P%u has not prepared", p);
    }
    if (c->record == BL_OUTCOME_NONE || w->plan->mutant == SIM_RECORD_OVERWRITTEN)
        c->record = wanted;
    if (c->record == BL_OUTCOME_COMMITTED && c->outcome == BL_OUTCOME_ABORTED)
        violate(w, "COMMIT is published after somebody has aborted");
    return w->plan->mutant == SIM_RECORD_NOT_ADOPTED ? wanted : c->record;
}

static void store_decision(struct world *w, struct thing *t, struct checkpoint *c, uint32_t e)
{
    const bool gone = t->life != w->process[t->to].life;

    t->event = (bl_commit_event){ .type = BL_EVENT_DECIDED };
    if ((gone && !w->plan->linger) || chance(w, w->plan->store_fails))
        return;
    t->event.outcome = publish(w, t, c);
    tell(w, "  store: P%u publishes %s of cp%u; the record is %s", t->to, outcome_names[t->action.outcome], e,
         outcome_names[c->record]);
}

static void store_snapshot(struct world *w, struct thing *t, struct checkpoint *c, uint32_t e)
{
    t->event = (bl_commit_event){ .type = BL_EVENT_SNAPSHOT_DONE };
    if (t->life != w->process[t->to].life)
        return;
    if (chance(w, w->plan->refuse)) {
        t->event.type = BL_EVENT_REFUSED;
        return;
    }
    c->prepared[t->to] = true;
    tell(w, "  store: snapshot of P%u for cp%u", t->to, e);
}

static void read_decision(struct world *w, struct thing *t, const struct checkpoint *c)
{
    t->event = (bl_commit_event){ .type = BL_EVENT_DECISION_READ, .outcome = c->record };
    if (chance(w, w->plan->store_fails))
        t->event.outcome = BL_OUTCOME_NONE;
    if (w->plan->mutant == SIM_NO_RECORD_MEANS_ABORT && c->record == BL_OUTCOME_NONE)
        t->event.outcome = BL_OUTCOME_ABORTED;
}

/* The effect on the store; that the process hears of it is another thing. */
static void serve(struct world *w, struct thing *t)
{
    const uint32_t e = t->event.checkpoint;
    struct checkpoint *c = &w->checkpoint[e];

    if (t->action.type == BL_ACTION_DECIDE)
        store_decision(w, t, c, e);
    else if (t->action.type == BL_ACTION_TAKE_SNAPSHOT)
        store_snapshot(w, t, c, e);
    else
        read_decision(w, t, c);
    t->event.checkpoint = e;
    t->type = RESULT;
    if (w->plan->mutant != SIM_VOTE_BEFORE_SNAPSHOT || t->action.type != BL_ACTION_TAKE_SNAPSHOT)
        put(w, *t);
}

/* A result of a checkpoint the process has left behind is no news (a snapshot that finished after the abort). */
static void return_result(struct world *w, const struct thing *t)
{
    const struct process *process = &w->process[t->to];

    if (process->alive && process->life == t->life && process->m.checkpoint == t->event.checkpoint)
        feed(w, t->to, &t->event);
}

static void reach(struct world *w, const struct thing *t)
{
    struct process *process = &w->process[t->to];
    bl_commit_event event = { .type = BL_EVENT_BEGIN };

    if (!process->alive || process->life != t->life)
        return;
    if (process->m.checkpoint < t->event.checkpoint)
        make_machine(w, t->to, t->event.checkpoint);
    process->reached = t->event.checkpoint;
    if (chance(w, w->plan->refuse))
        event.type = BL_EVENT_REFUSED;
    else if (chance(w, w->plan->hasty / 8))
        event = (bl_commit_event){ .type = BL_EVENT_TIMEOUT };
    if (event.type != BL_EVENT_BEGIN)
        w->checkpoint[process->reached].refused[t->to] = true;
    feed(w, t->to, &event);
}

static void restart(struct world *w, uint32_t p)
{
    struct process *process = &w->process[p];
    const uint32_t e = process->m.checkpoint;
    const bool prepared = w->checkpoint[e].prepared[p] && w->plan->mutant != SIM_LOG_FORGOTTEN;

    tell(w, "P%u is restarted", p);
    process->alive = true;
    process->finished = false;
    process->reached = e;
    make_machine(w, p, e);
    feed(w, p, &(bl_commit_event){ .type = BL_EVENT_RECOVER, .log = prepared ? BL_LOG_PREPARED : BL_LOG_NOTHING });
}

static void happen(struct world *w)
{
    struct thing t = take(w);

    switch (t.type) {
    case MESSAGE:    hear(w, &t); break;
    case STORE:      serve(w, &t); break;
    case RESULT:     return_result(w, &t); break;
    case SAFE_POINT: reach(w, &t); break;
    case RESTART:    restart(w, t.to); break;
    }
}

/* --- timers --- */

static bool runs(const struct world *w, uint32_t p)
{
    const struct process *process = &w->process[p];

    if (w->plan->mutant == SIM_NO_READY_TIMER && process->wait == BL_TIMER_READY)
        return false;
    return process->alive && process->timer;
}

static void fire(struct world *w, uint32_t p)
{
    struct process *process = &w->process[p];
    bl_commit_event event = { .type = BL_EVENT_TIMEOUT, .timer = process->timer };

    if (process->wait == BL_TIMER_READY && w->plan->mutant >= SIM_COMMIT_ON_TIMEOUT && w->plan->mutant <= SIM_ABORT_ON_TIMEOUT)
        event = (bl_commit_event){ .type = BL_EVENT_MESSAGE, .from = (p + 1) % w->plan->n,
                                   .checkpoint = process->m.checkpoint, .incarnation = INCARNATION,
                                   .kind = w->plan->mutant == SIM_COMMIT_ON_TIMEOUT ? BL_KIND_COMMIT : BL_KIND_ABORT };
    process->timer = 0;
    feed(w, p, &event);
}

static bool fire_any(struct world *w)
{
    const uint32_t n = w->plan->n, first = pick(&w->random, n);

    for (uint32_t i = 0; i < n; i++)
        if (runs(w, (first + i) % n)) {
            fire(w, (first + i) % n);
            return true;
        }
    return false;
}

static bool restart_any(struct world *w)
{
    bool any = false;

    if (w->plan->restart == SIM_STAY_DEAD)
        return false;
    w->calm = true;
    for (uint32_t p = 0; p < w->plan->n; p++)
        if (!w->process[p].alive) {
            w->process[p].gave_up = false;
            restart(w, p);
            any = true;
        }
    return any;
}

/* --- a run --- */

static void go(struct world *w)
{
    while (w->result.ok) {
        if (++w->result.steps > STEPS_MAX)
            violate(w, "no end after %d steps", STEPS_MAX);
        else if (w->things && !(w->plan->hasty && chance(w, w->plan->hasty) && fire_any(w)))
            happen(w);
        else if (!w->things && !fire_any(w) && !restart_any(w))
            return;
    }
}

static void check_end(struct world *w)
{
    const sim_plan *plan = w->plan;
    const bool faultless = !plan->lose && !plan->refuse && !plan->store_fails && !plan->hasty && !w->result.crashes;

    for (uint32_t p = 0; p < plan->n; p++)
        if (w->process[p].alive && !w->process[p].finished)
            violate(w, "P%u waits for ever in %s of checkpoint %u", p, bl_commit_state_name(w->process[p].m.state),
                    w->process[p].m.checkpoint);
    for (uint32_t e = 1; e <= plan->checkpoints; e++) {
        const enum bl_commit_outcome outcome = w->checkpoint[e].outcome;
        if (faultless && outcome != BL_OUTCOME_COMMITTED)
            violate(w, "checkpoint %u is not committed and nothing went wrong", e);
        w->result.committed += outcome == BL_OUTCOME_COMMITTED;
        w->result.aborted += outcome == BL_OUTCOME_ABORTED;
        w->result.undecided += outcome == BL_OUTCOME_NONE;
    }
}

static void start(struct world *w, const sim_plan *plan, FILE *trace)
{
    w->plan = plan;
    w->trace = trace;
    w->random = plan->seed;
    w->things = w->numbered = 0;
    w->calm = false;
    w->result = (sim_result){ .ok = true };
    memset(w->process, 0, sizeof w->process);
    memset(w->checkpoint, 0, sizeof w->checkpoint);
    for (uint32_t p = 0; p < plan->n; p++) {
        w->process[p].alive = true;
        make_machine(w, p, 1);
        put(w, (struct thing){ .type = SAFE_POINT, .to = p, .event.checkpoint = 1 });
    }
}

sim_result sim_run(const sim_plan *plan, FILE *trace)
{
    static struct world w; /* 200 KiB that need not be cleared for each of a million runs */

    if (trace)
        sim_plan_print(plan, trace);
    start(&w, plan, trace);
    go(&w);
    if (w.result.ok)
        check_end(&w);
    return w.result;
}
