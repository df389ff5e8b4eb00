#!/bin/sh
# Stopped from outside - by a request, twice, with belay run itself killed - a job keeps its checkpoint, goes on from it,
# and leaves no process behind; a plain mpirun does the same without belay run; two starts never share a directory.
. "${0%/*}/../mpi/lib.sh"
ends=$programs/ends
every="--every 5 --stable process"

run reference $every "$ends" 40 0
reference=$(result_of "$log")

for signal in USR1 TERM INT; do
    begin_run "$signal" $every "$ends" 40 20
    check "SIG$signal: the job runs" wait_for 60 says '^step 12$'
    kill -s "$signal" "$begun"
    finish
    check "SIG$signal: says that it waits for a checkpoint" says 'asked to stop'
    check "SIG$signal: exit status 75" ended 75
    check "SIG$signal: the state is stopped" state "$scratch/$signal" stopped
    check "SIG$signal: it did not run to its end" not says '^result'
    check "SIG$signal: nobody is left behind" nobody_left
    run "$signal" $every "$ends" 40 0
    check "SIG$signal: the second start goes on from there" says 'continuing .*ends with 4 ranks'
    check "SIG$signal: it does not begin again" not says '^step 11$'
    check "SIG$signal: same result" same_result
    check "SIG$signal: exit status 0" ended 0
done

begin_run twice $every "$ends" 8 600000 # a step of ten minutes: no safe point comes
check "SIGTERM twice: the job runs" wait_for 60 says '^step 0$'
kill -TERM "$begun"
check "SIGTERM twice: asked once it waits" wait_for 10 says 'asked to stop'
kill -TERM "$begun"
finish
check "SIGTERM twice: ended at once" ended 143
check "SIGTERM twice: nobody is left behind" nobody_left

begin_run grace $every --grace 1s "$ends" 8 600000
check "no safe point in the grace: the job runs" wait_for 60 says '^step 0$'
kill -USR1 "$begun"
finish
check "no safe point in the grace: ended without a checkpoint" says 'no checkpoint within the grace'
check "no safe point in the grace: exit status 128 + SIGUSR1" ended 138
check "no safe point in the grace: nobody is left behind" nobody_left

begin_run early $every "$ends" 40 20
check "a request before MPI_Init: belay run has begun" wait_for 60 says '^belay: starting'
kill -TERM "$begun"
finish
check "a request before MPI_Init: is not forgotten" ended 75
check "a request before MPI_Init: nobody is left behind" nobody_left
run early $every "$ends" 40 0
check "a request before MPI_Init: same result afterwards" same_result

begin_run orphan $every "$ends" 40 50
check "belay run killed: the job runs" wait_for 60 says '^step 7$'
kill -9 "$begun"
wait "$begun" 2>/dev/null
check "belay run killed: mpirun and the ranks end" wait_for 30 nobody_left
run orphan $every "$ends" 40 0
check "belay run killed: the next start goes on" says 'resumed from checkpoint'
check "belay run killed: same result" same_result

begin_run shared $every "$ends" 40 250
first=$begun first_log=$log
check "two jobs in one directory: the first runs" wait_for 60 says '^step 6$'
job second "$belay" run -n 4 --dir "$scratch/shared" $every "$ends" 40 0
check "two jobs in one directory: the second belay run is refused" ended 1
check "two jobs in one directory: with its reason" says 'another `belay run` is running the job'
BELAY_DIR=$scratch/shared
export BELAY_DIR
mpirun4 third "$ends" 40 0
check "two jobs in one directory: a plain mpirun is refused" says 'belongs to a job that is running'
begun=$first log=$first_log
finish
check "two jobs in one directory: the first is not disturbed" ended 0
check "two jobs in one directory: the first has the right result" same_result
check "two jobs in one directory: nobody is left behind" nobody_left

BELAY_DIR=$scratch/plain BELAY_EVERY=5 BELAY_STABLE=process BELAY_KILL=2@step=23
export BELAY_EVERY BELAY_STABLE BELAY_KILL
mpirun4 plain "$ends" 40 0
check "plain mpirun: makes checkpoints" says 'checkpoint 4 at safe point 20'
check "plain mpirun: dies with its rank" not ended 0
BELAY_KILL=
mpirun4 plain "$ends" 40 0
check "plain mpirun: the second one goes on" says 'resumed from checkpoint 4 at safe point 20'
check "plain mpirun: same result" same_result
check "plain mpirun: the job is finished" state "$scratch/plain" finished

# A rank sleeps while the job is started again; when it wakes up it belongs to the past.
BELAY_DIR=$scratch/stale
begin stale mpirun --oversubscribe -n 4 "$ends" 40 50
check "a stale rank: the job runs" wait_for 60 says '^step 12$'
sleeper=$(sed -n 's/^rank 1 is process //p' "$log")
kill -STOP "$sleeper"
job fence "$programs/fence" "$scratch/stale"
check "a stale rank: the next incarnation begins" says 'incarnation 1'
before=$(cd "$scratch/stale" && ls commit rank-*)
kill -CONT "$sleeper"
log=$scratch/stale.log
finish
check "a stale rank: ends itself with its reason" says 'belongs to incarnation 0 .*but incarnation 1 has begun: nothing was written'
check "a stale rank: has written nothing" test "$(cd "$scratch/stale" && ls commit rank-*)" = "$before"
check "a stale rank: is not a success" not ended 0
check "a stale rank: nobody is left behind" wait_for 30 nobody_left
summary
