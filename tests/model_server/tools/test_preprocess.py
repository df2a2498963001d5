"""Files with their preprocessing inside: made by the command, and asked by the server and by somebody else."""

import contextlib
import hashlib
import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from catfish_server.errors import InvalidSpec
from catfish_server.inference import build
from catfish_server.inference.preprocess import preprocess, resized_side
from catfish_server.lifecycle import Lifecycle
from catfish_server.models.pixels import OfPixels, Preprocess
from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD, Settings
from catfish_server.tools.exporting import preprocess as inside
from catfish_server.tools.opened import open_model
from catfish_server.weights.sandbox import Sandbox

pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings(r"ignore:`torch\.jit\.\w+` is deprecated:DeprecationWarning"),
]

KINDS = ("trace", "script", "hybrid", "program", "onnx")
SIZES = [
    (224, 224),
    (256, 256),
    (375, 500),
    (500, 375),
    (97, 101),
    (301, 37),
    (30, 600),
    (1023, 1535),
    (8, 9),
]
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
HOW = ("--architecture", "resnet18", "--image-size", "32", "--mean", "0.5,0.4,0.3", "--std", "0.2,0.3,0.25")


def photo(height, width, seed):
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    return Image.fromarray((soft + random.integers(-20, 21, soft.shape)).clip(0, 255).astype(np.uint8))


def raw(image):
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)[np.newaxis])


def how(size):
    return Preprocess(image_size=size, resized=resized_side(size), mean=MEAN, std=STD)


@pytest.mark.parametrize("size", [224, 33, 31, 300])
def test_the_module_makes_the_pixels_of_the_server(size):
    module = torch.jit.script(inside.Preprocessing(how(size)))
    for number, (height, width) in enumerate(SIZES):
        image = photo(height, width, number)
        expected = preprocess(image, image_size=size, mean=MEAN, std=STD)
        found = module(torch.from_numpy(raw(image))).numpy()
        levels = np.abs(found - expected) * np.reshape(STD, (3, 1, 1)) * 255
        assert levels.max() < 1.01, (height, width)
        # Pillow's whole numbers break a tie between two levels otherwise; a photograph has few of them.
        assert (levels > 0.5).mean() < (2e-3 if min(height, width) > 300 else 0.3), (height, width)


