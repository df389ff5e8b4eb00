#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool/page.h"
#include "tool/report.h"
#include "tool/tool.h"
#include "util/settings.h"

/* --- who fails --- */

/* "0,4-7": sets failed[]; BELAY_ERR_ARG names what is wrong. */
static int parse_list(const char *text, uint32_t ranks, uint8_t *failed, bl_error *err)
{
    for (const char *at = text;; at++) {
        char *end;
        unsigned long long low = strtoull(at, &end, 10), high = low;
        bool good = end != at && *at >= '0' && *at <= '9';
        if (good && *end == '-') {
            at = end + 1;
            high = strtoull(at, &end, 10);
            good = end != at && *at >= '0' && *at <= '9';
        }
        if (!good || low > high || (*end && *end != ','))
            return bl_fail(err, BELAY_ERR_ARG, "--fail '%.80s' is not a list of ranks: write 2 or 0,4-7 or all or node:HOST", text);
        if (high >= ranks)
            return bl_fail(err, BELAY_ERR_ARG, "--fail names rank %llu; this job has ranks 0 to %u", high, ranks - 1);
        memset(failed + low, 1, (size_t)(high - low + 1));
        if (!*end)
            return BELAY_OK;
        at = end;
    }
}

/* All ranks of a host, by what their tables say. */
static int parse_host(const char *host, const bl_story *story, uint8_t *failed, bl_error *err)
{
    const char *other = "";
    uint32_t found = 0;
    for (uint32_t rank = 0; rank < story->ranks; rank++) {
        const char *its = story->table[rank].host;
        found += failed[rank] = strcmp(its, host) == 0 && *host;
        other = *its ? its : other;
    }
    if (found)
        return BELAY_OK;
    if (!*other)
        return bl_fail(err, BELAY_ERR_ARG, "--fail node:%.64s: nothing here says on which host a rank ran", host);
    return bl_fail(err, BELAY_ERR_ARG, "--fail node:%.64s: no rank ran there; one ran on %s", host, bl_text_clean(other).s);
}

static int parse_fail(const char *text, const bl_story *story, uint8_t *failed, bl_error *err)
{
    memset(failed, strcmp(text, "all") == 0, story->ranks);
    if (strcmp(text, "all") == 0)
        return BELAY_OK;
    return strncmp(text, "node:", 5) == 0 ? parse_host(text + 5, story, failed, err)
                                          : parse_list(text, story->ranks, failed, err);
}

static int solve(const bl_args *args, bl_story *story, bl_error *err)
{
    uint8_t *failed = NULL;
    int rc = BELAY_OK;
    if (args->fail) {
        failed = malloc(story->ranks);
        rc = failed ? parse_fail(args->fail, story, failed, err)
                    : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    }
    if (rc == BELAY_OK)
        rc = bl_story_solve(story, failed, err);
    free(failed);
    return rc;
}

/* --- what is told --- */

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

/* Undone checkpoints are gone when a restart has begun; its trace file still knows them. */
static int read_story(const bl_args *args, const bl_view *view, bl_story *story, bl_error *err)
{
    uint32_t incarnation = args->has_incarnation ? args->incarnation : worth_telling(view);
    uint32_t which = incarnation == UINT32_MAX ? view->newest_table : incarnation;
    char path[BL_PATH_MAX + 32];
    if (args->has_incarnation && incarnation > view->job->incarnation)
        return bl_fail(err, BELAY_ERR_ARG, "--incarnation %u: the newest one is %u", incarnation, view->job->incarnation);
    snprintf(path, sizeof path, "%s/trace-%04u.h5", bl_store_dir(view->store), which);
    if (view->independent && which < view->job->incarnation && access(path, F_OK) == 0)
        return bl_story_trace(path, story, err);
    return bl_story_read(view, incarnation, story, err);
}

