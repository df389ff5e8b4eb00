#!/bin/sh
# logging=optimistic and causal under real kills that take with them what was not forced: who depends on what is lost goes back, and
# nobody else; with causal nobody does, as long as no more are lost at once than it was asked for.
. "${0%/*}/../mpi/lib.sh"
examples=$build/examples
follows() { echo "--checkpoint independent --stable power --logging $1"; }

# Programs whose result is one: ranks out of step, nodes lost.
for program in heat2d wavefront farm ring domino cg; do
    size=
    [ $program != cg ] || size="--size 128"
    run "$program-calm" --checkpoint independent --logging pessimistic --stable process --every never "$examples/$program" $size
    reference=$(result_of "$log")
    for protocol in optimistic causal; do
        case $protocol in optimistic) seed=1 ;; *) seed=2 ;; esac
        run "$program-$protocol" $(follows $protocol) --every 3,5,4,7 --jitter 30% \
            --kill "$((seed % 4))@random:$seed/150+power,$(((seed + 2) % 4))@random:1$seed/300+power" "$examples/$program" $size
        check "$program, $protocol: ends" ended 0
        check "$program, $protocol: same result" same_result
    done
done

# A program that goes another way each time.
chance() {
    protocol=$1 seed=$2 n=$3
    shift 3
    a=$((seed * 7919 % 500 + 40)) b=$((seed * 104729 % 700 + 40)) c=$((seed * 1299709 % 900 + 40))
    job "chance-$protocol$seed" "$belay" run -n "$n" --dir "$scratch/chance-$protocol$seed" $(follows $protocol) --every 5,7,4,9 \
        --kill "$((seed % n))@call=$a+power,$((seed / 3 % n))@call=$b+power,$((seed / 7 % n))@call=$c+power" "$@" "$programs/chance" "$seed" 40
    check "chance, $protocol, $n ranks, seed $seed $*: ends" ended 0
    check "chance, $protocol, $n ranks, seed $seed $*: nothing lost, nothing twice" says '^chance: nothing lost'
    cat "$log" >>"$scratch/said-$protocol"
}
chance pessimistic 1 4
chance pessimistic 2 3
for seed in 1 2 3; do
    chance optimistic $seed 4
    chance causal $seed 4
done
OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp
export OMPI_MCA_pml OMPI_MCA_btl
chance optimistic 8 4
chance causal 8 4
unset OMPI_MCA_pml OMPI_MCA_btl
log=$scratch/said-pessimistic
check "pessimistic: nobody is ever an orphan" not says 'an orphan'
log=$scratch/said-optimistic
check "optimistic: there were orphans, and it was said whose" says 'an orphan: it depends on event [0-9]* of rank [0-3], of which the journals have [0-9]*'
log=$scratch/said-causal
check "causal: nobody is ever an orphan" not says 'an orphan'
check "causal: what was lost with a rank is known from the others" says 'events that were lost with it are known from the others'

# More nodes at once than one; enough copies for two, or too few, or all gone.
for lost in 1,2 0,1,2,3; do
    kills=$(echo "$lost" | sed 's/\([0-3]\)/\1@call=222+power/g')
    for protocol in "causal --log-failures 2" causal; do
        name=together-$(echo "$lost$protocol" | tr -dc 'a-z0-9')
        job "$name" "$belay" run -n 4 --dir "$scratch/$name" $(follows "$protocol") --every 5,7,4,9 --kill "$kills" "$programs/chance" 21 30
        check "ranks $lost lost together, $protocol: ends" ended 0
        check "ranks $lost lost together, $protocol: nothing lost, nothing twice" says '^chance: nothing lost'
    done
done

# Lost while a restart goes on, and after it.
set_reference --size 128 --steps 200 --quiet
for point in snapshot#3 publish#2 init recover restored; do
    case $point in recover | restored) first=1@step=30+power, ;; *) first= ;; esac
    for protocol in $(case $point in recover | restored) echo optimistic causal ;; publish*) echo causal ;; *) echo optimistic ;; esac); do
        run "$point-$protocol" $(follows $protocol) --every 7,5,9,6 --kill "${first}2@point=$point+power,3@step=150+power" "$heat2d" --size 128 --steps 200 --quiet
        check "lost at $point, $protocol: ends" ended 0
        check "lost at $point, $protocol: same result" same_result
    done
done

# What is sent before the first safe point, more than is kept of that.
job first "$belay" run -n 2 --dir "$scratch/first" $(follows causal) --every 3 --kill 0@step=3+power "$programs/late" 6 30
check "90 MiB under way before the first safe point: ends" ended 0
check "90 MiB under way before the first safe point: as it was sent" says '^late: every message'

