"""The memory and the time that the bodies of all requests may take together."""

import contextlib
import select
import socket
from http.client import HTTPConnection

from catfish_server.web import listener


def partly_sent(wire, stack, server, size):
    """A connection on which `size` bytes of a body of 8 MiB have been sent."""
    connection = stack.enter_context(wire.connect(server.address))
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 8388608\r\n\r\n"
    connection.sendall(head + b"x" * size)
    return connection


def test_bodies_together_are_limited_and_small_requests_still_get_through(
    wire, running, jpeg, monkeypatch, caplog
):
    monkeypatch.setattr(listener, "MAX_BUFFERED_BYTES", 3 * 1024 * 1024)
    server, mebibyte = running(), 1024 * 1024
    caplog.clear()
    whole = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nConnection: close\r\n"
    whole += b"Content-Length: %d\r\n\r\n" % len(jpeg) + jpeg
    with contextlib.ExitStack() as stack:
        held = [partly_sent(wire, stack, server, mebibyte) for _ in range(4)]
        refused, _, _ = select.select(held, [], [], 15)
        data = wire.everything(refused[0])
        assert wire.one_answer(data) == 503
        assert b"Retry-After: 1\r\n" in data
        assert wire.exchange(server.address, whole).startswith(b"HTTP/1.1 200")
        assert len(select.select(held, [], [], 0)[0]) == 1  # the others go on
    metrics = wire.get(server.admin_address, "/metrics")[1]
    assert b'catfish_rejections_total{reason="bodies"} 1.0' in metrics


def test_room_for_bodies_comes_back_with_the_answers_and_with_the_connections(
    wire, running, monkeypatch, jpeg
):
    monkeypatch.setattr(listener, "MAX_BUFFERED_BYTES", 3 * 1024 * 1024)
    server = running()
    body = jpeg + b"\0" * (2 * 1024 * 1024)
    connection = HTTPConnection(*server.address, timeout=15)
    with contextlib.closing(connection):
        for _ in range(5):
            connection.request("POST", "/predict", body, {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            response.read()
            assert response.status == 200
    for _ in range(5):
        with contextlib.ExitStack() as stack:
            connection = partly_sent(wire, stack, server, 2 * 1024 * 1024)
            connection.shutdown(socket.SHUT_WR)
            assert wire.everything(connection) == b""
    connection = HTTPConnection(*server.address, timeout=15)
    with contextlib.closing(connection):
        connection.request("POST", "/predict", body, {"Content-Type": "image/jpeg"})
        assert connection.getresponse().status == 200


def test_a_body_that_came_fast_and_then_stops_is_cut(wire, running):
    served = running(body_timeout_seconds=0.3)
    with contextlib.ExitStack() as stack:
        connection = partly_sent(wire, stack, served, 7 * 1024 * 1024)  # buys 112 s at 64 KiB/s
        assert wire.one_answer(wire.everything(connection)) == 408
