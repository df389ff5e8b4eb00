#include "store/live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/internal.h"
#include "util/clock.h"

enum { PAGE = 4096, SLOTS_MAX = 1 << 20 };
#define MEAN_MOST_S 1e6 /* more is not to be believed */

static const char magic[8] = "BLYLIVE\n";

_Static_assert(sizeof(bl_live_header) == 232 && sizeof(bl_live_slot) == 48 && sizeof(bl_live_collective) == 32,
               "the tables lie in the file as they do in memory, and as doc/format.md says");

static uint64_t file_bytes(uint64_t header, uint64_t channels, uint64_t collectives)
{
    return header + channels * sizeof(bl_live_slot) + collectives * sizeof(bl_live_collective);
}

static void point(bl_live *live, void *base)
{
    live->header = base;
    live->slot = (bl_live_slot *)(void *)((char *)base + live->header->header_bytes);
    live->collective = (bl_live_collective *)(void *)(live->slot + live->header->channel_slots);
}

static void fill_header(const bl_store *store, uint32_t rank, bl_live_header *h)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *h = (bl_live_header){
        .format = BL_FORMAT, .header_bytes = PAGE, .rank = rank, .ranks = store->job.ranks, .incarnation = store->incarnation,
        .channel_slots = BL_LIVE_CHANNELS, .collective_slots = BL_LIVE_COLLECTIVES, .pid = getpid(),
        .started_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec, .state = BL_LIVE_STARTED, .safe_point = UINT64_MAX
    };
    memcpy(h->magic, magic, sizeof magic);
    snprintf(h->job, sizeof h->job, "%s", store->job.id);
    if (gethostname(h->host, sizeof h->host - 1) != 0)
        snprintf(h->host, sizeof h->host, "unknown");
}

/* The blocks are reserved: counting into a hole on a full disk would end the program with SIGBUS. */
static int map_new(const bl_store *store, uint32_t rank, const char *path, bl_live *live, bl_error *err)
{
    size_t bytes = (size_t)file_bytes(PAGE, BL_LIVE_CHANNELS, BL_LIVE_COLLECTIVES);
    (void)unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return bl_fail_errno(err, "cannot create %s", path);
    errno = posix_fallocate(fd, 0, (off_t)bytes);
    void *base = errno ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int code = base == MAP_FAILED ? bl_fail_errno(err, "cannot map the %zu bytes of %s", bytes, path) : BELAY_OK;
    close(fd);
    if (code != BELAY_OK) {
        (void)unlink(path);
        return code;
    }
    fill_header(store, rank, base);
    live->bytes = bytes;
    point(live, base);
    return BELAY_OK;
}

int bl_live_create(bl_store *store, uint32_t rank, bl_live *live, bl_error *err)
{
    char path[BL_PATH], temporary[BL_PATH];
    *live = (bl_live){ .header = NULL };
    if (!store->joined || rank >= store->job.ranks)
        return bl_fail(err, BELAY_ERR_ARG, "rank %u: no live table without an incarnation and a rank below %u", rank,
                       store->job.ranks);
    bl_store_path(store, path, "rank-%05u/live-%04u", rank, store->incarnation);
    bl_store_path(store, temporary, "rank-%05u/live-%04u.tmp-%04u", rank, store->incarnation, store->incarnation);
    int code = bl_rank_dir(store, rank, err);
    if (code == BELAY_OK)
        code = map_new(store, rank, temporary, live, err);
    if (code == BELAY_OK)
        code = bl_store_publish(store, temporary, path, err);
    if (code != BELAY_OK)
        bl_live_unmap(live);
    return code;
}

void bl_live_unmap(bl_live *live)
{
    if (live->header)
        munmap(live->header, live->bytes);
    *live = (bl_live){ .header = NULL };
}

