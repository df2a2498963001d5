"""The service's side of the prediction log: what was answered, and what would have been right."""

import hashlib
import time
import uuid
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from catfish_server.calls import Answer, Caller, Forbidden, InvalidFeedback
from catfish_server.errors import Overloaded
from catfish_server.inference.classifier import Classifies
from catfish_server.models.model import Images, Logits
from catfish_server.predictions.log import PredictionLog
from catfish_server.predictions.record import Record

MAX_NAMED_CLASSES = 20
"""Classes that an error lists."""


class Journal:
    """Writes answers and feedback to a log; safe to use from every thread.

    Args:
        log: None: none is kept.
        classifier: knows the classes, and what logits mean.
    """

    def __init__(self, log: PredictionLog | None, classifier: Classifies) -> None:
        self.log = log
        self._classifier = classifier

    def answered(self, answers: Sequence[Answer], *, caller: Caller, seconds: float) -> None:
        """Notes the answers of one call, which took so long."""
        if self.log is None:
            return
        for answer in answers:
            if self.log.sampled(answer.uuid):
                self.log.send_to_log(_record(self.log, answer, caller=caller, seconds=seconds))

    def inferred(self, batch: Images, outputs: Logits, *, caller: Caller, seconds: float) -> list[str]:
        """Notes what the outputs for preprocessed images mean; each is named by the digest of its values.

        Returns:
            The uuid of each prediction. None of them where there is no log, or where outputs are not finite: those
            are no answer.
        """
        if self.log is None or not np.isfinite(outputs).all():
            return []
        names = [str(uuid.uuid4()) for _ in batch]
        for name, image, logits in zip(names, batch, outputs, strict=True):
            if self.log.sampled(name):  # before the digest, which costs a millisecond
                digest = hashlib.sha256(image.tobytes()).hexdigest()
                prediction = self._classifier.prediction(image, logits)
                answer = Answer(uuid=name, name=f"sha256:{digest}", prediction=prediction)
                self.log.send_to_log(_record(self.log, answer, caller=caller, seconds=seconds))
        return names

    def feedback(self, prediction: str, label: str, *, caller: Caller) -> bool:
        """Notes which class was the right answer; False where the prediction was not sampled.

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
        classes = self._classifier.classes
        if label not in classes:
            more = ", …" if len(classes) > MAX_NAMED_CLASSES else ""
            known = ", ".join(classes[:MAX_NAMED_CLASSES]) + more
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


def _record(log: PredictionLog, answer: Answer, *, caller: Caller, seconds: float) -> Record:
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
        input=_own(made.input) if log.include_tensors else None,
        output=_own(made.output) if log.include_tensors else None,
    )


def _own(array: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """The array without the rest of the batch that it is a part of, which a record that waits would keep in memory."""
    if array is None or array.base is None or getattr(array.base, "nbytes", 0) == array.nbytes:
        return array
    return array.copy()
