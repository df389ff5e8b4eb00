#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/parity.h"
#include "tool/text.h"
#include "tool/tool.h"
#include "tool/view.h"

enum { RANKS_LISTED = 16 };

static const char *type_name(enum bl_type type)
{
    switch (type) {
    case BL_TYPE_BYTES: return "bytes";
    case BL_TYPE_I8: return "int8";
    case BL_TYPE_I16: return "int16";
    case BL_TYPE_I32: return "int32";
    case BL_TYPE_I64: return "int64";
    case BL_TYPE_U8: return "uint8";
    case BL_TYPE_U16: return "uint16";
    case BL_TYPE_U32: return "uint32";
    case BL_TYPE_U64: return "uint64";
    case BL_TYPE_F32: return "float32";
    case BL_TYPE_F64: return "float64";
    case BL_TYPE_C32: return "complex64";
    case BL_TYPE_C64: return "complex128";
    }
    return "unknown";
}

static bl_text shape_of(const bl_variable *v)
{
    bl_text text = {"scalar"};
    size_t used = 0;
    for (int d = 0; d < v->dims && used < sizeof text.s - 1; d++)
        used += (size_t)snprintf(text.s + used, sizeof text.s - used, "%s%" PRIu64, d ? " x " : "", v->shape[d]);
    return text;
}

static bl_text digest_of(bl_digest digest)
{
    bl_text text;
    snprintf(text.s, sizeof text.s, "%016" PRIx64 "%016" PRIx64, digest.high, digest.low);
    return text;
}

/* Bytes of one rank's snapshot file, 0 when it is not there. */
typedef struct sizes { uint32_t number; uint64_t *bytes; } sizes;

static int note_size(void *context, enum bl_file kind, uint32_t rank, uint32_t number, const char *path, uint64_t bytes,
                     bl_error *err)
{
    const sizes *s = context;
    (void)path;
    (void)err;
    if (kind == BL_FILE_SNAPSHOT && number == s->number)
        s->bytes[rank] = bytes;
    return BELAY_OK;
}

static int sizes_of(const bl_view *view, const bl_view_checkpoint *c, uint64_t **bytes, bl_error *err)
{
    sizes s = {c->number, calloc(view->job->ranks, sizeof *s.bytes)};
    *bytes = s.bytes;
    if (!s.bytes)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", view->job->ranks);
    return bl_scan(view->store, note_size, &s, err);
}

static void print_redundancy(const bl_view *view, const bl_view_checkpoint *c)
{
    bl_parity group;
    bl_error err;
    for (uint32_t rank = 0; rank < view->job->ranks && c->parities; rank++) {
        if (bl_parity_read(view->store, rank, c->number, &group, &err) != BELAY_OK)
            continue;
        printf("  redundancy  parity with %u of %u: of the %u ranks of a group %u may lose %s files\n", c->parities, view->job->ranks,
               group.code.members, group.code.parity, group.code.parity == 1 ? "its" : "their");
        return;
    }
}

static void print_record(const bl_view *view, const bl_view_checkpoint *c, const bl_snapshot *snapshot)
{
    const bl_commit_record *record = &c->record;
    printf("Checkpoint %u: ", c->number);
    if (c->state == BL_VIEW_DAMAGED)
        printf("the commit record is damaged: %s\n", c->note);
    else if (c->state != BL_VIEW_GOOD)
        printf("%s; a restart does not use it\n", bl_view_state_name(c->state));
    else {
        printf("committed by incarnation %u", record->incarnation);
        if (snapshot) {
            printf(", %s", bl_text_clean(snapshot->protocol).s);
            if (snapshot->line_base)
                printf(", which had resumed from checkpoint %u", snapshot->line_base);
        }
        printf("\n  safe point  %s\n", bl_text_number(record->safe_point).s);
        printf("  taken       %s (%s), after %s of useful work\n", bl_text_time(record->time_ns).s,
               bl_text_age(record->time_ns).s, bl_text_seconds(record->compute_s).s);
        printf("  record      good, %s\n", c->copies_differ ? "but one of its two copies is not (belay verify --repair)"
                                                            : "both copies equal");
    }
    printf("  snapshots   %u of %u, %s%s\n", c->present, view->job->ranks, bl_text_size(c->bytes).s,
           c->rebuildable ? "; what is missing can be made again (belay rebuild; a restart does it)" : "");
    print_redundancy(view, c);
}

