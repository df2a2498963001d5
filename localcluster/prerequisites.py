"""The programs that the local cluster takes from the distribution: names and installs what is missing."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from localcluster import build
from localcluster.errors import LocalClusterError
from localcluster.progress import say

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
_FOR_TESTS = {"chromium": "chromium", "chromedriver": "chromium-driver"}
"""What tests need besides: a browser for the model server's page."""

_SERVICES = ("etcd", "containerd", "nginx")
POLICY = Path("/usr/sbin/policy-rc.d")  # see invoke-rc.d(8)
_MARK = "# catfish: python3 -m localcluster prerequisites"


def missing() -> list[str]:
    """The packages whose programs are not there, by their Debian names."""
    packages = [package for program, package in _PACKAGES.items() if not _found(program)]
    if importlib.util.find_spec("ensurepip") is None:  # Debian's python3 comes without
        packages.append("python3-venv")
    return packages


def missing_for_tests() -> list[str]:
    """The packages that only tests need and whose programs are not there."""
    return [package for program, package in _FOR_TESTS.items() if not _found(program)]


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


def install(report: Callable[[str], None] = say, *, tests: bool = False) -> None:
    """Installs what is missing with apt-get, as root. No service of the system is started or enabled by it.

    Args:
        report: is told what is being installed.
        tests: also what only the tests need.

    Raises:
        LocalClusterError: something is missing and cannot be installed from here.
    """
    if os.geteuid() == 0:
        tidy()
    packages = missing() + (missing_for_tests() if tests else [])
    if packages and (not shutil.which("apt-get") or os.geteuid() != 0):
        raise LocalClusterError(problem() or f"these packages are missing: {' '.join(packages)}")
    if not packages:
        return
    report(f"installing {' '.join(packages)}")
    running = {name for name in _SERVICES if _enabled(name)}
    with _one_at_a_time(), _nothing_started():
        _apt("update", "--quiet=2")
        _apt("install", "--quiet=2", "--yes", "--no-install-recommends", *packages)
    for name in _SERVICES:  # enabled by their packages: they would start with the machine
        if name not in running and _enabled(name):
            subprocess.run(["systemctl", "disable", name], check=False, capture_output=True)
    if left := missing() + (missing_for_tests() if tests else []):
        raise LocalClusterError(
            f"apt-get installed {' '.join(left)}, but the programs are not where they belong"
        )


def require(packages: Mapping[str, str]) -> None:
    """Installs what single tests need besides, where it is missing.

    Args:
        packages: Debian's by the program that each brings, or by the full path of a header.

    Raises:
        LocalClusterError: something is missing and cannot be installed from here.
    """
    wanted = [package for program, package in packages.items() if not _found(program)]
    if not wanted:
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise LocalClusterError(f"these packages are missing: {' '.join(wanted)} (`apt-get install` them)")
    with _one_at_a_time(), _nothing_started():
        _apt("update", "--quiet=2")
        _apt("install", "--quiet=2", "--yes", "--no-install-recommends", *wanted)


def _found(program: str) -> bool:
    if program.endswith((".h", ".hpp")):
        return Path(program).is_file()
    usual = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    return shutil.which(program, path=usual) is not None


def _apt(*words: str) -> None:
    """Runs apt-get to its end, also when we are told to stop: dpkg would go on, and its policy be gone."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(("apt-get", *words), env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            process.wait()
        finally:  # at once, unless the first wait was cut short
            process.wait()
        log.seek(0)
        said = log.read().strip().splitlines()[-1:]
    if process.returncode != 0:
        raise LocalClusterError(f"`apt-get {words[0]}` failed: {''.join(said)}")


def _enabled(service: str) -> bool:
    if not shutil.which("systemctl"):
        return False
    done = subprocess.run(["systemctl", "is-enabled", "--quiet", service], check=False, capture_output=True)
    return done.returncode == 0


def tidy() -> None:
    """Removes the policy that an installation left which was killed: no package would start its service again."""
    if _is_ours():
        with _one_at_a_time():
            if _is_ours():
                POLICY.unlink()


@contextmanager
def _nothing_started() -> Iterator[None]:
    """Packages start their services right away unless a policy says no; one that is there already stays."""
    if POLICY.exists() and not _is_ours():
        yield
        return
    POLICY.write_text(f"#!/bin/sh\n{_MARK}\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def _is_ours() -> bool:
    try:
        return _MARK in POLICY.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return False


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """The policy of an installation that is under way is nobody else's to remove."""
    with build.locked(build.cache() / ".prerequisites.lock"):
        yield
