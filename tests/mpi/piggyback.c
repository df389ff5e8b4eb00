/* piggyback - seeded random messages whose contents, statuses and intervals the program knows, against what it gets and what
 * the checkpoints say.
 *
 *     piggyback SEED OPERATIONS [threads] [wrong]
 *
 * All ranks draw the same list of operations and each does its part: sends, receives of what is under way, receives posted
 * before anything is sent, completions long after, checkpoints of one rank.  A rank checkpoints with messages in transit, so
 * intervals depend on each other in all ways; with something outstanding the checkpoint has to be refused.  So every rank
 * knows which message was sent and received in which interval of whom.  At the end that is compared with the dependencies in
 * the snapshots, or where messages are only counted, with what the counters of all ranks give (line/history).
 * `wrong`: claims a dependency that does not exist, and has to be found out.
 */
#include <inttypes.h>
#include <mpi.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <belay.h>

#include "line/history.h"
#include "store/store.h"

enum { RANKS = 8, TAGS = 3, MESSAGES = 20000, RECEIVES = 20000, INLINE = 16448, EAGER = 3900, SELF_EAGER = 800, GUARD = 64,
       ANY = -1, BUFFERED = 60000, TRUTHS = 40000, THREADS = 3 };
enum { ALL, COPY, HALF, ACROSS, SHIFTS, COMMS };

static int rank, ranks, threads;
static MPI_Comm comm[COMMS], of_thread[THREADS];
static uint64_t state;
static int interval[RANKS];            /* of each rank, from 1 */

static void fail(const char *what)
{
    printf("rank %d: WRONG: %s\n", rank, what);
    fflush(stdout);
    MPI_Abort(MPI_COMM_WORLD, 9);
    abort();
}

static void check(int good, const char *what)
{
    if (!good) fail(what);
}

static uint64_t scramble(uint64_t x)
{
    x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
    return x ^ (x >> 32);
}

static int draw(int below)
{
    state += 0x9e3779b97f4a7c15u;
    return (int)(scramble(state) % (uint64_t)below);
}

/* This rank's own: how it completes is nobody else's business. */
static int own(int below)
{
    static uint64_t mine = 77;
    mine += 0x9e3779b97f4a7c15u + (uint64_t)rank;
    return (int)(scramble(mine) % (uint64_t)below);
}

/* --- types: where in memory the units of an element lie --- */

