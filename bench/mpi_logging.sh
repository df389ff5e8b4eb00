#!/bin/sh
# mpi_logging.sh - latency, message rate and collectives with logging=pessimistic against the same without, over shared memory and
# TCP; the journals in TMPDIR.  Then what the protocols cost where chance decides, and how fast one rank is replayed.
. "${0%/*}/common.sh"
BELAY_STABLE=process
BELAY_CHECKPOINT=independent
BELAY_LOGGING=pessimistic
BELAY_EVERY=1 # taken where the program asks: before each block
export BELAY_EVERY BELAY_STABLE BELAY_CHECKPOINT BELAY_LOGGING

for transport in shm tcp; do
    case $transport in
        shm) unset OMPI_MCA_pml OMPI_MCA_btl ;;
        tcp) export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp ;;
    esac
    fresh 2 mpi_piggyback "logged-$transport" "${BENCH_PAIRS:-101}"
    echo "logging=pessimistic over $transport, 2 ranks; ns a message one way, or an operation"
    cat "$scratch/out"
done

# Programs, at a size at which they compute most of the time.
unset OMPI_MCA_pml OMPI_MCA_btl
BELAY_EVERY=never
fresh 2 mpi_heat2d logged 1536 1.03 "${BENCH_PAIRS:-101}"
cat "$scratch/out"
cg() {
    rm -rf "$BELAY_DIR"
    BELAY_LOGGING=$1 timeout 120 "${MPIRUN:-mpirun}" -n 2 "${BENCH_BUILD:-.}/examples/cg" --size 1024 --quiet 2>"$scratch/log" |
        sed -n 's/.* iterations in \([0-9.]*\) s$/\1/p'
}
with() { cg pessimistic; }
without() { cg none; }
alternate with without 15 >"$scratch/pairs"
echo "cg, 1024 x 1024 cells, 2 ranks, logged against not; s"
ratio_of "$scratch/pairs"
figure logged-cg "$ratio" 1.03

# What it costs that the order of receives is logged, and what would have to ride on every message if it were not.
echo "8 B messages: +ns for the order of a receive from anybody; +ns for what rides on each with logging=optimistic (medians of 7 pairs)"
for pair in 1 2 3 4 5 6 7; do
    BELAY_STABLE=process fresh 2 mpi_wildcard 8
    rank=$(field rank)
    any=$(field any)
    BELAY_STABLE=power BELAY_LOGGING=optimistic fresh 2 mpi_wildcard 8
    echo "$rank $any $(field rank)"
done >"$scratch/pairs"
echo "    order $(awk '{ print $2 - $1 }' "$scratch/pairs" | median), rides $(awk '{ print $3 - $1 }' "$scratch/pairs" | median)"

# Where chance decides and journals have to survive a loss of power: a send that waits for the disk, or does not.  On the disk of the
# build tree: TMPDIR may be in memory.
disk="${BENCH_BUILD:-.}/bench-logging.d"
farm() {
    rm -rf "$disk"
    began=$(date +%s.%N)
    BELAY_DIR=$disk BELAY_STABLE=power BELAY_LOGGING=$1 timeout 120 "${MPIRUN:-mpirun}" -n 2 "${BENCH_BUILD:-.}/examples/farm" 60 >/dev/null 2>"$scratch/log" || give_up "farm failed"
    date +%s.%N | awk -v began="$began" '{ print $1 - began }'
}
for protocol in pessimistic optimistic causal; do
    with() { farm $protocol; }
    without() { farm none; }
    alternate with without 9 >"$scratch/pairs"
    echo "farm, 60 batches, 2 ranks, stable=power, logging=$protocol against none; s"
    ratio_of "$scratch/pairs"
    rm -rf "$disk"
    case $protocol in pessimistic) figure "logged-farm-$protocol" "$ratio" 1.30 ;; *) figure "logged-farm-$protocol" "$ratio" 1.06 ;; esac
done

# A replay waits for nobody: heat2d where it mostly exchanges halos, against one rank of it alone.
heat2d="${BENCH_BUILD:-.}/examples/heat2d --size 16 --steps 60000 --quiet"
job() {
    rm -rf "$BELAY_DIR"
    timeout 120 "${MPIRUN:-mpirun}" -n 2 $heat2d 2>"$scratch/log" | sed -n 's/.* steps in \([0-9.]*\) s$/\1/p'
}
again() {
    timeout 120 "${BENCH_BUILD:-.}/belay" replay 0 --from 0 $heat2d 2>&1 >/dev/null | sed -n 's/.* from the start in \([0-9.]*\) s:.*/\1/p'
}
pair=0
while [ "$pair" -lt 7 ]; do
    first=$(job)
    second=$(again)
    [ -n "$first" ] && [ -n "$second" ] || give_up "heat2d or its replay failed"
    echo "$second $first"
    pair=$((pair + 1))
done >"$scratch/pairs"
echo "replay of one rank of heat2d, 16 x 16 cells, 2 ranks, 60000 steps, against the job; s"
ratio_of "$scratch/pairs"
figure logged-replay "$ratio" 0.667
