/* layout.c - which datatypes lie in memory as they are packed, and packing. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/parcel.h"

bl_layout bl_layouts[BL_LAYOUTS];
static MPI_Comm alone = MPI_COMM_NULL; /* our own: errors come back, and no receive of the program's is open on it */


typedef struct gapped { MPI_Datatype type; size_t bytes; } gapped;
static gapped gaps[BL_LAYOUTS];        /* by size; bytes 0: none */

static int contiguous(MPI_Datatype type);

/* The only argument of these is what they are made of. */
static int made_of_contiguous(MPI_Datatype type, int integers, int addresses, int types)
{
    int *integer = malloc(sizeof *integer * (size_t)(integers + 1));
    MPI_Aint *address = malloc(sizeof *address * (size_t)(addresses + 1));
    MPI_Datatype base = MPI_DATATYPE_NULL;
    int yes = 0, i, a, t, combiner;
    if (integer && address && types == 1) {
        PMPI_Type_get_contents(type, integers, addresses, types, integer, address, &base);
        yes = contiguous(base);
        PMPI_Type_get_envelope(base, &i, &a, &t, &combiner);
        if (combiner != MPI_COMBINER_NAMED) PMPI_Type_free(&base); /* MPI has made a handle for us */
    }
    free(integer);
    free(address);
    return yes;
}

/* What is not known to be is taken for not contiguous: then it is packed, which is right for all. */
static int contiguous(MPI_Datatype type)
{
    int integers, addresses, types, combiner;
    MPI_Count lower, extent, size;
    PMPI_Type_get_envelope(type, &integers, &addresses, &types, &combiner);
    PMPI_Type_get_extent_x(type, &lower, &extent);
    PMPI_Type_size_x(type, &size);
    if (lower != 0 || extent != size) return 0;
    if (combiner == MPI_COMBINER_NAMED) return 1;
    if (combiner == MPI_COMBINER_F90_REAL || combiner == MPI_COMBINER_F90_COMPLEX || combiner == MPI_COMBINER_F90_INTEGER) return 1;
    if (combiner != MPI_COMBINER_DUP && combiner != MPI_COMBINER_CONTIGUOUS) return 0;
    return made_of_contiguous(type, integers, addresses, types);
}

const bl_layout *bl_layout_find(MPI_Datatype type)
{
    bl_layout *l = &bl_layouts[((uintptr_t)type >> 4) & (BL_LAYOUTS - 1)];
    *l = (bl_layout){ .type = type, .contiguous = contiguous(type) };
    PMPI_Type_size_x(type, &l->size);
    return l;
}

void bl_layout_forget(MPI_Datatype type)
{
    bl_layout *l = &bl_layouts[((uintptr_t)type >> 4) & (BL_LAYOUTS - 1)];
    if (l->type == type) l->type = MPI_DATATYPE_NULL;
}

int bl_layout_init(void)
{
    PMPI_Comm_dup(MPI_COMM_SELF, &alone);
    PMPI_Comm_set_errhandler(alone, MPI_ERRORS_RETURN);
    int data[4] = { 1, 2, 3, 4 }, packed[4] = { 0 }, position = 0, wrong;
    MPI_Datatype every_other;
    PMPI_Type_vector(2, 1, 2, MPI_INT, &every_other);
    PMPI_Type_commit(&every_other);
    PMPI_Pack(data, 1, every_other, packed, (int)sizeof packed, &position, alone);
    wrong = position != 2 * (int)sizeof(int) || packed[0] != 1 || packed[1] != 3 || packed[2] != 0;
    PMPI_Type_free(&every_other);
    return wrong;
}

MPI_Datatype bl_layout_gapped(size_t bytes)
{
    gapped *g = &gaps[(bytes ^ bytes >> 6) & (BL_LAYOUTS - 1)];
    if (g->bytes == bytes) return g->type;
    if (g->bytes) PMPI_Type_free(&g->type);
    g->bytes = 0;
    int lengths[2] = { (int)bytes, BL_TRAILER }, places[2] = { 0, (int)bytes + BL_GAP };
    if (PMPI_Type_indexed(2, lengths, places, MPI_BYTE, &g->type) || PMPI_Type_commit(&g->type)) return MPI_DATATYPE_NULL;
    g->bytes = bytes;
    return g->type;
}

void bl_layout_finish(void)
{
    for (int i = 0; i < BL_LAYOUTS; i++)
        if (gaps[i].bytes) PMPI_Type_free(&gaps[i].type);
    memset(gaps, 0, sizeof gaps);
    if (alone != MPI_COMM_NULL) PMPI_Comm_free(&alone);
}

/* In pieces that MPI_Pack can be given. */
static int elements_at_once(MPI_Count size)
{
    return size < INT_MAX / 2 ? (int)(INT_MAX / 2 / (size ? size : 1)) : 1;
}

static MPI_Aint extent_of(MPI_Datatype type)
{
    MPI_Aint lower, extent;
    PMPI_Type_get_extent(type, &lower, &extent);
    return extent;
}

int bl_pack(const void *from, int count, MPI_Datatype type, void *to, size_t room)
{
    const bl_layout *l = bl_layout_of(type);
    size_t done = 0, element = (size_t)l->size;
    if (!element || !count) return MPI_SUCCESS;
    if (l->contiguous) {
        memcpy(to, from, element * (size_t)count);
        return MPI_SUCCESS;
    }
    int most = elements_at_once(l->size);
    MPI_Aint extent = extent_of(type);
    for (int at = 0, rc; at < count;) {
        int many = count - at < most ? count - at : most, position = 0;
        size_t left = room - done;
        rc = PMPI_Pack((const char *)from + (MPI_Aint)at * extent, many, type, (char *)to + done, left > INT_MAX ? INT_MAX : (int)left,
                       &position, alone);
        if (rc) return rc;
        done += (size_t)position;
        at += many;
    }
    return MPI_SUCCESS;
}

/* A part of an element: only a receive knows how. */
static int unpack_part(const void *from, int bytes, void *to, MPI_Datatype type)
{
    return PMPI_Sendrecv(from, bytes, MPI_BYTE, 0, 0, to, 1, type, 0, 0, alone, MPI_STATUS_IGNORE);
}

int bl_unpack(const void *from, size_t bytes, void *to, int count, MPI_Datatype type)
{
    const bl_layout *l = bl_layout_of(type);
    size_t element = (size_t)l->size, done = 0;
    if (!element || !bytes || !count) return MPI_SUCCESS;
    if (l->contiguous) {
        size_t room = element * (size_t)count;
        memcpy(to, from, bytes < room ? bytes : room);
        return MPI_SUCCESS;
    }
    if (element > INT_MAX) return MPI_ERR_COUNT; /* MPI_Unpack counts no further */
    int whole = bytes / element < (size_t)count ? (int)(bytes / element) : count, most = elements_at_once(l->size);
    MPI_Aint extent = extent_of(type);
    for (int at = 0; at < whole;) {
        int many = whole - at < most ? whole - at : most, position = 0;
        int rc = PMPI_Unpack((const char *)from + done, (int)(element * (size_t)many), &position, (char *)to + (MPI_Aint)at * extent,
                             many, type, alone);
        if (rc) return rc;
        done += element * (size_t)many;
        at += many;
    }
    if (whole == count || done == bytes) return MPI_SUCCESS;
    return unpack_part((const char *)from + done, (int)(bytes - done), (char *)to + (MPI_Aint)whole * extent, type);
}
