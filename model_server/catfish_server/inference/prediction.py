"""What the logits of one image mean: the same for a pod's answers, its golden images and `catfish verify`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from catfish_server.models.model import Images, Logits

UNKNOWN = "unknown"
"""The answer when no class reaches the threshold."""


class NonFiniteOutput(Exception):
    """The model answered NaN or infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the model says about one image.

    Attributes:
        label: the most probable class, or `unknown` below the threshold.
        probability: of the most probable class, 0..1.
        probabilities: of every class, in the order of the outputs; they add up to 1.
        input: what the model was given for the image, (3, image_size, image_size).
        output: its logits, (classes,).
    """

    label: str
    probability: float
    probabilities: Mapping[str, float]
    input: Images | None = field(default=None, compare=False, repr=False)
    output: Logits | None = field(default=None, compare=False, repr=False)


def answer(logits: Logits, classes: Sequence[str], *, unknown_threshold: float | None) -> Prediction:
    """What the logits of one image, (classes,), mean.

    Raises:
        NonFiniteOutput: they are not finite.
    """
    if not np.isfinite(logits).all():
        raise NonFiniteOutput("The model answered with a value that is not finite.")
    probabilities = dict(zip(classes, _softmax(logits), strict=True))
    label, probability = max(probabilities.items(), key=lambda item: item[1])
    if unknown_threshold is not None and probability < unknown_threshold:
        label = UNKNOWN
    return Prediction(label=label, probability=probability, probabilities=MappingProxyType(probabilities))


def _softmax(logits: Logits) -> list[float]:
    """The probabilities that the logits of one image, (classes,), stand for."""
    powers = np.exp(logits.astype(np.float64) - logits.max())
    values: list[float] = (powers / powers.sum()).tolist()
    return values
