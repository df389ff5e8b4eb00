#!/bin/sh
# Rare calls and rare arguments: the live table against what the program knows it has done, and a checkpoint after each; what
# brings in other processes is refused by name at the call, and does not disturb the run.
. "${0%/*}/lib.sh"
# What is spawned is not started through libtool.
LD_LIBRARY_PATH=$build/src/mpi/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH

true_and_clean() {
    check "$2$1: the counters are the truth on all ranks" test "$(count "^$1 rank [0-3]: the truth")" = 4
    check "$2$1: a checkpoint can be taken after it" test "$(count "^$1 rank [0-3]: checkpoint code 0")" = 4
}

ways="inter inter_collectives freed cancelled shown let_go persistent empty truncated nobody in_place nothing_in_it shared_files"
run all --max-restarts 0 --every 1 --stable process "$programs/corners" $ways
for way in $ways; do true_and_clean "$way"; done
check "exit status 0" ended 0

# The first one asks for MPI_THREAD_MULTIPLE.  Under it the MPI_Waitall of Open MPI 4.1 hangs, without Belay too, when a message
# is too long.
ways=$(echo "$ways" | sed 's/ truncated//')
run threads --max-restarts 0 --every 1 --stable process "$programs/corners" made_at_once $ways
for way in made_at_once $ways; do true_and_clean "$way" "under MPI_THREAD_MULTIPLE, "; done
check "under MPI_THREAD_MULTIPLE, exit status 0" ended 0
run mixed --max-restarts 0 --every 1 --stable process "$programs/corners" mixed_levels
true_and_clean mixed_levels
check "mixed_levels: exit status 0" ended 0

# refused WAY CALL RANKS...: at the call, by each of RANKS, once; and at the safe point.
refused() {
    way=$1 call=$2
    shift 2
    run $way --max-restarts 0 --every 1 --stable process "$programs/corners" $way
    for r in "$@"; do
        check "$way: rank $r says at the call that no checkpoint follows" test "$(count "^belay: rank $r: $call: from here on no")" = 1
        check "$way: the safe point says why" says "^$way rank $r: checkpoint code -9 .* has used $call, after which"
    done
    check "$way: the run is not disturbed" test "$(count "^$way rank [0-3]: the truth")" = 4
    check "$way: exit status 0" ended 0
}
refused spawned MPI_Comm_spawn 0
check "spawned: the new processes are not of this job" test "$(count '^child [01]: recover 0 checkpoint 0')" = 2
refused joined MPI_Comm_join 0 1
if grep -q '^#define BL_HAVE_MPI4 1' "$build/config.h"; then
    refused isendrecv MPI_Isendrecv 0
    refused barrier_init MPI_Barrier_init 0
    run logged --max-restarts 0 --every never --stable process --checkpoint independent --logging pessimistic "$programs/corners" isendrecv
    check "with logging MPI_Isendrecv ends the job by name" says 'MPI_Isendrecv: with logging=pessimistic it cannot be repeated'
    check "with logging MPI_Isendrecv: exit status 1" ended 1
fi
refused port MPI_Comm_accept 0
check "port: who connects says so too" test "$(count '^belay: rank 2: MPI_Comm_connect: from here on no')" = 1
summary
