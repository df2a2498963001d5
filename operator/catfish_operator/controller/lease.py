"""Which of several replicas of the operator writes: the one that holds a coordination.k8s.io/Lease.

All replicas watch and list, so whoever takes over knows everything already; only the holder's workers work.
The holder may write for two thirds of the Lease's duration after it *began* its last successful renewal; the
others wait the whole duration from the moment that they saw the last change. Both are measured on each
one's own monotonic clock, which goes on while a process is stopped, so no two clocks are ever compared: a
holder that was held up finds its time over before it writes anything, and stands by again.

`kubernetes.aio.leaderelection` is not used: it measures by the wall clock, ends at the first lost connection
and never releases. The semantics here are those of client-go.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from catfish_operator import errors
from catfish_operator.model import Json

log = logging.getLogger(__name__)

WRITING = 2 / 3  # of the duration; client-go: 10 s of 15 s
RETRY = 2 / 15  # of the duration; client-go: 2 s of 15 s
CALL = 1 / 3  # of the duration, for one call: one that hangs leaves time for another (client-go: 5 s)
SHORTEST_PAUSE = 0.05  # seconds
RELEASE_SECONDS = 3.0  # for the last call of a process that ends


class Store(Protocol):
    """The one Lease object; see `cluster.LeaseStore`."""

    async def read(self, *, within: float) -> Json | None:
        """Reads it; None if there is none."""

    async def write(self, spec: Json, *, version: str | None, within: float) -> Json:
        """Makes it (no version) or replaces it if it still has that version.

        Raises:
            Stale: somebody else was faster.
        """


class Leadership:
    """Whether this process may write; `run` is one of the operator's tasks."""

    def __init__(
        self,
        *,
        store: Store,
        identity: str,
        duration: float,
        clock: Callable[[], float],
        known: Callable[[], None],
        began: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Starts as a standby.

        Args:
            store: the Lease.
            identity: of this process; nobody else has it while it lives.
            duration: seconds after the last renewal until others may take over.
            clock: monotonic, also while the process is stopped.
            known: called whenever it is known who leads.
            began: called when this process may write and could not before.
            now: for the times in the object, which only people read.
        """
        self._store = store
        self._identity = identity
        self._duration = duration
        self._clock = clock
        self._known = known
        self._began = began
        self._now = now
        self._writing_until = -math.inf
        self._held: Json | None = None  # the Lease as we wrote it last, while nothing speaks against it
        self._seen: tuple[str, float] = ("", -math.inf)  # the version seen last, and when it was new to us
        self._told = ""
        self._failed = False
        self._leads = asyncio.Event()

    def seconds_left(self) -> float:
        """For how many seconds from now this process may write; 0 or less: not at all."""
        return self._writing_until - self._clock()

    def may_write(self) -> bool:
        """Whether this process may write at this moment."""
        return self.seconds_left() > 0

    async def leading(self) -> None:
        """Waits until this process may write."""
        while not self.may_write():
            self._leads.clear()
            await self._leads.wait()

    async def run(self) -> None:
        """Holds the Lease or tries to get it, forever."""
        while True:  # noqa: ASYNC110 - a pace, not a wait for something
            await asyncio.sleep(await self.once())

    async def once(self) -> float:
        """Renews, or looks whether the Lease can be had. Returns after how many seconds to do so again."""
        pause = self._duration * RETRY
        try:
            pause = min(pause, await self._renew() if self.may_write() else await self._look())
        except errors.Stale:
            self._held = None  # somebody else was faster, which the next look will show
        except errors.CatfishError as error:
            self._held = None
            log.log(logging.DEBUG if self._failed else logging.WARNING, "cannot use the Lease: %s", error)
            self._failed = True
        else:
            self._failed = False
        if not self.may_write() and self._told == self._identity:
            self._tell("", "leads no longer: the Lease could not be renewed in time")
        return max(SHORTEST_PAUSE, pause)

    async def release(self) -> None:
        """Gives the Lease up at once, if we hold it. Nothing may be written afterwards."""
        seconds, self._writing_until = self.seconds_left(), -math.inf
        if seconds <= 0:
            return
        try:
            if (lease := self._held or await self._store.read(within=RELEASE_SECONDS)) and self._holder(
                lease
            ) == self._identity:
                spec = {**lease["spec"], "holderIdentity": "", "renewTime": self._time()}
                version = lease["metadata"]["resourceVersion"]
                await self._store.write(spec, version=version, within=min(seconds, RELEASE_SECONDS))
                log.info("released the Lease")
        except errors.CatfishError as error:
            log.info("could not release the Lease, which ends by itself: %s", error)

    async def _renew(self) -> float:
        """Renews while the time to write lasts: nobody else can have taken the Lease yet."""
        lease = self._held or await self._store.read(within=self._duration * CALL)
        if lease is not None and self._holder(lease) != self._identity:
            self._writing_until = -math.inf  # a person has edited it
            return await self._look()
        await self._take(lease, within=min(self.seconds_left(), self._duration * CALL))
        return self._duration

    async def _look(self) -> float:
        """Takes the Lease if it is free, ours, or over; returns the seconds until it may be over."""
        lease = await self._store.read(within=self._duration * CALL)
        if lease is not None:
            holder = self._holder(lease)
            left = self._seconds_to_end(lease)
            if holder not in {"", self._identity} and left > 0:
                self._known()
                self._tell(holder, f"stands by while {holder} leads")
                return left
        await self._take(lease, within=self._duration * CALL)
        return self._duration

    def _seconds_to_end(self, lease: Json) -> float:
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self._clock())
        return float(lease["spec"].get("leaseDurationSeconds") or 0) + self._seen[1] - self._clock()

    async def _take(self, lease: Json | None, *, within: float) -> None:
        begun, time = self._clock(), self._time()
        before: Json = lease["spec"] if lease else {}
        same = before.get("holderIdentity") == self._identity
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": math.ceil(self._duration),
            "acquireTime": (same and before.get("acquireTime")) or time,
            "renewTime": time,
            "leaseTransitions": (before.get("leaseTransitions") or 0) + (bool(lease) and not same),
        }
        version = lease["metadata"]["resourceVersion"] if lease else None
        self._held = await self._store.write(spec, version=version, within=within)
        if not self.may_write():
            self._began()
        self._writing_until = begun + self._duration * WRITING
        self._known()
        self._tell(self._identity, "leads")
        self._leads.set()

    def _tell(self, holder: str, what: str) -> None:
        if holder != self._told:
            log.info("%s", what)
        self._told = holder

    def _holder(self, lease: Json) -> str:
        return str(lease["spec"].get("holderIdentity") or "")

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
