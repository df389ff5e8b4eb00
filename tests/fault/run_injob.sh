#!/bin/sh
# Recovery in the job (MPI with ULFM): the ranks that live stay, a spare takes the place of the dead, and the result is the same; with
# every way of checkpointing and logging, killed at every point, by two and three at once, in the recovery itself, and when no spare is
# left.  What the job cannot mend itself `belay run` starts again.  RANDOM_KILLS=N: so many runs of each example (8).
. "${0%/*}/../mpi/lib.sh"

if ! grep -q '^#define BL_HAVE_ULFM 1' "$build/config.h"; then
    run refused --recovery injob "$heat2d"
    check "recovery=injob is refused without ULFM" ended 2
    check "and says why" says 'recovery=injob needs an MPI with ULFM'
    run falls --spares 2 --every 10 --stable process --kill 2@step=23 "$heat2d" --size 64 --steps 40 --quiet
    check "with spares alone it falls to relaunch" ended 0
    check "and says so" says 'no ULFM: no spares are started'
    check "it is started again" restarts 1
    job bare mpirun --oversubscribe -n 4 env BELAY_SPARES=2 BELAY_DIR="$scratch/bare" "$heat2d" --size 64 --steps 10
    check "a plain mpirun with spares is refused" not ended 0
    check "and says why as well" says 'without ULFM, in which nobody can take the place'
    summary
fi

limit=60
back() { [ "$(count 'all ranks are back after')" = "$1" ]; }
started_again() { [ "$(count 'relaunching (restart')" = "$1" ]; }
processes_left() { wait_for 5 nobody_left; }

# goes_on NAME RECOVERIES RELAUNCHES OPTION... PROGRAM...: with two spares, or $spares.
goes_on() {
    name=$1 recoveries=$2 relaunches=$3
    shift 3
    rm -rf "$scratch/$name"
    run "$name" --spares "${spares:-2}" --stable "${stable:-process}" --every 5 "$@"
    check "$name: exit status 0" ended 0
    check "$name: same result" same_result
    check "$name: $recoveries recoveries in the job" back "$recoveries"
    check "$name: $relaunches relaunches" started_again "$relaunches"
    check "$name: nobody is left" processes_left
}

set_reference --size 128 --steps 60 --quiet
small="$heat2d --size 128 --steps 60 --quiet"
# shellcheck disable=SC2086  # words
each() { while read -r name what; do [ -n "$name" ] && goes_on "$name" 2 0 --kill 2@step=23,0@step=41 $what $small; done; }

each <<END
coordinated
header --piggyback header
async --async stage
fork --async fork
partner --redundancy partner --failure-domain 1
independent --checkpoint independent
marker --checkpoint independent --piggyback marker
induced --checkpoint induced
pessimistic --checkpoint independent --logging pessimistic
END
stable=power
each <<END
power
optimistic --checkpoint independent --logging optimistic
causal --checkpoint independent --logging causal
END
stable=process

goes_on two-at-once 1 0 --kill 1@step=23,2@step=23 $small
goes_on same-again 2 0 --kill 1@step=23,1@step=31 $small
goes_on three 3 0 --kill 1@step=13,2@step=31,3@step=42 $small
goes_on four 3 1 --kill 1@step=13,2@step=31,3@step=42,0@step=51 $small
check "four: says why it is started again" says 'MPI cannot do that twice'

# Killed at every point, of rank 0 and of another, and in the recovery itself: it goes on, in the job or started again.
spares=3
for point in exchange snapshot rename vote publish collect recover restored finalize detect shrink settle init#2 recover#2 detect#2 shrink#2 settle#2; do
    for rank in 0 2; do
        first=
        case $point in recover | restored | detect | shrink | settle | *#2) first=1@step=12, ;; esac
        case $point in detect#2 | shrink#2 | settle#2 | recover#2) first=1@step=12,1@step=23, ;; esac
        name=point-$rank-$point
        run "$name" --spares 3 --stable process --every 5 --kill "$first$rank@point=$point" $small
        check "$name: exit status 0" ended 0
        check "$name: same result" same_result
        check "$name: nobody is left" processes_left
        rm -rf "$scratch/$name"
    done
done
spares=

# Spares die too: of the two the first, then both.
for many in 1 2; do
    begin_run "spare-$many" --spares 2 --stable process --every 20 --kill 2@step=300 "$heat2d" --size 512 --steps 900 --quiet
    wait_for 20 says 'checkpoint 1 at' || fail "spare-$many: no checkpoint"
    ranks=$(for r in 0 1 2 3; do od -An -td4 -j 64 -N 4 "$scratch/spare-$many/rank-0000$r/live-0000" | tr -d ' '; done)
    killed=0
    for process in $(job_processes); do
        case $(readlink "/proc/$process/exe") in *heat2d*) ;; *) continue ;; esac
        echo "$ranks" | grep -qx "$process" && continue
        [ "$killed" -lt "$many" ] && kill -9 "$process" && killed=$((killed + 1))
    done
    check "spare-$many: $many spares were killed" [ "$killed" = "$many" ]
    finish
    check "spare-$many: exit status 0" ended 0
    check "spare-$many: the death of a spare is no failure of the job, and a rank's is mended" [ "$(count 'was killed by --kill 2@step=300')" = 1 ]
    check "spare-$many: nobody is left" processes_left
