#!/bin/sh
# A node is lost with all that is on it: the job goes on on the nodes that answer, a spare one in its place, with the same bits; when
# there is no room, or more is lost than the redundancy makes up for, it ends with one line, and goes on when the nodes are back.
. "${0%/*}/../mpi/lib.sh"
. "${0%/*}/nodes.sh"
work_of="--size 128 --steps 600 --quiet"

# on HOSTS NAME RANKS OPTION...: heat2d on these nodes, in the background.
on() {
    hosts=$1 name=$2 ranks=$3
    shift 3
    # shellcheck disable=SC2086  # lists of options
    begin "$name" "$belay" run -n "$ranks" --dir "$scratch/$name" $through $hosts --every 10 --stable process "$@" "$heat2d" $work_of
}

# In the middle: there is something to go back to, and much to do.
in_the_middle() { wait_for "$limit" says "checkpoint 4 at safe point" || fail "no checkpoint 4"; }

# goes_on WHAT NODES: after node(s) were lost.
goes_on() {
    check "$1: goes on on the others" says "answer: going on on $2\$"
    check "$1: from where it was" says 'resumed from checkpoint'
    check "$1: same result" same_result
    check "$1: exit status 0" ended 0
}

result_on() { # RANKS, without Belay
    BELAY_OFF=1
    export BELAY_OFF
    # shellcheck disable=SC2086
    job reference mpirun --oversubscribe --mca mpi_yield_when_idle 1 -n "$1" "$heat2d" $work_of
    unset BELAY_OFF
    reference=$(result_of "$log")
    check "$1 ranks: a result without Belay" ended 0
}

# --- refused before anything is started ---
refused() { # NAME TEXT OPTION...
    name=$1 text=$2
    shift 2
    run "$name" "$@" "$heat2d"
    check "refused: $name: the reason" says "$text"
    check "refused: $name: usage" ended 2
}
refused room 'the nodes have 3 slots for 4 processes' --host n1:2,n2
refused slots "'n1:2x': NODE:SLOTS has a number of ranks behind the colon" --host n1:2x,n2:2
refused name "'' is not the name of a node" --host n1:2,,n2:2
refused option "'-x' is not the name of a node" --host -x:4
refused twice '--mpirun-arg --hostfile names nodes too' --host n1:4 --mpirun-arg --hostfile --mpirun-arg hosts
refused nowhere '--hostfile /nowhere: No such file' --hostfile /nowhere
printf '# nodes\nn1 slots=2 max_slots=2\n\nn2\n' >"$scratch/hosts"
refused hostfile 'hosts:4: how many ranks has n2 room for' --hostfile "$scratch/hosts"
printf 'n1 slots=2 cores=2\n' >"$scratch/hosts"
refused word "hosts:1: 'cores=2': a node is followed by slots=N" --hostfile "$scratch/hosts"
: >"$scratch/hosts"
refused empty 'hosts names no node' --hostfile "$scratch/hosts"

make_nodes 4
result_on 4

# The spare that would be next is away too.
on "--host n1:2,n2:2,n3:2,n4:2" partner 4 --local-dir "$local_dir" --redundancy partner
in_the_middle
lose n3
lose n2
finish
check "partner: says which nodes" says '^belay: nodes n2, n3 do not answer: going on'
goes_on partner 'n1, n4'
check "partner: what was on the node is made again" says 'rank 3: snapshot and parity of checkpoint'
put_back n2
put_back n3

# No connection is closed, and who asks it waits: noticed all the same.  Rank 0 was there.
on "--host n1:2,n2:2,n3:2" xor 4 --local-dir "$local_dir" --redundancy xor:2
in_the_middle
lose n1 silent
finish
goes_on "xor, silent" 'n2, n3'
check "xor, silent: nobody is left behind" nobody_left
put_back n1

# What is in the job directory, which all share, is not lost.
printf 'n1 slots=2\nn2 slots=1 # a small one\nn2 slots=1\nn3 slots=2\n' >"$work/hosts"
on "--hostfile hosts" shared 4
in_the_middle
lose n1
finish
goes_on shared 'n2, n3'
put_back n1

# More than the promise.  The nodes come back, and nothing is lost.
on "--host n1:2,n2:2,n3:2,n4:2" beyond 4 --local-dir "$local_dir" --redundancy partner
in_the_middle
lose n1
lose n2
finish
check "beyond: says which nodes" says 'nodes n1, n2 do not answer: going on on n3, n4$'
check "beyond: says what is missing" says 'can be restored (checkpoint .* is the newest), since more nodes are missing'
check "beyond: given up" ended 1
check "beyond: not begun anew" not says 'resumed\|result'
put_back n1
put_back n2
on "--host n1:2,n2:2,n3:2,n4:2" beyond 4 --local-dir "$local_dir" --redundancy partner
finish
check "beyond: the nodes are back: from there" says 'resumed from checkpoint'
check "beyond: same result" same_result

# No room; then with another node, while that one is still away.
on "--host n1:2,n2:2" room 4 --local-dir "$local_dir" --redundancy partner
in_the_middle
lose n2
finish
check "no room: says so" says 'giving up: node n2 does not answer, and 2 slots remain for 4 processes; the checkpoints in .*room stay'
check "no room: given up" ended 1
on "--host n1:2,n2:2,n3:2" room 4 --local-dir "$local_dir" --redundancy partner
finish
goes_on "away at the start" 'n1, n3'
put_back n2

# Open MPI 5 ends the job when a node goes, with exit status 0 and in spite of spares: it is started again too.
on "--host n1:3,n2:3,n3:3" spares 4 --spares 1
in_the_middle
lose n2
finish
goes_on spares 'n1, n3'
put_back n2

result_on 6
on "--host n1:2,n2:2,n3:2,n4:2" rs 6 --local-dir "$local_dir" --redundancy rs:2+1
in_the_middle
lose n3
finish
check "rs: says which node" says '^belay: node n3 does not answer: going on'
goes_on rs 'n1, n2, n4'
check "nobody is left behind" nobody_left
summary
