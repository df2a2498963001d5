"""What `/metrics` tells of the prediction log."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

DROPPED = ("records", "bytes", "refused", "shutdown", "closed")
"""Why a record is lost: too many wait, too many bytes wait, the sink refuses it, the server ended, it was ending."""


class LogMetrics:
    """Counts what becomes of records; every label is there from the start.

    Args:
        registry: of the server.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._delivered = Counter(
            "catfish_prediction_log_delivered", "Records that the sink has taken.", registry=registry
        )
        self._dropped = Counter(
            "catfish_prediction_log_dropped",
            "Records that were lost: `records` or `bytes` (too much waits), `refused` (by the sink, for good), "
            "`shutdown` (the process ended), `closed` (it was ending).",
            ["reason"],
            registry=registry,
        )
        self._failures = Counter(
            "catfish_prediction_log_failures",
            "Tries to write that failed and were repeated.",
            registry=registry,
        )
        self._records = Gauge(
            "catfish_prediction_log_queued_records", "Records that wait for the sink.", registry=registry
        )
        self._bytes = Gauge(
            "catfish_prediction_log_queued_bytes",
            "About how many bytes wait for the sink.",
            registry=registry,
        )
        for reason in DROPPED:
            self._dropped.labels(reason)

    def watch(self, held: Callable[[], tuple[int, int]]) -> None:
        """Reads the number of records that wait and of their bytes from their owner."""
        self._records.set_function(lambda: float(held()[0]))
        self._bytes.set_function(lambda: float(held()[1]))

    def delivered(self, records: int) -> None:
        """The sink has taken records."""
        self._delivered.inc(records)

    def dropped(self, reason: str, records: int = 1) -> None:
        """Records are lost; `reason` is one of `DROPPED`."""
        self._dropped.labels(reason).inc(records)

    def failed(self) -> None:
        """The sink took not all that it was given."""
        self._failures.inc()
