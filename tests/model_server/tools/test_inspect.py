"""What a file holds, and what of it counts as learned."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from catfish_server.inference.engines import onnx as engine
from catfish_server.tools import int8
from catfish_server.tools.verbs.inspect import _of_onnx

pytestmark = pytest.mark.process

SIZE = 16


@pytest.fixture(scope="module")
def network():
    """Its biases are not zero: the exporter leaves such out."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    ).eval()


@pytest.fixture(scope="module")
def plain(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "plain.onnx"
    engine.export(network, path, example=np.zeros((2, 3, SIZE, SIZE), np.float32))
    return path


@pytest.mark.parametrize("how", ["float32", "static", "dynamic"])
def test_the_parameters_of_a_network_are_as_many_in_8_bits(catfish, network, plain, tmp_path, how):
    made = tmp_path / "made.onnx"
    images = np.random.default_rng(2).standard_normal((4, 3, SIZE, SIZE)).astype(np.float32)
    if how == "static":
        int8.static(plain, made, images, full_range=False)
    elif how == "dynamic":
        int8.dynamic(plain, made, full_range=False)
    path = plain if how == "float32" else made
    code, told, complaint = catfish("inspect", path, "--image-size", SIZE, "--json")
    assert code == 0, complaint
    found = json.loads(told)
    assert found["parameters"] == sum(value.numel() for value in network.parameters()) == 242
    assert all(row["parameters"] for row in found["layers"])


def test_what_is_not_learned_is_not_counted(tmp_path):
    """Statistics, bounds, shapes and scalars; a weight that two operators share counts once."""
    given = {
        "weight": np.ones((3, 3), np.float32),
        "gamma": np.ones(3, np.float32),
        "beta": np.ones(3, np.float32),
        "mean": np.zeros(3, np.float32),
        "var": np.ones(3, np.float32),
        "half": np.array(0.5, np.float32),
        "shape": np.array([-1, 3], np.int64),
        "axes": np.array([1], np.int64),
    }
    steps = [
        ("MatMul", ["x", "weight"], "a"),
        ("BatchNormalization", ["a", "gamma", "beta", "mean", "var"], "b"),
        ("MatMul", ["b", "weight"], "c"),
        ("Mul", ["c", "half"], "d"),
        ("Clip", ["d", "half", "half"], "e"),
        ("Reshape", ["e", "shape"], "f"),
        ("ReduceMean", ["f", "axes"], "y"),
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(kind, inputs, [output]) for kind, inputs, output in steps],
        "g",
        [value("x", onnx.TensorProto.FLOAT, [1, 3])],
        [value("y", onnx.TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(array, name) for name, array in given.items()],
    )
    onnx.save(onnx.helper.make_model(graph), tmp_path / "m.onnx")
    assert _of_onnx(tmp_path / "m.onnx") == [
        {"layer": "MatMul", "shapes": "weight [3, 3]", "parameters": 9},
        {"layer": "BatchNormalization", "shapes": "gamma [3]  beta [3]", "parameters": 6},
    ]
