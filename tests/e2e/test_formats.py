"""Every file that `catfish` makes of the demo's trained weights, each served as a model: all answer as the weights do.

The next file is made while one is served. That TorchScript and torch.export are refused without spec.weights.sha256,
tests/integration/crd_cases.py and tests/bad_weights.py show.
"""

import functools
import json
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import scenes
from demo import model, pictures, weights
from demo.kube import wait_for
from localcluster import direct
from tests.asking import answering, photograph
from tests.cluster_fixtures import QUICK, a_namespace

pytestmark = pytest.mark.e2e
READY_SECONDS = 90.0
"""From a file in the store to a Ready model, on a machine that is busy with the next file."""

STATUS_SECONDS = 30.0
"""From Ready to what the pod has loaded in the model's status: the operator asks the pod."""

MAKE_SECONDS = 240.0
SIZE = 96
CALIBRATE, SAMPLES = 64, 100
TRAINED = "catfish-v2.pt"


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way to serve the model.

    Attributes:
        command: that makes the file, as docs/models.md has it; it ends with the name of the file.
        architecture: of the spec.
        told: in status.weights, the format of the file; by the server, what the Open Inference Protocol calls
            it, and what runs it.
        tolerance: how far its probability may be from that of the weights.
    """

    command: str
    architecture: str
    told: tuple[str, str, str]
    tolerance: float = 1e-3


TORCHSCRIPT = ("torchscript", "pytorch_torchscript", "torchscript")
ONNX = ("onnx", "onnx_onnxv1", "onnxruntime")
EXPORTED = ("exported", "pytorch_exported", "torch")
CHECKED = "--calibrate calibrate --samples samples"
SIZED = f"--image-size {SIZE} model.safetensors"  # which says the rest

FORMATS = {
    "state-dict": Format(
        command="", architecture="resnet18", told=("state_dict", "pytorch_state_dict", "torch")
    ),
    "safetensors": Format(
        command="convert --classes cat,fish --architecture resnet18 model.pt model.safetensors",
        architecture="resnet18",
        told=("safetensors", "pytorch_state_dict", "torch"),
    ),
    "trace": Format(command=f"export trace {SIZED} trace.pt", architecture="torchscript", told=TORCHSCRIPT),
    "script": Format(
        command=f"export script {SIZED} script.pt", architecture="torchscript", told=TORCHSCRIPT
    ),
    "hybrid": Format(
        command=f"export hybrid {SIZED} hybrid.pt", architecture="torchscript", told=TORCHSCRIPT
    ),
    "program": Format(
        command=f"export program {SIZED} model.pt2",
        architecture="exported",
        told=EXPORTED,
    ),
    "onnx": Format(command=f"export onnx {SIZED} model.onnx", architecture="onnx", told=ONNX),
    "trace-of-pixels": Format(
        command=f"export trace --with-preprocess {SIZED} pixels.pt",
        architecture="torchscript",
        told=TORCHSCRIPT,
    ),
    "program-of-pixels": Format(
        command=f"export program --with-preprocess {SIZED} pixels.pt2",
        architecture="exported",
        told=EXPORTED,
    ),
    "onnx-of-pixels": Format(
        command=f"export onnx --with-preprocess {SIZED} pixels.onnx", architecture="onnx", told=ONNX
    ),
    "int8": Format(
        command=f"quantize {CHECKED} {SIZED} int8.onnx",
        architecture="onnx",
        told=ONNX,
        tolerance=0.05,  # seen: 0.001
    ),
    "int8-dynamic": Format(
        command=f"quantize --dynamic {CHECKED} {SIZED} int8-dynamic.onnx",
        architecture="onnx",
        told=ONNX,
        tolerance=0.05,
    ),
    "int8-torch": Format(
        command=f"quantize --engine torch {CHECKED} {SIZED} int8.pt",
        architecture="torchscript",
        told=TORCHSCRIPT,
        tolerance=0.05,
    ),
}


@dataclass(frozen=True, kw_only=True)
class File:
    """A file as it lies on this machine, and its digest as `catfish digest` prints it."""

    content: bytes
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a served model said: of the photograph, and of the file that it was loaded from."""

    label: str
    probability: float
    told: tuple[str, str, str]
    sha256: str


