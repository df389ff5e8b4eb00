/* snapshot_read.c - a snapshot back from disk.  HDF5 is used to open the file, to read the metadata, and to find where each
 * variable lies; then it is done with.  The bulk is read from there, checked against the checksum as it comes. */
#include "store/h5file.h"
#include "store/hash.h"
#include "store/internal.h"
#include "store/layout.h"
#include "util/settings.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 20 }; /* small enough that the checksum finds it in the cache */

struct bl_reader {
    char path[BL_PATH];
    uint32_t rank, checkpoint;      /* as asked for */
    bl_h5file *file;
    bl_origin origin;               /* .s is the snapshot handed out */
    bl_row *rows;                   /* [nvariables], ascending names */
    uint64_t *offset, *bytes;       /* of each variable's data in the file */
    bl_variable *variables;
    void *tables[BL_TABLES];
    size_t counts[BL_TABLES];
    bl_error *err;                  /* while opening */
};

static int damaged(const bl_reader *r, bl_error *err, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int damaged(const bl_reader *r, bl_error *err, const char *format, ...)
{
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return bl_fail(err, BELAY_ERR_DAMAGED, "%s (rank %u, checkpoint %u) is damaged: %s; use an older checkpoint", r->path,
                   r->rank, r->checkpoint, what);
}

/* HDF5 could not do it: a failing disk, or contents that make no sense. */
static int h5_damaged(const bl_reader *r, const char *what)
{
    char text[BL_WHY];
    (void)bl_h5_text(text);
    return damaged(r, r->err, "%s cannot be read: %s", what, r->file->error ? strerror(r->file->error) : text);
}

/* --- attributes --- */

static int read_attribute(bl_reader *r, hid_t group, const bl_attribute *attribute)
{
    hid_t id = H5Aopen(group, attribute->name, H5P_DEFAULT);
    if (id < 0)
        return h5_damaged(r, attribute->name);
    hid_t want = bl_attribute_type(attribute), type = H5Aget_type(id), space = H5Aget_space(id);
    int code = BELAY_OK;
    if (H5Tequal(type, want) <= 0 || H5Sget_simple_extent_type(space) != H5S_SCALAR)
        code = damaged(r, r->err, "attribute %s has another type", attribute->name);
    else if (H5Aread(id, want, (char *)&r->origin + attribute->offset) < 0)
        code = h5_damaged(r, attribute->name);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
    (void)H5Tclose(want);
    (void)H5Aclose(id);
    return code;
}

static int read_attributes(bl_reader *r, hid_t group)
{
    int code = read_attribute(r, group, &bl_attributes[0]);
    if (code == BELAY_OK && r->origin.format > BL_FORMAT)
        return bl_fail(r->err, BELAY_ERR_FORMAT, "%s (rank %u, checkpoint %u) has format %u, this Belay reads up to %d: "
                       "use the newer Belay that wrote it", r->path, r->rank, r->checkpoint, r->origin.format, (int)BL_FORMAT);
    for (int i = 1; code == BELAY_OK && i < BL_ATTRIBUTES; i++)
        code = read_attribute(r, group, &bl_attributes[i]);
    for (int i = 0; code == BELAY_OK && i < BL_OPTIONAL; i++)
        if (H5Aexists(group, bl_optional[i].name) > 0)
            code = read_attribute(r, group, &bl_optional[i]);
    if (code != BELAY_OK)
        return code;
    const bl_origin *o = &r->origin;
    if (o->job[sizeof o->job - 1] || o->digest[sizeof o->digest - 1] || o->s.protocol[sizeof o->s.protocol - 1]
        || !isfinite(o->s.compute_s) || o->s.forced > 1)
        return damaged(r, r->err, "an attribute of /belay is out of range");
    return BELAY_OK;
}

/* --- datasets --- */

/* Opens a dataset by a hard link only: a symbolic or external one would lead anywhere. */
static int open_dataset(const bl_reader *r, hid_t group, const char *name, hid_t *set)
{
    H5L_info_t link;
    *set = -1;
    if (H5Lget_info(group, name, &link, H5P_DEFAULT) < 0)
        return h5_damaged(r, name);
    if (link.type != H5L_TYPE_HARD)
        return damaged(r, r->err, "%s is a link to elsewhere", name);
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0)
        return h5_damaged(r, name);
    if (H5Iget_type(object) != H5I_DATASET) {
        (void)H5Oclose(object);
        return damaged(r, r->err, "%s is not a dataset", name);
    }
    *set = object;
    return BELAY_OK;
}

