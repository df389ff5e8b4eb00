/* view.h - a job directory, read once for every command: its job, its checkpoints in order, what else lies there.
 *
 * Nothing is written and no bulk data is read.  What is damaged becomes part of the view with its sentence; only what
 * makes the whole directory unreadable (no directory, no job.json) is an error.
 */
#ifndef BL_TOOL_VIEW_H
#define BL_TOOL_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "store/live.h"
#include "store/store.h"

enum { BL_VIEW_CHECKPOINTS_MAX = 1 << 16 };

enum bl_view_state {
    BL_VIEW_GOOD,       /* committed, the record is good */
    BL_VIEW_ABORTED,
    BL_VIEW_INCOMPLETE, /* snapshots without a record: the decision was never taken, which means aborted */
    BL_VIEW_DAMAGED     /* the record is unreadable: `note` says why */
};

typedef struct bl_view_checkpoint {
    uint32_t number;
    enum bl_view_state state;
    bl_commit_record record; /* of GOOD and ABORTED */
    bool copies_differ;      /* the two copies of the record are not the same bytes */
    uint32_t present;        /* ranks with a snapshot file */
    uint32_t parities;       /* ranks with a file of parity */
    bool rebuildable;        /* snapshots are missing, but redundancy makes up for it */
    uint64_t bytes;          /* of these files together, parity included */
    char note[512];
} bl_view_checkpoint;

/* One snapshot file. */
typedef struct bl_view_file { uint32_t rank, number; uint64_t bytes; } bl_view_file;

typedef struct bl_view {
    bl_store *store;
    const bl_job *job;
    bl_view_checkpoint *checkpoint; /* [count], ascending */
    size_t count, room;
    uint32_t tables, newest_table;  /* live tables there, and the newest incarnation of one */
    uint64_t quarantined, temporaries;
    uint64_t lates, late_bytes;     /* late files, and their size */
    bl_view_file *file;             /* [files], by rank, then number */
    size_t files, file_room;
    char protocol[16];              /* of the first snapshot that can be read, where that says it; else "" */
    bool independent;               /* independent or induced: ranks checkpoint on their own: a file is a checkpoint, there are no records */
} bl_view;

int bl_view_load(const char *dir, bl_view *view, bl_error *err);
void bl_view_free(bl_view *view);

/* The newest committed checkpoint with a good record and a snapshot of every rank, or redundancy that makes up for what is missing: what a restart tries first; or NULL. */
const bl_view_checkpoint *bl_view_restart(const bl_view *view);

/* The files of a rank: file[*from] to file[*end - 1]. */
void bl_view_files(const bl_view *view, uint32_t rank, size_t *from, size_t *end);

/* The checkpoint of `rank` that a user names in an independent store (NULL: its newest).  Errors as of bl_view_named. */
int bl_view_named_file(const bl_view *view, uint32_t rank, const char *word, const bl_view_file **file, bl_error *err);

/* The checkpoint of that number, or NULL. */
bl_view_checkpoint *bl_view_find(const bl_view *view, uint32_t number);

/* The checkpoint a user names (NULL: the newest committed).  BELAY_ERR_ARG for no number, BELAY_ERR_NONE if not there. */
int bl_view_named(const bl_view *view, const char *word, const bl_view_checkpoint **checkpoint, bl_error *err);

/* "good", "aborted", "incomplete", "damaged". */
const char *bl_view_state_name(enum bl_view_state state);

/* Whether the job runs: its state says so and a process of its newest incarnation is alive on this host.  Processes of
 * other hosts cannot be seen from here: they may be alive.  *who is the first one found. */
enum bl_alive { BL_ALIVE_NO, BL_ALIVE_HERE, BL_ALIVE_ELSEWHERE };
enum bl_alive bl_view_alive(const bl_view *view, bl_live_header *who);

/* Every file below the job directory that belongs to Belay, one call each; `number` is its checkpoint or incarnation. */
enum bl_file { BL_FILE_SNAPSHOT, BL_FILE_PARITY, BL_FILE_TABLE, BL_FILE_LATE, BL_FILE_TEMPORARY, BL_FILE_QUARANTINED };
typedef int bl_found(void *context, enum bl_file kind, uint32_t rank, uint32_t number, const char *path, uint64_t bytes,
                     bl_error *err);
int bl_scan(const bl_store *store, bl_found *found, void *context, bl_error *err);

#endif
