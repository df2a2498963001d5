"""An update that fails where nothing may undo it, or nothing is left to go back to: what serves goes on to serve."""

import pytest

from catfish_operator.observed import Reading
from tests.operator.rollouts.scenes import (
    CANARY,
    DEADLINE,
    V2,
    assert_rolled_back,
    count,
    first,
    held,
    live_revision,
    proven,
    said,
    updated,
)
from tests.operator.test_rollout import container, ended, report
from tests.operator.world import World, body


def never_proven():
    """v1 serves and was never proven; v2 is held at its first pod."""
    world = World(body(replicas=3))
    world.settle()
    world.roll_out()
    world.stable = world.plan().target
    world.change(**V2)
    world.settle()
    world.target = world.plan().target
    return world


def not_undone():
    """v1 is proven, and spec.rollout.autoRollback is false."""
    return updated(rollout={"autoRollback": False})


BOTH = pytest.mark.parametrize("scene", [never_proven, not_undone])


def assert_stopped(world, reason):
    world.settle()
    assert held(world)
    assert live_revision(world) == world.target
    assert world.record(world.target).verdict == "failed"
    assert said(world)["Stalled"] == ("True", reason)
    assert said(world)["Ready"] == ("True", "Serving")
    assert "it stays as it is" in world.status()["message"]
    assert world.status()["failedRevisions"][0]["name"] == world.target


@BOTH
def test_what_fails_at_once_stays_held(scene):
    world = scene()
    first(world, ready=False, containerStatuses=[container(ended(report()))])
    assert_stopped(world, "ChecksumMismatch")


@BOTH
def test_a_first_pod_that_ends_after_it_was_ready_is_never_released(scene):
    world = scene()
    first(world, ready=True, containerStatuses=[container(ready=True)])
    world.plan()
    world.wait(CANARY - 10)
    first(world, ready=True, containerStatuses=[container(last=ended(code=1), restarts=1, ready=True)])
    world.settle()
    for _ in range(5):
        world.wait(CANARY)
        assert_stopped(world, "CrashLooping")


def test_numbers_that_get_better_later_do_not_release_it_and_its_message_stands_still():
    world = not_undone()
    first(world, ready=True)
    names = [item["metadata"]["name"] for item in world.pods]

    def answered(number, errors):
        return {
            name: Reading(counted=True, requests=number, errors=errors if name == "cat-new" else 0)
            for name in names
        }

    world.readings = answered(0, 0)
    world.plan()
    world.readings = answered(300, 36)
    assert_stopped(world, "CanaryErrorRate")
    before = world.status()["message"]
    world.readings = answered(9000, 40)
    world.wait(CANARY)
    assert_stopped(world, "CanaryErrorRate")
    assert world.status()["message"] == before


def test_it_is_tried_again_when_a_person_asks_for_it():
    world = not_undone()
    first(world, ready=True, containerStatuses=[container(ready=True)])
    world.plan()
    first(world, ready=True, containerStatuses=[container(last=ended(code=1), restarts=1, ready=True)])
    assert_stopped(world, "CrashLooping")
    world.wait(5)
    world.model["metadata"]["annotations"] = {"catfish.dev/retry": "1"}
    world.settle()
    assert world.record(world.target).verdict is None
    assert held(world)
    world.wait(CANARY).settle()
    assert not held(world)