static const struct layout { int units, extent, at[4]; } layouts[] = {
    { 1, 1, { 0 } }, { 3, 3, { 0, 1, 2 } }, { 2, 3, { 0, 2 } }, { 3, 4, { 3, 0, 1 } }, { 2, 5, { 0, 2 } }, { 1, 2, { 0 } },
    { 1, 1, { 0 } }, { 2, 2, { 1, 0 } }, { 4, 4, { 1, 0, 3, 2 } },
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

static MPI_Datatype unit_of(int ints) { return ints ? MPI_INT : MPI_BYTE; }
static int unit_bytes(int ints) { return ints ? (int)sizeof(int) : 1; }

static MPI_Datatype make_type(int which, int ints)
{
    MPI_Datatype unit = unit_of(ints), type = MPI_DATATYPE_NULL, inner;
    int lengths[2] = { 1, 2 }, places[2] = { 3, 0 };
    MPI_Aint u = unit_bytes(ints), far[2] = { 0, 2 * u };
    MPI_Datatype units[2] = { unit, unit };
    switch (which) {
    case 0: return unit;
    case 1: MPI_Type_contiguous(3, unit, &type); break;
    case 2: MPI_Type_vector(2, 1, 2, unit, &type); break;
    case 3: MPI_Type_indexed(2, lengths, places, unit, &type); break;
    case 4:
        MPI_Type_create_struct(2, (int[]){ 1, 1 }, far, units, &inner);
        MPI_Type_create_resized(inner, 0, 5 * u, &type);
        MPI_Type_free(&inner);
        break;
    case 5: MPI_Type_create_resized(unit, 0, 2 * u, &type); break;
    case 6: MPI_Type_dup(unit, &type); break;
    case 7: MPI_Type_create_hindexed(2, (int[]){ 1, 1 }, (MPI_Aint[]){ u, 0 }, unit, &type); break;
    default:
        inner = make_type(7, ints);
        MPI_Type_contiguous(2, inner, &type);
        MPI_Type_free(&inner);
        break;
    }
    MPI_Type_commit(&type);
    return type;
}

/* Also before what it is for is complete. */
static void free_type(int which, MPI_Datatype *type)
{
    if (which) MPI_Type_free(type);
}

typedef struct area {     /* memory laid out as a type says, with guards around it */
    int which, ints, count;
    size_t bytes;
    unsigned char *memory, *at;
} area;

static area new_area(int which, int ints, int bytes)
{
    int element = layouts[which].units * unit_bytes(ints);
    area a = { .which = which, .ints = ints, .count = (bytes + element - 1) / element };
    a.bytes = (size_t)a.count * (size_t)(layouts[which].extent * unit_bytes(ints));
    a.memory = malloc(a.bytes + 2 * GUARD);
    check(a.memory != NULL, "out of memory");
    a.at = a.memory + GUARD;
    memset(a.memory, 0xa5, a.bytes + 2 * GUARD);
    return a;
}

static size_t place_of(const area *a, size_t byte)
{
    const struct layout *l = &layouts[a->which];
    size_t u = (size_t)unit_bytes(a->ints), unit = byte / u, units = (size_t)l->units;
    return (unit / units * (size_t)l->extent + (size_t)l->at[unit % units]) * u + byte % u;
}

static unsigned char byte_of(int message, size_t byte)
{
    return (unsigned char)((uint64_t)message * 131 + byte * 7 + (byte >> 8));
}

static void fill(const area *a, int message, int bytes)
{
    for (size_t i = 0; i < (size_t)bytes; i++) a->at[place_of(a, i)] = byte_of(message, i);
}

/* The whole of it, guards and holes and what is behind the message. */
static void compare(const area *a, int message, int bytes)
{
    area wanted = new_area(a->which, a->ints, a->count * layouts[a->which].units * unit_bytes(a->ints));
    fill(&wanted, message, bytes);
    size_t all = wanted.bytes + 2 * GUARD;
    if (memcmp(wanted.memory, a->memory, all)) {
        size_t i = 0;
        while (wanted.memory[i] == a->memory[i]) i++;
        char text[160];
        snprintf(text, sizeof text, "message %d of %d bytes, type %d of %s, room for %d elements: byte %ld is %02x, not %02x", message, bytes,
                 a->which, a->ints ? "ints" : "bytes", a->count, (long)i - GUARD, a->memory[i], wanted.memory[i]);
        fail(text);
    }
    free(wanted.memory);
}

/* --- what is under way, the same on all ranks --- */

enum { TRANSIT, POSTED, DONE };
typedef struct message { int source, dest, where, tag, bytes, ints, sent_in, state, slow; } message;
typedef struct receive {
    int dest, where, source, tag, ints, room, what, done; /* what: the message, ANY: none yet */
    area area;            /* of this rank's own */
    MPI_Request request;
    MPI_Status status;
    int persistent;
} receive;
typedef struct sending { MPI_Request request; int what, persistent; area area; } sending;

static message messages[MESSAGES];
static receive receives[RECEIVES];
static sending sends[MESSAGES];
static int sent, posted, sending_count, first_open;

typedef struct truth { int source, source_interval, dest, dest_interval; } truth;
static truth truths[TRUTHS];
static int truth_count;

static void depends(int source, int source_interval, int dest)
{
    for (int i = truth_count; i-- > 0;)
        if (truths[i].dest == dest && truths[i].dest_interval == interval[dest] && truths[i].source == source &&
            truths[i].source_interval == source_interval)
            return;
    check(truth_count < TRUTHS, "too many dependencies for this test");
    truths[truth_count++] = (truth){ source, source_interval, dest, interval[dest] };
}

static void delivered(message *m)
{
    m->state = DONE;
    depends(m->source, m->sent_in, m->dest);
}

static int talk(int s, int d, int where)
{
    if (where == HALF) return s % 2 == d % 2;
    if (where == ACROSS) return s % 2 != d % 2;
    return where != SHIFTS;
}

/* Of world rank r in the group that sends and receives name. */
static int rank_in(int r, int where)
{
    return where == HALF || where == ACROSS ? r / 2 : r;
}

static int world_of(int r, int where)
{
    return where == HALF ? 2 * r + rank % 2 : where == ACROSS ? 2 * r + 1 - rank % 2 : r;
}

static int draw_bytes(int ints)
{
    int bytes;
    switch (draw(14)) {
    case 0: case 1: case 2: bytes = draw(34); break;
    case 3: case 4: case 5: bytes = INLINE - 20 + draw(61); break;
    case 6: bytes = 3952 - 20 + draw(41); break; /* more than MPI sends at once */
    case 7: bytes = 4096 - 4 + draw(9); break;
    case 8: bytes = 65536 - 1 + draw(3); break;
    case 9: bytes = draw(3000); break;
    case 10: bytes = draw(20000); break;
    case 11: bytes = 8; break;
    case 12: bytes = INLINE - 15 + draw(16); break;
    default: bytes = draw(30) == 0 ? (8 << 20) - draw(100) : 100000 + draw(100000); break;
    }
    return ints ? bytes & ~3 : bytes;
}

static int draw_type(int bytes, int ints, int exactly)
{
    int which = draw(LAYOUTS);
    return exactly && bytes % (layouts[which].units * unit_bytes(ints)) ? 0 : which;
}

/* --- sends --- */

static int wild_open(int dest, int where)
{
    for (int i = first_open; i < posted; i++)
        if (!receives[i].done && receives[i].dest == dest && receives[i].where == where && receives[i].tag == ANY) return 1;
    return 0;
}

static receive *waiting_for(int source, int dest, int where, int tag, int wild)
{
    for (int i = first_open; i < posted; i++) {
        receive *r = &receives[i];
        if (r->done || r->what != ANY || r->dest != dest || r->where != where) continue;
        if (wild ? r->tag == ANY : r->source == source && r->tag == tag) return r;
    }
    return NULL;
}

static void do_send(int what, int which, int how)
{
    const message *m = &messages[what];
    area a = new_area(which, m->ints, m->bytes);
    fill(&a, what, m->bytes);
    MPI_Datatype type = make_type(which, m->ints);
    MPI_Request r = MPI_REQUEST_NULL;
    int dest = rank_in(m->dest, m->where), persistent = how == 6 || how == 7;
    MPI_Comm c = comm[m->where];
    switch (how) {
    case 0: MPI_Send(a.at, a.count, type, dest, m->tag, c); break;
    case 1: MPI_Bsend(a.at, a.count, type, dest, m->tag, c); break;
    case 2: MPI_Ibsend(a.at, a.count, type, dest, m->tag, c, &r); break;
    case 3: MPI_Isend(a.at, a.count, type, dest, m->tag, c, &r); MPI_Request_free(&r); break;
    case 4: MPI_Isend(a.at, a.count, type, dest, m->tag, c, &r); break;
    case 5: MPI_Issend(a.at, a.count, type, dest, m->tag, c, &r); break;
    case 6: MPI_Send_init(a.at, a.count, type, dest, m->tag, c, &r); MPI_Start(&r); break;
    default: MPI_Ssend_init(a.at, a.count, type, dest, m->tag, c, &r); MPI_Startall(1, &r); break;
    }
    free_type(which, &type);
    if (how < 2) memset(a.memory, 0, a.bytes + 2 * GUARD); /* it is the program's again */
    if (how < 2) free(a.memory);
    if (how == 3 || how < 2) return;
    sends[sending_count++] = (sending){ r, what, persistent, a };
}

static void send_on(int s, int d, int where, int tag, int ints, int bytes)
{
    int how = draw(8), which;
    if (!talk(s, d, where) || sent == MESSAGES) return;
    int wild = wild_open(d, where);
    receive *r = waiting_for(s, d, where, tag, wild);
    if (wild && !r) return; /* they have all they may get */
    if (r) {
        ints = r->ints;
        if (bytes > r->room) bytes = r->room;
        if (ints) bytes &= ~3;
    }
    int small = bytes <= (s == d ? SELF_EAGER : EAGER);
    if ((how == 0 || how == 3) && !small) how = 4;
    if ((how == 1 || how == 2) && bytes > BUFFERED) how = 5;
    which = draw_type(bytes, ints, 1);
    messages[sent] = (message){ s, d, where, tag, bytes, ints, interval[s], r ? POSTED : TRANSIT, how == 5 || how == 7 || (how > 3 && !small) };
    if (r) r->what = sent; /* one of the wild ones: which of them is seen when they are complete */
    if (rank == s) do_send(sent, which, how);
    sent++;
}

static void send_one(void)
{
    int s = draw(ranks), d = draw(8) == 0 ? s : draw(ranks), where = draw(SHIFTS), tag = draw(TAGS), ints = draw(2);
    send_on(s, d, where, tag, ints, draw_bytes(ints));
}

/* --- receives --- */

static void check_count(const message *m, const area *a, const MPI_Status *s)
{
    int count, elements, size = layouts[a->which].units * unit_bytes(a->ints), bytes;
    MPI_Datatype type = make_type(a->which, a->ints);
    MPI_Get_count(s, type, &count);
    MPI_Get_elements(s, type, &elements);
    MPI_Get_count(s, MPI_BYTE, &bytes);
    free_type(a->which, &type);
    char text[160];
    snprintf(text, sizeof text, "a status says %d elements, %d units, %d bytes from %d tag %d: a message of %d bytes, type %d", count, elements,
             bytes, s->MPI_SOURCE, s->MPI_TAG, m->bytes, a->which);
    check(count == (m->bytes % size ? MPI_UNDEFINED : m->bytes / size), text);
    check(elements == m->bytes / unit_bytes(a->ints) && bytes == m->bytes, text);
}

static void check_status(const message *m, const area *a, const MPI_Status *s)
{
    int cancelled;
    MPI_Test_cancelled(s, &cancelled);
    check(s->MPI_SOURCE == rank_in(m->source, m->where) && s->MPI_TAG == m->tag && !cancelled, "a status has another source or tag");
    check_count(m, a, s);
}

static void check_received(int what, const area *a, const MPI_Status *s)
{
    if (s) check_status(&messages[what], a, s);
    compare(a, what, messages[what].bytes);
    free(a->memory);
}

/* The first under way like message `like`; any_tag: of any tag from that source. */
static int head_of(int like, int any_tag)
{
    const message *l = &messages[like];
    for (int i = 0; i <= like; i++) {
        const message *m = &messages[i];
        if (m->state == TRANSIT && m->source == l->source && m->dest == l->dest && m->where == l->where && (any_tag || m->tag == l->tag)) return i;
    }
    return like;
}

static void probe_first(const message *m, int how, int tag)
{
    MPI_Status s;
    int flag = 0, source = rank_in(m->source, m->where);
    area nothing = { .which = 0, .ints = m->ints };
    if (how == 1) MPI_Probe(source, tag, comm[m->where], &s);
    else while (!flag) MPI_Iprobe(source, tag, comm[m->where], &flag, &s);
    check_status(m, &nothing, &s);
}

static void take_matched(int what, area *a, MPI_Datatype type, int tag, int how, receive *later)
{
    const message *m = &messages[what];
    MPI_Message handle;
    MPI_Status s;
    int flag = 0, source = rank_in(m->source, m->where);
    area nothing = { .which = 0, .ints = m->ints };
    if (how % 2) MPI_Mprobe(source, tag, comm[m->where], &handle, &s);
    else while (!flag) MPI_Improbe(source, tag, comm[m->where], &flag, &handle, &s);
    check_status(m, &nothing, &s);
    check(belay_checkpoint(NULL) != BELAY_OK, "a checkpoint was taken while a matched message was not received");
    if (later) {
        MPI_Imrecv(a->at, a->count, type, &handle, &later->request);
        return;
    }
    MPI_Mrecv(a->at, a->count, type, &handle, &s);
    check_received(what, a, &s);
}

static void do_receive(int what, int which, int room, int how, int any_tag, receive *later)
{
    const message *m = &messages[what];
    area a = new_area(which, m->ints, room);
    MPI_Datatype type = make_type(which, m->ints);
    MPI_Status s;
    int source = rank_in(m->source, m->where), tag = any_tag ? MPI_ANY_TAG : m->tag;
    if (how == 1 || how == 2) probe_first(m, how, tag);
    if (how == 3 || how == 4) take_matched(what, &a, type, tag, how, later);
    else if (later) MPI_Irecv(a.at, a.count, type, source, tag, comm[m->where], &later->request);
    else MPI_Recv(a.at, a.count, type, source, tag, comm[m->where], how == 5 ? MPI_STATUS_IGNORE : &s);
    free_type(which, &type);
    if (later) later->area = a;
    else if (how != 3 && how != 4) check_received(what, &a, how == 5 ? NULL : &s);
}

static int draw_room(int bytes)
{
    switch (draw(5)) {
    case 0: return bytes + draw(40);
    case 1: return bytes < INLINE + 30 ? INLINE - 20 + draw(60) + (bytes > INLINE - 20 ? 60 : 0) : bytes + draw(100);
    case 2: return bytes + 8192;
    default: return bytes;
    }
}

/* Message `pick`, or one that is before it. */
static void receive_up_to(int pick)
{
    int how = draw(8), any_tag = draw(4) == 0, late = draw(2), what = head_of(pick, any_tag);
    message *m = &messages[what];
    int which = draw_type(m->bytes, m->ints, 0), room = draw_room(m->bytes);
    if (m->bytes && which == 0 && room < m->bytes) room = m->bytes;
    receive *later = late && posted < RECEIVES ? &receives[posted++] : NULL;
    if (later) *later = (receive){ m->dest, m->where, m->source, m->tag, m->ints, room, what, 0, { 0 }, MPI_REQUEST_NULL, { 0 }, 0 };
    if (rank == m->dest) do_receive(what, which, room, how, any_tag, later);
    if (later) m->state = POSTED;
    else delivered(m);
}

static void receive_one(void)
{
    int candidates = 0, pick = -1;
    for (int i = 0; i < sent; i++)
        if (messages[i].state == TRANSIT && draw(++candidates) == 0) pick = i;
    if (pick >= 0) receive_up_to(pick);
}

/* Before anything is sent. */
static int quiet(int source, int dest, int where, int tag)
{
    for (int i = 0; i < sent; i++) {
        const message *m = &messages[i];
        if (m->state == TRANSIT && m->dest == dest && m->where == where && (tag == ANY || (m->source == source && m->tag == tag))) return 0;
    }
    for (int i = first_open; i < posted; i++)
        if (!receives[i].done && receives[i].dest == dest && receives[i].where == where && (tag == ANY || receives[i].tag == ANY)) return 0;
    return 1;
}

static void post_one(int source, int dest, int where, int tag, int ints, int least)
{
    int room = draw_bytes(ints), which = draw_type(room, ints, 0), persistent = draw(3) == 0;
    if (room < least) room = least;
    receive *r = &receives[posted++];
    *r = (receive){ dest, where, source, tag, ints, least ? least : room, ANY, 0, { 0 }, MPI_REQUEST_NULL, { 0 }, persistent };
    if (rank != dest) return;
    r->area = new_area(which, ints, room);
    MPI_Datatype type = make_type(which, ints);
    int from = source == ANY ? MPI_ANY_SOURCE : rank_in(source, where), with = tag == ANY ? MPI_ANY_TAG : tag;
    if (!persistent) {
        MPI_Irecv(r->area.at, r->area.count, type, from, with, comm[where], &r->request);
    } else {
        MPI_Recv_init(r->area.at, r->area.count, type, from, with, comm[where], &r->request);
        MPI_Start(&r->request);
    }
    free_type(which, &type);
}

static void post(void)
{
    int s = draw(ranks), d = draw(ranks), where = draw(SHIFTS), tag = draw(TAGS), wild = draw(3) == 0, many = 1 + draw(3), ints = draw(2);
    if (!talk(s, d, where) || posted + many > RECEIVES || !quiet(s, d, where, wild ? ANY : tag)) return;
    /* Of wild ones any may get any message: all have room for the largest. */
    for (int i = 0; i < many; i++) post_one(wild ? ANY : s, d, where, wild ? ANY : tag, wild ? 0 : ints, wild ? INLINE + 30 : 0);
}

/* Many receives for one channel, and as many messages of about the size at which the way they travel changes. */
static void burst(void)
{
    int s = draw(ranks), d = draw(ranks), where = draw(SHIFTS), tag = draw(TAGS), wild = draw(3) == 0, many = 2 + draw(5);
    if (!talk(s, d, where) || posted + many > RECEIVES || !quiet(s, d, where, wild ? ANY : tag)) return;
    for (int i = 0; i < many; i++) post_one(wild ? ANY : s, d, where, wild ? ANY : tag, 0, INLINE + 30);
    for (int i = 0; i < many; i++) send_on(s, d, where, tag, 0, draw(3) ? INLINE - 15 + draw(16) : draw_bytes(0));
}

/* --- completions --- */

typedef struct open_request { receive *r; sending *s; } open_request;
static MPI_Request handles[MESSAGES];
static open_request opens[MESSAGES];

static void ended(int i, const MPI_Status *s)
{
    receive *r = opens[i].r;
    if (!r) return;
    r->done = 2;
    if (s) r->status = *s;
    if (s && r->what != ANY && r->tag != ANY) check_status(&messages[r->what], &r->area, s);
}

static void complete_some(int n, int with_status)
{
    int index = MPI_UNDEFINED, flag = 0, many = 0;
    static int indices[MESSAGES];
    static MPI_Status statuses[MESSAGES];
    MPI_Status one;
    int at = own(n);
    switch (own(with_status ? 9 : 11)) {
    case 0: MPI_Waitany(n, handles, &index, &one); break;
    case 1: MPI_Testany(n, handles, &index, &flag, &one); if (!flag) index = MPI_UNDEFINED; break;
    case 2: MPI_Waitsome(n, handles, &many, indices, statuses); break;
    case 3: MPI_Testsome(n, handles, &many, indices, statuses); break;
    case 4:
        MPI_Testall(n, handles, &flag, statuses);
        if (flag) many = n;
        for (int i = 0; i < many; i++) indices[i] = i;
        break;
    case 5:
        MPI_Waitall(n, handles, statuses);
        many = n;
        for (int i = 0; i < many; i++) indices[i] = i;
        break;
    case 6: MPI_Test(&handles[at], &flag, &one); if (flag) index = at; break;
    case 7:
        if (handles[at] == MPI_REQUEST_NULL) return;
        MPI_Request_get_status(handles[at], &flag, &one);
        if (!flag) return;
        if (opens[at].r && opens[at].r->what != ANY && opens[at].r->tag != ANY && !opens[at].r->done)
            check_status(&messages[opens[at].r->what], &opens[at].r->area, &one);
        MPI_Wait(&handles[at], &one);
        index = at;
        break;
    case 8: MPI_Wait(&handles[at], &one); index = at; break;
    case 9: MPI_Wait(&handles[at], MPI_STATUS_IGNORE); ended(at, NULL); return;
    default:
        MPI_Testsome(n, handles, &many, indices, MPI_STATUSES_IGNORE);
        for (int i = 0; i < many && many != MPI_UNDEFINED; i++) ended(indices[i], NULL);
        return;
    }
    for (int i = 0; i < many && many != MPI_UNDEFINED; i++)
        if (opens[indices[i]].r && !opens[indices[i]].r->done) ended(indices[i], &statuses[i]);
    if (index != MPI_UNDEFINED && opens[index].r && !opens[index].r->done) ended(index, &one);
}

/* The wild ones got what their place among those of the channel says: posted first, sent first. */
static int what_it_got(const receive *r, int channel_before)
{
    int source = world_of(r->status.MPI_SOURCE, r->where);
    for (int i = 0; i < sent; i++) {
        const message *m = &messages[i];
        if (m->state == POSTED && m->dest == r->dest && m->where == r->where && m->source == source && m->tag == r->status.MPI_TAG &&
            channel_before-- == 0)
            return i;
    }
    fail("a status names a message that nobody has sent");
    return 0;
}

static int mine(const receive *r, int who) { return r->dest == who && r->done != 1; }

static void check_all(void)
{
    for (int i = first_open; i < posted; i++) {
        receive *r = &receives[i];
        int what = r->what, before = 0;
        if (!mine(r, rank)) continue;
        if (r->tag == ANY) {
            for (int k = first_open; k < i; k++)
                before += mine(&receives[k], rank) && receives[k].where == r->where && receives[k].tag == ANY &&
                          receives[k].status.MPI_SOURCE == r->status.MPI_SOURCE && receives[k].status.MPI_TAG == r->status.MPI_TAG;
            what = what_it_got(r, before);
            check_status(&messages[what], &r->area, &r->status);
        }
        compare(&r->area, what, messages[what].bytes);
        free(r->area.memory);
    }
}

static void shuffle(int n)
{
    for (int i = n - 1; i > 0; i--) {
        int k = own(i + 1);
        MPI_Request handle = handles[i];
        open_request open = opens[i];
        handles[i] = handles[k];
        opens[i] = opens[k];
        handles[k] = handle;
        opens[k] = open;
    }
}

static void complete_mine(void)
{
    int n = 0, wild = 0;
    for (int i = first_open; i < posted; i++) {
        if (!mine(&receives[i], rank)) continue;
        wild |= receives[i].tag == ANY;
        handles[n] = receives[i].request;
        opens[n++] = (open_request){ &receives[i], NULL };
    }
    for (int i = 0; i < sending_count; i++) {
        handles[n] = sends[i].request;
        opens[n++] = (open_request){ NULL, &sends[i] };
    }
    shuffle(n);
    for (int i = 0; i < 5 && n; i++) complete_some(n, wild);
    for (int i = 0; i < n; i++) {
        MPI_Status s;
        int open = opens[i].r && !opens[i].r->done && handles[i] != MPI_REQUEST_NULL && !opens[i].r->persistent;
        int again = opens[i].r && opens[i].r->persistent;
        if (again && opens[i].r->done) continue;
        MPI_Wait(&handles[i], &s);
        if (open || (again && s.MPI_TAG != MPI_ANY_TAG)) ended(i, &s);
    }
    check_all();
    for (int i = 0; i < n; i++) {
        if (opens[i].r && opens[i].r->persistent) MPI_Request_free(&handles[i]);
        if (opens[i].s && opens[i].s->persistent) MPI_Request_free(&handles[i]);
        if (opens[i].s) free(opens[i].s->area.memory);
    }
    sending_count = 0;
}

/* 1 when r has something outstanding; *may: all of it can be completed by now. */
static int outstanding(int r, int *may)
{
    int any = 0;
    *may = 1;
    for (int i = first_open; i < posted; i++) {
        if (receives[i].done == 1 || receives[i].dest != r) continue;
        any = 1;
        if (receives[i].what == ANY) *may = 0;
    }
    for (int i = 0; i < sent; i++)
        if (messages[i].source == r && messages[i].slow == 1) {
            any = 1;
            if (messages[i].state == TRANSIT) *may = 0;
        }
    return any;
}

static void complete(int r)
{
    int may, wild = 0;
    if (outstanding(r, &may), !may) return;
    for (int i = first_open; i < posted; i++) wild |= receives[i].dest == r && receives[i].done != 1 && receives[i].tag == ANY;
    if (rank == r) complete_mine();
    for (int i = first_open; i < posted; i++) {
        receive *p = &receives[i];
        if (p->dest != r || p->done == 1) continue;
        delivered(&messages[p->what]);
        p->done = 1;
    }
    for (int i = 0; i < sent; i++)
        if (messages[i].source == r && messages[i].slow == 1) messages[i].slow = 2;
    while (first_open < posted && receives[first_open].done == 1) first_open++;
    if (wild) MPI_Barrier(MPI_COMM_WORLD); /* nothing that is sent later may be what they got */
}

/* All that is under way to one rank on one communicator, as it comes. */
static void drain(void)
{
    int d = draw(ranks), where = draw(SHIFTS), n = 0, most = 0, how = draw(3);
    static int got[MESSAGES];
    for (int i = 0; i < sent; i++) {
        const message *m = &messages[i];
        if (m->state != TRANSIT || m->dest != d || m->where != where) continue;
        n++;
        if (m->bytes > most) most = m->bytes;
    }
    if (!n || wild_open(d, where)) return;
    memset(got, 0, sizeof *got * (size_t)sent);
    for (int k = 0; k < n && rank == d; k++) {
        MPI_Status s;
        MPI_Message handle;
        int bytes, what;
        if (how == 1) MPI_Probe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm[where], &s);
        if (how == 2) MPI_Mprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm[where], &handle, &s);
        if (how) MPI_Get_count(&s, MPI_BYTE, &bytes);
        area a = new_area(0, 0, how ? bytes : most); /* as large as the probe says */
        if (how == 0) MPI_Recv(a.at, a.count, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, comm[where], &s);
        if (how == 1) MPI_Recv(a.at, a.count, MPI_BYTE, s.MPI_SOURCE, s.MPI_TAG, comm[where], &s);
        if (how == 2) MPI_Mrecv(a.at, a.count, MPI_BYTE, &handle, &s);
        for (what = 0; what < sent; what++) {
            const message *m = &messages[what];
            if (m->state == TRANSIT && !got[what] && m->dest == d && m->where == where && m->source == world_of(s.MPI_SOURCE, where) &&
                m->tag == s.MPI_TAG)
                break;
        }
        check(what < sent, "a message that nobody has sent");
        got[what] = 1;
        check_received(what, &a, &s);
    }
    for (int i = 0; i < sent; i++)
        if (messages[i].state == TRANSIT && messages[i].dest == d && messages[i].where == where) delivered(&messages[i]);
    MPI_Barrier(MPI_COMM_WORLD);
}

