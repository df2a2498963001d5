"""Completes what the cache knows of a model with what no listing shows: readings of its pods, and how long things last.

Called by `reconcile` before each plan. What is remembered here may be lost at any time; see `observed.Watch`.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from catfish_operator import history, pods, watch
from catfish_operator.errors import InvalidSpec
from catfish_operator.model import CatfishModel, Json
from catfish_operator.observed import Observed, Reading, Watch
from catfish_operator.resources import revision
from catfish_operator.resources.record import Record

Key = tuple[str, str]


class Snapshots(Protocol):
    """What is known of the cluster; see `controller.cache`."""

    def snapshot(self, key: Key, *, now: datetime) -> Observed | None:
        """Everything known about one model; None if there is no such model."""


class Readings(Protocol):
    """What pods tell of themselves; see `controller.readings`. Never waits for a pod."""

    def latest(self, pods_of_model: Iterable[Json]) -> Mapping[str, Reading]:
        """The latest reading of each pod that could be asked, by `pods.identity`."""

    def ask(self, key: Key, pods_of_model: Iterable[Json], *, again: bool) -> None:
        """Has pods asked in the background; the model is looked at when they have answered.

        Args:
            key: the model.
            pods_of_model: the pods to ask.
            again: also those that have told their weights already.
        """

    def forget(self, key: Key) -> None:
        """Drops what is known of a model's pods."""


class Observer:
    """Looks at one model at a time."""

    def __init__(
        self,
        *,
        memory: Snapshots,
        readings: Readings,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        seen_since: Callable[[], float] = lambda: -math.inf,
    ) -> None:
        """Begins with nothing remembered.

        Args:
            memory: the cache.
            readings: what pods tell.
            now: the time of day, UTC.
            clock: a monotonic clock in seconds.
            seen_since: on that clock, since when the cluster could be seen without a break.
        """
        self._memory = memory
        self._readings = readings
        self._now = now
        self._clock = clock
        self._seen_since = seen_since
        self._watches: dict[Key, tuple[str, Watch]] = {}

    def look(self, key: Key) -> Observed | None:
        """Everything known about one model at this moment; None if there is no such model."""
        seen = self._memory.snapshot(key, now=self._now())
        if seen is None:
            self._watches.pop(key, None)
            self._readings.forget(key)
            return None
        seen = replace(seen, pods=tuple(pods.selected(seen.pods, name=key[1])))
        try:
            model = CatfishModel.from_body(seen.body)
        except InvalidSpec:
            return seen
        target = revision.name(model)
        entry = history.history(model, seen).find(target)
        record = entry.record if entry else Record()
        living = pods.living(seen.pods)
        self._readings.ask(key, living, again=record.verdict is None)
        seen = replace(seen, readings=self._readings.latest(living))
        uid, before = self._watches.get(key, (model.uid, Watch()))
        before = before if uid == model.uid else Watch()
        now = watch.look(
            before,
            seen,
            model=model,
            target=target,
            record=record,
            at=self._clock(),
            seen_since=self._seen_since(),
        )
        self._watches[key] = (model.uid, now)
        return replace(seen, watch=now)
