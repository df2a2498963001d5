"""metrics-server, which tells horizontal autoscalers how busy pods are: a process on the first node.

Only where it is asked for: an API that is registered and does not answer keeps namespaces from being deleted.
"""

import base64
from pathlib import Path
from typing import Any

from localcluster import rbac
from localcluster.controlplane import ControlPlane
from localcluster.processes import Daemon

USER = "catfish-metrics-server"
PORT = 4443
SERVICE = "metrics-server.kube-system.svc"
RESOLUTION = "10s"
"""The least that it takes: autoscalers look every 15 s."""

_LABELS = {"k8s-app": "metrics-server"}


def daemon(plane: ControlPlane, *, program: Path, directory: Path) -> Daemon:
    """Returns the process.

    Args:
        plane: whose nodes it asks; it listens on the same address.
        program: metrics-server.
        directory: for log and pid file.
    """
    kubeconfig = plane.kubeconfig_for(USER)
    serving = plane.authority.server("metrics-server", hosts=[SERVICE, plane.address])
    flags = (
        *(f"--{part}kubeconfig={kubeconfig}" for part in ("", "authentication-", "authorization-")),
        *(f"--bind-address={plane.address}", f"--secure-port={PORT}"),
        *(f"--tls-cert-file={serving.certificate}", f"--tls-private-key-file={serving.key}"),
        # kubelets sign their own certificates, as on most clusters that people make on one machine
        *("--kubelet-preferred-address-types=InternalIP", "--kubelet-insecure-tls"),
        *(f"--metric-resolution={RESOLUTION}", "--kubelet-request-timeout=5s"),
    )
    return Daemon(name="metrics-server", argv=(str(program), *flags), directory=directory, netns=plane.netns)


def objects(plane: ControlPlane) -> list[dict[str, Any]]:
    """What it may do, and the API that it serves through the API server."""
    meta = {"name": "metrics-server", "namespace": "kube-system", "labels": _LABELS}
    authority = base64.b64encode(plane.authority.certificate.read_bytes()).decode()
    ports = [{"name": "https", "port": 443, "targetPort": PORT}]
    return [
        *rbac.role(
            USER,
            [
                rbac.rule("", ["nodes", "pods", "namespaces", "configmaps"]),
                rbac.rule("", ["nodes/metrics"], ["get"]),
                rbac.rule("authentication.k8s.io", ["tokenreviews"], ["create"]),
                rbac.rule("authorization.k8s.io", ["subjectaccessreviews"], ["create"]),
            ],
        ),
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**meta, "labels": {**_LABELS, "kubernetes.io/service-name": "metrics-server"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [plane.address], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": PORT}],
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1beta1.metrics.k8s.io", "labels": _LABELS},
            "spec": {
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": authority,
                "service": {"name": "metrics-server", "namespace": "kube-system", "port": 443},
            },
        },
    ]
