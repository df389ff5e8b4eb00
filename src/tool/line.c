#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/story.h"
#include "tool/text.h"
#include "tool/tool.h"
#include "util/clock.h"

enum { RANKS_SHOWN = 8, HOPS_SHOWN = 6 };

/* The tables hold the time of a safe point only now and then: less than this may be nothing but that. */
#define TIME_SHOWN_S 0.05

/* The first hop of a rank's certificate and how long it is; count 0: the rank keeps its memory. */
typedef struct reason {
    bl_hop hop;
    size_t count;
} reason;

/* Ranks with the same story, told once. */
typedef struct group {
    uint32_t cut, ranks, example; /* example: the member with the longest chain */
    enum bl_hop_cause cause;
    bool keeps;
    uint64_t least_points, most_points;
    double least_s, most_s;
    uint8_t *member;              /* [ranks of the job] */
} group;

enum { GROUPS_MAX = 32 };

typedef struct report {
    const bl_story *story;
    reason *why;                  /* [ranks] */
    group group[GROUPS_MAX];
    size_t groups;
    uint8_t *member;
} report;

/* --- words --- */

static bl_text place_of(const bl_story *story, uint32_t dense)
{
    bl_text text = {"the start"};
    if (dense)
        snprintf(text.s, sizeof text.s, "checkpoint %u", bl_story_number(story, dense));
    return text;
}

/* When interval `dense` was, in a sentence that has just named checkpoint `named`. */
static bl_text during(const bl_story *story, uint32_t dense, uint32_t named)
{
    bl_text text = {"since then"};
    if (dense > story->last && named == story->last)
        return text;
    if (dense > story->last)
        snprintf(text.s, sizeof text.s, "since %.40s", place_of(story, story->last).s);
    else
        snprintf(text.s, sizeof text.s, "between %.40s and %.40s", place_of(story, dense - 1).s, place_of(story, dense).s);
    return text;
}

static bl_text messages(int64_t count)
{
    bl_text text = {"messages"};
    return count > 0 ? bl_text_count((uint64_t)count, "message") : text;
}

static void print_hop(const bl_story *story, const char *indent, const bl_hop *hop)
{
    uint32_t open = story->last + 1;
    bool now = hop->own == open && hop->by_interval >= open;
    const bl_story_traffic *in = now ? bl_story_between(story, hop->by_rank, hop->rank) : NULL;
    const bl_story_traffic *out = now ? bl_story_between(story, hop->rank, hop->by_rank) : NULL;
    printf("%srank %u goes back to %s: ", indent, hop->rank, place_of(story, hop->to).s);
    switch (hop->cause) {
    case BL_HOP_FAILED: printf("it failed, and what it held in memory is gone\n"); break;
    case BL_HOP_ORPHAN:
        printf("%s it received %s that rank %u, back at %s, has not sent yet\n", during(story, hop->own, hop->to).s,
               messages(in ? in->received : 0).s, hop->by_rank, place_of(story, hop->by_interval - 1).s);
        break;
    case BL_HOP_LOST:
        if (hop->by_interval > open)
            printf("%s it sent %s to rank %u that had not arrived and are gone\n", during(story, hop->own, hop->to).s,
                   messages(out ? out->sent - out->received : 0).s, hop->by_rank);
        else
            printf("%s it sent %s that rank %u, back at %s, has lost\n", during(story, hop->own, hop->to).s,
                   messages(out ? out->received : 0).s, hop->by_rank, place_of(story, hop->by_interval - 1).s);
        break;
    case BL_HOP_COLLECTIVE:
        printf("%s it took part in a collective operation with rank %u, which is back at %s\n",
               during(story, hop->own, hop->to).s, hop->by_rank, place_of(story, hop->by_interval - 1).s);
        break;
    }
}

