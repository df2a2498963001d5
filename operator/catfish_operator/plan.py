"""What to do for one model: observed -> plan. Called by `reconcile`.

It never raises for what the API server accepts: what cannot be obeyed becomes the plan's verdict.
"""

from collections import Counter

from catfish_operator import children, rollout
from catfish_operator.actions import Action, Apply, Plan
from catfish_operator.errors import InvalidSpec
from catfish_operator.model import CatfishModel, Json
from catfish_operator.observed import Observed
from catfish_operator.reasons import Verdict, progressing, stalled
from catfish_operator.resources import deployment, drift, revision
from catfish_operator.resources.metadata import MANAGER, REVISION_LABEL, claim

LOOK_AGAIN_SECONDS = 2.0
"""How soon to look again while an object of an earlier model is being deleted."""


def plan(observed: Observed) -> Plan:
    """Says what to write now, and how far the model is."""
    if "deletionTimestamp" in observed.body["metadata"]:
        return Plan(verdict=progressing("WaitingForDeletion", "The model is being deleted"))
    try:
        model = CatfishModel.from_body(observed.body)
    except InvalidSpec as error:
        return Plan(verdict=stalled("InvalidSpec", str(error)))
    target = revision.name(model)
    kept = _find(observed.revisions, target)
    live = [child for child in (kept, observed.deployment, *children.needed(model, observed)) if child]
    if obstacle := _obstacle(model, live):
        return Plan(verdict=obstacle, model=model, target=target)
    if leaving := [child for child in live if claim(model, child) == "leaving"]:
        verdict = progressing("WaitingForDeletion", f"{_words(leaving[0])} is still being deleted")
        return Plan(verdict=verdict, model=model, target=target, requeue_after=LOOK_AGAIN_SECONDS)
    template = revision.stored_template(kept) if kept else None
    template = template or deployment.template(model, revision=target)
    actions: list[Action] = [
        *_revision_actions(model, observed, kept=kept, template=template),
        *_deployment_actions(model, observed.deployment, template=template),
        *children.actions(model, observed),
        *_surplus_revisions(model, observed, target=target),
    ]
    verdict = rollout.verdict(observed, model=model, target=target)
    if actions and verdict.phase == "settled":
        verdict = progressing("Applying")
    return Plan(actions=tuple(actions), verdict=verdict, model=model, target=target)


def _obstacle(model: CatfishModel, live: list[Json]) -> Verdict | None:
    """What is somebody else's under a name that we need."""
    for child in live:
        if claim(model, child) == "foreign":
            return stalled(
                "NameConflict", f"{_words(child)}; rename the model, or remove or relabel that object"
            )
        if child["kind"] == revision.KIND and revision.stored_template(child) is None:
            return stalled("NameConflict", f"{_words(child)} holds no pod template; remove it")
    return None


def _words(child: Json) -> str:
    return f"{child['kind']} {child['metadata']['name']}"


def _find(revisions: tuple[Json, ...], name: str) -> Json | None:
    return next((item for item in revisions if item["metadata"]["name"] == name), None)


def _revision_actions(
    model: CatfishModel, observed: Observed, *, kept: Json | None, template: Json
) -> list[Apply]:
    """Keeps the target revision, with the greatest number of all: the order of being asked for."""
    others = [item for item in observed.revisions if item is not kept]
    ours = [item for item in others if claim(model, item) in ("ours", "adoptable")]
    greatest = max(map(revision.number, ours), default=0)
    actions = [
        action for item in ours if (action := _revision_action(model, item, number=revision.number(item)))
    ]
    if kept is None:
        name, data = revision.name(model), revision.data(model, template)
        wanted = revision.revision(model, name=name, number=greatest + 1, data=data)
        return [*actions, Apply(manifest=wanted)]
    number = revision.number(kept)
    action = _revision_action(model, kept, number=number if number > greatest else greatest + 1)
    return [*actions, action] if action else actions


def _revision_action(model: CatfishModel, live: Json, *, number: int) -> Apply | None:
    """Adopts a revision that lost its owner, and gives it its number; what it keeps stays as it is."""
    name = live["metadata"]["name"]
    wanted = revision.revision(model, name=name, number=number, data=live.get("data") or {})
    if not drift.differs({key: wanted[key] for key in ("metadata", "revision")}, live):
        return None
    return Apply(manifest=wanted, uid=live["metadata"]["uid"])


def _deployment_actions(model: CatfishModel, live: Json | None, *, template: Json) -> list[Action]:
    wanted = deployment.deployment(model, template=template, replicas=_replicas_to_write(model, live))
    if live is None:
        return [Apply(manifest=wanted)]
    if not (drift.template_extended(template, live) or drift.template_must_be_replaced(template, live)):
        return children.apply_if_needed(wanted, live)
    return [children.replace(live, path="/spec/template", value=template)]


def _replicas_to_write(model: CatfishModel, live: Json | None) -> int | None:
    """The number that we answer for. With none in the spec it is held on to until somebody else takes it.

    To leave out a field that we own would remove it, and the API server would put 1 in its place. So an
    autoscaler takes over at its first write, and until then the pods stay as many as they are.
    """
    if live is None:
        return model.autoscaling.min_replicas if model.autoscaling else model.replicas
    if model.replicas is not None:
        return model.replicas
    owned = any(
        "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
        for entry in live["metadata"].get("managedFields") or []
        if entry.get("manager") == MANAGER and not entry.get("subresource")
    )
    return rollout.wanted_replicas(model, live) if owned else None


def _surplus_revisions(model: CatfishModel, observed: Observed, *, target: str) -> list[Action]:
    """The oldest revisions beyond those that are kept; never the target, nor one that still has pods."""
    ours = [item for item in observed.revisions if claim(model, item) == "ours"]
    used = Counter((pod["metadata"].get("labels") or {}).get(REVISION_LABEL) for pod in observed.pods)
    used.update([target, rollout.revision_of(observed.deployment)])
    others = sorted((item for item in ours if item["metadata"]["name"] not in used), key=revision.number)
    surplus = len(others) + len({item["metadata"]["name"] for item in ours} & used.keys()) - revision.KEPT
    if _find(observed.revisions, target) is None:
        surplus += 1
    return [children.delete(item) for item in others[: max(0, surplus)]]
