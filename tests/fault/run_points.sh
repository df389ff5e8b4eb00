#!/bin/sh
# Killed at every point of the checkpoint and recovery protocols, of rank 0 and of another rank, heat2d gives the result it
# gives undisturbed.  Each run is killed again and again, once at each point.
. "${0%/*}/../mpi/lib.sh"
set_reference --size 128 --steps 60 --quiet

limit=300
stable=process
survives rank-0 0@point=exchange#1 0@point=snapshot#1 0@point=rename#1 0@point=rename#2 0@point=vote#1 0@point=decide#1 \
    0@point=commit#1 0@point=publish#1 0@point=collect#1 0@point=init#1 0@point=recover#1 0@point=restored#1 \
    0@point=finalize#1
stable=power
survives rank-2 2@point=exchange#2 2@point=snapshot#1 2@point=rename#1 2@point=vote#1 2@point=publish#1 2@point=collect#1 \
    2@point=init#1 2@point=recover#1 2@point=restored#1 2@point=finalize#1
summary
