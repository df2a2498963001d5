"""When the model ran for a request: told by the engine to whoever asked it, on the thread that asked.

The engine knows nothing of requests, and the thread of a request nothing of the queue. `note` is called by the
first on the thread of the second, and is heard only where somebody listens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass through the model, alone or among others in a batch.

    Attributes:
        asked_at: when it was queued, in seconds of the monotonic clock.
        queued_seconds: until an inference thread took it.
        seconds: that the model then ran.
    """

    asked_at: float
    queued_seconds: float
    seconds: float


_LISTENING: ContextVar[list[Pass] | None] = ContextVar("catfish_passes", default=None)


@contextmanager
def collected() -> Iterator[list[Pass]]:
    """A list that holds, at the end of the block, the passes that were made in it by this thread."""
    made: list[Pass] = []
    token = _LISTENING.set(made)
    try:
        yield made
    finally:
        _LISTENING.reset(token)


def note(asked_at: float, *, taken_at: float, ended_at: float) -> None:
    """Tells the listener, if there is one, of a pass; times are of the monotonic clock."""
    made = _LISTENING.get()
    if made is not None:
        made.append(Pass(asked_at=asked_at, queued_seconds=taken_at - asked_at, seconds=ended_at - taken_at))
