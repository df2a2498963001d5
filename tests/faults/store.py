"""A store for weights, and a registry for images, that misbehave: the script runs in a pod, standard library alone.

    /403/…      refuses            /stalled/…   sends the beginning, then nothing more
    /500/…      is out of order    /slow/N/…    sends the real file, N bytes a second
    /v2/…       a registry that has no image; below /v2/private/ one with an image, for those who have the credentials

What lies behind `…` is fetched from the store named on the command line. The registry is why the pod uses the
node's network: containerd speaks plain HTTP with localhost alone.
"""

import base64
import gzip
import hashlib
import http.client
import io
import json
import sys
import tarfile
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STALLED_BYTES = 100_000
STALLED_SECONDS = 3600.0
USER, PASSWORD = "puller", "of-private-images"
CREDENTIALS = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
MANIFEST, CONFIG, LAYER = (
    f"application/vnd.oci.image.{kind}"
    for kind in ("manifest.v1+json", "config.v1+json", "layer.v1.tar+gzip")
)


def image() -> dict[str, tuple[str, bytes]]:
    """An image that can be pulled and does nothing, by digest: the type and the content of each part.

    The manifest comes first. As https://github.com/opencontainers/image-spec has it.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    layer = gzip.compress(archive.getvalue(), mtime=0)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"User": "65532", "Entrypoint": ["/nothing"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(archive.getvalue())]},
    }
    parts = {CONFIG: json.dumps(config).encode(), LAYER: layer}
    told = [
        {"mediaType": kind, "digest": _digest(content), "size": len(content)}
        for kind, content in parts.items()
    ]
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": told[0], "layers": told[1:]}
    found = {MANIFEST: json.dumps(manifest).encode()} | parts
    return {_digest(content): (kind, content) for kind, content in found.items()}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


IMAGE = image()


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
            self._private(rest)
        else:
            errors = [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]
            self._say(404, json.dumps({"errors": errors}).encode())

    def _private(self, rest: str) -> None:
        """Any name and any tag below is the one image."""
        if self.headers.get("Authorization") != CREDENTIALS:
            errors = [{"code": "UNAUTHORIZED", "message": "no"}]
            return self._say(401, json.dumps({"errors": errors}).encode(), challenge='Basic realm="private"')
        *_, what, reference = rest.split("/")
        digest = reference if what == "blobs" or reference in IMAGE else next(iter(IMAGE))
        if digest not in IMAGE:
            return self._say(404, b"{}")
        kind, content = IMAGE[digest]
        return self._say(200, content, kind=kind, digest=digest)

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

    def _say(self, status: int, body: bytes, *, kind: str = "application/json", **more: str) -> None:
        self._head(status, len(body), kind=kind, **more)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(
        self,
        status: int,
        length: int,
        *,
        kind: str = "application/json",
        challenge: str = "",
        digest: str = "",
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        if digest:
            self.send_header("Docker-Content-Digest", digest)
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
