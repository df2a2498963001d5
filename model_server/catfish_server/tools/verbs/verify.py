"""`catfish verify NEW [--against OLD] --samples DIR`: what a pod would find out, found out here."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from catfish_server.errors import InvalidSpec, NonFiniteWeights, VerificationFailed
from catfish_server.images.decode import MAX_PIXELS
from catfish_server.inference import verification
from catfish_server.inference.classifier import Classifier
from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD
from catfish_server.tools import agreement, files, given, metadata, samples
from catfish_server.tools.agreement import Agreement
from catfish_server.tools.errors import DONE, WORSE, Refused, ToolFailure, Usage
from catfish_server.tools.metadata import About
from catfish_server.tools.opened import IMAGE_SIZE, Opened
from catfish_server.tools.report import Report, Value
from catfish_server.tools.samples import Preparation, label_of
from catfish_server.tools.verbs.quantize import LEAST_AGREEMENT

Facts = dict[str, Value | Sequence[Mapping[str, Value]]]

FIELD = re.compile(r"^spec\.(verification(\.samples)?|weights\.url): ")
"""What a pod's message begins with, which has no meaning here."""

LISTED = 20
"""Changed answers that are shown; all are counted."""

SECONDS = 600.0
"""For one answer; on a laptop nobody else waits."""


def run(arguments: argparse.Namespace, report: Report) -> int:
    """Checks; returns 1 where NEW is worse than OLD.

    Raises:
        Refused: too few golden pictures are answered right, or NEW answers one with NaN or infinity.
        ToolFailure: a file cannot be used.
    """
    names = samples.list_names(arguments.samples, limit=arguments.limit)
    in_directories = any(label_of(name) is not None for name in names)
    if not in_directories and arguments.against is None:
        raise Usage(
            f"{arguments.samples} does not tell what its pictures show: put them in a directory for each class, "
            "or name an older file with --against"
        )
    report.progress("opening the model")
    opened = given.source(arguments.new, arguments).open()
    result: Facts = {"file": str(arguments.new), "unlabelled_pictures": len(names)}
    if in_directories:
        result |= _golden(opened, names, arguments, report)
    if arguments.min_accuracy and "accuracy" not in result:
        raise Usage(
            f"--min-accuracy asks for pictures in a directory for each class, and {arguments.samples} has none"
        )
    if arguments.against is None:
        report.result(result)
        return DONE
    found = _compared(arguments, opened, report)
    if found.not_finite:
        raise Refused(verification.not_finite(found.not_finite[0]))
    worse = _worse(found)
    result["unlabelled_pictures"] = found.n - found.labelled  # the older file may know more classes
    report.result({**result, "verdict": worse or "not worse", **_facts(found)})
    return WORSE if worse else DONE


def _golden(opened: Opened, names: Sequence[str], arguments: argparse.Namespace, report: Report) -> Facts:
    """The golden pictures, by the code and in the way of the pod: those in a directory of a class."""
    if opened.classes is None:
        raise Usage("the file does not name its classes: name them with --classes")
    classifier = Classifier(
        opened.model,
        opened.classes,
        image_size=opened.image_size,
        mean=opened.mean,
        std=opened.std,
        unknown_threshold=arguments.unknown_threshold,
        threads=1,
        timeout_seconds=SECONDS,
        max_wait_seconds=SECONDS,
    )
    try:
        golden = _labelled(names, classifier.labels, arguments, report)
        return {
            **(_asked(classifier, golden, arguments, report) if golden else {}),
            "unlabelled_pictures": len(names) - len(golden),
        }
    finally:
        classifier.close()


