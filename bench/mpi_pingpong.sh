#!/bin/sh
# mpi_pingpong.sh - small messages with Belay linked and without: for information, no limit.
. "${0%/*}/common.sh"

run() {
    fresh 2 "$1"
    field ping >>"$scratch/$1.ping"
    field window
}
belay() { run mpi_pingpong_belay; }
plain() { run mpi_pingpong_plain; }

alternate belay plain "${BENCH_PAIRS:-15}" >"$scratch/windows"
paste -d ' ' "$scratch/mpi_pingpong_belay.ping" "$scratch/mpi_pingpong_plain.ping" >"$scratch/pings"
echo "ping-pong of 8 bytes, 2 ranks; ns one way with Belay and without"
ratio_of "$scratch/pings"
echo "windows of 64 messages of 8 bytes; ns a message with Belay and without"
ratio_of "$scratch/windows"
