"""A loaded program on trial, before it may answer.

It must take the images of the spec and answer them steadily, and what was done to make it fast must not have
changed its answers. Start-up calls it once. The modules of the registry have been checked by their keys and
shapes; of a program nothing is known before it has run.
"""

import logging

import numpy as np

from catfish_server.errors import (
    ArchitectureMismatch,
    InvalidSpec,
    NonFiniteWeights,
    UnsupportedFormat,
)
from catfish_server.models.model import Images, Loaded, Logits, Model, NotOneTensor, OneByOne
from catfish_server.weights import exhausted

logger = logging.getLogger(__name__)

TOLERANCE = 0.02
"""How far the logits of the fast model may be from the reference's, as a share of the largest. Float32 kernels
differ by less than 1e-4; the int8 ones of a processor round differently from the operators that they stand
for, and where they saturate (AVX2 without VNNI) the answers are off by far more than this."""

BATCH_TOLERANCE = 1e-3
"""The same for answers to two images at once and to each alone: kernels may differ by their batch, but where more
does, an image's class would depend on what others asked at the same moment."""

STEADINESS = 1e-4
"""The same for two answers of the reference to the same image: what a Dropout left on changes is far larger."""


def prepare(loaded: Loaded, *, classes: tuple[str, ...], image_size: int) -> Model:
    """The model that is to answer: the fast one, or the reference where the two do not agree.

    What was made for one image at a time, as tracing and exporting do unless they are told otherwise, is called
    that way.

    Args:
        loaded: both.
        classes: one for each output.
        image_size: height and width of the images in pixels.

    Raises:
        StartupFailure: the model cannot be used for these images and classes.
    """
    if loaded.reference is None:
        return loaded.model
    probes = _probes(image_size)
    expected = [_logits(loaded.reference, probe, count=len(classes)) for probe in probes]
    again = [_logits(loaded.reference, probe, count=len(classes)) for probe in probes]
    if _difference(again, expected) > STEADINESS:
        raise UnsupportedFormat(
            "spec.weights.url: the model answers the same image differently each time; call model.eval() "
            "before it is traced, scripted or exported"
        )
    if loaded.model is loaded.reference:
        return batched(loaded.model, probes)
    difference = _faithfulness(loaded.model, probes, expected)
    if difference > TOLERANCE:
        logger.warning(
            "The model made fast differs from the model itself by %.1f %%; the slower one answers.",
            100 * difference,
        )
        return batched(loaded.reference, probes)
    return batched(loaded.model, probes)


def outputs(loaded: Loaded, *, image_size: int) -> int:
    """How many logits a program answers, for whoever does not know its classes.

    Args:
        loaded: a program.
        image_size: height and width of the images in pixels.

    Raises:
        StartupFailure: it takes no such images, or answers something else.
    """
    probe, _ = _probes(image_size)
    return int(_logits(loaded.reference or loaded.model, probe, count=None).shape[1])


def batched(model: Model, probes: list[Images]) -> Model:
    """The model, or one that calls it image by image where it does not answer batches as it answers each alone."""
    alone = [model(probe) for probe in probes]
    try:
        together = model(np.concatenate(probes))
    except Exception as error:  # noqa: BLE001 (it does answer one at a time)
        logger.debug("The model takes no batch of two: %s", error)
    else:
        if together.shape == (len(probes), *alone[0].shape[1:]):
            rows = [together[number : number + 1] for number in range(len(probes))]
            if _difference(rows, alone) <= BATCH_TOLERANCE:
                return model
    logger.info("The model answers one image at a time; exported with a free batch size it may be faster.")
    return OneByOne(model)


def _probes(image_size: int) -> list[Images]:
    """A grey image and a noisy one, channels last as preprocessing hands them over."""
    shape = (1, image_size, image_size, 3)
    noise = np.random.default_rng(seed=0).standard_normal(shape, dtype=np.float32)
    return [image.transpose(0, 3, 1, 2) for image in (np.zeros(shape, np.float32), noise)]


def _logits(model: Model, probe: Images, *, count: int | None) -> Logits:
    size = probe.shape[-1]
    try:
        logits = model(probe)
    except NotOneTensor as error:
        raise _wrong_answer(str(error)) from error
    except Exception as error:  # torch has one class for all its errors, ONNX Runtime a dozen without a base
        exhausted.log_cause(error)
        if failure := exhausted.failure_of(error):
            raise failure from error
        raise InvalidSpec(
            f"spec.model.imageSize: the model takes no batch of shape [1, 3, {size}, {size}], which is what an "
            "image of that size becomes"
        ) from error
    if logits.ndim != 2 or len(logits) != 1 or (count is None and logits.shape[1] == 0):
        raise _wrong_answer(str(list(logits.shape)))
    if count is not None and logits.shape[1] != count:
        raise ArchitectureMismatch(
            f"spec.model.classes: names {count} classes, and the model has {logits.shape[1]} outputs"
        )
    if not np.isfinite(logits).all():
        raise NonFiniteWeights("spec.weights.url: the model answers a test image with NaN or infinity")
    return logits


def _wrong_answer(answer: str) -> ArchitectureMismatch:
    return ArchitectureMismatch(
        f"spec.model.architecture: the model must answer one tensor of shape [1, classes], and answers {answer}"
    )


def _faithfulness(model: Model, probes: list[Images], expected: list[Logits]) -> float:
    """How far the model is from what is expected; infinitely where it does not answer at all."""
    try:
        found = [model(probe) for probe in probes for _ in range(2)]
    except Exception as error:  # noqa: BLE001 (there is another model to fall back on)
        logger.debug("The model made fast does not run: %s", error)
        return float("inf")
    return _difference(found, [logits for logits in expected for _ in range(2)])


def _difference(found: list[Logits], expected: list[Logits]) -> float:
    """The largest difference of two logits, as a share of the largest of the expected ones."""
    pairs = list(zip(found, expected, strict=True))
    if any(one.shape != other.shape or not np.isfinite(one).all() for one, other in pairs):
        return float("inf")
    scale = max(float(np.abs(other).max()) for _, other in pairs)
    return max(float(np.abs(one - other).max()) for one, other in pairs) / max(scale, 1e-6)
