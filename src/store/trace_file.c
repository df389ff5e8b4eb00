#include "store/trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/ahead.h"
#include "store/h5file.h"
#include "store/hash.h"
#include "store/internal.h"
#include "store/layout.h"
#include "store/seal.h"

enum { RANKS, CHECKPOINTS, DEPENDENCIES, COLLECTIVES, TABLES };
enum { BUFFER = 1 << 16, FIELDS_MAX = 6, NAME = 32 };
enum { MANY = 1 << 16 };         /* rows that are worth a thread */

typedef struct member { uint32_t begins, rank, interval; } member; /* one row of /trace/collectives */
enum { SAME_INSTANCE, NEXT_INSTANCE, NEW_SERIES };                /* `begins` */

typedef struct origin {         /* the attributes of /trace */
    uint32_t format;
    bl_trace_header h;
    char sum[TABLES][BL_HEX + 1];
} origin;

#define ATTRIBUTE(name, kind, bytes) { #name, kind, bytes, offsetof(origin, h.name) }
#define SUM(name, table) { name "_xxh3", BL_KIND_TEXT, BL_HEX + 1, offsetof(origin, sum) + (table) * (BL_HEX + 1) }

static const bl_attribute attributes[] = {
    { "format", BL_KIND_U32, 4, offsetof(origin, format) },
    ATTRIBUTE(job, BL_KIND_TEXT, 17), ATTRIBUTE(program, BL_KIND_TEXT, 256), ATTRIBUTE(protocol, BL_KIND_TEXT, 16),
    ATTRIBUTE(ranks, BL_KIND_U32, 4), ATTRIBUTE(incarnation, BL_KIND_U32, 4), ATTRIBUTE(time_ns, BL_KIND_I64, 8),
    ATTRIBUTE(dependencies, BL_KIND_U64, 8), ATTRIBUTE(collectives, BL_KIND_U64, 8), ATTRIBUTE(assumed, BL_KIND_U64, 8),
    SUM("ranks", RANKS), SUM("checkpoints", CHECKPOINTS), SUM("dependencies", DEPENDENCIES), SUM("collectives", COLLECTIVES)
};
enum { ATTRIBUTES = sizeof attributes / sizeof *attributes };

#define FIELD(row, name, kind, bytes) { #name, kind, bytes, offsetof(row, name) }

static const struct layout {
    const char *name;
    size_t bytes;               /* of one row */
    bl_attribute field[FIELDS_MAX];
} layouts[TABLES] = {
    { "ranks", sizeof(bl_trace_rank),
      { FIELD(bl_trace_rank, host, BL_KIND_TEXT, 64), FIELD(bl_trace_rank, checkpoints, BL_KIND_U32, 4),
        FIELD(bl_trace_rank, failed, BL_KIND_U32, 4), FIELD(bl_trace_rank, safe_point, BL_KIND_U64, 8),
        FIELD(bl_trace_rank, time_ns, BL_KIND_I64, 8), FIELD(bl_trace_rank, compute_s, BL_KIND_F64, 8) } },
    { "checkpoints", sizeof(bl_trace_checkpoint),
      { FIELD(bl_trace_checkpoint, safe_point, BL_KIND_U64, 8), FIELD(bl_trace_checkpoint, time_ns, BL_KIND_I64, 8),
        FIELD(bl_trace_checkpoint, compute_s, BL_KIND_F64, 8), FIELD(bl_trace_checkpoint, number, BL_KIND_U32, 4),
        { "reserved", BL_KIND_U32, 4, offsetof(bl_trace_checkpoint, forced) } } },
    { "dependencies", sizeof(bl_trace_dependency),
      { FIELD(bl_trace_dependency, from, BL_KIND_U32, 4), FIELD(bl_trace_dependency, sent_in, BL_KIND_U32, 4),
        FIELD(bl_trace_dependency, to, BL_KIND_U32, 4), FIELD(bl_trace_dependency, received_in, BL_KIND_U32, 4),
        FIELD(bl_trace_dependency, messages, BL_KIND_U32, 4) } },
    { "collectives", sizeof(member),
      { FIELD(member, begins, BL_KIND_U32, 4), FIELD(member, rank, BL_KIND_U32, 4), FIELD(member, interval, BL_KIND_U32, 4) } }
};

