"""The one message of a call by gRPC: how long it is waited for, and why it never came."""

import threading
from collections.abc import Iterator

import grpc

from catfish_server import waiting
from catfish_server.errors import RequestError

_CLOCKS_APART_SECONDS = 0.05
"""Before a deadline, in which gRPC may have cancelled the call for it already: it goes by another clock."""


class NeverCame(RequestError):
    """The caller did not send its message in time."""

    status = 408
    title = "Request Timeout"


class MessageTooLarge(RequestError):
    """gRPC took no message: it is larger than the limit, compressed or not, or cannot be decompressed."""

    status = 413
    title = "The message is too large"


def first(sent: Iterator[bytes], context: grpc.ServicerContext, *, seconds: float) -> bytes:
    """The message of a call, in so many seconds. When its client's deadline is over, gRPC itself ends the call.

    Raises:
        NeverCame: it did not come in time.
        NoTimeGiven: the client's deadline passed before it had come.
        MessageTooLarge: gRPC refused it, and has told the client so: RESOURCE_EXHAUSTED.
        ClientGone: the client has left, or has ended the call without one. gRPC tells one for the other now and then.
    """
    late = threading.Event()

    def give_up() -> None:
        late.set()
        context.cancel()

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        return next(sent)
    except (StopIteration, grpc.RpcError) as error:
        left = context.time_remaining()
        if left is not None and left <= _CLOCKS_APART_SECONDS:
            raise waiting.NoTimeGiven("The deadline passed before the message had come.") from error
        if late.is_set():
            raise NeverCame(f"The message did not come within {seconds:g} s.") from error
        # gRPC says nowhere why it ended a call (https://github.com/grpc/grpc/issues/27996), but takes the peer's name
        # from one that it cancels itself: core's FilterStackCall::CancelWithError.
        if not context.peer():
            raise MessageTooLarge("The message is larger than the limit.") from error
        raise waiting.ClientGone("The client ended the call before its message had come.") from error
    finally:
        timer.cancel()
