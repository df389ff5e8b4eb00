/* carry.c - the wrappers of messages where something is carried with each: every call is the plan of a parcel (parcel.h), MPI's
 * own call with what the plan says, and the opening of what has come. */
#include <stdlib.h>
#include <string.h>

#include "mpi/carry.h"
#include "mpi/checkpoint.h"
#include "mpi/parcel.h"

#define WANTED(status, own) ((status) == MPI_STATUS_IGNORE ? &(own) : (status))

static const bl_under_calls plain = {
#define BL_CARRIED_CALL(name) .name = PMPI_##name,
    BL_CARRIED(BL_CARRIED_CALL)
#undef BL_CARRIED_CALL
};
const bl_under_calls *bl_under = &plain;

static int in_header;       /* riders travel with the messages */
static int shorter;         /* and nobody asks anything else of them: then the frequent ones go a shorter way */
static bl_parcel *freed;    /* MPI_Request_free was called on them; looked at now and then */

static MPI_Request request_of(const bl_parcel *p)
{
    return (MPI_Request)(uintptr_t)p->key;
}

static void look_after_freed(void)
{
    for (bl_parcel **link = &freed; *link;) {
        bl_parcel *p = *link;
        MPI_Request request = request_of(p);
        MPI_Status status;
        int done = 0, undone = 0;
        if (PMPI_Test(&request, &done, &status) == MPI_SUCCESS && !done) {
            link = &p->next_freed;
            continue;
        }
        *link = p->next_freed;
        if (done) PMPI_Test_cancelled(&status, &undone);
        if (done && !undone && p->receives) bl_parcel_open(p, NULL, &status);
        if (request != MPI_REQUEST_NULL) PMPI_Request_free(&request);
        bl_parcel_drop(p);
    }
}

static void enter(void)
{
    if (bl_rt.locked) bl_lock();
    bl_count_call();
    if (__builtin_expect(freed != NULL, 0)) look_after_freed();
}

static int leave(int rc)
{
    bl_leave();
    return rc;
}

/* An error that MPI does not know of yet. */
static int say_to_handler(MPI_Comm comm, int rc)
{
    PMPI_Comm_call_errhandler(comm == MPI_COMM_NULL ? bl_rt.world : comm, rc);
    return rc;
}

/* Several threads: nobody waits in MPI with the lock. */
static int finish(MPI_Request *request, MPI_Status *status)
{
    int done = 0, rc;
    for (unsigned turn = 0; (rc = PMPI_Test(request, &done, status)) == MPI_SUCCESS && !done; turn++) bl_let_others(turn);
    return rc;
}

/* --- sends --- */

typedef int send_call(const void *, int, MPI_Datatype, int, int, MPI_Comm);
typedef int isend_call(const void *, int, MPI_Datatype, int, int, MPI_Comm, MPI_Request *);

/* Planned, its rider on it, counted: what is left is to send it. */
static int depart(bl_parcel *p, const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm)
{
    int rc = bl_parcel_out(p, buf, count, type, dest, tag, comm);
    bl_live_slot *slot = p->comm ? bl_slot(BL_SENT, comm, dest, tag) : NULL;
    if (rc == MPI_SUCCESS) rc = bl_parcel_load(p, slot);
    if (slot) slot->sent++;
    return rc ? say_to_handler(comm, rc) : rc;
}

/* Large: the trailer follows while MPI looks for the receiver. */
static int start_and_wait(isend_call *start, bl_parcel *p, int dest, int tag, MPI_Comm comm)
{
    MPI_Request request;
    int rc = start(p->at, p->wire_count, p->wire_type, dest, tag, comm, &request);
    if (rc) return rc;
    rc = bl_parcel_sent(p, !bl_rt.locked);
    if (rc) return rc;
    return bl_rt.locked ? finish(&request, MPI_STATUS_IGNORE) : PMPI_Wait(&request, MPI_STATUS_IGNORE);
}

/* The way of a message on a channel that was used before, when it needs no plan; NULL when it is anything else. */
static bl_way *short_way(int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm, size_t *bytes)
{
    const bl_layout *l = &bl_layouts[((uintptr_t)type >> 4) & (BL_LAYOUTS - 1)];
    bl_way *way = bl_way_of(BL_SENT, comm, dest, tag);
    if (!shorter || l->type != type || !l->contiguous || count < 0 || !bl_way_leads(way, comm, dest, tag)) return NULL;
    *bytes = (size_t)l->size * (size_t)count;
    int plain_form = *bytes <= BL_INLINE_PAYLOAD || *bytes > BL_INLINE;
    return plain_form && !way->comm->foreign && way->slot->peer != bl_rt.rank ? way : NULL;
}

