"""Where the cluster comes from: made here (local), made by kind, or the user's own (current)."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from localcluster import build, cluster, engine
from localcluster.commands import run
from localcluster.errors import LocalClusterError
from localcluster.progress import Progress

NAMES = ("auto", "local", "kind", "current")
_KIND_CLUSTER = "catfish"


class Provider(Protocol):
    """What the commands need of a cluster, wherever it comes from."""

    def up(self, *, size: int, progress: Progress) -> None:
        """Makes the cluster, or repairs it."""

    def down(self, *, purge: bool, progress: Progress) -> None:
        """Removes what `up` has made."""

    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""

    def load(self, names: Sequence[str], report: build.Report) -> None:
        """Gives images of this machine to all nodes, with a line for each."""


class Local:
    """A Kubernetes of processes on this machine."""

    def up(self, *, size: int, progress: Progress) -> None:
        """Makes the cluster, or repairs it."""
        cluster.up(size=size, progress=progress)

    def down(self, *, purge: bool, progress: Progress) -> None:
        """Removes the cluster."""
        cluster.down(purge=purge, progress=progress)

    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self._running().plane.kubeconfig

    def load(self, names: Sequence[str], report: build.Report) -> None:
        """Copies images from the image builder into each node's containerd."""
        from localcluster import images  # noqa: PLC0415 - the cluster alone does not need the image tools

        images.load(names, self._running().nodes, report)

    def _running(self) -> cluster.Cluster:
        running = cluster.current()
        if running is None:
            raise LocalClusterError("no local cluster is up; start one with `make cluster`")
        return running


class Kind:
    """A cluster of containers, by https://kind.sigs.k8s.io; without our store and LoadBalancer addresses."""

    def up(self, *, size: int, progress: Progress) -> None:
        """Makes the cluster; one that exists is kept as it is."""
        with progress.step("kind cluster"):
            if _KIND_CLUSTER in run("kind", "get", "clusters").split():
                return
            roles = [{"role": "control-plane"}, *({"role": "worker"} for _ in range(size - 1))]
            config = {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": roles}
            command = (
                "kind",
                "create",
                "cluster",
                "--name",
                _KIND_CLUSTER,
                "--config",
                "-",
                "--wait",
                "120s",
            )
            run(*command, "--kubeconfig", self._file(), stdin=json.dumps(config), timeout=900)

    def down(self, *, purge: bool, progress: Progress) -> None:  # noqa: ARG002 - kind keeps nothing
        """Removes the cluster."""
        with progress.step("kind cluster"):
            run("kind", "delete", "cluster", "--name", _KIND_CLUSTER, timeout=300)
            self._file().unlink(missing_ok=True)

    def kubeconfig(self) -> Path:
        """A file of its own: the user's current context stays what it is."""
        self._file().write_text(run("kind", "get", "kubeconfig", "--name", _KIND_CLUSTER))
        return self._file()

    def load(self, names: Sequence[str], report: build.Report) -> None:  # noqa: ARG002 - kind is silent
        """Copies images from Docker into each node."""
        run("kind", "load", "docker-image", "--name", _KIND_CLUSTER, *names, timeout=1800)

    def _file(self) -> Path:
        path = build.cache() / "clusters" / "kind.kubeconfig"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class Current:
    """The cluster of the user's kubeconfig; used, never changed."""

    def up(self, *, size: int, progress: Progress) -> None:  # noqa: ARG002 - it has the nodes that it has
        """Looks whether the API server answers."""
        with progress.step("current cluster"):
            run("kubectl", "get", "--raw", "/readyz", timeout=20)
        context = run("kubectl", "config", "current-context", check=False).strip()
        progress.say(f"     using the context {context or '(in-cluster)'} of {self.kubeconfig()}")

    def down(self, *, purge: bool, progress: Progress) -> None:  # noqa: ARG002 - nothing was made
        """Leaves the cluster alone."""
        progress.say("the current cluster is yours: it stays as it is")

    def kubeconfig(self) -> Path:
        """The first file that kubectl would read."""
        named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
        return Path(named) if named else Path.home() / ".kube" / "config"

    def load(self, names: Sequence[str], report: build.Report) -> None:  # noqa: ARG002 - nothing is loaded
        """Raises: only the owner knows where this cluster takes its images from."""
        raise LocalClusterError(f"push {', '.join(names)} to a registry that your cluster pulls from")


def chosen(name: str) -> tuple[Provider, str]:
    """Returns the provider of this name, and a line that says which it is and why."""
    if name == "auto":
        docker = engine.docker_answers()
        if docker and shutil.which("kind"):
            return Kind(), "provider: kind (Docker answers and kind is installed)"
        missing = "kind is not installed" if docker else "no Docker daemon answers"
        return Local(), f"provider: local ({missing})"
    named: dict[str, Provider] = {"local": Local(), "kind": Kind(), "current": Current()}
    return named[name], f"provider: {name} (as asked)"


def remember(name: str, provider: Provider) -> None:
    """Notes which provider the later commands mean; those before it stay noted, for `down`."""
    kind = {Local: "local", Kind: "kind", Current: "current"}.get(type(provider), name)
    _write([*(other for other in _noted() if other != kind), kind])


def remembered() -> Provider:
    """The provider of the last `up`; local if there was none."""
    return chosen((_noted() or ["local"])[-1])[0]


def used() -> dict[str, Provider]:
    """What was brought up and not taken down since, by name, the latest first; local if there was none."""
    names = _noted()
    if "local" not in names and (not names or cluster.begun()):  # an `up` that failed is noted by nobody
        names.insert(0, "local")
    return {name: chosen(name)[0] for name in reversed(names)}


def forget(name: str) -> None:
    """Removes a provider from the note."""
    _write([other for other in _noted() if other != name])


def _noted() -> list[str]:
    """The names in the order of their last `up`."""
    return _note().read_text().split() if _note().exists() else []


def _write(names: Sequence[str]) -> None:
    if not names:
        _note().unlink(missing_ok=True)
        return
    _note().parent.mkdir(parents=True, exist_ok=True)
    _note().write_text("\n".join(names))


def _note() -> Path:
    return build.cache() / "clusters" / "provider"
