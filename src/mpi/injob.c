/* injob.c - who notices that a rank is dead, how the others hear of it, who takes its place, and the way back (injob.h).
 *
 * MPI tells a death as an error of the call that depends on it.  Our error handler is on every communicator, so any call of the
 * program's or ours leads here, out of which there is no return: longjmp to belay_main.  A call on ranks that live is not
 * woken by a death; a revoked communicator wakes it, so whoever comes here revokes all it knows.
 */
#include "config.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mpi/injob.h"

#include "mpi/carry.h"
#include "mpi/checkpoint.h"
#include "mpi/log.h"
#include "mpi/redundancy.h"
#include "mpi/ride.h"
#include "util/clock.h"

#ifdef BL_HAVE_ULFM
#include <mpi-ext.h>
#endif

extern char **environ;

static struct injob {
    jmp_buf main;            /* in belay_main */
    int inside;              /* it has been called, and has not returned */
    int initialised;         /* MPI is, by an earlier turn of the program or before belay_main */
    int before_main;         /* MPI_Init was called before belay_main */
    int active;              /* a death leads to a recovery */
    int busy;                /* one is going on, or the job is at its end: errors are looked at by who calls MPI */
    unsigned recoveries;
    int vote;                /* enum vote: of this rank, in a recovery */
    int alone;               /* this process goes back, or has come, while others stay */
    int knows_first;
    uint32_t first;          /* incarnation of this mpirun */
    MPI_Comm all;            /* ranks and spares that live */
    MPI_Comm world;          /* the ranks, when a recovery is over */
    int started;             /* a process was started to take a place */
    int role;                /* rank in the program's world; SPARE */
    int ranks;               /* of the program; 0: not known yet */
    int (*program)(int, char **); /* of belay_main; argv is its caller's */
    int argc;
    char **argv;
    timer_t watchdog;
    int watched;             /* it is there */
} job = { .all = MPI_COMM_NULL };

unsigned bl_injob_recoveries(void)
{
    return job.recoveries;
}

int bl_injob_again(void)
{
    return job.initialised;
}

int bl_injob_first_incarnation(uint32_t *incarnation)
{
    *incarnation = job.first;
    return job.knows_first;
}

void bl_injob_began(uint32_t incarnation)
{
    if (job.knows_first || job.recoveries) return;
    job.knows_first = 1;
    job.first = incarnation;
}

/* What a rank says in a recovery.  Who can neither stay nor go back alone takes all with it. */
enum vote { ALL_GO_BACK, GOES_BACK, STAYS };

int bl_injob_alone(void)
{
    return job.alone;
}

int bl_injob_active(void)
{
    return job.active;
}

static const char place_taker[] = "BELAY_TAKES_PLACE"; /* in the environment of a process that was started in a recovery */

int bl_injob_spawned(void)
{
    return getenv(place_taker) != NULL;
}

/* --- the program, again and again --- */

/* Programs take their arguments apart. */
static char **copy_of(int argc, char *const *argv)
{
    char **copy = calloc((size_t)argc + 1, sizeof *copy);
    for (int i = 0; copy && i < argc; i++)
        if (argv[i] && !(copy[i] = strdup(argv[i]))) return NULL;
    return copy;
}

static int once(void)
{
    char **arguments = copy_of(job.argc, job.argv);
    if (!arguments) {
        bl_say("out of memory for the arguments of the program");
        exit(1);
    }
    return job.program(job.argc, arguments); /* which may have taken them apart: they stay */
}

int belay_main(int (*program)(int argc, char **argv), int argc, char **argv)
{
    if (!program || argc < 0 || job.inside) {
        bl_error err = { 0, "" };
        bl_fail(&err, BELAY_ERR_ARG, job.inside ? "belay_main was called twice" : "belay_main: there is no program");
        return bl_failed(BELAY_ERR_ARG, &err);
    }
    job.program = program;
    job.argc = argc;
    job.argv = argv;
    job.inside = 1;
    PMPI_Initialized(&job.before_main);
    if (setjmp(job.main) != 0) {
        if (job.before_main) bl_begin();
    }
    int status = once();
    job.inside = 0;
    return status;
}