static int tell(const bl_args *args, bl_story *story, bl_error *err)
{
    bl_live_header who;
    bl_report r;
    int rc = solve(args, story, err);
    if (rc == BELAY_OK)
        rc = bl_report_make(story, args->seed, &r, err);
    if (rc != BELAY_OK)
        return rc;
    bl_graph_trim(story->graph); /* all lines are solved; pictures take memory too */
    enum bl_alive alive = story->view ? bl_view_alive(story->view, &who) : BL_ALIVE_NO;
    rc = args->json ? bl_report_json(&r, alive, err) : bl_report_text(&r, alive, err);
    if (rc == BELAY_OK && args->messages)
        rc = bl_report_messages(&r, alive, err);
    if (rc == BELAY_OK && args->svg)
        rc = bl_page_svg(&r, args->svg, err);
    if (rc == BELAY_OK && args->html)
        rc = bl_page_html(&r, args->html, err);
    bl_report_clear(&r);
    return rc;
}

static int tell_job(const bl_args *args, const char *dir, bl_error *err)
{
    bl_view view;
    bl_story story;
    int rc = bl_view_load(dir, &view, err);
    if (rc != BELAY_OK)
        return rc;
    rc = read_story(args, &view, &story, err);
    if (rc == BELAY_OK) {
        rc = tell(args, &story, err);
        bl_story_clear(&story);
    }
    bl_view_free(&view);
    return rc;
}

static int tell_trace(const bl_args *args, const char *path, bl_error *err)
{
    bl_story story;
    if (args->has_incarnation)
        return bl_fail(err, BELAY_ERR_ARG, "--incarnation belongs to a job directory; %s is a file", path);
    int rc = bl_story_trace(path, &story, err);
    if (rc == BELAY_OK) {
        rc = tell(args, &story, err);
        bl_story_clear(&story);
    }
    return rc;
}

static int run(const bl_args *args, bl_error *err)
{
    struct stat status;
    int rc;
    if (args->word && args->has_dir)
        rc = bl_fail(err, BELAY_ERR_ARG, "'%.80s' and --dir are one source too many", args->word);
    else if (args->messages && args->json)
        rc = bl_fail(err, BELAY_ERR_ARG, "--messages is for people; --json has what is in the journals under with_log");
    else if (args->word && stat(args->word, &status) != 0)
        rc = bl_fail(err, BELAY_ERR_NONE, "there is no %.400s: %s", args->word, strerror(errno));
    else if (args->word && !S_ISDIR(status.st_mode))
        rc = tell_trace(args, args->word, err);
    else
        rc = tell_job(args, args->word ? args->word : args->dir, err);
    return rc == BELAY_OK ? BL_EXIT_OK : bl_exit_of(err);
}

const bl_command bl_command_line = {
    .name = "line",
    .summary = "the recovery line: who restarts where, what is lost, and why; with --html as a picture",
    .usage = "usage: belay line [DIR|TRACE] [--fail R[,R...]|all|node:HOST] [--svg FILE] [--html FILE] [--incarnation I]\n"
             "                  [--messages] [--seed N] [--dir DIR] [--json]\n"
             "\n"
             "Shows from which checkpoint each rank restarts, what is lost, and why.  Computed from the checkpoints and\n"
             "the message counters the ranks left in a job directory, or from a recorded trace; the result is checked by an\n"
             "independent checker.\n"
             "\n"
             "  --fail R[,R...]|all|node:HOST\n"
             "                       the ranks that lose their memory (0,4-7); default: those that recorded that they died,\n"
             "                       or all of them when none did\n"
             "  --svg FILE           also draw it: ranks, checkpoints, messages, the line across\n"
             "  --html FILE          the same as a page to zoom in, in one file that needs no network\n"
             "  --messages           with message logging: also which messages a restart takes from the journals, by number\n"
             "  --incarnation I      as it stood at the end of incarnation I; default: the newest that left counters, or the\n"
             "                       last that failed when the job has ended well\n"
             "  --seed N             where a figure is sampled because the job is large: of the random draws (default 1)\n"
             "  --dir DIR            the job directory (default: BELAY_DIR, or belay.d)\n"
             "  --json               everything, for programs\n",
    .options = "fidjmsHS",
    .takes_word = true,
    .run = run,
};
