/* files.c - files of the program's own (belay_protect_file): their contents are bytes of the snapshot, so that commit, redundancy and
 * falling back are those of any variable; at recovery they are written back. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mpi/checkpoint.h"

typedef struct protected_file {
    struct protected_file *next;
    char name[BELAY_MAX_NAME + 1];
    void *mapped;                /* while a snapshot is taken; NULL: nothing is */
    size_t bytes;
    char path[];                 /* absolute: the program may change its directory */
} protected_file;

static protected_file *files;

const char *bl_file_of(const char *name)
{
    for (const protected_file *f = files; f; f = f->next)
        if (!strcmp(f->name, name)) return f->path;
    return NULL;
}

void bl_file_forget(const char *name)
{
    for (protected_file **link = &files; *link; link = &(*link)->next) {
        protected_file *f = *link;
        if (strcmp(f->name, name)) continue;
        *link = f->next;
        free(f);
        return;
    }
}

int bl_file_remember(const char *name, const char *path)
{
    char here[BL_PATH_MAX] = "";
    if (path[0] != '/' && !getcwd(here, sizeof here)) return -1;
    size_t room = strlen(here) + strlen(path) + 2;
    protected_file *f = calloc(1, sizeof *f + room);
    if (!f) return -1;
    bl_file_forget(name);
    strcpy(f->name, name);
    snprintf(f->path, room, "%s%s%s", here, here[0] ? "/" : "", path);
    f->next = files;
    files = f;
    return 0;
}

static int map_one(protected_file *f, bl_error *err)
{
    int at = bl_variable_find(f->name);
    struct stat status;
    if (at < 0) return BELAY_OK;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) || !S_ISREG(status.st_mode)) {
        int rc = fd >= 0 && errno == 0 ? bl_fail(err, BELAY_ERR_SYSTEM, "file '%s': %s is not a regular file", f->name, f->path)
                                       : bl_fail_errno(err, "file '%s': cannot read %s", f->name, f->path);
        if (fd >= 0) close(fd);
        return rc;
    }
    f->bytes = (size_t)status.st_size;
    if (f->bytes) f->mapped = mmap(NULL, f->bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    close(fd);
    if (f->mapped == MAP_FAILED) {
        f->mapped = NULL;
        return bl_fail_errno(err, "file '%s': cannot read %s", f->name, f->path);
    }
    bl_rt.variable[at].shape[0] = f->bytes;
    bl_rt.variable[at].data = f->mapped;
    return BELAY_OK;
}

int bl_files_map(bl_error *err)
{
    int rc = BELAY_OK;
    errno = 0;
    for (protected_file *f = files; rc == BELAY_OK && f; f = f->next) rc = map_one(f, err);
    if (rc) bl_files_unmap();
    return rc;
}

void bl_files_unmap(void)
{
    for (protected_file *f = files; f; f = f->next) {
        int at = bl_variable_find(f->name);
        if (f->mapped) munmap(f->mapped, f->bytes);
        f->mapped = NULL;
        if (at < 0) continue;
        bl_rt.variable[at].data = NULL;
        bl_rt.variable[at].shape[0] = 0;
    }
}

static int write_all(int fd, const char *from, size_t bytes)
{
    while (bytes) {
        ssize_t n = write(fd, from, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        from += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* Under another name first: a death in between leaves the one or the other. */
int bl_file_write_back(const char *path, const void *data, size_t bytes, bl_error *err)
{
    size_t room = strlen(path) + 16;
    char *temporary = malloc(room);
    if (!temporary) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %s", path);
    snprintf(temporary, room, "%s.belay-tmp", path);
    (void)unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666), bad = fd < 0 || write_all(fd, data, bytes);
    if (fd >= 0 && !bad && bl_rt.settings.stable_power) bad = fsync(fd);
    if (fd >= 0 && close(fd)) bad = 1;
    int rc = bad ? bl_fail_errno(err, "cannot write %s back", path) : bl_store_publish(bl_rt.store, temporary, path, err);
    if (bad) (void)unlink(temporary);
    free(temporary);
    return rc;
}

void bl_files_free(void)
{
    while (files) {
        protected_file *next = files->next;
        free(files);
        files = next;
    }
}