#ifndef BL_HAVE_ULFM

void bl_injob_before(void)
{
}

int bl_injob_open(bl_error *err)
{
    bl_rt.world = MPI_COMM_WORLD;
    if (bl_rt.settings.recovery == BL_RECOVERY_INJOB)
        return bl_fail(err, BELAY_ERR_REFUSED, "recovery=injob needs an MPI with ULFM (Open MPI 5, started with --with-ft ulfm), and this Belay was built with one that has none; use recovery=relaunch");
    if (bl_rt.settings.spares)
        return bl_fail(err, BELAY_ERR_REFUSED, "spares=%u: this Belay was built with an MPI without ULFM, in which nobody can take the place of a dead rank; leave spares out", bl_rt.settings.spares);
    return BELAY_OK;
}

void bl_injob_end(void)
{
}

void bl_injob_go_back(void)
{
    abort(); /* nobody has found a rank dead */
}

void bl_injob_mend(void)
{
    abort();
}

int bl_injob_hurt(MPI_Comm comm)
{
    (void)comm;
    return 0;
}

void bl_injob_revoke(MPI_Comm comm)
{
    (void)comm;
}

int bl_injob_agree(MPI_Comm comm, int flag)
{
    (void)comm;
    return flag;
}

#else

enum { SPARE = -1, TAG_OVER = 1, NAP_NS = 1000000, REVOKED_AT_ONCE = 4, ROUNDS_MOST = 100, SAYERS = 2,
       STUCK_S = 60, STUCK_STEPS = 5, STUCK_SPARE_S = 3600 };

void bl_injob_before(void)
{
    struct sigaction old;
    bl_settings settings;
    bl_error ignored;
    if (bl_settings_load(&settings, &ignored) || !bl_settings_injob(&settings)) return;
    if (sigaction(SIGPIPE, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN); /* a dead rank's connection is an error of a call, not the end of this process */
}

static void nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = NAP_NS }, NULL);
}

static int is_failure(int code)
{
    int class = MPI_SUCCESS;
    if (code == MPI_SUCCESS) return 0;
    PMPI_Error_class(code, &class);
    return class == MPIX_ERR_PROC_FAILED || class == MPIX_ERR_PROC_FAILED_PENDING || class == MPIX_ERR_REVOKED;
}

void bl_injob_revoke(MPI_Comm comm)
{
    MPIX_Comm_revoke(comm);
}

int bl_injob_agree(MPI_Comm comm, int flag)
{
    return MPIX_Comm_agree(comm, &flag) == MPI_SUCCESS && flag;
}

/* Of the ranks: a spare is missed when it is needed. */
static int a_rank_is_dead(void)
{
    MPI_Group dead, all;
    int many = 0, size, found = 0;
    MPIX_Comm_failure_ack(job.all);
    if (MPIX_Comm_failure_get_acked(job.all, &dead) != MPI_SUCCESS) return 1;
    PMPI_Group_size(dead, &many);
    PMPI_Comm_group(job.all, &all);
    PMPI_Group_size(all, &size);
    for (int i = 0; i < many && !found; i++) {
        int at;
        PMPI_Group_translate_ranks(dead, 1, &i, all, &at);
        found = at >= 0 && at < job.ranks; /* ranks come before spares in job.all */
    }
    PMPI_Group_free(&all);
    PMPI_Group_free(&dead);
    return found;
}

/* A collective that a death has broken may say anything. */
int bl_injob_hurt(MPI_Comm comm)
{
    int revoked = 0;
    MPIX_Comm_is_revoked(comm, &revoked);
    return revoked || a_rank_is_dead();
}

/* --- what MPI calls when a call has failed --- */

static MPI_Errhandler handler_of(MPI_Comm comm)
{
    for (unsigned i = 0; i < bl_rt.comms; i++)
        if (bl_rt.comm[i]->handle == comm && bl_rt.comm[i]->handler) return bl_rt.comm[i]->handler;
    return MPI_ERRORS_ARE_FATAL;
}

