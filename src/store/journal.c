/* journal.c - writing a journal: segments, their files, and the room they take. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/journal_file.h"

/* Little for a journal of which little is needed, more where many segments would be: making one costs as much as touching all of
 * it, and is waited for. */
enum { SMALLEST = 1 << 18, LARGEST = 1 << 24 };

typedef struct segment {
    uint32_t number, incarnation; /* in which it was made: a rank that stays while another goes back writes on in the next */
    int fd;
    char *base;
    uint64_t bytes, first, end; /* positions; end: of its last record, once it is full */
} segment;

struct bl_journal_more {
    bl_store *store;
    uint32_t rank;
    char name[BL_JOURNAL_NAME + 1];
    uint64_t budget, bytes, first; /* first: position of the open segment's first record */
    segment *segment;           /* [segments] oldest first; the last is open */
    unsigned segments, room;
    segment *spare;             /* [spares] retired, to be used again; room for as many as `segment` */
    unsigned spares;
    uint64_t spare_bytes;
    uint32_t next;              /* number */
    char *synced;               /* of the open segment: forced up to here */
    pthread_mutex_t lock;       /* of the list of segments and of `synced`, for bl_journal_force */
    bl_error wrong;
};

_Static_assert(sizeof(bl_journal_head) == 128 && sizeof(bl_entry_head) == 56, "written as they are in memory, and as doc/format.md says");

void bl_journal_path(const bl_store *store, uint32_t rank, uint32_t incarnation, const char *name, uint32_t number, char path[BL_PATH])
{
    bl_store_path(store, path, "rank-%05u/journal-%04u-%s-%06u", rank, incarnation, name, number);
}

/* Of one that is not in use: it has the number that it had, or will have. */
static void spare_path(const struct bl_journal_more *m, uint32_t incarnation, uint32_t number, char path[BL_PATH])
{
    bl_store_path(m->store, path, "rank-%05u/journal-%04u-%s-%06u.tmp-%04u", m->rank, incarnation, m->name, number, incarnation);
}

static void write_head(const struct bl_journal_more *m, segment *s)
{
    bl_journal_head h = { .format = BL_FORMAT, .rank = m->rank, .incarnation = s->incarnation, .number = s->number,
                          .bytes = s->bytes, .first = s->first };
    memcpy(h.magic, BL_JOURNAL_MAGIC, sizeof h.magic);
    snprintf(h.job, sizeof h.job, "%s", m->store->job.id);
    snprintf(h.name, sizeof h.name, "%s", m->name);
    h.sum = XXH3_64bits(&h, offsetof(bl_journal_head, sum));
    memcpy(s->base, &h, sizeof h);
}

/* Its blocks are reserved and its pages touched: a record stored into a hole of a full disk would be a SIGBUS, and a first touch
 * costs more than a small message. */
static int map_new(const char *path, segment *s, bl_error *err)
{
    (void)unlink(path);
    s->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (s->fd < 0) return bl_fail_errno(err, "cannot create %s", path);
    errno = posix_fallocate(s->fd, 0, (off_t)s->bytes);
    void *base = errno ? MAP_FAILED : mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, s->fd, 0);
    if (base != MAP_FAILED) {
        s->base = base;
        return BELAY_OK;
    }
    int rc = bl_fail_errno(err, "cannot make the %llu bytes of %s", (unsigned long long)s->bytes, path);
    close(s->fd);
    (void)unlink(path);
    return rc;
}

static void unmap(segment *s)
{
    if (!s->base) return;
    munmap(s->base, s->bytes);
    close(s->fd);
    s->base = NULL;
}