static int send_small(send_call *call, const void *buf, size_t bytes, int dest, int tag, MPI_Comm comm, bl_way *way)
{
    bl_room room;
    MPI_Datatype type;
    int count;
    if (bl_wire_of(bytes, &type, &count) || bl_room_take(&room, bl_trailer_at(bytes) + BL_TRAILER))
        return say_to_handler(comm, MPI_ERR_NO_MEM);
    if (bytes) memcpy(room.at, buf, bytes);
    bl_trailer_write(room.at + bl_trailer_at(bytes), bl_ride_here());
    way->slot->sent++;
    int rc = call(room.at, count, type, dest, tag, comm);
    bl_room_give(&room);
    return rc;
}

/* The trailer goes out while MPI looks for the receiver. */
static int send_large(isend_call *start, const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm, bl_way *way)
{
    bl_rider rider = bl_ride_here();
    bl_beside what = { .comm = way->comm->id, .tag = tag, .interval = rider.interval, .index = rider.index,
                       .incarnation = bl_rt.incarnation };
    way->slot->sent++;
    MPI_Request request;
    int rc = start(buf, count, type, dest, tag, comm, &request);
    if (rc) return rc;
    rc = bl_beside_send(way->slot->peer, &what, NULL, 1);
    return rc ? say_to_handler(comm, rc) : PMPI_Wait(&request, MPI_STATUS_IGNORE);
}

static int send(send_call *call, isend_call *start, const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm)
{
    enter();
    size_t bytes;
    bl_way *way = short_way(count, type, dest, tag, comm, &bytes);
    if (__builtin_expect(way != NULL, 1))
        return leave(bytes <= BL_INLINE ? send_small(call, buf, bytes, dest, tag, comm, way)
                                        : send_large(start, buf, count, type, dest, tag, comm, way));
    bl_parcel p;
    int rc = depart(&p, buf, count, type, dest, tag, comm);
    if (rc == MPI_SUCCESS && !bl_rt.locked) rc = bl_parcel_sent(&p, 1);
    if (rc == MPI_SUCCESS)
        rc = bl_rt.locked ? start_and_wait(start, &p, dest, tag, comm)
                                                     : call(p.at, p.wire_count, p.wire_type, dest, tag, comm);
    bl_parcel_done(&p);
    return leave(rc);
}

/* What is in memory of ours is there until the request is complete. */
static int isend(isend_call *call, enum bl_call name, const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm,
                 MPI_Request *request)
{
    bl_parcel p;
    enter();
    int rc = depart(&p, buf, count, type, dest, tag, comm);
    if (rc == MPI_SUCCESS) rc = call(p.at, p.wire_count, p.wire_type, dest, tag, comm, request);
    if (rc == MPI_SUCCESS) rc = bl_parcel_sent(&p, 0);
    if (rc == MPI_SUCCESS) bl_request_made(*request, BL_REQ_SEND, name, comm, dest, tag, 0);
    if (rc == MPI_SUCCESS && p.room.at && *request != bl_rt.shared) bl_parcel_keep(&p, bl_request_key(*request));
    else bl_parcel_done(&p);
    return leave(rc);
}

static int carried_Send(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm)
{
    return send(PMPI_Send, PMPI_Isend, buf, count, type, dest, tag, comm);
}

static int carried_Ssend(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm)
{
    return send(PMPI_Ssend, PMPI_Issend, buf, count, type, dest, tag, comm);
}

static int carried_Rsend(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm)
{
    return send(PMPI_Rsend, PMPI_Irsend, buf, count, type, dest, tag, comm);
}

static int carried_Isend(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm, MPI_Request *request)
{
    return isend(PMPI_Isend, BL_CALL_Isend, buf, count, type, dest, tag, comm, request);
}

static int carried_Issend(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm, MPI_Request *request)
{
    return isend(PMPI_Issend, BL_CALL_Issend, buf, count, type, dest, tag, comm, request);
}

static int carried_Irsend(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm, MPI_Request *request)
{
    return isend(PMPI_Irsend, BL_CALL_Irsend, buf, count, type, dest, tag, comm, request);
}

/* The program's buffer has room for its messages, not for trailers: what is copied anyhow stays in memory of ours. */
static int buffered(bl_parcel *p, int dest, int tag, MPI_Comm comm)
{
    if (!p->room.at) {
        int rc = PMPI_Bsend(p->at, p->wire_count, p->wire_type, dest, tag, comm);
        return rc ? rc : bl_parcel_sent(p, 0);
    }
    return bl_loose_send(&p->room, p->at, p->wire_count, p->wire_type, dest, tag, comm);
}

