#!/bin/sh
# What is protected comes back as it was - every type, every shape, each rank its own size - or nothing is touched and the
# difference is named.
. "${0%/*}/lib.sh"

run saved --every 1 --stable process --max-restarts 0 "$programs/variables" save
check "a job with three checkpoints is left unfinished" state "$scratch/saved" failed
check "nothing was wrong on the way" not says ': line [0-9]*:'

again() { # NAME WAY
    cp -R "$scratch/saved" "$scratch/$1"
    run "$1" --every 1 --stable process "$programs/variables" "$2"
}
all_ok() { [ "$(count '^rank [0-3] ok')" = 4 ]; }

again good good
check "every type and shape comes back, also of an array that grew" all_ok
check "and the job ends" ended 0

BELAY_ERRORS=return
export BELAY_ERRORS
differs() { # WAY SENTENCE
    again "return-$1" "$1"
    check "$1: named, with nothing overwritten on any rank" all_ok
    check "$1: rank 2 says what differs" says "^rank 2 says: checkpoint 3 of .* does not fit this program: $2"
    check "$1: the others say that another rank cannot" test "$(count '^rank [013] says: another rank cannot restore checkpoint 3')" = 3
}
differs missing "'opaque' bytes\[777\] is in the checkpoint but not protected"
differs extra "'surplus' is protected but not in the checkpoint"
differs type "'type-6' is float32\[24\] here but int32\[24\] in the checkpoint"
differs shape "'grid' is int32\[6,4\] here but int32\[2,3,4\] in the checkpoint"
differs count "'growing' is int32\[41\] here but int32\[42\] in the checkpoint"
unset BELAY_ERRORS

again fatal shape
check "without BELAY_ERRORS=return the job ends" ended 1
check "and says why" says "^belay: rank 2: checkpoint 3 of .* does not fit this program: 'grid'"
check "and is not started again" restarts 0
run fatal --every 1 --stable process "$programs/variables" good
check "the right program still goes on from there" all_ok

run calls --every 1 --stable process "$programs/variables" calls
check "wrong calls give their codes and sentences" all_ok
summary
