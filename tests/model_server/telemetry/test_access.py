import io
import json
import threading
from datetime import UTC, datetime

import pytest

from catfish_server.telemetry import access
from catfish_server.telemetry.access import AccessLog, Entry, shown_path

ENTRY = Entry(
    method="POST",
    path="/predict",
    status=200,
    bytes_in=1000,
    bytes_out=80,
    seconds=0.0123456,
    request_id="r-1",
    protocol="HTTP/1.1",
)


def at_noon():
    return datetime(2026, 1, 2, 12, 0, 0, 500, tzinfo=UTC)


def test_a_request_is_one_line_of_json():
    stream, dropped = io.StringIO(), []
    log = AccessLog(stream, revision="catfish-1", dropped=lambda: dropped.append(1), clock=at_noon)
    log.write(ENTRY)
    log.close()
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue()) == {
        "log": "access",
        "time": "2026-01-02T12:00:00.000Z",
        "method": "POST",
        "path": "/predict",
        "status": 200,
        "bytes_in": 1000,
        "bytes_out": 80,
        "ms": 12.346,
        "request_id": "r-1",
        "revision": "catfish-1",
        "protocol": "HTTP/1.1",
    }
    assert dropped == []


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (None, None),
        ("/", "/"),
        ("/predict", "/predict"),
        ("/v2/models/catfish/infer", "/v2/models/catfish/infer"),
        ("/predict/http://cats.test/cat.jpg", "other"),
        ("/user:secret@host", "other"),
        ("//cats.test/cat.jpg", "other"),
        ("/a\nb", "other"),
        ("/a" * 100, "other"),
        ("/" + "a" * 127 + "!", "other"),
        ("/" + "a" * 126 + "!", "other"),
    ],
)
def test_a_path_that_may_be_more_than_a_path_is_not_shown(path, shown):
    assert shown_path(path) == shown


class Stuck(io.StringIO):
    """Takes nothing until it is let go."""

    def __init__(self):
        super().__init__()
        self.go = threading.Event()

    def write(self, text):
        assert self.go.wait(30)
        return super().write(text)


def test_a_reader_that_is_stuck_costs_lines_and_no_request(monkeypatch):
    monkeypatch.setattr(access, "CLOSE_SECONDS", 0.1)
    stream, dropped = Stuck(), []
    log = AccessLog(stream, revision="", dropped=lambda: dropped.append(1))
    for _ in range(access.QUEUE_LENGTH + 50):
        log.write(ENTRY)
    assert 49 <= len(dropped) <= 50
    log.close()  # in time, though nothing can be written
    stream.go.set()


def test_a_reader_that_is_gone_ends_the_log_with_one_line(caplog):
    stream = io.StringIO()
    stream.close()
    log = AccessLog(stream, revision="", dropped=lambda: None)
    log.write(ENTRY)
    log.write(ENTRY)
    log.close()
    assert [record.getMessage() for record in caplog.records] == ["The access log ends: ValueError."]
