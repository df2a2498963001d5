"""What to do about the rollout: observed pods + what is remembered -> course. Called by `plan`.

A revision is *undecided* until it is *proven* or *failed*; both are written on it before anything follows from them.
While undecided, and while there is something to protect, the Deployment is held: its first new pods come up, take
traffic, and nothing else moves, even if the operator ends now. What fails is undone; what lasts is released, and
after the last pod it is watched once more before it counts as proven.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from catfish_operator import canary, judge, pods, progress, watch
from catfish_operator.history import Entry, History
from catfish_operator.model import CatfishModel
from catfish_operator.observed import Observed
from catfish_operator.pods import Fault
from catfish_operator.progress import Progress
from catfish_operator.reasons import Verdict, progressing, sentence, stalled
from catfish_operator.resources.record import Failure, Record

LOOK_SECONDS = 2.0
"""How often an undecided revision is looked at, whether anything happens or not."""

FIRST_RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What follows from the look.

    Attributes:
        verdict: how far the model is.
        serve: the revision whose template the Deployment is to have.
        held: it is held at its first new pods.
        records: what is to be remembered anew, by revision, before anything else is written.
        confirm: the decision undoes something: what it rests on must be read live first.
        look_after: seconds after which to look again though nothing happens; None: events are enough.
    """

    verdict: Verdict
    serve: str
    held: bool = False
    records: Mapping[str, Record] = field(default_factory=dict)
    confirm: bool = False
    look_after: float | None = None


def course(observed: Observed, *, model: CatfishModel, target: str, history: History) -> Course:
    """Says how the rollout goes on."""
    found = progress.progress(observed, model=model, target=target)
    known = history.find(target)
    record = known.record if known else Record()
    fallback = history.proven(besides=target)
    again = known is not None and known.number < history.greatest
    if record.failure and record.verdict == "failed" and fallback:
        if not _deserves_another_try(record.failure, model, now=observed.now):
            before = again or (known is not None and known.number > record.failure.number)
            return _reverted(
                observed, record.failure, model=model, target=target, fallback=fallback, before=before
            )
        record = replace(record, verdict=None, started_at=None)
    record = _begun(record, observed, found, again=again)
    records = _superseded(history, target=target, now=observed.now) | {target: record}
    if model.rollout.paused and observed.deployment is not None and not found.complete:
        live = progress.live_revision(observed.deployment)
        serve = live if live and history.find(live) else target
        detail = f"revision {target} waits"
        verdict = Verdict(phase="paused", reason="Paused", message=sentence("Paused", detail))
        return Course(verdict=verdict, serve=serve, held=judge.held(record, model), records=records)
    return _judged(observed, found, model=model, target=target, history=history, records=records)


def _begun(record: Record, observed: Observed, found: Progress, *, again: bool) -> Record:
    """The record with the beginning of the rollout in it. With nothing to protect there is nothing to hold."""
    if record.started_at is not None and not again:
        return record
    now = _text(observed.now)
    protect = bool(found.outdated) and record.verdict != "proven"
    return replace(
        record,
        started_at=now,
        released_at=None if protect else now,
        finished_at=None,
        result=None,
        unobserved=False,
    )


def _superseded(history: History, *, target: str, now: datetime) -> dict[str, Record]:
    """Closes the records of rollouts that another one has overtaken."""
    return {
        entry.name: replace(entry.record, result="Superseded", finished_at=_text(now))
        for entry in history
        if entry.name != target and entry.record.started_at and entry.record.result is None
    }


def _judged(
    observed: Observed,
    found: Progress,
    *,
    model: CatfishModel,
    target: str,
    history: History,
    records: dict[str, Record],
) -> Course:
    """The course of a target that may go on, as its pods have it."""
    fallback = history.proven(besides=target)
    record = _with_weights(records[target], observed, found)
    protected = fallback is not None and model.rollout.auto_rollback
    fault = judge.fault(observed, found, model=model, record=record, protected=protected)
    failed = judge.failed(fault, observed, found, model=model, record=record)
    if failed and fallback and protected:
        failure = _failure(failed, record, model, now=observed.now, number=history.greatest)
        back = _reverted(observed, failure, model=model, target=target, fallback=fallback, before=False)
        record = replace(
            record, verdict="failed", failure=failure, result="RolledBack", finished_at=failure.failed_at
        )
        return replace(back, records=records | {target: record}, confirm=True)
    if not failed:
        record = _moved_on(record, observed, found, model=model)
    return Course(
        verdict=_verdict(
            found,
            fault,
            failed,
            model=model,
            target=target,
            record=record,
            protected=protected and record.verdict is None,
        ),
        serve=target,
        held=judge.held(record, model),
        records=records | {target: record},
        look_after=_look_after(record, observed, found, model=model),
    )


def _with_weights(record: Record, observed: Observed, found: Progress) -> Record:
    """The record with what the first new pod tells of the weights that it has loaded."""
    if record.weights:
        return record
    readings = (observed.readings.get(pods.identity(pod)) for pod in found.fresh)
    weights = next((reading.weights for reading in readings if reading and reading.weights), None)
    return replace(record, weights=weights) if weights else record


