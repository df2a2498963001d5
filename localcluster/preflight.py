"""What must be right before a cluster is started, each checked before anything is changed."""

import os
import shutil
import sys
from pathlib import Path

from localcluster import host, network
from localcluster.errors import LocalClusterError

_NEEDED_GB = 5  # state, images' snapshots and logs of the cluster alone


def require_root() -> None:
    """Raises unless we run on Linux as root: namespaces, cgroups and mounts are made."""
    if sys.platform != "linux":
        raise LocalClusterError("the local cluster needs Linux; elsewhere use --provider kind or current")
    if os.geteuid() != 0:
        raise LocalClusterError(
            "the local cluster needs root: run it with sudo, or use --provider kind or current"
        )


def check(folder: Path, *, fresh: bool) -> None:
    """Raises in one line when something stands in the way.

    Args:
        folder: where the cluster's state will lie.
        fresh: whether no cluster is there yet; a running one is in nobody's way.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / 1e9
    if free < _NEEDED_GB:
        raise LocalClusterError(
            f"{existing} has {free:.1f} GB left, the cluster needs {_NEEDED_GB}: choose another CATFISH_CACHE"
        )
    if not fresh:
        return
    if taken := network.collisions():
        raise LocalClusterError(f"{taken[0]}; remove it first (`ip route`, `ip address` show it)")
    if (host.DEVICE_PLUGINS / "kubelet.sock").exists() and not (folder / "host.json").exists():
        raise LocalClusterError(
            "another kubelet runs on this machine (/var/lib/kubelet/device-plugins/kubelet.sock) and two "
            "would disturb each other: use that cluster, with --provider current"
        )
