"""What is worth an Event: pairs of statuses, and actions on what was seen."""

import pytest

from catfish_operator import announce, reasons
from tests.operator.rollouts.scenes import BAKE, CANARY, asked, first, held, updated
from tests.operator.world import World, body, foreign


def status(*, up_to_date=(True, "RolloutCompleted"), reconciling=None, stalled=None, rollout=None):
    """A status with the conditions given as (true, reason)."""
    said = {
        "UpToDate": up_to_date,
        "Reconciling": (True, reconciling) if reconciling else (False, up_to_date[1]),
        "Stalled": (True, stalled) if stalled else (False, "NotStalled"),
    }
    conditions = [
        {"type": kind, "status": str(true), "reason": reason, "message": f"About {reason}."}
        for kind, (true, reason) in said.items()
    ]
    return {"conditions": conditions} | ({"rollout": rollout} if rollout else {})


def moving(reason):
    return status(up_to_date=(False, reason), reconciling=reason)


def stuck(reason, **more):
    return status(up_to_date=(False, reason), stalled=reason, **more)


ROLLED_BACK = status(up_to_date=(False, "RolledBack"), stalled="ChecksumMismatch")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, moving("Applying"), []),
        (moving("Applying"), moving("RolloutStarted"), []),
        (moving("RolloutStarted"), status(), [("Normal", "RolloutCompleted", "RollOut")]),
        (status(), status(), []),
        (moving("RolloutStarted"), stuck("OutOfMemory"), [("Warning", "OutOfMemory", "RollOut")]),
        (stuck("OutOfMemory"), stuck("OutOfMemory"), []),
        (stuck("OutOfMemory"), stuck("CrashLooping"), [("Warning", "CrashLooping", "RollOut")]),
        (
            moving("RolloutStarted"),
            ROLLED_BACK,
            [("Warning", "ChecksumMismatch", "RollOut"), ("Warning", "RolledBack", "RollBack")],
        ),
        (ROLLED_BACK, ROLLED_BACK, []),
        (stuck("ChecksumMismatch"), ROLLED_BACK, [("Warning", "RolledBack", "RollBack")]),
        (
            moving("RolloutStarted"),
            status(up_to_date=(True, "RolloutCompleted"), reconciling="Baking"),
            [("Normal", "RolloutCompleted", "RollOut")],
        ),
        (
            status(up_to_date=(True, "RolloutCompleted"), reconciling="Baking"),
            status(),
            [],
        ),
        (status(), status(up_to_date=(False, "Paused")), [("Normal", "Paused", "Pause")]),
        (status(), moving("Scaling"), [("Normal", "Scaling", "Scale")]),
    ],
)
def test_each_new_reason_is_told_once(before, after, told):
    found = announce.changes(before, after)
    assert [(one.type, one.reason, one.action) for one in found] == told
    assert all(one.message == f"About {one.reason}." for one in found)


@pytest.mark.parametrize(
    ("before", "told"),
    [
        (None, ["RolloutStarted", "RolloutCompleted"]),
        (status(), ["RolloutStarted"]),
        (status(rollout={"startedAt": "2026-01-01T00:00:00Z"}), ["RolloutStarted"]),
        (status(rollout={"startedAt": "2026-01-02T00:00:00Z"}), []),
    ],
)
def test_a_rollout_that_is_over_at_once_is_told_too(before, told):
    after = status(rollout={"startedAt": "2026-01-02T00:00:00Z"}) | {"targetRevision": "cat-1"}
    found = announce.changes(before, after)
    assert [one.reason for one in found] == told
    assert all(one.message == "Revision cat-1 is being rolled out." for one in found[: len(told) and 1])


def test_every_reason_that_can_stall_is_a_warning():
    for reason in reasons.STALLED:
        assert [one.type for one in announce.changes(None, stuck(reason))] == ["Warning"]


@pytest.mark.parametrize("reason", ["ImageChanged", "WeightsChanged"])
def test_pods_that_differ_without_a_rollout_are_a_warning_once(reason):
    def ready(word):
        return {
            "conditions": [{"type": "Ready", "status": "True", "reason": word, "message": "Pods differ."}]
        }

    (one,) = announce.changes(ready("Serving"), ready(reason))
    assert (one.type, one.reason, one.message) == ("Warning", reason, "Pods differ.")
    assert announce.changes(ready(reason), ready(reason)) == ()
    assert announce.changes(ready(reason), ready("Serving")) == ()


def test_what_only_an_event_tells_is_in_the_list():
    words = {announce.CANARY_UNOBSERVED, announce.DRIFT_REPAIRED, announce.SUPERSEDED}
    assert words == reasons.EVENTS.keys()


def test_a_message_that_alone_changes_is_not_told():
    after = stuck("CrashLooping")
    after["conditions"][2]["message"] = "exit code 2"
    assert announce.changes(stuck("CrashLooping"), after) == ()


def test_a_long_message_is_cut_to_what_the_api_takes():
    after = stuck("CrashLooping")
    after["conditions"][2]["message"] = "x" * 5000
    assert [len(one.message) for one in announce.changes(None, after)] == [1024]


