"""Other people's clients, and the environment that they run in, made once and kept in the cache."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from localcluster import build

HERE = Path(__file__).parent
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


def run(script, *arguments):
    """What a client of this folder prints: the JSON of its last line."""
    done = subprocess.run(
        [python(), HERE / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
