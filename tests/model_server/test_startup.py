"""The whole program as a process: what it exits with, what it writes, and when."""

import http.client
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from torch import nn
from torchvision import models

from catfish_server import errors, startup

SECONDS = 60


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pt"
    torch.save(models.resnet18(weights=None, num_classes=2).state_dict(), path)
    return path


class Program:
    """A running server and its termination message."""

    def __init__(self, directory, env):
        self.log = directory / "termination-log"
        self.log.write_bytes(b"")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "catfish_server"],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(sys.path),
                "CATFISH_HOST": "127.0.0.1",
                "CATFISH_CLASSES": "cat,fish",
                "CATFISH_ARCHITECTURE": "resnet18",
                "CATFISH_IMAGE_SIZE": "64",
                "CATFISH_CACHE_DIR": str(directory),
                "CATFISH_TERMINATION_LOG": str(self.log),
                "CATFISH_DRAIN_SECONDS": "0",
                **{name: str(value) for name, value in env.items()},
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self):
        """The exit code, what was written to stderr, and the termination message."""
        _, output = self.process.communicate(timeout=SECONDS)
        told = self.log.read_bytes()
        return self.process.returncode, output, json.loads(told) if told else None


@pytest.fixture
def program(tmp_path, free_ports):
    started = []

    def start(**env):
        port, admin_port = free_ports
        running = Program(tmp_path, {"CATFISH_PORT": port, "CATFISH_ADMIN_PORT": admin_port} | env)
        started.append(running.process)
        return running

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def free_ports():
    import socket

    with socket.socket() as one, socket.socket() as other:
        for held in (one, other):
            held.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@pytest.fixture
