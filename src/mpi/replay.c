/* replay.c - `belay replay`: one rank again, in one ordinary process, without mpirun and without the others.
 *
 * What the rank received is in the journals of those who sent it, what it saw in its own, and the state it began with in its
 * checkpoint; so nothing of MPI is needed but its local calls.  What is before the first safe point is done again as well, out of the
 * journal "prologue".  Communicators are copies of MPI_COMM_SELF that answer as those of the job did.  Nothing is written: the
 * job directory may be a copy, on another machine.
 *
 * The replay ends where the rank did: at the first call whose outcome no journal knows.
 */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mpi/carry.h"
#include "mpi/checkpoint.h"
#include "mpi/log.h"
#include "mpi/logging.h"
#include "mpi/parcel.h"
#include "util/clock.h"

int bl_replaying;

typedef struct shape {       /* of a communicator */
    struct shape *next;
    MPI_Comm handle;
    int rank, size, dims;    /* dims: -1: no Cartesian topology */
    int *world;              /* [size], then [dims] extents and [dims] periods */
} shape;

static struct replay {
    uint32_t incarnation;    /* whose prologue it is */
    uint64_t until;          /* stop at this call; 0: where the rank ended */
    uint64_t began, ended;   /* calls, since the first safe point */
    int64_t began_ns;
    int debugger, trapped, recovered;
    shape *shape;
} replay;

static const char *checkpoint_text(void)
{
    static char text[64];
    if (!bl_rt.restore) return "the start";
    snprintf(text, sizeof text, "checkpoint %" PRIu32 " (safe point %" PRIu64 ")", bl_rt.restore->checkpoint, bl_rt.restore->safe_point);
    return text;
}

/* --- the end --- */

/* A debugger stops here, and the program's frames are above this one. */
static void stop(int status)
{
    fflush(NULL);
    if (replay.debugger) raise(SIGTRAP);
    _exit(status);
}

/* The first frames that are the program's, with file and line where addr2line is there to tell. */
static void say_where(void)
{
    void *frame[32];
    Dl_info here, info;
    int frames = backtrace(frame, 32), said = 0;
    char path[512], command[700], line[300];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0 || replay.debugger || !dladdr((void *)(uintptr_t)bl_say, &here)) return;
    path[length] = '\0';
    for (int i = 0; i < frames && said < 3; i++) {
        if (!dladdr(frame[i], &info) || info.dli_fbase == here.dli_fbase || strstr(info.dli_fname, "/lib")) continue;
        uintptr_t offset = (uintptr_t)frame[i] - (uintptr_t)info.dli_fbase - 1;
        if (strchr(path, '\'')) return;
        snprintf(command, sizeof command, "addr2line -pfe '%s' 0x%" PRIxPTR " 2>/dev/null", path, offset);
        FILE *tool = popen(command, "r");
        if (tool && fgets(line, sizeof line, tool) && !strstr(line, "??:")) {
            line[strcspn(line, "\n")] = '\0';
            bl_say("  in %s", line);
            said++;
        }
        if (tool) pclose(tool);
    }
}

static void say_done(void)
{
    bl_say("replayed %" PRIu64 " MPI calls of rank %d from %s in %.3f s: %" PRIu64 " messages (%.1f MiB) received from the journals, %" PRIu64
           " (%.1f MiB) sent as before", bl_log_clock() - replay.began, bl_rt.rank, checkpoint_text(),
           bl_seconds(bl_ticks_ns() - replay.began_ns), bl_log_fed.messages, (double)bl_log_fed.bytes / 1048576,
           bl_log_repeated.messages, (double)bl_log_repeated.bytes / 1048576);
}

void bl_replay_failed(const bl_error *err)
{
    bl_say("replay of rank %d: %s", bl_rt.rank, err->text);
    stop(1);
    _exit(1);
}

void bl_replay_cannot(const char *call)
{
    say_where();
    bl_log_end_job("%s cannot be answered without the other ranks", call);
}

