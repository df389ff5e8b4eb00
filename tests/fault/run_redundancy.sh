#!/bin/sh
# Snapshots on nodes that are lost: with redundancy what the promise covers comes back, bit for bit, from the other nodes; beyond it
# the job says so and goes back further; a layout that cannot keep the promise is refused.  Nodes here are failure domains with a
# directory each.
. "${0%/*}/../mpi/lib.sh"
set_reference
every="--every 10 --stable process"
nodes=$scratch/nodes
mkdir "$nodes"

# lost NAME LEVEL DOMAIN KILLS: comes back from checkpoint 5, the newest when they die.
lost() {
    run "$1" $every --redundancy "$2" --failure-domain "$3" --local-dir "$nodes/%d" $(for kill in $4; do echo "--kill $kill"; done) "$heat2d"
    check "$1: comes back where it was" says 'resumed from checkpoint 5 at safe point 50'
    check "$1: what is lost is made again" says 'of checkpoint 5 made again from the . others? of its group\|of checkpoint 5 made again from the . others of its group'
    check "$1: same result" same_result
    check "$1: exit status 0" ended 0
}
lost partner partner 1 2@step=57+node
lost xor xor:4 1 0@step=57+node
lost xor-two-nodes xor:2 2 3@step=57+node
lost rs rs:2+2 1 "1@step=57+node 2@step=57+node"
lost rs-1-3 rs:1+3 1 "0@step=57+node 1@step=57+node 3@step=57+node"
check "three of four: three are made again" test "$(count 'rank [013]: snapshot and parity of checkpoint 5 made again from the 3 others')" = 3
check "the copies in the job directory are only what all need" test -z "$(find "$scratch/rs-1-3" -name 'ckpt-*' -o -name 'parity-*')"

# Again and again, also while it comes back.
run often $every --max-restarts 30 --redundancy xor:4 --failure-domain 1 --local-dir "$nodes/%d" --kill 1@step=15+node --kill 2@step=35+node --kill 0@point=init#1+node \
    --kill 3@step=66+node --kill 1@step=77+node "$heat2d"
check "often: same result" same_result
check "often: five times" restarts 5

# Killed at every point, with its node: while parity is made and named, while snapshots are made again and named.
for rank in 0 2; do
    kills=
    for point in exchange#2 snapshot#2 rename#2 rename#3 rename#4 vote#2 publish#2 collect#2 init#1 rename#1 rename#1 recover#1 restored#1; do
        kills="$kills --kill $rank@point=$point+node"
    done
    limit=300
    run "points-$rank" $every --max-restarts 30 --redundancy xor:4 --failure-domain 1 --local-dir "$nodes/%d" $kills "$heat2d" --size 128 --steps 60 --quiet
    log=$scratch/points-$rank.log
    check "points of rank $rank: with its node, again and again" test "$(count "was killed by --kill $rank@point")" -ge 9
    check "points of rank $rank: exit status 0" ended 0
    result=$(result_of "$log")
    [ -n "$points_reference" ] || { set_reference --size 128 --steps 60 --quiet; points_reference=$reference; log=$scratch/points-$rank.log; }
    check "points of rank $rank: same result" test "$result" = "$points_reference"
    limit=120
done
set_reference

# Killed between the commit and the parity: it gets its redundancy when the job goes on from it, before anything else is lost.
run late $every --keep 1 --redundancy xor:4 --failure-domain 1 --local-dir "$nodes/%d" --kill 0@point=commit#3 --kill 1@step=31+node "$heat2d"
check "no parity yet: made at the restart" says 'resumed from checkpoint 3 at safe point 30'
check "no parity yet: and then a node may be lost" test "$(count 'resumed from checkpoint 3 at safe point 30')" = 2
check "no parity yet: same result" same_result

# Beyond the promise: it is said why, and not begun anew over what may come back with its nodes; then nothing is lost.
run beyond $every --redundancy xor:4 --failure-domain 1 --local-dir "$nodes/%d" --max-restarts 0 --kill 1@step=57 "$heat2d"
job=$(sed -n 's/.*"job": "\([0-9a-f]*\)".*/\1/p' "$scratch/beyond/job.json")
mkdir "$scratch/down"
for node in 1 2; do mv "$nodes/$node/belay-$job" "$scratch/down/$node"; done
run beyond $every --redundancy xor:4 --failure-domain 1 --local-dir "$nodes/%d" "$heat2d"
check "beyond: says what is missing" says "rank [12]: its snapshot of checkpoint 5 cannot be made again: more is lost in its group than the 1 its parity makes up for"
check "beyond: refused" says 'no checkpoint in .*beyond can be restored (checkpoint 5 is the newest), since more nodes are missing'
check "beyond: exit status 1" ended 1
check "beyond: no step is made" not says 'heat2d: step'
for node in 1 2; do rm -r "$nodes/$node/belay-$job" && mv "$scratch/down/$node" "$nodes/$node/belay-$job"; done
run beyond $every --redundancy xor:4 --failure-domain 1 --local-dir "$nodes/%d" "$heat2d"
check "beyond: the nodes are back: from there" says 'resumed from checkpoint 5'
check "beyond: same result" same_result

