/* parcel.h - how one message travels when something is carried with it; carry.c makes the calls of it.
 *
 * With piggyback=header 16 bytes ride on every message (the trailer), T; up to L it is worth copying the payload for it:
 *
 *   payload p        on the program's communicator            on ours, by the same call
 *   p <= L-T         payload and trailer, p+T bytes           -
 *   L-T < p <= L     p-(L-T)-1 bytes that mean nothing        trailer and payload
 *   p > L            the payload as it is                     trailer
 *
 * So each wire size stands for one size of payload, also to a probe: 0 to T-1 the second row, T to L the first, the rest the
 * third.  What goes on our communicator goes in pieces small enough to arrive whatever the receiver does, and nothing that its
 * sender may wait for comes between the two; so whoever has the message may wait for it.  The k-th on a channel belongs to the k-th.  A
 * receive is always posted with room for what may come, never after something was read.
 *
 * A message to oneself goes as it is (the note of its interval stays here), and so do all on a communicator with ranks outside
 * MPI_COMM_WORLD, and all when the riders come as markers: then a parcel is only where the contents are to be found.
 */
#ifndef BL_MPI_PARCEL_H
#define BL_MPI_PARCEL_H

#include "mpi/ride.h"

enum { BL_TRAILER = 16, BL_INLINE = 16448, BL_INLINE_PAYLOAD = BL_INLINE - BL_TRAILER, BL_AT_ONCE = 3968, BL_GAP = 16 };

/* --- memory that comes back, in powers of two --- */
typedef struct bl_room {
    char *at;             /* NULL: none */
    unsigned log2;
} bl_room;
enum { BL_ROOM_SMALLEST = 6, BL_ROOM_LARGEST = 62 };
extern char *bl_rooms[BL_ROOM_LARGEST + 1]; /* lists through the first bytes */
int bl_room_new(bl_room *room);

/* 0, or MPI_ERR_NO_MEM. */
static inline int bl_room_take(bl_room *room, size_t bytes)
{
    unsigned log2 = bytes <= 1u << BL_ROOM_SMALLEST ? BL_ROOM_SMALLEST : 64 - (unsigned)__builtin_clzll(bytes - 1);
    room->log2 = log2;
    room->at = bl_rooms[log2];
    if (__builtin_expect(!room->at, 0)) return bl_room_new(room);
    __builtin_memcpy(&bl_rooms[log2], (void *)room->at, sizeof(void *));
    return MPI_SUCCESS;
}

static inline void bl_room_give(bl_room *room)
{
    if (!room->at) return;
    __builtin_memcpy((void *)room->at, &bl_rooms[room->log2], sizeof(void *));
    bl_rooms[room->log2] = room->at;
    room->at = NULL;
}
void bl_rooms_free(void);

/* --- datatypes (layout.c) --- */
typedef struct bl_layout {
    MPI_Datatype type;
    int contiguous;       /* in memory as it is when packed, from the address given on: certainly */
    MPI_Count size;
} bl_layout;
enum { BL_LAYOUTS = 64 };
extern bl_layout bl_layouts[BL_LAYOUTS];
const bl_layout *bl_layout_find(MPI_Datatype type);
void bl_layout_forget(MPI_Datatype type);
MPI_Datatype bl_layout_gapped(size_t bytes); /* MPI_DATATYPE_NULL: no memory */
int bl_layout_init(void); /* 0: MPI_Pack writes the bytes and nothing else, which the wire format rests on */
void bl_layout_finish(void);
int bl_pack(const void *from, int count, MPI_Datatype type, void *to, size_t room);
int bl_unpack(const void *from, size_t bytes, void *to, int count, MPI_Datatype type);

static inline const bl_layout *bl_layout_of(MPI_Datatype type)
{
    const bl_layout *l = &bl_layouts[((uintptr_t)type >> 4) & (BL_LAYOUTS - 1)];
    return __builtin_expect(l->type == type, 1) ? l : bl_layout_find(type);
}

/* --- what goes beside messages (beside.c) --- */
typedef struct bl_beside {  /* on the wire, the payload behind it */
    uint64_t comm;
    int32_t tag;
    uint32_t bytes;         /* of the payload; 0: it is the message's own */
    uint32_t interval, index, incarnation;
    uint32_t from;          /* a payload goes in pieces of BL_AT_ONCE: the first byte of this one */
} bl_beside;
typedef struct bl_aside {   /* one that has come */
    struct bl_aside *next;
    int world;
    bl_beside what;
    uint32_t here;          /* bytes of the payload that have come */
    bl_room payload;
} bl_aside;
int bl_beside_init(bl_error *err);
void bl_beside_abandon(void);
void bl_beside_finish(void);
void bl_beside_free(void);
void bl_beside_repost(void);
int bl_beside_send(int world, const bl_beside *what, const char *payload, int blocking); /* 0, or an MPI error */
/* The one behind `ahead` others like it; waits, since it was sent before the message that tells of it. */
bl_aside *bl_beside_await(int world, uint64_t comm, int tag, int with_payload, unsigned ahead);
/* The same of one without a payload, which is first. */
void bl_beside_rider(int world, uint64_t comm, int tag, bl_rider *rider);
void bl_aside_done(bl_aside *aside);
/* Sends from memory of ours that nobody waits for. */
int bl_loose_send(bl_room *room, const void *at, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm);
int bl_loose_pending(void); /* some are still under way */
void bl_loose_free(void);