/* --- everybody at once --- */

static void *exchange(void *argument)
{
    int t = (int)(intptr_t)argument, next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;
    for (int i = 0; i < 40; i++) {
        int bytes = t == 0 ? 8 : t == 1 ? INLINE - 15 + i % 16 : INLINE + i;
        area out = new_area(0, 0, bytes), in = new_area(i % 3 == 0 ? 2 : 0, 0, bytes + i);
        MPI_Request r[2];
        MPI_Datatype type = make_type(in.which, 0);
        fill(&out, i, bytes);
        if (i % 2) {
            MPI_Sendrecv(out.at, out.count, MPI_BYTE, next, i % 3, in.at, in.count, type, before, i % 3, of_thread[t], MPI_STATUS_IGNORE);
        } else {
            MPI_Irecv(in.at, in.count, type, before, MPI_ANY_TAG, of_thread[t], &r[0]);
            MPI_Isend(out.at, out.count, MPI_BYTE, next, i % 3, of_thread[t], &r[1]);
            MPI_Waitall(2, r, MPI_STATUSES_IGNORE);
        }
        free_type(in.which, &type);
        compare(&in, i, bytes);
        free(out.memory);
        free(in.memory);
    }
    return NULL;
}

static void shift(void)
{
    int ints = draw(2), bytes = draw_bytes(ints), replace = draw(2), which = draw_type(bytes, ints, 1), other = draw_type(bytes, ints, 1);
    int next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks, name = 1000000 + draw(1000);
    MPI_Status s;
    if (sent + 1 >= MESSAGES) return;
    area a = new_area(which, ints, bytes), b = new_area(other, ints, bytes);
    MPI_Datatype type = make_type(which, ints), into = make_type(other, ints);
    fill(&a, name + rank, bytes);
    message m = { before, rank, SHIFTS, 5, bytes, ints, 0, DONE, 0 };
    if (replace) {
        MPI_Sendrecv_replace(a.at, a.count, type, next, 5, before, 5, comm[SHIFTS], &s);
        check_status(&m, &a, &s);
        compare(&a, name + before, bytes);
    } else {
        MPI_Sendrecv(a.at, a.count, type, next, 5, b.at, b.count, into, before, 5, comm[SHIFTS], &s);
        check_status(&m, &b, &s);
        compare(&b, name + before, bytes);
    }
    free_type(which, &type);
    free_type(other, &into);
    free(a.memory);
    free(b.memory);
    for (int r = 0; r < ranks; r++) depends((r + ranks - 1) % ranks, interval[(r + ranks - 1) % ranks], r);
    if (!threads) return;
    pthread_t thread[THREADS];
    for (int t = 0; t < THREADS; t++) pthread_create(&thread[t], NULL, exchange, (void *)(intptr_t)t);
    for (int t = 0; t < THREADS; t++) pthread_join(thread[t], NULL);
}

