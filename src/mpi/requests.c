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

static void want_status(bl_request *r, int wants)
{
    bl_rt.wanting += (uint64_t)(wants - r->wants_status);
    r->wants_status = (uint8_t)wants;
}

static void erase(bl_request *r)
{
    deactivate(r);
    want_status(r, 0);
    if (r->comm) bl_comm_release(r->comm);
    if (r == &bl_rt.shared_first) {
        bl_rt.shared_many = 0;
        return;
    }
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

static int is_shared(uint64_t key)
{
    return key == key_of(&bl_rt.shared, sizeof bl_rt.shared);
}

static bl_request *known(uint64_t key)
{
    return is_shared(key) ? (bl_rt.shared_many ? &bl_rt.shared_first : NULL) : find(key);
}

/* A handle that comes back, but for the shared one, belonged to a request that ended in a way we do not see. */
static bl_request *new_entry(uint64_t key)
{
    if (is_shared(key)) {
        bl_rt.shared_many++;
        return &bl_rt.shared_first;
    }
    bl_request *r = find(key);
    if (r) erase(r);
    return make_room() ? NULL : place(key);
}

static int wild(const bl_request *r)
{
    return r->kind == BL_REQ_RECV && (r->peer == MPI_ANY_SOURCE || r->tag == MPI_ANY_TAG);
}

static inline bl_request *enter(uint64_t key, enum bl_request_kind kind, enum bl_call call, bl_comm *comm, int peer, int tag,
                                int active)
{
    bl_request *r = new_entry(key);
    if (!r) return NULL;
    *r = (bl_request){ .key = key, .comm = comm, .peer = peer, .tag = tag, .kind = (uint8_t)kind, .active = (uint8_t)active,
                       .call = (uint16_t)call, .number = bl_rt.live.header->calls };
    if (comm) comm->refs++;
    bl_rt.active += (uint64_t)active;
    return r;
}

void bl_request_enter(MPI_Request request, enum bl_request_kind kind, enum bl_call call, MPI_Comm comm, int peer, int tag,
                      int persistent)
{
    bl_request *r = enter(key_of(&request, sizeof request), kind, call, bl_comm_of(comm), peer, tag, !persistent);
    if (!r) return;
    r->persistent = (uint8_t)persistent;
    if (wild(r)) want_status(r, 1);
    else if ((kind == BL_REQ_RECV || kind == BL_REQ_SEND) && peer >= 0) r->slot = bl_slot(comm, peer, tag);
}

void bl_request_started(MPI_Request request)
{
    bl_request *r = known(key_of(&request, sizeof request));
    if (!r || r->active) return;
    r->active = 1;
    r->number = bl_rt.live.header->calls;
    bl_rt.active++;
    if (r->kind == BL_REQ_SEND && r->slot) r->slot->sent++;
}

static bl_live_slot *slot_of(const bl_request *r, const MPI_Status *status)
{
    if (!r->comm || status->MPI_SOURCE < 0) return NULL;
    if (r->comm->handle != MPI_COMM_NULL) return bl_slot(r->comm->handle, status->MPI_SOURCE, status->MPI_TAG);
    return bl_comm_slot(r->comm, status->MPI_SOURCE, status->MPI_TAG);
}

static void count_completion(const bl_request *r, const MPI_Status *status)
{
    int undone = 0;
    if (r->cancelled) PMPI_Test_cancelled(status, &undone);
    if (r->kind == BL_REQ_RECV && !undone) {
        bl_live_slot *slot = wild(r) ? slot_of(r, status) : r->slot;
        if (slot) slot->received++;
    } else if (r->kind == BL_REQ_SEND && undone && r->slot) {
        r->slot->sent--;
    }
}

void bl_request_leave(MPI_Request handle, const MPI_Status *status)
{
    bl_request *r = known(key_of(&handle, sizeof handle));
    if (!r || !r->active) return;
    count_completion(r, status);
    if (!r->persistent) {
        erase(r);
        return;
    }
    deactivate(r);
    r->cancelled = 0;
    want_status(r, wild(r));
}

void bl_request_freed(MPI_Request handle)
{
    bl_request *r = known(key_of(&handle, sizeof handle));
    if (r == &bl_rt.shared_first && bl_rt.shared_many > 1) bl_rt.shared_many--;
    else if (r) erase(r);
}

void bl_request_cancelled(MPI_Request handle)
{
    bl_request *r = find(key_of(&handle, sizeof handle)); /* not the shared one: what is complete cannot be cancelled */
    if (!r) return;
    r->cancelled = 1;
    want_status(r, 1);
}

/* A matched message (Mprobe) is counted as delivered there, and outstanding until it is received. */
void bl_message_made(MPI_Message message, enum bl_call call, MPI_Comm comm, const MPI_Status *status)
{
    if (message == MPI_MESSAGE_NO_PROC || message == MPI_MESSAGE_NULL) return;
    bl_received(comm, status);
    enter(key_of(&message, sizeof message), BL_REQ_MESSAGE, call, bl_comm_of(comm), status->MPI_SOURCE, status->MPI_TAG, 1);
}

void bl_message_gone(MPI_Message message)
{
    bl_request *r = find(key_of(&message, sizeof message));
    if (r) erase(r);
}

const bl_request *bl_request_outstanding(void)
{
    const bl_request *oldest = bl_rt.shared_many ? &bl_rt.shared_first : NULL;
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
