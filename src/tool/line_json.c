#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tool/journals.h"
#include "tool/report.h"
#include "tool/tool.h"
#include "util/settings.h"

static const char *cause_name(enum bl_hop_cause cause)
{
    static const char *const name[] = {"failed", "orphan", "lost", "collective"};
    return name[cause];
}

/* The first hop; by_rank's own entry has the next one. */
static json_t *json_why(const bl_report *r, uint32_t rank)
{
    const bl_reason *why = &r->why[rank];
    const bl_story *story = r->story;
    if (why->count == 0)
        return json_null();
    json_t *out = json_pack("{s:s, s:I}", "cause", cause_name(why->hop.cause), "hops", (json_int_t)why->count);
    if (out && why->hop.cause != BL_HOP_FAILED)
        json_object_set_new(out, "by", json_pack("{s:I, s:I, s:I, s:b}", "rank", (json_int_t)why->hop.by_rank,
            "after_checkpoint", (json_int_t)bl_story_number(story, why->hop.by_rank, why->by_to),
            "own_after_checkpoint", (json_int_t)bl_story_number(story, rank, why->hop.own - 1),
            "undelivered", why->hop.by_interval > bl_story_last(story, why->hop.by_rank) + 1));
    return out;
}

static json_t *json_rank(const bl_report *r, uint32_t rank)
{
    const bl_story *story = r->story;
    const bl_live_header *table = &story->table[rank];
    uint32_t cut = story->line.cut[rank];
    uint64_t points;
    double seconds;
    bl_story_loss(story, rank, cut, &points, &seconds);
    json_t *out = json_pack("{s:I, s:b, s:I, s:o, s:o, s:I, s:o, s:o}", "rank", (json_int_t)rank, "failed", story->failed[rank],
        "depth", (json_int_t)story->line.depth[rank],
        "restart", cut > bl_story_last(story, rank) ? json_null() : json_integer(bl_story_number(story, rank, cut)),
        "relaunch", story->relaunch.cut ? json_integer(bl_story_number(story, rank, story->relaunch.cut[rank])) : json_null(),
        "lost_safe_points", (json_int_t)points, "lost_seconds", seconds < 0 ? json_null() : json_real(seconds),
        "why", json_why(r, rank));
    if (out && story->seen[rank])
        json_object_set_new(out, "table", json_pack("{s:i, s:i, s:s, s:s, s:i, s:o}", "state", (int)table->state, "code",
            (int)table->code, "ended", bl_report_end(table).s, "host", bl_text_clean(table->host).s, "process", (int)table->pid,
            "safe_point", table->safe_point == UINT64_MAX ? json_null() : json_integer((json_int_t)table->safe_point)));
    return out;
}

/* A figure that may not be known. */
static json_t *amount(double value)
{
    return isnan(value) ? json_null() : json_real(value);
}

static json_t *json_pairs(const bl_report *r)
{
    json_t *pairs = json_array();
    for (size_t k = 0; k < r->pairs; k++)
        json_array_append_new(pairs, json_pack("{s:I, s:I, s:I, s:I, s:I}", "from", (json_int_t)r->pair[k].from, "to",
            (json_int_t)r->pair[k].to, "orphans", (json_int_t)r->pair[k].orphans, "lost", (json_int_t)r->pair[k].lost,
            "in_transit", (json_int_t)r->pair[k].transit));
    return pairs;
}

static json_t *json_whatif(const bl_report *r)
{
    static const char *const name[BL_CHOICES] = {"recorded", "coordinated", "induced", "induced_fdas", "induced_hmnr", "logged"};
    json_t *out = json_object();
    for (size_t k = 0; k < BL_CHOICES; k++) {
        const bl_outcome *o = &r->whatif.outcome[k];
        if (o->known)
            json_object_set_new(out, name[k], json_pack("{s:I, s:I, s:I, s:o, s:I, s:I}", "ranks_back", (json_int_t)o->sum.ranks,
                "deepest", (json_int_t)o->sum.deepest, "at_start", (json_int_t)o->sum.at_start, "lost", amount(o->sum.lost),
                "forced_checkpoints", (json_int_t)o->forced, "messages_to_log", (json_int_t)o->logged));
    }
    return out;
}

