"""After an update has failed, was overtaken, paused, or left by an earlier operator."""

import copy
import json

from catfish_operator.observed import Reading
from catfish_operator.resources import revision
from tests.operator.rollouts.scenes import (
    BAKE,
    DEADLINE,
    V2,
    assert_rolled_back,
    count,
    failed_for,
    first,
    held,
    live_revision,
    proven,
    said,
    updated,
)
from tests.operator.test_rollout import container, ended, report
from tests.operator.world import World, body


def test_a_reason_of_the_world_is_tried_again_after_1_2_4_8_10_10_minutes():
    world = failed_for("WeightsUnreachable", retriable=True)
    for minutes in (1, 2, 4, 8, 10, 10):
        world.wait(60 * minutes - 1).settle()
        assert live_revision(world) == world.stable
        world.wait(1).settle()
        assert live_revision(world) == world.target
        assert held(world)
        ends = container(ended(report(reason="WeightsUnreachable", retriable=True)))
        first(world, ready=False, containerStatuses=[ends])
        world.plan()
        world.wait(DEADLINE).settle()
        world.pods = world.pods[:3]
        count(world)


def test_any_other_reason_is_never_tried_again_by_itself():
    world = failed_for("ChecksumMismatch")
    for _ in range(20):
        world.wait(3600).settle()
    assert live_revision(world) == world.stable
    assert world.plan().requeue_after is None


def test_the_annotation_retry_tries_again_once_for_each_new_value():
    world = failed_for("ChecksumMismatch")
    world.model["metadata"]["annotations"] = {"catfish.dev/retry": "1"}
    world.settle()
    assert live_revision(world) == world.target
    first(world, ready=False, containerStatuses=[container(ended(report()))])
    assert_rolled_back(world, "ChecksumMismatch")
    world.wait(9999).settle()
    assert live_revision(world) == world.stable


def test_a_spec_that_asks_again_for_what_has_failed_is_told_that_it_is_quarantined():
    world = failed_for("ChecksumMismatch")
    world.change(image="catfish-server:v1")
    world.settle()
    assert said(world)["UpToDate"][0] == "True"
    world.change(**V2)
    world.settle()
    assert live_revision(world) == world.stable
    assert said(world)["UpToDate"] == ("False", "RevisionQuarantined")
    assert said(world)["Stalled"] == ("True", "ChecksumMismatch")


def test_another_spec_is_a_fresh_try():
    world = failed_for("ChecksumMismatch")
    world.change(image="catfish-server:v3")
    world.settle()
    assert held(world)
    assert said(world)["Stalled"] == ("False", "NotStalled")
    assert world.status()["failedRevisions"][0]["name"] == world.target


def test_v1_v2_v3_without_waiting_supersedes_v2():
    world = updated()
    world.change(image="catfish-server:v3")
    world.settle()
    assert world.record(world.target).result == "Superseded"
    assert held(world)
    first(world, ready=False, containerStatuses=[container(ended(report()))])
    world.settle()
    assert live_revision(world) == world.stable


def test_v1_v2_v1_goes_straight_back_without_hold_and_bake():
    world = updated()
    world.change(image="catfish-server:v1")
    world.settle()
    assert world.deployment()["spec"]["template"] == world.before
    assert not held(world)
    world.roll_out()
    world.settle()
    assert said(world)["Reconciling"] == ("False", "RolloutCompleted")


def test_paused_leaves_the_pods_as_they_are_until_it_is_resumed():
    world = proven(rollout={"paused": True})
    world.change(**V2)
    world.settle()
    assert live_revision(world) != world.plan().target
    assert not held(world), "the hold is one of v2's, and v1 serves"
    assert said(world)["UpToDate"] == ("False", "Paused")
    assert said(world)["Stalled"][0] == "False"
    assert said(world)["Reconciling"] == ("True", "Paused"), "what waits is not there yet"
    world.change(rollout={"paused": False})
    world.settle()
    assert live_revision(world) == world.plan().target
    assert held(world)


