/* snapshot_write.c - one rank's state into one HDF5 file, published when it is whole. */
#include "store/h5file.h"
#include "store/internal.h"
#include "store/layout.h"
#include "store/seal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct writer {
    bl_store *store;
    const bl_snapshot *s;
    const bl_variable **sorted;     /* by name */
    bl_row *rows;
    bl_origin origin;
    bl_digest digest;
    bl_range *bulk;                 /* where the large variables lie */
    size_t nbulk;
    bl_h5file *file;
    hid_t plain;                    /* creation properties of every dataset */
    char final[BL_PATH], temporary[BL_PATH];
    bl_error *err;
} writer;

/* --- what may be written at all --- */

static int refuse(const writer *w, const char *what, const char *name)
{
    return bl_fail(w->err, BELAY_ERR_ARG, "rank %u, checkpoint %u: %s%s", w->s->rank, w->s->checkpoint, what, name);
}

static int check_variable(const writer *w, const bl_variable *v)
{
    char shown[BL_NAME_MAX + 1];
    uint64_t bytes;
    snprintf(shown, sizeof shown, "%.*s", BL_NAME_MAX, v->name);
    if (!bl_name_good(v->name))
        return refuse(w, "a variable's name is 1 to 63 of A-Z a-z 0-9 _ . -, not: ", shown);
    if ((unsigned)v->type > BL_TYPE_C64)
        return refuse(w, "unknown element type of variable ", shown);
    if (v->element == 0 || (v->type != BL_TYPE_BYTES && v->element != bl_type_bytes(v->type)))
        return refuse(w, "the element size does not fit the type of variable ", shown);
    if (v->dims < 0 || v->dims > BL_DIMS_MAX)
        return refuse(w, "more than 8 dimensions in variable ", shown);
    if (!bl_shape_bytes(v->element, v->dims, v->shape, &bytes))
        return refuse(w, "the shape is larger than any memory: variable ", shown);
    if (bytes > 0 && !v->data)
        return refuse(w, "no data for variable ", shown);
    if (v->is_part && !bl_share_fits(v))
        return refuse(w, "what this rank has of it does not fit into the whole, or into the variable: ", shown);
    return BELAY_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const bl_variable *const *)a)->name, (*(const bl_variable *const *)b)->name);
}

static int sort_variables(writer *w)
{
    const bl_snapshot *s = w->s;
    w->sorted = malloc((s->nvariables + 1) * sizeof *w->sorted);
    w->rows = calloc(s->nvariables + 1, sizeof *w->rows);
    w->bulk = calloc(s->nvariables + 1, sizeof *w->bulk);
    if (!w->sorted || !w->rows || !w->bulk)
        return bl_fail(w->err, BELAY_ERR_MEMORY, "no memory to list %zu variables", s->nvariables);
    for (size_t i = 0; i < s->nvariables; i++) {
        int code = check_variable(w, &s->variables[i]);
        if (code != BELAY_OK)
            return code;
        w->sorted[i] = &s->variables[i];
    }
    if (s->nvariables > 1)
        qsort(w->sorted, s->nvariables, sizeof *w->sorted, by_name);
    for (size_t i = 1; i < s->nvariables; i++)
        if (strcmp(w->sorted[i - 1]->name, w->sorted[i]->name) == 0)
            return refuse(w, "two variables have the name ", w->sorted[i]->name);
    return BELAY_OK;
}

static int check_snapshot(writer *w)
{
    const bl_snapshot *s = w->s;
    if (s->ranks != w->store->job.ranks || s->rank >= s->ranks)
        return refuse(w, "the rank or the number of ranks is not that of the job in ", w->store->dir);
    if (s->checkpoint == 0 || s->checkpoint > BL_CHECKPOINT_MAX)
        return refuse(w, "a checkpoint's number is 1 to 999999999", "");
    if (s->incarnation != w->store->incarnation)
        return refuse(w, "the incarnation is not the one this process joined", "");
    if (s->nvariables > BL_VARS_MAX)
        return refuse(w, "more than 4096 variables", "");
    if (s->nchannels > BL_TABLE_MAX || s->ncollectives > BL_TABLE_MAX || s->ndependencies > BL_TABLE_MAX)
        return refuse(w, "more than 1048576 channels, collectives or dependencies", "");
    if (strnlen(s->protocol, sizeof s->protocol) == sizeof s->protocol || !isfinite(s->compute_s)
        || s->forced > 1)
        return refuse(w, "the protocol's name, the compute time or what forced it cannot be stored", "");
    return sort_variables(w);
}

