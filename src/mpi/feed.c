/* feed.c - what the journals "sent" hold: for us to receive again, and of ours not to send again. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/log.h"
#include "store/hash.h"
#include "store/journal.h"

enum { BUCKETS = 256 };

typedef struct lane {        /* of one peer on one communicator, in the order sent */
    struct lane *chain;
    uint64_t comm;
    int world;
    bl_fed *message;
    size_t count, room, first; /* those before `first` are taken */
} lane;

uint64_t bl_feed_left, bl_feed_repeats;

typedef struct feed {
    lane *in[BUCKETS], *out[BUCKETS];
    uint64_t *until;         /* [channel_slots] messages up to this one are not sent again */
    uint64_t *logged;        /* [channel_slots] and up to this one they are in our journal, or were */
    uint64_t *next;          /* [channel_slots] that has to come next, while they are loaded */
    uint64_t left, repeats;  /* until the first safe point: what will be left */
    bl_journal_reader **reader; /* [ranks] what the messages point into */
    bl_journal_reader **again;  /* [ranks] the same of those that were loaded again; NULL: none were */
    uint64_t now_left, now_repeats; /* while it is aside: bl_feed_left, bl_feed_repeats */
} feed_state;
static feed_state feed, aside;

static lane *lane_of(lane **table, uint64_t comm, int world, int make)
{
    lane **bucket = &table[bl_live_hash(comm, world, 0) & (BUCKETS - 1)];
    for (lane *l = *bucket; l; l = l->chain)
        if (l->comm == comm && l->world == world) return l;
    lane *l = make ? calloc(1, sizeof *l) : NULL;
    if (!l) return NULL;
    l->comm = comm;
    l->world = world;
    l->chain = *bucket;
    return *bucket = l;
}

static int add(lane **table, uint64_t comm, int world, const bl_fed *fed)
{
    lane *l = lane_of(table, comm, world, 1);
    if (l && l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 64;
        bl_fed *bigger = realloc(l->message, room * sizeof *bigger);
        if (!bigger) return -1;
        l->message = bigger;
        l->room = room;
    }
    if (!l) return -1;
    l->message[l->count++] = *fed;
    return 0;
}

static void free_lanes(lane **table)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        while (table[i]) {
            lane *next = table[i]->chain;
            for (size_t k = 0; k < table[i]->count; k++) free(table[i]->message[k].own);
            free(table[i]->message);
            free(table[i]);
            table[i] = next;
        }
}

/* --- loading --- */

static uint32_t index_of(const bl_live_slot *slot)
{
    return (uint32_t)(slot - bl_rt.live.slot);
}

static int out_of_memory(bl_error *err)
{
    return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the messages of the journals");
}

static int make_room(bl_error *err)
{
    size_t slots = bl_rt.live.header->channel_slots;
    feed.until = calloc(slots, sizeof *feed.until);
    feed.logged = calloc(slots, sizeof *feed.logged);
    feed.next = calloc(slots, sizeof *feed.next);
    feed.reader = calloc((size_t)bl_rt.ranks, sizeof *feed.reader);
    return feed.until && feed.logged && feed.next && feed.reader ? BELAY_OK : out_of_memory(err);
}

/* Without what rides behind it. */
static uint64_t payload_bytes(const bl_record *r)
{
    return r->number <= r->bytes ? r->bytes - r->number : 0;
}

/* One that we have sent, in any incarnation. */
static int load_sent(const bl_record *r, const bl_fed *fed, bl_error *err)
{
    const bl_live_slot *slot = bl_comm_slot_by_id(r->a, r->c, r->d);
    if (!slot) return bl_fail(err, BELAY_ERR_REFUSED, "the journal of this rank has more channels than this version counts");
    uint64_t *until = &feed.until[index_of(slot)];
    if (r->b > *until) *until = feed.logged[index_of(slot)] = r->b;
    if (r->b > slot->sent && add(feed.out, r->a, r->c, fed)) return out_of_memory(err);
    return BELAY_OK;
}

