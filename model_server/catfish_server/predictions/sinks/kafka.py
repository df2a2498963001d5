"""Records as events of a Kafka topic: CloudEvents 1.0 in binary mode, written by an idempotent producer.

librdkafka keeps what it was given and connects again by itself, and its messages never time out here: a message that
a broker may already have is never produced a second time.
"""

import functools
import logging
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from catfish_server.errors import InvalidSpec
from catfish_server.predictions.buffer import Limits
from catfish_server.predictions.destination import Destination
from catfish_server.predictions.record import timestamp
from catfish_server.predictions.sinks.sink import Batch, Line, Unavailable

logger = logging.getLogger(__name__)

WRITE_SECONDS = 1.0
"""How long one try waits for the brokers' answers."""

VARIABLES: Mapping[str, str] = {
    "KAFKA_SECURITY_PROTOCOL": "security.protocol",
    "KAFKA_SASL_MECHANISM": "sasl.mechanism",
    "KAFKA_SASL_USERNAME": "sasl.username",
    "KAFKA_SASL_PASSWORD": "sasl.password",
    "KAFKA_SSL_CA_LOCATION": "ssl.ca.location",
    "KAFKA_SSL_CA_PEM": "ssl.ca.pem",
    "KAFKA_SSL_CERTIFICATE_LOCATION": "ssl.certificate.location",
    "KAFKA_SSL_CERTIFICATE_PEM": "ssl.certificate.pem",
    "KAFKA_SSL_KEY_LOCATION": "ssl.key.location",
    "KAFKA_SSL_KEY_PEM": "ssl.key.pem",
    "KAFKA_SSL_KEY_PASSWORD": "ssl.key.password",
}
"""Variables by the property of the client that each sets (librdkafka, CONFIGURATION.md)."""

_REFUSED = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError._INVALID_ARG})
"""What no other try would change for this record."""


def client(destination: Destination, env: Mapping[str, str]) -> dict[str, Any]:
    """The properties of every client: brokers, and how to be let in."""
    given = {option: env[name] for name, option in VARIABLES.items() if env.get(name)}
    return {
        "bootstrap.servers": destination.brokers,
        "client.id": "catfish-server",
        "log_level": 0,  # what it would print on stderr is told by `Unavailable` and the metrics
        **given,
    }


def headers(line: Line, *, source: str) -> list[tuple[str, str | bytes | None]]:
    """A record's attributes as CloudEvents' binding for Kafka wants them in binary mode."""
    own = line.uuid if line.kind == "prediction" else f"{line.uuid}/feedback/{timestamp(line.time)}"
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", own.encode()),
        ("ce_source", source.encode()),
        ("ce_type", f"dev.catfish.{line.kind}.v1".encode()),
        ("ce_time", timestamp(line.time).encode()),
        ("content-type", b"application/json"),
    ]


class Kafka:
    """Produces to one topic, keyed by the prediction's uuid: a feedback lies in the partition of its prediction.

    Args:
        destination: brokers and topic.
        env: how to be let in, `VARIABLES`.
        source: of the events: who the server is.

    Raises:
        InvalidSpec: there can be no such client.
    """

    limits = Limits(records=1000, size=4 << 20, linger_seconds=0.0)

    def __init__(self, destination: Destination, env: Mapping[str, str], *, source: str) -> None:
        self._topic, self._source = destination.topic, source
        self._config = client(destination, env) | {
            "enable.idempotence": True,
            "acks": "all",
            "message.timeout.ms": 0,
            "message.max.bytes": 16 << 20,  # the topic's own limit decides
            "compression.type": "lz4",
            "linger.ms": 5,
            "reconnect.backoff.max.ms": 2000,
            "topic.metadata.propagation.max.ms": 5000,
        }
        self._number = -1
        self._groups: list[list[int]] = []  # to be produced one after the other
        self._again: list[int] = []  # by the next try
        self._too_large: list[int] = []  # together; each alone may not be
        self._unanswered: set[int] = set()
        self._refused = 0
        self._reason = ""
        self._problem = ""
        self._given_up = False
        self._producer = self._connected()

    def write(self, batch: Batch) -> int:
        """Produces what has not been produced and waits for the answers; see `Sink`."""
        if batch.number != self._number:
            self._number, self._groups = batch.number, [list(range(len(batch.lines)))]
            self._again, self._too_large, self._unanswered, self._refused = [], [], set(), 0
        if self._given_up:
            self.close()
            self._again += sorted(self._unanswered)
            self._unanswered.clear()
            self._producer, self._given_up = self._connected(), False
        self._problem = ""
        if self._again:
            self._groups, self._again = [*self._groups, self._again], []
        self._wait()
        while self._groups and not self._unanswered:
            self._produce(batch, self._groups.pop())
            self._wait()
        if self._groups or self._again or self._unanswered:
            raise Unavailable(f"Kafka has not taken all records: {self._problem or 'no broker answers'}")
        if self._refused:
            logger.warning("Kafka refuses %d records of the prediction log: %s.", self._refused, self._reason)
        return self._refused

    def close(self) -> None:
        """Gives up on what no broker has answered for."""
        self._producer.purge()
        self._producer.flush(0.1)

    def _connected(self) -> Producer:
        try:
            return Producer(self._config, error_cb=self._failed)
        except KafkaException as error:
            reason = error.args[0]
            said = reason.name() if isinstance(reason, KafkaError) else "invalid configuration"
            raise InvalidSpec(
                "spec.logging.predictions.credentialsSecretRef: its KAFKA_ variables make no client "
                f"({said}); docs/prediction-log.md lists them"
            ) from error

    def _produce(self, batch: Batch, group: list[int]) -> None:
        for position, index in enumerate(group):
            line = batch.lines[index]
            try:
                self._producer.produce(
                    self._topic,
                    value=line.data.removesuffix(b"\n"),
                    key=line.uuid.encode(),
                    headers=headers(line, source=self._source),
                    timestamp=int(line.time * 1000),
                    on_delivery=functools.partial(self._answered, batch.number, index, len(group) == 1),
                )
                self._unanswered.add(index)
            except BufferError:  # the client holds as much as it may
                self._again += group[position:]
                return
            except KafkaException as error:
                self._count_failure(error.args[0], index, alone=True)

    def _wait(self) -> None:
        """Waits for answers to what was produced, and halves what was too large together.

        A broker refuses all that the client has sent as one batch where that is larger than the topic takes.
        """
        until = time.monotonic() + WRITE_SECONDS
        while self._unanswered and time.monotonic() < until:
            self._producer.poll(0.1)
        if not self._unanswered:
            half, indices = len(self._too_large) // 2, sorted(self._too_large)
            self._groups += [group for group in (indices[:half], indices[half:]) if group]
            self._too_large = []

    def _answered(
        self,
        number: int,
        index: int,
        alone: bool,
        error: KafkaError | None,
        _message: Message,
    ) -> None:
        if number != self._number or index not in self._unanswered:
            return
        self._unanswered.discard(index)
        if error is not None:
            self._count_failure(error, index, alone=alone)

    def _count_failure(self, error: KafkaError, index: int, *, alone: bool) -> None:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and not alone:
            self._too_large.append(index)
        elif error.code() in _REFUSED:
            self._refused, self._reason = self._refused + 1, error.name()
        else:
            self._again.append(index)
            self._problem = error.name()

    def _failed(self, error: KafkaError) -> None:
        """What the client tells by itself; after a fatal error (librdkafka, INTRODUCTION.md) it is of no use."""
        self._problem = error.name()
        self._given_up = self._given_up or error.fatal()
