/* start.h - what a start in a directory means: a new job, the next incarnation of one that is not finished, or no. */
#ifndef BL_STORE_START_H
#define BL_STORE_START_H

#include "store/live.h"
#include "store/store.h"

enum bl_start { BL_START_NEW, BL_START_RESUMED };

/* Creates a job in `dir`, or begins the next incarnation of the unfinished one there.  A finished job (and with `fresh`
 * any) is moved aside to DIR.previous, which it replaces.  BELAY_ERR_FOREIGN: an unfinished job of another number of
 * ranks; BELAY_ERR_REFUSED: a process of the job is still alive. */
int bl_job_start(const char *dir, uint32_t ranks, const char *program, enum bl_stable stable, int fresh, bl_store **store,
                 enum bl_start *how, bl_error *err);

/* Is the process that wrote this live header still running?  Known on its own host only; elsewhere the answer is no. */
int bl_live_alive(const bl_live_header *header);

/* Was it written on this host? */
int bl_live_here(const bl_live_header *header);

/* A rank of the newest incarnation that is alive: its rank, with its pid in *pid; -1 if there is none. */
int64_t bl_job_alive(bl_store *store, int32_t *pid);

#endif
