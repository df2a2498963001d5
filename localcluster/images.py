"""Builds Catfish's images with docker or buildah; `load` brings them to nodes.

Called by the command line. An image carries a hash of all that it was made from in a label: what has not changed is
not built again. Two commands that want the same image at once build it once.
"""

import dataclasses
import hashlib
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from localcluster import baseimage, engine, pipconf
from localcluster import build as programs
from localcluster.errors import LocalClusterError
from localcluster.progress import say
from localcluster.transfer import load

__all__ = ["build", "load"]

ROOT = Path(__file__).resolve().parent.parent
_TORCH = "localhost/catfish-torch"
_LABEL = "dev.catfish.inputs"
_REPORT_SECONDS = 15
_SOURCES = {
    "server": ("pyproject.toml", "LICENSE", "requirements/torch.txt", "requirements/trim_torch.py",
               "requirements/server.txt", "model_server"),
    "server-onnx": ("pyproject.toml", "LICENSE", "requirements/server-onnx.txt", "model_server"),
    "operator": ("pyproject.toml", "LICENSE", "requirements/operator.txt", "operator"),
}  # fmt: skip


def build(
    which: Sequence[str] = ("operator", "server"), version: str = "v1", report: programs.Report = say
) -> list[str]:
    """Builds the images named, where something of theirs has changed.

    Args:
        which: `operator`, `server`, `server-onnx` (the server without torch), or several.
        version: tag and version label of the servers; the operator's tag is always `dev`.
        report: gets a line now and then.

    Returns:
        The names of the images.
    """
    builder = engine.choose()
    names = []
    for each in which:
        tag = "dev" if each == "operator" else version
        name = f"catfish-{each}:{tag}"
        names.append(name)
        with _alone(name, report), tempfile.TemporaryDirectory() as folder:
            if (builder.labels(name) or {}).get(_LABEL) == _inputs(each, tag):
                report(f"image {name} is up to date")
                continue
            with _alone(baseimage.NAME, report):
                builder.prepare(report)
            order = _order(each, name, tag, Path(folder) / "pip.conf")
            if each == "server" and isinstance(builder, engine.Buildah):
                order = _on_shared_torch(builder, order, report)
            _run_build(builder, order, report)
    return names


def _alone(name: str, report: programs.Report) -> AbstractContextManager[None]:
    """One build of this image at a time: both would write to one log, and the second find all done by the first."""
    lock = _log(name).with_suffix(".lock")
    return programs.locked(lock, waiting=lambda: report(f"image {name}: another command builds it, waiting"))


def _log(name: str) -> Path:
    return programs.cache() / "log" / f"build-{name.replace(':', '-').replace('/', '-')}.log"


def _on_shared_torch(builder: engine.Buildah, order: engine.Order, report: programs.Report) -> engine.Order:
    """The order on an image of the stage `torch`, which is built once and shared by all versions.

    Else each version would have a torch layer of its own, gigabytes that each node imports again: see
    `engine.Buildah.command` for why buildah's own cache does not see to it.
    """
    text = order.dockerfile.read_text()
    stage = text[text.index("FROM base AS torch") : text.index("FROM torch AS server")]
    hashed = hashlib.sha256(f"{baseimage.NAME}\0{stage}\0".encode())
    for source in ("requirements/torch.txt", "requirements/trim_torch.py"):
        hashed.update((ROOT / source).read_bytes())
    name = f"{_TORCH}:{hashed.hexdigest()[:20]}"
    with _alone(name, report):
        if builder.labels(name) is None:
            _run_build(builder, dataclasses.replace(order, name=name, target="torch", labels={}), report)
    contexts = {**order.contexts, "torch": f"docker-image://{name}"}
    return dataclasses.replace(order, contexts=contexts)


def _inputs(which: str, version: str) -> str:
    """A hash of everything of this checkout that goes into an image."""
    hashed = hashlib.sha256(f"{baseimage.NAME} {version}\0".encode())
    for source in (_dockerfile(which), *_SOURCES[which]):
        path = ROOT / source
        if not path.exists():
            raise LocalClusterError(f"{path} is missing: the checkout is not complete")
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if _is_source(file))
        for file in files:
            hashed.update(f"{file.relative_to(ROOT)}\0".encode() + file.read_bytes() + b"\0")
    return hashed.hexdigest()[:20]


def _dockerfile(which: str) -> str:
    return f"Dockerfile.{which.partition('-')[0]}"


def _is_source(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts


def _order(which: str, name: str, version: str, config: Path) -> engine.Order:
    """What to build; writes the pip settings for it into the file `config`."""
    pip = pipconf.of_this_machine()
    if which == "server" and pipconf.reachable(f"{pipconf.CPU_INDEX}/torch/", ca_bundle=pip.ca_bundle):
        pip = pipconf.of_this_machine(cpu_index=True)
    config.write_text(pip.config)
    return engine.Order(
        name=name,
        context=ROOT,
        dockerfile=ROOT / _dockerfile(which),
        arguments={"BASE_IMAGE": baseimage.NAME, "VERSION": version},
        labels={_LABEL: _inputs(which, version)},
        secrets={"pip_conf": config} | ({"ca_bundle": pip.ca_bundle} if pip.ca_bundle else {}),
        contexts={"wheels": str(pip.wheels)} if pip.wheels and which == "server" else {},
        target=which if which == "server-onnx" else None,
    )


def _run_build(builder: engine.Engine, order: engine.Order, report: programs.Report) -> None:
    """Runs the builder and says every few seconds which step it is at."""
    log = _log(order.name)
    argv, environment = builder.command(order)
    start = time.monotonic()
    report(f"building {order.name} with {builder.name} (log: {log})")
    with (
        log.open("w") as output,
        subprocess.Popen(argv, env=environment, stdout=output, stderr=output) as process,
    ):
        while True:
            try:
                process.wait(_REPORT_SECONDS)
                break
            except subprocess.TimeoutExpired:
                report(f"building {order.name}: {time.monotonic() - start:.0f} s, {_last_line(log)}")
            except BaseException:
                process.terminate()
                raise
    if process.returncode != 0:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        raise LocalClusterError(f"{order.name} cannot be built ({log}):\n{end}")
    report(f"built {order.name} in {time.monotonic() - start:.0f} s")


def _last_line(log: Path, width: int = 100) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:width] if lines else ""
