#include "mpi/depend.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "line/intervals.h"
#include "mpi/injob.h"
#include "mpi/log.h"
#include "mpi/logging.h"
#include "mpi/parcel.h"
#include "protocol/msglog.h"
#include "store/trail.h"

enum { COPIES = 4096, BESIDE_MOST = 1 << 20, FORCE_EACH_NS = 10000000 };
enum { SIDE_BYTES, SIDE_TAG, STABLE, VECTOR, WORDS = VECTOR + BL_MSGLOG_RANKS }; /* of a trailer */

typedef struct determinant { /* of copy[i] of the protocol, [i]; a journal's record, its payload behind it */
    bl_record record;
    char *payload;
} determinant;

static struct depend {
    bl_msglog log;
    bl_interval vector[BL_MSGLOG_RANKS];
    uint32_t stable[BL_MSGLOG_RANKS];
    bl_copy *copy, *carried; /* [COPIES] causal */
    determinant *what;       /* [COPIES] */
    MPI_Comm comm;           /* causal: for what goes beside */
    uint32_t sides[BL_MSGLOG_RANKS]; /* sent to each */
    pthread_t thread;
    int running, stop;       /* stop, appended, forced, failed: atomically */
    uint32_t appended, forced;
    bl_error failed;
} d;

static struct recovery {
    bl_trails trails;
    uint32_t known[BL_MSGLOG_RANKS], good[BL_MSGLOG_RANKS];
    uint32_t own;            /* of ours, what our journal has */
    uint32_t *checkpoint;    /* [checkpoints] in our journal, and not undone */
    uint32_t checkpoints, room;
} rec;

static void forget_recovery(void)
{
    bl_trails_clear(&rec.trails);
    free(rec.checkpoint);
    memset(&rec, 0, sizeof rec);
}

static uint32_t ranks(void)
{
    return (uint32_t)bl_rt.ranks;
}

static int is_causal(void)
{
    return bl_rt.settings.logging == BL_LOGGING_CAUSAL;
}

static void out_of_memory(void)
{
    bl_log_end_job("out of memory for what messages depend on");
}

int bl_depend_init(bl_error *err)
{
    if (bl_rt.settings.logging <= BL_LOGGING_PESSIMISTIC) return BELAY_OK;
    if (ranks() > BL_MSGLOG_RANKS)
        return bl_fail(err, BELAY_ERR_REFUSED, "logging=%s is for up to %d ranks: every message carries a number of each; use logging=pessimistic",
                       bl_logging_name(bl_rt.settings.logging), (int)BL_MSGLOG_RANKS);
    if (is_causal()) {
        d.copy = calloc(COPIES, sizeof *d.copy);
        d.carried = calloc(COPIES, sizeof *d.carried);
        d.what = calloc(COPIES, sizeof *d.what);
        if (!d.copy || !d.carried || !d.what) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for message logging");
        if (bl_rejoining) bl_comm_owned(d.comm = bl_local_side_comm());
        else bl_comm_own(bl_rt.world, &d.comm);
    }
    d.log = (bl_msglog){ .vector = d.vector, .copy = d.copy, .room = COPIES };
    bl_msglog_start(&d.log, is_causal() ? BL_MSGLOG_CAUSAL : BL_MSGLOG_OPTIMISTIC, (uint32_t)bl_rt.rank, ranks(), bl_rt.settings.log_failures);
    bl_logging.rides = (uint32_t)sizeof(uint32_t) * (VECTOR + ranks());
    return BELAY_OK;
}

/* --- the thread that forces --- */

static void *force_now_and_then(void *unused)
{
    const struct timespec pause = { 0, FORCE_EACH_NS };
    (void)unused;
    while (!__atomic_load_n(&d.stop, __ATOMIC_ACQUIRE)) {
        uint32_t appended = __atomic_load_n(&d.appended, __ATOMIC_ACQUIRE);
        if (appended > __atomic_load_n(&d.forced, __ATOMIC_RELAXED)) {
            bl_error err = { 0, "" };
            if (bl_journal_force(bl_logging.events, &err)) {
                d.failed = err;
                __atomic_store_n(&d.stop, 2, __ATOMIC_RELEASE);
                break;
            }
            __atomic_store_n(&d.forced, appended, __ATOMIC_RELEASE);
        }
        nanosleep(&pause, NULL);
    }
    return NULL;
}

