/* journals.h - what a job with message logging keeps: read from the journals of all ranks, every record checked. */
#ifndef BL_TOOL_JOURNALS_H
#define BL_TOOL_JOURNALS_H

#include <stdbool.h>

#include "store/journal.h"
#include "tool/story.h"

typedef struct bl_logged_pair { uint32_t from, to; uint64_t messages, bytes; } bl_logged_pair;

typedef struct bl_logged_rank {
    uint64_t messages, bytes;  /* it sent */
    uint64_t events;           /* what chance decided for it */
} bl_logged_rank;

typedef struct bl_journals {
    uint32_t ranks;
    bl_logged_rank *rank;      /* [ranks] */
    bl_logged_pair *pair;      /* [pairs] those with most bytes first */
    size_t pairs;
    bl_logged_rank sum;
    uint64_t records;          /* of all journals */
} bl_journals;

/* Told of a journal that cannot be read to its end. */
typedef void bl_journals_wrong(void *context, uint32_t rank, const bl_error *why);

/* What can be read is counted.  A job that runs writes them: not to be called then. */
int bl_journals_read(bl_store *store, uint32_t ranks, bl_journals_wrong *wrong, void *context, bl_journals *journals, bl_error *err);

/* Messages of one channel that the journals hold and the checkpoint its receiver restarts from does not: what it is fed. */
typedef struct bl_fed_channel {
    uint64_t comm;
    uint32_t from, to;
    int32_t tag;
    uint64_t first, last;      /* their numbers on the channel */
    uint64_t messages, bytes;
} bl_fed_channel;

/* `restart`: [ranks] numbers of the checkpoints they restart from, 0 the start.  free(*channel). */
int bl_journals_fed(bl_store *store, uint32_t ranks, const uint32_t *restart, bl_fed_channel **channel, size_t *channels, bl_error *err);
void bl_journals_clear(bl_journals *journals);

/* After a failure of a job with logging=optimistic or causal. */
typedef struct bl_orphan {
    bool is;                   /* it depends on what nobody has any more, and is undone from there on */
    uint32_t needs_rank, needs, known; /* event `needs` of that rank, of which the first `known` are left */
    uint32_t restart;          /* newest checkpoint that is not undone; 0: the start */
    uint32_t given_back;       /* events that its own journal has lost and others have */
} bl_orphan;
uint32_t bl_orphan_restart(const bl_story *story, uint32_t rank, const bl_orphan *orphan); /* of the rank's checkpoints; orphan: NULL: its newest */
int bl_journals_orphans(bl_store *store, uint32_t ranks, bl_orphan **orphan, bl_error *err); /* [ranks]; free() */

#endif
