#include <stdlib.h>
#include <string.h>

#include "line/graph.h"

/* Whatever fails later, the line stays at or above the line of everybody failing now. */
static int below_all_fail(bl_graph *graph, enum bl_line_mode mode, uint8_t *collectable, const uint64_t *offsets, bl_error *err)
{
    bl_line line;
    int rc = bl_line_solve(graph, mode, NULL, &line, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < graph->ranks; i++)
        memset(collectable + offsets[i], 1, line.cut[i]);
    bl_line_clear(&line);
    return BELAY_OK;
}

/* Without lost messages to mind, the line of several failures is the minimum of the lines of each alone, now and later:
 * what no single failure needs, nothing needs. */
static int unneeded(bl_graph *graph, uint8_t *collectable, const uint64_t *offsets, bl_error *err)
{
    uint8_t *failed = calloc(graph->ranks, 1);
    if (!failed)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory to collect the garbage of %u ranks", (unsigned)graph->ranks);
    memset(collectable, 1, (size_t)offsets[graph->ranks]);
    int rc = BELAY_OK;
    for (uint32_t f = 0; f < graph->ranks && !rc; f++) {
        bl_line line;
        failed[f] = 1;
        rc = bl_line_solve(graph, BL_LINE_CONSISTENT, failed, &line, err);
        failed[f] = 0;
        for (uint32_t i = 0; i < graph->ranks && !rc; i++)
            if (line.cut[i] <= graph->last[i])
                collectable[offsets[i] + line.cut[i]] = 0;
        bl_line_clear(&line);
    }
    free(failed);
    return rc;
}

int bl_line_garbage(bl_graph *graph, enum bl_line_mode mode, int exact, uint8_t **collectable, uint64_t **offsets, bl_error *err)
{
    *collectable = NULL;
    *offsets = NULL;
    if (exact && mode != BL_LINE_CONSISTENT)
        return bl_fail(err, BELAY_ERR_ARG, "exact garbage is known for consistent lines only: leave `exact` out");
    int rc = bl_graph_checkpoints(graph, collectable, offsets, err);
    if (!rc)
        rc = exact ? unneeded(graph, *collectable, *offsets, err)
                   : below_all_fail(graph, mode, *collectable, *offsets, err);
    if (rc)
        bl_graph_drop_checkpoints(collectable, offsets);
    return rc;
}
