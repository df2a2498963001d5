"""The whole spec on a real API server: that it settles, under `restricted`, and who decides the number of pods."""

from pathlib import Path

import pytest
import yaml

from tests.integration.audit import Audit
from tests.integration.operator_process import DEPLOYMENTS, MODELS, PODS, model, wait_for

EVERYTHING = yaml.safe_load(
    (Path(__file__).parents[1] / "operator" / "golden" / "everything.model.yaml").read_text()
)["spec"]
AUTOSCALERS = "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers"
CPU = {"requests": {"cpu": "100m"}}


@pytest.fixture
def restricted(house, kubectl):
    """The house, with the strictest Pod Security and what the pods of the whole spec refer to."""
    level = "pod-security.kubernetes.io/enforce=restricted"
    kubectl("label", "namespace", house.namespace, level)
    kubectl("create", "serviceaccount", "catfish", "-n", house.namespace)
    classes = {
        "/apis/scheduling.k8s.io/v1/priorityclasses": {"metadata": {"name": "important"}, "value": 10},
        "/apis/node.k8s.io/v1/runtimeclasses": {"metadata": {"name": "gvisor"}, "handler": "runsc"},
    }
    for path, body in classes.items():
        house.api.create(path, body)
    yield house
    for path, body in classes.items():
        house.api.delete(f"{path}/{body['metadata']['name']}")


def test_the_whole_spec_settles_under_restricted_pod_security_and_costs_no_write(restricted, plane, operator):
    house = restricted
    spec = EVERYTHING | {"rollout": EVERYTHING["rollout"] | {"paused": False, "bakeSeconds": 1}}
    spec["service"] = EVERYTHING["service"] | {"type": "ClusterIP"}
    for field in ("loadBalancerClass", "loadBalancerSourceRanges", "externalTrafficPolicy"):
        del spec["service"][field]
    house.create(model(**spec))
    house.settle()
    pods = house.api.items(PODS.format(house.namespace), "catfish.dev/model=cat")
    assert len(pods) == 3
    assert {pod["spec"]["serviceAccountName"] for pod in pods} == {"catfish"}
    audit = Audit(plane.audit_log)
    operator.wait_resyncs(2)
    assert audit.writes(house.namespace) == []


def test_a_service_account_goes_when_it_is_taken_out_of_the_spec(house):
    house.create(model())
    house.settle()
    before = house.get(DEPLOYMENTS)["spec"]["template"]
    house.merge(MODELS, {"spec": {"serviceAccountName": "default"}})
    house.settle()
    assert house.get(DEPLOYMENTS)["spec"]["template"]["spec"]["serviceAccountName"] == "default"
    house.merge(MODELS, {"spec": {"serviceAccountName": None}})
    house.settle()
    assert house.get(DEPLOYMENTS)["spec"]["template"] == before


def test_an_autoscaler_takes_over_without_a_pod_lost_and_keeps_its_number(house):
    """Kubernetes' own autoscaler, without metrics: it brings the number within its bounds, and no further."""
    house.create(model(replicas=4, resources=CPU))
    house.settle()
    before = house.get(DEPLOYMENTS)
    assert (before["spec"]["replicas"], before["status"]["readyReplicas"]) == (4, 4)
    house.merge(MODELS, {"spec": {"replicas": None, "autoscaling": {"minReplicas": 2, "maxReplicas": 3}}})
    wait_for(
        lambda: house.get(DEPLOYMENTS)["spec"]["replicas"] == 3,
        seconds=60,
        what="the autoscaler's first write",
    )
    house.merge(MODELS, {"spec": {"image": "catfish-server:v2"}})
    house.settle()
    assert house.get(AUTOSCALERS)["spec"]["maxReplicas"] == 3
    house.merge(MODELS, {"spec": {"autoscaling": None}})
    wait_for(lambda: house.get(AUTOSCALERS) is None, what="the autoscaler is gone")
    house.settle()
    since = before["metadata"]["resourceVersion"]
    states = [before, *house.api.seen_since(house.path(DEPLOYMENTS), "cat", since)]
    numbers = [state["spec"]["replicas"] for state in states]
    assert set(numbers) == {4, 3}
    assert numbers == sorted(numbers, reverse=True)
    assert min(state["status"]["readyReplicas"] for state in states) == 3


def test_taking_the_number_out_of_the_spec_changes_nothing_and_anybody_may_scale(house, kubectl):
    house.create(model(replicas=3))
    house.settle()
    house.merge(MODELS, {"spec": {"replicas": None}})
    house.settle()
    kubectl("scale", "deployment/cat", "--replicas=2", "-n", house.namespace)
    house.merge(MODELS, {"spec": {"drainSeconds": 6}})
    house.settle()
    assert house.get(DEPLOYMENTS)["spec"]["replicas"] == 2