/* The dataset is what our writer makes: contiguous, inside this file, unfiltered, of this type and shape. */
static const char *wrong_dataset(hid_t set, hid_t want, int dims, const hsize_t *shape)
{
    hid_t list = H5Dget_create_plist(set), type = H5Dget_type(set), space = H5Dget_space(set);
    hsize_t is[H5S_MAX_RANK] = { 0 }, max[H5S_MAX_RANK] = { 0 };
    const char *wrong = NULL;
    if (H5Pget_layout(list) != H5D_CONTIGUOUS || H5Pget_external_count(list) != 0 || H5Pget_nfilters(list) != 0)
        wrong = "is not stored contiguously inside the file";
    else if (H5Tequal(type, want) <= 0)
        wrong = "has another element type than it should";
    else if (H5Sget_simple_extent_type(space) != (dims == 0 ? H5S_SCALAR : H5S_SIMPLE)
             || H5Sget_simple_extent_ndims(space) != dims || H5Sget_simple_extent_dims(space, is, max) != dims
             || (dims > 0 && (memcmp(is, shape, (size_t)dims * sizeof *shape) != 0
                              || memcmp(max, shape, (size_t)dims * sizeof *shape) != 0)))
        wrong = "has another shape than it should";
    (void)H5Sclose(space);
    (void)H5Tclose(type);
    (void)H5Pclose(list);
    return wrong;
}

/* Where the data is; it has to lie inside the file. */
static int locate(const bl_reader *r, hid_t set, const char *name, uint64_t bytes, uint64_t *offset)
{
    *offset = 0;
    if (bytes == 0)
        return BELAY_OK;
    haddr_t at = H5Dget_offset(set);
    if (at == HADDR_UNDEF || H5Dget_storage_size(set) != bytes || at > r->file->size || bytes > r->file->size - at)
        return damaged(r, r->err, "the data of %s lies outside the file", name);
    *offset = at;
    return BELAY_OK;
}

/* --- the tables in /belay --- */

static int count_rows(const bl_reader *r, hid_t set, const char *name, size_t limit, size_t *count)
{
    hid_t space = H5Dget_space(set);
    hsize_t shape[H5S_MAX_RANK] = { 0 };
    int dims = H5Sget_simple_extent_ndims(space);
    if (dims == 1)
        (void)H5Sget_simple_extent_dims(space, shape, NULL);
    (void)H5Sclose(space);
    if (dims != 1)
        return damaged(r, r->err, "table %s is not a list", name);
    if (shape[0] > limit)
        return damaged(r, r->err, "table %s has %llu rows, more than %zu", name, (unsigned long long)shape[0], limit);
    *count = (size_t)shape[0];
    return BELAY_OK;
}

static int read_rows(bl_reader *r, hid_t set, int table)
{
    const char *name = bl_table_names[table];
    size_t count, bytes;
    uint64_t offset;
    int code = count_rows(r, set, name, table == BL_TABLE_CHECKSUMS ? BL_VARS_MAX : BL_TABLE_MAX, &count);
    if (code != BELAY_OK)
        return code;
    hid_t want = bl_table_type(table);
    const char *wrong = wrong_dataset(set, want, 1, &(hsize_t){ count });
    (void)H5Tclose(want);
    if (wrong)
        return damaged(r, r->err, "table %s %s", name, wrong);
    bytes = count * bl_table_bytes[table];
    code = locate(r, set, name, bytes, &offset);
    if (code != BELAY_OK)
        return code;
    r->tables[table] = malloc(bytes + 1);
    if (!r->tables[table])
        return bl_fail(r->err, BELAY_ERR_MEMORY, "no memory for table %s of %s", name, r->path);
    r->counts[table] = count;
    if (bl_read_all(r->file->fd, r->tables[table], bytes, offset) != 0)
        return damaged(r, r->err, "table %s cannot be read: %s", name, errno ? strerror(errno) : "the file ends before");
    return BELAY_OK;
}

static int read_table(bl_reader *r, hid_t group, int table)
{
    hid_t set;
    int code = open_dataset(r, group, bl_table_names[table], &set);
    if (code != BELAY_OK)
        return code;
    code = read_rows(r, set, table);
    (void)H5Dclose(set);
    return code;
}

static int check_digest(bl_reader *r)
{
    bl_table tables[BL_TABLES];
    bl_digest said, is;
    for (int t = 0; t < BL_TABLES; t++)
        tables[t] = (bl_table){ r->tables[t], r->counts[t] };
    if (!bl_snapshot_digest(&r->origin, tables, &is))
        return bl_fail(r->err, BELAY_ERR_MEMORY, "no memory to compute a digest");
    if (!bl_digest_parse(r->origin.digest, &said) || !bl_digest_equal(said, is))
        return damaged(r, r->err, "its attributes and tables do not match its digest");
    return BELAY_OK;
}

