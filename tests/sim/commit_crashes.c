/* commit_crashes.c - every place to die, and every pair of places, for one to three processes.
 *
 * A place is a boundary: before an action of the machine, or after the last one of a step.  Each is tried with three
 * ways of being restarted, two of making the next machine, a decision under way that is published after its process died
 * and one that is not, and several orders of delivery.
 */
#include "sim_world.h"

enum { ORDERS = 8 };

struct totals { uint64_t passed, failed; };

static uint32_t run(const sim_plan *plan, struct totals *totals)
{
    const sim_result result = sim_run(plan, NULL);

    totals->passed += result.ok;
    totals->failed += !result.ok;
    if (!result.ok && totals->failed == 1)
        sim_run(plan, stdout);
    return result.boundaries;
}

static void crash_twice(sim_plan plan, uint32_t first, struct totals *totals)
{
    uint32_t boundaries;

    plan.crash_at[0] = first;
    plan.crash_at[1] = SIM_NEVER;
    boundaries = run(&plan, totals);
    for (uint32_t second = first + 1; second < boundaries; second++) {
        plan.crash_at[1] = second;
        run(&plan, totals);
    }
}

static void enumerate(sim_plan plan, struct totals *totals)
{
    const uint32_t boundaries = run(&plan, totals);

    for (uint32_t first = 0; first < boundaries; first++)
        crash_twice(plan, first, totals);
}

/* The choices that are independent of the order, taken from the bits of a number. */
static void enumerate_order(uint32_t n, uint32_t order, struct totals *totals)
{
    sim_plan plan = { .n = n, .checkpoints = 2, .crash_at = { SIM_NEVER, SIM_NEVER } };

    plan.seed = order;
    plan.order = order == 0 ? SIM_OLDEST_FIRST : order == 1 ? SIM_NEWEST_FIRST : SIM_ANY_ORDER;
    for (uint32_t bits = 0; bits < 8; bits++)
        for (int restart = SIM_STAY_DEAD; restart <= SIM_RESTART_LATE; restart++) {
            plan.linger = bits & 1;
            plan.eager = bits >> 1 & 1;
            plan.coordinator = bits >> 2 ? n - 1 : 0;
            plan.restart = (enum sim_restart)restart;
            enumerate(plan, totals);
        }
}

int main(void)
{
    struct totals totals = { 0, 0 };

    for (uint32_t n = 1; n <= 3; n++)
        for (uint32_t order = 0; order < ORDERS; order++)
            enumerate_order(n, order, &totals);
    printf("%llu passed, %llu failed\n", (unsigned long long)totals.passed, (unsigned long long)totals.failed);
    return totals.failed != 0;
}
