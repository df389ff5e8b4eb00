/* requests.c - what is outstanding: requests by handle, so that a completion finds what it completes and a safe point
 * can name what is still under way.  Open addressing with backward-shift deletion; grows when half full, so nothing is
 * allocated per message once the program has had its largest number of requests. */
#include <stdlib.h>
#include <string.h>

#include "mpi/runtime.h"

static uint64_t key_of(const void *handle, size_t size)
{
    uint64_t key = 0;
    memcpy(&key, handle, size);
    return key;
}

static uint32_t home(uint64_t key)
{
    return (uint32_t)((key * 0x9e3779b97f4a7c15u) >> 32) & (bl_rt.request_slots - 1);
}

static bl_request *find(uint64_t key)
{
    if (!bl_rt.request_slots) return NULL;
    for (uint32_t i = home(key);; i = (i + 1) & (bl_rt.request_slots - 1)) {
        if (bl_rt.request[i].key == key) return &bl_rt.request[i];
        if (!bl_rt.request[i].key) return NULL;
    }
}

static bl_request *place(uint64_t key)
{
    uint32_t i = home(key);
    while (bl_rt.request[i].key) i = (i + 1) & (bl_rt.request_slots - 1);
    bl_rt.request_used++;
    bl_rt.request[i] = (bl_request){ .key = key };
    return &bl_rt.request[i];
}

static int make_room(void)
{
    if (bl_rt.request_slots && bl_rt.request_used < bl_rt.request_slots / 2) return 0;
    uint32_t old_slots = bl_rt.request_slots, slots = old_slots ? 2 * old_slots : 256;
    bl_request *old = bl_rt.request, *bigger = calloc(slots, sizeof *bigger);
    if (!bigger) {
        bl_rt.refused = "out of memory for requests";
        return -1;
    }
    bl_rt.request = bigger;
    bl_rt.request_slots = slots;
    bl_rt.request_used = 0;
    for (uint32_t i = 0; i < old_slots; i++)
        if (old[i].key) *place(old[i].key) = old[i];
    free(old);
    return 0;
}

static void deactivate(bl_request *r)
{
    if (!r->active) return;
    r->active = 0;
    bl_rt.active--;
}

static void erase(bl_request *r)
{
    deactivate(r);
    if (r->comm) bl_comm_release(r->comm);
    uint32_t mask = bl_rt.request_slots - 1, hole = (uint32_t)(r - bl_rt.request);
    for (uint32_t i = (hole + 1) & mask; bl_rt.request[i].key; i = (i + 1) & mask) {
        uint32_t wanted = home(bl_rt.request[i].key);
        if (((i - wanted) & mask) < ((i - hole) & mask)) continue; /* it may not move before its home */
        bl_rt.request[hole] = bl_rt.request[i];
        hole = i;
    }
    bl_rt.request[hole].key = 0;
    bl_rt.request_used--;
}

static void made(uint64_t key, bl_request what, bl_comm *comm)
{
    bl_request *r = find(key);
    uint32_t many = 0;
    if (r) {
        /* Only the shared handle of complete requests can stand for several; another handle that comes back belonged
         * to a request that ended in a way we do not see, and is simply over. */
        many = key == key_of(&bl_rt.shared, sizeof bl_rt.shared) ? r->many : 0;
        if (!many) erase(r);
        else {
            r->many++;
            return;
        }
    }
    if (make_room()) return;
    r = place(key);
    what.key = key;
    what.comm = comm;
    what.many = many + 1;
    what.number = bl_rt.live.header->calls;
    *r = what;
    if (comm) comm->refs++;
    if (r->active) bl_rt.active++;
}

void bl_request_made(MPI_Request request, enum bl_request_kind kind, enum bl_call call, MPI_Comm comm, int peer, int tag,
                     int persistent)
{
    made(key_of(&request, sizeof request),
         (bl_request){ .peer = peer, .tag = tag, .kind = (uint8_t)kind, .call = (uint16_t)call,
                       .active = !persistent, .persistent = (uint8_t)persistent },
         bl_comm_of(comm));
}

