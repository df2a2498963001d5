"""Memory for images of one kind, decoded or preprocessed, shared by all threads that hold some."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from catfish_server import waiting
from catfish_server.errors import Overloaded

DECODING_BYTES = 400 * 1024 * 1024
"""Two images of 25 million pixels, or one that is a WebP or a JPEG of several scans (`memory`)."""

PATIENCE_SECONDS = 2.0


class Room:
    """What may be held at the same time, in all threads together: bytes, or whole images.

    The limit of one call says nothing about the memory of a server that answers on dozens of threads.

    Args:
        size: of all of it.
        kept_for_ones: of it, which only what has the size 1 may take.
        patience_seconds: how long a thread waits for the others to make room; less where less is left of its call.
        full: the sentence that a call without room is told.
        reason: of such a rejection, for the metrics.
    """

    def __init__(
        self,
        size: int,
        *,
        kept_for_ones: int = 0,
        patience_seconds: float = PATIENCE_SECONDS,
        full: str = "Too many large images are being decoded already.",
        reason: str = "decoding",
    ) -> None:
        self._size = size
        self._kept_for_ones = kept_for_ones
        self._patience_seconds = patience_seconds
        self._full, self._reason = full, reason
        self._changed = threading.Condition()
        self.taken = 0
        self._taken_by_ones = 0

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        """Takes room of a size; what is larger than all of it is let in alone.

        Raises:
            Overloaded: there was none in time.
            ClientGone: the client has left while its call waited for the room (`waiting.within`).
        """
        size = min(size, max(1, self._size - self._kept_for_ones))
        patience = waiting.left(self._patience_seconds)
        with self._changed:
            if not self._has(size):
                there = self._changed.wait_for(lambda: self._has(size), patience)
                waiting.require_client()
                if not there:
                    raise Overloaded(self._full, reason=self._reason)
            self._take(size)
        try:
            yield
        finally:
            with self._changed:
                self._take(size, times=-1)
                self._changed.notify_all()

    def _has(self, size: int) -> bool:
        """Whether there is room of a size now, beside what is kept for those of size 1 and not theirs yet."""
        kept = 0 if size == 1 else max(0, self._kept_for_ones - self._taken_by_ones)
        return self.taken + size + kept <= self._size

    def _take(self, size: int, *, times: int = 1) -> None:
        self.taken += times * size
        self._taken_by_ones += times * (size == 1)


DECODED = Room(DECODING_BYTES)
"""For this process's images, while they are decoded and while they are resized."""
