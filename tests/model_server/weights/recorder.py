"""A proxy in front of a store that remembers who asked: which key signed, and with which token."""

import http.client
import http.server
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass
class Recorder:
    """The requests that came by.

    Attributes:
        url: where the proxy listens.
        seen: the key's id and the session token of each request, None for what it did not have.
        answers: statuses to give before anything is handed on.
    """

    url: str = ""
    seen: list[tuple[str | None, str | None]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


class Proxy(http.server.BaseHTTPRequestHandler):
    behind: str
    recorder: Recorder
    protocol_version = "HTTP/1.1"

    def _hand_on(self):
        self.recorder.seen.append(signer(self.path, self.headers))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.recorder.answers:
            self._answer(self.recorder.answers.pop(0), [], b"")
            return
        upstream = http.client.HTTPConnection(self.behind, timeout=10)
        try:
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            response = upstream.getresponse()
            self._answer(response.status, response.getheaders(), response.read())
        finally:
            upstream.close()

    def _answer(self, status, headers, data):
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = _hand_on  # noqa: N815 (the names are the library's)

    def log_message(self, *_arguments):
        pass


def signer(path, headers):
    """Who signed a request of S3, in its address or in its head."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
    signed = query.get("X-Amz-Credential") or headers.get("Authorization", "").partition("Credential=")[2]
    token = query.get("X-Amz-Security-Token") or headers.get("X-Amz-Security-Token")
    return signed.partition("/")[0] or None, token


@contextmanager
def in_front_of(url):
    """A `Recorder` before a store, which sees the name that the client has asked for."""
    recorder = Recorder()
    proxy = type("Proxy", (Proxy,), {"behind": urlsplit(url).netloc, "recorder": recorder})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), proxy)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    recorder.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
