#!/bin/sh
# mpi_recovery.sh - from the death of one of 4 ranks to the moment when all of them compute again (their first safe point after it), by turns:
# in the job with a spare, the same when the others stay where they are (message logging), in the job with a process that is started
# then, and by starting all again.  Without ULFM the last alone.
. "${0%/*}/common.sh"
build=${BENCH_BUILD:-.}
ways=relaunch
grep -q '^#define BL_HAVE_ULFM 1' "$build/config.h" && ways="spare local spawn relaunch"

at() { od -An -td8 -j "$2" -N 8 "$1" | tr -d ' '; } # of a live table (doc/format.md)

# once WAY: ms.
once() {
    case $1 in spare) how="--spares 1" ;; local) how="--spares 1 --checkpoint independent --logging pessimistic" ;; spawn) how="--recovery injob" ;; relaunch) how="--recovery relaunch" ;; esac
    rm -rf "$BELAY_DIR"
    # shellcheck disable=SC2086  # words
    timeout 60 "$build/belay" run -n 4 --dir "$BELAY_DIR" --stable process --every 5 --kill 2@step=23 $how -- \
        "$build/examples/heat2d" --size 512 --steps 40 --quiet >"$scratch/log" 2>&1 || give_up "belay run $how failed"
    dead=$(at "$BELAY_DIR/rank-00002/live-0000" 192)
    for rank in 0 1 2 3; do at "$BELAY_DIR/rank-0000$rank/live-0001" 184; done | sort -n | tail -n 1 |
        awk -v dead="$dead" '{ printf "%.1f\n", ($1 - dead) * 1e-6 }'
}

turn=0
while [ "$turn" -lt "${BENCH_PAIRS:-9}" ]; do
    for way in $ways; do once "$way" >>"$scratch/$way"; done
    turn=$((turn + 1))
done
echo "kill of one of 4 ranks to all computing again, ms: median (least to most) of $turn"
for way in $ways; do echo "  $way $(median <"$scratch/$way") ($(sort -n "$scratch/$way" | head -n 1) to $(sort -n "$scratch/$way" | tail -n 1))"; done
for way in $ways; do
    case $way in spare | local) limit=150 ;; spawn) limit=1000 ;; relaunch) limit=3500 ;; esac
    figure "recovery_$way" "$(median <"$scratch/$way")" "$limit"
done