done

# A rank that neither dies nor goes on: the others cannot without it, so after 15 s all is started again.
begin_run stuck --spares 1 --stable process --every 20 --kill 2@step=300 "$heat2d" --size 512 --steps 500 --quiet
wait_for 20 says 'checkpoint 1 at' || fail "stuck: no checkpoint"
kill -STOP "$(od -An -td4 -j 64 -N 4 "$scratch/stuck/rank-00003/live-0000" | tr -d ' ')"
kill -9 "$(od -An -td4 -j 64 -N 4 "$scratch/stuck/rank-00001/live-0000" | tr -d ' ')"
finish
check "stuck: exit status 0" ended 0
check "stuck: it was ended to be started again" says 'have not gone on in the job for 15 s'
check "stuck: it was started again, once or twice" says 'relaunching (restart'
check "stuck: nobody is left, the stopped rank neither" processes_left

# A plain mpirun, without `belay run`.
flags="--with-ft ulfm --prtemca state_base_recoverable 1 --mca async_mpi_finalize 1 --mca pml ob1 --oversubscribe"
BELAY_SPARES=1 BELAY_DIR=$scratch/plain BELAY_EVERY=5 BELAY_STABLE=process BELAY_KILL=2@step=23
export BELAY_SPARES BELAY_DIR BELAY_EVERY BELAY_STABLE BELAY_KILL
job plain mpirun $flags -n 5 $small
check "a plain mpirun: exit status 0" ended 0
check "a plain mpirun: same result" same_result
check "a plain mpirun: it resumed" says 'resumed from checkpoint 4'
check "a plain mpirun: the job is finished" state "$scratch/plain" finished
job flagless mpirun --oversubscribe -n 5 $small
check "without --with-ft it is refused" not ended 0
check "and says what is missing" says 'needs mpirun --with-ft ulfm'
unset BELAY_SPARES BELAY_DIR BELAY_EVERY BELAY_STABLE BELAY_KILL

# With message logging only the dead rank goes back; the others stay in the call they are in and repeat nothing.  Rank 0, which lives,
# makes each of its steps once.
logged="--checkpoint independent --logging pessimistic"
goes_on local 1 0 $logged --kill 2@step=23 $small
check "local: only the dead rank goes back" says 'only rank 2 goes back; the other 3 stay where they are'
check "local: belay run says so" says 'recovery line: rank 2 back to checkpoint 4 (safe point 20); the other 3 stay where they are'
check "local: the others repeat no step" says 'heat2d: 60 steps in'
spares=4
goes_on local-many 3 0 $logged --kill 0@step=13,1@step=29,3@step=29,0@step=41 $small
goes_on local-two 1 0 $logged --kill 1@step=23,2@step=23 $small
check "local-two: only these go back" says 'only ranks 1, 2 go back; the other 2 stay'
stable=power
goes_on local-power 2 0 $logged --kill 2@step=23+power,0@step=41+power $small
for logging in optimistic causal; do
    goes_on "local-$logging" 2 0 --checkpoint independent --logging "$logging" --kill 2@step=23+power,1@step=41 $small
    check "local-$logging: only the dead rank goes back" says 'only rank 2 goes back; the other 3 stay where they are'
    check "local-$logging: the others repeat no step" says 'heat2d: 60 steps in'
done
stable=process
for point in init recover restored snapshot rename publish finalize detect shrink settle recover#2 detect#2 shrink#2 settle#2; do
    for rank in 0 2; do
        name=local-$rank-$point
        run "$name" --spares 4 --stable process --every 5 $logged --kill "1@step=12,1@step=23,$rank@point=$point" $small
        check "$name: exit status 0" ended 0
        check "$name: same result" same_result
        rm -rf "$scratch/$name"
    done
done
spares=

# Every logged call, whose outcome chance decides, in a program that has no belay_main: who stays needs none.  With optimistic logging
# and a loss of power there are orphans, which end themselves and so need spares.
stayed=0 bad=0 orphans=0
for seed in $(seq 1 "${CHANCE_SEEDS:-12}"); do
    n=$((2 + seed % 4)) kills=
    for kill in 1 2 3; do kills=$kills${kills:+,}$(((seed + kill * kill) % n))@random:$seed$kill/1500; done
    case $((seed % 3)) in
    0) logging=causal stable=power ;;
    1) logging=pessimistic stable=process ;;
    2) logging=optimistic stable=power kills=$(echo "$kills" | sed 's/,/+power,/g; s/$/+power/') ;;
    esac
    job "chance-$seed" "$belay" run -n "$n" --spares 8 --dir "$scratch/chance-$seed" --checkpoint independent --logging $logging --stable $stable \
        --every 5,7,4,9,6 --kill "$kills" "$programs/chance" "$seed" 100
    if ! ended 0 || ! says 'chance: nothing lost'; then
        bad=$((bad + 1))
        fail "chance, seed $seed"
    fi
    stayed=$((stayed + $(count 'stay where they are$')))
    orphans=$((orphans + $(count 'goes back as well: it depends on what is lost')))
    rm -rf "$scratch/chance-$seed"
