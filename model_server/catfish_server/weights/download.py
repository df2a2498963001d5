"""A download that survives a bad network: resumed where it was cut, checked, with flat memory."""

import errno
import hashlib
import http.client
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from catfish_server.weights import transport
from catfish_server.weights.pace import Pace
from catfish_server.weights.transport import Busy, Interrupted

logger = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How patient a download is.

    Attributes:
        tries: in a row that may fail; one that brought `progress_bytes` starts the count anew.
        busy_tries: that may be answered with "come again later" in a row, counted apart from those.
        stall_seconds: after which a try has failed that has brought nothing, or less than `least_bytes`.
        least_bytes: in each of those times: 64 KiB in 20 s, at which 100 MB would take eight hours.
        backoff_seconds: before the second try, doubled before each further one.
        wait_seconds: before a try at most, also where the server asks for more.
        progress_bytes: new bytes that make a failed try count as progress.
    """

    tries: int = 3
    busy_tries: int = 8
    stall_seconds: float = 20.0
    least_bytes: int = 64 * 1024
    backoff_seconds: float = 1.0
    wait_seconds: float = 20.0
    progress_bytes: int = 1024 * 1024


class Download:
    """The bytes of one URL on their way into one file.

    Args:
        sink: an empty file, open for writing; left at the end of what was written.
        url: gives the address anew for each try, since a signed one expires.
        progress: told the bytes that have arrived and those there will be, None when the server does not say.
        free_bytes: how much room is left for the file.
        limits: see `Limits`.
    """

    def __init__(
        self,
        sink: BinaryIO,
        *,
        url: Callable[[], str],
        progress: Callable[[int, int | None], None],
        free_bytes: Callable[[], int],
        limits: Limits,
    ) -> None:
        self._sink = sink
        self._url = url
        self._progress = progress
        self._free_bytes = free_bytes
        self._limits = limits
        self._digest = hashlib.sha256()
        self._done = 0
        self._total: int | None = None
        self._validator: str | None = None

    def run(self) -> str:
        """Fetches all of it.

        Returns:
            The sha256 of the bytes in the file, as hexadecimal digits.

        Raises:
            Interrupted: the last try failed too, or was answered with "come again later"; the text says how.
            Refused: the server does not hand it out.
            OSError: the file cannot be written; ENOSPC also before, when there is no room for all of it.
        """
        failed, busy, furthest = 0, 0, 0
        while True:
            try:
                self._attempt()
            except Interrupted as interrupted:
                # Progress is measured against the furthest point ever reached: a server that always starts
                # over and always cuts does not keep us here for ever.
                if self._done >= furthest + self._limits.progress_bytes:
                    failed, busy = 0, 0
                furthest = max(furthest, self._done)
                if isinstance(interrupted, Busy):
                    busy += 1
                    self._wait(interrupted, number=busy, tries=self._limits.busy_tries)
                else:
                    failed += 1
                    self._wait(interrupted, number=failed, tries=self._limits.tries)
            else:
                return self._digest.hexdigest()

    def _wait(self, interrupted: Interrupted, *, number: int, tries: int) -> None:
        """Waits before the next try; raises what ended this one where it was the last."""
        if number >= tries:
            raise interrupted
        asked = interrupted.after_seconds if isinstance(interrupted, Busy) else 0.0
        seconds = min(max(self._limits.backoff_seconds * 2 ** (number - 1), asked), self._limits.wait_seconds)
        logger.warning("The download %s; the next try is in %.1f s.", interrupted, seconds)
        time.sleep(seconds)

    def _attempt(self) -> None:
        """One request: resumes where the last one stopped if the server still has the same file."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "catfish-server"}
        if self._done and self._validator:
            headers |= {"Range": f"bytes={self._done}-", "If-Range": self._validator}
        else:
            self._start_over()
        pace = Pace(seconds=self._limits.stall_seconds, least_bytes=self._limits.least_bytes)
        response = transport.get(self._url(), headers=headers, pace=pace)
        with response:
            self._accept(response)
            self._copy(response)
        if self._total is not None and self._done != self._total:
            raise Interrupted(f"was cut off after {self._done} of {self._total} bytes")

    def _accept(self, response: http.client.HTTPResponse) -> None:
        """Sets position, size and validator from the head of the answer."""
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            span = re.fullmatch(
                r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", response.headers.get("Content-Range", "")
            )
            if not span or int(span[1]) != self._done or self._total not in {None, int(span[2])}:
                self._start_over()
                raise Interrupted("failed: the server sent another range than it was asked for")
            self._total = int(span[2])
            return
        self._start_over()
        # http.client has parsed the length, and has None for a chunked body, whose end it checks itself.
        self._total = response.length
        etag = response.headers.get("ETag", "")
        # A weak ETag may stay the same for other bytes and is not allowed in If-Range (RFC 9110, 13.1.5).
        self._validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
        if self._total is not None and self._total > self._free_bytes():
            raise OSError(errno.ENOSPC, f"needs {self._total} bytes")

    def _copy(self, response: http.client.HTTPResponse) -> None:
        self._progress(self._done, self._total)
        while True:
            try:
                chunk = response.read1(CHUNK_BYTES)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise Interrupted(transport.describe(error)) from error
            if not chunk:
                return
            self._sink.write(chunk)
            self._digest.update(chunk)
            self._done += len(chunk)
            self._progress(self._done, self._total)

    def _start_over(self) -> None:
        self._sink.seek(0)
        self._sink.truncate()
        self._digest = hashlib.sha256()
        self._done, self._total, self._validator = 0, None, None
