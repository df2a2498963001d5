"""What is rendered, whole, against YAML files: `pytest tests/operator --golden-update` writes them anew."""

from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from catfish_operator.model import CatfishModel
from catfish_operator.resources import deployment, quantity, revision, service
from catfish_operator.resources.metadata import selector
from tests.operator.world import World, body

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.name.removesuffix(".model.yaml") for path in GOLDEN.glob("*.model.yaml"))


@pytest.mark.parametrize("case", CASES)
def test_a_model_renders_to_its_golden_manifests(case, request):
    model = yaml.safe_load((GOLDEN / f"{case}.model.yaml").read_text())
    world = World(model)
    manifests = [action.manifest for action in world.plan().actions]
    golden = GOLDEN / f"{case}.objects.yaml"
    if request.config.getoption("--golden-update"):
        golden.write_text(yaml.dump_all(manifests, sort_keys=False, Dumper=_WithoutAnchors))
    assert manifests == list(yaml.safe_load_all(golden.read_text()))


class _WithoutAnchors(yaml.SafeDumper):
    def ignore_aliases(self, _data):
        return True


def test_there_are_golden_cases():
    assert len(CASES) >= 3


def environment(**spec):
    model = CatfishModel.from_body(body(**spec))
    return {item["name"]: item["value"] for item in deployment.environment(model, revision="cat-0123456789")}


def test_a_value_with_a_dollar_reaches_the_server_as_it_is():
    weights = {"url": "https://models.example.com/$(HOSTNAME)/$$.pt"}
    assert (
        environment(weights=weights)["CATFISH_MODEL_LOCATION"]
        == "https://models.example.com/$$(HOSTNAME)/$$$$.pt"
    )


def test_class_names_are_passed_as_json():
    model = {"architecture": "resnet18", "classes": ['a "b"', "Käfer"]}
    assert environment(model=model)["CATFISH_CLASSES"] == '["a \\"b\\"", "Käfer"]'


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("server", "Always"),
        ("server:latest", "Always"),
        ("registry:5000/server", "Always"),
        ("server:v1", "IfNotPresent"),
        ("registry:5000/server:v1", "IfNotPresent"),
        ("server@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_without_a_pull_policy_kubernetes_own_rule_holds(image, policy):
    template = deployment.template(CatfishModel.from_body(body(image=image)), revision="cat-1")
    assert template["spec"]["containers"][0]["imagePullPolicy"] == policy


def rendered(**spec):
    return deployment.template(CatfishModel.from_body(body(**spec)), revision="cat-1")["spec"]


def test_a_constraint_without_a_selector_is_about_the_pods_of_the_model():
    bare = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    own = bare | {"labelSelector": {"matchLabels": {"a": "b"}}}
    spread = rendered(topologySpreadConstraints=[bare, own])["topologySpreadConstraints"]
    assert spread == [bare | {"labelSelector": {"matchLabels": selector("cat")}}, own]


def test_a_label_of_the_users_never_takes_the_place_of_ours():
    model = CatfishModel.from_body(body(podLabels={"catfish.dev/revision": "x", "a": "b"}))
    found = deployment.template(model, revision="cat-1")["metadata"]["labels"]
    assert (found["catfish.dev/revision"], found["a"]) == ("cat-1", "b")


def test_while_a_deployment_is_held_no_new_pod_becomes_available_and_no_deadline_passes():
    model = CatfishModel.from_body(body(rollout={"minReadySeconds": 3, "progressDeadlineSeconds": 60}))
    paces = [
        deployment.deployment(model, template={}, replicas=None, held=held)["spec"] for held in (True, False)
    ]
    assert [(pace["minReadySeconds"], pace["progressDeadlineSeconds"]) for pace in paces] == [
        (315_360_000, 2_147_483_647),
        (3, 60),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("1Ki", "1024"),
        ("1k", "1000"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("2E", "2e18"),
        (".5", "0.5"),
        (3, "3"),
        (1.5, "1.5"),
        ("1.5Gi", "1610612736"),
    ],
)
def test_a_quantity_is_read_by_value(text, value):
    assert quantity.parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1gi", None, True, "1e", "--1"])
def test_what_is_not_a_quantity_has_no_value(text):
    assert quantity.parse(text) is None


GOLDEN_IMAGES = {"configMapRef": {"name": "golden"}, "samples": [{"key": "a.jpg", "class": "cat"}]}


def name(**spec):
    return revision.name(CatfishModel.from_body(body(**spec)))


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 7},
        {"service": {"port": 8080}},
        {"service": {"grpcPort": 9000}},
        {"rollout": {"maxSurge": 3, "canary": {"seconds": 9}, "bakeSeconds": 9, "paused": True}},
        {"autoscaling": {"maxReplicas": 3}},
        {"disruption": {"maxUnavailable": 3}},
        {"monitoring": {"serviceMonitor": True}},
        {"revisionHistoryLimit": 3},
        {"env": [], "podLabels": {}, "affinity": {}, "topologySpreadConstraints": []},
        {"drainSeconds": 5},
        {"prediction": {"returnProbabilities": False, "imageURLs": {"enabled": True, "allowHosts": []}}},
        {"resources": {}},
        {"tolerations": []},
    ],
    ids=str,
)
def test_what_does_not_shape_pods_or_is_the_default_names_the_same_revision(spec):
    assert name(**spec) == name()


