"""What was seen of the cluster: models and their children, by kind, namespace and name.

Fed by watch events, by the answers to our own writes, and replaced as a whole by the resync's listings. An
older state of an object never overwrites a newer one: resource versions are compared as numbers, which the
API promises since Kubernetes 1.35 (KEP-5504) and etcd has always done. Lives in one event loop; holds no
lock.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from catfish_operator.cluster import KINDS, MODEL, MODEL_LABEL, Kind, Listing
from catfish_operator.controller.queue import Key
from catfish_operator.model import Json
from catfish_operator.observed import Observed

_NAMED_LIKE_THE_MODEL = frozenset(
    {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "ServiceMonitor"}
)


class _Name(NamedTuple):
    namespace: str
    name: str


class Cache:
    """The last known state of every model and child; see the module's docstring for its order."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[_Name, Json]] = {kind.kind: {} for kind in KINDS}
        self._children: dict[str, dict[Key, set[_Name]]] = {kind.kind: {} for kind in KINDS}
        self._gone: dict[str, dict[_Name, int]] = {kind.kind: {} for kind in KINDS}
        self._listed_at: dict[str, int] = {kind.kind: 0 for kind in KINDS}
        self._served: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """How many objects are held."""
        return sum(len(objects) for objects in self._objects.values())

    def models(self) -> Iterator[Key]:
        """The keys of all models."""
        return (Key(*name) for name in self._objects[MODEL.kind])

    def models_and_deployments(self) -> Iterator[tuple[Json, Json | None]]:
        """All models, each with the Deployment of its name, if there is one."""
        deployments = self._objects["Deployment"]
        return ((body, deployments.get(name)) for name, body in self._objects[MODEL.kind].items())

    def model(self, key: Key) -> Json | None:
        """The model's last known state."""
        return self._objects[MODEL.kind].get(_Name(*key))

    def observe(self, kind: Kind, item: Json, *, live: bool = False) -> set[Key]:
        """Takes note of an object's state.

        Args:
            kind: what it is.
            item: the object.
            live: it was just read or written by ourselves, so it exists whatever older listings and events
            said.

        Returns:
            The keys of the models that this concerns; empty if nothing is new.
        """
        name, version = _name(item), resource_version(item)
        known = self._objects[kind.kind].get(name)
        if known is not None and version <= resource_version(known):
            return set()
        if not live and version < self._gone[kind.kind].get(name, 0):
            return set()
        if not live and known is None and version <= self._listed_at[kind.kind]:
            return set()  # it was not in a listing that is newer than this state: it is gone
        self._put(kind, name, _slim(kind, item))
        return concerned(kind, item) | (concerned(kind, known) if known is not None else set())

    def forget(self, kind: Kind, item: Json) -> set[Key]:
        """Takes note that an object is gone, or has lost our label. Returns the models concerned."""
        name, version = _name(item), resource_version(item)
        known = self._objects[kind.kind].get(name)
        if known is not None and version < resource_version(known):
            return set()  # an object of the same name has been made since
        self._gone[kind.kind][name] = max(version, self._gone[kind.kind].get(name, 0))
        if known is None:
            return set()
        self._drop(kind, name)
        return concerned(kind, known)

    def absent(self, kind: Kind, namespace: str, name: str) -> None:
        """Takes note that a live read did not find an object."""
        if _Name(namespace, name) in self._objects[kind.kind]:
            self._drop(kind, _Name(namespace, name))

    def know_served(self, kind: Kind, *, served: bool) -> None:
        """Takes note of whether the API server knows an optional kind."""
        self._served = self._served | {kind.kind} if served else self._served - {kind.kind}

    def replace(self, kind: Kind, listing: Listing) -> None:
        """Makes the listing the truth about a kind; only newer objects are kept beside it."""
        restored = (
            listing.resource_version < self._listed_at[kind.kind]
        )  # etcd was put back to an older state
        listed = {_name(item): item for item in listing.items}
        for name, known in list(self._objects[kind.kind].items()):
            if restored or (name not in listed and resource_version(known) <= listing.resource_version):
                self._drop(kind, name)
        if restored:
            self._gone[kind.kind].clear()
        for name, item in listed.items():
            known_now = self._objects[kind.kind].get(name)
            buried = self._gone[kind.kind].get(name, 0)
            if resource_version(item) >= buried and (
                known_now is None or resource_version(item) > resource_version(known_now)
            ):
                self._put(kind, name, _slim(kind, item))
        self._listed_at[kind.kind] = listing.resource_version
        self._gone[kind.kind] = {
            name: version
            for name, version in self._gone[kind.kind].items()
            if version > listing.resource_version
        }

    def snapshot(self, key: tuple[str, str], *, now: datetime) -> Observed | None:
        """Everything known about one model at this moment; None if there is no such model."""
        key = Key(*key)
        body = self.model(key)
        if body is None:
            return None
        return Observed(
            now=now,
            body=body,
            deployment=self._child("Deployment", key),
            service=self._child("Service", key),
            budget=self._child("PodDisruptionBudget", key),
            autoscaler=self._child("HorizontalPodAutoscaler", key),
            monitor=self._child("ServiceMonitor", key),
            served=self._served,
            revisions=tuple(self._belonging("ControllerRevision", key)),
            pods=tuple(self._belonging("Pod", key)),
        )

    def _child(self, kind: str, key: Key) -> Json | None:
        """The child that bears the model's name, whoever owns it."""
        return self._objects[kind].get(_Name(*key))

    def _belonging(self, kind: str, key: Key) -> Iterable[Json]:
        return [self._objects[kind][name] for name in sorted(self._children[kind].get(key, ()))]

    def _put(self, kind: Kind, name: _Name, item: Json) -> None:
        if name in self._objects[kind.kind]:
            self._drop(kind, name)
        self._objects[kind.kind][name] = item
        owner = owner_key(kind, item)
        if owner is not None:
            self._children[kind.kind].setdefault(owner, set()).add(name)

    def _drop(self, kind: Kind, name: _Name) -> None:
        item = self._objects[kind.kind].pop(name)
        owner = owner_key(kind, item)
        names = self._children[kind.kind].get(owner) if owner else None
        if owner and names:
            names.discard(name)
            if not names:
                del self._children[kind.kind][owner]


