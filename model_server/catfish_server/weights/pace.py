"""A least rate for what a server sends: the difference between slow and stuck."""

import functools
import http.client
import io
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_Connection = http.client.HTTPConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What counts as going on.

    Attributes:
        seconds: of waiting, each of which has to bring `least_bytes`; also the most that one read may take.
        least_bytes: in each of those times, from the first byte of an answer on.
    """

    seconds: float
    least_bytes: int


class TooSlow(TimeoutError):
    """Bytes come, and too few of them."""


class _Paced(io.RawIOBase):
    """The bytes of a connection, head and body of an answer alike.

    A server that sends a byte now and then lets no single read run out of time, and would keep us here for ever.
    Only the time that is spent waiting counts: a disk that is slow to take what came is no fault of the server's.
    """

    def __init__(self, connection: io.RawIOBase, pace: Pace) -> None:
        self._connection = connection
        self._pace = pace
        self._begun = False
        self._waited = 0.0
        self._came = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int | None:
        since = time.monotonic()
        count = self._connection.readinto(buffer)
        if self._begun:
            self._waited += time.monotonic() - since
        self._begun = True
        self._came += count or 0
        if count and self._waited >= self._pace.seconds:
            if self._came < self._pace.least_bytes:
                raise TooSlow
            self._waited, self._came = 0.0, 0
        return count

    def close(self) -> None:
        self._connection.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer that has to keep up a pace."""

    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
        *,
        pace: Pace,
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp = io.BufferedReader(_Paced(self.fp.detach(), pace))


class Handler(urllib.request.AbstractHTTPHandler):
    """Opens http and https for urllib, with a pace for every answer."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """What urllib calls for http."""
        return self.do_open(self._made(http.client.HTTPConnection), request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """What urllib calls for https."""
        made = self._made(http.client.HTTPSConnection)
        return self.do_open(made, request, context=ssl.create_default_context())

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def _made(self, kind: Callable[..., _Connection]) -> Callable[..., _Connection]:
        def connection(host: str, **options: object) -> _Connection:
            made = kind(host, **options)
            made.response_class = functools.partial(_Response, pace=self._pace)  # type: ignore[assignment]  # it makes one
            return made

        return connection
