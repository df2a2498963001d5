"""Records, a log with its counters, and the sinks of the tests."""

import threading
import time
import uuid
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from catfish_server.predictions.buffer import Limits
from catfish_server.predictions.log import Backoff, PredictionLog
from catfish_server.predictions.record import Origin, Record
from catfish_server.predictions.sinks.sink import Batch, Line, Unavailable
from catfish_server.telemetry.prediction_log import LogMetrics

QUICK = Backoff(first_seconds=0.01, max_seconds=0.05)
SMALL = Limits(records=10, size=1 << 20, linger_seconds=0.0)
ORIGIN = Origin(model="cat", revision="cat-0123456789", weights_sha256="a" * 64)


@dataclass
class Scripted:
    """A sink that can be down, be stuck, or refuse what it is told to."""

    limits: Limits = SMALL
    batches: list[Batch] = field(default_factory=list)
    down: bool = False
    stuck: threading.Event | None = None
    refuses: int = 0
    closed: bool = False
    tries: list[float] = field(default_factory=list)

    def write(self, batch):
        self.tries.append(time.monotonic())
        if self.stuck is not None:
            self.stuck.wait(60)
        if self.down:
            raise Unavailable("it is down")
        self.batches.append(batch)
        return self.refuses

    def close(self):
        self.closed = True

    @property
    def uuids(self):
        return [line.uuid for batch in self.batches for line in batch.lines]


class Logged:
    """A log and what its counters say."""

    def __init__(self, sink, **options):
        self.registry = CollectorRegistry()
        options = {"backoff": QUICK, "origin": lambda: ORIGIN} | options
        self.log = PredictionLog(sink, LogMetrics(self.registry), **options)

    def send(self, number=1, **fields):
        """The uuids of records that were sent and whether each was taken."""
        made = [record(**fields) for _ in range(number)]
        return [(one.uuid, self.log.send_to_log(one)) for one in made]

    def count(self, name, **labels):
        return self.registry.get_sample_value(f"catfish_prediction_log_{name}", labels)

    def dropped(self):
        """Those that are not 0, by reason."""
        return dropped_of(generate_latest(self.registry).decode())


def dropped_of(text):
    """Dropped records by reason, as `/metrics` tells them."""
    return {
        sample.labels["reason"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "catfish_prediction_log_dropped_total" and sample.value
    }


def record(**fields):
    known = {"kind": "prediction", "uuid": str(uuid.uuid4()), "time": time.time(), "request_id": "r"}
    return Record(**(known | {"image": "https://example.com/a.jpg", "prediction": "cat"} | fields))


def batch(*uuids, number=0, seconds=1_700_000_000.0):
    lines = [
        Line(data=b'{"uuid":"%s"}\n' % name.encode(), kind="prediction", uuid=name, time=seconds)
        for name in uuids
    ]
    return Batch(number=number, time=seconds, lines=tuple(lines))


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        threading.Event().wait(0.01)


@pytest.fixture
def logged():
    """A function that makes a log with a sink; all are closed at the end."""
    made = []

    def start(sink, **options):
        made.append(Logged(sink, **options))
        return made[-1]

    yield start
    for one in made:
        one.log.close(0.0)
