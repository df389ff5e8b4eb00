#!/bin/sh
# MPI programs that other people wrote and Debian packages run unmodified with Belay preloaded, under mpirun and under
# `belay run`, and say what they say without it.  Those that are not installed are skipped.
. "${0%/*}/lib.sh"
library=$build/src/mpi/.libs/libbelay.so
limit=60

# four_ways NAME RANKS SAYS PROGRAM...: without Belay, under mpirun with LD_PRELOAD, the same with piggyback=header, and under
# belay run --preload.  SAYS is a function that prints what has to be the same of $log, and has to print something.
four_ways() {
    name=$1 ranks=$2 saying=$3
    shift 3
    job "$name-plain" mpirun --oversubscribe -n "$ranks" "$@"
    check "$name: runs without Belay" ended 0
    $saying >"$scratch/$name-expected"
    check "$name: says something that can be compared" test -s "$scratch/$name-expected"
    job "$name-preload" mpirun --oversubscribe -n "$ranks" -x "LD_PRELOAD=$library" -x "BELAY_DIR=$scratch/$name-preload.d" "$@"
    same "$name with LD_PRELOAD"
    check "$name with LD_PRELOAD: was followed" state "$scratch/$name-preload.d" finished
    job "$name-header" mpirun --oversubscribe -n "$ranks" -x "LD_PRELOAD=$library" -x "BELAY_DIR=$scratch/$name-header.d" \
        -x BELAY_PIGGYBACK=header "$@"
    same "$name with something riding on each message"
    job "$name-run" "$belay" run -n "$ranks" --dir "$scratch/$name-run.d" --preload "$@"
    same "$name under belay run --preload"
    check "$name under belay run: finished" says 'finished without a failure'
}
same() {
    check "$1: exit status 0" ended 0
    $saying >"$scratch/$name-said"
    check "$1: says the same" cmp "$scratch/$name-expected" "$scratch/$name-said"
}
installed() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null && return
    echo "skipped: $1 is not installed (package $2)"
    return 1
}

# --- HPC Challenge: benchmarks that verify themselves ---
hpcc_input() {
    printf '%s\n' HPLinpack Belay HPL.out 8 1 200 1 40 0 1 2 2 16.0 1 2 1 4 1 2 1 1 1 1 1 0 2 64 0 0 1 8 separator 0 0 0 0
}
hpcc_says() {
    grep -E '^(Success|CommWorldProcs|HPL_[A-Z][a-z]*norm|HPL_RnormI|PTRANS_residual|MPIRandomAccess.*Errors|MPIFFT_maxErr)' \
        "$work/hpccoutf.txt"
    grep -E 'PASSED|passed' "$work/hpccoutf.txt" | grep -v -c '^CPU' # those are left out when the time was nothing
    rm "$work/hpccoutf.txt"
}
if installed hpcc hpcc; then
    hpcc_input >"$work/hpccinf.txt"
    four_ways hpcc 4 hpcc_says hpcc
    check "hpcc: succeeds by its own verification" says '^Success=1' "$scratch/hpcc-expected"
fi

# --- NetPIPE: with -i it compares every byte that arrives ---
netpipe_says() { sed -n 's/^ *\([0-9]*\): *\([0-9]* bytes\).* \([0-9]*\) times.*/\1 \2/p' "$log"; count 'Integrity check passed'; }
if installed NPopenmpi netpipe-openmpi; then
    four_ways netpipe 2 netpipe_says NPopenmpi -i -u 20000 -n 10 -o "$scratch/np.out"
fi

# --- ScaLAPACK's own tests: Fortran, BLACS, communicators by the dozen; they compare what comes out with what has to ---
scalapack_says() { sed -n 's/ \{1,\}[0-9.E+-]*\.[0-9.E+-]*//g; /PASSED/p; /tests completed/p' "$log" | sort; }
scalapack=$(ls -d /usr/lib/*/scalapack/openmpi-tests 2>/dev/null | head -n 1)
if [ -z "$scalapack" ]; then
    echo "skipped: ScaLAPACK's tests are not installed (package scalapack-mpi-test)"
else
    cp /usr/share/scalapack/LU.dat "$work"
    four_ways scalapack 4 scalapack_says "$scalapack/xdlu"
fi

# --- mpi4py: Python, all threads may call MPI, libmpi is loaded late ---
mpi4py_says() { grep -E '^(Hello|sum|ring)' "$log" | sort; }
python=/usr/bin/python3     # the one Debian's modules are installed for
if ! "$python" -c 'import mpi4py' 2>/dev/null; then
    echo "skipped: mpi4py is not installed (package python3-mpi4py)"
else
    four_ways mpi4py 3 mpi4py_says "$python" -m mpi4py.bench helloworld
    cat >"$scratch/demo.py" <<'PY'
import sys
from mpi4py import MPI
world = MPI.COMM_WORLD
rank, size = world.rank, world.size
word = world.sendrecv({"from": rank}, dest=(rank + 1) % size, source=(rank - 1) % size)
half = world.Split(rank % 2, rank)
total = half.allreduce(rank + 1)
requests = [world.isend(rank * i, dest=i, tag=7) for i in range(size)]
parts = [world.recv(source=MPI.ANY_SOURCE, tag=7) for i in range(size)]
MPI.Request.waitall(requests)
sys.stdout.write(f"ring {rank} {word['from']} {total} {sorted(parts)} {world.gather(rank)}\n")
PY
    four_ways mpi4py-demo 3 mpi4py_says "$python" "$scratch/demo.py"
fi
[ $((passed + failed)) -gt 0 ] || { echo "skipped: none of the programs is installed"; exit 77; }
summary