@pytest.mark.parametrize(
    "shown",
    [
        {"state": {"terminated": {"exitCode": 1, "message": report(), "finishedAt": "2026-01-02T03:04:01Z"}}},
        {
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-02T03:04:01Z"}},
        },
    ],
    ids=["ended", "waits"],
)
def test_what_a_pod_showed_before_does_not_count_when_it_is_tried_again(shown):
    world = not_undone()
    again = [container() | shown | {"restartCount": 2}]
    first(world, ready=False, containerStatuses=again)
    world.settle()
    assert world.record(world.target).verdict == "failed"
    world.wait(DEADLINE + 1)
    world.model["metadata"]["annotations"] = {"catfish.dev/retry": "1"}
    for _ in range(3):
        world.settle()
        world.wait(2)
    assert world.record(world.target).verdict is None
    assert said(world)["Stalled"] == ("False", "NotStalled")
    new = {"state": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-02T04:04:01Z"}}, "restartCount": 3}
    first(world, ready=False, containerStatuses=[container() | new])
    assert_stopped(world, "CrashLooping")


def test_a_try_again_begins_with_the_whole_deadline():
    world = not_undone()
    first(world, ready=False)
    world.plan()
    world.wait(DEADLINE)
    assert_stopped(world, "ProgressDeadlineExceeded")
    world.wait(DEADLINE)
    world.model["metadata"]["annotations"] = {"catfish.dev/retry": "1"}
    world.settle()
    world.wait(DEADLINE - 1).settle()
    assert world.record(world.target).verdict is None
    world.wait(1)
    assert_stopped(world, "ProgressDeadlineExceeded")


def test_it_is_undone_once_that_is_allowed():
    world = not_undone()
    first(world, ready=False, containerStatuses=[container(ended(report()))])
    assert_stopped(world, "ChecksumMismatch")
    world.change(rollout={"autoRollback": True})
    world.settle()
    assert world.deployment()["spec"]["template"] == world.before


def test_an_update_of_what_does_not_serve_heals_by_itself():
    world = never_proven()
    for item in world.pods:
        item["status"]["conditions"][-1]["status"] = "False"
    first(world, ready=False, containerStatuses=[container(ended(report()))])
    world.settle()
    assert said(world)["Stalled"] == ("True", "ChecksumMismatch")
    assert world.record(world.target).verdict is None
    first(world, ready=True)
    world.settle()
    assert said(world)["Stalled"] == ("False", "NotStalled")


def test_a_failed_revision_whose_failure_cannot_be_read_is_not_rolled_out():
    world = updated()
    first(world, ready=False, containerStatuses=[container(ended(report()))])
    assert_rolled_back(world, "ChecksumMismatch")
    annotations = world.objects["ControllerRevision", world.target]["metadata"]["annotations"]
    del annotations["catfish.dev/failure"]
    world.wait(9999).settle()
    assert world.deployment()["spec"]["template"] == world.before
    assert said(world)["Stalled"] == ("True", "ProgressDeadlineExceeded")
    assert "cannot be read" in world.status()["message"]


@pytest.mark.parametrize("lost", ["the verdict", "the revision"])
def test_a_failed_revision_is_not_rolled_out_when_what_was_proven_is_lost(lost):
    world = updated()
    first(world, ready=False, containerStatuses=[container(ended(report()))])
    assert_rolled_back(world, "ChecksumMismatch")
    world.pods = world.pods[:3]
    count(world)
    if lost == "the revision":
        del world.objects["ControllerRevision", world.stable]
    else:
        del world.objects["ControllerRevision", world.stable]["metadata"]["labels"]["catfish.dev/verdict"]
    world.wait(9999).settle()
    assert world.deployment()["spec"]["template"] == world.before
    assert not held(world)
    assert said(world)["Stalled"] == ("True", "ChecksumMismatch")
    assert "no proven revision" in world.status()["message"]


def test_a_rollback_that_waits_for_the_end_of_a_pause_says_so():
    world = updated(rollout={"paused": False})
    first(world, ready=False, containerStatuses=[container(ended(report()))])
    world.change(rollout={"paused": True})
    world.model["spec"]["rollout"] = {"paused": False}
    world.settle()
    world.change(rollout={"paused": True})
    assert "its pods stay while spec.rollout.paused is true" in world.status()["message"]


def test_a_retry_is_for_the_revision_that_the_spec_asked_for_at_that_time():
    world = updated()
    first(world, ready=False, containerStatuses=[container(ended(report()))])
    assert_rolled_back(world, "ChecksumMismatch")
    world.change(image="catfish-server:v3")
    world.settle()
    world.model["metadata"]["annotations"] = {"catfish.dev/retry": "1"}
    world.settle()
    world.change(**V2)
    world.settle()
    assert world.deployment()["spec"]["template"] == world.before
    assert said(world)["UpToDate"] == ("False", "RevisionQuarantined")


def test_a_pod_that_was_set_apart_by_its_labels_keeps_no_update_from_its_end():
    world = proven()
    apart = world.pods[0]
    apart["metadata"]["labels"]["app.kubernetes.io/instance"] = "debug"
    world.change(**V2)
    world.settle()
    for _ in range(30):
        world.roll_out()
        world.pods.append(apart)
        world.wait(CANARY).settle()
    assert said(world)["UpToDate"] == ("True", "RolloutCompleted")
    assert world.record(world.plan().target).verdict == "proven"