static int carried_Bsend(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm)
{
    bl_parcel p;
    enter();
    int rc = depart(&p, buf, count, type, dest, tag, comm);
    if (rc == MPI_SUCCESS) rc = buffered(&p, dest, tag, comm);
    bl_parcel_done(&p);
    return leave(rc);
}

/* Complete when it has been copied, which it is. */
static int carried_Ibsend(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm, MPI_Request *request)
{
    bl_parcel p;
    enter();
    int rc = depart(&p, buf, count, type, dest, tag, comm);
    if (rc == MPI_SUCCESS && p.room.at) {
        rc = buffered(&p, dest, tag, comm);
        if (rc == MPI_SUCCESS) rc = PMPI_Isend(NULL, 0, MPI_BYTE, MPI_PROC_NULL, 0, comm, request);
    } else if (rc == MPI_SUCCESS) {
        rc = PMPI_Ibsend(p.at, p.wire_count, p.wire_type, dest, tag, comm, request);
        if (rc == MPI_SUCCESS) rc = bl_parcel_sent(&p, 0);
    }
    if (rc == MPI_SUCCESS) bl_request_made(*request, BL_REQ_SEND, BL_CALL_Ibsend, comm, dest, tag, 0);
    bl_parcel_done(&p);
    return leave(rc);
}

/* --- receives --- */

/* Received by a call that waits; counts it. */
static int arrive(bl_parcel *p, MPI_Comm comm, MPI_Status *status)
{
    if (!p->comm || status->MPI_SOURCE < 0) return MPI_SUCCESS;
    bl_live_slot *slot = bl_slot(BL_RECEIVED, comm, status->MPI_SOURCE, status->MPI_TAG);
    int rc = bl_parcel_open(p, slot, status);
    if (slot) slot->received++;
    return rc;
}

static int arrived(bl_parcel *p, MPI_Comm comm, MPI_Status *status)
{
    int rc = arrive(p, comm, status);
    bl_parcel_done(p);
    return rc;
}

/* Started, and its place in the order of receives taken. */
static bl_parcel *post(const bl_parcel *draft, MPI_Request request)
{
    bl_parcel *p = bl_parcel_keep(draft, bl_request_key(request));
    p->active = 1;
    bl_parcel_post(p);
    return p;
}

static int wait_for(bl_parcel *draft, MPI_Request request, MPI_Comm comm, MPI_Status *status)
{
    bl_parcel *p = request == bl_rt.shared ? NULL : post(draft, request);
    int rc = finish(&request, status);
    if (!p) return rc;
    if (rc == MPI_SUCCESS) {
        p->final = status;
        rc = arrive(p, comm, status);
    }
    bl_parcel_drop(p);
    draft->room.at = draft->saved.at = NULL; /* went with the kept one */
    return rc;
}

static int receive(bl_parcel *p, int source, int tag, MPI_Comm comm, MPI_Status *status)
{
    if (!bl_rt.locked) {
        int rc = PMPI_Recv(p->at, p->wire_count, p->wire_type, source, tag, comm, status);
        return rc ? rc : arrive(p, comm, status);
    }
    MPI_Request request;
    int rc = PMPI_Irecv(p->at, p->wire_count, p->wire_type, source, tag, comm, &request);
    return rc ? rc : wait_for(p, request, comm, status);
}

static int plan(bl_parcel *p, void *buf, int count, MPI_Datatype type, int source, int tag, MPI_Comm comm)
{
    int rc = bl_parcel_in(p, buf, count, type, source, tag, comm);
    if (rc) return say_to_handler(comm, rc);
    bl_parcel_save(p);
    return MPI_SUCCESS;
}

/* The shorter way; 0 when it is not for what has come. */
static int take_small(const bl_room *room, void *buf, size_t bytes, MPI_Comm comm, MPI_Status *status)
{
    bl_way *way = bl_way_of(BL_RECEIVED, comm, status->MPI_SOURCE, status->MPI_TAG);
    size_t wire = (size_t)bl_status_bytes(status);
    bl_rider rider;
    if (wire < BL_TRAILER || !bl_way_leads(way, comm, status->MPI_SOURCE, status->MPI_TAG)) return 0;
    if (way->comm->foreign || way->slot->peer == bl_rt.rank || !bl_trailer_read(room->at + wire - BL_TRAILER, &rider)) return 0;
    wire -= BL_TRAILER;
    if (wire > bytes) return 0;
    bl_ride_came(way->slot->peer, &rider);
    if (wire) memcpy(buf, room->at, wire);
    bl_status_set_bytes(status, (MPI_Count)wire);
    way->slot->received++;
    return 1;
}

