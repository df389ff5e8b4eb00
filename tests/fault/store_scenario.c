#include "store_scenario.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/late.h"
#include "store_io.h"
#include "test_store_common.h"

typedef struct run { bl_store *store; scenario_state *state; int wrong; bl_error *err; } run;

static void reach(uint64_t *field, scenario_state *state, uint64_t value)
{
    *field = value;
    io_mark((uint64_t)((char *)field - (char *)state), value);
}

static int write_rank(const run *r, uint32_t rank, uint32_t checkpoint, bl_digest *digest)
{
    sample s;
    sample_make(&s, rank, SCENARIO_RANKS, checkpoint, bl_store_job(r->store)->incarnation);
    return bl_snapshot_write(r->store, &s.snapshot, digest, r->err);
}

static int decide(const run *r, uint32_t checkpoint, bl_digest *digests)
{
    enum bl_decision actual, want = digests ? BL_COMMITTED : BL_ABORTED;
    bl_commit_record record = { .decision = want, .checkpoint = checkpoint, .ranks = SCENARIO_RANKS, .digests = digests,
                                .incarnation = bl_store_job(r->store)->incarnation };
    if (digests)
        reach(&r->state->deciding, r->state, checkpoint);
    int code = bl_commit_decide(r->store, &record, &actual, r->err);
    if (code == BELAY_OK && actual != want)
        code = bl_fail(r->err, BELAY_ERR_INTERNAL, "checkpoint %u was decided otherwise", checkpoint);
    if (code == BELAY_OK && digests)
        reach(&r->state->committed, r->state, checkpoint);
    return code;
}

static int take(const run *r, uint32_t checkpoint)
{
    bl_digest digests[SCENARIO_RANKS];
    int code = BELAY_OK;
    for (uint32_t rank = 0; code == BELAY_OK && rank < SCENARIO_RANKS; rank++)
        code = write_rank(r, rank, checkpoint, &digests[rank]);
    return code == BELAY_OK ? decide(r, checkpoint, digests) : code;
}

static int give_up(const run *r, uint32_t checkpoint)
{
    bl_digest digest;
    int code = write_rank(r, 0, checkpoint, &digest);
    return code == BELAY_OK ? decide(r, checkpoint, NULL) : code;
}

static int remove_snapshots(const run *r, uint32_t checkpoint)
{
    int code = BELAY_OK;
    for (uint32_t rank = 0; code == BELAY_OK && rank < SCENARIO_RANKS; rank++)
        code = bl_snapshot_remove(r->store, rank, checkpoint, r->err);
    return code;
}

static int collect(const run *r, uint32_t checkpoint)
{
    int code = r->wrong ? remove_snapshots(r, checkpoint) : BELAY_OK;
    if (code == BELAY_OK)
        code = bl_commit_remove(r->store, checkpoint, r->err);
    return code == BELAY_OK ? remove_snapshots(r, checkpoint) : code;
}

/* --- late messages --- */

enum { LATE_BYTES_MAX = 6000, LATE_SETTLED = 4 };

static bl_late_message late_message(uint64_t number, unsigned char data[LATE_BYTES_MAX])
{
    for (int i = 0; i < LATE_BYTES_MAX; i++)
        data[i] = (unsigned char)(number * 31 + (uint64_t)i / 7);
    return (bl_late_message){ .comm = 5, .source = 0, .tag = 9, .number = number, .data = data,
                              .bytes = number % 3 == 0 ? LATE_BYTES_MAX : number % 3 == 1 ? 100 : 0 };
}

static int be_late(const run *r, uint32_t checkpoint, uint64_t first, uint64_t last)
{
    unsigned char data[LATE_BYTES_MAX];
    bl_late *late;
    int code = bl_late_open(r->store, 1, checkpoint, &late, r->err);
    for (uint64_t n = first; code == BELAY_OK && n <= last; n++) {
        bl_late_message m = late_message(n, data);
        reach(&r->state->appending, r->state, n);
        code = bl_late_append(late, &m, r->err);
        if (code == BELAY_OK)
            reach(&r->state->appended, r->state, n);
    }
    if (late)
        bl_late_close(late);
    return code;
}

static int beyond(void *context, const bl_late_message *m)
{
    return m->number > *(const uint64_t *)context;
}

static int drop_late(const run *r, uint32_t checkpoint, uint64_t last)
{
    uint32_t removed;
    reach(&r->state->dropping, r->state, last);
    return bl_late_remove_before(r->store, 1, checkpoint, beyond, &last, &removed, r->err);
}

static int even(void *context, const bl_late_message *m)
{
    (void)context;
    return m->number % 2 == 0;
}

static int settle(const run *r, uint32_t checkpoint)
{
    reach(&r->state->settling, r->state, LATE_SETTLED);
    int code = bl_late_settle(r->store, 1, checkpoint, even, NULL, r->err);
    if (code == BELAY_OK)
        reach(&r->state->settled, r->state, LATE_SETTLED);
    return code;
}

