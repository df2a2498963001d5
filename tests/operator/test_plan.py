import copy

import pytest

from catfish_operator.actions import Apply, Delete
from catfish_operator.resources import deployment, revision
from tests.operator.world import World, body, foreign, revision_pod


def settled(**spec):
    world = World(body(**spec))
    world.settle()
    world.written.clear()
    return world


def kinds(actions):
    return [
        (type(action).__name__, action.manifest["kind"] if isinstance(action, Apply) else action.kind)
        for action in actions
    ]


def test_a_new_model_gets_its_revision_before_its_deployment():
    assert kinds(World(body(replicas=2)).plan().actions) == [
        ("Apply", "ControllerRevision"),
        ("Apply", "Deployment"),
        ("Apply", "Service"),
        ("Apply", "PodDisruptionBudget"),
    ]


def test_nothing_is_written_when_nothing_is_left_to_do():
    assert settled(replicas=2).plan().actions == ()


@pytest.mark.parametrize("replicas", [None, 0, 1])
def test_one_pod_or_fewer_gets_no_budget(replicas):
    spec = {} if replicas is None else {"replicas": replicas}
    assert "PodDisruptionBudget" not in {kind for kind, _ in settled(**spec).objects}


def test_a_budget_that_is_no_longer_wanted_is_deleted_if_it_is_the_one_that_was_seen():
    world = settled(replicas=2)
    live = world.objects["PodDisruptionBudget", "cat"]["metadata"]
    world.change(replicas=1)
    world.settle()
    assert world.written[-1] == Delete(
        api_version="policy/v1",
        kind="PodDisruptionBudget",
        namespace="default",
        name="cat",
        uid=live["uid"],
        resource_version=live["resourceVersion"],
    )


def test_a_model_that_is_being_deleted_is_left_alone():
    world = settled()
    world.model["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.objects.clear()
    assert world.plan().actions == ()


def test_a_spec_that_cannot_be_read_stops_every_write_and_is_named():
    world = settled()
    world.change(replicas=-1)
    assert world.plan().actions == ()
    assert world.plan().verdict.reason == "InvalidSpec"
    assert "spec.replicas" in world.plan().verdict.message


@pytest.mark.parametrize("kind", ["Deployment", "Service", "PodDisruptionBudget", "ControllerRevision"])
@pytest.mark.parametrize("owner", ["other", "nobody"])
def test_an_object_of_somebody_else_is_not_touched(kind, owner):
    world = settled(replicas=2)
    live = next(item for (found, _), item in world.objects.items() if found == kind)
    if owner == "other":
        live["metadata"]["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": "Thing", "name": "x", "uid": "other", "controller": True}
        ]
    else:
        del live["metadata"]["ownerReferences"]
        live["metadata"]["labels"] = {}
    planned = world.plan()
    assert planned.actions == ()
    assert planned.verdict.reason == "NameConflict"
    assert f"{kind} {live['metadata']['name']}" in planned.verdict.message


def test_a_budget_of_somebody_else_is_no_matter_while_none_is_wanted():
    world = settled(replicas=2)
    world.objects["PodDisruptionBudget", "cat"]["metadata"] |= {"ownerReferences": [], "labels": {}}
    world.change(replicas=1)
    world.settle()
    assert ("PodDisruptionBudget", "cat") in world.objects


def test_ownerless_objects_with_our_labels_are_adopted():
    world = settled(replicas=2)
    world.change(image="catfish-server:v2")
    world.settle()
    world.model["metadata"]["uid"] = "uid-next"
    for item in world.objects.values():
        del item["metadata"]["ownerReferences"]
    names = set(world.objects)
    world.settle()
    assert set(world.objects) == names
    owners = {item["metadata"]["ownerReferences"][0]["uid"] for item in world.objects.values()}
    assert owners == {"uid-next"}


@pytest.mark.parametrize("leaving", ["owner", "itself"])
def test_an_object_of_an_earlier_model_of_the_name_is_waited_for(leaving):
    world = settled()
    live = world.deployment()["metadata"]
    if leaving == "owner":
        live["ownerReferences"][0]["uid"] = "uid-earlier"
    else:
        live["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    planned = world.plan()
    assert planned.actions == ()
    assert planned.verdict.reason == "WaitingForDeletion"
    assert planned.requeue_after is not None


def test_the_stored_template_is_used_even_when_it_would_be_rendered_differently_now(monkeypatch):
    world = settled()
    monkeypatch.setattr(deployment, "SCRATCH_SIZE", "1Gi")
    monkeypatch.setattr(deployment, "LONGEST_REQUEST_SECONDS", 99)
    assert world.plan().actions == ()
    world.change(image="catfish-server:v2")
    world.settle()
    assert world.deployment()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 60 + 99 + 5


def test_going_back_uses_the_old_revision_and_gives_it_the_greatest_number():
    world = settled()
    first = copy.deepcopy(world.deployment()["spec"]["template"])
    world.change(image="catfish-server:v2")
    world.settle()
    world.change(image="catfish-server:v1")
    world.settle()
    assert world.deployment()["spec"]["template"] == first
    numbers = {name: item["revision"] for (kind, name), item in world.objects.items() if "Revision" in kind}
    assert sorted(numbers.values()) == [2, 3]
    assert numbers[world.plan().target] == 3


def test_history_keeps_ten_old_revisions_and_never_loses_one_that_has_pods():
    world = settled()
    oldest = world.plan().target
    world.pods = [revision_pod("cat-old", oldest)]
    for number in range(2, 20):
        world.change(image=f"catfish-server:v{number}")
        world.settle()
    kept = {name for kind, name in world.objects if kind == revision.KIND}
    assert {oldest, world.plan().target} <= kept
    numbers = sorted(item["revision"] for (kind, _), item in world.objects.items() if kind == revision.KIND)
    assert numbers == [1, *range(9, 20)]


def test_history_never_loses_the_revision_that_can_be_gone_back_to():
    world = World(body()).prove()
    stable = world.plan().target
    world.pods = []
    for number in range(2, 20):
        world.change(image=f"catfish-server:v{number}")
        world.settle()
    assert world.record(stable).verdict == "proven"


def test_a_revision_that_holds_no_template_is_a_conflict():
    world = settled()
    world.objects["ControllerRevision", world.plan().target]["data"] = {"template": "x"}
    assert world.plan().verdict.reason == "NameConflict"


def test_without_replicas_in_the_spec_nobody_is_fought_over_the_number():
    world = settled()
    foreign(world.deployment(), {"spec": {"replicas": 5}}, manager="kubectl")
    assert [kind for _, kind in kinds(world.plan().actions)] == ["PodDisruptionBudget"]
    world.change(image="catfish-server:v2")
    world.settle()
    assert world.deployment()["spec"]["replicas"] == 5


def test_taking_replicas_out_of_the_spec_changes_no_number():
    world = settled(replicas=3)
    del world.model["spec"]["replicas"]
    world.change()
    world.settle()
    assert world.deployment()["spec"]["replicas"] == 3
