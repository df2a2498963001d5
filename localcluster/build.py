"""Builds the programs that no package registry ships, once: Kubernetes, CoreDNS, pause and the S3 gateway.

Results lie in the cache by version and by the hash of what they were built from. A build that fails or is
interrupted leaves nothing that could be mistaken for its result.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from localcluster.errors import LocalClusterError
from localcluster.progress import say

KUBERNETES = "1.35.4"  # the last minor that accepts the containerd 1.x of Debian 12
COREDNS = "1.14.4"
VERSITYGW = "1.8.0"
METRICS_SERVER = "0.9.0"
USUAL_GO = Path("/usr/local/go/bin/go")  # where https://go.dev/doc/install puts it
MODULE = Path(__file__).with_name("kube")
_MINIMUM_GO = (1, 25)
_STAMP = "k8s.io/component-base/version"
_MANY_SECONDS = 15

Report = Callable[[str], None]


def cache() -> Path:
    """The folder that keeps what was built and downloaded, from one checkout to the next."""
    if chosen := os.environ.get("CATFISH_CACHE"):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "catfish"


def kube(report: Report = say) -> Path:
    """Returns the binary that is all of Kubernetes; the first call compiles it (8 minutes on 2 cores)."""
    return _kubernetes(report) / "kube"


def pause(report: Report = say) -> Path:
    """Returns the static program that the pause image holds."""
    return _kubernetes(report) / "pause"


def kubectl(report: Report = say) -> Path:
    """Returns a kubectl: a link to the multi-call binary, which goes by the name that it is called by."""
    return _kubernetes(report) / "kubectl"


def coredns(report: Report = say) -> Path:
    """Returns the DNS server."""

    def make(target: Path) -> None:
        compile_into(
            target,
            module=MODULE / "coredns",
            ldflags="-s -w",
            packages=["."],
            title=f"CoreDNS {COREDNS}",
            report=report,
        )

    return once(_coredns_folder(), make) / "coredns"


def versitygw(report: Report = say) -> Path:
    """Returns the S3 server."""
    return _installed("versitygw", VERSITYGW, "github.com/versity/versitygw/cmd/versitygw", report)


def metrics_server(report: Report = say) -> Path:
    """Returns metrics-server; it is built only where somebody asks for it."""
    package = "sigs.k8s.io/metrics-server/cmd/metrics-server"
    return _installed("metrics-server", METRICS_SERVER, package, report)


def _installed(name: str, version: str, package: str, report: Report) -> Path:
    """A program that `go install` builds as it is; the module's own go.sum pins what it depends on."""

    def make(target: Path) -> None:
        argv = [go(), "install", "-v", "-trimpath", "-ldflags=-s -w", f"{package}@v{version}"]
        environment = {"GOBIN": str(target), "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
        _run(argv, cwd=target, env=environment, title=f"{name} {version}", report=report)

    return once(_folder(name, version), make) / name


def require_compiler(*, metrics: bool = False) -> None:
    """Raises unless all programs of a cluster are built, or can be: before anything else is installed for them.

    Args:
        metrics: whether metrics-server is among them.
    """
    wanted = [_kubernetes_folder(), _coredns_folder(), _folder("versitygw", VERSITYGW)]
    if metrics:
        wanted.append(_folder("metrics-server", METRICS_SERVER))
    if not all(folder.is_dir() for folder in wanted):
        go()


def go() -> str:
    """Returns the path of the Go compiler.

    Raises:
        LocalClusterError: there is none, or it is too old.
    """
    found = shutil.which("go") or (str(USUAL_GO) if USUAL_GO.exists() else None)
    wanted = ".".join(map(str, _MINIMUM_GO))
    hint = f"install Go {wanted} or newer from https://go.dev/dl (Debian 12's golang is too old)"
    if found is None:
        raise LocalClusterError(f"Go is missing: {hint}")
    said = subprocess.run([found, "version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"go(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < _MINIMUM_GO:
        raise LocalClusterError(f"{found} is too old ({said.strip() or 'it does not run'}): {hint}")
    return found


def _kubernetes(report: Report) -> Path:
    def make(target: Path) -> None:
        major, minor, _ = KUBERNETES.split(".")
        values = {
            "gitVersion": f"v{KUBERNETES}",
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "clean",
        }
        ldflags = " ".join(["-s -w", *(f"-X {_STAMP}.{name}={value}" for name, value in values.items())])
        title = f"Kubernetes {KUBERNETES}"
        compile_into(
            target, module=MODULE, ldflags=ldflags, packages=[".", "./pause"], title=title, report=report
        )
        (target / "kubectl").symlink_to("kube")

    return once(_kubernetes_folder(), make)


def _kubernetes_folder() -> Path:
    return _folder("kube", f"{KUBERNETES}-{digest(MODULE)}")


def _coredns_folder() -> Path:
    return _folder("coredns", f"{COREDNS}-{digest(MODULE / 'coredns')}")


def _folder(name: str, version: str) -> Path:
    return cache() / "bin" / f"{name}-{version}"


def compile_into(
    target: Path, *, module: Path, ldflags: str, packages: Sequence[str], title: str, report: Report
) -> None:
    """Compiles programs of a Go module, with the dependencies that its go.sum pins, into a folder.

    Raises:
        LocalClusterError: the compiler failed; its last lines are quoted.
    """
    argv = [go(), "build", "-v", "-mod=readonly", "-buildvcs=false", "-trimpath", f"-ldflags={ldflags}"]
    argv += ["-o", f"{target}/", *packages]
    _run(argv, cwd=module, env={"CGO_ENABLED": "0", "GOFLAGS": ""}, title=title, report=report)


def _run(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], title: str, report: Report) -> None:
    """Runs the compiler and reports every few seconds how long it has run and how many packages are done."""
    start = time.monotonic()
    report(f"compiling {title} (once; kept in {cache() / 'bin'})")
    with tempfile.TemporaryFile("w+") as log:
        # -v writes a line for each package; a file, because a pipe that nobody reads would stop the compiler
        with subprocess.Popen(argv, cwd=cwd, env={**os.environ, **env}, stdout=log, stderr=log) as process:
            while True:
                try:
                    process.wait(_MANY_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    lines = len(_read(log).splitlines())
                    report(f"compiling {title}: {time.monotonic() - start:.0f} s, {lines} packages")
                except BaseException:
                    process.terminate()
                    raise
        if process.returncode != 0:
            end = "\n".join(_read(log).splitlines()[-12:])
            raise LocalClusterError(f"{title} cannot be built (`{argv[0]} {argv[1]}` failed):\n{end}")


def _read(log: IO[str]) -> str:
    return os.pread(log.fileno(), 1 << 22, 0).decode(errors="replace")


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Returns the folder, filled by `make` unless it is there. Two commands at once do the work once."""
    if folder.is_dir():
        return folder
    with locked(folder.with_name(f".{folder.name}.lock")):
        if not folder.is_dir():
            part = folder.with_name(f".{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)  # of a build that was killed
            part.mkdir()
            try:
                make(part)
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return folder


@contextmanager
def locked(file: Path, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds the lock of this name; whoever comes second waits, and says so by `waiting`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def digest(module: Path) -> str:
    """A hash of the module's sources, without tests and without the modules below it."""
    others = [file.parent for file in module.glob("*/go.mod")]
    hashed = hashlib.sha256()
    for file in (module / "go.mod", module / "go.sum", *sorted(module.rglob("*.go"))):
        if file.name.endswith("_test.go") or any(file.is_relative_to(other) for other in others):
            continue
        hashed.update(f"{file.relative_to(module)}\0".encode() + file.read_bytes() + b"\0")
    return hashed.hexdigest()[:10]
