"""schemathesis, which knows nothing of this server but its /openapi.json, against a real one."""

import base64
import io
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
import schemathesis
import torch
from PIL import Image
from torchvision import models

from catfish_server.inference.classifier import Classifier
from catfish_server.models.module import TorchModel
from tests.model_server.web.conftest import SETTINGS, Running

pytestmark = pytest.mark.process

EXAMPLES = 25
"""For each operation, besides the boundaries of every field, which are always tried."""

EXCLUDED = "positive_data_acceptance"
"""Whether bytes are an image, and an address leads to one, no schema can say."""

resolve = socket.getaddrinfo


def resolves_this_machine_only(host, *arguments, **options):
    """The addresses that schemathesis makes up lead out of this machine."""
    if host not in {"127.0.0.1", "localhost"}:
        raise socket.gaierror("no such name")
    return resolve(host, *arguments, **options)


@pytest.fixture(scope="module")
def url():
    torch.manual_seed(7)
    classifier = Classifier(
        TorchModel(models.resnet18(weights=None, num_classes=2).eval()),
        SETTINGS.classes,
        image_size=SETTINGS.image_size,
        mean=SETTINGS.mean,
        std=SETTINGS.std,
        unknown_threshold=None,
        threads=SETTINGS.threads,
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", resolves_this_machine_only)
        running = Running(classifier, return_probabilities=True)
        yield "http://{}:{}".format(*running.address)
        running.server.stop()
        running.thread.join()


def schemathesis_finds(url, folder, *options):
    """How many requests it made and how many were answered as they should, after checking that it was content."""
    command = [Path(sys.executable).parent / "schemathesis", "run", f"{url}/openapi.json", "--no-color"]
    command += ["--mode=all", "--suppress-health-check=all", "--continue-on-failure", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
    made, passed = re.search(r"(\d+) generated, (\d+) passed", done.stdout).groups()
    return int(made), int(passed)


def test_good_and_bad_requests_are_answered_as_the_document_says_and_none_fails_the_server(url, tmp_path):
    options = (
        "--phases=examples,coverage,fuzzing",
        f"--max-examples={EXAMPLES}",
        "--generation-deterministic",
    )
    made, passed = schemathesis_finds(url, tmp_path, *options, "--checks=all", f"--exclude-checks={EXCLUDED}")
    assert made == passed
    assert made > 150


def test_a_server_that_is_asked_from_four_sides_at_once_does_not_fail(url, tmp_path):
    options = (
        "--phases=fuzzing",
        "--max-examples=10",
        "--workers=4",
        "--seed=2",
        "--generation-database=none",
    )
    made, passed = schemathesis_finds(url, tmp_path, *options, "--checks=not_a_server_error")
    assert made == passed


@pytest.fixture(scope="module")
def picture():
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(buffer, "PNG")
    return buffer.getvalue()


def as_bytes(picture):
    return {"data": picture, "headers": {"Content-Type": "image/png"}}


def as_base64(picture):
    return {"json": {"image": base64.b64encode(picture).decode(), "probabilities": True}}


def as_a_list(picture):
    return {"json": {"images": [base64.b64encode(picture).decode()] * 2}}


def as_a_file(picture):
    return {"files": {"image": ("a.png", picture)}}


def as_files(picture):
    return {"files": [("image", ("a.png", picture)), ("image", ("b.png", picture))]}


@pytest.mark.parametrize("way", [as_bytes, as_base64, as_a_list, as_a_file, as_files])
def test_a_prediction_has_the_shape_that_the_document_gives_it(url, picture, way):
    operation = schemathesis.openapi.from_url(f"{url}/openapi.json")["/predict"]["POST"]
    response = requests.post(f"{url}/predict", timeout=30, **way(picture))
    assert response.status_code == 200
    operation.validate_response(response)


def test_a_prediction_without_its_class_would_be_noticed(url, picture):
    operation = schemathesis.openapi.from_url(f"{url}/openapi.json")["/predict"]["POST"]
    response = requests.post(f"{url}/predict", timeout=30, **as_bytes(picture))
    response._content = b'{"image": "x", "probability": 2}'
    with pytest.raises(Exception, match="schema"):
        operation.validate_response(response)
