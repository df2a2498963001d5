"""Files of `catfish export --with-preprocess`: catfish-predict gives them pixels, and answers as the server does."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from catfish_server.inference.preprocess import resized_side
from catfish_server.models.pixels import PREPROCESS, Preprocess
from catfish_server.tools.exporting import programs, torchscript
from tests.cpp.test_images import by_server

pytestmark = pytest.mark.process  # compiles the programs, once

SIZE = 96
HOW = Preprocess(
    image_size=SIZE, resized=resized_side(SIZE), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
TEXTS = {"classes": '["cat", "fish"]', PREPROCESS: HOW.text()}


class Network(nn.Module):
    """Looks at every pixel, and where it is."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 5, stride=3), nn.ReLU(), nn.AdaptiveAvgPool2d(4))
        self.fc = nn.Linear(128, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.flatten(self.body(images), 1))


@pytest.fixture(scope="module")
def module(tensors):
    """With a mind of its own on about half of the pictures."""
    made = Network().eval().requires_grad_(False)
    logits = made(torch.from_numpy(np.stack(list(tensors.values()))))
    middle = (logits[:, 0] - logits[:, 1]).median()
    made.fc.weight.mul_(4)
    made.fc.bias.copy_(4 * (made.fc.bias - torch.stack([middle, torch.tensor(0.0)])))
    return made


@pytest.fixture(scope="module")
def tensors(pictures):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Corrupt EXIF data")
        return {path: by_server(path.read_bytes(), SIZE) for path in sorted(pictures.iterdir())}


def compare(call, program, path, module, tensors):
    code, output, errors = call(program, path, *tensors)
    assert (code, errors) == (0, [])
    expected = module(torch.from_numpy(np.stack(list(tensors.values())))).double().softmax(1).numpy()
    seen = set()
    for line, row, image in zip(output.decode().splitlines(), expected, tensors, strict=True):
        name, label, probability = line.rsplit(" ", 2)
        assert name == f"{image}:"
        assert float(probability) == pytest.approx(row.max(), abs=0.01), name
        assert label == ("cat", "fish")[row.argmax()] or row.max() < 0.51, name
        seen.add(label)
    assert seen == {"cat", "fish"}


@pytest.mark.parametrize("kind", torchscript.MAKERS)
def test_a_module_of_pixels_answers_as_the_server_s_preprocessing(call, module, tensors, tmp_path, kind):
    path = tmp_path / "m"
    torchscript.export(kind, module, path, size=SIZE, texts=TEXTS, note=pytest.fail, preprocess=HOW)
    compare(call, "catfish-predict", path, module, tensors)


@pytest.mark.usefixtures("onnx_programs")
def test_an_onnx_model_of_pixels_does(call, module, tensors, tmp_path):
    programs.export_onnx(module, tmp_path / "m", size=SIZE, texts=TEXTS, preprocess=HOW)
    compare(call, "catfish-predict-onnx", tmp_path / "m", module, tensors)


@pytest.mark.parametrize("option", [("--image-size", "96"), ("--mean", "0,0,0"), ("--std", "1,1,1")], ids=str)
def test_what_is_inside_is_not_told_again(call, module, tensors, tmp_path, option):
    path = tmp_path / "m"
    torchscript.export("trace", module, path, size=SIZE, texts=TEXTS, note=pytest.fail, preprocess=HOW)
    code, output, (error,) = call("catfish-predict", *option, path, next(iter(tensors)))
    assert (code, output) == (2, b"")
    assert error == f"catfish-predict: {option[0]}: {path} has its preprocessing inside; leave it out"


@pytest.mark.parametrize("text", ["{", "{}", '{"image_size": 0}', '{"image_size": "big"}'])
def test_a_damaged_text_is_told(call, module, tensors, tmp_path, text):
    path = tmp_path / "m"
    texts = {**TEXTS, PREPROCESS: text}
    torchscript.export("trace", module, path, size=SIZE, texts=texts, note=pytest.fail, preprocess=HOW)
    code, output, (error,) = call("catfish-predict", path, next(iter(tensors)))
    assert (code, output) == (3, b"")
    assert error.endswith("does not say in its metadata how it prepares its images")
