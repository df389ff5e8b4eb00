#include "store/whole.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/h5file.h"
#include "store/internal.h"
#include "store/layout.h"

int bl_whole_open(const char *dir, uint32_t below, bl_whole *w, bl_error *err)
{
    memset(w, 0, sizeof *w);
    int rc = bl_store_open(dir, BL_STABLE_PROCESS, &w->store, err);
    if (rc == BELAY_OK) rc = bl_commit_newest(w->store, below, &w->record, NULL, NULL, err);
    if (rc == BELAY_ERR_NONE && w->store) rc = bl_fail(err, rc, "%s holds no committed checkpoint%s", dir, below == UINT32_MAX ? "" : " that can be read");
    w->safe_point = w->record.safe_point;
    if (rc) bl_whole_close(w);
    return rc;
}

void bl_whole_close(bl_whole *w)
{
    bl_commit_clear(&w->record);
    if (w->store) bl_store_close(w->store);
    memset(w, 0, sizeof *w);
}

static int open_rank(bl_store *store, const bl_commit_record *record, uint32_t rank, bl_reader **reader, const bl_snapshot **s, bl_error *err)
{
    return bl_snapshot_open(store, rank, record->checkpoint, &record->digests[rank], reader, s, err);
}

static const bl_variable *find(const bl_snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->nvariables; i++)
        if (!strcmp(s->variables[i].name, name)) return &s->variables[i];
    return NULL;
}

static int mismatch(bl_error *err, const bl_whole *w, const char *name, const char *why)
{
    return bl_fail(err, BELAY_ERR_MISMATCH, "variable '%s' of checkpoint %" PRIu32 " in %s: %s", name, w->record.checkpoint, bl_store_dir(w->store), why);
}

static const char *not_alike(const bl_variable *was, const bl_variable *v)
{
    if (!was) return "it is not in the checkpoint";
    if (was->type != v->type || was->element != v->element || was->dims != v->dims) return "it has another type or number of dimensions here";
    if (was->is_part != v->is_part) return "it is a part of a whole here or there, not in both (belay_part)";
    if (v->is_part && memcmp(was->part.whole, v->part.whole, sizeof *v->part.whole * (size_t)v->dims)) return "the whole array has another shape here";
    if (!v->is_part && memcmp(was->shape, v->shape, sizeof *v->shape * (size_t)v->dims)) return "it has another shape here";
    return NULL;
}

/* --- what two parts have in common --- */

typedef struct common { uint64_t from[BL_DIMS_MAX], to[BL_DIMS_MAX], count[BL_DIMS_MAX]; } common; /* in the variables */

static uint64_t intersect(const bl_variable *was, const bl_variable *v, common *c)
{
    uint64_t all = 1;
    for (int d = 0; d < v->dims; d++) {
        const bl_share *a = &was->part, *b = &v->part;
        uint64_t low = a->offset[d] > b->offset[d] ? a->offset[d] : b->offset[d];
        uint64_t end_a = a->offset[d] + a->count[d], end_b = b->offset[d] + b->count[d], end = end_a < end_b ? end_a : end_b;
        if (end <= low) return 0;
        c->count[d] = end - low;
        c->from[d] = a->first[d] + (low - a->offset[d]);
        c->to[d] = b->first[d] + (low - b->offset[d]);
        all *= c->count[d];
    }
    return all;
}

/* Row by row of the last dimension. */
static void copy(const bl_variable *was, const char *from, const bl_variable *v, const common *c)
{
    uint64_t at[BL_DIMS_MAX] = { 0 };
    int last = v->dims - 1;
    for (;;) {
        uint64_t source = 0, target = 0;
        for (int d = 0; d < v->dims; d++) {
            source = source * was->shape[d] + c->from[d] + at[d];
            target = target * v->shape[d] + c->to[d] + at[d];
        }
        memcpy((char *)v->data + target * v->element, from + source * v->element, (size_t)(c->count[last] * v->element));
        int d = last - 1;
        while (d >= 0 && ++at[d] == c->count[d]) at[d--] = 0;
        if (d < 0) return;
    }
}