# The earlier of two receives from anybody is still coming in when only the later one is known; over TCP, where a long message needs
# its sender.
OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp
export OMPI_MCA_pml OMPI_MCA_btl
for protocol in pessimistic optimistic; do
    job "overtaken-$protocol" "$belay" run -n 3 --dir "$scratch/overtaken-$protocol" $(follows $protocol) --every never --kill 0@step=1 "$programs/overtaken"
    check "overtaken, $protocol: each receive gets its own again" says '^overtaken: right'
    check "overtaken, $protocol: ends" ended 0
done
unset OMPI_MCA_pml OMPI_MCA_btl

# What a failed job left behind: the tool names the orphans, and a restart does what it says.
tries=0 there=no
while [ $there = no ] && [ $tries -lt 8 ]; do
    tries=$((tries + 1))
    job "left$tries" "$belay" run -n 4 --dir "$scratch/left$tries" $(follows optimistic) --every 5,7,4,9 --max-restarts 0 --kill "1@call=$((300 + tries * 17))+power" "$programs/chance" 5 40
    job "left-line$tries" "$belay" line --dir "$scratch/left$tries"
    says 'is an orphan' && there=yes
done
check "belay line: names the orphans and what they depend on" says 'rank [0-3] is an orphan: it depends on event [0-9]* of rank 1, of which the journals have [0-9]*'
check "belay line: which protocol" says 'Recovery with the log (logging=optimistic)'
undone=$(sed -n 's/^ *rank \([0-3]\) is an orphan.*/\1/p' "$log" | tr '\n' ' ')
job left-json "$belay" line --json --dir "$scratch/left$tries"
check "belay line --json: the same" says '"needs_event"'
job left-verify "$belay" verify --dir "$scratch/left$tries"
check "belay verify: reads the journals" ended 0
job left-again "$belay" run -n 4 --dir "$scratch/left$tries" $(follows optimistic) --every 5,7,4,9 "$programs/chance" 5 40
check "the restart: ends" ended 0
check "the restart: nothing lost, nothing twice" says '^chance: nothing lost'
check "the restart: those undone are the ones that the tool named" test "$(sed -n 's/^belay: rank \([0-3]\): an orphan.*/\1/p' "$log" | sort | tr '\n' ' ')" = "$undone"

# A job keeps its logging, with checkpoints and before the first.
for every in 2 never; do
    run "kept-$every" --checkpoint independent --logging pessimistic --stable power --every $every --max-restarts 0 --kill 2@step=4 "$examples/farm"
    run "kept-$every" $(follows optimistic) --every $every "$examples/farm"
    check "from pessimistic to optimistic, every $every: refused" not ended 0
    check "from pessimistic to optimistic, every $every: says why" says 'holds a job with logging=pessimistic: a job keeps its logging'
    run "changed-$every" $(follows causal) --every $every --max-restarts 0 --kill 2@step=4 "$examples/farm"
    run "changed-$every" --checkpoint independent --logging pessimistic --every $every "$examples/farm"
    check "from causal to pessimistic, every $every: refused" not ended 0
    check "from causal to pessimistic, every $every: says why" says 'holds a job with logging=.*causal: a job keeps its logging'
done

# Replay: of a rank whose senders have lost nothing.
run replayed $(follows causal) --every 10,7,13,9 --max-restarts 0 --kill 2@step=40 "$examples/cg" --size 128 --quiet
job replay "$belay" replay 1 --dir "$scratch/replayed" "$examples/cg" --size 128 --quiet
check "belay replay: it is what it was" says 'replayed [0-9]* MPI calls of rank 1'
check "belay replay: exit status 0" ended 0

# A long run keeps little, though what may be undone keeps the older.
run long $(follows optimistic) --every 20 "$heat2d" --size 128 --steps 1000 --quiet
check "1000 steps: ends" ended 0
check "1000 steps: few checkpoints a rank" test "$(ls "$scratch"/long/rank-00001/ckpt-* | wc -l)" -le 4
check "1000 steps: the journal is short" test "$(du -sk "$scratch/long/rank-00001" | cut -f1)" -lt 8000

# What cannot be carried is refused, by name.
job matched "$belay" run -n 2 --dir "$scratch/matched" $(follows optimistic) --every 5 "$programs/chance" 1 40 mprobe
check "a matched probe: the job ends" not ended 0
check "a matched probe: says which call, and what to do" says 'MPI_Improbe: what it shows cannot be followed with logging=optimistic; use logging=pessimistic'
job process "$belay" run -n 2 --dir "$scratch/process" --checkpoint independent --logging causal --stable process "$examples/farm"
check "stable=process: refused" not ended 0
check "stable=process: says why" says 'logging=causal goes with stable=power: with stable=process a journal survives its process'
check "nobody is left behind" nobody_left
summary
