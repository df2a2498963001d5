"""Models in 8 bits by torch's own quantization, written as TorchScript: `catfish quantize --engine torch`.

`torch.ao.quantization` is deprecated, was to be removed in torch 2.10 and still works in 2.13
(https://github.com/pytorch/ao/issues/2259). Everything about it is in this module, its warnings included: to be rid of
it, take this file, its test and the option away.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from catfish_server.models.model import Images
from catfish_server.tools import written
from catfish_server.tools.errors import ToolFailure, cause
from catfish_server.tools.opened import Opened
from catfish_server.weights.formats import PROGRAMS

BACKEND = "x86"
"""Kernels for processors of Intel and AMD. Its activations have 7 bits, so that nothing saturates without VNNI."""

OTHERWISE = "leave out --engine, and ONNX Runtime does it"


def static(opened: Opened, target: Path, images: Images) -> None:
    """Writes weights and activations in 8 bits, each convolution with what follows it in one operator.

    Args:
        opened: weights that were built into a module.
        target: to be written; its batch may have any size.
        images: float32 (n, 3, size, size), that show which values the activations take.

    Raises:
        ToolFailure: the file, the model, this processor or this torch is none that it can be done with.
    """
    if opened.module is None or opened.format in PROGRAMS:
        raise ToolFailure(
            f"{opened.path} is a whole model ({opened.format}), and torch quantizes weights alone: quantize the "
            "weights that it was made from"
        )
    if BACKEND not in torch.backends.quantized.supported_engines:
        raise ToolFailure(f"torch has no kernels of 8 bits for this processor, only for x86: {OTHERWISE}")
    example = torch.from_numpy(np.ascontiguousarray(images[:1].repeat(2, axis=0)))
    with _quietly(), torch.no_grad():
        made = torch.jit.trace(_converted(opened.module, images, example), example, check_trace=False)  # type: ignore[no-untyped-call]
        _save(made, target, {})


def annotate(path: Path, texts: Mapping[str, str]) -> None:
    """Writes named texts into a file of `static`."""
    with _quietly():
        module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        _save(module, path, texts)


def _save(module: nn.Module, path: Path, texts: Mapping[str, str]) -> None:
    whole = io.BytesIO()
    torch.jit.save(module, whole, _extra_files=dict(texts))
    written.save(path, [whole.getbuffer()])


def _converted(module: nn.Module, images: Images, example: torch.Tensor) -> nn.Module:
    """The module with operators of 8 bits, whose scales are those of the images.

    Raises:
        ToolFailure: torch cannot follow the module, or has none of this any more.
    """
    try:
        from torch.ao.quantization import get_default_qconfig_mapping, quantize_fx  # noqa: PLC0415 (may be gone)
    except ImportError as error:
        raise ToolFailure(
            f"torch {torch.__version__} has no quantization of its own any more: {OTHERWISE}"
        ) from error
    try:
        prepared = quantize_fx.prepare_fx(module, get_default_qconfig_mapping(BACKEND), (example,))
        for image in images:
            prepared(torch.from_numpy(np.ascontiguousarray(image[np.newaxis])))
        made: nn.Module = quantize_fx.convert_fx(prepared)
    except Exception as error:  # torch has a dozen classes for what it cannot follow
        raise ToolFailure(f"torch cannot quantize this model: {cause(error)}; {OTHERWISE}") from error
    return made


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what it warns its caller of at each step: that it is deprecated, in a dozen sentences."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
