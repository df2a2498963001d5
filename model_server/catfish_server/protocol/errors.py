"""What a request of the Open Inference Protocol can be refused for, beside what every request can."""

from catfish_server.errors import RequestError


class BadInference(RequestError):
    """The request is not one of the protocol, or not one for this model."""

    status = 400
    title = "Bad Request"


class NotHere(RequestError):
    """The server has no such model, or no such version of it."""

    status = 404
    title = "Not Found"


class UnsupportedEncoding(RequestError):
    """The body is compressed."""

    status = 415
    title = "Unsupported Media Type"


def sentence(detail: str, field: str | None) -> str:
    """The one text that an error of this protocol has: the part of the request that is to blame, and why."""
    return f"{field}: {detail}" if field else detail
