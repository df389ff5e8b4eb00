/* report.h - `belay line`: what is worked out of a solved story before it is told, and the ways to tell it. */
#ifndef BL_TOOL_REPORT_H
#define BL_TOOL_REPORT_H

#include <jansson.h>

#include "tool/loss.h"
#include "tool/story.h"
#include "tool/text.h"
#include "tool/whatif.h"

/* The first hop of a rank's certificate and how long it is; count 0: the rank keeps its memory. */
typedef struct bl_reason {
    bl_hop hop;
    uint32_t by_to;          /* where hop.by_rank had gone back to by then */
    uint32_t count;
} bl_reason;

/* Ranks with the same story, told once. */
typedef struct bl_group {
    uint32_t cut, ranks, example; /* example: the member with the longest chain */
    uint32_t low, high, depth;    /* numbers on disk of the restart checkpoints; how many are behind them */
    enum bl_hop_cause cause;
    bool keeps, mixed;            /* mixed: not all for the same cause */
    uint64_t least_points, most_points;
    double least_s, most_s;
    uint8_t *member;              /* [ranks of the job] */
} bl_group;

enum { BL_GROUPS_MAX = 32, BL_RANKS_SHOWN = 8, BL_PAIRS_SHOWN = 6 };

/* Messages of a pair of ranks that the rollback turns into orphans, loses, or leaves to be sent again from what is kept. */
typedef struct bl_pair { uint32_t from, to; uint64_t orphans, lost, transit; } bl_pair;

typedef struct bl_report {
    bl_story *story;
    bl_reason *why;               /* [ranks] */
    bl_group group[BL_GROUPS_MAX];
    size_t groups;
    uint8_t *member;
    uint32_t deepest;             /* checkpoints behind the newest, of the rank that goes back furthest */
    bl_pair *pair;                /* [pairs] those with most first */
    size_t pairs;
    uint64_t orphans, lost, transit;
    uint64_t checkpoints, forced, useless, collectable;
    bl_worst worst;
    bl_expected expected;
    bl_whatif whatif;
} bl_report;

int bl_report_make(bl_story *story, uint64_t seed, bl_report *report, bl_error *err);
void bl_report_clear(bl_report *report);

/* How the process of a table ended. */
bl_text bl_report_end(const bl_live_header *table);

/* Whether the job ended as it was meant to, so that nothing failed. */
bool bl_report_ended_well(const bl_story *story);

int bl_report_text(const bl_report *report, enum bl_alive alive, bl_error *err);
/* With message logging: the messages that a restart takes from the journals, a channel a line. */
int bl_report_messages(const bl_report *report, enum bl_alive alive, bl_error *err);
int bl_report_json(const bl_report *report, enum bl_alive alive, bl_error *err);

/* The rank with the longest certificate, which tells the story of a domino best. */
uint32_t bl_report_longest(const bl_report *report);

#endif
