"""A socket for http.client that obeys one deadline over all its reads and writes.

A socket's own timeout starts anew with every byte that arrives; http.client reads through `makefile`.
"""

import io
import socket
import time
from types import TracebackType
from typing import Self


def left(deadline: float) -> float:
    """Seconds until a time of the monotonic clock.

    Raises:
        TimeoutError: it has passed.
    """
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline has passed")
    return seconds


class DeadlineSocket:
    """The part of a socket that http.client uses."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        """Sends all of it, or raises TimeoutError."""
        self._connection.settimeout(left(self._deadline))
        self._connection.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """A reader over the socket; `mode` is always `rb`."""
        assert mode == "rb"  # noqa: S101 (http.client asks for nothing else)
        return io.BufferedReader(_Reader(self._connection, self._deadline))

    def close(self) -> None:
        """Nothing: http.client closes its socket early, while the response is still being read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()


class _Reader(io.RawIOBase):
    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]  # for any buffer
        self._connection.settimeout(left(self._deadline))
        return self._connection.recv_into(buffer)