static int read_from(const bl_whole *w, uint32_t rank, const bl_variable *v, uint64_t *got, bl_error *err)
{
    bl_reader *reader;
    const bl_snapshot *s;
    common c;
    int rc = open_rank(w->store, &w->record, rank, &reader, &s, err);
    if (rc) return rc;
    const bl_variable *was = find(s, v->name);
    const char *why = not_alike(was, v);
    uint64_t elements = why ? 0 : intersect(was, v, &c);
    if (why) rc = mismatch(err, w, v->name, why);
    if (elements) {
        char *data = malloc((size_t)bl_variable_bytes(was) + 1);
        rc = data ? bl_snapshot_read(reader, v->name, data, err) : bl_fail(err, BELAY_ERR_MEMORY, "no memory for what rank %" PRIu32 " had of '%s'", rank, v->name);
        if (rc == BELAY_OK) copy(was, data, v, &c);
        free(data);
        *got += elements;
    }
    bl_snapshot_close(reader);
    return rc;
}

static int read_part_of(const bl_whole *w, const bl_variable *v, bl_error *err)
{
    uint64_t wanted = 1, got = 0;
    int rc = BELAY_OK;
    for (int d = 0; d < v->dims; d++) wanted *= v->part.count[d];
    for (uint32_t r = 0; rc == BELAY_OK && wanted && r < w->record.ranks; r++) rc = read_from(w, r, v, &got, err);
    if (rc == BELAY_OK && got != wanted) return mismatch(err, w, v->name, "its ranks did not have each element of the whole exactly once");
    return rc;
}

/* All ranks of that job have to have had the same. */
static int read_common(const bl_whole *w, const bl_variable *v, bl_error *err)
{
    bl_digest first = { 0, 0 }, sum;
    int rc = BELAY_OK;
    for (uint32_t r = 0; rc == BELAY_OK && r < w->record.ranks; r++) {
        bl_reader *reader;
        const bl_snapshot *s;
        rc = open_rank(w->store, &w->record, r, &reader, &s, err);
        if (rc) return rc;
        const char *why = not_alike(find(s, v->name), v);
        if (why) rc = mismatch(err, w, v->name, why);
        else if (bl_snapshot_sum(reader, v->name, &sum) == BELAY_OK && r > 0 && !bl_digest_equal(sum, first))
            rc = mismatch(err, w, v->name, "it was not the same on all ranks, and is no part of a whole: say with belay_part what of a whole a rank has, or leave it out with belay_unprotect");
        else if (r == 0) rc = bl_snapshot_read(reader, v->name, v->data, err);
        if (r == 0) first = sum;
        bl_snapshot_close(reader);
    }
    return rc;
}

int bl_whole_read(const bl_whole *w, const bl_variable *v, bl_error *err)
{
    return v->is_part ? read_part_of(w, v, err) : read_common(w, v, err);
}

/* --- a file of views --- */

typedef struct viewer {
    bl_store *store;
    const bl_commit_record *record;
    const bl_snapshot **snapshot; /* [ranks] of these readers */
    bl_reader **reader;
    const char *path;
    char temporary[BL_PATH];
    bl_h5file *file;
    FILE *xdmf;
    uint32_t arrays;
    bl_error *err;
} viewer;

/* A per cent sign would mean something to HDF5. */
static void source_name(const viewer *w, uint32_t rank, char name[2 * BL_PATH])
{
    char path[BL_PATH];
    size_t used = 0, dir = strlen(w->store->dir);
    bl_rank_path(w->store, path, rank, "ckpt-%06u.h5", w->record->checkpoint);
    /* In one directory with its sources the file can be moved with them. */
    const char *slash = strrchr(w->path, '/');
    int inside = slash && (size_t)(slash - w->path) == dir && !strncmp(w->path, w->store->dir, dir) && !strncmp(path, w->store->dir, dir);
    for (const char *c = inside ? path + dir + 1 : path; *c && used + 3 < 2 * BL_PATH; c++) {
        if (*c == '%') name[used++] = '%';
        name[used++] = *c;
    }
    name[used] = '\0';
}

/* Where nothing is, because a file is gone, floating-point numbers are none. */
static void set_fill(hid_t list, enum bl_type type)
{
    float f = NAN;
    double d = NAN;
    if (type == BL_TYPE_F32) (void)H5Pset_fill_value(list, H5T_NATIVE_FLOAT, &f);
    if (type == BL_TYPE_F64) (void)H5Pset_fill_value(list, H5T_NATIVE_DOUBLE, &d);
}

