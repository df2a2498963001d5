"""Load for a server that classifies: clients on kept connections, and arrivals that do not wait for answers."""

import http.client
import json
import math
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

JPEG: Mapping[str, str] = {"Content-Type": "image/jpeg"}
_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE = 120.0

REFUSED_SECONDS = 0.5
"""That a client waits which was refused; servers ask for a second or more."""

BROKEN, WRONG = 0, -200
"""What counts as the status of a connection that broke, and of a 200 with another class than the right one."""


@dataclass(kw_only=True)
class Measured:
    """What some seconds of load came to.

    Attributes:
        seconds: in which clients began to ask.
        cpu_seconds: of the server, all its processes together, until the last answer.
        latencies: of the requests that were answered rightly, in seconds: of a client that waits for its answer from
            its first try on, of an arrival from when it was due.
        tardy: how many of these answers came after the seconds.
        refused: tries by status, `BROKEN` and `WRONG` among them.
        silent: refusals without `Retry-After`.
        lags: seconds from when an arrival was due until it was sent.
    """

    seconds: float
    cpu_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    tardy: int = 0
    refused: dict[int, int] = field(default_factory=dict)
    silent: int = 0
    lags: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Good answers a second; those that came too late for the seconds are none of them."""
        return (len(self.latencies) - self.tardy) / self.seconds

    @property
    def failed(self) -> int:
        """Tries that came to something else than a good answer or 429 or 503."""
        return sum(count for status, count in self.refused.items() if status not in {429, 503})

    @property
    def cpu_milliseconds(self) -> float:
        """Of processor time for each good answer."""
        return 1000 * self.cpu_seconds / max(1, len(self.latencies))

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share of the good answers came."""
        return 1000 * nearest_rank(self.latencies, share)


def nearest_rank(values: list[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is asked.

    Attributes:
        port: of the server, on loopback.
        pid: of its first process.
        path: that is posted to.
        image: the body of each request.
        prediction: the right answer's; None: any.
    """

    port: int
    pid: int
    path: str
    image: bytes
    prediction: object = None


class _Tally:
    """Counts what many threads come to."""

    def __init__(self, seconds: float) -> None:
        self.results = Measured(seconds=seconds)
        self.until = time.monotonic() + seconds
        self._lock = threading.Lock()

    def good(self, since: float) -> None:
        now = time.monotonic()
        with self._lock:
            self.results.latencies.append(now - since)
            self.results.tardy += now > self.until

    def bad(self, status: int, *, told: bool) -> None:
        with self._lock:
            self.results.refused[status] = self.results.refused.get(status, 0) + 1
            self.results.silent += not told

    def lag(self, seconds: float) -> None:
        with self._lock:
            self.results.lags.append(seconds)


def closed(target: Target, *, clients: int, seconds: float) -> Measured:
    """Load by clients of which each waits for its answer before it asks again.

    Args:
        target: what they ask.
        clients: how many, each with a connection.
        seconds: how long they ask.
    """
    used, tally = cpu_seconds(target.pid), _Tally(seconds)

    def ask() -> None:
        connection = _connection(target)
        while (since := time.monotonic()) < tally.until:
            # What was refused has still to be answered: else a server that refuses would seem a quick one.
            while not _one(connection, target, tally, since=since) and time.monotonic() < tally.until:
                time.sleep(REFUSED_SECONDS)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    return _ended(threads, target, tally, used)


def open_loop(target: Target, *, rate: float, seconds: float) -> Measured:
    """Load that arrives at a rate, whatever becomes of it; each request on a connection of its own.

    Args:
        target: what is asked.
        rate: requests a second.
        seconds: how long they arrive.
    """
    used, tally = cpu_seconds(target.pid), _Tally(seconds)
    began = tally.until - seconds

    def ask(due: float) -> None:
        tally.lag(time.monotonic() - due)
        connection = _connection(target)
        _one(connection, target, tally, since=due)
        connection.close()

    threads = []
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (early := due - time.monotonic()) > 0:
            time.sleep(early)
        threads.append(threading.Thread(target=ask, args=(due,)))
        threads[-1].start()
    return _ended(threads, target, tally, used)


def _connection(target: Target) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", target.port, timeout=_PATIENCE)


def _ended(threads: list[threading.Thread], target: Target, tally: _Tally, used: float) -> Measured:
    for thread in threads:
        thread.join()
    tally.results.cpu_seconds = cpu_seconds(target.pid) - used
    return tally.results


def _one(connection: http.client.HTTPConnection, target: Target, tally: _Tally, *, since: float) -> bool:
    """Asks once; whether the answer was good."""
    try:
        connection.request("POST", target.path, target.image, dict(JPEG))
        response = connection.getresponse()
        body = response.read()
        status, told = response.status, response.getheader("Retry-After") is not None
    except (OSError, http.client.HTTPException):
        connection.close()
        body, status, told = b"", BROKEN, False
    if status == 200 and (target.prediction is None or prediction(body) == target.prediction):
        tally.good(since)
        return True
    tally.bad(WRONG if status == 200 else status, told=told)
    return False


def prediction(body: bytes) -> object:
    """The class in an answer; None where there is none."""
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found.get("prediction") if isinstance(found, dict) else None


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
