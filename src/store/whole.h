/* whole.h - arrays that all ranks have together (bl_share), out of the snapshots of a committed checkpoint: for a job of another number
 * of ranks, and as one file for people. */
#ifndef BL_STORE_WHOLE_H
#define BL_STORE_WHOLE_H

#include "store/store.h"

/* --- for another number of ranks --- */
typedef struct bl_whole {        /* a checkpoint of another job */
    bl_store *store;
    bl_commit_record record;
    uint64_t safe_point;
} bl_whole;

/* The newest committed checkpoint below `below` (UINT32_MAX: any) of the job in `dir`; BELAY_ERR_NONE. */
int bl_whole_open(const char *dir, uint32_t below, bl_whole *whole, bl_error *err);
void bl_whole_close(bl_whole *whole);
/* Fills `variable`: what it has of the whole, out of whatever ranks had it; what is no part has to be the same on all ranks of that
 * job, and is taken from rank 0.  Checksums are compared.  BELAY_ERR_MISMATCH with the reason. */
int bl_whole_read(const bl_whole *whole, const bl_variable *variable, bl_error *err);

/* --- for people --- */
/* Writes PATH, an HDF5 file of virtual datasets over the snapshots of a checkpoint: /NAME is the whole array of every variable that
 * is a part on all ranks; and beside it, when any has up to three dimensions, PATH with .xdmf at the end, for ParaView.
 * *arrays: how many.  What was there is replaced. */
int bl_whole_view(bl_store *store, const bl_commit_record *record, const char *path, uint32_t *arrays, bl_error *err);

#endif
