#!/bin/sh
# Every file of a job directory, damaged in several ways: the tool answers with an exit status, never with a signal, and
# verify notices every damage of a record or a snapshot that counts.
set -u
unset BELAY_DIR BELAY_SETTINGS
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
failed=0

./tests/unit/test_tool_make "$work/good" dead || exit 99

# flip FILE OFFSET: inverts one byte
flip() {
    old=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "$(printf '\\%03o' $((255 - old)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

look() {
    for command in verify line ls 'show 4 --rank 2'; do
        timeout 60 ./belay $command --dir "$work/job" >"$work/out" 2>&1
        status=$?
        if [ $status -gt 2 ]; then
            echo "FAIL: $1: belay $command ended with status $status"
            cat "$work/out"
            failed=1
        fi
        [ "$command" = verify ] && verified=$status
    done
}

damage() {
    file=$1 how=$2
    cp "$work/good/$file" "$work/job/$file"
    size=$(wc -c <"$work/job/$file")
    case $how in
    empty) : >"$work/job/$file" ;;
    half) truncate -s $((size / 2)) "$work/job/$file" ;;
    longer) echo garbage >>"$work/job/$file" ;;
    zeros) dd if=/dev/zero of="$work/job/$file" bs="$size" count=1 conv=notrunc status=none ;;
    first) flip "$work/job/$file" 0 ;;
    middle) flip "$work/job/$file" $((size / 2)) ;;
    last) flip "$work/job/$file" $((size - 1)) ;;
    gone) rm "$work/job/$file" ;;
    folder) rm "$work/job/$file" && mkdir "$work/job/$file" ;;
    loop) ln -sf "$(basename "$file")" "$work/job/$file" ;;
    esac
    look "$how of $file"
    # The middle of a snapshot may be a gap of the file format; every byte of a record counts.
    case $how:$file in
    middle:*.h5 | last:*.h5 | longer:*.h5) ;;
    *:commit/* | *:*ckpt-000004.h5)
        if [ $verified -ne 1 ]; then
            echo "FAIL: $how of $file: verify ended with $verified"
            failed=1
        fi ;;
    esac
    rm -rf "${work:?}/job/$file"
    cp "$work/good/$file" "$work/job/$file"
}

cp -r "$work/good" "$work/job"
look 'nothing'
[ $verified -eq 0 ] || { echo 'FAIL: the good job does not verify'; failed=1; }
for file in job.json incarnation commit/000004.a commit/000004.b rank-00002/ckpt-000004.h5 rank-00002/live-0000; do
    for how in empty half longer zeros first middle last gone folder loop; do
        damage $file $how
    done
done
exit $failed
