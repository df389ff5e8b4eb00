/* inject.c - injected kills.  Off, they cost nothing: each is folded into a comparison the wrapper or safe point makes
 * anyway.  A kill is SIGKILL to this rank, the real thing, also from its child that writes; the live table says beforehand which one it
 * was. */
#include <inttypes.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "mpi/injob.h"
#include "mpi/log.h"

static void die(unsigned index)
{
    char text[96];
    bl_kill_format(&bl_rt.settings.kill[index], text, sizeof text);
    if (bl_rt.settings.verbose) bl_say("rank %d: killing itself as --kill %s asks", bl_rt.rank, text);
    bl_rt.live.header->code = (int32_t)index + 1;
    bl_rt.live.header->state = BL_LIVE_KILLED;
    if (bl_rt.settings.kill[index].power) bl_log_lose();
    if (bl_rt.settings.kill[index].node) bl_store_lose_local(bl_rt.store);
    kill(bl_rt.process, SIGKILL);
    for (;;) pause();
}

/* From the start of mpirun on; a process that takes the place of one that was so killed is not killed again. */
static void arm_timer(const bl_kill *k)
{
    if (bl_injob_recoveries()) return;
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
    struct itimerspec when = { .it_value = { .tv_sec = (time_t)k->seconds,
                                             .tv_nsec = (long)((k->seconds - (double)(time_t)k->seconds) * 1e9) } };
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &when, NULL))
        bl_say("rank %d: the timer of a --kill could not be set", bl_rt.rank);
}

static int has_fired(unsigned i)
{
    return (bl_rt.fired >> i & 1) != 0;
}

static void arm_step(uint64_t from)
{
    bl_rt.kill_step = UINT64_MAX;
    for (unsigned i = 0; i < bl_rt.settings.kills; i++) {
        const bl_kill *k = &bl_rt.settings.kill[i];
        if (k->rank == (uint32_t)bl_rt.rank && !has_fired(i) && k->when == BL_KILL_STEP && k->number >= from && k->number < bl_rt.kill_step)
            bl_rt.kill_step = k->number;
    }
}

void bl_inject_arm(void)
{
    bl_rt.calls_until = UINT64_MAX;
    arm_step(0);
    for (unsigned i = 0; i < bl_rt.settings.kills; i++) {
        const bl_kill *k = &bl_rt.settings.kill[i];
        if (k->rank != (uint32_t)bl_rt.rank || has_fired(i)) continue;
        if (k->when == BL_KILL_CALL && k->number < bl_rt.calls_until) bl_rt.calls_until = k->number;
        if (k->when == BL_KILL_POINT) bl_rt.points_armed |= (uint64_t)1 << k->point;
        if (k->when == BL_KILL_AFTER) arm_timer(k);
    }
}

static void die_of(enum bl_kill_when when, uint64_t number)
{
    for (unsigned i = 0; i < bl_rt.settings.kills; i++) {
        const bl_kill *k = &bl_rt.settings.kill[i];
        if (k->rank == (uint32_t)bl_rt.rank && !has_fired(i) && k->when == when && k->number == number) die(i);
    }
}

void bl_inject_call(void)
{
    if (bl_replaying) bl_replay_call();
    die_of(BL_KILL_CALL, bl_rt.live.header->calls);
}

void bl_inject_step(uint64_t safe_point)
{
    if (safe_point < bl_rt.kill_step) return;
    die_of(BL_KILL_STEP, safe_point);
    arm_step(safe_point + 1); /* the job has come back behind this one */
}

void bl_inject_point(enum bl_point point)
{
    uint32_t passage = ++bl_rt.point_passed[point];
    for (unsigned i = 0; i < bl_rt.settings.kills; i++) {
        const bl_kill *k = &bl_rt.settings.kill[i];
        if (k->rank == (uint32_t)bl_rt.rank && k->when == BL_KILL_POINT && k->point == point && k->number == passage && !has_fired(i))
            die(i);
    }
}
