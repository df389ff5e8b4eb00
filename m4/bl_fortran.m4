# BL_FORTRAN: the Fortran compiler wrapper that the tests are compiled with; the library itself needs none.
# MPIFC=... chooses it, MPIFC=no does without.
AC_DEFUN([BL_FORTRAN], [
  AC_ARG_VAR([MPIFC], [MPI Fortran compiler wrapper, for the tests])
  AS_IF([test "$MPIFC" != no], [AC_PATH_PROGS([BL_MPIFC], [${MPIFC:-mpifort} mpifort.openmpi mpif90], [no])], [BL_MPIFC=no])
  AS_IF([test "$BL_MPIFC" != no], [
    AC_MSG_CHECKING([whether $BL_MPIFC links a program])
    printf '%s\n' 'program conftest' 'use mpi' 'integer e' 'call MPI_Init(e)' 'end program' >conftest.f90
    AS_IF([$BL_MPIFC -o conftest$EXEEXT conftest.f90 >&AS_MESSAGE_LOG_FD 2>&1], [AC_MSG_RESULT([yes])],
          [AC_MSG_RESULT([no]); BL_MPIFC=no])
    rm -f conftest.f90 conftest$EXEEXT])
  AC_SUBST([BL_MPIFC])
])
