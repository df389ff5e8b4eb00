#!/bin/sh
# The tool on independent checkpoints: show, verify and gc look at each rank's own files, and line takes any set of ranks.
set -u
unset BELAY_DIR BELAY_SETTINGS
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
    echo "FAIL: $*"
    failed=1
}

# expect STATUS COMMAND...
expect() {
    want=$1
    shift
    timeout 60 ./belay "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ $got -eq "$want" ] || fail "belay $*: status $got, not $want: $(cat "$work/err")"
}

says() {
    grep -q -e "$1" "$work/out" "$work/err" || fail "no '$1' in: $(cat "$work/out" "$work/err")"
}

for name in domino quiet induced; do
    ./tests/unit/test_tool_make "$work/$name" $name || exit 99
done
listing() { (cd "$work/$1" && find . -type f | sort); }

# --- any set of ranks ---
expect 0 line "$work/domino"
says 'Full domino effect: the job is back at the start'
says 'checkpoint=coordinated'
expect 0 line "$work/domino" --fail 1
says 'keeps its memory'
expect 0 line "$work/domino" --fail node:node8
says 'rank 1 goes back to checkpoint 4: it failed'
expect 2 line "$work/domino" --fail node:node9
says 'no rank ran there'
expect 2 line "$work/domino" --fail node:
expect 2 line "$work/domino" --dir "$work/domino"
expect 2 line "$work/nowhere"
expect 2 line "$work/domino" --fail 2

# --- a trace file tells what the job directory tells ---
./tests/unit/test_tool_make "$work/domino.h5" trace || exit 99
for fail in 0 1 all node:node8; do
    for source in domino domino.h5; do
        expect 0 line "$work/$source" --fail $fail
        sed -n '/^Recovery line/,/^The same messages/p' "$work/out" >"$work/$source.line"
    done
    cmp "$work/domino.line" "$work/domino.h5.line" || { diff "$work/domino.line" "$work/domino.h5.line"; fail "the trace file differs, --fail $fail"; }
done
expect 0 line "$work/domino.h5"
says 'rank 0 failed at safe point 48'
size=$(wc -c <"$work/domino.h5")
for at in 0 $((size / 4)) $((size / 2)) $((size - 40)); do
    cp "$work/domino.h5" "$work/bad.h5"
    truncate -s $at "$work/bad.h5"
    timeout 60 ./belay line "$work/bad.h5" >"$work/out" 2>&1
    [ $? -gt 0 ] && [ $? -le 2 ] || fail "a trace file of $at bytes is taken"
done

# --- traces that are none ---
echo 'r m' >"$work/no.trace"
expect 2 line "$work/no.trace"
says 'line 1, column 1'
: >"$work/empty.trace"
expect 2 line "$work/empty.trace"
printf 's0>1:m\0c0' >"$work/zero.trace"
expect 2 line "$work/zero.trace"
printf '\211HDF\r\n\032\nnot really' >"$work/torn.h5"
expect 1 line "$work/torn.h5"
mkfifo "$work/pipe"
expect 2 line "$work/pipe"
expect 2 line "$work/no.trace" --incarnation 0
expect 1 line "$work/domino" --svg "$work/nowhere/picture.svg"

# --- show and verify ---
expect 0 show 3 --rank 1 --dir "$work/domino"
says 'Checkpoint 3 of rank 1'
expect 2 show 5 --rank 1 --dir "$work/domino"
expect 0 show --json --dir "$work/domino"
expect 0 verify --dir "$work/domino"
says '8 of 8 checkpoints verified'
expect 0 verify 2 --dir "$work/domino"
says '2 of 2 checkpoints verified'
expect 2 verify 9 --dir "$work/domino"
truncate -s 100 "$work/domino/rank-00001/ckpt-000004.h5"
expect 1 verify --dir "$work/domino"
says 'damaged: rank 1, checkpoint 4'
expect 0 line "$work/domino" --fail 1
says 'checkpoint 4 of rank 1 is left out'

# --- gc: only what is behind the line of all failing ---
listing domino >"$work/before"
expect 0 gc --dir "$work/domino"
listing domino | cmp - "$work/before" || fail 'gc removed what a domino may need'
listing quiet >"$work/before"
expect 0 gc --dry-run --dir "$work/quiet"
says '6 snapshots'
listing quiet | cmp - "$work/before" || fail 'gc --dry-run removed something'
expect 0 line "$work/quiet"
cp "$work/out" "$work/line"
expect 0 gc --dir "$work/quiet"
[ "$(listing quiet | grep -c ckpt)" -eq 2 ] || fail 'gc did not leave one checkpoint a rank'
expect 0 line "$work/quiet"
sed -n '/^Recovery line/,/^$/p' "$work/line" | cut -c1-50 >"$work/a"
sed -n '/^Recovery line/,/^$/p' "$work/out" | cut -c1-50 >"$work/b"
cmp "$work/a" "$work/b" || fail 'gc moved the line'

# --- induced checkpoints: late files ---
./tests/unit/test_tool_make "$work/induced" record || exit 99
for fail in 0 1 all; do
    expect 0 line "$work/induced" --fail $fail
    sed -n '/^Recovery line/,/^The same messages/p' "$work/out" | sed 's/ (belay gc removes those)//' >"$work/live.line"
    expect 0 line "$work/induced/trace-0000.h5" --fail $fail
    sed -n '/^Recovery line/,/^The same messages/p' "$work/out" >"$work/trace.line"
    cmp "$work/live.line" "$work/trace.line" || { diff "$work/live.line" "$work/trace.line"; fail "the trace of induced checkpoints differs, --fail $fail"; }
done
rm "$work/induced/trace-0000.h5"
expect 0 line "$work/induced" --fail all
says '2 messages from rank 0 to rank 1 are in transit across the line; their contents are kept and sent again'
late=$work/induced/rank-00001/late-000002
cp "$late" "$work/late"
truncate -s -3 "$late" # torn off: the second of its messages was never delivered
expect 0 verify --dir "$work/induced"
says '2 late files verified, 3 messages'
expect 0 line "$work/induced" --fail all
says 'rank 0 must go back to checkpoint 1'
cp "$work/late" "$late"
printf X | dd of="$late" bs=1 seek=130 conv=notrunc 2>/dev/null
expect 1 verify --dir "$work/induced"
says 'damaged: rank 1, late file 2, after'
expect 1 verify --json --dir "$work/induced"
expect 0 line "$work/induced" --fail all
says 'late file 2 of rank 1 is damaged'
cp "$work/late" "$work/induced/rank-00000/late-000002"
expect 1 verify --dir "$work/induced"
says 'was written as the late file of rank 1'
expect 1 line "$work/induced"
rm "$work/induced/rank-00000/late-000002"
cp "$work/late" "$late"
listing induced >"$work/before"
expect 0 gc --dry-run --dir "$work/induced"
says '2 snapshots.*1 late file'
listing induced | cmp - "$work/before" || fail 'gc --dry-run removed something of induced'
expect 0 gc --dir "$work/induced"
[ "$(listing induced | grep -c late)" -eq 1 ] && [ -f "$late" ] || fail 'gc did not leave the late file of the line'
expect 0 line "$work/induced" --fail all
says '2 messages from rank 0 to rank 1 are in transit'

# --- what a figure is drawn from ---
if command -v python3 >/dev/null; then
    for command in ls show verify 'gc --dry-run' line; do
        for name in quiet induced; do
            expect 0 $command --json --dir "$work/$name"
            python3 -m json.tool <"$work/out" >/dev/null || fail "belay $command --json is not JSON"
        done
    done
fi
exit $failed