static void fatal(MPI_Comm comm, int code)
{
    char text[MPI_MAX_ERROR_STRING] = "", name[MPI_MAX_OBJECT_NAME];
    int length = 0;
    bl_end_if_replaced();
    PMPI_Error_string(code, text, &length);
    bl_comm_text(comm, name, sizeof name);
    bl_say("rank %d: an error of MPI on %s, which ends the job (MPI_ERRORS_ARE_FATAL): %s", bl_rt.rank, name, text);
    PMPI_Abort(MPI_COMM_WORLD, code);
}

static void on_error(MPI_Comm *comm, int *code, ...)
{
    if (is_failure(*code) || (!job.busy && bl_injob_hurt(*comm))) {
        if (bl_rt.completing) bl_rt.hurt = 1;
        else if (!job.busy) bl_injob_go_back();
        return;
    }
    if (job.busy) return;
    MPI_Errhandler theirs = handler_of(*comm);
    if (theirs == MPI_ERRORS_RETURN) return;
    if (theirs == MPI_ERRORS_ARE_FATAL) {
        fatal(*comm, *code);
        return;
    }
    PMPI_Comm_set_errhandler(*comm, theirs);
    PMPI_Comm_call_errhandler(*comm, *code);
    PMPI_Comm_set_errhandler(*comm, bl_rt.errors);
}

/* --- the end of an incarnation in a process that goes on --- */

/* Measured with Open MPI 5.0.7: hundreds at once are more than its queues in shared memory take, and some are lost. */
static void revoke_one(MPI_Comm comm, unsigned turn)
{
    int flag;
    MPIX_Comm_revoke(comm);
    if (turn % REVOKED_AT_ONCE != REVOKED_AT_ONCE - 1) return;
    PMPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_SELF, &flag, MPI_STATUS_IGNORE);
    nap();
}

static void revoke_all(void)
{
    for (unsigned i = 0; i < bl_rt.owns; i++) MPIX_Comm_revoke(bl_rt.own[i]);
    for (unsigned i = 0; i < bl_rt.comms; i++)
        if (bl_rt.comm[i]->size > 1 || bl_rt.comm[i]->local) revoke_one(bl_rt.comm[i]->handle, i);
    if (bl_rt.world != MPI_COMM_NULL && bl_rt.world != MPI_COMM_WORLD) MPIX_Comm_revoke(bl_rt.world);
    MPIX_Comm_revoke(job.all);
}

/* Everything of this incarnation goes, as at the end of a process: memory, files, threads, requests.  Its communicators are revoked, so
 * what was under way on them is over; but the program's and our memory is not MPI's any more only when MPI says so. */
static void abandon(void)
{
    bl_count_no_more();
    bl_requests_abandon();
    bl_ride_abandon();
    bl_carry_abandon();
    bl_log_abandon();
    bl_stage_abandon();
    bl_local_abandon();
    if (bl_rt.drive || (bl_settings_alone(&bl_rt.settings) && bl_rt.owns)) bl_safe_points_free();
    bl_redundancy_free();
    bl_release();
    MPI_Errhandler errors = bl_rt.errors;
    int asked = bl_rt.asked;
    uint32_t passed[BL_POINTS];
    memcpy(passed, bl_rt.point_passed, sizeof passed);
    memset(&bl_rt, 0, sizeof bl_rt);
    memcpy(bl_rt.point_passed, passed, sizeof passed);
    bl_rt.errors = errors;
    bl_rt.asked = asked;
}

/* --- who takes which place --- */

typedef struct place { int role, ranks, vote; } place;

/* The k-th rank that nobody has gets the k-th spare.  Number of ranks that stay without; *mine gets what this process is. */
static int assign(const place *of, int processes, int me, uint8_t *taken, int *mine)
{
    int next = 0, missing = 0;
    for (int p = 0; p < processes; p++)
        if (of[p].role != SPARE) taken[of[p].role] = 1;
    for (int rank = 0; rank < job.ranks; rank++) {
        if (taken[rank]) continue;
        while (next < processes && of[next].role != SPARE) next++;
        if (next == processes) {
            missing++;
            continue;
        }
        if (next == me) *mine = rank;
        next++;
    }
    return missing;
}

