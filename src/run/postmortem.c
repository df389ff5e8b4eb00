/* postmortem.c - how an incarnation ended, read from what its ranks left in their live tables.  mpirun's own exit status
 * does not prove completion: every rank's FINISHED does, or that all are in MPI_Finalize and one has returned from it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "run/internal.h"

typedef struct census {
    uint32_t seen, finished, finalizing, stopped, refused;
    int64_t culprit;      /* a rank whose table says how it ended */
    bl_live_header of;    /* its header, or that of the furthest rank */
    uint64_t furthest;
} census;

static int speaks(uint32_t state)
{
    return state == BL_LIVE_KILLED || state == BL_LIVE_ABORTED || state == BL_LIVE_EXITED;
}

/* An injected kill explains more than an abort, an abort more than an exit. */
static int weight(uint32_t state)
{
    return state == BL_LIVE_KILLED ? 3 : state == BL_LIVE_ABORTED ? 2 : state == BL_LIVE_EXITED ? 1 : 0;
}

static uint64_t steps(const bl_live_header *h)
{
    return h->safe_point + 1; /* UINT64_MAX: none yet */
}

static void count(census *c, uint32_t rank, const bl_live_header *h, int64_t first_dead, uint64_t *fired)
{
    c->seen++;
    c->finished += h->state == BL_LIVE_FINISHED;
    c->finalizing += h->state == BL_LIVE_FINALIZING;
    c->stopped += h->state == BL_LIVE_STOPPED;
    c->refused += h->state == BL_LIVE_REFUSED;
    if (h->state == BL_LIVE_KILLED && h->code >= 1 && h->code <= BL_KILLS_MAX) *fired |= (uint64_t)1 << (h->code - 1);
    if (speaks(h->state) && (c->culprit < 0 || weight(h->state) > weight(c->of.state))) {
        c->culprit = rank;
        c->of = *h;
    } else if (c->culprit < 0 && (rank == first_dead || (c->of.ranks == 0 && first_dead < 0) ||
                                  (first_dead < 0 && steps(h) > steps(&c->of)))) {
        c->of = *h;
    }
}

/* The timer of after=TIME kills without a word in the table: it has fired if that rank is the dead one and it was time. */
static void fire_timers(const bl_options *o, const bl_watch *w, bl_postmortem *p)
{
    for (unsigned k = 0; k < o->settings.kills; k++) {
        const bl_kill *kill = &o->settings.kill[k];
        if (kill->when != BL_KILL_AFTER || p->rank != kill->rank) continue;
        if ((double)(w->ended_ns - w->started_ns) * 1e-9 < kill->seconds) continue;
        p->fired |= (uint64_t)1 << k;
        if (p->state != BL_LIVE_KILLED) {
            p->state = BL_LIVE_KILLED;
            p->code = (int32_t)k + 1;
        }
    }
}

/* A program that ends with a status of its own has mpirun end the ranks that are still on their way out of MPI_Finalize.
 * One of them has returned, so all have entered it; and no signal killed anybody. */
static int cut_short_at_the_end(const census *c, const bl_options *o, const bl_watch *w)
{
    return c->finished > 0 && c->finished + c->finalizing == o->ranks && WIFEXITED(w->status) &&
           WEXITSTATUS(w->status) > 0 && WEXITSTATUS(w->status) < 128;
}

void bl_postmortem_of(bl_store *store, const bl_options *o, const bl_watch *w, bl_postmortem *p)
{
    census c;
    memset(&c, 0, sizeof c);
    memset(p, 0, sizeof *p);
    c.culprit = -1;
    for (uint32_t r = 0; r < o->ranks; r++) {
        bl_live_header h;
        bl_error err;
        if (bl_live_read_header(store, r, bl_store_job(store)->incarnation, &h, &err)) continue;
        count(&c, r, &h, w->first_dead, &p->fired);
    }
    p->rank = c.culprit >= 0 ? c.culprit : w->first_dead;
    p->state = c.of.state;
    p->code = c.of.code;
    p->safe_point = c.of.safe_point;
    p->calls = c.of.calls;
    p->died_ns = w->first_dead >= 0 ? w->first_dead_ns : w->ended_ns;
    p->work_from_ns = c.of.checkpoint_ns ? c.of.checkpoint_ns : c.of.first_step_ns ? c.of.first_step_ns : c.of.started_ns;
    p->end = !c.seen                   ? BL_END_ABSENT
             : c.finished == o->ranks  ? BL_END_FINISHED
             : cut_short_at_the_end(&c, o, w) ? BL_END_FINISHED
             : c.refused               ? BL_END_REFUSED
             : c.stopped == o->ranks   ? BL_END_STOPPED
                                       : BL_END_DEATH;
    if (p->end == BL_END_DEATH) fire_timers(o, w, p);
}

void bl_postmortem_text(const bl_postmortem *p, const bl_options *o, char *text, size_t size)
{
    char who[48], where[64], how[160];
    if (p->rank >= 0) snprintf(who, sizeof who, "rank %" PRId64, p->rank);
    else snprintf(who, sizeof who, "a rank");
    if (p->safe_point == UINT64_MAX) snprintf(where, sizeof where, "before its first safe point");
    else snprintf(where, sizeof where, "after safe point %" PRIu64, p->safe_point);
    char kill[96] = "";
    switch (p->state) {
    case BL_LIVE_KILLED:
        if (p->code >= 1 && (unsigned)p->code <= o->settings.kills)
            bl_kill_format(&o->settings.kill[p->code - 1], kill, sizeof kill);
        snprintf(how, sizeof how, "was killed by --kill %s", kill);
        break;
    case BL_LIVE_ABORTED: snprintf(how, sizeof how, "called MPI_Abort(%" PRId32 ")", p->code); break;
    case BL_LIVE_EXITED: snprintf(how, sizeof how, "left without MPI_Finalize"); break;
    case BL_LIVE_FINALIZING: snprintf(how, sizeof how, "died in MPI_Finalize"); break;
    default: snprintf(how, sizeof how, "died without a word (killed, or crashed; mpirun tells the signal)"); break;
    }
    snprintf(text, size, "%s %s %s", who, how, where);
}
