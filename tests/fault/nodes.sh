# nodes.sh - nodes on one machine, for tests: each has a network of its own, joined to the others by a bridge, a name, and a
# directory; mpirun reaches it with an agent in place of ssh.  Sourced after lib.sh, not run.
#
# The namespaces live as long as the process that holds them, so nothing of a node is left when its processes are killed.

bridge=bl$$
network=10.$((64 + $$ / 250 % 128)).$(($$ % 250))
reach=                 # where the agent is, and what it knows: mpirun takes no path with a space in it

no_nodes() {
    echo "nodes cannot be made here: $*"
    [ "$failed" = 0 ] || exit 1
    exit 77
}

remove_nodes() {
    for holder in "$reach"/*.holder "$reach"/*.lost; do [ -e "$holder" ] && kill_all_of "$(cat "$holder")"; done
    ip link del "$bridge" 2>/dev/null
    [ -z "$reach" ] || rm -rf "$reach"
}

network_of() { readlink "/proc/$1/ns/net" 2>/dev/null | tr -dc 0-9; } # of net:[NUMBER] the number

# Every process in the network of process $1, as the loss of power ends them.
kill_all_of() {
    space=$(network_of "$1")
    in_own_network "$1" || return 0
    for turn in 1 2; do
        for link in $(find /proc/[0-9]*/ns/net -maxdepth 0 -lname "net:?${space}?" 2>/dev/null); do
            process=${link#/proc/}
            kill -9 "${process%%/*}" 2>/dev/null
        done
    done
}

in_own_network() { space=$(network_of "$1"); [ -n "$space" ] && [ "$space" != "$(network_of $$)" ]; }

# start_node NUMBER: also one that was lost, with what its directory has.
start_node() {
    node=n$1
    # shellcheck disable=SC2016  # for the inner shell
    unshare --net --uts sh -c 'hostname "$0" && exec sleep 10000' "$node" &
    holder=$!
    wait_for 5 in_own_network $holder || no_nodes "no namespaces (unshare --net --uts)"
    { ip link add "$bridge$node" type veth peer name eth0 netns $holder && ip link set "$bridge$node" master "$bridge" up; } ||
        no_nodes "no network between namespaces (ip link add type veth)"
    nsenter --target $holder --net sh -c "ip link set lo up && ip addr add $network.$1/24 dev eth0 && ip link set eth0 up"
    mkdir -p "$scratch/nodes/$node"
    rm -f "$reach/$node.silent"
    echo $holder >"$reach/$node.holder"
}

# make_nodes NUMBER: n1, n2, ...; $through: the options of `belay run` with which mpirun reaches them; $local_dir: their directories.
make_nodes() {
    [ "$(id -u)" = 0 ] || no_nodes "that needs root"
    for tool in ip unshare nsenter; do command -v $tool >/dev/null || no_nodes "there is no $tool (packages iproute2, util-linux)"; done
    reach=$(mktemp -d /tmp/belay-nodes.XXXXXX) || exit 99
    trap 'remove_nodes; clean_up' EXIT
    ip link add "$bridge" type bridge 2>/dev/null || no_nodes "no permission for a network bridge (ip link add type bridge)"
    # An address of its own: else it has that of a port, and when that is gone the nodes write to nobody for half a minute.
    ip link set "$bridge" address 02:00:00:00:00:fe && ip addr add "$network.254/24" dev "$bridge" && ip link set "$bridge" up || no_nodes "the bridge gets no address"
    # A node that is gone answers like ssh: an error after a while; a silent one never does.
    cat >"$reach/agent" <<AGENT
#!/bin/sh
node=\$1
shift
[ ! -e $reach/\$node.silent ] || exec sleep 600
[ -e $reach/\$node.holder ] || { sleep 1; echo "connect to host \$node: No route to host" >&2; exit 255; }
exec nsenter --target \$(cat $reach/\$node.holder) --net --uts sh -c "\$*"
AGENT
    chmod +x "$reach/agent"
    for number in $(seq "$1"); do start_node "$number"; done
    case $(mpirun --version) in
    *\ 4.*) through="--mca plm_rsh_agent $reach/agent --mca oob_tcp_if_include $network.0/24" ;;
    *) through="--prtemca plm_ssh_agent $reach/agent --prtemca prte_if_include $network.0/24" ;;
    esac
    through=$(for word in $through --mca btl_tcp_if_include "$network.0/24" --bind-to none --mca mpi_yield_when_idle 1; do printf ' --mpirun-arg %s' "$word"; done)
    local_dir=$scratch/nodes/%h
}

# lose NODE [silent]: all its processes are killed, nobody reaches it any more, and its directory is gone; put_back brings that back.
# Of a silent one nobody hears anything any more, as when the power is cut: no connection is closed, no attempt is refused.
# (mpirun still sees its agent end, which ssh would not do: how it notices by itself is not tried here.)
lose() {
    holder=$(cat "$reach/$1.holder")
    mv "$reach/$1.holder" "$reach/$1.lost"
    if [ -n "$2" ]; then
        touch "$reach/$1.silent"
        ip link del "$bridge$1"
    fi
    kill_all_of "$holder"
    rm "$reach/$1.lost"
    ip link del "$bridge$1" 2>/dev/null
    mkdir -p "$scratch/lost"
    mv "$scratch/nodes/$1" "$scratch/lost/$1"
}

put_back() {
    rm -rf "$scratch/nodes/$1"
    mv "$scratch/lost/$1" "$scratch/nodes/$1"
    start_node "${1#n}"
}