@pytest.mark.parametrize(
    ("before", "after", "ended"),
    [
        (None, status(), None),
        (None, status(rollout={"startedAt": "1"}), None),
        (
            status(rollout={"startedAt": "1"}),
            status(rollout={"startedAt": "1", "finishedAt": "2", "result": "Completed"}),
            ("Completed", "RolloutCompleted"),
        ),
        (
            status(rollout={"startedAt": "1"}),
            {**ROLLED_BACK, "rollout": {"startedAt": "1", "finishedAt": "2", "result": "RolledBack"}},
            ("RolledBack", "ChecksumMismatch"),
        ),
        (
            status(rollout={"startedAt": "1", "finishedAt": "2", "result": "Completed"}),
            stuck("OutOfMemory", rollout={"startedAt": "1", "finishedAt": "2", "result": "Completed"}),
            None,
        ),
        (status(), status(rollout={"startedAt": "1", "result": "Paused"}), None),
    ],
)
def test_a_rollout_is_counted_when_it_ends(before, after, ended):
    assert announce.finished_rollouts(before, after) == ((ended,) if ended else ())


OLD, NEW = ({"targetRevision": name} for name in ("cat-old", "cat-new"))


@pytest.mark.parametrize(
    ("before", "after", "ended"),
    [
        ({"startedAt": "1"}, {"startedAt": "2"}, [("Superseded", "Superseded")]),
        ({"startedAt": "1", "result": "Paused"}, {"startedAt": "1"}, [("Superseded", "Superseded")]),
        ({"startedAt": "1", "result": "Completed"}, {"startedAt": "2"}, []),
        ({"startedAt": "1", "result": "RolledBack"}, {"startedAt": "2"}, []),
        ({}, {"startedAt": "2"}, []),
        (
            {"startedAt": "1"},
            {"startedAt": "2", "result": "Completed"},
            [("Superseded", "Superseded"), ("Completed", "RolloutCompleted")],
        ),
    ],
)
def test_a_rollout_that_another_one_overtakes_is_counted_and_told(before, after, ended):
    before, after = status(rollout=before) | OLD, status(rollout=after) | NEW
    assert announce.finished_rollouts(before, after) == tuple(ended)
    told = [one.message for one in announce.changes(before, after) if one.reason == "Superseded"]
    assert len(told) == sum(reason == "Superseded" for _, reason in ended)
    assert all("cat-old" in text and "cat-new" in text for text in told)
    assert announce.finished_rollouts(after, after) == ()


@pytest.fixture
def world():
    """A model whose objects are all there."""
    world = World(body())
    world.settle()
    return world


ENV = {"spec": {"template": {"spec": {"containers": [{"name": "server", "env": [{"name": "X"}]}]}}}}
IMAGE = {"spec": {"template": {"spec": {"containers": [{"name": "server", "image": "other"}]}}}}
RESTART = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}


def told(world):
    """What is told of the actions that are planned now."""
    observed = world.observed()
    return [one for action in world.plan().actions for one in announce.repaired(observed, action)]


@pytest.mark.parametrize("change", [ENV, IMAGE, RESTART], ids=["set env", "set image", "rollout restart"])
def test_a_pod_template_that_is_put_back_names_the_command_to_use(world, change):
    foreign(world.deployment(), change)
    (one,) = told(world)
    assert (one.type, one.reason, one.action) == ("Warning", "DriftRepaired", "Repair")
    assert "`kubectl catfish restart cat`" in one.message


def test_a_selector_that_is_put_back_is_told(world):
    foreign(world.service(), {"spec": {"selector": {"more": "than ours"}}})
    assert [one.reason for one in told(world)] == ["DriftRepaired"]


@pytest.mark.parametrize(
    "change",
    [{"image": "catfish-server:v2"}, {"replicas": 3}, {"service": {"type": "LoadBalancer", "port": 81}}],
)
def test_what_a_new_spec_changes_is_no_drift(world, change):
    world.change(**change)
    assert world.plan().actions
    assert told(world) == []


def test_what_is_made_for_the_first_time_is_no_drift():
    assert told(World(body())) == []


@pytest.mark.parametrize(("requests", "reasons"), [(99, ["CanaryUnobserved"]), (100, [])])
def test_a_release_that_nothing_was_compared_for_is_told_once(requests, reasons):
    world = updated()
    first(world, ready=True)
    world.plan()
    asked(world, new=(requests, 0), old=(100, 0))
    world.plan()
    found = unobserved(world.wait(CANARY))
    assert not held(world)
    assert [(one.type, one.reason) for one in found] == [("Normal", reason) for reason in reasons]
    assert all(world.target in one.message for one in found)
    world.roll_out()
    world.plan()
    assert unobserved(world.wait(BAKE)) == []
    assert world.record(world.target).verdict == "proven"


def unobserved(world):
    """What is told while the world settles."""
    found = []
    while actions := world.plan().actions:
        found += announce.unobserved(world.observed(), actions[0])
        world.do(actions[0])
    return found


def test_a_note_is_cut_by_bytes():
    status = {
        "conditions": [
            {"type": "Stalled", "status": "True", "reason": "InvalidSpec", "message": "\u9c7c" * 600}
        ]
    }
    [found] = announce.changes(None, status)
    assert 1000 < len(found.message.encode()) <= announce.NOTE
