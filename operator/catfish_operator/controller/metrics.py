"""The operator's Prometheus metrics. One object, made by `__main__`, handed to those who count.

docs/operations.md lists them all; a test compares.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from catfish_operator.model import Json

CONDITIONS = {"ready": "Ready", "up_to_date": "UpToDate", "stalled": "Stalled"}
"""Gauges of a model and the condition that each shows: 1 while it is True."""


class ModelGauges(Collector):
    """How each model is, read off what is known when the metrics are asked for: a deleted one is gone."""

    def __init__(self, models: Callable[[], Iterable[tuple[Json, Json | None]]]) -> None:
        """`models` gives each model and its Deployment, if there is one."""
        self._models = models

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The gauges of all models."""
        labels = ["namespace", "name"]
        of_condition = {
            kind: GaugeMetricFamily(f"catfish_model_{name}", f"1 while {kind} is True.", labels=labels)
            for name, kind in CONDITIONS.items()
        }
        desired = GaugeMetricFamily("catfish_model_replicas_desired", "Pods wanted.", labels=labels)
        available = GaugeMetricFamily("catfish_model_replicas_available", "Pods available.", labels=labels)
        for body, deployment in self._models():
            who = [body["metadata"]["namespace"], body["metadata"]["name"]]
            status = body.get("status") or {}
            true = {
                found.get("type") for found in status.get("conditions") or [] if found.get("status") == "True"
            }
            for kind, gauge in of_condition.items():
                gauge.add_metric(who, float(kind in true))
            desired.add_metric(who, _wanted(body.get("spec") or {}, deployment))
            available.add_metric(who, status.get("availableReplicas") or 0)
        return [*of_condition.values(), desired, available]


def _wanted(spec: Json, deployment: Json | None) -> int:
    """How many pods there should be: as `progress.wanted_replicas`, of a spec that nobody has checked."""
    live = ((deployment or {}).get("spec") or {}).get("replicas")
    least = (spec.get("autoscaling") or {}).get("minReplicas")
    return int(next(number for number in (spec.get("replicas"), live, least, 1) if number is not None))


class Metrics:
    """All metrics, in a registry of their own (a global one could exist only once in a test process)."""

    def __init__(self) -> None:  # long: one line or two for each metric
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "catfish_reconciles", "Looks at a model, by how they ended.", ["result"], registry=self.registry
        )
        self.seconds = Histogram(
            "catfish_reconcile_seconds",
            "Seconds that one look at a model took.",
            buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
            registry=self.registry,
        )
        self.requests = Counter(
            "catfish_api_requests",
            "Calls of the Kubernetes API, by verb and status (0: no answer).",
            ["verb", "status"],
            registry=self.registry,
        )
        self.depth = Gauge("catfish_queue_depth", "Models ready to be looked at.", registry=self.registry)
        self.waiting = Gauge("catfish_queue_waiting", "Models that wait for a time.", registry=self.registry)
        self.objects = Gauge("catfish_cache_objects", "Objects known of the cluster.", registry=self.registry)
        self.resyncs = Counter(
            "catfish_resyncs", "Full listings, by how they ended.", ["result"], registry=self.registry
        )
        self.sources = Counter(
            "catfish_event_source_starts", "Starts of the watches.", registry=self.registry
        )
        self.lag = Gauge(
            "catfish_event_loop_lag_seconds", "How late the event loop last woke up.", registry=self.registry
        )

        self._add_what_happens()

    def _add_what_happens(self) -> None:
        self.leader = Gauge(
            "catfish_leader", "1 while this replica is the one that writes.", registry=self.registry
        )
        self.events = Counter(
            "catfish_events", "Events of ours, by what became of them.", ["result"], registry=self.registry
        )
        self.rollouts = Counter(
            "catfish_rollouts", "Rollouts, by how they ended.", ["result"], registry=self.registry
        )
        self.rollbacks = Counter(
            "catfish_rollbacks", "Rollouts that were undone, by why.", ["reason"], registry=self.registry
        )

    def count_rollout(self, result: str, reason: str) -> None:
        """Counts one rollout that has ended."""
        self.rollouts.labels(result=result).inc()
        if result == "RolledBack":
            self.rollbacks.labels(reason=reason).inc()

    def show_models(self, models: Callable[[], Iterable[tuple[Json, Json | None]]]) -> None:
        """Adds the gauges of each model; `models` gives them, each with its Deployment, whenever they are asked for."""
        self.registry.register(ModelGauges(models))

    def count_request(self, verb: str, status: int) -> None:
        """Counts one call of the Kubernetes API; status 0 is a call without an answer."""
        self.requests.labels(verb=verb, status=str(status)).inc()

    def text(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
