"""The faulty server, run as its container runs it: each fault shows as the real one would."""

import http.client
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from localcluster.ports import free_ports

pytestmark = pytest.mark.process
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("image") / "faulty.py"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights.pt"
    torch.save(resnet18(num_classes=2).state_dict(), path)
    return path


@contextmanager
def running(fault, weights, folder):
    port, admin = free_ports(2)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "model_server"),
        "FAULT": fault,
        "CATFISH_HOST": "127.0.0.1",
        "CATFISH_PORT": str(port),
        "CATFISH_ADMIN_PORT": str(admin),
        "CATFISH_GRPC_PORT": "0",
        "CATFISH_MODEL_LOCATION": str(weights),
        "CATFISH_ARCHITECTURE": "resnet18",
        "CATFISH_CLASSES": "cat,fish",
        "CATFISH_IMAGE_SIZE": "64",
        "CATFISH_THREADS": "1",
        "CATFISH_CACHE_DIR": str(folder),
        "CATFISH_DRAIN_SECONDS": "0",
    }
    process = subprocess.Popen([sys.executable, str(SCRIPT)], env=environment, stderr=subprocess.PIPE)
    try:
        yield process, port, admin
    finally:
        process.kill()
        process.communicate()


def get(port, path):
    """Status and body; (0, b"") where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def predict(port):
    import io

    from PIL import Image

    stored = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stored, "PNG")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/predict", stored.getvalue(), {"Content-Type": "image/png"})
        return connection.getresponse().status
    finally:
        connection.close()


def wait_for(look, seconds=60):
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def test_it_answers_right_and_then_5xx_and_its_own_metrics_count_them(weights, tmp_path):
    with running("ready-then-5xx:1.5", weights, tmp_path) as (_, port, admin):
        wait_for(lambda: get(admin, "/readyz")[0] == 200)
        assert predict(port) == 200
        wait_for(lambda: predict(port) == 500)
        metrics = get(admin, "/metrics")[1].decode()
        assert 'catfish_requests_total{code="500",path="/predict"} 1.0' in metrics
        assert get(admin, "/readyz")[0] == 200


def test_one_that_is_never_ready_says_that_it_lives_and_where_it_hangs(weights, tmp_path):
    with running("never-ready", weights, tmp_path) as (_, _port, admin):
        wait_for(lambda: b"warming" in get(admin, "/readyz")[1])
        status, body = get(admin, "/readyz")
        assert (status, json.loads(body)["stage"]) == (503, "warming")
        assert get(admin, "/livez")[0] == 200


def test_a_slow_start_is_one_that_ends_ready(weights, tmp_path):
    with running("slow-start:3", weights, tmp_path) as (_, _port, admin):
        wait_for(lambda: b"loading" in get(admin, "/readyz")[1])
        wait_for(lambda: get(admin, "/readyz")[0] == 200)


@pytest.mark.parametrize(("fault", "ready"), [("crash-at-start", False), ("crash-after-ready:1", True)])
def test_a_crash_ends_the_process_with_a_code_of_its_own(weights, tmp_path, fault, ready):
    with running(fault, weights, tmp_path) as (process, _port, admin):
        if ready:
            wait_for(lambda: get(admin, "/readyz")[0] == 200)
        assert process.wait(30) == 3
        assert b"faulty image: crashes" in process.stderr.read()


def test_an_unknown_fault_is_refused(weights, tmp_path):
    with running("no-such-fault", weights, tmp_path) as (process, _port, _admin):
        assert process.wait(30) == 1
        assert b"FAULT is 'no-such-fault'" in process.stderr.read()


def test_without_a_fault_it_is_the_server(weights, tmp_path):
    with running("", weights, tmp_path) as (_, port, admin):
        wait_for(lambda: get(admin, "/readyz")[0] == 200)
        assert predict(port) == 200
