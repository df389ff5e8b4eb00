#include "store/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLICE = 1 << 30 }; /* Linux moves at most 2 GiB - 4 KiB in one call */

void bl_store_path(const bl_store *store, char path[BL_PATH], const char *format, ...)
{
    va_list args;
    int used = snprintf(path, BL_PATH, "%s/", store->dir);
    va_start(args, format);
    vsnprintf(path + used, (size_t)(BL_PATH - used), format, args);
    va_end(args);
}

int bl_write_all(int fd, const void *bytes, size_t size, uint64_t offset)
{
    const char *from = bytes;
    while (size > 0) {
        ssize_t done = pwrite(fd, from, size < SLICE ? size : SLICE, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done == 0 ? ENOSPC : errno;
            return -1;
        }
        from += done, size -= (size_t)done, offset += (uint64_t)done;
    }
    return 0;
}

int bl_read_all(int fd, void *bytes, size_t size, uint64_t offset)
{
    char *to = bytes;
    while (size > 0) {
        ssize_t done = pread(fd, to, size < SLICE ? size : SLICE, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done == 0 ? 0 : errno;
            return -1;
        }
        to += done, size -= (size_t)done, offset += (uint64_t)done;
    }
    return 0;
}

int bl_file_write(const bl_store *store, const char *path, const void *bytes, size_t size, bl_error *err)
{
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return bl_fail_errno(err, "cannot create %s", path);
    int bad = bl_write_all(fd, bytes, size, 0);
    if (!bad && store->stable == BL_STABLE_POWER)
        bad = fsync(fd);
    int number = errno;
    if (close(fd) != 0 && !bad)
        bad = -1, number = errno;
    if (!bad)
        return BELAY_OK;
    (void)unlink(path);
    errno = number;
    return bl_fail_errno(err, "cannot write %s", path);
}

/* A failing disk is damage (another copy may be good); anything else, a permission say, is for the user to mend. */
static int cannot_read(bl_error *err, const char *path)
{
    if (errno == ENOENT || errno == ENOTDIR)
        return bl_fail(err, BELAY_ERR_NONE, "%s does not exist", path);
    if (errno == EIO || errno == ELOOP || errno == 0)
        return bl_fail(err, BELAY_ERR_DAMAGED, "%s cannot be read: %s", path,
                       errno == ELOOP ? "it is a symbolic link" : errno ? strerror(errno) : "it shrank meanwhile");
    return bl_fail_errno(err, "cannot read %s", path);
}

static int read_open_file(int fd, const char *path, size_t limit, char **bytes, size_t *size, bl_error *err)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return bl_fail_errno(err, "cannot read %s", path);
    if (!S_ISREG(status.st_mode))
        return bl_fail(err, BELAY_ERR_DAMAGED, "%s is not a regular file", path);
    if ((uint64_t)status.st_size > limit)
        return bl_fail(err, BELAY_ERR_DAMAGED, "%s is damaged: it has %lld bytes, more than %zu",
                       path, (long long)status.st_size, limit);
    *size = (size_t)status.st_size;
    *bytes = malloc(*size + 1);
    if (!*bytes)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory for the %zu bytes of %s", *size, path);
    if (bl_read_all(fd, *bytes, *size, 0) != 0) {
        free(*bytes);
        *bytes = NULL;
        return cannot_read(err, path);
    }
    (*bytes)[*size] = '\0';
    return BELAY_OK;
}

int bl_file_read(const char *path, size_t limit, char **bytes, size_t *size, bl_error *err)
{
    *bytes = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return cannot_read(err, path);
    int code = read_open_file(fd, path, limit, bytes, size, err);
    close(fd);
    return code;
}

int bl_file_rename(const bl_store *store, const char *from, const char *to)
{
    if (store->before_rename)
        store->before_rename();
    return rename(from, to);
}

int bl_file_remove(const char *path, bl_error *err)
{
    if (unlink(path) != 0 && errno != ENOENT && errno != ENOTDIR)
        return bl_fail_errno(err, "cannot remove %s", path);
    return BELAY_OK;
}

int bl_dir_sync(const bl_store *store, const char *path, bl_error *err)
{
    if (store->stable != BL_STABLE_POWER)
        return BELAY_OK;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return bl_fail_errno(err, "cannot open the directory %s to sync it", path);
    int bad = fsync(fd);
    int number = errno;
    close(fd);
    errno = number;
    return bad ? bl_fail_errno(err, "cannot sync the directory %s", path) : BELAY_OK;
}

