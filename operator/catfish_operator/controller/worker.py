"""The workers: each takes a key from the queue, has its model looked at, and says how that went."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from catfish_operator import errors
from catfish_operator.controller.health import Health
from catfish_operator.controller.metrics import Metrics
from catfish_operator.controller.queue import Key, Queue

log = logging.getLogger(__name__)


class Worker:
    """Works on one model at a time, forever. All workers share the queue, which keeps them apart."""

    def __init__(
        self,
        *,
        queue: Queue,
        reconcile: Callable[[Key], Awaitable[float | None]],
        known: Callable[[Key], bool],
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._known = known
        self._health = health
        self._metrics = metrics

    async def run(self, *, begin: asyncio.Event, leading: Callable[[], Awaitable[None]]) -> None:
        """Works forever, while this process may.

        Args:
            begin: awaited once (an unfilled cache would have it make what exists already).
            leading: awaited before each model: returns as soon as this process may write.
        """
        await begin.wait()
        while True:
            await leading()
            key = await self._queue.get()
            await leading()  # it may have taken long until there was a key
            await self.work_on(key)

    async def work_on(self, key: Key) -> None:
        """Has one model looked at. Nothing that goes wrong with it ends the worker."""
        begun = time.perf_counter()
        self._health.work_begins(key)
        result = "error"
        try:
            again_after = await self._reconcile(key)
        except errors.NotLeader:
            result = "standby"
            self._queue.done(key)
            self._queue.add(key)  # for when we lead again; whoever leads meanwhile sees it by itself
        except errors.CatfishError as error:
            result = self._failed(key, error)
        except Exception as error:  # noqa: BLE001 - a bug met by one model must not stop the others
            self._failed(key, error)
        else:
            result = "done"
            self._queue.done(key, again_after=again_after)
            if not self._known(key):
                self._queue.forget(key)
        finally:
            self._health.work_ends(key)
            self._metrics.reconciles.labels(result=result).inc()
            self._metrics.seconds.observe(time.perf_counter() - begun)

    def _failed(self, key: Key, error: Exception) -> str:
        """Sends the key into its back-off and speaks of it once; returns the word for the metrics."""
        delay = self._queue.failed(key)
        level = logging.WARNING if self._queue.failures(key) == 1 else logging.DEBUG
        match error:
            case errors.NeedsPerson():
                log.log(level, "%s: %s", key, error)
                return "refused"
            case errors.CatfishError():
                log.log(level, "%s: %s; trying again in %.1f s and so on", key, error, delay)
                return "unavailable"
            case _:
                log.error("%s: a bug: %s: %s", key, type(error).__name__, error)
                log.debug("%s: where it happened", key, exc_info=error)
                return "error"