void bl_replay_differs(const char *text)
{
    bl_say("replay of rank %d: call %" PRIu64 " sends something else than it did: %s", bl_rt.rank, bl_log_clock(), text);
    say_where();
    bl_say("the program is not the one that ran, or depends on something that is not logged; give random numbers, times and input to belay_nondeterministic");
    stop(1);
    _exit(1);
}

static void over(const char *why) __attribute__((noreturn));
static void over(const char *why)
{
    if (replay.recovered) say_done();
    bl_say("%s", why);
    say_where();
    stop(0);
    _exit(0);
}

void bl_replay_call(void)
{
    char text[160];
    bl_rt.calls_until = UINT64_MAX;
    if (!replay.recovered) bl_log_end_job("it makes more MPI calls before its first safe point than it did: the program is not the one that ran");
    if (replay.until && bl_log_clock() >= replay.until) snprintf(text, sizeof text, "stopped at call %" PRIu64 ", as --to asks", replay.until);
    else snprintf(text, sizeof text, "here rank %d ended: this is its call %" PRIu64 ", which it never made", bl_rt.rank, bl_log_clock());
    over(text);
}

void bl_replay_unknown(void)
{
    char text[160];
    if (!replay.recovered) bl_log_end_job("a message that it received before its first safe point is in no journal");
    if (bl_log_clock() < bl_outcome_known()) bl_log_end_job("what call %" PRIu64 " received is in no journal", bl_log_clock());
    snprintf(text, sizeof text, "here rank %d ended: in its call %" PRIu64 ", of which nothing is known", bl_rt.rank, bl_log_clock());
    over(text);
}

void bl_replay_finish(void)
{
    say_done();
    bl_say("rank %d came to MPI_Finalize", bl_rt.rank);
    stop(0);
    _exit(0);
}

/* --- the beginning --- */

static int number_in(const char *variable, uint64_t *number)
{
    const char *text = getenv(variable);
    char *end;
    *number = 0;
    if (!text || !*text) return 0;
    errno = 0;
    *number = strtoull(text, &end, 10);
    if (errno || *end || *text == '-') bl_log_end_job("%s is '%.40s', not a number", variable, text);
    return 1;
}

static void no_table(bl_error *err)
{
    static bl_live_header header;
    header = (bl_live_header){ .channel_slots = BL_LIVE_CHANNELS, .collective_slots = BL_LIVE_COLLECTIVES, .safe_point = UINT64_MAX };
    bl_rt.live = (bl_live){ .header = &header, .slot = calloc(BL_LIVE_CHANNELS, sizeof *bl_rt.live.slot),
                            .collective = calloc(BL_LIVE_COLLECTIVES, sizeof *bl_rt.live.collective) };
    if (!bl_rt.live.slot || !bl_rt.live.collective) {
        bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the counters");
        bl_replay_failed(err);
    }
}

static void open_job(bl_error *err)
{
    uint64_t rank;
    if (bl_settings_load(&bl_rt.settings, err)) bl_replay_failed(err);
    bl_rt.settings.logging = BL_LOGGING_PESSIMISTIC;
    bl_rt.settings.protocol = BL_PROTOCOL_INDEPENDENT;
    bl_rt.settings.errors_return = bl_rt.settings.stable_power = 0;
    number_in("BELAY_REPLAY", &rank);
    if (bl_store_open(bl_rt.settings.dir, BL_STABLE_PROCESS, &bl_rt.store, err)) bl_replay_failed(err);
    const bl_job *job = bl_store_job(bl_rt.store);
    if (rank >= job->ranks) bl_log_end_job("%s holds a job of %" PRIu32 " ranks", bl_rt.settings.dir, job->ranks);
    bl_rt.rank = (int)rank;
    bl_rt.ranks = (int)job->ranks;
    bl_rt.incarnation = job->incarnation + 1; /* all there were are past */
}

