#!/bin/sh
# What rides on messages and beside them: with each setting of piggyback the contents and statuses are as without, and the
# dependencies between intervals are the truth, the same on the same seeded run.  And what must be as without Belay otherwise.
. "${0%/*}/lib.sh"
library=$build/src/mpi/.libs/libbelay.so

# freely NAME HOW COMMAND...: without `belay run`, which removes checkpoints that no line will need; all are compared here.
freely() {
    name=$1 how=$2
    shift 2
    job "$name-$how" env BELAY_DIR="$scratch/$name-$how" BELAY_PIGGYBACK="$how" BELAY_CHECKPOINT=independent BELAY_EVERY=1 \
        BELAY_STABLE=process BELAY_VERBOSE=0 mpirun --oversubscribe -n 4 "$@"
}

# true_with NAME HOW ARGUMENT...: the program with piggyback=HOW.
true_with() {
    name=$1 how=$2
    shift 2
    freely "$name" "$how" "$programs/piggyback" "$@"
    check "$name, $how: every checkpoint is the truth" test "$(count '^rank [0-3]: [0-9]* checkpoints were the truth')" = 4
    check "$name, $how: exit status 0" ended 0
    sed -n "s/^$how: //p" "$log" >"$scratch/$name.$how" # messages, dependencies
}
all_with() {
    for how in implicit marker header; do true_with "$1" "$how" $2; done # $2 is several words
    check "$1: intervals of different numbers depend on each other" test "$(sed -n 's/.*, \([0-9]*\) between .*/\1/p' "$scratch/$1.header")" -gt 10
    check "$1: the three runs were the same" cmp "$scratch/$1.implicit" "$scratch/$1.header"
}

for seed in ${SEEDS:-1 2 3}; do all_with "seed-$seed" "$seed 600"; done
all_with threads "4 400 threads"
OMPI_MCA_btl=tcp,self
export OMPI_MCA_btl
all_with tcp "5 400"
unset OMPI_MCA_btl

for how in implicit marker header; do
    freely preloaded "$how" -x "LD_PRELOAD=$library" "$programs/piggyback" 6 400
    check "preloaded, $how: every checkpoint is the truth" test "$(count '^rank [0-3]: [0-9]* checkpoints were the truth')" = 4
done

for how in implicit marker header; do
    freely wrong "$how" "$programs/piggyback" 1 300 wrong
    check "a dependency that does not exist is missed, $how" says 'WRONG: .*there were'
done

for how in implicit marker header; do
    for threads in "" threads; do
        # Open MPI 4.1's own MPI_Waitall does not return from such a message under MPI_THREAD_MULTIPLE; with headers it is not asked.
        ways="hang arguments synchronous buffered ready freed nobody many"
        [ "$threads" != threads ] || [ $how = header ] && ways="$ways truncated"
        run "ways-$how-$threads" --checkpoint independent --every never --piggyback "$how" "$programs/carried" $threads $ways
        for way in $ways; do
            check "$way, $how $threads: as without Belay" test "$(count "^$way rank [0-3]: as without")" = 4
        done
        check "$how $threads: exit status 0" ended 0
    done
done
run foreign --every never --piggyback header "$programs/carried" foreign
check "ranks outside MPI_COMM_WORLD get messages as they are" test "$(count '^foreign rank [0-3]: as without')" = 4

for how in marker header; do
    run "traps-$how" --every 1 --stable process --piggyback "$how" "$programs/traps" get_status probe cancel idup overtaking hook nothing
    check "the traps of counting, $how" test "$(count ' rank [0-3]: the truth')" = 28
    run "talk-$how" --every never --piggyback "$how" "$programs/traps" threads
    check "threads that send on one channel, $how" test "$(count '^threads rank [0-3]: the truth')" = 4
    run "traffic-$how" --checkpoint independent --every 1 --stable process --piggyback "$how" "$programs/traffic" 15 2
    check "every tracked call, $how" test "$(count '^rank [0-3]: 14 checkpoints were the truth')" = 4
    run "folded-$how" --every 1 --stable process --piggyback "$how" "$programs/traffic" 8 5 7000
    check "more tags than the table holds, $how" test "$(count '7 checkpoints were the truth')" = 4
done
ways="eager rendezvous synchronous irecv isend persistent ibarrier mprobe freed"
run transit --every 1 --stable process --keep 100 --piggyback header "$programs/breaker" $ways
for way in $ways; do
    check "$way: refused with something under way" says "^$way rank . broken code -9"
    check "$way: the next clean safe point is a checkpoint" test "$(count "^$way rank . clean code 0")" = 4
done

set_reference --size 128 --steps 100 --quiet
for how in marker header; do
    run "killed-$how" --checkpoint independent --every 7,5,9,6 --stable process --piggyback "$how" --kill 1@step=43 \
        "$heat2d" --size 128 --steps 100 --quiet
    check "killed, $how: the result is that of a run without failures" same_result
    check "killed, $how: it was restarted" says 'relaunching (restart 1'
done
check "nobody is left behind" nobody_left
summary
