"""The cluster's DNS: CoreDNS as a process on the first node, known to pods as the Service kube-dns.

Names outside of cluster.local do not exist: nothing is forwarded, so no query leaves the machine.
"""

from pathlib import Path
from typing import Any

from localcluster import addresses, rbac
from localcluster.controlplane import ControlPlane
from localcluster.processes import Daemon

USER = "catfish-dns"
_LABELS = {"k8s-app": "kube-dns"}


def daemon(plane: ControlPlane, *, coredns: Path, directory: Path) -> Daemon:
    """Returns the DNS server's process, with its settings written.

    Args:
        plane: whose Services it knows; it listens on the same address.
        coredns: the program.
        directory: for settings, log and pid file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    settings = directory / "Corefile"
    settings.write_text(corefile(address=plane.address, kubeconfig=plane.kubeconfig_for(USER)))
    argv = (str(coredns), "-conf", str(settings))
    return Daemon(name="coredns", argv=argv, directory=directory, netns=plane.netns)


def corefile(*, address: str, kubeconfig: Path, port: int = 53, ready_port: int = 8181) -> str:
    """Returns CoreDNS's settings."""
    return f"""\
.:{port} {{
    bind {address}
    errors
    ready {address}:{ready_port}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
    }}
    cache 5
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def objects(address: str) -> list[dict[str, Any]]:
    """What CoreDNS may read, and the Service by which pods reach it.

    Args:
        address: where it listens.
    """
    meta = {"name": "kube-dns", "namespace": "kube-system", "labels": _LABELS}
    ports = [
        {"name": f"dns-{protocol.lower()}", "protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")
    ]
    return [
        *rbac.role(
            USER,
            [rbac.rule("", ["services", "namespaces"]), rbac.rule("discovery.k8s.io", ["endpointslices"])],
        ),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"clusterIP": addresses.DNS, "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**meta, "labels": {**_LABELS, "kubernetes.io/service-name": "kube-dns"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": ports,
        },
    ]
