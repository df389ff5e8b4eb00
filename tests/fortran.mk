# tests of src/fortran
MPI_TESTS += tests/fortran/fortran.sh
AM_TESTS_ENVIRONMENT += MPIFC='$(BL_MPIFC)'; export MPIFC;
EXTRA_DIST += tests/fortran/fortran.sh tests/fortran/traffic.F90 tests/fortran/heat.F90 tests/fortran/module.f90 tests/fortran/talk.f90

check_PROGRAMS += tests/fortran/counters tests/fortran/late
tests_fortran_counters_SOURCES = tests/fortran/counters.c
tests_fortran_counters_LDADD = libbl_store.la libbl_util.la
tests_fortran_late_SOURCES = tests/fortran/late.c
tests_fortran_late_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_fortran_late_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
