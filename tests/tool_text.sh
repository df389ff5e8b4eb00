#!/bin/sh
# What the tool prints about ready-made jobs, compared with tests/golden/tool-*.txt.  What changes from run to run is
# masked: job id and digests, ages, time of the start, sizes of HDF5 files, the directory.  BELAY_GOLDEN_UPDATE=1 rewrites the files.
set -u
top=${srcdir:-.}
TZ=UTC
export TZ
unset BELAY_DIR BELAY_SETTINGS
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
failed=0

mask() {
    sed -E -e "s|$work|DIR|g" -e 's/Job [0-9a-f]{16}/Job JOB/' -e 's/"job": "[0-9a-f]{16}"/"job": "JOB"/' \
        -e 's/started [-0-9]+ [0-9:]+ \(.* ago\)/started TIME/' -e 's/[0-9]+ d( [0-9]+ h)? ago/AGE/' \
        -e 's/[0-9a-f]{32}/DIGEST/' -e 's/ *[0-9.]+ KiB/ SIZE/g' -e 's/ +size( |$)/ size\1/'
}

# check NAME SCENARIO COMMAND...
check() {
    golden=$top/tests/golden/tool-$1.txt
    [ -d "$work/$2" ] || ./tests/unit/test_tool_make "$work/$2" "$2" || exit 99
    name=$1 scenario=$2
    shift 2
    ./belay "$@" --dir "$work/$scenario" 2>&1 | mask >"$work/out"
    if [ -n "${BELAY_GOLDEN_UPDATE:-}" ]; then
        cp "$work/out" "$golden"
    elif ! diff -u "$golden" "$work/out"; then
        echo "FAIL: belay $* of '$scenario' differs from $golden"
        failed=1
    fi
}

check ls dead ls
check show dead show
check show-rank dead show 1 --rank 1
check show-aborted dead show 3
check verify dead verify
check line dead line
check line-json dead line --json
check line-fail dead line --fail 0,3
check line-silent silent line
check line-finished finished line
check line-stopped stopped line
check line-running elsewhere line
check line-chain chain line
check line-recovered recovered line
check line-after recovered line --incarnation 1
check gc-dry dead gc --dry-run --keep 1
check own-ls domino ls
check own-line domino line
check own-line-json domino line --fail 1 --json
check induced-ls induced ls
check induced-show induced show 1 --rank 1
check induced-verify induced verify
check induced-line induced line --fail all
check induced-line-json induced line --fail all --json
check induced-gc-dry induced gc --dry-run
exit $failed
