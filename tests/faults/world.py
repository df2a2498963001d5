"""What the bad updates need of the cluster: the faulty image and store, spoiled weights, golden images."""

import base64
import hashlib
from pathlib import Path

from demo import pictures, spoiled, tools, weights
from demo.kube import Json, Kube, wait_for
from demo.report import Report
from tests.faults import images, kinds

SECRET = "do-not-show-this-to-anybody"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
SPOILED = {
    "swapped.pt": spoiled.swapped_labels,
    "not-finite.pt": spoiled.not_finite,
    "other-keys.pt": spoiled.other_keys,
    "code.pt": spoiled.code,
    "truncated.pt": spoiled.truncated,
}


def provide(kube: Kube, report: Report) -> None:
    """Makes all of it, where it is not there yet."""
    with report.step("faulty image, store and weights"):
        tools.localcluster("load-image", images.build(report.detail), name="load-faulty").wait(report)
        good = weights.get("models/catfish-v2.pt")
        for name, spoil in SPOILED.items():
            weights.put(f"models/{name}", spoil(good))
        kube.apply(*_faulty_store())
        wait_for("the faulty store", lambda: _available(kube), seconds=90)


def namespace(kube: Kube, name: str) -> None:
    """A namespace for restricted pods, with the golden images and a secret that nobody may show."""
    metadata = {"namespace": name}
    keys = {"AWS_SECRET_ACCESS_KEY": base64.b64encode(SECRET.encode()).decode()}
    kube.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata | {"name": "keys"}, "data": keys},
    )
    kube.apply(golden_images(name), large=True)


def golden_images(namespace: str) -> Json:
    """The ConfigMap of golden images: pictures of the demo that its client sends too."""
    folder = pictures.collect(tools.cache())
    names = [sample["key"] for sample in kinds.SAMPLES]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": kinds.GOLDEN, "namespace": namespace},
        "binaryData": {name: base64.b64encode((folder / name).read_bytes()).decode() for name in names},
    }


def quota(namespace: str, pods: int) -> Json:
    """A quota that leaves no room beyond these pods."""
    metadata = {"name": "full", "namespace": namespace}
    spec = {"hard": {"pods": str(pods)}}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec}


def _available(kube: Kube) -> bool:
    found = kube.get("deployment", "faulty-store", kinds.NAMESPACE) or {}
    status = found.get("status", {})
    current = status.get("observedGeneration") == found.get("metadata", {}).get("generation")
    return bool(current and status.get("availableReplicas") == status.get("updatedReplicas") == 1)


def _faulty_store() -> list[Json]:
    """The store as a pod on the node's network, for containerd takes plain HTTP from localhost alone."""
    script = Path(__file__).with_name("store.py").read_text()
    labels = {"app": "faulty-store"}
    metadata = {"name": "faulty-store", "namespace": kinds.NAMESPACE, "labels": labels}
    container = {
        "name": "store",
        "image": images.BASE,
        "imagePullPolicy": "IfNotPresent",
        "command": [weights.PYTHON, "/script/store.py", str(kinds.PORT), weights.CLUSTER_STORE],
        "volumeMounts": [{"name": "script", "mountPath": "/script"}],
        "readinessProbe": {"httpGet": {"path": "/", "port": kinds.PORT}, "periodSeconds": 1},
    }
    pod = {
        "hostNetwork": True,
        "dnsPolicy": "ClusterFirstWithHostNet",
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": "script", "configMap": {"name": "faulty-store"}}],
    }
    told = {"script": hashlib.sha256(script.encode()).hexdigest()}  # another one is another pod
    template = {"metadata": {"labels": labels, "annotations": told}, "spec": pod}
    spec = {"selector": {"matchLabels": labels}, "strategy": {"type": "Recreate"}, "template": template}
    ports = [{"port": 80, "targetPort": kinds.PORT}]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kinds.NAMESPACE}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"store.py": script}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": ports},
        },
    ]
