"""One bad update on one system, with a client that asks all the time and a look at the cluster twice a second."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from demo import model
from demo.kube import wait_for
from demo.load import Load
from tests.faults import systems, world
from tests.faults.kinds import BACK_SECONDS, Kind
from tests.faults.outcome import Outcome
from tests.faults.sight import HASH, Sight, Work, fresh
from tests.faults.systems import System
from tests.integration.operator_process import Api

EVERY = 0.4
QUIET_SECONDS = 10.0
"""To look on once v1 is back: nothing may be tried again, and no request fail."""

LEAST_BEFORE = 30
SERVING_RATE = 20.0
"""Requests a second to each pod, where the errors of the new one must make a hundred within the canary's time."""

LATE_SECONDS = 60.0
"""Beyond what is allowed, from the moment on that the failure is known: a late rollback is measured too."""

ADMIN_PORT, ADMIN_SECONDS = 5002, 0.5
EVENTS = "/api/v1/namespaces/{}/events"
UNREACHABLE = (OSError, http.client.HTTPException, AssertionError)
"""No look is possible: the API server is away, or not yet back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where an attempt stands, told to those who disturb it.

    Attributes:
        at: seconds since the change.
        sight: what was seen so far.
    """

    at: float
    sight: Sight


Disturb = Callable[[Moment], None]


def attempt(
    system: System, kind: Kind, *, api: Api, address: str, rate: float, disturb: Disturb = lambda _: None
) -> Outcome:
    """Asks for the bad v2 and looks on until v1 is back, or for long enough."""
    if "CanaryErrorRate" in kind.reasons:
        rate = max(rate, SERVING_RATE * (system.replicas + 1))
    _answering(address)
    v1 = wait_for(
        "v1's pods to be alone", lambda: _only_hash(systems.pods(api, system.namespace)), seconds=120
    )
    seen = Sight(v1=v1, replicas=system.replicas)
    with Load(address, model.samples(), rate=rate) as load:
        load.wait_until(lambda result: result.total >= LEAST_BEFORE, seconds=60)
        for moment in _looks(system, kind, seen, api=api):
            seen = moment.sight
            disturb(moment)
    says, leaked = wait_for("the API server", lambda: _told(system, api), seconds=120)
    return Outcome(system=system.name, kind=kind, sight=seen, load=load.result(), leaked=leaked, says=says)


def _looks(system: System, kind: Kind, seen: Sight, *, api: Api) -> Iterator[Moment]:
    """Changes the spec, and looks until it is over."""
    system.change(kind)
    started = time.monotonic()
    until = system.give_up_seconds(kind)
    at = 0.0
    while at < until and not (seen.back is not None and at > seen.back + QUIET_SECONDS):
        try:
            pods, failure = systems.pods(api, system.namespace), system.failure()
        except UNREACHABLE:
            until += EVERY + time.monotonic() - started - at  # also what it took to find that out
        else:
            work = told_by(fresh(pods, v1=seen.v1))
            seen = seen.look(time.monotonic() - started, pods, failure=failure, work=work)
            if seen.noticed is not None and system.name != "plain":
                until = min(until, seen.noticed + BACK_SECONDS[kind.patience] + LATE_SECONDS)
        yield Moment(at=at, sight=seen)
        threading.Event().wait(EVERY)
        at = time.monotonic() - started


def told_by(pods: list[dict]) -> frozenset[Work]:
    """What pods tell of their work on their admin port; those that do not answer tell nothing."""
    addresses = {pod["metadata"]["name"]: (pod.get("status") or {}).get("podIP") for pod in pods}
    told = {name: _work(address) for name, address in addresses.items() if address}
    return frozenset((name, *work) for name, work in told.items() if work)


def _work(address: str) -> tuple[str, int] | None:
    connection = http.client.HTTPConnection(address, ADMIN_PORT, timeout=ADMIN_SECONDS)
    try:
        connection.request("GET", "/readyz")
        told = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return str(told["stage"]), int(told.get("done") or 0)


def _told(system: System, api: Api) -> tuple[str, bool] | None:
    """The word of the status, and whether the secret is in what anybody may read; None: nobody answers."""
    try:
        public = [api.ok("GET", EVENTS.format(system.namespace)), system.body()]
        return system.says(), world.SECRET in json.dumps(public)
    except UNREACHABLE:
        return None


def _only_hash(pods: list[dict]) -> str | None:
    """The template hash of all pods; None while one of an attempt before, on its way out, could pass for v2's."""
    found = {pod["metadata"]["labels"][HASH] for pod in pods}
    return found.pop() if len(found) == 1 else None


def _answering(address: str) -> None:
    def once() -> bool:
        try:
            return model.ask(address, path="/").status == 200
        except OSError:
            return False

    wait_for(f"an answer of {address}", once, seconds=30)
