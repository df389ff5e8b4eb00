#!/bin/sh
# async=stage: the copy is what is restored, however far the program has gone meanwhile; a checkpoint that was not written when
# somebody died does not count, at every point of the protocol; stopping, finishing and the next checkpoint wait for it; a disk that
# is full costs the checkpoint and nothing else.
. "${0%/*}/../mpi/lib.sh"
set_reference --size 128 --steps 60 --quiet
limit=300

how="--async stage"
stable=process
survives rank-0 0@point=exchange#1 0@point=snapshot#1 0@point=rename#1 0@point=rename#2 0@point=vote#1 0@point=decide#1 \
    0@point=commit#1 0@point=publish#1 0@point=collect#1 0@point=init#1 0@point=recover#1 0@point=restored#1 0@point=finalize#1
stable=power
survives rank-2 2@point=exchange#2 2@point=snapshot#1 2@point=rename#1 2@point=vote#1 2@point=publish#1 2@point=collect#1 \
    2@point=init#1 2@point=recover#1 2@point=restored#1 2@point=finalize#1

# Every step is a safe point with a checkpoint: each waits for the one before.
run each --async stage --every 1 --stable process --kill 1@step=31 "$heat2d" --size 128 --steps 60 --quiet
check "each step: same result" same_result
check "each step: from the last that counted" says 'resumed from checkpoint \(29\|30\)'
check "each step: exit status 0" ended 0

# A slow disk: killed while it is written, the one before is used.
set_reference --size 2048 --steps 40 --quiet
run unwritten --async stage --async-rate 20M --every 10,never --stable process --kill 3@step=21 "$heat2d" --size 2048 --steps 40 --quiet
check "killed while it is written: the one before is used" not says 'resumed from checkpoint 2'
check "killed while it is written: same result" same_result
check "killed while it is written: exit status 0" ended 0
run slow --async stage --async-rate 20M --every 20 --stable process "$heat2d" --size 2048 --steps 40 --quiet
check "slow: the end waits for it" says 'checkpoint 1 at safe point 20: .* of which it held up the program for'
check "slow: same result" same_result

# Stopped on request: written before anybody ends.
begin_run stopped --async stage --every never --stable process "$programs/ends" 40 20
check "stop: the job runs" wait_for 60 says '^step 12$'
kill -s USR1 "$begun"
finish
check "stop: exit status 75" ended 75
run stopped --async stage --every never --stable process "$programs/ends" 40 0
check "stop: goes on from there" says 'continuing .*ends with 4 ranks'
check "stop: does not begin again" not says '^step 11$'

# No file may be longer than 32 MiB, or 64, as the shell counts: what cannot be written is said, and the program goes on.
set_reference --size 7000 --steps 9 --quiet
cat >"$scratch/limited" <<'EOF'
#!/bin/sh
trap '' XFSZ
ulimit -f 65536
exec "$@"
EOF
chmod +x "$scratch/limited"
run full --async stage --every 3 --stable process "$scratch/limited" "$heat2d" --size 7000 --steps 9 --quiet
check "full disk: said" says 'cannot write .*ckpt-000001.h5.tmp-0000: File too large'
check "full disk: no checkpoint" test -z "$(find "$scratch/full" -name 'ckpt-*')"
check "full disk: same result" same_result
check "full disk: exit status 0" ended 0

refused() { # NAME TEXT OPTION...
    name=$1 text=$2
    shift 2
    run "no-$name" --every 10 --async stage "$@" "$heat2d"
    check "refused: $name" says "$text"
    check "refused: $name: exit status" not ended 0
}
refused independent 'async=stage is for checkpoint=coordinated' --checkpoint independent
refused redundancy 'async=stage with redundancy is not in this version' --redundancy partner --failure-domain 1
refused marker 'async=stage with another piggyback than implicit' --piggyback marker
refused fork 'async=fork is not in this version' --async fork
summary
