#!/bin/sh
# Files of the program's own: after a restart they are what they were at the checkpoint, so that what is appended stands there once.
. "${0%/*}/../mpi/lib.sh"
ownfile=$programs/ownfile
mkdir "$scratch/nodes"

# What rank 2 has to have written.
lines() { awk -v rank="$1" 'BEGIN { for (step = 0; step < 30; step++) printf "rank %d step %d %*s\n", rank, step, 10 * step + rank, "" }' >"$scratch/expected"; }
complete() {
    for rank in 0 1 2 3; do
        lines $rank
        cmp -s "$work/lines-$rank" "$scratch/expected" || return 1
    done
}
# way NAME OPTION...
way() {
    name=$1
    shift
    rm -f "$work"/lines-*
    run "$name" --every 10 --kill 2@step=25 --kill 0@step=27 "$@" "$ownfile" 30
    check "$name: again and again" test "$(count 'resumed from checkpoint . at safe point [12]0')" -ge 2
    check "$name: each line once" complete
    check "$name: exit status 0" ended 0
    check "$name: nothing is left over" test -z "$(find "$work" -name '*.belay-tmp')"
}
way process --stable process
way power --stable power
way async --stable process --async stage
way fork --stable process --async fork --async-rate 20M
way redundant --stable process --redundancy xor:4 --failure-domain 1 --local-dir "$scratch/nodes/%d" --kill 1@step=28+node
rm -f "$work"/lines-*
run missing --every 10 --stable process "$ownfile" 30 missing
check "missing: belay_checkpoint says so" says "step 10: code -2: file 'lines': cannot read .*lines-0: No such file or directory"
check "missing: the program goes on" ended 0
run induced --every 10 --stable process --checkpoint induced "$ownfile" 30
check "induced: refused with the reason" says 'belay_protect_file("lines"): checkpoint=induced copies the state at every safe point'
check "induced: exit status" not ended 0
summary
