#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tool/text.h"
#include "tool/tool.h"
#include "tool/view.h"

enum { RANKS_LISTED = 16 };

static void print_job(const bl_view *view)
{
    const bl_job *job = view->job;
    bl_live_header who;
    bool lost = strcmp(job->state, "running") == 0 && bl_view_alive(view, &who) == BL_ALIVE_NO;
    printf("Job %s: %s, %s, incarnation %u, %s%s\n", job->id, bl_text_clean(job->program).s,
           bl_text_count(job->ranks, "rank").s, job->incarnation, bl_text_clean(job->state).s,
           lost ? ", but no process of it is alive (belay line says what happened)" : "");
    printf("  in %s, started %s (%s)\n\n", bl_store_dir(view->store), bl_text_time(job->started_ns).s,
           bl_text_age(job->started_ns).s);
}

static void head(bl_table *table)
{
    static const char *const name[] = {"checkpoint", "safe point", "taken", "", "size", "snapshots", "record"};
    for (size_t k = 0; k < sizeof name / sizeof *name; k++)
        bl_table_cell(table, "%s", name[k]);
}

static void row(const bl_view *view, bl_table *table, const bl_view_checkpoint *c)
{
    bool good = c->state == BL_VIEW_GOOD;
    bl_table_cell(table, "%u", c->number);
    bl_table_cell(table, "%s", good ? bl_text_number(c->record.safe_point).s : "?");
    bl_table_cell(table, "%s", good ? bl_text_time(c->record.time_ns).s : "?");
    bl_table_cell(table, "%s", good ? bl_text_age(c->record.time_ns).s : "");
    bl_table_cell(table, "%s", bl_text_size(c->bytes).s);
    bl_table_cell(table, "%u of %u%s", c->present, view->job->ranks, c->parities ? ", parity" : "");
    bl_table_cell(table, "%s%s%s%s", bl_view_state_name(c->state), c->copies_differ ? ", one copy bad" : "",
                  c->rebuildable ? ", a missing one can be made again" : "",
                  c == bl_view_restart(view) ? "  <- a restart begins here" : "");
}

static int print_committed(const bl_view *view, bl_error *err)
{
    bl_table table = {.columns = "rrlrrrl"};
    size_t rows = 0;
    head(&table);
    for (size_t k = 0; k < view->count; k++) {
        const bl_view_checkpoint *c = &view->checkpoint[k];
        if (c->state == BL_VIEW_GOOD || c->state == BL_VIEW_DAMAGED) {
            row(view, &table, c);
            rows++;
        }
    }
    int rc = bl_table_print(&table, "  ", err);
    if (rows == 0)
        printf("  (none yet)\n");
    if (!bl_view_restart(view))
        printf("\nA restart begins from the start: no checkpoint is complete.\n");
    return rc;
}

/* --- independent checkpoints: each rank has its own --- */

static bool is_induced(const bl_view *view)
{
    return strcmp(view->protocol, "induced") == 0;
}

static void own_row(const bl_view *view, bl_table *table, uint32_t rank, size_t from, size_t end)
{
    const bl_view_file *newest = end > from ? &view->file[end - 1] : NULL;
    bl_reader *reader = NULL;
    const bl_snapshot *s = NULL;
    bl_error err;
    uint64_t bytes = 0;
    for (size_t k = from; k < end; k++)
        bytes += view->file[k].bytes;
    if (newest && bl_snapshot_open(view->store, rank, newest->number, NULL, &reader, &s, &err) != BELAY_OK)
        s = NULL;
    bl_table_cell(table, "%u", rank);
    bl_table_cell(table, "%zu", end - from);
    if (newest)
        bl_table_cell(table, "%u", newest->number);
    else
        bl_table_cell(table, "-");
    bl_table_cell(table, "%s", s ? bl_text_number(s->safe_point).s : newest ? "cannot be read" : "-");
    bl_table_cell(table, "%s", s ? bl_text_time(s->time_ns).s : "");
    bl_table_cell(table, "%s", s ? bl_text_age(s->time_ns).s : "");
    bl_table_cell(table, "%s", bl_text_size(bytes).s);
    if (is_induced(view) && s)
        bl_table_cell(table, "%u%s", s->index, s->forced ? ", forced by a message" : "");
    else if (is_induced(view))
        bl_table_cell(table, "-");
    if (s)
        bl_snapshot_close(reader);
}

static int print_own(const bl_view *view, bl_error *err)
{
    static const char *const name[] = {"rank", "checkpoints", "newest", "safe point", "taken", "", "size", "index"};
    const size_t columns = is_induced(view) ? 8 : 7;
    bl_table table = {.columns = is_induced(view) ? "rrrrlrrl" : "rrrrlrr"};
    size_t least = SIZE_MAX, most = 0, from, end;
    uint64_t bytes = 0;
    for (size_t k = 0; k < columns; k++)
        bl_table_cell(&table, "%s", name[k]);
    for (uint32_t rank = 0; rank < view->job->ranks; rank++) {
        bl_view_files(view, rank, &from, &end);
        least = end - from < least ? end - from : least;
        most = end - from > most ? end - from : most;
        if (rank < RANKS_LISTED)
            own_row(view, &table, rank, from, end);
    }
    for (size_t k = 0; k < view->files; k++)
        bytes += view->file[k].bytes;
    int rc = bl_table_print(&table, "  ", err);
    if (view->job->ranks > RANKS_LISTED)
        printf("  ... and %s more; %zu to %zu checkpoints each\n", bl_text_count(view->job->ranks - RANKS_LISTED, "rank").s, least, most);
    printf("\n%s of %s in all, each taken by its rank alone%s. belay line says where a restart begins.\n",
           bl_text_count(view->files, "checkpoint").s, bl_text_size(bytes).s, is_induced(view) ? " or forced by a message" : "");
    if (view->lates)
        printf("%s of %s: messages kept in case that a restart has them in transit.\n", bl_text_count(view->lates, "late file").s,
               bl_text_size(view->late_bytes).s);
    return rc;
}