static void add_costs(const bl_report *r, json_t *out)
{
    static const char *const unit[] = {"none", "seconds", "steps"};
    const bl_expected *e = &r->expected;
    json_object_set_new(out, "unit", json_string(unit[bl_loss_unit(r->story)]));
    json_object_set_new(out, "messages", json_pack("{s:I, s:I, s:I, s:o}", "orphans", (json_int_t)r->orphans, "lost",
        (json_int_t)r->lost, "in_transit", (json_int_t)r->transit, "pairs", json_pairs(r)));
    json_object_set_new(out, "checkpoints_stored", json_pack("{s:I, s:I, s:I, s:I}", "all", (json_int_t)r->checkpoints, "forced",
        (json_int_t)r->forced, "useless", (json_int_t)r->useless, "collectable", (json_int_t)r->collectable));
    json_object_set_new(out, "worst_rank", json_pack("{s:I, s:I, s:o, s:I}", "rank", (json_int_t)r->worst.rank, "ranks_back",
        (json_int_t)r->worst.sum.ranks, "lost", amount(r->worst.sum.lost), "ranks_tried", (json_int_t)r->worst.tried));
    json_object_set_new(out, "expected_loss", e->known ? json_pack("{s:f, s:f, s:f, s:b, s:I}", "mean", e->mean, "half_width_95",
        e->half, "most", e->most, "exact", e->exact, "moments", (json_int_t)e->moments) : json_null());
    json_object_set_new(out, "what_if", json_whatif(r));
}

static void add_lists(const bl_report *r, json_t *out)
{
    const bl_story *story = r->story;
    json_t *ranks = json_array(), *pairs = json_array(), *notes = json_array();
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        json_array_append_new(ranks, json_rank(r, rank));
    for (size_t k = 0; k < story->pairs; k++)
        json_array_append_new(pairs, json_pack("{s:I, s:I, s:I, s:I}", "from", (json_int_t)story->traffic[k].from, "to",
            (json_int_t)story->traffic[k].to, "sent", (json_int_t)story->traffic[k].sent, "received",
            (json_int_t)story->traffic[k].received));
    for (size_t k = 0; k < story->notes; k++)
        json_array_append_new(notes, bl_json_sentence(story->note[k]));
    json_object_set_new(out, "ranks", ranks);
    if (story->source == BL_STORY_COORDINATED)
        json_object_set_new(out, "open_interval", pairs);
    else
        json_decref(pairs);
    json_object_set_new(out, "notes", notes);
}

/* What all ranks have in common in a coordinated job. */
static void add_coordinated(const bl_report *r, json_t *out)
{
    const bl_story *story = r->story;
    const bl_view_checkpoint *now = bl_view_restart(story->view);
    json_t *checkpoints = json_array();
    for (uint32_t d = 1; d <= bl_story_last(story, 0); d++)
        json_array_append_new(checkpoints, json_integer(bl_story_number(story, 0, d)));
    json_object_set_new(out, "relaunch_restart", json_integer(bl_story_number(story, 0, story->relaunch.cut[0])));
    json_object_set_new(out, "restart_now", now ? json_integer(now->number) : json_null());
    json_object_set_new(out, "checkpoints", checkpoints);
}

static void add_job(const bl_story *story, enum bl_alive alive, json_t *out)
{
    const bl_job *job = story->view->job;
    json_object_update_new(out, json_pack("{s:s, s:s, s:I, s:I, s:s, s:b}", "job", job->id, "program",
        bl_text_clean(job->program).s, "incarnation", (json_int_t)story->incarnation, "newest_incarnation",
        (json_int_t)job->incarnation, "state", bl_text_clean(job->state).s, "alive", alive != BL_ALIVE_NO));
}

