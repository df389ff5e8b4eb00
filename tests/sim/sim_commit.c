/* sim_commit.c - the commit machine through millions of random schedules of delay, loss, death and restart.
 *
 *   sim_commit                      seeds 1 to 2000000
 *   sim_commit --seeds 50000000     more of them
 *   sim_commit --seed 4711          one, told step by step
 *   sim_commit --mutant NAME        with a broken driver: has to fail (commit_mutants lists the names)
 */
#include <stdlib.h>
#include <string.h>

#include "sim_world.h"

struct totals {
    uint64_t passed, failed, committed, aborted, undecided, crashes, lost, steps;
};

static void add(struct totals *t, const sim_result *r)
{
    t->passed += r->ok;
    t->failed += !r->ok;
    t->committed += r->committed;
    t->aborted += r->aborted;
    t->undecided += r->undecided;
    t->crashes += r->crashes;
    t->lost += r->lost;
    t->steps += r->steps;
}

static enum sim_mutant mutant_of(const char *name)
{
    for (int m = 0; m < SIM_MUTANTS; m++)
        if (strcmp(name, sim_mutant_name((enum sim_mutant)m)) == 0)
            return (enum sim_mutant)m;
    fprintf(stderr, "no mutant is called %s\n", name);
    exit(2);
}

static bool run_seed(uint64_t seed, enum sim_mutant mutant, FILE *trace, struct totals *totals)
{
    sim_plan plan = sim_plan_of_seed(seed);
    sim_result result;

    plan.mutant = mutant;
    result = sim_run(&plan, trace);
    add(totals, &result);
    if (!result.ok && !trace) {
        printf("seed %llu: %s\n", (unsigned long long)seed, result.why);
        sim_run(&plan, stdout);
        printf("again: sim_commit --seed %llu --mutant %s\n", (unsigned long long)seed, sim_mutant_name(mutant));
    }
    return result.ok;
}

/* A simulator that reaches nothing would pass: each kind of end has to have been seen. */
static bool covers(const struct totals *t)
{
    return t->committed && t->aborted && t->crashes && t->lost;
}

int main(int argc, char **argv)
{
    uint64_t seed = 0, seeds = 2000000;
    enum sim_mutant mutant = SIM_CORRECT;
    struct totals totals = { 0 };

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seeds") == 0)
            seeds = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--mutant") == 0)
            mutant = mutant_of(argv[i + 1]);
    }
    if (seed)
        run_seed(seed, mutant, stdout, &totals);
    for (uint64_t s = 1; !seed && s <= seeds && run_seed(s, mutant, NULL, &totals); s++)
        continue;
    if (!seed && seeds >= 1000 && !totals.failed && !covers(&totals)) {
        printf("the schedules did not reach every kind of end\n");
        totals.failed++;
    }
    printf("%llu checkpoints committed, %llu aborted, %llu known to nobody; %llu deaths, %llu gave up, %llu steps\n",
           (unsigned long long)totals.committed, (unsigned long long)totals.aborted, (unsigned long long)totals.undecided,
           (unsigned long long)totals.crashes, (unsigned long long)totals.lost, (unsigned long long)totals.steps);
    printf("%llu passed, %llu failed\n", (unsigned long long)totals.passed, (unsigned long long)totals.failed);
    return totals.failed != 0;
}
