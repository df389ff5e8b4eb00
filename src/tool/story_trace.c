#include "tool/story_make.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/trace_file.h"
#include "tool/text.h"
#include "util/clock.h"
#include "util/memory.h"

/* The whole file, NUL-terminated; malloc'ed. */
static int read_whole(int fd, const char *path, size_t size, char **text, bl_error *err)
{
    size_t done = 0;
    *text = malloc(size + 1);
    if (!*text)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %s", path);
    while (done < size) {
        ssize_t got = read(fd, *text + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    (*text)[done] = '\0';
    return done == size ? BELAY_OK : bl_fail(err, BELAY_ERR_SYSTEM, "%s cannot be read to its end", path);
}

static int read_text(bl_story *story, int fd, const char *path, size_t size, bl_error *err)
{
    char *text = NULL;
    if (size > BL_STORY_TRACE_BYTES_MAX)
        return bl_fail(err, BELAY_ERR_ARG, "%s is larger than a trace written as text may be (%s)", path,
                       bl_text_size(BL_STORY_TRACE_BYTES_MAX).s);
    int rc = read_whole(fd, path, size, &text, err);
    if (rc == BELAY_OK && strlen(text) != size)
        rc = bl_fail(err, BELAY_ERR_ARG, "%s is no trace: it holds bytes that are no text", path);
    if (rc == BELAY_OK) {
        story->source = BL_STORY_TEXT;
        rc = bl_story_text(story, text, size, err);
    }
    free(text);
    return rc;
}

/* --- trace files --- */

/* What is kept besides the graph, for counts and pictures; of more only every n-th. */
enum { FLOWS_MAX = 4000000, CHUNK = 4096 };

typedef struct loader {
    bl_story *story;
    bl_trace_file *file;
    const bl_trace_header *header;
    uint32_t *last;          /* [ranks] */
    bl_heap flows, parts, hubs;
    bl_series series;
} loader;

static int load_ranks(loader *l, const bl_trace_rank *rank, bl_error *err)
{
    bl_story *story = l->story;
    story->ranks = l->header->ranks;
    story->incarnation = l->header->incarnation;
    story->mode = l->header->logs ? BL_LINE_LOGGED : BL_LINE_TRANSITLESS;
    memcpy(story->protocol, l->header->protocol, sizeof story->protocol);
    int rc = bl_story_room(story, err);
    l->last = malloc(story->ranks * sizeof *l->last);
    if (rc == BELAY_OK && !l->last)
        rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", story->ranks);
    for (uint32_t k = 0; rc == BELAY_OK && k < story->ranks; k++) {
        bl_live_header *table = &story->table[k];
        l->last[k] = rank[k].checkpoints;
        *table = (bl_live_header){.rank = k, .safe_point = rank[k].safe_point, .safe_point_ns = rank[k].time_ns,
                                  .state = rank[k].failed ? BL_STORY_FAILED : BL_LIVE_STARTED};
        memcpy(table->host, rank[k].host, sizeof table->host);
        table->host[sizeof table->host - 1] = '\0';
        story->seen[k] = true;
    }
    story->tables = story->ranks;
    if (rc == BELAY_OK)
        rc = bl_story_points(story, l->last, err);
    if (rc == BELAY_OK)
        rc = bl_graph_new(story->ranks, l->last, &story->graph, err);
    if (rc == BELAY_OK)
        bl_graph_hint_large(story->graph, bl_memory_large);
    return rc;
}

/* By the work counted; by the clock where the rank died without counting it. */
static double since(const bl_trace_rank *rank, const bl_taken *newest)
{
    if (rank->compute_s > newest->compute_s)
        return rank->compute_s - newest->compute_s;
    return newest->time_ns > 0 && rank->time_ns >= newest->time_ns ? bl_seconds(rank->time_ns) - bl_seconds(newest->time_ns) : NAN;
}

static int load_points(loader *l, const bl_trace_rank *rank, bl_error *err)
{
    bl_story *story = l->story;
    bl_trace_checkpoint row[CHUNK];
    uint64_t at = 0, all = story->first[story->ranks];
    size_t rows;
    int rc;
    while ((rc = bl_trace_file_checkpoints(l->file, row, CHUNK, &rows, err)) == BELAY_OK && rows)
        for (size_t k = 0; k < rows && at < all; k++)
            story->point[at++] = (bl_taken){row[k].number, row[k].safe_point, row[k].time_ns, row[k].compute_s, row[k].forced};
    for (uint32_t k = 0; rc == BELAY_OK && k < story->ranks; k++) {
        const bl_taken *start = bl_story_point(story, k, 0), *newest = bl_story_point(story, k, l->last[k]);
        story->since_s[k] = since(&rank[k], newest);
        story->table[k].first_step_ns = start->time_ns;
    }
    return rc;
}

static int load_dependency(loader *l, const bl_trace_dependency *d, uint64_t which, bl_error *err)
{
    bl_story *story = l->story;
    bool logged = l->header->logs && (d->received_in & BL_TRACE_LOGGED);
    uint32_t received_in = logged ? d->received_in & ~BL_TRACE_LOGGED : d->received_in;
    bool arrived = received_in <= l->last[d->to] + 1;
    int rc = bl_graph_message(story->graph, d->from, d->sent_in, d->to, arrived ? received_in : 1,
                              (arrived ? 0 : BL_MSG_UNDELIVERED) | (logged ? BL_MSG_LOGGED : 0), err);
    story->crossing |= received_in != d->sent_in;
    if (rc != BELAY_OK || (story->thinned && which % story->thinned))
        return rc;
    return bl_heap_add(&l->flows, &(bl_flow){.from = d->from, .sent_in = d->sent_in, .to = d->to,
                                             .received_in = arrived ? received_in : 0, .messages = d->messages,
                                             .logged = logged}, err);
}

static int load_dependencies(loader *l, bl_error *err)
{
    bl_trace_dependency row[CHUNK];
    uint64_t which = 0;
    size_t rows = 0;
    int rc = bl_graph_reserve(l->story->graph, l->header->dependencies, err);
    while (rc == BELAY_OK && (rc = bl_trace_file_dependencies(l->file, row, CHUNK, &rows, err)) == BELAY_OK && rows)
        for (size_t k = 0; rc == BELAY_OK && k < rows; k++)
            rc = load_dependency(l, &row[k], which++, err);
    return rc;
}

static int load_collectives(loader *l, bl_error *err)
{
    bl_story *story = l->story;
    const uint32_t *rank, *interval;
    uint32_t members;
    int begins, rc;
    while ((rc = bl_trace_file_collective(l->file, &begins, &members, &rank, &interval, err)) == BELAY_OK && members) {
        rc = begins ? bl_graph_collective(story->graph, members, rank, interval, err)
                    : bl_graph_collective_next(story->graph, members, rank, interval, err);
        if (rc == BELAY_OK)
            rc = bl_series_next(&l->series, story->ranks, begins, members, rank, interval, &l->parts, &l->hubs, err);
        if (rc != BELAY_OK)
            return rc;
    }
    return rc;
}

static int load(loader *l, const bl_trace_rank *rank, bl_error *err)
{
    bl_story *story = l->story;
    uint64_t rows = l->header->dependencies;
    story->thinned = rows > FLOWS_MAX ? rows / FLOWS_MAX + 1 : 0;
    if (story->thinned)
        bl_story_note(story, "messages are drawn and counted by a sample: one of every %" PRIu64 " dependencies", story->thinned);
    if (l->header->assumed)
        bl_story_note(story, "%" PRIu64 " channels with too many tags: their messages are taken as received in the order sent",
                      l->header->assumed);
    int rc = load_ranks(l, rank, err);
    if (rc == BELAY_OK)
        rc = load_points(l, rank, err);
    if (rc == BELAY_OK)
        rc = load_dependencies(l, err);
    if (rc == BELAY_OK)
        rc = load_collectives(l, err);
    return rc == BELAY_OK ? bl_story_finish(story, &l->flows, &l->parts, &l->hubs, err) : rc;
}

static int read_file(bl_story *story, const char *path, bl_error *err)
{
    loader l = {.story = story,
                .flows = {.element = sizeof(bl_flow)},
                .parts = {.element = sizeof(bl_part)},
                .hubs = {.element = sizeof(size_t)}};
    const bl_trace_rank *rank;
    int rc = bl_trace_file_open(path, &l.file, &l.header, &rank, err);
    if (rc != BELAY_OK)
        return rc;
    story->source = BL_STORY_FILE;
    if (l.header->program[0]) {
        bl_text name = bl_text_clean(story->from), program = bl_text_clean(l.header->program);
        snprintf(story->from, sizeof story->from, "%.80s, %.100s, incarnation %u", name.s, program.s, l.header->incarnation);
    }
    rc = load(&l, rank, err);
    bl_trace_file_close(l.file);
    bl_series_clear(&l.series);
    free(l.last);
    free(l.flows.data);
    free(l.parts.data);
    free(l.hubs.data);
    return rc;
}

int bl_story_trace(const char *path, bl_story *story, bl_error *err)
{
    *story = (bl_story){.mode = BL_LINE_TRANSITLESS};
    const char *base = strrchr(path, '/');
    snprintf(story->from, sizeof story->from, "%s", bl_text_clean(base ? base + 1 : path).s);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0)
        return bl_fail_errno(err, "cannot open %s", path);
    static const char signature[8] = "\211HDF\r\n\032\n";
    char begin[sizeof signature] = "";
    int rc = BELAY_OK;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        rc = bl_fail(err, BELAY_ERR_NONE, "%s is neither a job directory nor a file with a trace", path);
    else if (pread(fd, begin, sizeof begin, 0) == sizeof begin && memcmp(begin, signature, sizeof begin) == 0)
        rc = read_file(story, path, err);
    else
        rc = read_text(story, fd, path, (size_t)status.st_size, err);
    close(fd);
    if (rc != BELAY_OK)
        bl_story_clear(story);
    return rc;
}
