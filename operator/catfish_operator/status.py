"""What to say about one model: observed + plan -> the whole status. Called by `reconcile`, last, always.

Computed from what is observed alone; of the previous status only the times of the conditions are kept. So a
lost status is written again as it was, and computing a status from its own outcome changes nothing.
"""

from catfish_operator import account, pods, progress, reasons
from catfish_operator.actions import Plan
from catfish_operator.history import Entry
from catfish_operator.model import CatfishModel, Json
from catfish_operator.observed import Observed
from catfish_operator.reasons import Verdict
from catfish_operator.resources import monitor, service
from catfish_operator.resources.metadata import claim, selector

LOADED = ("warming", "verifying", "ready", "draining")
"""The stages of docs/contract.md that a pod reaches with its weights loaded."""

PASSING = frozenset({"Applying", "RolloutStarted", "PodsStarting"})
"""Reasons that every rollout passes through, one as good as the other."""

COUNTS = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")


def status(observed: Observed, plan: Plan, *, refused: Verdict | None = None) -> Json:
    """The whole status that the model should have.

    Args:
        observed: what was seen, the latest.
        plan: what was made of exactly that.
        refused: why the API server refused an action of the plan, as `reasons.stalled(…)`.
    """
    name = observed.body["metadata"]["name"]
    verdict = refused or plan.verdict
    serving = _serving(observed, plan.model)
    url = _url(observed, plan.model)
    missing = monitor.missing(plan.model, observed.served) if plan.model else None
    wanted: Json = {
        "observedGeneration": observed.body["metadata"].get("generation", 0),
        "message": " ".join(filter(None, [_message(verdict, serving=serving, url=url), missing])),
        "conditions": _conditions(observed, plan, verdict=verdict, serving=serving),
        "selector": ",".join(f"{key}={value}" for key, value in sorted(selector(name).items())),
        **_counts(observed, plan),
    }
    optional = {"url": url, "targetRevision": plan.target, **account.account(plan, observed, serving=serving)}
    return wanted | {key: value for key, value in optional.items() if value}


def differs(live: Json | None, wanted: Json) -> bool:
    """Says whether the live status must be written anew."""
    return (live or {}) != wanted


def turns(live: Json | None, wanted: Json) -> bool:
    """Says whether a status tells more than how far the same thing is: it is then written without delay."""
    return _gist(live or {}) != _gist(wanted)


def _gist(status: Json) -> Json:
    """A status without its counts and its words."""
    conditions = [
        {key: value for key, value in item.items() if key != "message"}
        | {"reason": "" if item.get("reason") in PASSING else item.get("reason")}
        for item in status.get("conditions") or []
    ]
    serving = [{**item, "pods": 0} for item in status.get("servingRevisions") or []]
    counts = dict.fromkeys((*COUNTS, "message"))
    return {**status, **counts, "conditions": conditions, "servingRevisions": serving}


def _serving(observed: Observed, model: CatfishModel | None) -> list[Json]:
    """The Ready pods behind the Service; none if there is no Service, or if it is not ours."""
    behind = observed.service
    if behind is None or (model and claim(model, behind) != "ours"):
        return []
    wanted = ((behind.get("spec") or {}).get("selector") or {}).items()
    return [
        pod
        for pod in observed.pods
        if "deletionTimestamp" not in pod["metadata"]
        and wanted
        and wanted <= (pod["metadata"].get("labels") or {}).items()
        and pods.ready(pod)
    ]


def _url(observed: Observed, model: CatfishModel | None) -> str | None:
    live = observed.service
    if live is None or model is None or claim(model, live) != "ours":
        return None
    return service.url(model, live)


def _counts(observed: Observed, plan: Plan) -> Json:
    """The Deployment's own numbers; its `updatedReplicas` only once it speaks of the target revision."""
    live = observed.deployment
    if live is None or (plan.model and claim(plan.model, live) != "ours"):
        return dict.fromkeys(COUNTS, 0)
    status = live.get("status") or {}
    counts = {name: status.get(name) or 0 for name in COUNTS}
    current = (status.get("observedGeneration") or 0) >= live["metadata"].get("generation", 0)
    if not current or progress.live_revision(live) != plan.target:
        counts["updatedReplicas"] = 0
    return counts


