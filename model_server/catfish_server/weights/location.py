"""Where weights are: a URL becomes a location, once, and messages show it without anything secret."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.parse import unquote, urlsplit, urlunsplit

from catfish_server.errors import InvalidSpec

SUPPORTED = "a path, file://, pvc://, http://, https://, s3://, gs:// or az://"

Store = Literal["s3", "gs", "az"]

STORES: Mapping[str, Store] = MappingProxyType({"s3": "s3", "gs": "gs", "az": "az"})
"""Schemes of object stores: what follows is a bucket (or container) and a key."""

VOLUMES = Path("/mnt/pvc")
"""Where the operator mounts the claim of a `pvc://claim/path`, under the claim's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where the weights of one model are.

    Attributes:
        kind: how they are read.
        shown: the location for messages: no user name, no password, no query.
        path: of a local file.
        url: of a file on an HTTP server, with its query.
        bucket: of an object store; Azure calls it a container.
        key: within the bucket.
    """

    kind: Literal["file", "http"] | Store
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
    scheme = scheme.lower()
    if not separator:
        return Location(kind="file", shown=text, path=Path(text))
    if not (text.isprintable() if scheme in STORES else re.fullmatch(r"[!-~]+", text)):
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
    if scheme in STORES and parts.netloc and parts.path.strip("/"):
        # The key is everything after the bucket as it stands, the way the stores' own tools read it: nothing is
        # unescaped.
        key = text.split("://", 1)[1].split("/", 1)[1]
        return Location(kind=STORES[scheme], shown=shown, bucket=parts.netloc, key=key)
    match scheme:
        case "http" | "https" if parts.hostname and port != 0:
            return Location(kind="http", shown=shown, url=urlunsplit((*parts[:4], "")))
        case "pvc" if parts.netloc and parts.path.strip("/"):
            return Location(kind="file", shown=shown, path=_in_volume(parts.netloc, parts.path, shown))
        case "file" if parts.netloc in {"", "localhost"} and parts.path:
            return Location(kind="file", shown=shown, path=Path(unquote(parts.path)))
        case "http" | "https" | "file" | "pvc" | "s3" | "gs" | "az":
            raise InvalidSpec(f"spec.weights.url: {shown} lacks a host, a bucket or a path")
    raise InvalidSpec(f"spec.weights.url: {scheme}:// is not supported; use {SUPPORTED}")


def _in_volume(claim: str, path: str, shown: str) -> Path:
    inside = unquote(path).strip("/")
    if ".." in inside.split("/"):
        raise InvalidSpec(f"spec.weights.url: {shown} leads out of its volume")
    return VOLUMES / claim / inside
