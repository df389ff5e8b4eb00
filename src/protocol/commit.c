/* commit.c - the two tables of the commit machine, and the little that walks them. */
#include "protocol/commit.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/* --- what can come in --- */

enum {
    BEGIN = 1 << 0,
    SAVED = 1 << 1,
    REFUSED = 1 << 2,
    TIMEOUT = 1 << 3,
    YES = 1 << 4,           /* messages */
    NO = 1 << 5,
    COMMIT = 1 << 6,
    ABORT = 1 << 7,
    QUERY = 1 << 8,
    UNCERTAIN = 1 << 9,
    FOUND_NONE = 1 << 10,   /* what the record says, after DECIDE or READ_DECISION */
    FOUND_COMMIT = 1 << 11,
    FOUND_ABORT = 1 << 12,
    BLANK = 1 << 13,        /* restarted, without and with a vote of yes in the log */
    PREPARED = 1 << 14,
    EVERYTHING = (1 << 15) - 1
};

enum guard {
    ALWAYS,
    ALL,       /* with this message, every other process is in `seen` */
    LAST_ROUND /* one more failure to force ABORT reaches BL_COMMIT_ROUNDS_MAX */
};

enum who { ANY, COORD, PART };

enum deed {
    NOTHING,
    NOTE,                                      /* the sender into `seen` */
    CLEAR,                                     /* `seen` */
    ROUND,                                     /* count a failed attempt */
    SNAPSHOT, READ, PUBLISH_COMMIT, PUBLISH_ABORT,
    VOTE_YES, VOTE_NO,                         /* to the coordinator; it tells itself nothing */
    REPLY_COMMIT, REPLY_ABORT, REPLY_UNCERTAIN,
    ASK_ALL,
    TELL                                       /* repeat the outcome */
};

/* --- states in groups --- */

enum {
    INIT = 1 << BL_STATE_INIT,
    SAVING = 1 << BL_STATE_SAVING,
    WAIT = 1 << BL_STATE_WAIT,
    DECIDING = 1 << BL_STATE_DECIDING,
    READY = 1 << BL_STATE_READY,
    ASKING = 1 << BL_STATE_ASKING,
    READING = 1 << BL_STATE_READING,
    FORCING = 1 << BL_STATE_FORCING,
    COMMITTED = 1 << BL_STATE_COMMITTED,
    ABORTED = 1 << BL_STATE_ABORTED,
    LOST = 1 << BL_STATE_LOST,
    UNVOTED = INIT | SAVING,                   /* may abort alone */
    UNSURE = READY | ASKING | READING | FORCING /* bound by its vote */
};

#define STAY BL_STATES

/* --- the first table: transitions ---
 *
 * The first row that fits counts.  What fits no row cannot happen.  A row without deeds that stays ignores its input. */

struct row {
    int state, input;
    enum who who;
    enum guard guard;
    enum deed deed[2];
    enum bl_commit_state next;
};

