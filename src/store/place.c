/* place.c - where the snapshots of a rank are: in the job directory, or in a directory of the node that it runs on. */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a rank has written there; anything that does not look like it does not count. */
static bool read_place(const bl_store *store, char base[BL_PATH], uint32_t rank)
{
    char path[BL_PATH], end[32], *text;
    size_t size;
    bl_error ignored;
    bl_store_path(store, path, "rank-%05u/place", rank);
    if (bl_file_read(path, BL_PATH - 256, &text, &size, &ignored) != BELAY_OK)
        return false;
    int length = snprintf(end, sizeof end, "/belay-%.16s\n", store->job.id);
    bool good = size > (size_t)length && text[0] == '/' && strlen(text) == size && strcmp(text + size - (size_t)length, end) == 0;
    if (good)
        snprintf(base, BL_PATH, "%.*s", (int)size - 1, text);
    free(text);
    return good;
}

void bl_rank_base(const bl_store *store, char path[BL_PATH], uint32_t rank)
{
    if (store->local[0] && rank == store->local_rank)
        snprintf(path, BL_PATH, "%s", store->local);
    else if (!read_place(store, path, rank))
        snprintf(path, BL_PATH, "%s", store->dir);
}

void bl_rank_path(const bl_store *store, char path[BL_PATH], uint32_t rank, const char *format, ...)
{
    va_list args;
    bl_rank_base(store, path, rank);
    size_t used = strlen(path);
    used += (size_t)snprintf(path + used, BL_PATH - used, "/rank-%05u/", rank);
    va_start(args, format);
    vsnprintf(path + used, BL_PATH - used, format, args);
    va_end(args);
}

void bl_rank_directory(const bl_store *store, uint32_t rank, char *path, size_t size)
{
    char base[BL_PATH];
    bl_rank_base(store, base, rank);
    snprintf(path, size, "%s/rank-%05u", base, rank);
}

/* Its directory on this node, and where that is for whoever looks for it. */
static int make_local(bl_store *store, uint32_t rank, bl_error *err)
{
    char path[BL_PATH], temporary[BL_PATH], text[BL_PATH];
    int code = bl_dir_make(store->local, err);
    snprintf(path, sizeof path, "%s/rank-%05u", store->local, rank);
    if (code == BELAY_OK)
        code = bl_dir_make(path, err);
    if (code == BELAY_OK)
        code = bl_dir_sync(store, store->local, err);
    if (code == BELAY_OK)
        code = bl_rank_dir(store, rank, err);
    bl_store_path(store, path, "rank-%05u/place", rank);
    bl_store_path(store, temporary, "rank-%05u/place.tmp-%04u", rank, store->incarnation);
    int length = snprintf(text, sizeof text, "%s\n", store->local);
    if (code == BELAY_OK)
        code = bl_file_write(store, temporary, text, (size_t)length, err);
    if (code == BELAY_OK)
        code = bl_store_publish(store, temporary, path, err);
    bl_store_path(store, path, "rank-%05u", rank);
    return code == BELAY_OK ? bl_dir_sync(store, path, err) : code;
}

static int lose(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

void bl_store_lose_local(const bl_store *store)
{
    if (store->local[0])
        (void)nftw(store->local, lose, 16, FTW_DEPTH | FTW_PHYS);
}

int bl_store_use_local(bl_store *store, uint32_t rank, const char *dir, bl_error *err)
{
    int made = mkdir(dir, 0777); /* what it is in has to be there */
    char *absolute = made && errno != EEXIST ? NULL : realpath(dir, NULL);
    if (!absolute)
        return bl_fail_errno(err, "local-dir: cannot use %s: what it is in has to be there on every node", dir);
    int length = snprintf(store->local, sizeof store->local, "%s/belay-%s", absolute, store->job.id);
    free(absolute);
    if (length < 0 || (size_t)length >= sizeof store->local) {
        store->local[0] = '\0';
        return bl_fail(err, BELAY_ERR_ARG, "local-dir: its path is longer than %zu bytes", sizeof store->local);
    }
    store->local_rank = rank;
    return make_local(store, rank, err);
}

/* --- files of ranks that ran on this node before --- */

static void local_path(const bl_store *store, char path[BL_PATH], uint32_t rank, const char *name)
{
    snprintf(path, BL_PATH, "%s/rank-%05u/%s", store->local, rank, name);
}

int bl_local_has(const bl_store *store, uint32_t rank, const char *name)
{
    char path[BL_PATH];
    struct stat status;
    local_path(store, path, rank, name);
    return lstat(path, &status) == 0 && S_ISREG(status.st_mode);
}

int bl_local_open(const bl_store *store, uint32_t rank, const char *name, uint64_t *bytes, bl_error *err)
{
    char path[BL_PATH];
    struct stat status;
    local_path(store, path, rank, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &status) == 0) {
        *bytes = (uint64_t)status.st_size;
        return fd;
    }
    bl_fail_errno(err, "cannot read %s", path);
    if (fd >= 0)
        close(fd);
    return -1;
}

void bl_local_remove(const bl_store *store, uint32_t rank, const char *name)
{
    char path[BL_PATH];
    bl_fence fence;
    local_path(store, path, rank, name);
    if (bl_fence_enter(store, &fence, NULL) != BELAY_OK)
        return;
    (void)unlink(path);
    bl_fence_leave(&fence);
}

int bl_local_create(const bl_store *store, const char *name, bl_error *err)
{
    char path[BL_PATH], temporary[64];
    snprintf(temporary, sizeof temporary, "%.40s.tmp-%04u", name, store->incarnation);
    local_path(store, path, store->local_rank, temporary);
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        bl_fail_errno(err, "cannot create %s", path);
    return fd;
}

int bl_local_keep(const bl_store *store, const char *name, int fd, int good, bl_error *err)
{
    char from[BL_PATH], to[BL_PATH], temporary[64];
    snprintf(temporary, sizeof temporary, "%.40s.tmp-%04u", name, store->incarnation);
    local_path(store, from, store->local_rank, temporary);
    local_path(store, to, store->local_rank, name);
    int code = BELAY_OK;
    if (good && store->stable == BL_STABLE_POWER && fdatasync(fd) != 0)
        code = bl_fail_errno(err, "cannot write %s", from);
    if (close(fd) != 0 && code == BELAY_OK)
        code = bl_fail_errno(err, "cannot write %s", from);
    if (!good || code != BELAY_OK) {
        (void)unlink(from);
        return code;
    }
    code = bl_store_publish(store, from, to, err);
    local_path(store, to, store->local_rank, ".");
    return code == BELAY_OK ? bl_dir_sync(store, to, err) : code;
}
