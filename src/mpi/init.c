/* init.c - the beginning and the end: MPI_Init, MPI_Finalize, MPI_Abort. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mpi/carry.h"
#include "mpi/checkpoint.h"
#include "mpi/injob.h"
#include "mpi/log.h"
#include "mpi/redundancy.h"
#include "mpi/ride.h"
#include "store/start.h"
#include "store/takeover.h"

bl_runtime bl_rt;

static const char *const call_names[BL_CALLS] = {
#define CALL(name) "MPI_" #name,
#include "mpi/calls.inc"
#undef CALL
};

const char *bl_call_name(enum bl_call call)
{
    return call_names[call];
}

/* --- what rank 0 prepares for all --- */

typedef struct opening {
    int rc;
    uint32_t incarnation, next_checkpoint;
    uint64_t fired;
    char text[768];
} opening;

static int number_of(const char *text, uint32_t *number)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || end == text || *end || value > UINT32_MAX) return -1;
    *number = (uint32_t)value;
    return 0;
}

static enum bl_stable stable(void)
{
    return bl_rt.settings.stable_power ? BL_STABLE_POWER : BL_STABLE_PROCESS;
}

/* Within the job nobody else does it. */
static int go_on_with_job(bl_error *err)
{
    int rc = bl_store_open(bl_rt.settings.dir, stable(), &bl_rt.store, err);
    if (rc == BELAY_OK) rc = bl_store_next_incarnation(bl_rt.store, err);
    if (rc == BELAY_OK) bl_rt.incarnation = bl_store_job(bl_rt.store)->incarnation;
    return rc;
}

/* Injected kills that have happened since mpirun was started. */
static uint64_t fired(const char *supervised)
{
    uint64_t fired = 0;
    uint32_t first = 0;
    if (!bl_injob_recoveries()) return 0;
    if (!bl_injob_first_incarnation(&first) && supervised) number_of(supervised, &first);
    for (uint32_t i = first; i < bl_rt.incarnation; i++)
        for (uint32_t r = 0; r < (uint32_t)bl_rt.ranks; r++) {
            bl_live_header h;
            bl_error ignored;
            if (bl_live_read_header(bl_rt.store, r, i, &h, &ignored) || h.state != BL_LIVE_KILLED) continue;
            if (h.code >= 1 && h.code <= BL_KILLS_MAX) fired |= (uint64_t)1 << (h.code - 1);
        }
    return fired;
}

/* Under `belay run` the supervisor has begun the incarnation; a plain mpirun begins it here. */
static int open_job(const char *supervised, bl_error *err)
{
    const bl_settings *s = &bl_rt.settings;
    if (bl_injob_recoveries()) return go_on_with_job(err);
    if (supervised) {
        if (number_of(supervised, &bl_rt.incarnation))
            return bl_fail(err, BELAY_ERR_ARG, "BELAY_INCARNATION is '%.40s', not a number", supervised);
        int rc = bl_store_open(s->dir, stable(), &bl_rt.store, err);
        return rc ? rc : bl_store_join(bl_rt.store, bl_rt.incarnation, err);
    }
    enum bl_start how;
    int rc = bl_job_start(s->dir, (uint32_t)bl_rt.ranks, program_invocation_name, stable(), 0, &bl_rt.store, &how, err);
    if (rc) return rc;
    bl_rt.incarnation = bl_store_job(bl_rt.store)->incarnation;
    if (how == BL_START_RESUMED && s->verbose) bl_say("%s holds an unfinished job: continuing it", s->dir);
    return BELAY_OK;
}

static void prepare(opening *o, const char *supervised)
{
    bl_error err = { 0, "" };
    uint32_t highest = 0;
    o->rc = bl_settings_load(&bl_rt.settings, &err);
    if (o->rc == BELAY_OK) o->rc = bl_settings_agree(&bl_rt.settings, &err);
    if (o->rc == BELAY_OK) o->rc = open_job(supervised, &err);
    if (o->rc == BELAY_OK && bl_store_job(bl_rt.store)->ranks != (uint32_t)bl_rt.ranks)
        o->rc = bl_fail(&err, BELAY_ERR_FOREIGN, "%s holds a job of %" PRIu32 " ranks, this run has %d", bl_rt.settings.dir,
                        bl_store_job(bl_rt.store)->ranks, bl_rt.ranks);
    if (o->rc == BELAY_OK) o->rc = bl_store_highest(bl_rt.store, &highest, &err);
    o->incarnation = bl_rt.incarnation;
    o->next_checkpoint = highest + 1;
    if (o->rc == BELAY_OK) o->fired = fired(supervised);
    memcpy(o->text, err.text, sizeof o->text);
}

