"""The only API calls of the operator, behind a Protocol that tests replace. API errors become ours here.

Called by `reconcile` (one object at a time) and `controller` (listings). Decides nothing, keeps nothing but
the connection. Every call has a timeout; none is repeated here, the queue does that.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
from kubernetes.aio import client, config

from catfish_operator import errors
from catfish_operator.model import GROUP, VERSION, Json

FIELD_MANAGER = "catfish-operator"
MODEL_LABEL = "catfish.dev/model"
CHUNK = 500  # objects in one page of a listing; what client-go's reflectors ask for
CONNECT_SECONDS = 5.0

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object that the operator sees: where it lies in the API."""

    api_version: str
    kind: str
    plural: str

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
    Kind("v1", "Pod", "pods"),
)
KINDS = (MODEL, *CHILDREN)


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
        """Applies our fields of an object. With a UID: onto that object alone; without: never by force.

        Raises:
            Stale: the object is another one by now, or somebody else has made it first.
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
    """The real one, on `kubernetes.aio`."""

    def __init__(
        self, api: client.ApiClient, *, request_seconds: float, count: Callable[[str, int], None]
    ) -> None:
        self._api = api
        self._count = count
        self._timeout = aiohttp.ClientTimeout(total=request_seconds, sock_connect=CONNECT_SECONDS)

    async def served(self, kind: Kind) -> bool:
        """Says whether the API server knows the kind: asks discovery, which every account may read."""
        try:
            found = await self._call("GET", f"/apis/{kind.api_version}")
        except errors.NotServed:
            return False
        return any(resource["name"] == kind.plural for resource in found["resources"])

    async def list_all(self, kind: Kind, *, namespace: str) -> Listing:
        """Lists in chunks of one consistent snapshot; a snapshot that is compacted meanwhile is an error."""
        query = {"limit": str(CHUNK)}
        if kind is not MODEL:
            query["labelSelector"] = MODEL_LABEL
        items: list[Json] = []
        token = ""
        while True:
            page = await self._call(
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
            return await self._call("GET", kind.path(namespace, name))
        except errors.NotServed:
            return None

    async def apply(self, manifest: Json, *, uid: str | None) -> Json:
        """Server-side apply; force only onto an object that was seen and found ours."""
        kind, metadata = kind_of(manifest["apiVersion"], manifest["kind"]), manifest["metadata"]
        body = {**manifest, "metadata": {**metadata, "uid": uid}} if uid else manifest
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

    async def _write(self, *args: Any, **kwargs: Any) -> Json:  # noqa: ANN401 - those of `_call`
        """A call that changes something: if the object is not there any more, we decided on old news."""
        try:
            return await self._call(*args, **kwargs)
        except errors.NotServed as error:
            raise errors.Stale(str(error)) from error

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | list[Json] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        what = f"{method} {path}"
        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            request = await self._api.param_serialize(
                method, path, query_params=list((query or {}).items()), header_params=headers, body=body,
                auth_settings=["BearerToken"],
            )  # fmt: skip
            response = await self._api.call_api(*request, _request_timeout=self._timeout)
            text = (await response.read()).decode(errors="replace")  # type: ignore[no-untyped-call]  # its gap
        except TimeoutError as error:
            self._count(method, 0)
            raise errors.Unreachable(f"{what}: no answer in {self._timeout.total:g} s") from error
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, config.ConfigException) as error:
            self._count(method, 0)
            raise errors.Unreachable(f"{what}: {error or type(error).__name__}") from error
        self._count(method, response.status)
        answer = _parse(what, text, status=response.status)
        if 200 <= response.status < 300:
            return answer
        raise error_of(what, status=response.status, answer=answer)


def _parse(what: str, text: str, *, status: int) -> Json:
    try:
        answer = json.loads(text)
    except ValueError as error:
        if status < 300:
            raise errors.Unreachable(f"{what}: the answer is not JSON") from error
        answer = text[:300]
    return answer if isinstance(answer, dict) else {"message": text[:300]}


def error_of(what: str, *, status: int, answer: Json) -> errors.CatfishError:
    """The error of ours for an answer of the API server: it says who must act."""
    message = " ".join(str(answer.get("message") or answer.get("reason") or "").split())[:500]
    text = f"{what}: {status} {message}"
    causes = [cause.get("reason") for cause in (answer.get("details") or {}).get("causes") or []]
    if status == 404:
        return errors.NotServed(text)
    if status == 410 or "NamespaceTerminating" in causes:
        return errors.Unreachable(text)  # a listing that outlived its snapshot; a namespace on its way out
    if status == 401 or (status == 403 and "is forbidden: User " in message and " cannot " in message):
        return errors.NotAllowed(text)
    if status == 409 or (status == 422 and ("testing value" in message or "error in our request" in message)):
        return errors.Stale(text)
    if status in {400, 403, 413, 415, 422}:
        reason = "QuotaExceeded" if "exceeded quota" in message else "AdmissionDenied"
        return errors.Refused(reason=reason, message=message)
    return errors.Unreachable(text)


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


@asynccontextmanager
async def connect(
    environ: Mapping[str, str], *, request_seconds: float, connections: int, count: Callable[[str, int], None]
) -> AsyncIterator[KubernetesCluster]:
    """Opens the API of the cluster we run in or, outside, of the kubeconfig. Nothing is sent yet."""
    configuration = client.Configuration()
    configuration.connection_pool_maxsize = connections
    configuration.retries = None  # the queue retries, with a back-off that is ours
    if in_cluster(environ):
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # its gap
    else:
        await config.load_kube_config(  # type: ignore[no-untyped-call]  # its gap
            client_configuration=configuration, persist_config=False
        )
    async with client.ApiClient(configuration) as api:
        api.user_agent = FIELD_MANAGER
        yield KubernetesCluster(api, request_seconds=request_seconds, count=count)


def in_cluster(environ: Mapping[str, str]) -> bool:
    """Says whether this process runs in a pod; a KUBECONFIG outranks that."""
    return bool(environ.get("KUBERNETES_SERVICE_HOST")) and not environ.get("KUBECONFIG")


def in_cluster_server(environ: Mapping[str, str]) -> str:
    """The API server's address as the kubelet gave it to this pod."""
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
