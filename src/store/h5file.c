#include "store/h5file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/internal.h"
#include "store/seal.h"

enum { WRITEBACK = 8 << 20, RATED = 1 << 20 }; /* bytes handed to the disk at a time while the next are copied */

typedef struct driver_info { bl_h5file *file; } driver_info;

/* --- the driver --- */

static H5FD_t *drive_open(const char *name, unsigned flags, hid_t access, haddr_t max)
{
    const driver_info *info = H5Pget_driver_info(access);
    (void)name, (void)flags, (void)max;
    return info ? &info->file->driver : NULL;
}

static herr_t drive_close(H5FD_t *driver)
{
    (void)driver; /* the descriptor outlives HDF5's interest in the file */
    return 0;
}

static herr_t drive_query(const H5FD_t *driver, unsigned long *flags)
{
    (void)driver;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE
        | H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t drive_get_eoa(const H5FD_t *driver, H5FD_mem_t type)
{
    (void)type;
    return ((const bl_h5file *)driver)->end;
}

static herr_t drive_set_eoa(H5FD_t *driver, H5FD_mem_t type, haddr_t end)
{
    (void)type;
    ((bl_h5file *)driver)->end = end;
    return 0;
}

static haddr_t drive_get_eof(const H5FD_t *driver, H5FD_mem_t type)
{
    (void)type;
    return ((const bl_h5file *)driver)->size;
}

static herr_t drive_read(H5FD_t *driver, H5FD_mem_t type, hid_t transfer, haddr_t from, size_t bytes, void *to)
{
    bl_h5file *file = (bl_h5file *)driver;
    (void)type, (void)transfer;
    if (from > file->size || bytes > file->size - from)
        return -1;
    if (bl_read_all(file->fd, to, bytes, from) == 0)
        return 0;
    if (!file->error)
        file->error = errno;
    return -1;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Until so much may have been written. */
static void keep_to_rate(bl_h5file *file, size_t bytes)
{
    if (!file->rate) return;
    if (!file->began_ns) file->began_ns = now_ns();
    file->written += bytes;
    uint64_t due = file->began_ns + (uint64_t)((double)file->written / (double)file->rate * 1e9), now = now_ns();
    if (due > now) nanosleep(&(struct timespec){ (time_t)((due - now) / 1000000000u), (long)((due - now) % 1000000000u) }, NULL);
}

/* Large data goes to the disk while the next slice is copied, and while the checksum is computed. */
static int write_slices(bl_h5file *file, haddr_t to, size_t bytes, const char *from)
{
    for (size_t done = 0, slice; done < bytes; done += slice) {
        slice = file->rate ? RATED : WRITEBACK;
        if (slice > bytes - done) slice = bytes - done;
        keep_to_rate(file, slice);
        if (bl_write_all(file->fd, from + done, slice, to + done) != 0)
            return -1;
#ifdef SYNC_FILE_RANGE_WRITE
        if (file->durable && slice == WRITEBACK)
            (void)sync_file_range(file->fd, (off_t)(to + done), WRITEBACK, SYNC_FILE_RANGE_WRITE); /* only a hint */
#endif
    }
    return 0;
}

static herr_t drive_write(H5FD_t *driver, H5FD_mem_t type, hid_t transfer, haddr_t to, size_t bytes, const void *from)
{
    bl_h5file *file = (bl_h5file *)driver;
    (void)type, (void)transfer;
    if (!file->error && write_slices(file, to, bytes, from) != 0)
        file->error = errno;
    if (to + bytes > file->size)
        file->size = to + bytes;
    return 0;
}

static herr_t drive_truncate(H5FD_t *driver, hid_t transfer, hbool_t closing)
{
    bl_h5file *file = (bl_h5file *)driver;
    (void)transfer, (void)closing;
    if (file->end != file->size && !file->error && ftruncate(file->fd, (off_t)file->end) != 0)
        file->error = errno;
    file->size = file->end;
    return 0;
}

static const H5FD_class_t driver_class = {
#ifdef H5FD_CLASS_VERSION
    .version = H5FD_CLASS_VERSION, .value = 600,
#endif
    .name = "belay", .maxaddr = (haddr_t)INT64_MAX, .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(driver_info),
    .open = drive_open, .close = drive_close, .query = drive_query,
    .get_eoa = drive_get_eoa, .set_eoa = drive_set_eoa, .get_eof = drive_get_eof,
    .read = drive_read, .write = drive_write, .truncate = drive_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY
};

/* --- error text --- */

int bl_h5_quietly(int (*body)(void *context), void *context)
{
    int code;
    H5E_BEGIN_TRY {
        code = body(context);
    } H5E_END_TRY
    return code;
}

static herr_t keep_text(unsigned depth, const H5E_error2_t *entry, void *text)
{
    (void)depth;
    snprintf(text, BL_WHY, "%s", entry->desc ? entry->desc : "no reason given");
    return 1; /* the first is the innermost */
}

const char *bl_h5_text(char text[BL_WHY])
{
    strcpy(text, "no reason given");
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_text, text);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    return text;
}

/* --- files --- */

static hid_t access_list(bl_h5file *file)
{
    driver_info info = { file };
    hid_t driver = H5FDregister(&driver_class);
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    if (H5Pset_driver(list, driver, &info) < 0 || H5Pset_fclose_degree(list, H5F_CLOSE_STRONG) < 0
        || H5Pset_libver_bounds(list, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) < 0 || H5Pset_alignment(list, 65536, 4096) < 0) {
        (void)H5Pclose(list);
        list = -1;
    }
    (void)H5FDunregister(driver); /* the list, then the file, keep it alive */
    return list;
}

/* HDF5's part of opening; `why` is its reason if it refuses. */
static int start(const char *path, bl_h5file *file, bool create, char why[BL_WHY])
{
    hid_t list = access_list(file);
    file->id = list < 0 ? -1
        : create ? H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, list) : H5Fopen(path, H5F_ACC_RDONLY, list);
    if (file->id < 0)
        (void)bl_h5_text(why);
    if (list >= 0)
        (void)H5Pclose(list);
    if (file->id < 0 && file->error)
        snprintf(why, BL_WHY, "%s", strerror(file->error));
    return file->id < 0 ? -1 : 0;
}

