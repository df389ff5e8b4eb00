/* checkpoint.c - safe points: what is due at this one. */
#include <inttypes.h>
#include <stdlib.h>

#include "mpi/checkpoint.h"
#include "mpi/injob.h"
#include "mpi/log.h"
#include "mpi/ride.h"
#include "util/clock.h"

#define WARN_S 60.0     /* waiting so long, a rank says what for */

static int independent(void)
{
    return bl_settings_alone(&bl_rt.settings);
}

static void first_safe_point(uint64_t safe_point)
{
    static const enum bl_due_kind kind[] = { BL_DUE_NEVER, BL_DUE_POINTS, BL_DUE_SECONDS, BL_DUE_AUTO };
    bl_every every = bl_settings_every(&bl_rt.settings, 0);
    if (independent())
        bl_independent_first(safe_point);
    else
        bl_due_init(&bl_rt.due, kind[every.kind], every.points, every.seconds, bl_rt.settings.mtbf_s, safe_point,
                    bl_rt.restore != NULL, bl_ticks_ns());
    bl_rt.compute_since_ns = bl_ticks_ns();
    if (!bl_rt.live.header->checkpoint_ns) bl_rt.live.header->checkpoint_ns = bl_now_ns();
    bl_rt.live.header->first_step_ns = bl_now_ns();
}

/* The round is nearly always complete; if not, a rank has not reached the safe point where it was opened. */
static void close_round(uint64_t safe_point)
{
    int done = 0, warned = 0;
    int64_t began = bl_ticks_ns();
    for (unsigned turn = 0;; turn++) {
        PMPI_Test(&bl_rt.round, &done, MPI_STATUS_IGNORE);
        if (done) return;
        if (!warned && bl_seconds(bl_ticks_ns() - began) > WARN_S) {
            bl_say("rank %d: at safe point %" PRIu64 ", waiting for ranks that have not reached safe point %" PRIu64
                   ": every rank has to pass the same safe points", bl_rt.rank, safe_point, bl_rt.due.round_opened);
            warned = 1;
        }
        bl_pause_briefly(turn);
    }
}

static void stop_cleanly(void)
{
    if (bl_rt.rank == 0 && bl_rt.settings.verbose)
        bl_say("stopping as asked; the job continues from checkpoint %" PRIu32 " when it is started again", bl_rt.checkpoint);
    bl_rt.live.header->state = BL_LIVE_STOPPED;
    PMPI_Barrier(bl_rt.private_comm);
    if (bl_rt.rank == 0) {
        bl_error err = { 0, "" };
        if (bl_store_set_state(bl_rt.store, "stopped", &err)) bl_say("rank 0: %s", err.text);
    }
    PMPI_Barrier(bl_rt.private_comm);
    bl_injob_end();
    bl_ride_finish();
    bl_count_no_more();
    PMPI_Finalize();
    exit(0);
}

/* All ranks have to leave a checkpoint out alike: what they know of each other is the outcome of the last round, if that was opened
 * after the checkpoint before. */
static void hear_who_writes(void)
{
    if (bl_rt.due.round_opened >= bl_rt.taken_at) bl_rt.late = bl_rt.outcome.writing != 0;
}

static int left_out(uint64_t safe_point)
{
    if (!bl_rt.settings.async_skip || !bl_rt.late) return 0;
    if (bl_rt.rank == 0 && bl_rt.settings.verbose && bl_rt.skipped != bl_rt.next_checkpoint)
        bl_say("no checkpoint at safe point %" PRIu64 ": the one before is not written yet (async-late=skip)", safe_point);
    bl_rt.skipped = bl_rt.next_checkpoint;
    return 1;
}

