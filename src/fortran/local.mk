# part of libbelay
src_mpi_libbelay_la_SOURCES += src/fortran/follow.c src/fortran/protect.c
# The addresses handed to the Fortran library are those of this library's own wrappers, whoever else defines MPI_Send.
src_mpi_libbelay_la_LDFLAGS += -Wl,-Bsymbolic-functions
include_HEADERS += include/belay.f90
EXTRA_DIST += src/fortran/README.md