void bl_replay_choose(bl_error *err)
{
    uint32_t *numbers = NULL;
    size_t count = 0;
    uint64_t from;
    int named = number_in("BELAY_REPLAY_FROM", &from), rc = bl_snapshot_list(bl_rt.store, (uint32_t)bl_rt.rank, &numbers, &count, err);
    if (rc) bl_replay_failed(err);
    while (count > 0 && !bl_rt.restore && (!named || from > 0)) {
        uint32_t number = numbers[--count];
        if (named && number != from) continue;
        rc = bl_open_and_verify(number, NULL, err);
        if (rc && named) bl_replay_failed(err);
        if (rc) bl_close_reader();
        if (rc) bl_say("rank %d: checkpoint %" PRIu32 " cannot be used: %s", bl_rt.rank, number, err->text);
    }
    free(numbers);
    if (named && from > 0 && !bl_rt.restore) bl_log_end_job("there is no checkpoint %" PRIu64, from);
    bl_rt.checkpoint = bl_rt.restore ? bl_rt.restore->checkpoint : 0;
}

/* After PMPI_Init. */
void bl_replay_begin(void)
{
    bl_error err = { 0, "" };
    bl_replaying = 1;
    replay.debugger = getenv("BELAY_REPLAY_DEBUGGER") != NULL;
    number_in("BELAY_REPLAY_TO", &replay.until);
    PMPI_Query_thread(&bl_rt.thread_level);
    PMPI_Comm_dup(MPI_COMM_SELF, &bl_rt.private_comm);
    open_job(&err);
    no_table(&err);
    bl_replay_choose(&err);
    if (bl_independent_count_on(&err) || bl_layout_init() || bl_comms_init(&err)) bl_replay_failed(&err);
    if (bl_outcome_load_prologue(&replay.incarnation, &err)) bl_replay_failed(&err);
    if (bl_feed_load_prologue(replay.incarnation, &err)) bl_replay_failed(&err);
    bl_rt.calls_until = bl_outcome_known() + 1;
    bl_rt.kill_step = UINT64_MAX;
    bl_logging.prologue = 1;
    bl_rt.counting = BL_COUNTING_LOGGED;
    bl_under = &bl_logged_calls;
    bl_rt.on = 1;
}

/* --- from the first safe point on --- */

void bl_replay_first_safe_point(bl_error *err)
{
    bl_live_header *h = bl_rt.live.header;
    bl_logging.prologue = 0;
    bl_feed_free();
    bl_outcome_free();
    bl_prologue_forget();
    if (bl_outcome_load(bl_rt.checkpoint, err) || bl_feed_load(err)) bl_replay_failed(err);
    h->clock_base = h->calls - bl_outcome_clock();
    replay.began = bl_outcome_clock();
    replay.ended = bl_outcome_known();
    uint64_t last = replay.until && replay.until <= replay.ended ? replay.until : replay.ended + 1;
    if (replay.until && replay.until <= replay.began) bl_log_end_job("--to %" PRIu64 ": the replay begins after call %" PRIu64, replay.until, replay.began);
    bl_rt.calls_until = h->clock_base + last;
    bl_log_fed = bl_log_repeated = (bl_log_tally){ 0, 0 };
    replay.recovered = 1;
    bl_say("replaying rank %d of %d, job %s, from %s: calls %" PRIu64 " to %" PRIu64, bl_rt.rank, bl_rt.ranks, bl_store_job(bl_rt.store)->id,
           checkpoint_text(), replay.began + 1, replay.ended);
    replay.began_ns = bl_ticks_ns();
}

/* Called by belay_checkpoint, out of which gdb's `finish` leads into the program. */
void bl_replay_trap(void)
{
    if (replay.debugger && !replay.trapped) raise(SIGTRAP);
    replay.trapped = 1;
}

/* --- communicators --- */

static shape *shape_of(MPI_Comm handle)
{
    shape *s = replay.shape;
    while (s && s->handle != handle) s = s->next;
    return s;
}

static void remember(MPI_Comm handle, int rank, int size, int dims, int *world)
{
    shape *s = malloc(sizeof *s);
    if (!s) bl_log_end_job("out of memory for communicators");
    *s = (shape){ replay.shape, handle, rank, size, dims, world };
    replay.shape = s;
}

