/* protect.c - what the Fortran module belay (include/belay.f90) needs beyond the functions of belay.h: MPI's C types have
 * no name in Fortran, and a Fortran array may have gaps. */
#include "mpi/runtime.h"

BELAY_API int belay_fortran_protect(const char *name, void *data, int kind, int bytes, int dims, const int64_t extent[],
                                    int contiguous);

BELAY_API int belay_fortran_main(void (*program)(void));

static MPI_Datatype type_of(int kind, int bytes)
{
    switch (kind) {
    case 'i': return bytes == 1 ? MPI_INT8_T : bytes == 2 ? MPI_INT16_T : bytes == 4 ? MPI_INT32_T : MPI_INT64_T;
    case 'r': return bytes == 4 ? MPI_FLOAT : MPI_DOUBLE;
    default: return bytes == 8 ? MPI_C_FLOAT_COMPLEX : MPI_C_DOUBLE_COMPLEX;
    }
}

static int refuse(const char *name, const char *what)
{
    bl_error err;
    bl_fail(&err, BELAY_ERR_ARG, "belay_protect(\"%.63s\"): %s", name, what);
    return bl_failed(BELAY_ERR_ARG, &err);
}

/* kind: 'i', 'r' or 'c'.  extent[0] is the fastest dimension, shape[0] the slowest. */
int belay_fortran_protect(const char *name, void *data, int kind, int bytes, int dims, const int64_t extent[], int contiguous)
{
    size_t shape[BELAY_MAX_DIMS];
    if (bl_rt.off) return BELAY_OK;
    if (!contiguous) return refuse(name, "the array section has gaps: protect the whole array");
    for (int d = 0; d < dims && d < BELAY_MAX_DIMS; d++) {
        if (extent[dims - 1 - d] < 0) return refuse(name, "the size of an array x(*) is not known here: pass x(1:n)");
        shape[d] = (size_t)extent[dims - 1 - d];
    }
    return belay_protect_array(name, data, dims, shape, type_of(kind, bytes));
}

/* --- belay_main: a Fortran program asks for its arguments itself --- */

static void (*fortran_program)(void);

static int run_fortran(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    fortran_program();
    return 0;
}

int belay_fortran_main(void (*program)(void))
{
    static char name[] = "program", *argv[] = { name, NULL };
    fortran_program = program;
    return belay_main(program ? run_fortran : NULL, 1, argv);
}
