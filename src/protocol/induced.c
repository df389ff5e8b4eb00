#include "protocol/induced.h"

#include <string.h>

/* HMNR, for each rank k of a rank's state or a message. */
enum {
    GREATER = 1, /* the index here is greater than the highest known of k */
    TAKEN = 2,   /* a checkpoint lies on the way here from k's newest known checkpoint */
    SENT_TO = 4  /* state only: sent to k since the last checkpoint */
};

const char *bl_induced_name(enum bl_induced_rule rule)
{
    static const char *const name[BL_INDUCED_RULES] = {"none", "bcs", "fdas", "hmnr"};
    return name[rule];
}

size_t bl_induced_state_words(enum bl_induced_rule rule, uint32_t ranks)
{
    return rule == BL_INDUCED_FDAS ? ranks : rule == BL_INDUCED_HMNR ? 2 * (size_t)ranks : 0;
}

size_t bl_induced_message_words(enum bl_induced_rule rule, uint32_t ranks)
{
    return bl_induced_state_words(rule, ranks) + (rule == BL_INDUCED_BCS || rule == BL_INDUCED_HMNR);
}

void bl_induced_start(bl_induced *p, enum bl_induced_rule rule, uint32_t rank, uint32_t ranks, uint32_t *words)
{
    size_t count = bl_induced_state_words(rule, ranks);
    *p = (bl_induced){.rule = rule, .rank = rank, .ranks = ranks, .vector = words};
    if (rule == BL_INDUCED_HMNR)
        p->sets = words + ranks;
    if (count > 0)
        memset(words, 0, count * sizeof *words);
    bl_induced_checkpoint(p); /* the start of the program is one */
}

void bl_induced_checkpoint(bl_induced *p)
{
    p->sent = 0;
    if (p->rule == BL_INDUCED_BCS || p->rule == BL_INDUCED_HMNR)
        p->index++;
    if (p->rule == BL_INDUCED_FDAS || p->rule == BL_INDUCED_HMNR)
        p->vector[p->rank]++;
    for (uint32_t k = 0; p->rule == BL_INDUCED_HMNR && k < p->ranks; k++)
        p->sets[k] = k == p->rank ? 0 : GREATER | TAKEN;
}

void bl_induced_send(bl_induced *p, uint32_t to, uint32_t *message)
{
    p->sent = 1;
    if (p->rule == BL_INDUCED_BCS || p->rule == BL_INDUCED_HMNR)
        *message++ = p->index;
    if (p->rule == BL_INDUCED_FDAS || p->rule == BL_INDUCED_HMNR)
        memcpy(message, p->vector, p->ranks * sizeof *message);
    if (p->rule == BL_INDUCED_HMNR) {
        p->sets[to] |= SENT_TO;
        memcpy(message + p->ranks, p->sets, p->ranks * sizeof *message);
    }
}

static int receive_bcs(bl_induced *p, const uint32_t *message)
{
    if (message[0] <= p->index)
        return 0;
    p->index = message[0];
    return 1;
}

static int receive_fdas(bl_induced *p, const uint32_t *message)
{
    int news = 0;
    for (uint32_t k = 0; k < p->ranks; k++)
        news |= message[k] > p->vector[k];
    int force = news && p->sent;
    if (force)
        bl_induced_checkpoint(p);
    for (uint32_t k = 0; k < p->ranks; k++)
        if (message[k] > p->vector[k])
            p->vector[k] = message[k];
    return force;
}

/* Without a checkpoint now, a rank sent to in this interval, at a lower index, could precede it and follow one it
 * precedes; or the message closes a path back to the checkpoint this rank is in. */
static int hmnr_forces(const bl_induced *p, uint32_t index, const uint32_t *vector, const uint32_t *sets)
{
    int precedes = 0;
    for (uint32_t k = 0; k < p->ranks; k++)
        precedes |= (p->sets[k] & SENT_TO) && (sets[k] & GREATER);
    return (precedes && index > p->index) || (vector[p->rank] == p->vector[p->rank] && (sets[p->rank] & TAKEN));
}

static void merge_greater(bl_induced *p, uint32_t index, const uint32_t *sets)
{
    for (uint32_t k = 0; k < p->ranks; k++) {
        uint32_t theirs = sets[k] & GREATER, ours = p->sets[k] & GREATER;
        if (index > p->index)
            ours = k == p->rank ? 0 : theirs;
        else if (index == p->index)
            ours &= theirs;
        p->sets[k] = (p->sets[k] & ~(uint32_t)GREATER) | ours;
    }
    if (index > p->index)
        p->index = index;
}

static void merge_taken(bl_induced *p, const uint32_t *vector, const uint32_t *sets)
{
    for (uint32_t k = 0; k < p->ranks; k++) {
        if (k == p->rank || vector[k] < p->vector[k])
            continue;
        if (vector[k] > p->vector[k])
            p->sets[k] &= ~(uint32_t)TAKEN;
        p->vector[k] = vector[k];
        p->sets[k] |= sets[k] & TAKEN;
    }
}

