"""Load for a server that classifies: clients on kept connections, and arrivals that do not wait for answers."""

import http.client
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

JPEG: Mapping[str, str] = {"Content-Type": "image/jpeg"}
_TICKS = 100
_PATIENCE = 120.0

REFUSED_SECONDS = 0.5
"""That a client waits which was refused; servers ask for a second or more."""


@dataclass(kw_only=True)
class Measured:
    """What some seconds of load came to.

    Attributes:
        seconds: that it took.
        cpu_seconds: of the server, all its processes together.
        latencies: of the requests that were answered with 200, in seconds.
        refused: requests by status, 0 for a connection that broke.
        silent: refusals without `Retry-After`.
    """

    seconds: float
    cpu_seconds: float
    latencies: list[float] = field(default_factory=list)
    refused: dict[int, int] = field(default_factory=dict)
    silent: int = 0

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def cpu_milliseconds(self) -> float:
        """Of processor time for each good answer."""
        return 1000 * self.cpu_seconds / max(1, len(self.latencies))

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share of the good answers came."""
        ordered = sorted(self.latencies) or [float("nan")]
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def closed(port: int, pid: int, image: bytes, *, clients: int, seconds: float, path: str) -> Measured:
    """Load by clients of which each waits for its answer before it asks again.

    Args:
        port: of the server, on loopback.
        pid: of its first process.
        image: the body of each request.
        clients: how many, each with a connection.
        seconds: how long they ask.
        path: that they post to.
    """
    until = time.monotonic() + seconds
    lock, results = threading.Lock(), Measured(seconds=0, cpu_seconds=0)

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        while time.monotonic() < until:
            if not _one(connection, image, path, results, lock):
                time.sleep(REFUSED_SECONDS)  # what was refused is not asked again at once
        connection.close()

    return _run([threading.Thread(target=ask) for _ in range(clients)], pid, results)


def open_loop(port: int, pid: int, image: bytes, *, rate: float, seconds: float, path: str) -> Measured:
    """Load that arrives at a rate, whatever becomes of it; each request on a connection of its own.

    Args:
        port: of the server, on loopback.
        pid: of its first process.
        image: the body of each request.
        rate: requests a second.
        seconds: how long they arrive.
        path: that they post to.
    """
    lock, results = threading.Lock(), Measured(seconds=0, cpu_seconds=0)

    def ask(delay: float) -> None:
        time.sleep(delay)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        _one(connection, image, path, results, lock)
        connection.close()

    arrivals = [threading.Thread(target=ask, args=(number / rate,)) for number in range(int(rate * seconds))]
    measured = _run(arrivals, pid, results)
    measured.seconds = max(seconds, 1e-9)  # the last answers come later than the last arrivals
    return measured


def _run(threads: list[threading.Thread], pid: int, results: Measured) -> Measured:
    used, began = cpu_seconds(pid), time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.seconds = time.monotonic() - began
    results.cpu_seconds = cpu_seconds(pid) - used
    return results


def _one(
    connection: http.client.HTTPConnection,
    image: bytes,
    path: str,
    results: Measured,
    lock: threading.Lock,
) -> bool:
    """Asks once; whether the answer was good."""
    began = time.monotonic()
    try:
        connection.request("POST", path, image, dict(JPEG))
        response = connection.getresponse()
        response.read()
        status, told = response.status, response.getheader("Retry-After") is not None
    except (OSError, http.client.HTTPException):
        connection.close()
        status, told = 0, False
    took = time.monotonic() - began
    with lock:
        if status == 200:
            results.latencies.append(took)
            return True
        results.refused[status] = results.refused.get(status, 0) + 1
        results.silent += not told
    return False


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, _read(children).split())
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its descendants, those that have ended among them (proc(5), stat)."""
    total = 0
    for each in tree(pid):
        fields = _read(Path(f"/proc/{each}/stat")).rsplit(")", 1)[-1].split()
        total += sum(map(int, fields[11:15]))
    return total / _TICKS


def pss_mib(pid: int) -> float:
    """Memory of a process and its descendants in MiB; what is shared counts for each in proportion."""
    lines = [
        line
        for each in tree(pid)
        for line in _read(Path(f"/proc/{each}/smaps_rollup")).splitlines()
        if line.startswith("Pss:")
    ]
    return sum(int(line.split()[1]) for line in lines) / 1024


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended
        return ""
