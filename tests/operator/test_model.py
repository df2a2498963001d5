import copy
from pathlib import Path

import pytest
import yaml

from catfish_operator.errors import InvalidSpec
from catfish_operator.model import (
    Autoscaling,
    Canary,
    CatfishModel,
    Disruption,
    Exposure,
    Monitoring,
    Network,
    Prediction,
    Rollout,
    Verification,
    Weights,
)
from tests.operator.world import body

CRD = Path(__file__).parents[2] / "crds" / "catfishmodels.yaml"


METADATA = body()["metadata"]
ANNOTATIONS = {"catfish.dev/restartedAt": "2026-01-02T03:04:05Z", "catfish.dev/retry": "once more"}


def with_crd_defaults(schema, value):
    """The value as the API server stores it."""
    for name, below in schema.get("properties", {}).items():
        if name not in value and "default" in below:
            value[name] = copy.deepcopy(below["default"])
        if isinstance(value.get(name), dict):
            with_crd_defaults(below, value[name])
    return value


def test_the_smallest_model_has_the_documented_defaults():
    assert CatfishModel.from_body(body()) == CatfishModel(
        namespace="default",
        name="cat",
        uid="uid-model",
        image="catfish-server:v1",
        weights=Weights(url="https://models.example.com/cat.pt"),
        network=Network(architecture="resnet18", classes=("cat", "fish")),
        prediction=Prediction(
            unknown_threshold=None,
            return_probabilities=False,
            image_urls_enabled=True,
            image_urls_allow_hosts=(),
        ),
        replicas=None,
        service=Exposure(type="LoadBalancer", port=80),
        verification=None,
        prediction_log=None,
        autoscaling=None,
        drain_seconds=5,
        rollout=Rollout(
            max_surge=1,
            max_unavailable=0,
            min_ready_seconds=10,
            progress_deadline_seconds=600,
            canary=Canary(seconds=30, max_error_rate=0.02, max_latency_ratio=None),
            bake_seconds=60,
            auto_rollback=True,
            paused=False,
        ),
        disruption=Disruption(max_unavailable=1),
        monitoring=Monitoring(service_monitor=False),
        revision_history_limit=10,
        restarted_at=None,
        retry=None,
    )


def test_the_defaults_of_the_schema_are_those_of_the_code():
    schema = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    bare, defaulted = body(), with_crd_defaults(schema, body())
    assert defaulted != bare
    assert CatfishModel.from_body(defaulted) == CatfishModel.from_body(bare)


