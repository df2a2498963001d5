"""The part of the status that tells of revisions: which serve, how they went, what failed. Called by `status`."""

from collections import Counter

from catfish_operator import pods, progress
from catfish_operator.actions import Plan
from catfish_operator.history import Entry
from catfish_operator.model import Json
from catfish_operator.observed import Observed
from catfish_operator.resources import record

SHOWN = 10
"""How many failed revisions and how much history the status shows; all of it is on the ControllerRevisions."""

SERVING = 64
"""How many kinds of serving pods the CRD lets the status tell apart."""

LOOSE = {
    (True, True): "its tag and its URL: it names no digest of the image and no sha256 of the weights",
    (True, False): "its tag: it names no digest of the image",
    (False, True): "its URL: it names no sha256 of the weights",
}
"""What a way back is only as good as, where (image, weights) are named by what may become another thing."""


def account(plan: Plan, observed: Observed, *, serving: list[Json]) -> Json:
    """The fields; one that has nothing to tell is empty or None."""
    target, stable = plan.history.find(plan.target), plan.history.proven()
    live = plan.history.find(progress.live_revision(observed.deployment))
    latest = list(reversed(plan.history.entries))
    failed = [
        _failure(entry) for entry in latest if entry.record.verdict == "failed" and entry.record.failure
    ]
    return {
        "stableRevision": stable.name if stable else None,
        "weights": live.record.weights if live else None,
        "servingRevisions": _serving(plan, observed, serving=serving),
        "rollout": _rollout(target, paused=plan.verdict.phase == "paused"),
        "failedRevisions": failed[:SHOWN],
        "history": [_past(entry) for entry in latest[:SHOWN]],
    }


def changed(plan: Plan, observed: Observed, *, serving: list[Json]) -> str | None:
    """`ImageChanged` or `WeightsChanged` if what serves is not all that the revision was; None if it is.

    The pods of one revision are compared with each other, and with what its first pod told.
    """
    for name in {pods.revision_of(pod) for pod in serving}:
        same = [pod for pod in serving if pods.revision_of(pod) == name]
        entry = plan.history.find(name)
        images = {_behind_tag(*pods.image(pod)) for pod in same}
        if entry and entry.record.image_id:
            images |= {_behind_tag(pods.image(pod)[0], entry.record.image_id) for pod in same}
        if len(images - {""}) > 1:
            return "ImageChanged"
        known = (entry.record.weights or {}).get("sha256") if entry else None
        told = {_digest(observed, pod) for pod in same} | {known}
        if len(told - {None}) > 1:
            return "WeightsChanged"
    return None


def _behind_tag(name: str, image_id: str) -> str:
    """The digest that a node found under a tag; "" if it found none, or the name itself says which it is.

    A mirror gives the same image another name.
    """
    return "" if "@" in name else image_id.rpartition("@")[2]


def loose(plan: Plan, observed: Observed) -> str | None:
    """That what serves may become another thing under its name, as far as it may; None: it cannot."""
    entry = plan.history.find(progress.live_revision(observed.deployment))
    if entry is None:
        return None
    inputs = (entry.live.get("data") or {}).get("inputs") or {}
    tag = "@" not in inputs.get("image", "@")
    url = "weights" in inputs and not inputs["weights"].get("sha256")
    return f"Going back to {entry.name} is only as good as {LOOSE[tag, url]}." if tag or url else None


def _serving(plan: Plan, observed: Observed, *, serving: list[Json]) -> list[Json]:
    """One item for each revision, image and digest that Ready pods run."""
    kinds = Counter(
        (pods.revision_of(pod) or "", *pods.image(pod), _weights(plan, observed, pod) or "")
        for pod in serving
    )
    items = []
    for (name, image, image_id, sha256), number in sorted(kinds.items()):
        item = {"name": name, "image": image, "imageID": image_id, "weightsSHA256": sha256}
        items.append({key: value for key, value in item.items() if value} | {"pods": number})
    return items[:SERVING]


def _weights(plan: Plan, observed: Observed, pod: Json) -> str | None:
    entry = plan.history.find(pods.revision_of(pod))
    known = (entry.record.weights or {}).get("sha256") if entry else None
    return _digest(observed, pod) or known


def _digest(observed: Observed, pod: Json) -> str | None:
    reading = observed.readings.get(pods.identity(pod))
    return (reading.weights or {}).get("sha256") if reading else None


def _rollout(target: Entry | None, *, paused: bool) -> Json | None:
    if target is None or target.record.started_at is None:
        return None
    told = target.record
    found = record.rollout(told) | ({"result": "Paused"} if paused else {})
    return {key: found[key] for key in ("startedAt", "finishedAt", "result") if key in found}


def _failure(entry: Entry) -> Json:
    raw = record.failure(entry.record.failure)
    shown = ("reason", "message", "pod", "exitCode", "failedAt", "retryAt")
    return {"name": entry.name} | {key: raw[key] for key in shown if key in raw}


def _past(entry: Entry) -> Json:
    inputs = (entry.live.get("data") or {}).get("inputs") or {}
    told = {
        "revision": entry.name,
        "image": inputs.get("image"),
        "weightsSHA256": (entry.record.weights or {}).get("sha256"),
        "startedAt": entry.record.started_at,
        "result": entry.record.result,
    }
    return {key: value for key, value in told.items() if value}
