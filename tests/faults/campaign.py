"""Many bad updates side by side: each lane is one model, on which kinds are tried one after the other."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from demo.kube import Kube, wait_for
from tests.faults import systems
from tests.faults.attempt import Disturb, attempt
from tests.faults.kinds import BACK_SECONDS, Kind
from tests.faults.outcome import Outcome
from tests.integration.operator_process import Api

SYSTEMS = {"catfish": systems.Catfish, "plain": systems.Plain}
Opened = tuple[systems.System, str]
KINDS_A_LANE = 7
"""Before the first one v1 has to be proven, which takes as long as a kind does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A model and what is tried on it; its namespace is named for it.

    Attributes:
        system: a key of `SYSTEMS`.
        replicas: of the model.
        kinds: tried one after the other.
        number: sets it apart from others with as many replicas.
        defaults: the model has the default times of a rollout instead of short ones.
    """

    system: str
    replicas: int
    kinds: tuple[Kind, ...]
    number: int = 0
    defaults: bool = False

    @property
    def namespace(self) -> str:
        """Of the lane's own."""
        return f"bad-{self.system}-{self.replicas}-{self.number}"

    @property
    def alone(self) -> bool:
        """Whether it counts how soon v1's pods start again, for which they need the machine to themselves."""
        return self.replicas > 1 and any(kind.released for kind in self.kinds)


def lanes(kinds: Sequence[Kind], *, system: str, replicas: int, least: int = 1) -> list[Lane]:
    """Lanes for all kinds: at least so many, none with too many kinds, the slow ones spread over them.

    A kind that shows when v1's pods are being replaced has a lane to itself, where there are more pods than one.
    """
    single = [kind for kind in kinds if kind.released and replicas > 1]
    slow_first = sorted(
        (kind for kind in kinds if kind not in single), key=lambda kind: -BACK_SECONDS[kind.patience]
    )
    count = min(len(slow_first), max(least - len(single), -(-len(slow_first) // KINDS_A_LANE)))
    chosen = [slow_first[number::count] for number in range(count)] + [[kind] for kind in single]
    return [
        Lane(system=system, replicas=replicas, kinds=tuple(some), number=number)
        for number, some in enumerate(chosen)
    ]


def opened(kube: Kube, lane: Lane) -> Opened:
    """The lane's v1, proven, and its address."""
    times = {} if lane.defaults else systems.SHORT
    system = SYSTEMS[lane.system](kube, Api(kube.kubeconfig), lane.namespace, lane.replicas, times=times)
    return system, system.open()


@dataclass(kw_only=True)
class Campaign:
    """Runs lanes.

    Attributes:
        kube: the cluster.
        rate: requests per second to each model.
        parallel: lanes at the same time; those that are to be `alone` come after them, one by one.
        told: gets each outcome as soon as it is there.
        disturb: called once for each attempt, gives what is called at each of its looks.
        together: all lanes wait for each other before their first change.
        grace: what `Outcome.complaints` is to be told when an attempt is over.
        closing: called with the namespace of each lane before it goes.
        suspicious: called with the namespace of a lane that failed or has something to complain of, before it goes.
        ready: the lanes that somebody is opening already, by their namespaces.
    """

    kube: Kube
    rate: float
    parallel: int
    told: Callable[[Lane, Outcome, float], None] = lambda _lane, _outcome, _seconds: None
    disturb: Callable[[], Disturb] = lambda: lambda _: None
    together: bool = False
    grace: Callable[[], float] = lambda: 0.0
    closing: Callable[[str], None] = lambda _: None
    suspicious: Callable[[str], None] = lambda _: None
    ready: Mapping[str, Future[Opened]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, wanted: Iterable[Lane]) -> list[tuple[Lane, Outcome]]:
        """All outcomes. What makes a lane fail, a kind that could not be tried, is raised at the end."""
        chosen = list(wanted)
        alone = [lane for lane in chosen if lane.alone and not self.together]
        beside = [lane for lane in chosen if lane not in alone]
        gate = threading.Barrier(len(beside)) if self.together else None
        with ThreadPoolExecutor(len(beside) if self.together else self.parallel) as pool:
            running = [pool.submit(self._lane, lane, gate) for lane in beside]
        found = [outcome for future in running for outcome in future.result()]
        return found + [outcome for lane in alone for outcome in self._lane(lane, None)]

    def _lane(self, lane: Lane, gate: threading.Barrier | None) -> list[tuple[Lane, Outcome]]:
        api = Api(self.kube.kubeconfig)
        found = []
        try:
            opening = self.ready.get(lane.namespace)
            system, address = opening.result() if opening else opened(self.kube, lane)
            if gate is not None:
                gate.wait(600)
            for number, kind in enumerate(lane.kinds):
                began = time.monotonic()
                if number:
                    system.restore()
                outcome = attempt(
                    system, kind, api=api, address=address, rate=self.rate, disturb=self.disturb()
                )
                found.append((lane, outcome))
                if outcome.complaints(grace=self.grace()):
                    self.suspicious(lane.namespace)
                with self._lock:
                    self.told(lane, outcome, time.monotonic() - began)
            self.closing(lane.namespace)
        except BaseException:
            if gate is not None:
                gate.abort()
            self.suspicious(lane.namespace)
            raise
        finally:
            self._delete(lane.namespace)
        return found

    def _delete(self, namespace: str) -> None:
        """The API server may still be away."""
        command = ("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")
        wait_for("the namespace to be deleted", lambda: self.kube.run(*command) is not None, seconds=120)
