#!/bin/sh
# Exit statuses of the tool, one line of reason on standard error, and what repair and gc do to the directory.
set -u
unset BELAY_DIR BELAY_SETTINGS
build=$PWD
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
    echo "FAIL: $*"
    failed=1
}

# expect STATUS COMMAND...: and when it is not 0 or the command wrote nothing, one line that begins with "belay".
expect() {
    want=$1
    shift
    timeout 60 "$build/belay" "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ $got -eq "$want" ] || fail "belay $*: status $got, not $want: $(cat "$work/err")"
    if [ $got -ne 0 ] && ! [ -s "$work/out" ]; then
        [ "$(wc -l <"$work/err")" -eq 1 ] && grep -q '^belay' "$work/err" ||
            fail "belay $*: not one line of reason: $(cat "$work/err")"
    fi
}

says() {
    grep -q -e "$1" "$work/out" "$work/err" || fail "no '$1' in: $(cat "$work/out" "$work/err")"
}

make() {
    rm -rf "$work/job"
    ./tests/unit/test_tool_make "$work/job" "$1" || exit 99
}

# --- usage ---
expect 0 help
expect 0 --version
says 'belay [0-9]'
expect 2 no-such-command
expect 2 help no-such-command
for command in ls show verify line gc; do
    expect 0 $command --help
    says "^usage: belay $command"
    expect 0 help $command
    says "^usage: belay $command"
    expect 2 $command --no-such-option
    expect 2 $command --dir
    expect 2 $command --dir ''
    expect 2 $command --dir "$work/nowhere"
done
expect 2 ls --rank 1
expect 2 ls word
expect 2 gc --keep 0
expect 2 gc --keep 1x
expect 2 gc --keep 99999999999999999999
expect 2 show --rank -1

# --- the directory: --dir before BELAY_DIR before belay.d ---
make dead
expect 0 ls --dir "$work/job"
BELAY_DIR=$work/job
export BELAY_DIR
expect 0 ls
expect 2 ls --dir "$work/nowhere"
unset BELAY_DIR
cd "$work" || exit 99
expect 2 ls
mv job belay.d
expect 0 ls
mv belay.d job
cd "$build" || exit 99

# --- what is not a job directory ---
mkdir "$work/empty"
echo 'not a job' >"$work/file"
for command in ls show verify line gc; do
    expect 2 $command --dir "$work/empty"
    expect 2 $command --dir "$work/file"
done
for garbage in '' '{' '{"format": 1}' '[1, 2, 3]' 'null'; do
    mkdir -p "$work/garbage"
    printf '%s' "$garbage" >"$work/garbage/job.json"
    for command in ls show verify line gc; do
        expect 1 $command --dir "$work/garbage"
    done
done
rm "$work/garbage/job.json"
mkfifo "$work/garbage/job.json"
expect 1 ls --dir "$work/garbage"

# --- naming ---
expect 2 show 99 --dir "$work/job"
expect 2 show four --dir "$work/job"
expect 2 show 4 --rank 4 --dir "$work/job"
expect 0 show 4 --rank 3 --dir "$work/job"
expect 2 verify 99 --dir "$work/job"
expect 0 verify 4 --dir "$work/job"
expect 0 verify all --dir "$work/job"
for ranks in '' , 4 0, 1-0 0-4 x 0-3x 1,,2 -1; do
    expect 2 line --fail "$ranks" --dir "$work/job"
done
expect 0 line --fail 0,2-3 --dir "$work/job"
expect 0 line --fail all --dir "$work/job"
expect 2 line --incarnation 1 --dir "$work/job"

# --- output that cannot be written ---
if [ -w /dev/full ]; then
    ./belay ls --dir "$work/job" >/dev/full 2>"$work/err"
    [ $? -eq 1 ] || fail "a full device is not noticed"
fi

# --- JSON is JSON ---
if command -v python3 >/dev/null; then
    for command in ls show verify line 'gc --dry-run'; do
        expect 0 $command --json --dir "$work/job"
        python3 -m json.tool <"$work/out" >/dev/null || fail "belay $command --json is not JSON"
    done
