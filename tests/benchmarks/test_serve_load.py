"""The load of `make bench-serve` counts good answers, refusals, and refusals that do not say when to come back."""

import http.server
import itertools
import math
import os
import threading
import time
from contextlib import contextmanager

import pytest

from benchmarks import serve, serve_load, serve_overload, serve_table
from benchmarks.serve_load import BROKEN, WRONG, Measured
from catfish_server.lifecycle import Lifecycle
from catfish_server.telemetry.metrics import Metrics


class Listening(http.server.ThreadingHTTPServer):
    request_queue_size = 128


@contextmanager
def server(*answers, seconds=0.0, body=b'{"prediction": "cat"}'):
    """A server that gives these answers by turns, each a status and headers, after so many seconds."""
    turns, lock = itertools.cycle(answers), threading.Lock()

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                status, headers = next(turns)
            time.sleep(seconds)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 (the names are the library's)

        def log_message(self, *_arguments):
            pass

    listening = Listening(("127.0.0.1", 0), Answer)
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield listening.server_port
    listening.shutdown()
    listening.server_close()


def target(port, **more):
    return serve_load.Target(port=port, pid=os.getpid(), path="/", image=b"picture", **more)


def test_arrivals_are_as_many_as_the_rate_says_and_each_answer_is_counted_once():
    with server((200, {}), (503, {"Retry-After": "1"}), (429, {}), (200, {})) as port:
        found = serve_load.open_loop(target(port), rate=80, seconds=0.5)
    assert (len(found.latencies), found.refused, found.silent) == (20, {503: 10, 429: 10}, 10)
    assert (len(found.lags), found.failed) == (40, 0)
    assert found.rate == pytest.approx((20 - found.tardy) / 0.5)


def test_answers_after_the_last_arrival_are_not_what_a_server_gives_under_that_load():
    with server((200, {}), seconds=0.6) as port:
        found = serve_load.open_loop(target(port), rate=20, seconds=0.5)
    assert (len(found.latencies), found.tardy, found.rate) == (10, 10, 0.0)


def test_an_arrival_is_timed_from_when_it_was_due(monkeypatch):
    held = serve_load.threading.Thread

    class Late(held):
        def start(self):
            time.sleep(0.05)  # whoever makes the load has no time for it
            super().start()

    monkeypatch.setattr(serve_load.threading, "Thread", Late)
    with server((200, {})) as port:
        found = serve_load.open_loop(target(port), rate=100, seconds=0.2)
    assert max(found.lags) > 0.5
    assert max(found.latencies) > max(found.lags)


def test_a_server_that_is_gone_has_refused_every_request():
    with server((200, {})) as port:
        pass
    found = serve_load.open_loop(target(port), rate=10, seconds=0.3)
    assert (found.latencies, found.refused, found.failed) == ([], {BROKEN: 3}, 3)


@pytest.mark.parametrize("body", [b'{"prediction": "fish"}', b"cat", b"[]", b""])
def test_another_answer_than_the_right_one_is_a_failure(body):
    with server((200, {}), body=body) as port:
        found = serve_load.open_loop(target(port, prediction="cat"), rate=10, seconds=0.3)
    assert (found.latencies, found.refused, found.failed) == ([], {WRONG: 3}, 3)


def test_clients_ask_again_once_they_are_answered_and_the_time_is_measured():
    with server((200, {})) as port:
        found = serve_load.closed(target(port, prediction="cat"), clients=3, seconds=0.3)
    assert len(found.latencies) > 3
    assert not found.refused
    assert 0 < found.percentile(0.5) <= found.percentile(0.99)


def test_a_client_that_was_refused_has_waited_since_it_first_asked():
    with server((503, {"Retry-After": "1"}), (200, {})) as port:
        found = serve_load.closed(target(port), clients=1, seconds=1.2)
    assert found.refused[503] >= 2
    assert min(found.latencies) >= serve_load.REFUSED_SECONDS


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(100, 0.99, 99), (100, 0.5, 50), (1, 0.99, 1), (3, 0.5, 2), (200, 1.0, 200)],
)
def test_a_percentile_is_the_nearest_rank(count, share, expected):
    assert serve_load.nearest_rank(list(range(count, 0, -1)), share) == expected
    assert math.isnan(serve_load.nearest_rank([], share))


def test_processor_time_is_counted_until_the_last_answer():
    def burn():
        until = time.process_time() + 0.1
        while time.process_time() < until:
            pass

    before = serve_load.cpu_seconds(os.getpid())
    burn()
    assert serve_load.cpu_seconds(os.getpid()) - before >= 0.08


