"""Whether a file that was just written answers as the weights do that it was made from, in a fresh process."""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from catfish_server.inference.preprocess import resized_side
from catfish_server.tools import agreement, given, samples
from catfish_server.tools.agreement import Agreement
from catfish_server.tools.errors import Refused
from catfish_server.tools.opened import Opened, Source
from catfish_server.tools.report import Report
from catfish_server.tools.samples import Samples

TOLERANCE = 1e-3
"""How far logits may be from those of the weights, as a share of the largest: kernels differ by less than 1e-4."""

PROBABILITY = 0.01
"""How far the probability of a class may be from that of the weights where the preprocessing is inside: some of
its pixels differ by one of 255 levels from the server's."""

GENERATED = 8
"""Images that are made up where no directory of pictures is given."""

MADE_UP = (
    f"the {GENERATED} pictures of this check were made up; with --samples it is made on yours, which may take other "
    "ways through the model"
)

Facts = dict[str, str | int | float | bool | None]


def check(
    source: Source, model: Opened, candidate: Source, arguments: argparse.Namespace, report: Report
) -> Facts:
    """Compares the new file with the weights, on images that the server has preprocessed.

    Raises:
        Refused: they answer differently.
    """
    if arguments.samples is not None:
        taken = given.pictures(arguments.samples, model, limit=arguments.limit, report=report)
    else:
        taken = samples.Samples(
            names=tuple(f"generated-{number}" for number in range(GENERATED)),
            images=_images(model.image_size),
            labels=(None,) * GENERATED,
        )
    found = _measured(source, candidate, taken, None, report)
    scale = max(float(np.abs(model.model(taken.images[:1])).max()), 1.0)
    difference = found.max_difference
    if difference is None or difference > TOLERANCE * scale:
        raise Refused(
            f"the new file answers otherwise than the weights (by {difference} in a logit); it was not kept"
        )
    return _facts(found, arguments, report)


def check_pixels(
    source: Source, model: Opened, candidate: Source, arguments: argparse.Namespace, report: Report
) -> Facts:
    """Compares the new file, given raw pixels, with the server's preprocessing and the weights.

    Raises:
        Refused: a picture gets another class, or a probability that is too far off.
    """
    with ExitStack() as leaving:
        directory = arguments.samples
        if directory is None:
            directory = Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="catfish-pictures-")))
            _pictures(directory, model.image_size)
        taken = given.pictures(directory, model, limit=arguments.limit, report=report)
        found = _measured(source, candidate, taken, directory, report)
    difference = found.max_probability_difference
    if found.changed or difference is None or difference > PROBABILITY:
        told = f"{found.changed[0].name} is " if found.changed else ""
        told += f"{found.changed[0].after}, not {found.changed[0].before}; " if found.changed else ""
        raise Refused(
            f"the new file answers otherwise than the weights do behind the server's preprocessing ({told}a "
            f"probability differs by {difference}); it was not kept"
        )
    return {**_facts(found, arguments, report), "max_probability_difference": difference}


def _measured(
    source: Source, candidate: Source, taken: Samples, directory: Path | None, report: Report
) -> Agreement:
    return agreement.measure(
        source,
        candidate,
        taken,
        pictures=None if directory is None else [directory / name for name in taken.names],
        progress=lambda done, total: report.progress("comparing in a fresh process", done, total),
    )


def _facts(found: Agreement, arguments: argparse.Namespace, report: Report) -> Facts:
    """What was measured, and on whose pictures."""
    if arguments.samples is None:
        report.note(MADE_UP)
    return {
        "compared_on": found.n,
        "pictures": "made up" if arguments.samples is None else str(arguments.samples),
        "agreeing": found.agreeing,
        "max_difference": found.max_difference,
        "ms_before": 1000 * found.seconds_before,
        "ms_after": 1000 * found.seconds_after,
    }


def _images(size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Coarse patches of random colour, from pale to glaring: noise alone is one grey to a network."""
    random = np.random.default_rng(seed=0)
    coarse = random.standard_normal((GENERATED, 4, 4, 3), dtype=np.float32)
    coarse *= np.linspace(0.2, 2, GENERATED, dtype=np.float32)[:, None, None, None]
    cells = np.minimum(np.arange(size) * 4 // size, 3)
    return np.ascontiguousarray(coarse[:, cells][:, :, cells]).transpose(0, 3, 1, 2)


def _pictures(directory: Path, size: int) -> None:
    """The same as files, wide and high, smaller than the model takes and larger, with some grain."""
    random = np.random.default_rng(seed=0)
    side = resized_side(size)
    for number, contrast in enumerate(np.linspace(20, 120, GENERATED)):
        height, width = (
            max(2, side * share // 8) for share in ((5, 8), (8, 13), (17, 11), (29, 23))[number % 4]
        )
        coarse = (128 + contrast * random.standard_normal((4, 4, 3))).clip(0, 255).astype(np.uint8)
        soft = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        grain = random.integers(-20, 21, (height, width, 3))
        pixels = (np.asarray(soft) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(directory / f"generated-{number}.png")