/* Under its temporary name it has a header that says what it will be; the fence is asked before it is. */
static int publish(struct bl_journal_more *m, segment *s, const char *from, bl_error *err)
{
    char path[BL_PATH];
    bl_fence fence;
    write_head(m, s);
    if (m->store->stable == BL_STABLE_POWER && fsync(s->fd) != 0) return bl_fail_errno(err, "cannot force %s", from);
    int rc = bl_fence_enter(m->store, &fence, err);
    if (rc) return rc;
    bl_journal_path(m->store, m->rank, s->incarnation, m->name, s->number, path);
    if (rename(from, path) != 0) rc = bl_fail_errno(err, "cannot rename %s to %s", from, path);
    bl_fence_leave(&fence);
    if (rc == BELAY_OK && m->store->stable == BL_STABLE_POWER) {
        bl_store_path(m->store, path, "rank-%05u", m->rank);
        rc = bl_dir_sync(m->store, path, err);
    }
    return rc;
}

static uint64_t size_of_next(const struct bl_journal_more *m, uint64_t need)
{
    uint64_t bytes = SMALLEST;
    while (bytes < m->bytes && bytes < LARGEST) bytes *= 2;
    if (bytes > m->budget / 4) bytes = m->budget / 4 & ~(uint64_t)4095;
    need += sizeof(bl_journal_head);
    return need <= bytes ? bytes : (need + 4095) & ~(uint64_t)4095;
}

static int more_room(segment **list, unsigned room)
{
    segment *bigger = realloc(*list, room * sizeof *bigger);
    if (bigger) *list = bigger;
    return bigger ? 0 : -1;
}

static int room_for_one(struct bl_journal_more *m)
{
    if (m->segments + m->spares < m->room) return 0;
    unsigned room = m->room ? 2 * m->room : 16;
    if (more_room(&m->segment, room) || more_room(&m->spare, room))
        return bl_fail(&m->wrong, BELAY_ERR_MEMORY, "out of memory for the segments of a journal");
    m->room = room;
    return 0;
}

static void drop_spare(struct bl_journal_more *m)
{
    char path[BL_PATH];
    segment *s = &m->spare[--m->spares];
    spare_path(m, s->incarnation, s->number, path);
    (void)unlink(path);
    m->bytes -= s->bytes;
    m->spare_bytes -= s->bytes;
    unmap(s);
}

/* The newest that is large enough: its pages are the likeliest to be in a cache. */
static int take_spare(struct bl_journal_more *m, uint64_t need, segment *s)
{
    while (m->spares && m->spare[0].incarnation != m->store->incarnation) drop_spare(m); /* its file is swept any time */
    for (unsigned k = m->spares; k-- > 0;) {
        if (m->spare[k].bytes < need + sizeof(bl_journal_head)) continue;
        *s = m->spare[k];
        memmove(&m->spare[k], &m->spare[k + 1], (--m->spares - k) * sizeof *s);
        m->spare_bytes -= s->bytes;
        return 1;
    }
    return 0;
}

/* 0; -1: there is no room, or more->wrong says why. */
static int open_segment(bl_journal *j, uint64_t need)
{
    struct bl_journal_more *m = j->more;
    char path[BL_PATH];
    segment s = { 0 };
    if (room_for_one(m)) return -1;
    int again = take_spare(m, need, &s);
    if (again) {
        spare_path(m, s.incarnation, s.number, path);
    } else {
        s.bytes = size_of_next(m, need);
        while (m->bytes + s.bytes > m->budget && m->spares) drop_spare(m);
        if (m->bytes + s.bytes > m->budget) return -1;
        spare_path(m, m->store->incarnation, m->next, path);
        if (map_new(path, &s, &m->wrong)) return -1;
        m->bytes += s.bytes;
    }
    s.number = m->next;
    s.incarnation = m->store->incarnation;
    s.first = bl_journal_position(j);
    if (publish(m, &s, path, &m->wrong)) return -1;
    bl_error err;
    if (m->segments && bl_journal_stable(j, &err)) {
        m->wrong = err;
        return -1;
    }
    pthread_mutex_lock(&m->lock);
    if (m->segments) m->segment[m->segments - 1].end = s.first;
    m->segment[m->segments++] = s;
    m->next++;
    j->at = m->synced = s.base + sizeof(bl_journal_head);
    j->end = s.base + s.bytes;
    j->mark = ((const bl_journal_head *)(void *)s.base)->sum | 1;
    pthread_mutex_unlock(&m->lock);
    return 0;
}

