"""What every protocol asks for: classes for images, and raw outputs for raw tensors.

The HTTP routes and gRPC translate their requests into calls of this and its answers back; what happens to every
image, whichever way it came, happens here once: limits, decoding, the model, the counters.
"""

import hashlib
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from threading import BoundedSemaphore

import numpy as np
from numpy.typing import NDArray

from catfish_server.errors import Overloaded, RequestError
from catfish_server.images.decode import decode
from catfish_server.images.source import ImageSource
from catfish_server.inference.classifier import Classifies, Prediction
from catfish_server.predictions.log import PredictionLog
from catfish_server.predictions.record import Record
from catfish_server.settings import Settings
from catfish_server.telemetry.metrics import Metrics

MAX_FETCHES = 8
"""Image URLs fetched at the same time: slow hosts of one caller may not take all threads from the others."""


MAX_NAMED_CLASSES = 20
"""Classes that an error lists."""


class InvalidFeedback(RequestError):
    """It says nothing that could be joined to a prediction."""

    status = 400
    title = "Bad Request"


class Forbidden(RequestError):
    """The model's owner has switched this off."""

    status = 403
    title = "Forbidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """An image as a caller sent it.

    Attributes:
        data: the encoded bytes.
        name: the address that it was fetched from, or `sha256:` and the digest of the bytes.
    """

    data: bytes
    name: str

    @classmethod
    def of(cls, data: bytes) -> "Encoded":
        """The image that these bytes are, named by their digest."""
        return cls(data=data, name=f"sha256:{hashlib.sha256(data).hexdigest()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, as far as it is known.

    Attributes:
        request_id: the caller's own, or one that was made.
        user: the value of the header that the settings name; None where none is named or sent.
    """

    request_id: str
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was made of one image.

    Attributes:
        uuid: of this prediction, by which feedback is joined to it.
        name: of the image.
        prediction: its class.
    """

    uuid: str
    name: str
    prediction: Prediction


class Service:
    """Answers calls of any protocol; safe to use from every thread.

    Args:
        settings: limits and switches.
        classifier: warmed up.
        metrics: counts what is answered.
        source: fetches image URLs; None: as the settings say.
        log: told of every prediction; None: none is kept.
    """

    def __init__(
        self,
        settings: Settings,
        classifier: Classifies,
        metrics: Metrics,
        *,
        source: ImageSource | None = None,
        log: PredictionLog | None = None,
    ) -> None:
        self.settings = settings
        self.classifier = classifier
        self.metrics = metrics
        self.log = log
        self._source = source or ImageSource(allow_hosts=frozenset(settings.image_urls_allow_hosts))
        self._fetches = BoundedSemaphore(MAX_FETCHES)

    def fetch(self, url: str) -> Encoded:
        """The image at an address.

        Raises:
            Forbidden: the model takes no addresses.
            RequestError: the address is refused, unreachable or too slow.
        """
        if not self.settings.image_urls_enabled:
            raise Forbidden("This model takes no image URLs; send the image itself.", field="image_url")
        if not self._fetches.acquire(blocking=False):
            raise Overloaded("Too many images are being fetched already.", reason="fetches")
        try:
            return Encoded(data=self._source.fetch(url), name=url)
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
        decoded = [
            decode(
                image.data,
                max_pixels=self.settings.max_pixels,
                shorter_side=self.classifier.shorter_side,
            )
            for image in images
        ]
        predictions = self.classifier.predict_all(decoded)
        seconds = time.monotonic() - started
        for prediction in predictions:
            self.metrics.predicted(prediction.label, seconds)
        answers = [
            Answer(uuid=str(uuid.uuid4()), name=image.name, prediction=prediction)
            for image, prediction in zip(images, predictions, strict=True)
        ]
        if self.log is not None:
            for answer in answers:
                if self.log.sampled(answer.uuid):
                    self.log.send_to_log(self._record(self.log, answer, caller=caller, seconds=seconds))
        return answers

    def feedback(self, prediction: str, label: str, *, caller: Caller) -> bool:
        """Logs which class was the right answer; False where the prediction was not sampled.

        Args:
            prediction: its uuid.
            label: one of the classes.
            caller: who says so.

        Raises:
            Forbidden: the model keeps no log.
            InvalidFeedback: the model has no such class.
            Overloaded: the log has no room.
        """
        if self.log is None:
            raise Forbidden(
                "This model keeps no prediction log, so that feedback would be lost.", field="uuid"
            )
        classes = self.classifier.classes
        if label not in classes:
            known = ", ".join(classes[:MAX_NAMED_CLASSES]) + (
                ", …" if len(classes) > MAX_NAMED_CLASSES else ""
            )
            raise InvalidFeedback(f"The label is not a class of this model: {known}.", field="label")
        if not self.log.sampled(prediction):
            return False
        made = Record(
            kind="feedback",
            uuid=prediction,
            time=time.time(),
            request_id=caller.request_id,
            user=caller.user,
            label=label,
        )
        if not self.log.send_to_log(made):
            raise Overloaded("The prediction log takes no more at the moment.", reason="log")
        return True

    def infer(self, batch: NDArray[np.float32], *, caller: Caller) -> NDArray[np.float32]:
        """The raw outputs for images that the caller has preprocessed.

        Args:
            batch: float32 of shape (n, 3, image_size, image_size), normalised.
            caller: who asks.

        Returns:
            float32 of shape (n, classes): logits.

        Raises:
            RequestError: another shape, or more waits than can be answered in time.
        """
        started = time.monotonic()
        outputs = self.classifier.infer(batch)
        if self.log is not None:
            seconds = time.monotonic() - started
            for image, logits in zip(batch, outputs, strict=True):
                answer = self._named(image, logits)
                if self.log.sampled(answer.uuid):
                    self.log.send_to_log(self._record(self.log, answer, caller=caller, seconds=seconds))
        return outputs

    def _record(self, log: PredictionLog, answer: Answer, *, caller: Caller, seconds: float) -> Record:
        made = answer.prediction
        return Record(
            kind="prediction",
            uuid=answer.uuid,
            time=time.time(),
            request_id=caller.request_id,
            user=caller.user,
            image=answer.name,
            prediction=made.label,
            probability=made.probability,
            predict_time=seconds,
            input=made.input if log.include_tensors else None,
            output=made.output if log.include_tensors else None,
        )

    def _named(self, image: NDArray[np.float32], logits: NDArray[np.float32]) -> Answer:
        """What the outputs for one preprocessed image mean; it is named by the digest of its values."""
        digest = hashlib.sha256(image.tobytes()).hexdigest()
        made = self.classifier.prediction(image, logits)
        return Answer(uuid=str(uuid.uuid4()), name=f"sha256:{digest}", prediction=made)
