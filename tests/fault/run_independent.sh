#!/bin/sh
# Ranks that checkpoint on their own: killed anywhere, the job restarts from the greatest line on which the ranks agree - the
# start, if there is no other, and says what would have prevented that - and ends with the same result.
. "${0%/*}/../mpi/lib.sh"
examples=$build/examples
own="--checkpoint independent --stable process"

# domino NAME OPTION...: `belay run` of the example with 3 ranks.
domino() {
    name=$1
    shift
    job "$name" "$belay" run -n 3 --dir "$scratch/$name" "$@" "$examples/domino"
}
domino calm --every never
reference=$(result_of "$log")
domino fallen --checkpoint independent --stable process --every 4,5,6 --kill 1@step=18
check "domino: goes back to the start" says 'recovery line: the start. The domino effect undoes all'
check "domino: says what would have prevented it" says 'checkpoint coordinated would have prevented it'
check "domino: same result" same_result
check "domino: what the restart undid is recorded" test -s "$scratch/fallen/trace-0000.h5"
check "domino: what the restart undid is gone" not ls "$scratch"/fallen/rank-0000[012]/ckpt-00000[1-4].h5
check "domino: what was taken after it is there" ls "$scratch/fallen/rank-00000/ckpt-000005.h5"
check "domino: a rank says that it checkpoints on its own" says 'rank 2: checkpoint 1 at safe point 6'
domino cured --checkpoint coordinated --stable process --every 4,5,6 --kill 1@step=18
check "domino, one word changed: from checkpoint 4" says 'recovery line: checkpoint 4 (safe point 16) on every rank; 2 safe points'
check "domino, one word changed: same result" same_result

# Ranks in step agree on every checkpoint.
set_reference --size 128 --steps 200 --quiet
run aligned $own --every 10 --kill 2@step=57 "$heat2d" --size 128 --steps 200 --quiet
check "ranks in step: from the newest of each" says 'recovery line: rank 0: [0-9]* (safe point 50), rank 1: [0-9]* (safe point 50)'
check "ranks in step: same result" same_result
check "ranks in step: one restart" restarts 1
run kept $own --every 2 --kill 2@step=197,1@step=60 "$heat2d" --size 128 --steps 200 --quiet
check "killed twice: same result" same_result
check "killed twice: two restarts" restarts 2

# Out of step, by time and at random.
seed=1
while [ $seed -le 4 ]; do
    run "random$seed" $own --every 15ms --jitter 60% --kill "1@random:$seed/2000,3@random:1$seed/4000" "$heat2d" --size 128 --steps 400 --quiet
    check "random kills, seed $seed: ends" ended 0
    [ $seed = 1 ] && { calm=$log; log=$scratch/reference.log; set_reference --size 128 --steps 400 --quiet; log=$calm; }
    check "random kills, seed $seed: same result" same_result
    seed=$((seed + 1))
done

for point in snapshot snapshot#6 publish publish#2 rename rename#2 init recover restored; do
    # The last two are passed in a restart only.
    case $point in recover | restored) first=1@step=30, ;; *) first= ;; esac
    run "$point" $own --every 7 --kill "${first}2@point=$point" "$heat2d" --size 128 --steps 400 --quiet
    check "killed at $point: was killed there" says "rank 2 was killed by --kill 2@point=$point"
    check "killed at $point: ends" ended 0
    check "killed at $point: same result" same_result
done
check "nobody is left behind" nobody_left

# Garbage: what no line can need is removed while the job runs.
begin_run collect $own --every 5 "$programs/ends" 400 10
check "garbage: the job runs" wait_for 60 says '^step 200$'
check "garbage: no rank keeps more than a second's worth" wait_for 30 sh -c '[ "$(ls "$1"/rank-00000/ckpt-* | wc -l)" -lt 30 ]' sh "$scratch/collect"