static json_t *json_own(const bl_view *view)
{
    json_t *list = json_array();
    for (size_t k = 0; k < view->files; k++)
        json_array_append_new(list, json_pack("{s:I, s:I, s:I}", "rank", (json_int_t)view->file[k].rank, "checkpoint",
            (json_int_t)view->file[k].number, "bytes", (json_int_t)view->file[k].bytes));
    return list;
}

static void print_leftovers(const bl_view *view)
{
    uint64_t aborted = 0, incomplete = 0;
    for (size_t k = 0; k < view->count; k++) {
        aborted += view->checkpoint[k].state == BL_VIEW_ABORTED;
        incomplete += view->checkpoint[k].state == BL_VIEW_INCOMPLETE && !view->independent;
    }
    if (aborted || incomplete || view->quarantined || view->temporaries)
        printf("\nAlso there: %s aborted, %s incomplete, %s, %s in quarantine.\n",
               bl_text_count(aborted, "checkpoint").s, bl_text_number(incomplete).s,
               bl_text_count(view->temporaries, "temporary file").s, bl_text_count(view->quarantined, "file").s);
}

static json_t *json_checkpoint(const bl_view_checkpoint *c)
{
    bool decided = c->state == BL_VIEW_GOOD || c->state == BL_VIEW_ABORTED;
    json_t *out = json_pack("{s:I, s:s, s:I, s:I}", "checkpoint", (json_int_t)c->number, "record",
                            bl_view_state_name(c->state), "snapshots", (json_int_t)c->present, "bytes", (json_int_t)c->bytes);
    if (out && c->parities)
        json_object_update_new(out, json_pack("{s:I, s:b}", "parities", (json_int_t)c->parities, "rebuildable", c->rebuildable));
    if (out && decided)
        json_object_update_new(out, json_pack("{s:I, s:I, s:I, s:f, s:b}", "safe_point", (json_int_t)c->record.safe_point,
            "incarnation", (json_int_t)c->record.incarnation, "time_ns", (json_int_t)c->record.time_ns, "compute_seconds",
            c->record.compute_s, "copies_differ", c->copies_differ));
    if (out && c->state == BL_VIEW_DAMAGED)
        json_object_set_new(out, "note", bl_json_sentence(c->note));
    return out;
}

static int print_json(const bl_view *view, bl_error *err)
{
    const bl_job *job = view->job;
    const bl_view_checkpoint *restart = bl_view_restart(view);
    bl_live_header who;
    json_t *list = json_array();
    for (size_t k = 0; k < view->count; k++)
        if (!view->independent)
            json_array_append_new(list, json_checkpoint(&view->checkpoint[k]));
    return bl_print_json(json_pack("{s:s, s:s, s:I, s:I, s:s, s:b, s:I, s:o, s:o, s:o, s:I, s:I, s:I, s:I}", "job", job->id, "program",
        bl_text_clean(job->program).s, "ranks", (json_int_t)job->ranks, "incarnation", (json_int_t)job->incarnation, "state",
        bl_text_clean(job->state).s, "alive", bl_view_alive(view, &who) != BL_ALIVE_NO, "started_ns",
        (json_int_t)job->started_ns, "restart", restart ? json_integer(restart->number) : json_null(), "checkpoints", list,
        "independent", view->independent ? json_own(view) : json_null(), "late_files", (json_int_t)view->lates, "late_bytes",
        (json_int_t)view->late_bytes, "quarantined", (json_int_t)view->quarantined, "temporaries", (json_int_t)view->temporaries), err);
}

static int run(const bl_args *args, bl_error *err)
{
    bl_view view;
    int rc = bl_view_load(args->dir, &view, err);
    if (rc != BELAY_OK)
        return bl_exit_of(err);
    if (args->json) {
        rc = print_json(&view, err);
    } else {
        print_job(&view);
        rc = view.independent ? print_own(&view, err) : print_committed(&view, err);
        print_leftovers(&view);
    }
    bl_view_free(&view);
    return rc == BELAY_OK ? BL_EXIT_OK : bl_exit_of(err);
}

const bl_command bl_command_ls = {
    .name = "ls",
    .summary = "the job and its checkpoints, and which one a restart would use",
    .usage = "usage: belay ls [--dir DIR] [--json]\n"
             "\n"
             "Lists the job and its checkpoints: those committed by all ranks together, or, where each rank checkpoints on its\n"
             "own, those of each rank.  Only records, names and headers are looked at; belay verify reads the data.\n"
             "\n"
             "  --dir DIR  the job directory (default: BELAY_DIR, or belay.d)\n"
             "  --json     for programs\n",
    .options = "dj",
    .run = run,
};
