"""Where weights are: a URL becomes a location, once, and messages show it without anything secret."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit, urlunsplit

import obstore
from obstore.store import S3Store

from catfish_server.errors import InvalidSpec

SUPPORTED = "a path, file://, http://, https:// or s3://"

SIGNED_FOR = timedelta(hours=1)
"""How long a signed address can be used; each try signs anew, so this bounds one try alone."""

CREDENTIAL_SOURCES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Variables that say where keys come from (boto3 and the AWS CLI read the same). With none of them a bucket
is read
anonymously: asking the metadata service of a cloud that may not be there would cost many seconds."""


KEY_OPTIONS = {
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
}
"""Options of the object-store client by the variables that the Secret sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where the weights of one model are.

    Attributes:
        kind: how they are read.
        shown: the location for messages: no user name, no password, no query.
        path: of a local file.
        url: of a file on an HTTP server, with its query.
        bucket: of an S3 store.
        key: within the bucket.
    """

    kind: Literal["file", "http", "s3"]
    shown: str
    path: Path = Path()
    url: str = ""
    bucket: str = ""
    key: str = ""

    def says(self, text: str) -> str:
        """A sentence about what is there, for the author of the spec."""
        return f"spec.weights.url: {self.shown} {text}"


def parse(text: str) -> Location:
    """The location that a URL or path means.

    Raises:
        InvalidSpec: it cannot be one, or holds a password, or names a store that is not supported.
    """
    scheme, separator, _ = text.partition("://")
    if not separator:
        return Location(kind="file", shown=text, path=Path(text))
    if not (text.isprintable() if scheme == "s3" else re.fullmatch(r"[!-~]+", text)):
        raise InvalidSpec("spec.weights.url: holds a character that has no place in a URL; escape it with %")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InvalidSpec("spec.weights.url: is not a URL") from None
    if "@" in parts.netloc:
        raise InvalidSpec(
            "spec.weights.url: must hold no user name or password; use spec.weights.credentialsSecretRef"
        )
    shown = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    match scheme.lower():
        case "http" | "https" if parts.hostname and port != 0:
            return Location(kind="http", shown=shown, url=urlunsplit((*parts[:4], "")))
        case "s3" if parts.netloc and parts.path.strip("/"):
            # The key is everything after the bucket as it stands, the way the AWS CLI reads it: nothing is
            # unescaped.
            key = text.split("://", 1)[1].split("/", 1)[1]
            return Location(kind="s3", shown=shown, bucket=parts.netloc, key=key)
        case "file" if parts.netloc in {"", "localhost"} and parts.path:
            return Location(kind="file", shown=shown, path=Path(unquote(parts.path)))
        case "http" | "https" | "s3" | "file":
            raise InvalidSpec(f"spec.weights.url: {shown} lacks a host, a bucket or a path")
    raise InvalidSpec(f"spec.weights.url: {scheme}:// is not supported; use {SUPPORTED}")


def request_url(location: Location, *, endpoint: str | None, env: Mapping[str, str]) -> str:
    """The address to ask for the bytes with a plain GET.

    A key of an S3 store becomes a signed URL, so that one client with one set of limits reads from
    everywhere; the address holds a signature and must not be shown to anybody.

    Args:
        location: an HTTP server's or an S3 store's.
        endpoint: of an S3-compatible store, None for Amazon's.
        env: the environment, for the credentials and the region.

    Raises:
        InvalidSpec: the store cannot be addressed with these settings.
    """
    if location.kind == "http":
        return location.url
    anonymous = not any(env.get(name) for name in CREDENTIAL_SOURCES)
    settings = {"AWS_ACCESS_KEY_ID": "anonymous", "AWS_SECRET_ACCESS_KEY": "anonymous"} if anonymous else env
    config = {option: settings[name] for option, name in KEY_OPTIONS.items() if settings.get(name)}
    config["region"] = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
    if endpoint:
        config["endpoint"] = endpoint
    try:
        store = S3Store(location.bucket, config=config, client_options={"allow_http": True})  # type: ignore[arg-type]  # a dict of its keys
        signed = obstore.sign(store, "GET", location.key, SIGNED_FOR)
    except Exception as error:
        raise InvalidSpec(
            location.says(
                "cannot be signed for; check the keys in spec.weights.credentialsSecretRef and "
                "spec.weights.endpoint"
            )
        ) from error
    return signed.split("?", 1)[0] if anonymous else signed
