"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler as processes of this machine.

The local cluster runs them in its first node's network namespace; tests run them on loopback, without a node:

    with ControlPlane.start_in(directory) as plane:
        ...  # plane.kubeconfig, plane.audit_log, plane.stop_apiserver(), plane.start_apiserver()

Certificates are real, RBAC and Node authorization are on, and the audit log holds every write.
"""

import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from localcluster import addresses, build, direct, kubeconfig
from localcluster.commands import run
from localcluster.pki import Authority, Certificate
from localcluster.ports import free_ports
from localcluster.processes import Daemon, await_alive

AUDIT_POLICY = Path(__file__).with_name("audit.json")
FRONT_PROXY = "catfish-front-proxy"
ADMIN = "catfish-admin"

NODE_GRACE_SECONDS = 150
"""How long a node may be silent before its pods are taken for not Ready; 50 by default. An API server that is away
silences every node: a minute of that, which the tests make, would take healthy pods out of their Services."""
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """A control plane in a folder; every method may be called again at any time.

    Attributes:
        directory: data, certificates, logs and pid files.
        kube: the multi-call binary.
        address: where the API server listens; what others reach it by.
        port: the API server's port.
        etcd_port: etcd's port for clients, on loopback.
        etcd_peer_port: etcd's port for other etcds, of which there are none.
        netns: the network namespace to run in; None is ours.
        pods: the range that nodes get their pod ranges from; None where there are no nodes.
        scheduler: whether pods are given to nodes.
        manager_flags: what else kube-controller-manager is told.
    """

    directory: Path
    kube: Path
    address: str = _LOOPBACK
    port: int = 6443
    etcd_port: int = 2379
    etcd_peer_port: int = 2380
    netns: str | None = None
    pods: str | None = None
    scheduler: bool = False
    manager_flags: tuple[str, ...] = ()

    @classmethod
    @contextmanager
    def start_in(
        cls, directory: Path, *, scheduler: bool = False, manager_flags: tuple[str, ...] = ()
    ) -> Iterator["ControlPlane"]:
        """Starts a control plane on free ports of loopback and stops it at the end of the block."""
        port, etcd_port, etcd_peer_port = free_ports(3)
        plane = cls(
            directory=directory,
            kube=build.kube(),
            port=port,
            etcd_port=etcd_port,
            etcd_peer_port=etcd_peer_port,
            scheduler=scheduler,
            manager_flags=manager_flags,
        )
        try:
            plane.start()
            yield plane
        finally:
            plane.stop()

    @property
    def url(self) -> str:
        """The API server's URL."""
        return f"https://{self.address}:{self.port}"

    @property
    def authority(self) -> Authority:
        """Signs every certificate of the cluster."""
        return Authority(directory=self.directory / "pki")

    @property
    def kubeconfig(self) -> Path:
        """For a user who may do everything."""
        return self.kubeconfig_for(ADMIN, groups=["system:masters"])

    @property
    def audit_log(self) -> Path:
        """One JSON object a line: who asked for what. Reads by Kubernetes itself are left out."""
        return self.directory / "audit.log"

    def kubeconfig_for(self, user: str, *, groups: Sequence[str] = ()) -> Path:
        """Returns a kubeconfig for a user of this name; what the user may do is RBAC's affair."""
        return kubeconfig.write(
            self.directory / "kubeconfigs" / user.replace(":", "-"),
            server=self.url,
            authority=self.authority.certificate,
            identity=self.authority.client(user, groups=groups),
        )

    def kubectl(self, *argv: str, stdin: str | None = None, check: bool = True, timeout: float = 60) -> str:
        """Runs kubectl as the administrator and returns what it wrote.

        Raises:
            LocalClusterError: it failed and check is set; its last line is quoted.
        """
        return run(
            self.kube,
            "kubectl",
            f"--kubeconfig={self.kubeconfig}",
            *argv,
            stdin=stdin,
            env=direct.environment(),
            check=check,
            timeout=timeout,
        )

    def start(self) -> None:
        """Starts what does not run and waits until the API server is ready.

        Raises:
            LocalClusterError: a component died or took too long; the end of its log is quoted.
        """
        self.etcd.start()
        self.start_apiserver()
        for daemon in self._clients():
            daemon.start()

    def stop(self) -> None:
        """Stops everything; the data stays."""
        for daemon in reversed(self.daemons()):
            daemon.stop()

    def start_apiserver(self, *, seconds: float = 60) -> None:
        """Starts the API server and waits until it is ready."""
        daemon = self.apiserver
        daemon.start()
        until = time.monotonic() + seconds
        while not self.ready():
            for needed in (self.etcd, daemon):
                await_alive(needed, until=until)

    def stop_apiserver(self) -> None:
        """Takes the API server away, as an upgrade does; clients see refused connections."""
        self.apiserver.stop(seconds=3)

    def wake(self) -> None:
        """Starts the API server's clients anew; after an outage their watches pause up to half a minute."""
        for daemon in self._clients():
            daemon.stop()
            daemon.start()

    def ready(self) -> bool:
        """Whether the API server says so."""
        identity = self.authority.client(ADMIN, groups=["system:masters"])
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.load_cert_chain(identity.certificate, identity.key)
        return direct.status(f"{self.url}/readyz", context=context) == 200

    def daemons(self) -> list[Daemon]:
        """The processes, in the order in which they start."""
        return [self.etcd, self.apiserver, *self._clients()]

    @property
    def etcd(self) -> Daemon:
        """The process of etcd. Nothing is synced to disk: a cluster that lost power is made anew."""
        client, peer = (f"http://{_LOOPBACK}:{port}" for port in (self.etcd_port, self.etcd_peer_port))
        return self._daemon(
            *("etcd", f"--data-dir={self.directory / 'etcd'}", "--unsafe-no-fsync", "--logger=zap"),
            *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
            *(f"--initial-cluster=default={peer}", "--auto-compaction-retention=1h"),
        )

    @property
    def apiserver(self) -> Daemon:
        """The process of kube-apiserver."""
        serving = self._serving_certificate()
        kubelet = self.authority.client("kube-apiserver-kubelet-client", groups=["system:masters"])
        front = self.authority.client(FRONT_PROXY)
        tokens = self.authority.signing_key("service-accounts")
        # The address in the Endpoints of the Service `kubernetes` may not be loopback.
        reconciler = "none" if ip_address(self.address).is_loopback else "lease"
        return self._kube(
            *("kube-apiserver", f"--etcd-servers=http://{_LOOPBACK}:{self.etcd_port}"),
            *(f"--bind-address={self.address}", f"--advertise-address={self.address}"),
            *(f"--secure-port={self.port}", f"--endpoint-reconciler-type={reconciler}"),
            *(f"--tls-cert-file={serving.certificate}", f"--tls-private-key-file={serving.key}"),
            *(f"--client-ca-file={self.authority.certificate}", "--authorization-mode=Node,RBAC"),
            *("--enable-admission-plugins=NodeRestriction", "--allow-privileged=true"),
            *(
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={tokens}",
            ),
            *(f"--service-account-signing-key-file={tokens}", "--kubelet-preferred-address-types=InternalIP"),
            f"--kubelet-client-certificate={kubelet.certificate}",
            *(f"--kubelet-client-key={kubelet.key}", f"--service-cluster-ip-range={addresses.SERVICES}"),
            # how an API behind this one (metrics-server) knows whom it answers
            *(f"--proxy-client-cert-file={front.certificate}", f"--proxy-client-key-file={front.key}"),
            *(f"--requestheader-client-ca-file={self.authority.certificate}",),
            *(f"--requestheader-allowed-names={FRONT_PROXY}", "--requestheader-group-headers=X-Remote-Group"),
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            *(f"--audit-policy-file={AUDIT_POLICY}", f"--audit-log-path={self.audit_log}"),
            *("--audit-log-maxsize=100", "--audit-log-maxbackup=2", "--profiling=false"),
        )

    def _clients(self) -> list[Daemon]:
        """The components that talk to the API server, each as its own user; they serve nothing themselves."""
        manager = self.kubeconfig_for("system:kube-controller-manager")
        ranges = [] if self.pods is None else ["--allocate-node-cidrs", f"--cluster-cidr={self.pods}"]
        controllers = self._kube(
            *(
                "kube-controller-manager",
                f"--kubeconfig={manager}",
                "--leader-elect=false",
                "--secure-port=0",
            ),
            *(f"--service-account-private-key-file={self.authority.signing_key('service-accounts')}",),
            *(f"--root-ca-file={self.authority.certificate}", "--use-service-account-credentials"),
            *("--kube-api-qps=200", "--kube-api-burst=400", "--profiling=false", *ranges),
            *(f"--node-monitor-grace-period={NODE_GRACE_SECONDS}s", *self.manager_flags),
        )
        if not self.scheduler:
            return [controllers]
        scheduler = self.kubeconfig_for("system:kube-scheduler")
        return [
            controllers,
            self._kube(
                "kube-scheduler", f"--kubeconfig={scheduler}", "--leader-elect=false", "--secure-port=0"
            ),
        ]

    def _serving_certificate(self) -> Certificate:
        service = "kubernetes.default.svc"
        names = ("kubernetes", "kubernetes.default", service, f"{service}.cluster.local")
        hosts = dict.fromkeys((self.address, _LOOPBACK, addresses.API, "localhost", *names))
        return self.authority.server("kube-apiserver", hosts=list(hosts))

    def _kube(self, component: str, *flags: str) -> Daemon:
        daemon = self._daemon(component, *flags)
        return replace(daemon, argv=(str(self.kube), *daemon.argv))

    def _daemon(self, program: str, *flags: str) -> Daemon:
        return Daemon(name=program, argv=(program, *flags), directory=self.directory, netns=self.netns)
