"""Runs an image of this machine as `docker run` would, with runc alone, and stricter: what the image gets by with.

The container has a network of its own, joined to the host by a cable of two addresses; no route leads further. Its root
is read-only, it has no capability and no shell, and cannot get any.
"""

import http.client
import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from localcluster import engine
from localcluster.commands import run

HOST, GUEST = "169.254.219.1", "169.254.219.2"
"""The ends of the cable: link-local (RFC 3927), so nothing else of this machine is meant by them."""
ADMIN_PORT = 5002
MOUNTED = "/mnt"
"""Is in every image's file system, which nothing can be added to."""

SHELLS = ("/usr/bin/dash", "/usr/bin/bash")
_NAMESPACES = ("pid", "ipc", "uts", "mount", "cgroup")


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image in buildah's store.

    Attributes:
        config: of the OCI image: `User`, `Env`, `Entrypoint`, ….
        root: its file system, all layers, not to be written to.
    """

    config: dict[str, Any]
    root: Path

    def paths(self) -> list[Path]:
        """Everything in it."""
        return [Path(folder, name) for folder, *below in os.walk(self.root) for name in chain(*below)]

    def files(self) -> list[str]:
        """The paths of all that is not a directory, as a process in it sees them."""
        return [
            f"/{path.relative_to(self.root)}" for path in self.paths() if path.is_symlink() or path.is_file()
        ]

    def bytes(self) -> int:
        """What the files take, each once however many names it has."""
        facts = [path.lstat() for path in self.paths()]
        return sum({(fact.st_dev, fact.st_ino): fact.st_size for fact in facts}.values())


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container that runs; it answers at `GUEST`."""

    name: str
    process: subprocess.Popen[str]
    log: Path

    def text(self) -> str:
        """What it wrote so far."""
        return self.log.read_text(errors="replace")

    def pid(self) -> int:
        """Of its first process, as the host counts."""
        return int(json.loads(run("runc", "state", self.name))["pid"])

    def ready(self) -> bool:
        """Whether the server in it is Ready, as its admin port says."""
        connection = http.client.HTTPConnection(GUEST, ADMIN_PORT, timeout=10)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:  # nobody listens yet
            return False
        finally:
            connection.close()

    def until(self, condition: Callable[[], object], *, seconds: float) -> None:
        """Returns once the condition is true, which is looked at fifty times a second.

        Raises:
            RuntimeError: the container ended, or the condition is not true after so many seconds; with what it wrote.
        """
        until = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"waited for the container in vain; it wrote:\n{self.text()}")
            time.sleep(0.02)

    def stop(self, *, seconds: float) -> int:
        """Sends SIGTERM, as `docker stop` does; returns the exit code."""
        run("runc", "kill", self.name, "TERM")
        return self.process.wait(seconds)


@contextmanager
def opened(name: str) -> Iterator[Image]:
    """An image that was built here, its file system mounted for the time of the block."""
    builder = engine.Buildah()
    found = builder.inspect(name)
    assert found is not None, f"there is no image {name}"
    working = run("buildah", "from", "--pull-never", name, env=builder.environment()).strip()
    try:
        root = Path(run("buildah", "mount", working, env=builder.environment()).strip())
        yield Image(config=found["OCIv1"]["config"], root=root)
    finally:
        run("buildah", "rm", working, env=builder.environment())


@contextmanager
def cable() -> Iterator[Path]:
    """A network namespace with the address `GUEST`, which this machine reaches, and reaches it, as `HOST`."""
    name = f"cf{uuid.uuid4().hex[:8]}"
    run("ip", "netns", "add", name)
    try:
        host, guest = f"{name}h", f"{name}g"
        run("ip", "link", "add", host, "type", "veth", "peer", "name", guest, "netns", name)
        run("ip", "address", "add", f"{HOST}/30", "dev", host)
        run("ip", "link", "set", host, "up")
        run("ip", "-n", name, "address", "add", f"{GUEST}/30", "dev", guest)
        run("ip", "-n", name, "link", "set", guest, "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        yield Path("/run/netns") / name
    finally:
        run("ip", "netns", "delete", name)  # and the cable with it


@contextmanager
def running(
    image: Image,
    directory: Path,
    *,
    netns: Path,
    env: Mapping[str, str],
    user: str | None = None,
    folder: Path | None = None,
    arguments: Sequence[str] = (),
) -> Iterator[Container]:
    """A container of the image; it is killed at the end of the block if it still runs.

    Args:
        image: whose entrypoint is run, with nothing else said.
        directory: for the settings and the log.
        netns: its network, of `cable`.
        env: beside the image's own variables.
        user: numbers, `user:group`; None for the image's own.
        folder: of this machine, which the container sees at `MOUNTED` and cannot write to.
        arguments: to the image's Python, in the place of those that its entrypoint has.
    """
    name = netns.name
    spec = _spec(image, netns=netns, env=env, user=user or image.config["User"])
    if folder is not None:
        options = ["rbind", "ro", "nosuid", "nodev"]
        spec["mounts"].append({"destination": MOUNTED, "source": str(folder), "options": options})
    if arguments:
        spec["process"]["args"] = [image.config["Entrypoint"][0], *arguments]
    (directory / "config.json").write_text(json.dumps(spec))
    log = directory / "log"
    with log.open("w") as output:
        argv = ["runc", "run", "--bundle", str(directory), name]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, text=True)
    try:
        yield Container(name=name, process=process, log=log)
    finally:
        if process.poll() is None:
            run("runc", "kill", name, "KILL", check=False)
            process.wait(30)
        run("runc", "delete", "--force", name, check=False)


def _spec(image: Image, *, netns: Path, env: Mapping[str, str], user: str) -> dict[str, Any]:
    """The runtime's settings (https://github.com/opencontainers/runtime-spec/blob/v1.1.0/config.md)."""
    uid, _, gid = user.partition(":")
    masked = [
        {"destination": shell, "source": "/dev/null", "options": ["bind", "ro", "noexec"]}
        for shell in SHELLS
        if (image.root / shell.lstrip("/")).exists()
    ]
    return {
        "ociVersion": "1.0.2",
        "hostname": "catfish",
        "root": {"path": str(image.root), "readonly": True},
        "process": {
            "terminal": False,
            "user": {"uid": int(uid), "gid": int(gid or 0)},
            "args": image.config["Entrypoint"],
            "env": [*image.config["Env"], *(f"{name}={value}" for name, value in env.items())],
            "cwd": image.config["WorkingDir"],
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["mode=1777"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmp", "options": ["nosuid", "mode=1777"]},
            *masked,
        ],
        "linux": {
            "cgroupsPath": netns.name,  # relative: inside the group of the tests
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in _NAMESPACES]
            + [{"type": "network", "path": str(netns)}],
        },
    }