void bl_depend_begin(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the program's */
    int failed = pthread_create(&d.thread, NULL, force_now_and_then, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) bl_log_end_job("the thread that forces the journal could not be started");
    d.running = 1;
}

void bl_depend_rest(void)
{
    if (!d.running) return;
    __atomic_store_n(&d.stop, 1, __ATOMIC_RELEASE);
    pthread_join(d.thread, NULL);
    d.running = 0;
}

void bl_depend_finish(void)
{
    bl_depend_rest();
    if (d.copy && d.comm != MPI_COMM_NULL) bl_comm_disown(&d.comm);
}

/* --- what is stable --- */

static void now_stable(uint32_t rank, uint32_t number)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < d.log.copies; i++) {
        if (d.copy[i].hdr.dest == rank && d.copy[i].hdr.rsn <= number) free(d.what[i].payload);
        else d.what[kept++] = d.what[i];
    }
    bl_msglog_stable(&d.log, rank, number);
    if (number > d.stable[rank]) d.stable[rank] = number;
}

static void look_at_thread(void)
{
    if (__atomic_load_n(&d.stop, __ATOMIC_ACQUIRE) == 2) bl_end_job(&d.failed);
    uint32_t forced = __atomic_load_n(&d.forced, __ATOMIC_ACQUIRE);
    if (forced > d.log.stable) now_stable((uint32_t)bl_rt.rank, forced);
}

void bl_depend_appended(void)
{
    __atomic_store_n(&d.appended, d.log.rsn, __ATOMIC_RELEASE);
}

