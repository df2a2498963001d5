"""`catfish convert x.pt x.safetensors`: from a pickle to a file that holds nothing but tensors and its classes."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from catfish_server.tools import files, metadata, opened, written
from catfish_server.tools.errors import DONE, Refused, ToolFailure, Usage
from catfish_server.tools.metadata import About
from catfish_server.tools.report import Report
from catfish_server.weights import formats

if TYPE_CHECKING:
    import torch


def run(arguments: argparse.Namespace, report: Report) -> int:
    """Converts, reads the result back, and compares all values."""
    from safetensors.torch import save_file  # noqa: PLC0415 (torch takes seconds)

    from catfish_server.inference import build  # noqa: PLC0415

    kind = files.identify(arguments.weights)
    if kind in formats.PROGRAMS:
        raise ToolFailure(
            f"{arguments.weights} is {formats.NAMES[kind]}, a whole model; convert takes weights alone: "
            "model.state_dict()"
        )
    with opened.told():
        report.progress("reading the weights")
        weights, sha256 = opened.weights(arguments.weights, kind)
        classes = build.named(arguments.classes or (), weights.classes)
        if not classes:
            raise Usage("--classes is required: the weights do not name their classes")
        about = _about(arguments, About.read(metadata.read(arguments.weights, kind)), sha256)
        _check_model(about, weights.tensors, classes, given=bool(arguments.classes))
        with written.whole(arguments.out, source=arguments.weights) as part:
            save_file(weights.tensors, part, metadata=metadata.texts(about, classes))
            report.progress("reading the new file back")
            _check(part, weights.tensors)
            digest = files.sha256(part)
    report.result(
        {
            "out": str(arguments.out),
            "sha256": digest,
            "classes": list(classes),
            "tensors": len(weights.tensors),
            "bytes": arguments.out.stat().st_size,
        }
    )
    return DONE


def _about(arguments: argparse.Namespace, before: About, sha256: str) -> About:
    """What the new file says of itself: what the weights said, and what the caller says now."""
    named = {name: getattr(arguments, name) for name in ("architecture", "image_size", "mean", "std")}
    told = {name: value for name, value in named.items() if value is not None}
    return replace(before, **told, made_by="convert", source_sha256=sha256)


def _check_model(
    about: About, tensors: "Mapping[str, torch.Tensor]", classes: Sequence[str], *, given: bool
) -> None:
    """Whether the weights fit the architecture; without one, what can be told of the number of classes.

    Raises:
        ArchitectureMismatch: they do not fit.
        Usage: they have another number of outputs, and the classes are of the command line.
        ToolFailure: likewise, and they are the file's own.
    """
    from catfish_server.models import heads, registry  # noqa: PLC0415 (torch takes seconds)

    if about.architecture:
        size = about.image_size or opened.IMAGE_SIZE
        registry.build(about.architecture, tensors, classes=tuple(classes), image_size=size)
        return
    found = heads.guessed_outputs({key: tuple(value.shape) for key, value in tensors.items()})
    if found and len(classes) not in found:
        outputs = f"have {min(found)} outputs" if len(found) == 1 else "have no layer of so many outputs"
        raise (Usage if given else ToolFailure)(
            f"{'--classes names' if given else 'the file names'} {len(classes)} classes ({', '.join(classes)[:200]}), "
            f"and the weights {outputs}; --architecture checks all layers"
        )


def _check(part: Path, expected: "Mapping[str, torch.Tensor]") -> None:
    """Raises Refused where the new file holds other values."""
    found, _ = opened.weights(part, formats.Format.SAFETENSORS)
    if found.tensors.keys() != expected.keys() or not all(
        found.tensors[key].equal(value) for key, value in expected.items()
    ):
        raise Refused("the new file does not hold the same values; it was not kept")
