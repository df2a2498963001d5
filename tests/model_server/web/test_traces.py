"""Traces as a collector sees them, from a real server."""

import sys
import threading
import time

import pytest

from catfish_server.lifecycle import Lifecycle
from catfish_server.telemetry import otel, tracing
from catfish_server.web.server import Server
from tests.model_server.web.collector import Collector
from tests.model_server.web.conftest import SETTINGS, Running

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.fixture
def collectors():
    made = []

    def make(**options):
        made.append(Collector(**options))
        return made[-1]

    yield make
    for collector in made:
        collector.close()


@pytest.fixture
def traced(classifier, monkeypatch):
    """A server that sends its spans to an address."""
    started = []

    def start(url):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        spans = tracing.start({"OTEL_EXPORTER_OTLP_ENDPOINT": url}, version="1.2", revision="catfish-1")
        server = Server(SETTINGS, Lifecycle(), tracing=spans)
        thread = threading.Thread(target=server.run, args=(classifier,))
        thread.start()
        started.append((server, thread))
        Running.wait_for(lambda: server.port)
        return server, thread

    yield start
    for server, thread in started:
        if thread.is_alive():
            server.stop()
            thread.join(timeout=30)


def ask(wire, server, body, kind=b"image/jpeg", path=b"/predict", *headers):
    head = [b"POST " + path + b" HTTP/1.1", b"Host: a", b"Connection: close", b"Content-Type: " + kind]
    head += [b"Content-Length: %d" % len(body), *headers]
    return wire.exchange(("127.0.0.1", server.port), b"\r\n".join(head) + b"\r\n\r\n" + body)


def leave(server, thread):
    server.stop()
    thread.join(timeout=30)
    assert not thread.is_alive()


def values(span):
    return {
        one.key: one.value.string_value or one.value.int_value or one.value.bool_value
        for one in span.attributes
    }


def test_a_request_is_a_trace_of_its_stages_that_goes_on_with_the_callers(wire, traced, collectors, jpeg):
    collector = collectors()
    server, thread = traced(collector.url)
    parent = f"traceparent: 00-{TRACE}-{PARENT}-01".encode()
    ask(wire, server, jpeg, b"image/jpeg", b"/predict?image_url=", parent, b"X-Request-Id: r-1")
    ask(wire, server, jpeg, b"image/jpeg", b"/predict", parent, b"X-Request-Id: r-2")
    leave(server, thread)
    request = next(span for span in collector.spans if values(span).get("catfish.request_id") == "r-2")
    assert request.name == "POST /predict"
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    assert values(request) == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "http.response.status_code": 200,
        "catfish.request_id": "r-2",
    }
    stages = sorted(
        (span for span in collector.spans if span.parent_span_id == request.span_id),
        key=lambda span: span.start_time_unix_nano,
    )
    assert [span.name for span in stages] == ["decode", "queue", "infer"]
    for span in stages:
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.start_time_unix_nano >= request.start_time_unix_nano - 1_000_000
        assert span.end_time_unix_nano <= request.end_time_unix_nano + 1_000_000
    assert collector.resource["service.name"] == "catfish-server"
    assert (collector.resource["service.version"], collector.resource["catfish.revision"]) == (
        "1.2",
        "catfish-1",
    )


def test_paths_addresses_and_errors_of_strangers_do_not_get_into_spans(wire, traced, collectors):
    collector = collectors()
    server, thread = traced(collector.url)
    ask(wire, server, b"", b"image/png", b"/canary?canary=canary")
    ask(wire, server, b'{"image_url": "http://canary:22/canary"}', b"application/json")
    leave(server, thread)
    assert [span.name for span in collector.spans] == ["POST other", "fetch", "POST /predict"]
    assert "canary" not in str(collector.spans)
    assert [values(span)["http.response.status_code"] for span in collector.spans[::2]] == [404, 422]


def test_a_traceparent_that_is_none_starts_a_trace_of_its_own(wire, traced, collectors, jpeg):
    collector = collectors()
    server, thread = traced(collector.url)
    ask(wire, server, jpeg, b"image/jpeg", b"/predict", b"traceparent: 00-nonsense")
    leave(server, thread)
    (request,) = collector.named("POST /predict")
    assert request.parent_span_id == b""


def test_a_collector_that_hangs_delays_neither_answers_nor_the_end(
    wire, traced, collectors, jpeg, monkeypatch
):
    monkeypatch.setattr(otel, "CLOSE_SECONDS", 0.5)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    collector = collectors(stuck=True)
    server, thread = traced(collector.url)
    for _ in range(20):
        assert ask(wire, server, jpeg).startswith(b"HTTP/1.1 200")
    assert collector.asked.wait(30)
    began = time.monotonic()
    leave(server, thread)
    assert time.monotonic() - began < 15


def test_a_collector_that_is_gone_is_one_line_of_the_log(wire, traced, collectors, jpeg, caplog):
    collector = collectors()
    server, thread = traced(collector.url)
    collector.close()
    ask(wire, server, jpeg)
    leave(server, thread)
    told = [record.getMessage() for record in caplog.records if record.levelname != "INFO"]
    assert len(told) == 1
    assert "are lost" in told[0] or "could not be sent" in told[0]


def test_nothing_is_traced_unless_an_endpoint_is_named():
    assert tracing.start({}, version="1", revision=None) is tracing.OFF
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}
    assert tracing.start(named, version="1", revision=None) is tracing.OFF


def test_without_the_packages_a_line_says_what_to_install(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "catfish_server.telemetry.otel", None)
    monkeypatch.delattr("catfish_server.telemetry.otel", raising=False)
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    assert tracing.start(named, version="1", revision=None) is tracing.OFF
    (line,) = [record.getMessage() for record in caplog.records]
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in line
    assert "catfish[tracing]" in line
