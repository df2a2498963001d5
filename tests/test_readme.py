"""The README's commands for a laptop do what it says."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision import models

from tests.readme import ROOT, sections


@pytest.fixture
def commands() -> list[str]:
    return sections()["Run the server on a laptop"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the user of the README has: weights and a photo."""
    torch.save(models.resnet50(num_classes=2).state_dict(), tmp_path / "cat.pt")
    Image.new("RGB", (320, 240), (200, 120, 40)).save(tmp_path / "photo.jpg")
    return tmp_path


def test_what_is_to_be_installed_is_what_the_tests_run_with(commands):
    """Nothing is fetched: pip says whether the environment of the tests satisfies the extra."""
    assert commands[0] == "pip install .[server]"
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--no-build-isolation"]
    planned = subprocess.run([*pip, ".[server]"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert planned.returncode == 0, planned.stderr
    assert "Would install catfish-" in planned.stdout


def test_the_server_answers_as_the_readme_says(commands, folder):
    _, serve, ask = commands
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": f"{ROOT}/model_server"}
    with subprocess.Popen(["/bin/sh", "-c", f"exec {serve}"], cwd=folder, env=environment) as server:
        try:
            answer = _answer(ask, folder, server)
        finally:
            server.terminate()
        assert server.wait(60) == 0
    assert answer["prediction"] in {"cat", "fish"}


def _answer(command: str, folder: Path, server: "subprocess.Popen[bytes]") -> dict[str, object]:
    deadline = time.monotonic() + 90
    while True:
        asked = subprocess.run(
            ["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False
        )
        if asked.returncode == 0:
            return dict(json.loads(asked.stdout))
        assert server.poll() is None, "the server ended"
        assert time.monotonic() < deadline, asked.stderr
        time.sleep(0.2)
