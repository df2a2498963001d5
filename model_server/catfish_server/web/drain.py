"""Going away without losing a request: the order of things after SIGTERM.

Kubernetes sends SIGTERM and takes the pod out of its Services at the same time, so requests
keep coming for a while:
1. for the drain's seconds everything is answered, each reply with `Connection: close`; and for longer, up to a limit,
   while new connections come: whoever opens one has not been told yet that this pod leaves. That is a second as a
   rule, and up to a minute after the API server was away, for kube-proxy and the controllers then try again with a
   back-off of 30 s that jitter doubles (`k8s.io/client-go/tools/cache`, `NewReflectorWithOptions`);
2. then no new connection may begin, those that have begun are accepted, and the port is closed, idle
   connections with it; what is in flight is finished;
3. after the longest time that a request may take, which the server's settings say, whatever is left is cut.
"""

import logging
from enum import Enum, auto

from catfish_server.web.listener import Listener

logger = logging.getLogger(__name__)

_HANDSHAKE_SECONDS = 0.1
"""For handshakes that have begun; within a cluster they take a millisecond."""

QUIET_SECONDS = 2.0
"""Without a new connection, after which nobody sends any more; a Service with little traffic is not told apart."""

_TURN_SECONDS = 1.0
_SHORT_TURN_SECONDS = 0.02


class _Phase(Enum):
    SERVING = auto()
    ANSWERING = auto()
    CLOSING = auto()
    FINISHING = auto()
    DONE = auto()


class Drain:
    """The phases of one listener, stepped by the thread that turns it.

    Args:
        listener: what is drained.
        finish_seconds: how long requests in flight may take after the port is closed.
    """

    def __init__(self, listener: Listener, *, finish_seconds: float) -> None:
        self._listener = listener
        self._finish_seconds = finish_seconds
        self._phase = _Phase.SERVING
        self._until = self._limit = 0.0

    @property
    def done(self) -> bool:
        """Whether there is nothing left to answer."""
        return self._phase is _Phase.DONE

    @property
    def closing(self) -> bool:
        """Whether no new connection may begin any more."""
        return self._phase not in {_Phase.SERVING, _Phase.ANSWERING}

    def begin(self, now: float, *, seconds: float, limit_seconds: float = 0.0) -> None:
        """Starts to go away; later calls change nothing.

        Args:
            now: of the monotonic clock.
            seconds: how long new requests are answered.
            limit_seconds: how long at most while new connections come; less than `seconds` is no limit of its own.
        """
        if self._phase is _Phase.SERVING:
            self._phase, self._until = _Phase.ANSWERING, now + seconds
            self._limit = max(self._until, now + limit_seconds)
            self._listener.draining = True

    def step(self, now: float) -> None:
        """Does what is due at this time of the monotonic clock."""
        if self._phase is _Phase.ANSWERING and now >= self._until:
            self._until = min(self._limit, self._listener.accepted_at + QUIET_SECONDS)
        if self._phase is _Phase.ANSWERING and now >= self._until:
            self._listener.begin_no_handshake()
            self._phase, self._until = _Phase.CLOSING, now + _HANDSHAKE_SECONDS
        if self._phase is _Phase.CLOSING and now >= self._until:
            self._listener.stop_accepting()
            self._phase, self._until = _Phase.FINISHING, now + self._finish_seconds
        if self._phase is _Phase.FINISHING:
            for channel in self._listener.channels():
                channel.close_if_idle()
            left = len(self._listener.channels())
            if left and now >= self._until:
                logger.warning("%d connections are cut after %.0f s of waiting.", left, self._finish_seconds)
            if not left or now >= self._until:
                self._phase = _Phase.DONE

    def turn_seconds(self, now: float) -> float:
        """How long the listener may wait before the next step."""
        if self._phase is _Phase.SERVING:
            return _TURN_SECONDS
        if self._phase is _Phase.ANSWERING:
            return min(_TURN_SECONDS, max(0.0, self._until - now))
        return _SHORT_TURN_SECONDS