static int read_belay(bl_reader *r, hid_t group)
{
    int code = read_attributes(r, group);
    for (int t = 0; code == BELAY_OK && t < BL_TABLES; t++)
        code = read_table(r, group, t);
    return code == BELAY_OK ? check_digest(r) : code;
}

/* --- the variables in /state --- */

static int fill_variable(bl_reader *r, size_t i)
{
    const bl_row *row = &r->rows[i];
    bl_variable *v = &r->variables[i];
    memcpy(v->name, row->name, sizeof v->name);
    if (!bl_name_good(row->name) || (i > 0 && strcmp(row[-1].name, row->name) >= 0))
        return damaged(r, r->err, "row %zu of the checksums has a wrong name", i);
    if (!bl_type_parse(row->type, &v->type) || row->dims > BL_DIMS_MAX || row->element == 0
        || (v->type != BL_TYPE_BYTES && row->element != bl_type_bytes(v->type))
        || !bl_shape_bytes(row->element, (int)row->dims, row->shape, &r->bytes[i]))
        return damaged(r, r->err, "the checksums give variable %s an impossible type or shape", v->name);
    v->element = row->element;
    v->dims = (int)row->dims;
    memcpy(v->shape, row->shape, sizeof v->shape);
    return BELAY_OK;
}

/* What was left out of older snapshots, and may be of any. */
static int read_part(const bl_reader *r, hid_t set, bl_variable *v)
{
    uint64_t packed[BL_PART_ROWS * BL_DIMS_MAX];
    uint64_t *to[BL_PART_ROWS] = { v->part.whole, v->part.offset, v->part.count, v->part.first };
    hsize_t shape[H5S_MAX_RANK] = { 0 };
    if (H5Aexists(set, BL_PART_ATTRIBUTE) <= 0)
        return BELAY_OK;
    hid_t id = H5Aopen(set, BL_PART_ATTRIBUTE, H5P_DEFAULT), space = id < 0 ? -1 : H5Aget_space(id), type = id < 0 ? -1 : H5Aget_type(id);
    int good = space >= 0 && type >= 0 && H5Tequal(type, H5T_STD_U64LE) > 0 && H5Sget_simple_extent_ndims(space) == 2
        && H5Sget_simple_extent_dims(space, shape, NULL) == 2 && shape[0] == BL_PART_ROWS && shape[1] == (hsize_t)v->dims && v->dims > 0
        && H5Aread(id, H5T_STD_U64LE, packed) >= 0;
    if (type >= 0)
        (void)H5Tclose(type);
    if (space >= 0)
        (void)H5Sclose(space);
    if (id >= 0)
        (void)H5Aclose(id);
    for (int k = 0; good && k < BL_PART_ROWS; k++)
        memcpy(to[k], packed + k * v->dims, (size_t)v->dims * sizeof *packed);
    v->is_part = good;
    return good && bl_share_fits(v) ? BELAY_OK : damaged(r, r->err, "of what variable %s is a part cannot be", v->name);
}

static int find_variable(bl_reader *r, hid_t group, size_t i)
{
    bl_variable *v = &r->variables[i];
    hsize_t shape[BL_DIMS_MAX];
    hid_t set;
    int code = fill_variable(r, i);
    if (code == BELAY_OK)
        code = open_dataset(r, group, v->name, &set);
    if (code != BELAY_OK)
        return code;
    for (int d = 0; d < v->dims; d++)
        shape[d] = v->shape[d];
    hid_t want = bl_data_type(v->type, v->element);
    const char *wrong = wrong_dataset(set, want, v->dims, shape);
    code = wrong ? damaged(r, r->err, "variable %s %s", v->name, wrong) : locate(r, set, v->name, r->bytes[i], &r->offset[i]);
    if (code == BELAY_OK)
        code = read_part(r, set, v);
    (void)H5Tclose(want);
    (void)H5Dclose(set);
    return code;
}

