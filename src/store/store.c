/* store.c - the job directory: making it, opening it, and job.json. */
#include "store/internal.h"
#include "store/json.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { JOB_BYTES_MAX = 1 << 16 };

static const char zeros[] = "00000000000000000000000000000000";
static const char sum_key[] = "\"checksum\": \"";

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- job.json --- */

/* JSON is UTF-8; a program's name need not be. */
static json_t *text_of(const char *bytes)
{
    char ascii[sizeof ((bl_job *)0)->program];
    json_t *text = json_string(bytes);
    if (text)
        return text;
    snprintf(ascii, sizeof ascii, "%s", bytes);
    for (char *c = ascii; *c; c++)
        if (!isascii((unsigned char)*c))
            *c = '?';
    return json_string(ascii);
}

/* The checksum covers the whole text, taken while its own digits are zeros. */
static char *job_text(const bl_job *job)
{
    json_t *root = json_pack("{s:i, s:s, s:I, s:I, s:o, s:s, s:I, s:s}", "format", (int)BL_FORMAT, "job", job->id,
                             "ranks", (json_int_t)job->ranks, "incarnation", (json_int_t)job->incarnation,
                             "program", text_of(job->program), "state", job->state,
                             "started_ns", (json_int_t)job->started_ns, "checksum", zeros);
    char *text = bl_json_text(root);
    char *sum = text ? strstr(text, sum_key) : NULL;
    if (sum) {
        char hex[BL_HEX + 1];
        bl_digest_text(bl_digest_of(text, strlen(text)), hex);
        memcpy(sum + strlen(sum_key), hex, BL_HEX);
    }
    return text;
}

static int write_job(bl_store *store, bl_error *err)
{
    char path[BL_PATH], temporary[BL_PATH];
    bl_store_path(store, path, "job.json");
    bl_store_path(store, temporary, "job.json.tmp-%04u", store->incarnation);
    char *text = job_text(&store->job);
    if (!text)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory to write %s", path);
    int code = bl_file_write(store, temporary, text, strlen(text), err);
    free(text);
    if (code != BELAY_OK)
        return code;
    if (rename(temporary, path) != 0) {
        code = bl_fail_errno(err, "cannot rename %s to %s", temporary, path);
        (void)unlink(temporary);
        return code;
    }
    return bl_dir_sync(store, store->dir, err);
}

static bool get_text(const json_t *root, const char *key, char *to, size_t size)
{
    const char *text = json_string_value(json_object_get(root, key));
    if (!text || strlen(text) >= size)
        return false;
    memcpy(to, text, strlen(text) + 1);
    return true;
}

static bool good_word(const char *text, const char *letters, size_t min)
{
    return strlen(text) >= min && text[strspn(text, letters)] == '\0';
}

static const char *fill_job(const json_t *root, bl_job *job)
{
    json_int_t ranks, incarnation, started;
    if (!get_text(root, "job", job->id, sizeof job->id) || !good_word(job->id, "0123456789abcdef", 16))
        return "job";
    if (!bl_json_number(root, "ranks", 1, BL_RANKS_MAX, &ranks))
        return "ranks";
    if (!bl_json_number(root, "incarnation", 0, BL_INCARNATION_MAX, &incarnation))
        return "incarnation";
    if (!get_text(root, "program", job->program, sizeof job->program))
        return "program";
    if (!get_text(root, "state", job->state, sizeof job->state) || !good_word(job->state, "abcdefghijklmnopqrstuvwxyz", 1))
        return "state";
    if (!bl_json_number(root, "started_ns", INT64_MIN, INT64_MAX, &started))
        return "started_ns";
    job->ranks = (uint32_t)ranks;
    job->incarnation = (uint32_t)incarnation;
    job->started_ns = started;
    return NULL;
}

static bool sum_is_right(char *text, size_t size)
{
    char *sum = strlen(text) == size ? strstr(text, sum_key) : NULL;
    bl_digest said;
    if (!sum || !bl_digest_parse(sum + strlen(sum_key), &said))
        return false;
    memcpy(sum + strlen(sum_key), zeros, BL_HEX);
    return bl_digest_equal(said, bl_digest_of(text, size));
}

