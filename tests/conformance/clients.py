"""The environment that other people's clients run in, made once and kept in the cache."""

import hashlib
import subprocess
import sys
from pathlib import Path

from localcluster import build

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "conformance.txt"


def python():
    """The interpreter of the environment; the first call installs it (a minute)."""

    def make(target):
        uv = [sys.executable, "-m", "uv", "--quiet"]
        subprocess.run([*uv, "venv", "--relocatable", "--python", sys.executable, target], check=True)
        install = [
            *uv,
            "pip",
            "install",
            "--python",
            target / "bin" / "python",
            "--require-hashes",
            "--no-deps",
        ]
        subprocess.run([*install, "--only-binary", ":all:", "--requirement", REQUIREMENTS], check=True)

    pins = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    return build.once(build.cache() / f"conformance-{pins}", make) / "bin" / "python"