static int add_source(const viewer *w, hid_t list, hid_t whole, const bl_variable *v, uint32_t rank)
{
    char file[2 * BL_PATH], set[BL_NAME_MAX + 16];
    hsize_t shape[BL_DIMS_MAX], offset[BL_DIMS_MAX], count[BL_DIMS_MAX], first[BL_DIMS_MAX];
    for (int d = 0; d < v->dims; d++) {
        if (!v->part.count[d]) return 0;
        shape[d] = v->shape[d];
        offset[d] = v->part.offset[d];
        count[d] = v->part.count[d];
        first[d] = v->part.first[d];
    }
    source_name(w, rank, file);
    snprintf(set, sizeof set, "/state/%s", v->name);
    hid_t source = H5Screate_simple(v->dims, shape, NULL);
    int bad = source < 0 || H5Sselect_hyperslab(source, H5S_SELECT_SET, first, NULL, count, NULL) < 0 ||
              H5Sselect_hyperslab(whole, H5S_SELECT_SET, offset, NULL, count, NULL) < 0 || H5Pset_virtual(list, whole, file, set, source) < 0;
    if (source >= 0) (void)H5Sclose(source);
    return bad ? -1 : 0;
}

static void add_to_xdmf(const viewer *w, const bl_variable *v)
{
    static const char *const kind[] = { NULL, "Char", "Int", "Int", "Int", "UChar", "UInt", "UInt", "UInt", "Float", "Float", NULL, NULL };
    uint64_t n[3] = { 1, 1, 1 };
    if (v->dims > 3 || !kind[v->type]) return;
    for (int d = 0; d < v->dims; d++) n[3 - v->dims + d] = v->part.whole[d];
    const char *slash = strrchr(w->path, '/');
    fprintf(w->xdmf, "    <Grid Name=\"%s\" GridType=\"Uniform\">\n"
                     "      <Topology TopologyType=\"3DCoRectMesh\" Dimensions=\"%" PRIu64 " %" PRIu64 " %" PRIu64 "\"/>\n"
                     "      <Geometry GeometryType=\"ORIGIN_DXDYDZ\">\n"
                     "        <DataItem Dimensions=\"3\" Format=\"XML\">0 0 0</DataItem>\n"
                     "        <DataItem Dimensions=\"3\" Format=\"XML\">1 1 1</DataItem>\n"
                     "      </Geometry>\n"
                     "      <Attribute Name=\"%s\" AttributeType=\"Scalar\" Center=\"Node\">\n"
                     "        <DataItem Dimensions=\"%" PRIu64 " %" PRIu64 " %" PRIu64 "\" NumberType=\"%s\" Precision=\"%" PRIu32 "\" Format=\"HDF\">%s:/%s</DataItem>\n"
                     "      </Attribute>\n"
                     "    </Grid>\n",
            v->name, n[0], n[1], n[2], v->name, n[0], n[1], n[2], kind[v->type], v->element, slash ? slash + 1 : w->path, v->name);
}

/* A variable that is a part of the same whole on all ranks. */
static int add_array(viewer *w, const bl_variable *v)
{
    hsize_t shape[BL_DIMS_MAX];
    for (uint32_t r = 0; r < w->record->ranks; r++) {
        const bl_variable *other = find(w->snapshot[r], v->name);
        if (!v->is_part || not_alike(other, v)) return 0;
    }
    for (int d = 0; d < v->dims; d++) shape[d] = v->part.whole[d];
    hid_t list = H5Pcreate(H5P_DATASET_CREATE), whole = H5Screate_simple(v->dims, shape, NULL), type = bl_data_type(v->type, v->element), set = -1;
    int bad = list < 0 || whole < 0 || type < 0;
    set_fill(list, v->type);
    for (uint32_t r = 0; !bad && r < w->record->ranks; r++) bad = add_source(w, list, whole, find(w->snapshot[r], v->name), r) != 0;
    if (!bad) (void)H5Sselect_all(whole);
    if (!bad) set = H5Dcreate2(w->file->id, v->name, type, whole, H5P_DEFAULT, list, H5P_DEFAULT);
    bad |= set < 0 || H5Dclose(set) < 0;
    (void)H5Tclose(type);
    (void)H5Sclose(whole);
    (void)H5Pclose(list);
    if (bad) return -1;
    add_to_xdmf(w, v);
    w->arrays++;
    return 0;
}