/* One that was sent to us. */
static int load_received(const bl_record *r, int from, const bl_fed *fed, bl_error *err)
{
    const bl_live_slot *slot = bl_comm_slot_by_id(r->a, from, r->d);
    if (!slot) return bl_fail(err, BELAY_ERR_REFUSED, "the journal of rank %d has more channels than this version counts", from);
    uint64_t *next = &feed.next[index_of(slot)];
    if (*next == 0) *next = slot->received + 1;
    if (r->b < *next) return BELAY_OK;
    if (r->b > *next)
        return bl_fail(err, BELAY_ERR_DAMAGED, "messages %" PRIu64 " to %" PRIu64 " from rank %d, tag %d, which come after the checkpoint of rank %d, are not in the journal of rank %d",
                       *next, r->b - 1, from, r->d, bl_rt.rank, from);
    ++*next;
    bl_feed_left++;
    return add(feed.in, r->a, from, fed) ? out_of_memory(err) : BELAY_OK;
}

/* Before belay_recover the counters go on from those of a checkpoint that need not be ours: what counts is the order. */
static int load_prologue(int from, const bl_record *r, const bl_fed *fed, bl_error *err)
{
    bl_fed own = *fed;
    if (from == bl_rt.rank) {
        const bl_live_slot *slot = bl_comm_slot_by_id(r->a, r->c, r->d);
        uint64_t *until = slot ? &feed.until[index_of(slot)] : NULL;
        if (until && *until == 0) *until = slot->sent;
        own.number = until ? ++*until : 0;
        if (!until || add(feed.out, r->a, r->c, &own)) return out_of_memory(err);
    }
    if (r->c != bl_rt.rank) return BELAY_OK;
    bl_feed_left++;
    return add(feed.in, r->a, from, fed) ? out_of_memory(err) : BELAY_OK;
}

int bl_feed_load_prologue(uint32_t incarnation, bl_error *err)
{
    bl_record r;
    const char *payload;
    int more, rc = make_room(err);
    for (int from = 0; rc == BELAY_OK && from < bl_rt.ranks; from++) {
        rc = bl_journal_read_open(bl_rt.store, (uint32_t)from, "prologue", &feed.reader[from], err);
        while (rc == BELAY_OK && (more = bl_journal_next(feed.reader[from], &r, &payload, err)) != 0) {
            if (more < 0) return err->code;
            bl_fed fed = { .tag = r.d, .bytes = payload_bytes(&r), .data = payload };
            if (r.kind == BL_EVENT_SENT && bl_journal_read_incarnation(feed.reader[from]) == incarnation) rc = load_prologue(from, &r, &fed, err);
        }
    }
    return rc;
}

static int load_journal(int from, bl_error *err)
{
    bl_record r;
    const char *payload;
    int more, rc = bl_journal_read_open(bl_rt.store, (uint32_t)from, "sent", &feed.reader[from], err);
    if (rc == BELAY_ERR_NONE) return BELAY_OK;
    while (rc == BELAY_OK && (more = bl_journal_next(feed.reader[from], &r, &payload, err)) != 0) {
        if (more < 0) return err->code;
        if (r.kind != BL_EVENT_SENT) continue;
        bl_fed fed = { .number = r.b, .tag = r.d, .bytes = payload_bytes(&r), .data = payload };
        if (from == bl_rt.rank) rc = load_sent(&r, &fed, err);
        if (rc == BELAY_OK && r.c == bl_rt.rank) rc = load_received(&r, from, &fed, err);
    }
    return rc;
}

int bl_feed_load(bl_error *err)
{
    int rc = make_room(err);
    for (int r = 0; rc == BELAY_OK && bl_rt.incarnation > 0 && r < bl_rt.ranks; r++) rc = load_journal(r, err);
    free(feed.next);
    feed.next = NULL;
    return rc;
}

static void close_readers(bl_journal_reader **reader)
{
    for (int r = 0; reader && r < bl_rt.ranks; r++)
        if (reader[r]) bl_journal_read_close(reader[r]);
    free(reader);
}

/* On a communicator of this rank alone messages are not lost. */
static int is_own(uint64_t id)
{
    for (unsigned i = 0; i < bl_rt.comms; i++)
        if (bl_rt.comm[i]->id == id) return bl_rt.comm[i]->size == 1;
    return 0;
}

int bl_feed_reload(bl_error *err)
{
    free_lanes(feed.in);
    close_readers(feed.again);
    bl_feed_left = 0;
    feed.again = calloc((size_t)bl_rt.ranks, sizeof *feed.again);
    feed.next = calloc(bl_rt.live.header->channel_slots, sizeof *feed.next);
    int rc = feed.again && feed.next ? BELAY_OK : out_of_memory(err), more;
    for (int from = 0; rc == BELAY_OK && from < bl_rt.ranks; from++) {
        bl_record r;
        const char *payload;
        rc = bl_journal_read_open(bl_rt.store, (uint32_t)from, "sent", &feed.again[from], err);
        while (rc == BELAY_OK && (more = bl_journal_next(feed.again[from], &r, &payload, err)) != 0) {
            if (more < 0) rc = err->code;
            else if (r.kind == BL_EVENT_SENT && r.c == bl_rt.rank && !is_own(r.a))
                rc = load_received(&r, from, &(bl_fed){ .number = r.b, .tag = r.d, .bytes = payload_bytes(&r), .data = payload }, err);
        }
        if (rc == BELAY_ERR_NONE) rc = BELAY_OK;
    }
    free(feed.next);
    feed.next = NULL;
    return rc;
}

