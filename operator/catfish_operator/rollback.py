"""What follows from a failure: the last proven revision serves, or what is there stays. Called by `rollout`."""

from dataclasses import replace
from datetime import datetime, timedelta

from catfish_operator import pods, progress
from catfish_operator.course import Course, text
from catfish_operator.history import Entry, History
from catfish_operator.model import CatfishModel
from catfish_operator.observed import Observed
from catfish_operator.pods import Fault
from catfish_operator.progress import Progress
from catfish_operator.reasons import Verdict, sentence
from catfish_operator.resources import deployment
from catfish_operator.resources.record import Failure, Record

FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(minutes=10)


def failed_before(
    observed: Observed,
    found: Progress,
    failure: Failure,
    *,
    model: CatfishModel,
    target: str,
    history: History,
) -> Course:
    """The course while the spec asks for a revision that has failed and is not tried again now.

    With nothing proven to go back to, or where that may not be done, the template that is there stays: a failed
    revision never gets more pods than it has.
    """
    name = progress.live_revision(observed.deployment)
    fallback = history.proven(besides=target)
    if fallback and (model.rollout.auto_rollback or name != target):
        known = history.find(target)
        number = known.number if known else 0
        before = number < history.greatest or number > failure.number
        return _reverted(
            observed, found, failure, model=model, target=target, fallback=fallback, before=before
        )
    there = history.find(name)
    why = "spec.rollout.autoRollback is false" if fallback else "no proven revision is there to go back to"
    verdict = Verdict(
        phase="stalled",
        reason=failure.reason,
        message=f"{failure.message.rstrip('.')}; it stays as it is: {why}.",
    )
    return Course(
        verdict=verdict,
        serve=name or target,
        held=there is not None and progress.held(there.record, model),
        look_after=_retried_after(observed, failure),
    )


def undone(
    observed: Observed,
    found: Progress,
    fault: Fault,
    record: Record,
    *,
    model: CatfishModel,
    target: str,
    history: History,
) -> Course | None:
    """The course of a target that fails just now; None: nothing is to be protected, so Kubernetes keeps trying."""
    fallback = history.proven(besides=target)
    undo = fallback is not None and model.rollout.auto_rollback
    if not undo and not found.serving:
        return None
    failure = _failure(fault, record, model, now=observed.now, number=history.greatest)
    kept = replace(record, verdict="failed", failure=failure)
    if fallback and undo:
        course = _reverted(
            observed, found, failure, model=model, target=target, fallback=fallback, before=False
        )
        kept = replace(kept, result="RolledBack", finished_at=failure.failed_at)
        return replace(course, records={target: kept}, confirm=True)
    course = failed_before(observed, found, failure, model=model, target=target, history=history)
    kept = replace(kept, released_at=None)  # what has not been replaced yet will not be
    return replace(course, held=progress.held(kept, model), records={target: kept}, confirm=True)


def deserves_another_try(failure: Failure, model: CatfishModel, history: History, *, now: datetime) -> bool:
    """Says whether a failed revision is tried again: a person asks for it, or its time has come."""
    return _asked_again(failure, model, history) or _due(failure, now)


def _asked_again(failure: Failure, model: CatfishModel, history: History) -> bool:
    """Each value of the annotation counts once, for the revision that the spec asks for when it is first seen."""
    seen = {failure.retry, *(entry.record.retry for entry in history)}
    return model.retry is not None and model.retry not in seen


def _due(failure: Failure, now: datetime) -> bool:
    return failure.retry_at is not None and now >= datetime.fromisoformat(failure.retry_at)


def _reverted(
    observed: Observed,
    found: Progress,
    failure: Failure,
    *,
    model: CatfishModel,
    target: str,
    fallback: Entry,
    before: bool,
) -> Course:
    """The last proven revision serves. `before`: the target had failed before the spec asked for it this time."""
    when = f"; it is tried again at {failure.retry_at}" if failure.retry_at else ""
    verb = "failed before and is not tried" if before else "was rolled back"
    waits = _waits_for_pause(found, model)
    message = f"{target} ({model.image}) {verb}: {failure.message.rstrip('.')}{when}{waits}."
    reason = "RevisionQuarantined" if before else "RolledBack"
    verdict = Verdict(phase="reverted", reason=reason, message=message, cause=failure.reason)
    look_after = _retried_after(observed, failure)
    surge = _surge_back(observed, found, model, fallback=fallback.name)
    return Course(verdict=verdict, serve=fallback.name, surge=surge, look_after=look_after)


def _surge_back(observed: Observed, found: Progress, model: CatfishModel, *, fallback: str) -> int | None:
    """Lets all missing pods of a proven revision start at once: there is nothing to be tried on a few of them first.

    It lasts until the failed revision's pods are gone. Where the spec allows no pod beyond the wanted number there is
    no room for any, however urgent it is.
    """
    if not model.rollout.max_surge or not (found.chosen or found.fresh):
        return None
    most = max(model.rollout.max_surge, found.wanted)
    missing = (
        sum(pods.revision_of(pod) == fallback and pods.ready(pod) for pod in found.outdated) < found.wanted
    )
    return most if missing or deployment.surges(observed.deployment, most) else None


def _waits_for_pause(found: Progress, model: CatfishModel) -> str:
    return "; its pods stay while spec.rollout.paused is true" if model.rollout.paused and found.fresh else ""


def _retried_after(observed: Observed, failure: Failure) -> float | None:
    """Seconds until it is tried again by itself."""
    if failure.retry_at is None:
        return None
    return max(1.0, (datetime.fromisoformat(failure.retry_at) - observed.now).total_seconds())


def _failure(fault: Fault, record: Record, model: CatfishModel, *, now: datetime, number: int) -> Failure:
    """What is kept of the fault by which the revision of that number failed."""
    tries = record.failure.tries + 1 if record.failure else 1
    wait = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(tries - 1, 8))
    return Failure(
        reason=fault.reason,
        message=sentence(fault.reason, fault.detail),
        pod=fault.pod,
        exit_code=fault.exit_code,
        failed_at=text(now),
        retry_at=text(now + wait) if fault.world else None,
        tries=tries,
        retry=model.retry,
        number=number,
    )
