"""The Open Inference Protocol as the published clients of KServe and Triton speak it, against a real server process."""

import json
import threading
import time
from http.client import HTTPConnection

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import models

from localcluster.ports import free_ports
from tests.conformance import clients
from tests.model_server.conftest import Program

pytestmark = pytest.mark.process
CLASSES = ["cat", "fish"]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "cat.jpg"
    noise = np.random.default_rng(7).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    torch.manual_seed(7)
    torch.save(models.resnet18(weights=None, num_classes=2).state_dict(), folder / "w.pt")
    port, admin_port, grpc_port = free_ports(3)
    env = {"CATFISH_PORT": port, "CATFISH_ADMIN_PORT": admin_port, "CATFISH_GRPC_PORT": grpc_port}
    env |= {"CATFISH_MODEL_LOCATION": folder / "w.pt", "CATFISH_MODEL_NAME": "whiskers"}
    log = folder / "log.jsonl"
    env |= {"CATFISH_PREDICTION_LOG_SINK": "file", "CATFISH_PREDICTION_LOG_URL": f"file://{log}"}
    running = Program(
        folder, env | {"CATFISH_RETURN_PROBABILITIES": "true", "CATFISH_REVISION": "whiskers-1"}
    )
    running.grpc_port, running.prediction_log = grpc_port, log
    try:
        running.until("/readyz", 200)
        yield running
    finally:
        running.process.terminate()
        code, log, _ = running.end()
    assert code == 0
    assert "Traceback" not in log


