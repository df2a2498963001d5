"""Each export of a real network, made and checked by the real command, and read by the server's own loader."""

import functools
import hashlib
import io
import json
import subprocess
import sys
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.models import alexnet

from catfish_server.inference.prepare import prepare
from catfish_server.models import programs
from catfish_server.models.cnnnet import CNNNet
from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD
from catfish_server.tools.__main__ import run
from catfish_server.tools.errors import ToolFailure
from catfish_server.tools.exporting import torchscript
from catfish_server.weights import formats, location
from catfish_server.weights.fetch import Fetched
from tests.model_server.whole_models import network

pytestmark = pytest.mark.process

KINDS = ("trace", "script", "hybrid", "program", "onnx")
SIZE = 64

SPEC = {"image_size": SIZE, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}

DEPRECATED = pytest.mark.filterwarnings(r"ignore:`torch\.jit\.\w+` is deprecated:DeprecationWarning")
"""The tests load what the server loads without a warning."""


def branching(self, x: torch.Tensor) -> torch.Tensor:
    """Of CNNNet, with a branch that is taken for images that are black and no other."""
    if float(x.abs().sum()) == 0.0:
        return torch.zeros(x.shape[0], 2) - 100.0
    return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The book's CNNNet with random weights."""
    path = tmp_path_factory.mktemp("weights") / "cnnnet.safetensors"
    torch.manual_seed(3)
    made = CNNNet().eval()
    save_file(made.state_dict(), path)
    return path, made


@pytest.fixture(scope="module")
def exported(weights, tmp_path_factory):
    """A function that exports the weights in a kind, once: the file, which is not to be changed, and what was told."""
    folder = tmp_path_factory.mktemp("exported")
    flags = ["--architecture", "cnnnet", "--classes", "cat,fish", "--image-size", str(SIZE), "--json"]

    @functools.cache
    def export(kind):
        with redirect_stdout(io.StringIO()) as told:
            assert run(["export", kind, str(weights[0]), str(folder / kind), *flags]) == 0
        return folder / kind, json.loads(told.getvalue())

    return export


def test_each_kind_is_loaded_by_the_server_and_names_its_classes(weights, exported):
    _, made = weights
    image = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = made(image).numpy()
    for kind in KINDS:
        out, told = exported(kind)
        digest = hashlib.sha256(out.read_bytes()).hexdigest()
        assert told["sha256"] == digest
        assert told["max_difference"] < 1e-3
        fetched = Fetched(path=out, temporary=False, sha256=digest, size=told["bytes"], vouched=True)
        loaded = programs.load(
            formats.Format(told["format"]), fetched, location=location.parse(str(out)), **SPEC
        )
        assert json.loads(loaded.classes) == ["cat", "fish"]
        model = prepare(loaded, classes=("cat", "fish"), image_size=SIZE)
        np.testing.assert_allclose(model(image.numpy()), expected, rtol=1e-4, atol=1e-4)
    assert sorted(one.name for one in out.parent.iterdir()) == sorted(KINDS)


