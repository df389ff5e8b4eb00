#!/bin/sh
# The pictures and texts of the golden traces G1 to G6, byte for byte: tests/golden/pictures.  BELAY_GOLDEN_UPDATE=1 rewrites
# them; then look at them.
set -u
top=${srcdir:-.}
unset BELAY_DIR BELAY_SETTINGS
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
failed=0

same() {
    if [ -n "${BELAY_GOLDEN_UPDATE:-}" ]; then
        cp "$2" "$1"
    elif ! cmp "$1" "$2"; then
        diff "$1" "$2" | head -20
        echo "FAIL: $3 differs from $1"
        failed=1
    fi
}

# check NAME TRACE FAIL
check() {
    golden=$top/tests/golden/pictures/$1
    ./belay line "$top/tests/golden/traces/$2.trace" --fail "$3" --svg "$work/svg" >"$work/txt" 2>&1 ||
        { cat "$work/txt"; echo "FAIL: $2 --fail $3"; failed=1; return; }
    same "$golden.svg" "$work/svg" "the picture of $2 --fail $3"
    same "$golden.txt" "$work/txt" "the text of $2 --fail $3"
    if command -v xmllint >/dev/null; then
        xmllint --noout "$work/svg" || { echo "FAIL: the picture of $2 is not XML"; failed=1; }
    fi
}

check G1-first G1 0
check G1-second G1 1
check G2 G2 all
check G3 G3 all
check G4 G4 all
check G5-first G5 0-1
check G5-last G5 2
check G6 G6 0

# The same lines as PROTOCOLS gives them: start, or the number of the checkpoint, of each rank.
line() {
    name=$1 fail=$2 want=$3
    got=$(./belay line "$top/tests/golden/traces/$name.trace" --fail "$fail" |
        sed -n '/^  ranks/,/^$/p' | sed -E -n 's/^  [0-9]+ +(the start|checkpoint [0-9]+|keeps its memory).*/\1/p' | tr '\n' ',')
    [ "$got" = "$want" ] || { echo "FAIL: $name --fail $fail: $got, not $want"; failed=1; }
}
line G1 0 'the start,the start,'
line G1 1 'keeps its memory,checkpoint 4,'
line G2 all 'the start,checkpoint 1,'
line G3 all 'the start,the start,'
line G4 all 'the start,the start,'
line G5 0 'the start,the start,the start,'
line G5 1 'the start,the start,the start,'
line G5 2 'keeps its memory,keeps its memory,checkpoint 3,'
line G6 0 'checkpoint 4,checkpoint 4,'
exit $failed
