#include "store/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/journal_file.h"
#include "store/start.h"

/* --- where a journal ends that may still be written to --- */

static int is_marked(const char *base, uint64_t bytes, uint64_t at, uint64_t seed)
{
    const bl_entry_head *e = (const bl_entry_head *)(const void *)(base + at);
    return __atomic_load_n(&e->mark, __ATOMIC_ACQUIRE) == seed + (at - bytes) * 2;
}

/* The offset behind the record; 0: none begins here, or it is not as it was written. */
static uint64_t behind(const char *base, uint64_t bytes, uint64_t at, uint64_t seed)
{
    bl_entry_head e;
    if (bytes - at < sizeof e || !is_marked(base, bytes, at, seed)) return 0;
    memcpy(&e, base + at, sizeof e);
    if (!e.record.kind || e.record.bytes > bytes - at - sizeof e) return 0;
    return e.check == bl_entry_check(&e.record, base + at + sizeof e, e.mark) ? at + bl_entry_size(e.record.bytes) : 0;
}

static int any_behind(const char *base, uint64_t bytes, uint64_t at, uint64_t seed)
{
    for (at += 8; at + sizeof(bl_entry_head) <= bytes; at += 8)
        if (is_marked(base, bytes, at, seed)) return 1;
    return 0;
}

/* Its writer may append meanwhile: a record behind a place where none was is damage only if none is there now, because the one behind
 * was made later. */
uint64_t bl_journal_end(const char *base, uint64_t bytes)
{
    bl_journal_head h;
    uint64_t at = sizeof h, next = at;
    if (bytes < sizeof h) return 0;
    memcpy(&h, base, sizeof h);
    if (memcmp(h.magic, BL_JOURNAL_MAGIC, sizeof h.magic) != 0 || h.bytes != bytes || h.sum != XXH3_64bits(&h, offsetof(bl_journal_head, sum)))
        return 0;
    do {
        for (; next; next = behind(base, bytes, at, h.sum | 1)) at = next;
        if (!any_behind(base, bytes, at, h.sum | 1)) return at;
        next = behind(base, bytes, at, h.sum | 1);
    } while (next);
    return 0;
}

/* --- copies --- */

static int copy_into(const bl_store *store, int fd, const char *base, uint64_t bytes, uint64_t end)
{
    if (bl_write_all(fd, base, (size_t)end, 0) != 0 || ftruncate(fd, (off_t)bytes) != 0) return -1;
    return store->stable == BL_STABLE_POWER ? fsync(fd) : 0;
}

/* The name goes over to the copy under the fence: a process that was replaced itself while it copied replaces nothing. */
static int replace(const bl_store *store, const char *path, const char *base, uint64_t bytes, uint64_t end, bl_error *err)
{
    char copy[BL_PATH + 16];
    snprintf(copy, sizeof copy, "%s.tmp-%04u", path, store->incarnation);
    (void)unlink(copy);
    int fd = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) return bl_fail_errno(err, "cannot create %s", copy);
    int rc = copy_into(store, fd, base, bytes, end) ? bl_fail_errno(err, "cannot write %s", copy) : BELAY_OK;
    close(fd);
    if (rc == BELAY_OK) return bl_store_publish(store, copy, path, err);
    (void)unlink(copy);
    return rc;
}

static int replace_file(const bl_store *store, const char *path, int journal, bl_error *err)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return bl_fail_errno(err, "cannot open %s", path);
    int there = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0;
    uint64_t bytes = there ? (uint64_t)status.st_size : 0;
    const char *base = there ? mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    int rc = there && base == MAP_FAILED ? bl_fail_errno(err, "cannot map %s", path) : BELAY_OK;
    close(fd);
    if (base == MAP_FAILED) return rc; /* an empty file is for its reader to find fault with */
    uint64_t end = journal ? bl_journal_end(base, bytes) : 0;
    rc = replace(store, path, base, bytes, end ? end : bytes, err);
    munmap((void *)(uintptr_t)base, bytes);
    return rc;
}

/* --- which files --- */

typedef struct newest {
    const char *name;            /* of a journal; NULL: live tables */
    uint32_t below;              /* this incarnation */
    int any;
    bl_journal_name found;
} newest;

static int look_at(void *context, const char *entry, bl_error *err)
{
    newest *n = context;
    bl_journal_name found = { 0, 0 };
    const char *rest = "";
    (void)err;
    bool good = n->name ? bl_journal_name_of(entry, n->name, &found)
                        : bl_name_number(entry, "live-", 4, BL_INCARNATION_MAX, &found.incarnation, &rest) && !*rest;
    if (!good || found.incarnation >= n->below) return BELAY_OK;
    if (n->any && (found.incarnation < n->found.incarnation || (found.incarnation == n->found.incarnation && found.number < n->found.number)))
        return BELAY_OK;
    n->any = 1;
    n->found = found;
    return BELAY_OK;
}

static void end_previous(bl_store *store, uint32_t rank, uint32_t incarnation)
{
    bl_live_header h;
    if (bl_live_read_header(store, rank, incarnation, &h, NULL) == BELAY_OK && bl_live_here(&h)) (void)bl_end_previous(store, rank, h.pid);
}

/* Only the newest: the one before was full, or left behind by who went on in the next incarnation. */
static int replace_newest(bl_store *store, uint32_t rank, const char *name, bl_error *err)
{
    char path[BL_PATH];
    newest n = { .name = name, .below = store->incarnation };
    bl_store_path(store, path, "rank-%05u", rank);
    int rc = bl_dir_each(path, look_at, &n, err);
    if (rc || !n.any) return rc;
    if (!name) end_previous(store, rank, n.found.incarnation); /* while it has the name of what it has mapped */
    if (name) bl_journal_path(store, rank, n.found.incarnation, name, n.found.number, path);
    else bl_store_path(store, path, "rank-%05u/live-%04u", rank, n.found.incarnation);
    return replace_file(store, path, name != NULL, err);
}

/* In this order what is cut off of one that still runs is as if it had died: calls are known as far as their events are, and nothing was
 * sent that no event explains. */
int bl_rank_take_over(bl_store *store, uint32_t rank, bl_error *err)
{
    static const char *const names[] = { NULL, "prologue", "sent", "events" };
    char path[BL_PATH];
    int rc = bl_rank_dir(store, rank, err);
    for (size_t k = 0; rc == BELAY_OK && k < sizeof names / sizeof *names; k++) rc = replace_newest(store, rank, names[k], err);
    bl_store_path(store, path, "rank-%05u", rank);
    return rc == BELAY_OK ? bl_dir_sync(store, path, err) : rc;
}