static const struct row rows[] = {
/*    in state                   on input                       who    if          do                       go to */
    { INIT,                      BEGIN,                         ANY,   ALWAYS,     { SNAPSHOT },            BL_STATE_SAVING },
    { INIT,                      BLANK,                         ANY,   ALWAYS,     { VOTE_NO },             BL_STATE_ABORTED },
    { INIT,                      PREPARED,                      ANY,   ALWAYS,     { READ },                BL_STATE_READING },

    { UNVOTED,                   REFUSED | TIMEOUT,             ANY,   ALWAYS,     { VOTE_NO },             BL_STATE_ABORTED },
    { UNVOTED,                   QUERY,                         ANY,   ALWAYS,     { REPLY_ABORT, VOTE_NO },BL_STATE_ABORTED },
    { UNVOTED,                   ABORT,                         PART,  ALWAYS,     { NOTHING },             BL_STATE_ABORTED },
    { UNVOTED,                   NO,                            COORD, ALWAYS,     { NOTHING },             BL_STATE_ABORTED },
    { UNVOTED,                   YES,                           COORD, ALWAYS,     { NOTE },                STAY },

    { SAVING,                    SAVED,                         PART,  ALWAYS,     { VOTE_YES },            BL_STATE_READY },
    { SAVING,                    SAVED,                         COORD, ALL,        { PUBLISH_COMMIT },      BL_STATE_DECIDING },
    { SAVING,                    SAVED,                         COORD, ALWAYS,     { NOTHING },             BL_STATE_WAIT },

    { WAIT,                      YES,                           COORD, ALL,        { PUBLISH_COMMIT },      BL_STATE_DECIDING },
    { WAIT,                      YES,                           COORD, ALWAYS,     { NOTE },                STAY },
    { WAIT,                      NO | TIMEOUT,                  COORD, ALWAYS,     { NOTHING },             BL_STATE_ABORTED },

    { DECIDING,                  FOUND_COMMIT,                  COORD, ALWAYS,     { NOTHING },             BL_STATE_COMMITTED },
    { DECIDING,                  FOUND_ABORT | FOUND_NONE,      COORD, ALWAYS,     { NOTHING },             BL_STATE_ABORTED },
    { DECIDING,                  YES,                           COORD, ALWAYS,     { NOTHING },             STAY },

    { WAIT | DECIDING | UNSURE,  QUERY,                         ANY,   ALWAYS,     { REPLY_UNCERTAIN },     STAY },
    { UNSURE,                    COMMIT,                        ANY,   ALWAYS,     { NOTHING },             BL_STATE_COMMITTED },
    { UNSURE,                    ABORT,                         ANY,   ALWAYS,     { NOTHING },             BL_STATE_ABORTED },
    { UNSURE,                    NO,                            COORD, ALWAYS,     { NOTHING },             BL_STATE_ABORTED },
    { UNSURE,                    YES,                           COORD, ALWAYS,     { NOTHING },             STAY },

    { READY,                     TIMEOUT,                       ANY,   ALWAYS,     { CLEAR, ASK_ALL },      BL_STATE_ASKING },
    { ASKING,                    UNCERTAIN,                     ANY,   ALL,        { READ },                BL_STATE_READING },
    { ASKING,                    UNCERTAIN,                     ANY,   ALWAYS,     { NOTE },                STAY },
    { ASKING,                    TIMEOUT,                       ANY,   ALWAYS,     { READ },                BL_STATE_READING },
    { READING,                   FOUND_NONE,                    ANY,   ALWAYS,     { PUBLISH_ABORT },       BL_STATE_FORCING },
    { READING | FORCING,         FOUND_COMMIT,                  ANY,   ALWAYS,     { NOTHING },             BL_STATE_COMMITTED },
    { READING | FORCING,         FOUND_ABORT,                   ANY,   ALWAYS,     { NOTHING },             BL_STATE_ABORTED },
    { FORCING,                   FOUND_NONE,                    ANY,   LAST_ROUND, { NOTHING },             BL_STATE_LOST },
    { FORCING,                   FOUND_NONE,                    ANY,   ALWAYS,     { ROUND },               BL_STATE_READY },
    { READY | READING | FORCING, UNCERTAIN,                     ANY,   ALWAYS,     { NOTHING },             STAY },

    { COMMITTED,                 QUERY,                         ANY,   ALWAYS,     { REPLY_COMMIT },        STAY },
    { COMMITTED,                 COMMIT | UNCERTAIN,            ANY,   ALWAYS,     { NOTHING },             STAY },
    { COMMITTED,                 FOUND_COMMIT | FOUND_NONE,     ANY,   ALWAYS,     { NOTHING },             STAY },
    { COMMITTED,                 YES,                           COORD, ALWAYS,     { NOTHING },             STAY },

    { ABORTED,                   BEGIN,                         ANY,   ALWAYS,     { TELL },                STAY },
    { ABORTED,                   SAVED | REFUSED,               ANY,   ALWAYS,     { NOTHING },             STAY },
    { ABORTED,                   QUERY,                         ANY,   ALWAYS,     { REPLY_ABORT },         STAY },
    { ABORTED,                   YES,                           COORD, ALWAYS,     { REPLY_ABORT },         STAY },
    { ABORTED,                   NO,                            COORD, ALWAYS,     { NOTHING },             STAY },
    { ABORTED,                   ABORT | UNCERTAIN,             ANY,   ALWAYS,     { NOTHING },             STAY },
    { ABORTED,                   FOUND_ABORT | FOUND_NONE,      ANY,   ALWAYS,     { NOTHING },             STAY },

    { LOST,                      EVERYTHING,                    ANY,   ALWAYS,     { NOTHING },             STAY },
};