@pytest.mark.parametrize("size", [224, 33, 31, 300])
def test_preprocessed_images_reach_the_model_inside_unchanged(size):
    """The server normalises with other numbers than the model."""
    module = inside.Preprocessing(how(size))

    def model(pixels):
        return module(torch.from_numpy(pixels)).numpy()

    adapted = OfPixels(model, how(size), mean=IMAGENET_MEAN, std=IMAGENET_STD)
    image = photo(375, 501, 1)
    given = preprocess(image, image_size=size, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    expected = preprocess(image, image_size=size, mean=MEAN, std=STD)
    np.testing.assert_allclose(
        adapted(np.concatenate([given] * 2)), np.concatenate([expected] * 2), atol=1e-6
    )


@pytest.fixture(scope="module", params=KINDS)
def made(request, kit, tmp_path_factory):
    """A file of each kind, what the command told of it, and its path."""
    from catfish_server.tools import __main__ as tools

    out = tmp_path_factory.mktemp("made") / request.param
    words = ["export", request.param, kit.weights, out, "--with-preprocess", "--samples", kit.pictures, *HOW]
    assert tools.run([*map(str, words), "--limit", "10"]) == 0
    return request.param, out


def outsider(kind, path):
    """What somebody does with the file who has never heard of the server."""
    if kind == "onnx":
        session = onnxruntime.InferenceSession(path)
        return lambda pixels: session.run(None, {"images": pixels})[0]
    with path.open("rb") as file:
        module = torch.export.load(file).module() if kind == "program" else torch.jit.load(file)
    return lambda pixels: module(torch.from_numpy(pixels)).detach().numpy()


def test_each_kind_answers_raw_pixels_of_any_size_and_number(made, kit):
    ask = outsider(*made)
    eager = open_model(kit.weights, architecture="resnet18", image_size=32).model
    for number, (height, width) in enumerate(SIZES):
        image = photo(height, width, number)
        expected = eager(preprocess(image, image_size=32, mean=MEAN, std=STD))
        np.testing.assert_allclose(ask(raw(image)), expected, atol=0.02)
        np.testing.assert_allclose(ask(raw(image).repeat(3, axis=0)), expected.repeat(3, axis=0), atol=0.02)


def test_floats_are_refused_and_not_taken_for_pixels(made):
    with pytest.raises(Exception, match=r"uint8|dtype|Byte"):
        outsider(*made)(np.zeros((1, 3, 40, 40), np.float32))


def test_it_is_opened_as_a_model_that_normalises_once(made, kit):
    """As in the server, whatever mean and std its `CatfishModel` has."""
    _, path = made
    eager = open_model(kit.weights, architecture="resnet18", image_size=32).model
    image = photo(64, 48, 1)
    expected = eager(preprocess(image, image_size=32, mean=MEAN, std=STD))
    for mean, std in ((MEAN, STD), (IMAGENET_MEAN, IMAGENET_STD)):
        model = open_model(path, mean=mean, std=std, trusted=True).model
        given = preprocess(image, image_size=32, mean=mean, std=std)
        np.testing.assert_allclose(model(given), expected, atol=1e-4)


def test_it_is_inspected_and_verified(made, kit, catfish):
    _, path = made
    code, told, complaint = catfish("inspect", path, "--trust", "--json")
    found = json.loads(told)
    assert (code, found["input"], found["classes"]) == (0, ["n", 3, "height", "width"], ["cat", "fish"])
    assert found["takes"].startswith("RGB pixels of 0..255, uint8"), complaint
    assert found["preprocess"] == {"resized_to": 37, "cut_to": 32, "mean": list(MEAN), "std": list(STD)}
    assert found["to_serve"]["spec.model.imageSize"] == 32
    assert "spec.model.mean" not in found["to_serve"]
    code, told, complaint = catfish(
        "verify", path, "--against", kit.weights, "--samples", kit.pictures, *HOW[2:], "--trust", "--json",
        "--against-architecture", "resnet18",
    )  # fmt: skip
    assert (code, json.loads(told)["agreement"]) == (0, 1), complaint


@pytest.mark.parametrize(
    ("told", "needed"),
    [(HOW, {"spec.model.mean": list(MEAN), "spec.model.std": list(STD)}), (HOW[:4], {})],
    ids=["its own", "ImageNet's"],
)
def test_what_normalises_otherwise_says_so_to_be_served(kit, catfish, told, needed):
    code, out, complaint = catfish("inspect", kit.weights, *told, "--json")
    assert code == 0, complaint
    found = json.loads(out)["to_serve"]
    assert {name: found[name] for name in found if name.endswith(("mean", "std"))} == needed


def test_the_server_answers_with_it_as_with_the_weights(made, kit, tmp_path):
    """Its `CatfishModel` has no mean and std; another image size is refused."""
    kind, path = made
    settings = Settings(
        location=str(path),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        architecture={"program": "exported", "onnx": "onnx"}.get(kind, "torchscript"),
        image_size=32,
        cache_dir=tmp_path,
        threads=1,
    )
    eager = open_model(kit.weights, architecture="resnet18", image_size=32).model
    image = photo(80, 64, 3)
    logits = eager(preprocess(image, image_size=32, mean=MEAN, std=STD))[0]
    with contextlib.closing(Sandbox(likely=False)) as sandbox:
        served = build.classifier(settings, {}, lifecycle=Lifecycle(), sandbox=sandbox)
        with contextlib.closing(served):
            found = served.predict(image)
        other = replace(settings, image_size=64)
        with pytest.raises(InvalidSpec, match=r"^spec\.model\.imageSize: is 64, and the model has its prepr"):
            build.classifier(other, {}, lifecycle=Lifecycle(), sandbox=sandbox)
    np.testing.assert_allclose(found.output, logits, atol=1e-4)
    assert found.label == ("cat", "fish")[logits.argmax()]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--image-size", "64"), "--image-size: is 64, and the model has its preprocessing inside, for 32 pixels"),
        (("--mean", "0,0,0"), "--mean: the model has its preprocessing inside, with 0.5, 0.4, 0.3: leave it out"),
        (("--std", "1,1,1"), "--std: the model has its preprocessing inside, with 0.2, 0.3, 0.25: leave it out"),
    ],
)  # fmt: skip
def test_it_is_not_opened_for_other_images(made, catfish, words, told):
    code, _, complaint = catfish("inspect", made[1], "--trust", *words)
    assert (code, complaint.count("\n")) == (3, 1)
    assert told in complaint


@pytest.mark.parametrize("made", ["onnx"], indirect=True)
def test_it_is_not_quantized(made, kit, catfish, tmp_path):
    _, path = made
    code, _, complaint = catfish("quantize", path, tmp_path / "out", "--calibrate", kit.pictures)
    assert code == 3
    assert "has its preprocessing inside" in complaint
    assert list(tmp_path.iterdir()) == []


def test_without_pictures_some_are_made_up(kit, catfish, tmp_path):
    out = tmp_path / "m"
    code, told, complaint = catfish("export", "trace", kit.weights, out, "--with-preprocess", *HOW, "--json")
    assert (code, json.loads(told)["compared_on"]) == (0, 8), complaint
    assert json.loads(told)["max_probability_difference"] < 0.01


@pytest.mark.parametrize("wrong", [{"mean": (0.9, 0.0, 0.3)}, {"resized": 60}], ids=str)
def test_what_prepares_otherwise_than_the_server_is_not_left(kit, catfish, tmp_path, monkeypatch, wrong):
    """What it says of itself is right all the same."""
    right = inside.Preprocessing
    monkeypatch.setattr(inside, "Preprocessing", lambda how: right(replace(how, **wrong)))
    code, told, complaint = catfish(
        "export", "trace", kit.weights, tmp_path / "m", "--with-preprocess", "--samples", kit.pictures, *HOW
    )
    assert (code, told) == (1, "")
    assert "answers otherwise than the weights do behind the server's preprocessing" in complaint
    assert complaint.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