_Static_assert(sizeof(bl_trace_rank) == 96 && sizeof(bl_trace_checkpoint) == 32 && sizeof(bl_trace_dependency) == 20
               && sizeof(member) == 12, "rows are written as they are in memory: no padding");

/* A table on its way through. */
typedef struct stream {
    uint64_t rows, done;
    uint64_t offset;            /* of its first byte in the file */
    XXH3_state_t *state;
    char *buffer;               /* writing: rows not yet in the file; reading: of the collectives */
    size_t filled;
} stream;

typedef struct trace {          /* what a writer and a reader have in common */
    char path[BL_PATH];
    origin o;
    bl_trace_rank *rank;
    uint32_t *last;             /* [ranks] their checkpoints, side by side: 10^8 dependencies look them up */
    stream table[TABLES];
    uint32_t sender;            /* of the last dependency */
    bl_h5file *file;
    bl_error *err;              /* while HDF5 is at work */
} trace;

struct bl_trace_writer {
    trace t;
    char temporary[BL_PATH];
    hid_t group;
    bool durable;
};

struct bl_trace_file {
    trace t;
    uint32_t *rank, *interval;  /* [ranks] of the instance */
    member *row;                /* rows read ahead */
    size_t rows, used;
    bl_ahead *dependencies;     /* reads them, when there are many */
};

/* --- what may stand in a row: the same for who writes and who reads --- */

static bool text_ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static const char *wrong_header(const bl_trace_header *h)
{
    if (!text_ends(h->job, sizeof h->job) || !text_ends(h->program, sizeof h->program)
        || !text_ends(h->protocol, sizeof h->protocol))
        return "a text does not end";
    if (h->logs > 1)
        return "contents are kept, or they are not";
    if (h->ranks == 0 || h->ranks > BL_RANKS_MAX)
        return "a job has 1 to 1048576 ranks";
    if (h->dependencies > UINT64_MAX / 64 || h->collectives > UINT64_MAX / 64)
        return "more rows than any file holds";
    return NULL;
}

static const char *wrong_rank(const bl_trace_rank *r)
{
    if (!text_ends(r->host, sizeof r->host) || r->failed > 1 || !isfinite(r->compute_s))
        return "a rank's host, failure or compute time is out of range";
    return r->checkpoints > BL_CHECKPOINT_MAX ? "a rank has more than 999999999 checkpoints" : NULL;
}

static const char *wrong_checkpoint(const trace *t, const bl_trace_checkpoint *c)
{
    return c->number > BL_CHECKPOINT_MAX || c->forced > t->o.h.logs || !isfinite(c->compute_s) ? "a checkpoint is out of range" : NULL;
}

static const char *wrong_dependency(trace *t, const bl_trace_dependency *d)
{
    if (d->from >= t->o.h.ranks || d->to >= t->o.h.ranks)
        return "a dependency names a rank that does not exist";
    if (d->from < t->sender)
        return "the dependencies are not ascending by sender";
    t->sender = d->from;
    uint32_t received_in = t->o.h.logs ? d->received_in & ~BL_TRACE_LOGGED : d->received_in;
    if (d->sent_in == 0 || d->sent_in > t->last[d->from] + 1 || received_in == 0 || received_in > t->last[d->to] + 2)
        return "a dependency names an interval that does not exist";
    return d->messages == 0 ? "a dependency without a message" : NULL;
}

static const char *wrong_member(const trace *t, const member *m)
{
    if (m->begins > NEW_SERIES || m->rank >= t->o.h.ranks || m->interval > t->last[m->rank] + 1)
        return "a collective names a rank or an interval that does not exist";
    return NULL;
}

