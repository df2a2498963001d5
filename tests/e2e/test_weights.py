"""Weights from a volume and a real S3 store, and what becomes of a model whose store refuses or has nothing."""

import base64
import os

import pytest

from demo import model, weights
from demo.kube import wait_for
from tests.asking import assert_serves

pytestmark = pytest.mark.e2e
S3 = {"url": "s3://models/catfish-v1.pt", "endpoint": f"{weights.CLUSTER_STORE}:9000"}
KEYS = {
    "AWS_ACCESS_KEY_ID": "catfish",
    "AWS_SECRET_ACCESS_KEY": "catfish-local-only",
    "AWS_REGION": "us-east-1",
}
USER = 10001
"""Of the image, as its Dockerfile says."""

FAILURE_SECONDS = 150.0  # a pod's start on a busy machine, and time for the kubelet to tell of its end


def secret(kube, namespace, **changed):
    data = {key: base64.b64encode(value.encode()).decode() for key, value in (KEYS | changed).items()}
    metadata = {"name": "s3", "namespace": namespace}
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})


@pytest.fixture
def claim(kube, namespace, tmp_path):
    """The name of a PersistentVolumeClaim of a folder of this machine, in which the image's user reads the weights."""
    file = tmp_path / "pets" / "cat.pt"
    file.parent.mkdir()
    file.write_bytes(weights.get("models/catfish-v1.pt"))
    file.chmod(0o400)
    os.chown(file, USER, USER)
    for folder in (tmp_path, file.parent):
        folder.chmod(0o755)
    room = {"storage": "1Gi"}
    shared = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-models"},
        "spec": shared
        | {"capacity": room, "persistentVolumeReclaimPolicy": "Retain"}
        | {"hostPath": {"path": str(tmp_path), "type": "Directory"}},
    }
    wanted = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models", "namespace": namespace},
        "spec": shared | {"volumeName": f"{namespace}-models", "resources": {"requests": room}},
    }
    kube.apply(volume, wanted)
    yield "models"
    kube.run("delete", "cfm,pvc", "--all", "--namespace", namespace, "--wait=false")
    kube.run("delete", "pv", f"{namespace}-models", "--wait=false")


def stalled(kube, namespace, reason):
    """The model once it is Stalled for this reason; never Ready on the way there."""

    def look():
        found = kube.get("cfm", "catfish", namespace)
        assert model.condition(found, "Ready").get("status") != "True"
        condition = model.condition(found, "Stalled")
        return found if (condition.get("status"), condition.get("reason")) == ("True", reason) else None

    return wait_for(f"Stalled with {reason}", look, seconds=FAILURE_SECONDS)


def test_weights_in_a_volume_that_the_images_user_alone_may_read_serve(kube, namespace, claim, applied):
    applied(weights={"url": f"pvc://{claim}/pets/cat.pt"})
    assert_serves(kube, namespace)
    (pod,) = model.pods(kube, "catfish", namespace)
    (mounted,) = [volume for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume]
    assert mounted["persistentVolumeClaim"] == {"claimName": claim, "readOnly": True}


def test_weights_from_s3_with_the_right_keys_serve(kube, namespace, applied):
    secret(kube, namespace)
    applied(weights=S3 | {"credentialsSecretRef": {"name": "s3"}, "sha256": weights.sha256("v1")})
    assert_serves(kube, namespace)


def test_weights_from_s3_with_wrong_keys_are_forbidden_and_the_right_ones_heal(kube, namespace):
    secret(kube, namespace, AWS_SECRET_ACCESS_KEY="quite-another-secret")
    spec = {"weights": S3 | {"credentialsSecretRef": {"name": "s3"}}}
    kube.apply(model.manifest("catfish", namespace, **spec))
    found = stalled(kube, namespace, "WeightsForbidden")
    assert "quite-another-secret" not in str(found["status"])
    secret(kube, namespace)  # the container reads it when it starts again
    kube.run("delete", "pods", "--all", "--namespace", namespace, "--wait=false")
    model.settled(kube, "catfish", namespace)
    assert_serves(kube, namespace)


def test_a_bad_update_leaves_the_good_pods_serving(kube, namespace, applied):
    applied()
    kube.patch("catfish", {"weights": {"url": f"{weights.CLUSTER_STORE}/models/no-such.pt"}}, namespace)

    def look():
        found = kube.get("cfm", "catfish", namespace)
        condition = model.condition(found, "Stalled")
        return found if condition.get("reason") == "WeightsNotFound" else None

    found = wait_for("Stalled with WeightsNotFound", look, seconds=FAILURE_SECONDS)
    assert model.condition(found, "Ready")["status"] == "True"
    assert model.condition(found, "UpToDate")["status"] == "False"
    assert_serves(kube, namespace)
