"""What every protocol asks for: classes for images, and raw outputs for raw tensors.

The HTTP routes and gRPC translate their requests into calls of this and its answers back; what happens to every
image, whichever way it came, happens here once: limits, decoding, the model, the counters.
"""

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from catfish_server.calls import Answer, Caller, Encoded, Forbidden, blaming
from catfish_server.errors import Overloaded
from catfish_server.images.decode import decode
from catfish_server.images.source import ImageSource
from catfish_server.inference.classifier import Classifies
from catfish_server.inference.prediction import UNKNOWN, Prediction
from catfish_server.journal import Journal
from catfish_server.predictions.log import PredictionLog
from catfish_server.settings import Settings
from catfish_server.telemetry import passes
from catfish_server.telemetry.metrics import Metrics
from catfish_server.telemetry.tracing import OFF, Tracing

MAX_FETCHES = 8
"""Image URLs fetched at the same time: slow hosts of one caller may not take all threads from the others."""


class Service:
    """Answers calls of any protocol; safe to use from every thread.

    Args:
        settings: limits and switches.
        classifier: warmed up.
        metrics: counts what is answered.
        source: fetches image URLs; None: as the settings say.
        log: told of every prediction; None: none is kept.
        tracing: is told the stages of each call.
    """

    def __init__(
        self,
        settings: Settings,
        classifier: Classifies,
        metrics: Metrics,
        *,
        source: ImageSource | None = None,
        log: PredictionLog | None = None,
        tracing: Tracing = OFF,
    ) -> None:
        self.settings = settings
        self.classifier = classifier
        self.metrics = metrics
        self.journal = Journal(log, classifier)
        self.tracing = tracing
        self._source = source or ImageSource(
            allow_hosts=frozenset(settings.image_urls_allow_hosts),
            max_bytes=settings.image_urls_max_bytes,
            max_redirects=settings.image_urls_max_redirects,
            timeout_seconds=settings.image_urls_timeout_seconds,
        )
        self._fetches = BoundedSemaphore(MAX_FETCHES)

    def fetch(self, url: str, *, field: str | None = None) -> Encoded:
        """The image at an address.

        Args:
            url: as the caller gave it.
            field: where in the request, for errors and for the image; None: `image_url`.

        Raises:
            Forbidden: the model takes no addresses.
            RequestError: the address is refused, unreachable or too slow.
        """
        if not self.settings.image_urls_enabled:
            raise Forbidden(
                "This model takes no image URLs; send the image itself.", field=field or "image_url"
            )
        if not self._fetches.acquire(blocking=False):
            raise Overloaded("Too many images are being fetched already.", reason="fetches")
        try:
            with self._stage("fetch"), blaming(field):
                return Encoded(data=self._source.fetch(url), name=url, field=field)
        finally:
            self._fetches.release()

    def require_probabilities(self) -> None:
        """Checks that all probabilities may be given away.

        Raises:
            Forbidden: they may not.
        """
        if not self.settings.return_probabilities:
            raise Forbidden("This model does not give away all probabilities.", field="probabilities")

    def classify(self, images: Sequence[Encoded], *, caller: Caller) -> list[Answer]:
        """The classes of the images of one call, in their order.

        Raises:
            RequestError: one of them cannot be answered, and so none is.
        """
        started = time.monotonic()
        with self._passes():
            # One at a time: together they would take the memory of the largest image as often as there are any.
            decoded = (self._decoded(image) for image in images)
            predictions = self.classifier.predict_all(decoded, count=len(images))
        seconds = time.monotonic() - started
        self.metrics.timed(seconds)
        for prediction in predictions:
            self.metrics.predicted(prediction.label, unknown=self._is_unknown(prediction))
        answers = [
            Answer(uuid=str(uuid.uuid4()), name=image.name, prediction=prediction)
            for image, prediction in zip(images, predictions, strict=True)
        ]
        self.journal.answered(answers, caller=caller, seconds=seconds)
        return answers

    def infer(
        self, batch: NDArray[np.float32], *, caller: Caller
    ) -> tuple[NDArray[np.float32], Sequence[str]]:
        """The raw outputs for images that the caller has preprocessed.

        Args:
            batch: float32 of shape (n, 3, image_size, image_size), normalised.
            caller: who asks.

        Returns:
            float32 of shape (n, classes), logits; and the uuid of each prediction, none without a log.

        Raises:
            RequestError: another shape, or more waits than can be answered in time.
        """
        started = time.monotonic()
        with self._passes():
            outputs = self.classifier.infer(batch)
        seconds = time.monotonic() - started
        if np.isfinite(outputs).all():  # else it is no prediction
            self.metrics.timed(seconds)
            for image, logits in zip(batch, outputs, strict=True):
                prediction = self.classifier.prediction(image, logits)
                self.metrics.predicted(prediction.label, unknown=self._is_unknown(prediction))
        return outputs, self.journal.inferred(batch, outputs, caller=caller, seconds=seconds)

    def _decoded(self, image: Encoded) -> Image.Image:
        with self._stage("decode"), blaming(image.field):
            return decode(
                image.data,
                max_pixels=self.settings.max_pixels,
                formats=self.settings.image_formats,
                shorter_side=self.classifier.shorter_side,
            )

    def _is_unknown(self, prediction: Prediction) -> bool:
        return self.settings.unknown_threshold is not None and prediction.label == UNKNOWN

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        """Times one stage of a call."""
        began = time.monotonic()
        try:
            with self.tracing.span(name):
                yield
        finally:
            self.metrics.staged(name, time.monotonic() - began)

    @contextmanager
    def _passes(self) -> Iterator[None]:
        """Times the waiting for the model and its running, as the engine tells them."""
        with passes.collected() as made:
            yield
        for one in made:
            self.metrics.staged("queue", one.queued_seconds)
            self.metrics.staged("infer", one.seconds)
            self.tracing.passed("queue", began=one.asked_at, seconds=one.queued_seconds)
            self.tracing.passed("infer", began=one.asked_at + one.queued_seconds, seconds=one.seconds)