/* "--kill number 1": the code of an injected kill says which one it was. */
static bl_text how_it_ended(const bl_live_header *table)
{
    bl_text text;
    int code = table->code;
    switch (table->state) {
    case BL_LIVE_STARTED: snprintf(text.s, sizeof text.s, "was running, or died without a word"); break;
    case BL_LIVE_FINALIZING: snprintf(text.s, sizeof text.s, "was in MPI_Finalize"); break;
    case BL_LIVE_FINISHED: snprintf(text.s, sizeof text.s, "finished"); break;
    case BL_LIVE_EXITED: snprintf(text.s, sizeof text.s, "left through exit() without MPI_Finalize"); break;
    case BL_LIVE_ABORTED: snprintf(text.s, sizeof text.s, "called MPI_Abort with code %d", code); break;
    case BL_LIVE_KILLED: snprintf(text.s, sizeof text.s, "was killed by an injected fault (--kill number %d)", code); break;
    case BL_LIVE_STOPPED: snprintf(text.s, sizeof text.s, "stopped because it was asked to"); break;
    case BL_LIVE_REFUSED: snprintf(text.s, sizeof text.s, "was ended by Belay for a reason that it printed"); break;
    default: snprintf(text.s, sizeof text.s, "is in an unknown state (%u)", table->state); break;
    }
    return text;
}

static bl_text points_and_seconds(uint64_t least, uint64_t most, double least_s, double most_s)
{
    bl_text text, points = bl_text_count(most, "safe point");
    if (least != most)
        snprintf(points.s, sizeof points.s, "%.32s to %.48s", bl_text_number(least).s, bl_text_count(most, "safe point").s);
    if (most_s < TIME_SHOWN_S)
        snprintf(text.s, sizeof text.s, "%.80s", points.s);
    else if (least_s < TIME_SHOWN_S)
        snprintf(text.s, sizeof text.s, "%.80s, up to %.32s", points.s, bl_text_seconds(most_s).s);
    else if (strcmp(bl_text_seconds(least_s).s, bl_text_seconds(most_s).s) == 0)
        snprintf(text.s, sizeof text.s, "%.80s, %.32s", points.s, bl_text_seconds(most_s).s);
    else
        snprintf(text.s, sizeof text.s, "%.50s, %.24s to %.24s", points.s, bl_text_seconds(least_s).s, bl_text_seconds(most_s).s);
    return text;
}

/* --- gathering the report --- */

static bool same_story(const report *r, const group *g, uint32_t rank)
{
    bool keeps = r->why[rank].count == 0;
    if (r->story->ranks <= RANKS_SHOWN)
        return false;
    return g->keeps == keeps && g->cut == r->story->line.cut[rank] && (keeps || g->cause == r->why[rank].hop.cause);
}

static void join(report *r, uint32_t rank)
{
    const bl_story *story = r->story;
    uint64_t points;
    double seconds;
    size_t k = 0;
    while (k < r->groups && !same_story(r, &r->group[k], rank))
        k++;
    if (k == GROUPS_MAX) /* the last one takes what is left; its example is still true */
        k--;
    group *g = &r->group[k];
    bl_story_loss(story, rank, story->line.cut[rank], &points, &seconds);
    if (k == r->groups) {
        r->groups++;
        *g = (group){.cut = story->line.cut[rank], .example = rank, .cause = r->why[rank].hop.cause,
                     .keeps = r->why[rank].count == 0, .least_points = points, .most_points = points,
                     .least_s = seconds, .most_s = seconds, .member = r->member + k * story->ranks};
    }
    g->member[rank] = 1;
    g->ranks++;
    g->least_points = points < g->least_points ? points : g->least_points;
    g->most_points = points > g->most_points ? points : g->most_points;
    g->least_s = seconds < g->least_s ? seconds : g->least_s;
    g->most_s = seconds > g->most_s ? seconds : g->most_s;
    if (r->why[rank].count > r->why[g->example].count)
        g->example = rank;
}

static void report_clear(report *r)
{
    free(r->why);
    free(r->member);
}

static int report_make(const bl_story *story, report *r, bl_error *err)
{
    *r = (report){.story = story};
    r->why = calloc(story->ranks, sizeof *r->why);
    r->member = calloc((size_t)GROUPS_MAX * story->ranks, 1);
    if (!r->why || !r->member) {
        report_clear(r);
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    }
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        bl_hop *hops = NULL;
        int rc = bl_line_why(story->graph, &story->line, rank, &hops, &r->why[rank].count, err);
        if (rc == BELAY_OK && r->why[rank].count)
            r->why[rank].hop = hops[0];
        free(hops);
        if (rc != BELAY_OK) {
            report_clear(r);
            return rc;
        }
        join(r, rank);
    }
    return BELAY_OK;
}