/* Does anybody stay, and can all others go back alone? */
static int is_local(const place *of, int processes)
{
    int stay = 0;
    for (int p = 0; p < processes; p++) {
        if (of[p].role == SPARE) continue;
        if (of[p].vote == ALL_GO_BACK) return 0;
        stay |= of[p].vote == STAYS;
    }
    return stay;
}

/* Among those who live, one round; all come to the same: 0: once more.  *too_few: so many ranks nobody is there for. */
static int settle(MPI_Comm alive, int *role, MPI_Comm *world, int *too_few)
{
    int processes, me, flag = 1, missing = 0;
    PMPI_Comm_size(alive, &processes);
    PMPI_Comm_rank(alive, &me);
    place *of = malloc((size_t)processes * sizeof *of), mine = { job.role, job.ranks, job.vote };
    *world = MPI_COMM_NULL;
    *role = job.role;
    if (!of) flag = 0;
    if (flag && PMPI_Allgather(&mine, 3, MPI_INT, of, 3, MPI_INT, alive) != MPI_SUCCESS) flag = 0;
    for (int p = 0; flag && p < processes; p++)
        if (of[p].ranks > job.ranks) job.ranks = of[p].ranks;
    uint8_t *taken = calloc((size_t)job.ranks + 1, 1); /* every process has heard of the same number */
    if (!taken) flag = 0;
    if (flag) missing = assign(of, processes, me, taken, role);
    if (flag) job.alone = is_local(of, processes);
    free(taken);
    free(of);
    if (flag && !missing && PMPI_Comm_split(alive, *role == SPARE ? MPI_UNDEFINED : 0, *role, world) != MPI_SUCCESS) flag = 0;
    if (!flag) MPIX_Comm_revoke(alive); /* who still waits in one of these calls comes out */
    if (MPIX_Comm_agree(alive, &flag) != MPI_SUCCESS) flag = 0;
    *too_few = missing;
    return flag;
}

static void given_up(const char *why) __attribute__((noreturn));
static void given_up(const char *why)
{
    int me = 0;
    bl_end_if_replaced();
    if (job.all != MPI_COMM_NULL) PMPI_Comm_rank(job.all, &me);
    if (me < SAYERS) bl_say("%s", why);
    else nanosleep(&(struct timespec){ .tv_nsec = 500000000 }, NULL); /* time to say it before all are ended */
    PMPI_Abort(MPI_COMM_WORLD, 1);
    _exit(1);
}

/* The words of /proc/self/cmdline, which has them as the program was started, whatever language it is in; NULL: out of memory. */
static char *command_line(size_t *bytes)
{
    char *text = NULL;
    size_t room = 0;
    FILE *file = fopen("/proc/self/cmdline", "r");
    FILE *out = file ? open_memstream(&text, &room) : NULL;
    for (int c; out && (c = getc(file)) != EOF;) putc(c, out);
    if (file) fclose(file);
    if (out && fclose(out)) return NULL;
    *bytes = room;
    return text;
}

/* A process started by MPI has the environment of mpirun, not ours: env(1) gives it what the loader and Belay need. */
static char **command(const char *program)
{
    size_t variables = 0, n = 0, bytes = 0;
    while (environ[variables]) variables++;
    char *words = command_line(&bytes), *taker = malloc(sizeof place_taker + 2);
    char **argv = words ? calloc(variables + bytes + 3, sizeof *argv) : NULL;
    if (!argv || !taker) return NULL;
    for (size_t i = 0; i < variables; i++)
        if (!strncmp(environ[i], "BELAY_", 6) || !strncmp(environ[i], "LD_", 3)) argv[n++] = environ[i];
    snprintf(taker, sizeof place_taker + 2, "%s=1", place_taker);
    argv[n++] = taker;
    argv[n++] = (char *)(uintptr_t)program;
    for (size_t at = strlen(words) + 1; at < bytes; at += strlen(words + at) + 1) argv[n++] = words + at;
    return argv;
}

