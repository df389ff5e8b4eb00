/* objects.c - windows and files: what is exact about them is counted, what is not is refused or said.
 *
 * Making, freeing and fencing a window, and a collective call on a file, are collectives on the communicator it was made
 * on.  MPI_Win_post and MPI_Win_complete are a message to each rank of the group, which MPI_Win_start and MPI_Win_wait
 * receive.  What a put moves, and when, the target does not see: no checkpoint is taken after a window was made. */
#include <stdlib.h>
#include <string.h>

#include "mpi/log.h"
#include "mpi/ride.h"

enum { TAG_POST = -100, TAG_COMPLETE = -101 }; /* no program can use these */

enum { FILES_NAMED = 8 };

/* --- refusals --- */

static int takes_checkpoints(void)
{
    return bl_settings_every(&bl_rt.settings, (uint32_t)bl_rt.rank).kind != BL_EVERY_NEVER;
}

void bl_refuse(const char *call, MPI_Comm comm)
{
    int first = !bl_rt.refused, rank = 0;
    bl_rt.refused = call;
    if (comm != MPI_COMM_NULL) PMPI_Comm_rank(comm, &rank);
    if (first && rank == 0 && takes_checkpoints())
        bl_say("rank %d: %s: from here on no checkpoint is taken, since what it lets other processes do is not seen; run without checkpoints (--every never), or without it",
               bl_rt.rank, call);
}

/* --- the table --- */

static bl_object *find(uintptr_t handle)
{
    for (unsigned i = 0; i < bl_rt.objects; i++)
        if (bl_rt.object[i].handle == handle) return &bl_rt.object[i];
    return NULL;
}

static void add(uintptr_t handle, MPI_Comm comm)
{
    if (bl_rt.objects == bl_rt.object_room) {
        unsigned room = bl_rt.object_room ? 2 * bl_rt.object_room : 16;
        bl_object *bigger = realloc(bl_rt.object, sizeof *bigger * room);
        if (!bigger) {
            bl_rt.refused = "out of memory for windows and files";
            return;
        }
        bl_rt.object = bigger;
        bl_rt.object_room = room;
    }
    bl_rt.object[bl_rt.objects++] = (bl_object){ .handle = handle, .comm = bl_comm_of(comm), .starting = -1, .exposing = -1 };
}

static void drop(uintptr_t handle)
{
    bl_object *o = find(handle);
    if (!o) return;
    free(o->group);
    free(o->exposed);
    *o = bl_rt.object[--bl_rt.objects];
}

/* The row of a freed communicator may be another's by now. */
static void collective_on(uintptr_t handle)
{
    const bl_object *o = find(handle);
    if (!o || !o->comm || o->comm->handle == MPI_COMM_NULL || !o->comm->collective) return;
    if (bl_rt.counting == BL_COUNTING_CARRIED) bl_induced_collective(o->comm);
    o->comm->collective->started++;
}

void bl_objects_want_comms(void)
{
    for (unsigned i = 0; i < bl_rt.objects; i++)
        if (bl_rt.object[i].comm) bl_rt.object[i].comm->wanted = 1;
}

void bl_objects_free(void)
{
    while (bl_rt.objects) drop(bl_rt.object[bl_rt.objects - 1].handle);
    free(bl_rt.object);
}

/* --- windows --- */

void bl_window_made(MPI_Win window, MPI_Comm comm)
{
    add((uintptr_t)window, comm);
}

BELAY_API int MPI_Win_fence(int assert, MPI_Win win)
{
    if (!bl_enter()) return PMPI_Win_fence(assert, win);
    collective_on((uintptr_t)win);
    bl_wait_begin();
    int rc = PMPI_Win_fence(assert, win);
    bl_wait_end();
    bl_leave();
    return rc;
}

BELAY_API int MPI_Win_free(MPI_Win *win)
{
    if (!bl_enter()) return PMPI_Win_free(win);
    collective_on((uintptr_t)*win);
    drop((uintptr_t)*win);
    bl_wait_begin();
    int rc = PMPI_Win_free(win);
    bl_wait_end();
    bl_leave();
    return rc;
}

/* The ranks of `group` in the window's communicator, as an array; their number, -1 if there is none. */
static int ranks_of(MPI_Group group, MPI_Win win, int **ranks)
{
    MPI_Group all;
    int size = 0;
    PMPI_Group_size(group, &size);
    int *own = malloc(2 * sizeof *own * (size_t)(size ? size : 1));
    if (!own) return -1;
    for (int i = 0; i < size; i++) own[size + i] = i;
    PMPI_Win_get_group(win, &all);
    PMPI_Group_translate_ranks(group, size, own + size, all, own);
    PMPI_Group_free(&all);
    free(*ranks);
    *ranks = own;
    return size;
}

enum { SENT, RECEIVED };

static void count_each(const bl_object *o, const int *ranks, int size, int tag, int which)
{
    for (int i = 0; i < size; i++) {
        bl_live_slot *slot = o->comm ? bl_comm_slot(o->comm, ranks[i], tag) : NULL;
        if (slot && which == SENT && bl_rt.piggyback == BL_PIGGYBACK_MARKER) bl_ride_first(slot);
        if (slot && which == SENT) slot->sent++;
        if (slot && which == RECEIVED) slot->received++;
    }
}

