#include "protocol/groups.h"

static int refuse(uint32_t ranks, uint32_t domains, uint32_t most, uint32_t members, uint32_t parity, bl_error *err)
{
    uint32_t best = ranks / most;
    const char *s = ranks == 1 ? "" : "s", *t = domains == 1 ? "" : "s";
    if (best > parity && best > 1)
        return bl_fail(err, BELAY_ERR_REFUSED, "redundancy: groups of %u ranks, of which %u may be lost, have to be on different nodes: %u rank%s on %u node%s, up to %u on one; groups of %u are possible here",
                       members, parity, ranks, s, domains, t, most, best);
    return bl_fail(err, BELAY_ERR_REFUSED, "redundancy: groups of %u ranks, of which %u may be lost, have to be on different nodes: %u rank%s on %u node%s, up to %u on one; here that many cannot be found; spread the ranks over more nodes, or say with failure-domain which ranks are lost together",
                   members, parity, ranks, s, domains, t, most);
}

/* In the order of their domains, dealt out like cards: of a domain with at most as many ranks as there are groups no two come
 * together.  place[d]: ranks of the domains before d, and of d the ones already dealt. */
int bl_groups_form(uint32_t ranks, const uint32_t *domain, uint32_t members, uint32_t parity, uint32_t *place, uint32_t *group,
                   uint32_t *groups, bl_error *err)
{
    uint32_t domains = 0, most = 0, before = 0, count = ranks / members ? ranks / members : 1;
    for (uint32_t d = 0; d < ranks; d++) place[d] = 0;
    for (uint32_t r = 0; r < ranks; r++) place[domain[r]]++;
    for (uint32_t d = 0; d < ranks; d++) {
        uint32_t here = place[d];
        domains += here > 0;
        if (here > most) most = here;
        place[d] = before;
        before += here;
    }
    while (ranks / count + (ranks % count != 0) > BL_GROUPS_MOST) count++;
    *groups = count;
    for (uint32_t r = 0; r < ranks; r++) group[r] = place[domain[r]]++ % count;
    if (most > count || ranks / count <= parity) return refuse(ranks, domains, most, members, parity, err);
    return BELAY_OK;
}
