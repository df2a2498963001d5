"""Addresses for Services of type LoadBalancer: runs the controller of kube/loadbalancer."""

from pathlib import Path
from typing import Any

from localcluster import addresses, rbac
from localcluster.controlplane import ControlPlane
from localcluster.processes import Daemon

USER = "catfish-loadbalancer"


def daemon(plane: ControlPlane, *, directory: Path) -> Daemon:
    """Returns the controller's process.

    Args:
        plane: whose Services get addresses.
        directory: for log and pid file.
    """
    flags = (f"--kubeconfig={plane.kubeconfig_for(USER)}", f"--pool={addresses.LOADBALANCERS}")
    argv = (str(plane.kube), "loadbalancer-addresses", *flags)
    return Daemon(name="loadbalancer-addresses", argv=argv, directory=directory, netns=plane.netns)


def objects() -> list[dict[str, Any]]:
    """What the controller may do."""
    return rbac.role(USER, [rbac.rule("", ["services"]), rbac.rule("", ["services/status"], ["update"])])
