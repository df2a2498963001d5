"""The two listeners of a server and its end: admin from the first second, the API once a classifier is there.

Nothing here imports NumPy or Flask before `run`, so that probes are answered while those load.
"""

import logging
import resource
import signal
import sys
import threading
import time
from contextlib import ExitStack
from http import HTTPStatus
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from catfish_server.lifecycle import Lifecycle, Stage
from catfish_server.settings import Settings
from catfish_server.telemetry.access import AccessLog, Entry
from catfish_server.telemetry.metrics import Metrics
from catfish_server.telemetry.tracing import OFF, Tracing
from catfish_server.web.admin import Admin
from catfish_server.web.drain import Drain
from catfish_server.web.limits import Limits
from catfish_server.web.listener import Listener

if TYPE_CHECKING:
    from catfish_server.inference.classifier import Classifier
    from catfish_server.predictions.log import PredictionLog
    from catfish_server.protocol.model import OpenModel
    from catfish_server.protocol.remote import Remote

logger = logging.getLogger(__name__)


class _Stop(Protocol):
    def __call__(self, *, drain_seconds: float | None) -> None: ...


THREADS = 32
"""Requests that are decoded, fetched or waited for at the same time; the inference threads are others."""

FINISH_SECONDS = 30.0
"""That a drain waits at least for what is in flight: the longest request by default, and uploads have their time where
the longest is shorter. docs/contract.md adds 5 s to it for the grace period of the pod."""

_SPARE_DESCRIPTORS = 128  # for the admin port, image URLs and the process itself


