"""Remembers what no single look shows: for how long things have been so. Pure: (watch, look, time) -> watch.

Called by `observe` at each look. See `observed.Watch` for what is remembered.
"""

import math
from collections.abc import Mapping

from catfish_operator import pods, progress
from catfish_operator.model import CatfishModel
from catfish_operator.observed import Observed, Reading, Watch
from catfish_operator.progress import Progress
from catfish_operator.resources.record import Record

FIRST_READY = "the first pods are ready"
FIRST_ASKED = "the first pods are ready, and requests reach them"
NOTHING_AWAITED = "all pods that can come have come, and are ready"


def pulling_fails(pod_identity: str) -> str:
    """The fact that a pod waits for an image that cannot be pulled."""
    return f"{pod_identity} cannot pull its image"


def replaced(found: Progress) -> str:
    """The fact that the last pod is updated; an end of a container makes it another one, that has just begun."""
    return f"the last pod is updated, {sum(map(pods.restarts, found.fresh))} restarts"


def look(
    before: Watch,
    observed: Observed,
    *,
    model: CatfishModel,
    target: str,
    record: Record,
    at: float,
    seen_since: float = -math.inf,
) -> Watch:
    """What is to be remembered after one more look.

    Args:
        before: what was remembered until now.
        observed: the look; its own `watch` is not read.
        model: the model.
        target: the revision that the spec asks for.
        record: how that revision went so far.
        at: seconds of a monotonic clock.
        seen_since: on that clock, since when the cluster could be seen without a break: where the API server was away,
            no pod could get anywhere, and none could be seen to.
    """
    trial = (target, record.started_at, record.released_at, record.verdict)
    found = progress.progress(observed, model=model, target=target)
    same = before.trial == trial
    since = before.since if same else {}
    since = {fact: since.get(fact, at) for fact in _facts(observed, found, model=model, record=record)}
    numbers = progress.numbers(observed, found)
    best = tuple(map(max, numbers, before.best)) if same and before.best else numbers
    calm, longest = at - since.get(NOTHING_AWAITED, at), before.calm if same else 0.0
    rested = not (same and before.best)
    # Pods that are Ready again and again, for a moment and never longer than before, get nowhere.
    longer = calm > longest or (calm == longest and rested) or calm >= model.rollout.progress_deadline_seconds
    lasts = NOTHING_AWAITED in since and longer
    rests = not found.chosen or model.rollout.paused or lasts
    goes_on = before.trial[:2] == trial[:2]
    began = before.began if goes_on else at
    return Watch(
        trial=trial,
        at=at,
        since=since,
        best=() if rests else best,
        progressed_at=max(before.progressed_at, min(seen_since, at))
        if same and best == before.best and not rests
        else at,
        calm=max(calm, longest),
        ready=_ready(before.ready if goes_on else {}, found),
        began=began,
        baseline=_baseline(before.baseline if goes_on else {}, observed.readings, found, began=began),
    )


def _facts(observed: Observed, found: Progress, *, model: CatfishModel, record: Record) -> list[str]:
    facts = [pulling_fails(pods.identity(pod)) for pod in found.fresh if pods.pulling_fails(pod)]
    first_ready = found.first_ready(model.rollout.max_surge)
    if first_ready:
        facts.append(FIRST_READY)
        facts += [FIRST_ASKED] if progress.asked(observed, found) else []
    if progress.whole(found, record) or (first_ready and progress.held(record, model)):
        facts.append(NOTHING_AWAITED)
    if found.replaced:
        facts.append(replaced(found))
    return facts


def _ready(before: Mapping[str, int], found: Progress) -> Mapping[str, int]:
    """A pod keeps the number that it had when it was first seen Ready in this try: an end after that is then seen."""
    fresh = {pods.identity(pod): pod for pod in found.fresh}
    seen = {name: pods.restarts(pod) for name, pod in fresh.items() if pods.ready(pod)}
    return seen | {name: number for name, number in before.items() if name in fresh}


def _baseline(
    before: Mapping[str, Reading], readings: Mapping[str, Reading], found: Progress, *, began: float
) -> Mapping[str, Reading]:
    """The first reading of each old pod in this try; what a new pod has answered counts from its start on.

    A settled pod is not asked, so what is known of it may be of days ago. To count from there would compare the new
    pods with the past, and not with how the old ones fare at the same time.
    """
    old = {pods.identity(pod) for pod in found.outdated}
    return {
        name: before.get(name, reading)
        for name, reading in readings.items()
        if name in old and reading.counted and reading.at >= began
    }
