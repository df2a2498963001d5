"""How long a call may wait for anything, and whether its client still waits for the answer.

A protocol wraps its work on a call in `within`; whatever waits on that thread takes its seconds from `left`. So all
waits of a call together, each of which has a limit of its own, end with one deadline that counts from its arrival.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf

from catfish_server.errors import Overloaded, RequestError

CLIENT_GONE = "catfish.client_gone"
"""Key of the WSGI environment: a function for `Call.gone`."""


class ClientGone(RequestError):
    """Nobody waits for the answer any more; the status is nginx's for that, and reaches only logs and metrics."""

    status = 499
    title = "Client closed request"


class NoTimeGiven(ClientGone):
    """The deadline that the client itself has set is over, or comes before there can be an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, as far as waiting goes.

    Attributes:
        arrived: when it was here, on the monotonic clock.
        seconds: that the server gives it from then on.
        client_seconds: that its client gives it from then on.
        gone: whether the client has left; quick, asked some times a second on the call's thread. None: nobody can
            tell.
    """

    arrived: float
    seconds: float
    client_seconds: float = inf
    gone: Callable[[], bool] | None = None

    def left(self) -> float:
        """Seconds until nobody waits for it; negative once it is over."""
        return self.arrived + min(self.seconds, self.client_seconds) - time.monotonic()


_current: ContextVar[Call | None] = ContextVar("call", default=None)


@contextmanager
def within(call: Call) -> Iterator[None]:
    """Lets what waits in this block end with the call's time, or once its client has left.

    Raises:
        NoTimeGiven: something had no time left, or would not have had enough, and it was the client who gave no
            more: no fault of the server.
    """
    token = _current.set(call)
    try:
        yield
    except Overloaded as error:
        # What can tell before the end that the time is too short refuses at once, for "deadline" as well.
        if call.client_seconds < call.seconds and (call.left() <= 0 or error.reason == "deadline"):
            raise NoTimeGiven("The client's deadline comes before the answer.") from error
        raise
    finally:
        _current.reset(token)


def left(longest: float) -> float:
    """Seconds that a wait may take: `longest`, or what is left of the call that it is for.

    Raises:
        Overloaded: nothing is left.
    """
    call = _current.get()
    if call is None:  # a warm-up, or a golden image
        return longest
    seconds = call.left()
    if seconds <= 0:
        raise Overloaded(f"The call was not answered within {call.seconds:g} s.", reason="deadline")
    return min(longest, seconds)


def client_gone() -> Callable[[], bool] | None:
    """Whether the client of the call has left; None where nobody can tell."""
    call = _current.get()
    return call.gone if call else None


def require_client() -> None:
    """Checks that the client of the call is still there, as far as anybody can tell: to be asked after a wait.

    Raises:
        ClientGone: it has left.
    """
    gone = client_gone()
    if gone is not None and gone():
        raise ClientGone("The client has left.")
