#include "store/layout.h"
#include "store/hash.h"

#include <string.h>

#define FIELD(kind, member, bytes) { #member, kind, bytes, offsetof(bl_origin, member) }
#define OWN(kind, member, bytes) { #member, kind, bytes, offsetof(bl_origin, s.member) }

const bl_attribute bl_attributes[BL_ATTRIBUTES] = {
    FIELD(BL_KIND_U32, format, 4),
    FIELD(BL_KIND_TEXT, job, 17),
    OWN(BL_KIND_U32, rank, 4),
    OWN(BL_KIND_U32, ranks, 4),
    OWN(BL_KIND_U32, checkpoint, 4),
    OWN(BL_KIND_U32, incarnation, 4),
    OWN(BL_KIND_U32, line_base, 4),
    OWN(BL_KIND_U64, safe_point, 8),
    OWN(BL_KIND_I64, time_ns, 8),
    OWN(BL_KIND_F64, compute_s, 8),
    OWN(BL_KIND_TEXT, protocol, 16),
    FIELD(BL_KIND_TEXT, digest, BL_HEX + 1)
};

const bl_attribute bl_optional[BL_OPTIONAL] = { OWN(BL_KIND_U32, index, 4), OWN(BL_KIND_U32, forced, 4) };

const char *const bl_table_names[BL_TABLES] = { "checksums", "channels", "collectives", "dependencies" };
const size_t bl_table_bytes[BL_TABLES] = { sizeof(bl_row), sizeof(bl_channel), sizeof(bl_collectives), sizeof(bl_dependency) };

_Static_assert(sizeof(bl_row) == 160 && sizeof(bl_channel) == 32 && sizeof(bl_collectives) == 24
               && sizeof(bl_dependency) == 12, "rows are written as they are in memory: no padding");

static const struct { char name[8]; uint32_t bytes; } types[] = {
    [BL_TYPE_BYTES] = { "bytes", 0 },
    [BL_TYPE_I8] = { "i8", 1 }, [BL_TYPE_I16] = { "i16", 2 }, [BL_TYPE_I32] = { "i32", 4 }, [BL_TYPE_I64] = { "i64", 8 },
    [BL_TYPE_U8] = { "u8", 1 }, [BL_TYPE_U16] = { "u16", 2 }, [BL_TYPE_U32] = { "u32", 4 }, [BL_TYPE_U64] = { "u64", 8 },
    [BL_TYPE_F32] = { "f32", 4 }, [BL_TYPE_F64] = { "f64", 8 },
    [BL_TYPE_C32] = { "c32", 8 }, [BL_TYPE_C64] = { "c64", 16 }
};

const char *bl_type_name(enum bl_type type)
{
    return types[type].name;
}

uint32_t bl_type_bytes(enum bl_type type)
{
    return types[type].bytes;
}

bool bl_type_parse(const char name[8], enum bl_type *type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (memcmp(types[i].name, name, 8) == 0) {
            *type = (enum bl_type)i;
            return true;
        }
    return false;
}

static hid_t text_type(size_t bytes)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    (void)H5Tset_size(type, bytes);
    (void)H5Tset_strpad(type, H5T_STR_NULLTERM);
    return type;
}

hid_t bl_attribute_type(const bl_attribute *attribute)
{
    switch (attribute->kind) {
    case BL_KIND_U32: return H5Tcopy(H5T_STD_U32LE);
    case BL_KIND_U64: return H5Tcopy(H5T_STD_U64LE);
    case BL_KIND_I64: return H5Tcopy(H5T_STD_I64LE);
    case BL_KIND_F64: return H5Tcopy(H5T_IEEE_F64LE);
    case BL_KIND_TEXT: break;
    }
    return text_type(attribute->bytes);
}

static hid_t complex_type(hid_t part, size_t bytes)
{
    hid_t type = H5Tcreate(H5T_COMPOUND, 2 * bytes);
    (void)H5Tinsert(type, "r", 0, part);
    (void)H5Tinsert(type, "i", bytes, part);
    return type;
}

static hid_t opaque_type(size_t bytes)
{
    hid_t type = H5Tcreate(H5T_OPAQUE, bytes);
    (void)H5Tset_tag(type, "bytes");
    return type;
}

hid_t bl_data_type(enum bl_type type, uint32_t element)
{
    switch (type) {
    case BL_TYPE_I8: return H5Tcopy(H5T_STD_I8LE);
    case BL_TYPE_I16: return H5Tcopy(H5T_STD_I16LE);
    case BL_TYPE_I32: return H5Tcopy(H5T_STD_I32LE);
    case BL_TYPE_I64: return H5Tcopy(H5T_STD_I64LE);
    case BL_TYPE_U8: return H5Tcopy(H5T_STD_U8LE);
    case BL_TYPE_U16: return H5Tcopy(H5T_STD_U16LE);
    case BL_TYPE_U32: return H5Tcopy(H5T_STD_U32LE);
    case BL_TYPE_U64: return H5Tcopy(H5T_STD_U64LE);
    case BL_TYPE_F32: return H5Tcopy(H5T_IEEE_F32LE);
    case BL_TYPE_F64: return H5Tcopy(H5T_IEEE_F64LE);
    case BL_TYPE_C32: return complex_type(H5T_IEEE_F32LE, 4);
    case BL_TYPE_C64: return complex_type(H5T_IEEE_F64LE, 8);
    case BL_TYPE_BYTES: break;
    }
    return opaque_type(element);
}

static void insert_text(hid_t row, const char *name, size_t offset, size_t bytes)
{
    hid_t text = text_type(bytes);
    (void)H5Tinsert(row, name, offset, text);
    (void)H5Tclose(text);
}

