#!/bin/sh
# Fortran programs in each of the three bindings: every tracked call is counted once, ranks that die come back, and the
# module belay does what belay.h does.
. "${0%/*}/../mpi/lib.sh"
MPIFC=${MPIFC-mpifort}
if [ "$MPIFC" = no ] || ! command -v "$MPIFC" >/dev/null; then
    echo "skipped: there is no Fortran compiler for MPI (install gfortran, or set MPIFC)"
    exit 77
fi
src=${srcdir:-.}
[ -f "$src/include/belay.f90" ] || src=${0%/*}/../..
src=$(cd "$src" && pwd)
sources=$src/tests/fortran
library=$build/src/mpi/.libs/libbelay.so

# gfortran takes the choice buffers of mpif.h for mistakes unless told.
echo 'end' >"$scratch/empty.f90"
lax=
"$MPIFC" -fallow-argument-mismatch -c -o "$scratch/empty.o" "$scratch/empty.f90" 2>/dev/null && lax=-fallow-argument-mismatch

compile() { # NAME BINDING SOURCE...
    name=$1 binding=$2
    shift 2
    allow=
    [ "$binding" != 1 ] || allow=$lax
    job "compile-$name" "$MPIFC" -g $allow "-DBINDING=$binding" -o "$scratch/$name" "$@" -L"${library%/*}" -Wl,-rpath,"${library%/*}" \
        -lbelay
    check "$name compiles" ended 0
}

# --- the module ---
codes() { sed -n 's/.*\(BELAY_[A-Z_]*\) = \(-\{0,1\}[0-9]*\).*/\1 \2/p' | sort -u; }
tr ',' '\n' <"$src/include/belay.f90" | codes >"$scratch/codes-fortran"
cat "$src/include/belay_codes.h" "$src/include/belay.h" | codes >"$scratch/codes-c"
check "the module has the constants of belay.h" test -s "$scratch/codes-c" -a "$(cat "$scratch/codes-fortran")" = "$(cat "$scratch/codes-c")"
compile module 3 "$src/include/belay.f90" "$sources/module.f90"
job module-save "$belay" run -n 2 --dir "$scratch/module-job" --every 1 --stable process --max-restarts 0 "$scratch/module" save
check "module: two checkpoints, and wrong calls say what is wrong" test "$(count ': checkpoint [12] at safe point')" = 2 -a "$(count WRONG)" = 0
job module-restore "$belay" run -n 2 --dir "$scratch/module-job" --every 1 --stable process "$scratch/module" restore
check "module: every type and shape comes back" says '^all right'
job module-types "$belay" show 2 --dir "$scratch/module-job" --rank 0
for variable in 'l int32 scalar' 'b int8 5' 'c64 complex128 2' 'r32 float32 4' 'i64 int64 4 x 3 x 2' 'grown float64 5 x 3' 'text bytes 11'; do
    check "module: saved as $variable" says "^ *$(echo "$variable" | sed 's/ \([a-z]\)/ *\1/; s/ \([0-9s]\)/ *\1/') "
done

binding() { # NUMBER NAME
    compile "traffic-$2" "$1" "$src/include/belay.f90" "$sources/traffic.F90"
    run "traffic-job-$2" --every 1 --keep 50 --stable process "$scratch/traffic-$2" 4
    check "$2: all calls do what they do without Belay" test "$status" = 0 -a "$(count WRONG)" = 0
    check "$2: 3 checkpoints on each rank" test "$(count truth:)" = 12
    check "$2: their counters are the truth" counted "traffic-job-$2" 4

    compile "heat-$2" "$1" "$src/include/belay.f90" "$sources/heat.F90"
    BELAY_OFF=1
    export BELAY_OFF
    mpirun4 "heat-calm-$2" "$scratch/heat-$2" 60
    unset BELAY_OFF
    reference=$(result_of "$log")
    check "$2: heat gives a result without Belay" ended 0
    run "heat-job-$2" --every 10 --stable process --kill 2@step=37 "$scratch/heat-$2" 60
    check "$2: heat restarts after a kill" restarts 1
    check "$2: from the checkpoint before it" says 'resumed from checkpoint 3'
    check "$2: same result" same_result

    run "heat-logged-$2" --checkpoint independent --logging pessimistic --every 10,7,9,8 --stable process --kill 2@step=37 "$scratch/heat-$2" 60
    check "$2: heat with message logging: same result" same_result
    job "heat-replayed-$2" "$belay" replay 2 --dir "$scratch/heat-logged-$2" "$scratch/heat-$2" 60
    check "$2: a rank of it replayed" says 'rank 2 came to MPI_Finalize'

    compile "plain-$2" "$1" -DPLAIN "$sources/heat.F90"
    run "plain-job-$2" --preload --kill 1@call=50 "$scratch/plain-$2" 60
    check "$2: preloaded, its calls are seen" restarts 1
    check "$2: preloaded, same result" same_result
}
# counted NAME RANKS: what the last job printed is what its checkpoints in $scratch/NAME say.
counted() {
    sed -n 's/.*\(truth: .*\)/\1/p' "$log" | sort >"$scratch/truth"
    "$build/tests/fortran/counters" "$scratch/$1" "$2" | sort >"$scratch/counted"
    test -s "$scratch/truth" && cmp "$scratch/truth" "$scratch/counted"
}

# --- Fortran code in a C program ---
job compile-talk "$MPIFC" -fPIC -shared -o "$scratch/talk.so" "$sources/talk.f90"
job late "$belay" run -n 2 --dir "$scratch/late" --every 1 --stable process "$build/tests/fortran/late" "$scratch/talk.so"
check "Fortran code that a C program loads late: its counters are the truth" counted late 2

# --- the bindings ---
binding 1 mpif.h
binding 2 mpi
binding 3 mpi_f08
summary
