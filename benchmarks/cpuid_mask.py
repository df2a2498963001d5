"""A processor that has AVX2 and nothing newer, as the programs see it that are started meanwhile.

The benchmark of `catfish quantize` uses it to measure AVX2 on a processor that has more. `cpuid_mask.c` says how it
works and what it needs; nothing but the answers of CPUID is changed, so clock, caches and memory are those of this
processor.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
ASK = "import torch; print(torch.backends.cpu.get_cpu_capability())"


class Unavailable(Exception):
    """It cannot be done on this machine; the text says why."""


@contextmanager
def avx2(folder: Path, root: Path = Path("/")) -> Iterator[None]:
    """Programs that are started in this block see AVX2 alone.

    Args:
        folder: gets the library that they load.
        root: where `proc` is found.

    Raises:
        Unavailable: the processor, the kernel or a compiler is missing for it.
    """
    library = _compiled(folder, root)
    before = os.environ.get("LD_PRELOAD")
    os.environ["LD_PRELOAD"] = os.pathsep.join(filter(None, (str(library), before)))
    try:
        _check()
        yield
    finally:
        if before is None:
            del os.environ["LD_PRELOAD"]
        else:
            os.environ["LD_PRELOAD"] = before


def _compiled(folder: Path, root: Path) -> Path:
    """The library, made of the C file by gcc."""
    if "cpuid_fault" not in (root / "proc/cpuinfo").read_text().split():
        raise Unavailable(
            "no cpuid_fault in /proc/cpuinfo: nothing can answer CPUID in the processor's place"
        )
    library = folder / "cpuid_mask.so"
    try:
        subprocess.run(
            ["gcc", "-O2", "-shared", "-fPIC", "-o", library, SOURCE],
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        raise Unavailable("there is no gcc to compile cpuid_mask.c") from None
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"gcc cannot compile cpuid_mask.c: {error.stderr.strip()[:200]}") from error
    return library


def _check() -> None:
    """Asks torch in a process of its own: the loader passes over a library that it cannot load."""
    asked = subprocess.run([sys.executable, "-c", ASK], check=False, capture_output=True, text=True)
    told = asked.stdout.strip()
    if told != "AVX2":
        raise Unavailable(
            f"torch sees {told or asked.stderr.strip()[-200:] or 'nothing'} in spite of cpuid_mask.c"
        )
