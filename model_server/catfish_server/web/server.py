"""The two listeners of a server and its end: admin from the first second, the API once a classifier is there.

Nothing here imports NumPy or Flask before `run`, so that probes are answered while those load.
"""

import logging
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http import HTTPStatus
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from catfish_server.lifecycle import Lifecycle, Stage
from catfish_server.settings import Settings
from catfish_server.telemetry.metrics import Metrics
from catfish_server.web.admin import Admin
from catfish_server.web.drain import Drain
from catfish_server.web.listener import Listener

if TYPE_CHECKING:
    from catfish_server.inference.classifier import Classifier

logger = logging.getLogger(__name__)


class _Stop(Protocol):
    def __call__(self, *, drain_seconds: float | None) -> None: ...


THREADS = 32
"""Requests that are decoded, fetched or waited for at the same time; the inference threads are others."""

CONNECTION_LIMIT = 2000
_SPARE_DESCRIPTORS = 128  # for the admin port, image URLs and the process itself


class Server:
    """Serves one classifier over HTTP until it is told to stop.

    Args:
        settings: addresses, limits, the drain.
        lifecycle: told when the server is ready and when it drains.
    """

    def __init__(self, settings: Settings, lifecycle: Lifecycle) -> None:
        self._settings = settings
        self._lifecycle = lifecycle
        self._metrics = Metrics(lifecycle, revision=settings.revision or "")
        self._admin: Admin | None = None
        self._api: Listener | None = None
        self._stop_requests: list[float] = []  # seconds of draining, one for each signal

    @property
    def metrics(self) -> Metrics:
        """What it counts."""
        return self._metrics

    @property
    def admin_port(self) -> int | None:
        """The port of the probes, None before `start_admin`."""
        return self._admin.port if self._admin else None

    @property
    def port(self) -> int | None:
        """The port of the API, None before `run`."""
        return self._api.port if self._api else None

    def start_admin(self) -> None:
        """Opens the port of the probes and the metrics; returns at once."""
        self._admin = Admin(
            host=self._settings.host,
            port=self._settings.admin_port,
            lifecycle=self._lifecycle,
            metrics=self._metrics,
        )

    def stop(self, *, drain_seconds: float | None = None) -> None:
        """Asks `run` to drain and return, as SIGTERM does; asked a second time, to return now.

        Args:
            drain_seconds: how long new requests are still answered; None: as the settings say.
        """
        seconds = self._settings.drain_seconds if drain_seconds is None else drain_seconds
        self._stop_requests.append(seconds)
        if self._api is not None:
            self._api.wake()

    def run(self, classifier: "Classifier") -> None:
        """Opens the API's port, is ready, and returns when everything that was asked has been answered.

        Args:
            classifier: warmed up; closed when this returns.
        """
        api = self._api = self._listen(classifier)
        self._lifecycle.watch(classifier.engine.busy_seconds)
        try:
            with _signals(self.stop):
                self._lifecycle.enter(Stage.READY)
                logger.info("Ready: answering on %s:%d.", self._settings.host, api.port)
                self._loop(api)
        finally:
            api.close()
            classifier.close()
            if self._admin is not None:
                self._admin.stop()

    def _listen(self, classifier: "Classifier") -> Listener:
        from catfish_server.web.app import create_app  # noqa: PLC0415 (imports NumPy and Flask)

        self._metrics.know_classes(classifier.labels)
        self._metrics.watch_queue(classifier.engine.queued)
        self._metrics.watch_runtime(lambda: asdict(classifier.runtime))
        return Listener(
            create_app(self._settings, classifier, self._metrics),
            host=self._settings.host,
            port=self._settings.port,
            threads=THREADS,
            connection_limit=_affordable_connections(),
            max_body_bytes=self._settings.max_body_bytes,
            refused=self._refused,
        )

    def _refused(self, status: int) -> None:
        """Counts a request that never reached the application."""
        self._metrics.answered("", status)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            self._metrics.rejected("bodies")

    def _loop(self, api: Listener) -> None:
        drain = Drain(api)
        while not drain.done:
            api.turn(drain.turn_seconds(time.monotonic()))
            if len(self._stop_requests) > 1:
                logger.warning("Told to stop a second time: leaving at once.")
                return
            if self._stop_requests:
                self._drain_on(drain)
        logger.info("Everything is answered: leaving.")

    def _drain_on(self, drain: Drain) -> None:
        now = time.monotonic()
        if self._lifecycle.snapshot().ready:
            seconds = self._stop_requests[0]
            logger.info("Told to stop: answering for %.0f s more.", seconds)
            self._lifecycle.enter(Stage.DRAINING)
            drain.begin(now, seconds=seconds)
        self._lifecycle.progress(0)  # draining may be long; it is a sign of life that this loop turns
        drain.step(now)


@contextmanager
def _signals(stop: _Stop) -> Iterator[None]:
    """SIGTERM drains; SIGINT, from a keyboard behind which no load balancer stands, skips the waiting."""
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield
        return

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop(drain_seconds=0 if number == signal.SIGINT else None)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _affordable_connections() -> int:
    """The connection limit, less where the system gives fewer descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTION_LIMIT + _SPARE_DESCRIPTORS
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < wanted:
        logger.warning("Only %d file descriptors: accepting %d connections.", soft, soft - _SPARE_DESCRIPTORS)
    return max(1, min(CONNECTION_LIMIT, soft - _SPARE_DESCRIPTORS))
