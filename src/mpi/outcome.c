/* outcome.c - what a call has shown the program that it could not have foreseen: appended to the journal "events" before the
 * program sees it, and looked up when the call is made again. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/depend.h"
#include "mpi/log.h"
#include "mpi/logging.h"
#include "store/journal.h"

typedef struct event {
    uint64_t clock;
    uint32_t kind, order;    /* order: in the journal */
    bl_seen seen;
} event;

typedef struct outcomes {
    event *event;            /* [events] ascending by clock */
    size_t events, room;
    uint64_t begin;          /* clock of the checkpoint */
    uint64_t known;          /* of the last call before the death; what calls before it have seen is known */
    uint64_t later;          /* until the first safe point: what `known` will be */
    bl_journal_reader *reader;
} outcomes;
static outcomes past, aside;

uint64_t bl_outcome_clock(void)
{
    return past.begin;
}

void bl_outcome_nothing(void)
{
    bl_logging.unsaid = 1;
}

int bl_outcome_behind(void)
{
    return bl_log_clock() < past.known;
}

static int add(const bl_record *r, const char *payload)
{
    if (past.events == past.room) {
        size_t room = past.room ? 2 * past.room : 256;
        event *bigger = realloc(past.event, room * sizeof *bigger);
        if (!bigger) return -1;
        past.event = bigger;
        past.room = room;
    }
    past.event[past.events] = (event){ r->a, r->kind, (uint32_t)past.events, { r->c, r->d, payload, r->bytes } };
    past.events++;
    return 0;
}

static int by_clock(const void *x, const void *y)
{
    const event *a = x, *b = y;
    if (a->clock != b->clock) return a->clock < b->clock ? -1 : 1;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

/* A checkpoint that was taken while something was done again is followed by events that are before it in the journal. */
static void forget_before(void)
{
    size_t kept = 0;
    for (size_t k = 0; k < past.events; k++)
        if (past.event[k].clock > past.begin) past.event[kept++] = past.event[k];
    past.events = kept;
}

static int is_outcome(const bl_record *r)
{
    return r->kind < BL_EVENT_CHECKPOINT || r->kind == BL_EVENT_CLOCK;
}

static int read_events(uint32_t checkpoint, bl_error *err)
{
    bl_record r;
    const char *payload;
    int more, found = checkpoint == 0;
    int rc = bl_journal_read_open(bl_rt.store, (uint32_t)bl_rt.rank, "events", &past.reader, err);
    if (rc == BELAY_ERR_NONE) rc = BELAY_OK;
    while (past.reader && rc == BELAY_OK && (more = bl_journal_next(past.reader, &r, &payload, err)) != 0) {
        if (more < 0) return err->code;
        if (r.kind == BL_EVENT_CHECKPOINT && checkpoint && r.b == checkpoint) {
            past.begin = r.a;
            found = 1;
        } else if (is_outcome(&r) && add(&r, payload)) {
            rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the events of the journal");
        }
    }
    forget_before();
    if (rc == BELAY_OK && !found)
        return bl_fail(err, BELAY_ERR_DAMAGED, "the journal of rank %d does not know checkpoint %" PRIu32, bl_rt.rank, checkpoint);
    return rc;
}

/* How far did we get?  The live tables say it, unless they may be from before a loss of power. */
static void how_far(void)
{
    past.known = past.begin;
    /* What is before the oldest journal was begun anew, or is before all checkpoints. */
    for (uint32_t i = past.reader ? bl_journal_read_oldest(past.reader) : bl_rt.incarnation; i < bl_rt.incarnation && !bl_rt.settings.stable_power; i++) {
        bl_live_header h;
        bl_error ignored;
        if (bl_live_read_header(bl_rt.store, (uint32_t)bl_rt.rank, i, &h, &ignored) || !h.logged) continue;
        if (h.calls - h.clock_base > past.known) past.known = h.calls - h.clock_base;
    }
    for (size_t k = 0; k < past.events; k++)
        if (past.event[k].clock > past.known) past.known = past.event[k].clock;
}

int bl_outcome_load(uint32_t checkpoint, bl_error *err)
{
    int rc = read_events(checkpoint, err);
    if (rc) return rc;
    how_far();
    if (past.events) qsort(past.event, past.events, sizeof *past.event, by_clock);
    return BELAY_OK;
}

static int open_prologue(bl_error *err)
{
    int rc = bl_journal_read_open(bl_rt.store, (uint32_t)bl_rt.rank, "prologue", &past.reader, err);
    if (rc != BELAY_ERR_NONE) return rc;
    return bl_fail(err, rc, "rank %d has left no journal: it can be replayed only when the job ran with logging", bl_rt.rank);
}

/* The newest incarnation in which this rank came to its first safe point. */
static int choose_prologue(uint32_t *incarnation, bl_error *err)
{
    bl_record r;
    const char *payload;
    char why[80] = "";
    int more = 0, found = 0, rc = open_prologue(err);
    while (rc == BELAY_OK && (more = bl_journal_next(past.reader, &r, &payload, err)) > 0) {
        if (r.kind == BL_EVENT_UNLOGGED) snprintf(why, sizeof why, "%.*s", r.bytes < sizeof why ? (int)r.bytes : (int)sizeof why - 1, payload);
        if (r.kind != BL_EVENT_BEGUN) continue;
        found = 1;
        *incarnation = bl_journal_read_incarnation(past.reader);
    }
    bl_outcome_forget();
    if (rc || more < 0) return err->code;
    if (found) return BELAY_OK;
    if (why[0]) return bl_fail(err, BELAY_ERR_REFUSED, "what rank %d did before its first safe point cannot be replayed alone: %s", bl_rt.rank, why);
    return bl_fail(err, BELAY_ERR_NONE, "rank %d never came to its first safe point: there is nothing to replay", bl_rt.rank);
}

int bl_outcome_load_prologue(uint32_t *incarnation, bl_error *err)
{
    bl_record r;
    const char *payload;
    int more = 0, rc = choose_prologue(incarnation, err);
    if (rc == BELAY_OK) rc = open_prologue(err);
    while (rc == BELAY_OK && (more = bl_journal_next(past.reader, &r, &payload, err)) > 0) {
        if (bl_journal_read_incarnation(past.reader) != *incarnation) continue;
        if (r.kind == BL_EVENT_BEGUN) past.known = r.a;
        else if (r.kind != BL_EVENT_SENT && add(&r, payload)) rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the events of the journal");
    }
    if (rc || more < 0) return err->code;
    if (past.events) qsort(past.event, past.events, sizeof *past.event, by_clock);
    return BELAY_OK;
}

void bl_outcome_rest(void)
{
    past.later = past.known;
    past.known = 0;
}

void bl_outcome_wake(void)
{
    past.known = past.later;
}

uint64_t bl_outcome_known(void)
{
    return past.known;
}

void bl_outcome_forget(void)
{
    if (past.reader) bl_journal_read_close(past.reader);
    free(past.event);
    memset(&past, 0, sizeof past);
}

void bl_outcome_exchange(void)
{
    outcomes other = aside;
    aside = past;
    past = other;
}

void bl_outcome_free(void)
{
    bl_outcome_forget();
    bl_outcome_exchange();
    bl_outcome_forget();
}

static const event *find(enum bl_event kind, uint64_t clock)
{
    size_t low = 0, high = past.events;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const event *e = &past.event[middle];
        if (e->clock < clock || (e->clock == clock && e->kind < (uint32_t)kind)) low = middle + 1;
        else high = middle;
    }
    return low < past.events && past.event[low].clock == clock && past.event[low].kind == (uint32_t)kind ? &past.event[low] : NULL;
}