def silent_server():
    """Takes a request and never answers; yields its URL and an event that is set when one has come."""
    asked, over = threading.Event(), threading.Event()

    class Silent(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.set()
            over.wait(SECONDS)

        def log_message(self, *_arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/w.pt", asked
    over.set()
    server.shutdown()
    server.server_close()


def ask(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def await_status(port, path, status):
    deadline = time.monotonic() + SECONDS
    while ask(port, path)[0] != status:
        assert time.monotonic() < deadline, f"no {status} from {path}"
        threading.Event().wait(0.05)


def test_it_serves_and_leaves_with_0_when_it_is_told_to(program, free_ports, weights, tmp_path):
    running = program(CATFISH_MODEL_LOCATION=weights)
    port, admin_port = free_ports
    await_status(admin_port, "/readyz", 200)
    assert json.loads(ask(port, "/")[1]) == {"status": "ok"}
    running.process.send_signal(signal.SIGTERM)
    code, output, told = running.end()
    assert (code, told) == (0, None)
    assert "Traceback" not in output
    assert [path.name for path in tmp_path.glob("catfish-weights-*/*")] == []


def test_the_probes_are_answered_while_the_weights_are_awaited(program, free_ports, silent_server):
    url, asked = silent_server
    running = program(CATFISH_MODEL_LOCATION=url)
    await_status(free_ports[1], "/livez", 200)
    assert asked.wait(SECONDS)
    status, body = ask(free_ports[1], "/readyz")
    assert (status, json.loads(body)["stage"]) == (503, "fetching")
    assert running.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_while_fetching_it_leaves_at_once_and_cleans_up(
    program, silent_server, tmp_path, number
):
    url, asked = silent_server
    running = program(CATFISH_MODEL_LOCATION=url)
    assert asked.wait(SECONDS)
    started = time.monotonic()
    running.process.send_signal(number)
    code, output, told = running.end()
    assert (code, told) == (0, None)
    assert time.monotonic() - started < 5
    assert "Traceback" not in output
    assert [path.name for path in tmp_path.glob("catfish-weights-*/*")] == []


def test_told_to_stop_in_its_first_moments_it_leaves_with_0(program, free_ports, weights):
    running = program(CATFISH_MODEL_LOCATION=weights)
    await_status(free_ports[1], "/livez", 200)  # torch is being imported now
    running.process.send_signal(signal.SIGTERM)
    code, output, told = running.end()
    assert (code, told) == (0, None)
    assert "Traceback" not in output


def spoiled(weights, tmp_path, change):
    state = torch.load(weights, weights_only=True)
    torch.save(change(state) or state, tmp_path / "w.pt")
    return {"CATFISH_MODEL_LOCATION": tmp_path / "w.pt"}


def web_page(_weights, tmp_path):
    (tmp_path / "w.pt").write_text("<html>Sign in</html>")
    return {"CATFISH_MODEL_LOCATION": tmp_path / "w.pt"}


def unsafe(_weights, tmp_path):
    torch.save({"a": torch.ones(1).expand(2**40)}, tmp_path / "w.pt")
    return {"CATFISH_MODEL_LOCATION": tmp_path / "w.pt"}


def refusing(_weights, _tmp_path):
    class Forbidden(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403)

        def log_message(self, *_arguments):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Forbidden)

    def once():
        with server:
            server.handle_request()

    threading.Thread(target=once, daemon=True).start()
    return {"CATFISH_MODEL_LOCATION": f"http://127.0.0.1:{server.server_port}/w.pt?token=hunter2"}


def with_nan(state):
    state["conv1.weight"][0] = float("nan")


FAULTS = {
    "WeightsNotFound": (lambda _w, tmp: {"CATFISH_MODEL_LOCATION": tmp / "nothing.pt"}, "spec.weights.url: "),
    "WeightsForbidden": (refusing, "spec.weights.url: "),
    "WeightsUnreachable": (
        lambda _w, _t: {"CATFISH_MODEL_LOCATION": "http://127.0.0.1:1/w.pt"},
        "spec.weights.url: ",
    ),
    "ChecksumMismatch": (
        lambda w, _t: {"CATFISH_MODEL_LOCATION": w, "CATFISH_MODEL_SHA256": "0" * 64},
        "spec.weights.sha256: ",
    ),
    "UnsupportedFormat": (web_page, "spec.weights.url: "),
    "UnsafeWeights": (unsafe, "spec.weights.url: "),
    "ArchitectureMismatch": (
        lambda w, _t: {"CATFISH_MODEL_LOCATION": w, "CATFISH_CLASSES": "a,b,c"},
        "spec.model.classes: ",
    ),
    "NonFiniteWeights": (lambda w, tmp: spoiled(w, tmp, with_nan), "spec.weights.url: "),
    "InvalidSpec": (
        lambda w, _t: {"CATFISH_MODEL_LOCATION": w, "CATFISH_IMAGE_SIZE": "huge"},
        "spec.model.imageSize: ",
    ),
}


@pytest.mark.parametrize("reason", FAULTS)
def test_a_failure_ends_with_its_own_code_and_message(program, weights, tmp_path, reason):
    env, begins = FAULTS[reason]
    failure = getattr(errors, reason)
    code, output, told = program(**env(weights, tmp_path)).end()
    assert code == failure.exit_code, output
    assert set(told) == {"reason", "message", "retriable"}
    assert (told["reason"], told["retriable"]) == (reason, failure.retriable)
    assert told["message"].startswith(begins)
    assert output.strip().endswith(f"catfish-server: {reason}: {told['message']}")
    assert "Traceback" not in output
    assert "hunter2" not in output + told["message"]


def test_every_reason_is_tried():
    assert set(FAULTS) == {failure.reason for failure in errors.StartupFailure.__subclasses__()}


def test_an_image_size_that_the_model_cannot_take_is_found_before_it_is_ready(program, tmp_path):
    torch.save(nn_weights(), tmp_path / "w.pt")
    code, _, told = program(
        CATFISH_MODEL_LOCATION=tmp_path / "w.pt", CATFISH_ARCHITECTURE="squeezenet1_1", CATFISH_IMAGE_SIZE=8
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
