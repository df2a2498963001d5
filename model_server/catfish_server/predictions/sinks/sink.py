"""What the log asks of a sink, and how a sink says no."""

from dataclasses import dataclass
from typing import Protocol

from catfish_server.predictions.buffer import Limits
from catfish_server.predictions.record import Kind


class Unavailable(Exception):
    """The batch is not there yet and the next try may bring it there; the text is safe to be logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One encoded record.

    Attributes:
        data: a line of JSON with its newline.
        kind: of the record.
        uuid: of its prediction.
        time: of the record in seconds since the epoch.
    """

    data: bytes
    kind: Kind
    uuid: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Lines that are written together; the same object is given again until it is written.

    Attributes:
        number: counts batches from 0 in one process.
        time: when the batch was made, in seconds since the epoch.
    """

    number: int
    time: float
    lines: tuple[Line, ...]


class Sink(Protocol):
    """A place for records."""

    @property
    def limits(self) -> Limits:
        """How much it is given at a time."""

    def write(self, batch: Batch) -> int:
        """Writes the batch; returns how many of its records the sink refuses for good.

        Raises:
            Unavailable: not all of it is written yet. A later call with the same batch goes on from there.
        """

    def close(self) -> None:
        """Lets go of what is open, without waiting."""