static void cancel(void)
{
    int r = draw(ranks), ints = draw(2), which = draw(LAYOUTS), bytes = draw_bytes(ints), undone;
    if (rank != r) return;
    area a = new_area(which, ints, bytes);
    MPI_Datatype type = make_type(which, ints);
    MPI_Request request;
    MPI_Status s;
    MPI_Irecv(a.at, a.count, type, own(2) ? MPI_ANY_SOURCE : rank, 99, comm[own(2) ? ALL : SHIFTS], &request);
    free_type(which, &type);
    MPI_Cancel(&request);
    MPI_Wait(&request, &s);
    MPI_Test_cancelled(&s, &undone);
    check(undone, "a receive nobody sends to was not cancelled");
    compare(&a, 0, 0);
    free(a.memory);
}

/* What a receive waits for that nobody has sent. */
static void send_to(receive *r)
{
    int s = r->source == ANY ? r->dest : r->source;
    if (!talk(s, r->dest, r->where)) s = (r->dest + 1) % ranks;
    messages[sent] = (message){ s, r->dest, r->where, r->tag == ANY ? 0 : r->tag, 0, r->ints, interval[s], POSTED, 0 };
    r->what = sent;
    if (rank == s) do_send(sent, 0, 4);
    sent++;
}

/* So that nothing of r is outstanding any more. */
static void settle(int r)
{
    for (int i = first_open; i < posted; i++)
        if (!receives[i].done && receives[i].dest == r && receives[i].what == ANY) send_to(&receives[i]);
    for (int i = 0; i < sent; i++)
        while (messages[i].source == r && messages[i].slow == 1 && messages[i].state == TRANSIT) receive_up_to(i);
    for (int i = first_open; i < posted; i++) /* among what was received now may be our own */
        if (!receives[i].done && receives[i].dest == r && receives[i].what == ANY) send_to(&receives[i]);
    complete(r);
}

