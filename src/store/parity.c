#include "store/parity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/hash.h"
#include "store/internal.h"
#include "store/layout.h"

static const char magic[8] = "BLPARITY";
enum { HEAD = 4096, CHUNK = 1 << 20 };

typedef struct head {            /* the first HEAD bytes of the file, the rest of them 0; then code.parity segments */
    char magic[8];
    uint32_t format, checkpoint;
    char job[16];                /* no NUL */
    uint32_t me, members, parity, ranks;
    uint64_t segment;
    bl_parity_member member[BL_ERASURE_MEMBERS];
    bl_digest sum[BL_ERASURE_PARITY]; /* of each segment of parity */
    uint64_t check;              /* xxh3-64 of what is before */
} head;
_Static_assert(sizeof(head) <= HEAD, "the head of a parity file");

struct bl_symbols {
    bl_store *store;
    bl_parity parity;
    int snapshot, file;          /* file: of parity */
    int makes_snapshot, makes_parity;
    XXH3_state_t *sum[BL_ERASURE_PARITY];
    char snapshot_path[BL_PATH], parity_path[BL_PATH]; /* where they are written */
};

static void parity_path(const bl_store *store, char path[BL_PATH], uint32_t rank, uint32_t checkpoint)
{
    bl_rank_path(store, path, rank, "parity-%06u", checkpoint);
}

/* --- reading --- */

static int damaged(bl_error *err, const char *path, const char *why)
{
    return bl_fail(err, BELAY_ERR_DAMAGED, "%s is damaged: %s", path, why);
}

static const char *wrong(const head *h, uint32_t rank)
{
    if (h->members < 2 || h->members > BL_ERASURE_MEMBERS || h->parity < 1 || h->parity >= h->members || h->parity > BL_ERASURE_PARITY) return "its group";
    if (h->me >= h->members || h->member[h->me].rank != rank) return "its member";
    if (h->segment == 0 || h->segment % BL_ERASURE_ALIGN || h->segment > UINT64_C(1) << 50) return "the length of its segments";
    for (uint32_t m = 0; m < h->members; m++) {
        if (h->member[m].rank >= h->ranks) return "a rank in it";
        if (h->member[m].bytes > h->segment * (h->members - h->parity)) return "the length of a snapshot in it";
        for (uint32_t k = 0; k < m; k++)
            if (h->member[k].rank == h->member[m].rank) return "a rank that is in it twice";
    }
    return NULL;
}

static int check_head(const bl_store *store, const head *h, uint64_t bytes, uint32_t rank, uint32_t checkpoint, const char *path, bl_error *err)
{
    const char *what;
    if (memcmp(h->magic, magic, sizeof magic)) return damaged(err, path, "it is not a file of parity");
    if (XXH3_64bits(h, offsetof(head, check)) != h->check) return damaged(err, path, "its head does not match its checksum");
    if (h->format > BL_FORMAT)
        return bl_fail(err, BELAY_ERR_FORMAT, "%s has format %" PRIu32 ", this Belay reads up to %d: use the newer Belay that wrote it", path, h->format, (int)BL_FORMAT);
    if (memcmp(h->job, store->job.id, sizeof h->job) || h->ranks != store->job.ranks || h->checkpoint != checkpoint)
        return bl_fail(err, BELAY_ERR_FOREIGN, "%s belongs to another job or checkpoint: move it away", path);
    if ((what = wrong(h, rank))) return bl_fail(err, BELAY_ERR_DAMAGED, "%s is damaged: %s cannot be", path, what);
    if (bytes != HEAD + h->parity * h->segment) return damaged(err, path, "it has not the length that its head says");
    return BELAY_OK;
}

