"""What `/metrics` tells, in the names and units of Prometheus.

One registry of its own for each server: nothing is global, so that two servers in one process do not mix.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from catfish_server.lifecycle import Lifecycle, Stage

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_AWAITED_STATUSES = (200, 500, 503)
_KNOWN_PATHS = frozenset({"/", "/predict"})


class Metrics:
    """Counts what happens, and reads the gauges off their owners when it is asked.

    Args:
        lifecycle: the stage and its progress.
        revision: the name of the model's revision, empty on a laptop.
    """

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, lifecycle: Lifecycle, *, revision: str) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "catfish_requests",
            "HTTP requests answered, by path and status code.",
            ["path", "code"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "catfish_request_duration_seconds",
            "From the image being here to its class, predictions only.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._predictions = Counter(
            "catfish_predictions", "Predictions, by class.", ["label"], registry=self.registry
        )
        self._rejections = Counter(
            "catfish_rejections", "Requests that were refused, by reason.", ["reason"], registry=self.registry
        )
        self._in_flight = Gauge(
            "catfish_requests_in_flight", "Requests being answered now.", registry=self.registry
        )
        self._queued = Gauge(
            "catfish_queued_requests", "Requests that wait for an inference thread.", registry=self.registry
        )
        self._engines = Counter(
            "catfish_engines_tried",
            "Engines that were tried in the place of eager, by what became of them.",
            ["engine", "state"],
            registry=self.registry,
        )
        # Before the first of each kind a rate over it would be unknown instead of 0.
        for status in _AWAITED_STATUSES:
            self._requests.labels("/predict", str(status))
        info = Gauge("catfish_build_info", "Always 1.", ["version", "revision"], registry=self.registry)
        info.labels(version=_version(), revision=revision).set(1)
        self.registry.register(_Stages(lifecycle))

    def know_classes(self, labels: tuple[str, ...]) -> None:
        """Lets every class appear with 0, so that a rate over it exists from the first prediction on."""
        for label in labels:
            self._predictions.labels(label)

    def watch_queue(self, queued: Callable[[], int]) -> None:
        """Reads the length of the queue from its owner."""
        self._queued.set_function(lambda: float(queued()))

    def watch_runtime(self, runtime: Callable[[], Mapping[str, object]]) -> None:
        """Reads what runs the model, which may change, from its owner: engine, device, instruction set, threads."""
        self.registry.register(_Runtime(runtime))

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
        """A request got its answer; paths that strangers invent share one label."""
        self._requests.labels(path if path in _KNOWN_PATHS else "other", str(status)).inc()

    def predicted(self, label: str, seconds: float) -> None:
        """An image got its class."""
        self._predictions.labels(label).inc()
        self._seconds.observe(seconds)

    def rejected(self, reason: str) -> None:
        """A request was refused; `reason` is one of a few fixed words."""
        self._rejections.labels(reason).inc()

    def text(self) -> bytes:
        """All of it in the Prometheus text format."""
        return generate_latest(self.registry)


def _version() -> str:
    try:
        return version("catfish")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "checkout"


class _Runtime(Collector):
    """What runs the model, as labels of one gauge."""

    def __init__(self, runtime: Callable[[], Mapping[str, object]]) -> None:
        self._runtime = runtime

    def collect(self) -> list[Metric]:
        now = self._runtime()
        labels = ("engine", "device", "instruction_set")
        info = GaugeMetricFamily("catfish_engine_info", "Always 1: what runs the model now.", labels=labels)
        info.add_metric([str(now[label]) for label in labels], 1.0)
        threads = GaugeMetricFamily("catfish_inference_threads", "Threads that run the model.")
        threads.add_metric([], float(str(now["threads"])))
        return [info, threads]


class _Stages(Collector):
    """The stage as one gauge a stage, how far it is, and the digest of the weights."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    def collect(self) -> list[Metric]:
        now = self._lifecycle.snapshot()
        stages = GaugeMetricFamily(
            "catfish_stage", "1 for the stage that the server is in.", labels=["stage"]
        )
        for stage in Stage:
            stages.add_metric([stage.value], float(stage is now.stage))
        done = GaugeMetricFamily("catfish_stage_done", "Work finished in this stage; bytes while fetching.")
        done.add_metric([], float(now.done))
        families: list[Metric] = [stages, done]
        if now.weights is not None:
            info = GaugeMetricFamily(
                "catfish_weights_info", "Always 1, once the weights are here.", labels=["sha256", "format"]
            )
            info.add_metric([now.weights.sha256, now.weights.format], 1.0)
            families.append(info)
        if now.total is not None:
            total = GaugeMetricFamily("catfish_stage_total", "Work there is in this stage.")
            total.add_metric([], float(now.total))
            families.append(total)
        return families