def test_a_pause_hides_no_crash_of_what_serves_alone():
    world = proven(rollout={"paused": True})
    world.pods[0]["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
    world.pods[0]["status"]["containerStatuses"] = [container(ended(), last=ended(), restarts=5)]
    world.deployment()["status"] |= {"availableReplicas": 2, "readyReplicas": 2}
    assert said(world)["Stalled"] == ("True", "CrashLooping")
    assert said(world)["UpToDate"][1] != "Paused"


def test_pods_with_other_images_or_weights_in_one_revision_are_reported():
    world = proven(replicas=2)
    for item, image in zip(world.pods, ("sha256:a", "sha256:b"), strict=True):
        item["status"]["containerStatuses"] = [{"name": "server", "imageID": image, "ready": True}]
    assert said(world)["Ready"] == ("True", "ImageChanged")
    for item in world.pods:
        item["status"]["containerStatuses"][0]["imageID"] = "sha256:a"
    world.readings = {
        item["metadata"]["name"]: Reading(weights={"sha256": letter * 64})
        for item, letter in zip(world.pods, "ab", strict=True)
    }
    assert said(world)["Ready"] == ("True", "WeightsChanged")
    assert [item["pods"] for item in world.status()["servingRevisions"]] == [1, 1]


def test_a_single_pod_that_got_another_image_under_the_same_tag_is_reported():
    world = proven(replicas=1)
    running(world, image_id="sha256:a")
    world.settle()
    assert said(world)["Ready"] == ("True", "Serving")
    running(world, image_id="sha256:b")
    assert said(world)["Ready"] == ("True", "ImageChanged")


def running(world, *, image_id):
    """The only pod runs this image."""
    (only,) = world.pods
    only["status"]["containerStatuses"] = [{"name": "server", "imageID": image_id, "ready": True}]


def test_the_same_image_under_the_name_of_a_mirror_is_the_same():
    world = proven(replicas=1)
    running(world, image_id="docker.io/library/catfish-server@sha256:a")
    world.settle()
    running(world, image_id="mirror.example.com/catfish-server@sha256:a")
    assert said(world)["Ready"] == ("True", "Serving")


def test_another_try_may_find_other_things_under_the_same_names():
    world = updated()
    first(world, ready=False, containerStatuses=[container(ended(report())) | {"imageID": "sha256:a"}])
    world.readings = {"cat-new": Reading(stage="loading", weights={"sha256": "1" * 64})}
    assert_rolled_back(world, "ChecksumMismatch")
    assert world.record(world.target).image_id == "sha256:a"
    world.pods = world.pods[:3]
    world.model["metadata"]["annotations"] = {"catfish.dev/retry": "1"}
    world.readings = {}
    world.settle()
    first(world, containerStatuses=[container(ready=True) | {"imageID": "sha256:b"}])
    world.readings = {"cat-new": Reading(stage="ready", weights={"sha256": "2" * 64})}
    world.settle()
    told = world.record(world.target)
    assert (told.image_id, told.weights["sha256"][:1]) == ("sha256:b", "2")


def test_a_mesh_sidecar_before_the_server_counts_for_nothing():
    world = proven(replicas=1)
    proxy = {"name": "istio-proxy", "imageID": "sha256:proxy", "ready": True, "restartCount": 1}
    server = {"name": "server", "imageID": "sha256:server", "ready": True, "restartCount": 0}
    world.pods[0]["status"]["containerStatuses"] = [proxy, server]
    assert [item["imageID"] for item in world.status()["servingRevisions"]] == ["sha256:server"]
    world.change(**V2)
    world.settle()
    world.stable, world.target = world.status()["stableRevision"], world.plan().target
    first(world, ready=True, containerStatuses=[proxy, server])
    world.plan()
    ends = server | {"restartCount": 1, "lastState": ended(code=1)}
    first(world, ready=True, containerStatuses=[proxy, ends])
    world.settle()
    assert world.record(world.target).verdict == "failed"


def test_the_weights_that_the_status_names_are_those_that_serve():
    world = proven()
    digests = {"1": "1" * 64, "2": "2" * 64}
    names = [item["metadata"]["name"] for item in world.pods]
    world.readings = {name: Reading(stage="ready", weights={"sha256": digests["1"]}) for name in names}
    world.change(image="catfish-server:v1b")
    world.settle()
    first_name = world.plan().target
    world.stable = first_name
    world.prove()
    world.readings = {name: Reading(stage="ready", weights={"sha256": digests["1"]}) for name in names}
    world.change(**V2)
    world.settle()
    world.target = world.plan().target
    first(world, ready=False, containerStatuses=[container(ended(report(reason="ArchitectureMismatch")))])
    world.readings["cat-new"] = Reading(stage="loading", weights={"sha256": digests["2"]})
    world.settle()
    assert world.record(world.target).weights == {"sha256": digests["2"]}
    assert (world.status().get("weights") or {}).get("sha256") != digests["2"]
    assert said(world)["WeightsReady"] == ("False", "ArchitectureMismatch")


def test_weights_that_are_fetched_and_not_loaded_are_not_ready():
    world = World(body())
    world.settle()
    world.roll_out(ready=False)
    for stage, word in {"loading": "False", "warming": "True"}.items():
        world.readings = {"cat-0": Reading(stage=stage, weights={"sha256": "1" * 64})}
        world.settle()
        assert said(world)["WeightsReady"][0] == word, stage


def test_a_revision_that_an_earlier_operator_left_without_a_word_is_baked_and_not_touched():
    world = proven()
    item = world.objects["ControllerRevision", world.plan().target]
    for name in ("labels", "annotations"):
        item["metadata"][name] = {
            key: value
            for key, value in item["metadata"].get(name, {}).items()
            if key not in ("catfish.dev/verdict", "catfish.dev/rollout")
        }
    before = copy.deepcopy(world.deployment())
    world.watch = type(world.watch)()
    world.settle()
    world.wait(BAKE).settle()
    assert world.deployment() == before
    assert world.record(world.plan().target).verdict == "proven"


def test_an_overtaken_rollout_is_closed_where_the_spec_goes_back_to_what_has_failed():
    world = failed_for("ChecksumMismatch")
    world.change(image="catfish-server:v3")
    world.settle()
    overtaken = world.plan().target
    world.change(**V2)
    world.settle()
    assert world.record(overtaken).result == "Superseded"


def test_a_passing_conflict_forgets_nothing():
    world = failed_for("ChecksumMismatch")
    before = world.status()
    owner = {"apiVersion": "v1", "kind": "Other", "name": "x", "uid": "x", "controller": True}
    mine = world.service()["metadata"]["ownerReferences"]
    world.service()["metadata"]["ownerReferences"] = [owner]
    after = world.status()
    assert said(world)["Stalled"] == ("True", "NameConflict")
    for field in ("stableRevision", "failedRevisions", "history", "rollout"):
        assert after[field] == before[field]
    world.service()["metadata"]["ownerReferences"] = mine


def test_a_bake_that_is_over_while_a_pod_is_missing_is_not_looked_at_all_the_time():
    world = World(body(replicas=3))
    world.settle()
    world.roll_out()
    world.pods[2]["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
    world.deployment()["status"]["availableReplicas"] = 2
    world.settle()
    assert world.wait(BAKE + 60).settle().requeue_after >= 2


def test_annotations_that_cannot_be_read_count_as_never_written():
    world = proven()
    item = world.objects["ControllerRevision", world.plan().target]
    told = (
        {"startedAt": 1, "result": "x"},
        {"reason": "WeightsNotFound", "failedAt": "", "retryAt": "soon", "startedAt": "soon"},
        {"reason": "WeightsNotFound", "retryAt": "2026-01-01T00:00:00", "startedAt": "2026-01-01"},
    )
    for value in ("{", "[]", *map(json.dumps, told)):
        item["metadata"]["annotations"] = {"catfish.dev/rollout": value, "catfish.dev/failure": value}
        assert world.record(world.plan().target).started_at is None
        world.settle()


def test_the_record_is_no_part_of_what_shapes_pods():
    world = updated()
    kept = world.objects["ControllerRevision", world.target]
    assert kept["metadata"]["name"] == revision.name(world.plan().model)
    assert set(kept["data"]) == {"inputs", "template"}