static int receive_hmnr(bl_induced *p, const uint32_t *message)
{
    const uint32_t index = message[0], *vector = message + 1, *sets = vector + p->ranks;
    int force = hmnr_forces(p, index, vector, sets);
    if (force)
        bl_induced_checkpoint(p);
    merge_greater(p, index, sets);
    merge_taken(p, vector, sets);
    return force;
}

int bl_induced_receive(bl_induced *p, const uint32_t *message)
{
    switch (p->rule) {
    case BL_INDUCED_BCS: return receive_bcs(p, message);
    case BL_INDUCED_FDAS: return receive_fdas(p, message);
    case BL_INDUCED_HMNR: return receive_hmnr(p, message);
    case BL_INDUCED_NONE: break;
    }
    return 0;
}

/* --- safe points --- */

void bl_induced_points_start(bl_induced_points *p)
{
    *p = (bl_induced_points){0};
    bl_induced_points_safe(p, 1); /* the start of the program is one */
}

void bl_induced_points_safe(bl_induced_points *p, int checkpoint)
{
    p->sent = 0;
    p->index += checkpoint != 0;
}

uint32_t bl_induced_points_send(bl_induced_points *p)
{
    p->sent = 1;
    return p->index;
}

/* A promoted state has the new index from its safe point on, so nothing sent since may have carried the old one. */
enum bl_induced_answer bl_induced_points_receive(bl_induced_points *p, uint32_t index, int here)
{
    if (index <= p->index)
        return BL_INDUCED_DELIVER;
    if (!here && p->sent)
        return BL_INDUCED_REFUSE;
    p->index = index;
    if (!here)
        return BL_INDUCED_PROMOTE;
    p->sent = 0;
    return BL_INDUCED_NOW;
}

int bl_induced_points_known(bl_induced_points *p, uint32_t index)
{
    return bl_induced_points_receive(p, index, 1) == BL_INDUCED_NOW;
}

/* A state from before the collective must not take an index that other members do not take before it. */
enum bl_induced_answer bl_induced_points_collective(bl_induced_points *p, uint32_t index)
{
    enum bl_induced_answer answer = bl_induced_points_receive(p, index, 0);
    p->sent = 1;
    return answer;
}

int bl_induced_points_late(const bl_induced_points *p, uint32_t index)
{
    return index < p->index;
}

void bl_induced_points_resume(bl_induced_points *p, uint32_t index)
{
    *p = (bl_induced_points){.index = index};
}

/* --- what if --- */

size_t bl_induced_run_words(enum bl_induced_rule rule, uint32_t ranks, uint32_t messages)
{
    return ranks * bl_induced_state_words(rule, ranks) + messages * bl_induced_message_words(rule, ranks)
        + 2 * (size_t)ranks;
}

/* A rank's state between two of its events: the index and `sent` are kept after the vectors of all ranks. */
static bl_induced resume(enum bl_induced_rule rule, uint32_t rank, uint32_t ranks, uint32_t *words)
{
    size_t state = bl_induced_state_words(rule, ranks);
    const uint32_t *kept = words + ranks * state + 2 * (size_t)rank;
    bl_induced p = {.rule = rule, .rank = rank, .ranks = ranks, .index = kept[0], .sent = (int)kept[1]};
    p.vector = words + rank * state;
    p.sets = rule == BL_INDUCED_HMNR ? p.vector + ranks : NULL;
    return p;
}

static void keep(const bl_induced *p, uint32_t *words)
{
    uint32_t *kept = words + p->ranks * bl_induced_state_words(p->rule, p->ranks) + 2 * (size_t)p->rank;
    kept[0] = p->index;
    kept[1] = (uint32_t)p->sent;
}

uint64_t bl_induced_run(enum bl_induced_rule rule, uint32_t ranks, const bl_induced_event *event, size_t events,
                        uint32_t *words, uint32_t *interval, uint32_t *forced, uint32_t *last)
{
    const size_t state = bl_induced_state_words(rule, ranks), rides = bl_induced_message_words(rule, ranks);
    uint32_t *message = words + ranks * state + 2 * (size_t)ranks;
    uint64_t all = 0;
    for (uint32_t i = 0; i < ranks; i++) {
        bl_induced p;
        bl_induced_start(&p, rule, i, ranks, words + i * state);
        keep(&p, words);
        forced[i] = last[i] = 0;
    }
    for (size_t k = 0; k < events; k++) {
        const bl_induced_event *e = &event[k];
        bl_induced p = resume(rule, e->rank, ranks, words);
        uint32_t now = 0;
        switch (e->kind) {
        case BL_INDUCED_SEND: bl_induced_send(&p, e->peer, message + e->message * rides); break;
        case BL_INDUCED_RECEIVE: now = (uint32_t)bl_induced_receive(&p, message + e->message * rides); break;
        case BL_INDUCED_CHECKPOINT: bl_induced_checkpoint(&p); break;
        }
        keep(&p, words);
        forced[e->rank] += now;
        all += now;
        last[e->rank] += now + (e->kind == BL_INDUCED_CHECKPOINT);
        interval[k] = last[e->rank] + (e->kind != BL_INDUCED_CHECKPOINT);
    }
    return all;
}
