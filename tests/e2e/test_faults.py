"""Pods killed, the API server away, models deleted: things heal by themselves, and nothing is left."""

import time

import pytest

from demo import model
from demo.kube import wait_for
from tests.bystander import REPLICAS, Bystander
from tests.e2e.namespaced import NOT_THE_OPERATOR

pytestmark = pytest.mark.e2e
AWAY_SECONDS = 60.0


def ready(pod):
    """Whether the pod gets requests, and will."""
    conditions = pod["status"].get("conditions", [])
    told = any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)
    return told and "deletionTimestamp" not in pod["metadata"]


def test_a_killed_pod_is_replaced(kube, namespace, applied):
    applied(replicas=2)
    victim = model.pods(kube, "catfish", namespace)[0]["metadata"]
    kube.run("delete", "pod", victim["name"], "--namespace", namespace, "--grace-period=0", "--force")

    def replaced() -> bool:
        pods = [pod for pod in model.pods(kube, "catfish", namespace) if ready(pod)]
        return len(pods) == 2 and victim["uid"] not in {pod["metadata"]["uid"] for pod in pods}

    wait_for("another pod in the place of the killed one", replaced, seconds=120)
    assert model.settled(kube, "catfish", namespace)["status"]["readyReplicas"] == 2


def test_a_server_killed_in_its_pod_starts_again(kube, namespace, applied):
    applied()
    (pod,) = model.pods(kube, "catfish", namespace)
    name = pod["metadata"]["name"]
    kube.run("exec", name, "--namespace", namespace, "--", "sh", "-c", "kill -QUIT 1; kill -ABRT 1; kill 1")

    def again() -> bool:
        found = kube.get("pod", name, namespace)
        (container,) = found["status"]["containerStatuses"]
        return container["restartCount"] >= 1 and container["ready"] and ready(found)

    wait_for("the container to be Ready again", again, seconds=120)
    assert model.settled(kube, "catfish", namespace)["status"]["readyReplicas"] == 1


def test_a_deleted_child_is_made_again(kube, namespace, applied):
    applied(replicas=2)
    before = {kind: kube.get(kind, "catfish", namespace)["metadata"]["uid"] for kind in ("service", "pdb")}
    for kind in before:
        kube.run("delete", kind, "catfish", "--namespace", namespace)

    def made_again() -> bool:
        found = [kube.get(kind, "catfish", namespace) for kind in before]
        return all(one is not None and one["metadata"]["uid"] not in before.values() for one in found)

    wait_for("both children to be there again", made_again, seconds=30)
    model.settled(kube, "catfish", namespace)


def test_a_deleted_model_leaves_nothing(kube, namespace, applied):
    applied(replicas=2)
    assert len(model.leftovers(kube, "catfish", namespace)) >= 6
    kube.run("delete", "cfm", "catfish", "--namespace", namespace)
    wait_for("nothing to be left", lambda: not model.leftovers(kube, "catfish", namespace), seconds=90)
    kinds = (
        "deployments,replicasets,pods,services,endpointslices,poddisruptionbudgets,controllerrevisions,jobs"
    )
    assert [thing["metadata"]["name"] for thing in kube.list(kinds, namespace, NOT_THE_OPERATOR)] == []


@pytest.mark.confined(reason="tests/faults takes the API server away, with a model beside that is asked")
def test_serving_does_not_need_the_api_server_and_the_operator_heals_when_it_is_back(
    kube, namespace, applied
):
    """Served while it is away, healed when it is back."""
    from localcluster import cluster

    applied(replicas=REPLICAS)
    here = cluster.current()
    assert here is not None
    with Bystander(kube, namespace) as beside:
        here.plane.stop_apiserver()
        try:
            time.sleep(AWAY_SECONDS)
            beside.look()
        finally:
            here.plane.start_apiserver()
        beside.scale_down()
    beside.assert_unharmed(seconds=AWAY_SECONDS)
