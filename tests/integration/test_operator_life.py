"""The operator on a real API server: what is left, what belongs to others, what is said of trouble."""

import json

import pytest

from tests.integration.house import CHILDREN, core
from tests.integration.kubelet import failing, running
from tests.integration.operator_process import (
    BUDGETS,
    DEPLOYMENTS,
    MODELS,
    PODS,
    SERVICES,
    condition,
    model,
    wait_for,
)


def test_a_deleted_model_leaves_nothing(house):
    house.create(model(replicas=2))
    house.settle()
    house.api.delete(house.path(MODELS, "cat"))
    wait_for(lambda: not _left(house), what="nothing left")


def _left(house):
    label = "catfish.dev/model=cat"
    return [
        item["metadata"]["name"]
        for kind in (*CHILDREN, PODS)
        for item in house.api.items(house.path(kind), label)
    ]


def test_a_model_deleted_and_made_again_at_once_belongs_to_the_new_one(house):
    old = house.create(model(replicas=2))
    house.settle()
    house.api.delete(house.path(MODELS, "cat"))
    new = house.create(model(replicas=2))
    assert new["metadata"]["uid"] != old["metadata"]["uid"]

    def all_new():
        children = [house.get(kind) for kind in (DEPLOYMENTS, SERVICES, BUDGETS)]
        owners = [
            owner["uid"] for child in children if child for owner in child["metadata"]["ownerReferences"]
        ]
        return owners == [new["metadata"]["uid"]] * 3

    wait_for(all_new, seconds=60, what="children of the new model")
    house.settle(seconds=60)


@pytest.mark.parametrize("kind", [DEPLOYMENTS, SERVICES], ids=["Deployment", "Service"])
def test_somebody_elses_object_of_the_name_is_not_touched(house, kind):
    foreign = house.api.create(house.path(kind), FOREIGN[kind])
    house.create(model())
    stalled = wait_for(
        lambda: condition(house.get(MODELS), "Stalled").get("status") == "True" and house.get(MODELS)
    )
    assert condition(stalled, "Stalled")["reason"] == "NameConflict"
    assert foreign["kind"] in stalled["status"]["message"]
    assert core(house.get(kind)) == core(foreign)
    managers = {entry["manager"] for entry in house.get(kind)["metadata"]["managedFields"]}
    assert "catfish-operator" not in managers
    house.api.delete(house.path(kind, "cat"))
    house.settle()


FOREIGN = {
    DEPLOYMENTS: {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "cat"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "x"}},
            "template": {
                "metadata": {"labels": {"app": "x"}},
                "spec": {"containers": [{"name": "x", "image": "x"}]},
            },
        },
    },
    SERVICES: {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "cat"},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "x"}},
    },
}


def test_why_a_pod_ended_is_said_and_a_corrected_spec_heals(house):
    report = {"reason": "ChecksumMismatch", "message": "spec.weights.sha256: abc wanted", "retriable": False}
    house.nodes.script = lambda pod: failing(json.dumps(report)) if _image(pod).endswith(":v1") else running()
    house.create(model())
    body = wait_for(
        lambda: condition(house.get(MODELS), "Stalled").get("status") == "True" and house.get(MODELS)
    )
    assert condition(body, "Stalled")["reason"] == "ChecksumMismatch"
    assert "spec.weights.sha256: abc wanted" in body["status"]["message"]
    assert condition(body, "Ready")["status"] == "False"
    house.merge(MODELS, {"spec": {"image": "catfish-server:v2"}})
    assert condition(house.settle(), "Stalled")["status"] == "False"


def _image(pod):
    return pod["spec"]["containers"][0]["image"]


def test_a_quota_is_named_and_raising_it_heals(house):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "tight"},
        "spec": {"hard": {"count/services": "0"}},
    }
    quotas = "/api/v1/namespaces/{}/resourcequotas"
    house.api.create(house.path(quotas), quota)
    wait_for(lambda: house.get(quotas, "tight").get("status", {}).get("used"), what="the quota is counted")
    house.create(model())
    wait_for(lambda: condition(house.get(MODELS), "Stalled").get("reason") == "QuotaExceeded")
    house.merge(quotas, {"spec": {"hard": {"count/services": "5"}}}, name="tight")
    house.settle(seconds=60)


def test_two_models_side_by_side(house):
    house.create(model("cat"))
    house.create(model("dog", replicas=2))
    assert house.settle("cat")["status"]["replicas"] == 1
    assert house.settle("dog")["status"]["replicas"] == 2
