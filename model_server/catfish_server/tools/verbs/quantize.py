"""`catfish quantize WEIGHTS OUT --calibrate DIR`: the model in 8 bits, where it still answers as it did."""

import argparse
from pathlib import Path

from catfish_server import cpus
from catfish_server.inference import verification
from catfish_server.models.model import Images
from catfish_server.tools import agreement, given, metadata, samples, written
from catfish_server.tools.agreement import Agreement
from catfish_server.tools.errors import DONE, Refused, Usage
from catfish_server.tools.metadata import About
from catfish_server.tools.opened import Opened, Source
from catfish_server.tools.report import Report

Facts = dict[str, str | int | float | None]

LEAST_AGREEMENT = 0.99
"""Share of the pictures that must get the class that they get from the model in float32."""

CALIBRATION = 128
"""Pictures that show what values the layers take; with more the ranges of the demo's model do not change."""

ENOUGH = 300
"""Pictures whose lower bound is 99 % where all agree."""

LEAST_PICTURES = 25
"""To check on: where all agree, the lower bound is 90 %. Fewer say nothing of 99 %."""

LEAST_SHARE = 0.3
"""Of the answers, that either class of two should have: a picture in a hundred must not be all of it that is seen."""


def run(arguments: argparse.Namespace, report: Report) -> int:
    """Quantizes, checks, and only then leaves a file.

    Raises:
        Refused: too many answers have changed, or the pictures cannot tell.
        Usage: the pictures are missing or too few.
        ToolFailure: a file cannot be used.
    """
    pictures = arguments.samples or arguments.calibrate
    if arguments.calibrate is None and not (arguments.dynamic and pictures):
        raise Usage("--calibrate is missing: a directory of pictures such as the model will be sent")
    _require_known(arguments)
    _require_enough(pictures, arguments.limit)
    report.progress("opening the model")
    source = given.source(arguments.weights, arguments)
    opened = source.open()
    with written.whole(arguments.out, source=arguments.weights) as made:
        _make(arguments, opened, made, report)
        checked = given.pictures(pictures, opened, limit=arguments.limit, report=report)
        found = agreement.measure(
            source,
            Source(path=made, trusted=True),  # what it does not say itself, a server would not know either
            checked,
            progress=lambda done, total: report.progress("comparing answers", done, total),
        )
        facts = _facts(arguments, made, found)
        _note(found, report, held_out=bool(arguments.samples))
        gate(found)
        _annotate(arguments, made, opened, facts)
    report.result({"out": str(arguments.out), **facts})
    return DONE


def _require_known(arguments: argparse.Namespace) -> None:
    """Raises Usage where torch's quantization is asked for something that is ONNX Runtime's."""
    for name in ("dynamic", "full_range"):
        if arguments.engine == "torch" and getattr(arguments, name):
            raise Usage(
                f"--{name.replace('_', '-')} is for ONNX Runtime alone: leave it out, or --engine torch"
            )


def _require_enough(directory: Path, limit: int) -> None:
    """Before anything is made: with few pictures, all agree easily."""
    count = len(samples.list_names(directory, limit=limit))
    if count < LEAST_PICTURES:
        where = "--limit allows" if count == limit else f"{directory} holds"
        raise Usage(
            f"{where} {count} picture{'s' * (count != 1)} to check on, and fewer than {LEAST_PICTURES} cannot tell "
            f"whether {LEAST_AGREEMENT:.0%} of the answers stay the same: name more with --samples, best {ENOUGH} "
            "or more"
        )


def _make(arguments: argparse.Namespace, opened: Opened, made: Path, report: Report) -> None:
    """Writes the quantized file, with the classes in it; its directory goes away."""
    directory = arguments.calibrate or arguments.samples
    shown = given.pictures(
        directory, opened, limit=CALIBRATION, report=report, use="reading pictures to calibrate with"
    )
    if arguments.engine == "torch":
        from catfish_server.tools import torch_int8  # noqa: PLC0415 (imports torch)

        report.progress("quantizing")
        torch_int8.static(opened, made, shown.images)
    else:
        _make_onnx(arguments, opened, made, shown.images, report)
    _annotate(arguments, made, opened, None)


