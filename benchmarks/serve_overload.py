"""Overload: more arrivals than a server can answer, while its probes are asked."""

import http.client
import math
import re
import threading
import time
import urllib.request

from benchmarks import serve_load

FACTOR = 4
"""Arrivals for each answer that the server could give."""

PROBES_A_SECOND = 10
PROBE_PATIENCE = 30.0

IN_TIME_SECONDS = 5.0
"""A bucket of the server's histogram: 2 s that a request may wait for a thread once it is here, and what answering it
takes on cores that the load has most of. Without a limit to that wait it would be 15 s after 5 s of overload."""

_SECONDS = re.compile(r'^catfish_request_stage_seconds_(\w+){([^}]*)stage="total"} (\S+)$', re.MULTILINE)


def overload(
    target: serve_load.Target, *, admin_port: int, rated: float, seconds: float
) -> dict[str, object]:
    """What `FACTOR` times the rate of a server comes to.

    Args:
        target: what is asked.
        admin_port: of the server's probes, on loopback.
        rated: good answers a second that it gives when it is asked for no more.
        seconds: how long requests arrive.
    """
    probes, over, before = Probes(admin_port), threading.Event(), _answers(admin_port)
    thread = threading.Thread(target=probes.ask, args=(over,))
    thread.start()
    measured = serve_load.open_loop(target, rate=FACTOR * rated, seconds=seconds)
    over.set()
    thread.join()
    in_time, answers = (now - then for now, then in zip(_answers(admin_port), before, strict=True))
    return {
        "rated": rated,
        "offered": len(measured.lags) / (seconds + max(measured.lags, default=0.0)),
        "arrivals_late_p99_ms": told(1000 * serve_load.nearest_rank(measured.lags, 0.99)),
        "goodput_share": measured.rate / rated if rated else None,
        "accepted": len(measured.latencies),
        "accepted_p50_ms": told(measured.percentile(0.5)),
        "accepted_p99_ms": told(measured.percentile(0.99)),
        "in_time_share": in_time / answers if answers else None,
        "refused": {str(status): count for status, count in sorted(measured.refused.items())},
        "failed": measured.failed,
        "refused_without_retry_after": measured.silent,
        "probes": len(probes.seconds),
        "probes_failed": probes.failed,
        "probe_p99_ms": told(1000 * serve_load.nearest_rank(probes.seconds, 0.99)),
    }


def told(number: float) -> float | None:
    """A number as JSON can hold it: None for one that is none."""
    return number if math.isfinite(number) else None


def answered(metrics: str) -> tuple[float, float]:
    """Predictions that a server gave within `IN_TIME_SECONDS` of their request's last byte, and all, by its metrics."""
    found = {(kind, labels): float(count) for kind, labels, count in _SECONDS.findall(metrics)}
    return found.get(("bucket", f'le="{IN_TIME_SECONDS}",'), 0.0), found.get(("count", ""), 0.0)


def _answers(admin_port: int) -> tuple[float, float]:
    url = f"http://127.0.0.1:{admin_port}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=PROBE_PATIENCE) as response:
            return answered(response.read().decode())
    except OSError:  # so there is no share, which counts as a target that was missed
        return 0.0, 0.0


class Probes:
    """Asks for `/livez` at fixed times.

    Each answer is timed from when it was due, so that one that hangs counts for all that it holds up.

    Args:
        port: on loopback.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.seconds: list[float] = []
        self.failed = 0

    def ask(self, over: threading.Event) -> None:
        """Asks until it is over; what fails takes for ever."""
        due = time.monotonic()
        while not over.wait(max(0.0, due - time.monotonic())):
            good = self._good()
            self.failed += not good
            self.seconds.append(time.monotonic() - due if good else math.inf)
            due += 1 / PROBES_A_SECOND

    def _good(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PROBE_PATIENCE)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
