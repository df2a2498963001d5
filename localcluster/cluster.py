"""The local cluster as a whole: `up`, `down` and what there is in between.

    clusters/catfish/host.json    what the host looked like before
                     plane/       control plane: data, certificates, logs
                     nodes/       a folder a node: configuration, pods' volumes, logs
                     addons/      DNS and LoadBalancer addresses
                     store/       the weights that the store serves
                     images/      containerd's images, a folder a node; `down` keeps them unless told to purge

Both commands may be given at any time, in any state: `up` starts what is missing, `down` removes what is
there.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from localcluster import addresses, build, host, network, pauseimage, preflight, prerequisites, strays
from localcluster.addons import Addons, Programs
from localcluster.controlplane import ControlPlane
from localcluster.errors import LocalClusterError
from localcluster.node import Node, nodes
from localcluster.nodeconfig import PAUSE_IMAGE
from localcluster.processes import Daemon
from localcluster.progress import Progress

_HOST = "host.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The cluster's parts, running or not.

    Attributes:
        folder: its state.
        kube: the multi-call binary.
        programs: what the addons run.
        size: the number of nodes.
    """

    folder: Path
    kube: Path
    programs: Programs
    size: int

    @property
    def places(self) -> tuple[network.Member, ...]:
        """The nodes' places in the network."""
        return network.members(self.size)

    @property
    def nodes(self) -> list[Node]:
        """The nodes; the first one's namespace holds the control plane."""
        return nodes(self.places, folder=self.folder / "nodes", images=self.folder / "images", kube=self.kube)

    @property
    def plane(self) -> ControlPlane:
        """The control plane."""
        return ControlPlane(
            directory=self.folder / "plane",
            kube=self.kube,
            address=addresses.node(1),
            netns=addresses.NETNS,
            pods=addresses.PODS,
            scheduler=True,
        )

    def api_reachable(self) -> bool:
        """Whether each node leads to the API server by its Service, as pods ask for it."""
        return all(network.connects(place.netns, addresses.API, 443) for place in self.places)

    @property
    def addons(self) -> Addons:
        """What runs beside Kubernetes."""
        return Addons(folder=self.folder, plane=self.plane, programs=self.programs)

    def daemons(self) -> list[tuple[str, Daemon]]:
        """All processes with the part that they belong to."""
        found = [("control plane", daemon) for daemon in self.plane.daemons()]
        found += [(node.name, daemon) for node in self.nodes for daemon in node.daemons()]
        return [*found, *(("addon", daemon) for daemon in self.addons.daemons())]


def folder() -> Path:
    """Where the cluster's state lies."""
    return build.cache() / "clusters" / "catfish"


def current() -> Cluster | None:
    """The cluster that was brought up and not taken down since; its processes may have died."""
    try:
        note = json.loads((folder() / "cluster.json").read_text())
        found = {field.name: note.get(field.name) for field in fields(Programs)}
        programs = Programs(**{name: Path(path) for name, path in found.items() if path})
        return Cluster(folder=folder(), kube=Path(note["kube"]), programs=programs, size=note["size"])
    except (
        FileNotFoundError,
        ValueError,
        KeyError,
        TypeError,
    ):  # none, or one of another version: `down` does without the note
        return None


def begun() -> bool:
    """Whether an `up`, be it one that failed, has changed something that `down` would put back."""
    return (folder() / _HOST).exists()


def up(*, size: int = 1, metrics: bool = False, progress: Progress | None = None) -> Cluster:
    """Brings the cluster up, or repairs it; returns when all nodes are Ready.

    Args:
        size: the number of nodes. A cluster with more keeps them.
        metrics: whether metrics-server is wanted. A cluster that has it keeps it.
        progress: where the steps are reported; None prints them.

    Raises:
        LocalClusterError: in one line, what is missing or does not work.
    """
    report = progress or Progress()
    preflight.require_root()
    with _locked():
        before = current()
        metrics = metrics or (before is not None and before.programs.metrics_server is not None)
        with report.step("checks"):
            preflight.check(folder(), fresh=before is None, metrics=metrics)
            prerequisites.install(report.say)
            if before is None:
                preflight.check_addresses()
        with report.step("programs"):
            kube, pause = build.kube(report.say), build.pause(report.say)
            programs = Programs.built(report.say, metrics=metrics)
        size = max(size, before.size if before else 1)
        cluster = Cluster(folder=folder(), kube=kube, programs=programs, size=size)
        host.remember(cluster.folder / _HOST)
        _note(cluster)
        _bring_up(cluster, pause=pause, report=report)
    return cluster


