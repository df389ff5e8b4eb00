/* step.h - what the journal of a process says about who depends on whom, in its order: written and read by src/store, judged by
 * src/line. */
#ifndef BL_UTIL_STEP_H
#define BL_UTIL_STEP_H

#include <stdint.h>

/* Decided: `rank` is the journal's own, `number` how much it has decided by then.  Needs: from here on it depends on what `rank`
 * has decided as its number `number`.  Holds: it knows what that is. */
enum bl_step_kind { BL_STEP_DECIDED, BL_STEP_NEEDS, BL_STEP_HOLDS };
typedef struct bl_step {
    enum bl_step_kind kind;
    uint32_t rank, number;
} bl_step;

#endif