int bl_replay_comm(const char *call, MPI_Comm *newcomm)
{
    bl_seen seen;
    if (bl_outcome_of(BL_EVENT_COMM, bl_log_clock(), &seen) != BL_KNOWN) bl_replay_cannot(call);
    int size = seen.c, dims = seen.d, rank = -1;
    if (size < 0 || dims < -1 || seen.bytes != sizeof(int) * ((uint64_t)size + 2 * (uint64_t)(dims > 0 ? dims : 0)))
        bl_log_end_job("the journal has a communicator of %d ranks in %" PRIu64 " bytes", size, seen.bytes);
    *newcomm = MPI_COMM_NULL;
    if (size == 0) return MPI_SUCCESS;
    int *world = malloc((size_t)seen.bytes);
    if (!world) bl_log_end_job("out of memory for communicators");
    memcpy(world, seen.payload, (size_t)seen.bytes);
    int strange = 0;
    long cells = 1;
    for (int i = 0; i < size; i++) {
        strange |= world[i] < 0 || world[i] >= bl_rt.ranks;
        if (world[i] == bl_rt.rank) rank = i;
    }
    for (int d = 0; d < dims && !strange; d++) {
        strange = world[size + d] < 1 || world[size + d] > size;
        cells *= strange ? 0 : world[size + d];
        strange |= cells > size;
    }
    if (rank < 0 || strange || (dims > 0 && cells != size)) bl_log_end_job("the journal has a communicator that cannot be: %d ranks, %d dimensions", size, dims);
    int rc = PMPI_Comm_dup(MPI_COMM_SELF, newcomm);
    if (rc) return rc;
    remember(*newcomm, rank, size, dims, world);
    return rc;
}

static int identity(const int *world, int size)
{
    int i = 0;
    while (i < size && world[i] == i) i++;
    return size == bl_rt.ranks && i == size;
}

int bl_replay_members(MPI_Comm of, int *size, int **world)
{
    const shape *s = shape_of(of);
    *world = NULL;
    *size = of == bl_rt.world ? bl_rt.ranks : s ? s->size : 1;
    if (of == bl_rt.world || (!s && bl_rt.ranks == 1) || (s && identity(s->world, s->size))) return 1;
    *world = malloc(sizeof **world * (size_t)*size);
    if (*world && s) memcpy(*world, s->world, sizeof **world * (size_t)*size);
    if (*world && !s) **world = bl_rt.rank;
    return *world != NULL;
}

int bl_replay_rank(const bl_comm *c)
{
    for (int i = 0; i < c->size; i++)
        if (bl_comm_world_rank(c, i) == bl_rt.rank) return i;
    return -1;
}

/* --- what a program asks of a communicator --- */

static const bl_comm *asked(MPI_Comm comm)
{
    return bl_replaying && comm != MPI_COMM_NULL ? bl_comm_of(comm) : NULL;
}

BELAY_API int MPI_Comm_rank(MPI_Comm comm, int *rank)
{
    comm = bl_now(comm);
    const bl_comm *c = asked(comm);
    if (!c) return PMPI_Comm_rank(comm, rank);
    *rank = bl_replay_rank(c);
    return MPI_SUCCESS;
}

BELAY_API int MPI_Comm_size(MPI_Comm comm, int *size)
{
    comm = bl_now(comm);
    const bl_comm *c = asked(comm);
    if (!c) return PMPI_Comm_size(comm, size);
    *size = c->size;
    return MPI_SUCCESS;
}

BELAY_API int MPI_Comm_group(MPI_Comm comm, MPI_Group *group)
{
    comm = bl_now(comm);
    if (bl_replaying) bl_replay_cannot("MPI_Comm_group");
    return PMPI_Comm_group(comm, group);
}

BELAY_API int MPI_Comm_compare(MPI_Comm comm1, MPI_Comm comm2, int *result)
{
    comm1 = bl_now(comm1);
    comm2 = bl_now(comm2);
    const bl_comm *a = asked(comm1), *b = asked(comm2);
    if (!a || !b) return PMPI_Comm_compare(comm1, comm2, result);
    int same = a->size == b->size, found = 0;
    for (int i = 0; i < a->size; i++) {
        if (same) same = bl_comm_world_rank(a, i) == bl_comm_world_rank(b, i);
        for (int k = 0; k < b->size; k++) found += bl_comm_world_rank(a, i) == bl_comm_world_rank(b, k);
    }
    *result = a == b ? MPI_IDENT : same ? MPI_CONGRUENT : found == a->size && a->size == b->size ? MPI_SIMILAR : MPI_UNEQUAL;
    return MPI_SUCCESS;
}