/* Another process for each rank that nobody is there for; they come to rebuild as we do.  0: it did not work. */
static int spawn(int many)
{
    MPI_Comm between, both;
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) return 0;
    self[length] = '\0';
    char **argv = command(self);
    int failed = !argv || PMPI_Comm_spawn("env", argv, many, MPI_INFO_NULL, 0, job.all, &between, MPI_ERRCODES_IGNORE);
    free(argv);
    if (failed || PMPI_Intercomm_merge(between, 0, &both)) return 0;
    PMPI_Comm_set_errhandler(both, MPI_ERRORS_RETURN);
    job.all = both;
    job.started = 1;
    return 1;
}

/* Nobody waits longer in a recovery: another death has caught MPI in the middle of it.  A rank that computes hears of a death in its next
 * call, and a spare does not know how long that may take. */
static int patience(void)
{
    double steps = bl_rt.live.header ? STUCK_STEPS * bl_live_seconds_a_safe_point(bl_rt.live.header) : 0;
    if (job.role == SPARE) return STUCK_SPARE_S;
    return steps > STUCK_SPARE_S ? STUCK_SPARE_S : steps > STUCK_S ? (int)steps : STUCK_S;
}

static void watch_over(int seconds)
{
    struct itimerspec when = { .it_value = { .tv_sec = seconds } };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
    if (!job.watched) job.watched = !timer_create(CLOCK_MONOTONIC, &event, &job.watchdog);
    if (job.watched) timer_settime(job.watchdog, 0, &when, NULL);
}

/* Every process that lives comes here, ranks and spares. */
static void rebuild(void)
{
    for (int round = 0; round < ROUNDS_MOST; round++) {
        MPI_Comm alive = MPI_COMM_NULL, world;
        int role, too_few;
        if (MPIX_Comm_shrink(job.all, &alive) != MPI_SUCCESS || alive == MPI_COMM_NULL) {
            nap();
            continue;
        }
        PMPI_Comm_set_errhandler(alive, MPI_ERRORS_RETURN);
        bl_point(BL_POINT_shrink);
        int settled = settle(alive, &role, &world, &too_few);
        job.all = alive; /* the one before stays, with what may still arrive on it */
        if (!settled) {
            MPIX_Comm_revoke(alive);
            continue;
        }
        if (too_few) {
            if (!spawn(too_few)) given_up("a rank has died, no spare is left, and no other process could be started in the job to take its place");
            continue;
        }
        bl_point(BL_POINT_settle);
        PMPI_Comm_set_errhandler(alive, bl_rt.errors);
        job.role = role;
        if (world == MPI_COMM_NULL) return;
        PMPI_Comm_set_name(world, "MPI_COMM_WORLD");
        PMPI_Comm_set_errhandler(world, bl_rt.errors);
        job.world = world;
        return;
    }
    given_up("the ranks that live could not agree on who takes the place of the dead");
}

static void begin_recovery(void)
{
    job.busy = 1;
    bl_rt.completing = bl_rt.hurt = 0;
    bl_end_if_replaced();
    if (job.all == MPI_COMM_NULL) given_up("a rank has died while the others were starting");
    watch_over(patience());
    revoke_all();
}

static void end_recovery(void)
{
    job.recoveries++;
    job.busy = 0;
    watch_over(0);
}

/* This rank goes back, as all do, or alone. */
static void back_to_main(void) __attribute__((noreturn));
static void back_to_main(void)
{
    if (!job.inside) given_up("a rank has died, and the program does not run in belay_main, to which the others could go back: the job has to be started again");
    abandon();
    bl_rt.world = job.world;
    end_recovery();
    longjmp(job.main, 1);
}

static void get_together(void)
{
    /* Measured with Open MPI 5.0.7: a process that was started later, and lives, is not woken by what is revoked. */
    if (job.started) given_up("a rank has died again after a process was started in the job to take a place: MPI cannot do that twice, so the job has to be started again");
    bl_point(BL_POINT_detect);
    rebuild();
}

/* It is one more of the dead; in time for the others to find it so together with them. */
static void end_without_main(void)
{
    if (job.vote != GOES_BACK || job.inside) return;
    bl_say("rank %d ends itself, as the program does not run in belay_main: another process takes its place", bl_rt.rank);
    kill(getpid(), SIGKILL);
}