@pytest.fixture(scope="module")
def predicted(server, image):
    """What the server's own API says about the image."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(
        "POST", "/predict?probabilities=true", image.read_bytes(), {"Content-Type": "image/jpeg"}
    )
    answer = json.load(connection.getresponse())
    connection.close()
    return answer


@pytest.fixture(scope="module")
def kserve(server, image):
    return clients.run(
        "kserve_client.py", f"http://127.0.0.1:{server.port}", f"127.0.0.1:{server.grpc_port}", image
    )


@pytest.fixture(scope="module")
def triton(server, image):
    return clients.run("triton_client.py", f"127.0.0.1:{server.port}", f"127.0.0.1:{server.grpc_port}", image)


def agrees(outputs, predicted, *, images):
    assert outputs["label"] == [predicted["prediction"]] * images
    assert outputs["probability"] == pytest.approx([predicted["probability"]] * images, abs=1e-4)


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_kserves_client_finds_server_and_model_live_and_ready(kserve, protocol):
    assert [kserve[protocol][name] for name in ("live", "ready", "model")] == [True] * 3


def test_kserves_client_finds_another_model_not_ready(kserve):
    assert kserve["rest"]["another"] is False


@pytest.mark.parametrize(
    ("protocol", "way", "images"),
    [("rest", "json", 2), ("rest", "binary", 2), ("rest", "binary output", 1), ("grpc", "binary", 2)],
)
def test_kserves_client_gets_what_predict_says(kserve, predicted, protocol, way, images):
    answer = kserve[protocol][way]
    assert (answer["id"], answer["model"]) == ("n1", "whiskers")
    agrees(answer["outputs"], predicted, images=images)
    assert answer["outputs"]["probabilities"] == pytest.approx(
        [*predicted["probabilities"].values()] * images, abs=1e-4
    )


def test_pixels_get_the_same_from_every_client_and_in_every_encoding(kserve, triton):
    logits = kserve["rest"]["pixels"]["outputs"]["logits"]
    assert len(logits) == 4
    others = [kserve[protocol]["binary pixels"]["outputs"]["logits"] for protocol in ("rest", "grpc")]
    others += [kserve["grpc"]["pixels"]["outputs"]["logits"], triton["rest"]["json"]["logits"]]
    others += [triton[protocol]["pixels"]["logits"] for protocol in ("rest", "grpc")]
    for other in others:
        assert other == pytest.approx(logits, abs=1e-4)


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_kserves_client_gets_sixteen_answers_at_once(kserve, predicted, protocol):
    assert len(kserve[protocol]["many"]) == 16
    for answer in kserve[protocol]["many"]:
        agrees(answer["outputs"], predicted, images=1)


def test_kserves_client_shows_why_it_is_refused(kserve):
    status, text = kserve["rest"]["refusal"]
    assert (status, "The bytes are none of" in text) == (415, True)
    code, text = kserve["grpc"]["refusal"]
    assert (code, "The bytes are none of" in text) == ("INVALID_ARGUMENT", True)


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_tritons_client_finds_server_and_model_live_and_ready(triton, protocol):
    assert [triton[protocol][name] for name in ("live", "ready", "model")] == [True] * 3


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_tritons_client_reads_the_metadata(triton, protocol):
    assert triton[protocol]["server"]["extensions"] == ["binary_tensor_data", "classification"]
    model = triton[protocol]["metadata"]
    assert (model["name"], model["versions"]) == ("whiskers", ["whiskers-1"])
    shapes = {
        item["name"]: [int(size) for size in item["shape"]] for item in model["inputs"] + model["outputs"]
    }
    assert shapes == {
        "images": [-1],
        "pixels": [-1, 3, 64, 64],
        "label": [-1],
        "probability": [-1],
        "probabilities": [-1, 2],
        "logits": [-1, 2],
        "uuid": [-1],
    }


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_tritons_client_gets_what_predict_says(triton, predicted, protocol):
    agrees(triton[protocol]["binary"], predicted, images=2)
    assert len(triton[protocol]["many"]) == 16
    for answer in triton[protocol]["many"]:
        agrees(answer, predicted, images=1)


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_tritons_client_gets_the_best_classes_by_name(triton, protocol):
    labels = [told.rsplit(":", 1)[1] for told in triton[protocol]["classes"]["probabilities"]]
    assert labels[::2] == triton[protocol]["pixels"]["label"]
    assert sorted(labels[:2]) == sorted(CLASSES)


@pytest.mark.parametrize(
    ("protocol", "bad", "missing"),
    [("rest", "415", "404"), ("grpc", "StatusCode.INVALID_ARGUMENT", "StatusCode.NOT_FOUND")],
)
def test_tritons_client_shows_why_it_is_refused(triton, protocol, bad, missing):
    found = triton[protocol]
    assert found["refusal"][0] == bad
    assert "The bytes are none of" in found["refusal"][1]
    assert found["another"] == [missing, "There is no model 'dog' here; this is 'whiskers'."]
    assert found["version"] == [
        missing,
        "There is no version '7' of the model here; this is 'whiskers-1'.",
    ]


def test_every_client_gets_the_uuids_of_its_records_in_every_encoding(server, kserve, triton):
    answers = [kserve["rest"][way]["outputs"] for way in ("json", "binary", "pixels", "binary pixels")]
    answers += [kserve["grpc"][way]["outputs"] for way in ("binary", "pixels", "binary pixels")]
    answers += [triton[protocol][way] for protocol in ("rest", "grpc") for way in ("binary", "pixels")]
    names = [name for answer in answers for name in answer["uuid"]]
    assert len(set(names)) == len(names) == 2 * len(answers)
    labels = dict(zip(names, [label for answer in answers for label in answer["label"]], strict=True))
    deadline = time.monotonic() + 15
    while not labels.items() <= logged(server.prediction_log).items():
        assert time.monotonic() < deadline, "a record with the label of an answer is missing"
        threading.Event().wait(0.1)


def logged(log):
    """The answers of a prediction log by uuid."""
    records = [
        json.loads(line) for line in log.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")
    ]
    return {record["uuid"]: record["prediction"] for record in records}


def test_reflection_describes_the_protocol_to_a_client_that_has_no_proto(triton):
    assert "inference.GRPCInferenceService" in triton["reflection"]["services"]
    assert "grpc.health.v1.Health" in triton["reflection"]["services"]
    assert "ModelInfer" in triton["reflection"]["methods"]
