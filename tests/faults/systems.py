"""The two that a bad update is tried on: a CatfishModel, and a plain Deployment of the same containers."""

from collections.abc import Mapping
from typing import Any, Protocol

from catfish_operator.model import CatfishModel, Rollout
from catfish_operator.resources import deployment
from demo import model
from demo.kube import Json, Kube, wait_for
from tests.e2e.namespaced import NOT_THE_OPERATOR
from tests.faults import kinds, sight, world
from tests.integration.operator_process import DEPLOYMENTS, MODELS, PODS, Api

NAME = "catfish"
SERVICES = "/api/v1/namespaces/{}/services"
QUOTA = "/api/v1/namespaces/{}/resourcequotas/full"
SHORT: Json = {
    "minReadySeconds": kinds.MIN_READY,
    "progressDeadlineSeconds": kinds.DEADLINE,
    "canary": {"seconds": kinds.CANARY},
    "bakeSeconds": kinds.BAKE,
}
"""The times of `kinds`."""

PROVEN_SECONDS = 300.0
START_SECONDS = 120.0
"""That pods may take to start on a machine that is busy with others."""

PLAIN_SECONDS, PLAIN_SECONDS_BY_DEFAULT = 90.0, 120.0
"""How long it is looked at what becomes of a plain Deployment, which does nothing by itself."""


class System(Protocol):
    """What is tried."""

    name: str
    namespace: str
    replicas: int

    def open(self) -> str:
        """Makes v1 and waits until it is whole; returns its address."""

    def change(self, kind: kinds.Kind) -> None:
        """Asks for the bad v2."""

    def give_up_seconds(self, kind: kinds.Kind, /) -> float:
        """How long it is waited for anybody to notice."""

    def failure(self) -> tuple[str, str] | None:
        """Reason and sentence of a failure that its status tells of."""

    def says(self) -> str:
        """The one word that its status has for how it is."""

    def body(self) -> Json:
        """The object that was changed, and its status."""

    def restore(self) -> None:
        """Asks for v1 again and waits until that is whole."""


def manifest(namespace: str, replicas: int, *, times: Json, **spec: object) -> Json:
    """v1 of what is tried, with these times of a rollout."""
    body = model.manifest(NAME, namespace, replicas=replicas, rollout=times, **spec)
    body["spec"]["weights"]["credentialsSecretRef"] = {"name": "keys"}
    return body


def merged(value: Mapping[str, Any], change: Mapping[str, Any]) -> Json:
    """The value with a merge patch applied (RFC 7386), but for null."""
    result = dict(value)
    for key, new in change.items():
        both = isinstance(new, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], new) if both else new
    return result


class Catfish:
    """A CatfishModel."""

    name = "catfish"

    def __init__(
        self, kube: Kube, api: Api, namespace: str, replicas: int, *, times: Json = SHORT, **spec: object
    ) -> None:
        self._kube, self._api = kube, api
        self.namespace, self.replicas = namespace, replicas
        self._manifest = manifest(namespace, replicas, times=times, **spec)
        self._path = f"{MODELS.format(namespace)}/{NAME}"
        self._generation = 0

    def open(self) -> str:
        """See `System`."""
        world.namespace(self._kube, self.namespace)
        self._kube.apply(self._manifest)
        self._whole()
        return model.url(self._kube, NAME, self.namespace)

    def change(self, kind: kinds.Kind) -> None:
        """See `System`."""
        if kind.quota:
            fill(self._kube, self._api, self.namespace, self.replicas)
        changed = self._api.merge(self._path, {"spec": kind.spec})
        self._generation = changed["metadata"]["generation"]

    def give_up_seconds(self, kind: kinds.Kind) -> float:
        """See `System`."""
        watched = {
            "none": 0.0,
            "after ready": 30.0 + kinds.CANARY,
            "strikes": 30.0,
            "deadline": kinds.DEADLINE / 2,
        }
        return START_SECONDS + watched[kind.patience] + kinds.BACK_SECONDS[kind.patience]

    def failure(self) -> tuple[str, str] | None:
        """See `System`."""
        return sight.failure(self.body(), generation=self._generation)

    def says(self) -> str:
        """See `System`."""
        return str(model.condition(self.body(), "UpToDate").get("reason"))

    def restore(self) -> None:
        """See `System`."""
        self._api.delete(QUOTA.format(self.namespace))
        replace(self._api, self._path, "/spec", self._manifest["spec"])
        self._whole()

    def body(self) -> Json:
        """The model."""
        return dict(self._api.ok("GET", self._path))

    def _whole(self) -> None:
        wait_for(f"model {self.namespace} to be proven", self._proven, seconds=PROVEN_SECONDS)

    def _proven(self) -> bool:
        body = self.body()
        status = body.get("status") or {}
        current = status.get("observedGeneration") == body["metadata"]["generation"]
        wanted = {"Ready": "True", "UpToDate": "True", "Reconciling": "False"}
        told = {kind: model.condition(body, kind).get("status") for kind in wanted}
        return bool(current and told == wanted and status.get("availableReplicas") == self.replicas)


