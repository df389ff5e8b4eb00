#!/bin/sh
# mpi_async.sh - async=stage and fork, by turns: for how long a checkpoint holds the program up, against memcpy; when it counts; what the
# computation loses until then.
. "${0%/*}/common.sh"
BELAY_EVERY=100
BELAY_STABLE=process
export BELAY_EVERY BELAY_STABLE BELAY_ASYNC
turns=3

# says ASYNC MIB LIMIT
says() {
    awk '{ print $2, $4 }' "$scratch/$1" >"$scratch/pairs"
    echo "async=$1, 2 ranks with $2 MiB each: held up against memcpy; s"
    ratio_of "$scratch/pairs"
    lost=$(awk '{ print $8 }' "$scratch/$1" | median)
    echo "    it counts after $(awk '{ print $6 }' "$scratch/$1" | median) s, for which the computation loses $lost s; 100 steps take $(awk '{ print 100 * $10 }' "$scratch/$1" | median) s without"
    figure "async-$1-$2" "$ratio" "$3"
}

for mib in 64 512; do
    : >"$scratch/stage"
    : >"$scratch/fork"
    for turn in $(seq $turns); do
        for BELAY_ASYNC in stage fork; do
            fresh 2 mpi_async $mib $(((${BENCH_PAIRS:-11} + turns - 1) / turns))
            cat "$scratch/out" >>"$scratch/$BELAY_ASYNC"
        done
    done
    says stage $mib 1.25
    says fork $mib 0.30
done
