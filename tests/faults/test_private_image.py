"""An image that only those may pull who have the credentials."""

import uuid

import pytest

from demo import model
from demo.kube import wait_for
from tests.faults import store
from tests.faults.kinds import REGISTRY

pytestmark = pytest.mark.e2e


def test_an_image_of_a_private_registry_is_pulled_with_the_secret_that_the_spec_names(
    broken_world, namespace
):
    kube, image = broken_world, f"{REGISTRY}/private/catfish:{uuid.uuid4().hex[:8]}"
    inside = ("--namespace", namespace)
    login = (f"--docker-server={REGISTRY}", f"--docker-username={store.USER}")
    kube.run(
        *("create", "secret", "docker-registry", "regcred", f"--docker-password={store.PASSWORD}"),
        *(*login, *inside),
    )
    kube.apply(model.manifest("catfish", namespace, image=image))

    def refused():
        stalled = model.condition(kube.get("cfm", "catfish", namespace), "Stalled")
        return stalled if stalled.get("status") == "True" else None

    told = wait_for("the failure to be told", refused, seconds=60)
    assert told["reason"] == "ImagePullFailed"
    assert store.PASSWORD not in str(told)
    assert pulled(kube, namespace, image) == []
    kube.patch("catfish", {"imagePullSecrets": [{"name": "regcred"}]}, namespace)
    wait_for("the image to be pulled", lambda: pulled(kube, namespace, image) or None, seconds=60)


def pulled(kube, namespace, image):
    """What the kubelet tells of this image where it has it."""
    return [
        item["message"]
        for item in kube.list("events", namespace)
        if item["reason"] == "Pulled" and image in item["message"]
    ]
