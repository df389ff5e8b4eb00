# BL_MPI: finds an MPI by its compiler wrapper and splits what the wrapper adds into MPI_CFLAGS and MPI_LIBS,
# so that only the folders allowed to know MPI are compiled with it.  MPICC=... chooses the wrapper.
AC_DEFUN([BL_MPI], [
  AC_ARG_VAR([MPICC], [MPI C compiler wrapper])
  AC_PATH_PROGS([BL_MPICC], [${MPICC:-mpicc} mpicc.openmpi], [no])
  AS_IF([test "$BL_MPICC" = no], [AC_MSG_ERROR([mpicc not found: install libopenmpi-dev, or set MPICC=/path/to/mpicc])])
  AC_MSG_CHECKING([what $BL_MPICC adds])
  AS_IF([MPI_CFLAGS=`$BL_MPICC --showme:compile 2>/dev/null` && MPI_LIBS=`$BL_MPICC --showme:link 2>/dev/null`], [],
        [MPI_CFLAGS=`$BL_MPICC -compile-info 2>/dev/null | sed 's/^@<:@^ @:>@* //'`
         MPI_LIBS=`$BL_MPICC -link-info 2>/dev/null | sed 's/^@<:@^ @:>@* //'`])
  AS_IF([test -z "$MPI_LIBS"], [AC_MSG_ERROR([$BL_MPICC does not say how it compiles (neither --showme nor -compile-info)])])
  # MPI's own headers are not ours to warn about.
  MPI_CFLAGS=`echo " $MPI_CFLAGS" | sed 's/ -I/ -isystem /g'`
  AC_MSG_RESULT([$MPI_CFLAGS $MPI_LIBS])
  AC_SUBST([MPI_CFLAGS]) AC_SUBST([MPI_LIBS])
  bl_save_CFLAGS=$CFLAGS; bl_save_LIBS=$LIBS
  CFLAGS="$CFLAGS $MPI_CFLAGS"; LIBS="$MPI_LIBS $LIBS"
  AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <mpi.h>
#if MPI_VERSION < 3
#error MPI 3 is needed
#endif]], [[return PMPI_Init(0, 0);]])], [],
    [AC_MSG_ERROR([an MPI program does not link with $BL_MPICC (MPI 3 or newer is needed)])])
  AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <mpi.h>]],
      [[return PMPI_Isendrecv == 0 || PMPI_Allreduce_init == 0 || PMPI_Psend_init == 0 || PMPI_Comm_create_from_group == 0;]])],
    [AC_DEFINE([BL_HAVE_MPI4], [1], [MPI has the calls of MPI 4])])
  # Found by compiling, not by version: a library made without it has not the calls.
  bl_ulfm=no
  AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <mpi.h>
#include <mpi-ext.h>]], [[MPI_Comm c; int flag = MPIX_ERR_REVOKED;
      return MPIX_Comm_revoke(MPI_COMM_WORLD) || MPIX_Comm_shrink(MPI_COMM_WORLD, &c) || MPIX_Comm_agree(c, &flag) || MPIX_Comm_failure_ack(c);]])],
    [bl_ulfm=yes
     AC_DEFINE([BL_HAVE_ULFM], [1], [MPI can go on after a process has failed (ULFM)])])
  bl_mpi_name="MPI"
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <mpi.h>
#ifndef OPEN_MPI
#error
#endif]], [])], [bl_mpi_name="Open MPI `$BL_MPICC --showme:version 2>/dev/null | sed 's/.*Open MPI \(@<:@0-9.@:>@*\).*/\1/'`"])
  CFLAGS=$bl_save_CFLAGS; LIBS=$bl_save_LIBS
])