static void checkpoint(void)
{
    int r = draw(ranks), may, obstructed;
    if (draw(6)) settle(r);
    obstructed = outstanding(r, &may);
    if (rank == r && !obstructed && sending_count) complete_mine(); /* those that are surely complete */
    if (rank == r) {
        belay_status status;
        int rc = belay_checkpoint(&status);
        check((rc == BELAY_OK && status.taken) == !obstructed, obstructed ? "a checkpoint was taken with something outstanding" : belay_error_text());
        if (!obstructed) check(status.checkpoint == interval[r], "a checkpoint has another number");
    }
    if (!obstructed) interval[r]++;
}

/* --- the comparison --- */

static int true_one(int source, int source_interval, int dest, int dest_interval)
{
    for (int i = 0; i < truth_count; i++)
        if (truths[i].source == source && truths[i].source_interval == source_interval && truths[i].dest == dest &&
            truths[i].dest_interval == dest_interval)
            return 1;
    return 0;
}

static void compare_one(int source, int source_interval, int dest, int dest_interval)
{
    char text[160];
    snprintf(text, sizeof text, "rank %d's interval %d is said to depend on rank %d's interval %d", dest, dest_interval, source, source_interval);
    check(true_one(source, source_interval, dest, dest_interval), text);
}

static int truths_of(int dest, int dest_interval, int with_self)
{
    int count = 0;
    for (int i = 0; i < truth_count; i++)
        count += truths[i].dest == dest && (dest_interval ? truths[i].dest_interval == dest_interval : truths[i].dest_interval < interval[dest]) &&
                 (with_self || truths[i].source != dest);
    return count;
}

