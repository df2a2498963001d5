"""What is worth an Event or a count: a model's status before and after -> announcements. Pure.

Made from the statuses alone, so an operator that starts anew repeats nothing: it finds the status that its
predecessor wrote. An announcement's reason is a condition's reason, its message the condition's message.
"""

from dataclasses import dataclass
from typing import Literal

from catfish_operator import canary, pods
from catfish_operator.actions import Action, Apply, Replace
from catfish_operator.model import Json
from catfish_operator.observed import Observed
from catfish_operator.resources import drift, record, revision

DRIFT_REPAIRED = "DriftRepaired"
CANARY_UNOBSERVED = "CanaryUnobserved"
SUPERSEDED = "Superseded"
STARTED = "RolloutStarted"
QUIET = frozenset({"Applying", "PodsStarting", "Baking", "NotStalled", STARTED})
"""Reasons that say nothing to a person: every change passes through them. Some pass too quickly to be seen each time,
the start of a rollout among them: that is told from the time at which it began."""

CHANGED = frozenset({"ImageChanged", "WeightsChanged"})
"""Reasons of a condition that stays True: the pods that answer are not the same, without a rollout."""

BAD = CHANGED | {"RolledBack", DRIFT_REPAIRED}
"""Reasons outside of Stalled that a person should look at."""

ACTIONS = {
    "RolledBack": "RollBack",
    "Scaling": "Scale",
    "ScaledToZero": "Scale",
    "Paused": "Pause",
    DRIFT_REPAIRED: "Repair",
}
"""What the operator did, in a verb; `RollOut` for all others."""

TOLD = ("Stalled", "Ready", "UpToDate", "Reconciling")
"""The conditions whose reasons are told, of Ready those in `CHANGED` alone; what is wrong comes first."""

NOTE = 1024
"""Bytes of an Event's note that the API takes (events.k8s.io/v1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One thing that happened to a model.

    Attributes:
        reason: the reason of the condition that changed.
        action: what the operator did, in a verb.
        message: what a person reads; cleaned like all that status shows.
    """

    type: Literal["Normal", "Warning"]
    reason: str
    action: str
    message: str


def changes(before: Json | None, after: Json) -> tuple[Announcement, ...]:
    """What the change of a status tells: one announcement for each reason that is new."""
    found: dict[str, Announcement] = {}
    for kind in TOLD:
        old, new = _condition(before, kind), _condition(after, kind)
        reason = str(new.get("reason"))
        said = kind == "UpToDate" or new.get("status") == "True"
        if not said or (kind == "Ready" and reason not in CHANGED) or reason in QUIET or _same(old, new):
            continue
        bad = kind == "Stalled" or reason in BAD
        found.setdefault(reason, _announcement(reason, str(new.get("message")), bad=bad))
    found = _superseded(before, after) | _started(before, after) | found
    known = {str(_condition(before, kind).get("reason")) for kind in TOLD}
    return tuple(one for reason, one in found.items() if reason == STARTED or reason not in known)


def _started(before: Json | None, after: Json) -> dict[str, Announcement]:
    """That a rollout has begun, if one has."""
    new, old = ((status or {}).get("rollout") or {} for status in (after, before))
    if not new.get("startedAt") or new["startedAt"] == old.get("startedAt"):
        return {}
    text = f"Revision {after.get('targetRevision')} is being rolled out."
    return {STARTED: _announcement(STARTED, text, bad=False)}


def _superseded(before: Json | None, after: Json) -> dict[str, Announcement]:
    """That a rollout was overtaken, if one was."""
    if not _overtaken(before, after):
        return {}
    old, new = ((status or {}).get("targetRevision") for status in (before, after))
    text = f"The rollout of revision {old} had not ended when {new} was asked for."
    return {SUPERSEDED: _announcement(SUPERSEDED, text, bad=False)}


