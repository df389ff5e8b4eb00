#!/bin/sh
# Checkpoints that messages force: none is useless where a program receives before it sends, what is in transit across the line
# is sent again after a restart, and the job ends with the same result; what cannot be had is refused with the reason.
. "${0%/*}/../mpi/lib.sh"
examples=$build/examples
induced="--checkpoint induced --stable process"
lag=$programs/lag

# useful NAME: of the checkpoints before the restart no more than the newest of each rank are on no line; those may be, as long
# as something that was sent before them has not arrived.
useful() {
    "$belay" line --dir "$scratch/$1" --incarnation 0 >"$scratch/$1.line" 2>&1
    useless=$(sed -n 's/.*[;:] \([0-9]*\) useless (on no line.*/\1/p' "$scratch/$1.line")
    [ "${useless:-99}" -le 4 ]
}

# A pipeline of messages that are under way at every safe point: on their own the ranks fall back to the start.
job reference env BELAY_OFF=1 mpirun --oversubscribe -n 4 "$lag" 100 1
reference=$(result_of "$log")
check "lag: gives a result without Belay" ended 0
run alone --checkpoint independent --stable process --every 5,6,7,8 --kill 1@step=50 "$lag" 100 1
check "lag, each rank on its own: back to the start" says 'recovery line: the start. The domino effect undoes all'
check "lag, each rank on its own: same result" same_result
run lag $induced --every 5,6,7,8 --kill 1@step=50 "$lag" 100 1
check "lag, induced: not back to the start" says 'recovery line: rank 0: [1-9]'
check "lag, induced: forced by messages" says 'forced by a message'
check "lag, induced: nothing was refused" not says 'asks for a checkpoint'
check "lag, induced: same result" same_result
check "lag, induced: no checkpoint is useless" useful lag
check "lag, induced: belay line says that messages are kept" says 'in transit' "$scratch/lag.line"
"$belay" verify --dir "$scratch/lag" >"$scratch/lag.verify" 2>&1
check "lag, induced: what is left verifies" test $? = 0

# Killed anywhere, again and again; a message three safe points old.
seed=1
while [ $seed -le 4 ]; do
    job "lag$seed.reference" env BELAY_OFF=1 mpirun --oversubscribe -n 4 "$lag" 80 $seed $((seed % 3 + 1))
    reference=$(result_of "$log")
    run "lag$seed" $induced --every 5ms --jitter 60% --kill "1@random:$seed/600,3@random:1$seed/900,0@random:2$seed/1200" \
        "$lag" 80 $seed $((seed % 3 + 1))
    check "random kills, seed $seed: ends" ended 0
    check "random kills, seed $seed: same result" same_result
    check "random kills, seed $seed: restarted" test "$(count 'relaunching (restart')" -ge 1
    seed=$((seed + 1))
done
reference=$(result_of "$scratch/reference.log")
for point in snapshot snapshot#6 publish publish#2 rename rename#3 init recover restored; do
    case $point in recover | restored) first=1@step=30, ;; *) first= ;; esac
    run "$point" $induced --every 4,5,6,7 --kill "${first}2@point=$point" "$lag" 100 1
    check "killed at $point: was killed there" says "rank 2 was killed by --kill 2@point=$point"
    check "killed at $point: same result" same_result
done
check "nobody is left behind" nobody_left

# Damage: the contents of a message that crosses the line are gone, so the line is an older one.
begin_run damage $induced --every 5,6,7,8 "$lag" 400 1
check "damage: late messages there" wait_for 60 sh -c 'ls "$1"/rank-0000?/late-* 2>/dev/null' sh "$scratch/damage"
sleep 0.3
kill -9 "$begun"
wait "$begun" 2>/dev/null
wait_for 30 nobody_left
for late in "$scratch"/damage/rank-0000?/late-*; do printf '\377\376\375' | dd of="$late" bs=1 seek=130 conv=notrunc 2>/dev/null; done
"$belay" verify --dir "$scratch/damage" >"$scratch/damage.verify" 2>&1
check "damage: belay verify says so" test $? = 1
job damage.reference env BELAY_OFF=1 mpirun --oversubscribe -n 4 "$lag" 400 1
reference=$(result_of "$log")
run damage $induced --every 5,6,7,8 "$lag" 400 1
check "damage: same result" same_result

# The examples: a pipeline, a farm whose workers are told by the master, collectives; and one that cannot have it.
run wave --every never "$examples/wavefront"
reference=$(result_of "$log")
run wave-killed $induced --every 7 --kill 2@step=35 "$examples/wavefront"
check "wavefront: nothing was refused" not says 'asks for a checkpoint'
check "wavefront: goes on from a line" says 'recovery line: rank 0: [1-9]'
check "wavefront: same result" same_result
run farm --every never "$examples/farm"
reference=$(result_of "$log")
run farm-killed $induced --every 3,never,never,never --kill 2@step=7 "$examples/farm"
check "farm: the workers are told by the master" says 'rank 3: checkpoint 2 at safe point [0-9]*: .*forced by a message'
check "farm: nothing was refused" not says 'asks for a checkpoint'
check "farm: goes on from a line" says 'recovery line: rank 0: [1-9]'
check "farm: same result" same_result
job domino-calm "$belay" run -n 3 --dir "$scratch/calm" --every never "$examples/domino"
reference=$(result_of "$log")
job domino "$belay" run -n 3 --dir "$scratch/domino" $induced --every 4,5,6 --kill 1@step=18 "$examples/domino"
check "domino: refused, with the reason" says 'asks for a checkpoint before it, and there is none: this rank has sent since its last safe point'
check "domino: and what to do" says 'receive before you send after a safe point, or use --checkpoint coordinated'
check "domino: same result all the same" same_result

# What does not go together is refused before anything runs.
job multiple env BELAY_CHECKPOINT=induced BELAY_EVERY=5 BELAY_DIR="$scratch/multiple" mpirun --oversubscribe -n 2 "$programs/threaded"
check "MPI_THREAD_MULTIPLE: refused" says 'checkpoint=induced with MPI_THREAD_MULTIPLE'
check "MPI_THREAD_MULTIPLE: does not run" not ended 0
run other $induced --every 5 --max-restarts 0 --kill 1@step=30 "$lag" 100 1
run other --checkpoint independent --stable process --every 5 "$lag" 100 1
check "induced checkpoints, then independent: refused" says 'holds a job with induced checkpoints'
summary
