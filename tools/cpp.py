"""Builds the programs of `cpp/` with CMake, once: `make cpp`, and what the tests of them begin with.

They are linked to the torch and the ONNX Runtime of the Python that runs this. The result lies in the cache by the
hash of the sources and of the versions.
"""

import hashlib
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

from localcluster import build, prerequisites
from localcluster.errors import LocalClusterError
from localcluster.progress import say

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("cpp", "tests/cpp")

PACKAGES = {
    "cmake": "cmake",
    "g++": "g++",
    "make": "make",
    "/usr/include/jpeglib.h": "libjpeg-dev",
    "/usr/include/png.h": "libpng-dev",
    "/usr/include/nlohmann/json.hpp": "nlohmann-json3-dev",
}
"""Debian's by the program or header that each brings."""


def programs() -> Path:
    """The folder of the programs; the first call compiles them (2 minutes on 2 cores).

    Raises:
        LocalClusterError: a package is missing and cannot be installed, or the compiler failed.
    """
    folder = build.cache() / "bin" / f"cpp-{_digest()}"
    if not folder.is_dir():
        prerequisites.require(PACKAGES)
    return build.once(folder, _make)


def _make(target: Path) -> None:
    say(f"compiling the programs of cpp/ (once; kept in {target.parent})")
    # ONNX Runtime's headers come with no wheel; somebody who has them says where.
    root = os.environ.get("ONNXRUNTIME_ROOT", "")
    options = [f"-DPython3_EXECUTABLE={sys.executable}", f"-DONNXRUNTIME_ROOT={root}", "-DCATFISH_PROBES=ON"]
    _run(["cmake", "-S", str(ROOT / "cpp"), "-B", str(target), *options])
    _run(["cmake", "--build", str(target), "--parallel", str(len(os.sched_getaffinity(0)))])


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        end = "\n".join(done.stdout.splitlines()[-20:])
        raise LocalClusterError(
            f"the programs of cpp/ cannot be built (`{argv[0]} {argv[1]}` failed):\n{end}"
        )


def _digest() -> str:
    """A hash of all that the programs are made of, and of where their libraries lie."""
    hashed = hashlib.sha256()
    for path in sorted(file for folder in SOURCES for file in (ROOT / folder).rglob("*")):
        if path.suffix in {".cpp", ".h", ".cmake", ".txt"}:
            hashed.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    versions = [importlib.metadata.version(name) for name in ("torch", "onnxruntime")]
    hashed.update("\0".join([sys.prefix, os.environ.get("ONNXRUNTIME_ROOT", ""), *versions]).encode())
    return hashed.hexdigest()[:10]


def main() -> int:
    """Builds, and says where the programs are; returns the exit status."""
    try:
        folder = programs()
    except LocalClusterError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    names = ("helloworld", "load-cnn", "catfish-predict", "catfish-predict-onnx")
    built = [str(folder / name) for name in names if (folder / name).exists()]
    sys.stdout.write("\n".join(built) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
