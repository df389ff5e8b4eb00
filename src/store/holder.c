/* holder.c - processes of the past that are ended: one that was stopped while it held the incarnation lock would hold up the recovery that
 * replaces it; one whose place was taken would go on with MPI's messages half-way (seen with Open MPI 5.0.7: after one that does not listen
 * to SIGCONT had gone on, the running job stood still).
 *
 * Only a process that is proven to be one, and by the kernel alone, as a file may say anything: it has a live table of this job mapped to
 * count in, which nobody but a rank has; and it has our lock and is stopped, or the table is of the rank and of an incarnation before.
 * A pidfd makes sure that the one that was looked at is the one that is ended.  Where the proof fails (another node, a file system
 * whose device numbers differ) nobody is.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "store/internal.h"

enum { ENDING_MS = 5000 };

static FILE *open_proc(pid_t pid, const char *what)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
    return fopen(path, "re");
}

static int is_stopped(pid_t pid)
{
    char line[1024], state = 0;
    FILE *file = open_proc(pid, "stat");
    const char *after = file && fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL; /* the name may contain anything but this */
    if (file) fclose(file);
    return after && sscanf(after + 1, " %c", &state) == 1 && state == 'T';
}

/* "7f..-7f.. rw-s 00000000 00:2f 1234   /the/job/rank-00002/live-0000" */
static int is_live_table(const bl_store *store, const char *line, uint32_t *rank, uint32_t *incarnation)
{
    int at = 0;
    const char *rest;
    size_t length = strlen(store->dir);
    if (sscanf(line, "%*s rw-s %*s %*s %*s %n", &at) != 0 || !at || strncmp(line + at, store->dir, length) != 0) return 0;
    if (!bl_name_number(line + at + length, "/rank-", 5, BL_RANKS_MAX, rank, &rest)) return 0;
    return bl_name_number(rest, "/live-", 4, BL_INCARNATION_MAX, incarnation, &rest) && *rest == '\n';
}

static int is_rank(const bl_store *store, pid_t pid, uint32_t *rank, uint32_t *incarnation)
{
    char *line = NULL;
    size_t room = 0;
    int found = 0;
    FILE *file = open_proc(pid, "maps");
    while (file && !found && getline(&line, &room, file) > 0) found = is_live_table(store, line, rank, incarnation);
    free(line);
    if (file) fclose(file);
    return found;
}

static int open_pid(pid_t pid)
{
    return pid > 0 && pid != getpid() ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

static int end_it(int fd)
{
    return syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
}

static int end_stopped(const bl_store *store, pid_t pid)
{
    uint32_t rank, incarnation;
    int ended = 0, fd = open_pid(pid);
    if (fd < 0) return 0;
    if (is_stopped(pid) && is_rank(store, pid, &rank, &incarnation)) ended = end_it(fd);
    close(fd);
    return ended;
}

int bl_end_previous(const bl_store *store, uint32_t rank, pid_t pid)
{
    uint32_t found, incarnation;
    int ended = 0, fd = open_pid(pid);
    if (fd < 0) return 0;
    if (is_rank(store, pid, &found, &incarnation) && found == rank && incarnation < store->incarnation) ended = end_it(fd);
    if (ended) (void)poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, ENDING_MS);
    close(fd);
    return ended;
}

int bl_end_stopped_holder(const bl_store *store, int lock)
{
    struct stat status;
    char *line = NULL;
    size_t room = 0;
    int ended = 0;
    FILE *file = fopen("/proc/locks", "re");
    while (file && fstat(lock, &status) == 0 && getline(&line, &room, file) > 0) {
        unsigned high, low;
        uint64_t inode;
        int pid;
        if (sscanf(line, "%*s FLOCK %*s %*s %d %x:%x:%" SCNu64, &pid, &high, &low, &inode) != 4) continue;
        if (inode == status.st_ino && high == major(status.st_dev) && low == minor(status.st_dev)) ended |= end_stopped(store, pid);
    }
    free(line);
    if (file) fclose(file);
    return ended;
}
