"""Which model is looked at next. Fed by handlers and resync, emptied by the workers.

A key is in the queue once, however often it is added. One worker has a key at a time; what is added
meanwhile is handed out again afterwards. Namespaces take turns, so a noisy one delays only itself. The
queue is used from one event loop alone, and the clock is an argument.
"""

import asyncio
import heapq
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

FIRST_BACKOFF = 0.5  # seconds; doubled with each failure in a row
LONGEST_BACKOFF = 60.0
# A delay is shortened by up to this share, so that keys that failed together do not come back together.
JITTER = 0.25

# While a key fails, a new event about it may shorten its wait, but never below this since its last try: a
# correction of the spec is seen at once, and a storm of events is still at most one try a second.
SHORTEST_RETRY = 1.0


class Key(NamedTuple):
    """Names one model."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(slots=True)
class _Trouble:
    """How often a key has failed in a row, and when it was last tried."""

    failures: int
    tried_at: float


class Queue:
    """Keys to be worked on; see the module's docstring for what it promises."""

    def __init__(self, *, clock: Callable[[], float], chance: Callable[[], float] = random.random) -> None:
        """Makes an empty queue.

        Args:
            clock: a monotonic clock in seconds.
            chance: a number from 0 to 1, for jitter.
        """
        self._clock = clock
        self._chance = chance
        self._ready: OrderedDict[str, OrderedDict[Key, None]] = OrderedDict()  # by namespace, in turn
        self._later: dict[Key, float] = {}  # when a waiting key becomes ready
        self._heap: list[
            tuple[float, Key]
        ] = []  # the same, by time; entries that `_later` disowns are skipped
        self._working: set[Key] = set()
        self._again: set[Key] = set()  # added while being worked on
        self._trouble: dict[Key, _Trouble] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many keys are ready to be worked on now."""
        self._promote()
        return sum(len(keys) for keys in self._ready.values())

    @property
    def waiting(self) -> int:
        """How many keys wait for a time to come."""
        return len(self._later)

    def add(self, key: Key) -> None:
        """Something about the key has changed: it is handed out as soon as a worker is free."""
        if key in self._working:
            self._again.add(key)
        elif key in self._trouble:
            self._schedule(key, self._trouble[key].tried_at + SHORTEST_RETRY)
        else:
            self._make_ready(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """The key is to be looked at in so many seconds, or earlier if something happens."""
        self._schedule(key, self._clock() + seconds)

    def take(self) -> Key | None:
        """Hands out the next key, or None if none is ready. The caller says `done` or `failed` afterwards."""
        self._promote()
        if not self._ready:
            return None
        namespace, keys = next(iter(self._ready.items()))
        key, _ = keys.popitem(last=False)
        if keys:
            self._ready.move_to_end(namespace)
        else:
            del self._ready[namespace]
        self._working.add(key)
        return key

    async def get(self) -> Key:
        """Waits for the next key and hands it out."""
        while (key := self.take()) is None:
            self._changed.clear()
            seconds = self.seconds_to_next()
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue
        if self._ready:
            self._changed.set()  # another worker may be asleep
        return key

    def seconds_to_next(self) -> float | None:
        """Seconds until the next waiting key becomes ready; None if none waits."""
        while self._heap and self._later.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else None

    def done(self, key: Key, *, again_after: float | None = None) -> None:
        """The key was worked on without an error; its back-off is forgotten.

        Args:
            key: what `take` handed out.
            again_after: seconds after which it is to be looked at again anyway.
        """
        self._trouble.pop(key, None)
        self._finish(key)
        if again_after is not None and key not in self._again:
            self.add_after(key, again_after)
        self._readd(key)

    def failed(self, key: Key) -> float:
        """The key could not be worked on; it comes back by itself. Returns after how many seconds."""
        failures = self._trouble[key].failures + 1 if key in self._trouble else 1
        self._trouble[key] = _Trouble(failures=failures, tried_at=self._clock())
        delay = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 16))
        delay *= 1 - JITTER * self._chance()
        self._finish(key)
        self._schedule(key, self._clock() + delay)
        self._readd(key)
        return delay

    def failures(self, key: Key) -> int:
        """How often the key has failed in a row."""
        return self._trouble[key].failures if key in self._trouble else 0

    def forget(self, key: Key) -> None:
        """The model is gone: nothing about the key is kept."""
        self._trouble.pop(key, None)
        self._later.pop(key, None)

    def _finish(self, key: Key) -> None:
        self._working.discard(key)

    def _readd(self, key: Key) -> None:
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _schedule(self, key: Key, when: float) -> None:
        if key in self._ready.get(key.namespace, ()) or self._later.get(key, float("inf")) <= when:
            return
        self._later[key] = when
        heapq.heappush(self._heap, (when, key))
        self._changed.set()

    def _make_ready(self, key: Key) -> None:
        self._later.pop(key, None)
        self._ready.setdefault(key.namespace, OrderedDict())[key] = None
        self._changed.set()

    def _promote(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            when, key = heapq.heappop(self._heap)
            if self._later.get(key) != when:
                continue
            del self._later[key]
            if key in self._working:
                self._again.add(key)
            else:
                self._make_ready(key)