void bl_injob_go_back(void)
{
    begin_recovery();
    job.vote = bl_local_may_go_back() ? GOES_BACK : ALL_GO_BACK;
    if (bl_rt.local && !bl_rejoining) bl_say("rank %d goes back as well: it is in a call that it cannot stay in", bl_rt.rank);
    end_without_main();
    get_together();
    back_to_main();
}

void bl_injob_mend(void)
{
    bl_rt.completing = 1;
    bl_log_all_begun(); /* this rank may not have looked */
    do {
        begin_recovery();
        const char *why = bl_local_cannot_stay();
        job.vote = !why ? STAYS : bl_local_may_go_back() ? GOES_BACK : ALL_GO_BACK;
        if (why) bl_say("rank %d goes back as well: %s", bl_rt.rank, why);
        end_without_main();
        get_together();
        if (job.vote != STAYS || !job.alone) back_to_main();
    } while (!bl_local_stay(job.world));
    job.alone = 0;
    end_recovery();
}

/* --- spares --- */

static void leave(void) __attribute__((noreturn));
static void leave(void)
{
    job.busy = 1;
    bl_rt.off = 1;
    PMPI_Finalize();
    exit(0);
}

/* Until it has a rank; it sleeps between two looks. */
static void wait_for_a_rank(void)
{
    job.busy = 1;
    while (job.role == SPARE) {
        int there = 0;
        MPI_Status status;
        int rc = PMPI_Iprobe(MPI_ANY_SOURCE, TAG_OVER, job.all, &there, &status);
        if (rc == MPI_SUCCESS && there) leave();
        if (rc != MPI_SUCCESS) {
            int class = MPI_SUCCESS;
            PMPI_Error_class(rc, &class);
            if (class != MPIX_ERR_REVOKED && !a_rank_is_dead()) continue;
            MPIX_Comm_revoke(job.all);
            watch_over(patience());
            rebuild();
            watch_over(0);
            job.recoveries++;
        }
        nap();
    }
    bl_rt.world = job.world;
    job.busy = 0;
}

/* Of a process that was started in the middle of a recovery. */
static void join(void)
{
    MPI_Comm parent;
    job.busy = job.active = job.initialised = job.started = 1;
    job.role = SPARE;
    watch_over(STUCK_S);
    unsetenv(place_taker); /* what this one starts is the program's */
    PMPI_Comm_get_parent(&parent);
    PMPI_Intercomm_merge(parent, 1, &job.all);
    PMPI_Comm_set_errhandler(job.all, MPI_ERRORS_RETURN);
    rebuild();
    watch_over(0);
    job.recoveries++;
    if (job.role == SPARE) wait_for_a_rank();
    bl_rt.world = job.world;
    job.busy = 0;
}

/* --- beginning and end --- */

/* Is ULFM switched on in this run? */
static int switched_on(void)
{
    const char *text = getenv("OMPI_MCA_mpi_ft_enable");
    return text && (!strcmp(text, "1") || !strcmp(text, "true"));
}

