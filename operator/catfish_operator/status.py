"""What to say about one model: observed + plan -> the whole status. Called by `reconcile`, last, always.

Computed from what is observed alone; of the previous status only the times of the conditions are kept. So a
lost status is written again as it was, and computing a status from its own outcome changes nothing.
"""

from catfish_operator import reasons
from catfish_operator.actions import Plan
from catfish_operator.model import CatfishModel, Json
from catfish_operator.observed import Observed
from catfish_operator.reasons import Verdict
from catfish_operator.resources import service
from catfish_operator.resources.metadata import REVISION_LABEL, claim, selector

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
    pods = _serving(observed, plan.model)
    url = _url(observed, plan.model)
    wanted: Json = {
        "observedGeneration": observed.body["metadata"].get("generation", 0),
        "message": _message(verdict, pods=pods, url=url),
        "conditions": _conditions(observed, plan, verdict=verdict, serving=len(pods)),
        "selector": ",".join(f"{key}={value}" for key, value in sorted(selector(name).items())),
        **_counts(observed, plan),
    }
    optional = {"url": url, "targetRevision": plan.target}
    return wanted | {key: value for key, value in optional.items() if value}


def differs(live: Json | None, wanted: Json) -> bool:
    """Says whether the live status must be written anew."""
    return (live or {}) != wanted


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
        and _is_ready(pod)
    ]


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)


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
    if not current or _revision(live["spec"]["template"]) != plan.target:
        counts["updatedReplicas"] = 0
    return counts


def _revision(item: Json) -> str | None:
    name: str | None = ((item.get("metadata") or {}).get("labels") or {}).get(REVISION_LABEL)
    return name


def _message(verdict: Verdict, *, pods: list[Json], url: str | None) -> str:
    """One sentence: what serves, and what is the matter if anything is."""
    where = f" at {url}" if url else ""
    revisions = sorted({_revision(pod) or "an unknown revision" for pod in pods})
    number = "1 pod serves" if len(pods) == 1 else f"{len(pods)} pods serve"
    serves = f"{number} {' and '.join(revisions)}{where}" if pods else "No pod serves"
    if verdict.phase == "settled":
        return f"{serves}." if pods or verdict.reason != "ScaledToZero" else f"{serves}: {verdict.message}"
    return f"{serves}; {verdict.message[0].lower()}{verdict.message[1:]}"


def _conditions(observed: Observed, plan: Plan, *, verdict: Verdict, serving: int) -> list[Json]:
    done, stuck = verdict.phase == "settled", verdict.phase == "stalled"
    said = {
        "Ready": _ready(observed, plan, verdict=verdict, serving=serving),
        "UpToDate": (done, verdict.reason, verdict.message),
        "Reconciling": (verdict.phase == "progressing", verdict.reason, verdict.message),
        "Stalled": (True, verdict.reason, verdict.message)
        if stuck
        else (False, "NotStalled", reasons.sentence("NotStalled")),
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


def _ready(observed: Observed, plan: Plan, *, verdict: Verdict, serving: int) -> tuple[bool, str, str]:
    if serving:
        return True, "Serving", reasons.sentence("Serving")
    if verdict.reason == "ScaledToZero":
        return False, verdict.reason, verdict.message
    missing = observed.service is None or (plan.model and claim(plan.model, observed.service) != "ours")
    reason = "NoService" if missing else "NoReadyPods"
    return False, reason, reasons.sentence(reason)
