"""The base image `python:3.11-slim-bookworm` where no registry can be reached: Debian's own Python, as small.

Debian 12's Python is 3.11 too, so the Dockerfiles stay what they are. The file system stays in the cache.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

from localcluster import build
from localcluster.errors import LocalClusterError
from localcluster.progress import say

NAME = "docker.io/library/python:3.11-slim-bookworm"
REGISTRY = "https://registry-1.docker.io/v2/"
PACKAGES = ("python3", "python3-venv", "ca-certificates")
_UNNEEDED = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/log",
)
_VERSION = 1  # of what `_strip` does


def archive(report: build.Report = say) -> Path:
    """Returns a tar archive of the root file system; the first call makes it with debootstrap (40 s)."""
    mirror = os.environ.get("CATFISH_DEBIAN_MIRROR", "http://deb.debian.org/debian")
    made_of = f"bookworm {PACKAGES} {_UNNEEDED} {_VERSION} {mirror}"
    target = build.cache() / f"base-{hashlib.sha256(made_of.encode()).hexdigest()[:10]}.tar"
    if target.exists():
        return target
    if not shutil.which("debootstrap") or os.geteuid() != 0:
        raise LocalClusterError(
            f"{NAME} cannot be pulled; making an equal one takes root and `apt install debootstrap`"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    report(f"no registry can be reached: making the base image from {mirror} (once, about 40 s)")
    with tempfile.TemporaryDirectory(prefix=".base-", dir=target.parent) as folder:
        root = Path(folder) / "root"
        _debootstrap(root, mirror)
        _strip(root)
        part = Path(folder) / "root.tar"
        with tarfile.open(part, "w") as tar:
            tar.add(root, arcname=".", filter=_entry)
        part.rename(target)
    report(f"base image made in {time.monotonic() - start:.0f} s")
    return target


def _debootstrap(root: Path, mirror: str) -> None:
    argv = [
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        "bookworm",
        str(root),
        mirror,
    ]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise LocalClusterError(
            f"debootstrap failed: {(done.stdout.strip() or 'no message').splitlines()[-1]}"
        )


def _strip(root: Path) -> None:
    """Removes what containers do not read, and gives Python the name that it has in the official image."""
    for folder in (*_UNNEEDED, "var/lib/apt/lists"):
        for entry in (root / folder).iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    for name in ("etc/resolv.conf", "etc/hostname"):
        (root / name).unlink(missing_ok=True)  # this machine's, copied by debootstrap


def _entry(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leaves out devices: the container gets its own."""
    return None if entry.ischr() or entry.isblk() else entry
