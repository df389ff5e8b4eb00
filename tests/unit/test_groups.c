/* Groups of redundancy: no two of one domain, none too small, and refused only when no way exists (tried: all of them). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "protocol/groups.h"

enum { MOST = 7 };

/* Is there any way to part the ranks from `rank` on into groups of distinct domains with at least `least` members each? */
static int possible(uint32_t ranks, const uint32_t *domain, uint32_t least, uint32_t rank, uint32_t used, uint32_t *group)
{
    if (rank == ranks) {
        for (uint32_t g = 0; g < used; g++) {
            uint32_t size = 0;
            for (uint32_t r = 0; r < ranks; r++) size += group[r] == g;
            if (size < least) return 0;
        }
        return 1;
    }
    for (uint32_t g = 0; g <= used; g++) {
        int clash = 0;
        for (uint32_t r = 0; r < rank; r++) clash |= group[r] == g && domain[r] == domain[rank];
        group[rank] = g;
        if (!clash && possible(ranks, domain, least, rank + 1, g == used ? used + 1 : used, group)) return 1;
    }
    return 0;
}

static void check(uint32_t ranks, const uint32_t *domain, uint32_t members, uint32_t parity)
{
    uint32_t order[MOST], group[MOST], groups, scratch[MOST], size[MOST] = { 0 }, least = members < ranks ? members : ranks;
    bl_error err = { 0, "" };
    int rc = bl_groups_form(ranks, domain, members, parity, order, group, &groups, &err);
    if (rc != BELAY_OK) {
        assert_int_equal(rc, BELAY_ERR_REFUSED);
        assert_true(least <= parity || !possible(ranks, domain, least, 0, 0, scratch));
        return;
    }
    for (uint32_t r = 0; r < ranks; r++) {
        assert_true(group[r] < groups);
        size[group[r]]++;
        for (uint32_t other = 0; other < r; other++) assert_false(group[r] == group[other] && domain[r] == domain[other]);
    }
    for (uint32_t g = 0; g < groups; g++) assert_true(size[g] >= least && size[g] > parity);
}

static void all_small_jobs(void **state)
{
    (void)state;
    for (uint32_t ranks = 1; ranks <= MOST; ranks++) {
        uint32_t layouts = 1;
        for (uint32_t r = 0; r < ranks; r++) layouts *= r + 1; /* domain of rank r: 0 to r */
        for (uint32_t layout = 0; layout < layouts; layout++) {
            uint32_t domain[MOST], rest = layout;
            for (uint32_t r = 0; r < ranks; r++) {
                domain[r] = rest % (r + 1);
                rest /= r + 1;
            }
            for (uint32_t members = 2; members <= ranks + 1; members++)
                for (uint32_t parity = 1; parity < members; parity++) check(ranks, domain, members, parity);
        }
    }
}

static void a_refusal_says_what_is_possible(void **state)
{
    uint32_t domain[8], order[8], group[8], groups;
    bl_error err = { 0, "" };
    (void)state;
    for (uint32_t r = 0; r < 8; r++) domain[r] = r / 4;
    assert_int_equal(bl_groups_form(8, domain, 4, 1, order, group, &groups, &err), BELAY_ERR_REFUSED);
    assert_non_null(strstr(err.text, "8 ranks on 2 nodes, up to 4 on one; groups of 2 are possible here"));
    assert_int_equal(bl_groups_form(8, domain, 2, 1, order, group, &groups, &err), BELAY_OK);
    assert_int_equal(groups, 4);
    assert_int_equal(bl_groups_form(4, domain, 2, 1, order, group, &groups, &err), BELAY_ERR_REFUSED);
    assert_non_null(strstr(err.text, "4 ranks on 1 node, up to 4 on one; here that many cannot be found"));
}

static void large_jobs_have_groups_that_fit(void **state)
{
    enum { RANKS = 1000 };
    static uint32_t domain[RANKS], order[RANKS], group[RANKS], size[RANKS];
    uint32_t groups;
    bl_error err = { 0, "" };
    (void)state;
    for (uint32_t r = 0; r < RANKS; r++) domain[r] = r;
    assert_int_equal(bl_groups_form(RANKS, domain, 60, 2, order, group, &groups, &err), BELAY_OK);
    for (uint32_t r = 0; r < RANKS; r++) size[group[r]]++;
    for (uint32_t g = 0; g < groups; g++) assert_true(size[g] <= BL_GROUPS_MOST && size[g] > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_small_jobs), cmocka_unit_test(a_refusal_says_what_is_possible), cmocka_unit_test(large_jobs_have_groups_that_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
