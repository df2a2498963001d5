"""Going back: which revision, and what to change in the spec for it. Pure.

The spec is what says what runs, so undoing means writing the older spec back, not moving pods behind its back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from catfish_operator.errors import InvalidSpec
from catfish_operator.model import GROUP, CatfishModel, Json
from catfish_operator.plugin.problems import NotPossible
from catfish_operator.plugin.revisions import Revision
from catfish_operator.resources import revision

RESTARTED_AT = f"{GROUP}/restartedAt"

KEPT = frozenset(
    {"replicas", "autoscaling", "service", "rollout", "disruption", "monitoring", "revisionHistoryLimit"}
)
"""The fields of the spec that shape no pod: an undo leaves them as they are. A test holds them to the CRD."""


def current(body: Json) -> str | None:
    """The name of the revision that the spec asks for; None if the spec cannot be read.

    Where the status speaks of this spec, its word counts: an operator of another version may name it otherwise.
    """
    status = body.get("status") or {}
    if status.get("observedGeneration") == body["metadata"]["generation"] and status.get("targetRevision"):
        return str(status["targetRevision"])
    model = _parsed(body)
    return revision.name(model) if model else None


def _parsed(body: Json) -> CatfishModel | None:
    try:
        return CatfishModel.from_body(body)
    except InvalidSpec:
        return None


def target(body: Json, revisions: Sequence[Revision], *, to: str | None = None) -> Revision:
    """The revision to go back to: the named one, else the last proven one besides that of the spec.

    Args:
        body: the model.
        revisions: its revisions, by number.
        to: the name of a revision, or its part after `<model>-`.

    Raises:
        NotPossible: there is none, or it does not say what it was made from.
    """
    name = body["metadata"]["name"]
    if to is not None:
        found = next((item for item in revisions if item.name in (to, f"{name}-{to}")), None)
        if found is None:
            known = ", ".join(item.name for item in revisions) or "none"
            raise NotPossible(f"{name} has no revision {to}; there are: {known}")
    else:
        asked = current(body)
        proven = (item for item in reversed(revisions) if item.verdict == "proven" and item.name != asked)
        found = next(proven, None)
        if found is None:
            raise NotPossible(
                f"{name} has no proven revision to go back to besides the one that its spec asks for; "
                f"`kubectl catfish history {name}` lists what there is, --to names one"
            )
    if not found.inputs:
        raise NotPossible(
            f"{found.name} does not say what spec it was made from, so it cannot be gone back to"
        )
    return found


@dataclass(frozen=True, slots=True)
class Change:
    """What to write onto a model.

    Attributes:
        patch: a JSON patch that begins with a test of the resourceVersion; [] if nothing is to be done.
        fields: what a person will find changed, as paths: `spec.image`.
    """

    patch: list[Json]
    fields: list[str]


def change(body: Json, to: Revision) -> Change:
    """The change that makes the spec ask for a revision: it replaces the fields that shape pods, and no others."""
    model = _parsed(body)
    if model and revision.name(model) == to.name:
        return Change([], [])
    now = revision.inputs(model) if model else {}
    spec, wanted = body["spec"], {name: value for name, value in to.inputs.items() if name != "restartedAt"}
    operations, fields = [], []
    for name in sorted((spec.keys() | wanted.keys()) - KEPT):
        if name in wanted and now.get(name) == wanted[name]:
            continue
        if name in wanted:
            operations.append({"op": "add", "path": f"/spec/{name}", "value": wanted[name]})
        elif name in spec:  # one that says what is the default anyway goes too: it comes back as the default
            operations.append({"op": "remove", "path": f"/spec/{name}"})
        if name in wanted or name in now or model is None:
            fields.append(f"spec.{name}")
    restart = _restart(body["metadata"], to.inputs.get("restartedAt"))
    if not operations and not restart:
        return Change([], [])
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": body["metadata"]["resourceVersion"]}
    return Change([test, *operations, *restart], fields + ([RESTARTED_AT] if restart else []))


def _restart(metadata: Json, wanted: str | None) -> list[Json]:
    """The time of a restart is part of what names a revision, so it goes back with the spec."""
    annotations = metadata.get("annotations") or {}
    path = "/metadata/annotations/" + RESTARTED_AT.replace("/", "~1")
    if annotations.get(RESTARTED_AT) == wanted:
        return []
    if wanted is None:
        return [{"op": "remove", "path": path}]
    parent = [] if annotations else [{"op": "add", "path": "/metadata/annotations", "value": {}}]
    return [*parent, {"op": "add", "path": path, "value": wanted}]
