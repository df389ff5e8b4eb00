#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/late.h"
#include "tool/story.h"
#include "tool/text.h"
#include "tool/tool.h"
#include "tool/view.h"

enum { TABLES_KEPT = 2 }; /* incarnations whose live tables stay, for `belay line` */

typedef struct collector {
    const bl_view *view;
    const bl_args *args;
    uint32_t cutoff;              /* checkpoints below it are not needed; 0 when there are not enough good ones */
    uint32_t *oldest;             /* [ranks] of an independent job: the checkpoint on the line of all failing; else NULL */
    uint64_t checkpoints, snapshots, tables, temporaries, quarantined, lates, bytes;
} collector;

/* --- what is kept --- */

/* Opens every snapshot: structure and digest, not the bulk data.  What gc keeps has to be worth keeping. */
static bool usable(const bl_view *view, const bl_view_checkpoint *c)
{
    bool good = c->state == BL_VIEW_GOOD && c->present == view->job->ranks;
    for (uint32_t rank = 0; good && rank < view->job->ranks; rank++) {
        bl_reader *reader;
        const bl_snapshot *snapshot;
        bl_error err;
        good = bl_snapshot_open(view->store, rank, c->number, &c->record.digests[rank], &reader, &snapshot, &err) == BELAY_OK;
        if (good)
            bl_snapshot_close(reader);
    }
    return good;
}

/* The newest whose loss with a node is made up for stays as well, whatever is newer. */
static uint32_t find_cutoff(const bl_view *view, uint32_t keep)
{
    uint32_t kept = 0, cutoff = 0, with_parity = UINT32_MAX;
    for (size_t k = view->count; k-- > 0;) {
        const bl_view_checkpoint *c = &view->checkpoint[k];
        if (with_parity == UINT32_MAX && c->state == BL_VIEW_GOOD && c->parities == view->job->ranks)
            with_parity = c->number;
        if (usable(view, c) && ++kept == keep)
            cutoff = c->number;
    }
    return cutoff < with_parity ? cutoff : with_parity;
}

/* A checkpoint that was never committed will never be; a damaged record above the cutoff is a matter for a person. */
static bool needed(const collector *c, const bl_view_checkpoint *checkpoint)
{
    if (checkpoint->number < c->cutoff)
        return false;
    return checkpoint->state == BL_VIEW_GOOD || checkpoint->state == BL_VIEW_DAMAGED;
}

static bool file_needed(const collector *c, enum bl_file kind, uint32_t rank, uint32_t number)
{
    const bl_view_checkpoint *checkpoint;
    switch (kind) {
    case BL_FILE_SNAPSHOT:
    case BL_FILE_PARITY:
        if (c->oldest)
            return number >= c->oldest[rank];
        checkpoint = bl_view_find(c->view, number);
        return !checkpoint || needed(c, checkpoint);
    case BL_FILE_TABLE: return number + TABLES_KEPT > c->view->newest_table;
    case BL_FILE_LATE: return true; /* collect_lates */
    case BL_FILE_TEMPORARY: return number > c->view->job->incarnation;
    case BL_FILE_QUARANTINED: return !c->args->quarantine;
    }
    return true;
}

/* --- removing --- */

static int remove_file(void *context, enum bl_file kind, uint32_t rank, uint32_t number, const char *path, uint64_t bytes,
                       bl_error *err)
{
    collector *c = context;
    int rc = BELAY_OK;
    if (file_needed(c, kind, rank, number))
        return BELAY_OK;
    if (!c->args->dry_run && kind == BL_FILE_SNAPSHOT)
        rc = bl_snapshot_remove(c->view->store, rank, number, err);
    else if (!c->args->dry_run && unlink(path) != 0 && !(kind == BL_FILE_PARITY && errno == ENOENT)) /* with its snapshot */
        rc = bl_fail_errno(err, "cannot remove %s", path);
    if (rc != BELAY_OK)
        return rc;
    c->bytes += bytes;
    switch (kind) {
    case BL_FILE_SNAPSHOT: c->snapshots++; break;
    case BL_FILE_PARITY: break;
    case BL_FILE_TABLE: c->tables++; break;
    case BL_FILE_LATE: break;
    case BL_FILE_TEMPORARY: c->temporaries++; break;
    case BL_FILE_QUARANTINED: c->quarantined++; break;
    }
    return BELAY_OK;
}

