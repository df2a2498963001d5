import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from demo.load import Load, Result, Sample

CAT = Sample(body=b"a cat", content_type="image/png", expected="cat")


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer):
        self.answer = answer
        self.connections = 0
        self.clients = set()
        super().__init__(("127.0.0.1", 0), Handler)

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        """A client that went away is no news here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answer(self)

    def say(self, status, body, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def predict(self, name, revision="catfish-1"):
        self.say(200, json.dumps({"prediction": name}).encode(), X_Catfish_Revision=revision)

    def log_message(self, *args):
        """Quiet."""


@contextmanager
def serving(answer) -> Iterator[tuple[Server, str]]:
    server = Server(answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def seen(url: str, requests: int, **options) -> Result:
    with Load(url, [CAT], **{"rate": 200, "timeout": 5} | options) as load:
        load.wait_until(lambda result: result.total >= requests, seconds=20)
    return load.result()


def test_right_answers_count_by_revision():
    turns = iter(range(10**9))
    with serving(lambda handler: handler.predict("cat", f"catfish-{next(turns) % 2}")) as (_, url):
        result = seen(url, 60)
    assert result.failed == 0
    assert result.failures == {}
    assert sum(result.revisions.values()) == result.right == result.total >= 60
    assert set(result.revisions) == {"catfish-0", "catfish-1"}


def test_half_of_the_clients_keep_their_connection_and_half_open_one_for_each_request():
    with serving(lambda handler: handler.predict("cat")) as (server, url):
        result = seen(url, 100, kept=2, new=2)
    assert result.connections["kept"] == 2
    assert 30 <= result.connections["new"] <= result.total
    assert server.connections == result.connections["kept"] + result.connections["new"]


def test_a_server_that_closes_after_an_answer_costs_a_connection_and_no_failure():
    def answer(handler):
        handler.close_connection = True
        handler.say(200, b'{"prediction": "cat"}', Connection="close", X_Catfish_Revision="catfish-1")

    with serving(answer) as (_, url):
        result = seen(url, 40, kept=2, new=0)
    assert result.failed == 0
    assert result.connections["kept"] >= 40


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(lambda handler: handler.say(503, b"{}"), "status 503", id="another status"),
        pytest.param(lambda handler: handler.predict("fish"), "'fish' instead of 'cat'", id="another class"),
        pytest.param(
            lambda handler: handler.say(200, b"<html>"), "not the JSON of a prediction", id="not JSON"
        ),
        pytest.param(
            lambda handler: handler.say(200, b"[]"), "not the JSON of a prediction", id="other JSON"
        ),
        pytest.param(lambda handler: handler.connection.shutdown(2), "RemoteDisconnected", id="cut"),
    ],
)
def test_whatever_is_not_a_right_answer_fails_with_its_reason(answer, reason):
    with serving(answer) as (_, url):
        result = seen(url, 20, kept=1, new=1)
    assert result.right == 0
    assert result.failed == result.total >= 20
    assert all(kept.startswith(reason) for kept in result.failures), result.failures


def test_one_failure_among_many_is_not_forgotten_or_tried_again():
    turns = iter(range(10**9))
    with serving(lambda handler: handler.predict("cat" if next(turns) != 17 else "fish")) as (_, url):
        result = seen(url, 60)
    assert result.failures == {"'fish' instead of 'cat'": 1}
    assert result.sentence().startswith(f"1 failed of {result.total} ")


def test_a_late_answer_fails():
    release = threading.Event()

    def answer(handler):
        release.wait(10)
        handler.predict("cat")

    with serving(answer) as (_, url):
        result = seen(url, 1, kept=1, new=1, timeout=0.2)
        release.set()
    assert result.right == 0
    assert set(result.failures) == {"TimeoutError: timed out"}


def test_nobody_listening_fails():
    with serving(lambda handler: handler.predict("cat")) as (_, url):
        pass
    assert all(reason.startswith("ConnectionRefusedError") for reason in seen(url, 5).failures)


def test_the_rate_is_kept():
    with serving(lambda handler: handler.predict("cat")) as (_, url):
        result = seen(url, 100, rate=100)
    assert 60 <= result.rate <= 130  # generous: other processes run too


def test_waiting_for_what_never_comes_says_what_was_seen():
    with (
        serving(lambda handler: handler.predict("cat")) as (_, url),
        Load(url, [CAT]) as load,
        pytest.raises(TimeoutError, match="0 failed of"),
    ):
        load.wait_until(lambda _: False, seconds=0.3)
