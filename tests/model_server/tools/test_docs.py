"""The commands of docs/models.md, one after the other, as a reader would type them."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

PAGE = Path(__file__).parents[3] / "docs" / "models.md"

pytestmark = pytest.mark.process


def test_the_commands_of_the_page_do_what_it_says(catfish, kit, tmp_path, monkeypatch):
    commands = re.findall(r"^catfish (.+)$", PAGE.read_text(), re.MULTILINE)
    assert [command.split()[0] for command in commands] == [
        "convert",
        "export",
        "export",
        "quantize",
        "verify",
        "digest",
    ]
    monkeypatch.chdir(tmp_path)
    torch.save(load_file(kit.weights), "weights.pt")
    for path in kit.pictures.glob("*/0*.png"):  # ten: the page names no size, so that they become large
        for folder in ("pictures", "held-out"):
            copy = Path(folder) / path.parent.name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    for command in commands:
        code, told, complaint = catfish(*shlex.split(command))
        assert code == 0, f"{command}: {told}{complaint}"
    left = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert left == {"weights.pt", "model.safetensors", "model.onnx", "model.pt2", "model-int8.onnx"}
