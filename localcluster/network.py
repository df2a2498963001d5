"""The cluster's network: a namespace for each node, joined by a switch that has a namespace of its own.

    host  catfish0 ── switch (bridge) ── eth0  node 1: control plane, kubelet, pods behind cni0
                            └─────────── eth0  node 2: kubelet, pods behind cni0

The host gets one interface and a route to each of the cluster's ranges, nothing else: bridge and forwarding
live in the namespaces, where a firewall of the host (Docker sets FORWARD to DROP) has no say. There is no way
out of the cluster either: the nodes have no default route, so no packet leaves the machine.
All functions may be called again at any time: they make what is missing and leave what is right alone.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Any

from localcluster import addresses
from localcluster.commands import run

SWITCH = "catfish-switch"
HOST_INTERFACE = "catfish0"
POD_BRIDGE = "cni0"
NODE_PREFIX = "catfish-node"
NETNS_DIRECTORY = addresses.NETNS_DIRECTORY

# ARP asks that many times, a second apart, before it reports a neighbour as gone. The kernel's 3 is too few
# on a machine that stalls for some seconds under load: 2 of 20,000 requests failed with EHOSTUNREACH while
# nothing changed.
SOLICITATIONS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A node's place in the network."""

    name: str
    netns: str
    address: str
    index: int

    @property
    def port(self) -> str:
        """The switch's end of the node's cable."""
        return f"node{self.index}"


def members(count: int) -> tuple[Member, ...]:
    """The places of so many nodes; the first one carries the control plane too."""
    return tuple(
        Member(
            name=f"{NODE_PREFIX}{index}",
            netns=addresses.NETNS if index == 1 else f"{addresses.NETNS}-node{index}",
            address=addresses.node(index),
            index=index,
        )
        for index in range(1, count + 1)
    )


def inside(netns: str, *argv: str) -> list[str]:
    """The command that runs argv in a network namespace.

    nsenter, not `ip netns exec`: the latter mounts /sys anew, and kubelet and runc then find no cgroups.
    """
    return ["nsenter", f"--net={NETNS_DIRECTORY / netns}", *argv]


def connects(netns: str, address: str, port: int) -> bool:
    """Whether somebody accepts a connection from inside a network namespace within a second."""
    connect = f"import socket; socket.create_connection(({address!r}, {port}), 1)"
    done = subprocess.run(inside(netns, sys.executable, "-c", connect), capture_output=True, check=False)
    return done.returncode == 0


def create(places: Sequence[Member]) -> None:
    """Makes the namespaces, the switch, the cables and the host's address."""
    for netns in (SWITCH, *(place.netns for place in places)):
        _namespace(netns)
    if "sw0" not in _links(SWITCH):
        run(
            "ip", "-n", SWITCH, "link", "add", "sw0", "type", "bridge", "forward_delay", "0", "stp_state", "0"
        )
    run("ip", "-n", SWITCH, "link", "set", "sw0", "up")
    _cable(port="host", peer=HOST_INTERFACE, peer_netns=None)
    run("ip", "address", "replace", f"{addresses.HOST}/24", "dev", HOST_INTERFACE)
    run("ip", "link", "set", HOST_INTERFACE, "up")
    _solicit(None, HOST_INTERFACE)
    for place in places:
        _node(place)
    # A cable that was made anew has another hardware address, and an entry for the old one would be believed for
    # as long as `_solicit` has its owner asked for it: longer than an API server may take to get ready.
    run("ip", "neighbour", "flush", "dev", HOST_INTERFACE)
    for place in places:
        run("ip", "-n", place.netns, "neighbour", "flush", "dev", "eth0")


def route(places: Sequence[Member], pod_ranges: dict[str, str]) -> None:
    """Leads host and nodes to the pods of each node, and the host to services and LoadBalancer addresses.

    Args:
        places: all nodes.
        pod_ranges: the pod range of each node by its name, as the controller-manager handed them out.
    """
    for network in (addresses.SERVICES, addresses.LOADBALANCERS):
        run("ip", "route", "replace", network, "via", places[0].address, "dev", HOST_INTERFACE)
    for owner in places:
        # For what runs on the node itself: kube-proxy translates on the way out, and that needs a way out.
        run(
            "ip",
            "-n",
            owner.netns,
            "route",
            "replace",
            addresses.SERVICES,
            "dev",
            "eth0",
            "src",
            owner.address,
        )
        pods = pod_ranges[owner.name]
        run("ip", "route", "replace", pods, "via", owner.address, "dev", HOST_INTERFACE)
        for other in places:
            if other is not owner:
                run("ip", "-n", other.netns, "route", "replace", pods, "via", owner.address, "dev", "eth0")


