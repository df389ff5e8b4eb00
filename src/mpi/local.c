/* local.c - where those who stay and those who go back meet (local.h). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/local.h"

#include "mpi/depend.h"
#include "mpi/injob.h"
#include "mpi/log.h"
#include "mpi/logging.h"
#include "store/takeover.h"

int bl_rejoining;

typedef struct made { uint64_t id; MPI_Comm comm; } made;
enum { HEAD = 4 };           /* ints before the members: id, size, dimensions or -1 */

static struct local {
    MPI_Comm private_comm, log_comm, side_comm;
    uint32_t incarnation;
    made *made;              /* [many] by id */
    size_t many;
    int leads;               /* this rank has begun the incarnation */
    int refused;             /* this rank cannot go back alone */
    const char *cannot;      /* why it cannot stay; NULL: it can */
} local;

static const char no_file[] = "a file of its could not be written or read";

static int good(MPI_Comm comm)
{
    PMPI_Comm_set_errhandler(comm, bl_rt.errors);
    return 1;
}

void bl_log_unknown(void)
{
    if (bl_rejoining) bl_local_refuse("what it received before its first safe point is in no journal");
    bl_replay_unknown();
}

int bl_log_comm_again(const char *call, MPI_Comm *newcomm)
{
    return bl_rejoining ? bl_local_comm(call, newcomm) : bl_replay_comm(call, newcomm);
}

/* --- the incarnation --- */

static void tell(const int *stays, int size)
{
    char list[80] = "";
    int gone = 0;
    for (int r = 0; r < size; r++) {
        size_t used = strlen(list);
        if (!stays[r] && used < sizeof list - 16) snprintf(list + used, sizeof list - used, "%s%d", gone ? ", " : "", r);
        else if (!stays[r] && list[used - 1] != '.') snprintf(list + used, sizeof list - used, " ...");
        gone += !stays[r];
    }
    if (bl_rt.settings.verbose) bl_say("only rank%s %s go%s back; the other %d stay where they are", gone > 1 ? "s" : "", list, gone > 1 ? "" : "es", size - gone);
}

static int begin_incarnation(MPI_Comm world, int stays)
{
    uint32_t told[2] = { 0, 0 }; /* an error; incarnation */
    int size, me, leader = 0;
    PMPI_Comm_size(world, &size);
    PMPI_Comm_rank(world, &me);
    int *all = malloc(sizeof *all * (size_t)size), bad = !all;
    if (!bad) bad = PMPI_Allgather(&stays, 1, MPI_INT, all, 1, MPI_INT, world) != MPI_SUCCESS;
    while (!bad && leader < size && !all[leader]) leader++;
    if (!bad && leader == me) tell(all, size);
    free(all);
    if (bad || leader == size) return 0;
    local.leads = me == leader;
    if (local.leads) {
        bl_error err = { 0, "" };
        told[0] = bl_store_next_incarnation(bl_rt.store, &err) != BELAY_OK;
        told[1] = bl_store_job(bl_rt.store)->incarnation;
        if (told[0]) bl_say("rank %d: %s", bl_rt.rank, err.text);
        local.cannot = told[0] ? no_file : NULL;
    }
    if (PMPI_Bcast(told, 2, MPI_UINT32_T, leader, world) != MPI_SUCCESS || told[0]) return 0;
    local.incarnation = told[1];
    return 1;
}

/* Before the others read its journals. */
static int take_over(void)
{
    bl_error err = { 0, "" };
    bl_store *store = NULL;
    int rc = bl_store_open(bl_rt.settings.dir, bl_rt.settings.stable_power ? BL_STABLE_POWER : BL_STABLE_PROCESS, &store, &err);
    if (rc == BELAY_OK) rc = bl_store_join(store, local.incarnation, &err);
    if (rc == BELAY_OK) rc = bl_rank_take_over(store, (uint32_t)bl_rt.rank, &err);
    bl_store_close(store);
    if (rc) bl_say("rank %d: %s", bl_rt.rank, err.text);
    local.refused = rc != BELAY_OK;
    return rc == BELAY_OK;
}

/* --- communicators: all that anybody has, made by all in the order of their ids --- */

static int dims_of(MPI_Comm comm)
{
    int topology, dims = -1;
    PMPI_Topo_test(comm, &topology);
    if (topology == MPI_CART) PMPI_Cartdim_get(comm, &dims);
    return dims;
}

static int moves(const bl_comm *c)
{
    return c->size > 1 && !c->local && c->handle != MPI_COMM_NULL;
}