int bl_dir_make(const char *path, bl_error *err)
{
    struct stat status;
    if (mkdir(path, 0777) == 0)
        return BELAY_OK;
    if (errno != EEXIST)
        return bl_fail_errno(err, "cannot make the directory %s", path);
    if (stat(path, &status) != 0)
        return bl_fail_errno(err, "cannot use the directory %s", path);
    if (!S_ISDIR(status.st_mode))
        return bl_fail(err, BELAY_ERR_SYSTEM, "%s is in the way: a directory is needed there; move it aside", path);
    return BELAY_OK;
}

/* Whoever made the directory may have died before syncing its entry, so the first use syncs it in any case. */
int bl_rank_dir(bl_store *store, uint32_t rank, bl_error *err)
{
    char path[BL_PATH];
    if (store->rank_dir == rank)
        return BELAY_OK;
    bl_store_path(store, path, "rank-%05u", rank);
    int code = bl_dir_make(path, err);
    if (code == BELAY_OK)
        code = bl_dir_sync(store, store->dir, err);
    if (code == BELAY_OK)
        store->rank_dir = rank;
    return code;
}

int bl_dir_each(const char *path, bl_entry *entry, void *context, bl_error *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? BELAY_OK : bl_fail_errno(err, "cannot list the directory %s", path);
    int code = BELAY_OK;
    struct dirent *found;
    while (errno = 0, code == BELAY_OK && (found = readdir(dir)))
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            code = entry(context, found->d_name, err);
    if (code == BELAY_OK && errno)
        code = bl_fail_errno(err, "cannot list the directory %s", path);
    closedir(dir);
    return code;
}

bool bl_name_number(const char *name, const char *prefix, int width, uint32_t max, uint32_t *number, const char **rest)
{
    char canonical[16];
    size_t skip = strlen(prefix);
    if (strncmp(name, prefix, skip) != 0)
        return false;
    size_t digits = strspn(name + skip, "0123456789");
    if (digits == 0 || digits > 10)
        return false;
    unsigned long value = strtoul(name + skip, NULL, 10);
    if (value > max)
        return false;
    snprintf(canonical, sizeof canonical, "%0*lu", width, value);
    if (strlen(canonical) != digits || strncmp(canonical, name + skip, digits) != 0)
        return false;
    *number = (uint32_t)value;
    *rest = name + skip + digits;
    return true;
}

typedef struct sweep { const bl_store *store; const char *path; } sweep;

static int sweep_entry(void *context, const char *name, bl_error *err)
{
    const sweep *s = context;
    char path[BL_PATH];
    const char *mark = strstr(name, ".tmp-"), *rest;
    uint32_t incarnation;
    (void)err;
    if (mark && bl_name_number(mark, ".tmp-", 4, BL_INCARNATION_MAX, &incarnation, &rest)
        && incarnation < s->store->incarnation
        && (size_t)snprintf(path, sizeof path, "%s/%s", s->path, name) < sizeof path)
        (void)unlink(path);
    return BELAY_OK;
}

void bl_dir_sweep(const bl_store *store, const char *path)
{
    sweep s = { store, path };
    (void)bl_dir_each(path, sweep_entry, &s, NULL);
}

int bl_numbers_add(bl_numbers *numbers, uint32_t number, bl_error *err)
{
    if (numbers->count == numbers->room) {
        size_t room = numbers->room ? 2 * numbers->room : 64;
        uint32_t *at = realloc(numbers->at, room * sizeof *at);
        if (!at)
            return bl_fail(err, BELAY_ERR_MEMORY, "no memory for a list of %zu checkpoints", room);
        numbers->at = at;
        numbers->room = room;
    }
    numbers->at[numbers->count++] = number;
    return BELAY_OK;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void bl_numbers_finish(bl_numbers *numbers)
{
    size_t kept = 0;
    if (numbers->count > 1)
        qsort(numbers->at, numbers->count, sizeof *numbers->at, ascending);
    for (size_t i = 0; i < numbers->count; i++)
        if (kept == 0 || numbers->at[kept - 1] != numbers->at[i])
            numbers->at[kept++] = numbers->at[i];
    numbers->count = kept;
}
