"""The demo's models: their manifests, what becomes of them, and how they are asked."""

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from demo import pictures, tools
from demo.kube import Json, Kube, typed, wait_for
from demo.load import Sample
from demo.report import DemoFailure
from demo.weights import CLUSTER_STORE

NAME = "catfish"
ROLLOUT_SECONDS = 300.0
CHILDREN = (
    "deployments,replicasets,pods,services,endpoints,endpointslices,poddisruptionbudgets,controllerrevisions,"
    "configmaps,secrets,persistentvolumeclaims,jobs,horizontalpodautoscalers"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model's server replied."""

    status: int
    headers: dict[str, str]
    body: Json


def manifest(name: str, namespace: str = "default", **spec: object) -> Json:
    """A model of the demo's kind; keyword arguments replace fields of its spec."""
    fields: Json = {
        "image": "catfish-server:v1",
        "weights": {"url": f"{CLUSTER_STORE}/models/catfish-v1.pt"},
        "model": {"architecture": "resnet18", "classes": list(pictures.CLASSES), "imageSize": 96},
        "replicas": 1,
        "drainSeconds": 2,
        "rollout": {"minReadySeconds": 1},
    }
    metadata = {"name": name, "namespace": namespace}
    return {
        "apiVersion": "catfish.dev/v1alpha1",
        "kind": "CatfishModel",
        "metadata": metadata,
        "spec": fields | spec,
    }


def condition(model: Json, kind: str) -> Json:
    """The condition of this type; empty if there is none."""
    conditions = model.get("status", {}).get("conditions", [])
    return next((dict(found) for found in conditions if found["type"] == kind), {})


def settled(kube: Kube, name: str, namespace: str = "default", *, seconds: float = ROLLOUT_SECONDS) -> Json:
    """The model, once every pod runs what its spec asks for and answers, as its own status says.

    Raises:
        DemoFailure: not within this time; the message is the model's own.
    """

    def look() -> Json | None:
        found = current(kube, name, namespace)
        if found is None:
            return None
        status = found["status"]
        wanted = found["spec"].get("replicas", status.get("replicas"))
        whole = (
            status.get("replicas")
            == status.get("availableReplicas")
            == status.get("updatedReplicas")
            == wanted
        )
        both = all(condition(found, kind).get("status") == "True" for kind in ("Ready", "UpToDate"))
        return found if both and whole else None

    return _waited(kube, name, namespace, "to be Ready and UpToDate", look, seconds=seconds)


def proven(kube: Kube, name: str, namespace: str = "default", *, seconds: float = ROLLOUT_SECONDS) -> Json:
    """The model, once the revision that its spec asks for is what a bad update is rolled back to.

    Raises:
        DemoFailure: not within this time; the message is the model's own.
    """

    def look() -> Json | None:
        found = current(kube, name, namespace)
        wanted = {"Ready": "True", "UpToDate": "True", "Reconciling": "False"}
        told = {kind: condition(found, kind).get("status") for kind in wanted} if found else {}
        return found if told == wanted else None

    return _waited(kube, name, namespace, "to be proven", look, seconds=seconds)


def rolled_back(
    kube: Kube, name: str, reason: str, namespace: str = "default", *, seconds: float = ROLLOUT_SECONDS
) -> Json:
    """The model, once its last proven revision alone serves because the one asked for failed for this reason.

    Raises:
        DemoFailure: not within this time; the message is the model's own.
    """

    def look() -> Json | None:
        found = current(kube, name, namespace)
        if found is None or condition(found, "UpToDate").get("reason") != "RolledBack":
            return None
        stalled = condition(found, "Stalled")
        serving = {each["name"] for each in found["status"].get("servingRevisions", [])}
        alone = serving == {found["status"].get("stableRevision")}
        return found if (stalled.get("status"), stalled.get("reason")) == ("True", reason) and alone else None

    return _waited(kube, name, namespace, f"to be rolled back ({reason})", look, seconds=seconds)


def current(kube: Kube, name: str, namespace: str = "default") -> Json | None:
    """The model, if its status speaks of its present spec."""
    found = kube.get("cfm", name, namespace)
    if found is None or found.get("status", {}).get("observedGeneration") != found["metadata"]["generation"]:
        return None
    return found


def _waited(
    kube: Kube, name: str, namespace: str, what: str, look: Callable[[], Json | None], *, seconds: float
) -> Json:
    try:
        return wait_for(f"model {name} {what}", look, seconds=seconds)
    except DemoFailure as error:
        found = kube.get("cfm", name, namespace) or {}
        said = found.get("status", {}).get("message", "nothing yet")
        look_at = typed(f"--namespace {namespace} describe cfm/{name}")
        raise DemoFailure(f"{error} Its status says: {said}", look=look_at) from error


def url(kube: Kube, name: str, namespace: str = "default") -> str:
    """The address of the model's Service, from its status."""
    found = wait_for(
        f"an address of model {name}",
        lambda: _status(kube, name, namespace).get("url"),
        seconds=60,
    )
    return str(found)


def _status(kube: Kube, name: str, namespace: str) -> Json:
    return dict((kube.get("cfm", name, namespace) or {}).get("status", {}))


def pods(kube: Kube, name: str = NAME, namespace: str = "default") -> list[Json]:
    """The model's pods."""
    labels = f"app.kubernetes.io/name=catfish-model,app.kubernetes.io/instance={name}"
    return [*kube.list("pods", namespace, labels)]


def leftovers(kube: Kube, name: str, namespace: str = "default") -> list[str]:
    """All objects that still carry the model's label, as kind/name."""
    found = kube.list(
        CHILDREN, namespace, f"app.kubernetes.io/name=catfish-model,app.kubernetes.io/instance={name}"
    )
    found = [*found, *kube.list("endpoints,endpointslices", namespace, f"catfish.dev/model={name}")]
    return sorted({f"{thing['kind'].lower()}/{thing['metadata']['name']}" for thing in found})


def ask(
    base: str,
    body: bytes | None = None,
    *,
    content_type: str = "image/png",
    image_url: str = "",
    path: str = "/predict",
) -> Answer:
    """One request, without a second try.

    Args:
        base: the address of the model.
        body: sent by POST; None: GET.
        content_type: of the body.
        image_url: the picture's address, sent as the query.
        path: of the request.
    """
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=30)
    target = f"{path}?image_url={quote(image_url, safe='')}" if image_url else path
    try:
        headers = {"Content-Type": content_type} if body is not None else {}
        connection.request("GET" if body is None else "POST", target, body=body, headers=headers)
        reply = connection.getresponse()
        return Answer(
            status=reply.status, headers=dict(reply.headers), body=json.loads(reply.read() or b"{}")
        )
    finally:
        connection.close()


def samples() -> tuple[Sample, ...]:
    """What the client sends that asks all the time: the photograph and held-out fish, for both answers."""
    folder = pictures.collect(tools.cache())

    def sample(file: str, expected: str) -> Sample:
        return Sample(body=(folder / file).read_bytes(), content_type="image/png", expected=expected)

    return (
        sample(pictures.PHOTOGRAPH, "cat"),
        sample("clownfish.png", "fish"),
        sample("stripedfish.png", "fish"),
    )
