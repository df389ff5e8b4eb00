/* internal.h - what the files of src/store share; nobody outside includes it. */
#ifndef BL_STORE_INTERNAL_H
#define BL_STORE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "store/store.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Belay's files are little-endian and are written from memory as it is: this host needs a conversion first"
#endif

enum {
    BL_PATH = 4096,                 /* bytes of any path */
    BL_CHECKPOINT_MAX = 999999999,  /* a name with a larger number is not ours */
    BL_INCARNATION_MAX = 999999999,
    BL_TABLE_MAX = 1 << 20,         /* rows of any table in a snapshot */
    BL_LOCK_WAIT_S = 60             /* how long somebody may hold the incarnation lock */
};

struct bl_store {
    char dir[BL_PATH - 256];        /* absolute, so that a chdir of the application changes nothing */
    enum bl_stable stable;
    bl_job job;
    bool joined;                    /* writes are allowed, on behalf of `incarnation` */
    uint32_t incarnation;
    uint32_t rank_dir;              /* the rank whose directory was made durable; UINT32_MAX: none yet */
    void (*before_rename)(void);    /* NULL, or bl_store_before_rename */
    char local[BL_PATH - 256];      /* where the snapshots of `local_rank` are, if not in the job directory; "": they are there */
    uint32_t local_rank;
    uint64_t rate;                  /* bytes/s of snapshots; 0: no limit */
    bool swept;                     /* leftovers of older incarnations in commit/ were removed */
};

/* --- file.c: paths, whole small files, directories --- */

/* `dir` of the store, a slash, and the formatted rest, which has to be shorter than 256 bytes. */
void bl_store_path(const bl_store *store, char path[BL_PATH], const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same of the directory with the snapshots of a rank: of the job directory, or where the rank has said in rank-RRRRR/place that
 * its node keeps them. */
void bl_rank_path(const bl_store *store, char path[BL_PATH], uint32_t rank, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The directory that these directories are in. */
void bl_rank_base(const bl_store *store, char path[BL_PATH], uint32_t rank);

/* Writes a new file (what has the name is removed first), synced as `stable` asks; nothing is left after a failure. */
int bl_file_write(const bl_store *store, const char *path, const void *bytes, size_t size, bl_error *err);
/* Reads a whole regular file of at most `limit` bytes and appends a NUL.  BELAY_ERR_NONE when there is none. */
int bl_file_read(const char *path, size_t limit, char **bytes, size_t *size, bl_error *err);
/* Writes all of it at `offset`, or returns -1 with errno. */
int bl_write_all(int fd, const void *bytes, size_t size, uint64_t offset);
/* Reads all of it from `offset`; 0, or -1 with errno (0: the file ends before). */
int bl_read_all(int fd, void *bytes, size_t size, uint64_t offset);
/* Makes the entries of a directory durable; nothing to do unless `stable` is power. */
int bl_dir_sync(const bl_store *store, const char *path, bl_error *err);
/* Makes a directory unless it is there. */
int bl_dir_make(const char *path, bl_error *err);
int bl_rank_dir(bl_store *store, uint32_t rank, bl_error *err);
/* Unlinks `path`; not being there is fine. */
int bl_file_remove(const char *path, bl_error *err);
/* Removes the temporary files of older incarnations in `path`: they were fenced and can never be published. */
void bl_dir_sweep(const bl_store *store, const char *path);
/* Calls `entry` for every name in a directory; a directory that is not there is empty. */
typedef int bl_entry(void *context, const char *name, bl_error *err);
int bl_dir_each(const char *path, bl_entry *entry, void *context, bl_error *err);
/* The number that a name starts with after `prefix`, as we write it (%0*u), and what follows; false: not ours. */
bool bl_name_number(const char *name, const char *prefix, int width, uint32_t max, uint32_t *number, const char **rest);

/* A growing list of numbers, sorted at the end. */
typedef struct bl_numbers { uint32_t *at; size_t count, room; } bl_numbers;
int bl_numbers_add(bl_numbers *numbers, uint32_t number, bl_error *err);
void bl_numbers_finish(bl_numbers *numbers); /* ascending, each once */

/* rename() with the hook before it; 0, or -1 with errno. */
int bl_file_rename(const bl_store *store, const char *from, const char *to);

/* Moves a file of a rank to quarantine/, or gives it a second name there; under the caller's fence (garbage.c). */
int bl_rank_quarantine(const bl_store *store, uint32_t rank, const char *name, int copy, char to[BL_PATH], bl_error *err);

/* --- digest.c --- */

enum { BL_HEX = 32 };
bl_digest bl_digest_of(const void *bytes, size_t size);
bool bl_digest_equal(bl_digest a, bl_digest b);
void bl_digest_text(bl_digest digest, char text[BL_HEX + 1]);
bool bl_digest_parse(const char *text, bl_digest *digest); /* exactly 32 lower-case hex digits, then anything */

/* --- fence.c: nobody publishes for an incarnation that has been replaced --- */

typedef struct bl_fence { int fd; } bl_fence;
/* Takes the incarnation lock, shared, and checks that this store's incarnation is the running one. */
int bl_fence_enter(const bl_store *store, bl_fence *fence, bl_error *err);
int bl_fence_check(const bl_store *store, const bl_fence *fence, bl_error *err);
void bl_fence_leave(bl_fence *fence);
/* The exclusive lock, without a check; `create`: the file need not exist. */
int bl_fence_lock(const bl_store *store, bool create, bl_fence *fence, bl_error *err);
/* The running incarnation; both copies bad is BELAY_ERR_DAMAGED. */
int bl_fence_read(const bl_store *store, const bl_fence *fence, uint32_t *incarnation, bl_error *err);
int bl_fence_peek(const bl_store *store, uint32_t *incarnation, bl_error *err);
/* holder.c: SIGKILL for ranks of this job on this machine that hold the lock and are stopped; 1: there was one. */
int bl_end_stopped_holder(const bl_store *store, int lock);
/* The same for the process that was this rank in an incarnation before this store's; comes back when it is gone. */
int bl_end_previous(const bl_store *store, uint32_t rank, pid_t pid);
int bl_fence_write(const bl_store *store, const bl_fence *fence, uint32_t incarnation, bl_error *err);

#endif