void bl_request_started(MPI_Request request)
{
    bl_request *r = find(key_of(&request, sizeof request));
    if (!r || r->active) return;
    r->active = 1;
    r->number = bl_rt.live.header->calls;
    bl_rt.active++;
    if (r->kind == BL_REQ_SEND && r->comm && r->peer != MPI_PROC_NULL) {
        bl_live_slot *slot = bl_comm_slot(r->comm, r->peer, r->tag);
        if (slot) slot->sent++;
    }
}

static int took_effect(const bl_request *r, const MPI_Status *status)
{
    int flag = 0;
    if (r->cancelled) PMPI_Test_cancelled(status, &flag);
    return flag;
}

static void count_completion(const bl_request *r, const MPI_Status *status)
{
    bl_live_slot *slot;
    int undone = took_effect(r, status);
    if (!r->comm) return;
    if (r->kind == BL_REQ_SEND && undone && r->peer != MPI_PROC_NULL) {
        slot = bl_comm_slot(r->comm, r->peer, r->tag);
        if (slot) slot->sent--;
    } else if (r->kind == BL_REQ_RECV && !undone && r->peer != MPI_PROC_NULL) {
        if (r->comm->handle != MPI_COMM_NULL) {
            bl_received(r->comm->handle, status);
        } else if (status->MPI_SOURCE >= 0) {
            slot = bl_comm_slot(r->comm, status->MPI_SOURCE, status->MPI_TAG);
            if (slot) slot->received++;
        }
    }
}

void bl_request_completed(MPI_Request handle, const MPI_Status *status)
{
    bl_request *r = find(key_of(&handle, sizeof handle));
    if (!r || !r->active) return;
    count_completion(r, status);
    if (r->many > 1) {
        r->many--;
    } else if (r->persistent) {
        deactivate(r);
        r->cancelled = 0;
    } else {
        erase(r);
    }
}

void bl_request_freed(MPI_Request handle)
{
    bl_request *r = find(key_of(&handle, sizeof handle));
    if (!r) return;
    if (r->many > 1) r->many--;
    else erase(r);
}

void bl_request_cancelled(MPI_Request handle)
{
    bl_request *r = find(key_of(&handle, sizeof handle));
    if (r) r->cancelled = 1;
}

/* A matched message (Mprobe) is counted as delivered there, and outstanding until it is received. */
void bl_message_made(MPI_Message message, enum bl_call call, MPI_Comm comm, const MPI_Status *status)
{
    if (message == MPI_MESSAGE_NO_PROC || message == MPI_MESSAGE_NULL) return;
    bl_received(comm, status);
    made(key_of(&message, sizeof message),
         (bl_request){ .peer = status->MPI_SOURCE, .tag = status->MPI_TAG, .kind = BL_REQ_MESSAGE, .call = (uint16_t)call,
                       .active = 1 },
         bl_comm_of(comm));
}

void bl_message_gone(MPI_Message message)
{
    bl_request *r = find(key_of(&message, sizeof message));
    if (r) erase(r);
}

const bl_request *bl_request_outstanding(void)
{
    const bl_request *oldest = NULL;
    for (uint32_t i = 0; i < bl_rt.request_slots && bl_rt.active; i++) {
        const bl_request *r = &bl_rt.request[i];
        if (r->key && r->active && (!oldest || r->number < oldest->number)) oldest = r;
    }
    return oldest;
}

int bl_scratch(int count)
{
    if (count <= bl_rt.scratch) return 0;
    MPI_Status *statuses = realloc(bl_rt.statuses, sizeof *statuses * (size_t)count);
    if (statuses) bl_rt.statuses = statuses;
    MPI_Request *handles = realloc(bl_rt.handles, sizeof *handles * (size_t)count);
    if (handles) bl_rt.handles = handles;
    if (!statuses || !handles) {
        bl_rt.refused = "out of memory for requests";
        return -1;
    }
    bl_rt.scratch = count;
    return 0;
}

void bl_requests_free(void)
{
    free(bl_rt.request);
    free(bl_rt.statuses);
    free(bl_rt.handles);
}
