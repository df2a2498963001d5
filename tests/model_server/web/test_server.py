import contextlib
import json
import logging
import re
import socket
import struct
import threading
import time
from http.client import HTTPConnection

import pytest

from catfish_server.lifecycle import Stage
from catfish_server.web import channel


def test_a_body_that_streams_past_the_limit_is_cut_and_the_client_reads_why(wire, running):
    server = running()
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    head = (
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with wire.connect(server.address) as connection:
        connection.sendall(head)
        for _ in range(192):  # 12 MiB, all of it, though the server said no after 10
            connection.sendall(chunk)
        assert wire.one_answer(wire.everything(connection)) == 413


def test_a_client_that_sends_its_whole_long_body_still_reads_the_refusal(wire, running):
    server = running()
    size = 20 * 1024 * 1024
    head = (
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % size
    )
    assert wire.one_answer(wire.exchange(server.address, head, b"x" * size)) == 413


def test_a_body_of_exactly_the_limit_is_read(wire, running, jpeg):
    server = running(max_body_bytes=len(jpeg))
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nConnection: close\r\n"
    answer = wire.exchange(server.address, head + b"Content-Length: %d\r\n\r\n" % len(jpeg), jpeg)
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_client_that_asks_first_is_told_to_continue(wire, running, jpeg):
    server = running()
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nConnection: close\r\n"
    head += b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
    with wire.connect(server.address) as connection:
        connection.sendall(head)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(jpeg)
        assert wire.everything(connection).startswith(b"HTTP/1.1 200")


def test_an_expectation_without_a_body_is_answered(wire, running):
    request = b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    assert wire.exchange(running().address, request).startswith(b"HTTP/1.1 200")


def test_pipelined_requests_are_answered_in_order(wire, running, jpeg):
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n" % len(
        jpeg
    )
    pieces = [head + b"X-Request-Id: n%d\r\n\r\n" % n + jpeg for n in range(20)]
    pieces.append(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n")
    data = wire.exchange(running().address, b"".join(pieces))
    assert re.findall(rb"X-Request-Id: (n\d+)", data) == [b"n%d" % n for n in range(20)]
    assert data.count(b"HTTP/1.1 200 OK") == 21


def test_a_connection_is_kept_for_the_next_request(running):
    connection = HTTPConnection(*running().address, timeout=15)
    with contextlib.closing(connection):
        sockets = set()
        for _ in range(3):
            connection.request("GET", "/")
            assert connection.getresponse().read()
            sockets.add(connection.sock)
        assert len(sockets) == 1


def test_a_head_that_does_not_end_is_cut(wire, running):
    served = running(header_timeout_seconds=0.2)
    assert wire.one_answer(wire.exchange(served.address, b"GET / HTTP/1.1\r\nHost:")) == 408


def test_a_head_that_drips_is_cut_though_bytes_keep_coming(wire, running):
    server, stop = running(header_timeout_seconds=0.3), threading.Event()
    with wire.connect(server.address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")

        def drip():
            with contextlib.suppress(OSError):
                while not stop.wait(0.05):
                    connection.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            assert wire.one_answer(wire.everything(connection)) == 408
        finally:
            stop.set()
            thread.join()


def test_a_body_slower_than_its_rate_is_cut(wire, running):
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nx"
    assert wire.one_answer(wire.exchange(running(body_timeout_seconds=0.3).address, head)) == 408


def test_a_connection_on_which_nothing_happens_is_closed(wire, running, monkeypatch):
    monkeypatch.setattr(channel, "IDLE_SECONDS", 0.2)
    with wire.connect(running().address) as connection:
        assert wire.everything(connection) == b""


def test_probes_answer_while_the_api_is_full_of_half_open_connections(wire, running):
    server = running()
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            connection = stack.enter_context(wire.connect(server.address))
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost:")
        for _ in range(20):
            began = time.monotonic()
            assert wire.get(server.admin_address, "/livez")[0] == 200
            assert wire.get(server.admin_address, "/readyz")[0] == 200
            assert time.monotonic() - began < 2
        assert wire.get(server.address) == (200, b'{"status":"ok"}\n')


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nHost:"], ids=["idle", "half a head"])
def test_probes_answer_while_their_own_port_is_full_of_connections_that_ask_nothing(wire, running, sent):
    server = running()
    with contextlib.ExitStack() as stack:
        for _ in range(150):
            connection = stack.enter_context(wire.connect(server.admin_address))
            connection.sendall(sent)
        began = time.monotonic()
        assert wire.get(server.admin_address, "/livez")[0] == 200
        assert time.monotonic() - began < 3


def test_a_client_that_hangs_up_before_its_answer_leaves_nothing_in_the_log(
    wire, running, classifier, jpeg, caplog
):
    entered, go, predict = threading.Event(), threading.Event(), classifier.predict_all

    def predict_when_told(images, *, count):
        entered.set()
        assert go.wait(15)
        return predict(images, count=count)

    classifier.predict_all = predict_when_told
    server = running()
    caplog.clear()
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nConnection: close\r\n"
    with wire.connect(server.address) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(jpeg) + jpeg)
        assert entered.wait(15)
    go.set()
    server.server.stop()
    server.thread.join()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_refusal_of_the_parser_is_one_line_of_the_log_and_counted(wire, running, caplog):
    caplog.set_level(logging.INFO)
    server = running()
    caplog.clear()
    wire.one_answer(wire.exchange(server.address, b"nonsense\r\n\r\n"))
    assert len(caplog.records) == 1
    assert "answered 400" in caplog.text
    assert (
        b'catfish_requests_total{code="400",path="other"} 1.0'
        in wire.get(server.admin_address, "/metrics")[1]
    )


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/livez", "GET", 200),
        ("/readyz", "GET", 200),
        ("/metrics", "GET", 200),
        ("/metrics", "HEAD", 200),
        ("/", "GET", 404),
        ("/predict", "GET", 404),
        ("/livez", "POST", 405),
    ],
)
def test_the_admin_port_answers_its_three_paths(wire, running, path, method, status):
    assert wire.get(running().admin_address, path, method)[0] == status


