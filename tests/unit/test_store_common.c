#include "test_store_common.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void die(const char *what, const char *path)
{
    fprintf(stderr, "test_store_common: ");
    fprintf(stderr, "%s ", what);
    perror(path);
    abort();
}

void scratch_make(char path[256])
{
    const char *tmp = getenv("TMPDIR");
    snprintf(path, 256, "%s/belay-store-XXXXXX", tmp && strlen(tmp) < 200 ? tmp : "/tmp");
    if (!mkdtemp(path))
        die("mkdtemp", path);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    return remove(path);
}

void scratch_remove(const char *path)
{
    if (scratch_exists(path) && nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        die("remove", path);
}

void scratch_read(const char *path, char **bytes, size_t *size)
{
    struct stat status;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &status) != 0)
        die("open", path);
    *size = (size_t)status.st_size;
    *bytes = malloc(*size + 1);
    if (!*bytes || read(fd, *bytes, *size) != (ssize_t)*size)
        die("read", path);
    (*bytes)[*size] = '\0';
    close(fd);
}

void scratch_write(const char *path, const void *bytes, size_t size)
{
    (void)unlink(path); /* ext4 forces a file that was truncated and rewritten, and there are thousands */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (fd < 0 || (size > 0 && write(fd, bytes, size) != (ssize_t)size))
        die("write", path);
    close(fd);
}

bool scratch_exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static const char *counted_part;
static int counted;

static int count_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    if (type == FTW_F && strstr(path + walk->base, counted_part))
        counted++;
    return 0;
}

int scratch_count(const char *path, const char *part)
{
    counted = 0;
    counted_part = part;
    if (scratch_exists(path) && nftw(path, count_one, 16, FTW_PHYS) != 0)
        die("walk", path);
    return counted;
}

/* --- samples --- */

static bl_variable variable(const char *name, enum bl_type type, uint32_t element, int dims, uint64_t a, uint64_t b, void *data)
{
    bl_variable v = { .type = type, .element = element, .dims = dims, .shape = { a, b }, .data = data };
    snprintf(v.name, sizeof v.name, "%s", name);
    return v;
}

void sample_make(sample *s, uint32_t rank, uint32_t ranks, uint32_t checkpoint, uint32_t incarnation)
{
    memset(s, 0, sizeof *s);
    s->step = (int32_t)(1000 * checkpoint + rank);
    for (int i = 0; i < SAMPLE_GRID; i++)
        s->grid[i] = 1e6 * rank + 1e3 * checkpoint + i;
    for (size_t i = 0; i < sizeof s->bytes; i++)
        s->bytes[i] = (unsigned char)(17 * i + checkpoint);
    s->variables[0] = variable("step", BL_TYPE_I32, 4, 0, 0, 0, &s->step);
    s->variables[1] = variable("grid", BL_TYPE_F64, 8, 2, SAMPLE_ROWS, SAMPLE_COLUMNS, s->grid);
    s->variables[1].is_part = 1;
    s->variables[1].part = (bl_share){ .whole = { SAMPLE_ROWS * (uint64_t)ranks, SAMPLE_COLUMNS }, .offset = { SAMPLE_ROWS * (uint64_t)rank, 1 },
                                       .count = { SAMPLE_ROWS - 2, SAMPLE_COLUMNS - 2 }, .first = { 1, 2 } };
    s->variables[2] = variable("grid.bytes", BL_TYPE_BYTES, 5, 1, 1, 0, s->bytes);
    s->variables[3] = variable("none", BL_TYPE_U16, 2, 2, 7, 0, NULL);
    s->channels[0] = (bl_channel){ .comm = 1, .peer = (int32_t)((rank + 1) % ranks), .tag = 7, .sent = checkpoint, .received = 3 };
    s->channels[1] = (bl_channel){ .comm = 1, .peer = 0, .tag = BL_TAG_FOLDED, .sent = 1, .received = rank };
    s->collectives[0] = (bl_collectives){ .comm = 1, .started = 10 * checkpoint, .size = ranks };
    s->dependencies[0] = (bl_dependency){ .source = (rank + 1) % ranks, .source_interval = checkpoint, .interval = checkpoint };
    s->snapshot = (bl_snapshot){
        .rank = rank, .ranks = ranks, .checkpoint = checkpoint, .incarnation = incarnation, .line_base = checkpoint - 1,
        .safe_point = 100 * checkpoint, .time_ns = -5 + (int64_t)checkpoint, .compute_s = 0.1 * checkpoint, .protocol = "coordinated",
        .index = checkpoint % 5, .forced = checkpoint % 5 == 2, .variables = s->variables, .nvariables = SAMPLE_VARIABLES, .channels = s->channels, .nchannels = 2,
        .collectives = s->collectives, .ncollectives = 1, .dependencies = s->dependencies, .ndependencies = 1
    };
}

