#!/bin/sh
# Message logging: each rank goes on from its own newest checkpoint, whatever the others have; what it does again is what it did
# before, also where chance decided; and what is not needed any more goes.
. "${0%/*}/../mpi/lib.sh"
examples=$build/examples
logged="--checkpoint independent --logging pessimistic --stable process"

# Collectives made of messages are those of MPI.
for n in 1 2 3 4 5 7 8; do
    job "trees$n" mpirun --oversubscribe -n $n "$programs/trees" $n 300
    check "collectives of $n ranks: as MPI's" says "300 collectives of $n ranks as MPI's"
done

# Programs whose result is one: ranks out of step, each killed.
for program in heat2d wavefront farm ring domino cg; do
    calm=
    [ $program != cg ] || calm=$logged # its sums depend on their order
    run "$program-calm" $calm --every never "$examples/$program"
    reference=$(result_of "$log")
    run "$program-logged" $logged --every never "$examples/$program"
    check "$program, logged, nothing happens: same result" same_result
    for seed in 1 2; do
        run "$program$seed" $logged --every 3,5,4,7 --jitter 30% --kill "$((seed % 4))@random:$seed/150,$(((seed + 2) % 4))@random:1$seed/300" "$examples/$program"
        check "$program, seed $seed: ends" ended 0
        check "$program, seed $seed: same result" same_result
        check "$program, seed $seed: no checkpoint is undone" not says 'recovery line:.*; [1-9][0-9]* of [0-9]* checkpoints undone'
    done
done

run own --checkpoint independent --stable process --every 4,5,6,5 --kill 1@step=18 "$examples/domino"
check "not logged: what logging would have saved" says 'of work redone; with --logging pessimistic it would have been [0-9.]* s'

# A program that goes another way each time: what others have seen of it is what it does again.
chance() {
    name=$1 n=$2 seed=$3 rounds=$4
    shift 4
    a=$((seed * 7919 % 500 + 40)) b=$((seed * 104729 % 700 + 40)) c=$((seed * 1299709 % 900 + 40))
    job "$name" "$belay" run -n "$n" --dir "$scratch/$name" $logged --every 5,7,4,9 \
        --kill "$((seed % n))@call=$a,$((seed / 3 % n))@call=$b,$((seed / 7 % n))@call=$c" "$@" "$programs/chance" "$seed" "$rounds"
    check "chance, $n ranks, seed $seed $*: ends" ended 0
    check "chance, $n ranks, seed $seed $*: nothing lost, nothing twice" says '^chance: nothing lost'
}
for seed in 1 2; do chance "chance$seed" 4 $seed 40; done # run_chance.sh has more
chance power 3 11 15 --stable power
OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp
export OMPI_MCA_pml OMPI_MCA_btl
chance tcp 4 12 30
unset OMPI_MCA_pml OMPI_MCA_btl

# A receive that was open when its rank died is held until what was before the death is repeated, and posted then: asked by value.
for seconds in 0.9 1.3; do
    job "late$seconds" "$belay" run -n 2 --dir "$scratch/late$seconds" $logged --every 3 --kill "0@after=${seconds}s" "$programs/late" 20
    check "a late message, asked for by MPI_Request_get_status, killed after $seconds s: ends" ended 0
    check "a late message, asked for by MPI_Request_get_status, killed after $seconds s: as it was sent" says '^late: every message'
done

# Checkpoints that are taken while what was done before a failure is done again, and failures then.
run farm-calm $logged --every never "$examples/farm"
reference=$(result_of "$log")
for seed in 1 2 3 4 5 6 7 8 9 10 11 12; do
    run "again$seed" $logged --every 3 --jitter 90% --kill "2@call=$((77 + seed)),1@call=$((91 + seed * 3)),0@call=$((300 - seed * 5))" "$examples/farm"
    check "checkpoints while it repeats, seed $seed: ends" ended 0
    check "checkpoints while it repeats, seed $seed: same result" same_result
done

# Killed in the middle of things, and again while it repeats.
set_reference --size 128 --steps 200 --quiet
for point in snapshot#3 publish#2 rename#2 init recover restored; do
    case $point in recover | restored) first=1@step=30, ;; *) first= ;; esac
    run "$point" $logged --every 7,5,9,6 --kill "${first}2@point=$point,3@step=150" "$heat2d" --size 128 --steps 200 --quiet
    check "killed at $point: ends" ended 0
    check "killed at $point: same result" same_result
done