done
check "chance: nothing lost, nothing twice" [ "$bad" = 0 ]
stable=process
check "chance: orphans went back too" [ "$orphans" -gt 0 ]
check "chance: ranks have stayed at least as often as there were programs" [ "$stayed" -ge "${CHANCE_SEEDS:-12}" ]

# A message seen before one that was sent earlier: what is seen is only counted, so this rank cannot stay; without that look it would be
# given the one for the other.
for how in order channel wildcard anytag; do
    case $how in wildcard) logging=causal stable=power ;; anytag) logging=optimistic stable=power ;; *) logging=pessimistic stable=process ;; esac
    BELAY_OFF=1
    export BELAY_OFF
    mpirun4 "$how-reference" "$programs/ahead" "$how"
    unset BELAY_OFF
    heat=$reference
    reference=$(result_of "$log")
    goes_on "ahead-$how" 1 0 --checkpoint independent --logging $logging "$programs/ahead" "$how"
    reference=$heat
    case $how in
    order) check "ahead-$how: only one goes back" says 'only rank 2 goes back; the other 3 stay' ;;
    *) check "ahead-$how: the one that has seen it goes back too" says 'rank 0 goes back as well: it has seen a message' ;;
    esac
done

stable=process

# Handles stay: 100 of every kind, made before the first safe point, used after a death by all.
heat=$reference
BELAY_OFF=1
export BELAY_OFF
mpirun4 handles-reference "$programs/handles"
unset BELAY_OFF
reference=$(result_of "$log")
for logging in pessimistic causal; do
    [ $logging = causal ] && stable=power
    goes_on "handles-$logging" 1 0 --checkpoint independent --logging $logging --kill 1@step=4 "$programs/handles"
    check "handles-$logging: only one went back" says 'only rank 1 goes back; the other 3 stay'
done
stable=process
reference=$heat

# A program that has no belay_main, and cannot stay without logging, is started again.
run no-main --spares 1 --checkpoint independent --every 5 --stable process --max-restarts 1 --kill 1@step=12 "$programs/chance" 1 20
check "no-main: it says that there is nowhere to go back to" says 'does not run in belay_main'
check "no-main: it is started again" started_again 1
check "no-main: nobody is left" processes_left

# Who computes hears of a death in its next call of MPI, which may be later than belay run waits at least.
mpirun4 slow-reference env BELAY_OFF=1 "$programs/slow" 0 2
heat=$reference
reference=$(result_of "$log")
limit=200
goes_on slow 1 0 $logged --every 1 --kill 1@step=1 "$programs/slow" 17 2
limit=60
reference=$heat

# Spawned when there is no spare; a second death starts all again.
run spawn --recovery injob --stable process --every 5 --kill 2@step=23 $small
check "spawn: exit status 0" ended 0
check "spawn: same result" same_result
check "spawn: in the job, or started again" says 'all ranks are back\|relaunching'

# Random kills of every example, with checkpoints of all and with message logging.
calls_of() { case $1 in heat2d*) echo 700 ;; cg*) echo 900 ;; wavefront*) echo 120 ;; farm*) echo 300 ;; domino*) echo 60 ;; esac; }
rounds=${RANDOM_KILLS:-8}
for program in "heat2d --size 64 --steps 40 --quiet" "cg --size 128 --steps 30 --quiet" "wavefront 40" "farm 8" "domino 30"; do
    what=${program%% *}
    BELAY_OFF=1
    export BELAY_OFF
    mpirun4 "$what-reference" "$build"/examples/$program
    unset BELAY_OFF
    reference=$(result_of "$log")
    bad=0 round=1
    while [ "$round" -le "$rounds" ]; do
        rm -rf "$scratch/$what"
        case $((round % 8)) in
        2|6) how="--stable process $logged" ;;
        4) how="--stable power --checkpoint independent --logging optimistic" ;;
        0) how="--stable power --checkpoint independent --logging causal" ;;
        *) how="--stable process" ;;
        esac
        # shellcheck disable=SC2086  # words
        run "$what" --spares 2 --every 5 $how --kill "$((round % 4))@random:$round/$(calls_of "$what"),$(((round + 2) % 4))@random:$((round + 1000))/$(calls_of "$what")" "$build"/examples/$program
        if ! ended 0 || ! same_result; then
            bad=$((bad + 1))
            fail "$what, seed $round"
        fi
        round=$((round + 1))
    done
    check "$what: $rounds times two random kills" [ "$bad" = 0 ]
done
check "nobody is left" processes_left
summary
