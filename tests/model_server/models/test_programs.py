"""Real models in the formats that hold a whole model."""

import hashlib

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from catfish_server import errors
from catfish_server.inference.prepare import prepare
from catfish_server.models import programs
from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD
from catfish_server.weights import location
from catfish_server.weights.fetch import Fetched
from catfish_server.weights.formats import Format, identify
from tests.model_server.whole_models import (
    CLASSES,
    SIZE,
    images,
    network,
    save_exported,
    save_onnx,
    save_torchscript,
)

FORMATS = {
    "torchscript": Format.TORCHSCRIPT,
    "exported": Format.EXPORTED,
    "onnx": Format.ONNX,
    "int8": Format.ONNX,
}
SAVE = {"torchscript": save_torchscript, "exported": save_exported, "onnx": save_onnx}


def load(path, kind):
    found = Fetched(
        path=path,
        temporary=False,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size=path.stat().st_size,
        vouched=True,
    )
    return programs.load(
        FORMATS[kind],
        found,
        location=location.parse(str(path)),
        image_size=SIZE,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_the_format_is_told_by_the_bytes_alone(files, kind):
    assert identify(files.path(kind), vouched=True) is FORMATS[kind]


@pytest.mark.parametrize(("kind", "tolerance"), [("torchscript", 1e-4), ("exported", 1e-4), ("onnx", 1e-4)])
def test_the_answers_to_300_images_are_those_of_the_network(files, kind, tolerance):
    model = load(files.path(kind), kind).model
    with torch.inference_mode():
        for image in images(300, seed=2):
            expected = files.network(image).numpy()
            np.testing.assert_allclose(model(image.numpy()), expected, rtol=tolerance, atol=tolerance)


def test_the_int8_model_answers_as_the_network_wherever_that_is_not_torn(files):
    """It is another model, with weights of 8 bits; what it shares with the network is the verdict."""
    model = load(files.path("int8"), "int8").model
    verdicts = []
    with torch.inference_mode():
        for image in images(300, seed=2):
            found = torch.from_numpy(model(image.numpy())).softmax(1)[0]
            expected = files.network(image).softmax(1)[0]
            if expected.max() > 0.55:
                verdicts.append((int(expected.argmax()), int(found.argmax())))
    assert len(verdicts) > 250
    assert {expected for expected, _ in verdicts} == {0, 1}
    assert [found for _, found in verdicts] == [expected for expected, _ in verdicts]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_fast_model_and_its_reference_answer_alike(files, kind):
    loaded = load(files.path(kind), kind)
    for image in images(20, seed=3):
        batch = image.numpy()
        np.testing.assert_allclose(loaded.model(batch), loaded.reference(batch), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kind", ["torchscript", "exported", "onnx"])
def test_the_file_may_name_its_classes(files, tmp_path, kind):
    assert load(files.path(kind), kind).classes == CLASSES
    SAVE[kind](files.network, tmp_path / "bare", classes=None)
    assert load(tmp_path / "bare", kind).classes is None


@pytest.mark.parametrize("kind", ["torchscript", "exported"])
def test_weights_that_are_not_finite_are_found(tmp_path, kind):
    broken = network()
    broken.fc.weight.data[0, 0] = float("nan")
    SAVE[kind](broken, tmp_path / "w")
    with pytest.raises(errors.NonFiniteWeights, match=r"^spec\.weights\.url: .*/w holds 1 values in '.*fc"):
        load(tmp_path / "w", kind)


@pytest.mark.parametrize("kind", ["torchscript", "exported", "onnx"])
@pytest.mark.parametrize("length", [100, -2000])
def test_a_file_that_is_cut_short_is_damaged(files, tmp_path, kind, length):
    (tmp_path / "w").write_bytes(files.path(kind).read_bytes()[:length])
    with pytest.raises(
        errors.DamagedWeights, match=rf"^spec\.weights\.url: {tmp_path}/w is an? .* cut short or damaged"
    ):
        load(tmp_path / "w", kind)


def test_the_file_may_go_once_it_is_loaded(files, tmp_path):
    for kind in FORMATS:
        (tmp_path / kind).write_bytes(files.path(kind).read_bytes())
        model = load(tmp_path / kind, kind).model
        (tmp_path / kind).unlink()
        assert model(np.zeros((1, 3, SIZE, SIZE), np.float32)).shape == (1, 2)


def graph(inputs, nodes, path):
    """A model of a few nodes."""
    made = [onnx.helper.make_tensor_value_info(name, kind, [1, 3, SIZE, SIZE]) for name, kind in inputs]
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "g", made, [output]), opset_imports=[onnx.helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    onnx.save(model, path)


def test_a_model_that_takes_two_tensors_is_none_for_images(tmp_path):
    inputs = [("a", onnx.TensorProto.FLOAT), ("b", onnx.TensorProto.FLOAT)]
    graph(inputs, [onnx.helper.make_node("Add", ["a", "b"], ["y"])], tmp_path / "w")
    with pytest.raises(
        errors.UnsupportedFormat, match=r"takes a: tensor\(float\), b: tensor\(float\), not one"
    ):
        load(tmp_path / "w", "onnx")


def test_a_model_that_asks_for_more_memory_than_an_address_can_reach_is_refused_once_it_runs(tmp_path):
    shape = onnx.helper.make_tensor("s", onnx.TensorProto.INT64, [1], [2**50])
    nodes = [
        onnx.helper.make_node("Constant", [], ["shape"], value=shape),
        onnx.helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        onnx.helper.make_node("ReduceSum", ["big"], ["sum"]),
        onnx.helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    graph([("x", onnx.TensorProto.FLOAT)], nodes, tmp_path / "w")
    loaded = load(tmp_path / "w", "onnx")
    with pytest.raises(errors.OutOfMemory, match=r"^spec\.resources\.limits\.memory: is not enough"):
        prepare(loaded, classes=("cat", "fish"), image_size=SIZE)


def test_a_torchscript_module_that_cannot_be_frozen_runs_as_it_is(tmp_path):
    class Remembers(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen = 0
            self.layer = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen += 1
            return self.layer(x.mean(dim=[2, 3]))

        @torch.jit.export
        def count(self) -> int:
            return self.seen

    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        torch.jit.save(torch.jit.script(Remembers().eval()), tmp_path / "w")
    loaded = load(tmp_path / "w", "torchscript")
    assert loaded.model(np.zeros((1, 3, SIZE, SIZE), np.float32)).shape == (1, 2)


def test_an_onnx_model_with_its_weights_in_another_file_is_refused_wherever_it_lies(tmp_path):
    weight = onnx.numpy_helper.from_array(np.ones((1, 3, SIZE, SIZE), np.float32), "w")
    made = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, SIZE, SIZE])
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    nodes = [onnx.helper.make_node("Mul", ["x", "w"], ["y"])]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "g", [made], [output], [weight]),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
    )
    model.ir_version = 8
    onnx.save(model, tmp_path / "w", save_as_external_data=True, location="w.data", size_threshold=0)
    assert (tmp_path / "w.data").exists()
    with pytest.raises(errors.UnsupportedFormat, match="weights in other files"):
        load(tmp_path / "w", "onnx")