/* Records go before their snapshots, oldest first: a record never names what is gone. */
static int remove_records(collector *c, bl_error *err)
{
    int rc = BELAY_OK;
    for (size_t k = 0; rc == BELAY_OK && k < c->view->count; k++) {
        const bl_view_checkpoint *checkpoint = &c->view->checkpoint[k];
        if (checkpoint->number >= c->cutoff || checkpoint->state == BL_VIEW_INCOMPLETE)
            continue;
        c->checkpoints++;
        if (!c->args->dry_run)
            rc = bl_commit_remove(c->view->store, checkpoint->number, err);
    }
    return rc;
}

static int refuse_running(const bl_view *view, const bl_args *args, bl_error *err)
{
    bl_live_header who;
    enum bl_alive alive = args->force ? BL_ALIVE_NO : bl_view_alive(view, &who);
    if (alive == BL_ALIVE_HERE)
        return bl_fail(err, BELAY_ERR_REFUSED, "the job in %s is running (rank %u is process %d); try again when it has ended",
                       bl_store_dir(view->store), who.rank, (int)who.pid);
    if (alive == BL_ALIVE_ELSEWHERE)
        return bl_fail(err, BELAY_ERR_REFUSED, "the job in %s may be running on host %s, which cannot be seen from here; "
                       "run belay gc there, or add --force if you know that it has ended", bl_store_dir(view->store),
                       bl_text_clean(who.host).s);
    return BELAY_OK;
}

/* Whoever fails from now on, no rank goes back behind the line of all failing now. */
static int find_oldest(collector *c, bl_error *err)
{
    bl_story story;
    uint32_t ranks = c->view->job->ranks;
    int rc = bl_story_read(c->view, UINT32_MAX, &story, err);
    if (rc != BELAY_OK)
        return rc;
    rc = bl_story_solve(&story, NULL, err);
    c->oldest = malloc(ranks * sizeof *c->oldest);
    if (rc == BELAY_OK && !c->oldest)
        rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", ranks);
    for (uint32_t rank = 0; rc == BELAY_OK && rank < ranks; rank++)
        c->oldest[rank] = bl_story_number(&story, rank, story.relaunch.cut[rank]);
    bl_story_clear(&story);
    return rc;
}

/* --- late files --- */

typedef struct late { collector *c; const bl_snapshot *on_line; bool wanted; } late;

/* Beyond what the checkpoint on the line has received: a later line may have it in transit. */
static int beyond(void *context, const bl_late_message *m)
{
    const bl_snapshot *s = ((const late *)context)->on_line;
    for (size_t k = 0; k < s->nchannels; k++) {
        const bl_channel *on = &s->channels[k];
        if (on->comm == m->comm && on->peer == (int32_t)m->source && on->tag == m->tag)
            return m->number > on->received;
    }
    return 1;
}

static int ask(void *context, const bl_late_message *m, bl_error *err)
{
    late *l = context;
    (void)err;
    l->wanted |= beyond(l, m) != 0;
    return BELAY_OK;
}

static int count_file(void *context, const bl_late_file *file, bl_error *err)
{
    late *l = context;
    (void)err;
    if (file->checkpoint < l->on_line->checkpoint && !l->wanted && (!file->wrong || file->torn)) {
        l->c->lates++;
        l->c->bytes += file->size;
    }
    l->wanted = false;
    return BELAY_OK;
}

static int collect_late(collector *c, uint32_t rank, bl_error *err)
{
    bl_store *store = c->view->store;
    bl_reader *reader;
    uint32_t removed;
    late l = {.c = c};
    int rc = bl_snapshot_open(store, rank, c->oldest[rank], NULL, &reader, &l.on_line, err);
    if (rc != BELAY_OK)
        return rc;
    rc = bl_late_scan(store, rank, 0, ask, count_file, &l, err);
    if (rc == BELAY_OK && !c->args->dry_run)
        rc = bl_late_remove_before(store, rank, c->oldest[rank], beyond, &l, &removed, err);
    bl_snapshot_close(reader);
    return rc;
}

