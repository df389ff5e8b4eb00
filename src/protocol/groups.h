/* groups.h - which ranks protect each other's checkpoints: groups of ranks of which no two are lost together.
 *
 * Ranks that may be lost together (of one node) are of one domain.  Pure: events in, answers out.
 */
#ifndef BL_PROTOCOL_GROUPS_H
#define BL_PROTOCOL_GROUPS_H

#include <stdint.h>

#include "util/error.h"

enum { BL_GROUPS_MOST = 64 }; /* members of a group */

/* group[r] of rank r, 0 to *groups - 1 (domain[r] < ranks; `place` is room to work in, [ranks] too): as many groups as have `members` ranks each (with what is left over some have more), none
 * with two ranks of one domain.  A group survives the loss of `parity` of its members; parity < members.
 * BELAY_ERR_REFUSED with the reason, and with what is possible, when domain[0..ranks-1] does not allow it. */
int bl_groups_form(uint32_t ranks, const uint32_t *domain, uint32_t members, uint32_t parity, uint32_t *place, uint32_t *group,
                   uint32_t *groups, bl_error *err);

#endif