int bl_injob_open(bl_error *err)
{
    int processes, me;
    if (job.initialised) return BELAY_OK; /* bl_rt.world is what rebuild has made it */
    bl_rt.world = MPI_COMM_WORLD;
    if (!bl_settings_injob(&bl_rt.settings)) return BELAY_OK;
    if (!switched_on()) {
        if (bl_rt.settings.recovery == BL_RECOVERY_AUTO && !bl_rt.settings.spares) return BELAY_OK;
        return bl_fail(err, BELAY_ERR_REFUSED, "recovery in the job needs mpirun --with-ft ulfm, which `belay run` gives it; or use recovery=relaunch without spares");
    }
    if (bl_rt.thread_level == MPI_THREAD_MULTIPLE)
        return bl_fail(err, BELAY_ERR_REFUSED, "recovery in the job with MPI_THREAD_MULTIPLE: a thread that is in MPI cannot be taken back; ask MPI_Init_thread for less, or use recovery=relaunch without spares");
    PMPI_Comm_create_errhandler(on_error, &bl_rt.errors);
    PMPI_Comm_set_errhandler(MPI_COMM_WORLD, bl_rt.errors);
    PMPI_Comm_set_errhandler(MPI_COMM_SELF, bl_rt.errors);
    if (bl_injob_spawned()) {
        join();
        return BELAY_OK;
    }
    PMPI_Comm_rank(MPI_COMM_WORLD, &me);
    PMPI_Comm_size(MPI_COMM_WORLD, &processes);
    job.ranks = processes - (int)bl_rt.settings.spares;
    if (job.ranks < 1)
        return bl_fail(err, BELAY_ERR_REFUSED, "spares=%u of %d processes leaves no rank for the program", bl_rt.settings.spares, processes);
    job.active = job.initialised = 1;
    job.role = me < job.ranks ? me : SPARE;
    PMPI_Comm_dup(MPI_COMM_WORLD, &job.all);
    PMPI_Comm_split(MPI_COMM_WORLD, job.role == SPARE ? MPI_UNDEFINED : 0, me, &bl_rt.world);
    if (job.role == SPARE) wait_for_a_rank();
    else PMPI_Comm_set_name(bl_rt.world, "MPI_COMM_WORLD");
    return BELAY_OK;
}

/* Uniform: nobody leaves while another goes back. */
void bl_injob_end(void)
{
    int flag = 1, processes, me;
    if (!job.active) return;
    if (MPIX_Comm_agree(bl_rt.private_comm, &flag) != MPI_SUCCESS) return; /* who comes back from an error stays, and is here again */
    job.busy = 1;
    PMPI_Comm_size(job.all, &processes);
    PMPI_Comm_rank(job.all, &me);
    for (int p = job.ranks; p < processes && bl_rt.rank < 2; p++) PMPI_Send(NULL, 0, MPI_BYTE, p, TAG_OVER, job.all);
}

#endif

/* --- what a program asks of a communicator --- */

BELAY_API int MPI_Initialized(int *flag)
{
    int rc = PMPI_Initialized(flag);
    if (rc == MPI_SUCCESS && job.initialised && !bl_rt.on && !job.busy) *flag = 0; /* it begins again, and has not called MPI_Init */
    return rc;
}

/* What MPI itself says of a communicator is said of MPI_COMM_WORLD alone. */
BELAY_API int MPI_Comm_get_attr(MPI_Comm comm, int comm_keyval, void *attribute_val, int *flag)
{
    int predefined = comm_keyval == MPI_TAG_UB || comm_keyval == MPI_HOST || comm_keyval == MPI_IO || comm_keyval == MPI_WTIME_IS_GLOBAL ||
                     comm_keyval == MPI_UNIVERSE_SIZE || comm_keyval == MPI_APPNUM || comm_keyval == MPI_LASTUSEDCODE;
    return PMPI_Comm_get_attr(predefined ? comm : bl_comm_at_first(comm), comm_keyval, attribute_val, flag);
}

BELAY_API int MPI_Comm_set_errhandler(MPI_Comm comm, MPI_Errhandler errhandler)
{
    bl_comm *c = bl_rt.on && bl_rt.errors ? bl_comm_of(bl_now(comm)) : NULL;
    int rc = PMPI_Comm_set_errhandler(bl_now(comm), errhandler);
    if (!c || rc) return rc;
    PMPI_Comm_get_errhandler(c->handle, &c->handler); /* a reference of ours: the program may free it now */
    return PMPI_Comm_set_errhandler(c->handle, bl_rt.errors);
}

BELAY_API int MPI_Comm_get_errhandler(MPI_Comm comm, MPI_Errhandler *errhandler)
{
    bl_comm *c = bl_rt.on && bl_rt.errors ? bl_comm_of(bl_now(comm)) : NULL;
    if (!c) return PMPI_Comm_get_errhandler(bl_now(comm), errhandler);
    PMPI_Comm_set_errhandler(c->handle, c->handler ? c->handler : MPI_ERRORS_ARE_FATAL);
    int rc = PMPI_Comm_get_errhandler(c->handle, errhandler); /* a reference of the program's */
    PMPI_Comm_set_errhandler(c->handle, bl_rt.errors);
    return rc;
}
