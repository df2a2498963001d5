"""Updates, good and bad, under a real Deployment controller. A scripted kubelet plays the pods."""

import json
import time

import pytest

from tests.integration.audit import Audit
from tests.integration.kubelet import failing, kubelet, running
from tests.integration.operator_process import condition, settled, wait_for
from tests.integration.update import CHECKSUM, Update, starting

DEADLINE = 8


@pytest.fixture
def scene(api, operator, namespace):  # noqa: ARG001 - it runs meanwhile
    with kubelet(api, namespace) as nodes:
        yield Update(api, namespace, nodes)


def test_a_good_update_is_held_at_one_pod_then_released_and_proven(scene):
    scene.pods_of_v2 = starting()
    scene.update()
    wait_for(
        lambda: (scene.replica_set(":v2") or {}).get("status", {}).get("replicas") == 1, what="one v2 pod"
    )
    assert scene.deployment()["spec"]["minReadySeconds"] > 10**8
    assert scene.ready_v1() == 3
    scene.pods_of_v2 = running()
    wait_for(
        lambda: condition(scene.body(), "UpToDate").get("status") == "True", seconds=60, what="v2 is out"
    )
    body = wait_for(
        lambda: (body := scene.body())["status"]["stableRevision"] != scene.v1 and settled(body) and body,
        seconds=60,
        what="v2 is proven",
    )
    assert body["status"]["rollout"]["result"] == "Completed"
    assert [item["result"] for item in body["status"]["history"]] == ["Completed", "Completed"]


def test_a_bad_update_is_undone_with_v1_whole_all_the_while_and_costs_nothing_afterwards(
    scene, plane, operator
):
    scene.pods_of_v2 = failing(CHECKSUM)
    scene.update()
    scene.wait_rolled_back("ChecksumMismatch")
    assert scene.least == 3
    assert scene.ready_v1() == 3
    assert "spec.weights.sha256: not these bytes" in scene.body()["status"]["message"]
    operator.wait_resyncs(1)  # the status tells by then that v2's pod is gone
    audit = Audit(plane.audit_log)
    operator.wait_resyncs(2)
    assert audit.writes(scene.namespace) == []


def test_a_pause_leaves_the_pods_as_they_are_and_what_was_asked_for_follows_after_it(scene, operator):
    scene.update(paused=True)
    wait_for(lambda: condition(scene.body(), "UpToDate").get("reason") == "Paused", what="the pause")
    operator.wait_resyncs(1)
    assert (scene.replica_set(":v2"), scene.ready_v1()) == (None, 3)
    scene.update(paused=False)
    wait_for(lambda: scene.verdict() == "proven", seconds=60, what="v2 is proven")


def test_a_rollback_waits_for_the_end_of_a_pause(scene, operator):
    scene.pods_of_v2 = starting()
    scene.update()
    wait_for(lambda: scene.pods_of(":v2"), what="a pod of v2")
    scene.update(paused=True)
    wait_for(lambda: condition(scene.body(), "UpToDate").get("reason") == "Paused", what="the pause")
    scene.pods_of_v2 = failing(CHECKSUM)
    wait_for(lambda: "terminated" in json.dumps(scene.pods_of(":v2")[0]["status"]), what="v2 ends")
    operator.wait_resyncs(1)
    assert scene.deployment()["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":v2")
    scene.update(paused=False)
    scene.wait_rolled_back("ChecksumMismatch")
    assert scene.least == 3


def test_no_progress_is_undone_at_the_deadline(scene):
    scene.pods_of_v2 = starting()
    begun = time.monotonic()
    scene.update(progressDeadlineSeconds=DEADLINE)
    wait_for(lambda: scene.verdict() == "failed", seconds=DEADLINE + 30, what="the verdict")
    assert time.monotonic() - begun > DEADLINE - 1  # times in Kubernetes are whole seconds
    scene.wait_rolled_back("ProgressDeadlineExceeded")
    assert scene.least == 3


def test_a_pod_that_ends_after_it_was_ready_while_baking_is_undone(scene):
    scene.update()
    wait_for(
        lambda: condition(scene.body(), "Reconciling").get("reason") == "Baking", seconds=60, what="baking"
    )
    scene.pods_of_v2 = failing("panic", exit_code=3)
    scene.wait_rolled_back("CrashLooping")
    wait_for(lambda: scene.ready_v1() == 3, what="v1 is whole again")


@pytest.mark.parametrize("verb", ["rollout restart", "set env"])
def test_what_kubectl_does_to_the_deployment_is_undone_in_five_seconds(scene, plane, verb):
    arguments = {"rollout restart": ("rollout", "restart"), "set env": ("set", "env")}[verb]
    more = ("MINE=1",) if verb == "set env" else ()
    before = scene.deployment()["spec"]["template"]
    plane.kubectl(*arguments, "deployment/cat", "-n", scene.namespace, *more)
    wait_for(lambda: scene.deployment()["spec"]["template"] == before, seconds=5, what="it is undone")
    wait_for(lambda: scene.hash_of(":v1") == scene.hash, seconds=30, what="only pods as before are left")
