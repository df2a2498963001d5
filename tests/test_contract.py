"""docs/contract.md, the operator and the server say the same. Neither may import the other, so a test does."""

import copy
import json
import re
from pathlib import Path

import pytest

from catfish_operator import pods, reasons
from catfish_operator.controller import readings
from catfish_operator.model import CatfishModel
from catfish_operator.plugin.advice import ADVICE
from catfish_operator.resources import deployment
from catfish_server import errors, settings, variables
from catfish_server.lifecycle import Stage
from catfish_server.predictions import destination, stores
from catfish_server.telemetry import metrics
from catfish_server.weights import location

CONTRACT = (Path(__file__).parent.parent / "docs" / "contract.md").read_text()

FULL = {
    "apiVersion": "catfish.dev/v1alpha1",
    "kind": "CatfishModel",
    "metadata": {"name": "whiskers", "namespace": "default", "uid": "u", "generation": 1},
    "spec": {
        "image": "catfish-server:v1",
        "weights": {
            "url": "s3://models/catfish-v1.pt",
            "sha256": "0" * 64,
            "endpoint": "http://store:9000",
            "credentialsSecretRef": {"name": "s3"},
        },
        "model": {
            "architecture": "resnet18",
            "head": {"hidden": 500},
            "classes": ["cat", "fïsh $(HOME) $"],
            "imageSize": 96,
            "mean": [0.5, 0.25, 0.125],
            "std": [1, 0.5, 0.25],
            "engine": "auto",
        },
        "prediction": {
            "unknownThreshold": 0.6,
            "returnProbabilities": True,
            "imageURLs": {"enabled": False, "allowHosts": ["a.example", "b.example"]},
        },
        "verification": {
            "configMapRef": {"name": "golden"},
            "samples": [
                {"key": "chelsea.jpg", "class": "cat"},
                {"key": "$(HOME).jpg", "class": "fïsh $(HOME) $"},
            ],
            "minAccuracy": 0.75,
        },
        "logging": {
            "predictions": {
                "sink": "s3",
                "url": "s3://logs/$(HOME)",
                "endpoint": "http://other-store:9000",
                "credentialsSecretRef": {"name": "log"},
                "sampleRate": 0.25,
                "includeTensors": True,
                "userHeader": "X-User",
            }
        },
        "drainSeconds": 7,
        "replicas": 2,
    },
}


def table(heading: str) -> list[list[str]]:
    """The rows of the first table after a heading of the contract, cell by cell."""
    rows = re.findall(r"^\|(.*)\|$", CONTRACT.split(f"## {heading}")[1].split("\n## ")[0], re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows[2:]]


def rendered(body=FULL) -> dict[str, str]:
    """The environment that a container of the model would see: Kubernetes reads `$$` as `$`."""
    model = CatfishModel.from_body(body)
    return {
        item["name"]: item["value"].replace("$$", "$")
        for item in deployment.environment(model, revision="catfish-0123456789")
    }


def named_in_the_contract() -> set[str]:
    return {name for row in table("Environment") for name in re.findall(r"`(CATFISH_\w+)`", row[0])}


def test_the_operator_sets_exactly_the_variables_of_the_contract():
    assert set(rendered()) == named_in_the_contract()


def test_the_server_reads_every_variable_of_the_contract():
    assert named_in_the_contract() <= {variable.name for variable in variables.VARIABLES}


def test_what_the_spec_says_arrives_in_the_server_unchanged():
    read = settings.Settings.from_env(rendered())
    spec = FULL["spec"]
    assert read.model_name == FULL["metadata"]["name"]
    assert read.location == spec["weights"]["url"]
    assert read.sha256 == spec["weights"]["sha256"]
    assert read.weights_endpoint == spec["weights"]["endpoint"]
    assert read.architecture == spec["model"]["architecture"]
    assert read.head_hidden == spec["model"]["head"]["hidden"]
    assert list(read.classes) == spec["model"]["classes"]
    assert read.image_size == spec["model"]["imageSize"]
    assert list(read.mean) == spec["model"]["mean"]
    assert list(read.std) == spec["model"]["std"]
    assert read.engine == spec["model"]["engine"]
    golden = [{"key": key, "class": answer} for key, answer in read.verification_samples]
    assert golden == spec["verification"]["samples"]
    assert read.verification_min_accuracy == spec["verification"]["minAccuracy"]
    assert read.unknown_threshold == spec["prediction"]["unknownThreshold"]
    assert read.return_probabilities is True
    assert read.image_urls_enabled is False
    assert list(read.image_urls_allow_hosts) == spec["prediction"]["imageURLs"]["allowHosts"]
    samples = [(sample["key"], sample["class"]) for sample in spec["verification"]["samples"]]
    assert list(read.verification_samples) == samples
    assert read.verification_min_accuracy == spec["verification"]["minAccuracy"]
    log = spec["logging"]["predictions"]
    assert read.prediction_log_sink == log["sink"]
    assert read.prediction_log_url == log["url"]
    assert read.prediction_log_endpoint == log["endpoint"]
    assert read.prediction_log_sample_rate == log["sampleRate"]
    assert read.prediction_log_include_tensors is True
    assert read.user_header == log["userHeader"]
    assert read.drain_seconds == spec["drainSeconds"]
    assert read.revision == "catfish-0123456789"


def test_a_minimal_spec_leaves_the_servers_own_defaults_and_they_are_those_of_the_crd():
    spec = {
        "image": "catfish-server:v1",
        "weights": {"url": "https://w/x.pt"},
        "model": {"classes": ["a", "b"]},
    }
    body = {**FULL, "spec": {**spec, "model": {"architecture": "resnet50", "classes": ["a", "b"]}}}
    read = settings.Settings.from_env(rendered(body))
    plain = settings.Settings(location="https://w/x.pt", classes=("a", "b"))
    for name in (
        "image_size",
        "mean",
        "std",
        "unknown_threshold",
        "return_probabilities",
        "image_urls_enabled",
        "verification_samples",
        "verification_min_accuracy",
        "prediction_log_sink",
        "user_header",
    ):
        assert getattr(read, name) == getattr(plain, name), name
    assert read.drain_seconds == plain.drain_seconds