static int take_large(MPI_Comm comm, MPI_Status *status)
{
    bl_way *way = bl_way_of(BL_RECEIVED, comm, status->MPI_SOURCE, status->MPI_TAG);
    bl_rider rider;
    if (bl_status_bytes(status) <= BL_INLINE || !bl_way_leads(way, comm, status->MPI_SOURCE, status->MPI_TAG)) return 0;
    if (way->comm->foreign || way->slot->peer == bl_rt.rank) return 0;
    bl_beside_rider(way->slot->peer, way->comm->id, status->MPI_TAG, &rider);
    bl_ride_came(way->slot->peer, &rider);
    way->slot->received++;
    return 1;
}

static int receive_small(void *buf, int count, MPI_Datatype type, size_t bytes, int source, int tag, MPI_Comm comm, MPI_Status *status)
{
    bl_room room;
    if (bl_room_take(&room, bytes + BL_TRAILER)) return say_to_handler(comm, MPI_ERR_NO_MEM);
    int rc = PMPI_Recv(room.at, (int)bytes + BL_TRAILER, MPI_BYTE, source, tag, comm, status);
    if (rc == MPI_SUCCESS && !take_small(&room, buf, bytes, comm, status)) {
        bl_parcel p;
        rc = bl_parcel_in(&p, buf, count, type, source, tag, comm);
        bl_room_give(&p.room);
        p.at = room.at;
        p.room = room;
        return rc ? say_to_handler(comm, rc) : arrived(&p, comm, status);
    }
    bl_room_give(&room);
    return rc;
}

/* Into the program's memory; what lies there is saved first, as a small one brings its trailer along. */
static int receive_large(void *buf, int count, MPI_Datatype type, size_t bytes, int source, int tag, MPI_Comm comm, MPI_Status *status)
{
    bl_room saved;
    if (bl_room_take(&saved, BL_INLINE)) return say_to_handler(comm, MPI_ERR_NO_MEM);
    memcpy(saved.at, buf, BL_INLINE);
    bl_beside_repost();
    int rc = PMPI_Recv(buf, count, type, source, tag, comm, status);
    if (rc == MPI_SUCCESS && !take_large(comm, status)) {
        bl_parcel p;
        bl_parcel_direct(&p, buf, count, type, bytes, source, tag, comm, &saved);
        return arrived(&p, comm, status);
    }
    bl_room_give(&saved);
    return rc;
}

/* Contiguous, and on a communicator whose messages carry trailers, whoever sends them. */
static int is_simple(int count, MPI_Datatype type, int source, MPI_Comm comm, size_t *bytes)
{
    const bl_layout *l = &bl_layouts[((uintptr_t)type >> 4) & (BL_LAYOUTS - 1)];
    const bl_comm *known = bl_rt.comm_way[((uintptr_t)comm >> 4) & (BL_COMM_WAYS - 1)];
    if (!shorter || l->type != type || !l->contiguous || count < 0 || source == MPI_PROC_NULL) return 0;
    if (!known || known->handle != comm || known->foreign || (source >= 0 && bl_comm_world_rank(known, source) == bl_rt.rank)) return 0;
    *bytes = (size_t)l->size * (size_t)count;
    return *bytes <= BL_INLINE_PAYLOAD || *bytes > BL_INLINE;
}

static int carried_Recv(void *buf, int count, MPI_Datatype type, int source, int tag, MPI_Comm comm, MPI_Status *status)
{
    bl_parcel p;
    MPI_Status own, *s = WANTED(status, own);
    size_t bytes;
    enter();
    if (__builtin_expect(is_simple(count, type, source, comm, &bytes), 1))
        return leave(bytes <= BL_INLINE ? receive_small(buf, count, type, bytes, source, tag, comm, s)
                                        : receive_large(buf, count, type, bytes, source, tag, comm, s));
    int rc = plan(&p, buf, count, type, source, tag, comm);
    if (rc == MPI_SUCCESS) rc = receive(&p, source, tag, comm, s);
    bl_parcel_done(&p);
    return leave(rc);
}

static int carried_Irecv(void *buf, int count, MPI_Datatype type, int source, int tag, MPI_Comm comm, MPI_Request *request)
{
    bl_parcel p;
    enter();
    int rc = plan(&p, buf, count, type, source, tag, comm);
    if (rc == MPI_SUCCESS) rc = PMPI_Irecv(p.at, p.wire_count, p.wire_type, source, tag, comm, request);
    if (rc == MPI_SUCCESS) bl_request_made(*request, BL_REQ_RECV, BL_CALL_Irecv, comm, source, tag, 0);
    if (rc == MPI_SUCCESS && p.comm && *request != bl_rt.shared) post(&p, *request);
    else bl_parcel_done(&p);
    return leave(rc);
}