static int print_variables(const bl_snapshot *snapshot, bl_error *err)
{
    bl_table table = {.columns = "lllr"};
    static const char *const head[] = {"variable", "type", "shape", "size"};
    uint64_t total = 0;
    for (size_t k = 0; k < 4; k++)
        bl_table_cell(&table, "%s", head[k]);
    for (size_t k = 0; k < snapshot->nvariables; k++) {
        const bl_variable *v = &snapshot->variables[k];
        bl_table_cell(&table, "%s", bl_text_clean(v->name).s);
        bl_table_cell(&table, "%s", type_name(v->type));
        bl_table_cell(&table, "%s", shape_of(v).s);
        bl_table_cell(&table, "%s", bl_text_size(bl_variable_bytes(v)).s);
        total += bl_variable_bytes(v);
    }
    int rc = bl_table_print(&table, "  ", err);
    printf("  %s, %s\n", bl_text_count(snapshot->nvariables, "variable").s, bl_text_size(total).s);
    return rc;
}

static int print_dependencies(const bl_view *view, const bl_snapshot *snapshot, bl_error *err)
{
    uint8_t *source = calloc(view->job->ranks, 1);
    uint64_t crossing = 0;
    if (!source)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %u ranks", view->job->ranks);
    for (size_t k = 0; k < snapshot->ndependencies; k++) {
        const bl_dependency *d = &snapshot->dependencies[k];
        if (d->source < view->job->ranks)
            source[d->source] = 1;
        crossing += d->source_interval != d->interval;
    }
    if (snapshot->ndependencies)
        printf("  in the interval that ends here it received messages of %s%s\n", bl_text_ranks(source, view->job->ranks).s,
               crossing ? ", some of them sent in other intervals" : "");
    else
        printf("  in the interval that ends here it received no messages\n");
    free(source);
    return BELAY_OK;
}

static int print_rank(const bl_view *view, const bl_view_checkpoint *c, const bl_snapshot *snapshot, bl_error *err)
{
    printf("\nRank %u: rank-%05u/ckpt-%06u.h5", snapshot->rank, snapshot->rank, c->number);
    if (c->state == BL_VIEW_GOOD)
        printf(", digest %s as its record says", digest_of(c->record.digests[snapshot->rank]).s);
    printf("\n");
    int rc = print_variables(snapshot, err);
    return rc == BELAY_OK ? print_dependencies(view, snapshot, err) : rc;
}

static int print_ranks(const bl_view *view, const bl_view_checkpoint *c, bl_error *err)
{
    uint64_t *bytes;
    uint32_t least = 0, most = 0, ranks = view->job->ranks;
    int rc = sizes_of(view, c, &bytes, err);
    bl_table table = {.columns = "rrl"};
    static const char *const head[] = {"rank", "snapshot", "digest"};
    for (size_t k = 0; rc == BELAY_OK && k < 3; k++)
        bl_table_cell(&table, "%s", head[k]);
    for (uint32_t rank = 0; rc == BELAY_OK && rank < ranks; rank++) {
        least = bytes[rank] < bytes[least] ? rank : least;
        most = bytes[rank] > bytes[most] ? rank : most;
        if (ranks > RANKS_LISTED)
            continue;
        bl_table_cell(&table, "%u", rank);
        bl_table_cell(&table, "%s", bytes[rank] ? bl_text_size(bytes[rank]).s : "missing");
        bl_table_cell(&table, "%s", c->state == BL_VIEW_GOOD ? digest_of(c->record.digests[rank]).s : "-");
    }
    if (rc == BELAY_OK && ranks > RANKS_LISTED)
        printf("\nSmallest snapshot %s (rank %u), largest %s (rank %u); --rank R shows one, --json lists all.\n",
               bl_text_size(bytes[least]).s, least, bl_text_size(bytes[most]).s, most);
    else if (rc == BELAY_OK) {
        printf("\n");
        rc = bl_table_print(&table, "  ", err);
        table.cell = NULL;
    }
    free(table.cell);
    free(bytes);
    return rc;
}

