"""A loaded model that turns images into classes."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from catfish_server.images.decode import decode
from catfish_server.inference.engine import Engine
from catfish_server.inference.preprocess import preprocess, resized_side
from catfish_server.models.model import Model

UNKNOWN = "unknown"
"""The answer when no class reaches the threshold."""

WARM_UP_ROUNDS = 3
"""The first forward passes allocate and choose kernels; from the third on they take their usual time."""

WARM_UP_TIMEOUT_SECONDS = 600.0
"""The first pass on a throttled CPU takes far longer than a request may; the stage has this limit as well."""


class NonFiniteOutput(Exception):
    """The model answered NaN or infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the model says about one image.

    Attributes:
        label: the most probable class, or `unknown` below the threshold.
        probability: of the most probable class, 0..1.
        probabilities: of every class, in the order of the outputs; they add up to 1.
    """

    label: str
    probability: float
    probabilities: Mapping[str, float]


class Classifies(Protocol):
    """The part of a `Classifier` that makes an answer."""

    @property
    def shorter_side(self) -> int: ...  # noqa: D102

    def predict(self, image: Image.Image) -> Prediction: ...  # noqa: D102

    def predict_all(self, images: Iterable[Image.Image]) -> list[Prediction]: ...  # noqa: D102

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]: ...  # noqa: D102


def classify(classifier: Classifies, data: bytes, *, max_pixels: int) -> Prediction:
    """The class of an encoded image: the one way to it, for requests and for golden images.

    Raises:
        RequestError: the bytes are no image that is taken, or the model has too much to do.
        NonFiniteOutput: the model answered NaN or infinity.
    """
    return classifier.predict(decode(data, max_pixels=max_pixels, shorter_side=classifier.shorter_side))


class Classifier:
    """Answers for images with a model on its own inference threads.

    Args:
        model: takes (n, 3, image_size, image_size), answers (n, len(classes)) logits.
        classes: in the order of the outputs.
        image_size: height and width in pixels.
        mean: of the channels, for values in 0..1.
        std: of the channels, for values in 0..1.
        unknown_threshold: below this probability the answer is `unknown`; None: the most probable class always.
        threads: inference threads, each on one core.
        timeout_seconds: the longest that a request waits for its answer.
    """

    def __init__(
        self,
        model: Model,
        classes: Sequence[str],
        *,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        unknown_threshold: float | None,
        threads: int,
        timeout_seconds: float = 30.0,
    ) -> None:
        self._classes = tuple(classes)
        self._image_size = image_size
        self._mean = tuple(mean)
        self._std = tuple(std)
        self._unknown_threshold = unknown_threshold
        self._threads = threads
        self._timeout_seconds = timeout_seconds
        self.engine = Engine(model, threads=threads)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of the outputs."""
        return self._classes

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that a prediction may have: the classes, and `unknown` where there is a threshold."""
        return self._classes if self._unknown_threshold is None else (*self._classes, UNKNOWN)

    @property
    def shorter_side(self) -> int:
        """Pixels of the shorter side that preprocessing scales to; a decoder need not deliver much more."""
        return resized_side(self._image_size)

    def warm_up(self) -> None:
        """Runs the model on all threads, so that the first request takes no longer than the hundredth.

        Raises:
            NonFiniteOutput: the model answers NaN or infinity.
        """
        self._run_on_all_threads(WARM_UP_ROUNDS - 1)
        self.engine.forget()  # the predicted wait is made of passes that take their usual time
        self._run_on_all_threads(1)

    def predict(self, image: Image.Image) -> Prediction:
        """The class of an RGB image of any size.

        Raises:
            Overloaded: more waits than can be answered in time.
            NonFiniteOutput: the model answered NaN or infinity.
        """
        return self._predict(image, timeout_seconds=self._timeout_seconds)

    def predict_all(self, images: Iterable[Image.Image]) -> list[Prediction]:
        """The classes of several RGB images, in their order; fails as `predict` does."""
        return [self.predict(image) for image in images]

    def infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logits, (n, classes), of images that are preprocessed already: (n, 3, image_size, image_size).

        Raises:
            Overloaded: more waits than can be answered in time.
        """
        rows = [
            self.engine.infer(
                torch.from_numpy(batch[number : number + 1]), timeout_seconds=self._timeout_seconds
            )
            for number in range(len(batch))
        ]
        return np.concatenate([row.float().numpy() for row in rows])

    def close(self) -> None:
        """Ends the inference threads."""
        self.engine.close()

    def _run_on_all_threads(self, passes: int) -> None:
        grey = Image.new("RGB", (self._image_size, self._image_size), (127, 127, 127))
        failures: list[Exception] = []

        def run() -> None:
            try:
                for _ in range(passes):
                    self._predict(grey, timeout_seconds=WARM_UP_TIMEOUT_SECONDS)
            except Exception as error:  # noqa: BLE001 (carried over to the thread that asked)
                failures.append(error)

        threads = [threading.Thread(target=run) for _ in range(self._threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def _predict(self, image: Image.Image, *, timeout_seconds: float) -> Prediction:
        batch = preprocess(image, image_size=self._image_size, mean=self._mean, std=self._std)
        logits = self.engine.infer(batch, timeout_seconds=timeout_seconds)
        return self._prediction(logits[0])

    def _prediction(self, logits: torch.Tensor) -> Prediction:
        values = torch.softmax(logits.float(), dim=0).tolist()
        probabilities = dict(zip(self._classes, values, strict=True))
        label, probability = max(probabilities.items(), key=lambda item: item[1])
        if not torch.isfinite(logits).all():
            raise NonFiniteOutput("The model answered with a value that is not finite.")
        if self._unknown_threshold is not None and probability < self._unknown_threshold:
            label = UNKNOWN
        return Prediction(label=label, probability=probability, probabilities=MappingProxyType(probabilities))
