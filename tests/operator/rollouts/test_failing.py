"""What undoes an update, and what does not."""

import pytest

from catfish_operator.observed import Reading
from tests.operator.rollouts.scenes import (
    DEADLINE,
    V2,
    assert_goes_on,
    assert_rolled_back,
    count,
    first,
    live_revision,
    proven,
    said,
    updated,
)
from tests.operator.test_rollout import container, ended, report, waiting
from tests.operator.world import World, body, pod


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (container(ended(report())), "ChecksumMismatch"),
        (container(ended(report(reason="VerificationFailed"))), "VerificationFailed"),
        (container(last=ended(report(reason="NonFiniteWeights"))), "NonFiniteWeights"),
        (waiting("InvalidImageName"), "InvalidImageName"),
        (container({"waiting": {"reason": "CrashLoopBackOff"}}, last=ended(), restarts=1), "CrashLooping"),
        (container(ended(code=137, reason="OOMKilled"), restarts=1), "OutOfMemory"),
    ],
)
def test_what_cannot_heal_is_undone_at_once(found, reason):
    world = updated()
    first(world, ready=False, containerStatuses=[found])
    assert_rolled_back(world, reason)


@pytest.mark.parametrize(
    "found",
    [
        container(ended(code=1)),
        container(last=ended(code=1), restarts=1),
        container(ended(code=137, reason="OOMKilled")),
        container(ended(report(reason="WeightsUnreachable", retriable=True)), restarts=4),
        waiting("ErrImagePull", "not found"),
        waiting("CreateContainerConfigError", 'secret "x" not found'),
    ],
)
def test_what_may_heal_is_not_undone_at_once(found):
    world = updated()
    first(world, ready=False, containerStatuses=[found])
    assert_goes_on(world)
    assert said(world)["Stalled"] == ("False", "NotStalled")


def test_the_verdict_is_written_before_the_way_back_begins():
    world = updated()
    first(world, ready=False, containerStatuses=[container(ended(report()))])
    planned = world.plan()
    assert planned.confirm, "what is about to be undone is read live first"
    assert [action.manifest["kind"] for action in planned.actions] == ["ControllerRevision", "Deployment"]
    world.do(planned.actions[0])
    world.pods = world.pods[:3]  # the operator dies, and the pod that showed it goes
    world.watch = type(world.watch)()
    assert_rolled_back(world, "ChecksumMismatch")


def test_a_lost_status_and_a_lost_memory_bring_nothing_back():
    world = updated()
    first(world, ready=False, containerStatuses=[container(ended(report()))])
    assert_rolled_back(world, "ChecksumMismatch")
    said_before = world.status()
    world.model.pop("status", None)
    world.watch = type(world.watch)()
    world.pods = world.pods[:3]
    world.wait(10_000).settle()
    assert live_revision(world) == world.stable
    assert world.status()["failedRevisions"] == said_before["failedRevisions"]


def test_the_failure_is_kept_with_pod_exit_code_and_message():
    world = updated()
    first(world, ready=False, containerStatuses=[container(ended(report(), code=13))])
    world.settle()
    [failure] = world.status()["failedRevisions"]
    assert failure == {
        "name": world.target,
        "reason": "ChecksumMismatch",
        "message": "The weights do not hash to spec.weights.sha256: spec.weights.sha256: not these bytes.",
        "pod": "cat-new",
        "exitCode": 13,
        "failedAt": "2026-01-02T03:07:25Z",
    }
    assert "was rolled back: The weights do not hash" in world.status()["message"]


def test_every_new_pod_is_looked_at_and_not_only_the_first():
    world = updated(rollout={"maxSurge": 2})
    template = world.deployment()["spec"]["template"]
    first(world, ready=True)
    world.pods.append(pod("cat-z", template, ready=False, containerStatuses=[container(ended(report()))]))
    count(world)
    assert_rolled_back(world, "ChecksumMismatch")


def test_the_second_strike_of_an_image_that_cannot_be_pulled_is_told_by_time():
    world = updated()
    for seconds in (0, 10):
        world.wait(seconds)
        first(world, ready=False, containerStatuses=[waiting("ErrImagePull", "x: not found")])
        assert_goes_on(world)
    world.wait(5)
    assert_rolled_back(world, "ImagePullFailed")
    assert world.record(world.target).failure.retry_at is None