/* --- the HDF5 file --- */

static int h5_failed(const writer *w, const char *what)
{
    char text[BL_WHY];
    (void)bl_h5_text(text);
    errno = w->file->error;
    return w->file->error
        ? bl_fail_errno(w->err, "rank %u, checkpoint %u: cannot write %s", w->s->rank, w->s->checkpoint, w->temporary)
        : bl_fail(w->err, BELAY_ERR_SYSTEM, "rank %u, checkpoint %u: cannot write %s into %s: HDF5 says: %s",
                  w->s->rank, w->s->checkpoint, what, w->temporary, text);
}

/* One dataset, one H5Dwrite.  Closes the type and the space; says where the data lies. */
static int write_dataset(const writer *w, hid_t group, const char *name, hid_t type, hid_t space, const void *data,
                         bl_range *where)
{
    hid_t set = type < 0 || space < 0 ? -1 : H5Dcreate2(group, name, type, space, H5P_DEFAULT, w->plain, H5P_DEFAULT);
    int bad = set < 0 || (where->bytes > 0 && H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0);
    where->offset = bad || where->bytes == 0 ? 0 : H5Dget_offset(set);
    int code = bad ? h5_failed(w, name) : BELAY_OK;
    if (set >= 0 && H5Dclose(set) < 0 && !bad)
        code = h5_failed(w, name);
    (void)H5Sclose(space);
    (void)H5Tclose(type);
    return code == BELAY_OK && w->file->error ? h5_failed(w, name) : code;
}

