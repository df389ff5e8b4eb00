#!/bin/sh
# mpi_async.sh - async=stage: for how long a checkpoint holds the program up, against memcpy; when it counts; what the computation loses.
. "${0%/*}/common.sh"
BELAY_EVERY=100
BELAY_STABLE=process
BELAY_ASYNC=stage
export BELAY_EVERY BELAY_STABLE BELAY_ASYNC
for mib in 64 512; do
    fresh 2 mpi_async $mib "${BENCH_PAIRS:-11}"
    awk '{ print $2, $4 }' "$scratch/out" >"$scratch/pairs"
    echo "async=stage, 2 ranks with $mib MiB each: held up against memcpy; s"
    ratio_of "$scratch/pairs"
    awk '{ print $6 }' "$scratch/out" >"$scratch/done"
    awk '{ print $8 }' "$scratch/out" >"$scratch/extra"
    echo "    it counts after $(median <"$scratch/done") s, for which the computation loses $(median <"$scratch/extra") s"
    figure "async-$mib" "$ratio" 1.25
done
