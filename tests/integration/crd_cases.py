"""The schema's rules and bounds, each with a value on either side: (field, good, bad, what the refusal says).

The refusal names the field in any case. tests/test_crd_cases.py sees to it that no rule and no bound is missing.
"""

import copy
from typing import Any, NamedTuple

from tests.integration import crd_cases_log, crd_cases_pods
from tests.integration.crd_cases_pods import names

SMALLEST = {
    "image": "catfish-server:v1",
    "weights": {"url": "https://models.example.com/cat.pt"},
    "model": {"architecture": "resnet18", "classes": ["cat", "fish"]},
}
REQUESTS = {"resources": {"requests": {"cpu": 1}}}
SECRET_WORD = "hunter2"


class Case(NamedTuple):
    path: str
    good: Any
    bad: Any
    words: str = ""


def changed(path: str, value: Any) -> dict[str, Any]:
    """The smallest spec with one field more; an empty path is the spec itself."""
    spec: dict[str, Any] = copy.deepcopy(SMALLEST)
    if not path:
        return spec | value
    part = spec
    *steps, last = path.split(".")
    for step in steps:
        part = part.setdefault(step, {})
    part[last] = value
    return spec


def numbers(path, least, most):
    return [(path, least, least - 1), (path, most, most + 1)]


def of_length(number, text="a"):
    return text * (number // len(text)) + "a" * (number % len(text))


CLASSES = [f"c{number}" for number in range(1001)]
URL = "https://host/"
S3 = {"url": "s3://b/k"}
SIGNED = "must not be a signed URL"

WEIGHTS = [
    ("weights", {"url": URL + "a"}, {}, "url: Required"),
    ("weights.url", URL + "a" * 2035, URL + SECRET_WORD + "a" * 2048),
    ("weights.url", "s3://models/cat.pt", "ftp://host/a", "must be https://host/path"),
    ("weights.url", "file:///models/cat.pt", "/models/cat.pt", "must be https://host/path"),
    ("weights.url", "http://host:8000/a?download=true", "https://host", "must be https://host/path"),
    ("weights.url", "s3://bucket/key", "s3://bucket", "must be https://host/path"),
    ("weights.url", "gs://bucket/a/b.pt", "gcs://bucket/b.pt", "gs://bucket/key"),
    ("weights.url", "az://container/b.pt", "az://container/", "az://container/key"),
    ("weights.url", "pvc://models-1/b.pt", "pvc://Models/b.pt", "pvc://claim/path"),
    ("weights.url", URL + "a%20b", URL + "a b", "must be printable ASCII"),
    ("weights.url", URL + "a", URL + "a#b", "must be printable ASCII"),
    ("weights.url", URL + "a@b.pt", "https://me:hunter2@host/a", "must not hold a user name or password"),
    ("weights.url", URL + "a?b=@", "https://hunter2@host/a", "must not hold a user name or password"),
    ("weights.url", URL + "a?size=1", URL + "a?X-Amz-Signature=hunter2", SIGNED),
    ("weights.url", URL + "a?x=1", URL + "a?x=1&sig=hunter2", SIGNED),
    (
        "weights",
        S3 | {"endpoint": "http://s:9000"},
        {"url": URL + "a", "endpoint": "http://s"},
        "s3://, gs:// and az:// weights only",
    ),
    (
        "weights",
        {"url": "gs://b/k", "endpoint": "http://s"},
        {"url": "pvc://c/k", "endpoint": "http://s"},
        "endpoint: Forbidden: is used for s3://",
    ),
    ("weights", S3 | {"endpoint": "https://s"}, S3 | {"endpoint": "http://u:hunter2@s"}, "without user name"),
    ("weights", S3 | {"endpoint": "http://s/" + "a" * 2039}, S3 | {"endpoint": "http://s/" + "a" * 2040}),
    ("weights.sha256", "a" * 64, "A" * 64),
    ("weights.sha256", "0" * 64, "0" * 65),
    ("weights.credentialsSecretRef", {"name": "s3"}, {}, "name: Required"),
    *names("weights.credentialsSecretRef.name"),
]

CODE = {"model": {"architecture": "exported", "classes": ["cat", "fish"]}}
DIGESTED = {"url": URL + "a.pt2", "sha256": "0" * 64}
MODEL = [
    ("model", SMALLEST["model"], {"classes": ["a", "b"]}, "architecture: Required"),
    ("model.architecture", "a", ""),
    ("model.architecture", "a" * 64, "a" * 65),
    ("model.architecture", "mobilenet_v3_small", "ResNet"),
    ("model", {"architecture": "onnx"}, {"architecture": "torchscript"}, "weights.sha256: Required"),
    ("", {**CODE, "weights": DIGESTED}, CODE, "spec.weights.sha256: Required value: is required where"),
    ("model.head", {"hidden": 1}, {}, "hidden: Required"),
    *numbers("model.head.hidden", 1, 1_000_000),
    ("model.classes", ["a", "b"], ["a"]),
    ("model.classes", CLASSES[:1000], CLASSES),
    ("model.classes", ["cat", "Cat"], ["cat", "cat"], "classes[1]: Duplicate"),
    ("model.classes", ["a", "b"], ["", "b"]),
    ("model.classes", ["a" * 100, "b"], ["a" * 101, "b"]),
    ("model.classes", ["tabby cat", "Käfer"], ["a,b", "c"]),
    ("model.classes", ["a b", "c"], ["a\nb", "c"]),
    *numbers("model.imageSize", 8, 2048),
    ("model.mean", [0, 0, 0], [0, 0]),
    ("model.mean", [0, 0, 0], [0, 0, 0, 0]),
    ("model.mean", [-10, 0, 10], [-10.1, 0, 0]),
    ("model.mean", [-10, 0, 10], [0, 0, 10.1]),
    ("model.std", [1, 1, 1], [1, 1]),
    ("model.std", [1, 1, 1], [1, 1, 1, 1]),
    ("model.std", [0.001, 1, 1], [0, 1, 1]),
    ("model.std", [0.001, 1, 1], [-1, 1, 1]),
    ("model.std", [1, 1, 10], [1, 1, 10.1]),
    *[("model.engine", engine, engine.upper()) for engine in ("auto", "eager", "torchscript", "onnxruntime")],
    (
        "model",
        {"architecture": "onnx", "engine": "eager"},
        {"architecture": "onnx", "engine": "auto"},
        "spec.model.engine: Forbidden: must be absent where",
    ),
]

HOSTS = "prediction.imageURLs.allowHosts"
PREDICTION = [
    ("prediction.unknownThreshold", 0, -0.1),
    ("prediction.unknownThreshold", 1, 1.1),
    ("prediction.returnProbabilities", True, "yes"),
    ("prediction.imageURLs.enabled", False, "no"),
    (HOSTS, CLASSES[:64], CLASSES[:65]),
    (HOSTS, ["a"], [""]),
    (HOSTS, ["a" * 253], ["a" * 254]),
    (HOSTS, ["store.example", "192.0.2.7", "2001:db8::1"], ["a b"]),
    (HOSTS, ["a", "b"], ["a", "a"], "Duplicate"),
]


def golden(**sample):
    return {"configMapRef": {"name": "golden"}, "samples": [{"key": "a.jpg", "class": "cat"} | sample]}


def samples(number, **same):
    return {
        "configMapRef": {"name": "g"},
        "samples": [{"key": f"{at}.jpg", "class": "cat"} | same for at in range(number)],
    }


LONG = "c" * 100
VERIFICATION = [
    ("verification", golden(), {"samples": golden()["samples"]}, "configMapRef: Required"),
    ("verification", golden(), {"configMapRef": {"name": "golden"}}, "samples: Required"),
    ("verification", golden(), golden() | {"configMapRef": {}}, "configMapRef.name: Required"),
    *names("verification", wrap=lambda name: golden() | {"configMapRef": {"name": name}}),
    ("verification", samples(1), samples(0)),
    ("verification", samples(64), samples(65)),
    ("verification", samples(2), samples(2, key="a"), "samples[1]: Duplicate"),
    ("verification", golden(), {"configMapRef": {"name": "g"}, "samples": [{"key": "a"}]}, "class: Required"),
    (
        "verification",
        golden(),
        {"configMapRef": {"name": "g"}, "samples": [{"class": "cat"}]},
        "key: Required",
    ),
    ("verification", golden(key="a"), golden(key="")),
    ("verification", golden(key="a" * 253), golden(key="a" * 254)),
    ("verification", golden(key="A_b-c.jpg"), golden(key="a/b")),
    ("verification", golden(**{"class": "fish"}), golden(**{"class": "dog"}), "one of spec.model.classes"),
    (
        "",
        {"verification": golden(**{"class": "unknown"}), "prediction": {"unknownThreshold": 0.5}},
        {"verification": golden(**{"class": "unknown"})},
        "where spec.prediction.unknownThreshold is set",
    ),
    ("verification", golden(), golden(**{"class": ""}), "class"),
    (
        "",
        {"verification": golden(**{"class": LONG}), "model": {"architecture": "a", "classes": [LONG, "b"]}},
        {"verification": golden(**{"class": LONG + "c"})},
        "verification.samples[0].class: Too long",
    ),
    ("verification", golden() | {"minAccuracy": 0.01}, golden() | {"minAccuracy": 0}),
    ("verification", golden() | {"minAccuracy": 0.01}, golden() | {"minAccuracy": -1}),
    ("verification", golden() | {"minAccuracy": 1}, golden() | {"minAccuracy": 1.1}),
]


def autoscaling(**fields):
    return REQUESTS | {"autoscaling": {"maxReplicas": 5} | fields}


SCALING = [
    *numbers("replicas", 0, 10_000),
    ("", autoscaling(), REQUESTS | {"autoscaling": {}}, "autoscaling.maxReplicas: Required"),
    ("", autoscaling(minReplicas=1), autoscaling(minReplicas=0), "autoscaling.minReplicas"),
    (
        "",
        autoscaling(minReplicas=5),
        autoscaling(minReplicas=6),
        "must not be less than spec.autoscaling.minReplicas",
    ),
    (
        "",
        autoscaling(minReplicas=10_000, maxReplicas=10_000),
        autoscaling(minReplicas=10_001, maxReplicas=10_000),
        "autoscaling.minReplicas",
    ),
    ("", autoscaling(maxReplicas=1), autoscaling(maxReplicas=0), "autoscaling.maxReplicas"),
    ("", autoscaling(maxReplicas=10_000), autoscaling(maxReplicas=10_001), "autoscaling.maxReplicas"),
    (
        "",
        autoscaling(targetCPUUtilizationPercentage=1),
        autoscaling(targetCPUUtilizationPercentage=0),
        "targetCPU",
    ),
    (
        "",
        autoscaling(targetCPUUtilizationPercentage=1000),
        autoscaling(targetCPUUtilizationPercentage=1001),
        "targetCPU",
    ),
    (
        "",
        autoscaling(),
        autoscaling() | {"replicas": 2},
        "spec.replicas: Forbidden: must be absent while spec.autosc",
    ),
    (
        "",
        {"autoscaling": {"maxReplicas": 2}, "resources": {"limits": {"cpu": "1"}}},
        {"autoscaling": {"maxReplicas": 2}, "resources": {"limits": {"memory": "1Gi"}}},
        "spec.resources: Required value: must have requests.cpu while spec.autoscaling is set",
    ),
    *numbers("disruption.maxUnavailable", 1, 10_000),
    ("monitoring.serviceMonitor", True, "yes"),
    *numbers("revisionHistoryLimit", 0, 100),
    *numbers("drainSeconds", 0, 3600),
]

CANARY = "canary.seconds: Invalid value: must be 0 while spec.rollout.maxUnavailable is greater than 0"
ROLLOUT = [
    ("rollout.maxSurge", 10_000, 10_001),
    ("rollout", {"maxSurge": 0, "maxUnavailable": 1, "canary": {"seconds": 0}}, {"maxSurge": -1}),
    (
        "rollout",
        {"maxSurge": 0, "maxUnavailable": 1, "canary": {"seconds": 0}},
        {"maxSurge": 0},
        "maxSurge: Invalid value: must not be 0 while spec.rollout.maxUnavailable is 0",
    ),
    ("rollout", {"maxUnavailable": 10_000, "canary": {"seconds": 0}}, {"maxUnavailable": 10_001}),
    ("rollout.maxUnavailable", 0, -1),
    ("rollout", {"maxUnavailable": 1, "canary": {"seconds": 0}}, {"maxUnavailable": 1}, CANARY),
    ("rollout", {"canary": {"seconds": 30}}, {"maxUnavailable": 1}, "Set spec.rollout.canary.seconds: 0"),
    ("rollout.minReadySeconds", 0, -1),
    (
        "rollout",
        {"minReadySeconds": 86_400, "progressDeadlineSeconds": 86_401},
        {"minReadySeconds": 86_401, "progressDeadlineSeconds": 86_402},
    ),
    (
        "rollout",
        {"minReadySeconds": 9, "progressDeadlineSeconds": 10},
        {"minReadySeconds": 10, "progressDeadlineSeconds": 10},
        "must be greater than spec.rollout.minReadySeconds",
    ),
    (
        "rollout",
        {"minReadySeconds": 0, "progressDeadlineSeconds": 1},
        {"minReadySeconds": 0, "progressDeadlineSeconds": 0},
    ),
    ("rollout.progressDeadlineSeconds", 604_800, 604_801),
    *numbers("rollout.canary.seconds", 0, 86_400),
    ("rollout.canary.maxErrorRate", 0, -0.1),
    ("rollout.canary.maxErrorRate", 1, 1.1),
    ("rollout.canary.maxLatencyRatio", 1, 0.9),
    ("rollout.canary.maxLatencyRatio", 1000, 1001),
    *numbers("rollout.bakeSeconds", 0, 604_800),
    ("rollout.autoRollback", False, "no"),
    ("rollout.paused", True, "yes"),
]

CASES = [
    Case(*case)
    for table in (
        WEIGHTS,
        MODEL,
        PREDICTION,
        VERIFICATION,
        SCALING,
        ROLLOUT,
        crd_cases_pods.TABLE,
        crd_cases_log.TABLE,
    )
    for case in table
]