fi

# --- mirrored records ---
rm "$work/job/commit/000004.b"
expect 1 verify --dir "$work/job"
says 'checkpoint 4: one copy'
says 'A restart begins at checkpoint 4'
expect 0 verify --repair --dir "$work/job"
cmp "$work/job/commit/000004.a" "$work/job/commit/000004.b" || fail 'the copies differ after --repair'
echo x >"$work/job/commit/000004.a"
expect 0 verify --repair --dir "$work/job"
expect 0 verify --dir "$work/job"
echo x >"$work/job/commit/000004.a"
echo x >"$work/job/commit/000004.b"
expect 1 verify --repair --dir "$work/job"
says 'A restart begins at checkpoint 1'
expect 0 line --dir "$work/job"
says 'checkpoint 4 is left out'

# --- damaged data ---
make dead
size=$(wc -c <"$work/job/rank-00002/ckpt-000004.h5")
truncate -s $((size / 2)) "$work/job/rank-00002/ckpt-000004.h5"
expect 1 verify --dir "$work/job"
says 'checkpoint 4, rank 2'
says 'A restart begins at checkpoint 1'
expect 1 verify 4 --dir "$work/job"
expect 0 verify 1 --dir "$work/job"
expect 1 show 4 --rank 2 --dir "$work/job"
expect 0 line --dir "$work/job"
rm "$work"/job/rank-0000?/ckpt-*.h5
expect 1 verify --dir "$work/job"
says 'A restart begins from the start'
expect 0 line --dir "$work/job"
says 'There is no checkpoint yet'

# --- gc ---
make dead
mkdir -p "$work/job/quarantine"
echo bad >"$work/job/quarantine/rank-00000-ckpt-000002.h5"
echo torn >"$work/job/rank-00001/ckpt-000005.h5.tmp-0000"
listing() { (cd "$work/job" && find . -type f | sort); }
listing >"$work/before"
expect 0 gc --dry-run --keep 1 --dir "$work/job"
listing | cmp - "$work/before" || fail 'gc --dry-run removed something'
expect 0 gc --dir "$work/job"
says '1 temporary file'
[ -e "$work/job/commit/000001.a" ] || fail 'gc removed one of the two newest checkpoints'
[ -e "$work/job/rank-00000/ckpt-000003.h5" ] && fail 'gc kept a snapshot of an aborted checkpoint'
[ -e "$work/job/rank-00001/ckpt-000005.h5.tmp-0000" ] && fail 'gc kept a temporary file'
[ -e "$work/job/quarantine/rank-00000-ckpt-000002.h5" ] || fail 'gc removed the quarantine unasked'
expect 0 verify --dir "$work/job"
expect 0 gc --keep 1 --quarantine --dir "$work/job"
[ -e "$work/job/commit/000001.a" ] && fail 'gc --keep 1 kept two'
[ -e "$work/job/rank-00000/ckpt-000001.h5" ] && fail 'gc left snapshots of a checkpoint it removed'
[ -e "$work/job/quarantine/rank-00000-ckpt-000002.h5" ] && fail 'gc --quarantine left the quarantine'
[ -e "$work/job/rank-00000/live-0000" ] || fail 'gc removed the live tables of the newest incarnation'
expect 0 verify --dir "$work/job"
says 'A restart begins at checkpoint 4'
expect 0 gc --keep 1 --dir "$work/job"
says 'Freed 0 B'

# A damaged newest checkpoint does not count as one to keep: the good ones stay.
make dead
truncate -s 100 "$work/job/rank-00002/ckpt-000004.h5"
expect 0 gc --keep 1 --dir "$work/job"
[ -e "$work/job/commit/000001.a" ] || fail 'gc removed the only good checkpoint'

make running
listing >"$work/before"
expect 1 gc --keep 1 --dir "$work/job"
says 'is running'
listing | cmp - "$work/before" || fail 'gc removed something of a running job'
make elsewhere
expect 1 gc --keep 1 --dir "$work/job"
says 'host node7'
expect 0 gc --keep 1 --force --dir "$work/job"
exit $failed
