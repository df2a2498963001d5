"""Models in 8 bits by torch's own quantization: made by the command, and read by the server's own loader."""

import json
import os
import subprocess
import sys

import pytest
import torch

from catfish_server.models.cnnnet import CNNNet
from catfish_server.tools import torch_int8
from catfish_server.tools.errors import ToolFailure
from catfish_server.tools.opened import Source

pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings(r"ignore:`torch\.jit\.\w+` is deprecated:DeprecationWarning"),
]


@pytest.fixture
def quantize(catfish, kit, tmp_path):
    def run(*words, weights=kit.weights, calibrate=kit.pictures):
        out = tmp_path / "int8.pt"
        flags = (
            "--architecture",
            "resnet18",
            "--image-size",
            32,
            "--calibrate",
            calibrate,
            "--engine",
            "torch",
        )
        return (*catfish("quantize", weights, out, *flags, *words), out)

    return run


def test_the_file_is_a_quarter_answers_alike_and_says_what_it_is(quantize, catfish):
    code, told, complaint, out = quantize("--json")
    assert code == 0, complaint
    facts = json.loads(told)
    assert (facts["method"], facts["n"], facts["agreement"] >= 0.99) == ("static, by torch", 40, True)
    assert facts["size_ratio"] <= 0.3
    code, told, complaint = catfish("inspect", out, "--trust", "--json")
    assert code == 0, complaint
    found = json.loads(told)
    assert (found["format"], found["made_by"], found["classes"]) == (
        "torchscript",
        "quantize",
        ["cat", "fish"],
    )
    assert found["measured"]["agreement"] == facts["agreement"]
    assert found["to_serve"] == {
        "spec.model.architecture": "torchscript",
        "spec.weights.sha256": found["sha256"],
        "spec.model.imageSize": 32,
    }


def test_what_it_has_learned_is_counted_and_listed_by_layer(quantize, kit, catfish):
    code, _, complaint, out = quantize()
    assert code == 0, complaint
    found = json.loads(catfish("inspect", out, "--trust", "--json")[1])
    module = Source(path=kit.weights, architecture="resnet18").open().module
    layers = [part for part in module.modules() if isinstance(part, torch.nn.Conv2d | torch.nn.Linear)]
    # Normalisation is folded into the convolutions, which get a bias by it.
    weights = sum(part.weight.numel() + part.weight.shape[0] for part in layers)
    assert (found["parameters"], len(found["layers"])) == (weights, len(layers))


def test_the_server_runs_it_in_8_bits_for_any_number_of_images(quantize, kit):
    code, _, complaint, out = quantize()
    assert code == 0, complaint
    opened = Source(path=out, trusted=True).open()
    assert "quantized::conv2d" in str(torch.jit.freeze(opened.module).inlined_graph)
    eager = Source(path=kit.weights, architecture="resnet18", image_size=32).open().model
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)).numpy()
    assert abs(opened.model(image) - eager(image)).max() < 0.5
    assert opened.model(image.repeat(3, axis=0)).shape == (3, 2)


def test_who_has_the_file_reads_nothing_of_what_torch_deprecates(quantize):
    """In a fresh process: torch says it once, on stderr."""
    code, _, complaint, out = quantize()
    assert code == 0, complaint
    ended = subprocess.run(
        [sys.executable, "-m", "catfish_server.tools", "inspect", "--trust", out],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_file_that_answers_otherwise_is_refused_and_not_left(quantize, kit, tmp_path):
    code, told, complaint, _ = quantize("--samples", kit.pictures, calibrate=kit.grey)
    assert (code, told, list(tmp_path.iterdir())) == (1, "", []), complaint
    assert "nothing was written: " in complaint


@pytest.mark.parametrize("option", ["--dynamic", "--full-range"])
def test_what_is_onnx_runtime_s_is_refused_at_once(quantize, option):
    code, _, complaint, out = quantize(option)
    assert (code, complaint.count("\n"), out.exists()) == (2, 1, False)
    assert f"{option} is for ONNX Runtime alone" in complaint


def test_a_whole_model_is_refused(quantize, kit, catfish, tmp_path):
    words = ("--architecture", "resnet18", "--image-size", 32)
    code, _, complaint = catfish("export", "trace", kit.weights, tmp_path / "whole", *words)
    assert code == 0, complaint
    code, _, complaint, out = quantize("--trust", "--architecture", "torchscript", weights=tmp_path / "whole")
    assert (code, complaint.count("\n"), out.exists()) == (3, 1, False), complaint
    assert "is a whole model (torchscript), and torch quantizes weights alone" in complaint


def branching(self, images):
    """Of CNNNet, with a branch that no graph can follow."""
    return self.classifier(torch.flatten(self.avgpool(self.features(images)), 1)) if images.sum() else images


def opened_cnnnet(tmp_path):
    torch.save(CNNNet().state_dict(), tmp_path / "w.pt")
    return Source(path=tmp_path / "w.pt", architecture="cnnnet", image_size=64).open()


def test_a_model_that_torch_cannot_follow_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(CNNNet, "forward", branching)
    images = torch.zeros(2, 3, 64, 64).numpy()
    with pytest.raises(
        ToolFailure, match=r"^torch cannot quantize this model: .+; leave out --engine"
    ) as told:
        torch_int8.static(opened_cnnnet(tmp_path), tmp_path / "out", images)
    assert "\n" not in str(told.value)


def test_a_torch_that_has_none_any_more_says_so(quantize, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.ao.quantization", None)
    code, _, complaint, out = quantize()
    assert (code, complaint.count("\n"), out.exists()) == (3, 1, False)
    assert (
        f"torch {torch.__version__} has no quantization of its own any more: leave out --engine" in complaint
    )


def test_a_processor_that_it_has_no_kernels_for_is_refused(quantize, monkeypatch):
    monkeypatch.setattr(torch_int8, "BACKEND", "arm")
    code, _, complaint, out = quantize()
    assert (code, out.exists()) == (3, False)
    assert "no kernels of 8 bits for this processor" in complaint