def test_unknown_is_counted_from_the_start_where_it_can_be_an_answer(wire, running, classifier, monkeypatch):
    monkeypatch.setattr(classifier, "_unknown_threshold", 0.9)
    metrics = wire.get(running().admin_address, "/metrics")[1]
    assert b'catfish_predictions_total{label="unknown"} 0.0' in metrics


def test_readiness_tells_the_stage_and_how_far_it_is(wire):
    from catfish_server.lifecycle import Lifecycle, Score, Weights
    from catfish_server.telemetry.metrics import Metrics
    from catfish_server.web.admin import Admin

    lifecycle = Lifecycle()
    admin = Admin(host="127.0.0.1", port=0, lifecycle=lifecycle, metrics=Metrics(lifecycle, revision=""))
    try:
        lifecycle.progress(43, 100)
        status, body = wire.get(("127.0.0.1", admin.port), "/readyz")
        assert (status, json.loads(body)) == (
            503,
            {"stage": "fetching", "done": 43, "total": 100, "progress": 0.43},
        )
        assert wire.get(("127.0.0.1", admin.port), "/livez")[0] == 200
        lifecycle.fetched(Weights(sha256="a" * 64, size=7, format="safetensors", download_seconds=1.23456))
        known = {"sha256": "a" * 64, "bytes": 7, "format": "safetensors", "downloadSeconds": 1.235}
        lifecycle.enter(Stage.VERIFYING)
        status, body = wire.get(("127.0.0.1", admin.port), "/readyz")
        assert (status, json.loads(body)) == (503, {"stage": "verifying", "weights": known})
        lifecycle.verified(Score(right=3, total=4))
        lifecycle.enter(Stage.READY)
        status, body = wire.get(("127.0.0.1", admin.port), "/readyz")
        told = {"stage": "ready", "weights": known, "verification": {"right": 3, "total": 4}}
        assert (status, json.loads(body)) == (200, told)
        lifecycle.watch(lambda: 1000.0)
        status, body = wire.get(("127.0.0.1", admin.port), "/livez")
        assert (status, json.loads(body)) == (503, {**told, "quietSeconds": 1000.0})
    finally:
        admin.stop()