static int read_head(const bl_store *store, uint32_t rank, uint32_t checkpoint, head *h, int *file, bl_error *err)
{
    char path[BL_PATH];
    struct stat status;
    parity_path(store, path, rank, checkpoint);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return bl_fail(err, BELAY_ERR_NONE, "%s does not exist", path);
    if (fd < 0 && errno == ELOOP) return damaged(err, path, "it is a symbolic link");
    if (fd < 0) return bl_fail_errno(err, "cannot read %s", path);
    int rc = BELAY_OK;
    if (fstat(fd, &status) || !S_ISREG(status.st_mode)) rc = damaged(err, path, "it is not a regular file");
    else if (bl_read_all(fd, h, sizeof *h, 0)) rc = damaged(err, path, errno ? strerror(errno) : "it ends within its head");
    else rc = check_head(store, h, (uint64_t)status.st_size, rank, checkpoint, path, err);
    if (rc == BELAY_OK && file) *file = fd;
    else close(fd);
    return rc;
}

int bl_parity_read(const bl_store *store, uint32_t rank, uint32_t checkpoint, bl_parity *parity, bl_error *err)
{
    head h;
    int rc = read_head(store, rank, checkpoint, &h, NULL, err);
    if (rc) return rc;
    memset(parity, 0, sizeof *parity);
    parity->checkpoint = checkpoint;
    parity->me = h.me;
    parity->code = (bl_erasure){ h.members, h.parity, h.segment };
    memcpy(parity->member, h.member, sizeof *h.member * h.members);
    return BELAY_OK;
}

int bl_parity_verify(const bl_store *store, uint32_t rank, uint32_t checkpoint, bl_error *err)
{
    head h;
    int fd, rc = read_head(store, rank, checkpoint, &h, &fd, err);
    if (rc) return rc;
    char *chunk = malloc(CHUNK), path[BL_PATH];
    XXH3_state_t *state = XXH3_createState();
    parity_path(store, path, rank, checkpoint);
    if (!chunk || !state) rc = bl_fail(err, BELAY_ERR_MEMORY, "no memory to verify %s", path);
    for (uint32_t slot = 0; rc == BELAY_OK && slot < h.parity; slot++) {
        (void)XXH3_128bits_reset(state);
        for (uint64_t at = 0; rc == BELAY_OK && at < h.segment; at += CHUNK) {
            size_t bytes = h.segment - at < CHUNK ? (size_t)(h.segment - at) : CHUNK;
            if (bl_read_all(fd, chunk, bytes, HEAD + slot * h.segment + at)) rc = damaged(err, path, errno ? strerror(errno) : "it ends early");
            else (void)XXH3_128bits_update(state, chunk, bytes);
        }
        XXH128_hash_t is = XXH3_128bits_digest(state);
        if (rc == BELAY_OK && (is.low64 != h.sum[slot].low || is.high64 != h.sum[slot].high)) rc = damaged(err, path, "its parity does not match its checksum");
    }
    XXH3_freeState(state);
    free(chunk);
    close(fd);
    return rc;
}

int bl_parity_agree(const bl_parity *a, const bl_parity *b)
{
    return a->checkpoint == b->checkpoint && a->code.members == b->code.members && a->code.parity == b->code.parity &&
           a->code.segment == b->code.segment && !memcmp(a->member, b->member, sizeof *a->member * a->code.members);
}

int bl_snapshot_size(const bl_store *store, uint32_t rank, uint32_t checkpoint, uint64_t *bytes, bl_error *err)
{
    char path[BL_PATH];
    struct stat status;
    bl_rank_path(store, path, rank, "ckpt-%06u.h5", checkpoint);
    if (stat(path, &status)) return errno == ENOENT ? bl_fail(err, BELAY_ERR_NONE, "%s does not exist", path) : bl_fail_errno(err, "cannot look at %s", path);
    *bytes = (uint64_t)status.st_size;
    return BELAY_OK;
}

/* --- the symbols of a member --- */

