/* journal_read.c - reading a journal: nothing in its files is trusted. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/journal_file.h"

typedef struct file {
    bl_journal_name name;
    const char *base;            /* NULL: not mapped yet */
    uint64_t bytes;
} file;

struct bl_journal_reader {
    bl_store *store;
    uint32_t rank;
    const char *name;
    file *file;                  /* [files] by incarnation, then number */
    size_t files, room, next;    /* next: to be opened */
    const file *now;
    uint64_t at, seed;           /* at: offset of the next record in `now` */
    uint64_t before;             /* of the one just read */
};

bool bl_journal_name_of(const char *entry, const char *name, bl_journal_name *parsed)
{
    const char *rest;
    size_t length = strlen(name);
    if (!bl_name_number(entry, "journal-", 4, BL_INCARNATION_MAX, &parsed->incarnation, &rest)) return false;
    if (*rest != '-' || strncmp(rest + 1, name, length) != 0) return false;
    return bl_name_number(rest + 1 + length, "-", 6, BL_CHECKPOINT_MAX, &parsed->number, &rest) && !*rest;
}

static int list_one(void *context, const char *entry, bl_error *err)
{
    bl_journal_reader *r = context;
    bl_journal_name n;
    if (!bl_journal_name_of(entry, r->name, &n)) return BELAY_OK;
    if (r->files == r->room) {
        size_t room = r->room ? 2 * r->room : 16;
        file *bigger = realloc(r->file, room * sizeof *bigger);
        if (!bigger) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the list of journals");
        r->file = bigger;
        r->room = room;
    }
    r->file[r->files++] = (file){ .name = n };
    return BELAY_OK;
}

static int by_name(const void *x, const void *y)
{
    const file *a = x, *b = y;
    if (a->name.incarnation != b->name.incarnation) return a->name.incarnation < b->name.incarnation ? -1 : 1;
    return (a->name.number > b->name.number) - (a->name.number < b->name.number);
}

int bl_journal_read_open(bl_store *store, uint32_t rank, const char *name, bl_journal_reader **reader, bl_error *err)
{
    char path[BL_PATH];
    bl_journal_reader *r = calloc(1, sizeof *r);
    if (!r) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for a journal");
    *r = (bl_journal_reader){ .store = store, .rank = rank, .name = name };
    bl_store_path(store, path, "rank-%05u", rank);
    int rc = bl_dir_each(path, list_one, r, err);
    if (rc == BELAY_OK && !r->files) rc = bl_fail(err, BELAY_ERR_NONE, "rank %u has no journal '%s'", rank, name);
    if (rc) {
        bl_journal_read_close(r);
        return rc;
    }
    qsort(r->file, r->files, sizeof *r->file, by_name);
    *reader = r;
    return BELAY_OK;
}

static int check_head(const bl_journal_reader *r, const file *f, const char *path, bl_error *err)
{
    bl_journal_head h;
    memcpy(&h, f->base, sizeof h);
    if (memcmp(h.magic, BL_JOURNAL_MAGIC, sizeof h.magic) != 0 || h.sum != XXH3_64bits(&h, offsetof(bl_journal_head, sum)))
        return bl_fail(err, BELAY_ERR_DAMAGED, "%s: its header is altered", path);
    if (h.format > BL_FORMAT)
        return bl_fail(err, BELAY_ERR_FORMAT, "%s has format %u, this Belay reads up to %d: use the newer Belay that wrote it", path, h.format,
                       (int)BL_FORMAT);
    if (memchr(h.job, '\0', sizeof h.job) == NULL || strcmp(h.job, r->store->job.id) != 0)
        return bl_fail(err, BELAY_ERR_FOREIGN, "%s belongs to another job: move it out of this directory", path);
    if (h.rank != r->rank || h.incarnation != f->name.incarnation || h.number != f->name.number || memchr(h.name, '\0', sizeof h.name) == NULL ||
        strcmp(h.name, r->name) != 0)
        return bl_fail(err, BELAY_ERR_FOREIGN, "%s was written as segment %u of incarnation %u of rank %u: move it back", path, h.number,
                       h.incarnation, h.rank);
    if (h.bytes != f->bytes)
        return bl_fail(err, BELAY_ERR_DAMAGED, "%s has %llu bytes instead of %llu", path, (unsigned long long)f->bytes, (unsigned long long)h.bytes);
    return BELAY_OK;
}

