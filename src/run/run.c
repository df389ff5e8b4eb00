/* run.c - the life of a job: incarnation after incarnation until it is finished, stopped or given up. */
#include "run/run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run/internal.h"
#include "util/clock.h"

enum { EXIT_GIVEN_UP = 1, EXIT_STOPPED = 75 };

typedef struct supervisor {
    bl_options options;
    bl_events events;
    bl_store *store;
    unsigned restarts;
    double redone_s, logged_s;   /* logged_s: of it, had all messages been logged */
    uint64_t place;       /* where the last failure was */
    unsigned same_place;  /* how many in a row were there, none of them injected */
    bl_watcher *watcher;  /* of the mpirun that runs; NULL: none */
    uint64_t fired;       /* bit set of --kill entries that have happened since it was started */
    int injob;            /* ranks have recovered in it */
    unsigned lost;        /* nodes that do not answer since the last death */
} supervisor;

static int fail(const supervisor *s, const bl_error *err)
{
    bl_event(&s->events, "error", err->text, NULL);
    return EXIT_GIVEN_UP;
}

static int independent(const supervisor *s)
{
    return bl_settings_alone(&s->options.settings);
}

static int program_status(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : EXIT_GIVEN_UP;
}

static void set_state(supervisor *s, const char *state)
{
    bl_error err = { 0, "" };
    if (bl_store_set_state(s->store, state, &err)) fail(s, &err);
}

static void plural(unsigned n, const char *word, char *text, size_t size)
{
    snprintf(text, size, "%u %s%s", n, word, n == 1 ? "" : "s");
}

static int finished(supervisor *s, const bl_watch *w)
{
    char restarts[32], logged[80] = "", text[200];
    int status = program_status(w->status);
    if (s->injob && status >= 128) status = 0; /* of a process that is dead, and was replaced */
    set_state(s, "finished");
    plural(s->restarts, "restart", restarts, sizeof restarts);
    if (s->logged_s < s->redone_s - 0.05 && independent(s))
        snprintf(logged, sizeof logged, "; with --logging pessimistic it would have been %.1f s", s->logged_s);
    if (s->restarts) snprintf(text, sizeof text, "finished after %s, %.1f s of work redone%s", restarts, s->redone_s, logged);
    else snprintf(text, sizeof text, "finished without a failure");
    bl_event(&s->events, "finished", s->options.settings.verbose || s->options.json ? text : NULL, "restarts", 'i',
             (int64_t)s->restarts, "redone_seconds", 'd', s->redone_s, "status", 'i', (int64_t)status, NULL);
    return status;
}

static int give_up(supervisor *s, const char *why)
{
    char text[512];
    snprintf(text, sizeof text, "giving up: %.480s", why);
    set_state(s, "failed");
    bl_event(&s->events, "given-up", text, "restarts", 'i', (int64_t)s->restarts, NULL);
    return EXIT_GIVEN_UP;
}

/* Nobody reached MPI_Init with Belay in it. */
static int absent(supervisor *s, const bl_watch *w)
{
    char text[400];
    int status = program_status(w->status);
    if (status == 0) {
        snprintf(text, sizeof text, "%.120s ended without Belay: it is not linked with -lbelay (use --preload), makes no call to "
                 "MPI_Init, or runs with BELAY_OFF", s->options.program[0]);
        set_state(s, "finished");
    } else {
        snprintf(text, sizeof text, "no rank reached MPI_Init: mpirun ended with status %d, its message is above", status);
        set_state(s, "failed");
    }
    bl_event(&s->events, "absent", text, "status", 'i', (int64_t)status, NULL);
    return status;
}

static void forget_fired(bl_settings *settings, uint64_t fired)
{
    unsigned kept = 0;
    for (unsigned k = 0; k < settings->kills; k++)
        if (!((fired >> k) & 1)) settings->kill[kept++] = settings->kill[k];
    settings->kills = kept;
}

static void note(void *context, const char *sentence)
{
    const supervisor *s = context;
    bl_event(&s->events, "warning", sentence, NULL);
}