def owner_key(kind: Kind, item: Json) -> Key | None:
    """The model that an object belongs to: itself, the one its label names, or the one that controls it."""
    metadata = item["metadata"]
    if kind is MODEL:
        return Key(metadata["namespace"], metadata["name"])
    name = (metadata.get("labels") or {}).get(MODEL_LABEL)
    if name is None:
        owners = metadata.get("ownerReferences") or []
        name = next((owner["name"] for owner in owners if owner["kind"] == MODEL.kind), None)
    if (
        name is None and kind.kind == "ControllerRevision"
    ):  # found by a live read: it bears the name of one of ours
        name = metadata["name"].rpartition("-")[0] or None
    return Key(metadata["namespace"], name) if name else None


def concerned(kind: Kind, item: Json) -> set[Key]:
    """The models that have to be looked at when an object changes: its owner, and its namesake."""
    owner = owner_key(kind, item)
    keys = {owner} if owner else set()
    if kind.kind in _NAMED_LIKE_THE_MODEL:
        keys.add(Key(item["metadata"]["namespace"], item["metadata"]["name"]))
    return keys


def resource_version(item: Json) -> int:
    """An object's resource version as a number."""
    return int(item["metadata"]["resourceVersion"])


def _name(item: Json) -> _Name:
    return _Name(item["metadata"]["namespace"], item["metadata"]["name"])


def _slim(kind: Kind, item: Json) -> Json:
    """Leaves out what no decision needs: who wrote which field of a pod is half of its size."""
    if kind.kind != "Pod" or "managedFields" not in item["metadata"]:
        return item
    return {**item, "metadata": {k: v for k, v in item["metadata"].items() if k != "managedFields"}}
