/* variables.c - the protected variables of this rank, and which HDF5 type an MPI type becomes. */
#include "config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/runtime.h"

/* A program protects its variables again and again, in the same order: the search goes on from the one before. */
int bl_variable_find(const char *name)
{
    unsigned at = bl_rt.variable_at;
    for (unsigned i = 0; i < bl_rt.variables; i++, at++) {
        if (at >= bl_rt.variables) at = 0;
        if (!strcmp(bl_rt.variable[at].name, name)) return (int)(bl_rt.variable_at = at);
    }
    return -1;
}

static enum bl_type integer(int is_signed, size_t bytes)
{
    switch (bytes) {
    case 1: return is_signed ? BL_TYPE_I8 : BL_TYPE_U8;
    case 2: return is_signed ? BL_TYPE_I16 : BL_TYPE_U16;
    case 4: return is_signed ? BL_TYPE_I32 : BL_TYPE_U32;
    default: return is_signed ? BL_TYPE_I64 : BL_TYPE_U64;
    }
}

#define SIGNED(type) \
    (sizeof(type) == 1 ? BL_TYPE_I8 : sizeof(type) == 2 ? BL_TYPE_I16 : sizeof(type) == 4 ? BL_TYPE_I32 : BL_TYPE_I64)
#define UNSIGNED(type) \
    (sizeof(type) == 1 ? BL_TYPE_U8 : sizeof(type) == 2 ? BL_TYPE_U16 : sizeof(type) == 4 ? BL_TYPE_U32 : BL_TYPE_U64)

/* -1 for a type without a counterpart. */
static int type_of(MPI_Datatype type, enum bl_type *out)
{
    static const struct { MPI_Datatype mpi; enum bl_type bl; } table[] = {
        { MPI_DOUBLE, BL_TYPE_F64 }, { MPI_FLOAT, BL_TYPE_F32 },
        { MPI_BYTE, BL_TYPE_U8 }, { MPI_PACKED, BL_TYPE_U8 },
        { MPI_CHAR, BL_TYPE_I8 }, { MPI_SIGNED_CHAR, BL_TYPE_I8 }, { MPI_UNSIGNED_CHAR, BL_TYPE_U8 },
        { MPI_SHORT, BL_TYPE_I16 }, { MPI_UNSIGNED_SHORT, BL_TYPE_U16 },
        { MPI_INT, SIGNED(int) }, { MPI_UNSIGNED, UNSIGNED(int) },
        { MPI_LONG, SIGNED(long) }, { MPI_UNSIGNED_LONG, UNSIGNED(long) },
        { MPI_LONG_LONG, BL_TYPE_I64 }, { MPI_UNSIGNED_LONG_LONG, BL_TYPE_U64 },
        { MPI_INT8_T, BL_TYPE_I8 }, { MPI_INT16_T, BL_TYPE_I16 }, { MPI_INT32_T, BL_TYPE_I32 }, { MPI_INT64_T, BL_TYPE_I64 },
        { MPI_UINT8_T, BL_TYPE_U8 }, { MPI_UINT16_T, BL_TYPE_U16 }, { MPI_UINT32_T, BL_TYPE_U32 }, { MPI_UINT64_T, BL_TYPE_U64 },
        { MPI_C_BOOL, BL_TYPE_U8 }, { MPI_WCHAR, SIGNED(wchar_t) },
        { MPI_AINT, SIGNED(MPI_Aint) }, { MPI_OFFSET, BL_TYPE_I64 }, { MPI_COUNT, BL_TYPE_I64 },
        { MPI_C_FLOAT_COMPLEX, BL_TYPE_C32 }, { MPI_C_DOUBLE_COMPLEX, BL_TYPE_C64 },
    };
    static const struct { MPI_Datatype mpi; enum bl_type kind; } fortran[] = {
        { MPI_INTEGER, BL_TYPE_I32 }, { MPI_LOGICAL, BL_TYPE_I32 }, { MPI_REAL, BL_TYPE_F32 },
        { MPI_DOUBLE_PRECISION, BL_TYPE_F64 }, { MPI_COMPLEX, BL_TYPE_C32 }, { MPI_DOUBLE_COMPLEX, BL_TYPE_C64 },
        { MPI_CHARACTER, BL_TYPE_I8 },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].mpi != type) continue;
        *out = table[i].bl;
        return 0;
    }
    for (size_t i = 0; i < sizeof fortran / sizeof *fortran; i++) {
        if (fortran[i].mpi != type || type == MPI_DATATYPE_NULL) continue;
        int bytes; /* a Fortran compiler may have been told other default sizes */
        PMPI_Type_size(type, &bytes);
        if (fortran[i].kind == BL_TYPE_I32) *out = integer(1, (size_t)bytes);
        else if (fortran[i].kind == BL_TYPE_F32) *out = bytes == 8 ? BL_TYPE_F64 : BL_TYPE_F32;
        else if (fortran[i].kind == BL_TYPE_C32) *out = bytes == 16 ? BL_TYPE_C64 : BL_TYPE_C32;
        else *out = fortran[i].kind;
        return 0;
    }
    return -1;
}

