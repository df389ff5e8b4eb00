#!/bin/sh
# mpi_safepoint.sh - nanoseconds of a safe point at which nothing is due.
. "${0%/*}/common.sh"
runs=7

for every in never 1h; do
    run=0
    while [ "$run" -lt "$runs" ]; do
        BELAY_EVERY=$every fresh 2 mpi_safepoint
        field ns
        run=$((run + 1))
    done >"$scratch/ns"
    ns=$(median <"$scratch/ns")
    echo "safe point, 2 ranks, every=$every: median $ns ns of $runs runs of 10^7 ($(tr '\n' ' ' <"$scratch/ns"))"
    figure "safe-point-ns-$every" "$ns" 100
done

# Where messages may make a checkpoint of it, the state is copied at each.
BELAY_EVERY=never
BELAY_CHECKPOINT=induced
export BELAY_EVERY BELAY_CHECKPOINT
fresh 2 mpi_safepoint 64
echo "safe point with checkpoint=induced, 2 ranks of 64 MiB, against memcpy"
cp "$scratch/out" "$scratch/pairs"
ratio_of "$scratch/pairs"
figure safe-point-induced "$ratio" 1.10