static const char *wrong_rows(trace *t, int table, const void *rows, size_t count)
{
    const char *wrong = NULL;
    for (size_t k = 0; k < count && !wrong; k++)
        wrong = table == DEPENDENCIES ? wrong_dependency(t, (const bl_trace_dependency *)rows + k)
            : table == CHECKPOINTS ? wrong_checkpoint(t, (const bl_trace_checkpoint *)rows + k)
            : table == RANKS ? wrong_rank((const bl_trace_rank *)rows + k) : wrong_member(t, (const member *)rows + k);
    return wrong;
}

/* Once the ranks are known: how many rows of checkpoints they make. */
static uint64_t all_checkpoints(trace *t)
{
    uint64_t rows = 0;
    for (uint32_t i = 0; i < t->o.h.ranks; i++) {
        t->last[i] = t->rank[i].checkpoints;
        rows += (uint64_t)t->last[i] + 1;
    }
    return rows;
}

/* --- what both do --- */

static hid_t row_type(int table)
{
    hid_t row = H5Tcreate(H5T_COMPOUND, layouts[table].bytes);
    for (int f = 0; f < FIELDS_MAX && layouts[table].field[f].name; f++) {
        const bl_attribute *field = &layouts[table].field[f];
        hid_t type = bl_attribute_type(field);
        (void)H5Tinsert(row, field->name, field->offset, type);
        (void)H5Tclose(type);
    }
    return row;
}

static bool room_for_ranks(trace *t)
{
    t->rank = malloc(t->o.h.ranks * sizeof *t->rank);
    t->last = malloc(t->o.h.ranks * sizeof *t->last);
    if (!t->rank || !t->last)
        return false;
    for (int k = 0; k < TABLES; k++) {
        t->table[k].state = XXH3_createState();
        if (!t->table[k].state)
            return false;
        (void)XXH3_128bits_reset(t->table[k].state);
    }
    return true;
}

static void sum_text(const stream *s, char text[BL_HEX + 1])
{
    XXH128_hash_t hash = XXH3_128bits_digest(s->state);
    bl_digest_text((bl_digest){ .low = hash.low64, .high = hash.high64 }, text);
}

static void clear(trace *t)
{
    for (int k = 0; k < TABLES; k++) {
        XXH3_freeState(t->table[k].state);
        free(t->table[k].buffer);
    }
    bl_h5_free(t->file);
    free(t->rank);
    free(t->last);
}

static int no_memory(const char *path, bl_error *err)
{
    return bl_fail(err, BELAY_ERR_MEMORY, "no memory for the trace %s", path);
}

/* --- writing --- */

static int refuse(const trace *t, const char *what, bl_error *err)
{
    return bl_fail(err, BELAY_ERR_ARG, "cannot write the trace %s: %s", t->path, what);
}

static int h5_failed(const bl_trace_writer *w, bl_error *err)
{
    char text[BL_WHY];
    (void)bl_h5_text(text);
    errno = w->t.file->error;
    return w->t.file->error ? bl_fail_errno(err, "cannot write %s", w->temporary)
                            : bl_fail(err, BELAY_ERR_SYSTEM, "cannot write %s: HDF5 says: %s", w->temporary, text);
}

static int make_table(bl_trace_writer *w, int table)
{
    stream *s = &w->t.table[table];
    hsize_t rows = s->rows;
    hid_t type = row_type(table), space = H5Screate_simple(1, &rows, NULL), plain = H5Pcreate(H5P_DATASET_CREATE);
    (void)H5Pset_layout(plain, H5D_CONTIGUOUS);
    (void)H5Pset_alloc_time(plain, H5D_ALLOC_TIME_EARLY);
    (void)H5Pset_fill_time(plain, H5D_FILL_TIME_NEVER);
    (void)H5Pset_obj_track_times(plain, 0);
    hid_t set = H5Dcreate2(w->group, layouts[table].name, type, space, H5P_DEFAULT, plain, H5P_DEFAULT);
    s->offset = set >= 0 && rows > 0 ? H5Dget_offset(set) : 0;
    int bad = set < 0 || s->offset == HADDR_UNDEF;
    if (set >= 0)
        bad |= H5Dclose(set) < 0;
    (void)H5Pclose(plain);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
    return bad ? h5_failed(w, w->t.err) : BELAY_OK;
}

