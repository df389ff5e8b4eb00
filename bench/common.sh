# common.sh - what the scripts of mpi_*.sh share; they source it.  BENCH_BUILD names the build directory.
# BENCH_PAIRS sets how many pairs an A/B comparison makes; TMPDIR where job directories lie; MPIRUN which mpirun.
set -eu
LC_ALL=C
OMPI_ALLOW_RUN_AS_ROOT=1
OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export LC_ALL OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM

# A setting left over in the caller's environment must not decide a figure.
for name in $(env | sed -n 's/^\(BELAY_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done

programs=${BENCH_BUILD:-.}/bench
scratch=$(mktemp -d "${TMPDIR:-/tmp}/belay-bench.XXXXXX")
BELAY_DIR=$scratch/belay.d
BELAY_VERBOSE=0
export BELAY_DIR BELAY_VERBOSE
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' HUP INT TERM

give_up() {
    echo "${0##*/}: $*" >&2
    [ ! -s "$scratch/log" ] || cat "$scratch/log" >&2
    exit 2
}

# launch RANKS PROGRAM [ARGUMENT...]: its standard output goes to $scratch/out, everything else to $scratch/log.
launch() {
    ranks=$1
    program=$2
    shift 2
    timeout 300 "${MPIRUN:-mpirun}" -n "$ranks" "$programs/$program" "$@" >"$scratch/out" 2>"$scratch/log"
}

# fresh ...: the same with a new job directory, and the program has to succeed.
fresh() {
    rm -rf "$BELAY_DIR"
    launch "$@" || give_up "$* failed"
}

# field WORD: the number that follows WORD on a line of $scratch/out.
field() {
    awk -v word="$1" '{ for (i = 1; i < NF; i++) if ($i == word) { print $(i + 1); exit } }' "$scratch/out"
}

# alternate FIRST SECOND PAIRS: calls the two functions in turn, which of them first by chance, each in its own shell
# function that prints one number; a line "first second" for each pair.
alternate() {
    pair=0
    while [ "$pair" -lt "$3" ]; do
        if [ "$(($(od -An -N1 -tu1 /dev/urandom) % 2))" -eq 0 ]; then
            a=$("$1") && b=$("$2")
        else
            b=$("$2") && a=$("$1")
        fi || exit 2
        echo "$a $b"
        pair=$((pair + 1))
    done
}

# median: of the numbers on standard input.
median() {
    sort -g | awk '{ v[NR] = $1 } END { if (NR) printf "%.9g\n", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# spread: the 95 % confidence interval of the median of the numbers on standard input, from the order statistics.
spread() {
    sort -g | awk '{ v[NR] = $1 } END { k = int((NR - 1.96 * sqrt(NR)) / 2); if (k < 0) k = 0; printf "%.4f to %.4f\n", v[k + 1], v[NR - k] }'
}

# ratio_of FILE: the median of first / second over the pairs in FILE; sets ratio and says it with its uncertainty.
ratio_of() {
    awk '{ print $1 / $2 }' "$1" >"$scratch/ratios"
    ratio=$(median <"$scratch/ratios")
    awk -v a="$(awk '{ print $1 }' "$1" | median)" -v b="$(awk '{ print $2 }' "$1" | median)" -v r="$ratio" -v n="$(wc -l <"$1")" \
        -v s="$(spread <"$scratch/ratios")" 'BEGIN { printf "    medians %.4g and %.4g; ratio %.4f, 95 %% of the median of %d pairs %s\n", a, b, r, n, s }'
}

figure() {
    awk -v name="$1" -v value="$2" -v limit="$3" \
        'BEGIN { printf "figure %s %.4f limit %s %s\n", name, value, limit, value <= limit ? "ok" : "SHORT" }'
}
