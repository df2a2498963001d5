"""The only API calls of the operator, behind a Protocol that tests replace. API errors become ours here.

Called by `reconcile` (one object at a time) and `controller` (listings). Decides nothing, keeps nothing but
the connection. Every call has a timeout; none is repeated here, the queue does that.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from catfish_operator import errors
from catfish_operator.connection import Connection
from catfish_operator.model import GROUP, VERSION, Json

FIELD_MANAGER = "catfish-operator"
MODEL_LABEL = "catfish.dev/model"
CHUNK = 500  # objects in one page of a listing; what client-go's reflectors ask for

NONE_YET = "1"
"""A resource version that no object has: etcd counts its first write as 2. An apply that names it makes a new object,
or is refused with 409 if there is any of that name; one that names none would add our fields to somebody else's object.
See `Store.Update` of k8s.io/apiserver, pkg/registry/generic/registry/store.go: only what exists is compared with it."""

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object that the operator sees: where it lies in the API.

    Attributes:
        optional: the cluster may not know it; then there are simply none.
    """

    api_version: str
    kind: str
    plural: str
    optional: bool = False

    def path(self, namespace: str, name: str = "") -> str:
        """The address of one object, of a namespace's objects, or (empty namespace) of all."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        inside = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{inside}/{self.plural}" + (f"/{name}" if name else "")


MODEL = Kind(f"{GROUP}/{VERSION}", "CatfishModel", "catfishmodels")
CHILDREN = (
    Kind("apps/v1", "ControllerRevision", "controllerrevisions"),
    Kind("apps/v1", "Deployment", "deployments"),
    Kind("v1", "Service", "services"),
    Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    Kind("monitoring.coreos.com/v1", "ServiceMonitor", "servicemonitors", optional=True),
    Kind("v1", "Pod", "pods"),
)
KINDS = (MODEL, *CHILDREN)

LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
EVENT = Kind("events.k8s.io/v1", "Event", "events")
"""What the operator writes for itself; neither is watched."""


def kind_of(api_version: str, kind: str) -> Kind:
    """The entry of `KINDS` for an object's own words."""
    return next(known for known in KINDS if (known.api_version, known.kind) == (api_version, kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All objects of a kind as of one moment."""

    items: list[Json]
    resource_version: int


class Cluster(Protocol):
    """The API as the engine uses it. All raise `Unreachable`, `NotAllowed` and, if they write, `Refused`."""

    async def served(self, kind: Kind) -> bool:
        """Says whether the API server knows the kind."""

    async def list_all(self, kind: Kind, *, namespace: str) -> Listing:
        """Lists every model, or the children that carry our label, of a namespace (empty: of all).

        Raises:
            NotServed: the API server does not know the kind.
        """

    async def get(self, kind: Kind, *, namespace: str, name: str) -> Json | None:
        """Reads one object from the store itself, not from a cache; None if there is none."""

    async def apply(self, manifest: Json, *, uid: str | None) -> Json:
        """Applies our fields of an object. With a UID: onto that object alone; without: only if there is none.

        Raises:
            Stale: the object is another one by now, or there is one.
        """

    async def patch_json(self, kind: Kind, *, namespace: str, name: str, operations: list[Json]) -> Json:
        """Applies a JSON patch.

        Raises:
            Stale: one of the patch's tests failed, or the object is gone.
        """

    async def delete(
        self, kind: Kind, *, namespace: str, name: str, uid: str, resource_version: str | None
    ) -> None:
        """Deletes one object if it is still that one.

        Raises:
            Stale: it is another one by now, or it has changed since.
        """

    async def patch_status(self, body: Json, *, status: Json) -> Json:
        """Makes `status` the whole status of the model, if nobody has changed it since `body` was read.

        Raises:
            Stale: somebody has.
        """


class KubernetesCluster:
    """The real one. Nothing is written while `write_seconds` says that nothing may be."""

    def __init__(
        self, connection: Connection, *, write_seconds: Callable[[], float] = lambda: math.inf
    ) -> None:
        """Wraps a connection.

        Args:
            connection: every call goes over it.
            write_seconds: for how many seconds from now we may write; 0 or less: not at all.
        """
        self._connection = connection
        self._write_seconds = write_seconds

    async def served(self, kind: Kind) -> bool:
        """Says whether the API server knows the kind: asks discovery, which every account may read.

        Both of the places where kopf looks: a new group is served before the list of groups names it, and a kopf that
        starts in between would never watch it.
        """
        try:
            named = await self._connection.call("GET", "/apis")
            found = await self._connection.call("GET", f"/apis/{kind.api_version}")
        except errors.NotServed:
            return False
        versions = [version["groupVersion"] for group in named["groups"] for version in group["versions"]]
        return kind.api_version in versions and kind.plural in [item["name"] for item in found["resources"]]

    async def list_all(self, kind: Kind, *, namespace: str) -> Listing:
        """Lists in chunks of one consistent snapshot; a snapshot that is compacted meanwhile is an error."""
        query = {"limit": str(CHUNK)}
        if kind is not MODEL:
            query["labelSelector"] = MODEL_LABEL
        items: list[Json] = []
        token = ""
        while True:
            page = await self._connection.call(
                "GET", kind.path(namespace), query={**query, "continue": token} if token else query
            )
            items += page["items"]
            token = page["metadata"].get("continue", "")
            if not token:
                break
        for item in items:  # a listing leaves out what its own head says
            item.setdefault("apiVersion", kind.api_version)
            item.setdefault("kind", kind.kind)
        return Listing(items=items, resource_version=int(page["metadata"]["resourceVersion"]))

    async def get(self, kind: Kind, *, namespace: str, name: str) -> Json | None:
        """Reads one object with a quorum read (no resourceVersion given)."""
        try:
            return await self._connection.call("GET", kind.path(namespace, name))
        except errors.NotServed:
            return None

    async def apply(self, manifest: Json, *, uid: str | None) -> Json:
        """Server-side apply; force only onto an object that was seen and found ours."""
        kind, metadata = kind_of(manifest["apiVersion"], manifest["kind"]), manifest["metadata"]
        which = {"uid": uid} if uid else {"resourceVersion": NONE_YET}
        body = {**manifest, "metadata": {**metadata, **which}}
        query = {"fieldManager": FIELD_MANAGER, "force": "true" if uid else "false"}
        path = kind.path(metadata["namespace"], metadata["name"])
        return await self._write("PATCH", path, query=query, body=body, content_type=APPLY)

    async def patch_json(self, kind: Kind, *, namespace: str, name: str, operations: list[Json]) -> Json:
        """JSON patch; a failed test is 422 there, and Stale here."""
        query = {"fieldManager": FIELD_MANAGER}
        path = kind.path(namespace, name)
        return await self._write("PATCH", path, query=query, body=operations, content_type=JSON_PATCH)

    async def delete(
        self, kind: Kind, *, namespace: str, name: str, uid: str, resource_version: str | None
    ) -> None:
        """Deletes with preconditions; its dependents go with it in the background."""
        preconditions = {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {})
        body = {"propagationPolicy": "Background", "preconditions": preconditions}
        await self._write("DELETE", kind.path(namespace, name), body=body)

    async def patch_status(self, body: Json, *, status: Json) -> Json:
        """Merge patch of the status subresource; what is no longer wanted is set to null."""
        metadata = body["metadata"]
        change = merge_patch(body.get("status") or {}, status)
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": change}
        path = MODEL.path(metadata["namespace"], metadata["name"]) + "/status"
        query = {"fieldManager": FIELD_MANAGER}
        return await self._write("PATCH", path, query=query, body=patch, content_type=MERGE_PATCH)

    async def create_event(self, body: Json) -> None:
        """Makes an Event."""
        await self._write("POST", EVENT.path(body["metadata"]["namespace"]), body=body)

    async def count_event(self, namespace: str, name: str, *, series: Json) -> None:
        """Says of an Event that it happened again."""
        path = EVENT.path(namespace, name)
        await self._write("PATCH", path, body={"series": series}, content_type=MERGE_PATCH)

    async def _write(self, *args: Any, **kwargs: Any) -> Json:  # noqa: ANN401 - those of `Connection.call`
        """A call that changes something: if the object is not there any more, we decided on old news."""
        seconds = self._write_seconds()
        if seconds <= 0:
            raise errors.NotLeader("somebody else may be the leader by now: nothing is written")
        try:
            return await self._connection.call(*args, **kwargs, within=seconds)
        except errors.NotServed as error:
            raise errors.Stale(str(error)) from error


class LeaseStore:
    """The Lease that says which replica of the operator writes; see `controller.lease`."""

    def __init__(self, connection: Connection, *, namespace: str, name: str) -> None:
        self._connection = connection
        self._namespace = namespace
        self._name = name

    async def read(self, *, within: float) -> Json | None:
        """Reads it from the store itself; None if there is none."""
        try:
            return await self._connection.call("GET", LEASE.path(self._namespace, self._name), within=within)
        except errors.NotServed:
            return None

    async def write(self, spec: Json, *, version: str | None, within: float) -> Json:
        """Makes it, or replaces it if it still has the version that was read."""
        metadata = {"name": self._name, "namespace": self._namespace}
        body: Json = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "spec": spec, "metadata": metadata}
        if version is None:
            path = LEASE.path(self._namespace)
            return await self._connection.call("POST", path, body=body, within=within)
        metadata["resourceVersion"] = version
        path = LEASE.path(self._namespace, self._name)
        return await self._connection.call("PUT", path, body=body, within=within)


def merge_patch(live: Json, wanted: Json) -> Json:
    """The merge patch (RFC 7386) that turns `live` into `wanted`."""
    patch: Json = {name: None for name in live if name not in wanted}
    for name, value in wanted.items():
        old = live.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            if value != old:
                patch[name] = merge_patch(old, value)
        elif value != old:
            patch[name] = value
    return patch
