/* independent.c - each rank checkpoints on its own; after a death all agree on the greatest line without orphans and lost
 * messages (recovery/past.h).
 *
 * Taking a checkpoint says nothing to anybody and waits for nobody.  The counters in it go on from those of the snapshot
 * this incarnation resumed from: on a line both ends of every channel agree, so whatever was counted before it cancels out,
 * and the files of several incarnations can be compared.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#include "mpi/checkpoint.h"
#include "mpi/log.h"
#include "protocol/pace.h"
#include "recovery/past.h"
#include "store/hash.h"
#include "util/clock.h"

static bl_pace pace;
static int asked;   /* for a checkpoint, by those who hold messages for us */
static int retry; /* a due checkpoint was refused: said once, tried again at each safe point */

static int induced(void)
{
    return bl_rt.settings.protocol == BL_PROTOCOL_INDUCED;
}

static int logging(void)
{
    return bl_rt.settings.logging != BL_LOGGING_NONE;
}

/* --- where the job goes on --- */

static void note(void *context, const char *sentence)
{
    (void)context;
    bl_say("%s", sentence);
}

/* Rank 0 reads what all ranks have, and gives each its checkpoint.  The past is cleared by the caller, also after an error. */
static int plan(uint32_t *number, bl_past *past, bl_error *err)
{
    bl_commit_record record = { 0 };
    int rc = bl_commit_newest(bl_rt.store, UINT32_MAX, &record, NULL, NULL, err);
    bl_commit_clear(&record);
    if (rc == BELAY_OK)
        return bl_fail(err, BELAY_ERR_REFUSED, "%s holds a job with coordinated checkpoints: go on with checkpoint=coordinated, or start anew with --fresh",
                       bl_store_dir(bl_rt.store));
    if (rc != BELAY_ERR_NONE) return rc;
    rc = bl_past_read(bl_rt.store, 1, note, NULL, past, err);
    if (rc == BELAY_OK) rc = bl_past_belongs(past, bl_rt.store, induced() ? "induced" : "independent", err);
    if (rc) return rc;
    bl_rt.line_index = 0;
    for (int r = 0; r < bl_rt.ranks; r++) {
        const bl_past_checkpoint *c = bl_past_restart(past, (uint32_t)r);
        number[r] = c->number;
        if (c->index > bl_rt.line_index) bl_rt.line_index = c->index;
    }
    /* Before what the line undoes is removed; whoever restarts a restart finds what the first one had recorded. */
    bl_error why = { 0, "" };
    if (bl_rt.incarnation > 0 && bl_past_record(bl_rt.store, bl_rt.incarnation - 1, &why)) bl_say("rank 0: %s", why.text);
    return BELAY_OK;
}

/* Everybody opens its own and reads all of it; 1 when all can go on from there, 0 when one was damaged. */
static int try_all(uint32_t mine, bl_error *err)
{
    int rc = mine ? bl_open_and_verify(mine, NULL, err) : BELAY_OK, worst;
    int badness = rc == BELAY_OK ? 0 : bl_past_survivable(rc) ? 1 : 2;
    PMPI_Allreduce(&badness, &worst, 1, MPI_INT, MPI_MAX, bl_rt.private_comm);
    if (badness == 2) {
        err->code = rc;
        bl_end_job(err);
    }
    if (worst == 2) PMPI_Barrier(bl_rt.private_comm); /* another rank ends the job */
    if (worst) bl_close_reader();
    if (badness == 1) bl_give_up_snapshot(mine, err);
    return !worst;
}

int bl_independent_count_on(bl_error *err)
{
    bl_live *live = &bl_rt.live;
    uint32_t mask = live->header->channel_slots - 1;
    if (!bl_rt.restore) return BELAY_OK;
    if (bl_rt.restore->nchannels > live->header->channel_slots / 4 * 3 ||
        bl_rt.restore->ncollectives > live->header->collective_slots)
        return bl_fail(err, BELAY_ERR_REFUSED, "checkpoint %" PRIu32 " counts more channels than this version holds",
                       bl_rt.restore->checkpoint);
    for (size_t k = 0; k < bl_rt.restore->nchannels; k++) {
        const bl_channel *c = &bl_rt.restore->channels[k];
        uint32_t i = bl_live_hash(c->comm, c->peer, c->tag) & mask;
        while (live->slot[i].comm) i = (i + 1) & mask;
        live->slot[i] = (bl_live_slot){ c->comm, c->peer, c->tag, c->sent, c->received, c->sent, c->received };
        live->header->channels++;
    }
    /* Communicators that the program makes again find their row by its id. */
    for (size_t k = 0; k < bl_rt.restore->ncollectives; k++) {
        const bl_collectives *c = &bl_rt.restore->collectives[k];
        live->collective[live->header->collectives++] = (bl_live_collective){ c->comm, c->started, c->started, c->size, 0 };
    }
    return BELAY_OK;
}

/* One line, tried on all ranks; 0 when another has to be found. */
static int choose(uint32_t *numbers, bl_error *err)
{
    bl_past past = { 0 };
    int rc = bl_rt.rank == 0 ? plan(numbers, &past, err) : BELAY_OK;
    PMPI_Bcast(&rc, 1, MPI_INT, 0, bl_rt.private_comm);
    if (rc) {
        if (bl_rt.rank == 0) bl_end_job(err);
        PMPI_Barrier(bl_rt.private_comm); /* rank 0 ends the job */
    }
    PMPI_Bcast(numbers, bl_rt.ranks, MPI_UINT32_T, 0, bl_rt.private_comm);
    PMPI_Bcast(&bl_rt.line_index, 1, MPI_UINT32_T, 0, bl_rt.private_comm);
    int ready = try_all(numbers[bl_rt.rank], err);
    if (ready && induced()) {
        ready = bl_resend_plan(past.transit, past.transits, numbers, err);
        if (!ready) bl_close_reader();
    }
    if (bl_rt.rank == 0) bl_past_clear(&past);
    return ready;
}

