/* late.c - late files.  A record's header carries the checksum of its data and one of its own, which is seeded with where it
 * lies: what some other file or place left on the disk is not taken for a record. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/hash.h"
#include "store/late_file.h"

enum { SMALL = 4096 };

_Static_assert(sizeof(bl_late_head) == 64 && sizeof(bl_late_record) == 56, "written as they are in memory, and as doc/format.md says");

static const char magic[8] = "BLYLATE\n";

bl_late_head bl_late_make_head(const bl_store *store, uint32_t rank, uint32_t checkpoint)
{
    bl_late_head h = { .format = BL_FORMAT, .rank = rank, .checkpoint = checkpoint, .incarnation = store->incarnation };
    memcpy(h.magic, magic, sizeof magic);
    snprintf(h.job, sizeof h.job, "%s", store->job.id);
    bl_digest sum = bl_digest_of(&h, offsetof(bl_late_head, low));
    h.low = sum.low;
    h.high = sum.high;
    return h;
}

uint64_t bl_late_sum(const bl_late_record *r, uint64_t seed, uint64_t offset)
{
    return XXH3_64bits_withSeed(r, offsetof(bl_late_record, sum), seed + offset);
}

static bl_late_record make_record(const bl_late_message *m)
{
    bl_digest sum = bl_digest_of(m->bytes ? m->data : "", (size_t)m->bytes);
    return (bl_late_record){ .comm = m->comm, .number = m->number, .bytes = m->bytes, .source = m->source, .tag = m->tag,
                     .low = sum.low, .high = sum.high };
}

void bl_late_path(const bl_store *store, uint32_t rank, uint32_t checkpoint, char path[BL_PATH])
{
    bl_store_path(store, path, "rank-%05u/late-%06u", rank, checkpoint);
}

/* --- reading one file --- */

static void ends(bl_late_reading *s, const char *why, int torn)
{
    s->file.wrong = why;
    s->file.torn = torn;
}

static void unreadable(bl_late_reading *s)
{
    ends(s, errno ? strerror(errno) : "it shrank meanwhile", 0);
}

/* A file system may grow a file before it writes what was to fill it. */
static int rest_is_zero(const bl_late_reading *s)
{
    char chunk[BL_LATE_CHUNK];
    for (uint64_t at = s->file.good, size; at < s->file.size; at += size) {
        size = s->file.size - at < BL_LATE_CHUNK ? s->file.size - at : BL_LATE_CHUNK;
        if (bl_read_all(s->fd, chunk, (size_t)size, at) != 0)
            return 0;
        for (uint64_t k = 0; k < size; k++)
            if (chunk[k])
                return 0;
    }
    return 1;
}

static int refuse_head(const bl_late_reading *s, const bl_late_head *h, bl_error *err)
{
    if (h->format > BL_FORMAT)
        return bl_fail(err, BELAY_ERR_FORMAT, "%s has format %u, this Belay reads up to %d: use the newer Belay that wrote it",
                       s->path, h->format, (int)BL_FORMAT);
    if (h->format != BL_FORMAT || memchr(h->job, '\0', sizeof h->job) == NULL || strcmp(h->job, s->store->job.id) != 0)
        return bl_fail(err, BELAY_ERR_FOREIGN, "%s belongs to another job: move it out of this directory", s->path);
    if (h->rank != s->rank || h->checkpoint != s->file.checkpoint)
        return bl_fail(err, BELAY_ERR_FOREIGN, "%s was written as the late file of rank %u after its checkpoint %u: move it back",
                       s->path, h->rank, h->checkpoint);
    return BELAY_OK;
}

static int read_head(bl_late_reading *s, bl_error *err)
{
    bl_late_head h;
    if (s->file.size < sizeof h) {
        ends(s, "it ends within its header", 1);
        return BELAY_OK;
    }
    if (bl_read_all(s->fd, &h, sizeof h, 0) != 0) {
        unreadable(s);
        return BELAY_OK;
    }
    bl_digest sum = bl_digest_of(&h, offsetof(bl_late_head, low));
    if (memcmp(h.magic, magic, sizeof magic) != 0 || h.low != sum.low || h.high != sum.high) {
        ends(s, "its header is altered", rest_is_zero(s));
        return BELAY_OK;
    }
    s->seed = h.low;
    s->file.good = sizeof h;
    return refuse_head(s, &h, err);
}

