"""How many pods come at once while a bad update is being undone."""

import pytest

from tests.operator.rollouts.scenes import CANARY, assert_rolled_back, count, first, live_revision, updated
from tests.operator.test_rollout import container, ended
from tests.operator.world import pod


def surge(world):
    return world.deployment()["spec"]["strategy"]["rollingUpdate"]["maxSurge"]


def min_ready(world):
    return world.deployment()["spec"].get("minReadySeconds", 0)


def half_way(**rollout):
    """A v2 that was let go on after its canary, with two pods beside the last one of v1; one of the two ends."""
    world = updated(rollout=rollout)
    first(world)
    world.settle()
    world.wait(CANARY + 1)
    world.settle()
    template = world.deployment()["spec"]["template"]
    old = [item for item in world.pods if item["metadata"]["name"] != "cat-new"]
    bad = pod("cat-new", template, ready=False, containerStatuses=[container(last=ended(code=1), restarts=1)])
    world.pods = [old[0], pod("cat-fine", template), bad]
    count(world)
    return world, old


def test_all_missing_pods_of_the_proven_revision_start_at_once_and_no_more_than_before_afterwards():
    world, old = half_way()
    world.settle()
    assert live_revision(world) == world.stable
    assert surge(world) == 3, "replicas: two are missing, and what is there may be in the way"
    assert min_ready(world) == 0
    starting = [pod(name, world.before, ready=False) for name in ("cat-1", "cat-2")]
    world.pods = [old[0], *starting, world.pods[1]]
    count(world)
    world.settle()
    assert (surge(world), min_ready(world)) == (3, 0), "two are not Ready yet, and v2 has a pod"
    world.pods = [*old, world.pods[3]]
    count(world)
    world.settle()
    assert (surge(world), min_ready(world)) == (3, 0), "v1 is whole, and v2's last pod is about to go"
    world.pods = old
    count(world)
    world.settle()
    assert (surge(world), min_ready(world)) == (1, 10)


def test_a_missing_pod_after_the_way_back_is_nothing_special():
    world, old = half_way()
    world.settle()
    world.pods = old
    count(world)
    world.settle()
    world.pods = old[:2]
    count(world)
    assert not [action for action in world.plan().actions if action.manifest["kind"] == "Deployment"]
    assert surge(world) == 1


def test_a_bad_update_that_took_no_pod_away_is_undone_without_it():
    world = updated()
    world.stay = surge(world)
    first(world, ready=False, containerStatuses=[container(last=ended(code=1), restarts=2)])
    assert_rolled_back(world, "CrashLooping")
    assert surge(world) == world.stay == 1


@pytest.mark.parametrize(
    ("given", "expected"), [({"maxSurge": 0, "maxUnavailable": 1}, 0), ({"maxSurge": 5}, 5)]
)
def test_what_the_spec_allows_is_never_lessened_and_no_surge_stays_none(given, expected):
    world, _ = half_way(**given)
    world.settle()
    assert surge(world) == expected
