#!/bin/sh
# The man pages are well formed, and name every option that --help prints, every function and every code of the headers.
set -u
top=${srcdir:-.}
failed=0

fail() {
    echo "FAIL: $*"
    failed=1
}

for page in "$top"/doc/man/*.[13]; do
    if command -v mandoc >/dev/null; then
        # References to pages that are not installed and an unknown library are not faults of the page.
        mandoc -Tlint -W warning "$page" | grep -v -e 'unknown library name' -e 'unknown manual' && fail "$page: see above"
    elif command -v groff >/dev/null; then
        groff -ww -z -man -mdoc "$page" 2>&1 | grep . && fail "$page: see above"
    else
        echo "neither mandoc nor groff: the form is not checked"
    fi
done

# names PAGE WORD: a page writes --keep as "Fl -keep".
names() {
    case $2 in
    --*) grep -q -e "Fl -${2#--}\( \|\$\)" "$top/doc/man/$1" ;;
    *) grep -q -e "$2" "$top/doc/man/$1" ;;
    esac || fail "doc/man/$1 does not tell of $2"
}

for command in run replay ls show verify rebuild view line gc; do
    ./belay $command --help >/dev/null || fail "belay $command --help"
    options=$(./belay $command --help | grep -o -E '^  (-n, )?--[a-z-]+' | grep -o -E -e '--[a-z-]+')
    [ -n "$options" ] || fail "belay $command --help lists no options"
    for option in $options; do
        names belay-$command.1 "$option"
    done
    names belay.1 "Cm $command"
done
for function in $(grep -o -E 'belay_[a-z_]+\(' "$top/include/belay.h" | tr -d '(' | sort -u); do
    names belay.3 "Fn $function"
done
for code in $(grep -o -E 'BELAY_(OK|ERR_[A-Z]+)' "$top/include/belay_codes.h" | sort -u); do
    names belay.3 "Dv $code"
done
exit $failed
