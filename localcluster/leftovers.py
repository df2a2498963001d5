"""What a cluster may leave on a machine: a picture of it, to compare before `up` with after `down`."""

import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from localcluster import cgroups, host, prerequisites
from localcluster.commands import run

_PATHS = (
    *host.FOLDERS,
    host.LOCK,
    prerequisites.POLICY,
    *map(
        Path,
        (
            "/etc/cni",
            "/etc/kubernetes",
            "/opt/cni",
            "/opt/containerd",
            "/run/catfish",
            "/run/runc",
            "/usr/libexec/kubernetes",
            "/var/lib/containerd",
            "/var/lib/etcd",
            "/var/log/pods",
            "/var/run/kubernetes",
        ),
    ),
)
_COMPONENTS = re.compile(
    r"/kube(-|$)|^(etcd|containerd|coredns|versitygw|nginx)$|/(etcd|containerd|coredns|versitygw|nginx)$|containerd-shim"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The machine as far as a cluster touches it; each part is a set of lines."""

    interfaces: frozenset[str]
    addresses: frozenset[str]
    routes: frozenset[str]
    namespaces: frozenset[str]
    mounts: frozenset[str]
    firewall: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[str]
    shared_memory: frozenset[str]
    paths: frozenset[str]
    sysctls: frozenset[str]


def snapshot() -> Snapshot:
    """Looks at everything."""
    return Snapshot(
        interfaces=_names("ip", "-j", "link", "show"),
        addresses=frozenset(
            f"{link['ifname']} {address['local']}"
            for link in _json("ip", "-j", "address", "show")
            for address in link["addr_info"]
        ),
        routes=frozenset(run("ip", "route", "show", "table", "all").splitlines()),
        namespaces=frozenset(run("ip", "netns", "list", check=False).splitlines()),
        mounts=frozenset(_mounts()),
        firewall=frozenset(_rules()),
        cgroups=frozenset(str(path) for _, root in cgroups.trees() for path in root.glob("*/")),
        processes=frozenset(_processes()),
        shared_memory=frozenset(str(path) for path in Path("/dev/shm").iterdir()),  # noqa: S108 - listed, not used
        paths=frozenset(str(path) for path in _PATHS if path.exists()),
        sysctls=frozenset(f"{name}={Path('/proc/sys', name).read_text().strip()}" for name in host.SYSCTLS),
    )


def difference(before: Snapshot, after: Snapshot) -> list[str]:
    """A line for each thing that was added or is gone, with a sign in front."""
    lines = []
    for field in fields(Snapshot):
        old, new = getattr(before, field.name), getattr(after, field.name)
        lines += [f"+ {field.name}: {entry}" for entry in sorted(new - old)]
        lines += [f"- {field.name}: {entry}" for entry in sorted(old - new)]
    return lines


def _mounts() -> list[str]:
    lines = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [f"{words[4]} {words[words.index('-') + 1]}" for words in lines]


def _rules() -> list[str]:
    saved = run("iptables-save", check=False) + run("ip6tables-save", check=False)
    # comments hold the time, chains their packet counts
    return [re.sub(r"\[\d+:\d+\]", "", line) for line in saved.splitlines() if not line.startswith("#")]


def _processes() -> list[str]:
    """The processes that belong to a Kubernetes, by what they run; zombies have ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # ended meanwhile
            continue
        if _COMPONENTS.search(words[0]):
            found.append(f"{folder.name} {' '.join(words[:3])}")
    return found


def _names(*argv: str) -> frozenset[str]:
    return frozenset(link["ifname"] for link in _json(*argv))


def _json(*argv: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(run(*argv) or "[]")
    return entries
