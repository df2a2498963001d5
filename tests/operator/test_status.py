import copy
from datetime import timedelta

import pytest

from catfish_operator import plan as planning
from catfish_operator import reasons, status
from catfish_operator.observed import Reading
from catfish_operator.resources.metadata import selector
from tests.operator.world import NOW, World, body, revision_pod


def settled(**spec):
    return World(body(**spec)).prove()


def said(world):
    conditions = world.status()["conditions"]
    return {item["type"]: (item["status"], item["reason"]) for item in conditions}


def condition(kind, word, reason, message):
    return {
        "type": kind,
        "status": word,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-02T03:07:25Z",
        "reason": reason,
        "message": message,
    }


def test_a_model_that_is_settled_says_so_in_every_field():
    world = settled(replicas=2)
    world.service()["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    target = world.plan().target

    loaded = "A pod of the target revision has fetched, verified and loaded the weights."
    times = {"startedAt": "2026-01-02T03:04:05Z", "result": "Completed"}
    everything = "Every pod runs what the spec asks for."
    loose = (
        f"Going back to {target} is only as good as its tag and its URL: it names no digest of the image and no "
        "sha256 of the weights."
    )
    assert world.status() == {
        "observedGeneration": 1,
        "message": f"2 pods serve {target} at http://192.0.2.1.",
        "conditions": [
            condition("Ready", "True", "Serving", "A pod behind the Service answers."),
            condition("UpToDate", "True", "RolloutCompleted", f"{everything} {loose}"),
            condition("Reconciling", "False", "RolloutCompleted", everything),
            condition("Stalled", "False", "NotStalled", "Nothing is in the way."),
            condition("WeightsReady", "True", "WeightsLoaded", loaded),
        ],
        "selector": "app.kubernetes.io/instance=cat,app.kubernetes.io/name=catfish-model",
        "replicas": 2,
        "readyReplicas": 2,
        "updatedReplicas": 2,
        "availableReplicas": 2,
        "url": "http://192.0.2.1",
        "targetRevision": target,
        "stableRevision": target,
        "servingRevisions": [{"name": target, "image": "catfish-server:v1", "pods": 2}],
        "rollout": times | {"finishedAt": "2026-01-02T03:05:45Z"},
        "history": [{"revision": target, "image": "catfish-server:v1"} | times],
    }


def test_a_new_model_is_neither_ready_nor_up_to_date():
    world = World(body())
    assert said(world) == {
        "Ready": ("False", "NoService"),
        "UpToDate": ("False", "RolloutStarted"),
        "Reconciling": ("True", "RolloutStarted"),
        "Stalled": ("False", "NotStalled"),
        "WeightsReady": ("False", "WeightsAwaited"),
    }


def test_it_stays_ready_while_a_rollout_is_under_way_and_counts_no_old_pod_as_updated():
    world = settled(replicas=2)
    world.change(image="catfish-server:v2")
    world.settle()
    assert said(world)["Ready"] == ("True", "Serving")
    assert said(world)["UpToDate"] == ("False", "Canary")
    assert world.status()["updatedReplicas"] == 0


def test_it_is_not_up_to_date_while_a_pod_of_another_revision_lives():
    world = settled()
    world.pods.append(revision_pod("cat-old", "cat-0000000000"))
    assert said(world)["UpToDate"] == ("False", "RolloutStarted")


def test_it_is_not_up_to_date_while_something_is_left_to_write():
    world = settled()
    world.change(service={"port": 81})
    assert said(world)["UpToDate"] == ("False", "Applying")


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ({"updatedReplicas": 1}, "RolloutStarted"),
        ({"replicas": 3}, "Scaling"),
        ({"availableReplicas": 1}, "PodsStarting"),
        ({"observedGeneration": 0}, "Applying"),
    ],
    ids=str,
)
def test_reconciling_says_what_is_awaited(counts, reason):
    world = settled(replicas=2)
    world.deployment()["status"] |= counts
    assert said(world)["Reconciling"] == ("True", reason)
    assert said(world)["UpToDate"] == ("False", reason)