BELAY_API int MPI_Win_post(MPI_Group group, int assert, MPI_Win win)
{
    if (!bl_enter()) return PMPI_Win_post(group, assert, win);
    bl_object *o = find((uintptr_t)win);
    if (o) {
        o->exposing = ranks_of(group, win, &o->exposed);
        count_each(o, o->exposed, o->exposing, TAG_POST, SENT);
    }
    bl_wait_begin();
    int rc = PMPI_Win_post(group, assert, win);
    bl_wait_end();
    bl_leave();
    return rc;
}

BELAY_API int MPI_Win_start(MPI_Group group, int assert, MPI_Win win)
{
    if (!bl_enter()) return PMPI_Win_start(group, assert, win);
    bl_wait_begin();
    int rc = PMPI_Win_start(group, assert, win);
    bl_wait_end();
    bl_object *o = find((uintptr_t)win);
    if (o && rc == MPI_SUCCESS) o->starting = ranks_of(group, win, &o->group);
    bl_leave();
    return rc;
}

/* MPI_Win_start need not wait for MPI_Win_post, so that is received here at the latest. */
BELAY_API int MPI_Win_complete(MPI_Win win)
{
    if (!bl_enter()) return PMPI_Win_complete(win);
    bl_object *o = find((uintptr_t)win);
    if (o) count_each(o, o->group, o->starting, TAG_COMPLETE, SENT);
    bl_wait_begin();
    int rc = PMPI_Win_complete(win);
    bl_wait_end();
    o = find((uintptr_t)win);
    if (o && rc == MPI_SUCCESS) {
        count_each(o, o->group, o->starting, TAG_POST, RECEIVED);
        o->starting = -1;
    }
    bl_leave();
    return rc;
}

static void exposure_over(MPI_Win win)
{
    bl_object *o = find((uintptr_t)win);
    if (!o) return;
    count_each(o, o->exposed, o->exposing, TAG_COMPLETE, RECEIVED);
    o->exposing = -1;
}

BELAY_API int MPI_Win_wait(MPI_Win win)
{
    if (!bl_enter()) return PMPI_Win_wait(win);
    bl_wait_begin();
    int rc = PMPI_Win_wait(win);
    bl_wait_end();
    if (rc == MPI_SUCCESS) exposure_over(win);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Win_test(MPI_Win win, int *flag)
{
    if (!bl_enter()) return PMPI_Win_test(win, flag);
    int rc = PMPI_Win_test(win, flag);
    if (rc == MPI_SUCCESS && *flag) exposure_over(win);
    bl_leave();
    return rc;
}

/* --- files --- */

void bl_file_collective(MPI_File file)
{
    collective_on((uintptr_t)file);
}

static void tell_of_output(const char *filename)
{
    if (bl_rt.outputs == FILES_NAMED || !takes_checkpoints() || !bl_rt.settings.verbose) return;
    bl_say("rank %d: %.300s is opened for writing: what is written to it recovery cannot take back, and it may be written twice%s",
           bl_rt.rank, filename, ++bl_rt.outputs == FILES_NAMED ? " (further files are not named)" : "");
}

BELAY_API int MPI_File_open(MPI_Comm comm, const char *filename, int amode, MPI_Info info, MPI_File *fh)
{
    comm = bl_now(comm);
    int how = bl_enter();
    if (!how) return PMPI_File_open(comm, filename, amode, info, fh);
    if (how == BL_ENTERED_LOGGED) bl_log_unlogged("MPI_File_open");
    int rank = 1;
    bl_collective(comm);
    bl_wait_begin();
    int rc = PMPI_File_open(comm, filename, amode, info, fh);
    bl_wait_end();
    if (rc == MPI_SUCCESS) {
        add((uintptr_t)*fh, comm);
        PMPI_Comm_rank(comm, &rank);
        if (rank == 0 && amode & (MPI_MODE_WRONLY | MPI_MODE_RDWR)) tell_of_output(filename);
    }
    bl_leave();
    return rc;
}

BELAY_API int MPI_File_close(MPI_File *fh)
{
    if (!bl_enter()) return PMPI_File_close(fh);
    collective_on((uintptr_t)*fh);
    drop((uintptr_t)*fh);
    bl_wait_begin();
    int rc = PMPI_File_close(fh);
    bl_wait_end();
    bl_leave();
    return rc;
}

/* --- info objects: a communicator whose messages may overtake each other cannot be counted on --- */

static const char overtaking[] = "mpi_assert_allow_overtaking";

MPI_Info bl_info_kept(MPI_Info info)
{
    char value[8];
    int there = 0;
    MPI_Info kept = info;
    if (info == MPI_INFO_NULL) return info;
    PMPI_Info_get(info, overtaking, (int)sizeof value - 1, value, &there);
    if (!there) return info;
    PMPI_Info_dup(info, &kept);
    PMPI_Info_delete(kept, overtaking);
    return kept;
}

void bl_info_done(MPI_Info kept, MPI_Info info)
{
    if (kept != info) PMPI_Info_free(&kept);
}

BELAY_API int MPI_Comm_set_info(MPI_Comm comm, MPI_Info info)
{
    comm = bl_now(comm);
    if (!bl_enter()) return PMPI_Comm_set_info(comm, info);
    MPI_Info own = bl_info_kept(info);
    bl_wait_begin();
    int rc = PMPI_Comm_set_info(comm, own);
    bl_wait_end();
    bl_info_done(own, info);
    bl_leave();
    return rc;
}
