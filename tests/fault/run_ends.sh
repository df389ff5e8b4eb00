#!/bin/sh
# How `belay run` ends when the program does: its status, giving up with the reason, refusals, and nothing left behind.
. "${0%/*}/../mpi/lib.sh"
ends=$programs/ends

run plain --every 5 --stable process "$ends" 12 0
check "a program that succeeds: exit status 0" ended 0
reference=$(result_of "$log")

run status --every 5 --stable process "$ends" 12 0 status 0
check "a status after MPI_Finalize is the program's: handed on" ended 3
check "a status after MPI_Finalize: not started again" restarts 0
check "a status after MPI_Finalize: the job is finished" state "$scratch/status" finished

run again --every 5 --stable process "$ends" 12 0
run again --every 5 --stable process --kill 1@step=7 "$ends" 12 0
check "a finished job: the next start is a new one" says 'starting .* with 4 ranks'
check "a finished job: it is kept as .previous" state "$scratch/again.previous" finished
check "a finished job: same result" same_result

for way in abort leave crash; do
    run "$way" --every 5 --stable process "$ends" 12 0 "$way" 7
    check "$way at the same place again and again: gives up" says '^belay: giving up: 3 times in a row'
    check "$way: after two restarts" restarts 2
    check "$way: exit status 1" ended 1
    check "$way: the state is failed" state "$scratch/$way" failed
    check "$way: nobody is left behind" nobody_left
done
check "abort: the reason is told" says 'rank 1 called MPI_Abort(5) after safe point 7' "$scratch/abort.log"
check "leave: the reason is told" says 'rank 1 left without MPI_Finalize after safe point 7' "$scratch/leave.log"
check "crash: the reason is told" says 'rank 1 died without a word .* after safe point 7' "$scratch/crash.log"
run crash --every 5 --stable process "$ends" 12 0
check "a job that was given up: the same command goes on from its checkpoint" says 'resumed from checkpoint 1 at safe point 5'
check "a job that was given up: right result in the end" same_result

run limit --every 5 --stable process --max-restarts 1 --kill 1@step=6,1@step=7 "$ends" 12 0
check "max-restarts: gives up after so many" says 'giving up: 1 restarts are used up (max-restarts)'
check "max-restarts: exit status 1" ended 1

run missing "$scratch/no such program"
check "no such program: not started again" restarts 0
check "no such program: not a success" not ended 0
check "no such program: says so" says 'no rank reached MPI_Init'

run none --mpirun "$scratch/no such mpirun" "$ends" 1 0
check "no such mpirun: named, exit status 1" says 'no such mpirun'
check "no such mpirun: exit status 1" ended 1

run ring "$build/examples/ring" 20
check "a program without Belay: told so" says 'ended without Belay: it is not linked with -lbelay (use --preload)'
run preload --preload "$build/examples/ring" 100
check "--preload: a program without a call of Belay runs" ended 0
reference=$(result_of "$log")
run preload-kill --preload --kill 1@call=90 "$build/examples/ring" 100
check "--preload: started anew after a kill" restarts 1
check "--preload: the wrappers count its calls" says 'was killed by --kill 1@call=90 before its first safe point'
check "--preload: same result" same_result

run json --json --every 5 --stable process --kill 1@step=7 "$ends" 12 0
objects=$(grep '^{' "$log")
check "--json: an event each, in order" test "$(echo "$objects" | sed 's/^{"event":"\([a-z-]*\)".*/\1/' | tr '\n' ' ')" = \
    'start death line relaunch finished '
check "--json: nothing else of Belay's on standard error" not says '^belay:'
if command -v python3 >/dev/null; then
    check "--json: every line is one JSON object" python3 -c 'import json, sys
for line in sys.argv[1].splitlines(): assert isinstance(json.loads(line)["time"], float)' "$objects"
fi

begin_run twice --every 5 --stable process "$ends" 12 100
wait_for 30 test -e "$scratch/twice/supervisor"
job second "$belay" run -n 4 --dir "$scratch/twice" "$ends" 12 0
check "a second belay run in the directory, ranks or not: refused" says 'another `belay run` is running the job'
check "a second belay run in the directory: exit status 1" ended 1
log=$scratch/twice.log
finish
check "a second belay run in the directory: the first is not disturbed" ended 0

# A shell that has a child of its own and then becomes belay run by exec.
job exec sh -c 'sleep 60 & echo $! >"$1/other"; shift; exec "$@"' sh "$scratch" \
    "$belay" run -n 4 --dir "$scratch/exec" --stable process --kill 1@step=3 "$ends" 6 0
other=$(cat "$scratch/other")
check "a process that is none of the job's: left alone" kill -0 "$other"
kill "$other" 2>/dev/null

mkdir "$scratch/locked"
chmod 500 "$scratch/locked"
[ "$(id -u)" = 0 ] || job locked "$belay" run -n 4 --dir "$scratch/locked/job" "$ends" 1 0
[ "$(id -u)" != 0 ] || job locked "$belay" run -n 4 --dir /proc/job "$ends" 1 0
chmod 700 "$scratch/locked"
check "a directory that cannot be made: exit status 1" ended 1
check "a directory that cannot be made: one line that names it" test "$(grep -c '^belay: .*/job' "$log")" = 1
echo precious >"$scratch/a-file"
job onfile "$belay" run -n 4 --dir "$scratch/a-file" "$ends" 1 0
check "a file where the directory should be: refused" ended 1
mkdir "$scratch/full"
echo precious >"$scratch/full/data"
job full "$belay" run -n 4 --dir "$scratch/full" "$ends" 1 0
check "a directory with something else in it: refused" says 'is not empty and holds no job'
check "a directory with something else in it: untouched" says precious "$scratch/full/data"

for options in '-n 0' '-n' '-n 4 --every soon' '-n 4 --kill 9@step=1' '-n 4 --nonsense 1' '-n 4 --logging causal' '-n 4 --checkpoint induced --piggyback header'; do
    job usage "$belay" run $options "$ends" 1 0
    check "belay run $options: exit status 2" ended 2
    check "belay run $options: one line" test "$(grep -c '' "$log")" = 1
done
check "nobody is left behind" nobody_left
summary
