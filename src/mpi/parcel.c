/* parcel.c - one message from end to end, and those that wait; parcel.h says how they travel. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/carry.h"
#include "mpi/checkpoint.h"
#include "mpi/parcel.h"

enum { BUCKETS = 1024, CHUNK = 64, PAGE = 4096, CHECK = 0x424c5931 };

typedef struct trailer { uint32_t interval, index, incarnation, check; } trailer;
_Static_assert(sizeof(trailer) == BL_TRAILER, "what rides on a message");

typedef struct chunk { struct chunk *next; bl_parcel parcel[CHUNK]; } chunk;

static struct parcels {
    int header;                  /* contents travel as parcel.h says; 0: as they are, and markers beside them */
    int induced;
    bl_parcel *bucket[BUCKETS];  /* by key */
    bl_parcel *free;
    chunk *chunks;
    unsigned kept;
    bl_parcel *first, *last;     /* posted receives */
    MPI_Datatype page;           /* for receives that MPI_BYTE cannot count */
} parcels;

/* --- those that wait --- */

static bl_parcel **bucket_of(uint64_t key)
{
    return &parcels.bucket[(key * 0x9e3779b97f4a7c15u) >> 54];
}

bl_parcel *bl_parcel_find(uint64_t key)
{
    bl_parcel *p = *bucket_of(key);
    while (p && p->key != key) p = p->chain;
    return p;
}

static bl_parcel *new_parcel(void)
{
    if (!parcels.free) {
        chunk *c = malloc(sizeof *c);
        if (!c) return NULL;
        c->next = parcels.chunks;
        parcels.chunks = c;
        for (int i = 0; i < CHUNK; i++) {
            c->parcel[i].chain = parcels.free;
            parcels.free = &c->parcel[i];
        }
    }
    bl_parcel *p = parcels.free;
    parcels.free = p->chain;
    return p;
}

bl_parcel *bl_parcel_keep(const bl_parcel *draft, uint64_t key)
{
    bl_parcel *stale = bl_parcel_find(key); /* its request ended in a way we do not see */
    if (stale) bl_parcel_drop(stale);
    bl_parcel *p = new_parcel(), **bucket = bucket_of(key);
    if (!p) {
        bl_say("rank %d: out of memory for messages under way", bl_rt.rank);
        PMPI_Abort(MPI_COMM_WORLD, 1); /* MPI has the request, and nobody would find its contents */
        return NULL;
    }
    *p = *draft;
    p->key = key;
    p->chain = *bucket;
    *bucket = p;
    parcels.kept++;
    return p;
}

void bl_parcel_post(bl_parcel *p)
{
    p->posted = 1;
    p->shown = 0;
    p->final = NULL;
    p->after = NULL;
    p->before = parcels.last;
    if (parcels.last) parcels.last->after = p;
    else parcels.first = p;
    parcels.last = p;
}

void bl_parcel_unpost(bl_parcel *p)
{
    if (!p->posted) return;
    p->posted = 0;
    if (p->before) p->before->after = p->after;
    else parcels.first = p->after;
    if (p->after) p->after->before = p->before;
    else parcels.last = p->before;
}

void bl_parcel_unlink(bl_parcel *p)
{
    bl_parcel **link = bucket_of(p->key);
    while (*link != p) link = &(*link)->chain;
    *link = p->chain;
    bl_parcel_unpost(p);
    parcels.kept--;
}

void bl_parcel_done(bl_parcel *p)
{
    bl_room_give(&p->room);
    bl_room_give(&p->saved);
    if (p->aside) bl_aside_done(p->aside);
    if (p->own_type) {
        bl_layout_forget(p->type);
        PMPI_Type_free(&p->type);
    }
    p->aside = NULL;
    p->own_type = 0;
}

void bl_parcel_drop(bl_parcel *p)
{
    if (p->key) bl_parcel_unlink(p);
    bl_parcel_done(p);
    p->key = 0;
    p->chain = parcels.free;
    parcels.free = p;
}

