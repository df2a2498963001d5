"""An API server in a dictionary, as far as plans can tell it from a real one, and bodies to begin with.

It applies server-side: lists with keys are merged, fields that were applied before and are not now are
removed, managedFields say who wrote what, and false and empty values are left out where the real one does so.
tests/integration runs the same plans on a real API server.
"""

import copy
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from catfish_operator import history, pods, watch
from catfish_operator import plan as planning
from catfish_operator import status as saying
from catfish_operator.actions import Action, Apply, Delete, Plan, Replace
from catfish_operator.errors import InvalidSpec
from catfish_operator.model import CatfishModel, Json
from catfish_operator.observed import Observed, Reading, Watch
from catfish_operator.resources import record, revision
from catfish_operator.resources.metadata import MANAGER, REVISION_LABEL, selector
from catfish_operator.resources.record import Record

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEYS = {
    "containers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}


def body(**spec: Any) -> Json:
    """A CatfishModel as it comes from the API server: the smallest one, with these fields of the spec."""
    smallest = {
        "image": "catfish-server:v1",
        "weights": {"url": "https://models.example.com/cat.pt"},
        "model": {"architecture": "resnet18", "classes": ["cat", "fish"]},
    }
    return {
        "apiVersion": "catfish.dev/v1alpha1",
        "kind": "CatfishModel",
        "metadata": {"name": "cat", "namespace": "default", "uid": "uid-model", "generation": 1},
        "spec": smallest | spec,
    }


class World:
    """The objects of one model, a monotonic clock, and what is remembered of the rollout."""

    def __init__(self, model: Json) -> None:
        self.model = copy.deepcopy(model)
        self.clock = self.seen_since = 1000.0
        self.readings: dict[str, Reading] = {}
        self.watch = Watch()
        self.objects: dict[tuple[str, str], Json] = {}
        self.pods: list[Json] = []
        self.written: list[Action] = []
        self._numbers = itertools.count(1)

    def observed(self, *, now: datetime | None = None) -> Observed:
        """One look, as `observe` makes it: what is remembered moves on with it."""
        seen = self._seen(now or NOW + timedelta(seconds=self.clock - 1000))
        try:
            model = CatfishModel.from_body(self.model)
        except InvalidSpec:
            return seen
        target = revision.name(model)
        entry = history.history(model, seen).find(target)
        kept = entry.record if entry else Record()
        self.watch = watch.look(
            self.watch,
            seen,
            model=model,
            target=target,
            record=kept,
            at=self.clock,
            seen_since=self.seen_since,
        )
        return replace(seen, watch=self.watch)

    def _seen(self, now: datetime) -> Observed:
        name = self.model["metadata"]["name"]
        revisions = tuple(item for (kind, _), item in self.objects.items() if kind == "ControllerRevision")
        return copy.deepcopy(
            Observed(
                now=now,
                body=self.model,
                deployment=self.objects.get(("Deployment", name)),
                service=self.objects.get(("Service", name)),
                budget=self.objects.get(("PodDisruptionBudget", name)),
                autoscaler=self.objects.get(("HorizontalPodAutoscaler", name)),
                monitor=self.objects.get(("ServiceMonitor", name)),
                served=frozenset(["ServiceMonitor"]),
                revisions=revisions,
                pods=tuple(pods.selected(self.pods, name=name)),
                readings={
                    name: replace(reading, at=reading.at or self.clock)
                    for name, reading in self.readings.items()
                },
            )
        )

    def deployment(self) -> Json:
        return self.objects["Deployment", self.model["metadata"]["name"]]

    def service(self) -> Json:
        return self.objects["Service", self.model["metadata"]["name"]]

    def change(self, **spec: Any) -> None:
        self.model["spec"] |= spec
        self.model["metadata"]["generation"] += 1

    def plan(self) -> Plan:
        return planning.plan(self.observed())

    def status(self) -> Json:
        observed = self.observed()
        return saying.status(observed, planning.plan(observed))

    def settle(self) -> Plan:
        """Does what is planned until nothing is; returns the last plan."""
        for _ in range(6):
            planned = self.plan()
            if not planned.actions:
                return planned
            for action in planned.actions:
                self.do(action)
        raise AssertionError(f"does not settle: {planned.actions}")

    def do(self, action: Action) -> None:
        self.written.append(action)
        match action:
            case Apply():
                self._apply(action)
            case Replace():
                live = self.objects[action.kind, action.name]
                assert live["metadata"]["uid"] == action.uid
                for path, value in ((action.path, action.value), *action.also):
                    part, last = live, path.split("/")[-1]
                    for step in path.split("/")[1:-1]:
                        part = part[step]
                    part[last] = copy.deepcopy(value)
                live["metadata"]["managedFields"] = [
                    entry for entry in live["metadata"]["managedFields"] if entry["manager"] == MANAGER
                ]
                self._touch(live)
            case Delete():
                assert self.objects[action.kind, action.name]["metadata"]["uid"] == action.uid
                del self.objects[action.kind, action.name]

    def wait(self, seconds: float) -> "World":
        """Lets time pass."""
        self.clock += seconds
        return self

    def prove(self) -> "World":
        """Rolls the target out and waits until it counts as proven."""
        self.settle()
        self.roll_out()
        for seconds in (0, 100, 100):
            self.wait(seconds)
            self.settle()
            self.roll_out()
        return self

    def record(self, name: str) -> Record:
        """What a revision remembers."""
        return record.read(self.objects["ControllerRevision", name])

    def roll_out(self, *, ready: bool = True) -> None:
        """Makes the Deployment complete, with one pod (ready or not) for each replica."""
        live = self.deployment()
        number = live["spec"]["replicas"]
        self.pods = [pod(f"cat-{index}", live["spec"]["template"], ready=ready) for index in range(number)]
        live["status"] = {
            "observedGeneration": live["metadata"]["generation"],
            "replicas": number,
            "updatedReplicas": number,
            "readyReplicas": number if ready else 0,
            "availableReplicas": number if ready else 0,
        }

    def _apply(self, action: Apply) -> None:
        manifest = copy.deepcopy(action.manifest)
        seen = manifest["metadata"].pop("resourceVersion", None)  # a precondition, which nobody owns
        wanted = copy.deepcopy(manifest)
        key = (manifest["kind"], manifest["metadata"]["name"])
        live = self.objects.get(key)
        assert (live is None) == (action.uid is None), f"{key}: created although it is there, or the reverse"
        before: Json = {}
        if live is None:
            live = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": {}}
            live["metadata"]["uid"] = f"uid-{next(self._numbers)}"
            self.objects[key] = live
        else:
            assert live["metadata"]["uid"] == action.uid
            assert seen in (None, live["metadata"]["resourceVersion"])
            before = next(
                (e["applied"] for e in live["metadata"]["managedFields"] if e["manager"] == MANAGER), {}
            )
        managed = [e for e in live["metadata"].get("managedFields", []) if e["manager"] != MANAGER]
        _remove(live, before, manifest)
        _merge(live, wanted)
        entry = {"manager": MANAGER, "operation": "Apply", "fieldsV1": fields(manifest), "applied": manifest}
        live["metadata"]["managedFields"] = [*managed, entry]
        if live["kind"] == "Deployment":
            live["spec"].setdefault("replicas", 1)
        self._touch(live)

    def _touch(self, live: Json) -> None:
        live["metadata"]["resourceVersion"] = str(next(self._numbers))
        live["metadata"]["generation"] = live["metadata"].get("generation", 0) + 1


def pod(name: str, template: Json, *, ready: bool = True, **status: Any) -> Json:
    """A pod made from a template, scheduled; `status` replaces fields of its status."""
    conditions = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": "True" if ready else "False"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(template["metadata"]["labels"])},
        "spec": copy.deepcopy(template.get("spec") or {}),
        "status": {"phase": "Running", "conditions": conditions} | status,
    }


