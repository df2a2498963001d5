"""How much memory is left before the kernel ends this container, and how to give back what is free."""

import ctypes
import gc
import sys
from pathlib import Path

from catfish_server import cpus

Bytes = float


def room(root: Path = Path("/")) -> Bytes:
    """Bytes that may still be taken: up to the least limit of a cgroup, or what the machine has; infinite if unknown.

    What a cgroup holds of files that were not used lately is given up before anybody is ended: it counts as room.

    Args:
        root: where `proc` and `sys` are found.
    """
    return min([_available(root), *(_left(folder) for folder in cpus.folders(root, "memory"))])


def give_back() -> None:
    """Returns freed memory to the system, which the allocator of glibc would keep for later."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other libraries of C have none
        if trim is not None:
            trim(0)


def _left(folder: Path) -> Bytes:
    limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
    used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
    if limit is None or used is None:
        return float("inf")
    facts = dict(line.split() for line in _read(folder / "memory.stat").splitlines() if line.count(" ") == 1)
    idle = facts.get("total_inactive_file") or facts.get("inactive_file") or "0"
    return limit - used + int(idle)


def _available(root: Path) -> Bytes:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return float("inf")


def _number(file: Path) -> int | None:
    text = _read(file).strip()
    return int(text) if text.isdecimal() else None  # "max" is no limit


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