static int first_life(const run *r)
{
    int code = take(r, 1);
    if (code == BELAY_OK && r->wrong)
        return collect(r, 1); /* the only one: nothing newer hides the disorder */
    if (code == BELAY_OK)
        code = be_late(r, 0, 1, 1);
    if (code == BELAY_OK)
        code = be_late(r, 1, 2, 3);
    if (code == BELAY_OK)
        code = take(r, 2);
    if (code == BELAY_OK)
        code = drop_late(r, 1, 1);
    if (code == BELAY_OK)
        code = be_late(r, 2, LATE_SETTLED, LATE_SETTLED);
    return code == BELAY_OK ? collect(r, 1) : code;
}

/* As a restart does with an independent checkpoint that the line undoes. */
static int forget(const run *r, uint32_t checkpoint)
{
    bl_digest digest;
    int code = write_rank(r, 0, checkpoint, &digest);
    if (code == BELAY_OK)
        code = bl_snapshot_forget(r->store, 0, checkpoint - 1, r->err);
    if (code == BELAY_OK)
        reach(&r->state->forgotten, r->state, checkpoint);
    return code;
}

static int second_life(const run *r)
{
    int code = bl_store_next_incarnation(r->store, r->err);
    if (code != BELAY_OK)
        return code;
    reach(&r->state->incarnation, r->state, bl_store_job(r->store)->incarnation);
    code = settle(r, 1);
    if (code == BELAY_OK)
        code = be_late(r, 1, LATE_SETTLED + 1, LATE_SETTLED + 2);
    if (code == BELAY_OK)
        code = give_up(r, 3);
    if (code == BELAY_OK)
        code = take(r, 4);
    if (code == BELAY_OK)
        code = forget(r, 5);
    if (code == BELAY_OK)
        code = collect(r, 3);
    if (code == BELAY_OK)
        code = collect(r, 2);
    return code == BELAY_OK ? bl_store_set_state(r->store, "finished", r->err) : code;
}

int scenario_run(const char *dir, enum bl_stable stable, int wrong, scenario_state *state, bl_error *err)
{
    run r = { .state = state, .wrong = wrong, .err = err };
    *state = (scenario_state){ 0 };
    int code = bl_store_create(dir, SCENARIO_RANKS, "scenario", stable, &r.store, err);
    if (code != BELAY_OK)
        return code;
    reach(&state->created, state, 1);
    code = first_life(&r);
    bl_store_close(r.store);
    if (code != BELAY_OK || wrong)
        return code;
    code = bl_store_open(dir, stable, &r.store, err);
    if (code != BELAY_OK)
        return code;
    code = second_life(&r);
    bl_store_close(r.store);
    return code;
}

/* --- recovery --- */

static char wrong_text[1024];

static const char *wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

static const char *wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(wrong_text, sizeof wrong_text, format, args);
    va_end(args);
    return wrong_text;
}

static void count_note(void *context, const char *sentence)
{
    (void)sentence;
    ++*(int *)context;
}

static const char *check_snapshots(bl_store *store, const bl_commit_record *record)
{
    bool other;
    bl_error err = { .code = BELAY_OK };
    for (uint32_t rank = 0; rank < record->ranks; rank++) {
        int code = sample_check(store, rank, record->checkpoint, &record->digests[rank], &other, &err);
        if (code != BELAY_OK)
            return wrong("checkpoint %u is committed, but %s", record->checkpoint, err.text);
        if (other)
            return wrong("checkpoint %u, rank %u: other data came back", record->checkpoint, rank);
    }
    return NULL;
}

static const char *check_newest(bl_store *store, const scenario_state *state, uint32_t *newest)
{
    int notes = 0;
    bl_commit_record record;
    bl_error err = { .code = BELAY_OK };
    int code = bl_commit_newest(store, UINT32_MAX, &record, count_note, &notes, &err);
    *newest = code == BELAY_OK ? record.checkpoint : 0;
    if (code != BELAY_OK && code != BELAY_ERR_NONE)
        return wrong("the newest checkpoint: %s", err.text);
    const char *bad = code == BELAY_OK ? check_snapshots(store, &record) : NULL;
    bl_commit_clear(&record);
    if (bad)
        return bad;
    if (notes > 0)
        return wrong("%d commit records are damaged", notes);
    if (*newest < state->committed || *newest > state->deciding)
        return wrong("checkpoint %u was found, between %llu and %llu were expected", *newest,
                     (unsigned long long)state->committed, (unsigned long long)state->deciding);
    return NULL;
}

/* What was forgotten does not come back: a restart would take it for a part of the new history. */
static const char *check_forgotten(bl_store *store, const scenario_state *state)
{
    uint32_t *numbers;
    size_t count;
    bl_error err = { .code = BELAY_OK };
    if (state->forgotten == 0)
        return NULL;
    if (bl_snapshot_list(store, 0, &numbers, &count, &err) != BELAY_OK)
        return wrong("no list of snapshots: %s", err.text);
    bool back = count > 0 && numbers[count - 1] >= state->forgotten;
    free(numbers);
    return back ? wrong("snapshot %llu was forgotten and has come back", (unsigned long long)state->forgotten) : NULL;
}

