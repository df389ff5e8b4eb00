#!/bin/sh
# What the library shows to the world, and which folder may know which: by its includes and by what its objects ask for.
. "${0%/*}/lib.sh"
src=${srcdir:-.}
[ -f "$src/src/mpi/calls.def" ] || src=${0%/*}/../..
src=$(cd "$src" && pwd)
log=$scratch/log

# --- what is exported ---
library=$build/src/mpi/.libs/libbelay.so
if [ -f "$library" ]; then
    nm -D --defined-only "$library" | awk '{ print $3 }' | sed 's/@.*//' | sort >"$scratch/exported"
    check "only belay_* and MPI_* are exported" not grep -v -e '^belay_' -e '^MPI_' "$scratch/exported"
    sed -n 's/^BELAY_API .*[ *]\(belay_[a-z_]*\)(.*/\1/p' "$src/include/belay.h" | sort >"$scratch/declared"
    check "belay.h declares functions" test -s "$scratch/declared"
    sed -n "s/.*bind(C, name='\(belay_[a-z_]*\)').*/\1/p" "$src/include/belay.f90" | sort >"$scratch/bound"
    check "belay.f90 binds all functions of belay.h but three, for which it has its own" test \
        "$(comm -23 "$scratch/declared" "$scratch/bound" | tr '\n' ' ')" = "belay_main belay_protect belay_protect_array "
    sort -u -o "$scratch/declared" "$scratch/declared" "$scratch/bound"
    check "every function of belay.h and belay.f90 is exported, and no other belay_*" \
        test "$(grep '^belay_' "$scratch/exported")" = "$(cat "$scratch/declared")"
    grep -q '^#define BL_HAVE_MPI4 1' "$build/config.h" && mpi4=1 || mpi4=0
    awk -F'\t' -v mpi4=$mpi4 '!/^#/ && NF > 1 && (mpi4 || $1 != "mpi4") { sub(/^(int|double) /, "", $2); sub(/\(.*/, "", $2); print $2 }' "$src/src/mpi/calls.def" | sort >"$scratch/calls"
    check "every call of calls.def has its wrapper, and no other MPI_*" \
        test "$(grep '^MPI_' "$scratch/exported")" = "$(cat "$scratch/calls")"
fi

# --- who includes whom ---
# includes FOLDER ALLOWED: what FOLDER includes but may not, as an extended regular expression of what it may.
includes() {
    sed -n "s|^# *include *\([<\"][^>\"]*[>\"]\).*|\1|p" "$src/src/$1"/*.[ch] | sort -u | grep -v -E "^($2)\$" >"$log"
    check "src/$1 includes only what it may know" test ! -s "$log"
}
any='<[A-Za-z_0-9/-]*\.h>' # of the system; the libraries are looked at below
pure='<(assert|ctype|errno|float|inttypes|limits|math|stdarg|stdbool|stddef|stdint|stdio|stdlib|string)\.h>'
silent=$(echo "$pure" | sed 's/stdio|//')
includes util "\"(util/.*|belay_codes.h|config.h)\"|$pure|<(time|sys/mman).h>"
includes line "\"(line/.*|util/.*|belay_codes.h)\"|$silent"
includes protocol "\"(protocol/.*|util/.*|belay_codes.h)\"|$silent"
includes store "\"(store/.*|util/.*|belay_codes.h|config.h)\"|$any"
includes recovery "\"(recovery/.*|line/.*|store/.*|util/.*|belay_codes.h)\"|$pure"
includes mpi "\"(mpi/.*|protocol/.*|recovery/.*|line/.*|store/.*|util/.*|belay.h|belay_codes.h|config.h)\"|$any"
includes fortran "\"(mpi/(runtime.h|calls.inc))\"|<mpi.h>|$any"
includes run "\"(run/.*|recovery/.*|line/.*|protocol/.*|store/.*|util/.*|belay_codes.h|config.h)\"|$any"
includes tool "\"(tool/.*|run/run.h|line/.*|protocol/.*|store/.*|util/.*|belay_codes.h|config.h)\"|$any"
check "only src/mpi and src/fortran include mpi.h" not grep -l '<mpi\.h>' "$src"/src/util/* "$src"/src/line/* "$src"/src/protocol/* \
    "$src"/src/store/* "$src"/src/recovery/* "$src"/src/run/* "$src"/src/tool/*
check "only src/store includes hdf5.h" not grep -l '<hdf5\.h>' "$src"/src/util/* "$src"/src/line/* "$src"/src/protocol/* \
    "$src"/src/mpi/* "$src"/src/recovery/* "$src"/src/run/* "$src"/src/tool/*

# --- who asks for what ---
# A compiler may ask for these on its own: checked variants, sanitizers, coverage.
own='_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__(asan|ubsan|gcov|llvm|sanitizer)_.*|__assert_fail|__errno_location'
symbols() { nm "$build/.libs/libbl_$1.a" "$build/libbl_$1.a" 2>/dev/null; }
asks() {
    symbols "$1" | awk '$1 == "U" { print $2 }' | sort -u >"$scratch/asked"
    symbols "$1" | awk 'NF == 3 { print $3 }' | sort -u >"$scratch/has"
    comm -23 "$scratch/asked" "$scratch/has" | sed -E 's/^__isoc(99|23)_//; s/^__(.*)_chk$/\1/' | grep -v -E "^($own|$2)\$" >"$log"
    check "src/$1 has objects" test -s "$scratch/asked"
    check "src/$1 asks for nothing but what it may know" test ! -s "$log"
}
memory='bcmp|malloc|calloc|realloc|free|mem[a-z]*|str[a-z]*|v?snprintf|qsort|bsearch|abort'
asks line "bl_fail|$memory"
asks protocol "bl_fail|sqrt|$memory"
asks util "$memory|madvise|fopen|fclose|fgets|getenv|clock_gettime|__ctype_[a-z_]*"
for folder in store recovery run tool; do
    symbols "$folder" | awk '{ print $NF }' | grep -E '^P?MPI_|^ompi_' >"$log"
    check "src/$folder asks for nothing of MPI" test ! -s "$log"
done

# --- the public header in other compilers' eyes ---
cat >"$scratch/only.c" <<'C'
#include <belay.h>
int main(void)
{
    belay_status status;
    size_t shape[BELAY_MAX_DIMS];
    int dims;
    return belay_saved_shape("x", &dims, shape) == BELAY_OK ? belay_checkpoint(&status) : BELAY_VERSION_MAJOR;
}
C
cp "$scratch/only.c" "$scratch/only.cc"
CC=${CC:-cc}
MPI_CFLAGS=${MPI_CFLAGS-$(mpicc --showme:compile)}
MPI_LIBS=${MPI_LIBS-$(mpicc --showme:link)}
for standard in c99 c11 gnu17; do
    job header $CC "-std=$standard" -Wall -Wextra -Wpedantic -Wshadow -Werror -I"$src/include" $MPI_CFLAGS -c -o "$scratch/only.o" "$scratch/only.c"
    check "belay.h alone compiles as $standard" ended 0
done
if command -v "${CXX:-g++}" >/dev/null; then
    job header "${CXX:-g++}" -Wall -Wextra -Werror -DOMPI_SKIP_MPICXX -I"$src/include" $MPI_CFLAGS -c -o "$scratch/only.o" \
        "$scratch/only.cc"
    check "belay.h alone compiles as C++" ended 0
fi
summary
