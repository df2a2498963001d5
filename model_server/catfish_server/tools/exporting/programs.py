"""torch.export, and ONNX by way of it."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from catfish_server.inference.engines import onnx as engine
from catfish_server.tools import metadata
from catfish_server.tools.errors import ToolFailure

logging.getLogger("torch.export").setLevel(
    logging.CRITICAL
)  # the error that is raised in the end says enough


def export(module: nn.Module, path: Path, *, size: int, texts: Mapping[str, str]) -> None:
    """Writes the module as an archive of torch.export whose batch may have any size.

    Args:
        module: in eval mode.
        path: of the file to write.
        size: height and width of its images in pixels.
        texts: to write into the file, by name.

    Raises:
        ToolFailure: it cannot be exported.
    """
    example = torch.zeros(2, 3, size, size)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            program = torch.export.export(
                module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},)
            )
        except Exception as error:  # torch has a dozen classes for what it cannot follow
            said = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise ToolFailure(f"torch.export cannot follow the model: {said}") from error
        with path.open("wb") as file:  # by its name it would have to end in .pt2
            torch.export.save(program, file, extra_files=dict(texts))


def export_onnx(module: nn.Module, path: Path, *, size: int, texts: Mapping[str, str]) -> None:
    """Writes the module as one ONNX file whose batch may have any size; the arguments are those of `export`.

    Raises:
        ToolFailure: it cannot be exported.
    """
    import onnx  # noqa: F401, PLC0415 (before torch looks for it, and says so in its own words)

    example = torch.zeros(2, 3, size, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            engine.export(module, path, example=example.numpy())
        except ModuleNotFoundError:
            raise
        except Exception as error:  # torch has a dozen classes for what it cannot follow
            said = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise ToolFailure(f"the model cannot be exported to ONNX: {said}") from error
    metadata.write_onnx(path, texts)
