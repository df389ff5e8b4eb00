#!/bin/sh
# async=stage and fork: the state as it was is what is restored, however far the program has gone meanwhile; a checkpoint that was not written when
# somebody died does not count, at every point of the protocol; stopping, finishing and the next checkpoint wait for it; a disk that
# is full costs the checkpoint and nothing else.
. "${0%/*}/../mpi/lib.sh"
set_reference --size 128 --steps 60 --quiet
limit=300

how="--async stage"
stable=process
survives rank-0 0@point=exchange#1 0@point=snapshot#1 0@point=rename#1 0@point=rename#2 0@point=vote#1 0@point=decide#1 \
    0@point=commit#1 0@point=publish#1 0@point=collect#1 0@point=init#1 0@point=recover#1 0@point=restored#1 0@point=finalize#1
stable=power
survives rank-2 2@point=exchange#2 2@point=snapshot#1 2@point=rename#1 2@point=vote#1 2@point=publish#1 2@point=collect#1 \
    2@point=init#1 2@point=recover#1 2@point=restored#1 2@point=finalize#1
how="--async fork"
stable=process
survives forked-0 0@point=snapshot#1 0@point=rename#1 0@point=rename#2 0@point=vote#1 0@point=decide#1 0@point=commit#1 0@point=finalize#1
stable=power
survives forked-2 2@point=exchange#2 2@point=snapshot#1 2@point=rename#1 2@point=rename#2 2@point=vote#1 2@point=collect#1

# Every step is a safe point with a checkpoint: each waits for the one before, or is left out.
for async in stage fork; do
    run "each-$async" --async $async --every 1 --stable process --kill 1@step=31 "$heat2d" --size 128 --steps 60 --quiet
    check "$async: each step: same result" same_result
    check "$async: each step: from the last that counted" says 'resumed from checkpoint \(29\|30\)'
    check "$async: each step: exit status 0" ended 0
done

cat >"$scratch/limited" <<'EOF'
#!/bin/sh
trap '' XFSZ
ulimit -f 65536
exec "$@"
EOF
chmod +x "$scratch/limited"

for async in stage fork; do
    # A slow disk: killed while it is written, the one before is used.
    set_reference --size 2048 --steps 40 --quiet
    run "unwritten-$async" --async $async --async-rate 20M --every 10,never --stable process --kill 3@step=21 "$heat2d" --size 2048 --steps 40 --quiet
    check "$async: killed while it is written: the one before is used" not says 'resumed from checkpoint 2'
    check "$async: killed while it is written: same result" same_result
    check "$async: killed while it is written: exit status 0" ended 0
    run "slow-$async" --async $async --async-rate 20M --every 20 --stable process "$heat2d" --size 2048 --steps 40 --quiet
    check "$async: slow: the end waits for it" says 'checkpoint 1 at safe point 20: .* of which it held up the program for'
    check "$async: slow: same result" same_result
    run "skip-$async" --async $async --async-rate 3M --async-late skip --every 4 --stable process "$heat2d" --size 2048 --steps 40 --quiet
    check "$async: skip: said" says 'no checkpoint at safe point [1-9][0-9]*: the one before is not written yet (async-late=skip)'
    check "$async: skip: fewer than were due, and not none" test "$(count ': checkpoint [0-9]* at safe point')" -ge 1 -a "$(count ': checkpoint [0-9]* at safe point')" -lt 8
    check "$async: skip: same result" same_result

    # Stopped on request: written before anybody ends.
    begin_run "stopped-$async" --async $async --every never --stable process "$programs/ends" 40 20
    check "$async: stop: the job runs" wait_for 60 says '^step 12$'
    kill -s USR1 "$begun"
    finish
    check "$async: stop: exit status 75" ended 75
    run "stopped-$async" --async $async --every never --stable process "$programs/ends" 40 0
    check "$async: stop: goes on from there" says 'continuing .*ends with 4 ranks'
    check "$async: stop: does not begin again" not says '^step 11$'

    # No file may be longer than 32 MiB, or 64, as the shell counts: what cannot be written is said, and the program goes on.
    set_reference --size 7000 --steps 9 --quiet
    run "full-$async" --async $async --every 3 --stable process "$scratch/limited" "$heat2d" --size 7000 --steps 9 --quiet
    check "$async: full disk: said" says 'cannot write .*ckpt-000001.h5.tmp-0000: File too large'
    check "$async: full disk: no checkpoint" test -z "$(find "$scratch/full-$async" -name 'ckpt-*')"
    check "$async: full disk: same result" same_result
    check "$async: full disk: exit status 0" ended 0
