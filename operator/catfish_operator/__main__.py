"""`python -m catfish_operator`: reads the settings, connects, runs the tasks until a signal comes.

Exit codes: 0 after SIGTERM or SIGINT, 1 if a task ended that never should, 2 for a setting or kubeconfig
that cannot be used. Everything said before logging is set up is one line on stderr.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
from kubernetes.aio.config import ConfigException

from catfish_operator import cluster, errors
from catfish_operator.cluster import Kind
from catfish_operator.controller import admin, logs
from catfish_operator.controller.cache import Cache
from catfish_operator.controller.health import Health, watch_lag
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

log = logging.getLogger("catfish_operator")

OWN_CONNECTIONS = 4  # resync, the look for the CRD, and a margin; each worker has one more


def main() -> int:
    """Runs the operator; returns the exit code."""
    try:
        settings = Settings.from_env(os.environ)
        logs.configure(level=settings.log_level, style=settings.log_format)
        return asyncio.run(run(settings, os.environ))
    except (errors.BadSettings, ConfigException, OSError) as error:
        print(f"catfish-operator: {error}", file=sys.stderr)  # noqa: T201 - logging may not be set up yet
        return 2


async def run(settings: Settings, environ: Mapping[str, str]) -> int:
    """Connects and works until a signal comes; returns the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics, health = Metrics(), Health(clock=time.monotonic)
    async with (
        cluster.connect(
            environ,
            request_seconds=settings.request_timeout_seconds,
            connections=settings.workers + OWN_CONNECTIONS,
            count=metrics.count_request,
        ) as api,
        admin.serve(
            host=settings.admin_host, port=settings.admin_port, health=health, metrics=metrics.text
        ) as port,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as pods,
    ):
        where = f"namespace {settings.namespace}" if settings.namespace else "all namespaces"
        log.info("looks after %s; probes and metrics on port %d", where, port)
        failed = await _until(stop, _tasks(settings, api=api, pods=pods, health=health, metrics=metrics))
    log.info("stopped")
    return 1 if failed else 0


def _tasks(
    settings: Settings,
    *,
    api: cluster.Cluster,
    pods: aiohttp.ClientSession,
    health: Health,
    metrics: Metrics,
) -> list[Coroutine[Any, Any, None]]:
    """Everything that runs side by side for as long as the operator lives."""
    cache, queue = Cache(), Queue(clock=time.monotonic)

    def observe(kind: Kind, event: str | None, item: Json) -> None:
        for key in cache.forget(kind, item) if event == "DELETED" else cache.observe(kind, item):
            queue.add(key)
        metrics.objects.set(len(cache))

    readings = PodReadings(session=pods, answered=lambda key: queue.add(Key(*key)))
    observer = Observer(memory=cache, readings=readings, now=lambda: datetime.now(UTC), clock=time.monotonic)
    reconciler = Reconciler(cluster=api, memory=cache, observer=observer)
    resync = Resync(
        cluster=api,
        cache=cache,
        queue=queue,
        health=health,
        namespace=settings.namespace,
        every=settings.resync_seconds,
        ended=lambda how: metrics.resyncs.labels(result=how).inc(),
    )
    worker = Worker(
        queue=queue,
        reconcile=reconciler.reconcile,
        known=lambda key: cache.model(key) is not None,
        health=health,
        metrics=metrics,
    )
    source = EventSource(
        cluster=api, observe=observe, namespace=settings.namespace, started=metrics.sources.inc
    )
    return [
        resync.run(),
        source.run(),
        watch_lag(health, seen=metrics.lag.set),
        *(worker.run(begin=resync.filled) for _ in range(settings.workers)),
    ]


async def _until(stop: asyncio.Event, coroutines: list[Coroutine[Any, Any, None]]) -> bool:
    """Runs the coroutines until `stop` is set; returns whether one of them ended before, which none may."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    waiter = asyncio.create_task(stop.wait())
    ended, _ = await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in (waiter, *tasks):
        task.cancel()
    for task in (waiter, *tasks):
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
    for task in ended - {waiter}:
        log.error("a task ended that never should: %r", task.exception())
    return waiter not in ended


if __name__ == "__main__":
    sys.exit(main())
