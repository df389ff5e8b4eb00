/* own.c - what `belay run` does about independent checkpoints: tells the line after a death, removes what no line needs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "recovery/past.h"
#include "run/internal.h"
#include "util/clock.h"
#include "util/settings.h"

enum { RANKS_SHOWN = 8 };

typedef struct totals {
    uint64_t kept, undone;   /* checkpoints */
    uint64_t transit;        /* messages that are sent again */
    uint32_t at_start;       /* ranks that start again from the beginning */
    int64_t oldest_ns;       /* time of the oldest checkpoint on the line; 0: somebody has none */
    int64_t newest_ns;       /* the same if each went on from its newest, which it can with its messages logged */
} totals;

static totals add_up(const bl_past *p, const uint8_t *stayed)
{
    totals t = { .oldest_ns = INT64_MAX, .newest_ns = INT64_MAX };
    for (uint32_t r = 0; r < p->ranks; r++) {
        const bl_past_checkpoint *from = bl_past_restart(p, r);
        t.kept += p->last[r];
        t.undone += p->last[r] - p->line.cut[r];
        t.at_start += from->number == 0;
        if (stayed && stayed[r]) continue;
        if (from->time_ns < t.oldest_ns) t.oldest_ns = from->time_ns;
        if (p->at[r][p->last[r]].time_ns < t.newest_ns) t.newest_ns = p->at[r][p->last[r]].time_ns;
    }
    for (size_t k = 0; k < p->transits; k++) t.transit += p->transit[k].last - p->transit[k].first + 1;
    return t;
}

static void list_ranks(const bl_past *p, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t r = 0; r < p->ranks && r < RANKS_SHOWN && used < size; r++) {
        const bl_past_checkpoint *from = bl_past_restart(p, r);
        int n = from->number ? snprintf(text + used, size - used, "%srank %u: %u (safe point %" PRIu64 ")", r ? ", " : "", r,
                                        from->number, from->safe_point)
                             : snprintf(text + used, size - used, "%srank %u: the start", r ? ", " : "", r);
        used += n > 0 ? (size_t)n : 0;
    }
    if (p->ranks > RANKS_SHOWN && used < size) snprintf(text + used, size - used, ", ... (`belay line` tells all)");
}

static double since(bl_store *store, const bl_postmortem *dead, int64_t time_ns)
{
    double seconds = bl_seconds(dead->died_ns - (time_ns ? time_ns : bl_store_job(store)->started_ns));
    return seconds > 0 ? seconds : 0;
}

/* Each in turn is waited for, since they meet before any of them goes on. */
uint8_t *bl_own_stayed(bl_store *store, uint32_t incarnation, uint32_t next)
{
    uint32_t ranks = bl_store_job(store)->ranks, many = 0;
    uint8_t *stayed = calloc(ranks, sizeof *stayed);
    int64_t until = bl_ticks_ns() + INT64_C(1000000000);
    for (uint32_t r = 0; stayed && r < ranks; r++) {
        bl_live_header before, after;
        bl_error ignored;
        while (bl_live_read_header(store, r, next, &after, &ignored) && bl_ticks_ns() < until) nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        if (bl_live_read_header(store, r, incarnation, &before, &ignored) || bl_live_read_header(store, r, next, &after, &ignored)) continue;
        stayed[r] = before.pid == after.pid && before.started_ns == after.started_ns; /* its table went on */
        many += stayed[r];
    }
    if (many) return stayed;
    free(stayed);
    return NULL;
}

static void list_back(const bl_past *p, const uint8_t *stayed, char *text, size_t size)
{
    size_t used = 0;
    uint32_t back = 0;
    text[0] = '\0';
    for (uint32_t r = 0; r < p->ranks; r++) {
        const bl_past_checkpoint *from = bl_past_restart(p, r);
        if (stayed[r] || back++ >= RANKS_SHOWN || used >= size) continue;
        int n = from->number ? snprintf(text + used, size - used, "%srank %u back to checkpoint %u (safe point %" PRIu64 ")", used ? ", " : "", r, from->number, from->safe_point)
                             : snprintf(text + used, size - used, "%srank %u back to the start", used ? ", " : "", r);
        used += n > 0 ? (size_t)n : 0;
    }
    if (used < size) snprintf(text + used, size - used, "%s; the other %u stay where they are", back > RANKS_SHOWN ? " ..." : "", p->ranks - back);
}

double bl_own_line(bl_store *store, const bl_events *events, const bl_postmortem *dead, const uint8_t *stayed, double *logged_s)
{
    bl_past past;
    bl_error err = { 0, "" };
    char text[960], ranks[600], again[64] = "";
    if (bl_past_read(store, 0, NULL, NULL, &past, &err)) {
        bl_event(events, "warning", err.text, NULL);
        return 0;
    }
    totals t = add_up(&past, stayed);
    double lost_s = since(store, dead, t.oldest_ns);
    *logged_s += since(store, dead, t.newest_ns);
    list_ranks(&past, ranks, sizeof ranks);
    if (t.transit) snprintf(again, sizeof again, "; messages in transit, sent again: %" PRIu64, t.transit);
    if (stayed) {
        list_back(&past, stayed, ranks, sizeof ranks);
        snprintf(text, sizeof text, "recovery line: %s; %.1f s of work to redo", ranks, lost_s);
    } else if (t.at_start < past.ranks)
        snprintf(text, sizeof text, "recovery line: %s; %" PRIu64 " of %" PRIu64 " checkpoints undone, %.1f s of work to redo%s", ranks,
                 t.undone, t.kept, lost_s, again);
    else if (t.kept == 0)
        snprintf(text, sizeof text, "recovery line: the start, there is no checkpoint; %.1f s of work to redo", lost_s);
    else if (bl_is_logging(past.protocol))
        snprintf(text, sizeof text, "recovery line: the start: all %" PRIu64 " checkpoints depend on what was lost with a node; %.1f s of work to redo",
                 t.kept, lost_s);
    else
        snprintf(text, sizeof text, "recovery line: the start. The domino effect undoes all %" PRIu64 " checkpoints: each is crossed by a message "
                 "that the ranks do not agree on; %.1f s of work to redo. --checkpoint coordinated would have prevented it; "
                 "`belay line` shows why", t.kept, lost_s);
    bl_event(events, "line", text, "undone", 'i', (int64_t)t.undone, "kept", 'i', (int64_t)(t.kept - t.undone),
             "ranks_at_start", 'i', (int64_t)t.at_start, "lost_seconds", 'd', lost_s, "sent_again", 'i', (int64_t)t.transit, NULL);
    bl_past_clear(&past);
    return lost_s;
}

void bl_own_collect(bl_store *store, bl_collector *c)
{
    bl_past past;
    bl_error err = { 0, "" };
    uint32_t removed;
    int64_t began = bl_ticks_ns();
    if (began < c->next_ns) return;
    if (bl_past_read(store, 0, NULL, NULL, &past, &err) == BELAY_OK) {
        bl_past_collect(store, &past, &removed, &err); /* what could not be removed is tried again */
        bl_past_clear(&past);
    }
    /* A fiftieth of the time at most. */
    int64_t ended = bl_ticks_ns(), pause = 50 * (ended - began);
    c->next_ns = ended + (pause > INT64_C(1000000000) ? pause : INT64_C(1000000000));
}
