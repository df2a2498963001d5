"""The operator dies during a bad update: v1 stays whole, and whoever comes after it finishes the job."""

import json

import pytest

from tests.integration.kubelet import failing, kubelet, running
from tests.integration.operator_process import PODS, wait_for
from tests.integration.update import CHECKSUM, Update, starting


@pytest.fixture
def scene(start, api, namespace):
    """An update under an operator that is started and killed by the test: `scene.operator`."""
    operator = start(CATFISH_RESYNC_SECONDS="3").wait_ready()
    with kubelet(api, namespace) as nodes:
        update = Update(api, namespace, nodes)
        update.operator = operator
        yield update


def test_killed_while_the_first_pod_starts(scene, start, api):
    scene.pods_of_v2 = starting()
    scene.update()
    wait_for(lambda: scene.replica_set(":v2"), what="v2 is there")
    scene.operator.kill()
    scene.pods_of_v2 = failing(CHECKSUM)
    pods = PODS.format(scene.namespace)
    wait_for(lambda: "CrashLoopBackOff" in json.dumps(api.items(pods)), what="v2 fails with nobody there")
    assert scene.ready_v1() == 3
    start(CATFISH_RESYNC_SECONDS="3").wait_ready()
    scene.wait_rolled_back("ChecksumMismatch")
    assert scene.least == 3
    assert scene.ready_v1() == 3


def test_killed_between_the_verdict_and_the_way_back(scene, start):
    """The worst moment: the successor finds the verdict, and the pod that showed the fault may be gone."""
    scene.pods_of_v2 = failing(CHECKSUM)
    scene.update()
    wait_for(lambda: scene.verdict() == "failed", what="the verdict")
    scene.operator.kill()
    scene.pods_of_v2 = running()
    start(CATFISH_RESYNC_SECONDS="3").wait_ready()
    scene.wait_rolled_back("ChecksumMismatch")
    assert scene.least == 3
    assert scene.ready_v1() == 3


def test_killed_while_the_first_pod_is_watched_holds_for_ever_and_is_released_by_the_successor(scene, start):
    scene.update()
    wait_for(lambda: scene.replica_set(":v2"), what="v2 is there")
    scene.operator.kill()
    wait_for(lambda: scene.replica_set(":v2")["status"].get("readyReplicas") == 1, what="v2's first pod")
    assert scene.replica_set(":v2")["spec"]["replicas"] == 1
    assert scene.ready_v1() == 3
    start(CATFISH_RESYNC_SECONDS="3").wait_ready()
    wait_for(lambda: scene.body()["status"]["stableRevision"] != scene.v1, seconds=60, what="v2 is proven")
