"""Replaces the cache with listings, at start and every minute, and has every model looked at then.

This is what repairs everything that watches lose: events hidden by a reconnect, deletions during a new
listing, objects that lost our label. It is also how the operator notices that the API server or the CRD is
away.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable

from catfish_operator import errors
from catfish_operator.cluster import KINDS, MODEL, Cluster, Kind, Listing
from catfish_operator.controller.cache import Cache
from catfish_operator.controller.health import Health
from catfish_operator.controller.queue import Queue

log = logging.getLogger(__name__)

FIRST_RETRY = 1.0  # seconds after a listing that failed; doubled up to LONGEST_RETRY
LONGEST_RETRY = 15.0


class Resync:
    """The periodic listing; `run` is one of the operator's tasks."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        cache: Cache,
        queue: Queue,
        health: Health,
        namespace: str,
        every: float,
        found: Callable[[Kind, bool], None],
        ended: Callable[[str], None],
    ) -> None:
        """Prepares the listing.

        Args:
            cluster: what is listed.
            cache: what is replaced.
            queue: takes every model after each listing.
            health: told how each ended.
            namespace: the only one to list; empty: all.
            every: seconds between two.
            found: told of each kind that a cluster may lack whether this one has it.
            ended: called with `completed` or `failed`.
        """
        self._cluster = cluster
        self._cache = cache
        self._queue = queue
        self._health = health
        self._namespace = namespace
        self._every = every
        self._found = found
        self._ended = ended
        self._failures = 0
        self._crd_missed = False
        self._hurry = asyncio.Event()
        self.filled = asyncio.Event()

    async def run(self) -> None:
        """Lists forever: at the set pace while that works, with back-off while it does not."""
        while True:
            self._hurry.clear()
            seconds = await self.once()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), seconds)

    def reachable(self) -> None:
        """The API server has answered somebody: after a listing that failed the next one need not wait any longer."""
        if self._failures:
            self._hurry.set()

    async def once(self) -> float:
        """Lists everything once. Returns after how many seconds to do so again."""
        try:
            await self._list_all()
        except errors.CatfishError as error:
            self._failures += 1
            level = logging.WARNING if self._failures == 1 else logging.DEBUG
            log.log(level, "cannot list the cluster, will go on trying: %s", error)
            self._health.resync_ended(filled=False)
            self._ended("failed")
            delay = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(self._failures - 1, 10))
            return delay * random.uniform(0.75, 1)  # noqa: S311 - jitter, not a secret
        if self._failures:
            log.info("the cluster can be listed again after %d failures", self._failures)
        self._failures = 0
        self._health.resync_ended(filled=True)
        self._ended("completed")
        if not self.filled.is_set():
            log.info("knows %d objects, begins to work", len(self._cache))
            self.filled.set()
        for key in self._cache.models():
            self._queue.add(key)
        return self._every * random.uniform(0.8, 1)  # noqa: S311 - jitter, not a secret

    async def _list_all(self) -> None:
        """Children first: a model is never seen without those children that it had when it was listed."""
        for kind in reversed(KINDS):
            listing = await self._list(kind)
            if kind.optional:
                self._found(kind, listing is not None)
            self._cache.replace(kind, listing or Listing(items=[], resource_version=0))

    async def _list(self, kind: Kind) -> Listing | None:
        """A kind's listing; None if the API server does not know the kind, and may not."""
        try:
            listing = await self._cluster.list_all(kind, namespace=self._namespace)
        except errors.NotServed:
            if kind is not MODEL and not kind.optional:
                raise
            if kind is MODEL and not self._crd_missed:
                log.warning("the CatfishModel CRD is not installed; waiting for it")
                self._crd_missed = True
            return None
        self._crd_missed = self._crd_missed and kind is not MODEL
        return listing
