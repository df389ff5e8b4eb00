#undef _FORTIFY_SOURCE /* its inline versions of these functions would be in the way */
#include "store_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    io_record *record;          /* NULL: not recording */
    char root[256];
    ino_t inode[IO_FILES_MAX];  /* of file i; an inode number that is used again belongs to the later file */
    int files;
    int calls, fail_at, number, for_good, failed, stutter;
} io;

/* --- recording --- */

static io_event *add(enum io_kind kind, const char *path, const char *to)
{
    size_t root = strlen(io.root);
    if (!io.record || strncmp(path, io.root, root) != 0)
        return NULL;
    if (io.record->count == IO_EVENTS_MAX)
        abort();
    io_event *e = &io.record->event[io.record->count++];
    *e = (io_event){ .kind = kind, .file = -1 };
    snprintf(e->path, sizeof e->path, "%s", path + root + (path[root] == '/'));
    if (to)
        snprintf(e->to, sizeof e->to, "%s", to + root + 1);
    return e;
}

static int file_of(ino_t inode)
{
    for (int i = io.files - 1; i >= 0; i--)
        if (io.inode[i] == inode)
            return i;
    abort();
}

static int file_at(const char *path)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        abort();
    return file_of(status.st_ino);
}

static io_event *add_for(enum io_kind kind, int fd)
{
    char link[64], path[512];
    struct stat status;
    if (!io.record)
        return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || fstat(fd, &status) != 0)
        abort();
    path[length] = '\0';
    io_event *e = add(kind, path, NULL);
    if (e && S_ISREG(status.st_mode))
        e->file = file_of(status.st_ino);
    return e;
}

void io_start(const char *root, io_record *record)
{
    record->count = 0;
    io.record = record;
    io.files = 0;
    snprintf(io.root, sizeof io.root, "%s", root);
}

void io_mark(uint64_t what, uint64_t value)
{
    io_event *e = add(IO_MARK, io.root, NULL);
    if (e) {
        e->offset = what;
        e->size = value;
    }
}

void io_stop(void)
{
    io.record = NULL;
}

void io_free(io_record *record)
{
    for (int i = 0; i < record->count; i++)
        free(record->event[i].data);
    record->count = 0;
}

/* --- failing --- */

void io_fail(int nth, int number, int for_good)
{
    io.calls = io.failed = 0;
    io.fail_at = nth;
    io.number = number;
    io.for_good = for_good;
}

void io_stutter(int on)
{
    io.stutter = on;
}

int io_calls(int *failed)
{
    *failed = io.failed;
    io.fail_at = 0;
    return io.calls;
}

static int fails(int needs_space)
{
    io.calls++;
    if (!io.fail_at || (io.for_good ? io.calls < io.fail_at || !needs_space : io.calls != io.fail_at))
        return 0;
    errno = io.failed = needs_space ? io.number : EIO;
    return 1;
}

/* --- the calls --- */

int open(const char *path, int flags, ...)
{
    struct stat status;
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    int is_new = (flags & O_CREAT) && lstat(path, &status) != 0;
    if (fails(is_new))
        return -1;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    io_event *e = fd >= 0 && is_new ? add(IO_CREATE, path, NULL) : NULL;
    if (e) {
        if (io.files == IO_FILES_MAX || fstat(fd, &status) != 0)
            abort();
        e->file = io.files;
        io.inode[io.files++] = status.st_ino;
    }
    return fd;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    static int second;
    if (fails(1))
        return -1;
    if (io.stutter && (second = !second)) {
        errno = EINTR;
        return -1;
    }
    if (io.stutter && size > 1)
        size /= 2;
    ssize_t done = (ssize_t)syscall(SYS_pwrite64, fd, bytes, size, offset);
    io_event *e = done > 0 ? add_for(IO_WRITE, fd) : NULL;
    if (e) {
        e->offset = (uint64_t)offset;
        e->size = (uint64_t)done;
        e->data = malloc((size_t)done);
        if (!e->data)
            abort();
        memcpy(e->data, bytes, (size_t)done);
    }
    return done;
}

ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
    static int second;
    if (fails(0))
        return -1;
    if (io.stutter && (second = !second)) {
        errno = EINTR;
        return -1;
    }
    return (ssize_t)syscall(SYS_pread64, fd, bytes, io.stutter && size > 1 ? size / 2 : size, offset);
}

int ftruncate(int fd, off_t size)
{
    if (fails(1))
        return -1;
    int bad = (int)syscall(SYS_ftruncate, fd, size);
    io_event *e = bad ? NULL : add_for(IO_TRUNCATE, fd);
    if (e)
        e->size = (uint64_t)size;
    return bad;
}

/* Only written down: these tests cut no real power. */
static int sync_fd(int fd)
{
    if (fails(0))
        return -1;
    io_event *e = add_for(IO_SYNC, fd);
    if (e && e->file < 0)
        e->kind = IO_DIR_SYNC;
    return 0;
}

int fsync(int fd)
{
    return sync_fd(fd);
}

int fdatasync(int fd)
{
    return sync_fd(fd);
}

int rename(const char *from, const char *to)
{
    if (fails(1))
        return -1;
    int file = io.record ? file_at(from) : -1;
    int bad = (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    io_event *e = bad ? NULL : add(IO_RENAME, from, to);
    if (e)
        e->file = file;
    return bad;
}

int link(const char *from, const char *to)
{
    if (fails(1))
        return -1;
    int bad = (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
    io_event *e = bad ? NULL : add(IO_LINK, from, to);
    if (e)
        e->file = file_at(from);
    return bad;
}

int unlink(const char *path)
{
    if (fails(0))
        return -1;
    int bad = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (!bad)
        (void)add(IO_UNLINK, path, NULL);
    return bad;
}

int mkdir(const char *path, mode_t mode)
{
    if (fails(1))
        return -1;
    int bad = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (!bad)
        (void)add(IO_MKDIR, path, NULL);
    return bad;
}