static int write_part(const writer *w, hid_t group, const bl_variable *v)
{
    uint64_t packed[BL_PART_ROWS * BL_DIMS_MAX];
    const uint64_t *from[BL_PART_ROWS] = { v->part.whole, v->part.offset, v->part.count, v->part.first };
    hsize_t shape[2] = { BL_PART_ROWS, (hsize_t)v->dims };
    for (int k = 0; k < BL_PART_ROWS; k++)
        memcpy(packed + k * v->dims, from[k], (size_t)v->dims * sizeof *packed);
    hid_t space = H5Screate_simple(2, shape, NULL);
    hid_t id = H5Acreate_by_name(group, v->name, BL_PART_ATTRIBUTE, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    int bad = id < 0 || H5Awrite(id, H5T_STD_U64LE, packed) < 0;
    int code = bad ? h5_failed(w, v->name) : BELAY_OK;
    if (id >= 0)
        (void)H5Aclose(id);
    (void)H5Sclose(space);
    return code;
}

static int write_variable(writer *w, hid_t group, const bl_variable *v, bl_row *row)
{
    hsize_t shape[BL_DIMS_MAX];
    bl_range where = { 0, bl_variable_bytes(v) };
    memcpy(row->name, v->name, strlen(v->name));
    memcpy(row->type, bl_type_name(v->type), strlen(bl_type_name(v->type)));
    row->element = v->element;
    row->dims = (uint32_t)v->dims;
    for (int i = 0; i < v->dims; i++)
        shape[i] = row->shape[i] = v->shape[i];
    hid_t space = v->dims == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(v->dims, shape, NULL);
    int code = write_dataset(w, group, v->name, bl_data_type(v->type, v->element), space, v->data, &where);
    if (code != BELAY_OK)
        return code;
    if (where.bytes >= BL_BULK_MIN)
        w->bulk[w->nbulk++] = where;
    bl_digest sum = bl_digest_of(v->data, where.bytes);
    row->low = sum.low;
    row->high = sum.high;
    return v->is_part ? write_part(w, group, v) : BELAY_OK;
}

static int write_attribute(const writer *w, hid_t group, const bl_attribute *attribute)
{
    hid_t space = H5Screate(H5S_SCALAR), type = bl_attribute_type(attribute);
    hid_t id = H5Acreate2(group, attribute->name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    int bad = id < 0 || H5Awrite(id, type, (const char *)&w->origin + attribute->offset) < 0;
    int code = bad ? h5_failed(w, attribute->name) : BELAY_OK;
    (void)H5Aclose(id);
    (void)H5Tclose(type);
    (void)H5Sclose(space);
    return code;
}

static int write_state(writer *w, hid_t group)
{
    int code = BELAY_OK;
    for (size_t i = 0; code == BELAY_OK && i < w->s->nvariables; i++)
        code = write_variable(w, group, w->sorted[i], &w->rows[i]);
    return code;
}

/* After write_state: the checksums are among what the digest covers. */
static int write_belay(writer *w, hid_t group)
{
    const bl_snapshot *s = w->s;
    const bl_table tables[BL_TABLES] = { { w->rows, s->nvariables }, { s->channels, s->nchannels },
                                         { s->collectives, s->ncollectives }, { s->dependencies, s->ndependencies } };
    int code = BELAY_OK;
    w->origin.format = BL_FORMAT;
    memcpy(w->origin.job, w->store->job.id, sizeof w->origin.job);
    w->origin.s = *s;
    memset(w->origin.s.protocol, 0, sizeof s->protocol); /* what follows the NUL is written too */
    memcpy(w->origin.s.protocol, s->protocol, strlen(s->protocol));
    if (!bl_snapshot_digest(&w->origin, tables, &w->digest))
        return bl_fail(w->err, BELAY_ERR_MEMORY, "no memory to compute a digest");
    bl_digest_text(w->digest, w->origin.digest);
    for (int t = 0; code == BELAY_OK && t < BL_TABLES; t++) {
        hsize_t count = tables[t].count;
        bl_range where = { 0, count * bl_table_bytes[t] };
        code = write_dataset(w, group, bl_table_names[t], bl_table_type(t), H5Screate_simple(1, &count, NULL),
                             tables[t].rows, &where);
    }
    for (int i = 0; code == BELAY_OK && i < BL_ATTRIBUTES; i++)
        code = write_attribute(w, group, &bl_attributes[i]);
    for (int i = 0; code == BELAY_OK && i < BL_OPTIONAL && (w->origin.s.index || w->origin.s.forced); i++)
        code = write_attribute(w, group, &bl_optional[i]);
    return code;
}

static hid_t make_group(const writer *w, const char *name)
{
    hid_t list = H5Pcreate(H5P_GROUP_CREATE);
    (void)H5Pset_attr_phase_change(list, BL_ATTRIBUTES + BL_OPTIONAL, 0); /* attributes in the header, no heap beside it */
    (void)H5Pset_obj_track_times(list, 0);
    hid_t group = H5Gcreate2(w->file->id, name, H5P_DEFAULT, list, H5P_DEFAULT);
    (void)H5Pclose(list);
    return group;
}

static int write_groups(writer *w)
{
    hid_t state = make_group(w, "state"), belay = make_group(w, "belay");
    int code = state < 0 || belay < 0 ? h5_failed(w, "the groups") : write_state(w, state);
    if (code == BELAY_OK)
        code = write_belay(w, belay);
    (void)H5Gclose(belay);
    (void)H5Gclose(state);
    return code;
}

static int finish(const writer *w)
{
    if (bl_seal_write(w->file->fd, w->file->size, w->bulk, w->nbulk) == 0)
        return bl_h5_sync(w->file);
    w->file->error = errno;
    return -1;
}

static int write_file(void *context)
{
    writer *w = context;
    int code = bl_h5_create(w->temporary, w->store->stable == BL_STABLE_POWER, &w->file, w->err);
    if (code != BELAY_OK)
        return code;
    w->file->rate = w->store->rate;
    w->plain = H5Pcreate(H5P_DATASET_CREATE);
    (void)H5Pset_layout(w->plain, H5D_CONTIGUOUS);
    (void)H5Pset_alloc_time(w->plain, H5D_ALLOC_TIME_EARLY);
    (void)H5Pset_fill_time(w->plain, H5D_FILL_TIME_NEVER);
    (void)H5Pset_obj_track_times(w->plain, 0);
    code = write_groups(w);
    (void)H5Pclose(w->plain);
    int closed = bl_h5_close(w->file);
    if (code == BELAY_OK && (closed != 0 || finish(w) != 0))
        code = h5_failed(w, "the end");
    bl_h5_free(w->file);
    return code;
}

/* --- publication --- */

static int publish(const writer *w)
{
    bl_fence fence;
    struct stat status;
    int code = bl_fence_enter(w->store, &fence, w->err);
    if (code != BELAY_OK)
        return code;
    if (lstat(w->final, &status) == 0)
        code = bl_fail(w->err, BELAY_ERR_ARG, "%s is there already: no checkpoint is written twice", w->final);
    else if (errno != ENOENT || bl_file_rename(w->store, w->temporary, w->final) != 0)
        code = bl_fail_errno(w->err, "cannot rename %s to %s", w->temporary, w->final);
    bl_fence_leave(&fence);
    return code;
}

static int sync_name(const writer *w)
{
    char path[BL_PATH];
    bl_rank_path(w->store, path, w->s->rank, ".");
    int code = bl_dir_sync(w->store, path, w->err);
    if (code != BELAY_OK)
        (void)unlink(w->final); /* no record names it yet */
    return code;
}

static int write_and_publish(writer *w)
{
    int code = bl_h5_quietly(write_file, w);
    if (code == BELAY_OK)
        code = bl_snapshot_check(w->store, w->temporary, w->s->rank, w->s->checkpoint, &w->digest, w->err);
    if (code == BELAY_OK)
        code = publish(w);
    if (code != BELAY_OK)
        (void)unlink(w->temporary);
    return code == BELAY_OK ? sync_name(w) : code;
}

static void temporary_path(const bl_store *store, char path[BL_PATH], uint32_t rank, uint32_t checkpoint)
{
    bl_rank_path(store, path, rank, "ckpt-%06u.h5.tmp-%04u", checkpoint, store->incarnation);
}

/* Before any bulk is written: a process that was replaced should notice now, and its leftovers go. */
static int prepare(writer *w)
{
    bl_fence fence;
    char path[BL_PATH];
    const bl_snapshot *s = w->s;
    bool first = w->store->rank_dir != s->rank;
    int code = bl_fence_enter(w->store, &fence, w->err);
    if (code != BELAY_OK)
        return code;
    bl_fence_leave(&fence);
    code = check_snapshot(w);
    if (code == BELAY_OK)
        code = bl_rank_dir(w->store, s->rank, w->err);
    if (code != BELAY_OK)
        return code;
    bl_rank_path(w->store, path, s->rank, ".");
    if (first)
        bl_dir_sweep(w->store, path);
    bl_rank_path(w->store, w->final, s->rank, "ckpt-%06u.h5", s->checkpoint);
    temporary_path(w->store, w->temporary, s->rank, s->checkpoint);
    return BELAY_OK;
}

int bl_snapshot_write(bl_store *store, const bl_snapshot *snapshot, bl_digest *digest, bl_error *err)
{
    writer w = { .store = store, .s = snapshot, .err = err };
    int code = prepare(&w);
    if (code == BELAY_OK)
        code = write_and_publish(&w);
    if (code == BELAY_OK)
        *digest = w.digest;
    free(w.sorted);
    free(w.rows);
    free(w.bulk);
    return code;
}

void bl_snapshot_drop(bl_store *store, uint32_t rank, uint32_t checkpoint)
{
    char path[BL_PATH];
    temporary_path(store, path, rank, checkpoint);
    (void)unlink(path);
}
