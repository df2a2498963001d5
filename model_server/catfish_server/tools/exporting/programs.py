"""torch.export, and ONNX by way of it."""

import io
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from catfish_server.inference.engines import onnx as engine
from catfish_server.models.pixels import Preprocess
from catfish_server.tools import metadata, written
from catfish_server.tools.errors import ToolFailure, cause
from catfish_server.tools.exporting import preprocess as inside

logging.getLogger("torch.export").setLevel(
    logging.CRITICAL
)  # the error that is raised in the end says enough


def export(
    module: nn.Module,
    path: Path,
    *,
    size: int,
    texts: Mapping[str, str],
    preprocess: Preprocess | None = None,
) -> None:
    """Writes the module as an archive of torch.export whose batch may have any size.

    Args:
        module: in eval mode.
        path: of the file to write.
        size: height and width of its images in pixels.
        texts: to write into the file, by name.
        preprocess: to put inside; images may have any size then.

    Raises:
        ToolFailure: it cannot be exported.
    """
    example, free = inside.example(size, preprocess)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            program = torch.export.export(
                inside.whole(module, preprocess), (example,), dynamic_shapes=(free,)
            )
        except Exception as error:  # torch has a dozen classes for what it cannot follow
            raise ToolFailure(f"torch.export cannot follow the model: {cause(error)}") from error
        whole = io.BytesIO()
        torch.export.save(program, whole, extra_files=dict(texts))
    written.save(path, [whole.getbuffer()])


def export_onnx(
    module: nn.Module,
    path: Path,
    *,
    size: int,
    texts: Mapping[str, str],
    preprocess: Preprocess | None = None,
) -> None:
    """Writes the module as one ONNX file whose batch may have any size; the arguments are those of `export`.

    Raises:
        ToolFailure: it cannot be exported.
    """
    import onnx  # noqa: F401, PLC0415 (before torch looks for it, and says so in its own words)

    example, free = inside.example(size, preprocess)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            engine.export(inside.whole(module, preprocess), path, example=example.numpy(), free=free)
        except (ModuleNotFoundError, OSError):
            raise
        except Exception as error:  # torch has a dozen classes for what it cannot follow
            raise ToolFailure(f"the model cannot be exported to ONNX: {cause(error)}") from error
    metadata.write_onnx(path, texts)