int bl_journal_create(bl_store *store, uint32_t rank, const char *name, uint64_t budget, bl_journal **journal, bl_error *err)
{
    if (!store->joined || rank >= store->job.ranks || strlen(name) > BL_JOURNAL_NAME)
        return bl_fail(err, BELAY_ERR_ARG, "rank %u: no journal '%s' without an incarnation and a rank below %u", rank, name, store->job.ranks);
    int rc = bl_rank_dir(store, rank, err);
    if (rc) return rc;
    bl_journal *j = calloc(1, sizeof *j + sizeof *j->more);
    if (!j) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for a journal");
    j->more = (struct bl_journal_more *)(void *)(j + 1);
    *j->more = (struct bl_journal_more){ .store = store, .rank = rank, .budget = budget };
    snprintf(j->more->name, sizeof j->more->name, "%s", name);
    pthread_mutex_init(&j->more->lock, NULL);
    if (open_segment(j, 0)) {
        rc = bl_journal_error(j, err);
        if (rc == BELAY_OK) rc = bl_fail(err, BELAY_ERR_ARG, "a budget of %llu bytes is too little for a journal", (unsigned long long)budget);
        bl_journal_close(j);
        return rc;
    }
    *journal = j;
    return BELAY_OK;
}

void bl_journal_close(bl_journal *j)
{
    while (j->more->spares) drop_spare(j->more);
    for (unsigned k = 0; k < j->more->segments; k++) unmap(&j->more->segment[k]);
    free(j->more->segment);
    free(j->more->spare);
    pthread_mutex_destroy(&j->more->lock);
    free(j);
}

/* --- appending --- */

int bl_journal_next_segment(bl_journal *j, const bl_record *head)
{
    if (head->bytes > BL_PAYLOAD_MAX || j->more->wrong.code) return -1;
    return open_segment(j, bl_entry_size(head->bytes));
}

int bl_journal_error(const bl_journal *j, bl_error *err)
{
    if (j->more->wrong.code) *err = j->more->wrong;
    return j->more->wrong.code;
}

/* Only whole pages can be forced; of one that is not full there is the rest the next time. */
static int cannot_force(const struct bl_journal_more *m, bl_error *err)
{
    return bl_fail_errno(err, "cannot force the journal '%s' of rank %u", m->name, m->rank);
}

int bl_journal_stable(bl_journal *j, bl_error *err)
{
    struct bl_journal_more *m = j->more;
    const segment *s = &m->segment[m->segments - 1];
    if (m->store->stable != BL_STABLE_POWER || j->at == m->synced) return BELAY_OK;
    pthread_mutex_lock(&m->lock);
    char *from = s->base + ((uint64_t)(m->synced - s->base) & ~(uint64_t)4095);
    int bad = msync(from, (size_t)(j->at - from), MS_SYNC);
    if (!bad) m->synced = j->at;
    pthread_mutex_unlock(&m->lock);
    return bad ? cannot_force(m, err) : BELAY_OK;
}

/* Nobody who appends waits meanwhile: the file is forced through a descriptor of its own.  A full segment was forced by whoever
 * filled it. */
int bl_journal_force(bl_journal *j, bl_error *err)
{
    struct bl_journal_more *m = j->more;
    pthread_mutex_lock(&m->lock);
    const segment *s = &m->segment[m->segments - 1];
    const char *base = s->base;
    char *upto = __atomic_load_n(&j->at, __ATOMIC_ACQUIRE);
    int fd = m->synced == upto ? -1 : dup(s->fd), nothing = m->synced == upto;
    pthread_mutex_unlock(&m->lock);
    if (nothing) return BELAY_OK;
    int bad = fd < 0 || fdatasync(fd) != 0;
    if (bad) (void)cannot_force(m, err);
    if (fd >= 0) close(fd);
    pthread_mutex_lock(&m->lock);
    if (!bad && m->segment[m->segments - 1].base == base && upto > m->synced) m->synced = upto;
    pthread_mutex_unlock(&m->lock);
    return bad ? err->code : BELAY_OK;
}

