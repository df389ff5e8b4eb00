#!/bin/sh
# mpi_redundancy.sh - checkpoints with redundancy, the local write included and nothing forced, against a plain write of the same bytes.
. "${0%/*}/common.sh"
BELAY_EVERY=1
BELAY_STABLE=process
BELAY_FAILURE_DOMAIN=1
export BELAY_EVERY BELAY_STABLE BELAY_FAILURE_DOMAIN
mib=64

# against LEVEL RANKS LIMIT
against() {
    BELAY_REDUNDANCY=$1
    export BELAY_REDUNDANCY
    rm -rf "$BELAY_DIR"
    timeout 300 "${MPIRUN:-mpirun}" --oversubscribe -n "$2" "$programs/mpi_redundancy" $mib "${BENCH_PAIRS:-11}" >"$scratch/out" 2>"$scratch/log" ||
        give_up "mpi_redundancy failed"
    awk '$1 == "checkpoint" { print $2, $4 }' "$scratch/out" >"$scratch/pairs"
    echo "redundancy=$1, $2 ranks with $mib MiB each, against write(); s"
    ratio_of "$scratch/pairs"
    figure "redundancy-$1" "$ratio" "$3"
}
against local 2 1.30
against partner 2 4
against xor:4 4 4
against rs:2+1 3 4
against rs:4+2 6 4
