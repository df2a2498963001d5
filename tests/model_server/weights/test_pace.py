"""A server that sends a byte now and then is stuck, and one that is slow is not."""

import contextlib
import http.server
import ssl
import subprocess
import threading
import time

import pytest

from catfish_server import errors
from catfish_server.weights import transport
from catfish_server.weights.download import Limits
from catfish_server.weights.pace import Pace, TooSlow

from .conftest import QUICK, Quiet

SLOW = Limits(tries=3, stall_seconds=0.3, least_bytes=2000, backoff_seconds=0.01)


def drip_head(handler):
    """Begins a header and goes on with it for ever."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    with contextlib.suppress(OSError):
        while not handler.script.closing.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()


def drip_chunks(handler):
    """Sends chunks of one byte, for which the client reads three lines each."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        while not handler.script.closing.wait(0.05):
            handler.wfile.write(b"1\r\nx\r\n")
            handler.wfile.flush()


def drip_error(handler):
    """Refuses, with a text that does not end."""
    handler.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2000\r\n\r\n")
    with contextlib.suppress(OSError):
        while not handler.script.closing.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()


def dripped(steps, after=0):
    def step(handler):
        with contextlib.suppress(OSError):
            steps.whole(until=after)(handler)
            for place in range(after, len(handler.script.data)):
                handler.script.closing.wait(0.05)
                handler.wfile.write(handler.script.data[place : place + 1])
                handler.wfile.flush()

    return step


@pytest.mark.parametrize("script", ["body", "head", "chunks"])
def test_a_server_that_drips_has_stalled_though_bytes_keep_coming(scripted, steps, fetched, script):
    server = scripted({"body": dripped(steps), "head": drip_head, "chunks": drip_chunks}[script])
    began = time.monotonic()
    with pytest.raises(
        errors.WeightsUnreachable, match=r"the download stalled: too few bytes arrived in time$"
    ):
        fetched(server.url)
    assert len(server.seen) == QUICK.tries
    assert QUICK.tries * QUICK.stall_seconds <= time.monotonic() - began < 15


def test_a_refusal_whose_text_drips_is_still_a_refusal(scripted, fetched):
    with pytest.raises(errors.WeightsForbidden):
        fetched(scripted(drip_error).url)


def test_a_download_that_began_to_drip_goes_on_where_it_stopped(scripted, steps, fetched):
    server = scripted(dripped(steps, after=1_000_000), steps.whole())
    assert fetched(server.url).path.read_bytes() == server.data
    assert server.seen[1]["Range"].startswith("bytes=10000")


def test_a_slow_server_is_waited_for_much_longer_than_the_stall_limit(scripted, steps, fetched):
    def slow(handler):
        steps.answer(handler, 200, {"Content-Length": str(len(handler.script.data))})
        for start in range(0, len(handler.script.data), 1000):
            handler.wfile.write(handler.script.data[start : start + 1000])
            handler.wfile.flush()
            time.sleep(0.05)

    server = scripted(slow, data=bytes(range(250)) * 100)
    began = time.monotonic()
    assert fetched(server.url, limits=SLOW).path.read_bytes() == server.data
    assert time.monotonic() - began > 4 * SLOW.stall_seconds
    assert len(server.seen) == 1


def test_a_small_file_may_come_slowly(scripted, steps, fetched):
    def slow(handler):
        steps.answer(handler, 200, {"Content-Length": "4"})
        for byte in b"abcd":
            time.sleep(0.05)
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()

    assert fetched(scripted(slow).url).path.read_bytes() == b"abcd"


def test_a_disk_that_is_slow_is_not_taken_for_a_server_that_is(scripted, steps, fetched):
    def slow_disk(_done, _total):
        time.sleep(0.01)

    server = scripted(steps.whole(), data=bytes(1 << 20))
    limits = Limits(tries=1, stall_seconds=0.2, least_bytes=10 << 20)
    assert fetched(server.url, limits=limits, progress=slow_disk).size == 1 << 20


def test_the_first_byte_may_take_as_long_as_a_read_may(scripted, steps, fetched):
    def late(handler):
        time.sleep(0.25)
        steps.whole()(handler)

    server = scripted(late, data=b"small")
    limits = Limits(tries=1, stall_seconds=0.3, least_bytes=1 << 20)
    assert fetched(server.url, limits=limits).size == 5


@pytest.fixture
def dripping_https(tmp_path, monkeypatch):
    """The address of an https server that is trusted and that drips."""
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    words += [
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        tmp_path / "key",
        "-out",
        tmp_path / "cert",
    ]
    subprocess.run(["openssl", *words], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    closing = threading.Event()

    def drip(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        with contextlib.suppress(OSError):
            while not closing.wait(0.05):
                handler.wfile.write(b"x")

    methods = {"do_GET": drip, "log_message": lambda *_arguments: None}
    server = Quiet(("127.0.0.1", 0), type("Handler", (http.server.BaseHTTPRequestHandler,), methods))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
    yield f"https://127.0.0.1:{server.server_port}/w"
    closing.set()
    server.shutdown()
    server.server_close()


def test_https_has_the_same_pace(dripping_https):
    pace = Pace(seconds=0.3, least_bytes=1000)
    with transport.get(dripping_https, headers={}, pace=pace) as response, pytest.raises(TooSlow):
        response.read()