static int write_views(void *context)
{
    viewer *w = context;
    char why[BL_WHY];
    int bad = 0, rc = bl_h5_create(w->temporary, false, &w->file, w->err);
    if (rc) return rc;
    for (size_t i = 0; !bad && i < w->snapshot[0]->nvariables; i++) bad = add_array(w, &w->snapshot[0]->variables[i]);
    if (bad) rc = bl_fail(w->err, BELAY_ERR_SYSTEM, "cannot write %s: HDF5 says: %s", w->temporary, bl_h5_text(why));
    if (bl_h5_close(w->file) && rc == BELAY_OK) rc = bl_fail(w->err, BELAY_ERR_SYSTEM, "cannot write %s", w->temporary);
    if (rc == BELAY_OK && w->file->error) rc = bl_fail(w->err, BELAY_ERR_SYSTEM, "cannot write %s: %s", w->temporary, strerror(w->file->error));
    bl_h5_free(w->file);
    return rc;
}

static int open_all(viewer *w)
{
    int rc = BELAY_OK;
    for (uint32_t r = 0; rc == BELAY_OK && r < w->record->ranks; r++) {
        const bl_snapshot *s;
        rc = open_rank(w->store, w->record, r, &w->reader[r], &s, w->err);
        if (rc == BELAY_OK) w->snapshot[r] = s;
    }
    return rc;
}

static int write_both(viewer *w, bl_error *err)
{
    char xdmf[BL_PATH], temporary[BL_PATH];
    snprintf(w->temporary, sizeof w->temporary, "%s.tmp", w->path);
    snprintf(xdmf, sizeof xdmf, "%s", w->path);
    size_t length = strlen(xdmf);
    if (length > 3 && !strcmp(xdmf + length - 3, ".h5")) xdmf[length - 3] = '\0';
    if (strlen(xdmf) + 10 >= sizeof xdmf) return bl_fail(err, BELAY_ERR_ARG, "the path of the view is too long");
    strcat(xdmf, ".xdmf");
    if (snprintf(temporary, sizeof temporary, "%s.tmp", xdmf) >= (int)sizeof temporary) return bl_fail(err, BELAY_ERR_ARG, "the path of the view is too long");
    w->xdmf = fopen(temporary, "w");
    if (!w->xdmf) return bl_fail_errno(err, "cannot create %s", temporary);
    fprintf(w->xdmf, "<?xml version=\"1.0\"?>\n<Xdmf Version=\"3.0\">\n  <Domain>\n");
    int rc = bl_h5_quietly(write_views, w);
    fprintf(w->xdmf, "  </Domain>\n</Xdmf>\n");
    if (fclose(w->xdmf) && rc == BELAY_OK) rc = bl_fail_errno(err, "cannot write %s", temporary);
    if (rc == BELAY_OK && !w->arrays) {
        rc = bl_fail(err, BELAY_ERR_REFUSED, "checkpoint %" PRIu32 " has no variable that is a part of a whole on all ranks: say what a rank has of it with belay_part", w->record->checkpoint);
    } else if (rc == BELAY_OK && (rename(w->temporary, w->path) || rename(temporary, xdmf))) {
        rc = bl_fail_errno(err, "cannot make %s", w->path);
    }
    (void)unlink(w->temporary);
    (void)unlink(temporary);
    return rc;
}

int bl_whole_view(bl_store *store, const bl_commit_record *record, const char *path, uint32_t *arrays, bl_error *err)
{
    viewer w = { .store = store, .record = record, .path = path, .err = err };
    w.snapshot = calloc(record->ranks, sizeof *w.snapshot);
    w.reader = calloc(record->ranks, sizeof *w.reader);
    int rc = w.snapshot && w.reader ? open_all(&w) : bl_fail(err, BELAY_ERR_MEMORY, "no memory for %" PRIu32 " ranks", record->ranks);
    if (rc == BELAY_OK) rc = write_both(&w, err);
    for (uint32_t r = 0; w.reader && r < record->ranks; r++)
        if (w.reader[r]) bl_snapshot_close(w.reader[r]);
    free(w.snapshot);
    free(w.reader);
    *arrays = w.arrays;
    return rc;
}
