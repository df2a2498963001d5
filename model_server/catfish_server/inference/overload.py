"""Saying no in time: the error that a caller gets instead of a place in a queue that is too long.

It imports no torch, so that the web server can be up before torch is.
"""

from catfish_server.errors import RequestError


class Overloaded(RequestError):
    """The server has more to do than it can finish in time.

    Attributes:
        retry_after_seconds: whole seconds after which another try makes sense; sent as `Retry-After`.
        reason: the label of the rejection in the metrics.
    """

    status = 503
    title = "Overloaded"

    def __init__(self, detail: str, *, reason: str, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