static bool same_variables(const bl_snapshot *is, const bl_snapshot *want)
{
    for (size_t i = 0; i < want->nvariables; i++) {
        const bl_variable *w = &want->variables[i], *v = NULL;
        for (size_t k = 0; k < is->nvariables; k++)
            if (strcmp(is->variables[k].name, w->name) == 0)
                v = &is->variables[k];
        if (!v || v->type != w->type || v->element != w->element || v->dims != w->dims || v->data
            || memcmp(v->shape, w->shape, sizeof v->shape) != 0 || v->is_part != w->is_part
            || (w->is_part && memcmp(&v->part, &w->part, sizeof v->part) != 0))
            return false;
    }
    return is->nvariables == want->nvariables;
}

/* All but the incarnation, which the caller may not know. */
static bool same_snapshot(const bl_snapshot *is, const bl_snapshot *want)
{
    return is->rank == want->rank && is->ranks == want->ranks && is->checkpoint == want->checkpoint
        && is->line_base == want->line_base && is->safe_point == want->safe_point && is->time_ns == want->time_ns
        && memcmp(&is->compute_s, &want->compute_s, sizeof is->compute_s) == 0 && strcmp(is->protocol, want->protocol) == 0
        && is->index == want->index && is->forced == want->forced
        && is->nchannels == want->nchannels && is->ncollectives == want->ncollectives && is->ndependencies == want->ndependencies
        && memcmp(is->channels, want->channels, want->nchannels * sizeof *want->channels) == 0
        && memcmp(is->collectives, want->collectives, want->ncollectives * sizeof *want->collectives) == 0
        && memcmp(is->dependencies, want->dependencies, want->ndependencies * sizeof *want->dependencies) == 0
        && same_variables(is, want);
}

static int read_back(bl_reader *reader, const sample *want, bool *wrong, bl_error *err)
{
    sample is;
    memset(&is, 0, sizeof is);
    int code = bl_snapshot_verify(reader, err);
    if (code == BELAY_OK)
        code = bl_snapshot_read(reader, "step", &is.step, err);
    if (code == BELAY_OK)
        code = bl_snapshot_read(reader, "grid", is.grid, err);
    if (code == BELAY_OK)
        code = bl_snapshot_read(reader, "grid.bytes", is.bytes, err);
    if (code == BELAY_OK)
        code = bl_snapshot_read(reader, "none", NULL, err);
    if (code == BELAY_OK && (is.step != want->step || memcmp(is.grid, want->grid, sizeof is.grid) != 0
                             || memcmp(is.bytes, want->bytes, sizeof is.bytes) != 0))
        *wrong = true;
    return code;
}

int sample_check(bl_store *store, uint32_t rank, uint32_t checkpoint, const bl_digest *expect, bool *wrong, bl_error *err)
{
    sample want;
    bl_reader *reader;
    const bl_snapshot *is;
    *wrong = false;
    sample_make(&want, rank, bl_store_job(store)->ranks, checkpoint, 0);
    int code = bl_snapshot_open(store, rank, checkpoint, expect, &reader, &is, err);
    if (code != BELAY_OK)
        return code;
    if (!same_snapshot(is, &want.snapshot))
        *wrong = true;
    code = read_back(reader, &want, wrong, err);
    bl_snapshot_close(reader);
    return code;
}

bool good_sentence(const bl_error *err, int code, const char *part)
{
    bool good = err->code == code && strlen(err->text) > 20 && !strchr(err->text, '\n') && strstr(err->text, part);
    if (!good)
        fprintf(stderr, "expected code %d and '%s', got code %d and: %s\n", code, part, err->code, err->text);
    return good;
}
