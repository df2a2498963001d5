"""docs/models.md, followed as a reader would: its scripts, its commands and its manifest, until a cluster is needed."""

import contextlib
import hashlib
import json
import re
from dataclasses import replace

import pytest
import yaml
from PIL import Image

from catfish_operator.model import CatfishModel
from catfish_operator.resources import deployment
from catfish_server.inference import build
from catfish_server.lifecycle import Lifecycle
from catfish_server.settings import Settings
from catfish_server.weights.sandbox import Sandbox
from tests import models_page

pytestmark = pytest.mark.process

MADE = {"weights.pt", "model.safetensors", "model.onnx", "model.pt2", "model-int8.onnx"}


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    return models_page.follow(tmp_path_factory.mktemp("page"), {"OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module")
def manifest(followed):
    """As the reader applies it."""
    return yaml.safe_load(followed.manifest)


@pytest.fixture(scope="module")
def served(followed, manifest):
    """The file that the manifest names, under the name that the page gives it."""
    return followed.directory / manifest["spec"]["weights"]["url"].rpartition("/")[2]


def test_the_page_goes_from_a_training_script_to_a_model_that_answers():
    page = models_page.read()
    assert list(page.files) == ["pictures.py", "train.py", "model.yaml"]
    assert [" ".join(command.split()[:2]) for command in page.commands] == [
        "python pictures.py",
        "python train.py",
        "catfish convert",
        "catfish export",
        "catfish export",
        "catfish quantize",
        "catfish verify",
        "catfish digest",
        "curl --fail",
        "kubectl apply",
        "kubectl wait",
        "kubectl wait",
        "url=$(kubectl get",
        "curl --fail",
    ]


def test_each_command_leaves_the_file_that_the_page_names(followed):
    left = {path.name for path in followed.directory.iterdir() if path.is_file()}
    assert left == MADE | {"pictures.py", "train.py"}


def test_the_trained_model_knows_pictures_that_it_has_not_seen(followed):
    told = followed.told["python train.py"]
    right, total = map(int, re.search(r"(\d+) of (\d+) held-out", told).groups())
    assert (total, right >= 0.9 * total) == (300, True), told


def test_what_was_measured_in_8_bits_is_what_the_page_promises(followed, catfish):
    code, told, complaint = catfish("inspect", followed.directory / "model-int8.onnx", "--json")
    measured = json.loads(told)["measured"]
    assert (code, measured["n"]) == (0, 300), complaint
    assert measured["agreement"] >= 0.99
    assert measured["size_ratio"] <= 0.3


def test_the_manifest_says_of_the_file_what_the_file_is(followed, manifest, served, catfish):
    code, told, complaint = catfish("inspect", served, "--json")
    assert code == 0, complaint
    found, spec = json.loads(told), manifest["spec"]
    assert spec["weights"]["sha256"] == hashlib.sha256(served.read_bytes()).hexdigest()
    assert {f"spec.model.{name}": value for name, value in spec["model"].items()} == found["to_serve"]
    assert found["classes"] == ["dots", "stripes"]
    convert = next(command for command in followed.told if command.startswith("catfish convert "))
    assert f" --classes {','.join(found['classes'])} " in convert
    assert f"{found['classes']}: " in followed.told["python train.py"], "another order of the classes"


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "model.pt2", "model-int8.onnx"])
def test_the_table_says_of_a_file_what_it_needs(followed, catfish, name):
    code, told, complaint = catfish("inspect", followed.directory / name, "--trust", "--json")
    assert code == 0, complaint
    found = json.loads(told)
    (row,) = [row for row in models_page.table() if f"`{found['made_by']}`" in row[0]]
    architecture = found["to_serve"]["spec.model.architecture"]
    assert row[1] == ("the name" if architecture == "resnet18" else f"`{architecture}`")
    assert row[2].startswith("required") is ("spec.weights.sha256" in found["to_serve"])
    assert (row[3], found["classes"]) == ("in the file", ["dots", "stripes"])


def test_the_file_is_stored_under_the_address_of_the_manifest(manifest, served):
    store = next(command for command in models_page.read().commands if "--upload-file" in command)
    path = manifest["spec"]["weights"]["url"].removeprefix("http://store.catfish-store/")
    assert store.endswith(f" --upload-file {served.name} http://198.18.0.1:8000/{path}")


@pytest.fixture(scope="module")
def pod(manifest, served, tmp_path_factory):
    """The model as its pod would load it: the environment is the operator's, and the file is already there."""
    metadata = {**manifest["metadata"], "namespace": "default", "uid": "u", "generation": 1}
    environment = {
        item["name"]: item["value"]
        for item in deployment.environment(
            CatfishModel.from_body({**manifest, "metadata": metadata}), revision="patterns-0"
        )
    }
    settings = replace(
        Settings.from_env(environment),
        location=str(served),
        cache_dir=tmp_path_factory.mktemp("pod"),
        threads=1,
    )
    with (
        contextlib.closing(Sandbox(likely=False)) as sandbox,
        contextlib.closing(
            build.classifier(settings, {}, lifecycle=Lifecycle(), sandbox=sandbox)
        ) as classifier,
    ):
        yield classifier


def test_the_pod_of_the_manifest_answers_held_out_pictures_right(pod, followed):
    shown = {
        path: path.parent.name
        for path in sorted(followed.directory.glob("held-out/*/*.png"))
        if path.stem.startswith("00")
    }
    answers = {path: pod.predict(Image.open(path).convert("RGB")).label for path in shown}
    assert (len(shown), answers) == (10, shown)
    assert set(shown.values()) == {"dots", "stripes"}
