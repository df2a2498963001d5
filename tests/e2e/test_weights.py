"""Weights from real stores over HTTP and S3, and all that can be wrong with them."""

import base64
import re

import pytest

from demo import model, pictures, tools, weights
from demo.kube import wait_for
from tests.asking import answering

pytestmark = pytest.mark.e2e
S3 = {"url": "s3://models/catfish-v1.pt", "endpoint": f"{weights.CLUSTER_STORE}:9000"}
KEYS = {
    "AWS_ACCESS_KEY_ID": "catfish",
    "AWS_SECRET_ACCESS_KEY": "catfish-local-only",
    "AWS_REGION": "us-east-1",
}
FAILURE_SECONDS = 150.0  # a pod's start on a busy machine, and time for the kubelet to tell of its end


def secret(kube, namespace, **changed):
    data = {key: base64.b64encode(value.encode()).decode() for key, value in (KEYS | changed).items()}
    metadata = {"name": "s3", "namespace": namespace}
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})


def stalled(kube, namespace, reason):
    """The model once it is Stalled for this reason; never Ready on the way there."""

    def look():
        found = kube.get("cfm", "catfish", namespace)
        assert model.condition(found, "Ready").get("status") != "True"
        condition = model.condition(found, "Stalled")
        return found if (condition.get("status"), condition.get("reason")) == ("True", reason) else None

    return wait_for(f"Stalled with {reason}", look, seconds=FAILURE_SECONDS)


def assert_serves(kube, namespace):
    address = answering(model.url(kube, "catfish", namespace))
    photograph = (pictures.collect(tools.cache()) / pictures.PHOTOGRAPH).read_bytes()
    assert model.ask(address, photograph).body["prediction"] == "cat"


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


def wrong_shapes() -> bytes:
    """Weights of a model with three classes: the keys are right, the shapes of the head are not."""
    import io

    import torch
    from torchvision.models import resnet18

    stored = io.BytesIO()
    torch.save(resnet18(num_classes=3).state_dict(), stored)
    return stored.getvalue()


def wrong_keys() -> bytes:
    import io

    import torch

    stored = io.BytesIO()
    torch.save({"layer.weight": torch.zeros(2, 2), "layer.bias": torch.zeros(2)}, stored)
    return stored.getvalue()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"url": f"{weights.CLUSTER_STORE}/models/no-such.pt"}, "WeightsNotFound", id="404"),
        pytest.param({"sha256": "0" * 64}, "ChecksumMismatch", id="another digest"),
        pytest.param(("three.pt", wrong_shapes), "ArchitectureMismatch", id="other shapes"),
        pytest.param(("keys.pt", wrong_keys), "ArchitectureMismatch", id="other keys"),
        pytest.param(
            ("page.pt", lambda: b"<!doctype html><html><body>Sign in</body></html>"),
            "UnsupportedFormat",
            id="a page",
        ),
    ],
)
def test_bad_weights_never_serve_and_say_why_and_a_right_spec_heals(kube, namespace, change, reason):
    good = {"url": f"{weights.CLUSTER_STORE}/models/catfish-v1.pt"}
    if isinstance(change, tuple):
        name, make = change
        change = {"url": weights.put(f"models/{name}", make())}
    kube.apply(model.manifest("catfish", namespace, weights=good | change))
    status = stalled(kube, namespace, reason)["status"]
    assert "spec.weights" in status["message"] or "spec.model" in status["message"]
    assert "\n" not in status["message"]
    assert not re.search(r"Traceback|File \"", status["message"])
    kube.apply(model.manifest("catfish", namespace, weights=good))
    settled = model.settled(kube, "catfish", namespace)
    assert model.condition(settled, "Stalled")["status"] == "False"
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