/* --- the second table: what entering a state always means --- */

static const struct entry {
    const char *name;
    enum bl_commit_timer timer;     /* runs while in the state */
    enum bl_commit_outcome outcome; /* the coordinator tells everybody, then the driver is told */
} entries[BL_STATES] = {
    [BL_STATE_INIT] =      { "INIT",      BL_TIMER_NONE,  BL_OUTCOME_NONE },
    [BL_STATE_SAVING] =    { "SAVING",    BL_TIMER_SAVE,  BL_OUTCOME_NONE },
    [BL_STATE_WAIT] =      { "WAIT",      BL_TIMER_WAIT,  BL_OUTCOME_NONE },
    [BL_STATE_DECIDING] =  { "DECIDING",  BL_TIMER_NONE,  BL_OUTCOME_NONE },
    [BL_STATE_READY] =     { "READY",     BL_TIMER_READY, BL_OUTCOME_NONE },
    [BL_STATE_ASKING] =    { "ASKING",    BL_TIMER_ASK,   BL_OUTCOME_NONE },
    [BL_STATE_READING] =   { "READING",   BL_TIMER_NONE,  BL_OUTCOME_NONE },
    [BL_STATE_FORCING] =   { "FORCING",   BL_TIMER_NONE,  BL_OUTCOME_NONE },
    [BL_STATE_COMMITTED] = { "COMMITTED", BL_TIMER_NONE,  BL_OUTCOME_COMMITTED },
    [BL_STATE_ABORTED] =   { "ABORTED",   BL_TIMER_NONE,  BL_OUTCOME_ABORTED },
    [BL_STATE_LOST] =      { "LOST",      BL_TIMER_NONE,  BL_OUTCOME_LOST },
};

static const char *const kind_names[BL_KINDS] = {
    [BL_KIND_VOTE_YES] = "VOTE_YES", [BL_KIND_VOTE_NO] = "VOTE_NO", [BL_KIND_COMMIT] = "COMMIT",
    [BL_KIND_ABORT] = "ABORT",       [BL_KIND_QUERY] = "QUERY",     [BL_KIND_UNCERTAIN] = "UNCERTAIN",
};

static const char *const event_names[BL_EVENTS] = {
    [BL_EVENT_BEGIN] = "BEGIN",     [BL_EVENT_SNAPSHOT_DONE] = "SNAPSHOT_DONE", [BL_EVENT_REFUSED] = "REFUSED",
    [BL_EVENT_MESSAGE] = "MESSAGE", [BL_EVENT_TIMEOUT] = "TIMEOUT",             [BL_EVENT_DECIDED] = "DECIDED",
    [BL_EVENT_RECOVER] = "RECOVER", [BL_EVENT_DECISION_READ] = "DECISION_READ",
};

/* --- walking them --- */

static void emit(bl_commit_actions *out, bl_commit_action action)
{
    assert(out->count < BL_COMMIT_ACTIONS_MAX); /* a property of the tables; the unit test walks all of them */
    out->action[out->count++] = action;
}

static void reply(const bl_commit_event *event, enum bl_commit_kind kind, bl_commit_actions *out)
{
    emit(out, (bl_commit_action){ .type = BL_ACTION_SEND, .kind = kind, .to = event->from });
}

static void vote(const bl_commit *m, enum bl_commit_kind kind, bl_commit_actions *out)
{
    if (m->self != m->coordinator)
        emit(out, (bl_commit_action){ .type = BL_ACTION_SEND, .kind = kind, .to = m->coordinator });
}

static void tell_all(enum bl_commit_kind kind, bl_commit_actions *out)
{
    emit(out, (bl_commit_action){ .type = BL_ACTION_SEND_ALL, .kind = kind });
}

static void publish(enum bl_commit_outcome outcome, bl_commit_actions *out)
{
    emit(out, (bl_commit_action){ .type = BL_ACTION_DECIDE, .outcome = outcome });
}

static void tell_outcome(const bl_commit *m, bl_commit_actions *out)
{
    emit(out, (bl_commit_action){ .type = BL_ACTION_OUTCOME, .outcome = entries[m->state].outcome });
}

