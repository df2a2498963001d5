"""Every verb on every network that the tools are promised for: a ResNet-50 with the book's head, the demo's, CNNNet."""

import hashlib
import io
import json
import shutil
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from benchmarks.quantize import with_the_book_s_head
from catfish_server.models.cnnnet import CNNNet
from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD
from catfish_server.tools import __main__ as tools
from catfish_server.tools import answers, asking, samples
from tests.model_server.fitting import fit
from tests.model_server.tools.conftest import CLASSES

pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings(r"ignore:`torch\.jit\.\w+` is deprecated:DeprecationWarning"),
]

SIZE = 64
KINDS = {
    "trace": "torchscript",
    "script": "torchscript",
    "hybrid": "torchscript",
    "program": "exported",
    "onnx": "onnx",
}
"""Of `catfish export`, and the format that each writes."""

METHODS = {
    "static": ((), "static QDQ"),
    "dynamic": (("--dynamic",), "dynamic"),
    "torch": (("--engine", "torch"), "static, by torch"),
}
"""Of `catfish quantize`: how it is asked for, and what it is called."""


def book_s_own():
    """Initialised as the ResNets are: of the usual random values, each layer makes less of what it is given."""
    made = CNNNet()
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return made


NETWORKS = {
    "resnet50": with_the_book_s_head,
    "resnet18": lambda: resnet18(num_classes=2),
    "cnnnet": book_s_own,
}


@dataclass(frozen=True)
class Network:
    """A network in the files that a user has of it.

    Attributes:
        parameters: how many it has learned.
        pickle: of torch.save.
        weights: what `catfish convert` makes of it.
    """

    name: str
    parameters: int
    pickle: Path
    weights: Path


@pytest.fixture(scope="module", params=NETWORKS)
def network(request, kit, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(3)
    module = NETWORKS[request.param]().eval()
    shown = samples.read(kit.pictures, image_size=SIZE, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    fit(module, torch.from_numpy(shown.images), torch.tensor([label == CLASSES[0] for label in shown.labels]))
    made = Network(
        name=request.param,
        parameters=sum(value.numel() for value in module.parameters()),
        pickle=directory / "w.pt",
        weights=directory / "w.safetensors",
    )
    torch.save(module.state_dict(), made.pickle)
    told = ["--architecture", made.name, "--classes", ",".join(CLASSES), "--image-size", str(SIZE)]
    with redirect_stdout(io.StringIO()):
        assert tools.run(["convert", str(made.pickle), str(made.weights), *told]) == 0
    yield made
    shutil.rmtree(directory)


@pytest.fixture(autouse=True)
def answers_of_this_process(monkeypatch):
    """A fresh process would take 3 s to import torch, a hundred times; test_export.py and test_quantize.py start it."""

    def told(directory, _sides, _progress):
        with redirect_stdout(io.StringIO()):
            assert answers.main([str(directory)]) == 0
        result = json.loads((directory / answers.RESULT).read_bytes())
        assert "failure" not in result, result
        return [asking.Told(**side) for side in result["sides"]]

    monkeypatch.setattr(asking, "_told", told)
    monkeypatch.setattr(answers, "LEAST_TIMED", 1)


@pytest.fixture
def out(tmp_path):
    """A file to write; some have hundreds of megabytes."""
    yield tmp_path / "out"
    (tmp_path / "out").unlink(missing_ok=True)


class Verb:
    """Runs a verb."""

    def __init__(self, catfish):
        self.catfish = catfish

    def told(self, *words):
        """What it says once it has succeeded."""
        code, told, complaint = self.catfish(*words, "--json")
        assert code == 0, complaint
        return json.loads(told)

    def refused(self, *words):
        """The one line in which it refuses."""
        code, told, complaint = self.catfish(*words)
        assert (code, told, complaint.count("\n")) == (3, "", 1), complaint
        return complaint


@pytest.fixture
def verb(catfish):
    return Verb(catfish)


def test_converted_weights_say_what_they_are(network, verb):
    found = verb.told("inspect", network.weights)
    assert (found["format"], found["classes"], found["outputs"]) == ("safetensors", [*CLASSES], 2)
    assert found["to_serve"] == {"spec.model.architecture": network.name, "spec.model.imageSize": SIZE}
    assert found["parameters"] == network.parameters
    assert found["source_sha256"] == verb.told("digest", network.pickle)["sha256"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_answers_as_the_weights_and_says_what_it_is(network, kind, out, verb, kit):
    made = verb.told("export", kind, network.weights, out)
    assert (made["format"], made["agreeing"]) == (KINDS[kind], made["compared_on"])
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    assert made["sha256"] == verb.told("digest", out)["sha256"] == digest
    found = verb.told("inspect", out, "--trust")
    assert (found["made_by"], found["classes"]) == (f"export {kind}", [*CLASSES])
    assert found["input"] == ["n", 3, SIZE, SIZE]
    assert found["parameters"] == network.parameters or kind == "onnx", "where normalisation is folded in"
    assert found["to_serve"].get("spec.weights.sha256") == (None if kind == "onnx" else digest)
    words = ("--trust", "--samples", kit.pictures, "--limit", 12, "--min-accuracy", 0.9)
    assert verb.told("verify", out, *words)["golden_pictures"] == 12


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_takes_pixels_where_its_preprocessing_is_inside(network, kind, out, verb, kit):
    words = ("--with-preprocess", "--samples", kit.pictures, "--limit", 8)
    made = verb.told("export", kind, network.weights, out, *words)
    assert (made["format"], made["agreeing"], made["compared_on"]) == (KINDS[kind], 8, 8)
    found = verb.told("inspect", out, "--trust")
    assert (found["input"], found["preprocess"]["cut_to"]) == (["n", 3, "height", "width"], SIZE)


@pytest.mark.parametrize("method", METHODS)
def test_8_bits_are_measured_inspected_and_verified(network, method, out, verb, kit):
    words, name = METHODS[method]
    made = verb.told("quantize", network.weights, out, "--calibrate", kit.pictures, *words)
    assert (made["method"], made["n"], made["agreement"] >= 0.99) == (name, 40, True)
    found = verb.told("inspect", out, "--trust")
    assert (found["made_by"], found["classes"], found["measured"]["n"]) == ("quantize", [*CLASSES], 40)
    words = ("--trust", "--against", network.weights, "--samples", kit.pictures, "--limit", 12)
    found = verb.told("verify", out, *words)
    assert (found["golden_pictures"], found["verdict"]) == (12, "not worse")


def test_a_whole_model_is_refused_by_the_verbs_that_take_weights(network, out, verb, kit):
    verb.told("export", "script", network.weights, out)
    for words, reason in (
        (("export", "onnx", out, f"{out}-2"), "a whole model already; export takes weights"),
        (("convert", out, f"{out}.safetensors"), "a whole model; convert takes weights alone"),
        (
            ("quantize", out, f"{out}-2", "--trust", "--calibrate", kit.pictures),
            "quantize the weights that it was",
        ),
    ):
        assert reason in verb.refused(*words)
    assert [path.name for path in out.parent.iterdir()] == ["out"]
