"""Where the prediction log goes: a sink and its URL become a destination, once, before anything is fetched."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote

from catfish_server.errors import InvalidSpec

URLS: Mapping[str, str] = MappingProxyType(
    {
        "file": "file:///tmp/predictions.jsonl",
        "s3": "s3://bucket/prefix",
        "gs": "gs://bucket/prefix",
        "az": "az://container/prefix",
        "kafka": "kafka://host:9092,host:9092/topic",
    }
)
"""What the URL of each sink that needs one looks like."""

SINKS = ("none", "stdout", *URLS)

FIELD = "spec.logging.predictions.url"

_BROKER = r"(?:[A-Za-z0-9_.-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?"
_KAFKA = re.compile(rf"kafka://({_BROKER}(?:,{_BROKER})*)/([A-Za-z0-9._-]{{1,249}})")
_STORE = re.compile(r"(?:s3|gs|az)://([A-Za-z0-9][A-Za-z0-9._-]{1,254})(?:/([^?#]*))?")
_FILE = re.compile(r"file://(?:localhost)?(/[^?#]*[^/?#])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where records go.

    Attributes:
        sink: one of `SINKS`.
        path: of a file.
        bucket: of an object store; Azure calls it a container.
        prefix: of the names of objects, without a slash at either end.
        brokers: of Kafka, `host:port` with commas between them.
        topic: of Kafka.
    """

    sink: str
    path: Path = Path()
    bucket: str = ""
    prefix: str = ""
    brokers: str = ""
    topic: str = ""


def parse(sink: str, url: str | None) -> Destination:
    """The destination that a sink and its URL mean.

    Raises:
        InvalidSpec: they do not belong together, or the URL is none; the text does not repeat it.
    """
    if sink not in URLS:
        if url:
            raise InvalidSpec(f"{FIELD}: must be absent where spec.logging.predictions.sink is {sink}")
        return Destination(sink=sink)
    wanted = f"must be {URLS[sink]} where spec.logging.predictions.sink is {sink}"
    if not url:
        raise InvalidSpec(f"{FIELD}: {wanted}")
    if "@" in url:
        raise InvalidSpec(f"{FIELD}: must hold no user name or password")
    if not url.startswith(f"{sink}://"):
        raise InvalidSpec(f"{FIELD}: {wanted}")
    if sink == "kafka" and (found := _KAFKA.fullmatch(url)):
        return Destination(sink=sink, brokers=found[1], topic=found[2])
    if sink == "file" and (found := _FILE.fullmatch(url)):
        return Destination(sink=sink, path=Path(unquote(found[1])))
    if sink in {"s3", "gs", "az"} and url.isprintable() and (found := _STORE.fullmatch(url)):
        return Destination(sink=sink, bucket=found[1], prefix=(found[2] or "").strip("/"))
    raise InvalidSpec(f"{FIELD}: {wanted}")


def of_url(url: str) -> Destination:
    """The destination of a URL alone, which names its sink; a path is a file's.

    Raises:
        InvalidSpec: there is none.
    """
    scheme, separator, _ = url.partition("://")
    if not separator:
        return Destination(sink="file", path=Path(url))
    if scheme not in URLS:
        raise InvalidSpec(f"{scheme}:// is not supported; use a path or one of {', '.join(URLS.values())}")
    return parse(scheme, url)
