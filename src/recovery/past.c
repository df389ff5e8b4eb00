#include "recovery/past.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reading {
    bl_store *store;
    bl_past *past;
    int quarantine;
    bl_note *note;
    void *context;
} reading;

static void tell(const reading *r, const char *sentence)
{
    if (r->note) r->note(r->context, sentence);
}

static void leave_out(const reading *r, uint32_t rank, uint32_t number, const bl_error *why)
{
    char text[sizeof why->text + 128], where[1024] = "";
    bl_error err;
    int moved = r->quarantine && bl_snapshot_quarantine(r->store, rank, number, where, sizeof where, &err) == BELAY_OK;
    snprintf(text, sizeof text, "rank %u: checkpoint %u cannot be used: %s%s%.100s", rank, number, why->text,
             moved ? "; kept as " : "", where);
    tell(r, text);
}

/* Its counters to the history. */
static int record(const reading *r, uint32_t rank, const bl_snapshot *s, bl_error *err)
{
    bl_history_channel *channel = malloc(sizeof *channel * (s->nchannels + 1));
    bl_history_collective *collective = malloc(sizeof *collective * (s->ncollectives + 1));
    int rc = BELAY_ERR_MEMORY;
    if (channel && collective) {
        for (size_t k = 0; k < s->nchannels; k++) {
            const bl_channel *c = &s->channels[k];
            channel[k] = (bl_history_channel){ c->comm, (uint32_t)c->peer, c->tag, c->sent, c->received };
        }
        for (size_t k = 0; k < s->ncollectives; k++) {
            const bl_collectives *c = &s->collectives[k];
            collective[k] = (bl_history_collective){ c->comm, c->started, c->size };
        }
        rc = bl_history_checkpoint(r->past->history, rank, channel, s->nchannels, collective, s->ncollectives, err);
    } else {
        bl_fail(err, rc, "out of memory for the counters of rank %u", rank);
    }
    free(channel);
    free(collective);
    return rc;
}

int bl_past_survivable(int rc)
{
    return rc == BELAY_ERR_DAMAGED || rc == BELAY_ERR_NONE || rc == BELAY_ERR_FOREIGN;
}

static int read_one(const reading *r, uint32_t rank, uint32_t number, bl_error *err)
{
    bl_reader *reader;
    const bl_snapshot *s;
    bl_error why = { 0, "" };
    int rc = bl_snapshot_open(r->store, rank, number, NULL, &reader, &s, &why);
    if (rc == BELAY_OK && strcmp(s->protocol, "independent")) {
        bl_snapshot_close(reader); /* left behind by a coordinated checkpoint that was never committed */
        return BELAY_OK;
    }
    if (rc == BELAY_OK) {
        bl_past *p = r->past;
        rc = record(r, rank, s, &why);
        if (rc == BELAY_OK)
            p->at[rank][++p->last[rank]] = (bl_past_checkpoint){ number, s->incarnation, s->safe_point, s->time_ns, s->compute_s };
        bl_snapshot_close(reader);
    }
    if (rc == BELAY_OK) return rc;
    if (!bl_past_survivable(rc)) return bl_fail(err, rc, "%s", why.text);
    leave_out(r, rank, number, &why);
    return BELAY_OK;
}

static int read_rank(const reading *r, uint32_t rank, bl_error *err)
{
    uint32_t *numbers;
    size_t count;
    int rc = bl_snapshot_list(r->store, rank, &numbers, &count, err);
    if (rc == BELAY_ERR_NONE) count = 0, numbers = NULL, rc = BELAY_OK;
    if (rc) return rc;
    r->past->at[rank] = calloc(count + 1, sizeof **r->past->at);
    if (!r->past->at[rank]) rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %zu checkpoints", count);
    for (size_t k = 0; rc == BELAY_OK && k < count; k++) rc = read_one(r, rank, numbers[k], err);
    free(numbers);
    return rc;
}

static int read_all(const reading *r, bl_error *err)
{
    bl_past *past = r->past;
    memset(past, 0, sizeof *past);
    past->ranks = bl_store_job(r->store)->ranks;
    past->last = calloc(past->ranks, sizeof *past->last);
    past->at = calloc(past->ranks, sizeof *past->at);
    int rc = past->last && past->at ? bl_history_new(past->ranks, &past->history, err)
                                    : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", past->ranks);
    for (uint32_t rank = 0; rc == BELAY_OK && rank < past->ranks; rank++) rc = read_rank(r, rank, err);
    return rc;
}

int bl_past_read(bl_store *store, int quarantine, bl_note *note, void *context, bl_past *past, bl_error *err)
{
    reading r = { store, past, quarantine, note, context };
    int rc = read_all(&r, err);
    if (rc == BELAY_OK) rc = bl_history_graph(past->history, &past->graph, err);
    if (rc == BELAY_OK) rc = bl_line_solve(past->graph, BL_LINE_TRANSITLESS, NULL, &past->line, err);
    if (rc == BELAY_OK) rc = bl_line_check(past->graph, BL_LINE_TRANSITLESS, NULL, &past->line, err);
    if (rc != BELAY_OK) bl_past_clear(past);
    return rc;
}

int bl_past_counters(bl_store *store, bl_past *past, bl_error *err)
{
    reading r = { store, past, 0, NULL, NULL };
    int rc = read_all(&r, err);
    if (rc != BELAY_OK) bl_past_clear(past);
    return rc;
}

void bl_past_clear(bl_past *past)
{
    for (uint32_t rank = 0; past->at && rank < past->ranks; rank++) free(past->at[rank]);
    free(past->at);
    free(past->last);
    if (past->history) bl_history_free(past->history);
    if (past->graph) bl_graph_free(past->graph);
    bl_line_clear(&past->line);
    memset(past, 0, sizeof *past);
}

const bl_past_checkpoint *bl_past_restart(const bl_past *past, uint32_t rank)
{
    return &past->at[rank][past->line.cut[rank]];
}

int bl_past_collect(bl_store *store, const bl_past *past, uint32_t *removed, bl_error *err)
{
    *removed = 0;
    for (uint32_t rank = 0; rank < past->ranks; rank++) {
        for (uint32_t x = 1; x < past->line.cut[rank]; x++) {
            int rc = bl_snapshot_remove(store, rank, past->at[rank][x].number, err);
            if (rc) return rc;
            ++*removed;
        }
    }
    return BELAY_OK;
}
