"""The schema on a real API server as kubectl shows it; `test_crd_rules` has the rules one by one."""

import itertools
import json
import subprocess
from pathlib import Path

import pytest

from localcluster.errors import LocalClusterError
from tests.integration.crd_cases import SMALLEST, changed

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = sorted((REPOSITORY / "manifests" / "examples").glob("*.yaml"))
_numbers = itertools.count(1)


def create(plane, namespace, spec, *, name=None, arguments=("--dry-run=server",)):
    """What kubectl says, and whether the object was taken."""
    body = {
        "apiVersion": "catfish.dev/v1alpha1",
        "kind": "CatfishModel",
        "metadata": {"name": name or f"model-{next(_numbers)}", "namespace": namespace},
        "spec": spec,
    }
    command = [str(plane.kube), "kubectl", f"--kubeconfig={plane.kubeconfig}", "apply", *arguments, "-f", "-"]
    done = subprocess.run(
        command, input=json.dumps(body), capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "good"), [("a" * 52, True), ("a" * 53, False), ("9a", False), ("a.b", False)]
)
def test_the_name_must_be_able_to_name_a_service(plane, namespace, name, good):
    taken, said = create(plane, namespace, SMALLEST, name=name)
    assert taken == good, said
    assert good or "metadata.name: must be a DNS label" in said


def test_the_load_balancer_class_may_not_change(plane, namespace):
    assert create(plane, namespace, changed("service.loadBalancerClass", "one"), name="cat", arguments=())[0]
    taken, said = create(plane, namespace, changed("service.loadBalancerClass", "two"), name="cat")
    assert not taken
    assert "spec.service.loadBalancerClass" in said
    assert not create(plane, namespace, SMALLEST, name="cat")[0]
    assert create(plane, namespace, changed("service.type", "ClusterIP"), name="cat")[0]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("rollout.maxUnavailable", 1, "spec.rollout.canary.seconds"),
        ("weights.url", "https://me:hunter2@host/a", "spec.weights.url"),
        ("affinity", {"nodeAfinity": {}}, 'unknown field "spec.affinity.nodeAfinity"'),
    ],
)
def test_kubectl_apply_fails_at_once_with_a_sentence_that_names_the_field(
    plane, namespace, path, value, words
):
    taken, said = create(plane, namespace, changed(path, value), arguments=())
    assert not taken
    assert words in said
    assert "hunter2" not in said


def test_a_bare_model_gets_the_defaults(kubectl, plane, namespace):
    assert create(plane, namespace, SMALLEST, name="cat", arguments=())[0]
    spec = json.loads(kubectl("get", "cfm", "cat", "-n", namespace, "-o", "json"))["spec"]
    assert spec["rollout"] == {
        "maxSurge": 1,
        "maxUnavailable": 0,
        "minReadySeconds": 10,
        "progressDeadlineSeconds": 600,
        "canary": {"seconds": 30, "maxErrorRate": 0.02},
        "bakeSeconds": 60,
        "autoRollback": True,
        "paused": False,
    }
    assert (spec["disruption"], spec["monitoring"]) == ({"maxUnavailable": 1}, {"serviceMonitor": False})
    assert spec["revisionHistoryLimit"] == 10
    assert "replicas" not in spec


def test_kubectl_scale_is_refused_while_an_autoscaler_decides(kubectl, plane, namespace):
    spec = SMALLEST | {"autoscaling": {"maxReplicas": 3}, "resources": {"requests": {"cpu": 1}}}
    assert create(plane, namespace, spec, name="cat", arguments=())[0]
    with pytest.raises(LocalClusterError, match=r"must be absent while spec\.autoscaling is set"):
        kubectl("scale", "cfm/cat", "--replicas=2", "-n", namespace)


def test_the_wide_columns_have_revision_weights_and_url(kubectl, plane, namespace):
    assert create(plane, namespace, SMALLEST, name="cat", arguments=())[0]
    columns = kubectl("get", "cfm", "-n", namespace, "-o", "wide").split("\n")[0].split()
    assert columns == [
        "NAME", "READY", "UP-TO-DATE", "REASON", "IMAGE", "DESIRED", "AVAILABLE", "AGE",
        "REVISION", "WEIGHTS", "URL",
    ]  # fmt: skip


def test_kubectl_explains_every_field(kubectl):
    said = kubectl("explain", "cfm", "--recursive")
    assert "unknownThreshold" in said
    assert "never" in kubectl("explain", "cfm.spec.weights.credentialsSecretRef")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid(kubectl, example):
    assert "catfishmodel" in kubectl("apply", "--dry-run=server", "-f", str(example))


def test_there_are_examples():
    assert EXAMPLES
