/* late_settle.c - late files after a death: one takes the place of all; and those nobody needs any more. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/late_file.h"

typedef struct kept { uint32_t file; uint64_t offset; bl_late_record record; } kept;

typedef struct settling {
    bl_late_reading scan;
    bl_late_wanted *wanted;
    void *context;
    kept *kept;
    size_t count, room;
    bl_numbers damaged;         /* files with more in them than could be read */
    int fd;
    uint64_t seed, end;
    char path[BL_PATH], temporary[BL_PATH];
} settling;

static int keep_wanted(void *context, const bl_late_message *m, bl_error *err)
{
    settling *s = context;
    if (!s->wanted(s->context, m))
        return BELAY_OK;
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        kept *more = realloc(s->kept, room * sizeof *more);
        if (!more)
            return bl_fail(err, BELAY_ERR_MEMORY, "no memory for a list of %zu late messages", room);
        s->kept = more;
        s->room = room;
    }
    s->kept[s->count++] = (kept){ s->scan.file.checkpoint, s->scan.offset, s->scan.record };
    return BELAY_OK;
}

static int order(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_message(const void *x, const void *y)
{
    const bl_late_record *a = &((const kept *)x)->record, *b = &((const kept *)y)->record;
    int o = order(a->comm, b->comm);
    o = o ? o : order(a->source, b->source);
    o = o ? o : (a->tag > b->tag) - (a->tag < b->tag);
    return o ? o : order(a->number, b->number);
}

static int by_place(const void *x, const void *y)
{
    const kept *a = x, *b = y;
    int o = order(a->file, b->file);
    return o ? o : order(a->offset, b->offset);
}

static int by_message_and_place(const void *x, const void *y)
{
    int o = by_message(x, y);
    return o ? o : by_place(x, y);
}

/* Of a message kept twice, the later record: the earlier one may be of a past that did not happen. */
static void each_once(settling *s)
{
    size_t count = 0;
    if (s->count < 2)
        return;
    qsort(s->kept, s->count, sizeof *s->kept, by_message_and_place);
    for (size_t k = 0; k < s->count; k++) {
        if (count > 0 && by_message(&s->kept[count - 1], &s->kept[k]) == 0)
            count--;
        s->kept[count++] = s->kept[k];
    }
    s->count = count;
    qsort(s->kept, s->count, sizeof *s->kept, by_place);
}

/* In chunks; the checksum goes along, so what changes meanwhile is found by who reads it. */
static int copy_data(int from, uint64_t at, int to, uint64_t end, uint64_t bytes)
{
    char chunk[BL_LATE_CHUNK];
    for (uint64_t done = 0, size; done < bytes; done += size) {
        size = bytes - done < BL_LATE_CHUNK ? bytes - done : BL_LATE_CHUNK;
        if (bl_read_all(from, chunk, (size_t)size, at + done) != 0 || bl_write_all(to, chunk, (size_t)size, end + done) != 0)
            return -1;
    }
    return 0;
}

static int copy_one(settling *s, int from, const kept *k, bl_error *err)
{
    bl_late_record r = k->record;
    r.sum = bl_late_sum(&r, s->seed, s->end);
    if (bl_write_all(s->fd, &r, sizeof r, s->end) != 0
        || copy_data(from, k->offset + sizeof r, s->fd, s->end + sizeof r, r.bytes) != 0)
        return bl_fail_errno(err, "cannot write %s", s->temporary);
    s->end += sizeof r + r.bytes;
    return BELAY_OK;
}

static int copy_all(settling *s, bl_error *err)
{
    char path[BL_PATH];
    int from = -1, code = BELAY_OK;
    for (size_t k = 0; k < s->count && code == BELAY_OK; k++) {
        if (from < 0 || s->kept[k].file != s->kept[k - 1].file) {
            if (from >= 0)
                close(from);
            bl_late_path(s->scan.store, s->scan.rank, s->kept[k].file, path);
            from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
            if (from < 0)
                return bl_fail_errno(err, "cannot read %s", path);
        }
        code = copy_one(s, from, &s->kept[k], err);
    }
    if (from >= 0)
        close(from);
    return code;
}

static int write_temporary(settling *s, uint32_t checkpoint, bl_error *err)
{
    const bl_store *store = s->scan.store;
    bl_late_head h = bl_late_make_head(store, s->scan.rank, checkpoint);
    s->seed = h.low;
    s->end = sizeof h;
    (void)unlink(s->temporary);
    s->fd = open(s->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (s->fd < 0)
        return bl_fail_errno(err, "cannot create %s", s->temporary);
    int code = bl_write_all(s->fd, &h, sizeof h, 0) ? bl_fail_errno(err, "cannot write %s", s->temporary) : copy_all(s, err);
    if (code == BELAY_OK && store->stable == BL_STABLE_POWER && fdatasync(s->fd) != 0)
        code = bl_fail_errno(err, "cannot write %s", s->temporary);
    if (close(s->fd) != 0 && code == BELAY_OK)
        code = bl_fail_errno(err, "cannot write %s", s->temporary);
    return code;
}

static int note_damage(void *context, const bl_late_file *file, bl_error *err)
{
    settling *s = context;
    return file->wrong && !file->torn ? bl_numbers_add(&s->damaged, file->checkpoint, err) : BELAY_OK;
}

static int is_damaged(const settling *s, uint32_t number)
{
    for (size_t k = 0; k < s->damaged.count; k++)
        if (s->damaged.at[k] == number)
            return 1;
    return 0;
}

static int set_aside(const settling *s, uint32_t number, int copy, bl_error *err)
{
    char name[32], to[BL_PATH];
    snprintf(name, sizeof name, "late-%06u", number);
    return bl_rank_quarantine(s->scan.store, s->scan.rank, name, copy, to, err);
}

static int publish(settling *s, uint32_t checkpoint, bl_error *err)
{
    const bl_store *store = s->scan.store;
    char dir[BL_PATH];
    bl_store_path(store, dir, "rank-%05u", s->scan.rank);
    int code = write_temporary(s, checkpoint, err);
    if (code == BELAY_OK && is_damaged(s, checkpoint))
        code = set_aside(s, checkpoint, 1, err);
    if (code == BELAY_OK && bl_file_rename(store, s->temporary, s->path) != 0)
        code = bl_fail_errno(err, "cannot rename %s to %s", s->temporary, s->path);
    if (code == BELAY_OK)
        return bl_dir_sync(store, dir, err); /* before anything it was made of goes */
    (void)unlink(s->temporary);
    return code;
}

static int remove_others(const settling *s, int keep, uint32_t checkpoint, bl_error *err)
{
    char path[BL_PATH];
    bl_numbers list = { NULL, 0, 0 };
    int code = bl_late_list(s->scan.store, s->scan.rank, &list, err);
    for (size_t k = 0; k < list.count && code == BELAY_OK; k++) {
        if (keep && list.at[k] == checkpoint)
            continue;
        bl_late_path(s->scan.store, s->scan.rank, list.at[k], path);
        code = is_damaged(s, list.at[k]) ? set_aside(s, list.at[k], 0, err) : bl_file_remove(path, err);
    }
    bl_store_path(s->scan.store, path, "rank-%05u", s->scan.rank);
    if (code == BELAY_OK && list.count > 0)
        code = bl_dir_sync(s->scan.store, path, err);
    free(list.at);
    return code;
}

static int settle(settling *s, uint32_t checkpoint, bl_error *err)
{
    int code = bl_late_scan_files(&s->scan, note_damage, err);
    if (code != BELAY_OK)
        return code;
    each_once(s);
    if (s->count > 0)
        code = publish(s, checkpoint, err);
    return code == BELAY_OK ? remove_others(s, s->count > 0, checkpoint, err) : code;
}

int bl_late_settle(bl_store *store, uint32_t rank, uint32_t checkpoint, bl_late_wanted *wanted, void *context, bl_error *err)
{
    bl_fence fence;
    settling s = { .scan = { .store = store, .rank = rank, .how = BL_LATE_VERIFY, .visit = keep_wanted }, .wanted = wanted,
                   .context = context };
    s.scan.context = &s;
    if (rank >= store->job.ranks || checkpoint > BL_CHECKPOINT_MAX)
        return bl_fail(err, BELAY_ERR_ARG, "there is no late file of rank %u after checkpoint %u", rank, checkpoint);
    bl_late_path(store, rank, checkpoint, s.path);
    bl_store_path(store, s.temporary, "rank-%05u/late-%06u.tmp-%04u", rank, checkpoint, store->incarnation);
    int code = bl_fence_enter(store, &fence, err);
    if (code != BELAY_OK)
        return code;
    code = settle(&s, checkpoint, err);
    bl_fence_leave(&fence);
    free(s.kept);
    free(s.damaged.at);
    return code;
}

/* --- garbage --- */

typedef struct needed { bl_late_wanted *wanted; void *context; int any; } needed;

static int ask(void *context, const bl_late_message *m, bl_error *err)
{
    needed *n = context;
    (void)err;
    n->any |= n->wanted(n->context, m) != 0;
    return BELAY_OK;
}

int bl_late_remove_before(bl_store *store, uint32_t rank, uint32_t checkpoint, bl_late_wanted *wanted, void *context,
                          uint32_t *removed, bl_error *err)
{
    bl_fence fence;
    bl_numbers list = { NULL, 0, 0 };
    *removed = 0;
    int code = bl_fence_enter(store, &fence, err);
    if (code != BELAY_OK)
        return code;
    code = bl_late_list(store, rank, &list, err);
    for (size_t k = 0; k < list.count && list.at[k] < checkpoint && code == BELAY_OK; k++) {
        needed n = { wanted, context, 0 };
        bl_late_reading s = { .store = store, .rank = rank, .how = BL_LATE_HEADERS, .visit = ask, .context = &n };
        code = bl_late_scan_file(&s, list.at[k], err);
        if (code != BELAY_OK || n.any || (s.file.wrong && !s.file.torn))
            continue;
        code = bl_file_remove(s.path, err);
        *removed += code == BELAY_OK;
    }
    free(list.at);
    bl_fence_leave(&fence);
    return code;
}
