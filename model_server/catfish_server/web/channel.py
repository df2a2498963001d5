"""One connection: waitress' channel with deadlines, polite closing, and an eye on the drain.

Threads: what is called from the loop (reading, writing, `maintain`) runs on the server's own thread,
`service` and the tasks on worker threads. `requests_lock` of waitress guards what both touch.
"""

import logging
import socket
import time
from http import HTTPStatus
from typing import Any

from waitress.channel import HTTPChannel
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error

from catfish_server.waiting import CLIENT_GONE
from catfish_server.web import exchange, problems
from catfish_server.web.parser import Crowded, Parser, RequestTimeout

logger = logging.getLogger(__name__)

SMALL_BODY_BYTES = 64 * 1024
"""Bodies up to this are taken in even where others have used up the memory for all."""

IDLE_SECONDS = 75.0
"""A connection without a request; longer than the 60 s of common load balancers, so that they close first."""

REPLY_SECONDS = 15.0
"""A client that does not take its reply."""

LINGER_SECONDS = 1.0
LINGER_BYTES = 32 * 1024 * 1024
"""After the last reply what still comes is read and dropped: closing a socket with unread bytes resets it,
and the reset overtakes the reply (RFC 9112, section 9.6)."""

QUEUED_SECONDS = "catfish.queued_seconds"
"""Key of the WSGI environment: how long the request has waited for a thread of the web server."""

_DETAILS = {
    400: "The request is not valid HTTP, or can be read in two ways.",
    408: "The request came too slowly.",
    413: "The body is larger than the limit.",
    431: "The header is larger than the limit.",
    500: "The server failed; its log knows the request by its id.",
    501: "The Transfer-Encoding is not supported.",
    503: "The bodies that are arriving already take all the memory there is for them.",
}


class _Told:
    """Says `Connection: close` in the replies of a server that drains, and tells the server of every reply."""

    def service(self) -> None:
        """Answers the request."""
        try:
            super().service()  # type: ignore[misc]  # of waitress' Task
        finally:
            if self.wrote_header:  # type: ignore[attr-defined]  # else there is another task, which answers 500
                self.channel.server.exchanged(exchange.entry(self))  # type: ignore[attr-defined]

    def build_response_header(self) -> bytes:
        channel = self.channel  # type: ignore[attr-defined]  # of waitress' Task
        if channel.server.draining and channel.has_nothing_more():
            self.set_close_on_finish()  # type: ignore[attr-defined]
        header: bytes = super().build_response_header()  # type: ignore[misc]
        return header


class Task(_Told, WSGITask):  # type: ignore[misc]  # waitress ships no types
    """A request for the application."""

    def get_environment(self) -> dict[str, object]:
        """The WSGI environment, with the time that the request has waited, and an eye on its client."""
        environment: dict[str, object] = super().get_environment()
        environment[QUEUED_SECONDS] = time.monotonic() - self.channel.queued_at
        environment[CLIENT_GONE] = self.channel.client_gone
        return environment


