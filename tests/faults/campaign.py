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


def lanes(kinds: Sequence[Kind], *, system: str, replicas: int, least: int = 1) -> list[Lane]:
    """Lanes for all kinds: at least so many, none with too many kinds, the slow ones spread over them."""
    count = min(len(kinds), max(least, -(-len(kinds) // KINDS_A_LANE)))
    slow_first = sorted(kinds, key=lambda kind: -BACK_SECONDS[kind.patience])
    return [
        Lane(system=system, replicas=replicas, kinds=tuple(slow_first[number::count]), number=number)
        for number in range(count)
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
        parallel: lanes at the same time.
        told: gets each outcome as soon as it is there.
        disturb: called once for each attempt, gives what is called at each of its looks.
        together: all lanes wait for each other before their first change.
        grace: see `Outcome.complaints`.
        suspicious: called with the namespace of a lane that failed or has something to complain of, before it goes.
        ready: the lanes that somebody is opening already, by their namespaces.
    """

    kube: Kube
    rate: float
    parallel: int
    told: Callable[[Lane, Outcome, float], None] = lambda _lane, _outcome, _seconds: None
    disturb: Callable[[], Disturb] = lambda: lambda _: None
    together: bool = False
    grace: float = 0.0
    suspicious: Callable[[str], None] = lambda _: None
    ready: Mapping[str, Future[Opened]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, wanted: Iterable[Lane]) -> list[tuple[Lane, Outcome]]:
        """All outcomes. What makes a lane fail, a kind that could not be tried, is raised at the end."""
        chosen = list(wanted)
        gate = threading.Barrier(len(chosen)) if self.together else None
        with ThreadPoolExecutor(len(chosen) if self.together else self.parallel) as pool:
            running = [pool.submit(self._lane, lane, gate) for lane in chosen]
        return [found for future in running for found in future.result()]

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
                if outcome.complaints(grace=self.grace):
                    self.suspicious(lane.namespace)
                with self._lock:
                    self.told(lane, outcome, time.monotonic() - began)
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
