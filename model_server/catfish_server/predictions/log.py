"""The prediction log: takes records without ever waiting, and brings them to the sink on a thread of its own.

What a sink that is down costs is bounded: records wait until there are too many or too large, and those that find no
room are counted and dropped. Requests are answered all the same.
"""

import hashlib
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from catfish_server.predictions.buffer import Buffer
from catfish_server.predictions.record import Origin, Record, encode
from catfish_server.predictions.sinks.sink import Batch, Line, Sink, Unavailable
from catfish_server.telemetry.prediction_log import LogMetrics

logger = logging.getLogger(__name__)

MAX_RECORDS = 10_000
MAX_BYTES = 32 << 20
"""Of the records that wait or are being delivered; a day of outage is not bridged, a restart of the sink is."""

FIRST_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 5.0

_GIVING_UP_SECONDS = 0.3
"""For a try that has just been given up: a client that is not closed holds up the end of the process."""

_HURRIED_EVERY_SECONDS = 0.05

MAX_REASONS = 8
"""That are told of in one outage."""

FLUSH_SECONDS = 4.0
"""For what is left after the last answer; the pod's grace period has 5 s for it, and the process must end too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait before the next try: doubling, and with jitter, so that pods do not come all at once.

    Attributes:
        first_seconds: after one failure, at most.
        max_seconds: after many.
        random: a number from 0 to 1.
    """

    first_seconds: float = FIRST_BACKOFF_SECONDS
    max_seconds: float = MAX_BACKOFF_SECONDS
    random: Callable[[], float] = random.random

    def seconds(self, failures: int) -> float:
        """Before the try that follows this many failures in a row."""
        longest = min(self.max_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))
        return longest * (0.5 + self.random() / 2)


class PredictionLog:
    """Hands records to one sink; safe to use from every thread.

    Args:
        sink: used and closed by this alone.
        metrics: told what becomes of records.
        origin: what all records have in common; asked when they are written.
        sample_rate: share of predictions that are logged, 0..1, each with all its feedback.
        include_tensors: whether records have what went into the model and what came out.
        max_records: that wait.
        max_bytes: of them, about.
        backoff: between tries.
    """

    def __init__(
        self,
        sink: Sink,
        metrics: LogMetrics,
        *,
        origin: Callable[[], Origin],
        sample_rate: float = 1.0,
        include_tensors: bool = False,
        max_records: int = MAX_RECORDS,
        max_bytes: int = MAX_BYTES,
        backoff: Backoff | None = None,
    ) -> None:
        self.include_tensors = include_tensors
        self._sink, self._metrics, self._origin = sink, metrics, origin
        self._sample_rate = sample_rate
        self._backoff = backoff or Backoff()
        self._buffer = Buffer(max_records=max_records, max_bytes=max_bytes, limits=sink.limits)
        self._batches = 0
        metrics.watch(self._buffer.held)
        # A signal that raises in Thread.join leaves a running thread marked as ended (3.11, `_wait_for_tstate_lock`).
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="prediction-log", daemon=True).start()

    def sampled(self, uuid: str) -> bool:
        """Whether a prediction is logged; every server and every feedback on it comes to the same answer."""
        number = int.from_bytes(hashlib.blake2b(uuid.encode(), digest_size=8).digest())
        return number < self._sample_rate * 2.0**64

    def send_to_log(self, record: Record) -> bool:
        """Takes a record, in constant time; False where there is no room for it, which is counted."""
        reason = self._buffer.put(record)
        if reason is not None:
            self._metrics.dropped(reason)
        return reason is None

    def close(self, seconds: float = FLUSH_SECONDS, *, hurried: Callable[[], bool] = lambda: False) -> None:
        """Delivers what is left, and counts what it cannot as dropped, also where a signal raises (`wsgi`).

        Args:
            seconds: that it waits at most.
            hurried: whether to wait no longer; asked again and again, for a signal handler may set no event.
        """
        try:
            self._buffer.close()
            until = time.monotonic() + seconds
            while not hurried() and (wait := until - time.monotonic()) > 0:
                if self._ended.wait(min(wait, _HURRIED_EVERY_SECONDS)):
                    break
        finally:
            self._give_up()

    def _give_up(self) -> None:
        if left := self._buffer.abandon():
            self._metrics.dropped("shutdown", left)
            logger.warning("%d records of the prediction log are lost: the sink did not take them.", left)
            self._ended.wait(_GIVING_UP_SECONDS)
        if self._ended.is_set():  # else it is in the sink, and the process is about to end
            self._sink.close()

    def _run(self) -> None:
        try:
            self._deliver_all()
        finally:
            self._ended.set()

    def _deliver_all(self) -> None:
        while records := self._buffer.take():
            batch = self._encoded(records)
            refused = self._deliver(batch)
            if refused is None or not self._buffer.done(records):
                return
            self._metrics.delivered(len(batch.lines) - refused)
            if lost := refused + len(records) - len(batch.lines):
                self._metrics.dropped("refused", lost)

    def _encoded(self, records: list[Record]) -> Batch:
        origin = self._origin()
        lines = []
        for record in records:
            try:
                data = encode(record, origin)
            except Exception as error:  # noqa: BLE001 (one record may not end the delivery of all others)
                logger.warning("A record of the prediction log cannot be written as JSON: %s.", error)
                continue
            lines.append(Line(data=data, kind=record.kind, uuid=record.uuid, time=record.time))
        batch = Batch(number=self._batches, time=time.time(), lines=tuple(lines))
        self._batches += 1
        return batch

    def _deliver(self, batch: Batch) -> int | None:
        """Writes a batch, however often it takes; how many of its records are refused, None where it was given up."""
        failures, since = 0, time.monotonic()
        told: set[str] = set()
        while True:
            try:
                refused = self._sink.write(batch) if batch.lines else 0
            except Exception as error:  # noqa: BLE001 (whatever it is: serving goes on, and so do the tries)
                failures += 1
                self._metrics.failed()
                # Each reason once: the first is often not the one that helps (no answer yet, then a wrong password).
                if (text := _text(error)) not in told and len(told) < MAX_REASONS:
                    told.add(text)
                    logger.warning("The prediction log waits: %s.", text)
                if not self._buffer.pause(self._backoff.seconds(failures)):
                    return None
            else:
                if failures:
                    seconds = time.monotonic() - since
                    logger.info("The prediction log goes on after %d failures in %.1f s.", failures, seconds)
                return refused


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, Unavailable) else type(error).__name__
