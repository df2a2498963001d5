"""`catfish export KIND WEIGHTS OUT`: from weights to a file that is a whole model, checked against them."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from catfish_server.tools import arguments as shared
from catfish_server.tools import metadata, opened, written
from catfish_server.tools.errors import DONE, Refused, ToolFailure
from catfish_server.tools.metadata import About
from catfish_server.tools.opened import Opened, Source
from catfish_server.tools.report import Report
from catfish_server.weights import formats

HELP = "write weights as a whole model: TorchScript, torch.export or ONNX"

KINDS = {
    "trace": "TorchScript, from what one forward pass does",
    "script": "TorchScript, from the source of the module",
    "hybrid": "TorchScript, whose parts are traced inside a scripted whole",
    "program": "torch.export, which torch recommends for new work",
    "onnx": "ONNX, which needs no torch to be served",
}

TOLERANCE = 1e-3
"""How far logits may be from those of the weights, as a share of the largest: kernels differ by less than 1e-4."""

GENERATED = 8
"""Images that are made up where no directory of pictures is given."""


def add(parser: argparse.ArgumentParser) -> None:
    """Adds the kind, both files and the pictures."""
    parser.add_argument("kind", choices=KINDS, help="; ".join(f"{k}: {said}" for k, said in KINDS.items()))
    parser.add_argument("weights", metavar="WEIGHTS", type=Path, help="of torch.save, or safetensors")
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument(
        "--samples", metavar="DIR", type=Path, help="pictures to compare on; default: a few that are made up"
    )
    shared.add_limit(parser, default=100)
    shared.add_model(parser)


def run(arguments: argparse.Namespace, report: Report) -> int:
    """Exports, and keeps the file only if a fresh process answers with it as the weights do."""
    source = shared.source(arguments.weights, arguments)
    kind = opened.identify(source.path)
    if kind in formats.PROGRAMS:
        raise ToolFailure(
            f"{source.path} is {formats.NAMES[kind]}, a whole model already; export takes weights"
        )
    report.progress("reading the weights")
    model = source.open()
    if model.classes is None:
        report.note("the file names no classes; give --classes, or name them in spec.model.classes")
    with written.whole(arguments.out, source=source.path) as part:
        report.progress(f"exporting ({arguments.kind})")
        _write(arguments.kind, model, part, report)
        facts = _checked(source, model, part, arguments, report)
        digest = opened.sha256(part)
    report.result(
        {
            "out": str(arguments.out),
            "format": opened.identify(arguments.out).value,
            "sha256": digest,
            "bytes": arguments.out.stat().st_size,
            "classes": list(model.classes or ()),
            "image_size": model.image_size,
            **facts,
        }
    )
    return DONE


def _write(kind: str, model: Opened, part: Path, report: Report) -> None:
    """Writes the file, with what it needs to be served."""
    from catfish_server.tools.exporting import programs, torchscript  # noqa: PLC0415 (torch takes seconds)

    assert model.module is not None  # noqa: S101 (weights are built into one)
    about = About(
        architecture=model.architecture,
        image_size=model.image_size,
        mean=model.mean,
        std=model.std,
        made_by=f"export {kind}",
        source_sha256=model.sha256,
    )
    texts = metadata.texts(about, model.classes)
    if kind in torchscript.MAKERS:
        torchscript.export(kind, model.module, part, size=model.image_size, texts=texts, note=report.note)
    elif kind == "program":
        programs.export(model.module, part, size=model.image_size, texts=texts)
    else:
        programs.export_onnx(model.module, part, size=model.image_size, texts=texts)


def _checked(
    source: Source, model: Opened, part: Path, arguments: argparse.Namespace, report: Report
) -> dict[str, str | int | float | bool | None]:
    """Compares the new file with the weights, in a fresh process.

    Raises:
        Refused: they answer differently.
    """
    from catfish_server.tools import agreement, samples  # noqa: PLC0415

    if arguments.samples:
        taken = shared.pictures(arguments.samples, model, limit=arguments.limit, report=report)
    else:
        taken = samples.Samples(
            names=tuple(f"generated-{number}" for number in range(GENERATED)),
            images=_generated(model.image_size),
            labels=(None,) * GENERATED,
        )
    candidate = replace(source, path=part, architecture=None, trusted=True)
    found = agreement.measure(
        source,
        candidate,
        taken,
        progress=lambda done, total: report.progress("comparing in a fresh process", done, total),
    )
    scale = max(float(np.abs(model.model(taken.images[:1])).max()), 1.0)
    difference = found.max_difference
    if difference is None or difference > TOLERANCE * scale:
        raise Refused(
            f"the new file answers otherwise than the weights (by {difference} in a logit); it was not kept"
        )
    return {
        "compared_on": found.n,
        "agreeing": found.agreeing,
        "max_difference": difference,
        "ms_before": 1000 * found.seconds_before,
        "ms_after": 1000 * found.seconds_after,
    }


def _generated(size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Coarse patches of random colour, from pale to glaring: noise alone is one grey to a network."""
    random = np.random.default_rng(seed=0)
    coarse = random.standard_normal((GENERATED, 4, 4, 3), dtype=np.float32)
    coarse *= np.linspace(0.2, 2, GENERATED, dtype=np.float32)[:, None, None, None]
    cells = np.minimum(np.arange(size) * 4 // size, 3)
    return np.ascontiguousarray(coarse[:, cells][:, :, cells]).transpose(0, 3, 1, 2)