/* The program frees a type that contents are still to be put away with. */
void bl_parcels_type_freed(MPI_Datatype type)
{
    for (unsigned i = 0; parcels.kept && i < BUCKETS; i++)
        for (bl_parcel *p = parcels.bucket[i]; p; p = p->chain)
            if (p->type == type && !p->own_type && !PMPI_Type_dup(type, &p->type)) p->own_type = 1;
    bl_layout_forget(type);
}

/* --- out --- */

/* Both ends know that of the communicator, and of themselves. */
static int travels_whole(const bl_comm *comm, int world)
{
    return !parcels.header || comm->foreign || world < 0 || world == bl_rt.rank;
}

static int form_of(MPI_Count bytes)
{
    return bytes <= BL_INLINE_PAYLOAD ? BL_FORM_INLINE : bytes <= BL_INLINE ? BL_FORM_STUB : BL_FORM_LARGE;
}

static int reasonable(int count, MPI_Datatype type, MPI_Comm comm)
{
    return count >= 0 && type != MPI_DATATYPE_NULL && comm != MPI_COMM_NULL;
}

static void start_draft(bl_parcel *p, const void *user, int count, MPI_Datatype type, int peer, int tag)
{
    union { const void *in; void *out; } buffer = { user };
    *p = (bl_parcel){ .user = buffer.out, .count = count, .type = type, .peer = peer, .tag = tag, .world = -1, .at = buffer.out,
                      .wire_count = count, .wire_type = type };
}

int bl_parcel_out(bl_parcel *p, const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm)
{
    start_draft(p, buf, count, type, dest, tag);
    if (!reasonable(count, type, comm) || dest == MPI_PROC_NULL) return MPI_SUCCESS;
    p->comm = bl_comm_of(comm);
    p->world = p->comm ? bl_comm_world_rank(p->comm, dest) : -1;
    if (!p->comm || travels_whole(p->comm, p->world)) return MPI_SUCCESS;
    const bl_layout *l = bl_layout_of(type);
    p->bytes = l->size * count;
    p->contiguous = (uint8_t)l->contiguous;
    p->form = (uint8_t)form_of(p->bytes);
    if (p->form == BL_FORM_LARGE) return MPI_SUCCESS;
    int inside = p->form == BL_FORM_INLINE;
    size_t bytes = (size_t)p->bytes;
    if (bl_room_take(&p->room, inside ? bl_trailer_at(bytes) + BL_TRAILER : bytes)) return MPI_ERR_NO_MEM;
    p->at = p->room.at;
    if (inside) return bl_wire_of(bytes, &p->wire_type, &p->wire_count);
    p->wire_type = MPI_BYTE;
    p->wire_count = (int)bytes - BL_INLINE_PAYLOAD - 1;
    return MPI_SUCCESS;
}

static int load_payload(bl_parcel *p)
{
    if (!p->contiguous) return bl_pack(p->user, p->count, p->type, p->room.at, (size_t)p->bytes);
    if (p->bytes) memcpy(p->room.at, p->user, (size_t)p->bytes);
    return MPI_SUCCESS;
}

void bl_trailer_write(char *at, bl_rider rider)
{
    trailer t = { rider.interval, rider.index, bl_rt.incarnation, CHECK };
    memcpy(at, &t, sizeof t);
}

int bl_trailer_read(const char *at, bl_rider *rider)
{
    trailer t;
    memcpy(&t, at, sizeof t);
    *rider = (bl_rider){ t.interval, t.index };
    return t.check == CHECK && t.incarnation == bl_rt.incarnation;
}

static int send_beside(const bl_parcel *p, uint32_t bytes, int blocking)
{
    bl_beside what = { .comm = p->comm->id, .tag = p->tag, .bytes = bytes, .interval = p->rider.interval, .index = p->rider.index,
                       .incarnation = bl_rt.incarnation };
    return bl_beside_send(p->world, &what, p->room.at, blocking);
}

int bl_parcel_sent(bl_parcel *p, int blocking)
{
    return p->form == BL_FORM_LARGE ? send_beside(p, 0, blocking) : MPI_SUCCESS;
}