/* --- what is found of late messages --- */

typedef struct found { int times[LATE_SETTLED + 4], wrong; } found;

static int count_late(void *context, const bl_late_message *m, bl_error *err)
{
    unsigned char data[LATE_BYTES_MAX];
    found *f = context;
    bl_late_message want = late_message(m->number, data);
    (void)err;
    if (m->number > LATE_SETTLED + 3 || m->comm != want.comm || m->source != want.source || m->tag != want.tag
        || m->bytes != want.bytes || (m->bytes > 0 && memcmp(m->data, data, (size_t)m->bytes) != 0))
        f->wrong = 1;
    else
        f->times[m->number]++;
    return BELAY_OK;
}

/* A disk that could not read a late file for a moment: it is in the quarantine. */
static bool set_aside(bl_store *store)
{
    char path[400];
    snprintf(path, sizeof path, "%s/quarantine", bl_store_dir(store));
    return scratch_count(path, "late-") > 0;
}

static const char *check_late(bl_store *store, const scenario_state *state)
{
    found f = { { 0 }, 0 };
    bl_error err = { .code = BELAY_OK };
    if (bl_late_read(store, 1, 1, count_late, &f, &err) != BELAY_OK)
        return wrong("the late messages: %s", err.text);
    if (f.wrong)
        return wrong("a late message came back as another");
    for (uint64_t n = 1; n <= LATE_SETTLED + 3; n++) {
        int settled = n <= LATE_SETTLED && n % 2;
        if (f.times[n] == 0 && n <= state->appended && n > state->dropping && !(state->settling && settled)
            && !set_aside(store))
            return wrong("late message %llu is lost", (unsigned long long)n);
        if (f.times[n] > 0 && (n > state->appending || (state->settled && settled)))
            return wrong("late message %llu should not be there", (unsigned long long)n);
        if (f.times[n] > 1 && (state->settled || !state->settling))
            return wrong("late message %llu is there twice", (unsigned long long)n);
    }
    return NULL;
}

/* Who was replaced stays out, who was not gets in. */
static const char *check_fence(bl_store *store, const scenario_state *state)
{
    bl_error err = { .code = BELAY_OK };
    uint32_t incarnation = bl_store_job(store)->incarnation;
    if (incarnation < state->incarnation)
        return wrong("incarnation %u instead of %llu", incarnation, (unsigned long long)state->incarnation);
    if (state->incarnation > 0 && bl_store_join(store, (uint32_t)state->incarnation - 1, &err) != BELAY_ERR_STALE)
        return wrong("an older incarnation is let in");
    return bl_store_join(store, incarnation, &err) == BELAY_OK ? NULL : wrong("nobody can join: %s", err.text);
}

/* The next incarnation takes a checkpoint, with whatever leftovers there are around it. */
static const char *live_on(bl_store *store, uint32_t newest)
{
    scenario_state state = { 0 };
    bl_error err = { .code = BELAY_OK };
    uint32_t highest;
    run r = { .store = store, .state = &state, .err = &err };
    if (bl_store_next_incarnation(store, &err) != BELAY_OK || bl_store_highest(store, &highest, &err) != BELAY_OK)
        return wrong("cannot go on: %s", err.text);
    if (highest < newest)
        return wrong("checkpoint %u is there, the highest is said to be %u", newest, highest);
    if (take(&r, highest + 1) != BELAY_OK)
        return wrong("cannot go on: %s", err.text);
    state.committed = state.deciding;
    if (settle(&r, 1) != BELAY_OK || be_late(&r, 1, LATE_SETTLED + 3, LATE_SETTLED + 3) != BELAY_OK)
        return wrong("cannot go on: %s", err.text);
    return check_newest(store, &state, &newest);
}

const char *scenario_recover(const char *dir, const scenario_state *state, int go_on)
{
    bl_store *store;
    uint32_t newest;
    bl_error err = { .code = BELAY_OK };
    int code = bl_store_open(dir, BL_STABLE_PROCESS, &store, &err);
    if (code == BELAY_ERR_NONE && !state->created) {
        code = go_on ? bl_store_create(dir, SCENARIO_RANKS, "again", BL_STABLE_PROCESS, &store, &err) : BELAY_OK;
        if (go_on && code == BELAY_OK)
            bl_store_close(store);
        return code == BELAY_OK ? NULL : wrong("cannot start again: %s", err.text);
    }
    if (code != BELAY_OK)
        return wrong("the job cannot be opened: %s", err.text);
    const char *bad = check_fence(store, state);
    if (!bad)
        bad = check_newest(store, state, &newest);
    if (!bad)
        bad = check_forgotten(store, state);
    if (!bad)
        bad = check_late(store, state);
    if (!bad && go_on)
        bad = live_on(store, newest);
    bl_store_close(store);
    return bad;
}
