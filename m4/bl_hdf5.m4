# BL_HDF5: the serial flavour by default (one file per rank needs no parallel HDF5).
# --with-hdf5=NAME takes pkg-config's name of the flavour the application uses (hdf5-openmpi, hdf5, ...):
# where HDF5's symbols are not versioned per flavour, library and application have to share one.
AC_DEFUN([BL_HDF5], [
  AC_ARG_WITH([hdf5], [AS_HELP_STRING([--with-hdf5=NAME], [pkg-config name of the HDF5 flavour @<:@hdf5-serial, then hdf5@:>@])],
    [bl_hdf5_try=$withval], [bl_hdf5_try="hdf5-serial hdf5"])
  bl_hdf5_name=no
  for bl_h in $bl_hdf5_try; do
    AS_IF([test "$bl_hdf5_name" = no && $PKG_CONFIG --exists "$bl_h >= 1.10"], [
      HDF5_CFLAGS=`$PKG_CONFIG --cflags $bl_h | sed 's/-I/-isystem /g'`
      HDF5_LIBS=`$PKG_CONFIG --libs $bl_h`
      bl_hdf5_name="$bl_h `$PKG_CONFIG --modversion $bl_h`"])
  done
  AS_IF([test "$bl_hdf5_name" = no], [AC_MSG_ERROR([HDF5 >= 1.10 not found (tried: $bl_hdf5_try): install libhdf5-dev, or use --with-hdf5=NAME])])
  bl_save_CFLAGS=$CFLAGS; bl_save_LIBS=$LIBS
  CFLAGS="$CFLAGS $HDF5_CFLAGS $MPI_CFLAGS"; LIBS="$HDF5_LIBS $LIBS"
  AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <hdf5.h>]], [[return H5open() < 0;]])], [],
    [AC_MSG_ERROR([a program with HDF5 ($bl_hdf5_name) does not link])])
  CFLAGS=$bl_save_CFLAGS; LIBS=$bl_save_LIBS
  AC_SUBST([HDF5_CFLAGS]) AC_SUBST([HDF5_LIBS])
])
