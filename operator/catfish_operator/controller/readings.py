"""Asks pods how they are: stage and progress from /readyz, counts from /metrics, on the contract's admin port.

Only pods of models that the operator looks after are asked, only at the address that the API server gives for
them, in the background, with a timeout and a limit on what is read. A pod that does not answer is nothing to
worry about here: whoever needs its numbers goes by time instead.
"""

import asyncio
import contextlib
import itertools
import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from catfish_operator import pods, progress
from catfish_operator.model import Json
from catfish_operator.observed import Reading
from catfish_operator.resources import record

log = logging.getLogger(__name__)

ADMIN_PORT = 5002
SECONDS = 2.0  # for both answers of one pod
LIMIT = 1 << 20  # bytes of one answer; the server's /metrics has 10 KB, and 150 bytes more for each class
COUNTED = re.compile(rb"^catfish_request(?:s_total\{|_duration_seconds_)[^\n]{0,300}$", re.MULTILINE)
LINES = 200  # of those, which alone are parsed: a parser in Python must not hold up every other model
STAGES = frozenset({"starting", "draining", *progress.STAGES})
AGAIN_AFTER = 2.0  # seconds between two questions to one pod that is watched
PATIENCE = 60.0  # seconds until a pod that did not tell its weights is asked again, if nobody watches it
SIDE_BY_SIDE = 32
INFERENCES = frozenset({"/predict", "/v2/models/{model}/infer", "/inference.GRPCInferenceService/ModelInfer"})
"""The paths, and gRPC's method, that answer with a prediction."""

Key = tuple[str, str]


@dataclass(slots=True)
class _Known:
    """What is known of one pod."""

    asked_at: float
    reading: Reading | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class PodReadings:
    """Keeps the latest reading of each pod. Lives in one event loop."""

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        answered: Callable[[Key], None],
        clock: Callable[[], float] = time.monotonic,
        port: int = ADMIN_PORT,
    ) -> None:
        """Begins with nothing known.

        Args:
            session: the client; it is not closed here.
            answered: called with the model's key when one of its pods has told something new.
            clock: a monotonic clock in seconds.
            port: the pods' admin port.
        """
        self._session = session
        self._answered = answered
        self._clock = clock
        self._port = port
        self._known: dict[Key, dict[str, _Known]] = {}
        self._turns = asyncio.Semaphore(SIDE_BY_SIDE)

    def latest(self, pods_of_model: Iterable[Json]) -> Mapping[str, Reading]:
        """The latest reading of each pod that has answered so far."""
        names = {pods.identity(pod): _key(pod) for pod in pods_of_model}
        known = {name: self._known.get(key, {}).get(name) for name, key in names.items()}
        return {name: found.reading for name, found in known.items() if found and found.reading}

    def ask(self, key: Key, pods_of_model: Iterable[Json], *, again: bool) -> None:
        """Asks in the background those pods that have an address and were not asked lately."""
        before = self._known.get(key, {})
        now, kept = self._clock(), {}
        for pod in pods_of_model:
            name, address = pods.identity(pod), (pod.get("status") or {}).get("podIP")
            known = before.get(name) or _Known(asked_at=float("-inf"))
            kept[name] = known
            told = known.reading is not None and known.reading.weights is not None
            due = now - known.asked_at >= (AGAIN_AFTER if again else PATIENCE)
            idle = known.task is None or known.task.done()
            if address and idle and due and (again or not told) and (again or pods.ready(pod)):
                known.asked_at = now
                known.task = asyncio.get_running_loop().create_task(self._read(key, known, str(address)))
        self.forget(key)
        if kept:
            self._known[key] = kept

    def forget(self, key: Key) -> None:
        """Drops what is known of a model's pods."""
        self._known.pop(key, None)

    async def _read(self, key: Key, known: _Known, address: str) -> None:
        host = f"[{address}]" if ":" in address else address
        base = f"http://{host}:{self._port}"
        try:
            async with self._turns, asyncio.timeout(SECONDS):
                stage = await self._get(f"{base}/readyz")
                counts = await self._get(f"{base}/metrics")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            log.debug(
                "%s/%s: pod %s does not tell how it is: %s", *key, address, error or type(error).__name__
            )
            return
        before, known.reading = known.reading, replace(parse(stage, counts), at=self._clock())
        if known.reading != before:
            self._answered(key)

    async def _get(self, url: str) -> bytes:
        async with self._session.get(url, allow_redirects=False) as response:
            body = await response.content.read(LIMIT + 1)
            while len(body) <= LIMIT and (more := await response.content.read(LIMIT + 1 - len(body))):
                body += more
        if len(body) > LIMIT:
            raise ValueError(f"more than {LIMIT} bytes")
        return body


def _key(pod: Json) -> Key:
    labels = pod["metadata"].get("labels") or {}
    return pod["metadata"].get("namespace", ""), labels.get("app.kubernetes.io/instance", "")


def parse(readyz: bytes, metrics: bytes) -> Reading:
    """A reading from the two answers; what is not as docs/contract.md has it counts as not told."""
    told: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        told = json.loads(readyz)
    told = told if isinstance(told, dict) else {}
    stage, done = told.get("stage"), told.get("done")
    counts = _counts(metrics)
    return Reading(
        stage=stage if isinstance(stage, str) and stage in STAGES else None,
        done=done if isinstance(done, int) and 0 <= done < 1 << 50 else 0,
        weights=record.weights(told.get("weights")),
        golden=record.golden(told.get("verification")),
        counted=counts is not None,
        requests=int(counts.requests) if counts else 0,
        errors=int(counts.errors) if counts else 0,
        predictions=int(counts.predictions) if counts else 0,
        seconds=counts.seconds if counts else 0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """The numbers of `observed.Reading`."""

    requests: float
    errors: float
    predictions: float
    seconds: float


def _counts(text: bytes) -> _Counts | None:
    """The numbers in the lines that hold them; None if they cannot be read."""
    requests = errors = predictions = seconds = 0.0
    lines = [found[0] for found in itertools.islice(COUNTED.finditer(text), LINES)]
    try:
        for family in text_string_to_metric_families(b"\n".join(lines).decode() + "\n"):
            for sample in family.samples:
                if sample.name == "catfish_requests_total" and sample.labels.get("path") in INFERENCES:
                    requests += sample.value
                    errors += sample.value if sample.labels.get("code", "").startswith("5") else 0
                elif sample.name == "catfish_request_duration_seconds_count":
                    predictions += sample.value
                elif sample.name == "catfish_request_duration_seconds_sum":
                    seconds += sample.value
    except (ValueError, KeyError, IndexError):
        return None
    if not lines:
        return None
    found = _Counts(requests=requests, errors=errors, predictions=predictions, seconds=seconds)
    return found if all(0 <= n < 1 << 53 for n in (requests, errors, predictions, seconds)) else None
