/* watch.c - one incarnation, from the start of mpirun to the end of the last process it left behind. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run/internal.h"
#include "util/clock.h"

enum { LOOK_MS = 50, LOCAL_MAX = 4096 };
#define TEARDOWN_S 15.0 /* mpirun, told to end, has so long before it is killed */

static int signals_fd = -1;

typedef struct watcher {
    bl_store *store;
    const bl_options *options;
    const bl_events *events;
    bl_watch *watch;
    struct pollfd fds[2 + LOCAL_MAX]; /* signals, mpirun, then one pidfd per local rank that was seen */
    uint32_t rank_of[2 + LOCAL_MAX];
    nfds_t count;
    uint8_t *known;                   /* [ranks] seen, or not on this host */
    uint32_t unknown;
    int forwarded;                    /* the request to stop is on its way to the ranks */
    int64_t grace_until_ns, kill_at_ns;
} watcher;

static int pidfd_of(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

int bl_watch_init(bl_error *err)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGUSR1);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    signals_fd = signalfd(-1, &mask, SFD_CLOEXEC);
    if (signals_fd < 0) return bl_fail_errno(err, "signalfd");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1)) return bl_fail_errno(err, "prctl(PR_SET_CHILD_SUBREAPER)");
    return BELAY_OK;
}

