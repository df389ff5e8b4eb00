#!/bin/sh
# What is found damaged at a restart is never used and never lost: the job goes on from the newest checkpoint that is whole
# on every rank, says so, keeps the damaged file in quarantine, and ends with the right result.
. "${0%/*}/../mpi/lib.sh"
set_reference --size 128 --steps 60 --quiet

run made --every 10 --stable process --max-restarts 0 --kill 1@step=37 "$heat2d" --size 128 --steps 60 --quiet
check "a job with two checkpoints is given up" ended 1
check "its checkpoints are 2 and 3" test "$(cd "$scratch/made/rank-00002" && echo ckpt-*)" = 'ckpt-000002.h5 ckpt-000003.h5'

# a copy of that job, to be damaged; and its next start
damaged() {
    dir=$scratch/$1
    cp -R "$scratch/made" "$dir"
}
go_on() { run "${dir##*/}" --every 10 --stable process "$heat2d" --size 128 --steps 60 --quiet; }
cut_short() { size=$(wc -c <"$1") && head -c "$((size / 2))" "$1" >"$scratch/half" && cp "$scratch/half" "$1"; }
flip() { printf '\245' | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null; }

goes_on_from() { # WHAT CHECKPOINT SAFE_POINT
    check "$1: goes on from checkpoint $2" says "^belay: resumed from checkpoint $2 at safe point $3"
    check "$1: right result" same_result
    check "$1: exit status 0" ended 0
}

damaged truncated
cut_short "$dir/rank-00002/ckpt-000003.h5"
go_on
goes_on_from "a truncated snapshot" 2 20
check "a truncated snapshot: named with rank and file" says '^belay: rank 2: checkpoint 3 cannot be used: .*rank-00002/ckpt-000003.h5'
check "a truncated snapshot: told that older state is used" says '^belay: falling back to the checkpoint before 3'
check "a truncated snapshot: kept in quarantine" test -s "$dir/quarantine/rank-00002-ckpt-000003.h5"

for place in 100 20000 33000; do
    damaged "flipped-$place"
    flip "$dir/rank-00000/ckpt-000003.h5" "$place"
    go_on
    goes_on_from "a byte altered at $place" 2 20
    check "a byte altered at $place: told" says '^belay: rank 0: checkpoint 3 cannot be used: '
done

damaged removed
rm "$dir/rank-00001/ckpt-000003.h5"
go_on
goes_on_from "a snapshot that is gone" 2 20

damaged strange
cp "$dir/rank-00003/ckpt-000003.h5" "$dir/rank-00001/ckpt-000003.h5"
go_on
goes_on_from "another rank's snapshot under this one's name" 2 20

damaged both
cut_short "$dir/rank-00002/ckpt-000003.h5"
flip "$dir/rank-00003/ckpt-000002.h5" 20000
go_on
check "both checkpoints damaged: begins at the start" not says 'resumed from checkpoint'
check "both checkpoints damaged: both are told" test "$(count 'cannot be used')" = 2
check "both checkpoints damaged: right result" same_result

damaged one-copy
flip "$dir/commit/000003.a" 80
go_on
goes_on_from "one copy of the commit record altered" 3 30

damaged record
flip "$dir/commit/000003.a" 80
cut_short "$dir/commit/000003.b"
go_on
goes_on_from "both copies of the commit record damaged" 2 20
check "both copies of the commit record damaged: told" says '000003'

damaged newer
"$programs/newer" "$dir/commit/000003.a"
go_on
check "a newer format: refused, not passed over" says 'has format 2, this Belay reads up to 1'
check "a newer format: nothing is restored" not says 'resumed from'
check "a newer format: exit status 1" ended 1
check "a newer format: not tried again" restarts 0
check "a newer format: everything is left as it was" cmp "$dir/rank-00000/ckpt-000003.h5" "$scratch/made/rank-00000/ckpt-000003.h5"

damaged job
flip "$dir/job.json" 30
go_on
check "job.json altered: refused" ended 1
check "job.json altered: named" says 'job.json is damaged'

damaged ranks
job ranks "$belay" run -n 3 --dir "$dir" --every 10 "$heat2d" --size 128 --steps 60 --quiet
check "another number of ranks: refused with both numbers" says 'holds an unfinished job of 4 ranks, this run has 3'
check "another number of ranks: exit status 1" ended 1
go_on
goes_on_from "the right number of ranks afterwards" 3 30

damaged fresh
run fresh --fresh --every 10 --stable process "$heat2d" --size 128 --steps 60 --quiet
check "--fresh: begins at the start" not says 'resumed from'
check "--fresh: right result" same_result
check "--fresh: the unfinished job is kept as .previous" state "$dir.previous" failed
summary