/* --- both --- */

static int exchange_locked(bl_parcel *out, int dest, int sendtag, bl_parcel *in, int source, int recvtag, MPI_Comm comm,
                           MPI_Status *status)
{
    MPI_Request sending, receiving;
    int rc = PMPI_Irecv(in->at, in->wire_count, in->wire_type, source, recvtag, comm, &receiving);
    if (rc) return rc;
    rc = PMPI_Isend(out->at, out->wire_count, out->wire_type, dest, sendtag, comm, &sending);
    if (rc == MPI_SUCCESS) rc = bl_parcel_sent(out, 0);
    if (rc) return rc;
    rc = wait_for(in, receiving, comm, status);
    int sent = finish(&sending, MPI_STATUS_IGNORE);
    return rc ? rc : sent;
}

static int exchange(bl_parcel *out, int dest, int sendtag, bl_parcel *in, int source, int recvtag, MPI_Comm comm, MPI_Status *status)
{
    if (bl_rt.locked) return exchange_locked(out, dest, sendtag, in, source, recvtag, comm, status);
    int rc = bl_parcel_sent(out, 0);
    if (rc) return rc;
    rc = PMPI_Sendrecv(out->at, out->wire_count, out->wire_type, dest, sendtag, in->at, in->wire_count, in->wire_type, source,
                           recvtag, comm, status);
    return rc ? rc : arrive(in, comm, status);
}

static int carried_Sendrecv(const void *sendbuf, int sendcount, MPI_Datatype sendtype, int dest, int sendtag, void *recvbuf,
                            int recvcount, MPI_Datatype recvtype, int source, int recvtag, MPI_Comm comm, MPI_Status *status)
{
    bl_parcel out, in;
    MPI_Status own, *s = WANTED(status, own);
    enter();
    int rc = plan(&in, recvbuf, recvcount, recvtype, source, recvtag, comm);
    if (rc == MPI_SUCCESS) {
        rc = depart(&out, sendbuf, sendcount, sendtype, dest, sendtag, comm);
        if (rc == MPI_SUCCESS) rc = exchange(&out, dest, sendtag, &in, source, recvtag, comm, s);
        bl_parcel_done(&out);
    }
    bl_parcel_done(&in);
    return leave(rc);
}

/* What is not copied to be sent has to be, since what comes goes to the same place; the elements are MPI's to copy. */
static int copy_to_send(bl_parcel *out, MPI_Comm comm)
{
    if (!out->comm || out->room.at || out->peer == MPI_PROC_NULL) return MPI_SUCCESS;
    const bl_layout *l = bl_layout_of(out->type);
    size_t bytes = (size_t)l->size * (size_t)out->count;
    int rc = bl_room_take(&out->room, bytes);
    if (rc == MPI_SUCCESS) rc = bl_pack(out->user, out->count, out->type, out->room.at, bytes);
    if (rc == MPI_SUCCESS && !l->contiguous && bytes > INT32_MAX) rc = MPI_ERR_COUNT;
    if (rc) return say_to_handler(comm, rc);
    out->at = out->room.at;
    if (l->contiguous) return MPI_SUCCESS; /* as many of the same type */
    out->wire_type = MPI_BYTE;
    out->wire_count = (int)bytes;
    return MPI_SUCCESS;
}

static int carried_Sendrecv_replace(void *buf, int count, MPI_Datatype type, int dest, int sendtag, int source, int recvtag,
                                    MPI_Comm comm, MPI_Status *status)
{
    bl_parcel out, in;
    MPI_Status own, *s = WANTED(status, own);
    enter();
    int rc = plan(&in, buf, count, type, source, recvtag, comm);
    if (rc == MPI_SUCCESS) {
        rc = depart(&out, buf, count, type, dest, sendtag, comm);
        if (rc == MPI_SUCCESS) rc = copy_to_send(&out, comm);
        if (rc == MPI_SUCCESS) rc = exchange(&out, dest, sendtag, &in, source, recvtag, comm, s);
        bl_parcel_done(&out);
    }
    bl_parcel_done(&in);
    return leave(rc);
}

/* --- persistent requests --- */

typedef int init_call(const void *, int, MPI_Datatype, int, int, MPI_Comm, MPI_Request *);

static void keep_persistent(bl_parcel *draft, MPI_Request request)
{
    if (!draft->comm || request == bl_rt.shared) {
        bl_parcel_done(draft);
        return;
    }
    draft->persistent = 1;
    bl_parcel_keep(draft, bl_request_key(request));
}

