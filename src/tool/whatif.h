/* whatif.h - the same messages and the same failure under other protocols: where would the job restart, what would it
 * lose, and what would each have cost on the way? */
#ifndef BL_TOOL_WHATIF_H
#define BL_TOOL_WHATIF_H

#include "tool/loss.h"

enum bl_choice { BL_AS_RECORDED, BL_COORDINATED, BL_BCS, BL_FDAS, BL_HMNR, BL_LOGGING, BL_CHOICES };

typedef struct bl_outcome {
    bool known;
    bl_sum sum;          /* NaN in `lost`: not known */
    uint64_t forced;     /* checkpoints taken only because a message asked for it */
    uint64_t logged;     /* messages whose payload has to be kept */
} bl_outcome;

typedef struct bl_whatif { bl_outcome outcome[BL_CHOICES]; } bl_whatif;

/* The story has been solved. */
int bl_whatif_make(const bl_story *story, bl_whatif *whatif, bl_error *err);

#endif