static int parse_job(const char *path, char *text, size_t size, bl_job *job, bl_error *err)
{
    json_int_t format = 0;
    if (!sum_is_right(text, size))
        return bl_fail(err, BELAY_ERR_DAMAGED, "%s is damaged: its checksum is wrong; restore it from a backup", path);
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    const char *wrong = bl_json_number(root, "format", 1, INT32_MAX, &format) ? NULL : "format";
    int code = BELAY_OK;
    if (!wrong && format > BL_FORMAT)
        code = bl_fail(err, BELAY_ERR_FORMAT, "%s has format %lld, this Belay reads up to %d: use the newer Belay that wrote it",
                       path, (long long)format, (int)BL_FORMAT);
    else if (wrong || (wrong = fill_job(root, job)))
        code = bl_fail(err, BELAY_ERR_DAMAGED, "%s is damaged: '%s' is missing or out of range", path, wrong);
    json_decref(root);
    return code;
}

static int read_job(bl_store *store, bl_error *err)
{
    char path[BL_PATH], *text;
    size_t size;
    bl_store_path(store, path, "job.json");
    int code = bl_file_read(path, JOB_BYTES_MAX, &text, &size, err);
    if (code != BELAY_OK)
        return code;
    code = parse_job(path, text, size, &store->job, err);
    free(text);
    return code;
}

/* --- making and opening --- */

static int new_store(const char *dir, enum bl_stable stable, bl_store **store, bl_error *err)
{
    char *absolute = realpath(dir, NULL);
    bl_store *made = calloc(1, sizeof *made);
    int code = BELAY_OK;
    if (!absolute && (errno == ENOENT || errno == ENOTDIR))
        code = bl_fail(err, BELAY_ERR_NONE, "there is no job directory %s", dir);
    else if (!absolute)
        code = bl_fail_errno(err, "cannot use the directory %s", dir);
    else if (!made)
        code = bl_fail(err, BELAY_ERR_MEMORY, "no memory to open %s", dir);
    else if (strlen(absolute) >= sizeof made->dir)
        code = bl_fail(err, BELAY_ERR_ARG, "the path of the job directory is longer than %zu bytes", sizeof made->dir - 1);
    if (code == BELAY_OK) {
        memcpy(made->dir, absolute, strlen(absolute) + 1);
        made->stable = stable;
        made->rank_dir = UINT32_MAX;
        *store = made;
    } else {
        free(made);
    }
    free(absolute);
    return code;
}

/* Only what an interrupted bl_store_create leaves may be there already. */
static int accept_leftover(void *context, const char *name, bl_error *err)
{
    static const char *const ours[] = { "incarnation", "commit", "quarantine", "job.json.tmp-0000" };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strcmp(name, ours[i]) == 0)
            return BELAY_OK;
    return strcmp(name, "job.json") == 0
        ? bl_fail(err, BELAY_ERR_ARG, "%s holds a job already: resume it, or choose another directory with --dir", (char *)context)
        : bl_fail(err, BELAY_ERR_ARG, "%s is not empty and holds no job: choose another directory with --dir", (char *)context);
}

static int new_id(char id[17], bl_error *err)
{
    unsigned char random[8];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return bl_fail_errno(err, "no random number for the id of the job");
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(id + 2 * i, 3, "%02x", random[i]);
    return BELAY_OK;
}

/* job.json comes last: a directory without it holds no job. */
static int fill_dir(bl_store *store, bl_error *err)
{
    char path[BL_PATH];
    int code = bl_dir_each(store->dir, accept_leftover, store->dir, err);
    for (int i = 0; code == BELAY_OK && i < 2; i++) {
        bl_store_path(store, path, "%s", i ? "quarantine" : "commit");
        code = bl_dir_make(path, err);
    }
    bl_store_path(store, path, "..");
    if (code == BELAY_OK)
        code = bl_dir_sync(store, path, err);
    if (code == BELAY_OK)
        code = bl_dir_sync(store, store->dir, err);
    return code == BELAY_OK ? write_job(store, err) : code;
}

int bl_store_create(const char *dir, uint32_t ranks, const char *program, enum bl_stable stable, bl_store **store, bl_error *err)
{
    bl_fence fence;
    *store = NULL;
    if (ranks == 0 || ranks > BL_RANKS_MAX)
        return bl_fail(err, BELAY_ERR_ARG, "%u ranks: 1 to %d are possible", ranks, (int)BL_RANKS_MAX);
    bl_store *made = NULL;
    int code = bl_dir_make(dir, err);
    if (code == BELAY_OK)
        code = new_store(dir, stable, &made, err);
    if (code == BELAY_OK)
        code = new_id(made->job.id, err);
    if (code == BELAY_OK)
        code = bl_dir_each(made->dir, accept_leftover, made->dir, err); /* before the first file is made */
    if (code == BELAY_OK)
        code = bl_fence_lock(made, true, &fence, err);
    if (code != BELAY_OK) {
        bl_store_close(made);
        return code;
    }
    made->job.ranks = ranks;
    made->job.started_ns = now_ns();
    snprintf(made->job.program, sizeof made->job.program, "%s", program);
    snprintf(made->job.state, sizeof made->job.state, "running");
    made->joined = true;
    code = bl_fence_write(made, &fence, 0, err);
    if (code == BELAY_OK)
        code = fill_dir(made, err);
    bl_fence_leave(&fence);
    if (code == BELAY_OK)
        *store = made;
    else
        bl_store_close(made);
    return code;
}

