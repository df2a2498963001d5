"""`catfish export KIND WEIGHTS OUT`: from weights to a file that is a whole model, checked against them."""

import argparse
from dataclasses import replace
from pathlib import Path

from catfish_server.inference.preprocess import resized_side
from catfish_server.models.pixels import Preprocess
from catfish_server.tools import files, given, metadata, written
from catfish_server.tools.errors import DONE, ToolFailure
from catfish_server.tools.exporting import check
from catfish_server.tools.metadata import About
from catfish_server.tools.opened import Opened, Source
from catfish_server.tools.report import Report
from catfish_server.weights import formats


def run(arguments: argparse.Namespace, report: Report) -> int:
    """Exports, and keeps the file only if a fresh process answers with it as the weights do."""
    source = given.source(arguments.weights, arguments)
    kind = files.identify(source.path)
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
        preprocess = _preprocess(model) if arguments.with_preprocess else None
        _write(arguments.kind, model, part, report, preprocess)
        facts = _checked(source, model, part, arguments, report)
        digest = files.sha256(part)
    report.result(
        {
            "out": str(arguments.out),
            "format": files.identify(arguments.out).value,
            "sha256": digest,
            "bytes": arguments.out.stat().st_size,
            "classes": list(model.classes or ()),
            "image_size": model.image_size,
            **facts,
        }
    )
    return DONE


def _preprocess(model: Opened) -> Preprocess:
    """What the server does to the images of this model."""
    size = model.image_size
    return Preprocess(image_size=size, resized=resized_side(size), mean=model.mean, std=model.std)


def _write(kind: str, model: Opened, part: Path, report: Report, preprocess: Preprocess | None) -> None:
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
    texts = metadata.texts(about, model.classes, preprocess=preprocess)
    size = model.image_size
    if kind in torchscript.MAKERS:
        torchscript.export(
            kind, model.module, part, size=size, texts=texts, note=report.note, preprocess=preprocess
        )
    elif kind == "program":
        programs.export(model.module, part, size=size, texts=texts, preprocess=preprocess)
    else:
        programs.export_onnx(model.module, part, size=size, texts=texts, preprocess=preprocess)


def _checked(
    source: Source, model: Opened, part: Path, arguments: argparse.Namespace, report: Report
) -> check.Facts:
    """Compares the new file with the weights, in a fresh process.

    Raises:
        Refused: they answer differently.
    """
    candidate = replace(source, path=part, architecture=None, trusted=True)
    compare = check.check_pixels if arguments.with_preprocess else check.check
    return compare(source, model, candidate, arguments, report)
