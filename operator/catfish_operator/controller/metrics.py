"""The operator's Prometheus metrics. One object, made by `__main__`, handed to those who count."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """All metrics, in a registry of their own (a global one could exist only once in a test process)."""

    def __init__(self) -> None:
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

    def count_request(self, verb: str, status: int) -> None:
        """Counts one call of the Kubernetes API; status 0 is a call without an answer."""
        self.requests.labels(verb=verb, status=str(status)).inc()

    def text(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