static int map_file(bl_journal_reader *r, file *f, bl_error *err)
{
    char path[BL_PATH];
    struct stat status;
    bl_journal_path(r->store, r->rank, f->name.incarnation, r->name, f->name.number, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return bl_fail_errno(err, "cannot open %s", path);
    int rc = BELAY_OK;
    void *base = MAP_FAILED;
    if (fstat(fd, &status) != 0) rc = bl_fail_errno(err, "cannot look at %s", path);
    else if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size < sizeof(bl_journal_head))
        rc = bl_fail(err, BELAY_ERR_DAMAGED, "%s ends within its header", path);
    else base = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (rc == BELAY_OK && base == MAP_FAILED) rc = bl_fail_errno(err, "cannot map %s", path);
    close(fd);
    if (rc) return rc;
    f->base = base;
    f->bytes = (uint64_t)status.st_size;
    return check_head(r, f, path, err);
}

static int goes_on(const file *before, const file *f)
{
    return before && before->name.incarnation == f->name.incarnation;
}

static int missing(const bl_journal_reader *r, const file *f, bl_error *err)
{
    bl_fail(err, BELAY_ERR_DAMAGED, "the journal '%s' of rank %u has no segment %u of incarnation %u", r->name, r->rank, f->name.number - 1,
            f->name.incarnation);
    return -1;
}

/* 1: there is one. */
static int open_next(bl_journal_reader *r, bl_error *err)
{
    if (r->next == r->files) return 0;
    file *f = &r->file[r->next];
    if (goes_on(r->now, f) && f->name.number != r->now->name.number + 1) return missing(r, f, err);
    if (map_file(r, f, err)) return -1;
    r->next++;
    r->now = f;
    r->at = sizeof(bl_journal_head);
    r->seed = ((const bl_journal_head *)(const void *)f->base)->sum | 1;
    return 1;
}

static uint64_t mark_at(const bl_journal_reader *r, uint64_t at)
{
    return r->seed + (at - r->now->bytes) * 2;
}

/* Where a record begins whose mark is right; its length may still be anything. */
static int marked(const bl_journal_reader *r, uint64_t at, bl_entry_head *head)
{
    if (at + sizeof *head > r->now->bytes) return 0;
    memcpy(head, r->now->base + at, sizeof *head);
    return head->mark == mark_at(r, at);
}

static int is_last_of_incarnation(const bl_journal_reader *r)
{
    return r->next == r->files || !goes_on(r->now, &r->file[r->next]);
}

static int damaged(const bl_journal_reader *r, const char *what, bl_error *err)
{
    char path[BL_PATH];
    bl_journal_path(r->store, r->rank, r->now->name.incarnation, r->name, r->now->name.number, path);
    bl_fail(err, BELAY_ERR_DAMAGED, "%s: %s at byte %llu: what rank %u has logged cannot be trusted; go on without its work with --fresh, or from a copy",
            path, what, (unsigned long long)r->at, r->rank);
    return -1;
}

/* Does any record begin behind this one?  Then it is not the end that a death has left. */
static int something_behind(const bl_journal_reader *r)
{
    bl_entry_head head;
    for (uint64_t at = r->at + 8; at + sizeof head <= r->now->bytes; at += 8)
        if (marked(r, at, &head)) return 1;
    return 0;
}

int bl_journal_next(bl_journal_reader *r, bl_record *record, const char **payload, bl_error *err)
{
    bl_entry_head head;
    while (!r->now || !marked(r, r->at, &head)) {
        if (r->now && something_behind(r)) return damaged(r, "a record is altered", err);
        int more = open_next(r, err);
        if (more <= 0) return more;
    }
    const char *data = r->now->base + r->at + sizeof head;
    uint64_t room = r->now->bytes - r->at - sizeof head;
    int good = head.record.bytes <= room && head.record.kind && head.check == bl_entry_check(&head.record, data, head.mark);
    if (!good && (something_behind(r) || !is_last_of_incarnation(r))) return damaged(r, "a record is altered", err);
    if (!good) { /* a loss of power may leave the mark of what it has taken */
        int more = open_next(r, err);
        return more <= 0 ? more : bl_journal_next(r, record, payload, err);
    }
    *record = head.record;
    *payload = data;
    r->before = r->at;
    r->at += bl_entry_size(head.record.bytes);
    return 1;
}

bl_journal_place bl_journal_read_place(const bl_journal_reader *r)
{
    return (bl_journal_place){ r->now->name.incarnation, r->now->name.number, r->before };
}

uint32_t bl_journal_read_oldest(const bl_journal_reader *r)
{
    return r->file[0].name.incarnation;
}

uint32_t bl_journal_read_incarnation(const bl_journal_reader *r)
{
    return r->now->name.incarnation;
}

void bl_journal_read_close(bl_journal_reader *r)
{
    for (size_t k = 0; k < r->files; k++)
        if (r->file[k].base) munmap((void *)(uintptr_t)r->file[k].base, r->file[k].bytes);
    free(r->file);
    free(r);
}