/* --- text --- */

/* The job ended as it was meant to: nothing failed, and the line says where it would begin if it were started again. */
static bool ended_well(const bl_story *story)
{
    const bl_job *job = story->view->job;
    return story->incarnation == job->incarnation &&
           (strcmp(job->state, "finished") == 0 || strcmp(job->state, "stopped") == 0);
}

static void print_death(const char *before, const bl_live_header *table)
{
    printf("  %srank %u %s", before, table->rank, how_it_ended(table).s);
    if (table->safe_point != UINT64_MAX)
        printf(" at safe point %" PRIu64, table->safe_point);
    double seconds = bl_seconds(table->safe_point_ns) - bl_seconds(table->checkpoint_ns);
    if (table->checkpoint_ns > 0 && table->safe_point_ns > 0 && seconds >= TIME_SHOWN_S)
        printf(", %s after %s", bl_text_seconds(seconds).s, table->checkpoint ? "its last checkpoint" : "it began");
    printf(" (host %s, process %d)\n", bl_text_clean(table->host).s, (int)table->pid);
}

static void print_causes(const report *r, enum bl_alive alive)
{
    const bl_story *story = r->story;
    uint32_t died = 0, stopped = 0;
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        stopped += story->seen[rank] && story->table[rank].state == BL_LIVE_STOPPED;
        if (story->seen[rank] && bl_story_died(&story->table[rank]) && ++died <= RANKS_SHOWN)
            print_death("", &story->table[rank]);
    }
    if (died > RANKS_SHOWN)
        printf("  and %s more\n", bl_text_count(died - RANKS_SHOWN, "rank").s);
    if (stopped == story->ranks)
        printf("  it stopped after a checkpoint because it was asked to\n");
    else if (died == 0 && story->tables && alive == BL_ALIVE_NO && !ended_well(story))
        printf("  no rank recorded how it ended (a signal from outside, a crash or a lost node leaves no word)\n");
    if (story->tables == 0)
        printf("  there are no live tables: what happened after %s is not known\n", place_of(story, story->last).s);
    else if (story->tables < story->ranks)
        printf("  %s left no readable live table\n", bl_text_count(story->ranks - story->tables, "rank").s);
}

/* Why the incarnation before this one ended, as far as its tables are still there. */
static void print_before(const bl_story *story)
{
    bool told = false;
    for (uint32_t rank = 0; story->incarnation && !told && rank < story->ranks; rank++) {
        bl_live live;
        bl_error err;
        if (bl_live_read(story->view->store, rank, story->incarnation - 1, &live, &err) != BELAY_OK)
            continue;
        told = bl_story_died(live.header);
        if (told)
            print_death("before: ", live.header);
        bl_live_free(&live);
    }
    if (told)
        printf("  (belay line --incarnation %u explains that one)\n", story->incarnation - 1);
}

static void print_head(const report *r, enum bl_alive alive)
{
    const bl_story *story = r->story;
    const bl_job *job = story->view->job;
    bl_text state = bl_text_clean(job->state);
    printf("Job %s: %s, %s, incarnation %u, ", job->id, bl_text_clean(job->program).s, bl_text_count(job->ranks, "rank").s,
           story->incarnation);
    if (story->incarnation < job->incarnation)
        printf("after which incarnation %u followed\n", story->incarnation + 1);
    else if (alive != BL_ALIVE_NO)
        printf("running: this is what a failure would cost now\n");
    else if (ended_well(story))
        printf("%s\n", strcmp(state.s, "stopped") == 0
                           ? "stopped as asked: started again, it continues from here"
                           : "finished: nothing to recover; had it failed at the very end, this would be the line");
    else
        printf("%s\n", strcmp(state.s, "running") == 0 ? "died" : state.s);
    print_causes(r, alive);
    print_before(story);
    for (size_t k = 0; k < story->notes; k++)
        printf("  note: %s\n", story->note[k]);
    if (story->notes_lost)
        printf("  note: and %zu more\n", story->notes_lost);
}

