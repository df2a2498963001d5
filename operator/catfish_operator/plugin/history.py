"""The revisions of a model, the latest asked for first, and how each of them went. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from catfish_operator.model import Json
from catfish_operator.plugin import undo
from catfish_operator.plugin.revisions import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the history.

    Attributes:
        verdict: `proven`, `failed` or `undecided`.
        result: how its latest rollout ended; None while it is under way.
        reason: why it failed.
        wanted: whether the spec asks for it.
        serves: whether the status says that pods of it serve.
    """

    revision: str
    verdict: str
    result: str | None
    reason: str | None
    started_at: str | None
    image: str | None
    weights: str | None
    wanted: bool
    serves: bool


def history(body: Json, revisions: Sequence[Revision]) -> list[Row]:
    """The history of a model."""
    wanted, status = undo.current(body), body.get("status") or {}
    serving = {item.get("name") for item in status.get("servingRevisions") or []}
    return [
        Row(
            revision=item.name,
            verdict=item.verdict or "undecided",
            result=item.rollout.get("result"),
            reason=item.failure.get("reason") if item.verdict == "failed" else None,
            started_at=item.rollout.get("startedAt"),
            image=item.image,
            weights=(item.inputs.get("weights") or {}).get("url"),
            wanted=item.name == wanted,
            serves=item.name in serving,
        )
        for item in reversed(revisions)
    ]


def as_json(rows: Sequence[Row]) -> list[Json]:
    """The same for programs."""
    return [
        {
            "revision": row.revision,
            "verdict": row.verdict,
            "result": row.result,
            "reason": row.reason,
            "startedAt": row.started_at,
            "image": row.image,
            "weights": row.weights,
            "wanted": row.wanted,
            "serves": row.serves,
        }
        for row in rows
    ]