/* [*ints] of all ours but MPI_COMM_WORLD; NULL: out of memory. */
static int *describe(int *ints)
{
    size_t room = 1;
    for (unsigned i = 0; i < bl_rt.comms; i++) {
        const bl_comm *c = bl_rt.comm[i];
        int dims = moves(c) ? dims_of(c->handle) : 0;
        room += HEAD + (size_t)c->size + 2 * (size_t)(dims > 0 ? dims : 0);
    }
    int *text = malloc(room * sizeof *text), at = 0;
    for (unsigned i = 0; text && i < bl_rt.comms; i++) {
        const bl_comm *c = bl_rt.comm[i];
        if (!moves(c) || c->handle == bl_rt.world) continue;
        int dims = dims_of(c->handle), n = dims > 0 ? dims : 0, *extents, *coordinates;
        memcpy(text + at, &c->id, sizeof c->id);
        text[at + 2] = c->size;
        text[at + 3] = dims;
        for (int r = 0; r < c->size; r++) text[at + HEAD + r] = bl_comm_world_rank(c, r);
        extents = text + at + HEAD + c->size;
        coordinates = n ? malloc(sizeof *coordinates * (size_t)n) : NULL;
        if (n && coordinates) PMPI_Cart_get(c->handle, n, extents, extents + n, coordinates);
        if (n && !coordinates) text[at + 3] = -1;
        free(coordinates);
        at += HEAD + c->size + 2 * n;
    }
    *ints = at;
    return text;
}

static int by_id(const void *x, const void *y)
{
    const int *const *a = x, *const *b = y;
    uint64_t i, k;
    memcpy(&i, *a, sizeof i);
    memcpy(&k, *b, sizeof k);
    return (i > k) - (i < k);
}

/* The ranks that are in none get MPI_COMM_NULL. */
static int make(MPI_Comm world, const int *text, made *result)
{
    int size = text[2], dims = text[3], place = -1;
    const int *members = text + HEAD;
    memcpy(&result->id, text, sizeof result->id);
    for (int r = 0; r < size; r++)
        if (members[r] == bl_rt.rank) place = r;
    if (PMPI_Comm_split(world, place < 0 ? MPI_UNDEFINED : 0, place, &result->comm) != MPI_SUCCESS) return 0;
    if (place < 0) return 1;
    good(result->comm);
    if (dims <= 0) return 1;
    MPI_Comm grid;
    if (PMPI_Cart_create(result->comm, dims, members + size, members + size + dims, 0, &grid) != MPI_SUCCESS) return 0;
    PMPI_Comm_free(&result->comm);
    result->comm = grid;
    return good(grid);
}

static int make_all(MPI_Comm world, int *text, int ints)
{
    int entries = 0, ok = 1;
    const int **entry = malloc(sizeof *entry * ((size_t)ints / HEAD + 1));
    local.made = malloc(sizeof *local.made * ((size_t)ints / HEAD + 1));
    if (!entry || !local.made) ok = 0;
    for (int at = 0; ok && at < ints; at += HEAD + text[at + 2] + 2 * (text[at + 3] > 0 ? text[at + 3] : 0)) entry[entries++] = text + at;
    if (ok && entries) qsort(entry, (size_t)entries, sizeof *entry, by_id);
    for (int k = 0; ok && k < entries; k++)
        if (k == 0 || memcmp(entry[k], entry[k - 1], sizeof(uint64_t)) != 0) ok = make(world, entry[k], &local.made[local.many++]);
    free(entry);
    return ok;
}

static int make_communicators(MPI_Comm world, int stays)
{
    int size, mine = 0, total = 0, *text = stays ? describe(&mine) : NULL, *all = NULL;
    PMPI_Comm_size(world, &size);
    int *counts = malloc(2 * sizeof *counts * (size_t)size), *at = counts ? counts + size : NULL, ok = counts && (text || !stays);
    ok = ok && PMPI_Allgather(&mine, 1, MPI_INT, counts, 1, MPI_INT, world) == MPI_SUCCESS;
    for (int r = 0; ok && r < size; r++) {
        at[r] = total;
        total += counts[r];
    }
    if (ok) all = malloc(sizeof *all * ((size_t)total + 1));
    ok = ok && all && PMPI_Allgatherv(text, mine, MPI_INT, all, counts, at, MPI_INT, world) == MPI_SUCCESS && make_all(world, all, total);
    free(text);
    free(counts);
    free(all);
    return ok;
}

MPI_Comm bl_local_comm_of(uint64_t id)
{
    for (size_t k = 0; k < local.many; k++)
        if (local.made[k].id == id && local.made[k].comm != MPI_COMM_NULL) return local.made[k].comm;
    bl_local_refuse("it makes a communicator that the others do not have");
}

int bl_local_comm(const char *call, MPI_Comm *newcomm)
{
    bl_seen seen;
    int *world = NULL, mine = 0;
    if (bl_outcome_of(BL_EVENT_COMM, bl_log_clock(), &seen) != BL_KNOWN) bl_local_refuse(call);
    *newcomm = MPI_COMM_NULL;
    if (seen.c == 0) return MPI_SUCCESS;
    if (seen.c > 0 && seen.bytes >= sizeof *world * (uint64_t)seen.c) world = malloc((size_t)seen.bytes);
    if (!world) bl_local_refuse("its journal has a communicator that cannot be");
    memcpy(world, seen.payload, (size_t)seen.bytes);
    for (int i = 0; i < seen.c; i++) mine |= world[i] == bl_rt.rank;
    if (!mine) bl_local_refuse("its journal has a communicator that it is not in");
    int rc = MPI_SUCCESS;
    if (seen.c == 1) rc = PMPI_Comm_dup(MPI_COMM_SELF, newcomm);
    else *newcomm = bl_local_comm_of(bl_comm_next_id(world, seen.c));
    free(world);
    return rc;
}

