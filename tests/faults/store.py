"""A store for weights, and a registry for images, that misbehave: the script runs in a pod, standard library alone.

    /403/…      refuses            /stalled/…   sends the beginning, then nothing more
    /500/…      is out of order    /slow/N/…    sends the real file, N bytes a second
    /v2/…       a registry that has no image; below /v2/private/ one that wants credentials

What lies behind `…` is fetched from the store named on the command line. The registry is why the pod uses the
node's network: containerd speaks plain HTTP with localhost alone.
"""

import http.client
import json
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STALLED_BYTES = 100_000
STALLED_SECONDS = 3600.0


class Handler(BaseHTTPRequestHandler):
    """Answers one request the way its path says."""

    protocol_version = "HTTP/1.1"
    behind = ""

    def do_HEAD(self) -> None:
        """What a registry is asked first."""
        self.do_GET()

    def do_GET(self) -> None:
        """See the module."""
        kind, _, rest = self.path.lstrip("/").partition("/")
        if kind == "v2":
            self._registry(rest)
        elif kind in {"403", "500"}:
            self._say(int(kind), b"no")
        elif kind == "stalled":
            self._stall(self._fetch(rest))
        elif kind == "slow":
            rate, _, name = rest.partition("/")
            self._trickle(self._fetch(name), int(rate))
        else:
            self._say(200 if kind == "" else 404, b"")

    def _registry(self, rest: str) -> None:
        if not rest:
            self._say(200, b"{}")
        elif rest.startswith("private/"):
            self._say(403, json.dumps({"errors": [{"code": "DENIED", "message": "no"}]}).encode())
        else:
            errors = [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]
            self._say(404, json.dumps({"errors": errors}).encode())

    def _fetch(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.behind}/{path}", timeout=30) as reply:
            return bytes(reply.read())

    def _stall(self, content: bytes) -> None:
        self._head(200, len(content))
        self.wfile.write(content[:STALLED_BYTES])
        self.wfile.flush()
        time.sleep(STALLED_SECONDS)

    def _trickle(self, content: bytes, rate: int) -> None:
        self._head(200, len(content))
        for start in range(0, len(content), rate // 4):
            self.wfile.write(content[start : start + rate // 4])
            self.wfile.flush()
            time.sleep(0.25)

    def _say(self, status: int, body: bytes) -> None:
        self._head(status, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def handle(self) -> None:
        """A client that went away is no news here."""
        try:
            super().handle()
        except (ConnectionError, http.client.HTTPException):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Quiet."""


def server(address: tuple[str, int], behind: str) -> ThreadingHTTPServer:
    """The store, listening."""
    handler = type("Bound", (Handler,), {"behind": behind})
    return ThreadingHTTPServer(address, handler)


if __name__ == "__main__":
    server(("0.0.0.0", int(sys.argv[1])), sys.argv[2]).serve_forever()