static int read_state(bl_reader *r, hid_t group)
{
    size_t count = r->counts[BL_TABLE_CHECKSUMS];
    H5G_info_t info;
    if (H5Gget_info(group, &info) < 0)
        return h5_damaged(r, "/state");
    if (info.nlinks != count)
        return damaged(r, r->err, "/state holds %llu variables, the checksums %zu", (unsigned long long)info.nlinks, count);
    r->rows = r->tables[BL_TABLE_CHECKSUMS];
    r->variables = calloc(count + 1, sizeof *r->variables);
    r->offset = calloc(count + 1, sizeof *r->offset);
    r->bytes = calloc(count + 1, sizeof *r->bytes);
    if (!r->variables || !r->offset || !r->bytes)
        return bl_fail(r->err, BELAY_ERR_MEMORY, "no memory for the %zu variables of %s", count, r->path);
    int code = BELAY_OK;
    for (size_t i = 0; code == BELAY_OK && i < count; i++)
        code = find_variable(r, group, i);
    return code;
}

/* --- opening --- */

static int open_group(const bl_reader *r, const char *name, hid_t *group)
{
    H5L_info_t link;
    *group = -1;
    if (H5Lget_info(r->file->id, name, &link, H5P_DEFAULT) < 0)
        return h5_damaged(r, name);
    if (link.type != H5L_TYPE_HARD)
        return damaged(r, r->err, "%s is a link to elsewhere", name);
    *group = H5Gopen2(r->file->id, name, H5P_DEFAULT);
    return *group < 0 ? h5_damaged(r, name) : BELAY_OK;
}

static int read_group(bl_reader *r, const char *name, int (*body)(bl_reader *, hid_t))
{
    hid_t group;
    int code = open_group(r, name, &group);
    if (code != BELAY_OK)
        return code;
    code = body(r, group);
    (void)H5Gclose(group);
    return code;
}

static int read_file(void *context)
{
    bl_reader *r = context;
    char why[BL_WHY];
    int code = bl_h5_open(r->path, &r->file, why, r->err);
    if (code == BELAY_ERR_DAMAGED)
        return damaged(r, r->err, "%s", why);
    if (code == BELAY_OK)
        code = read_group(r, "belay", read_belay);
    if (code == BELAY_OK)
        code = read_group(r, "state", read_state);
    if (r->file && bl_h5_close(r->file) != 0 && code == BELAY_OK)
        code = h5_damaged(r, "the file");
    return code;
}

static int check_origin(const bl_reader *r, const bl_store *store)
{
    const bl_snapshot *s = &r->origin.s;
    if (strcmp(r->origin.job, store->job.id) != 0)
        return bl_fail(r->err, BELAY_ERR_FOREIGN, "%s (rank %u, checkpoint %u) belongs to job %s, not to job %s of this "
                       "directory: move it away", r->path, r->rank, r->checkpoint, r->origin.job, store->job.id);
    if (s->rank != r->rank || s->ranks != store->job.ranks || s->checkpoint != r->checkpoint)
        return bl_fail(r->err, BELAY_ERR_FOREIGN, "%s should be of rank %u of %u, checkpoint %u, but is of rank %u of %u, "
                       "checkpoint %u: move it away", r->path, r->rank, store->job.ranks, r->checkpoint, s->rank, s->ranks,
                       s->checkpoint);
    return BELAY_OK;
}

static int open_path(const bl_store *store, bl_reader *r, const bl_digest *expect)
{
    bl_digest is = { 0, 0 };
    int code = bl_h5_quietly(read_file, r);
    if (code == BELAY_OK)
        code = check_origin(r, store);
    if (code != BELAY_OK)
        return code;
    (void)bl_digest_parse(r->origin.digest, &is);
    if (expect && !bl_digest_equal(*expect, is))
        return damaged(r, r->err, "it is not the snapshot its commit record names");
    bl_snapshot *s = &r->origin.s;
    s->variables = r->variables;
    s->nvariables = r->counts[BL_TABLE_CHECKSUMS];
    s->channels = r->tables[BL_TABLE_CHANNELS];
    s->nchannels = r->counts[BL_TABLE_CHANNELS];
    s->collectives = r->tables[BL_TABLE_COLLECTIVES];
    s->ncollectives = r->counts[BL_TABLE_COLLECTIVES];
    s->dependencies = r->tables[BL_TABLE_DEPENDENCIES];
    s->ndependencies = r->counts[BL_TABLE_DEPENDENCIES];
    return BELAY_OK;
}

static int open_reader(const bl_store *store, const char *path, uint32_t rank, uint32_t checkpoint, const bl_digest *expect,
                       bl_reader **reader, bl_error *err)
{
    *reader = NULL;
    bl_reader *r = calloc(1, sizeof *r);
    if (!r)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory to open %s", path);
    memcpy(r->path, path, strlen(path) + 1);
    r->rank = rank;
    r->checkpoint = checkpoint;
    r->err = err;
    int code = open_path(store, r, expect);
    r->err = NULL;
    if (code == BELAY_OK)
        *reader = r;
    else
        bl_snapshot_close(r);
    return code;
}

