"""Reads a prediction log back: lines of JSON from files, objects of a store, or a Kafka topic."""

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from catfish_server.predictions import destination as destinations
from catfish_server.predictions.destination import Destination

MAX_LINE_BYTES = 64 << 20
"""A longer line is damaged: a record with the tensors of a 2048 px image has 68 MB and is not for training sets."""

_GZIP = b"\x1f\x8b"


class Unreadable(Exception):
    """The source is not there or does not let us in; the text is for the person who named it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One line of a source.

    Attributes:
        place: where it is, for messages.
        data: the line, or None where it cannot be read.
        problem: why not.
    """

    place: str
    data: bytes | None = None
    problem: str = ""


def lines(source: str, *, endpoint: str | None, env: Mapping[str, str]) -> Iterator[Found]:
    """Every line of a source.

    Args:
        source: a file, a folder, or a URL of `destination.URLS`.
        endpoint: of a store that is not the cloud's own.
        env: with the credentials, as the server is given them (`stores.credentials`).

    Raises:
        InvalidSpec: it is no such URL, or its credentials are none.
        Unreadable: nothing can be read from there.
    """
    where = destinations.of_url(source)
    if where.sink == "file":
        yield from _of_path(where.path)
        return
    from catfish_server.predictions import stores  # noqa: PLC0415 (most sources are files)

    secrets = stores.credentials(env)
    yield from _of_topic(where, secrets) if where.sink == "kafka" else _of_store(where, endpoint, secrets)


def _of_path(path: Path) -> Iterator[Found]:
    try:
        paths = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
        if not paths:
            raise Unreadable(f"{path}: there is no file in this folder")
        for item in paths:
            with item.open("rb") as file:
                yield from _of_file(file, str(item))
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error


def _of_store(where: Destination, endpoint: str | None, env: Mapping[str, str]) -> Iterator[Found]:
    import obstore  # noqa: PLC0415 (as above)

    from catfish_server.predictions import stores  # noqa: PLC0415 (as above)

    store = stores.store(where, endpoint=endpoint, env=env, retries=stores.RETRIES)
    shown = f"{where.sink}://{where.bucket}/{where.prefix}"
    found = False
    try:
        for page in obstore.list(store, prefix=where.prefix or None):
            for item in sorted(page, key=lambda item: item["path"]):
                found = True
                data = obstore.get(store, item["path"]).bytes()
                yield from _of_file(io.BytesIO(data), f"{where.sink}://{where.bucket}/{item['path']}")
    except Exception as error:
        raise Unreadable(f"{shown}: cannot be read: {stores.refusal(error)}") from error
    if not found:
        raise Unreadable(f"{shown}: there is no object under this prefix")


def _of_file(file: BinaryIO, name: str) -> Iterator[Found]:
    packed = file.read(2) == _GZIP
    file.seek(0)
    opened = cast("BinaryIO", gzip.GzipFile(fileobj=file)) if packed else file
    number = 0
    try:
        while line := opened.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                while line and not line.endswith(b"\n"):
                    line = opened.readline(MAX_LINE_BYTES)
                yield Found(place=f"{name}:{number}", problem="is too long")
            elif line.strip():
                yield Found(place=f"{name}:{number}", data=line)
    except (OSError, EOFError, zlib.error) as error:
        yield Found(place=f"{name}:{number + 1}", problem=f"cannot be read any further: {error}")


def _of_topic(where: Destination, env: Mapping[str, str]) -> Iterator[Found]:
    """What the topic holds at this moment, from its beginning."""
    from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition  # noqa: PLC0415 (as above)

    from catfish_server.predictions.sinks import kafka  # noqa: PLC0415 (as above)

    config = kafka.client(where, env) | {"group.id": "catfish-log", "enable.auto.commit": False}
    config |= {"auto.offset.reset": "earliest", "isolation.level": "read_committed"}
    consumer = Consumer(config | {"enable.partition.eof": True})
    try:
        topic = consumer.list_topics(where.topic, timeout=_KAFKA_SECONDS).topics[where.topic]
        if topic.error is not None:
            raise Unreadable(f"kafka topic {where.topic}: {topic.error.name()}")
        for number in sorted(topic.partitions):
            partition = TopicPartition(where.topic, number)
            first, end = consumer.get_watermark_offsets(partition, timeout=_KAFKA_SECONDS)
            consumer.assign([TopicPartition(where.topic, number, first)])
            while first < end:
                message = consumer.poll(_KAFKA_SECONDS)
                error = message.error() if message is not None else None
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    break  # the last places can be marks of transactions, which no consumer is given
                if message is None or error is not None:
                    raise Unreadable(f"kafka topic {where.topic}: partition {number} does not answer")
                offset = message.offset()
                if offset is None or offset >= end:
                    break
                first = offset + 1
                yield Found(place=f"{where.topic}[{number}]@{offset}", data=message.value() or b"")
    except KafkaException as error:
        raise Unreadable(f"kafka topic {where.topic}: {error.args[0].name()}") from error
    finally:
        consumer.close()


_KAFKA_SECONDS = 15.0
