#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/journals.h"
#include "tool/report.h"
#include "util/clock.h"
#include "util/settings.h"

/* A long chain is told by its first steps and its last. */
enum { HOPS_FIRST = 4, HOPS_LAST = 2 };

/* The tables hold the time of a safe point only now and then: less than this may be nothing but that. */
#define TIME_SHOWN_S 0.05

/* --- words --- */

static bl_text place_of(const bl_story *story, uint32_t rank, uint32_t dense)
{
    bl_text text = {"the start"};
    if (dense)
        snprintf(text.s, sizeof text.s, "checkpoint %u", bl_story_number(story, rank, dense));
    return text;
}

/* "in interval 5": the one that ends with checkpoint 5. */
static bl_text during(const bl_story *story, const bl_hop *hop)
{
    bl_text text = {"since then"};
    if (hop->own <= bl_story_last(story, hop->rank))
        snprintf(text.s, sizeof text.s, "in interval %u", bl_story_number(story, hop->rank, hop->own));
    return text;
}

static bl_text messages(uint64_t count)
{
    bl_text text = {"messages"};
    return count ? bl_text_count(count, "message") : text;
}

/* A hop and, in by_to, where the other rank had gone back to by then. */
static void print_hop(const bl_story *story, const char *indent, const bl_hop *hop, uint32_t by_to)
{
    bl_hop all = *hop;
    uint64_t count = 0;
    all.by_interval = by_to + 1;
    if (hop->cause == BL_HOP_FAILED) {
        printf("%srank %u goes back to %s: it failed, and what it held in memory is gone\n", indent, hop->rank,
               place_of(story, hop->rank, hop->to).s);
        return;
    }
    bool arrived = hop->cause != BL_HOP_LOST || hop->by_interval <= bl_story_last(story, hop->by_rank) + 1;
    if (arrived && !story->thinned)
        bl_story_count(story, &all, 1, &count);
    const bl_text own = during(story, hop), its = place_of(story, hop->by_rank, by_to);
    printf("%srank %u must go back to %s because %s it ", indent, hop->rank, place_of(story, hop->rank, hop->to).s, own.s);
    if (hop->cause == BL_HOP_COLLECTIVE)
        printf("took part in a collective operation with rank %u, which keeps nothing after %s\n", hop->by_rank, its.s);
    else if (hop->cause == BL_HOP_ORPHAN)
        printf("received %s that rank %u sent after %s, the last it keeps\n", messages(count).s, hop->by_rank, its.s);
    else if (arrived)
        printf("sent %s that rank %u received after %s, the last it keeps\n", messages(count).s, hop->by_rank, its.s);
    else
        printf("sent messages to rank %u that had not arrived and are gone\n", hop->by_rank);
}

static bl_text points_and_seconds(const bl_group *g)
{
    bl_text text, points = bl_text_count(g->most_points, "safe point");
    if (g->least_points != g->most_points)
        snprintf(points.s, sizeof points.s, "%.32s to %.48s", bl_text_number(g->least_points).s,
                 bl_text_count(g->most_points, "safe point").s);
    if (g->most_s < TIME_SHOWN_S)
        snprintf(text.s, sizeof text.s, "%.80s", points.s);
    else if (g->least_s < TIME_SHOWN_S)
        snprintf(text.s, sizeof text.s, "%.80s, up to %.32s", points.s, bl_text_seconds(g->most_s).s);
    else if (strcmp(bl_text_seconds(g->least_s).s, bl_text_seconds(g->most_s).s) == 0)
        snprintf(text.s, sizeof text.s, "%.80s, %.32s", points.s, bl_text_seconds(g->most_s).s);
    else
        snprintf(text.s, sizeof text.s, "%.50s, %.24s to %.24s", points.s, bl_text_seconds(g->least_s).s,
                 bl_text_seconds(g->most_s).s);
    return text;
}