def remove() -> None:
    """Takes everything away, whatever of it exists. Processes in the namespaces must be gone before."""
    if HOST_INTERFACE in _links(None):
        # First and by hand: a namespace's interfaces go some time after it, and the host's would with them.
        run("ip", "link", "delete", HOST_INTERFACE)
    for netns in namespaces():
        run("ip", "netns", "delete", netns)


def namespaces() -> list[str]:
    """Our network namespaces that exist."""
    if not NETNS_DIRECTORY.is_dir():
        return []
    names = (path.name for path in NETNS_DIRECTORY.iterdir())
    return sorted(name for name in names if name == addresses.NETNS or name.startswith(f"{addresses.NETNS}-"))


def collisions() -> list[str]:
    """What on this machine already uses the cluster's addresses, a sentence each; our own does not count."""
    routes = _json("ip", "-j", "-4", "route", "show", "table", "all")
    links = _json("ip", "-j", "-4", "address", "show")
    taken = [
        f"the route to {entry['dst']} through {entry.get('dev', 'nowhere')} overlaps {addresses.ALL}"
        for entry in routes
        if entry.get("dev") not in {HOST_INTERFACE, "lo"} and _overlaps(entry["dst"])
    ]
    taken += [
        f"{link['ifname']} has the address {address['local']}, one of {addresses.ALL}"
        for link in links
        for address in link["addr_info"]
        if link["ifname"] != HOST_INTERFACE and _overlaps(address["local"])
    ]
    return taken


def _overlaps(destination: str) -> bool:
    try:
        network = ip_network(destination, strict=False)
    except ValueError:  # "default" and other words
        return False
    return isinstance(network, IPv4Network) and network.overlaps(IPv4Network(addresses.ALL))


def _node(place: Member) -> None:
    _cable(port=place.port, peer="eth0", peer_netns=place.netns)
    inner = ("ip", "-n", place.netns)
    run(*inner, "link", "set", "lo", "up")
    run(*inner, "address", "replace", f"{place.address}/24", "dev", "eth0")
    run(*inner, "link", "set", "eth0", "up")
    if POD_BRIDGE not in _links(place.netns):
        # A fixed hardware address: a bridge otherwise takes the lowest of its ports, so the pods' gateway
        # would change its address whenever a pod comes or goes, and requests in flight would wait for ARP.
        hardware = f"02:cf:00:00:00:{place.index:02x}"
        run(*inner, "link", "add", POD_BRIDGE, "address", hardware, "type", "bridge", "forward_delay", "0")
    run(*inner, "link", "set", POD_BRIDGE, "up")
    run(*inside(place.netns, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0"))
    for interface in ("eth0", POD_BRIDGE):
        _solicit(place.netns, interface)


def _namespace(netns: str) -> None:
    if netns not in namespaces():
        run("ip", "netns", "add", netns)


def _cable(*, port: str, peer: str, peer_netns: str | None) -> None:
    """A veth pair between the switch and an interface of the host (None) or of a namespace."""
    if port not in _links(SWITCH) or peer not in _links(peer_netns):
        run("ip", "-n", SWITCH, "link", "delete", port, check=False)
        owner = ("-n", peer_netns) if peer_netns else ()
        run("ip", *owner, "link", "delete", peer, check=False)
        run("ip", *owner, "link", "add", peer, "type", "veth", "peer", "name", port, "netns", SWITCH)
    run("ip", "-n", SWITCH, "link", "set", port, "master", "sw0", "up")


def _solicit(netns: str | None, interface: str) -> None:
    settings = [f"net.ipv4.neigh.{interface}.{kind}_solicit={SOLICITATIONS}" for kind in ("ucast", "mcast")]
    command = ["sysctl", "-qw", *settings]
    run(*(inside(netns, *command) if netns else command))


def _links(netns: str | None) -> set[str]:
    inner = ("-n", netns) if netns else ()
    return {link["ifname"] for link in _json("ip", "-j", *inner, "link", "show")}


def _json(*argv: str) -> Iterable[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(*argv) or "[]")
    return [entry for entry in found if entry]
