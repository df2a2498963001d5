"""Requests that may take longer than those of a server whose settings are the defaults."""

import contextlib
import threading

import grpc
import pytest

from catfish_server.protocol import calls, remote
from catfish_server.web import server
from localcluster.ports import free_ports
from tests.model_server.web.test_deadline import asked_of_gate
from tests.model_server.web.test_gone import classifier, gate  # noqa: F401 (fixtures)

SHORT, LONG = 0.3, 60.0


@pytest.fixture
def ask(wire, jpeg):
    """A function that asks by a protocol; what it returns tells whether the answer was good, once there is one."""
    with contextlib.ExitStack() as opened:

        def by_http(served):
            connection = opened.enter_context(wire.connect(served.address))
            head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: "
            connection.sendall(head + b"%d\r\n\r\n" % len(jpeg) + jpeg)
            return lambda: connection.recv(65536).startswith(b"HTTP/1.1 200")

        def by_grpc(served):
            address = f"127.0.0.1:{served.server.grpc_port}"
            channel = opened.enter_context(grpc.insecure_channel(address, [("grpc.enable_retries", 0)]))
            call = asked_of_gate(channel, timeout=LONG)
            return lambda: call.code() is grpc.StatusCode.OK

        yield {"http": by_http, "grpc": by_grpc}


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_server_that_is_told_to_stop_waits_for_the_longest_request_that_it_promises(
    running,
    gate,  # noqa: F811
    ask,
    monkeypatch,
    protocol,
):
    monkeypatch.setattr(server, "FINISH_SECONDS", SHORT)
    served = running(grpc_port=free_ports(1)[0], request_timeout_seconds=LONG)
    answered = ask[protocol](served)
    assert gate.entered.acquire(timeout=30)
    served.server.stop()
    threading.Event().wait(5 * SHORT)
    assert served.thread.is_alive()
    gate.open.set()
    assert answered()
    served.thread.join(timeout=30)
    assert not served.thread.is_alive()


def test_a_server_that_is_told_to_stop_cuts_what_takes_longer_than_any_request_may(
    running, wire, monkeypatch
):
    monkeypatch.setattr(server, "FINISH_SECONDS", SHORT)
    served = running(request_timeout_seconds=2 * SHORT)
    with wire.connect(served.address) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
        assert wire.get(served.address)[0] == 200  # the loop has turned: the half is read
        served.server.stop()
        served.thread.join(timeout=10)  # the rest would have 15 s
        assert not served.thread.is_alive()
        assert connection.recv(1) == b""


def test_a_connection_that_is_asked_to_end_gives_its_calls_the_time_that_a_call_has(
    running,
    gate,  # noqa: F811
    ask,
    monkeypatch,
):
    monkeypatch.setattr(remote, "CONNECTION_SECONDS", 1)
    monkeypatch.setattr(calls, "MESSAGE_SECONDS", SHORT)
    answered = ask["grpc"](running(grpc_port=free_ports(1)[0], request_timeout_seconds=LONG))
    assert gate.entered.acquire(timeout=30)
    threading.Event().wait(3)
    gate.open.set()
    assert answered()
