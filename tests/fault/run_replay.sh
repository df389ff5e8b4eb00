#!/bin/sh
# belay replay: one rank of a job again, alone, to where it ended; the same state, the same messages, nothing written.
. "${0%/*}/../mpi/lib.sh"
examples=$build/examples
logged="--checkpoint independent --logging pessimistic --stable process"

replay() { name=$1; shift; job "$name" "$belay" replay "$@"; }
fingerprint() { (cd "$1" && find . -type f -exec cksum {} + | sort -k 3 | cksum); }

# To where the rank was killed, and where the others were when the job ended.
run killed $logged --every 10 --max-restarts 0 --kill 2@step=57 "$heat2d" --size 128 --steps 200 --quiet
before=$(fingerprint "$scratch/killed")
for rank in 0 1 2 3; do
    replay "killed$rank" $rank --dir "$scratch/killed" -- "$heat2d" --size 128 --steps 200 --quiet
    check "rank $rank: replayed" ended 0
    check "rank $rank: from its newest checkpoint" says "replaying rank $rank of 4, job [0-9a-f]*, from checkpoint [0-9]* (safe point [0-9]*)"
    check "rank $rank: to where it ended" says "here rank $rank ended"
    check "rank $rank: received and sent" says '[1-9][0-9]* messages ([0-9.]* MiB) received from the journals, [1-9][0-9]* '
done
replay killed-where 2 --dir "$scratch/killed" "$heat2d" --size 128 --steps 200 --quiet
check "it says where in the program" says 'in .*heat2d.c:[0-9]'
older=$(ls "$scratch"/killed/rank-00002/ckpt-* | head -n 1 | sed 's/.*ckpt-0*\([0-9]*\)\.h5/\1/')
replay killed-older 2 --from "$older" --dir "$scratch/killed" "$heat2d" --size 128 --steps 200 --quiet
check "from an older checkpoint" says "from checkpoint $older .safe point"
check "from an older checkpoint: replayed" ended 0
first=$(sed -n 's/.*calls \([0-9]*\) to [0-9]*$/\1/p' "$log")
replay killed-to 2 --from "$older" --to $((first + 30)) --dir "$scratch/killed" "$heat2d" --size 128 --steps 200 --quiet
check "to a call" says "stopped at call $((first + 30)), as --to asks"
check "nothing was written" test "$(fingerprint "$scratch/killed")" = "$before"

# A copy will do, the original gone.
cp -r "$scratch/killed" "$scratch/a copy" && rm -r "$scratch/killed"
replay copy 1 --dir "$scratch/a copy" "$heat2d" --size 128 --steps 200 --quiet
check "on a copy: replayed" says 'here rank 1 ended'

# To the end of a job that had failures and finished: each rank comes to the state it had.
run asks $logged --every 7,9,5,8 --jitter 20% --kill 1@step=20,3@step=33 "$programs/asks" 60
check "asks: ends" ended 0
cp "$log" "$scratch/asks.out"
for rank in 0 1 2 3; do
    replay "asks$rank" $rank --dir "$scratch/asks" "$programs/asks" 60
    check "asks, rank $rank: to the end" says "rank $rank came to MPI_Finalize"
    grep "^rank $rank: " "$log" | sort -u >"$scratch/again"
    grep "^rank $rank: " "$scratch/asks.out" | sort -u >"$scratch/was"
    check "asks, rank $rank: the same answers and the same result" diff "$scratch/was" "$scratch/again"
done
run heat $logged --every 20 --kill 0@step=50 "$heat2d" --size 128 --steps 100 --quiet
reference=$(result_of "$log")
replay heat0 0 --from 0 --dir "$scratch/heat" "$heat2d" --size 128 --steps 100 --quiet
check "its oldest journals are gone with the checkpoints that needed them: said so" says 'not in the journal\|in no journal'
replay heat1 0 --dir "$scratch/heat" "$heat2d" --size 128 --steps 100 --quiet
check "heat2d, finished: the same result" same_result

run cg $logged --every 20 --kill 3@step=50 "$examples/cg" --size 128 --quiet
reference=$(result_of "$log")
replay cg0 0 --dir "$scratch/cg" "$examples/cg" --size 128 --quiet
check "cg: the same result" same_result

