"""How the rollout goes on, as `rollout` and `rollback` decide it and `plan` obeys it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from catfish_operator.reasons import Verdict
from catfish_operator.resources.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What follows from one look.

    Attributes:
        verdict: how far the model is.
        serve: the revision whose template the Deployment is to have. If nothing is known of it any more, the
            template that the Deployment has stays.
        held: it is held at its first new pods.
        surge: on the way back, pods that may be there beyond the wanted number, each of which counts as soon as it
            is Ready; None: as the spec says.
        records: what is to be remembered anew, by revision, before anything else is written.
        confirm: the decision cannot be taken back, or takes something back: what it rests on must be read live first.
        look_after: seconds after which to look again though nothing happens; None: events are enough.
    """

    verdict: Verdict
    serve: str
    held: bool = False
    surge: int | None = None
    records: Mapping[str, Record] = field(default_factory=dict)
    confirm: bool = False
    look_after: float | None = None


def text(moment: datetime) -> str:
    """A moment as records and statuses have it: RFC 3339, UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