static int send_init(init_call *call, enum bl_call name, const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm,
                     MPI_Request *request)
{
    bl_parcel p;
    enter();
    int rc = bl_parcel_out(&p, buf, count, type, dest, tag, comm);
    if (rc) say_to_handler(comm, rc);
    /* What is copied at its start needs no room in the program's buffer. */
    if (call == PMPI_Bsend_init && p.room.at) call = PMPI_Send_init;
    if (p.comm) p.slot = bl_slot(BL_SENT, comm, dest, tag);
    if (rc == MPI_SUCCESS) rc = call(p.at, p.wire_count, p.wire_type, dest, tag, comm, request);
    if (rc == MPI_SUCCESS) {
        bl_request_made(*request, BL_REQ_SEND, name, comm, dest, tag, 1);
        keep_persistent(&p, *request);
    } else {
        bl_parcel_done(&p);
    }
    return leave(rc);
}

static int carried_Send_init(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm, MPI_Request *request)
{
    return send_init(PMPI_Send_init, BL_CALL_Send_init, buf, count, type, dest, tag, comm, request);
}

static int carried_Bsend_init(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm, MPI_Request *request)
{
    return send_init(PMPI_Bsend_init, BL_CALL_Bsend_init, buf, count, type, dest, tag, comm, request);
}

static int carried_Ssend_init(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm, MPI_Request *request)
{
    return send_init(PMPI_Ssend_init, BL_CALL_Ssend_init, buf, count, type, dest, tag, comm, request);
}

static int carried_Rsend_init(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm, MPI_Request *request)
{
    return send_init(PMPI_Rsend_init, BL_CALL_Rsend_init, buf, count, type, dest, tag, comm, request);
}

static int carried_Recv_init(void *buf, int count, MPI_Datatype type, int source, int tag, MPI_Comm comm, MPI_Request *request)
{
    bl_parcel p;
    enter();
    int rc = bl_parcel_in(&p, buf, count, type, source, tag, comm);
    if (rc) say_to_handler(comm, rc);
    if (rc == MPI_SUCCESS) rc = PMPI_Recv_init(p.at, p.wire_count, p.wire_type, source, tag, comm, request);
    if (rc == MPI_SUCCESS) {
        bl_request_made(*request, BL_REQ_RECV, BL_CALL_Recv_init, comm, source, tag, 1);
        keep_persistent(&p, *request);
    } else {
        bl_parcel_done(&p);
    }
    return leave(rc);
}

static int before_start(bl_parcel *p)
{
    if (!p->receives) return bl_parcel_load(p, p->slot);
    bl_parcel_save(p);
    bl_parcel_post(p);
    return MPI_SUCCESS;
}

static int start(MPI_Request *request)
{
    bl_parcel *p = bl_parcel_find(bl_request_key(*request));
    if (p && (!p->persistent || p->active)) p = NULL; /* an error, and MPI's to find */
    int rc = p ? before_start(p) : MPI_SUCCESS;
    if (rc) return say_to_handler(p->comm->handle, rc);
    rc = PMPI_Start(request);
    if (rc) return rc;
    bl_request_started(*request);
    if (!p) return rc;
    p->active = 1;
    return p->receives ? rc : bl_parcel_sent(p, 0);
}

static int carried_Start(MPI_Request *request)
{
    enter();
    return leave(start(request));
}

/* One after the other, so that a message's number is known when its rider is written. */
static int carried_Startall(int count, MPI_Request requests[])
{
    int rc = MPI_SUCCESS;
    enter();
    for (int i = 0; rc == MPI_SUCCESS && i < count; i++) rc = start(&requests[i]);
    return leave(rc);
}

/* --- probes --- */

static int carried_Iprobe(int source, int tag, MPI_Comm comm, int *flag, MPI_Status *status)
{
    enter();
    int rc = PMPI_Iprobe(source, tag, comm, flag, status);
    if (rc == MPI_SUCCESS && *flag && status != MPI_STATUS_IGNORE) bl_parcel_probed(bl_comm_of(comm), status);
    return leave(rc);
}

static int carried_Probe(int source, int tag, MPI_Comm comm, MPI_Status *status)
{
    int rc, there = 0;
    enter();
    if (!bl_rt.locked) rc = PMPI_Probe(source, tag, comm, status);
    else
        for (unsigned turn = 0; (rc = PMPI_Iprobe(source, tag, comm, &there, status)) == MPI_SUCCESS && !there; turn++)
            bl_let_others(turn);
    if (rc == MPI_SUCCESS && status != MPI_STATUS_IGNORE) bl_parcel_probed(bl_comm_of(comm), status);
    return leave(rc);
}

/* With headers the rider is in the contents, so what was matched is counted when it is received; it is outstanding until then,
 * and no checkpoint comes in between. */