def repaired(observed: Observed, action: Action) -> tuple[Announcement, ...]:
    """What an action tells: that a change from outside was undone; nothing if it was not about that.

    A Deployment whose pod template says the revision that is written, and yet differs, was changed by others;
    a Service's selector never changes otherwise.

    Args:
        observed: what was seen before the action.
        action: what was done about it.
    """
    model = observed.body["metadata"]["name"]
    if isinstance(action, Replace) and (action.kind, action.path) == ("Service", "/spec/selector"):
        text = f"The selector of Service {action.name} was changed from outside; it was put back."
        return (_announcement(DRIFT_REPAIRED, text, bad=True),)
    wanted, live = _template(action), (observed.deployment or {}).get("spec", {}).get("template")
    if wanted is None or live is None or pods.revision_of(wanted) != pods.revision_of(live):
        return ()
    if isinstance(action, Apply) and not drift.differs(wanted, live):
        return ()  # something else of the Deployment
    text = (
        f"The pod template of Deployment {model} was changed from outside; it was put back. To restart its pods, "
        f"use `kubectl catfish restart {model}`; to change them, change the spec of the model."
    )
    return (_announcement(DRIFT_REPAIRED, text, bad=True),)


def unobserved(observed: Observed, action: Action) -> tuple[Announcement, ...]:
    """What an action tells: that a revision was released by time alone, its first pods compared with nothing.

    Args:
        observed: what was seen before the action.
        action: what was done about it.
    """
    match action:
        case Apply(manifest={"kind": revision.KIND} as written) if record.read(written).unobserved:
            name = written["metadata"]["name"]
        case _:
            return ()
    live = next((item for item in observed.revisions if item["metadata"]["name"] == name), None)
    if live is not None and record.read(live).unobserved:
        return ()
    text = (
        f"The first pods of {name} lasted, but fewer than {canary.ENOUGH} requests to them or to the old pods could "
        "be counted: errors and latency were not compared, time alone decided."
    )
    return (_announcement(CANARY_UNOBSERVED, text, bad=False),)


def _template(action: Action) -> Json | None:
    """The pod template that an action writes onto a Deployment that is there; None if it writes none."""
    match action:
        case Replace(kind="Deployment", path="/spec/template", value=value):
            template: Json = value
            return template
        case Apply(uid=str(), manifest={"kind": "Deployment", "spec": {"template": dict(found)}}):
            return found
    return None


def finished_rollouts(before: Json | None, after: Json) -> tuple[tuple[str, str], ...]:
    """The rollouts that ended with this change of the status: how, and the reason for it."""
    overtaken = ((SUPERSEDED, SUPERSEDED),) if _overtaken(before, after) else ()
    new = after.get("rollout") or {}
    result = new.get("result")
    if not result or result == "Paused" or new == ((before or {}).get("rollout") or {}):
        return overtaken
    stalled = _condition(after, "Stalled")
    reason = stalled.get("reason") if stalled.get("status") == "True" else None
    ended = str(result), str(reason or _condition(after, "UpToDate").get("reason") or result)
    return (*overtaken, ended)


def _overtaken(before: Json | None, after: Json) -> bool:
    """Says whether a rollout was under way, or paused, when that of another revision took its place."""
    old, revision_before = ((before or {}).get(name) for name in ("rollout", "targetRevision"))
    under_way = old and old.get("startedAt") and old.get("result") in (None, "Paused")
    return bool(under_way and revision_before and revision_before != after.get("targetRevision"))


def _announcement(reason: str, message: str, *, bad: bool) -> Announcement:
    return Announcement(
        type="Warning" if bad else "Normal",
        reason=reason,
        action=ACTIONS.get(reason, "RollOut"),
        message=message.encode()[:NOTE].decode(errors="ignore"),
    )


def _condition(status: Json | None, kind: str) -> Json:
    conditions = (status or {}).get("conditions") or []
    return next((found for found in conditions if found.get("type") == kind), {})


def _same(old: Json, new: Json) -> bool:
    return (old.get("status"), old.get("reason")) == (new.get("status"), new.get("reason"))
