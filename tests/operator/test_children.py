"""What is written of the objects that a model may or may not have."""

import itertools

import pytest

from catfish_operator import children
from catfish_operator import plan as planning
from catfish_operator import status as saying
from catfish_operator.actions import Apply
from catfish_operator.model import CatfishModel
from catfish_operator.observed import Observed
from tests.operator.world import NOW, World, body, foreign

ASKED = {
    "HorizontalPodAutoscaler": {"autoscaling": {"maxReplicas": 3}},
    "ServiceMonitor": {"monitoring": {"serviceMonitor": True}},
    "PodDisruptionBudget": {"replicas": 2},
}


def settled(**spec):
    world = World(body(**spec))
    world.settle()
    world.written.clear()
    return world


@pytest.mark.parametrize("kind", ASKED)
def test_an_object_that_is_asked_for_is_made_and_taken_away_again(kind):
    world = settled()
    assert (kind, "cat") not in world.objects
    world.change(**ASKED[kind])
    world.settle()
    assert (kind, "cat") in world.objects
    for field in ASKED[kind]:
        del world.model["spec"][field]
    if kind == "PodDisruptionBudget":
        world.change(replicas=1)
    world.settle()
    assert (kind, "cat") not in world.objects


@pytest.mark.parametrize("kind", ASKED)
def test_an_object_of_somebody_else_is_left_alone_and_in_the_way_only_if_one_is_wanted(kind):
    world = settled(**ASKED[kind])
    theirs = world.objects[kind, "cat"]
    theirs["metadata"]["ownerReferences"] = []
    theirs["metadata"]["labels"] = {}
    assert world.plan().verdict.reason == "NameConflict"
    world.model["spec"] = body()["spec"]
    world.settle()
    assert world.objects[kind, "cat"] is theirs


@pytest.mark.parametrize("kind", ASKED)
def test_what_others_change_in_it_is_undone(kind):
    change = {
        "HorizontalPodAutoscaler": {"spec": {"maxReplicas": 9}},
        "ServiceMonitor": {"spec": {"targetLabels": []}},
        "PodDisruptionBudget": {"spec": {"maxUnavailable": 9}},
    }[kind]
    world = settled(**ASKED[kind])
    before = world.objects[kind, "cat"]["spec"]
    foreign(world.objects[kind, "cat"], change)
    world.settle()
    assert world.objects[kind, "cat"]["spec"] == before


def test_a_service_monitor_is_no_matter_where_the_api_server_does_not_know_the_kind():
    model = body(**ASKED["ServiceMonitor"])
    observed = Observed(now=NOW, body=model, served=frozenset())
    written = children.actions(CatfishModel.from_body(model), observed)
    assert [action.manifest["kind"] for action in written if isinstance(action, Apply)] == ["Service"]


def test_the_status_says_that_a_service_monitor_is_missing_and_only_then():
    said = "There is no ServiceMonitor: this cluster does not know monitoring.coreos.com/v1"
    for asked, served in itertools.product((True, False), (frozenset(), frozenset(["ServiceMonitor"]))):
        observed = Observed(now=NOW, body=body(monitoring={"serviceMonitor": asked}), served=served)
        message = saying.status(observed, planning.plan(observed))["message"]
        assert (said in message) == (asked and not served)


def test_a_model_that_may_get_a_second_pod_has_a_budget_before_it_has_the_pod():
    world = settled(autoscaling={"maxReplicas": 2})
    assert world.deployment()["spec"]["replicas"] == 1
    assert ("PodDisruptionBudget", "cat") in world.objects
    world.change(autoscaling={"maxReplicas": 1})
    world.settle()
    assert ("PodDisruptionBudget", "cat") not in world.objects


def test_an_autoscaled_model_begins_with_the_least_number_of_pods():
    world = settled(autoscaling={"minReplicas": 3, "maxReplicas": 5})
    assert world.deployment()["spec"]["replicas"] == 3


def test_an_autoscaler_takes_over_at_its_first_write_and_until_then_the_pods_stay():
    world = settled(replicas=4)
    del world.model["spec"]["replicas"]
    world.change(autoscaling={"minReplicas": 2, "maxReplicas": 9})
    world.settle()
    assert world.deployment()["spec"]["replicas"] == 4
    foreign(world.deployment(), {"spec": {"replicas": 7}}, manager="kube-controller-manager")
    world.change(image="catfish-server:v2")
    world.settle()
    assert world.deployment()["spec"]["replicas"] == 7


def test_a_number_that_somebody_else_may_take_any_moment_is_written_onto_what_was_seen_only():
    world = settled(replicas=4)
    del world.model["spec"]["replicas"]
    world.change(autoscaling={"minReplicas": 2, "maxReplicas": 9}, image="catfish-server:v2")
    seen = world.deployment()["metadata"]["resourceVersion"]
    (written,) = [action.manifest for action in world.plan().actions if kind_of(action) == "Deployment"]
    assert (written["spec"]["replicas"], written["metadata"]["resourceVersion"]) == (4, seen)
    world = settled(replicas=4)
    world.change(replicas=5)
    (written,) = [action.manifest for action in world.plan().actions if kind_of(action) == "Deployment"]
    assert "resourceVersion" not in written["metadata"]


def kind_of(action):
    return action.manifest["kind"] if isinstance(action, Apply) else action.kind
