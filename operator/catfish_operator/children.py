"""What to write of a model's children other than revisions and Deployment: observed -> actions. Called by `plan`."""

from typing import Any

from catfish_operator import progress
from catfish_operator.actions import Action, Apply, Delete, Replace
from catfish_operator.model import CatfishModel, Json
from catfish_operator.observed import Observed
from catfish_operator.resources import autoscaler, budget, drift, monitor, service
from catfish_operator.resources.metadata import claim


def actions(model: CatfishModel, observed: Observed) -> list[Action]:
    """All of them, in the order in which they should come."""
    return [
        *service_actions(model, observed.service),
        *budget_actions(model, observed),
        *autoscaler_actions(model, observed),
        *monitor_actions(model, observed),
    ]


def needed(model: CatfishModel, observed: Observed) -> list[Json]:
    """The live objects whose names the model needs, whoever they belong to."""
    live = [observed.service]
    if _budget(model, observed):
        live.append(observed.budget)
    if model.autoscaling:
        live.append(observed.autoscaler)
    if model.monitoring.service_monitor:
        live.append(observed.monitor)
    return [item for item in live if item is not None]


def service_actions(model: CatfishModel, live: Json | None) -> list[Action]:
    """The Service, with no port and no selector that is not ours."""
    wanted = service.service(model)
    if live is not None and drift.ports_extended(wanted["spec"]["ports"], live):
        return [replace(live, path="/spec/ports", value=service.ports(wanted, live))]
    selector = wanted["spec"]["selector"]
    if (
        live is not None and live["spec"].get("selector") != selector
    ):  # one key more would select no pod at all
        return [replace(live, path="/spec/selector", value=selector)]
    return apply_if_needed(wanted, live)


def budget_actions(model: CatfishModel, observed: Observed) -> list[Action]:
    """The budget of a model with more than one pod; one that is not wanted any more is deleted."""
    return _optional_actions(model, _budget(model, observed), live=observed.budget)


def _budget(model: CatfishModel, observed: Observed) -> Json | None:
    replicas = progress.wanted_replicas(model, observed.deployment)
    return budget.budget(model) if budget.wanted(model, replicas=replicas) else None


def autoscaler_actions(model: CatfishModel, observed: Observed) -> list[Action]:
    """The autoscaler of a model that asks for one."""
    manifest = autoscaler.autoscaler(model, model.autoscaling) if model.autoscaling else None
    return _optional_actions(model, manifest, live=observed.autoscaler)


def monitor_actions(model: CatfishModel, observed: Observed) -> list[Action]:
    """The ServiceMonitor of a model that asks for one, where the API server knows the kind."""
    if monitor.KIND not in observed.served:
        return []
    manifest = monitor.monitor(model) if model.monitoring.service_monitor else None
    return _optional_actions(model, manifest, live=observed.monitor)


def _optional_actions(model: CatfishModel, wanted: Json | None, *, live: Json | None) -> list[Action]:
    """An object that a model may or may not have: if it is not wanted, ours is deleted, and only ours."""
    if wanted is not None:
        return apply_if_needed(wanted, live)
    if live is None or claim(model, live) == "foreign":
        return []
    return [delete(live)]


def apply_if_needed(wanted: Json, live: Json | None) -> list[Action]:
    """Applies what is missing, what differs, and what has fields of ours that are not wanted any more."""
    if live is None:
        return [Apply(manifest=wanted)]
    if drift.differs(wanted, live) or drift.abandoned(wanted, live):
        return [Apply(manifest=wanted, uid=live["metadata"]["uid"])]
    return []


def replace(
    live: Json,
    *,
    path: str,
    value: Any,  # noqa: ANN401 - any JSON
    also: tuple[tuple[str, Any], ...] = (),
) -> Replace:
    """Replaces a part of an object as it was seen, and others in the same write."""
    metadata = live["metadata"]
    return Replace(
        api_version=live["apiVersion"],
        kind=live["kind"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        path=path,
        value=value,
        also=also,
    )


def delete(live: Json) -> Delete:
    """Deletes an object as it was seen."""
    metadata = live["metadata"]
    return Delete(
        api_version=live["apiVersion"],
        kind=live["kind"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
    )