static int write_copy(const bl_store *store, const bl_live *live, int fd)
{
    bl_live_header h = *live->header;
    h.incarnation = store->incarnation;
    if (pwrite(fd, live->header, live->bytes, 0) != (ssize_t)live->bytes || pwrite(fd, &h, sizeof h, 0) != sizeof h)
        return -1;
    return mmap(live->header, live->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ? -1 : 0;
}

int bl_live_go_on(bl_store *store, bl_live *live, bl_error *err)
{
    char path[BL_PATH], temporary[BL_PATH];
    uint32_t rank = live->header->rank;
    bl_store_path(store, path, "rank-%05u/live-%04u", rank, store->incarnation);
    bl_store_path(store, temporary, "rank-%05u/live-%04u.tmp-%04u", rank, store->incarnation, store->incarnation);
    (void)unlink(temporary);
    int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return bl_fail_errno(err, "cannot create %s", temporary);
    int code = write_copy(store, live, fd) ? bl_fail_errno(err, "cannot write %s", temporary) : BELAY_OK;
    close(fd);
    if (code == BELAY_OK)
        return bl_store_publish(store, temporary, path, err);
    (void)unlink(temporary);
    return code;
}

/* --- reading --- */

double bl_live_seconds_a_safe_point(const bl_live_header *h)
{
    if (!h->first_step_ns || h->safe_point == UINT64_MAX) return 0;
    double mean = (h->compute_base_s + bl_seconds(bl_now_ns() - h->first_step_ns)) / ((double)h->safe_point + 1);
    return mean > 0 && mean < MEAN_MOST_S ? mean : 0;
}

static int foreign(const char *path, const bl_live_header *h, bl_error *err)
{
    return bl_fail(err, BELAY_ERR_FOREIGN, "%s is the live table of rank %u of %u, incarnation %u of job %.16s: move it away",
                   path, h->rank, h->ranks, h->incarnation, h->job);
}

static bool good_slots(uint32_t slots)
{
    return slots >= 1 && slots <= SLOTS_MAX && (slots & (slots - 1)) == 0;
}

/* `bytes`: the first of them, `size`: how many the file has. */
static int check(const bl_store *store, const char *path, uint32_t rank, uint32_t incarnation, const void *bytes, uint64_t size,
                 bl_error *err)
{
    bl_live_header h;
    if (size < sizeof h)
        return bl_fail(err, BELAY_ERR_DAMAGED, "%s (live table of rank %u) is damaged: only %zu bytes", path, rank, (size_t)size);
    memcpy(&h, bytes, sizeof h);
    if (memcmp(h.magic, magic, sizeof magic) != 0)
        return bl_fail(err, BELAY_ERR_DAMAGED, "%s (live table of rank %u) is damaged: it does not begin as one", path, rank);
    if (h.format > BL_FORMAT)
        return bl_fail(err, BELAY_ERR_FORMAT, "%s (live table of rank %u) has format %u, this Belay reads up to %d: use the "
                       "newer Belay that wrote it", path, rank, h.format, (int)BL_FORMAT);
    if (h.format == 0 || h.header_bytes < sizeof h || h.header_bytes % PAGE != 0 || h.header_bytes > 16 * PAGE
        || !good_slots(h.channel_slots) || !good_slots(h.collective_slots)
        || size != file_bytes(h.header_bytes, h.channel_slots, h.collective_slots))
        return bl_fail(err, BELAY_ERR_DAMAGED, "%s (live table of rank %u) is damaged: its sizes contradict each other", path, rank);
    if (strncmp(h.job, store->job.id, sizeof h.job) != 0 || h.rank != rank || h.ranks != store->job.ranks
        || h.incarnation != incarnation)
        return foreign(path, &h, err);
    return BELAY_OK;
}

/* What a reader may rely on: texts end, and a slot in use names a rank of the job. */
static void tame_header(bl_live_header *h)
{
    h->job[sizeof h->job - 1] = '\0';
    h->host[sizeof h->host - 1] = '\0';
}

static void tame(bl_live *live)
{
    bl_live_header *h = live->header;
    tame_header(h);
    for (uint32_t i = 0; i < h->channel_slots; i++)
        if (live->slot[i].peer < 0 || (uint32_t)live->slot[i].peer >= h->ranks)
            live->slot[i].comm = 0;
}

int bl_live_read(bl_store *store, uint32_t rank, uint32_t incarnation, bl_live *live, bl_error *err)
{
    char path[BL_PATH], *bytes;
    size_t size, limit = (size_t)file_bytes(16 * PAGE, SLOTS_MAX, SLOTS_MAX);
    *live = (bl_live){ .header = NULL };
    bl_store_path(store, path, "rank-%05u/live-%04u", rank, incarnation);
    int code = bl_file_read(path, limit, &bytes, &size, err);
    if (code != BELAY_OK)
        return code;
    code = check(store, path, rank, incarnation, bytes, size, err);
    if (code != BELAY_OK) {
        free(bytes);
        return code;
    }
    live->bytes = size;
    point(live, bytes);
    tame(live);
    return BELAY_OK;
}

int bl_live_read_header(bl_store *store, uint32_t rank, uint32_t incarnation, bl_live_header *header, bl_error *err)
{
    char path[BL_PATH];
    struct stat st;
    bl_store_path(store, path, "rank-%05u/live-%04u", rank, incarnation);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return bl_fail_errno(err, "cannot read %s", path);
    ssize_t got = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? pread(fd, header, sizeof *header, 0) : -1;
    close(fd);
    if (got < 0)
        return bl_fail(err, BELAY_ERR_SYSTEM, "cannot read %s", path);
    int code = check(store, path, rank, incarnation, header, got < (ssize_t)sizeof *header ? (uint64_t)got : (uint64_t)st.st_size, err);
    if (code == BELAY_OK)
        tame_header(header);
    return code;
}

void bl_live_free(bl_live *live)
{
    free(live->header);
    *live = (bl_live){ .header = NULL };
}