def _message(verdict: Verdict, *, serving: list[Json], url: str | None) -> str:
    """One sentence: what serves, and what is the matter if anything is."""
    where = f" at {url}" if url else ""
    revisions = sorted({pods.revision_of(pod) or "an unknown revision" for pod in serving})
    number = "1 pod serves" if len(serving) == 1 else f"{len(serving)} pods serve"
    serves = f"{number} {' and '.join(revisions)}{where}" if serving else "No pod serves"
    if verdict.phase == "settled":
        return f"{serves}." if serving or verdict.reason != "ScaledToZero" else f"{serves}: {verdict.message}"
    return f"{serves}; {verdict.message[0].lower()}{verdict.message[1:]}"


Said = tuple[bool, str, str]
"""A condition: whether it is true, the reason, the message."""


def _conditions(observed: Observed, plan: Plan, *, verdict: Verdict, serving: list[Json]) -> list[Json]:
    said = {
        "Ready": _ready(observed, plan, verdict=verdict, serving=serving),
        "UpToDate": _up_to_date(observed, plan, verdict),
        "Reconciling": (
            verdict.phase in ("progressing", "baking", "paused"),
            verdict.reason,
            verdict.message,
        ),
        "Stalled": _stalled(verdict),
        "WeightsReady": _weights_ready(observed, plan, verdict=verdict),
    }
    metadata, live = observed.body["metadata"], (observed.body.get("status") or {}).get("conditions") or []
    before = {item.get("type"): item for item in live}
    now = observed.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = []
    for kind, (true, reason, message) in said.items():
        word, old = "True" if true else "False", before.get(kind) or {}
        since = old.get("lastTransitionTime") if old.get("status") == word else None
        conditions.append(
            {
                "type": kind,
                "status": word,
                "observedGeneration": metadata.get("generation", 0),
                "lastTransitionTime": since or now,
                "reason": reason,
                "message": message,
            }
        )
    return conditions


def _ready(observed: Observed, plan: Plan, *, verdict: Verdict, serving: list[Json]) -> Said:
    if serving:
        reason = account.changed(plan, observed, serving=serving) or "Serving"
        return True, reason, reasons.sentence(reason)
    if verdict.reason == "ScaledToZero":
        return False, verdict.reason, verdict.message
    missing = observed.service is None or (plan.model and claim(plan.model, observed.service) != "ours")
    reason = "NoService" if missing else "NoReadyPods"
    return False, reason, reasons.sentence(reason)


def _up_to_date(observed: Observed, plan: Plan, verdict: Verdict) -> Said:
    baking = verdict.phase == "baking"
    reason, text = ("RolloutCompleted", None) if baking else (verdict.reason, verdict.message)
    said = text or reasons.sentence(reason)
    note = account.loose(plan, observed) if verdict.phase in ("settled", "baking", "reverted") else None
    return baking or verdict.phase == "settled", reason, f"{said} {note}" if note else said


def _golden(entry: Entry | None) -> str:
    """What came of the golden images, where there are any."""
    score = entry.record.golden if entry else None
    return f"{score['right']} of {score['total']} golden images were answered right" if score else ""


def _stalled(verdict: Verdict) -> Said:
    if verdict.phase in ("stalled", "reverted"):
        return True, verdict.cause or verdict.reason, verdict.message
    return False, "NotStalled", reasons.sentence("NotStalled")


def _weights_ready(observed: Observed, plan: Plan, *, verdict: Verdict) -> Said:
    """Whether a pod of the target has loaded the weights; it has if it is Ready, or past that stage."""
    cause = verdict.cause or verdict.reason
    if cause in reasons.WEIGHTS:
        return False, cause, verdict.message
    entry = plan.history.find(plan.target)
    fresh = [pod for pod in observed.pods if plan.target and pods.revision_of(pod) == plan.target]
    told = (observed.readings.get(pods.identity(pod)) for pod in fresh)
    loaded = any(map(pods.ready, fresh)) or any(reading and reading.stage in LOADED for reading in told)
    if loaded or (entry and entry.record.weights and entry.record.verdict):
        return True, "WeightsLoaded", reasons.sentence("WeightsLoaded", _golden(entry))
    return False, "WeightsAwaited", reasons.sentence("WeightsAwaited")
