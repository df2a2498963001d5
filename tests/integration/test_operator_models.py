"""The operator on a real API server: what a model makes, what is repaired, what is said, what is left."""

import json

import pytest

from tests.integration.operator_process import (
    BUDGETS,
    DEPLOYMENTS,
    MANIFESTS,
    MODELS,
    PODS,
    REVISIONS,
    ROOT,
    SERVICES,
    Api,
    Audit,
    OperatorProcess,
    condition,
    failing,
    kubelet,
    model,
    running,
    settled,
    wait_for,
)

RESYNC_SECONDS = 3  # so that a quiet window of 10 s holds several resyncs
CHILDREN = (DEPLOYMENTS, SERVICES, BUDGETS, REVISIONS)


@pytest.fixture(scope="module")
def api(plane):
    for manifest in MANIFESTS:
        plane.kubectl("apply", "-f", str(ROOT / "manifests" / "base" / manifest))
    return Api(plane.kubeconfig)


@pytest.fixture(scope="module")
def operator(plane, api, tmp_path_factory):  # noqa: ARG001 - the rights must be there first
    process = OperatorProcess(
        plane, tmp_path_factory.mktemp("operator"), CATFISH_RESYNC_SECONDS=str(RESYNC_SECONDS)
    )
    try:
        yield process.start().wait_ready()
        assert process.running()
        assert "Traceback" not in process.text()
        process.lines()  # all JSON
    finally:
        process.stop()


@pytest.fixture
def house(api, operator, namespace):  # noqa: ARG001 - it runs meanwhile
    """A namespace that the operator looks after and whose pods come up."""
    with kubelet(api, namespace) as nodes:
        yield House(api, namespace, nodes)


class House:
    def __init__(self, api, namespace, nodes):
        self.api, self.namespace, self.nodes = api, namespace, nodes

    def path(self, kind, name=""):
        return kind.format(self.namespace) + (f"/{name}" if name else "")

    def get(self, kind, name="cat"):
        return self.api.get(self.path(kind, name))

    def create(self, body):
        return self.api.create(self.path(MODELS), body)

    def merge(self, kind, body, name="cat"):
        return self.api.merge(self.path(kind, name), body)

    def settle(self, name="cat", *, seconds=30):
        def look():
            body = self.get(MODELS, name)
            return body if settled(body) else None

        try:
            return wait_for(look, seconds=seconds, what=f"{name} is up to date")
        except AssertionError:
            found = self.get(MODELS, name)
            raise AssertionError(json.dumps((found or {}).get("status"), indent=1)) from None

    def revisions(self, name="cat"):
        return self.api.items(self.path(REVISIONS), f"catfish.dev/model={name}")


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


def test_a_settled_model_costs_no_write(house, plane):
    house.create(model(replicas=2))
    house.settle()
    before = house.get(MODELS)["metadata"]["resourceVersion"]
    audit = Audit(plane.audit_log)
    wait_for(lambda: audit.requests()["list"] >= 6 * 3, seconds=30, what="three resyncs")
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
    assert _core(changed) != _core(before)
    wait_for(lambda: _core(house.get(kind)) == _core(before), what=f"{what} as before")


def _core(item):
    """What makes an object what it is, without what counts its changes."""
    metadata = {name: item["metadata"].get(name) for name in ("labels", "ownerReferences")}
    return metadata, item["spec"]


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
    assert _core(house.get(kind)) == _core(foreign)
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