/* An amount of work: time, or steps of a text trace. */
static bl_text work(const bl_story *story, double amount)
{
    bl_text text = {"?"};
    if (isnan(amount))
        return text;
    if (bl_loss_unit(story) == BL_UNIT_SECONDS)
        return bl_text_seconds(amount);
    snprintf(text.s, sizeof text.s, "%.3g step%s", amount, amount > 0.995 && amount < 1.005 ? "" : "s");
    return text;
}

/* --- how it ended --- */

static void print_death(const char *before, const bl_live_header *table)
{
    printf("  %srank %u %s", before, table->rank, bl_report_end(table).s);
    if (table->safe_point != UINT64_MAX)
        printf(" at safe point %" PRIu64, table->safe_point);
    double seconds = bl_seconds(table->safe_point_ns) - bl_seconds(table->checkpoint_ns);
    if (table->checkpoint_ns > 0 && table->safe_point_ns > 0 && seconds >= TIME_SHOWN_S)
        printf(", %s after %s", bl_text_seconds(seconds).s, table->checkpoint ? "its last checkpoint" : "it began");
    if (table->host[0] && table->pid)
        printf(" (host %s, process %d)", bl_text_clean(table->host).s, (int)table->pid);
    else if (table->host[0])
        printf(" (host %s)", bl_text_clean(table->host).s);
    printf("\n");
}

static void print_causes(const bl_story *story, enum bl_alive alive)
{
    uint32_t died = 0, stopped = 0;
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        stopped += story->seen[rank] && story->table[rank].state == BL_LIVE_STOPPED;
        if (story->seen[rank] && bl_story_died(&story->table[rank]) && ++died <= BL_RANKS_SHOWN)
            print_death("", &story->table[rank]);
    }
    if (died > BL_RANKS_SHOWN)
        printf("  and %s more\n", bl_text_count(died - BL_RANKS_SHOWN, "rank").s);
    if (stopped == story->ranks)
        printf("  it stopped after a checkpoint because it was asked to\n");
    else if (died == 0 && story->tables && alive == BL_ALIVE_NO && !bl_report_ended_well(story))
        printf("  no rank recorded how it ended (a signal from outside, a crash or a lost node leaves no word)\n");
    if (story->tables == 0 && story->source == BL_STORY_COORDINATED)
        printf("  there are no live tables: what happened after %s is not known\n",
               place_of(story, 0, bl_story_last(story, 0)).s);
    else if (story->tables == 0)
        printf("  there are no live tables: what happened after the last checkpoints is not known\n");
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

static void print_job(const bl_story *story, enum bl_alive alive)
{
    const bl_job *job = story->view->job;
    bl_text state = bl_text_clean(job->state);
    printf("Job %s: %s, %s, incarnation %u, ", job->id, bl_text_clean(job->program).s, bl_text_count(job->ranks, "rank").s,
           story->incarnation);
    if (story->incarnation < job->incarnation)
        printf("after which incarnation %u followed\n", story->incarnation + 1);
    else if (alive != BL_ALIVE_NO)
        printf("running: this is what a failure would cost now\n");
    else if (bl_report_ended_well(story))
        printf("%s\n", strcmp(state.s, "stopped") == 0
                           ? "stopped as asked: started again, it continues from here"
                           : "finished: nothing to recover; had it failed at the very end, this would be the line");
    else
        printf("%s\n", strcmp(state.s, "running") == 0 ? "died" : state.s);
}

static void print_head(const bl_story *story, enum bl_alive alive)
{
    if (story->view)
        print_job(story, alive);
    else
        printf("Trace %s: %s\n", story->from, bl_text_count(story->ranks, "rank").s);
    if (story->source != BL_STORY_TEXT)
        print_causes(story, alive);
    if (story->view)
        print_before(story);
    for (size_t k = 0; k < story->notes; k++)
        printf("  note: %s\n", story->note[k]);
    if (story->notes_lost)
        printf("  note: and %zu more\n", story->notes_lost);
}

/* --- the line --- */