static bl_store *store;

static void open_snapshot(int r, int number, bl_reader **reader, const bl_snapshot **snapshot)
{
    bl_error err = { 0, "" };
    if (bl_snapshot_open(store, (uint32_t)r, (uint32_t)number, NULL, reader, snapshot, &err)) fail(err.text);
}

static void compare_told(void)
{
    bl_reader *reader;
    const bl_snapshot *s;
    for (int n = 1; n < interval[rank]; n++) {
        char text[120];
        open_snapshot(rank, n, &reader, &s);
        for (size_t i = 0; i < s->ndependencies; i++) {
            check((int)s->dependencies[i].interval == n, "a dependency of another interval");
            compare_one((int)s->dependencies[i].source, (int)s->dependencies[i].source_interval, rank, n);
        }
        snprintf(text, sizeof text, "checkpoint %d has %zu dependencies, there were %d", n, s->ndependencies, truths_of(rank, n, 1));
        check((int)s->ndependencies == truths_of(rank, n, 1), text);
        bl_snapshot_close(reader);
    }
}

static void give(bl_history *history, int r, const bl_snapshot *s)
{
    bl_error err = { 0, "" };
    bl_history_channel *channel = calloc(s->nchannels + 1, sizeof *channel);
    bl_history_collective *collective = calloc(s->ncollectives + 1, sizeof *collective);
    check(channel && collective, "out of memory");
    for (size_t i = 0; i < s->nchannels; i++) {
        const bl_channel *c = &s->channels[i];
        channel[i] = (bl_history_channel){ c->comm, (uint32_t)c->peer, c->tag, c->sent, c->received };
    }
    for (size_t i = 0; i < s->ncollectives; i++)
        collective[i] = (bl_history_collective){ s->collectives[i].comm, s->collectives[i].started, s->collectives[i].size };
    if (bl_history_checkpoint(history, (uint32_t)r, channel, s->nchannels, collective, s->ncollectives, &err)) fail(err.text);
    free(channel);
    free(collective);
}

