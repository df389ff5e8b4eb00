#!/bin/sh
# `belay line` on a trace file too large to keep whole: the line and the domino are exact, the text and the page stay short.
set -u
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
unset BELAY_DIR BELAY_SETTINGS
failed=0

fail() {
    echo "FAIL: $*"
    failed=1
}

says() {
    grep -q -- "$1" "$work/text" || fail "it does not say '$1'"
}

./bench/line_stream --ranks 4200 write "$work/large.h5" || fail 'the trace cannot be made'
./belay line "$work/large.h5" --html "$work/large.html" >"$work/text" || fail "belay line: $?"
says 'ranks  *restart at'
says '^  0-4199  *the start '
says 'one of every 2 dependencies'
says '^Full domino effect: .* all 420,000 checkpoints'
[ "$(wc -l <"$work/text")" -le 60 ] || fail "the text has $(wc -l <"$work/text") lines"
[ "$(wc -c <"$work/large.html")" -le 16000000 ] || fail "the page has $(wc -c <"$work/large.html") bytes"

# A byte that changed on disk is found, wherever the table of 4 million rows has it.
size=$(wc -c <"$work/large.h5")
printf '\377\377\377' | dd of="$work/large.h5" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
./belay line "$work/large.h5" >/dev/null 2>"$work/text" && fail 'a damaged trace was read'
says 'damaged'
exit $failed
