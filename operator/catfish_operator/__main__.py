"""`python -m catfish_operator`: reads the settings, connects, runs the tasks until a signal comes.

Exit codes: 0 after SIGTERM or SIGINT, 1 if a task ended that never should, 2 for a setting or kubeconfig
that cannot be used. Everything said before logging is set up is one line on stderr.
"""

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Coroutine, Mapping
from typing import Any

import aiohttp
from kubernetes.aio.config import ConfigException

from catfish_operator import connection, errors
from catfish_operator.controller import admin, logs
from catfish_operator.controller.health import Health
from catfish_operator.controller.metrics import Metrics
from catfish_operator.parts import Parts
from catfish_operator.settings import Settings

log = logging.getLogger("catfish_operator")

OWN_CONNECTIONS = 6  # resync, the Lease, Events, the look for the CRD, and a margin; each worker has one more


def main() -> int:
    """Runs the operator; returns the exit code."""
    try:
        settings = _named(Settings.from_env(os.environ))
        logs.configure(level=settings.log_level, style=settings.log_format)
        return asyncio.run(run(settings, os.environ))
    except (errors.BadSettings, ConfigException, OSError) as error:
        print(f"catfish-operator: {error}", file=sys.stderr)  # noqa: T201 - logging may not be set up yet
        return 2


def _named(settings: Settings) -> Settings:
    """The settings with an identity that no other process has."""
    if settings.identity:
        return settings
    return dataclasses.replace(settings, identity=f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}")


async def run(settings: Settings, environ: Mapping[str, str]) -> int:
    """Connects and works until a signal comes; returns the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics()
    health = Health(clock=time.monotonic, leader_known=not settings.lease_namespace)
    async with (
        connection.connect(
            environ,
            identity=settings.identity,
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
        parts = Parts(settings=settings, connection=api, pods=pods, health=health, metrics=metrics)
        failed = await _until(stop, parts.tasks())
        await parts.release()
    log.info("stopped")
    return 1 if failed else 0


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