int bl_store_open(const char *dir, enum bl_stable stable, bl_store **store, bl_error *err)
{
    uint32_t running;
    bl_store *made = NULL;
    *store = NULL;
    int code = new_store(dir, stable, &made, err);
    if (code == BELAY_OK)
        code = read_job(made, err);
    if (code == BELAY_ERR_NONE && made)
        code = bl_fail(err, BELAY_ERR_NONE, "%s holds no job (no job.json)", made->dir);
    if (code != BELAY_OK) {
        bl_store_close(made);
        return code;
    }
    /* A start that died between the two files leaves job.json one behind. */
    if (bl_fence_peek(made, &running, NULL) == BELAY_OK && running > made->job.incarnation)
        made->job.incarnation = running;
    *store = made;
    return BELAY_OK;
}

void bl_store_close(bl_store *store)
{
    free(store);
}

void bl_store_before_rename(bl_store *store, void (*hook)(void))
{
    store->before_rename = hook;
}

void bl_store_rate(bl_store *store, uint64_t rate)
{
    store->rate = rate;
}

const bl_job *bl_store_job(const bl_store *store)
{
    return &store->job;
}

const char *bl_store_dir(const bl_store *store)
{
    return store->dir;
}

/* --- incarnations --- */

/* Under the exclusive lock.  The fence first: from then on nobody older publishes. */
static int begin_next(bl_store *store, const bl_fence *fence, bl_error *err)
{
    uint32_t running;
    int code = read_job(store, err);
    if (code != BELAY_OK)
        return code;
    if (bl_fence_read(store, fence, &running, NULL) == BELAY_OK && running > store->job.incarnation)
        store->job.incarnation = running;
    if (store->job.incarnation >= BL_INCARNATION_MAX)
        return bl_fail(err, BELAY_ERR_MEMORY, "%s has used up its %d incarnations", store->dir, (int)BL_INCARNATION_MAX);
    store->job.incarnation++;
    store->job.started_ns = now_ns();
    snprintf(store->job.state, sizeof store->job.state, "running");
    store->incarnation = store->job.incarnation;
    code = bl_fence_write(store, fence, store->incarnation, err);
    return code == BELAY_OK ? write_job(store, err) : code;
}

int bl_store_next_incarnation(bl_store *store, bl_error *err)
{
    bl_fence fence;
    int code = bl_fence_lock(store, true, &fence, err);
    if (code != BELAY_OK)
        return code;
    code = begin_next(store, &fence, err);
    bl_fence_leave(&fence);
    store->joined = code == BELAY_OK;
    return code;
}

int bl_store_join(bl_store *store, uint32_t incarnation, bl_error *err)
{
    bl_fence fence;
    store->joined = true;
    store->incarnation = incarnation;
    int code = bl_fence_enter(store, &fence, err);
    if (code == BELAY_OK)
        bl_fence_leave(&fence);
    store->joined = code == BELAY_OK;
    if (store->joined)
        store->job.incarnation = incarnation;
    return code;
}

int bl_store_running(bl_store *store, uint32_t *incarnation, bl_error *err)
{
    return bl_fence_peek(store, incarnation, err);
}

/* The exclusive lock, because two writers would share one temporary name. */
int bl_store_set_state(bl_store *store, const char *state, bl_error *err)
{
    bl_fence fence;
    if (strlen(state) >= sizeof store->job.state || !good_word(state, "abcdefghijklmnopqrstuvwxyz", 1))
        return bl_fail(err, BELAY_ERR_ARG, "'%s' is not the state of a job", state);
    int code = bl_fence_lock(store, false, &fence, err);
    if (code != BELAY_OK)
        return code;
    code = bl_fence_check(store, &fence, err);
    if (code == BELAY_OK)
        code = read_job(store, err);
    if (code == BELAY_OK) {
        store->job.incarnation = store->incarnation;
        snprintf(store->job.state, sizeof store->job.state, "%s", state);
        code = write_job(store, err);
    }
    bl_fence_leave(&fence);
    return code;
}
