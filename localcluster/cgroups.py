"""A node's own control group, on cgroup v1 (one tree a controller) and v2 (one tree) alike."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from localcluster.errors import LocalClusterError

MOUNTS = Path("/proc/self/mounts")
_V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")  # what kubelet and runc limit


def trees(mounts: str | None = None) -> list[tuple[str, Path]]:
    """Returns (file system type, mount point) of every mounted cgroup tree.

    Args:
        mounts: the text of /proc/self/mounts; None reads it.
    """
    lines = (MOUNTS.read_text() if mounts is None else mounts).splitlines()
    fields = (line.split() for line in lines)
    return [(words[2], Path(words[1])) for words in fields if words[2] in {"cgroup", "cgroup2"}]


def create(name: str) -> None:
    """Makes the group in every tree, ready to hold processes."""
    for kind, root in trees():
        group = root / name
        try:
            if kind == "cgroup2" and (root / "cgroup.subtree_control").exists():
                _delegate(root)
            group.mkdir(exist_ok=True)
            _fill_cpuset(root, group)
        except OSError as error:
            raise LocalClusterError(f"cannot set up the cgroup {group}: {error.strerror}") from error


def kill(name: str, *, seconds: float = 15) -> None:
    """Kills every process in the group and in the groups below, and waits until they are gone."""
    deadline = time.monotonic() + seconds
    while pids := _pids(name):
        if time.monotonic() > deadline:
            raise LocalClusterError(f"processes {sorted(pids)} in the cgroup {name} do not die")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def remove(name: str, *, seconds: float = 15) -> None:
    """Removes the empty group and the groups below from every tree."""
    deadline = time.monotonic() + seconds
    for _, root in trees():
        for group in [*_below(root / name), root / name]:
            while group.exists():
                try:
                    group.rmdir()
                except FileNotFoundError:
                    break
                except OSError as error:  # busy for some moments after its last process
                    if time.monotonic() > deadline:
                        raise LocalClusterError(
                            f"cannot remove the cgroup {group}: {error.strerror}"
                        ) from error
                    time.sleep(0.05)


def existing(prefix: str) -> list[Path]:
    """The groups in the roots of the trees whose name starts so."""
    return sorted(path for _, root in trees() for path in root.glob(f"{prefix}*") if path.is_dir())


def _below(group: Path) -> list[Path]:
    """All groups below this one, the deepest first."""
    return [Path(folder) / name for folder, names, _ in os.walk(group, topdown=False) for name in names]


def _pids(name: str) -> set[int]:
    return {
        pid for _, root in trees() for group in [root / name, *_below(root / name)] for pid in _members(group)
    }


def _members(group: Path) -> Iterator[int]:
    with suppress(OSError):  # gone, or a frozen group's file that this kernel does not have
        (group / "freezer.state").write_text("THAWED")
    with suppress(OSError):
        for line in (group / "cgroup.procs").read_text().split():
            if line != "0":  # a process of another PID namespace
                yield int(line)


def _delegate(root: Path) -> None:
    """Lets groups below the root of a v2 tree use the controllers that are there."""
    offered = (root / "cgroup.controllers").read_text().split()
    enabled = (root / "cgroup.subtree_control").read_text().split()
    for controller in _V2_CONTROLLERS:
        if controller in offered and controller not in enabled:
            (root / "cgroup.subtree_control").write_text(f"+{controller}")


def _fill_cpuset(root: Path, group: Path) -> None:
    """A new v1 cpuset holds no CPU and no memory node, and then no process either."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        file = group / name
        if file.exists() and not file.read_text().strip():
            with suppress(PermissionError):  # v2: empty means inherited
                file.write_text((root / name).read_text() if (root / name).exists() else "")
