"""Events of events.k8s.io/v1: what `announce` found worth telling, posted beside the work and never before it.

Best effort: the queue is bounded, what does not fit or cannot be posted is dropped and counted, and no model
waits for an Event. The same announcement about the same model within six minutes becomes one Event with a
series (client-go's window), patched at most once a minute.
"""

import asyncio
import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from catfish_operator import errors
from catfish_operator.announce import Announcement
from catfish_operator.cluster import EVENT
from catfish_operator.model import API_VERSION, KIND, Json

log = logging.getLogger(__name__)

CONTROLLER = "catfish.dev/operator"
WAITING = 1000  # announcements; a storm of more is told by the metrics
REMEMBERED = 4096  # Events that a repetition can be added to
WINDOW = 360.0  # seconds; client-go ends a series after as many
PATCH_EVERY = 60.0  # seconds between two patches of one Event
TRIES = 3
FIRST_RETRY = 1.0  # seconds, doubled
INSTANCE = 128  # characters that the API takes


class Sink(Protocol):
    """Where Events go; see `cluster.KubernetesCluster`."""

    async def create_event(self, body: Json) -> None:
        """Makes an Event."""

    async def count_event(self, namespace: str, name: str, *, series: Json) -> None:
        """Says of an Event that it happened again."""


@dataclass(slots=True)
class _Told:
    """An Event that was posted: how often what it says has happened, and when it was written last."""

    name: str
    count: int
    at: float


class Events:
    """Takes announcements and posts them; `run` is one of the operator's tasks."""

    def __init__(
        self,
        *,
        sink: Sink,
        instance: str,
        clock: Callable[[], float],
        ended: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepares an empty queue.

        Args:
            sink: where they go.
            instance: which replica tells it.
            clock: monotonic.
            ended: called with `posted`, `failed` or `dropped` for each.
            now: the time that an Event shows.
        """
        self._sink = sink
        self._instance = instance[:INSTANCE]
        self._clock = clock
        self._ended = ended
        self._now = now
        self._waiting: asyncio.Queue[tuple[Json, Announcement]] = asyncio.Queue(maxsize=WAITING)
        self._told: OrderedDict[tuple[str, Announcement], _Told] = OrderedDict()
        self._failed = False

    def put(self, body: Json, announcement: Announcement) -> None:
        """Takes an announcement about a model; returns at once."""
        try:
            self._waiting.put_nowait((body, announcement))
        except asyncio.QueueFull:
            self._ended("dropped")

    async def run(self) -> None:
        """Posts forever."""
        while True:
            await self.post(*await self._waiting.get())

    async def post(self, body: Json, announcement: Announcement) -> None:
        """Posts one announcement, or adds it to the Event that has said so before."""
        for number in range(TRIES):
            try:
                await self._post(body, announcement)
            except errors.Unreachable as error:
                if number + 1 == TRIES:
                    self._give_up(error)
                else:
                    await asyncio.sleep(FIRST_RETRY * 2.0**number)
            except errors.CatfishError as error:
                return self._give_up(error)
            else:
                self._failed = False
                return self._ended("posted")
        return None

    def _give_up(self, error: errors.CatfishError) -> None:
        log.log(logging.DEBUG if self._failed else logging.WARNING, "cannot post an Event: %s", error)
        self._failed = True
        self._ended("failed")

    async def _post(self, body: Json, announcement: Announcement) -> None:
        metadata, now, time = body["metadata"], self._clock(), self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        key = (metadata["uid"], announcement)
        told = self._told.get(key)
        if told is None or now - told.at > WINDOW:
            name = f"{metadata['name']}.{uuid.uuid4().hex[:16]}"
            await self._sink.create_event(self._event(body, announcement, name=name, time=time))
            self._told[key] = _Told(name=name, count=1, at=now)
            self._told.move_to_end(key)
            while len(self._told) > REMEMBERED:
                self._told.popitem(last=False)
            return
        told.count += 1
        if told.count > 2 and now - told.at < PATCH_EVERY:
            return  # counted; said with the next one
        series = {"count": told.count, "lastObservedTime": time}
        try:
            await self._sink.count_event(metadata["namespace"], told.name, series=series)
        except errors.Stale:
            del self._told[key]  # the Event is gone: its hour was over, or somebody has deleted it
            return
        told.at = now

    def _event(self, body: Json, announcement: Announcement, *, name: str, time: str) -> Json:
        metadata = body["metadata"]
        regarding = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        }
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "eventTime": time,
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
            "type": announcement.type,
            "reason": announcement.reason,
            "action": announcement.action,
            "note": announcement.message,
            "regarding": regarding,
        }