/* Data that are not handed over pass through a chunk. */
static int data_match(bl_late_reading *s, XXH3_state_t *state)
{
    char chunk[BL_LATE_CHUNK];
    uint64_t from = s->offset + sizeof s->record;
    (void)XXH3_128bits_reset(state);
    for (uint64_t done = 0, size; done < s->record.bytes; done += size) {
        size = s->record.bytes - done < BL_LATE_CHUNK ? s->record.bytes - done : BL_LATE_CHUNK;
        char *to = s->how == BL_LATE_HAND_OVER ? s->data + done : chunk;
        if (bl_read_all(s->fd, to, (size_t)size, from + done) != 0)
            return -1;
        (void)XXH3_128bits_update(state, to, (size_t)size);
    }
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    return hash.low64 == s->record.low && hash.high64 == s->record.high;
}

static int check_data(bl_late_reading *s, bl_error *err)
{
    if (s->how == BL_LATE_HAND_OVER && s->record.bytes > s->room) {
        char *data = realloc(s->data, (size_t)s->record.bytes);
        if (!data)
            return bl_fail(err, BELAY_ERR_MEMORY, "no memory for a message of %llu bytes in %s",
                           (unsigned long long)s->record.bytes, s->path);
        s->data = data;
        s->room = (size_t)s->record.bytes;
    }
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory to check %s", s->path);
    int match = data_match(s, state);
    if (match < 0)
        unreadable(s);
    else if (!match)
        ends(s, "the contents of a message do not match their checksum", 0);
    XXH3_freeState(state);
    return BELAY_OK;
}

/* Reads the record at s->file.good; file.wrong is set when there is no good one. */
static int read_record(bl_late_reading *s, bl_error *err)
{
    bl_late_record *r = &s->record;
    uint64_t left = s->file.size - s->file.good;
    s->offset = s->file.good;
    if (left < sizeof *r) {
        ends(s, "it ends within a message", 1);
        return BELAY_OK;
    }
    if (bl_read_all(s->fd, r, sizeof *r, s->offset) != 0) {
        unreadable(s);
        return BELAY_OK;
    }
    if (r->sum != bl_late_sum(r, s->seed, s->offset)) {
        ends(s, "a message is altered", rest_is_zero(s));
        return BELAY_OK;
    }
    if (r->bytes > BL_LATE_BYTES_MAX || r->number == 0 || r->source >= s->store->job.ranks)
        ends(s, "a message is out of range", 0);
    else if (r->bytes > left - sizeof *r)
        ends(s, "it ends within a message", 1);
    else if (s->how != BL_LATE_HEADERS)
        return check_data(s, err);
    return BELAY_OK;
}

static int read_records(bl_late_reading *s, bl_error *err)
{
    while (s->file.good < s->file.size) {
        int code = read_record(s, err);
        if (code != BELAY_OK || s->file.wrong)
            return code;
        const bl_late_record *r = &s->record;
        bl_late_message m = { r->comm, r->source, r->tag, r->number, r->bytes, s->how == BL_LATE_HAND_OVER && r->bytes ? s->data : NULL };
        if (s->visit && (code = s->visit(s->context, &m, err)) != BELAY_OK)
            return code;
        s->file.good += sizeof *r + r->bytes;
        s->file.records++;
        s->file.bytes += r->bytes;
    }
    return BELAY_OK;
}

/* A failing disk is damage; anything else, a permission say, is for the user to mend. */
static int open_file(bl_late_reading *s, bl_error *err)
{
    struct stat status;
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (s->fd < 0) {
        if (errno != ELOOP && errno != EIO && errno != ENOENT)
            return bl_fail_errno(err, "cannot read %s", s->path);
        if (errno == ELOOP)
            ends(s, "it is a symbolic link", 0);
        else
            unreadable(s);
        return BELAY_OK;
    }
    if (fstat(s->fd, &status) != 0)
        return bl_fail_errno(err, "cannot read %s", s->path);
    if (!S_ISREG(status.st_mode))
        ends(s, "it is not a regular file", 0);
    else
        s->file.size = (uint64_t)status.st_size;
    return BELAY_OK;
}

