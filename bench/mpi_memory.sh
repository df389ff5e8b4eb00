#!/bin/sh
# mpi_memory.sh - the memory Belay adds to a rank, checkpoints included.  Pages that ranks share (the text of libraries)
# are divided among the 2 ranks, so that the ranks of a node add up to what it needs.
. "${0%/*}/common.sh"
BELAY_EVERY=1
BELAY_STABLE=process
export BELAY_EVERY BELAY_STABLE
runs=5

# resident PROGRAM: MiB of rank 0: private, shared; "KiB mapping" lines in $scratch/PROGRAM.
resident() {
    fresh 2 "$1" "$scratch"
    awk '/^[0-9a-f]+-[0-9a-f]+ / { name = NF < 6 ? "[anonymous]" : $6; sub(/.*\//, "", name) }
         /^Rss:/ { rss[name] += $2 } END { for (name in rss) print rss[name], name }' "$scratch/smaps.0" >"$scratch/$1"
    awk '/^Private_/ { private += $2 } /^Shared_/ { shared += $2 } END { printf "%.4f %.4f\n", private / 1024, shared / 1024 }' \
        "$scratch/smaps.0"
}
belay() { resident mpi_memory_belay; }
plain() { resident mpi_memory_plain; }

# added EXPRESSION of p and s, the private and the shared MiB that Belay adds: the median over the pairs.
added() {
    awk "{ p = \$1 - \$3; s = \$2 - \$4; print $1 }" "$scratch/pairs" | median
}

alternate belay plain "$runs" >"$scratch/pairs"
echo "memory of one of 2 ranks with Belay linked and one checkpoint committed, less the same without; medians of $runs pairs"
printf '    private %.2f MiB, shared %.2f MiB: %.2f MiB resident, of which %.2f this rank'\''s part\n' \
    "$(added p)" "$(added s)" "$(added p+s)" "$(added p+s/2)"
echo "    resident KiB by mapping:"
awk 'NR == FNR { before[$2] = $1; next } { grown = $1 - before[$2]; if (grown > 99) print grown, $2 }' \
    "$scratch/mpi_memory_plain" "$scratch/mpi_memory_belay" | sort -rn | awk '{ printf "    %8d  %s\n", $1, $2 }'
figure memory-added-mib "$(added p+s/2)" 8
