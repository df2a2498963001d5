"""What a cluster changes on the host outside of its own folder, and how that is undone.

containerd, CNI and the kubelet have a few paths compiled in, and the kubelet sets kernel settings for the
whole machine. `remember` notes what was there before; `restore` puts back just that and never touches what
others have put there.
"""

import ctypes
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

from localcluster import addresses
from localcluster.errors import LocalClusterError

# https://github.com/kubernetes/kubernetes/blob/v1.35.4/staging/src/k8s.io/component-helpers/node/util/sysctl/sysctl.go
SYSCTLS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
CNI_RESULTS = Path("/var/lib/cni/results")  # https://github.com/containernetworking/cni: libcni.CacheDir
CONTAINER_LOGS = Path("/var/log/containers")
DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")
SHIM_SOCKETS = Path("/run/containerd/s")
NETNS = addresses.NETNS_DIRECTORY
LOCK = Path("/run/xtables.lock")
FOLDERS = (
    CNI_RESULTS.parent / "cache",
    CNI_RESULTS,
    CNI_RESULTS.parent,
    CONTAINER_LOGS,
    DEVICE_PLUGINS,
    DEVICE_PLUGINS.parent,
    SHIM_SOCKETS,
    SHIM_SOCKETS.parent / "fifo",
    SHIM_SOCKETS.parent,
    NETNS,
)
_MNT_DETACH = 2


def remember(note: Path) -> None:
    """Writes down the host's state, once; a later call keeps the first note."""
    if note.exists():
        return
    content = {
        "absent": [str(path) for path in (*FOLDERS, LOCK) if not path.exists()],
        "sysctls": {name: _sysctl(name).read_text() for name in SYSCTLS if _sysctl(name).exists()},
    }
    part = note.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.rename(note)


def restore(note: Path, *, ours: Path) -> None:
    """Undoes what the cluster changed.

    Args:
        note: what `remember` wrote; nothing is done without it.
        ours: the cluster's folder; files of the fixed paths that point into it are ours.
    """
    if not note.exists():
        return
    before = json.loads(note.read_text())
    absent = {Path(path) for path in before["absent"]}
    _remove_files(absent, ours=ours)
    if NETNS in absent and NETNS.exists() and not _entries(NETNS):
        unmount_below(NETNS)
    for folder in FOLDERS:
        if folder in absent and folder.is_dir() and not _entries(folder):
            folder.rmdir()
    if LOCK in absent:
        LOCK.unlink(missing_ok=True)
    for name, value in before["sysctls"].items():
        if _sysctl(name).read_text() != value:
            _sysctl(name).write_text(value)


def _remove_files(absent: Collection[Path], *, ours: Path) -> None:
    for link in _entries(CONTAINER_LOGS):
        if link.is_symlink() and str(link.readlink()).startswith(f"{ours}/"):
            link.unlink()
    for result in _entries(CNI_RESULTS):
        if result.is_file() and f"{ours}/" in result.read_text(errors="replace"):
            result.unlink()
    if DEVICE_PLUGINS in absent:
        for file in _entries(DEVICE_PLUGINS):
            file.unlink()


def mounts_below(*folders: Path) -> list[Path]:
    """The mount points at or below the folders, the innermost first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    inside = (point for point in points if any(Path(point).is_relative_to(folder) for folder in folders))
    return [Path(point) for point in reversed(list(inside))]


def unmount_below(*folders: Path) -> None:
    """Unmounts all that is mounted at or below the folders, in use or not."""
    libc = ctypes.CDLL(None, use_errno=True)
    for point in mounts_below(*folders):
        if libc.umount2(os.fsencode(point), _MNT_DETACH) != 0:
            raise LocalClusterError(f"cannot unmount {point}: {os.strerror(ctypes.get_errno())}")


def processes_in(netns: Iterable[Path]) -> set[int]:
    """The processes whose network namespace is one of these files."""
    wanted = {(info.st_dev, info.st_ino) for info in (path.stat() for path in netns)}
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        with suppress(OSError):  # ended meanwhile
            info = link.stat()
            if (info.st_dev, info.st_ino) in wanted:
                found.add(int(link.parts[2]))
    return found


def processes_of(folder: Path, *, programs: Collection[str]) -> set[int]:
    """The processes of these programs that work on the folder: it is named on their command line, or a file of it open.

    containerd's shims show the first, also when namespace and containerd are lost; a worker of nginx whose master was
    killed shows the second. Whoever else reads there, as a pager or an editor does, runs another program.
    """
    named = re.compile(rf"(?:^|[=\s]){re.escape(str(folder))}(?:/|$)")
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile
            program = (process / "exe").readlink().name.removesuffix(" (deleted)")
            if program not in programs:
                continue
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if any(map(named.search, words)) or _has_open(process, folder):
                found.add(int(process.name))
    return found


def _has_open(process: Path, folder: Path) -> bool:
    return any(file.readlink().is_relative_to(folder) for file in (process / "fd").iterdir())


def kill(find: Callable[[], set[int]], *, seconds: float = 15) -> None:
    """Kills the processes that are found until there are none."""
    deadline = time.monotonic() + seconds
    while pids := find():
        if time.monotonic() > deadline:
            raise LocalClusterError(f"processes {sorted(pids)} of the cluster do not die")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def remove_shim_sockets(containerd_state: Path) -> None:
    """Removes the sockets of containerd's shims that were killed before they could do it themselves."""
    for file in containerd_state.glob("io.containerd.runtime.v2.task/*/*/address"):
        Path(file.read_text().strip().removeprefix("unix://")).unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Removes a folder of the cluster; never one with something mounted below it."""
    if left := mounts_below(folder):
        raise LocalClusterError(f"{left[0]} is still mounted")
    if folder.exists():
        shutil.rmtree(folder)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _sysctl(name: str) -> Path:
    return Path("/proc/sys") / name
