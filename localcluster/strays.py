"""Finds and ends what is left of a cluster, by looking and not by remembering: `up` and `down` call it.

What is ours shows by itself: our network namespaces and cgroups have our names, and the programs outside of them
have the cluster's folder on their command line or a file of it open.
"""

import functools
from collections.abc import Sequence
from pathlib import Path

from localcluster import cgroups, host, network
from localcluster.node import Node
from localcluster.processes import Daemon

_SHIM = "containerd-shim-runc-v2"
PROGRAMS = frozenset(
    {"containerd", _SHIM, "runc", "etcd", "kube", "coredns", "metrics-server", "nginx", "versitygw"}
)
"""All that a cluster runs outside of its pods."""


def stop(nodes: Sequence[Node], daemons: Sequence[Daemon]) -> None:
    """Stops daemons of an older build, and all that has lost its network namespace.

    The latter lives on, in a namespace without a name that nobody else can reach. A node's pods go with it: their
    cables end there. The kubelet makes them anew.
    """
    for node in nodes:
        if any(_is_lost(daemon) for daemon in node.daemons()):
            node.stop()
        host.kill(functools.partial(_lost_shims, node))
    for daemon in daemons:
        pid = daemon.pid
        if pid is None:
            continue
        program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
        if _is_lost(daemon) or (daemon.argv[0].startswith("/") and program != daemon.argv[0]):
            daemon.stop()


def sweep(state: Path, *, purge: bool) -> None:
    """Removes everything of the cluster in this folder.

    Args:
        state: the cluster's folder.
        purge: whether the images go too.
    """
    host.kill(lambda: host.processes_in(network.NETNS_DIRECTORY / netns for netns in network.namespaces()))
    host.kill(lambda: host.processes_of(state, programs=PROGRAMS))
    for name in {group.name for group in cgroups.existing(network.NODE_PREFIX)}:
        cgroups.kill(name)
        cgroups.remove(name)
    for node in (state / "nodes").glob("*"):
        host.remove_shim_sockets(node / "containerd")
    host.unmount_below(state)
    network.remove()
    host.restore(state / "host.json", ours=state)
    for path in sorted(state.glob("*")):
        if path.name != "images" or purge:
            host.remove_folder(path) if path.is_dir() else path.unlink()
    if purge and state.exists():
        state.rmdir()


def _is_lost(daemon: Daemon) -> bool:
    """Whether it runs, and not in the network namespace that has its name."""
    pid = daemon.pid
    return pid is not None and daemon.netns is not None and pid not in _processes_in(daemon.netns)


def _lost_shims(node: Node) -> set[int]:
    """The shims of the node's containers that an `up` which failed has left in a namespace without a name."""
    return host.processes_of(node.folder, programs=(_SHIM,)) - _processes_in(node.member.netns)


def _processes_in(netns: str) -> set[int]:
    """The processes in the namespace of this name; none where there is no such namespace."""
    return host.processes_in([network.NETNS_DIRECTORY / netns]) if netns in network.namespaces() else set()