int bl_parcel_load(bl_parcel *p, bl_live_slot *slot)
{
    if (parcels.induced) bl_induced_sent();
    if (p->form == BL_FORM_WHOLE) {
        if (slot && (!parcels.header || slot->peer == bl_rt.rank)) bl_ride_first(slot);
        return MPI_SUCCESS;
    }
    p->rider = bl_ride_here();
    if (p->form == BL_FORM_LARGE) return MPI_SUCCESS;
    int rc = load_payload(p);
    if (rc) return rc;
    if (p->form == BL_FORM_STUB) return send_beside(p, (uint32_t)p->bytes, 0);
    bl_trailer_write(p->room.at + bl_trailer_at((size_t)p->bytes), p->rider);
    return MPI_SUCCESS;
}

/* --- in --- */

static int receive_scratch(bl_parcel *p, MPI_Count capacity)
{
    MPI_Count pages = (capacity + PAGE - 1) / PAGE;
    int rc = bl_room_take(&p->room, (size_t)(capacity > INT_MAX ? pages * PAGE : capacity));
    if (rc) return rc;
    p->at = p->room.at;
    p->wire_type = capacity > INT_MAX ? parcels.page : MPI_BYTE;
    p->wire_count = (int)(capacity > INT_MAX ? pages : capacity);
    return MPI_SUCCESS;
}

int bl_parcel_in(bl_parcel *p, void *buf, int count, MPI_Datatype type, int source, int tag, MPI_Comm comm)
{
    start_draft(p, buf, count, type, source, tag);
    p->receives = 1;
    if (!reasonable(count, type, comm) || source == MPI_PROC_NULL) return MPI_SUCCESS;
    p->comm = bl_comm_of(comm);
    if (!p->comm) return MPI_SUCCESS;
    const bl_layout *l = bl_layout_of(type);
    p->bytes = l->size * count;
    p->contiguous = (uint8_t)l->contiguous;
    p->world = source < 0 ? INT_MAX : bl_comm_world_rank(p->comm, source);
    if (travels_whole(p->comm, p->world)) return MPI_SUCCESS;
    p->form = BL_FORM_INLINE; /* or any other: what comes says so */
    if (p->bytes <= BL_INLINE_PAYLOAD) return receive_scratch(p, p->bytes + BL_TRAILER);
    if (p->bytes <= BL_INLINE) return receive_scratch(p, BL_INLINE);
    return p->contiguous ? bl_room_take(&p->saved, BL_INLINE) : receive_scratch(p, p->bytes);
}

void bl_parcel_direct(bl_parcel *p, void *buf, int count, MPI_Datatype type, size_t bytes, int source, int tag, MPI_Comm comm,
                      bl_room *saved)
{
    start_draft(p, buf, count, type, source, tag);
    p->receives = p->contiguous = 1;
    p->form = BL_FORM_INLINE;
    p->comm = bl_comm_of(comm);
    p->bytes = (MPI_Count)bytes;
    p->saved = *saved;
}

/* What has been matched has a size: only a trailer needs another place than the program's. */
int bl_parcel_in_matched(bl_parcel *p, void *buf, int count, MPI_Datatype type)
{
    p->user = p->at = buf;
    p->count = p->wire_count = count;
    p->type = p->wire_type = type;
    if (!reasonable(count, type, bl_rt.world)) return MPI_SUCCESS;
    const bl_layout *l = bl_layout_of(type);
    p->bytes = l->size * count;
    p->contiguous = (uint8_t)l->contiguous;
    return p->form == BL_FORM_INLINE || p->form == BL_FORM_STUB ? receive_scratch(p, p->came) : MPI_SUCCESS;
}

void bl_parcel_save(bl_parcel *p)
{
    if (p->saved.at) memcpy(p->saved.at, p->user, BL_INLINE);
    if (parcels.header) bl_beside_repost();
}

/* A stub's place among those of its channel: behind those of receives that were posted earlier, which match earlier messages,
 * and are complete, being as small, though the program has not asked for them yet. */
