"""The programs that the local cluster takes from the distribution: names and installs what is missing."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from localcluster import build
from localcluster.errors import LocalClusterError

# program (on PATH or a full path) -> Debian and Ubuntu package
_PACKAGES = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "buildah": "buildah",
    "iptables": "iptables",
    "debootstrap": "debootstrap",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nginx": "nginx-light",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "mount": "mount",
    "curl": "curl",
}
_SERVICES = ("etcd", "containerd", "nginx")
_POLICY = Path("/usr/sbin/policy-rc.d")  # see invoke-rc.d(8)


def missing() -> list[str]:
    """The packages whose programs are not there, by their Debian names."""
    packages = [package for program, package in _PACKAGES.items() if not _found(program)]
    if importlib.util.find_spec("ensurepip") is None:  # Debian's python3 comes without
        packages.append("python3-venv")
    return packages


def problem() -> str | None:
    """One line that names all that is missing, with what to do about it; None when nothing is."""
    parts = []
    if packages := missing():
        parts.append(f"these packages are missing: {' '.join(packages)} (`apt-get install` them)")
    try:
        build.go()
    except LocalClusterError as error:
        parts.append(str(error))
    return "; ".join(parts) or None


def install(report: Callable[[str], None] = print) -> None:
    """Installs what is missing with apt-get, as root. No service of the system is started or enabled by it.

    Raises:
        LocalClusterError: something is missing and cannot be installed from here.
    """
    packages = missing()
    if packages and (not shutil.which("apt-get") or os.geteuid() != 0):
        raise LocalClusterError(problem() or "")
    if not packages:
        return
    report(f"installing {' '.join(packages)}")
    running = {name for name in _SERVICES if _enabled(name)}
    with _nothing_started():
        _apt("update", "--quiet=2")
        _apt("install", "--quiet=2", "--yes", "--no-install-recommends", *packages)
    for name in _SERVICES:  # enabled by their packages: they would start with the machine
        if name not in running and _enabled(name):
            subprocess.run(["systemctl", "disable", name], check=False, capture_output=True)
    if left := missing():
        raise LocalClusterError(
            f"apt-get installed {' '.join(left)}, but the programs are not where they belong"
        )


def _found(program: str) -> bool:
    usual = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    return shutil.which(program, path=usual) is not None


def _apt(*words: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    argv: Sequence[str] = ("apt-get", *words)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise LocalClusterError(f"`apt-get {words[0]}` failed: {''.join(said)}")


def _enabled(service: str) -> bool:
    if not shutil.which("systemctl"):
        return False
    done = subprocess.run(["systemctl", "is-enabled", "--quiet", service], check=False, capture_output=True)
    return done.returncode == 0


@contextmanager
def _nothing_started() -> Iterator[None]:
    """Packages start their services right away unless a policy says no; one that is there already stays."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