static bl_text restart_of(const bl_story *story, const bl_group *g)
{
    bl_text text = {"keep their memory"};
    if (g->keeps && g->ranks == 1)
        snprintf(text.s, sizeof text.s, "keeps its memory");
    if (g->keeps)
        return text;
    if (g->low == g->high)
        return place_of(story, g->example, g->cut);
    snprintf(text.s, sizeof text.s, "checkpoints %u to %u", g->low, g->high);
    return text;
}

static void last_cell(const bl_story *story, const bl_group *g, bl_table *table)
{
    if (g->keeps)
        bl_table_cell(table, "-");
    else if (story->source != BL_STORY_COORDINATED)
        bl_table_cell(table, "%u", g->depth);
    else
        bl_table_cell(table, "%" PRIu64, bl_story_point(story, g->example, g->cut)->safe_point);
}

static int print_table(const bl_report *r, bl_error *err)
{
    const bl_story *story = r->story;
    bool text = story->source == BL_STORY_TEXT;
    bl_table table = {.columns = text ? "llr" : "lllr"};
    bl_table_cell(&table, "ranks");
    bl_table_cell(&table, "restart at");
    if (!text)
        bl_table_cell(&table, "lose");
    bl_table_cell(&table, story->source == BL_STORY_COORDINATED ? "safe point" : "checkpoints undone");
    for (size_t k = 0; k < r->groups; k++) {
        const bl_group *g = &r->group[k];
        const bl_text who = bl_text_ranks(g->member, story->ranks);
        bl_table_cell(&table, "%s", strchr(who.s, ' ') + 1);
        bl_table_cell(&table, "%s", restart_of(story, g).s);
        if (!text)
            bl_table_cell(&table, "%s", g->keeps ? "nothing" : points_and_seconds(g).s);
        last_cell(story, g, &table);
    }
    return bl_table_print(&table, "  ", err);
}

/* --- why --- */

/* told (may be NULL): set for the ranks whose restart the chain has explained. */
static int print_chain(const bl_story *story, uint32_t rank, const char *indent, bool *told, bl_error *err)
{
    bl_hop *hops = NULL;
    size_t count = 0;
    int rc = bl_line_why(story->graph, &story->line, rank, &hops, &count, err);
    for (size_t k = count; rc == BELAY_OK && k-- > 0;) {
        if (count > HOPS_FIRST + HOPS_LAST + 1 && k == count - HOPS_FIRST - 1) {
            printf("%s... and so on, %s ...\n", indent, bl_text_count(k + 1 - HOPS_LAST, "step").s);
            k = HOPS_LAST - 1;
        }
        print_hop(story, indent, &hops[k], k + 1 < count ? hops[k + 1].to : 0);
        if (told && hops[k].to == story->line.cut[hops[k].rank])
            told[hops[k].rank] = true;
    }
    free(hops);
    return rc;
}

static int by_length(const void *a, const void *b)
{
    const bl_reason *x = *(const bl_reason *const *)a, *y = *(const bl_reason *const *)b;
    if (x->count != y->count)
        return x->count < y->count ? -1 : 1;
    return x->hop.rank < y->hop.rank ? -1 : x->hop.rank > y->hop.rank;
}

