"""`pip install catfish` without its extras, and with some of their packages: no verb ends in a traceback."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from catfish_server.tools import command_line

pytestmark = pytest.mark.process

SERVER = Path(__file__).resolve().parents[3] / "model_server"

COMMANDS = {
    "export": ("export", "trace", "w.safetensors", "out"),
    "inspect": ("inspect", "w.safetensors"),
    "convert": ("convert", "w.safetensors", "out.safetensors"),
    "quantize": ("quantize", "w.safetensors", "out", "--calibrate", "."),
    "verify": ("verify", "w.safetensors", "--samples", "."),
}
"""Of each verb that needs an extra."""


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Runs the command in an environment where nothing is installed but this distribution."""
    home = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True, timeout=120)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "catfish.pth").write_text(f"{SERVER}\n")

    def run(*words, cwd):
        asked = [home / "bin" / "python", "-I", "-m", "catfish_server.tools", *words]
        done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=cwd, timeout=120)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    return path


def test_every_verb_is_here():
    assert {*COMMANDS, "digest"} == command_line.VERBS.keys()


@pytest.mark.parametrize("words", [(), *((verb,) for verb in command_line.VERBS)], ids=" ".join)
def test_help_needs_no_extra(bare, tmp_path, words):
    code, told, complaint = bare(*words, "--help", cwd=tmp_path)
    assert (code, complaint) == (0, "")
    assert told.startswith(" ".join(("usage: catfish", *words, "")))


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_verb_without_its_extra_prints_the_line_that_installs_it(bare, weights, words):
    code, told, complaint = bare(*words, cwd=weights.parent)
    # Which of them it asks for first is the order of its imports.
    line = r"catfish: this needs (numpy|PIL), which is not installed: pip install 'catfish\[server\]'\n"
    assert (code, told) == (3, "")
    assert re.fullmatch(line, complaint)
    assert list(weights.parent.iterdir()) == [weights]


def test_a_digest_needs_no_extra(bare, weights):
    code, told, complaint = bare("digest", weights, "--json", cwd=weights.parent)
    assert (code, complaint) == (0, "")
    assert json.loads(told)["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("torch", COMMANDS["convert"]),
        ("torch", COMMANDS["inspect"]),
        ("safetensors", COMMANDS["convert"]),
        ("obstore", COMMANDS["export"]),
        ("PIL", COMMANDS["verify"]),
        (
            "onnxscript",
            ("export", "onnx", "w.safetensors", "out", "--architecture", "resnet18", "--image-size", "32"),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_one_package_that_is_missing_is_named(kit, tmp_path, package, words):
    """All others are installed."""
    (tmp_path / "w.safetensors").symlink_to(kit.weights)
    blocked = (
        f"import sys; sys.modules[{package!r}] = None; from catfish_server.tools.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", blocked, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(SERVER)},
    )
    line = f"catfish: this needs {package}, which is not installed: pip install 'catfish[server]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", line)
    assert [one.name for one in tmp_path.iterdir()] == ["w.safetensors"]