def test_memory_and_processor_time_are_those_of_all_descendants():
    assert serve_load.tree(os.getpid())[0] == os.getpid()
    assert serve_load.pss_mib(os.getpid()) > 5
    assert serve_load.cpu_seconds(os.getpid()) > 0


def test_every_server_is_asked_in_each_round_and_in_the_other_order_in_the_next(monkeypatch):
    asked = []

    def closed(target, *, clients, seconds):
        assert clients == 4
        asked.append(target.port)
        slow = {1: 0.1, 2: 0.4}[target.port]
        return Measured(seconds=seconds, cpu_seconds=1.0, latencies=[slow] * int(seconds / slow))

    monkeypatch.setattr(serve_load, "closed", closed)
    targets = {"catfish": target(1), "mosec": target(2)}
    own, other = serve_table.rounds(targets, clients=4, seconds=2.0, count=2)
    assert asked == [1, 2, 1, 2, 2, 1]  # the first two warm them up
    assert (own["answers"], own["rate"], own["rate_ratio"]) == (40, 10.0, 1.0)
    assert (other["rate"], other["rate_ratio"], other["p50_ratio"]) == (2.5, 4.0, pytest.approx(0.25))


def test_a_server_that_answers_nothing_has_no_ratio():
    nothing = Measured(seconds=1.0, refused={BROKEN: 5})
    row = serve_table._row("mosec", 1, [Measured(seconds=1.0, latencies=[0.1])], [nothing])
    assert (row["answers"], row["failed"], row["rate_ratio"], row["p50_ms"]) == (0, 5, None, None)


def test_overload_tells_what_was_accepted_and_how_long_it_took():
    with server((200, {}), (503, {"Retry-After": "1"})) as port, server((200, {})) as admin_port:
        found = serve_overload.overload(target(port), admin_port=admin_port, rated=20.0, seconds=0.5)
    assert (found["accepted"], found["refused"], found["failed"]) == (20, {"503": 20}, 0)
    assert 0 < found["accepted_p50_ms"] <= found["accepted_p99_ms"]
    assert found["probes"] >= 4
    assert (found["probes_failed"], found["probe_p99_ms"] > 0) == (0, True)
    assert found["in_time_share"] is None, "that server counts nothing"


def test_answers_in_time_are_those_that_the_server_counted_meanwhile(monkeypatch):
    def told(predictions):
        metrics = Metrics(Lifecycle(), revision="")
        for seconds in predictions:
            metrics.staged("total", seconds)
            metrics.staged("decode", 0.001)
        return metrics.text().decode()

    assert serve_overload.answered(told([0.1, 4.9, 5.1, 40.0])) == (2, 4)
    counted = iter(
        [serve_overload.answered(told(each)) for each in ([2.4, 9.0], [2.4, 9.0, 1.0, 2.0, 2.4, 6.0])]
    )
    monkeypatch.setattr(serve_overload, "_answers", lambda _: next(counted))
    with server((200, {})) as port, server((200, {})) as admin_port:
        found = serve_overload.overload(target(port), admin_port=admin_port, rated=5.0, seconds=0.2)
    assert found["in_time_share"] == 0.75


def test_probes_that_fail_or_hang_are_no_good_probes():
    with server((200, {})) as port, server((500, {})) as admin_port:
        found = serve_overload.overload(target(port), admin_port=admin_port, rated=5.0, seconds=0.5)
    assert (found["probes_failed"], found["probe_p99_ms"]) == (found["probes"], None)
    probes, over = serve_overload.Probes(0), threading.Event()
    probes._good = lambda: (None if probes.seconds else time.sleep(0.5)) is None
    probes_left = threading.Timer(0.7, over.set)
    probes_left.start()
    probes.ask(over)
    assert len([took for took in probes.seconds if took > 0.15]) >= 3, (
        "one that hangs holds up those after it"
    )


def test_servers_that_answer_with_different_classes_are_not_compared():
    with (
        server((200, {}), body=b'{"prediction": "class-7"}') as one,
        server((200, {}), body=b'{"prediction": 7}') as two,
        server((200, {}), body=b'{"prediction": 8}') as three,
    ):
        servers = [
            serve.Running(name=name, pid=os.getpid(), port=port, path="/")
            for name, port in (("catfish", one), ("mosec", two), ("flask", three))
        ]
        targets = serve.agreed(servers[:2], b"picture")
        assert {name: each.prediction for name, each in targets.items()} == {"catfish": "class-7", "mosec": 7}
        with pytest.raises(SystemExit, match="do not do the same work"):
            serve.agreed(servers, b"picture")