/* In a copy that takes its place: messages may be on their way out of the memory. */
void bl_journal_lose(bl_journal *j)
{
    struct bl_journal_more *m = j->more;
    char path[BL_PATH], copy[BL_PATH];
    pthread_mutex_lock(&m->lock);
    const segment *s = &m->segment[m->segments - 1];
    bl_journal_path(m->store, m->rank, s->incarnation, m->name, s->number, path);
    spare_path(m, s->incarnation, s->number, copy);
    int fd = open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    size_t kept = (size_t)(m->synced - s->base), lost = (size_t)(j->at - m->synced);
    char *spoilt = malloc(lost + 1);
    if (spoilt) memset(spoilt, 0x5a, lost);
    if (fd < 0 || !spoilt || write(fd, s->base, kept) != (ssize_t)kept || write(fd, spoilt, lost) != (ssize_t)lost ||
        ftruncate(fd, (off_t)s->bytes) != 0 || rename(copy, path) != 0)
        (void)unlink(path); /* which loses more */
    if (fd >= 0) close(fd);
    free(spoilt);
    pthread_mutex_unlock(&m->lock);
}

uint64_t bl_journal_position(const bl_journal *j)
{
    const struct bl_journal_more *m = j->more;
    if (!m->segments) return 0;
    const segment *s = &m->segment[m->segments - 1];
    return s->first + (uint64_t)(j->at - s->base) - sizeof(bl_journal_head);
}

uint64_t bl_journal_bytes(const bl_journal *j)
{
    return j->more->bytes - j->more->spare_bytes;
}

int bl_journal_over(const bl_journal *j)
{
    return bl_journal_bytes(j) > j->more->budget / 4 * 3;
}

/* --- what is not needed any more --- */

/* Its pages are touched already, which costs more than all else: it is kept for the next. */
static int let_go(struct bl_journal_more *m, const segment *s, bl_error *err)
{
    char path[BL_PATH], spare[BL_PATH];
    bl_journal_path(m->store, m->rank, s->incarnation, m->name, s->number, path);
    if (s->incarnation != m->store->incarnation) {
        int rc = bl_file_remove(path, err);
        segment old = *s;
        m->bytes -= rc ? 0 : s->bytes;
        if (rc == BELAY_OK) unmap(&old);
        return rc;
    }
    spare_path(m, s->incarnation, s->number, spare);
    if (rename(path, spare) != 0) return bl_fail_errno(err, "cannot rename %s to %s", path, spare);
    m->spare[m->spares++] = *s;
    m->spare_bytes += s->bytes;
    return BELAY_OK;
}

int bl_journal_retire(bl_journal *j, uint64_t position, bl_error *err)
{
    struct bl_journal_more *m = j->more;
    unsigned gone = 0;
    bl_fence fence;
    if (m->segments < 2 || m->segment[0].end > position) return BELAY_OK;
    int rc = bl_fence_enter(m->store, &fence, err);
    if (rc) return rc;
    while (rc == BELAY_OK && gone + 1 < m->segments && m->segment[gone].end <= position) {
        rc = let_go(m, &m->segment[gone], err);
        gone += rc == BELAY_OK;
    }
    bl_fence_leave(&fence);
    pthread_mutex_lock(&m->lock);
    m->segments -= gone;
    memmove(m->segment, m->segment + gone, m->segments * sizeof *m->segment);
    pthread_mutex_unlock(&m->lock);
    return rc;
}

typedef struct removing { bl_store *store; uint32_t rank; const char *name; uint32_t from, below; } removing;

