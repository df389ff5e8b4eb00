#!/bin/sh
# run_chaos.sh [ROUNDS [FIRST-SEED]] - nodes are lost, files deleted, cut and flipped, at random, and never more than the redundancy
# promises to make up for: then the job goes on from the newest checkpoint that was committed, and ends with the same bits.
. "${0%/*}/../mpi/lib.sh"
rounds=${1:-30}
seed=${2:-1}
last=$((seed + rounds - 1))
set_reference --size 64 --steps 40 --quiet
nodes=$scratch/nodes

# What happens in a round, one line of words: LEVEL LOSSES DOMAIN EVERY STEP, then for each domain that loses something: how.
plan() {
    awk -v seed="$1" 'BEGIN {
        srand(seed); rand(); rand()
        split("partner xor:4 xor:2 rs:2+2 rs:1+3 rs:3+1", level, " ")
        split("1 1 1 2 3 1", losses, " ")
        k = 1 + int(rand() * 6)
        per = level[k] == "partner" || level[k] == "xor:2" ? 1 + int(rand() * 2) : 1
        domains = 4 / per
        printf "%s %d %d %d %d", level[k], losses[k], per, 3 + int(rand() * 6), 12 + int(rand() * 25)
        # Which domains: as many as may be lost of one group.  With partner and xor:2 that is one of all, to be sure.
        n = 1 + int(rand() * losses[k])
        split("node kill delete flip cut parity", how, " ")
        for (d = 0; d < domains; d++) left[d] = d
        for (i = 0; i < n; i++) {
            at = i + int(rand() * (domains - i)); t = left[at]; left[at] = left[i]; left[i] = t
            printf " %d:%s", left[i], how[1 + int(rand() * 6)]
        }
        printf "\n"
    }'
}

# A byte of FILE becomes another.
flip() {
    size=$(wc -c <"$1")
    at=$(awk -v seed="$2" -v size="$size" 'BEGIN { srand(seed); rand(); print int(rand() * size) }')
    was=$(od -An -tu1 -j "$at" -N 1 "$1" | tr -d ' ')
    printf "$(printf '\\%03o' $((was ^ 64)))" | dd of="$1" bs=1 seek="$at" conv=notrunc 2>/dev/null
}

wrong=0 done=0
while [ "$seed" -le "$last" ]; do
    set -- $(plan "$seed")
    level=$1 per=$3 every=$4 step=$5
    shift 5
    dir=$scratch/job
    rm -rf "$dir" "$dir.previous" "$nodes"
    mkdir "$nodes"
    kills="--kill 0@step=$step"
    for what; do
        case $what in
        *:node) kills="--kill $((${what%:*} * per))@step=$step+node $kills" ;;
        *:kill) kills="--kill $((${what%:*} * per))@step=$step $kills" ;;
        esac
    done
    set_up="--every $every --stable process --redundancy $level --failure-domain $per"
    job broken "$belay" run -n 4 --dir "$dir" $set_up --local-dir "$nodes/%d" --max-restarts 0 $kills "$heat2d" --size 64 --steps 40 --quiet
    newest=$(ls "$dir/commit" | sed -n 's/^0*\([0-9]*\)\.a$/\1/p' | sort -n | tail -n 1)
    file=$(printf 'ckpt-%06d.h5' "${newest:-0}")
    for what; do
        node=${what%:*}
        for rank_dir in "$nodes/$node"/belay-*/rank-*; do
            [ -f "$rank_dir/$file" ] || continue
            case $what in
            *:delete) rm "$rank_dir/$file" ;;
            *:flip) flip "$rank_dir/$file" "$seed" ;;
            *:cut) truncate -s $(($(wc -c <"$rank_dir/$file") / 2)) "$rank_dir/$file" ;;
            *:parity) flip "$rank_dir/$(printf 'parity-%06d' "$newest")" "$seed" ;;
            esac
        done
    done
    job again "$belay" run -n 4 --dir "$dir" $set_up --local-dir "$nodes/%d" "$heat2d" --size 64 --steps 40 --quiet
    if same_result && ended 0 && says "resumed from checkpoint ${newest:-none} "; then
        done=$((done + 1))
    else
        wrong=$((wrong + 1))
        fail "seed $seed: $set_up, killed at step $step, then $*: from checkpoint $newest, with the same result"
    fi
    seed=$((seed + 1))
done
check "all $rounds rounds: from the newest checkpoint, with the same result" test "$wrong" = 0 -a "$done" = "$rounds"
summary
