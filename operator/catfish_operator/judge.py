"""What is wrong with the pods of a revision, and whether that is the end of it. Called by `rollout`."""

import re

from catfish_operator import canary, pods, progress, watch
from catfish_operator.model import CatfishModel, Json
from catfish_operator.observed import Observed
from catfish_operator.pods import Fault
from catfish_operator.progress import Progress
from catfish_operator.reasons import REPORTED
from catfish_operator.resources.record import Record

PULL_STRIKES_SECONDS = 15.0
"""The kubelet pulls a second time 10 s after the first (the base of its back-off); by now that has failed too."""

IDLE_SECONDS = 10.0
"""How often to look at a revision that has nothing to go back to and does not get ready."""


def fault(
    observed: Observed, found: Progress, *, model: CatfishModel, record: Record, protected: bool
) -> Fault | None:
    """The fault to speak of: one that fails at once, then what pods say themselves, then what is said of them.

    Args:
        observed: the look.
        found: how far the rollout is.
        model: the model.
        record: how the target went so far.
        protected: there is something to go back to, or an old pod that serves. Without either, a pod that has come
            back is as good as any.
    """
    if not found.chosen:
        return None
    fresh = [_in_this_try(pod, record) for pod in found.fresh]
    faults = [one for pod in fresh if (one := pods.fault(pod, model=model))]
    if record.verdict is None:
        faults += _ends(observed, fresh, model=model) if protected else []
        faults += _numbers(observed, found, model=model)
    if not faults and found.current and (refused := _refusal(observed.deployment or {})):
        faults.append(refused)
    return min(
        faults,
        key=lambda one: (one.patience != "none", one.reason not in REPORTED, one.pod or ""),
        default=None,
    )


def failed(
    found_fault: Fault | None, observed: Observed, found: Progress, *, model: CatfishModel, record: Record
) -> Fault | None:
    """The fault by which an undecided revision has failed; None: it has not."""
    if record.verdict is not None or not found.chosen:
        return None
    if found_fault and _is_final(found_fault, observed, found):
        return found_fault
    if progress.whole(found, record) or not _overdue(observed, model=model, record=record):
        return None
    return found_fault or Fault(reason="ProgressDeadlineExceeded", detail=_stuck(observed, found))


def _in_this_try(pod: Json, record: Record) -> Json:
    """The pod without what it showed before a failed revision was tried again: it may be the same pod still."""
    return pods.since(pod, record.started_at) if record.failure and record.verdict is None else pod


def _ends(observed: Observed, fresh: list[Json], *, model: CatfishModel) -> list[Fault]:
    """The ends of containers that had been Ready: they count against a revision until it is proven."""
    seen = observed.watch.ready
    ends = (
        pods.end_after_ready(pod, model=model, restarts_when_ready=seen.get(pods.identity(pod)))
        for pod in fresh
    )
    return [end for end in ends if end]


def _numbers(observed: Observed, found: Progress, *, model: CatfishModel) -> list[Fault]:
    """What the answers say against the new pods, as long as there are old ones to compare them with."""
    if model.rollout.canary.seconds == 0 or not found.outdated:
        return []
    numbers = canary.fault(observed, found, model=model)
    return [numbers] if numbers else []


def _is_final(one: Fault, observed: Observed, found: Progress) -> bool:
    if one.reason == "ImagePullFailed":
        waits = (watch.pulling_fails(pods.identity(pod)) for pod in found.fresh)
        return any(observed.watch.lasted(fact) >= PULL_STRIKES_SECONDS for fact in waits)
    return one.patience == "none" or (one.patience == "strikes" and one.strikes >= pods.STRIKES)


def _overdue(observed: Observed, *, model: CatfishModel, record: Record) -> bool:
    """Says whether nothing has risen within the deadline, of what is still to rise."""
    if progress.held(record, model) and watch.FIRST_READY in observed.watch.since:
        return False
    return observed.watch.quiet >= model.rollout.progress_deadline_seconds


def _stuck(observed: Observed, found: Progress) -> str:
    """Where the new pods stand, as far as they tell."""
    readings = (observed.readings.get(pods.identity(pod)) for pod in found.fresh if not pods.ready(pod))
    stages = sorted({reading.stage for reading in readings if reading and reading.stage})
    return f"a new pod is {' and '.join(stages)}" if stages else "look at the new pods' events and logs"


def _refusal(live: Json) -> Fault | None:
    """What keeps the Deployment from making or replacing pods, in its own words."""
    if (condition := pods.condition(live, "ReplicaFailure")).get("status") == "True":
        text = re.sub(r'pods "[^"]*" is forbidden: ', "", str(condition.get("message") or ""))
        quota = "exceeded quota" in text
        return Fault(reason="QuotaExceeded" if quota else "AdmissionDenied", detail=text, world=quota)
    condition = pods.condition(live, "Progressing")
    if condition.get("status") == "False" and condition.get("reason") == "ProgressDeadlineExceeded":
        return Fault(reason="ProgressDeadlineExceeded", detail="look at the pods' events and logs")
    return None