/* --- parcels (parcel.c) --- */
enum bl_form { BL_FORM_WHOLE, BL_FORM_INLINE, BL_FORM_STUB, BL_FORM_LARGE };

typedef struct bl_parcel {
    uint64_t key;         /* of its request or matched message; 0: of none */
    struct bl_parcel *chain;
    struct bl_parcel *next_freed;     /* MPI_Request_free was called on it while it was under way */
    struct bl_parcel *before, *after; /* posted receives, in the order MPI matches them */
    void *user;
    MPI_Count bytes;      /* count times the size of type */
    MPI_Datatype type;
    int count, peer, tag, world;
    bl_comm *comm;        /* NULL: MPI does all there is to do */
    bl_live_slot *slot;   /* persistent sends, matched messages */
    void *at;             /* what MPI is given */
    MPI_Datatype wire_type;
    int wire_count;
    bl_room room, saved;  /* scratch; the bytes of `user` that a trailer may have been written over */
    bl_aside *aside;      /* of a matched message */
    bl_rider rider;       /* of a large one that is being sent */
    const MPI_Status *final; /* complete, by the call that is being looked at */
    uint64_t number;      /* of the delivery, when it was counted before it was received */
    MPI_Count came;       /* bytes, once shown */
    uint8_t form, contiguous, receives, persistent, active, posted, shown, failed, keeps, own_type;
} bl_parcel;

void bl_parcels_init(int header, int induced);
void bl_parcels_free(void);

int bl_parcel_out(bl_parcel *p, const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm);
int bl_parcel_load(bl_parcel *p, bl_live_slot *slot);   /* just before it is sent; 0, or an MPI error */
/* Just after it is started: the trailer of a large one, which travels while MPI looks for the receiver. */
int bl_parcel_sent(bl_parcel *p, int blocking);
/* The trailer, and is it one of ours? */
void bl_trailer_write(char *at, bl_rider rider);
int bl_trailer_read(const char *at, bl_rider *rider);
int bl_parcel_in(bl_parcel *p, void *buf, int count, MPI_Datatype type, int source, int tag, MPI_Comm comm);
int bl_parcel_in_matched(bl_parcel *p, void *buf, int count, MPI_Datatype type);
/* One that was received into the program's memory already; takes `saved` over. */
void bl_parcel_direct(bl_parcel *p, void *buf, int count, MPI_Datatype type, size_t bytes, int source, int tag, MPI_Comm comm,
                      bl_room *saved);
void bl_parcel_save(bl_parcel *p);
void bl_parcel_post(bl_parcel *p);
void bl_parcel_unpost(bl_parcel *p);
/* The message is complete: finds its rider, has a checkpoint taken that must come before it, puts its contents where the
 * program wants them, makes the status say so.  `slot`: where it is about to be counted; NULL: nowhere.  0, or an MPI error. */
int bl_parcel_open(bl_parcel *p, bl_live_slot *slot, MPI_Status *status);
void bl_parcel_done(bl_parcel *p);        /* gives back what it holds */

void bl_parcel_probed(bl_comm *comm, MPI_Status *status);     /* what a probe has to show */
int bl_parcel_matched(bl_parcel *p, bl_comm *comm, const MPI_Status *status); /* a probe has taken it out */
/* With markers that is where it is delivered: before it is counted in `slot`; and when it has been received. */
void bl_parcel_told(bl_parcel *p, bl_live_slot *slot);
void bl_parcel_kept(bl_parcel *p, const MPI_Status *status);

/* Those that wait, by the handle of their request or matched message. */
bl_parcel *bl_parcel_keep(const bl_parcel *p, uint64_t key);
bl_parcel *bl_parcel_find(uint64_t key);
void bl_parcel_unlink(bl_parcel *p);      /* out of the table and the order, still whole */
void bl_parcel_drop(bl_parcel *p);        /* a kept one: out of the table, done, and back to the pool */
void bl_parcels_type_freed(MPI_Datatype type);

/* Of every message, so not by a call where the field is known. */
static inline MPI_Count bl_status_bytes(const MPI_Status *status)
{
#ifdef OPEN_MPI
    return (MPI_Count)status->_ucount;
#else
    MPI_Count bytes;
    PMPI_Get_elements_x(status, MPI_BYTE, &bytes);
    return bytes;
#endif
}

static inline void bl_status_set_bytes(MPI_Status *status, MPI_Count bytes)
{
#ifdef OPEN_MPI
    status->_ucount = (size_t)bytes;
#else
    PMPI_Status_set_elements_x(status, MPI_BYTE, bytes);
#endif
}

/* What MPI sends at once is payload and trailer as they lie in memory.  More of it lies there with a gap before the trailer, in
 * a type that says so: MPI then copies it, as we do, which for a few KiB is less than what it does for contiguous memory. */
static inline size_t bl_trailer_at(size_t payload)
{
    return payload + BL_TRAILER <= BL_AT_ONCE ? payload : payload + BL_GAP;
}

/* 0, or MPI_ERR_NO_MEM. */
static inline int bl_wire_of(size_t payload, MPI_Datatype *type, int *count)
{
    int at_once = payload + BL_TRAILER <= BL_AT_ONCE;
    *type = at_once ? MPI_BYTE : bl_layout_gapped(payload);
    *count = at_once ? (int)payload + BL_TRAILER : 1;
    return *type == MPI_DATATYPE_NULL ? MPI_ERR_NO_MEM : MPI_SUCCESS;
}

#endif
