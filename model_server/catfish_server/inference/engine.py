"""The threads that run the model, and the one queue in front of them.

Each of them is one thread of the model's runtime: threads beyond the free cores are the worst thing that can
happen to latency (one busy neighbour makes the p50 four times as long), and the forward pass releases the GIL.

Images that wait are answered in batches, without a timer: a thread that is free takes its share of what waits, so
that an image is never kept waiting for others, and none of the threads is idle while another works off a batch.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from catfish_server.errors import Overloaded, RequestError
from catfish_server.inference.jobs import Batch, Job, await_all, closing, late
from catfish_server.inference.pace import Pace
from catfish_server.models.model import Images, Logits, Model
from catfish_server.telemetry import passes

QUEUE_LENGTH = 256
"""Images that may wait at most, however fast the model is."""

MAX_WAIT_SECONDS = 2.0
"""Predicted wait beyond which a call is refused at once instead of being kept."""

MAX_BATCH = 32
"""Images in one pass at most; on CPUs nothing is gained long before that."""

_CLOSE_SECONDS = 1.0  # for all threads together: a pass that hangs ends with the process


class TooManyImages(RequestError):
    """One call has more images than may wait at all."""

    status = 413
    title = "Too many images"


@dataclass(frozen=True, slots=True)
class _Running:
    """A model and what was learned of its speed, replaced together."""

    model: Model
    pace: Pace


@dataclass(frozen=True, slots=True)
class _Busy:
    """What a thread is at."""

    since: float
    size: int


class Engine:
    """Runs a model on a fixed number of threads, first come first served.

    Args:
        model: from a batch (n, 3, height, width) to its outputs (n, classes).
        threads: how many run at the same time; the CPU quota, not the number of cores of the host.
        queue_length: images that may wait, besides those that idle threads are about to take.
        max_wait_seconds: the longest predicted wait that is accepted.
        max_batch: images in one pass; 1 switches batches off.
        observed: told of each batch, on an inference thread; must be quick and must not raise.
        clock: a monotonic clock in seconds.
    """

    def __init__(
        self,
        model: Model,
        *,
        threads: int,
        queue_length: int = QUEUE_LENGTH,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
        max_batch: int = MAX_BATCH,
        observed: Callable[[Batch], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue_length = queue_length
        self._max_wait_seconds = max_wait_seconds
        self._max_batch = max_batch
        self._clock = clock
        self._running = _Running(model, Pace(largest=max_batch))
        self._observed = observed
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._busy: dict[int, _Busy] = {}
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"inference-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def infer(self, images: Sequence[Images], *, timeout_seconds: float) -> list[Logits]:
        """The model's outputs, (1, classes) for each image; waits for their turn. All are accepted, or none.

        Args:
            images: each of shape (1, 3, height, width); not changed until this returns.
            timeout_seconds: after which nobody waits for them any more.

        Raises:
            TooManyImages: more than may ever wait at the same time.
            Overloaded: the queue is full, the predicted wait too long, or the timeout passed before the turn
                came.
            ClientGone: the client has left meanwhile (`waiting.within`).
            Exception: what the model raised for one of them.
        """
        now = self._clock()
        jobs = [Job(image, arrived=now, deadline=now + timeout_seconds) for image in images]
        with self._changed:
            self._admit(len(jobs), timeout_seconds)
            self._queue.extend(jobs)
            self._changed.notify(len(jobs))
        try:
            rows = await_all(jobs, timeout_seconds=timeout_seconds)
        except BaseException:
            self._drop_cancelled()
            raise
        for job in jobs:
            passes.note(job.arrived, taken_at=job.began, ended_at=job.ended)
        return rows

    def require_places(self, count: int) -> None:
        """Checks that so many images of one call may wait at the same time, be there others or not.

        Raises:
            TooManyImages: they may not.
        """
        if count > self._queue_length:
            raise TooManyImages(f"The call has more than {self._queue_length} images, and no more may wait.")

    @property
    def seconds_each(self) -> float:
        """Smoothed seconds of a pass with one image; 0 before the first."""
        with self._changed:
            return self._running.pace.seconds(1)

    @property
    def useful_batch(self) -> int:
        """Images that a thread takes at most at this moment, as it was learned."""
        with self._changed:
            return self._running.pace.limit

    def forget(self) -> None:
        """Drops what was measured so far: the passes of a warm-up are not like those that follow."""
        with self._changed:
            self._running = _Running(self._running.model, Pace(largest=self._max_batch))

    def replace(self, model: Model) -> None:
        """Lets another model answer from the next pass on; passes that have begun end with the one before."""
        with self._changed:
            self._running = _Running(model, Pace(largest=self._max_batch))

    def observe(self, observed: Callable[[Batch], None]) -> None:
        """Tells this one of each batch from now on, as the argument of the same name does."""
        self._observed = observed

    def queued(self) -> int:
        """Images that wait for a thread."""
        return len(self._queue)

    def busy_seconds(self) -> float:
        """How long the thread that has been at one pass for longest is at it; 0 when all are idle."""
        with self._changed:
            return max((self._clock() - busy.since for busy in self._busy.values()), default=0.0)

    def close(self) -> None:
        """Ends the threads; what still waits is answered with `Overloaded`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        until = time.monotonic() + _CLOSE_SECONDS
        for thread in self._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))

    def _admit(self, count: int, timeout_seconds: float) -> None:
        if self._closed:
            raise closing()
        self.require_places(count)
        # What an idle thread is about to take does not wait: it holds no place that the next images need.
        taken = (len(self._threads) - len(self._busy)) * self._running.pace.limit
        waiting = max(0, len(self._queue) - taken)
        wait = self._predicted_wait()
        # One waiting image a thread is always accepted, or a slow model could never be kept busy.
        too_long = waiting >= len(self._threads) and wait > self._max_wait_seconds
        # The images of one call wait for each other; one alone is always tried.
        own = self._running.pace.work(count) / len(self._threads)
        too_late = count > 1 and wait + own > timeout_seconds
        full = len(self._queue) + count > self._queue_length + taken or too_long
        if full or too_late:
            raise Overloaded(
                f"{waiting} images are waiting already, about {wait:.1f} s of work.",
                reason="queue" if full else "deadline",
                retry_after_seconds=max(1, ceil(wait)),
            )

    def _predicted_wait(self) -> float:
        """Seconds until a thread is free for what comes next: what runs and what waits, shared by the threads."""
        pace, now = self._running.pace, self._clock()
        left = sum(max(0.0, pace.seconds(busy.size) - (now - busy.since)) for busy in self._busy.values())
        if len(self._busy) < len(self._threads):
            left = 0.0
        return (left + pace.work(len(self._queue))) / len(self._threads)

    def _drop_cancelled(self) -> None:
        """Takes out of the queue what nobody waits for, so that it is neither run nor counted."""
        with self._changed:
            self._queue = deque(job for job in self._queue if not job.result.cancelled())

    def _work(self, number: int) -> None:
        while (taken := self._take(number)) is not None:
            self._answer(number, *taken)
            del taken  # a thread that waits may not keep a model that was replaced, nor the images

    def _take(self, number: int) -> tuple[_Running, list[Job]] | None:
        """The next batch for a thread and the model to run it with, None at the end."""
        with self._changed:
            while not self._closed:
                if jobs := self._pick():
                    self._busy[number] = _Busy(self._clock(), len(jobs))
                    return self._running, jobs
                if not self._queue:
                    self._changed.wait()
            while self._queue:
                self._queue.popleft().refuse(closing())
            return None

    def _pick(self) -> list[Job]:
        """This thread's share of what waits: the oldest images, as long as they are of one shape."""
        now = self._clock()
        for job in [job for job in self._queue if now > job.deadline]:
            self._queue.remove(job)
            job.refuse(late(job.deadline - job.arrived))
        free = len(self._threads) - len(self._busy)
        share = min(ceil(len(self._queue) / free), self._running.pace.limit)
        picked: list[Job] = []
        while self._queue and len(picked) < share:
            if picked and self._queue[0].image.shape != picked[0].image.shape:
                break
            job = self._queue.popleft()
            if job.result.set_running_or_notify_cancel():
                picked.append(job)
        return picked

    def _answer(self, number: int, running: _Running, jobs: list[Job]) -> None:
        began = self._clock()
        try:
            rows = _rows(running.model, jobs)
        except Exception as error:  # noqa: BLE001 (it belongs to the callers, not to this thread)
            self._failed(number, running, jobs, error)
            return
        seconds = self._clock() - began
        with self._changed:
            del self._busy[number]
            running.pace.record(len(jobs), seconds)
        for job, row in zip(jobs, rows, strict=True):
            job.began, job.ended = began, began + seconds
            job.result.set_result(row)
        if self._observed is not None:
            queued = tuple(began - job.arrived for job in jobs)
            self._observed(Batch(size=len(jobs), queued_seconds=queued, seconds=seconds))

    def _failed(self, number: int, running: _Running, jobs: list[Job], error: Exception) -> None:
        """Answers a batch that failed: one of its images may be to blame, and the others are not."""
        if len(jobs) == 1:
            with self._changed:
                del self._busy[number]
            jobs[0].result.set_exception(error)
            return
        for job in jobs:
            if self._clock() > job.deadline:
                job.refuse(late(job.deadline - job.arrived))
                continue
            with self._changed:
                self._busy[number] = _Busy(self._clock(), 1)
            self._answer(number, running, [job])
        with self._changed:
            self._busy.pop(number, None)  # where the last of them came too late to be tried
        if not any(job.result.exception() for job in jobs):
            with self._changed:
                running.pace.too_large(len(jobs))


def _rows(model: Model, jobs: Sequence[Job]) -> list[Logits]:
    """The model's answer to each image of a batch."""
    batch = jobs[0].image if len(jobs) == 1 else np.concatenate([job.image for job in jobs])
    outputs = model(batch)
    if len(outputs) != len(jobs):
        raise RuntimeError(f"The model answered {len(outputs)} rows for {len(jobs)} images.")
    return [outputs[number : number + 1] for number in range(len(jobs))]
