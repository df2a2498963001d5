"""Brings images to the nodes of the local cluster: each node gets the blobs that it lacks and nothing else.

So a second version of the server, which shares its torch with the first, takes seconds.
"""

import fcntl
import functools
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from localcluster import build, engine
from localcluster.commands import run
from localcluster.errors import LocalClusterError
from localcluster.layout import Exported, Layout
from localcluster.nodeconfig import NAMESPACE
from localcluster.progress import say


class Node(Protocol):
    """What must be known of a node: its name, and the socket of its containerd."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def socket(self) -> Path:
        """Where its containerd answers."""


def load(names: Sequence[str], nodes: Sequence[Node], report: build.Report = say) -> None:
    """Brings images from the builder's store to nodes.

    Args:
        names: as docker or buildah know them.
        nodes: where to.
        report: gets a line for each image that a node did not have.

    Raises:
        LocalClusterError: there is no such image, or a node refuses it.
    """
    builder = engine.choose()
    for name in names:
        if isinstance(builder, engine.Docker):
            _load_from_docker(name, nodes, report)
        else:
            _load_from_buildah(builder, name, nodes, report)


def full_name(name: str) -> str:
    """The name as containerd and the kubelet spell it: `a:v1` is `docker.io/library/a:v1`."""
    host, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not ("." in host or ":" in host or host == "localhost"):
        name = f"docker.io/{name}"
    return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"


def _load_from_buildah(
    builder: engine.Buildah, name: str, nodes: Sequence[Node], report: build.Report
) -> None:
    found = builder.inspect(name)
    if found is None:
        raise LocalClusterError(
            f"there is no image {name}; `python3 -m localcluster build-images` builds Catfish's"
        )
    config = json.loads(found["Manifest"])["config"]["digest"]
    lacking = [node for node in nodes if _config_on(node, full_name(name)) != config]
    if not lacking:
        return
    start = time.monotonic()
    with _layout() as store:
        image = store.find(full_name(name), config)
        if image is None:
            image = store.export(
                full_name(name),
                found["OCIv1"]["rootfs"]["diff_ids"],
                lambda directory, tag: builder.push(name, directory, tag),
            )
            report(f"exported {name} in {time.monotonic() - start:.1f} s")
        for node in lacking:
            start = time.monotonic()
            sent = _send(store, image, node)
            report(f"loaded {name} into {node.name}: {sent / 1e6:.1f} MB in {time.monotonic() - start:.1f} s")


def _send(store: Layout, image: Exported, node: Node) -> int:
    present = set(_ctr(node, "content", "ls", "--quiet").split())
    sent = 0

    def write(stream: IO[bytes]) -> None:
        nonlocal sent
        sent = store.write(image, stream, without=present)

    _import(node, write)
    return sent


def _load_from_docker(name: str, nodes: Sequence[Node], report: build.Report) -> None:
    """Without the saving of layers: `docker save` writes the whole image. Not run by our tests."""
    config = run("docker", "image", "inspect", "--format", "{{.Id}}", name).strip()
    for node in nodes:
        if _config_on(node, full_name(name)) == config:
            continue
        start = time.monotonic()
        with subprocess.Popen(["docker", "save", name], stdout=subprocess.PIPE) as saving:
            _import(node, functools.partial(_copy, saving.stdout))
        if saving.returncode != 0:
            raise LocalClusterError(f"`docker save {name}` failed")
        report(f"loaded {name} into {node.name} in {time.monotonic() - start:.1f} s")


def _copy(source: IO[bytes] | None, target: IO[bytes]) -> None:
    if source is not None:
        shutil.copyfileobj(source, target, 1 << 20)


def _import(node: Node, write: Callable[[IO[bytes]], None]) -> None:
    """Gives a node an archive that `write` writes while containerd reads it."""
    argv = _command(node, "images", "import", "-")
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as importing:
        broken = None
        try:
            if importing.stdin is not None:
                write(importing.stdin)
                importing.stdin.close()
        except BrokenPipeError as error:  # containerd has given up, and says below why
            broken = error
        said = importing.stdout.read().decode(errors="replace").strip() if importing.stdout else ""
    if importing.returncode != 0 or broken:
        raise LocalClusterError(
            f"{node.name} refuses the image: {said.splitlines()[-1] if said else 'no message'}"
        )


def _config_on(node: Node, full_name: str) -> str | None:
    """The digest of the configuration of a node's image, its identity; None if there is no such image."""
    listed = _ctr(node, "images", "ls", f"name=={full_name}").splitlines()[1:]
    if not listed:
        return None
    manifest = _ctr(node, "content", "get", listed[0].split()[2], check=False)
    return str(json.loads(manifest)["config"]["digest"]) if manifest else None


def _ctr(node: Node, *words: str, check: bool = True) -> str:
    return run(*_command(node, *words), check=check)


def _command(node: Node, *words: str) -> list[str]:
    return ["ctr", "--address", str(node.socket), "--namespace", NAMESPACE, *words]


@contextmanager
def _layout() -> Iterator[Layout]:
    """Where images lie between the builder and the nodes, for one process at a time."""
    directory = build.cache() / "images"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Layout(directory)