static int print_table(const report *r, bl_error *err)
{
    const bl_story *story = r->story;
    bl_table table = {.columns = "lllr"};
    bl_table_cell(&table, "ranks");
    bl_table_cell(&table, "restart at");
    bl_table_cell(&table, "lose");
    bl_table_cell(&table, "safe point");
    for (size_t k = 0; k < r->groups; k++) {
        const group *g = &r->group[k];
        const bl_text who = bl_text_ranks(g->member, story->ranks);
        bl_table_cell(&table, "%s", strchr(who.s, ' ') + 1);
        const char *kept = g->ranks == 1 ? "keeps its memory" : "keep their memory";
        bl_table_cell(&table, "%s", g->keeps ? kept : place_of(story, g->cut).s);
        bl_table_cell(&table, "%s", g->keeps ? "nothing"
                                             : points_and_seconds(g->least_points, g->most_points, g->least_s, g->most_s).s);
        if (g->keeps || g->cut == 0)
            bl_table_cell(&table, "%s", g->keeps ? "-" : "0");
        else
            bl_table_cell(&table, "%llu", (unsigned long long)story->at[g->cut]->record.safe_point);
    }
    return bl_table_print(&table, "  ", err);
}

/* The whole certificate of a rank, when the sentences about its neighbours do not stand above it. */
static int print_chain(const bl_story *story, uint32_t rank, bl_error *err)
{
    bl_hop *hops = NULL;
    size_t count = 0;
    int rc = bl_line_why(story->graph, &story->line, rank, &hops, &count, err);
    for (size_t k = 0; rc == BELAY_OK && k < count; k++) {
        if (count > HOPS_SHOWN && k == HOPS_SHOWN - 1) {
            printf("      ... and so on, %s further ...\n", bl_text_count(count - HOPS_SHOWN, "rank").s);
            k = count - 1;
        }
        print_hop(story, k ? "      " : "    for example: ", &hops[k]);
    }
    free(hops);
    return rc;
}

static int by_length(const void *a, const void *b)
{
    const reason *x = *(const reason *const *)a, *y = *(const reason *const *)b;
    if (x->count != y->count)
        return x->count < y->count ? -1 : 1;
    return x->hop.rank < y->hop.rank ? -1 : x->hop.rank > y->hop.rank;
}

/* Few ranks: one sentence each, shortest chain first, so that every reason stands above what it explains. */
static void print_each(const report *r)
{
    const reason *order[RANKS_SHOWN];
    size_t count = 0;
    for (uint32_t rank = 0; rank < r->story->ranks; rank++)
        if (r->why[rank].count)
            order[count++] = &r->why[rank];
    qsort(order, count, sizeof *order, by_length);
    for (size_t k = 0; k < count; k++)
        print_hop(r->story, "  ", &order[k]->hop);
}

static const char *in_general(enum bl_hop_cause cause)
{
    switch (cause) {
    case BL_HOP_FAILED: return "failed, and what they held in memory is gone";
    case BL_HOP_ORPHAN: return "received messages that their senders, set back, have not sent yet";
    case BL_HOP_LOST: return "sent messages that are gone with their receivers";
    case BL_HOP_COLLECTIVE: return "took part in collective operations with ranks that are set back";
    }
    return "";
}

static int print_group(const report *r, const group *g, bl_error *err)
{
    bool failed = g->cause == BL_HOP_FAILED;
    if (g->ranks == 1 && (failed || r->why[g->example].count <= 2))
        print_hop(r->story, "  ", &r->why[g->example].hop);
    else
        printf("  %s go back to %s: they %s\n", bl_text_ranks(g->member, r->story->ranks).s, place_of(r->story, g->cut).s,
               in_general(g->cause));
    return g->ranks > 1 && !failed ? print_chain(r->story, g->example, err) : BELAY_OK;
}

/* The failed ones first: they are the reason of the others. */
static int print_grouped(const report *r, bl_error *err)
{
    int rc = BELAY_OK;
    for (int failed = 1; failed >= 0; failed--)
        for (size_t k = 0; rc == BELAY_OK && k < r->groups; k++)
            if (!r->group[k].keeps && (r->group[k].cause == BL_HOP_FAILED) == failed)
                rc = print_group(r, &r->group[k], err);
    return rc;
}

