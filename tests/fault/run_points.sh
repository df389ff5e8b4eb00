#!/bin/sh
# Killed at every point of the checkpoint and recovery protocols, of rank 0 and of another rank, heat2d gives the result it
# gives undisturbed.  Each run is killed again and again, once at each point.
. "${0%/*}/../mpi/lib.sh"
set_reference --size 128 --steps 60 --quiet

# survives NAME KILL...
survives() {
    name=$1 kills=0 list=
    shift
    for kill; do
        kills=$((kills + 1))
        list=$list,$kill
    done
    run "$name" --every 10 --stable "$stable" --max-restarts 20 --kill "${list#,}" "$heat2d" --size 128 --steps 60 --quiet
    for kill; do check "$name: $kill has happened" says "was killed by --kill $kill"; done
    check "$name: one restart a kill" restarts "$kills"
    check "$name: exit status 0" ended 0
    check "$name: same result" same_result
    check "$name: job is finished" state "$scratch/$name" finished
    check "$name: nothing is in quarantine" empty "$scratch/$name/quarantine"
    check "$name: nobody is left behind" nobody_left
}
limit=300
stable=process
survives rank-0 0@point=exchange#1 0@point=snapshot#1 0@point=rename#1 0@point=rename#2 0@point=vote#1 0@point=decide#1 \
    0@point=commit#1 0@point=publish#1 0@point=collect#1 0@point=init#1 0@point=recover#1 0@point=restored#1 \
    0@point=finalize#1
stable=power
survives rank-2 2@point=exchange#2 2@point=snapshot#1 2@point=rename#1 2@point=vote#1 2@point=publish#1 2@point=collect#1 \
    2@point=init#1 2@point=recover#1 2@point=restored#1 2@point=finalize#1
summary
