#!/bin/sh
# second.sh DIR - the tests on a second platform: Debian 13 (Open MPI 5 with ULFM, HDF5 1.14, gcc 14) in a chroot that is made in
# DIR if it is not there.  Needs root and a Debian mirror.  `make check-ulfm` calls it; SUITE=trixie and MIRROR=... say others;
# TESTS="tests/..." says which tests, else all.
set -eu
source=$(cd "${0%/*}/.." && pwd)
root=${1:?usage: second.sh DIR}
suite=${SUITE:-trixie}
packages="build-essential autoconf automake libtool pkg-config gawk libopenmpi-dev openmpi-bin libhdf5-dev libjansson-dev libxxhash-dev
    libisal-dev libcmocka-dev gdb spin hdf5-tools gfortran python3-mpi4py python3-h5py man-db procps git iproute2"

cannot() { echo "second.sh: $*: not tested on a second platform" >&2; exit 77; }
[ "$(id -u)" -eq 0 ] || cannot "making a chroot needs root"
command -v debootstrap >/dev/null || cannot "there is no debootstrap"
mirror=${MIRROR:-$(sed -n 's/^URIs: *\(http[^ ]*\).*/\1/p; s/^deb [^h]*\(http[^ ]*\).*/\1/p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)}

if [ ! -e "$root/.complete" ]; then
    debootstrap --variant=minbase "$suite" "$root" "${mirror:-http://deb.debian.org/debian}" || cannot "debootstrap has failed"
fi
for place in proc sys dev dev/shm; do
    mountpoint -q "$root/$place" || mount --bind "/$place" "$root/$place" || cannot "nothing can be mounted here"
done
trap 'for place in dev/shm dev sys proc; do umount -l "$root/$place" || true; done' EXIT
trap 'exit 130' HUP INT TERM
[ ! -e /etc/resolv.conf ] || cp /etc/resolv.conf "$root/etc/resolv.conf"
for config in /etc/apt/apt.conf.d/*proxy*; do [ ! -e "$config" ] || cp "$config" "$root/etc/apt/apt.conf.d/"; done
if [ ! -e "$root/.complete" ]; then
    chroot "$root" apt-get update -qq
    # shellcheck disable=SC2086  # a list of names
    chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
    touch "$root/.complete"
fi

# What is checked out, with what is changed in it; not what was built.
rm -rf "$root/root/belay"
mkdir -p "$root/root/belay"
(cd "$source" && git ls-files -z | xargs -0 tar -cf -) | tar -xf - -C "$root/root/belay"
# Open MPI 5 tries every interface for TCP, and complains where one leads nowhere.
chroot "$root" env -i ${TESTS:+"TESTS=$TESTS"} PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C OMPI_MCA_btl_tcp_if_include=lo sh -c '
    cd /root/belay && ./autogen.sh >autogen.log 2>&1 || { cat autogen.log; exit 1; }
    mkdir build && cd build && ../configure --quiet && make -j"$(nproc)" >build.log 2>&1 || { tail -n 60 build.log; exit 1; }
    make -j"$(nproc)" check TESTS= >check.log 2>&1 || { tail -n 60 check.log; exit 1; }
    make check ${TESTS:+"TESTS=$TESTS"}; status=$?
    for result in $(grep -lE "^:test-result: (FAIL|ERROR|XPASS)" $(find . -name "*.trs")); do
        echo "-- ${result%.trs}"
        grep -A20 -E "^FAILED|^\[  FAILED|rror:" "${result%.trs}.log" | head -60
    done
    awk "/^:test-result: PASS/ { p++ } /^:test-result: (FAIL|ERROR|XPASS)/ { f++ } /^:test-result: SKIP/ { s++ }
         END { printf \"%d passed, %d failed, %d skipped\n\", p, f, s }" $(find . -name "*.trs")
    exit $status'