static int print_why(const report *r, bl_error *err)
{
    printf("\nWhy\n");
    if (r->story->assumed)
        printf("  %s\n", ended_well(r->story) ? "no rank keeps its memory over the end of a job"
                                              : "every rank is taken as failed: what they held in memory is gone");
    else if (r->story->ranks <= RANKS_SHOWN)
        print_each(r);
    else
        return print_grouped(r, err);
    return BELAY_OK;
}

static void print_domino(const bl_story *story)
{
    uint32_t deepest = 0;
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        deepest = story->line.depth[rank] > deepest ? story->line.depth[rank] : deepest;
    printf("\n");
    if (story->last == 0)
        printf("There is no checkpoint yet: what fails begins again from the start.\n");
    else if (deepest == 0 && !story->crossing && *story->protocol)
        printf("Nobody goes back further than %s, the newest, because no message crosses a %s checkpoint.\n",
               place_of(story, story->last).s, bl_text_clean(story->protocol).s);
    else if (deepest == 0)
        printf("Nobody goes back further than %s, the newest.\n", place_of(story, story->last).s);
    else if (story->line.total_domino)
        printf("Domino effect: some ranks are thrown back to the start, over all %u checkpoints.\n", story->last);
    else
        printf("Domino effect: ranks go back up to %s behind the newest.\n", bl_text_count(deepest, "checkpoint").s);
}

/* The ranks a relaunch takes along although the line spares them. */
static void print_spared(const bl_story *story)
{
    uint8_t *spared = calloc(story->ranks, 1);
    uint32_t count = 0;
    for (uint32_t rank = 0; spared && rank < story->ranks; rank++)
        count += spared[rank] = story->line.cut[rank] > story->last;
    if (count)
        printf(", also %s, which could have gone on", bl_text_ranks(spared, story->ranks).s);
    printf(".\n");
    free(spared);
}

static void print_relaunch(const bl_story *story)
{
    uint32_t low = story->relaunch.cut[0], high = low;
    for (uint32_t rank = 1; rank < story->ranks; rank++) {
        low = story->relaunch.cut[rank] < low ? story->relaunch.cut[rank] : low;
        high = story->relaunch.cut[rank] > high ? story->relaunch.cut[rank] : high;
    }
    if (low == high)
        printf("Recovery is by relaunch: every rank restarts at %s", place_of(story, low).s);
    else
        printf("Recovery is by relaunch: every rank restarts, between %s and %s", place_of(story, low).s,
               place_of(story, high).s);
    print_spared(story);
}

/* An older incarnation was told of: how the job went on. */
static void print_since(const bl_story *story)
{
    const bl_view *view = story->view;
    const bl_view_checkpoint *restart = bl_view_restart(view);
    if (story->incarnation == view->job->incarnation)
        return;
    printf("Incarnation %u of the job is %s; a failure now would go back to ", view->job->incarnation,
           bl_text_clean(view->job->state).s);
    if (restart)
        printf("checkpoint %u.\n", restart->number);
    else
        printf("the start.\n");
}

static int print_report(const report *r, enum bl_alive alive, bl_error *err)
{
    const bl_story *story = r->story;
    print_head(r, alive);
    printf("\nRecovery line (no orphan and no lost message; checked)\n");
    int rc = print_table(r, err);
    if (rc == BELAY_OK)
        rc = print_why(r, err);
    if (rc == BELAY_OK) {
        print_domino(story);
        print_relaunch(story);
        print_since(story);
    }
    return rc;
}

/* --- JSON --- */

static const char *cause_name(enum bl_hop_cause cause)
{
    static const char *const name[] = {"failed", "orphan", "lost", "collective"};
    return name[cause];
}

/* The first hop; by_rank's own entry has the next one. */
static json_t *json_why(const report *r, uint32_t rank)
{
    const reason *why = &r->why[rank];
    const bl_story *story = r->story;
    if (why->count == 0)
        return json_null();
    json_t *out = json_pack("{s:s, s:I}", "cause", cause_name(why->hop.cause), "hops", (json_int_t)why->count);
    if (out && why->hop.cause != BL_HOP_FAILED)
        json_object_set_new(out, "by", json_pack("{s:I, s:I, s:I, s:b}", "rank", (json_int_t)why->hop.by_rank,
            "after_checkpoint", (json_int_t)bl_story_number(story, why->hop.by_interval - 1),
            "own_after_checkpoint", (json_int_t)bl_story_number(story, why->hop.own - 1),
            "undelivered", why->hop.by_interval > story->last + 1));
    return out;
}

