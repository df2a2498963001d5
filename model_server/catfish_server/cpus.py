"""How many processors this process may really use, and what they can do.

`os.cpu_count()` tells of the machine; a container is held to the quota of its cgroup, and threads beyond that
quota wait for each other in the middle of an inference.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def available(root: Path = Path("/")) -> int:
    """The processors that may be used: the affinity, or less where a quota of a cgroup is smaller.

    Args:
        root: where `proc` and `sys` are found.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *(math.ceil(quota) for quota in _quotas(root))]))


def limited(root: Path = Path("/")) -> bool:
    """Whether a quota of a cgroup limits this process: what it spends on one thing is missing for another."""
    return bool(_quotas(root))


def model(root: Path = Path("/")) -> str:
    """Which processor this is, as far as it says: name, family, model and stepping.

    Args:
        root: where `proc` is found.
    """
    first = _read(root / "proc/cpuinfo").split("\n\n", 1)[0]
    told = {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())
    }
    return " ".join(told.get(name, "") for name in ("model name", "cpu family", "model", "stepping")).strip()


def instruction_set(root: Path = Path("/")) -> str:
    """The widest instructions for neural networks that the processor has, as in "AVX-512 VNNI"; "generic" without.

    Args:
        root: where `proc` is found.
    """
    told = [line.partition(":") for line in _read(root / "proc/cpuinfo").splitlines()]
    flags = {
        flag for name, _, value in told if name.strip() in {"flags", "Features"} for flag in value.split()
    }
    return next((name for flag, name in _INSTRUCTIONS.items() if flag in flags), "generic")


_INSTRUCTIONS = {
    "amx_tile": "AMX",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX2 VNNI",
    "avx2": "AVX2",
    "sve": "SVE",
    "asimd": "NEON",
}
"""By the flag in /proc/cpuinfo (Linux: arch/x86/include/asm/cpufeatures.h, Documentation/arch/arm64/elf_hwcaps.rst);
the widest first."""


def folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the cgroup of this process and of all its parents, of both versions.

    Args:
        root: where `proc` and `sys` are found.
        controller: `cpu` or `memory`.
    """
    mounts = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and controller not in controllers.split(","):
            continue
        # Version 2 has no controllers in its line and one mount; version 1 has a mount for each set.
        mount = mounts / controllers if controllers else mounts
        inside = PurePosixPath(path.lstrip("/"))
        # In a container of version 1 the path is the host's, and the mount itself is the folder: the last
        # parent.
        for folder in (inside, *inside.parents):
            yield mount / folder


def _quotas(root: Path) -> list[float]:
    return [quota for folder in folders(root, "cpu") if (quota := _quota(folder)) is not None]


def _quota(folder: Path) -> float | None:
    """Processors that the cgroup may use, None without a limit."""
    both = _read(folder / "cpu.max").split() or [
        _read(folder / "cpu.cfs_quota_us").strip(),
        _read(folder / "cpu.cfs_period_us").strip(),
    ]
    if len(both) != 2 or not all(number.isdecimal() for number in both):
        return None  # "max" (version 2), "-1" (version 1) or no such file
    quota, period = map(int, both)
    return quota / period if period else None


def _read(path: Path) -> str:
    """The text of a small file, empty where it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""
