#!/bin/sh
# The page of `belay line --html` in a real browser: it draws all ranks, zooms, and raises no exception; for 4 ranks, for
# 4,000, and for more than there are rows.  It is one file: nothing in it points anywhere else.
set -u
top=${srcdir:-.}
unset BELAY_DIR BELAY_SETTINGS
browser=
for name in chromium chromium-browser google-chrome; do
    command -v $name >/dev/null && browser=$name && break
done
if [ -z "$browser" ]; then
    echo 'SKIP: there is no chromium (Debian: apt-get install chromium)'
    exit 77
fi
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
    echo "FAIL: $*"
    failed=1
}

# ranks RANKS CHECKPOINTS: a ring in which everybody sends to the next, checkpoints, and receives.
ring() {
    awk -v n="$1" -v k="$2" 'BEGIN {
        for (c = 1; c <= k; c++) {
            for (i = 0; i < n; i++) printf "s%d>%d:m%d.%d\n", i, (i + 1) % n, c, i
            for (i = 0; i < n; i++) if ((i + c) % 3) printf "c%d\n", i
            for (i = 0; i < n; i++) printf "r m%d.%d\n", c, i
            for (i = 0; i < n; i++) if ((i + c) % 3 == 0) printf "c%d\n", i
        }
        printf "x0,1,2,3:end\n"
    }'
}

# look NAME RANKS
look() {
    grep -E -q '(src|href)=|url\((https?:|//)|@import|fetch\(|XMLHttp' "$work/$1.html" && fail "$1: the page points elsewhere"
    timeout 120 $browser --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$work/profile" \
        --window-size=1200,900 --virtual-time-budget=20000 --dump-dom "file://$work/$1.html#selftest" >"$work/dom" 2>"$work/log"
    grep -o '>status: [^<]*' "$work/dom" >"$work/status" || { tail -5 "$work/log"; fail "$1: the page says nothing"; return; }
    grep -q "status: $2 ranks in .*zoom works; 0 errors" "$work/status" || fail "$1: $(cat "$work/status")"
    grep -q 'class="line"' "$work/dom" || fail "$1: no recovery line"
}

ring 4 5 >"$work/four.trace"
ring 4000 6 >"$work/many.trace"
./belay line "$work/four.trace" --fail 1 --html "$work/four.html" >/dev/null || fail 'four ranks'
./belay line "$work/many.trace" --fail 1 --html "$work/many.html" --svg "$work/many.svg" >"$work/many.txt" || fail '4000 ranks'
./bench/line_stream --ranks 4200 write "$work/large.h5" || fail 'the large trace cannot be made'
./belay line "$work/large.h5" --html "$work/large.html" >/dev/null || fail '4,200 ranks with 4.2 million dependencies'
look four 4
look many 4000
look large 4200
[ "$(wc -l <"$work/many.txt")" -le 60 ] || fail "the text of 4000 ranks has $(wc -l <"$work/many.txt") lines"
[ "$(wc -c <"$work/many.svg")" -le 1000000 ] || fail "the picture of 4000 ranks has $(wc -c <"$work/many.svg") bytes"

# A name from disk stays text.
cp "$work/four.trace" "$work/<script>alert(1)<&\"'.trace"
./belay line "$work/<script>alert(1)<&\"'.trace" --html "$work/name.html" --svg "$work/name.svg" >/dev/null || fail 'odd name'
grep -q '<script>alert' "$work/name.html" "$work/name.svg" && fail 'a name became part of the page'
look name 4
exit $failed