@pytest.mark.parametrize(
    "spec",
    [
        {"image": "catfish-server:v2"},
        {"imagePullPolicy": "Always"},
        {"imagePullSecrets": [{"name": "a"}]},
        {"weights": {"url": "https://models.example.com/other.pt"}},
        {"weights": {"url": "https://models.example.com/cat.pt", "sha256": "0" * 64}},
        {"model": {"architecture": "resnet18", "classes": ["fish", "cat"]}},
        {"model": {"architecture": "resnet18", "classes": ["cat", "fish"], "imageSize": 96}},
        {"model": {"architecture": "resnet18", "classes": ["cat", "fish"], "mean": [0, 0, 0]}},
        {"prediction": {"unknownThreshold": 0}},
        {"prediction": {"returnProbabilities": True}},
        {"prediction": {"imageURLs": {"enabled": False}}},
        {"resources": {"limits": {"cpu": "1"}}},
        {"nodeSelector": {"a": "b"}},
        {"tolerations": [{"operator": "Exists"}]},
        {"drainSeconds": 0},
        {"verification": GOLDEN_IMAGES},
        {"logging": {"predictions": {}}},
        {"logging": {"predictions": {"sink": "none"}}},
        {"serviceAccountName": "cats"},
        {"env": [{"name": "A", "value": ""}]},
        {"podLabels": {"a": "b"}},
        {"podAnnotations": {"a": "b"}},
        {"affinity": {"nodeAffinity": {"x": []}, "podAffinity": {"y": [1]}}},
        {"topologySpreadConstraints": [{"maxSkew": 2}]},
        {"priorityClassName": "high"},
        {"runtimeClassName": "gvisor"},
    ],
    ids=str,
)
def test_what_shapes_pods_names_another_revision(spec):
    assert name(**spec) != name()


def test_every_change_of_the_log_names_another_revision():
    kafka = {"sink": "kafka", "url": "kafka://a/t"}
    logs = [
        {},
        {"sampleRate": 0.5},
        {"includeTensors": True},
        {"userHeader": "X-User"},
        kafka,
        kafka | {"credentialsSecretRef": {"name": "a"}},
        {"sink": "s3", "url": "s3://a"},
        {"sink": "s3", "url": "s3://a", "endpoint": "http://s"},
    ]
    assert len({name(logging={"predictions": log}) for log in logs}) == len(logs)
    defaults = {"sink": "stdout", "sampleRate": 1, "includeTensors": False}
    assert name(logging={"predictions": {}}) == name(logging={"predictions": defaults})


def test_the_accuracy_that_is_the_default_anyway_names_the_same_revision():
    assert name(verification=GOLDEN_IMAGES | {"minAccuracy": 1}) == name(verification=GOLDEN_IMAGES)
    assert name(verification=GOLDEN_IMAGES | {"minAccuracy": 0.5}) != name(verification=GOLDEN_IMAGES)


def test_a_restart_names_another_revision_and_each_restart_its_own():
    names = {name()}
    for value in ("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"):
        model = body()
        model["metadata"]["annotations"] = {"catfish.dev/restartedAt": value}
        names.add(revision.name(CatfishModel.from_body(model)))
    assert len(names) == 3


KNOWN = {
    "cat-796b50481d": {},
    "cat-a5e227d1b9": {"drainSeconds": 12, "prediction": {"returnProbabilities": True}},
    "cat-ae73a9061c": {
        "resources": {"limits": {"cpu": "500m"}},
        "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"disk": "ssd"},
    },
}


@pytest.mark.parametrize("known", KNOWN)
def test_the_name_of_a_known_revision_never_changes(known):
    assert name(**KNOWN[known]) == known


def test_quantities_of_the_same_value_name_the_same_revision():
    one = name(resources={"limits": {"cpu": "500m", "memory": "1Gi"}})
    assert one == name(resources={"limits": {"memory": "1024Mi", "cpu": 0.5}})


@pytest.mark.parametrize(
    ("spec", "ingress", "url"),
    [
        ({}, [], None),
        ({}, [{"ip": "192.0.2.1"}], "http://192.0.2.1"),
        ({"port": 8080}, [{"ip": "192.0.2.1"}], "http://192.0.2.1:8080"),
        ({}, [{"hostname": "lb.example.com"}], "http://lb.example.com"),
        ({"port": 81}, [{"ip": "2001:db8::1"}], "http://[2001:db8::1]:81"),
        ({"type": "ClusterIP"}, [], "http://cat.default.svc"),
        ({"type": "NodePort", "port": 81}, [], "http://cat.default.svc:81"),
    ],
    ids=str,
)
def test_the_url_is_where_the_service_is_reached(spec, ingress, url):
    model = CatfishModel.from_body(body(service=spec))
    assert service.url(model, {"status": {"loadBalancer": {"ingress": ingress}}}) == url
