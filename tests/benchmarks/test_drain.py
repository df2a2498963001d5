"""The benchmark of draining counts what it is for: the wrong end of a connection is not a client that has finished."""

import signal
import socket
import struct
import sys
import threading
from contextlib import contextmanager, suppress
from http.client import HTTPConnection

import pytest

from benchmarks import drain
from localcluster.ports import free_ports

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\n{}"


@contextmanager
def server(answer):
    """A server that hands each connection to `answer`, one after the other, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)

        def serve():
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                with connection:
                    answer(connection, listener)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        with suppress(OSError):  # closed by `answer`
            listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def read_request(connection):
    received = b""
    while not received.endswith(b"picture"):
        received += connection.recv(65_536)


def asked(port, *, stopping):
    """A client that has asked until it ended."""
    event = threading.Event()
    if stopping:
        event.set()
    client = drain.Client(port, b"picture", event)
    client.start()
    client.join(30)
    assert not client.is_alive()
    return client


@pytest.mark.parametrize(("stopping", "failed"), [(False, 1), (True, 0)], ids=["under load", "after SIGTERM"])
def test_a_refused_connection_is_right_only_once_the_server_was_told_to_stop(stopping, failed):
    (port,) = free_ports(1)
    client = asked(port, stopping=stopping)
    assert [failure.startswith("ConnectionRefusedError") for failure in client.failures] == [True] * failed


def test_a_connection_that_is_reset_while_it_is_made_fails_also_during_the_drain(monkeypatch):
    """No server of ours can reset a handshake; a firewall, or a queue that overflows, does."""

    def reset(_):
        raise ConnectionResetError("by the test")

    monkeypatch.setattr(HTTPConnection, "connect", reset)
    assert asked(1, stopping=True).failures == ["ConnectionResetError('by the test')"]


def test_a_request_that_is_reset_during_the_drain_fails():
    def reset(connection, _):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        read_request(connection)

    with server(reset) as port:
        (failure,) = asked(port, stopping=True).failures
    assert failure.startswith("ConnectionResetError")


def test_a_client_ends_well_when_the_port_closes_after_the_last_answer():
    def last(connection, listener):
        listener.close()
        read_request(connection)
        connection.sendall(OK % b"Connection: close\r\n")

    with server(last) as port:
        client = asked(port, stopping=True)
    assert (len(client.seconds), client.failures) == (1, [])


def test_a_server_that_writes_much_is_not_held_up_by_its_log():
    script = (
        "import signal, sys; print('Ready: answering on 127.0.0.1:4321.', file=sys.stderr);"
        "print('x' * 1_000_000, file=sys.stderr, flush=True); signal.sigwait([signal.SIGTERM]); sys.exit(0)"
    )
    block = f"import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); {script}"
    with drain.serving([sys.executable, "-c", block]) as (process, port):
        assert port == 4321
        assert drain.exit_seconds(process) is not None
        assert process.returncode == 0


def test_a_server_that_does_not_start_is_quoted():
    command = [sys.executable, "-c", "import sys; sys.exit('no such port')"]
    with pytest.raises(SystemExit, match=r"(?s)did not start.*no such port"), drain.serving(command):
        pytest.fail("it started")


def test_a_server_that_does_not_stop_is_killed():
    script = (
        "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('answering on 127.0.0.1:4321.', file=sys.stderr, flush=True); signal.pause()"
    )
    with drain.serving([sys.executable, "-c", script]) as (process, _):
        assert drain.exit_seconds(process, patience=0.2) is None
    assert process.returncode == -signal.SIGKILL
