"""The operator's parts, put together from the settings. Made and run by `__main__`; decides nothing."""

import math
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import aiohttp

from catfish_operator.cluster import KINDS, Kind, KubernetesCluster, LeaseStore
from catfish_operator.connection import Connection
from catfish_operator.controller.announcer import Announcer
from catfish_operator.controller.cache import Cache
from catfish_operator.controller.events import Events
from catfish_operator.controller.health import Health, watch_lag
from catfish_operator.controller.lease import Leadership
from catfish_operator.controller.metrics import Metrics
from catfish_operator.controller.queue import Key, Queue
from catfish_operator.controller.readings import PodReadings
from catfish_operator.controller.resync import Resync
from catfish_operator.controller.worker import Worker
from catfish_operator.handlers import EventSource
from catfish_operator.model import Json
from catfish_operator.observe import Observer
from catfish_operator.reconcile import Reconciler
from catfish_operator.settings import Settings


class Parts:
    """All parts of one running operator."""

    def __init__(
        self,
        *,
        settings: Settings,
        connection: Connection,
        pods: aiohttp.ClientSession,
        health: Health,
        metrics: Metrics,
    ) -> None:
        """Puts them together.

        Args:
            settings: what was set from outside.
            connection: to the API server.
            pods: the client with which pods are asked how they are.
            health: what the probes are answered from.
            metrics: what is counted.
        """
        self._settings = settings
        self._health = health
        self._metrics = metrics
        self._leadership = self._lease(connection) if settings.lease_namespace else None
        self._cluster = KubernetesCluster(connection, write_seconds=self._write_seconds)
        self._cache, self._queue = Cache(), Queue(clock=time.monotonic)
        self._readings = PodReadings(session=pods, answered=lambda key: self._queue.add(Key(*key)))
        needed = tuple(kind for kind in KINDS if not kind.optional)
        self._watches = self._source(needed)
        self._optional = {kind: self._source((kind,)) for kind in KINDS if kind.optional}
        self._resync = self._listing()
        health.ready = lambda: len(self._queue) if health.filled and self._write_seconds() > 0 else 0
        metrics.leader.set_function(lambda: float(self._write_seconds() > 0))
        metrics.depth.set_function(lambda: len(self._queue))
        metrics.waiting.set_function(lambda: self._queue.waiting)
        metrics.objects.set_function(lambda: len(self._cache))
        metrics.show_models(self._cache.models_and_deployments)

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        """Everything that runs side by side for as long as the operator lives."""
        events = Events(
            sink=self._cluster,
            instance=self._settings.identity,
            clock=time.monotonic,
            ended=lambda how: self._metrics.events.labels(result=how).inc(),
        )
        worker = self._worker(Announcer(put=events.put, count=self._metrics.count_rollout))
        return [
            self._resync.run(),
            self._watches.run(),
            *(source.run() for source in self._optional.values()),
            watch_lag(self._health, seen=self._metrics.lag.set),
            events.run(),
            *([self._leadership.run()] if self._leadership else []),
            *(
                worker.run(begin=self._resync.filled, leading=self._leading)
                for _ in range(self._settings.workers)
            ),
        ]

    async def release(self) -> None:
        """Lets another replica take over at once; called when the tasks have ended."""
        if self._leadership:
            await self._leadership.release()

    def _write_seconds(self) -> float:
        """For how long this process may write: without a Lease there is no other one."""
        return self._leadership.seconds_left() if self._leadership else math.inf

    def _may_write_again(self) -> None:
        self._health.sees_again()
        self._resync.reachable()

    async def _leading(self) -> None:
        if self._leadership:
            await self._leadership.leading()

    def _found(self, kind: Kind, served: bool) -> None:
        """Takes note of whether the API server knows an optional kind."""
        self._cache.know_served(kind, served=served)
        self._optional[kind].found(served=served)

    def _observe(self, kind: Kind, event: str | None, item: Json) -> None:
        """Takes note of a watch event; the models that it concerns are looked at."""
        changed = self._cache.forget(kind, item) if event == "DELETED" else self._cache.observe(kind, item)
        for key in changed:
            self._queue.add(key)

    def _lease(self, connection: Connection) -> Leadership:
        settings = self._settings
        return Leadership(
            store=LeaseStore(connection, namespace=settings.lease_namespace, name=settings.lease_name),
            identity=self._settings.identity,
            duration=settings.lease_seconds,
            clock=time.monotonic,
            known=self._health.leader_seen,
            began=self._may_write_again,
        )

    def _source(self, kinds: tuple[Kind, ...]) -> EventSource:
        return EventSource(
            kinds=kinds,
            cluster=self._cluster,
            observe=self._observe,
            namespace=self._settings.namespace,
            started=self._metrics.sources.inc,
        )

    def _listing(self) -> Resync:
        return Resync(
            cluster=self._cluster,
            cache=self._cache,
            queue=self._queue,
            health=self._health,
            namespace=self._settings.namespace,
            every=self._settings.resync_seconds,
            found=self._found,
            ended=lambda how: self._metrics.resyncs.labels(result=how).inc(),
        )

    def _worker(self, announcer: Announcer) -> Worker:
        observer = Observer(
            memory=self._cache,
            readings=self._readings,
            now=lambda: datetime.now(UTC),
            clock=time.monotonic,
            seen_since=self._health.seen_since,
        )
        reconciler = Reconciler(
            cluster=self._cluster,
            memory=self._cache,
            observer=observer,
            clock=time.monotonic,
            announce=announcer.status_written,
            repaired=announcer.done,
        )
        return Worker(
            queue=self._queue,
            reconcile=reconciler.reconcile,
            known=lambda key: self._cache.model(key) is not None,
            health=self._health,
            metrics=self._metrics,
        )
