import json

import pytest

from tests.operator.world import World, body, pod, revision_pod


def settled(**spec):
    world = World(body(**spec))
    world.settle()
    world.roll_out()
    return world


def said(world):
    conditions = world.status()["conditions"]
    return {item["type"]: (item["status"], item["reason"]) for item in conditions}


def container(state=None, *, last=None, restarts=0, ready=False):
    return {
        "name": "server",
        "ready": ready,
        "restartCount": restarts,
        "state": state or {"running": {}},
        "lastState": last or {},
    }


def ended(message=None, *, code=1, reason="Error"):
    return {"terminated": {"exitCode": code, "reason": reason, **({"message": message} if message else {})}}


def report(**change):
    return json.dumps(
        {"reason": "ChecksumMismatch", "message": "spec.weights.sha256: not these bytes", "retriable": False}
        | change
    )


def failing(**status):
    """A world whose only pod is not ready, with this status."""
    world = settled()
    live = world.deployment()
    live["status"] |= {"availableReplicas": 0, "readyReplicas": 0}
    world.pods = [pod("cat-1", live["spec"]["template"], ready=False, **status)]
    return world


def waiting(reason, message=""):
    return container({"waiting": {"reason": reason, "message": message}})


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (container(ended(report())), "ChecksumMismatch"),
        (container(last=ended(report())), "ChecksumMismatch"),
        (container({"waiting": {"reason": "CrashLoopBackOff"}}, last=ended(report())), "ChecksumMismatch"),
        (container(ended(report(reason="WeightsUnreachable", retriable=True))), "WeightsUnreachable"),
        (container(last=ended(code=137, reason="OOMKilled")), "OutOfMemory"),
        (container({"waiting": {"reason": "CrashLoopBackOff"}}, last=ended()), "CrashLooping"),
        (container(last=ended(), restarts=2), "CrashLooping"),
        (container({"waiting": {"reason": "CrashLoopBackOff"}}), "CrashLooping"),
        (waiting("ImagePullBackOff"), "ImagePullFailed"),
        (waiting("ErrImagePull"), "ImagePullFailed"),
        (waiting("ErrImageNeverPull"), "ImagePullFailed"),
        (waiting("InvalidImageName"), "InvalidImageName"),
        (waiting("CreateContainerConfigError", 'secret "s3" not found'), "ContainerConfigError"),
    ],
)
def test_a_failing_pod_stalls_the_model_with_its_reason(found, reason):
    world = failing(containerStatuses=[found])
    assert said(world)["Stalled"] == ("True", reason)
    assert said(world)["UpToDate"] == ("False", reason)
    assert said(world)["Reconciling"] == ("False", reason)
    assert said(world)["Ready"] == ("False", "NoReadyPods")


@pytest.mark.parametrize(
    "found",
    [
        container(),
        waiting("ContainerCreating"),
        container(last=ended(), restarts=1),
        container(ended(code=0, reason="Completed")),
        container(last=ended(report(reason="Shutdown"))),
        container(last=ended(report(reason=["ChecksumMismatch"]))),
        container(last=ended(report(extra=1))),
        container(last=ended(report(retriable="no"))),
        container(last=ended(report(message="x" * 2048))),
        container(last=ended("Traceback: ChecksumMismatch")),
        container(last=ended("[" * 2000)),
        container(last=ended("[]")),
        container(last=ended(report()), ready=True),
    ],
)
def test_what_is_not_a_known_failure_stalls_nothing(found):
    world = failing(containerStatuses=[found])
    assert said(world)["Stalled"] == ("False", "NotStalled")


def test_a_pod_that_finds_no_node_stalls_with_the_schedulers_words():
    conditions = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: cpu."}
    ]
    world = failing(conditions=conditions, phase="Pending")
    assert said(world)["Stalled"] == ("True", "Unschedulable")
    assert world.status()["message"] == "No pod serves; no node has room for the pod: 0/1 nodes: cpu."


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
            "ProgressDeadlineExceeded",
        ),
        (
            {
                "type": "ReplicaFailure",
                "status": "True",
                "message": 'pods "a" is forbidden: exceeded quota: q',
            },
            "QuotaExceeded",
        ),
        ({"type": "ReplicaFailure", "status": "True", "message": "denied by a webhook"}, "AdmissionDenied"),
    ],
)
def test_a_deployment_that_cannot_go_on_stalls_the_model(condition, reason):
    world = failing()
    world.deployment()["status"]["conditions"] = [condition]
    assert said(world)["Stalled"] == ("True", reason)
    assert '"a"' not in world.status()["message"]


def test_pods_of_other_revisions_and_ended_pods_stall_nothing():
    world = failing()
    world.pods = [
        revision_pod("cat-1", "cat-old", ready=False, containerStatuses=[container(ended(report()))]),
        revision_pod(
            "cat-2",
            world.plan().target,
            ready=False,
            phase="Failed",
            containerStatuses=[container(ended(report()))],
        ),
    ]
    assert said(world)["Stalled"] == ("False", "NotStalled")


def test_what_a_pod_says_itself_outranks_what_the_kubelet_says_of_another():
    world = failing(containerStatuses=[waiting("ImagePullBackOff")])
    template = world.deployment()["spec"]["template"]
    world.pods.append(pod("cat-2", template, ready=False, containerStatuses=[container(ended(report()))]))
    assert said(world)["Stalled"] == ("True", "ChecksumMismatch")


def test_the_message_of_a_pod_is_shown_on_one_line_without_credentials():
    message = "spec.weights.url:\n\x1b[31m https://me:pass@host/a.pt?X-Amz-Signature=abc answered 403."
    world = failing(containerStatuses=[container(ended(report(reason="WeightsForbidden", message=message)))])
    assert world.status()["message"] == (
        "No pod serves; the store refuses to hand out the weights: "
        "spec.weights.url: [31m https://host/a.pt answered 403."
    )


def test_correcting_the_spec_heals():
    world = failing(containerStatuses=[container(ended(report()))])
    world.change(image="catfish-server:v2")
    assert said(world)["Stalled"] == ("False", "NotStalled")
