#!/bin/sh
# Random programs that mix all calls whose outcome chance decides, under message logging and kills: nothing lost, nothing twice,
# whatever had been seen is seen again.  Five rounds of tests/mpi/chance are one program.
#
#     run_chance.sh [JOBS [FIRST-SEED]]     20 programs a job
. "${0%/*}/../mpi/lib.sh"
jobs=${1:-25} first=${2:-101}

for seed in $(seq "$first" $((first + jobs - 1))); do
    n=$((2 + seed % 4))
    kills= power=
    case $((seed % 3)) in
    0) protocol=pessimistic stable=process ;;
    1) protocol=optimistic stable=power power=+power ;;
    2) protocol=causal stable=power power=+power ;;
    esac
    for kill in 1 2 3 4; do
        kills=$kills${kills:+,}$(((seed + kill * kill) % n))@random:$seed$kill/1500$power
    done
    job "$seed" "$belay" run -n "$n" --dir "$scratch/$seed" --checkpoint independent --logging $protocol --stable $stable \
        --every 5,7,4,9,6 --kill "$kills" "$programs/chance" "$seed" 100
    check "seed $seed, $n ranks, $protocol: ends" ended 0
    check "seed $seed, $n ranks, $protocol: nothing lost, nothing twice" says '^chance: nothing lost'
    rm -rf "$scratch/$seed"
done
check "nobody is left behind" nobody_left
summary
