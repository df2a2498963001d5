"""An update is held at its first pods, released, and proven."""

import pytest

from catfish_operator.actions import Apply
from catfish_operator.resources import deployment
from tests.operator.rollouts.scenes import (
    BAKE,
    CANARY,
    V2,
    assert_rolled_back,
    every_first,
    first,
    held,
    live_revision,
    proven,
    said,
    updated,
)
from tests.operator.test_rollout import container, ended
from tests.operator.world import World, body


def test_a_first_revision_is_neither_held_nor_proven_before_it_was_baked():
    world = World(body(replicas=2))
    world.settle()
    assert not held(world)
    world.roll_out()
    world.settle()
    target = world.plan().target
    world.wait(BAKE - 1).settle()
    assert world.record(target).verdict is None
    assert said(world)["UpToDate"] == ("True", "RolloutCompleted")
    assert said(world)["Reconciling"] == ("True", "Baking")
    assert "stableRevision" not in world.wait(1).status()  # its time has come, and it is on no revision yet
    world.settle()
    assert world.record(target).verdict == "proven"
    assert said(world)["Reconciling"] == ("False", "RolloutCompleted")
    assert world.status()["stableRevision"] == target


def test_a_pod_that_goes_while_it_is_baked_begins_the_bake_anew():
    world = World(body())
    world.settle()
    world.roll_out()
    world.plan()
    world.wait(BAKE - 1).roll_out(ready=False)
    world.plan()
    world.wait(5).roll_out()
    world.settle()
    assert world.record(world.plan().target).verdict is None


def test_a_container_that_ends_while_a_first_revision_is_baked_begins_the_bake_anew():
    world = World(body(replicas=2))
    world.settle()
    world.roll_out()
    world.plan()
    world.wait(BAKE - 1)
    world.pods[0]["status"]["containerStatuses"] = [container(last=ended(code=1), restarts=1, ready=True)]
    world.settle()
    assert said(world)["Stalled"] == ("False", "NotStalled")
    world.wait(BAKE - 1).settle()
    target = world.plan().target
    assert world.record(target).verdict is None
    world.wait(1).settle()
    assert world.record(target).verdict == "proven"


def test_scaling_while_it_is_baked_does_not_begin_the_bake_anew():
    world = World(body(replicas=1))
    world.settle()
    world.roll_out()
    world.plan()
    world.wait(BAKE - 1)
    world.change(replicas=3)
    world.settle()
    world.wait(1)
    world.roll_out()
    world.settle()
    assert world.record(world.plan().target).verdict == "proven"


def test_with_no_pods_wanted_nothing_is_proven_and_nothing_fails():
    world = World(body(replicas=0)).prove()
    assert world.record(world.plan().target).verdict is None
    assert said(world)["UpToDate"] == ("True", "ScaledToZero")


def test_an_update_is_held_at_its_first_pods_from_the_very_write_that_brings_it():
    world = proven()
    world.change(**V2)
    planned = world.plan()
    writes = [action.manifest for action in planned.actions if isinstance(action, Apply)]
    assert [item["kind"] for item in writes] == ["ControllerRevision", "Deployment"]
    assert writes[1]["spec"]["minReadySeconds"] == deployment.HELD_SECONDS
    assert writes[1]["spec"]["progressDeadlineSeconds"] == deployment.NO_DEADLINE


def test_an_update_over_a_template_that_others_extended_is_held_in_the_same_write():
    world = proven()
    world.deployment()["spec"]["template"]["spec"]["containers"].append({"name": "x", "image": "x"})
    world.change(**V2)
    world.do(world.plan().actions[0])
    [action] = world.plan().actions
    assert dict(action.also)["/spec/minReadySeconds"] == deployment.HELD_SECONDS


def test_the_hold_is_released_after_the_canary_and_not_before():
    world = updated()
    first(world, ready=True)
    world.plan()
    world.wait(CANARY - 1).settle()
    assert held(world)
    assert said(world)["Reconciling"] == ("True", "Canary")
    world.wait(1).settle()
    assert not held(world)
    assert live_revision(world) == world.target
    assert world.deployment()["spec"]["minReadySeconds"] == 10
    assert world.record(world.target).unobserved


