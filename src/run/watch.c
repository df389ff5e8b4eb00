/* watch.c - one incarnation, from the start of mpirun to the end of the last process it left behind. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run/internal.h"
#include "util/clock.h"

enum {
    SOON_MS = 2,    /* between looks while ranks register one after the other: who dies now is to be seen dying */
    LOOK_MS = 50, IDLE_MS = 1000,
    SOON_S = 5, SOON_RANKS = 256,
    NOBODY = -1, SIGNALS = -2, MPIRUN = -3 /* what an event is about; else a rank */
};
#define TEARDOWN_S 15.0 /* mpirun, told to end, has so long before it is killed */

static int signals_fd = -1;

typedef struct watcher {
    bl_store *store;
    const bl_options *options;
    const bl_events *events;
    bl_watch *watch;
    int events_fd;                    /* epoll hands events out in the order they happened: the first death comes first */
    int *fd;                          /* [ranks] pidfd of a local rank that was seen and lives; -1 */
    int mpirun_fd;
    uint8_t *known;                   /* [ranks] seen, or not on this host */
    uint32_t unknown;
    int64_t soon_until_ns;            /* 0: nobody was seen yet */
    int over;                         /* mpirun has ended: whoever is found dead now may have been ended by it */
    int forwarded;                    /* the request to stop is on its way to the ranks */
    int64_t grace_until_ns, kill_at_ns;
    bl_collector collector;
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

static int listen_to(watcher *w, int fd, int about)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = about };
    return fd < 0 ? -1 : epoll_ctl(w->events_fd, EPOLL_CTL_ADD, fd, &event);
}

static void note_death(watcher *w, uint32_t rank)
{
    bl_live_header h;
    bl_error err;
    if (w->watch->first_dead >= 0) return;
    if (bl_live_read_header(w->store, rank, bl_store_job(w->store)->incarnation, &h, &err) == BELAY_OK &&
        (h.state == BL_LIVE_FINISHED || h.state == BL_LIVE_STOPPED))
        return;
    w->watch->first_dead = rank;
    w->watch->first_dead_ns = bl_now_ns();
}

/* The ranks' processes are mpirun's children, not ours: their live tables say who they are, a pidfd when they end.  One
 * that was not seen alive died before the others that are being ended now. */
static void meet(watcher *w, uint32_t rank, const bl_live_header *h)
{
    w->known[rank] = 1;
    w->unknown--;
    if (!w->soon_until_ns) w->soon_until_ns = bl_ticks_ns() + SOON_S * INT64_C(1000000000);
    if (!bl_live_here(h)) return;
    int fd = bl_live_alive(h) ? pidfd_of(h->pid) : -1;
    if (fd < 0) {
        if (!w->over) note_death(w, rank);
    } else if (listen_to(w, fd, (int)rank)) {
        close(fd); /* no more descriptors: mpirun still tells that the job ended */
    } else {
        w->fd[rank] = fd;
    }
}

static void look_for_ranks(watcher *w)
{
    uint32_t incarnation = bl_store_job(w->store)->incarnation;
    for (uint32_t r = 0; r < w->options->ranks && w->unknown; r++) {
        bl_live_header h;
        bl_error err;
        if (!w->known[r] && bl_live_read_header(w->store, r, incarnation, &h, &err) == BELAY_OK) meet(w, r, &h);
    }
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

static int all_stopped(const watcher *w)
{
    for (uint32_t r = 0; r < w->options->ranks; r++) {
        bl_live_header h;
        bl_error err;
        if (bl_live_read_header(w->store, r, bl_store_job(w->store)->incarnation, &h, &err) || h.state != BL_LIVE_STOPPED) return 0;
    }
    return 1;
}

static int independent(const watcher *w)
{
    return bl_settings_alone(&w->options->settings);
}

static void on_time(watcher *w)
{
    int64_t now = bl_ticks_ns();
    /* Ranks that checkpoint on their own do not end together: each says in its table that it has saved its state. */
    if (w->forwarded && !w->watch->forced && independent(w) && all_stopped(w)) force_end(w, NULL);
    if (independent(w) && !w->watch->asked) bl_own_collect(w->store, &w->collector);
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
    for (uint32_t r = 0; r < w->options->ranks; r++)
        if (w->fd[r] >= 0) syscall(SYS_pidfd_send_signal, w->fd[r], SIGKILL, NULL, 0);
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

static int patience_ms(const watcher *w)
{
    if (w->unknown == 0) return w->watch->asked || w->kill_at_ns ? LOOK_MS : IDLE_MS;
    int soon = w->options->ranks <= SOON_RANKS && w->soon_until_ns && bl_ticks_ns() < w->soon_until_ns;
    return soon ? SOON_MS : LOOK_MS;
}

/* What happened next; one event at a time keeps their order. */
static int next_event(watcher *w)
{
    struct epoll_event event;
    return epoll_wait(w->events_fd, &event, 1, patience_ms(w)) == 1 ? event.data.fd : NOBODY;
}

static void serve(watcher *w)
{
    for (;;) {
        int about = next_event(w);
        if ((about == MPIRUN || w->mpirun_fd < 0) && mpirun_ended(w)) break;
        if (about == SIGNALS) on_signal(w);
        if (about >= 0) {
            note_death(w, (uint32_t)about);
            close(w->fd[about]);
            w->fd[about] = -1;
        }
        on_time(w);
        if (w->unknown) look_for_ranks(w);
        forward_request(w);
    }
    w->over = 1;
    if (w->unknown) look_for_ranks(w);
}

static int open_watcher(watcher *w, bl_error *err)
{
    uint32_t ranks = w->options->ranks;
    w->events_fd = epoll_create1(EPOLL_CLOEXEC);
    if (w->events_fd < 0) return bl_fail_errno(err, "epoll_create1");
    w->known = calloc(ranks, 1);
    w->fd = malloc(sizeof *w->fd * ranks);
    if (!w->known || !w->fd) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory");
    for (uint32_t r = 0; r < ranks; r++) w->fd[r] = -1;
    return BELAY_OK;
}

static void close_watcher(watcher *w)
{
    for (uint32_t r = 0; w->fd && r < w->options->ranks; r++)
        if (w->fd[r] >= 0) close(w->fd[r]);
    if (w->mpirun_fd >= 0) close(w->mpirun_fd);
    if (w->events_fd >= 0) close(w->events_fd);
    free(w->known);
    free(w->fd);
}

int bl_watch_incarnation(bl_store *store, const bl_options *options, const bl_events *events, bl_watch *watch, bl_error *err)
{
    watcher w = { .store = store, .options = options, .events = events, .watch = watch, .unknown = options->ranks,
                  .mpirun_fd = -1 };
    memset(watch, 0, sizeof *watch);
    watch->first_dead = -1;
    watch->started_ns = bl_now_ns();
    int rc = open_watcher(&w, err);
    if (rc == BELAY_OK) {
        watch->mpirun = bl_launch(options, bl_store_job(store)->incarnation, err);
        rc = watch->mpirun < 0 ? err->code : BELAY_OK;
    }
    if (rc == BELAY_OK) {
        w.mpirun_fd = pidfd_of(watch->mpirun);
        listen_to(&w, signals_fd, SIGNALS);
        listen_to(&w, w.mpirun_fd, MPIRUN);
        serve(&w);
        watch->ended_ns = bl_now_ns();
        end_leftovers(&w);
    }
    close_watcher(&w);
    return rc;
}