static int attend_together(uint64_t safe_point, belay_status *status)
{
    int rc = BELAY_OK, closes = bl_due_closes(&bl_rt.due, safe_point);
    if (bl_coordinated_pending()) status->taken = bl_coordinated_go_on();
    if (safe_point < bl_rt.due.next) return BELAY_OK;
    if (closes) close_round(safe_point);
    if (closes) hear_who_writes();
    enum bl_wish here = bl_due_at(&bl_rt.due, safe_point, bl_ticks_ns(), closes ? &bl_rt.outcome : NULL,
                                  (enum bl_wish)bl_rt.asked, &bl_rt.vote);
    if (here == BL_WISH_CHECKPOINT && left_out(safe_point)) here = BL_WISH_NONE;
    if (here != BL_WISH_NONE) {
        int64_t began = bl_ticks_ns();
        rc = bl_coordinated_take(safe_point, here == BL_WISH_STOP);
        double held = bl_seconds(bl_ticks_ns() - began);
        bl_rt.taken_at = safe_point;
        bl_rt.late = bl_stage_on();
        bl_due_done(&bl_rt.due, bl_ticks_ns(), held, rc == BELAY_OK);
        if (rc == BELAY_OK && here == BL_WISH_STOP) stop_cleanly();
        status->taken |= rc == BELAY_OK && !bl_coordinated_pending();
        status->blocked_seconds = held;
    }
    if (bl_rt.due.round_opened == safe_point) {
        bl_rt.vote.writing = bl_coordinated_pending();
        PMPI_Iallreduce(&bl_rt.vote, &bl_rt.outcome, sizeof bl_rt.vote / sizeof(int64_t), MPI_INT64_T, MPI_MAX, bl_rt.private_comm, &bl_rt.round);
    }
    return rc;
}

static int attend(uint64_t safe_point, belay_status *status)
{
    bl_error err = { 0, "" };
    bl_rt.live.header->safe_point_ns = bl_now_ns();
    bl_inject_step(safe_point);
    if (!bl_rt.recovered) {
        bl_fail(&err, BELAY_ERR_ARG, "belay_checkpoint: call belay_recover once before the first safe point");
        if (bl_rt.restore) bl_end_job(&err); /* it would go on from the start over the state of an unfinished job */
        return bl_failed(BELAY_ERR_ARG, &err);
    }
    if (bl_rt.settings.logging != BL_LOGGING_NONE && !bl_log_begun()) bl_log_first_safe_point();
    if (bl_replaying) { /* nothing is due */
        bl_rt.attention = UINT64_MAX;
        return BELAY_OK;
    }
    if (!bl_rt.compute_since_ns) first_safe_point(safe_point);

    int rc = independent() ? bl_independent_attend(safe_point, status) : attend_together(safe_point, status);
    bl_rt.attention = independent() ? bl_independent_attention() : bl_coordinated_pending() ? safe_point + 1 : bl_rt.due.next;
    if (bl_rt.kill_step > safe_point && bl_rt.kill_step < bl_rt.attention) bl_rt.attention = bl_rt.kill_step;
    return rc;
}

int belay_checkpoint(belay_status *status)
{
    if (__builtin_expect(!bl_rt.on, 0)) {
        if (bl_rt.off) {
            if (status) *status = (belay_status){ 0 };
            return BELAY_OK;
        }
        bl_error err;
        bl_fail(&err, BELAY_ERR_ARG, "belay_checkpoint: call it between MPI_Init and MPI_Finalize");
        return bl_failed(BELAY_ERR_ARG, &err);
    }
    uint64_t safe_point = ++bl_rt.live.header->safe_point;
    belay_status s = { 0 };
    int rc = BELAY_OK;
    if (bl_rt.counting == BL_COUNTING_LOGGED) bl_log_safe_point(safe_point);
    if (safe_point >= bl_rt.attention) {
        if (bl_rt.locked) bl_lock(); /* other threads stand still before their next MPI call while the state is taken */
        rc = attend(safe_point, &s);
        if (bl_rt.locked) bl_unlock();
        if (bl_replaying) bl_replay_trap(); /* the state is that of the checkpoint */
    }
    if (status) {
        s.resumed = bl_rt.restore != NULL;
        s.checkpoint = (int)bl_rt.checkpoint;
        s.ranks = bl_rt.ranks;
        s.incarnation = (int)bl_rt.incarnation;
        s.safe_point = safe_point;
        *status = s;
    }
    return rc;
}

int bl_safe_points_init(bl_error *err)
{
    bl_rt.round = MPI_REQUEST_NULL;
    return independent() ? BELAY_OK : bl_coordinated_init(err);
}

void bl_safe_points_free(void)
{
    if (independent()) bl_comm_disown(&bl_rt.private_comm);
    else bl_coordinated_free();
}
