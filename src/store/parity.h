/* parity.h - what lets other ranks' snapshots be made again: a file of each member of a group, with its parity (erasure.h).
 *
 *     rank-00003/parity-000012     of checkpoint 12; doc/format.md has the layout
 *
 * It also says who the members are, how long their snapshots are and what their digests are, so that whoever has lost everything
 * can ask any of the others.
 */
#ifndef BL_STORE_PARITY_H
#define BL_STORE_PARITY_H

#include "store/erasure.h"
#include "store/store.h"

typedef struct bl_parity_member { uint32_t rank, reserved; uint64_t bytes; bl_digest digest; } bl_parity_member; /* of its snapshot */

typedef struct bl_parity {
    uint32_t checkpoint, me;     /* me: which member has this file */
    bl_erasure code;
    bl_parity_member member[BL_ERASURE_MEMBERS];
} bl_parity;

/* BELAY_ERR_NONE when there is none.  Checks all but the parity itself. */
int bl_parity_read(const bl_store *store, uint32_t rank, uint32_t checkpoint, bl_parity *parity, bl_error *err);
/* That too. */
int bl_parity_verify(const bl_store *store, uint32_t rank, uint32_t checkpoint, bl_error *err);
/* Do both say the same of the group? */
int bl_parity_agree(const bl_parity *a, const bl_parity *b);

/* --- the symbols of one member, by stripes --- */
typedef struct bl_symbols bl_symbols;
/* Of member parity->me.  What is missing (make_*) is made: it has a temporary name until bl_symbols_finish. */
int bl_symbols_open(bl_store *store, const bl_parity *parity, int make_snapshot, int make_parity, bl_symbols **symbols, bl_error *err);
/* Bytes from `at` on of the segment that the member has in the stripe. */
int bl_symbols_get(bl_symbols *symbols, uint32_t stripe, uint64_t at, void *data, size_t bytes, bl_error *err);
/* The same of what is being made; of each segment from its beginning on. */
int bl_symbols_put(bl_symbols *symbols, uint32_t stripe, uint64_t at, const void *data, size_t bytes, bl_error *err);
/* Checks what was made (a snapshot has to be the one of this digest, every byte of it), forces it as `stable` asks, and gives it its
 * name.  Fenced.  Closes in any case. */
int bl_symbols_finish(bl_symbols *symbols, bl_error *err);
void bl_symbols_cancel(bl_symbols *symbols); /* nothing is left of what was made */

/* --- by one process that sees the files of all --- */
/* Of a group (its `me` does not matter): makes what is missing of the snapshots and of the parity, from what is there.
 * BELAY_ERR_DAMAGED when more is missing than its parity makes up for. */
int bl_parity_complete(bl_store *store, const bl_parity *group, const uint8_t *has_snapshot, const uint8_t *has_parity, bl_error *err);

typedef struct bl_rebuilt { uint32_t groups, snapshots, parities, lost; } bl_rebuilt; /* lost: groups that could not be made whole */
/* Reads all files of the groups of a checkpoint, every byte, and makes again what is missing or damaged; `dry`: only looks.
 * A sentence to `note` for each file.  BELAY_ERR_NONE when the checkpoint has no parity. */
int bl_parity_rebuild(bl_store *store, uint32_t checkpoint, int dry, bl_note *note, void *context, bl_rebuilt *done, bl_error *err);

/* --- files of ranks that ran on this node before (bl_store_use_local), for bringing them to where they run now --- */
int bl_local_has(const bl_store *store, uint32_t rank, const char *name);
int bl_local_open(const bl_store *store, uint32_t rank, const char *name, uint64_t *bytes, bl_error *err); /* a descriptor; -1 */
void bl_local_remove(const bl_store *store, uint32_t rank, const char *name);
/* One of our own comes: a descriptor to write to, -1; then it gets its name, if it is good.  Fenced. */
int bl_local_create(const bl_store *store, const char *name, bl_error *err);
int bl_local_keep(const bl_store *store, const char *name, int fd, int good, bl_error *err);

/* Judged by what files are there, not by what is in them: is no more missing than can be made again? */
int bl_parity_covers(const bl_store *store, uint32_t checkpoint);

/* Bytes of a snapshot's file; BELAY_ERR_NONE. */
int bl_snapshot_size(const bl_store *store, uint32_t rank, uint32_t checkpoint, uint64_t *bytes, bl_error *err);

#endif