static void note(bl_commit *m, uint32_t from)
{
    m->count += !m->seen[from];
    m->seen[from] = 1;
}

static void clear(bl_commit *m)
{
    memset(m->seen, 0, m->n);
    m->count = 0;
}

static void perform(bl_commit *m, enum deed deed, const bl_commit_event *event, bl_commit_actions *out)
{
    switch (deed) {
    case NOTHING:         break;
    case NOTE:            note(m, event->from); break;
    case CLEAR:           clear(m); break;
    case ROUND:           m->rounds++; break;
    case SNAPSHOT:        emit(out, (bl_commit_action){ .type = BL_ACTION_TAKE_SNAPSHOT }); break;
    case READ:            emit(out, (bl_commit_action){ .type = BL_ACTION_READ_DECISION }); break;
    case PUBLISH_COMMIT:  publish(BL_OUTCOME_COMMITTED, out); break;
    case PUBLISH_ABORT:   publish(BL_OUTCOME_ABORTED, out); break;
    case VOTE_YES:        vote(m, BL_KIND_VOTE_YES, out); break;
    case VOTE_NO:         vote(m, BL_KIND_VOTE_NO, out); break;
    case REPLY_COMMIT:    reply(event, BL_KIND_COMMIT, out); break;
    case REPLY_ABORT:     reply(event, BL_KIND_ABORT, out); break;
    case REPLY_UNCERTAIN: reply(event, BL_KIND_UNCERTAIN, out); break;
    case ASK_ALL:         tell_all(BL_KIND_QUERY, out); break;
    case TELL:            tell_outcome(m, out); break;
    }
}

static void move_timer(bl_commit *m, enum bl_commit_state next, bl_commit_actions *out)
{
    if (entries[next].timer)
        emit(out, (bl_commit_action){ .type = BL_ACTION_SET_TIMER, .wait = entries[next].timer, .timer = ++m->timer });
    else if (entries[m->state].timer)
        emit(out, (bl_commit_action){ .type = BL_ACTION_CANCEL_TIMER });
}

static void announce(const bl_commit *m, bl_commit_actions *out)
{
    const enum bl_commit_outcome outcome = entries[m->state].outcome;

    if (m->self == m->coordinator && outcome == BL_OUTCOME_COMMITTED)
        tell_all(BL_KIND_COMMIT, out);
    if (m->self == m->coordinator && outcome == BL_OUTCOME_ABORTED)
        tell_all(BL_KIND_ABORT, out);
    if (outcome)
        tell_outcome(m, out);
}

static void apply(bl_commit *m, const struct row *row, const bl_commit_event *event, bl_commit_actions *out)
{
    const int moves = row->next != STAY;

    if (moves)
        move_timer(m, row->next, out);
    for (size_t i = 0; i < sizeof row->deed / sizeof row->deed[0]; i++)
        perform(m, row->deed[i], event, out);
    if (moves) {
        m->state = row->next;
        announce(m, out);
    }
}

static int holds(const bl_commit *m, enum guard guard, const bl_commit_event *event)
{
    switch (guard) {
    case ALWAYS:     return 1;
    case ALL:        return m->count + (event->type == BL_EVENT_MESSAGE && !m->seen[event->from]) == m->n - 1;
    case LAST_ROUND: return m->rounds + 1 == BL_COMMIT_ROUNDS_MAX;
    }
    return 0;
}

static const struct row *find(const bl_commit *m, int input, const bl_commit_event *event)
{
    const enum who who = m->self == m->coordinator ? COORD : PART;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        if ((row->state & 1 << m->state) && (row->input & input) && (row->who == ANY || row->who == who) &&
            holds(m, row->guard, event))
            return row;
    }
    return NULL;
}

/* --- from events to inputs; 0: not an event at all --- */

static int input_of_message(const bl_commit *m, const bl_commit_event *event)
{
    static const int input[BL_KINDS] = {
        [BL_KIND_VOTE_YES] = YES, [BL_KIND_VOTE_NO] = NO, [BL_KIND_COMMIT] = COMMIT,
        [BL_KIND_ABORT] = ABORT,  [BL_KIND_QUERY] = QUERY, [BL_KIND_UNCERTAIN] = UNCERTAIN,
    };
    if (event->from >= m->n || event->from == m->self || event->kind >= BL_KINDS)
        return 0;
    return input[event->kind];
}

