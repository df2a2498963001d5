"""The engines that there are: how each is built from an eager module, and how it is loaded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from catfish_server.models.model import Images, Model
from catfish_server.variables import AUTO

MIB = 2**20


class Export(Protocol):
    """Writes what `load` reads."""

    def __call__(self, module: nn.Module, path: Path, *, example: Images) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to run a module faster than eager torch does.

    Attributes:
        name: the word of `CATFISH_ENGINE`.
        devices: the types of device that it runs on.
        export: from a module in eval mode to a file.
        load: from that file to a model on a device.
        fixed_bytes: memory that building it takes whatever the model is, most of it torch itself.
        per_weight_byte: bytes that building it takes for each byte of the weights, those included that were built
            before it. Both as measured on a ResNet-50, rounded up.
    """

    name: str
    devices: frozenset[str]
    export: Export
    load: Callable[[Path, torch.device], Model]
    fixed_bytes: float
    per_weight_byte: float

    def needs(self, weight_bytes: int) -> float:
        """Bytes of memory that it takes to build it for weights of this size; to load it takes no more."""
        return self.fixed_bytes + self.per_weight_byte * weight_bytes


def _export_torchscript(module: nn.Module, path: Path, *, example: Images) -> None:
    from catfish_server.inference.engines import torchscript  # noqa: PLC0415 (see _export_onnx)

    torchscript.export(module, path, example=example)


def _load_torchscript(path: Path, place: torch.device) -> Model:
    from catfish_server.inference.engines import torchscript  # noqa: PLC0415

    return torchscript.load(path, place)


def _export_onnx(module: nn.Module, path: Path, *, example: Images) -> None:
    # Imports cost memory for as long as the process lives: a server has those of its own engine alone.
    from catfish_server.inference.engines import onnx  # noqa: PLC0415

    onnx.export(module, path, example=example)


def _load_onnx(path: Path, _: torch.device) -> Model:
    from catfish_server.inference.engines import onnx  # noqa: PLC0415

    return onnx.load(path)


CANDIDATES = (
    Candidate(
        name="torchscript",
        devices=frozenset({"cpu", "cuda"}),
        export=_export_torchscript,
        load=_load_torchscript,
        fixed_bytes=400 * MIB,
        per_weight_byte=5,
    ),
    Candidate(
        name="onnxruntime",
        devices=frozenset({"cpu"}),  # the CUDA build of ONNX Runtime is another package
        export=_export_onnx,
        load=_load_onnx,
        fixed_bytes=450 * MIB,
        per_weight_byte=8,
    ),
)

BY_NAME = {candidate.name: candidate for candidate in CANDIDATES}


def on(place: torch.device, *, engine: str) -> tuple[Candidate, ...]:
    """The candidates that the setting allows and the device runs."""
    return tuple(
        candidate
        for candidate in CANDIDATES
        if engine in {AUTO, candidate.name} and place.type in candidate.devices
    )
