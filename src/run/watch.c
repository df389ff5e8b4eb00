/* watch.c - mpirun, from its start to the end of the last process it left behind.  When ranks recover in the job it goes on over a
 * death: then what is watched is that they do, and soon. */
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
#define RECOVERY_S 15.0 /* the ranks that live have so long to go on in the job at least, before it is ended and started again */
#define STEPS_WAITED 3  /* or the time of so many safe points: who computes hears of a death in its next call */

static int signals_fd = -1;

struct bl_watcher {
    bl_store *store;
    const bl_options *options;
    const bl_events *events;
    bl_watch *watch;
    pid_t mpirun;
    int injob;                        /* after a death the ranks that live go on by themselves */
    int64_t recover_until_ns;         /* 0: nobody is dead */
    int64_t dead_ns;                  /* since when somebody is */
    double patience_s;                /* for the recovery that is going on */
    int recovering;                   /* an incarnation has been begun in the job, and not all its ranks have been seen */
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
};
typedef struct bl_watcher watcher;

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

/* Of the slowest rank. */
static double seconds_a_safe_point(const watcher *w)
{
    double most = 0;
    for (uint32_t r = 0; r < w->options->ranks; r++) {
        bl_live_header h;
        bl_error ignored;
        if (bl_live_read_header(w->store, r, bl_store_job(w->store)->incarnation, &h, &ignored)) continue;
        double mean = bl_live_seconds_a_safe_point(&h);
        if (mean > most) most = mean;
    }
    return most;
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
    if (!w->injob || w->recover_until_ns) return;
    w->dead_ns = bl_ticks_ns();
    w->patience_s = STEPS_WAITED * seconds_a_safe_point(w);
    if (w->patience_s < RECOVERY_S) w->patience_s = RECOVERY_S;
    w->recover_until_ns = w->dead_ns + (int64_t)(w->patience_s * 1e9);
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
    kill(w->mpirun, SIGTERM);
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
    kill(w->mpirun, SIGUSR1);
}

/* --- recovery in the job --- */

static void look_for_next(watcher *w)
{
    uint32_t running;
    bl_error err;
    if (bl_store_running(w->store, &running, &err) == BELAY_OK && running > bl_store_job(w->store)->incarnation) w->watch->next = running;
}

static void look_at_recovery(watcher *w)
{
    char text[160];
    if (!w->injob || w->watch->forced) return;
    if (w->recovering && !w->unknown) {
        double seconds = bl_seconds(bl_ticks_ns() - w->dead_ns);
        w->recovering = 0;
        w->recover_until_ns = 0;
        snprintf(text, sizeof text, "all ranks are back after %.2f s, in the same mpirun (incarnation %u)", seconds, bl_store_job(w->store)->incarnation);
        bl_event(w->events, "recovered", text, "incarnation", 'i', (int64_t)bl_store_job(w->store)->incarnation, "seconds", 'd', seconds, NULL);
    }
    look_for_next(w);
    if (!w->watch->next && w->recover_until_ns && bl_ticks_ns() > w->recover_until_ns) {
        snprintf(text, sizeof text, "the ranks that live have not gone on in the job for %.0f s: ending it, to start it again", w->patience_s);
        force_end(w, text);
    }
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
    look_at_recovery(w);
    /* Ranks that checkpoint on their own do not end together: each says in its table that it has saved its state. */
    if (w->forwarded && !w->watch->forced && independent(w) && all_stopped(w)) force_end(w, NULL);
    if (independent(w) && !w->watch->asked) bl_own_collect(w->store, &w->collector);
    if (w->watch->asked && !w->watch->forced && now > w->grace_until_ns)
        force_end(w, "no checkpoint within the grace: ending the job without one");
    if (w->kill_at_ns && now > w->kill_at_ns) {
        kill(w->mpirun, SIGKILL);
        w->kill_at_ns = 0;
    }
}

static int mpirun_ended(watcher *w)
{
    return waitpid(w->mpirun, &w->watch->status, WNOHANG) == w->mpirun;
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
    if (w->recover_until_ns) return SOON_MS;
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

/* Until mpirun has ended, or ranks have begun the next incarnation by themselves. */
static void serve(watcher *w)
{
    while (!w->watch->next) {
        int about = next_event(w);
        if ((about == MPIRUN || w->mpirun_fd < 0) && mpirun_ended(w)) {
            w->over = 1;
            break;
        }
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
    if (w->over && w->unknown) look_for_ranks(w);
}

static void forget_ranks(watcher *w)
{
    for (uint32_t r = 0; r < w->options->ranks; r++) {
        if (w->fd[r] >= 0) close(w->fd[r]);
        w->fd[r] = -1;
    }
    memset(w->known, 0, w->options->ranks);
    w->unknown = w->options->ranks;
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
    w->unknown = ranks;
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
    free(w);
}

int bl_watch_begin(bl_store *store, const bl_options *options, const bl_events *events, bl_watcher **made, bl_error *err)
{
    struct bl_watcher *w = *made = calloc(1, sizeof *w);
    if (!w) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory");
    *w = (struct bl_watcher){ .store = store, .options = options, .events = events, .mpirun_fd = -1, .events_fd = -1,
                              .injob = bl_settings_injob(&options->settings) };
    int rc = open_watcher(w, err);
    if (rc == BELAY_OK) {
        w->mpirun = bl_launch(options, bl_store_job(store)->incarnation, err);
        rc = w->mpirun < 0 ? err->code : BELAY_OK;
    }
    if (rc) {
        close_watcher(w);
        *made = NULL;
        return rc;
    }
    w->mpirun_fd = pidfd_of(w->mpirun);
    listen_to(w, signals_fd, SIGNALS);
    listen_to(w, w->mpirun_fd, MPIRUN);
    return BELAY_OK;
}

/* What was asked of the job before is asked still. */
void bl_watch_incarnation(bl_watcher *w, bl_watch *watch)
{
    *watch = (bl_watch){ .first_dead = -1, .started_ns = w->watch ? w->watch->started_ns : bl_now_ns(), .asked = w->watch ? w->watch->asked : 0,
                         .forced = w->watch ? w->watch->forced : 0 };
    w->recovering = w->watch != NULL;
    w->watch = watch;
    if (w->recovering) {
        forget_ranks(w);
        if (!w->dead_ns || !w->recover_until_ns) w->dead_ns = bl_ticks_ns();
        if (w->patience_s < RECOVERY_S) w->patience_s = RECOVERY_S; /* nobody was seen to die */
        w->recover_until_ns = bl_ticks_ns() + (int64_t)(w->patience_s * 1e9);
    }
    serve(w);
    watch->ended_ns = bl_now_ns();
    if (!watch->next) end_leftovers(w);
}

void bl_watch_end(bl_watcher *w)
{
    if (!w->over) {
        kill(w->mpirun, SIGTERM);
        w->kill_at_ns = bl_ticks_ns() + (int64_t)(TEARDOWN_S * 1e9);
        while (!mpirun_ended(w)) {
            nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
            if (bl_ticks_ns() > w->kill_at_ns) kill(w->mpirun, SIGKILL);
        }
        end_leftovers(w);
    }
    close_watcher(w);
}
