/* logged.c - the wrappers of messages with message logging: a send is passed on and its contents appended to the journal; a
 * receive takes what the journals hold for it, else asks MPI.  log.h says why that is enough. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/carry.h"
#include "mpi/checkpoint.h"
#include "mpi/depend.h"
#include "mpi/injob.h"
#include "mpi/log.h"
#include "mpi/logging.h"
#include "mpi/parcel.h"
#include "store/hash.h"

#define WANTED(status, own) ((status) == MPI_STATUS_IGNORE ? &(own) : (status))
enum { POLL_EACH = 4096,     /* calls */
       LONG = 4 << 10,       /* bytes */
       ABANDON_TURNS = 1000,
       TREE_TAG = 1 };       /* of a collective's messages, on a communicator of our own */

/* Receives whose message is not known, and those posted while there is one: whom they were matched with is an event. */
typedef struct watched {
    MPI_Request handle;      /* the program's */
    MPI_Request inner;       /* MPI_REQUEST_NULL, or MPI's, when it was posted later than the program did */
    uint64_t clock;
    void *buf;
    int count, source, tag;  /* source: rank in comm */
    MPI_Datatype type;
    bl_comm *comm;
    MPI_Status *answer;      /* `handle` is a request of ours: what it will say */
    uint8_t wild, held, done, told; /* held: not posted yet; done: shown to the program; told: its event is in the journal */
    uint8_t own_type;        /* `type` is a copy */
    uint8_t sends;           /* one that a death may have broken: it is in the journal, so it is sent */
    uint8_t hashed;          /* what was told has it */
    uint8_t again;           /* matched again already */
    uint8_t passed;          /* one posted later was seen, which may have had a later message of the same channel */
    uint64_t number;         /* as that of a posting */
    int from, with;          /* what was told: rank in comm, tag */
    uint64_t hash;
} watched;

/* What a receive was posted with, while this rank may stay: of the last request that had this handle, be it complete or not. */
typedef struct posting {
    uint64_t key, clock;     /* key: 0: free */
    uint64_t number;         /* of its message on the channel, if no wildcard comes in between */
    void *buf;
    MPI_Datatype type;
    bl_comm *comm;
    uint64_t hash;
    int count, source, tag;
    uint8_t hashed, own_type;
} posting;

typedef struct persistent {  /* requests of MPI_Send_init and the like */
    struct persistent *next;
    uint64_t key;
    void *buf;
    int count, peer, tag, receives;
    MPI_Datatype type;
    MPI_Comm comm;
    int ready;               /* started, and complete without MPI knowing */
    int missing;             /* in a replay: started, and never complete */
    MPI_Status status;       /* of a message from a journal */
    bl_room room;            /* where it lands */
    uint64_t clock, start;   /* of its start; and how many there were before */
    uint64_t number;         /* as that of a posting */
    enum bl_call call;       /* that made it */
    const bl_comm *of;       /* NULL: to or from nobody, or of this rank alone: it stays */
    MPI_Request *old;        /* [olds] what it was before a recovery in which this rank stayed: the program may have these handles */
    unsigned olds;
} persistent;

typedef struct landing {     /* what rides on a message comes into memory of ours, with its payload: receives that are posted */
    uint64_t key;            /* of MPI's request */
    bl_room room;
    void *buf;
    int count;
    MPI_Datatype type;
    const bl_comm *comm;
    uint8_t landed, keeps;   /* the program's buffer has it; keeps: of a persistent one, which has the room and the datatype */
} landing;

static struct logged {
    watched *watch;          /* [watches] in the order posted */
    unsigned watches, room;
    unsigned held, swapped;  /* of them */
    persistent *persistent;
    unsigned ready;          /* persistent ones */
    unsigned olds;           /* of all of them */
    uint64_t starts;
    landing *landing;        /* [landings] in the order posted */
    unsigned landings, landing_room;
    posting *posting;        /* [postings] open addressing by key; as many as MPI has had handles */
    uint32_t postings, posted;
    uint64_t *expected;      /* [channel_slots] received, and posted for; NULL: this rank does not stay */
} lg;

bl_log_tally bl_log_fed, bl_log_repeated;

static void let_go_of_held(void);

/* The last call that is known may be one that was matched: its message is not for those that are held, which were not. */
static int takes_what_is_known(void)
{
    bl_seen seen;
    return bl_outcome_of(BL_EVENT_MATCHED, bl_log_clock(), &seen) == BL_KNOWN || bl_outcome_of(BL_EVENT_PROBED, bl_log_clock(), &seen) == BL_KNOWN;
}

void bl_log_entered(void)
{
    bl_count_call();
    if (__builtin_expect(bl_log_clock() % POLL_EACH == 0, 0)) bl_log_poll();
    if (__builtin_expect(lg.held > 0, 0) && !bl_outcome_behind() && !takes_what_is_known()) let_go_of_held();
}

/* A copy of ours: its handle may come back as another datatype. */
static void free_type(MPI_Datatype *type)
{
    bl_layout_forget(*type);
    PMPI_Type_free(type);
}

static int say_to_handler(MPI_Comm comm, int rc)
{
    PMPI_Comm_call_errhandler(comm == MPI_COMM_NULL ? bl_rt.world : comm, rc);
    return rc;
}

static int rank_in(const bl_comm *c, int world)
{
    for (int peer = 0; c->world && peer < c->peers; peer++)
        if (c->world[peer] == world) return peer;
    return c->world ? -1 : world;
}

/* --- sends --- */

/* Between belay_recover and the first safe point. */
static void note_between(const bl_record *r, const void *buf, int count, MPI_Datatype type)
{
    uint64_t channel[4] = { r->a, (uint64_t)(uint32_t)r->c << 32 | (uint32_t)r->d, r->bytes, bl_logging.between };
    uint64_t seed = XXH3_64bits(channel, sizeof channel);
    bl_room room;
    bl_logging.between_bytes += r->bytes;
    if (!r->bytes || bl_layout_of(type)->contiguous) {
        bl_logging.between = XXH3_64bits_withSeed(buf, r->bytes, seed);
        return;
    }
    if (bl_room_take(&room, (size_t)r->bytes)) bl_log_end_job("out of memory for a message");
    if (bl_pack(buf, count, type, room.at, (size_t)r->bytes) == MPI_SUCCESS) bl_logging.between = XXH3_64bits_withSeed(room.at, r->bytes, seed);
    bl_room_give(&room);
}

static void append(const bl_live_slot *slot, const void *buf, int count, MPI_Datatype type)
{
    const bl_layout *l = bl_layout_of(type);
    bl_record r = { .a = slot->comm, .b = slot->sent, .c = slot->peer, .d = slot->tag, .kind = BL_EVENT_SENT,
                    .bytes = (uint64_t)l->size * (uint64_t)count };
    if (__builtin_expect(bl_logging.prologue, 0) && bl_rt.recovered) note_between(&r, buf, count, type);
    if (__builtin_expect(l->contiguous || !r.bytes, 1)) {
        bl_log_append(bl_logging.sent, &r, buf);
        return;
    }
    char *room = NULL;
    while (!bl_logging.sent || !(room = bl_journal_begin(bl_logging.sent, &r)))
        if (!bl_log_wait_for_room(bl_logging.sent)) return;
    if (bl_pack(buf, count, type, room, (size_t)r.bytes)) bl_log_unsupported("a send whose contents MPI_Pack does not take");
    bl_journal_commit(bl_logging.sent, &r, room);
}

static void differs(const bl_live_slot *slot, const char *how)
{
    char text[160];
    snprintf(text, sizeof text, "message %" PRIu64 " to rank %d, tag %d: %s", slot->sent, slot->peer, slot->tag, how);
    if (bl_replaying) bl_replay_differs(text);
    if (bl_rejoining) bl_local_refuse(text);
    bl_log_end_job("message %" PRIu64 " to rank %d, tag %d, is not the one that was sent before the failure (%s): what the program does depends on something that is not logged; give random numbers, times and input to belay_nondeterministic",
                   slot->sent, slot->peer, slot->tag, how);
}

/* Sent before the failure: what is sent now has to be the same. */
static int repeat(bl_live_slot *slot, const void *buf, int count, MPI_Datatype type)
{
    slot->sent++;
    bl_feed_repeats -= bl_feed_repeats > 0;
    const bl_fed *was = bl_feed_sent(slot, slot->sent);
    if (!was) { /* only the receiver's checkpoint has it, which may be damaged one day; or all have it, and it was collected */
        if (!bl_log_alone() && !bl_feed_was_logged(slot, slot->sent)) append(slot, buf, count, type);
        return MPI_SUCCESS;
    }
    bl_log_repeated.messages++;
    bl_log_repeated.bytes += was->bytes;
    const bl_layout *l = bl_layout_of(type);
    size_t bytes = (size_t)l->size * (size_t)count;
    if (bytes != was->bytes) differs(slot, "another length");
    if (l->contiguous || !bytes) {
        if (bytes && memcmp(buf, was->data, bytes)) differs(slot, "other contents");
        return MPI_SUCCESS;
    }
    bl_room room;
    if (bl_room_take(&room, bytes)) return MPI_ERR_NO_MEM;
    int rc = bl_pack(buf, count, type, room.at, bytes);
    if (rc == MPI_SUCCESS && memcmp(room.at, was->data, bytes)) differs(slot, "other contents");
    bl_room_give(&room);
    return rc;
}