/* The shape of a Cartesian communicator in a replay; NULL: ask MPI. */
static const shape *grid(MPI_Comm comm)
{
    const shape *s = bl_replaying ? shape_of(comm) : NULL;
    return s && s->dims >= 0 ? s : NULL;
}

static const int *extents(const shape *s)
{
    return s->world + s->size;
}

static const int *periods(const shape *s)
{
    return extents(s) + s->dims;
}

/* Row-major, as MPI says. */
static void coordinates(const shape *s, int rank, int *at)
{
    for (int d = s->dims - 1; d >= 0; d--) {
        at[d] = rank % extents(s)[d];
        rank /= extents(s)[d];
    }
}

/* -1: beyond an edge. */
static int rank_at(const shape *s, const int *at)
{
    int rank = 0;
    for (int d = 0; d < s->dims; d++) {
        int n = extents(s)[d], c = at[d];
        if (!periods(s)[d] && (c < 0 || c >= n)) return -1;
        rank = rank * n + (c % n + n) % n;
    }
    return rank;
}

BELAY_API int MPI_Topo_test(MPI_Comm comm, int *status)
{
    comm = bl_now(comm);
    if (!grid(comm)) return PMPI_Topo_test(comm, status);
    *status = MPI_CART;
    return MPI_SUCCESS;
}

BELAY_API int MPI_Cartdim_get(MPI_Comm comm, int *ndims)
{
    comm = bl_now(comm);
    const shape *s = grid(comm);
    if (!s) return PMPI_Cartdim_get(comm, ndims);
    *ndims = s->dims;
    return MPI_SUCCESS;
}

BELAY_API int MPI_Cart_get(MPI_Comm comm, int maxdims, int dims[], int periods_of[], int coords[])
{
    comm = bl_now(comm);
    const shape *s = grid(comm);
    if (!s || maxdims < s->dims) return PMPI_Cart_get(comm, maxdims, dims, periods_of, coords);
    memcpy(dims, extents(s), sizeof *dims * (size_t)s->dims);
    memcpy(periods_of, periods(s), sizeof *dims * (size_t)s->dims);
    coordinates(s, s->rank, coords);
    return MPI_SUCCESS;
}

BELAY_API int MPI_Cart_coords(MPI_Comm comm, int rank, int maxdims, int coords[])
{
    comm = bl_now(comm);
    const shape *s = grid(comm);
    if (!s || maxdims < s->dims || rank < 0 || rank >= s->size) return PMPI_Cart_coords(comm, rank, maxdims, coords);
    coordinates(s, rank, coords);
    return MPI_SUCCESS;
}

BELAY_API int MPI_Cart_rank(MPI_Comm comm, const int coords[], int *rank)
{
    comm = bl_now(comm);
    const shape *s = grid(comm);
    int found = s ? rank_at(s, coords) : -1;
    if (found < 0) return PMPI_Cart_rank(comm, coords, rank);
    *rank = found;
    return MPI_SUCCESS;
}

BELAY_API int MPI_Cart_shift(MPI_Comm comm, int direction, int disp, int *rank_source, int *rank_dest)
{
    comm = bl_now(comm);
    const shape *s = grid(comm);
    if (!s || direction < 0 || direction >= s->dims) return PMPI_Cart_shift(comm, direction, disp, rank_source, rank_dest);
    int *at = malloc(sizeof *at * (size_t)s->dims);
    if (!at) return MPI_ERR_NO_MEM;
    coordinates(s, s->rank, at);
    at[direction] += disp;
    int to = rank_at(s, at);
    at[direction] -= 2 * disp;
    int from = rank_at(s, at);
    free(at);
    *rank_dest = to < 0 ? MPI_PROC_NULL : to;
    *rank_source = from < 0 ? MPI_PROC_NULL : from;
    return MPI_SUCCESS;
}