void bl_depend_forced(void)
{
    if (!bl_logging.rides) return;
    uint32_t before = __atomic_load_n(&d.forced, __ATOMIC_RELAXED);
    while (before < d.log.rsn && !__atomic_compare_exchange_n(&d.forced, &before, d.log.rsn, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) continue;
    look_at_thread();
}

uint32_t bl_depend_number(void)
{
    return d.log.rsn;
}

uint32_t bl_depend_stable(void)
{
    return d.log.stable;
}

void bl_depend_hear(int world, uint32_t stable)
{
    if (world >= 0 && world < bl_rt.ranks && stable > d.stable[world]) now_stable((uint32_t)world, stable);
}

/* What is in our own journal, forced, cannot be lost: nobody needs to carry it any more. */
static void force_and_forget(void)
{
    bl_error err;
    if (bl_journal_stable(bl_logging.events, &err)) bl_end_job(&err);
    bl_depend_forced();
    for (uint32_t i = 0; i < d.log.copies; i++) free(d.what[i].payload);
    d.log.copies = 0;
}

void bl_depend_go_on(MPI_Comm comm)
{
    for (uint32_t i = 0; i < d.log.copies; i++) free(d.what[i].payload);
    bl_msglog_start(&d.log, d.log.rule, d.log.rank, ranks(), d.log.f);
    memset(d.stable, 0, sizeof d.stable);
    memset(d.sides, 0, sizeof d.sides);
    d.appended = d.forced = 0;
    d.stop = 0;
    if (is_causal()) bl_comm_owned(d.comm = comm);
    bl_depend_begin();
    forget_recovery();
}

int bl_depend_needs(uint32_t **needs)
{
    *needs = NULL;
    if (!bl_logging.rides) return 0;
    *needs = calloc(ranks(), sizeof **needs);
    for (uint32_t r = 0; *needs && r < ranks(); r++) (*needs)[r] = d.vector[r].index;
    return *needs ? 0 : -1;
}

int bl_depend_settled(const uint32_t *needs)
{
    for (uint32_t r = 0; needs && r < ranks(); r++)
        if (needs[r] > d.stable[r]) return 0;
    return 1;
}

/* --- decisions --- */

static void remember(uint32_t i, const bl_record *record, const void *payload)
{
    d.what[i] = (determinant){ *record, record->bytes ? malloc(record->bytes) : NULL };
    if (record->bytes && !d.what[i].payload) out_of_memory();
    if (record->bytes) memcpy(d.what[i].payload, payload, record->bytes);
}

void bl_depend_decide(bl_record *record, const void *payload)
{
    if (d.log.copies == COPIES) force_and_forget();
    if (d.log.rsn == UINT32_MAX - 1) bl_log_end_job("more than 4,294,967,294 events without a restart: use logging=pessimistic");
    record->number = bl_msglog_decide(&d.log, 0, 0, 0).rsn;
    if (is_causal()) remember(d.log.copies - 1, record, payload);
}

/* --- messages --- */

/* Beside a message: bl_copy, bl_record and payload of each determinant. */
static uint32_t beside(int world)
{
    bl_room room;
    uint32_t count = bl_msglog_carry(&d.log, (uint32_t)world, d.carried);
    size_t bytes = 0;
    for (uint32_t k = 0, i = 0; k < count; k++, i++) {
        while (d.copy[i].hdr.dest != d.carried[k].hdr.dest || d.copy[i].hdr.rsn != d.carried[k].hdr.rsn) i++;
        bytes += sizeof *d.copy + sizeof(bl_record) + d.what[i].record.bytes;
    }
    if (bytes > BESIDE_MOST) force_and_forget();
    if (!count || bytes > BESIDE_MOST) return 0;
    if (bl_room_take(&room, bytes)) out_of_memory();
    char *to = room.at;
    for (uint32_t k = 0, i = 0; k < count; k++, i++) {
        while (d.copy[i].hdr.dest != d.carried[k].hdr.dest || d.copy[i].hdr.rsn != d.carried[k].hdr.rsn) i++;
        const bl_record *r = &d.what[i].record;
        memcpy(to, &d.copy[i], sizeof *d.copy);
        memcpy(to + sizeof *d.copy, r, sizeof *r);
        if (r->bytes) memcpy(to + sizeof *d.copy + sizeof *r, d.what[i].payload, r->bytes);
        to += sizeof *d.copy + sizeof *r + r->bytes;
    }
    int rc = bl_loose_send(&room, room.at, (int)bytes, MPI_BYTE, world, (int)(++d.sides[world] & 0x7fff), d.comm);
    if (rc && !bl_rt.local) out_of_memory(); /* else a rank may have died, as who sends the message itself will see */
    return (uint32_t)bytes;
}

void bl_depend_load(char *trailer, int world)
{
    uint32_t word[WORDS] = { 0 };
    if (!bl_logging.prologue) {
        look_at_thread();
        word[SIDE_BYTES] = is_causal() ? beside(world) : 0;
        word[SIDE_TAG] = d.sides[world] & 0x7fff;
        word[STABLE] = d.log.stable;
        for (uint32_t r = 0; r < ranks(); r++) word[VECTOR + r] = d.vector[r].index;
    }
    memcpy(trailer, word, bl_logging.rides);
}

static void bad_message(int world)
{
    bl_log_end_job("what came with a message from rank %d is not what this version of Belay sends", world);
}

static void append(const bl_record *record, const void *payload)
{
    bl_log_append(bl_logging.events, record, payload);
}

/* Takes note of what came beside; appends what is new to the journal. */
static void hold(int world, const char *from, uint32_t bytes, const bl_interval *vector)
{
    char buffer[sizeof(bl_record)];
    uint32_t count = 0;
    bl_record r;
    for (uint32_t at = 0; at < bytes; at += (uint32_t)(sizeof *d.copy + sizeof r + r.bytes)) {
        if (bytes - at < sizeof *d.copy + sizeof r || count == COPIES) bad_message(world);
        memcpy(&d.carried[count], from + at, sizeof *d.copy);
        memcpy(&r, from + at + sizeof *d.copy, sizeof r);
        if (r.bytes > bytes - at - sizeof *d.copy - sizeof r || d.carried[count].hdr.dest >= ranks()) bad_message(world);
        count++;
    }
    if (d.log.copies + count > COPIES) force_and_forget();
    uint32_t before = d.log.copies, k = 0;
    bl_msglog_learn(&d.log, vector, d.carried, count);
    for (uint32_t at = 0; at < bytes && before < d.log.copies; at += (uint32_t)(sizeof *d.copy + sizeof r + r.bytes), k++) {
        memcpy(&r, from + at + sizeof *d.copy, sizeof r);
        const bl_hdr *h = &d.carried[k].hdr;
        if (h->dest != d.copy[before].hdr.dest || h->rsn != d.copy[before].hdr.rsn) continue;
        const char *payload = from + at + sizeof *d.copy + sizeof r;
        remember(before++, &r, payload);
        bl_record held = { .a = bl_log_clock(), .b = h->rsn, .c = (int32_t)h->dest, .kind = BL_EVENT_HELD, .number = d.log.rsn,
                           .bytes = sizeof r + r.bytes };
        char *room = r.bytes ? malloc(held.bytes) : buffer;
        if (!room) out_of_memory();
        memcpy(room, &r, sizeof r);
        if (r.bytes) memcpy(room + sizeof r, payload, r.bytes);
        append(&held, room);
        if (room != buffer) free(room);
    }
}

/* What our state depends on and may still be lost. */
static void append_needs(void)
{
    uint32_t pair[2 * BL_MSGLOG_RANKS], count = 0;
    for (uint32_t r = 0; r < ranks(); r++) {
        if (r == d.log.rank || d.vector[r].index <= d.stable[r]) continue;
        pair[count++] = r;
        pair[count++] = d.vector[r].index;
    }
    bl_record needs = { .a = bl_log_clock(), .kind = BL_EVENT_NEEDS, .number = d.log.rsn, .bytes = count * sizeof *pair };
    if (count) append(&needs, pair);
}

/* 0: a rank has died: what is depended on is in the journal of who decided it, or is found to be lost in the recovery that follows. */
static int receive_beside(char *to, uint32_t bytes, int world, uint32_t tag)
{
    uint8_t completing = bl_rt.completing, hurt = bl_rt.hurt;
    bl_rt.completing |= bl_rt.local;
    int rc = PMPI_Recv(to, (int)bytes, MPI_BYTE, world, (int)tag, d.comm, MPI_STATUS_IGNORE);
    bl_rt.completing = completing;
    if (bl_rt.local) bl_rt.hurt = hurt;
    return rc == MPI_SUCCESS;
}

void bl_depend_came(int world, const char *trailer)
{
    uint32_t word[WORDS] = { 0 };
    bl_interval vector[BL_MSGLOG_RANKS] = { { 0, 0 } };
    bl_room room = { 0 };
    int news = 0;
    if (bl_logging.prologue) return;
    memcpy(word, trailer, bl_logging.rides);
    bl_depend_hear(world, word[STABLE]);
    for (uint32_t r = 0; r < ranks(); r++) {
        vector[r].index = word[VECTOR + r];
        news |= r != d.log.rank && vector[r].index > d.vector[r].index;
    }
    if (word[VECTOR + d.log.rank] > d.log.rsn) bad_message(world);
    uint32_t bytes = word[SIDE_BYTES];
    if (bytes > BESIDE_MOST || (bytes && !is_causal())) bad_message(world);
    if (bytes && bl_room_take(&room, bytes)) out_of_memory();
    if (bytes && !receive_beside(room.at, bytes, world, word[SIDE_TAG])) bytes = 0;
    for (uint32_t i = 0; i < d.log.copies; i++) /* who depends on it has it */
        if (d.copy[i].hdr.dest == d.log.rank && d.copy[i].hdr.rsn <= word[VECTOR + d.log.rank]) bl_msglog_holds(&d.log, &d.copy[i].hdr, (uint32_t)world);
    bl_msglog_learn(&d.log, vector, NULL, 0);
    if (news) append_needs();
    if (bytes) hold(world, room.at, bytes, vector);
    bl_room_give(&room);
}

/* --- after a failure --- */

/* What is left of all, and what can be made again of that. */
static int look(bl_error *err)
{
    const bl_step *steps[BL_MSGLOG_RANKS];
    uint32_t counts[BL_MSGLOG_RANKS];
    int rc = bl_trails_read(bl_rt.store, ranks(), &rec.trails, err);
    for (uint32_t r = 0; rc == BELAY_OK && r < ranks(); r++) {
        steps[r] = rec.trails.trail[r].step;
        counts[r] = rec.trails.trail[r].steps;
    }
    if (rc == BELAY_OK) bl_line_intervals(ranks(), steps, counts, rec.known, rec.good);
    return rc;
}

/* Sent from a state that is undone. */
static int is_undone(const bl_record *r, const char *payload)
{
    uint32_t word[WORDS] = { 0 };
    if (r->kind != BL_EVENT_SENT || r->number != bl_logging.rides || r->bytes < bl_logging.rides) return 0;
    memcpy(word, payload + r->bytes - bl_logging.rides, bl_logging.rides);
    for (uint32_t k = 0; k < ranks(); k++)
        if (word[VECTOR + k] > rec.known[k]) return 1;
    return 0;
}

static int settle_sent(uint32_t ended, bl_error *err)
{
    bl_journal_reader *reader;
    bl_journal_place end;
    bl_record r;
    const char *payload;
    int more, undone = 0, rc = bl_journal_read_open(bl_rt.store, (uint32_t)bl_rt.rank, "sent", &reader, err);
    if (rc) return rc == BELAY_ERR_NONE ? BELAY_OK : rc;
    while (!undone && (more = bl_journal_next(reader, &r, &payload, err)) > 0) {
        undone = bl_journal_read_incarnation(reader) == ended && is_undone(&r, payload);
        if (undone) end = bl_journal_read_place(reader);
    }
    bl_journal_read_close(reader);
    if (!undone && more < 0) return err->code;
    return bl_journal_settle(bl_rt.store, (uint32_t)bl_rt.rank, "sent", ended, undone ? &end : NULL, err);
}

static const bl_trail *our_trail(void)
{
    return &rec.trails.trail[bl_rt.rank];
}

static void say_what_is_undone(void)
{
    uint32_t good = rec.good[bl_rt.rank];
    if (good == our_trail()->steps || !bl_rt.settings.verbose) return;
    const bl_step *first = &our_trail()->step[good];
    bl_say("rank %d: an orphan: it depends on event %" PRIu32 " of rank %" PRIu32 ", of which the journals have %" PRIu32 "; what it did since is undone",
           bl_rt.rank, first->number, first->rank, rec.known[first->rank]);
}

static int settle(bl_error *err)
{
    uint32_t rank = (uint32_t)bl_rt.rank, good = rec.good[rank], ended = rec.trails.ended;
    const bl_trail *own = our_trail();
    for (uint32_t k = 0; k < good; k++)
        if (own->step[k].kind == BL_STEP_DECIDED && own->step[k].number > rec.own) rec.own = own->step[k].number;
    int rc = bl_journal_settle(bl_rt.store, rank, "events", ended, good < own->steps ? &own->entry[good].place : NULL, err);
    if (rc == BELAY_OK) rc = settle_sent(ended, err);
    if (rc == BELAY_OK) rc = bl_journal_forget_after(bl_rt.store, rank, "events", ended, err);
    return rc ? rc : bl_journal_forget_after(bl_rt.store, rank, "sent", ended, err);
}

/* Of our journal, after what is undone of it is gone. */
static int list_checkpoints(bl_error *err)
{
    bl_journal_reader *reader;
    bl_record r;
    const char *payload;
    int more = 0, rc = bl_journal_read_open(bl_rt.store, (uint32_t)bl_rt.rank, "events", &reader, err);
    if (rc) return rc == BELAY_ERR_NONE ? BELAY_OK : rc;
    while (rc == BELAY_OK && (more = bl_journal_next(reader, &r, &payload, err)) > 0) {
        if (r.kind != BL_EVENT_CHECKPOINT) continue;
        uint32_t room = rec.room ? 2 * rec.room : 16, *bigger = rec.checkpoints < rec.room ? rec.checkpoint : realloc(rec.checkpoint, room * sizeof *bigger);
        if (bigger && rec.checkpoints == rec.room) rec.room = room;
        if (!bigger) rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %" PRIu32 " checkpoints", rec.checkpoints);
        else (rec.checkpoint = bigger)[rec.checkpoints++] = (uint32_t)r.b;
    }
    bl_journal_read_close(reader);
    return rc ? rc : more < 0 ? err->code : BELAY_OK;
}

static int all_well(MPI_Comm comm, int stays, int rc, bl_error *err)
{
    int bad = rc != BELAY_OK, any;
    int died = PMPI_Allreduce(&bad, &any, 1, MPI_INT, MPI_MAX, comm) != MPI_SUCCESS;
    if (bad || (!died && !any)) return rc;
    if (bl_rejoining) bl_injob_go_back(); /* another one does not stay after all */
    if (stays) return bl_fail(err, BELAY_ERR_ABORTED, "another rank cannot go on");
    PMPI_Barrier(comm); /* another rank ends the job */
    return BELAY_ERR_ABORTED;
}

int bl_depend_recover(MPI_Comm comm, int stays, bl_error *err)
{
    if (!bl_logging.rides || (bl_rt.incarnation == 0 && !stays)) return BELAY_OK;
    forget_recovery();
    int rc = look(err);
    if (rc == BELAY_OK) say_what_is_undone();
    if (rc == BELAY_OK && stays && rec.good[bl_rt.rank] < our_trail()->steps) rc = bl_fail(err, BELAY_ERR_REFUSED, "it is an orphan");
    rc = all_well(comm, stays, rc, err); /* all have read the journals of all */
    if (rc || !rec.trails.any) return rc;
    rc = settle(err);
    if (rc == BELAY_OK) rc = list_checkpoints(err);
    return all_well(comm, stays, rc, err);
}

int bl_depend_knows(uint32_t checkpoint)
{
    if (!bl_logging.rides) return 1;
    for (uint32_t k = 0; k < rec.checkpoints; k++)
        if (rec.checkpoint[k] == checkpoint) return 1;
    return 0;
}

static const bl_trail_entry *held_for_us(uint32_t number)
{
    for (uint32_t r = 0; r < ranks(); r++)
        for (uint32_t k = 0; k < rec.good[r]; k++) {
            const bl_step *s = &rec.trails.trail[r].step[k];
            if (s->kind == BL_STEP_HOLDS && s->rank == (uint32_t)bl_rt.rank && s->number == number) return &rec.trails.trail[r].entry[k];
        }
    return NULL;
}

int bl_depend_adopt(bl_journal *events, bl_error *err)
{
    uint32_t number = rec.own;
    while (rec.trails.any && number < rec.known[bl_rt.rank]) {
        const bl_trail_entry *e = held_for_us(++number);
        if (!e) return bl_fail(err, BELAY_ERR_DAMAGED, "event %" PRIu32 " of rank %d is in no journal", number, bl_rt.rank);
        bl_record r = e->record;
        r.number = 0; /* it is stable */
        if (bl_journal_append(events, &r, e->payload)) return bl_journal_error(events, err);
    }
    if (number > rec.own && bl_rt.settings.verbose)
        bl_say("rank %d: %" PRIu32 " events that were lost with it are known from the others", bl_rt.rank, number - rec.own);
    bl_trails_clear(&rec.trails);
    return bl_journal_stable(events, err);
}

void bl_depend_free(void)
{
    for (uint32_t i = 0; i < d.log.copies; i++) free(d.what[i].payload);
    free(d.copy);
    free(d.carried);
    free(d.what);
    memset(&d, 0, sizeof d);
    forget_recovery();
}
