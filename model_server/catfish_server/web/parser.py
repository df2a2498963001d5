"""waitress' request parser, made to refuse what two servers in a row could read differently."""

from http import HTTPStatus

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import Error

# What waitress itself parses in place of a header that is too long, to have some attributes set.
_STAND_IN = b"GET / HTTP/1.0\r\n"

_VERSIONS = frozenset({"1.0", "1.1"})


class RequestTimeout(Error):  # type: ignore[misc]  # waitress ships no types
    """The request came too slowly."""

    code = HTTPStatus.REQUEST_TIMEOUT.value
    reason = HTTPStatus.REQUEST_TIMEOUT.phrase


class Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress ships no types
    """One request as it arrives."""

    error: Error | None = None

    def received(self, data: bytes) -> int:
        """Takes in bytes of the request; returns how many of them were its own."""
        consumed: int = super().received(data)
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
        super().parse_header(header_plus)
        if header_plus == _STAND_IN:
            return
        self._check_framing()
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

    def time_out(self) -> None:
        """Ends a request that came too slowly."""
        if not self.headers_finished:
            self.parse_header(_STAND_IN)  # sets the attributes that an answer needs
        self.error = RequestTimeout("The request came too slowly.")
        self.expect_continue = False
        self.completed = True
