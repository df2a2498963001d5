"""What others do to a model's Deployment is undone, to the same template hash, before it costs a pod."""

import time

import pytest

from demo import model
from demo.kube import wait_for
from tests.cluster_fixtures import QUICK, a_namespace
from tests.faults.sight import HASH

pytestmark = pytest.mark.e2e
UNDONE_SECONDS = 5.0


def running(kube, namespace):
    """Name and template hash of the pods that are to stay."""
    return {
        pod["metadata"]["name"]: pod["metadata"]["labels"][HASH]
        for pod in model.pods(kube, "catfish", namespace)
        if "deletionTimestamp" not in pod["metadata"]
    }


@pytest.fixture(scope="module")
def namespace(kube, installation):
    """One with a proven model of two replicas, which no test here may change for good."""
    with a_namespace(kube, installation, "faults-drift") as name:
        kube.apply(model.manifest("catfish", name, replicas=2, rollout=QUICK))
        model.proven(kube, "catfish", name)
        yield name


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("rollout", "restart", "deployment/catfish"), id="kubectl rollout restart"),
        pytest.param(("set", "env", "deployment/catfish", "CATFISH_CLASSES=dog"), id="kubectl set env"),
    ],
)
def test_a_change_of_the_template_is_undone_within_five_seconds_and_no_pod_is_replaced(
    kube, namespace, command
):
    before = kube.get("deployment", "catfish", namespace)
    pods = running(kube, namespace)
    assert len(pods) == 2
    began = time.monotonic()
    kube.run(*command, "--namespace", namespace)

    def undone():
        now = kube.get("deployment", "catfish", namespace)
        changed = now["metadata"]["generation"] > before["metadata"]["generation"]
        return changed and now["spec"]["template"] == before["spec"]["template"]

    wait_for("the template to be as it was", undone, seconds=30, every=0.1)
    assert time.monotonic() - began <= UNDONE_SECONDS
    wait_for("the pods to be the same", lambda: running(kube, namespace) == pods, seconds=60)
    model.proven(kube, "catfish", namespace)
    assert running(kube, namespace) == pods
