"""How far the Deployment is on its way to a revision, and the numbers that say so. Read by `rollout`, `watch`."""

from dataclasses import dataclass

from catfish_operator import pods
from catfish_operator.model import CatfishModel, Json
from catfish_operator.observed import Observed
from catfish_operator.reasons import Verdict, progressing, settled
from catfish_operator.resources.record import Record

STAGES = ("fetching", "loading", "warming", "verifying", "ready")
"""The stages of docs/contract.md in their order; what a pod does after them is no progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The numbers of one look.

    Attributes:
        chosen: the Deployment has the target's template; current: its own status speaks of its present spec.
        settled_number: its number of pods is the wanted one.
        wanted, updated, total, available: pods; `updated` are those of the target revision.
        outdated: living pods of other revisions; fresh: those of the target; ready: how many of the fresh are.
    """

    chosen: bool
    current: bool
    settled_number: bool
    wanted: int
    updated: int
    total: int
    available: int
    outdated: tuple[Json, ...]
    fresh: tuple[Json, ...]
    ready: int

    @property
    def serving(self) -> bool:
        """A pod of another revision serves: there is something to protect."""
        return any(map(pods.ready, self.outdated))

    @property
    def arrived(self) -> bool:
        """The Deployment is at work on the target revision, and its numbers are of that."""
        return self.chosen and self.current

    @property
    def complete(self) -> bool:
        """Every pod is of the target revision, and available."""
        counts = {self.updated, self.total, self.available}
        return self.arrived and self.settled_number and counts == {self.wanted} and not self.outdated

    @property
    def replaced(self) -> bool:
        """The last pod is updated: none of another revision lives, and at least one new one is available."""
        return self.chosen and not self.outdated and self.available > 0 and self.ready > 0

    def first_ready(self, surge: int) -> bool:
        """While the rollout is held: all the pods that can come up have come up, and every new pod is Ready."""
        return self.chosen and self.ready == len(self.fresh) >= max(1, min(surge, self.wanted))


def wanted_replicas(model: CatfishModel, live: Json | None) -> int:
    """How many pods there should be: the spec's number, else the live one, else the autoscaler's least, else one."""
    if model.replicas is not None:
        return model.replicas
    number = live["spec"].get("replicas") if live else None
    least = model.autoscaling.min_replicas if model.autoscaling else 1
    return least if number is None else int(number)


def live_revision(live: Json | None) -> str | None:
    """The revision whose template a Deployment has."""
    return pods.revision_of(live["spec"]["template"]) if live else None


def progress(observed: Observed, *, model: CatfishModel, target: str) -> Progress:
    """Counts the pods on their way to the target revision."""
    live = observed.deployment or {"metadata": {}, "spec": {"template": {}}}
    status, wanted = live.get("status") or {}, wanted_replicas(model, observed.deployment)
    current = (status.get("observedGeneration") or 0) >= live["metadata"].get("generation", 0)
    updated, total, available = (
        status.get(name) or 0 for name in ("updatedReplicas", "replicas", "availableReplicas")
    )
    living = pods.living(observed.pods)
    fresh = tuple(pod for pod in living if pods.revision_of(pod) == target)
    return Progress(
        chosen=live_revision(observed.deployment) == target,
        current=current,
        settled_number=live["spec"].get("replicas") == wanted,
        wanted=wanted,
        updated=updated,
        total=total,
        available=available,
        outdated=tuple(pod for pod in living if pods.revision_of(pod) != target),
        fresh=fresh,
        ready=sum(map(pods.ready, fresh)),
    )


def verdict(found: Progress, *, model: CatfishModel, target: str) -> Verdict:
    """Says what is awaited, or that nothing is."""
    if not found.chosen:
        return progressing("RolloutStarted", f"Revision {target} ({model.image}) is being rolled out")
    if found.complete:
        return settled("RolloutCompleted" if found.wanted else "ScaledToZero")
    if not found.current or not found.settled_number:
        return progressing("Applying")
    if found.updated < found.wanted or found.outdated:
        return progressing("RolloutStarted", f"{found.updated} of {found.wanted} pods run revision {target}")
    if found.total > found.wanted:
        return progressing("Scaling", f"{found.total} pods are there, {found.wanted} wanted")
    return progressing("PodsStarting", f"{found.available} of {found.wanted} pods are available")


def held(record: Record, model: CatfishModel) -> bool:
    """Says whether the rollout stops at its first new pods."""
    return model.rollout.canary.seconds > 0 and record.verdict != "proven" and record.released_at is None


def whole(found: Progress, record: Record) -> bool:
    """Says whether as many pods of the target are available as its rollout is about, and no other lives.

    Scaling is not a rollout: a pod that is asked for later, and finds no room, says nothing of the revision.
    """
    least = min(found.wanted, record.pods or found.wanted)
    return found.complete or (found.replaced and found.available >= least)


def asked(observed: Observed, found: Progress) -> bool:
    """Says whether a request has reached a new pod, as far as they tell."""
    readings = (observed.readings.get(pods.identity(pod)) for pod in found.fresh)
    return any(reading is not None and reading.requests > 0 for reading in readings)


def numbers(observed: Observed, found: Progress) -> tuple[int, ...]:
    """The numbers of which at least one must rise within the progress deadline."""
    scheduled = sum(pods.condition(pod, "PodScheduled").get("status") == "True" for pod in found.fresh)
    return (len(found.fresh), scheduled, found.ready, found.updated, found.available, _work(observed, found))


def _work(observed: Observed, found: Progress) -> int:
    """How far the new pods are in all: a later stage is further than any number of bytes in an earlier one."""
    sum_of_all = 0
    for pod in found.fresh:
        reading = observed.readings.get(pods.identity(pod))
        if reading and reading.stage in STAGES:
            sum_of_all += (STAGES.index(reading.stage) << 50) + reading.done
    return sum_of_all
