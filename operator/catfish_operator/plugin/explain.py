"""One model on one screen: what serves, what is wanted, why not, since when, what to do. Pure.

It says what the status says, and never more: the operator has looked, the plugin has not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from catfish_operator.model import Json
from catfish_operator.plugin import undo
from catfish_operator.plugin.advice import ADVICE, OTHERWISE

STATES: Final = {
    "Deleting": "is being deleted",
    "Unseen": "has not been seen by the operator yet",
    "Changed": "has changed, and the operator has not looked at it yet",
    "RolledBack": "was rolled back",
    "Paused": "is paused",
    "Stalled": "is stalled",
    "Canary": "rolls out: the first new pods are watched",
    "Baking": "is out and watched until it counts as proven",
    "Progressing": "is on its way",
    "UpToDate": "is up to date",
    "Unknown": "cannot be judged by its status",
}
"""The word for programs, and how it reads after the model's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A revision that has ready pods behind the Service."""

    revision: str
    image: str | None
    pods: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is to be said of one model. Times are RFC 3339, UTC.

    Attributes:
        state: a key of `STATES`.
        wanted: the revision that the spec asks for; None if the spec cannot be read.
        not_ready: why no pod can answer, None if one can.
        reason, message: why the state is not `UpToDate`, None when it is.
        pod, exit_code: where a failure showed, if it was in one pod.
        since: since when the state is so, as far as it is known.
        retry_at: when a failed revision is tried again by itself.
        to_do: sentences; empty when there is nothing to be done.
    """

    namespace: str
    name: str
    state: str
    serving: tuple[Serving, ...]
    url: str | None
    wanted: str | None
    image: str | None
    weights: str | None
    not_ready: str | None = None
    reason: str | None = None
    message: str | None = None
    pod: str | None = None
    exit_code: int | None = None
    since: str | None = None
    retry_at: str | None = None
    to_do: tuple[str, ...] = ()


def explain(body: Json) -> Explanation:
    """Explains a model as the API server gave it."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    said = {item["type"]: item for item in status.get("conditions") or []}
    state = _state(metadata, status, said)
    wanted = undo.current(body)
    failure = _failure(status, wanted) if state in ("RolledBack", "Stalled") else {}
    why = _why(state, said)
    reason = failure.get("reason") or why.get("reason")
    command = f"{metadata['name']} -n {metadata['namespace']}"
    return Explanation(
        namespace=metadata["namespace"],
        name=metadata["name"],
        state=state,
        serving=tuple(_serving(item) for item in status.get("servingRevisions") or []),
        url=status.get("url"),
        wanted=wanted,
        image=spec.get("image"),
        weights=(spec.get("weights") or {}).get("url"),
        not_ready=None if _true(said.get("Ready", {})) else said.get("Ready", {}).get("message"),
        reason=reason,
        message=failure.get("message") or why.get("message"),
        pod=failure.get("pod"),
        exit_code=failure.get("exitCode"),
        since=_since(state, metadata, said, failure),
        retry_at=failure.get("retryAt"),
        to_do=_to_do(
            state, reason, failure, command, older=status.get("stableRevision") not in (None, wanted)
        ),
    )


def as_json(found: Explanation) -> Json:
    """The same for programs; the names are those of the status."""
    return {
        "namespace": found.namespace,
        "name": found.name,
        "state": found.state,
        "serving": [
            {"revision": item.revision, "image": item.image, "pods": item.pods} for item in found.serving
        ],
        "url": found.url,
        "wanted": {"revision": found.wanted, "image": found.image, "weights": found.weights},
        "notReady": found.not_ready,
        "reason": found.reason,
        "message": found.message,
        "pod": found.pod,
        "exitCode": found.exit_code,
        "since": found.since,
        "retryAt": found.retry_at,
        "toDo": list(found.to_do),
    }


def _state(metadata: Json, status: Json, said: Mapping[str, Json]) -> str:
    """The first of these that is so."""
    up_to_date, reconciling = said.get("UpToDate", {}), said.get("Reconciling", {})
    watched = (
        reconciling.get("reason") if reconciling.get("reason") in ("Canary", "Baking") else "Progressing"
    )
    answers: tuple[tuple[str, Any], ...] = (
        ("Deleting", "deletionTimestamp" in metadata),
        ("Unseen", not said),
        ("Changed", (status.get("observedGeneration") or 0) < metadata.get("generation", 0)),
        ("RolledBack", up_to_date.get("reason") in ("RolledBack", "RevisionQuarantined")),
        ("Paused", up_to_date.get("reason") == "Paused"),
        ("Stalled", _true(said.get("Stalled", {}))),
        (str(watched), _true(reconciling)),
        ("UpToDate", _true(up_to_date)),
    )
    return next((state for state, holds in answers if holds), "Unknown")


def _true(condition: Json) -> bool:
    return condition.get("status") == "True"


def _why(state: str, said: Mapping[str, Json]) -> Json:
    """The condition that says why the state is not the wanted one; {} if it is."""
    stalled = said.get("Stalled", {})
    match state:
        case "RolledBack" | "Stalled":
            return stalled if _true(stalled) else said["UpToDate"]
        case "Canary" | "Baking" | "Progressing":
            return said["Reconciling"]
        case "Paused" | "Unknown":
            return said.get("UpToDate", {})
    return {}


def _failure(status: Json, wanted: str | None) -> Json:
    """How the wanted revision failed; {} if it is not noted."""
    found = (item for item in status.get("failedRevisions") or [] if item.get("name") == wanted)
    return next(found, {})


def _serving(item: Json) -> Serving:
    return Serving(
        revision=item.get("name") or "an unknown revision", image=item.get("image"), pods=item.get("pods")
    )


def _since(state: str, metadata: Json, said: Mapping[str, Json], failure: Json) -> str | None:
    kind = {
        "RolledBack": "Stalled",
        "Stalled": "Stalled",
        "Canary": "Reconciling",
        "Baking": "Reconciling",
        "Progressing": "Reconciling",
    }.get(state, "UpToDate")
    if state == "Deleting":
        return str(metadata["deletionTimestamp"])
    if state in ("Unseen", "Changed"):
        return None
    return failure.get("failedAt") or said.get(kind, {}).get("lastTransitionTime")


def _to_do(state: str, reason: str | None, failure: Json, command: str, *, older: bool) -> tuple[str, ...]:
    """What a person can do; `older`: there is a proven revision besides the wanted one."""
    undo_it = f"`kubectl catfish undo {command}`"
    match state:
        case "Unseen" | "Changed":
            return ("Wait a moment. If it stays so, see whether the operator runs: it writes the status.",)
        case "Canary" | "Baking" | "Progressing":
            return ("Wait.", *([f"{undo_it} goes back to the last proven revision."] if older else []))
        case "Paused":
            resume = '{"spec":{"rollout":{"paused":false}}}'
            return (f"To go on: kubectl patch cfm {command} --type merge -p '{resume}'",)
        case "RolledBack" | "Stalled":
            return (
                ADVICE.get(reason or "", OTHERWISE),
                *_retry(failure, command),
                *([f"{undo_it} makes the spec say again what is proven."] if older else []),
            )
    return ()


def _retry(failure: Json, command: str) -> tuple[str, ...]:
    if not failure:
        return ()
    retry = f"`kubectl catfish retry {command}`"
    if failure.get("retryAt"):
        return (f"It is tried again by itself; {retry} tries it now.",)
    return (f"A changed spec is tried at once; the same one only after {retry}.",)
