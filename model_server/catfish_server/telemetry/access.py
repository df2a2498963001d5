"""The access log: one JSON object a line for every request that was answered, also by refusing it.

What is in a line is a choice of what is harmless: no bodies, no queries (an image's address stands there), no
headers but the request's id, and no path that could be an address. Lines go through a bounded queue to a thread:
whoever reads them slowly, or not at all, costs lines and never a request.
"""

import json
import logging
import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO

from catfish_server.telemetry import output

logger = logging.getLogger(__name__)

QUEUE_LENGTH = 4096
CLOSE_SECONDS = 2.0
"""For the last lines when the server leaves."""

_HARMLESS_PATH = re.compile(r"/(?:[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+){0,15}/?)?")
_MAX_PATH = 128
OTHER_PATH = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request and its answer.

    Attributes:
        method: of HTTP; None where the request was refused before it could be read.
        path: without the query; None as above.
        status: of HTTP, or of gRPC where `protocol` says so.
        bytes_in: of the body, as it came over the wire.
        bytes_out: of the body of the answer.
        seconds: from its last byte being here to its answer being written.
        request_id: as in `X-Request-Id`.
        protocol: `HTTP/1.1`, `HTTP/1.0` or `grpc`.
    """

    method: str | None
    path: str | None
    status: int
    bytes_in: int
    bytes_out: int
    seconds: float
    request_id: str
    protocol: str


class AccessLog:
    """Writes entries as lines.

    Args:
        stream: where to; standard output in a container.
        revision: of the model; empty on a laptop.
        dropped: called for each line that found the queue full.
        clock: the time now in UTC.
    """

    def __init__(
        self,
        stream: IO[str],
        *,
        revision: str,
        dropped: Callable[[], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._stream = stream
        self._revision = revision
        self._dropped = dropped
        self._clock = clock
        self._lines: queue.Queue[str | None] = queue.Queue(QUEUE_LENGTH)
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    def write(self, entry: Entry) -> None:
        """Queues a line; returns at once."""
        try:
            self._lines.put_nowait(self._line(entry))
        except queue.Full:
            self._dropped()

    def close(self) -> None:
        """Writes what is queued, for `CLOSE_SECONDS` at most."""
        deadline = time.monotonic() + CLOSE_SECONDS
        try:
            self._lines.put(None, timeout=CLOSE_SECONDS)
        except queue.Full:
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _line(self, entry: Entry) -> str:
        told = {
            "log": "access",
            "time": self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "method": entry.method,
            "path": shown_path(entry.path),
            "status": entry.status,
            "bytes_in": entry.bytes_in,
            "bytes_out": entry.bytes_out,
            "ms": round(entry.seconds * 1000, 3),
            "request_id": entry.request_id,
            "revision": self._revision,
            "protocol": entry.protocol,
        }
        return json.dumps(told) + "\n"

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                with output.whole_lines:
                    self._stream.write(line)
                    self._stream.flush()
            except (OSError, ValueError) as error:  # the reader is gone, or the stream is closed
                logger.warning("The access log ends: %s.", type(error).__name__)
                return


def shown_path(path: str | None) -> str | None:
    """The path if it cannot be more than one, else `other`: people put addresses and credentials anywhere."""
    if path is None or (len(path) <= _MAX_PATH and _HARMLESS_PATH.fullmatch(path)):
        return path
    return OTHER_PATH