done

# --- the child that writes ---

# Found by name first: looking at each process takes longer than a child may live.
writers() {
    grep -lx belay-writer /proc/[0-9]*/comm 2>/dev/null | while read -r comm; do
        case $(readlink "${comm%comm}cwd") in "$work"*) comm=${comm#/proc/}; echo "${comm%/comm}" ;; esac
    done
}
a_writer() { [ -n "$(writers)" ]; }

# Killed, as when memory is short: there is no such checkpoint, nothing of it is left, and the program goes on.
begin_run killed --async fork --async-rate 1M --every 20,never --stable process "$programs/forked" 40
check "child killed: there was one" wait_for 60 a_writer
kill -9 $(writers | head -n 1)
finish
check "child killed: said" says 'rank [0-3]: there is no checkpoint 1: the process that wrote it was killed'
check "child killed: the program goes on" says '^all is well$'
check "child killed: exit status 0" ended 0
check "child killed: no checkpoint, and no part of one" test -z "$(find "$scratch/killed" -name 'ckpt-*')"

# It ends with its rank, long before it would have written everything.
run orphan --async fork --async-rate 1M --every 10,never --stable process --max-restarts 0 --kill 3@step=12 "$programs/forked" 40
check "rank killed: no child is left behind" nobody_left

# The state is that of the safe point, wherever it lies, and the program sees no child.
rate=5M # slow enough for every variable to be changed before it is written
for way in plain ignore handle threads; do
    run "way-$way" --async fork --async-rate $rate --every 10 --stable process --kill 1@step=32 "$programs/forked" 40 $way
    check "$way: all is well" says '^all is well$'
    check "$way: from a checkpoint" says 'resumed from checkpoint [1-9]'
    check "$way: exit status 0" ended 0
    rate=20M
done
run way-dontfork --async fork --every 10 --stable process "$programs/forked" 20 dontfork
check "dontfork: refused with the variable's name" says "variable 'large' is in memory that a child of the program does not have"
check "dontfork: the program goes on" says '^all is well$'
run way-nochild --async fork --every 10 --stable process --kill 1@step=15 "$programs/forked" 20 nochild
check "no child: said" says 'rank [0-3]: checkpoint 1 is written while the program waits, since there is no child to write it: Cannot allocate memory'
check "no child: from that checkpoint" says 'resumed from checkpoint 1'
check "no child: all is well" says '^all is well$'

# --- what is possible ---

run auto --async auto --every 10 --stable process "$programs/forked" 20
check "auto: fork" says 'async=auto is fork: '
check "auto: all is well" says '^all is well$'
# Open MPI 4.1 does not tell of this one, which wraps ob1; there is none else that works without its hardware.
if mpirun --version | grep -q ' 4\.'; then
    echo "another transport: not tested with this Open MPI"
else
    OMPI_MCA_pml_monitoring_enable=1
    export OMPI_MCA_pml_monitoring_enable
    run transport --async auto --every 10 --stable process "$programs/forked" 20
    check "auto, another transport: stage, and why" says 'async=auto is stage: MPI moves data with pml_monitoring here'
    check "auto, another transport: all is well" says '^all is well$'
    run no-transport --async fork --every 10 "$programs/forked" 20
    check "fork, another transport: refused" says 'async=fork: MPI moves data with pml_monitoring here'
    check "fork, another transport: exit status" not ended 0
    unset OMPI_MCA_pml_monitoring_enable
fi
run auto-alone --async auto --checkpoint independent --every 10 --stable process "$programs/forked" 20
check "auto, independent: off, and why" says 'async=auto is off: another async is for checkpoint=coordinated'
check "auto, independent: exit status 0" ended 0

refused() { # NAME TEXT OPTION...
    name=$1 text=$2
    shift 2
    run "no-$name" --every 10 --async stage "$@" "$heat2d"
    check "refused: $name" says "$text"
    check "refused: $name: exit status" not ended 0
}
refused independent 'async=stage is for checkpoint=coordinated' --checkpoint independent
refused redundancy 'async=stage with redundancy is not in this version' --redundancy partner --failure-domain 1
refused marker 'async=stage with another piggyback than implicit' --piggyback marker
refused fork 'async=fork is for checkpoint=coordinated' --checkpoint independent --async fork
refused unknown 'auto' --async child
summary