static void journal_wrong(void *context, uint32_t rank, const bl_error *why)
{
    json_array_append_new(context, json_pack("{s:I, s:o}", "rank", (json_int_t)rank, "what", bl_json_sentence(why->text)));
}

/* With message logging: what the restart will be, and what is in the journals. */
static int add_logged(const bl_story *story, enum bl_alive alive, json_t *out, bl_error *err)
{
    bl_journals journals = {0};
    bl_orphan *orphan = NULL;
    json_t *damage = json_array(), *ranks = json_array(), *pairs = json_array(), *orphans = json_array();
    int rc = alive != BL_ALIVE_NO ? BELAY_OK
                                  : bl_journals_read(story->view->store, story->ranks, journal_wrong, damage, &journals, err);
    if (rc == BELAY_OK && alive == BL_ALIVE_NO && strcmp(story->protocol, "pessimistic") != 0)
        rc = bl_journals_orphans(story->view->store, story->ranks, &orphan, err);
    for (uint32_t rank = 0; rc == BELAY_OK && orphan && rank < story->ranks; rank++)
        if (orphan[rank].is)
            json_array_append_new(orphans, json_pack("{s:I, s:I, s:I, s:I}", "rank", (json_int_t)rank, "needs_event", (json_int_t)orphan[rank].needs,
                "of_rank", (json_int_t)orphan[rank].needs_rank, "known", (json_int_t)orphan[rank].known));
    for (uint32_t rank = 0; rc == BELAY_OK && rank < story->ranks; rank++) {
        bl_logged_rank none = {0}, *log = journals.rank ? &journals.rank[rank] : &none;
        uint32_t last = bl_orphan_restart(story, rank, orphan);
        uint64_t points;
        double seconds;
        bl_story_loss(story, rank, last, &points, &seconds);
        json_array_append_new(ranks, json_pack("{s:I, s:I, s:I, s:o, s:I, s:I, s:I}", "rank", (json_int_t)rank, "restart",
            (json_int_t)bl_story_number(story, rank, last), "repeated_safe_points", (json_int_t)points, "repeated_seconds",
            seconds >= 0 ? json_real(seconds) : json_null(), "messages", (json_int_t)log->messages, "bytes",
            (json_int_t)log->bytes, "events", (json_int_t)log->events));
    }
    for (size_t k = 0; k < journals.pairs; k++)
        json_array_append_new(pairs, json_pack("{s:I, s:I, s:I, s:I}", "from", (json_int_t)journals.pair[k].from, "to",
            (json_int_t)journals.pair[k].to, "messages", (json_int_t)journals.pair[k].messages, "bytes",
            (json_int_t)journals.pair[k].bytes));
    json_object_set_new(out, "with_log", json_pack("{s:o, s:o, s:o, s:o}", "ranks", ranks, "pairs", pairs, "damage", damage, "orphans", orphans));
    bl_journals_clear(&journals);
    free(orphan);
    return rc;
}

int bl_report_json(const bl_report *r, enum bl_alive alive, bl_error *err)
{
    const bl_story *story = r->story;
    json_t *out = json_object();
    if (!out)
        return bl_print_json(NULL, err);
    if (story->view)
        add_job(story, alive, out);
    else
        json_object_set_new(out, "trace", json_string(story->from));
    json_object_update_new(out, json_pack("{s:s, s:s, s:b, s:b, s:I, s:b, s:b}", "protocol", bl_text_clean(story->protocol).s,
        "mode", story->mode == BL_LINE_LOGGED ? "logged" : "transitless", "checked", 1, "all_taken_as_failed", story->assumed,
        "domino_depth", (json_int_t)story->line.domino_depth, "total_domino", story->line.total_domino != 0,
        "crossing_messages", story->crossing));
    if (story->source == BL_STORY_COORDINATED)
        add_coordinated(r, out);
    add_lists(r, out);
    add_costs(r, out);
    int rc = story->view && bl_is_logging(story->protocol) ? add_logged(story, alive, out, err) : BELAY_OK;
    if (rc != BELAY_OK) {
        json_decref(out);
        return rc;
    }
    return bl_print_json(out, err);
}