int bl_late_scan_file(bl_late_reading *s, uint32_t checkpoint, bl_error *err)
{
    s->file = (bl_late_file){ .checkpoint = checkpoint };
    s->fd = -1;
    bl_late_path(s->store, s->rank, checkpoint, s->path);
    int code = open_file(s, err);
    if (code == BELAY_OK && !s->file.wrong)
        code = read_head(s, err);
    if (code == BELAY_OK && !s->file.wrong)
        code = read_records(s, err);
    if (s->fd >= 0)
        close(s->fd);
    return code;
}

/* --- reading all of a rank --- */

static int list_entry(void *context, const char *name, bl_error *err)
{
    const char *rest;
    uint32_t number;
    if (!bl_name_number(name, "late-", 6, BL_CHECKPOINT_MAX, &number, &rest) || *rest)
        return BELAY_OK;
    return bl_numbers_add(context, number, err);
}

int bl_late_list(const bl_store *store, uint32_t rank, bl_numbers *list, bl_error *err)
{
    char path[BL_PATH];
    bl_store_path(store, path, "rank-%05u", rank);
    int code = bl_dir_each(path, list_entry, list, err);
    bl_numbers_finish(list);
    return code;
}

int bl_late_scan_files(bl_late_reading *s, bl_late_file_visit *end, bl_error *err)
{
    bl_numbers list = { NULL, 0, 0 };
    int code = bl_late_list(s->store, s->rank, &list, err);
    for (size_t k = 0; k < list.count && code == BELAY_OK; k++) {
        code = bl_late_scan_file(s, list.at[k], err);
        if (code == BELAY_OK && end)
            code = end(s->context, &s->file, err);
    }
    free(list.at);
    free(s->data);
    return code;
}

int bl_late_scan(bl_store *store, uint32_t rank, int with_data, bl_late_visit *visit, bl_late_file_visit *end, void *context,
                 bl_error *err)
{
    bl_late_reading s = { .store = store, .rank = rank, .how = with_data ? BL_LATE_HAND_OVER : BL_LATE_VERIFY, .visit = visit, .context = context };
    return bl_late_scan_files(&s, end, err);
}

int bl_late_read(bl_store *store, uint32_t rank, int with_data, bl_late_visit *visit, void *context, bl_error *err)
{
    return bl_late_scan(store, rank, with_data, visit, NULL, context, err);
}

/* --- the running rank --- */

struct bl_late {
    bl_store *store;
    uint32_t rank, checkpoint;
    int fd;                     /* -1: not there yet */
    uint64_t seed, end;
    char path[BL_PATH];
};

