/* garbage.c - which snapshots there are, and how they go: removed, or into quarantine. */
#include "store/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUARANTINE_COPIES_MAX = 100 };

static int list_entry(void *context, const char *name, bl_error *err)
{
    const char *rest;
    uint32_t number;
    if (!bl_name_number(name, "ckpt-", 6, BL_CHECKPOINT_MAX, &number, &rest) || strcmp(rest, ".h5") != 0)
        return BELAY_OK;
    return bl_numbers_add(context, number, err);
}

int bl_snapshot_list(bl_store *store, uint32_t rank, uint32_t **numbers, size_t *count, bl_error *err)
{
    char path[BL_PATH];
    bl_numbers list = { NULL, 0, 0 };
    bl_rank_path(store, path, rank, ".");
    *numbers = NULL;
    *count = 0;
    int code = bl_dir_each(path, list_entry, &list, err);
    if (code != BELAY_OK) {
        free(list.at);
        return code;
    }
    bl_numbers_finish(&list);
    *numbers = list.at;
    *count = list.count;
    return BELAY_OK;
}

/* On the file system that the file is on: in the job directory, or where the rank's node keeps its snapshots. */
static void quarantine_path(const bl_store *store, char path[BL_PATH], uint32_t rank, const char *name, const char *suffix)
{
    bl_rank_base(store, path, rank);
    size_t used = strlen(path);
    used += (size_t)snprintf(path + used, BL_PATH - used, "/quarantine");
    if (name)
        snprintf(path + used, BL_PATH - used, "/rank-%05u-%s%s", rank, name, suffix);
}

/* --- the highest number in use --- */

typedef struct highest { const bl_store *store; uint32_t number; } highest;

static void count_number(highest *h, uint32_t number)
{
    if (number > h->number)
        h->number = number;
}

static int highest_record(void *context, const char *name, bl_error *err)
{
    const char *rest;
    uint32_t number;
    (void)err;
    if (bl_name_number(name, "", 6, BL_CHECKPOINT_MAX, &number, &rest))
        count_number(context, number);
    return BELAY_OK;
}

static int highest_snapshot(void *context, const char *name, bl_error *err)
{
    const char *rest;
    uint32_t number;
    (void)err;
    if (bl_name_number(name, "ckpt-", 6, BL_CHECKPOINT_MAX, &number, &rest))
        count_number(context, number);
    return BELAY_OK;
}

static int highest_quarantined(void *context, const char *name, bl_error *err)
{
    const char *rest;
    uint32_t rank;
    if (bl_name_number(name, "rank-", 5, BL_RANKS_MAX, &rank, &rest) && *rest == '-')
        return highest_snapshot(context, rest + 1, err);
    return BELAY_OK;
}

static int highest_rank(void *context, const char *name, bl_error *err)
{
    char path[BL_PATH];
    const highest *h = context;
    const char *rest;
    uint32_t rank;
    if (!bl_name_number(name, "rank-", 5, BL_RANKS_MAX, &rank, &rest) || *rest)
        return BELAY_OK;
    bl_rank_path(h->store, path, rank, ".");
    return bl_dir_each(path, highest_snapshot, context, err);
}

int bl_store_highest(bl_store *store, uint32_t *checkpoint, bl_error *err)
{
    char path[BL_PATH];
    highest h = { store, 0 };
    bl_store_path(store, path, "commit");
    int code = bl_dir_each(path, highest_record, &h, err);
    bl_store_path(store, path, "quarantine");
    if (code == BELAY_OK)
        code = bl_dir_each(path, highest_quarantined, &h, err);
    if (code == BELAY_OK)
        code = bl_dir_each(store->dir, highest_rank, &h, err);
    *checkpoint = h.number;
    return code;
}

int bl_rank_highest(const bl_store *store, uint32_t rank, uint32_t *checkpoint, bl_error *err)
{
    char path[BL_PATH];
    highest h = { store, 0 };
    bl_rank_path(store, path, rank, ".");
    int code = bl_dir_each(path, highest_snapshot, &h, err);
    quarantine_path(store, path, rank, NULL, NULL);
    if (code == BELAY_OK)
        code = bl_dir_each(path, highest_quarantined, &h, err);
    *checkpoint = h.number;
    return code;
}

