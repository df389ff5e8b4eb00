#!/bin/sh
# What is installed is enough: a program built with pkg-config alone runs under the installed belay, a program built
# without Belay with --preload.
. "${0%/*}/lib.sh"
src=${srcdir:-.}
[ -f "$src/examples/heat2d.c" ] || src=${0%/*}/../..
src=$(cd "$src" && pwd)
CC=${CC:-cc}
MPI_CFLAGS=${MPI_CFLAGS-$(mpicc --showme:compile)}
MPI_LIBS=${MPI_LIBS-$(mpicc --showme:link)}
set_reference --size 64 --steps 20 --quiet

root=$(mktemp -d "${TMPDIR:-/tmp}/belay-installed.XXXXXX") || exit 99
trap 'clean_up; rm -rf "$root"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL
job install make -C "$build" install "DESTDIR=$root"
check "make install" ended 0
pc=$(find "$root" -name belay.pc)
installed=$(find "$root" -path '*/bin/belay')
lib=${pc%/pkgconfig/belay.pc}
check "belay and belay.pc are installed" test -x "$installed" -a -n "$pc"
check "nothing internal is installed" test -z "$(find "$root" -name 'libbl_*' -o -name 'test_*' -o -name 'heat2d')"

PKG_CONFIG_PATH=${pc%/belay.pc} PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
if command -v pkg-config >/dev/null; then
    job version pkg-config --modversion belay
    check "pkg-config knows belay" ended 0
    job build $CC -o "$scratch/heat2d" "$src/examples/heat2d.c" $MPI_CFLAGS $(pkg-config --cflags --libs belay) $MPI_LIBS
    check "heat2d builds with pkg-config alone" ended 0
    LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
    belay=$installed
    run with-pkg-config --every 5 --stable process --kill 1@step=12 "$scratch/heat2d" --size 64 --steps 20 --quiet
    check "it survives a kill under the installed belay" restarts 1
    check "it goes on from a checkpoint" says 'resumed from checkpoint 2'
    check "same result" same_result
fi
belay=$installed
run preload --preload --kill 2@call=50 "$build/examples/ring" 40
check "--preload finds the installed library" restarts 1
check "--preload: exit status 0" ended 0
summary
