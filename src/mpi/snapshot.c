/* snapshot.c - this rank's counters and variables as a snapshot, and what is said about it. */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mpi/checkpoint.h"
#include "mpi/ride.h"
#include "util/clock.h"

static uint64_t sent_at(const bl_moment *moment, uint32_t i)
{
    return moment ? moment->sent[i] : bl_rt.live.slot[i].sent;
}

static uint64_t received_at(const bl_moment *moment, uint32_t i)
{
    return moment ? moment->received[i] : bl_rt.live.slot[i].received;
}

static uint64_t started_at(const bl_moment *moment, uint32_t i)
{
    return moment ? moment->started[i] : bl_rt.live.collective[i].started;
}

static size_t gather_channels(const bl_moment *moment, bl_channel *channels, size_t room)
{
    size_t count = 0;
    const bl_live_header *h = bl_rt.live.header;
    for (uint32_t i = 0; i < h->channel_slots && count < room; i++) {
        const bl_live_slot *s = &bl_rt.live.slot[i];
        if (s->comm) channels[count++] = (bl_channel){ s->comm, s->peer, s->tag, sent_at(moment, i), received_at(moment, i) };
    }
    return count;
}

static size_t gather_collectives(const bl_moment *moment, bl_collectives *collectives, size_t room)
{
    size_t count = 0;
    for (uint32_t i = 0; i < bl_rt.live.header->collective_slots && count < room; i++) {
        const bl_live_collective *c = &bl_rt.live.collective[i];
        uint64_t started = started_at(moment, i);
        if (c->comm && started) collectives[count++] = (bl_collectives){ c->comm, started, c->size, 0 };
    }
    return count;
}

/* The cut is verified transitless, so what was received in this interval was sent in the interval of the same number. */
static size_t gather_dependencies(bl_dependency *dependencies, uint32_t checkpoint, uint8_t *seen)
{
    size_t count = 0;
    memset(seen, 0, (size_t)bl_rt.ranks);
    for (uint32_t i = 0; i < bl_rt.live.header->channel_slots; i++) {
        const bl_live_slot *s = &bl_rt.live.slot[i];
        if (!s->comm || s->received == s->at_received || seen[s->peer]) continue;
        seen[s->peer] = 1;
        dependencies[count++] = (bl_dependency){ (uint32_t)s->peer, checkpoint, checkpoint };
    }
    return count;
}

double bl_useful_seconds(void)
{
    double here = bl_rt.compute_since_ns ? bl_seconds(bl_ticks_ns() - bl_rt.compute_since_ns) - bl_rt.blocked_s : 0;
    return bl_rt.compute_base_s + (here > 0 ? here : 0);
}

int bl_cut_gather(bl_cut *cut, bl_gathered *g, bl_error *err)
{
    const bl_live_header *h = bl_rt.live.header;
    const bl_moment *moment = cut->moment;
    uint8_t *seen = malloc((size_t)bl_rt.ranks);
    int rc = BELAY_OK;
    g->channels = malloc(sizeof *g->channels * (h->channels + 1u));
    g->collectives = malloc(sizeof *g->collectives * (h->collectives + 1u));
    g->dependencies = malloc(sizeof *g->dependencies * (size_t)bl_rt.ranks);
    if (!g->channels || !g->collectives || !g->dependencies || !seen) {
        free(seen);
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory while taking checkpoint %" PRIu32, cut->checkpoint);
    }
    cut->taken_ns = bl_now_ns();
    g->snapshot = (bl_snapshot){ .rank = (uint32_t)bl_rt.rank, .ranks = (uint32_t)bl_rt.ranks, .checkpoint = cut->checkpoint,
                                 .incarnation = bl_rt.incarnation, .line_base = h->base, .safe_point = cut->safe_point,
                                 .time_ns = cut->taken_ns, .compute_s = moment ? moment->compute_s : bl_useful_seconds(),
                                 .variables = moment ? moment->variables : bl_rt.variable,
                                 .nvariables = moment ? moment->nvariables : bl_rt.variables,
                                 .channels = g->channels, .nchannels = gather_channels(moment, g->channels, h->channels),
                                 .collectives = g->collectives,
                                 .ncollectives = gather_collectives(moment, g->collectives, h->collectives),
                                 .index = cut->index, .forced = (uint32_t)cut->forced };
    snprintf(g->snapshot.protocol, sizeof g->snapshot.protocol, "%s", cut->protocol);
    /* Who sent in which interval is known here of a verified cut, or when the senders have told; else the counters of both
     * ends tell it afterwards. */
    if (!bl_settings_alone(&bl_rt.settings))
        g->snapshot.ndependencies = gather_dependencies(g->dependencies, cut->checkpoint, seen);
    else if (bl_rt.piggyback != BL_PIGGYBACK_IMPLICIT)
        rc = bl_ride_dependencies(cut->checkpoint, moment ? moment->received : NULL, &g->dependencies, &g->snapshot.ndependencies, err);
    g->snapshot.dependencies = g->dependencies;
    free(seen);
    return rc;
}

void bl_cut_release(bl_gathered *g)
{
    free(g->channels);
    free(g->collectives);
    free(g->dependencies);
    *g = (bl_gathered){ .channels = NULL };
}