static bl_h5file *new_file(int fd, bool durable)
{
    bl_h5file *file = calloc(1, sizeof *file);
    if (!file) {
        close(fd);
        return NULL;
    }
    file->fd = fd;
    file->id = -1;
    file->durable = durable;
    return file;
}

int bl_h5_create(const char *path, bool durable, bl_h5file **file, bl_error *err)
{
    char why[BL_WHY];
    *file = NULL;
    (void)unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return bl_fail_errno(err, "cannot create %s", path);
    bl_h5file *made = new_file(fd, durable);
    if (!made) {
        (void)unlink(path);
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory to create %s", path);
    }
    if (start(path, made, true, why) == 0) {
        *file = made;
        return BELAY_OK;
    }
    bl_h5_free(made);
    (void)unlink(path);
    return bl_fail(err, BELAY_ERR_SYSTEM, "cannot create %s: %s", path, why);
}

int bl_h5_open(const char *path, bl_h5file **file, char why[BL_WHY], bl_error *err)
{
    struct stat status;
    *file = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return bl_fail(err, BELAY_ERR_NONE, "%s does not exist", path);
    if (fd < 0 && errno != ELOOP)
        return bl_fail_errno(err, "cannot open %s", path);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        snprintf(why, BL_WHY, "it is %s", fd < 0 ? "a symbolic link" : "not a regular file");
        if (fd >= 0)
            close(fd);
        return BELAY_ERR_DAMAGED;
    }
    bl_h5file *made = new_file(fd, false);
    if (!made)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory to open %s", path);
    made->size = (uint64_t)status.st_size;
    const char *wrong = bl_seal_check(fd, made->size);
    if (wrong)
        snprintf(why, BL_WHY, "%s", wrong);
    if (!wrong && start(path, made, false, why) == 0) {
        *file = made;
        return BELAY_OK;
    }
    bl_h5_free(made);
    return BELAY_ERR_DAMAGED;
}

int bl_h5_close(bl_h5file *file)
{
    hid_t id = file->id;
    file->id = -1;
    if (id < 0)
        return 0;
    file->stuck = H5Fclose(id) < 0;
    return file->stuck || file->error ? -1 : 0;
}

int bl_h5_sync(bl_h5file *file)
{
    if (file->durable && fdatasync(file->fd) != 0) {
        file->error = errno;
        return -1;
    }
    return 0;
}

void bl_h5_free(bl_h5file *file)
{
    if (!file)
        return;
    (void)bl_h5_close(file);
    close(file->fd);
    file->fd = -1;
    if (!file->stuck)
        free(file); /* else HDF5 may still come back to it when the process ends */
}

int bl_store_threads(void)
{
    hbool_t safe = false;
    return H5is_library_threadsafe(&safe) >= 0 && safe;
}

typedef struct alone { void (*body)(void *context); void *context; } alone;

/* HDF5 holds its lock while it calls back. */

static herr_t call_body(hid_t list, const char *name, void *data)
{
    const alone *a = data;
    (void)list, (void)name;
    a->body(a->context);
    return 1; /* no further property */
}

void bl_store_alone(void (*body)(void *context), void *context)
{
    alone a = { body, context };
    hid_t list = H5Pcreate(H5P_FILE_CREATE);
    int first = 0;
    if (list >= 0) (void)H5Piterate(list, &first, call_body, &a);
    (void)H5Pclose(list);
}