/* Few ranks: one sentence each, shortest chain first, so that every reason stands above what it explains. */
static void print_each(const bl_report *r, const bool *told)
{
    const bl_reason *order[BL_RANKS_SHOWN];
    size_t count = 0;
    for (uint32_t rank = 0; rank < r->story->ranks; rank++)
        if (r->why[rank].count && !told[rank])
            order[count++] = &r->why[rank];
    if (count > 1)
        qsort(order, count, sizeof *order, by_length);
    for (size_t k = 0; k < count; k++)
        print_hop(r->story, "  ", &order[k]->hop, order[k]->by_to);
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

static int print_group(const bl_report *r, const bl_group *g, bool *chain, bl_error *err)
{
    bool failed = g->cause == BL_HOP_FAILED;
    const bl_reason *why = &r->why[g->example];
    if (g->ranks == 1 && (failed || why->count <= 2)) {
        print_hop(r->story, "  ", &why->hop, why->by_to);
        return BELAY_OK;
    }
    printf("  %s %s to %s: they %s\n", bl_text_ranks(g->member, r->story->ranks).s, g->ranks == 1 ? "goes back" : "go back",
           restart_of(r->story, g).s, g->mixed ? "exchanged messages with ranks that are set back" : in_general(g->cause));
    if (failed || *chain)
        return BELAY_OK;
    *chain = true;
    uint32_t longest = bl_report_longest(r);
    printf("    for example, up to rank %u:\n", longest);
    return print_chain(r->story, longest, "      ", NULL, err);
}

/* The failed ones first: they are the reason of the others. */
static int print_grouped(const bl_report *r, bl_error *err)
{
    bool chain = false;
    int rc = BELAY_OK;
    for (int failed = 1; failed >= 0; failed--)
        for (size_t k = 0; rc == BELAY_OK && k < r->groups; k++)
            if (!r->group[k].keeps && (r->group[k].cause == BL_HOP_FAILED) == failed)
                rc = print_group(r, &r->group[k], &chain, err);
    return rc;
}

/* A domino is one story, told from the failure to the rank at its end; then of those that do not end on the way. */
static int print_few(const bl_report *r, bl_error *err)
{
    bool told[BL_RANKS_SHOWN] = {false};
    int rc = r->deepest ? print_chain(r->story, bl_report_longest(r), "  ", told, err) : BELAY_OK;
    if (rc == BELAY_OK)
        print_each(r, told);
    return rc;
}

static int print_why(const bl_report *r, bl_error *err)
{
    const bl_story *story = r->story;
    printf("\nWhy\n");
    if (story->assumed)
        printf("  %s\n", bl_report_ended_well(story) ? "no rank keeps its memory over the end of a job"
                                                     : "every rank is taken as failed: what they held in memory is gone");
    if (story->assumed && r->deepest == 0)
        return BELAY_OK;
    if (story->ranks > BL_RANKS_SHOWN)
        return print_grouped(r, err);
    return print_few(r, err);
}

/* --- how bad it is --- */

static bool back_at_start(const bl_report *r)
{
    for (uint32_t rank = 0; rank < r->story->ranks; rank++)
        if (r->story->line.cut[rank])
            return false;
    return true;
}

static bool logged(const bl_story *story)
{
    return bl_is_logging(story->protocol);
}

static void print_cure(const bl_story *story)
{
    if (strcmp(story->protocol, "coordinated") == 0 || logged(story))
        return;
    if (strcmp(story->protocol, "induced") == 0) {
        printf("What would have prevented it: a safe point between what a rank sends and what it receives next, where\n"
               "messages can force a checkpoint; or all ranks saving together (with belay run, --checkpoint coordinated).\n");
        return;
    }
    printf("What would have prevented it: all ranks saving together, so that no message crosses a checkpoint\n"
           "(with belay run, --checkpoint coordinated); or, where a rank receives before it sends after a safe point,\n"
           "checkpoints that messages force (--checkpoint induced).\n");
}

static void print_domino(const bl_report *r)
{
    const bl_story *story = r->story;
    const bl_text chain = bl_text_count(story->line.domino_depth, "step");
    printf("\n");
    if (r->checkpoints == 0)
        printf("There is no checkpoint yet: what fails begins again from the start.\n");
    else if (r->deepest == 0 && !story->crossing && story->source == BL_STORY_COORDINATED)
        printf("Nobody goes back further than %s, the newest, because no message crosses it.\n",
               place_of(story, 0, bl_story_last(story, 0)).s);
    else if (r->deepest == 0 && story->source == BL_STORY_COORDINATED)
        printf("Nobody goes back further than %s, the newest.\n", place_of(story, 0, bl_story_last(story, 0)).s);
    else if (r->deepest == 0)
        printf("No domino effect: nobody goes back further than its newest checkpoint.\n");
    else if (back_at_start(r))
        printf("Full domino effect: the job is back at the start. A chain of %s has undone %s%s.\n", chain.s,
               r->checkpoints == 1 ? "the only checkpoint" : "all ",
               r->checkpoints == 1 ? "" : bl_text_count(r->checkpoints, "checkpoint").s);
    else if (story->line.total_domino)
        printf("Domino effect: some ranks are thrown back to the start, over up to %s, in a chain of %s.\n",
               bl_text_count(r->deepest, "checkpoint").s, chain.s);
    else
        printf("Domino effect: ranks go back up to %s behind their newest, in a chain of %s.\n",
               bl_text_count(r->deepest, "checkpoint").s, chain.s);
    if (r->deepest)
        print_cure(story);
}

static void list_pairs(const bl_report *r, enum bl_fate fate)
{
    size_t shown = 0, all = 0;
    for (size_t k = 0; k < r->pairs; k++) {
        const bl_pair *p = &r->pair[k];
        uint64_t count = fate == BL_FATE_ORPHAN ? p->orphans : fate == BL_FATE_LOST ? p->lost : p->transit;
        all += count != 0;
        if (count && shown < BL_PAIRS_SHOWN)
            printf("%s %s from rank %u to %u", shown++ ? "," : "", bl_text_number(count).s, p->from, p->to);
    }
    if (all > shown)
        printf(" and %s more", bl_text_count(all - shown, "pair").s);
    printf("\n");
}

static void print_pairs(const bl_report *r, const char *what, const char *meaning, uint64_t total, enum bl_fate fate)
{
    if (total == 0)
        return;
    printf("%s %s (%s):", bl_text_count(total, "message").s, what, meaning);
    list_pairs(r, fate);
}

/* Of few ranks a sentence each, else of all together. */
static void print_transit(const bl_report *r)
{
    size_t pairs = 0;
    for (size_t k = 0; k < r->pairs; k++)
        pairs += r->pair[k].transit != 0;
    for (size_t k = 0; k < r->pairs && pairs <= BL_PAIRS_SHOWN; k++) {
        const bl_pair *p = &r->pair[k];
        const char *one = p->transit == 1 ? " is in transit across the line; its contents are kept and sent again"
                                          : " are in transit across the line; their contents are kept and sent again";
        if (p->transit)
            printf("%s from rank %u to rank %u%s.\n", bl_text_count(p->transit, "message").s, p->from, p->to, one);
    }
    if (pairs <= BL_PAIRS_SHOWN)
        return;
    printf("%s are in transit across the line; their contents are kept and sent again:", bl_text_count(r->transit, "message").s);
    list_pairs(r, BL_FATE_TRANSIT);
}

static void print_broken(const bl_report *r)
{
    print_pairs(r, "orphaned", "received, but not sent any more", r->orphans, BL_FATE_ORPHAN);
    print_pairs(r, "lost", "sent, but not received any more", r->lost, BL_FATE_LOST);
    print_transit(r);
}

static void print_expected(const bl_report *r)
{
    const bl_expected *e = &r->expected;
    if (!e->known)
        return;
    bl_text mean = work(r->story, e->mean), most = work(r->story, e->most);
    printf("The whole job failing at a random moment loses %s a rank on average", mean.s);
    if (!e->exact)
        printf(" (+- %s, 95 %%, from %s drawn by --seed)", work(r->story, e->half).s, bl_text_count(e->moments, "moment").s);
    printf(", %s at worst.\n", most.s);
}

static bl_text forced_among(const bl_report *r)
{
    bl_text text = {""};
    if (strcmp(r->story->protocol, "induced") == 0)
        snprintf(text.s, sizeof text.s, ", %.40s of them forced by messages", bl_text_number(r->forced).s);
    return text;
}

static void print_worth(const bl_report *r)
{
    const bl_story *story = r->story;
    const bl_worst *w = &r->worst;
    if (story->relaunch.cut)
        printf("%s in all%s; %s useless (on no line, whoever fails); %s older than any later line%s.\n",
               bl_text_count(r->checkpoints, "checkpoint").s, forced_among(r).s, bl_text_number(r->useless).s, bl_text_number(r->collectable).s,
               r->collectable && story->view ? " (belay gc removes those)" : "");
    if (w->tried == 0) {
        printf("The job is too large to try what other failures would cost.\n");
        return;
    }
    printf("Worst rank to lose%s: rank %u, which takes %s back", w->tried < story->ranks ? " of those tried" : "", w->rank,
           bl_text_count(w->sum.ranks - 1, "other rank").s);
    if (!isnan(w->sum.lost))
        printf(" and costs %s of work", work(story, w->sum.lost).s);
    printf(".\n");
    print_expected(r);
}

/* --- what if --- */

static bl_text place_in(const bl_report *r, const bl_outcome *o, enum bl_choice choice)
{
    bl_text text = {"the newest checkpoints"};
    if (o->sum.ranks && o->sum.at_start == r->story->ranks)
        snprintf(text.s, sizeof text.s, "the start");
    else if (o->sum.deepest)
        snprintf(text.s, sizeof text.s, "up to %.64s back", bl_text_count(o->sum.deepest, "checkpoint").s);
    else if (choice == BL_COORDINATED)
        snprintf(text.s, sizeof text.s, "the newest checkpoint");
    return text;
}

static int print_whatif(const bl_report *r, bl_error *err)
{
    static const char *const name[BL_CHOICES] = {"as recorded", "checkpoint=coordinated", "checkpoint=induced (BCS)", "induced by FDAS", "induced by HMNR",
                                                 "messages logged, replayed"};
    bl_table table = {.columns = "lrlrrr"};
    static const char *const head[] = {"", "ranks back", "restart at", "lose, a rank", "forced", "to log"};
    if (!r->whatif.outcome[BL_AS_RECORDED].known)
        return BELAY_OK;
    printf("\nThe same messages and the same failure, had the setting been another\n");
    for (size_t k = 0; k < 6; k++)
        bl_table_cell(&table, "%s", head[k]);
    for (size_t k = 0; k < BL_CHOICES; k++) {
        const bl_outcome *o = &r->whatif.outcome[k];
        if (!o->known)
            continue;
        bl_table_cell(&table, "%s", name[k]);
        bl_table_cell(&table, "%s", bl_text_number(o->sum.ranks).s);
        bl_table_cell(&table, "%s", place_in(r, o, (enum bl_choice)k).s);
        bl_table_cell(&table, "%s", work(r->story, o->sum.lost / r->story->ranks).s);
        bl_table_cell(&table, "%s", bl_text_number(o->forced).s);
        bl_table_cell(&table, "%s", bl_text_number(o->logged).s);
    }
    int rc = bl_table_print(&table, "  ", err);
    printf("  (forced: checkpoints taken because a message asked for one; to log: messages whose contents have to be kept)\n");
    return rc;
}

/* --- what comes of it --- */

/* The ranks a relaunch takes along although the line spares them. */
static void print_spared(const bl_story *story)
{
    uint8_t *spared = calloc(story->ranks, 1);
    uint32_t count = 0;
    for (uint32_t rank = 0; spared && rank < story->ranks; rank++)
        count += spared[rank] = story->line.cut[rank] > bl_story_last(story, rank);
    if (count)
        printf(", also %s, which could have gone on", bl_text_ranks(spared, story->ranks).s);
    printf(".\n");
    free(spared);
}

static void print_relaunch(const bl_story *story)
{
    uint32_t low = UINT32_MAX, high = 0;
    if (logged(story)) {
        printf("In a recovery every rank restarts at its own newest checkpoint.\n");
        return;
    }
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        uint32_t number = bl_story_number(story, rank, story->relaunch.cut[rank]);
        low = number < low ? number : low;
        high = number > high ? number : high;
    }
    printf("In a recovery every rank restarts");
    if (high == 0)
        printf(" at the start");
    else if (low == high)
        printf(" at checkpoint %u", low);
    else if (low)
        printf(", between checkpoint %u and checkpoint %u", low, high);
    else
        printf(", between the start and checkpoint %u", high);
    print_spared(story);
}

