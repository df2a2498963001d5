"""A real HTTP server that misbehaves as it is told."""

import hashlib
import http.server
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch

from catfish_server.weights import fetch, load, local, location
from catfish_server.weights.download import Limits
from catfish_server.weights.fetch import Fetched
from catfish_server.weights.sandbox import Sandbox

QUICK = Limits(tries=3, busy_tries=5, stall_seconds=0.3, backoff_seconds=0.01)
DATA = bytes(range(256)) * 16384  # 4 MiB


@dataclass
class Scripted:
    """What the server does with each request in turn; the last step is repeated.

    A step is a function of the handler. `seen` has the headers of every request.
    """

    data: bytes = DATA
    steps: list[Callable] = field(default_factory=list)
    seen: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Scripted

    def do_GET(self) -> None:
        number = len(self.script.seen)
        self.script.seen.append(dict(self.headers))
        self.close_connection = True
        steps = self.script.steps or [whole()]
        steps[min(number, len(steps) - 1)](self)

    def log_message(self, *_arguments: object) -> None:
        pass


class Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """A client that hangs up is part of the play."""


@pytest.fixture
def scripted():
    """A function that starts a server with the steps and returns its `Scripted`."""
    servers = []

    def start(*steps: Callable, data: bytes = DATA) -> Scripted:
        script = Scripted(data=data, steps=list(steps))
        handler = type("Handler", (Handler,), {"script": script})
        server = Quiet(("127.0.0.1", 0), handler)
        script.url = f"http://127.0.0.1:{server.server_port}/weights.pt"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append((server, script))
        return script

    yield start
    for server, script in servers:
        script.closing.set()
        server.shutdown()
        server.server_close()


def answer(handler: Handler, status: int, headers: dict[str, str], body: bytes = b"") -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def whole(etag: str | None = '"v1"', *, until: int | None = None, honest: bool = True, stall: bool = False):
    """Answers as a static file server does: with ranges, and If-Range obeyed.

    Args:
        etag: of the file, None for a server without validators.
        until: cuts the connection at this byte of the file.
        honest: False: ignores the range and sends everything.
        stall: at `until` goes silent and keeps the connection, instead of cutting it.
    """

    def step(handler: Handler) -> None:
        data, headers, status, start = handler.script.data, {}, 200, 0
        asked = handler.headers.get("Range")
        if asked and honest and handler.headers.get("If-Range") == etag:
            start, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        headers["Content-Length"] = str(len(data) - start)
        if etag:
            headers["ETag"] = etag
        answer(handler, status, headers, data[start:until])
        if stall:
            handler.wfile.flush()
            handler.script.closing.wait(20)

    return step


def status(code: int, headers: dict[str, str] | None = None, body: bytes = b""):
    """Answers with a status."""

    def step(handler: Handler) -> None:
        answer(handler, code, {"Content-Length": str(len(body)), **(headers or {})}, body)

    return step


def hang_up(handler: Handler) -> None:
    """Closes the connection without a word."""
    handler.close_connection = True


def drip(seconds_between: float):
    """Sends a byte now and then, without end."""

    def step(handler: Handler) -> None:
        answer(handler, 200, {"Content-Length": str(len(handler.script.data))})
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not handler.script.closing.wait(seconds_between):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    return step


@pytest.fixture
def steps():
    """The steps of the play, by name."""

    class Steps:
        whole = staticmethod(whole)
        status = staticmethod(status)
        hang_up = staticmethod(hang_up)
        drip = staticmethod(drip)
        answer = staticmethod(answer)

    return Steps


@pytest.fixture
def directory(tmp_path):
    return fetch.private_directory(tmp_path)


@pytest.fixture
def fetched(directory):
    """Fetches a URL into the directory and returns what `fetch` returns."""

    def run(url, *, sha256=None, limits=QUICK, progress=lambda _done, _total: None, endpoint=None, env=None):
        return fetch.fetch(
            location.parse(str(url)),
            directory=directory,
            sha256=sha256,
            endpoint=endpoint,
            env=env or {},
            progress=progress,
            limits=limits,
        )

    return run


@pytest.fixture
def loaded(tmp_path):
    """Loads a file in a fresh sandbox."""

    def run(path, *, version=None, heartbeat=lambda: None):
        where = location.parse(str(path))
        found = Fetched(
            path=path, temporary=False, sha256="", size=path.stat().st_size, vouched=False, version=version
        )
        return load.load(
            found,
            kind=local.identify(found, location=where, architecture="resnet18"),
            location=where,
            directory=tmp_path,
            sandbox=Sandbox(),
            heartbeat=heartbeat,
        ).tensors

    return run


@pytest.fixture
def saved(tmp_path):
    """Saves an object as people do, and returns the path."""

    def run(something, **options):
        path = tmp_path / "weights.pt"
        torch.save(something, path, **options)
        return path

    return run
