"""Classes that do not fit the weights are no file that a pod would only refuse."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision import models

from catfish_server.models import heads
from catfish_server.models.cnnnet import CNNNet
from catfish_server.settings import IMAGENET_STD

pytestmark = pytest.mark.process


@pytest.fixture
def convert(catfish, kit, tmp_path):
    def run(*words, tensors=None, classes=None):
        save_file(
            load_file(kit.weights) if tensors is None else tensors,
            tmp_path / "w.safetensors",
            {"classes": json.dumps(classes)} if classes else None,
        )
        out = tmp_path / "out.safetensors"
        return (*catfish("convert", tmp_path / "w.safetensors", out, *words), out)

    return run


def test_as_many_classes_as_outputs_are_taken(convert):
    code, _, complaint, out = convert("--classes", "cat,fish")
    assert (code, out.exists()) == (0, True), complaint


def test_how_pictures_are_prepared_stands_in_the_file_and_need_not_be_said_again(convert, catfish):
    words = (
        "--classes",
        "cat,fish",
        "--architecture",
        "resnet18",
        "--image-size",
        32,
        "--mean",
        "0.5,0.4,0.3",
    )
    code, _, complaint, out = convert(*words)
    assert code == 0, complaint
    code, told, complaint = catfish("inspect", out, "--json")
    assert code == 0, complaint
    assert json.loads(told)["to_serve"] == {
        "spec.model.architecture": "resnet18",
        "spec.model.imageSize": 32,
        "spec.model.mean": [0.5, 0.4, 0.3],
        "spec.model.std": list(IMAGENET_STD),
    }


@pytest.mark.parametrize(
    ("words", "classes", "code", "told"),
    [
        (("--classes", "cat,fish,dog"), None, 2, "--classes names 3 classes (cat, fish, dog)"),
        ((), ["a", "b", "c"], 3, "the file names 3 classes (a, b, c)"),
    ],
    ids=["on the command line", "in the file"],
)
def test_another_number_is_refused_without_the_architecture(convert, words, classes, code, told):
    found, _, complaint, out = convert(*words, classes=classes)
    assert (found, complaint.count("\n"), out.exists()) == (code, 1, False)
    assert f"{told}, and the weights have 2 outputs" in complaint


def test_a_network_that_nobody_knows_needs_a_layer_of_so_many(convert):
    tensors = nn.ModuleDict({"body": nn.Linear(4, 8), "last": nn.Linear(8, 2)}).state_dict()
    assert convert("--classes", "cat,fish", tensors=tensors)[0] == 0
    code, _, complaint, _ = convert("--classes", "a,b,c", tensors=tensors)
    assert (code, "the weights have no layer of so many outputs" in complaint) == (2, True)
    assert convert("--classes", "a,b,c", tensors={"scale": torch.ones(2)})[0] == 0, "no layer, nothing to say"


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.resnet18(num_classes=7),
        lambda: models.alexnet(num_classes=7),
        lambda: models.squeezenet1_1(num_classes=7),
        lambda: models.densenet121(num_classes=7),
        lambda: models.convnext_tiny(num_classes=7),
        lambda: models.swin_t(num_classes=7),
        lambda: models.vit_b_16(num_classes=7),
        lambda: models.googlenet(num_classes=7, init_weights=False),
        CNNNet,
    ],
)
def test_the_outputs_of_a_network_are_told_by_the_name_of_its_head(make):
    with torch.device("meta"):
        made = make()
    shapes = {key: tuple(value.shape) for key, value in reversed(made.state_dict().items())}
    assert heads.guessed_outputs(shapes) == {2 if isinstance(made, CNNNet) else 7}
