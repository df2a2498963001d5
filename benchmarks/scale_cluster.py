"""What happens around the operator in benchmarks.scale: models, pods that get Ready, changes; and how busy it is."""

import asyncio
import itertools
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.e2e.audit import AuditOfRun
from tests.integration.kubelet import running
from tests.integration.operator_process import MODELS, PODS, Api, OperatorProcess, model

CALM, NOISY = "default", "noisy"
RATE = 10  # changes a second
EVERY = 0.2  # seconds between two looks for pods that are not Ready
TICKS = os.sysconf("SC_CLK_TCK")

Json = dict[str, Any]


def make(api: Api, models: int) -> None:
    """Models of one pod each."""
    for number in range(models):
        api.create(MODELS.format(CALM), model(f"cat-{number}", replicas=1))


def noisy(api: Api, models: int) -> None:
    """Models that a quota leaves without a Service: each is tried again with a back-off, for ever."""
    api.create("/api/v1/namespaces", {"metadata": {"name": NOISY}})
    quota = {"metadata": {"name": "tight"}, "spec": {"hard": {"count/services": "0"}}}
    api.create(f"/api/v1/namespaces/{NOISY}/resourcequotas", quota)
    for number in range(models):
        api.create(MODELS.format(NOISY), model(f"bad-{number}", replicas=0))


def changes(api: Api, namespace: str, *, models: int, seconds: float, replicas: int) -> int:
    """Scales one model after the other, `RATE` a second; returns how many."""
    number, begun = min(models, int(RATE * seconds)), time.monotonic()
    for index in range(number):
        time.sleep(max(0.0, begun + index / RATE - time.monotonic()))
        api.merge(f"{MODELS.format(namespace)}/cat-{index}", {"spec": {"replicas": replicas}})
    return number


def delays(changed: AuditOfRun, written: AuditOfRun, namespace: str) -> Iterator[float]:
    """Seconds from each change of a model to the next write of its Deployment, as the API server receives both."""
    writes: dict[str, list[datetime]] = {}
    for entry in written.entries():
        if (entry["verb"], entry["objectRef"]["resource"]) == ("patch", "deployments"):
            writes.setdefault(entry["objectRef"]["name"], []).append(_moment(entry))
    for entry in changed.entries():
        where = entry["objectRef"]
        if (where["resource"], where.get("namespace"), entry["verb"]) == (
            "catfishmodels",
            namespace,
            "patch",
        ):
            since = _moment(entry)  # a write may begin before the change's own reply has been sent
            later = [at for at in writes.get(where["name"], []) if at >= since]
            if later:
                yield (min(later) - since).total_seconds()


def _moment(entry: Json) -> datetime:
    return datetime.fromisoformat(entry["requestReceivedTimestamp"])


@contextmanager
def pods_ready(api: Api) -> Iterator[None]:
    """Makes every pod Ready soon after it has come, for the time of a block; over connections that are kept."""
    ended = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_keep_ready(api, ended)), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)


async def _keep_ready(api: Api, ended: threading.Event) -> None:
    connector = aiohttp.TCPConnector(ssl=api.tls, limit=16)
    query = {"fieldSelector": "status.phase=Pending", "labelSelector": "app.kubernetes.io/name=catfish-model"}
    async with aiohttp.ClientSession(f"https://{api.address}", connector=connector) as session:
        for _ in itertools.takewhile(lambda _: not ended.is_set(), itertools.count()):
            async with session.get("/api/v1/pods", params=query) as response:
                pods = (await response.json())["items"]
            await asyncio.gather(*(_make_ready(session, pod["metadata"]) for pod in pods))
            await asyncio.sleep(EVERY)


async def _make_ready(session: aiohttp.ClientSession, pod: Json) -> None:
    now = datetime.now(UTC).strftime("%FT%TZ")
    body = json.dumps({"status": running()}).replace("NOW", now)
    path = f"{PODS.format(pod['namespace'])}/{pod['name']}/status"
    headers = {"Content-Type": "application/merge-patch+json"}
    async with session.patch(path, data=body, headers=headers) as response:
        if response.status not in {200, 404, 409}:
            raise RuntimeError(f"PATCH {path}: {response.status} {await response.text()}")


class Busy:
    """How much CPU time and memory a process takes during a block.

    Attributes:
        cpu: seconds, user and system.
        peak: bytes of resident memory, the most since the process began.
    """

    def __init__(self, operator: OperatorProcess) -> None:
        self._process = Path("/proc") / str(operator.pid)
        self.cpu, self.peak = 0.0, 0

    def __enter__(self) -> Self:
        self._before = self._seconds()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu = self._seconds() - self._before
        told = (self._process / "status").read_text().splitlines()
        self.peak = next(int(line.split()[1]) * 1024 for line in told if line.startswith("VmHWM:"))

    def _seconds(self) -> float:
        fields = (self._process / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