static json_t *json_rank(const report *r, uint32_t rank)
{
    const bl_story *story = r->story;
    const bl_live_header *table = &story->table[rank];
    uint32_t cut = story->line.cut[rank];
    uint64_t points;
    double seconds;
    bl_story_loss(story, rank, cut, &points, &seconds);
    json_t *out = json_pack("{s:I, s:b, s:I, s:o, s:I, s:o, s:o}", "rank", (json_int_t)rank, "failed", story->failed[rank],
        "depth", (json_int_t)story->line.depth[rank],
        "restart", cut > story->last ? json_null() : json_integer(bl_story_number(story, cut)),
        "lost_safe_points", (json_int_t)points, "lost_seconds", seconds < 0 ? json_null() : json_real(seconds),
        "why", json_why(r, rank));
    if (out && story->seen[rank])
        json_object_set_new(out, "table", json_pack("{s:i, s:i, s:s, s:s, s:i, s:o}", "state", (int)table->state, "code",
            (int)table->code, "ended", how_it_ended(table).s, "host", bl_text_clean(table->host).s, "process", (int)table->pid,
            "safe_point", table->safe_point == UINT64_MAX ? json_null() : json_integer((json_int_t)table->safe_point)));
    return out;
}

static json_t *json_lists(const report *r, json_t *out)
{
    const bl_story *story = r->story;
    const bl_view_checkpoint *now = bl_view_restart(story->view);
    json_t *ranks = json_array(), *pairs = json_array(), *notes = json_array(), *checkpoints = json_array();
    for (uint32_t rank = 0; rank < story->ranks; rank++)
        json_array_append_new(ranks, json_rank(r, rank));
    for (size_t k = 0; k < story->pairs; k++)
        json_array_append_new(pairs, json_pack("{s:I, s:I, s:I, s:I}", "from", (json_int_t)story->traffic[k].from, "to",
            (json_int_t)story->traffic[k].to, "sent", (json_int_t)story->traffic[k].sent, "received",
            (json_int_t)story->traffic[k].received));
    for (size_t k = 0; k < story->notes; k++)
        json_array_append_new(notes, bl_json_sentence(story->note[k]));
    for (uint32_t d = 1; d <= story->last; d++)
        json_array_append_new(checkpoints, json_integer(story->at[d]->number));
    json_object_set_new(out, "restart_now", now ? json_integer(now->number) : json_null());
    json_object_set_new(out, "checkpoints", checkpoints);
    json_object_set_new(out, "ranks", ranks);
    json_object_set_new(out, "open_interval", pairs);
    json_object_set_new(out, "notes", notes);
    return out;
}

static int print_json(const report *r, enum bl_alive alive, bl_error *err)
{
    const bl_story *story = r->story;
    const bl_job *job = story->view->job;
    json_t *out = json_pack("{s:s, s:s, s:I, s:I, s:s, s:b, s:s, s:b, s:b, s:I, s:b, s:b, s:I}", "job", job->id, "program",
        bl_text_clean(job->program).s, "incarnation", (json_int_t)story->incarnation, "newest_incarnation",
        (json_int_t)job->incarnation, "state", bl_text_clean(job->state).s, "alive", alive != BL_ALIVE_NO, "mode", "transitless",
        "checked", 1, "all_taken_as_failed", story->assumed, "domino_depth", (json_int_t)story->line.domino_depth,
        "total_domino", story->line.total_domino != 0, "crossing_messages", story->crossing, "relaunch_restart",
        (json_int_t)bl_story_number(story, story->relaunch.cut[0]));
    return bl_print_json(out ? json_lists(r, out) : NULL, err);
}

/* --- the command --- */

