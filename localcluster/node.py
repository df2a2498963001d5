"""A node: containerd, kubelet and kube-proxy with a network namespace, a folder and a cgroup of its own."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster import cgroups, direct, host, nodeconfig, processes
from localcluster.commands import run
from localcluster.errors import LocalClusterError
from localcluster.network import Member
from localcluster.nodeconfig import NAMESPACE, Paths

_CAP_SYS_RESOURCE = 24  # linux/capability.h
_DEVICE_PLUGIN_SOCKET = host.DEVICE_PLUGINS / "kubelet.sock"
_LONGEST_SOCKET = 107  # sun_path holds 108 bytes with its end
_PROXY_HEALTH = 10256  # kube-proxy's default for healthzBindAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of the local cluster.

    Attributes:
        member: its place in the network.
        folder: what ends with the cluster.
        images: containerd's store, which outlives the cluster.
        kube: the multi-call binary.
    """

    member: Member
    folder: Path
    images: Path
    kube: Path

    @property
    def name(self) -> str:
        """The name of the Node object, and of the cgroup."""
        return self.member.name

    @property
    def socket(self) -> Path:
        """Containerd's socket."""
        return self.folder / "containerd.sock"

    @property
    def paths(self) -> Paths:
        """Where the configuration finds its files."""
        return Paths(run=self.folder, images=self.images, socket=self.socket)

    def ctr(self, *words: str, check: bool = True, timeout: float = 120) -> str:
        """Runs containerd's own client against this node, among the images and containers of Kubernetes."""
        client = ("ctr", "--address", str(self.socket), "--namespace", NAMESPACE)
        return run(*client, *words, check=check, timeout=timeout)

    def start_containerd(self) -> None:
        """Starts containerd and waits until it answers; containers of an earlier cluster are removed."""
        cgroups.create(self.name)
        self._write_configuration()
        daemon = self._containerd()
        daemon.start()
        self._await_containerd(daemon)
        cleared = self.folder / "cleared"
        if not cleared.exists():
            if self.clear_containers():
                # The CRI plugin has read the old containers at its start: let it read again.
                daemon.stop()
                daemon.start()
                self._await_containerd(daemon)
            cleared.touch()

    def start_kubelet(self, kubeconfig: Path, *, client_ca: Path, seconds: float = 30) -> None:
        """Starts the kubelet and waits until it has its socket; containerd runs and has the pause image.

        The path of the socket is compiled in. A kubelet takes it from the one before, but of two that do so at
        the same time one gives up: so they are started one after the other.

        Args:
            kubeconfig: how it reaches the API server as this node.
            client_ca: signs the certificates of those who may call the kubelet.
            seconds: to wait.
        """
        text = nodeconfig.kubelet(self.paths, client_ca=client_ca, cgroup=f"/{self.name}")
        _write(self.folder / "kubelet.json", text)
        daemon = self._kubelet(kubeconfig)
        if daemon.alive():
            return
        before = _identity(_DEVICE_PLUGIN_SOCKET)
        daemon.start()
        until = time.monotonic() + seconds
        while _identity(_DEVICE_PLUGIN_SOCKET) in {None, before}:
            processes.await_alive(daemon, until=until)

    def start_proxy(self, kubeconfig: Path, *, seconds: float = 30) -> None:
        """Starts kube-proxy and waits until the services are reachable; the node has its addresses.

        Before that it would settle for loopback, and end itself when the addresses come.
        """
        _write(self.folder / "proxy.json", nodeconfig.kube_proxy(kubeconfig, node=self.name))
        daemon = self._proxy()
        daemon.start()
        until = time.monotonic() + seconds
        while direct.status(f"http://{self.member.address}:{_PROXY_HEALTH}/healthz") != 200:
            processes.await_alive(daemon, until=until)

    def daemons(self) -> list[processes.Daemon]:
        """The node's processes, in the order in which they are stopped."""
        return [self._kubelet(Path()), self._proxy(), self._containerd()]

    def stop(self) -> None:
        """Stops the node's processes and kills its pods; what is already dead is no trouble."""
        kubelet, proxy, containerd = self.daemons()
        kubelet.kill()
        proxy.kill()
        if containerd.alive():
            self.clear_containers()
        containerd.stop()
        cgroups.kill(self.name)

    def clear_containers(self) -> bool:
        """Kills and forgets all containers; returns whether there were any. The images stay."""
        containers = self.ctr("containers", "ls", "-q", check=False).split()
        if not containers:
            return False
        if tasks := self.ctr("tasks", "ls", "-q", check=False).split():
            self.ctr("tasks", "rm", "--force", *tasks, check=False)
        self.ctr("containers", "rm", *containers, check=False)
        return True

    def has_image(self, name: str) -> bool:
        """Whether the node has an image of this full name."""
        return name in self.ctr("images", "ls", "-q").split()

    def _write_configuration(self) -> None:
        if len(str(self.socket)) > _LONGEST_SOCKET:
            raise LocalClusterError(
                f"the path {self.socket} is too long for a socket: set a shorter CATFISH_CACHE"
            )
        paths = self.paths
        for folder in (paths.images, paths.cni / "net.d", paths.kubelet, self.folder / "volumeplugins"):
            folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "resolv.conf").touch()
        _write(paths.cni / "template", nodeconfig.cni_template(paths))
        may_raise = bool(_effective_capabilities() >> _CAP_SYS_RESOURCE & 1)
        _write(
            self.folder / "containerd.toml", nodeconfig.containerd(paths, may_raise_oom_priority=may_raise)
        )

    def _containerd(self) -> processes.Daemon:
        return self._daemon("containerd", ["containerd", "--config", str(self.folder / "containerd.toml")])

    def _kubelet(self, kubeconfig: Path) -> processes.Daemon:
        kubelet = [
            *(
                str(self.kube),
                "kubelet",
                f"--config={self.folder}/kubelet.json",
                f"--kubeconfig={kubeconfig}",
            ),
            *(f"--root-dir={self.paths.kubelet}", f"--cert-dir={self.folder}/pki"),
            *(f"--hostname-override={self.name}", f"--node-ip={self.member.address}"),
        ]
        return self._daemon("kubelet", kubelet)

    def _proxy(self) -> processes.Daemon:
        return self._daemon(
            "kube-proxy", [str(self.kube), "kube-proxy", f"--config={self.folder}/proxy.json"]
        )

    def _daemon(self, program: str, argv: list[str]) -> processes.Daemon:
        return processes.Daemon(
            name=program, argv=tuple(argv), directory=self.folder, netns=self.member.netns
        )

    def _await_containerd(self, daemon: processes.Daemon, *, seconds: float = 30) -> None:
        until = time.monotonic() + seconds
        while "Server:" not in self.ctr("version", check=False, timeout=10):
            processes.await_alive(daemon, until=until)


def nodes(places: Sequence[Member], *, folder: Path, images: Path, kube: Path) -> list[Node]:
    """The nodes of a cluster at their places in the network."""
    return [
        Node(member=place, folder=folder / place.name, images=images / place.name, kube=kube)
        for place in places
    ]


def _identity(file: Path) -> tuple[int, int] | None:
    """Tells a file from another that comes in its place, which may get the same inode; None: there is none."""
    try:
        status = file.lstat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_ctime_ns


def _write(file: Path, text: str) -> None:
    """Writes a file unless it says so already: kube-proxy ends itself when its configuration is touched."""
    if not file.exists() or file.read_text() != text:
        file.write_text(text)


def _effective_capabilities() -> int:
    status = Path(f"/proc/{os.getpid()}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return int(line.split()[1], 16)
