/* beside.c - what goes beside messages on a communicator of our own, and sends that nobody waits for. */
#include <stdlib.h>
#include <string.h>

#include "mpi/checkpoint.h"
#include "mpi/parcel.h"
#include "util/clock.h"

enum { POSTED = 32, BUCKETS = 256, MOST = (int)sizeof(bl_beside) + BL_AT_ONCE, AT_ONCE = 200, ABANDON_TURNS = 1000 };
#define WARN_S 60.0

typedef struct loose {
    struct loose *next;
    MPI_Request request;
    bl_room room;
} loose;

typedef struct queue { bl_aside *first, *last; } queue;

static struct beside {
    MPI_Comm comm;
    char *in;                     /* [POSTED][MOST] */
    MPI_Request arriving[POSTED]; /* persistent: what comes finds one, in this order */
    int posted;
    unsigned next, owed;          /* the next to come; so many before it are not posted again yet */
    queue come[BUCKETS];          /* not claimed yet, in the order sent */
    unsigned unclaimed;
    bl_aside *spare;
    loose *oldest, *newest, *free;
} beside;

/* --- memory that comes back --- */

char *bl_rooms[BL_ROOM_LARGEST + 1];

int bl_room_new(bl_room *room)
{
    room->at = malloc((size_t)1 << room->log2);
    if (room->at) return MPI_SUCCESS;
    bl_rt.refused = "out of memory for messages";
    return MPI_ERR_NO_MEM;
}

void bl_rooms_free(void)
{
    for (unsigned i = 0; i <= BL_ROOM_LARGEST; i++)
        while (bl_rooms[i]) {
            char *next;
            memcpy(&next, bl_rooms[i], sizeof next);
            free(bl_rooms[i]);
            bl_rooms[i] = next;
        }
}

/* --- sends that nobody waits for --- */

