#!/bin/sh
# mpi_restart.sh - from the start of mpirun to the first useful step of a restored job, against what no restart can avoid:
# mpirun of an empty MPI program and a plain read of the same bytes.  Both find the files in the page cache.
. "${0%/*}/common.sh"
mib=256
BELAY_EVERY=1
BELAY_STABLE=process
export BELAY_EVERY BELAY_STABLE

since() { awk -v from="$1" -v to="$2" 'BEGIN { printf "%.6f\n", to - from }'; }

# killed MODE: the job is killed at its end, so mpirun fails, and returns before all ranks are gone; what counts is that
# the job came so far.
killed() {
    launch 2 mpi_restart "$1" "$mib" || :
    ready=$(field ready)
    [ -n "$ready" ] || give_up "mpi_restart $1 did not come to its end"
    for pid in $(sed -n 's/^pid //p' "$scratch/out"); do
        while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
    done
}

resume() {
    began=$(date +%s.%N)
    killed resume
    since "$began" "$ready"
}

unavoidable() {
    began=$(date +%s.%N)
    launch 2 mpi_read "$BELAY_DIR"/rank-00000/ckpt-*.h5 "$BELAY_DIR"/rank-00001/ckpt-*.h5 || give_up "mpi_read failed"
    since "$began" "$(field started)" >>"$scratch/started"
    since "$began" "$(field ready)"
}

killed save
sync
unavoidable >/dev/null
: >"$scratch/started"
alternate resume unavoidable "${BENCH_PAIRS:-15}" >"$scratch/pairs"
echo "restart of 2 ranks with $mib MiB each; seconds to the first step, and of mpirun + MPI_Init ($(median <"$scratch/started")) + read"
ratio_of "$scratch/pairs"
figure restart "$ratio" 1.5
