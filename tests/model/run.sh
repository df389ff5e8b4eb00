#!/bin/sh
# Checks commit.pml with Spin: the protocol holds, the classic one without a shared record blocks, mistakes are caught.
#   run.sh          one crash; about half a minute
#   run.sh --long   two crashes; some minutes
# Exit status 77: Spin is not installed.

spin=${SPIN:-spin}
cc=${CC:-cc}
crashes=1
[ "$1" = --long ] && crashes=2
command -v "$spin" >/dev/null 2>&1 || { echo "skipped: no spin"; exit 77; }

model=$(cd "$(dirname "$0")" && pwd)/commit.pml
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir" || exit 1
passed=0 failed=0

# explore DEFINES COMPILER-FLAGS PAN-FLAGS: the output of the search in $dir/out.  To optimize pan.c would take longer than
# to run it.
explore() {
    "$spin" -a $1 "$model" >out 2>&1 &&
        $cc -O0 -w -DCOLLAPSE -DMEMLIM=3000 $2 -o pan pan.c >>out 2>&1 &&
        ./pan $3 >>out 2>&1
}

report() {
    if [ "$1" = ok ]; then
        passed=$((passed + 1))
        echo "ok      $2: $(sed -n 's/^ *\([0-9]*\) states, stored.*/\1 states/p' out)"
    else
        failed=$((failed + 1))
        echo "FAILED  $2"
        cat out
    fi
}

# The whole state space, without an error; a search cut short by depth or memory proves nothing.
holds() {
    if grep -q 'errors: 0' out && ! grep -q 'not completed\|too small\|reached -DMEMLIM' out; then report ok "$1"; else report failed "$1"; fi
}

breaks() {
    if grep -q 'errors: 1' out && grep -q "$2" out; then report ok "$1"; else report failed "$1"; fi
}

explore "-DCRASHES=$crashes" '-DSAFETY -DNOCLAIM' '-m100000 -w22'
holds 'agreement, validity, nobody blocked'

explore "-DCRASHES=$crashes" '' '-a -m100000 -w22'
holds 'everybody comes to know the outcome'

explore '-DCLASSIC' '-DSAFETY -DNOCLAIM' '-m100'
breaks 'without a shared record it blocks, as it must' 'assertion violated ((done\[0\]'

for mistake in EARLY ALONE OVERWRITE FORGET; do
    explore "-D$mistake" '-DSAFETY -DNOCLAIM' '-m100000'
    breaks "mistake $mistake is caught" 'assertion violated'
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