static int make_file(void *context)
{
    bl_trace_writer *w = context;
    int code = bl_h5_create(w->temporary, w->durable, &w->t.file, w->t.err);
    if (code != BELAY_OK)
        return code;
    hid_t list = H5Pcreate(H5P_GROUP_CREATE);
    (void)H5Pset_attr_phase_change(list, ATTRIBUTES, 0); /* attributes in the header, no heap beside it */
    (void)H5Pset_obj_track_times(list, 0);
    w->group = H5Gcreate2(w->t.file->id, "trace", H5P_DEFAULT, list, H5P_DEFAULT);
    (void)H5Pclose(list);
    code = w->group < 0 ? h5_failed(w, w->t.err) : BELAY_OK;
    for (int k = 0; k < TABLES && code == BELAY_OK; k++)
        code = make_table(w, k);
    return code;
}

static int flush(bl_trace_writer *w, int table, bl_error *err)
{
    stream *s = &w->t.table[table];
    uint64_t at = s->offset + s->done * layouts[table].bytes - s->filled;
    if (s->filled > 0 && bl_write_all(w->t.file->fd, s->buffer, s->filled, at) != 0)
        return bl_fail_errno(err, "cannot write %s", w->temporary);
    s->filled = 0;
    return BELAY_OK;
}

static int append(bl_trace_writer *w, int table, const void *rows, size_t count, bl_error *err)
{
    stream *s = &w->t.table[table];
    const size_t bytes = layouts[table].bytes, most = BUFFER / bytes;
    const char *from = rows;
    if (count > s->rows - s->done)
        return refuse(&w->t, "more rows than were announced", err);
    const char *wrong = wrong_rows(&w->t, table, rows, count);
    if (wrong)
        return refuse(&w->t, wrong, err);
    if (!s->buffer && !(s->buffer = malloc(BUFFER)))
        return no_memory(w->t.path, err);
    int code = BELAY_OK;
    for (size_t part; count > 0 && code == BELAY_OK; count -= part, from += part * bytes) {
        part = count < most - s->filled / bytes ? count : most - s->filled / bytes;
        memcpy(s->buffer + s->filled, from, part * bytes);
        (void)XXH3_128bits_update(s->state, from, part * bytes);
        s->filled += part * bytes;
        s->done += part;
        if (s->filled / bytes == most)
            code = flush(w, table, err);
    }
    return code;
}

static int check_and_size(bl_trace_writer *w, const bl_trace_rank *rank, bl_error *err)
{
    trace *t = &w->t;
    const char *wrong = wrong_header(&t->o.h);
    if (wrong)
        return refuse(t, wrong, err);
    if (!room_for_ranks(t))
        return no_memory(t->path, err);
    memcpy(t->rank, rank, t->o.h.ranks * sizeof *t->rank);
    wrong = wrong_rows(t, RANKS, t->rank, t->o.h.ranks);
    if (wrong)
        return refuse(t, wrong, err);
    t->table[RANKS].rows = t->o.h.ranks;
    t->table[CHECKPOINTS].rows = all_checkpoints(t);
    t->table[DEPENDENCIES].rows = t->o.h.dependencies;
    t->table[COLLECTIVES].rows = t->o.h.collectives;
    return BELAY_OK;
}

int bl_trace_file_create(const char *path, bool durable, const bl_trace_header *header, const bl_trace_rank *rank,
                         bl_trace_writer **writer, bl_error *err)
{
    *writer = NULL;
    bl_trace_writer *w = calloc(1, sizeof *w);
    if (!w)
        return no_memory(path, err);
    w->durable = durable;
    w->group = -1;
    w->t.o.format = header->logs ? BL_TRACE_FORMAT : BL_FORMAT;
    w->t.o.h = *header;
    snprintf(w->t.path, sizeof w->t.path, "%s", path);
    int code = snprintf(w->temporary, sizeof w->temporary, "%s.tmp", path) < (int)sizeof w->temporary
        ? check_and_size(w, rank, err) : bl_fail(err, BELAY_ERR_ARG, "the path of a trace is too long: %s", path);
    if (code == BELAY_OK) {
        w->t.err = err;
        code = bl_h5_quietly(make_file, w);
        w->t.err = NULL;
    }
    if (code == BELAY_OK)
        code = append(w, RANKS, w->t.rank, w->t.o.h.ranks, err);
    if (code == BELAY_OK)
        *writer = w;
    else
        bl_trace_file_abandon(w);
    return code;
}