static int open_one(bl_symbols *s, char path[BL_PATH], const char *name, int makes, int *fd, bl_error *err)
{
    uint32_t rank = s->parity.member[s->parity.me].rank;
    if (makes) bl_rank_path(s->store, path, rank, "%s%06u%s.tmp-%04u", name, s->parity.checkpoint, *name == 'c' ? ".h5" : "", s->store->incarnation);
    else bl_rank_path(s->store, path, rank, "%s%06u%s", name, s->parity.checkpoint, *name == 'c' ? ".h5" : "");
    if (makes) (void)unlink(path);
    *fd = makes ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666) : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return *fd < 0 ? bl_fail_errno(err, makes ? "cannot create %s" : "cannot read %s", path) : BELAY_OK;
}

int bl_symbols_open(bl_store *store, const bl_parity *parity, int make_snapshot, int make_parity, bl_symbols **symbols, bl_error *err)
{
    bl_symbols *s = calloc(1, sizeof *s);
    int rc = s ? bl_rank_dir(store, parity->member[parity->me].rank, err) : bl_fail(err, BELAY_ERR_MEMORY, "no memory for parity");
    *symbols = NULL;
    if (rc) {
        free(s);
        return rc;
    }
    s->store = store;
    s->parity = *parity;
    s->snapshot = s->file = -1;
    s->makes_snapshot = make_snapshot;
    s->makes_parity = make_parity;
    rc = open_one(s, s->snapshot_path, "ckpt-", make_snapshot, &s->snapshot, err);
    if (rc == BELAY_OK) rc = open_one(s, s->parity_path, "parity-", make_parity, &s->file, err);
    for (uint32_t k = 0; rc == BELAY_OK && make_parity && k < parity->code.parity; k++) {
        s->sum[k] = XXH3_createState();
        if (!s->sum[k]) rc = bl_fail(err, BELAY_ERR_MEMORY, "no memory for parity");
        else (void)XXH3_128bits_reset(s->sum[k]);
    }
    if (rc) bl_symbols_cancel(s);
    else *symbols = s;
    return rc;
}

int bl_symbols_get(bl_symbols *s, uint32_t stripe, uint64_t at, void *data, size_t bytes, bl_error *err)
{
    uint32_t index;
    const bl_erasure *code = &s->parity.code;
    if (bl_erasure_is_parity(code, stripe, s->parity.me, &index)) {
        if (bl_read_all(s->file, data, bytes, HEAD + index * code->segment + at) == 0) return BELAY_OK;
        return bl_fail(err, BELAY_ERR_DAMAGED, "cannot read %s: %s", s->parity_path, errno ? strerror(errno) : "it ends early");
    }
    uint64_t from = index * code->segment + at, end = s->parity.member[s->parity.me].bytes;
    size_t there = from >= end ? 0 : end - from < bytes ? (size_t)(end - from) : bytes;
    if (there && bl_read_all(s->snapshot, data, there, from))
        return bl_fail(err, BELAY_ERR_DAMAGED, "cannot read %s: %s", s->snapshot_path, errno ? strerror(errno) : "it ends early");
    memset((char *)data + there, 0, bytes - there);
    return BELAY_OK;
}

int bl_symbols_put(bl_symbols *s, uint32_t stripe, uint64_t at, const void *data, size_t bytes, bl_error *err)
{
    uint32_t index;
    const bl_erasure *code = &s->parity.code;
    if (bl_erasure_is_parity(code, stripe, s->parity.me, &index)) {
        (void)XXH3_128bits_update(s->sum[index], data, bytes);
        if (bl_write_all(s->file, data, bytes, HEAD + index * code->segment + at)) return bl_fail_errno(err, "cannot write %s", s->parity_path);
        return BELAY_OK;
    }
    uint64_t to = index * code->segment + at, end = s->parity.member[s->parity.me].bytes;
    size_t there = to >= end ? 0 : end - to < bytes ? (size_t)(end - to) : bytes;
    if (there && bl_write_all(s->snapshot, data, there, to)) return bl_fail_errno(err, "cannot write %s", s->snapshot_path);
    return BELAY_OK;
}

