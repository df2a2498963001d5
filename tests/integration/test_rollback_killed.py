"""The operator dies during a bad update: v1 stays whole, and whoever comes after it finishes the job."""

import json
from contextlib import contextmanager

import pytest

from tests.integration.kubelet import failing, kubelet, running
from tests.integration.operator_process import DEPLOYMENTS, PODS, wait_for
from tests.integration.update import CHECKSUM, Update, image_of, starting

ADMISSION = "/apis/admissionregistration.k8s.io/v1"


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


@contextmanager
def no_way_back(scene):
    """The API server refuses to give the Deployment the image of v1, from here to the end of the block."""
    name = f"no-way-back-{scene.namespace}"
    image = "object.spec.template.spec.containers[0].image"
    resources = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}
    bodies = {
        "validatingadmissionpolicies": {
            "matchConstraints": {"resourceRules": [resources | {"operations": ["UPDATE"]}]},
            "matchConditions": [{"name": "here", "expression": f"request.namespace == '{scene.namespace}'"}],
            "validations": [{"expression": f"!{image}.endsWith(':v1')", "message": "no way back"}],
        },
        "validatingadmissionpolicybindings": {"policyName": name, "validationActions": ["Deny"]},
    }
    for plural, spec in bodies.items():
        scene.api.create(f"{ADMISSION}/{plural}", {"metadata": {"name": name}, "spec": spec})
    try:
        wait_for(lambda: "no way back" in try_v1(scene), what="the API server refuses v1")
        yield
    finally:
        for plural in bodies:
            scene.api.delete(f"{ADMISSION}/{plural}/{name}")


def try_v1(scene):
    """What the API server says when the Deployment is to go back to v1; nothing is kept."""
    live = scene.deployment()
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "catfish-server:v1"
    path = f"{DEPLOYMENTS.format(scene.namespace)}/cat?dryRun=All"
    return scene.api.request("PUT", path, live)[1].get("message", "")


def test_killed_between_the_verdict_and_the_way_back(scene, start):
    """The worst moment: the successor finds the verdict, and the pod that showed the fault may be gone."""
    scene.pods_of_v2 = starting()
    scene.update()
    wait_for(lambda: scene.replica_set(":v2"), what="v2 is there")
    with no_way_back(scene):
        scene.pods_of_v2 = failing(CHECKSUM)
        wait_for(lambda: scene.verdict() == "failed", what="the verdict")
        scene.operator.kill()
        assert image_of(scene.deployment()["spec"]["template"]) == "catfish-server:v2"
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
