"""The first pods are compared with the old ones by what both have answered."""

from dataclasses import replace

import pytest

from catfish_operator.canary import UNASKED_SECONDS
from catfish_operator.observed import Reading
from tests.operator.rollouts.scenes import (
    CANARY,
    asked,
    assert_goes_on,
    assert_rolled_back,
    count,
    first,
    held,
    updated,
)


@pytest.mark.parametrize(
    ("new", "old", "undone"),
    [
        ((100, 3), (34, 0), True),
        ((100, 2), (34, 0), False),
        ((99, 40), (34, 0), False),
        ((20, 10), (7, 0), True),
        ((19, 19), (7, 0), False),
        ((20, 20), (6, 0), False),
        ((20, 20), (7, 6), False),
        ((1000, 400), (33, 0), False),
        ((100, 100), (34, 34), False),
    ],
)
def test_an_error_rate_above_that_of_the_old_pods_is_undone_if_enough_was_asked(new, old, undone):
    world = updated()
    first(world, ready=True)
    asked(world, new=new, old=old)
    if undone:
        assert_rolled_back(world, "CanaryErrorRate")
    else:
        assert_goes_on(world)


def test_errors_that_come_after_the_release_are_compared_as_long_as_old_pods_answer_too():
    world = updated()
    first(world, ready=True)
    world.plan()
    world.wait(CANARY).settle()
    assert not held(world)
    count(world)
    asked(world, new=(100, 90), old=(34, 0))
    assert_rolled_back(world, "CanaryErrorRate")


def test_what_old_pods_answered_before_the_rollout_is_not_compared_with():
    """A settled pod is not asked: what is known of it may be of days ago. Errors come from both sides now."""
    world = updated()
    first(world, ready=True)
    old = [item["metadata"]["name"] for item in world.pods[:3]]

    def told(requests, errors, *, at=0.0):
        return dict.fromkeys(old, Reading(counted=True, requests=requests, errors=errors, at=at))

    world.readings = told(1000, 0, at=1.0)
    world.plan()
    world.readings = told(101_000, 0)
    world.plan()
    world.readings = told(101_034, 5) | {"cat-new": Reading(counted=True, requests=100, errors=8)}
    assert_goes_on(world)
    world.readings = told(101_068, 5) | {"cat-new": Reading(counted=True, requests=200, errors=24)}
    assert_rolled_back(world, "CanaryErrorRate")


def test_nothing_is_compared_with_old_pods_that_have_not_told_since_the_rollout_began():
    world = updated()
    first(world, ready=True)
    world.readings = {
        item["metadata"]["name"]: Reading(counted=True, requests=9000, at=1.0) for item in world.pods[:3]
    } | {"cat-new": Reading(counted=True, requests=100, errors=60)}
    assert_goes_on(world)
    world.wait(CANARY).settle()
    assert not held(world), "an old pod that was asked once is no reason to wait for requests"


def test_enough_requests_are_noted_at_the_release():
    world = updated()
    first(world, ready=True)
    world.plan()
    asked(world, new=(100, 0), old=(34, 0))
    world.settle()
    world.wait(CANARY).settle()
    assert not held(world)
    assert not world.record(world.target).unobserved


@pytest.mark.parametrize(("ratio", "undone"), [(None, False), (3.0, False), (1.5, True)])
def test_latency_is_judged_only_when_a_ratio_is_given(ratio, undone):
    canary = {"seconds": CANARY} | ({"maxLatencyRatio": ratio} if ratio else {})
    world = updated(rollout={"canary": canary})
    first(world, ready=True)
    asked(world, new=(300, 0), old=(100, 0), seconds=(6.0, 1.0))
    if undone:
        assert_rolled_back(world, "CanaryLatency")
    else:
        assert_goes_on(world)


def test_requests_that_were_refused_make_no_prediction_faster():
    world = updated(rollout={"canary": {"seconds": CANARY, "maxLatencyRatio": 2.0}})
    first(world, ready=True)
    asked(world, new=(400, 0), old=(200, 0), seconds=(10.0, 2.0))
    slow = world.readings["cat-new"]
    world.readings["cat-new"] = replace(slow, predictions=100)
    assert_rolled_back(world, "CanaryLatency")


@pytest.mark.parametrize("tells", [True, False])
def test_new_pods_that_nobody_asks_while_the_old_ones_are_asked_are_waited_for_a_while(tells):
    world = updated()
    first(world, ready=True)
    world.plan()
    asked(world, new=(0, 0), old=(34, 0))
    if not tells:
        del world.readings["cat-new"]
    world.wait(CANARY + UNASKED_SECONDS - 1).settle()
    assert held(world), "nothing is known of how they would answer"
    assert "counted from the first request" in world.status()["message"]
    world.wait(1).settle()
    assert not held(world)


def test_new_pods_that_are_asked_late_are_watched_as_long_as_any_others():
    world = updated()
    first(world, ready=True)
    world.plan()
    asked(world, new=(0, 0), old=(34, 0))
    world.wait(CANARY + 10).settle()
    asked(world, new=(1, 0), old=(68, 0))
    world.settle()
    world.wait(CANARY - 1).settle()
    assert held(world), "a first answer says little"
    world.wait(1).settle()
    assert not held(world)


def test_errors_of_new_pods_that_are_asked_late_are_found_before_an_old_pod_goes():
    world = updated()
    first(world, ready=True)
    world.plan()
    asked(world, new=(0, 0), old=(34, 0))
    world.wait(CANARY + 10).settle()
    asked(world, new=(5, 5), old=(68, 0))
    world.settle()
    assert held(world)
    asked(world, new=(25, 25), old=(80, 0))
    assert_rolled_back(world, "CanaryErrorRate")


def test_where_few_requests_come_at_all_time_alone_decides():
    world = updated()
    first(world, ready=True)
    world.plan()
    asked(world, new=(0, 0), old=(33, 0))
    world.wait(CANARY).settle()
    assert not held(world)
