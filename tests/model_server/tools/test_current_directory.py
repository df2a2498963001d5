"""The command in a directory that holds files named as modules are: people keep their scripts there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process


def test_no_module_is_taken_from_the_current_directory(kit, tmp_path):
    """Neither by the command, as its script runs it, nor by the process that compares."""
    for name in ("json", "numpy", "safetensors", "statistics", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from the current directory')\n")
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "catfish_server.tools", "export", "trace", kit.weights, "out"),
            *("--architecture", "resnet18", "--image-size", "32"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=300,
        env={**os.environ, "PYTHONPATH": ":".join(path for path in sys.path if Path(path).is_absolute())},
    )
    assert (done.returncode, (tmp_path / "out").exists()) == (0, True), done.stderr
