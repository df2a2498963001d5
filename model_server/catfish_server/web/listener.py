"""A port with waitress behind it, one turn of its loop at a time.

What waitress does not do by itself is set here or in `web.channel`: see docs/server-api.md, "Limits".
"""

import logging
import select
import threading
import time
from collections.abc import Callable
from math import ceil, inf
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from catfish_server.telemetry.access import Entry
from catfish_server.web import backlog
from catfish_server.web.channel import Channel
from catfish_server.web.limits import Limits

RECV_BYTES = 256 * 1024
"""Read at once; with waitress' own 8 KiB a photograph takes dozens of turns of the loop."""

MAX_BUFFERED_BYTES = 128 * 1024 * 1024
"""Bodies of all connections together, those that are arriving and those that wait to be answered."""

_DEADLINES_EVERY_SECONDS = 0.5
_BACKLOG = 1024

# A line for each request that waits for a thread; the metrics count them instead.
logging.getLogger("waitress.queue").setLevel(logging.ERROR)


class Listener(TcpWSGIServer):  # type: ignore[misc]  # waitress ships no types
    """Accepts connections and answers their requests with a WSGI application.

    Only one thread may call its methods, the one that calls `turn`; `wake` alone is for every thread.

    Args:
        application: a WSGI callable.
        host: an address to bind to, or a name.
        port: 0 chooses a free one.
        threads: that run the application.
        limits: on what its clients may send, and on how long they may take.
        refused: called with the status of each request that never reached the application.
        exchanged: called with each request that got an answer, these as well.
    """

    channel_class = Channel

    def __init__(
        self,
        application: Callable[..., Any],
        *,
        host: str,
        port: int,
        threads: int,
        limits: Limits,
        refused: Callable[[int], None],
        exchanged: Callable[[Entry], None] = lambda _: None,
    ) -> None:
        self.draining = False
        self.accepted_at = -inf
        """When the last connection was taken, by the monotonic clock."""
        self.limits = limits
        self._open = True
        self._waking = threading.RLock()  # a signal handler may interrupt the thread that holds it
        self.refused = refused
        self.exchanged = exchanged
        self.buffered = 0  # bytes of all bodies, by what each channel has said last
        self._deadlines_at = 0.0
        adjustments = Adjustments(
            listen=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            ipv6=":" in host,
            threads=threads,
            backlog=_BACKLOG,
            connection_limit=limits.connections,
            max_request_body_size=limits.body_bytes + 1,  # waitress refuses from this length on
            max_request_header_size=limits.header_bytes,
            recv_bytes=RECV_BYTES,
            inbuf_overflow=limits.body_bytes + RECV_BYTES,  # bodies stay in memory instead of a file
            ident="",
            log_socket_errors=False,
            clear_untrusted_proxy_headers=True,
        )
        dispatcher = ThreadedTaskDispatcher()
        super().__init__(
            application, map={}, dispatcher=dispatcher, adj=adjustments, sockinfo=adjustments.listen[0]
        )
        dispatcher.set_thread_count(threads)

    @property
    def port(self) -> int:
        """The port that it is bound to."""
        return int(self.effective_port)

    def turn(self, timeout_seconds: float) -> None:
        """Waits for something to happen on any connection, and handles it.

        poll instead of waitress' default of select, which fails for descriptors above 1,024.
        """
        if len(self._map) >= self.adj.connection_limit:
            self._make_room()
        wasyncore.poll2(timeout_seconds, self._map)
        now = time.monotonic()
        if now >= self._deadlines_at:
            self._deadlines_at = now + _DEADLINES_EVERY_SECONDS
            for channel in self.channels():
                channel.maintain(now)

    def over_budget(self) -> bool:
        """Whether the bodies take more memory than they may in all."""
        if self.buffered > MAX_BUFFERED_BYTES:
            # Answers on other threads may have freed some since.
            self.buffered = sum([channel.count_buffered() for channel in self.channels()])
        return self.buffered > MAX_BUFFERED_BYTES

    def wake(self) -> None:
        """Ends the wait of `turn`; safe in a signal handler and in other threads, and after the end."""
        self.pull_trigger()

    def pull_trigger(self) -> None:
        """As waitress does after each answer; not after `close`, when its descriptor may be another file's already."""
        with self._waking:
            if self._open:
                super().pull_trigger()

    def channels(self) -> list[Channel]:
        """The open connections."""
        return list(self.active_channels.values())

    def _make_room(self) -> None:
        """Closes the connections that have asked nothing for longest: a request may be waiting behind them."""
        ages = [(since, channel) for channel in self.channels() if (since := channel.asks_nothing_since())]
        ages.sort(key=lambda pair: pair[0])
        for _, channel in ages[: ceil(len(ages) / 4)]:
            channel.handle_close()

    def begin_no_handshake(self) -> None:
        """Keeps new connections from beginning, while those that have begun are still accepted."""
        backlog.begin_no_handshake(self.socket)

    def stop_accepting(self) -> None:
        """Takes what the system has accepted, and closes the port: the backlog of a closed port is reset."""
        # Out of descriptors nothing is accepted, and what waits stays there: the number of tries is bounded.
        for _ in range(_BACKLOG):
            if self.socket is None or not select.select([self.socket], [], [], 0)[0]:
                break
            self.handle_accept()
        wasyncore.dispatcher.close(self)

    def add_task(self, task: Channel) -> None:
        """Queues the next request of a connection for a thread."""
        task.queued_at = time.monotonic()  # before a thread can take it
        super().add_task(task)

    def maintenance(self, now: float) -> None:
        """Nothing: waitress would close by inactivity alone, `turn` holds the deadlines."""

    def close(self) -> None:
        """Ends the threads and closes everything, whatever is in flight."""
        self.task_dispatcher.shutdown(timeout=1)
        for channel in self.channels():
            channel.handle_close()
        wasyncore.dispatcher.close(self)
        with self._waking:
            self._open = False
        self.trigger.close()
