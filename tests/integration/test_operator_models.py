"""The operator on a real API server: what a model makes, what is repaired, what is said."""

import json

import pytest

from tests.integration.audit import Audit
from tests.integration.house import core
from tests.integration.operator_process import (
    BUDGETS,
    DEPLOYMENTS,
    MODELS,
    REVISIONS,
    SERVICES,
    condition,
    model,
    wait_for,
)


def test_a_model_gets_its_children_and_they_are_its_own(house):
    body = house.create(model(replicas=2))
    house.settle()
    made = [house.get(kind) for kind in (DEPLOYMENTS, SERVICES, BUDGETS)] + house.revisions()
    assert len(made) == 4
    for child in made:
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (body["metadata"]["uid"], True)
        assert not owner.get("blockOwnerDeletion")
        assert child["metadata"]["labels"]["catfish.dev/model"] == "cat"


def test_nothing_of_kopf_is_written_onto_any_object(house):
    house.create(model())
    body = house.settle()
    for item in (body, house.get(DEPLOYMENTS), house.get(SERVICES), *house.revisions()):
        assert not item["metadata"].get("finalizers")
        assert "kopf" not in json.dumps(item)


def test_status_says_what_is_there(house):
    house.create(model(replicas=3))
    body = house.settle()
    assert condition(body, "Ready")["status"] == "True"
    assert condition(body, "Stalled")["status"] == "False"
    assert [body["status"][name] for name in ("replicas", "readyReplicas", "updatedReplicas")] == [3, 3, 3]
    assert body["status"]["selector"] == "app.kubernetes.io/instance=cat,app.kubernetes.io/name=catfish-model"


def test_a_settled_model_costs_no_write(house, plane, operator):
    house.create(model(replicas=2))
    house.settle()
    before = house.get(MODELS)["metadata"]["resourceVersion"]
    audit = Audit(plane.audit_log)
    operator.wait_resyncs(3)
    assert audit.writes(house.namespace) == []
    assert house.get(MODELS)["metadata"]["resourceVersion"] == before


HTTP = {"name": "http", "port": 80, "targetPort": "http"}
DRIFT = {
    "replicas": (DEPLOYMENTS, {"spec": {"replicas": 5}}),
    "the pod template": (
        DEPLOYMENTS,
        {"spec": {"template": {"spec": {"priority": None, "terminationGracePeriodSeconds": 1}}}},
    ),
    "the Deployment's label": (DEPLOYMENTS, {"metadata": {"labels": {"catfish.dev/model": None}}}),
    "the Deployment's owner": (DEPLOYMENTS, {"metadata": {"ownerReferences": None}}),
    "the Service's port": (SERVICES, {"spec": {"ports": [{"name": "http", "port": 81}]}}),
    "one port more": (SERVICES, {"spec": {"ports": [HTTP, {"name": "x", "port": 81}]}}),
    "where the port leads": (SERVICES, {"spec": {"ports": [{**HTTP, "targetPort": 5002}]}}),
    "the Service's selector": (SERVICES, {"spec": {"selector": {"app": "other"}}}),
    "the budget": (BUDGETS, {"spec": {"maxUnavailable": 2}}),
}


@pytest.mark.parametrize("what", DRIFT)
def test_what_somebody_changes_by_hand_is_put_back(house, what):
    house.create(model(replicas=2))
    house.settle()
    kind, patch = DRIFT[what]
    before = house.get(kind)
    changed = house.merge(kind, patch)
    assert core(changed) != core(before)
    wait_for(lambda: core(house.get(kind)) == core(before), what=f"{what} as before")


@pytest.mark.parametrize("kind", [DEPLOYMENTS, SERVICES, BUDGETS], ids=["Deployment", "Service", "budget"])
def test_a_child_deleted_by_hand_is_made_again(house, kind):
    house.create(model(replicas=2))
    house.settle()
    old = house.get(kind)["metadata"]["uid"]
    house.api.delete(house.path(kind, "cat"))
    wait_for(lambda: (house.get(kind) or {}).get("metadata", {}).get("uid", old) != old, what="a new one")
    house.settle()


def test_a_revision_deleted_by_hand_is_made_again_without_a_new_rollout(house):
    house.create(model())
    house.settle()
    (revision,) = house.revisions()
    template = house.get(DEPLOYMENTS)["spec"]["template"]
    house.api.delete(house.path(REVISIONS, revision["metadata"]["name"]))
    wait_for(
        lambda: [found["metadata"]["name"] for found in house.revisions()] == [revision["metadata"]["name"]]
    )
    assert house.get(DEPLOYMENTS)["spec"]["template"] == template


@pytest.mark.parametrize(
    "command",
    [("set", "env", "deployment/cat", "X=1"), ("rollout", "restart", "deployment/cat")],
    ids=" ".join,
)
def test_what_kubectl_adds_to_the_template_is_removed(house, kubectl, command):
    house.create(model())
    house.settle()
    before = house.get(DEPLOYMENTS)["spec"]["template"]
    kubectl("-n", house.namespace, *command)
    wait_for(lambda: house.get(DEPLOYMENTS)["spec"]["template"] == before, what="the template as before")
    house.settle()


def test_a_value_put_back_once_does_not_stay_when_the_spec_drops_it(house, kubectl):
    house.create(model(prediction={"unknownThreshold": 0.5}))
    house.settle()
    kubectl("-n", house.namespace, "set", "env", "deployment/cat", "CATFISH_UNKNOWN_THRESHOLD=0.9")
    wait_for(lambda: _environ(house).get("CATFISH_UNKNOWN_THRESHOLD") == "0.5", what="0.5 again")
    house.merge(MODELS, {"spec": {"prediction": None}})
    wait_for(lambda: "CATFISH_UNKNOWN_THRESHOLD" not in _environ(house), what="the variable is gone")


def _environ(house):
    (container,) = house.get(DEPLOYMENTS)["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item.get("value") for item in container["env"]}


def test_scaling_through_the_scale_subresource_and_the_budget_with_it(house, kubectl):
    house.create(model(replicas=1))
    house.settle()
    assert house.get(BUDGETS) is None
    for replicas in (3, 1, 0, 2):
        kubectl("-n", house.namespace, "scale", "cfm/cat", f"--replicas={replicas}")
        wait_for(
            lambda wanted=replicas: house.settle()["status"].get("replicas", 0) == wanted, what=str(replicas)
        )
        wait_for(lambda wanted=replicas: bool(house.get(BUDGETS)) == (wanted > 1), what="the budget")


def test_a_model_without_replicas_leaves_the_count_to_others(house, kubectl):
    house.create(model())
    assert house.settle()["status"]["replicas"] == 1
    kubectl("-n", house.namespace, "scale", "deployment/cat", "--replicas=2")
    wait_for(lambda: house.settle()["status"]["replicas"] == 2, what="two pods")


def test_going_back_to_an_older_spec_uses_its_revision_again(house):
    house.create(model())
    first = house.settle()["status"]["targetRevision"]
    house.merge(MODELS, {"spec": {"image": "catfish-server:v2"}})
    second = wait_for(
        lambda: (house.settle()["status"]["targetRevision"] or first) != first and house.settle()
    )
    assert second["status"]["targetRevision"] != first
    house.merge(MODELS, {"spec": {"image": "catfish-server:v1"}})
    wait_for(lambda: house.settle()["status"]["targetRevision"] == first)
    assert len(house.revisions()) == 2