/* What is lost and from where the job goes on; the ranks verify the data themselves and may have to go back further. */
static void tell_line(supervisor *s, const bl_postmortem *p)
{
    bl_commit_record record = { 0 };
    bl_error err = { 0, "" };
    char text[256];
    int rc = bl_commit_newest(s->store, UINT32_MAX, &record, note, s, &err);
    /* The dead rank may not have heard of the last commit; and a checkpoint of an earlier incarnation is older than the
     * moment this one resumed from it. */
    int64_t from_ns = rc == BELAY_OK && record.time_ns > p->work_from_ns ? record.time_ns : p->work_from_ns;
    double lost_s = bl_seconds(p->died_ns - from_ns);
    if (lost_s < 0) lost_s = 0;
    s->redone_s += lost_s;
    if (rc == BELAY_OK) {
        uint64_t steps = p->safe_point != UINT64_MAX && p->safe_point > record.safe_point ? p->safe_point - record.safe_point : 0;
        snprintf(text, sizeof text, "recovery line: checkpoint %" PRIu32 " (safe point %" PRIu64 ") on every rank; %" PRIu64
                 " safe points, %.1f s of work to redo", record.checkpoint, record.safe_point, steps, lost_s);
        bl_event(&s->events, "line", text, "checkpoint", 'i', (int64_t)record.checkpoint, "safe_point", 'i',
                 (int64_t)record.safe_point, "lost_seconds", 'd', lost_s, NULL);
    } else {
        snprintf(text, sizeof text, "recovery line: the start, there is no checkpoint; %.1f s of work to redo", lost_s);
        bl_event(&s->events, "line", text, "checkpoint", 'i', (int64_t)0, "lost_seconds", 'd', lost_s, NULL);
    }
    bl_commit_clear(&record);
}

/* A program that fails by itself, at the same place, will do so for ever. */
static int hopeless(supervisor *s, const bl_postmortem *p)
{
    uint64_t place = p->safe_point != UINT64_MAX ? p->safe_point : UINT64_MAX - p->calls;
    int injected = p->state == BL_LIVE_KILLED || s->lost;
    s->same_place = injected ? 0 : s->same_place && place == s->place ? s->same_place + 1 : 1;
    s->place = place;
    return s->same_place >= BL_SAME_PLACE_MAX;
}

/* 0: go on with the next incarnation; else the exit status is in *status. */
static int after_death(supervisor *s, const bl_watch *w, const bl_postmortem *p, int *status)
{
    char how[320], text[512];
    bl_postmortem_text(p, &s->options, how, sizeof how);
    bl_event(&s->events, "death", how, "rank", 'i', p->rank, "safe_point", 'i',
             p->safe_point == UINT64_MAX ? (int64_t)-1 : (int64_t)p->safe_point, "injected", 'i',
             (int64_t)(p->state == BL_LIVE_KILLED), NULL);
    if (w->asked) {
        set_state(s, "stopped");
        *status = 128 + w->asked;
        return 1;
    }
    if (hopeless(s, p)) {
        snprintf(text, sizeof text, "%d times in a row the job failed at the same place without being killed (%s): another "
                 "restart will not help", BL_SAME_PLACE_MAX, how);
        *status = give_up(s, text);
        return 1;
    }
    if (s->restarts == s->options.settings.max_restarts) {
        snprintf(text, sizeof text, "%u restarts are used up (max-restarts); the checkpoints in %.300s stay, the same command "
                 "continues from them", s->restarts, s->options.settings.dir);
        *status = give_up(s, text);
        return 1;
    }
    if (independent(s)) {
        int local = w->next && s->options.settings.logging != BL_LOGGING_NONE;
        uint8_t *stayed = local ? bl_own_stayed(s->store, bl_store_job(s->store)->incarnation, w->next) : NULL;
        s->redone_s += bl_own_line(s->store, &s->events, p, stayed, &s->logged_s);
        free(stayed);
    }
    if (!independent(s)) tell_line(s, p);
    s->fired |= p->fired;
    return 0;
}

