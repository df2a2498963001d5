"""What a listener takes in of its clients, and how long they may take."""

from dataclasses import dataclass

from catfish_server.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one listener.

    Attributes:
        connections: where there are as many, those that have asked nothing for longest are closed; while all are being
            answered, more wait in the backlog of the system.
        body_bytes: of a request.
        header_bytes: of a request's line and header.
        header_seconds: from the first byte of a request to the end of its header.
        body_seconds: that a body may take, and as long as its bytes so far take at the rate.
        body_bytes_per_second: that rate.
    """

    connections: int
    body_bytes: int
    header_bytes: int
    header_seconds: float
    body_seconds: float
    body_bytes_per_second: int

    @property
    def least_body_bytes_per_second(self) -> float:
        """In each `body_seconds`: bytes that came fast buy no time in which nothing comes."""
        return self.body_bytes_per_second / 4

    @classmethod
    def of(cls, settings: Settings, *, connections: int) -> "Limits":
        """Those of the API; `connections` are as many as the system has descriptors for."""
        return cls(
            connections=connections,
            body_bytes=settings.max_body_bytes,
            header_bytes=settings.max_header_bytes,
            header_seconds=settings.header_timeout_seconds,
            body_seconds=settings.body_timeout_seconds,
            body_bytes_per_second=settings.body_bytes_per_second,
        )