int bl_cut_write(bl_cut *cut, bl_error *err)
{
    bl_gathered g = { .channels = NULL };
    int rc = bl_files_map(err);
    if (rc) return rc;
    rc = bl_cut_gather(cut, &g, err);
    if (rc == BELAY_OK) rc = bl_snapshot_write(bl_rt.store, &g.snapshot, &cut->digest, err);
    bl_cut_release(&g);
    bl_files_unmap();
    return rc;
}

void bl_pause_briefly(unsigned turn)
{
    if (turn < 20) {
        sched_yield(); /* the message is often a moment away, and another rank may need this core to send it */
        return;
    }
    long us = turn < 60 ? 20 : turn < 200 ? 100 : 1000;
    nanosleep(&(struct timespec){ .tv_nsec = us * 1000 }, NULL);
}

static void outstanding_text(char *text, size_t size)
{
    const bl_request *r = bl_request_outstanding();
    if (bl_rt.refused) {
        snprintf(text, size, "the program has used %s, after which this version cannot verify that nothing is in transit",
                 bl_rt.refused);
        return;
    }
    char name[MPI_MAX_OBJECT_NAME] = "no communicator", peer[32] = "any rank";
    if (r && r->comm) bl_comm_text(r->comm->handle, name, sizeof name);
    if (r && r->peer >= 0) snprintf(peer, sizeof peer, "rank %d", r->peer);
    if (!r) snprintf(text, size, bl_rt.locked ? "another thread is inside an MPI call" : "a request is outstanding");
    else if (r->kind == BL_REQ_COLLECTIVE)
        snprintf(text, size, "the %s on %s (MPI call %" PRIu64 ") is not completed", bl_call_name(r->call), name, r->number);
    else
        snprintf(text, size, "the %s %s %s, tag %d on %s (MPI call %" PRIu64 ") is not completed", bl_call_name(r->call),
                 r->kind == BL_REQ_SEND ? "to" : "from", peer, r->tag, name, r->number);
}

/* The 1st, 2nd, 4th, 8th ... time, since a program refused once is refused often. */
int bl_cut_refuse(uint64_t safe_point, const char *reason, const char *advice)
{
    static unsigned refusals;
    bl_error err;
    bl_fail(&err, BELAY_ERR_PENDING, "no checkpoint at safe point %" PRIu64 ": %s; %s", safe_point, reason, advice);
    refusals++;
    if ((refusals & (refusals - 1)) == 0) bl_say("rank %d: %s", bl_rt.rank, err.text);
    bl_rt.last = err;
    return BELAY_ERR_PENDING;
}

int bl_cut_refuse_outstanding(uint64_t safe_point)
{
    char text[400];
    outstanding_text(text, sizeof text);
    return bl_cut_refuse(safe_point, text, bl_rt.refused ? "run without checkpoints (--every never)"
                                           : bl_request_outstanding() ? "complete it with MPI_Wait or MPI_Test before belay_checkpoint"
                                                                      : "a safe point is where no thread waits in MPI");
}

void bl_cut_stable(const bl_cut *cut)
{
    bl_live_header *h = bl_rt.live.header;
    for (uint32_t i = 0; i < h->channel_slots; i++) {
        bl_live_slot *s = &bl_rt.live.slot[i];
        if (!s->comm) continue;
        s->at_sent = sent_at(cut->moment, i);
        s->at_received = received_at(cut->moment, i);
    }
    for (uint32_t i = 0; i < h->collective_slots; i++) bl_rt.live.collective[i].at_started = started_at(cut->moment, i);
    h->checkpoint = bl_rt.checkpoint = cut->checkpoint;
    h->checkpoint_safe_point = cut->safe_point;
    h->checkpoint_ns = bl_now_ns();
    bl_rt.compute_s = cut->moment ? cut->moment->compute_s : bl_useful_seconds();
    bl_ride_interval(cut->moment != NULL);
}

static void human_size(double bytes, char *text, size_t size)
{
    static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    int u = 0;
    for (; bytes >= 1024 && u < 4; u++) bytes /= 1024;
    snprintf(text, size, u ? "%.1f %s" : "%.0f %s", bytes, unit[u]);
}

void bl_cut_tell(const bl_cut *cut, double seconds, double held)
{
    enum { RANKS_THAT_TELL = 16 };
    double bytes = 0;
    char size[32], who[32] = "", beside[64] = "";
    int own = bl_rt.settings.protocol != BL_PROTOCOL_COORDINATED;
    if (!bl_rt.settings.verbose || (bl_rt.rank > 0 && !(own && bl_rt.ranks <= RANKS_THAT_TELL))) return;
    for (unsigned i = 0; i < bl_rt.variables; i++) bytes += (double)bl_variable_bytes(&bl_rt.variable[i]);
    human_size(bytes, size, sizeof size);
    if (own) snprintf(who, sizeof who, "rank %d: ", bl_rt.rank);
    if (held < seconds) snprintf(beside, sizeof beside, ", of which it held up the program for %.3f s", held);
    bl_say("%scheckpoint %" PRIu32 " at safe point %" PRIu64 ": %s%s in %.3f s%s%s", who, cut->checkpoint, cut->safe_point, size,
           own ? "" : " a rank", seconds, beside, cut->forced ? ", forced by a message" : "");
}