def down(*, purge: bool = False, progress: Progress | None = None) -> None:
    """Removes the cluster and everything that it made, even when it is half dead.

    Args:
        purge: whether the images go too. Without it the next cluster has them at once.
        progress: where the steps are reported; None prints them.
    """
    report = progress or Progress()
    preflight.require_root()
    prerequisites.tidy()
    with _locked():
        cluster = current()
        if cluster is not None:
            with report.step("stop pods and daemons"):
                _stop(cluster)
        with report.step("remove what is left"):
            strays.sweep(folder(), purge=purge)


def await_ready(cluster: Cluster, *, seconds: float = 60) -> dict[str, str]:
    """Waits until every node is Ready and returns the nodes' pod ranges by name.

    Raises:
        LocalClusterError: a node did not get ready; what it says about itself is quoted.
    """
    deadline = time.monotonic() + seconds
    while True:
        items = json.loads(cluster.plane.kubectl("get", "nodes", "-o", "json"))["items"]
        found = {item["metadata"]["name"]: item for item in items}
        waiting = [place.name for place in cluster.places if not _is_ready(found.get(place.name))]
        if not waiting:
            return {place.name: found[place.name]["spec"]["podCIDR"] for place in cluster.places}
        if time.monotonic() > deadline:
            raise LocalClusterError(f"{waiting[0]} does not get Ready: {_why(cluster, waiting[0], found)}")
        time.sleep(0.1)


def _bring_up(cluster: Cluster, *, pause: Path, report: Progress) -> None:
    with report.step("network"):
        strays.stop(cluster.nodes, [daemon for _, daemon in cluster.daemons()])
        network.create(cluster.places)
    with report.step("control plane"):
        cluster.plane.start()
    with report.step("containerd"):
        archive = pauseimage.pack(pause, pause.with_name("pause.tar"))
        for node in cluster.nodes:
            node.start_containerd()
            if not node.has_image(PAUSE_IMAGE):
                node.ctr("images", "import", str(archive))
    plane = cluster.plane
    with report.step("DNS, addresses, store"):
        cluster.addons.start()
    with report.step("nodes"):
        for node in cluster.nodes:
            identity = plane.kubeconfig_for(f"system:node:{node.name}", groups=["system:nodes"])
            node.start_kubelet(identity, client_ca=plane.authority.certificate)
        network.route(cluster.places, await_ready(cluster))
    with report.step("services"):
        for node in cluster.nodes:
            node.start_proxy(plane.kubeconfig_for("system:kube-proxy"))


def _stop(cluster: Cluster) -> None:
    """Ends the pods and all processes. What this cannot end, the sweep that follows does."""
    for node in cluster.nodes:
        with suppress(LocalClusterError):
            node.stop()
    with suppress(LocalClusterError):
        cluster.addons.store.stop()
    for daemon in reversed(cluster.plane.daemons()):
        with suppress(LocalClusterError):
            daemon.kill()  # its data goes too: nothing is gained by a farewell


def _note(cluster: Cluster) -> None:
    part = cluster.folder / "cluster.part"
    note = {"kube": cluster.kube, "size": cluster.size, **asdict(cluster.programs)}
    part.write_text(json.dumps(note, default=str))
    part.rename(cluster.folder / "cluster.json")


@contextmanager
def _locked() -> Iterator[None]:
    """Lets one `up` or `down` work at a time; the second waits."""
    with build.locked(folder().with_suffix(".lock")):
        folder().mkdir(parents=True, exist_ok=True)
        yield


def _is_ready(node: Mapping[str, Any] | None) -> bool:
    """Whether a Node object is Ready and has its pod range."""
    if node is None or not node["spec"].get("podCIDR"):
        return False
    conditions = {condition["type"]: condition for condition in node["status"].get("conditions", [])}
    return bool(conditions.get("Ready", {}).get("status") == "True")


def _why(cluster: Cluster, name: str, found: Mapping[str, Any]) -> str:
    """The sentence of the node's own condition, or what its kubelet wrote last."""
    node = found.get(name, {"status": {}})
    for condition in node["status"].get("conditions", []):
        if condition["type"] == "Ready":
            return str(condition["message"])
    kubelet = next(node for node in cluster.nodes if node.name == name).daemons()[0]
    return f"{kubelet.log} ends with:\n{kubelet.tail()}"