static int write_head(bl_symbols *s, bl_error *err)
{
    char block[HEAD] = "";
    const bl_parity *p = &s->parity;
    head h = { .format = BL_FORMAT, .checkpoint = p->checkpoint, .me = p->me, .members = p->code.members, .parity = p->code.parity,
               .ranks = s->store->job.ranks, .segment = p->code.segment };
    memcpy(h.magic, magic, sizeof h.magic);
    memcpy(h.job, s->store->job.id, sizeof h.job);
    memcpy(h.member, p->member, sizeof *p->member * p->code.members);
    for (uint32_t k = 0; k < p->code.parity; k++) {
        XXH128_hash_t sum = XXH3_128bits_digest(s->sum[k]);
        h.sum[k] = (bl_digest){ sum.low64, sum.high64 };
    }
    h.check = XXH3_64bits(&h, offsetof(head, check));
    memcpy(block, &h, sizeof h);
    return bl_write_all(s->file, block, sizeof block, 0) ? bl_fail_errno(err, "cannot write %s", s->parity_path) : BELAY_OK;
}

static int force(const bl_symbols *s, int fd, const char *path, bl_error *err)
{
    return s->store->stable == BL_STABLE_POWER && fdatasync(fd) ? bl_fail_errno(err, "cannot write %s", path) : BELAY_OK;
}

static int check_snapshot(bl_symbols *s, bl_error *err)
{
    bl_reader *reader;
    const bl_parity_member *me = &s->parity.member[s->parity.me];
    int rc = bl_snapshot_open_at(s->store, s->snapshot_path, me->rank, s->parity.checkpoint, &me->digest, &reader, err);
    if (rc == BELAY_OK) rc = bl_snapshot_verify(reader, err);
    bl_snapshot_close(reader);
    return rc;
}

static int give_name(const bl_symbols *s, const char *from, int is_snapshot, bl_error *err)
{
    char to[BL_PATH];
    uint32_t rank = s->parity.member[s->parity.me].rank;
    if (is_snapshot) bl_rank_path(s->store, to, rank, "ckpt-%06u.h5", s->parity.checkpoint);
    else parity_path(s->store, to, rank, s->parity.checkpoint);
    return bl_file_rename(s->store, from, to) ? bl_fail_errno(err, "cannot rename %s to %s", from, to) : BELAY_OK;
}

static int publish(bl_symbols *s, bl_error *err)
{
    bl_fence fence;
    char dir[BL_PATH];
    int rc = bl_fence_enter(s->store, &fence, err);
    if (rc) return rc;
    if (s->makes_snapshot) rc = give_name(s, s->snapshot_path, 1, err);
    if (rc == BELAY_OK && s->makes_parity) rc = give_name(s, s->parity_path, 0, err);
    bl_fence_leave(&fence);
    bl_rank_path(s->store, dir, s->parity.member[s->parity.me].rank, ".");
    return rc ? rc : bl_dir_sync(s->store, dir, err);
}

int bl_symbols_finish(bl_symbols *s, bl_error *err)
{
    int rc = s->makes_parity ? write_head(s, err) : BELAY_OK;
    if (rc == BELAY_OK && s->makes_parity) rc = force(s, s->file, s->parity_path, err);
    if (rc == BELAY_OK && s->makes_snapshot) rc = force(s, s->snapshot, s->snapshot_path, err);
    if (rc == BELAY_OK && s->makes_snapshot) rc = check_snapshot(s, err);
    if (rc == BELAY_OK) rc = publish(s, err);
    if (rc == BELAY_OK) s->makes_snapshot = s->makes_parity = 0; /* nothing to take back */
    bl_symbols_cancel(s);
    return rc;
}

void bl_symbols_cancel(bl_symbols *s)
{
    if (s->snapshot >= 0) close(s->snapshot);
    if (s->file >= 0) close(s->file);
    if (s->makes_snapshot && s->snapshot_path[0]) (void)unlink(s->snapshot_path);
    if (s->makes_parity && s->parity_path[0]) (void)unlink(s->parity_path);
    for (uint32_t k = 0; k < BL_ERASURE_PARITY; k++)
        if (s->sum[k]) XXH3_freeState(s->sum[k]);
    free(s);
}
