"""One look at one model: observe, plan, execute, say. Called by the workers, one at a time per model.

What was written is looked at again before status is computed, so status speaks of what is, not of what was
asked for. It is said last and on every path, also when an action was refused; where none was, it is said of the very
look that left nothing to do: in another one a moment later the time may have come for a verdict that is on no revision.
"""

import contextlib
import logging
import math
from collections.abc import Callable, Iterable
from typing import Protocol

from catfish_operator import errors, plan, pods, reasons, status
from catfish_operator.actions import Action, Apply, Delete, Plan, Replace
from catfish_operator.cluster import MODEL, Cluster, Kind, kind_of
from catfish_operator.model import Json
from catfish_operator.observe import Key, Observer
from catfish_operator.observed import Observed
from catfish_operator.reasons import Verdict

log = logging.getLogger(__name__)

Look = tuple[Observed, Plan]

# Looks at one model in a row. Two are the rule (act, then see that nothing is left to do); more are needed
# when others write at the same time. A model that is not settled then waits for its back-off.
LOOKS = 6

PACE_SECONDS = 1.0
"""Between two writes of a status that differ only in how far the same thing is. The pods of one model come up together,
and each is two events or more: a write for each of them would be most of what a new model asks of the API server."""


class Memory(Protocol):
    """What is known of the cluster; see `controller.cache`."""

    def observe(self, kind: Kind, item: Json, *, live: bool = False) -> object:
        """Takes note of an object that was just read or written."""

    def absent(self, kind: Kind, namespace: str, name: str) -> None:
        """Takes note that a live read did not find an object."""