# The level before: each third checkpoint is protected against two losses, the others against one.
run levels $every --keep 1 --redundancy "xor:4,rs:2+2/3" --failure-domain 1 --local-dir "$nodes/%d" --kill 1@step=57+node --kill 2@step=57+node "$heat2d"
check "levels: back to the one that two losses leave" says 'resumed from checkpoint 3 at safe point 30'
check "levels: same result" same_result

# Ranks start on other nodes than they ran on: their files are brought, then what is lost is made again.
run moved $every --redundancy xor:4 --failure-domain 1 --local-dir "$nodes/%d" --max-restarts 0 --kill 2@step=57 "$heat2d"
mv "$nodes/0" "$nodes/x" && mv "$nodes/3" "$nodes/0" && mv "$nodes/x" "$nodes/3"
job=$(sed -n 's/.*"job": "\([0-9a-f]*\)".*/\1/p' "$scratch/moved/job.json")
rm -r "$nodes/1/belay-$job/rank-00001"
run moved $every --redundancy xor:4 --failure-domain 1 --local-dir "$nodes/%d" "$heat2d"
check "moved: brought" says 'rank 0: ckpt-000005.h5 brought from where rank 3 runs'
check "moved: made again" says 'rank 1: snapshot and parity of checkpoint 5 made again'
check "moved: same result" same_result

# Without a directory of its own: damaged and deleted files in the job directory.
run shared $every --redundancy rs:2+2 --failure-domain 1 --max-restarts 0 --kill 2@step=57 "$heat2d"
rm "$scratch/shared/rank-00001/ckpt-000005.h5"
printf x | dd of="$scratch/shared/rank-00003/ckpt-000005.h5" bs=1 seek=100000 conv=notrunc 2>/dev/null
job damaged "$belay" verify 5 --dir "$scratch/shared"
check "verify: says that it can be made again" says 'all of that can be made again from its redundancy: belay verify 5 --repair'
check "verify: exit status 1" ended 1
cp -r "$scratch/shared" "$scratch/copy"
job rebuilt "$belay" rebuild --dir "$scratch/copy"
check "rebuild: rank 1" says 'rank 1: the snapshot of checkpoint 5 rebuilt from those of the other 3 of its group'
check "rebuild: all is good then" says 'checkpoint 5: verified, 4 snapshots and their redundancy'
check "rebuild: exit status 0" ended 0
job verified "$belay" verify --dir "$scratch/copy"
check "rebuild: and stays" ended 0
job shown "$belay" show --dir "$scratch/copy"
check "show: names the redundancy" says 'redundancy  parity with 4 of 4: of the 4 ranks of a group 2 may lose their files'
run shared $every --redundancy rs:2+2 --failure-domain 1 "$heat2d"
check "shared: a restart does the same" says 'resumed from checkpoint 5'
check "shared: the damaged one is kept" test -n "$(ls "$scratch/shared/quarantine")"
check "shared: same result" same_result

# Without the setting what is there is used all the same.
rm "$scratch/copy/rank-00002/ckpt-000005.h5" "$scratch/copy/rank-00002/parity-000005"
run copy $every "$heat2d"
check "without the setting: made again" says 'rank 2: snapshot and parity of checkpoint 5 made again'
check "without the setting: same result" same_result

# --- refused at the start, with the reason ---
refused() { # NAME TEXT OPTION...
    name=$1 text=$2
    shift 2
    run "no-$name" $every "$@" "$heat2d"
    check "refused: $name: the reason" says "$text"
    check "refused: $name: exit status" not ended 0
    check "refused: $name: no step is made" not says 'heat2d: step'
}
refused one-node 'groups of 2 ranks, of which 1 may be lost, have to be on different nodes: 4 ranks on 1 node, up to 4 on one' --redundancy partner
refused two-nodes '4 ranks on 2 nodes, up to 2 on one; groups of 2 are possible here' --redundancy xor:4 --failure-domain 2
refused independent 'redundancy goes with checkpoint=coordinated' --redundancy partner --checkpoint independent
refused lonely 'local-dir without redundancy: what a node keeps is lost with it' --local-dir "$nodes/%d"
refused nowhere 'local-dir: cannot use .*nowhere/0: what it is in has to be there on every node' --redundancy partner --failure-domain 1 --local-dir "$scratch/nowhere/%d"
summary