def test_an_end_after_it_had_been_ready_is_enough_when_it_was_seen_ready():
    world = updated()
    first(world, ready=True, containerStatuses=[container(ready=True)])
    world.plan()
    first(world, ready=True, containerStatuses=[container(last=ended(code=0), restarts=1, ready=True)])
    assert_rolled_back(world, "CrashLooping")


def times(*, initialized, ready, finished):
    conditions = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Initialized", "status": "True", "lastTransitionTime": f"2026-01-02T03:00:{initialized}Z"},
        {"type": "Ready", "status": "False", "lastTransitionTime": f"2026-01-02T03:00:{ready}Z"},
    ]
    end = ended(code=1)
    end["terminated"]["finishedAt"] = f"2026-01-02T03:00:{finished}Z"
    return {"conditions": conditions, "containerStatuses": [container(last=end, restarts=1)]}


@pytest.mark.parametrize(
    ("moments", "undone"),
    [
        pytest.param({"initialized": "00", "ready": "30", "finished": "30"}, True, id="it had been ready"),
        pytest.param({"initialized": "00", "ready": "30", "finished": "31"}, True, id="unready, then over"),
        pytest.param({"initialized": "00", "ready": "00", "finished": "30"}, False, id="it was never ready"),
        pytest.param({"initialized": "00", "ready": "40", "finished": "20"}, False, id="it ended before"),
    ],
)
def test_an_end_after_it_had_been_ready_is_told_from_the_pod_alone(moments, undone):
    world = updated()
    first(world, **({"ready": False} | times(**moments)))
    if undone:
        assert_rolled_back(world, "CrashLooping")
    else:
        assert_goes_on(world)


def test_no_progress_until_the_deadline_is_undone_and_not_before():
    world = updated()
    world.plan()
    world.wait(DEADLINE - 1)
    assert_goes_on(world)
    world.wait(1)
    assert_rolled_back(world, "ProgressDeadlineExceeded")


def test_at_the_deadline_the_fault_that_was_waited_for_is_the_reason():
    world = updated()
    first(
        world, ready=False, containerStatuses=[waiting("CreateContainerConfigError", 'secret "x" not found')]
    )
    world.plan()
    world.wait(DEADLINE)
    assert_rolled_back(world, "ContainerConfigError")


def test_nothing_fails_while_bytes_arrive():
    world = updated()
    for done in range(1, 6):
        world.readings = {"cat-new": Reading(stage="fetching", done=done)}
        world.plan()
        world.wait(DEADLINE - 1)
        assert_goes_on(world)
    world.plan()
    world.wait(1)
    assert_rolled_back(world, "ProgressDeadlineExceeded")


def test_a_download_that_begins_again_and_again_is_no_progress():
    world = updated()
    for done in (5, 1, 2, 3, 4, 5):
        world.readings = {"cat-new": Reading(stage="fetching", done=done)}
        world.plan()
        world.wait(DEADLINE / 5)
    assert_rolled_back(world, "ProgressDeadlineExceeded")


def test_a_proven_revision_that_crashes_is_never_undone():
    world = proven()
    world.change(**V2)
    world.prove()
    _, *others = world.pods
    broken = pod(
        "cat-0",
        world.deployment()["spec"]["template"],
        ready=False,
        containerStatuses=[container(ended(), last=ended(), restarts=5)],
    )
    world.pods = [broken, *others]
    world.settle()
    assert live_revision(world) == world.plan().target
    assert said(world)["Stalled"] == ("True", "CrashLooping")


def test_a_first_revision_that_is_bad_has_nothing_to_go_back_to():
    world = World(body())
    world.settle()
    template = world.deployment()["spec"]["template"]
    world.pods = [pod("cat-1", template, ready=False, containerStatuses=[container(ended(report()))])]
    world.settle()
    assert said(world)["Stalled"] == ("True", "ChecksumMismatch")
    assert world.record(world.plan().target).verdict is None
