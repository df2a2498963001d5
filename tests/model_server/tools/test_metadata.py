"""The texts in a file: written and read back in every format, and what is read of damaged ones."""

import json
import zipfile

import onnx
import pytest
import torch
from safetensors.torch import save_file

from catfish_server.models.pixels import PREPROCESS, Preprocess
from catfish_server.tools import metadata
from catfish_server.tools.metadata import About
from catfish_server.weights.formats import Format

ABOUT = About(
    architecture="resnet18",
    image_size=96,
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.3, 0.25),
    made_by="export trace",
    source_sha256="ab" * 32,
    measured={"agreement": 0.995},
)
INSIDE = Preprocess(image_size=96, resized=110, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))
TEXTS = metadata.texts(ABOUT, ("cat", "é,"), preprocess=INSIDE)


def save_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**TEXTS, "other": "is not ours"}.items():
            archive.writestr(f"model/extra/{name}", text)
        archive.writestr("model/data/classes", "is not in the right place")


def save_onnx(path):
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [value], [
        onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    ])  # fmt: skip
    onnx.save(onnx.helper.make_model(graph), path)
    metadata.write_onnx(path, {"kept": "yes", "classes": "old"})
    metadata.write_onnx(path, TEXTS)


SAVE = {
    Format.TORCHSCRIPT: save_archive,
    Format.EXPORTED: save_archive,
    Format.ONNX: save_onnx,
    Format.SAFETENSORS: lambda path: save_file({"w": torch.zeros(1)}, path, TEXTS),
}


@pytest.mark.parametrize("kind", SAVE)
def test_what_is_written_is_read_back(tmp_path, kind):
    SAVE[kind](tmp_path / "m")
    found = metadata.read(tmp_path / "m", kind)
    kept = {"kept": "yes"} if kind is Format.ONNX else {}
    assert found == {**TEXTS, **kept}
    assert About.read(found) == ABOUT
    assert json.loads(found["classes"]) == ["cat", "é,"]
    assert Preprocess.read(found[PREPROCESS]) == INSIDE


def test_what_nobody_knows_is_not_written():
    assert metadata.texts(About(image_size=96), None) == {"catfish": '{"image_size": 96}'}


@pytest.mark.parametrize("kind", [*SAVE, Format.STATE_DICT])
@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04", b"\xff" * 20], ids=repr)
def test_a_damaged_file_says_nothing(tmp_path, kind, content):
    (tmp_path / "m").write_bytes(content)
    assert metadata.read(tmp_path / "m", kind) == {}


def test_a_text_that_is_too_long_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(metadata, "MAX_BYTES", len(TEXTS["catfish"]) - 1)
    save_archive(tmp_path / "m")
    found = metadata.read(tmp_path / "m", Format.TORCHSCRIPT)
    assert "classes" in found
    assert "catfish" not in found


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "3",
        '"text"',
        "[" * 100_000,
        '{"image_size": "96"}',
        '{"image_size": 0}',
        '{"image_size": true}',
        '{"image_size": 5000}',
        '{"architecture": 3}',
        '{"mean": [1, 2]}',
        '{"mean": "abc"}',
        '{"std": [1, 2, "3"]}',
        '{"measured": 3}',
    ],
    ids=lambda text: text[:30],
)
def test_what_is_none_of_ours_says_nothing(text):
    assert About.read({"catfish": text}) == About()


def test_what_a_later_version_says_beside_it_is_left_out():
    text = json.dumps({**ABOUT.said(), "later": 1})
    assert About.read({"catfish": text}) == ABOUT
