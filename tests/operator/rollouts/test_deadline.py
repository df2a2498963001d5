"""How long a rollout may take: from its last progress, as long as something is awaited of its pods."""

import copy

from catfish_operator.observed import Reading
from tests.operator.rollouts.scenes import (
    BAKE,
    DEADLINE,
    V2,
    assert_goes_on,
    assert_rolled_back,
    first,
    proven,
    updated,
)


def last_pod_missing(*, ready=2, **spec):
    """All of v1 is gone, because the spec does not keep it, and one of v2's three pods cannot start."""
    rollout = {"canary": {"seconds": 0}, "maxUnavailable": 1, "maxSurge": 0}
    world = proven(rollout=rollout)
    world.stable, world.before = world.plan().target, copy.deepcopy(world.deployment()["spec"]["template"])
    world.change(**V2, rollout=rollout | spec)
    world.settle()
    world.target = world.plan().target
    world.roll_out()
    short_of(world, ready=ready)
    world.settle()
    return world


def short_of(world, *, ready):
    """All pods but so many are Pending, for no node has room."""
    unscheduled = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no cpu"}
    ]
    for item in world.pods[ready:]:
        item["status"] = {"phase": "Pending", "conditions": unscheduled}
    world.deployment()["status"] |= {"availableReplicas": ready, "readyReplicas": ready}


def scale(world, replicas, *, ready):
    """Asks for so many pods, of which there is room for some."""
    world.change(replicas=replicas)
    world.settle()
    world.roll_out()
    short_of(world, ready=ready)


def test_the_deadline_holds_after_the_last_old_pod_is_gone():
    world = last_pod_missing()
    world.wait(DEADLINE - 1)
    assert_goes_on(world)
    world.wait(1).settle()
    assert world.deployment()["spec"]["template"] == world.before
    assert world.record(world.target).failure.reason == "Unschedulable"


def test_the_deadline_counts_only_while_the_cluster_can_be_seen():
    world = last_pod_missing()
    world.wait(10 * DEADLINE)  # the API server was away: no pod could start, and none could be seen to
    world.seen_since = world.clock
    assert_goes_on(world)
    world.wait(DEADLINE - 1)
    assert_goes_on(world)
    world.wait(1).settle()
    assert world.record(world.target).failure.reason == "Unschedulable"


def test_pods_that_are_asked_for_later_and_find_no_room_say_nothing_of_a_revision():
    world = last_pod_missing(ready=3)
    scale(world, 5, ready=3)
    assert_goes_on(world)
    world.wait(BAKE).settle()
    assert world.record(world.target).verdict == "proven"


def test_a_pod_that_is_not_ready_for_a_moment_after_the_deadline_undoes_nothing():
    world = last_pod_missing(ready=3, progressDeadlineSeconds=BAKE // 2)
    world.wait(BAKE - 1)
    assert_goes_on(world)
    world.pods[2]["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
    world.deployment()["status"] |= {"availableReplicas": 2, "readyReplicas": 2}
    assert_goes_on(world)
    world.wait(BAKE // 2 - 1)
    assert_goes_on(world)
    world.wait(1).settle()
    assert world.record(world.target).failure.reason == "ProgressDeadlineExceeded"


def test_a_first_pod_that_is_not_ready_for_a_moment_while_it_is_watched_undoes_nothing():
    world = updated(rollout={"canary": {"seconds": 300}, "progressDeadlineSeconds": 100})
    first(world)
    world.plan()
    world.wait(150)
    assert_goes_on(world)
    first(world, ready=False)
    assert_goes_on(world)


def test_a_scale_up_without_room_says_nothing_of_a_revision_to_an_operator_that_has_just_started():
    world = last_pod_missing(ready=3)
    scale(world, 5, ready=3)
    world.watch = type(world.watch)()
    for seconds in (0, BAKE - 1, DEADLINE):
        assert world.record(world.target).verdict != "failed"
        world.wait(seconds).settle()
    assert world.record(world.target).verdict == "proven"


def test_more_pods_than_there_is_room_for_asked_for_in_the_middle_of_a_rollout_undo_nothing():
    world = last_pod_missing(ready=2, bakeSeconds=2 * DEADLINE)
    scale(world, 5, ready=3)  # as many as the rollout began with
    assert_goes_on(world)
    world.wait(DEADLINE)
    assert_goes_on(world)


def test_a_pod_that_is_replaced_in_the_bake_may_download_for_as_long_as_bytes_arrive():
    world = last_pod_missing(ready=3, bakeSeconds=3 * DEADLINE)
    world.readings = {f"cat-{number}": Reading(stage="ready") for number in range(3)}
    world.wait(DEADLINE)
    assert_goes_on(world)
    for done in range(1, 5):
        short_of(world, ready=2)
        world.pods[2]["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
        world.readings["cat-2"] = Reading(stage="fetching", done=done)
        assert_goes_on(world)
        world.wait(DEADLINE - 1)
    assert_goes_on(world)
    world.wait(1).settle()
    assert world.record(world.target).failure.reason == "ProgressDeadlineExceeded"


def test_a_first_pod_that_is_ready_for_a_moment_again_and_again_is_undone_at_the_deadline():
    world = updated()
    for _ in range(DEADLINE // 20):
        first(world)
        assert_goes_on(world)
        world.wait(15)
        assert_goes_on(world)
        first(world, ready=False)
        assert_goes_on(world)
        world.wait(5)
    world.wait(25)
    assert_rolled_back(world, "ProgressDeadlineExceeded")


def test_an_update_that_was_paused_for_longer_than_the_deadline_has_all_of_it_when_it_goes_on():
    world = proven(rollout={"paused": True})
    world.stable, world.before = world.plan().target, copy.deepcopy(world.deployment()["spec"]["template"])
    world.change(**V2)
    world.settle()
    world.target = world.plan().target
    world.wait(2 * DEADLINE).settle()
    world.change(rollout={"paused": False})
    assert_goes_on(world)
    first(world, ready=False)
    world.wait(DEADLINE - 1)
    assert_goes_on(world)
    world.change(rollout={"paused": True})
    world.wait(DEADLINE).settle()
    world.change(rollout={"paused": False})
    assert_goes_on(world)
    world.wait(DEADLINE)
    assert_rolled_back(world, "ProgressDeadlineExceeded")


def test_a_second_disturbance_of_a_long_bake_has_all_of_the_deadline_too():
    world = last_pod_missing(ready=3, bakeSeconds=20 * DEADLINE)
    for calm in (5 * DEADLINE, 2 * DEADLINE, 2 * DEADLINE):
        whole(world)
        assert_goes_on(world)
        world.wait(calm)
        assert_goes_on(world)
        short_of(world, ready=2)
        assert_goes_on(world)
        world.wait(DEADLINE - 1)
        assert_goes_on(world)
    world.wait(1).settle()
    assert world.record(world.target).failure.reason == "Unschedulable"


def whole(world):
    """Every pod is Ready again."""
    world.roll_out()
    short_of(world, ready=len(world.pods))


def test_a_rollout_is_about_the_fewest_pods_that_were_wanted_meanwhile():
    world = last_pod_missing(ready=3, bakeSeconds=20 * DEADLINE)
    for replicas in (2, 4):
        scale(world, replicas, ready=2)
        assert_goes_on(world)
    world.wait(DEADLINE)
    assert_goes_on(world)