/* --- meeting --- */

static void forget(void)
{
    free(local.made);
    local.made = NULL;
    local.many = 0;
}

int bl_local_meet(MPI_Comm world, int stays)
{
    forget();
    int ok = PMPI_Comm_dup(world, &local.private_comm) == MPI_SUCCESS && good(local.private_comm);
    ok = ok && begin_incarnation(world, stays);
    ok = ok && (stays || take_over());
    ok = ok && make_communicators(world, stays);
    ok = ok && PMPI_Comm_dup(world, &local.log_comm) == MPI_SUCCESS && good(local.log_comm);
    if (ok && bl_rt.settings.logging == BL_LOGGING_CAUSAL) ok = PMPI_Comm_dup(world, &local.side_comm) == MPI_SUCCESS && good(local.side_comm);
    if (!ok) bl_injob_revoke(world); /* who still waits in one of these calls comes out */
    return ok;
}

MPI_Comm bl_local_log_comm(void)
{
    return local.log_comm;
}

MPI_Comm bl_local_side_comm(void)
{
    return local.side_comm;
}

uint32_t bl_local_incarnation(void)
{
    return local.incarnation;
}

/* --- who goes back --- */

int bl_local_may_go_back(void)
{
    return bl_rt.local && !local.refused && (bl_rejoining || bl_log_recoverable());
}

void bl_local_refuse(const char *why)
{
    bl_say("rank %d cannot go back alone (%s): all ranks go back", bl_rt.rank, why);
    local.refused = 1;
    bl_rt.completing = 0;
    bl_injob_go_back();
}

void bl_local_adopt(void)
{
    bl_rt.private_comm = local.private_comm;
    bl_rt.incarnation = local.incarnation;
    bl_comm_owned(local.private_comm);
}

void bl_local_rejoin(bl_error *err)
{
    int rc = bl_log_rejoin(err);
    if (rc && err->code != BELAY_ERR_SYSTEM) bl_local_refuse(err->text);
    if (!bl_injob_agree(bl_rt.world, rc == BELAY_OK)) bl_injob_go_back();
}

/* --- who stays --- */

const char *bl_local_cannot_stay(void)
{
    if (!bl_rt.local) return "it does not log its messages";
    if (local.cannot) return local.cannot;
    if (bl_rejoining) return "it is on its way back itself";
    if (!bl_log_recoverable()) return "not all ranks had come to their first safe points";
    if (bl_outcome_behind()) return "it was doing again what it did before an earlier failure";
    if (!bl_requests_settle()) return "MPI has not let go of its requests";
    return bl_logged_cannot_stay();
}

static void move_to(MPI_Comm world)
{
    char name[MPI_MAX_OBJECT_NAME];
    for (unsigned i = 0; i < bl_rt.comms; i++) {
        bl_comm *c = bl_rt.comm[i];
        int length = 0;
        if (!moves(c)) continue;
        MPI_Comm handle = c->handle == bl_rt.world ? world : bl_local_comm_of(c->id);
        if (PMPI_Comm_get_name(c->handle, name, &length) == MPI_SUCCESS && length) PMPI_Comm_set_name(handle, name);
        bl_comm_moves(c, handle);
    }
    bl_rt.world = world;
    bl_rt.private_comm = local.private_comm;
    bl_rt.owns = 0;
    bl_comm_owned(local.private_comm);
    bl_log_moves(local.log_comm);
    bl_log_go_on(local.side_comm);
}

int bl_local_stay(MPI_Comm world)
{
    bl_error err = { 0, "" };
    if (!bl_local_meet(world, 1)) return 0;
    int rc = local.leads ? BELAY_OK : bl_store_join(bl_rt.store, local.incarnation, &err);
    if (rc == BELAY_OK) rc = bl_live_go_on(bl_rt.store, &bl_rt.live, &err);
    if (rc == BELAY_OK) rc = bl_depend_recover(local.private_comm, 1, &err);
    int orphan = rc == BELAY_ERR_REFUSED;
    if (rc == BELAY_OK) rc = bl_feed_reload(&err);
    if (rc == BELAY_OK) rc = bl_log_begin_anew(&err);
    if (orphan) local.cannot = "it depends on what is lost with a dead rank";
    else if (rc && rc != BELAY_ERR_ABORTED) local.cannot = no_file;
    if (local.cannot == no_file) bl_say("rank %d: %s", bl_rt.rank, err.text);
    if (rc) bl_injob_revoke(world);
    if (rc == BELAY_OK) rc = bl_feed_agree(local.private_comm, 0, &err);
    if (rc == BELAY_OK) bl_log_say_begun(&err);
    if (rc) bl_injob_revoke(local.private_comm);
    if (!bl_injob_agree(world, rc == BELAY_OK)) return 0;
    bl_rt.incarnation = local.incarnation;
    move_to(world);
    return bl_logged_match_again();
}

void bl_local_abandon(void)
{
    forget();
    bl_rejoining = 0;
    local.cannot = NULL;
    local.refused = 0;
}
