/* fence.c - the file `incarnation`: which one runs, and the lock under which anything is published.
 *
 * Two copies of one line, "belay-incarnation 1 <job> <number> <xxh3-128 of what precedes>", rewritten in place one after
 * the other (the lock is on the file, so the file is never replaced).  A torn copy leaves the other; the higher good one
 * counts, because the first copy is forced before the second is touched.
 */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 80, SUMMED = LINE - 1 - BL_HEX };

static void make_line(const char *job, uint32_t incarnation, char line[LINE + 1])
{
    int used = snprintf(line, LINE + 1, "belay-incarnation %u %s %09u", (unsigned)BL_FORMAT, job, incarnation);
    for (; used < SUMMED; used++)
        line[used] = ' ';
    bl_digest_text(bl_digest_of(line, SUMMED), line + SUMMED);
    line[LINE - 1] = '\n';
    line[LINE] = '\0';
}

/* The incarnation a copy holds, or false: only what make_line would write is good. */
static bool parse_line(const char *job, const char line[LINE], uint32_t *incarnation)
{
    char expected[LINE + 1], number[10] = "";
    memcpy(number, line + sizeof "belay-incarnation 1 0123456789abcdef " - 1, 9);
    *incarnation = (uint32_t)strtoul(number, NULL, 10);
    if (*incarnation > BL_INCARNATION_MAX)
        return false;
    make_line(job, *incarnation, expected);
    return memcmp(expected, line, LINE) == 0;
}

/* With O_CREAT, by who begins an incarnation: those of the one before are not waited for for ever. */
static int open_locked(const bl_store *store, int flags, int how, bl_fence *fence, bl_error *err)
{
    char path[BL_PATH];
    struct timespec start, now, nap = { 0, 1000000 };
    time_t looked = 0;
    bl_store_path(store, path, "incarnation");
    fence->fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fence->fd < 0)
        return bl_fail_errno(err, "cannot open %s", path);
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (flock(fence->fd, how | LOCK_NB) != 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (errno == EWOULDBLOCK && now.tv_sec - start.tv_sec < BL_LOCK_WAIT_S) {
            if ((flags & O_CREAT) && now.tv_sec - start.tv_sec > looked) {
                looked = now.tv_sec - start.tv_sec;
                (void)bl_end_stopped_holder(store, fence->fd);
            }
            nanosleep(&nap, NULL);
            continue;
        }
        int code = errno == EWOULDBLOCK
            ? bl_fail(err, BELAY_ERR_SYSTEM, "%s has been locked by another process for %d s: end processes of this job "
                      "that were left behind or stopped", path, BL_LOCK_WAIT_S)
            : bl_fail_errno(err, "cannot lock %s (the file system has to support flock)", path);
        bl_fence_leave(fence);
        return code;
    }
    return BELAY_OK;
}

void bl_fence_leave(bl_fence *fence)
{
    close(fence->fd); /* releases the lock */
    fence->fd = -1;
}

int bl_fence_lock(const bl_store *store, bool create, bl_fence *fence, bl_error *err)
{
    return open_locked(store, O_RDWR | (create ? O_CREAT : 0), LOCK_EX, fence, err);
}

int bl_fence_read(const bl_store *store, const bl_fence *fence, uint32_t *incarnation, bl_error *err)
{
    char text[2 * LINE] = "";
    uint32_t copy[2];
    for (int i = 0; i < 2; i++)
        if (bl_read_all(fence->fd, text + i * LINE, LINE, (uint64_t)(i * LINE)) != 0)
            text[i * LINE] = '\0';
    bool good[2] = { parse_line(store->job.id, text, &copy[0]), parse_line(store->job.id, text + LINE, &copy[1]) };
    if (!good[0] && !good[1])
        return bl_fail(err, BELAY_ERR_DAMAGED, "%s/incarnation is damaged or belongs to another job: restart with "
                       "`belay run`, which rewrites it", store->dir);
    *incarnation = !good[1] || (good[0] && copy[0] > copy[1]) ? copy[0] : copy[1];
    return BELAY_OK;
}

/* Without the lock, for readers: a line caught half-written does not count. */
int bl_fence_peek(const bl_store *store, uint32_t *incarnation, bl_error *err)
{
    char path[BL_PATH];
    bl_store_path(store, path, "incarnation");
    bl_fence fence = { open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) };
    if (fence.fd < 0)
        return bl_fail_errno(err, "cannot open %s", path);
    int code = bl_fence_read(store, &fence, incarnation, err);
    bl_fence_leave(&fence);
    return code;
}

int bl_fence_write(const bl_store *store, const bl_fence *fence, uint32_t incarnation, bl_error *err)
{
    char line[LINE + 1];
    make_line(store->job.id, incarnation, line);
    for (int i = 0; i < 2; i++)
        if (bl_write_all(fence->fd, line, LINE, (uint64_t)(i * LINE)) != 0
            || (store->stable == BL_STABLE_POWER && fdatasync(fence->fd) != 0))
            return bl_fail_errno(err, "cannot write %s/incarnation", store->dir);
    return BELAY_OK;
}

int bl_fence_check(const bl_store *store, const bl_fence *fence, bl_error *err)
{
    uint32_t running;
    if (!store->joined)
        return bl_fail(err, BELAY_ERR_ARG, "%s was opened for reading: join an incarnation before writing", store->dir);
    int code = bl_fence_read(store, fence, &running, err);
    if (code != BELAY_OK || running == store->incarnation)
        return code;
    if (running > store->incarnation)
        return bl_fail(err, BELAY_ERR_STALE, "this process belongs to incarnation %u of the job in %s, but incarnation %u "
                       "has begun: nothing was written", store->incarnation, store->dir, running);
    return bl_fail(err, BELAY_ERR_DAMAGED, "%s/incarnation says %u, but this process belongs to incarnation %u: "
                   "restart with `belay run`, which rewrites it", store->dir, running, store->incarnation);
}

int bl_fence_enter(const bl_store *store, bl_fence *fence, bl_error *err)
{
    int code = open_locked(store, O_RDONLY, LOCK_SH, fence, err);
    if (code != BELAY_OK)
        return code;
    code = bl_fence_check(store, fence, err);
    if (code != BELAY_OK)
        bl_fence_leave(fence);
    return code;
}

int bl_store_publish(const bl_store *store, const char *from, const char *to, bl_error *err)
{
    bl_fence fence;
    int code = bl_fence_enter(store, &fence, err);
    if (code == BELAY_OK) {
        if (rename(from, to) != 0)
            code = bl_fail_errno(err, "cannot rename %s to %s", from, to);
        bl_fence_leave(&fence);
    }
    if (code != BELAY_OK)
        (void)unlink(from);
    return code;
}