/* In a replay everything was sent. */
static int was_sent(const bl_live_slot *slot)
{
    return __builtin_expect(bl_feed_repeats > 0, 0) ? bl_log_alone() || bl_feed_was_sent(slot) : bl_log_alone();
}

typedef int send_call(const void *, int, MPI_Datatype, int, int, MPI_Comm);
typedef int isend_call(const void *, int, MPI_Datatype, int, int, MPI_Comm, MPI_Request *);

/* With something that rides on it: out of the journal, where it stays until its receiver has it in a checkpoint, or, as that of the
 * prologue may be closed at any time, out of memory of ours.  A message that need not wait for its receiver does not need the program's buffer for that either. */
__attribute__((noinline)) static int ship(bl_live_slot *slot, isend_call *call, const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm,
                MPI_Request *request)
{
    const bl_layout *l = bl_layout_of(type);
    size_t bytes = count > 0 ? (size_t)l->size * (size_t)count : 0, rides = bl_logging.rides;
    if (bytes + rides > INT32_MAX) bl_log_unsupported("a message of 2 GiB or more");
    bl_log_before_send();
    slot->sent++;
    bl_record r = { .a = slot->comm, .b = slot->sent, .c = slot->peer, .d = slot->tag, .kind = BL_EVENT_SENT, .number = (uint32_t)rides,
                    .bytes = bytes + rides };
    bl_room room = { 0 };
    char *at = NULL;
    while (!bl_logging.prologue && !(at = bl_journal_begin(bl_logging.sent, &r))) (void)bl_log_wait_for_room(bl_logging.sent);
    if (!at && bl_room_take(&room, bytes + rides)) bl_log_end_job("out of memory for a message");
    int logged = at != NULL;
    if (!logged) at = room.at;
    if (bytes && bl_pack(buf, count, type, at, bytes)) bl_log_unsupported("a send whose contents MPI_Pack does not take");
    bl_depend_load(at + bytes, slot->peer);
    if (logged) bl_journal_commit(bl_logging.sent, &r, at);
    else bl_log_append(bl_logging.sent, &r, at);
    if (bl_logging.prologue && bl_rt.recovered) {
        r.bytes = bytes;
        note_between(&r, buf, count, type);
    }
    int buffered = !logged || !call || call == PMPI_Ibsend, rc;
    bl_exposed();
    if (buffered) rc = bl_loose_send(&room, at, (int)(bytes + rides), MPI_BYTE, dest, tag, comm);
    else rc = call(at, (int)(bytes + rides), MPI_BYTE, dest, tag, comm, request);
    int broken = bl_broken();
    if (broken || (rc != MPI_SUCCESS && bl_rt.local && bl_injob_hurt(comm))) { /* it is in the journal, out of which its receiver takes it */
        bl_rt.hurt = 0;
        bl_injob_mend();
        buffered = 1;
        comm = bl_rt.world;
        rc = MPI_SUCCESS;
    }
    if (rc == MPI_SUCCESS && buffered && request) rc = PMPI_Isend(NULL, 0, MPI_BYTE, MPI_PROC_NULL, 0, comm, request);
    if (rc != MPI_SUCCESS) bl_log_end_job("MPI has refused to send what is in the journal already");
    return rc;
}

__attribute__((noinline)) static int ship_and_wait(bl_live_slot *slot, isend_call *call, const void *buf, int count, MPI_Datatype type, int dest,
                                                   int tag, MPI_Comm comm)
{
    MPI_Request sending;
    int rc = ship(slot, call, buf, count, type, dest, tag, comm, &sending);
    if (rc) return rc;
    bl_exposed();
    rc = PMPI_Wait(&sending, MPI_STATUS_IGNORE);
    return bl_mended() ? MPI_SUCCESS : rc;
}

static bl_live_slot *sends_on(MPI_Comm comm, int dest, int tag)
{
    bl_live_slot *slot = bl_slot(BL_SENT, comm, dest, tag);
    if (__builtin_expect(!slot || slot->tag == BL_TAG_FOLDED, 0) && comm != MPI_COMM_NULL && dest >= 0)
        bl_log_end_job("message logging: there are more (communicator, peer, tag) channels than are counted one by one, or a rank outside MPI_COMM_WORLD; use fewer tags, or run without logging");
    return slot;
}

/* The contents may be read while MPI sends them, and the receiver of a long message takes as long to get it as they take. */
static int send_and_append(const bl_live_slot *slot, isend_call *call, const void *buf, int count, MPI_Datatype type, int dest, int tag,
                           MPI_Comm comm)
{
    MPI_Request sending;
    int rc = call(buf, count, type, dest, tag, comm, &sending);
    if (rc != MPI_SUCCESS) return rc;
    append(slot, buf, count, type);
    rc = PMPI_Wait(&sending, MPI_STATUS_IGNORE);
    return bl_mended() ? MPI_SUCCESS : rc;
}

/* Of one that a death has broken: whoever has not received it takes it out of the journal. */
static int sent_all_the_same(const bl_live_slot *slot, const void *buf, int count, MPI_Datatype type)
{
    bl_rt.hurt = 0;
    append(slot, buf, count, type);
    bl_injob_mend();
    return MPI_SUCCESS;
}

static int send_it(send_call *call, isend_call *begin, const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm)
{
    bl_live_slot *slot = dest == MPI_PROC_NULL ? NULL : sends_on(comm, dest, tag);
    if (!slot) return call(buf, count, type, dest, tag, comm);
    if (was_sent(slot)) return repeat(slot, buf, count, type);
    if (__builtin_expect(bl_logging.rides, 0)) return ship_and_wait(slot, begin, buf, count, type, dest, tag, comm);
    bl_log_before_send();
    slot->sent++;
    int is_long = count > 0 && (uint64_t)bl_layout_of(type)->size * (uint64_t)count >= LONG;
    bl_exposed();
    int rc = is_long ? send_and_append(slot, begin, buf, count, type, dest, tag, comm) : call(buf, count, type, dest, tag, comm);
    if (bl_broken()) return sent_all_the_same(slot, buf, count, type);
    if (__builtin_expect(rc != MPI_SUCCESS, 0)) slot->sent--;
    else if (!is_long) append(slot, buf, count, type);
    return rc;
}

