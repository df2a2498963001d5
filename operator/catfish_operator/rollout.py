"""What to do about the rollout: observed pods + what is remembered -> course. Called by `plan`.

A revision is *undecided* until it is *proven* or *failed*; both are written on it before anything follows from them.
While undecided, and while there is something to protect, the Deployment is held: its first new pods come up, take
traffic, and nothing else moves, even if the operator ends now. What fails is undone; what lasts is released, and
after the last pod it is watched once more before it counts as proven.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from catfish_operator import canary, judge, pods, progress, rollback, watch
from catfish_operator.course import Course, text
from catfish_operator.history import History
from catfish_operator.model import CatfishModel
from catfish_operator.observed import Observed, Reading
from catfish_operator.pods import Fault
from catfish_operator.progress import Progress
from catfish_operator.reasons import Verdict, progressing, sentence, stalled
from catfish_operator.resources.record import Record

LOOK_SECONDS = 2.0
"""How often an undecided revision is looked at, whether anything happens or not."""


def course(observed: Observed, *, model: CatfishModel, target: str, history: History) -> Course:
    """Says how the rollout goes on."""
    found = progress.progress(observed, model=model, target=target)
    known = history.find(target)
    record = known.record if known else Record()
    again = known is not None and known.number < history.greatest
    others = _superseded(history, target=target, now=observed.now)
    if record.verdict == "failed" and record.failure:
        if not rollback.deserves_another_try(record.failure, model, history, now=observed.now):
            stays = rollback.failed_before(
                observed, found, record.failure, model=model, target=target, history=history
            )
            return replace(stays, records=others)
        record = replace(record, verdict=None, started_at=None)
    begins = record.started_at is None or again
    record = _begun(record, observed, found) if begins else record
    if model.retry is not None:
        record = replace(record, retry=model.retry)
    records = others | {target: record}
    if model.rollout.paused and observed.deployment is not None and _waits(found, record):
        return _paused(observed, record, model=model, target=target, history=history, records=records)
    return _judged(
        observed, found, model=model, target=target, history=history, records=records, begins=begins
    )


def _waits(found: Progress, record: Record) -> bool:
    """Says whether a pause keeps anything from going on: what is proven and serves alone is only healed and scaled."""
    healed = found.chosen and not found.outdated and record.verdict == "proven"
    return not found.complete and not healed


def _paused(
    observed: Observed,
    record: Record,
    *,
    model: CatfishModel,
    target: str,
    history: History,
    records: Mapping[str, Record],
) -> Course:
    """The template that is there stays, with the hold that it has: that of another revision is not its own."""
    serve = progress.live_revision(observed.deployment) or target
    there = history.find(serve)
    of_served = record if serve == target else there.record if there else None
    verdict = Verdict(phase="paused", reason="Paused", message=sentence("Paused", f"revision {target} waits"))
    return Course(
        verdict=verdict,
        serve=serve,
        held=of_served is not None and progress.held(of_served, model),
        records=records,
    )


def _begun(record: Record, observed: Observed, found: Progress) -> Record:
    """The record with the beginning of the rollout in it. With nothing to protect there is nothing to hold.

    What lies behind a tag and a URL may be another thing than at an earlier try, unless that one was proven.
    """
    now = text(observed.now)
    protect = bool(found.outdated) and record.verdict != "proven"
    if record.verdict != "proven":
        record = replace(record, weights=None, golden=None, image_id=None)
    return replace(
        record,
        started_at=now,
        pods=found.wanted,
        released_at=None if protect else now,
        finished_at=None,
        result=None,
        unobserved=False,
    )


def _superseded(history: History, *, target: str, now: datetime) -> dict[str, Record]:
    """Closes the records of rollouts that another one has overtaken."""
    return {
        entry.name: replace(entry.record, result="Superseded", finished_at=text(now))
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
    begins: bool,
) -> Course:
    """The course of a target that may go on, as its pods have it: those of an earlier try do not count."""
    undo = history.proven(besides=target) is not None and model.rollout.auto_rollback
    record = _with_facts(records[target], observed, found)
    protected = undo or found.serving
    fault = None if begins else judge.fault(observed, found, model=model, record=record, protected=protected)
    failed = None if begins else judge.failed(fault, observed, found, model=model, record=record)
    if failed and (
        back := rollback.undone(observed, found, failed, record, model=model, target=target, history=history)
    ):
        return replace(back, records={**records, **back.records})
    before = record
    if not failed:
        record = _moved_on(record, observed, found, model=model)
    lasting = (record.released_at, record.verdict) != (before.released_at, before.verdict)
    return Course(
        verdict=_verdict(
            observed,
            found,
            fault,
            failed,
            model=model,
            target=target,
            record=record,
            awaited=undo and record.verdict is None,
        ),
        serve=target,
        held=progress.held(record, model),
        records=records | {target: record},
        confirm=lasting and protected,
        look_after=_look_after(record, observed, found, model=model),
    )


def _with_facts(record: Record, observed: Observed, found: Progress) -> Record:
    """The record with what the first new pod tells of its weights, its image and the golden images."""
    told = [observed.readings.get(pods.identity(pod)) or Reading() for pod in found.fresh]
    runs = (
        pods.image(pod)[1]
        for pod, reading in zip(found.fresh, told, strict=True)
        if reading.weights or pods.ready(pod)
    )
    fewest = min(found.wanted, record.pods) if record.pods else found.wanted
    return replace(
        record,
        pods=fewest if record.verdict is None else record.pods,
        weights=record.weights or next((reading.weights for reading in told if reading.weights), None),
        golden=record.golden or next((reading.golden for reading in told if reading.golden), None),
        image_id=record.image_id or next(filter(None, runs), None),
    )


def _moved_on(record: Record, observed: Observed, found: Progress, *, model: CatfishModel) -> Record:
    """The record with the next step in it, if its time has come: released, proven, completed."""
    now = text(observed.now)
    if record.verdict == "proven":
        return (
            replace(record, result="Completed", finished_at=now)
            if found.complete and not record.result
            else record
        )
    if progress.held(record, model):
        if not _watched_enough(observed, found, model):
            return record
        record = replace(record, released_at=now, unobserved=not canary.observed_enough(observed, found))
        return replace(record, verdict="proven", failure=None) if _all_first(found, model) else record
    if record.released_at is None:  # watching the first pods was switched off
        return replace(record, released_at=now)
    fact = watch.replaced(found)
    baked = fact in observed.watch.since and observed.watch.lasted(fact) >= model.rollout.bake_seconds
    if progress.whole(found, record) and baked:
        return replace(record, verdict="proven", failure=None, result="Completed", finished_at=now)
    return record


def _watched_enough(observed: Observed, found: Progress, model: CatfishModel) -> bool:
    """Says whether the first new pods have lasted, and were asked meanwhile if the old ones are.

    Addresses can reach a Service long after its pods are Ready, as after the API server was away. The canary's seconds
    are then counted from the first request: until it comes nothing is known of how they answer.
    """
    watched, seconds = observed.watch, _watched_seconds(found, model)
    if _asked_too_little(observed, found, model):
        seconds += canary.UNASKED_SECONDS
    return watch.FIRST_READY in watched.since and watched.lasted(watch.FIRST_READY) >= seconds


def _asked_too_little(observed: Observed, found: Progress, model: CatfishModel) -> bool:
    """Says whether the old pods are asked while the first request to a new one is still to come, or is young."""
    asked_for = observed.watch.lasted(watch.FIRST_ASKED)
    return canary.busy(observed, found) and asked_for < model.rollout.canary.seconds


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
    observed: Observed,
    found: Progress,
    fault: Fault | None,
    failed: Fault | None,
    *,
    model: CatfishModel,
    target: str,
    record: Record,
    awaited: bool,
) -> Verdict:
    """How far the target is. A fault that will be undone by itself is awaited; any other needs a person."""
    if failed or (fault and not (awaited and found.outdated)):
        told = failed or fault
        assert told is not None  # noqa: S101 - for mypy: one of the two is there
        return stalled(told.reason, told.detail)
    verdict = progress.verdict(found, model=model, target=target)
    note = f"; {sentence(fault.reason, fault.detail).rstrip('.')}" if fault else ""
    if verdict.phase == "settled":
        if record.verdict == "proven" or not found.wanted:
            return verdict
        return Verdict(phase="baking", reason="Baking", message=sentence("Baking"))
    if progress.held(record, model) and found.chosen:
        first = max(1, min(model.rollout.max_surge, found.wanted))
        stand = f"{found.ready} of the {first} first pods of {target} are ready"
        seconds = _watched_seconds(found, model)
        late = observed.watch.lasted(watch.FIRST_READY) >= seconds
        counted = (
            f", counted from the first request to them, for which it is waited {canary.UNASKED_SECONDS} s"
        )
        more = counted if late and _asked_too_little(observed, found, model) else ""
        return progressing(
            "Canary", f"{stand}; no old pod goes before they were watched for {seconds} s{more}{note}"
        )
    return progressing(verdict.reason, verdict.message.rstrip(".") + note) if note else verdict


def _look_after(record: Record, observed: Observed, found: Progress, *, model: CatfishModel) -> float | None:
    """When to look again: often while something to protect is at stake, else when a time has come."""
    if record.verdict is not None or not found.wanted:
        return None
    if progress.held(record, model) or found.outdated:
        return LOOK_SECONDS
    left = model.rollout.bake_seconds - observed.watch.lasted(watch.replaced(found))
    return min(LOOK_SECONDS, max(0.1, left)) if found.replaced and left > 0 else judge.IDLE_SECONDS