# Asked to stop, each rank saves what it has; the same command goes on.
kill -TERM "$begun"
finish
check "stopped: exit status 75" ended 75
check "stopped: the state is stopped" state "$scratch/collect" stopped
check "stopped: nobody is left behind" nobody_left
run collect-reference --stable process "$programs/ends" 400 0
reference=$(result_of "$log")
run collect $own --every 5 "$programs/ends" 400 0
check "stopped: the second start goes on" says 'continuing .*ends with 4 ranks'
check "stopped: it does not begin again" not says '^step 150$'
check "stopped: same result" same_result

# Damage: the line without that checkpoint.  What is damaged is on the line: a newer one would be removed unread.
on_the_line() {
    number=$(./belay line --json --dir "$1" | sed -n '/^   "rank": 2,$/,/"relaunch"/s/.*"relaunch": \([0-9]*\),/\1/p')
    printf '%s/rank-00002/ckpt-%06d.h5\n' "$1" "$number"
}
reference=$(result_of "$scratch/reference.log")
for place in 300 -5000; do
    begin_run damage $own --every 5 --fresh "$heat2d" --size 128 --steps 400 --quiet
    check "damage at $place: checkpoints there" wait_for 60 sh -c 'ls "$1"/rank-00002/ckpt-000003.h5 2>/dev/null' sh "$scratch/damage"
    kill -9 "$begun"
    wait "$begun" 2>/dev/null
    wait_for 30 nobody_left
    chosen=$(on_the_line "$scratch/damage")
    [ "$place" -gt 0 ] || place=$(($(stat -c %s "$chosen") + place))
    printf '\377\376\375' | dd of="$chosen" bs=1 seek="$place" conv=notrunc 2>/dev/null
    run damage $own --every 5 "$heat2d" --size 128 --steps 400 --quiet
    check "damage at $place: said" says 'rank 2: checkpoint [0-9]* cannot be used'
    check "damage at $place: kept" not empty "$scratch/damage/quarantine"
    check "damage at $place: same result" same_result
done

# One job, one way of checkpointing.
run other $own --every 5 --max-restarts 0 --kill 1@step=30 "$heat2d" --size 128 --steps 400 --quiet
run other --stable process --every 5 "$heat2d" --size 128 --steps 400 --quiet
check "independent checkpoints, then coordinated: refused" says 'holds a job with independent checkpoints'
run another --stable process --every 5 --max-restarts 0 --kill 1@step=30 "$heat2d" --size 128 --steps 400 --quiet
run another $own --every 5 "$heat2d" --size 128 --steps 400 --quiet
check "coordinated checkpoints, then independent: refused" says 'holds a job with coordinated checkpoints'

# Where a safe point may stand in a pipeline, and a master with MPI_ANY_SOURCE.
run wave --every never "$examples/wavefront"
reference=$(result_of "$log")
run wave-killed --stable process --every 10 --kill 2@step=35 "$examples/wavefront"
check "wavefront: from checkpoint 3" says 'recovery line: checkpoint 3 (safe point 30)'
check "wavefront: same result" same_result
run wave-unaligned --stable process --every 20 --align-timeout 1s "$examples/wavefront" 60 unaligned
check "wavefront, unaligned: noticed" says 'no checkpoint at safe point 20: not all ranks have reached it within 1 s'
check "wavefront, unaligned: ends" ended 0
check "wavefront, unaligned: same result" same_result
run wave-own $own --every 1 --kill 2@step=35 "$examples/wavefront" 60 unaligned
check "wavefront, unaligned, each rank on its own: goes on from there" says 'recovery line: rank 0: [1-9]'
check "wavefront, unaligned, each rank on its own: same result" same_result
run farm --every never "$examples/farm"
reference=$(result_of "$log")
for rank in 0 2; do
    run "farm$rank" --stable process --every 2 --kill "$rank@step=7" "$examples/farm"
    check "farm, rank $rank killed: from checkpoint 3" says 'recovery line: checkpoint 3 (safe point 6)'
    check "farm, rank $rank killed: same result" same_result
done
summary