def test_ports_and_probe_paths_are_those_of_the_contract():
    container = deployment.template(CatfishModel.from_body(FULL), revision="r")["spec"]["containers"][0]
    offered = {(port["containerPort"], port["name"]) for port in container["ports"]}
    listed = {(int(row[0]), row[1].strip("`")) for row in table("Ports and probes")}
    assert offered == listed
    probes = {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
    assert probes == {"/livez", "/readyz"}
    assert {container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} == {"admin"}


def test_the_golden_images_are_mounted_where_the_server_looks_for_them():
    template = deployment.template(CatfishModel.from_body(FULL), revision="r")["spec"]
    volumes = {volume["name"]: volume for volume in template["volumes"]}
    mounts = {
        mount["mountPath"]: volumes[mount["name"]] for mount in template["containers"][0]["volumeMounts"]
    }
    where = settings.Settings.from_env(rendered()).verification_dir
    assert mounts[str(where)]["configMap"]["name"] == "golden"


def test_a_claim_is_mounted_where_the_server_looks_for_it():
    body = copy.deepcopy(FULL)
    body["spec"]["weights"] = {"url": "pvc://models/a/b.pt"}
    spec = deployment.template(CatfishModel.from_body(body), revision="r")["spec"]
    (volume,) = [item for item in spec["volumes"] if "persistentVolumeClaim" in item]
    mounts = {item["name"]: item for item in spec["containers"][0]["volumeMounts"]}
    assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    assert mounts[volume["name"]]["readOnly"]
    read = location.parse(settings.Settings.from_env(rendered(body)).location)
    assert read.path == Path(mounts[volume["name"]]["mountPath"]) / "a/b.pt"


def test_the_secrets_arrive_under_the_prefixes_that_the_server_takes_off():
    container = deployment.template(CatfishModel.from_body(FULL), revision="r")["spec"]["containers"][0]
    assert container["envFrom"] == [
        {"prefix": settings.WEIGHTS_SECRET_PREFIX, "secretRef": {"name": "s3"}},
        {"prefix": stores.SECRET_PREFIX, "secretRef": {"name": "log"}},
    ]
    for prefix in (settings.WEIGHTS_SECRET_PREFIX, stores.SECRET_PREFIX):
        assert re.search(rf"prefix\s`{prefix}`", CONTRACT)


def test_a_log_that_is_only_switched_on_goes_where_the_server_takes_it():
    body = copy.deepcopy(FULL)
    body["spec"]["logging"] = {"predictions": {}}
    read = settings.Settings.from_env(rendered(body))
    where = destination.parse(read.prediction_log_sink, read.prediction_log_url)
    assert where == destination.Destination(sink="stdout")
    assert (read.prediction_log_sample_rate, read.prediction_log_include_tensors) == (1.0, False)


def test_the_stages_are_those_of_the_contract():
    (line,) = re.findall(r"^Stages, in order: (.*)\.$", CONTRACT, re.MULTILINE)
    assert [stage.value for stage in Stage] == re.findall(r"`(\w+)`", line)


def failures() -> dict[str, type[errors.StartupFailure]]:
    return {failure.reason: failure for failure in errors.StartupFailure.__subclasses__()}


def test_reasons_exit_codes_and_whether_to_retry_are_those_of_the_contract():
    listed = {row[0].strip("`"): (int(row[1]), row[2] == "yes") for row in table("The end of a container")}
    assert {reason: (kind.exit_code, kind.retriable) for reason, kind in failures().items()} == listed


def test_no_two_reasons_share_an_exit_code_or_what_is_said_of_them():
    codes = [kind.exit_code for kind in failures().values()]
    assert len(set(codes)) == len(codes) == len(errors.StartupFailure.__subclasses__())
    said = [reasons.SENTENCES[reason] for reason in failures()]
    assert len(set(said)) == len(said)
    assert len({ADVICE[reason] for reason in failures()}) == len(said)


def test_the_operator_understands_exactly_the_reasons_that_a_server_gives():
    assert set(failures()) == set(reasons.REPORTED)


@pytest.mark.parametrize("reason", sorted(reasons.REPORTED))
def test_a_termination_message_of_the_server_becomes_the_operators_verdict(reason):
    failure = failures()[reason]("spec.weights.url: it is so")
    message = json.dumps({"reason": failure.reason, "message": str(failure), "retriable": failure.retriable})
    fault = pods._report(message)
    assert fault is not None
    assert fault.reason == reason
    assert fault.detail == "spec.weights.url: it is so"
    assert fault.world == failure.retriable


def test_the_operator_judges_by_every_path_that_answers_with_a_prediction():
    assert set(metrics.INFERENCES) == readings.INFERENCES


@pytest.mark.parametrize("drain", [5, 60, 61, 3600])
def test_the_grace_period_is_the_one_that_the_contract_promises(drain):
    body = {**FULL, "spec": FULL["spec"] | {"drainSeconds": drain}}
    spec = deployment.template(CatfishModel.from_body(body), revision="r")["spec"]
    ((least, extra),) = re.findall(r"Seconds` is (\d+), or `drainSeconds` plus (\d+)", CONTRACT)
    assert spec["terminationGracePeriodSeconds"] == max(int(least), drain + int(extra))
    assert int(least) - int(extra) == int(rendered(body)["CATFISH_DRAIN_LIMIT_SECONDS"])