/* --- away with them --- */

int bl_snapshot_remove(bl_store *store, uint32_t rank, uint32_t checkpoint, bl_error *err)
{
    bl_fence fence;
    char path[BL_PATH];
    int code = bl_fence_enter(store, &fence, err);
    if (code != BELAY_OK)
        return code;
    bl_rank_path(store, path, rank, "parity-%06u", checkpoint);
    code = bl_file_remove(path, err);
    bl_rank_path(store, path, rank, "ckpt-%06u.h5", checkpoint);
    if (code == BELAY_OK)
        code = bl_file_remove(path, err); /* no sync: a name that comes back after a crash is removed again */
    bl_fence_leave(&fence);
    return code;
}

int bl_snapshot_forget(bl_store *store, uint32_t rank, uint32_t last, bl_error *err)
{
    uint32_t *numbers;
    size_t count;
    char path[BL_PATH];
    int code = bl_snapshot_list(store, rank, &numbers, &count, err);
    while (code == BELAY_OK && count > 0 && numbers[--count] > last)
        code = bl_snapshot_remove(store, rank, numbers[count], err);
    free(numbers);
    bl_rank_path(store, path, rank, ".");
    return code == BELAY_OK ? bl_dir_sync(store, path, err) : code;
}

/* Moves the file to the first free name. */
static int move_away(const bl_store *store, uint32_t rank, const char *name, int copy, char to[BL_PATH], bl_error *err)
{
    char from[BL_PATH];
    struct stat status;
    bl_rank_path(store, from, rank, "%s", name);
    if (lstat(from, &status) != 0)
        return errno == ENOENT || errno == ENOTDIR ? bl_fail(err, BELAY_ERR_NONE, "%s does not exist", from)
                                                   : bl_fail_errno(err, "cannot look at %s", from);
    for (int i = 0; i < QUARANTINE_COPIES_MAX; i++) {
        char suffix[16] = "";
        if (i > 0)
            snprintf(suffix, sizeof suffix, ".%d", i);
        quarantine_path(store, to, rank, name, suffix);
        if (lstat(to, &status) == 0)
            continue;
        return (copy ? link(from, to) : rename(from, to)) == 0 ? BELAY_OK : bl_fail_errno(err, "cannot move %s to %s", from, to);
    }
    return bl_fail(err, BELAY_ERR_MEMORY, "%s/quarantine holds %d files %s of rank %u: look at them and remove some",
                   store->dir, (int)QUARANTINE_COPIES_MAX, name, rank);
}

/* The new name before the old one is gone for good: a crash leaves the file under one of them at least. */
static int sync_move(const bl_store *store, uint32_t rank, bl_error *err)
{
    char path[BL_PATH];
    quarantine_path(store, path, rank, NULL, NULL);
    int code = bl_dir_sync(store, path, err);
    bl_rank_path(store, path, rank, ".");
    return code == BELAY_OK ? bl_dir_sync(store, path, err) : code;
}

int bl_rank_quarantine(const bl_store *store, uint32_t rank, const char *name, int copy, char to[BL_PATH], bl_error *err)
{
    char path[BL_PATH];
    quarantine_path(store, path, rank, NULL, NULL);
    int code = bl_dir_make(path, err);
    if (code == BELAY_OK)
        code = move_away(store, rank, name, copy, to, err);
    return code == BELAY_OK ? sync_move(store, rank, err) : code;
}

int bl_snapshot_quarantine(bl_store *store, uint32_t rank, uint32_t checkpoint, char *where, size_t size, bl_error *err)
{
    bl_fence fence;
    char to[BL_PATH], name[32];
    int code = bl_fence_enter(store, &fence, err);
    if (code != BELAY_OK)
        return code;
    snprintf(name, sizeof name, "ckpt-%06u.h5", checkpoint);
    to[0] = '\0';
    code = bl_rank_quarantine(store, rank, name, 0, to, err);
    if (where && to[0])
        snprintf(where, size, "%s", to);
    bl_fence_leave(&fence);
    return code;
}
