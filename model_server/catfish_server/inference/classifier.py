"""A loaded model that turns images into classes."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from PIL import Image

from catfish_server import cpus, waiting
from catfish_server.errors import RequestError
from catfish_server.images.decode import FORMATS, decode
from catfish_server.images.room import PATIENCE_SECONDS, Room
from catfish_server.inference.engine import MAX_BATCH, MAX_WAIT_SECONDS, QUEUE_LENGTH, Engine
from catfish_server.inference.prediction import UNKNOWN, Prediction, answer
from catfish_server.inference.preprocess import preprocess, resized_side
from catfish_server.models.model import Images, Logits, Model, Runtime

WARM_UP_ROUNDS = 3
"""The first forward passes allocate and choose kernels; from the third on they take their usual time."""

QUEUE_BYTES = 160 * 1024 * 1024
"""Memory that images may take while they wait: 278 of 224 pixels, 3 of 2048."""

BATCH_PIXELS = 32 * 224 * 224
"""Of the images in one batch: what a model computes in between takes many times the memory of the images."""

WARM_UP_TIMEOUT_SECONDS = 600.0
"""The first pass on a throttled CPU takes far longer than a request may; the stage has this limit as well."""


class WrongShape(RequestError):
    """Raw input of another shape than the model takes."""

    status = 400
    title = "Wrong shape"


class Classifies(Protocol):
    """The part of a `Classifier` that makes an answer."""

    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def shorter_side(self) -> int: ...  # noqa: D102

    @property
    def max_images(self) -> int: ...  # noqa: D102

    @property
    def runtime(self) -> Runtime: ...  # noqa: D102

    def predict(self, image: Image.Image) -> Prediction: ...  # noqa: D102

    def predict_all(self, images: Iterable[Image.Image], *, count: int) -> list[Prediction]: ...  # noqa: D102

    def infer(self, batch: Images) -> Logits: ...  # noqa: D102

    def prediction(self, image: Images, logits: Logits) -> Prediction: ...  # noqa: D102


def classify(
    classifier: Classifies, data: bytes, *, max_pixels: int, formats: Sequence[str] = FORMATS
) -> Prediction:
    """The class of an encoded image, as a request of one would be answered: for golden images.

    Raises:
        RequestError: the bytes are no image that is taken, or the model has too much to do.
        NonFiniteOutput: the model answered NaN or infinity.
    """
    side = classifier.shorter_side
    return classifier.predict(decode(data, max_pixels=max_pixels, formats=formats, shorter_side=side))


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
        timeout_seconds: the longest that images wait for the model; less where less is left of their call.
        runtime: what runs the model; None: torch on this processor.
        queue_length: images that may wait, or fewer where so many would take more than `QUEUE_BYTES`.
        max_wait_seconds: the longest predicted wait that a call is kept for.
        max_batch: images that the model answers in one pass, or fewer where they have more than `BATCH_PIXELS`.
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
        runtime: Runtime | None = None,
        queue_length: int = QUEUE_LENGTH,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
        max_batch: int = MAX_BATCH,
    ) -> None:
        self._classes = tuple(classes)
        self._image_size = image_size
        self._mean = tuple(mean)
        self._std = tuple(std)
        self._unknown_threshold = unknown_threshold
        self._threads = threads
        self._timeout_seconds = timeout_seconds
        self._runtime = runtime or Runtime(
            engine="torch", device="cpu", instruction_set=cpus.instruction_set(), threads=threads
        )
        self._on_close: list[Callable[[], None]] = []
        pixels = image_size * image_size
        places = self._max_images = max(threads, min(queue_length, QUEUE_BYTES // (3 * 4 * pixels)))
        batch = max(1, min(max_batch, BATCH_PIXELS // pixels))
        self.engine = Engine(
            model, threads=threads, queue_length=places, max_wait_seconds=max_wait_seconds, max_batch=batch
        )
        # Images of calls that are still decoding take as much memory as those that wait for the model. A call keeps its
        # places from its first image on: calls of several may not take the last ones from a model that is idle.
        self._places = Room(
            places + threads * batch,
            kept_for_ones=threads * batch,
            patience_seconds=min(PATIENCE_SECONDS, max_wait_seconds),
            full="Too many images wait already.",
            reason="queue",
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of the outputs."""
        return self._classes

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label that a prediction may have: the classes, and `unknown` where there is a threshold."""
        return self._classes if self._unknown_threshold is None else (*self._classes, UNKNOWN)

    @property
    def runtime(self) -> Runtime:
        """What runs the model now."""
        return self._runtime

    def replace(self, model: Model, runtime: Runtime) -> None:
        """Lets another model of the same classes and image size answer, while requests are being served.

        Args:
            model: warmed up; batches that have begun end with the one before.
            runtime: what runs it.
        """
        self.engine.replace(model)
        self._runtime = runtime

    @property
    def shorter_side(self) -> int:
        """Pixels of the shorter side that preprocessing scales to; a decoder need not deliver much more."""
        return resized_side(self._image_size)

    @property
    def max_images(self) -> int:
        """Images that one call may bring: as many as may wait at the same time."""
        return self._max_images

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
        return self.predict_all([image], count=1)[0]

    def predict_all(self, images: Iterable[Image.Image], *, count: int) -> list[Prediction]:
        """The classes of several RGB images, in their order, which wait and are answered together.

        Args:
            images: made one after the other, once there are places for all of them: as many places as images may
                wait or be in a pass of the model, 193 MB on two threads at 224 pixels, whatever number of calls. A
                batch for each thread is kept for calls of one image.
            count: of them.

        Raises:
            TooManyImages: more than may ever wait at the same time.
            RequestError: as of `predict`, for all where it is so for one.
            NonFiniteOutput: the model answered NaN or infinity.
        """
        self.engine.require_places(count)
        with self._places.held(count):
            return self._predict(images, timeout_seconds=self._timeout_seconds)

    def infer(self, batch: Images) -> Logits:
        """The logits, (n, classes), of images that are preprocessed already: (n, 3, image_size, image_size).

        Raises:
            WrongShape: it is another shape, or n is 0.
            TooManyImages: more than may ever wait at the same time.
            Overloaded: more waits than can be answered in time.
        """
        size = self._image_size
        if batch.ndim != 4 or batch.shape[1:] != (3, size, size) or not len(batch):
            raise WrongShape(
                f"The model takes images of shape [n, 3, {size}, {size}], and these are {list(batch.shape)}.",
                field="inputs",
            )
        images = [batch[number : number + 1] for number in range(len(batch))]
        return np.concatenate(self.engine.infer(images, timeout_seconds=waiting.left(self._timeout_seconds)))

    def prediction(self, image: Images, logits: Logits) -> Prediction:
        """What the logits for one preprocessed image mean.

        Args:
            image: what the model was given, (3, image_size, image_size).
            logits: what it answered, (classes,).

        Raises:
            NonFiniteOutput: they are not finite.
        """
        found = answer(logits, self._classes, unknown_threshold=self._unknown_threshold)
        return replace(found, input=image, output=logits)

    def on_close(self, end: Callable[[], None]) -> None:
        """Has `close` call this first: what works on the model in the background ends with it."""
        self._on_close.append(end)

    def close(self) -> None:
        """Ends what works in the background, and the inference threads."""
        for end in self._on_close:
            end()
        self.engine.close()

    def _run_on_all_threads(self, passes: int) -> None:
        grey = Image.new("RGB", (self._image_size, self._image_size), (127, 127, 127))
        failures: list[Exception] = []

        def run() -> None:
            try:
                for _ in range(passes):
                    self._predict([grey], timeout_seconds=WARM_UP_TIMEOUT_SECONDS)
            except Exception as error:  # noqa: BLE001 (carried over to the thread that asked)
                failures.append(error)

        threads = [threading.Thread(target=run) for _ in range(self._threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def _predict(self, images: Iterable[Image.Image], *, timeout_seconds: float) -> list[Prediction]:
        size, mean, std = self._image_size, self._mean, self._std
        batches = [preprocess(image, image_size=size, mean=mean, std=std) for image in images]
        logits = self.engine.infer(batches, timeout_seconds=waiting.left(timeout_seconds))
        return [self.prediction(image[0], row[0]) for image, row in zip(batches, logits, strict=True)]