def test_a_pod_that_is_ending_does_not_count_as_serving():
    world = settled()
    world.pods[0]["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    assert said(world)["Ready"] == ("False", "NoReadyPods")


def test_without_its_service_it_is_not_ready():
    world = settled()
    del world.objects["Service", "cat"]
    assert said(world)["Ready"] == ("False", "NoService")


def test_no_pods_wanted_is_settled_and_not_ready():
    world = settled(replicas=0)
    assert said(world)["Ready"] == ("False", "ScaledToZero")
    assert said(world)["UpToDate"] == ("True", "ScaledToZero")
    assert said(world)["Reconciling"] == ("False", "ScaledToZero")


def test_a_refused_write_is_what_status_speaks_of():
    observed = settled().observed()
    refused = reasons.stalled("QuotaExceeded", "exceeded quota: q")
    found = status.status(observed, planning.plan(observed), refused=refused)
    assert found["message"].endswith("; a quota of the namespace is used up: exceeded quota: q.")
    assert {item["type"]: item["status"] for item in found["conditions"]}["Stalled"] == "True"


def test_an_invalid_spec_keeps_saying_what_serves():
    world = settled()
    world.change(replicas=-1)
    assert said(world)["Ready"] == ("True", "Serving")
    assert said(world)["Stalled"] == ("True", "InvalidSpec")


def test_a_condition_keeps_its_time_until_its_status_changes():
    world = settled()
    world.model["status"] = world.status()
    observed = world.observed(now=NOW + timedelta(hours=1))
    assert status.status(observed, planning.plan(observed)) == world.model["status"]
    assert not status.differs(world.model["status"], status.status(observed, planning.plan(observed)))
    world.pods = []
    observed = world.observed(now=NOW + timedelta(hours=1))
    times = {
        item["type"]: item["lastTransitionTime"]
        for item in status.status(observed, planning.plan(observed))["conditions"]
    }
    assert times["Ready"] == "2026-01-02T04:04:05Z"
    assert times["Stalled"] == "2026-01-02T03:07:25Z"


def test_a_foreign_deployment_and_service_are_not_spoken_of_as_ours():
    world = settled()
    for live in (world.deployment(), world.service()):
        live["metadata"] = copy.deepcopy(live["metadata"]) | {
            "ownerReferences": [],
            "labels": selector("cat"),
        }
    assert said(world)["Ready"] == ("False", "NoService")
    assert world.status()["replicas"] == 0
    assert "url" not in world.status()


def test_every_reason_that_an_image_may_report_has_a_sentence():
    assert set(reasons.STALLED) >= reasons.REPORTED


@pytest.mark.parametrize(
    ("image", "sha256", "note"),
    [
        ("catfish-server:v1", None, "as its tag and its URL: it names no digest of the image and no sha256"),
        ("catfish-server:v1", "1" * 64, "as its tag: it names no digest of the image"),
        ("catfish-server@sha256:" + "2" * 64, None, "as its URL: it names no sha256"),
        ("catfish-server@sha256:" + "2" * 64, "1" * 64, None),
    ],
)
def test_what_may_become_another_thing_under_its_name_is_told(image, sha256, note):
    weights = {"url": "https://models.example.com/cat.pt"} | ({"sha256": sha256} if sha256 else {})
    world = settled(image=image, weights=weights)
    message = next(item["message"] for item in world.status()["conditions"] if item["type"] == "UpToDate")
    assert message.startswith("Every pod runs what the spec asks for.")
    assert ("Going back" in message) == (note is not None)
    assert (note or "") in message


def test_what_came_of_the_golden_images_is_told():
    world = settled()
    world.readings = {
        item["metadata"]["name"]: Reading(golden={"right": 3, "total": 4}) for item in world.pods
    }
    world.settle()
    world.readings = {}
    message = next(item["message"] for item in world.status()["conditions"] if item["type"] == "WeightsReady")
    assert message.endswith("loaded the weights: 3 of 4 golden images were answered right.")


def test_a_status_turns_with_a_condition_a_reason_or_a_fact_and_not_with_a_count():
    world = World(body(replicas=2))
    world.settle()
    before = world.status()
    assert not status.turns(before, before)
    assert status.turns(None, before)
    live = world.deployment()
    live["status"] = {
        "observedGeneration": live["metadata"]["generation"],
        "replicas": 2,
        "updatedReplicas": 2,
    }
    counted = world.status()
    assert counted != before
    assert not status.turns(before, counted)
    world.roll_out()
    assert status.turns(counted, world.status())
    assert status.turns(before, {**before, "url": "http://cat"})