int bl_snapshot_check(const bl_store *store, const char *path, uint32_t rank, uint32_t checkpoint, const bl_digest *expect,
                      bl_error *err)
{
    bl_reader *reader;
    int code = open_reader(store, path, rank, checkpoint, expect, &reader, err);
    bl_snapshot_close(reader);
    return code;
}

int bl_snapshot_open_at(const bl_store *store, const char *path, uint32_t rank, uint32_t checkpoint, const bl_digest *expect,
                        bl_reader **reader, bl_error *err)
{
    return open_reader(store, path, rank, checkpoint, expect, reader, err);
}

int bl_snapshot_open(bl_store *store, uint32_t rank, uint32_t checkpoint, const bl_digest *expect,
                     bl_reader **reader, const bl_snapshot **snapshot, bl_error *err)
{
    char path[BL_PATH];
    bl_rank_path(store, path, rank, "ckpt-%06u.h5", checkpoint);
    int code = open_reader(store, path, rank, checkpoint, expect, reader, err);
    if (code == BELAY_OK)
        *snapshot = &(*reader)->origin.s;
    return code;
}

void bl_snapshot_close(bl_reader *reader)
{
    if (!reader)
        return;
    bl_h5_free(reader->file);
    for (int t = 0; t < BL_TABLES; t++)
        free(reader->tables[t]);
    free(reader->variables);
    free(reader->offset);
    free(reader->bytes);
    free(reader);
}

/* --- the bulk --- */

/* Reads variable i through `chunk`, or straight into `data`, and compares the checksum. */
static int scan(const bl_reader *r, size_t i, char *data, char *chunk, XXH3_state_t *state, bl_error *err)
{
    const char *name = r->variables[i].name;
    (void)XXH3_128bits_reset(state);
    for (uint64_t done = 0; done < r->bytes[i];) {
        size_t size = r->bytes[i] - done < CHUNK ? (size_t)(r->bytes[i] - done) : CHUNK;
        char *to = data ? data + done : chunk;
        if (bl_read_all(r->file->fd, to, size, r->offset[i] + done) != 0)
            return damaged(r, err, "variable %s cannot be read: %s", name, errno ? strerror(errno) : "the file ends before");
        (void)XXH3_128bits_update(state, to, size);
        done += size;
    }
    XXH128_hash_t is = XXH3_128bits_digest(state);
    if (is.low64 != r->rows[i].low || is.high64 != r->rows[i].high)
        return damaged(r, err, "the data of variable %s does not match its checksum", name);
    return BELAY_OK;
}

int bl_snapshot_verify(bl_reader *reader, bl_error *err)
{
    char *chunk = malloc(CHUNK);
    XXH3_state_t *state = XXH3_createState();
    int code = chunk && state ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "no memory to verify %s", reader->path);
    for (size_t i = 0; code == BELAY_OK && i < reader->counts[BL_TABLE_CHECKSUMS]; i++)
        code = scan(reader, i, NULL, chunk, state, err);
    XXH3_freeState(state);
    free(chunk);
    return code;
}

int bl_snapshot_sum(const bl_reader *reader, const char *name, bl_digest *sum)
{
    for (size_t i = 0; i < reader->counts[BL_TABLE_CHECKSUMS]; i++) {
        if (strcmp(reader->rows[i].name, name) != 0)
            continue;
        *sum = (bl_digest){ reader->rows[i].low, reader->rows[i].high };
        return BELAY_OK;
    }
    return BELAY_ERR_NONE;
}

int bl_snapshot_read(bl_reader *reader, const char *name, void *data, bl_error *err)
{
    size_t low = 0, high = reader->counts[BL_TABLE_CHECKSUMS];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, reader->variables[middle].name);
        if (order == 0) {
            XXH3_state_t *state = XXH3_createState();
            int code = state ? scan(reader, middle, data, NULL, state, err)
                             : bl_fail(err, BELAY_ERR_MEMORY, "no memory to read %s", reader->path);
            XXH3_freeState(state);
            return code;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return bl_fail(err, BELAY_ERR_MISMATCH, "%s (rank %u, checkpoint %u) has no variable %s", reader->path, reader->rank,
                   reader->checkpoint, name);
}

int bl_snapshot_alone(const char *protocol)
{
    return strcmp(protocol, "independent") == 0 || strcmp(protocol, "induced") == 0 || bl_is_logging(protocol);
}
