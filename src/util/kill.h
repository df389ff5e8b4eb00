/* kill.h - injected rank kills: RANK@step=N | RANK@call=N | RANK@point=NAME[#N] | RANK@after=TIME | RANK@random:SEED[/CALLS],
 * all but after with +power behind: what the rank has not forced of its journals is lost with it, as when its node loses power; or
 * with +node behind: what its node keeps of snapshots (local-dir) is lost with it. */
#ifndef BL_UTIL_KILL_H
#define BL_UTIL_KILL_H

#include <stdint.h>

#include "util/error.h"

enum bl_kill_when { BL_KILL_STEP, BL_KILL_CALL, BL_KILL_POINT, BL_KILL_AFTER };

/* Protocol points a rank announces as it passes them; in the order of one checkpoint, then of a recovery. */
#define BL_KILL_POINTS \
    X(exchange) X(snapshot) X(vote) X(decide) X(commit) X(rename) X(publish) X(collect) X(init) X(recover) X(restored) X(finalize) \
    X(detect) X(shrink) X(settle)

enum bl_point {
#define X(name) BL_POINT_##name,
    BL_KILL_POINTS
#undef X
    BL_POINTS
};

typedef struct bl_kill {
    uint32_t rank;
    enum bl_kill_when when;
    uint64_t number;      /* step, call, or which passage of the point (from 1) */
    enum bl_point point;
    double seconds;
    int power, node;      /* +power, +node */
} bl_kill;

/* A random kill is drawn here: the call number uniformly from 1..CALLS (1000 when not given) of that SEED. */
int bl_kill_parse(const char *text, bl_kill *kill, bl_error *err);

const char *bl_point_name(enum bl_point point);

/* The inverse of bl_kill_parse, for messages: "2@step=40". */
void bl_kill_format(const bl_kill *kill, char *text, unsigned size);

#endif