void bl_feed_exchange(void)
{
    feed_state other = aside;
    aside = feed;
    aside.now_left = bl_feed_left;
    aside.now_repeats = bl_feed_repeats;
    feed = other;
    bl_feed_left = feed.now_left;
    bl_feed_repeats = feed.now_repeats;
}

uint64_t *bl_feed_until(void)
{
    size_t bytes = sizeof *feed.until * bl_rt.live.header->channel_slots;
    uint64_t *copy = malloc(bytes);
    if (copy) memcpy(copy, feed.until, bytes);
    return copy;
}

/* --- agreeing --- */

typedef struct delivered { uint64_t comm, received; int32_t tag, reserved; } delivered;

static delivered *gather(int *counts, bl_error *err)
{
    const bl_live *live = &bl_rt.live;
    int total = 0;
    memset(counts, 0, sizeof *counts * (size_t)bl_rt.ranks);
    for (uint32_t i = 0; i < live->header->channel_slots; i++)
        if (live->slot[i].comm && live->slot[i].received) counts[live->slot[i].peer]++;
    for (int r = 0; r < bl_rt.ranks; r++) total += counts[r];
    delivered *all = malloc(sizeof *all * ((size_t)total + 1));
    int *at = calloc((size_t)bl_rt.ranks + 1, sizeof *at);
    if (!all || !at) {
        out_of_memory(err);
        free(all);
        free(at);
        return NULL;
    }
    for (int r = 0; r < bl_rt.ranks; r++) at[r + 1] = at[r] + counts[r];
    for (uint32_t i = 0; i < live->header->channel_slots; i++) {
        const bl_live_slot *s = &live->slot[i];
        if (s->comm && s->received) all[at[s->peer]++] = (delivered){ s->comm, s->received, s->tag, 0 };
    }
    free(at);
    return all;
}

static void places(const int *counts, int *bytes, int *at)
{
    for (int r = 0, sum = 0; r < bl_rt.ranks; r++) {
        bytes[r] = counts[r] * (int)sizeof(delivered);
        at[r] = sum;
        sum += bytes[r];
    }
}

static int note_delivered(const delivered *d, int peer, bl_error *err)
{
    const bl_live_slot *slot = bl_comm_slot_by_id(d->comm, peer, d->tag);
    if (!slot) return bl_fail(err, BELAY_ERR_REFUSED, "rank %d has more channels than this version counts", peer);
    uint64_t *until = &feed.until[index_of(slot)];
    if (d->received > *until) *until = d->received;
    return BELAY_OK;
}

/* Nothing that a checkpoint of ours counts as sent may be nowhere. */
static int complete(bl_error *err)
{
    bl_feed_repeats = 0;
    for (uint32_t i = 0; i < bl_rt.live.header->channel_slots; i++) {
        const bl_live_slot *s = &bl_rt.live.slot[i];
        if (!s->comm) continue;
        if (feed.until[i] < s->sent)
            return bl_fail(err, BELAY_ERR_DAMAGED, "messages %" PRIu64 " to %" PRIu64 " to rank %d, tag %d, which the checkpoint of rank %d counts as sent, are in no journal",
                           feed.until[i] + 1, s->sent, s->peer, s->tag, bl_rt.rank);
        bl_feed_repeats += feed.until[i] - s->sent;
    }
    return BELAY_OK;
}

