#!/bin/sh
# A safe point at which something is under way is no checkpoint: the rank that has to change says what and where, the
# others go on, nothing hangs, nothing is committed, and the next clean safe point is a checkpoint again.
. "${0%/*}/lib.sh"

ways="eager rendezvous synchronous irecv isend persistent ibarrier ibcast mprobe straddling freed"
run all --every 1 --stable process --keep 100 "$programs/breaker" $ways
check "a program that breaks the rule in every way ends as it would" ended 0
check "all ranks come to the end" test "$(count 'is done')" = 4

# refuses WAY RANK TEXT [MAYBE]: RANK answers PENDING with TEXT, rank MAYBE may do so too, the others answer ABORTED.
place=0
refuses() {
    place=$((place + 1))
    least=3
    [ -z "$4" ] || least=2
    others=$(count "^$1 rank [^$2${4:-$2}] broken code -12 checkpoint $((2 * place - 2)):")
    check "$1: rank $2 says what is under way" says "^$1 rank $2 broken code -9 .*$3"
    check "$1: it says what to do" says "^$1 rank $2 broken code -9 .*; \(receive it\|complete it\|all members\)"
    check "$1: the others go on, the checkpoint before stands" test "$others" -ge $least
    check "$1: the next clean safe point is a checkpoint" \
        test "$(count "^$1 rank . clean code 0 checkpoint $((2 * place)):")" = 4
}
refuses eager 2 'from rank 1, tag 7 on MPI_COMM_WORLD, has arrived and is not received'
refuses rendezvous 2 'a message of 1048576 bytes from rank 1, tag 8 on MPI_COMM_WORLD'
refuses synchronous 0 'a message of 4 bytes from rank 3, tag 18 on MPI_COMM_WORLD'
refuses irecv 2 'the MPI_Irecv from rank 1, tag 9 on MPI_COMM_WORLD (MPI call [0-9]*) is not completed'
refuses isend 1 'the MPI_Isend to rank 2, tag 10 on MPI_COMM_WORLD (MPI call [0-9]*) is not completed' 2
refuses persistent 3 'the MPI_Recv_init from rank 0, tag 11 on MPI_COMM_WORLD'
refuses ibarrier 0 'the MPI_Ibarrier on MPI_COMM_WORLD'
refuses ibcast 1 'the MPI_Ibcast on MPI_COMM_WORLD'
refuses mprobe 2 'the MPI_Mprobe from rank 1, tag 12 on MPI_COMM_WORLD'
place=$((place + 1))
check "straddling: somebody says that the collectives differ" says '^straddling rank . broken code -9 .*have not started the same collectives; all members'
check "straddling: nobody has a checkpoint" test "$(count '^straddling rank . broken code -\(9\|12\) checkpoint 18:')" = 4
check "straddling: the next clean safe point is a checkpoint" test "$(count '^straddling rank . clean code 0 checkpoint 20:')" = 4
refuses freed 1 'the MPI_Irecv from rank 3, tag 13 on an unnamed communicator'

odd() { ls "$scratch/$1/commit" "$scratch/$1"/rank-* | grep -c '^\(ckpt-\)\{0,1\}[0-9]*[13579]\.'; }
even() { ls "$scratch/$1/commit" | grep -c '[02468]\.a$'; }
check "what was refused has neither a commit record nor a snapshot" test "$(odd all)" = 0
check "what was clean has a commit record each" test "$(even all)" = 11

run one --every 1 --stable process "$programs/breaker" mprobe
check "the line on standard error names rank, call, peer and tag" \
    says '^belay: rank 2: no checkpoint at safe point 1: the MPI_Mprobe from rank 1, tag 12 on MPI_COMM_WORLD (MPI call 1) is not'
check "it is one line" test "$(count 'no checkpoint')" -le 2 # that line and the program's own

run killed --every 1 --stable process --kill 1@step=5 "$programs/breaker" eager irecv mprobe
check "killed at a refused safe point: goes on from the checkpoint before" says 'recovery line: checkpoint 4 (safe point 4)'
check "killed at a refused safe point: ends as it would" ended 0
check "killed at a refused safe point: the rest of the program runs" test "$(count '^mprobe rank . clean code 0')" = 4

run window --every 1 --stable process "$programs/breaker" eager window
check "one-sided communication: refused from then on, with its reason" \
    test "$(count '^window rank . \(broken\|clean\) code -9 checkpoint 2: .*MPI_Win_create.*--every never')" = 8
check "one-sided communication: the program ends as it would" ended 0

run threads-calm --every never "$programs/threaded"
reference=$(result_of "$log")
check "MPI_THREAD_MULTIPLE: a result" ended 0
run threads --every 5 --stable process --kill 2@step=23 "$programs/threaded"
check "MPI_THREAD_MULTIPLE: goes on from checkpoint 4" says 'recovery line: checkpoint 4 (safe point 20)'
check "MPI_THREAD_MULTIPLE: same result" same_result
run threads-own --checkpoint independent --every 5 --stable process --kill 2@step=23 "$programs/threaded"
check "MPI_THREAD_MULTIPLE, independent checkpoints: same result" same_result
run threads-busy --every 5 --stable process "$programs/threaded" busy
check "MPI_THREAD_MULTIPLE: a thread that waits in MPI is in the way" says 'rank 1: no checkpoint at safe point 5: another thread is inside an MPI call'
check "MPI_THREAD_MULTIPLE: the program ends as it would" same_result

check "nobody is left behind" nobody_left
summary
