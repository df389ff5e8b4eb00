#!/bin/sh
# mpi_heat2d.sh - heat2d with Belay linked and no checkpoint due, against the same source without Belay.
. "${0%/*}/common.sh"
BELAY_EVERY=never
export BELAY_EVERY
pairs=${BENCH_PAIRS:-25}

run() {
    fresh "$ranks_of_job" "$1" --quiet --size "$size" --steps "$2"
    sed -n 's/^heat2d: .* steps in \(.*\) s$/\1/p' "$scratch/out"
}
belay() { run mpi_heat2d_belay "$steps"; }
plain() { run mpi_heat2d_plain "$steps"; }

# As many steps as take about a second here.
calibrate() {
    steps=16
    seconds=$(run mpi_heat2d_plain "$steps")
    while awk -v s="$seconds" 'BEGIN { exit !(s < 0.25) }'; do
        steps=$((steps * 4))
        seconds=$(run mpi_heat2d_plain "$steps")
    done
    steps=$(awk -v n="$steps" -v s="$seconds" 'BEGIN { printf "%d", n / s + 1 }')
}

# compare WHAT RANKS SIZE PAIRS [LIMIT]
compare() {
    ranks_of_job=$2
    size=$3
    calibrate
    echo "heat2d, $1: $2 ranks, $3 x $3 cells, $steps steps; seconds with Belay and without"
    alternate belay plain "$4" >"$scratch/pairs"
    ratio_of "$scratch/pairs"
    [ $# -lt 5 ] || figure "heat2d-$1" "$ratio" "$5"
}

compare realistic 2 1536 "$pairs" 1.01
compare halo 2 16 "$pairs" 1.05
OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_rmaps_base_oversubscribe
compare four-ranks 4 1536 $((pairs / 3 + 1))
