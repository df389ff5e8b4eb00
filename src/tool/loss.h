/* loss.h - what failures cost: which rank is the worst to lose, and what a failure at a random moment undoes. */
#ifndef BL_TOOL_LOSS_H
#define BL_TOOL_LOSS_H

#include "tool/story.h"

enum bl_unit { BL_UNIT_NONE, BL_UNIT_SECONDS, BL_UNIT_STEPS }; /* of a text trace: its events have steps and no time */

enum bl_unit bl_loss_unit(const bl_story *story);

/* What rank loses by going back to dense checkpoint `cut` (L+1: nothing), in that unit; NaN: not known. */
double bl_loss(const bl_story *story, uint32_t rank, uint32_t cut);

/* The ranks that `line` sets back, what they lose together and at most. */
typedef struct bl_sum { uint32_t ranks; uint32_t deepest, at_start; double lost; } bl_sum;
bl_sum bl_loss_sum(const bl_story *story, const bl_line *line);

/* When one rank fails and the others can keep their memory. */
typedef struct bl_worst {
    uint32_t rank;
    bl_sum sum;
    uint32_t tried;       /* ranks looked at: all, or a sample drawn from the seed; 0: the job is too large */
} bl_worst;
int bl_loss_worst(const bl_story *story, uint64_t seed, bl_worst *worst, bl_error *err);

/* When the whole job fails at a moment drawn from all its useful work; per rank.  Between two checkpoints the loss grows
 * linearly, so the mean over all moments is exact; where there are too many to solve a line for each, it is sampled. */
typedef struct bl_expected {
    bool known, exact;
    double mean, half, most; /* half: of the 95 % confidence interval of a sample */
    uint32_t moments;
} bl_expected;
int bl_loss_expected(const bl_story *story, uint64_t seed, bl_expected *expected, bl_error *err);

#endif