# What a failed job left: read by the tool, every record checked.
run left $logged --every 10,7,13,9 --max-restarts 0 --kill 2@step=40 "$examples/cg" --size 128 --quiet
job left-line "$belay" line --dir "$scratch/left"
check "belay line: the line with the log" says 'Recovery with the log (logging=pessimistic)'
check "belay line: what each rank repeats and keeps" says '^  2 *checkpoint [0-9]* .*[1-9][0-9]* messages, [0-9.]* [KM]iB$'
check "belay line: the line without" says 'Recovery line without the log'
check "belay line: what recovery will be" says 'every rank restarts at its own newest checkpoint'
job left-messages "$belay" line --messages --dir "$scratch/left"
check "belay line --messages: by number and channel" says '^  *[0-3]  *[0-3]  *[-0-9]*  [0-9]* to [0-9]* of communicator [0-9a-f]* '
job left-json "$belay" line --json --dir "$scratch/left"
check "belay line --json: the same" says '"with_log": {'
job left-verify "$belay" verify --dir "$scratch/left"
check "belay verify: the journals" says '[1-9][0-9]* records of journals verified'
check "belay verify: exit status 0" ended 0
first=$(ls "$scratch"/left/rank-00001/journal-*-sent-* | head -n 1)
printf '\377\376' | dd of="$first" bs=1 seek=3000 conv=notrunc 2>/dev/null
job left-damaged "$belay" verify --dir "$scratch/left"
check "belay verify: a damaged journal" says 'damaged: rank 1: .*journal-.*a record is altered'
check "belay verify: exit status 1" ended 1

# The newest checkpoint of a rank is damaged: the one before, and all its messages are still there.
run calm $logged --every never "$examples/cg" --size 128 --quiet
reference=$(result_of "$log")
run older $logged --every 10,7,13,9 --max-restarts 0 --kill 2@step=60 "$examples/cg" --size 128 --quiet
newest=$(ls "$scratch"/older/rank-00001/ckpt-* | tail -n 1)
printf '\377\376' | dd of="$newest" bs=1 seek=$(($(stat -c %s "$newest") / 2)) conv=notrunc 2>/dev/null
run older $logged --every 10,7,13,9 "$examples/cg" --size 128 --quiet
check "a damaged checkpoint: said" says 'rank 1: checkpoint [0-9]* cannot be used'
check "a damaged checkpoint: same result" same_result

# A long run keeps no more than its newest checkpoints need.
run long $logged --every 20 "$heat2d" --size 128 --steps 4000 --quiet
check "4000 steps: ends" ended 0
check "4000 steps: two checkpoints a rank" test "$(ls "$scratch"/long/rank-00001/ckpt-* | wc -l)" = 2
check "4000 steps: the journal is short" test "$(du -sk "$scratch/long/rank-00001" | cut -f1)" -lt 8000

# Nobody would checkpoint, but the journals fill: all are asked, as often as it takes.
run full $logged --every never --log-budget 16M "$heat2d" --size 768 --steps 2500 --quiet
check "journals that fill: ends" ended 0
check "journals that fill: checkpoints were asked for" says 'checkpoint [0-9]* at safe point'
check "journals that fill: and have made room" test "$(du -sk "$scratch/full/rank-00001" | cut -f1)" -lt 40000

job line "$belay" line --dir "$scratch/domino1"
check "belay line: says that the log makes it another line" says 'each rank restarts from its own newest checkpoint'
for command in ls verify gc; do
    job "$command" "$belay" $command --dir "$scratch/domino1"
    check "belay $command: reads it" ended 0
done

# A journal that was altered is not believed.
run altered $logged --every 50,40 --max-restarts 0 --kill 1@step=130 "$heat2d" --size 128 --steps 200 --quiet
check "altered: the job was given up" not ended 0
printf '\377\377\377\377' | dd of="$scratch/altered/rank-00000/journal-0000-sent-000000" bs=1 seek=5000 conv=notrunc 2>/dev/null
run altered $logged --every 50,40 "$heat2d" --size 128 --steps 200 --quiet
check "altered: refused" not ended 0
check "altered: says what, and where" says 'rank-00000/journal-0000-sent-000000: a record is altered at byte'
check "nobody is left behind" nobody_left

# What cannot be logged is refused.
run together --checkpoint coordinated --logging pessimistic "$heat2d" --steps 5
check "with coordinated checkpoints: refused" says 'logging=pessimistic goes with checkpoint=independent'
run header $logged --piggyback header "$heat2d" --steps 5
check "with piggyback=header: refused" says 'logging=pessimistic with another piggyback'
run threads $logged "$programs/threaded"
check "under MPI_THREAD_MULTIPLE: refused" says 'message logging with MPI_THREAD_MULTIPLE'
run budget $logged --log-budget 3M "$heat2d" --steps 5
check "a small budget: refused" says '16M is the least'
run restored $logged --every 5 --kill 1@step=12 "$programs/chance" 1 20 restored
check "restored state sent before the first safe point: refused" says 'belay_checkpoint has to come at the beginning of the loop'
check "state sent before the first safe point: said at the start" says 'rank 0: what it sends between belay_recover and its first safe point'
run unaligned $logged --every 7,5,9,6 "$examples/wavefront" 60 unaligned
check "a safe point in the middle of the loop: refused" says 'belay_checkpoint has to stand at the beginning of the loop'
run silent $logged --every 5 --kill 1@step=12,2@step=15 "$programs/chance" 1 20 silent
check "a rank without safe points: no checkpoint, begun anew" says 'nothing lost, nothing twice'
check "a rank without safe points: it was restarted" restarts 2
check "a rank without safe points: no checkpoint" not says 'checkpoint [0-9]* at safe point'
for what in ibarrier cancel mprobe dup file; do
    run "no-$what" $logged "$programs/chance" 1 1 $what
    check "$what: refused by name" says 'with logging=pessimistic it cannot be repeated after a failure'
done
summary