static unsigned stubs_ahead(const bl_parcel *p, const MPI_Status *status)
{
    unsigned ahead = 0;
    for (const bl_parcel *q = parcels.first; q && q != p; q = q->after) {
        MPI_Status own;
        const MPI_Status *s = q->final;
        int done = s != NULL, undone = 0;
        if (q->shown || q->comm != p->comm || (q->peer != status->MPI_SOURCE && q->peer != MPI_ANY_SOURCE)) continue;
        if (q->tag != status->MPI_TAG && q->tag != MPI_ANY_TAG) continue;
        if (!done) PMPI_Request_get_status((MPI_Request)(uintptr_t)q->key, &done, &own);
        if (!s) s = &own;
        if (done) PMPI_Test_cancelled(s, &undone);
        ahead += done && !undone && s->MPI_SOURCE == status->MPI_SOURCE && s->MPI_TAG == status->MPI_TAG &&
                 bl_status_bytes(s) < BL_TRAILER;
    }
    return ahead;
}

typedef struct arrival {
    MPI_Count bytes;
    const char *payload;    /* NULL: it is where the program wants it */
    const char *over;       /* in the program's memory, a trailer is in the way of what was there */
    bl_aside *aside;
    bl_rider rider;
    int world, told;
} arrival;

/* To ourselves, or beside markers: what was noted of the channel. */
static void look_at_notes(const bl_live_slot *slot, arrival *a)
{
    a->told = slot && (!parcels.header || slot->peer == bl_rt.rank);
    if (!a->told) return;
    if (!parcels.header) bl_ride_poll();
    if (!parcels.header || !bl_ride_told(slot, slot->received + 1, &a->rider)) a->rider = bl_ride_of(slot, slot->received + 1);
}

static void look_aside(bl_parcel *p, const MPI_Status *s, arrival *a)
{
    int stub = a->bytes < BL_TRAILER;
    a->aside = p->aside;
    p->aside = NULL;
    if (!a->aside) a->aside = bl_beside_await(a->world, p->comm->id, s->MPI_TAG, stub, stub ? stubs_ahead(p, s) : 0);
    a->rider = (bl_rider){ a->aside->what.interval, a->aside->what.index };
    a->told = 1;
    if (!stub) return;
    a->bytes = a->aside->what.bytes;
    a->payload = a->aside->payload.at;
}

static void look_inside(bl_parcel *p, arrival *a)
{
    const char *at = p->at;
    if (!bl_trailer_read(at + a->bytes - BL_TRAILER, &a->rider)) { /* not ours: taken as it came */
        bl_rt.refused = "messages that were sent past Belay (PMPI)";
        return;
    }
    a->bytes -= BL_TRAILER;
    a->told = 1;
    if (!p->room.at) a->over = at + a->bytes;
}

static void look(bl_parcel *p, const bl_live_slot *slot, const MPI_Status *s, arrival *a)
{
    *a = (arrival){ .bytes = bl_status_bytes(s), .payload = p->room.at, .world = bl_comm_world_rank(p->comm, s->MPI_SOURCE) };
    if (travels_whole(p->comm, a->world)) look_at_notes(slot, a);
    else if (a->bytes < BL_TRAILER || a->bytes > BL_INLINE) look_aside(p, s, a);
    else look_inside(p, a);
}

/* Where the program wants it; 0, or an MPI error. */
static int put(bl_parcel *p, const arrival *a)
{
    MPI_Count bytes = a->bytes < p->bytes ? a->bytes : p->bytes;
    int rc = MPI_SUCCESS;
    if (a->over) memcpy((char *)p->user + a->bytes, p->saved.at + a->bytes, BL_TRAILER);
    if (!a->payload || !bytes) return rc;
    if (!p->contiguous) rc = bl_unpack(a->payload, (size_t)bytes, p->user, p->count, p->type);
    else memcpy(p->user, a->payload, (size_t)bytes);
    return rc;
}

static void keep(const bl_parcel *p, const bl_live_slot *slot, uint64_t number)
{
    const bl_layout *l = bl_layout_of(p->type);
    int count = l->size ? (int)(p->came / l->size) : 0;
    MPI_Comm comm = p->comm->handle == MPI_COMM_NULL ? bl_rt.world : p->comm->handle;
    bl_induced_keep(slot, number, p->user, count < p->count ? count : p->count, p->type, comm);
}