def _make_onnx(
    arguments: argparse.Namespace, opened: Opened, made: Path, images: Images, report: Report
) -> None:
    from catfish_server.tools import int8  # noqa: PLC0415 (imports onnx)

    plain = made.with_name(f"float32-{made.name}")
    report.progress("exporting the model")
    int8.write_float32(opened, arguments.weights, plain, example=images[:1].repeat(2, axis=0))
    report.progress("quantizing")
    if arguments.dynamic:
        int8.dynamic(plain, made, full_range=arguments.full_range)
    else:
        int8.static(plain, made, images, full_range=arguments.full_range)


def _annotate(arguments: argparse.Namespace, made: Path, opened: Opened, measured: Facts | None) -> None:
    about = About(
        architecture=opened.architecture,
        image_size=opened.image_size,
        mean=opened.mean,
        std=opened.std,
        made_by="quantize",
        source_sha256=opened.sha256,
        measured=measured,
    )
    texts = metadata.texts(about, opened.classes)
    if arguments.engine == "torch":
        from catfish_server.tools import torch_int8  # noqa: PLC0415 (imports torch)

        torch_int8.annotate(made, texts)
    else:
        metadata.write_onnx(made, texts)


def _facts(arguments: argparse.Namespace, made: Path, found: Agreement) -> Facts:
    """What was measured, for the user and for the file's metadata: shares in 0..1, ratios after to before."""
    before, after = arguments.weights.stat().st_size, made.stat().st_size
    of_torch = arguments.engine == "torch"
    return {
        "method": "static, by torch" if of_torch else "dynamic" if arguments.dynamic else "static QDQ",
        "least_agreement": LEAST_AGREEMENT,
        **found.facts(),
        "bytes_before": before,
        "bytes_after": after,
        "size_ratio": after / before,
        "instruction_set": cpus.instruction_set(),
    }


def _note(found: Agreement, report: Report, *, held_out: bool) -> None:
    """Says what makes the figures worth less than they look."""
    if found.lower_bound_95 < LEAST_AGREEMENT:
        few = f"{found.n} pictures are few: " if found.n < ENOUGH else ""
        report.note(
            f"{few}judged is their own agreement, {found.share:.1%} where {LEAST_AGREEMENT:.0%} are asked; that of all "
            f"pictures may be as low as {found.lower_bound_95:.1%} (with 95% confidence)"
        )
    unseen = [name for name, share in found.shares.items() if share == 0]
    if unseen:
        names = ", ".join(unseen[:5]) + (" …" if len(unseen) > 5 else "")
        report.note(f"no picture was answered {names}: nothing is known of how such are answered now")
    scarce = [name for name, share in found.shares.items() if 0 < share < LEAST_SHARE]
    if len(found.shares) == 2 and scarce:  # of many, none can have so much
        report.note(
            f"{found.shares[scarce[0]]:.1%} of the pictures are answered {scarce[0]}, and {LEAST_SHARE:.0%} should be: "
            "little is known of how such are answered now"
        )
    if not held_out:
        report.note("some of the pictures were also calibrated with; --samples names others to check with")


def gate(found: Agreement) -> None:
    """Refuses what answers otherwise than its source.

    Raises:
        Refused: fewer than `LEAST_AGREEMENT` get the same class, an answer is not finite, or the source answers
            all pictures with one class.
    """
    if found.not_finite:
        raise Refused(f"nothing was written: in 8 bits {verification.not_finite(found.not_finite[0])}")
    only = [name for name, share in found.shares.items() if share == 1]
    if only and len(found.shares) > 1:
        raise Refused(
            f"nothing was written: all {found.n} pictures are answered {only[0]} by the model itself, which any model "
            "that always says so would pass; name pictures of each class with --samples"
        )
    if found.share < LEAST_AGREEMENT:
        example = found.changed[0]
        raise Refused(
            f"nothing was written: {found.agreeing} of {found.n} pictures ({found.share:.1%}) get the same class "
            f"in 8 bits, and {LEAST_AGREEMENT:.0%} of them must ({example.name}: {example.before}, now "
            f"{example.after}); of all pictures it may be as few as {found.lower_bound_95:.1%} (with 95% confidence); "
            "calibrate with more pictures such as will be sent, or quantize the linear layers alone with --dynamic"
        )
    if found.max_difference in {None, float("inf")}:
        what = "names other classes" if found.max_difference is None else "has logits that are no numbers"
        raise Refused(f"nothing was written: one of both files {what}, so that they cannot be compared")
