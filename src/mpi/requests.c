/* requests.c - what is outstanding: requests by handle, so that a completion finds what it completes and a safe point
 * can name what is still under way.  Most are in bl_rt.recent, where the wrappers find them without a call.  The others
 * are in a table with open addressing and backward-shift deletion; it grows when half full, so nothing is allocated per
 * message once the program has had its largest number of requests. */
#include <stdlib.h>

#include "mpi/carry.h"
#include "mpi/checkpoint.h"
#include "mpi/log.h"
#include "mpi/parcel.h"
#include "mpi/ride.h"
#include "util/clock.h"

#define SETTLE_S 10.0 /* another rank may be long in coming */
#define ABANDON_S 1.0 /* what MPI has not let go of by then is a request that the program itself completes */

static uint64_t key_of_message(MPI_Message message)
{
    return (uint64_t)(uintptr_t)message;
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
    bl_request *r = bl_request_place(key);
    if (r->key == key) return r;
    r = bl_rt.request_used ? probe(key) : NULL;
    return r && r->key ? r : NULL;
}

static int is_recent(const bl_request *r)
{
    return r >= bl_rt.recent && r < bl_rt.recent + BL_RECENT;
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
}

static void take_out(bl_request *r)
{
    if (is_recent(r)) {
        r->key = 0;
        return;
    }
    if (!r->persistent) bl_rt.displaced--;
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

static void erase(bl_request *r)
{
    let_go(r);
    take_out(r);
}

static int wild(const bl_request *r)
{
    return r->kind == BL_REQ_RECV && (r->peer == MPI_ANY_SOURCE || r->tag == MPI_ANY_TAG);
}

/* A free entry for `key`.  A handle that comes back belonged to a request that ended in a way we do not see. */
static bl_request *new_entry(uint64_t key, int persistent)
{
    bl_request *stale = find(key), *r = bl_request_place(key);
    if (stale) erase(stale);
    if (!r->key && !persistent) return r;
    if (make_room()) return NULL;
    bl_rt.request_used++;
    if (!persistent) bl_rt.displaced++;
    return probe(key);
}

static void enter(uint64_t key, enum bl_request_kind kind, enum bl_call call, MPI_Comm comm, int peer, int tag,
                  int persistent)
{
    bl_request *r = new_entry(key, persistent);
    if (!r) return;
    *r = (bl_request){ .key = key, .comm = bl_comm_of(comm), .number = bl_rt.live.header->calls, .peer = peer, .tag = tag,
                       .kind = (uint8_t)kind, .active = !persistent, .persistent = (uint8_t)persistent,
                       .call = (uint8_t)call };
    if (!persistent) bl_rt.active++;
    if (wild(r)) want_status(r, 1);
    else if (peer >= 0 && (kind == BL_REQ_RECV || (kind == BL_REQ_SEND && persistent)))
        r->slot = bl_slot(kind == BL_REQ_SEND ? BL_SENT : BL_RECEIVED, comm, peer, tag); /* counted later */
    r->plain = kind == BL_REQ_RECV && !persistent && r->slot && bl_rt.counting != BL_COUNTING_CARRIED;
}

void bl_request_enter(uint64_t key, enum bl_request_kind kind, enum bl_call call, MPI_Comm comm, int peer, int tag,
                      int persistent)
{
    const bl_way *way = bl_way_of(kind == BL_REQ_SEND ? BL_SENT : BL_RECEIVED, comm, peer, tag);
    bl_request *r = bl_request_place(key);
    if (r->key || bl_rt.displaced || kind > BL_REQ_RECV || persistent || !bl_way_leads(way, comm, peer, tag)) {
        enter(key, kind, call, comm, peer, tag, persistent);
        return;
    }
    int receives = kind == BL_REQ_RECV; /* a send was counted when it was started */
    *r = (bl_request){ .key = key, .comm = way->comm, .slot = receives ? way->slot : &bl_rt.nowhere, .peer = peer, .tag = tag,
                       .number = bl_rt.live.header->calls, .kind = (uint8_t)kind, .active = 1,
                       .plain = bl_rt.counting != BL_COUNTING_CARRIED,
                       .call = (uint8_t)call };
    bl_rt.active++;
}

int bl_request_made_apart(MPI_Request request, const bl_way *way, enum bl_request_kind kind, enum bl_call call)
{
    bl_request_made(request, kind, call, way->handle, way->peer, way->tag, 0);
    return MPI_SUCCESS;
}

void bl_request_shared_enter(enum bl_request_kind kind, enum bl_call call, MPI_Comm comm, int peer, int tag)
{
    bl_rt.shared_first = (bl_request){ .comm = bl_comm_of(comm), .number = bl_rt.live.header->calls, .peer = peer, .tag = tag,
                                       .kind = (uint8_t)kind, .call = (uint8_t)call };
    bl_rt.active++;
}

int bl_request_started(MPI_Request request)
{
    bl_request *r = find(bl_request_key(request));
    if (!r || r->active) return 0;
    r->active = 1;
    r->number = bl_rt.live.header->calls;
    bl_rt.active++;
    if (r->kind != BL_REQ_SEND || !r->slot) return 1;
    if (bl_rt.piggyback == BL_PIGGYBACK_MARKER) bl_ride_first(r->slot);
    r->slot->sent++;
    return 1;
}

void bl_request_not_started(MPI_Request request)
{
    bl_request *r = find(bl_request_key(request));
    if (!r) return;
    deactivate(r);
    if (r->kind == BL_REQ_SEND && r->slot) r->slot->sent--;
}

static bl_live_slot *slot_of(const bl_request *r, const MPI_Status *status)
{
    if (!r->comm || status->MPI_SOURCE < 0) return NULL;
    if (r->comm->handle != MPI_COMM_NULL) return bl_slot(BL_RECEIVED, r->comm->handle, status->MPI_SOURCE, status->MPI_TAG);
    return bl_comm_slot(r->comm, status->MPI_SOURCE, status->MPI_TAG);
}

static int count_completion(const bl_request *r, MPI_Status *status, int ends)
{
    int undone = 0, rc = MPI_SUCCESS;
    if (bl_log_on()) bl_log_completed(r, status, ends);
    if (r->cancelled) PMPI_Test_cancelled(status, &undone);
    bl_live_slot *delivers = NULL;
    if (r->kind == BL_REQ_RECV && !undone && !r->counted) delivers = wild(r) ? slot_of(r, status) : r->slot;
    if (bl_rt.counting == BL_COUNTING_CARRIED) rc = bl_carry_completed(r->key, delivers, undone, ends, status);
    if (delivers) delivers->received++;
    else if (r->counted) return rc;
    else if (r->kind == BL_REQ_SEND && undone && r->comm) {
        bl_live_slot *slot = bl_comm_slot(r->comm, r->peer, r->tag);
        if (slot) slot->sent--;
    }
    return rc;
}

int bl_request_leave(uint64_t key, MPI_Status *status)
{
    bl_request *r = find(key);
    if (!r || !r->active) return MPI_SUCCESS;
    int rc = count_completion(r, status, 1);
    if (!r->persistent) {
        if (r->kind == BL_REQ_COLLECTIVE && r->newcomm) bl_comm_named(r->comm, *r->newcomm);
        erase(r);
        return rc;
    }
    deactivate(r);
    r->cancelled = r->counted = 0;
    want_status(r, wild(r));
    return rc;
}

/* --- while a thread waits for it (waits.c) --- */

/* Out of the table, still outstanding.  Another thread may cancel it there, so it is asked whether it was. */
void bl_request_take(MPI_Request handle, bl_request *taken)
{
    bl_request *r = handle == bl_rt.shared ? NULL : find(bl_request_key(handle));
    taken->key = 0;
    if (!r || r->persistent) return;
    *taken = *r;
    taken->cancelled = 1;
    take_out(r);
}

void bl_request_finish(bl_request *taken, MPI_Status *status)
{
    count_completion(taken, status, 1);
    if (taken->kind == BL_REQ_COLLECTIVE && taken->newcomm) bl_comm_named(taken->comm, *taken->newcomm);
    let_go(taken);
}

void bl_request_return(const bl_request *taken)
{
    bl_request *r = new_entry(taken->key, 0);
    if (!r) return;
    *r = *taken;
    r->plain = 0; /* its status is to be looked at */
}

void bl_request_freed(MPI_Request handle)
{
    bl_request *r = handle == bl_rt.shared ? NULL : find(bl_request_key(handle));
    if (handle == bl_rt.shared) bl_shared_completed(1);
    if (r) erase(r);
}

void bl_request_cancelled(MPI_Request handle)
{
    bl_request *r = find(bl_request_key(handle)); /* not the shared one: what is complete cannot be cancelled */
    if (!r) return;
    r->cancelled = 1;
    r->plain = 0;
    want_status(r, 1);
}

void bl_request_looked_at(MPI_Request handle)
{
    bl_request *r = find(bl_request_key(handle));
    if (!r) return;
    r->plain = 0;
    want_status(r, 1);
}

void bl_request_renamed(MPI_Request from, MPI_Request to)
{
    bl_request *old = find(bl_request_key(from)), copy;
    if (!old) return;
    copy = *old;
    copy.key = bl_request_key(to);
    take_out(old);
    bl_request *r = new_entry(copy.key, copy.persistent);
    if (r) *r = copy;
}

/* The program sees a delivery (or a cancelled one) that MPI keeps the request of. */
int bl_request_seen(MPI_Request handle, MPI_Status *status)
{
    bl_request *r = handle == bl_rt.shared ? NULL : find(bl_request_key(handle));
    if (!r || !r->active) return MPI_SUCCESS;
    int rc = count_completion(r, status, 0);
    r->counted = 1;
    r->plain = 0;
    return rc;
}

void bl_request_idup(MPI_Request request, bl_comm *comm, MPI_Comm *newcomm)
{
    if (request == bl_rt.shared) {
        bl_comm_named(comm, *newcomm);
        bl_request_made(request, BL_REQ_COLLECTIVE, BL_CALL_Comm_idup, *newcomm, 0, 0, 0);
        return;
    }
    bl_request *r = new_entry(bl_request_key(request), 0);
    if (!r) return;
    *r = (bl_request){ .key = bl_request_key(request), .comm = comm, .newcomm = newcomm, .kind = BL_REQ_COLLECTIVE, .active = 1,
                       .number = bl_rt.live.header->calls, .call = BL_CALL_Comm_idup };
    bl_rt.active++;
}

/* A matched message (Mprobe) is counted as delivered there, and outstanding until it is received. */
void bl_message_made(MPI_Message message, enum bl_call call, MPI_Comm comm, const MPI_Status *status)
{
    if (message != MPI_MESSAGE_NO_PROC && message != MPI_MESSAGE_NULL) bl_received(comm, status);
    bl_message_enter(message, call, comm, status);
}

void bl_message_enter(MPI_Message message, enum bl_call call, MPI_Comm comm, const MPI_Status *status)
{
    if (message == MPI_MESSAGE_NO_PROC || message == MPI_MESSAGE_NULL) return;
    enter(key_of_message(message), BL_REQ_MESSAGE, call, comm, status->MPI_SOURCE, status->MPI_TAG, 0);
}

void bl_message_gone(MPI_Message message)
{
    bl_request *r = find(key_of_message(message));
    if (r) erase(r);
}

static const bl_request *older(const bl_request *oldest, const bl_request *table, uint32_t entries)
{
    for (uint32_t i = 0; i < entries; i++)
        if (table[i].key && table[i].active && (!oldest || table[i].number < oldest->number)) oldest = &table[i];
    return oldest;
}

const bl_request *bl_request_outstanding(void)
{
    const bl_request *oldest = bl_rt.shared_many ? &bl_rt.shared_first : NULL;
    return older(older(oldest, bl_rt.recent, BL_RECENT), bl_rt.request, bl_rt.request_slots);
}

static void want_comms(const bl_request *table, uint32_t entries)
{
    for (uint32_t i = 0; i < entries; i++)
        if (table[i].key && table[i].comm) table[i].comm->wanted = 1;
}

void bl_requests_want_comms(void)
{
    want_comms(bl_rt.recent, BL_RECENT);
    want_comms(bl_rt.request, bl_rt.request_slots);
    if (bl_rt.shared_many && bl_rt.shared_first.comm) bl_rt.shared_first.comm->wanted = 1;
    bl_waits_want_comms();
}

int bl_scratch_grow(int count)
{
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

void bl_requests_withdraw(unsigned count, MPI_Request *posted)
{
    for (unsigned i = 0; i < count; i++) {
        PMPI_Cancel(&posted[i]);
        PMPI_Wait(&posted[i], MPI_STATUS_IGNORE);
        PMPI_Request_free(&posted[i]);
    }
}

/* Of the program, when its communicators are revoked: 1: MPI has still got it. */
static int still_mpis(bl_request *r)
{
    MPI_Request handle = (MPI_Request)(uintptr_t)r->key;
    int done = 0;
    if (!r->active || r->call == BL_CALL_Mprobe || r->call == BL_CALL_Improbe) return 0; /* these are messages */
    PMPI_Test(&handle, &done, MPI_STATUS_IGNORE);
    if (done) r->active = 0;
    if (done && r->persistent && handle != MPI_REQUEST_NULL) PMPI_Request_free(&handle);
    if (done) r->key = 0;
    return !done;
}

void bl_requests_each(void (*visit)(bl_request *request))
{
    for (unsigned i = 0; i < BL_RECENT; i++)
        if (bl_rt.recent[i].key) visit(&bl_rt.recent[i]);
    for (uint32_t i = 0; i < bl_rt.request_slots; i++)
        if (bl_rt.request[i].key) visit(&bl_rt.request[i]);
}

void bl_requests_find(MPI_Request handle, void (*visit)(bl_request *request))
{
    bl_request *r = find(bl_request_key(handle));
    if (r) visit(r);
}

int bl_request_receives(MPI_Request handle)
{
    const bl_request *r = find(bl_request_key(handle));
    return r && r->active && r->kind == BL_REQ_RECV && !r->counted;
}

int bl_request_active(MPI_Request handle)
{
    const bl_request *r = find(bl_request_key(handle));
    return r && r->active;
}

MPI_Comm bl_request_comm(MPI_Request handle)
{
    const bl_request *r = find(bl_request_key(handle));
    return r && r->comm ? r->comm->handle : bl_rt.world;
}

static int under_way, strange;
static MPI_Request never; /* complete; while it is waited for */

static void look_whether_settled(bl_request *r)
{
    int done = 1;
    if (!r->active) return;
    strange |= r->kind > BL_REQ_RECV || r->cancelled || !r->comm || r->comm->handle == MPI_COMM_NULL;
    if (strange || r->comm->size == 1) return; /* nobody has died who could break it */
    MPI_Request handle = bl_log_inner((MPI_Request)(uintptr_t)r->key);
    if (bl_log_ours(handle)) return;
    PMPI_Request_get_status(handle, &done, MPI_STATUS_IGNORE);
    under_way += !done;
    if (done) return;
    /* Open MPI finds that a request's communicator is revoked when it tests the request; together with another one, which is not
     * complete, the test leaves it there. */
    MPI_Request both[2] = { handle, never };
    PMPI_Testall(2, both, &done, MPI_STATUSES_IGNORE);
}

static int no_status(void *context, MPI_Status *status)
{
    (void)context;
    PMPI_Status_set_elements(status, MPI_BYTE, 0);
    PMPI_Status_set_cancelled(status, 0);
    return MPI_SUCCESS;
}

static int no_state(void *context)
{
    (void)context;
    return MPI_SUCCESS;
}

static int no_cancel(void *context, int complete)
{
    (void)context;
    (void)complete;
    return MPI_SUCCESS;
}

int bl_requests_settle(void)
{
    int64_t began = bl_ticks_ns();
    PMPI_Grequest_start(no_status, no_state, no_cancel, NULL, &never);
    under_way = 1;
    strange = 0;
    for (unsigned turn = 0; under_way && !strange && bl_seconds(bl_ticks_ns() - began) < SETTLE_S; turn++) {
        under_way = bl_loose_pending();
        bl_requests_each(look_whether_settled);
        if (under_way && turn) bl_pause_briefly(turn);
    }
    PMPI_Grequest_complete(never);
    PMPI_Wait(&never, MPI_STATUS_IGNORE);
    return !under_way && !strange;
}

void bl_request_vanished(MPI_Request handle)
{
    bl_request *r = handle == bl_rt.shared ? NULL : find(bl_request_key(handle));
    if (r) r->active = r->persistent = 0;
    if (r && is_recent(r)) r->key = 0;
}

void bl_requests_abandon(void)
{
    int64_t began = bl_ticks_ns();
    for (unsigned turn = 0, left = 1; left && bl_seconds(bl_ticks_ns() - began) < ABANDON_S; turn++) {
        left = 0;
        for (unsigned i = 0; i < BL_RECENT; i++) left += bl_rt.recent[i].key && still_mpis(&bl_rt.recent[i]);
        for (uint32_t i = 0; i < bl_rt.request_slots; i++) left += bl_rt.request[i].key && still_mpis(&bl_rt.request[i]);
        if (left) bl_pause_briefly(turn);
    }
    for (uint32_t i = 0; i < bl_rt.request_slots; i++) {
        MPI_Request handle = (MPI_Request)(uintptr_t)bl_rt.request[i].key;
        if (bl_rt.request[i].key && bl_rt.request[i].persistent && !bl_rt.request[i].active) PMPI_Request_free(&handle);
    }
}

void bl_requests_free(void)
{
    bl_waits_free();
    free(bl_rt.request);
    free(bl_rt.statuses);
    free(bl_rt.handles);
}
