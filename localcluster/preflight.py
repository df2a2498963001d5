"""What must be right before a cluster is started, checked before anything is changed.

Only the look for addresses comes after the installation of packages: it takes `ip`.
"""

import os
import shutil
import sys
from pathlib import Path

from localcluster import build, host, network
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


def check(folder: Path, *, fresh: bool, metrics: bool = False) -> None:
    """Raises in one line when something stands in the way that no package would mend.

    Args:
        folder: where the cluster's state will lie.
        fresh: whether no cluster is there yet; a running one is in nobody's way.
        metrics: whether metrics-server has to be built too.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free / 1e9
    if free < _NEEDED_GB:
        raise LocalClusterError(
            f"{existing} has {free:.1f} GB left, the cluster needs {_NEEDED_GB}: choose another CATFISH_CACHE"
        )
    build.require_compiler(metrics=metrics)
    foreign = (host.DEVICE_PLUGINS / "kubelet.sock").exists() and not (folder / "host.json").exists()
    if fresh and foreign:
        raise LocalClusterError(
            "another kubelet runs on this machine (/var/lib/kubelet/device-plugins/kubelet.sock) and two "
            "would disturb each other: use that cluster, with --provider current"
        )


def check_addresses() -> None:
    """Raises when something else uses the addresses of a cluster that is not there yet."""
    if taken := network.collisions():
        raise LocalClusterError(f"{taken[0]}; remove it first (`ip route`, `ip address` show it)")
