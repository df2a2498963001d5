"""What goes into the service and comes out of it, whatever protocol it came by."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from catfish_server.errors import Overloaded, RequestError
from catfish_server.inference.prediction import Prediction


class InvalidFeedback(RequestError):
    """It says nothing that could be joined to a prediction."""

    status = 400
    title = "Bad Request"


class Forbidden(RequestError):
    """The model's owner has switched this off."""

    status = 403
    title = "Forbidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """An image as a caller sent it.

    Attributes:
        data: the encoded bytes.
        name: the address that it was fetched from, or `sha256:` and the digest of the bytes.
        field: the part of the request that it came in, for the error about it; None: the whole of it.
    """

    data: bytes
    name: str
    field: str | None = None

    @classmethod
    def of(cls, data: bytes, *, field: str | None = None) -> "Encoded":
        """The image that these bytes are, named by their digest."""
        return cls(data=data, name=f"sha256:{hashlib.sha256(data).hexdigest()}", field=field)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, as far as it is known.

    Attributes:
        request_id: the caller's own, or one that was made.
        user: the value of the header that the settings name; None where none is named or sent.
    """

    request_id: str
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was made of one image.

    Attributes:
        uuid: of this prediction, by which feedback is joined to it.
        name: of the image.
        prediction: its class.
    """

    uuid: str
    name: str
    prediction: Prediction


@contextmanager
def blaming(field: str | None) -> Iterator[None]:
    """Lets an error of what was asked name the part of the request; overload is nobody's fault there."""
    try:
        yield
    except RequestError as error:
        if field is not None and not isinstance(error, Overloaded):
            error.field = field
        raise
