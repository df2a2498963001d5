"""What runs beside Kubernetes: DNS, LoadBalancer addresses and the store for weights."""

import json
from dataclasses import dataclass
from pathlib import Path

from localcluster import addresses, build, dns, loadbalancer, store
from localcluster.controlplane import ControlPlane
from localcluster.processes import Daemon
from localcluster.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """The programs of the addons."""

    coredns: Path
    versitygw: Path

    @classmethod
    def built(cls, report: build.Report) -> "Programs":
        """Builds what is not in the cache."""
        return cls(coredns=build.coredns(report), versitygw=build.versitygw(report))


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
        )

    def start(self) -> None:
        """Starts what does not run, and tells Kubernetes of it."""
        items = [*dns.objects(self.plane.address), *loadbalancer.objects(), *store.objects()]
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
        return [
            dns.daemon(self.plane, coredns=self.programs.coredns, directory=directory),
            loadbalancer.daemon(self.plane, directory=directory),
        ]