# Programs in which chance decided.
for seed in 1 2 3 4; do
    job "chance$seed" "$belay" run -n 4 --dir "$scratch/chance$seed" $logged --every 5,7,4,9 --kill "$((seed % 4))@call=$((seed * 40 + 60))" \
        "$programs/chance" "$seed" 30
    check "chance $seed: ends" ended 0
    for rank in 0 1 2 3; do
        replay "chance$seed-$rank" $rank --dir "$scratch/chance$seed" "$programs/chance" "$seed" 30
        check "chance $seed, rank $rank: to the end, every message the same" says "rank $rank came to MPI_Finalize"
    done
done
run farm $logged --every 3 --max-restarts 0 --kill 0@step=7 "$examples/farm"
for rank in 0 1; do
    replay "farm$rank" $rank --dir "$scratch/farm" "$examples/farm"
    check "farm, rank $rank: replayed" says "here rank $rank ended"
done

# Not the program that ran.
replay other 1 --dir "$scratch/chance1" "$programs/chance" 2 30
check "another seed: it differs" says 'sends something else than it did: message [0-9]* to rank [0-9]*, tag [-0-9]*: other'
check "another seed: where" says 'in .*chance.c:[0-9]'
check "another seed: exit status 1" ended 1
replay shape 2 --dir "$scratch/a copy" "$heat2d" --size 130 --steps 200 --quiet
check "another size: the checkpoint does not fit" says "does not fit this program"

# What cannot be replayed is said.
run graph $logged --every 5 --max-restarts 0 --kill 1@step=12 "$programs/asks" 60 graph
replay graph1 1 --dir "$scratch/graph" "$programs/asks" 60 graph
check "a graph topology: refused by name" says 'what rank 1 did before its first safe point cannot be replayed alone: a graph topology'
run group $logged --every 5 --max-restarts 0 --kill 1@step=12 "$programs/asks" 60 group
replay group1 1 --dir "$scratch/group" "$programs/asks" 60 group
check "groups: refused by name" says 'MPI_Comm_group cannot be answered without the other ranks'
run unlogged --checkpoint independent --stable process --every 5 --max-restarts 0 --kill 1@step=12 "$heat2d" --size 128 --steps 60 --quiet
replay unlogged1 1 --dir "$scratch/unlogged" "$heat2d" --size 128 --steps 60 --quiet
check "a job without logging: refused" says 'rank 1 has left no journal: it can be replayed only when the job ran with logging'
check "a job without logging: exit status 1" ended 1
rm "$scratch/farm/rank-00001"/journal-*-sent-*
replay missing 0 --dir "$scratch/farm" "$examples/farm"
check "a journal is gone: said" says 'in no journal\|not in the journal'
check "a journal is gone: exit status 1" ended 1
for wrong in "" "7" "1 --from x" "1 --to 0" "1 --nonsense 3" "x"; do
    replay "wrong" $wrong --dir "$scratch/farm" "$examples/farm"
    check "belay replay $wrong: exit status 2" ended 2
done
replay nothing 0 --dir "$scratch/none" "$examples/farm"
check "no such directory: exit status 2" ended 2

# Under a debugger, at the safe point and at the end.
if command -v gdb >/dev/null; then
    printf 'print p->rank\nprint step\ncontinue\nbt\nkill\nquit\n' >"$scratch/gdb"
    LD_LIBRARY_PATH=$build/src/mpi/.libs HOME=$scratch
    export LD_LIBRARY_PATH HOME
    job gdb sh -c '"$0" replay 2 --gdb --dir "$1" "$2" --size 128 --steps 200 --quiet <"$3"' "$belay" "$scratch/a copy" "$examples/.libs/heat2d" "$scratch/gdb"
    check "gdb: stops in the program, at the safe point" says '^run (p='
    check "gdb: the state is that of the checkpoint" says '= [1-9][0-9]*$'
    check "gdb: stops where the rank ended" says 'exchange_halo (.*at .*heat2d.c\|at .*heat2d.c:[0-9]'
    unset LD_LIBRARY_PATH
fi
summary