/* --- with message logging --- */

static void journal_wrong(void *context, uint32_t rank, const bl_error *why)
{
    (void)context;
    fflush(stdout);
    fprintf(stderr, "belay line: rank %u: %s\n", rank, why->text);
}

static bool may_have_orphans(const bl_story *story)
{
    return strcmp(story->protocol, "pessimistic") != 0;
}

static void print_orphans(const bl_story *story, const bl_orphan *orphan)
{
    uint32_t orphans = 0;
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        const bl_orphan *o = &orphan[rank];
        orphans += o->is;
        if (o->is)
            printf("  rank %u is an orphan: it depends on event %u of rank %u, of which the journals have %u; what it did since is undone\n", rank,
                   o->needs, o->needs_rank, o->known);
        if (o->given_back)
            printf("  rank %u has lost its last %s with its node; others hold them, and it repeats them\n", rank, bl_text_count(o->given_back, "event").s);
    }
    if (!orphans)
        printf("  no orphans: nothing that anybody depends on is lost\n");
}

/* What the restart will be; the rest of the report is what it would be without the journals. */
static int print_logged(const bl_story *story, enum bl_alive alive, bl_error *err)
{
    bl_table table = {.columns = "lllr"};
    bl_journals journals = {0};
    bl_orphan *orphan = NULL;
    int running = alive != BL_ALIVE_NO;
    int rc = running ? BELAY_OK : bl_journals_read(story->view->store, story->ranks, journal_wrong, NULL, &journals, err);
    if (rc == BELAY_OK && !running && may_have_orphans(story))
        rc = bl_journals_orphans(story->view->store, story->ranks, &orphan, err);
    if (rc != BELAY_OK)
        return rc;
    printf("\nRecovery with the log (logging=%s): each rank restarts from its own newest checkpoint%s\n", bl_text_clean(story->protocol).s,
           may_have_orphans(story) ? " that needs nothing\nthat is lost and repeats what it did since, fed from the journals; only orphans go back because of another"
                                   : " and repeats what it did\nsince, fed from the journals; nobody goes back because of another");
    if (orphan)
        print_orphans(story, orphan);
    bl_table_cell(&table, "rank");
    bl_table_cell(&table, "restart at");
    bl_table_cell(&table, "repeat");
    bl_table_cell(&table, running ? "" : "log of what it sent");
    for (uint32_t rank = 0; rank < story->ranks && rank < BL_GROUPS_MAX; rank++) {
        bl_group own = {0};
        uint64_t points;
        double seconds;
        bl_story_loss(story, rank, bl_orphan_restart(story, rank, orphan), &points, &seconds);
        own.least_points = own.most_points = points;
        own.least_s = own.most_s = seconds > 0 ? seconds : 0;
        bl_table_cell(&table, "%u", rank);
        bl_table_cell(&table, "%s", place_of(story, rank, bl_orphan_restart(story, rank, orphan)).s);
        bl_table_cell(&table, "%s", points_and_seconds(&own).s);
        if (running)
            bl_table_cell(&table, "%s", "");
        else
            bl_table_cell(&table, "%s, %s", bl_text_count(journals.rank[rank].messages, "message").s,
                          bl_text_size(journals.rank[rank].bytes).s);
    }
    rc = bl_table_print(&table, "  ", err);
    if (story->ranks > BL_GROUPS_MAX)
        printf("  and %s more\n", bl_text_count(story->ranks - BL_GROUPS_MAX, "rank").s);
    if (!running)
        printf("In the journals: %s with %s, and %s of what chance decided.\n", bl_text_count(journals.sum.messages, "message").s,
               bl_text_size(journals.sum.bytes).s, bl_text_count(journals.sum.events, "event").s);
    for (size_t k = 0; k < journals.pairs && k < BL_PAIRS_SHOWN; k++)
        printf("%s%s (%s) from rank %u to %u", k ? ", " : "Most of it: ", bl_text_size(journals.pair[k].bytes).s,
               bl_text_count(journals.pair[k].messages, "message").s, journals.pair[k].from, journals.pair[k].to);
    if (journals.pairs)
        printf(".\n");
    bl_journals_clear(&journals);
    free(orphan);
    return rc;
}