/* The ranks' processes are mpirun's children, not ours: their live tables say who they are, a pidfd when they end. */
static void look_for_ranks(watcher *w)
{
    uint32_t incarnation = bl_store_job(w->store)->incarnation;
    for (uint32_t r = 0; r < w->options->ranks && w->unknown; r++) {
        bl_live live;
        bl_error err;
        if (w->known[r] || bl_live_read(w->store, r, incarnation, &live, &err)) continue;
        int here = bl_live_alive(live.header), fd = here && w->count < 2 + LOCAL_MAX ? pidfd_of(live.header->pid) : -1;
        bl_live_free(&live);
        w->known[r] = 1;
        w->unknown--;
        if (fd < 0) continue;
        w->rank_of[w->count] = r;
        w->fds[w->count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
    }
}

static void note_death(watcher *w, uint32_t rank)
{
    if (w->watch->first_dead >= 0) return;
    bl_live live;
    bl_error err;
    uint32_t state = 0;
    if (bl_live_read(w->store, rank, bl_store_job(w->store)->incarnation, &live, &err) == BELAY_OK) {
        state = live.header->state;
        bl_live_free(&live);
    }
    if (state == BL_LIVE_FINISHED || state == BL_LIVE_STOPPED) return;
    w->watch->first_dead = rank;
    w->watch->first_dead_ns = bl_now_ns();
}

static void force_end(watcher *w, const char *why)
{
    w->watch->forced = 1;
    bl_event(w->events, "end", why, NULL);
    kill(w->watch->mpirun, SIGTERM);
    w->kill_at_ns = bl_ticks_ns() + (int64_t)(TEARDOWN_S * 1e9);
}

static void on_signal(watcher *w)
{
    struct signalfd_siginfo info;
    if (read(signals_fd, &info, sizeof info) != sizeof info) return;
    int number = (int)info.ssi_signo;
    if (w->watch->asked && number != SIGUSR1) {
        if (!w->watch->forced) force_end(w, "asked again: ending the job now");
        return;
    }
    if (w->watch->asked) return;
    char text[128];
    w->watch->asked = number;
    w->grace_until_ns = bl_ticks_ns() + (int64_t)(w->options->settings.grace_s * 1e9);
    snprintf(text, sizeof text, "asked to stop: waiting up to %g s for a checkpoint (SIGTERM or Ctrl-C again: end at once)",
             w->options->settings.grace_s);
    bl_event(w->events, "stopping", text, "signal", 'i', (int64_t)number, NULL);
}

/* mpirun forwards it to every rank: once all are there and, their tables say, listen. */
static void forward_request(watcher *w)
{
    if (!w->watch->asked || w->forwarded || w->unknown) return;
    w->forwarded = 1;
    kill(w->watch->mpirun, SIGUSR1);
}

static void on_time(watcher *w)
{
    int64_t now = bl_ticks_ns();
    if (w->watch->asked && !w->watch->forced && now > w->grace_until_ns)
        force_end(w, "no checkpoint within the grace: ending the job without one");
    if (w->kill_at_ns && now > w->kill_at_ns) {
        kill(w->watch->mpirun, SIGKILL);
        w->kill_at_ns = 0;
    }
}

static int mpirun_ended(watcher *w)
{
    return waitpid(w->watch->mpirun, &w->watch->status, WNOHANG) == w->watch->mpirun;
}

/* Did this process get its environment from bl_launch?  Others may be our children too: a shell that had some before it
 * became us by exec. */
static int of_this_job(const watcher *w, int pid)
{
    char path[64], wanted[BL_PATH_MAX + 16], *line = NULL;
    size_t room = 0;
    int found = 0;
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    snprintf(wanted, sizeof wanted, "BELAY_DIR=%s", w->options->settings.dir);
    FILE *file = fopen(path, "r");
    while (file && !found && getdelim(&line, &room, '\0', file) > 0) found = !strcmp(line, wanted);
    free(line);
    if (file) fclose(file);
    return found;
}

/* Processes mpirun has left behind: those we hold a pidfd of, and orphans that have become our children. */
static void end_leftovers(watcher *w)
{
    for (nfds_t i = 2; i < w->count; i++)
        if (w->fds[i].fd >= 0) syscall(SYS_pidfd_send_signal, w->fds[i].fd, SIGKILL, NULL, 0);
    for (int round = 0; round < 1000; round++) {
        char path[64];
        int child, any = 0;
        snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
        FILE *file = fopen(path, "r");
        while (file && fscanf(file, "%d", &child) == 1) {
            if (!of_this_job(w, child)) continue;
            kill(child, SIGKILL);
            any = 1;
        }
        if (file) fclose(file);
        while (waitpid(-1, NULL, WNOHANG) > 0) continue;
        if (!any) return;
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    }
}

static void serve(watcher *w)
{
    while (!mpirun_ended(w)) {
        int slow = w->unknown == 0 && !w->watch->asked && !w->kill_at_ns;
        if (poll(w->fds, w->count, slow ? 1000 : LOOK_MS) < 0 && errno != EINTR) break;
        if (w->fds[0].revents & POLLIN) on_signal(w);
        for (nfds_t i = 2; i < w->count; i++) {
            if (w->fds[i].fd < 0 || !(w->fds[i].revents & POLLIN)) continue;
            note_death(w, w->rank_of[i]);
            close(w->fds[i].fd);
            w->fds[i].fd = -1;
        }
        on_time(w);
        if (w->unknown) look_for_ranks(w);
        forward_request(w);
    }
    if (w->unknown) look_for_ranks(w);
}

int bl_watch_incarnation(bl_store *store, const bl_options *options, const bl_events *events, bl_watch *watch, bl_error *err)
{
    watcher *w = calloc(1, sizeof *w);
    uint8_t *known = calloc(options->ranks, 1);
    if (!w || !known) {
        free(w);
        free(known);
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory");
    }
    *w = (watcher){ .store = store, .options = options, .events = events, .watch = watch, .known = known,
                    .unknown = options->ranks };
    memset(watch, 0, sizeof *watch);
    watch->first_dead = -1;
    watch->started_ns = bl_now_ns();
    watch->mpirun = bl_launch(options, bl_store_job(store)->incarnation, err);
    int rc = watch->mpirun < 0 ? err->code : BELAY_OK;
    if (rc == BELAY_OK) {
        w->fds[0] = (struct pollfd){ .fd = signals_fd, .events = POLLIN };
        w->fds[1] = (struct pollfd){ .fd = pidfd_of(watch->mpirun), .events = POLLIN };
        w->count = 2;
        serve(w);
        watch->ended_ns = bl_now_ns();
        end_leftovers(w);
        for (nfds_t i = 1; i < w->count; i++)
            if (w->fds[i].fd >= 0) close(w->fds[i].fd);
    }
    free(known);
    free(w);
    return rc;
}
