"""The port of the probes and the metrics: its own listener on its own threads.

The API's port may be full, its threads busy and half-open connections piled up on it: the kubelet still gets
an answer here, or it would restart a pod for being popular.
"""

import json
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus

from catfish_server.lifecycle import Lifecycle, Snapshot
from catfish_server.telemetry.metrics import Metrics
from catfish_server.web import problems
from catfish_server.web.limits import Limits
from catfish_server.web.listener import Listener

_THREADS = 2
_LIMITS = Limits(
    connections=100,
    body_bytes=1024,
    header_bytes=16 * 1024,
    header_seconds=5.0,
    body_seconds=15.0,
    body_bytes_per_second=64 * 1024,
)
"""Of the kubelet, of the operator and of Prometheus; the settings are about strangers."""

StartResponse = Callable[[str, list[tuple[str, str]]], object]
Answer = tuple[HTTPStatus, str, bytes]


class Admin:
    """Answers `/livez`, `/readyz` and `/metrics` from its start to its end.

    Args:
        host: the address to bind to.
        port: 0 chooses a free one.
        lifecycle: where the server stands.
        metrics: what it has counted.
    """

    def __init__(self, *, host: str, port: int, lifecycle: Lifecycle, metrics: Metrics) -> None:
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._stopped = threading.Event()
        self._listener = Listener(
            self._application,
            host=host,
            port=port,
            threads=_THREADS,
            limits=_LIMITS,
            refused=lambda _: None,
        )
        self._thread = threading.Thread(target=self._loop, name="admin", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it is bound to."""
        return self._listener.port

    def stop(self) -> None:
        """Closes the port."""
        self._stopped.set()
        self._listener.wake()
        self._thread.join(timeout=5)

    def _loop(self) -> None:
        while not self._stopped.is_set():
            self._listener.turn(1.0)
        self._listener.close()

    def _application(self, environ: dict[str, object], start_response: StartResponse) -> Iterable[bytes]:
        status, content_type, body = self._answer(str(environ["REQUEST_METHOD"]), str(environ["PATH_INFO"]))
        headers = [
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ]
        start_response(f"{status.value} {status.phrase}", headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _answer(self, method: str, path: str) -> Answer:
        if method not in {"GET", "HEAD"}:
            return _problem(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is answered here.")
        now = self._lifecycle.snapshot()
        match path:
            case "/livez":
                return _verdict(now, good=now.alive)
            case "/readyz":
                return _verdict(now, good=now.ready)
            case "/metrics":
                return HTTPStatus.OK, self._metrics.content_type, self._metrics.text()
            case _:
                return _problem(HTTPStatus.NOT_FOUND, "Here are /livez, /readyz and /metrics.")


def _verdict(now: Snapshot, *, good: bool) -> Answer:
    """The stage, its progress where there is one to tell, and what is known of the model by now."""
    told: dict[str, object] = {"stage": now.stage.value}
    if now.done or now.total is not None:
        told |= {"done": now.done, "total": now.total}
    if now.total:
        told["progress"] = round(now.done / now.total, 3)
    if not now.alive:
        told["quietSeconds"] = round(now.quiet_seconds, 1)
    if now.weights is not None:
        told["weights"] = {
            "sha256": now.weights.sha256,
            "bytes": now.weights.size,
            "format": now.weights.format,
            "downloadSeconds": round(now.weights.download_seconds, 3),
        }
    if now.score is not None:
        told["verification"] = {"right": now.score.right, "total": now.score.total}
    status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps(told).encode() + b"\n"


def _problem(status: HTTPStatus, detail: str) -> Answer:
    request_id = problems.request_id(None)
    body = problems.body(status=status, title=status.phrase, detail=detail, request_id=request_id)
    return status, problems.CONTENT_TYPE, body
