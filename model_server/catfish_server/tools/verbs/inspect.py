"""`catfish inspect FILE`: what is in a model's file, and what a `CatfishModel` needs to say to serve it."""

import argparse
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD
from catfish_server.tools import given
from catfish_server.tools.errors import DONE
from catfish_server.tools.opened import Opened
from catfish_server.tools.report import Report, Value
from catfish_server.weights import formats
from catfish_server.weights.formats import Format

if TYPE_CHECKING:
    import torch

Row = Mapping[str, Value]

WEIGHTS = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT8", "UINT8", "INT32")
"""Types of what a model has learned in ONNX: biases of 8-bit models have 32; INT64 has shapes and axes."""

NO_WEIGHTS: Mapping[str, Collection[int]] = {
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "MatMulInteger": (2, 3),
    "ConvInteger": (2, 3),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "BatchNormalization": (3, 4),
    "Resize": (1, 2, 3),
    "Clip": (1, 2),
    "Pad": (1, 2, 3),
    "Gather": (1,),
}
"""Inputs of operators, by number, that nobody counts as parameters: scales, zero points, statistics, bounds and
indices (https://onnx.ai/onnx/operators/)."""

OF_ACTIVATIONS = re.compile(r"_(scale|zero_point)_[0-9]+$")
"""Names that torch's own quantization gives to the scales of what goes through a model."""


def run(arguments: argparse.Namespace, report: Report) -> int:
    """Opens the file as the server does, and tells."""
    report.progress("reading the file")
    found = given.source(arguments.file, arguments).open()
    layers = _of_onnx(found.path) if found.format is Format.ONNX else _of_module(found)
    code = {"code": _code(found)} if arguments.code else {}
    report.result(
        {
            "format": found.format.value,
            "sha256": found.sha256,
            "bytes": found.size,
            "classes": list(found.classes or ()),
            "outputs": found.outputs,
            **_input(found),
            "parameters": sum(int(str(row["parameters"])) for row in layers),
            "made_by": found.about.made_by,
            "source_sha256": found.about.source_sha256,
            **({"measured": found.about.measured} if found.about.measured else {}),
            "layers": layers,
            "to_serve": _needed(found, given=arguments.classes),
            **code,
        }
    )
    return DONE


def _input(found: Opened) -> dict[str, Value | Sequence[Value] | Mapping[str, Value | Sequence[Value]]]:
    """What a program that runs the file itself has to give it."""
    inside = found.preprocess
    if inside is None:
        size = found.image_size
        return {"input": ["n", 3, size, size], "takes": "preprocessed images, float32"}
    return {
        "input": ["n", 3, "height", "width"],
        "takes": "RGB pixels of 0..255, uint8: the preprocessing is inside",
        "preprocess": {
            "resized_to": inside.resized,
            "cut_to": inside.image_size,
            "mean": list(inside.mean),
            "std": list(inside.std),
        },
    }


def _needed(found: Opened, *, given: Sequence[str] | None) -> dict[str, Value | Sequence[Value]]:
    """The fields of a `CatfishModel` that this file asks for; `given` are classes that the caller named."""
    needed: dict[str, Value | Sequence[Value]] = {"spec.model.architecture": found.architecture}
    if found.format in formats.CODE:
        needed["spec.weights.sha256"] = found.sha256
    if found.about.image_size is not None or found.image_size != 224:
        needed["spec.model.imageSize"] = found.image_size
    if found.preprocess is None and (found.mean, found.std) != (IMAGENET_MEAN, IMAGENET_STD):
        needed |= {"spec.model.mean": list(found.mean), "spec.model.std": list(found.std)}
    if given:
        needed["spec.model.classes"] = list(given)
    elif found.classes is None:
        needed["spec.model.classes"] = f"{found.outputs} names"
    return needed


def _of_module(found: Opened) -> list[Row]:
    """What holds parameters or buffers in a module of torch, in its order."""
    assert found.module is not None  # noqa: S101 (of all formats but ONNX)
    rows: dict[str, dict[str, torch.Tensor]] = {}
    packed = _packed(found.module)
    for key, value in {**found.module.state_dict(), **packed}.items():
        layer, _, name = key.rpartition(".")
        if not OF_ACTIVATIONS.search(name):
            rows.setdefault(layer, {})[name] = value
    trained = {name for name, _ in found.module.named_parameters()} | packed.keys()
    return [
        {
            "layer": layer or "-",
            "shapes": "  ".join(f"{name} {list(value.shape)}" for name, value in tensors.items()),
            "parameters": sum(
                value.numel()
                for name, value in tensors.items()
                if (f"{layer}.{name}" if layer else name) in trained
            ),
        }
        for layer, tensors in rows.items()
    ]


def _packed(module: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """The weights that torch's own quantization keeps in objects of its kernels, which are in no state_dict."""
    import torch  # noqa: PLC0415 (after the sandbox is forked)

    unpack = {"Conv2dPackedParamsBase": "conv2d_unpack", "LinearPackedParamsBase": "linear_unpack"}
    found: dict[str, torch.Tensor] = {}
    for name, part in module.named_modules():
        held = getattr(part, "_packed_params", None)
        if not isinstance(held, torch.ScriptObject):
            continue
        operator = unpack.get(str(held._type()).rpartition(".")[2])
        if operator:
            weight, bias = getattr(torch.ops.quantized, operator)(held)
            layer = name.removesuffix("._packed_params")
            found |= {f"{layer}.weight": weight} | ({} if bias is None else {f"{layer}.bias": bias})
    return found


def _of_onnx(path: Path) -> list[Row]:
    """The operators that take weights, in the order of the graph, with those that no operator before them took."""
    import onnx  # noqa: PLC0415 (no other format needs it)

    graph = onnx.load(path).graph
    kinds = {onnx.TensorProto.DataType.Value(name) for name in WEIGHTS}
    shapes = {
        tensor.name: list(tensor.dims)
        for tensor in graph.initializer
        if tensor.dims and tensor.data_type in kinds
    }
    scales = {node.output[1] for node in graph.node if node.op_type == "DynamicQuantizeLinear"}
    told: set[str] = set()
    rows: list[Row] = []
    for node in graph.node:
        if not scales.isdisjoint(node.input):
            continue  # what a scale is multiplied with is one
        other = NO_WEIGHTS.get(node.op_type, ())
        taken = (name for place, name in enumerate(node.input) if place not in other)
        own = [name for name in dict.fromkeys(taken) if name in shapes and name not in told]
        told.update(own)
        if own:
            listed = "  ".join(f"{name} {shapes[name]}" for name in own)
            sizes = [_product(shapes[name]) for name in own]
            rows.append({"layer": node.op_type, "shapes": listed, "parameters": sum(sizes)})
    return rows


def _product(shape: list[int]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _code(found: Opened) -> str:
    """The program as its format writes it."""
    if found.format is Format.ONNX:
        import onnx  # noqa: PLC0415

        return str(onnx.printer.to_text(onnx.load(found.path).graph))
    return str(getattr(found.module, "code", found.module))