def test_every_field_is_read():  # long: one line a field
    model = CatfishModel.from_body(
        body(
            image="registry.example.com/server@sha256:" + "0" * 64,
            imagePullPolicy="Always",
            imagePullSecrets=[{"name": "regcred"}],
            weights={
                "url": "s3://models/cat.pt",
                "sha256": "a" * 64,
                "credentialsSecretRef": {"name": "s3"},
                "endpoint": "http://minio:9000",
            },
            model={
                "architecture": "resnet50",
                "head": {"hidden": 500},
                "classes": ["cat", "fish", "dog"],
                "imageSize": 96,
                "mean": [0, 0.5, 1],
                "std": [1, 1, 0.5],
            },
            prediction={
                "unknownThreshold": 0.6,
                "returnProbabilities": True,
                "imageURLs": {"enabled": False, "allowHosts": ["store"]},
            },
            verification={
                "configMapRef": {"name": "golden"},
                "samples": [{"key": "chelsea.jpg", "class": "cat"}],
                "minAccuracy": 0.9,
            },
            replicas=0,
            service={
                "type": "NodePort",
                "port": 8080,
                "grpcPort": 9000,
                "annotations": {"a": "b"},
                "loadBalancerClass": "c",
                "loadBalancerSourceRanges": ["192.0.2.0/24"],
                "externalTrafficPolicy": "Local",
            },
            resources={"limits": {"memory": "1Gi"}},
            nodeSelector={"disk": "ssd"},
            serviceAccountName="cats",
            env=[{"name": "A", "value": "b"}],
            podLabels={"team": "pets"},
            podAnnotations={"note": "x"},
            tolerations=[{"operator": "Exists"}],
            affinity={"nodeAffinity": {}},
            topologySpreadConstraints=[{"maxSkew": 1}],
            priorityClassName="high",
            runtimeClassName="gvisor",
            drainSeconds=7,
            rollout={
                "maxSurge": 2,
                "maxUnavailable": 0,
                "minReadySeconds": 3,
                "progressDeadlineSeconds": 60,
                "canary": {"seconds": 9, "maxErrorRate": 0.1, "maxLatencyRatio": 2},
                "bakeSeconds": 8,
                "autoRollback": False,
                "paused": True,
            },
            disruption={"maxUnavailable": 2},
            monitoring={"serviceMonitor": True},
            revisionHistoryLimit=3,
        )
        | {"metadata": METADATA | {"annotations": ANNOTATIONS}}
    )
    assert model == CatfishModel(
        namespace="default",
        name="cat",
        uid="uid-model",
        image="registry.example.com/server@sha256:" + "0" * 64,
        image_pull_policy="Always",
        image_pull_secrets=("regcred",),
        weights=Weights(
            url="s3://models/cat.pt", sha256="a" * 64, credentials_secret="s3", endpoint="http://minio:9000"
        ),
        network=Network(
            architecture="resnet50",
            head_hidden=500,
            classes=("cat", "fish", "dog"),
            image_size=96,
            mean=(0, 0.5, 1),
            std=(1, 1, 0.5),
        ),
        prediction=Prediction(
            unknown_threshold=0.6,
            return_probabilities=True,
            image_urls_enabled=False,
            image_urls_allow_hosts=("store",),
        ),
        verification=Verification(config_map="golden", samples=(("chelsea.jpg", "cat"),), min_accuracy=0.9),
        replicas=0,
        service=Exposure(
            type="NodePort",
            port=8080,
            grpc_port=9000,
            annotations={"a": "b"},
            load_balancer_class="c",
            load_balancer_source_ranges=("192.0.2.0/24",),
            external_traffic_policy="Local",
        ),
        resources={"limits": {"memory": "1Gi"}},
        node_selector={"disk": "ssd"},
        service_account_name="cats",
        env=({"name": "A", "value": "b"},),
        pod_labels={"team": "pets"},
        pod_annotations={"note": "x"},
        tolerations=({"operator": "Exists"},),
        affinity={"nodeAffinity": {}},
        topology_spread_constraints=({"maxSkew": 1},),
        priority_class_name="high",
        runtime_class_name="gvisor",
        drain_seconds=7,
        rollout=Rollout(
            max_surge=2,
            max_unavailable=0,
            min_ready_seconds=3,
            progress_deadline_seconds=60,
            canary=Canary(seconds=9, max_error_rate=0.1, max_latency_ratio=2),
            bake_seconds=8,
            auto_rollback=False,
            paused=True,
        ),
        disruption=Disruption(max_unavailable=2),
        monitoring=Monitoring(service_monitor=True),
        revision_history_limit=3,
        restarted_at="2026-01-02T03:04:05Z",
        retry="once more",
    )


def test_an_autoscaler_is_read_with_its_defaults():
    read = CatfishModel.from_body(body(autoscaling={"maxReplicas": 5})).autoscaling
    assert read == Autoscaling(min_replicas=1, max_replicas=5, target_cpu=80)
    spec = {"minReplicas": 2, "maxReplicas": 5, "targetCPUUtilizationPercentage": 50}
    read = CatfishModel.from_body(body(autoscaling=spec)).autoscaling
    assert read == Autoscaling(min_replicas=2, max_replicas=5, target_cpu=50)