static int matched(MPI_Message message, enum bl_call call, MPI_Comm comm, MPI_Status *status)
{
    if (message == MPI_MESSAGE_NO_PROC || message == MPI_MESSAGE_NULL) return MPI_SUCCESS;
    bl_parcel p;
    int rc = bl_parcel_matched(&p, bl_comm_of(comm), status);
    bl_live_slot *slot = bl_slot(BL_RECEIVED, comm, status->MPI_SOURCE, status->MPI_TAG);
    if (!in_header) bl_parcel_told(&p, slot);
    p.slot = slot;
    if (in_header) bl_message_enter(message, call, comm, status);
    else bl_message_made(message, call, comm, status);
    bl_parcel_keep(&p, (uint64_t)(uintptr_t)message);
    bl_parcel_probed(p.comm, status);
    return rc;
}

static int improbe(int source, int tag, MPI_Comm comm, int *flag, MPI_Message *message, MPI_Status *status, enum bl_call call)
{
    int rc = PMPI_Improbe(source, tag, comm, flag, message, status);
    return rc == MPI_SUCCESS && *flag ? matched(*message, call, comm, status) : rc;
}

static int carried_Improbe(int source, int tag, MPI_Comm comm, int *flag, MPI_Message *message, MPI_Status *status)
{
    MPI_Status own;
    enter();
    return leave(improbe(source, tag, comm, flag, message, WANTED(status, own), BL_CALL_Improbe));
}

static int carried_Mprobe(int source, int tag, MPI_Comm comm, MPI_Message *message, MPI_Status *status)
{
    MPI_Status own, *s = WANTED(status, own);
    int rc, there = 0;
    enter();
    if (!bl_rt.locked) {
        rc = PMPI_Mprobe(source, tag, comm, message, s);
        if (rc == MPI_SUCCESS) rc = matched(*message, BL_CALL_Mprobe, comm, s);
        return leave(rc);
    }
    for (unsigned turn = 0; (rc = improbe(source, tag, comm, &there, message, s, BL_CALL_Mprobe)) == MPI_SUCCESS && !there; turn++)
        bl_let_others(turn);
    return leave(rc);
}

static int open_matched(bl_parcel *p, MPI_Status *status)
{
    if (!in_header) {
        bl_parcel_kept(p, status);
        return MPI_SUCCESS;
    }
    bl_live_slot *slot = p->shown ? NULL : p->slot;
    int rc = bl_parcel_open(p, slot, status);
    if (slot) slot->received++;
    return rc;
}

static int imrecv(bl_parcel *p, void *buf, int count, MPI_Datatype type, MPI_Message *message, MPI_Request *request)
{
    if (!p) return PMPI_Imrecv(buf, count, type, message, request);
    int rc = bl_parcel_in_matched(p, buf, count, type);
    return rc ? rc : PMPI_Imrecv(p->at, p->wire_count, p->wire_type, message, request);
}

static int mrecv(bl_parcel *p, void *buf, int count, MPI_Datatype type, MPI_Message *message, MPI_Status *status)
{
    if (bl_rt.locked) {
        MPI_Request request;
        int rc = imrecv(p, buf, count, type, message, &request);
        return rc ? rc : finish(&request, status);
    }
    if (!p) return PMPI_Mrecv(buf, count, type, message, status);
    int rc = bl_parcel_in_matched(p, buf, count, type);
    return rc ? rc : PMPI_Mrecv(p->at, p->wire_count, p->wire_type, message, status);
}

static int carried_Mrecv(void *buf, int count, MPI_Datatype type, MPI_Message *message, MPI_Status *status)
{
    MPI_Status own, *s = WANTED(status, own);
    enter();
    bl_parcel *p = bl_parcel_find((uint64_t)(uintptr_t)*message);
    bl_message_gone(*message);
    if (p) bl_parcel_unlink(p); /* the handle may come back before this is over */
    if (p) p->key = 0;
    int rc = mrecv(p, buf, count, type, message, s);
    if (rc == MPI_SUCCESS && p) rc = open_matched(p, s);
    if (p) bl_parcel_drop(p);
    return leave(rc);
}

static int carried_Imrecv(void *buf, int count, MPI_Datatype type, MPI_Message *message, MPI_Request *request)
{
    enter();
    bl_parcel *p = bl_parcel_find((uint64_t)(uintptr_t)*message);
    bl_message_gone(*message);
    int rc = imrecv(p, buf, count, type, message, request);
    if (rc == MPI_SUCCESS) bl_request_made(*request, BL_REQ_MESSAGE, BL_CALL_Imrecv, MPI_COMM_NULL, 0, 0, 0);
    if (!p) return leave(rc);
    bl_parcel draft = *p;
    draft.active = 1;
    p->room.at = NULL;
    p->aside = NULL;
    bl_parcel_drop(p);
    if (rc == MPI_SUCCESS && *request != bl_rt.shared) bl_parcel_keep(&draft, bl_request_key(*request));
    else bl_parcel_done(&draft);
    return leave(rc);
}