@DEPRECATED
def test_a_hybrid_of_the_book_s_network_has_its_two_parts_traced(weights, exported):
    """The parts are called as the book calls them, and the weights keep their names."""
    _, made = weights
    out, _ = exported("hybrid")
    found = torch.jit.load(out)
    assert "flatten" in found.classifier.code
    assert "flatten" not in found.code
    assert found.state_dict().keys() == made.state_dict().keys()
    pooled = torch.randn(1, 256, 6, 6, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected = made.classifier(pooled.flatten(1))
        torch.testing.assert_close(found.classifier(pooled), expected)
        torch.testing.assert_close(found.classifier(pooled.repeat(3, 1, 1, 1)), expected.repeat(3, 1))


@DEPRECATED
def test_a_hybrid_takes_another_head_and_the_networks_of_torchvision(tmp_path):
    image = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    other = CNNNet().eval()
    other.classifier = torch.nn.Linear(256 * 6 * 6, 2)
    for module in (other, alexnet(num_classes=2).eval()):
        torchscript.export("hybrid", module, tmp_path / "m", size=SIZE, texts={}, note=pytest.fail)
        with torch.inference_mode():
            torch.testing.assert_close(torch.jit.load(tmp_path / "m")(image), module(image))


def test_what_is_code_is_inspected_only_when_it_is_trusted(exported, capsys):
    out, _ = exported("script")
    capsys.readouterr()
    assert run(["inspect", str(out)]) == 3
    assert "add --trust" in capsys.readouterr().err
    assert run(["inspect", str(out), "--trust", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["classes"] == ["cat", "fish"]
    assert told["input"] == ["n", 3, SIZE, SIZE]
    assert told["parameters"] == sum(value.numel() for value in CNNNet().parameters())


def test_a_file_that_answers_otherwise_is_refused_and_not_left(kit, tmp_path, capsys, monkeypatch):
    """Nothing is near enough to a tolerance below zero."""
    monkeypatch.setattr("catfish_server.tools.exporting.check.TOLERANCE", -1.0)
    torch.save(load_file(kit.weights), tmp_path / "w.pt")
    flags = ["--architecture", "resnet18", "--classes", "cat,fish", "--image-size", str(SIZE)]
    assert run(["export", "trace", str(tmp_path / "w.pt"), str(tmp_path / "m"), *flags]) == 1
    assert "answers otherwise than the weights" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["w.pt"]


@pytest.fixture
def export_branching(kit, weights, tmp_path, monkeypatch, catfish):
    """Exports a network that answers pictures as ever, and an example of zeros otherwise: what a trace keeps."""
    monkeypatch.setattr(CNNNet, "forward", branching)
    flags = ("--architecture", "cnnnet", "--classes", "cat,fish", "--image-size", SIZE)
    return lambda kind: catfish("export", kind, weights[0], tmp_path / "m", *flags, "--samples", kit.pictures)


@DEPRECATED
def test_a_trace_that_left_out_the_branch_of_the_pictures_is_refused(export_branching, tmp_path):
    code, told, complaint = export_branching("trace")
    assert (code, told, list(tmp_path.iterdir())) == (1, "", []), complaint
    assert "the new file answers otherwise than the weights (by " in complaint


@DEPRECATED
def test_a_script_that_has_the_branch_is_kept(export_branching, tmp_path):
    code, _, complaint = export_branching("script")
    assert (code, (tmp_path / "m").exists()) == (0, True), complaint


def test_what_is_not_installed_is_named_with_the_line_that_installs_it(
    weights, tmp_path, monkeypatch, catfish
):
    monkeypatch.setitem(sys.modules, "onnx", None)
    flags = ("--architecture", "cnnnet", "--classes", "cat,fish", "--image-size", SIZE)
    code, told, complaint = catfish("export", "onnx", weights[0], tmp_path / "m", *flags)
    line = "catfish: this needs onnx, which is not installed: pip install 'catfish[server]'\n"
    assert (code, told, complaint, list(tmp_path.iterdir())) == (3, "", line, [])


@pytest.mark.parametrize("flag", [(), ("--with-preprocess",)], ids=["images", "raw pixels"])
@pytest.mark.parametrize("given", [True, False], ids=["samples", "no samples"])
def test_the_report_says_on_whose_pictures_it_was_checked(kit, tmp_path, catfish, given, flag):
    words = (kit.weights, tmp_path / "m", "--architecture", "resnet18", "--image-size", 32, *flag)
    samples = ("--samples", kit.pictures) if given else ()
    code, told, complaint = catfish("export", "program", *words, *samples, "--json")
    assert code == 0, complaint
    facts = json.loads(told)
    assert (facts["pictures"], facts["compared_on"]) == ((str(kit.pictures), 40) if given else ("made up", 8))
    assert any("made up; with --samples" in note for note in facts.get("notes", [])) is not given


def test_a_whole_model_is_not_exported_again(files, capsys, tmp_path):
    assert run(["export", "onnx", str(files.path("torchscript")), str(tmp_path / "out")]) == 3
    assert "a whole model already" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_in_training_mode_is_not_traced():
    with pytest.raises(ToolFailure, match=r"call model\.eval\(\) first"):
        torchscript.trace(network().train(), torch.zeros(1, 3, 32, 32))


def test_a_trace_that_leaves_a_branch_out_says_so(tmp_path):
    class Branches(torch.nn.Module):
        def forward(self, x):
            return x.mean(dim=[2, 3]) if x.sum() > 0 else x.amax(dim=[2, 3])

    notes = []
    torchscript.export("trace", Branches().eval(), tmp_path / "m", size=8, texts={}, note=notes.append)
    (note,) = notes
    assert note == (
        "1 decisions of the model depend on its input; the trace keeps those that were made for images of 8 "
        "pixels that are all zero: where the size decides, use it for no other, and where the pixels do, export with "
        "script, which keeps the branches"
    )


def test_convert_writes_the_classes_where_the_server_reads_them(weights, tmp_path, capsys):
    path, out = tmp_path / "w.pt", tmp_path / "w.safetensors"
    torch.save(weights[1].state_dict(), path)
    assert run(["convert", str(path), str(out), "--classes", "cat,fish", "--architecture", "cnnnet"]) == 0
    capsys.readouterr()
    assert run(["inspect", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["classes"], told["to_serve"]) == (["cat", "fish"], {"spec.model.architecture": "cnnnet"})


def test_a_failure_is_one_line(tmp_path):
    (tmp_path / "page").write_text("<html>")
    asked = [sys.executable, "-m", "catfish_server.tools", "inspect", str(tmp_path / "page")]
    ended = subprocess.run(
        asked, check=False, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith(f"catfish: {tmp_path}/page is a web page or XML")
    assert ended.stderr.count("\n") == 1