static json_t *json_variables(const bl_snapshot *snapshot)
{
    json_t *list = json_array();
    for (size_t k = 0; k < snapshot->nvariables; k++) {
        const bl_variable *v = &snapshot->variables[k];
        json_t *shape = json_array();
        for (int d = 0; d < v->dims; d++)
            json_array_append_new(shape, json_integer((json_int_t)v->shape[d]));
        json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:I}", "name", bl_text_clean(v->name).s, "type",
            type_name(v->type), "shape", shape, "bytes", (json_int_t)bl_variable_bytes(v)));
    }
    return list;
}

static json_t *json_snapshot(const bl_snapshot *snapshot)
{
    json_t *dependencies = json_array(), *channels = json_array(), *collectives = json_array();
    for (size_t k = 0; k < snapshot->ndependencies; k++)
        json_array_append_new(dependencies, json_pack("{s:I, s:I, s:I}", "source", (json_int_t)snapshot->dependencies[k].source,
            "source_interval", (json_int_t)snapshot->dependencies[k].source_interval, "interval",
            (json_int_t)snapshot->dependencies[k].interval));
    for (size_t k = 0; k < snapshot->nchannels; k++) {
        const bl_channel *c = &snapshot->channels[k];
        json_t *tag = c->tag == BL_TAG_FOLDED ? json_null() : json_integer(c->tag);
        json_array_append_new(channels, json_pack("{s:I, s:i, s:o, s:I, s:I}", "comm", (json_int_t)c->comm, "peer",
            (int)c->peer, "tag", tag, "sent", (json_int_t)c->sent, "received", (json_int_t)c->received));
    }
    for (size_t k = 0; k < snapshot->ncollectives; k++)
        json_array_append_new(collectives, json_pack("{s:I, s:I, s:I}", "comm", (json_int_t)snapshot->collectives[k].comm,
            "started", (json_int_t)snapshot->collectives[k].started, "size", (json_int_t)snapshot->collectives[k].size));
    json_t *out = json_pack("{s:I, s:s, s:I, s:o, s:o, s:o, s:o}", "rank", (json_int_t)snapshot->rank, "protocol",
        bl_text_clean(snapshot->protocol).s, "resumed_from", (json_int_t)snapshot->line_base, "variables",
        json_variables(snapshot), "dependencies", dependencies, "channels", channels, "collectives", collectives);
    if (out && snapshot->index)
        json_object_update_new(out, json_pack("{s:I, s:b}", "index", (json_int_t)snapshot->index, "forced", snapshot->forced != 0));
    return out;
}

static int print_json(const bl_view *view, const bl_view_checkpoint *c, const bl_snapshot *snapshot, bl_error *err)
{
    uint64_t *bytes;
    int rc = sizes_of(view, c, &bytes, err);
    json_t *ranks = json_array();
    for (uint32_t rank = 0; rc == BELAY_OK && rank < view->job->ranks; rank++)
        json_array_append_new(ranks, json_pack("{s:I, s:I, s:o}", "rank", (json_int_t)rank, "bytes", (json_int_t)bytes[rank],
            "digest", c->state == BL_VIEW_GOOD ? json_string(digest_of(c->record.digests[rank]).s) : json_null()));
    free(bytes);
    if (rc != BELAY_OK) {
        json_decref(ranks);
        return rc;
    }
    json_t *out = json_pack("{s:I, s:s, s:I, s:I, s:o, s:o}", "checkpoint", (json_int_t)c->number, "record",
        bl_view_state_name(c->state), "snapshots", (json_int_t)c->present, "bytes", (json_int_t)c->bytes, "ranks", ranks,
        "snapshot", snapshot ? json_snapshot(snapshot) : json_null());
    if (out && c->state == BL_VIEW_GOOD)
        json_object_update_new(out, json_pack("{s:I, s:I, s:I, s:f, s:b}", "incarnation", (json_int_t)c->record.incarnation,
            "safe_point", (json_int_t)c->record.safe_point, "time_ns", (json_int_t)c->record.time_ns, "compute_seconds",
            c->record.compute_s, "copies_differ", c->copies_differ));
    return bl_print_json(out, err);
}

static void print_index(const bl_snapshot *s)
{
    if (s->index)
        printf("  index       %u, %s\n", s->index, s->forced ? "forced by a message" : "taken when it was due");
}

