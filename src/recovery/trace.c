/* trace.c - what an incarnation left behind, as one file: its undone checkpoints are about to go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recovery/past.h"
#include "store/live.h"
#include "store/trace_file.h"

typedef struct writing {
    bl_trace_writer *out;
    uint64_t rows;
} writing;

static int count_collective(void *context, uint64_t comm, int first, uint32_t members, const uint32_t *rank,
                            const uint32_t *interval, bl_error *err)
{
    (void)comm, (void)first, (void)rank, (void)interval, (void)err;
    ((writing *)context)->rows += members;
    return BELAY_OK;
}

static int write_collective(void *context, uint64_t comm, int first, uint32_t members, const uint32_t *rank,
                            const uint32_t *interval, bl_error *err)
{
    (void)comm;
    return bl_trace_file_add_collective(((writing *)context)->out, first, members, rank, interval, err);
}

static int write_checkpoints(const bl_past *p, bl_trace_writer *out, bl_error *err)
{
    int rc = BELAY_OK;
    for (uint32_t r = 0; r < p->ranks; r++) {
        for (uint32_t x = 0; rc == BELAY_OK && x <= p->last[r]; x++) {
            const bl_past_checkpoint *c = &p->at[r][x];
            rc = bl_trace_file_add_checkpoints(out, &(bl_trace_checkpoint){ c->safe_point, c->time_ns, c->compute_s, c->number, c->forced },
                                               1, err);
        }
    }
    return rc;
}

/* What is kept of a dependency and what is not are two rows. */
static int write_part(const bl_history_edge *e, uint64_t messages, uint32_t flag, bl_trace_writer *out, bl_error *err)
{
    bl_trace_dependency d = { e->from, e->sent_in, e->to, e->received_in | flag, messages < UINT32_MAX ? (uint32_t)messages : UINT32_MAX };
    return messages ? bl_trace_file_add_dependencies(out, &d, 1, err) : BELAY_OK;
}

static int write_dependencies(const bl_history_edge *edge, size_t edges, bl_trace_writer *out, bl_error *err)
{
    int rc = BELAY_OK;
    for (size_t k = 0; rc == BELAY_OK && k < edges; k++) {
        rc = write_part(&edge[k], edge[k].messages - edge[k].logged, 0, out, err);
        if (rc == BELAY_OK) rc = write_part(&edge[k], edge[k].logged, BL_TRACE_LOGGED, out, err);
    }
    return rc;
}

static uint64_t rows_of(const bl_history_edge *edge, size_t edges)
{
    uint64_t rows = edges;
    for (size_t k = 0; k < edges; k++) rows += edge[k].logged && edge[k].logged < edge[k].messages;
    return rows;
}

/* What the rank counted since its last checkpoint, and how far it came. */
static int open_interval(bl_store *store, bl_past *p, uint32_t rank, uint32_t incarnation, bl_trace_rank *row, bl_error *err)
{
    bl_live live;
    bl_error ignored;
    *row = (bl_trace_rank){ .checkpoints = p->last[rank], .failed = 1, .safe_point = UINT64_MAX,
                            .time_ns = p->at[rank][p->last[rank]].time_ns };
    if (bl_live_read(store, rank, incarnation, &live, &ignored)) return BELAY_OK;
    const bl_live_header *h = live.header;
    snprintf(row->host, sizeof row->host, "%s", h->host);
    row->failed = h->state == BL_LIVE_KILLED || h->state == BL_LIVE_ABORTED || h->state == BL_LIVE_EXITED || h->state == BL_LIVE_REFUSED;
    row->safe_point = h->safe_point;
    if (h->safe_point_ns > row->time_ns) row->time_ns = h->safe_point_ns;
    row->compute_s = h->compute_base_s;
    if (h->first_step_ns && h->safe_point_ns > h->first_step_ns) row->compute_s += (double)(h->safe_point_ns - h->first_step_ns) * 1e-9;
    bl_history_channel *channel = malloc(sizeof *channel * (h->channel_slots + (size_t)1));
    bl_history_collective *collective = malloc(sizeof *collective * (h->collective_slots + (size_t)1));
    size_t channels = 0, collectives = 0;
    for (uint32_t i = 0; channel && i < h->channel_slots; i++) {
        const bl_live_slot *s = &live.slot[i];
        if (s->comm) channel[channels++] = (bl_history_channel){ s->comm, (uint32_t)s->peer, s->tag, s->sent, s->received };
    }
    for (uint32_t i = 0; collective && i < h->collective_slots; i++) {
        const bl_live_collective *c = &live.collective[i];
        if (c->comm && c->started) collective[collectives++] = (bl_history_collective){ c->comm, c->started, c->size };
    }
    int rc = channel && collective ? bl_history_open(p->history, rank, channel, channels, collective, collectives, err)
                                   : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the counters of rank %u", rank);
    free(channel);
    free(collective);
    bl_live_free(&live);
    return rc;
}

static int write_all(bl_store *store, bl_past *past, bl_trace_header *header, const bl_trace_rank *rank, bl_error *err)
{
    char path[BL_PATH_TRACE];
    const bl_history_edge *edge = NULL;
    size_t edges = 0;
    writing w = { NULL, 0 };
    int rc = bl_history_edges(past->history, &edge, &edges, err);
    if (rc == BELAY_OK) rc = bl_history_collectives(past->history, count_collective, &w, err);
    if (rc == BELAY_OK) rc = bl_history_folded(past->history, &header->assumed, err);
    if (rc != BELAY_OK) return rc;
    header->dependencies = rows_of(edge, edges);
    header->collectives = w.rows;
    snprintf(path, sizeof path, "%s/trace-%04u.h5", bl_store_dir(store), header->incarnation);
    rc = bl_trace_file_create(path, false, header, rank, &w.out, err);
    if (rc != BELAY_OK) return rc;
    rc = write_checkpoints(past, w.out, err);
    if (rc == BELAY_OK) rc = write_dependencies(edge, edges, w.out, err);
    if (rc == BELAY_OK) rc = bl_history_collectives(past->history, write_collective, &w, err);
    if (rc == BELAY_OK) return bl_trace_file_finish(w.out, err);
    bl_trace_file_abandon(w.out);
    return rc;
}

int bl_past_record(bl_store *store, uint32_t incarnation, bl_error *err)
{
    const bl_job *job = bl_store_job(store);
    bl_past past;
    bl_trace_header header = { .ranks = job->ranks, .incarnation = incarnation, .protocol = "independent" };
    int rc = bl_past_counters(store, &past, err);
    if (rc != BELAY_OK) return rc;
    if (past.protocol[0]) memcpy(header.protocol, past.protocol, sizeof header.protocol);
    header.logs = past.mode == BL_LINE_LOGGED;
    memcpy(header.job, job->id, sizeof header.job);
    memcpy(header.program, job->program, sizeof header.program);
    bl_trace_rank *rank = calloc(past.ranks, sizeof *rank);
    if (!rank) rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", past.ranks);
    for (uint32_t r = 0; rc == BELAY_OK && r < past.ranks; r++) {
        rc = open_interval(store, &past, r, incarnation, &rank[r], err);
        if (rank[r].time_ns > header.time_ns) header.time_ns = rank[r].time_ns;
    }
    if (rc == BELAY_OK) rc = write_all(store, &past, &header, rank, err);
    free(rank);
    bl_past_clear(&past);
    return rc;
}