static int fail(int code, const char *call, const char *name, const char *what)
{
    bl_error err;
    bl_fail(&err, code, "%s(\"%.63s\"): %s", call, name ? name : "(null)", what);
    return bl_failed(code, &err);
}

static int check_name(const char *call, const char *name)
{
    if (!bl_rt.on)
        return fail(BELAY_ERR_ARG, call, name, "call it between MPI_Init and MPI_Finalize");
    size_t length = name ? strlen(name) : 0;
    int good = length > 0 && length <= BELAY_MAX_NAME && strcmp(name, ".") && strcmp(name, "..");
    for (size_t i = 0; good && i < length; i++) good = isalnum((unsigned char)name[i]) || strchr("_.-", name[i]);
    if (!good) return fail(BELAY_ERR_ARG, call, name, "a name is 1 to 63 letters, digits, '_', '.', '-'");
    return BELAY_OK;
}

/* Where a variable of this name is, or -1 when there is none yet; the name of one that is there is good. */
static int check(const char *call, const char *name, int *at)
{
    *at = bl_rt.on && name ? bl_variable_find(name) : -1;
    return *at < 0 ? check_name(call, name) : BELAY_OK;
}

static int protect(const char *call, const char *name, int at, const bl_variable *what)
{
    uint64_t bytes = what->element;
    for (int d = 0; d < what->dims; d++)
        if (__builtin_mul_overflow(bytes, what->shape[d], &bytes) || bytes > INT64_MAX)
            return fail(BELAY_ERR_ARG, call, name, "the shape is larger than the address space");
    if (bytes && !what->data) return fail(BELAY_ERR_ARG, call, name, "the data pointer is NULL");
    if (at < 0) {
        if (bl_rt.variables == BELAY_MAX_VARIABLES)
            return fail(BELAY_ERR_MEMORY, call, name, "more than BELAY_MAX_VARIABLES (4096) protected variables");
        if (bl_rt.variables == bl_rt.variable_room) {
            unsigned room = bl_rt.variable_room ? 2 * bl_rt.variable_room : 16;
            bl_variable *bigger = realloc(bl_rt.variable, room * sizeof *bigger);
            if (!bigger) return fail(BELAY_ERR_MEMORY, call, name, "out of memory");
            bl_rt.variable = bigger;
            bl_rt.variable_room = room;
        }
        at = (int)bl_rt.variables++;
    }
    bl_file_forget(name);
    bl_rt.variable[at] = *what;
    memcpy(bl_rt.variable[at].name, name, strlen(name) + 1);
    return BELAY_OK;
}

static int protect_array(const char *call, const char *name, void *data, int dims, const size_t shape[], MPI_Datatype type)
{
    if (bl_rt.off) return BELAY_OK;
    int at, rc = check(call, name, &at), bytes;
    if (rc) return rc;
    if (dims < 0 || dims > BELAY_MAX_DIMS || (dims && !shape))
        return fail(BELAY_ERR_ARG, call, name, "an array has 0 to BELAY_MAX_DIMS (8) dimensions");
    bl_variable v = { .dims = dims, .data = data };
    if (type == MPI_DATATYPE_NULL || type_of(type, &v.type))
        return fail(BELAY_ERR_ARG, call, name, "this MPI type has no HDF5 counterpart: use belay_protect_bytes");
    PMPI_Type_size(type, &bytes);
    v.element = (uint32_t)bytes;
    for (int d = 0; d < dims; d++) v.shape[d] = shape[d];
    return protect(call, name, at, &v);
}

