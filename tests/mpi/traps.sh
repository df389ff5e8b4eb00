#!/bin/sh
# The traps of counting: the live table against what the program knows it has done; and what is refused is said at the call.
. "${0%/*}/lib.sh"

ways="get_status probe cancel idup overtaking files"
run single --every 1 --stable process "$programs/traps" $ways hook nothing tags
for way in $ways hook nothing tags; do
    check "$way: the counters are the truth on all ranks" test "$(count "^$way rank [0-3]: the truth")" = 4
done
check "exit status 0" ended 0
check "a file opened for writing is said to be output that recovery cannot take back, once" \
    test "$(count '^belay: rank 0: traps-output is opened for writing: .* recovery cannot take back')" = 1

check "tags counted together: all ranks together may save" test "$(count '^tags rank [0-3]: checkpoint code 0')" = 4
run own --checkpoint independent --every 1 --stable process "$programs/traps" tags
check "tags counted together: each rank on its own may not" test "$(count '^tags rank [0-3]: checkpoint code -9')" = 4
check "tags counted together: says why" says 'no checkpoint at safe point 1: there are more (communicator, peer, tag) channels than'

for level in "" threads; do
    run "kernel$level" --every 1 --stable process "$programs/kernel" $level
    if says '^skipped: '; then
        echo "skipped: the test that nothing is asked of the kernel ($(sed -n 's/^skipped: //p' "$log" | head -n 1))"
        continue
    fi
    check "a message asks nothing of the kernel${level:+, under MPI_THREAD_MULTIPLE}" \
        test "$(count '^rank [0-3]: nothing is asked of the kernel, 0')" = 4
    check "it does not change what the program does" ended 0
done

run windows --every 1 --stable process "$programs/traps" windows
check "windows: fences, posts and completions are counted" test "$(count '^windows rank [0-3]: the truth')" = 4
check "windows: refused at the call, with its name, once" test "$(count '^belay: rank 0: MPI_Win_create: from here on no checkpoint')" = 1
run traced --every never "$programs/traps" windows files
check "without checkpoints: nothing is said of windows and files" test "$(count '^belay: .*\(MPI_Win_create\|opened for writing\)')" = 0

run threads --every never "$programs/traps" threads
check "MPI_THREAD_MULTIPLE: what several threads send on one channel is counted" test "$(count '^threads rank [0-3]: the truth')" = 4
check "MPI_THREAD_MULTIPLE: exit status 0" ended 0
summary
