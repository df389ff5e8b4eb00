#include "line/intervals.h"

#include <string.h>

/* Of a rank that is an orphan, what it has decided since is gone with it. */
static void find_known(uint32_t ranks, const bl_step *const *steps, const uint32_t *counts, const uint32_t *good, uint32_t *known)
{
    memset(known, 0, sizeof *known * ranks);
    for (uint32_t r = 0; r < ranks; r++)
        for (uint32_t i = 0; i < good[r]; i++)
            if (steps[r][i].kind == BL_STEP_DECIDED && steps[r][i].number > known[r]) known[r] = steps[r][i].number;
    for (int again = 1; again;) { /* copies stand in a journal in about their order */
        again = 0;
        for (uint32_t r = 0; r < ranks; r++)
            for (uint32_t i = 0; i < good[r]; i++) {
                const bl_step *s = &steps[r][i];
                if (s->kind != BL_STEP_HOLDS || good[s->rank] < counts[s->rank] || s->number != known[s->rank] + 1) continue;
                known[s->rank]++;
                again = 1;
            }
    }
}

void bl_line_intervals(uint32_t ranks, const bl_step *const *steps, const uint32_t *counts, uint32_t *known, uint32_t *good)
{
    memcpy(good, counts, sizeof *good * ranks);
    for (int again = 1; again;) {
        again = 0;
        find_known(ranks, steps, counts, good, known);
        for (uint32_t r = 0; r < ranks; r++)
            for (uint32_t i = 0; i < good[r]; i++) {
                if (steps[r][i].kind != BL_STEP_NEEDS || steps[r][i].number <= known[steps[r][i].rank]) continue;
                good[r] = i;
                again = 1;
            }
    }
}
