# ruff: noqa: INP001 - a script of Dockerfile.server, not part of a package
"""Removes what CPU work never loads of torch's CUDA build: Dockerfile.server runs it in the environment it trims.

PyPI's Linux wheel of torch is linked to CUDA: some of its libraries must be there for `import torch` to succeed
at all, the others are opened when a GPU is used, which Catfish's server does not do. Which are which is not a
list kept here but measured: a small model is trained, traced and asked, and every NVIDIA library that the process
has not mapped by then goes. The same work is done once more afterwards, in a new process, to prove that nothing
is missed. Of a CPU wheel there is next to nothing to remove.
"""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

SITE = Path(sysconfig.get_path("purelib"))

WORK = """
import os
import torch
import torchvision

model = torchvision.models.resnet18(num_classes=2)
optimizer = torch.optim.AdamW(model.parameters())
torch.nn.functional.cross_entropy(model(torch.rand(2, 3, 64, 64)), torch.tensor([0, 1])).backward()
optimizer.step()
frozen = torch.jit.freeze(torch.jit.trace(model.eval(), torch.rand(1, 3, 64, 64)))
assert torch.jit.optimize_for_inference(frozen)(torch.rand(1, 3, 64, 64)).isfinite().all()
torch.linalg.svd(torch.rand(4, 4))
torch.fft.fft(torch.rand(8))
with open("/proc/self/maps") as maps:
    print(*{os.path.realpath(line.split()[-1]) for line in maps if ".so" in line}, sep="\\n")
"""


def mapped() -> set[Path]:
    """The shared libraries that a process has mapped after doing the server's and the demo's kind of work."""
    done = subprocess.run(
        [sys.executable, "-B", "-W", "ignore", "-c", WORK], check=True, stdout=subprocess.PIPE, text=True
    )
    return {Path(line) for line in done.stdout.splitlines()}


def superfluous(loaded: set[Path]) -> Iterator[Path]:
    """The files and directories that CPU work can do without.

    Args:
        loaded: The libraries that must stay.
    """
    yield SITE / "triton"  # compiles GPU kernels; 0.7 GB
    yield SITE / "torch" / "include"  # for compiling extensions, and there is no compiler
    for path in sorted((SITE / "nvidia").rglob("*")):
        is_library = ".so" in path.suffixes or path.suffix == ".a"
        if path.is_file() and not path.is_symlink() and is_library and path.resolve() not in loaded:
            yield path


def size(path: Path) -> int:
    """How many bytes the file, or all files below the directory, hold."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def main() -> None:
    """Removes, proves, and says how much went."""
    removed = 0
    for path in list(superfluous(mapped())):
        removed += size(path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    mapped()
    sys.stdout.write(f"trimmed {removed / 1e6:.0f} MB; import, training and tracing still work\n")


if __name__ == "__main__":
    main()