static void reap(void)
{
    for (int done = 1; beside.oldest;) {
        loose *l = beside.oldest;
        uint8_t completing = bl_rt.completing, hurt = bl_rt.hurt;
        bl_rt.completing |= bl_rt.local;
        if (PMPI_Test(&l->request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) done = 1; /* a rank is dead: others will say so */
        bl_rt.completing = completing;
        if (bl_rt.local) bl_rt.hurt = hurt;
        if (!done) return;
        beside.oldest = l->next;
        bl_room_give(&l->room);
        l->next = beside.free;
        beside.free = l;
    }
}

int bl_loose_pending(void)
{
    reap();
    return beside.oldest != NULL;
}

/* Takes the room over. */
int bl_loose_send(bl_room *room, const void *at, int count, MPI_Datatype type, int dest, int tag, MPI_Comm comm)
{
    reap();
    loose *l = beside.free ? beside.free : malloc(sizeof *l);
    if (!l) return MPI_ERR_NO_MEM;
    if (l == beside.free) beside.free = l->next;
    *l = (loose){ .room = *room };
    room->at = NULL;
    uint8_t completing = bl_rt.completing, hurt = bl_rt.hurt;
    bl_rt.completing |= bl_rt.local;
    int rc = PMPI_Isend(at, count, type, dest, tag, comm, &l->request);
    bl_rt.completing = completing;
    if (bl_rt.local) bl_rt.hurt = hurt;
    if (rc) { /* the memory is left alone: MPI may or may not have it */
        l->next = beside.free;
        beside.free = l;
        return rc;
    }
    if (beside.oldest) beside.newest->next = l;
    else beside.oldest = l;
    beside.newest = l;
    return MPI_SUCCESS;
}

static void free_loose(loose *l)
{
    while (l) {
        loose *next = l->next;
        free(l->room.at);
        free(l);
        l = next;
    }
}

void bl_loose_free(void)
{
    free_loose(beside.oldest);
    free_loose(beside.free);
    beside.oldest = beside.newest = beside.free = NULL;
}

/* --- out --- */

static uint32_t piece_of(const bl_beside *what)
{
    uint32_t rest = what->bytes - what->from;
    return rest < BL_AT_ONCE ? rest : BL_AT_ONCE;
}

/* One without a payload is so small that a call that may block sends it as it stands; the others are never waited for, as
 * a network may want to see the receiver first. */
int bl_beside_send(int world, const bl_beside *what, const char *payload, int blocking)
{
    if (blocking && !what->bytes) return PMPI_Send(what, (int)sizeof *what, MPI_BYTE, world, 0, beside.comm);
    bl_beside piece = *what;
    int rc;
    do {
        uint32_t bytes = piece_of(&piece);
        bl_room room;
        if (bl_room_take(&room, sizeof piece + bytes)) return MPI_ERR_NO_MEM;
        memcpy(room.at, &piece, sizeof piece);
        if (bytes) memcpy(room.at + sizeof piece, payload + piece.from, bytes);
        rc = bl_loose_send(&room, room.at, (int)(sizeof piece + bytes), MPI_BYTE, world, 0, beside.comm);
        piece.from += bytes;
    } while (rc == MPI_SUCCESS && piece.from < piece.bytes);
    return rc;
}

/* --- in --- */

static queue *queue_of(int world, uint64_t comm, int tag)
{
    return &beside.come[bl_live_hash(comm, world, tag) & (BUCKETS - 1)];
}

/* Whoever has the message would wait for it for ever. */
static void give_up(int world)
{
    bl_say("rank %d: no memory for what goes with a message from rank %d, or it runs another version of Belay", bl_rt.rank, world);
    PMPI_Abort(MPI_COMM_WORLD, 1);
}

static bl_aside *first_piece(const bl_beside *what, int world)
{
    bl_aside *a = beside.spare ? beside.spare : malloc(sizeof *a);
    if (!a || what->bytes > BL_INLINE) {
        give_up(world);
        return NULL;
    }
    if (a == beside.spare) beside.spare = a->next;
    *a = (bl_aside){ .world = world, .what = *what };
    if (what->bytes && bl_room_take(&a->payload, what->bytes)) give_up(world);
    queue *q = queue_of(world, what->comm, what->tag);
    if (q->first) q->last->next = a;
    else q->first = a;
    q->last = a;
    beside.unclaimed++;
    return a;
}

static int whole(const bl_aside *a)
{
    return a->here == a->what.bytes;
}

/* Pieces come one behind the other. */
static bl_aside *begun(const bl_beside *what, int world)
{
    bl_aside *a = queue_of(world, what->comm, what->tag)->first;
    while (a && (whole(a) || a->world != world || a->what.comm != what->comm || a->what.tag != what->tag)) a = a->next;
    return a && a->here == what->from ? a : NULL;
}

static void arrived(const char *from, int world)
{
    bl_beside what;
    memcpy(&what, from, sizeof what);
    bl_aside *a = what.from ? begun(&what, world) : first_piece(&what, world);
    if (!a || !a->payload.at) return;
    uint32_t bytes = piece_of(&what);
    if (bytes > a->what.bytes - a->here) bytes = a->what.bytes - a->here;
    memcpy(a->payload.at + a->here, from + sizeof what, bytes);
    a->here += bytes;
}

void bl_beside_repost(void)
{
    for (; beside.owed; beside.owed--) PMPI_Start(&beside.arriving[(beside.next + POSTED - beside.owed) % POSTED]);
}

/* The next, and whose; NULL when there is none.  It is posted again when there is time for it: before the program waits for
 * something else. */
static const char *next(int *world)
{
    unsigned i = beside.next;
    int there = 0;
    MPI_Status status;
    PMPI_Test(&beside.arriving[i], &there, &status);
    if (!there) return NULL;
    if (beside.owed > POSTED / 2) bl_beside_repost();
    beside.next = (i + 1) % POSTED;
    beside.owed++;
    *world = status.MPI_SOURCE;
    return beside.in + (size_t)i * MOST;
}

/* 1 when there was one. */
static int take(void)
{
    int world;
    const char *from = next(&world);
    if (from) arrived(from, world);
    return from != NULL;
}

static bl_aside *claim(int world, uint64_t comm, int tag, int with_payload, unsigned ahead)
{
    queue *q = queue_of(world, comm, tag);
    for (bl_aside **link = &q->first, *before = NULL; *link; before = *link, link = &(*link)->next) {
        bl_aside *a = *link;
        if (a->world != world || a->what.comm != comm || a->what.tag != tag || !a->what.bytes != !with_payload || !whole(a)) continue;
        if (ahead-- > 0) continue;
        *link = a->next;
        if (q->last == a) q->last = before;
        beside.unclaimed--;
        return a;
    }
    return NULL;
}

bl_aside *bl_beside_await(int world, uint64_t comm, int tag, int with_payload, unsigned ahead)
{
    int64_t began = 0;
    bl_aside *a;
    for (unsigned turn = 0; !(a = claim(world, comm, tag, with_payload, ahead)); turn++) {
        if (take() || turn < AT_ONCE) continue;
        bl_pause_briefly(turn - AT_ONCE);
        if (turn == AT_ONCE) began = bl_ticks_ns();
        if (began && turn % 1024 == 0 && bl_seconds(bl_ticks_ns() - began) > WARN_S) {
            bl_say("rank %d: waiting for what goes with a message from rank %d, tag %d: was it sent past Belay?", bl_rt.rank, world, tag);
            began = 0;
        }
    }
    return a;
}

void bl_beside_rider(int world, uint64_t comm, int tag, bl_rider *rider)
{
    for (unsigned turn = 0; !beside.unclaimed && turn < AT_ONCE; turn++) {
        int from_world;
        bl_beside what;
        const char *from = next(&from_world);
        if (!from) continue;
        memcpy(&what, from, sizeof what);
        if (from_world != world || what.comm != comm || what.tag != tag || what.bytes) {
            arrived(from, from_world);
            break;
        }
        *rider = (bl_rider){ what.interval, what.index };
        return;
    }
    bl_aside *a = bl_beside_await(world, comm, tag, 0, 0);
    *rider = (bl_rider){ a->what.interval, a->what.index };
    bl_aside_done(a);
}

void bl_aside_done(bl_aside *a)
{
    bl_room_give(&a->payload);
    a->next = beside.spare;
    beside.spare = a;
}

/* --- beginning and end --- */

int bl_beside_init(bl_error *err)
{
    beside.in = malloc((size_t)POSTED * MOST);
    if (!beside.in) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for what rides on messages");
    bl_comm_own(bl_rt.world, &beside.comm);
    for (unsigned i = 0; i < POSTED; i++) {
        PMPI_Recv_init(beside.in + (size_t)i * MOST, MOST, MPI_BYTE, MPI_ANY_SOURCE, 0, beside.comm, &beside.arriving[i]);
        PMPI_Start(&beside.arriving[i]);
    }
    beside.posted = 1;
    return BELAY_OK;
}

static void stop(void)
{
    bl_requests_withdraw(POSTED, beside.arriving);
    beside.posted = 0;
    bl_comm_disown(&beside.comm);
}

/* When all ranks have come to MPI_Finalize: nothing more is sent, and what nobody has asked for is let go. */
void bl_beside_finish(void)
{
    if (!beside.in) return;
    for (unsigned turn = 0; bl_loose_pending(); turn++) bl_pause_briefly(turn);
    PMPI_Barrier(beside.comm);
    while (take()) continue;
    bl_beside_repost();
    stop();
}

void bl_beside_abandon(void)
{
    for (unsigned turn = 0; bl_loose_pending() && turn < ABANDON_TURNS; turn++) bl_pause_briefly(turn);
    if (beside.posted) stop();
}

static void free_asides(bl_aside *a)
{
    while (a) {
        bl_aside *next = a->next;
        free(a->payload.at);
        free(a);
        a = next;
    }
}

void bl_beside_free(void)
{
    bl_loose_free();
    for (unsigned i = 0; i < BUCKETS; i++) free_asides(beside.come[i].first);
    free_asides(beside.spare);
    free(beside.in);
    memset(&beside, 0, sizeof beside);
}
