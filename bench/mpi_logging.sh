#!/bin/sh
# mpi_logging.sh - latency, message rate and collectives with logging=pessimistic against the same without, over shared memory and
# TCP; the journals in TMPDIR.
. "${0%/*}/common.sh"
BELAY_STABLE=process
BELAY_CHECKPOINT=independent
BELAY_LOGGING=pessimistic
BELAY_EVERY=1 # taken where the program asks: before each block
export BELAY_EVERY BELAY_STABLE BELAY_CHECKPOINT BELAY_LOGGING

for transport in shm tcp; do
    case $transport in
        shm) unset OMPI_MCA_pml OMPI_MCA_btl ;;
        tcp) export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp ;;
    esac
    fresh 2 mpi_piggyback "logged-$transport" "${BENCH_PAIRS:-101}"
    echo "logging=pessimistic over $transport, 2 ranks; ns a message one way, or an operation"
    cat "$scratch/out"
done
