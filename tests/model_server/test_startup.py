"""The whole program as a process: what it exits with, what it writes, and when."""

import hashlib
import json
import signal

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from catfish_server import errors, startup
from tests.model_server.conftest import SECONDS
from tests.model_server.whole_models import SIZE

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def safetensors(weights):
    """The same where a test needs no pickle, for which the server imports torch once more."""
    path = weights.with_suffix(".safetensors")
    save_file(torch.load(weights), path)
    return path


def test_it_serves_and_leaves_with_0_when_it_is_told_to(program, weights, tmp_path):
    running = program(CATFISH_MODEL_LOCATION=weights)
    running.until("/readyz", 200)
    assert json.loads(running.get("/")[1]) == {"status": "ok"}
    running.process.send_signal(signal.SIGTERM)
    code, output, told = running.end()
    assert (code, told) == (0, None)
    assert "Traceback" not in output
    assert [path.name for path in tmp_path.glob("catfish-weights-*/*")] == []


def test_the_keys_of_the_weights_secret_reach_their_store_and_set_nothing_else(
    program, files, serving_files, tmp_path
):
    stored = tmp_path / "store" / "models" / "w"
    stored.parent.mkdir(parents=True)
    stored.write_bytes(files.path("onnx").read_bytes())
    running = program(
        CATFISH_MODEL_LOCATION="az://models/w",
        CATFISH_WEIGHTS_ENDPOINT=serving_files(tmp_path / "store" / "any").removesuffix("/any"),
        CATFISH_ARCHITECTURE="onnx",
        CATFISH_IMAGE_SIZE=SIZE,
        CATFISH_WEIGHTS_SECRET_AZURE_STORAGE_ACCOUNT="whoever",  # without it no az:// is fetched
        CATFISH_WEIGHTS_SECRET_CATFISH_MODEL_LOCATION="/etc/hosts",
        CATFISH_WEIGHTS_SECRET_CATFISH_REVISION="hunter2",
        CATFISH_WEIGHTS_SECRET_OTEL_EXPORTER_OTLP_ENDPOINT="hunter2",
    )
    running.until("/readyz", 200)
    assert json.loads(running.get("/")[1]) == {"status": "ok"}
    running.process.send_signal(signal.SIGTERM)
    code, output, _ = running.end()
    assert (code, "hunter2" in output) == (0, False)


def test_the_probes_are_answered_while_the_weights_are_awaited(program, silent_server):
    url, asked = silent_server
    running = program(CATFISH_MODEL_LOCATION=url)
    running.until("/livez", 200)
    assert asked.wait(SECONDS)
    status, body = running.probe("/readyz")
    assert (status, json.loads(body)["stage"]) == (503, "fetching")
    assert running.process.poll() is None


def test_the_digest_of_the_weights_and_the_golden_images_are_told(program, weights, tmp_path, serving_files):
    settings = wrong_golden_image(weights, tmp_path)
    settings |= {"CATFISH_MODEL_LOCATION": serving_files(weights), "CATFISH_VERIFICATION_MIN_ACCURACY": "0.5"}
    running = program(**settings)
    running.until("/readyz", 200)
    told = json.loads(running.probe("/readyz")[1])
    content = weights.read_bytes()
    assert told["weights"].pop("downloadSeconds") > 0
    assert told == {
        "stage": "ready",
        "weights": {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "format": "state_dict",
        },
        "verification": {"right": 1, "total": 2},
    }
    assert [path.name for path in tmp_path.glob("catfish-weights-*/*")] == []
    running.process.send_signal(signal.SIGTERM)
    code, output, _ = running.end()
    assert code == 0
    assert "1 of 2 golden images were answered right." in output


def wrong_golden_image(weights, tmp_path):
    """The two classes, of which the model gives at least one a wrong answer to the same picture."""
    for name in ("one.png", "two.png"):
        Image.new("RGB", (64, 64), (200, 30, 90)).save(tmp_path / name)
    return {
        "CATFISH_MODEL_LOCATION": weights,
        "CATFISH_VERIFICATION_DIR": tmp_path,
        "CATFISH_VERIFICATION_SAMPLES": '[["one.png", "cat"], ["two.png", "fish"]]',
    }


def test_an_image_size_that_the_model_cannot_take_is_found_before_it_is_ready(program, tmp_path):
    save_file(nn_weights(), tmp_path / "w.safetensors")
    code, _, told = program(
        CATFISH_MODEL_LOCATION=tmp_path / "w.safetensors",
        CATFISH_ARCHITECTURE="squeezenet1_1",
        CATFISH_IMAGE_SIZE=8,
    ).end()
    assert code == errors.InvalidSpec.exit_code
    assert told["message"] == "spec.model.imageSize: squeezenet1_1 takes no images of 8 pixels"


def nn_weights():
    model = models.squeezenet1_1(weights=None)
    model.classifier[1] = nn.Conv2d(512, 2, kernel_size=1)
    return model.state_dict()


def test_what_nobody_foresaw_is_one_line_and_1(program, weights):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        running = program(CATFISH_MODEL_LOCATION=weights, CATFISH_ADMIN_PORT=taken.getsockname()[1])
        code, output, told = running.end()
    assert (code, told) == (1, None)
    assert output.startswith("catfish-server: unexpected OSError: ")
    assert output.count("\n") == 1


@pytest.mark.parametrize("text", ["x" * 5000, "\N{CAT FACE}" * 3000, '"' * 4000, "short"], ids=len)
def test_a_termination_message_is_an_object_of_at_most_2_kib(text):
    message = startup._termination_message(errors.InvalidSpec(text))
    assert len(message) <= 2048
    assert json.loads(message)["reason"] == "InvalidSpec"
    assert json.loads(message)["message"][:5] == text[:5]
    if len(text) > 100:
        assert len(message) > 1500


def test_a_request_is_in_the_access_log_and_the_traces_when_the_server_has_left(program, safetensors):
    from tests.model_server.web.collector import Collector

    collector = Collector()
    running = program(
        CATFISH_MODEL_LOCATION=safetensors,
        CATFISH_ACCESS_LOG="true",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_SERVICE_NAME="cats",
    )
    try:
        running.until("/readyz", 200)
        assert running.get("/predict")[0] == 400
        running.process.send_signal(signal.SIGTERM)
        output, _ = running.process.communicate(timeout=SECONDS)
    finally:
        collector.close()
    (line,) = [json.loads(line) for line in output.splitlines()]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/predict", 400)
    assert [span.name for span in collector.spans] == ["GET /predict"]
    assert collector.resource["service.name"] == "cats"
    assert "Traceback" not in running.errors.read_text()