class Plain:
    """A Deployment as a careful person writes it: readiness probe, maxUnavailable 0, all else by default.

    Its pod template is the one that the operator renders, which is kind to it.
    """

    name = "plain"

    def __init__(self, kube: Kube, api: Api, namespace: str, replicas: int, *, times: Json = SHORT) -> None:
        self._kube, self._api = kube, api
        self.namespace, self.replicas = namespace, replicas
        self._times = times
        self._path = f"{DEPLOYMENTS.format(namespace)}/{NAME}"

    def open(self) -> str:
        """See `System`."""
        world.namespace(self._kube, self.namespace)
        labels = {"app": NAME}
        metadata = {"name": NAME, "namespace": self.namespace}
        spec = {
            "replicas": self.replicas,
            "selector": {"matchLabels": labels},
            "minReadySeconds": self._times.get("minReadySeconds", Rollout().min_ready_seconds),
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": self._template({}),
        }
        ports = [{"name": "http", "port": 80, "targetPort": "http"}]
        service = {"type": "LoadBalancer", "selector": labels, "ports": ports}
        self._kube.apply(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
            {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        )
        self._whole()
        return f"http://{wait_for('an address', self._address, seconds=60)}"

    def change(self, kind: kinds.Kind) -> None:
        """See `System`."""
        if kind.quota:
            fill(self._kube, self._api, self.namespace, self.replicas)
        replace(self._api, self._path, "/spec/template", self._template(kind.plain or kind.spec))

    def give_up_seconds(self, _kind: kinds.Kind) -> float:
        """See `System`."""
        return PLAIN_SECONDS if self._times else PLAIN_SECONDS_BY_DEFAULT

    def failure(self) -> tuple[str, str] | None:
        """See `System`: what would make `kubectl rollout status` fail."""
        progressing = self._condition("Progressing")
        if progressing.get("status") == "False":
            return str(progressing["reason"]), str(progressing.get("message"))
        return None

    def says(self) -> str:
        """See `System`."""
        return str(self._condition("Progressing").get("reason"))

    def restore(self) -> None:
        """See `System`."""
        self._api.delete(QUOTA.format(self.namespace))
        replace(self._api, self._path, "/spec/template", self._template({}))
        self._whole()

    def _template(self, change: Mapping[str, Any]) -> Json:
        body = manifest(self.namespace, self.replicas, times=self._times)
        body["metadata"]["uid"] = "none"
        body["spec"] = merged(body["spec"], change)
        rendered = deployment.template(CatfishModel.from_body(body), revision="plain")
        return rendered | {"metadata": {"labels": {"app": NAME}}}

    def body(self) -> Json:
        """The Deployment."""
        return dict(self._api.ok("GET", self._path))

    def _condition(self, kind: str) -> Json:
        conditions = (self.body().get("status") or {}).get("conditions") or []
        return next((dict(found) for found in conditions if found["type"] == kind), {})

    def _address(self) -> str | None:
        service = self._api.ok("GET", f"{SERVICES.format(self.namespace)}/{NAME}")
        ingress = (service.get("status") or {}).get("loadBalancer", {}).get("ingress")
        return str(ingress[0]["ip"]) if ingress else None

    def _whole(self) -> None:
        def look() -> bool:
            body = self.body()
            status = body.get("status") or {}
            numbers = [status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")]
            return (
                status.get("observedGeneration") == body["metadata"]["generation"]
                and numbers == [self.replicas] * 3
            )

        wait_for(f"the plain Deployment {self.namespace} to be whole", look, seconds=PROVEN_SECONDS)


def pods(api: Api, namespace: str) -> list[Json]:
    """All pods of the namespace; an operator that lives there too is none of them."""
    return list(api.items(PODS.format(namespace), NOT_THE_OPERATOR))


def fill(kube: Kube, api: Api, namespace: str, replicas: int) -> None:
    """Leaves no room in the namespace for one more pod; returns when that is enforced as what it is."""
    others = len(api.items(PODS.format(namespace))) - len(pods(api, namespace))
    kube.apply(world.quota(namespace, replicas + others))

    def counted() -> bool:
        used = (api.ok("GET", QUOTA.format(namespace)).get("status") or {}).get("used") or {}
        return used.get("pods") == str(replicas + others)

    wait_for("the quota to be counted", counted, seconds=30)


def replace(api: Api, path: str, pointer: str, value: object) -> None:
    """Replaces a part of an object as a whole: a merge patch would leave fields behind."""
    patch = [{"op": "replace", "path": pointer, "value": value}]
    api.ok("PATCH", path, patch, content_type="application/json-patch+json")
