#include "store/start.h"

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ENDING_S = 3 };

/* Seconds since the epoch at which the process started, from /proc; 0 if there is no such process, or only what is left of
 * it until somebody waits for it: in a container that may be for ever. */
static double started_s(int32_t pid)
{
    char path[64], line[1024];
    unsigned long long ticks = 0, boot = 0;
    char state;
    snprintf(path, sizeof path, "/proc/%" PRId32 "/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    char *after = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL; /* the name may contain anything but this */
    fclose(file);
    if (!after || sscanf(after + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
                         &state, &ticks) != 2 || state == 'Z' || state == 'X') return 0;
    if (!(file = fopen("/proc/stat", "r"))) return 0;
    while (fgets(line, sizeof line, file) && sscanf(line, "btime %llu", &boot) != 1) continue;
    fclose(file);
    return (double)boot + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

int bl_live_here(const bl_live_header *h)
{
    char host[sizeof h->host] = "";
    gethostname(host, sizeof host - 1);
    return !strncmp(host, h->host, sizeof host);
}

int bl_live_alive(const bl_live_header *h)
{
    if (!bl_live_here(h) || h->pid <= 0) return 0;
    double started = started_s(h->pid);
    /* A process that began after the table did has only inherited the number. */
    return started > 0 && started <= (double)h->started_ns * 1e-9 + 5;
}

int64_t bl_job_alive(bl_store *store, int32_t *pid)
{
    const bl_job *job = bl_store_job(store);
    for (uint32_t rank = 0; rank < job->ranks; rank++) {
        bl_live_header h;
        bl_error err;
        if (bl_live_read_header(store, rank, job->incarnation, &h, &err) || !bl_live_alive(&h)) continue;
        *pid = h.pid;
        return rank;
    }
    return -1;
}

/* mpirun returns, after a failure, before all ranks have quite ended: who starts the job again at once is not turned away. */
static int64_t still_alive(bl_store *store, int32_t *pid)
{
    int64_t rank = bl_job_alive(store, pid);
    for (int turn = 0; rank >= 0 && turn < ENDING_S * 20; turn++) {
        nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
        rank = bl_job_alive(store, pid);
    }
    return rank;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

/* Only a directory that holds a job is removed to make room. */
static int make_room(const char *previous, bl_error *err)
{
    bl_store *store;
    struct stat st;
    if (lstat(previous, &st)) return BELAY_OK;
    int rc = bl_store_open(previous, BL_STABLE_PROCESS, &store, err);
    if (rc) return bl_fail(err, BELAY_ERR_REFUSED, "%s is in the way and holds no job: move it aside", previous);
    bl_store_close(store);
    if (nftw(previous, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT))
        return bl_fail_errno(err, "cannot remove %s, the job before the last", previous);
    return BELAY_OK;
}

static int move_aside(const char *dir, bl_error *err)
{
    char previous[4096];
    size_t length = strlen(dir);
    while (length > 1 && dir[length - 1] == '/') length--;
    if (snprintf(previous, sizeof previous, "%.*s.previous", (int)length, dir) >= (int)sizeof previous)
        return bl_fail(err, BELAY_ERR_ARG, "the path %.80s... is too long", dir);
    int rc = make_room(previous, err);
    if (rc) return rc;
    if (rename(dir, previous)) return bl_fail_errno(err, "cannot move the finished job %s to %s", dir, previous);
    return BELAY_OK;
}

static int resume(bl_store *store, uint32_t ranks, bl_error *err)
{
    const bl_job *job = bl_store_job(store);
    if (job->ranks != ranks)
        return bl_fail(err, BELAY_ERR_FOREIGN,
                       "%s holds an unfinished job of %" PRIu32 " ranks, this run has %" PRIu32
                       ": start %" PRIu32 " ranks to continue it, or use --fresh or another --dir",
                       bl_store_dir(store), job->ranks, ranks, job->ranks);
    return bl_store_next_incarnation(store, err);
}

int bl_job_start(const char *dir, uint32_t ranks, const char *program, enum bl_stable stable, int fresh, bl_store **store,
                 enum bl_start *how, bl_error *err)
{
    *how = BL_START_NEW;
    int rc = bl_store_open(dir, stable, store, err);
    if (rc == BELAY_OK) {
        int32_t pid;
        int64_t rank = still_alive(*store, &pid);
        if (rank >= 0) {
            bl_store_close(*store);
            return bl_fail(err, BELAY_ERR_REFUSED,
                           "%s belongs to a job that is running (rank %" PRId64 " is process %" PRId32
                           "): give this one another directory with --dir or BELAY_DIR", dir, rank, pid);
        }
        if (!fresh && strcmp(bl_store_job(*store)->state, "finished")) {
            *how = BL_START_RESUMED;
            rc = resume(*store, ranks, err);
            if (rc) bl_store_close(*store);
            return rc;
        }
        bl_store_close(*store);
        rc = move_aside(dir, err);
        if (rc) return rc;
    } else if (rc != BELAY_ERR_NONE) {
        return rc;
    }
    return bl_store_create(dir, ranks, program, stable, store, err);
}
