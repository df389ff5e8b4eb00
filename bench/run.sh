#!/bin/sh
# run.sh WHICH BENCHMARK... - runs those of the benchmarks (programs, and scripts *.sh) that WHICH names: `all`, the part
# of the project they measure (line, store, mpi ...), or one (heat2d).  Ends with all their figures, and fails when one
# is short of its limit or a benchmark did not come to its end.
set -eu
which=$1
shift
results=$(mktemp "${TMPDIR:-/tmp}/belay-figures.XXXXXX")
output=$results.out
trap 'rm -f "$results" "$output"' EXIT
trap 'exit 130' HUP INT TERM

chosen() {
    name=${1##*/}
    name=${name%.sh}
    case $which in
        storage) case $name in store_* | mpi_redundancy | mpi_async | mpi_restart) return 0 ;; *) return 1 ;; esac ;;
        all | "$name" | "${name%%_*}" | "${name#*_}") return 0 ;;
        *) return 1 ;;
    esac
}

run() {
    case $1 in
        *.sh) sh "$1" ;;
        *) "$1" ;;
    esac
}

# A benchmark may say by its exit status that a figure is short; one without such a figure has failed.
one() {
    echo "== $name"
    status=0
    { run "$1" || echo "exit $?" >"$results.status"; } 2>&1 | tee "$output"
    if [ -f "$results.status" ]; then
        status=$(cat "$results.status")
        rm -f "$results.status"
    fi
    grep '^figure ' "$output" >>"$results" || :
    if [ "$status" != 0 ] && ! grep -q '^figure .* SHORT$' "$output"; then
        echo "FAILED $name ($status)" >>"$results"
    fi
}

ran=0
for benchmark; do
    chosen "$benchmark" || continue
    one "$benchmark"
    ran=$((ran + 1))
done
[ "$ran" -gt 0 ] || { echo "bench: there is no benchmark '$which'" >&2; exit 2; }

echo "== figures"
cat "$results"
if grep -q -e ' SHORT$' -e '^FAILED ' "$results"; then exit 1; fi