class Reconciler:
    """Brings models to what their specs ask for, through `cluster`, on what `memory` knows."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        memory: Memory,
        observer: Observer,
        clock: Callable[[], float],
        announce: Callable[[Json, Json | None, Json], None] = lambda *_: None,
        repaired: Callable[[Observed, Action], None] = lambda *_: None,
    ) -> None:
        """Prepares the looks.

        Args:
            cluster: where is written.
            memory: what is known.
            observer: looks at a model.
            clock: a monotonic clock in seconds.
            announce: told of each status written: the model, the status before, the status after.
            repaired: told of each action done, once nothing is left to do: what was seen before it, and the action.
        """
        self._cluster = cluster
        self._announce = announce
        self._repaired = repaired
        self._memory = memory
        self._observer = observer
        self._clock = clock
        self._said: dict[Key, float] = {}  # when a model's status was written last

    async def reconcile(self, key: Key) -> float | None:
        """Looks at one model until nothing is left to do.

        Returns:
            Seconds after which it should be looked at again anyway; None if events are enough.

        Raises:
            NeedsPerson: an action was refused; status says so.
            NeedsWorld: something could not be done now.
        """
        met: set[tuple[str, str]] = set()
        done: list[tuple[Observed, Action]] = []
        confirmed = False
        for _ in range(LOOKS):
            look = self._look(key)
            if look is None:
                self._said.pop(key, None)
                return None
            observed, planned = look
            if planned.confirm and not confirmed:
                await self._confirm(observed, planned.target)
                confirmed = True
                continue
            failure = await self._execute(key, observed, planned.actions, met=met, done=done)
            if isinstance(failure, errors.Stale) or (failure is None and planned.actions):
                continue
            if failure is not None:  # what came before the action that failed was done
                look = self._look(key)
            try:
                unsaid = await self._say(key, look, refused=failure)
            except errors.Stale:
                await self._read(MODEL, *key)
                continue
            for before, action in done:
                self._repaired(before, action)
            if failure is not None:
                raise failure
            waits = (planned.requeue_after, unsaid)
            return min((seconds for seconds in waits if seconds is not None), default=None)
        error = errors.Unsettled(f"{key[0]}/{key[1]}: changed by somebody else faster than it can be settled")
        written = [_address(action) for _, action in done]
        if written and written.count(written[-1]) >= LOOKS - 1:  # each time, and it was another the next time
            with contextlib.suppress(errors.Stale):
                await self._say(key, self._look(key), refused=error, about=done[-1][1])
        raise error

    def _look(self, key: Key) -> Look | None:
        """What is there, and what is to be done about it; None if there is no such model."""
        observed = self._observer.look(key)
        return None if observed is None else (observed, plan.plan(observed))

    async def _execute(
        self,
        key: Key,
        seen: Observed,
        actions: Iterable[Action],
        *,
        met: set[tuple[str, str]],
        done: list[tuple[Observed, Action]],
    ) -> errors.CatfishError | None:
        """Does the actions in order, up to the first that fails; returns how that one failed."""
        for action in actions:
            try:
                await self._do(action, met=met)
                done.append((seen, action))
            except errors.Noted as error:
                return error
            except errors.Stale as error:
                await self._read(*_address(action))
                await self._read(MODEL, *key)
                return error
            except (errors.NeedsPerson, errors.NeedsWorld) as error:
                return error
        return None

    async def _do(self, action: Action, *, met: set[tuple[str, str]]) -> None:
        kind, namespace, name = _address(action)
        match action:
            case Apply(uid=None):
                self._learn(kind, await self._create(kind, action.manifest, met=met), "created")
            case Apply():
                self._learn(kind, await self._cluster.apply(action.manifest, uid=action.uid), "updated")
            case Replace():
                operations: list[Json] = [
                    {"op": "test", "path": "/metadata/uid", "value": action.uid},
                    {"op": "test", "path": "/metadata/resourceVersion", "value": action.resource_version},
                    # "add" replaces what is there, and unlike "replace" does not mind if it is not
                    {"op": "add", "path": action.path, "value": action.value},
                    *({"op": "add", "path": path, "value": value} for path, value in action.also),
                ]
                changed = await self._cluster.patch_json(
                    kind, namespace=namespace, name=name, operations=operations
                )
                self._learn(kind, changed, f"put back {action.path} of")
            case Delete():
                await self._cluster.delete(
                    kind,
                    namespace=namespace,
                    name=name,
                    uid=action.uid,
                    resource_version=action.resource_version,
                )
                self._memory.absent(kind, namespace, name)
                log.info("deleted %s %s/%s", kind.kind, namespace, name)

    async def _create(self, kind: Kind, manifest: Json, *, met: set[tuple[str, str]]) -> Json:
        """Makes an object. One that is there is read: the cache may be late, and sees only what has our label."""
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        if (kind.kind, name) in met:  # the plan knows of it and still wants to create it
            message = f"{kind.kind} {name} exists and belongs to somebody else"
            raise errors.Refused(reason="NameConflict", message=message)
        try:
            return await self._cluster.apply(manifest, uid=None)
        except errors.Stale as error:
            live = await self._cluster.get(kind, namespace=namespace, name=name)
            if live is None:
                raise
            self._memory.observe(kind, live, live=True)
            met.add((kind.kind, name))
            raise errors.Noted(f"{kind.kind} {namespace}/{name} exists already") from error

    def _learn(self, kind: Kind, item: Json, what: str) -> None:
        self._memory.observe(kind, item, live=True)
        log.info("%s %s %s/%s", what, kind.kind, item["metadata"]["namespace"], item["metadata"]["name"])

    async def _read(self, kind: Kind, namespace: str, name: str) -> None:
        """Brings what is known of one object up to date."""
        live = await self._cluster.get(kind, namespace=namespace, name=name)
        if live is None:
            self._memory.absent(kind, namespace, name)
        else:
            self._memory.observe(kind, live, live=True)

    async def _confirm(self, observed: Observed, target: str | None) -> None:
        """Reads live what a decision rests on that has proven pods at stake: the cache may be late.

        As after the API server was away: pods that have ended meanwhile look as they did before, for as long as
        nothing was listed anew.
        """
        fresh = [pod for pod in observed.pods if pods.revision_of(pod) == target]
        for item in (observed.body, observed.deployment, *fresh):
            if item is not None:
                kind = kind_of(item["apiVersion"], item["kind"])
                await self._read(kind, item["metadata"]["namespace"], item["metadata"]["name"])

    async def _say(
        self,
        key: Key,
        look: Look | None,
        *,
        refused: errors.CatfishError | None,
        about: Action | None = None,
    ) -> float | None:
        """Writes the status if it differs from the live one.

        Args:
            key: the model.
            look: what is said of; None: the model is gone.
            refused: what went wrong with the last action.
            about: what could not be settled.

        Returns:
            Seconds after which it should be written, if it is too soon for so little news; else None.
        """
        if look is None or "deletionTimestamp" in look[0].body["metadata"]:
            return None
        observed, planned = look
        live = observed.body.get("status")
        verdict = _verdict(refused, about)
        wanted = status.status(observed, planned, refused=verdict)
        if not status.differs(live, wanted):
            return None
        left = self._said.get(key, -math.inf) + PACE_SECONDS - self._clock()
        if left > 0 and not status.turns(live, wanted):
            return left
        try:
            self._memory.observe(
                MODEL, await self._cluster.patch_status(observed.body, status=wanted), live=True
            )
        except errors.NeedsWorld:
            if refused is None:
                raise
            return None  # the first failure is the one to speak of; the status is said on the next look
        self._said[key] = self._clock()
        self._announce(observed.body, live, wanted)
        if (live or {}).get("message") != wanted.get("message"):
            log.info("%s/%s: %s", *key, wanted.get("message"))
        return None


def _verdict(refused: errors.CatfishError | None, about: Action | None) -> Verdict | None:
    """What the status says of a failure that needs a person; None: what the plan says."""
    if isinstance(refused, errors.Refused):
        return reasons.stalled(refused.reason, str(refused))
    if isinstance(refused, errors.Unsettled) and about is not None:
        kind, _, name = _address(about)
        return reasons.stalled("Overruled", f"{kind.kind} {name}")
    return None


def _address(action: Action) -> tuple[Kind, str, str]:
    match action:
        case Apply(manifest=manifest):
            metadata = manifest["metadata"]
            return kind_of(manifest["apiVersion"], manifest["kind"]), metadata["namespace"], metadata["name"]
        case Replace() | Delete():
            return kind_of(action.api_version, action.kind), action.namespace, action.name
