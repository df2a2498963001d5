"""The application under waitress-serve, as people start Flask applications who have no cluster."""

import io
import json
import os
import subprocess
import sys

import pytest
from PIL import Image
from safetensors.torch import save_file
from torchvision import models

from localcluster.ports import free_ports
from tests.model_server.conftest import _ask
from tests.model_server.predictions.conftest import until

pytestmark = pytest.mark.process


@pytest.fixture
def waitress_serve(tmp_path):
    """A function that starts waitress-serve with these settings; the process has its port."""
    started = []

    def start(**env):
        (port,) = free_ports(1)
        words = [
            "-m",
            "waitress",
            f"--listen=127.0.0.1:{port}",
            "--call",
            "catfish_server.wsgi:create_app",
        ]
        given = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
        with (tmp_path / "errors").open("wb") as errors:
            process = subprocess.Popen([sys.executable, *words], env=given | env, stderr=errors)
        process.port, process.errors = port, tmp_path / "errors"
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_factory_serves_the_model_of_the_environment(waitress_serve, tmp_path):
    save_file(
        models.mobilenet_v3_small(weights=None, num_classes=2).state_dict(), tmp_path / "cat.safetensors"
    )
    process = waitress_serve(
        CATFISH_MODEL_LOCATION=str(tmp_path / "cat.safetensors"),
        CATFISH_ARCHITECTURE="mobilenet_v3_small",
        CATFISH_CLASSES="cat,fish",
        CATFISH_IMAGE_SIZE="64",
        CATFISH_CACHE_DIR=str(tmp_path),
    )
    picture = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(picture, "PNG")
    until(
        lambda: process.poll() is not None or _ask(process.port, "GET", "/", None, {})[0] == 200, seconds=60
    )
    headers = {"Content-Type": "image/png"}
    status, answer = _ask(process.port, "POST", "/predict", picture.getvalue(), headers)
    assert (status, json.loads(answer)["prediction"] in {"cat", "fish"}) == (200, True), (
        process.errors.read_text()
    )


def test_settings_that_cannot_be_used_end_it_with_one_line(waitress_serve):
    process = waitress_serve(CATFISH_MODEL_LOCATION="cat.pt", CATFISH_IMAGE_SIZE="huge")
    assert process.wait(timeout=60) == 1
    told = process.errors.read_text()
    assert told.startswith("catfish-server: InvalidSpec: spec.model.imageSize: ")
    assert "Traceback" not in told
