"""TorchScript from a trace, frozen and optimised for the processor.

TorchScript is deprecated and works; what this package does with it is in this module, with what it warns of.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.jit._trace import TracerWarning  # torch.jit has it too, and does not say so

from catfish_server.inference.engines import modules
from catfish_server.models.model import Images, Model
from catfish_server.models.torchscript import DEPRECATED


def export(module: nn.Module, path: Path, *, example: Images) -> None:
    """Writes the module's trace, frozen: batch normalisation is folded and parameters are constants.

    Args:
        module: in eval mode.
        path: of the file to write.
        example: images to trace it with.
    """
    images = torch.from_numpy(example)
    with _quiet(), torch.inference_mode():
        images = images.to(next(module.parameters()).device)
        traced = torch.jit.trace(module, images, check_trace=False)  # type: ignore[no-untyped-call]  # half typed
        torch.jit.freeze(traced.eval()).save(str(path))


def load(path: Path, place: torch.device) -> Model:
    """The model of a file that `export` wrote, rewritten into what is fast here; such a module cannot be saved."""
    with _quiet(), torch.inference_mode():
        frozen = torch.jit.load(path, map_location=place)  # type: ignore[no-untyped-call]  # torch.jit is half typed
        return modules.on(place, torch.jit.optimize_for_inference(frozen))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says to authors of TorchScript: that it is deprecated, and what a trace makes constant.

    What became constant and should not have is found by comparing answers to batches of other sizes.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=DEPRECATED, category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=TracerWarning)
        yield