/* Where the job goes on when nodes are gone; 1 when it cannot. */
static int leave_out(supervisor *s, uint32_t room, int *status)
{
    char lost[160], used[160], text[600];
    uint32_t processes = bl_processes(&s->options);
    if (!s->lost) return 0;
    bl_nodes_name_lost(&s->options.nodes, lost, sizeof lost);
    bl_nodes_name_used(&s->options.nodes, used, sizeof used);
    const char *nodes = s->lost == 1 ? "node" : "nodes", *answer = s->lost == 1 ? "does" : "do";
    if (room < processes) {
        snprintf(text, sizeof text, "%s %s %s not answer, and %" PRIu32 " slots remain for %" PRIu32 " processes; the checkpoints in %.100s stay, "
                 "the same command continues from them", nodes, lost, answer, room, processes, s->options.settings.dir);
        *status = give_up(s, text);
        return 1;
    }
    snprintf(text, sizeof text, "%s %s %s not answer: going on on %s", nodes, lost, answer, used);
    bl_event(&s->events, "nodes", text, "lost", 's', lost, "used", 's', used, NULL);
    return 0;
}

static int next_incarnation(supervisor *s, bl_error *err)
{
    char text[128];
    int rc = bl_store_next_incarnation(s->store, err);
    if (rc) return rc;
    s->restarts++;
    snprintf(text, sizeof text, "relaunching (restart %u of %u, incarnation %" PRIu32 ")", s->restarts,
             s->options.settings.max_restarts, bl_store_job(s->store)->incarnation);
    bl_event(&s->events, "relaunch", text, "incarnation", 'i', (int64_t)bl_store_job(s->store)->incarnation, NULL);
    return BELAY_OK;
}

static int end_watch(supervisor *s)
{
    if (s->watcher) bl_watch_end(s->watcher);
    s->watcher = NULL;
    return 1;
}

/* The ranks that live have gone on in the job; 1 when it is over all the same. */
static int went_on(supervisor *s, const bl_watch *w, bl_postmortem *p, int *status)
{
    char text[128];
    bl_error err = { 0, "" };
    if (p->end != BL_END_DEATH && p->end != BL_END_ABSENT) p->state = 0;
    if (p->end == BL_END_ABSENT) {
        p->rank = w->first_dead;
        p->safe_point = UINT64_MAX;
        p->died_ns = w->ended_ns;
    }
    if (after_death(s, w, p, status)) return end_watch(s);
    int rc = bl_store_join(s->store, w->next, &err);
    if (rc == BELAY_ERR_STALE) return 0; /* another has been begun meanwhile, which will be seen next */
    if (rc) {
        *status = fail(s, &err);
        return end_watch(s);
    }
    s->restarts++;
    s->injob = 1;
    snprintf(text, sizeof text, "recovering in the job (restart %u of %u, incarnation %" PRIu32 ")", s->restarts, s->options.settings.max_restarts, w->next);
    bl_event(&s->events, "injob", text, "incarnation", 'i', (int64_t)w->next, NULL);
    return 0;
}

/* Is a node the reason that ranks are dead?  Returns the slots of those that are there. */
static uint32_t look_at_nodes(supervisor *s, const bl_watch *w, const bl_postmortem *p)
{
    char lost[8];
    if (!s->options.nodes.count || w->asked || (p->end != BL_END_DEATH && p->end != BL_END_ABSENT)) return 0;
    uint32_t room = bl_nodes_look(&s->options);
    s->lost = bl_nodes_name_lost(&s->options.nodes, lost, sizeof lost);
    return room;
}

