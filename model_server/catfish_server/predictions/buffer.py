"""Records that wait for the sink: bounded by their number and by their bytes, safe to use from every thread."""

import threading
import time
from collections import deque
from dataclasses import dataclass

from catfish_server.predictions.record import Record

CLOSING_PAUSE_SECONDS = 0.2
"""Between tries while the server waits for the log to be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is given to a sink at a time.

    Attributes:
        records: at most; a single larger record goes alone.
        size: about how many bytes at most.
        linger_seconds: how long the first record of a batch waits for more.
    """

    records: int
    size: int
    linger_seconds: float


class Buffer:
    """A queue that refuses what it has no room for; what was taken keeps its room until it is `done`.

    A record that is larger than all of the room is taken where nothing else is held.

    Args:
        max_records: that wait or are being delivered.
        max_bytes: of them, about.
        limits: of what is taken at a time.
    """

    def __init__(self, *, max_records: int, max_bytes: int, limits: Limits) -> None:
        self._max_records, self._max_bytes, self._limits = max_records, max_bytes, limits
        self._waiting: deque[tuple[Record, int]] = deque()
        self._waiting_bytes = 0
        self._records = self._bytes = 0  # those being delivered too
        self._closing = self._abandoned = False
        self._changed = threading.Condition()

    def held(self) -> tuple[int, int]:
        """How many records have not been delivered yet, and about how many bytes they take."""
        return self._records, self._bytes

    def put(self, record: Record) -> str | None:
        """Adds a record, in constant time and without waiting; else says what there is too much of."""
        size = record.size
        with self._changed:
            if self._closing:
                return "closed"
            if self._records >= self._max_records:
                return "records"
            if self._records and self._bytes + size > self._max_bytes:
                return "bytes"
            self._waiting.append((record, size))
            self._waiting_bytes += size
            self._records += 1
            self._bytes += size
            if len(self._waiting) == 1 or self._full():
                self._changed.notify()
        return None

    def take(self) -> list[Record]:
        """The next batch; waits for one, and is empty once the buffer is closed and nothing waits any more."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            until = time.monotonic() + self._limits.linger_seconds
            while self._waiting and not self._full() and not self._closing:
                if (left := until - time.monotonic()) <= 0:
                    break
                self._changed.wait(left)
            batch: list[Record] = []
            taken = 0
            while self._waiting and len(batch) < self._limits.records:
                record, size = self._waiting[0]
                if batch and taken + size > self._limits.size:
                    break
                self._waiting.popleft()
                batch.append(record)
                taken += size
            self._waiting_bytes -= taken
            return batch

    def done(self, batch: list[Record]) -> bool:
        """Gives up the room of what was taken; False where it has been given up on already."""
        with self._changed:
            if self._abandoned:
                return False
            self._records -= len(batch)
            self._bytes -= sum(record.size for record in batch)
            return True

    def close(self) -> None:
        """Takes no more; what waits can still be taken."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def abandon(self) -> int:
        """Gives up on what is left; returns how many records that are."""
        with self._changed:
            self._closing = self._abandoned = True
            left = self._records
            self._waiting.clear()
            self._records = self._bytes = self._waiting_bytes = 0
            self._changed.notify_all()
            return left

    def pause(self, seconds: float) -> bool:
        """Waits; returns early, with False, once the buffer is abandoned. A buffer being closed waits briefly."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._abandoned and not self._closing and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._closing and not self._abandoned:
                self._changed.wait(CLOSING_PAUSE_SECONDS)
            return not self._abandoned

    def _full(self) -> bool:
        return len(self._waiting) >= self._limits.records or self._waiting_bytes >= self._limits.size
