#!/bin/sh
# mpi_piggyback.sh - latency, message rate and collectives through Belay against the same without, over shared memory and TCP,
# for each setting of piggyback, with markers in intervals of 100 sends; over shared memory also under MPI_THREAD_MULTIPLE.
. "${0%/*}/common.sh"
BELAY_STABLE=process
BELAY_CHECKPOINT=independent
export BELAY_EVERY BELAY_PIGGYBACK BELAY_STABLE BELAY_CHECKPOINT

for BELAY_PIGGYBACK in implicit marker header; do
    case $BELAY_PIGGYBACK in # with markers, checkpoints are what makes intervals
        marker) BELAY_EVERY=1 pairs=61 ;;
        *) BELAY_EVERY=never pairs=301 ;;
    esac
    for transport in shm tcp; do
        case $transport in
            shm) unset OMPI_MCA_pml OMPI_MCA_btl ;; # what Open MPI takes by itself on one node
            tcp) export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp ;;
        esac
        rm -rf "$BELAY_DIR"
        if launch 2 mpi_piggyback "$BELAY_PIGGYBACK-$transport" "${BENCH_PAIRS:-$pairs}"; then
            echo "piggyback=$BELAY_PIGGYBACK over $transport, 2 ranks; ns a message one way, or an operation"
            cat "$scratch/out"
            [ "$BELAY_PIGGYBACK-$transport" = implicit-shm ] || continue
            fresh 2 mpi_piggyback threads-shm "${BENCH_PAIRS:-$pairs}"
            echo "the same under MPI_THREAD_MULTIPLE, one thread a rank"
            cat "$scratch/out"
        else
            give_up "piggyback=$BELAY_PIGGYBACK over $transport failed"
        fi
    done
done
