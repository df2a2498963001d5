"""The load of `make bench-serve` counts good answers, refusals, and refusals that do not say when to come back."""

import http.server
import itertools
import os
import threading
from contextlib import contextmanager

import pytest

from benchmarks import serve_load


@contextmanager
def server(*answers):
    """A server that gives these answers by turns: a status and headers."""
    turns, lock = itertools.cycle(answers), threading.Lock()

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                status, headers = next(turns)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "2"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_arguments):
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield listening.server_port
    listening.shutdown()
    listening.server_close()


def test_arrivals_are_as_many_as_the_rate_says_and_each_answer_is_counted_once():
    with server((200, {}), (503, {"Retry-After": "1"}), (429, {}), (200, {})) as port:
        found = serve_load.open_loop(port, os.getpid(), b"picture", rate=80, seconds=0.5, path="/")
    assert (len(found.latencies), found.refused, found.silent) == (20, {503: 10, 429: 10}, 10)
    assert found.rate == pytest.approx(40)


def test_a_server_that_is_gone_has_refused_every_request():
    with server((200, {})) as port:
        pass
    found = serve_load.open_loop(port, os.getpid(), b"picture", rate=10, seconds=0.3, path="/")
    assert (found.latencies, found.refused) == ([], {0: 3})


def test_clients_ask_again_once_they_are_answered_and_the_time_is_measured():
    with server((200, {})) as port:
        found = serve_load.closed(port, os.getpid(), b"picture", clients=3, seconds=0.3, path="/")
    assert len(found.latencies) > 3
    assert not found.refused
    assert 0 < found.percentile(0.5) <= found.percentile(0.99)
    assert found.cpu_seconds > 0


def test_memory_and_processor_time_are_those_of_all_descendants():
    assert serve_load.tree(os.getpid())[0] == os.getpid()
    assert serve_load.pss_mib(os.getpid()) > 5
    assert serve_load.cpu_seconds(os.getpid()) > 0
