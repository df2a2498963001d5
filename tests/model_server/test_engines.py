"""Engines in the whole program: it is ready first, changes its engine while it answers, and leaves in between."""

import http.client
import io
import json
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import save_file

from tests.model_server.engines import CLASSES, SIZE, resnet18_weights

pytestmark = pytest.mark.process
SECONDS = 180


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(resnet18_weights(), path)
    return path


@pytest.fixture
def server(program, weights):
    running = program(
        CATFISH_MODEL_LOCATION=weights,
        CATFISH_CLASSES=",".join(CLASSES),
        CATFISH_IMAGE_SIZE=SIZE,
        CATFISH_ENGINE="onnxruntime",
        CATFISH_ENGINE_DELAY_SECONDS=0,
    )
    running.until("/readyz", 200)
    return running


def engine(running):
    return re.search(r'catfish_runtime_info{.*engine="(\w+)"', running.probe("/metrics")[1].decode())[1]


def until(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split() + [
        child
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        if task.parent.name != str(pid)
        for child in task.read_text().split()
    ]


def asked(running, picture):
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.request("POST", "/predict", picture, {"Content-Type": "image/png"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer.get("prediction"), answer.get("probability")


def test_the_engine_changes_while_requests_are_answered_and_none_fails_or_changes(server):
    buffer = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((80, 60)).save(buffer, "PNG")
    assert engine(server) == "torch"
    before = asked(server, buffer.getvalue())
    assert before[0] == 200
    while engine(server) == "torch":
        status, label, probability = asked(server, buffer.getvalue())
        assert (status, label) == before[:2]
        assert probability == pytest.approx(before[2], abs=1e-3)
    assert engine(server) == "onnxruntime"
    assert asked(server, buffer.getvalue())[:2] == before[:2]
    assert 'engine="onnxruntime",state="chosen"' in server.probe("/metrics")[1].decode()
    server.process.send_signal(signal.SIGTERM)
    code, output, _ = server.end()
    assert code == 0
    assert "Traceback" not in output
    assert "The model runs on onnxruntime from now on." in output


def test_it_leaves_in_time_while_an_engine_is_being_built(server, tmp_path):
    until(lambda: children(server.process.pid))
    (child,) = children(server.process.pid)
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    code, output, _ = server.end()
    assert (code, "Traceback" in output) == (0, False)
    assert time.monotonic() - began < 15
    assert not Path(f"/proc/{child}").exists()
    assert [path.name for path in tmp_path.glob("catfish-weights-*/engines/*")] == ["lock"]
