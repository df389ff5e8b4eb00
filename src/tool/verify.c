#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/late.h"
#include "store/parity.h"
#include "tool/journals.h"
#include "tool/text.h"
#include "tool/tool.h"
#include "tool/view.h"

typedef struct verifier {
    bl_view *view;
    const bl_args *args;
    json_t *list;       /* --json: what was damaged in the present checkpoint */
    uint64_t damaged, repaired;
} verifier;

static void damage(verifier *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void damage(verifier *v, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    v->damaged++;
    if (v->list)
        json_array_append_new(v->list, bl_json_sentence(line));
    else
        printf("damaged: %s\n", bl_text_wash(line));
}

static void verify_record(verifier *v, bl_view_checkpoint *c)
{
    bl_error err = {0, ""};
    if (c->state == BL_VIEW_INCOMPLETE || (c->state != BL_VIEW_DAMAGED && !c->copies_differ))
        return;
    if (c->state == BL_VIEW_DAMAGED)
        damage(v, "%s", c->note);
    else if (!v->args->repair)
        damage(v, "checkpoint %u: one copy of the commit record is bad, the other one counts; --repair makes them equal",
               c->number);
    else if (bl_commit_repair(v->view->store, c->number, &err) != BELAY_OK)
        damage(v, "checkpoint %u: the commit record cannot be repaired: %s", c->number, err.text);
    else {
        v->repaired++;
        c->copies_differ = false;
        if (!v->list)
            printf("repaired: checkpoint %u: both copies of the commit record are equal again\n", c->number);
    }
}

static int verify_snapshot(const verifier *v, const bl_view_checkpoint *c, uint32_t rank, bl_error *err)
{
    bl_reader *reader;
    const bl_snapshot *snapshot;
    int rc = bl_snapshot_open(v->view->store, rank, c->number, &c->record.digests[rank], &reader, &snapshot, err);
    if (rc != BELAY_OK)
        return rc;
    rc = bl_snapshot_verify(reader, err);
    bl_snapshot_close(reader);
    return rc;
}

/* A running job removes checkpoints it no longer needs: what is gone with its record is not damaged. */
static bool retired(const verifier *v, uint32_t number)
{
    bl_commit_record record;
    bl_error err;
    int rc = bl_commit_read(v->view->store, number, &record, &err);
    bl_commit_clear(&record);
    return rc == BELAY_ERR_NONE;
}

static void tell_repair(void *context, const char *sentence)
{
    const verifier *v = context;
    if (!v->list)
        printf("%s\n", sentence);
}

/* Before anything is judged. */
static void repair_files(verifier *v, const bl_view_checkpoint *c)
{
    bl_error err = {0, ""};
    bl_rebuilt done;
    if (!v->args->repair || c->state != BL_VIEW_GOOD || !c->parities)
        return;
    int rc = bl_parity_rebuild(v->view->store, c->number, 0, tell_repair, v, &done, &err);
    v->repaired += done.snapshots + done.parities;
    if (rc != BELAY_OK && rc != BELAY_ERR_NONE)
        damage(v, "checkpoint %u cannot be rebuilt: %s", c->number, err.text);
}

static bool can_be_rebuilt(const verifier *v, const bl_view_checkpoint *c)
{
    bl_error err = {0, ""};
    bl_rebuilt done;
    return bl_parity_rebuild(v->view->store, c->number, 1, NULL, NULL, &done, &err) == BELAY_OK && !done.lost;
}

static void verify_parity(verifier *v, const bl_view_checkpoint *c, uint32_t rank)
{
    bl_error err = {0, ""};
    int rc = bl_parity_verify(v->view->store, rank, c->number, &err);
    if (rc != BELAY_OK && !retired(v, c->number))
        damage(v, "checkpoint %u, rank %u: %s", c->number, rank, err.text);
}

/* A checkpoint that a restart cannot use becomes DAMAGED.  Returns how much was verified, for the summary. */
static bool verify_checkpoint(verifier *v, bl_view_checkpoint *c)
{
    uint64_t before = v->damaged;
    verify_record(v, c);
    repair_files(v, c);
    bool usable = c->state == BL_VIEW_GOOD;
    for (uint32_t rank = 0; c->state == BL_VIEW_GOOD && rank < v->view->job->ranks; rank++) {
        bl_error err = {0, ""};
        if (verify_snapshot(v, c, rank, &err) == BELAY_OK)
            continue;
        usable = false;
        if (retired(v, c->number)) {
            v->damaged = before;
            break;
        }
        damage(v, "checkpoint %u, rank %u: %s", c->number, rank, err.text);
    }
    for (uint32_t rank = 0; c->state == BL_VIEW_GOOD && c->parities && rank < v->view->job->ranks; rank++)
        verify_parity(v, c, rank);
    if (c->state == BL_VIEW_GOOD && c->parities && v->damaged > before && !v->args->repair && can_be_rebuilt(v, c)) {
        if (!v->list)
            printf("checkpoint %u: all of that can be made again from its redundancy: belay verify %u --repair; a restart does the same\n", c->number, c->number);
        return true; /* a restart does it */
    }
    if (c->state == BL_VIEW_GOOD && !usable)
        c->state = BL_VIEW_DAMAGED;
    return usable;
}

static int add_to_json(verifier *v, const bl_view_checkpoint *c, bool usable, json_t *all, bl_error *err)
{
    json_t *entry = json_pack("{s:I, s:s, s:b, s:O}", "checkpoint", (json_int_t)c->number, "record",
                              bl_view_state_name(c->state), "usable", usable, "damaged", v->list);
    json_decref(v->list);
    v->list = NULL;
    return json_array_append_new(all, entry) == 0 ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for JSON");
}

static int verify_one(verifier *v, bl_view_checkpoint *c, json_t *all, bl_error *err)
{
    if (all && !(v->list = json_array()))
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for JSON");
    uint64_t before = v->damaged;
    bool usable = verify_checkpoint(v, c);
    if (all)
        return add_to_json(v, c, usable, all, err);
    if (usable && v->damaged == before)
        printf("checkpoint %u: verified, %s%s, %s\n", c->number, bl_text_count(v->view->job->ranks, "snapshot").s,
               c->parities ? " and their redundancy" : "", bl_text_size(c->bytes).s);
    else if (c->state == BL_VIEW_ABORTED || c->state == BL_VIEW_INCOMPLETE)
        printf("checkpoint %u: %s, a restart does not use it\n", c->number, bl_view_state_name(c->state));
    return BELAY_OK;
}

static int finish(const verifier *v, json_t *all, bl_error *err)
{
    const bl_view_checkpoint *restart = bl_view_restart(v->view);
    if (all)
        return bl_print_json(json_pack("{s:O, s:I, s:I, s:o}", "checkpoints", all, "damaged", (json_int_t)v->damaged,
            "repaired", (json_int_t)v->repaired, "restart", restart ? json_integer(restart->number) : json_null()), err);
    if (restart)
        printf("A restart begins at checkpoint %u.\n", restart->number);
    else
        printf("A restart begins from the start: no checkpoint is complete.\n");
    if (v->damaged)
        printf("%s damaged.\n", bl_text_count(v->damaged, "thing").s);
    return BELAY_OK;
}

/* --- independent checkpoints: every file for itself --- */

static int verify_file(const verifier *v, const bl_view_file *file, bl_error *err)
{
    bl_reader *reader;
    const bl_snapshot *snapshot;
    int rc = bl_snapshot_open(v->view->store, file->rank, file->number, NULL, &reader, &snapshot, err);
    if (rc != BELAY_OK)
        return rc;
    rc = bl_snapshot_verify(reader, err);
    bl_snapshot_close(reader);
    return rc;
}

/* A running job removes what no line needs any more. */
static bool still_there(const verifier *v, const bl_view_file *file)
{
    uint32_t *numbers = NULL;
    size_t count = 0;
    bl_error err;
    bool found = bl_snapshot_list(v->view->store, file->rank, &numbers, &count, &err) != BELAY_OK;
    for (size_t k = 0; k < count && numbers; k++)
        found |= numbers[k] == file->number;
    free(numbers);
    return found;
}

/* --- late files --- */

typedef struct lates { verifier *v; uint32_t rank; uint64_t files, messages, bytes; } lates;

/* What a death tore off at the end was never delivered: it is no damage. */
static int verify_late(void *context, const bl_late_file *file, bl_error *err)
{
    lates *l = context;
    (void)err;
    l->messages += file->records;
    l->bytes += file->bytes;
    if (file->wrong && !file->torn)
        damage(l->v, "rank %u, late file %u, after %s: %s", l->rank, file->checkpoint, bl_text_count(file->records, "message").s,
               file->wrong);
    else
        l->files++;
    return BELAY_OK;
}

static lates verify_lates(verifier *v)
{
    lates l = {.v = v};
    for (l.rank = 0; l.rank < v->view->job->ranks && v->view->lates; l.rank++) {
        bl_error err = {0, ""};
        if (bl_late_scan(v->view->store, l.rank, 0, NULL, verify_late, &l, &err) != BELAY_OK)
            damage(v, "%s", err.text);
    }
    return l;
}

static void journal_wrong(void *context, uint32_t rank, const bl_error *why)
{
    damage(context, "rank %u: %s", rank, why->text);
}

/* Those of a job that runs are being written. */
static int verify_journals(verifier *v, bl_journals *journals, bl_error *err)
{
    bl_live_header who;
    *journals = (bl_journals){0};
    if (bl_view_alive(v->view, &who) != BL_ALIVE_NO)
        return BELAY_OK;
    return bl_journals_read(v->view->store, v->view->job->ranks, journal_wrong, v, journals, err);
}

static int verify_own(verifier *v, json_t *all, bl_error *err)
{
    const char *word = v->args->word && strcmp(v->args->word, "all") != 0 ? v->args->word : NULL;
    uint32_t number = 0;
    uint64_t good = 0, bytes = 0, looked_at = 0;
    if (word && !bl_parse_u32(word, UINT32_MAX - 1, &number))
        return bl_fail(err, BELAY_ERR_ARG, "'%.40s' is not a checkpoint number", word);
    v->list = all ? json_incref(all) : NULL;
    for (size_t k = 0; k < v->view->files; k++) {
        const bl_view_file *file = &v->view->file[k];
        bl_error why = {0, ""};
        if (word && file->number != number)
            continue;
        looked_at++;
        if (verify_file(v, file, &why) == BELAY_OK) {
            good++;
            bytes += file->bytes;
        } else if (still_there(v, file)) {
            damage(v, "rank %u, checkpoint %u: %s", file->rank, file->number, why.text);
        }
    }
    lates late = {0};
    bl_journals journals = {0};
    int rc = BELAY_OK;
    if (!word) {
        late = verify_lates(v);
        rc = verify_journals(v, &journals, err);
    }
    const bl_journals kept = journals;
    bl_journals_clear(&journals);
    json_decref(v->list);
    v->list = NULL;
    if (rc != BELAY_OK)
        return rc;
    if (word && looked_at == 0)
        return bl_fail(err, BELAY_ERR_NONE, "no rank has a checkpoint %u; belay ls lists them", number);
    if (all)
        return bl_print_json(json_pack("{s:O, s:I, s:I, s:I, s:I, s:I, s:I}", "damage", all, "verified", (json_int_t)good, "damaged",
            (json_int_t)v->damaged, "bytes", (json_int_t)bytes, "late_files", (json_int_t)late.files, "late_messages",
            (json_int_t)late.messages, "journal_records", (json_int_t)kept.records), err);
    if (late.files)
        printf("%s verified, %s with %s.\n", bl_text_count(late.files, "late file").s, bl_text_count(late.messages, "message").s,
               bl_text_size(late.bytes).s);
    if (kept.records)
        printf("%s of journals verified: %s with %s are kept.\n", bl_text_count(kept.records, "record").s,
               bl_text_count(kept.sum.messages, "message").s, bl_text_size(kept.sum.bytes).s);
    printf("%s of %s verified, %s; belay line says where a restart begins.\n", bl_text_number(good).s,
           bl_text_count(looked_at, "checkpoint").s, bl_text_size(bytes).s);
    if (v->damaged)
        printf("%s damaged.\n", bl_text_count(v->damaged, "thing").s);
    return BELAY_OK;
}

/* It makes its parity itself, and would find half of it made. */
static int refuse_running(const bl_view *view, bl_error *err)
{
    bl_live_header who;
    if (bl_view_alive(view, &who) != BL_ALIVE_HERE)
        return BELAY_OK;
    return bl_fail(err, BELAY_ERR_REFUSED, "the job in %s is running (rank %u is process %d); repair it when it has ended", bl_store_dir(view->store),
                   who.rank, (int)who.pid);
}

static int verify(verifier *v, json_t *all, bl_error *err)
{
    if (v->view->independent)
        return verify_own(v, all, err);
    const bl_view_checkpoint *only = NULL;
    const char *word = v->args->word;
    int rc = BELAY_OK;
    if (word && strcmp(word, "all") != 0)
        rc = bl_view_named(v->view, word, &only, err);
    if (rc == BELAY_OK && v->args->repair)
        rc = refuse_running(v->view, err);
    if (rc == BELAY_OK && v->args->repair)
        rc = bl_store_join(v->view->store, v->view->job->incarnation, err);
    for (size_t k = 0; rc == BELAY_OK && k < v->view->count; k++)
        if (!only || only == &v->view->checkpoint[k])
            rc = verify_one(v, &v->view->checkpoint[k], all, err);
    return rc == BELAY_OK ? finish(v, all, err) : rc;
}

static int run(const bl_args *args, bl_error *err)
{
    bl_view view;
    int rc = bl_view_load(args->dir, &view, err);
    if (rc != BELAY_OK)
        return bl_exit_of(err);
    verifier v = {.view = &view, .args = args};
    json_t *all = args->json ? json_array() : NULL;
    if (args->json && !all)
        rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory for JSON");
    if (rc == BELAY_OK)
        rc = verify(&v, all, err);
    json_decref(all);
    bl_view_free(&view);
    if (rc != BELAY_OK)
        return bl_exit_of(err);
    return v.damaged ? BL_EXIT_BAD : BL_EXIT_OK;
}

static int rebuild(const bl_args *args, bl_error *err)
{
    bl_args repair = *args;
    repair.repair = true;
    return run(&repair, err);
}

const bl_command bl_command_rebuild = {
    .name = "rebuild",
    .summary = "make lost or damaged files again from their redundancy",
    .usage = "usage: belay rebuild [CHECKPOINT|all] [--dir DIR] [--json]\n"
             "\n"
             "Does what a restart would do first: makes snapshots and parity that are missing or damaged again from those of\n"
             "the other ranks of their group, and checks every byte; and what belay verify --repair does, which it is.  With\n"
             "local-dir the directories of all nodes have to be seen from here; else start the job, which needs no such thing.\n"
             "Exit status: 0 all is whole, 1 something is missing for good, 2 wrong usage or no such job directory.\n"
             "\n"
             "  --dir DIR  the job directory (default: BELAY_DIR, or belay.d)\n"
             "  --json     for programs\n",
    .options = "dj",
    .takes_word = true,
    .run = rebuild,
};

const bl_command bl_command_verify = {
    .name = "verify",
    .summary = "read and check everything: commit records, snapshots, digests",
    .usage = "usage: belay verify [CHECKPOINT|all] [--repair] [--dir DIR] [--json]\n"
             "\n"
             "Reads both copies of every commit record and all data of every snapshot that a record names, and compares\n"
             "the digests; where each rank checkpoints on its own, all snapshots and late files.  One line for each damaged\n"
             "thing.  Exit status: 0 all good, 1 something is damaged, 2 wrong usage or no such job directory.\n"
             "\n"
             "  --repair   make the two copies of a commit record equal again where one is good, and make snapshots and\n"
             "             parity again from their redundancy; not while the job runs\n"
             "  --dir DIR  the job directory (default: BELAY_DIR, or belay.d)\n"
             "  --json     for programs\n",
    .options = "Rdj",
    .takes_word = true,
    .run = run,
};