class Problem(_Told, ErrorTask):  # type: ignore[misc]  # waitress ships no types
    """The answer to a request that never reached the application."""

    def execute(self) -> None:
        """Writes the problem and lets the connection be closed."""
        status = int(self.request.error.code)
        phrase = HTTPStatus(status).phrase
        request_id = problems.request_id(None)
        detail = _DETAILS.get(status, f"{phrase}.")
        body = problems.body(status=status, title=phrase, detail=detail, request_id=request_id)
        logger.info("Request %s answered %d: %s", request_id, status, detail)
        self.channel.server.refused(status)
        self.status = f"{status} {phrase}"
        self.response_headers += [("Content-Type", problems.CONTENT_TYPE), ("X-Request-Id", request_id)]
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.response_headers.append(("Retry-After", "1"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(b"" if getattr(self.request, "command", None) == "HEAD" else body)


class Channel(HTTPChannel):  # type: ignore[misc]  # waitress ships no types
    """One connection of a client."""

    parser_class = Parser
    task_class = Task
    error_task_class = Problem
    request: Any = None  # the parser of the request that is arriving

    def __init__(self, *args: object, **kwargs: object) -> None:
        now = time.monotonic()
        self.queued_at = now
        self._arriving: object = None  # the request whose time runs since `_began`
        self._began = now
        self._body_noted = (0, now)  # bytes of the arriving body, at a time
        self._buffered = 0
        self._idle_since = now
        self._reply_moved = (0, now)
        self._linger_until: float | None = None
        self._lingered = 0
        super().__init__(*args, **kwargs)
        self.server.accepted_at = now

    def received(self, data: bytes) -> bool:
        """Takes in bytes, on the loop's thread."""
        taken: bool = super().received(data)
        if self.request is not self._arriving:
            self._arriving, self._began = self.request, time.monotonic()
            self._body_noted = (0, self._began)
        self.count_buffered()
        if (
            self.request is not None
            and self.request.buffered() > SMALL_BODY_BYTES
            and self.server.over_budget()
        ):
            self._give_up(Crowded("No memory for the body."))
        return taken

    def count_buffered(self) -> int:
        """Bytes that the bodies of this connection take now; the server is told."""
        held = [*self.requests, self.request] if self.connected else []
        buffered: int = sum(request.buffered() for request in held if request is not None)
        self.server.buffered += buffered - self._buffered
        self._buffered = buffered
        return buffered

    def handle_close(self) -> None:
        """Closes the connection, on the loop's thread."""
        super().handle_close()
        self.count_buffered()

    def service(self) -> None:
        """Answers one request, on a worker's thread."""
        super().service()
        # The next request could not be read meanwhile, so its time begins now as well.
        self._idle_since = self._began = time.monotonic()

    def client_gone(self) -> bool:
        """Whether the client has closed the connection, as far as the kernel knows; from any thread."""
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"")
        except BlockingIOError:
            return False
        except (OSError, AttributeError):  # reset by the client, or closed here
            return True

    def in_flight(self) -> bool:
        """Whether closing now would lose a request or a reply."""
        return bool(self.requests or self.request is not None or self.total_outbufs_len or self._has_unread())

    def has_nothing_more(self) -> bool:
        """Whether the request being answered is the last that the client has sent."""
        return len(self.requests) <= 1 and self.request is None and not self._has_unread()

    def close_if_idle(self) -> None:
        """Closes a connection on which nothing happens."""
        if not self.in_flight() and self._linger_until is None:
            self.handle_close()

    def asks_nothing_since(self) -> float | None:
        """Since when a complete head has been awaited here, None when there is something to lose by closing."""
        if self.requests or self.total_outbufs_len or self._linger_until is not None:
            return None
        if self.request is not None:
            return None if self.request.headers_finished else self._began
        return None if self._has_unread() else self._idle_since

    def maintain(self, now: float) -> None:
        """Holds the deadlines; called about once a second on the loop's thread."""
        if self._linger_until is not None:
            if now > self._linger_until:
                self.handle_close()
        elif self.requests:
            return  # the application's time
        elif self.total_outbufs_len:
            self._watch_reply(now)
        elif self.request is not None:
            self._watch_request(now)
        elif now - self._idle_since > IDLE_SECONDS:
            self.close_if_idle()

    def _watch_reply(self, now: float) -> None:
        # Closed at once: `will_close` waits for room to write, which a client that reads nothing never makes.
        if self._reply_moved[0] != self.total_outbufs_len:
            self._reply_moved = (self.total_outbufs_len, now)
        elif now - self._reply_moved[1] > REPLY_SECONDS:
            self.handle_close()

    def _watch_request(self, now: float) -> None:
        request, seconds, limits = self.request, now - self._began, self.server.limits
        if request.headers_finished:
            bought = request.body_bytes_received / limits.body_bytes_per_second
            late = seconds > limits.body_seconds + bought or self._body_stalls(now)
        else:
            late = seconds > limits.header_seconds
        if late:
            self._give_up(RequestTimeout("The request came too slowly."))

    def _body_stalls(self, now: float) -> bool:
        received, (before, since) = self.request.body_bytes_received, self._body_noted
        if now - since <= self.server.limits.body_seconds:
            return False
        self._body_noted = (received, now)
        return bool(received - before < self.server.limits.least_body_bytes_per_second * (now - since))

    def _give_up(self, error: Error) -> None:
        """Ends the request that is arriving; its answer is written like any other."""
        with self.requests_lock:
            self.request.give_up(error)
            self.requests.append(self.request)
            self.request = None
            if len(self.requests) == 1:  # else `service` goes on with it after those before
                self.server.add_task(self)
        self.count_buffered()

    def readable(self) -> bool:
        """Whether the loop should wait for bytes from the client."""
        return self._linger_until is not None or super().readable()

    def writable(self) -> bool:
        """Whether the loop should wait for room to write."""
        if self._linger_until is not None and not self.will_close:
            return False
        return bool(super().writable())

    def handle_read(self) -> None:
        """Reads from the client, on the loop's thread."""
        if self._linger_until is None:
            super().handle_read()
            return
        try:
            data = self.recv(self.adj.recv_bytes)
        except OSError:
            self.handle_close()
            return
        self._lingered += len(data)
        if not data or self._lingered > LINGER_BYTES:
            self.will_close = True

    def handle_write(self) -> None:
        """Writes what is due; instead of closing at once, ends its own half first."""
        if self.close_when_flushed and not self.requests and self._linger_until is None:
            self._flush_exception(self._flush_some)
            if not self.connected:  # the client is gone, and `send` has closed the channel
                return
            if not self.total_outbufs_len and not self.will_close:
                self._linger()
                return
        super().handle_write()

    def _linger(self) -> None:
        self.close_when_flushed = False
        self._linger_until = time.monotonic() + LINGER_SECONDS
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.will_close = True

    def _has_unread(self) -> bool:
        """Whether bytes from the client wait in the kernel."""
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except (OSError, AttributeError):  # nothing there, or closed meanwhile
            return False
