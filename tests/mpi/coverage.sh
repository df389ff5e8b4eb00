#!/bin/sh
# doc/mpi-coverage.md is what the tables say, and the tables are what the installed mpi.h declares and libbelay exports.
. "${0%/*}/lib.sh"
src=${srcdir:-.}
[ -f "$src/src/mpi/calls.def" ] || src=${0%/*}/../..
src=$(cd "$src" && pwd)
log=$scratch/log
tab=$(printf '\t')

${AWK:-awk} -f "$src/src/mpi/coverage.awk" "$src/src/mpi/calls.def" "$src/src/mpi/others.def" >"$scratch/page"
check "doc/mpi-coverage.md is up to date" cmp "$scratch/page" "$src/doc/mpi-coverage.md"

sed -n "s/^[a-z0-9]*${tab}[a-z]* \(MPI_[A-Za-z_]*\)(.*/\1/p" "$src/src/mpi/calls.def" | sort >"$scratch/wrapped"
sed -n "/^#/!s/.*${tab}//p" "$src/src/mpi/others.def" | tr ' ' '\n' | sort >"$scratch/others"
sort "$scratch/wrapped" "$scratch/others" >"$scratch/table"
uniq -d "$scratch/table" >"$log"
check "every call is in the table once" test -s "$scratch/table" -a ! -s "$log"

# Through the preprocessor comes what a program can call; what is removed from MPI is read from the file itself.
printf '#include <mpi.h>\n' | ${CC:-mpicc} ${MPI_CFLAGS:-$(pkg-config --cflags ompi-c)} -E -x c - >"$scratch/mpi.i"
header=$(sed -n 's/^# [0-9]* "\(.*\/mpi\.h\)".*/\1/p' "$scratch/mpi.i" | head -n 1)
tr '\n' ' ' <"$header" | grep -o 'OMPI_DECLSPEC  *[A-Za-z_]* *\**MPI_[A-Za-z0-9_]* *(' | sed 's/.*[ *]\(MPI_[A-Za-z0-9_]*\) *($/\1/' |
    sort -u >"$scratch/declared"
check "mpi.h declares functions" test "$(wc -l <"$scratch/declared")" -gt 300
comm -23 "$scratch/declared" "$scratch/table" >"$log"
check "every function of mpi.h is in the table" test ! -s "$log"
# An MPI of before has none of MPI 4, and the library no wrapper of those.
{ sed -n "s/^mpi4${tab}[a-z]* \(MPI_[A-Za-z_]*\)(.*/\1/p" "$src/src/mpi/calls.def"
  sed -n "/${tab}MPI 4, /s/.*${tab}//p" "$src/src/mpi/others.def" | tr ' ' '\n'; } | sort >"$scratch/mpi4"
comm -13 "$scratch/declared" "$scratch/mpi4" >"$scratch/absent"
comm -23 "$scratch/table" "$scratch/absent" | comm -13 "$scratch/declared" - >"$log"
check "every call of the table is a function of mpi.h" test ! -s "$log"

library=$build/src/mpi/.libs/libbelay.so
if [ -f "$library" ]; then
    nm -D --defined-only "$library" | sed -n 's/.* T \(MPI_[A-Za-z_]*\).*/\1/p' | sort >"$scratch/exported"
    comm -23 "$scratch/wrapped" "$scratch/absent" | comm -3 - "$scratch/exported" >"$log"
    check "every call that has a wrapper is exported, and no other" test ! -s "$log"
fi
summary
