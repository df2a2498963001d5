"""The threads that run the model, and the one queue in front of them.

One thread of torch per inference thread: threads beyond the free cores are the worst thing that can
happen to latency (one busy neighbour makes the p50 four times as long), and the forward pass
releases the GIL.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from math import ceil

import torch

from catfish_server.errors import Overloaded
from catfish_server.telemetry import passes

Forward = Callable[[torch.Tensor], torch.Tensor]

QUEUE_LENGTH = 256
"""Requests that may wait at most, however fast the model is."""

MAX_WAIT_SECONDS = 2.0
"""Predicted wait beyond which a request is refused at once instead of being kept."""

_CLOSE_SECONDS = 1.0  # for all threads together: a pass that hangs ends with the process

_SMOOTHING = 0.1
_LARGEST_STEP = 4.0  # one stall of the machine must not make the next hundred requests be refused


class _Job:
    """One tensor on its way through the model."""

    __slots__ = ("asked_at", "batch", "deadline", "ended_at", "result", "taken_at")

    def __init__(self, batch: torch.Tensor, deadline: float) -> None:
        self.batch = batch
        self.deadline = deadline
        self.asked_at = self.taken_at = self.ended_at = time.monotonic()
        self.result: Future[torch.Tensor] = Future()


class Engine:
    """Runs `forward` on a fixed number of threads, first come first served.

    Args:
        forward: from a batch (n, 3, height, width) to its outputs (n, classes).
        threads: how many run at the same time; the CPU quota, not the number of cores of the host.
        queue_length: how many may wait.
        max_wait_seconds: the longest predicted wait that is accepted.
        clock: a monotonic clock in seconds.
    """

    def __init__(
        self,
        forward: Forward,
        *,
        threads: int,
        queue_length: int = QUEUE_LENGTH,
        max_wait_seconds: float = MAX_WAIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._forward = forward
        self._queue_length = queue_length
        self._max_wait_seconds = max_wait_seconds
        self._clock = clock
        self._queue: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._busy_since: dict[int, float] = {}
        self._seconds_each = 0.0  # smoothed time of one forward pass, 0 before the first
        torch.set_num_threads(1)  # for every thread that begins to compute after this, the web's as well
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"inference-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def infer(self, batch: torch.Tensor, *, timeout_seconds: float) -> torch.Tensor:
        """The model's outputs for a batch; waits for its turn.

        Raises:
            Overloaded: the queue is full, the predicted wait too long, or the timeout passed before the turn
                came.
        """
        job = _Job(batch, self._clock() + timeout_seconds)
        with self._changed:
            self._admit()
            self._queue.append(job)
            self._changed.notify()
        try:
            outputs = job.result.result(timeout=timeout_seconds)
        except FutureTimeoutError as error:
            job.result.cancel()
            raise Overloaded(
                f"The model did not answer within {timeout_seconds:.0f} s.", reason="deadline"
            ) from error
        passes.note(job.asked_at, taken_at=job.taken_at, ended_at=job.ended_at)
        return outputs

    @property
    def seconds_each(self) -> float:
        """Smoothed time of one forward pass, which the predicted wait is made of; 0 before the first."""
        return self._seconds_each

    def forget(self) -> None:
        """Drops what was measured so far: the passes of a warm-up are not like those that follow."""
        with self._changed:
            self._seconds_each = 0.0

    def queued(self) -> int:
        """How many wait for a thread."""
        return len(self._queue)

    def busy_seconds(self) -> float:
        """How long the thread that has been at one batch for longest is at it; 0 when all are idle."""
        with self._changed:
            return max((self._clock() - since for since in self._busy_since.values()), default=0.0)

    def close(self) -> None:
        """Ends the threads; what still waits is answered with `Overloaded`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        until = time.monotonic() + _CLOSE_SECONDS
        for thread in self._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))

    def _admit(self) -> None:
        waiting = len(self._queue)
        if self._closed:
            raise Overloaded("The server is shutting down.", reason="closed")
        wait = waiting * self._seconds_each / len(self._threads)
        # One waiting request a thread is always accepted, or a slow model could never be kept busy.
        too_long = waiting >= len(self._threads) and wait > self._max_wait_seconds
        if waiting >= self._queue_length or too_long:
            raise Overloaded(
                f"{waiting} requests are waiting already, about {wait:.1f} s of work.",
                reason="queue",
                retry_after_seconds=max(1, ceil(wait)),
            )

    def _work(self, number: int) -> None:
        with torch.inference_mode():
            while (job := self._next(number)) is not None:
                self._done(number, ran=self._run(job))

    def _next(self, number: int) -> _Job | None:
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            if self._closed:
                while self._queue:
                    self._refuse(self._queue.popleft())
                return None
            self._busy_since[number] = self._clock()
            return self._queue.popleft()

    @staticmethod
    def _refuse(job: _Job) -> None:
        if job.result.set_running_or_notify_cancel():
            job.result.set_exception(Overloaded("The server is shutting down.", reason="closed"))

    def _run(self, job: _Job) -> bool:
        """Whether the model ran, and not only the time of a caller that is gone."""
        if self._clock() > job.deadline:
            job.result.cancel()
        if not job.result.set_running_or_notify_cancel():
            return False
        job.taken_at = time.monotonic()
        try:
            outputs = self._forward(job.batch)
            job.ended_at = time.monotonic()
        except Exception as error:  # noqa: BLE001 (it belongs to the caller, not to this thread)
            job.result.set_exception(error)
        else:
            job.result.set_result(outputs)
        return True

    def _done(self, number: int, *, ran: bool) -> None:
        with self._changed:
            seconds = self._clock() - self._busy_since.pop(number)
            if not ran:
                return
            if self._seconds_each:
                seconds = min(seconds, _LARGEST_STEP * self._seconds_each)
                seconds = (1 - _SMOOTHING) * self._seconds_each + _SMOOTHING * seconds
            self._seconds_each = seconds
