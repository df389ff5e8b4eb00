/* layout.h - where on the time axis everything of a story happened, so that no message goes backwards.
 *
 * Checkpoints have clocks; messages only have intervals, and are put where they may have been.  Where clocks are missing or
 * contradict the messages, the axis is the order of events: every checkpoint after all that it can depend on. */
#ifndef BL_TOOL_LAYOUT_H
#define BL_TOOL_LAYOUT_H

#include "tool/story.h"

enum bl_axis { BL_AXIS_TIME, BL_AXIS_STEPS, BL_AXIS_ORDER }; /* seconds; steps of a text trace; ordinals */

typedef struct bl_layout {
    const bl_story *story;
    enum bl_axis axis;
    bool contradicted;   /* there are clocks, but a message would have gone backwards */
    double *at;          /* [points] where CP[i](d) was taken, at story->first[i] + d; CP[i](0) is where the rank began */
    double *end;         /* [ranks] how far the rank came */
    double length;       /* all of it lies in 0 .. length */
} bl_layout;

int bl_layout_make(const bl_story *story, bl_layout *layout, bl_error *err);
void bl_layout_clear(bl_layout *layout);

/* Where flow k was sent and received: *from < *to always; an undelivered one ends nowhere, a little later. */
void bl_layout_flow(const bl_layout *layout, size_t k, double *from, double *to);

/* Where collective c took place. */
double bl_layout_hub(const bl_layout *layout, size_t c);

#endif
