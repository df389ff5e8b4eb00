#!/bin/sh
# Seeded random traffic through every tracked call: each due checkpoint is taken, and its counters are the truth.
. "${0%/*}/lib.sh"

for seed in ${SEEDS:-1 2 3 4}; do
    run "seed-$seed" --every 1 --stable process "$programs/traffic" 25 "$seed"
    check "seed $seed: every checkpoint is taken and its counters are the truth" \
        test "$(count '^rank [0-3]: 24 checkpoints were the truth')" = 4
    check "seed $seed: exit status 0" ended 0
done
run folded --every 1 --stable process "$programs/traffic" 8 5 7000
check "more tags than the table holds: told once a rank" test "$(count 'further tags are counted together')" = 4
check "more tags than the table holds: the sums are the truth" test "$(count '7 checkpoints were the truth')" = 4
run comms --every 1 --stable process "$programs/traffic" 8 7 0 2500
check "more communicators than the table holds, one after the other: every checkpoint is taken" \
    test "$(count '7 checkpoints were the truth')" = 4
run killed --every 1 --stable process --kill 1@step=7 "$programs/traffic" 12 6
check "after a kill: the counters of the new incarnation are the truth" test "$(count '5 checkpoints were the truth')" = 4
check "after a kill: exit status 0" ended 0
summary