enum bl_how bl_outcome_of(enum bl_event kind, uint64_t clock, bl_seen *seen)
{
    if (__builtin_expect(clock > past.known, 1)) return BL_OPEN;
    const event *e = find(kind, clock);
    if (e) *seen = e->seen;
    return e ? BL_KNOWN : clock < past.known ? BL_NOTHING : BL_OPEN;
}

int belay_nondeterministic(void *value, size_t size)
{
    bl_seen seen;
    bl_error err;
    if (size && !value) {
        bl_fail(&err, BELAY_ERR_ARG, "belay_nondeterministic: no value of %zu bytes", size);
        return bl_failed(BELAY_ERR_ARG, &err);
    }
    if (!bl_log_on()) return BELAY_OK;
    bl_log_entered();
    enum bl_how how = bl_outcome_of(BL_EVENT_VALUE, bl_log_clock(), &seen);
    if (bl_log_alone() && how != BL_KNOWN) bl_log_unknown();
    if (how != BL_KNOWN) {
        bl_outcome_log(BL_EVENT_VALUE, bl_log_clock(), 0, 0, value, size);
        return BELAY_OK;
    }
    if (seen.bytes != size) bl_log_end_job("belay_nondeterministic: %zu bytes, but %" PRIu64 " before the failure: the program is not the same", size, seen.bytes);
    if (size) memcpy(value, seen.payload, size);
    return BELAY_OK;
}

BELAY_API double MPI_Wtime(void)
{
    double now = PMPI_Wtime();
    if (bl_log_on()) belay_nondeterministic(&now, sizeof now);
    return now;
}

void bl_outcome_log(enum bl_event kind, uint64_t clock, int c, int d, const void *payload, size_t bytes)
{
    bl_record r = { .a = clock, .b = bl_rt.checkpoint, .c = c, .d = d, .kind = kind, .bytes = bytes };
    if (bl_log_alone()) return;
    int follows = bl_logging.rides && !bl_logging.prologue;
    if (follows) bl_depend_decide(&r, payload);
    bl_log_append(bl_logging.events, &r, payload);
    if (follows) bl_depend_appended();
}
