#include <stdlib.h>

#include "line/graph.h"
#include "line/solve.h"

static bl_hop hop_of(const struct bl_line_history *h, struct bl_lowering r)
{
    enum bl_hop_cause cause = (enum bl_hop_cause)(r.by >> BL_BY_CAUSE_SHIFT);
    uint32_t by_rank = cause == BL_HOP_FAILED ? r.rank : h->record[r.parent].rank;
    return (bl_hop){r.rank, r.own - 1, cause, r.own, by_rank, r.by & BL_BY_INTERVAL};
}

int bl_line_why(const bl_graph *graph, const bl_line *line, uint32_t j, bl_hop **hops, size_t *count, bl_error *err)
{
    *hops = NULL;
    *count = 0;
    const struct bl_line_history *h = line->history;
    if (!h)
        return bl_fail(err, BELAY_ERR_ARG, "this line carries no history: ask why of a line of bl_line_solve");
    if (j >= graph->ranks || line->ranks != graph->ranks)
        return bl_fail(err, BELAY_ERR_ARG, "there is no rank %u in a line of %u ranks", (unsigned)j, (unsigned)line->ranks);
    if (h->newest[j] == 0)
        return BELAY_OK;
    /* A parent is always an older record, so the walk ends, at a seed. */
    size_t length = 1;
    for (uint32_t t = h->newest[j] - 1; h->record[t].by >> BL_BY_CAUSE_SHIFT != BL_HOP_FAILED; t = h->record[t].parent)
        length++;
    bl_hop *chain = malloc(length * sizeof *chain);
    if (!chain)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory for a certificate of %zu hops", length);
    uint32_t t = h->newest[j] - 1;
    for (size_t n = 0; n < length; n++) {
        chain[n] = hop_of(h, h->record[t]);
        t = h->record[t].parent;
    }
    *hops = chain;
    *count = length;
    return BELAY_OK;
}