static int collect_lates(collector *c, bl_error *err)
{
    int rc = BELAY_OK;
    for (uint32_t rank = 0; rc == BELAY_OK && c->oldest && c->view->lates && rank < c->view->job->ranks; rank++)
        if (c->oldest[rank])
            rc = collect_late(c, rank, err);
    return rc;
}

static int collect(collector *c, bl_error *err)
{
    int rc = refuse_running(c->view, c->args, err);
    if (rc == BELAY_OK && c->view->independent)
        rc = find_oldest(c, err);
    else
        c->cutoff = find_cutoff(c->view, c->args->keep);
    if (rc == BELAY_OK && !c->args->dry_run)
        rc = bl_store_join(c->view->store, c->view->job->incarnation, err);
    if (rc == BELAY_OK)
        rc = remove_records(c, err);
    if (rc == BELAY_OK)
        rc = collect_lates(c, err);
    return rc == BELAY_OK ? bl_scan(c->view->store, remove_file, c, err) : rc;
}

/* --- what is said --- */

static void print_summary(const collector *c)
{
    const bl_view_checkpoint *restart = bl_view_restart(c->view);
    const char *verb = c->args->dry_run ? "Would free" : "Freed";
    printf("%s %s: %s, %s, %s, %s", verb, bl_text_size(c->bytes).s, bl_text_count(c->checkpoints, "commit record").s,
           bl_text_count(c->snapshots, "snapshot").s, bl_text_count(c->tables, "old live table").s,
           bl_text_count(c->temporaries, "temporary file").s);
    if (c->view->lates)
        printf(", %s", bl_text_count(c->lates, "late file").s);
    if (c->args->quarantine)
        printf(", %s of the quarantine", bl_text_count(c->quarantined, "file").s);
    printf(".\n");
    if (c->oldest)
        printf("Kept: of each rank its checkpoint on the recovery line, and newer ones.\n");
    else if (c->cutoff)
        printf("Kept: checkpoint %u and newer; a restart begins at checkpoint %u.\n", c->cutoff, restart ? restart->number : 0);
    else
        printf("Kept: every committed checkpoint; there are not more than %u usable ones.\n", c->args->keep);
}

static int print_json(const collector *c, bl_error *err)
{
    return bl_print_json(json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "dry_run", c->args->dry_run, "bytes",
        (json_int_t)c->bytes, "records", (json_int_t)c->checkpoints, "snapshots", (json_int_t)c->snapshots, "tables",
        (json_int_t)c->tables, "late_files", (json_int_t)c->lates, "temporaries", (json_int_t)c->temporaries, "quarantined", (json_int_t)c->quarantined,
        "kept_from", c->cutoff ? json_integer(c->cutoff) : json_null()), err);
}

static int run(const bl_args *args, bl_error *err)
{
    bl_view view;
    int rc = bl_view_load(args->dir, &view, err);
    if (rc == BELAY_OK) {
        collector c = {.view = &view, .args = args};
        rc = collect(&c, err);
        if (rc == BELAY_OK && args->json)
            rc = print_json(&c, err);
        else if (rc == BELAY_OK)
            print_summary(&c);
        free(c.oldest);
        bl_view_free(&view);
    }
    return rc == BELAY_OK ? BL_EXIT_OK : bl_exit_of(err);
}

const bl_command bl_command_gc = {
    .name = "gc",
    .summary = "remove what can never be needed again",
    .usage = "usage: belay gc [--keep N] [--dry-run] [--quarantine] [--force] [--dir DIR] [--json]\n"
             "\n"
             "Removes checkpoints older than the newest N usable ones, snapshots of checkpoints that were never committed,\n"
             "temporary files of dead processes, and message counters older than the last two incarnations.  Refuses\n"
             "while the job runs.\n"
             "\n"
             "Where each rank checkpoints on its own, what is older than the line of all ranks failing goes, and --keep says\n"
             "nothing.\n"
             "\n"
             "  --keep N      committed checkpoints that stay (default 2)\n"
             "  --dry-run     say what would be removed, remove nothing\n"
             "  --quarantine  also remove what did not verify and was put aside\n"
             "  --force       also when processes of other hosts may be alive, which cannot be seen from here\n"
             "  --dir DIR     the job directory (default: BELAY_DIR, or belay.d)\n"
             "  --json        for programs\n",
    .options = "knqFdj",
    .run = run,
};