def _labelled(
    names: Sequence[str], known: Sequence[str], arguments: argparse.Namespace, report: Report
) -> list[tuple[str, str]]:
    """The pictures whose directory is a label that the model may answer, with it; of the others a note is made."""
    golden = [(name, label) for name in names if (label := label_of(name)) in known and label is not None]
    others = sorted({label for name in names if (label := label_of(name)) is not None} - set(known))
    if not golden and arguments.against is None:
        raise Usage(
            f"no directory in {arguments.samples} is named for a class of the model ({_listed(known)}), but "
            f"{_listed(others)}"
        )
    if len(golden) < len(names):
        told = f" ({_listed(others)})" if others else ""
        report.note(
            f"{len(names) - len(golden)} of {len(names)} pictures are in no directory of a class that the model "
            f"knows{told}: they are no golden pictures"
        )
    return golden


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def _asked(
    classifier: Classifier, golden: Sequence[tuple[str, str]], arguments: argparse.Namespace, report: Report
) -> Facts:
    """How many are answered right.

    Raises:
        Refused: too few, or one with NaN or infinity.
    """
    least = arguments.min_accuracy
    if least is None:
        least = 0.0 if arguments.against else 1.0
    try:
        score = verification.verify(
            classifier,
            golden,
            directory=arguments.samples,
            min_accuracy=least,
            max_pixels=MAX_PIXELS,
            progress=lambda done, total: report.progress("golden pictures", done, total),
        )
    except (VerificationFailed, NonFiniteWeights) as failure:
        told = FIELD.sub("", str(failure)).replace("minAccuracy", "--min-accuracy")
        raise Refused(told) from failure
    except InvalidSpec as failure:
        raise ToolFailure(f"{arguments.samples}/{FIELD.sub('', str(failure))}") from failure
    return {
        "golden_pictures": score.total,
        "answered_right": score.right,
        "accuracy": score.right / score.total,
    }


def _compared(arguments: argparse.Namespace, opened: Opened, report: Report) -> Agreement:
    newer = given.source(arguments.new, arguments)
    own = Preparation(image_size=opened.image_size, mean=opened.mean, std=opened.std)
    before = _prepared(arguments)
    older = replace(
        newer,
        path=arguments.against,
        architecture=arguments.against_architecture,
        classes=arguments.against_classes or arguments.classes,
        image_size=before.image_size,
        mean=before.mean,
        std=before.std,
        option="--against-",
    )
    take = partial(given.pictures, arguments.samples, limit=arguments.limit, report=report)
    return agreement.measure(
        older,
        newer,
        partial(take, before),
        candidate_samples=None if before == own else partial(take, own),
        unknown_threshold=arguments.unknown_threshold,
        progress=lambda done, total: report.progress("comparing answers", done, total),
    )


def _prepared(arguments: argparse.Namespace) -> Preparation:
    """What the pods of the older file do to pictures. The newer file says nothing of it, whatever it says of itself."""
    about = About.read(metadata.read(arguments.against, files.identify(arguments.against)))
    return Preparation(
        image_size=arguments.against_image_size or about.image_size or arguments.image_size or IMAGE_SIZE,
        mean=arguments.against_mean or about.mean or arguments.mean or IMAGENET_MEAN,
        std=arguments.against_std or about.std or arguments.std or IMAGENET_STD,
    )


def _worse(found: Agreement) -> str | None:
    """In what the newer file is worse, None where it is not. How fast it is, is told and not judged."""
    before, after = found.accuracy_before, found.accuracy_after
    if before is not None and after is not None and after < before:
        return f"worse: {after:.1%} right, and {before:.1%} before"
    unlabelled = found.n - found.labelled
    same = unlabelled - sum(one.label is None for one in found.changed)
    if same < LEAST_AGREEMENT * unlabelled:
        return (
            f"worse: {same} of the answers to {unlabelled} pictures are as before ({same / unlabelled:.1%}), and "
            "nobody says which are right"
        )
    return None


def _facts(found: Agreement) -> Facts:
    rows: list[Mapping[str, Value]] = [
        {"name": one.name, "before": one.before, "after": one.after, "shows": one.label}
        for one in found.changed[:LISTED]
    ]
    return {**found.facts(), "changed_answers": len(found.changed), "changed": rows}