/* "2", "0,4-7" or "all" to a set; BELAY_ERR_ARG names what is wrong. */
static int parse_fail(const char *text, uint32_t ranks, uint8_t *failed, bl_error *err)
{
    bool all = strcmp(text, "all") == 0;
    memset(failed, all, ranks);
    for (const char *at = text; !all;) {
        char *end;
        unsigned long long low = strtoull(at, &end, 10), high = low;
        bool good = end != at && *at >= '0' && *at <= '9';
        if (good && *end == '-') {
            at = end + 1;
            high = strtoull(at, &end, 10);
            good = end != at && *at >= '0' && *at <= '9';
        }
        if (!good || low > high || (*end && *end != ','))
            return bl_fail(err, BELAY_ERR_ARG, "--fail '%.80s' is not a list of ranks: write 2 or 0,4-7 or all", text);
        if (high >= ranks)
            return bl_fail(err, BELAY_ERR_ARG, "--fail names rank %llu; this job has ranks 0 to %u", high, ranks - 1);
        memset(failed + low, 1, (size_t)(high - low + 1));
        if (!*end)
            break;
        at = end + 1;
    }
    return BELAY_OK;
}

static int solve(const bl_args *args, bl_story *story, bl_error *err)
{
    uint8_t *failed = NULL;
    if (args->fail) {
        failed = malloc(story->ranks);
        if (!failed)
            return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
        int rc = parse_fail(args->fail, story->ranks, failed, err);
        if (rc != BELAY_OK) {
            free(failed);
            return rc;
        }
    }
    int rc = bl_story_solve(story, failed, err);
    free(failed);
    return rc;
}

/* The newest incarnation that left tables; but of a job that has ended well after a failure, the one that failed. */
static uint32_t worth_telling(const bl_view *view)
{
    uint32_t newest = view->newest_table;
    bool over = strcmp(view->job->state, "finished") == 0 || strcmp(view->job->state, "stopped") == 0;
    if (!over || newest == 0 || newest < view->job->incarnation)
        return UINT32_MAX;
    for (uint32_t rank = 0; rank < view->job->ranks; rank++) {
        bl_live live;
        bl_error err;
        if (bl_live_read(view->store, rank, newest - 1, &live, &err) != BELAY_OK)
            continue;
        bool stopped = live.header->state == BL_LIVE_STOPPED;
        bl_live_free(&live);
        return stopped ? UINT32_MAX : newest - 1;
    }
    return UINT32_MAX;
}

static int tell(const bl_args *args, const bl_view *view, bl_error *err)
{
    bl_story story;
    bl_live_header who;
    int rc = bl_story_read(view, args->has_incarnation ? args->incarnation : worth_telling(view), &story, err);
    if (rc != BELAY_OK)
        return rc;
    rc = solve(args, &story, err);
    report r;
    if (rc == BELAY_OK)
        rc = report_make(&story, &r, err);
    if (rc == BELAY_OK) {
        enum bl_alive alive = bl_view_alive(view, &who);
        rc = args->json ? print_json(&r, alive, err) : print_report(&r, alive, err);
        report_clear(&r);
    }
    bl_story_clear(&story);
    return rc;
}

static int run(const bl_args *args, bl_error *err)
{
    bl_view view;
    int rc = bl_view_load(args->dir, &view, err);
    if (rc == BELAY_OK && args->has_incarnation && args->incarnation > view.job->incarnation)
        rc = bl_fail(err, BELAY_ERR_ARG, "--incarnation %u: the newest one is %u", args->incarnation, view.job->incarnation);
    if (rc == BELAY_OK)
        rc = tell(args, &view, err);
    bl_view_free(&view);
    return rc == BELAY_OK ? BL_EXIT_OK : bl_exit_of(err);
}

const bl_command bl_command_line = {
    .name = "line",
    .summary = "the recovery line: who restarts where, what is lost, and why",
    .usage = "usage: belay line [--fail R[,R...]|all] [--incarnation I] [--dir DIR] [--json]\n"
             "\n"
             "Shows from which checkpoint each rank restarts, what is lost, and why.  Computed from the committed\n"
             "checkpoints and the message counters the ranks left; the result is checked by an independent checker.\n"
             "\n"
             "  --fail R[,R...]|all  the ranks that lose their memory (0,4-7); default: those that recorded that they died,\n"
             "                       or all of them when none did\n"
             "  --incarnation I      as it stood at the end of incarnation I; default: the newest that left counters, or the\n"
             "                       last that failed when the job has ended well\n"
             "  --dir DIR            the job directory (default: BELAY_DIR, or belay.d)\n"
             "  --json               everything, for programs\n",
    .options = "fidj",
    .run = run,
};
