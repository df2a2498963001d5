"""ONNX models in 8 bits: ONNX Runtime's quantization."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from catfish_server.models.model import Images
from catfish_server.tools.errors import ToolFailure, cause
from catfish_server.tools.opened import Opened
from catfish_server.weights.formats import CODE, Format


def write_float32(opened: Opened, source: Path, target: Path, *, example: Images) -> None:
    """The model as ONNX in float32, which is what gets quantized.

    Args:
        opened: the model.
        source: the file that it was opened from.
        target: to be written.
        example: two images that it takes; one would fix the size of batches to 1.

    Raises:
        ToolFailure: it is none that can be written as ONNX.
    """
    if opened.preprocess is not None:
        raise ToolFailure(
            f"{source} has its preprocessing inside, which 8 bits would spoil: quantize the weights that it was "
            "made from"
        )
    if opened.format is Format.ONNX:
        shutil.copyfile(source, target)
    elif opened.module is None or opened.format in CODE:
        raise ToolFailure(
            f"{source} is a program ({opened.format}), and only weights and ONNX models are quantized: "
            "quantize the weights that it was made from"
        )
    else:
        from catfish_server.inference.engines import onnx as engine  # noqa: PLC0415 (imports torch)

        engine.export(opened.module, target, example=example)


def static(source: Path, target: Path, images: Images, *, full_range: bool) -> None:
    """Weights and activations in 8 bits, as pairs of QuantizeLinear and DequantizeLinear (QDQ).

    Activations are unsigned and weights signed, a scale for each channel: what the kernels of x86 are made for.
    (With both signed ONNX Runtime 1.27 takes four times as long on AVX-512 VNNI: 8.5 ms against 2.0 for the demo's
    ResNet-18 of 96 pixels.) Weights use 7 bits of the 8 unless `full_range`: without VNNI a processor adds two
    products of 8 bits in 16 bits and saturates, and a file does not know where it will be run
    (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, "When and why do I need
    U8U8?"). On the demo's model it cost no answer and no time.

    Args:
        source: ONNX in float32.
        target: to be written.
        images: that show which values the activations take.
        full_range: whether weights use all 8 bits.

    Raises:
        ToolFailure: the model is none that it can quantize.
    """
    with _quietly(), _prepared(source) as prepared:
        quantize_static(
            prepared,
            target,
            _OneByOne(_input_of(prepared), images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=not full_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def dynamic(source: Path, target: Path, *, full_range: bool) -> None:
    """The weights of linear layers in 8 bits; their activations are scaled anew at each call. Needs no images.

    Raises:
        ToolFailure: the model is none that it can quantize, or has no linear layer.
    """
    with _quietly(), _prepared(source) as prepared:
        quantize_dynamic(
            prepared,
            target,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            reduce_range=not full_range,
            weight_type=QuantType.QInt8,
        )
    if not any(node.op_type == "MatMulInteger" for node in onnx.load(target).graph.node):
        raise ToolFailure("the model has no linear layer whose weights --dynamic could quantize")


class _OneByOne(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    """Hands images over one at a time: an exported model may take no more."""

    def __init__(self, name: str, images: Images) -> None:
        self._batches = ({name: np.ascontiguousarray(image[np.newaxis])} for image in images)

    def get_next(self) -> dict[str, Images] | None:
        """The next image, None after the last."""
        return next(self._batches, None)


@contextmanager
def _prepared(source: Path) -> Iterator[Path]:
    """The model with its batch normalisation folded in and its shapes written down.

    Raises:
        ToolFailure: it cannot be done, by this or by what the block does with it.
    """
    prepared = source.with_suffix(".prepared.onnx")
    try:
        # The symbolic inference is for transformers with free sizes, and fails on some graphs of torch's exporter.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        yield prepared
    except (ToolFailure, OSError, ModuleNotFoundError):
        raise
    except Exception as error:  # it raises whatever its dozens of operators do
        raise ToolFailure(f"ONNX Runtime cannot quantize this model: {cause(error)}") from error
    finally:
        prepared.unlink(missing_ok=True)


def _input_of(path: Path) -> str:
    graph = onnx.load(path).graph
    weights = {tensor.name for tensor in graph.initializer}  # until IR version 4 they are inputs too
    return str(next(taken.name for taken in graph.input if taken.name not in weights))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the advice that it logs, on the root logger: it is about what is done here anyway."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
