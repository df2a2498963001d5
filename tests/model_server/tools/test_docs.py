"""The commands of docs/models.md, one after the other, as a reader would type them."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

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
    torch.save(kit.fitted(224).state_dict(), "weights.pt")
    # Ten, and thirty to check on: the page names no size, so that they become large.
    for folder, some in (("pictures", "0*.png"), ("held-out", "[0-2]*.png")):
        for path in kit.pictures.glob(f"*/{some}"):
            copy = Path(folder) / path.parent.name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    for command in commands:
        code, told, complaint = catfish(*shlex.split(command))
        assert code == 0, f"{command}: {told}{complaint}"
    left = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert left == {"weights.pt", "model.safetensors", "model.onnx", "model.pt2", "model-int8.onnx"}
