"""A client that asks all the time, half over kept connections and half over new ones, and forgives nothing.

The demo, the e2e tests and benchmarks/rollout_load.py use it. It never retries: whatever is not a right
answer with status 200 counts as failed, with the reason kept.
"""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CATCH_UP_SECONDS = 1.0  # a client that was held up sends at most this much of its schedule later


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A picture to send and the class that must come back."""

    body: bytes
    content_type: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the client saw. `failures` count by reason, `revisions` right answers by X-Catfish-Revision."""

    right: int
    failures: dict[str, int]
    revisions: dict[str, int]
    connections: dict[str, int]
    seconds: float
    slowest: float

    @property
    def failed(self) -> int:
        """Everything that was not a right answer: refused, cut, late, another status, another class."""
        return sum(self.failures.values())

    @property
    def total(self) -> int:
        """All requests."""
        return self.right + self.failed

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.total / self.seconds if self.seconds else 0.0

    def sentence(self) -> str:
        """The figures on one line."""
        versions = ", ".join(f"{count} by {name}" for name, count in self.revisions.items())
        reasons = "".join(f"; {count} x {reason}" for reason, count in self.failures.items())
        return (
            f"{self.failed} failed of {self.total} ({self.rate:.0f}/s, slowest {self.slowest:.2f} s): "
            f"{versions or 'no answer'}{reasons}"
        )


@dataclass(slots=True)
class _Tally:
    """Shared by the threads; each change is under the lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    right: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    revisions: Counter[str] = field(default_factory=Counter)
    connections: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0


class Load:
    """Asks from entering to leaving the context; `result()` may be read at any time.

    Args:
        url: of the service, without a path.
        samples: sent in turn.
        rate: requests per second of all threads together.
        kept: threads that keep their connection as long as the server does.
        new: threads that open a connection for each request.
        timeout: seconds after which a request counts as failed.
    """

    def __init__(
        self,
        url: str,
        samples: Sequence[Sample],
        *,
        rate: float = 60,
        kept: int = 4,
        new: int = 4,
        timeout: float = 30,
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._samples = tuple(samples)
        self._timeout = timeout
        self._interval = (kept + new) / rate
        self._stop = threading.Event()
        self._tally = _Tally()
        self._started = self._ended = 0.0
        self._threads = [
            threading.Thread(target=self._run, args=(number, number < kept), daemon=True)
            for number in range(kept + new)
        ]

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(self._timeout + 5)
        self._ended = time.monotonic()

    def result(self) -> Result:
        """What was seen so far."""
        with self._tally.lock:
            return Result(
                right=self._tally.right,
                failures=dict(self._tally.failures),
                revisions=dict(self._tally.revisions),
                connections=dict(self._tally.connections),
                seconds=(self._ended or time.monotonic()) - self._started,
                slowest=self._tally.slowest,
            )

    def wait_until(self, done: Callable[[Result], bool], *, seconds: float) -> Result:
        """The first result that satisfies the condition.

        Raises:
            TimeoutError: it did not within this time.
        """
        deadline = time.monotonic() + seconds
        while not done(self.result()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds:.0f} s; the client saw {self.result().sentence()}")
            self._stop.wait(0.05)
        return self.result()

    def _run(self, number: int, keep: bool) -> None:
        due = time.monotonic() + self._interval * number / len(self._threads)
        connection: http.client.HTTPConnection | None = None
        turn = number
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._interval, time.monotonic() - CATCH_UP_SECONDS)
            if connection is None:
                connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
                self._count_connection(keep)
            healthy = self._ask(connection, self._samples[turn % len(self._samples)], keep)
            turn += 1
            if not (healthy and keep):
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection, sample: Sample, keep: bool) -> bool:
        """Whether the connection can be used again."""
        began = time.monotonic()
        headers = {"Content-Type": sample.content_type, "Connection": "keep-alive" if keep else "close"}
        try:
            connection.request("POST", "/predict", body=sample.body, headers=headers)
            reply = connection.getresponse()
            body = reply.read()
        except (OSError, http.client.HTTPException) as error:
            self._count(f"{type(error).__name__}: {error}", None, began)
            return False
        self._count(
            _fault(reply.status, body, sample), reply.headers.get("X-Catfish-Revision", "unnamed"), began
        )
        return not reply.will_close

    def _count(self, fault: str | None, revision: str | None, began: float) -> None:
        took = time.monotonic() - began
        with self._tally.lock:
            self._tally.slowest = max(self._tally.slowest, took)
            if fault is not None:
                self._tally.failures[fault] += 1
            else:
                self._tally.right += 1
                self._tally.revisions[revision or "unnamed"] += 1

    def _count_connection(self, keep: bool) -> None:
        with self._tally.lock:
            self._tally.connections["kept" if keep else "new"] += 1


def _fault(status: int, body: bytes, sample: Sample) -> str | None:
    """What is wrong with an answer; None: nothing."""
    if status != 200:
        return f"status {status}"
    try:
        answer = json.loads(body)["prediction"]
    except (ValueError, KeyError, TypeError):
        return "not the JSON of a prediction"
    return None if answer == sample.expected else f"{answer!r} instead of {sample.expected!r}"
