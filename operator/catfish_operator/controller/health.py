"""Is the operator alive, is it ready? Fed by resync, workers and a task that measures the event loop's lag.

Alive means that work gets done, not that a socket answers: listings end (well or not) within their time, no
worker holds one model for minutes, and the loop wakes up when it should. An API server that is away makes
the operator neither dead nor unready: a restart would not bring it back, and would cost the kubelet's back-
off on top.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

LATEST_RESYNC = (
    300.0  # seconds since the last attempt ended; one is begun every 60 s and can take a few timeouts
)
LONGEST_WORK = 300.0  # seconds with one model: a few calls, each with a timeout of 30 s
LONGEST_LAG = 5.0  # seconds; something blocks the loop
LAG_EVERY = 1.0


@dataclass(slots=True)
class Health:
    """What the probes are answered from."""

    clock: Callable[[], float]
    filled: bool = False
    """Whether the cache was filled once; the probes and the workers wait for it."""

    leader_known: bool = True
    """Whether it is known which replica leads; false until the first look at the Lease, if there is one."""

    ready: Callable[[], int] = lambda: 0
    """How many models a worker could take now; on a standby none, whatever has happened to them."""

    resync_ended_at: float = field(init=False)
    working_since: dict[object, float] = field(default_factory=dict)
    lag: float = 0.0
    moved_at: float = field(init=False)

    _seen_since: float = field(init=False)
    _blind: bool = False

    def __post_init__(self) -> None:
        self.resync_ended_at = self.moved_at = self._seen_since = self.clock()

    def seen_since(self) -> float:
        """Since when the cluster could be seen without a break; now, while it cannot."""
        return self.clock() if self._blind else self._seen_since

    def sees_again(self) -> None:
        """This process may write again: it did nothing meanwhile, and may have been stopped, or the API server away."""
        self._seen_since = self.clock()

    def leader_seen(self) -> None:
        """It is known which replica leads."""
        self.leader_known = True

    def resync_ended(self, *, filled: bool) -> None:
        """A full listing has ended, well or not."""
        self.resync_ended_at = self.clock()
        self.filled = self.filled or filled
        if self._blind and filled:
            self.sees_again()
        self._blind = not filled

    def work_begins(self, key: object) -> None:
        """A worker has taken a model."""
        self.working_since[key] = self.moved_at = self.clock()

    def work_ends(self, key: object) -> None:
        """The worker has let go of it."""
        self.working_since.pop(key, None)

    def loop_woke(self, *, lag: float) -> None:
        """The event loop has woken up, so many seconds late."""
        self.lag = lag
        if not self.ready():
            self.moved_at = self.clock()  # nobody has to move while nothing is there to be taken

    def not_alive(self) -> str | None:
        """Says in one line why the process should be restarted; None while it should not."""
        now = self.clock()
        if now - self.resync_ended_at > LATEST_RESYNC:
            return f"the last listing ended {now - self.resync_ended_at:.0f} s ago"
        for key, since in self.working_since.items():
            if now - since > LONGEST_WORK:
                return f"{key} has been worked on for {now - since:.0f} s"
        if now - self.moved_at > LONGEST_WORK and (ready := self.ready()):
            return f"no worker has taken a model for {now - self.moved_at:.0f} s, and {ready} are ready"
        if self.lag > LONGEST_LAG:
            return f"the event loop woke up {self.lag:.1f} s late"
        return None

    def not_ready(self) -> str | None:
        """Says in one line what is awaited before work could begin; None when nothing is."""
        if not self.leader_known:
            return "it is not known yet which replica leads"
        return None if self.filled else "the first listing has not been completed"


async def watch_lag(health: Health, *, seen: Callable[[float], None]) -> None:
    """Measures forever how late the event loop wakes up."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_EVERY
        await asyncio.sleep(LAG_EVERY)
        lag = max(0.0, loop.time() - due)
        health.loop_woke(lag=lag)
        seen(lag)
