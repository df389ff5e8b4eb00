# lib.sh - what the scripts that start MPI jobs share.  Sourced, not run.
#
# Automake runs a test in the top of the build tree; by hand: abs_top_builddir=/path/to/build tests/mpi/NAME.sh
# Everything happens in a scratch directory whose name has a space in it; KEEP=1 keeps it.

build=${abs_top_builddir:-$(pwd)}
belay=$build/belay
heat2d=$build/examples/heat2d
programs=$build/tests/mpi
passed=0
failed=0
status=0
log=/dev/null
limit=120           # seconds any one job may take: a hang is a failure, not a wait

if [ ! -x "$belay" ] || [ ! -x "$heat2d" ]; then
    echo "no ./belay in $build: run this in the top of the build tree, or set abs_top_builddir" >&2
    exit 99
fi
for variable in $(env | sed -n 's/^\(BELAY_[A-Z_]*\)=.*/\1/p'); do unset "$variable"; done
if [ "$(id -u)" = 0 ]; then
    OMPI_ALLOW_RUN_AS_ROOT=1
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM
fi
scratch=$(mktemp -d "${TMPDIR:-/tmp}/belay test.XXXXXX") || exit 99
work=$scratch/work  # every job's current directory: that is how its processes are recognised
mkdir "$work"

# Processes of our jobs that are alive, one a line.
job_processes() {
    for process in /proc/[0-9]*; do
        case $(readlink "$process/cwd" 2>/dev/null) in
        "$work" | "$work"/*)
            grep -q '^State:[[:space:]]*Z' "$process/status" 2>/dev/null || echo "${process#/proc/}" ;;
        esac
    done
}

clean_up() {
    for process in $(job_processes); do kill -9 "$process" 2>/dev/null; done
    [ -n "$KEEP" ] && echo "kept: $scratch" || rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 99' HUP INT TERM

pass() { passed=$((passed + 1)); echo "ok: $*"; }
fail() {
    failed=$((failed + 1))
    echo "FAILED: $*"
    [ -s "$log" ] && sed 's/^/    | /' "$log"
}

# check WHAT COMMAND...: WHAT is protected as long as COMMAND succeeds.
check() {
    what=$1
    shift
    if "$@"; then pass "$what"; else fail "$what ($*)"; fi
}
not() { if "$@"; then return 1; fi; }
says() { grep -q -e "$1" "${2:-$log}"; }             # a line of the log matches
count() { grep -c -e "$1" "${2:-$log}"; }            # how many lines do
ended() { [ "$status" = "$1" ]; }
result_of() { sed -n 's/.*\(result [0-9a-f]*\)$/\1/p' "$1" | tail -n 1; }
same_result() { [ -n "$reference" ] && [ "$(result_of "$log")" = "$reference" ]; }
restarts() { [ "$(count 'relaunching (restart')" = "$1" ]; }
incarnation() { grep -q "\"incarnation\": $2[,}]" "$1/job.json"; }
state() { grep -q "\"state\": \"$2\"" "$1/job.json"; }
empty() { [ -d "$1" ] && [ -z "$(ls -A "$1")" ]; }
nobody_left() { [ -z "$(job_processes)" ]; }

# wait_for SECONDS COMMAND...: until COMMAND succeeds; fails when it does not within SECONDS.
wait_for() {
    turns=$(($1 * 20))
    shift
    while ! "$@"; do
        turns=$((turns - 1))
        [ $turns -gt 0 ] || return 1
        sleep 0.05
    done
}

# job NAME COMMAND...: runs it with a limit; output to $log, exit status to $status.
job() {
    log=$scratch/$1.log
    shift
    (cd "$work" && exec timeout -k 5 "$limit" "$@") >"$log" 2>&1
    status=$?
}

# run NAME OPTION... PROGRAM...: `belay run` of 4 ranks in the job directory $scratch/NAME.
run() {
    name=$1
    shift
    job "$name" "$belay" run -n 4 --dir "$scratch/$name" "$@"
}

# begin NAME COMMAND...: starts it in the background; $begun is its process.  finish waits for it.
begin() {
    log=$scratch/$1.log
    shift
    (cd "$work" && exec "$@") >"$log" 2>&1 &
    begun=$!
}
begin_run() { name=$1; shift; begin "$name" "$belay" run -n 4 --dir "$scratch/$name" "$@"; }
begun_ended() { ! kill -0 "$begun" 2>/dev/null; }
finish() {
    wait_for "$limit" begun_ended || kill -9 "$begun"
    wait "$begun"
    status=$?
}

mpirun4() { name=$1; shift; job "$name" mpirun --oversubscribe -n 4 "$@"; }

# The result of heat2d without Belay's doing anything.
set_reference() {
    BELAY_OFF=1
    export BELAY_OFF
    mpirun4 reference "$heat2d" "$@"
    unset BELAY_OFF
    reference=$(result_of "$log")
    check "heat2d gives a result without Belay" ended 0
}

# survives NAME KILL...: heat2d, killed once at each, gives the $reference of the same size; $how: more options, $stable.
survives() {
    name=$1 kills=0 list=
    shift
    for kill; do
        kills=$((kills + 1))
        list=$list,$kill
    done
    run "$name" $how --every 10 --stable "$stable" --max-restarts 20 --kill "${list#,}" "$heat2d" --size 128 --steps 60 --quiet
    for kill; do check "$name: $kill has happened" says "was killed by --kill $kill"; done
    check "$name: one restart a kill" restarts "$kills"
    check "$name: exit status 0" ended 0
    check "$name: same result" same_result
    check "$name: job is finished" state "$scratch/$name" finished
    check "$name: nothing is in quarantine" empty "$scratch/$name/quarantine"
    check "$name: nobody is left behind" nobody_left
}

summary() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
    exit
}
