#include "protocol/groups.h"

#include <stdio.h>
#include <stdlib.h>

static int by_domain(const void *x, const void *y, void *context)
{
    const uint32_t *a = x, *b = y, *domain = context;
    if (domain[*a] != domain[*b]) return domain[*a] < domain[*b] ? -1 : 1;
    return (*a > *b) - (*a < *b);
}

static uint32_t largest_domain(const uint32_t *order, const uint32_t *domain, uint32_t ranks, uint32_t *domains)
{
    uint32_t most = 0, here = 0;
    *domains = 0;
    for (uint32_t i = 0; i < ranks; i++) {
        here = i && domain[order[i]] == domain[order[i - 1]] ? here + 1 : 1;
        *domains += here == 1;
        if (here > most) most = here;
    }
    return most;
}

static int refuse(uint32_t ranks, uint32_t domains, uint32_t most, uint32_t members, uint32_t parity, bl_error *err)
{
    char possible[160];
    uint32_t best = ranks / most;
    if (best > parity && best > 1)
        snprintf(possible, sizeof possible, "groups of %u are possible here", best);
    else
        snprintf(possible, sizeof possible, "here that many cannot be found; spread the ranks over more nodes, or say with failure-domain which ranks are lost together");
    return bl_fail(err, BELAY_ERR_REFUSED, "groups of %u ranks, of which %u may be lost, have to be on different nodes: %u rank%s on %u node%s, up to %u on one; %s",
                   members, parity, ranks, ranks == 1 ? "" : "s", domains, domains == 1 ? "" : "s", most, possible);
}

/* Sorted by domain and dealt out like cards: of a domain with at most as many ranks as there are groups no two come together. */
int bl_groups_form(uint32_t ranks, const uint32_t *domain, uint32_t members, uint32_t parity, uint32_t *order, uint32_t *group,
                   uint32_t *groups, bl_error *err)
{
    uint32_t domains, count = ranks / members ? ranks / members : 1;
    for (uint32_t r = 0; r < ranks; r++) order[r] = r;
    qsort_r(order, ranks, sizeof *order, by_domain, (void *)(uintptr_t)domain);
    uint32_t most = largest_domain(order, domain, ranks, &domains);
    while (ranks / count + (ranks % count != 0) > BL_GROUPS_MOST) count++;
    *groups = count;
    for (uint32_t i = 0; i < ranks; i++) group[order[i]] = i % count;
    if (most > count || ranks / count <= parity) return refuse(ranks, domains, most, members, parity, err);
    return BELAY_OK;
}
