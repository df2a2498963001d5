"""Fetches an image from a stranger's address without becoming the stranger's hand inside the network.

One parser reads the URL; its host is resolved once; every address of the answer is checked; the connection
goes to the checked address itself, and what the socket says of its peer is compared with it. A redirect
starts all over. Seconds are counted over all of it, so that a server that sends
one byte a second is cut like one that sends none.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urljoin

from catfish_server import waiting
from catfish_server.errors import RequestError
from catfish_server.images import deadlines, urls
from catfish_server.images.addresses import is_public

FIELD = "image_url"
Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[Address]]

_PUBLIC_PORTS = frozenset({80, 443})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_RESOLVING = 32  # a resolver that hangs keeps its thread for longer than any request waits


class AddressRefused(RequestError):
    """The address is one that this server does not connect to for strangers."""

    status = 422
    title = "The address of the image is refused"


class FetchFailed(RequestError):
    """The address gave no image."""

    status = 422
    title = "The image could not be fetched"


class ImageTooLarge(RequestError):
    """The address gives more bytes than the limit."""

    status = 413
    title = "The image is too large"


def resolve(host: str, port: int) -> list[Address]:
    """All addresses of a host, in the system's order of preference.

    Raises:
        OSError: the name does not resolve.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(entry[4][0]) for entry in found]


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """Fetches within limits.

    Attributes:
        allow_hosts: names that may resolve to private addresses and be asked on any port; lower case.
        max_bytes: of the body.
        timeout_seconds: for all of it: names, connections, redirects, body; less where less is left of the call.
        max_redirects: how many are followed.
        resolve: the resolver.
        tls: how certificates are checked.
    """

    allow_hosts: frozenset[str] = frozenset()
    max_bytes: int = 10 * 1024 * 1024
    timeout_seconds: float = 5.0
    max_redirects: int = 3
    resolve: Resolve = resolve
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    _resolving: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_MOST_RESOLVING))

    def fetch(self, url: str) -> bytes:
        """The bytes behind an http or https URL.

        Raises:
            urls.InvalidURL: not a URL that is fetched here.
            AddressRefused: it leads to a private address or an odd port.
            FetchFailed: no connection, not found, too slow, too many redirects.
            ImageTooLarge: more than `max_bytes`.
            Overloaded: no time was left for it.
        """
        seconds = waiting.left(self.timeout_seconds)
        deadline = time.monotonic() + seconds
        try:
            for _ in range(self.max_redirects + 1):
                answer = self._get(urls.parse(url), deadline)
                if isinstance(answer, bytes):
                    return answer
                url = _followed(url, answer.location)
        except (TimeoutError, FutureTimeoutError) as error:
            message = f"It did not arrive within {seconds:.3g} s."
            raise FetchFailed(message, field=FIELD) from error
        except ssl.SSLError as error:
            raise FetchFailed("The TLS handshake failed.", field=FIELD) from error
        except http.client.HTTPException as error:
            raise FetchFailed("The answer is not HTTP, or was cut short.", field=FIELD) from error
        except OSError as error:
            raise FetchFailed("No connection could be made, or it broke off.", field=FIELD) from error
        raise FetchFailed(f"It redirects more than {self.max_redirects} times.", field=FIELD)

    def _get(self, url: urls.URL, deadline: float) -> "bytes | _Redirect":
        connection = http.client.HTTPConnection(url.host, url.port)
        with deadlines.DeadlineSocket(self._connected(url, deadline), deadline) as sock:
            connection.sock = sock  # an adapter with the three methods that http.client uses
            connection.request("GET", url.target, headers=_headers(url))
            with connection.getresponse() as response:
                if response.status in _REDIRECTS and (location := response.headers.get("Location")):
                    return _Redirect(location)
                if response.status != http.HTTPStatus.OK:
                    raise FetchFailed(f"The server answered {response.status}.", field=FIELD)
                return self._body(response)

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        if (response.length or 0) > self.max_bytes:
            raise ImageTooLarge(f"It is {response.length} bytes; the limit is {self.max_bytes}.", field=FIELD)
        body = response.read(self.max_bytes + 1)
        if len(body) > self.max_bytes:
            raise ImageTooLarge(f"It is more than {self.max_bytes} bytes.", field=FIELD)
        if response.length:
            raise FetchFailed("The answer was cut short.", field=FIELD)
        return body

    def _connected(self, url: urls.URL, deadline: float) -> socket.socket:
        """A socket to the first of the host's checked addresses that takes a connection."""
        addresses = self._checked_addresses(url, deadline)
        for position, address in enumerate(addresses):
            try:
                connection = socket.create_connection((str(address), url.port), deadlines.left(deadline))
            except OSError:
                if position == len(addresses) - 1:
                    raise
                continue
            if ip_address(connection.getpeername()[0]) != address:
                connection.close()
                raise AddressRefused("The connection leads somewhere else than asked.", field=FIELD)
            return self._secured(connection, url, deadline)
        raise FetchFailed("The host has no address.", field=FIELD)

    def _secured(self, connection: socket.socket, url: urls.URL, deadline: float) -> socket.socket:
        if url.scheme == "http":
            return connection
        try:
            connection.settimeout(deadlines.left(deadline))
            return self.tls.wrap_socket(connection, server_hostname=url.host)
        except BaseException:
            connection.close()
            raise

    def _checked_addresses(self, url: urls.URL, deadline: float) -> Sequence[Address]:
        listed = url.host in self.allow_hosts
        if not listed and url.port not in _PUBLIC_PORTS:
            raise AddressRefused("Only the ports 80 and 443 are fetched from.", field=FIELD)
        try:
            addresses = self._resolved(url, deadline)
        except (socket.gaierror, UnicodeError) as error:
            raise FetchFailed("The host name does not resolve.", field=FIELD) from error
        if not listed and not all(is_public(address) for address in addresses):
            raise AddressRefused("The host is not on the public internet.", field=FIELD)
        return addresses

    def _resolved(self, url: urls.URL, deadline: float) -> Sequence[Address]:
        """The resolver's answer; it knows no deadline, so it works on a thread that may be left behind."""
        if not self._resolving.acquire(timeout=deadlines.left(deadline)):
            raise FetchFailed("The resolver is busy.", field=FIELD)
        answer: Future[Sequence[Address]] = Future()

        def work() -> None:
            try:
                answer.set_result(self.resolve(url.host, url.port))
            except (OSError, ValueError) as error:
                answer.set_exception(error)
            finally:
                self._resolving.release()

        threading.Thread(target=work, name="resolve", daemon=True).start()
        return answer.result(timeout=deadlines.left(deadline))


@dataclass(frozen=True, slots=True)
class _Redirect:
    location: str


def _followed(url: str, location: str) -> str:
    """Where a redirect leads."""
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise FetchFailed("It redirects to what is no address.", field=FIELD) from error


def _headers(url: urls.URL) -> dict[str, str]:
    return {"Host": url.authority, "User-Agent": "catfish-server", "Accept": "image/*", "Connection": "close"}
