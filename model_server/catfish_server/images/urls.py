"""The one parser of image URLs: what it returns is what is checked, resolved and connected to.

Two parsers that disagree about where the host ends are how such checks are got round, so whatever is
ambiguous is refused here instead of being interpreted.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from catfish_server.errors import RequestError

MAX_LENGTH = 2048

_PORTS = {"http": 80, "https": 443}
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")  # a lone surrogate of JSON has no UTF-8
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\.?")
_IPV6 = re.compile(r"[0-9a-f.]*:[0-9a-f:.]+")
_KEPT_IN_TARGET = "/%:=&?~#+!$,;'@()*[]-._"


class InvalidURL(RequestError):
    """It is no URL, or none of a kind that is fetched here."""

    status = 400
    title = "Invalid image URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class URL:
    """An http or https URL, in parts.

    Attributes:
        scheme: `http` or `https`.
        host: lower case, in ASCII; an IPv6 address without its brackets.
        port: as written, or the scheme's own.
        authority: host and port as the Host header says them.
        target: path and query as the request line says them.
    """

    scheme: str
    host: str
    port: int
    authority: str
    target: str


def parse(text: str) -> URL:
    """The parts of a URL.

    Raises:
        InvalidURL: with the reason, and without the URL.
    """
    if len(text) > MAX_LENGTH:
        raise _invalid(f"It is longer than {MAX_LENGTH} characters.")
    if _AMBIGUOUS.search(text):
        raise _invalid("It holds a space, a backslash, a control character or half of a character.")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _invalid("It is not a URL.") from error
    if parts.scheme not in _PORTS:
        raise _invalid("It must begin with http:// or https://.")
    if "@" in parts.netloc:
        raise _invalid("It must not hold a user name or a password.")
    if port == 0:
        raise _invalid("It names port 0.")
    if "[" in parts.netloc and not _IPV6.fullmatch(host):
        raise _invalid("Its host is not an address.")
    host = _host(host)
    path = quote(parts.path or "/", safe=_KEPT_IN_TARGET)
    query = f"?{quote(parts.query, safe=_KEPT_IN_TARGET)}" if parts.query else ""
    shown = f"[{host}]" if ":" in host else host
    return URL(
        scheme=parts.scheme,
        host=host,
        port=port or _PORTS[parts.scheme],
        authority=f"{shown}:{port}" if port else shown,
        target=path + query,
    )


def _host(host: str) -> str:
    if ":" in host:
        return host
    try:
        ascii_host = host.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise _invalid("Its host name is not valid.") from error
    if not _NAME.fullmatch(ascii_host):
        raise _invalid("Its host name is not valid.")
    return ascii_host.rstrip(".")


def _invalid(detail: str) -> InvalidURL:
    return InvalidURL(detail, field="image_url")