/* One incarnation; 1 when the job's life is over. */
static int live_once(supervisor *s, bl_watch *w, int *status)
{
    bl_postmortem p;
    bl_error err = { 0, "" };
    s->lost = 0;
    if (!s->watcher && bl_watch_begin(s->store, &s->options, &s->events, &s->watcher, &err)) {
        *status = fail(s, &err);
        return 1;
    }
    bl_watch_incarnation(s->watcher, w);
    bl_postmortem_of(s->store, &s->options, w, &p);
    if (w->next) return went_on(s, w, &p, status);
    end_watch(s);
    uint32_t room = look_at_nodes(s, w, &p);
    switch (p.end) {
    case BL_END_FINISHED: *status = finished(s, w); return 1;
    case BL_END_STOPPED:
        if (independent(s)) set_state(s, "stopped"); /* else the ranks have written it */
        bl_event(&s->events, "stopped", "stopped on request; the same command continues the job", NULL);
        *status = EXIT_STOPPED;
        return 1;
    case BL_END_REFUSED: *status = give_up(s, "a rank could not go on and a restart would not change that; its reason is above"); return 1;
    case BL_END_ABSENT:
        if (s->restarts == 0 && !s->lost) {
            *status = absent(s, w);
            return 1;
        }
        p.rank = -1;
        p.safe_point = UINT64_MAX;
        break;
    case BL_END_DEATH: break;
    }
    if (after_death(s, w, &p, status) || leave_out(s, room, status)) return 1;
    forget_fired(&s->options.settings, s->fired);
    s->fired = 0;
    if (next_incarnation(s, &err)) {
        *status = fail(s, &err);
        return 1;
    }
    return 0;
}

/* One supervisor a directory: DIR/supervisor stays locked as long as we live.  A directory without a job has nothing to
 * protect yet. */
static int hold(const char *dir, bl_error *err)
{
    char path[BL_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/job.json", dir);
    if (access(path, F_OK)) return BELAY_OK;
    snprintf(path, sizeof path, "%s/supervisor", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666); /* not closed: the lock goes when we do */
    if (fd < 0) return bl_fail_errno(err, "cannot open %s", path);
    if (!flock(fd, LOCK_EX | LOCK_NB)) return BELAY_OK;
    if (errno != EWOULDBLOCK) return bl_fail_errno(err, "cannot lock %s", path);
    return bl_fail(err, BELAY_ERR_REFUSED, "another `belay run` is running the job in %s: give this one another directory "
                   "with --dir", dir);
}

static int start(supervisor *s, bl_error *err)
{
    enum bl_start how;
    char text[BL_PATH_MAX + 400], cwd[BL_PATH_MAX / 2];
    bl_settings *settings = &s->options.settings;
    /* Ranks may run elsewhere: the directory is handed to them as an absolute path. */
    if (settings->dir[0] != '/') {
        if (!getcwd(cwd, sizeof cwd)) return bl_fail_errno(err, "the current directory has no name");
        char relative[sizeof settings->dir / 2];
        strcpy(relative, settings->dir);
        snprintf(settings->dir, sizeof settings->dir, "%s/%s", cwd, relative);
    }
    int rc = hold(settings->dir, err);
    if (rc == BELAY_OK)
        rc = bl_job_start(settings->dir, s->options.ranks, s->options.program[0],
                          settings->stable_power ? BL_STABLE_POWER : BL_STABLE_PROCESS, s->options.fresh, &s->store, &how, err);
    if (rc == BELAY_OK && how == BL_START_NEW) rc = hold(settings->dir, err); /* it is another directory now */
    if (rc) return rc;
    const bl_job *job = bl_store_job(s->store);
    snprintf(text, sizeof text, "%s %.200s with %" PRIu32 " ranks, job %s in %s",
             how == BL_START_RESUMED ? "continuing" : "starting", s->options.program[0], job->ranks, job->id, settings->dir);
    bl_event(&s->events, "start", settings->verbose || s->options.json ? text : NULL, "job", 's', job->id, "ranks", 'i',
             (int64_t)job->ranks, "incarnation", 'i', (int64_t)job->incarnation, "dir", 's', settings->dir, NULL);
    return BELAY_OK;
}

int bl_run_main(int argc, char **argv)
{
    static supervisor s;
    bl_error err = { 0, "" };
    int status = bl_options_parse(argc, argv, &s.options);
    if (status != BL_OPTIONS_RUN) return status;
    s.events.json = s.options.json;
    if (bl_find_mpirun(&s.options, &err) || bl_watch_init(&err) || start(&s, &err)) return fail(&s, &err);
    bl_watch watch;
    while (!live_once(&s, &watch, &status)) continue;
    bl_store_close(s.store);
    return status;
}