int bl_report_messages(const bl_report *r, enum bl_alive alive, bl_error *err)
{
    const bl_story *story = r->story;
    bl_fed_channel *channel = NULL;
    size_t channels = 0;
    if (!story->view || !logged(story))
        return bl_fail(err, BELAY_ERR_REFUSED, "--messages tells what journals hold: of a job directory with message logging");
    if (alive != BL_ALIVE_NO)
        return bl_fail(err, BELAY_ERR_REFUSED, "--messages: the job is running, and writes its journals");
    bl_orphan *orphan = NULL;
    uint32_t *restart = malloc(story->ranks * sizeof *restart);
    int rc = restart ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    if (rc == BELAY_OK && may_have_orphans(story))
        rc = bl_journals_orphans(story->view->store, story->ranks, &orphan, err);
    for (uint32_t rank = 0; rc == BELAY_OK && rank < story->ranks; rank++)
        restart[rank] = bl_story_number(story, rank, bl_orphan_restart(story, rank, orphan));
    free(orphan);
    if (rc == BELAY_OK)
        rc = bl_journals_fed(story->view->store, story->ranks, restart, &channel, &channels, err);
    free(restart);
    if (rc != BELAY_OK)
        return rc;
    bl_table table = {.columns = "rrrlrr"};
    printf("\nTaken from the journals by a restart: sent, and not received before the receiver's checkpoint (or not received at all)\n");
    static const char *const head[] = {"to", "from", "tag", "messages", "count", "size"};
    for (size_t k = 0; k < sizeof head / sizeof *head; k++)
        bl_table_cell(&table, "%s", head[k]);
    for (size_t k = 0; k < channels; k++) {
        const bl_fed_channel *c = &channel[k];
        bl_table_cell(&table, "%u", c->to);
        bl_table_cell(&table, "%u", c->from);
        bl_table_cell(&table, "%d", (int)c->tag);
        bl_table_cell(&table, "%" PRIu64 " to %" PRIu64 " of communicator %" PRIx64, c->first, c->last, c->comm);
        bl_table_cell(&table, "%s", bl_text_number(c->messages).s);
        bl_table_cell(&table, "%s", bl_text_size(c->bytes).s);
    }
    rc = bl_table_print(&table, "  ", err);
    if (!channels)
        printf("  none\n");
    free(channel);
    return rc;
}

