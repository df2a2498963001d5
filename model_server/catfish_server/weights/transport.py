"""One GET, with limits: the HTTP client of the weights.

The standard library's, because a download needs what it gives in the open: each status, each header, a
timeout on every read, and control over every redirect. An object-store client hides the validator that a
resumed download depends on, and cannot be interrupted by a signal while it waits.
"""

import errno
import http.client
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import IO, Any

from catfish_server.errors import StartupFailure, WeightsForbidden, WeightsNotFound, WeightsUnreachable
from catfish_server.weights.pace import Handler, Pace, TooSlow

MAX_REDIRECTS = 5

RETRIED_STATUSES = frozenset({408, 425})
"""Besides 5xx: statuses after which the same request may succeed (RFC 9110, RFC 8470)."""

BUSY_STATUSES = frozenset({429, 503})
"""Statuses that ask to come again later (RFC 6585, RFC 9110)."""

RETRIED_CODES = frozenset({b"RequestTimeout", b"RequestTimeoutException"})
"""Error codes of S3's protocol after which the same request may succeed, though their status is 400
(https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html)."""

BUSY_CODES = frozenset(
    {
        b"SlowDown",
        b"ServerBusy",
        b"Throttling",
        b"ThrottlingException",
        b"ThrottledException",
        b"RequestThrottled",
        b"RequestThrottledException",
        b"RequestLimitExceeded",
        b"BandwidthLimitExceeded",
        b"LimitExceededException",
        b"TooManyRequestsException",
        b"ProvisionedThroughputExceededException",
    }
)
"""Error codes that ask to come again later, whatever their status: those that the AWS SDKs take for throttling
(https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html), and Azure's."""

UNKNOWN_KEY_CODES = frozenset(
    {b"InvalidAccessKeyId", b"SignatureDoesNotMatch", b"XAdminUserNotFound", b"PublicAccessNotPermitted"}
)
"""Error codes of keys that nobody has, or that are missing, which not every store sends with 401 or 403
(versitygw: 404, Azure: 409)."""

CONNECTION_ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "failed: the host's name cannot be resolved"),
    (ssl.SSLCertVerificationError, "failed: the server's certificate is not trusted"),
    (TooSlow, "stalled: too few bytes arrived in time"),
    (TimeoutError, "stalled: no byte arrived in time"),
    (ConnectionRefusedError, "failed: the connection was refused"),
    (ConnectionError, "was cut off"),
    (http.client.IncompleteRead, "was cut off"),
)
"""What each means, the more special ones first."""


class Interrupted(Exception):
    """This try failed and the next one may not; the text completes the sentence "the download …"."""


class Busy(Interrupted):
    """The server asks to come again later.

    Attributes:
        after_seconds: when, 0 where it does not say.
    """

    def __init__(self, text: str, *, after_seconds: float) -> None:
        super().__init__(text)
        self.after_seconds = after_seconds


class Refused(Exception):
    """The server answers, and the answer will not change by asking again.

    Attributes:
        failure: the class of failure that it is.
    """

    def __init__(self, failure: type[StartupFailure], text: str) -> None:
        super().__init__(text)
        self.failure = failure


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, to HTTP servers alone, and never from https to http."""

    max_redirections = MAX_REDIRECTS

    def redirect_request(  # noqa: PLR0917 (the signature is urllib's)
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = newurl.partition(":")[0].lower()
        if scheme not in {"http", "https"} or (req.type == "https" and scheme != "https"):
            fp.close()
            raise Refused(WeightsUnreachable, "is redirected to an address that is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def get(url: str, *, headers: Mapping[str, str], pace: Pace) -> http.client.HTTPResponse:
    """The answer to a GET, 200 or 206, its body not read yet.

    Args:
        url: http or https; it may hold a signature, so no error repeats it.
        headers: to send.
        pace: that the answer has to keep up; its seconds are also the most that the connection may take.

    Raises:
        Interrupted: another try may succeed.
        Refused: no other try will.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        Handler(pace),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 (no other schemes)
    try:
        response: Any = opener.open(request, timeout=pace.seconds)
    except urllib.error.HTTPError as error:
        with error:
            raise _verdict(error) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Interrupted(describe(error)) from error
    if response.status not in {200, 206}:
        response.close()
        raise Refused(WeightsUnreachable, f"answered with status {response.status}")
    return response  # type: ignore[no-any-return]  # urllib says Any; for http(s) it is this class


def _verdict(error: urllib.error.HTTPError) -> Exception:
    """What a status other than success means."""
    status = error.code
    try:
        found = re.search(rb"<Code>([A-Za-z0-9]{1,64})</Code>", error.read(2048))
    except (OSError, http.client.HTTPException):
        found = None
    code = found[1] if found else b""
    answer = f"answered with status {status}" + (f" ({code.decode()})" if code else "")
    if status in BUSY_STATUSES or code in BUSY_CODES:
        return Busy(answer, after_seconds=_retry_after(error.headers.get("Retry-After", "")))
    if status in {401, 403} or code in UNKNOWN_KEY_CODES:
        return Refused(
            WeightsForbidden,
            f"{answer}: the keys in spec.weights.credentialsSecretRef are missing or refused",
        )
    if status in {404, 410}:
        return Refused(WeightsNotFound, f"{answer}: there is no such file")
    if status >= 500 or status in RETRIED_STATUSES or code in RETRIED_CODES:
        return Interrupted(answer)
    if 300 <= status < 400:
        return Refused(WeightsUnreachable, f"{answer}: a redirect that leads nowhere, or one too many")
    return Refused(WeightsUnreachable, answer)


def _retry_after(text: str) -> float:
    """The seconds that a header asks to wait, as a number or a date (RFC 9110, 10.2.3); 0 where it is neither."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def describe(error: Exception) -> str:
    """Why a connection failed, in words that hold no address."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    for kind, words in CONNECTION_ERRORS:
        if isinstance(cause, kind):
            return words
    if isinstance(cause, OSError) and cause.errno is not None:
        return f"failed: {errno.errorcode.get(cause.errno, 'I/O error')}"
    return f"failed: {type(cause).__name__}"