int bl_trace_file_add_checkpoints(bl_trace_writer *writer, const bl_trace_checkpoint *row, size_t rows, bl_error *err)
{
    return append(writer, CHECKPOINTS, row, rows, err);
}

int bl_trace_file_add_dependencies(bl_trace_writer *writer, const bl_trace_dependency *row, size_t rows, bl_error *err)
{
    return append(writer, DEPENDENCIES, row, rows, err);
}

int bl_trace_file_add_collective(bl_trace_writer *writer, int begins, uint32_t members, const uint32_t *rank,
                                 const uint32_t *interval, bl_error *err)
{
    int code = BELAY_OK;
    if (!begins && writer->t.table[COLLECTIVES].done == 0)
        return refuse(&writer->t, "the first collective begins a series", err);
    for (uint32_t k = 0; k < members && code == BELAY_OK; k++) {
        member m = { k > 0 ? SAME_INSTANCE : begins ? NEW_SERIES : NEXT_INSTANCE, rank[k], interval[k] };
        code = append(writer, COLLECTIVES, &m, 1, err);
    }
    return code;
}

static int write_attributes(const bl_trace_writer *w)
{
    int bad = 0;
    for (int k = 0; k < ATTRIBUTES && !bad; k++) {
        hid_t space = H5Screate(H5S_SCALAR), type = bl_attribute_type(&attributes[k]);
        hid_t id = H5Acreate2(w->group, attributes[k].name, type, space, H5P_DEFAULT, H5P_DEFAULT);
        bad = id < 0 || H5Awrite(id, type, (const char *)&w->t.o + attributes[k].offset) < 0;
        if (id >= 0)
            (void)H5Aclose(id);
        (void)H5Tclose(type);
        (void)H5Sclose(space);
    }
    return bad;
}

static int end_file(void *context)
{
    bl_trace_writer *w = context;
    bl_h5file *file = w->t.file;
    bl_range bulk[TABLES];
    size_t count = 0;
    for (int k = 0; k < TABLES; k++) {
        const stream *s = &w->t.table[k];
        sum_text(s, w->t.o.sum[k]);
        if (s->rows > 0)
            bulk[count++] = (bl_range){ s->offset, s->rows * layouts[k].bytes };
    }
    int bad = write_attributes(w);
    hid_t group = w->group;
    w->group = -1;
    if (H5Gclose(group) < 0 || bl_h5_close(file) != 0 || bad)
        return h5_failed(w, w->t.err);
    if (bl_seal_write(file->fd, file->size, bulk, count) != 0 || bl_h5_sync(file) != 0)
        return bl_fail_errno(w->t.err, "cannot write %s", w->temporary);
    return BELAY_OK;
}

