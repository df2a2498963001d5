"""What runs beside Kubernetes: DNS, LoadBalancer addresses, the store for weights, and metrics where asked for."""

import json
from dataclasses import dataclass
from pathlib import Path

from localcluster import addresses, build, dns, loadbalancer, metricsserver, store
from localcluster.controlplane import ControlPlane
from localcluster.processes import Daemon
from localcluster.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """The programs of the addons; what nobody asked for is None."""

    coredns: Path
    versitygw: Path
    metrics_server: Path | None = None

    @classmethod
    def built(cls, report: build.Report, *, metrics: bool = False) -> "Programs":
        """Builds what is not in the cache."""
        return cls(
            coredns=build.coredns(report),
            versitygw=build.versitygw(report),
            metrics_server=build.metrics_server(report) if metrics else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Addons:
    """The helpers of one cluster.

    Attributes:
        folder: the cluster's folder.
        plane: whose API they use.
        programs: what they run.
    """

    folder: Path
    plane: ControlPlane
    programs: Programs

    @property
    def store(self) -> Store:
        """The store for weights, on the host's address: it is there before any pod is."""
        return Store(
            directory=self.folder / "store",
            versitygw=self.programs.versitygw,
            address=addresses.HOST,
            http_port=addresses.STORE_HTTP_PORT,
            s3_port=addresses.STORE_S3_PORT,
            s3_behind=addresses.STORE_S3_BEHIND,
        )

    def start(self) -> None:
        """Starts what does not run, and tells Kubernetes of it."""
        items = [*dns.objects(self.plane.address), *loadbalancer.objects(), *store.objects()]
        if self.programs.metrics_server:
            items += metricsserver.objects(self.plane)
        wanted = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        self.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=wanted)
        for daemon in self._users_of_the_api():
            daemon.start()
        self.store.start()

    def daemons(self) -> list[Daemon]:
        """The processes."""
        return [*self._users_of_the_api(), *self.store.daemons()]

    def _users_of_the_api(self) -> list[Daemon]:
        directory = self.folder / "addons"
        found = [
            dns.daemon(self.plane, coredns=self.programs.coredns, directory=directory),
            loadbalancer.daemon(self.plane, directory=directory),
        ]
        if program := self.programs.metrics_server:
            found.append(metricsserver.daemon(self.plane, program=program, directory=directory))
        return found
