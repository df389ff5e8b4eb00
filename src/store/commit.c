/* commit.c - commit records: one decision per checkpoint, taken once, kept twice.
 *
 * commit/NNNNNN.a is linked into place, which only one can do; .b is a copy with the same bytes.  First line
 * "belay-commit 1 <xxh3-128 of the rest> <length of the rest>", then JSON.
 */
#include "store/internal.h"
#include "store/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { RECORD_BYTES_MAX = 64 << 20, HEAD_MAX = 96 };

static const char *const decisions[] = { [BL_UNDECIDED] = "undecided", [BL_COMMITTED] = "committed", [BL_ABORTED] = "aborted" };

typedef struct copy { int code; char *bytes; size_t size; bl_commit_record record; bl_error error; } copy;
typedef struct pair { copy a, b; } pair;

static void record_path(const bl_store *store, uint32_t checkpoint, char half, char path[BL_PATH])
{
    bl_store_path(store, path, "commit/%06u.%c", checkpoint, half);
}

static int sync_commits(const bl_store *store, bl_error *err)
{
    char path[BL_PATH];
    bl_store_path(store, path, "commit");
    return bl_dir_sync(store, path, err);
}

void bl_commit_clear(bl_commit_record *record)
{
    free(record->digests);
    *record = (bl_commit_record){ .decision = BL_UNDECIDED };
}

/* --- writing one --- */