int bl_feed_agree(MPI_Comm comm, int sends_again, bl_error *err)
{
    size_t n = (size_t)bl_rt.ranks;
    int *room = calloc(6 * n, sizeof *room), rc = BELAY_OK;
    delivered *mine = room ? gather(room, err) : NULL, *theirs = NULL;
    if (!mine) return out_of_memory(err);
    int *counts = room, *others = room + n, *bytes = room + 2 * n, *at = room + 3 * n, *their_bytes = room + 4 * n, *their_at = room + 5 * n;
    if (PMPI_Alltoall(counts, 1, MPI_INT, others, 1, MPI_INT, comm) != MPI_SUCCESS) rc = bl_fail(err, BELAY_ERR_SYSTEM, "a rank has died");
    if (rc) memset(others, 0, n * sizeof *others);
    places(counts, bytes, at);
    places(others, their_bytes, their_at);
    theirs = malloc((size_t)their_at[n - 1] + (size_t)their_bytes[n - 1] + 1);
    if (!theirs) rc = out_of_memory(err);
    if (rc == BELAY_OK && PMPI_Alltoallv(mine, bytes, at, MPI_BYTE, theirs, their_bytes, their_at, MPI_BYTE, comm) != MPI_SUCCESS)
        rc = bl_fail(err, BELAY_ERR_SYSTEM, "a rank has died");
    const delivered *d = theirs;
    for (int r = 0; sends_again && rc == BELAY_OK && r < bl_rt.ranks; r++)
        for (int k = 0; rc == BELAY_OK && k < others[r]; k++) rc = note_delivered(d++, r, err);
    if (sends_again && rc == BELAY_OK) rc = complete(err);
    free(room);
    free(mine);
    free(theirs);
    return rc;
}

/* What is sent and received before the first safe point is of no journal. */
void bl_feed_rest(void)
{
    feed.left = bl_feed_left;
    feed.repeats = bl_feed_repeats;
    bl_feed_left = bl_feed_repeats = 0;
}

void bl_feed_wake(void)
{
    bl_feed_left = feed.left;
    bl_feed_repeats = feed.repeats;
}

/* --- receiving --- */

static int suits(const bl_fed *f, const bl_wanted *w)
{
    return !f->taken && (w->tag == MPI_ANY_TAG || f->tag == w->tag) && (!w->hashed || XXH3_64bits(f->data, f->bytes) == w->hash);
}

static bl_fed *first_in(lane *l, const bl_wanted *w)
{
    while (l->first < l->count && l->message[l->first].taken) l->first++;
    for (size_t i = l->first; i < l->count; i++)
        if (suits(&l->message[i], w)) return &l->message[i];
    return NULL;
}

bl_fed *bl_feed_find(const bl_wanted *w, int *source)
{
    if (!bl_feed_left) return NULL;
    for (int r = w->source < 0 ? 0 : w->source; r < bl_rt.ranks; r++) {
        lane *l = lane_of(feed.in, w->comm->id, r, 0);
        bl_fed *f = l ? first_in(l, w) : NULL;
        *source = r;
        if (f || w->source >= 0) return f;
    }
    return NULL;
}

void bl_feed_take(bl_fed *f)
{
    f->taken = 1;
    free(f->own);
    f->own = NULL;
    bl_feed_left--;
}

void bl_feed_stash(const bl_comm *comm, int source, int tag, char *data, uint64_t bytes)
{
    lane *l = lane_of(feed.in, comm->id, source, 1);
    bl_fed fed = { .tag = tag, .bytes = bytes, .data = data, .own = data };
    if (l && l->first == l->count) l->first = l->count = 0;
    if (!l || add(feed.in, comm->id, source, &fed)) bl_log_end_job("out of memory for a message");
    bl_feed_left++;
}

/* --- sending --- */

int bl_feed_was_logged(const bl_live_slot *slot, uint64_t number)
{
    return number <= feed.logged[index_of(slot)];
}

int bl_feed_was_sent(const bl_live_slot *slot)
{
    return slot->sent < feed.until[index_of(slot)];
}

const bl_fed *bl_feed_sent(const bl_live_slot *slot, uint64_t number)
{
    lane *l = lane_of(feed.out, slot->comm, slot->peer, 0);
    for (size_t i = l ? l->first : 0; l && i < l->count; i++) {
        bl_fed *f = &l->message[i];
        if (f->tag != slot->tag || f->number != number) continue;
        f->taken = 1;
        while (l->first < l->count && l->message[l->first].taken) l->first++;
        return f;
    }
    return NULL;
}

void bl_feed_forget(void)
{
    close_readers(feed.reader);
    close_readers(feed.again);
    free(feed.until);
    free(feed.logged);
    free(feed.next);
    free_lanes(feed.in);
    free_lanes(feed.out);
    memset(&feed, 0, sizeof feed);
    bl_feed_left = bl_feed_repeats = 0;
}

void bl_feed_free(void)
{
    bl_feed_forget();
    bl_feed_exchange();
    bl_feed_forget();
}