def catfish(directory, command):
    """What the command prints."""
    ended = subprocess.run(
        [sys.executable, "-m", "catfish_server.tools", *shlex.split(command), "--json"],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=MAKE_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, f"catfish {command}: {ended.stdout}{ended.stderr}"
    return json.loads(ended.stdout)


def made(directory, name):
    """The file of a format, made in a directory that has the weights, and what comes before it in the table."""
    command = FORMATS[name].command
    if "--calibrate" in command and not (directory / "samples").exists():
        scenes.write(directory, size=SIZE, calibrate=CALIBRATE, samples=SAMPLES)
    if command:
        catfish(directory, command)
    file = shlex.split(command)[-1] if command else "model.pt"
    digest = catfish(directory, f"digest {file}")["sha256"]
    return File(content=(directory / file).read_bytes(), sha256=digest)


@pytest.fixture(scope="module")
def files(kube, tmp_path_factory):  # noqa: ARG001 - the store is of the cluster
    """A future of the file of each format; they are made one after the other."""
    directory = tmp_path_factory.mktemp("formats")
    (directory / "model.pt").write_bytes(weights.get(f"models/{TRAINED}"))
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield {name: pool.submit(made, directory, name) for name in FORMATS}
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def namespace(kube, installation):
    """One for all formats."""
    with a_namespace(kube, installation, "e2e-formats") as name:
        yield name


@pytest.fixture(scope="module")
def served(kube, namespace, files):
    """Serves the file of a format once, until the model has answered; returns what was seen."""

    @functools.cache
    def serve(name):
        file = files[name].result(MAKE_SECONDS)
        kube.apply(manifest(name, namespace, file))
        model.settled(kube, name, namespace, seconds=READY_SECONDS)
        found = seen(kube, name, namespace)
        kube.run("delete", "cfm", name, "--namespace", namespace, "--wait=false")
        return found

    return serve


def manifest(name, namespace, file):
    """The model, which gets its classes from the spec only where the file cannot name them."""
    url = weights.put(f"models/format-{name}", file.content)
    classes = {} if FORMATS[name].command else {"classes": list(pictures.CLASSES)}
    spec = {"architecture": FORMATS[name].architecture, "imageSize": SIZE} | classes
    stored = {"url": url, "sha256": file.sha256}
    return model.manifest(name, namespace, weights=stored, model=spec, rollout=QUICK)


def seen(kube, name, namespace):
    """The answer to the photograph, and what is told of the file by the model's status and by its server."""
    address = answering(model.url(kube, name, namespace))
    answer = model.ask(address, photograph())
    assert answer.status == 200, answer
    loaded = wait_for(
        "status.weights",
        lambda: kube.get("cfm", name, namespace)["status"].get("weights"),
        seconds=STATUS_SECONDS,
    )
    platform = model.ask(address, path=f"/v2/models/{name}").body["platform"]
    return Seen(
        label=answer.body["prediction"],
        probability=answer.body["probability"],
        told=(loaded["format"], platform, engine(kube, name, namespace)),
        sha256=loaded["sha256"],
    )


def engine(kube, name, namespace):
    """What runs the model, as its only pod says."""
    (pod,) = model.pods(kube, name, namespace)
    with direct.opener().open(f"http://{pod['status']['podIP']}:5002/metrics", timeout=10) as reply:
        families = text_string_to_metric_families(reply.read().decode())
        (info,) = [family.samples for family in families if family.name == "catfish_runtime_info"]
    return info[0].labels["engine"]


@pytest.fixture(scope="module")
def eager(served):
    """What was seen of the weights as they were trained."""
    return served("state-dict")


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_each_format_is_served_and_answers_as_the_weights_do(served, files, eager, name):
    found = served(name)
    assert (found.label, found.told) == ("cat", FORMATS[name].told)
    assert found.sha256 == files[name].result().sha256
    assert found.probability == pytest.approx(eager.probability, abs=FORMATS[name].tolerance)


def test_the_weights_answer_what_was_written_down_of_them_when_they_were_trained(eager):
    trained = json.loads(weights.get("models/training.json"))["v2"]["photographs"]
    assert eager.probability == pytest.approx(trained[pictures.PHOTOGRAPH], abs=2e-3)