static int join_job(const opening *o, bl_error *err)
{
    if (bl_rt.rank == 0) return BELAY_OK;
    int rc = bl_settings_load(&bl_rt.settings, err);
    if (rc == BELAY_OK) rc = bl_store_open(bl_rt.settings.dir, stable(), &bl_rt.store, err);
    if (rc == BELAY_ERR_NONE)
        return bl_fail(err, rc, "rank 0 has made %s, but this rank does not see it: the job directory has to be on a file system that all nodes share",
                       bl_rt.settings.dir);
    return rc ? rc : bl_store_join(bl_rt.store, o->incarnation, err);
}

static void on_signal(int number)
{
    (void)number;
    bl_rt.asked = BL_WISH_STOP;
}

/* A program that handles SIGUSR1 itself keeps it. */
static void listen_for_stop(void)
{
    struct sigaction old, ours = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGUSR1, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL)
        sigaction(SIGUSR1, &ours, NULL);
}

/* A process that was stopped asks before it does anything else.  What is called here takes no lock and no memory. */
static void on_continue(int number)
{
    int before = errno;
    (void)number;
    if (bl_rt.on) bl_end_if_replaced();
    errno = before;
}

static void listen_for_continue(void)
{
    struct sigaction old, ours = { .sa_handler = on_continue, .sa_flags = SA_RESTART };
    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGCONT, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL)
        sigaction(SIGCONT, &ours, NULL);
}

static void on_exit_without_finalize(void)
{
    if (bl_rt.on && bl_rt.live.header && bl_rt.live.header->state == BL_LIVE_STARTED)
        bl_rt.live.header->state = BL_LIVE_EXITED;
}

static int set_up(bl_error *err)
{
    /* The live table comes first: it tells `belay run` how this process ended, whatever happens next. */
    int rc = bl_live_create(bl_rt.store, (uint32_t)bl_rt.rank, &bl_rt.live, err);
    if (rc == BELAY_OK) rc = bl_log_init(err);
    if (rc == BELAY_OK) rc = bl_redundancy_init(err);
    if (rc == BELAY_OK) rc = bl_recovery_choose(err);
    if (rc) return rc;
    bl_live_header *h = bl_rt.live.header;
    h->base = h->checkpoint = bl_rt.checkpoint;
    h->compute_base_s = bl_rt.compute_base_s;
    h->safe_point = UINT64_MAX;
    h->state = BL_LIVE_STARTED;
    rc = bl_comms_init(err);
    if (rc == BELAY_OK) rc = bl_safe_points_init(err);
    if (rc == BELAY_OK) rc = bl_stage_init(err);
    if (rc == BELAY_OK) rc = bl_induced_init(err);
    return rc ? rc : bl_ride_init(err);
}

static void before_rename(void)
{
    bl_point(BL_POINT_rename);
}

void bl_count_no_more(void)
{
    bl_rt.on = 0;
    bl_rt.counting = BL_COUNTING_NOT;
    bl_carry_stop();
    bl_rt.nobody = INT_MIN;
}

static void find_shared_request(void)
{
    MPI_Request handle[2];
    PMPI_Irecv(NULL, 0, MPI_BYTE, MPI_PROC_NULL, 0, MPI_COMM_SELF, &handle[0]);
    PMPI_Isend(NULL, 0, MPI_BYTE, MPI_PROC_NULL, 0, MPI_COMM_SELF, &handle[1]);
    bl_rt.shared = handle[0];
    bl_rt.nobody = bl_rt.counting == BL_COUNTING_ALONE && handle[0] == handle[1] ? MPI_PROC_NULL : INT_MIN;
    PMPI_Waitall(2, handle, MPI_STATUSES_IGNORE);
}

