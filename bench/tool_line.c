/* tool_line - `belay line` for 500 ranks against reading the same files: what a person waits for after a failure.
 *
 * Both read everything once, warm.  The live tables are most of it, 0.8 MB a rank. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool/story.h"
#include "unit/test_tool_job.h"
#include "util/clock.h"

enum { RANKS = 500, ROUNDS = 5 };

static const double ratio_limit = 5.0;

static int add_file(void *context, enum bl_file kind, uint32_t rank, uint32_t number, const char *path, uint64_t bytes,
                    bl_error *err)
{
    static char block[1 << 20];
    FILE *file = fopen(path, "rb");
    (void)kind;
    (void)rank;
    (void)number;
    (void)bytes;
    if (!file)
        return bl_fail_errno(err, "cannot read %s", path);
    setvbuf(file, NULL, _IONBF, 0);
    for (size_t got; (got = fread(block, 1, sizeof block, file)) > 0;)
        *(uint64_t *)context += got;
    fclose(file);
    return BELAY_OK;
}

static int read_plainly(const char *dir, uint64_t *bytes, bl_error *err)
{
    bl_store *store;
    *bytes = 0;
    int rc = bl_store_open(dir, BL_STABLE_PROCESS, &store, err);
    if (rc != BELAY_OK)
        return rc;
    rc = bl_scan(store, add_file, bytes, err);
    bl_store_close(store);
    return rc;
}

static int read_story(const char *dir, bl_error *err)
{
    bl_view view;
    bl_story story;
    int rc = bl_view_load(dir, &view, err);
    if (rc != BELAY_OK)
        return rc;
    rc = bl_story_read(&view, UINT32_MAX, &story, err);
    if (rc == BELAY_OK) {
        rc = bl_story_solve(&story, NULL, err);
        if (rc == BELAY_OK && story.line.rolled_back != RANKS)
            rc = bl_fail(err, BELAY_ERR_INTERNAL, "only %u ranks roll back", story.line.rolled_back);
        bl_story_clear(&story);
    }
    bl_view_free(&view);
    return rc;
}

/* The best of several rounds of each, alternating. */
static int measure(const char *dir, double *plain_s, double *story_s, uint64_t *bytes, bl_error *err)
{
    int rc = BELAY_OK;
    *plain_s = *story_s = 1e9;
    for (int round = 0; rc == BELAY_OK && round < ROUNDS; round++) {
        int64_t t0 = bl_ticks_ns();
        rc = read_plainly(dir, bytes, err);
        int64_t t1 = bl_ticks_ns();
        if (rc == BELAY_OK)
            rc = read_story(dir, err);
        double plain = bl_seconds(t1 - t0), whole = bl_seconds(bl_ticks_ns() - t1);
        *plain_s = plain < *plain_s ? plain : *plain_s;
        *story_s = whole < *story_s ? whole : *story_s;
    }
    return rc;
}

int main(void)
{
    char root[] = "belay-bench-XXXXXX", dir[64], command[128];
    bl_error err = {0, ""};
    double plain_s, story_s;
    uint64_t bytes;
    if (!mkdtemp(root)) {
        perror("tool_line");
        return 1;
    }
    snprintf(dir, sizeof dir, "%s/job", root);
    job_chain(dir, RANKS);
    int rc = measure(dir, &plain_s, &story_s, &bytes, &err);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    if (system(command) != 0)
        fprintf(stderr, "tool_line: %s is left over\n", root);
    if (rc != BELAY_OK) {
        fprintf(stderr, "tool_line: %s\n", err.text);
        return 1;
    }
    double ratio = story_s / plain_s;
    printf("%d ranks, %.0f MB: belay line %.3f s, plain reading %.3f s\n", RANKS, (double)bytes * 1e-6, story_s, plain_s);
    printf("figure tool_line_over_reading %.2f limit %.2f %s\n", ratio, ratio_limit, ratio <= ratio_limit ? "ok" : "SHORT");
    return 0;
}