static hid_t checksums_type(void)
{
    hsize_t dims = BL_DIMS_MAX;
    hid_t row = H5Tcreate(H5T_COMPOUND, sizeof(bl_row));
    hid_t shape = H5Tarray_create2(H5T_STD_U64LE, 1, &dims);
    insert_text(row, "name", offsetof(bl_row, name), sizeof ((bl_row *)0)->name);
    insert_text(row, "type", offsetof(bl_row, type), sizeof ((bl_row *)0)->type);
    (void)H5Tinsert(row, "element", offsetof(bl_row, element), H5T_STD_U32LE);
    (void)H5Tinsert(row, "dims", offsetof(bl_row, dims), H5T_STD_U32LE);
    (void)H5Tinsert(row, "shape", offsetof(bl_row, shape), shape);
    (void)H5Tinsert(row, "xxh3_low", offsetof(bl_row, low), H5T_STD_U64LE);
    (void)H5Tinsert(row, "xxh3_high", offsetof(bl_row, high), H5T_STD_U64LE);
    (void)H5Tclose(shape);
    return row;
}

static hid_t channels_type(void)
{
    hid_t row = H5Tcreate(H5T_COMPOUND, sizeof(bl_channel));
    (void)H5Tinsert(row, "comm", offsetof(bl_channel, comm), H5T_STD_U64LE);
    (void)H5Tinsert(row, "peer", offsetof(bl_channel, peer), H5T_STD_I32LE);
    (void)H5Tinsert(row, "tag", offsetof(bl_channel, tag), H5T_STD_I32LE);
    (void)H5Tinsert(row, "sent", offsetof(bl_channel, sent), H5T_STD_U64LE);
    (void)H5Tinsert(row, "received", offsetof(bl_channel, received), H5T_STD_U64LE);
    return row;
}

static hid_t collectives_type(void)
{
    hid_t row = H5Tcreate(H5T_COMPOUND, sizeof(bl_collectives));
    (void)H5Tinsert(row, "comm", offsetof(bl_collectives, comm), H5T_STD_U64LE);
    (void)H5Tinsert(row, "started", offsetof(bl_collectives, started), H5T_STD_U64LE);
    (void)H5Tinsert(row, "size", offsetof(bl_collectives, size), H5T_STD_U32LE);
    (void)H5Tinsert(row, "reserved", offsetof(bl_collectives, reserved), H5T_STD_U32LE);
    return row;
}

static hid_t dependencies_type(void)
{
    hid_t row = H5Tcreate(H5T_COMPOUND, sizeof(bl_dependency));
    (void)H5Tinsert(row, "source", offsetof(bl_dependency, source), H5T_STD_U32LE);
    (void)H5Tinsert(row, "source_interval", offsetof(bl_dependency, source_interval), H5T_STD_U32LE);
    (void)H5Tinsert(row, "interval", offsetof(bl_dependency, interval), H5T_STD_U32LE);
    return row;
}

hid_t bl_table_type(int table)
{
    static hid_t (*const make[BL_TABLES])(void) = { checksums_type, channels_type, collectives_type, dependencies_type };
    return make[table]();
}

bool bl_name_good(const char name[BL_NAME_MAX + 1])
{
    size_t length = strnlen(name, BL_NAME_MAX + 1);
    return length > 0 && length <= BL_NAME_MAX && strcmp(name, ".") != 0 && strcmp(name, "..") != 0
        && strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == length;
}

bool bl_shape_bytes(uint32_t element, int dims, const uint64_t *shape, uint64_t *bytes)
{
    uint64_t total = element;
    for (int i = 0; i < dims; i++)
        if (shape[i] == 0) {
            *bytes = 0;
            return true;
        }
    for (int i = 0; i < dims; i++)
        if (__builtin_mul_overflow(total, shape[i], &total))
            return false;
    *bytes = total;
    return total <= INT64_MAX / 2;
}

uint64_t bl_variable_bytes(const bl_variable *variable)
{
    uint64_t bytes;
    return bl_shape_bytes(variable->element, variable->dims, variable->shape, &bytes) ? bytes : UINT64_MAX;
}

bool bl_snapshot_digest(const bl_origin *origin, const bl_table tables[BL_TABLES], bl_digest *digest)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return false;
    (void)XXH3_128bits_reset(state);
    for (int i = 0; i < BL_ATTRIBUTES - 1; i++)
        (void)XXH3_128bits_update(state, (const char *)origin + bl_attributes[i].offset, bl_attributes[i].bytes);
    for (int i = 0; i < BL_OPTIONAL && (origin->s.index || origin->s.forced); i++)
        (void)XXH3_128bits_update(state, (const char *)origin + bl_optional[i].offset, bl_optional[i].bytes);
    for (int t = 0; t < BL_TABLES; t++) {
        uint64_t count = tables[t].count;
        (void)XXH3_128bits_update(state, &count, sizeof count);
        if (count > 0)
            (void)XXH3_128bits_update(state, tables[t].rows, tables[t].count * bl_table_bytes[t]);
    }
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    *digest = (bl_digest){ .low = hash.low64, .high = hash.high64 };
    return true;
}

int bl_share_fits(const bl_variable *v)
{
    uint64_t bytes;
    const bl_share *p = &v->part;
    if (v->dims < 1 || !bl_shape_bytes(v->element, v->dims, p->whole, &bytes))
        return 0;
    for (int d = 0; d < v->dims; d++)
        if (p->count[d] > v->shape[d] || p->first[d] > v->shape[d] - p->count[d] || p->count[d] > p->whole[d] || p->offset[d] > p->whole[d] - p->count[d])
            return 0;
    return 1;
}
