# BL_WARNINGS: the warnings every file is written to; --enable-werror (CI) makes them errors.
AC_DEFUN([BL_WARNINGS], [
  AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [treat warnings as errors])], [], [enable_werror=no])
  BL_WARN_CFLAGS="-Wall -Wextra -Wpedantic -Wshadow -Wconversion"
  AS_IF([test "$enable_werror" = yes], [BL_WARN_CFLAGS="$BL_WARN_CFLAGS -Werror"])
  AC_SUBST([BL_WARN_CFLAGS])
])
# BL_SANITIZE: --enable-sanitize compiles everything with the address and undefined-behaviour sanitizers
# (for `make check-pure`: unit and simulation tests; an instrumented library cannot be preloaded into MPI programs).
AC_DEFUN([BL_SANITIZE], [
  AC_ARG_ENABLE([sanitize], [AS_HELP_STRING([--enable-sanitize], [build with address and undefined sanitizers])], [], [enable_sanitize=no])
  BL_SAN_CFLAGS=
  AS_IF([test "$enable_sanitize" = yes],
    [BL_SAN_CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"])
  AC_SUBST([BL_SAN_CFLAGS])
])