/* An older incarnation was told of: how the job went on. */
static void print_since(const bl_story *story)
{
    const bl_view *view = story->view;
    const bl_view_checkpoint *restart = bl_view_restart(view);
    if (story->incarnation == view->job->incarnation)
        return;
    printf("Incarnation %u of the job is %s", view->job->incarnation, bl_text_clean(view->job->state).s);
    if (view->independent)
        printf("; belay line --incarnation %u tells of it.\n", view->job->incarnation);
    else if (restart)
        printf("; a failure now would go back to checkpoint %u.\n", restart->number);
    else
        printf("; a failure now would go back to the start.\n");
}

int bl_report_text(const bl_report *r, enum bl_alive alive, bl_error *err)
{
    const bl_story *story = r->story;
    print_head(story, alive);
    if (logged(story) && story->view) {
        int wrong = print_logged(story, alive, err);
        if (wrong)
            return wrong;
    }
    printf("\nRecovery line%s (no orphan and no lost message%s; checked)\n", logged(story) ? " without the log, from the checkpoints that are left" : "", story->mode == BL_LINE_LOGGED ? " that is not logged" : "");
    int rc = print_table(r, err);
    if (rc == BELAY_OK)
        rc = print_why(r, err);
    if (rc != BELAY_OK)
        return rc;
    print_domino(r);
    if (story->source != BL_STORY_COORDINATED) {
        print_broken(r);
        if (r->checkpoints)
            print_worth(r);
        rc = print_whatif(r, err);
    }
    if (rc == BELAY_OK && story->view) {
        if (story->source != BL_STORY_COORDINATED)
            printf("\n");
        print_relaunch(story);
        print_since(story);
    }
    return rc;
}
