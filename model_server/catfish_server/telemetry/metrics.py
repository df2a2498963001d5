"""What `/metrics` tells, in the names and units of Prometheus.

One registry of its own for each server: nothing is global, so that two servers in one process do not mix.
`make docs` writes the list in docs/server-api.md from it.
"""

import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from catfish_server.lifecycle import Lifecycle
from catfish_server.telemetry import gauges

STAGES = ("fetch", "decode", "queue", "infer", "total")
"""Parts of a request whose time is measured; no other value of the label is ever made."""

REASONS = ("queue", "deadline", "threads", "fetches", "decoding", "bodies", "closed", "log")
"""Why a request is answered 503."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STAGE_SECONDS = (0.0005, 0.001, 0.0025, *_SECONDS)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
_AWAITED_STATUSES = (200, 500, 503)
_GRPC = "/inference.GRPCInferenceService/"
INFERENCES = ("/predict", "/v2/models/{model}/infer", f"{_GRPC}ModelInfer")
"""Paths that answer with a prediction; the operator judges a rollout by what they answer."""

_KNOWN_PATHS = frozenset(
    {
        "/",
        "/v2",
        "/feedback",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/{model}",
        "/v2/models/{model}/ready",
        *(f"{_GRPC}{name}" for name in ("ServerLive", "ServerReady", "ServerMetadata")),
        *(f"{_GRPC}{name}" for name in ("ModelReady", "ModelMetadata")),
        *INFERENCES,
    }
)
_MODEL = re.compile(r"/v2/models/[^/]+(?:/versions/[^/]+)?((?:/ready|/infer)?)")


class Batch(Protocol):
    """One pass of the model, as its engine tells of it."""

    @property
    def size(self) -> int:
        """Images in it."""


class Metrics:
    """Counts what happens, and reads the gauges off their owners when it is asked.

    Args:
        lifecycle: the stage and its progress.
        revision: the name of the model's revision, empty on a laptop.
    """

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, lifecycle: Lifecycle, *, revision: str) -> None:
        self.registry = CollectorRegistry()
        self._make_requests()
        self._make_others()
        self._make_predictions()
        self._make_times()
        info = Gauge(
            "catfish_build_info",
            "Always 1; the version of the server and the revision of the model.",
            ["version", "revision"],
            registry=self.registry,
        )
        info.labels(version=build_version(), revision=revision).set(1)
        self.registry.register(gauges.Stages(lifecycle))

    def _make_requests(self) -> None:
        self._requests = Counter(
            "catfish_requests",
            "Requests answered, by path (`/`, `/predict`, `/v2…` with `{model}` for the name, the methods of gRPC, "
            "`other`) and status code of HTTP; `200`, `500` and `503` of what predicts are there from the start.",
            ["path", "code"],
            registry=self.registry,
        )
        self._rejections = Counter(
            "catfish_rejections",
            "Requests that were answered 503, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "catfish_requests_in_flight", "Requests being answered now.", registry=self.registry
        )
        self._queued = Gauge(
            "catfish_queued_requests",
            "Requests that wait for an inference thread now.",
            registry=self.registry,
        )
        # Before the first of each kind a rate over it would be unknown instead of 0.
        for path in INFERENCES:
            for status in _AWAITED_STATUSES:
                self._requests.labels(path, str(status))
        for reason in REASONS:
            self._rejections.labels(reason)

    def _make_others(self) -> None:
        self._bytes_in = Counter(
            "catfish_request_bytes", "Bodies that came, as bytes on the wire.", registry=self.registry
        )
        self._bytes_out = Counter(
            "catfish_response_bytes", "Bodies of the answers, in bytes.", registry=self.registry
        )
        self._unlogged = Counter(
            "catfish_access_log_dropped",
            "Lines of the access log that nobody read in time.",
            registry=self.registry,
        )
        self._engines = Counter(
            "catfish_engines_tried",
            "Engines that were tried in the place of eager, by what became of them: `chosen`, `slower`, `disagrees` "
            "(with eager), `failed`, `no_room` (too little memory is left to build it).",
            ["engine", "state"],
            registry=self.registry,
        )

    def _make_predictions(self) -> None:
        self._predictions = Counter(
            "catfish_predictions", "Predictions, by class.", ["label"], registry=self.registry
        )
        self._images = Counter("catfish_images", "Images that got an answer.", registry=self.registry)
        self._unknown = Counter(
            "catfish_images_unknown",
            "Those of them in which no class reached the threshold.",
            registry=self.registry,
        )

    def _make_times(self) -> None:
        self._seconds = Histogram(
            "catfish_request_duration_seconds",
            "From the images of a request being here to their classes; requests that got a prediction only.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "catfish_request_stage_seconds",
            "Parts of the requests: `fetch` an image's address, `decode` an image, `queue` for an inference thread, "
            "`infer` (one pass of the model), and `total`, from the last byte of a request to its prediction.",
            ["stage"],
            buckets=_STAGE_SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "catfish_batch_size",
            "Images in one pass of the model.",
            buckets=_BATCH_SIZES,
            registry=self.registry,
        )
        for stage in STAGES:
            self._stages.labels(stage)

    def know_classes(self, labels: tuple[str, ...]) -> None:
        """Lets every class appear with 0, so that a rate over it exists from the first prediction on."""
        for label in labels:
            self._predictions.labels(label)

    def watch_queue(self, queued: Callable[[], int]) -> None:
        """Reads the length of the queue from its owner."""
        self._queued.set_function(lambda: float(queued()))

    def watch_runtime(self, runtime: Callable[[], gauges.Runtime]) -> None:
        """Reads what the model runs on from its owner, who may change it while the server runs."""
        self.registry.register(gauges.Runtimes(runtime))

    def tried(self, engine: str, state: str) -> None:
        """An engine was tried; both are words of `inference.engines`."""
        self._engines.labels(engine, state).inc()

    def started(self) -> None:
        """A request is being answered."""
        self._in_flight.inc()

    def finished(self) -> None:
        """A request that was `started` is not being answered any more."""
        self._in_flight.dec()

    def answered(self, path: str, status: int) -> None:
        """A request got its answer; paths that strangers invent share one label, and all models another.

        Args:
            path: of HTTP, or gRPC's method.
            status: of HTTP, or the one that stands for gRPC's.
        """
        if found := _MODEL.fullmatch(path):
            path = "/v2/models/{model}" + found[1]
        self._requests.labels(path if path in _KNOWN_PATHS else "other", str(status)).inc()

    def transferred(self, *, bytes_in: int, bytes_out: int) -> None:
        """The bodies of a request and of its answer."""
        self._bytes_in.inc(bytes_in)
        self._bytes_out.inc(bytes_out)

    def predicted(self, label: str, *, unknown: bool = False) -> None:
        """An image got its class, or none because of the threshold."""
        self._predictions.labels(label).inc()
        self._images.inc()
        if unknown:
            self._unknown.inc()

    def timed(self, seconds: float) -> None:
        """A request got its prediction, or several, so long after its images were here."""
        self._seconds.observe(seconds)

    def staged(self, stage: str, seconds: float) -> None:
        """A part of a request, one of `STAGES`, took so long."""
        if stage not in STAGES:
            raise ValueError(f"{stage!r} is not a stage")
        self._stages.labels(stage).observe(seconds)

    def batched(self, batch: Batch) -> None:
        """The model ran once."""
        self._batches.observe(batch.size)

    def rejected(self, reason: str) -> None:
        """A request was refused; `reason` is one of a few fixed words."""
        self._rejections.labels(reason).inc()

    def unlogged(self) -> None:
        """A line of the access log was dropped."""
        self._unlogged.inc()

    def text(self) -> bytes:
        """All of it in the Prometheus text format."""
        return generate_latest(self.registry)


def build_version() -> str:
    """Of the package that runs."""
    try:
        return version("catfish")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "checkout"
