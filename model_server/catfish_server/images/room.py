"""Memory for decoded images, shared by all threads that decode."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from catfish_server import waiting
from catfish_server.errors import Overloaded

PIXELS = 50_000_000
"""Two images of the largest size. Pillow holds 4 bytes a pixel, twice while it converts: 400 MiB at most. A JPEG of
several scans takes 8 bytes a pixel at most for its coefficients."""

PATIENCE_SECONDS = 2.0


class Room:
    """Pixels that may be decoded at the same time, in all threads together.

    The limit of one image says nothing about the memory of a server that decodes on dozens of threads.

    Args:
        pixels: in all.
        patience_seconds: how long a thread waits for the others to make room; less where less is left of its call.
    """

    def __init__(self, pixels: int, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._pixels = pixels
        self._patience_seconds = patience_seconds
        self._changed = threading.Condition()
        self.taken = 0

    @contextmanager
    def held(self, pixels: int) -> Iterator[None]:
        """Takes room for one image; one that is larger than the room is decoded alone.

        Raises:
            Overloaded: there was none in time.
        """
        pixels = min(pixels, self._pixels)
        patience = waiting.left(self._patience_seconds)
        with self._changed:
            if not self._changed.wait_for(lambda: self.taken + pixels <= self._pixels, patience):
                raise Overloaded("Too many large images are being decoded already.", reason="decoding")
            self.taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self.taken -= pixels
                self._changed.notify_all()
