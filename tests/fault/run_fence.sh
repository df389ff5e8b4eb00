#!/bin/sh
# A rank is stopped in the middle of what it sends, another process takes its place, and it goes on (SIGSTOP, SIGCONT): it ends itself
# with one line, or is ended, and harms nothing; the result is the same, also after a later recovery, which reads again what it had
# written.  In the job (MPI with ULFM), where MPI finds that it is silent; and left behind with its mpirun, as on a node that could not
# be reached.  FENCE_ROUNDS=N: so many moments of each kind (1).
. "${0%/*}/../mpi/lib.sh"
limit=100
stream=$programs/stream
logged="--checkpoint independent --logging pessimistic"
rounds=${FENCE_ROUNDS:-1}

process_of() { sed -n "s/.*rank $1 is process \([0-9]*\).*/\1/p" "$log" | tail -n 1; }
gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null; }
moment() { sleep "0.0$(($1 * 37 % 90 + 10))"; }
back() { [ "$(count 'all ranks are back after')" -ge "$1" ]; }

BELAY_OFF=1
export BELAY_OFF
mpirun4 reference "$stream" 90 0
unset BELAY_OFF
reference=$(result_of "$log")
check "stream gives a result without Belay" ended 0

ended_well() {
    check "$name: exit status 0" ended 0
    check "$name: same result" same_result
    check "$name: nobody is left" wait_for 10 nobody_left
}

# left_behind NAME ROUND HOW OPTION...: HOW: "" or deaf.  All that is on a machine stands still, mpirun too, and the job goes on without it.
left_behind() {
    name=$1 round=$2 how=$3
    shift 3
    dir=$scratch/$name
    # shellcheck disable=SC2086  # words
    begin "$name-first" env "BELAY_DIR=$dir" BELAY_EVERY=5 BELAY_STABLE=process $variables mpirun --oversubscribe -n 4 "$stream" 90 60 $how
    check "$name: the job runs" wait_for 60 says 'step 12$'
    first=$begun first_log=$log
    moment "$round"
    sleepers="$(process_of 1) $(process_of 0) $(process_of 2) $(process_of 3)"
    kill -STOP "$first" $sleepers
    run "$name" --every 5 --stable process "$@" "$stream" 90 0
    check "$name: on the machine where it is, nobody goes on without it" says 'belongs to a job that is running (rank 0 is process'
    for rank in 0 1 2 3; do # now it is as on another machine
        printf 'elsewhere\0' | dd of="$dir/rank-0000$rank/live-0000" bs=1 seek=72 conv=notrunc 2>/dev/null
    done
    job "$name-fence" "$programs/fence" "$dir"
    begin_run "$name" --every 5 --stable process "$@" --kill 1@step=70 "$stream" 90 60
    check "$name: the job goes on" wait_for 60 says 'step 40$'
    kill -CONT $sleepers
    for sleeper in $sleepers; do [ -n "$how" ] || check "$name: a rank that goes on ends" wait_for 20 gone "$sleeper"; done
    kill -CONT "$first"
    wait "$first"
    [ "$?" != 0 ] && pass "$name: what is left of the first is no success" || fail "$name: the first ended with 0"
    # What the last of them say mpirun, which has seen the first end, does not always pass on.
    [ -n "$how" ] || check "$name: a rank says why" says 'rank [0-3] of incarnation 0 was replaced while it was stopped' "$first_log"
    finish
    check "$name: the later recovery has happened" restarts 1
    ended_well
}

round=1
while [ "$round" -le "$rounds" ]; do
    for how in "" deaf; do
        variables=
        left_behind "coordinated-$how$round" "$round" "$how"
        variables="BELAY_CHECKPOINT=independent BELAY_LOGGING=pessimistic"
        left_behind "logged-$how$round" "$round" "$how" $logged
    done
    round=$((round + 1))
done

if ! grep -q '^#define BL_HAVE_ULFM 1' "$build/config.h"; then
    run without --spares 1 --suspect 2s --stable process "$stream" 10 0
    check "without ULFM suspect falls to relaunch as spares do" ended 0
    run alone --suspect 2s "$stream" 10 0
    check "suspect without spares is refused" says 'suspect is for a recovery in the job'
    summary
fi

# in_the_job NAME ROUND HOW OPTION...: its place is taken twice.
in_the_job() {
    name=$1 round=$2 how=$3
    shift 3
    # shellcheck disable=SC2086  # words
    begin_run "$name" --spares 3 --suspect 2s --every 5 --stable process --kill 2@step=70 "$@" "$stream" 90 60 $how
    check "$name: the job runs" wait_for 60 says 'step 12$'
    moment "$round"
    sleeper=$(process_of 2)
    kill -STOP "$sleeper"
    check "$name: it is replaced" wait_for 30 back 1
    check "$name: it does not go on: who has its place has ended it" wait_for 20 gone "$sleeper"
    finish
    check "$name: both recoveries were in the job" back 2
    check "$name: nothing was started again" restarts 0
    ended_well
}

round=1
while [ "$round" -le "$rounds" ]; do
    for how in "" deaf; do
        in_the_job "global-$how$round" "$round" "$how"
        in_the_job "local-$how$round" "$round" "$how" $logged
    done
    round=$((round + 1))
done

# Nobody hears from a rank that computes, so it has to be allowed to be silent for longer; by default nobody is suspected.
begin_run unsuspected --spares 1 --every 5 --stable process "$stream" 90 10
check "unsuspected: the job runs" wait_for 60 says 'step 12$'
sleeper=$(process_of 2)
kill -STOP "$sleeper"
sleep 4
kill -CONT "$sleeper"
finish
check "unsuspected: a rank that was only slow goes on" ended 0
check "unsuspected: same result" same_result
check "unsuspected: nobody was replaced" not back 1
summary
