#!/bin/sh
# Killed at safe points - one rank, two, rank 0, twice at the same place, before any checkpoint - heat2d gives bit for bit
# the result it gives undisturbed.
. "${0%/*}/../mpi/lib.sh"
set_reference --size 128 --steps 60 --quiet

# survives NAME RESTARTS OPTION...
survives() {
    name=$1 expected=$2
    shift 2
    run "$name" --every 10 "$@" "$heat2d" --size 128 --steps 60 --quiet
    check "$name: exit status 0" ended 0
    check "$name: same result" same_result
    check "$name: $expected restarts" restarts "$expected"
    check "$name: incarnation $expected finished" incarnation "$scratch/$name" "$expected"
    check "$name: job is finished" state "$scratch/$name" finished
}

survives undisturbed 0 --stable process
survives one-rank 1 --kill 2@step=40 --stable power
check "one-rank: goes on from the newest checkpoint" says 'recovery line: checkpoint 3 (safe point 30)'
survives rank-0 1 --kill 0@step=33 --stable process
survives two-at-once 1 --kill 1@step=25,3@step=25 --stable process
survives first-interval 1 --kill 3@step=5 --stable process
check "first-interval: goes on from the start" says 'recovery line: the start'
survives same-point-twice 2 --kill 1@step=27 --kill 1@step=27 --stable process
survives one-after-another 3 --kill 1@step=15 --kill 1@step=43 --kill 2@step=53 --stable power
check "one-after-another: nobody is left behind" nobody_left
summary