static int input_of_record(const bl_commit_event *event)
{
    switch (event->outcome) {
    case BL_OUTCOME_NONE:      return FOUND_NONE;
    case BL_OUTCOME_COMMITTED: return FOUND_COMMIT;
    case BL_OUTCOME_ABORTED:   return FOUND_ABORT;
    case BL_OUTCOME_LOST:      break;
    }
    return 0;
}

static int input_of(const bl_commit *m, const bl_commit_event *event)
{
    switch (event->type) {
    case BL_EVENT_BEGIN:         return BEGIN;
    case BL_EVENT_SNAPSHOT_DONE: return SAVED;
    case BL_EVENT_REFUSED:       return REFUSED;
    case BL_EVENT_TIMEOUT:       return TIMEOUT;
    case BL_EVENT_MESSAGE:       return input_of_message(m, event);
    case BL_EVENT_DECIDED:
    case BL_EVENT_DECISION_READ: return input_of_record(event);
    case BL_EVENT_RECOVER:       return event->log == BL_LOG_PREPARED ? PREPARED : BLANK;
    case BL_EVENTS:              break;
    }
    return 0;
}

/* A message of another checkpoint, a timer that no longer runs. */
static int is_stale(const bl_commit *m, const bl_commit_event *event)
{
    if (event->type == BL_EVENT_MESSAGE)
        return bl_commit_when(m, event->checkpoint, event->incarnation) != BL_WHEN_NOW;
    if (event->type == BL_EVENT_TIMEOUT)
        return event->timer != m->timer || (!entries[m->state].timer && m->state != BL_STATE_INIT);
    return 0;
}

static int impossible(const bl_commit *m, const bl_commit_event *event, bl_error *err)
{
    if (event->type == BL_EVENT_MESSAGE)
        return bl_fail(err, BELAY_ERR_INTERNAL, "checkpoint %u: process %u in state %s got %s from process %u, which cannot be",
                       (unsigned)m->checkpoint, (unsigned)m->self, entries[m->state].name,
                       bl_commit_kind_name(event->kind), (unsigned)event->from);
    return bl_fail(err, BELAY_ERR_INTERNAL, "checkpoint %u: process %u in state %s got the event %s (outcome %d), which cannot be",
                   (unsigned)m->checkpoint, (unsigned)m->self, entries[m->state].name,
                   event->type < BL_EVENTS ? event_names[event->type] : "?", (int)event->outcome);
}

/* --- what the driver sees --- */

void bl_commit_init(bl_commit *m, uint32_t self, uint32_t n, uint32_t coordinator, uint32_t checkpoint,
                    uint32_t incarnation, uint8_t *seen)
{
    assert(self < n && coordinator < n);
    *m = (bl_commit){ .state = BL_STATE_INIT, .self = self, .n = n, .coordinator = coordinator,
                      .checkpoint = checkpoint, .incarnation = incarnation, .seen = seen };
    clear(m);
}

int bl_commit_step(bl_commit *m, const bl_commit_event *event, bl_commit_actions *out, bl_error *err)
{
    const struct row *row;

    out->count = 0;
    if (is_stale(m, event))
        return BELAY_OK;
    row = find(m, input_of(m, event), event);
    if (!row)
        return impossible(m, event, err);
    apply(m, row, event, out);
    return BELAY_OK;
}

enum bl_commit_when bl_commit_when(const bl_commit *m, uint32_t checkpoint, uint32_t incarnation)
{
    if (incarnation != m->incarnation || checkpoint < m->checkpoint)
        return BL_WHEN_STALE;
    return checkpoint == m->checkpoint ? BL_WHEN_NOW : BL_WHEN_LATER;
}

enum bl_commit_outcome bl_commit_outcome(const bl_commit *m)
{
    return entries[m->state].outcome;
}

const char *bl_commit_state_name(enum bl_commit_state state)
{
    return state < BL_STATES ? entries[state].name : "?";
}

const char *bl_commit_kind_name(enum bl_commit_kind kind)
{
    return kind < BL_KINDS ? kind_names[kind] : "?";
}