static void compare_counted(void)
{
    bl_error err = { 0, "" };
    bl_history *history;
    const bl_history_edge *edges;
    size_t count;
    int found[RANKS] = { 0 };
    if (bl_history_new((uint32_t)ranks, &history, &err)) fail(err.text);
    for (int r = 0; r < ranks; r++)
        for (int n = 1; n < interval[r]; n++) {
            bl_reader *reader;
            const bl_snapshot *s;
            open_snapshot(r, n, &reader, &s);
            give(history, r, s);
            bl_snapshot_close(reader);
        }
    if (bl_history_edges(history, &edges, &count, &err)) fail(err.text);
    for (size_t i = 0; i < count; i++) {
        if ((int)edges[i].received_in >= interval[edges[i].to] || edges[i].from == edges[i].to) continue;
        compare_one((int)edges[i].from, (int)edges[i].sent_in, (int)edges[i].to, (int)edges[i].received_in);
        found[edges[i].to]++;
    }
    for (int r = 0; r < ranks; r++) {
        char text[100];
        snprintf(text, sizeof text, "the counters give rank %d %d dependencies, there were %d", r, found[r], truths_of(r, 0, 0));
        check(found[r] == truths_of(r, 0, 0), text);
    }
    bl_history_free(history);
}

static void compare_all(int wrong)
{
    const char *how = getenv("BELAY_PIGGYBACK");
    bl_error err = { 0, "" };
    int counted = !how || !strcmp(how, "implicit"), crossing = 0;
    if (wrong) truths[truth_count++] = (truth){ 0, 12345, 1, 1 };
    MPI_Barrier(MPI_COMM_WORLD);
    if (bl_store_open(getenv("BELAY_DIR"), BL_STABLE_PROCESS, &store, &err)) fail(err.text);
    if (!counted) compare_told();
    else if (rank == 0) compare_counted();
    bl_store_close(store);
    for (int i = 0; i < truth_count; i++) crossing += truths[i].source_interval != truths[i].dest_interval;
    if (rank == 0) printf("%s: %d messages, %d dependencies, %d between intervals of different numbers\n", how ? how : "implicit", sent, truth_count, crossing);
    printf("rank %d: %d checkpoints were the truth\n", rank, interval[rank] - 1);
}