/* An independent checkpoint is one file; without --rank it is rank 0's. */
static int show_own(const bl_args *args, const bl_view *view, bl_error *err)
{
    const bl_view_file *file;
    bl_reader *reader;
    const bl_snapshot *snapshot;
    if (args->rank >= view->job->ranks)
        return bl_fail(err, BELAY_ERR_ARG, "--rank %u: this job has ranks 0 to %u", args->rank, view->job->ranks - 1);
    int rc = bl_view_named_file(view, args->rank, args->word, &file, err);
    if (rc == BELAY_OK)
        rc = bl_snapshot_open(view->store, file->rank, file->number, NULL, &reader, &snapshot, err);
    if (rc != BELAY_OK)
        return rc;
    if (args->json)
        rc = bl_print_json(json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:o}", "checkpoint", (json_int_t)file->number, "bytes",
            (json_int_t)file->bytes, "incarnation", (json_int_t)snapshot->incarnation, "safe_point",
            (json_int_t)snapshot->safe_point, "time_ns", (json_int_t)snapshot->time_ns, "compute_seconds", snapshot->compute_s,
            "snapshot", json_snapshot(snapshot)), err);
    else {
        printf("Checkpoint %u of rank %u: taken by incarnation %u, %s\n", file->number, file->rank, snapshot->incarnation,
               bl_text_clean(snapshot->protocol).s);
        printf("  safe point  %s\n  taken       %s (%s), after %s of useful work\n  file        rank-%05u/ckpt-%06u.h5, %s\n",
               bl_text_number(snapshot->safe_point).s, bl_text_time(snapshot->time_ns).s, bl_text_age(snapshot->time_ns).s,
               bl_text_seconds(snapshot->compute_s).s, file->rank, file->number, bl_text_size(file->bytes).s);
        print_index(snapshot);
        rc = print_variables(snapshot, err);
    }
    bl_snapshot_close(reader);
    return rc;
}

/* The record is shown even when the snapshot cannot be: the error comes last. */
static int show(const bl_args *args, const bl_view *view, bl_error *err)
{
    const bl_view_checkpoint *c;
    int rc = bl_view_named(view, args->word, &c, err);
    if (rc != BELAY_OK)
        return rc;
    if (args->rank >= view->job->ranks)
        return bl_fail(err, BELAY_ERR_ARG, "--rank %u: this job has ranks 0 to %u", args->rank, view->job->ranks - 1);
    bl_reader *reader = NULL;
    const bl_snapshot *snapshot = NULL;
    bl_error unreadable = {0, ""};
    const bl_digest *expect = c->state == BL_VIEW_GOOD ? &c->record.digests[args->rank] : NULL;
    if (bl_snapshot_open(view->store, args->rank, c->number, expect, &reader, &snapshot, &unreadable) != BELAY_OK)
        snapshot = NULL;
    if (args->json)
        rc = print_json(view, c, snapshot, err);
    else {
        print_record(view, c, snapshot);
        if (!args->has_rank)
            rc = print_ranks(view, c, err);
        if (rc == BELAY_OK && snapshot)
            rc = print_rank(view, c, snapshot, err);
    }
    if (snapshot)
        bl_snapshot_close(reader);
    return rc == BELAY_OK && unreadable.code && c->state == BL_VIEW_GOOD ? bl_fail(err, unreadable.code, "%s", unreadable.text)
                                                                        : rc;
}

static int run(const bl_args *args, bl_error *err)
{
    bl_view view;
    int rc = bl_view_load(args->dir, &view, err);
    if (rc == BELAY_OK) {
        rc = view.independent ? show_own(args, &view, err) : show(args, &view, err);
        bl_view_free(&view);
    }
    return rc == BELAY_OK ? BL_EXIT_OK : bl_exit_of(err);
}

const bl_command bl_command_show = {
    .name = "show",
    .summary = "one checkpoint: what is in it",
    .usage = "usage: belay show [CHECKPOINT] [--rank R] [--dir DIR] [--json]\n"
             "\n"
             "Shows one checkpoint (default: the newest committed one): when it was taken, the variables of a rank, the sizes\n"
             "and digests of all snapshots.\n"
             "\n"
             "  --rank R   the snapshot of rank R only (default: all in short, the variables of rank 0)\n"
             "  --dir DIR  the job directory (default: BELAY_DIR, or belay.d)\n"
             "  --json     everything, for programs\n",
    .options = "rdj",
    .takes_word = true,
    .run = run,
};
