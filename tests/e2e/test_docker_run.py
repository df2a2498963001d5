"""`docker run -p 5000:5000 --env CATFISH_MODEL_LOCATION=URL IMAGE` gives a server that answers, from both images.

With runc in docker's place, and stricter than docker: see tests/e2e/container.py.
"""

import functools
import http.client
import http.server
import io
import json
import os
import re
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from PIL import Image

from localcluster import images
from tests.e2e import container

pytestmark = pytest.mark.e2e
CLASSES = '["cat", "fish"]'
READY_SECONDS = 120
LARGEST = {"server": 4.2e9, "server-onnx": 500e6}
"""Bytes, unpacked; the server's with the CUDA libraries that PyPI's torch cannot be imported without."""


def torch_weights(path):
    """The book's: the `state_dict` of a resnet50, which is the server's default, with a head that names no classes."""
    import torch
    from torch import nn
    from torchvision import models

    model = models.resnet50(weights=None)
    model.fc = nn.Sequential(nn.Linear(2048, 500), nn.ReLU(), nn.Dropout(), nn.Linear(500, 2))
    torch.save(model.state_dict(), path)


def onnx_weights(path):
    """What is redder than it is blue is a cat."""
    import numpy as np
    import onnx
    from onnx import helper

    weight = onnx.numpy_helper.from_array(np.array([[9, -9], [0, 0], [-9, 9]], np.float32), "w")
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3, 224, 224])]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 2])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    model.metadata_props.add(key="classes", value=CLASSES)
    onnx.save(model, path)


WEIGHTS = {"server": torch_weights, "server-onnx": onnx_weights}


@pytest.fixture(scope="module", params=WEIGHTS)
def which(request):
    if os.geteuid() != 0:
        pytest.skip("containers need root here")
    return request.param


@pytest.fixture(scope="module")
def image(which):
    """The image, built if it is not there."""
    [name] = images.build([which])
    with container.opened(name) as opened:
        yield opened


@pytest.fixture(scope="module")
def weights(which, tmp_path_factory):
    """A folder with the weights for the image."""
    path = tmp_path_factory.mktemp("weights") / "w"
    WEIGHTS[which](path)
    return path


@pytest.fixture
def started(image, weights, tmp_path):
    """Starts a container that is told the address of the weights, and returns it with the seconds until it is ready."""
    with ExitStack() as leaving:

        def start(**options):
            netns = leaving.enter_context(container.cable())
            url = leaving.enter_context(serving(weights))
            began = time.monotonic()
            env = {"CATFISH_MODEL_LOCATION": url}
            running = leaving.enter_context(
                container.running(image, tmp_path, netns=netns, env=env, **options)
            )
            running.until(running.ready, seconds=READY_SECONDS)
            return running, time.monotonic() - began

        yield start


@contextmanager
def serving(path):
    """A web server for the container, at the host's end of its cable; gives the URL of the file."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=path.parent)
    with http.server.ThreadingHTTPServer((container.HOST, 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://{container.HOST}:{server.server_port}/{path.name}"
        server.shutdown()


def ask(method, path, body=None):
    """Status and body of an answer of the container."""
    connection = http.client.HTTPConnection(container.GUEST, 5000, timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": "image/png"} if body else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def picture(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (300, 200), colour).save(buffer, "PNG")
    return buffer.getvalue()


def cpu_seconds(pid):
    """User and system time of a process and its children that have ended (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    "user", [None, "1234567:0"], ids=["the image's user", "a user that the cluster assigns"]
)
def test_the_address_of_the_weights_is_all_that_a_container_must_be_told(started, which, user):
    running, seconds = started(user=user)
    used = cpu_seconds(running.pid())
    sys.stdout.write(f"{which}: ready after {seconds:.2f} s, {used:.2f} s of CPU time\n")
    if which == "server-onnx":
        assert used < 3  # of the program itself; `make bench-start` measures the seconds with a whole network
    assert json.loads(ask("GET", "/")[1]) == {"status": "ok"}
    status, body = ask("POST", "/predict", picture((200, 30, 40)))
    assert status == 200
    assert json.loads(body)["prediction"] in ({"cat"} if which == "server-onnx" else {"0", "1"})
    assert running.text().count("with --classes or CATFISH_CLASSES") == (which == "server")
    lines = Path(f"/proc/{running.pid()}/status").read_text()
    assert re.findall(r"(?m)^(?:CapPrm|CapEff|CapBnd):\s+(\w+)$", lines) == ["0" * 16] * 3
    assert re.search(r"(?m)^NoNewPrivs:\s+1$", lines)
    assert re.search(r"(?m)^Uid:\s+(\d+)", lines)[1] == (user or "10001").partition(":")[0]
    assert running.stop(seconds=60) == 0
    assert "Traceback" not in running.text()


def test_the_image_names_a_user_by_number_and_holds_no_tool_to_build_or_install(image, which):
    uid, gid = image.config["User"].split(":")
    assert int(uid) >= 10000
    assert int(gid) >= 10000
    assert image.config["Entrypoint"] == ["/opt/catfish/bin/python", "-m", "catfish_server"]
    tools = re.compile(
        r"/(pip[\d.]*|uv|conda|easy_install|gcc|cc|g\+\+|clang|ld|make|cmake|ninja|git|curl|wget)$"
    )
    packages = re.compile(r"/site-packages/(pip|wheel|hatchling|pytest|ruff)-[\d.]+\.dist-info/METADATA$")
    files = image.files()
    assert [path for path in files if "/bin/" in path and tools.search(path)] == []
    assert [path for path in files if packages.search(path)] == []
    assert any(path.endswith("/torch/__init__.py") for path in files) == (which == "server")
    assert image.bytes() <= LARGEST[which]