static void finish_traffic(void)
{
    for (int left = 1; left;) {
        left = 0;
        for (int i = 0; i < sent; i++) left += messages[i].state == TRANSIT;
        if (left) receive_one();
    }
    for (int i = first_open; i < posted; i++) {
        if (!receives[i].done && receives[i].what == ANY) send_to(&receives[i]);
    }
    for (int r = 0; r < ranks; r++) complete(r);
}

static void operation(void)
{
    switch (draw(18)) {
    case 16: case 17: case 0: case 1: case 2: case 3: case 4: send_one(); return;
    case 5: case 6: case 7: case 8: receive_one(); return;
    case 9: draw(2) ? post() : burst(); return;
    case 10: complete(draw(ranks)); return;
    case 12: if (draw(3) == 0) drain(); return;
    case 13: draw(3) ? cancel() : shift(); return;
    default: checkpoint(); return;
    }
}

static void make_comms(void)
{
    comm[ALL] = MPI_COMM_WORLD;
    MPI_Comm_dup(MPI_COMM_WORLD, &comm[COPY]);
    MPI_Comm_dup(MPI_COMM_WORLD, &comm[SHIFTS]);
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, rank, &comm[HALF]);
    MPI_Intercomm_create(comm[HALF], 0, MPI_COMM_WORLD, 1 - rank % 2, 77, &comm[ACROSS]);
    for (int t = 0; t < THREADS; t++) MPI_Comm_dup(MPI_COMM_WORLD, &of_thread[t]);
}

int main(int argc, char **argv)
{
    int operations = argc > 2 ? atoi(argv[2]) : 500, wrong = 0, level, size;
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    void *buffer = malloc(64 << 20);
    for (int i = 3; i < argc; i++) {
        threads |= !strcmp(argv[i], "threads");
        wrong |= !strcmp(argv[i], "wrong");
    }
    MPI_Init_thread(&argc, &argv, threads ? MPI_THREAD_MULTIPLE : MPI_THREAD_SINGLE, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    check(ranks % 2 == 0 && ranks <= RANKS && buffer, "an even number of ranks, up to 8");
    MPI_Buffer_attach(buffer, 64 << 20);
    make_comms();
    belay_protect("rank", &rank, 1, MPI_INT);
    belay_recover(NULL);
    belay_checkpoint(NULL); /* the start: nothing is due */
    for (int r = 0; r < ranks; r++) interval[r] = 1;
    for (int i = 0; i < operations; i++) {
        state = scramble(seed * 1000003u + (uint64_t)i);
        operation();
    }
    finish_traffic();
    compare_all(wrong);
    MPI_Buffer_detach(&buffer, &size);
    free(buffer);
    for (int c = COPY; c < COMMS; c++) MPI_Comm_free(&comm[c]);
    for (int t = 0; t < THREADS; t++) MPI_Comm_free(&of_thread[t]);
    MPI_Finalize();
    return 0;
}