def test_a_release_rests_on_what_was_read_live():
    """The cache of an API server that is away shows pods as they were."""
    world = updated()
    first(world, ready=True)
    assert not world.plan().confirm
    world.wait(CANARY)
    assert world.plan().confirm
    first(world, ready=False)
    world.settle()
    assert held(world)


def test_what_counts_as_proven_rests_on_what_was_read_live():
    world = updated()
    first(world, ready=True)
    world.plan()
    world.wait(CANARY).settle()
    world.roll_out()
    assert not world.plan().confirm
    world.wait(BAKE)
    assert world.plan().confirm


def test_a_first_revision_has_nothing_to_lose_and_is_not_read_live():
    world = World(body())
    world.settle()
    world.roll_out()
    world.plan()
    assert not world.wait(BAKE).plan().confirm


def test_a_first_pod_that_is_not_ready_all_the_time_begins_the_canary_anew():
    world = updated()
    first(world, ready=True)
    world.plan()
    world.wait(CANARY - 1)
    first(world, ready=False)
    world.plan()
    world.wait(2)
    first(world, ready=True)
    world.settle()
    assert held(world)


def test_the_release_is_remembered_before_it_is_done_and_not_taken_back():
    world = updated()
    first(world, ready=True)
    world.plan()
    world.wait(CANARY)
    revision_write, deployment_write = world.plan().actions
    assert "releasedAt" in revision_write.manifest["metadata"]["annotations"]["catfish.dev/rollout"]
    assert deployment_write.manifest["spec"]["minReadySeconds"] == 10
    world.do(revision_write)
    world.watch = type(world.watch)()  # the operator dies here and starts again
    world.settle()
    assert not held(world)


@pytest.mark.parametrize("surge", [1, 2])
def test_all_pods_of_the_surge_are_awaited(surge):
    world = updated(rollout={"maxSurge": surge})
    first(world, ready=True)
    world.plan()
    world.wait(CANARY).settle()
    assert held(world) == (surge == 2)


def test_a_canary_of_no_seconds_holds_nothing():
    assert not held(updated(rollout={"canary": {"seconds": 0}}))


def test_an_operator_that_forgets_watches_longer_and_never_shorter():
    world = updated()
    first(world, ready=True)
    world.plan()
    world.wait(CANARY - 1)
    world.watch = type(world.watch)()
    world.settle()
    world.wait(CANARY - 1).settle()
    assert held(world)
    world.wait(1).settle()
    assert not held(world)


@pytest.mark.parametrize(("replicas", "surge"), [(1, 1), (2, 2), (2, 3)])
def test_where_the_first_pods_are_all_the_old_ones_stay_until_the_update_is_proven(replicas, surge):
    world = updated(replicas=replicas, rollout={"maxSurge": surge})
    every_first(world, replicas)
    world.plan()
    world.wait(CANARY + BAKE - 1).settle()
    assert held(world)
    assert world.record(world.target).verdict is None
    assert f"watched for {CANARY + BAKE} s" in world.status()["message"]
    world.wait(1).settle()
    assert not held(world)
    assert live_revision(world) == world.target
    assert world.record(world.target).verdict == "proven"
    assert world.record(world.target).result is None
    world.roll_out()
    world.settle()
    assert world.record(world.target).result == "Completed"
    assert said(world)["Reconciling"] == ("False", "RolloutCompleted")


def test_an_update_of_one_pod_that_ends_after_the_canary_finds_the_old_one_serving():
    world = updated(replicas=1)
    first(world, ready=True)
    world.plan()
    world.wait(CANARY + BAKE - 1).settle()
    first(world, ready=True, containerStatuses=[container(last=ended(code=1), restarts=1, ready=True)])
    assert_rolled_back(world, "CrashLooping")


def test_a_model_that_is_scaled_up_while_it_is_held_is_released_after_the_canary():
    world = updated(replicas=1)
    first(world, ready=True)
    world.plan()
    world.wait(CANARY).settle()
    assert held(world)
    world.change(replicas=3)
    world.settle()
    world.settle()
    assert not held(world)
    assert world.record(world.target).verdict is None
