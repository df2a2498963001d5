"""The end of a server, seen by its clients: a real process, real signals, real connections."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

pytestmark = pytest.mark.process
SERVING = Path(__file__).with_name("serving.py")
ROOT = Path(__file__).parents[3]


class Process:
    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, str(SERVING), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "model_server")},
        )
        self.output = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        self.admin = ("127.0.0.1", int(self.found(r"admin (\d+)")))
        self.address = ("127.0.0.1", int(self.found(r"Ready: answering on 127\.0\.0\.1:(\d+)")))

    def _read(self):
        for line in self.process.stdout:
            self.output.append(line)

    def found(self, pattern, seconds=60):
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, "".join(self.output))):
            assert time.monotonic() < deadline, self.output
            assert self.process.poll() is None or self.reader.is_alive(), self.output
            threading.Event().wait(0.01)
        return match.group(match.lastindex or 0)

    def signal(self, number):
        self.process.send_signal(number)

    def ended(self, seconds):
        """The exit code and how many seconds it took from now on."""
        began = time.monotonic()
        code = self.process.wait(timeout=seconds)
        self.reader.join()
        return code, time.monotonic() - began


@pytest.fixture
def processes():
    started = []

    def start(*arguments):
        started.append(Process(*arguments))
        return started[-1]

    yield start
    for process in started:
        process.process.kill()
        process.process.wait()
        process.reader.join()
        process.process.stdout.close()


class Client(threading.Thread):
    """Asks all the time, on a new connection when the server says so; counts what goes wrong."""

    def __init__(self, address, jpeg, *, keep_alive):
        super().__init__()
        self.address, self.jpeg, self.keep_alive = address, jpeg, keep_alive
        self.answered, self.failed, self.refused = 0, [], 0
        self.told_to_close = threading.Event()

    def run(self):
        connection = None
        while not self.refused:
            if connection is None:
                connection = HTTPConnection(*self.address, timeout=30)
                try:
                    connection.connect()
                except OSError:  # the port is closed: as an endpoint that is gone
                    self.refused += 1
                    break
            try:
                keep = {} if self.keep_alive else {"Connection": "close"}
                connection.request("POST", "/predict", self.jpeg, {"Content-Type": "image/jpeg", **keep})
                response = connection.getresponse()
                response.read()
            except (OSError, HTTPException) as error:
                self.failed.append(repr(error))
                break
            self.answered += response.status == 200
            if response.status != 200:
                self.failed.append(response.status)
            if response.getheader("Connection") == "close":
                self.told_to_close.set()
                connection.close()
                connection = None
        if connection:
            connection.close()


def test_sigterm_under_load_cuts_no_request_and_resets_no_connection(processes, jpeg):
    process = processes(1.0)
    clients = [Client(process.address, jpeg, keep_alive=number % 2 == 0) for number in range(16)]
    for client in clients:
        client.start()
    while sum(client.answered for client in clients) < 200:
        assert all(client.is_alive() for client in clients)
        threading.Event().wait(0.01)
    process.signal(signal.SIGTERM)
    code, seconds = process.ended(30)
    for client in clients:
        client.join(timeout=30)
    assert [client.failed for client in clients if client.failed] == []
    assert all(client.told_to_close.is_set() for client in clients)
    assert code == 0
    assert 1.0 <= seconds < 10.0  # torch alone takes the interpreter seconds to leave on a busy machine
    assert "returned\n" in process.output


def test_requests_in_flight_on_kept_connections_are_finished(processes, jpeg):
    process = processes(0.0, 0.5)
    answers = []

    def ask():
        connection = HTTPConnection(*process.address, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            connection.getresponse().read()
            waiting.release()
            connection.request("POST", "/predict", jpeg, {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            answers.append((response.status, bool(response.read()), response.getheader("Connection")))

    waiting = threading.Semaphore(0)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in threads:
        waiting.acquire()
    connection = HTTPConnection(*process.admin, timeout=15)
    in_flight = b""
    deadline = time.monotonic() + 15
    while b"catfish_requests_in_flight 4.0" not in in_flight:
        assert time.monotonic() < deadline
        connection.request("GET", "/metrics")
        in_flight = connection.getresponse().read()
    connection.close()
    process.signal(signal.SIGTERM)
    assert process.ended(15)[0] == 0
    for thread in threads:
        thread.join()
    assert answers == [(200, True, "close")] * 4


def status_of(address, path):
    connection = HTTPConnection(*address, timeout=15)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(), response.getheader("Connection")


def test_after_sigterm_readiness_falls_at_once_while_the_api_goes_on(processes):
    process = processes(30.0)
    assert status_of(process.admin, "/readyz")[0] == 200
    process.signal(signal.SIGTERM)
    process.found("Told to stop: answering for 30 s more")
    assert status_of(process.admin, "/readyz")[:2] == (503, b'{"stage": "draining"}\n')
    assert status_of(process.admin, "/livez")[0] == 200
    assert status_of(process.address, "/") == (200, b'{"status":"ok"}\n', "close")
    process.signal(signal.SIGTERM)
    code, seconds = process.ended(20)
    assert (code, seconds < 15) == (0, True)


def test_a_first_sigint_does_not_wait_for_requests_that_nobody_sends(processes):
    process = processes(30.0)
    process.signal(signal.SIGINT)
    code, seconds = process.ended(20)
    assert (code, seconds < 15) == (0, True)


def test_idle_connections_are_closed_and_do_not_hold_the_server_up(processes):
    process = processes(0.0)
    with contextlib.ExitStack() as stack:
        idle = [HTTPConnection(*process.address, timeout=15) for _ in range(20)]
        for connection in idle:
            stack.callback(connection.close)
            connection.request("GET", "/")
            assert connection.getresponse().read()
        process.signal(signal.SIGTERM)
        assert [connection.sock.recv(1) for connection in idle] == [b""] * 20
        assert process.ended(20)[0] == 0


def test_a_request_whose_second_half_comes_after_sigterm_is_answered(processes, jpeg):
    process = processes(0.0)
    head = (
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
        % len(jpeg)
    )
    with socket.create_connection(process.address, timeout=15) as connection:
        connection.sendall(head + jpeg[:100])
        assert status_of(process.address, "/")[0] == 200  # the loop has turned: the first half is read
        process.signal(signal.SIGTERM)
        process.found("Told to stop")
        connection.sendall(jpeg[100:])
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert process.ended(20)[0] == 0
