"""Metrics that are read off their owners when Prometheus asks."""

from collections.abc import Callable
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from catfish_server.lifecycle import Lifecycle, Stage


class Runtime(Protocol):
    """What a model runs on."""

    @property
    def engine(self) -> str: ...  # noqa: D102

    @property
    def device(self) -> str: ...  # noqa: D102

    @property
    def instruction_set(self) -> str: ...  # noqa: D102

    @property
    def threads(self) -> int: ...  # noqa: D102


class Stages(Collector):
    """The stage as one gauge a stage, how far it is, and the digest of the weights."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    def collect(self) -> list[Metric]:
        """Reads the stage, its progress and the weights."""
        now = self._lifecycle.snapshot()
        stages = GaugeMetricFamily(
            "catfish_stage", "1 for the stage that the server is in, as in `/readyz`.", labels=["stage"]
        )
        for stage in Stage:
            stages.add_metric([stage.value], float(stage is now.stage))
        done = GaugeMetricFamily("catfish_stage_done", "Work finished in this stage; bytes while fetching.")
        done.add_metric([], float(now.done))
        families: list[Metric] = [stages, done]
        if now.total is not None:
            total = GaugeMetricFamily(
                "catfish_stage_total", "Work there is in this stage, where it is known."
            )
            total.add_metric([], float(now.total))
            families.append(total)
        if now.weights is not None:
            info = GaugeMetricFamily(
                "catfish_weights_info", "Always 1, once the weights are here.", labels=["sha256", "format"]
            )
            info.add_metric([now.weights.sha256, now.weights.format], 1.0)
            families.append(info)
        return families


class Runtimes(Collector):
    """The engine, the device and the instruction set that the model runs on."""

    def __init__(self, runtime: Callable[[], Runtime]) -> None:
        self._runtime = runtime

    def collect(self) -> list[Metric]:
        """Reads them now: an engine may be exchanged while the server runs."""
        now = self._runtime()
        info = GaugeMetricFamily(
            "catfish_runtime_info",
            "Always 1; what the model runs on, and on how many inference threads.",
            labels=["engine", "device", "instruction_set", "threads"],
        )
        info.add_metric([now.engine, now.device, now.instruction_set, str(now.threads)], 1.0)
        return [info]