static json_t *digest_list(const bl_commit_record *record)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && record->decision == BL_COMMITTED && i < record->ranks; i++) {
        char hex[BL_HEX + 1];
        bl_digest_text(record->digests[i], hex);
        if (json_array_append_new(list, json_string(hex)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static char *record_body(const bl_store *store, const bl_commit_record *record)
{
    return bl_json_text(json_pack("{s:i, s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:f, s:o}", "format", (int)BL_FORMAT,
                             "job", store->job.id, "checkpoint", (json_int_t)record->checkpoint,
                             "incarnation", (json_int_t)record->incarnation, "decision", decisions[record->decision],
                             "ranks", (json_int_t)record->ranks, "safe_point", (json_int_t)record->safe_point,
                             "time_ns", (json_int_t)record->time_ns, "compute_s", record->compute_s,
                             "snapshots", digest_list(record)));
}

static int record_text(const bl_store *store, const bl_commit_record *record, char **text, size_t *size, bl_error *err)
{
    char hex[BL_HEX + 1], *body = record_body(store, record);
    size_t length = body ? strlen(body) : 0;
    *text = body ? malloc(length + HEAD_MAX) : NULL;
    if (*text) {
        bl_digest_text(bl_digest_of(body, length), hex);
        int head = snprintf(*text, HEAD_MAX, "belay-commit %d %s %zu\n", (int)BL_FORMAT, hex, length);
        memcpy(*text + head, body, length);
        *size = (size_t)head + length;
    }
    free(body);
    return *text ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "no memory for the commit record of checkpoint %u", record->checkpoint);
}

/* --- reading one --- */

static int damaged(bl_error *err, const char *path, uint32_t checkpoint, const char *what)
{
    return bl_fail(err, BELAY_ERR_DAMAGED, "%s (commit record of checkpoint %u) is damaged: %s", path, checkpoint, what);
}

/* The body, if the first line describes it. */
static const char *checked_body(const char *text, size_t size, unsigned *format, size_t *length)
{
    char hex[BL_HEX + 1], head[HEAD_MAX];
    bl_digest said;
    int used = 0;
    if (sscanf(text, "belay-commit %9u %32[0-9a-f] %9zu%n", format, hex, length, &used) != 3 || used == 0
        || !bl_digest_parse(hex, &said))
        return NULL;
    int canonical = snprintf(head, sizeof head, "belay-commit %u %s %zu\n", *format, hex, *length);
    if (canonical != used + 1 || strncmp(head, text, (size_t)canonical) != 0 || size - (size_t)canonical != *length
        || !bl_digest_equal(said, bl_digest_of(text + canonical, *length)))
        return NULL;
    return text + canonical;
}

static bool read_digests(const json_t *list, bl_commit_record *record)
{
    record->digests = malloc((size_t)record->ranks * sizeof *record->digests);
    for (uint32_t i = 0; record->digests && i < record->ranks; i++) {
        const char *hex = json_string_value(json_array_get(list, i));
        if (!hex || strlen(hex) != BL_HEX || !bl_digest_parse(hex, &record->digests[i]))
            return false;
    }
    return record->digests;
}

static const char *fill_record(const json_t *root, bl_commit_record *record)
{
    json_int_t checkpoint, incarnation, ranks, safe_point, time_ns;
    const char *decision = json_string_value(json_object_get(root, "decision"));
    const json_t *compute = json_object_get(root, "compute_s"), *list = json_object_get(root, "snapshots");
    if (!bl_json_number(root, "checkpoint", 1, BL_CHECKPOINT_MAX, &checkpoint)
        || !bl_json_number(root, "incarnation", 0, BL_INCARNATION_MAX, &incarnation)
        || !bl_json_number(root, "ranks", 1, BL_RANKS_MAX, &ranks) || !bl_json_number(root, "safe_point", 0, INT64_MAX, &safe_point)
        || !bl_json_number(root, "time_ns", INT64_MIN, INT64_MAX, &time_ns) || !json_is_real(compute))
        return "a number is missing or out of range";
    record->decision = !decision ? BL_UNDECIDED : strcmp(decision, decisions[BL_COMMITTED]) == 0 ? BL_COMMITTED
        : strcmp(decision, decisions[BL_ABORTED]) == 0 ? BL_ABORTED : BL_UNDECIDED;
    if (record->decision == BL_UNDECIDED)
        return "it holds no decision";
    record->checkpoint = (uint32_t)checkpoint;
    record->incarnation = (uint32_t)incarnation;
    record->ranks = (uint32_t)ranks;
    record->safe_point = (uint64_t)safe_point;
    record->time_ns = time_ns;
    record->compute_s = json_real_value(compute);
    if (!json_is_array(list) || json_array_size(list) != (record->decision == BL_COMMITTED ? record->ranks : 0)
        || (record->decision == BL_COMMITTED && !read_digests(list, record)))
        return "the list of snapshots is wrong";
    return NULL;
}

static int judge(const bl_store *store, const char *path, uint32_t checkpoint, const json_t *root, unsigned head_format,
                 bl_commit_record *record, bl_error *err)
{
    json_int_t format;
    const char *job = json_string_value(json_object_get(root, "job"));
    if (!bl_json_number(root, "format", 1, INT32_MAX, &format) || format != (json_int_t)head_format || !job)
        return damaged(err, path, checkpoint, "its format or job is missing or contradictory");
    if (format > BL_FORMAT)
        return bl_fail(err, BELAY_ERR_FORMAT, "%s (commit record of checkpoint %u) has format %u, this Belay reads up to %d: "
                       "use the newer Belay that wrote it", path, checkpoint, head_format, (int)BL_FORMAT);
    if (strcmp(job, store->job.id) != 0)
        return bl_fail(err, BELAY_ERR_FOREIGN, "%s (commit record of checkpoint %u) belongs to job %.16s, not to job %s of "
                       "this directory: move it away", path, checkpoint, job, store->job.id);
    const char *wrong = fill_record(root, record);
    if (wrong)
        return damaged(err, path, checkpoint, wrong);
    if (record->checkpoint != checkpoint || record->ranks != store->job.ranks)
        return bl_fail(err, BELAY_ERR_FOREIGN, "%s is the commit record of checkpoint %u of %u ranks, its name and the job "
                       "say checkpoint %u of %u: move it away", path, record->checkpoint, record->ranks, checkpoint,
                       store->job.ranks);
    return BELAY_OK;
}

static int parse_record(const bl_store *store, const char *path, uint32_t checkpoint, const char *text, size_t size,
                        bl_commit_record *record, bl_error *err)
{
    unsigned format;
    size_t length;
    const char *body = checked_body(text, size, &format, &length);
    if (!body)
        return damaged(err, path, checkpoint, "it is truncated or altered");
    json_t *root = json_loadb(body, length, JSON_REJECT_DUPLICATES, NULL);
    int code = judge(store, path, checkpoint, root, format, record, err);
    json_decref(root);
    if (code != BELAY_OK)
        bl_commit_clear(record);
    return code;
}

static void load(const bl_store *store, uint32_t checkpoint, char half, copy *c)
{
    char path[BL_PATH];
    *c = (copy){ .code = BELAY_OK };
    record_path(store, checkpoint, half, path);
    c->code = bl_file_read(path, RECORD_BYTES_MAX, &c->bytes, &c->size, &c->error);
    if (c->code == BELAY_OK)
        c->code = parse_record(store, path, checkpoint, c->bytes, c->size, &c->record, &c->error);
}

static void unload(copy *c)
{
    free(c->bytes);
    bl_commit_clear(&c->record);
    c->bytes = NULL;
}

static void load_pair(const bl_store *store, uint32_t checkpoint, pair *p)
{
    load(store, checkpoint, 'a', &p->a);
    load(store, checkpoint, 'b', &p->b);
}

static void unload_pair(pair *p)
{
    unload(&p->a);
    unload(&p->b);
}

/* The two-disk rules: the copy that counts, or NULL with the code to report.  A copy of a newer format is good, only not
 * for this reader: falling back past it would undo what a newer Belay decided. */
static copy *choose(pair *p, int *code, bl_error *err)
{
    copy *counts = p->a.code == BELAY_OK || p->a.code == BELAY_ERR_FORMAT ? &p->a
        : p->b.code == BELAY_OK || p->b.code == BELAY_ERR_FORMAT ? &p->b : NULL;
    *code = BELAY_OK;
    if (counts && counts->code == BELAY_OK)
        return counts;
    if (!counts)
        counts = p->a.code == BELAY_ERR_NONE ? &p->b : &p->a;
    *code = bl_fail(err, counts->code, "%s", counts->error.text);
    return NULL;
}

int bl_commit_read(bl_store *store, uint32_t checkpoint, bl_commit_record *record, bl_error *err)
{
    pair p;
    int code;
    *record = (bl_commit_record){ .decision = BL_UNDECIDED };
    load_pair(store, checkpoint, &p);
    copy *counts = choose(&p, &code, err);
    if (counts) {
        *record = counts->record;
        counts->record.digests = NULL;
    }
    unload_pair(&p);
    return code;
}

/* --- deciding --- */

/* A name nobody else uses: several processes of one incarnation may decide at the same time. */
static int temporary_path(const bl_store *store, uint32_t checkpoint, char path[BL_PATH], bl_error *err)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return bl_fail_errno(err, "no random number for a temporary name");
    bl_store_path(store, path, "commit/%06u.tmp-%04u-%016" PRIx64, checkpoint, store->incarnation, random);
    return BELAY_OK;
}

/* Makes the other copy equal to the one that counts. */
static int write_copy(const bl_store *store, uint32_t checkpoint, char half, const char *bytes, size_t size, bl_error *err)
{
    char path[BL_PATH], temporary[BL_PATH];
    record_path(store, checkpoint, half, path);
    int code = temporary_path(store, checkpoint, temporary, err);
    if (code == BELAY_OK)
        code = bl_file_write(store, temporary, bytes, size, err);
    if (code != BELAY_OK)
        return code;
    if (bl_file_rename(store, temporary, path) != 0) {
        code = bl_fail_errno(err, "cannot rename %s to %s", temporary, path);
        (void)unlink(temporary);
        return code;
    }
    return BELAY_OK;
}

static bool same_bytes(const copy *a, const copy *b)
{
    return a->bytes && b->bytes && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* Under the fence. */
static int mirror(const bl_store *store, uint32_t checkpoint, bl_commit_record *record, bl_error *err)
{
    pair p;
    int code;
    load_pair(store, checkpoint, &p);
    copy *counts = choose(&p, &code, err);
    if (counts && !same_bytes(&p.a, &p.b))
        code = write_copy(store, checkpoint, counts == &p.a ? 'b' : 'a', counts->bytes, counts->size, err);
    if (counts && code == BELAY_OK)
        code = sync_commits(store, err); /* also when another process wrote them: it may not have come to it */
    if (counts && code == BELAY_OK) {
        *record = counts->record;
        counts->record.digests = NULL;
    }
    unload_pair(&p);
    return code;
}

int bl_commit_repair(bl_store *store, uint32_t checkpoint, bl_error *err)
{
    bl_fence fence;
    bl_commit_record record = { .decision = BL_UNDECIDED };
    int code = bl_fence_enter(store, &fence, err);
    if (code != BELAY_OK)
        return code;
    code = mirror(store, checkpoint, &record, err);
    bl_commit_clear(&record);
    bl_fence_leave(&fence);
    return code;
}

/* Puts the main copy there unless there is one; either is fine. */
static int link_first(const bl_store *store, const bl_commit_record *record, bl_error *err)
{
    char path[BL_PATH], temporary[BL_PATH], *text;
    size_t size = 0;
    record_path(store, record->checkpoint, 'a', path);
    int code = record_text(store, record, &text, &size, err);
    if (code != BELAY_OK)
        return code;
    code = temporary_path(store, record->checkpoint, temporary, err);
    if (code == BELAY_OK)
        code = bl_file_write(store, temporary, text, size, err);
    free(text);
    if (code != BELAY_OK)
        return code;
    if (link(temporary, path) != 0 && errno != EEXIST)
        code = bl_fail_errno(err, "cannot link %s to %s", temporary, path);
    (void)unlink(temporary);
    return code == BELAY_OK ? sync_commits(store, err) : code; /* the main copy first, then the mirror */
}

static int decide(const bl_store *store, const bl_commit_record *record, enum bl_decision *actual, bl_error *err)
{
    bl_commit_record there;
    int code = mirror(store, record->checkpoint, &there, err); /* a decision may stand in either copy */
    if (code == BELAY_ERR_NONE) {
        code = link_first(store, record, err);
        if (code == BELAY_OK)
            code = mirror(store, record->checkpoint, &there, err);
    }
    if (code != BELAY_OK)
        return code;
    *actual = there.decision;
    bl_commit_clear(&there);
    return BELAY_OK;
}

static int check_record(const bl_store *store, const bl_commit_record *record, bl_error *err)
{
    if (record->checkpoint == 0 || record->checkpoint > BL_CHECKPOINT_MAX || record->ranks != store->job.ranks
        || record->incarnation > BL_INCARNATION_MAX || record->safe_point > INT64_MAX || !isfinite(record->compute_s)
        || (record->decision != BL_ABORTED && record->decision != BL_COMMITTED)
        || (record->decision == BL_COMMITTED && !record->digests))
        return bl_fail(err, BELAY_ERR_ARG, "checkpoint %u: this commit record cannot be stored", record->checkpoint);
    return BELAY_OK;
}

int bl_commit_decide(bl_store *store, const bl_commit_record *record, enum bl_decision *actual, bl_error *err)
{
    bl_fence fence;
    char path[BL_PATH];
    int code = check_record(store, record, err);
    if (code == BELAY_OK)
        code = bl_fence_enter(store, &fence, err);
    if (code != BELAY_OK)
        return code;
    bl_store_path(store, path, "commit");
    if (!store->swept)
        bl_dir_sweep(store, path);
    store->swept = true;
    code = decide(store, record, actual, err);
    bl_fence_leave(&fence);
    return code;
}

/* --- all of them --- */

static int list_entry(void *context, const char *name, bl_error *err)
{
    const char *rest;
    uint32_t number;
    if (!bl_name_number(name, "", 6, BL_CHECKPOINT_MAX, &number, &rest) || (strcmp(rest, ".a") != 0 && strcmp(rest, ".b") != 0))
        return BELAY_OK;
    return bl_numbers_add(context, number, err);
}

int bl_commit_list(bl_store *store, uint32_t **numbers, size_t *count, bl_error *err)
{
    char path[BL_PATH];
    bl_numbers list = { NULL, 0, 0 };
    bl_store_path(store, path, "commit");
    *numbers = NULL;
    *count = 0;
    int code = bl_dir_each(path, list_entry, &list, err);
    if (code != BELAY_OK) {
        free(list.at);
        return code;
    }
    bl_numbers_finish(&list);
    *numbers = list.at;
    *count = list.count;
    return BELAY_OK;
}

int bl_commit_newest(bl_store *store, uint32_t below, bl_commit_record *record, bl_note *note, void *context, bl_error *err)
{
    uint32_t *numbers;
    size_t count;
    bl_error bad = { .code = BELAY_OK };
    int code = bl_commit_list(store, &numbers, &count, err);
    *record = (bl_commit_record){ .decision = BL_UNDECIDED };
    if (code != BELAY_OK)
        return code;
    code = BELAY_ERR_NONE;
    while (code == BELAY_ERR_NONE && count-- > 0) {
        if (numbers[count] >= below)
            continue;
        int is = bl_commit_read(store, numbers[count], record, &bad);
        if (is == BELAY_OK && record->decision == BL_COMMITTED)
            code = BELAY_OK;
        else if (is == BELAY_ERR_DAMAGED || is == BELAY_ERR_FOREIGN) {
            if (note)
                note(context, bad.text);
        } else if (is != BELAY_OK && is != BELAY_ERR_NONE)
            code = bl_fail(err, is, "%s", bad.text);
        if (code == BELAY_ERR_NONE)
            bl_commit_clear(record);
    }
    free(numbers);
    if (code == BELAY_ERR_NONE)
        (void)bl_fail(err, code, "%s holds no committed checkpoint%s", store->dir, below == UINT32_MAX ? "" : " older than that");
    return code;
}

/* The mirror first: should the job die in between, the main copy still says what was decided. */
int bl_commit_remove(bl_store *store, uint32_t checkpoint, bl_error *err)
{
    bl_fence fence;
    char path[BL_PATH];
    int code = bl_fence_enter(store, &fence, err);
    if (code != BELAY_OK)
        return code;
    record_path(store, checkpoint, 'b', path);
    code = bl_file_remove(path, err);
    record_path(store, checkpoint, 'a', path);
    if (code == BELAY_OK)
        code = bl_file_remove(path, err);
    if (code == BELAY_OK)
        code = sync_commits(store, err); /* before a snapshot it named goes */
    bl_fence_leave(&fence);
    return code;
}

int bl_commit_quarantine(bl_store *store, uint32_t checkpoint, bl_error *err)
{
    bl_fence fence;
    char path[BL_PATH], to[BL_PATH];
    int code = bl_fence_enter(store, &fence, err);
    if (code != BELAY_OK)
        return code;
    bl_store_path(store, path, "quarantine");
    code = bl_dir_make(path, err);
    for (const char *half = "ba"; code == BELAY_OK && *half; half++) { /* the mirror first, as above */
        record_path(store, checkpoint, *half, path);
        bl_store_path(store, to, "quarantine/commit-%06u.%c", checkpoint, *half);
        if (rename(path, to) != 0 && errno != ENOENT)
            code = bl_fail_errno(err, "cannot move %s to %s", path, to);
    }
    if (code == BELAY_OK)
        code = sync_commits(store, err);
    bl_fence_leave(&fence);
    return code;
}