def _moved_on(record: Record, observed: Observed, found: Progress, *, model: CatfishModel) -> Record:
    """The record with the next step in it, if its time has come: released, proven, completed."""
    now = _text(observed.now)
    if record.verdict == "proven":
        return (
            replace(record, result="Completed", finished_at=now)
            if found.complete and not record.result
            else record
        )
    if judge.held(record, model):
        watched = observed.watch
        seconds = _watched_seconds(found, model)
        if watch.FIRST_READY not in watched.since or watched.lasted(watch.FIRST_READY) < seconds:
            return record
        record = replace(record, released_at=now, unobserved=not canary.observed_enough(observed, found))
        return replace(record, verdict="proven", failure=None) if _all_first(found, model) else record
    if record.released_at is None:  # watching the first pods was switched off
        return replace(record, released_at=now)
    fact = watch.replaced(found)
    baked = fact in observed.watch.since and observed.watch.lasted(fact) >= model.rollout.bake_seconds
    if found.complete and baked:
        return replace(record, verdict="proven", failure=None, result="Completed", finished_at=now)
    return record


def _all_first(found: Progress, model: CatfishModel) -> bool:
    """Says whether the first new pods are all there will be: the old ones then may stay until it is proven."""
    return model.rollout.max_surge >= found.wanted


def _watched_seconds(found: Progress, model: CatfishModel) -> int:
    """How long the rollout is held after its first new pods are Ready.

    With all new pods there, the bake is part of it. Else the last old pod would go after the canary, and a model of
    one replica had nobody to answer when its new pod ends a moment later.
    """
    canary_seconds, bake_seconds = model.rollout.canary.seconds, model.rollout.bake_seconds
    return canary_seconds + (bake_seconds if _all_first(found, model) else 0)


def _verdict(
    found: Progress,
    fault: Fault | None,
    failed: Fault | None,
    *,
    model: CatfishModel,
    target: str,
    record: Record,
    protected: bool,
) -> Verdict:
    """How far the target is. A fault that will be undone by itself is awaited; any other needs a person."""
    if failed or (fault and not protected):
        told = failed or fault
        assert told is not None  # noqa: S101 - for mypy: one of the two is there
        return stalled(told.reason, told.detail)
    verdict = progress.verdict(found, model=model, target=target)
    note = f"; {sentence(fault.reason, fault.detail).rstrip('.')}" if fault else ""
    if verdict.phase == "settled":
        if record.verdict == "proven" or not found.wanted:
            return verdict
        return Verdict(phase="baking", reason="Baking", message=sentence("Baking"))
    if judge.held(record, model) and found.chosen:
        first = max(1, min(model.rollout.max_surge, found.wanted))
        stand = f"{found.ready} of the {first} first pods of {target} are ready"
        seconds = _watched_seconds(found, model)
        return progressing(
            "Canary", f"{stand}; no old pod goes before they were watched for {seconds} s{note}"
        )
    return progressing(verdict.reason, verdict.message.rstrip(".") + note) if note else verdict


def _look_after(record: Record, observed: Observed, found: Progress, *, model: CatfishModel) -> float | None:
    """When to look again: often while something to protect is at stake, else when a time has come."""
    if record.verdict is not None or not found.wanted:
        return None
    if judge.held(record, model) or found.outdated:
        return LOOK_SECONDS
    left = model.rollout.bake_seconds - observed.watch.lasted(watch.replaced(found))
    return min(LOOK_SECONDS, max(0.1, left)) if found.replaced else judge.IDLE_SECONDS


def _failure(fault: Fault, record: Record, model: CatfishModel, *, now: datetime, number: int) -> Failure:
    """What is kept of the fault by which the revision of that number failed."""
    tries = record.failure.tries + 1 if record.failure else 1
    wait = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(tries - 1, 8))
    return Failure(
        reason=fault.reason,
        message=sentence(fault.reason, fault.detail),
        pod=fault.pod,
        exit_code=fault.exit_code,
        failed_at=_text(now),
        retry_at=_text(now + wait) if fault.world else None,
        tries=tries,
        retry=model.retry,
        number=number,
    )


def _reverted(
    observed: Observed, failure: Failure, *, model: CatfishModel, target: str, fallback: Entry, before: bool
) -> Course:
    """The last proven revision serves. `before`: the target had failed before the spec asked for it this time."""
    when = f"; it is tried again at {failure.retry_at}" if failure.retry_at else ""
    verb = "failed before and is not tried" if before else "was rolled back"
    message = f"{target} ({model.image}) {verb}: {failure.message.rstrip('.')}{when}."
    reason = "RevisionQuarantined" if before else "RolledBack"
    verdict = Verdict(phase="reverted", reason=reason, message=message, cause=failure.reason)
    due = datetime.fromisoformat(failure.retry_at) - observed.now if failure.retry_at else None
    look_after = max(1.0, due.total_seconds()) if due is not None else None
    return Course(verdict=verdict, serve=fallback.name, look_after=look_after)


def _deserves_another_try(failure: Failure, model: CatfishModel, *, now: datetime) -> bool:
    """Says whether a failed revision is tried again: a person asks for it, or its time has come."""
    asked = model.retry is not None and model.retry != failure.retry
    return asked or (failure.retry_at is not None and now >= datetime.fromisoformat(failure.retry_at))


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