def revision_pod(name: str, revision: str, *, ready: bool = True, **status: Any) -> Json:
    """A pod of a revision of the model `cat`."""
    template = {"metadata": {"labels": selector("cat") | {REVISION_LABEL: revision}}}
    return pod(name, template, ready=ready, **status)


def fields(value: Any, name: str = "") -> Json:
    """What managedFields say of somebody who applied this value."""
    if isinstance(value, dict):
        return {f"f:{key}": fields(item, key) for key, item in value.items()}
    keys = _keys(name, value)
    if not keys:
        return {}
    return {"k:" + json.dumps({key: item[key] for key in keys}): {".": {}, **fields(item)} for item in value}


def foreign(live: Json, change: Json, *, manager: str = "kubectl-edit") -> None:
    """Changes an object as somebody else would, by an update."""
    _merge(live, copy.deepcopy(change))
    entry = {"manager": manager, "operation": "Update", "fieldsV1": fields(change)}
    live["metadata"]["managedFields"].append(entry)


def _keys(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        return ()
    if name == "ports":
        return ("containerPort" if "containerPort" in value[0] else "port", "protocol")
    return KEYS.get(name, ())


def _merge(live: Any, wanted: Json) -> None:
    for name, value in wanted.items():
        if isinstance(value, dict) and value:
            _merge(live.setdefault(name, {}), value)
        elif (keys := _keys(name, value)) and live.get(name):
            for item in value:
                same = [other for other in live[name] if all(other.get(key) == item[key] for key in keys)]
                if same:
                    _merge(same[0], item)
                else:
                    live[name].append(item)
        elif value in ("", [], {}) or (name in ("paused", "minReadySeconds") and not value):
            live.pop(name, None)
        else:
            live[name] = value


def _remove(live: Any, before: Json, wanted: Json) -> None:
    for name, value in before.items():
        if name not in live:
            continue
        if name not in wanted:
            del live[name]
        elif isinstance(value, dict) and isinstance(live[name], dict):
            _remove(live[name], value, wanted[name] if isinstance(wanted[name], dict) else {})
        elif keys := _keys(name, value):
            for item in value:
                same = [o for o in live[name] if all(o.get(key) == item[key] for key in keys)]
                kept = [o for o in wanted[name] if all(o.get(key) == item[key] for key in keys)]
                if same and not kept:
                    live[name].remove(same[0])
                elif same:
                    _remove(same[0], item, kept[0])