class Server:
    """Serves one classifier over HTTP until it is told to stop.

    Args:
        settings: addresses, limits, the drain.
        lifecycle: told when the server is ready and when it drains.
        tracing: takes the spans; closed when the server leaves.
    """

    def __init__(self, settings: Settings, lifecycle: Lifecycle, *, tracing: Tracing = OFF) -> None:
        self._settings = settings
        self._lifecycle = lifecycle
        self._metrics = Metrics(lifecycle, revision=settings.revision or "")
        self._tracing = tracing
        self._access_log: AccessLog | None = None
        self._admin: Admin | None = None
        self._api: Listener | None = None
        self._remote: Remote | None = None
        self._stop_requests: list[float] = []  # seconds of draining, one for each signal
        self._heeded = 0  # of these

    @property
    def admin_port(self) -> int | None:
        """The port of the probes, None before `start_admin`."""
        return self._admin.port if self._admin else None

    @property
    def port(self) -> int | None:
        """The port of the API, None before `run`."""
        return self._api.port if self._api else None

    @property
    def grpc_port(self) -> int | None:
        """The port of gRPC, None before `run` and where there is none."""
        return self._remote.port if self._remote else None

    def start_admin(self) -> None:
        """Opens the port of the probes and the metrics; returns at once."""
        self._admin = Admin(
            host=self._settings.host,
            port=self._settings.admin_port,
            lifecycle=self._lifecycle,
            metrics=self._metrics,
        )

    def stop(self, *, drain_seconds: float | None = None) -> None:
        """Asks `run` to drain and return, as SIGTERM does; asked again, not to wait for what it is waiting for.

        Safe in a signal handler and in other threads, also after the end.

        Args:
            drain_seconds: how long new requests are still answered; None: as the settings say.
        """
        seconds = self._settings.drain_seconds if drain_seconds is None else drain_seconds
        self._stop_requests.append(seconds)
        if self._api is not None:
            self._api.wake()

    @property
    def _finish_seconds(self) -> float:
        """How long what is in flight may take once nothing new is taken."""
        return max(FINISH_SECONDS, self._settings.request_timeout_seconds)

    @property
    def metrics(self) -> Metrics:
        """What the server counts."""
        return self._metrics

    def run(self, classifier: "Classifier", *, log: "PredictionLog | None" = None) -> None:
        """Opens the API's port, is ready, and returns when everything that was asked has been answered.

        Args:
            classifier: warmed up; closed when this returns.
            log: told of every prediction; delivers what it holds before this returns. None: none is kept.
        """
        model = self._open_model(classifier, log)
        api = self._api = self._listen(classifier, model)
        longest = self._settings.request_timeout_seconds
        self._lifecycle.watch(classifier.engine.busy_seconds, longest_seconds=longest)
        _heed_signals(self.stop)
        try:
            self._remote = self._listen_remotely(model)
            self._lifecycle.enter(Stage.READY)
            if self._remote is not None:
                self._remote.ready()
            logger.info("Ready: answering on %s:%d.", self._settings.host, api.port)
            self._loop(api)
        finally:
            self._close(api, classifier, log)

    def _close(self, api: Listener, classifier: "Classifier", log: "PredictionLog | None") -> None:
        """Closes everything, each also where closing one before failed; told to stop again, waits for no log."""
        with ExitStack() as last_first:
            if self._admin is not None:
                last_first.callback(self._admin.stop)
            last_first.callback(self._tracing.close)
            if self._access_log is not None:
                last_first.callback(self._access_log.close)
            last_first.callback(classifier.close)
            if log is not None:
                last_first.callback(log.close, hurried=lambda: len(self._stop_requests) > self._heeded)
            last_first.callback(api.close)
            if self._remote is not None:
                last_first.callback(self._remote.close)

    def _open_model(self, classifier: "Classifier", log: "PredictionLog | None") -> "OpenModel":
        from catfish_server.protocol.model import OpenModel  # noqa: PLC0415 (imports NumPy)
        from catfish_server.service import Service  # noqa: PLC0415

        service = Service(self._settings, classifier, self._metrics, log=log, tracing=self._tracing)
        return OpenModel(service, ready=lambda: self._lifecycle.snapshot().ready)

    def _listen_remotely(self, model: "OpenModel") -> "Remote | None":
        if not self._settings.grpc_port:
            return None
        from catfish_server.protocol.calls import Calls  # noqa: PLC0415 (grpcio only where it is used)
        from catfish_server.protocol.remote import Remote  # noqa: PLC0415

        calls = Calls(
            model,
            self._metrics,
            revision=self._settings.revision,
            user_header=self._settings.user_header,
            tracing=self._tracing,
            exchanged=self._exchanged,
        )
        return Remote(
            calls,
            host=self._settings.host,
            port=self._settings.grpc_port,
            max_body_bytes=self._settings.max_body_bytes,
            max_header_bytes=self._settings.max_header_bytes,
            longest_seconds=self._settings.request_timeout_seconds,
        )

    def _listen(self, classifier: "Classifier", model: "OpenModel") -> Listener:
        from catfish_server.web.app import create_app  # noqa: PLC0415 (imports Flask)

        self._metrics.know_classes(classifier.labels)
        self._metrics.watch_queue(classifier.engine.queued)
        self._metrics.watch_runtime(lambda: classifier.runtime)
        classifier.engine.observe(self._metrics.batched)
        if self._settings.access_log:
            self._access_log = AccessLog(
                sys.stdout, revision=self._settings.revision or "", dropped=self._metrics.unlogged
            )
        return Listener(
            create_app(self._settings, classifier, self._metrics, open_model=model, tracing=self._tracing),
            host=self._settings.host,
            port=self._settings.port,
            threads=THREADS,
            limits=Limits.of(
                self._settings, connections=_affordable_connections(self._settings.max_connections)
            ),
            refused=self._refused,
            exchanged=self._exchanged,
        )

    def _exchanged(self, entry: Entry) -> None:
        """Counts and logs a request that got its answer."""
        self._metrics.transferred(bytes_in=entry.bytes_in, bytes_out=entry.bytes_out)
        if self._access_log is not None:
            self._access_log.write(entry)

    def _refused(self, status: int) -> None:
        """Counts a request that never reached the application."""
        self._metrics.answered("", status)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self._metrics.rejected("bodies")

    def _loop(self, api: Listener) -> None:
        drain = Drain(api, finish_seconds=self._finish_seconds)
        while not (drain.done and (self._remote is None or self._remote.stopped)):
            api.turn(drain.turn_seconds(time.monotonic()))
            self._heeded = len(self._stop_requests)
            if self._heeded > 1:
                logger.warning("Told to stop a second time: leaving at once.")
                return
            if self._heeded:
                self._drain_on(drain)
        logger.info("Everything is answered: leaving.")

    def _drain_on(self, drain: Drain) -> None:
        now = time.monotonic()
        if self._lifecycle.snapshot().ready:
            seconds = self._stop_requests[0]
            logger.info("Told to stop: answering for %.0f s more.", seconds)
            self._lifecycle.enter(Stage.DRAINING)
            limit = self._settings.drain_limit_seconds if seconds else 0.0
            drain.begin(now, seconds=seconds, limit_seconds=limit)
            if self._remote is not None:
                self._remote.drain()
        self._lifecycle.progress(0)  # draining may be long; it is a sign of life that this loop turns
        drain.step(now)
        if drain.closing and self._remote is not None:
            self._remote.stop(grace_seconds=self._finish_seconds)


def _heed_signals(stop: _Stop) -> None:
    """SIGTERM drains; SIGINT, from a keyboard behind which no load balancer stands, skips the waiting.

    The handlers stay to the end of the process. Nothing is raised: a signal while the server closes could otherwise
    leave anything unclosed, at whatever line it comes.
    """
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        return

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop(drain_seconds=0 if number == signal.SIGINT else None)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


def _affordable_connections(limit: int) -> int:
    """The connection limit, less where the system gives fewer descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limit + _SPARE_DESCRIPTORS
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < wanted:
        logger.warning("Only %d file descriptors: accepting %d connections.", soft, soft - _SPARE_DESCRIPTORS)
    return max(1, min(limit, soft - _SPARE_DESCRIPTORS))