int belay_protect(const char *name, void *data, size_t count, MPI_Datatype type)
{
    return protect_array("belay_protect", name, data, 1, &count, type);
}

int belay_protect_array(const char *name, void *data, int dims, const size_t shape[], MPI_Datatype type)
{
    return protect_array("belay_protect_array", name, data, dims, shape, type);
}

int belay_protect_bytes(const char *name, void *data, size_t bytes)
{
    if (bl_rt.off) return BELAY_OK;
    int at, rc = check("belay_protect_bytes", name, &at);
    if (rc) return rc;
    bl_variable v = { .type = BL_TYPE_BYTES, .element = 1, .dims = 1, .shape = { bytes }, .data = data };
    return protect("belay_protect_bytes", name, at, &v);
}

int belay_protect_file(const char *name, const char *path)
{
    if (bl_rt.off) return BELAY_OK;
    int at, rc = check("belay_protect_file", name, &at);
    if (rc) return rc;
    if (!path || !*path) return fail(BELAY_ERR_ARG, "belay_protect_file", name, "no path");
    if (bl_rt.settings.protocol == BL_PROTOCOL_INDUCED)
        return fail(BELAY_ERR_REFUSED, "belay_protect_file", name, "checkpoint=induced copies the state at every safe point, and would have to read the file each time");
    bl_variable v = { .type = BL_TYPE_BYTES, .element = 1, .dims = 1 };
    rc = protect("belay_protect_file", name, at, &v);
    if (rc == BELAY_OK && bl_file_remember(name, path)) rc = fail(BELAY_ERR_MEMORY, "belay_protect_file", name, "out of memory");
    return rc;
}

int belay_part(const char *name, const size_t whole[], const size_t offset[], const size_t first[], const size_t count[])
{
    if (bl_rt.off) return BELAY_OK;
    int rc = check_name("belay_part", name), at;
    if (rc) return rc;
    if ((at = bl_variable_find(name)) < 0) return fail(BELAY_ERR_ARG, "belay_part", name, "no variable of this name is protected");
    if (!whole || !offset) return fail(BELAY_ERR_ARG, "belay_part", name, "the shape of the whole and the offset in it are needed");
    bl_variable v = bl_rt.variable[at];
    for (int d = 0; d < v.dims; d++) {
        v.part.whole[d] = whole[d];
        v.part.offset[d] = offset[d];
        v.part.first[d] = first ? first[d] : 0;
        v.part.count[d] = count ? count[d] : (size_t)v.shape[d] - (first ? first[d] : 0);
    }
    v.is_part = 1;
    if (!bl_share_fits(&v)) return fail(BELAY_ERR_ARG, "belay_part", name, "the part does not fit into the whole, or into the variable");
    bl_rt.variable[at] = v;
    return BELAY_OK;
}

int belay_unprotect(const char *name)
{
    if (bl_rt.off) return BELAY_OK;
    int rc = check_name("belay_unprotect", name), at;
    if (rc) return rc;
    if ((at = bl_variable_find(name)) < 0)
        return fail(BELAY_ERR_ARG, "belay_unprotect", name, "no variable of this name is protected");
    bl_file_forget(name);
    /* Order is kept, so that a checkpoint's datasets stand in the order they were protected in. */
    memmove(&bl_rt.variable[at], &bl_rt.variable[at + 1], sizeof *bl_rt.variable * (bl_rt.variables - (unsigned)at - 1));
    bl_rt.variables--;
    return BELAY_OK;
}

const char *belay_strerror(int code) { return bl_code_name(code); }
const char *belay_error_text(void) { return bl_rt.last.text; }
const char *belay_version(void) { return PACKAGE_VERSION; }