def test_a_model_from_before_there_was_a_canary_is_not_held_where_old_pods_may_go_first():
    stored = body(rollout={"maxSurge": 1, "maxUnavailable": 1, "canary": {"seconds": 30}})
    assert CatfishModel.from_body(stored).rollout.canary.seconds == 0


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"image": None}, "spec.image"),
        ({"image": 3}, "spec.image"),
        ({"weights": {}}, "spec.weights.url"),
        ({"weights": "x"}, "spec.weights"),
        (
            {"weights": {"url": "u", "credentialsSecretRef": {"name": 1}}},
            "spec.weights.credentialsSecretRef.name",
        ),
        ({"model": {"architecture": "a", "classes": ["cat"]}}, "spec.model.classes"),
        ({"model": {"architecture": "a", "classes": ["cat", "cat"]}}, "spec.model.classes"),
        ({"model": {"architecture": "a", "classes": ["a", 1]}}, "spec.model.classes"),
        ({"model": {"classes": ["a", "b"]}}, "spec.model.architecture"),
        ({"model": {"architecture": "a", "classes": ["a", "b"], "mean": [1, 2]}}, "spec.model.mean"),
        ({"prediction": {"returnProbabilities": "yes"}}, "spec.prediction.returnProbabilities"),
        ({"prediction": {"unknownThreshold": "1"}}, "spec.prediction.unknownThreshold"),
        ({"prediction": {"imageURLs": {"allowHosts": "x"}}}, "spec.prediction.imageURLs.allowHosts"),
        ({"replicas": -1}, "spec.replicas"),
        ({"replicas": True}, "spec.replicas"),
        ({"replicas": 2**31}, "spec.replicas"),
        ({"service": {"type": "ExternalName"}}, "spec.service.type"),
        ({"service": {"annotations": {"a": 1}}}, "spec.service.annotations"),
        ({"service": {"port": 9000, "grpcPort": 9000}}, "spec.service.grpcPort"),
        ({"service": {"grpcPort": 80}}, "spec.service.grpcPort"),
        ({"service": {"grpcPort": "9000"}}, "spec.service.grpcPort"),
        ({"imagePullSecrets": ["x"]}, "spec.imagePullSecrets"),
        ({"imagePullSecrets": [{}]}, "spec.imagePullSecrets[0].name"),
        ({"imagePullPolicy": "Sometimes"}, "spec.imagePullPolicy"),
        ({"resources": {"limits": 1}}, "spec.resources.limits"),
        ({"rollout": {"maxSurge": 1.5}}, "spec.rollout.maxSurge"),
        ({"rollout": {"canary": {"maxErrorRate": True}}}, "spec.rollout.canary.maxErrorRate"),
        ({"rollout": {"paused": "yes"}}, "spec.rollout.paused"),
        ({"verification": {"samples": []}}, "spec.verification.samples"),
        ({"verification": {"samples": [{"key": "a"}]}}, "spec.verification.samples[0].class"),
        (
            {"verification": {"samples": [{"key": "a", "class": "cat"}]}},
            "spec.verification.configMapRef.name",
        ),
        ({"autoscaling": {"minReplicas": 1}}, "spec.autoscaling.maxReplicas"),
        ({"autoscaling": {"maxReplicas": 2}, "replicas": 2}, "spec.replicas"),
        ({"logging": {"predictions": {"sink": "syslog"}}}, "spec.logging.predictions.sink"),
        ({"logging": {"predictions": {"sampleRate": "1"}}}, "spec.logging.predictions.sampleRate"),
        ({"env": ["A=b"]}, "spec.env"),
        ({"podLabels": {"a": 1}}, "spec.podLabels"),
        ({"affinity": []}, "spec.affinity"),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_used_is_named_by_its_path(spec, path):
    with pytest.raises(InvalidSpec) as refused:
        CatfishModel.from_body(body(**spec))
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize("name", ["9cats", "a" * 53, "a.b", "Cat", "cat-"])
def test_a_name_that_cannot_name_a_service_is_refused(name):
    model = body()
    model["metadata"]["name"] = name
    with pytest.raises(InvalidSpec, match=r"^metadata\.name: "):
        CatfishModel.from_body(model)
