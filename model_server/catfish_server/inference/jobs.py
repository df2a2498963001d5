"""Images on their way through the engine, and the callers who wait for them."""

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass

from catfish_server import waiting
from catfish_server.errors import Overloaded
from catfish_server.models.model import Images, Logits

GLANCE_SECONDS = 0.25
"""How often a caller who waits looks whether its client is still there."""


class Job:
    """One image.

    Attributes:
        image: float32 of shape (1, 3, height, width).
        arrived: when it began to wait, on the engine's clock.
        deadline: after which nobody waits for it, on the same clock.
        result: its logits, (1, classes).
        began: when its pass of the model began; ended: when that had answered. Both 0 before.
    """

    __slots__ = ("arrived", "began", "deadline", "ended", "image", "result")

    def __init__(self, image: Images, *, arrived: float, deadline: float) -> None:
        self.image = image
        self.arrived = arrived
        self.deadline = deadline
        self.result: Future[Logits] = Future()
        self.began = self.ended = 0.0

    def refuse(self, error: Exception) -> None:
        """Answers with an error, where somebody waits for an answer."""
        if self.result.running() or self.result.set_running_or_notify_cancel():
            self.result.set_exception(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One pass of the model that answered, as an observer is told of it.

    Attributes:
        size: images in it.
        queued_seconds: of each of them, from its arrival to the beginning of the pass.
        seconds: that the pass took.
    """

    size: int
    queued_seconds: tuple[float, ...]
    seconds: float


def await_all(jobs: Sequence[Job], *, timeout_seconds: float) -> list[Logits]:
    """The logits of every job, in their order; those that nobody needs after a failure are cancelled.

    What still waits for its turn is dropped then; a batch that has begun is finished.

    Raises:
        Overloaded: they were not all there in time.
        ClientGone: the client of the call (`waiting.within`) has left.
        Exception: what the model raised for one of them.
    """
    until = time.monotonic() + timeout_seconds
    gone = waiting.client_gone()
    results = [job.result for job in jobs]
    try:
        while True:
            left = until - time.monotonic()
            glance = left if gone is None else min(left, GLANCE_SECONDS)
            done, pending = wait(results, timeout=max(0.0, glance), return_when=FIRST_EXCEPTION)
            for result in done:
                result.result()  # raises what went wrong
            if not pending:
                return [result.result() for result in results]
            if time.monotonic() >= until:
                raise late(timeout_seconds)
            if gone is not None and gone():
                raise waiting.ClientGone("The client has left.")
    finally:
        for result in results:
            result.cancel()


def late(timeout_seconds: float) -> Overloaded:
    """The refusal of what did not get its turn in time."""
    return Overloaded(f"The model did not answer within {timeout_seconds:.3g} s.", reason="deadline")


def closing() -> Overloaded:
    """The refusal of what comes or waits while the engine ends."""
    return Overloaded("The server is shutting down.", reason="closed")
