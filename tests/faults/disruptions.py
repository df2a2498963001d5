"""What happens to the operator and to the API server in the worst moment of an update."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from demo.cluster import OPERATOR_NAMESPACE
from demo.kube import Json, Kube
from localcluster import cluster
from localcluster.errors import LocalClusterError
from tests.e2e.namespaced import THE_OPERATOR
from tests.faults.attempt import Disturb, Moment


def kill_operator(kube: Kube, namespace: str = OPERATOR_NAMESPACE) -> frozenset[str]:
    """SIGKILL; its pod is removed too, for a kubelet would wait longer before each further start.

    Returns:
        The UIDs of the pods that are gone by it.
    """
    pods = kube.list("pods", namespace, THE_OPERATOR)
    _signal(pods, "SIGKILL")
    names = [pod["metadata"]["name"] for pod in pods]
    if names:
        inside = ("--namespace", namespace)
        kube.run("delete", "pod", *names, *inside, "--grace-period=0", "--force", "--wait=false")
    return _uids(pods)


def operators(kube: Kube, namespace: str) -> frozenset[str]:
    """The UIDs of the operator's pods that are there now."""
    return _uids(kube.list("pods", namespace, THE_OPERATOR))


def _uids(pods: Sequence[Json]) -> frozenset[str]:
    return frozenset(pod["metadata"]["uid"] for pod in pods)


def _signal(pods: Sequence[Json], number: str) -> int:
    """Sends a signal to the containers of the pods; returns how many there were to get it."""
    here = cluster.current()
    sent = 0
    for pod in pods:
        for container in pod["status"].get("containerStatuses", []):
            identity = container.get("containerID", "").partition("://")[2]
            for node in here.nodes if here and identity else ():
                try:
                    node.ctr("tasks", "kill", "--signal", number, identity)
                    sent += 1
                except LocalClusterError:  # it runs on another node, or ends just now
                    continue
    return sent


SERVED_SECONDS = 3.0
"""After which a pod that answers with errors has shown it; until then a client has asked it some fifty times."""

TAKEN_SECONDS = 1.0
"""After which the kubelet has what it needs to start a pod. As soon as the pod is there it has not, and tries again a
minute after the outage: the pod shows nothing until the deadline, which is then the reason that is told."""

QUIET_SECONDS = 30.0
"""After which no pod of v2 has shown anything: half of the deadline that the operator waits for."""

OPERATOR_START_SECONDS = 20.0
"""For a new pod of the operator while the lease of the one that was killed runs out, or for one that was cut off."""

REACHED_SECONDS, LOOK_SECONDS = 150.0, 0.5
"""For kube-proxy to ask for the news twice, with what that takes; and between two looks whether it has."""


class OperatorKilledWhileItDecides:
    """Kills the operator when it has a bad pod before its eyes and has not decided anything.

    A look comes every 0.4 s and the operator decides within milliseconds, so it is stopped (SIGSTOP) as soon as a
    pod of v2 is there, and killed (SIGKILL) once that one has shown what it is. Where none does, it is killed in the
    middle of the deadline, which then begins anew.

    Attributes:
        stopped: containers that were.
        killed: the UIDs of the pods that were; empty: it has not come to that.
        noticed: whether a failure was in the status when they were killed.
    """

    def __init__(self, kube: Kube, namespace: str = OPERATOR_NAMESPACE) -> None:
        """Takes the namespace in which the operator lives."""
        self._kube, self._namespace = kube, namespace
        self.stopped = 0
        self.killed: frozenset[str] = frozenset()
        self.noticed = False

    def __call__(self, moment: Moment) -> None:
        """Called at each look."""
        seen = moment.sight
        if seen.begun is not None and not self.stopped:
            pods = self._kube.list("pods", self._namespace, THE_OPERATOR)
            self.stopped = _signal(pods, "SIGSTOP")
        elif _shown(moment) and not self.killed:
            self.noticed = seen.noticed is not None
            self.killed = kill_operator(self._kube, self._namespace)

    def complaints(self) -> list[str]:
        """What of the disturbance itself did not come as it should, in sentences."""
        if not self.killed:
            return ["the operator was not killed"]
        return ["the operator had decided before it was killed"] if self.noticed else []

    def close(self) -> None:
        """Leaves no operator stopped, whatever came between."""
        if self.stopped and not self.killed:
            kill_operator(self._kube, self._namespace)


def _shown(moment: Moment) -> bool:
    """Says whether v2 has shown what is wrong with it, or will not."""
    seen, at = moment.sight, moment.at
    served = seen.served is not None and at - seen.served >= SERVED_SECONDS
    return seen.reported is not None or served or at >= QUIET_SECONDS


def after_all(disturb: Disturb, *, of: int) -> Callable[[], Disturb]:
    """For each of so many that are tried at the same time: looks are handed on once all have changed their spec."""
    changed: set[int] = set()
    numbers = itertools.count()

    def one_more() -> Disturb:
        number = next(numbers)

        def look(moment: Moment) -> None:
            changed.add(number)
            if len(changed) >= of:
                disturb(moment)

        return look

    return one_more


class ApiServerAway:
    """Stops the local cluster's API server once, as soon as a node has taken a pod of a bad v2, for so long.

    Shared by all that are tried at the same time: there is one API server. Pods reach it later than we do, by its
    Service: it takes itself out of there as it ends, and kube-proxy asks for the news with a back-off of 30 s, up to
    doubled by jitter (client-go's reflector), sometimes twice: a first watch may name a revision that is too old.

    Attributes:
        seconds: that it was away; 0 as long as it was not.
    """

    def __init__(self, seconds: float, *, at_the_end: Callable[[], None] = lambda: None) -> None:
        """Takes the seconds, and what is called while it is still away."""
        self._wanted, self._at_the_end = seconds, at_the_end
        self.seconds = 0.0
        self._began = self._reached = 0.0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1)
        self._away: Future[None] | None = None

    def __call__(self, moment: Moment) -> None:
        """Called at each look."""
        with self._lock:
            begun = moment.sight.begun
            if self._away is None and begun is not None and moment.at - begun >= TAKEN_SECONDS:
                self._away = self._pool.submit(self._be_away)

    @property
    def unreachable(self) -> float:
        """The seconds from when it went until pods could reach it again, or until now."""
        return (self._reached or time.monotonic()) - self._began if self._began else 0.0

    def join(self) -> None:
        """Waits until pods can reach it again; raises what went wrong meanwhile."""
        self._pool.shutdown()
        if self._away is not None:
            self._away.result()

    def _be_away(self) -> None:
        here = cluster.current()
        if here is None:
            raise RuntimeError("only the local cluster's API server can be stopped")
        self._began = time.monotonic()
        here.plane.stop_apiserver()
        try:
            time.sleep(self._wanted)
            self._at_the_end()
        finally:
            self.seconds = time.monotonic() - self._began
            here.plane.start_apiserver()
        until = time.monotonic() + REACHED_SECONDS
        while not here.api_reachable():
            if time.monotonic() > until:
                raise AssertionError(
                    f"no pod can reach the API server {REACHED_SECONDS:.0f} s after it is back"
                )
            time.sleep(LOOK_SECONDS)
        self._reached = time.monotonic()
