#!/bin/sh
# Killed at seeded random MPI calls, heat2d gives the result it gives undisturbed.  A failure names its seed.
. "${0%/*}/../mpi/lib.sh"
set_reference --size 128 --steps 60 --quiet

deaths=0
for seed in ${SEEDS:-1 2 3 4 5 6 7 8}; do
    run "seed-$seed" --every 7 --stable process --kill "$((seed % 4))@random:$seed/400" \
        --kill "$(((seed + 1) % 4))@random:$((seed + 100))/300" --kill "$(((seed + 2) % 4))@random:$((seed + 200))/200" \
        "$heat2d" --size 128 --steps 60 --quiet
    check "seed $seed: exit status 0" ended 0
    check "seed $seed: same result" same_result
    check "seed $seed: a rank was killed" says 'was killed by --kill'
    check "seed $seed: incarnations are counted" incarnation "$scratch/seed-$seed" "$(count 'relaunching (restart')"
    deaths=$((deaths + $(count 'killing itself')))
done
[ -n "$SEEDS" ] || check "20 kills were survived, or more" test "$deaths" -ge 20
summary
