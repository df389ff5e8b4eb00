/* commit_mutants.c - the simulator has teeth: every broken driver of sim_world.h is caught within a few thousand seeds,
 * and the correct one is not. */
#include "sim_world.h"

enum { SEEDS = 20000 };

/* The first seed that fails, or 0. */
static uint64_t hunt(enum sim_mutant mutant, sim_result *result)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        sim_plan plan = sim_plan_of_seed(seed);
        plan.mutant = mutant;
        *result = sim_run(&plan, NULL);
        if (!result->ok)
            return seed;
    }
    return 0;
}

int main(void)
{
    int failed = 0;

    for (int m = 0; m < SIM_MUTANTS; m++) {
        sim_result result;
        const uint64_t seed = hunt((enum sim_mutant)m, &result);
        const bool wanted = (seed == 0) == (m == SIM_CORRECT);

        printf("%-22s %s", sim_mutant_name((enum sim_mutant)m), wanted ? "ok" : "NOT OK");
        if (seed)
            printf("  caught by seed %llu: %s", (unsigned long long)seed, result.why);
        putchar('\n');
        failed += !wanted;
    }
    printf("%d passed, %d failed\n", SIM_MUTANTS - failed, failed);
    return failed != 0;
}
