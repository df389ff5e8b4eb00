noinst_PROGRAMS += examples/heat2d examples/ring
examples_heat2d_SOURCES = examples/heat2d.c examples/digest.h
examples_heat2d_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
examples_heat2d_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
examples_ring_SOURCES = examples/ring.c examples/digest.h
examples_ring_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
examples_ring_LDADD = $(MPI_LIBS)
EXTRA_DIST += examples/README.md