static int remove_old(void *context, const char *entry, bl_error *err)
{
    const removing *r = context;
    bl_journal_name n;
    char path[BL_PATH];
    if (!bl_journal_name_of(entry, r->name, &n) || n.incarnation < r->from || n.incarnation >= r->below) return BELAY_OK;
    bl_journal_path(r->store, r->rank, n.incarnation, r->name, n.number, path);
    return bl_file_remove(path, err);
}

static int remove_each(removing *r, bl_error *err)
{
    char path[BL_PATH];
    bl_fence fence;
    int rc = bl_fence_enter(r->store, &fence, err);
    if (rc) return rc;
    bl_store_path(r->store, path, "rank-%05u", r->rank);
    rc = bl_dir_each(path, remove_old, r, err);
    bl_fence_leave(&fence);
    return rc;
}

int bl_journal_retire_before(bl_store *store, uint32_t rank, const char *name, uint32_t incarnation, bl_error *err)
{
    return remove_each(&(removing){ store, rank, name, 0, incarnation }, err);
}

int bl_journal_forget_after(bl_store *store, uint32_t rank, const char *name, uint32_t incarnation, bl_error *err)
{
    return remove_each(&(removing){ store, rank, name, incarnation + 1, store->incarnation }, err);
}

/* --- what is there after a failure --- */

typedef struct settling { removing of; const bl_journal_place *end; uint32_t highest; } settling;

static int find_highest(void *context, const char *entry, bl_error *err)
{
    settling *s = context;
    bl_journal_name n;
    (void)err;
    if (bl_journal_name_of(entry, s->of.name, &n) && n.incarnation == s->of.from && n.number + 1 > s->highest) s->highest = n.number + 1;
    return BELAY_OK;
}

static int settle_one(void *context, const char *entry, bl_error *err)
{
    const settling *s = context;
    bl_journal_name n;
    char path[BL_PATH];
    if (!bl_journal_name_of(entry, s->of.name, &n) || n.incarnation != s->of.from) return BELAY_OK;
    bl_journal_path(s->of.store, s->of.rank, n.incarnation, s->of.name, n.number, path);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW), bad = fd < 0;
    off_t bytes = bad ? 0 : lseek(fd, 0, SEEK_END);
    static const char zeros[4096];
    /* From the end on: what is left at any time ends as a journal does. */
    while (!bad && s->end && n.number == s->end->number && bytes > (off_t)s->end->at) {
        off_t from = (bytes - 1) & ~(off_t)4095;
        if (from < (off_t)s->end->at) from = (off_t)s->end->at;
        bad = pwrite(fd, zeros, (size_t)(bytes - from), from) != bytes - from;
        bytes = from;
    }
    if (!bad) bad = fsync(fd) != 0;
    int rc = bad ? bl_fail_errno(err, "cannot settle %s", path) : BELAY_OK;
    if (fd >= 0) close(fd);
    return rc;
}

static int settle(bl_store *store, uint32_t rank, const char *name, uint32_t incarnation, const bl_journal_place *end, bl_error *err)
{
    char path[BL_PATH], one[BL_PATH];
    settling s = { { store, rank, name, incarnation, incarnation + 1 }, end, 0 };
    bl_store_path(store, path, "rank-%05u", rank);
    int rc = bl_dir_each(path, find_highest, &s, err);
    for (uint32_t n = s.highest; rc == BELAY_OK && end && n > end->number + 1; n--) { /* the newest first */
        bl_journal_path(store, rank, incarnation, name, n - 1, one);
        rc = bl_file_remove(one, err);
    }
    if (rc == BELAY_OK) rc = bl_dir_each(path, settle_one, &s, err);
    return rc == BELAY_OK ? bl_dir_sync(store, path, err) : rc;
}

int bl_journal_settle(bl_store *store, uint32_t rank, const char *name, uint32_t incarnation, const bl_journal_place *end, bl_error *err)
{
    bl_fence fence;
    int rc = bl_fence_enter(store, &fence, err);
    if (rc) return rc;
    rc = settle(store, rank, name, incarnation, end, err);
    bl_fence_leave(&fence);
    return rc;
}
