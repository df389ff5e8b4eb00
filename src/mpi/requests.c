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

/* The entry of `key`, or the free one where it belongs. */
static bl_request *probe(uint64_t key)
{
    uint32_t i = home(key);
    while (bl_rt.request[i].key && bl_rt.request[i].key != key) i = (i + 1) & (bl_rt.request_slots - 1);
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
    for (uint32_t i = 0; i < old_slots; i++)
        if (old[i].key) *probe(old[i].key) = old[i];
    free(old);
    return 0;
}

static bl_request *find(uint64_t key)
{
    bl_request *r = bl_rt.request_slots ? probe(key) : NULL;
    return r && r->key ? r : NULL;
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

static void let_go(bl_request *r)
{
    deactivate(r);
    if (r->wants_status) want_status(r, 0);
    if (r->comm) bl_comm_release(r->comm);
}

static void erase(bl_request *r)
{
    let_go(r);
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

static int wild(const bl_request *r)
{
    return r->kind == BL_REQ_RECV && (r->peer == MPI_ANY_SOURCE || r->tag == MPI_ANY_TAG);
}

/* A handle that comes back belonged to a request that ended in a way we do not see. */
static bl_request *new_entry(uint64_t key)
{
    if (make_room()) return NULL;
    bl_request *r = probe(key);
    if (r->key) let_go(r);
    else bl_rt.request_used++;
    return r;
}

static inline void fill(bl_request *r, uint64_t key, enum bl_request_kind kind, enum bl_call call, bl_comm *comm, int peer,
                        int tag, int active)
{
    *r = (bl_request){ .key = key, .comm = comm, .peer = peer, .tag = tag, .kind = (uint8_t)kind, .active = (uint8_t)active,
                       .call = (uint16_t)call, .number = bl_rt.live.header->calls };
    if (comm) comm->refs++;
    bl_rt.active += (uint64_t)active;
}

void bl_request_enter(MPI_Request request, enum bl_request_kind kind, enum bl_call call, MPI_Comm comm, int peer, int tag,
                      int persistent)
{
    bl_request *r = new_entry(key_of(&request, sizeof request));
    if (!r) return;
    fill(r, key_of(&request, sizeof request), kind, call, bl_comm_of(comm), peer, tag, !persistent);
    r->persistent = (uint8_t)persistent;
    if (wild(r)) want_status(r, 1);
    else if (peer >= 0 && (kind == BL_REQ_RECV || persistent)) r->slot = bl_slot(comm, peer, tag); /* counted later */
}

void bl_request_shared_enter(enum bl_request_kind kind, enum bl_call call, MPI_Comm comm, int peer, int tag)
{
    fill(&bl_rt.shared_first, 0, kind, call, bl_comm_of(comm), peer, tag, 1);
    bl_rt.shared_many = 1;
}

void bl_request_shared_leave(void)
{
    let_go(&bl_rt.shared_first);
    bl_rt.shared_many = 0;
}

void bl_request_started(MPI_Request request)
{
    bl_request *r = find(key_of(&request, sizeof request));
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
    } else if (r->kind == BL_REQ_SEND && undone && r->comm) {
        bl_live_slot *slot = bl_comm_slot(r->comm, r->peer, r->tag);
        if (slot) slot->sent--;
    }
}

void bl_request_leave(MPI_Request handle, const MPI_Status *status)
{
    bl_request *r = find(key_of(&handle, sizeof handle));
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
    bl_request *r = handle == bl_rt.shared ? NULL : find(key_of(&handle, sizeof handle));
    if (handle == bl_rt.shared) bl_request_completed(handle, MPI_STATUS_IGNORE);
    if (r) erase(r);
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
    bl_request *r = new_entry(key_of(&message, sizeof message));
    if (r)
        fill(r, key_of(&message, sizeof message), BL_REQ_MESSAGE, call, bl_comm_of(comm), status->MPI_SOURCE, status->MPI_TAG, 1);
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
