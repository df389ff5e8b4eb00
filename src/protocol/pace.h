/* pace.h - when a rank that checkpoints on its own does so: at which of its safe points, without asking anybody.
 *
 * Pure: it is told the time.  Between two looks a few safe points pass unlooked at, about BL_DUE_ROUND_S worth of them.
 */
#ifndef BL_PROTOCOL_PACE_H
#define BL_PROTOCOL_PACE_H

#include <stdint.h>

#include "protocol/due.h"

typedef struct bl_pace {
    enum bl_due_kind kind;
    uint64_t points;
    double period_s, mtbf_s, jitter;
    uint64_t random;          /* state of the jitter */
    uint64_t next;            /* the safe point at which bl_pace_at has to be asked; before it nothing is due */
    uint64_t due_point;
    int64_t due_ns;
    uint64_t looked_point;
    int64_t looked_ns;
} bl_pace;

/* As bl_due_init; each period is multiplied by a factor between 1 - jitter and 1 + jitter, drawn from `seed`. */
void bl_pace_init(bl_pace *pace, enum bl_due_kind kind, uint64_t points, double period_s, double mtbf_s, double jitter,
                  uint64_t seed, uint64_t first, int resumed, int64_t now_ns);

/* Is a checkpoint due at this safe point?  Also when only `asked` for. */
int bl_pace_at(bl_pace *pace, uint64_t safe_point, int64_t now_ns, int asked);

/* One was taken here, at `now_ns`, and held the rank up for `held_s`.  One that was refused stays due. */
void bl_pace_done(bl_pace *pace, uint64_t safe_point, int64_t now_ns, double held_s);

#endif
