"""The schema on a real API server: for each rule an object on either side, with what kubectl says."""

import copy
import itertools
import json
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = sorted((REPOSITORY / "manifests" / "examples").glob("*.yaml"))
_numbers = itertools.count(1)

SMALLEST = {
    "image": "catfish-server:v1",
    "weights": {"url": "https://models.example.com/cat.pt"},
    "model": {"architecture": "resnet18", "classes": ["cat", "fish"]},
}


def changed(path, value):
    spec = copy.deepcopy(SMALLEST)
    part = spec
    *steps, last = path.split(".")
    for step in steps:
        part = part.setdefault(step, {})
    part[last] = value
    return spec


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


GOOD = [
    ("image", "registry.example.com:5000/a/b@sha256:" + "0" * 64),
    ("weights.url", "s3://models/cat.pt"),
    ("weights.url", "file:///models/cat.pt"),
    ("weights.url", "http://host:8000/a/b.pt?download=true"),
    ("weights.url", "https://host/a@b.pt"),
    ("weights", {"url": "s3://b/k", "endpoint": "http://minio:9000"}),
    ("weights.sha256", "a" * 64),
    ("model.classes", ["tabby cat", "Käfer"]),
    ("model.imageSize", 8),
    ("model.imageSize", 2048),
    ("model.std", [10, 0.1, 1]),
    ("prediction.unknownThreshold", 1),
    ("replicas", 0),
    ("service.port", 65535),
    ("service.loadBalancerClass", "example.com/lb"),
    ("service.loadBalancerSourceRanges", ["192.0.2.0/24", "2001:db8::/32"]),
    ("service", {"type": "NodePort", "externalTrafficPolicy": "Local"}),
    ("resources", {"requests": {"cpu": "500m"}, "limits": {"cpu": 1, "example.com/gpu": 1}}),
    ("tolerations", [{"operator": "Exists"}]),
    ("tolerations", [{"key": "a", "effect": "NoExecute", "tolerationSeconds": 3}]),
    ("nodeSelector", {"example.com/disk": "ssd"}),
    ("drainSeconds", 3600),
    ("rollout", {"maxSurge": 0, "maxUnavailable": 1}),
    ("rollout", {"minReadySeconds": 9, "progressDeadlineSeconds": 10}),
]

BAD = [
    ("image", "", "spec.image"),
    ("image", "a b", "spec.image"),
    ("imagePullPolicy", "Sometimes", "spec.imagePullPolicy"),
    ("weights", {}, "spec.weights.url: Required"),
    ("weights.url", "ftp://host/a", "spec.weights.url"),
    ("weights.url", "https://host", "spec.weights.url"),
    ("weights.url", "s3://bucket", "spec.weights.url"),
    ("weights.url", "/models/cat.pt", "spec.weights.url"),
    ("weights.url", "https://host/a b", "spec.weights.url"),
    ("weights.url", "https://me:hunter2@host/a", "must not hold a user name"),
    ("weights.url", "https://hunter2@host/a", "must not hold a user name"),
    ("weights.url", "https://host/a?X-Amz-Signature=hunter2", "must not be a signed URL"),
    ("weights.url", "https://host/a?x=1&sig=hunter2", "must not be a signed URL"),
    ("weights.url", "https://host/hunter2" + "a" * 2048, "spec.weights.url"),
    ("weights.sha256", "A" * 64, "spec.weights.sha256"),
    ("weights.sha256", "a" * 63, "spec.weights.sha256"),
    ("weights.endpoint", "http://minio:9000", "spec.weights.endpoint"),
    ("weights", {"url": "s3://b/k", "endpoint": "http://u:hunter2@h"}, "spec.weights.endpoint"),
    ("model.classes", ["cat"], "spec.model.classes"),
    ("model.classes", ["cat", "cat"], "spec.model.classes[1]: Duplicate"),
    ("model.classes", ["a,b", "c"], "spec.model.classes[0]"),
    ("model.classes", ["a\nb", "c"], "spec.model.classes[0]"),
    ("model.imageSize", 7, "spec.model.imageSize"),
    ("model.imageSize", 2049, "spec.model.imageSize"),
    ("model.mean", [1, 2], "spec.model.mean"),
    ("model.std", [1, 1, 0], "spec.model.std"),
    ("model.head", {}, "spec.model.head.hidden: Required"),
    ("prediction.unknownThreshold", 1.1, "spec.prediction.unknownThreshold"),
    ("prediction.imageURLs", {"allowHosts": ["a b"]}, "spec.prediction.imageURLs.allowHosts[0]"),
    ("replicas", -1, "spec.replicas"),
    ("replicas", 10001, "spec.replicas"),
    ("service.type", "ExternalName", "spec.service.type"),
    ("service.port", 0, "spec.service.port"),
    ("service.port", 65536, "spec.service.port"),
    ("service", {"type": "ClusterIP", "loadBalancerClass": "a"}, "spec.service.loadBalancerClass"),
    (
        "service",
        {"type": "NodePort", "loadBalancerSourceRanges": ["192.0.2.0/24"]},
        "loadBalancerSourceRanges",
    ),
    (
        "service",
        {"type": "ClusterIP", "externalTrafficPolicy": "Local"},
        "spec.service.externalTrafficPolicy",
    ),
    ("service.loadBalancerSourceRanges", ["192.0.2.1"], "spec.service.loadBalancerSourceRanges[0]"),
    ("service.annotations", {"a b": "c"}, "spec.service.annotations"),
    ("resources", {"limits": {"cpu": "x"}}, "spec.resources.limits.cpu"),
    ("resources", {"limits": {"cpu": -1}}, "spec.resources.limits.cpu"),
    ("resources", {"limits": {"cpus": 1}}, "spec.resources.limits"),
    ("resources", {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}, "spec.resources.requests"),
    ("tolerations", [{"value": "x"}], "spec.tolerations[0].operator"),
    ("tolerations", [{"operator": "Exists", "value": "x"}], "spec.tolerations[0].value"),
    ("tolerations", [{"key": "a", "tolerationSeconds": 3}], "spec.tolerations[0].tolerationSeconds"),
    ("nodeSelector", {"a b": "c"}, "spec.nodeSelector"),
    ("drainSeconds", 3601, "spec.drainSeconds"),
    ("rollout", {"maxSurge": 0}, "spec.rollout.maxSurge"),
    (
        "rollout",
        {"minReadySeconds": 10, "progressDeadlineSeconds": 10},
        "spec.rollout.progressDeadlineSeconds",
    ),
    ("weigths", {}, 'unknown field "spec.weigths"'),
]


@pytest.mark.parametrize(("path", "value"), GOOD, ids=str)
def test_a_good_value_is_taken(plane, namespace, path, value):
    taken, said = create(plane, namespace, changed(path, value))
    assert taken, said


@pytest.mark.parametrize(("path", "value", "words"), BAD, ids=lambda value: str(value)[:60])
def test_a_bad_value_is_refused_by_a_sentence_that_names_the_field(plane, namespace, path, value, words):
    taken, said = create(plane, namespace, changed(path, value))
    assert not taken
    assert words in said
    assert "hunter2" not in said


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


def test_kubectl_explains_every_field(kubectl):
    said = kubectl("explain", "cfm", "--recursive")
    assert "unknownThreshold" in said
    assert "never" in kubectl("explain", "cfm.spec.weights.credentialsSecretRef")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid(kubectl, example):
    assert "catfishmodel" in kubectl("apply", "--dry-run=server", "-f", str(example))


def test_there_are_examples():
    assert EXAMPLES