/* The entry in the directory survives what the file survives. */
static int sync_directory(const bl_trace_writer *w, bl_error *err)
{
    char path[BL_PATH];
    snprintf(path, sizeof path, "%s", w->t.path);
    char *slash = strrchr(path, '/');
    if (slash)
        slash[slash == path] = '\0';
    int fd = open(slash ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int bad = fd < 0 || fsync(fd) != 0;
    int code = bad ? bl_fail_errno(err, "cannot sync the directory of %s", w->t.path) : BELAY_OK;
    if (fd >= 0)
        close(fd);
    return code;
}

int bl_trace_file_finish(bl_trace_writer *writer, bl_error *err)
{
    int code = BELAY_OK;
    for (int k = 0; k < TABLES && code == BELAY_OK; k++)
        code = writer->t.table[k].done == writer->t.table[k].rows ? flush(writer, k, err)
            : refuse(&writer->t, "fewer rows came than were announced", err);
    if (code == BELAY_OK) {
        writer->t.err = err;
        code = bl_h5_quietly(end_file, writer);
    }
    if (code == BELAY_OK && rename(writer->temporary, writer->t.path) != 0)
        code = bl_fail_errno(err, "cannot rename %s to %s", writer->temporary, writer->t.path);
    if (code == BELAY_OK && writer->durable && (code = sync_directory(writer, err)) != BELAY_OK)
        (void)unlink(writer->t.path);
    bl_trace_file_abandon(writer);
    return code;
}

static int close_group(void *context)
{
    bl_trace_writer *w = context;
    if (w->group >= 0)
        (void)H5Gclose(w->group);
    clear(&w->t);
    return 0;
}

void bl_trace_file_abandon(bl_trace_writer *writer)
{
    if (!writer)
        return;
    if (writer->t.file)
        (void)unlink(writer->temporary); /* after bl_trace_file_finish there is none */
    (void)bl_h5_quietly(close_group, writer);
    free(writer);
}

/* --- reading --- */

static int damaged(const trace *t, bl_error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int damaged(const trace *t, bl_error *err, const char *format, ...)
{
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return bl_fail(err, BELAY_ERR_DAMAGED, "the trace %s is damaged: %s", t->path, what);
}

static int h5_damaged(const trace *t, const char *what)
{
    char text[BL_WHY];
    (void)bl_h5_text(text);
    return damaged(t, t->err, "%s cannot be read: %s", what, t->file->error ? strerror(t->file->error) : text);
}

static int read_attribute(trace *t, hid_t group, const bl_attribute *attribute)
{
    hid_t id = H5Aopen(group, attribute->name, H5P_DEFAULT);
    if (id < 0)
        return h5_damaged(t, attribute->name);
    hid_t want = bl_attribute_type(attribute), type = H5Aget_type(id), space = H5Aget_space(id);
    int code = BELAY_OK;
    if (H5Tequal(type, want) <= 0 || H5Sget_simple_extent_type(space) != H5S_SCALAR)
        code = damaged(t, t->err, "attribute %s has another type", attribute->name);
    else if (H5Aread(id, want, (char *)&t->o + attribute->offset) < 0)
        code = h5_damaged(t, attribute->name);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
    (void)H5Tclose(want);
    (void)H5Aclose(id);
    return code;
}

static int read_attributes(trace *t, hid_t group)
{
    int code = read_attribute(t, group, &attributes[0]);
    if (code == BELAY_OK && t->o.format > BL_TRACE_FORMAT)
        return bl_fail(t->err, BELAY_ERR_FORMAT, "the trace %s has format %u, this Belay reads up to %d: use the newer Belay "
                       "that wrote it", t->path, t->o.format, (int)BL_TRACE_FORMAT);
    t->o.h.logs = t->o.format == BL_TRACE_FORMAT;
    for (int k = 1; code == BELAY_OK && k < ATTRIBUTES; k++)
        code = read_attribute(t, group, &attributes[k]);
    const char *wrong = code == BELAY_OK ? wrong_header(&t->o.h) : NULL;
    return wrong ? damaged(t, t->err, "%s", wrong) : code;
}

/* The table is what our writer makes: a list, contiguous, inside this file, unfiltered, of this type. */
static const char *wrong_table(trace *t, int table, hid_t set)
{
    stream *s = &t->table[table];
    hid_t list = H5Dget_create_plist(set), want = row_type(table), type = H5Dget_type(set), space = H5Dget_space(set);
    hsize_t rows[H5S_MAX_RANK] = { 0 };
    const char *wrong = NULL;
    if (H5Pget_layout(list) != H5D_CONTIGUOUS || H5Pget_external_count(list) != 0 || H5Pget_nfilters(list) != 0)
        wrong = "is not stored contiguously inside the file";
    else if (H5Tequal(type, want) <= 0)
        wrong = "has rows of another type";
    else if (H5Sget_simple_extent_ndims(space) != 1 || H5Sget_simple_extent_dims(space, rows, NULL) != 1)
        wrong = "is not a list";
    s->rows = rows[0];
    uint64_t bytes = s->rows * layouts[table].bytes;
    s->offset = !wrong && s->rows > 0 ? H5Dget_offset(set) : 0;
    if (!wrong && s->rows > 0 && (s->rows > t->file->size / layouts[table].bytes || H5Dget_storage_size(set) != bytes
                                  || s->offset > t->file->size || bytes > t->file->size - s->offset))
        wrong = "lies outside the file";
    (void)H5Sclose(space);
    (void)H5Tclose(type);
    (void)H5Tclose(want);
    (void)H5Pclose(list);
    return wrong;
}

/* By a hard link only: a symbolic or external one would lead anywhere. */
static int find_table(trace *t, hid_t group, int table)
{
    H5L_info_t link;
    const char *name = layouts[table].name, *wrong = "is not a table";
    if (H5Lget_info(group, name, &link, H5P_DEFAULT) < 0)
        return h5_damaged(t, name);
    hid_t set = link.type == H5L_TYPE_HARD ? H5Oopen(group, name, H5P_DEFAULT) : -1;
    if (set >= 0 && H5Iget_type(set) == H5I_DATASET)
        wrong = wrong_table(t, table, set);
    if (set >= 0)
        (void)H5Oclose(set);
    return wrong ? damaged(t, t->err, "%s %s", name, wrong) : BELAY_OK;
}

static int read_metadata(void *context)
{
    trace *t = context;
    char why[BL_WHY];
    bl_error first = { 0 };
    int code = bl_h5_open(t->path, &t->file, why, &first);
    if (code == BELAY_ERR_DAMAGED)
        return damaged(t, t->err, "%s", why);
    if (code != BELAY_OK)
        return bl_fail(t->err, code, "%s", first.text);
    hid_t group = H5Gopen2(t->file->id, "trace", H5P_DEFAULT);
    if (group < 0)
        return damaged(t, t->err, "it is no trace: it has no group /trace");
    code = read_attributes(t, group);
    for (int k = 0; k < TABLES && code == BELAY_OK; k++)
        code = find_table(t, group, k);
    (void)H5Gclose(group);
    (void)bl_h5_close(t->file);
    return code;
}

static int next_rows(trace *t, int table, void *rows, size_t room, size_t *count, bl_error *err)
{
    stream *s = &t->table[table];
    const size_t bytes = layouts[table].bytes;
    size_t part = s->rows - s->done < room ? (size_t)(s->rows - s->done) : room;
    *count = 0;
    if (part == 0)
        return BELAY_OK;
    if (bl_read_all(t->file->fd, rows, part * bytes, s->offset + s->done * bytes) != 0)
        return damaged(t, err, "%s cannot be read: %s", layouts[table].name, errno ? strerror(errno) : "the file ends before");
    (void)XXH3_128bits_update(s->state, rows, part * bytes);
    const char *wrong = wrong_rows(t, table, rows, part);
    if (wrong)
        return damaged(t, err, "%s", wrong);
    s->done += part;
    if (s->done == s->rows) {
        char sum[BL_HEX + 1];
        sum_text(s, sum);
        if (memcmp(sum, t->o.sum[table], sizeof sum) != 0)
            return damaged(t, err, "%s do not match their checksum", layouts[table].name);
    }
    *count = part;
    return BELAY_OK;
}

static int read_ranks(trace *t, bl_error *err)
{
    size_t count;
    if (t->table[RANKS].rows != t->o.h.ranks)
        return damaged(t, err, "it has not one row a rank");
    if (!room_for_ranks(t))
        return no_memory(t->path, err);
    int code = next_rows(t, RANKS, t->rank, t->o.h.ranks, &count, err);
    if (code != BELAY_OK)
        return code;
    if (t->table[CHECKPOINTS].rows != all_checkpoints(t) || t->table[DEPENDENCIES].rows != t->o.h.dependencies
        || t->table[COLLECTIVES].rows != t->o.h.collectives)
        return damaged(t, err, "a table has more or fewer rows than it says");
    return BELAY_OK;
}

int bl_trace_file_open(const char *path, bl_trace_file **file, const bl_trace_header **header, const bl_trace_rank **rank,
                       bl_error *err)
{
    *file = NULL;
    bl_trace_file *f = calloc(1, sizeof *f);
    if (!f)
        return no_memory(path, err);
    /* What a person names may be a link; what it leads to may not. */
    if (!realpath(path, f->t.path)) {
        free(f);
        return errno == ENOENT ? bl_fail(err, BELAY_ERR_NONE, "%s does not exist", path) : bl_fail_errno(err, "cannot open %s", path);
    }
    f->t.err = err;
    int code = bl_h5_quietly(read_metadata, &f->t);
    f->t.err = NULL;
    if (code == BELAY_OK)
        code = read_ranks(&f->t, err);
    if (code != BELAY_OK) {
        bl_trace_file_close(f);
        return code;
    }
    *header = &f->t.o.h;
    *rank = f->t.rank;
    *file = f;
    return BELAY_OK;
}

void bl_trace_file_close(bl_trace_file *file)
{
    if (!file)
        return;
    bl_ahead_stop(file->dependencies);
    clear(&file->t);
    free(file->rank);
    free(file->interval);
    free(file->row);
    free(file);
}

int bl_trace_file_checkpoints(bl_trace_file *file, bl_trace_checkpoint *row, size_t room, size_t *rows, bl_error *err)
{
    return next_rows(&file->t, CHECKPOINTS, row, room, rows, err);
}

/* In a thread: touches nothing of a trace that other tables need. */
static int read_dependencies(void *context, void *rows, size_t room, size_t *count, bl_error *err)
{
    return next_rows(context, DEPENDENCIES, rows, room, count, err);
}

int bl_trace_file_dependencies(bl_trace_file *file, bl_trace_dependency *row, size_t room, size_t *rows, bl_error *err)
{
    const stream *s = &file->t.table[DEPENDENCIES];
    if (!file->dependencies && s->done == 0 && s->rows >= MANY)
        file->dependencies = bl_ahead_start(read_dependencies, &file->t, sizeof *row);
    return file->dependencies ? bl_ahead_take(file->dependencies, row, room, rows, err)
                              : next_rows(&file->t, DEPENDENCIES, row, room, rows, err);
}

/* The next row without taking it; NULL at the end. */
static int peek(bl_trace_file *file, const member **row, bl_error *err)
{
    int code = BELAY_OK;
    if (file->used == file->rows) {
        file->used = 0;
        code = next_rows(&file->t, COLLECTIVES, file->row, BUFFER / sizeof *file->row, &file->rows, err);
    }
    *row = code == BELAY_OK && file->used < file->rows ? &file->row[file->used] : NULL;
    return code;
}

int bl_trace_file_collective(bl_trace_file *file, int *begins, uint32_t *members, const uint32_t **rank,
                             const uint32_t **interval, bl_error *err)
{
    const uint32_t ranks = file->t.o.h.ranks;
    const member *row;
    *members = 0;
    if (!file->row) {
        file->row = malloc(BUFFER);
        file->rank = malloc(ranks * sizeof *file->rank);
        file->interval = malloc(ranks * sizeof *file->interval);
    }
    if (!file->row || !file->rank || !file->interval)
        return no_memory(file->t.path, err);
    int code = peek(file, &row, err);
    if (code != BELAY_OK || !row)
        return code;
    if (row->begins == SAME_INSTANCE || (row->begins == NEXT_INSTANCE && file->t.table[COLLECTIVES].done == file->rows
                                         && file->used == 0))
        return damaged(&file->t, err, "the collectives do not begin with a series");
    *begins = row->begins == NEW_SERIES;
    uint32_t count = 0;
    do {
        if (count == ranks)
            return damaged(&file->t, err, "a collective has more members than there are ranks");
        file->rank[count] = row->rank;
        file->interval[count++] = row->interval;
        file->used++;
        code = peek(file, &row, err);
    } while (code == BELAY_OK && row && row->begins == SAME_INSTANCE);
    if (code != BELAY_OK)
        return code;
    *members = count;
    *rank = file->rank;
    *interval = file->interval;
    return BELAY_OK;
}