int bl_independent_choose(bl_error *err)
{
    uint32_t *numbers = calloc((size_t)bl_rt.ranks, sizeof *numbers), mine;
    int rc = BELAY_OK;
    if (!numbers) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %d ranks", bl_rt.ranks);
    while (!logging() && !choose(numbers, err)) continue;
    mine = numbers[bl_rt.rank];
    free(numbers);
    if (logging()) rc = bl_log_choose(&mine, err);
    if (rc) return rc;
    /* What the line undoes is gone for good before anything new is taken: then the files of a rank are one history. */
    rc = bl_snapshot_forget(bl_rt.store, (uint32_t)bl_rt.rank, mine, err);
    if (rc == BELAY_OK) rc = bl_independent_count_on(err);
    if (rc) return rc;
    bl_rt.checkpoint = mine;
    if (bl_rt.restore) bl_rt.compute_base_s = bl_rt.compute_s = bl_rt.restore->compute_s;
    if (!bl_rejoining) PMPI_Barrier(bl_rt.private_comm);
    return BELAY_OK;
}

/* --- a checkpoint of our own --- */

static int refuse(uint64_t safe_point)
{
    if (!retry && bl_rt.folded) /* which of two messages with different tags was received tells no sum */
        bl_cut_refuse(safe_point, "there are more (communicator, peer, tag) channels than are counted one by one",
                      "use fewer tags, or --checkpoint coordinated");
    else if (!retry)
        bl_cut_refuse_outstanding(safe_point);
    retry = 1;
    return BELAY_ERR_PENDING;
}

int bl_independent_take(bl_cut *cut)
{
    bl_error err = { 0, "" };
    int64_t began = bl_ticks_ns();
    if (!cut->moment && (bl_rt.folded || bl_cut_obstructed())) return refuse(cut->safe_point);
    retry = 0;
    cut->checkpoint = bl_rt.next_checkpoint++;
    bl_point(BL_POINT_snapshot);
    int rc = logging() ? bl_log_checkpoint(cut->checkpoint, &err) : BELAY_OK;
    if (rc == BELAY_OK) rc = bl_cut_write(cut, &err);
    if (rc == BELAY_ERR_STALE) bl_end_job(&err);
    if (rc) return bl_failed(rc, &err);
    bl_point(BL_POINT_publish);
    bl_cut_stable(cut);
    if (logging()) bl_log_kept(cut->checkpoint);
    double seconds = bl_seconds(bl_ticks_ns() - began);
    bl_rt.blocked_s += seconds;
    bl_pace_done(&pace, cut->safe_point, bl_ticks_ns(), seconds);
    bl_cut_tell(cut, seconds, seconds);
    return BELAY_OK;
}

static int take(uint64_t safe_point)
{
    bl_cut cut = { .safe_point = safe_point, .protocol = logging() ? bl_logging_name(bl_rt.settings.logging) : "independent" };
    return bl_independent_take(&cut);
}

void bl_independent_first(uint64_t safe_point)
{
    static const enum bl_due_kind kind[] = { BL_DUE_NEVER, BL_DUE_POINTS, BL_DUE_SECONDS, BL_DUE_AUTO };
    bl_every every = bl_settings_every(&bl_rt.settings, (uint32_t)bl_rt.rank);
    const char *job = bl_store_job(bl_rt.store)->id;
    uint64_t seed = XXH3_64bits_withSeed(job, strlen(job), ((uint64_t)bl_rt.incarnation << 32) | (uint32_t)bl_rt.rank);
    bl_pace_init(&pace, kind[every.kind], every.points, every.seconds, bl_rt.settings.mtbf_s, bl_rt.settings.jitter, seed,
                 safe_point, bl_rt.restore != NULL, bl_ticks_ns());
}

/* Asked to stop, a rank saves what it has and goes on: others may need its messages to reach their own safe points.
 * `belay run` ends the job when the tables of all say that they have. */
int bl_independent_attend(uint64_t safe_point, belay_status *status)
{
    int stop = bl_rt.asked && bl_rt.live.header->state != BL_LIVE_STOPPED;
    int64_t began = bl_ticks_ns();
    int due = bl_pace_at(&pace, safe_point, began, stop || asked), rc;
    if (due && logging() && !bl_log_all_begun()) return BELAY_OK; /* at the next */
    asked = 0;
    if (!due && !induced()) return BELAY_OK;
    rc = induced() ? bl_induced_attend(safe_point, due, &status->taken) : take(safe_point);
    if (!induced()) status->taken = rc == BELAY_OK;
    status->blocked_seconds = bl_seconds(bl_ticks_ns() - began);
    if (status->taken && stop) bl_rt.live.header->state = BL_LIVE_STOPPED;
    return rc;
}

void bl_independent_ask(void)
{
    asked = 1;
    bl_rt.attention = 0;
}

uint64_t bl_independent_attention(void)
{
    if (asked) return 0;
    return induced() ? 0 : pace.next; /* each is copied, lest a message makes it a checkpoint */
}