static int begin_together(const char *supervised, bl_error *err)
{
    opening o;
    memset(&o, 0, sizeof o);
    bl_comm_own(bl_rt.world, &bl_rt.private_comm);
    if (bl_rt.rank == 0) prepare(&o, supervised);
    PMPI_Bcast(&o, (int)sizeof o, MPI_BYTE, 0, bl_rt.private_comm);
    if (o.rc) {
        if (bl_rt.rank == 0) {
            bl_fail(err, o.rc, "%s", o.text);
            bl_end_job(err);
        }
        PMPI_Barrier(bl_rt.private_comm); /* rank 0 ends the job */
    }
    bl_rt.incarnation = o.incarnation;
    bl_rt.next_checkpoint = o.next_checkpoint;
    bl_rt.fired = o.fired;
    bl_injob_began(o.incarnation);
    int rc = join_job(&o, err);
    if (rc == BELAY_OK && o.incarnation) rc = bl_rank_take_over(bl_rt.store, (uint32_t)bl_rt.rank, err);
    if (rc == BELAY_OK && o.incarnation) PMPI_Barrier(bl_rt.private_comm); /* from here on the journals of all may be read */
    return rc ? rc : set_up(err);
}

/* In the place of a rank that has died, while the others stay where they are: everything is there already.  Collective with them, by
 * what local.h has them do together. */
static int begin_alone(const char *supervised, bl_error *err)
{
    uint32_t highest = 0;
    bl_rejoining = 1;
    bl_rt.completing = 1;
    if (!bl_local_meet(bl_rt.world, 0)) bl_injob_go_back();
    bl_local_adopt();
    int rc = bl_store_open(bl_rt.settings.dir, stable(), &bl_rt.store, err);
    if (rc == BELAY_OK) rc = bl_store_join(bl_rt.store, bl_rt.incarnation, err);
    if (rc == BELAY_OK) rc = bl_store_highest(bl_rt.store, &highest, err);
    bl_rt.next_checkpoint = highest + 1;
    if (rc == BELAY_OK) bl_rt.fired = fired(supervised);
    if (rc == BELAY_OK) rc = set_up(err);
    if (rc) bl_local_refuse(err->text);
    bl_local_rejoin(err);
    bl_rt.completing = bl_rt.hurt = 0;
    return BELAY_OK;
}

/* After PMPI_Init.  Collective; on any error the job ends here with its reason, since running on unprotected would
 * show only when it is too late. */
void bl_begin(void)
{
    static int listening;
    MPI_Comm parent;
    bl_rt.process = getpid();
    if (!bl_injob_again()) bl_rt.world = MPI_COMM_WORLD;
    PMPI_Comm_get_parent(&parent);
    bl_rt.off = getenv("BELAY_OFF") != NULL || (parent != MPI_COMM_NULL && !bl_injob_spawned()); /* who is spawned is not of the job it is told of */
    if (bl_rt.off) return;
    if (getenv("BELAY_REPLAY")) {
        bl_replay_begin();
        find_shared_request();
        return;
    }
    const char *supervised = getenv("BELAY_INCARNATION");
    bl_error err = { 0, "" };
    bl_rt.supervised = supervised != NULL;
    PMPI_Query_thread(&bl_rt.thread_level);
    listen_for_stop(); /* before set_up makes the live table: whoever sees it may send the request; and a spare may get it */
    if (bl_settings_load(&bl_rt.settings, &err) == BELAY_OK && bl_injob_open(&err)) { /* for all alike; else rank 0 says what is wrong */
        PMPI_Comm_rank(MPI_COMM_WORLD, &bl_rt.rank);
        if (bl_rt.rank == 0) bl_end_job(&err);
        PMPI_Barrier(MPI_COMM_WORLD); /* rank 0 ends the job */
    }
    PMPI_Comm_rank(bl_rt.world, &bl_rt.rank);
    PMPI_Comm_size(bl_rt.world, &bl_rt.ranks);
    bl_rt.local = bl_injob_active() && bl_rt.settings.logging != BL_LOGGING_NONE;
    int rc = bl_injob_alone() ? begin_alone(supervised, &err) : begin_together(supervised, &err);
    if (rc == BELAY_OK && bl_rt.thread_level == MPI_THREAD_MULTIPLE) rc = bl_threads_init(&err);
    if (rc) bl_end_job(&err);
    bl_inject_arm();
    bl_store_before_rename(bl_rt.store, before_rename);
    bl_stage_before_rename(before_rename);
    if (!listening) atexit(on_exit_without_finalize);
    listen_for_continue();
    listening = 1;
    bl_rt.on = 1;
    bl_rt.locked = bl_rt.thread_level == MPI_THREAD_MULTIPLE;
    if (!bl_rejoining) PMPI_Allreduce(&bl_rt.locked, &bl_rt.several, 1, MPI_INT, MPI_MAX, bl_rt.private_comm);
    bl_rt.counting = bl_rt.locked ? BL_COUNTING_LOCKED : BL_COUNTING_ALONE;
    if (bl_rt.piggyback == BL_PIGGYBACK_HEADER || bl_rt.settings.protocol == BL_PROTOCOL_INDUCED) {
        rc = bl_carry_init(&err); /* sets bl_rt.counting */
        if (rc) bl_end_job(&err);
    }
    if (bl_rt.settings.logging != BL_LOGGING_NONE) bl_log_prologue_begin();
    find_shared_request();
    bl_point(BL_POINT_init);
}

