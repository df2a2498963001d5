"""A busy neighbour: what one client waits while another process keeps a core busy, beside what it waits in quiet."""

import statistics
import subprocess
import sys

from benchmarks import serve_load, serve_overload

SPINNING = (sys.executable, "-c", "while True: pass")


def neighbour(target: serve_load.Target, *, seconds: float, count: int) -> dict[str, object]:
    """The p50 of both in milliseconds, and their ratio: each the median of the rounds.

    Args:
        target: what is asked, by one client.
        seconds: of load, in quiet and beside the neighbour each, in each round.
        count: of rounds.
    """
    quiet: list[float] = []
    busy: list[float] = []
    for _ in range(count):
        quiet.append(serve_load.closed(target, clients=1, seconds=seconds).percentile(0.5))
        spinning = subprocess.Popen(SPINNING)
        try:
            busy.append(serve_load.closed(target, clients=1, seconds=seconds).percentile(0.5))
        finally:
            spinning.kill()
            spinning.wait()
    ratios = [one / other for one, other in zip(busy, quiet, strict=True)]
    return {
        "quiet_p50_ms": serve_overload.told(statistics.median(quiet)),
        "busy_p50_ms": serve_overload.told(statistics.median(busy)),
        "p50_ratio": serve_overload.told(statistics.median(ratios)),
    }
