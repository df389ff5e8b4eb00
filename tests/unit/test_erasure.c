/* The erasure code: the layout is what erasure.h draws, and whatever may be lost comes back, for every set of losses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "store/erasure.h"

enum { MOST = 7, SEGMENT = 192 };

/* symbol[stripe][member] */
typedef struct group {
    bl_erasure code;
    uint8_t symbol[BL_ERASURE_MEMBERS][BL_ERASURE_MEMBERS][SEGMENT];
} group;

static void solve(group *g, uint32_t stripe, const uint8_t *available, uint32_t target)
{
    uint32_t source[BL_ERASURE_MEMBERS];
    uint8_t coefficient[BL_ERASURE_MEMBERS], *to = g->symbol[stripe][target];
    assert_int_equal(bl_erasure_solve(&g->code, stripe, available, target, source, coefficient), 0);
    memset(to, 0, SEGMENT);
    for (uint32_t i = 0; i < g->code.members - g->code.parity; i++) {
        assert_true(available[source[i]]);
        bl_erasure_add(coefficient[i], g->symbol[stripe][source[i]], to, SEGMENT);
    }
}

static void encode(group *g, uint32_t members, uint32_t parity)
{
    uint32_t index;
    g->code = (bl_erasure){ members, parity, SEGMENT };
    for (uint32_t stripe = 0; stripe < members; stripe++) {
        uint8_t available[BL_ERASURE_MEMBERS];
        for (uint32_t m = 0; m < members; m++) {
            available[m] = !bl_erasure_is_parity(&g->code, stripe, m, &index);
            for (int i = 0; available[m] && i < SEGMENT; i++) g->symbol[stripe][m][i] = (uint8_t)rand();
        }
        for (uint32_t m = 0; m < members; m++)
            if (!available[m]) solve(g, stripe, available, m);
    }
}

static uint32_t bits(uint32_t set)
{
    uint32_t count = 0;
    for (; set; set &= set - 1) count++;
    return count;
}

static void whatever_may_be_lost_comes_back(void **state)
{
    static group g, was;
    (void)state;
    for (uint32_t members = 2; members <= MOST; members++)
        for (uint32_t parity = 1; parity < members; parity++) {
            encode(&g, members, parity);
            was = g;
            for (uint32_t lost = 1; lost < 1u << members; lost++) {
                uint8_t available[BL_ERASURE_MEMBERS];
                uint32_t source[BL_ERASURE_MEMBERS], first = 0;
                uint8_t coefficient[BL_ERASURE_MEMBERS];
                for (uint32_t m = 0; m < members; m++) available[m] = !(lost >> m & 1);
                while (available[first]) first++;
                for (uint32_t stripe = 0; stripe < members; stripe++) {
                    if (bits(lost) > parity) {
                        assert_int_equal(bl_erasure_solve(&g.code, stripe, available, first, source, coefficient), -1);
                        continue;
                    }
                    for (uint32_t m = 0; m < members; m++)
                        if (!available[m]) memset(g.symbol[stripe][m], 0xee, SEGMENT);
                    for (uint32_t m = 0; m < members; m++)
                        if (!available[m]) solve(&g, stripe, available, m);
                }
                assert_memory_equal(g.symbol, was.symbol, sizeof g.symbol);
            }
        }
}

/* The largest group, and losses by chance. */
static void large_groups_too(void **state)
{
    static group g, was;
    (void)state;
    encode(&g, BL_ERASURE_MEMBERS, BL_ERASURE_PARITY);
    was = g;
    for (int turn = 0; turn < 20; turn++) {
        uint8_t available[BL_ERASURE_MEMBERS];
        uint32_t stripe = (uint32_t)rand() % BL_ERASURE_MEMBERS;
        memset(available, 1, sizeof available);
        for (int k = 0; k < BL_ERASURE_PARITY; k++) available[rand() % BL_ERASURE_MEMBERS] = 0;
        for (uint32_t m = 0; m < BL_ERASURE_MEMBERS; m++)
            if (!available[m]) memset(g.symbol[stripe][m], 0, SEGMENT);
        for (uint32_t m = 0; m < BL_ERASURE_MEMBERS; m++)
            if (!available[m]) solve(&g, stripe, available, m);
        assert_memory_equal(g.symbol[stripe], was.symbol[stripe], sizeof g.symbol[stripe]);
    }
}

static void every_member_holds_as_much(void **state)
{
    (void)state;
    for (uint32_t members = 2; members <= BL_ERASURE_MEMBERS; members++)
        for (uint32_t parity = 1; parity < members && parity <= BL_ERASURE_PARITY; parity++) {
            bl_erasure code = { members, parity, SEGMENT };
            for (uint32_t m = 0; m < members; m++) {
                uint64_t segments = 0, parities = 0;
                for (uint32_t stripe = 0; stripe < members; stripe++) {
                    uint32_t index;
                    if (bl_erasure_is_parity(&code, stripe, m, &index)) parities |= UINT64_C(1) << index;
                    else segments |= UINT64_C(1) << index;
                }
                assert_true(parities == (UINT64_C(1) << parity) - 1);
                assert_true(segments == (UINT64_C(1) << (members - parity)) - 1);
            }
        }
}

static void one_parity_is_readable(void **state)
{
    static group g;
    (void)state;
    encode(&g, 2, 1); /* partner: stripe 0: parity at 0 of the segment of 1 */
    assert_memory_equal(g.symbol[0][0], g.symbol[0][1], SEGMENT);
    encode(&g, 3, 1);
    for (int i = 0; i < SEGMENT; i++) assert_int_equal(g.symbol[0][0][i], g.symbol[0][1][i] ^ g.symbol[0][2][i]);
}

static void segments_hold_the_longest(void **state)
{
    (void)state;
    assert_int_equal(bl_erasure_segment(4, 1, 0), 64);
    assert_int_equal(bl_erasure_segment(4, 1, 192), 64);
    assert_int_equal(bl_erasure_segment(4, 1, 193), 128);
    assert_true(bl_erasure_segment(2, 1, UINT64_C(1) << 40) == UINT64_C(1) << 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_may_be_lost_comes_back), cmocka_unit_test(large_groups_too),
        cmocka_unit_test(every_member_holds_as_much), cmocka_unit_test(one_parity_is_readable),
        cmocka_unit_test(segments_hold_the_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
