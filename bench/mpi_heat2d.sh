#!/bin/sh
# mpi_heat2d.sh - heat2d with Belay and no checkpoint due, against the same without Belay.
. "${0%/*}/common.sh"
BELAY_EVERY=never
export BELAY_EVERY
compare() {
    fresh 2 mpi_heat2d "$@" "${BENCH_PAIRS:-201}"
    cat "$scratch/out"
}
compare realistic 1536 1.01
compare halo 16 1.05