/* What follows the last good record goes, so that what is appended can be reached. */
static int cut_tail(const bl_late *late, const bl_late_file *file, bl_error *err)
{
    bl_fence fence;
    int code = bl_fence_enter(late->store, &fence, err);
    if (code != BELAY_OK)
        return code;
    int fd = file->good ? open(late->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (file->good == 0)
        code = bl_file_remove(late->path, err);
    else if (fd < 0 || ftruncate(fd, (off_t)file->good) != 0)
        code = bl_fail_errno(err, "cannot cut %s", late->path);
    if (fd >= 0)
        close(fd);
    bl_fence_leave(&fence);
    return code;
}

static int open_old(bl_late *late, bl_error *err)
{
    bl_late_reading s = { .store = late->store, .rank = late->rank, .how = BL_LATE_VERIFY };
    struct stat status;
    if (lstat(late->path, &status) != 0)
        return errno == ENOENT || errno == ENOTDIR ? BELAY_OK : bl_fail_errno(err, "cannot look at %s", late->path);
    int code = bl_late_scan_file(&s, late->checkpoint, err);
    if (code == BELAY_OK && s.file.wrong && !s.file.torn)
        return bl_fail(err, BELAY_ERR_DAMAGED, "%s is damaged: %s; a restart goes on without it", late->path, s.file.wrong);
    if (code == BELAY_OK && s.file.wrong)
        code = cut_tail(late, &s.file, err);
    if (code != BELAY_OK || s.file.good == 0)
        return code;
    late->seed = s.seed;
    late->end = s.file.good;
    late->fd = open(late->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    return late->fd < 0 ? bl_fail_errno(err, "cannot open %s", late->path) : BELAY_OK;
}

int bl_late_open(bl_store *store, uint32_t rank, uint32_t checkpoint, bl_late **late, bl_error *err)
{
    *late = NULL;
    if (rank >= store->job.ranks || checkpoint > BL_CHECKPOINT_MAX)
        return bl_fail(err, BELAY_ERR_ARG, "there is no late file of rank %u after checkpoint %u", rank, checkpoint);
    bl_late *l = calloc(1, sizeof *l);
    if (!l)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory for a late file");
    *l = (bl_late){ .store = store, .rank = rank, .checkpoint = checkpoint, .fd = -1 };
    bl_late_path(store, rank, checkpoint, l->path);
    int code = open_old(l, err);
    if (code == BELAY_OK)
        *late = l;
    else
        bl_late_close(l);
    return code;
}

void bl_late_close(bl_late *late)
{
    if (!late)
        return;
    if (late->fd >= 0)
        close(late->fd);
    free(late);
}

static int write_record(int fd, uint64_t at, const bl_late_record *r, const void *data)
{
    char both[sizeof *r + SMALL];
    memcpy(both, r, sizeof *r);
    if (r->bytes > SMALL)
        return bl_write_all(fd, r, sizeof *r, at) != 0 ? -1 : bl_write_all(fd, data, (size_t)r->bytes, at + sizeof *r);
    if (r->bytes > 0)
        memcpy(both + sizeof *r, data, (size_t)r->bytes);
    return bl_write_all(fd, both, sizeof *r + (size_t)r->bytes, at);
}

static int make_file(bl_late *late, bl_error *err)
{
    bl_late_head h = bl_late_make_head(late->store, late->rank, late->checkpoint);
    int code = bl_rank_dir(late->store, late->rank, err);
    if (code != BELAY_OK)
        return code;
    late->fd = open(late->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (late->fd < 0)
        return bl_fail_errno(err, "cannot create %s", late->path);
    late->seed = h.low;
    late->end = 0;
    if (bl_write_all(late->fd, &h, sizeof h, 0) != 0)
        return bl_fail_errno(err, "cannot write %s", late->path);
    late->end = sizeof h;
    return BELAY_OK;
}

static int add_record(bl_late *late, const bl_late_message *m, bl_error *err)
{
    bl_late_record r = make_record(m);
    r.sum = bl_late_sum(&r, late->seed, late->end);
    if (write_record(late->fd, late->end, &r, m->data) != 0
        || (late->store->stable == BL_STABLE_POWER && fdatasync(late->fd) != 0))
        return bl_fail_errno(err, "cannot write %s", late->path);
    return BELAY_OK;
}

static int add_first(bl_late *late, const bl_late_message *m, bl_error *err)
{
    char path[BL_PATH];
    int code = make_file(late, err);
    if (code == BELAY_OK)
        code = add_record(late, m, err);
    bl_store_path(late->store, path, "rank-%05u", late->rank);
    if (code == BELAY_OK)
        code = bl_dir_sync(late->store, path, err);
    if (code != BELAY_OK && late->fd >= 0) {
        close(late->fd);
        late->fd = -1;
        (void)unlink(late->path);
    }
    return code;
}

/* The beginning of a record at the end would hide the next one if it were left there. */
static int add_next(bl_late *late, const bl_late_message *m, bl_error *err)
{
    int code = add_record(late, m, err);
    if (code != BELAY_OK && ftruncate(late->fd, (off_t)late->end) != 0)
        return code; /* the next one is written over it */
    return code;
}

int bl_late_append(bl_late *late, const bl_late_message *message, bl_error *err)
{
    bl_fence fence;
    if (message->bytes > BL_LATE_BYTES_MAX || message->number == 0 || message->source >= late->store->job.ranks
        || (message->bytes > 0 && !message->data))
        return bl_fail(err, BELAY_ERR_ARG, "a message of %llu bytes from rank %u cannot be kept in %s",
                       (unsigned long long)message->bytes, message->source, late->path);
    int code = bl_fence_enter(late->store, &fence, err);
    if (code != BELAY_OK)
        return code;
    code = late->fd < 0 ? add_first(late, message, err) : add_next(late, message, err);
    if (code == BELAY_OK)
        late->end += sizeof(bl_late_record) + message->bytes;
    bl_fence_leave(&fence);
    return code;
}
