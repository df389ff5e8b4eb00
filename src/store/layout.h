/* layout.h - what a snapshot file consists of, for its writer and its reader (doc/format.md says it in prose). */
#ifndef BL_STORE_LAYOUT_H
#define BL_STORE_LAYOUT_H

#include <hdf5.h>
#include <stddef.h>

#include "store/internal.h"

typedef struct bl_row {         /* of /belay/checksums, sorted by name; the bytes in memory are the bytes in the file */
    char name[BL_NAME_MAX + 1];
    char type[8];
    uint32_t element, dims;
    uint64_t shape[BL_DIMS_MAX];
    uint64_t low, high;
} bl_row;

typedef struct bl_origin {      /* the attributes of /belay */
    uint32_t format;
    char job[17];
    char digest[BL_HEX + 1];
    bl_snapshot s;
} bl_origin;

enum bl_kind { BL_KIND_U32, BL_KIND_U64, BL_KIND_I64, BL_KIND_F64, BL_KIND_TEXT };
typedef struct bl_attribute { const char *name; enum bl_kind kind; size_t bytes, offset; } bl_attribute;
enum { BL_ATTRIBUTES = 12 };
extern const bl_attribute bl_attributes[BL_ATTRIBUTES]; /* "format" first, "digest" last */
enum { BL_OPTIONAL = 2 };
extern const bl_attribute bl_optional[BL_OPTIONAL];     /* of induced checkpoints: there when one is not 0 */

enum { BL_TABLE_CHECKSUMS, BL_TABLE_CHANNELS, BL_TABLE_COLLECTIVES, BL_TABLE_DEPENDENCIES, BL_TABLES };
extern const char *const bl_table_names[BL_TABLES];
extern const size_t bl_table_bytes[BL_TABLES];          /* of one row */
typedef struct bl_table { const void *rows; size_t count; } bl_table;

/* HDF5 types, to be closed by the caller; the same in memory and in the file. */
hid_t bl_attribute_type(const bl_attribute *attribute);
hid_t bl_table_type(int table);
hid_t bl_data_type(enum bl_type type, uint32_t element);

const char *bl_type_name(enum bl_type type);
uint32_t bl_type_bytes(enum bl_type type);              /* 0: bytes, any element size */
bool bl_type_parse(const char name[8], enum bl_type *type);

bool bl_name_good(const char name[BL_NAME_MAX + 1]);
/* Bytes of all elements; false when they are beyond any memory. */
bool bl_shape_bytes(uint32_t element, int dims, const uint64_t *shape, uint64_t *bytes);

/* xxh3-128 over the attributes (but the digest) and the tables, as doc/format.md lists them; false: no memory. */
bool bl_snapshot_digest(const bl_origin *origin, const bl_table tables[BL_TABLES], bl_digest *digest);

/* Opens the snapshot at `path` and checks all but the bulk data (snapshot_read.c). */
/* The attribute of a dataset that is a part: [4][dims], whole, offset, count and first. */
#define BL_PART_ATTRIBUTE "belay_part"
enum { BL_PART_ROWS = 4 };

int bl_snapshot_open_at(const bl_store *store, const char *path, uint32_t rank, uint32_t checkpoint, const bl_digest *expect,
                        bl_reader **reader, bl_error *err);
int bl_snapshot_check(const bl_store *store, const char *path, uint32_t rank, uint32_t checkpoint, const bl_digest *expect,
                      bl_error *err);

#endif
