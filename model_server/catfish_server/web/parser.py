"""waitress' request parser, made to refuse what two servers in a row could read differently."""

import re
from http import HTTPStatus
from typing import Any

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import BadRequest, Error

# What waitress itself parses in place of a header that is too long, to have some attributes set.
_STAND_IN = b"GET / HTTP/1.0\r\n"

_VERSIONS = frozenset({"1.0", "1.1"})

# waitress removes the field before a look at it is possible, and reads `,` as no coding at all.
_CODINGS = re.compile(rb"(?im)^transfer-encoding[ \t]*:[ \t]*(.*?)[ \t]*\r?$")

CHUNKED_STEP = 8 * 1024
"""Of a chunked body at a time: waitress' receiver copies what is left of it for every chunk."""

MAX_CHUNK_LINE = 1024
MAX_TRAILER = 16 * 1024
"""waitress keeps both without a limit, and searches them from the start for every packet."""

MAX_OVERHEAD = 4
_FREE_OVERHEAD_BYTES = 64 * 1024
"""A chunked body may take so many times its own bytes on the wire, besides the free ones."""


class RequestTimeout(Error):  # type: ignore[misc]  # waitress ships no types
    """The request came too slowly."""

    code = HTTPStatus.REQUEST_TIMEOUT.value
    reason = HTTPStatus.REQUEST_TIMEOUT.phrase


class Crowded(Error):  # type: ignore[misc]  # waitress ships no types
    """There is no memory for the body."""

    code = HTTPStatus.SERVICE_UNAVAILABLE.value
    reason = HTTPStatus.SERVICE_UNAVAILABLE.phrase


class Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress ships no types
    """One request as it arrives."""

    error: Error | None = None
    completed: bool = False
    body_rcv: Any = None  # waitress' receiver of the body
    path = ""  # waitress names it in the log of a client that hung up, parsed or not
    stood_in = False  # whether the request line was not to be had, and another stands for it

    def received(self, data: bytes) -> int:
        """Takes in bytes of the request; returns how many of them were its own."""
        if self.chunked:
            data = data[:CHUNKED_STEP]
        consumed: int = super().received(data)
        if self.chunked and not self.completed and self._wasteful():
            self.error, self.completed = BadRequest("The chunks are mostly overhead"), True
        if self.empty:  # a parser for each pair of blank lines would be a way to keep the server busy
            rest = data[consumed:]
            consumed += len(rest) - len(rest.lstrip(b"\r\n"))
        # waitress would ask for a body that is refused already, or that does not exist, and wait for it.
        no_body = self.headers_finished and self.body_rcv is None
        if self.error is not None or no_body:
            self.expect_continue = False
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        """Reads the request line and the header fields.

        Raises:
            ParsingError: they are malformed, or ambiguous.
        """
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # from urlsplit or int, of which waitress knows nothing
            raise ParsingError("The request line or a length cannot be read") from error
        if header_plus == _STAND_IN:
            self.stood_in = True
            return
        self._check_framing()
        codings = _CODINGS.findall(header_plus)
        if codings and [coding.lower() for coding in codings] != [b"chunked"]:
            raise ParsingError("Transfer-Encoding must be chunked, once")
        tokens = {token.strip(" \t").lower() for token in self.headers.get("CONNECTION", "").split(",")}
        if "close" in tokens:  # waitress knows it only when it stands alone
            self.headers["CONNECTION"] = "close"
            self.connection_close = True

    def _check_framing(self) -> None:
        if self.version not in _VERSIONS:
            raise ParsingError("HTTP version is not supported")
        # RFC 9112, section 6.1: a length and a coding together are how requests are smuggled.
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding exclude each other")
        if self.version == "1.0" and "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("HTTP/1.0 has no Transfer-Encoding")
        host = self.headers.get("HOST")
        if (self.version == "1.1" and host is None) or (host is not None and "," in host):
            raise ParsingError("Exactly one Host is needed")

    def _wasteful(self) -> bool:
        body = self.body_rcv
        return (
            len(body.control_line) > MAX_CHUNK_LINE
            or len(body.trailer) > MAX_TRAILER
            or self.body_bytes_received > MAX_OVERHEAD * len(body) + _FREE_OVERHEAD_BYTES
        )

    def buffered(self) -> int:
        """Bytes of the body that are held in memory."""
        return len(self.body_rcv) if self.body_rcv is not None else 0

    def give_up(self, error: Error) -> None:
        """Ends a request that has not arrived, with the error that its client is told."""
        if not self.headers_finished:
            self.parse_header(_STAND_IN)  # sets the attributes that an answer needs
        self.error = error
        self.expect_continue = False
        self.completed = True
        self.close()
        self.body_rcv = None
