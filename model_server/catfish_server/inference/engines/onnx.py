"""ONNX Runtime in float32, from what torch exports."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from catfish_server.models.model import Model
from catfish_server.models.onnx import Session

# It tells of each step, and of operators that nobody has asked for.
logging.getLogger("torch.onnx").setLevel(logging.ERROR)
logging.getLogger("onnxscript").setLevel(logging.ERROR)
logging.getLogger("onnx_ir").setLevel(logging.ERROR)

OWN = r"`isinstance\(treespec, LeafSpec\)` is deprecated"
"""What torch 2.13 warns itself of while it exports."""


def export(
    module: nn.Module, path: Path, *, example: NDArray[Any], free: Mapping[int, Any] | None = None
) -> None:
    """Writes the module as one ONNX file whose batch may have any size.

    Args:
        module: in eval mode, on the CPU.
        path: of the file to write.
        example: images to export it with.
        free: names of torch.export for the dimensions that may have any size; None: the first.
    """
    images = torch.from_numpy(example).contiguous()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.filterwarnings("ignore", message=OWN, category=FutureWarning)
        torch.onnx.export(
            module,
            (images,),
            path,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=(free or {0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def load(path: Path) -> Model:
    """A session of the file, rewritten for this processor, with one thread for each caller."""
    return Session(path, optimized=True)