#define SENDS(name, begin) \
    static int logged_##name(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm) \
    { \
        bl_log_entered(); \
        return send_it(PMPI_##name, PMPI_##begin, buf, count, type, dest, tag, comm); \
    }
SENDS(Send, Isend)
SENDS(Bsend, Ibsend)
SENDS(Ssend, Issend)
SENDS(Rsend, Irsend)

static int isend_it(isend_call *call, enum bl_call name, const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm,
                    MPI_Request *request)
{
    bl_live_slot *slot = dest == MPI_PROC_NULL ? NULL : sends_on(comm, dest, tag);
    bl_comm *c = bl_comm_of(comm);
    int rc;
    if (slot && was_sent(slot)) {
        rc = repeat(slot, buf, count, type);
        if (rc == MPI_SUCCESS) rc = PMPI_Isend(NULL, 0, MPI_BYTE, MPI_PROC_NULL, 0, comm, request);
    } else if (slot && bl_logging.rides) {
        rc = ship(slot, call, buf, count, type, dest, tag, comm, request);
        comm = c->handle;
    } else {
        bl_log_before_send();
        if (slot) slot->sent++;
        bl_exposed();
        rc = call(buf, count, type, dest, tag, comm, request);
        int broken = bl_broken();
        if (broken && slot) {
            sent_all_the_same(slot, buf, count, type);
            comm = c->handle;
            rc = PMPI_Isend(NULL, 0, MPI_BYTE, MPI_PROC_NULL, 0, comm, request);
            slot = NULL;
        }
        if (slot && rc != MPI_SUCCESS) slot->sent--;
        if (slot && rc == MPI_SUCCESS) append(slot, buf, count, type);
    }
    if (rc == MPI_SUCCESS) bl_request_made(*request, BL_REQ_SEND, name, comm, dest, tag, 0);
    return rc;
}

#define ISENDS(name) \
    static int logged_##name(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm, MPI_Request *request) \
    { \
        bl_log_entered(); \
        return isend_it(PMPI_##name, BL_CALL_##name, buf, count, type, dest, tag, comm, request); \
    }
ISENDS(Isend)
ISENDS(Ibsend)
ISENDS(Issend)
ISENDS(Irsend)

/* --- receives --- */

static void fill_status(MPI_Status *status, int source, int tag, uint64_t bytes)
{
    if (status == MPI_STATUS_IGNORE) return;
    status->MPI_SOURCE = source;
    status->MPI_TAG = tag;
    PMPI_Status_set_elements_x(status, MPI_BYTE, (MPI_Count)bytes);
    PMPI_Status_set_cancelled(status, 0);
}

static int unpack(const bl_fed *f, void *buf, int count, MPI_Datatype type)
{
    uint64_t room = (uint64_t)bl_layout_of(type)->size * (uint64_t)count;
    int rc = bl_unpack(f->data, f->bytes < room ? f->bytes : room, buf, count, type);
    return rc ? rc : f->bytes > room ? MPI_ERR_TRUNCATE : MPI_SUCCESS;
}

/* What a receive with these arguments, posted at `clock`, was matched with; a wildcard becomes what it was. */
static enum bl_how matched(uint64_t clock, bl_wanted *w)
{
    bl_seen seen;
    enum bl_how how = bl_outcome_of(BL_EVENT_MATCHED, clock, &seen);
    if (how != BL_KNOWN) return how;
    w->source = seen.c;
    w->tag = seen.d;
    w->hashed = seen.bytes == sizeof w->hash;
    if (w->hashed) memcpy(&w->hash, seen.payload, sizeof w->hash);
    return how;
}

static bl_wanted wanted(const bl_comm *c, int source, int tag)
{
    return (bl_wanted){ .comm = c, .source = source < 0 ? source : bl_comm_world_rank(c, source), .tag = tag };
}

static int is_wild(int source)
{
    return source == MPI_ANY_SOURCE;
}

/* --- receives of what something rides on --- */

static int carried_bytes(int count, MPI_Datatype type)
{
    size_t bytes = (count > 0 ? (size_t)bl_layout_of(type)->size * (size_t)count : 0) + bl_logging.rides;
    if (bytes > INT32_MAX) bl_log_unsupported("a receive of 2 GiB or more");
    return (int)bytes;
}

static int room_to_land(bl_room *room, int count, MPI_Datatype type)
{
    int bytes = carried_bytes(count, type);
    if (bl_room_take(room, (size_t)bytes)) bl_log_end_job("out of memory for a message");
    return bytes;
}

/* Depended on before the program sees it; returns the bytes of its payload. */
static size_t depend_on(const char *at, const bl_comm *c, const MPI_Status *s)
{
    size_t bytes = (size_t)bl_status_bytes(s), rides = bl_logging.rides;
    int world = bl_comm_world_rank(c, s->MPI_SOURCE);
    if (bytes < rides) bl_log_end_job("a message from rank %d does not carry what it has to: it was sent by another version of Belay, or before MPI_Init had returned", world);
    bl_depend_came(world, at + bytes - rides);
    return bytes - rides;
}

static void unload(const bl_room *room, void *buf, int count, MPI_Datatype type, const bl_comm *c, const MPI_Status *s)
{
    size_t bytes = depend_on(room->at, c, s);
    if (bytes) (void)bl_unpack(room->at, bytes, buf, count, type);
}

static void without_rider(MPI_Status *s)
{
    size_t bytes = (size_t)bl_status_bytes(s), rides = bl_logging.rides;
    PMPI_Status_set_elements_x(s, MPI_BYTE, (MPI_Count)(bytes < rides ? 0 : bytes - rides));
}

__attribute__((noinline)) static int receive_carried(void *buf, int count, MPI_Datatype type, int source, int tag, const bl_comm *c, MPI_Status *s)
{
    bl_room room;
    int most = room_to_land(&room, count, type), rc = PMPI_Recv(room.at, most, MPI_BYTE, source, tag, c->handle, s);
    if (rc == MPI_SUCCESS) {
        unload(&room, buf, count, type, c, s);
        without_rider(s);
    }
    bl_room_give(&room);
    return rc;
}

static inline int receive_now(void *buf, int count, MPI_Datatype type, int source, int tag, const bl_comm *c, MPI_Status *s)
{
    if (__builtin_expect(!bl_logging.rides, 1)) return PMPI_Recv(buf, count, type, source, tag, c->handle, s);
    return receive_carried(buf, count, type, source, tag, c, s);
}

static landing *landing_of(uint64_t key)
{
    for (unsigned i = 0; i < lg.landings; i++)
        if (lg.landing[i].key == key) return &lg.landing[i];
    return NULL;
}

static landing *new_landing(const landing *l)
{
    if (lg.landings == lg.landing_room) {
        unsigned room = lg.landing_room ? 2 * lg.landing_room : 32;
        landing *bigger = realloc(lg.landing, room * sizeof *bigger);
        if (!bigger) bl_log_end_job("out of memory for requests");
        lg.landing = bigger;
        lg.landing_room = room;
    }
    lg.landing[lg.landings] = *l;
    return &lg.landing[lg.landings++];
}

static void drop_landing(landing *l)
{
    if (!l->keeps) {
        bl_room_give(&l->room);
        if (l->type != MPI_BYTE) free_type(&l->type);
    }
    memmove(l, l + 1, (size_t)(&lg.landing[--lg.landings] - l) * sizeof *l);
}

/* Its request is complete, and this is what MPI says of it: afterwards, what the program may be told. */
static void land(landing *l, MPI_Status *s)
{
    if (s->MPI_SOURCE < 0) return;
    if (!l->landed) unload(&l->room, l->buf, l->count, l->type, l->comm, s);
    l->landed = 1;
    without_rider(s);
}

static int post_receive(void *buf, int count, MPI_Datatype type, int source, int tag, const bl_comm *c, MPI_Request *request)
{
    landing l = { .buf = buf, .count = count, .type = MPI_BYTE, .comm = c };
    if (!bl_logging.rides) return PMPI_Irecv(buf, count, type, source, tag, c->handle, request);
    int most = room_to_land(&l.room, count, type);
    int rc = PMPI_Irecv(l.room.at, most, MPI_BYTE, source, tag, c->handle, request);
    if (rc) {
        bl_room_give(&l.room);
        return rc;
    }
    if (bl_layout_of(type)->contiguous) l.count = most - (int)bl_logging.rides;
    else PMPI_Type_dup(type, &l.type); /* the program may free its own */
    l.key = bl_request_key(*request);
    new_landing(&l);
    return rc;
}

/* Is it complete?  Then it is where the program wants it.  MPI does not say whether it is in error. */
static int is_there(const watched *e, MPI_Status *s)
{
    MPI_Request request = e->inner != MPI_REQUEST_NULL ? e->inner : e->handle;
    int there = 0;
    PMPI_Request_get_status(request, &there, s);
    if (there && bl_rt.local && bl_injob_hurt(e->comm->handle)) return 0;
    landing *l = there && bl_logging.rides ? landing_of(bl_request_key(request)) : NULL;
    if (l) land(l, s);
    return there;
}

/* From a journal; 0 when none holds it. */
static int feed_one(const bl_wanted *w, void *buf, int count, MPI_Datatype type, MPI_Comm comm, MPI_Status *status, int *rc)
{
    int world;
    bl_fed *f = bl_feed_find(w, &world);
    if (!f) return 0;
    bl_log_fed.messages++;
    bl_log_fed.bytes += f->bytes;
    *rc = unpack(f, buf, count, type);
    fill_status(status, rank_in(w->comm, world), f->tag, f->bytes);
    bl_feed_take(f);
    if (*rc) {
        status->MPI_ERROR = *rc;
        say_to_handler(comm, *rc);
    }
    return 1;
}

static int overlaps(const watched *e, const bl_comm *c, int source, int tag)
{
    return e->comm == c && (e->source == source || is_wild(e->source) || is_wild(source)) &&
           (e->tag == tag || e->tag == MPI_ANY_TAG || tag == MPI_ANY_TAG);
}

static void tell_match(watched *e, const MPI_Status *s, int hashed)
{
    uint64_t hash = 0;
    if (hashed) {
        bl_room room;
        const bl_layout *l = bl_layout_of(e->type);
        size_t bytes = (size_t)bl_status_bytes(s), most = (size_t)l->size * (size_t)e->count;
        if (bytes > most) bytes = most;
        if (l->contiguous) hash = XXH3_64bits(e->buf, bytes);
        else if (bl_room_take(&room, most) == MPI_SUCCESS) {
            if (bl_pack(e->buf, e->count, e->type, room.at, most) == MPI_SUCCESS) hash = XXH3_64bits(room.at, bytes);
            bl_room_give(&room);
        }
    }
    bl_outcome_log(BL_EVENT_MATCHED, e->clock, bl_comm_world_rank(e->comm, s->MPI_SOURCE), s->MPI_TAG, &hash, hashed ? sizeof hash : 0);
    e->told = 1;
    e->from = s->MPI_SOURCE;
    e->with = s->MPI_TAG;
    e->hashed = (uint8_t)(hashed != 0);
    e->hash = hash;
}

/* Is one posted earlier, which might have been matched with the same message, still open?  One that is complete, though the
 * program has not seen it, is told on this occasion. */
static int unsure(const bl_comm *c, uint64_t clock, int source, int tag)
{
    int open = 0;
    for (unsigned i = 0; i < lg.watches && lg.watch[i].clock < clock; i++) {
        watched *e = &lg.watch[i];
        MPI_Status s;
        if (!e->wild || e->done || e->told || !overlaps(e, c, source, tag)) continue;
        int there = !e->held && is_there(e, &s);
        if (there) tell_match(e, &s, open);
        else open = 1;
    }
    return open;
}

/* A message of this channel is received, or will be: its number, if those before it are for whoever was posted earlier. */
static uint64_t expect_one(const bl_comm *c, int source, int tag)
{
    const bl_live_slot *slot = lg.expected ? bl_slot(BL_RECEIVED, c->handle, source, tag) : NULL;
    return slot ? ++lg.expected[slot - bl_rt.live.slot] : 0;
}

/* A receive that was posted at `clock` is seen: an earlier one with a wildcard may have a message that was sent before. */
static void pass_by(const bl_comm *c, uint64_t clock, int source, int tag)
{
    for (unsigned i = 0; lg.expected && i < lg.watches && lg.watch[i].clock < clock; i++) {
        watched *e = &lg.watch[i];
        int wild = e->wild || e->tag == MPI_ANY_TAG;
        if (wild && !e->sends && !e->done && overlaps(e, c, source, tag) && (!e->told || (e->from == source && e->with == tag))) e->passed = 1;
    }
}

/* One that waits.  What a wildcard was matched with is in the journal before the program sees it. */
static int receive(void *buf, int count, MPI_Datatype type, int source, int tag, MPI_Comm comm, MPI_Status *s)
{
    bl_comm *c = bl_comm_of(comm);
    if (!c || source == MPI_PROC_NULL) return PMPI_Recv(buf, count, type, source, tag, comm, s);
    bl_wanted w = wanted(c, source, tag);
    uint64_t clock = bl_log_clock();
    enum bl_how how = is_wild(source) || lg.watches || bl_outcome_behind() ? matched(clock, &w) : BL_OPEN;
    int rc;
    if (bl_log_alone() && how != BL_KNOWN && is_wild(source)) bl_log_unknown();
    while (!feed_one(&w, buf, count, type, comm, s, &rc)) {
        if (bl_log_alone()) bl_log_unknown();
        bl_exposed();
        rc = receive_now(buf, count, type, w.source < 0 ? source : rank_in(c, w.source), w.tag, c, s);
        if (bl_mended()) continue;
        if (rc != MPI_SUCCESS && rc != MPI_ERR_TRUNCATE) return rc;
        break;
    }
    if (how != BL_KNOWN && (is_wild(source) || lg.watches)) {
        watched e = { .clock = clock, .buf = buf, .count = count, .type = type, .comm = c };
        int open = lg.watches && unsure(c, clock, s->MPI_SOURCE, s->MPI_TAG);
        if (is_wild(source) || open) tell_match(&e, s, open);
        pass_by(c, clock, s->MPI_SOURCE, s->MPI_TAG);
    }
    bl_received(c->handle, s);
    expect_one(c, s->MPI_SOURCE, s->MPI_TAG);
    return rc;
}

/* Inside a collective: nothing of it is an event, and no wildcard can be in its way. */
static int receive_from(void *buf, int count, MPI_Datatype type, int source, const bl_comm *c, MPI_Status *s)
{
    bl_wanted w = wanted(c, source, TREE_TAG);
    int rc;
    while (!feed_one(&w, buf, count, type, c->handle, s, &rc)) {
        if (bl_log_alone()) bl_log_unknown();
        bl_exposed();
        rc = receive_now(buf, count, type, source, TREE_TAG, c, s);
        if (!bl_mended()) break;
    }
    if (rc != MPI_SUCCESS) return rc;
    bl_received(c->handle, s);
    expect_one(c, source, TREE_TAG);
    return rc;
}

static int logged_Recv(void *buf, int count, MPI_Datatype type, int source, int tag, MPI_Comm comm, MPI_Status *status)
{
    MPI_Status own;
    bl_log_entered();
    return receive(buf, count, type, source, tag, comm, WANTED(status, own));
}

/* --- requests that MPI did not make: complete at once, or held until it is known what they are matched with --- */

static int query(void *context, MPI_Status *status)
{
    *status = *(MPI_Status *)context;
    return MPI_SUCCESS;
}

static int release(void *context)
{
    free(context);
    return MPI_SUCCESS;
}

static int refuse_cancel(void *context, int complete)
{
    (void)context;
    (void)complete;
    return MPI_SUCCESS;
}

static MPI_Status *make_request(MPI_Request *request)
{
    MPI_Status *s = calloc(1, sizeof *s);
    if (!s) bl_log_end_job("out of memory for requests");
    fill_status(s, MPI_ANY_SOURCE, MPI_ANY_TAG, 0);
    PMPI_Grequest_start(query, release, refuse_cancel, s, request);
    return s;
}

static watched *watch(const watched *e)
{
    if (lg.watches == lg.room) {
        unsigned room = lg.room ? 2 * lg.room : 32;
        watched *bigger = realloc(lg.watch, room * sizeof *bigger);
        if (!bigger) bl_log_end_job("out of memory for requests");
        lg.watch = bigger;
        lg.room = room;
    }
    lg.watch[lg.watches] = *e;
    return &lg.watch[lg.watches++];
}

static void forget(unsigned i)
{
    watched *e = &lg.watch[i];
    lg.held -= e->held;
    lg.swapped -= e->inner != MPI_REQUEST_NULL;
    if (e->own_type) free_type(&e->type);
    memmove(e, e + 1, (--lg.watches - i) * sizeof *e);
}

static unsigned index_of_handle(MPI_Request handle)
{
    unsigned i = 0;
    while (i < lg.watches && lg.watch[i].handle != handle && (lg.watch[i].inner == MPI_REQUEST_NULL || lg.watch[i].inner != handle)) i++;
    return i;
}

/* Behind one that is held and might take the same message, a receive has to wait as well. */
static int has_to_wait(const bl_comm *c, int source, int tag)
{
    for (unsigned i = 0; lg.held && i < lg.watches; i++)
        if (lg.watch[i].held && overlaps(&lg.watch[i], c, source, tag)) return 1;
    return 0;
}

static void hold(watched *e, MPI_Request *request)
{
    e->answer = make_request(request);
    e->handle = *request;
    e->held = 1;
    e->own_type = PMPI_Type_dup(e->type, &e->type) == MPI_SUCCESS; /* the program may free its own */
    lg.held++;
    watch(e);
}

static uint32_t home_of(uint64_t key)
{
    return (uint32_t)((key * 0x9e3779b97f4a7c15u) >> 32) & (lg.postings - 1);
}

static posting *posting_of(uint64_t key)
{
    uint32_t i = home_of(key);
    while (lg.posting[i].key && lg.posting[i].key != key) i = (i + 1) & (lg.postings - 1);
    return &lg.posting[i];
}

static void more_postings(void)
{
    posting *old = lg.posting;
    uint32_t slots = lg.postings;
    lg.postings = slots ? 2 * slots : 256;
    lg.posting = calloc(lg.postings, sizeof *lg.posting);
    if (!lg.posting) bl_log_end_job("out of memory for requests");
    for (uint32_t i = 0; i < slots; i++)
        if (old[i].key) *posting_of(old[i].key) = old[i];
    free(old);
}

/* Posted with what its match is known to be. */
static void note_posting(watched *e, MPI_Request request, int source, int tag, const bl_wanted *w)
{
    if (!bl_rt.local || request == bl_rt.shared) return;
    if (lg.posted >= lg.postings / 2) more_postings();
    posting *p = posting_of(bl_request_key(request));
    lg.posted += p->key == 0;
    if (p->own_type) free_type(&p->type);
    *p = (posting){ .key = bl_request_key(request), .clock = e->clock, .buf = e->buf, .type = e->type, .comm = e->comm, .count = e->count,
                    .source = source, .tag = tag, .hashed = (uint8_t)(w->hashed != 0), .hash = w->hash };
    if (source >= 0 && tag >= 0) e->number = p->number = expect_one(e->comm, source, tag);
}

static int post(watched *e, MPI_Comm comm, MPI_Request *request)
{
    bl_wanted w = wanted(e->comm, e->source, e->tag);
    enum bl_how how = e->wild || lg.watches || bl_outcome_behind() ? matched(e->clock, &w) : BL_OPEN;
    int rc, waits = how != BL_KNOWN && ((e->wild && (how == BL_NOTHING || bl_log_alone())) || has_to_wait(e->comm, e->source, e->tag));
    int source = w.source < 0 ? e->source : rank_in(e->comm, w.source);
    MPI_Status s = { 0 };
    if (waits) {
        hold(e, request);
        bl_request_made(*request, BL_REQ_RECV, BL_CALL_Irecv, comm, e->source, e->tag, 0);
        return MPI_SUCCESS;
    }
    if (feed_one(&w, e->buf, e->count, e->type, comm, &s, &rc)) {
        if (rc) return rc;
        *make_request(request) = s;
        PMPI_Grequest_complete(*request);
        if (e->wild && how != BL_KNOWN) tell_match(e, &s, 0); /* chosen here */
        bl_request_made(*request, BL_REQ_RECV, BL_CALL_Irecv, comm, s.MPI_SOURCE, s.MPI_TAG, 0);
        note_posting(e, *request, s.MPI_SOURCE, s.MPI_TAG, &w);
        return MPI_SUCCESS;
    }
    if (bl_log_alone()) { /* it never came */
        hold(e, request);
        bl_request_made(*request, BL_REQ_RECV, BL_CALL_Irecv, comm, e->source, e->tag, 0);
        return MPI_SUCCESS;
    }
    bl_exposed();
    rc = post_receive(e->buf, e->count, e->type, source, w.tag, e->comm, request);
    if (bl_mended()) return post(e, e->comm->handle, request);
    if (rc) return rc;
    note_posting(e, *request, source, w.tag, &w);
    e->handle = *request;
    e->told = how == BL_KNOWN;
    e->wild = e->wild && how != BL_KNOWN;
    bl_request_made(*request, BL_REQ_RECV, BL_CALL_Irecv, comm, source, w.tag, 0);
    if (bl_logging.rides) bl_request_looked_at(*request);
    if (!e->told && *request != bl_rt.shared && (e->wild || lg.watches || (bl_rt.local && w.tag == MPI_ANY_TAG))) {
        watch(e);
        bl_request_looked_at(*request);
    }
    return MPI_SUCCESS;
}

static int logged_Irecv(void *buf, int count, MPI_Datatype type, int source, int tag, MPI_Comm comm, MPI_Request *request)
{
    bl_log_entered();
    bl_comm *c = bl_comm_of(comm);
    if (!c || source == MPI_PROC_NULL) {
        int rc = PMPI_Irecv(buf, count, type, source, tag, comm, request);
        if (rc == MPI_SUCCESS) bl_request_made(*request, BL_REQ_RECV, BL_CALL_Irecv, comm, source, tag, 0);
        return rc;
    }
    watched e = { .handle = MPI_REQUEST_NULL, .inner = MPI_REQUEST_NULL, .clock = bl_log_clock(), .buf = buf, .count = count, .source = source,
                  .tag = tag, .type = type, .comm = c, .wild = (uint8_t)is_wild(source) };
    return post(&e, comm, request);
}

/* What was made before the death is made again: nothing is known of the future any more, so what is held takes what the journals
 * have left, or is posted. */
static void let_go_of_held(void)
{
    for (unsigned i = 0; lg.held && i < lg.watches;) {
        watched *e = &lg.watch[i];
        if (!e->held) {
            i++;
            continue;
        }
        bl_wanted w = wanted(e->comm, e->source, e->tag);
        int world;
        bl_fed *f = bl_feed_find(&w, &world);
        if (f) {
            MPI_Status s = { 0 };
            if (unpack(f, e->buf, e->count, e->type)) bl_log_end_job("a message of %" PRIu64 " bytes is longer than the receive it is for", f->bytes);
            fill_status(&s, rank_in(e->comm, world), f->tag, f->bytes);
            bl_feed_take(f);
            if (e->wild) tell_match(e, &s, 0);
            *e->answer = s;
            PMPI_Grequest_complete(e->handle);
            forget(i);
            continue;
        }
        if (bl_log_alone()) {
            i++;
            continue;
        }
        e->held = 0;
        lg.held--;
        post_receive(e->buf, e->count, e->type, e->source, e->tag, e->comm, &e->inner);
        lg.swapped++;
        i++;
    }
}

/* --- both ways --- */

static int wait_until_sent(MPI_Request *sending)
{
    bl_log_swap(1, sending);
    MPI_Request handle = *sending;
    bl_exposed();
    int rc = PMPI_Wait(sending, MPI_STATUS_IGNORE);
    bl_request_completed(handle, MPI_STATUS_IGNORE);
    return bl_mended() ? MPI_SUCCESS : rc;
}

static int exchange(const void *sendbuf, int sendcount, MPI_Datatype sendtype, int dest, int sendtag, void *recvbuf, int recvcount,
                    MPI_Datatype recvtype, int source, int recvtag, MPI_Comm comm, MPI_Status *status)
{
    MPI_Request sending;
    const bl_comm *c = bl_comm_of(comm);
    int rc = isend_it(PMPI_Isend, BL_CALL_Sendrecv, sendbuf, sendcount, sendtype, dest, sendtag, comm, &sending);
    if (rc) return rc;
    rc = receive(recvbuf, recvcount, recvtype, source, recvtag, bl_rt.local && c ? c->handle : comm, status);
    int sent = wait_until_sent(&sending);
    return rc ? rc : sent;
}

static int logged_Sendrecv(const void *sendbuf, int sendcount, MPI_Datatype sendtype, int dest, int sendtag, void *recvbuf, int recvcount,
                           MPI_Datatype recvtype, int source, int recvtag, MPI_Comm comm, MPI_Status *status)
{
    MPI_Status own;
    bl_log_entered();
    return exchange(sendbuf, sendcount, sendtype, dest, sendtag, recvbuf, recvcount, recvtype, source, recvtag, comm, WANTED(status, own));
}

static int logged_Sendrecv_replace(void *buf, int count, MPI_Datatype type, int dest, int sendtag, int source, int recvtag, MPI_Comm comm,
                                   MPI_Status *status)
{
    MPI_Status own;
    bl_room copy;
    bl_log_entered();
    if (count < 0 || type == MPI_DATATYPE_NULL) return PMPI_Sendrecv_replace(buf, count, type, dest, sendtag, source, recvtag, comm, status);
    size_t bytes = (size_t)bl_layout_of(type)->size * (size_t)count;
    if (bytes > INT32_MAX || bl_room_take(&copy, bytes ? bytes : 1)) return say_to_handler(comm, MPI_ERR_NO_MEM);
    int rc = bl_pack(buf, count, type, copy.at, bytes);
    if (rc == MPI_SUCCESS)
        rc = exchange(copy.at, (int)bytes, MPI_PACKED, dest, sendtag, buf, count, type, source, recvtag, comm, WANTED(status, own));
    bl_room_give(&copy);
    return rc;
}

/* --- persistent requests --- */

static persistent *persistent_of(uint64_t key)
{
    persistent *p = lg.persistent;
    while (p && p->key != key) p = p->next;
    return p;
}

/* Those made in the prologue are started after it. */
void bl_log_persistent(const void *buf, int count, MPI_Datatype type, int peer, int tag, MPI_Comm comm, enum bl_call call, MPI_Request request)
{
    union { const void *in; void *out; } at = { buf };
    persistent *p = calloc(1, sizeof *p);
    if (!p) bl_log_end_job("out of memory for requests");
    *p = (persistent){ .next = lg.persistent, .key = bl_request_key(request), .buf = at.out, .count = count, .peer = peer, .tag = tag,
                       .receives = call == BL_CALL_Recv_init, .comm = comm, .call = call };
    if (p->receives && is_wild(peer)) bl_log_unsupported("MPI_Recv_init from MPI_ANY_SOURCE");
    PMPI_Type_dup(type, &p->type);
    bl_comm *c = bl_comm_of(comm);
    if (peer != MPI_PROC_NULL && c && c->size > 1) p->of = c;
    lg.persistent = p;
}

static int made(const void *buf, int count, MPI_Datatype type, int peer, int tag, MPI_Comm comm, enum bl_call call, MPI_Request request)
{
    bl_request_made(request, call == BL_CALL_Recv_init ? BL_REQ_RECV : BL_REQ_SEND, call, comm, peer, tag, 1);
    bl_log_persistent(buf, count, type, peer, tag, comm, call, request);
    return MPI_SUCCESS;
}

#define SEND_INITS(name) \
    static int logged_##name(const void *buf, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm, MPI_Request *request) \
    { \
        bl_log_entered(); \
        if (bl_logging.rides && BL_CALL_##name == BL_CALL_Ssend_init) bl_log_unsupported("MPI_Ssend_init"); \
        int rc = PMPI_##name(buf, count, type, bl_replaying ? MPI_PROC_NULL : dest, tag, comm, request); \
        return rc ? rc : made(buf, count, type, dest, tag, comm, BL_CALL_##name, *request); \
    }
SEND_INITS(Send_init)
SEND_INITS(Bsend_init)
SEND_INITS(Ssend_init)
SEND_INITS(Rsend_init)

static int receive_init(const bl_room *room, void *buf, int count, MPI_Datatype type, int source, int tag, MPI_Comm comm, MPI_Request *request)
{
    if (!room->at) return PMPI_Recv_init(buf, count, type, source, tag, comm, request);
    return PMPI_Recv_init(room->at, carried_bytes(count, type), MPI_BYTE, source, tag, comm, request);
}

static int logged_Recv_init(void *buf, int count, MPI_Datatype type, int source, int tag, MPI_Comm comm, MPI_Request *request)
{
    bl_log_entered();
    bl_room room = { 0 };
    if (bl_logging.rides && source != MPI_PROC_NULL && bl_comm_of(comm)) (void)room_to_land(&room, count, type);
    int rc = receive_init(&room, buf, count, type, bl_replaying ? MPI_PROC_NULL : source, tag, comm, request);
    if (rc) return rc;
    made(buf, count, type, source, tag, comm, BL_CALL_Recv_init, *request);
    lg.persistent->room = room;
    return rc;
}

static void be_ready(persistent *p)
{
    p->ready = 1;
    lg.ready++;
}

static void lands(const persistent *p, const bl_comm *c)
{
    landing l = { .key = p->key, .room = p->room, .buf = p->buf, .count = p->count, .type = p->type, .comm = c, .keeps = 1 };
    if (p->room.at) new_landing(&l);
}

static int start_receive(persistent *p, MPI_Request *request)
{
    bl_comm *c = bl_comm_of(p->comm);
    int rc = MPI_SUCCESS;
    p->clock = bl_log_clock();
    p->start = ++lg.starts;
    if (c && p->peer >= 0 && p->tag >= 0) p->number = expect_one(c, p->peer, p->tag);
    if (c && p->peer != MPI_PROC_NULL) {
        bl_wanted w = wanted(c, p->peer, p->tag);
        if (has_to_wait(c, p->peer, p->tag) || lg.watches)
            bl_log_unsupported("MPI_Start of a receive while one from MPI_ANY_SOURCE is open");
        if (feed_one(&w, p->buf, p->count, p->type, p->comm, &p->status, &rc)) be_ready(p);
        p->missing = bl_log_alone() && !p->ready;
    }
    bl_request_started(*request);
    if (p->ready || p->missing) return rc;
    bl_exposed();
    rc = PMPI_Start(request);
    if (bl_mended()) { /* it has been started with the others, or its message is there */
        bl_log_swap(1, request);
        return MPI_SUCCESS;
    }
    if (rc) bl_request_not_started(*request);
    if (rc || !p->room.at) return rc;
    lands(p, c);
    bl_request_looked_at(*request);
    return rc;
}

static int start_send(persistent *p, MPI_Request *request)
{
    bl_live_slot *slot = p->peer == MPI_PROC_NULL ? NULL : sends_on(p->comm, p->peer, p->tag);
    if (slot && was_sent(slot)) {
        int rc = repeat(slot, p->buf, p->count, p->type);
        slot->sent--;
        bl_request_started(*request); /* counts it */
        be_ready(p);
        return rc;
    }
    if (slot && bl_logging.rides) {
        int rc = ship(slot, NULL, p->buf, p->count, p->type, p->peer, p->tag, p->comm, NULL);
        bl_log_swap(1, request);
        slot->sent--;
        bl_request_started(*request); /* counts it */
        be_ready(p);
        return rc;
    }
    bl_log_before_send();
    bl_request_started(*request);
    bl_exposed();
    int rc = PMPI_Start(request);
    if (bl_broken()) {
        rc = sent_all_the_same(slot, p->buf, p->count, p->type);
        bl_log_swap(1, request);
        return rc;
    }
    if (rc) bl_request_not_started(*request);
    else if (slot) append(slot, p->buf, p->count, p->type);
    return rc;
}

static int start(MPI_Request *request)
{
    persistent *p = persistent_of(bl_request_key(*request));
    if (!p) return PMPI_Start(request); /* MPI's to refuse */
    return p->receives ? start_receive(p, request) : start_send(p, request);
}

static int logged_Start(MPI_Request *request)
{
    bl_log_entered();
    bl_log_swap(1, request);
    return start(request);
}

static int logged_Startall(int count, MPI_Request requests[])
{
    int rc = MPI_SUCCESS;
    bl_log_entered();
    bl_log_swap(count, requests);
    for (int i = 0; rc == MPI_SUCCESS && i < count; i++) {
        if (lg.olds) bl_log_swap(1, &requests[i]); /* a death may have come in between */
        rc = start(&requests[i]);
    }
    return rc;
}

/* --- probes --- */

/* What the journals hold is there already; 0 when they hold nothing of the kind. */
static int probe_feed(const bl_wanted *w, MPI_Status *status)
{
    int world;
    const bl_fed *f = bl_feed_find(w, &world);
    if (f) fill_status(status, rank_in(w->comm, world), f->tag, f->bytes);
    return f != NULL;
}

static enum bl_how probed(bl_wanted *w)
{
    bl_seen seen;
    enum bl_how how = bl_outcome_of(BL_EVENT_PROBED, bl_log_clock(), &seen);
    if (how != BL_KNOWN) return how;
    w->source = seen.c;
    w->tag = seen.d;
    return how;
}

static void tell_probe(const bl_comm *c, const MPI_Status *s)
{
    pass_by(c, bl_log_clock(), s->MPI_SOURCE, s->MPI_TAG);
    bl_outcome_log(BL_EVENT_PROBED, bl_log_clock(), bl_comm_world_rank(c, s->MPI_SOURCE), s->MPI_TAG, NULL, 0);
}

/* It shows the program a message, so the program depends on what rides on that, which is only to be had with the message: it is
 * taken out of MPI, and all of the same sender that are before it. */
static void take_in_probed(const bl_comm *c, MPI_Status *s)
{
    int source = s->MPI_SOURCE, tag = s->MPI_TAG, world = bl_comm_world_rank(c, source);
    MPI_Status one;
    do {
        if (PMPI_Probe(source, MPI_ANY_TAG, c->handle, &one) != MPI_SUCCESS) return; /* as who probes will see */
        int bytes = (int)bl_status_bytes(&one);
        char *data = malloc((size_t)bytes + 1);
        if (!data) bl_log_end_job("out of memory for a message");
        if (PMPI_Recv(data, bytes, MPI_BYTE, source, one.MPI_TAG, c->handle, &one) != MPI_SUCCESS) {
            free(data);
            return;
        }
        bl_feed_stash(c, world, one.MPI_TAG, data, depend_on(data, c, &one));
    } while (one.MPI_TAG != tag);
    without_rider(s);
}

static void not_with_riders(const char *call)
{
    if (bl_logging.rides)
        bl_log_end_job("%s: what it shows cannot be followed with logging=%s; use logging=pessimistic", call, bl_logging_name(bl_rt.settings.logging));
}

static void not_yet_with_riders(const char *call)
{
    if (bl_logging.rides && bl_logging.prologue)
        bl_log_end_job("%s before the first safe point: what it shows cannot be followed there with logging=%s; use logging=pessimistic", call,
                       bl_logging_name(bl_rt.settings.logging));
}

static int probe_now(int source, int tag, const bl_comm *c, MPI_Status *s)
{
    int rc = PMPI_Probe(source, tag, c->handle, s);
    if (rc == MPI_SUCCESS && bl_logging.rides) take_in_probed(c, s);
    return rc;
}

static int probe(int source, int tag, MPI_Comm comm, MPI_Status *status)
{
    MPI_Status own, *s = WANTED(status, own);
    bl_comm *c = bl_comm_of(comm);
    if (!c || source == MPI_PROC_NULL) return PMPI_Probe(source, tag, comm, status);
    bl_wanted w = wanted(c, source, tag);
    enum bl_how how = probed(&w);
    int rc = MPI_SUCCESS;
    if (bl_log_alone() && how != BL_KNOWN && is_wild(source)) bl_log_unknown();
    while (!probe_feed(&w, s)) {
        if (bl_log_alone()) bl_log_unknown();
        bl_exposed();
        rc = probe_now(w.source < 0 ? source : rank_in(c, w.source), w.tag, c, s);
        if (!bl_mended()) break;
        rc = MPI_SUCCESS;
    }
    if (rc == MPI_SUCCESS && how != BL_KNOWN && is_wild(source)) tell_probe(c, s);
    return rc;
}

static int logged_Probe(int source, int tag, MPI_Comm comm, MPI_Status *status)
{
    bl_log_entered();
    not_yet_with_riders("MPI_Probe");
    return probe(source, tag, comm, status);
}

static int logged_Iprobe(int source, int tag, MPI_Comm comm, int *flag, MPI_Status *status)
{
    MPI_Status own, *s = WANTED(status, own);
    bl_log_entered();
    not_yet_with_riders("MPI_Iprobe");
    bl_comm *c = bl_comm_of(comm);
    if (!c || source == MPI_PROC_NULL) return PMPI_Iprobe(source, tag, comm, flag, status);
    bl_wanted w = wanted(c, source, tag);
    enum bl_how how = probed(&w);
    int rc = MPI_SUCCESS;
    *flag = how == BL_KNOWN;
    if (how == BL_NOTHING) return rc;
    if (bl_log_alone() && (how == BL_OPEN || !probe_feed(&w, s))) bl_log_unknown();
    if (how == BL_KNOWN) return probe_feed(&w, s) ? rc : probe_now(rank_in(c, w.source), w.tag, c, s);
    while (!(*flag = probe_feed(&w, s))) {
        bl_exposed();
        rc = PMPI_Iprobe(source, tag, c->handle, flag, s);
        if (rc == MPI_SUCCESS && *flag && bl_logging.rides) take_in_probed(c, s);
        if (!bl_mended()) break;
    }
    if (rc == MPI_SUCCESS && *flag) tell_probe(c, s);
    if (!*flag) bl_outcome_nothing();
    return rc;
}

static int logged_Mprobe(int source, int tag, MPI_Comm comm, MPI_Message *message, MPI_Status *status)
{
    MPI_Status own, *s = WANTED(status, own);
    bl_log_entered();
    not_with_riders("MPI_Mprobe");
    bl_log_unlogged("MPI_Mprobe");
    int rc = PMPI_Mprobe(source, tag, comm, message, s);
    if (rc == MPI_SUCCESS) bl_message_made(*message, BL_CALL_Mprobe, comm, s);
    return rc;
}

static int logged_Improbe(int source, int tag, MPI_Comm comm, int *flag, MPI_Message *message, MPI_Status *status)
{
    MPI_Status own, *s = WANTED(status, own);
    bl_log_entered();
    not_with_riders("MPI_Improbe");
    bl_log_unlogged("MPI_Improbe");
    int rc = PMPI_Improbe(source, tag, comm, flag, message, s);
    if (rc == MPI_SUCCESS && *flag) bl_message_made(*message, BL_CALL_Improbe, comm, s);
    return rc;
}

static int logged_Mrecv(void *buf, int count, MPI_Datatype type, MPI_Message *message, MPI_Status *status)
{
    bl_log_entered();
    bl_message_gone(*message);
    return PMPI_Mrecv(buf, count, type, message, status); /* after the prologue of MPI_MESSAGE_NO_PROC, or an error */
}

static int logged_Imrecv(void *buf, int count, MPI_Datatype type, MPI_Message *message, MPI_Request *request)
{
    bl_log_entered();
    bl_log_unlogged("MPI_Imrecv");
    bl_message_gone(*message);
    int rc = PMPI_Imrecv(buf, count, type, message, request);
    if (rc == MPI_SUCCESS) bl_request_made(*request, BL_REQ_MESSAGE, BL_CALL_Imrecv, MPI_COMM_NULL, 0, 0, 0);
    return rc;
}

/* --- completions --- */

void bl_log_completed(const bl_request *r, MPI_Status *status, int ends)
{
    landing *l = bl_logging.rides && r->kind == BL_REQ_RECV ? landing_of(r->persistent ? r->key : bl_request_key(bl_log_inner((MPI_Request)(uintptr_t)r->key))) : NULL;
    if (l) land(l, status);
    if (l && ends) drop_landing(l);
    if (r->persistent) {
        persistent *p = lg.ready ? persistent_of(r->key) : NULL;
        if (!p || !p->ready) return;
        if (p->receives && status != MPI_STATUS_IGNORE) *status = p->status;
        if (ends) lg.ready--;
        if (ends) p->ready = 0;
        return;
    }
    if (r->kind == BL_REQ_RECV && r->comm && (r->peer < 0 || r->tag < 0) && !r->counted && status->MPI_SOURCE >= 0)
        expect_one(r->comm, status->MPI_SOURCE, status->MPI_TAG);
    unsigned i = r->kind == BL_REQ_RECV ? index_of_handle((MPI_Request)(uintptr_t)r->key) : lg.watches;
    if (i == lg.watches) return;
    watched *e = &lg.watch[i];
    if (status->MPI_SOURCE >= 0) pass_by(e->comm, e->clock, status->MPI_SOURCE, status->MPI_TAG);
    if (!e->told && status->MPI_SOURCE >= 0) {
        int open = unsure(e->comm, e->clock, status->MPI_SOURCE, status->MPI_TAG);
        if (e->wild || open) tell_match(e, status, open);
    }
    e->done = 1;
    if (ends) forget(i);
}

static void as_it_is_now(MPI_Request *request)
{
    for (const persistent *p = lg.persistent; p; p = p->next)
        for (unsigned k = 0; k < p->olds; k++)
            if (p->old[k] == *request) {
                *request = (MPI_Request)(uintptr_t)p->key;
                return;
            }
}

void bl_log_swap(int count, MPI_Request *requests)
{
    for (int k = 0; lg.olds && k < count; k++) as_it_is_now(&requests[k]);
    for (int k = 0; lg.swapped && k < count; k++) {
        unsigned i = index_of_handle(requests[k]);
        watched *e = i < lg.watches ? &lg.watch[i] : NULL;
        if (!e || e->inner == MPI_REQUEST_NULL) continue;
        MPI_Request ours = e->handle;
        bl_request_renamed(ours, e->inner);
        requests[k] = e->handle = e->inner;
        e->inner = MPI_REQUEST_NULL;
        lg.swapped--;
        if (e->answer) PMPI_Grequest_complete(ours);
        e->answer = NULL;
        PMPI_Request_free(&ours);
        if (e->sends) forget(i);
    }
}

MPI_Request bl_log_inner(MPI_Request request)
{
    if (lg.olds) as_it_is_now(&request);
    unsigned i = lg.swapped ? index_of_handle(request) : lg.watches;
    return i < lg.watches && lg.watch[i].inner != MPI_REQUEST_NULL ? lg.watch[i].inner : request;
}

int bl_log_held(int count, const MPI_Request *requests)
{
    for (int k = 0; k < count; k++) {
        if (requests[k] == MPI_REQUEST_NULL) continue;
        unsigned i = index_of_handle(requests[k]);
        if (i < lg.watches && lg.watch[i].held) return 1;
        const persistent *p = persistent_of(bl_request_key(requests[k]));
        if (p && p->missing) return 1;
    }
    return 0;
}

int bl_log_ready(int count, const MPI_Request *requests)
{
    for (int k = 0; lg.ready && k < count; k++) {
        const persistent *p = persistent_of(bl_request_key(requests[k]));
        if (p && p->ready) return k;
    }
    return -1;
}

void bl_log_request_freed(MPI_Request handle)
{
    unsigned i = index_of_handle(handle);
    if (landing_of(bl_request_key(handle))) bl_log_unsupported("MPI_Request_free of a receive that is under way");
    if (i < lg.watches && lg.watch[i].held) PMPI_Grequest_complete(handle);
    if (i < lg.watches) forget(i);
    for (persistent **link = &lg.persistent; *link; link = &(*link)->next) {
        persistent *p = *link;
        if (p->key != bl_request_key(handle)) continue;
        *link = p->next;
        for (unsigned k = 0; k < p->olds; k++) PMPI_Request_free(&p->old[k]);
        free(p->old);
        lg.olds -= p->olds;
        lg.ready -= (unsigned)p->ready;
        free_type(&p->type);
        bl_room_give(&p->room);
        free(p);
        return;
    }
}

/* --- collectives, over a communicator of our own (trees.h) --- */


static int link_send(void *shadow, const void *buf, int count, MPI_Datatype type, int dest)
{
    const bl_comm *c = shadow;
    return send_it(PMPI_Send, PMPI_Isend, buf, count, type, dest, TREE_TAG, c->handle);
}

static int link_recv(void *shadow, void *buf, int count, MPI_Datatype type, int source)
{
    const bl_comm *c = shadow;
    MPI_Status s;
    return receive_from(buf, count, type, source, c, &s);
}

static int link_exchange(void *shadow, const void *sendbuf, int sendcount, MPI_Datatype sendtype, int dest, void *recvbuf,
                         int recvcount, MPI_Datatype recvtype, int source)
{
    const bl_comm *c = shadow;
    MPI_Request sending;
    MPI_Status s;
    int rc = isend_it(PMPI_Isend, BL_CALL_Sendrecv, sendbuf, sendcount, sendtype, dest, TREE_TAG, c->handle, &sending);
    if (rc) return rc;
    rc = receive_from(recvbuf, recvcount, recvtype, source, c, &s);
    int sent = wait_until_sent(&sending);
    return rc ? rc : sent;
}

int bl_log_link(MPI_Comm comm, const char *call, bl_tree_link *link)
{
    const bl_comm *c = bl_comm_of(comm);
    if (bl_logging.prologue && (!c || !c->shadow)) {
        bl_log_unlogged(call);
        return 0;
    }
    if (!c || !c->shadow)
        bl_log_end_job("%s on a communicator that was made after the first safe point, or by MPI_Comm_idup, or has two groups: with message logging it cannot be repeated after a failure", call);
    *link = (bl_tree_link){ link_send, link_recv, link_exchange, c->shadow, 0, c->size };
    if (bl_replaying) link->rank = bl_replay_rank(c);
    else PMPI_Comm_rank(comm, &link->rank);
    return 1;
}

/* --- in force --- */

const bl_under_calls bl_logged_calls = {
#define BL_LOGGED_CALL(name) .name = logged_##name,
    BL_CARRIED(BL_LOGGED_CALL)
#undef BL_LOGGED_CALL
};

void bl_logged_abandon(void)
{
    for (unsigned i = 0; i < lg.watches; i++) {
        int done = lg.watch[i].inner == MPI_REQUEST_NULL;
        for (unsigned turn = 0; !done && turn < ABANDON_TURNS; turn++) {
            PMPI_Test(&lg.watch[i].inner, &done, MPI_STATUS_IGNORE);
            if (!done) bl_pause_briefly(turn);
        }
    }
}

/* --- a rank that stays while another goes back (local.h) --- */

static int stays_as_it_is(const bl_request *r)
{
    return !r->active || r->counted || !r->comm || r->comm->size == 1;
}

void bl_logged_begin(void)
{
    uint32_t slots = bl_rt.live.header->channel_slots;
    lg.expected = bl_rt.local ? calloc(slots, sizeof *lg.expected) : NULL;
    if (bl_rt.local && !lg.expected) bl_log_end_job("out of memory for message logging");
    for (uint32_t i = 0; lg.expected && i < slots; i++) lg.expected[i] = bl_rt.live.slot[i].comm ? bl_rt.live.slot[i].received : 0;
}

static int out_of_order;

/* The counters tell how many messages of a channel the program has seen, which says which only if it has seen the first ones. */
static void look_at_order(bl_request *r)
{
    MPI_Request handle = (MPI_Request)(uintptr_t)r->key;
    unsigned i = index_of_handle(handle);
    if (r->kind != BL_REQ_RECV || r->peer < 0 || stays_as_it_is(r)) return;
    const persistent *lasting = r->persistent ? persistent_of(r->key) : NULL;
    const posting *p = lg.postings && !lasting ? posting_of(r->key) : NULL;
    uint64_t number = lasting ? lasting->number : i < lg.watches && lg.watch[i].number ? lg.watch[i].number : p && p->key ? p->number : 0;
    if (r->tag < 0) out_of_order |= lasting || i == lg.watches;
    else out_of_order |= !r->slot || number <= r->slot->received;
}

const char *bl_logged_cannot_stay(void)
{
    if (lg.held) return "it was doing again what it did before an earlier failure";
    out_of_order = 0;
    bl_requests_each(look_at_order);
    for (unsigned i = 0; i < lg.watches; i++) out_of_order |= lg.watch[i].passed && !lg.watch[i].done;
    return out_of_order ? "it has seen a message, but not yet one that was sent before it" : NULL;
}

/* A receive that the program has not seen the end of is watched from now on; and a send, which may be in error (MPI tells only who
 * ends it), is complete. */
static void watch_again(bl_request *r)
{
    MPI_Request handle = (MPI_Request)(uintptr_t)r->key;
    if (r->persistent || stays_as_it_is(r) || index_of_handle(handle) < lg.watches) return;
    if (r->kind == BL_REQ_SEND) {
        watched *e = watch(&(watched){ .handle = handle, .inner = MPI_REQUEST_NULL, .sends = 1, .comm = r->comm });
        make_request(&e->inner);
        PMPI_Grequest_complete(e->inner);
        lg.swapped++;
        return;
    }
    posting *p = lg.postings ? posting_of(r->key) : NULL;
    if (!p || !p->key) bl_log_end_job("a receive is under way that was not seen when it was posted");
    watched *e = watch(&(watched){ .handle = handle, .inner = MPI_REQUEST_NULL, .clock = p->clock, .buf = p->buf, .count = p->count, .source = p->source,
                                   .tag = p->tag, .type = p->type,
                                   .comm = p->comm, .own_type = p->own_type, .number = p->number });
    e->hashed = p->hashed;
    e->hash = p->hash;
    e->from = p->source;
    e->with = p->tag;
    e->told = p->hashed;
    p->own_type = 0;
    bl_request_looked_at(handle);
}

static int by_clock(const void *x, const void *y)
{
    const watched *a = x, *b = y;
    return (a->clock > b->clock) - (a->clock < b->clock);
}

/* Out of a journal, or posted again: as its match was told, when it was. */
static int match_again(watched *e)
{
    bl_wanted w = wanted(e->comm, e->told ? e->from : e->source, e->told ? e->with : e->tag);
    int world;
    w.hashed = e->told && e->hashed;
    w.hash = e->hash;
    if (e->inner != MPI_REQUEST_NULL) {
        PMPI_Request_free(&e->inner);
        lg.swapped--;
    }
    e->inner = MPI_REQUEST_NULL;
    bl_fed *f = bl_feed_find(&w, &world);
    if (!f && post_receive(e->buf, e->count, e->type, w.source < 0 ? w.source : rank_in(e->comm, w.source), w.tag, e->comm, &e->inner) != MPI_SUCCESS) {
        e->inner = MPI_REQUEST_NULL;
        return 0;
    }
    if (f) {
        MPI_Status *s = make_request(&e->inner);
        bl_log_fed.messages++;
        bl_log_fed.bytes += f->bytes;
        if (unpack(f, e->buf, e->count, e->type)) bl_log_end_job("a message of %" PRIu64 " bytes is longer than the receive it is for", f->bytes);
        fill_status(s, rank_in(e->comm, world), f->tag, f->bytes);
        bl_feed_take(f);
        PMPI_Grequest_complete(e->inner);
    }
    lg.swapped++;
    return 1;
}

/* A persistent request is another one on the communicator that is current; the program goes on with the handle that it has.  0: another
 * rank has died. */
static int make_again(persistent *p)
{
    MPI_Request old = (MPI_Request)(uintptr_t)p->key, made;
    const bl_comm *c = p->of;
    int rc = MPI_ERR_OTHER;
    if (p->comm == c->handle) return 1;
    switch (p->call) {
    case BL_CALL_Recv_init: rc = receive_init(&p->room, p->buf, p->count, p->type, p->peer, p->tag, c->handle, &made); break;
    case BL_CALL_Bsend_init: rc = PMPI_Bsend_init(p->buf, p->count, p->type, p->peer, p->tag, c->handle, &made); break;
    case BL_CALL_Ssend_init: rc = PMPI_Ssend_init(p->buf, p->count, p->type, p->peer, p->tag, c->handle, &made); break;
    case BL_CALL_Rsend_init: rc = PMPI_Rsend_init(p->buf, p->count, p->type, p->peer, p->tag, c->handle, &made); break;
    default: rc = PMPI_Send_init(p->buf, p->count, p->type, p->peer, p->tag, c->handle, &made);
    }
    MPI_Request *bigger = rc ? NULL : realloc(p->old, (p->olds + 1) * sizeof *bigger);
    if (!bigger) return 0;
    p->old = bigger;
    p->old[p->olds++] = old;
    lg.olds++;
    bl_request_renamed(old, made);
    p->key = bl_request_key(made);
    p->comm = c->handle;
    return 1;
}

static int is_active(const persistent *p)
{
    return bl_request_active((MPI_Request)(uintptr_t)p->key);
}

/* Was started, and the program has not seen the end of it: a send is in the journal, a receive is matched again. */
static int start_again(persistent *p)
{
    int rc;
    bl_wanted w = wanted(p->of, p->peer, p->tag);
    lg.ready -= (unsigned)p->ready;
    p->ready = 0;
    if (!p->receives || feed_one(&w, p->buf, p->count, p->type, p->comm, &p->status, &rc)) {
        be_ready(p);
        return 1;
    }
    MPI_Request request = (MPI_Request)(uintptr_t)p->key;
    if (PMPI_Start(&request) != MPI_SUCCESS) return 0;
    lands(p, p->of);
    return 1;
}

static persistent *next_started(uint64_t start)
{
    persistent *next = NULL;
    for (persistent *p = lg.persistent; p; p = p->next)
        if (p->receives && p->of && p->start > start && is_active(p) && (!next || p->start < next->start)) next = p;
    return next;
}

/* Which of several wildcards had which message is an event, when it was told while an earlier one was open: that one is not to take it. */
static int match_told(void)
{
    int good = 1, world;
    for (unsigned i = 0; good && i < lg.watches; i++) {
        watched *e = &lg.watch[i];
        e->again = 0;
        if (e->done || e->sends || !e->told || !e->hashed || e->comm->size == 1) continue;
        bl_wanted w = wanted(e->comm, e->from, e->with);
        w.hashed = 1;
        w.hash = e->hash;
        if (!bl_feed_find(&w, &world)) continue; /* it will be sent again */
        good = match_again(e);
        e->again = 1;
    }
    return good;
}

/* In the order posted. */
int bl_logged_match_again(void)
{
    int good = 1;
    for (unsigned i = lg.landings; i-- > 0;) /* MPI has let go of them */
        if (lg.landing[i].comm->size > 1) drop_landing(&lg.landing[i]);
    bl_requests_each(watch_again);
    if (lg.watches) qsort(lg.watch, lg.watches, sizeof *lg.watch, by_clock);
    for (persistent *p = lg.persistent; good && p; p = p->next) {
        if (p->of) good = make_again(p);
        if (good && p->of && !p->receives && is_active(p)) good = start_again(p);
    }
    if (good) good = match_told();
    persistent *p = next_started(0);
    for (unsigned i = 0; good && (p || i < lg.watches);) {
        if (p && (i == lg.watches || p->clock < lg.watch[i].clock)) {
            good = start_again(p);
            p = next_started(p->start);
            continue;
        }
        watched *e = &lg.watch[i++];
        if (!e->done && !e->sends && !e->again && e->comm->size > 1) good = match_again(e);
    }
    return good;
}

int bl_log_ours(MPI_Request handle)
{
    unsigned i = index_of_handle(handle);
    return i < lg.watches && lg.watch[i].handle == handle && lg.watch[i].answer;
}

int bl_log_taken(MPI_Request handle, MPI_Request *request)
{
    MPI_Request ours;
    unsigned i = index_of_handle(handle);
    const posting *p = lg.postings ? posting_of(bl_request_key(handle)) : NULL;
    persistent *lasting = persistent_of(bl_request_key(handle));
    if (lasting) { /* of these too, when it was in error */
        make_request(&ours);
        PMPI_Grequest_complete(ours);
        bl_request_renamed(handle, ours);
        lasting->key = bl_request_key(ours);
        *request = ours;
        return 1;
    }
    if (!bl_request_receives(handle) || (i == lg.watches && (!p || !p->key))) return 0;
    MPI_Status *answer = make_request(&ours);
    if (i == lg.watches) {
        bl_requests_find(handle, watch_again);
        i = index_of_handle(handle);
    }
    bl_request_renamed(handle, ours);
    lg.watch[i].handle = ours;
    lg.watch[i].answer = answer;
    *request = ours;
    return 1;
}

static MPI_Datatype kept_type(MPI_Datatype type)
{
    MPI_Datatype copy;
    PMPI_Type_dup(type, &copy);
    return copy;
}

void bl_log_type_freed(MPI_Datatype type)
{
    for (uint32_t i = 0; i < lg.postings; i++) {
        posting *p = &lg.posting[i];
        if (!p->key || p->type != type || p->own_type || !bl_request_receives((MPI_Request)(uintptr_t)p->key)) continue;
        p->type = kept_type(type);
        p->own_type = 1;
    }
    for (unsigned i = 0; i < lg.watches; i++) {
        watched *e = &lg.watch[i];
        if (e->sends || e->type != type || e->own_type) continue;
        e->type = kept_type(type);
        e->own_type = 1;
    }
}

void bl_logged_free(void)
{
    for (const persistent *p = lg.persistent; p; p = p->next) free(p->old);
    free(lg.expected);
    free(lg.posting);
    while (lg.persistent) {
        persistent *next = lg.persistent->next;
        free(lg.persistent);
        lg.persistent = next;
    }
    free(lg.watch);
    free(lg.landing);
    memset(&lg, 0, sizeof lg);
}