/* --- completions: what requests.c and p2p.c find --- */

int bl_carry_completed(uint64_t key, bl_live_slot *delivers, int undone, int ends, MPI_Status *status)
{
    bl_parcel *p = bl_parcel_find(key);
    int rc = MPI_SUCCESS;
    if (!p) return rc;
    int was_matched = p->receives && !p->posted && !p->persistent; /* by a probe: this is MPI_Imrecv's request */
    if (p->receives && !undone && was_matched) rc = open_matched(p, status);
    else if (p->receives && !undone) rc = bl_parcel_open(p, delivers, status);
    if (!ends) return rc;
    if (!p->persistent) {
        bl_parcel_drop(p);
        return rc;
    }
    p->active = 0;
    bl_parcel_unpost(p);
    return rc;
}

void bl_carry_several(int count, const int *indices, const MPI_Status *statuses)
{
    for (int i = 0; i < count; i++) {
        MPI_Request handle = bl_rt.handles[indices ? indices[i] : i];
        bl_parcel *p = handle == bl_rt.shared ? NULL : bl_parcel_find(bl_request_key(handle));
        if (p && p->posted) p->final = &statuses[i];
    }
}

/* A message longer than the program's buffer is an error, and delivered: without its rider. */
void bl_carry_failed(MPI_Request handle, const MPI_Status *status)
{
    bl_parcel *p = handle == bl_rt.shared ? NULL : bl_parcel_find(bl_request_key(handle));
    if (!p) return;
    if (p->receives && p->comm && p->comm->handle != MPI_COMM_NULL) bl_received(p->comm->handle, status);
    if (p->persistent) {
        p->active = 0;
        bl_parcel_unpost(p);
        return;
    }
    bl_request_freed(handle);
    bl_parcel_drop(p);
}

/* MPI would go on using memory that is ours, and not tell when it has done: so the request is kept, and asked. */
int bl_carry_freed(MPI_Request *request)
{
    bl_parcel *p = *request == bl_rt.shared ? NULL : bl_parcel_find(bl_request_key(*request));
    if (!p) return 0;
    if (p->persistent && !p->active) {
        bl_parcel_drop(p);
        return 0;
    }
    p->next_freed = freed;
    freed = p;
    *request = MPI_REQUEST_NULL;
    look_after_freed();
    return 1;
}

void bl_carry_probed(MPI_Comm comm, MPI_Status *status)
{
    if (in_header) bl_parcel_probed(bl_comm_of(comm), status);
}

void bl_carry_type_freed(MPI_Datatype type)
{
    if (type != MPI_DATATYPE_NULL) bl_parcels_type_freed(type);
}

int bl_carry_buffered(void)
{
    return bl_loose_pending();
}

/* --- in force and out of it --- */

static const bl_under_calls carried = {
#define BL_CARRIED_CALL(name) .name = carried_##name,
    BL_CARRIED(BL_CARRIED_CALL)
#undef BL_CARRIED_CALL
};

int bl_carry_init(bl_error *err)
{
    in_header = bl_rt.piggyback == BL_PIGGYBACK_HEADER;
    if (bl_layout_init())
        return bl_fail(err, BELAY_ERR_REFUSED, "piggyback=header needs an MPI whose MPI_Pack writes bytes as they are in memory");
    int rc = in_header ? bl_beside_init(err) : BELAY_OK;
    if (rc) return rc;
    bl_parcels_init(in_header, bl_rt.settings.protocol == BL_PROTOCOL_INDUCED);
    shorter = in_header && !bl_rt.locked && bl_rt.settings.protocol != BL_PROTOCOL_INDUCED;
    bl_rt.wanting++; /* every completion has to be looked at */
    bl_rt.counting = BL_COUNTING_CARRIED;
    bl_under = &carried;
    return BELAY_OK;
}

void bl_carry_stop(void)
{
    bl_under = &plain;
}

void bl_carry_finish(void)
{
    if (bl_under != &carried) return;
    if (freed) look_after_freed();
    bl_beside_finish();
    bl_layout_finish();
}

void bl_carry_abandon(void)
{
    bl_beside_abandon();
    if (in_header || bl_rt.settings.protocol == BL_PROTOCOL_INDUCED) bl_layout_finish();
}

void bl_carry_free(void)
{
    bl_parcels_free();
    bl_beside_free();
    freed = NULL;
    in_header = 0;
}
