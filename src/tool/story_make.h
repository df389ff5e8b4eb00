/* story_make.h - for the sources of a story: what they share while they fill one. */
#ifndef BL_TOOL_STORY_MAKE_H
#define BL_TOOL_STORY_MAKE_H

#include "tool/story.h"

typedef struct bl_heap { /* an array of any element that grows by doubling */
    void *data;
    size_t count, room, element;
} bl_heap;

int bl_heap_add(bl_heap *heap, const void *element, bl_error *err);

/* A sentence for the reader of the report; what does not fit is counted. */
void bl_story_note(bl_story *story, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Room for `ranks` ranks that nothing is known of. */
int bl_story_room(bl_story *story, bl_error *err);

/* Room for last[i] + 1 points of each rank; point 0 of each is the start. */
int bl_story_points(bl_story *story, const uint32_t *last, bl_error *err);

/* Reads the live table of a rank for the story; the caller frees `live` when that went well.  When it did not, or when
 * what the table says is impossible, bl_story_table_lost takes it out again. */
int bl_story_table(bl_story *story, uint32_t rank, bl_live *live, bl_error *err);
void bl_story_table_lost(bl_story *story, uint32_t rank, int rc, const bl_error *why);

/* Collectives come as series: all members of the first, then those in a later interval.  This makes whole ones of them, up
 * to BL_PARTS_MAX members together; parts and hubs are heaps of the story. */
enum { BL_PARTS_MAX = 1 << 22 };
typedef struct bl_series { uint32_t *now, *member; uint32_t members; } bl_series; /* now: [ranks]; both zeroed to begin */
int bl_series_next(bl_series *series, uint32_t ranks, int begins, uint32_t members, const uint32_t *rank,
                   const uint32_t *interval, bl_heap *parts, bl_heap *hubs, bl_error *err);
void bl_series_clear(bl_series *series);

/* No sum of counters of this size overflows, and no job reaches it.  Several may be given joined by | . */
int bl_story_counters(uint32_t rank, uint64_t counters, bl_error *err);

/* The two that take what lies on disk. */
int bl_story_coordinated(bl_story *story, bl_error *err);
int bl_story_independent(bl_story *story, bl_error *err);

/* Text in the grammar of line/trace.h. */
int bl_story_text(bl_story *story, const char *text, size_t length, bl_error *err);

/* From the heaps of flows, parts and hubs (which it takes over) to the story, and the graph when there is none yet. */
int bl_story_finish(bl_story *story, bl_heap *flows, bl_heap *parts, bl_heap *hubs, bl_error *err);

#endif