static int fail_if_too_long(bl_parcel *p, const arrival *a, MPI_Status *s)
{
    if (a->bytes <= p->bytes) return MPI_SUCCESS;
    p->failed = 1;
    s->MPI_ERROR = MPI_ERR_TRUNCATE;
    PMPI_Comm_call_errhandler(p->comm->handle == MPI_COMM_NULL ? bl_rt.world : p->comm->handle, MPI_ERR_TRUNCATE);
    return MPI_ERR_TRUNCATE;
}

int bl_parcel_open(bl_parcel *p, bl_live_slot *slot, MPI_Status *s)
{
    if (!p->comm || s->MPI_SOURCE < 0) return MPI_SUCCESS;
    if (p->shown) { /* MPI has its own size again */
        if (parcels.header) bl_status_set_bytes(s, p->came);
        return MPI_SUCCESS;
    }
    arrival a;
    look(p, slot, s, &a);
    if (parcels.header && a.told) bl_ride_came(a.world, &a.rider);
    int keeps = parcels.induced && slot && a.told && bl_induced_deliver(slot, a.rider.index);
    int rc = put(p, &a);
    p->came = a.bytes < p->bytes ? a.bytes : p->bytes;
    p->shown = 1;
    if (parcels.header && (a.payload || a.over)) bl_status_set_bytes(s, p->came);
    if (a.aside) bl_aside_done(a.aside);
    if (keeps) keep(p, slot, slot->received + 1);
    return rc ? rc : fail_if_too_long(p, &a, s);
}

/* --- probes --- */

void bl_parcel_probed(bl_comm *comm, MPI_Status *s)
{
    if (!comm || !parcels.header || s->MPI_SOURCE < 0 || travels_whole(comm, bl_comm_world_rank(comm, s->MPI_SOURCE))) return;
    MPI_Count wire = bl_status_bytes(s);
    if (wire < BL_TRAILER) wire += BL_INLINE_PAYLOAD + 1;
    else if (wire <= BL_INLINE) wire -= BL_TRAILER;
    else return;
    bl_status_set_bytes(s, wire);
}

int bl_parcel_matched(bl_parcel *p, bl_comm *comm, const MPI_Status *s)
{
    start_draft(p, NULL, 0, MPI_BYTE, s->MPI_SOURCE, s->MPI_TAG);
    p->receives = 1;
    p->comm = comm;
    if (!comm || s->MPI_SOURCE < 0) return MPI_SUCCESS;
    p->world = bl_comm_world_rank(comm, s->MPI_SOURCE);
    p->came = bl_status_bytes(s);
    if (travels_whole(comm, p->world)) return MPI_SUCCESS;
    p->form = p->came < BL_TRAILER ? BL_FORM_STUB : p->came <= BL_INLINE ? BL_FORM_INLINE : BL_FORM_LARGE;
    if (p->form == BL_FORM_STUB) p->aside = bl_beside_await(p->world, comm->id, s->MPI_TAG, 1, stubs_ahead(p, s));
    return MPI_SUCCESS;
}

/* Counted when it was matched, with markers: then the rider is known there. */
void bl_parcel_told(bl_parcel *p, bl_live_slot *slot)
{
    arrival a = { 0 };
    p->slot = slot;
    if (!slot) return;
    look_at_notes(slot, &a);
    p->number = slot->received + 1;
    p->keeps = (uint8_t)(parcels.induced && a.told && bl_induced_deliver(slot, a.rider.index));
}

void bl_parcel_kept(bl_parcel *p, const MPI_Status *s)
{
    p->came = bl_status_bytes(s);
    if (p->keeps && p->slot) keep(p, p->slot, p->number);
    p->keeps = 0;
}

/* --- beginning and end --- */

void bl_parcels_init(int header, int induced)
{
    parcels.header = header;
    parcels.induced = induced;
    PMPI_Type_contiguous(PAGE, MPI_BYTE, &parcels.page);
    PMPI_Type_commit(&parcels.page);
}

void bl_parcels_free(void)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        for (bl_parcel *p = parcels.bucket[i]; p; p = p->chain) {
            free(p->room.at);
            free(p->saved.at);
        }
    while (parcels.chunks) {
        chunk *next = parcels.chunks->next;
        free(parcels.chunks);
        parcels.chunks = next;
    }
    memset(&parcels, 0, sizeof parcels);
    bl_rooms_free();
}
