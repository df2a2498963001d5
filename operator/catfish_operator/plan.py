"""What to do for one model: observed -> plan. Called by `reconcile`.

It never raises for what the API server accepts: what cannot be obeyed becomes the plan's verdict.
"""

from collections.abc import Mapping

from catfish_operator import children, history, pods, progress, rollout
from catfish_operator.actions import Action, Apply, Plan
from catfish_operator.course import Course
from catfish_operator.errors import InvalidSpec
from catfish_operator.history import Entry, History
from catfish_operator.model import CatfishModel, Json
from catfish_operator.observed import Observed
from catfish_operator.reasons import Verdict, progressing, stalled
from catfish_operator.resources import deployment, drift, record, revision
from catfish_operator.resources.metadata import MANAGER, claim
from catfish_operator.resources.record import Record

PACE = ("minReadySeconds", "progressDeadlineSeconds", "strategy", "paused")
"""The fields of a Deployment that say how its template is rolled out."""

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
    kept = next((item for item in observed.revisions if item["metadata"]["name"] == target), None)
    live = [child for child in (kept, observed.deployment, *children.needed(model, observed)) if child]
    known = history.history(model, observed)
    if obstacle := _obstacle(model, live):
        return Plan(verdict=obstacle, model=model, target=target, history=known)
    if leaving := [child for child in live if claim(model, child) == "leaving"]:
        verdict = progressing("WaitingForDeletion", f"{_words(leaving[0])} is still being deleted")
        return Plan(
            verdict=verdict, model=model, target=target, history=known, requeue_after=LOOK_AGAIN_SECONDS
        )
    return _follow(observed, model=model, target=target, known=known)


def _follow(observed: Observed, *, model: CatfishModel, target: str, known: History) -> Plan:
    """The plan that follows the course of the rollout."""
    course = rollout.course(observed, model=model, target=target, history=known)
    rendered = deployment.template(model, revision=target)
    template = _template(observed, known, course, target=target) or rendered
    actions: list[Action] = [
        *_revision_actions(model, known, target=target, template=rendered, records=course.records),
        *_deployment_actions(model, observed.deployment, template=template, course=course),
        *children.actions(model, observed),
        *_surplus_revisions(model, observed, known, target=target),
    ]
    verdict = course.verdict
    if actions and verdict.phase in ("settled", "baking"):
        verdict = progressing("Applying")
    return Plan(
        actions=tuple(actions),
        confirm=course.confirm,
        verdict=verdict,
        history=known,
        model=model,
        target=target,
        requeue_after=course.look_after,
    )


def _template(observed: Observed, known: History, course: Course, *, target: str) -> Json | None:
    """The template to serve: the one that was kept; of a revision that nothing is known of, the one that is there."""
    serve = known.find(course.serve)
    if serve:
        return revision.stored_template(serve.live)
    there: Json | None = observed.deployment["spec"]["template"] if observed.deployment else None
    return there if course.serve != target else None


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


def _revision_actions(
    model: CatfishModel, known: History, *, target: str, template: Json, records: Mapping[str, Record]
) -> list[Apply]:
    """Keeps the records, and the target revision with the greatest number of all: the order of being asked for."""
    kept = known.find(target)
    greatest = max((entry.number for entry in known if entry is not kept), default=0)
    actions = []
    for entry in known:
        number = greatest + 1 if entry is kept and entry.number <= greatest else entry.number
        action = _revision_action(model, entry, number=number, kept=records.get(entry.name, entry.record))
        actions += [action] if action else []
    if kept is None:
        data, fresh = revision.data(model, template), records.get(target, Record())
        wanted = revision.revision(model, name=target, number=greatest + 1, data=data, kept=fresh)
        actions.append(Apply(manifest=wanted))
    return actions


def _revision_action(model: CatfishModel, entry: Entry, *, number: int, kept: Record) -> Apply | None:
    """Adopts a revision that lost its owner, gives it its number and its record; its template stays as it is."""
    data = entry.live.get("data") or {}
    wanted = revision.revision(model, name=entry.name, number=number, data=data, kept=kept)
    same = not drift.differs({key: wanted[key] for key in ("metadata", "revision")}, entry.live)
    if same and record.read(entry.live) == kept:
        return None
    # Read, changed and written: a verdict that another operator has written meanwhile may not be lost.
    wanted["metadata"]["resourceVersion"] = entry.live["metadata"]["resourceVersion"]
    return Apply(manifest=wanted, uid=entry.live["metadata"]["uid"])


def _deployment_actions(
    model: CatfishModel, live: Json | None, *, template: Json, course: Course
) -> list[Action]:
    replicas = _replicas_to_write(model, live)
    wanted = deployment.deployment(
        model, template=template, replicas=replicas, held=course.held, surge=course.surge
    )
    if live is None:
        return [Apply(manifest=wanted)]
    if replicas is not None and model.replicas is None:
        # Somebody else may take the number at this moment; an older one may not be forced onto theirs.
        wanted["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    if not (drift.template_extended(template, live) or drift.template_must_be_replaced(template, live)):
        return children.apply_if_needed(wanted, live)
    # A template may not be there for a moment without its hold, or be rolled out in the way of an earlier one.
    pace = {name: wanted["spec"][name] for name in PACE if name in wanted["spec"]}
    also = tuple(
        (f"/spec/{name}", value) for name, value in pace.items() if drift.differs({name: value}, live["spec"])
    )
    return [children.replace(live, path="/spec/template", value=template, also=also)]


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
    return progress.wanted_replicas(model, live) if owned else None


def _surplus_revisions(
    model: CatfishModel, observed: Observed, known: History, *, target: str
) -> list[Action]:
    """The oldest revisions beyond those that are kept; never one that serves, is wanted, or can be gone back to."""
    ours = [entry for entry in known if claim(model, entry.live) == "ours"]
    labels = map(pods.revision_of, observed.pods)
    stable = known.proven(besides=target)
    used = {*labels, target, progress.live_revision(observed.deployment), stable.name if stable else None}
    others = [entry for entry in ours if entry.name not in used]
    surplus = len(others) - model.revision_history_limit
    return [children.delete(entry.live) for entry in others[: max(0, surplus)]]