static int begins_again(void)
{
    return bl_injob_again() && !bl_rt.on;
}

BELAY_API int MPI_Init(int *argc, char ***argv)
{
    if (!begins_again()) bl_injob_before();
    int rc = begins_again() ? MPI_SUCCESS : PMPI_Init(argc, argv);
    if (rc == MPI_SUCCESS) bl_begin();
    return rc;
}

BELAY_API int MPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
    if (!begins_again()) bl_injob_before();
    int rc = begins_again() ? PMPI_Query_thread(provided) : PMPI_Init_thread(argc, argv, required, provided);
    if (rc == MPI_SUCCESS) bl_begin();
    return rc;
}

/* Everybody has reached MPI_Finalize: the program is complete.  `belay run` reads that from the live tables and writes
 * the state itself; under a plain mpirun rank 0 does. */
static void finish(void)
{
    bl_error err = { 0, "" };
    bl_rt.live.header->state = BL_LIVE_FINALIZING;
    bl_point(BL_POINT_finalize);
    if (!bl_settings_alone(&bl_rt.settings)) bl_coordinated_settle();
    do {
        bl_exposed();
        PMPI_Barrier(bl_rt.private_comm);
        if (!bl_rt.hurt) bl_injob_end();
    } while (bl_mended());
    bl_carry_finish();
    bl_log_finish();
    bl_ride_finish();
    if (!bl_rt.supervised && bl_rt.rank == 0 && bl_store_set_state(bl_rt.store, "finished", &err))
        bl_say("rank 0: %s", err.text);
    bl_redundancy_free();
    bl_safe_points_free();
}

void bl_release(void)
{
    if (bl_rt.reader) bl_snapshot_close(bl_rt.reader);
    bl_stage_free();
    bl_log_free();
    bl_carry_free();
    bl_induced_free();
    bl_ride_free();
    bl_requests_free();
    bl_objects_free();
    bl_comms_free();
    bl_live_unmap(&bl_rt.live);
    bl_store_close(bl_rt.store);
    bl_files_free();
    free(bl_rt.variable);
    bl_rt.variable = NULL;
    bl_rt.variables = bl_rt.variable_room = 0;
}

BELAY_API int MPI_Finalize(void)
{
    if (!bl_rt.on) return PMPI_Finalize();
    if (bl_replaying) bl_replay_finish();
    finish();
    bl_count_no_more();
    int rc = PMPI_Finalize();
    bl_rt.live.header->state = BL_LIVE_FINISHED;
    bl_release();
    return rc;
}

BELAY_API int MPI_Abort(MPI_Comm comm, int errorcode)
{
    if (bl_rt.on && bl_replaying) bl_replay_cannot("MPI_Abort");
    bl_end_if_replaced();
    if (bl_rt.on) {
        bl_rt.live.header->code = errorcode;
        bl_rt.live.header->state = BL_LIVE_ABORTED;
        bl_count_no_more();
    }
    return PMPI_Abort(comm, errorcode);
}
